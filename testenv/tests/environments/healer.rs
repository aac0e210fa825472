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
        what_it_runs_ends_with_it
    ]
}

fn shell(script: &str) -> Words {
    Words { words: ["sh", "-c", script].map(str::to_owned).to_vec(), note: script.into() }
}

/// A fault that makes the file `broken` in `folder`, slowly, and is healed by taking it away.
fn start(folder: &Path) -> Healer {
    let broken = folder.join("broken");
    let order = Order {
        begin: shell(&format!("echo $PPID >{}; sleep 0.3; touch {}", folder.join("pid").display(), broken.display())),
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
    let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap().trim().parse().unwrap();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }
    assert_eq!(healer.heal().unwrap(), Outcome::Done);
    assert!(!folder.path().join("broken").exists());
}

fn what_it_runs_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    // Two deep: what a command has started ends, too, though nobody has asked the kernel for that.
    let begin = format!(
        "echo $PPID >{0}; sh -c 'echo $$ >{1}.new; mv {1}.new {1}; sleep 60; touch {2}' & wait",
        file("healer").display(),
        file("grandchild").display(),
        file("broken").display()
    );
    let order = Order {
        begin: shell(&begin),
        heal: Words::default(),
        environment: std::collections::BTreeMap::new(),
        within: Duration::from_secs(90),
        log: file("log"),
    };
    let mut healer = Healer::start(&std::env::current_exe().unwrap(), &order).unwrap();
    assert!(wait_until(|| file("grandchild").exists()), "nothing was begun");
    let pid = |name: &str| Pid::from_raw(std::fs::read_to_string(file(name)).unwrap().trim().parse().unwrap()).unwrap();
    assert!(runs(pid("grandchild")));
    let killed = Instant::now();
    kill_process(pid("healer"), Signal::KILL).unwrap();
    assert!(healer.begun().is_err(), "it was killed");
    assert!(wait_until(|| !runs(pid("grandchild"))), "it goes on");
    assert!(killed.elapsed() < Duration::from_secs(30), "it was waited for");
}

/// Whether a process is there and not only waits to be buried.
fn runs(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    // After the name, which stands in brackets.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
