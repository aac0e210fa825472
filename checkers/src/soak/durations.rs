//! How long events of all windows took, in bins that are a percent wide, so that they are few however many events there are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    checks::{NotReached, Quantile},
    details::distribution::{Distribution, Point, quantiles},
};

/// The first bin ends here, in seconds.
const FINEST: f64 = 1e-3;
/// Each further one ends so many times later.
const WIDTH: f64 = 1.01;

/// How long events took.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Durations {
    bins: BTreeMap<u32, f64>,
    unseen: f64,
    slowest: f64,
}

impl Durations {
    /// Takes in a window's distribution: what lies between two of its points counts by the later one.
    pub(super) fn add(&mut self, window: &Distribution) {
        let n = window.n as f64;
        let mut before = 0.0;
        for point in &window.points {
            let events = (point.q - before).max(0.0) * n;
            before = before.max(point.q);
            match point.value {
                Some(seconds) => {
                    *self.bins.entry(bin(seconds)).or_default() += events;
                    self.slowest = self.slowest.max(seconds);
                }
                None => self.unseen += events,
            }
        }
    }

    fn all(&self) -> f64 {
        self.bins.values().sum::<f64>() + self.unseen
    }

    pub(super) fn n(&self) -> u64 {
        self.all().round() as u64
    }

    pub(super) fn unseen(&self) -> u64 {
        self.unseen.round() as u64
    }

    /// The quantile `q`, at most a percent too late.
    pub(super) fn quantile(&self, q: f64) -> Option<Quantile> {
        let all = self.all();
        if all <= 0.0 {
            return None;
        }
        // Sums of parts may be off in the last digits.
        let wanted = q * all * (1.0 - 1e-12);
        let mut below = 0.0;
        let reached = self.bins.iter().find(|(_, events)| {
            below += **events;
            below >= wanted
        });
        Some(match reached {
            Some((bin, _)) => Quantile::Seconds(end(*bin).min(self.slowest)),
            None => Quantile::NotReached(NotReached::NotReached),
        })
    }

    pub(super) fn distribution(&self) -> Distribution {
        let n = self.n();
        let points = quantiles(n).map(|q| {
            let value = match self.quantile(q) {
                Some(Quantile::Seconds(seconds)) => Some(seconds),
                Some(Quantile::NotReached(_)) | None => None,
            };
            Point { q, lower: None, value, upper: None }
        });
        Distribution { n, points: points.collect() }
    }
}

fn bin(seconds: f64) -> u32 {
    (libm::log((seconds / FINEST).max(1.0)) / libm::log(WIDTH)).ceil() as u32
}

fn end(bin: u32) -> f64 {
    FINEST * libm::pow(WIDTH, f64::from(bin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(n: u64, points: &[(f64, Option<f64>)]) -> Distribution {
        let points = points.iter().map(|(q, value)| Point { q: *q, lower: None, value: *value, upper: None });
        Distribution { n, points: points.collect() }
    }

    fn seconds(durations: &Durations, q: f64) -> f64 {
        match durations.quantile(q) {
            Some(Quantile::Seconds(seconds)) => seconds,
            _ => f64::INFINITY,
        }
    }

    #[test]
    fn windows_weigh_as_many_as_they_have_events() {
        let mut durations = Durations::default();
        durations.add(&window(900, &[(0.0, Some(0.1)), (0.5, Some(0.5)), (1.0, Some(1.0))]));
        durations.add(&window(100, &[(0.0, Some(2.0)), (0.5, Some(3.0)), (1.0, Some(4.0))]));
        assert_eq!((durations.n(), durations.unseen()), (1_000, 0));
        for (q, expected) in [(0.45, 0.5), (0.5, 1.0), (0.9, 1.0), (0.95, 3.0), (0.96, 4.0), (1.0, 4.0)] {
            let found = seconds(&durations, q);
            assert!(found >= expected * (1.0 - 1e-9) && found <= expected * 1.0101, "{q}: {found} is not {expected}");
        }
    }

    #[test]
    fn the_unseen_are_later_than_everything_and_no_event_has_no_quantile() {
        let mut durations = Durations::default();
        assert_eq!(durations.quantile(0.5), None);
        durations.add(&window(100, &[(0.0, Some(1.0)), (0.9, Some(1.0)), (1.0, None)]));
        assert!(seconds(&durations, 0.9) <= 1.0 && seconds(&durations, 0.91).is_infinite());
        assert_eq!(durations.unseen(), 10);
    }
}
