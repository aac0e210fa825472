//! The journal of a final read: rows go in as they come, and come back sorted by window.

use std::{path::Path, time::Duration};

use generators::{
    identity::StreamId,
    journal::{Header, JournalReader, JournalWriter, Kind, ReadError, WriteError, put_varint, take_varint},
    random::mix,
};
use serde::{Deserialize, Serialize};

use super::{FinalRead, FoundRow};
use crate::reconcile::{
    groups::found::FoundGroups,
    spool::Spool,
    windows::{EVENTS, Window, Windows},
};

const KIND: Kind = Kind { magic: *b"ASSAYROW", version: 3, name: "journal of a final read" };

/// Rows are put into the journal when so many bytes of them have come together.
const CHUNK: usize = 1 << 16;

/// So many unknown rows are kept as examples.
const UNKNOWN_EXAMPLES: usize = 100;

/// What is said of a final read as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// When it began, from the run's start.
    pub start: Duration,
    /// When it ended.
    pub end: Duration,
    /// How many rows it returned, which is how many it had announced.
    pub raw_rows: u64,
    /// Rows that are no planned event's, up to a bound as examples.
    pub unknown: Vec<String>,
    /// How many those are.
    pub unknown_rows: u64,
    /// Whether the table of groups was read as well.
    #[serde(default)]
    pub groups: bool,
}

impl Summary {
    /// Counts a row of nobody's.
    pub fn add_unknown(&mut self, what: String) {
        self.raw_rows += 1;
        self.unknown_rows += 1;
        if self.unknown.len() < UNKNOWN_EXAMPLES {
            self.unknown.push(what);
        }
    }
}

/// A final read that is going on: its rows go into a journal as they come.
#[derive(Debug)]
pub struct FinalReadWriter {
    journal: JournalWriter,
    start_micros: i64,
    summary: Summary,
    /// The bodies of the next records, in the order of the rows, and how many bytes they hold.
    bodies: Vec<Vec<u8>>,
    held: usize,
    /// Whose rows of which shard the last body holds, if more plain ones fit behind them.
    open: Option<(StreamId, u32)>,
}

impl FinalReadWriter {
    /// Creates the journal of a read that began at `start`.
    ///
    /// # Errors
    /// When the file exists or the system refuses.
    pub fn create(path: &Path, header: Header, start: Duration) -> Result<Self, WriteError> {
        let journal = JournalWriter::create(path, KIND, header)?;
        let summary = Summary { start, ..Summary::default() };
        let start_micros = header.start.unix_micros();
        Ok(Self { journal, start_micros, summary, bodies: Vec::new(), held: 0, open: None })
    }

    /// Adds a row of nobody's.
    pub fn add_unknown(&mut self, what: String) {
        self.summary.add_unknown(what);
    }

    /// Adds a row of an event.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn add(&mut self, stream: StreamId, seq: u64, row: FoundRow) -> Result<(), WriteError> {
        self.summary.raw_rows += 1;
        if row.is_plain() {
            if self.open != Some((stream, row.shard)) {
                let mut body = vec![if row.shard == 0 { PLAIN } else { PLAIN_OF_SHARD }];
                if row.shard != 0 {
                    put_varint(&mut body, u64::from(row.shard));
                }
                put_varint(&mut body, u64::from(stream.0));
                self.bodies.push(body);
                self.open = Some((stream, row.shard));
            }
            if let Some(body) = self.bodies.last_mut() {
                let before = body.len();
                put_varint(body, seq);
                put_varint(body, zigzag(row.timestamp_micros - self.start_micros));
                put_varint(body, row.version);
                self.held += body.len() - before;
            }
        } else {
            let body = json_body(ODD, &StoredRow { stream: stream.0, seq, row });
            self.held += body.len();
            self.bodies.push(body);
            self.open = None;
        }
        if self.held > CHUNK { self.write() } else { Ok(()) }
    }

    /// Adds what the table of groups holds.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn add_groups(&mut self, found: &FoundGroups) -> Result<(), WriteError> {
        self.summary.groups = true;
        self.open = None;
        for row in found.rows() {
            let body = json_body(GROUP, &row);
            self.held += body.len();
            self.bodies.push(body);
            if self.held > CHUNK {
                self.write()?;
            }
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), WriteError> {
        (self.held, self.open) = (0, None);
        self.journal.append(self.bodies.drain(..))
    }

    /// Ends it at `end`: it was whole.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn end(mut self, end: Duration) -> Result<(), WriteError> {
        self.write()?;
        self.summary.end = end;
        self.journal.append([json_body(END, &self.summary)])
    }
}

