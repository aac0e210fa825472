//! Faults by commands of the user's own: nobody else knows how that pipeline is broken and healed.
//!
//! A command is a program with its arguments and no shell. It is told what it is for in its environment, its output goes into
//! the run's logs, and one that fails or takes too long means that the fault was not carried out. A process of its own keeps
//! what was begun and heals it, also when `assay` is there no more ([`testenv::healer`]).

use std::{collections::BTreeMap, io, path::PathBuf, time::Duration};

use reports::figures::count;
use testenv::{
    fault::{PlannedFault, Target},
    healer::{Healer, Order, Outcome, THIS_EXECUTABLE, Words},
};

use super::{External, conceal::shown, secret::Secret};
use crate::scenario::{Fault, Scenario};

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
#[derive(Clone)]
pub struct Commands {
    all: Vec<FaultCommand>,
    /// What of them nobody shall read in the log.
    secrets: Vec<String>,
    log: PathBuf,
    /// What plays the healer's role.
    healer: PathBuf,
}

impl std::fmt::Debug for Commands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commands").field("log", &self.log).finish_non_exhaustive()
    }
}

/// A command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is none for this fault.
    #[error("there is no [[fault_command]] for it")]
    None,
    /// Nobody could be had who heals it, so nothing was begun.
    #[error("the process that heals it could not be started, so it was not begun")]
    NoHealer(#[source] io::Error),
    /// Whoever had it in hand was killed.
    #[error("the process that had it in hand was killed")]
    HealerGone(#[source] io::Error),
    /// It could not be run.
    #[error("`{command}` could not be run: {why}")]
    Run {
        /// The program.
        command: String,
        /// What the system said.
        why: String,
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
    /// Those of `external`, whose output is appended to `log`.
    pub fn new(external: &External, log: PathBuf) -> Self {
        Self { all: external.fault_commands.clone(), secrets: external.secrets(), log, healer: THIS_EXECUTABLE.into() }
    }

    /// The same, with a healer that `executable` plays.
    #[cfg(test)]
    pub fn healed_by(self, executable: &std::path::Path) -> Self {
        Self { healer: executable.to_owned(), ..self }
    }

    /// Begins `fault`; returns who heals it, if anything may have been begun, and how it went. Blocks.
    ///
    /// # Errors
    /// When there is no command for it, or it does not succeed in time.
    pub fn begin(&self, fault: &PlannedFault) -> (Option<Healer>, Result<(), CommandError>) {
        let order = match self.order(fault) {
            Ok(order) => order,
            Err(error) => return (None, Err(error)),
        };
        match Healer::start(&self.healer, &order) {
            Ok(mut healer) => {
                let begun = healer.begun().map_err(CommandError::HealerGone);
                (Some(healer), begun.and_then(|outcome| self.went(&order.begin, outcome)))
            }
            Err(error) => (None, Err(CommandError::NoHealer(error))),
        }
    }

    /// Has `healer` heal `fault`. Blocks.
    ///
    /// # Errors
    /// When its command does not succeed in time.
    pub fn heal(&self, fault: &PlannedFault, healer: Healer) -> Result<(), CommandError> {
        let order = Order { begin: Words::default(), ..self.order(fault)? };
        let outcome = healer.heal().or_else(|_| {
            // It was killed, and what it has done is not known: another one heals.
            let mut again = Healer::start(&self.healer, &order)?;
            again.begun()?;
            again.heal()
        });
        self.went(&order.heal, outcome.map_err(CommandError::HealerGone)?)
    }

    fn order(&self, fault: &PlannedFault) -> Result<Order, CommandError> {
        let command = command(&self.all, fault.target, fault.action.word()).ok_or(CommandError::None)?;
        let words = |what: &str, words: &[String]| Words {
            words: words.to_vec(),
            note: format!("{what} {fault}: {}", self.shown(words)),
        };
        let environment = BTreeMap::from([
            ("ASSAY_FAULT_TARGET".to_owned(), fault.target.word().to_owned()),
            ("ASSAY_FAULT_ACTION".to_owned(), fault.action.word().to_owned()),
            ("ASSAY_FAULT_SECONDS".to_owned(), fault.lasts.as_secs_f64().to_string()),
        ]);
        Ok(Order {
            begin: words("begin", &command.begin),
            heal: words("heal", &command.heal),
            environment,
            within: command.within,
            log: self.log.clone(),
        })
    }

    fn shown(&self, words: &[String]) -> String {
        let secrets: Vec<&str> = self.secrets.iter().map(String::as_str).collect();
        shown(words, &secrets)
    }

    fn went(&self, command: &Words, outcome: Outcome) -> Result<(), CommandError> {
        let command = command.words.first().cloned().unwrap_or_default();
        match outcome {
            Outcome::Done => Ok(()),
            Outcome::Failed(how) => Err(CommandError::Failed { command, how, log: self.log.clone() }),
            Outcome::NotRun(why) => Err(CommandError::Run { command, why }),
        }
    }
}

fn command<'a>(commands: &'a [FaultCommand], target: Target, action: &str) -> Option<&'a FaultCommand> {
    commands.iter().find(|command| command.target == target && command.action == action)
}

