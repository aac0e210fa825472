//! The guard: the process that owns all children and outlives `assay` just long enough to end them.
//!
//! It lives in a process group of its own, so that Ctrl-C in a terminal does not reach it, and is single-threaded, since
//! the parent-death signal of a child fires when the *thread* that spawned it ends. When its standard input closes, in
//! whatever way `assay` died, it kills the children and deletes the data folders. If the guard itself is killed, the
//! kernel kills the children.
//!
//! Orders come as JSON lines on stdin, news go out as JSON lines on stdout. A child is started through the role `launch`,
//! which asks for the parent-death signal before it becomes the program: no `unsafe` hook between fork and exec is needed.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::PathBuf,
    process::{Child, ChildStdout, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, set_parent_process_death_signal},
};
use serde::{Deserialize, Serialize};

/// How long children may take to end by themselves when all is taken down.
const GRACE: Duration = Duration::from_millis(1500);

/// What the guard is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Start a child.
    Spawn(SpawnOrder),
    /// Send a signal to a child's process group.
    Signal {
        /// The child.
        id: u64,
        /// The signal's number.
        signal: i32,
    },
    /// Delete this folder when everything is over.
    DeleteAtEnd(PathBuf),
    /// Delete this folder now.
    Delete(PathBuf),
    /// End all children, gently first.
    End,
}

/// A child to be started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SpawnOrder {
    /// The number that news will call it by.
    pub id: u64,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its whole environment, but for a few variables of the user's that every program needs.
    pub environment: BTreeMap<String, String>,
    /// Where it runs.
    pub folder: PathBuf,
    /// Where its stderr goes, and its stdout unless that is told.
    pub log: PathBuf,
    /// Whether the lines of its stdout are news.
    pub tell_lines: bool,
}

/// What the guard tells.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// A child runs.
    Spawned {
        /// The child.
        id: u64,
        /// Its process id.
        pid: i32,
    },
    /// A child could not be started.
    NotSpawned {
        /// The child.
        id: u64,
        /// Why.
        error: String,
    },
    /// A child said something.
    Line {
        /// The child.
        id: u64,
        /// What.
        text: String,
    },
    /// A child ended.
    Exited {
        /// The child.
        id: u64,
        /// How.
        how: String,
    },
}

/// Variables of the user's that children get.
const INHERITED: [&str; 8] = ["PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "RUST_BACKTRACE"];

struct Running {
    child: Child,
    pidfd: OwnedFd,
    lines: Option<(ChildStdout, Vec<u8>)>,
}

/// Plays the role `guard`.
pub fn serve() -> ExitCode {
    let mut guard = Guard { children: BTreeMap::new(), folders: Vec::new() };
    let result = guard.run();
    guard.end_all();
    for folder in &guard.folders {
        // What cannot be deleted cannot be told to anybody either.
        let _ = std::fs::remove_dir_all(folder);
    }
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(70) }
}

struct Guard {
    children: BTreeMap<u64, Running>,
    folders: Vec<PathBuf>,
}

