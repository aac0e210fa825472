//! Too much of one project in too short a time: 429, and the client may come back (rust/capture/src/v1/error.rs,
//! `RateLimited`; ingestion contract 1.4).
//!
//! Each token has a bucket, as a virtual time; the clock is the caller's.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How many requests a second a project may make, and how many at once.
#[derive(Debug)]
pub struct RateLimit {
    one: Duration,
    ahead: Duration,
    /// Up to when the requests of each token are spent at the steady rate.
    tokens: Mutex<HashMap<String, Duration>>,
}

impl RateLimit {
    /// Nobody has come yet. Both are at least 1.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let one = Duration::from_secs(1) / per_second.max(1);
        Self { one, ahead: one * burst.max(1), tokens: Mutex::default() }
    }

    /// Takes a request of `token`, at `now` of a clock that only goes forward; false if it is one too many.
    pub fn take(&self, token: &str, now: Duration) -> bool {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if !tokens.contains_key(token) {
            // There are as many as there are projects: what is spent is forgotten before another one comes.
            tokens.retain(|_, spent| *spent > now);
            tokens.insert(token.to_owned(), Duration::ZERO);
        }
        let Some(spent) = tokens.get_mut(token) else { return true };
        let next = (*spent).max(now) + self.one;
        if next > now + self.ahead {
            return false;
        }
        *spent = next;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_project_has_a_burst_and_then_the_steady_rate() {
        let limit = RateLimit::new(10, 3);
        let taken = |token: &str, requests: u64, millis| {
            (0..requests).filter(|_| limit.take(token, Duration::from_millis(millis))).count()
        };
        assert_eq!(taken("a", 5, 0), 3);
        assert_eq!(taken("b", 5, 0), 3, "its own bucket");
        assert_eq!(taken("a", 5, 100), 1);
        assert_eq!(taken("a", 50, 60_000), 3, "a full bucket and no more");
    }
}
