//! The healer: the process that breaks somebody else's pipeline by a command of theirs, and stays until it has healed it.
//!
//! Each fault has one of its own. It runs the command that begins the fault, says how that went, and waits until it is told
//! to heal. When its standard input closes instead, in whatever way `assay` died, it heals all the same. So a fault is healed
//! once, and never while it is still being begun. It lives in a process group of its own and stays when it is asked to end,
//! since who asks a whole service or session to end has not healed anything. Its commands run on a leash (`leash.rs`): when a
//! command's time is over, or the healer is killed all the same, what the command has started ends with it. `assay` has another
//! healer heal then.
//!
//! The order comes as a line of JSON on stdin, and what became of each command goes out as one on stdout.

pub(crate) mod leash;

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use self::leash::Leash;

/// This executable, also after another was built in its place.
pub const THIS_EXECUTABLE: &str = "/proc/self/exe";
/// How often a running command is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long what was killed is waited for: what runs as another user is not killed, and what waits for a disk ends later.
const ENDED_WITHIN: Duration = Duration::from_secs(5);

/// What a healer is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What begins the fault; nothing where it is only to be healed.
    pub begin: Words,
    /// What heals it; nothing where there is nothing to heal.
    pub heal: Words,
    /// What both find in their environment, beside all that `assay` has in its own.
    pub environment: BTreeMap<String, String>,
    /// How long each may take.
    pub within: Duration,
    /// Where their output goes.
    pub log: PathBuf,
}

/// A command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// The program and its arguments; no shell.
    pub words: Vec<String>,
    /// What the log says of it.
    pub note: String,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It succeeded, or there was nothing to be done.
    Done,
    /// It failed, or took too long: how it ended.
    Failed(String),
    /// It could not be run: why.
    NotRun(String),
}

impl Outcome {
    fn of(status: ExitStatus) -> Self {
        if status.success() { Self::Done } else { Self::Failed(status.to_string()) }
    }
}

/// A fault in the hands of its healer. When this is dropped the fault is healed, which nobody waits for.
#[derive(Debug)]
pub struct Healer {
    process: Child,
    orders: Option<ChildStdin>,
    news: Option<BufReader<ChildStdout>>,
}

impl Healer {
    /// Starts one, which begins the fault; `executable` plays its role.
    ///
    /// # Errors
    /// When it cannot be started. Then nothing was begun.
    pub fn start(executable: &Path, order: &Order) -> io::Result<Self> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        let mut command = role(executable, "healer");
        let mut process = command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (orders, news) = (process.stdin.take(), process.stdout.take().map(BufReader::new));
        let mut healer = Self { process, orders, news };
        healer.say(&line)?;
        Ok(healer)
    }

    /// Waits until the command that begins the fault has ended. Blocks.
    ///
    /// # Errors
    /// When the healer is gone.
    pub fn begun(&mut self) -> io::Result<Outcome> {
        self.hear()
    }

    /// Has the fault healed, and waits for it. Blocks.
    ///
    /// # Errors
    /// When the healer is gone: it is not known what became of the fault.
    pub fn heal(mut self) -> io::Result<Outcome> {
        let healed = self.say(b"heal\n").and_then(|()| self.hear());
        drop(self.orders.take());
        // It has said all, or is gone.
        let _ = self.process.wait();
        healed
    }

    fn say(&mut self, line: &[u8]) -> io::Result<()> {
        let orders = self.orders.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        orders.write_all(line).and_then(|()| orders.flush())
    }

    fn hear(&mut self) -> io::Result<Outcome> {
        let news = self.news.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut line = String::new();
        if news.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "its healer is gone"));
        }
        Ok(serde_json::from_str(&line)?)
    }
}

/// What plays `role`, under the name of this executable.
fn role(executable: &Path, role: &str) -> Command {
    let mut command = Command::new(executable);
    if let Ok(name) = std::env::current_exe() {
        command.arg0(name);
    }
    command.args(["serve", role]);
    command
}

/// Plays the role `healer`.
pub fn serve() -> ExitCode {
    let leash = || role(Path::new(THIS_EXECUTABLE), "leash");
    let healed = stay_when_asked_to_end().and_then(|()| play(io::stdin().lock(), io::stdout().lock(), leash));
    match healed {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(69),
        Err(error) => {
            let _ = writeln!(io::stderr().lock(), "assay serve healer: {error}");
            ExitCode::from(70)
        }
    }
}

/// The handlers stay for as long as the process does; nobody listens to them.
fn stay_when_asked_to_end() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _context = runtime.enter();
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
        drop(signal(kind)?);
    }
    Ok(())
}

