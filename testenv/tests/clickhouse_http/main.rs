//! The role `clickhouse` through its public door: the official crate and plain HTTP against the real engine.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and tells what it does"
)]

mod role;

mod broken_reads;
mod crate_client;
mod plain_http;
mod process;
