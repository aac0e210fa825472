//! What a trial says of its rate.
//!
//! A pipeline that cannot keep up and a generator that cannot are told apart: the first breaks a promise or leaves events
//! pending, refused or unproven; the second has left late although everything that it sent was handled as promised.

use checkers::{
    reasons::Reason,
    record::RunRecord,
    verdict::{Obstacle, Verdict},
};
use reports::{
    capacity::Outcome,
    figures::{count, percent},
};
use testenv::environment::budget::is_own;

/// What a trial came to, and why in words; `ceiling` is the memory that the pipeline's own components may use
/// together.
pub fn outcome(record: &RunRecord, obstacles: &[Obstacle], ceiling: Option<u64>) -> (Outcome, String) {
    let invalid = obstacles.iter().find_map(|obstacle| match obstacle {
        Obstacle::Invalid(what) => Some(what.clone()),
        Obstacle::Insufficient(_) => None,
    });
    // What the limit is there for: at this rate the pipeline does not do with the memory that it has.
    if let Some(what) = invalid.as_ref().filter(|what| what.starts_with(Reason::OutOfMemory.words())) {
        return (Outcome::Failed, what.lines().next().unwrap_or_default().to_owned());
    }
    let blind = record.self_test.as_ref().filter(|test| !test.passed()).map(checkers::tamper::SelfTest::told);
    if let Some(what) = invalid.or(blind) {
        return (Outcome::Void, what);
    }
    if let Some(what) = over(record, ceiling) {
        return (Outcome::Failed, what);
    }
    match record.verdict {
        Verdict::Pass => (Outcome::Held, String::new()),
        Verdict::Inconclusive => inconclusive(record),
        Verdict::Fail | Verdict::NotApplicable => (Outcome::Failed, not_passed(record)),
    }
}

/// Peaks need not come at once, so their sum is the most that it may have been.
fn over(record: &RunRecord, ceiling: Option<u64>) -> Option<String> {
    let ceiling = ceiling?;
    let own = record.run.components.iter().filter(|component| is_own(&component.name));
    let used: u64 = own.map(|component| component.peak_memory).sum();
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    (used > ceiling).then(|| {
        format!("the pipeline used {} MiB together, {} MiB are allowed", count(mib(used)), count(mib(ceiling)))
    })
}

fn inconclusive(record: &RunRecord) -> (Outcome, String) {
    let counts = &record.counts;
    let late = record.generator.schedule.map_or(0.0, |schedule| 1.0 - schedule.on_schedule_share);
    let refused = counts.rejected + counts.indeterminate;
    let unproven = record.checks.iter().any(|check| check.verdict == Verdict::Inconclusive && check.k > 0);
    if counts.pending > 0 {
        return (Outcome::Failed, format!("{} events were not visible when waiting ended", count(counts.pending)));
    }
    if refused > 0 {
        return (Outcome::Failed, format!("{} events were refused or not answered", count(refused)));
    }
    if unproven {
        return (Outcome::Failed, not_passed(record));
    }
    // Events that were never handed to a connection are the generator's failure too.
    if late > 0.0 || counts.unsent > 0 {
        let what = format!("the generator left late with {} of the requests", percent(late));
        return (Outcome::GeneratorLate, what);
    }
    (Outcome::Failed, not_passed(record))
}

