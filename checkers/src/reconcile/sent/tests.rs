//! What the ledger comes to, attempt by attempt and window by window.

use generators::{
    ledger::{End, Intent},
    persona::PersonaTable,
    random::{Distribution, Share},
    request::Requests,
    workload::Alteration,
};

use super::*;
use crate::reconcile::{
    example::{STREAM, disorderly, intent, outcome, retry, sent, workload},
    windows::EVENTS,
};

fn reply(status: u16) -> Answer {
    Answer::Reply { status, excerpt: String::new() }
}

/// Events 0 and 1 are in request 0; event 0 is sent again in request 1.
fn folded(first: Option<Answer>, second: Option<Answer>) -> SentEvent {
    let workload = workload(4);
    let mut records = vec![intent(0, 0..2, 0..0), intent(1, 2..4, 0..1)];
    records.extend(first.map(|answer| outcome(0, 10, 20, answer)));
    records.extend(second.map(|answer| outcome(1, 30, 40, answer)));
    sent(&workload, records).event(STREAM, 0)
}

#[test]
fn the_strongest_attempt_counts() {
    use EventOutcome::{Acked, Indeterminate, Rejected, Unsent};
    let never_left = || Answer::NeverLeft { error: String::new() };
    for (first, second, expected) in [
        (Some(reply(200)), Some(reply(400)), Acked),
        (Some(reply(400)), Some(reply(200)), Acked),
        (Some(reply(400)), Some(reply(401)), Rejected),
        (Some(reply(400)), Some(reply(503)), Indeterminate),
        (Some(reply(400)), None, Indeterminate),
        (Some(Answer::TimedOut), Some(reply(400)), Indeterminate),
        (Some(never_left()), Some(reply(400)), Rejected),
        (Some(never_left()), Some(never_left()), Unsent),
        (None, None, Indeterminate),
    ] {
        assert_eq!(folded(first.clone(), second.clone()).outcome, expected, "{first:?} {second:?}");
    }
}

#[test]
fn an_answer_without_content_is_an_ack_for_what_a_closed_page_has_sent() {
    let outcome_of = |beacon: f64, status| {
        let mut plan = workload(4).plan().clone();
        plan.traffic[0].client.beacon = Share::new(beacon).unwrap();
        let workload = Workload::new(plan, PersonaTable::make(1, 2));
        sent(&workload, vec![intent(0, 0..2, 0..0), outcome(0, 10, 20, reply(status))]).event(STREAM, 0).outcome
    };
    for (status, as_beacon, otherwise) in [
        (204, EventOutcome::Acked, EventOutcome::Indeterminate),
        (200, EventOutcome::Acked, EventOutcome::Acked),
        (400, EventOutcome::Rejected, EventOutcome::Rejected),
        (503, EventOutcome::Indeterminate, EventOutcome::Indeterminate),
    ] {
        assert_eq!((outcome_of(1.0, status), outcome_of(0.0, status)), (as_beacon, otherwise), "{status}");
    }
}

#[test]
fn sent_at_is_the_first_intended_moment_and_answered_at_the_first_ack() {
    let event = folded(Some(reply(503)), Some(reply(200)));
    assert_eq!(event.sent_at, Some(Duration::from_secs(1)), "due with the last event of its request, at 1/s");
    assert_eq!(event.answered_at, Some(Duration::from_millis(40)));
    assert_eq!(event.exchange, 1);
    let event = folded(Some(reply(200)), Some(reply(200)));
    assert_eq!((event.answered_at, event.exchange), (Some(Duration::from_millis(20)), 0));
}

/// What becomes of events 0 and 1 of a request that was due at 1 s, by the answers to its attempts, one every second from
/// 2 s on, each answered in half a second.
fn retried(answers: &[Option<Answer>]) -> Sent {
    let workload = workload(4);
    let mut records = vec![intent(0, 0..2, 0..0)];
    records.extend(answers[0].clone().map(|answer| outcome(0, 2_000, 2_500, answer)));
    for (number, answer) in answers.iter().enumerate().skip(1) {
        let (attempt, at) = (number as u32 + 1, number as u64 * 1_000 + 2_000);
        let [intent, outcome] =
            retry((0, attempt), 0..2, (1_000, at), (at, at + 500), answer.clone().unwrap_or(Answer::TimedOut));
        records.push(intent);
        records.extend(answer.is_some().then_some(outcome));
    }
    sent(&workload, records)
}

