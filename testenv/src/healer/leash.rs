//! The leash: the process that ends a command of a fault's, with all that this has started, when the healer that runs it is
//! gone.
//!
//! A process can have the kernel end it with its parent, but what it has started itself would stay. So a command runs in the
//! process group of a leash, which is there before it and ends that group when its standard input closes: nobody but the
//! healer holds the other end. The leash holds the healer's standard output open, too. Who reads there learns that the healer
//! is gone when the command is, and can have the fault healed at once.

use std::{
    io::{self, Read, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitCode, Stdio},
};

use rustix::process::{Signal, getpgrp, getpid, kill_current_process_group};

/// A command's leash. When this is dropped the leash alone ends: what a command leaves behind on purpose stays.
#[derive(Debug)]
pub(super) struct Leash {
    process: Child,
}

impl Leash {
    /// Starts one; `role` plays its role.
    pub(super) fn start(mut role: Command) -> io::Result<Self> {
        let process = role.process_group(0).stdin(Stdio::piped()).stdout(Stdio::inherit()).spawn()?;
        Ok(Self { process })
    }

    /// The process group for what is on it. The number is nobody else's as long as this is there.
    pub(super) fn group(&self) -> i32 {
        self.process.id() as i32
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        // It may have ended with its group.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Plays the role `leash`.
pub fn serve() -> ExitCode {
    if getpgrp() != getpid() {
        // It would end those who have started it.
        let _ = writeln!(io::stderr().lock(), "assay serve leash: it leads no process group");
        return ExitCode::from(64);
    }
    // Nothing is ever said: input that cannot be read has ended, too.
    let _ = io::stdin().lock().read_to_end(&mut Vec::new());
    match kill_current_process_group(Signal::KILL) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(70),
    }
}
