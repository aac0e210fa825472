//! Apache Kafka as a child process: KRaft, one node.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};
use tokio::time::timeout;

use super::{
    artefacts::Artefacts,
    children::{Child, ChildSpec, Guard},
    port::ReservedPort,
};
use crate::environment::EnvironmentError;

const NAME: &str = "kafka";
const FORMATTING: &str = "kafka (formatting its storage)";
/// How long it may take until Kafka answers.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// How long one question for it may take.
const ASK_FOR: Duration = Duration::from_millis(250);
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
    pub(super) child: Child,
    pub(super) brokers: String,
}

/// Starts Kafka with its data in `folder` and its log in `logs`, and waits until it answers.
pub(super) async fn start(
    guard: &Guard,
    artefacts: &Artefacts,
    folder: &Path,
    logs: &Path,
    wanted: Option<u16>,
) -> Result<Kafka, EnvironmentError> {
    let (broker, controller) = (reserve(wanted)?, reserve(None)?);
    let data = folder.join("kafka");
    let settings = folder.join("kafka.properties");
    let log = logs.join("kafka.log");
    fs::create_dir_all(&data).map_err(|error| system("Kafka's data folder cannot be made", error))?;
    fs::write(&settings, properties(&data, broker.get(), controller.get()))
        .map_err(|error| system("Kafka's settings cannot be written", error))?;
    let class_path = format!("{}/*", artefacts.kafka_libs.display());
    let java = |name, arguments: &[&str]| ChildSpec {
        name,
        program: Some(artefacts.java.clone()),
        arguments: JAVA_OPTIONS.iter().chain(&["-cp", &class_path]).chain(arguments).map(OsString::from).collect(),
        environment: BTreeMap::new(),
        folder: folder.to_owned(),
        log: log.clone(),
    };
    // A node must have its storage formatted before it starts.
    let settings = settings.to_string_lossy();
    let format = ["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "--config", &settings];
    guard.spawn(&java(FORMATTING, &format))?.success(READY_WITHIN).await?;

    let child = guard.spawn(&java(NAME, &["kafka.Kafka", &settings]))?;
    let brokers = format!("127.0.0.1:{}", broker.get());
    tokio::select! {
        ended = child.ended() => return Err(EnvironmentError::Ended(ended)),
        answered = timeout(READY_WITHIN, answers(brokers.clone())) => match answered {
            Ok(Ok(())) => (),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(child.not_ready(READY_WITHIN)),
        },
    }
    Ok(Kafka { child, brokers })
}

fn reserve(wanted: Option<u16>) -> Result<ReservedPort, EnvironmentError> {
    ReservedPort::new(wanted).map_err(|source| match (source.kind(), wanted) {
        (std::io::ErrorKind::AddrInUse, Some(port)) => EnvironmentError::PortUsed { port, name: NAME },
        _ => system("no port for Kafka can be had", source),
    })
}

/// Waits until a metadata request is answered. Dropped before, it stops asking: the thread that asks would otherwise keep
/// the whole program from ending.
async fn answers(brokers: String) -> Result<(), EnvironmentError> {
    struct StopOnDrop(Arc<AtomicBool>);
    impl Drop for StopOnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let stop = StopOnDrop(Arc::default());
    let stopped = Arc::clone(&stop.0);
    let asked = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &brokers)
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "50")
            .set("log_level", "0")
            .create()?;
        // The library connects again and again by itself until each request's time is over.
        while !stopped.load(Ordering::Relaxed) {
            if consumer.fetch_metadata(None, ASK_FOR).is_ok_and(|metadata| !metadata.brokers().is_empty()) {
                break;
            }
        }
        Ok(())
    });
    let asked = asked.await.map_err(|error| system("Kafka cannot be asked", std::io::Error::other(error)))?;
    asked.map_err(|source| EnvironmentError::Kafka { what: "a client".into(), source })
}

fn system(what: &str, source: std::io::Error) -> EnvironmentError {
    EnvironmentError::System { what: what.to_owned(), source }
}

/// Any id will do: the cluster is one node that nobody else joins.
const CLUSTER_ID: &str = "YXNzYXktZW1iZWRkZWQtMQ";

/// Replication factors of 1, since there is one node; no topic by accident; segments and caches fit for short runs; groups
/// that a run has left are forgotten within a minute.
fn properties(data: &Path, broker: u16, controller: u16) -> String {
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=BROKER://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=BROKER://127.0.0.1:{broker}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs={}
auto.create.topics.enable=false
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
        data.display()
    )
}