#[test]
fn attempts_of_one_request_are_folded() {
    use EventOutcome::{Acked, Indeterminate, Rejected, Unsent};
    let never_left = || Some(Answer::NeverLeft { error: String::new() });
    let status = |status| Some(reply(status));
    for (answers, outcome, attempt, answered_at) in [
        (vec![status(503), status(200)], Acked, 2, Some(3_500)),
        (vec![Some(Answer::TimedOut), status(503), status(200)], Acked, 3, Some(4_500)),
        (vec![status(503), status(400)], Indeterminate, 1, None),
        (vec![status(400), status(503)], Indeterminate, 2, None),
        (vec![status(401), status(400)], Rejected, 1, None),
        (vec![never_left(), status(200)], Acked, 2, Some(3_500)),
        (vec![never_left(), never_left()], Unsent, 1, None),
        (vec![never_left(), status(413)], Rejected, 2, None),
        // The run was killed while the last attempt was on its way.
        (vec![status(413), None], Indeterminate, 2, None),
        (vec![None], Indeterminate, 1, None),
    ] {
        let sent = retried(&answers);
        let event = sent.event(STREAM, 1);
        let first = (outcome != Unsent).then_some(Duration::from_secs(1));
        assert_eq!((event.outcome, event.sent_at), (outcome, first), "{answers:?}");
        assert_eq!(event.answered_at, answered_at.map(Duration::from_millis), "{answers:?}");
        assert_eq!(sent.exchanges()[event.exchange as usize].request.attempt(), attempt, "{answers:?}");
    }
}

/// posthog-node: 413, then the halves, the second of which fails once.
#[test]
fn halves_are_timed_from_when_the_whole_was_due() {
    let workload = workload(4);
    let mut records = vec![intent(1, 2..4, 0..0), outcome(1, 3_000, 3_010, reply(413))];
    records.extend(retry((1, 2), 2..3, (3_000, 3_020), (3_020, 3_030), reply(200)));
    records.extend(retry((1, 3), 3..4, (3_000, 3_040), (3_040, 3_050), reply(503)));
    records.extend(retry((1, 4), 3..4, (3_000, 3_040), (6_050, 6_060), reply(200)));
    let sent = sent(&workload, records);
    for (seq, answered, attempts) in [(2, 3_030, &[1, 2][..]), (3, 6_060, &[1, 3, 4])] {
        let event = sent.event(STREAM, seq);
        assert_eq!(event.outcome, EventOutcome::Acked);
        assert_eq!(event.sent_at, Some(Duration::from_secs(3)));
        assert_eq!(event.answered_at, Some(Duration::from_millis(answered)));
        let found: Vec<u32> = sent.attempts(STREAM, seq).map(|exchange| exchange.request.attempt()).collect();
        assert_eq!(found, attempts);
    }
    // What the capture reads in `sent_at` are the moments at which the bytes were built, of those that it may have stored.
    let start = RunStart::from_unix_micros(1_790_000_000_000_000);
    let occurred = workload.occurred_micros(STREAM, 3).unwrap();
    let times = sent.attempt_times(&workload, start, STREAM, 3, occurred, Duration::from_mins(1));
    let told: Vec<_> = times.iter().map(|time| (time.said.sent_at_ms.unwrap(), time.earliest_micros)).collect();
    let wall = |ms: i64| (1_790_000_003_040, 1_790_000_000_000_000 + ms * 1_000);
    assert_eq!(told, [wall(3_040), wall(6_050)]);
    let name = |seq| sent.exchanges()[sent.event(STREAM, seq).exchange as usize].name();
    assert_eq!((name(2).as_str(), name(3).as_str()), ("0/1 attempt 2", "0/1 attempt 4"));
}

