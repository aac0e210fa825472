//! The Universal Scalability Law: how capacity grows with size (Gunther, "Guerrilla Capacity Planning", 2007, ch. 4).
//!
//! C(N) = λN / (1 + σ(N−1) + κN(N−1)): λ is what one can do, σ what cannot be shared out (contention), κ what grows with
//! every pair (coherency). With κ above 0 there is a size beyond which more is less: it bends.
//!
//! N/C is linear in 1/λ, σ/λ and κ/λ, so least squares of its *relative* errors are solved exactly; that none of the three
//! is negative is had by trying each of the four ways to hold σ and κ at 0. A capacity is never known exactly, only
//! between the highest rate that held and the lowest that did not: intervals come of drawing each capacity from between
//! the two again and again, times one of the fit's own residuals where there are more sizes than parameters. Those are few, and
//! made by as much wider as Student's t asks for with so few.
//!
//! A law whose terms are never negative knows no efficiency above 1. So where capacities are not as it says, the efficiency is
//! told of the drawn capacities themselves.
//!
//! Sizes are counted in the smallest of them, which is the law's 1: below 1 its terms change their signs, and a quarter of a
//! processor would be a pole. What is said of sizes (where it bends, up to where it is linear) is said in sizes as they are.

use generators::random::mix;
use serde::{Deserialize, Serialize};

use super::student;

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
    /// λ: the capacity of size 1, the smallest that was fitted to.
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
    /// To how many capacities it was fitted.
    pub capacities: usize,
    /// The smallest of their sizes: the law's 1.
    pub unit: f64,
    /// The greatest: of what is beyond it nothing was measured.
    pub greatest: f64,
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
    /// By how much the law misses the capacity that it misses most, as a share of what the law says; negative where the
    /// capacity is less.
    pub residual: f64,
    /// How many capacities the law puts beyond what was found: below the rate that held, or above the one that did not.
    pub missed: usize,
    /// The straight line that fits best.
    pub line: Line,
    /// Where its intercept lies.
    pub intercept: Interval,
    /// The efficiency at the greatest size: its capacity against as many times that of the smallest; by the law, or where that
    /// misses capacities, by the capacities themselves.
    pub efficiency: Interval,
    /// Whether it is linear up to the greatest size: as [`LINEAR`] says.
    pub is_linear: Answer,
    /// Whether it bends within the sizes that were tried: beyond [`Fit::bend`] more is less.
    pub bends: Answer,
    /// Where it bends by the best law, if it does.
    pub bend: Option<f64>,
    /// The size before which it does not bend, by all that the data leave possible; none if it bends nowhere.
    pub bends_from: Option<f64>,
    /// The size beyond which it has bent for certain; none where the data leave it possible that it never does.
    pub bends_to: Option<f64>,
    /// Up to which size the best law is linear; none if it is at any.
    pub linear_up_to: Option<f64>,
}

/// Linear is what loses no more than a tenth.
pub const LINEAR: f64 = 0.9;
/// The greatest size is so many times the smallest, or nothing is said of growth: of sizes nearer than that even a capacity that
/// stands still would be called almost linear.
pub const LEAST_GROWTH: f64 = 2.0;

/// Why there is no fit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoFit {
    /// Three parameters need three sizes.
    #[error("{0} sizes have a capacity between two rates, and the law's three parameters need three")]
    TooFewSizes(usize),
    /// Sizes that are almost the same say nothing of growth.
    #[error("the greatest size with a capacity is {0:.2} times the smallest, and it must be {least} times as great", least = LEAST_GROWTH)]
    TooNear(f64),
    /// Nothing that makes sense fits.
    #[error("no law with a capacity above 0 fits")]
    NoneFits,
}

/// λ, σ and κ.
const PARAMETERS: usize = 3;
/// How often capacities are drawn.
const DRAWS: usize = 2_000;
/// With so many degrees of freedom Student's distribution is the normal one, to five digits.
const NORMAL: f64 = 1e6;

impl Usl {
    /// The capacity of size `n`.
    pub fn capacity(&self, n: f64) -> f64 {
        self.lambda * n * self.efficiency(n)
    }

    /// The capacity of size `n` against as many times that of size 1.
    pub fn efficiency(&self, n: f64) -> f64 {
        1.0 / (1.0 + self.sigma * (n - 1.0) + self.kappa * n * (n - 1.0))
    }

