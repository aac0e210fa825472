//! Lines sorted into parts by the name that they are judged by, so that one part at a time is held.
//!
//! Ids are any strings, and there may be more of them than fit into memory. All that is known of one id lies in one part
//! of each file, whatever the order of the lines; within a part records stay in the order in which they came.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io,
};

use serde::{Deserialize, Serialize};

use super::line::FileError;
use crate::reconcile::spool::Spool;

/// So many parts: 10⁹ ids come to a million in each.
pub(super) const PARTS: usize = 1024;

/// Records of one kind, in parts.
#[derive(Debug)]
pub(super) struct Parts {
    spool: Spool,
    buffer: Vec<u8>,
}

impl Parts {
    /// Nothing yet. What memory does not hold goes where the system keeps temporary files.
    pub fn new() -> Self {
        Self { spool: Spool::new(PARTS, &std::env::temp_dir()), buffer: Vec::new() }
    }

    /// Puts `record` into the part of `name`.
    ///
    /// # Errors
    /// When the temporary file cannot be written.
    pub fn put(&mut self, name: &str, record: &impl Serialize) -> Result<(), FileError> {
        let buffer = std::mem::take(&mut self.buffer);
        self.buffer = postcard::to_extend(record, buffer).map_err(|error| damaged(&error))?;
        self.spool.append(part_of(name), &self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// The bytes of a part, for [`records`].
    ///
    /// # Errors
    /// When the temporary file cannot be read.
    pub fn part(&self, part: usize) -> Result<Vec<u8>, FileError> {
        Ok(self.spool.part(part)?)
    }
}

/// The records in the bytes of a part, in their order.
///
/// # Errors
/// When the bytes are not what was put there.
pub(super) fn records<'a, T: Deserialize<'a>>(mut bytes: &'a [u8]) -> impl Iterator<Item = Result<T, FileError>> {
    std::iter::from_fn(move || {
        (!bytes.is_empty()).then(|| {
            let (record, rest) = postcard::take_from_bytes(bytes).map_err(|error| damaged(&error))?;
            bytes = rest;
            Ok(record)
        })
    })
}

/// The part of `name`.
fn part_of(name: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    (hasher.finish() % PARTS as u64) as usize
}

fn damaged(error: &postcard::Error) -> FileError {
    let file = "a temporary file".to_owned();
    FileError::Io { file, source: io::Error::new(io::ErrorKind::InvalidData, error.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_one_name_lies_in_one_part_in_order() {
        let mut parts = Parts::new();
        for number in 0..3_000_u32 {
            let name = (number % 1_000).to_string();
            parts.put(&name, &(name.as_str(), number)).unwrap();
        }
        let mut found = Vec::new();
        for part in 0..PARTS {
            let bytes = parts.part(part).unwrap();
            let records: Vec<(&str, u32)> = records(&bytes).map(Result::unwrap).collect();
            for (name, number) in &records {
                assert_eq!(part_of(name), part);
                assert_eq!((number % 1_000).to_string(), *name);
            }
            assert!(records.is_sorted_by_key(|(_, number)| *number));
            found.extend(records.iter().map(|(_, number)| *number));
        }
        found.sort_unstable();
        assert_eq!(found, (0..3_000).collect::<Vec<_>>());
    }

    #[test]
    fn damage_is_an_error_and_never_a_record() {
        assert!(records::<&str>(&[5, b'a']).next().unwrap().is_err());
    }
}
