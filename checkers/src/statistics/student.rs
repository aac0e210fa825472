//! Quantiles of Student's t distribution.

use super::binomial::beta_quantile;

/// The t with P(T ≤ t) = `p` for `freedom` degrees of freedom; `p` from 0.5 to below 1.
///
/// t² / (ν + t²) follows a beta distribution with parameters ½ and ν/2 (Abramowitz and Stegun, 26.7.1 and 26.5.27), and
/// is small where ν is large, so that nothing is cancelled.
pub fn quantile(p: f64, freedom: f64) -> f64 {
    if p <= 0.5 {
        return 0.0;
    }
    let share = beta_quantile(2.0f64.mul_add(p, -1.0), 0.5, freedom / 2.0);
    (freedom * share / (1.0 - share)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Abramowitz and Stegun, table 26.10; the last rows are the normal distribution's.
    #[test]
    fn the_published_table() {
        for (p, freedom, expected) in [
            (0.95, 1.0, 6.314),
            (0.95, 2.0, 2.920),
            (0.95, 9.0, 1.833),
            (0.95, 30.0, 1.697),
            (0.95, 120.0, 1.658),
            (0.975, 4.0, 2.776),
            (0.99, 10.0, 2.764),
            (0.995, 60.0, 2.660),
            (0.95, 1e6, 1.645),
            (0.99, 1e9, 2.326),
        ] {
            let t = quantile(p, freedom);
            assert!((t - expected).abs() < 6e-4, "{p} {freedom}: {t}");
        }
        assert!(quantile(0.5, 7.0).abs() < f64::EPSILON);
    }
}
