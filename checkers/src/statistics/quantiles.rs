//! Distribution-free bounds for a quantile, as ranks of the ordered sample.
//!
//! David and Nagaraja, Order Statistics, 3rd edition, section 7.1: how many events lie beyond the true quantile is
//! binomial whatever the distribution, so an event that leaves few enough beyond it bounds the quantile from above, and
//! one that leaves many enough from below. Events that were never seen lie beyond all others.

use super::binomial;

/// Ranks from 1, in ascending order, of the events that bound a quantile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RankBounds {
    /// The quantile is at least the value at this rank; `None` where no event bounds it from below.
    pub lower: Option<u64>,
    /// The quantile is at most the value at this rank; `None` where no event bounds it from above.
    pub upper: Option<u64>,
}

/// The rank of the sample quantile `q` (0 to 1) among `n` events: the least that has q·n events at or below it.
pub fn rank(n: u64, q: f64) -> Option<u64> {
    if n == 0 { None } else { Some(((q * n as f64).ceil() as u64).clamp(1, n)) }
}

/// One-sided bounds at `confidence` each for the quantile `q` of `n` events, of which `together` are worth one.
pub fn bounds(n: u64, q: f64, together: f64, confidence: f64) -> RankBounds {
    let (tail, size) = (1.0 - q, n as f64 / together);
    let upper = greatest(n, |beyond| binomial::upper(beyond as f64 / together, size, confidence) <= tail);
    let lower = greatest(n, |beyond| binomial::lower(beyond as f64 / together, size, confidence) <= tail);
    RankBounds {
        // Were the quantile below that event, one more would lie beyond it: too many for the tail.
        lower: lower.map(|beyond| n - beyond).filter(|rank| *rank > 0),
        upper: upper.map(|beyond| n - beyond).filter(|rank| *rank > 0),
    }
}

/// The greatest number up to `n` for which `holds`, which is true up to somewhere and false from there on.
fn greatest(n: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
    if n == 0 || !holds(0) {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// P(X ≤ k) for a binomial X, summed: the classical way to the same ranks.
    fn at_most(k: i64, n: u64, p: f64) -> f64 {
        let mut term = libm::exp(n as f64 * libm::log1p(-p));
        let mut sum = 0.0;
        for i in 0..=k {
            sum += term;
            term *= (n as i64 - i) as f64 / (i + 1) as f64 * p / (1.0 - p);
        }
        sum
    }

    #[test]
    fn published_and_limiting_cases() {
        // The median of 10 at 95 % one-sided: ranks 2 and 9 (Conover, Practical Nonparametric Statistics, table A3).
        assert_eq!(bounds(10, 0.5, 1.0, 0.95), RankBounds { lower: Some(2), upper: Some(9) });
        assert_eq!(bounds(0, 0.99, 1.0, 0.95), RankBounds { lower: None, upper: None });
        assert_eq!(bounds(298, 0.99, 1.0, 0.95).upper, None, "298 events do not bound p99");
        assert_eq!(bounds(299, 0.99, 1.0, 0.95).upper, Some(299));
        assert_eq!(bounds(2_990, 0.99, 10.0, 0.95).upper, Some(2_990), "299 independent ones of ten each");
        assert_eq!(bounds(1_000, 0.99, 1.0, 0.95), RankBounds { lower: Some(985), upper: Some(996) });
        assert_eq!((rank(0, 0.5), rank(1, 0.5), rank(1_000, 0.99), rank(7, 1.0)), (None, Some(1), Some(990), Some(7)));
    }

    proptest! {
        /// Events that share one fate by tens bound no better than a tenth of them, each by itself.
        #[test]
        fn ranks_of_events_together_are_those_of_so_many_fewer(n in 1u64..400, together in 2u64..20, q in 0.05f64..0.98) {
            let (few, many) = (bounds(n, q, 1.0, 0.95), bounds(n * together, q, together as f64, 0.95));
            for (few, many) in [(few.lower, many.lower), (few.upper, many.upper)] {
                // Between two ranks of the few lie those of the many; at the ends there may be none of the few.
                match (few, many) {
                    (Some(few), Some(many)) => prop_assert!(many > (few - 1) * together && many <= few * together),
                    (None, Some(many)) => prop_assert!(many <= together),
                    (few, many) => prop_assert_eq!(few, many),
                }
            }
        }

        #[test]
        fn ranks_are_those_of_the_binomial(n in 1u64..150, q in 0.05f64..0.98, confidence in 0.6f64..0.99) {
            let bounds = bounds(n, q, 1.0, confidence);
            let surely_below = |rank: u64| at_most(rank as i64 - 1, n, q) >= confidence;
            let surely_above = |rank: u64| 1.0 - at_most(rank as i64 - 1, n, q) >= confidence;
            // Ranks whose probability is the confidence to the last digit may fall to either side.
            let exact = |rank: u64| {
                let below = at_most(rank as i64 - 1, n, q);
                (below - confidence).abs() < 1e-9 || (1.0 - below - confidence).abs() < 1e-9
            };
            let upper = (1..=n).find(|rank| surely_below(*rank));
            let lower = (1..=n).rev().find(|rank| surely_above(*rank));
            prop_assume!(!(1..=n).any(exact));
            prop_assert_eq!(bounds, RankBounds { lower, upper });
        }
    }
}
