//! `sent.jsonl`: what was sent and answered, a line an attempt.

use std::{collections::BTreeSet, io::BufRead};

use serde::{Deserialize, Serialize};

use super::{
    line::{self, FileError, Line},
    parts::Parts,
    span::Span,
};
use crate::{
    oracle::json,
    reconcile::{sent::EventOutcome, story::Micros},
};

const KEYS: &[&str] = &["id", "outcome", "sent_at", "answered_at", "request", "tenant", "expect", "expect_absent"];

/// Everything that was sent.
#[derive(Debug)]
pub struct SentFile {
    /// The file's name in errors.
    file: String,
    /// Every line, by its id.
    pub(super) attempts: Parts,
    /// From the first to the last moment that is named.
    pub(super) span: Span,
    /// Every column that some event expects.
    pub(super) columns: BTreeSet<String>,
    /// Whether some event names its tenant.
    pub(super) holds_tenants: bool,
}

/// Columns in the order of their names, and their values as JSON source text.
pub(super) type Columns<'a> = Vec<(&'a str, &'a str)>;

/// A line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Attempt<'a> {
    line: u64,
    pub id: &'a str,
    outcome: EventOutcome,
    sent_at: Option<Micros>,
    answered_at: Option<Micros>,
    pub request: Option<&'a str>,
    tenant: Option<&'a str>,
    #[serde(borrow)]
    expect: Option<Columns<'a>>,
    expect_absent: Option<&'a str>,
}

/// One id, with its attempts folded.
#[derive(Debug)]
pub(super) struct SentId<'a> {
    pub id: &'a str,
    /// The line of the first attempt.
    pub line: u64,
    pub outcome: EventOutcome,
    /// The first attempt's intended moment.
    pub sent_at: Option<Micros>,
    /// The first ack's moment; `None` for no ack, or one that came before every read.
    pub answered_at: Option<Micros>,
    /// The request of the first ack, by its number in the part.
    pub request: Option<u32>,
    pub tenant: Option<&'a str>,
    pub expect: Option<Columns<'a>>,
    pub expect_absent: Option<&'a str>,
}

impl SentFile {
    /// Reads it from `input`; `file` is its name in errors.
    ///
    /// # Errors
    /// When a line is wrong, the file cannot be read, or a temporary one cannot be written.
    pub fn read(file: &str, input: impl BufRead) -> Result<Self, FileError> {
        let mut sent = Self {
            file: file.to_owned(),
            attempts: Parts::new(),
            span: Span::default(),
            columns: BTreeSet::new(),
            holds_tenants: false,
        };
        line::each(file, input, KEYS, |line| sent.add(&line))?;
        Ok(sent)
    }

    fn add(&mut self, line: &Line<'_>) -> Result<(), FileError> {
        let id = line.required("id")?;
        let outcome = outcome(line)?;
        let (sent_at, answered_at) = (line.moment("sent_at")?, line.moment("answered_at")?);
        let (request, tenant) = (line.text("request")?, line.text("tenant")?);
        let (expect, expect_absent) = (line.object("expect")?, line.text("expect_absent")?);
        if outcome != EventOutcome::Unsent {
            self.span.send(sent_at);
        }
        if outcome == EventOutcome::Acked {
            self.span.end(answered_at);
        }
        self.holds_tenants |= tenant.is_some();
        let expect = expect.as_ref().map(|columns| {
            for column in columns.keys().filter(|column| !self.columns.contains(*column)).collect::<Vec<_>>() {
                self.columns.insert(column.clone());
            }
            columns.iter().map(|(column, value)| (column.as_str(), value.get())).collect()
        });
        let attempt = Attempt {
            line: line.number(),
            id: &id,
            outcome,
            sent_at,
            answered_at,
            request: request.as_deref(),
            tenant: tenant.as_deref(),
            expect,
            expect_absent: expect_absent.as_deref(),
        };
        self.attempts.put(&id, &attempt)
    }

    /// The error for an attempt that contradicts an earlier one of its id.
    pub(super) fn contradiction(&self, contradiction: &Contradiction) -> FileError {
        FileError::Wrong {
            file: self.file.clone(),
            line: contradiction.line,
            key: Some(contradiction.key.to_owned()),
            what: contradiction.what.to_owned(),
        }
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

/// A line says something else of an event than an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contradiction {
    pub line: u64,
    key: &'static str,
    what: &'static str,
}

impl Attempt<'_> {
    /// Whether it was sent, and nobody knows what became of it.
    pub fn is_indeterminate(&self) -> bool {
        self.outcome == EventOutcome::Indeterminate
    }

    const fn contradicts(&self, key: &'static str) -> Contradiction {
        Contradiction { line: self.line, key, what: "contradicts an earlier attempt of this id" }
    }
}

impl<'a> SentId<'a> {
    /// The id of `first`, before anything is folded.
    pub const fn new(first: &Attempt<'a>) -> Self {
        Self {
            id: first.id,
            line: first.line,
            outcome: EventOutcome::Unsent,
            sent_at: None,
            answered_at: None,
            request: None,
            tenant: None,
            expect: None,
            expect_absent: None,
        }
    }

    /// Adds an attempt, whose request has the number `request` in the part.
    ///
    /// # Errors
    /// When it contradicts an earlier one.
    pub fn fold(&mut self, attempt: Attempt<'a>, request: Option<u32>) -> Result<(), Contradiction> {
        let Attempt { outcome, sent_at, answered_at, .. } = attempt;
        self.fold_expectation(attempt)?;
        if outcome == EventOutcome::Unsent {
            return Ok(());
        }
        if let Some(sent_at) = sent_at {
            self.sent_at = Some(self.sent_at.map_or(sent_at, |first| first.min(sent_at)));
        }
        if outcome == EventOutcome::Acked {
            // An ack without a moment came before every read, so it is the first.
            let first =
                self.outcome != EventOutcome::Acked || self.answered_at.is_some_and(|first| answered_at < Some(first));
            if first {
                (self.answered_at, self.request) = (answered_at, request);
            }
        }
        self.outcome = self.outcome.max(outcome);
        Ok(())
    }

    /// What is expected of an event; its attempts must not contradict each other.
    fn fold_expectation(&mut self, mut attempt: Attempt<'a>) -> Result<(), Contradiction> {
        if let Some(tenant) = attempt.tenant
            && self.tenant.replace(tenant).is_some_and(|before| before != tenant)
        {
            return Err(attempt.contradicts("tenant"));
        }
        if let Some(expect) = attempt.expect.take() {
            if self.expect.as_ref().is_some_and(|before| !same_columns(before, &expect)) {
                return Err(attempt.contradicts("expect"));
            }
            self.expect = Some(expect);
        }
        if let Some(reason) = attempt.expect_absent
            && self.expect_absent.replace(reason).is_some_and(|before| before != reason)
        {
            return Err(attempt.contradicts("expect_absent"));
        }
        if self.expect.is_some() && self.expect_absent.is_some() {
            let what = "contradicts `expect`: an absent event has no columns";
            return Err(Contradiction { what, ..attempt.contradicts("expect_absent") });
        }
        Ok(())
    }
}

fn same_columns(left: &Columns<'_>, right: &Columns<'_>) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .all(|((left_key, left), (right_key, right))| left_key == right_key && json::same(left, right))
}
