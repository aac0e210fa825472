//! Two runs side by side: what became worse, what better, what is the same, and of what nobody can tell.
//!
//! A difference counts only where it is greater than what chance makes. [`checks`] sets rates and counts side by side, which
//! have intervals of their own; [`measures`] does it with times and costs, whose noise is learned from other runs.

mod checks;
mod measures;

use std::fmt::Write;

use checkers::{record::RunRecord, verdict::Verdict};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::{
    figures::{count, percent, seconds},
    unseen::plain,
};

/// How sure a difference must be, on both sides together.
const CONFIDENCE: f64 = 0.95;

/// What a difference comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Surely worse.
    Worse,
    /// Surely better.
    Better,
    /// No difference that matters.
    Same,
    /// Neither can be said.
    CannotTell,
}

/// What kind of thing is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A rate of defects, as a fraction.
    Rate,
    /// A number of what must not be at all.
    Count,
    /// A time, in seconds.
    Time,
    /// Processor time per million events, in seconds.
    Processor,
    /// Memory, in bytes.
    Memory,
}

/// One thing in both runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// What it is.
    pub name: String,
    /// Of which kind.
    pub kind: Kind,
    /// In the run before; none where it was not reached, or not measured.
    pub before: Option<f64>,
    /// In the run after.
    pub after: Option<f64>,
    /// What that comes to.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
}

impl Difference {
    /// The outcome in the words of its kind.
    pub const fn word(&self) -> &'static str {
        match (self.outcome, self.kind) {
            (Outcome::Same, _) => "same",
            (Outcome::CannotTell, _) => "cannot tell",
            (Outcome::Worse, Kind::Rate | Kind::Count) => "worse",
            (Outcome::Better, Kind::Rate | Kind::Count) => "better",
            (Outcome::Worse, Kind::Time) => "slower",
            (Outcome::Better, Kind::Time) => "faster",
            (Outcome::Worse, Kind::Processor | Kind::Memory) => "costs more",
            (Outcome::Better, Kind::Processor | Kind::Memory) => "costs less",
        }
    }
}

/// What two runs came to as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct VerdictChange {
    /// The run before.
    pub before: Verdict,
    /// The run after.
    pub after: Verdict,
    /// What that comes to: a pass that became a fail is worse, whatever its single differences say.
    pub outcome: Outcome,
}

impl VerdictChange {
    const fn of(before: Verdict, after: Verdict) -> Self {
        let outcome = match (before, after) {
            (Verdict::Pass, Verdict::Fail) => Outcome::Worse,
            (Verdict::Fail, Verdict::Pass) => Outcome::Better,
            (Verdict::Pass, Verdict::Pass) | (Verdict::Fail, Verdict::Fail) => Outcome::Same,
            _ => Outcome::CannotTell,
        };
        Self { before, after, outcome }
    }

    /// The change in a sentence; none where there is no change.
    fn told(self) -> Option<String> {
        (self.before != self.after)
            .then(|| format!("The verdict was {} and is {} now.", self.before.word(), self.after.word()))
    }
}

/// Two runs side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// What is not the same about what was run, so that differences may come from it.
    pub unlike: Vec<String>,
    /// What the two runs came to.
    pub verdict: VerdictChange,
    /// From how many other runs the noise was learned.
    pub learned_from: usize,
    /// Everything that both have.
    pub differences: Vec<Difference>,
}

impl Comparison {
    /// Sets two runs side by side, with what chance does learned from `others`, runs of the same scenario; those that are
    /// not like the two are left out.
    pub fn of(before: &RunRecord, after: &RunRecord, others: &[RunRecord]) -> Self {
        let alike: Vec<&RunRecord> = others.iter().filter(|other| are_alike(before, other)).collect();
        let mut differences = Vec::new();
        for check in &after.checks {
            if let Some(other) = before.checks.iter().find(|other| other.name == check.name) {
                differences.extend(checks::difference(other, check));
            }
        }
        for measure in measures::all(after) {
            differences.extend(measure.difference(before, after, &alike));
        }
        Self {
            unlike: unlike(before, after),
            verdict: VerdictChange::of(before.verdict, after.verdict),
            learned_from: alike.len(),
            differences,
        }
    }

