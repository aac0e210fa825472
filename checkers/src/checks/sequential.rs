//! A rate in a run that may stop early: it passes by Wald's sequential test, and by nothing else.
//!
//! Looking at a fixed interval again and again and stopping when it looks good is wrong at the stated confidence. So the
//! units enter in the order of their sending; the first line that is crossed decides, and what comes behind it is not looked at.
//! Crossing the other line, and ending between the two, is inconclusive. A fail is still what the fixed rule calls one.

use serde::{Deserialize, Serialize};

use super::{CheckResult, Independence, Targets};
use crate::{
    reasons::Reason,
    reconcile::sequence::{InOrder, Sequence},
    statistics::sequential::{Crossed, Test},
    verdict::Verdict,
};

/// What the sequential test came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SequentialTest {
    /// The rate that is good enough, as a fraction.
    pub good: f64,
    /// The rate that must not be passed.
    pub bad: f64,
    /// How many units entered before it was decided.
    pub units: f64,
    /// How many of them were defects.
    pub defects: u64,
    /// Which line was crossed: `pass`, `inconclusive`, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crossed: Option<Crossed>,
    /// How many more clean units would pass, where no line was crossed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub still_needed: Option<u64>,
}

/// Runs the test on the units of `independence`.
pub(super) fn test(in_order: &InOrder, target: f64, targets: &Targets) -> SequentialTest {
    let (sequence, together): (&Sequence, f64) = match targets.independence {
        Independence::Event => (&in_order.events, 1.0),
        Independence::Request => (&in_order.requests, 1.0),
        // So many clean events are one clean unit; each defect counts as a whole one.
        Independence::Events(events) => (&in_order.events, events),
    };
    let mut test = Test::for_target(target, targets.confidence);
    let (mut units, mut defects) = (0.0, 0);
    for second in sequence.iter() {
        for _ in 0..second.defects {
            if test.crossed().is_none() {
                test.add(0.0, true);
                (units, defects) = (units + 1.0, defects + 1);
            }
        }
        if test.crossed().is_none() {
            let clean = second.clean as f64 / together;
            units += test.still_needed().map_or(0.0, |needed| clean.min(needed as f64));
            test.add(clean, false);
        }
    }
    let (crossed, still_needed) = (test.crossed(), test.still_needed());
    SequentialTest { good: target / 2.0, bad: target, units, defects, crossed, still_needed }
}

/// Puts the sequential test's answer into that of the fixed rule.
pub(super) fn decide(mut result: CheckResult, in_order: &InOrder, target: f64, targets: &Targets) -> CheckResult {
    if !targets.may_stop_early {
        return result;
    }
    let test = test(in_order, target, targets);
    if result.verdict != Verdict::Fail {
        let (verdict, what) = match (test.crossed, test.still_needed) {
            (Some(Crossed::Pass), _) => (
                Verdict::Pass,
                format!("the sequential test passes after {:.0} units, {} of them defects", test.units, test.defects),
            ),
            (Some(Crossed::Inconclusive), _) => (
                Verdict::Inconclusive,
                format!(
                    "{} {:.0} units, {} of them defects: more than it can pass",
                    Reason::SequentialTestEnded.words(),
                    test.units,
                    test.defects
                ),
            ),
            (None, needed) => (
                Verdict::Inconclusive,
                format!(
                    "{}: {} more clean units are needed",
                    Reason::SequentialTestOpen.words(),
                    needed.unwrap_or_default()
                ),
            ),
        };
        result.verdict = verdict;
        result.reason = format!("{}; {what}", result.reason);
    }
    result.sequential = Some(test);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::TARGETS;

    /// Seconds of (defects, clean) units.
    fn in_order(seconds: &[(u64, u64)]) -> InOrder {
        let mut order = InOrder::default();
        for (second, (defects, clean)) in seconds.iter().enumerate() {
            for sequence in [&mut order.events, &mut order.requests] {
                sequence.add(second as i64, true, *defects);
                sequence.add(second as i64, false, *clean);
            }
        }
        order
    }

    fn decided(seconds: &[(u64, u64)], independence: Independence, fixed: Verdict) -> (Verdict, SequentialTest) {
        let targets = Targets { may_stop_early: true, independence, ..TARGETS };
        let result = CheckResult { verdict: fixed, ..CheckResult::without_rate("loss") };
        let result = decide(result, &in_order(seconds), 1e-4, &targets);
        (result.verdict, result.sequential.unwrap())
    }

    #[test]
    fn it_passes_by_the_test_alone() {
        use Verdict::{Fail, Inconclusive, Pass};
        let event = Independence::Event;
        for (seconds, fixed, expected) in [
            // The fixed rule passes with 29 956 clean events; the test needs 58 885.
            (&[(0, 58_884)][..], Pass, Inconclusive),
            (&[(0, 58_885)], Pass, Pass),
            (&[(0, 30_000), (0, 28_885)], Pass, Pass),
            (&[(1, 58_885)], Pass, Inconclusive),
            (&[(1, 58_885 + 13_862)], Inconclusive, Pass),
            // What comes behind the line that was crossed first is not looked at.
            (&[(0, 58_885), (1_000, 0)], Inconclusive, Pass),
            (&[(5, 0), (0, 10_000_000)], Pass, Inconclusive),
            // Within a second defects come first.
            (&[(5, 10_000_000)], Pass, Inconclusive),
            (&[(0, 58_885)], Fail, Fail),
            (&[], Inconclusive, Inconclusive),
        ] {
            assert_eq!(decided(seconds, event, fixed).0, expected, "{seconds:?} {fixed:?}");
        }
    }

    #[test]
    fn units_are_those_of_independence() {
        let of = |independence| decided(&[(1, 588_850)], independence, Verdict::Pass);
        let (verdict, test) = of(Independence::Events(10.0));
        assert_eq!((verdict, test.crossed, test.defects), (Verdict::Inconclusive, None, 1));
        assert_eq!(test.still_needed, Some(13_862));
        assert_eq!(of(Independence::Request).0, Verdict::Pass);
        let (_, test) = decided(&[(1, 1_000_000)], Independence::Event, Verdict::Pass);
        assert_eq!((test.units, test.defects), (72_748.0, 1), "no more than it needed");
        assert_eq!((test.good, test.bad), (5e-5, 1e-4));
        let (_, test) = decided(&[(9, 0)], Independence::Event, Verdict::Pass);
        assert_eq!((test.units, test.defects, test.crossed), (5.0, 5, Some(Crossed::Inconclusive)));
        let (_, test) = decided(&[(0, 1_000_000)], Independence::Event, Verdict::Pass);
        assert_eq!((test.units, test.crossed), (58_885.0, Some(Crossed::Pass)));
    }

    #[test]
    fn a_run_that_may_not_stop_early_is_left_alone() {
        let result = CheckResult { verdict: Verdict::Pass, ..CheckResult::without_rate("loss") };
        assert_eq!(decide(result.clone(), &in_order(&[(9, 0)]), 1e-4, &TARGETS), result);
    }
}