/// A final read, sorted by window.
#[derive(Debug)]
pub struct FinalReadLog {
    summary: Summary,
    spool: Spool,
    groups: FoundGroups,
}

impl FinalReadLog {
    /// Sorts the rows of the journal at `path` into `windows`; `None` if it was not written to its end. `folder` is where a
    /// temporary file may be.
    ///
    /// # Errors
    /// When the journal cannot be read or is damaged, or the temporary file cannot be written.
    pub fn sort(path: &Path, windows: &Windows, folder: &Path) -> Result<Option<Self>, ReadError> {
        let mut journal = JournalReader::open(path, KIND)?;
        let start_micros = journal.header().map_or(0, |header| header.start.unix_micros());
        let mut spool = Spool::new(windows.len(), folder);
        let mut groups = FoundGroups::default();
        let mut record = Vec::new();
        while let Some(body) = journal.next().transpose()? {
            let Some((kind, rest)) = body.split_first() else { return Err(journal.unknown()) };
            match *kind {
                END => {
                    let summary = serde_json::from_slice(rest).map_err(|_| journal.unknown())?;
                    return Ok(Some(Self { summary, spool, groups }));
                }
                PLAIN | PLAIN_OF_SHARD => {
                    let mut rest = rest;
                    let shard = if *kind == PLAIN { Some(0) } else { take_varint(&mut rest) };
                    let shard = shard.ok_or_else(|| journal.unknown())?;
                    let stream = take_varint(&mut rest).and_then(|stream| u16::try_from(stream).ok());
                    let stream = StreamId(stream.ok_or_else(|| journal.unknown())?);
                    while !rest.is_empty() {
                        let row = take_plain(&mut rest).ok_or_else(|| journal.unknown())?;
                        let (seq, timestamp, version) = row;
                        let Some(number) = windows.number(stream, seq) else { return Err(journal.unknown()) };
                        record.clear();
                        record.push(*kind);
                        if shard != 0 {
                            put_varint(&mut record, shard);
                        }
                        put_varint(&mut record, seq % EVENTS);
                        record.extend_from_slice(&(start_micros + timestamp).to_le_bytes());
                        put_varint(&mut record, version);
                        spool.append(number, &record)?;
                    }
                }
                ODD => {
                    let row: StoredRow = serde_json::from_slice(rest).map_err(|_| journal.unknown())?;
                    let number = windows.number(StreamId(row.stream), row.seq).ok_or_else(|| journal.unknown())?;
                    record.clear();
                    record.push(ODD);
                    put_varint(&mut record, rest.len() as u64);
                    record.extend_from_slice(rest);
                    spool.append(number, &record)?;
                }
                GROUP => groups.put(serde_json::from_slice(rest).map_err(|_| journal.unknown())?),
                _ => return Err(journal.unknown()),
            }
        }
        Ok(None)
    }

    /// What is said of the read as a whole.
    pub const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// What the table of groups held, where it was read.
    pub fn groups(&self) -> Option<&FoundGroups> {
        self.summary.groups.then_some(&self.groups)
    }

    /// What it found of `window`, which is number `number`.
    ///
    /// # Errors
    /// When the temporary file cannot be read.
    pub fn window(&self, window: Window, number: usize) -> Result<FinalRead, ReadError> {
        let bytes = self.spool.part(number)?;
        let (stream, first) = (window.stream, window.seqs.start);
        let mut read = FinalRead::begin(window, self.summary.clone());
        let mut rest = &bytes[..];
        // What was written a moment ago is read back whole.
        while let Some((seq, row)) = take_record(&mut rest, first) {
            read.put(stream, seq, row);
        }
        Ok(read)
    }

    /// Equal digests mean that two reads said the same, merges apart.
    ///
    /// # Errors
    /// When the temporary file cannot be read.
    pub fn digest(&self, windows: &Windows) -> Result<u64, ReadError> {
        let whole = mix(self.summary.unknown_rows).wrapping_add(self.groups().map_or(0, FoundGroups::digest));
        windows
            .iter()
            .try_fold(whole, |sum, (number, window)| Ok(sum.wrapping_add(self.window(window, number)?.digest())))
    }
}

/// The journal's records: odd = { a row of an event as JSON }; plain = stream { seq timestamp version }*, all varint, the
/// timestamp in microseconds from the run's start with its sign last; plain of a shard = shard plain; group = { a row of the
/// table of groups as JSON }; end = { the summary as JSON }.
const ODD: u8 = 1;
const PLAIN: u8 = 2;
const END: u8 = 3;
const PLAIN_OF_SHARD: u8 = 4;
const GROUP: u8 = 5;

