//! The parts of a running environment that faults can act on, and how each fault is carried out and healed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use rdkafka::{
    ClientConfig,
    producer::{FutureProducer, FutureRecord},
};

use super::{component::Component, pipeline::Pipeline, substrate::Substrate, usage::Usage};
use crate::{
    containers::container::Limits,
    environment::EnvironmentError,
    fault::{Action, FaultError, PlannedFault, Target},
    injector::RemoteDisk,
    network::{AnyLink, Condition},
};

/// How long a component may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(5);
/// How long Kafka may take to take a message.
const PRODUCED_WITHIN: Duration = Duration::from_secs(20);
/// No format of the pipeline's begins like this.
const BROKEN: &[u8] = b"{\"uuid\":\"broken by a fault, on purpose";

/// What faults can act on.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    components: BTreeMap<Target, Component>,
    links: BTreeMap<Target, AnyLink>,
    disks: BTreeMap<Target, RemoteDisk>,
    topics: BTreeMap<Target, String>,
    brokers: String,
    guests: Arc<Mutex<Guests>>,
}

/// Components that joined for a while.
#[derive(Debug, Default)]
struct Guests {
    /// Those that are to leave.
    present: BTreeMap<Target, Component>,
    /// What those have used that have left, if any have.
    used: Option<Usage>,
}

impl Parts {
    /// The parts of `pipeline`, and of its substrate where that is the run's own.
    pub fn of(pipeline: &Pipeline, substrate: Option<&Substrate>) -> Self {
        let shared = substrate.map_or(&[][..], Substrate::components);
        let components = pipeline.components().iter().chain(shared);
        let own = pipeline.links().iter();
        let links = own.chain(substrate.map(Substrate::links).into_iter().flatten());
        let (endpoints, topics) = (pipeline.endpoints(), pipeline.topics());
        Self {
            components: by_target(components),
            links: links.map(|(target, link)| (*target, link.clone())).collect(),
            disks: substrate.map(Substrate::disks).cloned().unwrap_or_default(),
            topics: [(Target::CaptureTopic, topics.capture.clone()), (Target::EventsTopic, topics.events.clone())]
                .into(),
            brokers: endpoints.kafka.as_ref().map(|kafka| kafka.brokers.clone()).unwrap_or_default(),
            guests: Arc::default(),
        }
    }

    /// Begins `fault`.
    ///
    /// # Errors
    /// When it cannot be carried out.
    pub async fn begin(&self, fault: &PlannedFault) -> Result<(), FaultError> {
        let target = fault.target;
        match fault.action {
            Action::Kill => self.component(target)?.kill().await?,
            Action::Stop => self.component(target)?.stop(GRACE).await?,
            Action::Pause => self.component(target)?.pause().await?,
            Action::Rebalance => {
                // One that could not be taken away before goes first.
                let left = self.guests().present.get(&target).cloned();
                if let Some(left) = left {
                    left.stop(GRACE).await?;
                    self.guests().leaves(target);
                }
                let guest = self
                    .component(target)?
                    .another(GUEST, &[("INGESTION_CONSUMER_GROUP_INSTANCE_ID", String::new())])
                    .await?;
                // One that does not become ready has to leave as well.
                self.guests().present.insert(target, guest.clone());
                guest.ready().await?;
            }
            Action::Cut => self.link(target)?.set(Condition::Cut).await?,
            Action::Reset => self.link(target)?.set(Condition::Reset).await?,
            Action::Delay { by, jitter } => {
                self.link(target)?.set(Condition::Delayed { by, jitter, seed: fault.seed }).await?;
            }
            Action::Narrow { bytes_per_second } => {
                self.link(target)?.set(Condition::Narrow { bytes_per_second }).await?;
            }
            Action::FillDisk => {
                self.component(target)?.excuse();
                self.disk(target)?.set_full(true).await?;
            }
            Action::Throttle { thousandths } => self.component(target)?.limit(throttle(thousandths)).await?,
            Action::Squeeze { memory } => {
                let component = self.component(target)?;
                component.excuse();
                component.limit(squeeze(memory)).await?;
            }
            Action::BrokenMessage => {
                let topic = self.topics.get(&target).ok_or(FaultError::OutOfReach(target))?;
                let producer: FutureProducer = ClientConfig::new().set("bootstrap.servers", &self.brokers).create()?;
                let record = FutureRecord::<(), _>::to(topic).payload(BROKEN);
                producer.send(record, PRODUCED_WITHIN).await.map_err(|(error, _)| error)?;
            }
        }
        Ok(())
    }

