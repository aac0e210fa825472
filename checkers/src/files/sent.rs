//! `sent.jsonl`: what was sent and answered, a line an attempt.

use std::{collections::HashMap, io::BufRead};

use super::{
    Ids,
    line::{self, Columns, FileError, Line},
};
use crate::{
    oracle::json,
    reconcile::{sent::EventOutcome, story::Micros},
};

const KEYS: &[&str] = &["id", "outcome", "sent_at", "answered_at", "request", "tenant", "expect", "expect_absent"];

/// Everything that was sent.
#[derive(Debug, Default)]
pub struct SentFile {
    pub(super) ids: Ids,
    /// By the id's number.
    pub(super) events: Vec<SentId>,
    requests: HashMap<Box<str>, u32>,
    /// Attempts of unknown outcome that have a request: (request, id).
    pub(super) indeterminate: Vec<(u32, u32)>,
}

/// One id, with its attempts folded.
#[derive(Debug, Default)]
pub(super) struct SentId {
    pub outcome: EventOutcome,
    /// The first attempt's intended moment.
    pub sent_at: Option<Micros>,
    /// The first ack's moment; `None` for no ack, or one that came before every read.
    pub answered_at: Option<Micros>,
    /// The request of the first ack.
    pub request: Option<u32>,
    pub tenant: Option<Box<str>>,
    pub expect: Option<Columns>,
    pub expect_absent: Option<Box<str>>,
}

impl SentFile {
    /// Reads it from `input`; `file` is its name in errors.
    ///
    /// # Errors
    /// When a line is wrong, or the file cannot be read.
    pub fn read(file: &str, input: impl BufRead) -> Result<Self, FileError> {
        let mut sent = Self::default();
        line::each(file, input, KEYS, |line| sent.add(&line))?;
        Ok(sent)
    }

    /// How many requests are named.
    pub fn requests(&self) -> usize {
        self.requests.len()
    }

    /// How many ids there are.
    pub const fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    fn add(&mut self, line: &Line<'_>) -> Result<(), FileError> {
        let id = self.ids.number(&line.required("id")?);
        if id as usize == self.events.len() {
            self.events.push(SentId::default());
        }
        let outcome = outcome(line)?;
        let (sent_at, answered_at) = (line.moment("sent_at")?, line.moment("answered_at")?);
        let request = line.text("request")?.map(|name| {
            let next = self.requests.len() as u32;
            *self.requests.entry(name.into()).or_insert(next)
        });
        let event = &mut self.events[id as usize];
        fold_expectation(line, event)?;
        if outcome == EventOutcome::Unsent {
            return Ok(());
        }
        if let Some(sent_at) = sent_at {
            event.sent_at = Some(event.sent_at.map_or(sent_at, |first| first.min(sent_at)));
        }
        if outcome == EventOutcome::Acked {
            // An ack without a moment came before every read, so it is the first.
            let first = event.outcome != EventOutcome::Acked
                || event.answered_at.is_some_and(|first| answered_at < Some(first));
            if first {
                (event.answered_at, event.request) = (answered_at, request);
            }
        }
        if let (EventOutcome::Indeterminate, Some(request)) = (outcome, request) {
            self.indeterminate.push((request, id));
        }
        event.outcome = event.outcome.max(outcome);
        Ok(())
    }
}

fn outcome(line: &Line<'_>) -> Result<EventOutcome, FileError> {
    match line.required("outcome")?.as_str() {
        "acked" => Ok(EventOutcome::Acked),
        "indeterminate" => Ok(EventOutcome::Indeterminate),
        "rejected" => Ok(EventOutcome::Rejected),
        "unsent" => Ok(EventOutcome::Unsent),
        other => Err(line.wrong(
            "outcome",
            format!("`{other}` is no outcome; it is \"acked\", \"indeterminate\", \"rejected\" or \"unsent\""),
        )),
    }
}

/// What is expected of an event; its attempts must not contradict each other.
fn fold_expectation(line: &Line<'_>, event: &mut SentId) -> Result<(), FileError> {
    let contradicts = |key| line.wrong(key, "contradicts an earlier attempt of this id");
    if let Some(tenant) = line.text("tenant")? {
        if event.tenant.as_deref().is_some_and(|before| before != tenant) {
            return Err(contradicts("tenant"));
        }
        event.tenant = Some(tenant.into());
    }
    if let Some(expect) = line.object("expect")? {
        if event.expect.as_ref().is_some_and(|before| !same_columns(before, &expect)) {
            return Err(contradicts("expect"));
        }
        event.expect = Some(expect);
    }
    if let Some(reason) = line.text("expect_absent")? {
        if event.expect_absent.as_deref().is_some_and(|before| before != reason) {
            return Err(contradicts("expect_absent"));
        }
        event.expect_absent = Some(reason.into());
    }
    if event.expect.is_some() && event.expect_absent.is_some() {
        return Err(line.wrong("expect_absent", "contradicts `expect`: an absent event has no columns"));
    }
    Ok(())
}

fn same_columns(left: &Columns, right: &Columns) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .all(|((left_key, left), (right_key, right))| left_key == right_key && json::same(left, right))
}
