//! How often something may come, by its key: what comes of one person too often overflows, so that it does not hold up its
//! partition (rust/capture, `limiters/overflow.rs`; ingestion contract 1.5), and whose requests come too fast is told so with 429
//! (v1/error.rs, `RateLimited`; 1.4).
//!
//! Each key has a bucket of tokens, as a virtual time: what comes moves it on by what one takes at the steady rate, and what
//! that would get further ahead of the clock than a burst may is over the limit. The clock is the caller's.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How often a key may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// So many a second, for ever.
    pub per_second: u32,
    /// So many at once.
    pub burst: u32,
}

/// PostHog's own for overflow.
impl Default for RateLimits {
    fn default() -> Self {
        Self { per_second: 100, burst: 1_000 }
    }
}

/// So many keys are remembered before those are forgotten whose buckets are full.
const REMEMBERED: usize = 100_000;

/// What came of which key.
#[derive(Debug)]
pub struct Buckets {
    limits: RateLimits,
    keys: Mutex<HashMap<String, Key>>,
}

#[derive(Debug, Default)]
struct Key {
    /// Up to when what came is spent at the steady rate.
    spent_until: Duration,
    over: bool,
}

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is within the limit of its key.
    Within,
    /// It is over the limit of its key; the first one since the key was within it, or a later one.
    Over {
        /// Whether the one before was within the limit.
        first: bool,
    },
}

impl Buckets {
    /// Nobody has come yet.
    pub fn new(limits: RateLimits) -> Self {
        Self { limits, keys: Mutex::default() }
    }

    /// Takes one of `key`, at `now` of a clock that only goes forward.
    pub fn take(&self, key: &str, now: Duration) -> Taken {
        let RateLimits { per_second, burst } = self.limits;
        let one = Duration::from_secs(1) / per_second.max(1);
        let ahead = one * burst.max(1);
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= REMEMBERED {
            keys.retain(|_, key| key.spent_until > now);
        }
        if !keys.contains_key(key) {
            keys.insert(key.to_owned(), Key::default());
        }
        let Some(key) = keys.get_mut(key) else { return Taken::Within };
        let next = key.spent_until.max(now) + one;
        let was_over = std::mem::replace(&mut key.over, next > now + ahead);
        if key.over {
            return Taken::Over { first: !was_over };
        }
        key.spent_until = next;
        Taken::Within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many events of `key`, all at this millisecond, are over the limit.
    fn over(buckets: &Buckets, key: &str, events: usize, millis: u64) -> usize {
        let all = (0..events).map(|_| buckets.take(key, Duration::from_millis(millis)));
        all.filter(|taken| *taken != Taken::Within).count()
    }

    #[test]
    fn a_burst_is_let_through_and_then_the_steady_rate() {
        let buckets = Buckets::new(RateLimits { per_second: 100, burst: 10 });
        assert_eq!(over(&buckets, "a", 10, 0), 0);
        assert_eq!(over(&buckets, "a", 5, 0), 5);
        assert_eq!(over(&buckets, "b", 10, 0), 0, "each key has a bucket of its own");
        assert_eq!(over(&buckets, "a", 5, 20), 3, "two more after two hundredths");
        assert_eq!(over(&buckets, "a", 20, 60_000), 10, "a full bucket, and no more than that");
    }

    #[test]
    fn the_first_one_over_the_limit_is_told() {
        let buckets = Buckets::new(RateLimits { per_second: 1, burst: 1 });
        let take = |seconds| buckets.take("a", Duration::from_secs(seconds));
        let (first, later) = (Taken::Over { first: true }, Taken::Over { first: false });
        assert_eq!([take(0), take(0), take(0), take(1), take(1)], [Taken::Within, first, later, Taken::Within, first]);
    }

    #[test]
    fn keys_whose_buckets_are_full_are_forgotten() {
        let buckets = Buckets::new(RateLimits { per_second: 100, burst: 1 });
        for key in 0..REMEMBERED {
            buckets.take(&key.to_string(), Duration::ZERO);
        }
        buckets.take("x", Duration::from_secs(1));
        assert_eq!(buckets.keys.lock().unwrap().len(), 1);
    }
}
