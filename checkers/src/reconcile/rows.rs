//! What a final read found: for every event its rows, after removing what the engine's merges will remove.
//!
//! A row's key is (shard, team, UTC day, event, distinct id, uuid): of rows with one key the engine keeps the one with the
//! greatest version, the later of equals; rows in two shards never meet in a merge. Rows that are as expected cost a few
//! bytes; only others are kept whole. Rows go into a [journal](generators::journal) as they come, so that a run can be judged
//! again without its store. Whether a row's timestamp is right depends on when its event was sent and answered, and is
//! decided when the run is judged; so is whether of several contents of a recorded event it may hold this one.

mod identity;
mod journal;

use std::{collections::BTreeMap, time::Duration};

use generators::{identity::StreamId, random::mix};
use serde::{Deserialize, Serialize};

use super::windows::Window;
use crate::oracle::row::{Difference, Expectation, Row, day_of};

pub use identity::{Identity, identify};
pub use journal::{FinalReadLog, FinalReadWriter, Summary};

/// A found row of a known event, without what is as expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundRow {
    /// Which row it is to the engine, in its shard.
    pub key: u64,
    /// The shard that holds it, from 1; 0 where there is one, or where it is not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub shard: u32,
    /// Which of several rows with that key stays.
    pub version: u64,
    /// Its timestamp, in microseconds since 1970.
    pub timestamp_micros: i64,
    /// Whether it was found under a tenant that is not the event's own.
    pub misrouted: bool,
    /// Which of its event's contents it holds, where a recording holds several: only an attempt that told one of them may have left
    /// it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contents: Vec<usize>,
    /// The columns that differ.
    pub differences: Vec<Difference>,
}

impl FoundRow {
    /// A row of an event that holds what it must, as far as its timestamp does not matter.
    pub const fn plain(timestamp_micros: i64, version: u64) -> Self {
        Self {
            key: plain_key(timestamp_micros),
            shard: 0,
            version,
            timestamp_micros,
            misrouted: false,
            contents: Vec::new(),
            differences: Vec::new(),
        }
    }

    /// The same row in the shard `shard`.
    #[must_use]
    pub fn in_shard(self, shard: u32) -> Self {
        Self { shard, ..self }
    }

