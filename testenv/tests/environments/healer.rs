//! The healer as a process of its own: what is healed when `assay` is there no more.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};
use testenv::healer::{Healer, Order, Outcome, Words};

pub fn tests() -> Vec<Trial> {
    crate::trials![
        what_is_begun_is_healed_when_it_is_told,
        who_is_gone_leaves_nothing_broken,
        it_stays_when_it_is_asked_to_end,
        what_it_runs_ends_with_it,
        what_takes_too_long_ends_with_all_that_it_has_started,
        what_a_command_leaves_behind_stays_and_what_cannot_be_run_is_told
    ]
}

fn shell(script: &str) -> Words {
    Words { words: ["sh", "-c", script].map(str::to_owned).to_vec(), note: script.into() }
}

/// What writes the process id of the healer to `file`: its child, the leash, is the parent of the command.
fn tell_healer(file: &Path) -> String {
    format!("sed -n 's/^PPid:[[:space:]]*//p' /proc/$PPID/status >{}", file.display())
}

/// A fault that makes the file `broken` in `folder`, slowly, and is healed by taking it away.
fn start(folder: &Path) -> Healer {
    let broken = folder.join("broken");
    let order = Order {
        begin: shell(&format!("{}; sleep 0.3; touch {}", tell_healer(&folder.join("pid")), broken.display())),
        heal: shell(&format!("rm {}", broken.display())),
        environment: std::collections::BTreeMap::new(),
        within: Duration::from_secs(10),
        log: folder.join("log"),
    };
    Healer::start(&std::env::current_exe().unwrap(), &order).unwrap()
}

fn wait_until(mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    done()
}

fn what_is_begun_is_healed_when_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut healer = start(folder.path());
    assert_eq!(healer.begun().unwrap(), Outcome::Done);
    assert!(folder.path().join("broken").exists());
    assert_eq!(healer.heal().unwrap(), Outcome::Done);
    assert!(!folder.path().join("broken").exists());
}

fn who_is_gone_leaves_nothing_broken() {
    let folder = tempfile::tempdir().unwrap();
    // In the middle of beginning: it is healed after that, not before.
    drop(start(folder.path()));
    let logged = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    assert!(wait_until(|| logged().contains("assay is gone: rm ")), "{}", logged());
    assert!(wait_until(|| !folder.path().join("broken").exists()), "{}", logged());
    assert!(!logged().contains("No such file"), "it was healed before it was broken: {}", logged());
}

fn it_stays_when_it_is_asked_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut healer = start(folder.path());
    assert_eq!(healer.begun().unwrap(), Outcome::Done);
    let pid = pid(&folder.path().join("pid"));
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        kill_process(pid, signal).unwrap();
    }
    assert_eq!(healer.heal().unwrap(), Outcome::Done);
    assert!(!folder.path().join("broken").exists());
}

/// Ways in which a command comes to run `$ASSAY_TEST_LAST`, which tells its number and goes on: as its grandchild, and where it
/// leaves its process group, its session and its parent.
const WAYS: [&str; 4] = [
    "sh $ASSAY_TEST_LAST & wait",
    "timeout 60 sh $ASSAY_TEST_LAST",
    "setsid sh $ASSAY_TEST_LAST & wait",
    "(setsid sh -c 'sh $ASSAY_TEST_LAST & wait' &); sleep 60",
];

/// A healer that begins a fault in one of the [`WAYS`], which may take this long, and the number of the last process of it.
fn begin_in(way: &str, within: Duration, folder: &Path) -> (Healer, Pid) {
    let file = |name: &str| folder.join(name);
    let last = format!("echo $$ >{0}.new; mv {0}.new {0}; sleep 60; true", file("pid").display());
    std::fs::write(file("last"), last).unwrap();
    let order = Order {
        begin: shell(&format!("{}; {way}", tell_healer(&file("healer")))),
        heal: Words::default(),
        environment: [("ASSAY_TEST_LAST".to_owned(), file("last").display().to_string())].into(),
        within,
        log: file("log"),
    };
    let healer = Healer::start(&std::env::current_exe().unwrap(), &order).unwrap();
    assert!(wait_until(|| file("pid").exists()), "{way}: nothing was begun");
    let last = pid(&file("pid"));
    assert!(runs(last), "{way}");
    (healer, last)
}

fn pid(file: &Path) -> Pid {
    Pid::from_raw(std::fs::read_to_string(file).unwrap().trim().parse().unwrap()).unwrap()
}

fn what_it_runs_ends_with_it() {
    for way in WAYS {
        let folder = tempfile::tempdir().unwrap();
        let (mut healer, last) = begin_in(way, Duration::from_secs(90), folder.path());
        let killed = Instant::now();
        kill_process(pid(&folder.path().join("healer")), Signal::KILL).unwrap();
        assert!(healer.begun().is_err(), "{way}: it was killed");
        // Who hears that it is gone has the fault healed at once: nothing may break it any more.
        assert!(!runs(last), "{way}: it goes on");
        assert!(killed.elapsed() < Duration::from_secs(30), "{way}: it was waited for");
    }
}

fn what_takes_too_long_ends_with_all_that_it_has_started() {
    for way in WAYS {
        let folder = tempfile::tempdir().unwrap();
        let began = Instant::now();
        let (mut healer, last) = begin_in(way, Duration::from_secs(4), folder.path());
        let told = healer.begun().unwrap();
        assert_eq!(told, Outcome::Failed("no answer within 4s".into()), "{way}");
        assert!(!runs(last), "{way}: it goes on");
        assert!(began.elapsed() < Duration::from_secs(30), "{way}: it was waited for");
        assert_eq!(healer.heal().unwrap(), Outcome::Done, "{way}: there is nothing to heal");
    }
}

fn what_a_command_leaves_behind_stays_and_what_cannot_be_run_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let order = Order {
        begin: shell(&format!("sleep 60 & echo $! >{}", file.display())),
        heal: Words { words: vec!["/no/such/program".into()], note: String::new() },
        environment: std::collections::BTreeMap::new(),
        within: Duration::from_secs(10),
        log: folder.path().join("log"),
    };
    let mut healer = Healer::start(&std::env::current_exe().unwrap(), &order).unwrap();
    assert_eq!(healer.begun().unwrap(), Outcome::Done);
    let outcome = healer.heal().unwrap();
    assert!(matches!(outcome, Outcome::NotRun(_)), "{outcome:?}");
    // The healer and its leashes are gone, and it is there.
    assert!(runs(pid(&file)));
    kill_process(pid(&file), Signal::KILL).unwrap();
}

/// Whether a process is there and not only waits to be buried.
fn runs(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    // After the name, which stands in brackets.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
