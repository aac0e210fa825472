//! A Poisson process by position: blocks of up to 2²⁴ events that last as long as the rate says, halved again and again.
//!
//! Given how many events of a Poisson process fall into a stretch of time, they lie there independently and evenly (Cox and
//! Lewis, "The statistical analysis of series of events", 1966): so each falls into the first half with a chance of 1/2, and how
//! many do so is all that has to be drawn of a stretch. The way down to one event, or to one moment, needs no memory of the
//! others. What is lost are swings of more than a block: one of 2²⁴ events would swing by 0.02 %.

use std::time::Duration;

use super::Rate;
use crate::{
    identity::StreamId,
    random::{Purpose, Random},
};

/// The logarithm of the number of events in the largest block.
const LARGEST: u32 = 24;
/// Where events are so rare, blocks are smaller: nothing is due after 584 years.
const LONGEST: Duration = Duration::from_hours(24 * 365 * 30);
/// A block's moments are told from each other to so many bits.
const BITS: u32 = 48;
/// So many coins are tossed at most. More events are halved by the normal law, which is that of many coins.
const COINS: u64 = 512;

#[derive(Debug, Clone, Copy)]
pub(super) struct Poisson {
    rate: Rate,
    seed: u64,
    stream: StreamId,
    /// Events in a block.
    block: u64,
}

impl Poisson {
    pub fn new(rate: Rate, seed: u64, stream: StreamId) -> Self {
        let fits = |log: &u32| rate.due(1 << log) <= LONGEST;
        Self { rate, seed, stream, block: 1 << (0..=LARGEST).rev().find(fits).unwrap_or(0) }
    }

    pub fn due(&self, position: u64) -> Duration {
        let (block, mut place) = (position / self.block, position % self.block);
        let key = self.key(block);
        let mut stretch = Stretch::whole(self.block);
        while stretch.is_divided() {
            let (first, second) = self.halves(key, stretch);
            stretch = if place < first.events {
                first
            } else {
                place -= first.events;
                second
            };
        }
        self.moment(block, self.within(key, stretch))
    }

    pub fn before(&self, at: Duration) -> u64 {
        // The block in which it lies, or that begins then.
        let block = self.rate.before(at).saturating_sub(1) / self.block;
        let (key, mut earlier) = (self.key(block), block * self.block);
        let mut stretch = Stretch::whole(self.block);
        while stretch.is_divided() {
            let (first, second) = self.halves(key, stretch);
            stretch = if self.moment(block, second.begin()) < at {
                earlier += first.events;
                second
            } else {
                first
            };
        }
        if self.moment(block, self.within(key, stretch)) < at { earlier + stretch.events } else { earlier }
    }

    /// What chooses all that is random in a block.
    fn key(&self, block: u64) -> u64 {
        Random::new(self.seed, self.stream, block, Purpose::Arrival).bits()
    }

    fn random(&self, key: u64, stretch: Stretch) -> Random {
        Random::new(key, self.stream, stretch.number(), Purpose::Arrival)
    }

    fn halves(&self, key: u64, stretch: Stretch) -> (Stretch, Stretch) {
        let Stretch { level, place, events } = stretch;
        let first = in_first_half(events, &mut self.random(key, stretch));
        let half = |place, events| Stretch { level: level + 1, place, events };
        (half(2 * place, first), half(2 * place + 1, events - first))
    }

    /// Where its event lies in the block, in 2⁻⁴⁸ of its length.
    fn within(&self, key: u64, stretch: Stretch) -> u64 {
        stretch.begin() + self.random(key, stretch).bits() % stretch.length()
    }

    fn moment(&self, block: u64, within: u64) -> Duration {
        let begin = |block: u64| self.rate.due(block.saturating_mul(self.block));
        let (from, to) = (begin(block), begin(block + 1));
        let length = u128::from(to.saturating_sub(from).as_nanos() as u64);
        from + Duration::from_nanos(((length * u128::from(within)) >> BITS) as u64)
    }
}

/// A part of a block: one of 2^level equally long ones.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    level: u32,
    place: u64,
    events: u64,
}

impl Stretch {
    const fn whole(events: u64) -> Self {
        Self { level: 0, place: 0, events }
    }

    const fn is_divided(self) -> bool {
        self.events > 1 && self.level < BITS
    }

    const fn length(self) -> u64 {
        1 << (BITS - self.level)
    }

    const fn begin(self) -> u64 {
        self.place * self.length()
    }

