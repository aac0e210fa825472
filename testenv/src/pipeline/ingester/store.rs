//! The person store: SQLite, with the consumer's offsets in the same transaction.
//!
//! What was processed is thereby processed once, however the ingester ends. `synchronous = NORMAL` with a write-ahead log
//! survives the death of the process; only that of the machine could lose the latest transactions, and then Kafka's own
//! unflushed pages are gone with them.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use uuid::Uuid;

use super::{
    aside,
    event::Properties,
    group::{Group, GroupKey, KnownGroups},
    groups::KnownTypes,
    held,
    person::{Changes, Id, Known, Person, SharedProperties},
    turn::{ATTEMPT_AFTER, Turn},
};

/// The store could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused.
    #[error("the person store failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The file beside it could not be used.
    #[error("the file beside the person store failed: {0}")]
    Turn(#[from] io::Error),
    /// A stored value cannot be read back.
    #[error("the person store holds something that cannot be read: {0}")]
    Damaged(String),
}

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS persons (
        team INTEGER NOT NULL, id BLOB NOT NULL, created_at_ms INTEGER NOT NULL, properties TEXT NOT NULL,
        is_identified INTEGER NOT NULL, is_deleted INTEGER NOT NULL, version INTEGER NOT NULL,
        PRIMARY KEY (team, id)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS distinct_ids (
        team INTEGER NOT NULL, distinct_id TEXT NOT NULL, person BLOB, version INTEGER NOT NULL,
        PRIMARY KEY (team, distinct_id)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS distinct_ids_of_person ON distinct_ids (team, person);
    CREATE TABLE IF NOT EXISTS group_types (
        team INTEGER NOT NULL, kind TEXT NOT NULL, place INTEGER NOT NULL,
        PRIMARY KEY (team, kind)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS groups (
        team INTEGER NOT NULL, place INTEGER NOT NULL, key TEXT NOT NULL, created_at_ms INTEGER NOT NULL,
        properties TEXT NOT NULL, version INTEGER NOT NULL,
        PRIMARY KEY (team, place, key)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS offsets (
        topic TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL,
        PRIMARY KEY (topic, partition)
    ) WITHOUT ROWID;
";

/// An open person store.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    /// SQLite's count of what others have committed, as it was last seen.
    data_version: i64,
    turn: Turn,
}

/// By topic and partition: the offset after the last message that was processed.
pub type Offsets = BTreeMap<(String, i32), i64>;

/// Another ingester that stands still may hold the store for so long.
const BUSY: Duration = Duration::from_mins(5);

impl Store {
    /// Opens the store at `path`, and makes it if there is none.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        connection.execute_batch(SCHEMA)?;
        connection.execute_batch(aside::SCHEMA)?;
        connection.execute_batch(held::SCHEMA)?;
        Ok(Self { connection, data_version: 0, turn: Turn::beside(path)? })
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Takes the store for this ingester alone, until [`Store::write`]; whether others have written to it since the last
    /// time, so that what is remembered of it may be wrong.
    ///
    /// # Errors
    /// When SQLite refuses, or others hold it for too long.
    pub fn begin(&mut self) -> Result<bool, StoreError> {
        if !self.try_begin()? {
            let deadline = Instant::now() + BUSY;
            self.turn.wait()?;
            let begun = loop {
                std::thread::sleep(ATTEMPT_AFTER);
                match self.try_begin() {
                    Ok(false) if Instant::now() < deadline => (),
                    begun => break begun,
                }
            };
            self.turn.have()?;
            if !begun? {
                // SQLite says it in its own words.
                self.connection.execute_batch("BEGIN IMMEDIATE")?;
            }
        }
        let data_version = self.connection.pragma_query_value(None, "data_version", |row| row.get(0))?;
        let before = std::mem::replace(&mut self.data_version, data_version);
        Ok(before != data_version)
    }

    /// Takes the store, unless another one has it.
    fn try_begin(&self) -> Result<bool, StoreError> {
        self.connection.busy_timeout(Duration::ZERO)?;
        let begun = self.connection.execute_batch("BEGIN IMMEDIATE");
        self.connection.busy_timeout(BUSY)?;
        match begun {
            Ok(()) => Ok(true),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The offset after the last message that was processed.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn next_offset(&self, topic: &str, partition: i32) -> Result<Option<i64>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT next FROM offsets WHERE topic = ? AND partition = ?")?;
        Ok(statement.query_row(params![topic, partition], |row| row.get(0)).optional()?)
    }

    /// Writes what changed, and the offsets after the messages that changed it, together with all since
    /// [`Store::begin`], and leaves the store to others.
    ///
    /// # Errors
    /// When SQLite refuses; then nothing was written.
    pub fn write(&mut self, changes: &Changes, next: &Offsets) -> Result<(), StoreError> {
        {
            let mut person =
                self.connection.prepare_cached("INSERT OR REPLACE INTO persons VALUES (?, ?, ?, ?, ?, ?, ?)")?;
            for ((team, id), value) in &changes.persons {
                person.execute(params![
                    team,
                    id.as_bytes(),
                    value.created_at.as_millisecond(),
                    value.properties.text(),
                    value.is_identified,
                    value.is_deleted,
                    i64::try_from(value.version).unwrap_or(i64::MAX),
                ])?;
            }
            let mut id = self.connection.prepare_cached("INSERT OR REPLACE INTO distinct_ids VALUES (?, ?, ?, ?)")?;
            for ((team, distinct_id), value) in &changes.ids {
                id.execute(params![team, distinct_id, value.person.map(Uuid::into_bytes), value.version])?;
            }
            let mut group =
                self.connection.prepare_cached("INSERT OR REPLACE INTO groups VALUES (?, ?, ?, ?, ?, ?)")?;
            for ((team, place, key), value) in &changes.groups {
                group.execute(params![
                    team,
                    place,
                    key,
                    value.created_at.as_millisecond(),
                    value.properties.text(),
                    i64::try_from(value.version).unwrap_or(i64::MAX),
                ])?;
            }
            let mut offset = self.connection.prepare_cached("INSERT OR REPLACE INTO offsets VALUES (?, ?, ?)")?;
            for ((topic, partition), next) in next {
                offset.execute(params![topic, partition, next])?;
            }
        }
        self.connection.execute_batch("COMMIT")?;
        Ok(self.turn.give()?)
    }
}

fn uuid(bytes: &[u8]) -> Result<Uuid, StoreError> {
    Uuid::from_slice(bytes).map_err(|error| StoreError::Damaged(error.to_string()))
}

fn moment(millisecond: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(millisecond).map_err(|error| StoreError::Damaged(error.to_string()))
}

fn shared(properties: &str) -> Result<SharedProperties, StoreError> {
    let properties = serde_json::from_str::<Properties>(properties);
    Ok(properties.map_err(|error| StoreError::Damaged(error.to_string()))?.into())
}

impl Known for Store {
    type Error = StoreError;

    fn id(&mut self, team: i64, distinct_id: &str) -> Result<Option<Id>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT person, version FROM distinct_ids WHERE team = ? AND distinct_id = ?")?;
        let found: Option<(Option<Vec<u8>>, i64)> =
            statement.query_row(params![team, distinct_id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        found.map(|(person, version)| Ok(Id { person: person.as_deref().map(uuid).transpose()?, version })).transpose()
    }

    fn person(&mut self, team: i64, person: Uuid) -> Result<Option<Person>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT created_at_ms, properties, is_identified, is_deleted, version FROM persons WHERE team = ? AND id = ?",
        )?;
        let found: Option<(i64, String, bool, bool, i64)> = statement
            .query_row(params![team, person.as_bytes()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            })
            .optional()?;
        found
            .map(|(created_at_ms, properties, is_identified, is_deleted, version)| {
                Ok(Person {
                    created_at: moment(created_at_ms)?,
                    properties: shared(&properties)?,
                    is_identified,
                    is_deleted,
                    version: version.unsigned_abs(),
                })
            })
            .transpose()
    }

    fn ids_of(&mut self, team: i64, person: Uuid) -> Result<Vec<String>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT distinct_id FROM distinct_ids WHERE team = ? AND person = ?")?;
        let ids = statement.query_map(params![team, person.as_bytes()], |row| row.get(0))?;
        Ok(ids.collect::<Result<_, _>>()?)
    }
}

impl KnownGroups for Store {
    type Error = StoreError;

    fn group(&mut self, (team, place, key): &GroupKey) -> Result<Option<Group>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT created_at_ms, properties, version FROM groups WHERE team = ? AND place = ? AND key = ?",
        )?;
        let found: Option<(i64, String, i64)> = statement
            .query_row(params![team, place, key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        found
            .map(|(created_at_ms, properties, version)| {
                Ok(Group {
                    created_at: moment(created_at_ms)?,
                    properties: shared(&properties)?,
                    version: version.unsigned_abs(),
                })
            })
            .transpose()
    }
}

impl KnownTypes for Store {
    type Error = StoreError;

    fn index(&mut self, team: i64, kind: &str, most: i64) -> Result<Option<i64>, StoreError> {
        let mut known = self.connection.prepare_cached("SELECT place FROM group_types WHERE team = ? AND kind = ?")?;
        if let Some(index) = known.query_row(params![team, kind], |row| row.get(0)).optional()? {
            return Ok(Some(index));
        }
        let mut count = self.connection.prepare_cached("SELECT count(*) FROM group_types WHERE team = ?")?;
        let index: i64 = count.query_row(params![team], |row| row.get(0))?;
        if index >= most {
            return Ok(None);
        }
        self.connection
            .prepare_cached("INSERT INTO group_types VALUES (?, ?, ?)")?
            .execute(params![team, kind, index])?;
        Ok(Some(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_comes_back_with_its_offsets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("persons.sqlite");
        let (team, person) = (2, Uuid::from_u128(7));
        let properties: Properties = serde_json::from_str(r#"{"n":1.50}"#).unwrap();
        let value = Person {
            created_at: Timestamp::from_millisecond(1_780_000_000_123).unwrap(),
            properties: properties.into(),
            is_identified: true,
            is_deleted: false,
            version: 3,
        };
        let changes = Changes {
            persons: vec![((team, person), value)],
            ids: vec![
                ((team, "u".into()), Id { person: Some(person), version: 1 }),
                ((team, "p".into()), Id { person: None, version: 0 }),
            ],
            groups: Vec::new(),
        };
        let mut writer = Store::open(&path).unwrap();
        writer.begin().unwrap();
        writer.write(&changes, &[(("t".into(), 0), 10), (("t".into(), 3), 7)].into()).unwrap();
        let mut store = Store::open(&path).unwrap();
        assert_eq!(store.id(team, "u").unwrap(), Some(Id { person: Some(person), version: 1 }));
        assert_eq!(store.id(team, "p").unwrap(), Some(Id { person: None, version: 0 }));
        assert_eq!(store.id(3, "u").unwrap(), None);
        let found = store.person(team, person).unwrap().unwrap();
        assert_eq!(found.properties["n"].get(), "1.50");
        assert_eq!((found.version, found.created_at.as_millisecond()), (3, 1_780_000_000_123));
        assert_eq!(store.ids_of(team, person).unwrap(), ["u"]);
        assert_eq!((store.next_offset("t", 3).unwrap(), store.next_offset("t", 1).unwrap()), (Some(7), None));
    }

    /// However busy the machine is: of so many chances one is enough.
    #[test]
    fn who_waits_has_its_turn() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("persons.sqlite");
        let (mut busy, mut waiting) = (Store::open(&path).unwrap(), Store::open(&path).unwrap());
        let had_its_turn = AtomicBool::new(false);
        let next = [(("t".into(), 0), 1)].into();
        let in_time = std::thread::scope(|scope| {
            busy.begin().unwrap();
            scope.spawn(|| {
                waiting.begin().unwrap();
                had_its_turn.store(true, Ordering::Relaxed);
                waiting.write(&Changes::default(), &next).unwrap();
            });
            let in_time = (0..400).any(|_| {
                // A batch is produced meanwhile.
                std::thread::sleep(Duration::from_millis(5));
                busy.write(&Changes::default(), &next).unwrap();
                let turned = had_its_turn.load(Ordering::Relaxed);
                busy.begin().unwrap();
                turned
            });
            busy.write(&Changes::default(), &next).unwrap();
            in_time
        });
        assert!(in_time, "it waits in vain");
    }

    #[test]
    fn who_comes_back_hears_that_others_have_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("persons.sqlite");
        let (mut one, mut other) = (Store::open(&path).unwrap(), Store::open(&path).unwrap());
        let writes = |store: &mut Store, next| {
            let others_wrote = store.begin().unwrap();
            store.write(&Changes::default(), &[(("t".into(), 0), next)].into()).unwrap();
            others_wrote
        };
        writes(&mut one, 1);
        assert!(!writes(&mut one, 2), "only its own");
        writes(&mut other, 3);
        assert!(!writes(&mut other, 4));
        assert!(writes(&mut one, 5));
        assert_eq!(other.next_offset("t", 0).unwrap(), Some(5));
        // What was begun and never written is as if it had not been.
        other.begin().unwrap();
        assert_eq!(other.index(1, "company", 5).unwrap(), Some(0));
        drop(other);
        assert!(!writes(&mut one, 6));
        one.begin().unwrap();
        assert_eq!(one.index(1, "team", 5).unwrap(), Some(0));
    }
}
