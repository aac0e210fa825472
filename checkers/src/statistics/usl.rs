//! The Universal Scalability Law: how capacity grows with size (Gunther, "Guerrilla Capacity Planning", 2007, ch. 4).
//!
//! C(N) = λN / (1 + σ(N−1) + κN(N−1)): λ is what one can do, σ what cannot be shared out (contention), κ what grows with
//! every pair (coherency). With κ above 0 there is a size beyond which more is less: it bends.
//!
//! N/C is linear in 1/λ, σ/λ and κ/λ, so least squares of its *relative* errors are solved exactly; that none of the three
//! is negative is had by trying each of the four ways to hold σ and κ at 0. A capacity is never known exactly, only
//! between the highest rate that held and the lowest that did not: intervals come of drawing each capacity from between
//! the two again and again, times one of the fit's own residuals where there are more sizes than parameters.

use generators::random::mix;
use serde::{Deserialize, Serialize};

/// What was found for one size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Capacity {
    /// The size N, above 0: ingesters, partitions, processors.
    pub size: f64,
    /// The highest rate that held.
    pub held: f64,
    /// The lowest that did not.
    pub failed: f64,
}

/// The law with its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Usl {
    /// λ: the capacity of size 1.
    pub lambda: f64,
    /// σ: contention.
    pub sigma: f64,
    /// κ: coherency.
    pub kappa: f64,
}

/// Where something lies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// At least.
    pub low: f64,
    /// At most.
    pub high: f64,
}

/// The straight line through the capacities: what is left at size 0, and what each one more adds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// At size 0.
    pub intercept: f64,
    /// For each one more.
    pub slope: f64,
}

/// An answer that the data may not carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Yes, all over the interval.
    Yes,
    /// No, all over the interval.
    No,
    /// The interval holds both.
    CannotTell,
}

/// A fitted law.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// The law that fits best.
    pub law: Usl,
    /// Where λ lies.
    pub lambda: Interval,
    /// Where σ lies.
    pub sigma: Interval,
    /// Where κ lies.
    pub kappa: Interval,
    /// How much of the capacities' variance the law explains; none where there are no more sizes than parameters, since then it
    /// explains anything.
    pub r_squared: Option<f64>,
    /// The straight line that fits best.
    pub line: Line,
    /// Where its intercept lies.
    pub intercept: Interval,
    /// The efficiency at the greatest size: its capacity against as many times that of size 1.
    pub efficiency: Interval,
    /// Whether it is linear up to the greatest size: as [`LINEAR`] says.
    pub is_linear: Answer,
    /// Whether it bends within the sizes that were tried: beyond [`Fit::bend`] more is less.
    pub bends: Answer,
    /// Where it bends by the best law, if it does.
    pub bend: Option<f64>,
    /// Up to which size the best law is linear; none if it is at any.
    pub linear_up_to: Option<f64>,
}

/// Linear is what loses no more than a tenth.
pub const LINEAR: f64 = 0.9;

/// Why there is no fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoFit {
    /// Three parameters need three sizes.
    #[error("{0} sizes have a capacity between two rates, and the law's three parameters need three")]
    TooFewSizes(usize),
    /// Nothing that makes sense fits.
    #[error("no law with a capacity above 0 fits")]
    NoneFits,
}

/// λ, σ and κ.
const PARAMETERS: usize = 3;
/// How often capacities are drawn.
const DRAWS: usize = 2_000;

impl Usl {
    /// The capacity of size `n`.
    pub fn capacity(&self, n: f64) -> f64 {
        self.lambda * n * self.efficiency(n)
    }

    /// The capacity of size `n` against as many times that of size 1.
    pub fn efficiency(&self, n: f64) -> f64 {
        1.0 / (1.0 + self.sigma * (n - 1.0) + self.kappa * n * (n - 1.0))
    }

    /// The size beyond which more is less; none if there is no such size.
    pub fn bend(&self) -> Option<f64> {
        (self.kappa > 0.0).then(|| ((1.0 - self.sigma).max(0.0) / self.kappa).sqrt().max(1.0))
    }

