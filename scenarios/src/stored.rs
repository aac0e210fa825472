//! A run as its directory tells it, and its judgement: the same for a run that has just ended and for an old one.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use checkers::{
    details::example::cut,
    disturbance::Watermark,
    judge::{Circumstances, Judge},
    reasons::Reason,
    reconcile::{
        classify::Case,
        exports::{Exports, ExportsLog, Summary as ExportsSummary},
        groups::{Groups, Judged, found::FoundGroups},
        reads::{Reads, ReadsLog},
        rows::{FinalRead, FinalReadLog},
        sent::{Sent, SentLog},
        stages::{Stages, StagesLog},
        windows::{Window, Windows},
    },
    record::{RunFacts, RunRecord},
    verdict::Obstacle,
};
use generators::{identity::StreamId, journal::ReadError, ledger::Record, workload::Workload};
use reports::limits;

use crate::{
    answers::answers,
    external::ExternalFacts,
    failure::{Failure, Kind},
    faults,
    ledgers::{self, Ledgers},
    manifest::{Conditions, Manifest},
    run_directory::{RunDirectory, read_json},
};

/// Reads the run in `directory` and judges it.
///
/// # Errors
/// When the directory is none of a run, or holds something that cannot be trusted.
pub fn judge_directory(directory: &RunDirectory) -> Result<RunRecord, Failure> {
    let mut run = StoredRun::open(directory)?;
    let obstacles = run.obstacles()?;
    let mut judge = Judge::new(run.windows.len(), run.reads.len(), run.final_reads.len(), run.stages.is_some());
    if let Some(external) = &run.manifest.environment.external {
        judge.leave_out(&external.not_judged);
    }
    if let Some(summary) = run.exports() {
        judge.exports(&summary);
    }
    run.judge_groups(|groups, found| judge.groups(groups, found))?;
    for (number, window) in run.windows.iter() {
        judge.window(&run.window(window, number)?.case());
    }
    let conditions = run.conditions.as_ref();
    let last = run.final_reads.last().map(FinalReadLog::summary);
    let end = last.map(|read| read.end).or_else(|| run.reads.last().map(|(_, end)| end));
    let circumstances = Circumstances {
        obstacles,
        schedule: &run.sent.schedule,
        last,
        taps_complete: run.stages.as_ref().map(|stages| stages.complete),
        greatest_lag: conditions.and_then(|conditions| conditions.greatest_lag.clone()),
        lags: read_json(&directory.lags())?.unwrap_or_default(),
        run: RunFacts {
            faults: conditions.map(|conditions| conditions.faults.clone()).unwrap_or_default(),
            warnings: conditions.map(|conditions| conditions.warnings.clone()).unwrap_or_default(),
            components: conditions.map(|conditions| conditions.components.clone()).unwrap_or_default(),
            ..facts(&run.manifest, end.unwrap_or_default())
        },
    };
    let mut allowances = run.manifest.allowances;
    if conditions.is_some_and(|conditions| conditions.stopped_early) {
        // What was not sent was not needed any more.
        allowances.unsent = 1.0;
    }
    let mut record = judge.finish(&run.manifest.targets, &allowances, circumstances);
    if let Some(details) = &mut record.details {
        details.environment = environment(&run.manifest);
        details.reproduce = reproduce(&run.manifest);
        let attempts = || details.examples.iter().flat_map(|example| &example.attempts);
        let wanted: HashSet<_> = attempts().filter_map(|attempt| attempt.key).collect();
        if !wanted.is_empty() {
            let answers = answers(run.records()?, &wanted)?;
            for attempt in details.examples.iter_mut().flat_map(|example| &mut example.attempts) {
                attempt.answer = attempt.key.and_then(|key| answers.get(&key)).map(|answer| cut(answer));
            }
        }
    }
    Ok(record)
}

/// A run as its directory holds it.
#[derive(Debug)]
pub struct StoredRun {
    /// What it was made from.
    pub manifest: Manifest,
    directory: RunDirectory,
    workload: Workload,
    windows: Windows,
    sent: SentLog,
    reads: ReadsLog,
    final_reads: Vec<FinalReadLog>,
    stages: Option<StagesLog>,
    exports: Option<ExportsLog>,
    conditions: Option<Conditions>,
    watermark: Watermark,
    /// What is wrong with groups, once that is judged.
    groups: Option<Judged>,
}

