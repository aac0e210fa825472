//! The environment of a run: a substrate of its own, or a shared one, and its own pipeline on it; or somebody else's pipeline.

use std::{collections::BTreeSet, path::Path};

use checkers::{oracle::dialect::Dialect, reasons::Reason, record::ComponentFacts, verdict::Obstacle};
use generators::{identity::RunId, workload::Endpoint};
use reports::{limits::LimitFacts, progress::Progress};
use testenv::{
    containers::{container::Limits, docker::Docker},
    embedded::children::Guard,
    environment::{
        ComponentEnded, EnvironmentError,
        budget::is_own,
        component::Component,
        exporting::ExportOptions,
        in_force::InForce,
        launcher::Launcher,
        parts::Parts,
        pipeline::{Pipeline, PipelineOptions},
        substrate::Substrate,
        usage::Usage,
    },
    fault::{Action, Kind::Link, PlannedFault, Target},
    pipeline::{
        capture::{buckets::RateLimits, routes::Modes},
        dialect::Dialect as SubjectDialect,
    },
};

use super::{
    Request,
    access::Access,
    distributed::through_distributed,
    faults::Reach,
    preflight, unavailable,
    wanted::{Shared, SharedContainers, SubstrateSettings, Wanted, executable},
};
use crate::{
    external::{Commands, ExternalFacts, Reached, reach},
    failure::{Failure, Kind},
    plan, plugins,
    run_directory::RunDirectory,
    scenario::PipelineSettings,
};

/// A running environment.
#[derive(Debug)]
pub struct Environment {
    access: Access,
    place: Place,
}

/// Who has started it.
#[derive(Debug)]
enum Place {
    /// The run.
    Own(Box<Own>),
    /// Somebody else.
    Elsewhere(Box<Elsewhere>),
}

/// What the run has started.
#[derive(Debug)]
struct Own {
    substrate: Option<Substrate>,
    launcher: Launcher,
    pipeline: Pipeline,
    parts: Parts,
}

/// What somebody else has started.
#[derive(Debug)]
struct Elsewhere {
    commands: Commands,
    clickhouse: String,
    facts: ExternalFacts,
}

impl Environment {
    /// Starts or reaches what `request` wants, such that `faults` can be done to it.
    pub(super) async fn up(
        request: &Request,
        faults: &[PlannedFault],
        directory: &RunDirectory,
        run: RunId,
        progress: &Progress,
    ) -> Result<Self, Failure> {
        let Wanted::External(external) = &request.environment else {
            let own = Box::pin(Own::up(request, faults, directory, run, progress)).await?;
            let access = match Box::pin(to_own(&own, request, run)).await {
                Ok(access) => access,
                Err(failure) => {
                    // What made it fail is what matters.
                    let _ = Box::pin(own.down()).await;
                    return Err(failure);
                }
            };
            return Ok(Self { access, place: Place::Own(Box::new(own)) });
        };
        progress.now("reaching the pipeline".into());
        let reached = Box::pin(reach(external, run)).await?;
        for line in &reached.weaker {
            progress.step(&format!("note: {line}"));
        }
        let access = Access::to_external(external, &reached);
        let commands = Commands::new(external, directory.logs().join("fault-commands.log"));
        let Reached { clickhouse, facts, .. } = reached;
        Ok(Self { access, place: Place::Elsewhere(Box::new(Elsewhere { commands, clickhouse, facts })) })
    }

    /// Where to send to and to read from.
    pub(super) const fn access(&self) -> &Access {
        &self.access
    }

    /// Makes sure that both ends answer; returns ClickHouse's version. Of somebody else's pipeline that was made sure when it
    /// was reached.
    pub(super) async fn check(&self) -> Result<String, Failure> {
        match &self.place {
            Place::Own(own) => preflight::check(own.pipeline.endpoints(), &self.access.store).await,
            Place::Elsewhere(elsewhere) => Ok(elsewhere.clickhouse.clone()),
        }
    }

