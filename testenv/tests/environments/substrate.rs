//! Kafka, ClickHouse and pipelines on them, as child processes and as containers. The parts are fetched the first time.

use std::{
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use libtest_mimic::Trial;
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
    producer::{FutureProducer, FutureRecord},
};
use rustix::process::{Pid, test_kill_process};
use serde_json::json;
use testenv::{
    embedded::{
        kafka::rehearse,
        substrate::{SubstrateOptions, up},
    },
    environment::{EnvironmentError, component::Component, pipeline::Pipeline, tables::Topics},
};

use super::bench::{Bench, Kind, artefacts, on_a_runtime, pipeline_up, substrate, until};

/// What holds wherever a pipeline is.
pub fn tests(kind: Kind) -> Vec<Trial> {
    crate::trials![
        kind;
        pipelines_on_one_substrate_do_not_meet_and_leave_nothing_behind,
        a_component_that_dies_is_named_and_another_life_is_possible,
        a_run_whose_name_means_something_elsewhere_is_refused,
        all_goes_when_its_owner_is_killed,
    ]
}

/// What is so only where components are child processes.
pub fn embedded_tests() -> Vec<Trial> {
    crate::trials![
        a_used_port_is_named,
        a_kafka_that_cannot_start_says_why_and_leaves_nothing_behind,
        java_keeps_the_classes_of_kafka_once_and_uses_them,
        half_an_archive_of_classes_is_not_kept,
    ]
}

fn runs(pid: i32) -> bool {
    test_kill_process(Pid::from_raw(pid).unwrap()).is_ok()
}

/// The rows of `table`, with an own client: what a stranger sees.
async fn rows(pipeline: &Pipeline, table: &str) -> u64 {
    let endpoint = &pipeline.endpoints().clickhouse;
    let client = clickhouse::Client::default().with_url(&endpoint.url).with_database(&endpoint.database);
    client.query(&format!("SELECT count() FROM {table}")).fetch_one().await.unwrap()
}

/// Topics that begin with `run`.
fn topics_of(brokers: &str, run: &str) -> Vec<String> {
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let metadata = consumer.fetch_metadata(None, Duration::from_secs(10)).unwrap();
    let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
    names.filter(|name| name.starts_with(run)).collect()
}

/// Files that hold rows of `MergeTree` tables.
fn files_with_rows(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, |entries| {
        let entries = entries.flatten().map(|entry| entry.path());
        entries.map(|path| if path.is_dir() { files_with_rows(&path) } else { holds_rows(&path) }).sum()
    })
}

fn holds_rows(path: &Path) -> usize {
    usize::from(path.extension().is_some_and(|extension| extension == "bin"))
}

fn pipelines_on_one_substrate_do_not_meet_and_leave_nothing_behind(kind: Kind) {
    on_a_runtime(async {
        let bench = Bench::new(kind);
        let substrate = bench.substrate().await;
        let (first, second) = (bench.pipeline("first"), bench.pipeline("second"));
        let (first, second) =
            tokio::try_join!(pipeline_up(&substrate, &first), pipeline_up(&substrate, &second)).unwrap();
        assert_ne!(first.endpoints().capture, second.endpoints().capture);
        assert!(std::net::TcpStream::connect(first.endpoints().capture).is_ok());

        produce(&substrate.addresses().brokers, &Topics::of("first")).await;
        for (table, count) in [("events", 1), ("person", 1), ("person_distinct_id2", 2), ("groups", 1)] {
            until(count, async || rows(&first, table).await).await;
            assert_eq!(rows(&second, table).await, 0, "{table}");
        }
        until(1, async || rows(&first, "person_distinct_id_overrides").await).await;
        assert_eq!(session(&first).await, ("s1".to_owned(), "7".to_owned()));
        // What is in a container's own files goes with it.
        let files = || (kind == Kind::Embedded).then(|| files_with_rows(&bench.data().join("clickhouse")));
        assert_ne!(files(), Some(0));
        assert_eq!(topics_of(&substrate.addresses().brokers, "first_").len(), 15);

        let pids: Vec<i32> = first.components().iter().map(|component| component.pid().unwrap()).collect();
        first.down().await.unwrap();
        assert!(!pids.into_iter().any(runs));
        assert!(matches!(files(), None | Some(0)));
        until(Vec::new(), async || topics_of(&substrate.addresses().brokers, "first_")).await;

        // The other one goes on.
        produce(&substrate.addresses().brokers, &Topics::of("second")).await;
        until(1, async || rows(&second, "events").await).await;

        let components = substrate.components().iter().chain(second.components());
        let pids: Vec<i32> = components.map(|component| component.pid().unwrap()).collect();
        second.down().await.unwrap();
        substrate.down().await;
        assert!(!pids.into_iter().any(runs));
        assert!(!bench.data().exists());
    });
}

async fn session(pipeline: &Pipeline) -> (String, String) {
    let endpoint = &pipeline.endpoints().clickhouse;
    let client = clickhouse::Client::default().with_url(&endpoint.url).with_database(&endpoint.database);
    client.query("SELECT `$session_id`, `$group_0` FROM events").fetch_one().await.unwrap()
}

