//! The self-test of every run: planting defects in a small copy of its own evidence, which the judge must find.
//!
//! Clean events of the run are taken as victims and as controls. Each victim's copy is tampered with in one way: its rows
//! are lost, doubled, changed, put under another tenant …; then the very code that judges the run judges the copies. A
//! planted defect that is not found under its own name, or anything found in a control, means that the judge is blind or
//! sees ghosts, and the run proves nothing.

mod exports;
mod groups;

use std::{collections::BTreeMap, time::Duration};

use generators::{event::EventSource, identity::StreamId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    oracle::{
        presence::Fate,
        row::{Expected, Row},
    },
    reasons::Reason,
    reconcile::{
        classify::{Case, classify_one},
        evidence::Class,
        reads::{Read, Reads},
        rows::{FinalRead, FoundRow, Identity, Summary, identify, judge_row},
        sent::{EventOutcome, SentEvent},
        windows::Window,
    },
};

pub use groups::self_test as groups_self_test;

/// So many victims each class gets, if the run has as many clean events.
const VICTIMS: usize = 6;
/// So many controls are judged untouched.
const CONTROLS: usize = 60;

/// The classes that are planted in rows and reads of events. What is exported and what groups are is tampered with by itself,
/// and classes whose making takes more than that are planted in the reference pipeline alone.
const PLANTED: [Class; 9] = [
    Class::Phantom,
    Class::RejectedButVisible,
    Class::Misrouted,
    Class::Vanished,
    Class::Lost,
    Class::Duplicated,
    Class::Corrupted,
    Class::WrongPerson,
    Class::Flicker,
];

/// What became of the planted defects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfTest {
    /// How many were planted.
    pub planted: u64,
    /// How many of them were found, each under its own name.
    pub found: u64,
    /// How many things were found that nobody had planted.
    pub false_alarms: u64,
    /// How many defects of each class were missed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub missed: BTreeMap<Class, u64>,
}

impl SelfTest {
    /// A self-test that did not come to its end.
    pub const fn crashed() -> Self {
        Self { planted: 0, found: 0, false_alarms: 0, missed: BTreeMap::new() }
    }

    /// What is wrong, for people.
    pub fn told(&self) -> String {
        if self.planted == 0 {
            return format!("the self-test crashed, so {}; please report this", Reason::SelfTestFailed.words());
        }
        let missed: Vec<String> =
            self.missed.iter().map(|(class, count)| format!("{count} {}", class.name())).collect();
        format!(
            "the self-test planted {} defects in a copy of the evidence and found {} ({} missed), with {} false alarms: \
             {}; please report this",
            self.planted,
            self.found,
            if missed.is_empty() { "none".to_owned() } else { missed.join(", ") },
            self.false_alarms,
            Reason::SelfTestFailed.words(),
        )
    }

    /// This self-test and another one of the same run.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        if self.planted == 0 || other.planted == 0 {
            return Self::crashed();
        }
        self.planted += other.planted;
        self.found += other.found;
        self.false_alarms += other.false_alarms;
        for (class, count) in &other.missed {
            *self.missed.entry(*class).or_default() += count;
        }
        self
    }

    /// Whether the judge can be believed.
    pub const fn passed(&self) -> bool {
        self.planted > 0 && self.found == self.planted && self.false_alarms == 0
    }
}

/// Tampers with copies of the case's clean events and judges them; `None` if it has none to spare for every class.
pub fn self_test(case: &Case<'_>) -> Option<SelfTest> {
    let tested = self_test_of_rows(case);
    match (tested, exports::self_test(case)) {
        (Some(rows), Some(exports)) => Some(rows.and(&exports)),
        (rows, exports) => rows.or(exports),
    }
}

