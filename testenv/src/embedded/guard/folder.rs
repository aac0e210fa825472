//! Deleting what the guard was told to delete: folders of data, and control groups.

use std::{
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

/// A control group is busy until the last process in it has wholly gone, which is after somebody has waited for its end.
const STILL_LEAVING: Duration = Duration::from_millis(500);
/// How often it is tried again meanwhile.
const AGAIN: Duration = Duration::from_millis(5);

/// Deletes `folder` with what is in it, if it is there.
pub(super) fn delete(folder: &Path) {
    // Of a control group the folder goes, and never a file in it. What cannot be deleted cannot be told to anybody either.
    let _ = patiently(|| fs::remove_dir(folder)).or_else(|_| fs::remove_dir_all(folder));
}

/// Removes something that may still be busy for a moment.
fn patiently(mut remove: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let deadline = Instant::now() + STILL_LEAVING;
    loop {
        match remove() {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                std::thread::sleep(AGAIN);
            }
            removed => return removed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_busy_for_a_moment_is_removed_and_anything_else_is_told_at_once() {
        let tried = |answers: &[Option<io::ErrorKind>]| {
            let mut answers = answers.iter();
            let mut times = 0;
            let removed = patiently(|| {
                times += 1;
                answers.next().copied().flatten().map_or(Ok(()), |kind| Err(kind.into()))
            });
            (removed.map_err(|error| error.kind()), times)
        };
        let (busy, missing) = (Some(io::ErrorKind::ResourceBusy), Some(io::ErrorKind::NotFound));
        assert_eq!(tried(&[busy, busy, None]), (Ok(()), 3));
        assert_eq!(tried(&[missing, None]), (Err(io::ErrorKind::NotFound), 1));
        let began = Instant::now();
        let stays = patiently(|| Err(io::ErrorKind::ResourceBusy.into()));
        assert_eq!(stays.unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        assert!(began.elapsed() >= STILL_LEAVING, "it is given its time");
    }

    #[test]
    fn folders_go_with_what_is_in_them_and_what_is_not_there_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let (full, empty) = (folder.path().join("full"), folder.path().join("empty"));
        fs::create_dir_all(full.join("data")).unwrap();
        fs::write(full.join("data/file"), "x").unwrap();
        fs::create_dir(&empty).unwrap();
        for gone in [&full, &empty, &folder.path().join("missing")] {
            delete(gone);
            assert!(!gone.exists(), "{}", gone.display());
        }
    }
}
