//! Calibration: whether the judge finds each known defect, by its name and in its place, and nothing in a clean run.
//!
//! Each defect of the reference pipeline's catalogue is planted alone in the same traffic; what the judge says is held
//! against what the catalogue says must be found.

use std::time::Duration;

use checkers::{
    reconcile::evidence::{Class, Finding},
    record::RunRecord,
    verdict::Verdict,
};
use generators::random::Distribution;
use reports::calibration::{Outcome, Row};
use testenv::pipeline::defect::{Defect, DefectName, Stage};

use crate::scenario::{Fault, PlantedDefect, Scenario, plugin::Action};

/// So many events carry a defect that is planted event by event: about 0.02 % of them.
const EVENTS: u64 = 4;
/// So many rows or messages make a block.
const BLOCK: u64 = 100;
/// A defect that shows under a fault only has it then, in the middle of the traffic.
const BROKEN_AT: Duration = Duration::from_secs(2);
/// So many rows are late: 2 %, where the promise allows 1 %.
const LATE: u64 = 400;

/// The calibration traffic with `defect` planted in it, or clean.
pub fn scenario(clean: &Scenario, defect: Option<&Defect>) -> Scenario {
    let planted = defect.map(|defect| PlantedDefect {
        name: defect.name,
        events: match defect.name {
            DefectName::PartialReject | DefectName::StallPartition | DefectName::SlowDrift => 1,
            DefectName::WithholdBlock => LATE,
            DefectName::CommitBeforeProcess
            | DefectName::ReprocessOnRestart
            | DefectName::SkipPoisonBlock
            | DefectName::CommitBeforeExport
            | DefectName::LoseBlock => BLOCK,
            _ => EVENTS,
        },
        property: (defect.name == DefectName::DropProperty).then(|| "price".to_owned()),
        amount: None,
    });
    let mut scenario = Scenario { planted_defects: planted.into_iter().collect(), ..clean.clone() };
    scenario.faults.extend(defect.and_then(Defect::shows_under).map(|(target, action)| Fault {
        at: Distribution::Constant { value: BROKEN_AT },
        lasts: Distribution::Constant { value: Duration::ZERO },
        every: Duration::ZERO,
        times: 1,
        targets: vec![target],
        actions: vec![action],
    }));
    if defect.is_some_and(|defect| defect.stage != Stage::Exporter) {
        // What is lost or changed before it is exported is not exported as it is: one defect would be found twice.
        scenario.plugins.retain(|plugin| plugin.action != Action::Export);
        scenario.exports = None;
    }
    scenario
}

/// What `record` says of a run with `defect` planted in it; `planted` is how often the pipeline says that it was.
pub fn row(defect: Option<&Defect>, planted: u64, record: &RunRecord) -> Row {
    let (mut found, mut named) = (0, None);
    let mut false_alarms = 0;
    for class in Class::ALL {
        let count = found_of(record, class);
        match defect {
            Some(defect) if class.name() == defect.finding => {
                found = count;
                named = record
                    .findings
                    .iter()
                    .filter(|finding| finding.class == class)
                    .filter(|finding| defect.last_stage().is_none_or(|stage| finding.stage.as_deref() == Some(stage)))
                    .find(|finding| {
                        defect.column.is_none_or(|column| {
                            finding.column.as_deref().is_some_and(|found| found.starts_with(column))
                        })
                    })
                    .map(name_of);
            }
            Some(defect) if defect.also.contains(&class.name()) => (),
            _ => false_alarms += count,
        }
    }
    if let Some(defect) = defect
        && let Some(check) = record.checks.iter().find(|check| check.name == defect.finding)
        && check.verdict == Verdict::Fail
        && Class::ALL.iter().all(|class| class.name() != defect.finding)
    {
        found = check.k;
        named = Some("the check fails".to_owned());
    }
    let valid = record.self_test.as_ref().is_some_and(checkers::tamper::SelfTest::passed)
        && !record.reasons.iter().any(|reason| reason.starts_with("the environment failed"));
    let outcome = match defect {
        _ if !valid => Outcome::NotCalibrated(record.reasons.join("; ")),
        None if false_alarms == 0 && record.verdict == Verdict::Pass => Outcome::AsItMust,
        // A generator that missed its schedule, say, is no fault of the judge's.
        None if false_alarms == 0 && record.verdict == Verdict::Inconclusive => {
            Outcome::NotCalibrated(record.reasons.join("; "))
        }
        None => Outcome::Wrong(record.reasons.join("; ")),
        Some(_) if planted == 0 => Outcome::NotCalibrated("the pipeline did not plant it".into()),
        Some(_) if named.is_none() => Outcome::Wrong("it was not found under its name".into()),
        Some(defect) if defect.counts_events() && found != planted => {
            Outcome::Wrong(format!("{found} of {planted} were found"))
        }
        Some(_) if false_alarms > 0 => Outcome::Wrong("something was found that nobody had planted".into()),
        Some(_) => Outcome::AsItMust,
    };
    Row {
        defect: defect.map_or("(none)", |defect| defect.word).to_owned(),
        stage: defect.map_or("", |defect| defect.stage.name()).to_owned(),
        planted,
        found,
        finding: defect.map_or("", |defect| defect.finding).to_owned(),
        named,
        false_alarms,
        outcome,
    }
}

