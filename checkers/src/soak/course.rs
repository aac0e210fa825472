//! The course of a soak: a bounded number of stretches of one or more windows each, for the charts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    checks::Quantile,
    details::timeline::{BUCKETS, LagSeries, TimelineFacts},
    reconcile::evidence::Class,
    record::RunRecord,
};

/// What a stretch of windows came to: counts are added, of times and lags the greatest is kept.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Stretch {
    planned: u64,
    sent: u64,
    acked: u64,
    visible: u64,
    unseen: u64,
    p50: Option<f64>,
    p99: Option<f64>,
    lag: Option<u64>,
    defects: BTreeMap<Class, u64>,
}

impl Stretch {
    fn join(&mut self, later: Self) {
        self.planned += later.planned;
        self.sent += later.sent;
        self.acked += later.acked;
        self.visible += later.visible;
        self.unseen += later.unseen;
        self.p50 = greatest(self.p50, later.p50);
        self.p99 = greatest(self.p99, later.p99);
        self.lag = self.lag.max(later.lag);
        for (class, events) in later.defects {
            *self.defects.entry(class).or_default() += events;
        }
    }
}

fn greatest(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.max(other)),
        (one, other) => one.or(other),
    }
}

/// The course of a soak.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Course {
    /// How many windows a stretch holds.
    each: u64,
    windows: u64,
    stretches: Vec<Stretch>,
}

impl Default for Course {
    fn default() -> Self {
        Self { each: 1, windows: 0, stretches: Vec::new() }
    }
}

impl Course {
    /// Takes in the next window.
    pub(super) fn add(&mut self, window: &RunRecord) {
        let seconds = |quantile: Option<Quantile>| match quantile {
            Some(Quantile::Seconds(seconds)) => Some(seconds),
            Some(Quantile::NotReached(_)) | None => None,
        };
        let mut counts = window.counts;
        let defects = Class::ALL.into_iter().map(|class| (class, *counts.of(class))).filter(|(_, events)| *events > 0);
        let defects = defects.collect();
        let stretch = Stretch {
            planned: window.generator.planned,
            sent: window.generator.sent,
            acked: counts.acked,
            visible: counts.visible,
            unseen: window.time_to_visible.unseen,
            p50: seconds(window.time_to_visible.p50),
            p99: seconds(window.time_to_visible.p99),
            lag: window.stages.as_ref().and_then(|stages| stages.greatest_lag.as_ref()).map(|lag| lag.messages),
            defects,
        };
        if self.windows.is_multiple_of(self.each) {
            self.stretches.push(stretch);
        } else if let Some(last) = self.stretches.last_mut() {
            last.join(stretch);
        }
        self.windows += 1;
        if self.stretches.len() > BUCKETS {
            let mut halves = std::mem::take(&mut self.stretches).into_iter();
            while let Some(mut first) = halves.next() {
                if let Some(second) = halves.next() {
                    first.join(second);
                }
                self.stretches.push(first);
            }
            self.each *= 2;
        }
    }

    /// How many windows it holds.
    pub(super) const fn windows(&self) -> u64 {
        self.windows
    }

    /// The course, of windows that last `window` seconds each.
    pub(super) fn facts(&self, window: f64) -> TimelineFacts {
        let column = |of: fn(&Stretch) -> u64| self.stretches.iter().map(of).collect();
        let width = self.each as f64 * window;
        let defects = Class::ALL.into_iter().map(|class| {
            let of = |stretch: &Stretch| stretch.defects.get(&class).copied().unwrap_or_default();
            (class, self.stretches.iter().map(of).collect::<Vec<u64>>())
        });
        let lag = LagSeries {
            topic: "all topics".into(),
            partition: None,
            width: width.round().max(1.0) as u64,
            messages: self.stretches.iter().map(|stretch| stretch.lag).collect(),
        };
        TimelineFacts {
            width,
            intended: column(|stretch| stretch.planned),
            sent: column(|stretch| stretch.sent),
            acked: column(|stretch| stretch.acked),
            visible: column(|stretch| stretch.visible),
            unseen: column(|stretch| stretch.unseen),
            p50: self.stretches.iter().map(|stretch| stretch.p50).collect(),
            p99: self.stretches.iter().map(|stretch| stretch.p99).collect(),
            defects: defects.filter(|(_, counts)| counts.iter().any(|count| *count > 0)).collect(),
            lags: if lag.messages.iter().any(Option::is_some) { vec![lag] } else { Vec::new() },
        }
    }
}
