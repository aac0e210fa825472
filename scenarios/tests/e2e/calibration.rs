//! `assay calibrate`: planted defects of each stage are found by name, a clean run raises nothing.

use serde_json::Value;

use crate::harness::{alone, assay, shared_environment};

#[test]
fn defects_of_every_stage_are_found_and_a_clean_run_raises_nothing() {
    let environment = shared_environment();
    let out = tempfile::tempdir().unwrap();
    let _room = alone();
    let mut command =
        assay(["calibrate", "--json", "--only", "remint_uuid,quota_ignored,silent_dead_letter,stale_reads"]);
    let output = command.arg("--env").arg(environment).arg("--out").arg(out.path()).output().unwrap();
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let told = || format!("{rows:#?}\n{}", String::from_utf8_lossy(&output.stderr));
    let of = |member: &str| rows.iter().map(|row| row[member].clone()).collect::<Vec<_>>();
    assert_eq!(of("defect"), ["(none)", "remint_uuid", "quota_ignored", "silent_dead_letter", "stale_reads"]);
    assert_eq!(of("outcome"), vec![Value::from("as_it_must"); 5], "{}", told());
    assert_eq!(of("planted"), [0, 4, 4, 4, 4], "{}", told());
    assert_eq!(of("found"), [0, 4, 4, 4, 4], "{}", told());
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn defects_of_groups_are_found() {
    let environment = shared_environment();
    let out = tempfile::tempdir().unwrap();
    let _room = alone();
    let mut command = assay(["calibrate", "--json", "--only", "swap_group_index,lose_group_properties"]);
    let output = command.arg("--env").arg(environment).arg("--out").arg(out.path()).output().unwrap();
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let told = || format!("{rows:#?}\n{}", String::from_utf8_lossy(&output.stderr));
    let of = |member: &str| rows.iter().map(|row| row[member].clone()).collect::<Vec<_>>();
    assert_eq!(of("outcome"), vec![Value::from("as_it_must"); 3], "{}", told());
    assert_eq!(of("planted"), [0, 4, 4], "{}", told());
    assert_eq!(of("false_alarms"), [0, 0, 0], "{}", told());
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn an_unknown_defect_is_64() {
    let output = assay(["calibrate", "--only", "drop_everything"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there are ack_then_drop, "), "{output:?}");
}
