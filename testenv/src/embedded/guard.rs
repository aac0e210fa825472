//! The guard: the process that owns all children and outlives `assay` just long enough to end them.

use std::process::ExitCode;

/// Plays the role `guard`.
pub fn serve() -> ExitCode {
    ExitCode::from(70)
}

/// Plays the role `launch`: asks for death with the parent, then becomes the program that it was given.
pub fn launch(_arguments: &[std::ffi::OsString]) -> ExitCode {
    ExitCode::from(70)
}
