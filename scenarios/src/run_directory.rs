//! A run's directory: everything that is needed to judge it again without the pipeline.
//!
//! `runs/<scenario>/<UTC time>-<run id>/`, and `runs/<scenario>/latest` points at the newest.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use generators::identity::RunId;
use jiff::{Timestamp, tz::TimeZone};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    failure::{Failure, Kind},
    ledgers::Ledgers,
};

/// A run's directory.
#[derive(Debug, Clone)]
pub struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// Makes the directory of a run that begins at `now`, below `out`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(out: &Path, scenario: &str, run: RunId, now: Timestamp) -> Result<Self, Failure> {
        let time = now.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string();
        let path = out.join(scenario).join(format!("{time}-{run}"));
        let directory = Self { path };
        std::fs::create_dir_all(directory.logs()).map_err(|error| {
            Failure::caused(
                Kind::Usage,
                format!("the run's directory {} cannot be made", directory.path.display()),
                "name a folder that you may write to with --out DIR",
                error,
            )
        })?;
        // Absolute, since children get paths into it.
        let path = std::path::absolute(&directory.path).unwrap_or(directory.path);
        Ok(Self { path })
    }

    /// A directory that is there already.
    pub fn open(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The resolved scenario, seeds, versions, environment.
    pub fn manifest(&self) -> PathBuf {
        self.path.join("manifest.json")
    }

    /// When events were first seen.
    pub fn reads(&self) -> PathBuf {
        self.path.join("reads")
    }

    /// What final read number `number` found, from 1.
    pub fn final_read(&self, number: usize) -> PathBuf {
        self.path.join(format!("final-read-{number}"))
    }

    /// What plugins exported.
    pub fn exports(&self) -> PathBuf {
        self.path.join("exports")
    }

    /// What passed through Kafka's topics.
    pub fn stages(&self) -> PathBuf {
        self.path.join("stages")
    }

    /// What was replayed, in our form.
    pub fn recording(&self) -> PathBuf {
        self.path.join("recording.jsonl")
    }

    /// The lines of the recording that were not understood.
    pub fn not_understood(&self) -> PathBuf {
        self.path.join("not-understood.txt")
    }

    /// How the run ended, as far as the other files do not tell.
    pub fn conditions(&self) -> PathBuf {
        self.path.join("conditions.json")
    }

    /// The verdict.
    pub fn verdict(&self) -> PathBuf {
        self.path.join("verdict.json")
    }

    /// The verdict for CI.
    pub fn junit(&self) -> PathBuf {
        self.path.join("junit.xml")
    }

    /// What reports draw beside the verdict.
    pub fn details(&self) -> PathBuf {
        self.path.join("details.json")
    }

    /// The report for people.
    pub fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// The verdict on a page, for CI.
    pub fn summary(&self) -> PathBuf {
        self.path.join("summary.md")
    }

    /// How far the consumers were behind while it ran.
    pub fn lags(&self) -> PathBuf {
        self.path.join("lags.json")
    }

    /// What a soak has come to so far, in a soak's directory.
    pub fn soak(&self) -> PathBuf {
        self.path.join("soak.json")
    }

    /// What a search has found, in a search's directory.
    pub fn scaling(&self) -> PathBuf {
        self.path.join("scaling.json")
    }

    /// Says so if this can be no directory at all.
    ///
    /// # Errors
    /// When it is not there, or is a file; then, which directory is meant.
    pub fn must_be_a_directory(&self) -> Result<(), Failure> {
        let path = self.path.display();
        match self.path.metadata() {
            Err(error) => {
                Err(Failure::caused(Kind::Usage, format!("the run's directory {path} cannot be read"), HELP, error))
            }
            Ok(metadata) if !metadata.is_dir() => {
                let help = match self.path.parent() {
                    Some(parent) if parent == Path::new("") => "name the directory that it lies in: `.`".to_owned(),
                    Some(parent) => format!("name the directory that it lies in: {}", parent.display()),
                    None => HELP.to_owned(),
                };
                Err(Failure::told(Kind::Usage, format!("{path} is no run's directory: it is a file"), help))
            }
            Ok(_) => Ok(()),
        }
    }

    /// Says so if this can be no run's directory.
    ///
    /// # Errors
    /// When it is none, and what it is instead.
    pub fn must_be_a_runs(&self) -> Result<(), Failure> {
        self.must_be_a_directory()?;
        let (what, help) = if self.manifest().exists() {
            return Ok(());
        } else if self.soak().exists() {
            ("it is a soak's", "name one of the windows in it, or its `latest`")
        } else if self.scaling().exists() {
            (
                "it is that of a search, which is many runs",
                "read scaling.json in it, which holds all that was found, or name one of the runs in its folders",
            )
        } else if self.path.join("latest").exists() {
            // A scenario's folder holds runs.
            ("it holds several runs", "name one of them, or its `latest`")
        } else if self.verdict().exists() || self.has_a_ledger() {
            (
                "its manifest.json is gone, without which nothing in it can be judged or drawn again",
                "put manifest.json back; what was judged stands in verdict.json and report.html, if they are there",
            )
        } else if self.logs().exists() {
            // A run that ended early holds logs.
            ("the run ended before anything was sent, and left no manifest.json", "its logs may tell why")
        } else {
            ("it holds no manifest.json", HELP)
        };
        Err(Failure::told(Kind::Usage, format!("{} is no run's directory: {what}", self.path.display()), help))
    }

    fn has_a_ledger(&self) -> bool {
        Ledgers::find(&self.path).map_or(true, |ledgers| !ledgers.files().is_empty())
    }

    /// The folder of the components' logs.
    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// Points `latest` at this run.
    ///
    /// # Errors
    /// When the link cannot be made.
    pub fn point_latest(&self) -> Result<(), Failure> {
        let (Some(folder), Some(name)) = (self.path.parent(), self.path.file_name()) else { return Ok(()) };
        // Made beside and renamed, so that two runs that end at once leave one of the two.
        let beside = folder.join(format!(".latest-{}", name.to_string_lossy()));
        let link = folder.join("latest");
        std::os::unix::fs::symlink(name, &beside)
            .and_then(|()| std::fs::rename(&beside, &link))
            .map_err(|error| not_written(&link, error))
    }
}

