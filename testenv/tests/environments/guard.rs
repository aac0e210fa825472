//! The guard as `assay` sees it: orders and news over its pipes, and what is left when either of them dies.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Lines, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use libtest_mimic::Trial;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, getpgid, getpgrp, pidfd_open},
};
use testenv::embedded::guard::{End, News, Order, SpawnOrder};

pub fn tests() -> Vec<Trial> {
    crate::trials![
        first_lines_are_told_and_the_rest_is_logged,
        a_child_gets_the_variables_it_is_given_and_no_secrets,
        children_and_the_guard_have_process_groups_of_their_own,
        what_a_child_started_goes_with_it,
        all_goes_when_assay_dies,
        all_goes_when_the_guard_is_killed,
        told_to_end_it_lets_children_end_by_themselves,
        told_to_end_it_kills_who_does_not,
        a_paused_child_ends_like_any_other,
        what_cannot_be_started_says_why,
    ]
}

/// A guard and its pipes.
struct Bench {
    process: Child,
    orders: Option<ChildStdin>,
    news: Lines<BufReader<ChildStdout>>,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["serve", "guard"])
            .env("SECRET", "swordfish")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let news = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { orders: process.stdin.take(), process, news, folder: tempfile::tempdir().unwrap() }
    }

    fn order(&mut self, order: &Order) {
        let mut line = serde_json::to_vec(order).unwrap();
        line.push(b'\n');
        self.orders.as_mut().unwrap().write_all(&line).unwrap();
    }

    fn news(&mut self) -> News {
        serde_json::from_str(&self.news.next().unwrap().unwrap()).unwrap()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn logged(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap()
    }

    fn spawn_order(&self, program: &str, arguments: &[&str]) -> SpawnOrder {
        SpawnOrder {
            id: 1,
            program: Some(program.into()),
            arguments: arguments.iter().map(Into::into).collect(),
            environment: BTreeMap::from([("GIVEN".to_owned(), "yes".to_owned())]),
            folder: self.folder.path().to_owned(),
            log: self.log(),
            tell_lines: true,
        }
    }

    /// Starts a shell with `script`, and returns its process id.
    fn shell(&mut self, script: &str) -> i32 {
        let order = self.spawn_order("/bin/sh", &["-c", script]);
        self.order(&Order::Spawn(order));
        match self.news() {
            News::Spawned { id: 1, pid } => pid,
            other => panic!("{other:?}"),
        }
    }

    fn line(&mut self) -> String {
        match self.news() {
            News::Line { id: 1, text } => text,
            other => panic!("{other:?}"),
        }
    }

    fn end(&mut self) -> End {
        match self.news() {
            News::Exited { id: 1, how } => how,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.process.wait();
    }
}

/// Whether the process ends within ten seconds, or has long ended.
fn ends(pid: i32) -> bool {
    let Ok(pidfd) = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()) else { return true };
    let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
    poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit)).unwrap() == 1
}

fn first_lines_are_told_and_the_rest_is_logged() {
    let mut bench = Bench::new();
    bench.shell("echo ready 7; echo trouble >&2; echo more; exit 3");
    assert_eq!([bench.line(), bench.line()], ["ready 7", "more"]);
    assert_eq!(bench.end(), End::Code(3));
    assert_eq!(bench.logged(), "trouble\n");
}

fn a_child_gets_the_variables_it_is_given_and_no_secrets() {
    let mut bench = Bench::new();
    bench.shell("env >&2");
    assert_eq!(bench.end(), End::Code(0));
    let logged = bench.logged();
    assert!(logged.contains("GIVEN=yes") && logged.contains("PATH=") && !logged.contains("swordfish"), "{logged}");
}

fn children_and_the_guard_have_process_groups_of_their_own() {
    let mut bench = Bench::new();
    let pid = bench.shell("echo up; sleep 600");
    assert_eq!(bench.line(), "up");
    let group = |pid: i32| getpgid(Pid::from_raw(pid)).unwrap().as_raw_nonzero().get();
    assert_eq!(group(pid), pid);

    // The guard's own group is its starter's business.
    let guard = testenv::embedded::children::Guard::start(&std::env::current_exe().unwrap()).unwrap();
    let text = format!("{guard:?}");
    let guard: i32 = text.rsplit(' ').next().unwrap().trim_end_matches(')').parse().unwrap();
    assert_ne!(group(guard), getpgrp().as_raw_nonzero().get());
}

fn what_a_child_started_goes_with_it() {
    let mut bench = Bench::new();
    // The sleep holds the pipe open: nobody may wait for its end.
    bench.shell("sleep 600 & echo $!; exit 0");
    let started: i32 = bench.line().parse().unwrap();
    assert_eq!(bench.end(), End::Code(0));
    assert!(ends(started));
}

fn all_goes_when_assay_dies() {
    let mut bench = Bench::new();
    let data = bench.folder.path().join("data");
    std::fs::create_dir_all(data.join("deep")).unwrap();
    bench.order(&Order::DeleteAtEnd(data.clone()));
    let pid = bench.shell("trap '' TERM; sleep 600 & echo $!; wait");
    let started: i32 = bench.line().parse().unwrap();
    bench.orders = None;
    assert!(bench.process.wait().unwrap().success());
    assert!(ends(pid) && ends(started));
    assert!(!data.exists());
}

fn all_goes_when_the_guard_is_killed() {
    let mut bench = Bench::new();
    // The kernel does it then, and it knows children only: roles and Java have no others.
    let pid = bench.shell("trap '' TERM; echo up; exec sleep 600");
    assert_eq!(bench.line(), "up");
    bench.process.kill().unwrap();
    assert!(ends(pid));
}

fn told_to_end_it_lets_children_end_by_themselves() {
    let mut bench = Bench::new();
    bench.shell("trap 'echo bye >&2; exit 0' TERM; echo up; sleep 600 & wait");
    assert_eq!(bench.line(), "up");
    bench.order(&Order::End);
    assert!(bench.process.wait().unwrap().success());
    assert_eq!(bench.logged(), "bye\n");
}

fn told_to_end_it_kills_who_does_not() {
    let mut bench = Bench::new();
    let pid = bench.shell("trap '' TERM; echo up; while :; do sleep 600; done");
    assert_eq!(bench.line(), "up");
    bench.order(&Order::End);
    assert!(bench.process.wait().unwrap().success());
    assert!(ends(pid));
}

fn a_paused_child_ends_like_any_other() {
    let mut bench = Bench::new();
    bench.shell("trap 'echo bye >&2; exit 0' TERM; echo up; sleep 600 & wait");
    assert_eq!(bench.line(), "up");
    bench.order(&Order::Signal { id: 1, signal: Signal::STOP.as_raw() });
    bench.order(&Order::End);
    assert!(bench.process.wait().unwrap().success());
    assert_eq!(bench.logged(), "bye\n");
}

fn what_cannot_be_started_says_why() {
    let mut bench = Bench::new();
    let order = bench.spawn_order("/nowhere/program", &[]);
    bench.order(&Order::Spawn(order));
    assert!(matches!(bench.news(), News::Spawned { id: 1, .. }));
    assert_eq!(bench.end(), End::Code(69));
    assert!(bench.logged().contains("/nowhere/program cannot be started"), "{}", bench.logged());

    let order = SpawnOrder { log: "/nowhere/log".into(), ..bench.spawn_order("/bin/sh", &[]) };
    bench.order(&Order::Spawn(order));
    match bench.news() {
        News::NotSpawned { id: 1, error } => assert!(error.contains("/nowhere/log"), "{error}"),
        other => panic!("{other:?}"),
    }
}
