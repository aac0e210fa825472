//! The plan of a workload: everything that decides what is sent, and is kept in a run's manifest.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::client::Client;
use crate::{
    identity::RunId,
    random::{Distribution, Share},
    schedule::Arrival,
};

/// The generation of the rules in this folder; a stored run names the one that it was made with.
pub const WORKLOAD_VERSION: u32 = 4;

/// Everything that decides what is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The version of the rules.
    pub workload_version: u32,
    /// The run.
    pub run: RunId,
    /// Chooses all random values.
    pub seed: u64,
    /// The streams, by their number.
    pub traffic: Vec<Traffic>,
}

/// One stream of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Its name in the scenario.
    pub name: String,
    /// How many events.
    pub events: u64,
    /// When they are due.
    pub arrival: Arrival,
    /// The least and the greatest number of events in a request.
    pub batch: (u64, u64),
    /// Where requests go and in what form.
    pub endpoint: Endpoint,
    /// Whether bodies are compressed.
    pub compression: Compression,
    /// The project's token.
    pub token: String,
    /// The team that the token belongs to, in which rows must appear.
    pub team: i64,
    /// Whom the events are about.
    pub persons: Persons,
    /// How the order and the clocks are disturbed.
    pub disorder: Disorder,
    /// How many SDK instances share the requests, in turn; each has a clock of its own.
    pub clients: u64,
    /// Why every event is acked and none may appear, where that is so.
    #[serde(default)]
    pub absent: Option<Absence>,
    /// How its clients deliver.
    #[serde(default)]
    pub client: Client,
}

/// Why events are acked and not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Absence {
    /// The token's quota is used up.
    OverQuota,
    /// The token is on the operator's drop list.
    DropListed,
}

impl Absence {
    /// The reason in words.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::OverQuota => "the token's quota is used up",
            Self::DropListed => "the token is on the drop list",
        }
    }
}

/// An endpoint of the capture API (ingestion contract 1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `/batch/`: an object with the token, `sent_at` and a list.
    Batch,
    /// `/e/`: a list of events, or one alone.
    E,
    /// `/capture/`: one event.
    Capture,
    /// `/i/v0/e/`: a list of events, or one alone.
    IV0E,
}

/// How a request's body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip, told by its magic bytes.
    Gzip,
}

/// The people of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Persons {
    /// How many, at least 1.
    pub count: u64,
    /// Which share starts anonymous and identifies on the way.
    pub identify: Share,
}

/// How a stream differs from an orderly one, which is the default.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Disorder {
    /// Which share of events happened earlier than their place says.
    pub backdated: Share,
    /// By how much.
    pub backdated_by: Distribution,
    /// Which share of events is said to happen later than it is sent.
    #[serde(default)]
    pub ahead: Share,
    /// By how much.
    #[serde(default)]
    pub ahead_by: Distribution,
    /// Within which window the order of sending is random; zero keeps it.
    pub shuffle: Duration,
    /// Which share of events is sent a second time, unchanged, in a later request of the same client.
    pub resend: Share,
    /// How far clients' clocks are off.
    pub clock_skew: Distribution,
}