    /// The worst of all differences, and of a changed verdict.
    pub fn outcome(&self) -> Outcome {
        let changed = Some(self.verdict.outcome).filter(|_| self.verdict.before != self.verdict.after);
        let has = |outcome| {
            changed == Some(outcome) || self.differences.iter().any(|difference| difference.outcome == outcome)
        };
        let order = [Outcome::Worse, Outcome::CannotTell, Outcome::Better, Outcome::Same];
        order.into_iter().find(|outcome| has(*outcome)).unwrap_or(Outcome::CannotTell)
    }

    /// The comparison for a terminal.
    pub fn render(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["", "before", "after", "", "why"]);
        for difference in &self.differences {
            let figure =
                |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| figure(difference.kind, value));
            table.add_row([
                difference.name.as_str(),
                &figure(difference.before),
                &figure(difference.after),
                difference.word(),
                &difference.reason,
            ]);
        }
        for column in [1, 2] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut text = format!("{}\n", table.trim_fmt());
        if let Some(told) = self.verdict.told() {
            // Writing into a String does not fail.
            let _ = writeln!(text, "\n{told}");
        }
        if !self.unlike.is_empty() {
            let _ = writeln!(text, "\nNot the same about the two runs, so that differences may come from it:");
            for what in &self.unlike {
                let _ = writeln!(text, "  • {what}");
            }
        }
        plain(&text)
    }
}

fn figure(kind: Kind, value: f64) -> String {
    match kind {
        Kind::Rate => percent(value),
        Kind::Count => count(value as u64),
        Kind::Time | Kind::Processor => seconds(value),
        Kind::Memory => format!("{} MB", count((value / 1e6).ceil() as u64)),
    }
}

/// Whether the same was run in both, so that what differs between them is chance.
pub fn are_alike(one: &RunRecord, other: &RunRecord) -> bool {
    unlike(one, other).is_empty()
}