#[test]
fn what_the_plan_has_sent_once_more_are_attempts_of_the_same_request() {
    let mut plan = workload(4).plan().clone();
    let disorder = &mut plan.traffic[0].disorder;
    disorder.resend_after = Some(Distribution::Constant { value: Duration::from_secs(30) });
    disorder.duplicate_requests = Share::new(1.0).unwrap();
    disorder.duplicate_after = Distribution::Constant { value: Duration::from_secs(5) };
    let workload = Workload::new(plan, PersonaTable::make(1, 2));
    let first = Requests::new(&workload, STREAM).next().unwrap();
    let mut records = vec![intent(0, 0..2, 0..0), outcome(0, 1_000, 1_010, reply(503))];
    for (at, request) in [first.sent_again(&workload), first.duplicate(&workload)].into_iter().flatten() {
        let attempt = request.attempt();
        records.push(Record::Intent(Intent { request, released: at }));
        let (stream, answered, answer) = (STREAM, at + Duration::from_millis(5), reply(200));
        records.push(Record::Outcome(Outcome { stream, index: 0, attempt, sent: at, answered, answer }));
    }
    let sent = sent(&workload, records);
    for seq in [0, 1] {
        let event = sent.event(STREAM, seq);
        assert_eq!((event.outcome, event.repeated), (EventOutcome::Acked, true));
        assert_eq!(event.sent_at, Some(Duration::from_secs(1)), "as the first was due");
        assert_eq!(event.answered_at, Some(Duration::from_millis(6_005)), "the duplicate was first");
        let names: Vec<_> = sent.attempts(STREAM, seq).map(Exchange::name).collect();
        assert_eq!(names, ["0/0", "0/0 sent again", "0/0 duplicate"]);
    }
    // Of the duplicate the capture reads the first one's `sent_at` five seconds later, and corrects its events by as much.
    let start = RunStart::from_unix_micros(1_790_000_000_000_000);
    let times = sent.attempt_times(&workload, start, STREAM, 1, 0, Duration::from_mins(1));
    let told: Vec<_> = times.iter().map(|time| time.said.sent_at_ms.unwrap() - 1_790_000_000_000).collect();
    assert_eq!(told, [1_000, 31_000, 1_000]);
    for exchange in sent.exchanges() {
        let bytes = encode(exchange, exchange.windows);
        assert_eq!(decode(&mut &bytes[..], &workload, STREAM).as_ref(), Some(exchange));
    }
}

#[test]
fn a_second_sending_of_another_day_is_expected_there() {
    let mut plan = workload(4).plan().clone();
    plan.traffic[0].disorder.altered = Share::new(1.0).unwrap();
    plan.traffic[0].disorder.altered_in = vec![Alteration::Day];
    let workload = Workload::new(plan, PersonaTable::make(1, 2));
    let records = vec![
        intent(0, 0..2, 0..0),
        outcome(0, 1_000, 1_010, reply(200)),
        intent(1, 2..4, 0..2),
        outcome(1, 3_000, 3_010, reply(200)),
    ];
    let sent = sent(&workload, records);
    let start = RunStart::from_unix_micros(1_790_000_000_000_000);
    let said = |seq| -> Vec<i64> {
        let times = sent.attempt_times(&workload, start, STREAM, seq, 5_000_000, Duration::from_mins(1));
        times.iter().map(|time| time.said.timestamp_ms.unwrap() - 1_790_000_000_000).collect()
    };
    assert_eq!(said(1), [5_000, 5_000 - 86_400_000]);
    assert_eq!(said(3), [5_000], "sent once");
}

#[test]
fn a_request_was_sent_when_its_outcome_says_so() {
    let workload = workload(4);
    let of = |records: Vec<Record>| sent(&workload, records).exchanges()[0].sent;
    assert_eq!(of(vec![intent(0, 0..2, 0..0), outcome(0, 30, 40, reply(200))]), Duration::from_millis(30));
    let Record::Intent(released) = intent(0, 0..2, 0..0) else { panic!("no intent") };
    assert_eq!(of(vec![Record::Intent(released.clone())]), released.released, "without one, when it was released");
}

