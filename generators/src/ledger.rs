//! The ledger: what was sent and what was answered, on disk before and after it happens.
//!
//! An intent is written (write(2) has returned) before the first byte of its request leaves; the outcome follows. So a
//! run that was killed can be judged from its directory: an intent without outcome is indeterminate, and what has no
//! intent was never sent. Which events a request holds is not written: it is a pure function of the request. The file has
//! the header of a [journal](crate::journal), and blocks of its own behind it.

mod answer;
mod dropped;
mod format;
mod numbers;
mod older;
mod open;

use std::{fs::File, io::Write, path::Path, time::Duration};

use crate::{
    identity::StreamId,
    journal::{Header, JournalReader, JournalWriter, Kind, ReadError, WriteError, header_checksum},
    request::Request,
};

use self::format::{Before, Chain};
pub use self::{answer::TEXT_LIMIT, dropped::DropWord};

const KIND: Kind = Kind { magic: *b"ASSAYLGR", version: 7, name: "ledger" };
/// Of these versions are runs that are stored, which can still be judged, and …
const OLDER: [u32; 3] = [6, 5, ALONE];
/// … in this one each block stood alone.
const ALONE: u32 = 3;

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A request is about to leave.
    Intent(Intent),
    /// A request was answered, or will not be.
    Outcome(Outcome),
    /// So many second sendings and duplicates of requests were given up, since too many waited at once; at least one.
    GivenUp(u64),
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
    chain: Chain,
}

impl LedgerWriter {
    /// Creates the ledger; a file that is there already is never overwritten.
    ///
    /// # Errors
    /// When the file exists or cannot be created.
    pub fn create(path: &Path, header: Header) -> Result<Self, WriteError> {
        JournalWriter::create(path, KIND, header).map(|journal| Self::begun(journal, header))
    }
}

impl<W: Write> LedgerWriter<W> {
    /// Begins a ledger in `writer`; `path` is what errors call it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(path: &Path, header: Header, writer: W) -> Result<Self, WriteError> {
        JournalWriter::new(path, KIND, header, writer).map(|journal| Self::begun(journal, header))
    }

    fn begun(journal: JournalWriter<W>, header: Header) -> Self {
        Self { journal, before: Before::default(), chain: Chain::new(header_checksum(KIND, header)) }
    }

    /// Writes `records`; when it returns they survive the death of this process.
    ///
    /// # Errors
    /// When the system refuses, as on a full disk. Nothing of `records` may be sent then.
    pub fn append<'a>(&mut self, records: impl IntoIterator<Item = &'a Record>) -> Result<(), WriteError> {
        let Self { journal, before, chain } = self;
        journal.append_framed(|buffer| {
            for block in format::encode(before, records) {
                chain.put(&block, buffer);
            }
        })
    }
}

/// Reads a ledger record by record, up to wherever its writer was stopped. One that ended may be asked again while the ledger is
/// being written: it goes on where it was.
#[derive(Debug)]
pub struct LedgerReader {
    journal: JournalReader,
    layout: Layout,
    /// What is left of the block whose turn it is.
    block: std::vec::IntoIter<Record>,
    /// The block that was read last: it is given when the checksum of the one behind it fits as well, or there is none.
    held: Option<Vec<Record>>,
    failed: bool,
}

/// How the blocks are laid out, and what was read last.
#[derive(Debug)]
enum Layout {
    Chained {
        before: Before,
        chain: Chain,
    },
    /// In a version before.
    Older {
        before: older::Before,
        stand_alone: bool,
    },
}

impl LedgerReader {
    /// Opens the ledger at `path`.
    ///
    /// # Errors
    /// When it cannot be read or is no ledger.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let (journal, layout) = match JournalReader::open(path, KIND) {
            Ok(journal) => {
                let checksum = journal.header().map_or(0, |header| header_checksum(KIND, header));
                (journal, Layout::Chained { before: Before::default(), chain: Chain::new(checksum) })
            }
            Err(error) => OLDER
                .into_iter()
                .find_map(|version| {
                    let journal = JournalReader::open(path, Kind { version, ..KIND }).ok()?;
                    let layout = Layout::Older { before: older::Before::default(), stand_alone: version == ALONE };
                    Some((journal, layout))
                })
                .ok_or(error)?,
        };
        Ok(Self { journal, layout, block: Vec::new().into_iter(), held: None, failed: false })
    }

    /// The header; `None` if the writer was stopped before it had written one.
    pub const fn header(&self) -> Option<Header> {
        self.journal.header()
    }

    fn next_block(&mut self) -> Option<Result<Vec<Record>, ReadError>> {
        let block = match &mut self.layout {
            Layout::Chained { before, chain } => {
                let last = *chain;
                self.journal.next_framed(|bytes| last.take(bytes))?.map(|(block, next)| {
                    *chain = next;
                    format::decode(before, &block)
                })
            }
            Layout::Older { before, stand_alone } => self.journal.next()?.map(|block| {
                if *stand_alone {
                    *before = older::Before::alone();
                }
                older::decode(before, &block)
            }),
        };
        Some(block.and_then(|records| records.ok_or_else(|| self.journal.unknown())))
    }
}

