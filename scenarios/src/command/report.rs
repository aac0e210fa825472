//! `assay report DIR`: draw a run's reports again.

use std::{path::Path, process::ExitCode};

use super::print;
use crate::{failure::Failure, reporting, run_directory::RunDirectory};

pub(super) fn report(directory: &Path) -> Result<ExitCode, Failure> {
    let directory = RunDirectory::open(directory);
    reporting::draw_again(&directory)?;
    print(&format!("{}\n", directory.report().display()))?;
    Ok(ExitCode::SUCCESS)
}
