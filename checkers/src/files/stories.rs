//! From files to stories, and from stories to evidence.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Options, ReadsFile, RowsFile, SentFile,
    examples::{Examples, Place},
    line::FileError,
    part::{Bytes, Known, Part},
    parts::PARTS,
    requests::Portions,
    rows::Row,
    sent::{Contradiction, SentId},
};
use crate::{
    oracle::json,
    reconcile::{
        evidence::{Class, EXAMPLES, Evidence, Finding},
        population::Lane,
        spans::TimeToVisible,
        story::{Exported, Judged, Look, Micros, Presence, RowFacts, Sight, Story},
        totals::{Company, Told as Judgement, Totals},
    },
};

/// What the stories come to.
pub(super) struct Told {
    pub evidence: Evidence,
    /// Ids by their primary class.
    pub ids: BTreeMap<Class, Vec<String>>,
    /// From the first to the last moment that is named.
    pub duration: Micros,
    /// How many requests are named.
    pub requests: u64,
}

/// The files, and what follows from them as a whole.
struct Files<'a> {
    sent: &'a SentFile,
    rows: Option<&'a RowsFile>,
    reads: Option<&'a ReadsFile>,
    options: &'a Options,
    /// When the final read began; `None` if after everything else.
    judged_at: Option<Micros>,
    /// When the read of the rows began, for looks: after everything else, if nobody says when.
    rows_at: Micros,
}

/// What was told so far.
struct Telling {
    evidence: Evidence,
    totals: Totals,
    portions: Portions,
    ids: Examples<String>,
    findings: Examples<Finding>,
}

/// Tells every id's story and puts the evidence together.
///
/// # Errors
/// When attempts of one id contradict each other, or what was put aside cannot be read.
pub(super) fn tell(
    sent: &SentFile,
    rows: Option<&RowsFile>,
    reads: Option<&ReadsFile>,
    options: &Options,
) -> Result<Told, FileError> {
    let mut span = reads.map_or(sent.span, |reads| sent.span.with(reads.span));
    span.end(options.now);
    let last_read = reads.and_then(|reads| reads.spans.last()).map(|(start, _)| *start);
    let files = Files {
        sent,
        rows,
        reads,
        options,
        judged_at: if rows.is_some() { options.now } else { last_read },
        rows_at: options.now.unwrap_or_else(|| span.last.unwrap_or_default() + 1),
    };
    let mut telling = Telling {
        evidence: files.evidence(),
        totals: Totals::new(false),
        portions: Portions::new(),
        ids: Examples::new(options.examples),
        findings: Examples::new(EXAMPLES),
    };
    files.tell_all(&mut telling)?;
    let Telling { mut evidence, mut totals, portions, mut ids, mut findings } = telling;
    let requests = portions.close(&mut totals, &mut evidence)?;
    totals.finish(&mut evidence);
    for class in Class::ALL {
        let examples = findings.take(class);
        if !examples.is_empty() {
            evidence.examples.insert(class, examples);
        }
    }
    let ids = Class::ALL.into_iter().map(|class| (class, ids.take(class))).collect();
    Ok(Told { evidence, ids, duration: span.length(), requests })
}

impl Telling {
    fn find(&mut self, class: Class, place: Place, finding: impl FnOnce() -> Finding) {
        *self.evidence.findings.entry(class).or_default() += 1;
        self.findings.add(class, place, finding);
    }
}

