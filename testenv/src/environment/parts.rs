//! The parts of a running environment that faults can act on, and how each fault is carried out and healed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::FutureExt;
use rdkafka::{
    ClientConfig,
    producer::{FutureProducer, FutureRecord},
};
use tokio::sync::Mutex;

use super::{component::Component, pipeline::Pipeline, substrate::Substrate};
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
    /// Components that joined, and are to leave.
    guests: Arc<Mutex<BTreeMap<Target, Component>>>,
}

impl Parts {
    /// The parts of `pipeline`, and of its substrate where that is the run's own.
    pub fn of(pipeline: &Pipeline, substrate: Option<&Substrate>) -> Self {
        let shared = substrate.map_or(&[][..], Substrate::components);
        let components = pipeline.components().iter().chain(shared).filter_map(|component| {
            let (_, target) = Target::ALL.into_iter().find(|(word, _)| *word == component.name())?;
            Some((target, component.clone()))
        });
        let own = pipeline.links().iter();
        let links = own.chain(substrate.map(Substrate::links).into_iter().flatten());
        let (endpoints, topics) = (pipeline.endpoints(), pipeline.topics());
        Self {
            components: components.collect(),
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
            Action::Kill => self.component(target)?.kill().await,
            Action::Stop => self.component(target)?.stop(GRACE).await,
            Action::Pause => self.component(target)?.pause().await?,
            Action::Rebalance => {
                let guest = self
                    .component(target)?
                    .another(GUEST, &[("INGESTION_CONSUMER_GROUP_INSTANCE_ID", String::new())])
                    .await?;
                guest.ready().await?;
                self.guests.lock().await.insert(target, guest);
            }
            Action::Cut => self.link(target)?.set(Condition::Cut).await?,
            Action::Reset => self.link(target)?.set(Condition::Reset).await?,
            Action::Delay { by, jitter } => self.link(target)?.set(Condition::Delayed { by, jitter }).await?,
            Action::Narrow { bytes_per_second } => {
                self.link(target)?.set(Condition::Narrow { bytes_per_second }).await?;
            }
            Action::FillDisk => {
                self.component(target)?.excuse();
                self.disk(target)?.set_full(true).await?;
            }
            Action::Throttle { thousandths } => {
                let limits = Limits { processors: Some(f64::from(thousandths) / 1_000.0), memory: None };
                self.component(target)?.limit(Some(limits)).await?;
            }
            Action::Squeeze { memory } => {
                let component = self.component(target)?;
                component.excuse();
                component.limit(Some(Limits { processors: None, memory: Some(memory) })).await?;
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
                if let Some(guest) = self.guests.lock().await.remove(&target) {
                    let ended = guest.failed().now_or_never();
                    guest.stop(GRACE).await;
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
            Action::Throttle { .. } => self.component(target)?.limit(None).await?,
            Action::Squeeze { .. } => {
                let component = self.component(target)?;
                component.limit(None).await?;
                component.recover().await?;
            }
            Action::BrokenMessage => (),
        }
        Ok(())
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

/// The name of an ingester that joins for a while.
const GUEST: &str = "second-ingester";
