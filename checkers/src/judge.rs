//! From a case to a judged run: evidence, checks, what stands in the way, verdict.
//!
//! The same code judges a run that has just ended and one that was stored.

use std::{collections::BTreeMap, time::Duration};

use generators::identity::EventId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    checks::{self, CheckResult, Targets, Times},
    details::{
        self, Details,
        distribution::{Distribution, StageDistribution},
        example::{Example, STORIES},
        timeline::LagSeries,
    },
    explain::explain,
    observe::lag::PartitionLag,
    reasons::Reason,
    reconcile::{
        classify::{Case, Judging},
        evidence::{Class, Counts, Evidence, Finding},
        exports,
        groups::{self, Groups, found::FoundGroups},
        rows::Summary,
        schedule::Schedule,
        sent::Exchange,
        spans::Split,
    },
    record::{GeneratorFacts, RunFacts, RunRecord, SCHEMA, ScheduleFacts, StageFacts, StageTime},
    tamper::{SelfTest, groups_self_test, self_test},
    verdict::{Obstacle, Verdict, merge},
};

/// What a run may fall short of and still be judged; the shares are of planned events or of requests.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Allowances {
    /// A request that leaves later than this after its intended moment is late.
    pub tolerance: Duration,
    /// The share of requests that may be late.
    pub late: f64,
    /// The share of events that may be rejected, those in requests that were meant to fail not counted.
    pub rejected: f64,
    /// The share of events that may be indeterminate, those in requests that were meant to fail not counted.
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
    /// The names of the traffics that were seen, by their stream.
    traffics: BTreeMap<u16, String>,
    /// The stories of the first few defects.
    examples: Vec<Example>,
    /// Of how many findings of each class the story was told, or could not be.
    told: BTreeMap<Class, usize>,
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
    /// How far the consumers of each partition were behind.
    pub lags: Vec<LagSeries>,
    /// Which run it is.
    pub run: RunFacts,
}

impl Judge {
    /// A run of so many windows, with so many reads that list ids and so many final ones; `stages` tells whether partitions
    /// are known.
    pub fn new(windows: usize, reads: usize, final_reads: usize, stages: bool) -> Self {
        let judging = Judging::new(reads, final_reads, stages);
        let every = windows.div_ceil(SELF_TESTS).max(1);
        let (traffics, told) = (BTreeMap::new(), BTreeMap::new());
        Self { judging, self_test: None, windows: 0, every, traffics, examples: Vec::new(), told }
    }

    /// Notes that the store had not all that is usually judged: these columns were not.
    pub fn leave_out(&mut self, columns: &[String]) {
        self.judging.leave_out(columns);
    }

    /// Notes that plugins export, and what the webhook sink says as a whole.
    pub fn exports(&mut self, summary: &exports::Summary) {
        self.judging.exports(summary);
    }

    /// Judges the table of groups against what the traffic says of them; the windows must be judged with what is returned.
    pub fn groups(&mut self, groups: &Groups, found: &FoundGroups) -> groups::Judged {
        let judged = groups.judge(found);
        self.judging.groups(&judged);
        let test = || groups_self_test(groups, found, &judged);
        self.tested(std::panic::catch_unwind(std::panic::AssertUnwindSafe(test)));
        judged
    }

    /// Takes in a self-test, if one could be made. A crash of it is as bad as a failed one.
    fn tested(&mut self, tested: std::thread::Result<Option<SelfTest>>) {
        if let Some(tested) = tested.unwrap_or_else(|_| Some(SelfTest::crashed())) {
            self.self_test = Some(self.self_test.take().map_or_else(|| tested.clone(), |before| before.and(&tested)));
        }
    }