/// What to do instead of naming something that is no run's directory.
const HELP: &str = "name a directory such as runs/smoke/latest";

/// Writes `text` whole or not at all.
///
/// # Errors
/// When the system refuses, as on a full disk.
pub fn write_text(path: &Path, text: &str) -> Result<(), Failure> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    // On the disk before it has its name, or a machine that goes down may leave the name of an empty file.
    File::create(&beside)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&beside, path))
        .map_err(|error| not_written(path, error))
}

/// Writes `value` as JSON, whole or not at all.
///
/// # Errors
/// When the system refuses, as on a full disk.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| {
        Failure::caused(Kind::Internal, format!("{} could not be made", path.display()), "please report this", error)
    })?;
    write_text(path, &(text + "\n"))
}

/// Writes `value` as JSON in one line, whole or not at all: for long lists of numbers.
///
/// # Errors
/// When the system refuses, as on a full disk.
pub fn write_compact_json(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| {
        Failure::caused(Kind::Internal, format!("{} could not be made", path.display()), "please report this", error)
    })?;
    write_text(path, &(text + "\n"))
}

/// Reads JSON; `None` if there is no such file.
///
/// # Errors
/// When it cannot be read, or is not what it should be.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Failure> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Failure::caused(Kind::Usage, format!("{} cannot be read", path.display()), "", error));
        }
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        if error.is_eof() {
            let help = without(path.file_name().and_then(|name| name.to_str()).unwrap_or_default());
            return Failure::told(Kind::Usage, format!("{} was not written to its end", path.display()), help);
        }
        Failure::caused(
            Kind::Usage,
            format!("{} is not what this version of Assay writes", path.display()),
            "judge the run with the version that made it",
            error,
        )
    })
}

