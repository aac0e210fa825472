//! Starting `assay`, sharing a substrate, looking at processes and verdicts.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// The very first run fetches Kafka and ClickHouse.
pub const UP_WITHIN: Duration = Duration::from_mins(10);

/// `assay` with these arguments.
pub fn assay<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .env("ASSAY_ENV", if in_containers() { "containers" } else { "embedded" });
    command
}

/// Whether runs are to be in containers: these tests hold in both environments, and `ASSAY_ENV` chooses.
pub fn in_containers() -> bool {
    std::env::var("ASSAY_ENV").is_ok_and(|kind| kind == "containers")
}

/// A run is judged by its schedule, too, and two cores carry no second pipeline beside it without a delay now and then.
static MACHINE: Mutex<()> = Mutex::new(());

/// The machine for oneself.
pub fn alone() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The environment file of the substrate that all tests share.
pub fn shared_environment() -> &'static Path {
    static SHARED: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, file) = SHARED.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("environment.json");
        let path = file.clone();
        // It goes down when the thread that has started it ends: this one, with the test binary.
        std::thread::spawn(move || {
            let mut up = assay(["env", "up", "--with-parent", "--file"]).arg(&path).spawn().expect("assay env up");
            up.wait().expect("the environment's end");
        });
        assert!(wait_until(UP_WITHIN, || file.exists()), "the shared substrate did not come up");
        (folder, file)
    });
    file
}

/// Waits until `done`; false if that takes longer than `limit`.
pub fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !done() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// A folder with a scenario file and its runs.
pub struct Bench {
    folder: TempDir,
}

/// 6 000 events in six seconds: enough for 99.9 % at 95 % confidence.
const SCENARIO: &str = r#"
[scenario]
name = "e2e"
description = "a small run for the tests"

[[traffic]]
name     = "app"
events   = 6_000
arrival  = { shape = "constant", rate = "1000/s" }
batch    = { size = "1..40" }
persons  = { count = 500, identify = "20%" }
disorder = { backdated = "5%", backdated_by = "exponential(30s)", shuffle = "1s", resend = "2%", clock_skew = "normal(0s, 2s)" }

[expect]
complete   = "99.9%"
correct    = "99.9%"
loss_after = "5s"
quiet      = "2s"
time_to_visible = { p99 = "10s" }
"#;

impl Bench {
    /// A bench whose scenario ends with `more`.
    pub fn new(more: &str) -> Self {
        Self::of(&format!("{SCENARIO}\n{more}\n"))
    }

    /// A bench whose scenario is the one of the library that is called `name`, with `more`.
    pub fn of_library(name: &str, more: &str) -> Self {
        let head = format!("[scenario]\nname = \"e2e\"\ndescription = \"{name}, for the tests\"\n");
        Self::of(&format!("extends = \"{name}\"\n{head}{more}\n"))
    }

    fn of(scenario: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("e2e.toml"), scenario).expect("a scenario");
        fs::create_dir(folder.path().join("tmp")).expect("a folder");
        Self { folder }
    }

    /// Adds a line to what its scenario expects.
    pub fn promise(&self, line: &str) {
        let path = self.folder.path().join("e2e.toml");
        let scenario = fs::read_to_string(&path).expect("a scenario");
        fs::write(path, scenario.replace("[expect]\n", &format!("[expect]\n{line}\n"))).expect("a scenario");
    }

    /// `assay run` of the scenario, with data in the bench's own temporary folder.
    pub fn run_command(&self) -> Command {
        let mut command = assay(["run"]);
        command.arg(self.folder.path().join("e2e.toml")).arg("--out").arg(self.out());
        command.env("TMPDIR", self.tmp());
        command
    }

    /// The folder that runs put their data in.
    pub fn tmp(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    /// The folder of the runs.
    pub fn out(&self) -> PathBuf {
        self.folder.path().join("runs")
    }

    /// Runs the scenario with a substrate of its own.
    pub fn run_alone(&self) -> Finished {
        let _room = alone();
        let output = self.run_command().output().expect("assay run");
        Finished::new(output, self.latest())
    }

    /// Runs the scenario on the shared substrate.
    pub fn run_shared(&self) -> Finished {
        self.run_shared_with(&[])
    }

    /// The same, with further arguments.
    pub fn run_shared_with(&self, arguments: &[&str]) -> Finished {
        let environment = shared_environment();
        let _room = alone();
        let output = self.run_command().arg("--env").arg(environment).args(arguments).output().expect("assay run");
        Finished::new(output, self.latest())
    }

    /// The directory of the only run.
    pub fn latest(&self) -> Option<PathBuf> {
        let runs = fs::read_dir(self.out().join("e2e")).ok()?.flatten().map(|entry| entry.path());
        runs.into_iter().find(|path| path.is_dir() && !path.is_symlink())
    }

    /// The label of its only run's containers.
    fn label(&self) -> String {
        let directory = self.latest().expect("a run");
        let name = directory.file_name().expect("a name").to_string_lossy().into_owned();
        format!("label=assay.run=r{}", name.rsplit('-').next().unwrap_or_default())
    }

    /// The containers of its only run, ended ones too, whose name holds `part`.
    pub fn containers(&self, part: &str) -> Vec<String> {
        let filters = [format!("--filter={}", self.label()), format!("--filter=name={part}")];
        docker(&["container", "ls", "--all", "--quiet"], &filters)
    }

    /// What its only run has left on the Docker daemon.
    pub fn left_on_docker(&self) -> Vec<String> {
        let filter = [format!("--filter={}", self.label())];
        let lists =
            [&["container", "ls", "--all", "--quiet"][..], &["network", "ls", "--quiet"], &["volume", "ls", "--quiet"]];
        lists.into_iter().flat_map(|list| docker(list, &filter)).collect()
    }

    /// Starts the scenario with a substrate of its own, and waits until it has sent something.
    pub fn start_sending(&self) -> Child {
        let child = self.run_command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("assay run");
        let sends = || {
            let ledger = self.latest().and_then(|run| fs::metadata(run.join("ledger")).ok());
            ledger.is_some_and(|ledger| ledger.len() > 2_000)
        };
        assert!(wait_until(UP_WITHIN, sends), "nothing was sent");
        child
    }
}