impl Iterator for LedgerReader {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.block.next() {
                return Some(Ok(record));
            }
            if self.failed {
                return None;
            }
            let ready = match self.next_block() {
                Some(Ok(block)) => self.held.replace(block),
                None => Some(self.held.take()?),
                Some(Err(error)) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            };
            self.block = ready.unwrap_or_default().into_iter();
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
    fn a_newer_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let header = Header { run: RunId::new(1), start: RunStart::from_unix_micros(5) };
        for version in [KIND.version + 1, 4, 0] {
            let _ = std::fs::remove_file(&path);
            JournalWriter::create(&path, Kind { version, ..KIND }, header).unwrap();
            let error = LedgerReader::open(&path).unwrap_err().to_string();
            assert!(error.contains("another version of Assay"), "{version}: {error}");
        }
    }

    #[test]
    fn a_block_is_given_when_the_one_behind_it_fits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let header = Header { run: RunId::new(1), start: RunStart::from_unix_micros(5) };
        let mut ledger = LedgerWriter::create(&path, header).unwrap();
        let mut reader = LedgerReader::open(&path).unwrap();
        let records: Vec<Record> = (0..5).map(|index| intent(0, index, index)).collect();
        // Whoever follows the writer sees each block at once.
        for record in &records {
            ledger.append([record]).unwrap();
            assert_eq!(reader.by_ref().map(Result::unwrap).collect::<Vec<_>>(), std::slice::from_ref(record));
        }
        // If the last one does not fit, the one before it may be what is wrong.
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        let (read, error) = read(&bytes);
        assert_eq!(read, records[..3]);
        assert!(error.unwrap().contains("checksum"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn cut_anywhere_it_reads_the_blocks_up_to_there(appended in appended(), cut in any::<prop::sample::Index>()) {
            let (bytes, records, ends) = written(&appended);
            let cut = cut.index(bytes.len() + 1);
            let whole = ends.iter().rev().find(|(end, _)| *end <= cut).map_or(0, |(_, records)| *records);
            let (read, error) = read(&bytes[..cut]);
            prop_assert_eq!(error, None);
            prop_assert_eq!(&read, &records[..whole]);
        }

        #[test]
        fn a_changed_byte_gives_no_wrong_record(
            appended in appended(),
            place in any::<prop::sample::Index>(),
            flip in 1u8..=255,
        ) {
            let (mut bytes, records, _) = written(&appended);
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            // Either it is called damaged, or, where a block now reaches beyond the end, reading stops before it.
            let (read, error) = read(&bytes);
            prop_assert!(read.len() < records.len() || error.is_some());
            prop_assert_eq!(&read, &records[..read.len()]);
        }
    }

    /// What is appended at once: so many intents, each of one of the streams, and behind them outcomes.
    type Appended = (Vec<u16>, Vec<(u8, usize)>);

    fn appended() -> impl Strategy<Value = Vec<Appended>> {
        let intents = prop::collection::vec(0u16..3, 0..4);
        prop::collection::vec((intents, prop::collection::vec((any::<u8>(), 0usize..9), 0..3)), 1..12)
    }

    /// The bytes of a ledger, its records, and where blocks end and how many records there are up to there.
    fn written(appended: &[Appended]) -> (Vec<u8>, Vec<Record>, Vec<(usize, usize)>) {
        let header = Header { run: RunId::new(1), start: RunStart::from_unix_micros(5) };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let mut ledger = LedgerWriter::create(&path, header).unwrap();
        let length = || std::fs::metadata(&path).unwrap().len() as usize;
        let (mut records, mut ends) = (Vec::new(), vec![(length(), 0)]);
        let (mut next, mut open) = ([0; 3], Vec::new());
        for (number, (streams, answers)) in appended.iter().enumerate() {
            let mut block = Vec::new();
            for (which, answer) in answers {
                let place = usize::from(*which) % (open.len() + 1);
                // One that waits, or one that nobody knows.
                let (stream, index) = if place < open.len() { open.remove(place) } else { (9, u64::from(*which)) };
                block.push(outcome(stream, index, number as u64, *answer));
            }
            for stream in streams {
                let index = &mut next[usize::from(*stream)];
                block.push(intent(*stream, *index, number as u64));
                open.push((*stream, *index));
                *index += 1;
            }
            ledger.append(&block).unwrap();
            records.extend(block);
            ends.push((length(), records.len()));
        }
        (std::fs::read(&path).unwrap(), records, ends)
    }

    /// What a reader gives of these bytes, and its error.
    fn read(bytes: &[u8]) -> (Vec<Record>, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        std::fs::write(&path, bytes).unwrap();
        let mut reader = match LedgerReader::open(&path) {
            Ok(reader) => reader,
            Err(error) => return (Vec::new(), Some(error.to_string())),
        };
        let mut records = Vec::new();
        loop {
            match reader.next() {
                Some(Ok(record)) => records.push(record),
                Some(Err(error)) => return (records, Some(error.to_string())),
                None => return (records, None),
            }
        }
    }

    fn outcome(stream: u16, index: u64, moment: u64, answer: usize) -> Record {
        let answers = [
            Answer::Reply { status: 503, excerpt: "later".into() },
            Answer::Results { exceptions: vec![(index, EventResult::Drop(DropWord::OTHER))], complete: true },
            Answer::TimedOut,
            Answer::Broken { error: "reset".into() },
        ];
        let usual = Answer::Reply { status: 200, excerpt: String::new() };
        Record::Outcome(Outcome {
            stream: StreamId(stream),
            index,
            attempt: 1,
            sent: Duration::from_millis(moment),
            answered: Duration::from_millis(moment + 9),
            answer: answers.get(answer).cloned().unwrap_or(usual),
        })
    }

    fn intent(stream: u16, index: u64, moment: u64) -> Record {
        let positions = index..index + 1;
        let request = Request { stream: StreamId(stream), index, positions, resends: 0..0, only: None, retry: None };
        Record::Intent(Intent { request, released: Duration::from_millis(moment) })
    }
}