/// Everything that is known of one window of a run.
#[derive(Debug)]
pub struct StoredWindow<'a> {
    run: &'a StoredRun,
    sent: Sent,
    reads: Reads,
    final_reads: Vec<FinalRead>,
    stages: Option<Stages>,
    exports: Option<Exports>,
}

impl StoredRun {
    /// Reads `directory`.
    ///
    /// # Errors
    /// When it is none of a run, or holds something that cannot be trusted.
    pub fn open(directory: &RunDirectory) -> Result<Self, Failure> {
        let manifest = Manifest::read(directory)?;
        let workload = manifest.workload(directory)?;
        let (windows, folder) = (Windows::of(&workload), directory.path());
        let (dialect, tolerance) = (manifest.environment.dialect, manifest.allowances.tolerance);
        let conditions: Option<Conditions> = read_json(&directory.conditions())?;
        let ledgers = Ledgers::find(folder)?;
        if let Some(conditions) = &conditions {
            ledgers.must_be_whole(&conditions.ledgers, &conditions.ledger_checksums)?;
        }
        let records = ledgers.records(manifest.header())?;
        let sent = SentLog::sort(dialect, &workload, &windows, tolerance, folder, records).map_err(damaged)?;
        let reads = if directory.reads().exists() {
            ReadsLog::sort(&directory.reads(), &windows, folder).map_err(damaged)?
        } else {
            ReadsLog::empty()
        };
        let mut final_reads = Vec::new();
        while directory.final_read(final_reads.len() + 1).exists() {
            let path = directory.final_read(final_reads.len() + 1);
            // One that was not written to its end is none.
            match FinalReadLog::sort(&path, &windows, folder).map_err(damaged)? {
                Some(read) => final_reads.push(read),
                None => break,
            }
        }
        let path = directory.stages();
        let stages = path.exists().then(|| StagesLog::sort(&path, &windows, folder)).transpose().map_err(damaged)?;
        let (path, exporting) = (directory.exports(), manifest.plugins.exporting().count());
        let exports =
            path.exists().then(|| ExportsLog::sort(&path, &windows, folder, exporting)).transpose().map_err(damaged)?;
        let disturbed = match &conditions {
            Some(conditions) => faults::disturbed(&conditions.faults),
            None => faults::planned(&manifest.faults),
        };
        let watermark = Watermark { loss_after: manifest.loss_after, disturbed };
        let directory = directory.clone();
        Ok(Self {
            manifest,
            directory,
            workload,
            windows,
            sent,
            reads,
            final_reads,
            stages,
            exports,
            conditions,
            watermark,
            groups: None,
        })
    }

    /// What stands in the way of a pass, whatever the checks say.
    ///
    /// # Errors
    /// When the run's directory cannot be read.
    pub fn obstacles(&self) -> Result<Vec<Obstacle>, Failure> {
        let missing = Ledgers::find(self.directory.path())?.obstacle();
        Ok(obstacles(self.conditions.as_ref(), missing, self.sent.given_up))
    }

    /// What is said of all exports together, where plugins export; nothing was if their journal is not there.
    fn exports(&self) -> Option<ExportsSummary> {
        self.manifest.plugins.exporting().next()?;
        Some(self.exports.as_ref().map(|exports| exports.summary().clone()).unwrap_or_default())
    }

    /// Judges the table of groups as `judge` does, where there are some and the last final read has read it. What is said of an
    /// event holds what is wrong with its group from then on.
    ///
    /// # Errors
    /// When a temporary file cannot be read.
    pub fn judge_groups(&mut self, judge: impl FnOnce(&Groups, &FoundGroups) -> Judged) -> Result<(), Failure> {
        let Some(mut groups) = Groups::of(&self.workload) else { return Ok(()) };
        let Some(found) = self.final_reads.last().and_then(FinalReadLog::groups) else { return Ok(()) };
        for (number, window) in self.windows.iter().filter(|(_, window)| Groups::concern(&self.workload, window.stream))
        {
            groups.take(&self.window(window, number)?.case());
        }
        self.groups = Some(judge(&groups, found));
        Ok(())
    }

