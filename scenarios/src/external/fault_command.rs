//! Faults by commands of the user's own: nobody else knows how that pipeline is broken and healed.
//!
//! A command is a program with its arguments and no shell. It is told what it is for in its environment, its output goes into
//! the run's logs, and one that fails or takes too long means that the fault was not carried out.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use testenv::fault::{PlannedFault, Target};

/// How often a running command is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What breaks a part of the pipeline, and what heals it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultCommand {
    /// The part.
    pub target: Target,
    /// The action, by its name in scenarios.
    pub action: String,
    /// The program that begins it, and its arguments.
    pub begin: Vec<String>,
    /// The same for its end; empty where there is none.
    pub heal: Vec<String>,
    /// How long each may take.
    pub within: Duration,
}

/// All commands, and where their output goes. Clones share the file.
#[derive(Debug, Clone)]
pub struct Commands {
    commands: Vec<FaultCommand>,
    log: PathBuf,
}

/// A command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is none for this fault.
    #[error("there is no [[fault_command]] for it")]
    None,
    /// It could not be run.
    #[error("`{command}` could not be run")]
    Run {
        /// The program.
        command: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It failed.
    #[error("`{command}` ended with {how}; its output is in {}", log.display())]
    Failed {
        /// The program.
        command: String,
        /// How it ended.
        how: String,
        /// The log.
        log: PathBuf,
    },
}

impl Commands {
    /// `commands`, whose output is appended to `log`.
    pub const fn new(commands: Vec<FaultCommand>, log: PathBuf) -> Self {
        Self { commands, log }
    }

    /// Begins `fault`. Blocks.
    ///
    /// # Errors
    /// When there is no command for it, or it does not succeed in time.
    pub fn begin(&self, fault: &PlannedFault) -> Result<(), CommandError> {
        let command = self.command(fault)?;
        self.run(&command.begin, command.within, "begin", fault)
    }

    /// Heals `fault`. Blocks.
    ///
    /// # Errors
    /// When there is no command for it, or it does not succeed in time.
    pub fn heal(&self, fault: &PlannedFault) -> Result<(), CommandError> {
        let command = self.command(fault)?;
        if command.heal.is_empty() { Ok(()) } else { self.run(&command.heal, command.within, "heal", fault) }
    }

    fn command(&self, fault: &PlannedFault) -> Result<&FaultCommand, CommandError> {
        let fits = |command: &&FaultCommand| command.target == fault.target && command.action == fault.action.word();
        self.commands.iter().find(fits).ok_or(CommandError::None)
    }

    fn run(&self, words: &[String], within: Duration, what: &str, fault: &PlannedFault) -> Result<(), CommandError> {
        let [program, arguments @ ..] = words else { return Err(CommandError::None) };
        let refused = |source| CommandError::Run { command: program.clone(), source };
        let log = self.open_log(&format!("{what} {fault}: {}\n", words.join(" "))).map_err(refused)?;
        let mut child = Command::new(program)
            .args(arguments)
            .env("ASSAY_FAULT", what)
            .env("ASSAY_FAULT_TARGET", fault.target.word())
            .env("ASSAY_FAULT_ACTION", fault.action.word())
            .env("ASSAY_FAULT_SECONDS", fault.lasts.as_secs_f64().to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(refused)?)
            .stderr(log)
            // What it starts ends with it when its time is over.
            .process_group(0)
            .spawn()
            .map_err(refused)?;
        let failed = |how: String| CommandError::Failed { command: program.clone(), how, log: self.log.clone() };
        let deadline = Instant::now() + within;
        loop {
            match child.try_wait().map_err(refused)? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(failed(status.to_string())),
                None if Instant::now() > deadline => {
                    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                        // It may have ended just now.
                        let _ = kill_process_group(group, Signal::KILL);
                    }
                    let _ = child.wait();
                    return Err(failed(format!("no answer within {within:?}")));
                }
                None => std::thread::sleep(LOOK),
            }
        }
    }

    fn open_log(&self, line: &str) -> std::io::Result<File> {
        if let Some(folder) = self.log.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        log.write_all(line.as_bytes())?;
        Ok(log)
    }
}

#[cfg(test)]
mod tests {
    use testenv::fault::Action;

    use super::*;

    fn commands(begin: &str, log: PathBuf) -> Commands {
        let shell = |script: &str| ["sh", "-c", script].map(str::to_owned).to_vec();
        let command = FaultCommand {
            target: Target::Ingester,
            action: "pause".into(),
            begin: shell(begin),
            heal: shell("echo healed"),
            within: Duration::from_millis(500),
        };
        Commands::new(vec![command], log)
    }

    #[test]
    fn a_command_does_it_and_its_output_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("logs/faults.log");
        let fault = PlannedFault {
            at: Duration::ZERO,
            lasts: Duration::from_secs(3),
            target: Target::Ingester,
            action: Action::Pause,
        };
        let all = commands("echo $ASSAY_FAULT $ASSAY_FAULT_TARGET for $ASSAY_FAULT_SECONDS", log.clone());
        all.begin(&fault).unwrap();
        all.heal(&fault).unwrap();
        let text = std::fs::read_to_string(&log).unwrap();
        assert!(text.contains("\nbegin ingester for 3\n") && text.ends_with("\nhealed\n"), "{text}");

        let told = |begin: &str| commands(begin, log.clone()).begin(&fault).unwrap_err().to_string();
        assert!(told("exit 3").contains("exit status: 3"));
        let began = Instant::now();
        assert!(told("sleep 30 & wait").contains("no answer within 500ms"));
        assert!(began.elapsed() < Duration::from_secs(20), "it was waited for");
        let other = PlannedFault { action: Action::Kill, ..fault };
        assert!(matches!(all.begin(&other), Err(CommandError::None)));
    }
}
