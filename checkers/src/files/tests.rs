//! The forms: what is refused, where, and why; and the named cases of the definitions.

use super::*;
use crate::{checks::Independence, verdict::Verdict};

fn options() -> Options {
    Options {
        now: None,
        loss_after: Duration::from_mins(1),
        targets: Targets {
            loss: 1e-4,
            correctness: 1e-4,
            exported: 1e-4,
            confidence: 0.95,
            independence: Independence::Event,
            p99_time_to_visible: None,
            may_stop_early: false,
        },
        allowances: Allowances::default(),
        examples: 100,
    }
}

fn sent(text: &str) -> SentFile {
    SentFile::read("sent.jsonl", text.as_bytes()).unwrap()
}

fn judged(sent_text: &str, rows: Option<&str>, reads: Option<&str>, options: &Options) -> FileVerdict {
    let sent = sent(sent_text);
    let rows = rows.map(|text| RowsFile::read("rows.jsonl", text.as_bytes(), &sent).unwrap());
    let reads = reads.map(|text| ReadsFile::read("reads.jsonl", text.as_bytes()).unwrap());
    judge(&sent, rows.as_ref(), reads.as_ref(), options).unwrap()
}

/// So many acked events, a line each.
fn acked(events: u32) -> String {
    let lines: Vec<String> = (0..events).map(|id| format!(r#"{{"id":"{id}","outcome":"acked"}}"#)).collect();
    lines.join("\n")
}

/// Primary classes as `class: ids`.
fn classes(verdict: &FileVerdict) -> Vec<(&'static str, Vec<String>)> {
    verdict.ids.iter().filter(|(_, ids)| !ids.is_empty()).map(|(class, ids)| (class.name(), ids.clone())).collect()
}

#[test]
fn what_is_wrong_is_named_with_file_line_and_key() {
    let good = r#"{"id":"a","outcome":"acked"}"#;
    let told = |text: String| SentFile::read("sent.jsonl", text.as_bytes()).unwrap_err().to_string();
    for (line, expected) in [
        ("nonsense", "sent.jsonl:2: is no JSON object"),
        ("[1]", "sent.jsonl:2: "),
        ("", "sent.jsonl:2: is empty"),
        (r#"{"id":"a"#, "sent.jsonl:2: is no JSON object: EOF while parsing a string, at column 8"),
        (r#"{"id":"a"}"#, "sent.jsonl:2: outcome: is missing"),
        (r#"{"outcome":"acked"}"#, "sent.jsonl:2: id: is missing"),
        (r#"{"id":7,"outcome":"acked"}"#, "sent.jsonl:2: id: must be a string, not 7"),
        (r#"{"id":"a","outcome":"ok"}"#, "sent.jsonl:2: outcome: `ok` is no outcome"),
        (r#"{"id":"a","outcome":"acked","colour":1}"#, "sent.jsonl:2: colour: there is no such key; the keys are id"),
        (r#"{"id":"a","id":"b","outcome":"acked"}"#, "sent.jsonl:2: id: this key is there twice"),
        (r#"{"id":"a","outcome":"acked","expect":{"x":1,"x":2}}"#, "sent.jsonl:2: expect: x: this key is there twice"),
        (
            r#"{"id":"a","outcome":"acked","expect":{"x":[{"y":1,"y":2}]}}"#,
            "sent.jsonl:2: expect: y: this key is there twice",
        ),
        (r#"{"id":"a","outcome":"acked","expect":[]}"#, "sent.jsonl:2: expect: must be an object"),
        (r#"{"id":"a","outcome":"acked","sent_at":"soon"}"#, "sent.jsonl:2: sent_at: `soon` is no time"),
        (r#"{"id":"a","outcome":"acked","sent_at":true}"#, "sent.jsonl:2: sent_at: `true` is no time"),
        (r#"{"id":"a","outcome":"acked","tenant":"u"}"#, ""),
    ] {
        let text = format!("{good}\n{line}\n{good}\n");
        if expected.is_empty() {
            assert!(SentFile::read("sent.jsonl", text.as_bytes()).is_ok(), "{line}");
        } else {
            let told = told(text);
            assert!(told.starts_with(expected), "{expected}\n{told}");
        }
    }
    for (first, second, key) in [
        (r#""tenant":"t""#, r#""tenant":"u""#, "tenant"),
        (r#""expect":{"x":1}"#, r#""expect":{"x":2}"#, "expect"),
        (r#""expect":{"x":1}"#, r#""expect":{}"#, "expect"),
        (r#""expect_absent":"quota""#, r#""expect_absent":"old""#, "expect_absent"),
        (r#""expect":{"x":1}"#, r#""expect_absent":"quota""#, "expect_absent"),
    ] {
        let attempt = |what: &str| format!(r#"{{"id":"a","outcome":"acked",{what}}}"#);
        // Of several contradictions the first is named, whichever part it falls into.
        let others: String = ["b", "c", "d", "e"]
            .map(|id| format!("{{\"id\":\"{id}\",\"outcome\":\"acked\",\"tenant\":\"t\"}}\n{{\"id\":\"{id}\",\"outcome\":\"acked\",\"tenant\":\"u\"}}\n"))
            .concat();
        let sent = sent(&format!("{}\n{}\n{others}", attempt(first), attempt(second)));
        let rows = RowsFile::read("rows.jsonl", &b""[..], &sent).unwrap();
        let told = judge(&sent, Some(&rows), None, &options()).unwrap_err().to_string();
        assert!(told.starts_with(&format!("sent.jsonl:2: {key}: contradicts")), "{told}");
    }
    let equal = "{\"id\":\"a\",\"outcome\":\"acked\",\"expect\":{\"x\":1.0}}\n{\"id\":\"a\",\"outcome\":\"acked\",\"expect\":{\"x\":1}}";
    assert_eq!(judged(equal, Some(""), None, &options()).record.counts.planned, 1, "equal as JSON values");
}

#[test]
fn rows_and_reads_are_as_strict() {
    let sent = sent(r#"{"id":"a","outcome":"acked"}"#);
    let rows = |text: &str| RowsFile::read("rows.jsonl", text.as_bytes(), &sent).unwrap_err().to_string();
    assert!(rows(r#"{"key":"k"}"#).starts_with("rows.jsonl:1: id: is missing"));
    assert!(rows(r#"{"id":"a","row":1}"#).starts_with("rows.jsonl:1: row: must be an object"));
    assert!(rows(r#"{"id":"a","rows":{}}"#).starts_with("rows.jsonl:1: rows: there is no such key"));
    let reads = |text: &str| ReadsFile::read("reads.jsonl", text.as_bytes()).unwrap_err().to_string();
    assert!(reads(r#"{"start":1,"ids":[]}"#).starts_with("reads.jsonl:1: end: is missing"));
    assert!(reads(r#"{"start":2,"end":1,"ids":[]}"#).starts_with("reads.jsonl:1: end: lies before"));
    assert!(reads(r#"{"start":1,"end":1,"ids":[1]}"#).starts_with("reads.jsonl:1: ids: must be a list of strings"));
    assert!(reads(r#"{"start":1,"end":1}"#).starts_with("reads.jsonl:1: ids: is missing"));
    let good = r#"{"start":1,"end":1,"ids":["a","b"]}"#;
    for (line, expected) in [
        ("nonsense", "reads.jsonl:2: is no JSON object: expected ident, at column 2"),
        ("[1]", "reads.jsonl:2: invalid type: sequence, expected a JSON object"),
        (" ", "reads.jsonl:2: is empty"),
        (r#"{"start":1,"end":1,"ids":["a"]} x"#, "reads.jsonl:2: is no JSON object: trailing characters"),
        (r#"{"start":1,"end":1,"ids":["a"#, "reads.jsonl:2: is no JSON object: EOF"),
        (r#"{"start":1,"end":1,"ids":["a"],"id":1}"#, "reads.jsonl:2: id: there is no such key; the keys are start"),
        (r#"{"start":1,"start":1,"ids":["a"]}"#, "reads.jsonl:2: start: this key is there twice"),
        (r#"{"ids":[],"end":1,"start":1,"ids":["a"]}"#, "reads.jsonl:2: ids: this key is there twice"),
        (r#"{"start":"soon","end":1,"ids":["a"]}"#, "reads.jsonl:2: start: `soon` is no time"),
        (r#"{"start":1,"end":[1],"ids":["a"]}"#, "reads.jsonl:2: end: `[1]` is no time"),
        (r#"{"start":1,"end":1,"ids":"a"}"#, "reads.jsonl:2: ids: must be a list of strings"),
    ] {
        let told = reads(&format!("{good}\n{line}\n{good}\n"));
        assert!(told.starts_with(expected), "{expected}\n{told}");
    }
    let last = "{\"ids\":[\"\\u0061\"],\"end\":4,\"start\":3} \r\n";
    let read = ReadsFile::read("reads.jsonl", format!("{good}\n{last}").as_bytes()).unwrap();
    assert_eq!((read.spans, read.last_is_empty), (vec![(1_000_000, 1_000_000), (3_000_000, 4_000_000)], false));
    let not_utf8 = [&b"{\"start\":1,\"end\":1,\"ids\":[\""[..], &[0xFF], b"\"]}"].concat();
    let told = ReadsFile::read("reads.jsonl", not_utf8.as_slice()).unwrap_err().to_string();
    assert!(told.starts_with("reads.jsonl:1: is no JSON object: invalid unicode"), "{told}");
}

#[test]
fn columns_compare_as_json_values_and_a_missing_one_is_never_null() {
    let corrupted = |expect: &str, row: &str| {
        let sent = format!(r#"{{"id":"a","outcome":"acked","expect":{expect}}}"#);
        let verdict = judged(&sent, Some(&format!(r#"{{"id":"a","row":{row}}}"#)), None, &options());
        !verdict.ids[&Class::Corrupted].is_empty()
    };
    assert!(!corrupted(r#"{"x":1}"#, r#"{"x":1.0,"more":2}"#));
    assert!(corrupted(r#"{"x":9007199254740993}"#, r#"{"x":9007199254740992}"#));
    assert!(corrupted(r#"{"x":null}"#, "{}"));
    assert!(!corrupted(r#"{"x":null}"#, r#"{"x":null}"#));
    let named = judged(
        r#"{"id":"a","outcome":"acked","expect":{"x":1,"y":2}}"#,
        Some(r#"{"id":"a","row":{"x":1,"y":3}}"#),
        None,
        &options(),
    );
    let finding = &named.record.findings[0];
    assert_eq!(
        (finding.column.as_deref(), finding.expected.as_deref(), finding.found.as_deref()),
        (Some("y"), Some("2"), Some("3"))
    );
    assert_eq!(named.record.judged_columns, ["x", "y"]);
}

#[test]
fn rows_of_one_key_are_one_row_and_another_events_is_overwritten() {
    let sent = "{\"id\":\"a\",\"outcome\":\"acked\"}\n{\"id\":\"b\",\"outcome\":\"acked\"}";
    let of = |rows: &str| {
        let verdict = judged(sent, Some(rows), None, &options());
        (classes(&verdict), verdict.record.counts.raw_rows, verdict.record.counts.pending_merge_rows)
    };
    let b = r#"{"id":"b"}"#;
    assert_eq!(of(&format!("{{\"id\":\"a\",\"key\":\"k\"}}\n{{\"id\":\"a\",\"key\":\"k\"}}\n{b}")), (vec![], 3, 1));
    let twice = of(&format!("{{\"id\":\"a\",\"key\":\"k\"}}\n{{\"id\":\"a\",\"key\":\"l\"}}\n{b}"));
    assert_eq!(twice.0, [("duplicated", vec!["a".to_owned()])]);
    let overwritten = of("{\"id\":\"a\",\"key\":\"k\"}\n{\"id\":\"b\",\"key\":\"k\"}");
    assert_eq!(overwritten.0, [("lost", vec!["a".to_owned()])]);
    assert_eq!(of(&format!("{{\"id\":\"a\"}}\n{{\"id\":\"a\"}}\n{b}")).0, [("duplicated", vec!["a".to_owned()])]);
}

#[test]
fn an_empty_final_read_is_a_loss_with_a_hint() {
    let sent = acked(100);
    let verdict = judged(&sent, Some(""), None, &options());
    assert_eq!(verdict.record.counts.lost, 100);
    assert_eq!(verdict.record.verdict, Verdict::Fail);
    assert!(verdict.record.reasons.iter().any(|reason| reason.contains("right table")), "{:?}", verdict.record.reasons);
    let none = judged(&sent, None, Some(""), &options());
    assert_eq!((none.record.counts.lost, none.record.verdict), (0, Verdict::Inconclusive), "no read completed");
}

#[test]
fn ids_alone_say_nothing_about_correctness() {
    let sent = acked(100);
    let ids: Vec<String> = (0..100).map(|id| id.to_string()).collect();
    let reads = format!("{{\"start\":1,\"end\":2,\"ids\":{}}}", serde_json::to_string(&ids).unwrap());
    let verdict = judged(&sent, None, Some(&reads), &options());
    let check = verdict.record.checks.iter().find(|check| check.name == "correctness").unwrap();
    assert_eq!(check.verdict, Verdict::Inconclusive);
    assert!(check.reason.contains("ids only"), "{}", check.reason);
}

#[test]
fn times_come_from_reads_and_from_rows_only_if_their_time_is_known() {
    let sent = r#"{"id":"a","outcome":"acked","sent_at":1.0,"answered_at":1.1}"#;
    let reads = "{\"start\":2,\"end\":2.5,\"ids\":[]}\n{\"start\":4,\"end\":4.5,\"ids\":[\"a\"]}";
    let times = |rows: Option<&str>, reads, now| {
        let verdict = judged(sent, rows, reads, &Options { now, ..options() });
        let times = verdict.record.time_to_visible;
        (serde_json::to_value(times.p50).unwrap(), serde_json::to_value(times.p50_lower).unwrap(), times.unseen)
    };
    let close = |value: &serde_json::Value, expected: f64| (value.as_f64().unwrap() - expected).abs() < 0.01;
    let (p50, _, unseen) = times(None, Some(reads), None);
    assert!(close(&p50, 3.5) && unseen == 0, "{p50}");
    let (p50, _, unseen) = times(Some(r#"{"id":"a"}"#), None, None);
    assert_eq!((p50, unseen), ("not_reached".into(), 0), "seen, but not by any known time");
    let (p50, _, _) = times(Some(r#"{"id":"a"}"#), None, Some(6_000_000));
    assert!(close(&p50, 5.0), "{p50}");
    let (p50, _, unseen) = times(Some(""), Some("{\"start\":2,\"end\":2.5,\"ids\":[]}"), None);
    assert_eq!((p50, unseen), ("not_reached".into(), 1));
}
