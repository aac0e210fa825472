//! When the subject was disturbed on purpose, and what that changes: how long an event may be missing, and whose failures
//! say nothing against it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A planned fault, as it went. Seconds from the start of sending.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultFacts {
    /// What was done, to what, for how long.
    pub fault: String,
    /// What it was done to.
    pub target: String,
    /// When it was to begin.
    pub planned_at: f64,
    /// When it began; none if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<f64>,
    /// When it was healed; none if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healed: Option<f64>,
    /// Why it could not be carried out or healed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// The stretches of time in which the subject was disturbed, from the start of sending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Disturbed(Vec<(Duration, Duration)>);

impl Disturbed {
    /// Disturbed in these stretches, each from its begin to its end.
    pub const fn new(stretches: Vec<(Duration, Duration)>) -> Self {
        Self(stretches)
    }

    /// When the last of them ends; zero if there is none.
    pub fn until(&self) -> Duration {
        self.0.iter().map(|(_, end)| *end).max().unwrap_or_default()
    }

    /// Whether anything between `from` and `to` lies in one of them.
    pub fn touches(&self, from: Duration, to: Duration) -> bool {
        self.0.iter().any(|(begin, end)| from <= *end && *begin <= to)
    }
}

/// What tells an event that is missing from one that is too young to be (verdict.md, section 4).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Watermark {
    /// How old an event must be.
    pub loss_after: Duration,
    /// When the subject was disturbed: an event is not older than the end of the last planned fault.
    pub disturbed: Disturbed,
}

impl Watermark {
    /// The moment from which on an event counts as missing that was answered, or sent, at that one.
    pub fn missed_from(&self, answered: Duration) -> Duration {
        answered.max(self.disturbed.until()).saturating_add(self.loss_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_a_stretch_at_all_is_in_it() {
        let at = Duration::from_secs;
        let disturbed = Disturbed::new(vec![(at(10), at(12)), (at(5), at(6))]);
        let touched = [(0, 4), (4, 5), (6, 9), (7, 9), (9, 20), (11, 11), (13, 20)]
            .map(|(from, to)| disturbed.touches(at(from), at(to)));
        assert_eq!(touched, [false, true, true, false, true, true, false]);
        assert_eq!((disturbed.until(), Disturbed::default().until()), (at(12), at(0)));
        assert!(!Disturbed::default().touches(at(0), Duration::MAX));
    }

    #[test]
    fn nothing_is_missed_before_the_last_fault_has_been_over_long_enough() {
        let at = Duration::from_secs;
        let watermark = Watermark { loss_after: at(3), disturbed: Disturbed::new(vec![(at(5), at(10))]) };
        assert_eq!([0, 10, 11].map(|answered| watermark.missed_from(at(answered))), [at(13), at(13), at(14)]);
    }
}
