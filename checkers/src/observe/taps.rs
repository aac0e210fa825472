//! Taps on Kafka's topics: which events passed, without joining anybody's consumer group.
//!
//! A thread of its own assigns itself all partitions from where they ended when it started, and notes each message of the
//! run. It never subscribes and never commits, so the subject does not know of it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use generators::{
    clock::RunStart,
    identity::{EventId, MARKER_PROPERTY, RunId},
    journal::WriteError,
};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::Headers,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{ObserveError, kafka::KafkaAccess};
use crate::reconcile::stages::{Passage, StagesWriter, Topic};

const TIME_OUT: Duration = Duration::from_secs(10);
/// Messages are noted in the journal so many at once.
const BATCH: usize = 2_000;
/// How long the taps may take to reach the end of the topics once the run is over.
const CATCH_UP: Duration = Duration::from_secs(10);

/// What is tapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TappedTopics {
    /// What capture writes.
    pub capture: Vec<String>,
    /// What the ingester could not process; empty where there is no such topic.
    pub dead_letters: String,
    /// What the ingester writes for the events table.
    pub events: String,
}

/// Running taps.
#[derive(Debug)]
pub struct Taps {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), WriteError>>,
}

impl Taps {
    /// Starts to tap `topics` at `kafka` for the events of `run`. Blocks until the assignment is made.
    ///
    /// # Errors
    /// When Kafka cannot be asked for the topics.
    pub fn start(
        kafka: &KafkaAccess,
        topics: &TappedTopics,
        (run, start): (RunId, RunStart),
        journal: StagesWriter,
    ) -> Result<Self, ObserveError> {
        let client = || {
            kafka
                .config()
                // The library wants a name; nothing is ever committed under it.
                .set("group.id", format!("assay-taps-{run}"))
                .set("enable.auto.commit", "false")
                .set("enable.auto.offset.store", "false")
                // Messages say themselves when they were written, so it may read many at a time.
                .set("fetch.wait.max.ms", "500")
                .set("fetch.min.bytes", "524288")
                .create::<BaseConsumer>()
        };
        // On one connection a question would wait behind every fetch that waits for data.
        let (consumer, asking) = (client()?, client()?);
        let mut names: HashMap<String, Topic> =
            [(topics.dead_letters.clone(), Topic::DeadLetters), (topics.events.clone(), Topic::Events)].into();
        names.extend(topics.capture.iter().map(|topic| (topic.clone(), Topic::Capture)));
        names.retain(|topic, _| !topic.is_empty());
        let mut assignment = TopicPartitionList::new();
        for (topic, partition, end) in ends(&asking, &names)? {
            assignment.add_partition_offset(&topic, partition, Offset::Offset(end))?;
        }
        consumer.assign(&assignment)?;
        let stop = Arc::new(AtomicBool::new(false));
        let tap = Tap { consumer, asking, names, run, start_ms: start.unix_micros().div_euclid(1_000), journal };
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("taps".into())
            .spawn(move || tap.work(&stopped))
            .map_err(ObserveError::Thread)?;
        Ok(Self { stop, thread })
    }

    /// Reads on to the end of the topics; blocks. If the thread crashed, its journal says that it is not complete.
    ///
    /// # Errors
    /// When the journal could not be written.
    pub fn end(self) -> Result<(), WriteError> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or(Ok(()))
    }
}

/// A topic, a partition of it, and the offset at which that ends.
type PartitionEnd = (String, i32, i64);

/// Where each partition of the topics ends.
fn ends(
    consumer: &BaseConsumer,
    names: &HashMap<String, Topic>,
) -> Result<Vec<PartitionEnd>, rdkafka::error::KafkaError> {
    let mut all = Vec::new();
    for name in names.keys() {
        let metadata = consumer.fetch_metadata(Some(name), TIME_OUT)?;
        for partition in metadata.topics().iter().flat_map(rdkafka::metadata::MetadataTopic::partitions) {
            let (_, end) = consumer.fetch_watermarks(name, partition.id(), TIME_OUT)?;
            all.push((name.clone(), partition.id(), end));
        }
    }
    Ok(all)
}

struct Tap {
    consumer: BaseConsumer,
    /// For questions; it reads nothing.
    asking: BaseConsumer,
    names: HashMap<String, Topic>,
    run: RunId,
    start_ms: i64,
    journal: StagesWriter,
}

impl Tap {
    fn work(mut self, stop: &AtomicBool) -> Result<(), WriteError> {
        let (mut complete, mut strangers) = (false, 0);
        let mut batch = Vec::new();
        // Set when told to end: where the topics ended then, and until when they may be read up to there.
        let mut last: Option<(Vec<PartitionEnd>, Instant)> = None;
        loop {
            let message = self.consumer.poll(Duration::from_millis(100));
            let idle = message.is_none();
            match message {
                // The client library goes on by itself; what cannot be read shows at the end as not complete.
                None | Some(Err(_)) => (),
                Some(Ok(message)) => match self.passage(&message) {
                    Some(passage) => batch.push(passage),
                    None => strangers += 1,
                },
            }
            if batch.len() >= BATCH || (idle && !batch.is_empty()) {
                self.journal.append(&batch)?;
                batch.clear();
            }
            if !stop.load(Ordering::Relaxed) {
                continue;
            }
            let (wanted, deadline) = last.get_or_insert_with(|| {
                (ends(&self.asking, &self.names).unwrap_or_default(), Instant::now() + CATCH_UP)
            });
            if idle {
                complete = !wanted.is_empty() && reached(&self.consumer, wanted);
            }
            if complete || Instant::now() > *deadline {
                self.journal.append(&batch)?;
                return self.journal.end(complete, strangers);
            }
        }
    }

