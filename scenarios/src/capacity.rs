//! Looking for a capacity: the highest rate at which a pipeline keeps every promise, step by step of its size.
//!
//! Each trial is a run of its own, with a directory and a verdict of its own below the search's; [`search`] says which
//! rate is next, [`trial`] what a verdict says of its rate, and [`conclude`] what all of it comes to. What was found is
//! written after every trial, so a search that was stopped or killed leaves all that it had measured.

mod conclude;
mod search;
mod trial;

use std::time::Duration;

use checkers::{
    checks::Quantile,
    record::RunRecord,
    verdict::{Obstacle, Verdict},
};
use generators::{
    identity::RunId,
    schedule::{Arrival, Rate},
};
use jiff::Timestamp;
use reports::{
    capacity::{Found, Idle, Limit, Outcome, SCHEMA, Step, Trial},
    figures::{count, seconds},
    limits::{self, LimitFacts},
    progress::Progress,
};
use tokio::sync::watch;

use self::{
    conclude::conclude,
    search::{Grid, Search},
};
use crate::{
    failure::Failure,
    manifest::{Conditions, Machine, Manifest},
    run_directory::{RunDirectory, read_json, write_json},
    runner::{self, Request},
    scenario::{self, Capacity, Scenario},
};

/// Looks for the capacity that `request`'s scenario asks for; `stop` becomes true when the user wants it to end.
///
/// # Errors
/// When a trial cannot be made at all, or nothing can be written.
pub async fn measure(
    request: &Request,
    capacity: &Capacity,
    progress: &Progress,
    stop: watch::Receiver<bool>,
) -> Result<(Found, RunDirectory), Failure> {
    let scenario = &request.scenario;
    let directory = RunDirectory::create(&request.out, &scenario.name, RunId::new(rand::random()), Timestamp::now())?;
    let mut searching = Searching {
        request,
        capacity,
        directory,
        progress,
        stop,
        found: Found {
            schema: SCHEMA,
            verdict: Verdict::Inconclusive,
            reasons: Vec::new(),
            exit_code: Verdict::Inconclusive.exit_code(),
            scenario: scenario.name.clone(),
            environment: request.environment.kind().into(),
            machine_processors: Machine::this().processors,
            complete: false,
            idle: None,
            steps: Vec::new(),
            fit: None,
            no_fit: None,
            confidence: scenario.expect.targets.confidence,
        },
    };
    let searched = searching.search().await;
    searching.write()?;
    searching.directory.point_latest()?;
    searched?;
    Ok((searching.found, searching.directory))
}

struct Searching<'a> {
    request: &'a Request,
    capacity: &'a Capacity,
    directory: RunDirectory,
    progress: &'a Progress,
    stop: watch::Receiver<bool>,
    found: Found,
}

/// A trial, and what its run leaves for the step.
struct Tried {
    trial: Trial,
    record: RunRecord,
    limits: Vec<LimitFacts>,
}

