//! Apache Kafka as a child process: KRaft, one node.

mod class_archive;
mod further;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use self::class_archive::rehearse;
use self::{class_archive::ClassArchive, further::Further};
use super::{
    artefacts::Artefacts,
    children::{ChildSpec, Guard},
};
use crate::{
    environment::{
        EnvironmentError,
        component::{Component, Readiness},
        life::Recipe,
        port::ReservedPort,
    },
    fault::Target,
    network::Link,
};

const NAME: &str = "kafka";
const FORMATTING: &str = "kafka (formatting its storage)";
/// What formatting leaves in a data folder. Nothing of it names a place or a port, so it is the same for every node.
const FORMATTED: [&str; 2] = ["__cluster_metadata-0/00000000000000000000-0000000000.checkpoint", "meta.properties"];
/// Where that is kept, beside Kafka's jars: formatting takes a Java process of its own, and so a second or more.
const KEPT: &str = "formatted";
/// How long it may take until Kafka answers.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// Small heap and the quick compiler only: a broker for one run, which must be there soon.
const JAVA_OPTIONS: [&str; 6] = [
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
];

/// A running Kafka.
#[derive(Debug)]
pub(super) struct Kafka {
    pub(super) component: Component,
    pub(super) brokers: String,
    /// The links to it that can be cut, each with a listener of its own.
    pub(super) links: BTreeMap<Target, Arc<Link>>,
}

/// A listener of the broker's: its name, where it listens, and where its clients are told to connect to.
struct Listener {
    name: String,
    port: u16,
    advertised: SocketAddr,
}

/// Starts Kafka with its data in `folder` and its log in `logs`, and waits until it answers; `linked` clients reach it over a
/// link each, and others over the listeners that the file `further` may add.
pub(super) async fn start(
    guard: &Guard,
    artefacts: &Artefacts,
    (folder, logs): (&Path, &Path),
    wanted: Option<u16>,
    linked: &[Target],
    further: Option<&Path>,
) -> Result<Kafka, EnvironmentError> {
    let broker = reserve(wanted)?;
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut listeners = vec![Listener { name: "BROKER".into(), port: broker.get(), advertised: address(broker.get()) }];
    let (mut links, mut reserved) = (BTreeMap::new(), vec![broker]);
    for target in linked {
        let port = reserve(None)?;
        let link = Link::open(address(port.get())).await.map_err(|error| system("a link cannot be opened", error))?;
        let name = target.word().replace('-', "_").to_uppercase();
        listeners.push(Listener { name, port: port.get(), advertised: link.address() });
        links.insert(*target, Arc::new(link));
        reserved.push(port);
    }
    let further = further.map_or_else(|| Ok(Further::default()), Further::read);
    let further = further.map_err(|error| system("Kafka's further settings cannot be read", error))?;
    let node = Node { guard, artefacts, folder, log: logs.join("kafka.log") };
    let component = node.start(&listeners, reserved, &further, &ClassArchive::of(artefacts).used()).await?;
    Ok(Kafka { component, brokers: listeners[0].advertised.to_string(), links })
}

/// A node that is to be: who starts it, of what, and where.
struct Node<'a> {
    guard: &'a Guard,
    artefacts: &'a Artefacts,
    /// For its data and settings.
    folder: &'a Path,
    log: PathBuf,
}

