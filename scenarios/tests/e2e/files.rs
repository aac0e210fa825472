//! `assay reconcile`: two files, no pipeline.

use std::{fs, process::Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::assay;

/// A folder with files, to be reconciled.
struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, String)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("a file");
        }
        Self(folder)
    }

    fn reconcile(&self, arguments: &[&str]) -> Output {
        assay(["reconcile"]).args(arguments).current_dir(self.0.path()).output().expect("assay reconcile")
    }
}

fn lines(count: u32, line: impl Fn(u32) -> String) -> String {
    (0..count).map(line).collect::<Vec<_>>().join("\n")
}

fn sent(id: u32) -> String {
    format!(r#"{{"id":"{id}","outcome":"acked","sent_at":{id},"answered_at":{id}.1,"request":"{}"}}"#, id / 10)
}

fn row(id: u32) -> String {
    format!(r#"{{"id":"{id}","key":"{id}"}}"#)
}

#[test]
fn a_whole_store_passes_and_a_hole_in_it_fails() {
    const EVENTS: u32 = 30_000;
    let holes = |holes: u32| lines(EVENTS, |id| if id < holes { row(EVENTS - 1) } else { row(id) });
    for (lost, code, word) in [(0, 0, "pass"), (2, 2, "inconclusive"), (40, 1, "fail")] {
        let files = Files::new(&[("sent.jsonl", lines(EVENTS, sent)), ("rows.jsonl", holes(lost))]);
        let output = files.reconcile(&["--sent", "sent.jsonl", "--rows", "rows.jsonl", "--examples", "3"]);
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        let verdict: Value = serde_json::from_slice(&output.stdout).expect("JSON alone on stdout");
        assert_eq!((&verdict["verdict"], &verdict["counts"]["lost"]), (&word.into(), &lost.into()));
        let ids = verdict["ids"]["lost"].as_array().expect("ids");
        assert_eq!(ids.len(), lost.min(3) as usize, "{ids:?}");
    }
}

#[test]
fn what_is_wrong_is_64_and_named() {
    let files =
        Files::new(&[("sent.jsonl", sent(1)), ("rows.jsonl", format!("{}\n{{\"id\":\"1\",\"Key\":1}}", row(1)))]);
    for (arguments, expected) in [
        (&["--sent", "sent.jsonl", "--rows", "rows.jsonl"][..], "rows.jsonl:2: Key: there is no such key"),
        (&["--sent", "sent.jsonl"], "--rows"),
        (&["--sent", "none.jsonl", "--rows", "rows.jsonl"], "none.jsonl cannot be read"),
        (&["--sent", "sent.jsonl", "--rows", "rows.jsonl", "--target", "5"], "`5` is no share"),
        (&["--sent", "sent.jsonl", "--rows", "rows.jsonl", "--now", "soon"], "`soon` is no time"),
        (&["--sent", "sent.jsonl", "--rows", "rows.jsonl", "--independence", "batch"], "`batch` is none of"),
    ] {
        let output = files.reconcile(arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{told}");
        assert!(told.contains(expected), "{expected}\n{told}");
        assert!(output.stdout.is_empty());
    }
}
