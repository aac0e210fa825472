//! What a final read found: for every event its rows, after removing what the engine's merges will remove.
//!
//! A row's key is (team, UTC day, event, distinct id, uuid): of rows with one key the engine keeps the one with the
//! greatest version, the later of equals. Rows that are as expected cost a few bytes; only others are kept whole. The
//! result is kept in a [journal](generators::journal), so that a run can be judged again without its store.

use std::{collections::BTreeMap, path::Path, time::Duration};

use generators::{
    identity::{EventId, MARKER_PROPERTY, StreamId},
    journal::{Header, JournalReader, JournalWriter, Kind, ReadError, WriteError, put_varint},
    random::mix,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::oracle::{
    json,
    row::{Difference, Expectation, Row, day_of},
};

const KIND: Kind = Kind { magic: *b"ASSAYROW", version: 1, name: "journal of a final read" };

/// Rows are put into the journal so many at once.
const CHUNK: usize = 4096;

/// A found row of a known event, without what is as expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundRow {
    /// Which row it is to the engine.
    pub key: u64,
    /// Which of several rows with that key stays.
    pub version: u64,
    /// Whether it was found under a tenant that is not the event's own.
    pub misrouted: bool,
    /// The columns that differ.
    pub differences: Vec<Difference>,
}

/// Whose row a row is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// A planned event of this run.
    Known(StreamId, u64),
    /// Nobody's: what can be said about it.
    Unknown(String),
}

/// Tells whose `row` is: by its uuid, or, where that is damaged or foreign, by the marker among its properties.
/// `planned` tells how many events a stream of this run has.
pub fn identify(row: &Row, run: generators::identity::RunId, planned: impl Fn(StreamId) -> u64) -> Identity {
    let known = |uuid: Uuid| EventId::from_uuid(uuid).ok().filter(|id| id.run == run && id.seq < planned(id.stream));
    if let Some(id) = known(row.uuid) {
        return Identity::Known(id.stream, id.seq);
    }
    let marker = json::members(&row.properties)
        .and_then(|members| serde_json::from_str::<String>(members.get(MARKER_PROPERTY)?.get()).ok())
        .and_then(|text| Uuid::parse_str(&text).ok());
    match marker.and_then(known) {
        Some(id) => Identity::Known(id.stream, id.seq),
        None => Identity::Unknown(row.uuid.to_string()),
    }
}

/// Which row `row` is to the engine.
pub fn key_of(row: &Row) -> u64 {
    let text = |text: &str| text.bytes().fold(text.len() as u64, |hash, byte| mix(hash ^ u64::from(byte)));
    let uuid = row.uuid.as_u128();
    let words = [
        row.team_id as u64,
        day_of(row.timestamp_micros) as u64,
        text(&row.event),
        text(&row.distinct_id),
        (uuid >> 64) as u64,
        uuid as u64,
    ];
    // 0 stands for "no row" below.
    words.into_iter().fold(1, |hash, word| mix(hash ^ word).wrapping_add(1)).max(1)
}

/// The judged form of `row`.
pub fn judge_row(row: &Row, expectation: &Expectation, team: i64) -> FoundRow {
    FoundRow {
        key: key_of(row),
        version: row.version,
        misrouted: row.team_id != team,
        differences: expectation.differences(row),
    }
}

/// What one final read found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FinalRead {
    /// When it began, from the run's start.
    pub start: Duration,
    /// When it ended.
    pub end: Duration,
    /// How many rows it returned, which is how many it had announced.
    pub raw_rows: u64,
    /// Rows that the engine's merges will remove.
    pub pending_merge_rows: u64,
    /// Rows that are no planned event's, up to a bound as examples.
    pub unknown: Vec<String>,
    /// How many those are.
    pub unknown_rows: u64,
    /// The key of the one row of an event that is as expected; 0 for none. By stream and sequence number.
    plain: Vec<Vec<(u64, u64)>>,
    /// All rows of the other events.
    odd: BTreeMap<(u16, u64), Vec<FoundRow>>,
    visible: u64,
}

/// So many unknown rows are kept as examples.
const UNKNOWN_EXAMPLES: usize = 100;

impl FinalRead {
    /// A read that began at `start` and has found nothing yet.
    pub fn begin(start: Duration) -> Self {
        Self { start, ..Self::default() }
    }

    /// Adds a row of nobody's.
    pub fn add_unknown(&mut self, what: String) {
        self.raw_rows += 1;
        self.unknown_rows += 1;
        if self.unknown.len() < UNKNOWN_EXAMPLES {
            self.unknown.push(what);
        }
    }

