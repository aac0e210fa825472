//! Times and costs in two runs, less being better.
//!
//! They differ from run to run even when nothing has changed; by how much is learned from runs of the same scenario: the
//! difference of two of them, as a ratio, stays within t·s·√2 in 95 of 100 cases, where s is the spread of the logarithms.

use checkers::{checks::Quantile, record::RunRecord, statistics::student};

use super::{CONFIDENCE, Difference, Kind, Outcome};

/// Fewer runs teach no noise.
const RUNS: usize = 3;
/// Two runs are the same only if a change by this factor would have been seen.
const WORTH_SEEING: f64 = 1.5;

/// What a run tells of a measure.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Reading {
    /// So much.
    Value(f64),
    /// More than any value: too many events were never seen.
    NotReached,
    /// Nobody knows.
    NotMeasured,
}

impl Reading {
    const fn value(self) -> Option<f64> {
        match self {
            Self::Value(value) => Some(value),
            Self::NotReached | Self::NotMeasured => None,
        }
    }
}

/// What is measured in a run.
pub(super) struct Measure {
    name: String,
    kind: Kind,
    of: Box<dyn Fn(&RunRecord) -> Reading>,
}

/// Everything that is measured in a run like `record`.
pub(super) fn all(record: &RunRecord) -> Vec<Measure> {
    let time = |name: &str, of: fn(&RunRecord) -> Option<Quantile>| {
        let reading = move |record: &RunRecord| match of(record) {
            Some(Quantile::Seconds(seconds)) => Reading::Value(seconds),
            Some(Quantile::NotReached(_)) => Reading::NotReached,
            None => Reading::NotMeasured,
        };
        Measure { name: format!("{name} time to visible"), kind: Kind::Time, of: Box::new(reading) }
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
        all.push(cost(format!("{} per million events", component.name), Kind::Processor, of));
        let name = component.name.clone();
        let of = move |record: &RunRecord| {
            let component = record.run.components.iter().find(|component| component.name == name)?;
            Some(component.peak_memory as f64)
        };
        all.push(cost(format!("{} memory", component.name), Kind::Memory, of));
    }
    all
}

fn cost(name: String, kind: Kind, of: impl Fn(&RunRecord) -> Option<f64> + 'static) -> Measure {
    Measure { name, kind, of: Box::new(move |record| of(record).map_or(Reading::NotMeasured, Reading::Value)) }
}

impl Measure {
    /// The measure in both runs, with what chance does learned from `others`; none where neither run has it.
    pub(super) fn difference(self, before: &RunRecord, after: &RunRecord, others: &[&RunRecord]) -> Option<Difference> {
        let (was, is) = ((self.of)(before), (self.of)(after));
        let (outcome, reason) = match (was, is) {
            (Reading::NotMeasured, Reading::NotMeasured) => return None,
            (_, Reading::NotMeasured) => (Outcome::CannotTell, "not measured in the run after".to_owned()),
            (Reading::NotMeasured, _) => (Outcome::CannotTell, "not measured in the run before".to_owned()),
            (Reading::NotReached, Reading::NotReached) => {
                (Outcome::CannotTell, "not reached in either run: too many events were never seen".to_owned())
            }
            (_, Reading::NotReached) => {
                (Outcome::Worse, "not reached in the run after: too many events were never seen".to_owned())
            }
            (Reading::NotReached, _) => {
                (Outcome::Better, "not reached in the run before: too many events were never seen".to_owned())
            }
            (Reading::Value(was), Reading::Value(is)) => {
                let values: Vec<f64> = others.iter().filter_map(|record| (self.of)(record).value()).collect();
                compared(was, is, &values)
            }
        };
        let (name, kind) = (self.name, self.kind);
        Some(Difference { name, kind, before: was.value(), after: is.value(), outcome, reason })
    }
}

fn compared(was: f64, is: f64, others: &[f64]) -> (Outcome, String) {
    let Some(noise) = chance(others) else {
        let runs = others.len();
        let told =
            format!("what chance does is learned from at least {RUNS} other runs like these, and there are {runs}");
        return (Outcome::CannotTell, told);
    };
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