#[test]
fn the_first_ack_is_the_earliest_whichever_request_it_answers() {
    let workload = workload(4);
    let records =
        [intent(0, 0..2, 0..0), intent(1, 2..4, 0..2), outcome(0, 10, 50, reply(200)), outcome(1, 30, 40, reply(200))];
    let sent = sent(&workload, records);
    let event = sent.event(STREAM, 0);
    assert_eq!((event.answered_at, event.exchange), (Some(Duration::from_millis(40)), 1));
    for (seq, expected) in [(0, &[0, 1][..]), (1, &[0, 1]), (2, &[1]), (3, &[1])] {
        let attempts: Vec<u64> = sent.attempts(STREAM, seq).map(|exchange| exchange.request.index).collect();
        assert_eq!(attempts, expected, "event {seq}");
    }
}

#[test]
fn what_goes_aside_comes_back_as_it_was() {
    let workload = workload(4);
    let at = Duration::from_millis;
    for outcome in [EventOutcome::Unsent, EventOutcome::Rejected, EventOutcome::Indeterminate, EventOutcome::Acked] {
        for (answered, only, attempt) in [
            (None, None, None),
            (Some(at(7)), Some([3].into()), Some(2)),
            (Some(at(90)), Some([].into()), Some(2)),
            // The first part of one whose client makes smaller batches.
            (Some(at(9)), None, Some(1)),
        ] {
            let retry = attempt.map(|attempt| Retry { attempt, due: at(5), built: at(6) });
            let request = Request { stream: STREAM, index: 1, positions: 2..4, resends: 0..2, only, retry };
            let exchange = Exchange {
                intended: request.due(&workload),
                request,
                sent: at(7),
                answered,
                gave_up: answered.is_none().then_some(at(95)),
                outcome,
                exceptions: vec![
                    (2, Meaning::Dropped(DropWord::OTHER)),
                    (3, Meaning::Outcome(EventOutcome::Indeterminate)),
                    (5, Meaning::Dropped(DropWord::of("event_too_big"))),
                ],
                windows: 3,
            };
            let bytes = encode(&exchange, exchange.windows);
            assert_eq!(decode(&mut &bytes[..], &workload, STREAM), Some(exchange));
        }
    }
}

#[test]
fn results_of_single_events_count_for_them_alone() {
    use EventOutcome::{Acked, Indeterminate};
    let workload = workload(8);
    let drop = || EventResult::Drop(DropWord::of("event_too_big"));
    let results =
        |exceptions: &[(u64, EventResult)], complete| Answer::Results { exceptions: exceptions.to_vec(), complete };
    let records = [
        intent(0, 0..4, 0..0),
        outcome(0, 10, 20, results(&[(2, drop()), (1, EventResult::Retry)], true)),
        intent(1, 4..8, 0..0),
        outcome(1, 30, 40, results(&[(5, drop())], false)),
        intent(2, 8..8, 0..4),
        outcome(2, 50, 60, results(&[(1, EventResult::Unknown)], true)),
    ];
    let sent = sent(&workload, records);
    let of = |seq| sent.event(STREAM, seq).outcome;
    let expected = [Acked, Indeterminate, Acked, Acked, Indeterminate, Acked, Indeterminate, Indeterminate];
    assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(of), expected, "event 2 was taken when it was sent again");
    let word = |seq| sent.event(STREAM, seq).dropped.map(DropWord::word);
    assert_eq!((word(2), word(5)), (None, Some("event_too_big")));
    assert_eq!(sent.event(STREAM, 2).answered_at, Some(Duration::from_millis(60)));
    let stored =
        |seq| sent.attempt_times(&workload, RunStart::from_unix_micros(0), STREAM, seq, 0, Duration::ZERO).len();
    assert_eq!([0, 2, 5].map(stored), [2, 1, 0], "an attempt that was dropped stored nothing");
}