impl Guard {
    /// Serves until it is told to end or its input closes.
    fn run(&mut self) -> io::Result<()> {
        let mut stdin = io::stdin().lock();
        let mut orders = Vec::new();
        loop {
            let (input, talking, ended) = self.wait(stdin.as_fd(), None)?;
            for id in talking {
                self.hear(id);
            }
            for id in ended {
                self.bury(id);
            }
            if input {
                let mut buffer = [0; 1 << 13];
                let read = stdin.read(&mut buffer)?;
                if read == 0 {
                    return Ok(());
                }
                orders.extend_from_slice(&buffer[..read]);
                while let Some(end) = orders.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = orders.drain(..=end).collect();
                    match serde_json::from_slice(&line)? {
                        Order::End => return Ok(()),
                        order => self.obey(order),
                    }
                }
            }
        }
    }

    /// Waits for input, lines or ends: whether there is input, whose lines, whose ends.
    fn wait(
        &self,
        stdin: std::os::fd::BorrowedFd<'_>,
        time_out: Option<&Timespec>,
    ) -> io::Result<(bool, Vec<u64>, Vec<u64>)> {
        let mut watched = vec![PollFd::from_borrowed_fd(stdin, PollFlags::IN)];
        let mut who = vec![];
        for (id, child) in &self.children {
            watched.push(PollFd::new(&child.pidfd, PollFlags::IN));
            who.push((*id, true));
            if let Some((stdout, _)) = &child.lines {
                watched.push(PollFd::new(stdout, PollFlags::IN));
                who.push((*id, false));
            }
        }
        match poll(&mut watched, time_out) {
            Err(rustix::io::Errno::INTR) => return Ok((false, Vec::new(), Vec::new())),
            result => result?,
        };
        let happened: Vec<bool> = watched.iter().map(|fd| !fd.revents().is_empty()).collect();
        let ids = |end: bool| {
            let happened = who.iter().zip(&happened[1..]);
            happened.filter(|((_, is_end), happened)| *is_end == end && **happened).map(|((id, _), _)| *id).collect()
        };
        Ok((happened[0], ids(false), ids(true)))
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Spawn(order) => {
                let id = order.id;
                match spawn(&order) {
                    Ok(running) => {
                        tell(&News::Spawned { id, pid: running.child.id() as i32 });
                        self.children.insert(id, running);
                    }
                    Err(error) => tell(&News::NotSpawned { id, error: error.to_string() }),
                }
            }
            Order::Signal { id, signal } => {
                if let (Some(running), Some(signal)) = (self.children.get(&id), Signal::from_named_raw(signal)) {
                    send(running, signal);
                }
            }
            Order::DeleteAtEnd(folder) => self.folders.push(folder),
            Order::Delete(folder) => {
                // It stays in the list, so that a failure now is repaired at the end.
                let _ = std::fs::remove_dir_all(&folder);
            }
            Order::End => (),
        }
    }

    /// Reads what a child has said, and tells whole lines.
    fn hear(&mut self, id: u64) {
        let Some(Running { lines, .. }) = self.children.get_mut(&id) else { return };
        let Some((stdout, said)) = lines else { return };
        let mut buffer = [0; 4096];
        match stdout.read(&mut buffer) {
            Ok(read) if read > 0 => said.extend_from_slice(&buffer[..read]),
            _ => {
                *lines = None;
                return;
            }
        }
        while let Some(end) = said.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = said.drain(..=end).collect();
            tell(&News::Line { id, text: String::from_utf8_lossy(&line).trim_end().to_owned() });
        }
    }

    fn bury(&mut self, id: u64) {
        self.hear(id);
        if let Some(mut running) = self.children.remove(&id) {
            let how = match running.child.wait() {
                Ok(status) => match (status.code(), status.signal()) {
                    (Some(code), _) => format!("exit code {code}"),
                    (None, Some(signal)) => format!("signal {signal}"),
                    (None, None) => status.to_string(),
                },
                Err(error) => error.to_string(),
            };
            tell(&News::Exited { id, how });
        }
    }

    /// Ends all children: gently, and after a while not.
    fn end_all(&mut self) {
        for running in self.children.values() {
            send(running, Signal::TERM);
        }
        let deadline = Instant::now() + GRACE;
        while !self.children.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut ended: Vec<u64> = Vec::new();
            if left.is_zero() {
                for running in self.children.values() {
                    send(running, Signal::KILL);
                }
                ended.extend(self.children.keys());
            } else {
                let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
                let mut watched: Vec<PollFd<'_>> =
                    self.children.values().map(|child| PollFd::new(&child.pidfd, PollFlags::IN)).collect();
                if poll(&mut watched, Some(&left)).is_ok() {
                    let happened: Vec<bool> = watched.iter().map(|fd| !fd.revents().is_empty()).collect();
                    ended = self.children.keys().zip(happened).filter(|(_, ended)| *ended).map(|(id, _)| *id).collect();
                }
            }
            for id in ended {
                if let Some(mut running) = self.children.remove(&id) {
                    let _ = running.child.wait();
                }
            }
        }
    }
}

fn spawn(order: &SpawnOrder) -> io::Result<Running> {
    let log = open_log(order)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("serve").arg("launch").arg(std::process::id().to_string()).arg(&order.program).args(&order.arguments);
    command.env_clear();
    for name in INHERITED {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs(&order.environment).current_dir(&order.folder).process_group(0).stdin(Stdio::null());
    command.stderr(log.try_clone()?);
    command.stdout(if order.tell_lines { Stdio::piped() } else { Stdio::from(log) });
    let mut child = command.spawn()?;
    let lines = child.stdout.take().map(|stdout| (stdout, Vec::new()));
    let pidfd = Pid::from_raw(child.id() as i32)
        .ok_or_else(|| io::Error::other("a child without a process id"))
        .and_then(|pid| Ok(pidfd_open(pid, PidfdFlags::empty())?))?;
    Ok(Running { child, pidfd, lines })
}

fn open_log(order: &SpawnOrder) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(&order.log)
}

/// Sends a signal to a child and whatever it has started.
fn send(running: &Running, signal: Signal) {
    if let Some(group) = Pid::from_raw(running.child.id() as i32) {
        // It may have ended meanwhile.
        let _ = kill_process_group(group, signal);
    }
}

fn tell(news: &News) {
    let mut stdout = io::stdout().lock();
    // When nobody listens any more, the closed input ends the guard.
    if let Ok(mut line) = serde_json::to_vec(news) {
        line.push(b'\n');
        let _ = stdout.write_all(&line).and_then(|()| stdout.flush());
    }
}

/// Plays the role `launch`: asks for death with the guard, then becomes the program. `arguments` are the guard's process
/// id, the program and its arguments.
pub fn launch(arguments: &[OsString]) -> ExitCode {
    let [guard, program, arguments @ ..] = arguments else { return ExitCode::from(64) };
    let failed = |what: String| {
        let _ = writeln!(io::stderr().lock(), "{what}");
        ExitCode::from(69)
    };
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return failed(format!("the parent-death signal cannot be set: {error}"));
    }
    // If the guard died before the signal was set, nobody will send it.
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string());
    if parent.as_deref().map(std::ffi::OsStr::new) != Some(guard.as_os_str()) {
        return failed("the guard has died".into());
    }
    let error = Command::new(program).args(arguments).exec();
    failed(format!("{} cannot be started: {error}", program.to_string_lossy()))
}
