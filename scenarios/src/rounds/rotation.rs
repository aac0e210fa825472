//! Which rounds are kept: the newest, and the newest of those that did not pass, so that a bad night is still there in the
//! morning.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::run_directory::RunDirectory;

/// The rounds in `folder` that nobody has judged, the oldest first.
pub fn unjudged(folder: &Path) -> Vec<PathBuf> {
    let mut rounds = rounds(folder);
    rounds.retain(|path| !RunDirectory::open(path).verdict().exists());
    rounds
}

/// Deletes the rounds in `folder` that are neither among the newest `keep` nor among the newest `keep` that did not pass.
pub fn rotate(folder: &Path, keep: usize) {
    let (mut newest, mut not_passed) = (0, 0);
    for path in rounds(folder).into_iter().rev() {
        let is_new = newest < keep;
        newest += 1;
        let is_kept = if passed(&path) {
            is_new
        } else {
            not_passed += 1;
            is_new || not_passed <= keep
        };
        if !is_kept {
            // What cannot be deleted now is tried again after the next round.
            let _ = fs::remove_dir_all(path);
        }
    }
}

fn passed(path: &Path) -> bool {
    let text = fs::read_to_string(RunDirectory::open(path).verdict()).unwrap_or_default();
    serde_json::from_str::<Value>(&text).is_ok_and(|record| record["verdict"] == "pass")
}

/// The rounds' directories, the oldest first: their names begin with the time.
pub fn rounds(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_round = |name: &str| {
        name.split_once("Z-").is_some_and(|(time, run)| {
            time.len() == 15 && time.bytes().all(|byte| byte.is_ascii_digit() || byte == b'T') && !run.is_empty()
        })
    };
    let mut rounds: Vec<PathBuf> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter(|entry| entry.file_name().to_str().is_some_and(is_round))
        .map(|entry| entry.path())
        .collect();
    rounds.sort_unstable();
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(folder: &Path, minute: u32, verdict: Option<&str>) {
        let path = folder.join(format!("20261125T12{minute:02}00Z-00000000{minute:02}"));
        fs::create_dir_all(&path).unwrap();
        if let Some(verdict) = verdict {
            fs::write(path.join("verdict.json"), format!("{{\"verdict\":\"{verdict}\"}}")).unwrap();
        }
    }

    fn minutes(rounds: &[PathBuf]) -> Vec<u32> {
        rounds.iter().map(|path| path.file_name().unwrap().to_str().unwrap()[11..13].parse().unwrap()).collect()
    }

    #[test]
    fn the_newest_and_the_newest_bad_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for (minute, verdict) in
            [(1, "fail"), (2, "inconclusive"), (3, "pass"), (4, "fail"), (5, "pass"), (6, "pass"), (7, "pass")]
        {
            round(folder, minute, Some(verdict));
        }
        let others = ["substrate-logs", "notes", "20261125T120000Z"];
        for name in &others {
            fs::create_dir(folder.join(name)).unwrap();
        }
        rotate(folder, 2);
        assert_eq!(minutes(&rounds(folder)), [2, 4, 6, 7]);
        assert!(others.iter().all(|name| folder.join(name).exists()), "only rounds are deleted");
        rotate(folder, 2);
        assert_eq!(minutes(&rounds(folder)), [2, 4, 6, 7], "what may stay stays");
    }

    #[test]
    fn what_was_killed_is_found() {
        let folder = tempfile::tempdir().unwrap();
        round(folder.path(), 1, Some("pass"));
        round(folder.path(), 2, None);
        assert_eq!(minutes(&unjudged(folder.path())), [2]);
        assert_eq!(unjudged(&folder.path().join("nothing")), Vec::<PathBuf>::new());
    }
}