    /// What is known of the window that holds an event; `None` if the event was never planned.
    ///
    /// # Errors
    /// When a temporary file cannot be read.
    pub fn window_of(&self, stream: StreamId, seq: u64) -> Result<Option<StoredWindow<'_>>, Failure> {
        let number = self.windows.number(stream, seq);
        let window = number.and_then(|number| Some((self.windows.window(number)?, number)));
        window.map(|(window, number)| self.window(window, number)).transpose()
    }

    fn window(&self, window: Window, number: usize) -> Result<StoredWindow<'_>, Failure> {
        let final_reads = self.final_reads.iter().map(|read| read.window(window.clone(), number));
        let stages = self.stages.as_ref().map(|stages| stages.window(window.clone(), number));
        let exporting = self.manifest.plugins.exporting().count();
        let exports = match &self.exports {
            Some(exports) => Some(exports.window(window.clone(), number).map_err(damaged)?),
            None if exporting > 0 => Some(Exports::new(window.clone(), exporting, false)),
            None => None,
        };
        Ok(StoredWindow {
            run: self,
            exports,
            reads: self.reads.window(window.clone(), number).map_err(damaged)?,
            final_reads: final_reads.collect::<Result<_, _>>().map_err(damaged)?,
            stages: stages.transpose().map_err(damaged)?,
            sent: self.sent.window(&self.workload, window, number).map_err(damaged)?,
        })
    }

    /// The records of the ledgers.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn records(&self) -> Result<impl Iterator<Item = Result<Record, Failure>>, Failure> {
        let ledgers = Ledgers::find(self.directory.path())?;
        Ok(ledgers.records(self.manifest.header())?.map(|record| record.map_err(damaged)))
    }
}

impl StoredWindow<'_> {
    /// What there is to judge.
    pub fn case(&self) -> Case<'_> {
        let manifest = &self.run.manifest;
        let drift = self.run.conditions.as_ref().map_or(0, |conditions| conditions.clock_drift_micros);
        Case {
            dialect: manifest.environment.dialect,
            plugins: &manifest.plugins,
            workload: &self.run.workload,
            start: manifest.start,
            sent: &self.sent,
            reads: &self.reads,
            final_reads: &self.final_reads,
            stages: self.stages.as_ref(),
            exports: self.exports.as_ref(),
            groups: self.run.groups.as_ref(),
            watermark: &self.run.watermark,
            visible_within: manifest.targets.p99_time_to_visible,
            clock_tolerance_micros: clock_tolerance_micros(drift)
                + manifest.environment.external.as_ref().map_or(0, ExternalFacts::clock_tolerance_micros),
        }
    }
}

/// What stood in the way when the run ended, and what its ledgers tell beside: shares that are missing, and that others may have
/// sent, so that who ran the run did not know what they have given up.
fn obstacles(conditions: Option<&Conditions>, missing: Option<Obstacle>, given_up: u64) -> Vec<Obstacle> {
    let mut obstacles = match conditions {
        Some(conditions) => conditions.obstacles.clone(),
        None => vec![Obstacle::Insufficient(Reason::Killed.words().into())],
    };
    obstacles.extend(missing);
    obstacles.extend(ledgers::given_up(given_up).map(Obstacle::Insufficient));
    obstacles
}

/// On one host the clocks are one; what is left is how far the wall clock was moved during the run. Between hosts their offset
/// comes to it.
pub const fn clock_tolerance_micros(drift_micros: i64) -> i64 {
    drift_micros.abs()
}

