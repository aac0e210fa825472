//! Where each event was on its way: what the taps on Kafka's topics saw.
//!
//! An event that was lost was lost behind the last stage that had it; time-to-visible is the sum of the times between
//! stages. Kept in a [journal](generators::journal) while it happens, so that a stored run can be judged again.

use std::path::Path;

use generators::{
    identity::StreamId,
    journal::{Header, JournalReader, JournalWriter, Kind, ReadError, WriteError, put_varint, take_varint},
};
use serde::{Deserialize, Serialize};

use super::{
    spool::Spool,
    windows::{Window, Windows},
};

const KIND: Kind = Kind { magic: *b"ASSAYTAP", version: 1, name: "journal of stages" };

/// A topic that is tapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// What capture writes (`events_plugin_ingestion`).
    Capture,
    /// What the ingester could not process.
    DeadLetters,
    /// What the ingester writes for the events table (`clickhouse_events_json`).
    Events,
}

/// One message of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passage {
    /// In which topic.
    pub topic: Topic,
    /// The event's stream.
    pub stream: StreamId,
    /// Its sequence number there.
    pub seq: u64,
    /// The message's own time, in milliseconds from the run's start.
    pub at_ms: u32,
    /// Its partition.
    pub partition: u16,
    /// Its offset there.
    pub offset: u64,
}

/// The last stage that had an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// The client has the answer, and nothing behind capture has the event.
    #[serde(rename = "acked")]
    Acked,
    /// The topic that capture writes.
    #[serde(rename = "capture topic")]
    CaptureTopic,
    /// The topic of what the ingester could not process.
    #[serde(rename = "dead letters")]
    DeadLetters,
    /// The topic that the ingester writes.
    #[serde(rename = "ingester output")]
    IngesterOutput,
}

impl Stage {
    /// Its name in findings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acked => "acked",
            Self::CaptureTopic => "capture topic",
            Self::DeadLetters => "dead letters",
            Self::IngesterOutput => "ingester output",
        }
    }
}

/// What is known of one event; times are 1 + milliseconds, 0 for never.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    captured: u32,
    ingested: u32,
    offset: u32,
    partition: u16,
    dead: bool,
}

/// What the taps saw, sorted by window.
#[derive(Debug)]
pub struct StagesLog {
    spool: Spool,
    /// Messages that were no event of this run.
    pub strangers: u64,
    /// Whether the taps have read everything up to the end of the run.
    pub complete: bool,
}

impl StagesLog {
    /// Sorts the messages of the journal at `path` into `windows`; `folder` is where a temporary file may be.
    ///
    /// # Errors
    /// When the journal cannot be read or is damaged, or the temporary file cannot be written.
    pub fn sort(path: &Path, windows: &Windows, folder: &Path) -> Result<Self, ReadError> {
        let mut journal = JournalReader::open(path, KIND)?;
        let mut log = Self { spool: Spool::new(windows.len(), folder), strangers: 0, complete: false };
        while let Some(body) = journal.next().transpose()? {
            let mut rest = &body[..];
            while !rest.is_empty() {
                match take_entry(&mut rest).ok_or_else(|| journal.unknown())? {
                    Entered::Passage(passage) => {
                        if let Some(number) = windows.number(passage.stream, passage.seq) {
                            log.spool.append(number, &encode(&[passage]))?;
                        }
                    }
                    Entered::End { complete, strangers } => (log.complete, log.strangers) = (complete, strangers),
                }
            }
        }
        Ok(log)
    }

    /// What the taps saw of `window`, which is number `number`.
    ///
    /// # Errors
    /// When the temporary file cannot be read.
    pub fn window(&self, window: Window, number: usize) -> Result<Stages, ReadError> {
        let bytes = self.spool.part(number)?;
        let mut stages = Stages::new(window);
        let mut rest = &bytes[..];
        while let Some(Entered::Passage(passage)) = take_entry(&mut rest) {
            stages.add(&passage);
        }
        Ok(stages)
    }
}