    /// The size beyond which more is less, from 1 on; none if there is no such size. With σ above 1 that is every size: what
    /// must be shared is more than there is.
    pub fn bend(&self) -> Option<f64> {
        match (self.kappa > 0.0, self.sigma > 1.0) {
            (true, _) => Some(((1.0 - self.sigma).max(0.0) / self.kappa).sqrt().max(1.0)),
            (false, true) => Some(1.0),
            (false, false) => None,
        }
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
    fit_drawing(found, confidence, DRAWS)
}

/// The same, with capacities that are drawn so often.
fn fit_drawing(found: &[Capacity], confidence: f64, draws: usize) -> Result<Fit, NoFit> {
    let mut sizes: Vec<f64> = found.iter().map(|capacity| capacity.size).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    let (true, [unit, .., greatest]) = (sizes.len() >= PARAMETERS, sizes.as_slice()) else {
        return Err(NoFit::TooFewSizes(sizes.len()));
    };
    let (unit, growth) = (*unit, greatest / unit);
    if growth < LEAST_GROWTH {
        return Err(NoFit::TooNear(growth));
    }
    let found: Vec<Capacity> = found.iter().map(|known| Capacity { size: known.size / unit, ..*known }).collect();
    // Rates are tried in equal ratios, so the middle of two is the one by ratio.
    let middle: Vec<(f64, f64)> =
        found.iter().map(|capacity| (capacity.size, (capacity.held * capacity.failed).sqrt())).collect();
    let law = solve(&middle).ok_or(NoFit::NoneFits)?;
    let ratios: Vec<f64> = middle.iter().map(|(size, capacity)| capacity / law.capacity(*size)).collect();
    // A parameter that the best law holds at 0 was chosen from the data as well.
    let is_overdetermined = sizes.len() > PARAMETERS;
    let ratios_drawn = if is_overdetermined { spread(&ratios, confidence) } else { vec![1.0] };
    let Drawn { laws, lines, efficiencies } = draw(&found, &ratios_drawn, draws);
    let missed = found.iter().filter(|known| !known.may_be(law.capacity(known.size))).count();
    let of = |value: &dyn Fn(&Usl) -> f64| Interval::of(laws.iter().map(value).collect(), confidence);
    let efficiency =
        if missed == 0 { of(&|law| law.efficiency(growth)) } else { Interval::of(efficiencies, confidence) };
    // Without a bend it would bend beyond everything.
    let bends = of(&|law| law.bend().unwrap_or(f64::MAX));
    let somewhere = |size: f64| (size < f64::MAX).then_some(size * unit);
    let line_of = |points: &[(f64, f64)]| {
        let Line { intercept, slope } = line(points);
        Line { intercept, slope: slope / unit }
    };
    Ok(Fit {
        capacities: found.len(),
        unit,
        greatest: *greatest,
        law,
        lambda: of(&|law| law.lambda),
        sigma: of(&|law| law.sigma),
        kappa: of(&|law| law.kappa),
        r_squared: is_overdetermined.then(|| explained(&middle, &law)),
        residual: ratios.iter().map(|ratio| ratio - 1.0).max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or_default(),
        missed,
        line: line_of(&middle),
        intercept: Interval::of(lines.iter().map(|line| line.intercept).collect(), confidence),
        efficiency,
        is_linear: efficiency.is_at_least(LINEAR),
        bends: match bends.is_at_least(growth) {
            Answer::Yes => Answer::No,
            Answer::No => Answer::Yes,
            Answer::CannotTell => Answer::CannotTell,
        },
        bend: law.bend().map(|size| size * unit),
        bends_from: somewhere(bends.low),
        bends_to: somewhere(bends.high),
        linear_up_to: law.linear_up_to().map(|size| size * unit),
    })
}

impl Capacity {
    /// Whether the capacity may be `rate`, by what was found; figures that are equal but for rounding are equal.
    fn may_be(&self, rate: f64) -> bool {
        const ROUNDING: f64 = 1e-9;
        rate >= self.held * (1.0 - ROUNDING) && rate <= self.failed * (1.0 + ROUNDING)
    }
}

/// What each drawn capacity is multiplied with, one of these: the fit's own `ratios` of found to law, made wider by as much as a fit
/// of three parameters draws them to itself (√(n / (n − 3)); Davison and Hinkley, "Bootstrap Methods", 1997, ch. 6), and by as much
/// as their own spread is uncertain with n − 3 degrees of freedom, often one or two (t / z: Student, "The probable error of a
/// mean", Biometrika 6, 1908). Of as many sizes as parameters nothing is left that could say how trials scatter.
fn spread(ratios: &[f64], confidence: f64) -> Vec<f64> {
    let many = ratios.len() as f64;
    let (freedom, at) = (many - PARAMETERS as f64, f64::midpoint(1.0, confidence));
    let wider = (many / freedom).sqrt() * student::quantile(at, freedom) / student::quantile(at, NORMAL);
    ratios.iter().map(|ratio| ratio.powf(wider)).collect()
}

/// What comes of capacities that are drawn.
struct Drawn {
    /// Their laws.
    laws: Vec<Usl>,
    /// Their straight lines.
    lines: Vec<Line>,
    /// That of the greatest size against as many times that of the smallest.
    efficiencies: Vec<f64>,
}

/// Draws capacities `draws` times from what was found, times one of `ratios` each.
fn draw(found: &[Capacity], ratios: &[f64], draws: usize) -> Drawn {
    let mut unit = units(SEED);
    let (laws, lines, efficiencies) = (Vec::with_capacity(draws), Vec::with_capacity(draws), Vec::with_capacity(draws));
    let mut all = Drawn { laws, lines, efficiencies };
    for _ in 0..draws {
        let sample: Vec<(f64, f64)> = found
            .iter()
            .map(|capacity| {
                let between = capacity.held + unit() * (capacity.failed - capacity.held);
                let picked = ratios.get((unit() * ratios.len() as f64) as usize).copied();
                (capacity.size, between * picked.unwrap_or(1.0))
            })
            .collect();
        all.laws.extend(solve(&sample));
        all.lines.push(line(&sample));
        all.efficiencies.extend(efficiency(&sample));
    }
    all
}

/// The capacity of the greatest size against as many times that of the smallest.
fn efficiency(points: &[(f64, f64)]) -> Option<f64> {
    let by_size = |left: &&(f64, f64), right: &&(f64, f64)| left.0.total_cmp(&right.0);
    let (least, most) = points.iter().min_by(by_size).zip(points.iter().max_by(by_size))?;
    Some(most.1 / least.1 * least.0 / most.0)
}

/// Numbers from 0 to below 1, the same for the same `seed`.
fn units(seed: u64) -> impl FnMut() -> f64 {
    let mut numbers = (0_u64..).map(move |number| (mix(number ^ seed) >> 11) as f64 / (1_u64 << 53) as f64);
    move || numbers.next().unwrap_or_default()
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

/// Gauss's elimination with the greatest pivots; none where a pivot is nothing beside what the rows began with.
fn eliminate(mut rows: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let width = rows.len();
    let greatest = rows.iter().flat_map(|row| row.iter().take(width)).fold(0.0_f64, |most, cell| most.max(cell.abs()));
    for step in 0..width {
        let pivot = (step..width).max_by(|left, right| rows[*left][step].abs().total_cmp(&rows[*right][step].abs()))?;
        rows.swap(step, pivot);
        let pivot = rows[step].clone();
        if pivot[step].abs() <= 1e-12 * greatest {
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
    fn fractions_of_a_processor_follow_the_same_law_as_whole_ones() {
        const QUARTERS: [f64; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];
        for wanted in [law(500.0, 0.0, 0.0), law(500.0, 0.15, 0.0), law(500.0, 0.05, 0.02), law(500.0, 0.8, 0.1)] {
            let whole = fit(&found(wanted, &SIZES[..5], 0.02), 0.95).unwrap();
            let quarters: Vec<Capacity> = found(wanted, &SIZES[..5], 0.02)
                .into_iter()
                .zip(QUARTERS)
                .map(|(known, size)| Capacity { size, ..known })
                .collect();
            let part = fit(&quarters, 0.95).unwrap();
            assert_eq!((part.law, part.efficiency, part.intercept), (whole.law, whole.efficiency, whole.intercept));
            assert_eq!((part.is_linear, part.bends), (whole.is_linear, whole.bends), "{wanted:?}");
            assert_eq!((part.unit, part.greatest), (0.25, 4.0));
            let quarter = |size: Option<f64>| size.map(|size| size / 4.0);
            assert_eq!(part.bend, quarter(whole.bend), "{wanted:?}");
            assert_eq!((part.bends_from, part.bends_to), (quarter(whole.bends_from), quarter(whole.bends_to)));
            assert_eq!(part.linear_up_to, quarter(whole.linear_up_to), "{wanted:?}");
            assert!((part.line.slope / whole.line.slope - 4.0).abs() < 1e-9, "for each whole processor: {part:?}");
        }
    }

    #[test]
    fn where_it_bends_is_an_interval_that_may_have_no_end() {
        // √(0.95 / 0.02) = 6.89, amid what was measured.
        let within = fit(&found(law(1_000.0, 0.05, 0.02), &SIZES, 0.02), 0.95).unwrap();
        let (from, to) = (within.bends_from.unwrap(), within.bends_to.unwrap());
        assert!(from < 6.892 && 6.892 < to && to - from < 1.5, "{within:?}");
        // √(0.95 / 0.0001) = 97, far beyond it: coarse rates leave it open whether it bends at all.
        let beyond = fit(&found(law(1_000.0, 0.05, 0.000_1), &[1.0, 2.0, 4.0, 8.0], 0.1), 0.95).unwrap();
        assert_eq!((beyond.bends, beyond.bends_to), (Answer::No, None), "{beyond:?}");
        assert!(beyond.bends_from.is_some_and(|from| from > 8.0), "{beyond:?}");
        // Nothing is shared and nothing is agreed upon: no law of those that fit has a bend near.
        let never = fit(&found(law(1_000.0, 0.5, 0.0), &SIZES, 1e-9), 0.95).unwrap();
        assert!(never.bends == Answer::No && never.bends_to.is_none(), "{never:?}");
    }

    #[test]
    fn less_from_the_first_step_on_is_a_bend_and_the_same_for_all_is_none_for_certain() {
        let of = |rates: [f64; 3]| {
            let sizes = [1.0, 2.0, 4.0].into_iter().zip(rates);
            let found: Vec<Capacity> = sizes.map(|(size, held)| Capacity { size, held, failed: held * 1.1 }).collect();
            fit(&found, 0.95).unwrap()
        };
        for falling in [of([6_565.0, 4_484.0, 3_705.0]), of([4_000.0, 3_000.0, 2_600.0])] {
            assert_eq!((falling.is_linear, falling.bends), (Answer::No, Answer::Yes), "{falling:?}");
            assert_eq!((falling.bend, falling.bends_from), (Some(1.0), Some(1.0)), "{falling:?}");
        }
        assert_eq!(law(1.0, 1.2, 0.0).bend(), Some(1.0), "with contention alone as well");
        let flat = of([1_000.0; 3]);
        assert_eq!((flat.is_linear, flat.bends), (Answer::No, Answer::CannotTell), "{flat:?}");
        assert!((flat.law.sigma - 1.0).abs() < 1e-6 && flat.law.kappa < 1e-6, "{flat:?}");
    }

    #[test]
    fn what_the_law_has_no_form_for_is_told_by_what_it_misses() {
        // More than in proportion, as where the smallest has something fixed to carry.
        let sizes = [(1.0, 300.0), (2.0, 1_000.0), (4.0, 2_400.0)];
        let more: Vec<Capacity> =
            sizes.map(|(size, held)| Capacity { size, held, failed: held * 1.1 }).into_iter().collect();
        let more = fit(&more, 0.95).unwrap();
        assert_eq!((more.law.sigma, more.law.kappa), (0.0, 0.0), "{more:?}");
        assert!(more.missed >= 2 && more.residual < -0.3, "{more:?}");
        // 2 400 / 330 / 4 to 2 640 / 300 / 4, which no law of this form says.
        assert!(1.818 < more.efficiency.low && more.efficiency.high < 2.2, "{more:?}");
        assert!(more.efficiency.low < 1.9 && 2.1 < more.efficiency.high, "{more:?}");
        assert_eq!(more.is_linear, Answer::Yes, "it loses nothing: {more:?}");
        for known in [law(1_000.0, 0.0, 0.0), law(1_000.0, 0.2, 0.0), law(1_000.0, 0.05, 0.02)] {
            let kept = fit(&found(known, &SIZES, 0.05), 0.95).unwrap();
            assert!(kept.missed == 0 && kept.residual.abs() < 1e-6 && kept.capacities == 6, "{kept:?}");
        }
    }

    #[test]
    fn what_the_law_misses_is_not_called_linear_by_the_law_alone() {
        // The middle one does more than in proportion and the greatest less than one: no law of this form is near.
        let sizes = [(1.0, 300.0), (2.0, 1_000.0), (4.0, 1_020.0)];
        let found = sizes.map(|(size, held)| Capacity { size, held, failed: held * 1.1 });
        let odd = fit(&found, 0.95).unwrap();
        assert!(odd.missed > 0, "{odd:?}");
        // 1 020 / 330 / 4 to 1 122 / 300 / 4.
        assert!(0.772 < odd.efficiency.low && odd.efficiency.high < 0.936, "{odd:?}");
        assert_eq!(odd.is_linear, Answer::CannotTell, "{odd:?}");
    }

    /// The share of 200 fits in which each interval at 95 % holds what is true: λ, σ, κ and the efficiency. Trials scatter by so
    /// much, normally and in proportion.
    fn held(truth: Usl, sizes: &[f64], scatter: f64) -> [f64; 4] {
        const FITS: usize = 200;
        let mut uniform = units(0x636f_7665_7200_0000);
        // Box and Muller, "A note on the generation of random normal deviates", 1958.
        let mut normal = || (-2.0 * (1.0 - uniform()).ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
        let mut held = [0; 4];
        for _ in 0..FITS {
            let mut trials = found(truth, sizes, 0.02);
            for known in &mut trials {
                let factor = (scatter * normal()).exp();
                (known.held, known.failed) = (known.held * factor, known.failed * factor);
            }
            let fitted = fit_drawing(&trials, 0.95, 400).unwrap();
            let efficiency = truth.efficiency(fitted.greatest);
            for (held, (interval, value)) in held.iter_mut().zip([
                (fitted.lambda, truth.lambda),
                (fitted.sigma, truth.sigma),
                (fitted.kappa, truth.kappa),
                (fitted.efficiency, efficiency),
            ]) {
                *held += usize::from(interval.low <= value && value <= interval.high);
            }
        }
        held.map(|held| held as f64 / FITS as f64)
    }

    #[test]
    fn intervals_at_95_percent_hold_the_truth_in_95_of_100_fits_however_few_the_sizes() {
        let contended = law(1_000.0, 0.1, 0.002);
        let bent = law(1_000.0, 0.05, 0.02);
        for (truth, sizes, scatter) in [
            (contended, &SIZES[..4], 0.05),
            (bent, &SIZES[..4], 0.15),
            (bent, &SIZES[..5], 0.05),
            (contended, &SIZES[..5], 0.15),
        ] {
            let held = held(truth, sizes, scatter);
            // 0.95, less twice what chance makes of 200 fits.
            assert!(held.iter().all(|share| *share >= 0.92), "{truth:?} {} {scatter}: {held:?}", sizes.len());
        }
    }

    #[test]
    fn few_degrees_of_freedom_widen_what_scatters() {
        // √4 × 12.706 / 1.960, √(5 / 2) × 4.303 / 1.960, √(13 / 10) × 2.228 / 1.960.
        for (many, expected) in [(4, 12.965), (5, 3.471), (13, 1.296)] {
            let wider = spread(&vec![std::f64::consts::E; many], 0.95);
            assert!(wider.len() == many && wider.iter().all(|ratio| (ratio.ln() - expected).abs() < 2e-3), "{wider:?}");
        }
    }

    #[test]
    fn sizes_that_are_almost_the_same_carry_no_law() {
        let near = fit(&found(law(1_000.0, 1.0, 0.0), &[1.0, 1.01, 1.02], 0.1), 0.95);
        assert_eq!(near, Err(NoFit::TooNear(1.02)));
        assert!(near.unwrap_err().to_string().contains("1.02 times the smallest, and it must be 2 times as great"));
        assert!(fit(&found(law(1_000.0, 0.1, 0.0), &[0.25, 0.375, 0.5], 0.1), 0.95).is_ok());
        // Sizes of which two are as good as one determine two parameters, not three, and that is seen.
        let twins = fit(&found(law(1_000.0, 0.1, 0.0), &[1.0, 1.0 + 1e-12, 4.0], 0.1), 0.95).unwrap();
        assert!(twins.law.sigma.is_finite() && twins.law.kappa.is_finite() && twins.law.lambda > 0.0, "{twins:?}");
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
