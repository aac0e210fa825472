//! Messages set aside: those whose plugins take their time wait in the store, and hold up nobody else's.
//!
//! They are written together with the offsets after them, so that one is processed once, however the ingester ends; whoever
//! has the store when one is due goes on with it. A later message of the same distinct id waits behind it.

use jiff::Timestamp;
use rusqlite::params;

use super::store::{Store, StoreError};

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS aside (
        number INTEGER PRIMARY KEY AUTOINCREMENT, due_ms INTEGER NOT NULL, team INTEGER NOT NULL, distinct_id TEXT NOT NULL,
        topic TEXT NOT NULL, partition INTEGER NOT NULL, kafka_offset INTEGER NOT NULL, key BLOB NOT NULL,
        payload BLOB NOT NULL, forbids_person INTEGER NOT NULL
    );
    CREATE INDEX IF NOT EXISTS aside_due ON aside (due_ms, number);
    CREATE INDEX IF NOT EXISTS aside_of ON aside (team, distinct_id);
";

/// A message of the capture topic, as far as it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Where it is from.
    pub topic: &'a str,
    /// Its partition there.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its key.
    pub key: &'a [u8],
    /// What it holds.
    pub payload: &'a [u8],
    /// Whether capture forbids that a person comes of it.
    pub forbids_person: bool,
    /// Whether it was set aside before.
    pub has_waited: bool,
}

/// A message that was set aside.
#[derive(Debug, PartialEq, Eq)]
pub struct Waited {
    topic: String,
    partition: i32,
    offset: i64,
    key: Vec<u8>,
    payload: Vec<u8>,
    forbids_person: bool,
}

impl Waited {
    /// The message.
    pub fn view(&self) -> Message<'_> {
        Message {
            topic: &self.topic,
            partition: self.partition,
            offset: self.offset,
            key: &self.key,
            payload: &self.payload,
            forbids_person: self.forbids_person,
            has_waited: true,
        }
    }
}

impl Store {
    /// Sets a message of this team and distinct id aside until `due`, and behind those of the same that wait already.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn set_aside(
        &self,
        (team, distinct_id): (i64, &str),
        due: Timestamp,
        message: &Message<'_>,
    ) -> Result<(), StoreError> {
        let mut insert = self.connection().prepare_cached(
            "INSERT INTO aside (due_ms, team, distinct_id, topic, partition, kafka_offset, key, payload, forbids_person)
             SELECT max(?1, coalesce((SELECT max(due_ms) FROM aside WHERE team = ?2 AND distinct_id = ?3), 0)),
                    ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9",
        )?;
        let Message { topic, partition, offset, key, payload, forbids_person, .. } = message;
        let due = due.as_millisecond();
        insert.execute(params![due, team, distinct_id, topic, partition, offset, key, payload, forbids_person])?;
        Ok(())
    }

    /// Whether a message of this team and distinct id waits.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn has_aside(&self, (team, distinct_id): (i64, &str)) -> Result<bool, StoreError> {
        let mut exists = self
            .connection()
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM aside WHERE team = ? AND distinct_id = ?)")?;
        Ok(exists.query_row(params![team, distinct_id], |row| row.get(0))?)
    }

    /// Whether a message is due by `now`.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn is_due(&self, now: Timestamp) -> Result<bool, StoreError> {
        let mut exists = self.connection().prepare_cached("SELECT EXISTS (SELECT 1 FROM aside WHERE due_ms <= ?)")?;
        Ok(exists.query_row(params![now.as_millisecond()], |row| row.get(0))?)
    }

    /// Takes up to `most` messages that are due by `now`, the earliest first.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn take_due(&self, now: Timestamp, most: usize) -> Result<Vec<Waited>, StoreError> {
        let mut due = self.connection().prepare_cached(
            "SELECT number, topic, partition, kafka_offset, key, payload, forbids_person FROM aside
             WHERE due_ms <= ? ORDER BY due_ms, number LIMIT ?",
        )?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = due.query_map(params![now.as_millisecond(), most], |row| {
            let waited = Waited {
                topic: row.get(1)?,
                partition: row.get(2)?,
                offset: row.get(3)?,
                key: row.get(4)?,
                payload: row.get(5)?,
                forbids_person: row.get(6)?,
            };
            Ok((row.get(0)?, waited))
        })?;
        let rows: Vec<(i64, Waited)> = rows.collect::<Result<_, _>>()?;
        let mut delete = self.connection().prepare_cached("DELETE FROM aside WHERE number = ?")?;
        rows.into_iter()
            .map(|(number, waited)| {
                delete.execute(params![number])?;
                Ok(waited)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::ingester::{person::Changes, store::Offsets};

    fn message(offset: i64) -> Message<'static> {
        let (key, payload) = (b"k".as_slice(), b"p".as_slice());
        Message { topic: "t", partition: 3, offset, key, payload, forbids_person: true, has_waited: false }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn what_was_set_aside_comes_back_when_it_is_due_in_the_order_of_its_distinct_id() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("persons.sqlite");
        let mut store = Store::open(&path).unwrap();
        store.begin().unwrap();
        for (id, due, offset) in [("a", 10, 0), ("b", 8, 1), ("a", 5, 2), ("a", 11, 3)] {
            store.set_aside((1, id), at(due), &message(offset)).unwrap();
        }
        store.write(&Changes::default(), &Offsets::new()).unwrap();
        let due = |store: &Store, now| {
            let due = store.take_due(at(now), 10).unwrap();
            due.iter().map(|waited| waited.view().offset).collect::<Vec<_>>()
        };
        // As another ingester sees it.
        let mut store = Store::open(&path).unwrap();
        assert!(!store.is_due(at(7)).unwrap() && store.is_due(at(8)).unwrap());
        assert!(store.has_aside((1, "a")).unwrap() && !store.has_aside((2, "a")).unwrap());
        store.begin().unwrap();
        assert_eq!(due(&store, 9), [1]);
        assert_eq!(due(&store, 10), [0, 2], "the second waits behind the first");
        drop(store);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.take_due(at(99), 2).unwrap().len(), 2, "what was never written is as it was");
        let last = store.take_due(at(99), 9).unwrap();
        assert_eq!(last[1].view(), Message { has_waited: true, ..message(3) });
        assert!(!store.has_aside((1, "a")).unwrap());
    }
}
