//! A run's directory: everything that is needed to judge it again without the pipeline.
//!
//! `runs/<scenario>/<UTC time>-<run id>/`, and `runs/<scenario>/latest` points at the newest.

use std::path::{Path, PathBuf};

use generators::identity::RunId;
use jiff::{Timestamp, tz::TimeZone};
use serde::{Serialize, de::DeserializeOwned};

use crate::failure::{Failure, Kind};

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

    /// Says so if this can be no run's directory.
    ///
    /// # Errors
    /// When it is none, and what it is instead.
    pub fn must_be_a_runs(&self) -> Result<(), Failure> {
        let what = match self.path.metadata() {
            Err(error) => {
                let what = format!("the run's directory {} cannot be read", self.path.display());
                return Err(Failure::caused(Kind::Usage, what, HELP, error));
            }
            Ok(metadata) if !metadata.is_dir() => "it is a file",
            Ok(_) if self.manifest().exists() => return Ok(()),
            Ok(_) if self.path.join("soak.json").exists() => {
                "it is a soak's; name one of the windows in it, or its `latest`"
            }
            // A scenario's folder holds runs; a run that ended early holds logs.
            Ok(_) if self.path.join("latest").exists() => "it holds several runs; name one of them, or its `latest`",
            Ok(_) if self.logs().exists() => {
                "the run ended before anything was sent, and left no manifest.json; its logs may tell why"
            }
            Ok(_) => "it holds no manifest.json",
        };
        Err(Failure::told(Kind::Usage, format!("{} is no run's directory: {what}", self.path.display()), HELP))
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
    std::fs::write(&beside, text)
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
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Failure::caused(Kind::Usage, format!("{} cannot be read", path.display()), "", error));
        }
    };
    serde_json::from_str(&text).map(Some).map_err(|error| {
        Failure::caused(
            Kind::Usage,
            format!("{} is not what this version of Assay writes", path.display()),
            "judge the run with the version that made it",
            error,
        )
    })
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
        std::fs::create_dir(path.join("latest")).unwrap();
        assert!(said(path).contains("name one of them"));
        std::fs::write(path.join("manifest.json"), "{}").unwrap();
        assert_eq!(said(path), "");
        assert!(said(&path.join("manifest.json")).contains("it is a file"));
    }
}
