//! Distributions of times as points of a percentile plot, with distribution-free bounds where they are judged.

use serde::{Deserialize, Serialize};

use crate::{
    reconcile::spans::{Spans, Split},
    statistics::quantiles::{bounds, rank},
};

/// How long events took to be visible, in seconds from the intended send.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Distribution {
    /// Among how many events.
    pub n: u64,
    /// The points, in ascending order.
    pub points: Vec<Point>,
}

/// One quantile with its bounds at the run's confidence; none where it is not reached, or not bounded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Which quantile, from 0 to 1.
    pub q: f64,
    /// At least so long.
    pub lower: Option<f64>,
    /// What was measured.
    pub value: Option<f64>,
    /// At most so long.
    pub upper: Option<f64>,
}

/// How long events spent between two stages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageDistribution {
    /// From which to which.
    pub stage: String,
    /// The times.
    pub times: Distribution,
}

/// The quantiles that are worth drawing of `n` events: even steps up to the median, and then ever finer ones, as many for
/// each nine, up to the slowest event.
pub(crate) fn quantiles(n: u64) -> impl Iterator<Item = f64> {
    let nines = (n as f64).log10();
    let tail = (3..).map(|step| f64::from(step) / 10.0).take_while(move |step| *step < nines);
    let body = (0..10).map(|step| f64::from(step) / 20.0);
    body.chain(tail.map(|nines| 1.0 - 10f64.powf(-nines))).chain([1.0]).filter(move |_| n > 0)
}

impl Distribution {
    /// The times to visible; `together` of them are worth one.
    pub fn of(spans: &Spans, together: f64, confidence: f64) -> Self {
        let n = spans.n();
        let points = quantiles(n).map(|q| {
            let bounds = bounds(n, q, together, confidence);
            Point {
                q,
                lower: bounds.lower.and_then(|rank| spans.left_at(rank)),
                value: rank(n, q).and_then(|rank| spans.right_at(rank)),
                upper: bounds.upper.and_then(|rank| spans.right_at(rank)),
            }
        });
        Self { n, points: points.collect() }
    }
}

impl StageDistribution {
    /// The times of each stage that any event has passed.
    pub fn all(split: &Split) -> Vec<Self> {
        let parts = Split::PARTS.into_iter().zip(split.quantile(0.5)).enumerate();
        parts
            .filter(|(_, (_, (n, _)))| *n > 0)
            .map(|(part, (stage, (n, _)))| {
                let point = |q| Point { q, lower: None, value: split.quantile(q)[part].1, upper: None };
                Self { stage: stage.to_owned(), times: Distribution { n, points: quantiles(n).map(point).collect() } }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::spans::TimeToVisible;

    #[test]
    fn quantiles_reach_as_far_as_the_events_do() {
        assert_eq!(quantiles(0).count(), 0);
        assert_eq!(quantiles(1).collect::<Vec<_>>().len(), 11);
        for n in [1_000, 100_000_000] {
            let all: Vec<f64> = quantiles(n).collect();
            assert!(all.is_sorted() && all.len() < 100, "{all:?}");
            assert!((1.0 - all[all.len() - 2]) * n as f64 >= 1.0, "no quantile lies behind the slowest but itself");
            assert!(all.iter().any(|q| (q - 0.99).abs() < 1e-9));
        }
    }

    #[test]
    fn points_lie_between_their_bounds_and_the_unseen_are_not_reached() {
        let mut spans = Spans::default();
        for ms in 1..=1_000 {
            let by = f64::from(ms) / 1e3;
            spans.add(TimeToVisible { after: by, by: Some(by), seen: true }, 1);
        }
        spans.add(TimeToVisible { after: 9.0, by: None, seen: false }, 5);
        let distribution = Distribution::of(&spans, 1.0, 0.95);
        assert_eq!(distribution.n, 1_005);
        for point in &distribution.points {
            if let (Some(lower), Some(value)) = (point.lower, point.value) {
                assert!(lower <= value && point.upper.is_none_or(|upper| value <= upper), "{point:?}");
            }
        }
        assert_eq!(distribution.points.last().map(|point| point.value), Some(None));
    }

    #[test]
    fn stages_without_events_are_left_out() {
        let mut split = Split::default();
        split.add([(Some(0.0), Some(0.5)), (None, None), (None, None)], 7);
        let all = StageDistribution::all(&split);
        assert_eq!(
            all.iter().map(|stage| (stage.stage.as_str(), stage.times.n)).collect::<Vec<_>>(),
            [(Split::PARTS[0], 7)]
        );
    }
}
