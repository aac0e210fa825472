//! `correctness`: visible the right number of times, under its own tenant, with every judged column as expected.

use super::{CheckResult, Targets, rate, sequential};
use crate::{reasons::Reason, reconcile::evidence::Evidence, verdict::Verdict};

pub(super) fn check(evidence: &Evidence, targets: &Targets) -> CheckResult {
    let told = ("are not stored as expected", "visible events");
    let counted = rate::Counted::of(&evidence.correctness);
    let result = rate::judge("correctness", &counted, targets.correctness, targets, told);
    let mut result = sequential::decide(result, &evidence.correctness_in_order, targets.correctness, targets);
    if evidence.final_reads == 0 {
        result.verdict = Verdict::Inconclusive;
        result.reason = format!("{}: reads that carry ids only say nothing about columns", Reason::NoFinalRead.words());
    }
    if evidence.final_reads > 0 && evidence.judged_columns.is_empty() {
        result.reason.push_str("; no column was judged");
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
    use crate::checks::tests::{TARGETS, population};

    #[test]
    fn the_columns_are_named_and_without_a_final_read_nothing_is_said() {
        let clean = Evidence { correctness: population(0, 60_000), final_reads: 1, ..Evidence::default() };
        assert_eq!(check(&clean, &TARGETS).verdict, Verdict::Pass);
        assert!(check(&clean, &TARGETS).reason.contains("no column was judged"));
        let judged = Evidence { judged_columns: vec!["event".into()], ..clean.clone() };
        assert!(!check(&judged, &TARGETS).reason.contains("no column was judged"));
        assert!(!check(&Evidence { final_reads: 0, ..clean.clone() }, &TARGETS).reason.contains("no column"));
        let mut evidence = Evidence { correctness: population(60, 60_000), ..clean };
        evidence.columns.insert("properties.price".into(), 60);
        let result = check(&evidence, &TARGETS);
        assert_eq!(result.verdict, Verdict::Fail);
        assert!(result.reason.contains("properties.price in 60"), "{}", result.reason);
        evidence.final_reads = 0;
        assert_eq!(check(&evidence, &TARGETS).verdict, Verdict::Inconclusive);
    }
}
