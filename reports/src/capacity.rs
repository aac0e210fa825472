//! What a search for capacity has found: `scaling.json`, and the table and the words for people.
//!
//! The law of scaling is in [`checkers::statistics::usl`]; here stands what was measured, and how it is told.

use std::fmt::Write;

use checkers::{
    record::ComponentFacts,
    statistics::usl::{Answer, Fit, Interval},
    verdict::Verdict,
};
use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

use crate::{
    figures::{count, percent, seconds},
    limits::{self, LimitFacts},
};

/// The version of scaling.json.
pub const SCHEMA: u32 = 1;

/// What a search has found so far. Rates are events a second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The version of this form.
    pub schema: u32,
    /// What it comes to.
    pub verdict: Verdict,
    /// Why it is not a pass, and what else must be said.
    pub reasons: Vec<String>,
    /// The exit code that goes with the verdict.
    pub exit_code: u8,
    /// The scenario.
    pub scenario: String,
    /// The kind of environment.
    pub environment: String,
    /// How many processors the machine has, generator, checker and substrate on it included.
    pub machine_processors: usize,
    /// Whether everything was measured that was to be.
    pub complete: bool,
    /// What the components cost without any traffic, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Idle>,
    /// The steps, in the scenario's order; those that were not begun are missing.
    pub steps: Vec<Step>,
    /// How capacity grows from step to step, where the data carry it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fit: Option<Fit>,
    /// Why there is no fit, where several steps were to be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_fit: Option<String>,
    /// The confidence of the fit's intervals, and of every trial's verdict.
    pub confidence: f64,
}

/// What the components cost without any traffic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Idle {
    /// For how long that was watched, in seconds.
    pub seconds: f64,
    /// What each used meanwhile.
    pub components: Vec<ComponentFacts>,
}

/// One size of the pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What it is called.
    pub name: String,
    /// Its size, the law's N.
    pub size: f64,
    /// Partitions of each topic.
    pub partitions: u32,
    /// Ingesters.
    pub ingesters: usize,
    /// Processors of each component, where they are limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processors: Option<f64>,
    /// The limits that were in force on its components.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitFacts>,
    /// The highest rate whose verdict passed; none if none did.
    pub capacity: Option<u64>,
    /// The lowest rate whose verdict did not pass; none if all did.
    pub failed: Option<u64>,
    /// What stopped it there.
    pub limited_by: Limit,
    /// Its capacity against as many times that of the first step as it is larger.
    pub efficiency: Option<f64>,
    /// What the components used at its capacity, from the start of sending to the end of settling.
    pub components: Vec<ComponentFacts>,
    /// How many events that was for.
    pub events: u64,
    /// p99 of time-to-visible at its capacity, in seconds, if it was reached.
    pub p99: Option<f64>,
    /// Every trial, in the order in which they were made.
    pub trials: Vec<Trial>,
}

/// What keeps a step's capacity from being higher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The pipeline did not keep its promises.
    Pipeline,
    /// The generator did not keep its schedule: the pipeline may well do more.
    Generator,
    /// Nothing: it held at the highest rate that the scenario allows.
    Range,
    /// It is not known: the search was not ended.
    Unknown,
}

/// One trial: a run at one rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The rate.
    pub rate: u64,
    /// The run's own verdict.
    pub verdict: Verdict,
    /// What it says of the rate.
    pub outcome: Outcome,
    /// Why it did not hold.
    pub why: String,
    /// The share of requests that left on schedule.
    pub on_schedule: Option<f64>,
    /// p99 of time-to-visible, in seconds, if it was reached.
    pub p99: Option<f64>,
    /// The run's directory, from that of the search.
    pub directory: String,
}

/// What a trial says of its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every promise held.
    Held,
    /// The pipeline broke a promise, or one was not proven.
    Failed,
    /// The generator left late, and nothing else was wrong.
    GeneratorLate,
    /// Nothing: the environment failed.
    Void,
}

