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
        it_stays_when_it_is_asked_to_end
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
