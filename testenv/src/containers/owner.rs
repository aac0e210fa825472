//! Whose the things on a daemon are: a process, told so that no other can be mistaken for it.
//!
//! A process id comes again, so the owner also says when the process began, as the kernel counts it since it booted. Both
//! mean nothing elsewhere, and a daemon may serve several machines, or several containers of one machine: so the owner says
//! by which boot of which kernel, and in which namespaces of process ids and of time, it is counted. What stands on a daemon since before
//! a reboot belongs to another machine by this rule: it is better left than taken from somebody who lives.

use std::{fmt, fs, io, str::FromStr};

use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
};

/// A process that owns something on a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The boot of a kernel and the namespace that its id is of.
    pub machine: String,
    /// Its process id there.
    pub process: i32,
    /// When it began, in the kernel's ticks since the boot.
    pub began: u64,
}

/// Text tells no owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` tells no owner")]
pub struct NoOwner(String);

impl Owner {
    /// This process.
    ///
    /// # Errors
    /// When /proc cannot be read, or tells of other processes than the ones that this one sees.
    pub fn this() -> io::Result<Self> {
        Self::of(std::process::id())
    }

    /// The process that has this id here.
    ///
    /// # Errors
    /// As for [`Self::this`], and when there is no such process.
    pub fn of(process: u32) -> io::Result<Self> {
        let is_ours = fs::read_link("/proc/self")?.to_str() == Some(std::process::id().to_string().as_str());
        if !is_ours {
            return Err(io::Error::other("/proc is that of another namespace"));
        }
        let process = process as i32;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        // In another namespace of time the same process has begun at another moment.
        let namespaces = ["pid", "time"].map(|kind| {
            let namespace = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap_or_default();
            namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect::<String>()
        });
        if namespaces[0].is_empty() {
            return Err(io::Error::other("/proc tells no namespace of process ids"));
        }
        let (_, began) = stat(process)?;
        Ok(Self { machine: format!("{}-{}", boot.trim(), namespaces.join("-")), process, began })
    }

    /// Whether it was a process of the machine of `here`, and has ended. False as well where that cannot be known.
    pub fn is_dead(&self, here: &Self) -> bool {
        self.machine == here.machine && !self.runs()
    }

    /// Whether it runs, if it is of this machine.
    fn runs(&self) -> bool {
        let Some(pid) = Pid::from_raw(self.process) else { return true };
        if test_kill_process(pid) == Err(Errno::SRCH) {
            return false;
        }
        match stat(self.process) {
            // One that waits for its parent to notice its end has ended.
            Ok((state, began)) => began == self.began && !matches!(state, 'Z' | 'X'),
            // Of another user, whose processes are hidden here; or it has just ended, which is seen the next time.
            Err(_) => true,
        }
    }
}

/// The state and the beginning of a process, the 3rd and the 22nd field of /proc/PID/stat. The second, a name in brackets,
/// may hold anything.
fn stat(process: i32) -> io::Result<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next().and_then(|state| state.chars().next());
    let began = fields.nth(18).and_then(|began| began.parse().ok());
    state.zip(began).ok_or_else(|| io::Error::other("/proc/PID/stat is not as expected"))
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.machine, self.process, self.began)
    }
}

impl FromStr for Owner {
    type Err = NoOwner;

    fn from_str(text: &str) -> Result<Self, NoOwner> {
        let owner = || {
            let (rest, began) = text.rsplit_once('/')?;
            let (machine, process) = rest.rsplit_once('/')?;
            let process = process.parse().ok().filter(|process| *process > 0)?;
            (!machine.is_empty()).then_some(Self { machine: machine.to_owned(), process, began: began.parse().ok()? })
        };
        owner().ok_or_else(|| NoOwner(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        process::Command,
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn who_runs_lives_and_who_has_ended_is_dead_also_before_its_parent_knows() {
        let here = Owner::this().unwrap();
        assert!(!here.is_dead(&here));
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let owner = Owner::of(child.id()).unwrap();
        assert!(!owner.is_dead(&here));
        child.kill().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !owner.is_dead(&here) {
            assert!(Instant::now() < deadline, "nobody waits for it, and it has ended");
            std::thread::sleep(Duration::from_millis(5));
        }
        child.wait().unwrap();
        assert!(owner.is_dead(&here));
    }

    #[test]
    fn an_id_that_came_again_is_another_process_and_other_machines_are_not_judged() {
        let here = Owner::this().unwrap();
        let before = Owner { began: here.began.wrapping_sub(1), ..here.clone() };
        assert!(before.is_dead(&here));
        let elsewhere = Owner { machine: "elsewhere".into(), ..before };
        assert!(!elsewhere.is_dead(&here));
    }

    #[test]
    fn an_owner_is_told_in_a_label() {
        let here = Owner::this().unwrap();
        assert_eq!(here.to_string().parse(), Ok(here.clone()));
        assert_eq!(here.process, std::process::id() as i32);
        for wrong in ["", "1/2", "/1/2", "machine/0/2", "machine/-1/2", "machine/one/2", "machine/1/"] {
            assert_eq!(wrong.parse::<Owner>(), Err(NoOwner(wrong.to_owned())), "{wrong}");
        }
    }
}