/// Takes the order from `input`, begins the fault, and heals it when it is told to or nobody is left who could. `leash` plays the
/// role of that name.
fn play(mut input: impl BufRead, mut output: impl Write, leash: impl Fn() -> Command) -> io::Result<Outcome> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    // Of an order that broke off nothing is begun.
    let order: Order = serde_json::from_str(&line)?;
    // What nobody would end is not begun.
    let not_begun = |error: io::Error| Outcome::NotRun(format!("nothing can end it with its healer: {error}"));
    let begun = order.carry_out_on(leash(), &order.begin, "begin").unwrap_or_else(not_begun);
    tell(&mut output, &begun);
    line.clear();
    let is_told = input.read_line(&mut line).is_ok_and(|read| read > 0);
    let healed = if is_told {
        // Whoever told it has it healed again, once this is over.
        let healed = order.carry_out_on(leash(), &order.heal, "heal");
        healed.unwrap_or_else(|error| order.carry_out(&order.heal, "heal", &format!("no leash ({error}): ")))
    } else {
        // Nobody would heal it again: this goes on in any case.
        order.carry_out(&order.heal, "heal", "assay is gone: ")
    };
    tell(&mut output, &healed);
    Ok(healed)
}

/// Nobody may be listening any more.
fn tell(output: &mut impl Write, outcome: &Outcome) {
    if let Ok(mut line) = serde_json::to_vec(outcome) {
        line.push(b'\n');
        let _ = output.write_all(&line).and_then(|()| output.flush());
    }
}

impl Order {
    /// Carries out `words` on a leash, whose role `leash` plays.
    ///
    /// # Errors
    /// When there is no leash. Then nothing was run.
    fn carry_out_on(&self, mut leash: Command, words: &Words, what: &str) -> io::Result<Outcome> {
        if words.words.is_empty() {
            return Ok(Outcome::Done);
        }
        leash.args(&words.words);
        self.prepare(&mut leash, what, &words.note);
        Ok(Leash::start(leash)?.wait(self.within))
    }

    /// Carries out `words` so that they go on when this process is gone.
    fn carry_out(&self, words: &Words, what: &str, why: &str) -> Outcome {
        let [program, arguments @ ..] = words.words.as_slice() else { return Outcome::Done };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).process_group(0);
        self.prepare(&mut command, what, &format!("{why}{}", words.note));
        let ended = command.spawn().and_then(|child| self.wait(child));
        ended.unwrap_or_else(|error| Outcome::NotRun(error.to_string()))
    }

    /// What a command finds in its environment, and where its output goes; the log says `note` first.
    fn prepare(&self, command: &mut Command, what: &str, note: &str) {
        // A full disk is no reason to leave anything broken.
        let outputs = self.open_log(&format!("{note}\n"));
        let (stdout, stderr) = outputs.unwrap_or_else(|_| (Stdio::null(), Stdio::null()));
        command.envs(&self.environment).env("ASSAY_FAULT", what).stdout(stdout).stderr(stderr);
    }

    fn wait(&self, mut child: Child) -> io::Result<Outcome> {
        let deadline = Instant::now() + self.within;
        loop {
            match child.try_wait()? {
                Some(status) => return Ok(Outcome::of(status)),
                None if Instant::now() > deadline => {
                    end(child);
                    return Ok(Outcome::Failed(format!("no answer within {:?}", self.within)));
                }
                None => std::thread::sleep(LOOK),
            }
        }
    }

    fn open_log(&self, line: &str) -> io::Result<(Stdio, Stdio)> {
        if let Some(folder) = self.log.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut log: File = OpenOptions::new().create(true).append(true).open(&self.log)?;
        log.write_all(line.as_bytes())?;
        Ok((log.try_clone()?.into(), log.into()))
    }
}

/// Kills a command that leads a process group, with what it has started and what is in that group, and waits until it is dead,
/// but not for ever.
fn end(mut child: Child) {
    kill_group(&child);
    // It may have left its group. As long as it is not waited for, its number is nobody else's.
    let _ = child.kill();
    let deadline = Instant::now() + ENDED_WITHIN;
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
        std::thread::sleep(LOOK);
    }
}

