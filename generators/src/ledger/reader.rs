//! Reading a ledger back, up to wherever its writer was stopped.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{
    Header, Record,
    format::{self, Decoded},
};

/// The ledger could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system refused.
    #[error("the ledger {path} could not be read")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The bytes are not those of a ledger, or were changed after they had been written.
    #[error("the ledger {path} is damaged at byte {offset}: {what}; what it says cannot be trusted")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// How.
        what: &'static str,
    },
}

/// Reads records one by one, in constant memory.
#[derive(Debug)]
pub struct LedgerReader<R = File> {
    path: PathBuf,
    source: R,
    buffer: Vec<u8>,
    /// Where in `buffer` the next record begins.
    next: usize,
    /// Where in the file `buffer` begins.
    offset: u64,
    exhausted: bool,
    header: Option<Header>,
    failed: bool,
}

impl LedgerReader {
    /// Opens the ledger at `path` and reads its header.
    ///
    /// # Errors
    /// When it cannot be read or is no ledger.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file = File::open(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
        Self::new(path, file)
    }
}

impl<R: Read> LedgerReader<R> {
    /// Reads a ledger from `source`; `path` is what errors call it.
    ///
    /// # Errors
    /// When it cannot be read or is no ledger.
    pub fn new(path: &Path, source: R) -> Result<Self, ReadError> {
        let mut reader = Self {
            path: path.to_owned(),
            source,
            buffer: Vec::new(),
            next: 0,
            offset: 0,
            exhausted: false,
            header: None,
            failed: false,
        };
        reader.header = reader.item(format::decode_header)?;
        Ok(reader)
    }

    /// The header; `None` if the writer was stopped before it had written one.
    pub const fn header(&self) -> Option<Header> {
        self.header
    }

    fn item<T>(&mut self, decode: fn(&[u8]) -> Decoded<T>) -> Result<Option<T>, ReadError> {
        loop {
            match decode(&self.buffer[self.next..]) {
                Decoded::Whole(item, length) => {
                    self.next += length;
                    return Ok(Some(item));
                }
                Decoded::Damaged(what) => {
                    let offset = self.offset + self.next as u64;
                    return Err(ReadError::Damaged { path: self.path.clone(), offset, what });
                }
                Decoded::Cut if self.exhausted => return Ok(None),
                Decoded::Cut => self.fill()?,
            }
        }
    }

    fn fill(&mut self) -> Result<(), ReadError> {
        self.buffer.drain(..self.next);
        self.offset += self.next as u64;
        self.next = 0;
        let before = self.buffer.len();
        let error = |source| ReadError::Io { path: self.path.clone(), source };
        (&mut self.source).take(1 << 16).read_to_end(&mut self.buffer).map_err(error)?;
        self.exhausted = self.buffer.len() == before;
        Ok(())
    }
}

impl<R: Read> Iterator for LedgerReader<R> {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.header.is_none() {
            return None;
        }
        let item = self.item(format::decode).transpose();
        self.failed = matches!(item, Some(Err(_)));
        item
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{
        super::{Answer, End, Intent, Outcome},
        *,
    };
    use crate::{
        clock::RunStart,
        identity::{RunId, StreamId},
    };

    const HEADER: Header = Header { run: RunId::new(9), start: RunStart::from_unix_micros(1_790_000_000_000_000) };

    fn any_record() -> impl Strategy<Value = Record> {
        let answer = prop_oneof![
            (100u16..600, ".{0,40}").prop_map(|(status, excerpt)| Answer::Reply { status, excerpt }),
            Just(Answer::TimedOut),
            ".{0,40}".prop_map(|error| Answer::Broken { error }),
            ".{0,40}".prop_map(|error| Answer::NeverLeft { error }),
        ];
        let micros = 0u64..1 << 40;
        prop_oneof![
            (0u16..9, any::<u32>(), 1u32..9, 0u64..1 << 44, 0u64..200, 0u64..200, micros.clone()).prop_map(
                |(stream, index, attempt, first, count, resends, released)| Record::Intent(Intent {
                    stream: StreamId(stream),
                    index: index.into(),
                    attempt,
                    positions: first..first + count,
                    resends: first..first + resends,
                    released: Duration::from_micros(released),
                })
            ),
            (0u16..9, any::<u32>(), 1u32..9, micros.clone(), micros, answer).prop_map(
                |(stream, index, attempt, sent, waited, answer)| Record::Outcome(Outcome {
                    stream: StreamId(stream),
                    index: index.into(),
                    attempt,
                    sent: Duration::from_micros(sent),
                    answered: Duration::from_micros(sent + waited),
                    answer,
                })
            ),
            prop_oneof![Just(End::Complete), Just(End::Stopped)].prop_map(Record::End),
        ]
    }

    fn bytes_of(records: &[Record]) -> Vec<u8> {
        let mut bytes = format::encode_header(HEADER).to_vec();
        for record in records {
            format::encode(record, &mut bytes);
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<Record>, ReadError> {
        LedgerReader::new(Path::new("ledger"), bytes)?.collect()
    }

    proptest! {
        #[test]
        fn reads_what_was_written(records in prop::collection::vec(any_record(), 0..40)) {
            prop_assert_eq!(read(&bytes_of(&records)).unwrap(), records);
        }

        #[test]
        fn cut_anywhere_it_reads_up_to_there(
            records in prop::collection::vec(any_record(), 1..12),
            cut in any::<prop::sample::Index>(),
        ) {
            let bytes = bytes_of(&records);
            let cut = cut.index(bytes.len());
            let whole = (0..=records.len()).rev().find(|&count| bytes_of(&records[..count]).len() <= cut).unwrap_or(0);
            prop_assert_eq!(read(&bytes[..cut]).unwrap(), &records[..whole]);
        }

        #[test]
        fn a_changed_byte_is_noticed(
            records in prop::collection::vec(any_record(), 1..12),
            place in any::<prop::sample::Index>(),
            flip in 1u8..=255,
        ) {
            let mut bytes = bytes_of(&records);
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            // Either it is called damaged, or, where a length now points beyond the end, reading stops before it.
            match read(&bytes) {
                Err(ReadError::Damaged { .. }) => (),
                Ok(read) => prop_assert!(read.len() < records.len() && read == records[..read.len()]),
                Err(other) => return Err(TestCaseError::fail(other.to_string())),
            }
        }
    }
}
