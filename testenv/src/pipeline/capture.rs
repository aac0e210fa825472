//! The reference capture.

use std::process::ExitCode;

/// Plays the role `capture`.
pub fn serve() -> ExitCode {
    ExitCode::from(70)
}
