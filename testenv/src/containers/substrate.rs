//! The substrate as containers.
//!
//! Kafka has a listener for each way to it: one for the containers, one for this machine's loopback, and one for each link
//! that a fault will act on, which leads through a container that injects faults. That one also has the disks that a fault will fill. ClickHouse is reached on the loopback by HTTP.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    container::{ContainerSpec, Limits},
    docker::Docker,
    images::{Images, Part},
};
use crate::{
    embedded::children::Guard,
    environment::{
        EnvironmentError,
        budget::Share,
        component::{Component, Readiness},
        launcher::Launcher,
        life::Recipe,
        port::ReservedPort,
        reader_variables,
        substrate::{Addresses, Substrate},
    },
    fault::Target,
    injector::{Injector, LinkSpec},
    network::AnyLink,
};

const KAFKA: &str = "kafka";
const CLICKHOUSE: &str = "clickhouse";
const INJECTOR: &str = "injector";
/// Public images start slower than what is built for this.
pub const READY_WITHIN: Duration = Duration::from_secs(90);
/// Where Kafka listens for containers.
const KAFKA_PORT: u16 = 9092;
/// Where Kafka's controller listens.
const CONTROLLER_PORT: u16 = 9093;
/// Kafka's listeners for links, and the links to them, are from here on.
const FIRST_LINKED_PORT: u16 = 19_092;
/// Where Kafka keeps its data.
const KAFKA_DATA: &str = "/tmp/kraft-combined-logs";
/// Where ClickHouse keeps its data, by the image's contract.
const CLICKHOUSE_DATA: &str = "/var/lib/clickhouse";
/// The size of a disk that a fault will fill, in bytes: enough for a short run's data, and little enough to be in memory.
const DISK: u64 = 1 << 30;
/// Where the injector has the disks.
const DISKS: &str = "/disks";
/// ClickHouse's HTTP interface, by the image's contract.
const CLICKHOUSE_PORT: u16 = 8123;
/// Who may only read there: the same as [`crate::environment::READER`].
const CLICKHOUSE_READER: (&str, &str) =
    ("/etc/clickhouse-server/users.d/assay-reader.xml", include_str!("../../schema/clickhouse-reader.xml"));
/// What the server is told beside its own settings.
const CLICKHOUSE_SETTINGS: (&str, &str) =
    ("/etc/clickhouse-server/config.d/assay.xml", include_str!("../../schema/clickhouse-server.xml"));

/// How to start a substrate of containers.
#[derive(Debug, Clone)]
pub struct SubstrateOptions {
    /// The run's short name: letters and digits.
    pub run: String,
    /// The executable that is put into the containers of the pipeline, and plays the guard here.
    pub executable: PathBuf,
    /// The images.
    pub images: Images,
    /// A folder for the run's own files on this machine; deleted at the end.
    pub folder: PathBuf,
    /// Where logs go.
    pub logs: PathBuf,
    /// The links to Kafka that faults will act on.
    pub linked: Vec<Target>,
    /// Whose disks faults will fill: Kafka's and ClickHouse's can be.
    pub disks: Vec<Target>,
    /// What Kafka and ClickHouse may use of the machine, each.
    pub limits: Limits,
    /// How long Kafka and ClickHouse may take, each, until they serve: [`READY_WITHIN`].
    pub ready_within: Duration,
}

/// Starts Kafka and ClickHouse, and waits until they answer; `tell` is told what takes long.
///
/// # Errors
/// When something of it cannot be had; nothing is left running then.
pub async fn up(options: &SubstrateOptions, tell: &(dyn Fn(&str) + Sync)) -> Result<Substrate, EnvironmentError> {
    for folder in [&options.folder, &options.logs] {
        std::fs::create_dir_all(folder).map_err(|source| EnvironmentError::System {
            what: format!("the folder {} cannot be made", folder.display()),
            source,
        })?;
    }
    let guard = Guard::start(&options.executable)?;
    guard.delete_at_end(&options.folder)?;
    let started = Box::pin(start(guard.clone(), options, tell)).await;
    if started.is_err() {
        guard.end().await;
    }
    started
}

