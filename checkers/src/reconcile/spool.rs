//! Records sorted into parts, in little memory however many there are.
//!
//! Problems first. (1) What is known of one event lies in several journals, each in an order of its own, and a run may
//! hold a billion events. (2) Memory must grow neither with the events nor with the defects. So each journal is read once
//! and its records are put into parts, one for every [window](super::windows) of events; then one part of each is taken
//! at a time. Parts are held in memory until they become too much; then all of them are moved to a temporary file, which
//! has no name and is gone with the process.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use generators::journal::ReadError;

/// So many bytes are held before they are moved to the file.
const HELD: usize = 8 << 20;

/// Bytes in parts.
#[derive(Debug)]
pub struct Spool {
    parts: Vec<Part>,
    held: usize,
    limit: usize,
    folder: PathBuf,
    file: Option<File>,
    end: u64,
}

#[derive(Debug, Default)]
struct Part {
    held: Vec<u8>,
    /// Where in the file the bytes before `held` are: offsets and lengths.
    moved: Vec<(u64, u32)>,
}

impl Spool {
    /// So many empty parts; the file will be in `folder`, or where the system keeps temporary files if that cannot be
    /// written.
    pub fn new(parts: usize, folder: &Path) -> Self {
        let parts = std::iter::repeat_with(Part::default).take(parts).collect();
        Self { parts, held: 0, limit: HELD, folder: folder.to_owned(), file: None, end: 0 }
    }

    /// Puts `bytes` at the end of a part; a part that does not exist takes nothing.
    ///
    /// # Errors
    /// When the temporary file cannot be written.
    pub fn append(&mut self, part: usize, bytes: &[u8]) -> Result<(), ReadError> {
        let Some(part) = self.parts.get_mut(part) else { return Ok(()) };
        part.held.extend_from_slice(bytes);
        self.held += bytes.len();
        if self.held > self.limit { self.move_out().map_err(|source| self.failed(source)) } else { Ok(()) }
    }

    /// All bytes of a part, in their order.
    ///
    /// # Errors
    /// When the temporary file cannot be read.
    pub fn part(&self, part: usize) -> Result<Vec<u8>, ReadError> {
        let Some(part) = self.parts.get(part) else { return Ok(Vec::new()) };
        let moved: usize = part.moved.iter().map(|(_, length)| *length as usize).sum();
        let mut bytes = vec![0; moved];
        let mut rest = &mut bytes[..];
        for (offset, length) in &part.moved {
            let (chunk, after) = rest.split_at_mut(*length as usize);
            if let Some(file) = &self.file {
                file.read_exact_at(chunk, *offset).map_err(|source| self.failed(source))?;
            }
            rest = after;
        }
        bytes.extend_from_slice(&part.held);
        Ok(bytes)
    }

    fn move_out(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile_in(&self.folder).or_else(|_| tempfile::tempfile())?);
        }
        let Some(file) = &self.file else { return Ok(()) };
        for part in &mut self.parts {
            // A part is less than the limit, and that fits.
            if let Ok(length @ 1..) = u32::try_from(part.held.len()) {
                file.write_all_at(&part.held, self.end)?;
                part.moved.push((self.end, length));
                self.end += u64::from(length);
                part.held = Vec::new();
            }
        }
        self.held = 0;
        Ok(())
    }

    fn failed(&self, source: io::Error) -> ReadError {
        ReadError::Aside { folder: self.folder.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_hold_what_was_put_into_them(
            limit in 0usize..200,
            records in prop::collection::vec((0usize..5, prop::collection::vec(any::<u8>(), 0..40)), 0..60),
        ) {
            let mut spool = Spool { limit, ..Spool::new(5, &std::env::temp_dir()) };
            let mut expected = vec![Vec::new(); 5];
            for (part, bytes) in &records {
                spool.append(*part, bytes).unwrap();
                expected[*part].extend_from_slice(bytes);
            }
            prop_assert!(spool.held <= limit);
            for (part, expected) in expected.iter().enumerate() {
                prop_assert_eq!(&spool.part(part).unwrap(), expected);
            }
        }
    }

    #[test]
    fn what_does_not_exist_holds_nothing() {
        let mut spool = Spool::new(1, &std::env::temp_dir());
        spool.append(1, b"lost").unwrap();
        assert_eq!(spool.part(1).unwrap(), b"");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_replaced_by_the_systems() {
        let mut spool = Spool { limit: 0, ..Spool::new(1, Path::new("/nowhere/at/all")) };
        spool.append(0, b"kept").unwrap();
        assert_eq!((spool.held, spool.part(0).unwrap().as_slice()), (0, &b"kept"[..]));
    }
}
