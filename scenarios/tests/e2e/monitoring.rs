//! What people watch while it runs: the metrics, a real Prometheus that scrapes them, and the dashboards that ask it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use super::harness::{Bench, alone, assay, shared_environment, signal, wait_until};

/// Five events are acked and go nowhere.
const LOSS: &str = "[[planted_defect]]\nname = \"ack_then_drop\"\nevents = 60\n";

/// A round takes some twenty seconds, more where others run beside it.
const WITHIN: Duration = Duration::from_mins(2);

/// A running `assay watch`.
struct Watching {
    child: Child,
    address: String,
    bench: Bench,
}

impl Watching {
    /// Watches the bench's scenario on the shared substrate.
    fn start(bench: Bench, arguments: &[&str]) -> Self {
        let scenario = bench.out().with_file_name("e2e.toml");
        let mut command = assay(["watch", "--metrics", "0", "--scenario"]);
        command.arg(scenario).arg("--out").arg(bench.out()).arg("--env").arg(shared_environment()).args(arguments);
        let mut child = command.env("TMPDIR", bench.tmp()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.ok()?;
            Some(line.strip_prefix("metrics at http://")?.split('/').next()?.to_owned())
        });
        // What is not read would stop the writer.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address: address.expect("it says where"), bench }
    }

    fn metrics(&self) -> String {
        get(&self.address, "/metrics").1
    }

    /// The value of a series, as it stands in the text.
    fn value(&self, series: &str) -> Option<f64> {
        let text = self.metrics();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned));
        line.and_then(|value| value.parse().ok())
    }

    fn rounds(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.bench.out().join("e2e")).unwrap().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir() && !path.is_symlink()).collect()
    }
}

/// The status and the body of an answer; nothing where nobody answers.
fn get(address: &str, path: &str) -> (u16, String) {
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect(address) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        let _ = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer).map(drop));
    }
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

#[test]
fn a_watch_counts_what_is_lost_round_after_round() {
    let _room = alone();
    let mut watch = Watching::start(Bench::new(LOSS), &["--rounds", "2", "--keep", "1"]);
    assert!(wait_until(WITHIN, || watch.value("assay_events_overdue") == Some(60.0)), "{}", watch.metrics());
    let lost = "assay_defects_total{class=\"lost\"}";
    assert!(wait_until(WITHIN, || watch.value(lost) == Some(60.0)), "{}", watch.metrics());
    for (series, value) in [
        ("assay_events_acked_total", 6_000.0),
        ("assay_events_visible_total", 5_940.0),
        ("assay_time_to_visible_seconds_count", 5_940.0),
        ("assay_defects_total{class=\"corrupted\"}", 0.0),
        ("assay_rounds_total{verdict=\"fail\"}", 1.0),
    ] {
        // Resent events are acked again, and the next round may have begun; of this one defects are told before its end.
        let reached = || watch.value(series).is_some_and(|found| found >= value);
        assert!(wait_until(WITHIN, reached), "{series}: {:?}", watch.value(series));
    }
    assert_eq!(get(&watch.address, "/runbooks/lost").0, 200);
    assert!(get(&watch.address, "/").1.contains("greatest lag of a partition"));
    assert_eq!(watch.child.wait().unwrap().code(), Some(1), "a promise was broken");
    assert_eq!(watch.rounds().len(), 1, "{:?}", watch.rounds());
}

#[test]
fn a_watch_that_was_killed_is_judged_by_the_next_and_ctrl_c_ends_it() {
    let _room = alone();
    let mut killed = Watching::start(Bench::new(""), &[]);
    assert!(wait_until(WITHIN, || killed.value("assay_events_acked_total") > Some(500.0)));
    signal(killed.child.id(), "KILL");
    killed.child.wait().unwrap();
    let [left] = killed.rounds().try_into().unwrap();
    assert!(!left.join("verdict.json").exists());
    let mut next = Watching::start(killed.bench, &[]);
    assert!(wait_until(WITHIN, || left.join("verdict.json").exists()));
    let verdict: Value = serde_json::from_str(&fs::read_to_string(left.join("verdict.json")).unwrap()).unwrap();
    assert_eq!(verdict["verdict"], "inconclusive");
    assert!(
        wait_until(WITHIN, || next.value("assay_rounds_total{verdict=\"pass\"}") == Some(1.0)),
        "{}",
        next.metrics()
    );
    assert!(wait_until(WITHIN, || next.value("assay_run_phase{phase=\"sending\"}") == Some(1.0)));
    signal(next.child.id(), "INT");
    assert_eq!(next.child.wait().unwrap().code(), Some(0), "every round that ran to its end has passed");
}

