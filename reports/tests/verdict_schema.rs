//! verdict.schema.json holds what verdict.json is, and refuses what it is not.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use checkers::{
    checks::{Independence, Targets},
    files::{Options, ReadsFile, RowsFile, SentFile, judge},
    judge::Allowances,
};
use serde_json::{Value, json};

const SCHEMA: &str = include_str!("../verdict.schema.json");

fn validator() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

/// What is wrong with `verdict`.
fn problems(verdict: &Value) -> Vec<String> {
    validator().iter_errors(verdict).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn verdict(sent: &str, rows: &str, reads: &str) -> Value {
    let sent = SentFile::read("sent", sent.as_bytes()).unwrap();
    let rows = RowsFile::read("rows", rows.as_bytes(), &sent).unwrap();
    let reads = ReadsFile::read("reads", reads.as_bytes()).unwrap();
    let options = Options {
        now: None,
        loss_after: Duration::from_mins(1),
        targets: Targets {
            loss: 1e-4,
            correctness: 1e-4,
            exported: 1e-4,
            confidence: 0.95,
            independence: Independence::Request,
            p99_time_to_visible: Some(Duration::from_secs(5)),
            may_stop_early: false,
        },
        allowances: Allowances::default(),
        examples: 2,
    };
    serde_json::to_value(judge(&sent, Some(&rows), Some(&reads), &options).unwrap()).unwrap()
}

#[test]
fn every_verdict_fits() {
    let sent = concat!(
        r#"{"id":"a","outcome":"acked","sent_at":0,"answered_at":1,"request":"r","tenant":"t","expect":{"x":1}}"#,
        "\n",
        r#"{"id":"b","outcome":"acked","sent_at":0,"answered_at":1,"request":"r"}"#,
        "\n",
        r#"{"id":"c","outcome":"rejected"}"#,
        "\n",
        r#"{"id":"d","outcome":"acked","expect_absent":"quota"}"#,
    );
    let rows = concat!(
        r#"{"id":"a","tenant":"u","row":{"x":2}}"#,
        "\n",
        r#"{"id":"a","row":{}}"#,
        "\n",
        r#"{"id":"c"}"#,
        "\n",
        r#"{"id":"d"}"#,
        "\n",
        r#"{"id":"e"}"#,
    );
    let reads = r#"{"start":2,"end":3,"ids":["a"]}"#;
    for (rows, reads) in [("", ""), (rows, ""), (rows, reads)] {
        let verdict = verdict(sent, rows, reads);
        assert_eq!(problems(&verdict), Vec::<String>::new(), "{verdict:#}");
    }
    assert_eq!(problems(&verdict("", "", "")), Vec::<String>::new(), "nothing at all");
}

#[test]
fn what_is_no_verdict_is_refused() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 8] = [
        ("another version", |verdict| verdict["schema"] = json!(2)),
        ("no such verdict", |verdict| verdict["verdict"] = json!("passed")),
        ("a key of its own", |verdict| verdict["failed"] = json!(false)),
        ("a count is missing", |verdict| {
            verdict["counts"].as_object_mut().unwrap().remove("lost");
        }),
        ("a rate above 1", |verdict| verdict["checks"][0]["upper"] = json!(1.5)),
        ("no checks", |verdict| verdict["checks"] = json!([])),
        ("no such class", |verdict| verdict["findings"] = json!([{"class": "gone", "event": "a"}])),
        ("a negative time", |verdict| verdict["time_to_visible"]["p99"] = json!(-1)),
    ];
    let good = verdict(r#"{"id":"a","outcome":"acked"}"#, r#"{"id":"a"}"#, "");
    assert!(problems(&good).is_empty());
    for (name, change) in changes {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(!problems(&bad).is_empty(), "{name}");
    }
}