impl Files<'_> {
    /// What is known without any story.
    fn evidence(&self) -> Evidence {
        let spans = self.reads.map_or(&[][..], |reads| &reads.spans);
        let mut evidence = Evidence {
            final_reads: usize::from(self.rows.is_some()),
            read_whole: self.rows.is_some() || !spans.is_empty(),
            reads: usize::from(self.rows.is_some()) + spans.len(),
            tenants: self.rows.is_some_and(|rows| rows.holds_tenants) && self.sent.holds_tenants,
            read_nothing: match self.rows {
                Some(rows) => rows.raw_rows == 0,
                None => self.reads.is_some_and(|reads| reads.last_is_empty),
            },
            ..Evidence::default()
        };
        if let Some(rows) = self.rows {
            evidence.counts.raw_rows = rows.raw_rows;
            evidence.counts.pending_merge_rows = rows.removed;
            if rows.holds_columns {
                evidence.judged_columns = self.sent.columns.iter().cloned().collect();
            }
        }
        evidence
    }

    fn tell_all(&self, telling: &mut Telling) -> Result<(), FileError> {
        let mut first: Option<Contradiction> = None;
        let mut looks = Vec::new();
        for part in 0..PARTS {
            let bytes = Bytes::take(part, self.sent, self.rows, self.reads)?;
            let part = Part::gather(&bytes, self.reads)?;
            // All parts are looked through, so that the first of the file is named.
            first = [first, part.contradiction].into_iter().flatten().min_by_key(|contradiction| contradiction.line);
            if first.is_none() {
                self.tell_part(&part, &mut looks, telling)?;
            }
        }
        first.map_or(Ok(()), |contradiction| Err(self.sent.contradiction(&contradiction)))
    }

    fn tell_part(&self, part: &Part<'_>, looks: &mut Vec<Look>, telling: &mut Telling) -> Result<(), FileError> {
        telling.totals.begin(part.requests.len());
        for known in &part.ids {
            self.tell_one(known, looks, telling);
        }
        for (id, place) in &part.strangers {
            telling.evidence.counts.phantom += 1;
            telling.ids.add(Class::Phantom, *place, || (*id).to_owned());
            telling.find(Class::Phantom, *place, || Finding::bare(Class::Phantom, (*id).to_owned()));
        }
        telling.portions.add(part, &telling.totals)
    }

    fn tell_one(&self, known: &Known<'_>, looks: &mut Vec<Look>, telling: &mut Telling) {
        let Known { sent: event, rows, .. } = known;
        let place = (0, event.line, 0);
        self.look(known, looks);
        let sight = Sight::of(looks, event.answered_at);
        let differences = differences(event, rows);
        let story = Story {
            outcome: event.outcome,
            presence: if event.expect_absent.is_some() { Presence::Absent } else { Presence::Present { most_rows: 1 } },
            dropped: false,
            sight,
            old_enough: self.is_old_enough(event),
            rows: RowFacts {
                left: rows.len(),
                misrouted: rows.iter().any(|row| is_misrouted(event, row)),
                corrupted: !differences.is_empty(),
                ..RowFacts::default()
            },
            exported: Exported::default(),
        };
        let judged = story.judge();
        self.count(event, &story, judged, looks, telling);
        if let Some(primary) = judged.classes.primary() {
            telling.ids.add(primary, place, || event.id.to_owned());
        }
        let first_seen = looks.iter().filter(|look| look.seen).map(|look| look.end).min();
        for class in judged.classes.iter() {
            let finding = || {
                let difference = differences.first().filter(|_| class == Class::Corrupted);
                let misrouted = rows.iter().find(|row| is_misrouted(event, row)).filter(|_| class == Class::Misrouted);
                let (column, expected, found) = match (difference, misrouted) {
                    (Some((column, expected, found)), _) => {
                        (Some((*column).to_owned()), Some((*expected).to_owned()), found.or(Some("nothing")))
                    }
                    (None, Some(row)) => (Some("tenant".into()), event.tenant.map(str::to_owned), row.tenant),
                    (None, None) => (None, None, None),
                };
                let mut finding = Finding {
                    column,
                    expected,
                    found: found.map(str::to_owned),
                    sent_at: event.sent_at.map(seconds),
                    first_seen: first_seen.map(seconds),
                    ..Finding::bare(class, event.id.to_owned())
                };
                if class == Class::Duplicated {
                    finding.expected = Some("at most 1 row".into());
                    finding.found = Some(format!("{} rows that no merge removes", rows.len()));
                }
                finding
            };
            telling.find(class, place, finding);
        }
        let columns: BTreeSet<&str> = differences.iter().map(|(column, ..)| *column).collect();
        for column in columns {
            *telling.evidence.columns.entry(column.to_owned()).or_default() += 1;
        }
    }

    fn count(&self, event: &SentId<'_>, story: &Story, judged: Judged, looks: &[Look], telling: &mut Telling) {
        let company = Company { request: event.request, lane: Lane { partition: -1, second: 0 } };
        let mut told = Judgement {
            story: *story,
            judged,
            company,
            on_purpose: false,
            in_fault: false,
            is_dropped: false,
            is_late: false,
            time: None,
            events: 1,
        };
        if judged.expected {
            // When nobody says when the rows were read, that read tells no time.
            let untimed = self.rows.is_some() && self.options.now.is_none();
            let timed = if untimed { &looks[..looks.len() - 1] } else { looks };
            let missed = last_miss(timed);
            let answered = event.answered_at.or(event.sent_at);
            told.is_late = story.sight.ever
                && missed.zip(answered).is_some_and(|(missed, answered)| missed - answered >= self.loss_after());
            told.time = event.sent_at.map(|sent_at| {
                let by = timed.iter().filter(|look| look.seen).map(|look| look.end).min();
                let since = |moment: Micros| seconds(moment - sent_at);
                TimeToVisible { after: missed.map_or(0.0, since).max(0.0), by: by.map(since), seen: story.sight.ever }
            });
        }
        let limit = self.options.targets.p99_time_to_visible;
        telling.totals.count(&told, limit, self.rows.is_some(), &mut telling.evidence);
    }

    /// What each read says about an id, the final one last.
    fn look(&self, known: &Known<'_>, looks: &mut Vec<Look>) {
        looks.clear();
        if let Some(reads) = self.reads {
            let mut next = known.seen_by.iter().copied().peekable();
            looks.extend(reads.spans.iter().enumerate().map(|(number, (start, end))| {
                let seen = next.next_if_eq(&(number as u32)).is_some();
                Look { start: *start, end: *end, seen }
            }));
        }
        if self.rows.is_some() {
            looks.push(Look { start: self.rows_at, end: self.rows_at, seen: !known.rows.is_empty() });
        }
    }

    fn loss_after(&self) -> Micros {
        self.options.loss_after.as_micros() as Micros
    }

    fn is_old_enough(&self, event: &SentId<'_>) -> bool {
        let from = event.answered_at.or(event.sent_at);
        // Without a moment of the final read, or of the event, nothing is pending for being young.
        self.judged_at.zip(from).is_none_or(|(judged_at, from)| judged_at - from >= self.loss_after())
    }
}

