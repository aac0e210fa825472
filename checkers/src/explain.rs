//! One event's whole story: what was sent, what was answered, what must be there, what was found.

use std::{collections::BTreeMap, time::Duration};

use generators::{
    event::{EventSource, Properties},
    identity::{EventId, StreamId},
    ledger::DropWord,
    workload::{ClientFault, Workload},
};
use serde::Serialize;

use crate::{
    oracle::{
        presence::Fate,
        row::{ColumnExpectation, Difference},
    },
    reconcile::{
        classify::{Case, classify_one},
        evidence::Class,
        sent::{EventOutcome, Exchange},
        stages::Stage,
    },
};

/// Everything that is known about one event. Moments are seconds from the run's start.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Its UUID.
    pub event: String,
    /// The traffic that it belongs to.
    pub traffic: String,
    /// Its sequence number there.
    pub seq: u64,
    /// What was meant.
    pub meant: Meant,
    /// Every attempt to send it.
    pub attempts: Vec<Attempt>,
    /// What the client knows of it.
    pub outcome: EventOutcome,
    /// Why it must not be stored although it may have been acked, where that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_absent: Option<&'static str>,
    /// Why it may be stored or not, where both are fine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_perhaps: Option<&'static str>,
    /// How many rows may stay.
    pub most_rows: usize,
    /// What each column must hold, and why.
    pub expected: Vec<ColumnExpectation>,
    /// The same for each other content that may be there instead, as a whole: a recording may hold the event with several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub or_expected: Vec<Vec<ColumnExpectation>>,
    /// The beginning of the last read that missed it before it was seen.
    pub missed: Option<f64>,
    /// The end of the first read that saw it.
    pub first_seen: Option<f64>,
    /// The last stage before the store that had it, where Kafka could be read.
    pub last_stage: Option<Stage>,
    /// Partition and offset in the capture topic.
    pub captured_at: Option<(u16, u32)>,
    /// What each final read found.
    pub final_reads: Vec<Found>,
    /// The classes that it comes to, its own first; none if it is as it must be.
    pub classes: Vec<Class>,
}

/// The event as the generator meant it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Meant {
    /// Its name.
    pub name: String,
    /// Whom it was sent for.
    pub distinct_id: String,
    /// When it happened, on a clock that is right.
    pub occurred: f64,
    /// What it holds.
    pub properties: Properties,
    /// What it holds beside them, by its key, as source text.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub members: BTreeMap<String, String>,
    /// Every id that is ever joined to this person.
    pub ids_of_person: Vec<String>,
}

/// One attempt to send it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attempt {
    /// The request that carried it: stream/index, and which attempt if it is not the first.
    pub request: String,
    /// When the first attempt was due.
    pub intended: f64,
    /// When it left.
    pub sent: f64,
    /// When its answer came.
    pub answered: Option<f64>,
    /// How its client failed on purpose, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<&'static str>,
    /// What that means for the event.
    pub outcome: EventOutcome,
    /// Why the answer says that the event was dropped, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<&'static str>,
    /// The answer in words.
    pub answer: String,
}

/// What a final read found of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// When the read began.
    pub start: f64,
    /// Whether it was there at all.
    pub visible: bool,
    /// The rows that stay after merges.
    pub rows: Vec<RowStory>,
}

/// One found row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowStory {
    /// Whether it lies under another tenant than the event's.
    pub misrouted: bool,
    /// The columns that differ.
    pub differences: Vec<Difference>,
}

/// Tells the story of `id`; `None` if this run has planned no such event. `answer` tells what a request was answered.
pub fn explain(case: &Case<'_>, id: EventId, answer: impl Fn(&Exchange) -> String) -> Option<Explanation> {
    let EventId { stream, seq, .. } = id;
    let event = case.workload.event(stream, seq)?;
    let traffic = case.workload.traffic(stream)?;
    let sent = case.sent.event(stream, seq);
    let expectation = case.expect_as_sent(&event, traffic.team);
    let (expected_absent, expected_perhaps) = match case.fate(stream, seq) {
        Fate::Present => (None, None),
        Fate::Absent(reason) => (Some(reason), None),
        Fate::Either(reason) => (None, Some(reason)),
    };
    let first = case.reads.first_seen(stream, seq);
    Some(Explanation {
        event: id.to_string(),
        traffic: traffic.name.clone(),
        seq,
        attempts: case
            .sent
            .attempts(stream, seq)
            .map(|exchange| attempt(case.workload, exchange, seq, &answer))
            .collect(),
        outcome: sent.outcome,
        expected_absent,
        expected_perhaps,
        most_rows: case.most_rows(stream, seq),
        expected: expectation.columns,
        or_expected: expectation.others.into_iter().map(|other| other.columns).collect(),
        missed: first.and_then(|first| first.missed).map(seconds),
        first_seen: first.map(|first| seconds(first.seen)),
        last_stage: case.stages.map(|stages| stages.last(stream, seq)),
        captured_at: case.stages.and_then(|stages| stages.captured_at(stream, seq)),
        final_reads: found(case, stream, seq),
        classes: classify_one(case, stream, seq, &sent).into_iter().filter(|class| *class != Class::Phantom).collect(),
        meant: Meant {
            name: event.name,
            distinct_id: event.distinct_id,
            occurred: event.occurred_micros as f64 / 1e6,
            properties: event.properties,
            members: event.members.into_iter().map(|member| (member.key, member.value)).collect(),
            ids_of_person: event.ids_of_person,
        },
    })
}

fn seconds(moment: Duration) -> f64 {
    moment.as_secs_f64()
}

fn attempt(workload: &Workload, exchange: &Exchange, seq: u64, answer: &impl Fn(&Exchange) -> String) -> Attempt {
    Attempt {
        request: exchange.name(),
        intended: seconds(exchange.intended),
        sent: seconds(exchange.sent),
        answered: exchange.answered.map(seconds),
        fault: exchange.request.fault(workload).map(ClientFault::name),
        outcome: exchange.outcome_of(seq),
        dropped: exchange.dropped(seq).map(DropWord::word),
        answer: answer(exchange),
    }
}

fn found(case: &Case<'_>, stream: StreamId, seq: u64) -> Vec<Found> {
    let spans = case.timestamps(stream, seq);
    let last = case.final_reads.len().saturating_sub(1);
    case.final_reads
        .iter()
        .enumerate()
        .map(|(number, read)| {
            let plain = read.plain_row(stream, seq);
            let rows = plain.iter().chain(read.odd_rows(stream, seq)).map(|row| {
                let of_attempts = case.of_attempts(stream, seq, &spans, row);
                // The groups of the last read are those that are judged.
                let of_group = if number == last { case.of_group(stream, seq) } else { &[] };
                let differences = row.differences.iter().cloned().chain(of_attempts).chain(of_group.iter().cloned());
                let differences = differences.collect();
                RowStory { misrouted: row.misrouted, differences }
            });
            Found { start: seconds(read.span().0), visible: read.is_visible(stream, seq), rows: rows.collect() }
        })
        .collect()
}
