//! Wald's sequential probability ratio test, for runs that may stop before their end.
//!
//! Wald, "Sequential Tests of Statistical Hypotheses", Annals of Mathematical Statistics 16 (1945). Watching a run and
//! stopping when it looks good is wrong at the stated confidence; this test may be looked at after every event. It can
//! only pass: crossing its other line, and ending between the two, are inconclusive, with no falling back to a fixed
//! interval.

use serde::{Deserialize, Serialize};

/// Which of two rates a sequence of events has.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// What a clean event adds to the log-likelihood ratio of the bad rate to the good one; negative.
    clean: f64,
    /// What a defect adds; positive.
    defect: f64,
    accept: f64,
    reject: f64,
    ratio: f64,
    ended: Option<Crossed>,
}

/// A line that was crossed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Crossed {
    /// The rate is at most the target, at the test's errors.
    Pass,
    /// It is not shown to be; nothing more can be said.
    Inconclusive,
}

impl Test {
    /// A test of the rate `good` against `bad`, both between 0 and 1 and `good` the smaller, with the probabilities
    /// `alpha` to miss a good one and `beta` to pass a bad one.
    ///
    /// For a target of 10⁻⁴ at 95 %: 5·10⁻⁵ against 10⁻⁴, both errors 5 %.
    pub fn new(good: f64, bad: f64, alpha: f64, beta: f64) -> Self {
        Self {
            clean: libm::log1p(-bad) - libm::log1p(-good),
            defect: libm::log(bad / good),
            accept: libm::log(beta / (1.0 - alpha)),
            reject: libm::log((1.0 - beta) / alpha),
            ratio: 0.0,
            ended: None,
        }
    }

    /// The test for a target rate at a confidence: half the target against it, both errors 1 − `confidence`.
    pub fn for_target(target: f64, confidence: f64) -> Self {
        Self::new(target / 2.0, target, 1.0 - confidence, 1.0 - confidence)
    }

    /// Takes in `clean` units without a defect, perhaps parts of one, and then, if `defect`, one with. After a line was
    /// crossed nothing changes.
    pub fn add(&mut self, clean: f64, defect: bool) {
        for (units, step) in [(clean, self.clean), (f64::from(u8::from(defect)), self.defect)] {
            if self.ended.is_none() {
                self.ratio = units.mul_add(step, self.ratio);
                self.ended = self.line();
            }
        }
    }

    /// Takes in `clean` units and `defects` whose order is not known, and looks only behind them. A likelihood ratio may be
    /// looked at as seldom as one likes: both errors stay what they are (Ville's inequality).
    pub fn add_together(&mut self, clean: f64, defects: f64) {
        if self.ended.is_none() {
            self.ratio += clean * self.clean + defects * self.defect;
            self.ended = self.line();
        }
    }

    /// The line that the ratio lies behind now.
    fn line(&self) -> Option<Crossed> {
        if self.ratio <= self.accept {
            Some(Crossed::Pass)
        } else if self.ratio >= self.reject {
            Some(Crossed::Inconclusive)
        } else {
            None
        }
    }

    /// The line that was crossed, if one was.
    pub const fn crossed(&self) -> Option<Crossed> {
        self.ended
    }

    /// How many more clean units would pass, if a line was not crossed yet.
    pub fn still_needed(&self) -> Option<u64> {
        if self.ended.is_some() { None } else { Some(((self.accept - self.ratio) / self.clean).ceil() as u64) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkpoints_of_the_design() {
        let mut test = Test::for_target(1e-4, 0.95);
        assert_eq!(test.still_needed(), Some(58_885));
        test.add(58_884.0, false);
        assert_eq!(test.crossed(), None);
        let before = test.still_needed();
        assert_eq!(before, Some(1));
        test.add(1.0, false);
        assert_eq!((test.crossed(), test.still_needed()), (Some(Crossed::Pass), None));
        // Each defect costs ln 2 / (5.00037…·10⁻⁵) clean events.
        let mut one = Test::for_target(1e-4, 0.95);
        one.add(0.0, true);
        assert_eq!(one.still_needed(), Some(58_885 + 13_862));
    }

    #[test]
    fn what_comes_together_is_looked_at_behind_it() {
        let mut together = Test::for_target(1e-4, 0.95);
        // Five defects alone would end it.
        together.add_together(100_000.0, 5.0);
        assert_eq!(together.crossed(), None);
        together.add_together(58_885.0, 0.0);
        assert_eq!(together.crossed(), Some(Crossed::Pass));
        together.add_together(0.0, 100.0);
        assert_eq!(together.crossed(), Some(Crossed::Pass), "no way back");
    }

    #[test]
    fn too_many_defects_end_it_for_good() {
        let mut test = Test::for_target(1e-4, 0.95);
        for _ in 0..4 {
            test.add(0.0, true);
        }
        assert_eq!(test.crossed(), None, "four defects: 4 ln 2 < ln 19");
        test.add(0.0, true);
        assert_eq!(test.crossed(), Some(Crossed::Inconclusive));
        test.add(1e9, false);
        assert_eq!(test.crossed(), Some(Crossed::Inconclusive), "no way back");
    }

    /// An independent simulation: of runs at the target rate, at most some 5 % may pass; of runs at half of it, most do.
    #[test]
    fn its_errors_are_what_they_are_said_to_be() {
        let passes = |rate: f64, seed: u64| {
            let mut state = seed;
            let mut uniform = move || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
            };
            let mut test = Test::for_target(1e-2, 0.95);
            (0..2_000_000).find_map(|_| {
                let defect = uniform() < rate;
                test.add(f64::from(u8::from(!defect)), defect);
                test.crossed()
            }) == Some(Crossed::Pass)
        };
        let share = |rate: f64| (1..=400).filter(|seed| passes(rate, seed * 7_919)).count();
        let bad = share(1e-2);
        assert!(bad <= 40, "{bad} of 400 passed at the target rate");
        let good = share(5e-3);
        assert!(good >= 360, "{good} of 400 passed at half of it");
    }
}
