//! How Kafka is reached: brokers, and what a client must say of itself there.
//!
//! TLS, and the SASL mechanisms that need its library, are there in builds with the feature `kafka-tls`.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    types::RDKafkaErrorCode,
};

use super::lag::Subscription;

/// Whether this build can speak TLS to Kafka.
pub const HAS_TLS: bool = cfg!(feature = "kafka-tls");

const TIME_OUT: Duration = Duration::from_secs(10);
/// The first question is asked for so long each time, ten seconds together: what the client library meets meanwhile, such as a
/// refused password, it tells in between only.
const TRIES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(3), Duration::from_secs(4)];
/// So long it is waited for what the client library has to tell.
const SOON: Duration = Duration::from_millis(20);

/// How Kafka is reached. Its settings may hold a password and are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaAccess {
    brokers: String,
    settings: Vec<(String, String)>,
}

impl fmt::Debug for KafkaAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KafkaAccess({})", self.brokers)
    }
}

/// Kafka cannot be used as it is meant to be.
#[derive(Debug, thiserror::Error)]
pub enum KafkaProblem {
    /// Nobody answers, or not to us.
    #[error("no broker of Kafka answers at {brokers}{}", said.as_ref().map(|said| format!(": {said}")).unwrap_or_default())]
    Unreachable {
        /// The brokers.
        brokers: String,
        /// What the client library said meanwhile.
        said: Option<String>,
        /// What it said in the end.
        source: Box<KafkaError>,
    },
    /// It does not let us in.
    #[error("Kafka refuses the user: {0}")]
    Refused(String),
    /// There is no TLS with it.
    #[error("TLS with Kafka fails: {0}")]
    Tls(String),
    /// The user lacks a right.
    #[error("Kafka lets the user in, but not do this: {0}")]
    Forbidden(Box<KafkaError>),
    /// The client library refuses its settings.
    #[error("Kafka's settings cannot be used")]
    Settings(#[source] Box<KafkaError>),
    /// There is no such topic.
    #[error("Kafka has no topic `{0}`")]
    NoTopic(String),
    /// The group reads something else.
    #[error("the consumer group `{}` has committed nothing on the topic `{}`, so it cannot be told how far it is behind", .0.group, .0.topic)]
    NoOffsets(Subscription),
}

impl KafkaAccess {
    /// Without any security, as in the environments that Assay starts.
    pub fn plain(brokers: impl Into<String>) -> Self {
        Self { brokers: brokers.into(), settings: Vec::new() }
    }

    /// With a setting of librdkafka's.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings.push((name.to_owned(), value.into()));
        self
    }

    /// The brokers.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// What every client begins with.
    pub(super) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        for (name, value) in &self.settings {
            config.set(name, value);
        }
        config
    }

    /// Whether somebody answers who has these topics, and whether these groups read theirs. Blocks. Nothing is made or changed:
    /// a topic that is asked for and is not there stays so.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, topics: &[String], subscriptions: &[Subscription]) -> Result<(), KafkaProblem> {
        let said = Said::default();
        let client = |group: &str| -> Result<BaseConsumer<Said>, KafkaProblem> {
            let mut config = self.config();
            config.set("group.id", group).set("enable.auto.commit", "false").set("allow.auto.create.topics", "false");
            config.create_with_context(said.clone()).map_err(|error| KafkaProblem::Settings(Box::new(error)))
        };
        let unanswered = |source| said.problem(&self.brokers, source);
        let consumer = client("assay-preflight")?;
        let mut metadata = Err(KafkaError::Canceled);
        for within in TRIES {
            metadata = consumer.fetch_metadata(None, within);
            while metadata.is_err() && consumer.poll(SOON).is_some() {}
            if metadata.is_ok() || said.is_final() {
                break;
            }
        }
        let metadata = metadata.map_err(unanswered)?;
        let known: Vec<&str> = metadata.topics().iter().map(rdkafka::metadata::MetadataTopic::name).collect();
        let wanted = topics.iter().chain(subscriptions.iter().map(|subscription| &subscription.topic));
        for topic in wanted {
            if !known.contains(&topic.as_str()) {
                return Err(KafkaProblem::NoTopic(topic.clone()));
            }
        }
        for subscription in subscriptions {
            let Subscription { group, topic } = subscription;
            let consumer = client(group)?;
            let mut partitions = TopicPartitionList::new();
            let of_topic = metadata.topics().iter().filter(|known| known.name() == topic);
            for partition in of_topic.flat_map(rdkafka::metadata::MetadataTopic::partitions) {
                partitions.add_partition(topic, partition.id());
            }
            let committed = consumer.committed_offsets(partitions, TIME_OUT).map_err(unanswered)?;
            let has_any = committed.elements().iter().any(|element| matches!(element.offset(), Offset::Offset(_)));
            let is_empty = || {
                committed.elements().iter().all(|element| {
                    let ends = consumer.fetch_watermarks(element.topic(), element.partition(), TIME_OUT);
                    ends.is_ok_and(|(low, high)| low == high)
                })
            };
            if !has_any && !is_empty() {
                return Err(KafkaProblem::NoOffsets(subscription.clone()));
            }
        }
        Ok(())
    }
}