/// What the taps saw of one window.
#[derive(Debug, Clone)]
pub struct Stages {
    window: Window,
    events: Vec<Entry>,
}

impl Stages {
    /// Nothing seen yet.
    pub fn new(window: Window) -> Self {
        Self { events: vec![Entry::default(); window.len()], window }
    }

    /// Adds a message; of several of one event in one topic the first counts.
    pub fn add(&mut self, passage: &Passage) {
        let Some(place) = self.window.place(passage.stream, passage.seq) else { return };
        let entry = &mut self.events[place];
        let at = passage.at_ms.saturating_add(1);
        match passage.topic {
            Topic::Capture if entry.captured == 0 => {
                entry.captured = at;
                entry.partition = passage.partition;
                entry.offset = u32::try_from(passage.offset).unwrap_or(u32::MAX);
            }
            Topic::Events if entry.ingested == 0 => entry.ingested = at,
            Topic::DeadLetters => entry.dead = true,
            Topic::Capture | Topic::Events => (),
        }
    }

    /// Whether the events at two places of the window passed the stages at the same times and in the same partition.
    pub(crate) fn are_alike(&self, one: usize, other: usize) -> bool {
        let of = |place: usize| self.events.get(place).map(|entry| (entry.captured, entry.ingested, entry.partition));
        of(one) == of(other)
    }

    fn entry(&self, stream: StreamId, seq: u64) -> Entry {
        self.window.place(stream, seq).map_or_else(Entry::default, |place| self.events[place])
    }

    /// The last stage that had the event.
    pub fn last(&self, stream: StreamId, seq: u64) -> Stage {
        match self.entry(stream, seq) {
            Entry { ingested: 1.., .. } => Stage::IngesterOutput,
            Entry { dead: true, .. } => Stage::DeadLetters,
            Entry { captured: 1.., .. } => Stage::CaptureTopic,
            Entry { .. } => Stage::Acked,
        }
    }

    /// Partition and offset of the event's first message in the capture topic.
    pub fn captured_at(&self, stream: StreamId, seq: u64) -> Option<(u16, u32)> {
        let entry = self.entry(stream, seq);
        (entry.captured > 0).then_some((entry.partition, entry.offset))
    }

    /// When the capture topic and the ingester's output had it, in seconds from the run's start.
    pub fn times(&self, stream: StreamId, seq: u64) -> (Option<f64>, Option<f64>) {
        let entry = self.entry(stream, seq);
        let seconds = |at: u32| at.checked_sub(1).map(|ms| f64::from(ms) / 1e3);
        (seconds(entry.captured), seconds(entry.ingested))
    }
}

/// One entry of the journal.
enum Entered {
    Passage(Passage),
    End { complete: bool, strangers: u64 },
}

/// Takes an entry from the front of `body`; `None` if there is none that this code wrote.
fn take_entry(body: &mut &[u8]) -> Option<Entered> {
    let topic = match take_varint(body)? {
        0 => Topic::Capture,
        1 => Topic::DeadLetters,
        2 => Topic::Events,
        END => return Some(Entered::End { complete: take_varint(body)? == 1, strangers: take_varint(body)? }),
        _ => return None,
    };
    let mut number = || take_varint(body);
    Some(Entered::Passage(Passage {
        topic,
        stream: StreamId(u16::try_from(number()?).ok()?),
        seq: number()?,
        at_ms: u32::try_from(number()?).ok()?,
        partition: u16::try_from(number()?).ok()?,
        offset: number()?,
    }))
}

const END: u64 = 3;

/// The journal of stages, open for writing.
#[derive(Debug)]
pub struct StagesWriter(JournalWriter);

impl StagesWriter {
    /// Creates the journal.
    ///
    /// # Errors
    /// When the file exists or cannot be created.
    pub fn create(path: &Path, header: Header) -> Result<Self, WriteError> {
        JournalWriter::create(path, KIND, header).map(Self)
    }

