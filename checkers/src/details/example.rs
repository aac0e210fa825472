//! One defect's story in a form that is kept: what was sent, answered, seen, and expected against found; cut to what
//! can be read.

use serde::{Deserialize, Serialize};

use crate::{
    explain::{Explanation, RowStory},
    reconcile::{
        evidence::Class,
        sent::{EventOutcome, ExchangeKey},
    },
};

/// So many stories are kept of each class.
pub const STORIES: usize = 5;
/// So many characters of a value are kept.
const VALUE: usize = 600;
/// So many rows of an event, and so many columns of a row, are kept.
const ROWS: usize = 3;
const COLUMNS: usize = 16;

/// The story of one event with a defect. Moments are seconds from the run's start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// What it is an example of.
    pub class: Class,
    /// All classes that it comes to.
    pub classes: Vec<Class>,
    /// Its UUID.
    pub event: String,
    /// The traffic that it belongs to.
    pub traffic: String,
    /// What it is called.
    pub name: String,
    /// Whom it was sent for.
    pub distinct_id: String,
    /// What it held, as JSON.
    pub properties: String,
    /// What the client knows of it.
    pub outcome: EventOutcome,
    /// Every attempt to send it.
    pub attempts: Vec<AttemptTold>,
    /// Why it must not be stored, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_absent: Option<String>,
    /// How many rows may stay.
    pub most_rows: usize,
    /// When the capture topic had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captured: Option<f64>,
    /// Where: partition and offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captured_at: Option<(u16, u32)>,
    /// When the ingester's output had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingested: Option<f64>,
    /// The last stage before the store that had it, where Kafka was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_stage: Option<String>,
    /// The beginning of the last read that missed it before it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<f64>,
    /// The end of the first read that saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<f64>,
    /// What each final read found.
    pub final_reads: Vec<FoundTold>,
}

/// One attempt to send it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptTold {
    /// The request that carried it.
    pub request: String,
    /// When it was due.
    pub intended: f64,
    /// When it left.
    pub sent: f64,
    /// When its answer came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<f64>,
    /// What that means for the event.
    pub outcome: EventOutcome,
    /// The answer in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Which exchange it is, for whoever knows the answers.
    #[serde(skip)]
    pub key: Option<ExchangeKey>,
}

/// What a final read found of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundTold {
    /// When the read began.
    pub start: f64,
    /// How many rows stay after merges; none where it was not there.
    pub rows: usize,
    /// Whether it was there.
    pub visible: bool,
    /// Those that are not as they must be, the first few.
    pub wrong: Vec<WrongRow>,
}

/// A row that is not as it must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WrongRow {
    /// Whether it lies under another tenant.
    pub misrouted: bool,
    /// The columns that differ, the first few: name, what was expected, what was found.
    pub columns: Vec<(String, String, Option<String>)>,
}

impl Example {
    /// What is kept of `story`, an example of `class`; the attempts are those of `keys`, in their order.
    pub fn of(
        class: Class,
        story: &Explanation,
        keys: impl Iterator<Item = ExchangeKey>,
        (captured, ingested): (Option<f64>, Option<f64>),
    ) -> Self {
        let attempts = story.attempts.iter().zip(keys).map(|(attempt, key)| AttemptTold {
            request: attempt.request.clone(),
            intended: attempt.intended,
            sent: attempt.sent,
            answered: attempt.answered,
            outcome: attempt.outcome,
            answer: None,
            key: Some(key),
        });
        let wrong = |rows: &[RowStory]| {
            let wrong = rows.iter().filter(|row| row.misrouted || !row.differences.is_empty()).take(ROWS);
            wrong.map(wrong_row).collect()
        };
        let found = story.final_reads.iter().map(|found| FoundTold {
            start: found.start,
            rows: found.rows.len(),
            visible: found.visible,
            wrong: wrong(&found.rows),
        });
        let mut properties = serde_json::to_string_pretty(&story.meant.properties).unwrap_or_default();
        if !story.meant.members.is_empty() {
            let members = story.meant.members.iter().map(|(key, value)| format!("\n\"{key}\": {value}"));
            properties.extend(members);
        }
        Self {
            class,
            classes: story.classes.clone(),
            event: story.event.clone(),
            traffic: story.traffic.clone(),
            name: cut(&story.meant.name),
            distinct_id: cut(&story.meant.distinct_id),
            properties: cut(&properties),
            outcome: story.outcome,
            attempts: attempts.collect(),
            expected_absent: story.expected_absent.map(str::to_owned),
            most_rows: story.most_rows,
            captured,
            captured_at: story.captured_at,
            ingested,
            last_stage: story.last_stage.map(|stage| stage.name().to_owned()),
            missed: story.missed,
            first_seen: story.first_seen,
            final_reads: found.collect(),
        }
    }
}

fn wrong_row(row: &RowStory) -> WrongRow {
    let columns = row.differences.iter().take(COLUMNS);
    WrongRow {
        misrouted: row.misrouted,
        columns: columns
            .map(|other| (cut(&other.column), cut(&other.expected), other.found.as_deref().map(cut)))
            .collect(),
    }
}

/// The beginning of a long text, and how long it is.
pub fn cut(text: &str) -> String {
    match text.char_indices().nth(VALUE) {
        None => text.to_owned(),
        Some((end, _)) => format!("{} … ({} bytes in all)", &text[..end], text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = "ü".repeat(1 << 20);
        let short = cut(&long);
        assert!(short.len() < 3_000 && short.ends_with("… (2097152 bytes in all)"), "{}", short.len());
    }
}
