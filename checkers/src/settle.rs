//! Settling: when the pipeline is quiet enough to be read for good.
//!
//! A pure state machine: what was watched goes in, what to do next comes out. It always waits the quiet time after the
//! last change, also when everything is visible (late duplicates and phantoms come later), goes on while the subject's
//! consumers lag or an event is pending, and then asks for final reads until the same result came twice, the quiet time
//! apart. The settle limit ends it as insufficient.

use std::time::Duration;

/// When to settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettleRules {
    /// The quiet time.
    pub quiet: Duration,
    /// How long settling may take.
    pub limit: Duration,
}

/// What was watched, all times from the run's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    /// The present.
    pub now: Duration,
    /// When the store last changed.
    pub last_change: Duration,
    /// How many messages the subject's consumers are behind; `None` where Kafka cannot be read.
    pub lag: Option<u64>,
    /// When the youngest event that must appear and has not was answered, plus `loss_after`: until then it is pending.
    pub pending_until: Option<Duration>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Watch on, and ask again soon.
    Wait,
    /// Read everything, and say so with [`Settling::read`].
    Read,
    /// The same result came twice.
    Settled,
    /// It did not become quiet in time; the reason says what was missing.
    LimitReached(&'static str),
}

/// Settling, from the end of sending on.
#[derive(Debug, Clone)]
pub struct Settling {
    rules: SettleRules,
    began: Duration,
    /// The end and the digest of the latest final read, and whether the one before it said the same.
    latest: Option<(Duration, u64)>,
    stable: bool,
}

impl Settling {
    /// Settling that begins at `began`, from the run's start.
    pub const fn new(rules: SettleRules, began: Duration) -> Self {
        Self { rules, began, latest: None, stable: false }
    }

    /// Notes a final read that ended at `end`; equal digests mean equal results.
    pub fn read(&mut self, end: Duration, digest: u64) {
        self.stable = self.latest.is_some_and(|(_, before)| before == digest);
        self.latest = Some((end, digest));
    }

    /// What to do, given what was watched.
    pub fn step(&self, watched: Watched) -> Step {
        if self.stable {
            return Step::Settled;
        }
        let unquiet = if watched.pending_until.is_some_and(|until| watched.now < until) {
            Some("events were still missing, too young to be called lost")
        } else if watched.lag.is_some_and(|lag| lag > 0) {
            Some("the subject's consumers had not read everything")
        } else if watched.now < watched.last_change + self.rules.quiet {
            Some("the store kept changing")
        } else {
            None
        };
        // A read that has become due may still be made at the limit; beyond it nothing is waited for.
        let read_due = self.latest.is_none_or(|(end, _)| watched.now >= end + self.rules.quiet);
        if watched.now > self.began + self.rules.limit {
            return Step::LimitReached(unquiet.unwrap_or("two reads of the store did not say the same"));
        }
        if unquiet.is_none() && read_due { Step::Read } else { Step::Wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const RULES: SettleRules = SettleRules { quiet: seconds(2), limit: seconds(16) };

    fn quiet_at(now: u64) -> Watched {
        Watched { now: seconds(now), last_change: seconds(10), lag: Some(0), pending_until: None }
    }

    #[test]
    fn it_waits_for_quiet_then_reads_twice() {
        let mut settling = Settling::new(RULES, seconds(10));
        assert_eq!(settling.step(quiet_at(11)), Step::Wait);
        assert_eq!(settling.step(quiet_at(12)), Step::Read);
        settling.read(seconds(13), 7);
        assert_eq!(settling.step(quiet_at(14)), Step::Wait, "the second read comes the quiet time after the first");
        assert_eq!(settling.step(quiet_at(15)), Step::Read);
        settling.read(seconds(15), 7);
        assert_eq!(settling.step(quiet_at(15)), Step::Settled);
    }

    #[test]
    fn another_result_needs_a_third_read() {
        let mut settling = Settling::new(RULES, seconds(10));
        settling.read(seconds(12), 7);
        settling.read(seconds(14), 8);
        assert_eq!(settling.step(quiet_at(15)), Step::Wait);
        assert_eq!(settling.step(quiet_at(16)), Step::Read);
        settling.read(seconds(16), 8);
        assert_eq!(settling.step(quiet_at(16)), Step::Settled);
    }

    #[test]
    fn lag_pending_events_and_change_all_hold_it_back_until_the_limit() {
        let settling = Settling::new(RULES, seconds(10));
        let cases = [
            (Watched { lag: Some(1), ..quiet_at(20) }, "consumers"),
            (Watched { pending_until: Some(seconds(40)), ..quiet_at(20) }, "missing"),
            (Watched { last_change: seconds(19), ..quiet_at(20) }, "changing"),
        ];
        for (watched, _) in cases {
            assert_eq!(settling.step(watched), Step::Wait);
        }
        for (watched, reason) in cases {
            let late = Watched { now: seconds(27), last_change: watched.last_change + seconds(7), ..watched };
            assert!(matches!(settling.step(late), Step::LimitReached(why) if why.contains(reason)), "{reason}");
        }
        assert_eq!(settling.step(Watched { lag: None, ..quiet_at(20) }), Step::Read, "no Kafka, no lag to wait for");
        assert_eq!(settling.step(Watched { pending_until: Some(seconds(19)), ..quiet_at(20) }), Step::Read);
        assert_eq!(
            settling.step(Watched { pending_until: Some(seconds(20)), ..quiet_at(20) }),
            Step::Read,
            "until then"
        );
        assert_eq!(settling.step(quiet_at(26)), Step::Read, "at the limit, and not beyond it");
        assert!(matches!(settling.step(quiet_at(27)), Step::LimitReached(_)));
    }
}
