//! Ctrl-C, kill -9, and a component that dies.

use std::{process::Child, time::Duration};

use super::harness::{Bench, Finished, Started, alone, assay, in_containers, signal, wait_until};

fn finished(child: Child, bench: &Bench) -> Finished {
    Finished::new(child.wait_with_output().unwrap(), bench.latest())
}

#[test]
fn ctrl_c_stops_sending_and_judges_what_was_sent() {
    let _room = alone();
    let bench = Bench::new("");
    let child = bench.start_sending();
    let started = Started::of(&child, &bench);
    signal(child.id(), "INT");
    let run = finished(child, &bench);
    assert_eq!(run.code, Some(2), "{}", run.told());
    assert!(run.stdout.contains("stopped before everything was sent"), "{}", run.told());
    let sent = 6_000 - run.count("unsent");
    assert!(0 < sent && sent < 6_000, "{sent} were sent");
    assert_eq!((run.count("visible"), run.count("lost")), (sent, 0), "{}", run.told());
    started.is_gone(&bench);
}

#[test]
fn kill_9_leaves_nothing_running_and_a_directory_that_can_be_judged() {
    let _room = alone();
    let bench = Bench::new("");
    let child = bench.start_sending();
    let started = Started::of(&child, &bench);
    signal(child.id(), "KILL");
    let run = finished(child, &bench);
    assert_eq!(run.code, None, "it was killed");
    started.is_gone(&bench);
    let judged = assay(["check"]).arg(run.directory.unwrap()).output().unwrap();
    let text = String::from_utf8_lossy(&judged.stdout);
    assert_eq!(judged.status.code(), Some(2), "{text}");
    assert!(text.contains("the run was killed before it had settled"), "{text}");
}

#[test]
fn what_is_left_when_the_guard_is_killed_as_well_goes_with_the_next_run() {
    // Processes die with the guard.
    if !in_containers() {
        return;
    }
    let _room = alone();
    let bench = Bench::new("");
    let child = bench.start_sending();
    // The guard first: it would remove all as soon as the other is gone.
    Started::of(&child, &bench).kill_guard();
    signal(child.id(), "KILL");
    assert_eq!(finished(child, &bench).code, None, "it was killed");
    assert!(!bench.left_on_docker().is_empty(), "nobody was left to remove it");
    // What it is asked for cannot be had; by then it has removed what was there.
    let next = Bench::new("");
    let output = next.run_command().args(["--image", "kafka=localhost:1/no/such-kafka:4"]).output().unwrap();
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let is_gone = || bench.left_on_docker().is_empty();
    assert!(wait_until(Duration::from_secs(10), is_gone), "{:?} {output:?}", bench.left_on_docker());
}

#[test]
fn a_component_that_dies_makes_the_run_inconclusive() {
    let _room = alone();
    let bench = Bench::new("");
    let child = bench.start_sending();
    let started = Started::of(&child, &bench);
    started.kill_ingester(&bench);
    let run = finished(child, &bench);
    assert_eq!(run.code, Some(2), "{}", run.told());
    assert!(run.stdout.contains("the environment failed: ingester ended by itself (signal 9)"), "{}", run.told());
    started.is_gone(&bench);
}
