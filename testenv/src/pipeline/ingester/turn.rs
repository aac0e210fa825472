//! Whose turn it is to hold the store: those who wait say so, and whoever lets go of it gives them time to take it.
//!
//! SQLite's own waiting sleeps for longer and longer, up to a tenth of a second, and an ingester under load takes the store again
//! within a thousandth: one that waits would hardly ever have its turn. One that stands still while it waits only costs the
//! others a little time after each batch.

use std::{fs::File, io, path::Path, time::Duration};

use rustix::fs::{FlockOperation, flock};

/// Between two attempts to take the store.
pub(super) const ATTEMPT_AFTER: Duration = Duration::from_millis(1);
/// So long is the store left to those who wait.
const GIVEN: Duration = Duration::from_millis(4);

/// The file beside the store that those who wait hold a shared lock on.
#[derive(Debug)]
pub(super) struct Turn(File);

impl Turn {
    /// Opens the file beside `store`, and makes it if there is none.
    pub fn beside(store: &Path) -> io::Result<Self> {
        let path = store.with_extension("waiting");
        File::options().create(true).append(true).open(path).map(Self)
    }

    /// Says that this one waits; nobody else is kept from it.
    pub fn wait(&self) -> io::Result<()> {
        Ok(flock(&self.0, FlockOperation::LockShared)?)
    }

    /// Says that it does not any more.
    pub fn have(&self) -> io::Result<()> {
        Ok(flock(&self.0, FlockOperation::Unlock)?)
    }

    /// Leaves the store for a moment if somebody waits for it.
    pub fn give(&self) -> io::Result<()> {
        match flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => self.have(),
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => {
                std::thread::sleep(GIVEN);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}
