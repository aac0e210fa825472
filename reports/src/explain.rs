//! One event's story, for a terminal.

use std::fmt::Write;

use checkers::{
    explain::{Attempt, Explanation, Found},
    oracle::row::ColumnExpectation,
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
    match (story.expected_absent, story.expected_perhaps) {
        (Some(reason), _) => writeln!(text, "\nexpected in no row: {reason}. Were it stored:")?,
        (None, Some(reason)) => {
            writeln!(
                text,
                "\nexpected in at most {} row(s), or in none: {reason}. Where it is stored:",
                story.most_rows
            )?;
        }
        (None, None) => writeln!(text, "\nexpected, in at most {} row(s)", story.most_rows)?,
    }
    write_columns(text, &story.expected)?;
    for columns in &story.or_expected {
        writeln!(text, "\nor instead of all that")?;
        write_columns(text, columns)?;
    }
    Ok(())
}

fn write_columns(text: &mut String, columns: &[ColumnExpectation]) -> std::fmt::Result {
    let mut reason = "";
    for column in columns {
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

#[cfg(test)]
mod tests {
    use checkers::{explain::Meant, oracle::row::Expected};

    use super::*;

    fn story() -> Explanation {
        let column = |value: &str| ColumnExpectation {
            column: "properties.a".into(),
            expected: Expected::Json(value.into()),
            reason: "sent properties are kept",
        };
        Explanation {
            event: "id".into(),
            traffic: "app".into(),
            seq: 3,
            meant: Meant {
                name: "e".into(),
                distinct_id: "d".into(),
                occurred: 1.0,
                properties: generators::event::Properties::new(),
                members: std::collections::BTreeMap::new(),
                ids_of_person: vec!["d".into()],
            },
            attempts: Vec::new(),
            outcome: EventOutcome::Unsent,
            expected_absent: None,
            expected_perhaps: None,
            most_rows: 2,
            expected: vec![column("1")],
            or_expected: vec![vec![column("2")], vec![column("3")]],
            missed: None,
            first_seen: None,
            last_stage: None,
            captured_at: None,
            final_reads: Vec::new(),
            classes: Vec::new(),
        }
    }

    /// What is told of what is expected.
    fn expected(story: &Explanation) -> String {
        let text = render(story);
        text[text.find("\nexpected").unwrap() + 1..].to_owned()
    }

    #[test]
    fn every_content_that_may_be_there_is_told() {
        let contents = "  sent properties are kept:\n    properties.a: 1\n\
                        \nor instead of all that\n  sent properties are kept:\n    properties.a: 2\n\
                        \nor instead of all that\n  sent properties are kept:\n    properties.a: 3\n";
        assert_eq!(expected(&story()), format!("expected, in at most 2 row(s)\n{contents}"));
        let one = Explanation { or_expected: Vec::new(), ..story() };
        assert!(!expected(&one).contains("instead"));
    }

    #[test]
    fn whether_it_must_be_there_is_told() {
        let absent = Explanation { expected_absent: Some("it is too old"), ..story() };
        assert!(expected(&absent).starts_with("expected in no row: it is too old. Were it stored:\n"));
        let perhaps = Explanation { expected_perhaps: Some("a plugin may drop it"), ..story() };
        let told = "expected in at most 2 row(s), or in none: a plugin may drop it. Where it is stored:\n";
        assert!(expected(&perhaps).starts_with(told), "{}", expected(&perhaps));
    }
}