async fn start(
    guard: Guard,
    options: &SubstrateOptions,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<Substrate, EnvironmentError> {
    let docker = Docker::open(guard, &options.run, None, &options.images, options.executable.clone(), tell).await?;
    let port = reserve()?;
    let ways = Ways::to_kafka(&docker, port.get(), &options.linked);
    let mut disks = Disks::new();
    for (name, target, path) in [(KAFKA, Target::Kafka, KAFKA_DATA), (CLICKHOUSE, Target::Clickhouse, CLICKHOUSE_DATA)]
    {
        if options.disks.contains(&target) {
            disks.insert(target, (docker.volume(&format!("{name}-disk"), Some(DISK)).await?, path.to_owned()));
        }
    }
    let injector = async {
        if ways.linked.is_empty() && disks.is_empty() {
            return Ok(None);
        }
        start_injector(&docker, &ways, &disks, &options.logs).await.map(Some)
    };
    let (kafka, clickhouse, injector) = tokio::try_join!(
        start_kafka(&docker, &ways, &disks, port, options),
        start_clickhouse(&docker, &disks, options),
        injector
    )?;
    let (clickhouse, clickhouse_url) = clickhouse;
    let mut components = vec![kafka, clickhouse];
    let (mut links, mut fillable) = (BTreeMap::new(), BTreeMap::new());
    if let Some((component, injector)) = injector {
        components.push(component);
        links.extend(ways.linked.keys().map(|target| (*target, AnyLink::There(injector.link(*target)))));
        fillable.extend(disks.keys().map(|target| (*target, injector.disk(*target))));
    }
    let through = docker.host(INJECTOR);
    Ok(Substrate {
        components,
        links,
        disks: fillable,
        addresses: Addresses {
            brokers: ways.outside.to_string(),
            clickhouse_url,
            brokers_inside: Some(format!("{}:{KAFKA_PORT}", docker.host(KAFKA))),
            clickhouse_inside: Some(format!("http://{}:{CLICKHOUSE_PORT}", docker.host(CLICKHOUSE))),
            linked_brokers: ways.linked.iter().map(|(target, port)| (*target, format!("{through}:{port}"))).collect(),
        },
        launcher: Launcher::Containers(docker),
    })
}

/// Volumes of a size, and where they are in the containers whose disks they are.
type Disks = BTreeMap<Target, (String, String)>;

/// The disk of `target` as its container has it.
fn disk_of(disks: &Disks, target: Target) -> Vec<(String, String)> {
    disks.get(&target).cloned().into_iter().collect()
}

/// The ways that lead to Kafka.
struct Ways {
    /// From this machine.
    outside: SocketAddr,
    /// Over links, each by a port of its own.
    linked: BTreeMap<Target, u16>,
    kafka: String,
    injector: String,
}

impl Ways {
    fn to_kafka(docker: &Docker, port: u16, linked: &[Target]) -> Self {
        Self {
            outside: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            linked: linked.iter().copied().zip(FIRST_LINKED_PORT..).collect(),
            kafka: docker.host(KAFKA),
            injector: docker.host(INJECTOR),
        }
    }

    /// Each listener's name, port, and the address that clients are told.
    fn listeners(&self) -> Vec<(String, u16, String)> {
        let name = |target: Target| target.word().replace('-', "_").to_uppercase();
        let mut listeners = vec![
            ("BROKER".to_owned(), KAFKA_PORT, format!("{}:{KAFKA_PORT}", self.kafka)),
            ("OUTSIDE".to_owned(), self.outside.port(), self.outside.to_string()),
        ];
        let linked = self.linked.iter();
        listeners.extend(linked.map(|(target, port)| (name(*target), *port, format!("{}:{port}", self.injector))));
        listeners
    }
}

fn reserve() -> Result<ReservedPort, EnvironmentError> {
    ReservedPort::new(None)
        .map_err(|source| EnvironmentError::System { what: "no free port can be had".into(), source })
}

/// Replication factors of 1, since there is one node; no topic by accident; a broker that died is let in again after two
/// seconds; groups that a run has left are forgotten soon.
const KAFKA_SETTINGS: [(&str, &str); 16] = [
    ("KAFKA_PROCESS_ROLES", "broker,controller"),
    ("KAFKA_NODE_ID", "1"),
    ("KAFKA_INTER_BROKER_LISTENER_NAME", "BROKER"),
    ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
    ("KAFKA_LOG_DIRS", KAFKA_DATA),
    ("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false"),
    ("KAFKA_BROKER_SESSION_TIMEOUT_MS", "2000"),
    ("KAFKA_BROKER_HEARTBEAT_INTERVAL_MS", "500"),
    ("KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS", "1"),
    ("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
    ("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1"),
    ("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1"),
    ("KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR", "1"),
    ("KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR", "1"),
    ("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
    // Small heap and the quick compiler only: a broker for one run, which must be there soon.
    ("KAFKA_JVM_PERFORMANCE_OPTS", "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:+ExitOnOutOfMemoryError"),
];

async fn start_kafka(
    docker: &Docker,
    ways: &Ways,
    disks: &Disks,
    port: ReservedPort,
    options: &SubstrateOptions,
) -> Result<Component, EnvironmentError> {
    let listeners = ways.listeners();
    let joined =
        |told: &dyn Fn(&(String, u16, String)) -> String| listeners.iter().map(told).collect::<Vec<_>>().join(",");
    let mut environment: BTreeMap<String, String> =
        KAFKA_SETTINGS.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let bound = joined(&|(name, port, _)| format!("{name}://0.0.0.0:{port}"));
    environment.extend(
        [
            ("KAFKA_HEAP_OPTS", "-Xmx512m".to_owned()),
            ("KAFKA_CONTROLLER_QUORUM_VOTERS", format!("1@127.0.0.1:{CONTROLLER_PORT}")),
            ("KAFKA_LISTENERS", format!("{bound},CONTROLLER://127.0.0.1:{CONTROLLER_PORT}")),
            ("KAFKA_ADVERTISED_LISTENERS", joined(&|(name, _, told)| format!("{name}://{told}"))),
            (
                "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
                format!("{},CONTROLLER:PLAINTEXT", joined(&|(name, _, _)| format!("{name}:PLAINTEXT"))),
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    let spec = ContainerSpec {
        is_reached: true,
        image: docker.image(Part::Kafka),
        entry_point: None,
        arguments: Vec::new(),
        environment,
        ports: vec![(port.get(), port.get())],
        volumes: disk_of(disks, Target::Kafka),
        share: Share { limits: options.limits, ..Share::default() },
        ..ContainerSpec::role(docker, KAFKA, KAFKA, options.logs.join("kafka.log"))
    };
    let readiness = Readiness::KafkaAnswers(ways.outside.to_string());
    started(Component::start(Recipe::Container(Box::new(spec)), readiness, options.ready_within, vec![port]).await?)
        .await
}

async fn start_clickhouse(
    docker: &Docker,
    disks: &Disks,
    options: &SubstrateOptions,
) -> Result<(Component, String), EnvironmentError> {
    let port = reserve()?;
    let url = format!("http://127.0.0.1:{}", port.get());
    let spec = ContainerSpec {
        is_reached: true,
        image: docker.image(Part::Clickhouse),
        entry_point: None,
        arguments: Vec::new(),
        // Nobody but the run's own network and the loopback reaches it.
        environment: [("CLICKHOUSE_SKIP_USER_SETUP".to_owned(), "1".to_owned())]
            .into_iter()
            .chain(reader_variables())
            .collect(),
        ports: vec![(port.get(), CLICKHOUSE_PORT)],
        volumes: disk_of(disks, Target::Clickhouse),
        files: vec![CLICKHOUSE_SETTINGS, CLICKHOUSE_READER],
        share: Share { limits: options.limits, ..Share::default() },
        ..ContainerSpec::role(docker, CLICKHOUSE, CLICKHOUSE, options.logs.join("clickhouse.log"))
    };
    let readiness = Readiness::HttpAnswers(format!("{url}/ping"));
    let component =
        Component::start(Recipe::Container(Box::new(spec)), readiness, options.ready_within, vec![port]).await?;
    Ok((started(component).await?, url))
}

async fn start_injector(
    docker: &Docker,
    ways: &Ways,
    disks: &Disks,
    logs: &Path,
) -> Result<(Component, Injector), EnvironmentError> {
    let port = reserve()?;
    let control = SocketAddr::from((Ipv4Addr::LOCALHOST, port.get()));
    let links: BTreeMap<Target, LinkSpec> = ways
        .linked
        .iter()
        .map(|(target, port)| (*target, LinkSpec { port: *port, upstream: format!("{}:{port}", ways.kafka) }))
        .collect();
    let folder = |target: &Target| format!("{DISKS}/{target}");
    let folders: BTreeMap<Target, String> = disks.keys().map(|target| (*target, folder(target))).collect();
    let environment = [
        ("ASSAY_LINKS".to_owned(), serde_json::to_string(&links).unwrap_or_default()),
        ("ASSAY_DISKS".to_owned(), serde_json::to_string(&folders).unwrap_or_default()),
        ("ASSAY_INJECTOR_ADDRESS".to_owned(), format!("0.0.0.0:{}", port.get())),
    ];
    let spec = ContainerSpec {
        is_reached: true,
        environment: environment.into(),
        ports: vec![(port.get(), port.get())],
        // That it has them as well keeps them from being emptied when their owners end.
        volumes: disks.iter().map(|(target, (volume, _))| (volume.clone(), folder(target))).collect(),
        ..ContainerSpec::role(docker, INJECTOR, INJECTOR, logs.join("injector.log"))
    };
    let recipe = Recipe::Container(Box::new(spec));
    let component = Component::start(recipe, Readiness::SaysSo, READY_WITHIN, vec![port]).await?;
    Ok((started(component).await?, Injector::at(control)))
}

async fn started(component: Component) -> Result<Component, EnvironmentError> {
    component.ready().await?;
    Ok(component)
}
