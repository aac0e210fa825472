//! What a stranger reads, as snapshots.

use checkers::{
    checks::{Quantile, SequentialTest, Times},
    disturbance::FaultFacts,
    observe::lag::PartitionLag,
    reconcile::evidence::{Class, Counts, ExportFacts, Finding},
    record::{ComponentFacts, GeneratorFacts, RunFacts, RunRecord, SCHEMA, ScheduleFacts, StageFacts, StageTime},
    tamper::SelfTest,
};

use super::*;
use crate::junit;

fn check(name: &str, verdict: Verdict, k: u64, upper: f64, lower: f64, reason: &str) -> CheckResult {
    CheckResult {
        name: name.into(),
        verdict,
        measured: Some(k as f64 / 60_000.0),
        lower: Some(lower),
        upper: Some(upper),
        upper_by_request: Some(0.0025),
        target: Some(if name == "time_to_visible" { 0.01 } else { 1e-4 }),
        k,
        certain: None,
        n: 60_000,
        n_effective: Some(60_000.0),
        deff: Some(1.0),
        clusterings: vec![],
        sequential: None,
        reason: reason.into(),
    }
}

fn zero(name: &str, verdict: Verdict, reason: &str) -> CheckResult {
    CheckResult {
        lower: None,
        upper: None,
        upper_by_request: None,
        target: Some(0.0),
        n_effective: None,
        deff: None,
        ..check(name, verdict, 0, 0.0, 0.0, reason)
    }
}

pub(crate) fn passed() -> RunRecord {
    let seconds = |seconds| Some(Quantile::Seconds(seconds));
    RunRecord {
        schema: SCHEMA,
        verdict: Verdict::Pass,
        reasons: vec![],
        exit_code: 0,
        run: RunFacts {
            id: Some("00000000ff".into()),
            scenario: "smoke".into(),
            started_at: Some("2026-11-23T01:02:03Z".into()),
            duration: 18.4,
            seed: Some(1),
            environment: "embedded".into(),
            dialect: Some("2026".into()),
            digest: Some(0x0005_ca1e),
            confidence: 0.95,
            planted_defects: vec![],
            warnings: std::collections::BTreeMap::new(),
            faults: vec![],
            components: vec![],
            recording: None,
        },
        generator: GeneratorFacts {
            planned: 60_000,
            sent: 60_000,
            requests: 1_200,
            retries: 0,
            schedule: Some(ScheduleFacts {
                on_schedule_share: 1.0,
                tolerance: 0.1,
                lateness_p99: 0.003,
                lateness_max: 0.011,
            }),
        },
        exports: None,
        counts: Counts { planned: 60_000, acked: 60_000, visible: 60_000, ..Counts::default() },
        stages: Some(StageFacts {
            complete: true,
            times: vec![StageTime { stage: "sent to captured".into(), n: 60_000, p50: Some(0.03), p99: Some(0.06) }],
            greatest_lag: Some(PartitionLag { topic: "events".into(), partition: 2, messages: 1_234 }),
        }),
        self_test: Some(SelfTest { planted: 54, found: 54, false_alarms: 0, missed: [].into() }),
        checks: vec![
            check("loss", Verdict::Pass, 0, 4.993e-5, 0.0, "0 of 60000 events that must be visible are lost"),
            check(
                "correctness",
                Verdict::Pass,
                0,
                4.993e-5,
                0.0,
                "0 of 60000 visible events are not stored as expected",
            ),
            zero("phantom", Verdict::Pass, "0 rows that nobody sent"),
            zero("rejected_but_visible", Verdict::NotApplicable, "nothing was rejected or left unsent"),
            check(
                "time_to_visible",
                Verdict::Pass,
                0,
                4.993e-5,
                0.0,
                "0 of 60000 acked events were not visible within 5 s",
            ),
        ],
        time_to_visible: Times {
            from: "intended".into(),
            n: 60_000,
            unseen: 0,
            p50: seconds(0.51),
            p50_lower: seconds(0.5),
            p50_upper: seconds(0.52),
            p90: seconds(0.8),
            p90_lower: seconds(0.79),
            p90_upper: seconds(0.81),
            p99: seconds(1.02),
            p99_lower: seconds(1.0),
            p99_upper: seconds(1.05),
            p999: seconds(1.2),
            p999_lower: seconds(1.1),
            p999_upper: seconds(1.3),
            max: seconds(1.3),
        },
        judged_columns: vec![],
        differing_columns: [].into(),
        findings: vec![],
        details: None,
    }
}