    /// Judges the events of one window.
    pub fn window(&mut self, case: &Case<'_>) {
        self.judging.window(case);
        self.tell(case);
        if self.windows.is_multiple_of(self.every) {
            self.tested(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self_test(case))));
        }
        self.windows += 1;
    }

    /// Tells the stories of the first few defects of each class that the window holds.
    fn tell(&mut self, case: &Case<'_>) {
        let stream = case.sent.window().stream;
        let name = || case.workload.traffic(stream).map(|traffic| traffic.name.clone()).unwrap_or_default();
        self.traffics.entry(stream.0).or_insert_with(name);
        for (class, findings) in &self.judging.so_far().examples {
            let told = self.told.entry(*class).or_default();
            while let Some(finding) = findings.get(*told).filter(|_| *told < STORIES) {
                *told += 1;
                let id = Uuid::parse_str(&finding.event).ok().and_then(|uuid| EventId::from_uuid(uuid).ok());
                let Some(id) = id else { continue };
                let Some(story) = explain(case, id, |_| String::new()) else { continue };
                let keys = case.sent.attempts(id.stream, id.seq).map(Exchange::key);
                let times = case.stages.map(|stages| stages.times(id.stream, id.seq)).unwrap_or_default();
                self.examples.push(Example::of(*class, &story, keys, times));
            }
        }
    }

    /// The verdict on all windows.
    pub fn finish(self, targets: &Targets, allowances: &Allowances, circumstances: Circumstances<'_>) -> RunRecord {
        let Circumstances { mut obstacles, schedule, last, taps_complete, greatest_lag, lags, run } = circumstances;
        let evidence = self.judging.finish(last);
        let generator = honesty(schedule, &evidence.counts);
        if let Some(result) = self.self_test.as_ref().filter(|result| !result.passed()) {
            obstacles.push(Obstacle::Invalid(result.told()));
        }
        let times = stage_times(&evidence);
        let stages = taps_complete.map(|complete| StageFacts { complete, times, greatest_lag });
        let details = Details {
            schema: details::SCHEMA,
            visible_within: targets.p99_time_to_visible.map(|limit| limit.as_secs_f64()),
            timeline: evidence.gathered.timeline.facts(lags),
            time_to_visible: Distribution::of(&evidence.spans, Times::together(&evidence, targets), targets.confidence),
            stages: StageDistribution::all(&evidence.split),
            defects: evidence
                .gathered
                .breakdown
                .facts(|number| self.traffics.get(&number).cloned().unwrap_or_else(|| format!("traffic {number}"))),
            examples: self.examples,
            environment: Vec::new(),
            reproduce: Vec::new(),
        };
        let (self_test, details) = (self.self_test, Some(Box::new(details)));
        RunRecord { stages, self_test, details, ..conclude(evidence, generator, targets, allowances, obstacles, run) }
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

/// What is told of a verdict: the obstacles, and behind them what each check says that does not pass.
pub(crate) fn reasons(obstacles: &[Obstacle], checks: &[CheckResult]) -> Vec<String> {
    let obstacles = obstacles.iter().map(|obstacle| match obstacle {
        Obstacle::Invalid(what) | Obstacle::Insufficient(what) => what.clone(),
    });
    let checks = checks
        .iter()
        .filter(|check| matches!(check.verdict, Verdict::Fail | Verdict::Inconclusive))
        .map(|check| format!("{}: {}", check.name, check.reason));
    obstacles.chain(checks).collect()
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
    let reasons = reasons(&obstacles, &checks);
    let findings: Vec<Finding> = evidence.examples.values().flatten().cloned().collect();
    RunRecord {
        schema: SCHEMA,
        verdict,
        reasons,
        exit_code: verdict.exit_code(),
        run,
        generator,
        counts: evidence.counts,
        exports: evidence.exports,
        checks,
        stages: None,
        self_test: None,
        time_to_visible: Times::of(&evidence, targets),
        judged_columns: evidence.judged_columns,
        differing_columns: evidence.columns,
        findings,
        details: None,
    }
}

/// How honestly the traffic was sent, from the ledger alone.
fn honesty(schedule: &Schedule, counts: &Counts) -> GeneratorFacts {
    GeneratorFacts {
        planned: counts.planned,
        sent: counts.planned - counts.unsent,
        requests: schedule.requests(),
        retries: schedule.retries(),
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
        what.push(Reason::NothingSent.words().to_owned());
    } else if counts.acked == 0 {
        what.push(Reason::NothingAcked.words().to_owned());
    }
    if reads == 0 {
        what.push(Reason::NoRead.words().to_owned());
    }
    if let Some(schedule) = &generator.schedule
        && generator.requests > 0
        && schedule.on_schedule_share < 1.0 - allowances.late
    {
        what.push(format!(
            "{}: {} of the requests left more than {} ms late, {} are allowed; \
             lower the rate or give the machine more room",
            Reason::MissedSchedule.words(),
            percent(1.0 - schedule.on_schedule_share),
            schedule.tolerance * 1e3,
            percent(allowances.late),
        ));
    }
    for (part, allowed, reason) in [
        // What the scenario means to fail is no shortfall.
        (
            counts.indeterminate - counts.indeterminate_on_purpose - counts.indeterminate_in_faults,
            allowances.indeterminate,
            Reason::TooManyIndeterminate,
        ),
        (
            counts.rejected - counts.rejected_on_purpose - counts.rejected_in_faults,
            allowances.rejected,
            Reason::TooManyRejected,
        ),
        (counts.unsent - counts.unsent_in_faults, allowances.unsent, Reason::TooManyUnsent),
        (counts.either, allowances.indeterminate, Reason::TooManyEither),
    ] {
        if generator.sent > 0 && share(part) > allowed {
            let (share, allowed) = (percent(share(part)), percent(allowed));
            what.push(format!("{share} {}, {allowed} are allowed: nothing may pass on its survivors", reason.words()));
        }
    }
    what.into_iter().map(Obstacle::Insufficient).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use generators::{clock::RunStart, ledger::Answer};

    use super::*;
    use crate::{
        checks::Independence,
        disturbance::Watermark,
        oracle::{dialect::Dialect, plugin::NO_PLUGINS},
        reconcile::{
            evidence::Class,
            example::{STREAM, intent, outcome, sent, whole, workload},
            reads::{Read, Reads},
            rows::{FinalRead, FoundRow},
        },
    };

    /// The verdict on 400 clean events, with what became of the self-test.
    fn judged(self_test: impl FnOnce(Option<SelfTest>) -> Option<SelfTest>) -> RunRecord {
        judged_with(None, self_test)
    }

    /// The same with taps that were complete, or not, or not there.
    fn judged_with(
        taps_complete: Option<bool>,
        self_test: impl FnOnce(Option<SelfTest>) -> Option<SelfTest>,
    ) -> RunRecord {
        let start = RunStart::from_unix_micros(1_790_000_000_000_000);
        let workload = workload(400);
        let at = Duration::from_secs;
        let records = (0..200).flat_map(|index| {
            let (answer, sent) = (Answer::Reply { status: 200, excerpt: String::new() }, index * 2_000 + 1_000);
            [intent(index, index * 2..index * 2 + 2, 0..0), outcome(index, sent, sent + 5, answer)]
        });
        let sent = sent(&workload, records);
        let read = Read { start: at(401), end: at(402), new: vec![(STREAM, (0..400).collect())] };
        let summary = Summary { start: at(500), end: at(501), raw_rows: 400, ..Summary::default() };
        let mut last = FinalRead::begin(whole(&workload), summary.clone());
        for seq in 0..400 {
            let received = start.unix_micros() + seq as i64 * 1_000_000 + 2_000;
            last.put(STREAM, seq, FoundRow::plain(received, 1));
        }
        let mut judge = Judge::new(1, 1, 1, false);
        judge.window(&Case {
            dialect: Dialect::V2026,
            plugins: &NO_PLUGINS,
            workload: &workload,
            start,
            sent: &sent,
            reads: &Reads::of(whole(&workload), &[read]),
            final_reads: &[last],
            stages: None,
            exports: None,
            groups: None,
            watermark: &Watermark { loss_after: at(10), ..Watermark::default() },
            visible_within: None,
            clock_tolerance_micros: 0,
        });
        judge.self_test = self_test(judge.self_test.take());
        let targets = Targets {
            loss: 0.01,
            correctness: 0.01,
            exported: 0.01,
            confidence: 0.95,
            independence: Independence::Event,
            p99_time_to_visible: None,
            may_stop_early: false,
        };
        let mut schedule = Schedule::new(Duration::from_millis(100));
        (0..200).for_each(|_| schedule.add(Duration::ZERO));
        let run = RunFacts {
            id: None,
            scenario: "example".into(),
            started_at: None,
            duration: 501.0,
            seed: None,
            environment: "none".into(),
            dialect: None,
            digest: None,
            confidence: 0.95,
            planted_defects: Vec::new(),
            warnings: BTreeMap::new(),
            faults: Vec::new(),
            components: Vec::new(),
            recording: None,
        };
        let (obstacles, last) = (Vec::new(), Some(&summary));
        let circumstances = Circumstances {
            obstacles,
            schedule: &schedule,
            last,
            taps_complete,
            greatest_lag: None,
            lags: vec![],
            run,
        };
        judge.finish(&targets, &Allowances::default(), circumstances)
    }

    #[test]
    fn a_blind_or_crashed_judge_says_nothing() {
        let clean = judged(|self_test| self_test);
        assert_eq!((clean.verdict, clean.reasons.len()), (Verdict::Pass, 0), "{:?}", clean.reasons);
        assert_eq!(clean.self_test.as_ref().map(|test| (test.planted, test.found)), Some((54, 54)));
        let blind = SelfTest { planted: 54, found: 53, false_alarms: 0, missed: BTreeMap::from([(Class::Lost, 1)]) };
        for (self_test, reason) in [(SelfTest::crashed(), "crashed"), (blind, "1 lost")] {
            let record = judged(|_| Some(self_test));
            assert_eq!(record.verdict, Verdict::Inconclusive);
            assert!(record.reasons[0].contains(reason), "{:?}", record.reasons);
        }
    }

    fn counts(acked: u64, indeterminate: u64, rejected: u64, unsent: u64) -> Counts {
        let planned = acked + indeterminate + rejected + unsent;
        Counts { planned, acked, rejected, indeterminate, unsent, ..Counts::default() }
    }

    fn generator(counts: &Counts, on_schedule_share: f64) -> GeneratorFacts {
        GeneratorFacts {
            planned: counts.planned,
            sent: counts.planned - counts.unsent,
            requests: 10,
            retries: 0,
            schedule: Some(ScheduleFacts { on_schedule_share, tolerance: 0.1, lateness_p99: 0.0, lateness_max: 0.0 }),
        }
    }

    #[test]
    fn what_was_sent_is_what_was_planned_and_left() {
        let facts = honesty(&Schedule::new(Duration::ZERO), &counts(5, 0, 0, 2));
        assert_eq!((facts.planned, facts.sent), (7, 5));
    }

    #[test]
    fn stages_are_told_where_there_were_taps() {
        let times = |taps_complete| judged_with(taps_complete, |self_test| self_test).stages;
        assert_eq!(times(None), None);
        let stages = times(Some(false)).unwrap();
        assert!(!stages.complete);
        assert_eq!(stages.times.iter().map(|time| time.stage.as_str()).collect::<Vec<_>>(), Split::PARTS);
    }

    #[test]
    fn scenarios_of_before_may_leave_as_much_unsent_as_others() {
        let mut stored = serde_json::to_value(Allowances::default()).unwrap();
        stored.as_object_mut().unwrap().remove("unsent");
        assert_eq!(serde_json::from_value::<Allowances>(stored).unwrap(), Allowances::default());
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
            (Counts { indeterminate_on_purpose: 90, ..counts(900, 100, 0, 0) }, 1.0, 1, None),
            (
                Counts { indeterminate_on_purpose: 89, ..counts(900, 100, 0, 0) },
                1.0,
                1,
                Some("1.10 % of the events are ind"),
            ),
            (Counts { rejected_on_purpose: 90, ..counts(900, 0, 100, 0) }, 1.0, 1, None),
            (Counts { rejected_on_purpose: 89, ..counts(900, 0, 100, 0) }, 1.0, 1, Some("rejected")),
        ] {
            let told = told(counts, on_schedule, reads);
            match expected {
                None => assert!(told.is_empty(), "{told:?}"),
                Some(expected) => {
                    assert!(told.iter().any(|what| what.contains(expected)), "{expected}: {told:?}");
                    assert!(told.iter().all(|what| Reason::of(what).is_some()), "{told:?}");
                }
            }
        }
    }
}
