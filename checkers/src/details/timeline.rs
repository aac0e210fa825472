//! What happened when, in a bounded number of buckets: where a run outgrows them, each two become one.
//!
//! Nothing is averaged when buckets are joined: counts are added, histograms merged, of lags the greatest is kept.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::reconcile::evidence::Class;

/// A run has at most so many buckets; they begin with a second each.
pub const BUCKETS: usize = 600;

/// What can become one with what came after it.
pub trait Join: Default {
    /// Takes in the later one.
    fn join(&mut self, later: Self);
}

/// A bounded number of stretches of time, all of the same width, from the run's start.
#[derive(Debug, Clone)]
pub struct Buckets<T> {
    width: u64,
    all: Vec<T>,
}

impl<T> Default for Buckets<T> {
    fn default() -> Self {
        Self { width: 1, all: Vec::new() }
    }
}

impl<T: Join> Buckets<T> {
    /// The bucket of a moment from the run's start.
    pub fn at(&mut self, moment: Duration) -> &mut T {
        while moment.as_secs() / self.width >= BUCKETS as u64 {
            let halves = std::mem::take(&mut self.all);
            let mut halves = halves.into_iter();
            while let Some(mut first) = halves.next() {
                if let Some(second) = halves.next() {
                    first.join(second);
                }
                self.all.push(first);
            }
            self.width *= 2;
        }
        let place = (moment.as_secs() / self.width) as usize;
        if place >= self.all.len() {
            self.all.resize_with(place + 1, T::default);
        }
        &mut self.all[place]
    }

    /// How many seconds each covers.
    pub const fn width(&self) -> u64 {
        self.width
    }

    /// All of them, in their order.
    pub fn all(&self) -> &[T] {
        &self.all
    }
}

/// Events with the same moments. Moments count from the run's start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Passing {
    /// When they were to be sent.
    pub intended: Option<Duration>,
    /// When they were.
    pub sent: Option<Duration>,
    /// When the first ack came.
    pub acked: Option<Duration>,
    /// The end of the first read that saw them.
    pub visible: Option<Duration>,
    /// Whether they must become visible, so that their time-to-visible counts.
    pub is_timed: bool,
    /// Their class, if something is wrong with them.
    pub class: Option<Class>,
    /// How many they are.
    pub events: u64,
}

/// What happened in one stretch of time.
#[derive(Debug, Clone, Default)]
pub struct Bucket {
    intended: u64,
    sent: u64,
    acked: u64,
    visible: u64,
    /// Of those that were to be sent in it: milliseconds until they were visible.
    times: Option<Histogram<u32>>,
    /// Of those, the ones that were never seen.
    unseen: u64,
    defects: [u64; Class::ALL.len()],
}

impl Join for Bucket {
    fn join(&mut self, later: Self) {
        self.intended += later.intended;
        self.sent += later.sent;
        self.acked += later.acked;
        self.visible += later.visible;
        self.unseen += later.unseen;
        self.defects.iter_mut().zip(later.defects).for_each(|(defects, more)| *defects += more);
        match (&mut self.times, later.times) {
            // Both grow as they must, so adding them does not fail.
            (Some(times), Some(more)) => drop(times.add(more)),
            (times @ None, more) => *times = more,
            (Some(_), None) => (),
        }
    }
}

impl Bucket {
    fn time(&mut self, seconds: Option<f64>, events: u64) {
        let Some(seconds) = seconds else {
            self.unseen += events;
            return;
        };
        if self.times.is_none() {
            // In milliseconds, to a percent, up to 12 days; the bounds are constants that the constructor accepts.
            self.times = Histogram::new_with_bounds(1, 1 << 30, 2).ok();
            if let Some(times) = &mut self.times {
                times.auto(true);
            }
        }
        if let Some(times) = &mut self.times {
            let events = u32::try_from(events).unwrap_or(u32::MAX);
            times.saturating_record_n((seconds.max(0.0) * 1e3).round() as u64, events);
        }
    }