/// A Prometheus of the test's own.
struct Prometheus {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Prometheus {
    /// Scrapes `target` every second, with the rules of the repository; `None` where Prometheus is not installed, unless it
    /// must be.
    fn start(target: &str) -> Option<Self> {
        let there = Command::new("prometheus").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        let must = std::env::var_os("ASSAY_PROMETHEUS").is_some_and(|value| value == "require");
        assert!(there.is_ok() || !must, "prometheus is not there, and ASSAY_PROMETHEUS=require");
        there.ok()?;
        let folder = tempfile::tempdir().unwrap();
        let rules = grafana().join("*.rules.yml");
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: ['{}']\n\
             scrape_configs:\n  - job_name: assay\n    static_configs: [{{ targets: ['{target}'] }}]\n",
            rules.display()
        );
        fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let prometheus = Self { child, address, _folder: folder };
        assert!(wait_until(WITHIN, || get(&prometheus.address, "/-/ready").0 == 200), "it does not become ready");
        Some(prometheus)
    }

    /// The answer of its API, which may come in chunks: what stands between the outermost braces.
    fn ask(&self, path: &str) -> Value {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        // HTTP/1.0 has no chunks.
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {answer}"))
    }

    fn query(&self, query: &str) -> Vec<Value> {
        let encoded: Vec<String> = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.ask(&format!("/api/v1/query?query={}", encoded.concat()));
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().unwrap().clone()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        signal(self.child.id(), "TERM");
        let _ = self.child.wait();
    }
}

fn grafana() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/grafana")
}

/// Every query of a dashboard, with its variables filled in.
fn queries(dashboard: &str) -> Vec<String> {
    let text = fs::read_to_string(grafana().join(dashboard)).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let filled = |query: &str| {
        let filled = query.replace("$instance", ".+").replace("$group", ".+");
        filled.replace("$__range", "5m").replace("$__rate_interval", "1m")
    };
    targets.map(|target| filled(target["expr"].as_str().unwrap())).collect()
}

/// The names that ClickHouse's endpoint gives its events are those that its engine counts under (`ProfileEvents` of
/// `PrometheusMetricsWriter.cpp`).
#[test]
fn what_is_asked_of_clickhouse_is_what_its_engine_counts() {
    const PREFIX: &str = "ClickHouseProfileEvents_";
    let environment: Value = serde_json::from_str(&fs::read_to_string(shared_environment()).unwrap()).unwrap();
    let url = environment["substrate"]["addresses"]["clickhouse_url"].as_str().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let known = runtime.block_on(async {
        let query = "SELECT event FROM system.events SETTINGS system_events_show_zero_values = 1";
        let answer = reqwest::Client::new().post(url).body(query).send().await.unwrap();
        answer.error_for_status().unwrap().text().await.unwrap()
    });
    let known: Vec<&str> = known.lines().collect();
    assert!(known.len() > 100, "{known:?}");
    for file in ["pipeline.json", "pipeline.rules.yml"] {
        let text = fs::read_to_string(grafana().join(file)).unwrap();
        let names: Vec<&str> = text
            .split(PREFIX)
            .skip(1)
            .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap())
            .collect();
        assert!(names.len() > 3, "{file}");
        for name in names {
            assert!(known.contains(&name), "{file} asks for {PREFIX}{name}");
        }
    }
}

#[test]
fn a_real_prometheus_answers_every_dashboard_and_raises_the_alarm() {
    let _room = alone();
    let mut watch = Watching::start(Bench::new(LOSS), &[]);
    if let Some(prometheus) = Prometheus::start(&watch.address) {
        let alert = "ALERTS{alertname=\"AssayDefectFound\", class=\"lost\", alertstate=\"firing\"}";
        assert!(wait_until(WITHIN, || !prometheus.query(alert).is_empty()), "{}", watch.metrics());
        let of_assay = queries("assay.json");
        assert!(of_assay.len() > 20, "{of_assay:?}");
        for query in of_assay {
            // This scenario plans no faults.
            let may_be_empty = query.contains("assay_fault_active");
            // The alarm comes when a round is judged, and how far consumers are behind is known again in the next one.
            let is_answered = may_be_empty || wait_until(WITHIN, || !prometheus.query(&query).is_empty());
            assert!(is_answered, "nothing answers {query}");
        }
        // The reference pipeline has none of these exporters, but the queries must be right.
        for query in queries("pipeline.json") {
            prometheus.query(&query);
        }
        let rules = prometheus.ask("/api/v1/rules");
        let groups = rules["data"]["groups"].as_array().unwrap();
        for rule in groups.iter().filter_map(|group| group["rules"].as_array()).flatten() {
            assert_eq!(rule["health"], "ok", "{rule}");
        }
    }
    signal(watch.child.id(), "INT");
    watch.child.wait().unwrap();
}
