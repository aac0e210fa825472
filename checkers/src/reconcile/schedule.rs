//! How well the generator kept to its own schedule: how late the requests left.
//!
//! Only first attempts have a place in the schedule. What a client's library sends again is counted apart.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The lateness of many requests, kept to a tenth of a percent; memory does not grow with them.
#[derive(Debug, Clone)]
pub struct Schedule {
    tolerance: Duration,
    requests: u64,
    retries: u64,
    punctual: u64,
    latest: Duration,
    lateness: Option<Histogram<u64>>,
}

impl Schedule {
    /// No request yet; one that leaves more than `tolerance` after its intended moment will be late.
    pub fn new(tolerance: Duration) -> Self {
        // In microseconds, up to 12 days; the bounds are constants that the constructor accepts.
        let lateness = Histogram::<u64>::new_with_bounds(1, 1 << 40, 3).ok();
        Self { tolerance, requests: 0, retries: 0, punctual: 0, latest: Duration::ZERO, lateness }
    }

    /// Adds a request that left so late.
    pub fn add(&mut self, late: Duration) {
        self.requests += 1;
        self.punctual += u64::from(late <= self.tolerance);
        self.latest = self.latest.max(late);
        if let Some(lateness) = &mut self.lateness {
            lateness.saturating_record(late.as_micros() as u64);
        }
    }

    /// Adds a later attempt that left.
    pub const fn add_retry(&mut self) {
        self.retries += 1;
    }

    /// How many later attempts left.
    pub const fn retries(&self) -> u64 {
        self.retries
    }

    /// How many requests left, later attempts not counted.
    pub const fn requests(&self) -> u64 {
        self.requests
    }

    /// From when on a request is late.
    pub const fn tolerance(&self) -> Duration {
        self.tolerance
    }

    /// The share of requests that were not late; 0 where there was none.
    pub fn on_schedule_share(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.punctual as f64 / self.requests as f64 }
    }

    /// How late all but one in a hundred left at most.
    pub fn lateness_p99(&self) -> Duration {
        let micros = self.lateness.as_ref().map_or(0, |lateness| lateness.value_at_quantile(0.99));
        Duration::from_micros(micros).min(self.latest)
    }

    /// How late the latest left.
    pub const fn latest(&self) -> Duration {
        self.latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_counted_against_the_tolerance() {
        let ms = Duration::from_millis;
        let mut schedule = Schedule::new(ms(100));
        assert_eq!((schedule.requests(), schedule.on_schedule_share()), (0, 0.0));
        assert_eq!((schedule.lateness_p99(), schedule.latest()), (Duration::ZERO, Duration::ZERO));
        (1..=200).for_each(|late| schedule.add(ms(late)));
        assert_eq!((schedule.requests(), schedule.on_schedule_share(), schedule.latest()), (200, 0.5, ms(200)));
        let p99 = schedule.lateness_p99().as_secs_f64();
        assert!((p99 / 0.198 - 1.0).abs() < 1e-3, "{p99}");
    }
}
