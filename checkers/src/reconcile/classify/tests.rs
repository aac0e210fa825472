//! Truth tables: histories as a line of named steps, against the classes that must come out.

use generators::ledger::{Answer, Record};

use super::*;
use crate::{
    oracle::row::Difference,
    reconcile::{
        example::{STREAM, intent, outcome, workload},
        reads::Read,
    },
};

const LOSS_AFTER: Duration = Duration::from_secs(10);

/// What happened to event 0, which is alone in its request, answered at 100 ms.
#[derive(Debug, Clone)]
enum Step {
    /// A read at this second saw it.
    Seen(u64),
    /// A read at this second did not.
    Missed(u64),
    /// A final read at this second found these rows.
    Final(u64, Vec<FoundRow>),
}

type History = (&'static str, Option<Answer>, Vec<Step>, Vec<Class>);

fn row(key: u64) -> FoundRow {
    FoundRow { key, version: 1, misrouted: false, differences: Vec::new() }
}

fn differing(column: &str) -> FoundRow {
    let difference = Difference { column: column.into(), expected: "a".into(), found: None };
    FoundRow { differences: vec![difference], ..row(1) }
}

/// The known answer with this status, as opposed to none.
#[expect(clippy::unnecessary_wraps, reason = "the histories say `None` where no answer is known")]
fn reply(status: u16) -> Option<Answer> {
    Some(Answer::Reply { status, excerpt: String::new() })
}

fn evidence_of(answer: Option<Answer>, steps: &[Step]) -> Evidence {
    let workload = workload(1);
    let mut records: Vec<Record> = vec![intent(0, 0..1, 0..0)];
    records.extend(answer.map(|answer| outcome(0, 0, 100, answer)));
    let sent = Sent::fold(Dialect::V2026, &workload, records);
    let (mut reads, mut final_reads) = (Reads::default(), Vec::new());
    for step in steps {
        let at = |second: u64| (Duration::from_secs(second), Duration::from_millis(second * 1_000 + 50));
        match step {
            Step::Seen(second) | Step::Missed(second) => {
                let (start, end) = at(*second);
                let new = if matches!(step, Step::Seen(_)) { vec![(STREAM, vec![0])] } else { Vec::new() };
                reads.add(&Read { start, end, new });
            }
            Step::Final(second, rows) => {
                let (start, end) = at(*second);
                let mut read = FinalRead::begin(start);
                read.end = end;
                for row in rows {
                    read.add(STREAM, 0, row.clone());
                }
                final_reads.push(read);
            }
        }
    }
    classify(&Case {
        dialect: Dialect::V2026,
        workload: &workload,
        start: RunStart::from_unix_micros(1_790_000_000_000_000),
        sent: &sent,
        reads: &reads,
        final_reads: &final_reads,
        loss_after: LOSS_AFTER,
        visible_within: Some(Duration::from_secs(5)),
        clock_tolerance_micros: 0,
    })
}

#[test]
fn histories_of_one_event() {
    use Class::{Corrupted, Duplicated, Flicker, Lost, Misrouted, RejectedButVisible, Vanished, WrongPerson};
    use Step::{Final, Missed, Seen};
    let misrouted = FoundRow { misrouted: true, ..differing("team_id") };
    let whole = || Final(20, vec![row(1)]);
    let nothing = |second| Final(second, vec![]);
    let cases: Vec<History> = vec![
        ("acked and found", reply(200), vec![Missed(1), Seen(2), whole()], vec![]),
        ("acked, found by the final read alone", reply(200), vec![whole()], vec![]),
        ("found where the watch did not know it", reply(200), vec![whole(), Missed(25)], vec![]),
        ("acked and nowhere", reply(200), vec![Missed(1), nothing(20)], vec![Lost]),
        ("acked and nowhere, yet young", reply(200), vec![Missed(1), nothing(9)], vec![]),
        ("just old enough", reply(200), vec![Final(11, vec![])], vec![Lost]),
        ("acked and nowhere, killed before settling", reply(200), vec![Missed(1), Missed(5)], vec![]),
        ("acked and nowhere, killed late", reply(200), vec![Missed(20)], vec![Lost]),
        ("seen and gone", reply(200), vec![Seen(2), nothing(20)], vec![Vanished]),
        ("gone and back", reply(200), vec![Seen(2), nothing(20), Final(22, vec![row(1)])], vec![Flicker]),
        ("gone for good", reply(200), vec![Seen(2), nothing(20), nothing(22)], vec![Vanished]),
        ("twice", reply(200), vec![Final(20, vec![row(1), row(2)])], vec![Duplicated]),
        ("twice under one key", reply(200), vec![Final(20, vec![row(1), row(1)])], vec![]),
        ("wrong column", reply(200), vec![Final(20, vec![differing("properties.price")])], vec![Corrupted]),
        ("wrong person", reply(200), vec![Final(20, vec![differing("person_id")])], vec![WrongPerson]),
        ("other tenant", reply(200), vec![Final(20, vec![misrouted.clone()])], vec![Misrouted]),
        ("other tenant too", reply(200), vec![Final(20, vec![row(2), misrouted])], vec![Misrouted, Duplicated]),
        ("rejected and absent", reply(400), vec![Missed(1), nothing(20)], vec![]),
        ("rejected and found", reply(400), vec![whole()], vec![RejectedButVisible]),
        ("rejected, seen once", reply(400), vec![Seen(1), nothing(20)], vec![RejectedButVisible, Vanished]),
        ("oversize: may be there", reply(503), vec![whole()], vec![]),
        ("timed out and absent", Some(Answer::TimedOut), vec![nothing(20)], vec![]),
        ("timed out and found", Some(Answer::TimedOut), vec![whole()], vec![]),
        ("killed before the answer", None, vec![Missed(1)], vec![]),
        (
            "never left and found",
            Some(Answer::NeverLeft { error: String::new() }),
            vec![whole()],
            vec![RejectedButVisible],
        ),
    ];
    for (name, answer, steps, expected) in cases {
        let evidence = evidence_of(answer, &steps);
        let found: Vec<Class> = evidence.findings.keys().copied().collect();
        assert_eq!(found, expected, "{name}");
        // The first that fits is the event's own; it alone is counted.
        for class in Class::ALL {
            let counted = *evidence.counts.clone().of(class);
            assert_eq!(counted, u64::from(expected.first() == Some(&class)), "{name}: {}", class.name());
        }
    }
}

#[test]
fn pending_recovered_and_late_are_counted_and_are_no_defects() {
    let counts = |answer, steps: &[Step]| evidence_of(answer, steps).counts;
    assert_eq!(counts(reply(200), &[Step::Final(9, vec![])]).pending, 1);
    assert_eq!(counts(reply(200), &[]).pending, 1, "no read at all");
    assert_eq!(counts(reply(200), &[Step::Final(20, vec![])]).pending, 0);
    assert_eq!(counts(reply(503), &[Step::Final(20, vec![row(1)])]).recovered, 1);
    assert_eq!(counts(reply(200), &[Step::Missed(11), Step::Seen(12)]).late, 1);
    assert_eq!(counts(reply(200), &[Step::Missed(2), Step::Seen(12)]).late, 0, "it may have come early enough");
}

#[test]
fn populations_of_the_rates() {
    let whole = [Step::Final(20, vec![row(1)])];
    let of = |answer, steps: &[Step]| {
        let evidence = evidence_of(answer, steps);
        (evidence.loss.n, evidence.correctness.n, evidence.correctness.k)
    };
    assert_eq!(of(reply(200), &whole), (1, 1, 0));
    assert_eq!(of(reply(503), &whole), (0, 1, 0), "an indeterminate event that is there must be right");
    assert_eq!(of(reply(400), &whole), (0, 0, 0), "a rejected one has a check of its own");
    assert_eq!(of(reply(200), &[Step::Final(20, vec![])]), (1, 0, 0));
    assert_eq!(of(reply(200), &[Step::Final(9, vec![])]), (0, 0, 0), "pending");
    assert_eq!(of(reply(200), &[Step::Final(20, vec![differing("event")])]), (1, 1, 1));
}

#[test]
fn time_to_visible_lies_between_miss_and_sight() {
    let is = |steps: &[Step], after: f64, by: Option<f64>, late: (u64, u64)| {
        let evidence = evidence_of(reply(200), steps);
        let close = |found: Option<f64>, expected: Option<f64>| match (found, expected) {
            (Some(found), Some(expected)) => (found - expected).abs() <= expected / 1e3 + 2e-6,
            (found, expected) => found == expected,
        };
        let ends = (evidence.spans.left_at(1), evidence.spans.right_at(1));
        assert!(close(ends.0, Some(after)) && close(ends.1, by), "{steps:?}: {ends:?}");
        assert_eq!((evidence.late.worst.k, evidence.late.best.k), late, "{steps:?}: later than 5 s");
        assert_eq!((evidence.late.worst.n, evidence.spans.unseen()), (1, u64::from(by.is_none())));
    };
    is(&[Step::Missed(1), Step::Seen(2)], 1.0, Some(2.05), (0, 0));
    is(&[Step::Missed(4), Step::Seen(6)], 4.0, Some(6.05), (1, 0));
    is(&[Step::Missed(6), Step::Seen(7)], 6.0, Some(7.05), (1, 1));
    is(&[Step::Seen(2)], 0.0, Some(2.05), (0, 0));
    is(&[Step::Missed(1), Step::Final(20, vec![row(1)])], 1.0, Some(20.05), (1, 0));
    is(&[Step::Missed(1), Step::Final(20, vec![])], 20.0, None, (1, 1));
    let indeterminate = evidence_of(reply(503), &[Step::Seen(1)]);
    assert_eq!((indeterminate.spans.n(), indeterminate.late.worst.n), (0, 0), "indeterminate events are not in it");
}

#[test]
fn torn_requests_are_counted() {
    let workload = workload(2);
    let sent = Sent::fold(Dialect::V2026, &workload, [intent(0, 0..2, 0..0)]);
    let mut final_read = FinalRead::begin(Duration::from_secs(20));
    final_read.add(STREAM, 1, row(1));
    let evidence = classify(&Case {
        dialect: Dialect::V2026,
        workload: &workload,
        start: RunStart::from_unix_micros(0),
        sent: &sent,
        reads: &Reads::default(),
        final_reads: &[final_read],
        loss_after: LOSS_AFTER,
        visible_within: Some(Duration::from_secs(5)),
        clock_tolerance_micros: 0,
    });
    assert_eq!(evidence.counts.torn_requests, 1);
    assert!(evidence.findings.is_empty());
}

#[test]
fn examples_are_bounded_and_counts_are_not() {
    let mut evidence = Evidence::default();
    for _ in 0..1_000 {
        evidence.find(|| Finding::bare(Class::Lost, "x".into()), Class::Lost);
    }
    assert_eq!(evidence.found(Class::Lost), 1_000);
    assert_eq!(evidence.examples[&Class::Lost].len(), super::super::evidence::EXAMPLES);
}
