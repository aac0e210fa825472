//! How far the subject's consumers are behind, asked without joining their groups.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use generators::clock::RunClock;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    topic_partition_list::TopicPartitionListElem,
};

use serde::{Deserialize, Serialize};

use super::{ObserveError, kafka::KafkaAccess};
use crate::details::timeline::{Buckets, Greatest, LagSeries};

const TIME_OUT: Duration = Duration::from_secs(5);
/// A topic seldom gets more partitions.
const SAME_PARTITIONS: Duration = Duration::from_secs(10);

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

impl LagSeen {
    /// Takes in an answer of this moment, or that there was none.
    fn note(&mut self, lag: Option<Lag>, moment: Duration) {
        // While Kafka does not answer, the lag is not known to be nothing.
        self.latest = Some(lag.as_ref().map_or(u64::MAX, |lag| lag.messages));
        self.partitions = None;
        let Some(Lag { greatest, partitions, .. }) = lag else { return };
        for (_, PartitionLag { topic, partition, messages }) in &partitions {
            let place = (topic.clone(), *partition);
            self.course.entry(place).or_default().put(moment, *messages);
        }
        self.partitions = Some(partitions);
        if let Some(now) = greatest
            && self.greatest.as_ref().is_none_or(|before| before.messages < now.messages)
        {
            self.greatest = Some(now);
        }
    }
}

