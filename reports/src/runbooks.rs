//! Runbooks: one page for each class of defect, each check, each reason for an inconclusive verdict, and each alert that is
//! none of these. What it means, what usually causes it, how to look, what to do.
//!
//! The pages are Markdown in reports/runbooks/, built into the binary, so that `assay runbook NAME` shows them wherever
//! Assay runs, and the metrics' server can be linked to.

use checkers::{checks::CheckResult, reasons::Reason, reconcile::evidence::Class, record::RunRecord, verdict::Verdict};

/// A runbook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Its name: that of the class, the check or the reason.
    pub name: &'static str,
    /// The page, in Markdown.
    pub text: &'static str,
}

macro_rules! pages {
    ($($name:literal)*) => {
        /// All of them: classes, checks, reasons, and what only alerts tell.
        pub const PAGES: &[Page] =
            &[$(Page { name: $name, text: include_str!(concat!("../runbooks/", $name, ".md")) },)*];
    };
}

pages! {
    "phantom" "rejected_but_visible" "should_be_absent" "misrouted" "vanished" "lost" "duplicated" "corrupted"
    "wrong_person" "wrong_group" "flicker" "not_exported" "wrongly_exported" "stray_export"
    "loss" "correctness" "time_to_visible" "exports"
    "nothing_sent" "nothing_acked" "no_read" "missed_schedule" "too_many_indeterminate" "too_many_rejected"
    "too_many_unsent" "too_many_either" "self_test_failed" "environment_failed" "out_of_memory" "stopped" "killed"
    "fault_not_carried_out" "not_quiet" "store_unreadable" "missing_share" "pending" "too_few_events"
    "nothing_to_look_at" "reads_too_far_apart" "sequential_test_open" "sequential_test_ended" "no_final_read"
    "check_crashed"
    "consumer_lag" "dead_letters" "skipped_messages" "canary_silent"
}

impl Page {
    /// What it is called at its top.
    pub fn title(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches("# ")
    }

    /// Where it is in the repository.
    pub fn path(&self) -> String {
        format!("reports/runbooks/{}.md", self.name)
    }

    /// The command that shows it.
    pub fn command(&self) -> String {
        format!("assay runbook {}", self.name)
    }
}

/// The page of a class, a check or a reason, by its name.
pub fn page_for(name: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.name == name)
}

/// The page of a class.
pub fn page_for_class(class: Class) -> Option<&'static Page> {
    page_for(class.name())
}

/// The page of a check that did not pass: of the reason for its doubt, or of the check itself.
pub fn page_for_check(check: &CheckResult) -> Option<&'static Page> {
    match check.verdict {
        Verdict::Pass | Verdict::NotApplicable => None,
        Verdict::Fail => page_for(&check.name),
        Verdict::Inconclusive => page_for_told(&check.reason).or_else(|| page_for(&check.name)),
    }
}

/// The page of one of a verdict's `reasons`, as it is told there.
pub fn page_for_told(reason: &str) -> Option<&'static Page> {
    let check = || reason.split_once(": ").and_then(|(check, _)| page_for(check));
    Reason::of(reason).and_then(|reason| page_for(reason.name())).or_else(check)
}

/// The pages that somebody needs who has this record before him: of what was found, of what did not pass, and of the reasons.
pub fn concerning(record: &RunRecord) -> Vec<&'static Page> {
    let mut counts = record.counts;
    let classes = Class::ALL.into_iter().filter(|class| *counts.of(*class) > 0).filter_map(page_for_class);
    let mut pages: Vec<_> = classes.collect();
    let reasons = record.reasons.iter().filter_map(|reason| page_for_told(reason));
    for page in record.checks.iter().filter_map(page_for_check).chain(reasons) {
        if !pages.contains(&page) {
            pages.push(page);
        }
    }
    pages
}

#[cfg(test)]
mod tests;
