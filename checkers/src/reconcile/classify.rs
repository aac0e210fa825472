//! One class an event: what was sent, what was seen and what was found, put together.

mod alike;
mod findings;
mod judging;

use std::{borrow::Cow, collections::BTreeSet, time::Duration};

use generators::{
    clock::RunStart,
    event::{Event, EventSource},
    identity::StreamId,
    workload::{ClientFault, Workload},
};

use super::{
    evidence::Class,
    exports::Exports,
    groups,
    population::Lane,
    reads::Reads,
    rows::{FinalRead, FoundRow},
    sent::{EventOutcome, Sent, SentEvent},
    spans::TimeToVisible,
    stages::Stages,
    story::{Exported, Look, Micros, Presence, RowFacts, Sight, Story},
    totals::{Company, Told},
};
use crate::{
    disturbance::Watermark,
    oracle::{
        body_limit,
        dialect::Dialect,
        plugin::Plugins,
        presence::{Fate, fate, spoils_request},
        row::{self, AttemptTimes, Difference, Expectation, GROUPS},
    },
};

pub use self::judging::Judging;

/// Everything that is known about one window's events.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The rules that the subject follows.
    pub dialect: Dialect,
    /// What the subject's teams let run over their events.
    pub plugins: &'a Plugins,
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
    /// What was delivered to the webhook sink, where plugins export.
    pub exports: Option<&'a Exports>,
    /// What is wrong with groups, where their table was read.
    pub groups: Option<&'a groups::Judged>,
    /// What tells events that are lost from those that are pending.
    pub watermark: &'a Watermark,
    /// The limit for time-to-visible, if there is one.
    pub visible_within: Option<Duration>,
    /// How far the sender's clock and the servers' may be apart.
    pub clock_tolerance_micros: i64,
}

/// The classes of one event, were it the only one; unknown rows of the last final read are among them.
pub(crate) fn classify_one(case: &Case<'_>, stream: StreamId, seq: u64, event: &SentEvent) -> Vec<Class> {
    let (told, _) = case.tell(stream, seq, event, &mut Room::default());
    let strangers = case.final_reads.last().is_some_and(|read| read.summary.unknown_rows > 0);
    strangers.then_some(Class::Phantom).into_iter().chain(told.judged.classes.iter()).collect()
}

/// What is used again from event to event of a window.
#[derive(Debug, Default)]
struct Room {
    /// The looks at one event.
    looks: Vec<Look>,
    /// The last exchange that was asked for, and whether its request was meant to fail.
    on_purpose: Option<(u32, bool)>,
}

/// A moment of the run, as stories count them.
fn micros(moment: Duration) -> Micros {
    moment.as_micros() as Micros
}

