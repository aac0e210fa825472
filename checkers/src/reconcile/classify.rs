//! One class an event: what was sent, what was seen and what was found, put together.

use std::time::Duration;

use generators::{
    clock::RunStart,
    event::EventSource,
    identity::{EventId, StreamId},
    workload::Workload,
};

use super::{
    evidence::{Class, Evidence, Finding, Late},
    population::{Count, Lane},
    reads::Reads,
    rows::{FinalRead, FoundRow},
    sent::{EventOutcome, Sent, SentEvent},
    spans::TimeToVisible,
    story::{Look, Micros, Presence, RowFacts, Sight, Story},
};
use crate::oracle::{
    dialect::Dialect,
    row::{JUDGED_COLUMNS, expect},
};

/// Everything that is known about a run's events.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The rules that the subject follows.
    pub dialect: Dialect,
    /// What was planned.
    pub workload: &'a Workload,
    /// When the run started.
    pub start: RunStart,
    /// What was sent and answered.
    pub sent: &'a Sent,
    /// The reads while it ran.
    pub reads: &'a Reads,
    /// The final reads, in their order.
    pub final_reads: &'a [FinalRead],
    /// How old an event must be to be lost rather than pending.
    pub loss_after: Duration,
    /// The limit for time-to-visible, if there is one.
    pub visible_within: Option<Duration>,
    /// How far the sender's clock and the servers' may be apart.
    pub clock_tolerance_micros: i64,
}

/// Puts the case's evidence together.
pub fn classify(case: &Case<'_>) -> Evidence {
    let mut evidence = Evidence {
        final_reads: case.final_reads.len(),
        read_whole: !case.final_reads.is_empty(),
        reads: case.final_reads.len() + case.reads.len(),
        tenants: true,
        judged_columns: if case.final_reads.is_empty() {
            Vec::new()
        } else {
            JUDGED_COLUMNS.map(str::to_owned).to_vec()
        },
        ..Evidence::default()
    };
    let mut totals = Totals::new(case.sent.exchanges().len());
    for stream in case.sent.streams() {
        for (seq, event) in case.sent.events(stream).iter().enumerate() {
            case.classify_event(stream, seq as u64, event, &mut totals, &mut evidence);
        }
    }
    totals.finish(&mut evidence);
    if let Some(last) = case.final_reads.last() {
        evidence.read_nothing = last.raw_rows == 0;
        evidence.counts.raw_rows = last.raw_rows;
        evidence.counts.pending_merge_rows = last.pending_merge_rows;
        evidence.counts.phantom = last.unknown_rows;
        for what in &last.unknown {
            evidence.find(|| Finding::bare(Class::Phantom, what.clone()), Class::Phantom);
        }
        // The read kept only the first of them.
        if last.unknown_rows > 0 {
            evidence.findings.insert(Class::Phantom, last.unknown_rows);
        }
    }
    evidence.counts.torn_requests = case.torn_requests();
    evidence
}

/// The classes of one event, were it the only one; unknown rows of the last final read are among them.
pub(crate) fn classify_one(case: &Case<'_>, stream: StreamId, seq: u64, event: &SentEvent) -> Vec<Class> {
    let mut evidence = Evidence::default();
    case.classify_event(stream, seq, event, &mut Totals::new(0), &mut evidence);
    let strangers = case.final_reads.last().is_some_and(|read| read.unknown_rows > 0);
    strangers.then_some(Class::Phantom).into_iter().chain(evidence.findings.into_keys()).collect()
}

/// The populations while they are counted, and a buffer for the looks at one event.
struct Totals {
    loss: Count,
    correctness: Count,
    late_worst: Count,
    late_best: Count,
    looks: Vec<Look>,
}

impl Totals {
    fn new(requests: usize) -> Self {
        let count = || Count::new(requests, false);
        Self { loss: count(), correctness: count(), late_worst: count(), late_best: count(), looks: Vec::new() }
    }

    fn finish(&self, evidence: &mut Evidence) {
        evidence.loss = self.loss.finish();
        evidence.correctness = self.correctness.finish();
        evidence.late = Late { worst: self.late_worst.finish(), best: self.late_best.finish() };
    }
}

/// A moment of the run, as stories count them.
fn micros(moment: Duration) -> Micros {
    moment.as_micros() as Micros
}