    fn passage(&self, message: &impl Message) -> Option<Passage> {
        let topic = *self.names.get(message.topic())?;
        let id = identified(message).filter(|id| id.run == self.run)?;
        let at_ms = message.timestamp().to_millis().unwrap_or_default() - self.start_ms;
        Some(Passage {
            topic,
            stream: id.stream,
            seq: id.seq,
            at_ms: u32::try_from(at_ms.max(0)).unwrap_or(u32::MAX),
            partition: u16::try_from(message.partition()).unwrap_or(u16::MAX),
            offset: u64::try_from(message.offset()).unwrap_or_default(),
        })
    }
}

/// Whether the consumer stands at the end of every partition.
fn reached(consumer: &BaseConsumer, ends: &[PartitionEnd]) -> bool {
    let Ok(position) = consumer.position() else { return false };
    ends.iter().all(|(topic, partition, end)| {
        *end == 0
            || match position.find_partition(topic, *partition).map(|element| element.offset()) {
                Some(Offset::Offset(next)) => next >= *end,
                // Nothing was read from it, so it must have ended where it was assigned.
                _ => true,
            }
    })
}

/// Which event a message is of: by its header `uuid`, by its key, by the member `uuid` of its JSON value, or, where all these
/// are of others' making, by the marker property in it.
fn identified(message: &impl Message) -> Option<EventId> {
    let header = message.headers().and_then(|headers| {
        let header = headers.iter().find(|header| header.key == "uuid")?;
        event_id(header.value?)
    });
    let by_uuid = header.or_else(|| event_id(message.key()?)).or_else(|| {
        #[derive(Deserialize)]
        struct Value {
            uuid: String,
        }
        let value: Value = serde_json::from_slice(message.payload()?).ok()?;
        event_id(value.uuid.as_bytes())
    });
    by_uuid.or_else(|| marked(message.payload()?))
}

/// The event of the marker property, which stands in JSON text within JSON text.
fn marked(payload: &[u8]) -> Option<EventId> {
    const HYPHENATED: usize = 36;
    let at = memchr::memmem::find(payload, MARKER_PROPERTY.as_bytes())? + MARKER_PROPERTY.len();
    let behind = &payload[at..];
    // Quotes, escaped ones too, and the colon.
    let begin = behind.iter().position(|byte| !matches!(byte, b'"' | b'\\' | b':' | b' '))?;
    event_id(behind.get(begin..begin + HYPHENATED)?)
}

fn event_id(text: &[u8]) -> Option<EventId> {
    EventId::from_uuid(Uuid::try_parse_ascii(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use generators::identity::StreamId;
    use rdkafka::{
        Timestamp,
        message::{Header, OwnedHeaders, OwnedMessage},
    };

    use super::*;

    fn message(header: Option<&str>, key: &str, value: &str) -> OwnedMessage {
        let headers =
            header.map(|uuid| OwnedHeaders::new().insert(Header { key: "uuid", value: Some(uuid.as_bytes()) }));
        let (value, key) = (Some(value.as_bytes().to_vec()), Some(key.as_bytes().to_vec()));
        OwnedMessage::new(value, key, "topic".into(), Timestamp::CreateTime(1), 0, 0, headers)
    }

    #[test]
    fn a_message_is_known_by_header_key_or_value() {
        let id = EventId { run: RunId::new(7), stream: StreamId(1), seq: 5 };
        let uuid = id.to_string();
        let value = format!("{{\"event\":\"x\",\"uuid\":\"{uuid}\"}}");
        for (header, key, value) in [
            (Some(uuid.as_str()), "token:someone", "not JSON"),
            (None, uuid.as_str(), "not JSON"),
            (None, "token:someone", value.as_str()),
            (Some("damaged"), "token:someone", value.as_str()),
        ] {
            assert_eq!(identified(&message(header, key, value)), Some(id), "{header:?} {key} {value}");
        }
        let marker = format!(r#"{{"uuid":"{}","data":"{{\"properties\":{{\"assay_id\":\"{uuid}\"}}}}"}}"#, Uuid::nil());
        assert_eq!(identified(&message(None, "token:someone", &marker)), Some(id));
        let foreign = "01a2070b-f157-702b-9f92-8c370f82d098";
        for (header, key, value) in
            [(None, "key", "not JSON"), (None, "key", "{\"uuid\":7}"), (Some(foreign), foreign, "{}")]
        {
            assert_eq!(identified(&message(header, key, value)), None, "{header:?} {key} {value}");
        }
    }
}
