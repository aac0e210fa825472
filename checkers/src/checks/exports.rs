//! `exports`: events that plugins must export and have not, or not as they are, among all that they must.
//!
//! Judged as a rate, like `loss`. That an event is delivered more than once is no defect, since at least once is what exporting
//! promises; that one is delivered which no plugin of its team exports is a fail at once.

use super::{CheckResult, Targets, rate};
use crate::{
    reasons::Reason,
    reconcile::evidence::{Class, Evidence},
    verdict::Verdict,
};

const NAME: &str = "exports";

pub(super) fn check(evidence: &Evidence, targets: &Targets) -> CheckResult {
    let Some(facts) = &evidence.exports else {
        return CheckResult { reason: "no plugin exports".into(), ..CheckResult::without_rate(NAME) };
    };
    let told = ("are not exported as they are", "events that plugins must export");
    let judged = |population| rate::judge(NAME, &rate::Counted::of(population), targets.exported, targets, told);
    let mut result = judged(&evidence.exported);
    if facts.again > 0 {
        result.reason = format!("{}; {} deliveries came again, as they may", result.reason, facts.again);
    }
    if facts.pending > 0 {
        // A fail must stand if all of them were exported.
        let stands = judged(&evidence.exported.with_clean(facts.pending)).verdict == Verdict::Fail;
        if !stands {
            result.verdict = Verdict::Inconclusive;
            let why = if facts.caught_up { "too young to be called missing" } else { "the exporter is still at work" };
            result.reason = format!("{} {}: not exported yet, and {why}", facts.pending, Reason::Pending.words());
        }
    }
    let strays = evidence.found(Class::StrayExport);
    if strays > 0 {
        result.verdict = Verdict::Fail;
        result.reason = format!("{strays} deliveries that no plugin should have made; {}", result.reason);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        checks::tests::{TARGETS, population},
        reconcile::evidence::ExportFacts,
    };

    fn evidence(missing: u64, all: u64, pending: u64) -> Evidence {
        let exports = Some(ExportFacts { pending, caught_up: true, ..ExportFacts::default() });
        Evidence { exported: population(missing, all), exports, ..Evidence::default() }
    }

    #[test]
    #[expect(clippy::large_stack_arrays, reason = "the table of a test")]
    fn it_is_judged_as_a_rate_and_does_not_apply_where_nothing_exports() {
        use Verdict::{Fail, Inconclusive, NotApplicable, Pass};
        for (evidence, expected) in [
            (Evidence::default(), NotApplicable),
            (evidence(0, 60_000, 0), Pass),
            (evidence(60, 60_000, 0), Fail),
            (evidence(0, 100, 0), Inconclusive),
            (evidence(0, 0, 0), Inconclusive),
            (evidence(0, 60_000, 1), Inconclusive),
            (evidence(60, 60_000, 10), Fail),
        ] {
            let result = check(&evidence, &TARGETS);
            assert_eq!(result.verdict, expected, "{}", result.reason);
        }
    }

    #[test]
    fn what_came_again_is_told_and_a_stray_is_a_fail() {
        let mut evidence = evidence(0, 60_000, 0);
        evidence.exports.as_mut().unwrap().again = 7;
        let result = check(&evidence, &TARGETS);
        assert_eq!(result.verdict, Verdict::Pass);
        assert!(result.reason.contains("7 deliveries came again"), "{}", result.reason);
        evidence.findings.insert(Class::StrayExport, 1);
        let result = check(&evidence, &TARGETS);
        assert_eq!(result.verdict, Verdict::Fail);
        assert!(result.reason.starts_with("1 deliveries that no plugin should"), "{}", result.reason);
    }

    #[test]
    fn an_exporter_that_is_behind_is_not_said_to_have_lost_anything() {
        let mut evidence = evidence(0, 60_000, 5);
        evidence.exports.as_mut().unwrap().caught_up = false;
        let reason = check(&evidence, &TARGETS).reason;
        assert!(reason.contains("still at work") && Reason::of(&reason) == Some(Reason::Pending), "{reason}");
    }
}
