//! `time_to_visible`: from the intended send to the first query that could see the event.
//!
//! "p99 is within L" is judged as the rate of events later than L against 1 %, with the very rule of `loss`. What is only
//! known to lie in a span counts by its right end for a pass and by its left end for a fail. An unseen event is later than
//! everything for a pass, so losing the slowest never improves p99.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{CheckResult, Targets, rate};
use crate::{
    reconcile::evidence::{Evidence, TimeToVisible},
    statistics::binomial,
    verdict::Verdict,
};

const NAME: &str = "time_to_visible";
/// The share that may be later than the limit, for p99.
const TAIL: f64 = 0.01;

pub(super) fn check(evidence: &Evidence, targets: &Targets) -> CheckResult {
    let Some(limit) = targets.p99_time_to_visible else {
        return CheckResult {
            name: NAME.into(),
            verdict: Verdict::NotApplicable,
            measured: None,
            lower: None,
            upper: None,
            target: None,
            k: 0,
            n: evidence.times.len() as u64,
            n_effective: None,
            deff: None,
            reason: "the scenario sets no limit".into(),
        };
    };
    let limit = limit.as_secs_f64();
    let counted = rate::Counted {
        worst: evidence.times.iter().filter(|time| time.by.is_none_or(|by| by > limit)).count() as u64,
        best: evidence.times.iter().filter(|time| time.after > limit).count() as u64,
        n: evidence.times.len() as u64,
    };
    let what = format!("were not visible within {limit} s");
    rate::judge(NAME, &counted, TAIL, targets.confidence, (&what, "acked events"))
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

/// The distribution of time-to-visible, in seconds from the intended send, by the right end of each span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Where it counts from.
    pub from: String,
    /// Among how many events.
    pub n: u64,
    /// How many of them were never seen.
    pub unseen: u64,
    /// The median.
    pub p50: Option<Quantile>,
    /// The 90th percentile.
    pub p90: Option<Quantile>,
    /// The 99th percentile.
    pub p99: Option<Quantile>,
    /// The least p99 that the run does not exclude.
    pub p99_lower: Option<Quantile>,
    /// The greatest.
    pub p99_upper: Option<Quantile>,
    /// The 99.9th percentile.
    pub p999: Option<Quantile>,
    /// The slowest.
    pub max: Option<Quantile>,
}

impl Times {
    /// The distribution of `times`, with distribution-free bounds for p99: order statistics, by the binomial bounds for
    /// the number of events beyond them (David and Nagaraja, Order Statistics, 3rd edition, section 7.1).
    pub fn of(times: &[TimeToVisible], confidence: f64) -> Self {
        let n = times.len() as u64;
        let ordered = Ordered::new(times);
        // The bounds leave `beyond` events above them; the greatest and the least number that the tail still allows.
        let beyond_upper = largest(n, |beyond| binomial::upper(beyond as f64, n as f64, confidence) <= TAIL);
        let beyond_lower =
            largest(n, |beyond| binomial::lower(beyond as f64, n as f64, confidence) <= TAIL).map(|beyond| beyond + 1);
        Self {
            from: "intended".into(),
            n,
            unseen: ordered.unseen,
            p50: ordered.quantile(0.5),
            p90: ordered.quantile(0.9),
            p99: ordered.quantile(0.99),
            p99_lower: if n == 0 {
                None
            } else {
                beyond_lower.map_or(Some(Quantile::Seconds(0.0)), |beyond| ordered.leaving(n, beyond))
            },
            p99_upper: if n == 0 {
                None
            } else {
                beyond_upper.map_or(NOT_REACHED, |beyond| ordered.leaving(n, beyond))
            },
            p999: ordered.quantile(0.999),
            max: if n == 0 { None } else { ordered.at_rank(n) },
        }
    }
}

const NOT_REACHED: Option<Quantile> = Some(Quantile::NotReached(NotReached::NotReached));