/// Kills the process group that `leader` leads, which is not waited for yet.
fn kill_group(leader: &Child) {
    if let Some(group) = Pid::from_raw(leader.id() as i32) {
        // All of it may have ended just now.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Words {
        Words { words: ["sh", "-c", script].map(str::to_owned).to_vec(), note: format!("note of {script}") }
    }

    fn order(begin: &str, heal: &str, log: PathBuf) -> Order {
        let environment = BTreeMap::from([("ASSAY_FAULT_TARGET".to_owned(), "ingester".to_owned())]);
        Order { begin: shell(begin), heal: shell(heal), environment, within: Duration::from_secs(1), log }
    }

    /// A leash in the place of this executable, which plays no role here: it runs the command in its own group, says how that
    /// went, and ends the group when its line closes.
    const LEASH: &str = r#"
        exec 3<&0
        {
            "$@" >&2 </dev/null 3>&-
            code=$?
            if [ $code = 0 ]; then echo '"done"' >&3; else echo "{\"failed\":\"exit status: $code\"}" >&3; fi
        } &
        read -r nothing
        kill -KILL 0
    "#;

    fn leash() -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", LEASH, "leash"]);
        command
    }

    /// What a healer says that gets this order and then `more`, until its input closes.
    fn played(order: &Order, more: &str) -> Vec<Outcome> {
        let input = format!("{}\n{more}", serde_json::to_string(order).unwrap());
        let mut output = Vec::new();
        play(input.as_bytes(), &mut output, leash).unwrap();
        output.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }

    #[test]
    fn commands_do_it_and_their_output_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("logs/faults.log");
        let order = order("echo $ASSAY_FAULT $ASSAY_FAULT_TARGET", "echo $ASSAY_FAULT", log.clone());
        assert_eq!(played(&order, "heal\n"), [Outcome::Done, Outcome::Done]);
        let text = std::fs::read_to_string(&log).unwrap();
        assert!(text.starts_with("note of echo ") && text.contains("\nbegin ingester\n"), "{text}");
        assert!(text.ends_with("\nheal\n") && !text.contains("assay is gone"), "{text}");
    }

    #[test]
    fn it_heals_when_nobody_is_left_to_tell_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("faults.log");
        assert_eq!(played(&order("true", "echo healed", log.clone()), ""), [Outcome::Done, Outcome::Done]);
        let text = std::fs::read_to_string(&log).unwrap();
        assert!(text.contains("assay is gone: note of echo healed\nhealed\n"), "{text}");
    }

    #[test]
    fn what_could_not_be_begun_is_healed_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("faults.log");
        let began = Instant::now();
        for (begin, expected) in [("exit 3", "exit status: 3"), ("sleep 30 & wait", "no answer within 1s")] {
            let told = played(&order(begin, "echo healed", log.clone()), "heal\n");
            assert!(matches!(&told[0], Outcome::Failed(how) if how.contains(expected)), "{told:?}");
            assert_eq!(told[1], Outcome::Done);
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it was waited for");
        assert_eq!(std::fs::read_to_string(&log).unwrap().matches("\nhealed\n").count(), 2);
    }

    #[test]
    fn a_leash_that_is_gone_without_a_word_is_no_success() {
        let folder = tempfile::tempdir().unwrap();
        let order = order("true", "true", folder.path().join("log"));
        let input = format!("{}\nheal\n", serde_json::to_string(&order).unwrap());
        for silent in ["exit 0", "echo nonsense >&0"] {
            let leash = || {
                let mut command = Command::new("sh");
                command.args(["-c", silent, "leash"]);
                command
            };
            let healed = play(input.as_bytes(), Vec::new(), leash).unwrap();
            assert!(matches!(&healed, Outcome::Failed(how) if how.contains("its leash does not say")), "{healed:?}");
        }
    }

    #[test]
    fn what_leaves_its_process_group_is_not_waited_for_when_its_time_is_over() {
        let folder = tempfile::tempdir().unwrap();
        // With nobody left to tell it, it heals on no leash.
        let heal = |words: &[&str]| {
            let heal = Words { words: words.iter().map(|word| (*word).to_owned()).collect(), note: String::new() };
            let order = Order { heal, ..order("true", "", folder.path().join("log")) };
            played(&order, "").pop().unwrap()
        };
        let began = Instant::now();
        for words in [&["timeout", "30", "sleep", "30"][..], &["sh", "-c", "setsid sleep 30 & wait"]] {
            let healed = heal(words);
            assert!(matches!(&healed, Outcome::Failed(how) if how == "no answer within 1s"), "{healed:?}");
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it was waited for");
        let missing = heal(&["/no/such/program"]);
        assert!(matches!(missing, Outcome::NotRun(_)), "{missing:?}");
    }

    #[test]
    fn without_a_log_it_heals_all_the_same_and_half_an_order_begins_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let touch = format!("touch {}", mark.display());
        let whole = order("true", &touch, "/dev/null/no/log".into());
        assert_eq!(played(&whole, "heal\n"), [Outcome::Done, Outcome::Done]);
        assert!(mark.exists());

        std::fs::remove_file(&mark).unwrap();
        let half = serde_json::to_string(&order(&touch, &touch, "/dev/null/no/log".into())).unwrap();
        assert!(play(&half.as_bytes()[..half.len() - 9], Vec::new(), leash).is_err());
        assert!(!mark.exists());
    }

    #[test]
    fn what_a_command_leaves_behind_on_purpose_stays() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let begin = format!("sleep 60 & echo $! >{}", pid.display());
        // It fails where there is nothing left to be ended.
        let heal = format!("kill $(cat {})", pid.display());
        let told = played(&order(&begin, &heal, folder.path().join("log")), "heal\n");
        assert_eq!(told, [Outcome::Done, Outcome::Done]);
    }

    #[test]
    fn without_a_leash_nothing_is_begun_and_all_is_healed() {
        let folder = tempfile::tempdir().unwrap();
        let (begun, healed) = (folder.path().join("begun"), folder.path().join("healed"));
        let touch = |path: &Path| format!("touch {}", path.display());
        let order = order(&touch(&begun), &touch(&healed), folder.path().join("log"));
        let input = format!("{}\nheal\n", serde_json::to_string(&order).unwrap());
        let mut output = Vec::new();
        let went = play(input.as_bytes(), &mut output, || Command::new("/no/such/program")).unwrap();
        assert_eq!(went, Outcome::Done);
        assert!(String::from_utf8(output).unwrap().contains("nothing can end it with its healer"));
        assert!(!begun.exists() && healed.exists());
    }
}