/// An event, a person, two distinct ids, of which one was moved, and a group, as an ingester emits them.
async fn produce(brokers: &str, topics: &Topics) {
    let id = "018f1e66-0000-7000-8000-000000000001";
    let event = json!({
        "uuid": id, "event": "$pageview", "properties": r#"{"$session_id":"s1","$group_0":7}"#,
        "timestamp": "2026-09-01 10:00:00.123000", "team_id": 1, "project_id": 1, "distinct_id": "u",
        "elements_chain": "", "created_at": "2026-09-01 10:00:01.000000", "captured_at": "2026-09-01 10:00:01.000000",
        "person_id": id, "person_properties": "{}", "person_created_at": "2026-09-01 10:00:00", "person_mode": "full",
        "historical_migration": false, "unknown": true,
    });
    let person = json!({
        "id": id, "created_at": "2026-09-01 10:00:00.123", "team_id": 1, "properties": "{}", "is_identified": 0,
        "is_deleted": 0, "version": 0,
    });
    let distinct_id = |distinct_id: &str, version: i64| json!({"team_id": 1, "distinct_id": distinct_id, "person_id": id, "is_deleted": 0, "version": version});
    let group = json!({
        "group_type_index": 0, "group_key": "7", "created_at": "2026-09-01 10:00:00", "team_id": 1, "group_properties": "{}",
    });
    let producer: FutureProducer = ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    for (topic, message) in [
        (&topics.events, event),
        (&topics.persons, person),
        (&topics.distinct_ids, distinct_id("stayed", 0)),
        (&topics.distinct_ids, distinct_id("moved", 1)),
        (&topics.groups, group),
    ] {
        let message = message.to_string();
        let record = FutureRecord::<(), _>::to(topic).payload(&message);
        producer.send(record, Duration::from_secs(10)).await.unwrap();
    }
}

fn a_component_that_dies_is_named_and_another_life_is_possible(kind: Kind) {
    on_a_runtime(async {
        let bench = Bench::new(kind);
        let substrate = bench.substrate().await;
        let pipeline = pipeline_up(&substrate, &bench.pipeline("r")).await.unwrap();
        let named = |components: &[Component], name: &str| {
            components.iter().find(|component| component.name() == name).unwrap().clone()
        };
        let capture = named(pipeline.components(), "capture");
        let first = capture.pid().unwrap();
        capture.kill().await.unwrap();
        assert!(std::net::TcpStream::connect(pipeline.endpoints().capture).is_err());
        capture.start_again().await.unwrap();
        assert_ne!(capture.pid(), Some(first));
        assert!(std::net::TcpStream::connect(pipeline.endpoints().capture).is_ok());
        named(pipeline.components(), "ingester").kill_by_surprise().await.unwrap();
        let ended = pipeline.failed().await;
        assert_eq!((ended.name.as_str(), ended.how.as_str()), ("ingester", "signal 9"));
        named(substrate.components(), "kafka").kill_by_surprise().await.unwrap();
        let ended = substrate.failed().await;
        assert_eq!((ended.name.as_str(), ended.how.as_str()), ("kafka", "signal 9"));
        substrate.down().await;
        assert!(!bench.data().exists());
    });
}

fn a_used_port_is_named() {
    on_a_runtime(async {
        let bench = Bench::new(Kind::Embedded);
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        for (kafka_port, clickhouse_port, expected) in [(Some(port), None, "kafka"), (None, Some(port), "clickhouse")] {
            let options = SubstrateOptions { kafka_port, clickhouse_port, ..bench.embedded() };
            match up(&options).await.unwrap_err() {
                EnvironmentError::PortUsed { port: named, name } => assert_eq!((named, name), (port, expected)),
                other => panic!("{other}"),
            }
            assert!(!bench.data().exists());
        }
    });
}

fn a_kafka_that_cannot_start_says_why_and_leaves_nothing_behind() {
    on_a_runtime(async {
        let bench = Bench::new(Kind::Embedded);
        let mut options = bench.embedded();
        options.artefacts.kafka_libs = bench.path();
        let error = up(&options).await.unwrap_err().to_string();
        assert!(error.contains("kafka") && error.contains("Could not find or load main class"), "{error}");
        assert!(error.contains("kafka.log"), "{error}");
        assert!(!bench.data().exists());
    });
}

