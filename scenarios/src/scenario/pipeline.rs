//! `[pipeline]` and `[images]`: what the pipeline is made of.

use std::{fmt, time::Duration};

use checkers::oracle::dialect::Dialect;
use testenv::{
    containers::{
        container::Limits,
        images::{Image, Images, Part},
    },
    environment::{
        budget::{Budget, own_components},
        pipeline::MOST_INGESTERS,
        tables::MOST_SHARDS,
    },
};
use toml::de::DeValue;

use super::{
    notation::{Expectable, LEAST_MEMORY, memory, number},
    reader::{Section, choice, flag, text, whole},
};

/// Settings of the reference pipeline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PipelineSettings {
    /// After how long ClickHouse's Kafka engine flushes what it has read.
    pub flush_interval: Duration,
    /// How many partitions each topic has.
    pub partitions: u32,
    /// How many ingesters share them.
    pub ingesters: usize,
    /// On how many shards the events are, behind a Distributed table where there are several.
    pub shards: u8,
    /// Which generation of PostHog's rules it follows.
    pub dialect: Dialect,
    /// How often capture takes events of one person onto the main topic, if it counts: events a second, and at once.
    pub overflow: Option<(u32, u32)>,
    /// Whether what is more keeps its key.
    pub preserves_locality: bool,
    /// Whether capture takes imports of old events and nothing else.
    pub imports_only: bool,
    /// Whether capture has a store for contents that come in parts of their own.
    pub blob_store: bool,
    /// From how many days of age on capture sends events where imports go, if it does.
    pub historical_from_days: Option<u32>,
    /// How many requests a second a project may make, and how many at once, if that is limited.
    pub rate_limit: Option<(u32, u32)>,
    /// How long a plugin may take for an event.
    pub plugin_time_out: Duration,
    /// How many processors each component may use, in parts of one if need be; Kafka and ClickHouse are apart.
    pub processors: Option<f64>,
    /// How much memory each component may use, in bytes; Kafka and ClickHouse are apart.
    pub memory: Option<u64>,
    /// What capture, ingesters and exporter may use together.
    pub budget: Option<Budget>,
    /// What Kafka and ClickHouse may use, each.
    pub substrate: Option<Limits>,
    /// Which of [`OF_REFERENCE`] the scenario says itself.
    pub said: Said,
}

impl PipelineSettings {
    /// How much memory its own components may use together, in bytes.
    pub fn memory_budget(&self) -> Option<u64> {
        self.budget.and_then(|budget| budget.memory)
    }

    /// What is wrong with its budget if a component's share of the memory is less than a container can have.
    pub(super) fn too_small_a_share(&self, exports: bool) -> Option<String> {
        let components = own_components(self.ingesters, exports);
        let share = self.budget?.memory_of_each(components)?;
        (share < LEAST_MEMORY).then(|| {
            let least = LEAST_MEMORY >> 20;
            format!("`budget.memory` leaves each of {components} components less than {least}MiB, and no container starts with that")
        })
    }
}

/// The settings that mean something for the reference pipeline alone and have a value where nobody says one.
pub const OF_REFERENCE: [&str; 4] = ["flush_interval", "partitions", "ingesters", "plugin_time_out"];

/// Which of [`OF_REFERENCE`] a scenario says itself. It changes nothing of a run on the reference pipeline.
#[derive(Clone, Copy)]
pub struct Said([bool; OF_REFERENCE.len()]);

impl Said {
    /// Whether it says `key`.
    pub fn has(self, key: &str) -> bool {
        OF_REFERENCE.iter().zip(self.0).any(|(word, said)| said && *word == key)
    }
}

// Whoever says what holds anyway says the same.
impl PartialEq for Said {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Said {}

impl fmt::Debug for Said {
    /// A scenario's digest is made of this.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Said")
    }
}

/// The words for dialects.
pub(super) const DIALECTS: [(&str, Dialect); 3] =
    [("2021", Dialect::V2021), ("2024", Dialect::V2024), ("2026", Dialect::V2026)];

/// The words for what capture is there for, and whether that is imports only.
pub(super) const MODES: [(&str, bool); 2] = [("events", false), ("import", true)];

