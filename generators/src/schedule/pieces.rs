//! Rates that change: straight pieces, one after another, perhaps again and again.
//!
//! How many events are due is the area under the rate. All of it is counted in whole numbers: rates in events per a length of
//! time that all rates share, moments in microseconds, areas twice, since a triangle is half a rectangle.

use std::time::Duration;

use super::{Rate, Step};

/// Straight pieces of a diurnal period.
const OF_A_DAY: u32 = 96;
/// So much finer are rates on a sine than the two that they lie between.
const FINER: u64 = 1_000;

#[derive(Debug, Clone)]
pub(super) struct Pieces {
    straight: Vec<Piece>,
    /// The length of time that rates are per, in microseconds.
    per: u128,
    /// How long all pieces are, and twice their area, where they begin again; the last one stays where they do not.
    cycle: Option<(u64, u128)>,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    /// When it begins.
    start: u64,
    length: u64,
    from: u64,
    to: u64,
    /// Twice the area before it.
    before: u128,
}

/// A length of time and the rates at its ends.
type Straight = (Duration, u64, u64);

impl Pieces {
    pub fn ramp(from: Rate, to: Rate, over: Duration) -> Self {
        let (per, rates) = common(&[from, to]);
        Self::new(per, &[(over, rates[0], rates[1]), (MINUTE, rates[1], rates[1])], false)
    }

    pub fn steps(steps: &[Step]) -> Self {
        let (per, rates) = common(&steps.iter().map(|step| step.rate).collect::<Vec<_>>());
        let straight: Vec<Straight> = steps.iter().zip(rates).map(|(step, rate)| (step.lasting, rate, rate)).collect();
        Self::new(per, &straight, false)
    }

    pub fn burst(rate: Rate, burst: Rate, every: Duration, lasting: Duration) -> Self {
        let (per, rates) = common(&[rate, burst]);
        let between = every.saturating_sub(lasting);
        Self::new(per, &[(between, rates[0], rates[0]), (lasting, rates[1], rates[1])], true)
    }

    pub fn diurnal(low: Rate, high: Rate, period: Duration) -> Self {
        let (per, rates) = common(&[low, high]);
        let (low, high) = (rates[0] as f64, rates[1] as f64);
        let rate = |piece: u32| {
            let height = (1.0 - libm::cos(std::f64::consts::TAU * f64::from(piece) / f64::from(OF_A_DAY))) / 2.0;
            libm::round((low + (high - low) * height) * FINER as f64) as u64
        };
        // Pieces end on whole microseconds, and the last of them with the period.
        let end =
            |piece: u32| Duration::from_micros(period.as_micros() as u64 * u64::from(piece) / u64::from(OF_A_DAY));
        let straight: Vec<Straight> = (0..OF_A_DAY)
            .map(|piece| (end(piece + 1).saturating_sub(end(piece)), rate(piece), rate(piece + 1)))
            .collect();
        Self::new(per * u128::from(FINER), &straight, true)
    }

    fn new(per: u128, straight: &[Straight], again: bool) -> Self {
        let (mut start, mut before) = (0, 0);
        let mut pieces = Vec::new();
        for (length, from, to) in straight {
            let length = length.as_micros() as u64;
            if length == 0 {
                continue;
            }
            let piece = Piece { start, length, from: *from, to: *to, before };
            pieces.push(piece);
            start += length;
            before += piece.area(length);
        }
        Self { straight: pieces, per, cycle: again.then_some((start, before)) }
    }

    pub fn due_micros(&self, position: u64) -> u64 {
        let area = 2 * self.per * u128::from(position);
        let (start, area) = match self.cycle {
            Some((length, whole)) => ((area / whole) as u64 * length, area % whole),
            None => (0, area),
        };
        let next = self.straight.partition_point(|piece| piece.before <= area);
        let Some((last, piece)) = next.checked_sub(1).and_then(|at| Some((at + 1, self.straight.get(at)?))) else {
            return start;
        };
        let stays = self.cycle.is_none() && last == self.straight.len();
        start + piece.start + piece.reaches(area - piece.before, stays)
    }

    pub fn before_micros(&self, at: u64) -> u64 {
        // What is due earlier has its area reached one microsecond earlier at least.
        let Some(at) = at.checked_sub(1) else { return 0 };
        let (rounds, at) = self.cycle.map_or((0, at), |(length, _)| (at / length, at % length));
        let whole = self.cycle.map_or(0, |(_, whole)| u128::from(rounds) * whole);
        let next = self.straight.partition_point(|piece| piece.start <= at);
        let here = next.checked_sub(1).map_or(0, |piece| {
            let piece = &self.straight[piece];
            piece.before + piece.area(at - piece.start)
        });
        u64::try_from((whole + here) / (2 * self.per) + 1).unwrap_or(u64::MAX)
    }
}

/// The last piece of a ramp has some length, and stays.
const MINUTE: Duration = Duration::from_mins(1);

impl Piece {
    /// Twice the area of its first `micros`; behind its end the rate stays.
    fn area(&self, micros: u64) -> u128 {
        let (length, from, to) = (u128::from(self.length), u128::from(self.from), u128::from(self.to));
        let inside = u128::from(micros.min(self.length));
        let behind = u128::from(micros.saturating_sub(self.length));
        let sloped = if to >= from {
            inside * (2 * from * length + (to - from) * inside) / length
        } else {
            inside * (2 * from * length - (from - to) * inside) / length
        };
        sloped + 2 * to * behind
    }

    /// After how many microseconds twice its area is `area` at least; within its length, unless it `stays`.
    fn reaches(&self, area: u128, stays: bool) -> u64 {
        let (from, to) = (self.from as f64, self.to as f64);
        // Near enough, by the root of the square equation that loses no digits; what is missing is searched.
        let root = (from * from + (to - from) * area as f64 / self.length as f64).max(0.0).sqrt();
        let guess = (area as f64 / (from + root)) as u64;
        let most = if stays { u64::MAX / 4 } else { self.length };
        let (mut low, mut high, mut stride) = (guess.min(most), guess.min(most), 1);
        while low > 0 && self.area(low) >= area {
            low = low.saturating_sub(stride);
            stride *= 2;
        }
        stride = 1;
        while high < most && self.area(high) < area {
            high = (high + stride).min(most);
            stride *= 2;
        }
        // The first that is enough lies in low..=high.
        while low < high {
            let middle = low + (high - low) / 2;
            if self.area(middle) >= area {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }
}

/// Rates per one length of time, in microseconds, that is a multiple of that of each.
fn common(rates: &[Rate]) -> (u128, Vec<u64>) {
    let pers = rates.iter().map(|rate| (rate.per.as_micros() as u64).max(1));
    let per = pers.clone().fold(1, |all, per| all / divisor(all, per) * per);
    (u128::from(per), rates.iter().zip(pers).map(|(rate, own)| rate.events * (per / own)).collect())
}

/// The greatest common divisor (Euclid).
const fn divisor(left: u64, right: u64) -> u64 {
    if right == 0 { left } else { divisor(right, left % right) }
}
