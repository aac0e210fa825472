//! A rate against its target: the rule that loss, correctness and time-to-visible share.
//!
//! Pass if the upper bound is at most the target, fail if the lower bound is above it, else inconclusive.

use super::CheckResult;
use crate::{statistics::binomial, verdict::Verdict};

/// What a rate is judged from. A check may count defects differently for the two bounds, where an observation is only
/// known to lie in a span; otherwise the two are equal.
pub(super) struct Counted {
    /// Defects when every doubt counts against the subject.
    pub worst: u64,
    /// Defects when every doubt counts for the subject.
    pub best: u64,
    /// Among how many.
    pub n: u64,
}

/// Judges `counted` against `target`, and says why in `told` words: what was counted among what.
pub(super) fn judge(name: &str, counted: &Counted, target: f64, confidence: f64, told: (&str, &str)) -> CheckResult {
    let n = counted.n as f64;
    let lower = binomial::lower(counted.best as f64, n, confidence);
    let upper = binomial::upper(counted.worst as f64, n, confidence);
    let verdict = if counted.n == 0 {
        Verdict::Inconclusive
    } else if lower > target {
        Verdict::Fail
    } else if upper <= target {
        Verdict::Pass
    } else {
        Verdict::Inconclusive
    };
    let (what, among) = told;
    let counts = format!("{} of {} {among} {what}", counted.worst, counted.n);
    let reason = match verdict {
        _ if counted.n == 0 => format!("no {among} to look at"),
        Verdict::Fail => format!("{counts}: more than the target allows"),
        Verdict::Pass => counts,
        _ => format!("{counts}: too few events to tell on which side of the target the rate lies"),
    };
    CheckResult {
        name: name.to_owned(),
        verdict,
        measured: (counted.n > 0).then(|| counted.worst as f64 / n),
        lower: Some(lower),
        upper: Some(upper),
        target: Some(target),
        k: counted.worst,
        n: counted.n,
        n_effective: Some(n),
        deff: None,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkpoints_of_the_design() {
        for (k, n, expected) in [
            (0, 0, Verdict::Inconclusive),
            (0, 29_955, Verdict::Inconclusive),
            (0, 29_956, Verdict::Pass),
            (4, 100_000, Verdict::Pass),
            (5, 100_000, Verdict::Inconclusive),
            (10, 100_000, Verdict::Inconclusive),
            (15, 100_000, Verdict::Inconclusive),
            (16, 100_000, Verdict::Fail),
            (100_000, 100_000, Verdict::Fail),
        ] {
            let result = judge("x", &Counted { worst: k, best: k, n }, 1e-4, 0.95, ("are lost", "events"));
            assert_eq!(result.verdict, expected, "{k} of {n}");
        }
    }

    #[test]
    fn a_doubt_forbids_both_pass_and_fail() {
        let judged = |worst, best| judge("x", &Counted { worst, best, n: 1_000 }, 0.01, 0.95, ("are late", "events"));
        assert_eq!(judged(4, 0).verdict, Verdict::Pass);
        assert_eq!(judged(40, 0).verdict, Verdict::Inconclusive);
        assert_eq!(judged(40, 16).verdict, Verdict::Fail);
    }
}