    /// The size up to which the efficiency is at least [`LINEAR`]; none if it is at any.
    fn linear_up_to(&self) -> Option<f64> {
        // σ(N−1) + κN(N−1) = 1/LINEAR − 1, a quadratic equation in N.
        let loss = 1.0 / LINEAR - 1.0;
        let (a, b, c) = (self.kappa, self.sigma - self.kappa, -self.sigma - loss);
        match (a > 0.0, b > 0.0) {
            (true, _) => Some((-b + (b * b - 4.0 * a * c).sqrt()) / (2.0 * a)),
            (false, true) => Some(-c / b),
            (false, false) => None,
        }
    }
}

impl Interval {
    /// The middle `confidence` of `values`.
    fn of(mut values: Vec<f64>, confidence: f64) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (share * (values.len().saturating_sub(1)) as f64).round() as usize;
            values.get(place).copied().unwrap_or(f64::NAN)
        };
        Self { low: at((1.0 - confidence) / 2.0), high: at(f64::midpoint(1.0, confidence)) }
    }

    /// Whether all of it is at least `limit`.
    fn is_at_least(self, limit: f64) -> Answer {
        if self.low >= limit {
            Answer::Yes
        } else if self.high < limit {
            Answer::No
        } else {
            Answer::CannotTell
        }
    }
}

/// Fits the law to what was found, with intervals at `confidence`.
///
/// # Errors
/// When the data do not carry one.
pub fn fit(found: &[Capacity], confidence: f64) -> Result<Fit, NoFit> {
    let mut sizes: Vec<f64> = found.iter().map(|capacity| capacity.size).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    let (true, Some(greatest)) = (sizes.len() >= PARAMETERS, sizes.last().copied()) else {
        return Err(NoFit::TooFewSizes(sizes.len()));
    };
    // Rates are tried in equal ratios, so the middle of two is the one by ratio.
    let middle: Vec<(f64, f64)> =
        found.iter().map(|capacity| (capacity.size, (capacity.held * capacity.failed).sqrt())).collect();
    let law = solve(&middle).ok_or(NoFit::NoneFits)?;
    let residuals: Vec<f64> = middle.iter().map(|(size, capacity)| capacity / law.capacity(*size)).collect();
    // A parameter that the best law holds at 0 was chosen from the data as well.
    let is_overdetermined = sizes.len() > PARAMETERS;
    let mut random = (0_u64..).map(|draw| (mix(draw ^ SEED) >> 11) as f64 / (1_u64 << 53) as f64);
    let mut unit = || random.next().unwrap_or_default();
    let (mut laws, mut lines) = (Vec::with_capacity(DRAWS), Vec::with_capacity(DRAWS));
    for _ in 0..DRAWS {
        let drawn: Vec<(f64, f64)> = found
            .iter()
            .map(|capacity| {
                let between = capacity.held + unit() * (capacity.failed - capacity.held);
                let picked = residuals.get((unit() * residuals.len() as f64) as usize).copied();
                let residual = picked.filter(|_| is_overdetermined).unwrap_or(1.0);
                (capacity.size, between * residual)
            })
            .collect();
        laws.extend(solve(&drawn));
        lines.push(line(&drawn));
    }
    let of = |value: &dyn Fn(&Usl) -> f64| Interval::of(laws.iter().map(value).collect(), confidence);
    let efficiency = of(&|law| law.efficiency(greatest));
    // Without a bend it would bend beyond everything.
    let bends = of(&|law| law.bend().unwrap_or(f64::MAX));
    Ok(Fit {
        law,
        lambda: of(&|law| law.lambda),
        sigma: of(&|law| law.sigma),
        kappa: of(&|law| law.kappa),
        r_squared: is_overdetermined.then(|| explained(&middle, &law)),
        line: line(&middle),
        intercept: Interval::of(lines.iter().map(|line| line.intercept).collect(), confidence),
        efficiency,
        is_linear: efficiency.is_at_least(LINEAR),
        bends: match bends.is_at_least(greatest) {
            Answer::Yes => Answer::No,
            Answer::No => Answer::Yes,
            Answer::CannotTell => Answer::CannotTell,
        },
        bend: law.bend(),
        linear_up_to: law.linear_up_to(),
    })
}

/// Any number: the intervals of the same data are the same.
const SEED: u64 = 0x7573_6c00;

