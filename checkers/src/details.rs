//! What a report draws and verdict.json is too short for: the course of the run, distributions, breakdowns, examples.
//!
//! Gathered while the run is judged, window after window, in memory that does not grow with it: a
//! [`timeline`] widens its buckets, distributions are histograms, groups are counted, examples are the first few and cut.
//! It is the form of details.json; nothing is judged by it.

pub mod breakdown;
pub mod distribution;
pub mod example;
pub mod timeline;

use serde::{Deserialize, Serialize};

use self::{
    breakdown::{Breakdown, Breakdowns},
    distribution::{Distribution, StageDistribution},
    example::Example,
    timeline::{Timeline, TimelineFacts},
};

/// The version of details.json.
pub const SCHEMA: u32 = 1;

/// Everything that a report draws beside the verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// The version of this form.
    pub schema: u32,
    /// The limit for p99 time-to-visible, in seconds, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visible_within: Option<f64>,
    /// What happened when.
    pub timeline: TimelineFacts,
    /// How long events took to be visible.
    pub time_to_visible: Distribution,
    /// The same, split by stage, where Kafka could be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageDistribution>,
    /// Among which events the defects are.
    pub defects: Breakdowns,
    /// The stories of the first few defects of each class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Example>,
    /// What the run was made from and ran on: label and value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<(String, String)>,
    /// How to do it again: what for, and the command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reproduce: Vec<(String, String)>,
}

/// What is gathered while the run is judged.
#[derive(Debug, Clone, Default)]
pub struct Gathered {
    /// By time.
    pub timeline: Timeline,
    /// By partition, traffic and size.
    pub breakdown: Breakdown,
}
