//! `loss`: lost and vanished events among those that must be visible.

use super::{CheckResult, Targets, rate, sequential};
use crate::{
    reasons::Reason,
    reconcile::{evidence::Evidence, population::Population},
    verdict::Verdict,
};

pub(super) fn check(evidence: &Evidence, targets: &Targets) -> CheckResult {
    let told = ("are lost", "events that must be visible");
    let judged =
        |population: &Population| rate::judge("loss", &rate::Counted::of(population), targets.loss, targets, told);
    let mut result = sequential::decide(judged(&evidence.loss), &evidence.loss_in_order, targets.loss, targets);
    let pending = evidence.counts.pending;
    if pending > 0 {
        // A fail must stand if all of them became visible.
        let stands = judged(&evidence.loss.with_clean(pending)).verdict == Verdict::Fail;
        if !stands {
            result.verdict = Verdict::Inconclusive;
            result.reason = format!("{pending} {}: missing, but too young to be called lost", Reason::Pending.words());
        }
    }
    if evidence.reads == 0 {
        result.verdict = Verdict::Inconclusive;
        result.reason = Reason::NoRead.words().into();
    }
    if evidence.read_nothing && evidence.loss.k > 0 {
        result.reason.push_str("; the final read was empty: does it look at the right table?");
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        checks::tests::{TARGETS, population},
        verdict::Verdict::{Fail, Inconclusive, Pass},
    };

    fn evidence(lost: u64, must_be_visible: u64, pending: u64) -> Evidence {
        let mut evidence = Evidence { loss: population(lost, must_be_visible), reads: 1, ..Evidence::default() };
        evidence.counts.pending = pending;
        evidence
    }

    #[test]
    #[expect(clippy::large_stack_arrays, reason = "the table of a test")]
    fn pending_events_forbid_a_pass_and_do_not_hide_a_fail() {
        for (evidence, expected) in [
            (evidence(0, 60_000, 0), Pass),
            (evidence(0, 60_000, 1), Inconclusive),
            (evidence(60, 60_000, 0), Fail),
            (evidence(60, 60_000, 1), Fail),
            (evidence(60, 60_000, 10), Fail),
            (evidence(60, 60_000, 10_000_000), Inconclusive),
            (evidence(0, 0, 0), Inconclusive),
            (Evidence { reads: 0, ..evidence(0, 60_000, 0) }, Inconclusive),
        ] {
            assert_eq!(check(&evidence, &TARGETS).verdict, expected, "{:?}", evidence.counts);
        }
    }

    #[test]
    fn an_empty_read_is_a_loss_with_a_hint() {
        let result = check(&Evidence { read_nothing: true, ..evidence(60_000, 60_000, 0) }, &TARGETS);
        assert_eq!(result.verdict, Fail);
        assert!(result.reason.contains("right table"), "{}", result.reason);
        assert!(!check(&evidence(60_000, 60_000, 0), &TARGETS).reason.contains("right table"));
        let nothing_lost = Evidence { read_nothing: true, ..evidence(0, 60_000, 0) };
        assert!(!check(&nothing_lost, &TARGETS).reason.contains("right table"));
    }
}
