//! manifest.json: what a run was, and conditions.json: how it ended.
//!
//! The manifest is written before the first event leaves, so that a run that is killed can be judged.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use checkers::{
    checks::Targets,
    disturbance::FaultFacts,
    judge::Allowances,
    observe::lag::PartitionLag,
    oracle::{dialect::Dialect, plugin::Plugins},
    record::ComponentFacts,
    verdict::Obstacle,
};
use generators::{
    clock::RunStart,
    journal::Header,
    persona::PersonaTable,
    replay::Imported,
    workload::{Plan, Workload},
};
use reports::limits::LimitFacts;
use serde::{Deserialize, Serialize};
use testenv::{fault::PlannedFault, pipeline::defect::PlantedDefect};

use crate::{
    external::ExternalFacts,
    failure::{Failure, Kind},
    recording,
    run_directory::{RunDirectory, read_json},
};

/// The version of both forms.
pub const SCHEMA: u32 = 1;

/// Everything that a run was made from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this form.
    pub schema: u32,
    /// The version of Assay.
    pub assay: String,
    /// The scenario's name.
    pub scenario: String,
    /// A digest of all that it says, but its seed.
    #[serde(default)]
    pub scenario_digest: Option<u32>,
    /// The start of sending, RFC 3339.
    pub started_at: String,
    /// The same, in microseconds since 1970: what all offsets count from.
    pub start: RunStart,
    /// What was planned.
    pub plan: Plan,
    /// The personas.
    pub personas: PersonaTable,
    /// The environment.
    pub environment: EnvironmentFacts,
    /// What was broken on purpose.
    pub planted_defects: Vec<PlantedDefect>,
    /// What its teams let run over their events.
    #[serde(default)]
    pub plugins: Plugins,
    /// What was to be done to it on purpose.
    #[serde(default)]
    pub faults: Vec<PlannedFault>,
    /// What was expected.
    pub targets: Targets,
    /// What the run might fall short of.
    pub allowances: Allowances,
    /// How old an event must be to be lost.
    pub loss_after: Duration,
    /// The quiet time of settling.
    pub quiet: Duration,
    /// How long settling might take.
    pub settle_limit: Duration,
    /// What became of the recording's lines, where one was replayed.
    #[serde(default)]
    pub recording: Option<Imported>,
    /// The machine.
    pub machine: Machine,
    /// The command that makes such a run, but for its seed.
    #[serde(default)]
    pub command: Option<String>,
}

impl Manifest {
    /// The manifest of the run in `directory`.
    ///
    /// # Errors
    /// When there is none, or it is of another version.
    pub fn read(directory: &RunDirectory) -> Result<Self, Failure> {
        directory.must_be_a_runs()?;
        let manifest: Self = read_json(&directory.manifest())?
            .ok_or_else(|| Failure::told(Kind::Usage, format!("{} is gone", directory.manifest().display()), ""))?;
        if manifest.schema != SCHEMA || !manifest.plan.can_be_made() {
            return Err(Failure::told(
                Kind::Usage,
                format!("the run was made by Assay {}, whose workload this version cannot make again", manifest.assay),
                "use the version that made it",
            ));
        }
        Ok(manifest)
    }

    /// The traffic, with the recording in `directory` if it is a replay.
    ///
    /// # Errors
    /// When the recording cannot be read.
    pub fn workload(&self, directory: &RunDirectory) -> Result<Workload, Failure> {
        let is_replay = self.plan.traffic.iter().any(|traffic| traffic.replay.is_some());
        let recording = is_replay.then(|| recording::open(&directory.recording())).transpose()?.map(Arc::new);
        Ok(Workload::replaying(self.plan.clone(), self.personas.clone(), recording.as_ref()))
    }

    /// What the run's journals begin with.
    pub const fn header(&self) -> Header {
        Header { run: self.plan.run, start: self.start }
    }
}

/// What the run was tested against.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnvironmentFacts {
    /// embedded, containers or external.
    pub kind: String,
    /// Where its capture listens.
    #[serde(default)]
    pub capture: Option<String>,
    /// Kafka's version.
    pub kafka: String,
    /// ClickHouse's version.
    pub clickhouse: String,
    /// After how long ClickHouse's Kafka engine flushes.
    pub flush_interval: Duration,
    /// How many partitions each topic had.
    pub partitions: u32,
    /// How many ingesters shared them.
    #[serde(default)]
    pub ingesters: usize,
    /// On how many shards the events were.
    #[serde(default)]
    pub shards: u8,
    /// Which generation of PostHog's rules the pipeline followed.
    pub dialect: Dialect,
    /// What is known of somebody else's pipeline, where it was one.
    #[serde(default)]
    pub external: Option<ExternalFacts>,
    /// The limits that were in force on its components; those that had none are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitFacts>,
}

/// Where it ran.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// Operating system and architecture.
    pub platform: String,
    /// How many processors could be used.
    pub processors: usize,
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        Self {
            platform: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// How a run ended. A run without it was killed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Conditions {
    /// The version of this form.
    pub schema: u32,
    /// What stood in the way of a verdict.
    pub obstacles: Vec<Obstacle>,
    /// How far the wall clock moved against the monotonic one, in microseconds.
    pub clock_drift_micros: i64,
    /// How many final reads were completed.
    pub final_reads: usize,
    /// Whether sending ended before everything was sent because the sequential test had its answer.
    #[serde(default)]
    pub stopped_early: bool,
    /// How the faults went, in the order of the manifest's; fewer where the run was stopped.
    #[serde(default)]
    pub faults: Vec<FaultFacts>,
    /// How often the pipeline has warned of something, by its word for it.
    #[serde(default)]
    pub warnings: BTreeMap<String, u64>,
    /// What the components have used since all were ready.
    #[serde(default)]
    pub components: Vec<ComponentFacts>,
    /// The greatest lag of any one partition while it ran.
    #[serde(default)]
    pub greatest_lag: Option<PartitionLag>,
    /// How long each ledger was, in bytes, so that one that was lost or cut off since is no proof of anything.
    #[serde(default)]
    pub ledgers: BTreeMap<String, u64>,
    /// The CRC-32 of those bytes, since a length that was damaged in the middle of one looks like its end.
    #[serde(default)]
    pub ledger_checksums: BTreeMap<String, u32>,
}
