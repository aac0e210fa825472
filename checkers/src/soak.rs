//! A soak: the same traffic window after window, each a whole run, judged together as if it were one.
//!
//! What is kept of the windows does not grow with their number: [`rate`] adds up what rates are judged from, [`course`] and
//! [`durations`] hold a bounded number of stretches and bins, and of windows that did not pass the first few are named. What
//! it comes to is a [`RunRecord`] like that of one run, so that every report can be drawn of it.
//!
//! * A window that Assay's own end broke off (stopped, killed) is left out, unless it has failed, and is sent again.
//! * A window that proves nothing, or has too little to say pass, forbids a pass of the whole, and hides no fail.
//! * A window that breaks a promise by itself is a fail of the soak, at a confidence that allows for their number
//!   (Bonferroni), so that one bad hour is not drowned by a good night.

mod course;
mod durations;
mod faults;
mod rate;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::{course::Course, durations::Durations, faults::Faults, rate::PooledRate};
use crate::{
    checks::{CheckResult, Quantile, Times},
    details::{self, Details, breakdown::Breakdowns, distribution::StageDistribution, example::Example},
    judge::reasons,
    observe::lag::PartitionLag,
    reasons::Reason,
    reconcile::evidence::{Counts, ExportFacts, Finding},
    record::{GeneratorFacts, RunFacts, RunRecord, SCHEMA, ScheduleFacts, StageFacts, StageTime},
    tamper::SelfTest,
    verdict::{Obstacle, Verdict, merge},
};

/// So many windows that did not pass are named.
const NAMED: usize = 20;
/// So many findings of each class, and so many examples in all, are kept.
const FINDINGS: usize = 5;
const EXAMPLES: usize = 20;
/// A named window tells so many reasons.
const REASONS: usize = 3;

/// How the windows are judged together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// How many windows there will be.
    pub windows: u64,
    /// How long one lasts, in seconds.
    pub window: f64,
    /// The confidence of every bound.
    pub confidence: f64,
    /// Whether the soak may end before its time: then rates pass by a sequential test over the windows, and by nothing else.
    pub may_stop_early: bool,
}

/// What became of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It counts.
    Judged,
    /// Assay's own end broke it off, so it does not count.
    BrokenOff,
    /// It proves nothing, and so the soak cannot pass.
    Void,
}

/// A window that did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotPassed {
    /// Which, from 1.
    pub number: u64,
    /// Its directory.
    pub directory: String,
    /// Its own verdict.
    pub verdict: Verdict,
    /// Why.
    pub reasons: Vec<String>,
}

/// All windows so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Soak {
    rules: Rules,
    /// How many windows count.
    pub judged: u64,
    /// How many were broken off and were sent again.
    pub broken_off: u64,
    /// How many forbid a pass.
    pub void: u64,
    /// The first of those that did not pass.
    pub not_passed: Vec<NotPassed>,
    more_not_passed: u64,
    rates: Vec<PooledRate>,
    others: Vec<CheckResult>,
    run: Option<RunFacts>,
    counts: Counts,
    generator: Option<GeneratorFacts>,
    self_test: Option<SelfTest>,
    durations: Durations,
    course: Course,
    findings: Vec<Finding>,
    examples: Vec<Example>,
    judged_columns: Vec<String>,
    differing_columns: BTreeMap<String, u64>,
    stages: Option<StageFacts>,
    #[serde(default)]
    stage_times: Vec<(String, Durations)>,
    #[serde(default)]
    faults: Faults,
    #[serde(default)]
    defects: Breakdowns,
    exports: Option<ExportFacts>,
    visible_within: Option<f64>,
    environment: Vec<(String, String)>,
}