    const fn is_plain(&self) -> bool {
        let is_right = !self.misrouted && self.differences.is_empty() && self.contents.is_empty();
        is_right && self.key == plain_key(self.timestamp_micros)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_zero(shard: &u32) -> bool {
    *shard == 0
}

/// The key of a row that stands where its event belongs: only the day can tell it from another one.
const fn plain_key(timestamp_micros: i64) -> u64 {
    day_of(timestamp_micros) as u64 & !ELSEWHERE
}

/// In the key of a row that stands elsewhere: under another team, event, distinct id or uuid.
const ELSEWHERE: u64 = 1 << 63;

/// Which row `row` is to the engine, where it does not stand where its event belongs.
fn key_elsewhere(row: &Row) -> u64 {
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
    words.into_iter().fold(1, |hash, word| mix(hash ^ word).wrapping_add(1)) | ELSEWHERE
}

/// The judged form of `row`. An `expectation` that judges timestamps judges this one's too.
pub fn judge_row(row: &Row, expectation: &Expectation, team: i64) -> FoundRow {
    let differences = expectation.differences(row);
    let in_key = |column: &str| matches!(column, "team_id" | "event" | "distinct_id" | "uuid");
    // Where each attempt gets a uuid of its own, each leaves a row of its own.
    let elsewhere = expectation.minted_uuid
        || row.team_id != team
        || expectation.is_second_name(&row.event)
        || differences.iter().any(|difference| in_key(&difference.column));
    FoundRow {
        key: if elsewhere { key_elsewhere(row) } else { plain_key(row.timestamp_micros) },
        shard: row.shard,
        version: row.version,
        timestamp_micros: row.timestamp_micros,
        misrouted: row.team_id != team,
        contents: expectation.contents_of(row),
        differences,
    }
}

/// What one final read found of one window.
#[derive(Debug, Clone)]
pub struct FinalRead {
    /// What is said of the read as a whole.
    pub summary: Summary,
    /// Rows of the window that the engine's merges will remove.
    pub pending_merge_rows: u64,
    window: Window,
    /// For each event of the window: timestamp and version of its one row, if that is as expected but perhaps for the
    /// timestamp.
    plain: Vec<(i64, u64)>,
    /// The shards of those, by their place; empty while no row is of a shard of several.
    shards: Vec<u32>,
    /// All rows of the other events, by their place.
    odd: BTreeMap<u32, Vec<FoundRow>>,
}

/// Stands for the timestamp where there is no row.
const NO_ROW: i64 = i64::MIN;

impl FinalRead {
    /// A read of which nothing is known yet but the `summary`.
    pub fn begin(window: Window, summary: Summary) -> Self {
        let plain = vec![(NO_ROW, 0); window.len()];
        Self { summary, pending_merge_rows: 0, window, plain, shards: Vec::new(), odd: BTreeMap::new() }
    }

    /// When it began and ended.
    pub const fn span(&self) -> (Duration, Duration) {
        (self.summary.start, self.summary.end)
    }

    /// Adds a row, in the order of the read; one of an event outside the window is left out.
    pub fn put(&mut self, stream: StreamId, seq: u64, row: FoundRow) {
        let Some(place) = self.window.place(stream, seq) else { return };
        let (timestamp, version) = std::mem::replace(&mut self.plain[place], (NO_ROW, 0));
        let is_plain = row.is_plain();
        let shard = self.shard(place);
        let rows = self.odd.get_mut(&(place as u32));
        match (timestamp, rows) {
            (NO_ROW, None) if is_plain => {
                self.plain[place] = (row.timestamp_micros, row.version);
                self.set_shard(place, row.shard);
            }
            (NO_ROW, None) => {
                self.odd.insert(place as u32, vec![row]);
            }
            (_, None) if is_plain && (plain_key(timestamp), shard) == (row.key, row.shard) => {
                let stays =
                    if row.version >= version { (row.timestamp_micros, row.version) } else { (timestamp, version) };
                self.plain[place] = stays;
                self.pending_merge_rows += 1;
            }
            (_, None) => {
                let before = FoundRow::plain(timestamp, version).in_shard(shard);
                let rows = self.odd.entry(place as u32).or_insert(vec![before]);
                self.pending_merge_rows += merge_into(rows, row);
            }
            (_, Some(rows)) => self.pending_merge_rows += merge_into(rows, row),
        }
    }

    /// The shard of the plain row at `place`.
    fn shard(&self, place: usize) -> u32 {
        self.shards.get(place).copied().unwrap_or_default()
    }

    fn set_shard(&mut self, place: usize, shard: u32) {
        if shard != 0 && self.shards.is_empty() {
            self.shards = vec![0; self.plain.len()];
        }
        if let Some(known) = self.shards.get_mut(place) {
            *known = shard;
        }
    }

    /// Whether the event has a row.
    pub fn is_visible(&self, stream: StreamId, seq: u64) -> bool {
        self.window
            .place(stream, seq)
            .is_some_and(|place| self.plain[place].0 != NO_ROW || self.odd.contains_key(&(place as u32)))
    }

    /// The rows that stay of an event that is not simply as expected; empty for those that are, and for unseen ones.
    pub fn odd_rows(&self, stream: StreamId, seq: u64) -> &[FoundRow] {
        if self.odd.is_empty() {
            return &[];
        }
        let rows = self.window.place(stream, seq).and_then(|place| self.odd.get(&(place as u32)));
        rows.map_or(&[], Vec::as_slice)
    }

    /// The one row of an event that is simply as expected, but perhaps for its timestamp.
    pub fn plain_row(&self, stream: StreamId, seq: u64) -> Option<FoundRow> {
        let place = self.window.place(stream, seq)?;
        let (timestamp, version) = self.plain[place];
        (timestamp != NO_ROW).then(|| FoundRow::plain(timestamp, version).in_shard(self.shard(place)))
    }

    /// The timestamp of the plain row of the event at `place` of the window; `None` if it has none.
    pub(crate) fn plain_at(&self, place: usize) -> Option<i64> {
        self.plain.get(place).map(|(timestamp, _)| *timestamp).filter(|timestamp| *timestamp != NO_ROW)
    }

    /// Whether the event at `place` of the window has rows that are not simply as expected.
    pub(crate) fn has_odd(&self, place: usize) -> bool {
        !self.odd.is_empty() && self.odd.contains_key(&(place as u32))
    }

    fn digest(&self) -> u64 {
        let word = |place: usize| mix(mix(u64::from(self.window.stream.0)) ^ (self.window.seqs.start + place as u64));
        let found = self.plain.iter().enumerate().filter(|(_, (timestamp, _))| *timestamp != NO_ROW);
        let plain = found.map(|(place, (timestamp, _))| {
            word(place) ^ mix(plain_key(*timestamp)).wrapping_add(u64::from(self.shard(place)))
        });
        // Shards answer in any order, so that of an event's rows says nothing.
        let text = |row: &FoundRow| {
            let text = serde_json::to_vec(row).unwrap_or_default();
            text.iter().fold(1, |hash, byte| mix(hash ^ u64::from(*byte)))
        };
        let odd =
            self.odd.iter().map(|(place, rows)| rows.iter().map(text).fold(word(*place as usize), u64::wrapping_add));
        plain.chain(odd).fold(0, |sum, word| sum.wrapping_add(mix(word)))
    }
}

/// Puts `row` among the rows that stay; returns how many rows merges will remove for it.
fn merge_into(rows: &mut Vec<FoundRow>, row: FoundRow) -> u64 {
    match rows.iter_mut().find(|other| (other.key, other.shard) == (row.key, row.shard)) {
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
    use uuid::Uuid;

    use super::*;
    use crate::{
        oracle::{dialect::Dialect, row::expect},
        reconcile::example::{differing_row as differing, plain_row as plain, workload},
    };

    const STREAM: StreamId = StreamId(0);
    const DAY: i64 = 86_400_000_000;

    fn window() -> Window {
        Window { stream: STREAM, seqs: 0..10 }
    }

    fn found(rows: &[FoundRow]) -> FinalRead {
        let mut read = FinalRead::begin(window(), Summary::default());
        for row in rows {
            read.put(STREAM, 5, row.clone());
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
            assert!(read.is_visible(STREAM, 5) && !read.is_visible(STREAM, 4));
        }
        let of = |rows: &[FoundRow]| found(rows).plain_row(STREAM, 5).map(|row| row.timestamp_micros - DAY);
        let at = |micros, version| FoundRow::plain(DAY + micros, version);
        assert_eq!(of(&[at(3, 1), at(4, 2)]), Some(4), "the row of the greatest version");
        assert_eq!(of(&[at(4, 2), at(3, 1)]), Some(4));
        assert_eq!(of(&[at(3, 1), at(4, 1)]), Some(4), "the later of equals");
        assert_eq!((of(&[]), of(&[plain(1, 1), plain(2, 1)])), (None, None));
    }

    #[test]
    fn rows_in_two_shards_stay_two_rows() {
        let (one, two) = (plain(1, 1).in_shard(1), plain(1, 1).in_shard(2));
        let both = found(&[one.clone(), two.clone()]);
        assert_eq!((both.odd_rows(STREAM, 5), both.pending_merge_rows), (&[one.clone(), two.clone()][..], 0));
        let merged = found(&[one.clone(), plain(1, 2).in_shard(1)]);
        assert_eq!((merged.odd_rows(STREAM, 5), merged.pending_merge_rows), (&[][..], 1));
        assert_eq!(merged.plain_row(STREAM, 5), Some(plain(1, 2).in_shard(1)));
        let differs = differing(1, 2).in_shard(2);
        let read = found(&[one.clone(), differs.clone(), two.clone(), one.clone()]);
        assert_eq!((read.odd_rows(STREAM, 5), read.pending_merge_rows), (&[one.clone(), differs][..], 2));
        let digest = |rows: &[FoundRow]| found(rows).digest();
        assert_eq!(digest(&[one.clone(), two.clone()]), digest(&[two.clone(), one.clone()]), "whoever answers first");
        assert_ne!(digest(std::slice::from_ref(&one)), digest(std::slice::from_ref(&two)));
        assert_ne!(digest(std::slice::from_ref(&one)), digest(&[one.clone(), two]));
    }

    #[test]
    fn merges_do_not_change_the_digest_and_everything_else_does() {
        let digest = |rows: &[FoundRow]| found(rows).digest();
        assert_eq!(digest(&[plain(1, 1), plain(1, 1)]), digest(&[plain(1, 1)]));
        assert_ne!(digest(&[plain(1, 1), plain(2, 1)]), digest(&[plain(1, 1)]));
        assert_ne!(digest(&[differing(1, 1)]), digest(&[plain(1, 1)]));
        assert_ne!(digest(&[plain(2, 1)]), digest(&[plain(1, 1)]));
        assert_ne!(digest(&[]), digest(&[plain(1, 1)]));
        // One that goes and another that comes are no two reads that say the same.
        for row in [plain(1, 1), differing(1, 1)] {
            let at = |stream, seq| {
                let mut read = FinalRead::begin(Window { stream, seqs: 0..10 }, Summary::default());
                read.put(stream, seq, row.clone());
                read.digest()
            };
            let digests: std::collections::BTreeSet<u64> = (0..10).map(|seq| at(STREAM, seq)).collect();
            assert_eq!(digests.len(), 10, "{row:?}");
            assert!(!digests.contains(&at(StreamId(1), 5)), "{row:?}");
        }
    }

    #[test]
    fn the_key_is_the_engines_sorting_key() {
        let workload = workload(4);
        let event = generators::event::EventSource::event(&workload, STREAM, 3).unwrap();
        let expectation = expect(Dialect::V2026, &event, 1, &[], 0);
        let right = Row { timestamp_micros: 5 * DAY, ..expect(Dialect::V2026, &event, 1, &[], 0).fulfilled().unwrap() };
        let judged = |change: fn(&mut Row)| {
            let mut row = right.clone();
            change(&mut row);
            judge_row(&row, &expectation, 1)
        };
        let same = judged(|_| ());
        assert_eq!(same, FoundRow::plain(5 * DAY, right.version));
        assert_eq!(judged(|row| row.timestamp_micros += DAY - 1).key, same.key, "the same day");
        assert_eq!(judged(|row| row.properties = "{}".into()).key, same.key);
        assert_eq!(judged(|row| row.person_id = Uuid::nil()).key, same.key);
        let others: [fn(&mut Row); 5] = [
            |row| row.timestamp_micros += DAY,
            |row| row.event.push('f'),
            |row| row.distinct_id.push('f'),
            |row| row.team_id = 2,
            |row| row.uuid = Uuid::max(),
        ];
        let mut keys: Vec<u64> = others.into_iter().map(|change| judged(change).key).chain([same.key]).collect();
        let moved = judged(|row| {
            row.team_id = 2;
            row.timestamp_micros += DAY;
        });
        assert!(moved.misrouted && !same.misrouted);
        keys.push(moved.key);
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 7, "each is another row");
    }
}
