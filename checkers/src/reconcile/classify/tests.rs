//! Truth tables: histories as a line of named steps, against the classes that must come out.

use generators::{
    ledger::{Answer, DropWord, EventResult, Record},
    random::Share,
    workload::{ClientFaults, Endpoint, Extras, Hostile},
};
use proptest::prelude::*;

use super::*;
use crate::{
    disturbance::Disturbed,
    oracle::{plugin::NO_PLUGINS, row::Difference},
    reconcile::{
        evidence::{Evidence, Finding},
        example::{STREAM, intent, outcome, retry, sent, whole, workload},
        exports::Delivery,
        reads::Read,
        rows::Summary,
        sent::Exchange,
        stages::{Passage, Topic},
    },
};

/// When the runs of these tests began.
const START: RunStart = RunStart::from_unix_micros(1_790_000_000_000_000);

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

/// A right row of event 0.
fn row() -> FoundRow {
    // Event 0 is due, and says that it happened, when the run begins.
    FoundRow::plain(START.unix_micros() + 50_000, 1)
}

/// A right row that stands elsewhere, as that of another uuid would.
fn elsewhere() -> FoundRow {
    FoundRow { key: u64::MAX, ..row() }
}

fn differing(column: &str) -> FoundRow {
    let difference = Difference { column: column.into(), expected: "a".into(), found: None };
    FoundRow { differences: vec![difference], ..row() }
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
    let (mut reads, mut final_reads) = (Vec::new(), Vec::new());
    for step in steps {
        let at = |second: u64| (Duration::from_secs(second), Duration::from_millis(second * 1_000 + 50));
        match step {
            Step::Seen(second) | Step::Missed(second) => {
                let (start, end) = at(*second);
                let new = if matches!(step, Step::Seen(_)) { vec![(STREAM, vec![0])] } else { Vec::new() };
                reads.push(Read { start, end, new });
            }
            Step::Final(second, rows) => {
                let (start, end) = at(*second);
                let mut read = FinalRead::begin(whole(&workload), Summary { start, end, ..Summary::default() });
                for row in rows {
                    read.put(STREAM, 0, row.clone());
                }
                final_reads.push(read);
            }
        }
    }
    judged(&workload, &sent(&workload, records), &Reads::of(whole(&workload), &reads), &final_reads)
}

fn judged(workload: &Workload, sent: &Sent, reads: &Reads, final_reads: &[FinalRead]) -> Evidence {
    let mut judging = Judging::new(reads.len(), final_reads.len(), false);
    judging.window(&case(workload, sent, reads, final_reads));
    judging.finish(final_reads.last().map(|read| &read.summary))
}

static WATERMARK: Watermark = Watermark { loss_after: LOSS_AFTER, disturbed: Disturbed::new(Vec::new()) };

pub(crate) const fn case<'a>(
    workload: &'a Workload,
    sent: &'a Sent,
    reads: &'a Reads,
    final_reads: &'a [FinalRead],
) -> Case<'a> {
    Case {
        dialect: Dialect::V2026,
        plugins: &NO_PLUGINS,
        workload,
        start: START,
        sent,
        reads,
        final_reads,
        stages: None,
        exports: None,
        groups: None,
        watermark: &WATERMARK,
        visible_within: Some(Duration::from_secs(5)),
        clock_tolerance_micros: 0,
    }
}

