//! junit.xml: one case for each check, also when it passes, so that a CI sees what was judged.
//!
//! It keeps to the schema of Jenkins' xUnit plugin (junit-10.xsd), the strictest of those that read it: a case has no properties
//! there, so the runbook is told in the failure's text.

use std::time::Duration;

use checkers::{checks::CheckResult, details::example::cut, record::RunRecord, verdict::Verdict};
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
    let told: Vec<String> =
        record.reasons.iter().map(|reason| format!("{reason}\n  runbook: {}", runbook::of_reason(reason))).collect();
    let first = record.reasons.first().map_or("the run as a whole", String::as_str);
    suite.add_test_case(case("verdict", record, record.verdict, first, &told.join("\n")));
    for check in &record.checks {
        let evidence = format!("{}\nrunbook: {}", evidence(check, record), runbook::of_check(check));
        suite.add_test_case(case(&check.name, record, check.verdict, &check.reason, &evidence));
    }
    let mut report = Report::new("assay");
    let skipped = suite.skipped;
    report.add_test_suite(suite);
    Ok(without_total_of_skipped(&report.to_string()?, skipped))
}

/// A text without what XML cannot hold and its writer leaves in (XML 1.0, 2.2).
fn sayable(text: &str) -> String {
    text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

/// The report without what Jenkins' schema does not have: `skipped` is said of a suite, and not of all together.
fn without_total_of_skipped(xml: &str, skipped: usize) -> String {
    xml.replacen(&format!(r#" skipped="{skipped}""#), "", 1)
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
        status.set_message(sayable(message)).set_type(verdict.word());
        if verdict != Verdict::NotApplicable {
            status.set_description(sayable(description));
        }
    }
    let mut case = TestCase::new(name, status);
    case.set_classname(format!("assay.{}", record.run.scenario));
    if verdict == Verdict::Pass {
        case.set_system_out(sayable(message));
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
        // A value may be a megabyte, and there are many.
        let mut short = finding.clone();
        for value in [&mut short.expected, &mut short.found, &mut short.column].into_iter().flatten() {
            *value = cut(value);
        }
        if let Ok(line) = serde_json::to_string(&short) {
            text.push('\n');
            text.push_str(&line);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use quick_xml::{Reader, events::Event};

    use super::*;
    use crate::terminal::tests::{failed, passed};

    /// An element with its three lists.
    type Element = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

    /// What Jenkins' junit-10.xsd says of the elements that are used: what may hold it, which attributes it must have, and which
    /// it may have beside them.
    const SCHEMA: [Element; 9] = [
        ("testsuites", &[""], &[], &["name", "time", "tests", "failures", "errors"]),
        ("testsuite", &["testsuites"], &["name", "tests", "failures", "errors"], &["time", "skipped", "timestamp"]),
        ("properties", &["testsuite"], &[], &[]),
        ("property", &["properties"], &["name", "value"], &[]),
        ("testcase", &["testsuite"], &["name"], &["time", "classname"]),
        ("skipped", &["testcase"], &[], &["type", "message"]),
        ("error", &["testcase"], &[], &["type", "message"]),
        ("failure", &["testcase"], &[], &["type", "message"]),
        ("system-out", &["testcase", "testsuite"], &[], &[]),
    ];

    /// What the schema does not allow in `xml`.
    fn refused(xml: &str) -> Vec<String> {
        let (mut open, mut refused) = (vec![String::new()], Vec::new());
        let mut reader = Reader::from_str(xml);
        loop {
            let event = reader.read_event().unwrap();
            let (Event::Start(tag) | Event::Empty(tag)) = &event else {
                match event {
                    Event::End(_) => drop(open.pop()),
                    Event::Eof => break,
                    _ => (),
                }
                continue;
            };
            let name = String::from_utf8(tag.name().as_ref().to_vec()).unwrap();
            let has: BTreeSet<String> = tag
                .attributes()
                .map(|attribute| String::from_utf8(attribute.unwrap().key.as_ref().to_vec()).unwrap())
                .collect();
            let within = open.last().unwrap().clone();
            match SCHEMA.iter().find(|(element, ..)| *element == name) {
                Some((_, parents, needed, allowed)) => {
                    let knows = |attribute: &&String| {
                        needed.contains(&attribute.as_str()) || allowed.contains(&attribute.as_str())
                    };
                    let unknown = has.iter().filter(|attribute| !knows(attribute));
                    refused.extend(unknown.map(|attribute| format!("{name}@{attribute}")));
                    let missing = needed.iter().filter(|needed| !has.contains(**needed));
                    refused.extend(missing.map(|needed| format!("{name} without {needed}")));
                    if !parents.contains(&within.as_str()) {
                        refused.push(format!("{name} in {within}"));
                    }
                }
                None => refused.push(name.clone()),
            }
            if matches!(event, Event::Start(_)) {
                open.push(name);
            }
        }
        refused
    }

    #[test]
    fn it_keeps_to_the_schema_of_a_common_reader() {
        for record in [passed(), failed()] {
            let xml = render(&record).unwrap();
            assert_eq!(refused(&xml), Vec::<String>::new(), "{xml}");
        }
        let mut record = failed();
        record.findings[0].found = Some("\u{fffe}".repeat(1 << 20));
        record.reasons = vec!["something \u{ffff} that nobody has told before".into()];
        let xml = render(&record).unwrap();
        assert_eq!(refused(&xml), Vec::<String>::new());
        assert!(xml.len() < 100_000 && !xml.contains(['\u{fffe}', '\u{ffff}']), "{}", xml.len());
        let odd = r#"<testsuites skipped="1"><testsuite name="a" tests="1" errors="0"><testcase name="a"><properties/></testcase></testsuite></testsuites>"#;
        assert_eq!(refused(odd), ["testsuites@skipped", "testsuite without failures", "properties in testcase"]);
    }
}
