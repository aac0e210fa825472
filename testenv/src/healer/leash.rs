//! The leash: the process that runs a command of a fault's for a healer, and ends it with all that this has started when its
//! time is over or the healer is gone.
//!
//! What a command starts may leave its process group and its session, as `timeout`, `setsid` and the jobs of a shell do, and
//! may outlive the one that has started it. So the leash has the kernel give it the orphans of all that comes from it (a child
//! subreaper, prctl(2)): whoever is not its child becomes it when those between are killed. It kills its children until it has
//! none. Its children alone: nobody else waits for them, so that their numbers are nobody else's.
//!
//! Its standard input is the line to the healer: a socket on which it says how the command has ended. It closes when the healer
//! is gone, and when the healer has it end everything. The leash holds the healer's standard output open, too. Who reads there
//! learns that the healer is gone when the command is, and can have the fault healed at once.

use std::{
    ffi::OsString,
    fs,
    io::{self, Read, Write},
    net::Shutdown,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{
        Pid, Signal, WaitOptions, getpgrp, getpid, kill_current_process_group, kill_process, set_child_subreaper, wait,
    },
};

use super::{ENDED_WITHIN, LOOK, Outcome, kill_group, stay_when_asked_to_end, tell};

/// What was killed is gone, or has become the child of whoever kills next, after about this time.
const MOMENT: Duration = Duration::from_millis(2);

/// A command's leash. When this is dropped the leash alone ends: what a command leaves behind on purpose stays.
#[derive(Debug)]
pub(super) struct Leash {
    process: Child,
    line: UnixStream,
}

impl Leash {
    /// Starts one; `command` plays its role and ends with the words of the command that it runs, whose output goes where the
    /// errors of `command` do.
    ///
    /// # Errors
    /// When it cannot be started. Then nothing was run.
    pub(super) fn start(mut command: Command) -> io::Result<Self> {
        let (line, other_end) = UnixStream::pair()?;
        let process = command.process_group(0).stdin(OwnedFd::from(other_end)).stdout(Stdio::inherit()).spawn()?;
        // With `command` the other end goes that is open here.
        Ok(Self { process, line })
    }

    /// Waits until the command has ended, and ends it when it takes longer than `within`.
    pub(super) fn wait(mut self, within: Duration) -> Outcome {
        let why = match self.hear(within) {
            Ok(Some(outcome)) => return outcome,
            Ok(None) => format!("no answer within {within:?}"),
            Err(error) => format!("its leash does not say how it ended: {error}"),
        };
        self.end_all();
        Outcome::Failed(why)
    }

    /// What it says within this time, if it says something.
    fn hear(&mut self, within: Duration) -> io::Result<Option<Outcome>> {
        let deadline = Instant::now() + within;
        let mut said = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.line.set_read_timeout(Some(left))?;
            let mut buffer = [0; 512];
            match self.line.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => said.extend_from_slice(&buffer[..read]),
                // Nothing was said yet.
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
            if let Some(line) = said.strip_suffix(b"\n") {
                return Ok(Some(serde_json::from_slice(line)?));
            }
        }
    }

    /// Has it end all that it has started, and waits until it is gone with that, but not for ever.
    fn end_all(&mut self) {
        // It may be gone already, and says nothing that matters now.
        let _ = self.line.shutdown(Shutdown::Write);
        let _ = self.hear(ENDED_WITHIN);
        // Where it could not: it is not waited for yet, so the number of its group is nobody else's.
        kill_group(&self.process);
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        // It may have ended by itself. It goes before its line does, and so takes nothing with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Plays the role `leash`: `arguments` are the command, whose output goes to this process's errors.
pub fn serve(arguments: &[OsString]) -> ExitCode {
    let [program, arguments @ ..] = arguments else { return ExitCode::from(64) };
    if getpgrp() != getpid() {
        // It would end those who have started it.
        let _ = writeln!(io::stderr().lock(), "assay serve leash: it leads no process group");
        return ExitCode::from(64);
    }
    // Where one of these is refused the command is run all the same: who has it run to heal something has nothing better.
    let _ = stay_when_asked_to_end();
    let _ = set_child_subreaper(Some(getpid()));
    let child = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(io::stderr()).spawn();
    let outcome = match child {
        Ok(mut child) => match watch(&mut child) {
            Some(outcome) => outcome,
            None => return end_all(child),
        },
        Err(error) => Outcome::NotRun(error.to_string()),
    };
    match io::stdin().as_fd().try_clone_to_owned() {
        Ok(line) => {
            tell(&mut UnixStream::from(line), &outcome);
            ExitCode::SUCCESS
        }
        Err(_) => ExitCode::from(70),
    }
}

/// How `child` has ended; nothing where the line closes before it has.
fn watch(child: &mut Child) -> Option<Outcome> {
    let (line, look) = (io::stdin(), Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK.subsec_nanos()) });
    loop {
        match child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => return Some(Outcome::of(status)),
            Err(error) => return Some(Outcome::Failed(error.to_string())),
        }
        // Nothing is ever said to it: what can be read is the end.
        match poll(&mut [PollFd::new(&line, PollFlags::IN)], Some(&look)) {
            Ok(0) | Err(Errno::INTR) => {}
            _ => return None,
        }
    }
}