fn self_test_of_rows(case: &Case<'_>) -> Option<SelfTest> {
    let last = case.final_reads.last()?;
    let clean = clean_events(case, last, PLANTED.len() * VICTIMS + CONTROLS);
    let each = (clean.len() / 2 / PLANTED.len()).min(VICTIMS);
    if each == 0 {
        return None;
    }
    let (victims, controls) = clean.split_at(each * PLANTED.len());
    let mut result = SelfTest { planted: 0, found: 0, false_alarms: 0, missed: BTreeMap::new() };
    for (number, victim) in victims.iter().enumerate() {
        let (class, variant) = (PLANTED[number % PLANTED.len()], number / PLANTED.len());
        let Some(found) = tampered(case, last, *victim, class, variant) else { continue };
        result.planted += 1;
        if found.contains(&class) {
            result.found += 1;
        } else {
            *result.missed.entry(class).or_default() += 1;
        }
        result.false_alarms += found.iter().filter(|other| **other != class).count() as u64;
    }
    for control in controls {
        let copy = Copy::of(case, last, *control);
        result.false_alarms += copy.judge(case, *control).len() as u64;
    }
    Some(result)
}

type Place = (StreamId, u64);

/// Up to `wanted` events that are as they should be, from all over the window.
fn clean_events(case: &Case<'_>, last: &FinalRead, wanted: usize) -> Vec<Place> {
    let window = case.sent.window();
    let stream = window.stream;
    let step = (window.len() / wanted.max(1)).max(1) as u64;
    let is_clean = |seq: u64| {
        case.sent.event(stream, seq).outcome == EventOutcome::Acked
            && case.fate(stream, seq) == Fate::Present
            && last.plain_row(stream, seq).is_some()
            && case.rows(stream, seq).is_empty()
            && case.reads.has_seen(stream, seq)
            && case.final_reads.iter().all(|read| read.is_visible(stream, seq))
    };
    let stretches = window.seqs.clone().step_by(step as usize);
    // The first clean one of each stretch.
    let clean = stretches.filter_map(|first| (first..(first + step).min(window.seqs.end)).find(|seq| is_clean(*seq)));
    clean.take(wanted).map(|seq| (stream, seq)).collect()
}

/// One event's evidence, to be tampered with: its first sight, and what three final reads found.
struct Copy {
    sent: SentEvent,
    seen: Vec<Read>,
    rows: [Vec<FoundRow>; 3],
    unknown: Vec<String>,
    times: [(Duration, Duration); 3],
}

impl Copy {
    fn of(case: &Case<'_>, last: &FinalRead, (stream, seq): Place) -> Self {
        let first = case.reads.first_read(stream, seq);
        let seen = first.map(|(start, end)| Read { start, end, new: vec![(stream, vec![seq])] });
        let rows: Vec<FoundRow> = last.plain_row(stream, seq).into_iter().collect();
        // The last copy is so late that no event is too young to be lost.
        let (start, end) = last.span();
        let later = |more| (end + more, end + more);
        let next = Duration::from_secs(1);
        let long_after = Duration::from_secs(2) + case.watermark.missed_from(end).saturating_sub(end);
        Self {
            sent: case.sent.event(stream, seq),
            seen: seen.into_iter().collect(),
            rows: [rows.clone(), rows.clone(), rows],
            unknown: Vec::new(),
            times: [(start, end), later(next), later(long_after)],
        }
    }

    /// The classes that the copy comes to.
    fn judge(&self, case: &Case<'_>, (stream, seq): Place) -> Vec<Class> {
        let window = Window { stream, seqs: seq..seq + 1 };
        let mut final_reads = Vec::new();
        for (rows, (start, end)) in self.rows.iter().zip(self.times) {
            let mut read = FinalRead::begin(window.clone(), Summary { start, end, ..Summary::default() });
            for row in rows {
                read.put(stream, seq, row.clone());
            }
            final_reads.push(read);
        }
        if let Some(last) = final_reads.last_mut() {
            for what in &self.unknown {
                last.summary.add_unknown(what.clone());
            }
        }
        let reads = Reads::of(window, &self.seen);
        // Deliveries are tampered with by themselves.
        let copy = Case { reads: &reads, final_reads: &final_reads, exports: None, ..*case };
        classify_one(&copy, stream, seq, &self.sent)
    }
}

