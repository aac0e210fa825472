//! How recordings are judged that hold an event more than once: by one event, of which any content may stay.

use std::{sync::Arc, time::Duration};

use generators::{
    clock::RunStart,
    event::EventSource,
    identity::RunId,
    ledger::Answer,
    persona::PersonaTable,
    replay::{Recording, import},
    schedule::{Arrival, Rate},
    workload::{Pace, Plan, Traffic, Workload},
};

use super::{
    example::{STREAM, intent, outcome, sent},
    sent::EventOutcome,
};
use crate::oracle::{dialect::Dialect, plugin::NO_PLUGINS, row::most_rows};

const U: &str = "0190aaaa-0000-7000-8000-000000000001";

/// What replays these lines.
fn replaying(lines: &[String]) -> Workload {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from.jsonl"), folder.path().join("recording.jsonl"));
    std::fs::write(&from, lines.join("\n")).unwrap();
    import(&from, &to, 1, true, |line| panic!("{line:?}")).unwrap();
    let recording = Recording::open(&to).unwrap();
    let arrival = Arrival::Constant { rate: Rate::new(1, Duration::from_secs(1)).unwrap() };
    let traffic = Traffic { replay: Some(Pace::Recorded(1.0)), ..Traffic::orderly(recording.events(), arrival) };
    let plan = Plan::new(RunId::new(1), 1, vec![traffic]);
    Workload::replaying(plan, PersonaTable::make(1, 1), Some(&Arc::new(recording)))
}

/// A recorded event.
fn event(uuid: &str, timestamp: &str, properties: &str) -> String {
    format!(r#"{{"event":"e","uuid":"{uuid}","distinct_id":"d","timestamp":"{timestamp}","properties":{properties}}}"#)
}

/// A request at a second, whose query holds these events.
fn request(time: u32, events: &[String]) -> String {
    let path = format!("/e/?data=[{}]", events.join(","));
    serde_json::json!({"time": time, "method": "GET", "path": path}).to_string()
}

#[test]
fn any_content_may_stay_and_no_mixture() {
    let at = "2026-01-01T00:00:00Z";
    let workload = replaying(&[
        request(1, &[event(U, at, r#"{"a":1,"b":1}"#)]),
        request(2, &[event(U, at, r#"{"a":2,"b":2}"#)]),
        request(3, &[event(U, at, r#"{"a":1,"b":1}"#), event("", at, "{}")]),
    ]);
    assert_eq!(workload.planned(STREAM), 2);
    let first = workload.event(STREAM, 0).unwrap();
    let expectation = NO_PLUGINS.expect_told((Dialect::V2026, &workload), &first, 1, &[], 0);
    assert_eq!(expectation.others.len(), 1);
    let row = expectation.fulfilled().unwrap();
    let holding = |a: &str, b: &str| {
        let properties = row.properties.replace("\"a\":1", a).replace("\"b\":1", b);
        expectation.differences(&crate::oracle::row::Row { properties, ..row.clone() }).len()
    };
    assert_eq!(holding("\"a\":1", "\"b\":1"), 0);
    assert_eq!(holding("\"a\":2", "\"b\":2"), 0);
    assert_eq!(holding("\"a\":1", "\"b\":2"), 1);
    assert_eq!(holding("\"a\":3", "\"b\":2"), 1);
}

#[test]
fn what_stands_there_twice_is_one_event_and_one_row() {
    let (at, later) = ("2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z");
    let v = U.replace('1', "2");
    let first = [event(U, at, "{}"), event(&v, at, "{}")];
    let workload = replaying(&[request(1, &first), request(3, &[event(U, at, "{}"), event(&v, later, "{}")])]);
    assert_eq!(workload.planned(STREAM), 2);
    let status = |status| Answer::Reply { status, excerpt: String::new() };
    let records = || {
        let (refused, stored) = (outcome(0, 1_000, 1_010, status(503)), outcome(1, 3_000, 3_010, status(200)));
        [intent(0, 0..2, 0..0), refused, intent(1, 2..4, 0..0), stored]
    };
    let sent = sent(&workload, records());
    assert_eq!(sent.events().len(), 2);
    assert!(sent.events().iter().all(|event| event.outcome == EventOutcome::Acked && event.repeated));
    let spans = |seq: u64| {
        let occurred = workload.occurred_micros(STREAM, seq).unwrap();
        let start = RunStart::from_unix_micros(0);
        let times = sent.attempt_times(&workload, start, STREAM, seq, occurred, Duration::from_secs(9));
        times.iter().map(|time| time.said.timestamp_ms.unwrap()).collect::<Vec<_>>()
    };
    let (same, moved) = (spans(0), spans(1));
    assert_eq!(same[0], same[1], "it says the same moment");
    assert_eq!(moved[1] - moved[0], 2 * 86_400_000);
    let rows = |moments: &[i64]| most_rows(&moments.iter().map(|ms| (ms * 1_000, ms * 1_000)).collect::<Vec<_>>(), 1);
    assert_eq!((rows(&same), rows(&moved)), (1, 2), "only another day leaves a row of its own");
}
