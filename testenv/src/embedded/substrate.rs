//! The substrate: Kafka and ClickHouse, which may outlive a run and be shared by many.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    artefacts::Artefacts,
    children::{ChildSpec, Guard},
    component::{Component, Readiness, first_failure},
    kafka,
    port::ReservedPort,
};
use crate::{
    environment::{ComponentEnded, EnvironmentError},
    fault::Target,
    network::Link,
};

const CLICKHOUSE: &str = "clickhouse";
/// Loading the engine takes half a second; a cold disk takes longer.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// How to start a substrate.
#[derive(Debug, Clone)]
pub struct SubstrateOptions {
    /// The executable that plays the roles, normally the running one.
    pub executable: PathBuf,
    /// The parts.
    pub artefacts: Artefacts,
    /// Where data goes; made here, deleted at the end.
    pub folder: PathBuf,
    /// Where logs go.
    pub logs: PathBuf,
    /// Kafka's port; `None` for any free one.
    pub kafka_port: Option<u16>,
    /// ClickHouse's port; `None` for any free one.
    pub clickhouse_port: Option<u16>,
    /// The links to Kafka that faults will act on.
    pub linked: Vec<Target>,
}

/// Where a substrate is: all that a pipeline needs of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addresses {
    /// Kafka's brokers.
    pub brokers: String,
    /// ClickHouse's HTTP interface, `http://HOST:PORT`.
    pub clickhouse_url: String,
    /// Where Kafka's brokers are for those that reach them over a link of their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub linked_brokers: BTreeMap<Target, String>,
}

impl Addresses {
    /// Kafka's brokers for who uses the link `target`, if there is such a link.
    pub fn brokers_for(&self, target: Target) -> &str {
        self.linked_brokers.get(&target).unwrap_or(&self.brokers)
    }
}

/// A running Kafka and a running ClickHouse.
#[derive(Debug)]
pub struct Substrate {
    guard: Guard,
    components: Vec<Component>,
    links: BTreeMap<Target, Arc<Link>>,
    addresses: Addresses,
}

impl Substrate {
    /// Starts both, and waits until they answer.
    ///
    /// # Errors
    /// When something of it cannot be had; nothing is left running then.
    pub async fn up(options: &SubstrateOptions) -> Result<Self, EnvironmentError> {
        for folder in [&options.folder, &options.logs] {
            std::fs::create_dir_all(folder).map_err(|source| EnvironmentError::System {
                what: format!("the folder {} cannot be made", folder.display()),
                source,
            })?;
        }
        let guard = Guard::start(&options.executable)?;
        guard.delete_at_end(&options.folder)?;
        let started = tokio::try_join!(
            kafka::start(
                &guard,
                &options.artefacts,
                (&options.folder, &options.logs),
                options.kafka_port,
                &options.linked
            ),
            start_clickhouse(&guard, options),
        );
        let (kafka, (clickhouse, port)) = match started {
            Ok(started) => started,
            Err(error) => {
                guard.end().await;
                return Err(error);
            }
        };
        let linked = kafka.links.iter().map(|(target, link)| (*target, link.address().to_string()));
        Ok(Self {
            guard,
            components: vec![kafka.component, clickhouse],
            links: kafka.links.clone(),
            addresses: Addresses {
                brokers: kafka.brokers,
                clickhouse_url: format!("http://127.0.0.1:{port}"),
                linked_brokers: linked.collect(),
            },
        })
    }

    /// Where it is.
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The components.
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// The links to Kafka that faults can act on.
    pub const fn links(&self) -> &BTreeMap<Target, Arc<Link>> {
        &self.links
    }

    /// Resolves when a component ends although it is meant to run, which none does by itself.
    pub async fn failed(&self) -> ComponentEnded {
        first_failure(&self.components).await
    }

    /// The guard, which may own a run's pipeline as well.
    pub const fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Ends everything and deletes the data.
    pub async fn down(self) {
        self.guard.end().await;
    }
}

async fn start_clickhouse(guard: &Guard, options: &SubstrateOptions) -> Result<(Component, u16), EnvironmentError> {
    let port = ReservedPort::new(options.clickhouse_port).map_err(|source| match options.clickhouse_port {
        Some(port) if source.kind() == std::io::ErrorKind::AddrInUse => {
            EnvironmentError::PortUsed { port, name: CLICKHOUSE }
        }
        _ => EnvironmentError::System { what: "no port for ClickHouse can be had".into(), source },
    })?;
    let folder = options.folder.join(CLICKHOUSE);
    std::fs::create_dir_all(&folder).map_err(|source| EnvironmentError::System {
        what: "ClickHouse's data folder cannot be made".into(),
        source,
    })?;
    let environment = BTreeMap::from([
        ("CLICKHOUSE_LIBRARY".to_owned(), options.artefacts.clickhouse_library.display().to_string()),
        ("CLICKHOUSE_PATH".to_owned(), folder.display().to_string()),
        ("CLICKHOUSE_HTTP_ADDRESS".to_owned(), format!("127.0.0.1:{}", port.get())),
    ]);
    let spec = ChildSpec::role(CLICKHOUSE, &options.folder, &options.logs, environment);
    let component = Component::start(guard, spec, Readiness::SaysSo, READY_WITHIN, vec![port])?;
    let port = component.ready().await?;
    Ok((component, port))
}
