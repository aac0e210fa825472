//! One-sided Clopper–Pearson bounds for a rate.
//!
//! Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial", Biometrika
//! 26 (1934): the bounds are quantiles of beta distributions, exact for every n and k. Counts are real numbers here,
//! since effective sizes are.

use libm::{exp, lgamma, log, log1p, pow};

/// The least rate that a sample with `k` defects in `n` does not exclude: L = Beta⁻¹(1 − c; k, n − k + 1).
///
/// `confidence` lies between 0 and 1. Without a sample nothing is excluded, and the bound is 0.
pub fn lower(k: f64, n: f64, confidence: f64) -> f64 {
    if n <= 0.0 || k <= 0.0 {
        return 0.0;
    }
    if k >= n {
        return pow(1.0 - confidence, 1.0 / n);
    }
    beta_quantile(1.0 - confidence, k, n - k + 1.0)
}

/// The greatest rate that a sample with `k` defects in `n` does not exclude: U = Beta⁻¹(c; k + 1, n − k).
///
/// `confidence` lies between 0 and 1. Without a sample nothing is excluded, and the bound is 1.
pub fn upper(k: f64, n: f64, confidence: f64) -> f64 {
    if n <= 0.0 || k >= n {
        return 1.0;
    }
    if k <= 0.0 {
        return -libm::expm1(log1p(-confidence) / n);
    }
    beta_quantile(confidence, k + 1.0, n - k)
}

/// The x with `I_x(a, b)` = p, by bisection: I is increasing in x, so it cannot go astray.
pub(super) fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    // 200 halvings end at neighbouring floating-point numbers, also near 0.
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if regularized_incomplete_beta(middle, a, b) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// `I_x(a, b)`, by Lentz's continued fraction (DLMF 8.17.22; Press et al., Numerical Recipes, 3rd edition, 6.4).
fn regularized_incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The fraction converges fast only below the mean; above it the symmetry I_x(a, b) = 1 − I_{1−x}(b, a) helps.
    let front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if x < (a + 1.0) / (a + b + 2.0) {
        front * continued_fraction(x, a, b) / a
    } else {
        1.0 - front * continued_fraction(1.0 - x, b, a) / b
    }
}

fn continued_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    // It needs some √max(a, b) steps; 10⁶ are enough for counts of 10¹¹.
    for step in 1..1_000_000 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away_from_zero(1.0 + even * d);
        c = away_from_zero(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away_from_zero(1.0 + odd * d);
        c = away_from_zero(1.0 + odd / c);
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// P(X ≤ k) for a binomial X, summed term by term: an independent way to the same bound.
    fn at_most(k: u64, n: u64, rate: f64) -> f64 {
        let (k, n) = (k as f64, n as f64);
        let mut term = exp(n * log1p(-rate));
        let (mut sum, mut i) = (term, 0.0);
        while i < k {
            term *= (n - i) / (i + 1.0) * rate / (1.0 - rate);
            sum += term;
            i += 1.0;
        }
        sum
    }

    /// The checkpoints of the design for a target of 10⁻⁴ at 95 %.
    #[test]
    fn checkpoints() {
        let target = 1e-4;
        assert!(upper(0.0, 29_956.0, 0.95) <= target && upper(0.0, 29_955.0, 0.95) > target);
        assert!(upper(4.0, 1e5, 0.95) <= target && upper(5.0, 1e5, 0.95) > target);
        assert!(lower(16.0, 1e5, 0.95) > target && lower(15.0, 1e5, 0.95) <= target);
        // Time-to-visible: p99 within the limit.
        assert!(upper(0.0, 299.0, 0.95) <= 0.01 && upper(0.0, 298.0, 0.95) > 0.01);
        assert!(upper(4.0, 1_000.0, 0.95) <= 0.01 && upper(5.0, 1_000.0, 0.95) > 0.01);
        assert!(lower(16.0, 1_000.0, 0.95) > 0.01 && lower(15.0, 1_000.0, 0.95) <= 0.01);
    }

    #[test]
    fn edges() {
        assert!((upper(0.0, 0.0, 0.95) - 1.0).abs() < f64::EPSILON);
        assert!(lower(0.0, 0.0, 0.95).abs() < f64::EPSILON);
        assert!((upper(7.0, 7.0, 0.95) - 1.0).abs() < f64::EPSILON);
        assert!(lower(0.0, 7.0, 0.95).abs() < f64::EPSILON);
        // The rule of three, and its mirror.
        assert!((upper(0.0, 1_000.0, 0.95) - 0.002_991).abs() < 1e-6);
        assert!((lower(1_000.0, 1_000.0, 0.95) - (1.0 - 0.002_991)).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn bounds_are_where_the_binomial_tails_reach_the_confidence(n in 1u64..5_000, share in 0.0f64..1.0, confidence in 0.6f64..0.999) {
            let k = (share * n as f64 / 20.0) as u64;
            let (u, l) = (upper(k as f64, n as f64, confidence), lower(k as f64, n as f64, confidence));
            if k < n {
                prop_assert!((at_most(k, n, u) - (1.0 - confidence)).abs() < 1e-9, "upper {u}");
            }
            if k > 0 {
                prop_assert!((1.0 - at_most(k - 1, n, l) - (1.0 - confidence)).abs() < 1e-9, "lower {l}");
            }
            prop_assert!(l <= k as f64 / n as f64 && k as f64 / n as f64 <= u);
        }

        #[test]
        fn one_more_defect_never_helps_and_one_more_clean_event_never_hurts(k in 0u64..50, n in 60u64..2_000_000) {
            let (k, n) = (k as f64, n as f64);
            prop_assert!(upper(k + 1.0, n, 0.95) >= upper(k, n, 0.95));
            prop_assert!(upper(k, n + 1.0, 0.95) <= upper(k, n, 0.95));
            prop_assert!(lower(k + 1.0, n, 0.95) >= lower(k, n, 0.95));
        }
    }
}
