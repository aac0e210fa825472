//! Two runs side by side: what became worse, what better, what is the same, and of what nobody can tell.
//!
//! A difference counts only where it is greater than what chance makes. Rates have intervals of their own. Times and costs
//! differ from run to run even when nothing has changed, by how much is learned from runs of the same scenario: the
//! difference of two of them, as a ratio, stays within t·s·√2 in 95 of 100 cases, where s is the spread of the logarithms.

use std::fmt::Write;

use checkers::{
    checks::{CheckResult, Quantile},
    record::RunRecord,
    statistics::student,
};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::figures::{count, percent, seconds};

/// Fewer runs teach no noise.
const RUNS: usize = 3;
/// How sure a difference must be, on both sides together.
const CONFIDENCE: f64 = 0.95;
/// Two runs are the same only if a change by this factor would have been seen.
const WORTH_SEEING: f64 = 1.5;

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
            (Outcome::Worse, Kind::Rate) => "worse",
            (Outcome::Better, Kind::Rate) => "better",
            (Outcome::Worse, Kind::Time) => "slower",
            (Outcome::Better, Kind::Time) => "faster",
            (Outcome::Worse, Kind::Processor | Kind::Memory) => "costs more",
            (Outcome::Better, Kind::Processor | Kind::Memory) => "costs less",
        }
    }
}

/// Two runs side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// What is not the same about what was run, so that differences may come from it.
    pub unlike: Vec<String>,
    /// From how many other runs the noise was learned.
    pub learned_from: usize,
    /// Everything that both have.
    pub differences: Vec<Difference>,
}

impl Comparison {
    /// Sets two runs side by side, with what chance does learned from `others`, runs of the same scenario; those that are
    /// not like the two are left out.
    pub fn of(before: &RunRecord, after: &RunRecord, others: &[RunRecord]) -> Self {
        let alike: Vec<&RunRecord> = others.iter().filter(|other| unlike(before, other).is_empty()).collect();
        let mut differences = Vec::new();
        for check in &after.checks {
            if let Some(other) = before.checks.iter().find(|other| other.name == check.name) {
                differences.extend(rate(other, check));
            }
        }
        for (name, kind, of) in measures(after) {
            let values: Vec<f64> = alike.iter().filter_map(|record| of(record)).collect();
            differences.extend(measure(name, kind, of(before), of(after), &values));
        }
        Self { unlike: unlike(before, after), learned_from: alike.len(), differences }
    }

    /// The worst of all differences.
    pub fn outcome(&self) -> Outcome {
        let has = |outcome| self.differences.iter().any(|difference| difference.outcome == outcome);
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
        if !self.unlike.is_empty() {
            // Writing into a String does not fail.
            let _ = writeln!(text, "\nNot the same about the two runs, so that differences may come from it:");
            for what in &self.unlike {
                let _ = writeln!(text, "  • {what}");
            }
        }
        text
    }
}

