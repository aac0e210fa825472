//! The substrate: Kafka and ClickHouse, which may outlive a run and be shared by many.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    artefacts::Artefacts,
    children::{Child, ChildSpec, Guard},
    kafka,
};
use crate::environment::{ComponentEnded, EnvironmentError};

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
}

/// Where a substrate is: all that a pipeline needs of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addresses {
    /// Kafka's brokers.
    pub brokers: String,
    /// ClickHouse's HTTP interface, `http://HOST:PORT`.
    pub clickhouse_url: String,
}

/// A running Kafka and a running ClickHouse.
#[derive(Debug)]
pub struct Substrate {
    guard: Guard,
    components: Vec<Child>,
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
            kafka::start(&guard, &options.artefacts, &options.folder, &options.logs, options.kafka_port),
            start_clickhouse(&guard, options),
        );
        let (kafka, (clickhouse, port)) = match started {
            Ok(started) => started,
            Err(error) => {
                guard.end().await;
                return Err(error);
            }
        };
        Ok(Self {
            guard,
            components: vec![kafka.child, clickhouse],
            addresses: Addresses { brokers: kafka.brokers, clickhouse_url: format!("http://127.0.0.1:{port}") },
        })
    }

    /// Where it is.
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The components.
    pub fn components(&self) -> &[Child] {
        &self.components
    }

    /// Resolves when a component ends, which none does by itself.
    pub async fn failed(&self) -> ComponentEnded {
        first_end(&self.components).await
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

/// Waits for the first end among `children`.
pub(super) async fn first_end(children: &[Child]) -> ComponentEnded {
    let mut ends: Vec<_> = children.iter().map(|child| Box::pin(child.ended())).collect();
    std::future::poll_fn(|context| {
        for end in &mut ends {
            if let std::task::Poll::Ready(ended) = end.as_mut().poll(context) {
                return std::task::Poll::Ready(ended);
            }
        }
        std::task::Poll::Pending
    })
    .await
}

async fn start_clickhouse(guard: &Guard, options: &SubstrateOptions) -> Result<(Child, u16), EnvironmentError> {
    if let Some(port) = options.clickhouse_port {
        std::net::TcpListener::bind(("127.0.0.1", port))
            .map_err(|_| EnvironmentError::PortUsed { port, name: CLICKHOUSE })?;
    }
    let folder = options.folder.join(CLICKHOUSE);
    std::fs::create_dir_all(&folder).map_err(|source| EnvironmentError::System {
        what: "ClickHouse's data folder cannot be made".into(),
        source,
    })?;
    let environment = BTreeMap::from([
        ("CLICKHOUSE_LIBRARY".to_owned(), options.artefacts.clickhouse_library.display().to_string()),
        ("CLICKHOUSE_PATH".to_owned(), folder.display().to_string()),
        ("CLICKHOUSE_HTTP_ADDRESS".to_owned(), format!("127.0.0.1:{}", options.clickhouse_port.unwrap_or(0))),
    ]);
    let child = guard.spawn(&ChildSpec::role(CLICKHOUSE, &options.folder, &options.logs, environment))?;
    let port = child.ready(READY_WITHIN).await?;
    Ok((child, port))
}