/// The law with the least relative errors of N/C.
fn solve(points: &[(f64, f64)]) -> Option<Usl> {
    let ways = [[true, true], [true, false], [false, true], [false, false]];
    let fits = ways.into_iter().filter_map(|[sigma, kappa]| {
        let columns: Vec<fn(f64) -> f64> =
            [(true, (|_| 1.0) as fn(f64) -> f64), (sigma, |n| n - 1.0), (kappa, |n| n * (n - 1.0))]
                .into_iter()
                .filter_map(|(is_free, column)| is_free.then_some(column))
                .collect();
        let mut solved = least_squares(points, &columns)?.into_iter();
        let inverse = solved.next().filter(|inverse| *inverse > 0.0)?;
        let sigma = if sigma { solved.next()? } else { 0.0 };
        let kappa = if kappa { solved.next()? } else { 0.0 };
        let law = Usl { lambda: 1.0 / inverse, sigma: sigma / inverse, kappa: kappa / inverse };
        (law.sigma >= 0.0 && law.kappa >= 0.0).then(|| (error(points, &law), law))
    });
    fits.min_by(|(left, _), (right, _)| left.total_cmp(right)).map(|(_, law)| law)
}

fn error(points: &[(f64, f64)], law: &Usl) -> f64 {
    points.iter().map(|(n, capacity)| (capacity / law.capacity(*n) - 1.0).powi(2)).sum()
}

/// The coefficients of `columns` for which their sum is nearest to N/C, relative to it; none if they depend on each other.
fn least_squares(points: &[(f64, f64)], columns: &[fn(f64) -> f64]) -> Option<Vec<f64>> {
    let width = columns.len();
    // The normal equations, with the right-hand side as the last column.
    let mut rows = vec![vec![0.0; width + 1]; width];
    for (n, capacity) in points {
        let values: Vec<f64> = columns.iter().map(|column| column(*n) * capacity / n).collect();
        for (row, value) in rows.iter_mut().zip(&values) {
            for (cell, other) in row.iter_mut().zip(values.iter().chain([&1.0])) {
                *cell += value * other;
            }
        }
    }
    eliminate(rows)
}

/// Gauss's elimination with the greatest pivots.
fn eliminate(mut rows: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let width = rows.len();
    for step in 0..width {
        let pivot = (step..width).max_by(|left, right| rows[*left][step].abs().total_cmp(&rows[*right][step].abs()))?;
        rows.swap(step, pivot);
        let pivot = rows[step].clone();
        if pivot[step].abs() < 1e-12 {
            return None;
        }
        for (_, row) in rows.iter_mut().enumerate().filter(|(place, _)| *place != step) {
            let factor = row[step] / pivot[step];
            row.iter_mut().zip(&pivot).for_each(|(cell, above)| *cell -= factor * above);
        }
    }
    Some(rows.iter().enumerate().map(|(place, row)| row[width] / row[place]).collect())
}

/// R² of the capacities.
fn explained(points: &[(f64, f64)], law: &Usl) -> f64 {
    let mean = points.iter().map(|(_, capacity)| capacity).sum::<f64>() / points.len() as f64;
    let all: f64 = points.iter().map(|(_, capacity)| (capacity - mean).powi(2)).sum();
    let left: f64 = points.iter().map(|(n, capacity)| (capacity - law.capacity(*n)).powi(2)).sum();
    if all > 0.0 { 1.0 - left / all } else { 0.0 }
}

