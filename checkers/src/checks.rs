//! The checks: named functions from evidence to a result.
//!
//! Adding a check is one file here and one line in [`all`]. Each answers by itself; none knows of the others.

mod correctness;
mod loss;
mod rate;
mod time_to_visible;
mod zero_tolerance;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{reconcile::evidence::Evidence, verdict::Verdict};

pub use time_to_visible::{NotReached, Quantile, Times};

/// What the scenario promises, as rates of defects.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Targets {
    /// The greatest share of events that may be lost.
    pub loss: f64,
    /// The greatest share of visible events that may be wrong.
    pub correctness: f64,
    /// The confidence of every bound, between 0.5 and 1.
    pub confidence: f64,
    /// The limit for p99 time-to-visible, if there is one.
    pub p99_time_to_visible: Option<Duration>,
}

/// One check's answer. Rates are defect rates as fractions; times are seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The check's name.
    pub name: String,
    /// What it comes to.
    pub verdict: Verdict,
    /// The census: what was measured in this run.
    pub measured: Option<f64>,
    /// The least rate that the run does not exclude.
    pub lower: Option<f64>,
    /// The greatest.
    pub upper: Option<f64>,
    /// The rate that must not be exceeded.
    pub target: Option<f64>,
    /// How many defects were counted.
    pub k: u64,
    /// Among how many.
    pub n: u64,
    /// How many independent events those are worth.
    pub n_effective: Option<f64>,
    /// The design effect: how much the observed clustering inflates the variance; `None` where it was not looked at.
    pub deff: Option<f64>,
    /// The answer in words.
    pub reason: String,
}

/// Runs every check. One that crashes is inconclusive, and hides nothing that another finds.
pub fn all(evidence: &Evidence, targets: &Targets) -> Vec<CheckResult> {
    type Check = fn(&Evidence, &Targets) -> Vec<CheckResult>;
    let checks: [(&str, Check); 4] = [
        ("loss", |evidence, targets| vec![loss::check(evidence, targets)]),
        ("correctness", |evidence, targets| vec![correctness::check(evidence, targets)]),
        ("zero_tolerance", |evidence, _| zero_tolerance::checks(evidence)),
        ("time_to_visible", |evidence, targets| vec![time_to_visible::check(evidence, targets)]),
    ];
    checks.into_iter().flat_map(|(name, check)| guarded(name, || check(evidence, targets))).collect()
}

fn guarded(name: &str, check: impl FnOnce() -> Vec<CheckResult>) -> Vec<CheckResult> {
    // A check only reads what it is given, so nothing half-changed is left behind.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).unwrap_or_else(|_| {
        vec![CheckResult {
            name: name.to_owned(),
            verdict: Verdict::Inconclusive,
            measured: None,
            lower: None,
            upper: None,
            target: None,
            k: 0,
            n: 0,
            n_effective: None,
            deff: None,
            reason: "the check crashed; please report this".into(),
        }]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_crashes_is_inconclusive() {
        let results = guarded("loss", || panic!("planted"));
        assert_eq!(results.len(), 1);
        assert_eq!((results[0].name.as_str(), results[0].verdict), ("loss", Verdict::Inconclusive));
    }

    #[test]
    fn an_empty_run_passes_nothing_by_rate() {
        let targets = Targets { loss: 1e-4, correctness: 1e-4, confidence: 0.95, p99_time_to_visible: None };
        let results = all(&Evidence::default(), &targets);
        assert!(results.iter().all(|result| result.verdict != Verdict::Pass), "{results:?}");
        assert!(results.iter().any(|result| result.verdict == Verdict::Inconclusive));
    }
}