fn java_keeps_the_classes_of_kafka_once_and_uses_them() {
    on_a_runtime(async {
        let bench = Bench::new(Kind::Embedded);
        let mut options = bench.embedded();
        let libs = bench.path().join("libs");
        std::os::unix::fs::symlink(&options.artefacts.kafka_libs, &libs).unwrap();
        options.artefacts.kafka_libs = libs;
        let lines = std::sync::Mutex::new(Vec::new());
        let tell = |line: &str| lines.lock().unwrap().push(line.to_owned());
        let rehearsed = async || rehearse(&options.executable, &options.artefacts, &tell).await.unwrap();
        let archive = bench.path().join(format!("classes-{}.jsa", options.artefacts.java_version));
        // Whether Java has it in its memory, where it takes it.
        let uses_it = async || {
            let substrate = up(&options).await.unwrap();
            let kafka = substrate.components().iter().find(|component| component.name() == "kafka").unwrap();
            let maps = std::fs::read_to_string(format!("/proc/{}/maps", kafka.pid().unwrap())).unwrap();
            substrate.down().await;
            maps.contains(archive.to_str().unwrap())
        };
        assert!(!uses_it().await);
        rehearsed().await;
        assert!(uses_it().await);
        rehearsed().await;
        let told = lines.lock().unwrap().clone();
        assert!(told.len() == 1 && told[0].starts_with("starting Kafka once"), "{told:?}");
        let mut left: Vec<_> = std::fs::read_dir(bench.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        left.retain(|path| path.to_str().unwrap().contains("rehearsal"));
        assert!(left.is_empty(), "{left:?}");

        // That a Java writes none is kept, too, and with nothing in it Kafka starts as without.
        std::fs::remove_file(&archive).unwrap();
        std::fs::write(&archive, "").unwrap();
        rehearsed().await;
        assert!(lines.lock().unwrap().len() == 1 && !uses_it().await);
    });
}

/// A Java that ends as the real one does, and leaves half of the archive that it was told to write.
const HALVES: &str = r#"#!/bin/sh
JAVA "$@" &
java=$!
trap 'kill "$java"' TERM
wait "$java"
code=$?
while kill -0 "$java" 2>/dev/null; do wait "$java"; code=$?; done
for option in "$@"; do
  case $option in -XX:ArchiveClassesAtExit=*)
    archive=${option#*=}
    truncate --size "$(($(stat --format %s "$archive") / 2))" "$archive"
    echo halved >>"$0.log" ;;
  esac
done
exit "$code"
"#;

fn half_an_archive_of_classes_is_not_kept() {
    on_a_runtime(async {
        let bench = Bench::new(Kind::Embedded);
        let mut options = bench.embedded();
        let (libs, java) = (bench.path().join("libs"), bench.path().join("java"));
        std::os::unix::fs::symlink(&options.artefacts.kafka_libs, &libs).unwrap();
        std::fs::write(&java, HALVES.replace("JAVA", options.artefacts.java.to_str().unwrap())).unwrap();
        std::fs::set_permissions(&java, std::fs::Permissions::from_mode(0o755)).unwrap();
        (options.artefacts.kafka_libs, options.artefacts.java) = (libs, java);
        let lines = std::sync::Mutex::new(Vec::new());
        let tell = |line: &str| lines.lock().unwrap().push(line.to_owned());
        rehearse(&options.executable, &options.artefacts, &tell).await.unwrap();
        let told = lines.lock().unwrap().clone();
        assert_eq!(std::fs::read_to_string(bench.path().join("java.log")).unwrap(), "halved\n");
        assert!(told.len() == 2 && told[1].contains("could not be kept"), "{told:?}");
        let left = std::fs::read_dir(bench.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = left.filter(|name| name.to_str().unwrap().starts_with("classes-")).collect();
        assert!(left.is_empty(), "{left:?}");
    });
}

fn a_run_whose_name_means_something_elsewhere_is_refused(kind: Kind) {
    on_a_runtime(async {
        let bench = Bench::new(kind);
        let substrate = bench.substrate().await;
        for name in ["", "a`b", "../up", "a b"] {
            let error = pipeline_up(&substrate, &bench.pipeline(name)).await.unwrap_err();
            assert!(matches!(&error, EnvironmentError::RunName(refused) if refused == name), "{error}");
        }
        substrate.down().await;
    });
}

fn all_goes_when_its_owner_is_killed(kind: Kind) {
    let bench = Bench::new(kind);
    let (mut owner, stdin, pids) = owner(&bench);
    owner.kill().unwrap();
    owner.wait().unwrap();
    on_a_runtime(until(false, async || pids.iter().any(|pid| runs(*pid)) || bench.data().exists()));
    drop(stdin);
}

/// Another process of this binary that owns a substrate: it tells its children's process ids.
fn owner(bench: &Bench) -> (Child, ChildStdin, Vec<i32>) {
    // Not within the time that it may take.
    artefacts();
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .arg("own")
        .arg(bench.kind.word())
        .arg(bench.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(owner.stdout.take().unwrap()), &mut line).unwrap();
    let pids: Vec<i32> = line.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 2, "{line}");
    let stdin = owner.stdin.take().unwrap();
    (owner, stdin, pids)
}

/// What that process does, until its stdin closes.
pub fn own(kind: Kind, folder: &Path) {
    on_a_runtime(async {
        let substrate = substrate(kind, folder).await;
        let pids: Vec<String> =
            substrate.components().iter().map(|component| component.pid().unwrap().to_string()).collect();
        std::io::Write::write_all(&mut std::io::stdout(), format!("{}\n", pids.join(" ")).as_bytes()).unwrap();
        let mut nothing = String::new();
        std::io::stdin().read_line(&mut nothing).unwrap();
        substrate.down().await;
    });
}
