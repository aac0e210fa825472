//! From a case to a judged run: evidence, checks, what stands in the way, verdict.
//!
//! The same code judges a run that has just ended and one that was stored.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    checks::{self, Targets, Times},
    observe::lag::PartitionLag,
    reconcile::{
        classify::{Case, Judging},
        evidence::{Counts, Evidence, Finding},
        rows::Summary,
        schedule::Schedule,
        spans::Split,
    },
    record::{GeneratorFacts, RunFacts, RunRecord, SCHEMA, ScheduleFacts, StageFacts, StageTime},
    tamper::{SelfTest, self_test},
    verdict::{Obstacle, Verdict, merge},
};

/// What a run may fall short of and still be judged; the shares are of planned events or of requests.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Allowances {
    /// A request that leaves later than this after its intended moment is late.
    pub tolerance: Duration,
    /// The share of requests that may be late.
    pub late: f64,
    /// The share of events that may be rejected.
    pub rejected: f64,
    /// The share of events that may be indeterminate.
    pub indeterminate: f64,
    /// The share of planned events that may never have left.
    #[serde(default = "unsent")]
    pub unsent: f64,
}

const fn unsent() -> f64 {
    0.01
}

impl Default for Allowances {
    fn default() -> Self {
        Self {
            tolerance: Duration::from_millis(100),
            late: 0.01,
            rejected: 0.01,
            indeterminate: 0.01,
            unsent: unsent(),
        }
    }
}

/// A run that is being judged, window after window.
#[derive(Debug)]
pub struct Judge {
    judging: Judging,
    /// What the self-tests of the windows came to together; `None` while no window had clean events to spare.
    self_test: Option<SelfTest>,
    windows: usize,
    /// The self-test is made in one of so many windows.
    every: usize,
}

/// What only the runner knows of a run.
#[derive(Debug)]
pub struct Circumstances<'a> {
    /// What stands in the way of a verdict, such as a stopped run or a failed component.
    pub obstacles: Vec<Obstacle>,
    /// How well the requests kept to their time.
    pub schedule: &'a Schedule,
    /// What the last final read says as a whole.
    pub last: Option<&'a Summary>,
    /// Where Kafka could be read: whether everything up to the end of the run was.
    pub taps_complete: Option<bool>,
    /// The greatest lag of a partition.
    pub greatest_lag: Option<PartitionLag>,
    /// Which run it is.
    pub run: RunFacts,
}

impl Judge {
    /// A run of so many windows, with so many reads that list ids and so many final ones; `stages` tells whether partitions
    /// are known.
    pub fn new(windows: usize, reads: usize, final_reads: usize, stages: bool) -> Self {
        let judging = Judging::new(reads, final_reads, stages);
        Self { judging, self_test: None, windows: 0, every: windows.div_ceil(SELF_TESTS).max(1) }
    }

    /// Judges the events of one window.
    pub fn window(&mut self, case: &Case<'_>) {
        self.judging.window(case);
        if self.windows.is_multiple_of(self.every) {
            // A crash of the self-test is as bad as a failed one.
            let tested = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self_test(case)));
            if let Some(tested) = tested.unwrap_or_else(|_| Some(SelfTest::crashed())) {
                self.self_test =
                    Some(self.self_test.take().map_or_else(|| tested.clone(), |before| before.and(&tested)));
            }
        }
        self.windows += 1;
    }

    /// The verdict on all windows.
    pub fn finish(self, targets: &Targets, allowances: &Allowances, circumstances: Circumstances<'_>) -> RunRecord {
        let Circumstances { mut obstacles, schedule, last, taps_complete, greatest_lag, run } = circumstances;
        let evidence = self.judging.finish(last);
        let generator = honesty(schedule, &evidence.counts);
        if let Some(result) = self.self_test.as_ref().filter(|result| !result.passed()) {
            obstacles.push(Obstacle::Invalid(result.told()));
        }
        let times = stage_times(&evidence);
        let stages = taps_complete.map(|complete| StageFacts { complete, times, greatest_lag });
        let self_test = self.self_test;
        RunRecord { stages, self_test, ..conclude(evidence, generator, targets, allowances, obstacles, run) }
    }
}

/// The self-test is made in about so many windows, from all over the run.
const SELF_TESTS: usize = 8;

fn stage_times(evidence: &Evidence) -> Vec<StageTime> {
    let quantiles = evidence.split.quantile(0.5).into_iter().zip(evidence.split.quantile(0.99));
    Split::PARTS
        .into_iter()
        .zip(quantiles)
        .map(|(stage, ((n, p50), (_, p99)))| StageTime { stage: stage.to_owned(), n, p50, p99 })
        .collect()
}

