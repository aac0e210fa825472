//! How PostHog's client libraries deliver: what each retries, when, how often, and what its bytes say then.
//!
//! Facts about other people's code, as data, with where they were read. What follows from them stands in
//! [`client`](crate::client); here nothing is decided. Which events share a batch, and when, is the scenario's affair, and what a
//! body says is the plan's: a profile says what becomes of a request. Where a library says the time in a way of its own
//! ([`Facts::time`]), a scenario with such clients plans so, unless it says otherwise.

use std::{ops::RangeInclusive, time::Duration};

use serde::{Deserialize, Serialize};

use super::{oddity::TimeForm, plan::Compression};

/// A client library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Assay's own: one attempt, whatever comes of it.
    #[default]
    Assay,
    /// posthog-python.
    PosthogPython,
    /// posthog-node, and what else is built on posthog-js's core.
    PosthogNode,
    /// posthog-js in a browser.
    PosthogJs,
    /// posthog-rs 0.21.
    PosthogRs,
}

/// How a library delivers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Facts {
    /// Its name in a scenario.
    pub name: &'static str,
    /// How long it waits for a reply; `None` for as long as the sender is told to.
    pub time_out: Option<Duration>,
    /// How often it tries again after a reply that it retries.
    pub retries: u32,
    /// How often after none: the connection broke, there was none, or no reply came in time.
    pub network_retries: u32,
    /// The statuses that it retries.
    pub statuses: &'static [RangeInclusive<u16>],
    /// The statuses that it retries only if the reply says when.
    pub statuses_on_request: &'static [u16],
    /// How long it waits before it tries again.
    pub back_off: BackOff,
    /// What it makes of a `Retry-After`.
    pub retry_after: RetryAfter,
    /// What `sent_at` says.
    pub sent_at: SentAt,
    /// Whether it sends the halves of a batch that was too large.
    pub halves: bool,
    /// How it compresses a body, unless it is told otherwise.
    pub compression: Compression,
    /// How its events say when they happened.
    pub time: TimeForm,
    /// After how long it builds a batch anew that it could not get rid of for want of a network; `None` if it drops it.
    pub keeps: Option<Duration>,
    /// How long after the last event was due its process ends, whatever it has left by then; `None` where its retries come to an
    /// end by themselves.
    pub ends_after: Option<Duration>,
}

/// How long a library waits before a retry, the first being number 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackOff {
    /// Always the same.
    Constant(Duration),
    /// Twice as long each time, up to a limit.
    Doubling {
        /// Before the first retry.
        first: Duration,
        /// The limit.
        most: Duration,
    },
    /// posthog-js's: as `Doubling` with 3 s and 30 min, moved at random by up to half of what the last doubling added to
    /// either side, and then found waiting by a poll every 3 s.
    Browser,
}

/// What a library makes of a reply's `Retry-After`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// Nothing.
    Ignored,
    /// It waits so many seconds instead; the form of a date is not read.
    Seconds,
    /// It waits so long instead, or until that date.
    SecondsOrDate,
}

/// What the `sent_at` of an attempt says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentAt {
    /// When the batch was built: retries repeat it, byte for byte.
    PerBatch,
    /// When the attempt was made.
    PerAttempt,
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const ASSAY: Facts = Facts {
    name: "assay",
    time_out: None,
    retries: 0,
    network_retries: 0,
    statuses: &[],
    statuses_on_request: &[],
    back_off: BackOff::Constant(Duration::ZERO),
    retry_after: RetryAfter::Ignored,
    sent_at: SentAt::PerAttempt,
    halves: false,
    compression: Compression::None,
    time: TimeForm::Timestamp,
    keeps: None,
    ends_after: None,
};

/// `posthog/consumer.py` (`_send`: all but 4xx other than 408 and 429, `min(2 ** attempt, 30)`), `posthog/client.py`
/// (`max_retries=3`, `timeout=15`), `posthog/request.py` (`sent_at` is made by each post).
const PYTHON: Facts = Facts {
    name: "posthog-python",
    time_out: Some(s(15)),
    retries: 3,
    network_retries: 3,
    statuses: &[100..=199, 201..=399, 408..=408, 429..=429, 500..=599],
    statuses_on_request: &[],
    back_off: BackOff::Doubling { first: s(1), most: s(30) },
    retry_after: RetryAfter::SecondsOrDate,
    sent_at: SentAt::PerAttempt,
    halves: false,
    compression: Compression::None,
    time: TimeForm::Timestamp,
    keeps: None,
    ends_after: None,
};

