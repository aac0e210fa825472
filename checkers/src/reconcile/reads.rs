//! The reads of a live run: when each event was first seen.
//!
//! A read is one completed look at the store that shows every event that was visible when it began and that no earlier
//! read had shown. So an event was first seen between the beginning of the last read that missed it and the end of the
//! first that saw it. The reads are kept in a [journal](generators::journal) while they happen, the empty ones too, so
//! that a killed run can still be judged.

use std::{path::Path, time::Duration};

use generators::{
    identity::StreamId,
    journal::{Header, JournalReader, JournalWriter, Kind, ReadError, WriteError, put_varint, take_varint},
};

const KIND: Kind = Kind { magic: *b"ASSAYRDS", version: 1, name: "journal of reads" };

/// One completed read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Read {
    /// When it began, from the run's start.
    pub start: Duration,
    /// When it ended.
    pub end: Duration,
    /// The events that it was the first to see, by stream.
    pub new: Vec<(StreamId, Vec<u64>)>,
}

/// The span in which an event became visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstSeen {
    /// The beginning of the last read that missed it; `None` if the first read of all saw it.
    pub missed: Option<Duration>,
    /// The end of the first read that saw it.
    pub seen: Duration,
}

/// All reads so far.
#[derive(Debug, Clone, Default)]
pub struct Reads {
    spans: Vec<(Duration, Duration)>,
    /// For each stream, by sequence number: 1 + the read that first saw the event, or 0.
    first: Vec<Vec<u32>>,
    seen: u64,
}

impl Reads {
    /// Adds a read. An event that was seen before stays with its first read.
    pub fn add(&mut self, read: &Read) {
        self.spans.push((read.start, read.end));
        let number = self.spans.len() as u32;
        for (stream, seqs) in &read.new {
            let stream = usize::from(stream.0);
            if self.first.len() <= stream {
                self.first.resize_with(stream + 1, Vec::new);
            }
            let first = &mut self.first[stream];
            for &seq in seqs {
                let seq = seq as usize;
                if first.len() <= seq {
                    first.resize(seq + 1, 0);
                }
                if first[seq] == 0 {
                    first[seq] = number;
                    self.seen += 1;
                }
            }
        }
    }

    /// Whether some read saw the event.
    pub fn has_seen(&self, stream: StreamId, seq: u64) -> bool {
        self.number(stream, seq).is_some()
    }

    /// When the event was first seen.
    pub fn first_seen(&self, stream: StreamId, seq: u64) -> Option<FirstSeen> {
        let number = self.number(stream, seq)?;
        let missed = number.checked_sub(1).and_then(|before| self.spans.get(before)).map(|(start, _)| *start);
        Some(FirstSeen { missed, seen: self.spans.get(number)?.1 })
    }

    /// The read that first saw the event: its beginning and its end.
    pub fn first_read(&self, stream: StreamId, seq: u64) -> Option<(Duration, Duration)> {
        self.spans.get(self.number(stream, seq)?).copied()
    }

    /// How many events were seen.
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// How many reads there were.
    pub const fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there was none.
    pub const fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// When the last read began and ended.
    pub fn last(&self) -> Option<(Duration, Duration)> {
        self.spans.last().copied()
    }

    fn number(&self, stream: StreamId, seq: u64) -> Option<usize> {
        let number = *self.first.get(usize::from(stream.0))?.get(usize::try_from(seq).ok()?)?;
        (number as usize).checked_sub(1)
    }

    /// Reads them back from the journal at `path`.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let mut journal = JournalReader::open(path, KIND)?;
        let mut reads = Self::default();
        while let Some(body) = journal.next().transpose()? {
            reads.add(&decode(&body).ok_or_else(|| journal.unknown())?);
        }
        Ok(reads)
    }
}

/// The journal of reads, open for writing.
#[derive(Debug)]
pub struct ReadsWriter(JournalWriter);

impl ReadsWriter {
    /// Creates the journal.
    ///
    /// # Errors
    /// When the file exists or cannot be created.
    pub fn create(path: &Path, header: Header) -> Result<Self, WriteError> {
        JournalWriter::create(path, KIND, header).map(Self)
    }