/// What to do about a file of this name that is not whole.
fn without(name: &str) -> &'static str {
    match name {
        "verdict.json" => "remove it: then `assay report DIR` judges the run again, or draws the soak again",
        "manifest.json" => {
            "put a whole one back, or run the scenario again: without it nothing in the directory can be judged"
        }
        "soak.json" => {
            "put a whole one back, or begin another soak: without it this one can neither go on nor be told; each of its \
             windows is a whole run, whose own verdict stands"
        }
        "conditions.json" => "remove it: then the run is judged as one that was killed",
        "lags.json" => "remove it: then the run is judged without the course of its lags",
        _ => "remove it, and have it written again",
    }
}

/// The failure to write a file of a run.
pub fn not_written(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::caused(
        Kind::Unavailable,
        format!("{} could not be written", path.display()),
        "make room on the disk, or name another folder with --out DIR; what is in the run's directory can be judged with \
         `assay check`",
        error,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said against `path`.
    fn said(path: &Path) -> String {
        let said =
            RunDirectory::open(path).must_be_a_runs().map_or_else(|failure| format!("{failure:?}"), |()| String::new());
        // It is broken into lines where the folder's name makes it long.
        said.replace('│', "").split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_no_runs_directory_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert!(said(&path.join("gone")).contains("cannot be read"));
        assert!(said(path).contains("it holds no manifest.json"));
        std::fs::create_dir(path.join("logs")).unwrap();
        assert!(said(path).contains("ended before anything was sent"), "{}", said(path));
        std::fs::write(path.join("soak.json"), "{}").unwrap();
        assert!(said(path).contains("it is a soak's"));
        std::fs::remove_file(path.join("soak.json")).unwrap();
        std::fs::write(path.join("scaling.json"), "{}").unwrap();
        assert!(said(path).contains("that of a search") && said(path).contains("read scaling.json"), "{}", said(path));
        std::fs::remove_file(path.join("scaling.json")).unwrap();
        for left in ["verdict.json", "ledger", "ledger-2-of-3"] {
            std::fs::write(path.join(left), "{}").unwrap();
            assert!(said(path).contains("its manifest.json is gone"), "{left}: {}", said(path));
            std::fs::remove_file(path.join(left)).unwrap();
        }
        std::fs::create_dir(path.join("latest")).unwrap();
        assert!(said(path).contains("name one of them"));
        std::fs::write(path.join("manifest.json"), "{}").unwrap();
        assert_eq!(said(path), "");
        let said = said(&path.join("manifest.json"));
        assert!(said.contains("it is a file") && said.contains("name the directory that it lies in"), "{said}");
    }

    #[test]
    fn what_was_not_written_to_its_end_is_told_from_what_another_version_wrote() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text, expected) in [
            ("verdict.json", "", "`assay report DIR` judges the run again"),
            ("manifest.json", "{\"schema\": \"1\", \"assay\": \"gr\u{fc}", "run the scenario again"),
            ("soak.json", "{\"schema\"", "begin another soak"),
            ("conditions.json", "{", "one that was killed"),
            ("lags.json", "{", "without the course of its lags"),
            ("verdict.json", "[]", "is not what this version of Assay writes"),
        ] {
            let path = folder.path().join(name);
            // Cut within a character, too.
            std::fs::write(&path, &text.as_bytes()[..text.len().saturating_sub(usize::from(!text.is_ascii()))])
                .unwrap();
            let said = format!("{:?}", read_json::<std::collections::BTreeMap<String, String>>(&path).unwrap_err());
            let said = said.replace('│', "").split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(said.contains(expected), "{name}: {said}");
            assert_eq!(said.contains("was not written to its end"), text != "[]", "{name}: {said}");
        }
    }
}
