//! A disk that is full.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};

/// What fills it.
const FILE: &str = ".full-on-purpose";
/// It is filled in pieces of so much, and at the end in smaller ones.
const PIECE: usize = 1 << 20;
const LEAST: usize = 1 << 9;
/// Its last quarter takes so long: no disk is full from one moment to the next, and who keeps some of it free has time to end
/// what goes on.
const LAST_TAKES: Duration = Duration::from_secs(2);
/// What its user has freed meanwhile is taken so often.
const AGAIN: Duration = Duration::from_millis(50);

/// A disk that is kept full until this is freed.
#[derive(Debug)]
pub(super) struct FullDisk {
    file: PathBuf,
    stop: Arc<AtomicBool>,
    filling: Option<JoinHandle<()>>,
}

impl FullDisk {
    /// Fills the disk that `folder` is on, and keeps it full.
    ///
    /// # Errors
    /// When it cannot be written to at all.
    pub(super) fn fill(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE);
        let mut file = File::create(&path)?;
        take_most(&mut file);
        let pause = LAST_TAKES / u32::try_from(free(&file)? / PIECE as u64).unwrap_or(u32::MAX).max(1);
        fill(&mut file, pause)?;
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let filling = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(AGAIN);
                // It was full before; whatever else is wrong now shows in what its user does.
                let _ = fill(&mut file, Duration::ZERO);
            }
        });
        Ok(Self { file: path, stop, filling: Some(filling) })
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub(super) fn free(mut self) -> io::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(filling) = self.filling.take() {
            let _ = filling.join();
        }
        fs::remove_file(&self.file)
    }
}

/// Has the system set aside all but the last quarter of the disk, which is quicker than writing it; what it does not is left to
/// be written.
fn take_most(file: &mut File) {
    let Ok(disk) = fstatvfs(&*file) else { return };
    let most = disk.f_bavail.saturating_sub(disk.f_blocks / 4) * disk.f_frsize;
    let _ = fallocate(&*file, FallocateFlags::empty(), 0, most);
    let _ = file.seek(SeekFrom::End(0));
}

/// How many bytes are free on the disk that `file` is on.
fn free(file: &File) -> io::Result<u64> {
    let disk = fstatvfs(file)?;
    Ok(disk.f_bavail * disk.f_frsize)
}

/// Writes until nothing more goes in, with a `pause` between pieces.
fn fill(file: &mut File, pause: Duration) -> io::Result<()> {
    let zeroes = vec![0; PIECE];
    let mut piece = PIECE;
    while piece >= LEAST {
        match file.write(&zeroes[..piece]) {
            Ok(_) => std::thread::sleep(pause),
            Err(error) if error.kind() == ErrorKind::StorageFull => piece /= 2,
            Err(error) if error.kind() == ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_to_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "no folder").unwrap();
        assert!(FullDisk::fill(&file).is_err());
        // A device that is always full behaves as a full disk does.
        fill(&mut File::options().write(true).open("/dev/full").unwrap(), Duration::ZERO).unwrap();
    }
}
