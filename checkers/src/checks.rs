//! The checks: named functions from evidence to a result.
//!
//! Adding a check is one file here and one line in [`all`]. Each answers by itself; none knows of the others.

mod correctness;
mod exports;
mod loss;
mod rate;
mod sequential;
mod time_to_visible;
mod zero_tolerance;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{reasons::Reason, reconcile::evidence::Evidence, verdict::Verdict};

pub use rate::Clustering;
pub use sequential::SequentialTest;
pub use time_to_visible::{NotReached, Quantile, Times};

/// What the scenario promises, as rates of defects.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Targets {
    /// The greatest share of events that may be lost.
    pub loss: f64,
    /// The greatest share of visible events that may be wrong.
    pub correctness: f64,
    /// The greatest share of events to be exported that may not be, or not as they are.
    #[serde(default = "exported")]
    pub exported: f64,
    /// The confidence of every bound, between 0.5 and 1.
    pub confidence: f64,
    /// What counts as one independent observation.
    #[serde(default)]
    pub independence: Independence,
    /// The limit for p99 time-to-visible, if there is one.
    pub p99_time_to_visible: Option<Duration>,
    /// Whether the run may stop as soon as it has its answer: then rates pass by a sequential test, and by nothing else.
    #[serde(default)]
    pub may_stop_early: bool,
}

const fn exported() -> f64 {
    1e-4
}

/// What counts as one independent observation: how many defects are likely to come together.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Independence {
    /// Each event by itself.
    #[default]
    Event,
    /// A request with all its events.
    Request,
    /// So many events, at least 1.
    Events(f64),
}

impl std::str::FromStr for Independence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "event" => Ok(Self::Event),
            "request" => Ok(Self::Request),
            number => match number.parse() {
                Ok(events) if (1.0..=1e9).contains(&events) => Ok(Self::Events(events)),
                _ => Err(format!("`{text}` is none of \"event\", \"request\", or a number of events from 1 on")),
            },
        }
    }
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
    /// The greatest, if defects come by the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper_by_request: Option<f64>,
    /// The rate that must not be exceeded.
    pub target: Option<f64>,
    /// How many defects were counted.
    pub k: u64,
    /// How many of them are defects whatever is in doubt, where that is fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certain: Option<u64>,
    /// Among how many.
    pub n: u64,
    /// How many independent events those are worth.
    pub n_effective: Option<f64>,
    /// The design effect: how much the observed clustering inflates the variance; `None` where it was not looked at.
    pub deff: Option<f64>,
    /// The clusterings that were looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clusterings: Vec<Clustering>,
    /// The sequential test, where the run might stop early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequential: Option<SequentialTest>,
    /// The answer in words.
    pub reason: String,
}

/// Runs every check. One that crashes is inconclusive, and hides nothing that another finds.
pub fn all(evidence: &Evidence, targets: &Targets) -> Vec<CheckResult> {
    type Check = fn(&Evidence, &Targets) -> Vec<CheckResult>;
    let checks: [(&str, Check); 5] = [
        ("loss", |evidence, targets| vec![loss::check(evidence, targets)]),
        ("correctness", |evidence, targets| vec![correctness::check(evidence, targets)]),
        ("zero_tolerance", |evidence, _| zero_tolerance::checks(evidence)),
        ("time_to_visible", |evidence, targets| vec![time_to_visible::check(evidence, targets)]),
        ("exports", |evidence, targets| vec![exports::check(evidence, targets)]),
    ];
    checks.into_iter().flat_map(|(name, check)| guarded(name, || check(evidence, targets))).collect()
}

fn guarded(name: &str, check: impl FnOnce() -> Vec<CheckResult>) -> Vec<CheckResult> {
    // A check only reads what it is given, so nothing half-changed is left behind.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).unwrap_or_else(|_| {
        let reason = format!("{}; please report this", Reason::CheckCrashed.words());
        vec![CheckResult { verdict: Verdict::Inconclusive, reason, ..CheckResult::without_rate(name) }]
    })
}

impl CheckResult {
    /// A check of this name that does not apply, and has no numbers.
    pub(crate) fn without_rate(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            verdict: Verdict::NotApplicable,
            measured: None,
            lower: None,
            upper: None,
            upper_by_request: None,
            target: None,
            k: 0,
            certain: None,
            n: 0,
            n_effective: None,
            deff: None,
            clusterings: Vec::new(),
            sequential: None,
            reason: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{reconcile::population::Population, statistics::clusters::Clusters};

    pub(super) const TARGETS: Targets = Targets {
        loss: 1e-4,
        correctness: 1e-4,
        exported: 1e-4,
        confidence: 0.95,
        independence: Independence::Event,
        p99_time_to_visible: None,
        may_stop_early: false,
    };

    /// `k` defects among `n` events, each in a request of its own.
    pub(super) fn population(k: u64, n: u64) -> Population {
        let mut by_request = Clusters::default();
        for event in 0..n {
            by_request.add(u64::from(event < k), 1);
        }
        Population { n, k, by_request, by_lane: None }
    }

    #[test]
    fn independence_in_words() {
        for (text, expected) in [
            ("event", Ok(Independence::Event)),
            ("request", Ok(Independence::Request)),
            ("12.5", Ok(Independence::Events(12.5))),
            ("0.5", Err(())),
            ("NaN", Err(())),
            ("batch", Err(())),
        ] {
            assert_eq!(text.parse::<Independence>().map_err(|_| ()), expected, "{text}");
        }
    }

    #[test]
    fn a_check_that_crashes_is_inconclusive() {
        let results = guarded("loss", || panic!("planted"));
        assert_eq!(results.len(), 1);
        assert_eq!((results[0].name.as_str(), results[0].verdict), ("loss", Verdict::Inconclusive));
    }

    #[test]
    fn an_empty_run_passes_nothing_by_rate() {
        let results = all(&Evidence::default(), &TARGETS);
        assert!(results.iter().all(|result| result.verdict != Verdict::Pass), "{results:?}");
        assert!(results.iter().any(|result| result.verdict == Verdict::Inconclusive));
    }
}