/// The greatest number up to `n` for which `holds`, which is true up to somewhere and false from there on.
fn largest(n: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
    if !holds(0) {
        return None;
    }
    let (mut good, mut bad) = (0, n + 1);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if holds(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    Some(good)
}

/// Times in their order, the unseen last, kept to a tenth of a percent.
struct Ordered {
    seen: Option<Histogram<u64>>,
    unseen: u64,
}

impl Ordered {
    fn new(times: &[TimeToVisible]) -> Self {
        // In microseconds, up to 12 days; the bounds are constants that the constructor accepts.
        let mut seen = Histogram::<u64>::new_with_bounds(1, 1 << 40, 3).ok();
        let mut unseen = 0;
        for time in times {
            match (time.by, &mut seen) {
                (Some(by), Some(seen)) => seen.saturating_record((by.max(0.0) * 1e6).round() as u64),
                _ => unseen += 1,
            }
        }
        Self { seen, unseen }
    }

    fn quantile(&self, quantile: f64) -> Option<Quantile> {
        let n = self.seen.as_ref().map_or(0, Histogram::len) + self.unseen;
        if n == 0 { None } else { self.at_rank(((quantile * n as f64).ceil() as u64).max(1)) }
    }

    /// The value that leaves `beyond` events above it.
    fn leaving(&self, n: u64, beyond: u64) -> Option<Quantile> {
        if beyond >= n { Some(Quantile::Seconds(0.0)) } else { self.at_rank(n - beyond) }
    }

    /// The value at `rank`, from 1.
    fn at_rank(&self, rank: u64) -> Option<Quantile> {
        let seen = self.seen.as_ref()?;
        if rank > seen.len() {
            return NOT_REACHED;
        }
        let value = seen.value_at_quantile(rank as f64 / seen.len() as f64);
        Some(Quantile::Seconds(value.min(seen.max()) as f64 / 1e6))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn targets(limit: u64) -> Targets {
        Targets {
            loss: 1e-4,
            correctness: 1e-4,
            confidence: 0.95,
            p99_time_to_visible: Some(Duration::from_secs(limit)),
        }
    }

    fn verdict(times: Vec<TimeToVisible>) -> Verdict {
        check(&Evidence { times, ..Evidence::default() }, &targets(5)).verdict
    }

    fn times(fast: usize, late: usize, unseen: usize) -> Vec<TimeToVisible> {
        let time = |after, by| TimeToVisible { after, by };
        [vec![time(0.9, Some(1.0)); fast], vec![time(6.0, Some(7.0)); late], vec![time(9.0, None); unseen]].concat()
    }

    #[test]
    fn judged_as_the_rate_of_the_late() {
        assert_eq!(verdict(times(1_000 - 4, 4, 0)), Verdict::Pass);
        assert_eq!(verdict(times(1_000 - 5, 5, 0)), Verdict::Inconclusive);
        assert_eq!(verdict(times(1_000 - 16, 16, 0)), Verdict::Fail);
        assert_eq!(verdict(times(298, 0, 0)), Verdict::Inconclusive, "too few");
        assert_eq!(verdict(times(0, 0, 0)), Verdict::Inconclusive);
    }

    #[test]
    fn losing_the_slowest_never_helps() {
        assert_eq!(verdict(times(1_000 - 16, 0, 16)), Verdict::Fail);
        let unseen_but_young = vec![TimeToVisible { after: 1.0, by: None }; 16];
        let all = [times(1_000 - 16, 0, 0), unseen_but_young].concat();
        assert_eq!(verdict(all), Verdict::Inconclusive, "missing, but not yet for longer than the limit");
        let spanning = vec![TimeToVisible { after: 4.0, by: Some(6.0) }; 16];
        assert_eq!(verdict([times(1_000 - 16, 0, 0), spanning].concat()), Verdict::Inconclusive, "around the limit");
    }

    #[test]
    fn quantiles_have_bounds_and_the_unseen_are_beyond_all() {
        let ramp: Vec<_> = (1..=1_000).map(|ms| TimeToVisible { after: 0.0, by: Some(f64::from(ms) / 1e3) }).collect();
        let of = |times: &[TimeToVisible]| Times::of(times, 0.95);
        let seconds = |quantile| match quantile {
            Some(Quantile::Seconds(seconds)) => seconds,
            other => panic!("{other:?}"),
        };
        let close = |quantile, expected: f64| {
            let seconds = seconds(quantile);
            assert!((seconds - expected).abs() < 0.002, "{seconds} is not {expected}");
        };
        close(of(&ramp).p50, 0.5);
        close(of(&ramp).p99, 0.99);
        close(of(&ramp).max, 1.0);
        // 4 late of 1 000 still pass, 16 fail: the bounds lie at the ranks that leave 4 and 16 above them.
        close(of(&ramp).p99_upper, 0.996);
        close(of(&ramp).p99_lower, 0.984);
        let lossy = [ramp, times(0, 0, 20)].concat();
        assert_eq!(of(&lossy).p99, NOT_REACHED);
        close(of(&lossy).p50, 0.51);
        assert_eq!((of(&lossy).unseen, of(&lossy).max), (20, NOT_REACHED));
        assert_eq!(of(&[]).p99, None);
        assert_eq!(of(&times(100, 0, 0)).p99_upper, NOT_REACHED, "100 events do not bound p99");
    }
}