/// When the last read began that missed an id before anyone saw it: it was not visible so soon.
fn last_miss(looks: &[Look]) -> Option<Micros> {
    let first_seen = looks.iter().filter(|look| look.seen).map(|look| look.end).min();
    let misses = looks.iter().filter(|look| !look.seen && first_seen.is_none_or(|seen| look.start < seen));
    misses.map(|look| look.start).max()
}

fn is_misrouted(event: &SentId<'_>, row: &Row<'_>) -> bool {
    event.tenant.is_some() && row.tenant.is_some() && event.tenant != row.tenant
}

/// A column that differs, what it must hold, and what it holds.
type Difference<'a> = (&'a str, &'a str, Option<&'a str>);

fn differences<'a>(event: &SentId<'a>, rows: &[Row<'a>]) -> Vec<Difference<'a>> {
    let Some(expect) = &event.expect else { return Vec::new() };
    let mut differences = Vec::new();
    for columns in rows.iter().filter_map(|row| row.columns.as_ref()) {
        for (column, expected) in expect {
            let place = columns.binary_search_by_key(column, |(column, _)| column);
            let found = place.ok().map(|place| columns[place].1);
            if !found.is_some_and(|found| json::same(expected, found)) {
                differences.push((*column, *expected, found));
            }
        }
    }
    differences
}

fn seconds(micros: Micros) -> f64 {
    micros as f64 / 1e6
}
