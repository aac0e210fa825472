//! The reference ingester.

use std::process::ExitCode;

/// Plays the role `ingester`.
pub fn serve() -> ExitCode {
    ExitCode::from(70)
}