    /// Another one for each part of a block.
    const fn number(self) -> u64 {
        (1 << self.level) + self.place
    }
}

/// How many of `events` fall into the first half.
fn in_first_half(events: u64, random: &mut Random) -> u64 {
    let mut heads = |coins: u64| u64::from((random.bits() & (u64::MAX >> (64 - coins))).count_ones());
    if events <= COINS {
        let (words, rest) = (events / 64, events % 64);
        return (0..words).map(|_| heads(64)).sum::<u64>() + if rest == 0 { 0 } else { heads(rest) };
    }
    let heads: u64 = (0..COINS / 64).map(|_| heads(64)).sum();
    // What is drawn here lies between two numbers of heads, in 2⁻¹⁶ of a coin.
    let coins = ((heads as i64 - COINS as i64 / 2) << 16) + (random.bits() >> 48) as i64 - (1 << 15);
    // The standard deviation is half the root of the number: a coin stands for so many events, in 2⁻¹⁶ of one.
    let of_a_coin = ((events << 32) / COINS).isqrt() as i64;
    let swing = (coins * of_a_coin + (1 << 31)) >> 32;
    (events / 2).saturating_add_signed(swing).min(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poisson(events: u64, per: Duration) -> Poisson {
        Poisson::new(Rate::new(events, per).unwrap(), 3, StreamId(0))
    }

    /// Variance and mean of how many events fall into each of `stretches` of that length.
    fn of_counts(poisson: &Poisson, length: Duration, stretches: u32) -> (f64, f64) {
        let ends: Vec<u64> = (0..=stretches).map(|end| poisson.before(length * end)).collect();
        let counts: Vec<f64> = ends.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = counts.iter().sum::<f64>() / counts.len() as f64;
        (counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / (counts.len() - 1) as f64, mean)
    }

    #[test]
    fn counts_swing_as_those_of_a_poisson_process_over_any_stretch() {
        let poisson = poisson(1_000, Duration::from_secs(1));
        for (millis, stretches) in [(1, 4_000), (20, 4_000), (500, 4_000), (1_000, 4_000), (60_000, 200)] {
            let (variance, mean) = of_counts(&poisson, Duration::from_millis(millis), stretches);
            // The variance of a variance is 2 / n: four standard deviations.
            let allowed = 4.0 * (2.0 / f64::from(stretches)).sqrt();
            assert!((variance / mean - 1.0).abs() < allowed, "{millis} ms: {variance} of {mean}");
        }
    }

    #[test]
    fn halves_are_those_of_coins_also_where_the_normal_law_draws_them() {
        for events in [1, 64, 65, 512, 513, 10_000, 1 << 24] {
            let halves: Vec<f64> = (0..4_000)
                .map(|index| {
                    let half = in_first_half(events, &mut Random::new(5, StreamId(0), index, Purpose::Arrival));
                    half as f64 - events as f64 / 2.0
                })
                .collect();
            let (deviation, n) = ((events as f64).sqrt() / 2.0, halves.len() as f64);
            let mean = halves.iter().sum::<f64>() / n / deviation;
            let variance = halves.iter().map(|half| (half / deviation).powi(2)).sum::<f64>() / n;
            let beyond = halves.iter().filter(|half| half.abs() > 2.0 * deviation).count() as f64 / n;
            assert!(mean.abs() < 4.0 / n.sqrt() && (variance - 1.0).abs() < 0.09, "{events}: {mean} {variance}");
            assert!(events < 64 || (beyond - 0.045).abs() < 0.02, "{events}: {beyond}");
        }
    }

    #[test]
    fn blocks_end_where_they_must_and_are_small_where_events_are_rare() {
        let quick = poisson(64, Duration::from_secs(1));
        assert_eq!(quick.block, 1 << LARGEST);
        for blocks in [1, 7] {
            assert_eq!(quick.before(Duration::from_secs(blocks << (LARGEST - 6))), blocks << LARGEST);
        }
        let hourly = poisson(1, Duration::from_hours(1));
        assert_eq!(hourly.block, 1 << 18);
        let day = of_counts(&hourly, Duration::from_hours(24), 5_000);
        assert!((day.1 - 24.0).abs() < 0.3 && (day.0 / day.1 - 1.0).abs() < 0.08, "{day:?}");
        let rare = poisson(1, Duration::from_hours(24 * 365 * 100));
        assert_eq!(rare.block, 1);
        assert!(rare.due(3) >= Duration::from_hours(24 * 365 * 300));
    }
}