/// Keeps the last error that the client library tells, such as a refused password, and that above all others.
#[derive(Debug, Clone, Default)]
struct Said(Arc<Mutex<Option<(RDKafkaErrorCode, String)>>>);

/// Whether asking again would be answered the same.
const fn is_final(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL)
}

impl Said {
    fn latest(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_final(&self) -> bool {
        self.latest().is_some_and(|(code, _)| is_final(code))
    }

    /// What it means that a question was not answered at `brokers`, but with `source`.
    fn problem(&self, brokers: &str, source: KafkaError) -> KafkaProblem {
        use RDKafkaErrorCode::{Authentication, GroupAuthorizationFailed, SSL, TopicAuthorizationFailed};
        let source = Box::new(source);
        match (source.rdkafka_error_code(), self.latest()) {
            (Some(GroupAuthorizationFailed | TopicAuthorizationFailed), _) => KafkaProblem::Forbidden(source),
            (_, Some((Authentication, said))) => KafkaProblem::Refused(said),
            (_, Some((SSL, said))) => KafkaProblem::Tls(said),
            (_, said) => {
                KafkaProblem::Unreachable { brokers: brokers.to_owned(), said: said.map(|(_, said)| said), source }
            }
        }
    }
}

impl ClientContext for Said {
    fn error(&self, error: KafkaError, reason: &str) {
        // That all brokers are down says less than why the last one was.
        let Some(code) = error.rdkafka_error_code().filter(|code| *code != RDKafkaErrorCode::AllBrokersDown) else {
            return;
        };
        if is_final(code) || !self.is_final() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Said {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let access = KafkaAccess::plain("broker:9092").with("sasl.password", "secret");
        assert_eq!(format!("{access:?}"), "KafkaAccess(broker:9092)");
        assert_eq!(access.config().get("sasl.password"), Some("secret"));
    }

    #[test]
    fn why_nobody_answers_is_told_by_what_was_said() {
        use RDKafkaErrorCode::{AllBrokersDown, Authentication, BrokerTransportFailure, GroupAuthorizationFailed};
        let told = |said: &[(RDKafkaErrorCode, &str)], code| {
            let all = Said::default();
            for (code, reason) in said {
                all.error(KafkaError::Global(*code), reason);
            }
            all.problem("k:1", KafkaError::MetadataFetch(code)).to_string()
        };
        let wrong = (Authentication, "wrong password");
        let closed = (BrokerTransportFailure, "closed");
        assert_eq!(told(&[wrong, closed], BrokerTransportFailure), "Kafka refuses the user: wrong password");
        assert_eq!(
            told(&[closed, (AllBrokersDown, "1/1 down")], BrokerTransportFailure),
            "no broker of Kafka answers at k:1: closed"
        );
        assert_eq!(told(&[], BrokerTransportFailure), "no broker of Kafka answers at k:1");
        assert!(told(&[], GroupAuthorizationFailed).contains("but not do this"));
    }

    #[test]
    fn nobody_there_is_told() {
        // A port that was free a moment ago.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let access = KafkaAccess::plain(address.to_string()).with("socket.connection.setup.timeout.ms", "1000");
        let error = access.check(&[], &[]).unwrap_err();
        assert!(matches!(error, KafkaProblem::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}
