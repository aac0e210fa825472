//! `assay list`: the scenario library, a line each.

use std::{fmt::Write, process::ExitCode};

use super::print;
use crate::{failure::Failure, library};

pub(super) fn list() -> Result<ExitCode, Failure> {
    let mut text = String::new();
    for (name, _) in library::LIBRARY {
        let scenario = library::read(name, &[])?;
        // Writing into a String does not fail.
        let _ = writeln!(text, "{name:<16} {}", scenario.description);
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
