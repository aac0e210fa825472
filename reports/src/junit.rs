//! junit.xml: one case for each check, also when it passes, so that a CI sees what was judged.

use std::time::Duration;

use checkers::{checks::CheckResult, record::RunRecord, verdict::Verdict};
use jiff::Timestamp;
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use crate::{faults, runbook};

/// The report could not be written as XML.
#[derive(Debug, thiserror::Error)]
#[error("junit.xml could not be made")]
pub struct JunitError(#[from] quick_junit::SerializeError);

/// The record as JUnit XML.
///
/// A failed check is a failure; an inconclusive one is an error, so that no CI takes it for a pass; one that does not
/// apply is skipped. The run's own verdict is a case as well: it may be inconclusive although every check passes.
///
/// # Errors
/// When the XML cannot be written, which does not happen in memory.
pub fn render(record: &RunRecord) -> Result<String, JunitError> {
    let mut suite = TestSuite::new(format!("assay.{}", record.run.scenario));
    suite.set_time(Duration::try_from_secs_f64(record.run.duration).unwrap_or_default());
    for (name, value) in [
        ("run", record.run.id.clone()),
        ("environment", Some(record.run.environment.clone())),
        ("dialect", record.run.dialect.clone()),
        ("seed", record.run.seed.map(|seed| seed.to_string())),
        ("started_at", record.run.started_at.as_deref().map(started_at)),
    ] {
        if let Some(value) = value {
            suite.add_property(Property::new(name, value));
        }
    }
    for fault in &record.run.faults {
        suite.add_property(Property::new("fault", faults::told(fault)));
    }
    suite.add_test_case(case("verdict", record, record.verdict, "the run as a whole", &record.reasons.join("\n")));
    for check in &record.checks {
        suite.add_test_case(case(&check.name, record, check.verdict, &check.reason, &evidence(check, record)));
    }
    let mut report = Report::new("assay");
    report.add_test_suite(suite);
    Ok(report.to_string()?)
}

fn started_at(text: &str) -> String {
    text.parse::<Timestamp>().map_or_else(|_| text.to_owned(), |at| at.to_string())
}

fn case(name: &str, record: &RunRecord, verdict: Verdict, message: &str, description: &str) -> TestCase {
    let mut status = match verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::NotApplicable => TestCaseStatus::skipped(),
        Verdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Inconclusive => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    if verdict != Verdict::Pass {
        status.set_message(message).set_type(verdict.word());
        if verdict != Verdict::NotApplicable {
            status.set_description(format!("{description}\nrunbook: {}", runbook::of_check(name)));
        }
    }
    let mut case = TestCase::new(name, status);
    if matches!(verdict, Verdict::Fail | Verdict::Inconclusive) {
        case.add_property(Property::new("runbook", runbook::of_check(name)));
    }
    case.set_classname(format!("assay.{}", record.run.scenario));
    if verdict == Verdict::Pass {
        case.set_system_out(message);
    }
    case
}

/// The check's figures and its examples.
fn evidence(check: &CheckResult, record: &RunRecord) -> String {
    let figure = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| value.to_string());
    let mut text = format!(
        "{}\nmeasured {} · lower {} · upper {} · target {} · n {}",
        check.reason,
        figure(check.measured),
        figure(check.lower),
        figure(check.upper),
        figure(check.target),
        check.n
    );
    let classes: &[&str] = match check.name.as_str() {
        "loss" => &["lost", "vanished"],
        "correctness" => &["misrouted", "duplicated", "corrupted", "wrong_person", "wrong_group"],
        "exports" => &["not_exported", "wrongly_exported", "stray_export"],
        name => &[name],
    };
    for finding in record.findings.iter().filter(|finding| classes.contains(&finding.class.name())) {
        if let Ok(line) = serde_json::to_string(finding) {
            text.push('\n');
            text.push_str(&line);
        }
    }
    text
}
