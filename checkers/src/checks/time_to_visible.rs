//! `time_to_visible`: from the intended send to the first query that could see the event.
//!
//! "p99 is within L" is judged as the rate of events later than L against 1 %, with the very rule of `loss`. What is only
//! known to lie in a span counts by its right end for a pass and by its left end for a fail. An unseen event is later than
//! everything for a pass, so losing the slowest never improves p99.

use serde::{Deserialize, Serialize};

use super::{CheckResult, Independence, Targets, rate};
use crate::{
    reconcile::{evidence::Evidence, spans::Spans},
    statistics::quantiles,
};

const NAME: &str = "time_to_visible";
/// The share that may be later than the limit, for p99.
const TAIL: f64 = 0.01;

pub(super) fn check(evidence: &Evidence, targets: &Targets) -> CheckResult {
    let Some(limit) = targets.p99_time_to_visible else {
        let reason = "the scenario sets no limit".into();
        return CheckResult { n: evidence.spans.n(), reason, ..CheckResult::without_rate(NAME) };
    };
    let counted = rate::Counted { worst: &evidence.late.worst, best: &evidence.late.best };
    let what = format!("were not visible within {} s", limit.as_secs_f64());
    rate::judge(NAME, &counted, TAIL, targets, (&what, "acked events"))
}

/// A quantile: seconds, or not reached because more events than that were never seen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Quantile {
    /// So many seconds.
    Seconds(f64),
    /// Never.
    NotReached(NotReached),
}

/// The word for a quantile that lies among the unseen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotReached {
    /// More events than that were never seen.
    NotReached,
}

/// The distribution of time-to-visible, in seconds from the intended send. Quantiles are by the right end of each span;
/// their upper bounds too, their lower bounds by the left end, all one-sided at the run's confidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "quantiles and their bounds: the names say it")]
pub struct Times {
    /// Where it counts from.
    pub from: String,
    /// Among how many events.
    pub n: u64,
    /// How many of them were never seen.
    pub unseen: u64,
    pub p50: Option<Quantile>,
    pub p50_lower: Option<Quantile>,
    pub p50_upper: Option<Quantile>,
    pub p90: Option<Quantile>,
    pub p90_lower: Option<Quantile>,
    pub p90_upper: Option<Quantile>,
    pub p99: Option<Quantile>,
    pub p99_lower: Option<Quantile>,
    pub p99_upper: Option<Quantile>,
    pub p999: Option<Quantile>,
    pub p999_lower: Option<Quantile>,
    pub p999_upper: Option<Quantile>,
    /// The slowest.
    pub max: Option<Quantile>,
}

/// A quantile between its bounds.
struct Bounded {
    lower: Option<Quantile>,
    value: Option<Quantile>,
    upper: Option<Quantile>,
}

impl Times {
    /// How many events are worth one.
    pub(crate) fn together(evidence: &Evidence, targets: &Targets) -> f64 {
        match targets.independence {
            Independence::Event => 1.0,
            Independence::Request => {
                // The population of the loss check is that of the times, but for events without a time of sending.
                let requests = evidence.loss.by_request.clusters;
                if requests == 0 { 1.0 } else { (evidence.spans.n() as f64 / requests as f64).max(1.0) }
            }
            Independence::Events(events) => events.max(1.0),
        }
    }

    /// The distribution of the times in `evidence`, with distribution-free bounds.
    pub fn of(evidence: &Evidence, targets: &Targets) -> Self {
        let spans = &evidence.spans;
        let n = spans.n();
        let together = Self::together(evidence, targets);
        let of = |quantile| bounded(spans, quantile, together, targets.confidence);
        let (p50, p90, p99, p999) = (of(0.5), of(0.9), of(0.99), of(0.999));
        Self {
            from: "intended".into(),
            n,
            unseen: spans.unseen(),
            p50: p50.value,
            p50_lower: p50.lower,
            p50_upper: p50.upper,
            p90: p90.value,
            p90_lower: p90.lower,
            p90_upper: p90.upper,
            p99: p99.value,
            p99_lower: p99.lower,
            p99_upper: p99.upper,
            p999: p999.value,
            p999_lower: p999.lower,
            p999_upper: p999.upper,
            max: if n == 0 { None } else { Some(reached(spans.right_at(n))) },
        }
    }
}

fn bounded(spans: &Spans, quantile: f64, together: f64, confidence: f64) -> Bounded {
    let n = spans.n();
    let Some(rank) = quantiles::rank(n, quantile) else { return Bounded { lower: None, value: None, upper: None } };
    let bounds = quantiles::bounds(n, quantile, together, confidence);
    Bounded {
        // Times are not negative, whatever was seen.
        lower: Some(Quantile::Seconds(bounds.lower.and_then(|rank| spans.left_at(rank)).unwrap_or(0.0))),
        value: Some(reached(spans.right_at(rank))),
        upper: Some(reached(bounds.upper.and_then(|rank| spans.right_at(rank)))),
    }
}

