//! One class an event: what was sent, what was seen and what was found, put together.

use std::time::Duration;

use generators::{
    clock::RunStart,
    event::EventSource,
    identity::{EventId, StreamId},
    workload::Workload,
};

use super::{
    evidence::{Class, Counts, Evidence, Finding, TimeToVisible},
    reads::Reads,
    rows::{FinalRead, FoundRow},
    sent::{EventOutcome, Sent, SentEvent},
};
use crate::oracle::{dialect::Dialect, row::expect};

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
    /// How far the sender's clock and the servers' may be apart.
    pub clock_tolerance_micros: i64,
}

/// What the reads say about one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sight {
    /// Some read saw it.
    ever: bool,
    /// The last final read, or without one any read, saw it.
    at_last: bool,
    /// It was seen, then missing, then seen again.
    flickered: bool,
}

/// Puts the case's evidence together.
pub fn classify(case: &Case<'_>) -> Evidence {
    let mut evidence = Evidence {
        final_reads: case.final_reads.len(),
        reads: case.final_reads.len() + case.reads.len(),
        ..Evidence::default()
    };
    for stream in case.sent.streams() {
        for (seq, event) in case.sent.events(stream).iter().enumerate() {
            case.classify_event(stream, seq as u64, event, &mut evidence);
        }
    }
    if let Some(last) = case.final_reads.last() {
        evidence.counts.raw_rows = last.raw_rows;
        evidence.counts.pending_merge_rows = last.pending_merge_rows;
        evidence.counts.phantom = last.unknown_rows;
        for what in &last.unknown {
            evidence.find(|| bare(Class::Phantom, what.clone()), Class::Phantom);
        }
        // The read kept only the first of them.
        if last.unknown_rows > 0 {
            evidence.findings.insert(Class::Phantom, last.unknown_rows);
        }
    }
    evidence.counts.torn_requests = case.torn_requests();
    evidence
}

impl Case<'_> {
    fn classify_event(&self, stream: StreamId, seq: u64, event: &SentEvent, evidence: &mut Evidence) {
        let sight = self.sight(stream, seq);
        evidence.counts.planned += 1;
        evidence.counts.visible += u64::from(sight.at_last);
        *match event.outcome {
            EventOutcome::Acked => &mut evidence.counts.acked,
            EventOutcome::Indeterminate => &mut evidence.counts.indeterminate,
            EventOutcome::Rejected => &mut evidence.counts.rejected,
            EventOutcome::Unsent => &mut evidence.counts.unsent,
        } += 1;

        let mut classes = Vec::new();
        if event.outcome <= EventOutcome::Rejected && sight.ever {
            classes.push(Class::RejectedButVisible);
        }
        let rows = self.final_reads.last().map_or(&[][..], |read| read.odd_rows(stream, seq));
        if rows.iter().any(|row| row.misrouted) {
            classes.push(Class::Misrouted);
        }
        if sight.ever && !sight.at_last {
            classes.push(Class::Vanished);
        }
        if event.outcome == EventOutcome::Acked {
            evidence.counts.expected += 1;
            let pending = !sight.ever && !self.below_watermark(event);
            evidence.counts.pending += u64::from(pending);
            evidence.must_be_visible += u64::from(!pending);
            if !sight.ever && !pending {
                classes.push(Class::Lost);
            }
            if let Some(time) = self.time_to_visible(stream, seq, event) {
                evidence.times.push(time);
            }
            evidence.counts.late += u64::from(self.is_late(stream, seq, event));
        }
        evidence.counts.recovered += u64::from(event.outcome == EventOutcome::Indeterminate && sight.at_last);
        if rows.len() > 1 && rows.len() > self.most_rows(stream, seq) {
            classes.push(Class::Duplicated);
        }
        let differs = |person: bool| {
            rows.iter()
                .filter(|row| !row.misrouted)
                .flat_map(|row| &row.differences)
                .any(|difference| (difference.column == PERSON) == person)
        };
        if differs(false) {
            classes.push(Class::Corrupted);
        }
        if differs(true) {
            classes.push(Class::WrongPerson);
        }
        if sight.flickered {
            classes.push(Class::Flicker);
        }

        if event.outcome >= EventOutcome::Indeterminate && sight.at_last && !self.final_reads.is_empty() {
            evidence.judged += 1;
            evidence.incorrect += u64::from(classes.iter().any(|class| {
                matches!(class, Class::Misrouted | Class::Duplicated | Class::Corrupted | Class::WrongPerson)
            }));
        }
        if let Some(primary) = classes.first() {
            *count_of(&mut evidence.counts, *primary) += 1;
        }
        for class in classes {
            self.report(class, stream, seq, event, rows, evidence);
        }
    }

    /// What the reads say, final ones after the others.
    fn sight(&self, stream: StreamId, seq: u64) -> Sight {
        let watched = self.reads.has_seen(stream, seq);
        if self.final_reads.is_empty() {
            return Sight { ever: watched, at_last: watched, flickered: false };
        }
        let (mut ever, mut at_last, mut gone, mut flickered) = (watched, watched, false, false);
        for read in self.final_reads {
            at_last = read.is_visible(stream, seq);
            flickered |= gone && at_last;
            gone = ever && !at_last;
            ever |= at_last;
        }
        Sight { ever, at_last, flickered }
    }

    /// When the read began that says what is missing.
    fn judged_at(&self) -> Option<Duration> {
        self.final_reads.last().map(|read| read.start).or_else(|| self.reads.last().map(|(start, _)| start))
    }

    /// Old enough to be missed, and covered by a read that began after its answer.
    fn below_watermark(&self, event: &SentEvent) -> bool {
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
            Some(first) => {
                TimeToVisible { after: first.missed.map_or(0.0, since).max(0.0), by: Some(since(first.seen)) }
            }
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

    /// Requests of unknown outcome of which a part, and only a part, is visible.
    fn torn_requests(&self) -> u64 {
        let torn = |exchange: &&super::sent::Exchange| {
            let stream = exchange.request.stream;
            let visible: Vec<bool> =
                exchange.request.seqs(self.workload).map(|(seq, _)| self.sight(stream, seq).ever).collect();
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
            ..bare(class, EventId { run: self.workload.plan().run, stream, seq }.to_string())
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

const PERSON: &str = "person_id";
const TEAM: &str = "team_id";

fn bare(class: Class, event: String) -> Finding {
    Finding {
        class,
        event,
        column: None,
        expected: None,
        found: None,
        stage: None,
        request: None,
        sent_at: None,
        first_seen: None,
    }
}

fn count_of(counts: &mut Counts, class: Class) -> &mut u64 {
    match class {
        Class::Phantom => &mut counts.phantom,
        Class::RejectedButVisible => &mut counts.rejected_but_visible,
        Class::ShouldBeAbsent => &mut counts.should_be_absent,
        Class::Misrouted => &mut counts.misrouted,
        Class::Vanished => &mut counts.vanished,
        Class::Lost => &mut counts.lost,
        Class::Duplicated => &mut counts.duplicated,
        Class::Corrupted => &mut counts.corrupted,
        Class::WrongPerson => &mut counts.wrong_person,
        Class::WrongGroup => &mut counts.wrong_group,
        Class::Flicker => &mut counts.flicker,
    }
}

#[cfg(test)]
mod tests;