/// Everything that is printed at the end. `color` marks the verdict.
pub fn render(found: &Found, color: bool) -> String {
    let mut text = String::new();
    let word = found.verdict.word().to_uppercase();
    let word = match (color, found.verdict) {
        (false, _) => word,
        (true, Verdict::Pass) => format!("\x1b[1;32m{word}\x1b[0m"),
        (true, Verdict::Fail) => format!("\x1b[1;31m{word}\x1b[0m"),
        (true, _) => format!("\x1b[1;33m{word}\x1b[0m"),
    };
    let trials: usize = found.steps.iter().map(|step| step.trials.len()).sum();
    // Writing into a String does not fail.
    let _ = writeln!(
        text,
        "{word}  {} · {trials} trials in the {} environment, generator and checker on the same {} processors\n",
        found.scenario, found.environment, found.machine_processors
    );
    if !found.steps.is_empty() {
        let _ = writeln!(text, "{}\n", table(found).trim_fmt());
    }
    for step in &found.steps {
        let _ = writeln!(text, "{}", costs(step));
        if let Some(limits) = limits::told(&step.limits) {
            let _ = writeln!(text, "{}, limits in force: {limits}.", step.name);
        }
    }
    if let Some(idle) = &found.idle {
        let _ = writeln!(text, "{}", idles(idle));
    }
    if let Some(fit) = &found.fit {
        let _ = write!(text, "{}", law(fit, found));
    }
    if let Some(why) = &found.no_fit {
        let _ = writeln!(text, "How it scales cannot be told: {why}.");
    }
    if !found.reasons.is_empty() {
        let _ = writeln!(text, "\nWhy {}:", found.verdict.word());
        for reason in &found.reasons {
            let _ = writeln!(text, "  • {reason}");
        }
    }
    text
}

fn table(found: &Found) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["step", "partitions", "ingesters", "capacity", "not at", "efficiency", "p99", "what stopped it"]);
    for step in &found.steps {
        let rate = |rate: Option<u64>| rate.map_or_else(|| "–".to_owned(), |rate| format!("{}/s", count(rate)));
        table.add_row([
            step.name.clone(),
            step.partitions.to_string(),
            step.ingesters.to_string(),
            rate(step.capacity),
            rate(step.failed),
            step.efficiency.map_or_else(|| "–".to_owned(), percent),
            step.p99.map_or_else(|| "–".to_owned(), seconds),
            stopped(step),
        ]);
    }
    for column in 1..7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// What stopped a step, by the lowest rate that did not hold.
fn stopped(step: &Step) -> String {
    let trial = step.trials.iter().filter(|trial| trial.outcome != Outcome::Held).min_by_key(|trial| trial.rate);
    let why = trial.map_or("", |trial| &trial.why);
    let short: String = why.chars().take(90).collect();
    let short = if short.len() < why.len() { short + "…" } else { short };
    match step.limited_by {
        Limit::Pipeline => format!("pipeline: {short}"),
        Limit::Generator => format!("the pipeline may do more: {short}"),
        Limit::Range => "nothing up to the highest rate that may be tried".into(),
        Limit::Unknown if short.is_empty() => "the search was not ended".into(),
        Limit::Unknown => format!("the search was not ended: {short}"),
    }
}

fn costs(step: &Step) -> String {
    let Some(capacity) = step.capacity.filter(|_| step.events > 0) else {
        return format!("{}: no rate held.", step.name);
    };
    let millions = step.events as f64 / 1e6;
    let told = step
        .components
        .iter()
        .map(|component| format!("{} {:.1} s, {} MB", component.name, component.cpu / millions, megabytes(component)));
    format!(
        "{} at {}/s, processor time per million events and memory at its peak: {}.",
        step.name,
        count(capacity),
        told.collect::<Vec<_>>().join(" · ")
    )
}

fn megabytes(component: &ComponentFacts) -> String {
    count(component.peak_memory.div_ceil(1_000_000))
}

