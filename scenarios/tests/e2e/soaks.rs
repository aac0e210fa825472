//! Soaks: windows that are judged together, and that go on after Assay itself was killed.

use std::{fs, path::PathBuf, process::Command};

use serde_json::Value;

use super::harness::{Bench, Finished, UP_WITHIN, alone, shared_environment, signal, wait_until};

/// Three windows of six seconds.
const SOAK: &str = "[soak]\nlasts = \"18s\"\nkeep = 1\n";

fn command(bench: &Bench) -> Command {
    let mut command = bench.run_command();
    command.arg("--env").arg(shared_environment());
    command
}

fn windows(bench: &Bench) -> Vec<PathBuf> {
    let Some(soak) = bench.latest() else { return Vec::new() };
    let entries = fs::read_dir(soak.join("e2e-window")).into_iter().flatten().flatten();
    let mut windows: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.is_dir() && !path.is_symlink()).collect();
    windows.sort();
    windows
}

fn state(bench: &Bench) -> Value {
    let text = fs::read_to_string(bench.latest().unwrap().join("soak.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_soak_that_was_killed_goes_on_and_is_judged_as_one() {
    let bench = Bench::new(SOAK);
    let _environment = shared_environment();
    let _room = alone();
    let mut first = command(&bench).spawn().unwrap();
    let second_sends = || {
        let windows = windows(&bench);
        windows.len() == 2 && fs::metadata(windows[1].join("ledger")).is_ok_and(|ledger| ledger.len() > 2_000)
    };
    assert!(wait_until(UP_WITHIN, second_sends), "no second window");
    signal(first.id(), "KILL");
    first.wait().unwrap();
    let directory = bench.latest().unwrap();
    let page = fs::read_to_string(directory.join("report.html")).unwrap();
    assert!(page.contains("http-equiv=\"refresh\"") && page.contains("1 of 3 windows"), "a page while it goes on");

    // With other values it is another soak.
    let other = command(&bench).args(["--set", "expect.complete=99%", "--resume"]).arg(&directory).output().unwrap();
    assert_eq!(other.status.code(), Some(64), "{other:?}");

    let output = command(&bench).arg("--resume").arg(&directory).output().unwrap();
    let finished = Finished::new(output, bench.latest());
    assert_eq!(finished.code, Some(0), "{}", finished.told());
    assert_eq!((finished.count("acked"), finished.count("lost")), (18_000, 0), "{}", finished.told());
    let state = state(&bench);
    assert_eq!((&state["soak"]["judged"], &state["soak"]["broken_off"]), (&3.into(), &1.into()), "{state:#}");
    let page = fs::read_to_string(directory.join("report.html")).unwrap();
    assert!(!page.contains("http-equiv=\"refresh\""), "it is over");
    let kept = windows(&bench);
    // The newest, and the newest that did not pass.
    assert_eq!(kept.len(), 2, "{kept:?}");
    let again = super::harness::assay(["check", "--json"]).arg(&directory).output().unwrap();
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again["checks"], finished.verdict["checks"]);
}

#[test]
fn what_every_window_loses_the_soak_has_lost() {
    let bench = Bench::new(&format!("{SOAK}[[planted_defect]]\nname = \"ack_then_drop\"\nevents = 60\n"));
    let finished = bench.run_shared();
    assert_eq!(finished.code, Some(1), "{}", finished.told());
    assert_eq!((finished.count("lost"), finished.check("loss")), (180, "fail"), "{}", finished.told());
    assert!(finished.stdout.contains("windows that failed by themselves: 1 ("), "{}", finished.told());
}