/// gzip where the runtime has it; `packages/core/src/posthog-core-stateless.ts` (`_flush`, `fetchWithRetry`: `fetchRetryCount` 3, `fetchRetryDelay` 3 s,
/// `requestTimeout` 10 s, every answer outside 200 to 399 but 413, `flushInterval` 10 s; `shutdown`, 30 s). After a 413 a
/// client keeps to smaller batches.
const NODE: Facts = Facts {
    name: "posthog-node",
    time_out: Some(s(10)),
    retries: 3,
    network_retries: 3,
    statuses: &[100..=199, 400..=412, 414..=599],
    statuses_on_request: &[],
    back_off: BackOff::Constant(s(3)),
    retry_after: RetryAfter::Ignored,
    sent_at: SentAt::PerBatch,
    halves: true,
    compression: Compression::Gzip,
    time: TimeForm::Timestamp,
    keeps: Some(s(10)),
    ends_after: Some(s(30)),
};

/// `packages/browser/src/retry-queue.ts` (`pickNextRetryDelay`, at most 10, 3 where no reply came; every answer but 200 and
/// 4xx), `packages/browser/src/request.ts` (60 s; `_` is written for each attempt) and `packages/browser/src/request-queue.ts`
/// (`offset` takes the place of `timestamp` when a batch is flushed, and a retry repeats it: incident 33). A page that is closed
/// is not played.
const BROWSER: Facts = Facts {
    name: "posthog-js",
    time_out: Some(s(60)),
    retries: 10,
    network_retries: 3,
    statuses: &[100..=199, 201..=399, 500..=599],
    statuses_on_request: &[],
    back_off: BackOff::Browser,
    retry_after: RetryAfter::Ignored,
    sent_at: SentAt::PerAttempt,
    halves: false,
    compression: Compression::GzipJs,
    time: TimeForm::Offset,
    keeps: None,
    ends_after: None,
};

/// `src/client/retry.rs` (`is_retryable_status`, `should_retry_v0`, `backoff_duration`) and `src/client/mod.rs` (3 attempts,
/// 200 ms to 30 s, 30 s for a reply).
const RUST: Facts = Facts {
    name: "posthog-rs",
    time_out: Some(s(30)),
    retries: 2,
    network_retries: 2,
    statuses: &[408..=408, 500..=500, 502..=504],
    statuses_on_request: &[429],
    back_off: BackOff::Doubling { first: Duration::from_millis(200), most: s(30) },
    retry_after: RetryAfter::Seconds,
    sent_at: SentAt::PerAttempt,
    halves: false,
    compression: Compression::None,
    time: TimeForm::Timestamp,
    keeps: None,
    ends_after: None,
};

impl Profile {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Assay, Self::PosthogPython, Self::PosthogNode, Self::PosthogJs, Self::PosthogRs];

    /// How it delivers.
    pub const fn facts(self) -> &'static Facts {
        match self {
            Self::Assay => &ASSAY,
            Self::PosthogPython => &PYTHON,
            Self::PosthogNode => &NODE,
            Self::PosthogJs => &BROWSER,
            Self::PosthogRs => &RUST,
        }
    }
}

/// What all of them retry of v1's replies (posthog-python's `posthog/capture_send.py`, `is_retryable_status` in posthog-rs): the server asks
/// for patience by these and `Retry-After`, and never by 429.
const V1_STATUSES: [u16; 5] = [408, 500, 502, 503, 504];

impl Facts {
    /// Whether it retries a reply with this status, as a whole; in v1 one with status 200 may ask for single events as well.
    pub fn retries_reply(&self, is_v1: bool, status: u16, says_when: bool) -> bool {
        if is_v1 { self.retries > 0 && V1_STATUSES.contains(&status) } else { self.retries_status(status, says_when) }
    }

    /// Whether it retries a reply with this status; `says_when` tells whether the reply has a `Retry-After` that it reads.
    pub fn retries_status(&self, status: u16, says_when: bool) -> bool {
        self.statuses.iter().any(|statuses| statuses.contains(&status))
            || (says_when && self.statuses_on_request.contains(&status))
    }
}

