//! A run's own pipeline on a substrate: topics, tables, capture, ingester.
//!
//! Everything carries the run's name, so that several pipelines on one substrate do not meet.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use super::{
    children::{Child, ChildSpec, Guard},
    substrate::{Addresses, first_end},
    tables::{Tables, Topics, create_topics, delete_topics},
};
use crate::{
    environment::{ClickhouseEndpoint, ComponentEnded, Endpoints, EnvironmentError, KafkaEndpoint},
    pipeline::defect::PlantedDefect,
};

const READY_WITHIN: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_millis(1500);
const EVENTS_TABLE: &str = "events";

/// How to start a pipeline.
#[derive(Debug, Clone)]
pub struct PipelineOptions {
    /// The run's short name: letters and digits.
    pub run: String,
    /// Which token belongs to which team.
    pub teams: BTreeMap<String, i64>,
    /// After how long ClickHouse's Kafka engine flushes.
    pub flush_interval: Duration,
    /// How many partitions each topic has.
    pub partitions: u32,
    /// What is broken on purpose.
    pub planted_defects: Vec<PlantedDefect>,
    /// Where data goes; it must exist, and whoever made it deletes it.
    pub folder: PathBuf,
    /// Where logs go.
    pub logs: PathBuf,
}

/// A running pipeline.
#[derive(Debug)]
pub struct Pipeline {
    components: Vec<Child>,
    endpoints: Endpoints,
    topics: Topics,
    client: clickhouse::Client,
}

impl Pipeline {
    /// Makes topics and tables, starts capture and ingester, and waits until they are ready.
    ///
    /// # Errors
    /// When something of it cannot be had.
    pub async fn up(guard: &Guard, substrate: &Addresses, options: &PipelineOptions) -> Result<Self, EnvironmentError> {
        let run = &options.run;
        let topics = Topics::of(run);
        let database = format!("assay_{run}");
        let client = clickhouse::Client::default()
            .with_url(&substrate.clickhouse_url)
            .with_compression(clickhouse::Compression::None);
        let tables = Tables {
            database: &database,
            brokers: &substrate.brokers,
            topics: &topics,
            run,
            flush_interval: options.flush_interval,
        };
        create_topics(&substrate.brokers, &topics, options.partitions).await?;
        let ingester_group = format!("{run}_ingester");
        let planted = serde_json::to_string(&options.planted_defects).unwrap_or_default();
        let variables = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            let common = [("KAFKA_HOSTS", substrate.brokers.as_str()), ("ASSAY_PLANTED_DEFECTS", planted.as_str())];
            common.iter().chain(pairs).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let folder = &options.folder;
        let persons = folder.join(format!("persons-{run}.sqlite")).display().to_string();
        let teams = serde_json::to_string(&options.teams).unwrap_or_default();
        let capture = variables(&[("ADDRESS", "127.0.0.1:0"), ("KAFKA_TOPIC", &topics.capture)]);
        let capture = guard.spawn(&ChildSpec::role("capture", folder, &options.logs, capture))?;
        let ingester = variables(&[
            ("INGESTION_CONSUMER_CONSUME_TOPIC", &topics.capture),
            ("INGESTION_CONSUMER_GROUP_ID", &ingester_group),
            ("INGESTION_CONSUMER_DLQ_TOPIC", &topics.dead_letters),
            ("CLICKHOUSE_JSON_EVENTS_KAFKA_TOPIC", &topics.events),
            ("CLICKHOUSE_PERSON_KAFKA_TOPIC", &topics.persons),
            ("CLICKHOUSE_PERSON_DISTINCT_ID_KAFKA_TOPIC", &topics.distinct_ids),
            ("ASSAY_TEAMS", &teams),
            ("ASSAY_PERSON_STORE", &persons),
        ]);
        let ingester = guard.spawn(&ChildSpec::role("ingester", folder, &options.logs, ingester))?;
        let (capture_port, _, ()) =
            tokio::try_join!(capture.ready(READY_WITHIN), ingester.ready(READY_WITHIN), tables.create(&client),)?;
        let subscriptions =
            vec![(ingester_group, topics.capture.clone()), (tables.events_group(), topics.events.clone())];
        let endpoints = Endpoints {
            capture: SocketAddr::from((Ipv4Addr::LOCALHOST, capture_port)),
            clickhouse: ClickhouseEndpoint {
                url: substrate.clickhouse_url.clone(),
                user: "default".into(),
                password: String::new(),
                database,
                events_table: EVENTS_TABLE.into(),
            },
            kafka: Some(KafkaEndpoint { brokers: substrate.brokers.clone(), subscriptions }),
        };
        Ok(Self { components: vec![capture, ingester], endpoints, topics, client })
    }

    /// Where to send to and to read from.
    pub const fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The components.
    pub fn components(&self) -> &[Child] {
        &self.components
    }

    /// Resolves when a component ends, which none does by itself.
    pub async fn failed(&self) -> ComponentEnded {
        first_end(&self.components).await
    }

    /// Ends capture and ingester and removes what the run has left on the substrate.
    ///
    /// # Errors
    /// When tables or topics cannot be removed.
    pub async fn down(self) -> Result<(), EnvironmentError> {
        for component in &self.components {
            component.stop(GRACE).await;
        }
        Tables::drop(&self.client, &self.endpoints.clickhouse.database).await?;
        match &self.endpoints.kafka {
            Some(kafka) => delete_topics(&kafka.brokers, &self.topics).await,
            None => Ok(()),
        }
    }
}