impl Case<'_> {
    fn classify_event(
        &self,
        stream: StreamId,
        seq: u64,
        event: &SentEvent,
        totals: &mut Totals,
        evidence: &mut Evidence,
    ) {
        let sight = self.sight(stream, seq, event.answered_at, &mut totals.looks);
        let rows = self.final_reads.last().map_or(&[][..], |read| read.odd_rows(stream, seq));
        let story = Story {
            outcome: event.outcome,
            presence: self.presence(stream, seq, rows.len()),
            sight,
            old_enough: self.is_old_enough(event),
            rows: row_facts(rows),
        };
        let judged = story.judge();
        let counts = &mut evidence.counts;
        counts.planned += 1;
        counts.visible += u64::from(sight.at_last);
        *match event.outcome {
            EventOutcome::Acked => &mut counts.acked,
            EventOutcome::Indeterminate => &mut counts.indeterminate,
            EventOutcome::Rejected => &mut counts.rejected,
            EventOutcome::Unsent => &mut counts.unsent,
        } += 1;
        counts.expected += u64::from(judged.expected);
        evidence.expected_absent += u64::from(story.presence == Presence::Absent);
        counts.pending += u64::from(judged.pending);
        counts.late += u64::from(judged.expected && self.is_late(stream, seq, event));
        counts.recovered += u64::from(event.outcome == EventOutcome::Indeterminate && sight.at_last);
        if let Some(primary) = judged.classes.primary() {
            *counts.of(primary) += 1;
        }

        let request = (event.outcome == EventOutcome::Acked).then_some(event.exchange);
        let lane = Lane { partition: -1, second: event.sent_at.map_or(0, |sent_at| sent_at.as_secs() as i64) };
        if judged.must_be_visible() {
            totals.loss.add(judged.missing(), request, lane);
        }
        if judged.may_be_judged && !self.final_reads.is_empty() {
            totals.correctness.add(judged.incorrect(), request, lane);
        }
        if judged.expected
            && let Some(time) = self.time_to_visible(stream, seq, event)
        {
            if let Some(limit) = self.visible_within {
                let limit = limit.as_secs_f64();
                totals.late_worst.add(time.by.is_none_or(|by| by > limit), request, lane);
                totals.late_best.add(time.after > limit, request, lane);
            }
            evidence.spans.add(time);
        }
        for class in judged.classes.iter() {
            self.report(class, stream, seq, event, rows, evidence);
        }
    }

    /// What the reads say, final ones after the others. A read while the run went on tells what it saw first, and is a miss
    /// of everything that none has seen up to then. Such reads know events by their uuid alone, and go on beside the final
    /// ones, which know more: where there is a final read, only it can miss.
    fn sight(&self, stream: StreamId, seq: u64, answered_at: Option<Duration>, looks: &mut Vec<Look>) -> Sight {
        looks.clear();
        let look = |(start, end): (Duration, Duration), seen| Look { start: micros(start), end: micros(end), seen };
        match self.reads.first_read(stream, seq) {
            Some(first) => looks.push(look(first, true)),
            None if self.final_reads.is_empty() => looks.extend(self.reads.last().map(|last| look(last, false))),
            None => (),
        }
        looks.extend(self.final_reads.iter().map(|read| look((read.start, read.end), read.is_visible(stream, seq))));
        Sight::of(looks, answered_at.map(micros))
    }

    /// Whether the event must be there, and in how many of its `rows`.
    fn presence(&self, stream: StreamId, seq: u64, rows: usize) -> Presence {
        if self.workload.traffic(stream).is_some_and(|traffic| traffic.over_quota) {
            return Presence::Absent;
        }
        // Only several rows make it worth asking how many may stay.
        Presence::Present { most_rows: if rows > 1 { self.most_rows(stream, seq) } else { 1 } }
    }

    /// When the read began that says what is missing.
    fn judged_at(&self) -> Option<Duration> {
        self.final_reads.last().map(|read| read.start).or_else(|| self.reads.last().map(|(start, _)| start))
    }

    /// Old enough to be missed.
    fn is_old_enough(&self, event: &SentEvent) -> bool {
        let Some(read) = self.judged_at() else { return false };
        let Some(from) = event.answered_at.or(event.sent_at) else { return true };
        read.checked_sub(from).is_some_and(|age| age >= self.loss_after)
    }

    /// First seen after the watermark had passed it.
    fn is_late(&self, stream: StreamId, seq: u64, event: &SentEvent) -> bool {
        let first = self.reads.first_seen(stream, seq).and_then(|first| first.missed);
        let answered = event.answered_at.or(event.sent_at).unwrap_or_default();
        first.is_some_and(|missed| missed.saturating_sub(answered) >= self.loss_after)
    }

    fn time_to_visible(&self, stream: StreamId, seq: u64, event: &SentEvent) -> Option<TimeToVisible> {
        let sent_at = event.sent_at?;
        let since = |moment: Duration| moment.as_secs_f64() - sent_at.as_secs_f64();
        Some(match self.reads.first_seen(stream, seq) {
            Some(first) => TimeToVisible {
                after: first.missed.map_or(0.0, since).max(0.0),
                by: Some(since(first.seen)),
                seen: true,
            },
            // A final read may be the first to see it.
            None => {
                let last_miss = self.reads.last().map(|(start, _)| start);
                let seen = self.final_reads.iter().position(|read| read.is_visible(stream, seq));
                let missed = match seen {
                    Some(place) => place.checked_sub(1).map(|before| self.final_reads[before].start).or(last_miss),
                    None => self.judged_at(),
                };
                TimeToVisible {
                    after: missed.map_or(0.0, since).max(0.0),
                    by: seen.map(|place| since(self.final_reads[place].end)),
                    seen: seen.is_some(),
                }
            }
        })
    }

    fn most_rows(&self, stream: StreamId, seq: u64) -> usize {
        let (Some(event), Some(traffic)) = (self.workload.event(stream, seq), self.workload.traffic(stream)) else {
            return 1;
        };
        let latest = self.judged_at().unwrap_or_default();
        let times = self.sent.attempt_times(self.workload, self.start, stream, seq, &event, latest);
        expect(self.dialect, &event, traffic.team, &times, self.clock_tolerance_micros).most_rows
    }

    fn is_ever_seen(&self, stream: StreamId, seq: u64) -> bool {
        self.reads.has_seen(stream, seq) || self.final_reads.iter().any(|read| read.is_visible(stream, seq))
    }

    /// Requests of unknown outcome of which a part, and only a part, is visible.
    fn torn_requests(&self) -> u64 {
        let torn = |exchange: &&super::sent::Exchange| {
            let stream = exchange.request.stream;
            let visible: Vec<bool> =
                exchange.request.seqs(self.workload).map(|(seq, _)| self.is_ever_seen(stream, seq)).collect();
            visible.contains(&true) && visible.contains(&false)
        };
        let exchanges = self.sent.exchanges().iter();
        exchanges.filter(|exchange| exchange.outcome == EventOutcome::Indeterminate).filter(torn).count() as u64
    }

    fn report(
        &self,
        class: Class,
        stream: StreamId,
        seq: u64,
        event: &SentEvent,
        rows: &[FoundRow],
        evidence: &mut Evidence,
    ) {
        let seconds = |moment: Duration| moment.as_secs_f64();
        let exchange = self.sent.exchanges().get(event.exchange as usize).filter(|_| event.sent_at.is_some());
        let common = || Finding {
            request: exchange.map(|exchange| format!("{}/{}", exchange.request.stream.0, exchange.request.index)),
            sent_at: event.sent_at.map(seconds),
            first_seen: self.reads.first_seen(stream, seq).map(|first| seconds(first.seen)),
            ..Finding::bare(class, EventId { run: self.workload.plan().run, stream, seq }.to_string())
        };
        let differing = |wanted: fn(&str) -> bool| {
            let mut columns: Vec<_> =
                rows.iter().flat_map(|row| &row.differences).filter(|other| wanted(&other.column)).collect();
            columns.dedup();
            columns
        };
        let columns = match class {
            Class::Corrupted => differing(|column| column != PERSON && column != TEAM),
            Class::WrongPerson => differing(|column| column == PERSON),
            Class::Misrouted => differing(|column| column == TEAM),
            Class::Duplicated => {
                let found = || Finding {
                    expected: Some(format!("at most {} row(s)", self.most_rows(stream, seq))),
                    found: Some(format!("{} rows that no merge removes", rows.len())),
                    ..common()
                };
                return evidence.find(found, class);
            }
            _ => return evidence.find(common, class),
        };
        let mut named = std::collections::BTreeSet::new();
        for difference in &columns {
            if named.insert(&difference.column) {
                *evidence.columns.entry(difference.column.clone()).or_default() += 1;
            }
        }
        let first = columns.first();
        evidence.find(
            || Finding {
                column: first.map(|difference| difference.column.clone()),
                expected: first.map(|difference| difference.expected.clone()),
                found: first.map(|difference| difference.found.clone().unwrap_or_else(|| "nothing".into())),
                ..common()
            },
            class,
        );
    }
}

/// What the rows of an event that is not simply as expected say.
fn row_facts(rows: &[FoundRow]) -> RowFacts {
    let differs = |person: bool| {
        rows.iter()
            .filter(|row| !row.misrouted)
            .flat_map(|row| &row.differences)
            .any(|difference| (difference.column == PERSON) == person)
    };
    RowFacts {
        left: rows.len(),
        misrouted: rows.iter().any(|row| row.misrouted),
        corrupted: differs(false),
        wrong_person: differs(true),
        wrong_group: false,
    }
}

const PERSON: &str = "person_id";
const TEAM: &str = "team_id";

#[cfg(test)]
mod tests;
