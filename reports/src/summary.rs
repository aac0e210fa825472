//! summary.md: the verdict on a page, as a CI shows it beside a job.

use std::fmt::Write;

use checkers::{
    checks::{CheckResult, Quantile},
    reconcile::evidence::{Class, Finding},
    record::RunRecord,
    verdict::Verdict,
};

use crate::{
    figures::{count, percent, quantile, seconds},
    runbook, terminal,
};

/// So many examples of each class are named; verdict.json has more.
const EXAMPLES: usize = 2;
/// So many reasons are told.
const REASONS: usize = 20;

/// The summary.
pub fn render(record: &RunRecord) -> String {
    let mut text = String::new();
    // Writing into a String does not fail.
    let _ = write_summary(&mut text, record);
    text
}

const fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✅",
        Verdict::Fail => "❌",
        Verdict::Inconclusive => "⚠️",
        Verdict::NotApplicable => "➖",
    }
}

fn write_summary(text: &mut String, record: &RunRecord) -> std::fmt::Result {
    let run = &record.run;
    writeln!(text, "## {} {}: {}\n", sign(record.verdict), escape(&run.scenario), record.verdict.word())?;
    writeln!(text, "{}\n", escape(terminal::proves(record).trim_end()))?;
    if !record.reasons.is_empty() {
        for reason in record.reasons.iter().take(REASONS) {
            writeln!(text, "* {} ({})", short(reason, 400), runbook::of_reason(reason))?;
        }
        if let Some(more) = record.reasons.len().checked_sub(REASONS).filter(|more| *more > 0) {
            writeln!(text, "* … and {more} more")?;
        }
        writeln!(text)?;
    }
    writeln!(text, "| check | verdict | in this run | bound at {} | allowed |", percent(run.confidence))?;
    writeln!(text, "|:--|:--|--:|--:|--:|")?;
    let applicable = record.checks.iter().filter(|check| check.verdict != Verdict::NotApplicable);
    for check in applicable {
        writeln!(text, "{}", row(check, record))?;
    }
    writeln!(text)?;
    times(text, record)?;
    let faults = terminal::disturbed(record);
    if !faults.is_empty() {
        writeln!(text, "{}\n", escape(faults.trim_end()))?;
    }
    if !run.planted_defects.is_empty() {
        writeln!(text, "Planted on purpose: {}.\n", escape(&run.planted_defects.join(", ")))?;
    }
    findings(text, record)?;
    let seed = run.seed.map(|seed| format!(" · seed {seed}")).unwrap_or_default();
    let id = run.id.as_deref().map(|id| format!(" · run {}", escape(id))).unwrap_or_default();
    writeln!(
        text,
        "<sub>{} environment{id}{seed} · report.html in the run's directory shows all of it</sub>",
        escape(&run.environment)
    )
}

fn row(check: &CheckResult, record: &RunRecord) -> String {
    let name = check.name.replace('_', " ");
    let verdict = format!("{} {}", sign(check.verdict), check.verdict.word());
    let (Some(upper), Some(target)) = (check.upper, check.target) else {
        return format!("| {name} | {verdict} | {} |  | none |", count(check.k));
    };
    let measured = if check.name == "time_to_visible" {
        format!("p99 {}; {} of {} too late", quantile(record.time_to_visible.p99), count(check.k), count(check.n))
    } else {
        format!("{} of {}", count(check.k), count(check.n))
    };
    let bound = match (check.verdict, check.lower) {
        (Verdict::Fail, Some(lower)) => format!("≥ {}", percent(lower)),
        _ => format!("≤ {}", percent(upper)),
    };
    format!("| {name} | {verdict} | {measured} | {bound} | ≤ {} |", percent(target))
}

fn times(text: &mut String, record: &RunRecord) -> std::fmt::Result {
    let times = &record.time_to_visible;
    if times.n == 0 {
        return Ok(());
    }
    let bounds = match (times.p99_lower, times.p99_upper) {
        (Some(Quantile::Seconds(lower)), Some(Quantile::Seconds(upper))) => {
            format!(" ({} to {} at {} confidence)", seconds(lower), seconds(upper), percent(record.run.confidence))
        }
        _ => String::new(),
    };
    write!(
        text,
        "Visible within: half {}, 99 % {}{bounds}, slowest {}.",
        quantile(times.p50),
        quantile(times.p99),
        quantile(times.max)
    )?;
    if let Some(schedule) = record.generator.schedule {
        write!(
            text,
            " Sent on schedule: {} of {} requests.",
            percent(schedule.on_schedule_share),
            count(record.generator.requests)
        )?;
    }
    writeln!(text, "\n")
}

fn findings(text: &mut String, record: &RunRecord) -> std::fmt::Result {
    let classes = Class::ALL.into_iter().filter(|class| record.findings.iter().any(|finding| finding.class == *class));
    let mut any = false;
    for class in classes {
        if !any {
            writeln!(text, "### What was wrong\n")?;
            any = true;
        }
        let mut counts = record.counts;
        let number = count(*counts.of(class));
        writeln!(text, "* **{}**: {number} events ({})", class.name().replace('_', " "), runbook::of_class(class))?;
        for finding in record.findings.iter().filter(|finding| finding.class == class).take(EXAMPLES) {
            writeln!(text, "  * {}", example(finding))?;
        }
    }
    if any { writeln!(text) } else { Ok(()) }
}

/// A finding in a line.
pub(crate) fn example(finding: &Finding) -> String {
    let mut text = short(&finding.event, 100);
    if let Some(column) = &finding.column {
        let _ = write!(text, " · {}", short(column, 60));
    }
    if let (Some(expected), Some(found)) = (&finding.expected, &finding.found) {
        let _ = write!(text, ": expected {}, found {}", short(expected, 80), short(found, 80));
    }
    if let Some(stage) = &finding.stage {
        let _ = write!(text, " · last in: {}", escape(stage));
    }
    text
}

fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => escape(text),
        Some((end, _)) => format!("{}…", escape(&text[..end])),
    }
}

/// What would be markup, or a new line, as what it is. Markdown has no sign for what HTML must not hold.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '@' | '!' | '$' => {
                let _ = write!(safe, "&#{};", u32::from(character));
            }
            '\0'..='\u{1f}' | '\u{7f}' => safe.push(' '),
            '\u{80}'..='\u{9f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => {
                let _ = write!(safe, "U+{:04X}", u32::from(character));
            }
            _ => safe.push(character),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_becomes_markup() {
        let hostile = "a|b\n# c <script>`x` [l](javascript:x) @all \u{202e}";
        let safe = escape(hostile);
        assert!(!safe.contains(['|', '\n', '<', '`', '[', '@', '\u{202e}']), "{safe}");
    }

    #[test]
    fn a_fail_says_why_and_names_examples() {
        let record = terminal::tests::failed();
        let text = render(&record);
        for part in
            ["## ❌ smoke: fail", "| loss | ❌ fail |", "### What was wrong", "**lost**", "reports/runbooks/lost.md"]
        {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn it_stays_a_page_whatever_was_found() {
        let mut record = terminal::tests::failed();
        record.reasons = vec!["x|".repeat(1 << 13); 1_000];
        let mut finding = record.findings[0].clone();
        (finding.event, finding.expected, finding.found) =
            ("<".repeat(1 << 13), Some("\0".repeat(1 << 13)), Some("é".repeat(1 << 13)));
        record.findings = vec![finding; 10_000];
        assert!(render(&record).len() < 100_000);
    }
}
