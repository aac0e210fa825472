//! `assay compare A B` and `assay history SCENARIO`: runs side by side, and in a row.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use checkers::record::RunRecord;
use reports::compare::{Comparison, Outcome, are_alike};

use super::print;
use crate::{
    failure::{Failure, Kind},
    reporting,
    run_directory::RunDirectory,
    siblings::{self, Siblings},
};

/// From so many runs the noise is learned at most.
const LEARNED: usize = 50;

/// Compares two runs; the exit code is 1 if something is worse, 2 if something cannot be told, else 0.
pub(super) fn compare(before: &Path, after: &Path, json: bool) -> Result<ExitCode, Failure> {
    let comparison = comparison(before, &judged(after)?, after)?;
    if json {
        let text = serde_json::to_string_pretty(&comparison)
            .map_err(|error| Failure::caused(Kind::Internal, "the comparison could not be written", "", error))?;
        print(&(text + "\n"))?;
    } else {
        print(&comparison.render())?;
    }
    Ok(match comparison.outcome() {
        Outcome::Worse => ExitCode::from(1),
        Outcome::CannotTell => ExitCode::from(2),
        Outcome::Better | Outcome::Same => ExitCode::SUCCESS,
    })
}

/// The comparison of the run in `before` with `record`, whose directory is `after`; what chance does is learned from the
/// runs that lie beside them.
pub(super) fn comparison(before: &Path, record: &RunRecord, after: &Path) -> Result<Comparison, Failure> {
    let earlier = judged(before)?;
    let (before, after) = (real(before), real(after));
    let mut folders: Vec<PathBuf> =
        [&before, &after].into_iter().filter_map(|path| path.parent().map(Path::to_owned)).collect();
    folders.dedup();
    let mut others = Vec::new();
    for folder in folders {
        let runs = siblings::runs(&folder, LEARNED, |other| are_alike(&earlier, other))?.runs;
        // The run that is judged must not teach what is chance.
        others.extend(runs.into_iter().filter(|(path, _)| real(path) != after).map(|(_, record)| record));
    }
    Ok(Comparison::of(&earlier, record, &others))
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// The run in `path`, which must have been judged.
pub(super) fn judged(path: &Path) -> Result<RunRecord, Failure> {
    reporting::stored(&RunDirectory::open(path))?.ok_or_else(|| {
        Failure::told(
            Kind::Usage,
            format!("the run in {} was never judged: it holds no verdict.json", path.display()),
            format!("judge it with `assay report {}`", path.display()),
        )
    })
}

/// Shows the last runs of a scenario.
pub(super) fn history(scenario: &str, out: &Path, most: usize) -> Result<ExitCode, Failure> {
    let Siblings { runs, left_out } = siblings::runs(&out.join(scenario), most, |_| true)?;
    let name = |path: PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let runs: Vec<_> = runs.into_iter().map(|(path, record)| (name(path), record)).collect();
    let left_out: Vec<_> = left_out.into_iter().map(|(path, why)| (name(path), why)).collect();
    print(&reports::history::render(&runs, &left_out))?;
    Ok(ExitCode::SUCCESS)
}
