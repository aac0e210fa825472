//! The scenario file: what is run, in people's notation.
//!
//! Every key is read here, once; [`reader`] refuses all others and collects every problem with its line and key, and
//! [`notation`] reads rates, durations, shares and distributions. [`reference`] tells people and editors what there is. A scenario says what is sent, in what pipeline, and what
//! is expected; it becomes a [plan](crate::plan) when a run starts.

mod arrival;
mod capacity;
mod client;
mod digest;
mod exports;
pub mod extend;
mod fault;
pub mod notation;
mod pipeline;
pub mod plugin;
pub mod problem;
pub mod reader;
pub mod reference;
mod soak;
mod substitute;
mod traffic;

use std::{path::PathBuf, time::Duration};

use checkers::{
    checks::{Independence, Targets},
    judge::Allowances,
};
use generators::{
    random::Share,
    schedule::Arrival,
    workload::{Absence, Client, Compression, Disorder, Endpoint, Extras, Form, Pace, Persons, Restrictions},
};
use testenv::{
    containers::{images::Images, substitute::Substitutes},
    fault::{Action, Target},
    pipeline::defect::{CATALOGUE, DefectName, Stage},
};

pub use self::{
    capacity::{Capacity, Step},
    exports::ExportSettings,
    fault::Fault,
    pipeline::PipelineSettings,
    plugin::Plugin,
    soak::Soak,
    substitute::is_free,
};
use self::{
    extend::Source,
    notation::{Expectable, defect_rate, parse_share},
    problem::Problems,
    reader::{Section, choice, flag, text, whole},
};

/// A scenario, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name; names the folder of its runs.
    pub name: String,
    /// What it is for, in a line.
    pub description: String,
    /// The seed, where it is fixed.
    pub seed: Option<u64>,
    /// What is sent.
    pub traffic: Vec<Traffic>,
    /// The images of containers, where it says them.
    pub images: Images,
    /// The pipeline that it is sent through.
    pub pipeline: PipelineSettings,
    /// Other people's images in its places and beside it, and the topics that they need.
    pub substitutes: Substitutes,
    /// What teams let run over their events, in its order.
    pub plugins: Vec<Plugin>,
    /// How events are exported, where some of them export.
    pub exports: Option<ExportSettings>,
    /// What is broken in it on purpose.
    pub planted_defects: Vec<PlantedDefect>,
    /// What is done to it on purpose.
    pub faults: Vec<Fault>,
    /// What is expected.
    pub expect: Expect,
    /// The capacity that is looked for, if it is one run after the other that the scenario wants.
    pub capacity: Option<Capacity>,
    /// How long it goes on, window after window, if it is a soak.
    pub soak: Option<Soak>,
}

/// One kind of traffic.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// Its name.
    pub name: String,
    /// How many events.
    pub events: u64,
    /// When they arrive.
    pub arrival: Arrival,
    /// How many events a request holds, at least and at most.
    pub batch: (u64, u64),
    /// Where requests go.
    pub endpoint: Endpoint,
    /// Whether bodies are compressed.
    pub compression: Compression,
    /// Where a request's data stands.
    pub form: Form,
    /// Whether batches say that they are an import of old events.
    pub historical: bool,
    /// Which share of events, and of requests, says the same in another way.
    pub spelling: Share,
    /// Which share of requests names a compression that nobody knows.
    pub unknown_compression: Share,
    /// How many clients share the requests.
    pub clients: u64,
    /// Whom the events are about.
    pub persons: Persons,
    /// Which share of them an operator restricts, and how.
    pub restricted: Restrictions,
    /// What events are called, each with its weight; none means the usual names.
    pub names: Vec<(String, u64)>,
    /// How order and clocks are disturbed.
    pub disorder: Disorder,
    /// What events hold beside the ordinary.
    pub extras: Extras,
    /// The team that it is of, where it is not the usual one.
    pub team: Option<String>,
    /// Why every event is acked and none may appear, where that is so.
    pub absent: Option<Absence>,
    /// Its team drops events that happened longer than this before capture received them, in whole seconds.
    pub drop_events_older_than: Option<Duration>,
    /// The recording that it replays, if it does.
    pub replay: Option<Replay>,
    /// How its clients deliver.
    pub client: Client,
}

impl Traffic {
    /// The team that it is of.
    pub fn team(&self) -> &str {
        self.team.as_deref().unwrap_or(USUAL_TEAM)
    }
}

/// The team of traffic that says no other.
pub const USUAL_TEAM: &str = "main";