impl Searching<'_> {
    fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    fn write(&mut self) -> Result<(), Failure> {
        conclude(&mut self.found, &self.request.scenario.expect);
        write_json(&self.directory.scaling(), &self.found)
    }

    async fn search(&mut self) -> Result<(), Failure> {
        if let Some(lasts) = self.capacity.idle {
            self.progress.now(format!("idle for {}", seconds(lasts.as_secs_f64())));
            let request = Request { scenario: self.named("idle"), ..self.below() };
            let used = runner::idle(&request, lasts, self.stop.clone()).await?;
            let Some(components) = used else { return Ok(()) };
            self.found.idle = Some(Idle { seconds: lasts.as_secs_f64(), components });
        }
        for step in &self.capacity.steps {
            if self.is_stopped() {
                return Ok(());
            }
            self.step(step).await?;
        }
        self.found.complete = !self.is_stopped();
        Ok(())
    }

    /// Looks for the capacity of one step.
    async fn step(&mut self, step: &scenario::Step) -> Result<(), Failure> {
        let Capacity { from, to, resolution, .. } = *self.capacity;
        let grid = Grid::new(from, to, resolution);
        let mut search = Search::new(grid.clone(), total(&self.request.scenario));
        let place = self.found.steps.len();
        self.found.steps.push(begun(step));
        while let Some(rate) = search.next().and_then(|next| grid.rate(next)) {
            let Some(Tried { trial, record, limits }) = self.trial(step, rate).await? else { return Ok(()) };
            let outcome = trial.outcome;
            let told = match (outcome, trial.p99) {
                (Outcome::Held, p99) => {
                    format!("held{}", p99.map_or_else(String::new, |p99| format!(", p99 {}", seconds(p99))))
                }
                (Outcome::GeneratorLate, _) => trial.why.clone(),
                (Outcome::Failed, _) => format!("did not hold: {}", trial.why),
                (Outcome::Void, _) => format!("says nothing: {}", trial.why),
            };
            self.progress.step(&format!("{} at {}/s: {told}", step.name, count(rate)));
            let stopped = self.is_stopped();
            if let Some(known) = self.found.steps.get_mut(place) {
                if known.limits != limits
                    && let Some(told) = limits::told(&limits)
                {
                    self.progress.step(&format!("{}, limits in force: {told}", step.name));
                }
                known.limits = limits;
                if outcome == Outcome::Held && known.capacity.is_none_or(|known| known < rate) && !stopped {
                    known.components.clone_from(&record.run.components);
                    (known.events, known.p99) = (record.generator.sent, trial.p99);
                }
                known.trials.push(trial);
                if !stopped && outcome != Outcome::Void {
                    search.note(grid.at_most(rate as f64), outcome == Outcome::Held);
                    (known.capacity, known.failed) = search.found();
                }
                if search.next().is_none() {
                    known.limited_by = limit(known);
                }
            }
            self.write()?;
            // A run that was stopped in mid-trial says nothing of its rate; nor does one whose environment failed.
            if stopped || outcome == Outcome::Void {
                return Ok(());
            }
        }
        Ok(())
    }

    /// One run at `rate`; none if it was stopped before anything was sent.
    async fn trial(&self, step: &scenario::Step, rate: u64) -> Result<Option<Tried>, Failure> {
        self.progress.now(format!("{} at {}/s", step.name, count(rate)));
        let mut scenario = self.named(&format!("{}-at-{rate}", slug(&step.name)));
        scenario.pipeline = step.pipeline;
        pace(&mut scenario, rate);
        let request = Request { scenario, ..self.below() };
        let ran = Box::pin(runner::run(&request, &Progress::on_stderr(true), self.stop.clone())).await;
        let (record, directory) = match ran {
            Err(failure) if failure.is_stop() => return Ok(None),
            ran => ran?,
        };
        let conditions: Option<Conditions> = read_json(&directory.conditions())?;
        let limits = Manifest::read(&directory)?.environment.limits;
        let obstacles: Vec<Obstacle> = conditions.map(|conditions| conditions.obstacles).unwrap_or_default();
        let ceiling = step.pipeline.memory_budget();
        let (outcome, why) = trial::outcome(&record, &obstacles, ceiling);
        let below = directory.path().strip_prefix(self.directory.path()).unwrap_or(directory.path());
        let trial = Trial {
            rate,
            verdict: record.verdict,
            outcome,
            why,
            on_schedule: record.generator.schedule.map(|schedule| schedule.on_schedule_share),
            p99: match record.time_to_visible.p99 {
                Some(Quantile::Seconds(seconds)) => Some(seconds),
                Some(Quantile::NotReached(_)) | None => None,
            },
            directory: below.display().to_string(),
        };
        Ok(Some(Tried { trial, record, limits }))
    }

    /// The request of a run below the search's own directory.
    fn below(&self) -> Request {
        Request { out: self.directory.path().to_owned(), junit: None, ..self.request.clone() }
    }

    fn named(&self, what: &str) -> Scenario {
        let scenario = &self.request.scenario;
        Scenario { name: format!("{}-{what}", scenario.name), ..scenario.clone() }
    }
}

