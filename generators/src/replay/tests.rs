use std::{collections::BTreeMap, path::Path};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::*;
use crate::{
    clock::RunStart,
    event::EventSource,
    identity::{RunId, StreamId},
    persona::PersonaTable,
    random::Share,
    schedule::{Arrival, Rate},
    timetable::{Shard, Timetable},
    wire::{Encoded, Encoder},
    workload::{
        Disorder, Hostile, Pace, Plan, Traffic, Workload,
        tests::{odd, small},
    },
};

const START: RunStart = RunStart::from_unix_micros(1_790_000_000_000_000);
const STREAM: StreamId = StreamId(0);

const V1: &str = "/i/v1/analytics/events";

/// What a proxy would have recorded of the workload.
fn recorded(workload: &Workload) -> String {
    let mut encoder = Encoder::default();
    Timetable::new(workload, Shard::WHOLE)
        .map(|(due, request)| {
            let Encoded { method, target, content_type, body, headers, .. } =
                encoder.encode(workload, &request, START, Vec::new()).unwrap();
            let headers = headers.iter().map(|(name, value)| (&**name, value.as_str()));
            let headers: BTreeMap<&str, &str> = headers.chain([("Content-Type", &*content_type)]).collect();
            let line = json!({
                "time": due.as_secs_f64() + 1_790_000_000.0,
                "method": method.name(),
                "path": target,
                "headers": headers,
                "body": BASE64_STANDARD.encode(body),
            });
            line.to_string()
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// The recording of `text`, the counts, and what was left out.
fn imported(text: &str, batch: usize) -> (Recording, Imported, Vec<NotUnderstood>) {
    let (recording, counts, _, left_out) = imported_with_ends(text, batch);
    (recording, counts, left_out)
}

/// The same, and the lines at which it begins and ends.
fn imported_with_ends(text: &str, batch: usize) -> (Recording, Imported, Ends, Vec<NotUnderstood>) {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from.jsonl"), folder.path().join("recording.jsonl"));
    std::fs::write(&from, text).unwrap();
    let mut left_out = Vec::new();
    let (counts, ends) = import(&from, &to, batch, true, |line| left_out.push(line)).unwrap();
    assert!(!to.with_extension("unsorted").exists());
    (Recording::open(&to).unwrap(), counts, ends, left_out)
}

/// A workload that replays `recording`.
fn replaying(recording: Recording, change: impl FnOnce(&mut Traffic)) -> Workload {
    let rate = Rate::new(100, Duration::from_secs(1)).unwrap();
    let mut traffic = Traffic {
        replay: Some(Pace::Recorded(1.0)),
        ..Traffic::orderly(recording.events(), Arrival::Constant { rate })
    };
    change(&mut traffic);
    let plan = Plan::new(RunId::new(9), 3, vec![traffic]);
    Workload::replaying(plan, PersonaTable::make(1, 1), Some(&Arc::new(recording)))
}

/// The events of all requests as they are on the wire, without what the run itself decides; and how long before its request
/// each happened.
fn sent(workload: &Workload) -> Vec<(Value, Option<i64>)> {
    let mut encoder = Encoder::default();
    let mut all = Vec::new();
    for (_, request) in Timetable::new(workload, Shard::WHOLE) {
        let made = encoder.encode(workload, &request, START, Vec::new()).unwrap();
        let (path, body) = (made.target.clone(), made.body);
        let opened = body::open(made.method.name(), &path, &made.content_type, &body).unwrap();
        // Halves of surrogate pairs are no text for this reader.
        let body: Value = serde_json::from_str(&opened.json.replace("\\ud83d", "?").replace("\\ude80", "?")).unwrap();
        let sent_at = request.clock(workload, START).sent_at_ms;
        let events = match &body {
            Value::Array(events) => events.clone(),
            Value::Object(batch) if batch.contains_key("batch") => batch["batch"].as_array().unwrap().clone(),
            event => vec![event.clone()],
        };
        for mut event in events {
            let fields = event.as_object_mut().unwrap();
            fields.remove("uuid");
            fields.remove("api_key");
            let timestamp = fields.remove("timestamp").map(|text| {
                let text: jiff::Timestamp = text.as_str().unwrap().parse().unwrap();
                sent_at - text.as_millisecond()
            });
            assert!(fields["properties"].as_object_mut().unwrap().remove("assay_id").is_some());
            all.push((event, timestamp));
        }
    }
    all
}

#[test]
fn what_is_replayed_is_what_was_recorded() {
    let in_every_form =
        [Compression::None, Compression::Gzip, Compression::GzipJs, Compression::Base64, Compression::Lz64]
            .into_iter()
            .flat_map(|compression| [Form::Plain, Form::Urlencoded, Form::Query].map(|form| (compression, form)));
    let mut workloads: Vec<(String, Workload)> = in_every_form
        .map(|(compression, form)| {
            let mut plan = small().plan().clone();
            plan.traffic[0] = Traffic {
                events: 60,
                endpoint: Endpoint::E,
                compression,
                form,
                disorder: Disorder::default(),
                ..plan.traffic[0].clone()
            };
            (format!("{compression:?} {form:?}"), Workload::new(plan, PersonaTable::make(42, 16)))
        })
        .collect();
    // Its clocks are of the clients, which a recording does not know.
    let mut plan = odd().plan().clone();
    plan.traffic[0].events = 800;
    (plan.traffic[0].disorder.clock_skew, plan.traffic[0].disorder.wrong_year) = Default::default();
    plan.traffic[0].disorder.clock_drift = crate::random::Distribution::default();
    workloads.push(("odd".into(), Workload::new(plan.clone(), PersonaTable::make(42, 16))));
    let Disorder { no_uuid, no_sent_at, offset, offset_and_timestamp, no_timestamp, .. } =
        &mut plan.traffic[0].disorder;
    (*no_uuid, *no_sent_at, *offset, *offset_and_timestamp, *no_timestamp) = Default::default();
    plan.traffic[0] = Traffic { endpoint: Endpoint::V1, ..plan.traffic[0].clone() };
    plan.traffic[0].extras.kinds = vec![Hostile::Emoji, Hostile::WrongTypes, Hostile::LongName];
    workloads.push(("v1".into(), Workload::new(plan, PersonaTable::make(42, 16))));
    for (name, workload) in workloads {
        let (recording, counts, left_out) = imported(&recorded(&workload), 1);
        assert_eq!(left_out, [], "{name}");
        let requests = Timetable::new(&workload, Shard::WHOLE).count() as u64;
        let original = sent(&workload);
        assert_eq!((counts.requests, counts.events + counts.repeated), (requests, original.len() as u64), "{name}");
        let resent = (0..workload.planned(STREAM)).any(|seq| workload.is_resent(STREAM, seq));
        assert_eq!(counts.repeated > 0, resent, "{name}");
        let replay = replaying(recording, |_| ());
        assert_eq!(sent(&replay), original, "{name}");
        // With an identity of its own each.
        let ids: std::collections::BTreeSet<_> =
            (0..counts.events).map(|seq| replay.event(STREAM, seq).unwrap().id).collect();
        assert_eq!(ids.len() as u64, counts.events);
        let dues = |workload: &Workload| -> Vec<u64> {
            Timetable::new(workload, Shard::WHOLE).map(|(due, _)| due.as_millis() as u64).collect()
        };
        let (original, replayed) = (dues(&workload), dues(&replay));
        let gaps = |dues: &[u64]| -> Vec<u64> { dues.iter().map(|due| due - dues[0]).collect() };
        assert!(gaps(&original).iter().zip(gaps(&replayed)).all(|(one, other)| one.abs_diff(other) <= 1), "{name}");
    }
}

/// Three requests, at 5, 1 and 2 seconds, the first of two events.
fn three() -> String {
    let line = |time: u32, ids: &[&str]| {
        let batch: Vec<_> = ids.iter().map(|id| json!({"event": "e", "distinct_id": id})).collect();
        let body = BASE64_STANDARD.encode(json!({"api_key": "phc", "batch": batch}).to_string());
        format!("{}\n", json!({"time": time, "method": "POST", "path": "/batch/", "body": body}))
    };
    [line(5, &["d", "e"]), line(1, &["a"]), line(2, &["b"])].concat()
}

#[test]
fn requests_are_sorted_by_their_times_and_kept_together() {
    let replay = replaying(imported(&three(), 1).0, |_| ());
    let ids: Vec<_> = (0..4).map(|seq| replay.event(STREAM, seq).unwrap().distinct_id).collect();
    assert_eq!(ids, ["a", "b", "d", "e"]);
    let requests: Vec<_> = Timetable::new(&replay, Shard::WHOLE).collect();
    let due: Vec<_> = requests.iter().map(|(due, request)| (due.as_secs(), request.positions.clone())).collect();
    assert_eq!(due, [(0, 0..1), (1, 1..2), (4, 2..4)]);
}

#[test]
fn the_pace_is_recorded_scaled_or_given() {
    let due = |pace| {
        let replay = replaying(imported(&three(), 1).0, |traffic| traffic.replay = Some(pace));
        Timetable::new(&replay, Shard::WHOLE).map(|(due, _)| due.as_millis()).collect::<Vec<_>>()
    };
    assert_eq!(due(Pace::Recorded(1.0)), [0, 1_000, 4_000]);
    assert_eq!(due(Pace::Recorded(2.0)), [0, 500, 2_000]);
    assert_eq!(due(Pace::Arrival), [0, 10, 30], "a hundred events a second, the last request with its last event");
}

#[test]
fn a_recording_is_shuffled_by_its_requests() {
    let line =
        |at: u32| json!({"event": "e", "distinct_id": at.to_string(), "timestamp": f64::from(at) / 100.0}).to_string();
    let text = (0..400).map(line).collect::<Vec<_>>().join("\n");
    for pace in [Pace::Recorded(1.0), Pace::Recorded(0.7), Pace::Arrival] {
        let replay = replaying(imported(&text, 3).0, |traffic| {
            traffic.disorder.shuffle = Duration::from_millis(500);
            traffic.replay = Some(pace);
        });
        let requests: Vec<_> = Timetable::new(&replay, Shard::WHOLE).collect();
        assert!(requests.is_sorted_by_key(|(due, _)| *due), "{pace:?}");
        let firsts: Vec<u64> = requests.iter().map(|(_, request)| request.positions.start).collect();
        assert!(!firsts.is_sorted(), "{pace:?}");
        let events: Vec<u64> = requests.iter().flat_map(|(_, request)| request.positions.clone()).collect();
        assert_eq!(events.iter().collect::<std::collections::BTreeSet<_>>().len(), 400);
        assert!(requests.iter().all(|(_, request)| request.positions.start % 3 == 0), "whole requests");
        for (due, request) in &requests {
            for seq in request.positions.clone() {
                let happened = replay.occurred_micros(STREAM, seq).unwrap();
                // A request changes places with others of the same half second.
                let late = due.as_micros() as i64 - happened;
                assert!((0..1_100_000).contains(&late), "{pace:?} {late}");
            }
        }
        let happened: Vec<_> = events.iter().map(|seq| replay.occurred_micros(STREAM, *seq).unwrap()).collect();
        assert!(!happened.is_sorted(), "they arrive out of order");
    }
}

#[test]
fn exported_events_are_understood_whatever_their_forms() {
    let text = [
        r#"{"uuid":"x","event":"a","distinct_id":"d1","timestamp":"2026-01-01T00:00:00.500Z","properties":{"k":9007199254740993},"team_id":7}"#,
        r#"{"event":"b","distinct_id":"d2","timestamp":"2026-01-01 00:00:02.000000","properties":"{\"k\":[1,\"x\"],\"token\":\"phc\"}"}"#,
        r#"{"event":"c","distinct_id":17,"timestamp":1767225603,"properties":null}"#,
        r#"{"event":"d","distinct_id":"d3","timestamp":"1767225603500","path":"/page","$set":{"a":1},"team_id":7}"#,
    ]
    .join("\n");
    let (recording, counts, left_out) = imported(&text, 2);
    assert_eq!((counts, left_out), (Imported { requests: 2, events: 4, repeated: 0, not_understood: 0 }, vec![]));
    let event = |seq| recording.event(seq).unwrap();
    assert_eq!(event(0).property("k"), Some("9007199254740993"));
    assert!(event(0).others.is_empty(), "{:?}", event(0).others);
    assert_eq!((event(1).property("k"), event(1).property("token")), (Some(r#"[1,"x"]"#), None));
    assert_eq!((event(2).distinct_id.as_str(), event(2).distinct_id_json.as_deref()), ("17", Some("17")));
    let others: Vec<_> = event(3).others.into_iter().map(|member| (member.key, member.value)).collect();
    assert_eq!(others, [("$set".into(), r#"{"a":1}"#.into())], "of the store's columns nothing is sent");
    assert_eq!([0, 1, 2, 3].map(|seq| recording.time(seq).unwrap().1), [1_500, 0, 500, 0], "before their requests");
    assert_eq!(recording.lasts(), Duration::from_millis(1_500));
}

#[test]
fn what_cannot_be_understood_is_told_by_its_line() {
    let request = |path: &str, body: &str| {
        json!({"time": 1, "method": "POST", "path": path, "body": BASE64_STANDARD.encode(body)}).to_string()
    };
    let good = r#"{"event":"a","distinct_id":"d"}"#;
    let cases = [
        (request("/e/", good), None),
        ("nonsense".into(), Some("no JSON object")),
        ("{}".into(), Some("neither a `path`")),
        (r#"{"event":"a","distinct_id":"d"}"#.into(), Some("no `timestamp`")),
        (r#"{"event":"a","distinct_id":"d","timestamp":"soon"}"#.into(), Some("no time")),
        (r#"{"path":"/e/","body":"e30="}"#.into(), Some("no `time`")),
        (r#"{"path":"/e/","time":1,"body":"?"}"#.into(), Some("no base64")),
        (request("/flags/", good), Some("no endpoint")),
        (request("/i/v0/ai", good), Some("of several parts")),
        (
            json!({"time": 1, "path": "/e/", "headers": {"x": "a\r\ny: b"}, "body": BASE64_STANDARD.encode(good)})
                .to_string(),
            Some("what no header may"),
        ),
        (request("/e/", "{"), Some("no JSON that")),
        (request("/e/", "[]"), Some("no event")),
        (request("/e/", &format!("[{good},{{\"event\":\"a\"}}]")), Some("event 2 of 2: it has no distinct id")),
        (request("/e/", r#"{"event":7,"distinct_id":"d"}"#), Some("name is no string")),
        (request("/e/", r#"{"event":"","distinct_id":"d"}"#), Some("no name")),
        (request("/e/", r#"{"event":"a","distinct_id":"d","properties":[]}"#), Some("properties are no object")),
        (request("/e/", "%%%"), Some("neither JSON nor gzip nor base64")),
        (request("/e/?compression=lz64", "%%%"), Some("no JSON that")),
        (request("/engage/", r#"{"distinct_id":"d","$set":{"a":1}}"#), None),
        (request("/e/?compression=base64", &BASE64_STANDARD.encode(BASE64_STANDARD.encode(good))), None),
        (String::new(), None),
        (request(V1, r#"{"batch":[{"event":"a","distinct_id":"d"}]}"#), Some("no timestamp, which v1 demands")),
        (
            request(V1, r#"{"batch":[{"event":"a","distinct_id":7,"timestamp":"1"}]}"#),
            Some("id is no string, which v1"),
        ),
        (request("/e/", r#"{"event":"a","distinct_id":"half \ud83d"}"#), Some("id holds half of a surrogate pair")),
        (request("/e/", r#"{"event":"half \ud83d","distinct_id":"d"}"#), Some("name holds half of a surrogate pair")),
        (request("/e/", r#"{"event":"a","distinct_id":"d","offset":9223372036854775807}"#), Some("before it was sent")),
        (request("/e/", r#"{"event":"a","distinct_id":"d","offset":"1"}"#), Some("no number of milliseconds")),
        (request("/e/", r#"{"event":"a","distinct_id":"d","timestamp":"1 Jul 2003"}"#), Some("no time")),
        (request("/e/", r#"{"event":"a","distinct_id":"d","timestamp":true}"#), Some("no time")),
        (request(V1, r#"{"batch":[{"event":"a","distinct_id":"d","timestamp":"soon"}]}"#), Some("no time")),
        (
            r#"{"event":"a","distinct_id":"d","timestamp":"2026-01-01T00:00:00Z"}"#.into(),
            Some("by different clocks: they are in seconds"),
        ),
    ];
    let text: Vec<_> = cases.iter().map(|(line, _)| line.as_str()).collect();
    let (recording, counts, left_out) = imported(&text.join("\n"), 1);
    let mut told: BTreeMap<u64, String> = left_out.into_iter().map(|line| (line.line, line.what)).collect();
    for (number, (line, reason)) in (1..).zip(&cases) {
        match (told.remove(&number), reason) {
            (Some(what), Some(reason)) => assert!(what.contains(reason), "{line}: {what}"),
            (None, None) => (),
            (what, reason) => panic!("{line}: {what:?}, not {reason:?}"),
        }
    }
    assert_eq!((counts.events, counts.not_understood), (3, 27));
    let engaged = recording.event(1).unwrap();
    assert_eq!((engaged.name.as_str(), engaged.others[0].key.as_str()), ("$identify", "$set"));
}

#[test]
fn what_is_told_of_a_line_quotes_nothing_of_it() {
    let good = BASE64_STANDARD.encode(r#"{"event":"a","distinct_id":"d"}"#);
    let line = |field: &str, value: Value| {
        let mut line = json!({"time": 1, "path": "/e/", "body": good});
        line[field] = value;
        line.to_string()
    };
    let body = |path: &str, json: &str| {
        let body = BASE64_STANDARD.encode(json);
        json!({"time": 1, "path": path, "body": body}).to_string()
    };
    let cases = [
        (line("headers", json!("Authorization: Bearer s3cret")), "its `headers` are no object of names and texts"),
        (line("headers", json!([["Authorization", "Bearer s3cret"]])), "its `headers` are no object"),
        (line("headers", json!({"Authorization": ["Bearer s3cret"]})), "its `headers` are no object"),
        (line("headers", json!({"Authorization: Bearer s3cret": ""})), "no header may have"),
        (line("headers", json!({"x-a": "s3cret\r\ny: b"})), "no header may"),
        (line("time", json!("s3cret")), "no `time`"),
        (line("method", json!({"s3cret": 1})), "its `method` is no string"),
        (line("path", json!(["s3cret"])), "its `path` is no string"),
        (line("path", json!("/hook/s3cret?token=s3cret")), "`/hook/…` is no endpoint"),
        (line("body", json!(["s3cret"])), "its `body` is no string"),
        ("\"s3cret\"".into(), "no JSON object of ours"),
        (body("/e/", r#"["s3cret"]"#), "event 1 of 1: it is no JSON object"),
        (body("/e/", r#"{"batch":"s3cret"}"#), "no JSON that"),
        (body("/e/", r#"{"batch":[],"historical_migration":"s3cret"}"#), "no JSON that"),
        (body("/e/", r#"{"event":["s3cret"],"distinct_id":"d"}"#), "its name is no string"),
        (body("/e/", r#"{"event":"a","distinct_id":"d","properties":["s3cret"]}"#), "its properties are no object"),
        (body("/e/", r#"{"event":"a","distinct_id":"d","properties":"\"s3cret\""}"#), "its properties are no object"),
        (body("/e/", r#"{"event":"a","distinct_id":"d","timestamp":"s3cret"}"#), "its timestamp is no time"),
        (body("/e/", r#"{"event":"a","distinct_id":"d","offset":"s3cret"}"#), "its offset is no number"),
        (body("/e/", r#"{"event":"a","distinct_id":"d","uuid":"s3cret"}"#), "its uuid is none"),
        (body("/e/", r#"{"event":"a","distinct_id":"d","$set":"s3cret"}"#), "its `$set` is no object"),
        (body("/e/", r#"{"batch":[],"sent_at":["s3cret"]}"#), "its `sent_at` is no string"),
        (line("method", json!("s3cret")), "its `method` is neither POST nor GET"),
        (body(V1, r#"{"batch":[{"event":"a","distinct_id":["s3cret"],"timestamp":"1"}]}"#), "distinct id is no string"),
        (body("/i/v1/ai/events", r#"{"batch":[{"event":"s3cret","distinct_id":"d","timestamp":"1"}]}"#), "no event of"),
        (r#"{"event":"a","distinct_id":"d","timestamp":"s3cret"}"#.into(), "`timestamp` is no time"),
    ];
    let text: Vec<_> = cases.iter().map(|(line, _)| line.as_str()).collect();
    let (_, _, left_out) = imported(&text.join("\n"), 1);
    assert_eq!(left_out.len(), cases.len());
    for (told, (line, reason)) in left_out.iter().zip(&cases) {
        assert!(told.what.contains(reason) && !told.what.contains("s3cret"), "{line}: {}", told.what);
    }
    // An export's columns are its own, whatever they are called.
    let exported = r#"{"event":"a","distinct_id":"d","timestamp":1,"path":["a"],"headers":"b","time":"c"}"#;
    let (_, counts, left_out) = imported(exported, 1);
    assert_eq!((counts.events, left_out), (1, vec![]));
}

#[test]
fn what_capture_refused_is_told_by_its_line() {
    let to = |path: &str, method: &str, body: &str| {
        json!({"time": 1, "method": method, "path": path, "body": BASE64_STANDARD.encode(body)}).to_string()
    };
    let with = |field: &str| format!(r#"{{"event":"a","distinct_id":"d",{field}}}"#);
    let at = r#""timestamp":"2026-01-01T00:00:00Z""#;
    let v1 = |field: &str| format!(r#"{{"batch":[{}]}}"#, with(field));
    let batch = |sent_at: &str| format!(r#"{{"batch":[{}],"sent_at":{sent_at}}}"#, with(at));
    let cases = [
        (to("/e/", "POST", &with(at)), None),
        (to("/e/", "PUT", &with(at)), Some("its `method` is neither POST nor GET")),
        (to("/e/", "OPTIONS", ""), Some("its `method` is neither POST nor GET")),
        (to("/e/", "POST", &with(r#""timestamp":1767225600"#)), Some("its timestamp is no string, for which capture")),
        (to(V1, "POST", &v1(r#""timestamp":1767225600"#)), Some("its timestamp is no string")),
        (to("/e/", "POST", &with(r#""uuid":"nope""#)), Some("its uuid is none")),
        (to("/e/", "POST", &with(r#""uuid":5"#)), Some("its uuid is none")),
        (to(V1, "POST", &v1(&format!(r#""uuid":"nope",{at}"#))), Some("its uuid is none")),
        (to("/e/", "POST", &with(r#""uuid":"""#)), None),
        (to("/e/", "POST", &with(r#""uuid":null"#)), None),
        (to("/batch/", "POST", &batch("1767225600")), Some("its `sent_at` is no string")),
        (to("/batch/", "POST", &batch("1767225600000")), Some("its `sent_at` is no string")),
        (to("/batch/", "POST", &batch("null")), None),
        // Of one event alone it is not read.
        (to("/e/", "POST", &with(r#""sent_at":1767225600"#)), None),
        (to("/e/", "POST", &with(r#""$set":5"#)), Some("its `$set` is no object")),
        (to("/e/", "POST", &with(r#""$set_once":[]"#)), Some("its `$set_once` is no object")),
        (to("/e/", "POST", &with(r#""$set":null,"$set_once":{}"#)), None),
        // There it is a field like any other.
        (to(V1, "POST", &v1(&format!(r#""$set":5,{at}"#))), None),
    ];
    let text: Vec<_> = cases.iter().map(|(line, _)| line.as_str()).collect();
    let (_, counts, left_out) = imported(&text.join("\n"), 1);
    let expected: Vec<_> = (1..).zip(&cases).filter_map(|(line, (_, what))| Some((line, (*what)?))).collect();
    assert_eq!(left_out.len(), expected.len(), "{left_out:?}");
    for (told, (line, what)) in left_out.iter().zip(expected) {
        assert!(told.line == line && told.what.contains(what), "{line}, {what}: {told:?}");
    }
    assert_eq!(counts.requests, 7);
}

#[test]
fn of_an_export_what_can_be_read_is() {
    let text = [
        r#"{"uuid":5,"event":"a","distinct_id":"d","timestamp":1767225603000,"$set":5,"$set_once":{"b":1}}"#,
        r#"{"event":"b","distinct_id":"d","timestamp":1767225604,"path":"/page","method":"GET"}"#,
        r#"{"event":"c","distinct_id":"d","timestamp":"2026-01-01T00:00:05Z","path":"/page","body":"x","time":null}"#,
    ];
    let (recording, counts, left_out) = imported(&text.join("\n"), 1);
    assert_eq!((counts.events, left_out), (3, vec![]));
    assert_eq!(recording.lasts(), Duration::from_secs(2), "seconds, milliseconds and text are one clock");
    let others: Vec<_> = recording.event(0).unwrap().others.into_iter().map(|member| member.key).collect();
    assert_eq!(others, ["$set_once"], "what capture would refuse is not sent");
}

#[test]
fn the_lines_are_told_at_which_it_begins_and_ends() {
    let line = |day: u32| {
        format!("{}\n", json!({"event": "e", "distinct_id": "d", "timestamp": format!("2026-01-{day:02}T00:00:00Z")}))
    };
    let text: String = ["\n".to_owned()].into_iter().chain([5, 9, 2, 7].map(line)).collect();
    for (batch, expected) in [(1, Ends { first: 4, last: 3 }), (2, Ends { first: 5, last: 3 })] {
        assert_eq!(imported_with_ends(&text, batch).2, expected, "{batch}");
    }
    assert_eq!(imported_with_ends("nonsense", 1).2, Ends::default());
}

#[test]
fn a_byte_order_mark_is_skipped_and_a_packed_file_is_refused() {
    let (_, counts, left_out) = imported(&format!("\u{feff}{}", three()), 1);
    assert_eq!((counts.requests, left_out), (3, vec![]));
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from.jsonl.gz"), folder.path().join("recording.jsonl"));
    std::fs::write(&from, [0x1f_u8, 0x8b, 8, 0]).unwrap();
    let error = import(&from, &to, 1, true, |line| panic!("{line:?}")).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.to_string().contains("from.jsonl.gz cannot be read") && source.contains("gunzip -c"), "{source}");
    assert!(!to.with_extension("unsorted").exists());
}

#[test]
fn how_many_events_go_with_a_bad_one_is_told() {
    let good = json!({"event": "a", "distinct_id": "d", "uuid": U});
    let other = json!({"event": "b", "distinct_id": "d", "uuid": U});
    let list = |events: &[&Value]| request(1.0, "/e/", &json!({}), &json!(events));
    let text = [list(&[&good]), list(&[&good, &json!({"event": "a"}), &good]), list(&[&good, &other]), list(&[&other])];
    let (_, counts, left_out) = imported(&text.concat(), 1);
    assert_eq!((counts.events, counts.not_understood), (1, 3));
    let [bad, apart, alone] = &left_out[..] else { panic!("{left_out:?}") };
    assert_eq!(bad.what, "event 2 of 3: it has no distinct id; all 3 events of the request are left out");
    assert!(apart.what.ends_with("; all 2 events of the request are left out"), "{apart:?}");
    assert!(!alone.what.contains("left out"), "{alone:?}");
}

#[test]
fn a_body_that_is_too_long_is_told_by_its_line() {
    let packed = BASE64_STANDARD.encode(lz_string::tests::bomb(200_000));
    let line = json!({"time": 1, "path": "/e/?compression=lz64", "body": packed}).to_string();
    let (_, counts, left_out) = imported(&line, 1);
    let what = "the body is more than 100 MiB unpacked, which no capture takes".to_owned();
    assert_eq!((counts.events, left_out), (0, vec![NotUnderstood { line: 1, what }]));
}

#[test]
fn a_timestamp_that_nobody_can_read_is_sent_again_as_it_is() {
    let event = r#"{"event":"a","distinct_id":"d","properties":{},"timestamp":"Invalid Date"}"#;
    let with_offset = r#"{"event":"a","distinct_id":"d","offset":5,"timestamp":""}"#;
    let body = BASE64_STANDARD.encode(format!("[{event},{with_offset}]"));
    let line = json!({"time": 1, "path": "/e/?_=1790000000000", "body": body}).to_string();
    let (recording, _, left_out) = imported(&line, 1);
    assert_eq!(left_out, []);
    let replay = replaying(recording, |_| ());
    let (_, request) = Timetable::new(&replay, Shard::WHOLE).next().unwrap();
    let body = Encoder::default().encode(&replay, &request, START, Vec::new()).unwrap().body;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!([&body[0]["timestamp"], &body[1]["timestamp"]], ["Invalid Date", ""]);
    assert_eq!([&body[0]["offset"], &body[1]["offset"]], [&Value::Null, &json!(5)]);
    let told = |seq| request.clock(&replay, START).said(replay.oddities(STREAM, seq), 0);
    assert_eq!([told(0), told(1)].map(|said| said.timestamp_ms), [None, None]);
    assert!(told(0).offset_ms.is_none() && told(1).offset_ms.is_some());
}

/// A recorded request at a time, to a path, with headers.
fn request(time: f64, path: &str, headers: &Value, body: &Value) -> String {
    let body = BASE64_STANDARD.encode(body.to_string());
    format!("{}\n", json!({"time": time, "method": "POST", "path": path, "headers": headers, "body": body}))
}

/// The requests of a workload as they are sent, with the JSON of their bodies.
fn made(workload: &Workload) -> Vec<(Encoded, Value)> {
    let mut encoder = Encoder::default();
    let requests = Timetable::new(workload, Shard::WHOLE);
    requests
        .map(|(_, request)| {
            let made = encoder.encode(workload, &request, START, Vec::new()).unwrap();
            let body = serde_json::from_slice(&made.body).unwrap();
            (made, body)
        })
        .collect()
}

const U: &str = "0190aaaa-0000-7000-8000-000000000001";
const V: &str = "0190aaaa-0000-7000-8000-000000000002";

#[test]
fn what_has_one_uuid_is_one_event_that_is_sent_as_often() {
    let at = "2026-01-01T00:00:00Z";
    let a = json!({"event": "a", "distinct_id": "d", "uuid": U, "timestamp": at, "properties": {"n": 1}});
    let b = json!({"event": "b", "distinct_id": "d", "uuid": V, "offset": 5});
    let c = json!({"event": "c", "distinct_id": "d", "timestamp": at});
    let other = json!({"event": "a", "distinct_id": "d", "uuid": U, "timestamp": "2026-01-01T00:01:00Z", "properties": {"n": 2}});
    let later = json!({"event": "b", "distinct_id": "d", "uuid": V, "offset": 7_000});
    let batch =
        |time: f64, events: &[&Value]| request(time, "/batch/", &json!({}), &json!({"api_key": "k", "batch": events}));
    let text = [
        batch(1.0, &[&a, &b, &c]),
        batch(3.0, &[&a, &c, &later]),
        // The first in the file is not the first in time.
        batch(0.5, &[&other]),
    ];
    let (recording, counts, left_out) = imported(&text.concat(), 1);
    assert_eq!((counts, left_out), (Imported { requests: 3, events: 4, repeated: 3, not_understood: 0 }, vec![]));
    assert_eq!((recording.events(), recording.positions()), (4, 7));
    let replay = replaying(recording, |traffic| traffic.replay = Some(Pace::Recorded(2.0)));
    let seqs: Vec<Vec<_>> =
        Timetable::new(&replay, Shard::WHOLE).map(|(_, request)| request.seqs(&replay).collect()).collect();
    let expected = [vec![(0, false)], vec![(0, true), (1, false), (2, false)], vec![(0, true), (3, false), (1, true)]];
    assert_eq!(seqs, expected);
    assert_eq!((replay.planned(STREAM), replay.positions(STREAM)), (4, 7));
    assert_eq!([0..1, 1..4, 4..6, 4..7].map(|positions| replay.reach(STREAM, &positions)), [0..1, 0..3, 0..4, 0..4]);
    let said = |request: usize, event: usize, key: &str| made(&replay)[request].1["batch"][event][key].clone();
    let n = |request: usize, event: usize| said(request, event, "properties")["n"].clone();
    assert_eq!([n(0, 0), n(1, 0), n(2, 0)], [json!(2), json!(1), json!(1)], "each time what it said");
    let id = |seq: u64| json!(replay.event(STREAM, seq).unwrap().id.to_string());
    assert!([said(0, 0, "uuid"), said(1, 0, "uuid"), said(2, 0, "uuid")].iter().all(|uuid| *uuid == id(0)));
    assert_eq!([said(1, 1, "uuid"), said(2, 2, "uuid")], [id(1), id(1)]);
    assert_ne!(said(1, 2, "uuid"), said(2, 1, "uuid"), "those without stay apart");
    let time = |request: usize, event: usize| -> jiff::Timestamp {
        said(request, event, "timestamp").as_str().unwrap().parse().unwrap()
    };
    assert_eq!(time(1, 0), time(2, 0), "one moment, however fast");
    assert_eq!(time(0, 0).as_millisecond() - time(1, 0).as_millisecond(), 60_000);
    assert_eq!([said(1, 1, "offset"), said(2, 2, "offset")], [json!(5), json!(7_000)]);
    let others = replay.other_contents(STREAM, 0);
    assert_eq!(others.iter().map(|event| event.members[0].value.as_str()).collect::<Vec<_>>(), ["1"]);
    assert_eq!(replay.other_contents(STREAM, 1), [], "its offset is no content");
}

#[test]
fn what_cannot_be_one_event_is_told_by_its_line() {
    let event = |name: &str, id: &str, at: &str| json!({"event": name, "distinct_id": id, "uuid": U, "timestamp": at});
    let at = "2026-01-01T00:00:00Z";
    let to = |path: &str, events: &[Value]| request(1.0, path, &json!({}), &json!({"api_key": "k", "batch": events}));
    let offset = json!({"event": "a", "distinct_id": "d", "uuid": U, "offset": 1});
    let mut with_more = event("a", "d", at);
    with_more["properties"] = json!({"more": 1});
    let of_v1 = json!({"event": "a", "distinct_id": "d", "uuid": V, "timestamp": at});
    let profile = json!({"event": "a", "distinct_id": "d", "uuid": U, "timestamp": at, "properties": {"$process_person_profile": false}});
    let cases = [
        (to("/batch/", &[event("a", "d", at)]), None),
        (to("/batch/", &[event("b", "d", at)]), Some("is in line 1, too")),
        (to("/batch/", &[event("a", "e", at)]), Some("is in line 1, too")),
        (to("/batch/", &[offset]), Some("is in line 1, too")),
        (to("/batch/", &[profile]), Some("is in line 1, too")),
        (to(V1, &[event("a", "d", at)]), Some("is in line 1, too")),
        (to(V1, &[of_v1.clone(), of_v1]), Some("twice, which v1 refuses")),
        (to("/batch/", &[event("a", "d", at), event("a", "d", "2026-01-02T00:00:00Z")]), Some("with another time")),
        (to("/batch/", &[event("a", "d", at), with_more]), Some("or content")),
        (to("/batch/", &[event("a", "d", at), event("a", "d", at)]), None),
    ];
    let text: Vec<_> = cases.iter().map(|(line, _)| line.as_str()).collect();
    let (_, counts, left_out) = imported(&text.concat(), 1);
    let expected: Vec<_> = (1..).zip(&cases).filter_map(|(line, (_, what))| Some((line, (*what)?))).collect();
    assert_eq!(
        left_out.iter().map(|told| told.line).collect::<Vec<_>>(),
        expected.iter().map(|(line, _)| *line).collect::<Vec<_>>()
    );
    for (told, (_, what)) in left_out.iter().zip(expected) {
        assert!(told.what.contains(what), "{told:?}");
    }
    assert_eq!(counts, Imported { requests: 2, events: 1, repeated: 2, not_understood: 8 });
}

#[test]
fn one_uuid_has_up_to_sixteen_contents() {
    let line = |n: usize| {
        let event = json!({"event": "a", "distinct_id": "d", "uuid": U, "timestamp": "1000", "properties": {"n": n}});
        request(n as f64, "/e/", &json!({}), &event)
    };
    let contents = [0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 3, 0, 17];
    let text: String = contents.into_iter().map(line).collect();
    let (recording, counts, left_out) = imported(&text, 1);
    assert_eq!(left_out.iter().map(|told| told.line).collect::<Vec<_>>(), [18, 21]);
    let is_told = |told: &NotUnderstood| {
        told.what.contains("is in line 1, too") && told.what.contains("there are 16 other contents of it")
    };
    assert!(left_out.iter().all(is_told), "{left_out:?}");
    assert_eq!((counts.events, counts.repeated, recording.positions()), (1, 18, 19));
    let replay = replaying(recording, |_| ());
    let n = |event: &crate::event::Event| event.members.first().map(|member| member.value.clone());
    let others = replay.other_contents(STREAM, 0);
    let expected: Vec<_> = (1..16).map(|n| Some(n.to_string())).collect();
    assert_eq!(others.iter().map(n).collect::<Vec<_>>(), expected, "each once");
    // Each request tells one of them, and which is known.
    for (_, request) in Timetable::new(&replay, Shard::WHOLE) {
        let (seq, second) = request.seqs(&replay).next().unwrap();
        let told = replay.told(&request, seq, second).unwrap();
        let content = match replay.content_told(&request, seq).checked_sub(1) {
            None => n(&replay.event(STREAM, 0).unwrap()),
            Some(number) => n(&others[number]),
        };
        assert_eq!(n(&told), content, "{request:?}");
    }
}

#[test]
fn a_token_among_the_properties_is_content() {
    let event = |properties: Value| {
        let event = json!({"event": "a", "distinct_id": "d", "uuid": U, "timestamp": "1000", "token": "k", "properties": properties});
        request(1.0, "/e/", &json!({}), &event)
    };
    let (recording, _, left_out) =
        imported(&[event(json!({})), event(json!({"token": "k"})), event(json!({}))].concat(), 1);
    assert_eq!(left_out, []);
    let others = replaying(recording, |_| ()).other_contents(STREAM, 0);
    let members: Vec<_> = others.iter().flat_map(|event| &event.members).map(|member| &*member.key).collect();
    assert_eq!((others.len(), members), (1, vec!["token"]));
}

#[test]
fn sendings_of_one_uuid_are_not_centuries_apart() {
    let line = |year: u32| {
        let at = format!("{year}-01-01T00:00:00Z");
        let event = json!({"event": "a", "distinct_id": "d", "uuid": U, "timestamp": at});
        request(1.0, "/batch/", &json!({}), &json!({"api_key": "k", "batch": [event], "sent_at": at}))
    };
    let (recording, _, left_out) = imported(&[2026, 2150, 1900, 9000].map(line).concat(), 1);
    assert_eq!(left_out.iter().map(|told| told.line).collect::<Vec<_>>(), [4], "{left_out:?}");
    assert!(left_out[0].what.contains("is in line 1, too, with a timestamp"), "{left_out:?}");
    assert_eq!((recording.events(), recording.positions()), (1, 3));
}

#[test]
fn what_decides_of_some_events_is_like_any_property_of_others() {
    let event = |name: &str, uuid: &str, properties: &Value, options: &Value| json!({"event": name, "distinct_id": "d", "uuid": uuid, "timestamp": "1000", "properties": properties, "options": options});
    let (none, third) = (json!({}), "0190aaaa-0000-7000-8000-000000000003");
    let to = |path: &str, event: Value| request(1.0, path, &json!({}), &json!({"api_key": "k", "batch": [event]}));
    let with = |key: &str, value: &str| json!({key: value});
    let cases = [
        (to("/batch/", event("a", U, &with("alias", "x"), &none)), None),
        (to("/batch/", event("a", U, &with("alias", "y"), &json!({"b": 1}))), None),
        (to("/batch/", event("a", U, &with("options", "y"), &json!({"b": 2}))), None),
        (to("/batch/", event("a", U, &with("$anon_distinct_id", "y"), &none)), None),
        (to("/batch/", event("$identify", V, &with("$anon_distinct_id", "x"), &none)), None),
        (to("/batch/", event("$identify", V, &json!({"$anon_distinct_id": "x", "alias": "y"}), &none)), None),
        (to("/batch/", event("$identify", V, &with("$anon_distinct_id", "y"), &none)), Some("is in line 5")),
        (to(V1, event("b", third, &with("options", "x"), &none)), None),
        (to(V1, event("b", third, &with("options", "y"), &none)), None),
        (to(V1, event("b", third, &none, &json!({"process_person_profile": false}))), Some("is in line 8")),
    ];
    let text: String = cases.iter().map(|(line, _)| line.as_str()).collect();
    let (_, counts, left_out) = imported(&text, 1);
    let told: Vec<_> = left_out.iter().map(|told| (told.line, told.what.as_str())).collect();
    let expected = (1..).zip(&cases).filter_map(|(line, (_, what))| Some((line, (*what)?)));
    let expected: Vec<(u64, &str)> = expected.collect();
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for ((line, what), (wanted, part)) in told.iter().zip(&expected) {
        assert!(line == wanted && what.contains(*part), "{told:?}");
    }
    assert_eq!((counts.events, counts.repeated), (3, 5));
}

#[test]
fn headers_are_sent_as_they_were_recorded_and_the_token_is_the_runs() {
    let event =
        |uuid: &str| json!({"event": "a", "distinct_id": "d", "uuid": uuid, "timestamp": "2026-01-01T00:00:00Z"});
    let common = json!({
        "Host": "x", "Content-Length": "1", "Cookie": "a=b", "User-Agent": "curl/8", "X-Forwarded-For": "192.0.2.7",
        "Origin": "https://shop.example", "Content-Type": "application/json; charset=utf-8",
    });
    let with = |more: Value| {
        let mut headers = common.clone();
        headers.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        headers
    };
    let v1 = with(json!({
        "Authorization": "Bearer phc_secret", "PostHog-Attempt": "2", "PostHog-Request-Id": V,
        "PostHog-Request-Timestamp": "2026-01-01T00:00:01Z", "PostHog-Sdk-Info": "posthog-go/1.2",
    }));
    let text = [
        request(1.0, "/e/", &with(json!({"Authorization": "bearer phc_secret"})), &event(V)),
        request(2.0, V1, &v1, &json!({"batch": [event(U)]})),
        request(3.0, V1, &json!({}), &json!({"batch": [event(U)]})),
    ];
    let (recording, _, left_out) = imported(&text.concat(), 1);
    assert_eq!(left_out, []);
    let made = made(&replaying(recording, |_| ()));
    let header = |request: usize, wanted: &str| {
        let headers = &made[request].0.headers;
        let found: Vec<_> =
            headers.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str()).collect();
        assert!(found.len() < 2, "{wanted}: {found:?}");
        found.first().map(|value| (*value).to_owned())
    };
    for request in [0, 1] {
        assert_eq!(header(request, "user-agent").as_deref(), Some("curl/8"));
        assert_eq!(header(request, "x-forwarded-for").as_deref(), Some("192.0.2.7"));
        assert_eq!(header(request, "origin").as_deref(), Some("https://shop.example"));
        assert_eq!(header(request, "authorization").as_deref(), Some("Bearer phc_assay"));
        assert_eq!(made[request].0.content_type, "application/json; charset=utf-8");
        assert_eq!(["host", "content-length", "cookie"].map(|name| header(request, name)), [None, None, None]);
    }
    assert_eq!(header(1, "posthog-attempt").as_deref(), Some("2"));
    assert_eq!(header(1, "posthog-sdk-info").as_deref(), Some("posthog-go/1.2"));
    assert_ne!(header(1, "posthog-request-timestamp").as_deref(), Some("2026-01-01T00:00:01Z"));
    // What nobody wrote down is said as ever.
    assert_eq!(header(2, "posthog-attempt").as_deref(), Some("1"));
    assert_eq!((header(2, "user-agent"), &*made[2].0.content_type), (None, "application/json"));
}

#[test]
fn what_says_whose_an_event_is_stays_where_it_was() {
    let events = [
        json!({"event": "a", "$token": "k", "$distinct_id": "d", "properties": {"n": 1}}),
        json!({"event": "a", "properties": {"token": "k", "distinct_id": "d"}}),
        json!({"event": "a", "token": "k", "distinct_id": "d", "properties": {"token": "k"}}),
        json!({"event": "a", "api_key": "k", "distinct_id": 7}),
        json!({"event": "a", "distinct_id": "d"}),
    ];
    let engaged = json!([{"$distinct_id": "d", "token": "k", "$set": {"a": 1}}]);
    let named = json!({"token": "k", "batch": [{"event": "a", "$distinct_id": "d"}]});
    let text = [
        request(1.0, "/e/", &json!({}), &json!(events)),
        request(2.0, "/engage/", &json!({}), &engaged),
        request(3.0, "/batch/", &json!({}), &named),
    ];
    let (recording, _, left_out) = imported(&text.concat(), 1);
    assert_eq!(left_out, []);
    let replay = replaying(recording, |_| ());
    // But for what is the run's: uuid, marker and token.
    let mut bodies: Vec<_> = made(&replay).into_iter().map(|(_, body)| body).collect();
    assert_eq!((&bodies[2]["token"], &bodies[2]["api_key"]), (&json!("phc_assay"), &Value::Null));
    assert_eq!(
        (&bodies[2]["batch"][0]["$distinct_id"], &bodies[2]["batch"][0]["distinct_id"]),
        (&json!("d"), &Value::Null)
    );
    for event in bodies.iter_mut().take(2).flat_map(|body| body.as_array_mut().unwrap()) {
        let event = event.as_object_mut().unwrap();
        assert!(event.remove("uuid").is_some());
        event["properties"].as_object_mut().unwrap().remove("assay_id");
    }
    let text = json!([events, engaged]).to_string().replace("\"k\"", "\"phc_assay\"");
    let mut expected: Vec<Value> = serde_json::from_str(&text).unwrap();
    // Whoever has no token gets one, and no properties are none.
    expected[0][4]["api_key"] = json!("phc_assay");
    for (list, event) in [(0, 3), (0, 4), (1, 0)] {
        expected[list][event]["properties"] = json!({});
    }
    assert_eq!(bodies[..2], expected);
    let event = replay.event(STREAM, 5).unwrap();
    assert_eq!((&*event.name, &*event.distinct_id), ("$identify", "d"));
}

#[test]
fn ids_that_a_recording_joins_are_one_person() {
    let line = |name: &str, id: &str, properties: Value| {
        format!("{}\n", json!({"event": name, "distinct_id": id, "timestamp": 1, "properties": properties}))
    };
    let text = [
        line("$identify", "u1", json!({"$anon_distinct_id": "a1"})),
        line("$create_alias", "u1", json!({"alias": "b1"})),
        line("other", "a1", json!({"alias": "c1"})),
        line("$identify", "u2", json!({})),
    ]
    .concat();
    let (recording, ..) = imported(&text, 1);
    assert_eq!(recording.ids_of_person("a1"), ["a1", "b1", "u1"]);
    assert_eq!(recording.ids_of_person("u2"), ["u2"]);
    assert_eq!(recording.ids_of_person("c1"), ["c1"]);
}

#[test]
fn a_damaged_recording_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording.jsonl");
    let opened = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Recording::open(Path::new(&path)).map(|_| ()).unwrap_err().to_string()
    };
    let line = r#"{"at":1.0,"endpoint":"e","compression":"none","form":"plain","historical":false,"sent_at":true,"events":[]}"#;
    assert!(opened(&format!("{line}\n{{\n")).contains("line 2"));
    assert!(opened(&format!("{line}\n{}\n", line.replace("1.0", "0.5"))).contains("order"));
    assert!(opened(&line.replace("1.0", "-1.0")).contains("line 1"));
    assert!(Recording::open(&folder.path().join("none")).is_err());
}

#[test]
fn shares_of_a_recording_are_disjoint() {
    let workload = small();
    let replay = replaying(imported(&recorded(&workload), 1).0, |traffic| traffic.disorder.resend = Share::default());
    let all = Timetable::new(&replay, Shard::WHOLE).count();
    let parts: usize = (1..=3).map(|number| Timetable::new(&replay, Shard::new(number, 3).unwrap()).count()).sum();
    assert_eq!(all, parts);
}

/// What is left of a request may be events that it holds again alone: it is made as that request was, and not as the next one.
#[test]
fn a_part_of_a_request_is_made_as_the_request_was() {
    let line = |path: &str, agent: &str, name: &str| {
        json!({
            "time": 1_790_000_000.0,
            "method": "POST",
            "path": path,
            "headers": {"Content-Type": "application/json", "User-Agent": agent},
            "body": BASE64_STANDARD.encode(json!([{"event": name, "distinct_id": "d", "api_key": "phc_x"}]).to_string()),
        })
        .to_string()
    };
    let text = [line("/e/", "first", "a"), line("/i/v0/e/", "second", "b")].join("\n");
    let workload = replaying(imported(&text, 1).0, |traffic| traffic.disorder.resend = Share::new(1.0).unwrap());
    let told = |request: &crate::request::Request| {
        (workload.style(request).unwrap().endpoint, workload.recorded_headers(request), workload.spelling(request))
    };
    let whole: Vec<_> = Timetable::new(&workload, Shard::WHOLE).map(|(_, request)| request).collect();
    let first = whole.iter().find(|request| request.positions == (0..1)).unwrap();
    let part = crate::request::Request { positions: 1..1, resends: 0..1, ..first.clone() };
    assert_eq!(told(&part), told(first));
    assert_eq!(told(first).0, Endpoint::E);
    let second = whole.iter().find(|request| request.positions == (1..2)).unwrap();
    assert_ne!(told(second), told(first));
}
