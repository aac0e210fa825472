//! When a line is due where there is no terminal to draw it on again and again, and how fast what it counts grows.

use std::time::Duration;

/// So often a line is written where there is no terminal.
pub(super) const SPOKEN_EVERY: Duration = Duration::from_mins(1);
/// The rate of a line that is drawn again and again is over so long.
const COUNTED_OVER: Duration = Duration::from_secs(1);

/// The pulse of the progress. It knows no clock: `now` counts from any moment.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    spoken: Option<Duration>,
    counted: Option<(Duration, u64)>,
    rate: Option<f64>,
}

impl Pulse {
    /// Whether a line is due at `now`; not at the first time, so that what takes no minute writes none.
    pub(super) fn is_due(&mut self, now: Duration) -> bool {
        let is_due = self.spoken.is_some_and(|spoken| now.saturating_sub(spoken) >= SPOKEN_EVERY);
        if is_due || self.spoken.is_none() {
            self.spoken = Some(now);
        }
        is_due
    }

    /// Takes in that `count` was reached at `now`, and returns the rate since the last line, each second; where `is_drawn`,
    /// since a second ago or so.
    pub(super) fn rate(&mut self, now: Duration, count: u64, is_drawn: bool) -> Option<f64> {
        self.begin(now, count);
        let (at, before) = self.counted?;
        let since = now.saturating_sub(at);
        if since >= COUNTED_OVER || (!is_drawn && !since.is_zero()) {
            (self.counted, self.rate) = (Some((now, count)), Some((count - before) as f64 / since.as_secs_f64()));
        }
        self.rate
    }

    /// Takes in the first count of a run; any other one is left to the next line.
    pub(super) fn begin(&mut self, now: Duration, count: u64) {
        if self.counted.is_none_or(|(_, before)| before > count) {
            (self.counted, self.rate) = (Some((now, count)), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_line_is_due_every_minute_and_none_before_the_first_is_over() {
        let mut pulse = Pulse::default();
        let due: Vec<u64> = (0..400).filter(|second| pulse.is_due(at(second * 500))).collect();
        assert_eq!(due, [120, 240, 360], "half seconds");
    }

    #[test]
    fn the_rate_is_that_since_the_line_before_and_begins_anew_with_a_run() {
        let mut pulse = Pulse::default();
        pulse.begin(at(0), 0);
        pulse.begin(at(30_000), 500);
        assert_eq!(pulse.rate(at(60_000), 1_200, false), Some(20.0));
        assert_eq!(pulse.rate(at(120_000), 1_200, false), Some(0.0));
        assert_eq!(pulse.rate(at(180_000), 0, false), None, "another run");
        let mut drawn = Pulse::default();
        let rates = [(0, 0), (100, 10), (1_000, 50), (1_100, 900), (2_000, 950)]
            .map(|(millis, count)| drawn.rate(at(millis), count, true));
        assert_eq!(rates, [None, None, Some(50.0), Some(50.0), Some(900.0)]);
    }
}