/// A recording, and how it is replayed.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// The recording.
    pub file: PathBuf,
    /// How fast.
    pub pace: Pace,
    /// How many events without a request go into one.
    pub batch: usize,
    /// How long it may take by its own times.
    pub longest: Duration,
}

/// A defect to be planted in the reference pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlantedDefect {
    /// Which.
    pub name: DefectName,
    /// In how many events.
    pub events: u64,
    /// The property that it concerns.
    pub property: Option<String>,
    /// How much of it there is, if not as much as the catalogue says.
    pub amount: Option<u64>,
}

/// What is expected, and when it is looked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expect {
    /// The promises.
    pub targets: Targets,
    /// What a run may fall short of.
    pub allowances: Allowances,
    /// How old an event must be to be lost.
    pub loss_after: Duration,
    /// The quiet time of settling.
    pub quiet: Duration,
    /// How long settling may take.
    pub settle_limit: Duration,
    /// The efficiency of the last step of a search, at least, against the first.
    pub linear: Option<f64>,
    /// The capacity of the last step of a search, at least, in events a second.
    pub capacity: Option<u64>,
}

/// A change from the command line: `KEY=VALUE`, where the key is a path such as `expect.loss_after` or
/// `traffic.app.events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The path.
    pub key: String,
    /// The value, as TOML or as a bare word.
    pub value: String,
}

impl Scenario {
    /// Reads the scenario in `source`, which is called `file` in errors and extends none.
    ///
    /// # Errors
    /// Every problem that there is, each with line, key and what to do.
    #[cfg(test)]
    pub fn read(file: &str, source: &str, overrides: &[Override]) -> Result<Self, Problems> {
        let source = Source { file: file.to_owned(), text: source.to_owned() };
        Self::read_extending(&source, overrides, |wanted, _| {
            Err(format!("`{wanted}` cannot be extended here: this text is no file of a folder"))
        })
    }

    /// Reads the scenario in `source` with `overrides` from the command line. `find` finds what it extends: it gets what is
    /// named, and the file that names it.
    ///
    /// # Errors
    /// Every problem that there is, each with line, key and what to do.
    pub fn read_extending(
        source: &Source,
        overrides: &[Override],
        find: impl Fn(&str, &str) -> Result<Source, String>,
    ) -> Result<Self, Problems> {
        let bases = extend::chain(source, find);
        reader::read_over(&source.file, &source.text, &bases, overrides, scenario)
    }

    /// What of it containers can do and child processes cannot, if there is something; `quotas` says why child processes cannot
    /// have quotas of so many processors' time here, if so, and is asked for the most that is wanted, where any is.
    pub fn needs_containers(&self, quotas: impl FnOnce(f64) -> Result<(), String>) -> Option<String> {
        let steps = self.capacity.iter().flat_map(|capacity| &capacity.steps);
        let pipelines: Vec<PipelineSettings> =
            std::iter::once(self.pipeline).chain(steps.map(|step| step.pipeline)).collect();
        // What may be drawn must be possible, whatever is.
        let fault = self.faults.iter().flat_map(|fault| &fault.actions).find(|action| action.needs_containers());
        let any = |is_limited: fn(&PipelineSettings) -> bool| pipelines.iter().any(is_limited);
        let limits = [
            ("memory", "memory", any(|pipeline| pipeline.memory.is_some())),
            ("Kafka and ClickHouse", "substrate", any(|pipeline| pipeline.substrate.is_some())),
            // A search judges the memory of child processes by what they have used; nobody else does.
            ("memory", "budget.memory", self.capacity.is_none() && self.pipeline.memory_budget().is_some()),
        ];
        let limit = limits.into_iter().find(|(.., is_limited)| *is_limited);
        let limit = limit.map(|(what, key, _)| format!("a limit on {what} (`pipeline.{key}`)"));
        let most = pipelines.iter().filter_map(|pipeline| pipeline.processors).reduce(f64::max);
        let no_quotas = most.and_then(|most| quotas(most).err());
        let processors = no_quotas.map(|why| format!("a limit on processors (`pipeline.processors`; {why})"));
        let substitute = self.substitutes.all().next();
        let substitute = substitute.map(|(what, substitute)| format!("the image {} for {what}", substitute.image));
        substitute
            .or(processors)
            .or(limit)
            .or_else(|| fault.map(|action| format!("a fault that is called `{}`", action.word())))
    }
}