    /// Adds a row of an event.
    pub fn add(&mut self, stream: StreamId, seq: u64, row: FoundRow) {
        self.raw_rows += 1;
        let index = usize::from(stream.0);
        if self.plain.len() <= index {
            self.plain.resize_with(index + 1, Vec::new);
        }
        let plain = &mut self.plain[index];
        if plain.len() <= seq as usize {
            plain.resize(seq as usize + 1, (0, 0));
        }
        let before = std::mem::take(&mut plain[seq as usize]);
        let is_plain = !row.misrouted && row.differences.is_empty();
        let rows = self.odd.get_mut(&(stream.0, seq));
        match (before, rows) {
            ((0, _), None) if is_plain => {
                plain[seq as usize] = (row.key, row.version);
                self.visible += 1;
            }
            ((0, _), None) => {
                self.odd.insert((stream.0, seq), vec![row]);
                self.visible += 1;
            }
            ((key, version), None) if key == row.key && is_plain => {
                plain[seq as usize] = (key, version.max(row.version));
                self.pending_merge_rows += 1;
            }
            ((key, version), None) => {
                let first = FoundRow { key, version, misrouted: false, differences: Vec::new() };
                let rows = self.odd.entry((stream.0, seq)).or_insert(vec![first]);
                self.pending_merge_rows += merge_into(rows, row);
            }
            (_, Some(rows)) => self.pending_merge_rows += merge_into(rows, row),
        }
    }

    /// Whether the event has a row.
    pub fn is_visible(&self, stream: StreamId, seq: u64) -> bool {
        self.plain_key(stream, seq) != 0 || self.odd.contains_key(&(stream.0, seq))
    }

    /// The rows that stay of an event that is not simply as expected; empty for those that are, and for unseen ones.
    pub fn odd_rows(&self, stream: StreamId, seq: u64) -> &[FoundRow] {
        self.odd.get(&(stream.0, seq)).map_or(&[], Vec::as_slice)
    }

    /// The one row of an event that is simply as expected.
    pub fn plain_row(&self, stream: StreamId, seq: u64) -> Option<FoundRow> {
        let (key, version) = *self.plain.get(usize::from(stream.0))?.get(seq as usize)?;
        (key != 0).then_some(FoundRow { key, version, misrouted: false, differences: Vec::new() })
    }

    /// How many events have a row.
    pub const fn visible(&self) -> u64 {
        self.visible
    }

    /// Equal digests mean that two reads said the same, merges apart.
    pub fn digest(&self) -> u64 {
        let plain = self.plain.iter().enumerate().flat_map(|(stream, events)| {
            events
                .iter()
                .enumerate()
                .filter(|(_, (key, _))| *key != 0)
                .map(move |(seq, (key, _))| mix(mix(stream as u64) ^ seq as u64) ^ mix(*key))
        });
        let odd = self.odd.iter().map(|((stream, seq), rows)| {
            let text = serde_json::to_vec(rows).unwrap_or_default();
            let text = text.iter().fold(1, |hash, byte| mix(hash ^ u64::from(*byte)));
            mix(mix(u64::from(*stream)) ^ *seq).wrapping_add(text)
        });
        plain.chain(odd).fold(mix(self.unknown_rows), |sum, word| sum.wrapping_add(mix(word)))
    }

    fn plain_key(&self, stream: StreamId, seq: u64) -> u64 {
        self.plain.get(usize::from(stream.0)).and_then(|events| events.get(seq as usize)).map_or(0, |(key, _)| *key)
    }

    /// Keeps the read at `path`.
    ///
    /// # Errors
    /// When the file exists or the system refuses.
    pub fn save(&self, path: &Path, header: Header) -> Result<(), WriteError> {
        let mut journal = JournalWriter::create(path, KIND, header)?;
        let summary = Stored::Summary {
            start: self.start,
            end: self.end,
            raw_rows: self.raw_rows,
            pending_merge_rows: self.pending_merge_rows,
            unknown: self.unknown.clone(),
            unknown_rows: self.unknown_rows,
        };
        journal.append([json_body(&summary)])?;
        for (stream, events) in self.plain.iter().enumerate() {
            let found: Vec<_> = events.iter().enumerate().filter(|(_, (key, _))| *key != 0).collect();
            for chunk in found.chunks(CHUNK) {
                let mut body = vec![PLAIN];
                put_varint(&mut body, stream as u64);
                for (seq, (key, version)) in chunk {
                    put_varint(&mut body, *seq as u64);
                    body.extend_from_slice(&key.to_le_bytes());
                    put_varint(&mut body, *version);
                }
                journal.append([body])?;
            }
        }
        for ((stream, seq), rows) in &self.odd {
            journal.append([json_body(&Stored::Odd { stream: *stream, seq: *seq, rows: rows.clone() })])?;
        }
        journal.append([[END]])
    }

