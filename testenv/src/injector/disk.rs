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
        take_what_is_free(&mut file);
        fill(&mut file)?;
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let filling = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(AGAIN);
                // It was full before; whatever else is wrong now shows in what its user does.
                let _ = fill(&mut file);
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

/// Has the system set aside what is free, which is quicker than writing it; what it cannot is left to be written.
fn take_what_is_free(file: &mut File) {
    let Ok(disk) = fstatvfs(&*file) else { return };
    let _ = fallocate(&*file, FallocateFlags::empty(), 0, disk.f_bavail * disk.f_frsize);
    let _ = file.seek(SeekFrom::End(0));
}

/// Writes until nothing more goes in.
fn fill(file: &mut File) -> io::Result<()> {
    let zeroes = vec![0; PIECE];
    let mut piece = PIECE;
    while piece >= LEAST {
        match file.write(&zeroes[..piece]) {
            Ok(_) => (),
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
        fill(&mut File::options().write(true).open("/dev/full").unwrap()).unwrap();
    }
}
