//! A run's tables in ClickHouse, and its topics and consumer groups in Kafka.
//!
//! Their names begin with the run's, so that several runs on one substrate do not meet.

use std::time::{Duration, Instant};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    metadata::MetadataTopic,
    types::RDKafkaErrorCode,
};

use super::sink;
use crate::{environment::EnvironmentError, pipeline::defect::PlantedDefect};

/// A statement that takes longer has gone astray.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The names of a run's topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// What capture writes and the ingester reads.
    pub capture: String,
    /// The same for imports of old events, so that they do not hold up new ones.
    pub historical: String,
    /// The same for what comes too often of one person.
    pub overflow: String,
    /// What the ingester could not process.
    pub dead_letters: String,
    /// What the ingester writes for the events table.
    pub events: String,
    /// What it writes for the person table.
    pub persons: String,
    /// What it writes for the tables of distinct ids.
    pub distinct_ids: String,
    /// What it writes for the table of groups.
    pub groups: String,
    /// What it warns teams of.
    pub warnings: String,
    /// What capture writes of sessions' recordings.
    pub recordings: String,
    /// The same of those that overflow.
    pub recordings_overflow: String,
    /// What it writes for heatmaps.
    pub heatmaps: String,
    /// What it writes of clients' own warnings.
    pub client_warnings: String,
    /// What it writes of exceptions, for the ingester as well.
    pub exceptions: String,
    /// What it writes of AI, for the ingester as well.
    pub ai: String,
    /// Those that other people's images need beside.
    pub further: Vec<String>,
}

impl Topics {
    /// What the names of all topics of `run` begin with.
    pub fn prefix(run: &str) -> String {
        format!("{run}_")
    }

    /// The topics of `run`: the contract's names, with the run before them.
    pub fn of(run: &str) -> Self {
        let name = |name: &str| Self::prefix(run) + name;
        Self {
            capture: name("events_plugin_ingestion"),
            historical: name("events_plugin_ingestion_historical"),
            overflow: name("events_plugin_ingestion_overflow"),
            dead_letters: name("events_plugin_ingestion_dlq"),
            events: name("clickhouse_events_json"),
            persons: name("clickhouse_person"),
            distinct_ids: name("clickhouse_person_distinct_id"),
            groups: name("clickhouse_groups"),
            warnings: name("clickhouse_ingestion_warnings"),
            recordings: name("session_recording_snapshot_item_events"),
            recordings_overflow: name("session_recording_snapshot_item_overflow"),
            heatmaps: name("heatmaps_ingestion"),
            client_warnings: name("client_iwarnings_ingestion"),
            exceptions: name("exceptions_ingestion"),
            ai: name("events_plugin_ingestion_ai"),
            further: Vec::new(),
        }
    }

    /// The topics of `run`, and beside them those that are called as in `further`, with the run before them as well.
    pub fn with_further(run: &str, further: &[String]) -> Self {
        let prefix = Self::prefix(run);
        Self { further: further.iter().map(|name| format!("{prefix}{name}")).collect(), ..Self::of(run) }
    }

    /// Whether every run has a topic of this name, with the run's before it.
    pub fn has(name: &str) -> bool {
        let (prefix, every) = (Self::prefix("x"), Self::of("x"));
        every.all().iter().any(|topic| topic.strip_prefix(&prefix) == Some(name))
    }

    /// What capture writes for the ingester.
    pub fn captured(&self) -> [&str; 5] {
        [&self.capture, &self.historical, &self.overflow, &self.exceptions, &self.ai]
    }

    fn all(&self) -> Vec<&str> {
        let Self { capture, historical, overflow, dead_letters, events, persons, distinct_ids, .. } = self;
        let Self { groups, warnings, recordings, recordings_overflow, heatmaps, client_warnings, .. } = self;
        let Self { exceptions, ai, further, .. } = self;
        let every = [
            capture,
            historical,
            overflow,
            dead_letters,
            events,
            persons,
            distinct_ids,
            groups,
            warnings,
            recordings,
            recordings_overflow,
            heatmaps,
            client_warnings,
            exceptions,
            ai,
        ];
        every.into_iter().chain(further).map(String::as_str).collect()
    }
}

