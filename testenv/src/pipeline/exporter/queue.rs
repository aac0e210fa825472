//! Batches on their way to a webhook: which is due, which is tried again and when, and up to where offsets may be committed.
//!
//! A batch that fails waits by itself, and others go on. Offsets are committed only up to the first message that is still in a
//! batch, so that whatever was not delivered is read again by whoever comes after. No clock: moments are handed in.

use std::{collections::BTreeMap, time::Duration};

/// A batch is tried again so often (ingestion contract, section 4), and dropped then.
pub const RETRIES: u32 = 15;

/// A moment, from the exporter's start.
pub type Moment = Duration;

/// An event to be delivered: its uuid, and what is delivered of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its uuid.
    pub uuid: String,
    /// Its JSON text.
    pub json: String,
}

/// Events of one plugin that are delivered together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// The events.
    pub events: Vec<Outgoing>,
    /// In each partition the first of the messages that they came in.
    first: BTreeMap<i32, i64>,
}

impl Batch {
    /// Adds an event that came in that message; messages of a partition come in their order.
    pub fn add(&mut self, partition: i32, offset: i64, event: Outgoing) {
        self.first.entry(partition).or_insert(offset);
        self.events.push(event);
    }
}

/// A batch that was taken to be delivered.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// Whose it is.
    pub plugin: String,
    /// What it holds.
    pub batch: Batch,
    /// How often it has been tried.
    pub tried: u32,
    number: u64,
}

/// What becomes of a batch that failed.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// It is tried again after so long.
    Again(Duration),
    /// It is given up.
    Dropped,
}

/// All batches that are neither delivered nor given up.
#[derive(Debug)]
pub struct Queue {
    back_off: Duration,
    waiting: BTreeMap<(Moment, u64), (String, Batch, u32)>,
    /// Where each batch began, also of those that were taken.
    open: BTreeMap<u64, BTreeMap<i32, i64>>,
    /// The message after the last that was read, in each partition.
    read: BTreeMap<i32, i64>,
    numbers: u64,
    events: usize,
}

impl Queue {
    /// An empty one, whose batches wait `back_off` · 2ⁿ⁺¹ before retry n, counted from 0.
    pub const fn new(back_off: Duration) -> Self {
        Self { back_off, waiting: BTreeMap::new(), open: BTreeMap::new(), read: BTreeMap::new(), numbers: 0, events: 0 }
    }

    /// Notes that a message was read; what it holds for plugins must be in batches before offsets are asked for.
    pub fn read(&mut self, partition: i32, offset: i64) {
        self.read.insert(partition, offset + 1);
    }

    /// Adds a batch, which is due at once; one without events is none.
    pub fn add(&mut self, plugin: &str, batch: Batch, now: Moment) {
        if batch.events.is_empty() {
            return;
        }
        self.numbers += 1;
        self.events += batch.events.len();
        self.open.insert(self.numbers, batch.first.clone());
        self.waiting.insert((now, self.numbers), (plugin.to_owned(), batch, 0));
    }

    /// Takes the batch that has been due for the longest.
    pub fn take_due(&mut self, now: Moment) -> Option<Taken> {
        let entry = self.waiting.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((_, number), (plugin, batch, tried)) = entry.remove_entry();
        Some(Taken { plugin, batch, tried, number })
    }

    /// Notes that a batch needs no further care: it was delivered, or given up.
    pub fn close(&mut self, taken: &Taken) {
        self.open.remove(&taken.number);
        self.events = self.events.saturating_sub(taken.batch.events.len());
    }

    /// Puts a batch that failed back, unless it was tried often enough.
    pub fn fail(&mut self, taken: Taken, now: Moment) -> Next {
        if taken.tried >= RETRIES {
            self.close(&taken);
            return Next::Dropped;
        }
        let wait = self.back_off.saturating_mul(2u32.saturating_pow(taken.tried + 1));
        let Taken { plugin, batch, tried, number } = taken;
        self.waiting.insert((now.saturating_add(wait), number), (plugin, batch, tried + 1));
        Next::Again(wait)
    }

    /// How many events are in batches.
    pub const fn events(&self) -> usize {
        self.events
    }

    /// For each partition the first message that is not done with: what may be committed.
    pub fn committable(&self) -> BTreeMap<i32, i64> {
        let mut offsets = self.read.clone();
        for (partition, first) in self.open.values().flatten() {
            offsets.entry(*partition).and_modify(|offset| *offset = (*first).min(*offset));
        }
        offsets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Moment {
        Duration::from_secs(seconds)
    }

    /// A queue that has read these offsets of partition 0, each in a batch of its own.
    fn queue(offsets: std::ops::Range<i64>) -> Queue {
        let mut queue = Queue::new(at(3));
        for offset in offsets {
            let mut batch = Batch::default();
            batch.add(0, offset, Outgoing { uuid: offset.to_string(), json: "{}".into() });
            queue.read(0, offset);
            queue.add("p", batch, at(0));
        }
        queue
    }

    #[test]
    fn what_fails_waits_ever_longer_and_is_dropped_after_fifteen_retries() {
        let mut queue = queue(0..1);
        let mut now = at(0);
        for retry in 0..RETRIES {
            let taken = queue.take_due(now).unwrap();
            assert_eq!(taken.tried, retry);
            let wait = at(3 * 2u64.pow(retry + 1));
            assert_eq!(queue.fail(taken, now), Next::Again(wait));
            assert_eq!(queue.take_due(now + wait.saturating_sub(Duration::from_millis(1))), None);
            now += wait;
            assert_eq!(queue.committable(), [(0, 0)].into(), "it may still have to be read again");
        }
        let last = queue.take_due(now).unwrap();
        assert_eq!(queue.fail(last, now), Next::Dropped);
        assert_eq!((queue.committable(), queue.events()), ([(0, 1)].into(), 0));
    }

    #[test]
    fn one_that_waits_holds_up_its_offsets_and_nobody_else() {
        let mut queue = queue(5..8);
        let first = queue.take_due(at(0)).unwrap();
        queue.fail(first, at(0));
        for _ in 0..2 {
            let taken = queue.take_due(at(0)).unwrap();
            queue.close(&taken);
        }
        assert_eq!((queue.take_due(at(5)), queue.events()), (None, 1));
        assert_eq!(queue.committable(), [(0, 5)].into());
        let again = queue.take_due(at(6)).unwrap();
        assert_eq!(again.batch.events[0].uuid, "5");
        assert_eq!(queue.committable(), [(0, 5)].into(), "it was taken, and not delivered yet");
        queue.close(&again);
        assert_eq!(queue.committable(), [(0, 8)].into());
    }

    #[test]
    fn messages_without_anything_to_deliver_are_done_with() {
        let mut queue = Queue::new(at(3));
        queue.read(0, 4);
        queue.read(1, 9);
        queue.add("p", Batch::default(), at(0));
        assert_eq!((queue.committable(), queue.take_due(at(9))), ([(0, 5), (1, 10)].into(), None));
    }

    #[test]
    fn a_batch_begins_with_its_first_message_of_each_partition() {
        let event = |uuid: &str| Outgoing { uuid: uuid.into(), json: "{}".into() };
        let mut batch = Batch::default();
        for (partition, offset) in [(0, 7), (1, 2), (0, 9), (1, 3)] {
            batch.add(partition, offset, event("e"));
        }
        let mut queue = Queue::new(at(3));
        for (partition, offset) in [(0, 10), (1, 3), (2, 1)] {
            queue.read(partition, offset);
        }
        queue.add("p", batch, at(0));
        assert_eq!(queue.committable(), [(0, 7), (1, 2), (2, 2)].into());
    }
}
