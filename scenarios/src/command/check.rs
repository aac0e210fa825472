//! `assay check DIR`: judge a run's directory again.
//!
//! Of a soak it tells what its windows have come to so far. What is in the directory stays as it is: an old verdict is not overwritten by a new one.

use std::{io::IsTerminal, path::Path, process::ExitCode};

use checkers::record::RunRecord;

use super::print;
use crate::{
    failure::{Failure, Kind},
    run_directory::RunDirectory,
    soak,
    stored::judge_directory,
};

pub(super) fn check(directory: &Path, json: bool) -> Result<ExitCode, Failure> {
    let directory = RunDirectory::open(directory);
    let record = match soak::stored(&directory)? {
        Some(record) => record,
        None => judge_directory(&directory)?,
    };
    show(&record, json)
}

/// Prints the record, as a table or as JSON; returns the verdict's exit code.
pub(super) fn show(record: &RunRecord, json: bool) -> Result<ExitCode, Failure> {
    if json {
        let text = serde_json::to_string_pretty(record)
            .map_err(|error| Failure::caused(Kind::Internal, "the verdict could not be written", "", error))?;
        print(&(text + "\n"))?;
    } else {
        let color =
            std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        print(&reports::terminal::render(record, color))?;
    }
    Ok(ExitCode::from(record.exit_code))
}
