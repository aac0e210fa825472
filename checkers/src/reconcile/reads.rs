//! The reads of a live run: when each event was first seen.
//!
//! A read is one completed look at the store that shows every event that was visible when it began and that no earlier
//! read had shown. So an event was first seen between the beginning of the last read that missed it and the end of the
//! first that saw it. The reads are kept in a [journal](generators::journal) while they happen, the empty ones too, so
//! that a killed run can still be judged.

use std::{path::Path, sync::Arc, time::Duration};

use generators::{
    identity::StreamId,
    journal::{Header, JournalReader, JournalWriter, Kind, ReadError, WriteError, put_varint, take_varint},
};

use super::{
    spool::Spool,
    windows::{Window, Windows},
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

/// All reads of a run, sorted by window.
#[derive(Debug)]
pub struct ReadsLog {
    spans: Arc<[(Duration, Duration)]>,
    spool: Spool,
}

impl ReadsLog {
    /// No read at all.
    pub fn empty() -> Self {
        Self { spans: Arc::new([]), spool: Spool::new(0, Path::new(".")) }
    }

    /// Sorts the reads of the journal at `path` into `windows`; `folder` is where a temporary file may be.
    ///
    /// # Errors
    /// When the journal cannot be read or is damaged, or the temporary file cannot be written.
    pub fn sort(path: &Path, windows: &Windows, folder: &Path) -> Result<Self, ReadError> {
        let mut journal = JournalReader::open(path, KIND)?;
        let (mut spans, mut spool) = (Vec::new(), Spool::new(windows.len(), folder));
        while let Some(body) = journal.next().transpose()? {
            let read = decode(&body).ok_or_else(|| journal.unknown())?;
            spans.push((read.start, read.end));
            put(&read, spans.len() as u32, windows, &mut spool)?;
        }
        Ok(Self { spans: spans.into(), spool })
    }

    /// When the reads began and ended.
    pub fn spans(&self) -> &[(Duration, Duration)] {
        &self.spans
    }

    /// When the last read began and ended.
    pub fn last(&self) -> Option<(Duration, Duration)> {
        self.spans.last().copied()
    }

    /// How many reads there were.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// What the reads saw of `window`, which is number `number`.
    ///
    /// # Errors
    /// When the temporary file cannot be read.
    pub fn window(&self, window: Window, number: usize) -> Result<Reads, ReadError> {
        let bytes = self.spool.part(number)?;
        let mut reads = Reads { spans: Arc::clone(&self.spans), first: vec![0; window.len()], window };
        let mut rest = &bytes[..];
        while let Some((read, count)) = take_numbers(&mut rest) {
            let (places, after) = rest.split_at(count as usize * PLACE);
            rest = after;
            for place in places.chunks_exact(PLACE) {
                let place = usize::from(u16::from_le_bytes([place[0], place[1]]));
                if let Some(first) = reads.first.get_mut(place).filter(|first| **first == 0) {
                    *first = read;
                }
            }
        }
        Ok(reads)
    }
}

/// An event's place in its window takes so many bytes.
const PLACE: usize = 2;
const _: () = assert!(super::windows::EVENTS == 1 << (8 * PLACE));

/// Puts what a read saw into the windows: `number count place*`, the first two varint.
fn put(read: &Read, number: u32, windows: &Windows, spool: &mut Spool) -> Result<(), ReadError> {
    // A read sees events of few windows.
    let mut found: Vec<(usize, Vec<u8>)> = Vec::new();
    for (stream, seqs) in &read.new {
        for seq in seqs {
            let Some(window) = windows.number(*stream, *seq) else { continue };
            let place = ((seq % super::windows::EVENTS) as u16).to_le_bytes();
            match found.iter_mut().rev().find(|(other, _)| *other == window) {
                Some((_, places)) => places.extend_from_slice(&place),
                None => found.push((window, place.to_vec())),
            }
        }
    }
    for (window, places) in found {
        let mut head = Vec::new();
        put_varint(&mut head, u64::from(number));
        put_varint(&mut head, (places.len() / PLACE) as u64);
        spool.append(window, &head)?;
        spool.append(window, &places)?;
    }
    Ok(())
}

fn take_numbers(rest: &mut &[u8]) -> Option<(u32, u64)> {
    Some((take_varint(rest)? as u32, take_varint(rest)?))
}

/// What all reads saw of one window.
#[derive(Debug, Clone)]
pub struct Reads {
    spans: Arc<[(Duration, Duration)]>,
    window: Window,
    /// For each event of the window: the number of the read that first saw it, from 1, or 0.
    first: Vec<u32>,
}

impl Reads {
    /// The `reads` of `window`, in their order.
    pub fn of(window: Window, reads: &[Read]) -> Self {
        let mut first = vec![0; window.len()];
        for (read, number) in reads.iter().zip(1..) {
            for (stream, seqs) in &read.new {
                for place in seqs.iter().filter_map(|seq| window.place(*stream, *seq)) {
                    if first[place] == 0 {
                        first[place] = number;
                    }
                }
            }
        }
        Self { spans: reads.iter().map(|read| (read.start, read.end)).collect(), window, first }
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

    /// How many reads there were.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// When the last read began and ended.
    pub fn last(&self) -> Option<(Duration, Duration)> {
        self.spans.last().copied()
    }

    /// The number of the read that first saw the event at `place` of the window, from 1, or 0.
    pub(crate) fn number_at(&self, place: usize) -> u32 {
        self.first.get(place).copied().unwrap_or_default()
    }

    fn number(&self, stream: StreamId, seq: u64) -> Option<usize> {
        (self.first[self.window.place(stream, seq)?] as usize).checked_sub(1)
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
    use crate::reconcile::example::workload;

    fn read(start: u64, end: u64, seqs: &[u64]) -> Read {
        Read { start: Duration::from_secs(start), end: Duration::from_secs(end), new: vec![(STREAM, seqs.to_vec())] }
    }

    const STREAM: StreamId = StreamId(0);

    fn check(reads: &Reads) {
        let span = |missed: Option<u64>, seen| {
            Some(FirstSeen { missed: missed.map(Duration::from_secs), seen: Duration::from_secs(seen) })
        };
        assert_eq!(reads.first_seen(STREAM, 0), span(None, 2));
        assert_eq!(reads.first_seen(STREAM, 5), span(Some(1), 4), "seen again is not first seen");
        assert_eq!(reads.first_seen(STREAM, 6), span(Some(3), 6));
        assert_eq!(reads.first_read(STREAM, 6), Some((Duration::from_secs(5), Duration::from_secs(6))));
        assert_eq!(reads.first_seen(STREAM, 1), None);
        assert_eq!(reads.first_seen(STREAM, 9_999), None, "it was never planned");
        assert_eq!(reads.first_seen(StreamId(1), 0), None);
        assert!(reads.has_seen(STREAM, 5) && !reads.has_seen(STREAM, 1));
        assert_eq!(reads.last(), Some((Duration::from_secs(7), Duration::from_secs(8))));
        assert_eq!((reads.len(), reads.is_empty()), (4, false));
    }

    const READS: [(u64, u64, &[u64]); 4] = [(1, 2, &[0]), (3, 4, &[5]), (5, 6, &[6, 5, 9_999]), (7, 8, &[])];

    #[test]
    fn first_seen_lies_between_the_last_miss_and_the_first_sight() {
        let reads = READS.map(|(start, end, seqs)| read(start, end, seqs));
        check(&Reads::of(Window { stream: STREAM, seqs: 0..10 }, &reads));
    }

    #[test]
    fn the_journal_gives_them_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reads");
        let header = Header { run: RunId::new(1), start: RunStart::from_unix_micros(0) };
        let mut writer = ReadsWriter::create(&path, header).unwrap();
        for (start, end, seqs) in READS {
            writer.append(&read(start, end, seqs)).unwrap();
        }
        let windows = Windows::of(&workload(10));
        let log = ReadsLog::sort(&path, &windows, folder.path()).unwrap();
        assert_eq!((log.len(), log.is_empty()), (4, false));
        assert_eq!(log.last(), Some((Duration::from_secs(7), Duration::from_secs(8))));
        check(&log.window(windows.window(0).unwrap(), 0).unwrap());
        assert!(ReadsLog::empty().is_empty());
    }

    #[test]
    fn each_window_gets_its_own_events() {
        use crate::reconcile::windows::EVENTS;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reads");
        let header = Header { run: RunId::new(1), start: RunStart::from_unix_micros(0) };
        let mut writer = ReadsWriter::create(&path, header).unwrap();
        writer.append(&read(1, 2, &[EVENTS, 3, EVENTS - 1, EVENTS + 7])).unwrap();
        writer.append(&read(3, 4, &[EVENTS + 8])).unwrap();
        let windows = Windows::of(&workload(EVENTS + 9));
        let log = ReadsLog::sort(&path, &windows, folder.path()).unwrap();
        let seen: Vec<u64> = windows
            .iter()
            .flat_map(|(number, window)| {
                let reads = log.window(window.clone(), number).unwrap();
                window.seqs.filter(move |seq| reads.has_seen(STREAM, *seq))
            })
            .collect();
        assert_eq!(seen, [3, EVENTS - 1, EVENTS, EVENTS + 7, EVENTS + 8]);
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