/// Kills all that comes from this process, and then this process. What the system does not let it kill, as what runs as another
/// user, it does not wait for longer than [`ENDED_WITHIN`].
fn end_all(mut command: Child) -> ExitCode {
    let deadline = Instant::now() + ENDED_WITHIN;
    // It is a child like the others, and known also where /proc tells of none.
    let _ = command.kill();
    while !have_all_ended() && Instant::now() < deadline {
        for child in children() {
            let _ = kill_process(child, Signal::KILL);
        }
        std::thread::sleep(MOMENT);
    }
    match kill_current_process_group(Signal::KILL) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(70),
    }
}

/// Buries the children that have ended: whether there are no others.
fn have_all_ended() -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return false,
            // There are no children.
            Err(_) => return true,
        }
    }
}

/// The children of this process; none where /proc is that of another namespace, whose numbers mean others.
fn children() -> Vec<Pid> {
    let own = getpid().as_raw_nonzero().to_string();
    if fs::read_link("/proc/self").ok().as_deref() != Some(Path::new(&own)) {
        return Vec::new();
    }
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let own_child = |entry: fs::DirEntry| {
        let process = entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw)?;
        // It may have ended meanwhile, and it may be called anything.
        let stat = fs::read(entry.path().join("stat")).ok()?;
        (parent_in(&String::from_utf8_lossy(&stat)) == Some(own.as_str())).then_some(process)
    };
    processes.filter_map(own_child).collect()
}

/// The fourth field of /proc/PID/stat (proc(5)). The second, a name in brackets, may hold anything.
fn parent_in(stat: &str) -> Option<&str> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_found_whatever_its_child_is_called() {
        assert_eq!(parent_in("7 (sh) S 5 7 7 0"), Some("5"));
        assert_eq!(parent_in("7 (a) S 9 (b) R 5 7 7 0"), Some("5"));
        assert_eq!(parent_in("nonsense"), None);
    }

    #[test]
    fn children_are_those_of_this_process_alone() {
        let pid = |child: &Child| Pid::from_raw(child.id() as i32).unwrap();
        let script = ["-c", "sleep 60 & echo $!; wait"];
        let mut child = Command::new("sh").args(script).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = [0; 16];
        let read = child.stdout.as_mut().unwrap().read(&mut said).unwrap();
        let grandchild = Pid::from_raw(String::from_utf8_lossy(&said[..read]).trim().parse().unwrap()).unwrap();
        let found = children();
        assert!(found.contains(&pid(&child)) && !found.contains(&grandchild), "{found:?}");
        kill_process(grandchild, Signal::KILL).unwrap();
        child.wait().unwrap();
        assert!(!children().contains(&pid(&child)), "it is buried");
    }
}