#[derive(Serialize, Deserialize)]
struct StoredRow {
    stream: u16,
    seq: u64,
    row: FoundRow,
}

fn json_body(kind: u8, value: &impl Serialize) -> Vec<u8> {
    let mut body = vec![kind];
    // Serialising these into memory cannot fail; if it did, the record would be refused when it is read.
    body.extend(serde_json::to_vec(value).unwrap_or_default());
    body
}

const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

/// Sequence number, timestamp from the run's start, and version.
fn take_plain(rest: &mut &[u8]) -> Option<(u64, i64, u64)> {
    let (seq, timestamp) = (take_varint(rest)?, take_varint(rest)?);
    Some((seq, (timestamp >> 1) as i64 ^ -((timestamp & 1) as i64), take_varint(rest)?))
}

/// A row from a window's part: `PLAIN place timestamp:i64 version`, the same behind `PLAIN_OF_SHARD shard`, or
/// `ODD length { JSON }`.
fn take_record(rest: &mut &[u8], first: u64) -> Option<(u64, FoundRow)> {
    let (kind, after) = rest.split_first()?;
    *rest = after;
    if *kind == ODD {
        let length = take_varint(rest)? as usize;
        let (json, after) = rest.split_at_checked(length)?;
        *rest = after;
        let stored: StoredRow = serde_json::from_slice(json).ok()?;
        return Some((stored.seq, stored.row));
    }
    let shard = if *kind == PLAIN { 0 } else { u32::try_from(take_varint(rest)?).ok()? };
    let place = take_varint(rest)?;
    let (timestamp, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    let row = FoundRow::plain(i64::from_le_bytes(*timestamp), take_varint(rest)?);
    Some((first + place, row.in_shard(shard)))
}

#[cfg(test)]
mod tests {
    use generators::{clock::RunStart, identity::RunId};

    use super::*;
    use crate::reconcile::example::{differing_row as differing, plain_row as plain, workload};
    use crate::reconcile::groups::found::GroupRow;

    const STREAM: StreamId = StreamId(0);
    const DAY: i64 = 86_400_000_000;

    /// What a journal gives back, sorted, of `events` planned events.
    fn sorted(rows: &[(u64, FoundRow)], unknown: &[&str], events: u64) -> (FinalReadLog, Windows) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("final-read-1");
        let header = Header { run: RunId::new(3), start: RunStart::from_unix_micros(5 * DAY) };
        let mut writer = FinalReadWriter::create(&path, header, Duration::from_secs(1)).unwrap();
        for (seq, row) in rows {
            writer.add(STREAM, *seq, row.clone()).unwrap();
        }
        for what in unknown {
            writer.add_unknown((*what).into());
        }
        let windows = Windows::of(&workload(events));
        assert!(FinalReadLog::sort(&path, &windows, folder.path()).unwrap().is_none(), "it was not ended");
        writer.end(Duration::from_secs(2)).unwrap();
        (FinalReadLog::sort(&path, &windows, folder.path()).unwrap().unwrap(), windows)
    }

    #[test]
    fn a_kept_read_is_the_read() {
        let rows =
            [(5, plain(1, 3)), (6, differing(2, 4)), (7, plain(9, 1)), (7, plain(9, 2)), (EVENTS + 1, plain(1, 1))];
        let (log, windows) = sorted(&rows, &["some uuid"], EVENTS + 2);
        let summary = log.summary();
        assert_eq!((summary.start, summary.end), (Duration::from_secs(1), Duration::from_secs(2)));
        assert_eq!((summary.raw_rows, summary.unknown_rows), (6, 1));
        assert_eq!(summary.unknown, ["some uuid"]);
        let first = log.window(windows.window(0).unwrap(), 0).unwrap();
        assert_eq!(first.plain_row(STREAM, 5), Some(plain(1, 3)));
        assert_eq!(first.odd_rows(STREAM, 6), [differing(2, 4)]);
        assert_eq!((first.plain_row(STREAM, 7), first.pending_merge_rows), (Some(plain(9, 2)), 1));
        assert!(!first.is_visible(STREAM, 8) && !first.is_visible(STREAM, EVENTS + 1));
        let second = log.window(windows.window(1).unwrap(), 1).unwrap();
        assert!(second.is_visible(STREAM, EVENTS + 1) && !second.is_visible(STREAM, 5));
        assert_eq!(second.span(), (Duration::from_secs(1), Duration::from_secs(2)));
    }

    #[test]
    fn rows_come_back_with_their_shards() {
        let rows = [
            (5, plain(1, 3).in_shard(1)),
            (6, plain(1, 3).in_shard(300)),
            (7, differing(2, 4).in_shard(2)),
            (5, plain(1, 3).in_shard(2)),
            (8, plain(1, 3)),
        ];
        let (log, windows) = sorted(&rows, &[], 10);
        let read = log.window(windows.window(0).unwrap(), 0).unwrap();
        assert_eq!(read.odd_rows(STREAM, 5), [plain(1, 3).in_shard(1), plain(1, 3).in_shard(2)]);
        assert_eq!(read.plain_row(STREAM, 6), Some(plain(1, 3).in_shard(300)));
        assert_eq!(read.odd_rows(STREAM, 7), [differing(2, 4).in_shard(2)]);
        assert_eq!(read.plain_row(STREAM, 8), Some(plain(1, 3)));
    }

    #[test]
    fn groups_come_back_where_they_were_read() {
        let folder = tempfile::tempdir().unwrap();
        let header = Header { run: RunId::new(3), start: RunStart::from_unix_micros(5 * DAY) };
        let windows = Windows::of(&workload(10));
        let sorted = |name: &str, groups: Option<&FoundGroups>| {
            let path = folder.path().join(name);
            let mut writer = FinalReadWriter::create(&path, header, Duration::from_secs(1)).unwrap();
            writer.add(STREAM, 5, plain(1, 3)).unwrap();
            if let Some(groups) = groups {
                writer.add_groups(groups).unwrap();
            }
            writer.end(Duration::from_secs(2)).unwrap();
            FinalReadLog::sort(&path, &windows, folder.path()).unwrap().unwrap()
        };
        let group =
            |key: u64| GroupRow { team: 1, index: 0, key: key.to_string(), properties: "{}".into(), version: (5, key) };
        let (mut many, mut fewer) = (FoundGroups::default(), FoundGroups::default());
        (0..5_000).for_each(|key| many.put(group(key)));
        (0..4_999).for_each(|key| fewer.put(group(key)));
        let (none, empty) = (sorted("none", None), sorted("empty", Some(&FoundGroups::default())));
        let (all, some) = (sorted("all", Some(&many)), sorted("some", Some(&fewer)));
        assert_eq!((none.groups(), empty.groups()), (None, Some(&FoundGroups::default())));
        assert_eq!(all.groups(), Some(&many));
        assert!(all.window(windows.window(0).unwrap(), 0).unwrap().is_visible(STREAM, 5));
        assert_ne!(all.digest(&windows).unwrap(), some.digest(&windows).unwrap());
        // A summary of before there were groups.
        assert!(!serde_json::from_str::<Summary>(r#"{"start":{"secs":1,"nanos":0},"end":{"secs":2,"nanos":0},"raw_rows":0,"unknown":[],"unknown_rows":0}"#).unwrap().groups);
    }

    #[test]
    fn rows_come_back_in_their_order() {
        // Of equal versions the later row stays, whatever lies between.
        let other = |number: i64| (8, plain(number, 1));
        let many: Vec<_> = (0..20_000).map(other).collect();
        for (first, second) in [(plain(1, 1), differing(1, 1)), (differing(1, 1), plain(1, 1))] {
            for between in [0, 1, 20_000] {
                let rows = [&[(5, first.clone())], &many[..between], &[(5, second.clone())]].concat();
                let (log, windows) = sorted(&rows, &[], 10);
                let read = log.window(windows.window(0).unwrap(), 0).unwrap();
                assert_eq!(read.odd_rows(STREAM, 5), std::slice::from_ref(&second), "{between}");
            }
        }
    }

    #[test]
    fn two_reads_that_say_the_same_have_one_digest() {
        let digest = |rows: &[(u64, FoundRow)], unknown: &[&str]| {
            let (log, windows) = sorted(rows, unknown, EVENTS + 2);
            log.digest(&windows).unwrap()
        };
        let (one, other) = ((5, plain(1, 3)), (EVENTS + 1, plain(1, 1)));
        let both = digest(&[one.clone(), other.clone()], &[]);
        assert_eq!(both, digest(&[other.clone(), one.clone(), one.clone()], &[]), "in another order, before a merge");
        assert_ne!(both, digest(std::slice::from_ref(&one), &[]));
        assert_ne!(both, digest(&[one, other], &["stranger"]));
    }

    #[test]
    fn only_so_many_unknown_rows_are_kept() {
        let mut summary = Summary::default();
        (0..UNKNOWN_EXAMPLES + 5).for_each(|number| summary.add_unknown(number.to_string()));
        assert_eq!((summary.unknown.len(), summary.unknown_rows), (UNKNOWN_EXAMPLES, UNKNOWN_EXAMPLES as u64 + 5));
    }
}
