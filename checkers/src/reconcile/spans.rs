//! Times to visible as spans, kept as two histograms: memory does not grow with the events.
//!
//! An event was first seen after the beginning of the last read that missed it and by the end of the first that saw it.
//! The right ends bound quantiles from above, the left ends from below; an event that nobody saw has no right end.

use hdrhistogram::Histogram;

use crate::statistics::quantiles::rank;

/// The span in which the time-to-visible of one event lies, from its intended sending, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeToVisible {
    /// It was not visible so soon.
    pub after: f64,
    /// It was visible by then; `None` if that is not known, as for an event that was never seen.
    pub by: Option<f64>,
    /// Whether it was seen at all.
    pub seen: bool,
}

/// The spans of many events, kept to a tenth of a percent.
#[derive(Debug, Clone, Default)]
pub struct Spans {
    left: Ends,
    right: Ends,
    unseen: u64,
}

impl Spans {
    /// Adds the span of `events` events that have the same.
    pub fn add(&mut self, time: TimeToVisible, events: u64) {
        self.left.add(Some(time.after), events);
        self.right.add(time.by, events);
        self.unseen += if time.seen { 0 } else { events };
    }

    /// How many events there are.
    pub const fn n(&self) -> u64 {
        self.left.n
    }

    /// How many of them were never seen.
    pub const fn unseen(&self) -> u64 {
        self.unseen
    }

    /// The left end at `rank`, from 1 in ascending order, in seconds.
    pub fn left_at(&self, rank: u64) -> Option<f64> {
        self.left.at(rank)
    }

    /// The right end at `rank`; `None` where it is not known.
    pub fn right_at(&self, rank: u64) -> Option<f64> {
        self.right.at(rank)
    }
}

/// One end of many spans, in ascending order with the unknown last.
#[derive(Debug, Clone, Default)]
struct Ends {
    known: Option<Histogram<u64>>,
    n: u64,
}

impl Ends {
    fn add(&mut self, seconds: Option<f64>, events: u64) {
        self.n += events;
        let Some(seconds) = seconds else { return };
        if self.known.is_none() {
            // In microseconds, up to 12 days; the bounds are constants that the constructor accepts.
            self.known = Histogram::<u64>::new_with_bounds(1, 1 << 40, 3).ok();
        }
        if let Some(known) = &mut self.known {
            known.saturating_record_n((seconds.max(0.0) * 1e6).round() as u64, events);
        }
    }

    fn at(&self, rank: u64) -> Option<f64> {
        let known = self.known.as_ref()?;
        if rank == 0 || rank > known.len() {
            return None;
        }
        // The histogram counts from the least; half a step back keeps rounding on the right side of the rank.
        let value = known.value_at_quantile((rank as f64 - 0.5) / known.len() as f64);
        Some(value.min(known.max()) as f64 / 1e6)
    }
}

/// Times-to-visible, split by the stages of the pipeline: to the capture topic, to the ingester's output, to the store.
#[derive(Debug, Clone, Default)]
pub struct Split([Ends; 3]);

impl Split {
    /// The names of the parts, in their order.
    pub const PARTS: [&str; 3] = ["sent to captured", "captured to ingested", "ingested to visible"];

    /// Adds the beginnings and ends of `events` events that have the same, in seconds from the run's start, as far as they are
    /// known.
    pub fn add(&mut self, parts: [(Option<f64>, Option<f64>); 3], events: u64) {
        for (ends, (from, to)) in self.0.iter_mut().zip(parts) {
            if let (Some(from), Some(to)) = (from, to) {
                ends.add(Some(to - from), events);
            }
        }
    }

    /// For each part how many events it has, and its quantile `q` in seconds.
    pub fn quantile(&self, q: f64) -> [(u64, Option<f64>); 3] {
        self.0.each_ref().map(|ends| (ends.n, rank(ends.n, q).and_then(|rank| ends.at(rank))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_ordered_and_the_unknown_are_beyond_all() {
        let mut spans = Spans::default();
        for (after, by, seen) in [(1.0, Some(2.0), true), (0.5, Some(1.0), true), (9.0, None, false), (0.0, None, true)]
        {
            spans.add(TimeToVisible { after, by, seen }, 1);
        }
        let close = |value: Option<f64>, expected: f64| (value.unwrap() / expected - 1.0).abs() < 1e-3;
        assert_eq!((spans.n(), spans.unseen()), (4, 1));
        assert!(close(spans.right_at(1), 1.0) && close(spans.right_at(2), 2.0));
        assert_eq!((spans.right_at(3), spans.right_at(0), spans.right_at(5)), (None, None, None));
        assert!(close(spans.left_at(2), 0.5) && close(spans.left_at(4), 9.0));
        assert_eq!(Spans::default().right_at(1), None);
    }

    #[test]
    fn a_time_is_split_as_far_as_its_stages_are_known() {
        let mut split = Split::default();
        split.add([(Some(1.0), Some(1.5)), (Some(1.5), Some(3.5)), (Some(3.5), Some(3.75))], 1);
        split.add([(Some(1.0), Some(1.5)), (Some(1.5), None), (None, Some(9.0))], 1);
        let medians = split.quantile(0.5);
        for ((n, found), (events, expected)) in medians.into_iter().zip([(2, 0.5), (1, 2.0), (1, 0.25)]) {
            assert_eq!(n, events);
            assert!((found.unwrap() / expected - 1.0).abs() < 1e-3, "{found:?}");
        }
        assert_eq!(Split::default().quantile(0.5), [(0, None); 3]);
    }

    #[test]
    fn every_rank_of_many_is_found() {
        let mut spans = Spans::default();
        for step in 1..=1_000 {
            spans.add(TimeToVisible { after: 0.0, by: Some(f64::from(step) / 1e3), seen: true }, 1);
        }
        for rank in 1..=1_000 {
            let value = spans.right_at(rank).unwrap();
            assert!((value * 1e3 / rank as f64 - 1.0).abs() < 2e-3, "{rank}: {value}");
        }
    }
}