impl BackOff {
    /// How long it waits before retry number `retry`, from 0; `chance` is a random number in [0, 1).
    pub fn before(self, retry: u32, chance: f64) -> Duration {
        let doubled = |first: Duration| first.checked_mul(1 << retry.min(30)).unwrap_or(Duration::MAX);
        match self {
            Self::Constant(time) => time,
            Self::Doubling { first, most } => doubled(first).min(most),
            Self::Browser => {
                const POLL_MS: f64 = 3_000.0;
                let raw = doubled(s(3)).as_secs_f64() * 1e3;
                let capped = raw.min(1_800_000.0);
                let wait = libm::ceil(capped + (chance - 0.5) * (capped - raw / 2.0));
                // The poll takes what was due before it.
                Duration::from_millis(((libm::floor(wait / POLL_MS) + 1.0) * POLL_MS) as u64)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of some statuses each library retries, with and without a `Retry-After`.
    #[test]
    fn statuses_are_retried_as_the_libraries_do() {
        use Profile::{Assay, PosthogJs, PosthogNode, PosthogPython, PosthogRs};
        for (status, says_when, expected) in [
            (200, true, &[][..]),
            (204, false, &[PosthogPython, PosthogJs]),
            (302, false, &[PosthogPython, PosthogJs]),
            (400, false, &[PosthogNode]),
            (401, false, &[PosthogNode]),
            (408, false, &[PosthogPython, PosthogNode, PosthogRs]),
            (413, false, &[]),
            (429, false, &[PosthogPython, PosthogNode]),
            (429, true, &[PosthogPython, PosthogNode, PosthogRs]),
            (500, false, &[PosthogPython, PosthogNode, PosthogJs, PosthogRs]),
            (501, false, &[PosthogPython, PosthogNode, PosthogJs]),
            (503, true, &[PosthogPython, PosthogNode, PosthogJs, PosthogRs]),
        ] {
            let retry: Vec<_> =
                Profile::ALL.into_iter().filter(|one| one.facts().retries_status(status, says_when)).collect();
            assert_eq!(retry, expected, "{status} {says_when}");
            assert!(!retry.contains(&Assay));
        }
        for status in [200, 400, 401, 413, 429, 501, 408, 500, 502, 503, 504] {
            let retry = Profile::ALL.into_iter().filter(|one| one.facts().retries_reply(true, status, true));
            let expected = if [408, 500, 502, 503, 504].contains(&status) { 4 } else { 0 };
            assert_eq!(retry.filter(|one| *one != Assay).count(), expected, "v1 {status}");
            assert!(!Assay.facts().retries_reply(true, status, true));
        }
    }

    #[test]
    fn back_offs_grow_as_the_libraries_do() {
        let of = |profile: Profile, chance| -> Vec<u64> {
            let before = |retry| profile.facts().back_off.before(retry, chance).as_millis() as u64;
            (0..6).map(before).collect()
        };
        assert_eq!(of(Profile::PosthogPython, 0.9), [1_000, 2_000, 4_000, 8_000, 16_000, 30_000]);
        assert_eq!(of(Profile::PosthogNode, 0.9), [3_000; 6]);
        assert_eq!(of(Profile::PosthogRs, 0.9), [200, 400, 800, 1_600, 3_200, 6_400]);
        // 2.25 s is found by the poll at 3 s, 4.5 s by that at 6 s, 9 s by the one after 9 s.
        assert_eq!(of(Profile::PosthogJs, 0.0), [3_000, 6_000, 12_000, 21_000, 39_000, 72_000 + 3_000]);
        assert_eq!(of(Profile::PosthogJs, 0.999), [6_000, 9_000, 15_000, 30_000, 60_000, 120_000]);
        assert_eq!(BackOff::Browser.before(40, 0.5), s(1_803), "the limit");
    }

    #[test]
    fn what_is_kept_without_an_end_ends_with_its_process() {
        for profile in Profile::ALL {
            let facts = profile.facts();
            assert_eq!(facts.keeps.is_some(), facts.ends_after.is_some(), "{profile:?}");
            assert_eq!(facts.time == TimeForm::Offset, profile == Profile::PosthogJs, "{profile:?}");
        }
    }

    #[test]
    fn a_profile_is_stored_under_its_name() {
        for profile in Profile::ALL {
            assert_eq!(serde_json::to_value(profile).unwrap(), profile.facts().name);
        }
    }
}
