//! `[capacity]` and `[[step]]`: a scenario that looks for the highest rate at which its promises hold.

use std::time::Duration;

use generators::schedule::{Arrival, Rate};
use testenv::environment::pipeline::MOST_INGESTERS;
use toml::de::DeValue;

use super::{
    Expect, PipelineSettings, Traffic,
    notation::{Expectable, memory, number, parse_share},
    pipeline::processors,
    reader::{Section, text, whole},
};

/// What is looked for, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Capacity {
    /// The lowest rate that is tried, all traffic together, in events a second.
    pub from: u64,
    /// The highest.
    pub to: u64,
    /// How far two neighbouring rates are apart, as a share of the lower one.
    pub resolution: f64,
    /// For how long the components are watched without traffic before, if at all.
    pub idle: Option<Duration>,
    /// The sizes of the pipeline that are compared; one at least.
    pub steps: Vec<Step>,
}

/// One size of the pipeline: what of `[pipeline]` is different in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What it is called.
    pub name: String,
    /// Its size: the N of the law of scaling.
    pub size: f64,
    /// The pipeline.
    pub pipeline: PipelineSettings,
}

/// Rates nearer to each other than this take more trials than they are worth.
const FINEST: f64 = 0.01;
/// A step is a doubling at most.
const COARSEST: f64 = 1.0;

/// The least size of a step.
pub(super) const LEAST_SIZE: f64 = 0.01;
/// The greatest.
pub(super) const GREATEST_SIZE: f64 = 1e6;

/// Reads `[capacity]` and `[[step]]`, if the scenario has them.
pub(super) fn capacity(
    root: &mut Section<'_>,
    pipeline: &PipelineSettings,
    traffic: &[Traffic],
    expect: &Expect,
) -> Option<Capacity> {
    let is_search = root.mentions("capacity");
    let mut section = root.section("capacity");
    let steps: Vec<Step> = root.sections("step").into_iter().map(|section| step(section, pipeline)).collect();
    if !is_search {
        if !steps.is_empty() {
            root.problem("step", "is for a scenario that looks for a capacity: add a [capacity] section");
        }
        if expect.linear.is_some() || expect.capacity.is_some() {
            root.problem("expect", "`linear` and `capacity` are for a scenario with a [capacity] section");
        }
        return None;
    }
    let from = section.required("from", per_second).unwrap_or(1);
    let to = section.required("to", per_second).unwrap_or(from);
    if to < from {
        section.problem("to", "must not be below `from`");
    }
    let resolution = section.optional("resolution", resolution).unwrap_or(0.1);
    let idle = section.optional("idle", Duration::parse).filter(|idle| !idle.is_zero());
    section.end();
    if expect.linear.is_some() && steps.len() < 2 {
        root.problem("expect", "`linear` compares steps: write two [[step]] tables at least");
    }
    let steps = if steps.is_empty() {
        vec![Step { name: "the pipeline".into(), size: 1.0, pipeline: *pipeline }]
    } else {
        steps
    };
    for traffic in traffic {
        if !matches!(traffic.arrival, Arrival::Constant { .. } | Arrival::Poisson { .. }) {
            root.problem("traffic", "a capacity is a rate: every `arrival` must be \"constant\" or \"poisson\"");
        }
        if traffic.replay.is_some() {
            root.problem("traffic", "a recording has rates of its own: it cannot be sent at others");
        }
    }
    if expect.targets.may_stop_early {
        root.problem("expect", "`may_stop_early` would end trials before their rate was tried: leave it out");
    }
    if let Some(needed) = too_few(from, traffic, expect) {
        root.problem(
            "capacity",
            &format!(
                "a trial at `from` sends too few events to prove the promises, which takes {needed}: let traffic last \
                 longer, raise `from`, or promise less, such as complete = \"99.9%\""
            ),
        );
    }
    Some(Capacity { from, to, resolution, idle, steps })
}

fn step(mut section: Section<'_>, base: &PipelineSettings) -> Step {
    let name = section.optional("name", text);
    let partitions = section.optional("partitions", whole(1..=256)).map(|partitions| partitions as u32);
    let ingesters = section.optional("ingesters", whole(1..=MOST_INGESTERS as u64)).map(|ingesters| ingesters as usize);
    let processors = section.optional("processors", processors);
    let memory = section.optional("memory", memory);
    let size = section.optional("size", size);
    // What grows is the size: the first of these that the step says.
    let grows = [
        ("ingesters", ingesters.map(|ingesters| ingesters as f64)),
        ("processors", processors),
        ("partitions", partitions.map(f64::from)),
    ];
    let grows = grows.into_iter().find_map(|(word, size)| Some((word, size?)));
    if grows.is_none() && size.is_none() && !section.has_problem() {
        section.problem(
            "size",
            "is missing: a step says what grows: `ingesters`, `processors`, `partitions` or its `size`",
        );
    }
    section.end();
    let size = size.or_else(|| grows.map(|(_, size)| size)).unwrap_or(1.0);
    let name = name.unwrap_or_else(|| format!("{} {size}", grows.map_or("size", |(word, _)| word)));
    let pipeline = PipelineSettings {
        partitions: partitions.unwrap_or(base.partitions),
        ingesters: ingesters.unwrap_or(base.ingesters),
        processors: processors.or(base.processors),
        memory: memory.or(base.memory),
        ..*base
    };
    Step { name, size, pipeline }
}

/// How many events it takes to prove the strictest promise without a defect, if a trial at `from` has fewer.
fn too_few(from: u64, traffic: &[Traffic], expect: &Expect) -> Option<u64> {
    let strictest = expect.targets.loss.min(expect.targets.correctness);
    let needed = ((1.0 - expect.targets.confidence).ln() / (-strictest).ln_1p()).ceil() as u64;
    let lasts = traffic.iter().map(|traffic| traffic.arrival.lasts(traffic.events).as_secs_f64()).fold(0.0, f64::max);
    (((from as f64) * lasts) < needed as f64).then_some(needed)
}

pub(super) fn per_second(value: &DeValue<'_>) -> Result<u64, String> {
    let rate = Rate::parse(value)?.per_second();
    if (1.0..=1e7).contains(&rate) { Ok(rate as u64) } else { Err("must lie from 1/s to 10000000/s".into()) }
}

fn resolution(value: &DeValue<'_>) -> Result<f64, String> {
    let share = parse_share(value)?;
    if (FINEST..=COARSEST).contains(&share) { Ok(share) } else { Err("must lie from 1% to 100%".into()) }
}

fn size(value: &DeValue<'_>) -> Result<f64, String> {
    number(value)
        .filter(|number| (LEAST_SIZE..=GREATEST_SIZE).contains(number))
        .ok_or_else(|| format!("must be a number from {LEAST_SIZE} to {GREATEST_SIZE}"))
}