fn begun(step: &scenario::Step) -> Step {
    Step {
        name: step.name.clone(),
        size: step.size,
        partitions: step.pipeline.partitions,
        ingesters: step.pipeline.ingesters,
        processors: step.pipeline.processors,
        limits: Vec::new(),
        capacity: None,
        failed: None,
        limited_by: Limit::Unknown,
        efficiency: None,
        components: Vec::new(),
        events: 0,
        p99: None,
        trials: Vec::new(),
    }
}

/// What the lowest rate that did not hold failed of.
fn limit(step: &Step) -> Limit {
    let lowest = step.trials.iter().find(|trial| Some(trial.rate) == step.failed && trial.outcome != Outcome::Held);
    match lowest.map(|trial| trial.outcome) {
        None => Limit::Range,
        Some(Outcome::GeneratorLate) => Limit::Generator,
        Some(_) => Limit::Pipeline,
    }
}

/// The rate of all traffic together as the scenario says it, in events a second.
fn total(scenario: &Scenario) -> f64 {
    scenario.traffic.iter().filter_map(|traffic| rate_of(&traffic.arrival)).map(Rate::per_second).sum()
}

const fn rate_of(arrival: &Arrival) -> Option<Rate> {
    match arrival {
        Arrival::Constant { rate } | Arrival::Poisson { rate } => Some(*rate),
        _ => None,
    }
}

/// Rates are told for so long, so that a small traffic's share of a rate is not lost to rounding.
const PER: Duration = Duration::from_secs(1_000);

/// Has all traffic together arrive at `rate`, in the same proportions and for as long.
fn pace(scenario: &mut Scenario, rate: u64) {
    let times = rate as f64 / total(scenario).max(f64::MIN_POSITIVE);
    for traffic in &mut scenario.traffic {
        let lasts = traffic.arrival.lasts(traffic.events);
        if let Arrival::Constant { rate } | Arrival::Poisson { rate } = &mut traffic.arrival {
            let events = (rate.per_second() * times * PER.as_secs_f64()).round() as u64;
            *rate = Rate { events: events.max(1), per: PER };
        }
        traffic.events = traffic.arrival.events_in(lasts);
    }
}

/// A name as a part of a folder's name.
fn slug(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_has_the_same_traffic_at_another_rate() {
        let source = r#"
            [scenario]
            name = "x"
            description = "x"
            [[traffic]]
            name = "a"
            duration = "10s"
            arrival = { shape = "constant", rate = "900/s" }
            [[traffic]]
            name = "b"
            duration = "5s"
            arrival = { shape = "poisson", rate = "100/s" }
        "#;
        let mut scenario = Scenario::read("x.toml", source, &[]).unwrap();
        assert!((total(&scenario) - 1_000.0).abs() < 1e-9);
        pace(&mut scenario, 2_500);
        assert!((total(&scenario) - 2_500.0).abs() < 1e-9);
        assert_eq!(scenario.traffic.iter().map(|traffic| traffic.events).collect::<Vec<_>>(), [22_500, 1_250]);
        assert_eq!(slug("2 ingesters, ½ CPU"), "2-ingesters----cpu");
    }

    #[test]
    fn the_lowest_rate_that_did_not_hold_says_what_stopped_it() {
        let source = include_str!("../library/smoke.toml");
        let pipeline = Scenario::read("x.toml", source, &[]).unwrap().pipeline;
        let mut step = begun(&scenario::Step { name: "s".into(), size: 1.0, pipeline });
        let trial = |rate, outcome| Trial {
            rate,
            verdict: Verdict::Inconclusive,
            outcome,
            why: String::new(),
            on_schedule: None,
            p99: None,
            directory: String::new(),
        };
        step.trials = vec![trial(8, Outcome::Failed), trial(2, Outcome::Held), trial(4, Outcome::GeneratorLate)];
        (step.capacity, step.failed) = (Some(2), Some(4));
        assert_eq!(limit(&step), Limit::Generator);
        step.failed = Some(8);
        assert_eq!(limit(&step), Limit::Pipeline);
        step.failed = None;
        assert_eq!(limit(&step), Limit::Range);
    }
}
