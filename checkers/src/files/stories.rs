//! From files to stories, and from stories to evidence.

use std::collections::{BTreeMap, BTreeSet};

use super::{Options, ReadsFile, RowsFile, SentFile, rows::FileRow, sent::SentId};
use crate::{
    oracle::json,
    reconcile::{
        evidence::{Class, Evidence, Finding},
        population::Lane,
        spans::TimeToVisible,
        story::{Judged, Look, Micros, Presence, RowFacts, Sight, Story},
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

/// Tells every id's story and puts the evidence together.
pub(super) fn tell(sent: &SentFile, rows: Option<&RowsFile>, reads: Option<&ReadsFile>, options: &Options) -> Told {
    let spans = reads.map_or(&[][..], |reads| &reads.spans);
    let answers = sent.events.iter().filter_map(|event| event.answered_at);
    let sends = sent.events.iter().filter_map(|event| event.sent_at);
    let last = spans.iter().map(|(_, end)| *end).chain(answers).chain(sends.clone()).chain(options.now).max();
    let first = spans.iter().map(|(start, _)| *start).chain(sends).min();
    let last_read = spans.last().map(|(start, _)| *start);
    let files = Files {
        sent,
        rows,
        reads,
        options,
        judged_at: if rows.is_some() { options.now } else { last_read },
        rows_at: options.now.unwrap_or_else(|| last.unwrap_or_default() + 1),
    };
    let mut told = Told {
        evidence: Evidence {
            final_reads: usize::from(rows.is_some()),
            read_whole: rows.is_some() || !spans.is_empty(),
            reads: usize::from(rows.is_some()) + spans.len(),
            tenants: rows.is_some_and(|rows| rows.holds_tenants)
                && sent.events.iter().any(|event| event.tenant.is_some()),
            read_nothing: match rows {
                Some(rows) => rows.raw_rows == 0,
                None => reads.is_some_and(|reads| reads.last_is_empty),
            },
            ..Evidence::default()
        },
        ids: Class::ALL.into_iter().map(|class| (class, Vec::new())).collect(),
        duration: last.unwrap_or_default() - first.or(last).unwrap_or_default(),
    };
    files.tell_all(&mut told);
    files.strangers(&mut told);
    told.evidence.counts.torn_requests = files.torn_requests();
    told
}

impl Files<'_> {
    fn tell_all(&self, told: &mut Told) {
        let mut totals = Totals::new(false);
        totals.begin(self.sent.requests());
        let mut looks = Vec::new();
        for (id, event) in self.sent.events.iter().enumerate() {
            self.tell_one(id as u32, event, &mut looks, &mut totals, told);
        }
        let evidence = &mut told.evidence;
        for request in 0..self.sent.requests() {
            // Files are whole, and never judged as a sequence.
            totals.close(totals.shares(request), 0, evidence);
        }
        totals.finish(evidence);
        if let Some(rows) = self.rows {
            evidence.counts.raw_rows = rows.raw_rows;
            evidence.counts.pending_merge_rows = rows.removed;
            if rows.holds_columns {
                let columns = self.sent.events.iter().filter_map(|event| event.expect.as_ref());
                let columns: BTreeSet<&String> = columns.flat_map(BTreeMap::keys).collect();
                evidence.judged_columns = columns.into_iter().cloned().collect();
            }
        }
    }

    fn tell_one(&self, id: u32, event: &SentId, looks: &mut Vec<Look>, totals: &mut Totals, told: &mut Told) {
        self.look(id, looks);
        let sight = Sight::of(looks, event.answered_at);
        let rows = self.rows.and_then(|rows| rows.rows.get(&id)).map_or(&[][..], Vec::as_slice);
        let differences = differences(event, rows);
        let story = Story {
            outcome: event.outcome,
            presence: if event.expect_absent.is_some() { Presence::Absent } else { Presence::Present { most_rows: 1 } },
            sight,
            old_enough: self.is_old_enough(event),
            rows: RowFacts {
                left: rows.len(),
                misrouted: rows.iter().any(|row| is_misrouted(event, row)),
                corrupted: !differences.is_empty(),
                ..RowFacts::default()
            },
        };
        let judged = story.judge();
        self.count(event, &story, judged, looks, totals, &mut told.evidence);
        if let Some(primary) = judged.classes.primary() {
            let ids = told.ids.entry(primary).or_default();
            if ids.len() < self.options.examples {
                ids.push(self.sent.ids.name(id).to_owned());
            }
        }
        let first_seen = looks.iter().filter(|look| look.seen).map(|look| look.end).min();
        for class in judged.classes.iter() {
            let finding = || {
                let difference = differences.first().filter(|_| class == Class::Corrupted);
                let misrouted = rows.iter().find(|row| is_misrouted(event, row)).filter(|_| class == Class::Misrouted);
                let (column, expected, found) = match (difference, misrouted) {
                    (Some((column, expected, found)), _) => {
                        let found = found.as_ref().map_or("nothing", |found| found);
                        (Some((*column).clone()), Some((*expected).to_owned()), Some(found.to_owned()))
                    }
                    (None, Some(row)) => (
                        Some("tenant".into()),
                        event.tenant.as_deref().map(str::to_owned),
                        row.tenant.as_deref().map(str::to_owned),
                    ),
                    (None, None) if class == Class::Duplicated => {
                        (None, Some("at most 1 row".into()), Some(format!("{} rows that no merge removes", rows.len())))
                    }
                    (None, None) => (None, None, None),
                };
                Finding {
                    column,
                    expected,
                    found,
                    sent_at: event.sent_at.map(seconds),
                    first_seen: first_seen.map(seconds),
                    ..Finding::bare(class, self.sent.ids.name(id).to_owned())
                }
            };
            told.evidence.find(finding, class);
        }
        let columns: BTreeSet<&String> = differences.iter().map(|(column, ..)| *column).collect();
        for column in columns {
            *told.evidence.columns.entry(column.clone()).or_default() += 1;
        }
    }

    fn count(
        &self,
        event: &SentId,
        story: &Story,
        judged: Judged,
        looks: &[Look],
        totals: &mut Totals,
        evidence: &mut Evidence,
    ) {
        let company = Company { request: event.request, lane: Lane { partition: -1, second: 0 } };
        let mut told = Judgement { story: *story, judged, company, is_late: false, time: None, events: 1 };
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
        totals.count(&told, self.options.targets.p99_time_to_visible, self.rows.is_some(), evidence);
    }

    /// What each read says about an id, the final one last.
    fn look(&self, id: u32, looks: &mut Vec<Look>) {
        looks.clear();
        if let Some(reads) = self.reads {
            let seen_by = reads.seen_by.get(&id).map_or(&[][..], Vec::as_slice);
            let mut next = seen_by.iter().copied().peekable();
            looks.extend(reads.spans.iter().enumerate().map(|(number, (start, end))| {
                let seen = next.next_if_eq(&(number as u32)).is_some();
                Look { start: *start, end: *end, seen }
            }));
        }
        if let Some(rows) = self.rows {
            looks.push(Look { start: self.rows_at, end: self.rows_at, seen: rows.rows.contains_key(&id) });
        }
    }

    fn loss_after(&self) -> Micros {
        self.options.loss_after.as_micros() as Micros
    }

    fn is_old_enough(&self, event: &SentId) -> bool {
        let from = event.answered_at.or(event.sent_at);
        // Without a moment of the final read, or of the event, nothing is pending for being young.
        self.judged_at.zip(from).is_none_or(|(judged_at, from)| judged_at - from >= self.loss_after())
    }

    /// Ids in rows or reads that nobody has sent.
    fn strangers(&self, told: &mut Told) {
        let names = |ids: &super::Ids| ids.names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let in_rows = self.rows.map(|rows| names(&rows.strangers)).unwrap_or_default();
        let in_reads = self.reads.map(|reads| names(&reads.strangers)).unwrap_or_default();
        let mut known = BTreeSet::new();
        for name in in_rows.into_iter().chain(in_reads) {
            if !known.insert(name.clone()) {
                continue;
            }
            told.evidence.counts.phantom += 1;
            told.evidence.find(|| Finding::bare(Class::Phantom, name.clone()), Class::Phantom);
            let ids = told.ids.entry(Class::Phantom).or_default();
            if ids.len() < self.options.examples {
                ids.push(name);
            }
        }
    }

    /// Requests with attempts of unknown outcome of which a part, and only a part, was seen.
    fn torn_requests(&self) -> u64 {
        let mut requests: BTreeMap<u32, (bool, bool)> = BTreeMap::new();
        for (request, id) in &self.sent.indeterminate {
            let seen = self.reads.is_some_and(|reads| reads.seen_by.contains_key(id))
                || self.rows.is_some_and(|rows| rows.rows.contains_key(id));
            let (some, other) = requests.entry(*request).or_default();
            *some |= seen;
            *other |= !seen;
        }
        requests.values().filter(|(some, other)| *some && *other).count() as u64
    }
}

/// When the last read began that missed an id before anyone saw it: it was not visible so soon.
fn last_miss(looks: &[Look]) -> Option<Micros> {
    let first_seen = looks.iter().filter(|look| look.seen).map(|look| look.end).min();
    let misses = looks.iter().filter(|look| !look.seen && first_seen.is_none_or(|seen| look.start < seen));
    misses.map(|look| look.start).max()
}

fn is_misrouted(event: &SentId, row: &FileRow) -> bool {
    event.tenant.is_some() && row.tenant.is_some() && event.tenant != row.tenant
}

/// Columns that differ: the column, what it must hold, and what it holds.
fn differences<'a>(event: &'a SentId, rows: &'a [FileRow]) -> Vec<(&'a String, &'a str, Option<Box<str>>)> {
    let Some(expect) = &event.expect else { return Vec::new() };
    let mut differences = Vec::new();
    for columns in rows.iter().filter_map(|row| row.columns.as_ref()) {
        for (column, expected) in expect {
            let found = columns.get(column);
            if !found.is_some_and(|found| json::same(expected, found)) {
                differences.push((column, &**expected, found.cloned()));
            }
        }
    }
    differences
}

fn seconds(micros: Micros) -> f64 {
    micros as f64 / 1e6
}
