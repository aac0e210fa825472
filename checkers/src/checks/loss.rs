//! `loss`: lost and vanished events among those that must be visible.

use super::{CheckResult, Targets, rate};
use crate::{
    reconcile::evidence::{Class, Evidence},
    verdict::Verdict,
};

pub(super) fn check(evidence: &Evidence, targets: &Targets) -> CheckResult {
    // An event is lost or vanished, never both; a vanished one that was only indeterminate does not count here, but it
    // is at most one that counts against the subject.
    let k = (evidence.found(Class::Lost) + evidence.found(Class::Vanished)).min(evidence.must_be_visible);
    let pending = evidence.counts.pending;
    // Pending events count as neither; a fail must stand if they all became visible.
    let with_pending = rate::Counted { worst: k, best: k, n: evidence.must_be_visible };
    let mut result = rate::judge(
        "loss",
        &with_pending,
        targets.loss,
        targets.confidence,
        ("are lost", "events that must be visible"),
    );
    if pending > 0 {
        let all = rate::Counted { worst: k, best: k, n: evidence.must_be_visible + pending };
        let stands = rate::judge("loss", &all, targets.loss, targets.confidence, ("", "")).verdict == Verdict::Fail;
        if !stands {
            result.verdict = Verdict::Inconclusive;
            result.reason = format!("{pending} events are pending: missing, but too young to be called lost");
        }
    }
    if evidence.reads == 0 {
        result.verdict = Verdict::Inconclusive;
        result.reason = "the store was never read".into();
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Verdict::{Fail, Inconclusive, Pass};

    const TARGETS: Targets = Targets { loss: 1e-4, correctness: 1e-4, confidence: 0.95, p99_time_to_visible: None };

    fn evidence(lost: u64, must_be_visible: u64, pending: u64) -> Evidence {
        let mut evidence = Evidence { must_be_visible, reads: 1, ..Evidence::default() };
        evidence.findings.insert(Class::Lost, lost);
        evidence.counts.pending = pending;
        evidence
    }

    #[test]
    fn pending_events_forbid_a_pass_and_do_not_hide_a_fail() {
        for (evidence, expected) in [
            (evidence(0, 60_000, 0), Pass),
            (evidence(0, 60_000, 1), Inconclusive),
            (evidence(60, 60_000, 0), Fail),
            (evidence(60, 60_000, 1), Fail),
            (evidence(60, 60_000, 10_000_000), Inconclusive),
            (evidence(0, 0, 0), Inconclusive),
            (Evidence { reads: 0, ..evidence(0, 60_000, 0) }, Inconclusive),
        ] {
            assert_eq!(check(&evidence, &TARGETS).verdict, expected, "{evidence:?}");
        }
    }
}
