//! What every environment yields: endpoints to send to and to read from, and components that can fail.

mod answers;
pub mod beside;
pub mod budget;
pub mod component;
pub mod exporting;
pub mod in_force;
pub mod launcher;
pub(crate) mod life;
pub mod parts;
pub mod pipeline;
pub mod port;
mod sink;
pub mod substrate;
pub mod tables;
pub mod usage;

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Where a run sends to and reads from.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// Where the capture listens.
    pub capture: std::net::SocketAddr,
    /// Where the rows appear.
    pub clickhouse: ClickhouseEndpoint,
    /// Where Kafka is, if it can be read.
    pub kafka: Option<KafkaEndpoint>,
    /// Where the webhook sink tells what was delivered to it, if there is one.
    pub webhook: Option<std::net::SocketAddr>,
}

/// A ClickHouse and the run's table in it.
#[derive(Clone)]
pub struct ClickhouseEndpoint {
    /// `http://HOST:PORT`.
    pub url: String,
    /// The user.
    pub user: String,
    /// Its password, empty for none; never shown.
    pub password: String,
    /// The database.
    pub database: String,
    /// The table of events.
    pub events_table: String,
    /// The table of groups, if there is one.
    pub groups_table: Option<String>,
    /// The table of ingestion warnings, if there is one.
    pub warnings_table: Option<String>,
}

impl fmt::Debug for ClickhouseEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{} {}.{}", self.user, self.url, self.database, self.events_table)
    }
}

/// Kafka, and whose lag says that the pipeline is quiet.
#[derive(Debug, Clone)]
pub struct KafkaEndpoint {
    /// `HOST:PORT`, several separated by commas.
    pub brokers: String,
    /// Consumer groups of the pipeline and the topics that they read.
    pub subscriptions: Vec<(String, String)>,
    /// What capture writes: the topic of new events, and others where it has them.
    pub capture_topics: Vec<String>,
    /// What the ingester could not process.
    pub dead_letter_topic: String,
    /// What the ingester writes for the events table.
    pub events_topic: String,
}

/// Who may only read in every ClickHouse that is started here, which nobody but this machine reaches, and with which password.
pub const READER: (&str, &str) = ("reader", "reads-only");

/// How ClickHouse is told of [`READER`] by its role's variables.
pub(crate) fn reader_variables() -> [(String, String); 2] {
    let (user, password) = READER;
    [("CLICKHOUSE_READER_USER".into(), user.into()), ("CLICKHOUSE_READER_PASSWORD".into(), password.into())]
}

/// A component that ended although nobody had asked it to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentEnded {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub how: String,
    /// Whether the kernel killed it since it used more memory than it may.
    pub out_of_memory: bool,
    /// Its log.
    pub log: PathBuf,
    /// The log's last lines.
    pub last_lines: String,
}

impl ComponentEnded {
    /// Whether it ended with code 0, as one does that has done what it was started for.
    pub fn is_success(&self) -> bool {
        self.how == "exit code 0"
    }
}

impl fmt::Display for ComponentEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ended by itself ({}); the last lines of {}:\n{}",
            self.name,
            self.how,
            self.log.display(),
            self.last_lines
        )
    }
}