/// A run that has ended.
pub struct Finished {
    /// Its exit code.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
    /// Its verdict.json, if there is one.
    pub verdict: Value,
    /// Its directory.
    pub directory: Option<PathBuf>,
}

/// Every verdict.json that a test sees fits the schema in the repository.
fn fits_the_schema(verdict: &Value) {
    let schema = serde_json::from_str(include_str!("../../../reports/verdict.schema.json")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let problems: Vec<String> =
        validator.iter_errors(verdict).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(problems.is_empty(), "{problems:#?}");
}

impl Finished {
    pub fn new(output: Output, directory: Option<PathBuf>) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let verdict = directory.as_ref().and_then(|run| fs::read_to_string(run.join("verdict.json")).ok());
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            verdict: verdict.map_or(Value::Null, |text| {
                let verdict = serde_json::from_str(&text).expect("JSON");
                fits_the_schema(&verdict);
                verdict
            }),
            directory,
        }
    }

    /// What was counted as `name`.
    pub fn count(&self, name: &str) -> u64 {
        self.verdict["counts"][name].as_u64().unwrap_or_else(|| panic!("no count {name}\n{}", self.told()))
    }

    /// The verdict of a check.
    pub fn check(&self, name: &str) -> &str {
        let checks = self.verdict["checks"].as_array().unwrap_or_else(|| panic!("no checks\n{}", self.told()));
        let check = checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no check {name}"));
        check["verdict"].as_str().expect("a word")
    }

    /// The findings of a class.
    pub fn findings(&self, class: &str) -> Vec<&Value> {
        let findings = self.verdict["findings"].as_array().expect("findings");
        findings.iter().filter(|finding| finding["class"] == class).collect()
    }

    /// Everything that it said, for a failed assertion; the reasons first and last, since of a long output often only the ends are
    /// kept.
    pub fn told(&self) -> String {
        let Self { code, stdout, stderr, verdict, .. } = self;
        let reasons = &verdict["reasons"];
        format!("{reasons}\n{verdict:#}\n{stderr}\n{stdout}\nexit code {code:?}: {reasons}")
    }
}

/// The lines that Docker's own client answers.
pub fn docker<S: AsRef<std::ffi::OsStr>>(arguments: &[&str], more: &[S]) -> Vec<String> {
    let output = Command::new("docker").args(arguments).args(more).output().expect("docker");
    assert!(output.status.success(), "docker {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

/// What a running `assay` has started: processes, and in containers those as well.
pub struct Started {
    processes: HashSet<u32>,
}

impl Started {
    /// What `child` has started so far for the only run of `bench`.
    pub fn of(child: &Child, bench: &Bench) -> Self {
        let processes = descendants(child.id());
        if in_containers() {
            assert!(!processes.is_empty(), "there must be a guard");
            assert_eq!(bench.containers("").len(), 4, "Kafka, ClickHouse, capture, ingester");
        } else {
            assert!(processes.len() >= 5, "guard, Kafka, ClickHouse, capture, ingester: {processes:?}");
        }
        Self { processes }
    }

    /// Kills the ingester, as somebody else would.
    pub fn kill_ingester(&self, bench: &Bench) {
        if in_containers() {
            docker(&["kill"], &bench.containers("ingester"));
            return;
        }
        self.kill_role("ingester");
    }

    /// Kills the guard.
    pub fn kill_guard(&self) {
        self.kill_role("guard");
    }

    fn kill_role(&self, role: &str) {
        let plays = |process: &&u32| {
            let line = fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
            line.replace('\0', " ").trim().ends_with(&format!("serve {role}"))
        };
        signal(*self.processes.iter().find(plays).expect("a process of that role"), "KILL");
    }

    /// Every process and container is gone soon, and so is the data.
    pub fn is_gone(&self, bench: &Bench) {
        let within = Duration::from_secs(10);
        let none_runs = || !self.processes.iter().any(|process| is_alive(*process));
        assert!(wait_until(within, none_runs), "processes were left behind");
        let no_data = || fs::read_dir(bench.tmp()).expect("a folder").count() == 0;
        assert!(wait_until(within, no_data), "data was left behind");
        if in_containers() {
            assert!(wait_until(within, || bench.left_on_docker().is_empty()), "{:?}", bench.left_on_docker());
        }
    }
}

/// Sends a process a signal.
pub fn signal(process: u32, name: &str) {
    let killed = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status().expect("kill");
    assert!(killed.success());
}

/// All processes below `ancestor`.
fn descendants(ancestor: u32) -> HashSet<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|entry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name in parentheses may hold anything.
            let parent = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()?;
            Some((process, parent))
        })
        .collect();
    let mut found = HashSet::from([ancestor]);
    loop {
        let before = found.len();
        found.extend(
            parents
                .iter()
                .filter(|(_, parent)| found.contains(parent))
                .map(|(process, _)| *process)
                .collect::<Vec<_>>(),
        );
        if found.len() == before {
            found.remove(&ancestor);
            return found;
        }
    }
}

/// Whether a process runs (one that waits for its parent to notice its end does not).
fn is_alive(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}
