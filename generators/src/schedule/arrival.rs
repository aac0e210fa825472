//! How events arrive over time, as it is said.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Schedule;
use crate::identity::StreamId;

/// Events per second, above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// How many events …
    pub events: u64,
    /// … in how long.
    pub per: Duration,
}

impl Rate {
    /// `None` when it would be zero or endless.
    pub fn new(events: u64, per: Duration) -> Option<Self> {
        (events > 0 && !per.is_zero()).then_some(Self { events, per })
    }

    /// Events per second as a number, for people.
    pub fn per_second(self) -> f64 {
        self.events as f64 / self.per.as_secs_f64()
    }
}

/// How events arrive over time. Whatever the shape, the schedule is open: it waits for nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "snake_case", deny_unknown_fields)]
pub enum Arrival {
    /// Evenly spaced.
    Constant {
        /// How many per second.
        rate: Rate,
    },
    /// At random, as independent users do: a Poisson process, given that blocks of 2²⁴ events (of 30 years at most) last exactly
    /// as long as the rate says, so that it does not drift.
    Poisson {
        /// How many per second, in the mean.
        rate: Rate,
    },
    /// From one rate evenly to another, which then stays.
    Ramp {
        /// At the start.
        from: Rate,
        /// In the end.
        to: Rate,
        /// How long it takes to get there.
        over: Duration,
    },
    /// One rate after another; the last one stays.
    Step {
        /// In their order, at least one.
        steps: Vec<Step>,
    },
    /// A rate, and a burst at the end of each period.
    Burst {
        /// Between bursts.
        rate: Rate,
        /// In a burst.
        burst: Rate,
        /// How long a period is.
        every: Duration,
        /// How long a burst is, shorter than a period.
        #[serde(rename = "for")]
        lasting: Duration,
    },
    /// From a low rate to a high one and back, as a sine, period after period; 96 straight pieces each.
    Diurnal {
        /// At the start of a period.
        low: Rate,
        /// In its middle.
        high: Rate,
        /// How long it is.
        period: Duration,
    },
}

impl Arrival {
    /// How many events its rates make in this time, at least 1.
    pub fn events_in(&self, time: Duration) -> u64 {
        self.mean().before(time).max(1)
    }

    /// How long its rates need for so many events.
    pub fn lasts(&self, events: u64) -> Duration {
        self.mean().due(events)
    }

    /// The schedule without what is random in it.
    fn mean(&self) -> Schedule {
        let mean = match self {
            Self::Poisson { rate } => Self::Constant { rate: *rate },
            other => other.clone(),
        };
        Schedule::new(&mean, 0, StreamId(0))
    }
}

/// A rate for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The rate.
    pub rate: Rate,
    /// For how long.
    #[serde(rename = "for")]
    pub lasting: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rate_without_events_or_time() {
        assert_eq!(Rate::new(0, Duration::from_secs(1)), None);
        assert_eq!(Rate::new(1, Duration::ZERO), None);
    }
}
