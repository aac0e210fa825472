//! The guard: the process that owns all children and outlives `assay` just long enough to end them.
//!
//! It lives in a process group of its own, so that Ctrl-C in a terminal does not reach it, and is single-threaded, since
//! the parent-death signal of a child fires when the *thread* that spawned it ends. When its standard input closes, in
//! whatever way `assay` died, it kills the children's process groups and deletes the data folders. If the guard itself is
//! killed, the kernel kills the children.
//!
//! Orders come as JSON lines on stdin, news go out as JSON lines on stdout. A child is started through the role `launch`,
//! which asks for the parent-death signal before it becomes the program: no `unsafe` hook between fork and exec is needed.

mod folder;
mod protocol;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::OpenOptions,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, set_parent_process_death_signal},
};

pub use protocol::{End, News, Order, SpawnOrder};

/// How long children may take to end by themselves when all is taken down.
const GRACE: Duration = Duration::from_millis(1500);
/// This executable, also after another was built in its place.
const THIS_EXECUTABLE: &str = "/proc/self/exe";

/// Variables of the user's that children get.
const INHERITED: [&str; 8] = ["PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "RUST_BACKTRACE"];

struct Running {
    child: Child,
    pidfd: OwnedFd,
    lines: Lines,
}

/// Plays the role `guard`.
pub fn serve() -> ExitCode {
    let mut guard = Guard { children: BTreeMap::new(), folders: Vec::new(), runs: Vec::new() };
    let result = guard.run();
    // Who was told to end does it in good order; when there is nobody left to wait for it, there is nothing to be kept.
    let grace = if matches!(result, Ok(Last::Order)) { GRACE } else { Duration::ZERO };
    // Side by side: each takes its second.
    let sweeping: Vec<_> = guard.runs.iter().map(|run| sweep(run)).collect();
    guard.end_all(grace);
    for sweeping in sweeping.into_iter().flatten() {
        // It tells by itself what it could not do.
        let _ = { sweeping }.wait();
    }
    for folder in &guard.folders {
        folder::delete(folder);
    }
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(70) }
}

/// Why the guard ends.
enum Last {
    /// It was told to.
    Order,
    /// Its input has closed.
    Silence,
}

struct Guard {
    children: BTreeMap<u64, Running>,
    folders: Vec<PathBuf>,
    /// Whose containers are to be removed.
    runs: Vec<String>,
}

impl Guard {
    /// Serves until it is told to end or its input closes.
    fn run(&mut self) -> io::Result<Last> {
        let stdin = io::stdin();
        let mut orders = Vec::new();
        loop {
            let (input, talking, ended) = self.wait(stdin.as_fd())?;
            for id in talking {
                self.hear(id);
            }
            for id in ended {
                self.bury(id);
            }
            if !input {
                continue;
            }
            // Not through `Stdin`'s own buffer, which `poll` would not see.
            let mut buffer = [0; 1 << 13];
            let read = match rustix::io::read(stdin.as_fd(), &mut buffer) {
                Err(rustix::io::Errno::INTR) => continue,
                read => read?,
            };
            if read == 0 {
                return Ok(Last::Silence);
            }
            orders.extend_from_slice(&buffer[..read]);
            while let Some(end) = orders.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = orders.drain(..=end).collect();
                match serde_json::from_slice(&line)? {
                    Order::End => return Ok(Last::Order),
                    order => self.obey(order),
                }
            }
        }
    }

    /// Waits for input, lines or ends: whether there is input, whose lines, whose ends.
    fn wait(&self, stdin: BorrowedFd<'_>) -> io::Result<(bool, Vec<u64>, Vec<u64>)> {
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
        match poll(&mut watched, None) {
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
            Order::RemoveContainersAtEnd(run) => self.runs.push(run),
            Order::End => (),
        }
    }

    /// Reads all that a child has said so far, and tells whole lines.
    fn hear(&mut self, id: u64) {
        let Some(Running { lines, .. }) = self.children.get_mut(&id) else { return };
        let Some((stdout, said)) = lines else { return };
        let mut buffer = [0; 4096];
        let mut open = true;
        while open {
            match stdout.read(&mut buffer) {
                Ok(0) => open = false,
                Ok(read) => said.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => open = error.kind() == io::ErrorKind::Interrupted,
            }
        }
        while let Some(end) = said.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = said.drain(..=end).collect();
            tell(&News::Line { id, text: String::from_utf8_lossy(&line).trim_end().to_owned() });
        }
        if !open {
            *lines = None;
        }
    }

    fn bury(&mut self, id: u64) {
        self.hear(id);
        if let Some(running) = self.children.remove(&id) {
            tell(&News::Exited { id, how: reap(running) });
        }
    }

    /// Ends all children: gently, and after `grace` not.
    fn end_all(&mut self, grace: Duration) {
        if !grace.is_zero() {
            for running in self.children.values() {
                send(running, Signal::TERM);
                // A paused one would not hear it.
                send(running, Signal::CONT);
            }
        }
        let deadline = Instant::now() + grace;
        while !self.children.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            let mut watched: Vec<PollFd<'_>> =
                self.children.values().map(|child| PollFd::new(&child.pidfd, PollFlags::IN)).collect();
            if poll(&mut watched, Some(&left)).is_err() {
                continue;
            }
            let happened: Vec<bool> = watched.iter().map(|fd| !fd.revents().is_empty()).collect();
            let ended: Vec<u64> =
                self.children.keys().zip(happened).filter(|(_, ended)| *ended).map(|(id, _)| *id).collect();
            for id in ended {
                self.children.remove(&id).map(reap);
            }
        }
        // All first, then wait: they die side by side.
        for running in self.children.values() {
            send(running, Signal::KILL);
        }
        for (_, running) in std::mem::take(&mut self.children) {
            reap(running);
        }
    }
}