impl Node<'_> {
    /// Starts it, and waits until it answers at the first of its `listeners`, whose ports are `reserved`; `options` are
    /// Java's.
    async fn start(
        &self,
        listeners: &[Listener],
        mut reserved: Vec<ReservedPort>,
        further: &Further,
        options: &[OsString],
    ) -> Result<Component, EnvironmentError> {
        let controller = reserve(None)?;
        let data = self.folder.join("kafka");
        let settings = self.folder.join("kafka.properties");
        fs::create_dir_all(&data).map_err(|error| system("Kafka's data folder cannot be made", error))?;
        fs::write(&settings, further.added_to(&properties(&data, listeners, controller.get())))
            .map_err(|error| system("Kafka's settings cannot be written", error))?;
        let settings = settings.to_string_lossy();
        self.format(&data, &settings, further).await?;
        let readiness = Readiness::KafkaAnswers(listeners[0].advertised.to_string());
        let recipe = Recipe::Process(self.guard.clone(), self.java(NAME, options, &["kafka.Kafka", &settings]));
        reserved.push(controller);
        let component = Component::start(recipe, readiness, READY_WITHIN, reserved).await?;
        component.ready().await?;
        Ok(component)
    }

    /// A node must have its storage formatted before it starts.
    async fn format(&self, data: &Path, settings: &str, further: &Further) -> Result<(), EnvironmentError> {
        let kept = self.artefacts.kafka_libs.with_file_name(KEPT);
        let users: Vec<&str> = further.users().collect();
        if users.is_empty() && copy_formatted(&kept, data).is_ok() {
            return Ok(());
        }
        let mut format = vec!["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "--config", settings];
        format.extend(&users);
        self.guard.spawn(&self.java(FORMATTING, &[], &format))?.success(READY_WITHIN).await?;
        if users.is_empty() {
            // Where it cannot be kept, the next one formats its own again.
            let _ = keep_formatted(data, &kept);
        }
        Ok(())
    }

    fn java(&self, name: &'static str, options: &[OsString], arguments: &[&str]) -> ChildSpec {
        let class_path = format!("{}/*", self.artefacts.kafka_libs.display());
        let own = JAVA_OPTIONS.iter().map(OsString::from).chain(options.iter().cloned());
        ChildSpec {
            name,
            program: Some(self.artefacts.java.clone()),
            arguments: own.chain(["-cp", &class_path].iter().chain(arguments).map(OsString::from)).collect(),
            environment: BTreeMap::new(),
            folder: self.folder.to_owned(),
            log: self.log.clone(),
        }
    }
}

/// Copies what formatting leaves from one data folder to another; the marker of a formatted one comes last.
fn copy_formatted(from: &Path, to: &Path) -> io::Result<()> {
    for file in FORMATTED {
        let to = to.join(file);
        to.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::copy(from.join(file), to)?;
    }
    Ok(())
}

/// Keeps it for later nodes. Others may be doing the same: what is there is whole.
fn keep_formatted(data: &Path, kept: &Path) -> io::Result<()> {
    let unfinished = kept.with_file_name(format!("{KEPT}-{}", std::process::id()));
    let done = copy_formatted(data, &unfinished).and_then(|()| fs::rename(&unfinished, kept));
    if done.is_err() {
        fs::remove_dir_all(&unfinished)?;
    }
    done
}

fn reserve(wanted: Option<u16>) -> Result<ReservedPort, EnvironmentError> {
    ReservedPort::new(wanted).map_err(|source| match (source.kind(), wanted) {
        (io::ErrorKind::AddrInUse, Some(port)) => EnvironmentError::PortUsed { port, name: NAME },
        _ => system("no port for Kafka can be had", source),
    })
}

fn system(what: &str, source: io::Error) -> EnvironmentError {
    EnvironmentError::System { what: what.to_owned(), source }
}

/// Any id will do: the cluster is one node that nobody else joins.
const CLUSTER_ID: &str = "YXNzYXktZW1iZWRkZWQtMQ";

/// Replication factors of 1, since there is one node; no topic by accident; a broker that died is
/// let in again after two seconds; segments and caches fit for short runs; groups
/// that a run has left are forgotten within a minute.
fn properties(data: &Path, listeners: &[Listener], controller: u16) -> String {
    let joined = |told: &dyn Fn(&Listener) -> String| listeners.iter().map(told).collect::<Vec<_>>().join(",");
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners={},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={}
listener.security.protocol.map={},CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs={}
auto.create.topics.enable=false
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=4
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
offsets.retention.check.interval.ms=60000
log.segment.bytes=134217728
log.cleaner.dedupe.buffer.size=4194304
",
        joined(&|listener| format!("{}://127.0.0.1:{}", listener.name, listener.port)),
        joined(&|listener| format!("{}://{}", listener.name, listener.advertised)),
        joined(&|listener| format!("{}:PLAINTEXT", listener.name)),
        data.display()
    )
}
