//! What a capture's variables say: PostHog's where there are such (rust/capture, `config.rs`), and some of the tests' own.

use std::time::Instant;

use rdkafka::producer::ThreadedProducer;

use super::{
    Capture, Error,
    blobs::BlobStore,
    buckets::{Buckets, RateLimits},
    deliveries::ToRequests,
    listed::Listed,
    metrics::Metrics,
    names::TopicsOfNames,
    planted::Planted,
    rerouting::Rerouting,
    restrictions::Restrictions,
    routes::Modes,
};
use crate::pipeline::{
    dialect::Dialect,
    settings::{json, or},
};

impl Capture {
    /// A capture as its variables say, which produces to `topic` by `producer`.
    ///
    /// # Errors
    /// Which variable cannot be read.
    pub(super) fn configured(
        producer: ThreadedProducer<ToRequests>,
        topic: String,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let usual = RateLimits::default();
        let overflow = RateLimits {
            per_second: or("OVERFLOW_PER_SECOND_LIMIT", usual.per_second)?,
            burst: or("OVERFLOW_BURST_LIMIT", usual.burst)?,
        };
        Ok(Self {
            producer,
            topic,
            historical_topic: or("KAFKA_HISTORICAL_TOPIC", String::new())?,
            dialect: or("DIALECT", Dialect::default())?,
            drop_list: or("DROP_EVENTS_BY_TOKEN_DISTINCT_ID", Listed::default())?,
            restrictions: Restrictions::new(json("ASSAY_EVENT_RESTRICTIONS")?),
            forced_keys: or("INGESTION_FORCE_OVERFLOW_BY_TOKEN_DISTINCT_ID", Listed::default())?,
            dead_letter_topic: or("KAFKA_DLQ_TOPIC", String::new())?,
            overflow: or("OVERFLOW_ENABLED", false)?.then_some(Buckets::new(overflow)),
            overflow_topic: or("KAFKA_OVERFLOW_TOPIC", String::new())?,
            preserves_locality: or("OVERFLOW_PRESERVE_PARTITION_LOCALITY", false)?,
            topics_of_names: TopicsOfNames {
                heatmaps: or("KAFKA_HEATMAPS_TOPIC", String::new())?,
                client_warnings: or("KAFKA_CLIENT_INGESTION_WARNING_TOPIC", String::new())?,
                exceptions: or("KAFKA_EXCEPTIONS_TOPIC", String::new())?,
                ai: or("CAPTURE_ANALYTICS_AI_EVENTS_TOPIC", String::new())?,
                ..TopicsOfNames::default()
            },
            rerouting: Rerouting::new(
                or("ENABLE_HISTORICAL_REROUTING", false)?,
                or("HISTORICAL_REROUTING_THRESHOLD_DAYS", 1)?,
            ),
            recordings_topic: or("KAFKA_SESSION_RECORDING_SNAPSHOT_ITEM_EVENTS_TOPIC", String::new())?,
            recordings_overflow_topic: or("KAFKA_REPLAY_OVERFLOW_TOPIC", String::new())?,
            modes: or("CAPTURE_MODE", Modes::default())?,
            blob_store: BlobStore::new(or("AI_S3_BUCKET", String::new())?, or("AI_S3_PREFIX", "llma/".to_owned())?),
            rate_limit: match or("ASSAY_RATE_LIMIT_PER_SECOND", 0)? {
                0 => None,
                per_second => {
                    let burst = or("ASSAY_RATE_LIMIT_BURST", per_second)?;
                    Some(Buckets::new(RateLimits { per_second, burst }))
                }
            },
            started: Instant::now(),
            metrics,
            planted: Planted::new(json("ASSAY_PLANTED_DEFECTS")?, json("ASSAY_TOKENS_OVER_QUOTA")?),
        })
    }
}