    /// In seconds; none where there is no event, or where it lies among those that were never seen.
    fn quantile(&self, q: f64) -> Option<f64> {
        let times = self.times.as_ref()?;
        let n = times.len() + self.unseen;
        let rank = crate::statistics::quantiles::rank(n, q)?;
        if rank > times.len() {
            return None;
        }
        let value = times.value_at_quantile((rank as f64 - 0.5) / times.len() as f64);
        Some(value.min(times.max()) as f64 / 1e3)
    }
}

/// The course of a run while it is judged.
#[derive(Debug, Clone, Default)]
pub struct Timeline(Buckets<Bucket>);

impl Timeline {
    /// Adds events.
    pub fn add(&mut self, passing: &Passing) {
        let Passing { intended, sent, acked, visible, is_timed, class, events } = *passing;
        if let Some(at) = intended {
            let bucket = self.0.at(at);
            bucket.intended += events;
            if is_timed {
                bucket.time(visible.map(|visible| visible.as_secs_f64() - at.as_secs_f64()), events);
            }
        }
        for (at, count) in [
            (sent, (|bucket| &mut bucket.sent) as fn(&mut Bucket) -> &mut u64),
            (acked, |bucket| &mut bucket.acked),
            (visible, |bucket| &mut bucket.visible),
        ] {
            if let Some(at) = at {
                *count(self.0.at(at)) += events;
            }
        }
        if let Some(class) = class {
            self.0.at(intended.unwrap_or_default()).defects[class as usize] += events;
        }
    }

    /// What it comes to, with the lags that were seen meanwhile.
    pub fn facts(&self, lags: Vec<LagSeries>) -> TimelineFacts {
        let buckets = self.0.all();
        let column = |of: fn(&Bucket) -> u64| buckets.iter().map(of).collect();
        let defects = Class::ALL
            .into_iter()
            .map(|class| (class, buckets.iter().map(|bucket| bucket.defects[class as usize]).collect::<Vec<u64>>()));
        TimelineFacts {
            width: self.0.width() as f64,
            intended: column(|bucket| bucket.intended),
            sent: column(|bucket| bucket.sent),
            acked: column(|bucket| bucket.acked),
            visible: column(|bucket| bucket.visible),
            unseen: column(|bucket| bucket.unseen),
            p50: buckets.iter().map(|bucket| bucket.quantile(0.5)).collect(),
            p99: buckets.iter().map(|bucket| bucket.quantile(0.99)).collect(),
            defects: defects.filter(|(_, counts)| counts.iter().any(|count| *count > 0)).collect(),
            lags,
        }
    }
}

/// What happened when: every list has an entry for each stretch of time, from the start of sending.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TimelineFacts {
    /// How many seconds an entry covers.
    pub width: f64,
    /// Events that were to be sent.
    pub intended: Vec<u64>,
    /// Events that were.
    pub sent: Vec<u64>,
    /// Events whose first ack came.
    pub acked: Vec<u64>,
    /// Events that were first seen.
    pub visible: Vec<u64>,
    /// Of those that were to be sent and must be visible, the ones that were never seen.
    pub unseen: Vec<u64>,
    /// Of the same the median time-to-visible in seconds; none where there are no events, or too many were never seen.
    pub p50: Vec<Option<f64>>,
    /// The 99th percentile.
    pub p99: Vec<Option<f64>>,
    /// Events with a defect, by their own class and when they were to be sent.
    #[serde(default)]
    pub defects: BTreeMap<Class, Vec<u64>>,
    /// How far the consumers were behind.
    #[serde(default)]
    pub lags: Vec<LagSeries>,
}

/// How far the consumer of a partition was behind, from the start of sending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LagSeries {
    /// The topic.
    pub topic: String,
    /// The partition; none where it is always that with the greatest lag, as in a soak's course.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// How many seconds an entry covers.
    pub width: u64,
    /// The greatest lag in each stretch of time, in messages; none where Kafka was not asked.
    pub messages: Vec<Option<u64>>,
}

