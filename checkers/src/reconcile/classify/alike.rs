//! Events in a row that are alike, which are nearly all of a run: their story is told once.

use std::time::Duration;

use generators::{identity::StreamId, random::Share, workload::Extras};

use super::{
    super::{
        evidence::Evidence,
        sent::{Moments, SentEvent},
        spans::{Split, TimeToVisible},
        totals::{Told, Totals},
    },
    Case,
};
use crate::{
    details::timeline::Passing,
    oracle::{dialect::Dialect, row},
};

/// Events in a row that are alike: what is known of them is the same, and nothing is wrong. Their story is told once.
pub(super) struct Alike<'a> {
    case: &'a Case<'a>,
    /// The first of them: its place, what was sent, and its story.
    first: Option<(usize, SentEvent, Told)>,
    /// When the capture may have stored them, if it may have.
    moments: Option<Moments>,
    /// What must become of one may not be what must become of the next: plugins choose among them, their age decides, what they
    /// hold, or whose they are.
    differ: bool,
}

impl<'a> Alike<'a> {
    pub fn new(case: &'a Case<'a>) -> Self {
        let traffic = case.workload.traffic(case.sent.window().stream);
        let differ = case.exports.is_some()
            || case.dialect == Dialect::V2021
            || traffic.is_some_and(|traffic| {
                traffic.drop_events_older_than.is_some()
                    || traffic.replay.is_some()
                    || traffic.extras.cookieless > Share::default()
                    // In one request one is too large for a message, or restricted, and the next is not.
                    || traffic.extras.large > Share::default()
                    || (traffic.endpoint.is_v1() && may_be_refused_alone(&traffic.extras))
                    || !traffic.restricted.is_none()
                    || case.plugins.may_drop(traffic.team)
            });
        Self { case, first: None, moments: None, differ }
    }

    /// Begins with an event; `plainly` tells whether its rows are simply as expected.
    pub fn begin(&mut self, place: usize, event: &SentEvent, told: Told, plainly: bool) {
        self.first = Some((place, *event, told));
        let is_odd = self.case.final_reads.iter().any(|read| read.has_odd(place));
        let alone = event.repeated || event.dropped.is_some() || !plainly || is_odd || !told.judged.classes.is_empty();
        let exchange = self.case.sent.exchanges().get(event.exchange as usize).filter(|_| !alone);
        let latest = self.case.judged_at().unwrap_or_default();
        // An event that no attempt may have stored has no moments, and is told alone.
        self.moments = exchange.and_then(|exchange| exchange.moments(self.case.workload, self.case.start, latest));
    }

    /// Takes in the event at `place` if it is like the first one.
    pub fn takes(&mut self, place: usize, event: &SentEvent) -> bool {
        let (Some((first, sent, told)), Some(moments)) = (&mut self.first, self.moments) else { return false };
        let case = self.case;
        let (one, first) = (place, *first);
        let window = case.sent.window();
        let is_like = *event == *sent
            && !self.differ
            && case.of_group(window.stream, window.seqs.start + one as u64).is_empty()
            && case.reads.number_at(one) == case.reads.number_at(first)
            && case.stages.is_none_or(|stages| stages.are_alike(one, first))
            && case
                .final_reads
                .iter()
                .all(|read| read.plain_at(one).is_some() == read.plain_at(first).is_some() && !read.has_odd(one))
            && case.final_reads.last().and_then(|read| read.plain_at(one)).is_none_or(|timestamp| {
                let seq = case.sent.window().seqs.start + one as u64;
                let stream = case.sent.window().stream;
                let oddities = case.workload.oddities(stream, seq);
                // What is altered has times of its own.
                let occurred = case.workload.occurred_micros(stream, seq).filter(|_| !oddities.altered);
                occurred.is_some_and(|occurred| {
                    row::is_timely(
                        case.dialect,
                        &moments.of(oddities, occurred),
                        case.clock_tolerance_micros,
                        timestamp,
                    )
                })
            });
        if is_like {
            told.events += 1;
        }
        is_like
    }

    /// Counts the events so far, and has none then.
    pub fn count(&mut self, totals: &mut Totals, evidence: &mut Evidence) {
        let Some((place, event, told)) = self.first.take() else { return };
        totals.count(&told, self.case.visible_within, !self.case.final_reads.is_empty(), evidence);
        let window = self.case.sent.window();
        let seq = window.seqs.start + place as u64;
        let class = told.judged.classes.primary();
        let seen = self.case.reads.first_seen(window.stream, seq).map(|first| first.seen);
        let by = told.time.and_then(|time| time.by).and_then(|by| Duration::try_from_secs_f64(by).ok());
        evidence.gathered.timeline.add(&Passing {
            intended: event.sent_at,
            sent: self.case.sent.left_at(&event),
            acked: event.answered_at,
            // A final read may be the first to see it.
            visible: seen.or_else(|| Some(event.sent_at? + by?)),
            is_timed: told.time.is_some(),
            class,
            events: told.events.into(),
        });
        let partition = told.company.lane.partition;
        evidence.gathered.breakdown.add(partition, window.stream.0, class, told.events.into());
        if let Some(time) = told.time {
            self.case.split(window.stream, seq, &event, time, u64::from(told.events), &mut evidence.split);
        }
    }
}

/// Whether v1, which has a result for each event, may refuse one of a request and take the next.
fn may_be_refused_alone(extras: &Extras) -> bool {
    [extras.hostile, extras.refused, extras.fields].iter().any(|share| *share > Share::default())
}

impl Case<'_> {
    /// Splits the time-to-visible of `events` events that are alike by stage, as far as the taps know them.
    fn split(
        &self,
        stream: StreamId,
        seq: u64,
        event: &SentEvent,
        time: TimeToVisible,
        events: u64,
        split: &mut Split,
    ) {
        let Some((captured, ingested)) = self.stages.map(|stages| stages.times(stream, seq)) else { return };
        let sent_at = event.sent_at.map(|sent_at| sent_at.as_secs_f64());
        let visible = time.by.zip(sent_at).map(|(by, sent_at)| sent_at + by);
        split.add([(sent_at, captured), (captured, ingested), (ingested, visible)], events);
    }
}
