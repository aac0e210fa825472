//! One class an event: what was sent, what was seen and what was found, put together.

use std::time::Duration;

use generators::{
    clock::RunStart,
    event::EventSource,
    identity::{EventId, StreamId},
    workload::Workload,
};

use super::{
    evidence::{Class, Evidence, Finding},
    population::Lane,
    reads::Reads,
    rows::{FinalRead, FoundRow},
    sent::{EventOutcome, Sent, SentEvent},
    spans::{Split, TimeToVisible},
    stages::Stages,
    story::{Look, Micros, Presence, RowFacts, Sight, Story},
    totals::{Company, Totals},
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
    /// What passed through Kafka's topics, where they could be read.
    pub stages: Option<&'a Stages>,
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
    let mut totals = Totals::new(case.sent.exchanges().len(), case.stages.is_some());
    // A buffer for the looks at one event.
    let mut looks = Vec::new();
    for stream in case.sent.streams() {
        for (seq, event) in case.sent.events(stream).iter().enumerate() {
            case.classify_event(stream, seq as u64, event, &mut looks, &mut totals, &mut evidence);
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
    case.classify_event(stream, seq, event, &mut Vec::new(), &mut Totals::new(0, false), &mut evidence);
    let strangers = case.final_reads.last().is_some_and(|read| read.unknown_rows > 0);
    strangers.then_some(Class::Phantom).into_iter().chain(evidence.findings.into_keys()).collect()
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
        looks: &mut Vec<Look>,
        totals: &mut Totals,
        evidence: &mut Evidence,
    ) {
        let sight = self.sight(stream, seq, event.answered_at, looks);
        let rows = self.final_reads.last().map_or(&[][..], |read| read.odd_rows(stream, seq));
        let story = Story {
            outcome: event.outcome,
            presence: self.presence(stream, seq, rows.len()),
            sight,
            old_enough: self.is_old_enough(event),
            rows: row_facts(rows),
        };
        let judged = story.judge();
        let captured = self.stages.and_then(|stages| stages.captured_at(stream, seq));
        let company = Company {
            request: (event.outcome == EventOutcome::Acked).then_some(event.exchange),
            lane: Lane {
                partition: captured.map_or(-1, |(partition, _)| i32::from(partition)),
                second: event.sent_at.map_or(0, |sent_at| sent_at.as_secs() as i64),
            },
        };
        totals.count(&story, judged, company, !self.final_reads.is_empty(), evidence);
        if judged.expected {
            evidence.counts.late += u64::from(self.is_late(stream, seq, event));
            if let Some(time) = self.time_to_visible(stream, seq, event) {
                totals.time(time, self.visible_within, company, evidence);
                self.split(stream, seq, event, time, &mut evidence.split);
            }
        }
        for class in judged.classes.iter() {
            self.report(class, stream, seq, event, rows, evidence);
        }
    }

    /// Splits an event's time-to-visible by stage, as far as the taps know them.
    fn split(&self, stream: StreamId, seq: u64, event: &SentEvent, time: TimeToVisible, split: &mut Split) {
        let Some((captured, ingested)) = self.stages.map(|stages| stages.times(stream, seq)) else { return };
        let sent_at = event.sent_at.map(|sent_at| sent_at.as_secs_f64());
        let visible = time.by.zip(sent_at).map(|(by, sent_at)| sent_at + by);
        split.add([(sent_at, captured), (captured, ingested), (ingested, visible)]);
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

    /// The last stage that had an event that is missing.
    fn stage_of(&self, class: Class, stream: StreamId, seq: u64) -> Option<String> {
        let missing = matches!(class, Class::Lost | Class::Vanished);
        self.stages.filter(|_| missing).map(|stages| stages.last(stream, seq).name().to_owned())
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
            stage: self.stage_of(class, stream, seq),
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