/// The names of a run's consumer groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    /// The ingester.
    pub ingester: String,
    /// What feeds the events table.
    pub events: String,
    /// What feeds the person table.
    pub persons: String,
    /// What feeds the table of distinct ids.
    pub distinct_ids: String,
    /// What feeds the table of distinct ids that were moved.
    pub overrides: String,
    /// What feeds the table of groups.
    pub groups: String,
    /// What feeds the table of warnings.
    pub warnings: String,
    /// The exporter.
    pub exporter: String,
}

impl Groups {
    /// The groups of `run`: PostHog's names, with the run before them.
    pub fn of(run: &str) -> Self {
        let name = |name: &str| format!("{run}_{name}");
        Self {
            ingester: name("ingester"),
            events: name("clickhouse_events_json"),
            persons: name("clickhouse_person"),
            distinct_ids: name("clickhouse_person_distinct_id"),
            overrides: name("clickhouse-person-distinct-id-overrides"),
            groups: name("clickhouse_groups"),
            warnings: name("clickhouse_ingestion_warnings"),
            exporter: name("clickhouse-plugin-server-async"),
        }
    }
}

fn admin(brokers: &str) -> Result<AdminClient<DefaultClientContext>, EnvironmentError> {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .map_err(|source| EnvironmentError::Kafka { what: "an admin client".into(), source })
}

/// Creates the topics.
///
/// # Errors
/// When Kafka refuses.
pub async fn create_topics(brokers: &str, topics: &Topics, partitions: u32) -> Result<(), EnvironmentError> {
    let new: Vec<NewTopic<'_>> = topics
        .all()
        .into_iter()
        .map(|name| NewTopic::new(name, i32::try_from(partitions).unwrap_or(i32::MAX), TopicReplication::Fixed(1)))
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    let refused = |source| EnvironmentError::Kafka { what: "creating the run's topics".into(), source };
    let results = admin(brokers)?.create_topics(&new, &options).await.map_err(refused)?;
    for result in results {
        result.map_err(|(topic, code)| EnvironmentError::Kafka {
            what: format!("creating the topic {topic}"),
            source: rdkafka::error::KafkaError::AdminOp(code),
        })?;
    }
    let (brokers, topics) = (brokers.to_owned(), topics.clone());
    let known = tokio::task::spawn_blocking(move || wait_until_known(&brokers, &topics, partitions as usize)).await;
    known.unwrap_or(Err(rdkafka::error::KafkaError::Canceled)).map_err(refused)
}

