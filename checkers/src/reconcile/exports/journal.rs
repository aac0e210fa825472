//! The journal of deliveries: they go in as the webhook sink tells of them, and come back sorted by window.

use std::path::Path;

use generators::{
    identity::StreamId,
    journal::{Header, JournalReader, JournalWriter, Kind, ReadError, WriteError, put_varint, take_varint},
};
use serde::{Deserialize, Serialize};

use super::{Delivery, Exports};
use crate::reconcile::{
    spool::Spool,
    windows::{EVENTS, Window, Windows},
};

const KIND: Kind = Kind { magic: *b"ASSAYEXP", version: 1, name: "journal of exports" };

/// So many unknown deliveries are kept as examples.
const UNKNOWN_EXAMPLES: usize = 20;

/// How exporting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Whether the exporter had nothing left to do, so that what is missing will not come.
    pub caught_up: bool,
    /// How many requests the webhook sink was sent.
    pub requests: u64,
    /// How many of these it refused, because the scenario wants that.
    pub refused: u64,
}

/// What is said of all deliveries together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// How many deliveries there were, each of one event.
    pub deliveries: u64,
    /// Deliveries of what nobody has sent, up to a bound as examples.
    pub unknown: Vec<String>,
    /// How many those are.
    pub unknown_deliveries: u64,
    /// How it ended; none if the run was killed before.
    pub end: Option<End>,
}

/// The journal of deliveries, open for writing.
#[derive(Debug)]
pub struct ExportsWriter(JournalWriter);

impl ExportsWriter {
    /// Creates the journal.
    ///
    /// # Errors
    /// When the file exists or the system refuses.
    pub fn create(path: &Path, header: Header) -> Result<Self, WriteError> {
        JournalWriter::create(path, KIND, header).map(Self)
    }

    /// Adds deliveries: of known events, and what is known of others.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn append(&mut self, deliveries: &[Delivery], unknown: &[String]) -> Result<(), WriteError> {
        let right = deliveries.iter().filter(|delivery| delivery.differences.is_empty());
        let mut bodies: Vec<Vec<u8>> = Vec::new();
        let mut open = None;
        for Delivery { plugin, stream, seq, .. } in right {
            if open.replace((plugin, stream)) != Some((plugin, stream)) {
                let mut body = vec![RIGHT];
                put_varint(&mut body, u64::from(*plugin));
                put_varint(&mut body, u64::from(stream.0));
                bodies.push(body);
            }
            if let Some(body) = bodies.last_mut() {
                put_varint(body, *seq);
            }
        }
        let wrong = deliveries.iter().filter(|delivery| !delivery.differences.is_empty());
        bodies.extend(wrong.map(|delivery| json_body(WRONG, delivery)));
        bodies.extend(unknown.iter().map(|what| json_body(UNKNOWN, what)));
        if bodies.is_empty() { Ok(()) } else { self.0.append(bodies) }
    }

    /// Ends it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn end(mut self, end: End) -> Result<(), WriteError> {
        self.0.append([json_body(END, &end)])
    }
}

/// All deliveries, sorted by window.
#[derive(Debug)]
pub struct ExportsLog {
    summary: Summary,
    spool: Spool,
    plugins: usize,
}

impl ExportsLog {
    /// Sorts the deliveries in the journal at `path`, made by so many plugins, into `windows`. `folder` is where a temporary
    /// file may be.
    ///
    /// # Errors
    /// When the journal cannot be read or is damaged, or the temporary file cannot be written.
    pub fn sort(path: &Path, windows: &Windows, folder: &Path, plugins: usize) -> Result<Self, ReadError> {
        let mut journal = JournalReader::open(path, KIND)?;
        let mut log = Self { summary: Summary::default(), spool: Spool::new(windows.len(), folder), plugins };
        while let Some(body) = journal.next().transpose()? {
            log.take(&body, windows)?.ok_or_else(|| journal.unknown())?;
        }
        Ok(log)
    }

    /// Takes a record; `None` if it is none that this code wrote.
    fn take(&mut self, body: &[u8], windows: &Windows) -> Result<Option<()>, ReadError> {
        let Some((kind, mut rest)) = body.split_first() else { return Ok(None) };
        match *kind {
            RIGHT => {
                let Some((plugin, stream)) = take_varint(&mut rest).zip(take_varint(&mut rest)) else {
                    return Ok(None);
                };
                let (Ok(plugin), Ok(stream)) = (u8::try_from(plugin), u16::try_from(stream)) else { return Ok(None) };
                while !rest.is_empty() {
                    let Some(seq) = take_varint(&mut rest) else { return Ok(None) };
                    let Some(number) = windows.number(StreamId(stream), seq) else { return Ok(None) };
                    let mut record = vec![RIGHT, plugin];
                    put_varint(&mut record, seq % EVENTS);
                    self.spool.append(number, &record)?;
                    self.summary.deliveries += 1;
                }
            }
            WRONG => {
                let Ok(delivery) = serde_json::from_slice::<Delivery>(rest) else { return Ok(None) };
                let Some(number) = windows.number(delivery.stream, delivery.seq) else { return Ok(None) };
                let mut record = vec![WRONG];
                put_varint(&mut record, rest.len() as u64);
                record.extend_from_slice(rest);
                self.spool.append(number, &record)?;
                self.summary.deliveries += 1;
            }
            UNKNOWN => {
                let Ok(what) = serde_json::from_slice::<String>(rest) else { return Ok(None) };
                self.summary.deliveries += 1;
                self.summary.unknown_deliveries += 1;
                if self.summary.unknown.len() < UNKNOWN_EXAMPLES {
                    self.summary.unknown.push(what);
                }
            }
            END => match serde_json::from_slice(rest) {
                Ok(end) => self.summary.end = Some(end),
                Err(_) => return Ok(None),
            },
            _ => return Ok(None),
        }
        Ok(Some(()))
    }

