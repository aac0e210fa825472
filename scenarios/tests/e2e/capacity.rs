//! Searches for a capacity, in a short form: what is asserted is that they are honest, not how fast a machine is.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use testenv::embedded::quota::can_be_had;

use crate::harness::{Bench, UP_WITHIN, alone, assay, docker, in_containers, shared_environment, signal, wait_until};

const SCENARIO: &str = r#"
[scenario]
name = "search"
description = "two steps, coarse, short"

[capacity]
from       = "400/s"
to         = "1600/s"
resolution = "100%"

[[step]]
ingesters  = 1
partitions = 2

[[step]]
ingesters  = 2
partitions = 2

[[traffic]]
name     = "app"
duration = "3s"
arrival  = { shape = "constant", rate = "800/s" }
batch    = { size = "1..40" }

[expect]
complete   = "99%"
correct    = "99%"
loss_after = "5s"
quiet      = "2s"
time_to_visible = { p99 = "10s" }
"#;

struct Place(TempDir);

impl Place {
    fn new(scenario: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("search.toml"), scenario).unwrap();
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("search.toml")
    }

    fn out(&self) -> PathBuf {
        self.0.path().join("runs")
    }

    fn latest(&self) -> PathBuf {
        self.out().join("search/latest")
    }

    /// Runs the search on the shared substrate.
    fn run(&self, more: &[&str]) -> Output {
        let environment = shared_environment();
        let _room = alone();
        let mut command = assay(["run"]);
        command.args(more).arg(self.file()).arg("--env").arg(environment).arg("--out").arg(self.out());
        command.output().unwrap()
    }

    /// The exit code of a run, what it found, and what it told meanwhile.
    fn search(&self) -> (Option<i32>, Value, String) {
        let output = self.run(&["--json"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let found = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"));
        (output.status.code(), found, told)
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        .unwrap()
}

#[test]
fn each_step_has_the_highest_rate_that_passed_and_a_run_for_every_trial() {
    let place = Place::new(SCENARIO);
    let output = place.run(&[]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let found = read(&place.latest().join("scaling.json"));
    assert_eq!(output.status.code().map(u64::try_from), found["exit_code"].as_u64().map(Ok), "{told}");
    assert_eq!((&found["schema"], &found["complete"]), (&Value::from(1), &Value::from(true)), "{told}");
    let steps = found["steps"].as_array().unwrap();
    assert_eq!(steps.iter().map(|step| step["size"].as_f64()).collect::<Vec<_>>(), [Some(1.0), Some(2.0)], "{told}");
    for step in steps {
        let trials = step["trials"].as_array().unwrap();
        let highest = |outcome: bool| {
            trials
                .iter()
                .filter(move |trial| (trial["outcome"] == "held") == outcome)
                .filter_map(|trial| trial["rate"].as_u64())
        };
        assert!(!trials.is_empty(), "{told}");
        assert_eq!(step["capacity"].as_u64(), highest(true).max(), "{told}");
        assert_eq!(step["failed"].as_u64(), highest(false).min(), "{told}");
        for trial in trials {
            let rate = trial["rate"].as_u64().unwrap();
            assert!([400, 800, 1_600].contains(&rate), "{told}");
            let directory = place.latest().join(trial["directory"].as_str().unwrap());
            let (verdict, manifest) = (read(&directory.join("verdict.json")), read(&directory.join("manifest.json")));
            assert_eq!(verdict["verdict"], trial["verdict"], "{told}");
            assert_eq!(verdict["counts"]["planned"].as_u64(), Some(3 * rate), "{told}");
            assert_eq!(manifest["environment"]["ingesters"], step["ingesters"], "{told}");
            assert_eq!(trial["outcome"] == "held", trial["verdict"] == "pass", "{told}");
        }
        // Nothing here is too much for any machine, but what did not hold must be said and counted.
        assert_eq!(step["limited_by"] == "range", highest(false).next().is_none(), "{told}");
    }
    assert!(found["no_fit"].is_string() && found["fit"].is_null(), "two steps carry no law: {told}");
    assert!(told.contains("How it scales cannot be told"), "{told}");
}

#[test]
fn a_search_that_is_stopped_tells_what_it_has_measured_and_is_inconclusive() {
    let place = Place::new(SCENARIO);
    let environment = shared_environment();
    let _room = alone();
    let mut command = assay(["run", "--json"]);
    command.arg(place.file()).arg("--env").arg(environment).arg("--out").arg(place.out());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let written = || {
        let searches = fs::read_dir(place.out().join("search")).into_iter().flatten().flatten();
        searches.into_iter().any(|search| search.path().join("scaling.json").exists())
    };
    assert!(wait_until(UP_WITHIN, written), "no trial ended");
    std::thread::sleep(Duration::from_millis(200));
    signal(child.id(), "INT");
    let output = child.wait_with_output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{found:#}");
    assert_eq!((&found["complete"], &found["verdict"]), (&Value::from(false), &Value::from("inconclusive")));
    assert!(!found["steps"][0]["trials"].as_array().unwrap().is_empty(), "{found:#}");
    assert_eq!(found, read(&place.latest().join("scaling.json")));
}

#[test]
fn the_smallest_machine_has_one_processor_and_idles() {
    let scenario = SCENARIO
        .split("[[step]]")
        .enumerate()
        .filter(|(part, _)| *part != 1)
        .map(|(part, text)| if part == 2 { text.split_once("[[traffic]]").unwrap().1 } else { text })
        .collect::<Vec<_>>()
        .join("[[traffic]]");
    let scenario = scenario.replace("resolution = \"100%\"", "resolution = \"100%\"\nidle = \"1s\"");
    let place = Place::new(&(scenario + "\n[pipeline]\nbudget = { processors = 1, memory = \"1GiB\" }\n"));
    let (_, found, _) = place.search();
    let names = |components: &Value| {
        let components = components.as_array().unwrap();
        components.iter().map(|component| component["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&found["idle"]["components"]), ["capture", "ingester", "assay"], "{found:#}");
    let [step] = found["steps"].as_array().unwrap().as_slice() else { panic!("{found:#}") };
    assert!(!step["trials"].as_array().unwrap().is_empty(), "{found:#}");
    assert!(found["no_fit"].is_null(), "there is nothing to compare: {found:#}");

    // More processors than any machine has.
    let impossible = fs::read_to_string(place.file()).unwrap().replace("processors = 1", "processors = 1024");
    let place = Place::new(&impossible);
    let output = place.run(&[]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(69), "{told}");
    let told = told.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
    assert!(told.contains("the budget is 1024 processors, and only"), "{told}");
}

/// What the daemon says of a container.
const LIMITS: &str = "{{.HostConfig.CpusetCpus}} {{.HostConfig.Memory}}";
/// What the kernel itself says in it, by cgroups of version 2 or 1.
const MEMORY: &str = "cd /sys/fs/cgroup; cat memory.max 2>/dev/null || cat memory/memory.limit_in_bytes";

/// Outside of a search as well, so that a run is long enough to be looked at.
#[test]
fn containers_are_held_to_the_budget_and_kafka_and_clickhouse_are_not() {
    if !in_containers() {
        let bench = Bench::new("[pipeline]\nbudget = { memory = \"1GiB\" }");
        let output = bench.run_command().output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{told}");
        assert!(told.contains("pipeline.budget.memory"), "{told}");
        return;
    }
    let _room = alone();
    let bench = Bench::new("[pipeline]\nbudget = { processors = 1, memory = \"1GiB\" }");
    let child = bench.start_sending();
    let held = |part: &str| docker(&["inspect", "--format", LIMITS], &bench.containers(part));
    let (capture, ingester) = (held("capture"), held("ingester"));
    let beside = [held("kafka"), held("clickhouse")].concat();
    let within = |part: &str, command: &str| {
        let [container]: [String; 1] = bench.containers(part).try_into().unwrap();
        docker(&["exec", &container, "sh", "-c", command], &[""; 0])
    };
    let processors = ["capture", "ingester"].map(|part| within(part, "nproc"));
    let memory = ["capture", "ingester"].map(|part| within(part, MEMORY));
    child.wait_with_output().unwrap();

    let half: u64 = 512 << 20;
    let processor = capture[0].strip_suffix(&format!(" {half}")).unwrap_or_else(|| panic!("{capture:?}"));
    assert!(processor.parse::<usize>().is_ok(), "one processor: {capture:?}");
    assert_eq!(capture, ingester, "the same processor, and half of the memory each");
    assert_eq!(beside, [" 0", " 0"], "no limit");
    assert_eq!(processors, [["1"], ["1"]]);
    assert_eq!(memory, [[half.to_string()], [half.to_string()]]);

    let limits = read(&bench.latest().unwrap().join("manifest.json"))["environment"]["limits"].clone();
    let told: Vec<_> = limits.as_array().unwrap().iter().map(|limit| limit["component"].as_str().unwrap()).collect();
    assert_eq!(told.len(), 2, "{limits:#}");
    for limit in limits.as_array().unwrap() {
        assert_eq!((limit["only_on"].as_str(), limit["memory"].as_u64()), (Some(processor), Some(half)), "{limits:#}");
    }
}

#[test]
fn each_component_has_its_share_of_a_processors_time_and_no_group_of_it_stays() {
    let bench = Bench::new("[pipeline]\nprocessors = 0.5");
    if !in_containers() && can_be_had(0.5).is_err() {
        let output = bench.run_command().output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{told}");
        assert!(told.contains("pipeline.processors"), "{told}");
        return;
    }
    let run = bench.run_alone();
    let directory = run.directory.as_ref().unwrap();
    let limits = read(&directory.join("manifest.json"))["environment"]["limits"].clone();
    let told: Vec<_> = limits.as_array().unwrap_or_else(|| panic!("{}", run.told())).iter().collect();
    assert_eq!(told.len(), 2, "{limits:#}");
    for (limit, component) in told.iter().zip(["capture", "ingester"]) {
        assert_eq!(
            (&limit["component"], &limit["processors"]),
            (&Value::from(component), &Value::from(0.5)),
            "{limits:#}"
        );
    }
    let used = run.verdict["run"]["components"].as_array().unwrap_or_else(|| panic!("{}", run.told()));
    assert!(used.iter().any(|component| component["cpu"].as_f64() > Some(0.0)), "{used:#?}");
    let id = directory.file_name().unwrap().to_string_lossy().rsplit('-').next().unwrap().to_owned();
    let groups =
        Command::new("find").args(["/sys/fs/cgroup", "-name", &format!("assay-run-r{id}-*")]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&groups.stdout), "", "what Assay has made it has removed");
}

/// An ingester that takes all the memory that it can get, as soon as it has begun.
const TAKES_ALL: &str = r#"
[pipeline]
budget = { processors = 1, memory = "128MiB" }

[pipeline.ingester]
image       = "assay/clickhouse:local"
entry_point = "/bin/sh"
command     = ["-c", "echo begun; sleep 1; exec tail /dev/zero"]
ready       = "begun"
"#;

#[test]
fn a_trial_whose_pipeline_is_killed_for_its_memory_does_not_hold_and_says_so() {
    if !in_containers() {
        return;
    }
    let place = Place::new(&(SCENARIO.to_owned() + TAKES_ALL));
    let (code, found, told) = place.search();
    assert_eq!(code, Some(1), "{told}\n{found:#}");
    for step in found["steps"].as_array().unwrap() {
        assert_eq!((&step["capacity"], &step["limited_by"]), (&Value::Null, &Value::from("pipeline")), "{found:#}");
        let ingester = step["limits"].as_array().unwrap().iter().find(|limit| limit["component"] == "ingester");
        assert!(ingester.is_some_and(|limit| limit["memory"].is_u64()), "{found:#}");
        for trial in step["trials"].as_array().unwrap() {
            let why = trial["why"].as_str().unwrap();
            assert_eq!(trial["outcome"], "failed", "{found:#}");
            assert!(why.starts_with("the pipeline used more memory than it may: ingester"), "{why}");
        }
    }
}

#[test]
fn what_a_search_cannot_do_is_refused() {
    for (from, to, told) in [
        ("from       = \"400/s\"", "from       = \"40/s\"", "too few events"),
        ("to         = \"1600/s\"", "to         = \"100/s\"", "must not be below `from`"),
        ("ingesters  = 2\npartitions = 2", "", "a step says what grows"),
        ("resolution = \"100%\"", "resolution = \"100%\"\nsteps = 3", "there is no such key"),
        (
            "shape = \"constant\", rate = \"800/s\"",
            "shape = \"ramp\", from = \"1/s\", to = \"9/s\", over = \"1s\"",
            "must be \"constant\"",
        ),
        (
            "[capacity]\nfrom       = \"400/s\"\nto         = \"1600/s\"\nresolution = \"100%\"\n",
            "",
            "add a [capacity] section",
        ),
    ] {
        let changed = SCENARIO.replace(from, to);
        assert_ne!(changed, SCENARIO, "{from}");
        let output = assay(["validate"]).arg(Place::new(&changed).file()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(output.status.code(), Some(64), "{to}: {stderr}");
        let stderr = stderr.replace("│ ", "");
        assert!(stderr.contains(told), "{told}: {stderr}");
    }
    let limited = Place::new(&SCENARIO.replace("ingesters  = 2", "ingesters  = 2\nmemory = \"256MiB\""));
    let output = assay(["run", "--env", "embedded"]).arg(limited.file()).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("pipeline.memory"), "{output:?}");
}
