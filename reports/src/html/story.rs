//! One defect's story, folded up: what was sent, answered, where it was, what was expected and what was found.

use checkers::{
    details::example::{AttemptTold, Example, FoundTold, WrongRow},
    reconcile::sent::EventOutcome,
};

use super::text::{Pieces, count, escape, moment, short};

/// The story; its summary says as much as fits a line.
pub(super) fn render(example: &Example) -> String {
    let line = in_a_line(example);
    format!(
        "<details class=\"story\"><summary><code>{}</code> <span>{line}</span></summary><div>{}{}<h5>Expected against found</h5>{}\
         <details class=\"quiet\"><summary>What was sent</summary><pre>{}</pre></details>\
         <p class=\"small\">All of it: <code>assay explain {} --run .</code> in the run's directory.</p></div></details>",
        escape(&example.event),
        about(example),
        way(example),
        found(example),
        escape(&example.properties),
        escape(&example.event),
    )
}

fn in_a_line(example: &Example) -> String {
    let last = example.final_reads.last();
    let differing = last.iter().flat_map(|found| &found.wrong).flat_map(|row| &row.columns).next();
    match (differing, last) {
        (Some((column, expected, found)), _) => format!(
            "{}: expected <ins>{}</ins>, found <del>{}</del>",
            short(column, 60),
            short(expected, 60),
            found.as_deref().map_or_else(|| "nothing".into(), |found| short(found, 60))
        ),
        (None, Some(last)) if last.visible && last.rows > example.most_rows => {
            format!("{} rows, {} may stay", last.rows, example.most_rows)
        }
        (None, Some(last)) if last.visible => format!("{} row(s) found", last.rows),
        (None, _) => example
            .last_stage
            .as_deref()
            .map_or_else(|| "not there".to_owned(), |stage| format!("not there; last in: {}", escape(stage))),
    }
}

fn about(example: &Example) -> String {
    let classes: Vec<String> = example.classes.iter().map(|class| class.name().replace('_', " ")).collect();
    format!(
        "<p><b>{}</b> of <b>{}</b>, traffic {} · comes to: {}</p>",
        short(&example.name, 120),
        short(&example.distinct_id, 120),
        short(&example.traffic, 60),
        classes.join(", then "),
    )
}

/// Its way, in the order of time.
fn way(example: &Example) -> String {
    let mut steps: Vec<(f64, String)> = Vec::new();
    for attempt in &example.attempts {
        steps.push((attempt.sent, sent(attempt)));
        let outcome = outcome(attempt.outcome);
        let answer = attempt.answer.as_deref().map_or_else(String::new, |answer| format!(": {}", short(answer, 300)));
        match attempt.answered {
            Some(answered) => steps.push((answered, format!("answered{answer} → <b>{outcome}</b>"))),
            None => steps.push((attempt.sent, format!("no answer{answer} → <b>{outcome}</b>"))),
        }
    }
    if let Some(captured) = example.captured {
        let place = example.captured_at.map_or_else(String::new, |(partition, offset)| {
            format!(" (partition {partition}, offset {})", count(offset.into()))
        });
        steps.push((captured, format!("in the capture topic{place}")));
    }
    if let Some(ingested) = example.ingested {
        steps.push((ingested, "in the ingester's output".into()));
    }
    if let Some(seen) = example.first_seen {
        let missed =
            example.missed.map_or_else(String::new, |missed| format!("; the read at {} missed it", moment(missed)));
        steps.push((seen, format!("first seen in the store{missed}")));
    }
    for read in &example.final_reads {
        let what = if read.visible { format!("{} row(s)", read.rows) } else { "<b>not there</b>".into() };
        steps.push((read.start, format!("final read: {what}")));
    }
    steps.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let steps: String = steps.iter().map(|(at, what)| format!("<li><time>{}</time> {what}</li>", moment(*at))).joined();
    let never = if example.attempts.is_empty() { "<p>It never left.</p>" } else { "" };
    format!("<h5>Its way</h5>{never}<ol class=\"way\">{steps}</ol>")
}

fn sent(attempt: &AttemptTold) -> String {
    let late = attempt.sent - attempt.intended;
    let late = if late > 0.1 { format!(", {late:.1}\u{202f}s after it was due") } else { String::new() };
    format!("sent in request {}{late}", escape(&attempt.request))
}

const fn outcome(outcome: EventOutcome) -> &'static str {
    match outcome {
        EventOutcome::Unsent => "unsent",
        EventOutcome::Rejected => "rejected",
        EventOutcome::Indeterminate => "indeterminate",
        EventOutcome::Acked => "acked",
    }
}

fn found(example: &Example) -> String {
    let expected = example.expected_absent.as_deref().map_or_else(
        || match example.most_rows {
            1 => "one row".to_owned(),
            most => format!("at most {most} rows"),
        },
        |why| format!("no row: {}", short(why, 200)),
    );
    let Some(last) = example.final_reads.last() else {
        return format!("<p>Expected: {expected}. There was no final read.</p>");
    };
    let FoundTold { rows, visible, wrong, .. } = last;
    let found = if *visible { format!("{rows} row(s)") } else { "none".to_owned() };
    let rows: String = wrong.iter().map(row).joined();
    format!("<p>Expected: {expected}. Found: {found}.</p>{rows}")
}

fn row(row: &WrongRow) -> String {
    let tenant = if row.misrouted { "<p>A row lies under <b>another tenant</b>.</p>" } else { "" };
    let columns: String = row
        .columns
        .iter()
        .map(|(column, expected, found)| {
            let found = found.as_deref().map_or_else(|| "<em>nothing</em>".to_owned(), |found| short(found, 1_500));
            format!(
                "<tr><th scope=\"row\"><code>{}</code></th><td><ins>{}</ins></td><td><del>{found}</del></td></tr>",
                short(column, 200),
                short(expected, 1_500)
            )
        })
        .joined();
    if columns.is_empty() {
        return tenant.into();
    }
    format!(
        "{tenant}<table class=\"diff\"><thead><tr><th scope=\"col\">column</th><th scope=\"col\">expected</th><th scope=\"col\">found</th></tr></thead>\
         <tbody>{columns}</tbody></table>"
    )
}