fn idles(idle: &Idle) -> String {
    let told = idle.components.iter().map(|component| {
        let share = component.cpu / idle.seconds.max(f64::MIN_POSITIVE);
        format!("{} {} of a processor, {} MB", component.name, percent(share), megabytes(component))
    });
    format!("Idle for {}: {}.", seconds(idle.seconds), told.collect::<Vec<_>>().join(" · "))
}

/// The law, how far it may be believed, and what follows from it: no size beyond those that were measured is told for a finding.
fn law(fit: &Fit, found: &Found) -> String {
    let rate = |rate: f64| format!("{rate:.0}");
    let small = |number: f64| format!("{number:.4}");
    let mut text = String::new();
    let is_one = (fit.unit - 1.0).abs() < f64::EPSILON;
    let unit = if is_one { String::new() } else { format!(", N counted in {}", fit.unit) };
    let _ = writeln!(
        text,
        "Universal Scalability Law, C(N) = λN / (1 + σ(N−1) + κN(N−1)){unit}, fitted to {}, intervals at {}: λ {:.0}/s ({}), σ {:.4} \
         ({}), κ {:.4} ({}){}.",
        fitted_to(fit, found),
        percent(found.confidence),
        fit.law.lambda,
        between(fit.lambda, rate),
        fit.law.sigma,
        between(fit.sigma, small),
        fit.law.kappa,
        between(fit.kappa, small),
        match fit.r_squared {
            Some(explained) => format!("; R² {explained:.3}"),
            None => "; as many parameters as sizes, so R² says nothing, and the intervals hold how coarse the rates are and not how \
                     far trials scatter"
                .into(),
        }
    );
    let _ = writeln!(text, "{}", misses(fit));
    let efficiency = between(fit.efficiency, percent);
    let by = if fit.missed == 0 { "" } else { " by the capacities themselves" };
    let linear_up_to = fit.linear_up_to.filter(|size| *size < fit.greatest);
    let _ = writeln!(
        text,
        "Linear up to {}: {} (efficiency there {efficiency}{by}; linear is 90 % or more{}). A straight line would begin at \
         {:.0}/s ({}) and gain {:.0}/s for each one more.",
        fit.greatest,
        word(fit.is_linear),
        linear_up_to.map_or_else(String::new, |up_to| format!(", by the law up to {}", size(up_to, fit))),
        fit.line.intercept,
        between(fit.intercept, rate),
        fit.line.slope,
    );
    let _ = writeln!(text, "More becomes less within what was measured: {}.", bends(fit));
    text
}

fn between(interval: Interval, told: fn(f64) -> String) -> String {
    format!("{} to {}", told(interval.low), told(interval.high))
}

/// A size as people read it: fractions of a processor need two digits.
fn size(size: f64, fit: &Fit) -> String {
    let digits = if fit.unit < 1.0 { 2 } else { 1 };
    format!("{size:.digits$}")
}

/// To how many steps the law was fitted, and which were left out.
fn fitted_to(fit: &Fit, found: &Found) -> String {
    let is_out = |step: &&Step| step.limited_by != Limit::Pipeline || step.capacity.is_none();
    let out: Vec<&str> = found.steps.iter().filter(is_out).map(|step| step.name.as_str()).collect();
    let out = match out.as_slice() {
        [] => String::new(),
        names => format!(" (left out, since the capacity is not known: {})", names.join(", ")),
    };
    format!("{} of {} steps{out}", fit.capacities, found.steps.len())
}

/// How far the law is from what was found.
fn misses(fit: &Fit) -> String {
    if fit.missed == 0 {
        return "Every capacity that it was fitted to may be as the law says.".into();
    }
    let why = if fit.intercept.high < 0.0 {
        "capacity grows by more than in proportion, for which the law has no form"
    } else {
        "trials scatter, or something else than this law is at work"
    };
    format!(
        "The law misses {} of {} capacities by more than the rates are apart, one by {}: {why}.",
        fit.missed,
        fit.capacities,
        percent(fit.residual.abs())
    )
}

