//! The role `clickhouse` through its public door: the official crate and plain HTTP against the real engine.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests, which clippy does not take for tests")]

mod role;

mod broken_reads;
mod crate_client;
mod plain_http;
mod process;
