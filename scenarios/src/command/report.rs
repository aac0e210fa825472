//! `assay report DIR`: draw a run's reports again.

use std::{path::Path, process::ExitCode};

use super::print;
use crate::{failure::Failure, reporting, run_directory::RunDirectory, soak};

pub(super) fn report(directory: &Path) -> Result<ExitCode, Failure> {
    let directory = RunDirectory::open(directory);
    if soak::drawn_again(&directory)?.is_none() {
        reporting::draw_again(&directory)?;
    }
    print(&format!("{}\n", directory.report().display()))?;
    Ok(ExitCode::SUCCESS)
}
