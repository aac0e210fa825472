//! The run's clock: offsets from its start, on a clock that never steps.
//!
//! All times of a run are offsets from one start, taken once both from the wall clock and from the monotonic one. So
//! sending and watching share an axis, and a step of the wall clock in mid-run moves nothing.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// When a run's traffic started, in microseconds since 1970 (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunStart(i64);

impl RunStart {
    /// A start at `micros` since 1970.
    pub const fn from_unix_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970.
    pub const fn unix_micros(self) -> i64 {
        self.0
    }
}

/// Tells how long ago the run started.
#[derive(Debug, Clone, Copy)]
pub struct RunClock {
    start: RunStart,
    anchor: Instant,
}

impl RunClock {
    /// A clock whose start lies `lead` ahead of now.
    pub fn starting_in(lead: Duration) -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + lead;
        Self { start: RunStart(wall.as_micros() as i64), anchor: Instant::now() + lead }
    }

    /// A clock for traffic that starts, or started, at `start` by this machine's wall clock.
    pub fn at(start: RunStart) -> Self {
        let (wall, now) = (SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), Instant::now());
        let ahead = start.0 - wall.as_micros() as i64;
        let apart = Duration::from_micros(ahead.unsigned_abs());
        // A monotonic clock that did not run yet at the start shows less than it should, and all is late.
        let anchor = if ahead >= 0 { now + apart } else { now.checked_sub(apart).unwrap_or(now) };
        Self { start, anchor }
    }

    /// How long ago the start was by this machine's wall clock; zero if it is to come.
    pub fn since(start: RunStart) -> Duration {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as i64;
        Duration::from_micros((wall - start.0).max(0) as u64)
    }

    /// The start.
    pub const fn start(&self) -> RunStart {
        self.start
    }

    /// The time since the start, zero before it.
    pub fn elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(self.anchor)
    }

    /// The moment on the monotonic clock that lies `offset` after the start.
    pub fn instant(&self, offset: Duration) -> Instant {
        self.anchor + offset
    }
}