    /// The table of the pipeline's own warnings, where it is known.
    pub(super) fn warnings_table(&self) -> Option<&str> {
        match &self.place {
            Place::Own(own) => own.pipeline.endpoints().clickhouse.warnings_table.as_deref(),
            Place::Elsewhere(_) => None,
        }
    }

    /// What is kept of somebody else's pipeline.
    pub(super) fn external(&self) -> Option<&ExternalFacts> {
        match &self.place {
            Place::Own(_) => None,
            Place::Elsewhere(elsewhere) => Some(&elsewhere.facts),
        }
    }

    /// What faults can act on.
    pub(super) fn reach(&self) -> Reach {
        match &self.place {
            Place::Own(own) => Reach::Parts(own.parts.clone()),
            Place::Elsewhere(elsewhere) => Reach::Commands(elsewhere.commands.clone()),
        }
    }

    /// What each of the run's own components has used so far, and Assay itself.
    pub(super) fn usage(&self) -> Vec<(&'static str, Usage)> {
        let mut used = match &self.place {
            Place::Own(own) => own.usage(),
            Place::Elsewhere(_) => Vec::new(),
        };
        used.push(("assay", Usage::of(std::process::id())));
        used
    }

    /// What each has used since it had used what `before` says.
    pub(super) fn used_since(&self, before: &[(&'static str, Usage)]) -> Vec<ComponentFacts> {
        let now = self.usage().into_iter();
        now.map(|(name, used)| {
            let earlier = before.iter().find(|(other, _)| *other == name).map(|(_, used)| used.cpu).unwrap_or_default();
            let cpu = used.cpu.saturating_sub(earlier).as_secs_f64();
            ComponentFacts { name: name.into(), cpu, peak_memory: used.peak_memory }
        })
        .collect()
    }

    /// The limits in force on the components that the run has started, of those that have any.
    pub(super) fn limits(&self) -> Vec<LimitFacts> {
        match &self.place {
            Place::Own(own) => own.components().map(limits_of).filter(LimitFacts::is_any).collect(),
            Place::Elsewhere(_) => Vec::new(),
        }
    }

    /// Resolves when a component ends although it is meant to run, which none does by itself. Of somebody else's pipeline
    /// nobody knows.
    pub async fn failed(&self) -> ComponentEnded {
        match &self.place {
            Place::Own(own) => own.failed().await,
            Place::Elsewhere(_) => std::future::pending().await,
        }
    }

    /// Ends everything that the run has started; from a shared substrate its tables and topics are removed.
    pub(super) async fn down(self) -> Result<(), EnvironmentError> {
        match self.place {
            Place::Own(own) => own.down().await,
            Place::Elsewhere(_) => Ok(()),
        }
    }
}

impl Own {
    async fn up(
        request: &Request,
        faults: &[PlannedFault],
        directory: &RunDirectory,
        run: RunId,
        progress: &Progress,
    ) -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("assay-{run}"));
        let settings = &request.scenario.pipeline;
        let limits = Limits { processors: settings.processors, memory: settings.memory };
        let targets: BTreeSet<Target> = faults.iter().map(|fault| fault.target).collect();
        let linked = |shared| {
            let links = targets.iter().filter(|target| target.kind() == Link && target.is_shared() == shared);
            links.copied().collect()
        };
        let (substrate, launcher, addresses) = match &request.environment {
            Wanted::External(_) => {
                return Err(Failure::told(Kind::Internal, "an external pipeline is not started", ""));
            }
            Wanted::Own(own) => {
                let (name, logs) = (format!("r{run}"), directory.logs());
                let filled = faults.iter().filter(|fault| fault.action == Action::FillDisk);
                let of_substrate = SubstrateSettings {
                    name,
                    folder: &folder,
                    logs: &logs,
                    linked: linked(true),
                    disks: filled.map(|fault| fault.target).collect(),
                    limits: settings.substrate.unwrap_or_default(),
                };
                let substrate = own.start(of_substrate, progress).await?;
                let (launcher, addresses) = (substrate.launcher().clone(), substrate.addresses().clone());
                (Some(substrate), launcher, addresses)
            }
            Wanted::Shared(shared) => {
                may_share(&targets, settings)?;
                (None, joined(shared, &folder, run, progress).await?, shared.addresses.clone())
            }
        };
        progress.now("starting the reference pipeline".into());
        // Whom it concerns is drawn.
        let seed = request.scenario.seed.unwrap_or_default();
        let (restrictions, forced_keys) = plan::restrictions(&request.scenario, run, seed);
        let options = PipelineOptions {
            run: format!("r{run}"),
            teams: plan::teams(&request.scenario, run),
            age_limits: plan::age_limits(&request.scenario),
            capture_modes: Modes::new(
                settings.imports_only,
                request.scenario.traffic.iter().any(|traffic| traffic.endpoint == Endpoint::Recordings),
            ),
            historical_from_days: settings.historical_from_days,
            blob_store: settings.blob_store,
            rate_limit: settings.rate_limit.map(rate_limits),
            over_quota: vec![plan::over_quota_token(run)],
            flush_interval: settings.flush_interval,
            partitions: settings.partitions,
            shards: settings.shards,
            ingesters: settings.ingesters,
            drop_list: vec![plan::drop_listed_token(run)],
            restrictions,
            forced_keys,
            dialect: match settings.dialect {
                // The scenario says the word once, for both readings of it.
                Dialect::V2021 => SubjectDialect::V2021,
                Dialect::V2024 => SubjectDialect::V2024,
                Dialect::V2026 => SubjectDialect::V2026,
            },
            substitutes: request.scenario.substitutes.clone(),
            planted_defects: plan::planted_defects(&request.scenario, run),
            overflow: settings.overflow.map(rate_limits),
            preserves_locality: settings.preserves_locality,
            plugins: plugins::subject(&request.scenario),
            exports: request.scenario.exports.map(|exports| ExportOptions {
                seed,
                fails_of_a_million: (exports.fail.get() * 1e6).round() as u32,
                back_off: exports.back_off,
            }),
            plugin_time_out: settings.plugin_time_out,
            linked: linked(false),
            limits,
            budget: settings.budget.unwrap_or_default(),
            folder,
            logs: directory.logs(),
        };
        let tell = |line: &str| progress.step(line);
        let started = async {
            launcher.have_images(options.substitutes.all(), &tell).await?;
            Pipeline::up(&launcher, &addresses, &options).await
        };
        match started.await {
            Ok(pipeline) => {
                let parts = Parts::of(&pipeline, substrate.as_ref());
                Ok(Self { substrate, launcher, pipeline, parts })
            }
            Err(error) => {
                launcher.guard().clone().end().await;
                Err(unavailable(error))
            }
        }
    }

