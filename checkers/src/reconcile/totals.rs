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
    exported: Count,
}

/// The events of one request in each population.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Shares([Share; 5]);

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
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each of which a rule asks for by its name")]
pub(crate) struct Told {
    /// Its story.
    pub story: Story,
    /// What that comes to.
    pub judged: Judged,
    /// What it shares with others.
    pub company: Company,
    /// Neither acked nor unsent, and in a request that was meant to fail.
    pub on_purpose: bool,
    /// Not acked, not meant to fail, and tried while a planned fault went on.
    pub in_fault: bool,
    /// Acked with the word that it was dropped, and with no other.
    pub is_dropped: bool,
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
        Self { loss: count(), correctness: count(), late_worst: count(), late_best: count(), exported: count() }
    }

    const fn all(&mut self) -> [&mut Count; 5] {
        let Self { loss, correctness, late_worst, late_best, exported } = self;
        [loss, correctness, late_worst, late_best, exported]
    }

    /// Begins a window with events of so many requests.
    pub fn begin(&mut self, requests: usize) {
        self.all().into_iter().for_each(|count| count.begin(requests));
    }

    /// The events of the window that are of one request.
    pub fn shares(&self, request: usize) -> Shares {
        let Self { loss, correctness, late_worst, late_best, exported } = self;
        Shares([loss, correctness, late_worst, late_best, exported].map(|count| count.share(request)))
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
        let Told {
            story,
            judged,
            company: Company { request, lane },
            on_purpose,
            in_fault,
            is_dropped,
            is_late,
            time,
            events,
        } = *told;
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
        *match story.outcome {
            EventOutcome::Acked | EventOutcome::Indeterminate => &mut counts.indeterminate_in_faults,
            EventOutcome::Rejected => &mut counts.rejected_in_faults,
            EventOutcome::Unsent => &mut counts.unsent_in_faults,
        } += all_if(in_fault);
        counts.dropped += all_if(is_dropped);
        counts.expected += all_if(judged.expected);
        counts.pending += all_if(judged.pending);
        counts.either += all_if(matches!(story.presence, Presence::Either { .. }));
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
        if judged.must_be_exported() {
            self.exported.add(judged.misexported(), request, lane, events);
        }
        if let Some(exports) = &mut evidence.exports {
            exports.pending += all_if(judged.export_pending);
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
        evidence.exported = self.exported.finish();
        evidence.late = Late { worst: self.late_worst.finish(), best: self.late_best.finish() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::{
        sequence::Units,
        story::{Exported, RowFacts, Sight},
    };

    const LANE: Lane = Lane { partition: -1, second: 5 };

    /// Three events that are alike: acked, expected, old enough, seen or not.
    fn told(outcome: EventOutcome, presence: Presence, seen: bool, time: Option<TimeToVisible>) -> Told {
        let sight = Sight { ever: seen, at_last: seen, covered: true, ..Sight::default() };
        let rows = RowFacts { left: usize::from(seen), ..RowFacts::default() };
        let exported = Exported::default();
        let story = Story { outcome, presence, dropped: false, sight, old_enough: true, rows, exported };
        let company = Company { request: Some(0), lane: LANE };
        Told {
            judged: story.judge(),
            story,
            company,
            on_purpose: false,
            in_fault: false,
            is_dropped: false,
            is_late: seen,
            time,
            events: 3,
        }
    }

    fn counted(all: &[Told], limit: Option<Duration>, with_rows: bool) -> Evidence {
        let (mut totals, mut evidence) = (Totals::new(false), Evidence::default());
        totals.begin(1);
        for told in all {
            totals.count(told, limit, with_rows, &mut evidence);
        }
        totals.close(totals.shares(0), LANE.second, &mut evidence);
        totals.finish(&mut evidence);
        evidence
    }

    const PRESENT: Presence = Presence::Present { most_rows: 1 };

    #[test]
    fn every_event_is_counted_by_what_is_known_of_it() {
        use EventOutcome::{Acked, Indeterminate, Rejected, Unsent};
        let all = [
            told(Acked, PRESENT, true, None),
            told(Acked, PRESENT, false, None),
            told(Acked, Presence::Either { most_rows: 1 }, false, None),
            told(Acked, Presence::Either { most_rows: 1 }, true, None),
            told(Acked, Presence::Absent, false, None),
            told(Indeterminate, PRESENT, true, None),
            told(Indeterminate, PRESENT, false, None),
            told(Rejected, PRESENT, false, None),
            told(Unsent, PRESENT, false, None),
        ];
        // Each of them twice, so that sums are seen to grow.
        let evidence = counted(&[all, all].concat(), None, true);
        let counts = &evidence.counts;
        assert_eq!((counts.planned, counts.visible), (54, 18));
        assert_eq!((counts.acked, counts.indeterminate, counts.rejected, counts.unsent), (30, 12, 6, 6));
        assert_eq!((counts.expected, counts.lost, counts.either, counts.recovered), (12, 6, 12, 6));
        assert_eq!((counts.late, counts.pending, evidence.expected_absent), (18, 0, 6));
        assert_eq!((evidence.loss.k, evidence.loss.n), (6, 12));
        assert_eq!((evidence.correctness.k, evidence.correctness.n), (0, 18));
        let young = Told { story: Story { old_enough: false, ..all[1].story }, ..all[1] };
        let young = Told { judged: young.story.judge(), ..young };
        let counts = counted(&[young, young], None, true).counts;
        assert_eq!((counts.pending, counts.lost), (6, 0));
    }

    #[test]
    fn failures_on_purpose_are_counted_beside_the_others() {
        use EventOutcome::{Acked, Indeterminate, Rejected};
        let all = [Acked, Indeterminate, Rejected].map(|outcome| told(outcome, PRESENT, false, None));
        let meant = all.map(|told| Told { on_purpose: true, ..told });
        let counts = counted(&[all, meant].concat(), None, true).counts;
        assert_eq!((counts.indeterminate, counts.indeterminate_on_purpose), (6, 3));
        assert_eq!((counts.rejected, counts.rejected_on_purpose), (6, 3));
        let disturbed = [Indeterminate, Rejected, EventOutcome::Unsent]
            .map(|outcome| Told { in_fault: true, ..told(outcome, PRESENT, false, None) });
        let counts = counted(&[&all[..], &disturbed, &disturbed[..1]].concat(), None, true).counts;
        assert_eq!((counts.indeterminate, counts.indeterminate_in_faults), (9, 6));
        assert_eq!((counts.rejected, counts.rejected_in_faults), (6, 3));
        assert_eq!((counts.unsent, counts.unsent_in_faults), (3, 3));
    }

    #[test]
    fn a_request_is_one_unit_and_a_defect_if_one_of_its_events_is() {
        let (clean, lost) =
            (told(EventOutcome::Acked, PRESENT, true, None), told(EventOutcome::Acked, PRESENT, false, None));
        let units = |clean, defects| vec![Units { clean, defects }];
        for (all, events, requests) in [
            (&[clean, clean][..], units(6, 0), units(1, 0)),
            (&[clean, lost], units(3, 3), units(0, 1)),
            (&[lost], units(0, 3), units(0, 1)),
            (&[], vec![], vec![]),
        ] {
            let evidence = counted(all, None, true);
            assert_eq!(evidence.loss_in_order.events.iter().collect::<Vec<_>>(), events);
            assert_eq!(evidence.loss_in_order.requests.iter().collect::<Vec<_>>(), requests);
        }
        let evidence = counted(&[clean], None, false);
        assert_eq!(evidence.correctness_in_order.requests.iter().count(), 0, "ids only: nothing is judged");
        assert_eq!(evidence.correctness.n, 0);
        assert_eq!(counted(&[clean], None, true).correctness_in_order.requests.iter().count(), 1);
    }

    #[test]
    fn what_takes_just_as_long_as_the_limit_is_in_time() {
        let limit = Duration::from_secs(2);
        for (after, by, worst, best) in
            [(1.9, Some(2.0), 0, 0), (2.0, Some(2.1), 3, 0), (2.01, Some(2.1), 3, 3), (1.0, None, 3, 0)]
        {
            let time = TimeToVisible { after, by, seen: by.is_some() };
            let evidence = counted(&[told(EventOutcome::Acked, PRESENT, true, Some(time))], Some(limit), true);
            assert_eq!((evidence.late.worst.k, evidence.late.best.k), (worst, best), "({after}, {by:?}]");
            assert_eq!((evidence.late.worst.n, evidence.late.best.n), (3, 3));
        }
    }
}
