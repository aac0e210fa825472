//! How far the subject's consumers are behind, asked without joining their groups.

use std::time::Duration;

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};

use super::ObserveError;

const TIME_OUT: Duration = Duration::from_secs(5);

/// A consumer group and the topic that it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: String,
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
    /// A reader for `subscriptions` at `brokers`. It never subscribes, so it never joins a group.
    ///
    /// # Errors
    /// When the client library refuses its settings.
    pub fn new(brokers: &str, subscriptions: Vec<Subscription>) -> Result<Self, ObserveError> {
        let reader = |subscription: Subscription| {
            let consumer: BaseConsumer = ClientConfig::new()
                .set("bootstrap.servers", brokers)
                .set("group.id", &subscription.group)
                .set("enable.auto.commit", "false")
                .create()?;
            Ok((subscription, consumer))
        };
        Ok(Self { groups: subscriptions.into_iter().map(reader).collect::<Result<_, ObserveError>>()? })
    }

    /// The number of messages that were produced and not yet committed by the groups, all partitions together. Blocks.
    ///
    /// # Errors
    /// When Kafka cannot be asked.
    pub fn messages(&self) -> Result<u64, ObserveError> {
        let mut behind = 0;
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
                behind += u64::try_from(high - next).unwrap_or_default();
            }
        }
        Ok(behind)
    }
}