/// The greatest of what was seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Greatest(pub Option<u64>);

impl Join for Greatest {
    fn join(&mut self, later: Self) {
        self.0 = self.0.max(later.0);
    }
}

impl Buckets<Greatest> {
    /// Puts in what was seen at a moment.
    pub fn put(&mut self, moment: Duration, seen: u64) {
        self.at(moment).join(Greatest(Some(seen)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "moments are written as they are known: or not at all")]
    const fn at(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    fn is(value: Option<f64>, expected: f64) -> bool {
        value.is_some_and(|value| (value / expected - 1.0).abs() < 0.01)
    }

    #[test]
    fn every_moment_counts_in_its_own_second() {
        let mut timeline = Timeline::default();
        let passing = Passing { intended: at(0), sent: at(1), acked: at(1), visible: at(3), ..Passing::default() };
        timeline.add(&Passing { is_timed: true, events: 99, ..passing });
        timeline.add(&Passing { is_timed: true, events: 1, visible: None, class: Some(Class::Lost), ..passing });
        let facts = timeline.facts(Vec::new());
        assert!(is(Some(facts.width), 1.0), "{facts:?}");
        assert_eq!((&facts.intended[..], &facts.sent[..]), (&[100, 0, 0, 0][..], &[0, 100, 0, 0][..]));
        assert_eq!((&facts.acked[..], &facts.visible[..]), (&[0, 100, 0, 0][..], &[0, 0, 0, 99][..]));
        assert!(is(facts.p50[0], 3.0) && is(facts.p99[0], 3.0) && facts.p99[1].is_none(), "{facts:?}");
        assert_eq!(facts.unseen, [1, 0, 0, 0]);
        assert_eq!(facts.defects, BTreeMap::from([(Class::Lost, vec![1, 0, 0, 0])]));
    }

    #[test]
    fn a_quantile_among_the_unseen_is_not_reached() {
        let mut timeline = Timeline::default();
        let passing = Passing { intended: at(0), is_timed: true, events: 90, ..Passing::default() };
        timeline.add(&Passing { visible: at(2), ..passing });
        timeline.add(&Passing { events: 10, ..passing });
        let facts = timeline.facts(Vec::new());
        assert!(is(facts.p50[0], 2.0) && facts.p99[0].is_none(), "{facts:?}");
    }

    #[test]
    fn a_long_run_widens_its_buckets_and_loses_no_event() {
        let mut timeline = Timeline::default();
        let seconds = 5 * BUCKETS as u64;
        for second in 0..seconds {
            let passing = Passing { intended: at(second), visible: at(second + 2), ..Passing::default() };
            timeline.add(&Passing { is_timed: true, events: 1 + second % 2, ..passing });
        }
        let facts = timeline.facts(Vec::new());
        assert!(is(Some(facts.width), 8.0));
        assert!(facts.intended.len() <= BUCKETS && facts.intended.len() > BUCKETS / 2, "{}", facts.intended.len());
        assert_eq!(facts.intended.iter().sum::<u64>(), seconds + seconds / 2);
        assert_eq!(facts.visible.iter().sum::<u64>(), seconds + seconds / 2);
        assert_eq!(facts.intended[0], 12, "eight seconds of one or two");
        assert!(facts.p99.iter().take(300).all(|p99| is(*p99, 2.0)), "{:?}", facts.p99);
    }

    #[test]
    fn of_lags_the_greatest_is_kept() {
        let mut lags = Buckets::<Greatest>::default();
        for (second, messages) in [(0, 5), (1, 7), (2 * BUCKETS as u64 - 1, 1)] {
            lags.put(Duration::from_secs(second), messages);
        }
        assert_eq!((lags.width(), lags.all().len()), (2, BUCKETS));
        assert_eq!((lags.all()[0].0, lags.all()[1].0), (Some(7), None));
    }
}
