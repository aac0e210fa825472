//! Appending to the ledger.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{Header, Record, format};

/// The ledger could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the ledger {path} could not be written")]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// An open ledger.
#[derive(Debug)]
pub struct LedgerWriter {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
}

impl LedgerWriter {
    /// Creates the ledger; a file that is there already is never overwritten.
    ///
    /// # Errors
    /// When the file exists or cannot be created.
    pub fn create(path: &Path, header: Header) -> Result<Self, WriteError> {
        let error = |source| WriteError { path: path.to_owned(), source };
        let mut file = File::options().append(true).create_new(true).open(path).map_err(error)?;
        file.write_all(&format::encode_header(header)).map_err(error)?;
        Ok(Self { path: path.to_owned(), file, buffer: Vec::new() })
    }

    /// Writes `records`; when it returns, write(2) has returned for all of them, so they survive the death of this
    /// process (not of the machine).
    ///
    /// # Errors
    /// When the system refuses, as on a full disk. Nothing of `records` may be sent then.
    pub fn append<'a>(&mut self, records: impl IntoIterator<Item = &'a Record>) -> Result<(), WriteError> {
        self.buffer.clear();
        for record in records {
            format::encode(record, &mut self.buffer);
        }
        self.file.write_all(&self.buffer).map_err(|source| WriteError { path: self.path.clone(), source })
    }
}
