//! The final table and the line that says what the run proves, for a stranger at a terminal.

use std::fmt::Write;

use checkers::{
    checks::CheckResult,
    reconcile::evidence::{Counts, Finding},
    record::{RunRecord, StageTime},
    statistics::sequential::Crossed,
    verdict::Verdict,
};
use comfy_table::{CellAlignment, Table, presets};

use crate::{
    faults,
    figures::{count, percent, quantile, seconds},
    runbooks,
    unseen::plain,
};

/// How many examples of each class are shown; verdict.json has more.
const EXAMPLES: usize = 3;
/// So many faults are told; the report has all of them.
const FAULTS: usize = 10;

/// Everything that is printed at the end of a run. `color` marks the verdict.
pub fn render(record: &RunRecord, color: bool) -> String {
    let mut text = String::new();
    // Writing into a String does not fail.
    let _ = writeln!(text, "{}", headline(record));
    let _ = writeln!(text);
    let _ = writeln!(text, "{}", table(record).trim_fmt());
    let _ = writeln!(text);
    let _ = writeln!(text, "{}", proves(record));
    let _ = write!(text, "{}{}", on_purpose(record), dropped(record));
    let _ = write!(text, "{}", disturbed(record));
    let _ = write!(text, "{}", warned(record));
    let _ = write!(text, "{}", exported(record));
    let _ = write!(text, "{}", stages(record));
    let _ = write!(text, "{}", used(record));
    if let Some(test) = &record.self_test {
        let (planted, found, alarms) = (count(test.planted), count(test.found), count(test.false_alarms));
        let _ = writeln!(
            text,
            "Self-test in a copy of the evidence: planted {planted}, found {found}, false alarms {alarms}."
        );
    }
    if let Some(recording) = record.run.recording.filter(|recording| recording.not_understood > 0) {
        let left_out = count(recording.not_understood);
        let _ = writeln!(
            text,
            "{left_out} lines of the recording were not understood and not sent; the run's not-understood.txt names each."
        );
    }
    let _ = write!(text, "{}", reasons(record));
    let _ = write!(text, "{}", findings(record));
    // Names and values are other people's, the mark is ours.
    let text = plain(&text);
    let word = record.verdict.word().to_uppercase();
    let code = match (color, record.verdict) {
        (false, _) => return text,
        (true, Verdict::Pass) => 32,
        (true, Verdict::Fail) => 31,
        (true, _) => 33,
    };
    text.replacen(&word, &format!("\x1b[1;{code}m{word}\x1b[0m"), 1)
}

/// What the pipeline itself says of events that it dropped or changed.
fn warned(record: &RunRecord) -> String {
    let warnings: Vec<String> =
        record.run.warnings.iter().map(|(kind, times)| format!("{kind} {}", count(*times))).collect();
    if warnings.is_empty() { String::new() } else { format!("Ingestion warnings: {}.\n", warnings.join(" · ")) }
}

/// What plugins exported.
fn exported(record: &RunRecord) -> String {
    let Some(exports) = &record.exports else { return String::new() };
    let refused = match exports.refused {
        0 => String::new(),
        refused => format!(", {} of which the webhook refused as the scenario wants", count(refused)),
    };
    format!(
        "Exports: {} deliveries in {} requests{refused}; {} deliveries came again.\n",
        count(exports.deliveries),
        count(exports.requests),
        count(exports.again),
    )
}

fn headline(record: &RunRecord) -> String {
    let word = record.verdict.word().to_uppercase();
    let counts = &record.counts;
    let late = record.generator.schedule.map(|schedule| {
        let share = percent(1.0 - schedule.on_schedule_share);
        format!(" · {share} late sends of {} requests", count(record.generator.requests))
    });
    let retries = match record.generator.retries {
        0 => String::new(),
        retries => format!(" · {} retries", count(retries)),
    };
    format!(
        "{word}  {} · {} events planned, {} acked, {} visible{}{retries}",
        record.run.scenario,
        count(counts.planned),
        count(counts.acked),
        count(counts.visible),
        late.unwrap_or_default(),
    )
}

