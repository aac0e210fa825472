//! Tests of how recordings are judged that hold an event more than once: by one event, of which any content may stay.

use std::{sync::Arc, time::Duration};

use generators::{
    clock::RunStart,
    event::EventSource,
    identity::RunId,
    ledger::{Answer, Record},
    persona::PersonaTable,
    replay::{Recording, import},
    schedule::{Arrival, Rate},
    workload::{Pace, Plan, Traffic, Workload},
};

use super::{
    classify::{Case, classify_one, tests::case},
    evidence::Class,
    example::{STREAM, intent, outcome, sent, whole},
    reads::Reads,
    rows::{FinalRead, Summary, judge_row},
    sent::EventOutcome,
};
use crate::{
    explain::explain,
    oracle::{
        dialect::Dialect,
        plugin::{Action, Condition, NO_PLUGINS, Plugin, Plugins},
        presence::{Fate, fate},
        row::{ColumnExpectation, Row, most_rows},
    },
};

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
        expectation.differences(&Row { properties, ..row.clone() }).len()
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

/// One event that is told in two ways, the second time an hour later.
fn told_twice() -> Workload {
    replaying(&[
        request(10_000, &[event(U, "1970-01-01T00:00:05Z", r#"{"a":1}"#)]),
        request(10_003, &[event(U, "1970-01-01T01:00:05Z", r#"{"a":2}"#)]),
    ])
}

/// Its two sendings, of which the first was answered with this status, and the second was stored.
fn sendings(first: u16) -> [Record; 4] {
    let status = |status| Answer::Reply { status, excerpt: String::new() };
    let (first, second) = (outcome(0, 0, 10, status(first)), outcome(1, 3_000, 3_010, status(200)));
    [intent(0, 0..1, 0..0), first, intent(1, 1..2, 0..0), second]
}

#[test]
fn a_content_may_stay_that_was_told_by_what_may_have_been_stored_and_with_the_time_of_that() {
    let workload = told_twice();
    let reads = Reads::of(whole(&workload), &[]);
    let (first, team) = (workload.event(STREAM, 0).unwrap(), workload.traffic(STREAM).unwrap().team);
    let both = sent(&workload, sendings(200));
    let spans = case(&workload, &both, &reads, &[]).timestamps(STREAM, 0);
    assert_eq!(spans[1].0 - spans[0].0, 3_600_000_000);
    // A row that holds the one's content and the other's time.
    let classes = |status: u16, content: usize, time: usize| {
        let expectation = NO_PLUGINS.expect_told((Dialect::V2026, &workload), &first, team, &[], 0);
        let told = if content == 0 { &expectation } else { &expectation.others[content - 1] };
        let timestamp_micros = i64::midpoint(spans[time].0, spans[time].1);
        let found = judge_row(&Row { timestamp_micros, ..told.fulfilled().unwrap() }, &expectation, team);
        assert_eq!((&found.contents[..], found.differences.len()), (&[content][..], 0));
        let (start, end) = (Duration::from_mins(1), Duration::from_secs(61));
        let mut read = FinalRead::begin(whole(&workload), Summary { start, end, ..Summary::default() });
        read.put(STREAM, 0, found);
        let (sent, final_reads) = (sent(&workload, sendings(status)), [read]);
        classify_one(&case(&workload, &sent, &reads, &final_reads), STREAM, 0, &sent.event(STREAM, 0))
    };
    let cases: [(u16, usize, usize, &[Class]); 9] = [
        (200, 0, 0, &[]),
        (200, 1, 1, &[]),
        (200, 0, 1, &[Class::Corrupted]),
        (200, 1, 0, &[Class::Corrupted]),
        // Nobody knows whether the first was stored.
        (503, 0, 0, &[]),
        (503, 0, 1, &[Class::Corrupted]),
        // It was refused.
        (400, 0, 0, &[Class::Corrupted]),
        (400, 0, 1, &[Class::Corrupted]),
        (400, 1, 1, &[]),
    ];
    for (status, content, time, expected) in cases {
        assert_eq!(classes(status, content, time), expected, "{status}: content {content} at time {time}");
    }
}

#[test]
fn an_explanation_tells_every_content_with_its_time() {
    let workload = told_twice();
    let (reads, id) = (Reads::of(whole(&workload), &[]), workload.event(STREAM, 0).unwrap().id);
    let value = |columns: &[ColumnExpectation], wanted: &str| {
        let column = columns.iter().find(|column| column.column == wanted);
        column.map(|column| column.expected.to_string()).unwrap()
    };
    let story = |status| {
        let sent = sent(&workload, sendings(status));
        explain(&case(&workload, &sent, &reads, &[]), id, |_| String::new()).unwrap()
    };
    let both = story(200);
    assert_eq!(both.or_expected.len(), 1);
    let contents = [&both.expected, &both.or_expected[0]];
    assert_eq!(contents.map(|columns| value(columns, "properties.a")), ["1", "2"]);
    let times = contents.map(|columns| value(columns, "timestamp"));
    assert!(times[0] != times[1] && times.iter().all(|time| !time.contains(" or ")), "{times:?}");
    let json = serde_json::to_value(&both).unwrap();
    assert_eq!(json["or_expected"].as_array().map(Vec::len), Some(1));
    let second = story(400);
    assert_eq!((value(&second.expected, "properties.a"), second.or_expected.len()), ("2".to_owned(), 0));
    assert!(serde_json::to_value(&second).unwrap().get("or_expected").is_none());
}

/// A plugin for events whose property `a` is 1.
fn plugin(action: Action) -> Plugins {
    let property = Some(("a".to_owned(), "1".to_owned()));
    let when = Condition { events: Vec::new(), property, of_a_million: 1_000_000 };
    Plugins { all: vec![Plugin { name: "p".into(), teams: Vec::new(), when, action }], time_out: Duration::ZERO }
}

/// One event that is told with each of these properties.
fn told(all: [&str; 2]) -> Workload {
    let lines = (1..).zip(all).map(|(time, properties)| request(time, &[event(U, "1970-01-01T00:00:00Z", properties)]));
    replaying(&lines.collect::<Vec<_>>())
}

const ONE: &str = r#"{"a":1}"#;
const ONE_AND_MORE: &str = r#"{"a":1,"b":1}"#;
const TWO: &str = r#"{"a":2}"#;
const THREE: &str = r#"{"a":3}"#;

#[test]
fn whether_an_event_must_be_there_is_asked_of_every_content() {
    let nul = r#"{"a":"\u0000"}"#;
    let drops = plugin(Action::Drop);
    let of = |dialect, plugins: &Plugins, all| fate(dialect, plugins, &told(all), STREAM, 0);
    let differ = |fate: Fate| matches!(fate, Fate::Either(reason) if reason.contains("several ways"));
    assert!(differ(of(Dialect::V2021, &NO_PLUGINS, [ONE, nul])));
    assert!(differ(of(Dialect::V2021, &NO_PLUGINS, [nul, ONE])));
    assert_eq!(of(Dialect::V2021, &NO_PLUGINS, [ONE, TWO]), Fate::Present);
    assert_eq!(of(Dialect::V2026, &NO_PLUGINS, [ONE, nul]), Fate::Present);
    assert!(differ(of(Dialect::V2026, &drops, [ONE, TWO])));
    assert!(differ(of(Dialect::V2026, &drops, [TWO, ONE])));
    assert!(matches!(of(Dialect::V2026, &drops, [ONE, ONE_AND_MORE]), Fate::Absent(_)));
    assert_eq!(of(Dialect::V2026, &drops, [TWO, THREE]), Fate::Present);
}

#[test]
fn whether_an_event_must_be_exported_is_asked_of_every_content() {
    let exports = plugin(Action::Export);
    let rules = |all| {
        let workload = told(all);
        let (reads, sent) = (Reads::of(whole(&workload), &[]), sent(&workload, Vec::new()));
        Case { plugins: &exports, ..case(&workload, &sent, &reads, &[]) }.export_rules(STREAM, 0)
    };
    assert_eq!(rules([ONE, ONE_AND_MORE]), [Some(true)]);
    assert_eq!(rules([TWO, THREE]), [Some(false)]);
    assert_eq!((rules([ONE, TWO]), rules([TWO, ONE])), (vec![None], vec![None]), "either may have been stored");
}