/// An environment could not be had.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// A part could not be fetched or found.
    #[error(transparent)]
    Prepare(#[from] crate::embedded::artefacts::PrepareError),
    /// The pipeline's budget is more than there is.
    #[error("the budget is {wanted} processors, and only {there} may be used here")]
    TooFewProcessors {
        /// How many the budget says.
        wanted: usize,
        /// How many there are for this process.
        there: usize,
    },
    /// A child process cannot be held to its share of processor time.
    #[error("{name} cannot be held to its share of a processor")]
    Quota {
        /// Its name.
        name: String,
        /// Why.
        source: crate::embedded::quota::NoQuota,
    },
    /// A component ended before it was ready.
    #[error("{0}")]
    Ended(ComponentEnded),
    /// A component did not become ready.
    #[error("{name} was not ready within {seconds} s; the last lines of {log}:\n{last_lines}")]
    NotReady {
        /// Its name.
        name: String,
        /// How long it was waited for.
        seconds: u64,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        last_lines: String,
    },
    /// A container did not do by what one would know that it serves.
    #[error("{name} {what}; the last lines of {log}:\n{last_lines}")]
    NotServing {
        /// What it plays, and its image.
        name: String,
        /// What was awaited, that it listens on a port, say, and that it ended instead, or did nothing for so long.
        what: String,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        last_lines: String,
    },
    /// A component that runs once has not done what it was started for.
    #[error("{name}, which runs once, {how}; the last lines of {}:\n{last_lines}", log.display())]
    NotDone {
        /// Its name.
        name: String,
        /// How it ended, or that it did not.
        how: String,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        last_lines: String,
    },
    /// A component was to end, and did not.
    #[error("{name} was to end, and still ran {seconds} s later")]
    NotEnded {
        /// Its name.
        name: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A port is in use.
    #[error("port {port} is used by another program, and {name} was to listen there")]
    PortUsed {
        /// The port.
        port: u16,
        /// Who wanted it.
        name: &'static str,
    },
    /// A run's name that cannot be part of other names.
    #[error("`{0}` cannot be a run's name: it must be ASCII letters and digits")]
    RunName(String),
    /// The system refused something: processes, files, sockets.
    #[error("{what}")]
    System {
        /// What could not be done.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Kafka refused something.
    #[error("Kafka refused: {what}")]
    Kafka {
        /// What could not be done.
        what: String,
        /// What the client library said.
        source: rdkafka::error::KafkaError,
    },
    /// Docker refused something, or is not there.
    #[error("{what}")]
    Docker {
        /// What could not be done.
        what: String,
        /// What to do about it.
        help: String,
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An image that the scenario names for a place of the pipeline, or beside it, cannot be started as it says.
    #[error("{name}: {what}")]
    Substitute {
        /// What it plays.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// ClickHouse refused something.
    #[error("ClickHouse refused: {what}")]
    Clickhouse {
        /// What could not be done.
        what: String,
        /// What the client library said.
        source: Box<clickhouse::error::Error>,
    },
}

impl EnvironmentError {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::Prepare(error) => error.help(),
            Self::TooFewProcessors { .. } => {
                "say fewer in `pipeline.budget.processors`, or use a larger machine".into()
            }
            Self::Quota { .. } => "run it with `--env containers`, or leave `pipeline.processors` out".into(),
            Self::Ended(ended) if ended.out_of_memory => {
                "it is held to the scenario's `pipeline.budget` and `pipeline.memory`: allow it more".into()
            }
            Self::Ended(_) | Self::NotReady { .. } => {
                "the lines above are from its log; free memory and disk are the first things to look at".into()
            }
            Self::NotServing { .. } => {
                "the lines above are what it said last. Is it an image of the contract that docs/containers.md tells? \
                 `--image` and the scenario name another; if it is, look at free memory and disk"
                    .into()
            }
            Self::PortUsed { port, .. } => {
                format!("leave the port out and a free one is chosen, or end the program that holds {port}")
            }
            Self::NotEnded { .. } => {
                "a process that waits for a disk cannot be killed; the system's log tells more".into()
            }
            Self::NotDone { .. } => {
                "nothing was sent; correct what it does, or give it more time with `within` in its [[component]]".into()
            }
            Self::Docker { help, .. } => help.clone(),
            Self::Substitute { .. } => {
                "correct the scenario; docs/containers.md says what its variables may name".into()
            }
            Self::RunName(_) => "choose another name".into(),
            Self::System { .. } => "free memory, disk and file handles are the first things to look at".into(),
            Self::Kafka { .. } | Self::Clickhouse { .. } => {
                "the component's log in the run's directory tells more".into()
            }
        }
    }
}

/// So many of a log's last lines go into an error.
const LAST_LINES: usize = 15;

/// The last lines of a component's log, for an error.
pub(crate) fn last_lines(log: &Path) -> String {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = text.unwrap_or_else(|error| format!("(the log cannot be read: {error})"));
    let lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() { "(it is empty)".into() } else { lines[lines.len().saturating_sub(LAST_LINES)..].join("\n") }
}
