//! Arrival shapes → intended times, clock-free.
//!
//! An open-loop schedule: when an event is due depends on its position alone, never on how the subject answers.
//! Computed in whole numbers from the position, so it is exact over days and does not drift.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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

/// How events arrive over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "snake_case", deny_unknown_fields)]
pub enum Arrival {
    /// Evenly spaced.
    Constant {
        /// How many per second.
        rate: Rate,
    },
}

impl Arrival {
    /// When the event at `position` is due, from the start of the traffic.
    pub fn due(&self, position: u64) -> Duration {
        match self {
            Self::Constant { rate } => {
                let per = rate.per.as_nanos();
                // Sixty-four bits are enough for nearly all, and quicker.
                let quick = u64::try_from(per).ok().and_then(|per| position.checked_mul(per));
                Duration::from_nanos(quick.map_or_else(
                    || u64::try_from(u128::from(position) * per / u128::from(rate.events)).unwrap_or(u64::MAX),
                    |nanos| nanos / rate.events,
                ))
            }
        }
    }

    /// How many positions fall into a window of this length, at least 1.
    pub fn events_in(&self, window: Duration) -> u64 {
        match self {
            Self::Constant { rate } => {
                let events = window.as_nanos() * u128::from(rate.events) / rate.per.as_nanos();
                u64::try_from(events).unwrap_or(u64::MAX).max(1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constant(events: u64) -> Arrival {
        Arrival::Constant { rate: Rate::new(events, Duration::from_secs(1)).unwrap() }
    }

    #[test]
    fn constant_is_exact_over_days() {
        // 3 a second does not divide a second: an accumulated gap would drift by 86 µs a day.
        let (arrival, day) = (constant(3), 86_400);
        assert_eq!(arrival.due(3 * day * 30), Duration::from_secs(day * 30));
        assert_eq!(arrival.due(1), Duration::from_nanos(333_333_333));
        assert_eq!(arrival.due(2), Duration::from_nanos(666_666_666));
    }

    #[test]
    fn windows_hold_what_is_due_in_them() {
        assert_eq!(constant(5_000).events_in(Duration::from_secs(2)), 10_000);
        assert_eq!(constant(1).events_in(Duration::ZERO), 1);
    }

    #[test]
    fn no_rate_without_events_or_time() {
        assert_eq!(Rate::new(0, Duration::from_secs(1)), None);
        assert_eq!(Rate::new(1, Duration::ZERO), None);
    }
}