/// Waits until the broker knows of every partition and its leader, which comes a little after it has agreed to make them,
/// and until that leader answers: for a moment after it was named it still says that it is none.
fn wait_until_known(brokers: &str, topics: &Topics, partitions: usize) -> Result<(), rdkafka::error::KafkaError> {
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", brokers).create()?;
    let deadline = Instant::now() + ANSWER_WITHIN;
    for topic in topics.all() {
        loop {
            let metadata = consumer.fetch_metadata(Some(topic), ANSWER_WITHIN)?;
            let known = metadata.topics().iter().flat_map(MetadataTopic::partitions);
            let led = known.filter(|partition| {
                partition.leader() >= 0 && consumer.fetch_watermarks(topic, partition.id(), ANSWER_WITHIN).is_ok()
            });
            if led.count() == partitions {
                break;
            }
            if Instant::now() > deadline {
                return Err(rdkafka::error::KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(())
}

/// Deletes the topics; what is gone already stays gone.
///
/// The consumer groups go by themselves: ClickHouse's consumers do not say goodbye, so a group cannot be deleted before
/// their session has timed out, and an empty group whose topics are gone is forgotten by Kafka.
///
/// # Errors
/// When Kafka cannot be asked.
pub async fn delete_topics(brokers: &str, topics: &Topics) -> Result<(), EnvironmentError> {
    let options = AdminOptions::new();
    let refused = |source| EnvironmentError::Kafka { what: "deleting the run's topics".into(), source };
    admin(brokers)?.delete_topics(&topics.all(), &options).await.map(|_| ()).map_err(refused)
}

/// The tables, a family a file.
const SCHEMA: [&str; 4] = [
    include_str!("../../schema/events.sql"),
    include_str!("../../schema/persons.sql"),
    include_str!("../../schema/groups.sql"),
    include_str!("../../schema/warnings.sql"),
];
/// What the table of events becomes on a cluster of [`MOST_SHARDS`] shards.
const SHARDS: &str = include_str!("../../schema/shards.sql");
/// The table of events may be on so many shards, or on one server.
pub const MOST_SHARDS: u8 = 2;

/// What the schema's placeholders stand for.
#[derive(Debug)]
pub struct Tables<'a> {
    /// The database.
    pub database: &'a str,
    /// Kafka's address.
    pub brokers: &'a str,
    /// The topics.
    pub topics: &'a Topics,
    /// The consumer groups.
    pub groups: &'a Groups,
    /// After how long the Kafka engine flushes.
    pub flush_interval: Duration,
    /// Whether the ingester may say of events what their groups are. The reference ingester does not, no more than
    /// PostHog's of today, and the Kafka engine takes 2 µs for each column of each row that is not there.
    pub group_columns: bool,
    /// On how many shards the events are: 1, where there is no cluster, or [`MOST_SHARDS`].
    pub shards: u8,
}

impl Tables<'_> {
    /// Creates the database and everything in it, with the planted defect of the sink if there is one.
    ///
    /// # Errors
    /// When ClickHouse refuses.
    pub async fn create(
        &self,
        client: &clickhouse::Client,
        planted: Option<&PlantedDefect>,
    ) -> Result<(), EnvironmentError> {
        execute(client, &format!("CREATE DATABASE `{}`", self.database)).await?;
        for statement in schema(self.shards) {
            let filled = self.fill(&statement);
            let statements = match planted {
                Some(defect) => sink::views(&filled, self.database, defect),
                None => vec![filled],
            };
            for statement in statements {
                execute(client, &statement).await?;
            }
        }
        Ok(())
    }

    /// Drops the database and everything in it; one that is not there is fine.
    ///
    /// The embedded engine never runs the background task that removes a dropped table's files: `DROP … SYNC` would wait
    /// for it for ever, and a plain `DROP` leaves the files. `TRUNCATE` removes them at once, so it goes first, after the
    /// Kafka tables are gone that would fill the others again.
    ///
    /// # Errors
    /// When ClickHouse refuses.
    pub async fn drop(client: &clickhouse::Client, database: &str) -> Result<(), EnvironmentError> {
        let tables = client
            .query("SELECT name, engine FROM system.tables WHERE database = ? ORDER BY name")
            .bind(database)
            .fetch_all::<(String, String)>();
        let tables = answered("listing the run's tables", tables).await?;
        let with = |suffix: &'static str| tables.iter().filter(move |(_, engine)| engine.ends_with(suffix));
        for (table, _) in with("Kafka") {
            execute(client, &format!("DROP TABLE IF EXISTS `{database}`.`{table}`")).await?;
        }
        for (table, _) in with("MergeTree") {
            execute(client, &format!("TRUNCATE TABLE IF EXISTS `{database}`.`{table}`")).await?;
        }
        execute(client, &format!("DROP DATABASE IF EXISTS `{database}`")).await
    }

    fn fill(&self, statement: &str) -> String {
        let (columns, names) = if self.group_columns { group_columns() } else { Default::default() };
        statement
            .replace("{group_columns}", &columns)
            .replace("{group_names}", &names)
            .replace("{database}", self.database)
            .replace("{brokers}", self.brokers)
            .replace("{flush_interval_ms}", &self.flush_interval.as_millis().to_string())
            .replace("{events_topic}", &self.topics.events)
            .replace("{events_group}", &self.groups.events)
            .replace("{persons_topic}", &self.topics.persons)
            .replace("{persons_group}", &self.groups.persons)
            .replace("{distinct_ids_topic}", &self.topics.distinct_ids)
            .replace("{distinct_ids_group}", &self.groups.distinct_ids)
            .replace("{overrides_group}", &self.groups.overrides)
            .replace("{groups_topic}", &self.topics.groups)
            .replace("{groups_group}", &self.groups.groups)
            .replace("{warnings_topic}", &self.topics.warnings)
            .replace("{warnings_group}", &self.groups.warnings)
    }
}

pub(crate) async fn execute(client: &clickhouse::Client, statement: &str) -> Result<(), EnvironmentError> {
    // To the client a single question mark is a place for a value.
    let statement = statement.replace('?', "??");
    answered(statement.lines().next().unwrap_or_default(), client.query(&statement).execute()).await
}

/// Waits for an answer, but not for ever.
async fn answered<T>(
    what: &str,
    answer: impl Future<Output = Result<T, clickhouse::error::Error>>,
) -> Result<T, EnvironmentError> {
    let answer = tokio::time::timeout(ANSWER_WITHIN, answer).await;
    answer
        .unwrap_or(Err(clickhouse::error::Error::TimedOut))
        .map_err(|source| EnvironmentError::Clickhouse { what: what.to_owned(), source: Box::new(source) })
}

/// The columns that say what an event's groups are: as they are declared, and their names.
fn group_columns() -> (String, String) {
    let kinds = [("properties", "String"), ("created_at", "DateTime64(3, 'UTC')")];
    let columns = (0..5).flat_map(|index| kinds.map(|(what, kind)| (format!("group{index}_{what}"), kind)));
    columns.map(|(name, kind)| (format!("{name} {kind}, "), format!("{name}, "))).unzip()
}

/// The statements of a file, without its comments; each ends with a semicolon at a line's end.
fn statements(file: &str) -> Vec<String> {
    let code: Vec<&str> = file.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let statements = code.join("\n");
    statements
        .split(";\n")
        .map(|statement| statement.trim().trim_end_matches(';'))
        .filter(|statement| !statement.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The statements that make everything, with the events on so many shards.
fn schema(shards: u8) -> Vec<String> {
    let all = SCHEMA.iter().flat_map(|file| statements(file));
    if shards < MOST_SHARDS {
        return all.collect();
    }
    let on_shards = |statement: String| {
        if statement.starts_with("CREATE TABLE `{database}`.events (") {
            // The table of one server is that of the first shard.
            let first = statement.replacen(".events (", ".sharded_events_1 (", 1);
            [vec![first], statements(SHARDS)].concat()
        } else {
            vec![statement.replace(" TO `{database}`.events AS", " TO `{database}`.writable_events AS")]
        }
    };
    all.flat_map(on_shards).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_placeholder_is_filled() {
        let (topics, groups) = (Topics::of("r1"), Groups::of("r1"));
        let tables = Tables {
            database: "d",
            brokers: "127.0.0.1:1",
            topics: &topics,
            groups: &groups,
            flush_interval: Duration::from_millis(500),
            group_columns: true,
            shards: MOST_SHARDS,
        };
        for statement in schema(1).into_iter().chain(schema(MOST_SHARDS)) {
            let filled = tables.fill(&statement);
            assert!(filled.starts_with("CREATE "), "{filled}");
            assert!(!filled.contains('{') && !filled.contains('}'), "{filled}");
        }
    }

    #[test]
    fn further_topics_carry_the_runs_name_and_are_none_that_every_run_has() {
        let topics = Topics::with_further("r1", &["clickhouse_app_metrics".into()]);
        assert_eq!(topics.all().len(), Topics::of("r1").all().len() + 1);
        assert_eq!(topics.all().last(), Some(&"r1_clickhouse_app_metrics"));
        assert!(Topics::has("clickhouse_events_json") && !Topics::has("clickhouse_app_metrics"));
    }

    #[test]
    fn on_shards_the_events_go_through_distributed_tables() {
        let (one, two) = (schema(1), schema(MOST_SHARDS));
        assert_eq!(two.len() - one.len(), statements(SHARDS).len());
        let made = |schema: &[String], name: &str| {
            let named = format!("`{{database}}`.{name} ");
            schema.iter().position(|statement| statement.lines().next().unwrap_or_default().contains(&named))
        };
        assert!(one[made(&one, "events").unwrap()].contains("ENGINE = ReplacingMergeTree(_timestamp)"));
        assert!(two[made(&two, "sharded_events_1").unwrap()].contains("ENGINE = ReplacingMergeTree(_timestamp)"));
        assert!(two[made(&two, "events").unwrap()].contains("ENGINE = Distributed("));
        let into = |schema: &[String]| schema[made(schema, "events_json_mv").unwrap()].clone();
        assert!(into(&one).contains(" TO `{database}`.events AS") && into(&two).contains(".writable_events AS"));
        assert!(made(&two, "sharded_events_in") < made(&two, "writable_events"), "what is named is there");
        assert!(made(&two, "writable_events") < made(&two, "events_json_mv"));
    }
}