#[test]
fn histories_of_one_event() {
    use Class::{
        Corrupted, Duplicated, Flicker, Lost, Misrouted, RejectedButVisible, ShouldBeAbsent, Vanished, WrongPerson,
    };
    use Step::{Final, Missed, Seen};
    let misrouted = FoundRow { misrouted: true, key: u64::MAX, ..differing("team_id") };
    let at = |micros| FoundRow { timestamp_micros: START.unix_micros() + micros, ..row() };
    let whole = || Final(20, vec![row()]);
    let drop = || {
        let exceptions = vec![(0, EventResult::Drop(DropWord::of("billing_limit_exceeded")))];
        Some(Answer::Results { exceptions, complete: true })
    };
    let nothing = |second| Final(second, vec![]);
    let cases: Vec<History> = vec![
        ("acked and found", reply(200), vec![Missed(1), Seen(2), whole()], vec![]),
        ("acked, found by the final read alone", reply(200), vec![whole()], vec![]),
        ("found where the watch did not know it", reply(200), vec![whole(), Missed(25)], vec![]),
        ("acked and nowhere", reply(200), vec![Missed(1), nothing(20)], vec![Lost]),
        ("dropped, which nothing foresees", drop(), vec![Missed(1), nothing(2)], vec![Lost]),
        ("dropped and found", drop(), vec![Missed(1), whole()], vec![ShouldBeAbsent]),
        ("acked and nowhere, yet young", reply(200), vec![Missed(1), nothing(9)], vec![]),
        ("just old enough", reply(200), vec![Final(11, vec![])], vec![Lost]),
        ("acked and nowhere, killed before settling", reply(200), vec![Missed(1), Missed(5)], vec![]),
        ("acked and nowhere, killed late", reply(200), vec![Missed(20)], vec![Lost]),
        ("seen and gone", reply(200), vec![Seen(2), nothing(20)], vec![Vanished]),
        ("gone and back", reply(200), vec![Seen(2), nothing(20), Final(22, vec![row()])], vec![Flicker]),
        ("gone for good", reply(200), vec![Seen(2), nothing(20), nothing(22)], vec![Vanished]),
        ("twice", reply(200), vec![Final(20, vec![row(), elsewhere()])], vec![Duplicated]),
        ("twice under one key", reply(200), vec![Final(20, vec![row(), row()])], vec![]),
        ("wrong column", reply(200), vec![Final(20, vec![differing("properties.price")])], vec![Corrupted]),
        ("the earliest time", reply(200), vec![Final(20, vec![at(-1_000)])], vec![]),
        ("the latest time", reply(200), vec![Final(20, vec![at(101_000)])], vec![]),
        ("too early", reply(200), vec![Final(20, vec![at(-1_001)])], vec![Corrupted]),
        ("too late", reply(200), vec![Final(20, vec![at(101_001)])], vec![Corrupted]),
        ("too late, yet to be merged away", reply(200), vec![Final(20, vec![at(101_001), row()])], vec![]),
        ("wrong person", reply(200), vec![Final(20, vec![differing("person_id")])], vec![WrongPerson]),
        ("other tenant", reply(200), vec![Final(20, vec![misrouted.clone()])], vec![Misrouted]),
        ("other tenant too", reply(200), vec![Final(20, vec![row(), misrouted])], vec![Misrouted, Duplicated]),
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
    assert_eq!(counts(reply(503), &[Step::Final(20, vec![row()])]).recovered, 1);
    assert_eq!(counts(reply(200), &[Step::Missed(11), Step::Seen(12)]).late, 1);
    assert_eq!(counts(reply(200), &[Step::Missed(2), Step::Seen(12)]).late, 0, "it may have come early enough");
}

#[test]
fn populations_of_the_rates() {
    let whole = [Step::Final(20, vec![row()])];
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
    is(&[Step::Missed(1), Step::Final(20, vec![row()])], 1.0, Some(20.05), (1, 0));
    is(&[Step::Missed(1), Step::Final(20, vec![])], 20.0, None, (1, 1));
    let indeterminate = evidence_of(reply(503), &[Step::Seen(1)]);
    assert_eq!((indeterminate.spans.n(), indeterminate.late.worst.n), (0, 0), "indeterminate events are not in it");
}

#[test]
fn a_wrong_time_is_named() {
    let late = FoundRow { timestamp_micros: START.unix_micros() + 7_000_000, ..row() };
    let evidence = evidence_of(reply(200), &[Step::Final(20, vec![late])]);
    let finding = &evidence.examples[&Class::Corrupted][0];
    assert_eq!(finding.column.as_deref(), Some("timestamp"));
    let (expected, found) = (finding.expected.as_deref().unwrap(), finding.found.as_deref().unwrap());
    assert!(expected.contains(" to ") && found.ends_with("14:13:27.000000Z"), "{expected} / {found}");
    assert_eq!(evidence.columns["timestamp"], 1);
}

#[test]
fn torn_requests_are_counted() {
    let workload = workload(2);
    let sent = sent(&workload, [intent(0, 0..2, 0..0)]);
    let torn = |seqs: &[u64]| {
        let at = Duration::from_secs(20);
        let mut read = FinalRead::begin(whole(&workload), Summary { start: at, end: at, ..Summary::default() });
        for seq in seqs {
            read.put(STREAM, *seq, row());
        }
        judged(&workload, &sent, &Reads::of(whole(&workload), &[]), &[read]).counts.torn_requests
    };
    assert_eq!((torn(&[]), torn(&[1]), torn(&[0, 1])), (0, 1, 0));
}

/// What fails while a planned fault goes on is told apart, and an event is not missed before the last of them is long over.
#[test]
fn failures_in_faults_are_counted_and_loss_counts_from_their_end() {
    let workload = workload(12);
    let status = |status| Answer::Reply { status, excerpt: String::new() };
    // Two events a request, due from 1 s on every 2 s; the fault goes on from 4 s to 6 s.
    let records: Vec<Record> = [
        (status(503), 2_000),
        (Answer::TimedOut, 4_100),
        (Answer::NeverLeft { error: String::new() }, 5_010),
        (status(400), 7_010),
        (Answer::NeverLeft { error: String::new() }, 9_010),
        (status(200), 11_010),
    ]
    .into_iter()
    .zip(0..)
    .flat_map(|((answer, answered), index)| {
        let due = index * 2_000 + 1_000;
        [intent(index, index * 2..index * 2 + 2, 0..0), outcome(index, due, answered, answer)]
    })
    .collect();
    let sent = sent(&workload, records);
    let seconds = Duration::from_secs;
    let watermark = |stretches| Watermark { loss_after: seconds(3), disturbed: Disturbed::new(stretches) };
    let judged = |watermark: &Watermark| {
        let start = seconds(15);
        let read = FinalRead::begin(whole(&workload), Summary { start, end: start, ..Summary::default() });
        let mut judging = Judging::new(0, 1, false);
        judging.window(&Case { watermark, ..case(&workload, &sent, &Reads::of(whole(&workload), &[]), &[read]) });
        judging.finish(None).counts
    };
    let counts = judged(&watermark(vec![(seconds(4), seconds(6))]));
    assert_eq!((counts.unsent, counts.indeterminate, counts.rejected, counts.acked), (4, 4, 2, 2));
    let in_faults = (counts.unsent_in_faults, counts.indeterminate_in_faults, counts.rejected_in_faults);
    assert_eq!(in_faults, (2, 2, 0));
    assert_eq!((counts.lost, counts.pending), (2, 0));
    let counts = judged(&watermark(vec![(seconds(4), seconds(6)), (seconds(6), seconds(13))]));
    let in_faults = (counts.unsent_in_faults, counts.indeterminate_in_faults, counts.rejected_in_faults);
    assert_eq!(in_faults, (4, 2, 2));
    assert_eq!((counts.lost, counts.pending), (0, 2), "the last fault is not over for long enough");
    let counts = judged(&watermark(Vec::new()));
    assert_eq!(counts.unsent_in_faults + counts.indeterminate_in_faults + counts.rejected_in_faults, 0);
}

/// What a scenario means to fail is told apart; what fails all the same, or does not, is not.
#[test]
fn failures_on_purpose_are_counted() {
    let mut plan = workload(8).plan().clone();
    let mut counted = |faults: ClientFaults| {
        plan.traffic[0].client.faults = faults;
        let workload = Workload::new(plan.clone(), generators::persona::PersonaTable::make(1, 2));
        let status = |status| Answer::Reply { status, excerpt: String::new() };
        let mut records = Vec::new();
        for (index, answer) in (0..4).zip([status(400), Answer::TimedOut, status(200), status(400)]) {
            records.extend([intent(index, index * 2..index * 2 + 2, 0..0), outcome(index, 0, 10, answer)]);
        }
        // A later attempt is never meant to fail, and decides.
        records.extend(retry((3, 2), 6..8, (0, 20), (20, 30), status(503)));
        let sent = sent(&workload, records);
        let counts = judged(&workload, &sent, &Reads::of(whole(&workload), &[]), &[]).counts;
        assert_eq!((counts.acked, counts.rejected, counts.indeterminate), (2, 2, 4));
        (counts.rejected_on_purpose, counts.indeterminate_on_purpose)
    };
    let (all, none) = (Share::new(1.0).unwrap(), ClientFaults::default());
    assert_eq!(counted(none), (0, 0));
    assert_eq!(counted(ClientFaults { garbage_body: all, ..none }), (2, 2));
    assert_eq!(counted(ClientFaults { disconnect: all, ..none }), (2, 2));
    assert_eq!(counted(ClientFaults { slow_body: all, ..none }), (0, 0), "a slow body is to be stored");
}

/// A request is torn once, however often it was tried, and not by events that another attempt or request says more of.
#[test]
fn attempts_of_one_request_are_torn_once() {
    let workload = workload(4);
    let status = |status| Answer::Reply { status, excerpt: String::new() };
    let torn = |first: Answer, second: Answer, resends| {
        let [again, answered] = retry((0, 2), 0..2, (1_000, 2_000), (2_000, 2_010), second);
        let others = [intent(1, 2..4, resends), outcome(1, 5_000, 5_010, status(503))];
        let records = [intent(0, 0..2, 0..0), outcome(0, 1_000, 1_010, first), again, answered];
        let sent = sent(&workload, records.into_iter().chain(others));
        let at = Duration::from_secs(20);
        let mut read = FinalRead::begin(whole(&workload), Summary { start: at, end: at, ..Summary::default() });
        read.put(STREAM, 1, row());
        judged(&workload, &sent, &Reads::of(whole(&workload), &[]), &[read]).counts.torn_requests
    };
    for (first, second, expected) in [(503, 503, 1), (503, 400, 1), (400, 503, 1), (503, 200, 0), (400, 401, 0)] {
        assert_eq!(torn(status(first), status(second), 0..0), expected, "{first} {second}");
        // Where the first request said no, what is seen is of the one that sent it again.
        let expected = expected.max(u64::from(second == 401));
        assert_eq!(torn(status(first), status(second), 0..2), expected, "{first} {second}, sent again");
    }
}

/// A request whose events lie in two windows is one cluster, and one torn request.
#[test]
fn a_request_may_lie_in_two_windows() {
    let workload = workload(6);
    let reply = Answer::Reply { status: 200, excerpt: String::new() };
    let exchanges = || {
        let records = [intent(0, 0..4, 0..0), intent(1, 4..6, 0..0), outcome(0, 0, 100, reply.clone())];
        let whole = sent(&workload, records);
        whole.exchanges().iter().cloned().map(|exchange| Exchange { windows: 2, ..exchange }).collect::<Vec<_>>()
    };
    let mut judging = Judging::new(1, 0, false);
    // Events 1 and 3 of the first request are lost, event 5 of the second one was seen.
    for seqs in [0..2, 2..5, 5..6] {
        let window = super::super::windows::Window { stream: STREAM, seqs };
        let held = exchanges().into_iter().filter(|exchange| {
            exchange.request.positions.start < window.seqs.end && window.seqs.start < exchange.request.positions.end
        });
        let sent = Sent::fold(&workload, window.clone(), held.collect());
        let at = Duration::from_secs(20);
        let reads = Reads::of(window, &[Read { start: at, end: at, new: vec![(STREAM, vec![0, 2, 5])] }]);
        judging.window(&case(&workload, &sent, &reads, &[]));
    }
    let evidence = judging.finish(None);
    let by_request = evidence.loss.by_request;
    assert_eq!((by_request.clusters, by_request.n, by_request.k, by_request.largest_k), (1, 4, 2, 2));
    assert_eq!((evidence.counts.torn_requests, evidence.counts.planned), (1, 6));
}

/// What happened to one of forty events: its request's answer, the read that first saw it, and for each of two final reads
/// whether its row is missing, right, at a wrong time, at that of the first of its request, or wrong.
type Fate = (u8, u8, [u8; 2]);

/// The evidence of events with these fates, four to a request, judged in windows of so many.
fn in_windows(fates: &[Fate], size: u64) -> Evidence {
    let workload = workload(fates.len() as u64);
    let total = fates.len() as u64;
    let mut records = Vec::new();
    for index in 0..total / 4 {
        records.push(intent(index, index * 4..index * 4 + 4, 0..0));
        let answer = match fates[index as usize * 4].0 {
            0 => Some(Answer::Reply { status: 400, excerpt: String::new() }),
            1 => None,
            2 => Some(Answer::NeverLeft { error: String::new() }),
            _ => Some(Answer::Reply { status: 200, excerpt: String::new() }),
        };
        records.extend(answer.map(|answer| outcome(index, index * 4_000 + 3_000, index * 4_000 + 3_010, answer)));
    }
    let together = sent(&workload, records);
    let mut judging = Judging::new(5, 2, false);
    for start in (0..total).step_by(size as usize) {
        let window = super::super::windows::Window { stream: STREAM, seqs: start..total.min(start + size) };
        let held = together.exchanges().iter().filter(|exchange| {
            exchange.request.positions.start < window.seqs.end && window.seqs.start < exchange.request.positions.end
        });
        let held = held.cloned().map(|exchange| {
            let (first, last) = (exchange.request.positions.start / size, (exchange.request.positions.end - 1) / size);
            Exchange { windows: (last - first + 1) as u32, ..exchange }
        });
        let sent = Sent::fold(&workload, window.clone(), held.collect());
        let at = |second: u64| Duration::from_secs(second);
        let reads: Vec<Read> = (1..=5u8)
            .map(|number| {
                let seqs = window.seqs.clone().filter(|seq| fates[*seq as usize].1 == number).collect();
                let start = at(20 * u64::from(number));
                Read { start, end: start + at(1), new: vec![(STREAM, seqs)] }
            })
            .collect();
        let final_reads: Vec<FinalRead> = (0..2)
            .map(|number| {
                let (start, end) = (at(200 + 10 * number), at(205 + 10 * number));
                let mut read = FinalRead::begin(window.clone(), Summary { start, end, ..Summary::default() });
                for seq in window.seqs.clone() {
                    // Requests are sent at once when their last event is due, at one a second.
                    let right = START.unix_micros() + seq as i64 * 1_000_000 + 5_000;
                    let row = FoundRow { timestamp_micros: right, ..row() };
                    match fates[seq as usize].2[number as usize] {
                        0 => (),
                        1 => read.put(STREAM, seq, FoundRow { timestamp_micros: right + 900_000, ..row }),
                        2 => read.put(STREAM, seq, FoundRow { timestamp_micros: right, ..differing("event") }),
                        3 => {
                            let of_first = right - seq as i64 % 4 * 1_000_000;
                            read.put(STREAM, seq, FoundRow { timestamp_micros: of_first, ..row });
                        }
                        _ => read.put(STREAM, seq, row),
                    }
                }
                read
            })
            .collect();
        judging.window(&case(&workload, &sent, &Reads::of(window, &reads), &final_reads));
    }
    judging.finish(None)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Events that are alike are told once, and a window's size is nobody's business: each event in a window of its own gives
    /// the same evidence.
    #[test]
    fn windows_and_likeness_change_nothing(
        fates in prop::collection::vec((0u8..12, prop_oneof![1 => 0u8..6, 3 => Just(1u8)], [0u8..10, 0u8..10]), 40),
        size in 2u64..50,
    ) {
        let (one, other) = (in_windows(&fates, size), in_windows(&fates, 1));
        prop_assert_eq!(one.counts, other.counts);
        prop_assert_eq!(&one.findings, &other.findings);
        prop_assert_eq!(&one.examples, &other.examples);
        prop_assert_eq!((one.loss, one.correctness), (other.loss, other.correctness));
        prop_assert_eq!((one.late.worst, one.late.best), (other.late.worst, other.late.best));
        prop_assert_eq!(&one.columns, &other.columns);
        for rank in 1..=one.spans.n() {
            prop_assert_eq!(one.spans.left_at(rank), other.spans.left_at(rank));
            prop_assert_eq!(one.spans.right_at(rank), other.spans.right_at(rank));
        }
        prop_assert_eq!((one.spans.n(), one.spans.unseen()), (other.spans.n(), other.spans.unseen()));
    }
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

#[test]
fn what_a_final_read_says_as_a_whole_is_kept() {
    let finish = |last: Option<&Summary>| Judging::new(0, 1, false).finish(last);
    let summary = Summary {
        raw_rows: 7,
        unknown_rows: 500,
        unknown: (0..100).map(|number| number.to_string()).collect(),
        ..Summary::default()
    };
    let evidence = finish(Some(&summary));
    assert_eq!((evidence.counts.raw_rows, evidence.counts.phantom, evidence.read_nothing), (7, 500, false));
    assert_eq!(evidence.found(Class::Phantom), 500, "the read kept only the first of them");
    assert!(finish(Some(&Summary::default())).read_nothing);
    let workload = workload(1);
    let mut merging = FinalRead::begin(whole(&workload), Summary::default());
    merging.pending_merge_rows = 3;
    let sent = sent(&workload, [intent(0, 0..1, 0..0)]);
    let judged = judged(&workload, &sent, &Reads::of(whole(&workload), &[]), &[merging]);
    assert_eq!(judged.counts.pending_merge_rows, 3);
    let none = finish(None);
    assert!(!none.read_nothing && none.found(Class::Phantom) == 0);
}

#[test]
fn an_event_that_reached_no_partition_is_in_a_lane_of_its_own() {
    let workload = workload(2);
    let reply = Answer::Reply { status: 200, excerpt: String::new() };
    let sent = sent(&workload, [intent(0, 0..2, 0..0), outcome(0, 0, 100, reply)]);
    let mut stages = Stages::new(whole(&workload));
    stages.add(&Passage { topic: Topic::Capture, stream: STREAM, seq: 0, at_ms: 5, partition: 1, offset: 0 });
    let at = Duration::from_secs(20);
    let reads = Reads::of(whole(&workload), &[Read { start: at, end: at, new: vec![(STREAM, vec![0, 1])] }]);
    let mut judging = Judging::new(1, 0, true);
    judging.window(&Case { stages: Some(&stages), ..case(&workload, &sent, &reads, &[]) });
    let lanes = judging.finish(None).loss.by_lane.unwrap();
    assert_eq!((lanes.clusters, lanes.n), (2, 2));
}

/// The events that a run of so many makes, all read at 20 s, with these rows of the last one.
fn last_with_rows(events: u64, start: RunStart, rows: &[FoundRow]) -> Evidence {
    let workload = workload(events);
    let reply = || Answer::Reply { status: 200, excerpt: String::new() };
    let records = (0..events).flat_map(|index| {
        let sent = index * 1_000;
        // Each request sends the event of the one before again.
        let again = index.saturating_sub(1)..index;
        [intent(index, index..index + 1, again), outcome(index, sent, sent + 100, reply())]
    });
    let (sent, at) = (sent(&workload, records), Duration::from_secs);
    let mut read = FinalRead::begin(whole(&workload), Summary { start: at(20), end: at(21), ..Summary::default() });
    for row in rows {
        read.put(STREAM, events - 1, row.clone());
    }
    let missed = Read { start: at(3), end: at(4), new: Vec::new() };
    let reads = Reads::of(whole(&workload), &[missed]);
    let mut judging = Judging::new(1, 1, false);
    judging.window(&Case { start, ..case(&workload, &sent, &reads, &[read]) });
    judging.finish(None)
}

#[test]
fn a_row_on_each_side_of_midnight_is_none_too_many() {
    let midnight = (START.unix_micros() / 86_400_000_000 + 1) * 86_400_000_000;
    let two = |start: RunStart, timestamps: [i64; 2]| {
        let workload = workload(2);
        let reply = || Answer::Reply { status: 200, excerpt: String::new() };
        let records = [
            intent(0, 0..1, 0..0),
            outcome(0, 0, 100, reply()),
            intent(1, 1..2, 0..1),
            outcome(1, 1_000, 1_100, reply()),
        ];
        let (sent, at) = (sent(&workload, records), Duration::from_secs(20));
        let mut read = FinalRead::begin(whole(&workload), Summary { start: at, end: at, ..Summary::default() });
        for timestamp in timestamps {
            read.put(STREAM, 0, FoundRow::plain(timestamp, 1));
        }
        let mut judging = Judging::new(0, 1, false);
        let reads = Reads::of(whole(&workload), &[]);
        judging.window(&Case { start, ..case(&workload, &sent, &reads, &[read]) });
        let evidence = judging.finish(None);
        (evidence.found(Class::Duplicated), evidence.found(Class::Corrupted))
    };
    // Sent twice, and received up to 100 ms later each time: computed on this side of midnight, or on that.
    let at_midnight = RunStart::from_unix_micros(midnight - 50_000);
    assert_eq!(two(at_midnight, [midnight - 40_000, midnight + 30_000]), (0, 0));
    let evidence = last_with_rows(2, at_midnight, &[row(), elsewhere(), FoundRow { key: 7, ..row() }]);
    assert_eq!(evidence.found(Class::Duplicated), 1, "an hour elsewhere is no reason for more rows");
}

#[test]
fn times_count_from_when_the_event_was_to_be_sent() {
    let right = FoundRow::plain(START.unix_micros() + 2_000_000 + 50_000, 1);
    let evidence = last_with_rows(3, START, &[right]);
    assert_eq!((evidence.found(Class::Corrupted), evidence.found(Class::Lost)), (0, 2));
    // Due at 2 s, missed at 3 s, and seen by the read that ended at 21 s; the lost two are never seen.
    let (left, right) = (evidence.spans.left_at(1).unwrap(), evidence.spans.right_at(1).unwrap());
    assert!((left - 1.0).abs() < 2e-3 && (right - 19.0).abs() < 2e-2, "{left} {right}");
}

#[test]
fn a_finding_says_what_is_known_of_its_event() {
    let evidence = last_with_rows(3, START, &[]);
    let lost = &evidence.examples[&Class::Lost][2];
    assert_eq!((lost.request.as_deref(), lost.sent_at, lost.first_seen), (Some("0/2"), Some(2.0), None));
    let odd = FoundRow { key: 7, ..row() };
    let evidence = last_with_rows(1, START, &[row(), odd]);
    let twice = &evidence.examples[&Class::Duplicated][0];
    assert_eq!(twice.expected.as_deref(), Some("at most 1 row(s)"));
    assert_eq!(twice.found.as_deref(), Some("2 rows that no merge removes"));
    let evidence = last_with_rows(1, START, &[row().in_shard(1), row().in_shard(2)]);
    let apart = &evidence.examples[&Class::Duplicated][0];
    assert_eq!(apart.found.as_deref(), Some("2 rows that no merge removes, in the shards 1, 2"));
    let seen = evidence_of(reply(200), &[Step::Seen(2), Step::Final(20, vec![differing("event")])]);
    let seen = &seen.examples[&Class::Corrupted][0];
    assert_eq!(
        (seen.first_seen, seen.expected.as_deref(), seen.found.as_deref()),
        (Some(2.05), Some("a"), Some("nothing"))
    );
}

#[test]
fn what_a_plugin_drops_is_told_apart_from_its_neighbours() {
    use crate::oracle::plugin::{Action, Condition, Plugin, Plugins};
    let workload = workload(40);
    let when = Condition { events: Vec::new(), property: None, of_a_million: 500_000 };
    let plugin = Plugin { name: "d".into(), teams: Vec::new(), when, action: Action::Drop };
    let plugins = Plugins { all: vec![plugin], time_out: Duration::ZERO };
    // All in one request, which was acked, so that nothing else tells them apart.
    let reply = Answer::Reply { status: 200, excerpt: String::new() };
    let sent = sent(&workload, [intent(0, 0..40, 0..0), outcome(0, 0, 100, reply)]);
    let counts = |visible: fn(u64) -> bool| {
        let summary = Summary { start: Duration::from_mins(1), end: Duration::from_secs(61), ..Summary::default() };
        let mut last = FinalRead::begin(whole(&workload), summary);
        for seq in (0..40).filter(|seq| visible(*seq)) {
            last.put(STREAM, seq, FoundRow::plain(START.unix_micros() + seq as i64 * 1_000_000 + 1_000, 1));
        }
        let (reads, final_reads) = (Reads::of(whole(&workload), &[]), [last]);
        let mut judging = Judging::new(0, 1, false);
        judging.window(&Case { plugins: &plugins, ..case(&workload, &sent, &reads, &final_reads) });
        let evidence = judging.finish(Some(&final_reads[0].summary));
        (evidence.expected_absent, evidence.counts.lost, evidence.found(Class::ShouldBeAbsent))
    };
    let (absent, lost, _) = counts(|_| false);
    assert!((10..=30).contains(&absent) && absent + lost == 40, "{absent} dropped, {lost} lost");
    assert_eq!(counts(|_| true), (absent, 0, absent));
}

/// A v1 that says `ok` to what it must refuse, and stores all of it, or nothing.
#[test]
fn what_v1_must_refuse_is_told_apart_from_its_neighbours() {
    let choices: [fn(&mut Extras, Share); 2] =
        [|extras, share| extras.refused = share, |extras, share| extras.hostile = share];
    for choose in choices {
        let mut plan = workload(40).plan().clone();
        plan.traffic[0].endpoint = Endpoint::V1;
        plan.traffic[0].extras.kinds = vec![Hostile::LongName];
        choose(&mut plan.traffic[0].extras, Share::new(0.5).unwrap());
        let workload = Workload::new(plan, generators::persona::PersonaTable::make(1, 2));
        let ok = Answer::Results { exceptions: Vec::new(), complete: true };
        let sent = sent(&workload, [intent(0, 0..40, 0..0), outcome(0, 0, 100, ok)]);
        let counts = |visible: fn(u64) -> bool| {
            let summary = Summary { start: Duration::from_mins(1), end: Duration::from_secs(61), ..Summary::default() };
            let mut last = FinalRead::begin(whole(&workload), summary);
            for seq in (0..40).filter(|seq| visible(*seq)) {
                last.put(STREAM, seq, FoundRow::plain(START.unix_micros() + seq as i64 * 1_000_000 + 1_000, 1));
            }
            let evidence = judged(&workload, &sent, &Reads::of(whole(&workload), &[]), &[last]);
            (evidence.expected_absent, evidence.counts.lost, evidence.found(Class::ShouldBeAbsent))
        };
        let (absent, lost, _) = counts(|_| false);
        assert!((10..=30).contains(&absent) && absent + lost == 40, "{absent} to be refused, {lost} lost");
        assert_eq!(counts(|_| true), (absent, 0, absent));
    }
}

#[test]
fn what_is_too_old_for_its_team_is_told_apart_from_its_neighbours() {
    let mut plan = workload(40).plan().clone();
    plan.traffic[0].drop_events_older_than = Some(Duration::from_secs(20));
    let workload = Workload::new(plan, generators::persona::PersonaTable::make(1, 2));
    // They are a second apart, and leave in one request when the last of them is due: the first is 39 seconds old then.
    let reply = || Answer::Reply { status: 200, excerpt: String::new() };
    let first = [intent(0, 0..40, 0..0), outcome(0, 39_000, 39_100, reply())];
    let counts = |records: &[Record], visible: fn(u64) -> bool| {
        let sent = sent(&workload, records.iter().cloned());
        let summary = Summary { start: Duration::from_mins(2), end: Duration::from_secs(121), ..Summary::default() };
        let mut last = FinalRead::begin(whole(&workload), summary);
        for seq in (0..40).filter(|seq| visible(*seq)) {
            last.put(STREAM, seq, FoundRow::plain(START.unix_micros() + seq as i64 * 1_000_000 + 1_000, 1));
        }
        let evidence = judged(&workload, &sent, &Reads::of(whole(&workload), &[]), &[last]);
        let counts = &evidence.counts;
        (evidence.expected_absent, counts.either, counts.lost, evidence.found(Class::ShouldBeAbsent), counts.corrupted)
    };
    assert_eq!(counts(&first, |_| false), (19, 1, 20, 0, 0));
    assert_eq!(counts(&first, |seq| seq > 18), (19, 1, 0, 0, 0));
    assert_eq!(counts(&first, |_| true), (19, 1, 0, 19, 0));
    // The same request a second time is ten seconds older, and what is dropped then has been stored.
    let again = retry((0, 2), 0..40, (49_000, 49_000), (49_000, 49_100), reply());
    let twice: Vec<Record> = first.iter().cloned().chain(again.clone()).collect();
    assert_eq!(counts(&twice, |seq| seq > 18), (19, 1, 0, 0, 0));
    // If nobody knows whether the first has arrived, nobody knows of those ten.
    let unanswered: Vec<Record> = [intent(0, 0..40, 0..0)].into_iter().chain(again).collect();
    assert_eq!(counts(&unanswered, |seq| seq > 29), (19, 11, 0, 0, 0));
}

/// What is judged of 40 acked events of one request, of which a plugin exports half, with these deliveries.
fn exported(
    visible: impl Fn(u64) -> bool,
    caught_up: bool,
    deliveries: impl Fn(u64, bool) -> Vec<Delivery>,
) -> Evidence {
    use crate::{
        oracle::plugin::{Action, Condition, Plugin, Plugins},
        reconcile::exports::{End, Summary as Exported},
    };
    let workload = workload(40);
    let when = Condition { events: Vec::new(), property: None, of_a_million: 500_000 };
    let plugin = Plugin { name: "crm".into(), teams: Vec::new(), when, action: Action::Export };
    let plugins = Plugins { all: vec![plugin], time_out: Duration::ZERO };
    let reply = Answer::Reply { status: 200, excerpt: String::new() };
    let sent = sent(&workload, [intent(0, 0..40, 0..0), outcome(0, 0, 100, reply)]);
    let summary = Summary { start: Duration::from_mins(1), end: Duration::from_secs(61), ..Summary::default() };
    let reads = Reads::of(whole(&workload), &[]);
    let empty = [FinalRead::begin(whole(&workload), summary.clone())];
    let mut last = FinalRead::begin(whole(&workload), summary);
    for seq in (0..40).filter(|seq| visible(*seq)) {
        let timestamps = case(&workload, &sent, &reads, &empty).timestamps(STREAM, seq);
        last.put(STREAM, seq, FoundRow::plain(timestamps[0].0, 1));
    }
    let final_reads = [last];
    let mut exports = Exports::new(whole(&workload), 1, caught_up);
    let before = Case { plugins: &plugins, ..case(&workload, &sent, &reads, &final_reads) };
    for seq in 0..40 {
        let matches = before.export_rules(STREAM, seq) == [Some(true)];
        for delivery in deliveries(seq, matches) {
            exports.add(delivery);
        }
    }
    let mut judging = Judging::new(0, 1, false);
    judging.exports(&Exported { end: Some(End { caught_up, requests: 3, refused: 1 }), ..Exported::default() });
    judging.window(&Case { exports: Some(&exports), ..before });
    judging.finish(Some(&final_reads[0].summary))
}

#[test]
fn each_event_that_a_plugin_exports_must_be_delivered_as_it_is() {
    let delivery = |seq| Delivery { plugin: 0, stream: STREAM, seq, differences: Vec::new() };
    let wrong = |seq| Delivery { differences: differing("event").differences, ..delivery(seq) };
    let right = |seq, matches| if matches { vec![delivery(seq), delivery(seq)] } else { Vec::new() };
    let found = |evidence: &Evidence| {
        [Class::NotExported, Class::WronglyExported, Class::StrayExport].map(|class| evidence.found(class))
    };
    let clean = exported(|_| true, true, right);
    let all = clean.exported.n;
    assert!((10..=30).contains(&all), "half of 40: {all}");
    assert_eq!((found(&clean), clean.exported.k, clean.counts.lost), ([0; 3], 0, 0));
    assert_eq!(clean.exports.map(|facts| (facts.again, facts.requests, facts.refused)), Some((all, 3, 1)));

    let none = exported(|_| true, true, |_, _| Vec::new());
    assert_eq!(
        (found(&none), none.exported.k, none.exported.n, none.counts.not_exported),
        ([all, 0, 0], all, all, all)
    );
    let example = &none.examples[&Class::NotExported][0];
    assert_eq!(example.expected.as_deref(), Some("a delivery by `crm`"));
    let behind = exported(|_| true, false, |_, _| Vec::new());
    assert_eq!((found(&behind), behind.exported.n), ([0; 3], 0), "it may still come");
    assert_eq!(behind.exports.map(|facts| facts.pending), Some(all));

    let spoiled =
        exported(|_| true, true, |seq, matches| if matches { vec![wrong(seq), delivery(seq)] } else { vec![] });
    assert_eq!((found(&spoiled), spoiled.exported.k), ([0, all, 0], all), "a right delivery does not make it good");
    assert_eq!(spoiled.examples[&Class::WronglyExported][0].column.as_deref(), Some("event"));
    assert!(spoiled.columns.is_empty(), "the row is right");

    let strays = exported(|_| true, true, |seq, _| vec![delivery(seq)]);
    assert_eq!((found(&strays), strays.exported.k), ([0, 0, 40 - all], 0));
    assert_eq!(strays.examples[&Class::StrayExport][0].found.as_deref(), Some("one by `crm`"));

    let lost = exported(|seq| seq >= 20, true, |seq, matches| if seq >= 20 { right(seq, matches) } else { Vec::new() });
    assert_eq!((lost.counts.lost, lost.counts.not_exported), (20, 0), "lost comes first");
    assert_eq!(lost.found(Class::NotExported), lost.exported.k);
    assert!(lost.exported.k > 0 && lost.exported.n == all);
}
