//! What assay and the guard say to each other: JSON, a line each.

use std::{collections::BTreeMap, ffi::OsString, os::unix::process::ExitStatusExt, path::PathBuf, process::ExitStatus};

use serde::{Deserialize, Serialize};

/// What the guard is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Start a child.
    Spawn(SpawnOrder),
    /// Send a signal to a child's process group.
    Signal {
        /// The child.
        id: u64,
        /// The signal's number.
        signal: i32,
    },
    /// Delete this folder when everything is over.
    DeleteAtEnd(PathBuf),
    /// Remove the containers, volumes and networks of this run when everything is over.
    RemoveContainersAtEnd(String),
    /// End all children, gently first.
    End,
}

/// A child to be started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SpawnOrder {
    /// The number that news will call it by.
    pub id: u64,
    /// The program; `None` for this executable.
    pub program: Option<PathBuf>,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its whole environment, but for a few variables of the user's that every program needs.
    pub environment: BTreeMap<String, String>,
    /// Where it runs.
    pub folder: PathBuf,
    /// Where its stderr goes, and its stdout unless that is told.
    pub log: PathBuf,
    /// Whether the lines of its stdout are news.
    pub tell_lines: bool,
}

/// What the guard tells.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// A child runs.
    Spawned {
        /// The child.
        id: u64,
        /// Its process id.
        pid: i32,
    },
    /// A child could not be started.
    NotSpawned {
        /// The child.
        id: u64,
        /// Why.
        error: String,
    },
    /// A child said something.
    Line {
        /// The child.
        id: u64,
        /// What.
        text: String,
    },
    /// A child ended.
    Exited {
        /// The child.
        id: u64,
        /// How.
        how: End,
    },
}

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// By itself, with an exit code; 0 is success.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// It never ran, or nobody knows.
    Unknown(String),
}

impl End {
    pub(super) fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Unknown(status.to_string()),
        }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Unknown(what) => f.write_str(what),
        }
    }
}