/// What is found in the copy of `place` after `class` was planted in it; `variant` varies the way.
fn tampered(case: &Case<'_>, last: &FinalRead, place: Place, class: Class, variant: usize) -> Option<Vec<Class>> {
    let (stream, seq) = place;
    let mut copy = Copy::of(case, last, place);
    match class {
        Class::RejectedButVisible => {
            copy.sent.outcome = if variant.is_multiple_of(2) { EventOutcome::Rejected } else { EventOutcome::Unsent };
        }
        Class::Vanished => {
            copy.rows[1].clear();
            copy.rows[2].clear();
        }
        Class::Lost => {
            copy.seen.clear();
            copy.rows = [Vec::new(), Vec::new(), Vec::new()];
        }
        Class::Flicker => copy.rows[1].clear(),
        Class::Duplicated => {
            // One more than may stay: attempts on several days may leave a row each.
            let more = case.most_rows(stream, seq);
            for rows in &mut copy.rows {
                if let Some(row) = rows.first().cloned() {
                    rows.extend(
                        (0..more).map(|place| FoundRow { key: row.key ^ 1 << ((variant + place) % 60), ..row.clone() }),
                    );
                }
            }
        }
        Class::Phantom | Class::Misrouted | Class::Corrupted | Class::WrongPerson => {
            let event = case.workload.event(stream, seq)?;
            let team = case.workload.traffic(stream)?.team;
            // The timestamp is judged when everything is put together.
            let expectation = case.expect(&event, team, &[]);
            let timestamp_micros = last.plain_row(stream, seq)?.timestamp_micros;
            let mut row = Row { timestamp_micros, ..expectation.fulfilled()? };
            if class == Class::Phantom {
                row.uuid = Uuid::from_u128(row.uuid.as_u128() ^ 1 << variant);
                row.properties = "{}".into();
                // As in a final read: only what is nobody's is unknown.
                if let Identity::Unknown(what) = identify(&row.view(), case.workload.plan().run, |_| seq + 1) {
                    copy.unknown.push(what);
                }
            } else {
                let latest = case.timestamps(stream, seq).iter().map(|(_, to)| *to).max().unwrap_or_default();
                spoil(&mut row, class, variant, &expectation.columns, latest);
                copy.rows = [1, 2, 3].map(|_| vec![judge_row(&row, &expectation, team)]);
            }
        }
        Class::ShouldBeAbsent
        | Class::WrongGroup
        | Class::NotExported
        | Class::WronglyExported
        | Class::StrayExport => return None,
    }
    Some(copy.judge(case, place))
}

/// Makes one column of `row`, whose timestamp must not be behind `latest`, wrong.
fn spoil(row: &mut Row, class: Class, variant: usize, columns: &[crate::oracle::row::ColumnExpectation], latest: i64) {
    match class {
        Class::Misrouted => row.team_id += 1,
        Class::WrongPerson => row.person_id = Uuid::from_u128(!row.person_id.as_u128()),
        _ => {
            let properties: Vec<&str> = columns
                .iter()
                .filter(|column| matches!(column.expected, Expected::Json(_)))
                .filter_map(|column| column.column.strip_prefix("properties."))
                .collect();
            let property = properties.get(variant * 5 % properties.len().max(1));
            match (variant % 4, property) {
                (0, Some(property)) => change(row, property, None),
                (1, Some(property)) => change(row, property, Some("\"tampered\"")),
                // An attempt without an answer may have been read by the capture's clock at any time until now.
                (2, _) => row.timestamp_micros = row.timestamp_micros.max(latest) + 3_600_000_000,
                _ => row.event.push('!'),
            }
        }
    }
}

/// Gives a property another value, or takes it away.
fn change(row: &mut Row, property: &str, value: Option<&str>) {
    if let Ok(mut properties) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&row.properties) {
        match value.and_then(|value| serde_json::from_str(value).ok()) {
            Some(value) => properties.insert(property.to_owned(), value),
            None => properties.remove(property),
        };
        row.properties = serde_json::Value::Object(properties).to_string();
    }
}

#[cfg(test)]
mod tests;