    /// Reads it back; `None` if it was not written to its end.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn open(path: &Path) -> Result<Option<Self>, ReadError> {
        let mut journal = JournalReader::open(path, KIND)?;
        let mut read = Self::default();
        while let Some(body) = journal.next().transpose()? {
            match read.restore(&body) {
                Some(true) => return Ok(Some(read)),
                Some(false) => (),
                None => return Err(journal.unknown()),
            }
        }
        Ok(None)
    }

    /// Takes in one stored body; true at the end.
    fn restore(&mut self, body: &[u8]) -> Option<bool> {
        use generators::journal::take_varint;
        let (kind, mut rest) = body.split_first()?;
        match *kind {
            END => return Some(true),
            PLAIN => {
                let index = usize::try_from(take_varint(&mut rest)?).ok().filter(|index| *index < 1 << 14)?;
                if self.plain.len() <= index {
                    self.plain.resize_with(index + 1, Vec::new);
                }
                let plain = &mut self.plain[index];
                while !rest.is_empty() {
                    let seq = usize::try_from(take_varint(&mut rest)?).ok()?;
                    let (key, after) = rest.split_first_chunk::<8>()?;
                    rest = after;
                    if plain.len() <= seq {
                        plain.resize(seq + 1, (0, 0));
                    }
                    plain[seq] = (u64::from_le_bytes(*key), take_varint(&mut rest)?);
                    self.visible += 1;
                }
            }
            JSON => match serde_json::from_slice(rest).ok()? {
                Stored::Summary { start, end, raw_rows, pending_merge_rows, unknown, unknown_rows } => {
                    *self = Self { start, end, raw_rows, pending_merge_rows, unknown, unknown_rows, ..Self::default() };
                }
                Stored::Odd { stream, seq, rows } => {
                    self.odd.insert((stream, seq), rows);
                    self.visible += 1;
                }
            },
            _ => return None,
        }
        Some(false)
    }
}

const JSON: u8 = 1;
const PLAIN: u8 = 2;
const END: u8 = 3;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stored {
    Summary {
        start: Duration,
        end: Duration,
        raw_rows: u64,
        pending_merge_rows: u64,
        unknown: Vec<String>,
        unknown_rows: u64,
    },
    Odd {
        stream: u16,
        seq: u64,
        rows: Vec<FoundRow>,
    },
}

fn json_body(stored: &Stored) -> Vec<u8> {
    let mut body = vec![JSON];
    // Serialising these into memory cannot fail; if it did, the record would be refused when it is read.
    body.extend(serde_json::to_vec(stored).unwrap_or_default());
    body
}