impl External {
    /// What will be done to it by commands in `windows` windows of `scenario`, in lines; none if nothing is.
    pub fn fault_lines(&self, scenario: &Scenario, windows: u64) -> Vec<String> {
        let times: u64 = scenario.faults.iter().map(|fault| fault.times).sum();
        if times == 0 {
            return Vec::new();
        }
        let secrets = self.secrets();
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let mut lines = vec![format!("faults: {}, by these commands", count(times.saturating_mul(windows)))];
        // Of several one is drawn, in each window another one.
        for (action, target) in scenario.faults.iter().flat_map(Fault::draws) {
            let action = action.word();
            let Some(command) = command(&self.fault_commands, target, action) else { continue };
            let healed = if command.heal.is_empty() {
                String::new()
            } else {
                format!("; healed by `{}`", shown(&command.heal, &secrets))
            };
            let line = format!(
                "{action} {target}: `{}`{healed}; within {:?}",
                shown(&command.begin, &secrets),
                command.within
            );
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        lines
    }

    /// What nobody shall read, wherever it stands. A password that cannot be read is nowhere.
    fn secrets(&self) -> Vec<String> {
        let sasl = self.kafka.as_ref().and_then(|kafka| kafka.sasl.as_ref());
        let passwords = [Some(&self.clickhouse.password), sasl.map(|sasl| &sasl.password)];
        let read = |secret: &Secret| secret.read("a password").ok();
        let tokens = self.projects.iter().map(|project| project.token.text().to_owned());
        tokens.chain(passwords.into_iter().flatten().filter_map(read)).filter(|secret| !secret.is_empty()).collect()
    }
}

#[cfg(test)]
pub mod tests {
    use std::{path::Path, process::Command};

    use testenv::fault::Action;

    use super::*;
    use crate::external::file::tests::whole;

    /// Commands for a killed ingester whose healer, in `folder`, does nothing but leave a file `begun` and a file `healed`
    /// there; it takes its time to heal.
    pub fn noted_in(folder: &Path) -> Commands {
        let healer = folder.join("healer");
        let script = format!(
            "#!/bin/sh\ncd {}\nread order\ntouch begun\necho '\"done\"'\nread heal\nsleep 0.2\ntouch healed\necho '\"done\"'\n",
            folder.display()
        );
        make_executable(&healer, &script);
        Commands::new(&whole(), folder.join("log")).healed_by(&healer)
    }

    /// The same whose healer, in `folder`, says that neither command succeeded.
    pub fn failing_in(folder: &Path) -> Commands {
        let healer = folder.join("healer");
        let failed = |code: u8| format!("echo '{{\"failed\":\"exit status: {code}\"}}'");
        make_executable(&healer, &format!("#!/bin/sh\nread order\n{}\nread heal\n{}\n", failed(3), failed(4)));
        Commands::new(&whole(), folder.join("log")).healed_by(&healer)
    }