fn scenario(mut root: Section<'_>) -> Scenario {
    let mut head = root.section("scenario");
    let name = head.required("name", |value| {
        let name = text(value)?;
        // It becomes a folder.
        let safe = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if name.is_empty() || !name.chars().all(safe) {
            return Err("a name is made of letters, digits, `-` and `_`, since a folder is named after it".into());
        }
        Ok(name)
    });
    let description = head.required("description", text);
    let seed = head.optional("seed", whole(0..=i64::MAX as u64));
    head.end();

    let mut traffic: Vec<Traffic> = root.sections("traffic").into_iter().map(traffic::traffic).collect();
    if traffic.iter().filter(|traffic| traffic.replay.is_some()).count() > 1 {
        root.problem("traffic", "only one traffic can replay a recording: put the recordings into one file");
    }
    if traffic.is_empty() {
        root.problem("traffic", "there is no traffic: add a [[traffic]] table");
    }
    let images = pipeline::images(root.section("images"));
    let mut section = root.section("pipeline");
    let substitutes = substitute::substitutes(&mut section, root.sections("component"));
    let settings = pipeline::settings(section);
    traffic::check_pipeline(&mut root, &traffic, &settings);
    if settings.imports_only {
        traffic::import_only(&mut root, &mut traffic);
    }
    let is_limited = traffic::check_age_limits(&mut root, &traffic, settings.dialect);
    let plugins = plugin::plugins(root.sections("plugin"), &traffic, settings.dialect);
    let has_exports = root.mentions("exports");
    let exports = exports::exports(root.section("exports"), has_exports, &plugins);
    let planned: u64 = traffic.iter().map(|traffic| traffic.events).sum();
    let planted_defects: Vec<PlantedDefect> =
        root.sections("planted_defect").into_iter().map(|section| planted_defect(section, planned)).collect();
    check_sink(&mut root, &planted_defects, settings.shards);
    if !is_limited && planted_defects.iter().any(|defect| defect.name == DefectName::KeepTooOld) {
        root.problem("planted_defect", "`keep_too_old` needs traffic whose team has a `drop_events_older_than`");
    }
    for defect in &planted_defects {
        let (wanted, what): (fn(&plugin::Action) -> bool, _) = match defect.name {
            DefectName::PluginThrowDrops => (|action| matches!(action, plugin::Action::Throw(_)), "throw"),
            DefectName::PluginLeaksState => (|action| matches!(action, plugin::Action::Set(..)), "set"),
            name if name.defect().stage == Stage::Exporter => (|action| *action == plugin::Action::Export, "export"),
            _ => continue,
        };
        if !plugins.iter().any(|plugin| wanted(&plugin.action)) {
            let word = defect.name.defect().word;
            root.problem("planted_defect", &format!("`{word}` needs a [[plugin]] whose action is \"{what}\""));
        }
    }
    let refused = exports.is_none_or(|exports| exports.fail.get() == 0.0);
    if refused && planted_defects.iter().any(|defect| defect.name == DefectName::DropFailedExport) {
        root.problem(
            "planted_defect",
            "`drop_failed_export` needs a webhook that fails: say `fail = \"5%\"` in [exports]",
        );
    }
    let faults = fault::faults(root.sections("fault"), settings.ingesters, &substitutes.further);
    if exports.is_none() && faults.iter().any(|fault| fault.targets.contains(&Target::Exporter)) {
        root.problem("fault", "there is no exporter unless a [[plugin]] has `action = \"export\"`");
    }
    let expect = expect(root.section("expect"), settings.flush_interval, exports.is_some());
    let capacity = capacity::capacity(&mut root, &settings, &traffic, &expect);
    check_budget(&mut root, &settings, capacity.as_ref(), (&faults, exports.is_some()));
    if capacity.is_some() && !(planted_defects.is_empty() && faults.is_empty()) {
        root.problem("capacity", "is that of a sound pipeline: leave out [[planted_defect]] and [[fault]]");
    }
    let soak = soak::soak(&mut root, &traffic);
    if soak.is_some() && capacity.is_some() {
        root.problem("soak", "goes on at one rate, and [capacity] looks for one: leave one of them out");
    }
    root.end();
    Scenario {
        name: name.unwrap_or_default(),
        description: description.unwrap_or_default(),
        seed,
        traffic,
        images,
        pipeline: settings,
        substitutes,
        plugins,
        exports,
        planted_defects,
        faults,
        expect,
        capacity,
        soak,
    }
}

/// Defects of the sink are planted in the view that fills the one table of events.
fn check_sink(root: &mut Section<'_>, planted_defects: &[PlantedDefect], shards: u8) {
    let of_sink = planted_defects.iter().filter(|defect| defect.name.defect().stage == Stage::Sink).count();
    if of_sink > 1 {
        root.problem(
            "planted_defect",
            "only one defect of the sink can be planted at a time: there is one view to change",
        );
    }
    if of_sink > 0 && shards > 1 {
        root.problem(
            "planted_defect",
            "a defect of the sink is planted where one server has the events: leave out `pipeline.shards`",
        );
    }
}