/// Puts `row` among the rows that stay; returns how many rows merges will remove for it.
fn merge_into(rows: &mut Vec<FoundRow>, row: FoundRow) -> u64 {
    match rows.iter_mut().find(|other| other.key == row.key) {
        Some(other) => {
            if row.version >= other.version {
                *other = row;
            }
            1
        }
        None => {
            rows.push(row);
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use generators::{clock::RunStart, identity::RunId};

    use super::*;

    const STREAM: StreamId = StreamId(0);

    fn plain(key: u64, version: u64) -> FoundRow {
        FoundRow { key, version, misrouted: false, differences: Vec::new() }
    }

    fn differing(key: u64, version: u64) -> FoundRow {
        let difference = Difference { column: "event".into(), expected: "a".into(), found: Some("b".into()) };
        FoundRow { differences: vec![difference], ..plain(key, version) }
    }

    fn found(rows: &[FoundRow]) -> FinalRead {
        let mut read = FinalRead::begin(Duration::from_secs(1));
        for row in rows {
            read.add(STREAM, 5, row.clone());
        }
        read
    }

    #[test]
    fn of_rows_with_one_key_the_greatest_version_stays() {
        let cases: [(&[FoundRow], &[FoundRow], u64); 7] = [
            (&[plain(1, 1)], &[], 0),
            (&[plain(1, 1), plain(1, 2)], &[], 1),
            (&[plain(1, 1), plain(2, 1)], &[plain(1, 1), plain(2, 1)], 0),
            (&[differing(1, 1)], &[differing(1, 1)], 0),
            (&[plain(1, 1), differing(1, 2)], &[differing(1, 2)], 1),
            (&[differing(1, 1), plain(1, 2)], &[plain(1, 2)], 1),
            (&[plain(1, 2), differing(1, 1)], &[plain(1, 2)], 1),
        ];
        for (rows, stay, merged) in cases {
            let read = found(rows);
            assert_eq!((read.odd_rows(STREAM, 5), read.pending_merge_rows), (stay, merged), "{rows:?}");
            assert_eq!((read.visible(), read.raw_rows), (1, rows.len() as u64));
            assert!(read.is_visible(STREAM, 5) && !read.is_visible(STREAM, 4));
        }
    }

    #[test]
    fn merges_do_not_change_the_digest_and_everything_else_does() {
        let digest = |rows: &[FoundRow]| found(rows).digest();
        assert_eq!(digest(&[plain(1, 1), plain(1, 1)]), digest(&[plain(1, 1)]));
        assert_ne!(digest(&[plain(1, 1), plain(2, 1)]), digest(&[plain(1, 1)]));
        assert_ne!(digest(&[differing(1, 1)]), digest(&[plain(1, 1)]));
        assert_ne!(digest(&[]), digest(&[plain(1, 1)]));
        let mut unknown = found(&[plain(1, 1)]);
        unknown.add_unknown("x".into());
        assert_ne!(unknown.digest(), digest(&[plain(1, 1)]));
    }

    #[test]
    fn a_read_is_kept_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        let header = Header { run: RunId::new(1), start: RunStart::from_unix_micros(0) };
        let mut read = found(&[plain(1, 1), plain(2, 1)]);
        read.add(STREAM, 9, plain(3, 7));
        read.add_unknown("somebody".into());
        read.end = Duration::from_secs(2);
        read.save(&path, header).unwrap();
        assert_eq!(
            FinalRead::open(&path).unwrap(),
            Some(read.clone()).map(|mut read| {
                // Vectors end where their last event is.
                read.plain[0].truncate(10);
                read
            })
        );
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        assert_eq!(FinalRead::open(&path).unwrap(), None, "cut before its end");
    }

    #[test]
    fn a_row_is_known_by_its_uuid_or_by_its_marker() {
        let run = RunId::new(7);
        let id = EventId { run, stream: STREAM, seq: 3 };
        let row = |uuid: Uuid, properties: String| Row {
            uuid,
            event: "e".into(),
            distinct_id: "d".into(),
            team_id: 1,
            timestamp_micros: 0,
            person_id: Uuid::nil(),
            properties,
            version: 0,
        };
        let whose = |row: &Row| identify(row, run, |stream| if stream == STREAM { 4 } else { 0 });
        let marker = format!("{{\"assay_id\":\"{id}\"}}");
        assert_eq!(whose(&row(id.to_uuid(), "{}".into())), Identity::Known(STREAM, 3));
        assert_eq!(whose(&row(Uuid::nil(), marker)), Identity::Known(STREAM, 3));
        for foreign in
            [EventId { seq: 4, ..id }, EventId { stream: StreamId(1), ..id }, EventId { run: RunId::new(8), ..id }]
        {
            assert!(matches!(whose(&row(foreign.to_uuid(), "{}".into())), Identity::Unknown(_)), "{foreign}");
        }
    }

    #[test]
    fn the_key_is_the_engines_sorting_key() {
        let row = Row {
            uuid: Uuid::nil(),
            event: "e".into(),
            distinct_id: "d".into(),
            team_id: 1,
            timestamp_micros: 0,
            person_id: Uuid::nil(),
            properties: "{}".into(),
            version: 0,
        };
        let key = |change: fn(&mut Row)| {
            let mut row = row.clone();
            change(&mut row);
            key_of(&row)
        };
        let same = key(|_| ());
        assert_eq!(key(|row| row.timestamp_micros = 86_399_999_999), same, "the same day");
        assert_eq!(key(|row| row.properties = "{\"a\":1}".into()), same);
        let others: [fn(&mut Row); 5] = [
            |row| row.timestamp_micros = 86_400_000_000,
            |row| row.event = "f".into(),
            |row| row.distinct_id = "f".into(),
            |row| row.team_id = 2,
            |row| row.uuid = Uuid::max(),
        ];
        for change in others {
            assert_ne!(key(change), same);
        }
    }
}
