//! Ctrl-C, kill -9, and a component that dies.

use std::{
    fs,
    process::{Child, Command},
    time::Duration,
};

use super::harness::{Bench, Finished, alone, assay, descendants, is_alive, wait_until};

fn signal(process: u32, name: &str) {
    let killed = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status().unwrap();
    assert!(killed.success());
}

fn finished(child: Child, bench: &Bench) -> Finished {
    Finished::new(child.wait_with_output().unwrap(), bench.latest())
}

/// Every process that was below `child` is gone, and so is its data.
fn nothing_is_left(children: &std::collections::HashSet<u32>, bench: &Bench) {
    assert!(children.len() >= 5, "guard, Kafka, ClickHouse, capture, ingester: {children:?}");
    assert!(
        wait_until(Duration::from_secs(10), || !children.iter().any(|process| is_alive(*process))),
        "processes were left behind"
    );
    assert!(
        wait_until(Duration::from_secs(10), || fs::read_dir(bench.tmp()).unwrap().count() == 0),
        "data was left behind"
    );
}

#[test]
fn ctrl_c_stops_sending_and_judges_what_was_sent() {
    let _room = alone();
    let bench = Bench::new("");
    let child = bench.start_sending();
    let children = descendants(child.id());
    signal(child.id(), "INT");
    let run = finished(child, &bench);
    assert_eq!(run.code, Some(2), "{}", run.told());
    assert!(run.stdout.contains("stopped before everything was sent"), "{}", run.told());
    let sent = 6_000 - run.count("unsent");
    assert!(0 < sent && sent < 6_000, "{sent} were sent");
    assert_eq!((run.count("visible"), run.count("lost")), (sent, 0), "{}", run.told());
    nothing_is_left(&children, &bench);
}

#[test]
fn kill_9_leaves_nothing_running_and_a_directory_that_can_be_judged() {
    let _room = alone();
    let bench = Bench::new("");
    let child = bench.start_sending();
    let children = descendants(child.id());
    signal(child.id(), "KILL");
    let run = finished(child, &bench);
    assert_eq!(run.code, None, "it was killed");
    nothing_is_left(&children, &bench);
    let judged = assay(["check"]).arg(run.directory.unwrap()).output().unwrap();
    let text = String::from_utf8_lossy(&judged.stdout);
    assert_eq!(judged.status.code(), Some(2), "{text}");
    assert!(text.contains("the run was killed before it had settled"), "{text}");
}

#[test]
fn a_component_that_dies_makes_the_run_inconclusive() {
    let _room = alone();
    let bench = Bench::new("");
    let child = bench.start_sending();
    let children = descendants(child.id());
    let is_ingester = |process: &&u32| {
        let line = fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
        line.replace('\0', " ").trim().ends_with("serve ingester")
    };
    signal(*children.iter().find(is_ingester).expect("an ingester"), "KILL");
    let run = finished(child, &bench);
    assert_eq!(run.code, Some(2), "{}", run.told());
    assert!(run.stdout.contains("the environment failed: ingester ended by itself (signal 9)"), "{}", run.told());
    nothing_is_left(&children, &bench);
}