/// Whether it bends, and where it may.
fn bends(fit: &Fit) -> String {
    let told = |at: Option<f64>| at.map(|at| size(at, fit));
    let beyond = format!("nothing beyond {} was measured", fit.greatest);
    let where_it_is = match (fit.bends, told(fit.bends_from), told(fit.bends_to)) {
        (Answer::Yes, Some(from), Some(to)) if from == to => format!(" (from {from} on)"),
        (Answer::Yes, Some(from), Some(to)) => format!(" (between {from} and {to})"),
        (Answer::No, Some(from), _) => format!(" (by the law alone not before {from}; {beyond})"),
        (Answer::CannotTell, Some(from), Some(to)) => format!(" (by the law between {from} and {to}; {beyond})"),
        (Answer::CannotTell, Some(from), None) => format!(" (by the law from {from} on, or nowhere; {beyond})"),
        _ => format!(" ({beyond})"),
    };
    format!("{}{where_it_is}", word(fit.bends))
}

const fn word(answer: Answer) -> &'static str {
    match answer {
        Answer::Yes => "yes",
        Answer::No => "no",
        Answer::CannotTell => "the data do not tell",
    }
}

#[cfg(test)]
mod tests {
    use checkers::statistics::usl::{Capacity, fit};

    use super::*;

    fn step(size: u32, capacity: u64, failed: u64, limited_by: Limit) -> Step {
        let trial = |rate, outcome, why: &str| Trial {
            rate,
            verdict: if outcome == Outcome::Held { Verdict::Pass } else { Verdict::Fail },
            outcome,
            why: why.to_owned(),
            on_schedule: Some(1.0),
            p99: Some(1.25),
            directory: format!("two/{rate}"),
        };
        Step {
            name: format!("ingesters {size}"),
            size: size.into(),
            partitions: size,
            ingesters: size as usize,
            processors: None,
            limits: vec![LimitFacts {
                component: "ingester".into(),
                only_on: Some("1".into()),
                processors: None,
                memory: Some(512 << 20),
            }],
            capacity: Some(capacity),
            failed: Some(failed),
            limited_by,
            efficiency: Some(capacity as f64 / 1_000.0 / f64::from(size)),
            components: vec![ComponentFacts { name: "ingester".into(), cpu: 0.3, peak_memory: 50_000_000 }],
            events: 10_000,
            p99: Some(1.25),
            trials: vec![
                trial(capacity, Outcome::Held, ""),
                trial(failed, Outcome::Failed, "time to visible: too late"),
            ],
        }
    }

    fn found() -> Found {
        let steps = vec![
            step(1, 1_000, 1_100, Limit::Pipeline),
            step(2, 1_900, 2_090, Limit::Pipeline),
            step(4, 2_800, 3_080, Limit::Pipeline),
            step(8, 5_000, 5_500, Limit::Generator),
        ];
        let capacities: Vec<Capacity> = steps
            .iter()
            .filter(|step| step.limited_by == Limit::Pipeline)
            .map(|step| Capacity {
                size: step.size,
                held: step.capacity.unwrap() as f64,
                failed: step.failed.unwrap() as f64,
            })
            .collect();
        Found {
            schema: SCHEMA,
            verdict: Verdict::Fail,
            reasons: vec!["efficiency at ingesters 4 is 64 % to 77 %, and 80 % are expected".into()],
            exit_code: 1,
            scenario: "scaling".into(),
            environment: "embedded".into(),
            machine_processors: 2,
            complete: true,
            idle: Some(Idle {
                seconds: 60.0,
                components: vec![ComponentFacts { name: "capture".into(), cpu: 0.6, peak_memory: 20_000_000 }],
            }),
            fit: fit(&capacities, 0.95).ok(),
            no_fit: None,
            steps,
            confidence: 0.95,
        }
    }

