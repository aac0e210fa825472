//! Apache Kafka as a child process: KRaft, one node.

use std::{collections::BTreeMap, fs, path::Path, process::Stdio, time::Duration};

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};

use super::{
    artefacts::Artefacts,
    children::{Child, ChildSpec, Guard},
    port::ReservedPort,
};
use crate::environment::EnvironmentError;

const NAME: &str = "kafka";
/// How long it may take until Kafka answers.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// Small heap and the quick compiler only: a broker for one run, which must be there soon.
const JAVA_OPTIONS: [&str; 5] =
    ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-XX:+ExitOnOutOfMemoryError"];

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
    let system = |what: &str, source| EnvironmentError::System { what: what.to_owned(), source };
    fs::create_dir_all(&data).map_err(|error| system("Kafka's data folder cannot be made", error))?;
    fs::write(&settings, properties(&data, broker.get(), controller.get()))
        .map_err(|error| system("Kafka's settings cannot be written", error))?;
    let class_path = format!("{}/*", artefacts.kafka_libs.display());
    format_storage(artefacts, &class_path, &settings, &log).await?;

    let mut arguments: Vec<std::ffi::OsString> = JAVA_OPTIONS.iter().map(Into::into).collect();
    arguments.extend([
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn".into(),
        "-Dorg.slf4j.simpleLogger.showDateTime=true".into(),
        "-cp".into(),
        class_path.into(),
        "kafka.Kafka".into(),
        settings.into(),
    ]);
    let child = guard.spawn(&ChildSpec {
        name: NAME,
        program: Some(artefacts.java.clone()),
        arguments,
        environment: BTreeMap::new(),
        folder: folder.to_owned(),
        log,
    })?;
    let brokers = format!("127.0.0.1:{}", broker.get());
    let answered = answers(brokers.clone());
    tokio::select! {
        ended = child.ended() => return Err(EnvironmentError::Ended(ended)),
        answered = answered => if !answered { return Err(child.not_ready(READY_WITHIN)) },
    }
    Ok(Kafka { child, brokers })
}

fn reserve(wanted: Option<u16>) -> Result<ReservedPort, EnvironmentError> {
    ReservedPort::new(wanted).map_err(|source| match (source.kind(), wanted) {
        (std::io::ErrorKind::AddrInUse, Some(port)) => EnvironmentError::PortUsed { port, name: NAME },
        _ => EnvironmentError::System { what: "no port for Kafka can be had".into(), source },
    })
}

/// Waits until a metadata request is answered; false if that takes too long.
async fn answers(brokers: String) -> bool {
    let asked = tokio::task::spawn_blocking(move || {
        let consumer: Result<BaseConsumer, _> = ClientConfig::new()
            .set("bootstrap.servers", &brokers)
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "50")
            .set("log_level", "0")
            .create();
        // The library connects again and again by itself until the time is over.
        consumer.is_ok_and(|consumer| {
            let metadata = consumer.fetch_metadata(None, READY_WITHIN);
            metadata.is_ok_and(|metadata| !metadata.brokers().is_empty())
        })
    });
    asked.await.unwrap_or(false)
}

/// Formats the data folder, which a node must have before it starts.
async fn format_storage(
    artefacts: &Artefacts,
    class_path: &str,
    settings: &Path,
    log: &Path,
) -> Result<(), EnvironmentError> {
    let failed = |source| EnvironmentError::System { what: "Kafka's storage cannot be formatted".into(), source };
    let output = fs::File::options().create(true).append(true).open(log).map_err(failed)?;
    let errors = output.try_clone().map_err(failed)?;
    let mut command = std::process::Command::new(&artefacts.java);
    command
        .args(JAVA_OPTIONS)
        .args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", class_path])
        .args(["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "--config"])
        .arg(settings)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors);
    let status = tokio::task::spawn_blocking(move || command.status());
    let status = status.await.map_err(|error| failed(std::io::Error::other(error)))?.map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    let last_lines = fs::read_to_string(log).unwrap_or_default();
    Err(EnvironmentError::Ended(crate::environment::ComponentEnded {
        name: "kafka (formatting its storage)".into(),
        how: status.to_string(),
        log: log.to_owned(),
        last_lines,
    }))
}

/// Any id will do: the cluster is one node that nobody else joins.
const CLUSTER_ID: &str = "YXNzYXktZW1iZWRkZWQtMQ";

/// Replication factors of 1, since there is one node; no topic by accident; segments and caches fit for short runs.
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
log.segment.bytes=134217728
log.cleaner.dedupe.buffer.size=4194304
",
        data.display()
    )
}
