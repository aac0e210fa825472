//! The runs that were kept of a scenario.

use std::path::{Path, PathBuf};

use checkers::record::RunRecord;

use crate::{
    failure::{Failure, Kind},
    reporting,
    run_directory::RunDirectory,
};

/// What was kept of a scenario.
#[derive(Debug, Default)]
pub struct Siblings {
    /// Its judged runs, the oldest first.
    pub runs: Vec<(PathBuf, RunRecord)>,
    /// What was left out, in the same order, and why.
    pub left_out: Vec<(PathBuf, String)>,
}

/// The judged runs in `folder` that are `wanted`, at most the last `most`, and what lies among them and is none.
///
/// # Errors
/// When the folder cannot be read.
pub fn runs(folder: &Path, most: usize, wanted: impl Fn(&RunRecord) -> bool) -> Result<Siblings, Failure> {
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
    let mut siblings = Siblings::default();
    for path in paths.into_iter().rev() {
        if siblings.runs.len() >= most {
            break;
        }
        match reporting::stored(&RunDirectory::open(&path)) {
            Ok(Some(record)) if wanted(&record) => siblings.runs.push((path, record)),
            Ok(Some(_)) => (),
            Ok(None) => siblings.left_out.push((path, "it was never judged".into())),
            Err(failure) => siblings.left_out.push((path, failure.line())),
        }
    }
    siblings.runs.reverse();
    siblings.left_out.reverse();
    Ok(siblings)
}

#[cfg(test)]
mod tests {
    use checkers::soak::{Rules, Soak};

    use super::*;

    fn record() -> RunRecord {
        Soak::new(Rules { windows: 1, window: 60.0, confidence: 0.95, may_stop_early: false }).record("night", None)
    }

    /// A directory with these files.
    fn made(folder: &Path, name: &str, files: &[(&str, &str)]) {
        let path = folder.join(name);
        std::fs::create_dir(&path).unwrap();
        for (file, text) in files {
            std::fs::write(path.join(file), text).unwrap();
        }
    }

    #[test]
    fn runs_and_soaks_are_shown_and_what_is_neither_is_told_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let verdict = serde_json::to_string(&record()).unwrap();
        let older = serde_json::to_string(&RunRecord { schema: 0, ..record() }).unwrap();
        made(folder.path(), "1-run", &[("manifest.json", "{}"), ("verdict.json", &verdict)]);
        made(folder.path(), "2-soak", &[("soak.json", "{}"), ("verdict.json", &verdict)]);
        made(folder.path(), "3-new-soak", &[("soak.json", "{}")]);
        made(folder.path(), "4-search", &[("scaling.json", "{}")]);
        made(folder.path(), "5-older", &[("manifest.json", "{}"), ("verdict.json", &older)]);
        made(folder.path(), "6-half", &[("manifest.json", "{}"), ("verdict.json", &verdict[..verdict.len() / 2])]);
        std::os::unix::fs::symlink("6-half", folder.path().join("latest")).unwrap();
        let Siblings { runs, left_out } = runs(folder.path(), 50, |_| true).unwrap();
        let names = |paths: &mut dyn Iterator<Item = &PathBuf>| -> Vec<String> {
            paths.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names(&mut runs.iter().map(|(path, _)| path)), ["1-run", "2-soak"]);
        assert_eq!(names(&mut left_out.iter().map(|(path, _)| path)), ["3-new-soak", "4-search", "5-older", "6-half"]);
        for ((_, why), expected) in
            left_out.iter().zip(["never judged", "that of a search", "is of version 0", "not written to its end"])
        {
            assert!(why.contains(expected), "{why}");
        }
    }

    #[test]
    fn what_is_not_wanted_takes_no_room() {
        let folder = tempfile::tempdir().unwrap();
        for (name, confidence) in [("1", 0.95), ("2", 0.9), ("3", 0.95), ("4", 0.9)] {
            let mut record = record();
            record.run.confidence = confidence;
            let verdict = serde_json::to_string(&record).unwrap();
            made(folder.path(), name, &[("manifest.json", "{}"), ("verdict.json", &verdict)]);
        }
        let found = |most| runs(folder.path(), most, |record| record.run.confidence > 0.92).unwrap().runs.len();
        assert_eq!((found(50), found(1)), (2, 1));
    }
}
