//! How far the subject's consumers are behind, asked without joining their groups.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use generators::clock::RunClock;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};

use serde::{Deserialize, Serialize};

use super::{ObserveError, kafka::KafkaAccess};
use crate::details::timeline::{Buckets, Greatest, LagSeries};

const TIME_OUT: Duration = Duration::from_secs(5);

/// A consumer group and the topic that it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: String,
}

/// How far consumers are behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lag {
    /// In messages, all partitions together.
    pub messages: u64,
    /// The partition that is furthest behind.
    pub greatest: Option<PartitionLag>,
    /// Each group with each of its partitions.
    pub partitions: Vec<(String, PartitionLag)>,
}

/// How far the consumer of a partition is behind: a mean over partitions would hide it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionLag {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// In messages.
    pub messages: u64,
}

impl Lag {
    fn add(&mut self, group: &str, topic: &str, partition: i32, messages: u64) {
        self.messages += messages;
        let lag = PartitionLag { topic: topic.to_owned(), partition, messages };
        if messages > self.greatest.as_ref().map_or(0, |greatest| greatest.messages) {
            self.greatest = Some(lag.clone());
        }
        self.partitions.push((group.to_owned(), lag));
    }
}

/// Asks for the lag again and again, on a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct LagWatch {
    seen: Arc<Mutex<LagSeen>>,
    stop: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct LagSeen {
    latest: Option<u64>,
    greatest: Option<PartitionLag>,
    course: BTreeMap<(String, i32), Buckets<Greatest>>,
    partitions: Option<Vec<(String, PartitionLag)>>,
}

impl LagWatch {
    /// Starts to ask `reader`, with `pause` after each answer; `clock` is the run's.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(reader: LagReader, pause: Duration, clock: RunClock) -> Result<Self, ObserveError> {
        let watch = Self { seen: Arc::default(), stop: Arc::default() };
        let (seen, stop) = (Arc::clone(&watch.seen), Arc::clone(&watch.stop));
        let work = move || {
            while !stop.load(Ordering::Relaxed) {
                let lag = reader.read();
                let mut seen = lock(&seen);
                // While Kafka does not answer, the lag is not known to be nothing.
                seen.latest = Some(lag.as_ref().map_or(u64::MAX, |lag| lag.messages));
                seen.partitions = None;
                if let Ok(Lag { greatest, partitions, .. }) = lag {
                    let moment = clock.elapsed();
                    for (_, PartitionLag { topic, partition, messages }) in &partitions {
                        let place = (topic.clone(), *partition);
                        seen.course.entry(place).or_default().put(moment, *messages);
                    }
                    seen.partitions = Some(partitions);
                    if let Some(now) = greatest
                        && seen.greatest.as_ref().is_none_or(|before| before.messages < now.messages)
                    {
                        seen.greatest = Some(now);
                    }
                }
                drop(seen);
                std::thread::sleep(pause);
            }
        };
        std::thread::Builder::new().name("lag".into()).spawn(work).map_err(ObserveError::Thread)?;
        Ok(watch)
    }

    /// The latest answer in messages, all partitions together; not nothing before there is one.
    pub fn latest(&self) -> u64 {
        lock(&self.seen).latest.unwrap_or(u64::MAX)
    }

    /// How far each partition was behind, from the start of sending.
    pub fn course(&self) -> Vec<LagSeries> {
        let seen = lock(&self.seen);
        let series = seen.course.iter().map(|((topic, partition), course)| LagSeries {
            topic: topic.clone(),
            partition: Some(*partition),
            width: course.width(),
            messages: course.all().iter().map(|greatest| greatest.0).collect(),
        });
        series.collect()
    }

    /// The greatest lag of any one partition so far.
    pub fn greatest(&self) -> Option<PartitionLag> {
        lock(&self.seen).greatest.clone()
    }

    /// What follows the latest answers, also when the watch itself is elsewhere.
    pub fn view(&self) -> LagView {
        LagView(Arc::clone(&self.seen))
    }
}

/// The latest answers of a [`LagWatch`].
#[derive(Debug, Clone)]
pub struct LagView(Arc<Mutex<LagSeen>>);

impl LagView {
    /// Each group with each of its partitions; `None` while Kafka does not answer.
    pub fn partitions(&self) -> Option<Vec<(String, PartitionLag)>> {
        lock(&self.0).partitions.clone()
    }
}

impl Drop for LagWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn lock(seen: &Mutex<LagSeen>) -> MutexGuard<'_, LagSeen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks Kafka for the lag of some consumer groups.
pub struct LagReader {
    groups: Vec<(Subscription, BaseConsumer)>,
}

impl std::fmt::Debug for LagReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.groups.iter().map(|(subscription, _)| subscription)).finish()
    }
}

impl LagReader {
    /// A reader for `subscriptions` at `kafka`. It never subscribes, so it never joins a group.
    ///
    /// # Errors
    /// When the client library refuses its settings.
    pub fn new(kafka: &KafkaAccess, subscriptions: Vec<Subscription>) -> Result<Self, ObserveError> {
        let reader = |subscription: Subscription| {
            let consumer: BaseConsumer =
                kafka.config().set("group.id", &subscription.group).set("enable.auto.commit", "false").create()?;
            Ok((subscription, consumer))
        };
        Ok(Self { groups: subscriptions.into_iter().map(reader).collect::<Result<_, ObserveError>>()? })
    }

    /// The number of messages that were produced and not yet committed by the groups. Blocks.
    ///
    /// # Errors
    /// When Kafka cannot be asked.
    pub fn read(&self) -> Result<Lag, ObserveError> {
        let mut lag = Lag::default();
        for (subscription, consumer) in &self.groups {
            let metadata = consumer.fetch_metadata(Some(&subscription.topic), TIME_OUT)?;
            let mut partitions = TopicPartitionList::new();
            for topic in metadata.topics() {
                for partition in topic.partitions() {
                    partitions.add_partition(topic.name(), partition.id());
                }
            }
            let committed = consumer.committed_offsets(partitions, TIME_OUT)?;
            for element in committed.elements() {
                let (low, high) = consumer.fetch_watermarks(element.topic(), element.partition(), TIME_OUT)?;
                let next = match element.offset() {
                    Offset::Offset(offset) => offset,
                    _ => low,
                };
                let behind = u64::try_from(high - next).unwrap_or_default();
                lag.add(&subscription.group, element.topic(), element.partition(), behind);
            }
        }
        Ok(lag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_furthest_behind_is_named() {
        let mut lag = Lag::default();
        assert_eq!(lag.greatest, None);
        for (partition, messages) in [(0, 0), (1, 7), (2, 9), (3, 9)] {
            lag.add("g", "t", partition, messages);
        }
        assert_eq!(lag.messages, 25);
        assert_eq!(lag.greatest, Some(PartitionLag { topic: "t".into(), partition: 2, messages: 9 }));
        let each: Vec<_> =
            lag.partitions.iter().map(|(group, lag)| (group.as_str(), lag.partition, lag.messages)).collect();
        assert_eq!(each, [("g", 0, 0), ("g", 1, 7), ("g", 2, 9), ("g", 3, 9)]);
    }
}