    /// Heals `fault`, and waits until what it had ended serves again.
    ///
    /// # Errors
    /// When it does not.
    pub async fn heal(&self, fault: &PlannedFault) -> Result<(), FaultError> {
        let target = fault.target;
        match fault.action {
            Action::Kill | Action::Stop => self.component(target)?.start_again().await?,
            Action::Pause => self.component(target)?.resume().await?,
            Action::Rebalance => {
                let guest = self.guests().present.get(&target).cloned();
                if let Some(guest) = guest {
                    let ended = guest.failed().now_or_never();
                    guest.stop(GRACE).await?;
                    self.guests().leaves(target);
                    if let Some(ended) = ended {
                        return Err(EnvironmentError::Ended(ended).into());
                    }
                }
            }
            Action::Cut | Action::Reset | Action::Delay { .. } | Action::Narrow { .. } => {
                self.link(target)?.set(Condition::Healthy).await?;
            }
            Action::FillDisk => {
                self.disk(target)?.set_full(false).await?;
                self.component(target)?.recover().await?;
            }
            Action::Throttle { thousandths } => self.component(target)?.lift(throttle(thousandths)).await?,
            Action::Squeeze { memory } => {
                let component = self.component(target)?;
                component.lift(squeeze(memory)).await?;
                component.recover().await?;
            }
            Action::BrokenMessage => (),
        }
        Ok(())
    }

    /// What components that joined for a while have used so far, under their name, if any have.
    pub fn guests_usage(&self) -> Option<(&'static str, Usage)> {
        self.guests().usage().map(|usage| (GUEST, usage))
    }

    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn component(&self, target: Target) -> Result<&Component, FaultError> {
        self.components.get(&target).ok_or(FaultError::OutOfReach(target))
    }

    fn disk(&self, target: Target) -> Result<&RemoteDisk, FaultError> {
        self.disks.get(&target).ok_or(FaultError::OutOfReach(target))
    }

    fn link(&self, target: Target) -> Result<&AnyLink, FaultError> {
        self.links.get(&target).ok_or(FaultError::OutOfReach(target))
    }
}

/// Each component as what faults call it.
fn by_target<'a>(components: impl Iterator<Item = &'a Component>) -> BTreeMap<Target, Component> {
    components.map(|component| (Target::component(component.name()), component.clone())).collect()
}

impl Guests {
    /// Notes that the one of `target` has left, and what it has used.
    fn leaves(&mut self, target: Target) {
        if let Some(guest) = self.present.remove(&target) {
            self.used = Some(self.used.unwrap_or_default().and(guest.usage()));
        }
    }

    fn usage(&self) -> Option<Usage> {
        self.present.values().map(Component::usage).chain(self.used).reduce(Usage::and)
    }
}

const fn throttle(thousandths: u32) -> Limits {
    Limits { processors: Some(thousandths as f64 / 1_000.0), memory: None }
}

const fn squeeze(memory: u64) -> Limits {
    Limits { processors: None, memory: Some(memory) }
}

