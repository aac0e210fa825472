//! What is awaited, overdue and seen, followed by hand.

use generators::{
    identity::RunId,
    persona::PersonaTable,
    request::{Request, Retry},
    schedule::{Arrival, Rate},
    workload::{Absence, Plan, Traffic},
};

use super::*;

const STREAM: StreamId = StreamId(0);

/// Events at one a second; request n is event n.
fn workload(absent: Option<Absence>) -> Workload {
    let rate = Rate::new(1, Duration::from_secs(1)).unwrap();
    let traffic = Traffic { absent, ..Traffic::orderly(100, Arrival::Constant { rate }) };
    Workload::new(Plan::new(RunId::new(1), 1, vec![traffic]), PersonaTable::make(1, 2))
}

fn follower() -> Follower {
    Follower {
        dialect: Dialect::V2026,
        plugins: Plugins::default(),
        start: RunStart::from_unix_micros(0),
        watermark: Watermark { loss_after: at(10.0), ..Watermark::default() },
        late_after: at(0.1),
        awaited: HashMap::new(),
        early: HashMap::new(),
    }
}

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Request `index`, due at its own second, sent so much later and answered after another second.
fn exchange(index: u64, late: f64, outcome: EventOutcome) -> Exchange {
    let request =
        Request { stream: STREAM, index, positions: index..index + 1, resends: 0..0, only: None, retry: None };
    let (intended, sent) = (at(index as f64), at(index as f64 + late));
    let answered = Some(sent + at(1.0));
    Exchange { request, intended, sent, answered, gave_up: None, outcome, exceptions: Vec::new(), windows: 1 }
}

fn read(end: f64, seqs: &[u64]) -> Read {
    Read { start: at(end - 0.05), end: at(end), new: vec![(STREAM, seqs.to_vec())] }
}

const UNSEEN: fn(StreamId, u64) -> bool = |_, _| false;

#[test]
fn an_acked_event_is_awaited_until_it_is_seen() {
    let (workload, mut follower) = (workload(None), follower());
    let acked = [exchange(1, 0.0, EventOutcome::Acked), exchange(2, 0.5, EventOutcome::Acked)];
    let found = follower.look(at(4.0), &workload, (&[], &acked), UNSEEN);
    assert_eq!(found, Found { lateness: vec![0.0, 0.5], late: 1, times: vec![] });
    assert_eq!(follower.awaited(at(4.0)), (2, 0));
    let found = follower.look(at(5.0), &workload, (&[read(4.5, &[2])], &[]), UNSEEN);
    assert_eq!(found.times, [2.5], "from the intended moment to the end of the read");
    // The other was answered after 2 s, and is missing 10 s after that.
    assert_eq!(follower.awaited(at(11.9)), (1, 0));
    assert_eq!(follower.awaited(at(12.0)), (1, 1));
    let found = follower.look(at(20.0), &workload, (&[read(19.0, &[1])], &[]), UNSEEN);
    assert_eq!((found.times, follower.awaited(at(20.0))), (vec![18.0], (0, 0)), "late is better than never");
}

#[test]
fn an_event_may_be_seen_before_its_answer_is_known() {
    let (workload, mut follower) = (workload(None), follower());
    let found = follower.look(at(3.0), &workload, (&[read(2.0, &[1]), read(2.5, &[1])], &[]), UNSEEN);
    assert!(found.times.is_empty());
    let acked = [exchange(1, 0.0, EventOutcome::Acked)];
    let found = follower.look(at(4.0), &workload, (&[], &acked), |_, _| true);
    assert_eq!(found.times, [1.0], "the first read counts");
    assert_eq!(follower.awaited(at(99.0)), (0, 0));
}

#[test]
fn what_need_not_be_there_is_not_awaited() {
    let mut follower = follower();
    for outcome in [EventOutcome::Rejected, EventOutcome::Indeterminate] {
        follower.look(at(4.0), &workload(None), (&[], &[exchange(1, 0.0, outcome)]), UNSEEN);
    }
    let dropped = workload(Some(Absence::DropListed));
    follower.look(at(4.0), &dropped, (&[], &[exchange(1, 0.0, EventOutcome::Acked)]), UNSEEN);
    assert_eq!(follower.awaited(at(99.0)), (0, 0));
}

#[test]
fn a_later_attempt_of_a_seen_event_is_not_awaited_and_not_late() {
    let (workload, mut follower) = (workload(None), follower());
    let mut again = exchange(1, 5.0, EventOutcome::Acked);
    again.request.retry = Some(Retry { attempt: 2, due: at(1.0), built: at(6.0) });
    let found = follower.look(at(8.0), &workload, (&[], &[again]), |_, seq| seq == 1);
    assert_eq!((found, follower.awaited(at(99.0))), (Found::default(), (0, 0)));
}

#[test]
fn what_was_read_again_and_never_answered_is_forgotten() {
    let (workload, mut follower) = (workload(None), follower());
    follower.look(at(3.0), &workload, (&[read(2.0, &[1, 2])], &[]), UNSEEN);
    assert_eq!(follower.early.len(), 2);
    follower.look(at(123.0), &workload, (&[], &[]), UNSEEN);
    assert_eq!(follower.early.len(), 0);
}

#[test]
fn a_run_s_own_topics_have_one_name_in_all_runs() {
    let lag = PartitionLag { topic: "r0123_clickhouse_events_json".into(), partition: 2, messages: 7 };
    let now = lag_now("r0123_", "r0123_ingester", &lag);
    assert_eq!((now.group.as_str(), now.topic.as_str()), ("ingester", "clickhouse_events_json"));
}