fn table(record: &RunRecord) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let bound = format!("bound at {}", percent(record.run.confidence));
    table.set_header(["check", "verdict", "measured in this run", &bound, "target"]);
    for check in &record.checks {
        table.add_row(row(check, record));
    }
    for column in [2, 3, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn row(check: &CheckResult, record: &RunRecord) -> [String; 5] {
    let name = check.name.replace('_', " ");
    let verdict = check.verdict.word().to_owned();
    if check.verdict == Verdict::NotApplicable {
        return [name, verdict, check.reason.clone(), String::new(), String::new()];
    }
    let Some(upper) = check.upper else {
        return [name, verdict, count(check.k), String::new(), "none".into()];
    };
    // A pass and a doubt are about how bad it may be; a fail is about how good it can be at best.
    let bound = match (check.verdict, check.lower) {
        (Verdict::Fail, Some(lower)) => format!("≥ {}", percent(lower)),
        _ => format!("≤ {}", percent(upper)),
    };
    let bound = match check.sequential.as_ref().map(|test| test.crossed) {
        // A fixed interval says nothing at its confidence about a run that might stop when it looked good.
        Some(Some(Crossed::Pass)) if check.verdict == Verdict::Pass => "sequential test passed".to_owned(),
        Some(Some(_)) if check.verdict != Verdict::Fail => "sequential test ended".to_owned(),
        Some(None) if check.verdict != Verdict::Fail => "sequential test still open".to_owned(),
        _ => bound,
    };
    let target = check.target.map(|target| format!("≤ {}", percent(target))).unwrap_or_default();
    if check.name == "time_to_visible" {
        let measured =
            format!("p99 {}; {} of {} too late", quantile(record.time_to_visible.p99), count(check.k), count(check.n));
        return [name, verdict, measured, format!("{bound} too late"), format!("{target} too late")];
    }
    [name, verdict, format!("{} of {}", count(check.k), count(check.n)), bound, target]
}

/// The line that says what the run proves.
pub(crate) fn proves(record: &RunRecord) -> String {
    let bound = |name: &str| {
        record.checks.iter().find(|check| check.name == name && check.n > 0).and_then(|check| check.upper).map(percent)
    };
    let conditions = format!(
        "({} environment, dialect {}, {} events in {})",
        record.run.environment,
        record.run.dialect.as_deref().unwrap_or("unknown"),
        count(record.generator.sent),
        seconds(record.run.duration)
    );
    let by_request = |name: &str| {
        let check = record.checks.iter().find(|check| check.name == name && check.n > 0)?;
        check.upper_by_request.map(percent)
    };
    let loss = record.checks.iter().find(|check| check.name == "loss");
    if let (Verdict::Pass, Some(test)) = (record.verdict, loss.and_then(|check| check.sequential.as_ref())) {
        return format!(
            "By Wald's sequential test this run passes with at most {} risk where the rate of lost or of wrong events is {} or \
             more: {} units were needed, {} of them defects {conditions}.",
            percent(1.0 - record.run.confidence),
            percent(test.bad),
            count(test.units as u64),
            count(test.defects),
        );
    }
    match (record.verdict, bound("loss"), bound("correctness")) {
        (Verdict::Pass, Some(loss), Some(correctness)) => format!(
            "This run proves, at {} confidence each, if defects come independently: under this load at most {loss} of \
             events are lost and at most {correctness} of the visible ones are wrong; half of them were visible within \
             {}, 99 % within {} {conditions}. If events are lost by the whole request, it proves at most {}.",
            percent(record.run.confidence),
            quantile(record.time_to_visible.p50),
            quantile(record.time_to_visible.p99),
            by_request("loss").unwrap_or_default(),
        ),
        (Verdict::Fail, ..) => {
            format!("This run proves that the pipeline broke a promise under this load {conditions}.")
        }
        _ => format!("This run proves nothing either way {conditions}."),
    }
}

/// What the scenario's clients failed to send, where they were meant to.
pub(crate) fn on_purpose(record: &RunRecord) -> String {
    let Counts { rejected_on_purpose: rejected, indeterminate_on_purpose: indeterminate, .. } = record.counts;
    if rejected + indeterminate == 0 {
        return String::new();
    }
    let (rejected, indeterminate) = (count(rejected), count(indeterminate));
    format!("Clients failed as they were meant to: {rejected} events rejected, {indeterminate} indeterminate.\n")
}

/// What capture said that it has dropped.
pub(crate) fn dropped(record: &RunRecord) -> String {
    match record.counts.dropped {
        0 => String::new(),
        dropped => format!(
            "Capture said of {} events that it dropped them; those of which nothing foresees it count as lost.\n",
            count(dropped)
        ),
    }
}

/// What was done to the pipeline on purpose, and what failed meanwhile.
pub(crate) fn disturbed(record: &RunRecord) -> String {
    if record.run.faults.is_empty() {
        return String::new();
    }
    let mut told: Vec<String> = record.run.faults.iter().take(FAULTS).map(faults::told).collect();
    let more = record.run.faults.len().saturating_sub(FAULTS);
    if more > 0 {
        told.push(format!("{} more, which the report tells", count(more as u64)));
    }
    let Counts {
        rejected_in_faults: rejected, indeterminate_in_faults: indeterminate, unsent_in_faults: unsent, ..
    } = record.counts;
    let failed: Vec<String> = [(rejected, "rejected"), (indeterminate, "indeterminate"), (unsent, "not sent")]
        .into_iter()
        .filter(|(events, _)| *events > 0)
        .map(|(events, what)| format!("{} {what}", count(events)))
        .collect();
    let failed = match failed.as_slice() {
        [] => "no event failed meanwhile".to_owned(),
        some => format!("meanwhile {} events", some.join(", ")),
    };
    format!("Faults: {}; {failed}.\n", told.join(" · "))
}

/// What Kafka told, or that it could not be asked.
fn stages(record: &RunRecord) -> String {
    let Some(stages) = &record.stages else {
        return "Kafka was not read: where an event was lost, and how long each stage took, cannot be told.\n".into();
    };
    let time = |part: &StageTime| match (part.p50, part.p99) {
        (Some(p50), Some(p99)) => format!("{} p50 {}, p99 {}", part.stage, seconds(p50), seconds(p99)),
        _ => format!("{}: no event", part.stage),
    };
    let times: Vec<String> = stages.times.iter().map(time).collect();
    let lag = stages.greatest_lag.as_ref().map_or_else(
        || "none".to_owned(),
        |lag| format!("{} messages ({}/{})", count(lag.messages), lag.topic, lag.partition),
    );
    let whole =
        if stages.complete { "" } else { " The taps did not reach the end of the topics: stages may be missing." };
    let by_stage = if times.is_empty() { String::new() } else { format!("Stage by stage: {}. ", times.join(" · ")) };
    format!("{by_stage}Greatest lag of a partition: {lag}.{whole}\n")
}

/// What the pipeline has cost.
fn used(record: &RunRecord) -> String {
    let components = &record.run.components;
    if components.is_empty() || record.generator.sent == 0 {
        return String::new();
    }
    let millions = record.generator.sent as f64 / 1e6;
    let told: Vec<String> = components
        .iter()
        .map(|component| {
            let megabytes = component.peak_memory.div_ceil(1_000_000);
            format!("{} {:.1} s, {} MB", component.name, component.cpu / millions, count(megabytes))
        })
        .collect();
    format!("Processor time per million events, and memory at its peak: {}.\n", told.join(" · "))
}

fn reasons(record: &RunRecord) -> String {
    let mut text = String::new();
    for reason in &record.reasons {
        let _ = writeln!(text, "  • {reason}");
        if let Some(page) = runbooks::page_for_told(reason) {
            let _ = writeln!(text, "    what to do: {}", page.command());
        }
    }
    if record.reasons.is_empty() { text } else { format!("\nWhy {}:\n{text}", record.verdict.word()) }
}

fn findings(record: &RunRecord) -> String {
    let mut text = String::new();
    let mut shown: Option<(&str, usize)> = None;
    for finding in &record.findings {
        let class = finding.class.name();
        shown = match shown {
            Some((before, number)) if before == class => Some((before, number + 1)),
            _ => Some((class, 1)),
        };
        if shown.is_some_and(|(_, number)| number <= EXAMPLES) {
            let _ = writeln!(text, "  {}", example(finding));
        }
    }
    if text.is_empty() {
        text
    } else {
        format!(
            "\nExamples (more in verdict.json; `assay runbook CLASS` tells what each means and what to do):\n{text}"
        )
    }
}

fn example(finding: &Finding) -> String {
    let mut text = format!("{}  {}", finding.class.name(), finding.event);
    if let Some(column) = &finding.column {
        let _ = write!(text, "  {column}");
    }
    if let (Some(expected), Some(found)) = (&finding.expected, &finding.found) {
        let _ = write!(text, ": expected {}, found {}", cut(expected), cut(found));
    }
    if let Some(stage) = &finding.stage {
        let _ = write!(text, "  last in: {stage}");
    }
    if let Some(request) = &finding.request {
        let _ = write!(text, "  (request {request}");
        if let Some(sent_at) = finding.sent_at {
            let _ = write!(text, ", sent at {sent_at:.3} s");
        }
        text.push(')');
    }
    text
}

fn cut(text: &str) -> String {
    const LIMIT: usize = 80;
    if text.chars().count() <= LIMIT {
        text.to_owned()
    } else {
        format!("{}…", text.chars().take(LIMIT).collect::<String>())
    }
}

#[cfg(test)]
pub(crate) mod tests;