pub(crate) fn failed() -> RunRecord {
    let lost = |number: u32| Finding {
        class: Class::Lost,
        event: format!("00000000-ff00-8000-8000-00000000000{number}"),
        column: None,
        expected: None,
        found: None,
        stage: None,
        request: Some(format!("0/{number}")),
        sent_at: Some(f64::from(number)),
        first_seen: None,
    };
    let mut record = passed();
    record.verdict = Verdict::Fail;
    record.exit_code = 1;
    record.counts.lost = 60;
    record.reasons = vec!["loss: 60 of 60000 events that must be visible are lost: more than the target allows".into()];
    record.checks[0] =
        check("loss", Verdict::Fail, 60, 0.00124, 0.0008, "60 of 60000 events that must be visible are lost");
    record.findings = (1..=5).map(lost).collect();
    record.findings.push(Finding {
        class: Class::Corrupted,
        column: Some("properties.price".into()),
        expected: Some("1.5".into()),
        found: Some("nothing".into()),
        ..lost(7)
    });
    record
}

#[test]
fn what_the_pipeline_warns_of_is_told() {
    assert!(!render(&passed(), false).contains("Ingestion warnings"));
    let mut record = passed();
    record.run.warnings =
        [("message_size_too_large".into(), 1), ("event_dropped_by_transformation".into(), 1_204)].into();
    let line = "Ingestion warnings: event_dropped_by_transformation 1 204 · message_size_too_large 1.\n";
    assert!(render(&record, false).contains(line));
}

#[test]
fn what_was_exported_is_told() {
    assert!(!render(&passed(), false).contains("Exports"));
    let exports =
        ExportFacts { deliveries: 5_012, again: 12, requests: 210, caught_up: true, ..ExportFacts::default() };
    let told = |exports| render(&RunRecord { exports: Some(exports), ..passed() }, false);
    assert!(told(exports).contains("Exports: 5 012 deliveries in 210 requests; 12 deliveries came again.\n"));
    let refused = told(ExportFacts { refused: 11, ..exports });
    assert!(
        refused.contains("in 210 requests, 11 of which the webhook refused as the scenario wants; 12"),
        "{refused}"
    );
}

#[test]
fn a_pass() {
    insta::assert_snapshot!(render(&passed(), false));
}

#[test]
fn a_fail() {
    insta::assert_snapshot!(render(&failed(), false));
}

#[test]
fn what_clients_were_meant_to_do_is_told() {
    let mut record = passed();
    record.generator.retries = 1_234;
    (record.counts.rejected_on_purpose, record.counts.indeterminate_on_purpose) = (600, 1_500);
    let text = render(&record, false);
    assert!(text.contains("late sends of 1 200 requests · 1 234 retries\n"), "{text}");
    assert!(
        text.contains("\nClients failed as they were meant to: 600 events rejected, 1 500 indeterminate.\n"),
        "{text}"
    );
}

#[test]
fn what_capture_says_it_has_dropped_is_told() {
    let mut record = passed();
    assert!(!render(&record, false).contains("dropped them"));
    record.counts.dropped = 1_200;
    let text = render(&record, false);
    assert!(
        text.contains("\nCapture said of 1 200 events that it dropped them; those of which nothing foresees it"),
        "{text}"
    );
}

#[test]
fn faults_are_told_with_what_failed_meanwhile() {
    let mut record = passed();
    assert!(!render(&record, false).contains("Faults"));
    let fault = |began, healed| FaultFacts {
        fault: "kill ingester".into(),
        target: "ingester".into(),
        planned_at: 3.0,
        began,
        healed,
        failed: None,
    };
    record.run.faults = vec![fault(Some(3.0), Some(4.5)), fault(Some(9.0), None), fault(None, None)];
    let text = render(&record, false);
    let told = "\nFaults: kill ingester at 3.00 s, healed after 1.50 s · kill ingester at 9.00 s, never healed · kill \
                ingester, not begun; no event failed meanwhile.\n";
    assert!(text.contains(told), "{text}");
    (record.counts.rejected_in_faults, record.counts.unsent_in_faults) = (0, 1_200);
    record.counts.indeterminate_in_faults = 7;
    let text = render(&record, false);
    assert!(text.contains("not begun; meanwhile 7 indeterminate, 1 200 not sent events.\n"), "{text}");
}

