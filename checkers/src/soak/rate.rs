//! A rate over many windows.
//!
//! Defects and events are added up. Each window has said how many events are worth one, and how much its clustering inflates
//! the variance; of both the greatest counts for all, which errs on the safe side for both bounds.

use serde::{Deserialize, Serialize};

use super::Rules;
use crate::{
    checks::{CheckResult, SequentialTest},
    reasons::Reason,
    statistics::{
        binomial,
        sequential::{Crossed, Test},
    },
    verdict::Verdict,
};

/// A check with a rate, over all windows so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PooledRate {
    pub(super) name: String,
    target: f64,
    k: u64,
    /// Of these, defects without a doubt.
    certain: u64,
    n: u64,
    together: f64,
    deff: f64,
    test: Test,
    units: f64,
    defects: f64,
    /// Windows that break the promise by themselves, allowing for their number: which, with defects and events.
    broken: Vec<(u64, u64, u64)>,
}

/// So many of them are told.
const TOLD: usize = 5;

impl PooledRate {
    pub(super) fn new(check: &CheckResult, confidence: f64) -> Self {
        let target = check.target.unwrap_or(1.0);
        Self {
            name: check.name.clone(),
            target,
            k: 0,
            certain: 0,
            n: 0,
            together: 1.0,
            deff: 1.0,
            test: Test::for_target(target, confidence),
            units: 0.0,
            defects: 0.0,
            broken: Vec::new(),
        }
    }

    /// Takes in what window `number` has found.
    pub(super) fn add(&mut self, check: &CheckResult, number: u64, rules: &Rules) {
        if check.n == 0 {
            return;
        }
        let certain = check.certain.unwrap_or(check.k);
        let together = check.n_effective.filter(|n| *n > 0.0).map_or(1.0, |n| check.n as f64 / n).max(1.0);
        let deff = check.deff.unwrap_or(1.0).max(1.0);
        self.k += check.k;
        self.certain += certain;
        self.n += check.n;
        self.together = self.together.max(together);
        self.deff = self.deff.max(deff);
        let (units, defects) = (check.n as f64 / together, check.k as f64 / together);
        self.test.add_together(units - defects, defects);
        self.units += units;
        self.defects += defects;
        // Bonferroni: all windows together call a good one bad as seldom as one run would.
        let each = 1.0 - (1.0 - rules.confidence) / rules.windows.max(1) as f64;
        // Some checks fail for a single thing that must not happen, whatever the rate.
        let outright = check.verdict == Verdict::Fail && check.lower.is_some_and(|lower| lower <= self.target);
        if outright || binomial::lower(certain as f64 / deff, check.n as f64 / deff, each) > self.target {
            self.broken.push((number, check.k, check.n));
            self.broken.truncate(TOLD);
        }
    }

    /// Whether the sequential test has its answer.
    pub(super) const fn is_decided(&self) -> bool {
        self.test.crossed().is_some()
    }

    /// What all windows come to.
    pub(super) fn judge(&self, rules: &Rules) -> CheckResult {
        let (k, n) = (self.k as f64, self.n as f64);
        let upper = binomial::upper(k / self.together, n / self.together, rules.confidence);
        let lower = binomial::lower(self.certain as f64 / self.deff, n / self.deff, rules.confidence);
        let passes =
            if rules.may_stop_early { self.test.crossed() == Some(Crossed::Pass) } else { upper <= self.target };
        let verdict = if self.n == 0 {
            Verdict::Inconclusive
        } else if lower > self.target || !self.broken.is_empty() {
            Verdict::Fail
        } else if passes {
            Verdict::Pass
        } else {
            Verdict::Inconclusive
        };
        let counts = format!("{} of {} events in all windows", self.k, self.n);
        let reason = match verdict {
            _ if self.n == 0 => format!("no events {}", Reason::NothingToLookAt.words()),
            Verdict::Fail if lower > self.target => format!("{counts}: more than the target allows"),
            Verdict::Fail => {
                let broken: Vec<String> =
                    self.broken.iter().map(|(number, k, n)| format!("window {number} ({k} of {n})")).collect();
                format!("{counts}, but more than the target allows in {}", broken.join(", "))
            }
            Verdict::Pass => counts,
            _ if self.is_decided() && rules.may_stop_early => {
                format!("{counts}: {} {:.0} units", Reason::SequentialTestEnded.words(), self.units)
            }
            _ if rules.may_stop_early => {
                let needed = self.test.still_needed().unwrap_or_default();
                format!("{counts}: {}: {needed} more clean units are needed", Reason::SequentialTestOpen.words())
            }
            _ if self.certain < self.k => {
                format!("{counts}, but {} for certain: {}", self.certain, Reason::ReadsTooFarApart.words())
            }
            _ => format!("{counts}: {} on which side of the target the rate lies", Reason::TooFewEvents.words()),
        };
        CheckResult {
            verdict,
            measured: (self.n > 0).then(|| k / n),
            lower: Some(lower),
            upper: Some(upper),
            target: Some(self.target),
            k: self.k,
            certain: (self.certain < self.k).then_some(self.certain),
            n: self.n,
            n_effective: Some(n / self.together),
            deff: Some(self.deff),
            sequential: rules.may_stop_early.then(|| SequentialTest {
                good: self.target / 2.0,
                bad: self.target,
                units: self.units,
                defects: self.defects.round() as u64,
                crossed: self.test.crossed(),
                still_needed: self.test.still_needed(),
            }),
            reason,
            ..CheckResult::without_rate(&self.name)
        }
    }
}
