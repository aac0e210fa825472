//! The runs that were kept of a scenario.

use std::path::{Path, PathBuf};

use checkers::record::RunRecord;

use crate::{
    failure::{Failure, Kind},
    reporting,
    run_directory::RunDirectory,
};

/// The judged runs in `folder`, the oldest first, at most the last `most`; what is no run of this version is left out.
///
/// # Errors
/// When the folder cannot be read.
pub fn runs(folder: &Path, most: usize) -> Result<Vec<(PathBuf, RunRecord)>, Failure> {
    let unreadable = |error| {
        let help = "name a scenario that was run, and the folder that its runs are kept in with --out DIR";
        Failure::caused(Kind::Usage, format!("there are no runs in {}", folder.display()), help, error)
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        // `latest` is a link to one of them.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            paths.push(entry.path());
        }
    }
    // Their names begin with their time.
    paths.sort_unstable();
    let judged = paths.into_iter().rev().filter_map(|path| {
        let record = reporting::stored(&RunDirectory::open(&path)).ok().flatten()?;
        Some((path, record))
    });
    let mut runs: Vec<_> = judged.take(most).collect();
    runs.reverse();
    Ok(runs)
}
