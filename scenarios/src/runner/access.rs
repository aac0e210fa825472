//! Where a run sends to and reads from, whoever has started it.

use std::net::SocketAddr;

use checkers::observe::{
    clickhouse::{Store, StoreAddress},
    kafka::KafkaAccess,
    lag::Subscription,
    taps::TappedTopics,
};
use generators::client::target::Target;
use testenv::environment::Endpoints;

use crate::external::{External, Reached};

/// Where a run sends to and reads from.
#[derive(Debug, Clone)]
pub(super) struct Access {
    /// Where events are sent to.
    pub capture: Target,
    /// Where rows are read.
    pub store: Store,
    /// Where Kafka is, if it can be read.
    pub kafka: Option<Kafka>,
    /// Where the webhook sink is asked what was delivered to it, if there is one.
    pub webhook: Option<SocketAddr>,
}

/// Kafka, as far as it is read.
#[derive(Debug, Clone)]
pub(super) struct Kafka {
    /// How it is reached.
    pub at: KafkaAccess,
    /// Whose lag says that the pipeline is quiet.
    pub subscriptions: Vec<Subscription>,
    /// What is tapped.
    pub topics: Option<TappedTopics>,
}

impl Access {
    /// To a pipeline that the run has started.
    pub fn to_own(endpoints: &Endpoints) -> Self {
        let clickhouse = &endpoints.clickhouse;
        let store = Store::new(StoreAddress {
            url: &clickhouse.url,
            user: &clickhouse.user,
            password: &clickhouse.password,
            database: &clickhouse.database,
            table: &clickhouse.events_table,
        })
        .with_groups(clickhouse.groups_table.as_deref());
        let kafka = endpoints.kafka.as_ref().map(|kafka| Kafka {
            at: KafkaAccess::plain(&kafka.brokers),
            subscriptions: kafka
                .subscriptions
                .iter()
                .map(|(group, topic)| Subscription { group: group.clone(), topic: topic.clone() })
                .collect(),
            topics: Some(TappedTopics {
                capture: kafka.capture_topics.clone(),
                dead_letters: kafka.dead_letter_topic.clone(),
                events: kafka.events_topic.clone(),
            }),
        });
        Self { capture: Target::http(endpoints.capture), store, kafka, webhook: endpoints.webhook }
    }

    /// To somebody else's pipeline, which was reached.
    pub fn to_external(external: &External, reached: &Reached) -> Self {
        let kafka = reached.kafka.clone().zip(external.kafka.as_ref()).map(|(at, kafka)| Kafka {
            at,
            subscriptions: kafka.groups.clone(),
            topics: kafka.topics.clone(),
        });
        Self { capture: reached.capture.clone(), store: reached.store.clone(), kafka, webhook: None }
    }
}
