//! The role `clickhouse` through its public door: the official crate and plain HTTP against the real engine.

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
