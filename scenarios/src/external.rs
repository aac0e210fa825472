//! Somebody else's running pipeline: where it is, what it is called there, and what may be done to it.
//!
//! All of it stands in one file of its own (`--external FILE`), so that every scenario can be run against every pipeline.
//! Secrets are named by an environment variable or a file and never stored.

mod ceiling;
mod check;
mod conceal;
mod connector;
mod fault_command;
mod file;
mod preflight;
mod project;
mod secret;

use std::{path::PathBuf, time::Duration};

use checkers::observe::{columns::Columns, lag::Subscription, taps::TappedTopics};
use generators::timetable::Shard;
use serde::{Deserialize, Serialize};

use self::secret::Secret;
pub use self::{
    ceiling::{Confirmation, Limits, Offer, RaisedBy, confirm},
    fault_command::{Commands, FaultCommand},
    preflight::{Reached, check_tokens, reach},
    project::{Project, Projects, Token},
};
use crate::scenario::Scenario;

#[cfg(test)]
pub use self::fault_command::tests as fault_tests;

/// A pipeline that runs already.
#[derive(Debug, Clone, PartialEq)]
pub struct External {
    /// Where events are sent to.
    pub capture: Place,
    /// The projects that they are sent to.
    pub projects: Vec<Project>,
    /// Where rows are read.
    pub clickhouse: Clickhouse,
    /// Kafka, where it may be read.
    pub kafka: Option<Kafka>,
    /// What breaks it, and what heals it.
    pub fault_commands: Vec<FaultCommand>,
    /// The most that may be sent.
    pub limits: Limits,
}

impl External {
    /// What somebody shall agree to before `windows` windows of `scenario` are sent there.
    pub fn offer(&self, scenario: &Scenario, windows: u64) -> Offer {
        Offer {
            to: self.capture.url.clone(),
            limits: self.limits,
            raised_by: RaisedBy::File,
            // Whoever sends the other shares of it.
            shard: Shard::WHOLE,
            windows,
            faults: self.fault_lines(scenario, windows),
        }
    }
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub url: String,
    /// A CA of one's own, in PEM.
    pub ca: Option<PathBuf>,
}

/// ClickHouse, and the table of events in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clickhouse {
    /// Where it is.
    pub place: Place,
    /// The user; one that may only read is enough.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// The database.
    pub database: String,
    /// The table, a view or a Distributed table.
    pub table: String,
    /// The table of groups, where it may be read.
    pub groups_table: Option<String>,
    /// What its columns are called.
    pub columns: Columns,
    /// From the beginning of one look for new rows to that of the next.
    pub look_every: Duration,
}

/// Kafka, read without joining anybody's group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kafka {
    /// `HOST:PORT`, several separated by commas.
    pub brokers: String,
    /// Whose lag says that the pipeline is quiet.
    pub groups: Vec<Subscription>,
    /// What is tapped, to tell where an event got lost.
    pub topics: Option<TappedTopics>,
    /// TLS, if it speaks that.
    pub tls: Option<Tls>,
    /// Mechanism, user and password.
    pub sasl: Option<Sasl>,
}

/// Whom we trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// A CA of one's own, in PEM, in the place of the system's.
    pub ca: Option<PathBuf>,
}

/// Who we are to Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sasl {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: String,
    /// The user.
    pub user: String,
    /// Its password.
    pub password: Secret,
}

/// What is kept of it in a run's manifest: addresses, and no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalFacts {
    /// Where ClickHouse is.
    pub clickhouse: String,
    /// The user there.
    pub user: String,
    /// The table.
    pub table: String,
    /// How new rows were found.
    pub rows_found_by: String,
    /// Columns that the table lacks, so that they are not judged.
    pub not_judged: Vec<String>,
    /// Kafka's brokers, where they may be read.
    #[serde(default)]
    pub brokers: Option<String>,
    /// By how much ClickHouse's clock was ahead of this machine's, in microseconds.
    pub clock_offset_micros: i64,
    /// How far that may be from the truth, in microseconds.
    pub clock_uncertainty_micros: i64,
}

impl ExternalFacts {
    /// By how much clocks may differ, at most.
    pub const fn clock_tolerance_micros(&self) -> i64 {
        self.clock_offset_micros.abs() + self.clock_uncertainty_micros
    }
}