    /// Appends messages.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn append(&mut self, passages: &[Passage]) -> Result<(), WriteError> {
        self.0.append([encode(passages)])
    }

    /// Says how it ended: whether everything was read up to the end of the run, and how many messages were no event of it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn end(&mut self, complete: bool, strangers: u64) -> Result<(), WriteError> {
        let mut body = Vec::new();
        for number in [END, u64::from(complete), strangers] {
            put_varint(&mut body, number);
        }
        self.0.append([body])
    }
}

/// `{ topic stream seq at_ms partition offset }*`, all varint.
fn encode(passages: &[Passage]) -> Vec<u8> {
    let mut body = Vec::with_capacity(passages.len() * 12);
    for passage in passages {
        let topic = match passage.topic {
            Topic::Capture => 0,
            Topic::DeadLetters => 1,
            Topic::Events => 2,
        };
        let place = [topic, u64::from(passage.stream.0), passage.seq, u64::from(passage.at_ms)];
        for number in place.into_iter().chain([u64::from(passage.partition), passage.offset]) {
            put_varint(&mut body, number);
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use generators::{clock::RunStart, identity::RunId};
    use proptest::prelude::*;

    use super::*;
    use crate::reconcile::example::{whole, workload};

    fn passage(topic: Topic, seq: u64, at_ms: u32) -> Passage {
        Passage { topic, stream: StreamId(0), seq, at_ms, partition: 3, offset: 70 + seq }
    }

    #[test]
    fn the_last_stage_is_the_one_furthest_down() {
        let mut stages = Stages::new(whole(&workload(10)));
        for passage in [
            passage(Topic::Capture, 1, 10),
            passage(Topic::Capture, 2, 11),
            passage(Topic::DeadLetters, 2, 12),
            passage(Topic::Capture, 3, 13),
            passage(Topic::Events, 3, 14),
            passage(Topic::Capture, 3, 99),
            passage(Topic::Events, 3, 98),
        ] {
            stages.add(&passage);
        }
        let last = |seq| stages.last(StreamId(0), seq).name();
        assert_eq!([0, 1, 2, 3, 9].map(last), ["acked", "capture topic", "dead letters", "ingester output", "acked"]);
        assert_eq!(stages.captured_at(StreamId(0), 3), Some((3, 73)));
        assert_eq!(stages.captured_at(StreamId(0), 0), None);
        assert_eq!(stages.times(StreamId(0), 3), (Some(0.013), Some(0.014)), "a resend is not the first");
        assert_eq!(stages.times(StreamId(7), 3), (None, None));
    }

    #[test]
    fn the_journal_gives_them_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stages");
        let header = Header { run: RunId::new(1), start: RunStart::from_unix_micros(0) };
        let mut writer = StagesWriter::create(&path, header).unwrap();
        writer.append(&[passage(Topic::Capture, 5, 0), passage(Topic::Events, 5, 7)]).unwrap();
        let windows = Windows::of(&workload(10));
        let sorted = || StagesLog::sort(&path, &windows, folder.path()).unwrap();
        assert!(!sorted().complete, "it was not ended");
        writer.end(true, 4).unwrap();
        let log = sorted();
        assert_eq!((log.complete, log.strangers), (true, 4));
        let stages = log.window(whole(&workload(10)), 0).unwrap();
        assert_eq!(stages.times(StreamId(0), 5), (Some(0.0), Some(0.007)));
    }

    proptest! {
        #[test]
        fn messages_survive_the_journal(
            stream in 0u16..4, seq in 0u64..2_000, at_ms in 0u32..u32::MAX - 1, partition: u16, offset in 0u64..1 << 32,
        ) {
            let topic = [Topic::Capture, Topic::DeadLetters, Topic::Events][(seq % 3) as usize];
            let one = Passage { topic, stream: StreamId(stream), seq, at_ms, partition, offset };
            let bytes = encode(&[one]);
            let mut rest = &bytes[..];
            let restored = take_entry(&mut rest);
            prop_assert!(matches!(restored, Some(Entered::Passage(restored)) if restored == one) && rest.is_empty());
        }
    }
}
