//! Preparing, with tools that are scripts.

use std::{
    cell::RefCell,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;

/// A machine with only the tools that are put on it.
struct Bench {
    folder: tempfile::TempDir,
}

const JAVA: &str = "echo 'openjdk version \"17.0.1\" 2025-01-01' >&2";
/// Writes each jar that the real Maven would, wrong inside.
const WRONG_MAVEN: &str = "mkdir -p libs; echo wrong > libs/kafka-server-4.4.0.jar";
const NPM: &str =
    "mkdir -p node_modules/@chdb/lib-linux-x64-gnu; echo engine > node_modules/@chdb/lib-linux-x64-gnu/libchdb.so";

impl Bench {
    fn new(tools: &[(&str, &str)]) -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(bench.folder.path().join("bin")).unwrap();
        for (name, script) in tools {
            let path = bench.folder.path().join("bin").join(name);
            install_script(&path, &format!("#!/bin/sh\n{script}\n"));
        }
        bench
    }

    fn places(&self) -> Places {
        // The scripts themselves need a shell's tools.
        let path = std::env::join_paths([self.folder.path().join("bin"), "/nowhere".into()]).unwrap();
        Places { cache: self.folder.path().join("cache"), path, java_home: None }
    }

    fn with_system_tools(&self) -> Places {
        let path = [self.folder.path().join("bin"), "/bin".into(), "/usr/bin".into()];
        Places { path: std::env::join_paths(path).unwrap(), ..self.places() }
    }

    fn have_kafka(&self) {
        fs::create_dir_all(self.places().cache.join(format!("kafka-{KAFKA_VERSION}/libs"))).unwrap();
    }

    fn have_clickhouse(&self) {
        fs::create_dir_all(self.places().cache.join(format!("clickhouse-{CLICKHOUSE_PACKAGE_VERSION}"))).unwrap();
    }
}

fn quiet(_: &str) {}

/// Another process writes the file: one that this process had open for writing while another test forks could not be
/// executed ("text file busy").
fn install_script(path: &Path, text: &str) {
    let mut shell = Command::new("sh")
        .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    io::Write::write_all(&mut shell.stdin.take().unwrap(), text.as_bytes()).unwrap();
    assert!(shell.wait().unwrap().success());
}

#[test]
fn a_missing_tool_is_named_with_what_to_do() {
    let told = |bench: &Bench| {
        let error = prepare(&bench.places(), &quiet).unwrap_err();
        (error.to_string(), error.help())
    };
    let (what, help) = told(&Bench::new(&[]));
    assert!(what.starts_with("`java` is not there") && help.contains("install Java 17"), "{what} {help}");
    let (what, help) = told(&Bench::new(&[("java", JAVA)]));
    assert!(what.starts_with("`mvn` is not there") && help.contains("install Maven"), "{what} {help}");
    let bench = Bench::new(&[("java", JAVA)]);
    bench.have_kafka();
    let (what, help) = told(&bench);
    assert!(what.starts_with("`npm` is not there") && help.contains("install npm"), "{what} {help}");
    let (what, _) = told(&Bench::new(&[("java", "echo 'java version \"1.8.0_202\"' >&2")]));
    assert!(what.contains("1.8.0_202") && what.contains("needs Java 17"), "{what}");
}

#[test]
fn once_prepared_only_java_is_needed() {
    let bench = Bench::new(&[("java", JAVA)]);
    bench.have_kafka();
    bench.have_clickhouse();
    let artefacts = prepare(&bench.places(), &quiet).unwrap();
    assert!(artefacts.clickhouse_library.ends_with("libchdb.so"));
    let without_java = Bench::new(&[]);
    without_java.have_kafka();
    without_java.have_clickhouse();
    assert!(matches!(prepare(&without_java.places(), &quiet), Err(PrepareError::NoTool { tool: "java", .. })));
}