#[test]
fn what_the_components_used_is_told_per_million_events() {
    let mut record = passed();
    let facts = |name: &str, cpu| ComponentFacts { name: name.into(), cpu, peak_memory: 1_234_567_890 };
    record.run.components = vec![facts("capture", 0.75), facts("clickhouse", 3.0)];
    let told = "\nProcessor time per million events, and memory at its peak: capture 12.5 s, 1 235 MB · clickhouse \
                50.0 s, 1 235 MB.\n";
    let text = render(&record, false);
    assert!(text.contains(told), "{text}");
}

#[test]
fn color_is_only_where_it_is_asked_for() {
    assert!(render(&passed(), true).contains("\x1b[1;32mPASS"));
    assert!(!render(&passed(), false).contains('\x1b'));
}

#[test]
fn every_check_is_a_case_in_junit() {
    insta::assert_snapshot!(junit::render(&passed()).unwrap());
    let text = junit::render(&failed()).unwrap();
    assert!(text.contains(r#"<testsuites name="assay" tests="6" failures="2" errors="0">"#), "{text}");
    assert!(text.contains(r#"tests="6" skipped="1" errors="0" failures="2""#), "{text}");
    assert!(text.contains("00000000-ff00-8000-8000-000000000003"), "examples are in the failure");
}

#[test]
fn a_run_that_might_stop_early_passes_by_the_sequential_test() {
    let sequential = |crossed, still_needed| {
        let (good, bad, units, defects) = (5e-5, 1e-4, 58_885.0, 0);
        Some(SequentialTest { good, bad, units, defects, crossed, still_needed })
    };
    let mut record = passed();
    record.checks[0].sequential = sequential(Some(Crossed::Pass), None);
    let text = render(&record, false);
    assert!(text.contains("sequential test passed") && !text.contains("This run proves"), "{text}");
    assert!(text.contains("58 885 units were needed, 0 of them defects"), "{text}");
    record.verdict = Verdict::Inconclusive;
    record.checks[0].verdict = Verdict::Inconclusive;
    record.checks[0].sequential = sequential(None, Some(7));
    let text = render(&record, false);
    assert!(text.contains("sequential test still open") && text.contains("proves nothing either way"), "{text}");
}

#[test]
fn nothing_in_a_record_is_obeyed_by_a_terminal() {
    let mut record = failed();
    record.run.scenario = "x\x1b[2J\r".into();
    record.reasons.push("loss: \x1b]0;title\x07".into());
    record.findings[0].event = "\x1b[31m".into();
    record.findings[0].column = Some("c\u{9b}31m".into());
    record.run.faults = vec![FaultFacts {
        fault: "kill \x1b[A".into(),
        target: "ingester".into(),
        planned_at: 0.0,
        began: None,
        healed: None,
        failed: None,
    }];
    let text = render(&record, false);
    assert!(!text.contains(|character: char| character.is_control() && character != '\n'), "{text:?}");
    assert!(text.starts_with("FAIL  x␛[2J␍"), "{text}");
    let colored = render(&record, true);
    assert!(colored.starts_with("\x1b[1;31mFAIL\x1b[0m  x␛"), "{colored:?}");
    assert_eq!(colored.matches('\x1b').count(), 2);
}

#[test]
fn of_very_many_faults_the_first_are_told() {
    let mut record = passed();
    let fault = |number| FaultFacts {
        fault: format!("fault {number}"),
        target: "ingester".into(),
        planned_at: 0.0,
        began: None,
        healed: None,
        failed: None,
    };
    record.run.faults = (0..200).map(fault).collect();
    let text = disturbed(&record);
    assert!(text.contains("fault 9, not begun · 190 more, which the report tells;"), "{text}");
}
