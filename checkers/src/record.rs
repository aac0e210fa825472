//! `RunRecord`: everything that a report reads, and the form of verdict.json.
//!
//! It names what is true, never its opposite. Times are seconds; rates are defect rates as fractions.

use std::collections::BTreeMap;

use generators::replay::Imported;
use serde::{Deserialize, Serialize};

use crate::{
    checks::{CheckResult, Times},
    details::Details,
    disturbance::FaultFacts,
    observe::lag::PartitionLag,
    reconcile::evidence::{Counts, ExportFacts, Finding},
    tamper::SelfTest,
    verdict::Verdict,
};

/// The version of verdict.json.
pub const SCHEMA: u32 = 1;

/// A judged run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The version of this form.
    pub schema: u32,
    /// What the run comes to.
    pub verdict: Verdict,
    /// Why it is not simply what its checks say, and what they say where they do not pass.
    pub reasons: Vec<String>,
    /// The exit code that goes with the verdict.
    pub exit_code: u8,
    /// Which run this is.
    pub run: RunFacts,
    /// How honestly the traffic was sent.
    pub generator: GeneratorFacts,
    /// What was counted.
    pub counts: Counts,
    /// What the taps on Kafka's topics told; none where Kafka could not be read, so that nobody knows where an event was
    /// lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages: Option<StageFacts>,
    /// What became of the defects that were planted in a copy of the evidence; none where no event was clean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_test: Option<SelfTest>,
    /// What plugins exported; none where no plugin exports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exports: Option<ExportFacts>,
    /// The checks' answers.
    pub checks: Vec<CheckResult>,
    /// When events became visible.
    pub time_to_visible: Times,
    /// Which columns were judged.
    pub judged_columns: Vec<String>,
    /// In how many events each column differed.
    pub differing_columns: BTreeMap<String, u64>,
    /// The first few defects of each class.
    pub findings: Vec<Finding>,
    /// What a report draws beside that; a file of its own, and none for files.
    #[serde(skip)]
    pub details: Option<Box<Details>>,
}

impl RunRecord {
    /// The reasons that are no check's: what stood in the way of the whole run.
    pub fn beside_checks(&self) -> impl Iterator<Item = &String> {
        let of_a_check = |reason: &str| {
            self.checks
                .iter()
                .any(|check| reason.strip_prefix(&check.name).is_some_and(|reason| reason.starts_with(": ")))
        };
        self.reasons.iter().filter(move |reason| !of_a_check(reason))
    }
}

/// Which run, of what, in what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFacts {
    /// The run's id; none for files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The scenario's name.
    pub scenario: String,
    /// When sending started, RFC 3339; none for files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// How long it took from the start of sending to the last final read, in seconds.
    pub duration: f64,
    /// The seed of all random values; none for files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The kind of environment.
    pub environment: String,
    /// The generation of the pipeline's rules; none for files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
    /// The confidence of every bound.
    pub confidence: f64,
    /// Defects that were planted on purpose: name and number of events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub planted_defects: Vec<String>,
    /// A digest of all that the scenario says, but its seed: runs with the same one were the same. None for files, and in
    /// records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<u32>,
    /// What was done to the pipeline on purpose while it ran, in the order of its planning.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultFacts>,
    /// How often the pipeline has warned of something, by its word for it: losses that it explains are among them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub warnings: BTreeMap<String, u64>,
    /// What the components have used from the moment when all were ready, as far as they are the run's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<ComponentFacts>,
    /// What became of a recording's lines, where one was replayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<Imported>,
}

/// What a component has used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComponentFacts {
    /// Its name; `assay` for the generator and the checker themselves.
    pub name: String,
    /// Seconds of processor time.
    pub cpu: f64,
    /// The most memory that was resident at once since it was started, in bytes.
    pub peak_memory: u64,
}

/// How honestly the traffic was sent. Requests, unless a name says events; seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeneratorFacts {
    /// Events that were planned.
    pub planned: u64,
    /// Events that were handed to a connection at least once.
    pub sent: u64,
    /// Requests that were handed to a connection, later attempts not counted.
    pub requests: u64,
    /// Later attempts of them that were, as clients' libraries make them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: u64,
    /// How punctual they were, where Assay itself has sent them.
    #[serde(flatten, default)]
    pub schedule: Option<ScheduleFacts>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What Kafka told of the way between capture and store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageFacts {
    /// Whether the taps have read everything up to the end of the run.
    pub complete: bool,
    /// Time-to-visible, split by stage.
    pub times: Vec<StageTime>,
    /// The greatest lag of any one partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greatest_lag: Option<PartitionLag>,
}

/// The time between two stages, in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    /// From which to which.
    pub stage: String,
    /// Among how many events.
    pub n: u64,
    /// The median.
    pub p50: Option<f64>,
    /// The 99th percentile.
    pub p99: Option<f64>,
}

/// How punctual a generator was. Seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScheduleFacts {
    /// The share of requests that left within the tolerance of their intended moment.
    pub on_schedule_share: f64,
    /// What counts as on schedule.
    pub tolerance: f64,
    /// The lateness that 99 % of requests did not exceed.
    pub lateness_p99: f64,
    /// The greatest lateness.
    pub lateness_max: f64,
}