impl Soak {
    /// A soak without any window.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            judged: 0,
            broken_off: 0,
            void: 0,
            not_passed: Vec::new(),
            more_not_passed: 0,
            rates: Vec::new(),
            others: Vec::new(),
            run: None,
            counts: Counts::default(),
            generator: None,
            self_test: None,
            durations: Durations::default(),
            course: Course::default(),
            findings: Vec::new(),
            examples: Vec::new(),
            judged_columns: Vec::new(),
            differing_columns: BTreeMap::new(),
            stages: None,
            stage_times: Vec::new(),
            faults: Faults::default(),
            defects: Breakdowns::default(),
            exports: None,
            visible_within: None,
            environment: Vec::new(),
        }
    }

    /// How the windows are judged together.
    pub const fn rules(&self) -> Rules {
        self.rules
    }

    /// Takes in a window, which was kept in `directory`.
    pub fn add(&mut self, window: &RunRecord, directory: &str) -> Standing {
        let obstacles: Vec<&String> = window.beside_checks().collect();
        let is_broken_off = |text: &&String| matches!(Reason::of(text), Some(Reason::Stopped | Reason::Killed));
        if window.verdict != Verdict::Fail && obstacles.iter().any(is_broken_off) {
            self.broken_off += 1;
            return Standing::BrokenOff;
        }
        // A check that fails in a run that does not: what stands in its way says that nothing in it can be believed.
        let proves_nothing =
            window.verdict == Verdict::Inconclusive && window.checks.iter().any(|check| check.verdict == Verdict::Fail);
        self.judged += 1;
        let number = self.judged + self.void;
        if window.verdict != Verdict::Pass {
            self.name(window, number, directory);
        }
        if !proves_nothing {
            self.count(window, number);
        }
        if obstacles.is_empty() {
            return Standing::Judged;
        }
        self.judged -= 1;
        self.void += 1;
        Standing::Void
    }

    /// Takes in that a window could not be made at all.
    pub fn add_failure(&mut self, why: &str) {
        self.void += 1;
        let number = self.judged + self.void;
        self.note(NotPassed {
            number,
            directory: String::new(),
            verdict: Verdict::Inconclusive,
            reasons: vec![why.to_owned()],
        });
    }

    /// Whether as many windows were made as are wanted.
    pub const fn is_over(&self) -> bool {
        self.judged + self.void >= self.rules.windows
    }

    /// Whether it may end early and has its answer.
    pub fn has_its_answer(&self) -> bool {
        self.rules.may_stop_early && !self.rates.is_empty() && self.rates.iter().all(PooledRate::is_decided)
    }

    fn name(&mut self, window: &RunRecord, number: u64, directory: &str) {
        self.note(NotPassed {
            number,
            directory: directory.to_owned(),
            verdict: window.verdict,
            reasons: window.reasons.iter().take(REASONS).cloned().collect(),
        });
    }

    fn note(&mut self, window: NotPassed) {
        if self.not_passed.len() < NAMED {
            self.not_passed.push(window);
        } else {
            self.more_not_passed += 1;
        }
    }

    fn count(&mut self, window: &RunRecord, number: u64) {
        for check in &window.checks {
            if check.upper.is_some() && check.target.is_some_and(|target| target > 0.0) {
                let place = self.rates.iter().position(|rate| rate.name == check.name);
                let place = place.unwrap_or_else(|| {
                    self.rates.push(PooledRate::new(check, self.rules.confidence));
                    self.rates.len() - 1
                });
                self.rates[place].add(check, number, &self.rules);
            } else {
                self.add_other(check);
            }
        }
        self.counts += window.counts;
        self.generator = Some(match self.generator.take() {
            Some(generator) => together(&generator, &window.generator),
            None => window.generator.clone(),
        });
        self.self_test = match (self.self_test.take(), &window.self_test) {
            (Some(one), Some(other)) => Some(one.and(other)),
            (one, other) => one.or_else(|| other.clone()),
        };
        self.run = Some(match self.run.take() {
            Some(run) => also(run, &window.run),
            None => RunFacts { id: None, seed: None, faults: Vec::new(), ..window.run.clone() },
        });
        for finding in &window.findings {
            if self.findings.iter().filter(|known| known.class == finding.class).count() < FINDINGS {
                self.findings.push(finding.clone());
            }
        }
        self.judged_columns.clone_from(&window.judged_columns);
        for (column, events) in &window.differing_columns {
            *self.differing_columns.entry(column.clone()).or_default() += events;
        }
        if let Some(stages) = &window.stages {
            let known = self.stages.get_or_insert_with(|| StageFacts {
                complete: true,
                // Quantiles of windows do not add up; they come from their distributions.
                times: Vec::new(),
                greatest_lag: None,
            });
            known.complete &= stages.complete;
            let messages = |lag: &Option<PartitionLag>| lag.as_ref().map(|lag| lag.messages);
            if messages(&stages.greatest_lag) > messages(&known.greatest_lag) {
                known.greatest_lag.clone_from(&stages.greatest_lag);
            }
        }
        if let Some(exports) = window.exports {
            *self.exports.get_or_insert(ExportFacts { caught_up: true, ..ExportFacts::default() }) += exports;
        }
        self.faults.add(&window.run.faults, number, self.course.windows() as f64 * self.rules.window);
        self.course.add(window);
        if let Some(details) = &window.details {
            self.durations.add(&details.time_to_visible);
            self.defects.add(&details.defects);
            for StageDistribution { stage, times } in &details.stages {
                match self.stage_times.iter_mut().find(|(known, _)| known == stage) {
                    Some((_, known)) => known.add(times),
                    None => {
                        let mut durations = Durations::default();
                        durations.add(times);
                        self.stage_times.push((stage.clone(), durations));
                    }
                }
            }
            self.visible_within = details.visible_within;
            self.environment.clone_from(&details.environment);
            let room = EXAMPLES.saturating_sub(self.examples.len());
            self.examples.extend(details.examples.iter().take(room).cloned());
        }
    }

    /// A check without a rate: the worst of the windows, its defects added up.
    fn add_other(&mut self, check: &CheckResult) {
        match self.others.iter_mut().find(|known| known.name == check.name) {
            Some(known) => {
                let verdict = known.verdict.max(check.verdict);
                if check.verdict > known.verdict {
                    known.reason.clone_from(&check.reason);
                }
                known.verdict = verdict;
                known.k += check.k;
                known.n += check.n;
                known.measured = known.measured.or(check.measured).map(|_| known.k as f64);
            }
            None => self.others.push(check.clone()),
        }
    }

    /// What all windows come to; `stands_in_the_way` is what else forbids a pass, such as that it is not over.
    pub fn record(&self, name: &str, stands_in_the_way: Option<String>) -> RunRecord {
        let mut obstacles: Vec<Obstacle> = stands_in_the_way.into_iter().map(Obstacle::Insufficient).collect();
        if self.void > 0 {
            let named: Vec<String> = self
                .not_passed
                .iter()
                .filter(|window| window.verdict != Verdict::Fail)
                .take(REASONS)
                .map(|window| format!("window {}: {}", window.number, window.reasons.join("; ")))
                .collect();
            let windows = if self.void == 1 { "window proves" } else { "windows prove" };
            let told = format!("{} {windows} nothing or too little: {}", self.void, named.join(" · "));
            obstacles.push(Obstacle::Insufficient(told));
        }
        let rates = self.rates.iter().map(|rate| rate.judge(&self.rules));
        let checks: Vec<CheckResult> = rates.chain(self.others.iter().cloned()).collect();
        let verdict = merge(checks.iter().map(|check| check.verdict), &obstacles);
        let mut reasons = reasons(&obstacles, &checks);
        let failed: Vec<&NotPassed> = self.not_passed.iter().filter(|window| window.verdict == Verdict::Fail).collect();
        if !failed.is_empty() {
            let named: Vec<String> =
                failed.iter().map(|window| format!("{} ({})", window.number, window.directory)).collect();
            reasons.push(format!("windows that failed by themselves: {}", named.join(", ")));
        }
        let run = self.run.clone().unwrap_or_else(|| nothing_run(self.rules.confidence));
        let mut environment = self.environment.clone();
        if self.faults.more() > 0 {
            let told = format!("{}, which each window's own report has", self.faults.more());
            environment.push(("Further faults".into(), told));
        }
        RunRecord {
            schema: SCHEMA,
            verdict,
            reasons,
            exit_code: verdict.exit_code(),
            run: RunFacts { scenario: name.to_owned(), faults: self.faults.first().to_vec(), ..run },
            generator: self.generator.clone().unwrap_or(NOTHING_SENT),
            counts: self.counts,
            stages: self.stages.clone().map(|stages| StageFacts { times: self.stage_facts(), ..stages }),
            exports: self.exports,
            self_test: self.self_test.clone(),
            checks,
            time_to_visible: self.times(),
            judged_columns: self.judged_columns.clone(),
            differing_columns: self.differing_columns.clone(),
            findings: self.findings.clone(),
            details: Some(Box::new(Details {
                schema: details::SCHEMA,
                visible_within: self.visible_within,
                timeline: self.course.facts(self.rules.window),
                time_to_visible: self.durations.distribution(),
                stages: self
                    .stage_times
                    .iter()
                    .map(|(stage, times)| StageDistribution { stage: stage.clone(), times: times.distribution() })
                    .collect(),
                defects: self.defects.clone(),
                examples: self.examples.clone(),
                environment,
                reproduce: Vec::new(),
            })),
        }
    }

    fn stage_facts(&self) -> Vec<StageTime> {
        let seconds = |quantile| match quantile {
            Some(Quantile::Seconds(seconds)) => Some(seconds),
            Some(Quantile::NotReached(_)) | None => None,
        };
        let fact = |(stage, times): &(String, Durations)| StageTime {
            stage: stage.clone(),
            n: times.n(),
            p50: seconds(times.quantile(0.5)),
            p99: seconds(times.quantile(0.99)),
        };
        self.stage_times.iter().map(fact).collect()
    }

    fn times(&self) -> Times {
        let at = |q| self.durations.quantile(q);
        Times {
            from: "intended".into(),
            n: self.durations.n(),
            unseen: self.durations.unseen(),
            p50: at(0.5),
            p50_lower: None,
            p50_upper: None,
            p90: at(0.9),
            p90_lower: None,
            p90_upper: None,
            p99: at(0.99),
            p99_lower: None,
            p99_upper: None,
            p999: at(0.999),
            p999_lower: None,
            p999_upper: None,
            max: at(1.0),
        }
    }
}