fn reached(seconds: Option<f64>) -> Quantile {
    seconds.map_or(Quantile::NotReached(NotReached::NotReached), Quantile::Seconds)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        checks::tests::{TARGETS, population},
        reconcile::{evidence::Late, spans::TimeToVisible},
        verdict::Verdict,
    };

    const LIMIT: Targets = Targets { p99_time_to_visible: Some(Duration::from_secs(5)), ..TARGETS };

    /// The evidence of these times: what classification makes of them.
    fn evidence(times: &[TimeToVisible]) -> Evidence {
        let n = times.len() as u64;
        let worst = times.iter().filter(|time| time.by.is_none_or(|by| by > 5.0)).count() as u64;
        let best = times.iter().filter(|time| time.after > 5.0).count() as u64;
        let late = Late { worst: population(worst, n), best: population(best, n) };
        let mut evidence = Evidence { late, ..Evidence::default() };
        for time in times {
            evidence.spans.add(*time, 1);
        }
        evidence
    }

    fn verdict(times: &[TimeToVisible]) -> Verdict {
        check(&evidence(times), &LIMIT).verdict
    }

    fn times(fast: usize, late: usize, unseen: usize) -> Vec<TimeToVisible> {
        let time = |after, by: Option<f64>| TimeToVisible { after, by, seen: by.is_some() };
        [vec![time(0.9, Some(1.0)); fast], vec![time(6.0, Some(7.0)); late], vec![time(9.0, None); unseen]].concat()
    }

    #[test]
    fn judged_as_the_rate_of_the_late() {
        assert_eq!(verdict(&times(1_000 - 4, 4, 0)), Verdict::Pass);
        assert_eq!(verdict(&times(1_000 - 5, 5, 0)), Verdict::Inconclusive);
        assert_eq!(verdict(&times(1_000 - 16, 16, 0)), Verdict::Fail);
        assert_eq!(verdict(&times(298, 0, 0)), Verdict::Inconclusive, "too few");
        assert_eq!(verdict(&times(0, 0, 0)), Verdict::Inconclusive);
        assert_eq!(check(&evidence(&times(9, 0, 0)), &TARGETS).verdict, Verdict::NotApplicable);
    }

    #[test]
    fn losing_the_slowest_never_helps() {
        assert_eq!(verdict(&times(1_000 - 16, 0, 16)), Verdict::Fail);
        let unseen_but_young = vec![TimeToVisible { after: 1.0, by: None, seen: false }; 16];
        let all = [times(1_000 - 16, 0, 0), unseen_but_young].concat();
        assert_eq!(verdict(&all), Verdict::Inconclusive, "missing, but not yet for longer than the limit");
        let spanning = vec![TimeToVisible { after: 4.0, by: Some(6.0), seen: true }; 16];
        let result = check(&evidence(&[times(1_000 - 16, 0, 0), spanning].concat()), &LIMIT);
        assert_eq!(result.verdict, Verdict::Inconclusive, "around the limit");
        assert!(result.reason.contains("0 for certain"), "{}", result.reason);
    }

    #[test]
    fn quantiles_have_bounds_and_the_unseen_are_beyond_all() {
        let ramp: Vec<_> = (1..=1_000)
            .map(|ms| TimeToVisible { after: f64::from(ms) / 1e3 - 0.0005, by: Some(f64::from(ms) / 1e3), seen: true })
            .collect();
        let of = |times: &[TimeToVisible]| Times::of(&evidence(times), &TARGETS);
        let close = |quantile, expected: f64| match quantile {
            Some(Quantile::Seconds(seconds)) => {
                assert!((seconds - expected).abs() < 0.0015, "{seconds} is not {expected}");
            }
            other => panic!("{other:?} is not {expected}"),
        };
        let ramped = of(&ramp);
        close(ramped.p50, 0.5);
        close(ramped.p99, 0.99);
        close(ramped.max, 1.0);
        // 4 late of 1 000 still pass, 16 fail: rank 996 leaves 4 above it, and below rank 985 there would be 16.
        close(ramped.p99_upper, 0.996);
        close(ramped.p99_lower, 0.9845);
        let lossy = of(&[ramp, times(0, 0, 20)].concat());
        assert_eq!(lossy.p99, Some(reached(None)));
        close(lossy.p50, 0.51);
        assert_eq!((lossy.unseen, lossy.max), (20, Some(reached(None))));
        let none = of(&[]);
        assert_eq!((none.p99, none.p99_upper, none.max), (None, None, None));
        assert_eq!(of(&times(100, 0, 0)).p99_upper, Some(reached(None)), "100 events do not bound p99");
        let unseen = of(&times(0, 0, 500));
        assert_eq!((unseen.p50, unseen.p50_upper), (Some(reached(None)), Some(reached(None))));
        assert!(matches!(unseen.p50_lower, Some(Quantile::Seconds(s)) if (s - 9.0).abs() < 0.01), "{unseen:?}");
    }

    #[test]
    fn ties_are_no_trouble() {
        let tied = Times::of(&evidence(&times(1_000, 0, 0)), &TARGETS);
        let same = |quantile: Option<Quantile>, expected: f64| matches!(quantile, Some(Quantile::Seconds(s)) if (s / expected - 1.0).abs() < 1e-3);
        assert!(same(tied.p50, 1.0) && same(tied.p99_upper, 1.0) && same(tied.p99_lower, 0.9), "{tied:?}");
    }
}
