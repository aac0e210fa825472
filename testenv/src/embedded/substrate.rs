//! The substrate as child processes.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::{
    artefacts::Artefacts,
    children::{ChildSpec, Guard},
    kafka,
};
use crate::{
    environment::{
        EnvironmentError,
        component::{Component, Readiness},
        launcher::Launcher,
        life::Recipe,
        port::ReservedPort,
        reader_variables,
        substrate::{Addresses, Substrate},
    },
    fault::Target,
    network::AnyLink,
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
    /// A file of further settings of Kafka's, for tests.
    pub kafka_settings: Option<PathBuf>,
}

/// Starts Kafka and ClickHouse, and waits until they answer.
///
/// # Errors
/// When something of it cannot be had; nothing is left running then.
pub async fn up(options: &SubstrateOptions) -> Result<Substrate, EnvironmentError> {
    for folder in [&options.folder, &options.logs] {
        std::fs::create_dir_all(folder).map_err(|source| EnvironmentError::System {
            what: format!("the folder {} cannot be made", folder.display()),
            source,
        })?;
    }
    let guard = Guard::start(&options.executable)?;
    guard.delete_at_end(&options.folder)?;
    let folders = (options.folder.as_path(), options.logs.as_path());
    let (kafka_port, further) = (options.kafka_port, options.kafka_settings.as_deref());
    let started = tokio::try_join!(
        kafka::start(&guard, &options.artefacts, folders, kafka_port, &options.linked, further),
        start_clickhouse(&guard, options),
    );
    let (kafka, (clickhouse, port)) = match started {
        Ok(started) => started,
        Err(error) => {
            guard.end().await;
            return Err(error);
        }
    };
    let linked_brokers = kafka.links.iter().map(|(target, link)| (*target, link.address().to_string())).collect();
    Ok(Substrate {
        launcher: Launcher::Processes(guard),
        components: vec![kafka.component, clickhouse],
        links: kafka.links.into_iter().map(|(target, link)| (target, AnyLink::Here(link))).collect(),
        disks: BTreeMap::new(),
        addresses: Addresses {
            brokers: kafka.brokers,
            clickhouse_url: format!("http://127.0.0.1:{port}"),
            brokers_inside: None,
            clickhouse_inside: None,
            linked_brokers,
        },
    })
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
    let mut environment = BTreeMap::from([
        ("CLICKHOUSE_LIBRARY".to_owned(), options.artefacts.clickhouse_library.display().to_string()),
        ("CLICKHOUSE_PATH".to_owned(), folder.display().to_string()),
        ("CLICKHOUSE_HTTP_ADDRESS".to_owned(), format!("127.0.0.1:{}", port.get())),
    ]);
    environment.extend(reader_variables());
    let spec = ChildSpec::role(CLICKHOUSE, &options.folder, &options.logs, environment);
    let recipe = Recipe::Process(guard.clone(), spec);
    let component = Component::start(recipe, Readiness::SaysSo, READY_WITHIN, vec![port]).await?;
    let port = component.ready().await?;
    Ok((component, port))
}