/// The failure to read what a run has written.
pub fn damaged(error: ReadError) -> Failure {
    let kind = match &error {
        ReadError::Io { .. } | ReadError::Aside { .. } => Kind::Unavailable,
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
        dialect: Some(manifest.environment.dialect.word().into()),
        digest: manifest.scenario_digest,
        confidence: manifest.targets.confidence,
        planted_defects: manifest
            .planted_defects
            .iter()
            .map(|defect| {
                let name = serde_json::to_value(defect.name).ok();
                format!("{} in {} events", name.as_ref().and_then(|name| name.as_str()).unwrap_or("?"), defect.count)
            })
            .collect(),
        faults: Vec::new(),
        warnings: BTreeMap::new(),
        components: Vec::new(),
        recording: manifest.recording,
    }
}

/// What the run was made from and ran on, for people.
fn environment(manifest: &Manifest) -> Vec<(String, String)> {
    let Manifest { environment, machine, targets, plan, .. } = manifest;
    let seconds = |duration: Duration| format!("{} s", duration.as_secs_f64());
    let events: u64 = plan.traffic.iter().map(|traffic| traffic.events).sum();
    let promises = format!(
        "at most {:.4} % lost and {:.4} % wrong, at {:.1} % confidence each; a missing event is lost after {}",
        targets.loss * 100.0,
        targets.correctness * 100.0,
        targets.confidence * 100.0,
        seconds(manifest.loss_after),
    );
    let traffics: Vec<&str> = plan.traffic.iter().map(|traffic| traffic.name.as_str()).collect();
    let mut facts = vec![
        ("Traffic", format!("{events} events planned ({}), seed {}", traffics.join(", "), plan.seed)),
        ("Promises", promises),
        ("Environment", format!("{}, rules of dialect {}", environment.kind, environment.dialect.word())),
        ("Kafka", format!("{}; {} partitions a topic", environment.kafka, environment.partitions)),
        ("ClickHouse", format!("{}; flushes after {}", environment.clickhouse, seconds(environment.flush_interval))),
    ];
    if environment.ingesters > 0 {
        facts.push(("Ingesters", environment.ingesters.to_string()));
    }
    if environment.shards > 1 {
        facts.push(("Shards", format!("{}, read through a Distributed table", environment.shards)));
    }
    if let Some(limits) = limits::told(&environment.limits) {
        facts.push(("Limits", limits));
    }
    facts.push(("Machine", format!("{}, {} processors", machine.platform, machine.processors)));
    facts.push(("Assay", manifest.assay.clone()));
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// How to do it again, for people.
fn reproduce(manifest: &Manifest) -> Vec<(String, String)> {
    let again = manifest.command.as_ref().map(|command| {
        ("The same traffic through a new pipeline:".to_owned(), format!("{command} --seed {}", manifest.plan.seed))
    });
    let here = "In this run's directory: judge it again, or see one event's whole story:";
    let judge = (here.to_owned(), "assay check .\nassay explain EVENT-ID --run .".to_owned());
    again.into_iter().chain([judge]).collect()
}

#[cfg(test)]
mod tests {
    use checkers::verdict::{Verdict, merge};

    use super::*;

    #[test]
    fn repeats_that_any_share_has_given_up_forbid_a_pass_whoever_judges() {
        let ended: Conditions = serde_json::from_str(
            r#"{ "schema": 1, "obstacles": [], "clock_drift_micros": 0, "final_reads": 1, "stopped_early": false }"#,
        )
        .unwrap();
        assert_eq!(obstacles(Some(&ended), None, 0), []);
        let found = obstacles(Some(&ended), None, 3_000);
        let [Obstacle::Insufficient(told)] = found.as_slice() else { panic!("{found:?}") };
        assert!(told.starts_with("3 000 second sendings and duplicates of requests were given up"), "{told}");
        assert_eq!(merge([Verdict::Pass], &found), Verdict::Inconclusive);
        assert_eq!(merge([Verdict::Fail], &found), Verdict::Fail, "what is broken stays so");
        // Beside whatever else stands in the way.
        let missing = Obstacle::Invalid("a share".into());
        assert_eq!(obstacles(Some(&ended), Some(missing.clone()), 1).len(), 2);
        let killed = obstacles(None, Some(missing.clone()), 0);
        assert_eq!(killed, [Obstacle::Insufficient(Reason::Killed.words().into()), missing]);
    }
}
