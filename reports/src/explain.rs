//! One event's story, for a terminal.

use std::fmt::Write;

use checkers::{
    explain::{Attempt, Explanation, Found},
    reconcile::sent::EventOutcome,
};

use crate::{figures::count, unseen::plain};

/// The story in words.
pub fn render(story: &Explanation) -> String {
    let mut text = String::new();
    // Writing into a String does not fail.
    let _ = write_story(&mut text, story);
    plain(&text)
}

fn write_story(text: &mut String, story: &Explanation) -> std::fmt::Result {
    let meant = &story.meant;
    writeln!(text, "{}  event {} of traffic `{}`", story.event, count(story.seq), story.traffic)?;
    let classes: Vec<&str> = story.classes.iter().map(|class| class.name()).collect();
    let comes_to = if classes.is_empty() { "nothing is wrong with it".to_owned() } else { classes.join(", then ") };
    writeln!(text, "finding: {comes_to}\n\nsent")?;
    writeln!(text, "  {} for {} at {:.3} s", meant.name, meant.distinct_id, meant.occurred)?;
    if meant.ids_of_person.len() > 1 {
        writeln!(text, "  the person is also known as {}", meant.ids_of_person.join(", "))?;
    }
    if story.attempts.is_empty() {
        writeln!(text, "  it never left")?;
    }
    for attempt in &story.attempts {
        write_attempt(text, attempt)?;
    }
    writeln!(text, "\nseen")?;
    match (story.last_stage, story.captured_at) {
        (None, _) => writeln!(text, "  Kafka was not read, so nobody knows what happened before the store")?,
        (Some(stage), None) => writeln!(text, "  before the store last in: {}", stage.name())?,
        (Some(stage), Some((partition, offset))) => {
            let name = stage.name();
            writeln!(
                text,
                "  before the store last in: {name} (capture topic: partition {partition}, offset {offset})"
            )?;
        }
    }
    match (story.missed, story.first_seen) {
        (Some(missed), Some(seen)) => writeln!(text, "  first between {missed:.3} s and {seen:.3} s")?,
        (None, Some(seen)) => writeln!(text, "  first by {seen:.3} s")?,
        (_, None) => writeln!(text, "  by no read while the run went on")?,
    }
    for (number, found) in story.final_reads.iter().enumerate() {
        write_found(text, number + 1, found)?;
    }
    if story.final_reads.is_empty() {
        writeln!(text, "  there was no final read")?;
    }
    match story.expected_absent {
        Some(reason) => writeln!(text, "\nexpected in no row: {reason}. Were it stored:")?,
        None => writeln!(text, "\nexpected, in at most {} row(s)", story.most_rows)?,
    }
    let mut reason = "";
    for column in &story.expected {
        if column.reason != reason {
            reason = column.reason;
            writeln!(text, "  {reason}:")?;
        }
        writeln!(text, "    {}: {}", column.column, column.expected)?;
    }
    Ok(())
}

fn write_attempt(text: &mut String, attempt: &Attempt) -> std::fmt::Result {
    let Attempt { request, intended, sent, answered, fault, outcome, dropped, answer } = attempt;
    let outcome = match outcome {
        EventOutcome::Unsent => "unsent",
        EventOutcome::Rejected => "rejected",
        EventOutcome::Indeterminate => "indeterminate",
        EventOutcome::Acked => "acked",
    };
    write!(text, "  request {request}: due at {intended:.3} s, left at {sent:.3} s")?;
    if let Some(answered) = answered {
        write!(text, ", answered at {answered:.3} s")?;
    }
    if let Some(fault) = fault {
        write!(text, ", with a {fault} on purpose")?;
    }
    match dropped {
        Some(word) => writeln!(text, ": {answer} → {outcome}, and dropped: {word}"),
        None => writeln!(text, ": {answer} → {outcome}"),
    }
}

fn write_found(text: &mut String, number: usize, found: &Found) -> std::fmt::Result {
    write!(text, "  final read {number} at {:.3} s: ", found.start)?;
    if !found.visible {
        return writeln!(text, "not there");
    }
    let right = found.rows.iter().filter(|row| !row.misrouted && row.differences.is_empty()).count();
    writeln!(text, "{} row(s), {right} as expected", found.rows.len())?;
    for row in &found.rows {
        if row.misrouted {
            writeln!(text, "    a row lies under another tenant")?;
        }
        for difference in &row.differences {
            let found = difference.found.as_deref().unwrap_or("nothing");
            writeln!(text, "    {}: expected {}, found {found}", difference.column, difference.expected)?;
        }
    }
    Ok(())
}