    fn components(&self) -> impl Iterator<Item = &Component> {
        let shared = self.substrate.as_ref().map_or(&[][..], Substrate::components);
        self.pipeline.components().iter().chain(shared)
    }

    fn usage(&self) -> Vec<(&'static str, Usage)> {
        let lasting = self.components().map(|component| (component.name(), component.usage()));
        lasting.chain(self.parts.guests_usage()).collect()
    }

    async fn failed(&self) -> ComponentEnded {
        match &self.substrate {
            Some(substrate) => tokio::select! {
                ended = substrate.failed() => ended,
                ended = self.pipeline.failed() => ended,
            },
            None => self.pipeline.failed().await,
        }
    }

    async fn down(self) -> Result<(), EnvironmentError> {
        let result = match &self.substrate {
            // Its data goes with it; nobody shall ask it any more.
            Some(_) => {
                drop(self.pipeline);
                Ok(())
            }
            None => self.pipeline.down().await,
        };
        self.launcher.guard().clone().end().await;
        result
    }
}

/// Where to send to and to read from, of a pipeline that the run has started.
async fn to_own(own: &Own, request: &Request, run: RunId) -> Result<Access, Failure> {
    let mut access = Access::to_own(own.pipeline.endpoints());
    if request.scenario.pipeline.shards > 1 {
        access.store = through_distributed(access.store, run).await?;
    }
    Ok(access)
}