/// The straight line with the least squares.
fn line(points: &[(f64, f64)]) -> Line {
    let many = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / many, y + point.1 / many));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let slope = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>() / spread;
    Line { intercept: y - slope * x, slope }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a search with this resolution finds of a pipeline that follows `law`.
    fn found(law: Usl, sizes: &[f64], resolution: f64) -> Vec<Capacity> {
        let half = (1.0 + resolution).sqrt();
        let of = |size: f64| (size, law.capacity(size));
        sizes
            .iter()
            .map(|size| of(*size))
            .map(|(size, capacity)| Capacity { size, held: capacity / half, failed: capacity * half })
            .collect()
    }

    const fn law(lambda: f64, sigma: f64, kappa: f64) -> Usl {
        Usl { lambda, sigma, kappa }
    }

    const SIZES: [f64; 6] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

    proptest! {
        #[test]
        fn a_known_law_is_found_again(
            lambda in 10.0..1e6_f64, sigma in 0.0..0.9_f64, kappa in prop_oneof![Just(0.0), 1e-5..0.1_f64],
        ) {
            let wanted = law(lambda, sigma, kappa);
            let fitted = fit(&found(wanted, &SIZES, 1e-9), 0.95).unwrap();
            prop_assert!((fitted.law.lambda / lambda - 1.0).abs() < 1e-6, "{fitted:?}");
            prop_assert!((fitted.law.sigma - sigma).abs() < 1e-6 && (fitted.law.kappa - kappa).abs() < 1e-6, "{fitted:?}");
        }

        /// Whatever is measured, nothing is negative, and the intervals hold what fits best but for the dust of drawing.
        #[test]
        fn any_capacities_have_a_law_or_none(rates in proptest::collection::vec(1.0..1e5_f64, 3..7)) {
            let found: Vec<Capacity> =
                rates.iter().zip(SIZES).map(|(rate, size)| Capacity { size, held: *rate, failed: rate * 1.1 }).collect();
            let fitted = fit(&found, 0.95).unwrap();
            prop_assert!(fitted.law.lambda > 0.0 && fitted.law.sigma >= 0.0 && fitted.law.kappa >= 0.0);
            for interval in [fitted.lambda, fitted.sigma, fitted.kappa, fitted.efficiency, fitted.intercept] {
                prop_assert!(interval.low <= interval.high, "{fitted:?}");
            }
        }
    }

    #[test]
    fn linear_is_told_from_what_is_not() {
        let linear = fit(&found(law(1_000.0, 0.0, 0.0), &SIZES[..4], 0.02), 0.95).unwrap();
        assert_eq!((linear.is_linear, linear.bends), (Answer::Yes, Answer::No), "{linear:?}");
        assert!(linear.intercept.low <= 0.0 && linear.intercept.high >= 0.0, "{linear:?}");

        let contended = fit(&found(law(1_000.0, 0.2, 0.0), &SIZES[..4], 0.02), 0.95).unwrap();
        assert_eq!(contended.is_linear, Answer::No, "{contended:?}");
        assert!(
            contended.sigma.low > 0.1 && contended.sigma.high < 0.3 && contended.intercept.low > 0.0,
            "{contended:?}"
        );
        // 1 / 0.9 − 1 = 0.2 (N − 1)
        assert!((contended.linear_up_to.unwrap() - 1.5556).abs() < 0.1, "{contended:?}");

        let bent = fit(&found(law(1_000.0, 0.05, 0.02), &SIZES, 0.02), 0.95).unwrap();
        assert_eq!(bent.bends, Answer::Yes);
        // √(0.95 / 0.02)
        assert!((bent.bend.unwrap() - 6.892).abs() < 0.3, "{bent:?}");
    }

    #[test]
    fn coarse_data_do_not_carry_an_answer() {
        let coarse = fit(&found(law(1_000.0, 0.03, 0.0), &[1.0, 2.0, 4.0], 0.3), 0.95).unwrap();
        assert_eq!(coarse.is_linear, Answer::CannotTell, "{coarse:?}");
        assert_eq!(coarse.r_squared, None, "three sizes fit any law: {coarse:?}");
        assert_eq!(fit(&found(law(1.0, 0.0, 0.0), &[1.0, 2.0], 0.1), 0.95), Err(NoFit::TooFewSizes(2)));
        assert_eq!(fit(&found(law(1.0, 0.0, 0.0), &[1.0, 1.0, 2.0], 0.1), 0.95), Err(NoFit::TooFewSizes(2)));
    }

    #[test]
    fn noise_widens_the_intervals_and_is_seen_in_what_is_explained() {
        let wanted = law(1_000.0, 0.1, 0.002);
        let mut noisy = found(wanted, &SIZES, 0.02);
        for (capacity, factor) in noisy.iter_mut().zip([1.1, 0.9, 1.05, 0.95, 1.1, 0.92]) {
            (capacity.held, capacity.failed) = (capacity.held * factor, capacity.failed * factor);
        }
        let (clean, noisy) = (fit(&found(wanted, &SIZES, 0.02), 0.95).unwrap(), fit(&noisy, 0.95).unwrap());
        let width = |interval: Interval| interval.high - interval.low;
        assert!(width(noisy.sigma) > 2.0 * width(clean.sigma), "{clean:?} {noisy:?}");
        assert!(noisy.sigma.low <= 0.1 && 0.1 <= noisy.sigma.high, "{noisy:?}");
        assert!(noisy.r_squared.unwrap() < clean.r_squared.unwrap() && clean.r_squared.unwrap() > 0.999);
    }
}