impl Case<'_> {
    /// The story of one event, and its rows if they are not simply as expected.
    fn tell(&self, stream: StreamId, seq: u64, event: &SentEvent, room: &mut Room) -> (Told, Cow<'_, [FoundRow]>) {
        let sight = self.sight(stream, seq, event.answered_at, &mut room.looks);
        let rows = self.rows(stream, seq);
        let story = Story {
            outcome: event.outcome,
            presence: self.presence(stream, seq, rows.len()),
            dropped: self.is_dropped(stream, seq, event),
            sight,
            old_enough: self.is_old_enough(event),
            rows: row_facts(&rows),
            exported: self.exported(stream, seq),
        };
        let on_purpose = !matches!(story.presence, Presence::Present { .. }) || self.on_purpose(event, room);
        let judged = story.judge();
        let captured = self.stages.and_then(|stages| stages.captured_at(stream, seq));
        let company = Company {
            request: (event.outcome == EventOutcome::Acked).then_some(event.exchange),
            lane: Lane {
                partition: captured.map_or(-1, |(partition, _)| i32::from(partition)),
                second: event.sent_at.map_or(0, |sent_at| sent_at.as_secs() as i64),
            },
        };
        let is_late = judged.expected && self.is_late(stream, seq, event);
        let time = if judged.expected { self.time_to_visible(stream, seq, event) } else { None };
        let in_fault = !on_purpose && self.is_in_fault(event);
        let is_dropped = event.dropped.is_some();
        (Told { story, judged, company, on_purpose, in_fault, is_dropped, is_late, time, events: 1 }, rows)
    }

    /// The rows that stay of an event that is not simply as expected, by the last final read, each with all that differs.
    pub(crate) fn rows(&self, stream: StreamId, seq: u64) -> Cow<'_, [FoundRow]> {
        let Some(last) = self.final_reads.last() else { return Cow::default() };
        let odd = last.odd_rows(stream, seq);
        let plain = if odd.is_empty() { last.plain_row(stream, seq) } else { None };
        let spans = self.timestamps(stream, seq);
        let of_attempts = |row: &FoundRow| self.of_attempts(stream, seq, &spans, row);
        let of_group = self.of_group(stream, seq);
        if of_group.is_empty() && odd.iter().chain(&plain).all(|row| of_attempts(row).is_none()) {
            return Cow::Borrowed(odd);
        }
        let rows = odd.iter().chain(&plain).cloned().map(|mut row| {
            let of_attempts = of_attempts(&row);
            row.differences.extend(of_attempts);
            row.differences.extend_from_slice(of_group);
            row
        });
        Cow::Owned(rows.collect())
    }

    /// What is wrong with the event's group, if that is told of this event.
    pub(crate) fn of_group(&self, stream: StreamId, seq: u64) -> &[Difference] {
        self.groups.map_or(&[], |groups| groups.of(stream, seq))
    }

    /// The spans in which the event's stored timestamp must lie, one for each attempt that may have stored it.
    pub(crate) fn timestamps(&self, stream: StreamId, seq: u64) -> Vec<(i64, i64)> {
        row::timestamps(self.dialect, &self.attempt_times(stream, seq), self.clock_tolerance_micros)
    }

    /// What the attempts that may have stored an event say about its time.
    pub(crate) fn attempt_times(&self, stream: StreamId, seq: u64) -> Vec<AttemptTimes> {
        let Some(occurred) = self.workload.occurred_micros(stream, seq) else { return Vec::new() };
        let latest = self.judged_at().unwrap_or_default();
        let mut times = self.sent.attempt_times(self.workload, self.start, stream, seq, occurred, latest);
        times.retain(|attempt| self.is_young_enough(stream, attempt));
        times
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
        looks.extend(self.final_reads.iter().map(|read| look(read.span(), read.is_visible(stream, seq))));
        Sight::of(looks, answered_at.map(micros))
    }

    /// Whether the event's outcome is that of a request that was meant to fail, and did.
    fn on_purpose(&self, event: &SentEvent, room: &mut Room) -> bool {
        if !matches!(event.outcome, EventOutcome::Rejected | EventOutcome::Indeterminate) {
            return false;
        }
        // To know it of a large request, that may have to be made again, and its events follow each other.
        let known = room.on_purpose.filter(|(exchange, _)| *exchange == event.exchange);
        let (_, on_purpose) = known.unwrap_or_else(|| (event.exchange, self.is_meant_to_fail(event.exchange)));
        room.on_purpose = Some((event.exchange, on_purpose));
        on_purpose
    }

    /// Whether the request of an exchange is meant to fail.
    fn is_meant_to_fail(&self, exchange: u32) -> bool {
        self.sent.exchanges().get(exchange as usize).is_some_and(|exchange| {
            let request = &exchange.request;
            let spoils = |seq| spoils_request(self.dialect, self.workload, request.stream, seq);
            request.fault(self.workload).is_some_and(ClientFault::is_meant_to_fail)
                || request.seqs(self.workload).any(|(seq, _)| spoils(seq))
                || body_limit::may_be_over(self.workload, request, self.start)
        })
    }

    /// Whether no attempt was answered with success while a planned fault went on, so that the outcome is no wonder.
    fn is_in_fault(&self, event: &SentEvent) -> bool {
        let tried = event.outcome != EventOutcome::Acked && (event.sent_at.is_some() || event.refused);
        let exchange = self.sent.exchanges().get(event.exchange as usize).filter(|_| tried);
        exchange.is_some_and(|exchange| {
            let end = exchange.answered.or(exchange.gave_up).unwrap_or(Duration::MAX);
            self.watermark.disturbed.touches(exchange.intended, end)
        })
    }

    /// Whether capture said that it has dropped the event, and no attempt may have stored it.
    fn is_dropped(&self, stream: StreamId, seq: u64, event: &SentEvent) -> bool {
        event.dropped.is_some() && !self.sent.attempts(stream, seq).any(|exchange| exchange.may_have_stored(seq))
    }

    /// What must become of the event.
    pub(crate) fn fate(&self, stream: StreamId, seq: u64) -> Fate {
        let known = fate(self.dialect, self.plugins, self.workload, stream, seq);
        match (known, self.fate_by_age(stream, seq)) {
            (Fate::Absent(_), _) | (_, Fate::Present) => known,
            (_, by_age) => by_age,
        }
    }

    /// What must be there of an event that was sent to `team` in these attempts.
    pub(crate) fn expect(&self, event: &Event, team: i64, attempts: &[AttemptTimes]) -> Expectation {
        let told_by = (self.dialect, self.workload);
        self.plugins.expect_told(told_by, event, team, attempts, self.clock_tolerance_micros)
    }

    /// What was delivered of the event, against what its team's plugins must export.
    fn exported(&self, stream: StreamId, seq: u64) -> Exported {
        let Some(exports) = self.exports else { return Exported::default() };
        let wrong = exports.wrong(stream, seq).next().is_some();
        let mut exported = Exported { wrong, caught_up: exports.caught_up, ..Exported::default() };
        for (number, rule) in self.export_rules(stream, seq).into_iter().enumerate() {
            let delivered = exports.times(number, stream, seq) > 0;
            exported.delivered |= delivered;
            exported.wanted |= rule == Some(true);
            exported.missing |= rule == Some(true) && !delivered;
            exported.unmatched |= rule == Some(false) && delivered;
        }
        exported
    }

    /// Of the plugins that export, in their order, whether each must deliver the event; `None` where nobody can know, because the
    /// capture mints the uuid that decides, or because it is told in several ways and one decides otherwise than another.
    pub(crate) fn export_rules(&self, stream: StreamId, seq: u64) -> Vec<Option<bool>> {
        let Some(traffic) = self.workload.traffic(stream) else { return Vec::new() };
        // An event that cannot be made again must be no one's.
        let none = || self.plugins.exporting().map(|_| Some(false)).collect();
        if !self.plugins.export(traffic.team) {
            return none();
        }
        let Some(event) = self.workload.event(stream, seq) else { return none() };
        let of = |event: &Event| {
            self.plugins.exports(row::expect(self.dialect, event, traffic.team, &[], 0), event, traffic.team)
        };
        let mut rules = of(&event);
        for other in self.workload.other_contents(stream, seq) {
            for (rule, other) in rules.iter_mut().zip(of(&other)) {
                *rule = rule.filter(|first| other == Some(*first));
            }
        }
        rules
    }

    /// Whether the event must be there, and in how many of its `rows`.
    fn presence(&self, stream: StreamId, seq: u64, rows: usize) -> Presence {
        // Only several rows make it worth asking how many may stay.
        let most_rows = || if rows > 1 { self.most_rows(stream, seq) } else { 1 };
        match self.fate(stream, seq) {
            Fate::Absent(_) => Presence::Absent,
            Fate::Either(_) => Presence::Either { most_rows: most_rows() },
            Fate::Present => Presence::Present { most_rows: most_rows() },
        }
    }

    /// When the read began that says what is missing.
    pub(super) fn judged_at(&self) -> Option<Duration> {
        self.final_reads.last().map(|read| read.summary.start).or_else(|| self.reads.last().map(|(start, _)| start))
    }

    /// Old enough to be missed.
    pub(super) fn is_old_enough(&self, event: &SentEvent) -> bool {
        let Some(read) = self.judged_at() else { return false };
        let Some(from) = event.answered_at.or(event.sent_at) else { return true };
        read >= self.watermark.missed_from(from)
    }

    /// First seen after the watermark had passed it.
    fn is_late(&self, stream: StreamId, seq: u64, event: &SentEvent) -> bool {
        let first = self.reads.first_seen(stream, seq).and_then(|first| first.missed);
        let answered = event.answered_at.or(event.sent_at).unwrap_or_default();
        first.is_some_and(|missed| missed >= self.watermark.missed_from(answered))
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
                    Some(place) => place.checked_sub(1).map(|before| self.final_reads[before].span().0).or(last_miss),
                    None => self.judged_at(),
                };
                TimeToVisible {
                    after: missed.map_or(0.0, since).max(0.0),
                    by: seen.map(|place| since(self.final_reads[place].span().1)),
                    seen: seen.is_some(),
                }
            }
        })
    }

    /// How many rows of the event may stay.
    pub(crate) fn most_rows(&self, stream: StreamId, seq: u64) -> usize {
        if self.workload.oddities(stream, seq).no_uuid {
            // Each attempt that may have been stored has a uuid of its own.
            return self.attempt_times(stream, seq).len().max(1);
        }
        row::most_rows(&self.timestamps(stream, seq), self.names(stream, seq))
    }

    /// Under how many names the attempts that may have stored an event may have done so.
    fn names(&self, stream: StreamId, seq: u64) -> usize {
        let may_have_two = self.workload.oddities(stream, seq).has_other_name();
        let event = if may_have_two { self.workload.event(stream, seq) } else { None };
        if !event.is_some_and(|event| event.oddities.has_other_name()) {
            return 1;
        }
        let attempts = self.sent.attempts(stream, seq).filter(|exchange| exchange.may_have_stored(seq));
        let kinds: BTreeSet<bool> = attempts.map(|exchange| exchange.request.is_again(self.workload, seq)).collect();
        kinds.len().max(1)
    }

    fn is_ever_seen(&self, stream: StreamId, seq: u64) -> bool {
        self.reads.has_seen(stream, seq) || self.final_reads.iter().any(|read| read.is_visible(stream, seq))
    }
}

/// What the rows of an event that is not simply as expected say.
fn row_facts(rows: &[FoundRow]) -> RowFacts {
    let differs = |wanted: fn(&str) -> bool| {
        let own = rows.iter().filter(|row| !row.misrouted).flat_map(|row| &row.differences);
        own.into_iter().any(|difference| wanted(&difference.column))
    };
    RowFacts {
        left: rows.len(),
        misrouted: rows.iter().any(|row| row.misrouted),
        corrupted: differs(|column| column != PERSON && !is_of_group(column)),
        wrong_person: differs(|column| column == PERSON),
        wrong_group: differs(is_of_group),
    }
}

/// Whether a column is one of the table of groups, or the event's groups together.
fn is_of_group(column: &str) -> bool {
    column.strip_prefix(GROUPS).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

const PERSON: &str = "person_id";
const TEAM: &str = "team_id";

#[cfg(test)]
pub(crate) mod tests;
