//! Events that happened long ago go where imports go, where that is switched on (`rust/capture/src/router.rs`,
//! `HistoricalConfig`; ingestion contract 1.5): they shall not hold up those of now.

use jiff::{SignedDuration, Timestamp};

/// From which age on events take the other way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rerouting {
    /// Nothing, where it is switched off.
    from: Option<SignedDuration>,
}

impl Rerouting {
    /// From so many `days` on, where it is `enabled`.
    pub fn new(enabled: bool, days: u32) -> Self {
        Self { from: enabled.then(|| SignedDuration::from_hours(24 * i64::from(days))) }
    }

    /// Whether an event with this normalised timestamp takes the other way at `now`, which is asked only where it is switched on.
    pub fn takes(self, timestamp: &str, now: impl FnOnce() -> Timestamp) -> bool {
        let happened = || timestamp.parse::<Timestamp>().ok();
        self.from.is_some_and(|from| happened().is_some_and(|happened| now().duration_since(happened) >= from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_as_old_as_that_takes_the_other_way() {
        let now = || "2026-06-03T12:00:00Z".parse().unwrap();
        let (on, off) = (Rerouting::new(true, 1), Rerouting::new(false, 1));
        for (timestamp, expected) in [
            ("2026-06-02T12:00:00.000Z", true),
            ("2026-06-02T12:00:00.001Z", false),
            ("1970-01-01T00:00:00.000Z", true),
            ("2026-06-04T00:00:00.000Z", false),
            ("", false),
        ] {
            assert_eq!(on.takes(timestamp, now), expected, "{timestamp}");
            assert!(!off.takes(timestamp, now), "{timestamp}");
        }
        assert!(!Rerouting::new(true, 2).takes("2026-06-02T12:00:00.000Z", now));
    }
}
