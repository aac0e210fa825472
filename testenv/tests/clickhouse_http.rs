//! The role `clickhouse` through its public door: the official crate and plain HTTP against the real engine.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and tells what it does"
)]

#[path = "clickhouse/role.rs"]
mod role;

#[path = "clickhouse/broken_reads.rs"]
mod broken_reads;
#[path = "clickhouse/crate_client.rs"]
mod crate_client;
#[path = "clickhouse/plain_http.rs"]
mod plain_http;
#[path = "clickhouse/process.rs"]
mod process;