impl LagWatch {
    /// Starts to ask `reader`, with `pause` after each answer; `clock` is the run's.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(mut reader: LagReader, pause: Duration, clock: RunClock) -> Result<Self, ObserveError> {
        let watch = Self { seen: Arc::default(), stop: Arc::default() };
        let (seen, stop) = (Arc::clone(&watch.seen), Arc::clone(&watch.stop));
        let work = move || {
            while !stop.load(Ordering::Relaxed) {
                let lag = reader.read().ok();
                lock(&seen).note(lag, clock.elapsed());
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

/// Asks Kafka for the lag of some consumer groups: where each group is, and in one request for all where the topics end.
/// It asks several times a second, beside the load.
pub struct LagReader {
    groups: Vec<(Subscription, BaseConsumer)>,
    /// Asks for what is no group's own.
    topics: BaseConsumer,
    /// The partitions of each subscription's topic, in the order of `groups`, and when they were asked for.
    partitions: Option<(Instant, Vec<TopicPartitionList>)>,
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
        Ok(Self {
            groups: subscriptions.into_iter().map(reader).collect::<Result<_, ObserveError>>()?,
            topics: kafka.config().create()?,
            partitions: None,
        })
    }

    /// The number of messages that were produced and not yet committed by the groups. Blocks.
    ///
    /// # Errors
    /// When Kafka cannot be asked, or does not answer of each partition.
    pub fn read(&mut self) -> Result<Lag, ObserveError> {
        let partitions = match self.partitions.take() {
            Some((asked, partitions)) if asked.elapsed() < SAME_PARTITIONS => (asked, partitions),
            _ => (Instant::now(), self.ask_partitions()?),
        };
        let (_, of_groups) = self.partitions.insert(partitions);
        let mut next = Vec::new();
        for ((_, consumer), partitions) in self.groups.iter().zip(of_groups.iter()) {
            next.push(offsets(&consumer.committed_offsets(partitions.clone(), TIME_OUT)?)?);
        }
        // Asked after them, so that nobody is ahead of an end.
        let ends = ask(&self.topics, of_groups.iter().flat_map(places), Offset::End)?;
        let all = next.iter().flatten();
        let unsaid = all.filter(|(_, next)| next.is_none()).map(|(place, _)| place.clone());
        let begins = ask(&self.topics, unsaid, Offset::Beginning)?;
        let groups = self.groups.iter().map(|(subscription, _)| subscription.group.as_str());
        behind(groups.zip(next), &ends, &begins)
    }

    fn ask_partitions(&self) -> Result<Vec<TopicPartitionList>, ObserveError> {
        let of_topic = |(subscription, _): &(Subscription, BaseConsumer)| {
            let metadata = self.topics.fetch_metadata(Some(&subscription.topic), TIME_OUT)?;
            let mut partitions = TopicPartitionList::new();
            for topic in metadata.topics() {
                for partition in topic.partitions() {
                    partitions.add_partition(topic.name(), partition.id());
                }
            }
            Ok(partitions)
        };
        self.groups.iter().map(of_topic).collect()
    }
}

/// A topic and one of its partitions.
type Place = (String, i32);

/// What each group reads next, by its partitions; nothing where it has never said so.
type Next = BTreeMap<Place, Option<i64>>;

/// How far groups are behind, each by what it reads next, where partitions end and begin. A group that has never said what it
/// reads next begins at the beginning, and where that is not known at 0, from where it is further.
///
/// # Errors
/// Where the end of a partition is not known: who reads it may be behind by any number, and not by none.
fn behind<'a>(
    groups: impl Iterator<Item = (&'a str, Next)>,
    ends: &BTreeMap<Place, i64>,
    begins: &BTreeMap<Place, i64>,
) -> Result<Lag, ObserveError> {
    let mut lag = Lag::default();
    for (group, next) in groups {
        for (place, next) in next {
            let Some(end) = ends.get(&place).copied() else {
                let (topic, partition) = place;
                return Err(ObserveError::NoEnd { topic, partition });
            };
            let next = next.or_else(|| begins.get(&place).copied()).unwrap_or_default();
            // What was written after the end was asked for may be read already.
            lag.add(group, &place.0, place.1, u64::try_from(end - next).unwrap_or_default());
        }
    }
    Ok(lag)
}

fn places(partitions: &TopicPartitionList) -> Vec<Place> {
    partitions.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect()
}

/// The offsets that Kafka has answered; none where there is none yet.
fn offsets(partitions: &TopicPartitionList) -> Result<Next, ObserveError> {
    let offset = |element: TopicPartitionListElem<'_>| {
        element.error()?;
        let offset = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        Ok(((element.topic().to_owned(), element.partition()), offset))
    };
    partitions.elements().into_iter().map(offset).collect()
}

/// Where partitions begin or end: one request for all that have one leader (the times that stand for both are those of
/// Kafka's protocol, `ListOffsets`).
fn ask(
    consumer: &BaseConsumer,
    places: impl IntoIterator<Item = Place>,
    what: Offset,
) -> Result<BTreeMap<Place, i64>, ObserveError> {
    let places: BTreeSet<Place> = places.into_iter().collect();
    if places.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut wanted = TopicPartitionList::with_capacity(places.len());
    for (topic, partition) in &places {
        wanted.add_partition_offset(topic, *partition, what)?;
    }
    let answered = offsets(&consumer.offsets_for_times(wanted, TIME_OUT)?)?;
    Ok(answered.into_iter().filter_map(|(place, offset)| Some((place, offset?))).collect())
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

    fn at(topic: &str, partition: i32) -> Place {
        (topic.to_owned(), partition)
    }

    #[test]
    fn a_group_is_behind_by_what_it_has_not_committed() {
        let ends = BTreeMap::from([
            (at("in", 0), 100),
            (at("in", 1), 50),
            (at("in", 2), 30),
            (at("in", 3), 6),
            (at("out", 0), 9),
        ]);
        let begins = BTreeMap::from([(at("in", 1), 20)]);
        let next = |all: &[(&str, i32, Option<i64>)]| -> Next {
            all.iter().map(|(topic, partition, next)| (at(topic, *partition), *next)).collect()
        };
        let ingester = next(&[
            ("in", 0, Some(93)),
            // It has committed nothing yet, and the topic begins at 20.
            ("in", 1, None),
            // It has read what was written after the end was asked for.
            ("in", 2, Some(31)),
            // It has committed nothing either, and where this one begins was not told.
            ("in", 3, None),
        ]);
        let clickhouse = next(&[("out", 0, Some(9))]);
        let lag = behind([("ingester", ingester), ("clickhouse", clickhouse)].into_iter(), &ends, &begins).unwrap();
        let each: Vec<_> =
            lag.partitions.iter().map(|(group, lag)| (group.as_str(), lag.partition, lag.messages)).collect();
        let expected =
            [("ingester", 0, 7), ("ingester", 1, 30), ("ingester", 2, 0), ("ingester", 3, 6), ("clickhouse", 0, 0)];
        assert_eq!(each, expected);
        assert_eq!(lag.messages, 43);
        assert_eq!(lag.greatest, Some(PartitionLag { topic: "in".into(), partition: 1, messages: 30 }));
    }

    #[test]
    fn behind_an_end_that_is_not_known_nobody_is_known_to_be_by_nothing() {
        let ends = BTreeMap::from([(at("in", 0), 100)]);
        for next in [None, Some(100), Some(0)] {
            let of = Next::from([(at("in", 0), Some(100)), (at("in", 1), next)]);
            let lag = behind([("ingester", of)].into_iter(), &ends, &BTreeMap::new());
            let error = lag.unwrap_err().to_string();
            assert_eq!(error, "Kafka did not say where partition 1 of in ends", "{next:?}");
        }
    }

    #[test]
    fn two_groups_of_one_topic_are_behind_each_for_itself() {
        let ends = BTreeMap::from([(at("in", 0), 10)]);
        let next = |offset| Next::from([(at("in", 0), Some(offset))]);
        let lag = behind([("one", next(4)), ("two", next(9))].into_iter(), &ends, &BTreeMap::new()).unwrap();
        assert_eq!((lag.messages, lag.greatest.unwrap().messages), (7, 6));
    }

    /// A lag of so many messages in partition 0 of `in`.
    fn of(messages: u64) -> Lag {
        let mut lag = Lag::default();
        lag.add("ingester", "in", 0, messages);
        lag
    }

    #[test]
    fn silence_is_not_taken_for_nothing_and_the_greatest_stays() {
        let watch = LagWatch { seen: Arc::default(), stop: Arc::default() };
        let view = watch.view();
        let note = |lag, seconds| lock(&watch.seen).note(lag, Duration::from_secs(seconds));
        assert_eq!((watch.latest(), view.partitions()), (u64::MAX, None), "before the first answer");
        note(Some(of(5)), 1);
        assert_eq!((watch.latest(), view.partitions().unwrap().len()), (5, 1));
        note(Some(of(9)), 2);
        note(None, 3);
        assert_eq!((watch.latest(), view.partitions()), (u64::MAX, None), "Kafka does not answer");
        note(Some(of(0)), 4);
        assert_eq!((watch.latest(), view.partitions().unwrap()[0].1.messages), (0, 0));
        assert_eq!(watch.greatest().unwrap().messages, 9);
        let course = watch.course();
        assert_eq!((course.len(), course[0].topic.as_str(), course[0].partition), (1, "in", Some(0)));
        // An entry a second.
        assert_eq!((course[0].width, course[0].messages.as_slice()), (1, &[None, Some(5), Some(9), None, Some(0)][..]));
    }
}
