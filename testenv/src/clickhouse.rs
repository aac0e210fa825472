//! The ClickHouse engine as a child process: the library binding and the HTTP interface before it.

use std::process::ExitCode;

/// Plays the role `clickhouse`.
pub fn serve() -> ExitCode {
    ExitCode::from(70)
}