/// What is not the same about what was run.
fn unlike(before: &RunRecord, after: &RunRecord) -> Vec<String> {
    let mut all = Vec::new();
    let mut differ = |name: &str, before: &str, after: &str| {
        if before != after {
            all.push(format!("{name}: {before} before, {after} after"));
        }
    };
    differ("scenario", &before.run.scenario, &after.run.scenario);
    let digest = |record: &RunRecord| record.run.digest.map_or("unknown".to_owned(), |digest| format!("{digest:08x}"));
    differ("what the scenario says, by its digest", &digest(before), &digest(after));
    differ("environment", &before.run.environment, &after.run.environment);
    differ("events planned", &count(before.generator.planned), &count(after.generator.planned));
    let dialect = |record: &RunRecord| record.run.dialect.clone().unwrap_or_default();
    differ("dialect", &dialect(before), &dialect(after));
    let planted = |record: &RunRecord| match record.run.planted_defects.as_slice() {
        [] => "none".to_owned(),
        planted => planted.join(", "),
    };
    differ("planted defects", &planted(before), &planted(after));
    let machine = |record: &RunRecord, name: &str| {
        let known = record.details.as_ref()?.environment.iter().find(|(known, _)| known == name)?;
        Some(known.1.clone())
    };
    for name in ["Machine", "Kafka", "ClickHouse"] {
        if let (Some(before), Some(after)) = (machine(before, name), machine(after, name)) {
            differ(name, &before, &after);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use checkers::checks::{NotReached, Quantile};

    use super::*;
    use crate::terminal::tests::{failed, passed};

    fn with_p99(seconds: f64) -> RunRecord {
        let mut record = passed();
        record.time_to_visible.p99 = Some(Quantile::Seconds(seconds));
        record
    }

    fn p99(before: f64, after: f64, others: &[f64]) -> Outcome {
        let others: Vec<RunRecord> = others.iter().copied().map(with_p99).collect();
        let comparison = Comparison::of(&with_p99(before), &with_p99(after), &others);
        comparison.differences.iter().find(|difference| difference.name.starts_with("p99")).unwrap().outcome
    }

    #[test]
    fn only_what_chance_does_not_do_is_a_difference() {
        let quiet = [1.0, 1.02, 0.98, 1.01, 0.99];
        let noisy = [1.0, 2.0, 0.5, 1.5, 0.7];
        for (before, after, others, expected) in [
            (1.0, 1.01, &quiet[..], Outcome::Same),
            (1.0, 1.4, &quiet, Outcome::Worse),
            (1.4, 1.0, &quiet, Outcome::Better),
            (1.0, 1.4, &noisy, Outcome::CannotTell),
            (1.0, 1.0, &noisy, Outcome::CannotTell),
            (1.0, 90.0, &noisy, Outcome::Worse),
            (1.0, 1.4, &quiet[..2], Outcome::CannotTell),
        ] {
            assert_eq!(p99(before, after, others), expected, "{before} to {after} among {others:?}");
        }
    }

    #[test]
    fn what_is_not_reached_any_more_is_slower_and_what_was_not_measured_is_unknown() {
        let reached = with_p99(1.0);
        let (mut not_reached, mut not_measured) = (passed(), passed());
        not_reached.time_to_visible.p99 = Some(Quantile::NotReached(NotReached::NotReached));
        not_measured.time_to_visible.p99 = None;
        let of = |before: &RunRecord, after: &RunRecord| {
            let comparison = Comparison::of(before, after, &[]);
            comparison.differences.into_iter().find(|difference| difference.name.starts_with("p99"))
        };
        for (before, after, expected) in [
            (&reached, &not_reached, Some(Outcome::Worse)),
            (&not_reached, &reached, Some(Outcome::Better)),
            (&not_reached, &not_reached, Some(Outcome::CannotTell)),
            (&reached, &not_measured, Some(Outcome::CannotTell)),
            (&not_measured, &not_reached, Some(Outcome::CannotTell)),
            (&not_measured, &not_measured, None),
        ] {
            assert_eq!(of(before, after).map(|difference| difference.outcome), expected);
        }
    }

    #[test]
    fn a_pass_that_became_a_fail_is_worse_whatever_else_is_the_same() {
        let mut after = passed();
        after.verdict = Verdict::Fail;
        let comparison = Comparison::of(&passed(), &after, &[]);
        assert_eq!(comparison.outcome(), Outcome::Worse);
        assert!(comparison.render().contains("The verdict was pass and is fail now."), "{}", comparison.render());
        assert!(!Comparison::of(&passed(), &passed(), &[]).render().contains("The verdict"));
        let outcome = |before, after| VerdictChange::of(before, after).outcome;
        assert_eq!(outcome(Verdict::Fail, Verdict::Pass), Outcome::Better);
        assert_eq!(outcome(Verdict::Pass, Verdict::Inconclusive), Outcome::CannotTell);
        assert_eq!(outcome(Verdict::Fail, Verdict::Inconclusive), Outcome::CannotTell);
    }

    #[test]
    fn rates_are_told_apart_by_their_intervals() {
        let of = |before: &RunRecord, after: &RunRecord| {
            let comparison = Comparison::of(before, after, &[]);
            comparison.differences.iter().find(|difference| difference.name == "loss rate").unwrap().outcome
        };
        assert_eq!(of(&passed(), &passed()), Outcome::Same);
        assert_eq!(of(&passed(), &failed()), Outcome::Worse);
        assert_eq!(of(&failed(), &passed()), Outcome::Better);
        assert_eq!(of(&failed(), &failed()), Outcome::CannotTell);
    }

    #[test]
    fn runs_of_something_else_teach_nothing_and_are_named() {
        let mut other = passed();
        other.generator.planned += 1;
        let comparison = Comparison::of(&passed(), &other, &vec![other.clone(); 9]);
        assert_eq!(comparison.learned_from, 0);
        assert!(comparison.unlike[0].starts_with("events planned"), "{comparison:?}");
        assert!(comparison.render().contains("Not the same about the two runs"));
        // As many events at another rate; and a record of an older version, which does not tell.
        for digest in [Some(1), None] {
            let mut other = passed();
            other.run.digest = digest;
            let comparison = Comparison::of(&passed(), &other, &vec![other.clone(); 9]);
            assert_eq!(comparison.learned_from, 0);
            assert!(comparison.unlike[0].starts_with("what the scenario says"), "{comparison:?}");
        }
    }

    #[test]
    fn a_terminal_gets_no_control_characters_of_a_record() {
        let mut other = passed();
        other.run.scenario = "x\x1b[2J".into();
        let text = Comparison::of(&passed(), &other, &[]).render();
        assert!(text.contains("x␛[2J") && !text.contains('\x1b'), "{text}");
    }

    #[test]
    fn the_worst_difference_is_the_comparisons() {
        assert_eq!(Comparison::of(&passed(), &failed(), &[]).outcome(), Outcome::Worse);
        assert_eq!(Comparison::of(&passed(), &passed(), &[]).outcome(), Outcome::CannotTell);
    }
}
