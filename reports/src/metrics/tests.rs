use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use super::*;
use crate::{
    live::{Counters, FaultNow, LATENESS_BOUNDS, LagNow, TIME_TO_VISIBLE_BOUNDS},
    runbooks,
};

/// A snapshot with something in every place.
fn example() -> Live {
    let mut now = Counters {
        sent: 300,
        acked: 299,
        failed: 1,
        visible: 290,
        requests: 300,
        late_requests: 2,
        reads: 77,
        failed_reads: 1,
        time_to_visible: Histogram::with_bounds(TIME_TO_VISIBLE_BOUNDS, Some(4.5)),
        lateness: Histogram::with_bounds(LATENESS_BOUNDS, Some(0.1)),
    };
    now.time_to_visible.add(0.4);
    now.time_to_visible.add(4.5);
    now.lateness.add(0.0004);
    let mut live = Live {
        scenario: "a \"quoted\"\\name\nof two lines".into(),
        run: "0123456789".into(),
        environment: "embedded".into(),
        phase: Phase::Sending,
        started_at: Some(1_790_000_000.5),
        limit: Some(4.5),
        planned: 300,
        now,
        awaited: 9,
        overdue: 2,
        lag: Some(vec![LagNow { group: "g".into(), topic: "t".into(), partition: 3, messages: 17 }]),
        faults: vec![FaultNow { fault: "kill".into(), target: "ingester".into(), planned_at: 5.0, active: true }],
        ..Live::default()
    };
    live.defects.insert(Class::Lost, 2);
    live.round_ended(1_790_000_300.0, RoundEnd::Inconclusive);
    live
}

#[test]
fn the_text_is_pinned() {
    insta::assert_snapshot!(render(&example(), "1.2.3", Some(Process { cpu: 1.5, resident: 4096 })));
}

#[test]
fn every_class_is_there_before_it_is_found() {
    let text = render(&Live::default(), "1.2.3", None);
    for class in Class::ALL {
        assert!(text.contains(&format!("assay_defects_total{{class=\"{}\"}} 0\n", class.name())));
    }
    assert!(text.contains("assay_consumer_lag_known 0\n"));
}

#[test]
fn promtool_has_nothing_to_say() {
    let Some(mut promtool) = promtool(&["check", "metrics"]) else { return };
    let mut child = promtool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(render(&example(), "1.2.3", Some(Process::default())).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.is_empty(), "{told}");
}

#[test]
fn the_rules_are_right_and_fire_when_they_must() {
    for arguments in [&["check", "rules", "assay.rules.yml", "pipeline.rules.yml"][..], &["test", "rules", "tests.yml"]]
    {
        let Some(mut promtool) = promtool(arguments) else { return };
        let output = promtool.current_dir(grafana()).output().unwrap();
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{told}");
    }
}

/// `None` where Prometheus's tool is not installed, unless it must be.
fn promtool(arguments: &[&str]) -> Option<Command> {
    let there = Command::new("promtool").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let must = std::env::var_os("ASSAY_PROMETHEUS").is_some_and(|value| value == "require");
    assert!(there.is_ok() || !must, "promtool is not there, and ASSAY_PROMETHEUS=require");
    there.ok()?;
    let mut command = Command::new("promtool");
    command.args(arguments);
    Some(command)
}

fn grafana() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana")
}

/// The names that are exported, with those that a histogram brings.
fn exported() -> BTreeSet<String> {
    let text = render(&example(), "1.2.3", Some(Process::default()));
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names = types.flat_map(|line| {
        let (name, kind) = line.split_once(' ').unwrap();
        let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        suffixes.iter().map(move |suffix| format!("{name}{suffix}"))
    });
    names.collect()
}

/// The names in `query` that look like Assay's.
fn named(query: &str) -> impl Iterator<Item = &str> {
    query.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| word.starts_with("assay_"))
}

fn queries(panels: &Value, all: &mut Vec<String>) {
    match panels {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(query) if key == "expr" => all.push(query.to_owned()),
                    _ => queries(value, all),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| queries(value, all)),
        _ => {}
    }
}

#[test]
fn dashboards_and_rules_ask_only_for_what_is_exported() {
    let exported = exported();
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(grafana()).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap_or_default();
        let mut all = Vec::new();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => {
                queries(&serde_json::from_str(&text).unwrap(), &mut all);
                assert!(!all.is_empty(), "{}: no query", path.display());
            }
            Some("yml") => all.push(text),
            _ => continue,
        }
        for name in all.iter().flat_map(|query| named(query)) {
            assert!(exported.contains(name), "{}: {name} is not exported", path.display());
            seen.insert(name.to_owned());
        }
    }
    assert!(seen.len() > 15, "{seen:?}");
}

#[test]
fn every_alert_leads_to_a_page() {
    let mut alerts = 0;
    for file in ["assay.rules.yml", "pipeline.rules.yml"] {
        let text = fs::read_to_string(grafana().join(file)).unwrap();
        for alert in text.split("- alert: ").skip(1) {
            alerts += 1;
            let line = alert.lines().find_map(|line| line.trim().strip_prefix("runbook: "));
            let page = line.and_then(|line| line.trim_matches('"').strip_prefix("assay runbook "));
            let page = page.unwrap_or_else(|| panic!("{file}: no runbook: {alert}"));
            let is_by_label = page == "{{ $labels.class }}";
            assert!(is_by_label || runbooks::page_for(page).is_some(), "{file}: no page {page}");
        }
    }
    assert!(alerts > 12, "{alerts}");
}
