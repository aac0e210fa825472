//! One run whose traffic several senders share: threads, and processes with a ledger each.

use std::{fs, process::Stdio};

use super::{
    external,
    harness::{Bench, Finished, UP_WITHIN, alone, assay, shared_environment, wait_until},
};

fn passes(run: &Finished) {
    assert_eq!(run.code, Some(0), "{}", run.told());
    assert_eq!((run.count("acked"), run.count("visible"), run.count("lost")), (6_000, 6_000, 0), "{}", run.told());
}

#[test]
fn senders_of_several_processes_are_judged_together() {
    let bench = Bench::new("");
    let environment = shared_environment();
    let _room = alone();
    let run = {
        let mut command = bench.run_command();
        command.args(["--shard", "1/2", "--senders", "2", "--starts-in", "4s", "--env"]).arg(environment);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let manifest = || bench.latest().is_some_and(|run| run.join("manifest.json").exists());
    assert!(wait_until(UP_WITHIN, manifest), "no run");
    let directory = bench.latest().unwrap();
    // As on another machine, whose ledger is copied afterwards.
    let elsewhere = bench.tmp().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::copy(directory.join("manifest.json"), elsewhere.join("manifest.json")).unwrap();
    let sent = assay(["send", "--shard", "2/2"]).arg(&elsewhere).output().unwrap();
    let told = String::from_utf8_lossy(&sent.stdout).into_owned() + &String::from_utf8_lossy(&sent.stderr);
    assert_eq!(sent.status.code(), Some(0), "{told}");
    assert!(told.contains("share 2/2") && told.contains(" acked, 0 not"), "{told}");
    fs::copy(elsewhere.join("ledger-2-of-2"), directory.join("ledger-2-of-2")).unwrap();
    let run = Finished::new(run.wait_with_output().unwrap(), bench.latest());
    passes(&run);
    for ledger in ["ledger-1-of-4", "ledger-3-of-4", "ledger-2-of-2"] {
        assert!(fs::metadata(directory.join(ledger)).unwrap().len() > 1_000, "{ledger}");
    }

    // Without a share's ledger nothing may pass.
    fs::rename(directory.join("ledger-2-of-2"), bench.tmp().join("away")).unwrap();
    let check = || assay(["check"]).arg(&directory).output().unwrap();
    let without = check();
    let text = String::from_utf8_lossy(&without.stdout).into_owned();
    assert_eq!(without.status.code(), Some(2), "{text}");
    assert!(text.contains("what became of share 2/2 of the traffic is not known"), "{text}");
    fs::rename(bench.tmp().join("away"), directory.join("ledger-2-of-2")).unwrap();
    assert_eq!(check().status.code(), Some(0));

    // Who comes when the run is over is told so.
    let late = assay(["send", "--shard", "2/2"]).arg(&directory).output().unwrap();
    let told = String::from_utf8_lossy(&late.stderr).into_owned();
    assert_eq!(late.status.code(), Some(64), "{told}");
    assert!(told.contains("what was due is missed"), "{told}");

    // To another machine goes nothing that nobody has agreed to, and no more than was allowed. This one is nobody's (RFC 5737).
    let manifest = elsewhere.join("manifest.json");
    let mut early: serde_json::Value = serde_json::from_str(&fs::read_to_string(&manifest).unwrap()).unwrap();
    early["start"] = (early["start"].as_i64().unwrap() + 3_600_000_000).into();
    fs::write(&manifest, early.to_string()).unwrap();
    fs::remove_file(elsewhere.join("ledger-2-of-2")).unwrap();
    for (more, part) in
        [(&[][..], "say --yes"), (&["--yes", "--most-events", "100"], "raise it if that pipeline can take it")]
    {
        let mut command = assay(["send", "--shard", "2/2", "--target", "http://192.0.2.1:8000"]);
        let refused = command.args(more).arg(&elsewhere).output().unwrap();
        let told = external::told(&refused);
        assert_eq!(refused.status.code(), Some(64), "{told}");
        assert!(told.contains("to http://192.0.2.1:8000: ") && told.contains(part), "{told}");
    }
    assert!(!elsewhere.join("ledger-2-of-2").exists(), "something was sent");
}
