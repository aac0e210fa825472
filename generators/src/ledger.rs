//! The ledger: what was sent and what was answered, on disk before and after it happens.
//!
//! An intent is written (write(2) has returned) before the first byte of its request leaves; the outcome follows. So a
//! run that was killed can be judged from its directory: an intent without outcome is indeterminate, and what has no
//! intent was never sent. Which events a request holds is not written: it is a pure function of the request. The file is
//! a [journal](crate::journal).

mod dropped;
mod format;

use std::{fs::File, io::Write, path::Path, time::Duration};

use crate::{
    identity::StreamId,
    journal::{Header, JournalReader, JournalWriter, Kind, ReadError, WriteError},
    request::Request,
};

use self::format::Before;
pub use self::{dropped::DropWord, format::TEXT_LIMIT};

const KIND: Kind = Kind { magic: *b"ASSAYLGR", version: 6, name: "ledger" };
/// In this version no result said why its event was dropped; runs that are stored so can still be judged.
const WORDLESS: Kind = Kind { version: 5, ..KIND };
/// In this one each block stood alone, too.
const ALONE: Kind = Kind { version: 3, ..KIND };

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A request is about to leave.
    Intent(Intent),
    /// A request was answered, or will not be.
    Outcome(Outcome),
    /// The sender ended in good order: nothing follows.
    End(End),
}

/// A request that is about to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The request: everything that its bytes follow from.
    pub request: Request,
    /// When it was released, from the start.
    pub released: Duration,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its stream.
    pub stream: StreamId,
    /// Its index in the stream.
    pub index: u64,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// When its bytes were handed to a connection, from the start.
    pub sent: Duration,
    /// When the answer was complete, or given up, from the start.
    pub answered: Duration,
    /// The answer.
    pub answer: Answer,
}

/// How a request ended, as the client saw it; what that means for the events is for the judges to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A whole reply.
    Reply {
        /// HTTP status.
        status: u16,
        /// The beginning of the body, unless the status is 200.
        excerpt: String,
    },
    /// A success with a result for each event (v1).
    Results {
        /// The events that are not simply stored, by their sequence numbers, with what the reply says of them.
        exceptions: Vec<(u64, EventResult)>,
        /// Whether the reply told of all events of the request.
        complete: bool,
    },
    /// No whole reply within the client's time-out.
    TimedOut,
    /// The connection broke after bytes may have left.
    Broken {
        /// What the connection said.
        error: String,
    },
    /// No byte left: there was no connection.
    NeverLeft {
        /// What the connection said.
        error: String,
    },
}

/// What a reply says of an event that it does not call stored (rust/capture/src/v1/analytics/types.rs).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventResult {
    /// It was taken, and dropped for the reason that the word says.
    Drop(DropWord),
    /// It was not stored, and may be sent again.
    Retry,
    /// A word that is not known.
    Unknown,
}

/// How sending ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All planned requests were sent.
    Complete,
    /// It was told to stop before.
    Stopped,
}

/// An open ledger.
#[derive(Debug)]
pub struct LedgerWriter<W = File> {
    journal: JournalWriter<W>,
    /// What was written last.
    before: Before,
}

impl LedgerWriter {
    /// Creates the ledger; a file that is there already is never overwritten.
    ///
    /// # Errors
    /// When the file exists or cannot be created.
    pub fn create(path: &Path, header: Header) -> Result<Self, WriteError> {
        JournalWriter::create(path, KIND, header).map(|journal| Self { journal, before: Before::default() })
    }
}

impl<W: Write> LedgerWriter<W> {
    /// Begins a ledger in `writer`; `path` is what errors call it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(path: &Path, header: Header, writer: W) -> Result<Self, WriteError> {
        JournalWriter::new(path, KIND, header, writer).map(|journal| Self { journal, before: Before::default() })
    }

    /// Writes `records`; when it returns they survive the death of this process.
    ///
    /// # Errors
    /// When the system refuses, as on a full disk. Nothing of `records` may be sent then.
    pub fn append<'a>(&mut self, records: impl IntoIterator<Item = &'a Record>) -> Result<(), WriteError> {
        self.journal.append(format::encode(&mut self.before, records))
    }
}

/// Reads a ledger record by record, up to wherever its writer was stopped.
#[derive(Debug)]
pub struct LedgerReader {
    journal: JournalReader,
    /// What was read last.
    before: Before,
    /// Whether each block stands alone.
    stand_alone: bool,
    /// What is left of the block that was read last.
    block: std::vec::IntoIter<Record>,
}

impl LedgerReader {
    /// Opens the ledger at `path`.
    ///
    /// # Errors
    /// When it cannot be read or is no ledger.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let older = |kind| JournalReader::open(path, kind);
        let (journal, stand_alone) = match JournalReader::open(path, KIND) {
            Ok(journal) => (journal, false),
            Err(error) => match older(WORDLESS) {
                Ok(journal) => (journal, false),
                Err(_) => (older(ALONE).map_err(|_| error)?, true),
            },
        };
        Ok(Self { journal, before: Before::default(), stand_alone, block: Vec::new().into_iter() })
    }

    /// The header; `None` if the writer was stopped before it had written one.
    pub const fn header(&self) -> Option<Header> {
        self.journal.header()
    }
}

