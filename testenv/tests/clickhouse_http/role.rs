//! The role `clickhouse` as a child process of the test: the test's own executable plays it.

use std::{
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, Weak},
};

use tempfile::TempDir;

const ROLE: &str = "ASSAY_TEST_ROLE";

/// The engine: the one that `ASSAY_CLICKHOUSE_LIBRARY` names, or the one that the embedded environment prepares.
fn library() -> PathBuf {
    use testenv::embedded::artefacts::{Places, prepare};
    if let Some(path) = std::env::var_os("ASSAY_CLICKHOUSE_LIBRARY") {
        return path.into();
    }
    match prepare(&Places::of_user(), &|line| eprintln!("{line}")) {
        Ok(artefacts) => artefacts.clickhouse_library,
        Err(error) => panic!(
            "these tests need the ClickHouse engine: {error}; {}. Or name a libchdb.so in ASSAY_CLICKHOUSE_LIBRARY.",
            error.help()
        ),
    }
}

/// A running role.
pub struct Role {
    child: Child,
    /// The role ends when this closes, however the test ends.
    _stdin: ChildStdin,
    port: u16,
}

impl Role {
    /// Starts one on `folder`, with more environment variables.
    pub fn start(folder: &std::path::Path, variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "role::plays_the_role", "--ignored", "--nocapture", "--test-threads=1"])
            .env(ROLE, "clickhouse")
            .env("CLICKHOUSE_LIBRARY", library())
            .env("CLICKHOUSE_PATH", folder)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| line.unwrap().strip_prefix("ready ").map(|port| port.parse().unwrap()));
        Self { port: port.expect("the role ended without `ready PORT`; see its log above"), child, _stdin: stdin }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn client(&self) -> clickhouse::Client {
        clickhouse::Client::default().with_url(self.url())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; returns the exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }

    /// What the kernel says in `/proc/PID/status`, in bytes.
    pub fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A role that tests share, with a database for each.
pub struct Shared {
    role: Role,
    _folder: TempDir,
}

impl std::ops::Deref for Shared {
    type Target = Role;

    fn deref(&self) -> &Role {
        &self.role
    }
}

/// The shared role; it lives as long as a test uses it.
pub fn shared() -> Arc<Shared> {
    static SHARED: Mutex<Weak<Shared>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let folder = TempDir::new().unwrap();
        let role = Arc::new(Shared { role: Role::start(folder.path(), &[]), _folder: folder });
        *shared = Arc::downgrade(&role);
        role
    })
}

/// What the child runs.
#[test]
#[ignore = "played by the child process of the other tests"]
fn plays_the_role() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    std::thread::spawn(|| {
        // Whoever started this has gone when the pipe closes.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::abort();
    });
    println!();
    testenv::clickhouse::serve();
}