    #[test]
    fn a_search_as_people_read_it() {
        let text = render(&found(), false);
        for part in [
            "FAIL  scaling · 8 trials in the embedded environment",
            "1 900/s",
            "pipeline: time to visible: too late",
            "the pipeline may do more: time to visible: too late",
            "ingesters 4 at 2 800/s, processor time per million events and memory at its peak: ingester 30.0 s, 50 MB.",
            "ingesters 4, limits in force: ingester on processor 1 alone, 512 MiB.",
            "Idle for 60.00 s: capture 1 % of a processor, 20 MB.",
            "κN(N−1)), fitted to 3 of 4 steps (left out, since the capacity is not known: ingesters 8), intervals at 95 %",
            "as many parameters as sizes, so R² says nothing, and the intervals hold how coarse the rates are",
            "Every capacity that it was fitted to may be as the law says.",
            "Linear up to 4: no",
            "More becomes less within what was measured: no (by the law alone not before 4.7; nothing beyond 4 was measured).",
            "Why fail:\n  • efficiency at ingesters 4",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let none = Found { steps: Vec::new(), fit: None, no_fit: Some("why".into()), idle: None, ..found() };
        assert!(render(&none, true).contains("How it scales cannot be told: why."));
    }

    /// What is told of capacities that were found with rates a tenth apart.
    fn told(capacities: &[(f64, f64)]) -> String {
        let known = |(size, held): &(f64, f64)| Capacity { size: *size, held: *held, failed: held * 1.1 };
        let fit = fit(&capacities.iter().map(known).collect::<Vec<_>>(), 0.95).unwrap();
        let steps = capacities.iter().map(|_| step(1, 1_000, 1_100, Limit::Pipeline)).collect();
        law(&fit, &Found { steps, ..found() })
    }

    #[test]
    fn the_law_is_told_with_what_it_does_not_carry() {
        let quarters = told(&[(0.25, 1_000.0), (0.5, 2_000.0), (1.0, 4_000.0), (2.0, 7_900.0)]);
        assert!(quarters.contains("N counted in 0.25, fitted to 4 of 4 steps, intervals"), "{quarters}");
        assert!(quarters.contains("; R² 0.99") || quarters.contains("; R² 1.000"), "{quarters}");
        assert!(quarters.contains("Linear up to 2: yes"), "{quarters}");

        let pairs = told(&[(2.0, 1_000.0), (4.0, 2_000.0), (8.0, 4_000.0)]);
        assert!(pairs.contains("κN(N−1)), N counted in 2, fitted to 3 of 3 steps, intervals"), "{pairs}");
        assert!(pairs.contains("gain 524/s for each one more"), "{pairs}");
        let falling = told(&[(1.0, 6_565.0), (2.0, 4_484.0), (4.0, 3_705.0)]);
        assert!(falling.contains("More becomes less within what was measured: yes (from 1.0 on)."), "{falling}");
        let flat = told(&[(1.0, 1_000.0), (2.0, 1_000.0), (4.0, 1_000.0)]);
        let open = "the data do not tell (by the law from 1.0 on, or nowhere; nothing beyond 4 was measured).";
        assert!(flat.contains(open), "{flat}");
        let more = told(&[(1.0, 300.0), (2.0, 1_000.0), (4.0, 2_400.0)]);
        assert!(
            more.contains("The law misses 2 of 3 capacities by more than the rates are apart, one by 40 %"),
            "{more}"
        );
        assert!(more.contains("more than in proportion, for which the law has no form"), "{more}");
        assert!(more.contains("Linear up to 4: yes (efficiency there 18"), "{more}");
        assert!(more.contains(" % by the capacities themselves; linear is 90 % or more)."), "{more}");
        assert!(!pairs.contains("by the capacities themselves"), "{pairs}");
        assert!(more.contains("within what was measured: no (nothing beyond 4 was measured)."), "{more}");
        let scattered = told(&[(1.0, 1_000.0), (2.0, 1_300.0), (4.0, 3_600.0), (8.0, 4_000.0)]);
        assert!(scattered.contains("trials scatter, or something else than this law is at work"), "{scattered}");
    }

    #[test]
    fn what_is_written_can_be_read() {
        let text = serde_json::to_string(&found()).unwrap();
        assert_eq!(serde_json::from_str::<Found>(&text).unwrap(), found());
    }
}