/// Reads `[pipeline]`.
pub(super) fn settings(mut section: Section<'_>) -> PipelineSettings {
    let overflow = section.mentions("overflow").then(|| overflow(section.section("overflow")));
    let settings = PipelineSettings {
        said: Said(OF_REFERENCE.map(|key| section.mentions(key))),
        flush_interval: section.optional("flush_interval", Duration::parse).unwrap_or(Duration::from_millis(500)),
        partitions: section.optional("partitions", whole(1..=256)).unwrap_or(4) as u32,
        ingesters: section.optional("ingesters", whole(1..=MOST_INGESTERS as u64)).unwrap_or(1) as usize,
        shards: section.optional("shards", whole(1..=u64::from(MOST_SHARDS))).unwrap_or(1) as u8,
        dialect: section.optional("dialect", choice(&DIALECTS)).unwrap_or_default(),
        overflow: overflow.map(|(limits, _)| limits),
        preserves_locality: overflow.is_some_and(|(_, preserves_locality)| preserves_locality),
        imports_only: section.optional("capture_mode", choice(&MODES)).unwrap_or_default(),
        blob_store: section.optional("blob_store", flag).unwrap_or_default(),
        historical_from_days: section.optional("historical_from_days", whole(1..=36_500)).map(|days| days as u32),
        rate_limit: section.mentions("rate_limit").then(|| rate(section.section("rate_limit"))),
        plugin_time_out: section.optional("plugin_time_out", Duration::parse).unwrap_or(Duration::from_secs(30)),
        processors: section.optional("processors", processors),
        memory: section.optional("memory", memory),
        budget: budget(&mut section),
        substrate: substrate(&mut section),
    };
    if settings.flush_interval.is_zero() {
        section.problem("flush_interval", "must be longer than nothing");
    }
    if settings.overflow.is_some() && settings.dialect == Dialect::V2021 {
        section.problem("overflow", "came with the capture of 2024: leave it out, or choose a later `dialect`");
    }
    if settings.preserves_locality && settings.dialect != Dialect::V2026 {
        section.problem("overflow", "`preserve_locality` came later: leave it out, or choose the `dialect` 2026");
    }
    if settings.historical_from_days.is_some() && settings.dialect != Dialect::V2026 {
        section.problem("historical_from_days", "came later: leave it out, or choose the `dialect` 2026");
    }
    if settings.imports_only && settings.dialect != Dialect::V2026 {
        section.problem("capture_mode", "came later: leave it out, or choose the `dialect` 2026");
    }
    if settings.blob_store && settings.dialect != Dialect::V2026 {
        section.problem("blob_store", "came later: leave it out, or choose the `dialect` 2026");
    }
    section.end();
    settings
}

/// Reads `budget`.
fn budget(section: &mut Section<'_>) -> Option<Budget> {
    let is_there = section.mentions("budget");
    let mut section = section.section("budget");
    let budget = Budget {
        processors: section.optional("processors", whole(1..=1_024)).map(|processors| processors as usize),
        memory: section.optional("memory", memory),
    };
    section.end();
    is_there.then_some(budget)
}

/// Reads `overflow`: a limit, and whether what is more keeps its key.
fn overflow(mut section: Section<'_>) -> ((u32, u32), bool) {
    let preserves_locality = section.optional("preserve_locality", flag).unwrap_or_default();
    (rate(section), preserves_locality)
}

/// Reads `substrate`.
fn substrate(section: &mut Section<'_>) -> Option<Limits> {
    let is_there = section.mentions("substrate");
    let mut section = section.section("substrate");
    let limits =
        Limits { processors: section.optional("processors", processors), memory: section.optional("memory", memory) };
    section.end();
    is_there.then_some(limits)
}

/// Reads a limit: so many a second, and so many at once.
fn rate(mut section: Section<'_>) -> (u32, u32) {
    let per_second = section.required("per_second", whole(1..=1_000_000)).unwrap_or(1) as u32;
    let burst = section.required("burst", whole(1..=1_000_000)).unwrap_or(1) as u32;
    section.end();
    (per_second, burst)
}

/// Reads `[images]`.
pub(super) fn images(mut section: Section<'_>) -> Images {
    let mut images = Images::default();
    for (word, part) in Part::ALL {
        let read = |value: &DeValue<'_>| Image::try_from(text(value)?).map_err(|error| error.to_string());
        if let Some(image) = section.optional(word, read) {
            images.set(part, image);
        }
    }
    section.end();
    images
}

/// From this many processors on; Docker counts in hundredths of one.
pub(super) const LEAST_PROCESSORS: f64 = 0.01;
/// To this many.
pub(super) const MOST_PROCESSORS: f64 = 1_024.0;

/// Reads `0.5` or `2` processors.
pub(super) fn processors(value: &DeValue<'_>) -> Result<f64, String> {
    number(value)
        .filter(|number| (LEAST_PROCESSORS..=MOST_PROCESSORS).contains(number))
        .ok_or_else(|| format!("must be a number from {LEAST_PROCESSORS} to {MOST_PROCESSORS}"))
}
