//! `commit_before_process`: messages whose offsets are committed, and that wait to be processed.
//!
//! They stand in a queue between poll and work, as in a consumer that commits automatically. Who is killed loses them; who is
//! asked to end processes them first. The store has their uuids, so that whoever is started again can say what was lost; it
//! has nothing else of them.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use rdkafka::{
    Message,
    message::{BorrowedMessage, OwnedMessage},
};
use rusqlite::params;

use super::store::{Store, StoreError};
use crate::pipeline::{
    captured::CapturedEvent,
    defect::{DefectName, PlantedDefect},
    settings::log,
};

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS held (
        owner TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, kafka_offset INTEGER NOT NULL,
        uuid TEXT NOT NULL,
        PRIMARY KEY (owner, topic, partition, kafka_offset)
    ) WITHOUT ROWID;
";

/// So long a message waits, unless others push it on.
const WAITS: Duration = Duration::from_secs(1);

/// The messages that one ingester holds.
#[derive(Debug)]
pub(super) struct Held {
    /// What the ingester is called, by which it finds its own again.
    owner: String,
    /// With more than so many, the first ones are processed.
    most: usize,
    queue: VecDeque<(Instant, OwnedMessage)>,
}

impl Held {
    /// None, unless the defect is among those planted. What `owner` held when it was killed is lost, and told.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub(super) fn new(defects: &[PlantedDefect], owner: String, store: &Store) -> Result<Option<Self>, StoreError> {
        let Some(defect) = defects.iter().find(|defect| defect.name == DefectName::CommitBeforeProcess) else {
            return Ok(None);
        };
        for uuid in store.take_held(&owner)? {
            log(&format!("planted {} in {uuid}", defect.name.defect().word));
        }
        let most = usize::try_from(defect.count).unwrap_or(usize::MAX);
        Ok(Some(Self { owner, most, queue: VecDeque::new() }))
    }

    /// Takes a message in, to be processed later.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub(super) fn take(&mut self, store: &Store, message: &BorrowedMessage<'_>) -> Result<(), StoreError> {
        // One that cannot be read is no event.
        if let Ok(event) = serde_json::from_slice::<CapturedEvent<'_>>(message.payload().unwrap_or_default()) {
            store.hold(&self.owner, message, &event.uuid)?;
        }
        self.queue.push_back((Instant::now(), message.detach()));
        Ok(())
    }

    /// Whether messages are to be processed now; all of them, if the ingester `ends`.
    pub(super) fn has_due(&self, ends: bool) -> bool {
        self.queue.len() > self.most || self.queue.front().is_some_and(|(since, _)| ends || since.elapsed() >= WAITS)
    }

    /// Gives out the messages that are to be processed now, in their order.
    pub(super) fn release(&mut self, ends: bool) -> Vec<OwnedMessage> {
        let mut due = Vec::new();
        while self.has_due(ends) {
            due.extend(self.queue.pop_front().map(|(_, message)| message));
        }
        due
    }

    /// Notes that these were processed.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub(super) fn forget(&self, store: &Store, messages: &[OwnedMessage]) -> Result<(), StoreError> {
        messages.iter().try_for_each(|message| store.let_go(&self.owner, message))
    }
}

impl Store {
    fn hold(&self, owner: &str, message: &impl Message, uuid: &str) -> Result<(), StoreError> {
        let mut insert = self.connection().prepare_cached("INSERT OR REPLACE INTO held VALUES (?, ?, ?, ?, ?)")?;
        insert.execute(params![owner, message.topic(), message.partition(), message.offset(), uuid])?;
        Ok(())
    }

    fn let_go(&self, owner: &str, message: &impl Message) -> Result<(), StoreError> {
        let mut delete = self
            .connection()
            .prepare_cached("DELETE FROM held WHERE owner = ? AND topic = ? AND partition = ? AND kafka_offset = ?")?;
        delete.execute(params![owner, message.topic(), message.partition(), message.offset()])?;
        Ok(())
    }

    /// The uuids of what `owner` held when it ended, which it holds no more.
    fn take_held(&self, owner: &str) -> Result<Vec<String>, StoreError> {
        let mut taken = self.connection().prepare_cached("DELETE FROM held WHERE owner = ? RETURNING uuid")?;
        let uuids = taken.query_map(params![owner], |row| row.get(0))?;
        Ok(uuids.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp;

    use super::*;

    fn message(offset: i64) -> OwnedMessage {
        OwnedMessage::new(None, None, "t".into(), Timestamp::NotAvailable, 0, offset, None)
    }

    fn offsets(messages: &[OwnedMessage]) -> Vec<i64> {
        messages.iter().map(Message::offset).collect()
    }

    #[test]
    fn the_last_ones_wait_until_others_push_them_on_or_the_ingester_ends() {
        let mut held = Held { owner: "i".into(), most: 3, queue: VecDeque::new() };
        held.queue.extend((0..5).map(|offset| (Instant::now() + WAITS, message(offset))));
        assert_eq!(offsets(&held.release(false)), [0, 1]);
        assert!(!held.has_due(false) && held.has_due(true));
        assert_eq!(offsets(&held.release(true)), [2, 3, 4]);
        assert!(!held.has_due(true), "nothing is left");
        let long_ago = Instant::now().checked_sub(WAITS).unwrap();
        held.queue.extend([(long_ago, message(5)), (Instant::now() + WAITS, message(6))]);
        assert_eq!(offsets(&held.release(false)), [5]);
    }

    #[test]
    fn what_was_held_and_not_processed_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("persons.sqlite");
        let store = Store::open(&path).unwrap();
        let held = Held { owner: "i".into(), most: 3, queue: VecDeque::new() };
        for offset in 0..3 {
            store.hold("i", &message(offset), &format!("uuid {offset}")).unwrap();
        }
        store.hold("another", &message(9), "another's").unwrap();
        held.forget(&store, &[message(1)]).unwrap();
        let store = Store::open(&path).unwrap();
        assert_eq!(store.take_held("i").unwrap(), ["uuid 0", "uuid 2"]);
        assert_eq!(store.take_held("i").unwrap(), Vec::<String>::new());
        assert_eq!(store.take_held("another").unwrap(), ["another's"]);
    }
}
