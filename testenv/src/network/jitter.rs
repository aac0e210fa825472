//! By how much a delayed link varies: drawn from the fault's seed, so that a run's seed repeats that, too.
//!
//! Which bytes make a chunk, and when it comes, is the network's; how long the first chunk of a connection's direction waits,
//! and the second one, is the seed's.

use std::time::Duration;

use crate::draw::drawn;

/// How long the chunks of one direction of a connection wait.
#[derive(Debug)]
pub(super) struct Jitter {
    /// Of the link's directions this one.
    way: u64,
    seed: u64,
    /// So many have waited since the seed is this one.
    waited: u64,
}

impl Jitter {
    /// That of a direction of the link's connection with this number, from nothing on.
    pub(super) fn new(connection: u64, is_back: bool) -> Self {
        Self { way: connection.wrapping_mul(2).wrapping_add(u64::from(is_back)), seed: 0, waited: 0 }
    }

    /// How long the next chunk waits: evenly spread from `by − jitter` to `by + jitter`, drawn from `seed`.
    pub(super) fn next(&mut self, by: Duration, jitter: Duration, seed: u64) -> Duration {
        if self.seed != seed {
            // Another fault: what went before does not matter to it.
            (self.seed, self.waited) = (seed, 0);
        }
        let word = drawn(drawn(seed, self.way), self.waited);
        self.waited += 1;
        // Of a number's bits a float keeps 53.
        let share = (word >> 11) as f64 / (1_u64 << 53) as f64;
        by.saturating_sub(jitter) + jitter.min(by).mul_f64(2.0 * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY: Duration = Duration::from_millis(100);
    const JITTER: Duration = Duration::from_millis(20);
    const LEAST: Duration = Duration::from_millis(80);

    fn row(jitter: &mut Jitter, seed: u64) -> Vec<Duration> {
        (0..1_000).map(|_| jitter.next(BY, JITTER, seed)).collect()
    }

    #[test]
    fn delays_are_spread_evenly_around_what_is_asked() {
        let delays = row(&mut Jitter::new(3, false), 7);
        assert!(delays.iter().all(|delay| (LEAST..=BY + JITTER).contains(delay)));
        // Of ten parts of the range each gets about a tenth.
        for part in 0..10 {
            let from = LEAST + JITTER * 2 / 10 * part;
            let within = delays.iter().filter(|delay| (from..from + JITTER * 2 / 10).contains(*delay)).count();
            assert!((60..=140).contains(&within), "{within} of 1000 in part {part}");
        }
        assert_eq!(Jitter::new(0, true).next(BY, Duration::ZERO, 7), BY, "without jitter there is none");
    }

    #[test]
    fn seed_connection_and_direction_decide_them_and_nothing_else() {
        let of = |connection, is_back, seed| row(&mut Jitter::new(connection, is_back), seed);
        assert_eq!(of(3, false, 7), of(3, false, 7));
        for other in [of(4, false, 7), of(3, true, 7), of(3, false, 8)] {
            assert_ne!(of(3, false, 7), other);
        }
        let mut later = Jitter::new(3, false);
        row(&mut later, 6);
        assert_eq!(row(&mut later, 7), of(3, false, 7), "an earlier fault changes nothing");
    }
}
