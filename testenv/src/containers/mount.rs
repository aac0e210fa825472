//! Files beside a scenario's own that a container may read: a mount never leads out of the scenario's folder.

mod contents;

use std::path::{Component, Path, PathBuf};

/// A file or folder beside the scenario's file, and where a container finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its path from the scenario's folder on.
    pub path: String,
    /// Its path in the container.
    pub inside: String,
    /// Where it is on this machine; empty until it was looked for ([`Mount::locate`]).
    pub source: PathBuf,
    /// A digest of what was there when it was looked for; empty until then.
    pub contents: String,
}

/// What cannot be mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// It is not there.
    #[error("`{path}` is not there: {source}")]
    NotThere {
        /// Its path from the scenario's folder on.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not below the scenario's folder.
    #[error("`{path}` leads out of the scenario's folder {}", folder.display())]
    Outside {
        /// Its path from the scenario's folder on.
        path: String,
        /// The folder.
        folder: PathBuf,
    },
    /// It cannot be read, or not all of it.
    #[error("`{path}` cannot be read: {source}")]
    Unreadable {
        /// Its path from the scenario's folder on.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Mount {
    /// The mount of `path` at `inside`, as far as that can be said without looking for it.
    ///
    /// # Errors
    /// What is wrong with one of them, for people.
    pub fn new(path: String, inside: String) -> Result<Self, String> {
        if !is_below(&path) {
            return Err(format!("`{path}` must be a path from the scenario's folder on, and stay below it"));
        }
        // Docker refuses the root, and takes a colon for the end of the path.
        if !inside.starts_with('/') || inside.len() < 2 || inside.contains(':') {
            return Err(format!("`{inside}` must be a whole path in the container, such as \"/seed\""));
        }
        Ok(Self { path, inside, source: PathBuf::new(), contents: String::new() })
    }

    /// Looks for it below `folder`, the scenario's, and at what it holds; links on the way are followed.
    ///
    /// # Errors
    /// When it is not there or cannot be read, or a link leads out of the folder.
    pub fn locate(&mut self, folder: &Path) -> Result<(), MountError> {
        let not_there = |source| MountError::NotThere { path: self.path.clone(), source };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let folder = folder.canonicalize().map_err(not_there)?;
        let source = folder.join(&self.path).canonicalize().map_err(not_there)?;
        if !source.starts_with(&folder) {
            return Err(MountError::Outside { path: self.path.clone(), folder });
        }
        let unreadable = |source| MountError::Unreadable { path: self.path.clone(), source };
        self.contents = contents::digest(&source).map_err(unreadable)?;
        self.source = source;
        Ok(())
    }
}

/// Whether `path` stays below where it begins, as far as its words say.
fn is_below(path: &str) -> bool {
    let mut parts = Path::new(path).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_scenarios_folder() {
        let fits = |path: &str, inside: &str| Mount::new(path.to_owned(), inside.to_owned()).is_ok();
        assert!(fits("seed/teams.sql", "/seed/teams.sql") && fits(".", "/all"));
        for path in ["", "/etc/passwd", "../x", "seed/../../x"] {
            assert!(!fits(path, "/x"), "{path}");
        }
        for inside in ["", "/", "x", "/a:/b"] {
            assert!(!fits("x", inside), "{inside}");
        }
    }

    #[test]
    fn what_is_not_there_or_leads_out_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let scenarios = folder.path().join("scenarios");
        std::fs::create_dir(&scenarios).unwrap();
        std::fs::write(scenarios.join("teams.sql"), "").unwrap();
        std::fs::write(folder.path().join("secret"), "").unwrap();
        std::os::unix::fs::symlink("../secret", scenarios.join("link")).unwrap();
        let located = |path: &str| {
            let mut mount = Mount::new(path.into(), "/x".into()).unwrap();
            mount.locate(&scenarios).map(|()| mount.source)
        };
        assert_eq!(located("teams.sql").unwrap(), scenarios.canonicalize().unwrap().join("teams.sql"));
        assert!(matches!(located("link"), Err(MountError::Outside { .. })));
        assert!(matches!(located("nothing"), Err(MountError::NotThere { .. })));
    }
}