    /// Appends a read.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn append(&mut self, read: &Read) -> Result<(), WriteError> {
        self.0.append([encode(read)])
    }
}

/// `start_micros length_micros streams { stream count { zigzag difference to the seq before }* }*`, all varint.
fn encode(read: &Read) -> Vec<u8> {
    let mut body = Vec::new();
    put_varint(&mut body, read.start.as_micros() as u64);
    put_varint(&mut body, read.end.saturating_sub(read.start).as_micros() as u64);
    put_varint(&mut body, read.new.len() as u64);
    for (stream, seqs) in &read.new {
        put_varint(&mut body, u64::from(stream.0));
        put_varint(&mut body, seqs.len() as u64);
        let mut before = 0i64;
        for &seq in seqs {
            let step = seq as i64 - before;
            put_varint(&mut body, ((step << 1) ^ (step >> 63)) as u64);
            before = seq as i64;
        }
    }
    body
}

fn decode(mut body: &[u8]) -> Option<Read> {
    let mut number = || take_varint(&mut body);
    let start = Duration::from_micros(number()?);
    let end = start + Duration::from_micros(number()?);
    let streams = number()?;
    let mut new = Vec::new();
    for _ in 0..streams {
        let stream = StreamId(u16::try_from(number()?).ok()?);
        let count = number()?;
        let mut seqs = Vec::new();
        let mut before = 0i64;
        for _ in 0..count {
            let zigzag = number()?;
            before += (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
            seqs.push(u64::try_from(before).ok()?);
        }
        new.push((stream, seqs));
    }
    Some(Read { start, end, new })
}

#[cfg(test)]
mod tests {
    use generators::{clock::RunStart, identity::RunId};
    use proptest::prelude::*;

    use super::*;

    fn read(start: u64, end: u64, seqs: &[u64]) -> Read {
        Read {
            start: Duration::from_secs(start),
            end: Duration::from_secs(end),
            new: vec![(StreamId(0), seqs.to_vec())],
        }
    }

    #[test]
    fn first_seen_lies_between_the_last_miss_and_the_first_sight() {
        let mut reads = Reads::default();
        for read in [read(1, 2, &[0]), read(3, 4, &[5]), read(5, 6, &[5, 6])] {
            reads.add(&read);
        }
        let span = |missed: Option<u64>, seen| {
            Some(FirstSeen { missed: missed.map(Duration::from_secs), seen: Duration::from_secs(seen) })
        };
        assert_eq!(reads.first_seen(StreamId(0), 0), span(None, 2));
        assert_eq!(reads.first_seen(StreamId(0), 5), span(Some(1), 4), "seen again is not first seen");
        assert_eq!(reads.first_seen(StreamId(0), 6), span(Some(3), 6));
        assert_eq!(reads.first_seen(StreamId(0), 1), None);
        assert_eq!(reads.first_seen(StreamId(1), 0), None);
        assert_eq!(reads.seen(), 3);
    }

    #[test]
    fn the_journal_gives_them_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reads");
        let header = Header { run: RunId::new(1), start: RunStart::from_unix_micros(0) };
        let mut writer = ReadsWriter::create(&path, header).unwrap();
        for read in [read(1, 2, &[9, 3]), read(3, 4, &[])] {
            writer.append(&read).unwrap();
        }
        let reads = Reads::open(&path).unwrap();
        assert_eq!((reads.len(), reads.seen()), (2, 2));
        assert_eq!(reads.last(), Some((Duration::from_secs(3), Duration::from_secs(4))));
        assert!(reads.has_seen(StreamId(0), 3));
    }

    proptest! {
        #[test]
        fn reads_survive_the_journal(start in 0u64..1 << 40, length in 0u64..1 << 30, seqs in prop::collection::vec(0u64..1 << 44, 0..50)) {
            let start = Duration::from_micros(start);
            let read = Read { start, end: start + Duration::from_micros(length), new: vec![(StreamId(3), seqs)] };
            prop_assert_eq!(decode(&encode(&read)), Some(read));
        }
    }
}