impl Iterator for LedgerReader {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.block.next() {
                return Some(Ok(record));
            }
            if self.stand_alone {
                self.before = Before::alone();
            }
            let block = self
                .journal
                .next()?
                .and_then(|block| format::decode(&mut self.before, &block).ok_or_else(|| self.journal.unknown()));
            match block {
                Ok(block) => self.block = block.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{clock::RunStart, identity::RunId};

    #[test]
    fn its_page_tells_its_kind() {
        let page = include_str!("../../docs/ledger.md");
        let magic = str::from_utf8(&KIND.magic).unwrap();
        assert!(page.contains(&format!("magic is `{magic}`, its version {}", KIND.version)));
        assert!(page.contains(&format!("cut to {TEXT_LIMIT} bytes")));
    }

    #[test]
    fn a_ledger_is_read_as_it_was_written_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let header = Header { run: RunId::new(1), start: RunStart::from_unix_micros(5) };
        let records = [
            Record::Outcome(Outcome {
                stream: StreamId(0),
                index: 3,
                attempt: 1,
                sent: Duration::from_millis(2),
                answered: Duration::from_millis(5),
                answer: Answer::TimedOut,
            }),
            Record::End(End::Complete),
        ];
        LedgerWriter::create(&path, header).unwrap().append(&records).unwrap();
        let reader = LedgerReader::open(&path).unwrap();
        assert_eq!(reader.header(), Some(header));
        assert_eq!(reader.collect::<Result<Vec<_>, _>>().unwrap(), records);
        assert!(LedgerWriter::create(&path, header).is_err());
    }

    #[test]
    fn blocks_of_the_version_before_stand_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let header = Header { run: RunId::new(1), start: RunStart::from_unix_micros(5) };
        let mut resending = intent(7);
        if let Record::Intent(intent) = &mut resending {
            intent.request.resends = 3..5;
        }
        let blocks = [vec![resending, intent(8)], vec![outcome(7, 0), intent(9)], vec![outcome(8, 3)]];
        // As version 3 wrote it: that the second one sends nothing again is not said.
        let first = [0xd4, 7, 14, 7, 2, 0xb0, 0x6d, 0x7c, 0xd0, 0x0f];
        assert_eq!(format::encode(&mut Before::alone(), &blocks[0]), [first]);
        let mut journal = JournalWriter::create(&path, ALONE, header).unwrap();
        journal.append(blocks.iter().flat_map(|block| format::encode(&mut Before::alone(), block))).unwrap();
        let reader = LedgerReader::open(&path).unwrap();
        assert_eq!(reader.collect::<Result<Vec<_>, _>>().unwrap(), blocks.concat());
    }

    #[test]
    fn a_version_without_words_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let header = Header { run: RunId::new(1), start: RunStart::from_unix_micros(5) };
        let records = [intent(7), outcome(7, 2)];
        // A drop without a known word is what a drop was then.
        let blocks = format::encode(&mut Before::default(), &records);
        assert_eq!(blocks[0][blocks[0].len() - 5..], [5, 1, 1, 14, 1]);
        JournalWriter::create(&path, WORDLESS, header).unwrap().append(blocks).unwrap();
        let read = LedgerReader::open(&path).unwrap().collect::<Result<Vec<_>, _>>();
        assert_eq!(read.unwrap(), records);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn cut_anywhere_it_reads_the_blocks_up_to_there(
            appended in prop::collection::vec((1u64..6, prop::collection::vec((any::<u8>(), 0usize..5), 0..4)), 1..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("ledger");
            let header = Header { run: RunId::new(1), start: RunStart::from_unix_micros(5) };
            let mut ledger = LedgerWriter::create(&path, header).unwrap();
            let (mut records, mut ends) = (Vec::new(), vec![(std::fs::metadata(&path).unwrap().len(), 0)]);
            let mut first = 0;
            for (intents, outcomes) in appended {
                let answered = outcomes.into_iter().map(|(index, answer)| outcome(index.into(), answer));
                let block: Vec<Record> = answered.chain((first..first + intents).map(intent)).collect();
                first += intents;
                ledger.append(&block).unwrap();
                records.extend(block);
                ends.push((std::fs::metadata(&path).unwrap().len(), records.len()));
            }
            let length = ends[ends.len() - 1].0;
            let cut = cut.index(length as usize + 1) as u64;
            File::options().write(true).open(&path).unwrap().set_len(cut).unwrap();
            let whole = ends.iter().rev().find(|(end, _)| *end <= cut).map_or(0, |(_, records)| *records);
            let read: Result<Vec<_>, _> = LedgerReader::open(&path).unwrap().collect();
            prop_assert_eq!(&read.unwrap(), &records[..whole]);
        }
    }

    fn outcome(index: u64, answer: usize) -> Record {
        let answers = [
            Answer::Reply { status: 200, excerpt: String::new() },
            Answer::Reply { status: 503, excerpt: "later".into() },
            Answer::Results { exceptions: vec![(index, EventResult::Drop(DropWord::OTHER))], complete: true },
            Answer::TimedOut,
            Answer::Broken { error: "reset".into() },
        ];
        Record::Outcome(Outcome {
            stream: StreamId(0),
            index,
            attempt: 1,
            sent: Duration::from_millis(index),
            answered: Duration::from_millis(index + 9),
            answer: answers[answer].clone(),
        })
    }

    fn intent(index: u64) -> Record {
        let request =
            Request { stream: StreamId(0), index, positions: index..index + 1, resends: 0..0, only: None, retry: None };
        Record::Intent(Intent { request, released: Duration::from_millis(index) })
    }
}