/// The name of an ingester that joins for a while.
const GUEST: &str = "second-ingester";

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    use super::*;
    use crate::{
        embedded::children::{ChildSpec, Guard},
        environment::{component::Readiness, life::Recipe},
    };

    const REBALANCE: PlannedFault = PlannedFault {
        at: Duration::ZERO,
        lasts: Duration::ZERO,
        target: Target::Ingester,
        action: Action::Rebalance,
        seed: 0,
    };

    /// A component that is called `name`. What its guard answers to orders, two for each component, is in `news`, a line each.
    async fn component(name: &'static str, folder: &Path, news: &[&str]) -> Component {
        let guard = folder.join(format!("guard-of-{name}"));
        let answers: Vec<String> =
            news.iter().map(|line| format!("read -r order\n[ -n '{line}' ] && echo '{line}'\n")).collect();
        fs::write(&guard, format!("#!/bin/sh\n{}cat >/dev/null\n", answers.concat())).unwrap();
        fs::set_permissions(&guard, fs::Permissions::from_mode(0o755)).unwrap();
        let guard = Guard::start(&guard).unwrap();
        let spec = ChildSpec::role(name, folder, folder, BTreeMap::new());
        let recipe = Recipe::Process(guard, spec);
        let within = Duration::from_millis(200);
        Component::start(recipe, Readiness::SaysSo, within, Vec::new()).await.unwrap()
    }

    /// Parts with an ingester.
    async fn parts(folder: &Path, news: &[&str]) -> Parts {
        let ingester = component("ingester", folder, news).await;
        Parts { components: by_target([&ingester].into_iter()), ..Parts::default() }
    }

    #[tokio::test]
    async fn every_component_is_reached_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let components = [
            component("ingester", folder.path(), &[]).await,
            component("ingester-2", folder.path(), &[]).await,
            component("redis", folder.path(), &[]).await,
        ];
        let parts = Parts { components: by_target(components.iter()), ..Parts::default() };
        for (target, name) in [
            (Target::Ingester, "ingester"),
            (Target::Named("ingester-2"), "ingester-2"),
            (Target::Named("redis"), "redis"),
        ] {
            assert_eq!(parts.component(target).unwrap().name(), name);
        }
        let kill = PlannedFault { target: Target::Named("ingester-3"), action: Action::Kill, ..REBALANCE };
        let error = parts.begin(&kill).await.unwrap_err().to_string();
        assert_eq!(error, "this environment has no ingester-3 that a fault can reach");
    }

    #[tokio::test]
    async fn what_runs_once_must_end_well_and_in_time() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("migrate.log"), "first line\ncolumn x exists already\n").unwrap();
        let ends = async |news: &[&str]| component("migrate", folder.path(), news).await.done().await;
        ends(&[r#"{"exited":{"id":1,"how":{"code":0}}}"#]).await.unwrap();
        let failed = ends(&[r#"{"exited":{"id":1,"how":{"code":3}}}"#]).await.unwrap_err();
        assert!(matches!(failed, EnvironmentError::NotDone { .. }), "{failed}");
        let failed = failed.to_string();
        assert!(failed.starts_with("migrate, which runs once, ended with exit code 3;"), "{failed}");
        assert!(failed.ends_with("first line\ncolumn x exists already"), "{failed}");
        let late = ends(&[]).await.unwrap_err().to_string();
        assert!(late.starts_with("migrate, which runs once, had not ended after 200ms;"), "{late}");
    }

    #[tokio::test]
    async fn a_guest_that_does_not_become_ready_leaves_again() {
        let folder = tempfile::tempdir().unwrap();
        // The second child says nothing, and ends when it is asked to.
        let ended = r#"{"exited":{"id":2,"how":{"code":0}}}"#;
        let parts = parts(folder.path(), &["", "", ended]).await;
        let error = parts.begin(&REBALANCE).await.unwrap_err().to_string();
        assert!(error.contains("was not ready"), "{error}");
        assert!(parts.guests_usage().is_some() && parts.guests().present.contains_key(&Target::Ingester));
        parts.heal(&REBALANCE).await.unwrap();
        assert!(parts.guests().present.is_empty());
        assert!(parts.guests_usage().is_some_and(|(name, _)| name == GUEST), "what it has used counts on");
    }

    #[tokio::test]
    async fn what_does_not_end_in_time_is_an_error_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let parts = parts(folder.path(), &[]).await;
        let ingester = parts.component(Target::Ingester).unwrap();
        let error = ingester.end(Duration::from_millis(50), async |_| std::future::pending().await).await.unwrap_err();
        assert!(matches!(error, EnvironmentError::NotEnded { .. }), "{error}");
        // Nobody says that another one is ready.
        ingester.start_again().await.unwrap();
    }
}