/// What a finding names: its column, the last stage that had the event, or no more than its class.
fn name_of(finding: &Finding) -> String {
    let stage = finding.stage.as_ref().map(|stage| format!("last in: {stage}"));
    finding.column.clone().or(stage).unwrap_or_else(|| finding.class.name().to_owned())
}

/// Findings of any rank, as far as the record tells: zero-tolerance checks count all, the others the primary ones.
fn found_of(record: &RunRecord, class: Class) -> u64 {
    let counted = *record.counts.clone().of(class);
    let check = record.checks.iter().find(|check| check.name == class.name()).map_or(0, |check| check.k);
    let examples = record.findings.iter().filter(|finding| finding.class == class).count() as u64;
    counted.max(check).max(examples)
}

#[cfg(test)]
mod tests {
    use checkers::{
        checks::{Independence, Targets},
        files::{Options, RowsFile, SentFile, judge},
        judge::Allowances,
        tamper::SelfTest,
    };
    use testenv::pipeline::defect::CATALOGUE;

    use super::*;

    /// A judged run of four acked events, of which so many were lost.
    fn record(lost: usize) -> RunRecord {
        let ids = ["a", "b", "c", "d"];
        let sent = ids.map(|id| format!("{{\"id\":\"{id}\",\"outcome\":\"acked\",\"tenant\":\"t\"}}")).join("\n");
        let sent = SentFile::read("sent", sent.as_bytes()).unwrap();
        let rows: Vec<String> = ids[lost..].iter().map(|id| format!("{{\"id\":\"{id}\",\"tenant\":\"t\"}}")).collect();
        let rows = RowsFile::read("rows", rows.join("\n").as_bytes(), &sent).unwrap();
        let targets = Targets {
            loss: 0.9,
            correctness: 0.9,
            exported: 0.9,
            confidence: 0.95,
            independence: Independence::Event,
            p99_time_to_visible: None,
            may_stop_early: false,
        };
        let options =
            Options { now: None, loss_after: Duration::ZERO, targets, allowances: Allowances::default(), examples: 9 };
        let mut record = judge(&sent, Some(&rows), None, &options).unwrap().record;
        record.self_test = Some(SelfTest { planted: 54, found: 54, false_alarms: 0, missed: [].into() });
        for finding in &mut record.findings {
            finding.stage = Some("acked".into());
        }
        record
    }

    fn defect(word: &str) -> &'static Defect {
        CATALOGUE.iter().find(|defect| defect.word == word).unwrap()
    }

    #[test]
    fn a_defect_must_be_found_by_name_and_number() {
        let of = |word: &str, planted, lost| row(Some(defect(word)), planted, &record(lost)).outcome;
        assert_eq!(of("ack_then_drop", 2, 2), Outcome::AsItMust);
        assert_eq!(of("ack_then_drop", 3, 2), Outcome::Wrong("2 of 3 were found".into()));
        assert_eq!(of("lose_block", 3, 2), Outcome::Wrong("it was not found under its name".into()), "another stage");
        assert_eq!(of("remint_uuid", 2, 2), Outcome::Wrong("it was not found under its name".into()));
        assert!(matches!(of("ack_then_drop", 0, 0), Outcome::NotCalibrated(_)));
        let mut blind = record(2);
        blind.self_test = Some(SelfTest::crashed());
        assert!(matches!(row(Some(defect("ack_then_drop")), 2, &blind).outcome, Outcome::NotCalibrated(_)));
    }

    #[test]
    fn a_clean_run_must_raise_nothing() {
        assert_eq!(row(None, 0, &record(0)).outcome, Outcome::AsItMust);
        assert!(matches!(row(None, 0, &record(1)).outcome, Outcome::Wrong(_)));
    }
}
