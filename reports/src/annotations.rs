//! Annotations: lines that a CI shows beside the change that it tests.
//!
//! GitHub's form (workflow commands): `::error title=…::…`, with what would end a line or a property written as `%0A` and
//! the like.

use checkers::{record::RunRecord, verdict::Verdict};

use crate::{runbook, terminal};

/// So many annotations of a kind are shown by GitHub for each step.
const MOST: usize = 10;
/// A message is cut behind so many characters.
const MESSAGE: usize = 1_500;

/// One line for each check that does not pass, and one for the run.
pub fn github(record: &RunRecord) -> String {
    let scenario = &record.run.scenario;
    let word = record.verdict.word();
    let first = line(kind(record.verdict), &format!("Assay: {scenario}: {word}"), terminal::proves(record).trim_end());
    let checks = record
        .checks
        .iter()
        .filter(|check| matches!(check.verdict, Verdict::Fail | Verdict::Inconclusive))
        .take(MOST - 1)
        .map(|check| {
            let title = format!("Assay: {scenario}: {} {}", check.name.replace('_', " "), check.verdict.word());
            line(kind(check.verdict), &title, &format!("{}\nRunbook: {}", check.reason, runbook::of_check(check)))
        });
    let others = record.beside_checks().take(MOST);
    let others = others.map(|reason| {
        line("warning", &format!("Assay: {scenario}"), &format!("{reason}\nRunbook: {}", runbook::of_reason(reason)))
    });
    std::iter::once(first).chain(checks).chain(others).collect()
}

const fn kind(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Fail => "error",
        Verdict::Inconclusive => "warning",
        Verdict::Pass | Verdict::NotApplicable => "notice",
    }
}

fn line(kind: &str, title: &str, message: &str) -> String {
    let message: String = message.chars().take(MESSAGE).collect();
    let title = data(title).replace(':', "%3A").replace(',', "%2C");
    format!("::{kind} title={title}::{}\n", data(&message))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::tests::{failed, passed};

    #[test]
    fn what_does_not_pass_is_an_error_or_a_warning() {
        assert!(github(&passed()).starts_with("::notice title=Assay%3A smoke%3A pass::"));
        assert_eq!(github(&passed()).lines().count(), 1);
        let lines = github(&failed());
        assert!(lines.starts_with("::error title=Assay%3A smoke%3A fail::"), "{lines}");
        assert!(lines.contains("::error title=Assay%3A smoke%3A loss fail::"), "{lines}");
        assert!(lines.contains("%0ARunbook: reports/runbooks/loss.md"), "{lines}");
    }

    #[test]
    fn a_reason_stays_in_its_line() {
        let mut record = failed();
        record.reasons = vec!["a\n::error::b\r%0A".into()];
        record.run.scenario = "x,y::z".into();
        let lines = github(&record);
        assert!(lines.contains("::warning title=Assay%3A x%2Cy%3A%3Az::a%0A::error::b%0D%250A%0ARunbook: "), "{lines}");
    }
}
