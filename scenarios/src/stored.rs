//! A run as its directory tells it, and its judgement: the same for a run that has just ended and for an old one.

use std::time::Duration;

use checkers::{
    judge::judge,
    oracle::dialect::Dialect,
    reconcile::{classify::Case, reads::Reads, rows::FinalRead, sent::Sent, stages::Stages},
    record::{RunFacts, RunRecord},
    verdict::Obstacle,
};
use generators::{
    journal::ReadError,
    ledger::{LedgerReader, Record},
    workload::{WORKLOAD_VERSION, Workload},
};

use crate::{
    failure::{Failure, Kind},
    manifest::{Conditions, Manifest, SCHEMA},
    run_directory::{RunDirectory, read_json},
};

/// Reads the run in `directory` and judges it.
///
/// # Errors
/// When the directory is none of a run, or holds something that cannot be trusted.
pub fn judge_directory(directory: &RunDirectory) -> Result<RunRecord, Failure> {
    let run = StoredRun::open(directory)?;
    let obstacles = match &run.conditions {
        Some(conditions) => conditions.obstacles.clone(),
        None => vec![Obstacle::Insufficient("the run was killed before it had settled".into())],
    };
    let last = run.final_reads.last().map(|read| read.end).or_else(|| run.reads.last().map(|(_, end)| end));
    let facts = facts(&run.manifest, last.unwrap_or_default());
    let lag = run.conditions.as_ref().and_then(|conditions| conditions.greatest_lag.as_ref());
    Ok(judge(&run.case(), &run.manifest.targets, &run.manifest.allowances, obstacles, lag, facts))
}

/// A run as its directory holds it.
#[derive(Debug)]
pub struct StoredRun {
    /// What it was made from.
    pub manifest: Manifest,
    directory: RunDirectory,
    workload: Workload,
    sent: Sent,
    reads: Reads,
    final_reads: Vec<FinalRead>,
    stages: Option<Stages>,
    conditions: Option<Conditions>,
}

impl StoredRun {
    /// Reads `directory`.
    ///
    /// # Errors
    /// When it is none of a run, or holds something that cannot be trusted.
    pub fn open(directory: &RunDirectory) -> Result<Self, Failure> {
        let manifest: Manifest = read_json(&directory.manifest())?.ok_or_else(|| {
            Failure::told(
                Kind::Usage,
                format!("{} is no run's directory: it holds no manifest.json", directory.path().display()),
                "name a directory such as runs/smoke/latest",
            )
        })?;
        if manifest.schema != SCHEMA || manifest.plan.workload_version != WORKLOAD_VERSION {
            return Err(Failure::told(
                Kind::Usage,
                format!("the run was made by Assay {}, whose workload this version cannot make again", manifest.assay),
                "judge it with the version that made it",
            ));
        }
        let workload = Workload::new(manifest.plan.clone(), manifest.personas.clone());
        let sent = fold_ledger(directory, manifest.environment.dialect, &workload)?;
        let reads = if directory.reads().exists() {
            Reads::open(&directory.reads()).map_err(damaged)?
        } else {
            Reads::default()
        };
        let mut final_reads = Vec::new();
        while directory.final_read(final_reads.len() + 1).exists() {
            // One that was not written to its end is none.
            match FinalRead::open(&directory.final_read(final_reads.len() + 1)).map_err(damaged)? {
                Some(read) => final_reads.push(read),
                None => break,
            }
        }
        let stages =
            directory.stages().exists().then(|| Stages::open(&directory.stages())).transpose().map_err(damaged)?;
        let conditions = read_json(&directory.conditions())?;
        Ok(Self { manifest, directory: directory.clone(), workload, sent, reads, final_reads, stages, conditions })
    }

    /// What there is to judge.
    pub fn case(&self) -> Case<'_> {
        Case {
            dialect: self.manifest.environment.dialect,
            workload: &self.workload,
            start: self.manifest.start,
            sent: &self.sent,
            reads: &self.reads,
            final_reads: &self.final_reads,
            stages: self.stages.as_ref(),
            loss_after: self.manifest.loss_after,
            visible_within: self.manifest.targets.p99_time_to_visible,
            clock_tolerance_micros: clock_tolerance_micros(
                self.conditions.as_ref().map_or(0, |conditions| conditions.clock_drift_micros),
            ),
        }
    }

    /// The ledger's records.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn records(&self) -> Result<Vec<Record>, Failure> {
        ledger(&self.directory)
    }
}

/// Folds the run's ledger; an empty one if sending never began.
///
/// # Errors
/// When it is damaged.
pub fn fold_ledger(directory: &RunDirectory, dialect: Dialect, workload: &Workload) -> Result<Sent, Failure> {
    Ok(Sent::fold(dialect, workload, ledger(directory)?))
}

fn ledger(directory: &RunDirectory) -> Result<Vec<Record>, Failure> {
    if !directory.ledger().exists() {
        return Ok(Vec::new());
    }
    let ledger = LedgerReader::open(&directory.ledger()).map_err(damaged)?;
    ledger.collect::<Result<_, ReadError>>().map_err(damaged)
}

/// On one host the clocks are one; what is left is how far the wall clock was moved during the run.
pub const fn clock_tolerance_micros(drift_micros: i64) -> i64 {
    drift_micros.abs()
}

fn damaged(error: ReadError) -> Failure {
    let kind = match &error {
        ReadError::Io { .. } => Kind::Unavailable,
        ReadError::Damaged { .. } => Kind::Usage,
    };
    Failure::caused(kind, "the run cannot be judged", "", error)
}

fn facts(manifest: &Manifest, duration: Duration) -> RunFacts {
    RunFacts {
        id: Some(manifest.plan.run.to_string()),
        scenario: manifest.scenario.clone(),
        started_at: Some(manifest.started_at.clone()),
        duration: duration.as_secs_f64(),
        seed: Some(manifest.plan.seed),
        environment: manifest.environment.kind.clone(),
        dialect: Some(match manifest.environment.dialect {
            Dialect::V2026 => "2026".into(),
        }),
        confidence: manifest.targets.confidence,
        planted_defects: manifest
            .planted_defects
            .iter()
            .map(|defect| {
                let name = serde_json::to_value(defect.name).ok();
                format!("{} in {} events", name.as_ref().and_then(|name| name.as_str()).unwrap_or("?"), defect.count)
            })
            .collect(),
    }
}