#[test]
fn a_failed_download_tells_what_the_tool_said_and_keeps_nothing() {
    let bench = Bench::new(&[("java", JAVA), ("mvn", "echo 'Unknown host repo'; exit 1")]);
    let error = prepare(&bench.with_system_tools(), &quiet).unwrap_err();
    assert!(error.to_string().contains("Unknown host repo"), "{error}");
    assert!(error.help().contains("network"), "{}", error.help());
    let left: Vec<_> = fs::read_dir(bench.places().cache).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["prepare.lock"]);
}

#[test]
fn a_file_that_is_not_the_pinned_one_is_refused() {
    let bench = Bench::new(&[("java", JAVA), ("mvn", WRONG_MAVEN)]);
    let error = prepare(&bench.with_system_tools(), &quiet).unwrap_err();
    assert!(matches!(&error, PrepareError::Digest { file, .. } if file == "kafka-server-4.4.0.jar"), "{error}");
    assert!(!bench.places().cache.join(format!("kafka-{KAFKA_VERSION}")).exists());

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.jar"), "a").unwrap();
    let digest = sha256(&folder.path().join("a.jar")).unwrap();
    let check = |list: &str| check_digests(folder.path(), list).map_err(|error| error.to_string());
    assert_eq!(check(&format!("{digest}  a.jar\n")), Ok(()));
    assert!(check(&format!("{digest}  a.jar\n{digest}  b.jar\n")).unwrap_err().contains("missing"));
    assert!(check("").unwrap_err().contains("no such file"));
}

#[test]
fn an_unfinished_part_starts_again_and_a_finished_one_is_kept() {
    let bench = Bench::new(&[("java", JAVA), ("npm", NPM)]);
    bench.have_kafka();
    let cache = bench.places().cache;
    let unfinished = cache.join(format!("clickhouse-{CLICKHOUSE_PACKAGE_VERSION}.unfinished-1"));
    fs::create_dir_all(unfinished.join("half")).unwrap();
    let artefacts = prepare(&bench.with_system_tools(), &quiet).unwrap();
    assert!(artefacts.clickhouse_library.is_file());
    assert!(!unfinished.exists());
    assert!(cache.join(format!("kafka-{KAFKA_VERSION}/libs")).is_dir());
    assert!(!cache.join(format!("clickhouse-{CLICKHOUSE_PACKAGE_VERSION}/half")).exists());
}

#[test]
fn two_at_once_prepare_once() {
    let bench = Bench::new(&[("java", JAVA), ("npm", &format!("echo x >> \"$0.calls\"; sleep 0.3; {NPM}"))]);
    bench.have_kafka();
    let waited = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let lines = RefCell::new(Vec::new());
                prepare(&bench.with_system_tools(), &|line| lines.borrow_mut().push(line.to_owned())).unwrap();
                let told = lines.borrow().iter().any(|line| line.contains("waiting for another run"));
                waited.fetch_add(usize::from(told), Ordering::Relaxed);
            });
        }
    });
    let calls = fs::read_to_string(bench.folder.path().join("bin/npm.calls")).unwrap();
    assert_eq!(calls.lines().count(), 1);
    assert_eq!(waited.into_inner(), 1);
}

#[test]
fn an_unusable_cache_is_named() {
    let bench = Bench::new(&[("java", JAVA)]);
    fs::write(bench.folder.path().join("cache"), "a file").unwrap();
    let error = prepare(&bench.places(), &quiet).unwrap_err();
    assert!(error.to_string().contains("cache") && error.help().contains("ASSAY_CACHE"), "{error}");
}

#[test]
fn a_full_disk_is_no_trouble_of_the_network() {
    let bench = Bench::new(&[("java", JAVA), ("npm", "echo 'npm error code ENOSPC' >&2; exit 1")]);
    bench.have_kafka();
    let error = prepare(&bench.with_system_tools(), &quiet).unwrap_err();
    assert!(matches!(&error, PrepareError::Cache { source, .. } if source.kind() == io::ErrorKind::StorageFull));
    assert!(error.help().contains("make room"), "{}", error.help());
}