/// The checks that did not pass, by the reasons that the verdict gives.
fn not_passed(record: &RunRecord) -> String {
    let wanted = record.checks.iter().filter(|check| matches!(check.verdict, Verdict::Fail | Verdict::Inconclusive));
    let mut told: Vec<String> =
        wanted.map(|check| format!("{}: {}", check.name.replace('_', " "), check.reason)).collect();
    if told.is_empty() {
        told.clone_from(&record.reasons);
    }
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use checkers::{
        checks::{Independence, Targets},
        files::{Options, RowsFile, SentFile, judge},
        judge::Allowances,
        record::{ComponentFacts, ScheduleFacts},
        tamper::SelfTest,
    };

    use super::*;

    /// A judged run of a thousand acked events, of which so many were lost.
    fn record(lost: usize) -> RunRecord {
        let ids: Vec<String> = (0..1_000).map(|id| format!("e{id}")).collect();
        let sent: Vec<String> =
            ids.iter().map(|id| format!("{{\"id\":\"{id}\",\"outcome\":\"acked\",\"tenant\":\"t\"}}")).collect();
        let sent = SentFile::read("sent", sent.join("\n").as_bytes()).unwrap();
        let rows: Vec<String> =
            ids[lost..].iter().map(|id| format!("{{\"id\":\"{id}\",\"tenant\":\"t\",\"row\":{{}}}}")).collect();
        let rows = RowsFile::read("rows", rows.join("\n").as_bytes(), &sent).unwrap();
        let targets = Targets {
            loss: 0.01,
            correctness: 0.01,
            exported: 0.01,
            confidence: 0.95,
            independence: Independence::Event,
            p99_time_to_visible: None,
            may_stop_early: false,
        };
        let options =
            Options { now: None, loss_after: Duration::ZERO, targets, allowances: Allowances::default(), examples: 9 };
        judge(&sent, Some(&rows), None, &options).unwrap().record
    }

    fn late(mut record: RunRecord, share: f64) -> RunRecord {
        record.verdict = Verdict::Inconclusive;
        record.generator.schedule = Some(ScheduleFacts {
            on_schedule_share: 1.0 - share,
            tolerance: 0.1,
            lateness_p99: 0.2,
            lateness_max: 0.3,
        });
        record
    }

    #[test]
    fn a_pipeline_and_a_generator_that_cannot_keep_up_are_told_apart() {
        let of = |record: &RunRecord| outcome(record, &[], None).0;
        assert_eq!(of(&record(0)), Outcome::Held);
        assert_eq!(of(&record(500)), Outcome::Failed);
        assert_eq!(of(&late(record(0), 0.3)), Outcome::GeneratorLate);
        assert_eq!(of(&late(record(10), 0.3)), Outcome::Failed, "what was lost is no generator's fault");
        let mut pending = late(record(0), 0.3);
        pending.counts.pending = 3;
        assert_eq!(
            outcome(&pending, &[], None),
            (Outcome::Failed, "3 events were not visible when waiting ended".into())
        );
        let mut refused = late(record(0), 0.3);
        refused.counts.indeterminate = 3;
        assert_eq!(of(&refused), Outcome::Failed);
    }

    #[test]
    fn what_proves_nothing_is_void() {
        let invalid = [Obstacle::Invalid("the environment failed: kafka ended".into())];
        assert_eq!(outcome(&record(500), &invalid, None).0, Outcome::Void);
        let mut blind = record(0);
        blind.self_test = Some(SelfTest::crashed());
        assert_eq!(outcome(&blind, &[], None).0, Outcome::Void);
        let insufficient = [Obstacle::Insufficient("the settle limit".into())];
        assert_eq!(outcome(&record(500), &insufficient, None).0, Outcome::Failed);
    }

    #[test]
    fn a_pipeline_that_is_killed_for_its_memory_does_not_hold() {
        let told =
            "capture ended by itself (signal 9, killed for using more memory than it may (512 MiB)); the last lines";
        let killed = [Obstacle::Invalid(format!("{}: {told}:\nready 80", Reason::OutOfMemory.words()))];
        let (outcome, why) = outcome(&record(0), &killed, None);
        assert_eq!(outcome, Outcome::Failed);
        assert_eq!(why, format!("the pipeline used more memory than it may: {told}:"));
    }

    #[test]
    fn memory_is_that_of_the_pipelines_own_components_together() {
        let mut record = record(0);
        record.run.components = ["capture", "ingester", "exporter", "clickhouse"]
            .map(|name| ComponentFacts { name: name.into(), cpu: 1.0, peak_memory: 100 << 20 })
            .into();
        assert_eq!(outcome(&record, &[], Some(300 << 20)).0, Outcome::Held);
        assert_eq!(
            outcome(&record, &[], Some(299 << 20)),
            (Outcome::Failed, "the pipeline used 300 MiB together, 299 MiB are allowed".into())
        );
    }
}