/// Whether every component, at every size, gets a share of the budget's memory that a container can have.
fn check_budget(
    root: &mut Section<'_>,
    settings: &PipelineSettings,
    capacity: Option<&Capacity>,
    (faults, exports): (&[Fault], bool),
) {
    let sizes = capacity.into_iter().flat_map(|capacity| &capacity.steps).map(|step| &step.pipeline);
    let too_small = std::iter::once(settings).chain(sizes).find_map(|size| size.too_small_a_share(exports));
    if let Some(problem) = too_small {
        root.problem("pipeline", &problem);
    }
    if settings.memory_budget().is_some() && faults.iter().any(|fault| fault.actions.contains(&Action::Rebalance)) {
        root.problem(
            "pipeline",
            "`budget.memory` has no share for the ingester that joins with the fault `rebalance`: leave one of them out",
        );
    }
}

/// ClickHouse reads statements of up to 256 KiB.
const MOST_TOLD: u64 = 5_000;

fn planted_defect(mut section: Section<'_>, planned: u64) -> PlantedDefect {
    let names = CATALOGUE.map(|defect| (defect.word, defect.name));
    let name = section.required("name", choice(&names)).unwrap_or(DefectName::AckThenDrop);
    let events = section.required("events", whole(1..=planned.max(1))).unwrap_or(1);
    if name.defect().is_told_its_events() && events > MOST_TOLD {
        section.problem("events", &format!("must be at most {MOST_TOLD}: their uuids stand in one statement of SQL"));
    }
    let property = section.optional("property", text);
    if (name == DefectName::DropProperty) != property.is_some() && !section.has_problem() {
        section.problem("property", "names the property to drop: needed for `drop_property`, and for nothing else");
    }
    let amount = name.defect().amount().and_then(|amount| section.optional(amount.key, whole(1..=1 << 32)));
    section.end();
    PlantedDefect { name, events, property, amount }
}

fn expect(mut section: Section<'_>, flush_interval: Duration, exports: bool) -> Expect {
    // People say what must hold; inside, rates are those of defects.
    let promise = |value: &toml::de::DeValue<'_>| parse_share(value).map(defect_rate);
    let allowed = Allowances::default();
    let targets = Targets {
        loss: section.optional("complete", promise).unwrap_or(1e-4),
        correctness: section.optional("correct", promise).unwrap_or(1e-4),
        exported: section.optional("exported", promise).unwrap_or(1e-4),
        confidence: section.optional("confidence", parse_share).unwrap_or(0.95),
        independence: section.optional("independence", Independence::parse).unwrap_or_default(),
        p99_time_to_visible: {
            let mut times = section.section("time_to_visible");
            let p99 = times.optional("p99", Duration::parse);
            times.end();
            p99
        },
        may_stop_early: section.optional("may_stop_early", flag).unwrap_or_default(),
    };
    if !(0.5..1.0).contains(&targets.confidence) {
        section.problem("confidence", "must lie from 50% to below 100%");
    }
    if section.mentions("exported") && !exports {
        section.problem("exported", "needs a [[plugin]] with `action = \"export\"`: nothing is exported");
    }
    if targets.may_stop_early && exports {
        section.problem(
            "may_stop_early",
            "stops by what the store shows, and what was exported is known at the end only: leave it out where plugins export",
        );
    }
    let allowances = Allowances {
        tolerance: section.optional("late_after", Duration::parse).unwrap_or(allowed.tolerance),
        late: section.optional("late", parse_share).unwrap_or(allowed.late),
        rejected: section.optional("rejected", parse_share).unwrap_or(allowed.rejected),
        indeterminate: section.optional("indeterminate", parse_share).unwrap_or(allowed.indeterminate),
        unsent: allowed.unsent,
    };
    let loss_after = section.optional("loss_after", Duration::parse).unwrap_or(Duration::from_mins(1));
    let quiet = section.optional("quiet", Duration::parse).unwrap_or(Duration::from_secs(10));
    if quiet < flush_interval * 4 {
        section.problem(
            "quiet",
            "must be at least four times `pipeline.flush_interval`, or settling would end between two flushes",
        );
    }
    let settle_limit = section.optional("settle_limit", Duration::parse).unwrap_or(loss_after + quiet * 3);
    let linear = section.optional("linear", parse_share);
    let capacity = section.optional("capacity", capacity::per_second);
    section.end();
    Expect { targets, allowances, loss_after, quiet, settle_limit, linear, capacity }
}

#[cfg(test)]
mod tests;
