//! The reports of a judged run: written into its directory, and drawn again from there.
//!
//! verdict.json and details.json hold all that a report reads, so drawing again needs no second judgement, unless one of
//! them is missing or of another version.

use std::path::Path;

use checkers::{
    details::{self, Details},
    record::RunRecord,
};

use crate::{
    failure::{Failure, Kind},
    manifest::Manifest,
    run_directory::{RunDirectory, read_json, write_compact_json, write_json, write_text},
    stored::judge_directory,
};

/// Writes everything that is told of a judged run; `junit` is where else the JUnit report goes.
///
/// # Errors
/// When the system refuses, as on a full disk.
pub fn write(record: &RunRecord, directory: &RunDirectory, junit: Option<&Path>) -> Result<(), Failure> {
    write_json(&directory.verdict(), record)?;
    if let Some(details) = &record.details {
        write_compact_json(&directory.details(), details)?;
    }
    draw(record, directory, junit)
}

/// Writes a page that a browser loads again by itself, of what is not over yet.
///
/// # Errors
/// When the system refuses, as on a full disk.
pub fn write_refreshing(record: &RunRecord, directory: &RunDirectory) -> Result<(), Failure> {
    write_text(&directory.report(), &reports::html::refreshing(record, REFRESH))
}

/// So often does it, in seconds.
const REFRESH: u64 = 60;

/// Writes what is drawn of a record.
fn draw(record: &RunRecord, directory: &RunDirectory, junit: Option<&Path>) -> Result<(), Failure> {
    let xml = reports::junit::render(record)
        .map_err(|error| Failure::caused(Kind::Internal, "the JUnit report could not be made", "", error))?;
    write_text(&directory.junit(), &xml)?;
    if let Some(path) = junit {
        write_text(path, &xml)?;
    }
    write_text(&directory.summary(), &reports::summary::render(record))?;
    write_text(&directory.report(), &reports::html::render(record))
}

/// Draws the reports of `directory` again. A verdict that is there stays as it is; where there is none, as after a kill,
/// the run is judged.
///
/// # Errors
/// When the directory is none of a run, or nothing can be written into it.
pub fn draw_again(directory: &RunDirectory) -> Result<RunRecord, Failure> {
    let stored = stored(directory)?;
    let record = match stored {
        Some(record) if record.details.is_some() => record,
        Some(record) => {
            // Judged before there were details, or they cannot be read: what is drawn beside the verdict is found again.
            let details = judge_directory(directory)?.details;
            found_again(RunRecord { details, ..record }, directory)?
        }
        None => {
            let record = judge_directory(directory)?;
            write_json(&directory.verdict(), &record)?;
            found_again(record, directory)?
        }
    };
    draw(&record, directory, None)?;
    Ok(record)
}

/// Writes the details of `record`.
fn found_again(record: RunRecord, directory: &RunDirectory) -> Result<RunRecord, Failure> {
    if let Some(details) = &record.details {
        write_compact_json(&directory.details(), details)?;
    }
    Ok(record)
}

/// The record that is in `directory`, a run's or a soak's, with its details where they can be read; none if it was never judged.
///
/// # Errors
/// When the directory is none of either, or its verdict is of another version.
pub fn stored(directory: &RunDirectory) -> Result<Option<RunRecord>, Failure> {
    let is_a_soaks = directory.soak().exists();
    if !is_a_soaks {
        directory.must_be_a_runs()?;
    }
    let Some(mut record) = read_json::<RunRecord>(&directory.verdict())? else {
        if !is_a_soaks {
            // Says what is wrong with it, if something is.
            Manifest::read(directory)?;
        }
        return Ok(None);
    };
    if record.schema != checkers::record::SCHEMA {
        return Err(Failure::told(
            Kind::Usage,
            format!(
                "{} is of version {}, and this Assay reads {}",
                directory.verdict().display(),
                record.schema,
                checkers::record::SCHEMA
            ),
            "use the version of Assay that made the run",
        ));
    }
    let details: Option<Details> = read_json(&directory.details()).unwrap_or_default();
    record.details = details.filter(|details| details.schema == details::SCHEMA).map(Box::new);
    Ok(Some(record))
}
