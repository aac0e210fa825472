//! Why the verdict can be believed, what the run was made from and ran on, and how to do it again.

use checkers::record::RunRecord;

use super::text::{Pieces, count, escape, percent, seconds, short};
use crate::terminal;

/// How honestly it was sent, and whether the judge sees.
pub(super) fn honesty(record: &RunRecord) -> String {
    let generator = &record.generator;
    let counts = &record.counts;
    let outcome = |name: &str, number: u64| {
        (number > 0).then(|| format!("{} {name}", count(number))).into_iter().collect::<Vec<_>>()
    };
    let outcomes: Vec<String> = [
        outcome("acked", counts.acked),
        outcome("indeterminate", counts.indeterminate),
        outcome("rejected", counts.rejected),
        outcome("never sent", counts.unsent),
    ]
    .concat();
    let mut facts = vec![(
        "Sent".to_owned(),
        format!("{} of {} planned events: {}", count(generator.sent), count(generator.planned), outcomes.join(", ")),
    )];
    if let Some(schedule) = generator.schedule {
        facts.push((
            "On schedule".into(),
            format!(
                "{} of {} requests left within {} of when they were due; 99\u{202f}% within {}, the latest after {}. A late send is \
                 sent all the same, and timed from when it was due.",
                percent(schedule.on_schedule_share),
                count(generator.requests),
                seconds(schedule.tolerance),
                seconds(schedule.lateness_p99),
                seconds(schedule.lateness_max)
            ),
        ));
    }
    if generator.retries > 0 {
        facts.push(("Retries".into(), count(generator.retries)));
    }
    facts.push((
        "Self-test".into(),
        record.self_test.as_ref().map_or_else(
            || "not made: no event was clean".into(),
            |test| {
                format!(
                    "{} defects were planted in a copy of the evidence, {} found, {} false alarms",
                    count(test.planted),
                    count(test.found),
                    count(test.false_alarms)
                )
            },
        ),
    ));
    if let Some(stages) = &record.stages {
        let whole = if stages.complete { "read to their end" } else { "not read to their end: stages may be missing" };
        facts.push(("Kafka's topics".into(), whole.into()));
    } else {
        facts.push(("Kafka's topics".into(), "not read: nobody knows where an event was lost".into()));
    }
    for told in [terminal::on_purpose(record), terminal::dropped(record), terminal::disturbed(record)] {
        if let Some((name, what)) = told.trim_end().split_once(": ") {
            facts.push((escape(name), escape(what)));
        }
    }
    if let Some(recording) = record.run.recording.filter(|recording| recording.not_understood > 0) {
        let lines =
            format!("{} lines of the recording were not understood, and not sent", count(recording.not_understood));
        facts.push(("Recording".into(), lines));
    }
    list(&facts)
}

/// What it was made from and ran on.
pub(super) fn environment(record: &RunRecord) -> String {
    let details = record.details.as_ref();
    let known = details.map(|details| details.environment.as_slice()).unwrap_or_default();
    let facts: Vec<_> = known.iter().map(|(name, value)| (escape(name), short(value, 400))).collect();
    let commands: String = details
        .map(|details| details.reproduce.as_slice())
        .unwrap_or_default()
        .iter()
        .map(|(what, command)| format!("<p>{}</p><pre class=\"command\">{}</pre>", escape(what), escape(command)))
        .joined();
    let components: String = record
        .run
        .components
        .iter()
        .map(|component| {
            let per_million =
                if record.generator.sent == 0 { 0.0 } else { component.cpu / (record.generator.sent as f64 / 1e6) };
            format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}\u{202f}MB</td></tr>",
                escape(&component.name),
                seconds(component.cpu),
                seconds(per_million),
                count(component.peak_memory.div_ceil(1_000_000))
            )
        })
        .joined();
    let components = if components.is_empty() {
        String::new()
    } else {
        format!(
            "<h3>What the components used</h3><div class=\"wide\"><table class=\"figures\"><thead><tr><th scope=\"col\">component</th>\
             <th scope=\"col\">processor time</th><th scope=\"col\">per million events</th><th scope=\"col\">memory at its peak</th></tr></thead>\
             <tbody>{components}</tbody></table></div>"
        )
    };
    let again = if commands.is_empty() { String::new() } else { format!("<h3>Do it again</h3>{commands}") };
    format!("{}{components}{again}", list(&facts))
}

pub(super) fn footer(record: &RunRecord) -> String {
    let run = record.run.id.as_deref().map(|id| format!(" of run {}", escape(id))).unwrap_or_default();
    format!(
        "Drawn by Assay {} from the evidence{run}; verdict.json holds the same for programs.",
        env!("CARGO_PKG_VERSION")
    )
}

/// Names with what is said of them, both escaped.
fn list(facts: &[(String, String)]) -> String {
    let facts: String =
        facts.iter().map(|(name, value)| format!("<div><dt>{name}</dt><dd>{value}</dd></div>")).joined();
    format!("<dl>{facts}</dl>")
}