#[test]
fn what_was_asked_for_again_counts_for_those_events_alone() {
    use EventOutcome::{Acked, Indeterminate};
    let workload = workload(4);
    let asked = Answer::Results { exceptions: vec![(1, EventResult::Retry), (3, EventResult::Retry)], complete: true };
    let mut again = retry((0, 2), 0..4, (0, 25), (30, 40), reply(200));
    if let Record::Intent(intent) = &mut again[0] {
        intent.request.only = Some([1].into());
    }
    let first = [intent(0, 0..4, 0..0), outcome(0, 10, 20, asked)];
    let sent = sent(&workload, first.into_iter().chain(again));
    let at = |millis| Some(Duration::from_millis(millis));
    let of = |seq| (sent.event(STREAM, seq).outcome, sent.event(STREAM, seq).answered_at);
    let expected = [(Acked, at(20)), (Acked, at(40)), (Acked, at(20)), (Indeterminate, None)];
    assert_eq!([0, 1, 2, 3].map(of), expected);
    assert_eq!([0, 1, 3].map(|seq| sent.attempts(STREAM, seq).count()), [1, 2, 1]);
}

#[test]
fn what_has_no_intent_was_never_sent() {
    let workload = workload(4);
    let sent = sent(&workload, [intent(0, 0..2, 0..0)]);
    assert_eq!(sent.events()[3].outcome, EventOutcome::Unsent);
    assert_eq!(sent.events()[1].outcome, EventOutcome::Indeterminate);
    assert_eq!(sent.event(STREAM, 9), SentEvent::default());
}

#[test]
fn windows_together_hold_what_one_fold_holds() {
    let workload = disorderly(EVENTS + 5_000);
    let (mut records, mut retries) = (Vec::new(), 0);
    for request in Requests::new(&workload, STREAM) {
        let (index, first) = (request.index, request.positions.start..request.positions.start + 1);
        records.push(intent(index, request.positions, request.resends));
        records.extend(match index % 50 {
            0 => None,
            1 => Some(outcome(index, index, index + 7, reply(503))),
            2 => Some(outcome(index, index, index + 7, Answer::NeverLeft { error: String::new() })),
            _ => Some(outcome(index, index, index + 9, reply(200))),
        });
        if index % 50 == 1 {
            records.extend(retry((index, 2), first, (index, index + 3), (index + 1_000, index + 1_010), reply(200)));
            retries += 1;
        }
    }
    let windows = Windows::of(&workload);
    assert_eq!(windows.len(), 2);
    let folder = std::env::temp_dir();
    let tolerance = Duration::from_secs(1);
    // Two senders gave up repeats, and a third did not.
    let ends = [Record::GivenUp(3_000), Record::End(End::Complete), Record::End(End::Complete), Record::GivenUp(7)];
    let sorted = records.iter().cloned().chain(ends).map(Ok);
    let log = SentLog::sort(Dialect::V2026, &workload, &windows, tolerance, &folder, sorted).unwrap();
    assert_eq!(log.given_up, 3_007);
    let whole = sent(&workload, records);
    let mut shared = 0;
    for (number, window) in windows.iter() {
        let part = log.window(&workload, window.clone(), number).unwrap();
        shared += part.exchanges().iter().filter(|exchange| exchange.windows == 2).count();
        for seq in window.seqs {
            let (one, other) = (part.event(STREAM, seq), whole.event(STREAM, seq));
            assert_eq!((one.outcome, one.sent_at, one.answered_at), (other.outcome, other.sent_at, other.answered_at));
            let keys = |sent: &Sent| sent.attempts(STREAM, seq).map(Exchange::key).collect::<Vec<_>>();
            assert_eq!(keys(&part), keys(&whole), "event {seq}");
            if one.sent_at.is_some() {
                let key = |sent: &Sent, event: SentEvent| sent.exchanges()[event.exchange as usize].key();
                assert_eq!(key(&part, one), key(&whole, other), "event {seq}");
            }
        }
    }
    assert!(shared > 0, "some requests lie in both windows");
    let left = whole.exchanges().iter().filter(|exchange| exchange.outcome != EventOutcome::Unsent).count();
    assert_eq!(log.schedule.retries(), retries);
    assert_eq!(log.schedule.requests() + retries, left as u64, "retries have no place in the schedule");
}
