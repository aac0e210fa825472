//! `correctness`: visible the right number of times, under its own tenant, with every judged column as expected.

use super::{CheckResult, Targets, rate};
use crate::{reconcile::evidence::Evidence, verdict::Verdict};

pub(super) fn check(evidence: &Evidence, targets: &Targets) -> CheckResult {
    let counted = rate::Counted { worst: evidence.incorrect, best: evidence.incorrect, n: evidence.judged };
    let told = ("are not stored as expected", "visible events");
    let mut result = rate::judge("correctness", &counted, targets.correctness, targets.confidence, told);
    if evidence.final_reads == 0 {
        result.verdict = Verdict::Inconclusive;
        result.reason = "there was no final read: reads that carry ids only say nothing about columns".into();
    }
    if !evidence.columns.is_empty() {
        let named: Vec<String> =
            evidence.columns.iter().map(|(column, events)| format!("{column} in {events}")).collect();
        result.reason = format!("{}; columns that differ: {}", result.reason, named.join(", "));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_named_and_without_a_final_read_nothing_is_said() {
        let targets = Targets { loss: 1e-4, correctness: 1e-4, confidence: 0.95, p99_time_to_visible: None };
        let mut evidence = Evidence { judged: 60_000, final_reads: 1, ..Evidence::default() };
        assert_eq!(check(&evidence, &targets).verdict, Verdict::Pass);
        evidence.incorrect = 60;
        evidence.columns.insert("properties.price".into(), 60);
        let result = check(&evidence, &targets);
        assert_eq!(result.verdict, Verdict::Fail);
        assert!(result.reason.contains("properties.price in 60"), "{}", result.reason);
        evidence.final_reads = 0;
        assert_eq!(check(&evidence, &targets).verdict, Verdict::Inconclusive);
    }
}