/// Waits for a child that has ended or been killed. What it has started goes with it: as long as the child is not waited
/// for, nobody else can have got its process group's number.
fn reap(mut running: Running) -> End {
    send(&running, Signal::KILL);
    match running.child.wait() {
        Ok(status) => End::of(status),
        Err(error) => End::Unknown(error.to_string()),
    }
}

/// Begins to remove the containers of `run`: the guard itself speaks with no daemon.
fn sweep(run: &str) -> io::Result<Child> {
    let mut command = Command::new(THIS_EXECUTABLE);
    if let Ok(name) = std::env::current_exe() {
        command.arg0(name);
    }
    // Not through `launch`: it must not die with the guard before it is done.
    command.args(["serve", "sweep", run]).process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).spawn()
}

fn spawn(order: &SpawnOrder) -> io::Result<Running> {
    let log = OpenOptions::new().create(true).append(true).open(&order.log).map_err(|error| {
        io::Error::new(error.kind(), format!("its log {} cannot be opened: {error}", order.log.display()))
    })?;
    let program = order.program.as_deref().unwrap_or(Path::new(THIS_EXECUTABLE));
    let mut command = Command::new(THIS_EXECUTABLE);
    if let Ok(name) = std::env::current_exe() {
        command.arg0(name);
    }
    command.args(["serve", "launch"]).arg(std::process::id().to_string()).arg(program).args(&order.arguments);
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
    match watch(&mut child) {
        Ok((pidfd, lines)) => Ok(Running { child, pidfd, lines }),
        Err(error) => {
            // A child that cannot be watched must not run. That it cannot be killed either is not to be told to anyone.
            let _ = child.kill().and_then(|()| child.wait());
            Err(error)
        }
    }
}

type Lines = Option<(ChildStdout, Vec<u8>)>;

fn watch(child: &mut Child) -> io::Result<(OwnedFd, Lines)> {
    let pid = Pid::from_raw(child.id() as i32).ok_or_else(|| io::Error::other("a child without a process id"))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let stdout = child.stdout.take();
    if let Some(stdout) = &stdout {
        // Whoever else holds the pipe open must not make the guard wait.
        fcntl_setfl(stdout, fcntl_getfl(stdout)? | OFlags::NONBLOCK)?;
    }
    Ok((pidfd, stdout.map(|stdout| (stdout, Vec::new()))))
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

/// So much the children yield to `assay` when the machine is short of processors. A pipeline that then is slow is
/// measured as slow, which is an answer; a generator that then misses its schedule would make the run inconclusive.
const NICE: i32 = 5;

/// Plays the role `launch`: asks for death with the guard, lets `assay` go first, then becomes the program. `arguments`
/// are the guard's process id, the program and its arguments.
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
    if let Err(error) = rustix::process::nice(NICE) {
        return failed(format!("the priority cannot be lowered: {error}"));
    }
    let mut command = Command::new(program);
    if program == THIS_EXECUTABLE
        && let Ok(name) = std::env::current_exe()
    {
        command.arg0(name);
    }
    let error = command.args(arguments).exec();
    failed(format!("{} cannot be started: {error}", program.to_string_lossy()))
}