    /// Writes an executable file. A child does: what other tests start meanwhile must not have it open, or it could not be run.
    fn make_executable(path: &Path, text: &str) {
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"printf %s "$1" >"$0" && chmod +x "$0""#]).arg(path).arg(text);
        assert!(shell.status().unwrap().success());
    }

    /// An ingester that is killed at once, for long.
    pub const FAULT: PlannedFault = PlannedFault {
        at: Duration::ZERO,
        lasts: Duration::from_hours(1),
        target: Target::Ingester,
        action: Action::Kill,
        seed: 0,
    };

    #[test]
    fn a_fault_is_in_the_hands_of_its_healer() {
        let folder = tempfile::tempdir().unwrap();
        let commands = noted_in(folder.path());
        let (healer, begun) = commands.begin(&FAULT);
        begun.unwrap();
        assert!(folder.path().join("begun").exists() && !folder.path().join("healed").exists());
        commands.heal(&FAULT, healer.unwrap()).unwrap();
        assert!(folder.path().join("healed").exists());

        let (none, told) = commands.begin(&PlannedFault { action: Action::Pause, ..FAULT });
        assert!(none.is_none() && matches!(told, Err(CommandError::None)));
        let (none, told) = commands.healed_by("/no/such/program".as_ref()).begin(&FAULT);
        assert!(none.is_none() && matches!(told, Err(CommandError::NoHealer(_))));
    }

    #[test]
    fn a_healer_that_was_killed_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let commands = noted_in(folder.path());
        // It ends as soon as it has begun.
        let killed = folder.path().join("killed");
        make_executable(&killed, "#!/bin/sh\nread order\necho '\"done\"'\n");
        let (healer, begun) = commands.clone().healed_by(&killed).begin(&FAULT);
        begun.unwrap();
        commands.heal(&FAULT, healer.unwrap()).unwrap();
        assert!(folder.path().join("healed").exists());
    }

    #[test]
    fn what_it_is_told_is_what_the_file_says_and_the_log_keeps_no_secret() {
        let mut external = whole();
        external.fault_commands[0].begin.push("phc_abc".into());
        let order = Commands::new(&external, "log".into()).order(&FAULT).unwrap();
        assert_eq!(order.begin.words, ["kubectl", "delete", "pod", "phc_abc"]);
        assert_eq!(order.begin.note, "begin kill ingester for 3600s: kubectl delete pod …");
        assert_eq!((order.heal.words, order.within), (vec!["true".to_owned()], Duration::from_secs(30)));
        let told: Vec<(&str, &str)> =
            order.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            told,
            [("ASSAY_FAULT_ACTION", "kill"), ("ASSAY_FAULT_SECONDS", "3600"), ("ASSAY_FAULT_TARGET", "ingester")]
        );
    }

    #[test]
    fn what_will_be_run_is_shown_once_each_and_how_often_in_all() {
        let fault = "[[fault]]\nat = \"1s\"\naction = \"kill\"\ntarget = \"ingester\"\n";
        let source = format!(
            "{}\n{fault}every = \"2s\"\ntimes = 3\n{}",
            include_str!("../../library/smoke.toml"),
            fault.replace("1s", "9s")
        );
        let mut external = whole();
        assert_eq!(
            external.fault_lines(&Scenario::read("x", include_str!("../../library/smoke.toml"), &[]).unwrap(), 1),
            [""; 0]
        );
        external.fault_commands[0].heal.push("--token=abc".into());
        let lines = external.fault_lines(&Scenario::read("x", &source, &[]).unwrap(), 5);
        assert_eq!(
            lines,
            [
                "faults: 20, by these commands",
                "kill ingester: `kubectl delete pod`; healed by `true --token=…`; within 30s"
            ]
        );
    }
}