fn figure(kind: Kind, value: f64) -> String {
    match kind {
        Kind::Rate => percent(value),
        Kind::Time | Kind::Processor => seconds(value),
        Kind::Memory => format!("{} MB", count((value / 1e6).ceil() as u64)),
    }
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

/// A rate with its interval; the check for times is told by the times themselves.
fn rate(before: &CheckResult, after: &CheckResult) -> Option<Difference> {
    if after.name == "time_to_visible" {
        return None;
    }
    let (Some(lower_before), Some(upper_before), Some(lower), Some(upper)) =
        (before.lower, before.upper, after.lower, after.upper)
    else {
        return None;
    };
    let (outcome, reason) = if lower > upper_before {
        (Outcome::Worse, format!("at least {} now, at most {} before", percent(lower), percent(upper_before)))
    } else if upper < lower_before {
        (Outcome::Better, format!("at most {} now, at least {} before", percent(upper), percent(lower_before)))
    } else if before.target.zip(after.target).is_some_and(|(was, is)| upper_before <= was && upper <= is) {
        (Outcome::Same, "both are surely within the target, and their intervals overlap".into())
    } else {
        (
            Outcome::CannotTell,
            format!("the intervals overlap: up to {} before, {} now", percent(upper_before), percent(upper)),
        )
    };
    let (name, kind) = (format!("{} rate", after.name.replace('_', " ")), Kind::Rate);
    Some(Difference { name, kind, before: before.measured, after: after.measured, outcome, reason })
}

type Measure = Box<dyn Fn(&RunRecord) -> Option<f64>>;

/// What is measured in a run, less being better.
fn measures(record: &RunRecord) -> Vec<(String, Kind, Measure)> {
    let time = |name: &str, of: fn(&RunRecord) -> Option<Quantile>| -> (String, Kind, Measure) {
        let seconds = move |record: &RunRecord| match of(record) {
            Some(Quantile::Seconds(seconds)) => Some(seconds),
            _ => None,
        };
        (format!("{name} time to visible"), Kind::Time, Box::new(seconds))
    };
    let mut all = vec![
        time("p50", |record| record.time_to_visible.p50),
        time("p90", |record| record.time_to_visible.p90),
        time("p99", |record| record.time_to_visible.p99),
    ];
    for component in &record.run.components {
        let name = component.name.clone();
        let of = move |record: &RunRecord| {
            let component = record.run.components.iter().find(|component| component.name == name)?;
            (record.generator.sent > 0).then(|| component.cpu / (record.generator.sent as f64 / 1e6))
        };
        all.push((format!("{} per million events", component.name), Kind::Processor, Box::new(of)));
        let name = component.name.clone();
        let of = move |record: &RunRecord| {
            let component = record.run.components.iter().find(|component| component.name == name)?;
            Some(component.peak_memory as f64)
        };
        all.push((format!("{} memory", component.name), Kind::Memory, Box::new(of)));
    }
    all
}

/// The greatest ratio of two runs that chance makes, where enough runs tell.
fn chance(values: &[f64]) -> Option<f64> {
    let logs: Vec<f64> = values.iter().filter(|value| **value > 0.0).map(|value| value.ln()).collect();
    if logs.len() < RUNS {
        return None;
    }
    let n = logs.len() as f64;
    let mean = logs.iter().sum::<f64>() / n;
    let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let t = student::quantile(f64::midpoint(1.0, CONFIDENCE), n - 1.0);
    Some((t * (2.0 * variance).sqrt()).exp())
}

fn measure(name: String, kind: Kind, before: Option<f64>, after: Option<f64>, others: &[f64]) -> Option<Difference> {
    let (outcome, reason) = match (before, after) {
        (None, None) => return None,
        (Some(_), None) => (Outcome::CannotTell, "not reached, or not measured, in the run after".to_owned()),
        (None, Some(_)) => (Outcome::CannotTell, "not reached, or not measured, in the run before".to_owned()),
        (Some(was), Some(is)) => match chance(others) {
            None => {
                let runs = others.len();
                (
                    Outcome::CannotTell,
                    format!(
                        "what chance does is learned from at least {RUNS} other runs like these, and there are {runs}"
                    ),
                )
            }
            Some(noise) => {
                let ratio = is / was;
                let told = format!("chance alone makes up to {noise:.2} times as much between two runs");
                if !ratio.is_finite() || ratio <= 0.0 {
                    (Outcome::CannotTell, "there is nothing to compare with".into())
                } else if ratio > noise {
                    (Outcome::Worse, format!("{ratio:.2} times as much; {told}"))
                } else if ratio < 1.0 / noise {
                    (Outcome::Better, format!("{:.2} times less; {told}", 1.0 / ratio))
                } else if noise <= WORTH_SEEING {
                    (Outcome::Same, told)
                } else {
                    (Outcome::CannotTell, told)
                }
            }
        },
    };
    Some(Difference { name, kind, before, after, outcome, reason })
}

#[cfg(test)]
mod tests {
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
    }

    #[test]
    fn the_worst_difference_is_the_comparisons() {
        assert_eq!(Comparison::of(&passed(), &failed(), &[]).outcome(), Outcome::Worse);
        assert_eq!(Comparison::of(&passed(), &passed(), &[]).outcome(), Outcome::CannotTell);
    }
}