/// What `evidence` comes to, wherever it is from.
pub fn conclude(
    evidence: Evidence,
    generator: GeneratorFacts,
    targets: &Targets,
    allowances: &Allowances,
    mut obstacles: Vec<Obstacle>,
    run: RunFacts,
) -> RunRecord {
    obstacles.extend(shortfalls(&evidence.counts, &generator, allowances, evidence.reads));
    let checks = checks::all(&evidence, targets);
    let verdict = merge(checks.iter().map(|check| check.verdict), &obstacles);
    let mut reasons: Vec<String> = obstacles
        .iter()
        .map(|obstacle| match obstacle {
            Obstacle::Invalid(what) | Obstacle::Insufficient(what) => what.clone(),
        })
        .collect();
    reasons.extend(
        checks
            .iter()
            .filter(|check| matches!(check.verdict, Verdict::Fail | Verdict::Inconclusive))
            .map(|check| format!("{}: {}", check.name, check.reason)),
    );
    let findings: Vec<Finding> = evidence.examples.values().flatten().cloned().collect();
    RunRecord {
        schema: SCHEMA,
        verdict,
        reasons,
        exit_code: verdict.exit_code(),
        run,
        generator,
        counts: evidence.counts,
        checks,
        stages: None,
        self_test: None,
        time_to_visible: Times::of(&evidence, targets),
        judged_columns: evidence.judged_columns,
        differing_columns: evidence.columns,
        findings,
    }
}

/// How honestly the traffic was sent, from the ledger alone.
fn honesty(schedule: &Schedule, counts: &Counts) -> GeneratorFacts {
    GeneratorFacts {
        planned: counts.planned,
        sent: counts.planned - counts.unsent,
        requests: schedule.requests(),
        schedule: Some(ScheduleFacts {
            on_schedule_share: schedule.on_schedule_share(),
            tolerance: schedule.tolerance().as_secs_f64(),
            lateness_p99: schedule.lateness_p99().as_secs_f64(),
            lateness_max: schedule.latest().as_secs_f64(),
        }),
    }
}

/// What forbids a pass, as far as the counts tell.
fn shortfalls(counts: &Counts, generator: &GeneratorFacts, allowances: &Allowances, reads: usize) -> Vec<Obstacle> {
    let share = |part: u64| if counts.planned == 0 { 0.0 } else { part as f64 / counts.planned as f64 };
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    let mut what = Vec::new();
    if generator.sent == 0 {
        what.push("nothing was sent".to_owned());
    } else if counts.acked == 0 {
        what.push("nothing was acked".to_owned());
    }
    if reads == 0 {
        what.push("no read of the store completed".to_owned());
    }
    if let Some(schedule) = &generator.schedule
        && generator.requests > 0
        && schedule.on_schedule_share < 1.0 - allowances.late
    {
        what.push(format!(
            "the generator missed its schedule: {} of the requests left more than {} ms late, {} are allowed; \
             lower the rate or give the machine more room",
            percent(1.0 - schedule.on_schedule_share),
            schedule.tolerance * 1e3,
            percent(allowances.late),
        ));
    }
    for (part, allowed, name) in [
        (counts.indeterminate, allowances.indeterminate, "indeterminate"),
        (counts.rejected, allowances.rejected, "rejected"),
        (counts.unsent, allowances.unsent, "unsent"),
        (counts.either, allowances.indeterminate, "free to be stored or not"),
    ] {
        if generator.sent > 0 && share(part) > allowed {
            let (share, allowed) = (percent(share(part)), percent(allowed));
            what.push(format!(
                "{share} of the events are {name}, {allowed} are allowed: nothing may pass on its survivors"
            ));
        }
    }
    what.into_iter().map(Obstacle::Insufficient).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(acked: u64, indeterminate: u64, rejected: u64, unsent: u64) -> Counts {
        let planned = acked + indeterminate + rejected + unsent;
        Counts { planned, acked, rejected, indeterminate, unsent, ..Counts::default() }
    }

    fn generator(counts: &Counts, on_schedule_share: f64) -> GeneratorFacts {
        GeneratorFacts {
            planned: counts.planned,
            sent: counts.planned - counts.unsent,
            requests: 10,
            schedule: Some(ScheduleFacts { on_schedule_share, tolerance: 0.1, lateness_p99: 0.0, lateness_max: 0.0 }),
        }
    }

    #[test]
    fn each_shortfall_is_reached_and_none_without_cause() {
        let told = |counts: Counts, on_schedule, reads| -> Vec<String> {
            shortfalls(&counts, &generator(&counts, on_schedule), &Allowances::default(), reads)
                .into_iter()
                .map(|obstacle| match obstacle {
                    Obstacle::Insufficient(what) => what,
                    Obstacle::Invalid(what) => panic!("{what}"),
                })
                .collect()
        };
        for (counts, on_schedule, reads, expected) in [
            (counts(1_000, 0, 0, 0), 1.0, 1, None),
            (counts(990, 10, 0, 0), 0.99, 1, None),
            (counts(0, 0, 0, 1_000), 1.0, 1, Some("nothing was sent")),
            (counts(0, 1_000, 0, 0), 1.0, 1, Some("nothing was acked")),
            (counts(1_000, 0, 0, 0), 1.0, 0, Some("no read")),
            (counts(1_000, 0, 0, 0), 0.98, 1, Some("missed its schedule")),
            (counts(980, 20, 0, 0), 1.0, 1, Some("indeterminate")),
            (counts(980, 0, 20, 0), 1.0, 1, Some("rejected")),
            (counts(980, 0, 0, 20), 1.0, 1, Some("unsent")),
        ] {
            let told = told(counts, on_schedule, reads);
            match expected {
                None => assert!(told.is_empty(), "{told:?}"),
                Some(expected) => assert!(told.iter().any(|what| what.contains(expected)), "{expected}: {told:?}"),
            }
        }
    }
}
