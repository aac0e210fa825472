//! Overflow: what comes too often of one key is kept from holding up its partition (rust/capture, `limiters/overflow.rs`;
//! ingestion contract 1.5).
//!
//! Each key has a bucket of tokens, as a virtual time: an event moves it on by what one event takes at the steady rate, and one
//! that would get further ahead of the clock than a burst may is over the limit. The clock is the caller's.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How often a key may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Events a second, for ever.
    pub per_second: u32,
    /// Events at once.
    pub burst: u32,
}

/// PostHog's own.
impl Default for Limits {
    fn default() -> Self {
        Self { per_second: 100, burst: 1_000 }
    }
}

/// So many keys are remembered before those are forgotten whose buckets are full.
const REMEMBERED: usize = 100_000;

/// What came of which key.
#[derive(Debug)]
pub struct Overflow {
    limits: Limits,
    keys: Mutex<HashMap<String, Key>>,
}

#[derive(Debug, Default)]
struct Key {
    /// Up to when its events are spent at the steady rate.
    spent_until: Duration,
    over: bool,
}

/// What is to be done with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// The usual.
    Main,
    /// It is over the limit of its key; the first one since the key was within it, or a later one.
    Overflow {
        /// Whether the one before was within the limit.
        first: bool,
    },
}

impl Overflow {
    /// Nobody has come yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, keys: Mutex::default() }
    }

    /// Takes an event of `key`, at `now` of a clock that only goes forward.
    pub fn take(&self, key: &str, now: Duration) -> Lane {
        let Limits { per_second, burst } = self.limits;
        let one = Duration::from_secs(1) / per_second.max(1);
        let ahead = one * burst.max(1);
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= REMEMBERED {
            keys.retain(|_, key| key.spent_until > now);
        }
        if !keys.contains_key(key) {
            keys.insert(key.to_owned(), Key::default());
        }
        let Some(key) = keys.get_mut(key) else { return Lane::Main };
        let next = key.spent_until.max(now) + one;
        let was_over = std::mem::replace(&mut key.over, next > now + ahead);
        if key.over {
            return Lane::Overflow { first: !was_over };
        }
        key.spent_until = next;
        Lane::Main
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many events of `key`, all at this millisecond, are over the limit.
    fn over(overflow: &Overflow, key: &str, events: usize, millis: u64) -> usize {
        let lanes = (0..events).map(|_| overflow.take(key, Duration::from_millis(millis)));
        lanes.filter(|lane| *lane != Lane::Main).count()
    }

    #[test]
    fn a_burst_is_let_through_and_then_the_steady_rate() {
        let overflow = Overflow::new(Limits { per_second: 100, burst: 10 });
        assert_eq!(over(&overflow, "a", 10, 0), 0);
        assert_eq!(over(&overflow, "a", 5, 0), 5);
        assert_eq!(over(&overflow, "b", 10, 0), 0, "each key has a bucket of its own");
        assert_eq!(over(&overflow, "a", 5, 20), 3, "two more after two hundredths");
        assert_eq!(over(&overflow, "a", 20, 60_000), 10, "a full bucket, and no more than that");
    }

    #[test]
    fn the_first_one_over_the_limit_is_told() {
        let overflow = Overflow::new(Limits { per_second: 1, burst: 1 });
        let take = |seconds| overflow.take("a", Duration::from_secs(seconds));
        let (first, later) = (Lane::Overflow { first: true }, Lane::Overflow { first: false });
        assert_eq!([take(0), take(0), take(0), take(1), take(1)], [Lane::Main, first, later, Lane::Main, first]);
    }

    #[test]
    fn keys_whose_buckets_are_full_are_forgotten() {
        let overflow = Overflow::new(Limits { per_second: 100, burst: 1 });
        for key in 0..REMEMBERED {
            overflow.take(&key.to_string(), Duration::ZERO);
        }
        overflow.take("x", Duration::from_secs(1));
        assert_eq!(overflow.keys.lock().unwrap().len(), 1);
    }
}
