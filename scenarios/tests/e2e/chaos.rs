//! The library's fault scenarios, as they are: each passes with nothing lost, and each fails under the right name when the
//! pipeline has a defect that its faults bring to light or must not hide.

use super::harness::{Bench, Finished, in_containers};

/// What must be found of a defect: its class, and where the events were lost, if they were.
#[derive(Clone, Copy)]
struct Defect {
    name: &'static str,
    events: u64,
    class: &'static str,
    stage: Option<&'static str>,
}

const fn lost(name: &'static str, events: u64, stage: &'static str) -> Defect {
    Defect { name, events, class: "lost", stage: Some(stage) }
}

const PROCESSED_AGAIN: Defect = Defect { name: "reprocess_on_restart", events: 100, class: "duplicated", stage: None };

/// The scenario as it is passes, and every fault that it plans was carried out and healed.
fn passes(scenario: &str) {
    let run = passes_but_for_what_never_left(scenario);
    assert_eq!(run.count("unsent"), 0, "{scenario}: {}", run.told());
}

/// The same, but that clients may have given up before a connection was to be had again.
fn passes_but_for_what_never_left(scenario: &str) -> Finished {
    let run = Bench::of_library(scenario, "").run_alone();
    assert_eq!(run.code, Some(0), "{scenario}: {}", run.told());
    let harm = ["lost", "vanished", "duplicated", "corrupted", "wrong_person", "phantom", "pending"];
    assert_eq!(harm.map(|class| run.count(class)), [0; 7], "{scenario}: {}", run.told());
    assert_eq!(run.count("visible") + run.count("unsent"), run.count("planned"), "{scenario}: {}", run.told());
    are_healed(&run);
    run
}

/// The same with a planted defect fails, and says what was done to which events.
fn fails(scenario: &str, defect: Defect) {
    fails_in(scenario, defect, "");
}

/// A long one fails so too if it is cut short: the fault that the defect has to do with, for as long, and what is sent around it.
fn fails_shortened(scenario: &str, defect: Defect, target: &str, action: &str) {
    let fault = format!("[[fault]]\nat = \"3s\"\ntarget = \"{target}\"\naction = \"{action}\"\nfor = \"10s\"\n");
    fails_in(scenario, defect, &format!("{fault}\n[[traffic]]\nname = \"app\"\nevents = 18_000\n"));
}

fn fails_in(scenario: &str, Defect { name, events, class, stage }: Defect, more: &str) {
    let planted = format!("\n{more}\n[[planted_defect]]\nname = \"{name}\"\nevents = {events}\n");
    let run = Bench::of_library(scenario, &planted).run_alone();
    assert_eq!(run.code, Some(1), "{scenario} with {name}: {}", run.told());
    assert!(run.count(class) > 0, "{scenario} with {name}: {}", run.told());
    let findings = run.findings(class);
    assert!(!findings.is_empty(), "{scenario} with {name}: {}", run.told());
    if let Some(stage) = stage {
        assert!(findings.iter().all(|finding| finding["stage"] == stage), "{scenario} with {name}: {}", run.told());
    }
    let others = ["lost", "vanished", "duplicated", "phantom"].into_iter().filter(|other| *other != class);
    for other in others {
        assert_eq!(run.count(other), 0, "{scenario} with {name}, {other}: {}", run.told());
    }
    are_healed(&run);
}

fn are_healed(run: &Finished) {
    let faults = run.verdict["run"]["faults"].as_array().unwrap();
    assert!(!faults.is_empty(), "{}", run.told());
    for fault in faults {
        assert!(fault["healed"].is_number() && fault.get("failed").is_none(), "{fault}: {}", run.told());
    }
}

#[test]
fn each_component_killed() {
    passes("chaos-kill");
    fails("chaos-kill", lost("commit_before_process", 200, "capture topic"));
}

#[test]
fn each_component_restarted() {
    passes("chaos-restart");
    fails("chaos-restart", PROCESSED_AGAIN);
}

#[test]
fn each_component_paused_for_10_s() {
    passes("chaos-pause");
    fails_shortened("chaos-pause", PROCESSED_AGAIN, "ingester", "pause");
}

#[test]
fn each_link_cut_for_10_s() {
    passes("chaos-network");
    fails_shortened("chaos-network", lost("ack_then_drop", 60, "acked"), "capture-kafka", "cut");
}

#[test]
fn partitions_change_hands() {
    passes("chaos-rebalance");
    fails("chaos-rebalance", PROCESSED_AGAIN);
}

#[test]
fn messages_that_nobody_can_read() {
    passes("chaos-poison");
    fails("chaos-poison", lost("skip_poison_block", 60, "capture topic"));
}

#[test]
fn clickhouse_is_away_for_a_minute() {
    passes("chaos-clickhouse-away");
    fails_shortened("chaos-clickhouse-away", lost("lose_block", 1_000, "ingester output"), "clickhouse", "stop");
}

#[test]
fn capture_gets_more_than_it_can_pass_on() {
    passes("chaos-overload");
    fails("chaos-overload", lost("ack_then_drop", 60, "acked"));
}

#[test]
fn faults_at_random() {
    let run = passes_but_for_what_never_left("chaos-random");
    if run.count("unsent") > 0 {
        // posthog-python tries again after 1, 3 and 7 seconds, and faults may be drawn that meet every attempt.
        let faults = run.verdict["run"]["faults"].as_array().unwrap();
        let is_cause =
            |fault: &serde_json::Value| matches!(fault["target"].as_str(), Some("capture" | "client-capture"));
        assert!(faults.iter().any(is_cause), "{}", run.told());
    }
}

#[test]
fn disks_processors_and_memory_are_short() {
    if !in_containers() {
        return;
    }
    passes("chaos-resources");
    fails("chaos-resources", lost("ack_then_drop", 60, "acked"));
}
