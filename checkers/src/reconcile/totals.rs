//! From judged stories to evidence: the counts, and the populations that rates are judged from, while they are counted.

use std::time::Duration;

use super::{
    evidence::{Evidence, Late},
    population::{Count, Lane, Share},
    sent::EventOutcome,
    spans::TimeToVisible,
    story::{Judged, Presence, Story},
};

/// The populations while they are counted.
#[derive(Debug)]
pub(crate) struct Totals {
    loss: Count,
    correctness: Count,
    late_worst: Count,
    late_best: Count,
}

/// The events of one request in each population.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shares([Share; 4]);

impl Shares {
    /// Adds those of another window.
    pub fn add(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(share, other)| share.add(other));
    }
}

/// What an event shares with others, and its fate perhaps too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Company {
    /// The request of its first ack, by its number in the window.
    pub request: Option<u32>,
    /// Its lane.
    pub lane: Lane,
}

impl Totals {
    /// Nothing counted yet; `lanes` tells whether partitions are known.
    pub fn new(lanes: bool) -> Self {
        let count = || Count::new(lanes);
        Self { loss: count(), correctness: count(), late_worst: count(), late_best: count() }
    }

    const fn all(&mut self) -> [&mut Count; 4] {
        [&mut self.loss, &mut self.correctness, &mut self.late_worst, &mut self.late_best]
    }

    /// Begins a window with events of so many requests.
    pub fn begin(&mut self, requests: usize) {
        self.all().into_iter().for_each(|count| count.begin(requests));
    }

    /// The events of the window that are of one request.
    pub fn shares(&self, request: usize) -> Shares {
        Shares([&self.loss, &self.correctness, &self.late_worst, &self.late_best].map(|count| count.share(request)))
    }

    /// Closes a request of which nothing more will come.
    pub fn close(&mut self, shares: Shares) {
        self.all().into_iter().zip(shares.0).for_each(|(count, share)| count.close(share));
    }

    /// Counts an event; `with_rows` tells whether the final read holds rows, and not ids only.
    pub fn count(&mut self, story: &Story, judged: Judged, company: Company, with_rows: bool, evidence: &mut Evidence) {
        let counts = &mut evidence.counts;
        counts.planned += 1;
        counts.visible += u64::from(story.sight.at_last);
        *match story.outcome {
            EventOutcome::Acked => &mut counts.acked,
            EventOutcome::Indeterminate => &mut counts.indeterminate,
            EventOutcome::Rejected => &mut counts.rejected,
            EventOutcome::Unsent => &mut counts.unsent,
        } += 1;
        counts.expected += u64::from(judged.expected);
        counts.pending += u64::from(judged.pending);
        counts.either += u64::from(story.presence == Presence::Either);
        counts.recovered += u64::from(story.outcome == EventOutcome::Indeterminate && story.sight.at_last);
        if let Some(primary) = judged.classes.primary() {
            *counts.of(primary) += 1;
        }
        evidence.expected_absent += u64::from(story.presence == Presence::Absent);
        let Company { request, lane } = company;
        if judged.must_be_visible() {
            self.loss.add(judged.missing(), request, lane);
        }
        if judged.may_be_judged && with_rows {
            self.correctness.add(judged.incorrect(), request, lane);
        }
    }

    /// Counts the time-to-visible of an event, against `limit` if there is one.
    pub fn time(
        &mut self,
        time: TimeToVisible,
        limit: Option<Duration>,
        Company { request, lane }: Company,
        evidence: &mut Evidence,
    ) {
        if let Some(limit) = limit.map(|limit| limit.as_secs_f64()) {
            self.late_worst.add(time.by.is_none_or(|by| by > limit), request, lane);
            self.late_best.add(time.after > limit, request, lane);
        }
        evidence.spans.add(time);
    }

    /// Puts the populations into the evidence; all requests must have been closed.
    pub fn finish(&self, evidence: &mut Evidence) {
        evidence.loss = self.loss.finish();
        evidence.correctness = self.correctness.finish();
        evidence.late = Late { worst: self.late_worst.finish(), best: self.late_best.finish() };
    }
}