/// Refuses what would be done to Kafka and ClickHouse where they are not the run's own.
fn may_share(targets: &BTreeSet<Target>, settings: &PipelineSettings) -> Result<(), Failure> {
    let fault = targets.iter().find(|target| target.is_shared()).map(|target| {
        format!("a fault is planned for {target}, which other runs on the shared substrate need as well")
    });
    let limits = settings.substrate.map(|_| {
        "`pipeline.substrate` limits Kafka and ClickHouse, which other runs on the shared substrate need as well"
            .to_owned()
    });
    match fault.or(limits) {
        Some(what) => {
            Err(Failure::told(Kind::Usage, what, "leave out --env, so that the run has a substrate of its own"))
        }
        None => Ok(()),
    }
}

/// What stands in the way of a verdict once a component has ended although it is meant to run.
pub fn unplanned(ended: &ComponentEnded) -> Obstacle {
    let is_limit = ended.out_of_memory && is_own(&ended.name);
    let reason = if is_limit { Reason::OutOfMemory } else { Reason::EnvironmentFailed };
    Obstacle::Invalid(format!("{}: {ended}", reason.words()))
}

fn limits_of(component: &Component) -> LimitFacts {
    let InForce { only_on, processors, memory } = component.in_force();
    LimitFacts { component: component.name().into(), only_on, processors, memory }
}

const fn rate_limits((per_second, burst): (u32, u32)) -> RateLimits {
    RateLimits { per_second, burst }
}

fn own_guard(folder: &Path) -> Result<Guard, Failure> {
    std::fs::create_dir_all(folder).map_err(|error| {
        Failure::caused(
            Kind::Unavailable,
            format!("the data folder {} cannot be made", folder.display()),
            "make room on the disk, or name another folder in TMPDIR",
            error,
        )
    })?;
    let guard = Guard::start(&executable()?).map_err(unavailable)?;
    guard.delete_at_end(folder).map_err(unavailable)?;
    Ok(guard)
}

/// What a run's own pipeline on a shared substrate is started on.
async fn joined(shared: &Shared, folder: &Path, run: RunId, progress: &Progress) -> Result<Launcher, Failure> {
    let guard = own_guard(folder)?;
    let Some(SharedContainers { network, images }) = &shared.containers else { return Ok(Launcher::Processes(guard)) };
    let tell = |line: &str| progress.step(line);
    let docker = Docker::open(guard, &format!("r{run}"), Some(network), images, executable()?, &tell).await;
    Ok(Launcher::Containers(docker.map_err(unavailable)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_runs_share_is_neither_disturbed_nor_limited() {
        let smoke = crate::library::read("smoke", &[]).unwrap().pipeline;
        let limited = PipelineSettings { substrate: Some(Limits::default()), ..smoke };
        let refused = |target, settings| may_share(&[target].into(), settings).map_err(|failure| failure.line());
        assert_eq!(refused(Target::Ingester, &smoke), Ok(()));
        assert!(refused(Target::Kafka, &smoke).unwrap_err().contains("a fault is planned for kafka"));
        assert!(refused(Target::Ingester, &limited).unwrap_err().contains("`pipeline.substrate`"));
    }

    #[test]
    fn a_limit_of_the_pipelines_is_another_reason_than_a_failure_of_what_is_beside_it() {
        let reason = |name: &str, out_of_memory| {
            let ended = ComponentEnded {
                name: name.into(),
                how: "signal 9".into(),
                out_of_memory,
                log: "x.log".into(),
                last_lines: String::new(),
            };
            let Obstacle::Invalid(told) = unplanned(&ended) else { panic!("it proves nothing") };
            assert!(told.contains(&format!("{name} ended by itself")), "{told}");
            Reason::of(&told)
        };
        assert_eq!(reason("ingester-2", true), Some(Reason::OutOfMemory));
        assert_eq!(reason("ingester-2", false), Some(Reason::EnvironmentFailed));
        assert_eq!(reason("kafka", true), Some(Reason::EnvironmentFailed));
    }
}