    /// What is said of all deliveries together.
    pub const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// What was delivered of `window`, which is number `number`.
    ///
    /// # Errors
    /// When the temporary file cannot be read.
    pub fn window(&self, window: Window, number: usize) -> Result<Exports, ReadError> {
        let bytes = self.spool.part(number)?;
        let caught_up = self.summary.end.is_some_and(|end| end.caught_up);
        let (stream, first) = (window.stream, window.seqs.start);
        let mut exports = Exports::new(window, self.plugins, caught_up);
        let mut rest = &bytes[..];
        // What was written a moment ago is read back whole.
        while let Some(delivery) = take_record(&mut rest, stream, first) {
            exports.add(delivery);
        }
        Ok(exports)
    }
}

/// The journal's records: right = plugin stream seq*, all varint; wrong = { a delivery as JSON }; unknown = { what is known of
/// it, as JSON text }; end = { how it ended, as JSON }.
const RIGHT: u8 = 1;
const WRONG: u8 = 2;
const UNKNOWN: u8 = 3;
const END: u8 = 4;

fn json_body(kind: u8, value: &impl Serialize) -> Vec<u8> {
    let mut body = vec![kind];
    // Serialising these into memory cannot fail; if it did, the record would be refused when it is read.
    body.extend(serde_json::to_vec(value).unwrap_or_default());
    body
}

/// A delivery from a window's part: `RIGHT plugin place`, or `WRONG length { JSON }`.
fn take_record(rest: &mut &[u8], stream: StreamId, first: u64) -> Option<Delivery> {
    let (kind, after) = rest.split_first()?;
    *rest = after;
    if *kind == WRONG {
        let length = take_varint(rest)? as usize;
        let (json, after) = rest.split_at_checked(length)?;
        *rest = after;
        return serde_json::from_slice(json).ok();
    }
    let (plugin, after) = rest.split_first()?;
    *rest = after;
    Some(Delivery { plugin: *plugin, stream, seq: first + take_varint(rest)?, differences: Vec::new() })
}

#[cfg(test)]
mod tests {
    use generators::{clock::RunStart, identity::RunId};

    use super::{super::tests::delivery, *};
    use crate::reconcile::example::workload;

    const STREAM: StreamId = StreamId(0);

    #[test]
    fn what_was_delivered_comes_back_by_window() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exports");
        let header = Header { run: RunId::new(3), start: RunStart::from_unix_micros(0) };
        let mut writer = ExportsWriter::create(&path, header).unwrap();
        writer.append(&[], &[]).unwrap();
        let deliveries =
            [delivery(0, 5, false), delivery(0, 6, true), delivery(1, 5, false), delivery(1, EVENTS, false)];
        writer.append(&deliveries, &["some uuid".into()]).unwrap();
        writer.append(&[delivery(0, 5, false)], &[]).unwrap();
        let windows = Windows::of(&workload(EVENTS + 2));
        let read = || ExportsLog::sort(&path, &windows, folder.path(), 2).unwrap();
        assert_eq!(read().summary().end, None, "a run that was killed");
        assert!(!read().window(windows.window(0).unwrap(), 0).unwrap().caught_up);
        let end = End { caught_up: true, requests: 9, refused: 2 };
        writer.end(end).unwrap();
        let log = read();
        let summary = log.summary();
        assert_eq!((summary.deliveries, summary.unknown_deliveries, summary.end), (6, 1, Some(end)));
        assert_eq!(summary.unknown, ["some uuid"]);
        let first = log.window(windows.window(0).unwrap(), 0).unwrap();
        let times = [(0, 5), (1, 5), (0, 6), (1, 6), (0, EVENTS)].map(|(p, seq)| first.times(p, STREAM, seq));
        assert_eq!(times, [2, 1, 1, 0, 0]);
        assert!(first.caught_up && first.wrong(STREAM, 6).count() == 1 && first.again() == 1);
        let second = log.window(windows.window(1).unwrap(), 1).unwrap();
        assert_eq!((second.times(1, STREAM, EVENTS), second.times(1, STREAM, 5)), (1, 0));
    }

    #[test]
    fn only_so_many_unknown_deliveries_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exports");
        let header = Header { run: RunId::new(3), start: RunStart::from_unix_micros(0) };
        let unknown: Vec<String> = (0..UNKNOWN_EXAMPLES + 5).map(|number| number.to_string()).collect();
        ExportsWriter::create(&path, header).unwrap().append(&[], &unknown).unwrap();
        let log = ExportsLog::sort(&path, &Windows::of(&workload(2)), folder.path(), 1).unwrap();
        let summary = log.summary();
        assert_eq!((summary.unknown.len(), summary.unknown_deliveries), (UNKNOWN_EXAMPLES, unknown.len() as u64));
    }
}