const NOTHING_SENT: GeneratorFacts = GeneratorFacts { planned: 0, sent: 0, requests: 0, retries: 0, schedule: None };

fn nothing_run(confidence: f64) -> RunFacts {
    RunFacts {
        id: None,
        scenario: String::new(),
        started_at: None,
        duration: 0.0,
        seed: None,
        environment: "unknown".into(),
        dialect: None,
        digest: None,
        confidence,
        planted_defects: Vec::new(),
        faults: Vec::new(),
        warnings: BTreeMap::new(),
        components: Vec::new(),
        recording: None,
    }
}

/// What two windows' generators have sent; the shares weighed by requests, of latenesses the greatest.
fn together(one: &GeneratorFacts, other: &GeneratorFacts) -> GeneratorFacts {
    let schedule = match (one.schedule, other.schedule) {
        (Some(first), Some(second)) => {
            let requests = (one.requests + other.requests).max(1) as f64;
            let on_schedule =
                first.on_schedule_share * one.requests as f64 + second.on_schedule_share * other.requests as f64;
            Some(ScheduleFacts {
                on_schedule_share: on_schedule / requests,
                tolerance: first.tolerance.max(second.tolerance),
                lateness_p99: first.lateness_p99.max(second.lateness_p99),
                lateness_max: first.lateness_max.max(second.lateness_max),
            })
        }
        (first, second) => first.or(second),
    };
    GeneratorFacts {
        planned: one.planned + other.planned,
        sent: one.sent + other.sent,
        requests: one.requests + other.requests,
        retries: one.retries + other.retries,
        schedule,
    }
}

/// The facts of the windows so far and of another one.
fn also(mut run: RunFacts, window: &RunFacts) -> RunFacts {
    run.duration += window.duration;
    for (warning, count) in &window.warnings {
        *run.warnings.entry(warning.clone()).or_default() += count;
    }
    for component in &window.components {
        match run.components.iter_mut().find(|known| known.name == component.name) {
            Some(known) => {
                known.cpu += component.cpu;
                known.peak_memory = known.peak_memory.max(component.peak_memory);
            }
            None => run.components.push(component.clone()),
        }
    }
    run
}

#[cfg(test)]
mod tests;
