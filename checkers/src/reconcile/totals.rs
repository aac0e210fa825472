//! From judged stories to evidence: the counts, and the populations that rates are judged from, while they are counted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
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

/// One event, judged, or several that are alike.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    /// Its story.
    pub story: Story,
    /// What that comes to.
    pub judged: Judged,
    /// What it shares with others.
    pub company: Company,
    /// Neither acked nor unsent, and in a request that was meant to fail.
    pub on_purpose: bool,
    /// Expected, and first seen after the watermark had passed it.
    pub is_late: bool,
    /// How long it took to be visible, if it has such a time.
    pub time: Option<TimeToVisible>,
    /// How many events these are.
    pub events: u32,
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

    /// Closes a request of which nothing more will come, and which was to be sent in that `second`.
    pub fn close(&mut self, shares: Shares, second: i64, evidence: &mut Evidence) {
        self.all().into_iter().zip(shares.0).for_each(|(count, share)| count.close(share));
        let [loss, correctness, ..] = shares.0;
        for (order, share) in [(&mut evidence.loss_in_order, loss), (&mut evidence.correctness_in_order, correctness)] {
            if share.n > 0 {
                order.requests.add(second, share.k > 0, 1);
            }
        }
    }

    /// Counts events, their time-to-visible against `limit` if there is one; `with_rows` tells whether the final read holds
    /// rows, and not ids only.
    pub fn count(&mut self, told: &Told, limit: Option<Duration>, with_rows: bool, evidence: &mut Evidence) {
        let Told { story, judged, company: Company { request, lane }, on_purpose, is_late, time, events } = *told;
        let counts = &mut evidence.counts;
        let all_if = |fits: bool| if fits { u64::from(events) } else { 0 };
        counts.planned += all_if(true);
        counts.visible += all_if(story.sight.at_last);
        *match story.outcome {
            EventOutcome::Acked => &mut counts.acked,
            EventOutcome::Indeterminate => &mut counts.indeterminate,
            EventOutcome::Rejected => &mut counts.rejected,
            EventOutcome::Unsent => &mut counts.unsent,
        } += all_if(true);
        counts.rejected_on_purpose += all_if(on_purpose && story.outcome == EventOutcome::Rejected);
        counts.indeterminate_on_purpose += all_if(on_purpose && story.outcome == EventOutcome::Indeterminate);
        counts.expected += all_if(judged.expected);
        counts.pending += all_if(judged.pending);
        counts.either += all_if(story.presence == Presence::Either);
        counts.recovered += all_if(story.outcome == EventOutcome::Indeterminate && story.sight.at_last);
        counts.late += all_if(is_late);
        if let Some(primary) = judged.classes.primary() {
            *counts.of(primary) += all_if(true);
        }
        evidence.expected_absent += all_if(story.presence == Presence::Absent);
        if judged.must_be_visible() {
            self.loss.add(judged.missing(), request, lane, events);
            evidence.loss_in_order.events.add(lane.second, judged.missing(), u64::from(events));
        }
        if judged.may_be_judged && with_rows {
            self.correctness.add(judged.incorrect(), request, lane, events);
            evidence.correctness_in_order.events.add(lane.second, judged.incorrect(), u64::from(events));
        }
        let Some(time) = time else { return };
        if let Some(limit) = limit.map(|limit| limit.as_secs_f64()) {
            self.late_worst.add(time.by.is_none_or(|by| by > limit), request, lane, events);
            self.late_best.add(time.after > limit, request, lane, events);
        }
        evidence.spans.add(time, u64::from(events));
    }

    /// Puts the populations into the evidence; all requests must have been closed.
    pub fn finish(&self, evidence: &mut Evidence) {
        evidence.loss = self.loss.finish();
        evidence.correctness = self.correctness.finish();
        evidence.late = Late { worst: self.late_worst.finish(), best: self.late_best.finish() };
    }
}
