//! What runs beside a run's own pipeline because an image in it needs it, and what every image of other people's is told of the run.
//!
//! Components beside the pipeline are started one after the other: each when the one before it serves, or has ended well where it
//! runs once, as a migration does. The run's topics and tables are there before the first.

use std::collections::BTreeMap;

use super::{
    EnvironmentError,
    budget::Share,
    launcher::{Launcher, Stranger},
    pipeline::{Pipeline, PipelineOptions, json, variables},
    substrate::Addresses,
    tables::{Groups, Topics},
};
use crate::{containers::substitute::Further, name::kept, pipeline::dialect::Dialect};

/// The variables that every image of other people's is told of the run, each with what it says; by PostHog's names where they
/// exist.
pub const TOLD: [(&str, &str); 22] = [
    ("ASSAY_RUN", "the run's name"),
    ("ASSAY_TOKEN", "the token of traffic that says no `team`"),
    ("ASSAY_TEAM_ID", "the number of its team"),
    ("ASSAY_TEAMS", "every token that a project has, with the number of its team: `{\"phc_…\":1,…}`"),
    ("KAFKA_HOSTS", "Kafka's address"),
    ("KAFKA_PREFIX", "what the names of the run's topics begin with"),
    ("KAFKA_TOPIC", "the topic that capture writes"),
    ("KAFKA_HISTORICAL_TOPIC", "the one for imports of old events"),
    ("KAFKA_OVERFLOW_TOPIC", "the one for what comes too often of one person"),
    ("INGESTION_CONSUMER_CONSUME_TOPIC", "the topics that the ingester reads, with commas between them"),
    ("INGESTION_CONSUMER_GROUP_ID", "the ingester's consumer group"),
    ("INGESTION_CONSUMER_DLQ_TOPIC", "the topic of what it could not process"),
    ("CLICKHOUSE_JSON_EVENTS_KAFKA_TOPIC", "the topic that the table of events is fed from"),
    ("CLICKHOUSE_PERSON_KAFKA_TOPIC", "the same for persons"),
    ("CLICKHOUSE_PERSON_DISTINCT_ID_KAFKA_TOPIC", "the same for distinct ids"),
    ("CLICKHOUSE_GROUPS_KAFKA_TOPIC", "the same for groups"),
    ("CLICKHOUSE_INGESTION_WARNINGS_KAFKA_TOPIC", "the same for warnings"),
    ("ASSAY_TOPICS", "the topics of `pipeline.topics` as they are called in this run, with commas between them"),
    ("CLICKHOUSE_HOST", "ClickHouse's host; its user `default` has no password"),
    ("CLICKHOUSE_URL", "its HTTP interface, `http://HOST:PORT`"),
    ("CLICKHOUSE_DATABASE", "the run's database, whose tables are there already"),
    ("DIALECT", "the scenario's `pipeline.dialect`"),
];

/// The run whose variables are told.
struct Run<'a> {
    name: &'a str,
    teams: &'a BTreeMap<String, i64>,
    dialect: Dialect,
    addresses: &'a Addresses,
    topics: &'a Topics,
    groups: &'a Groups,
    database: &'a str,
}

impl Run<'_> {
    /// The variables of [`TOLD`].
    fn told(&self) -> BTreeMap<String, String> {
        let Self { name, teams, addresses, topics, .. } = self;
        let clickhouse = addresses.clickhouse_inside();
        let address = clickhouse.strip_prefix("http://").unwrap_or(clickhouse);
        let host = address.split_once(':').map_or(address, |(host, _)| host);
        // The usual project is the first.
        let (token, team) = teams.iter().min_by_key(|(_, team)| **team).unzip();
        variables([
            ("ASSAY_RUN", (*name).to_owned()),
            ("ASSAY_TOKEN", token.cloned().unwrap_or_default()),
            ("ASSAY_TEAM_ID", team.map(i64::to_string).unwrap_or_default()),
            ("ASSAY_TEAMS", json(teams)),
            ("KAFKA_HOSTS", addresses.brokers_inside().to_owned()),
            ("KAFKA_PREFIX", Topics::prefix(name)),
            ("KAFKA_TOPIC", topics.capture.clone()),
            ("KAFKA_HISTORICAL_TOPIC", topics.historical.clone()),
            ("KAFKA_OVERFLOW_TOPIC", topics.overflow.clone()),
            ("INGESTION_CONSUMER_CONSUME_TOPIC", topics.captured().join(",")),
            ("INGESTION_CONSUMER_GROUP_ID", self.groups.ingester.clone()),
            ("INGESTION_CONSUMER_DLQ_TOPIC", topics.dead_letters.clone()),
            ("CLICKHOUSE_JSON_EVENTS_KAFKA_TOPIC", topics.events.clone()),
            ("CLICKHOUSE_PERSON_KAFKA_TOPIC", topics.persons.clone()),
            ("CLICKHOUSE_PERSON_DISTINCT_ID_KAFKA_TOPIC", topics.distinct_ids.clone()),
            ("CLICKHOUSE_GROUPS_KAFKA_TOPIC", topics.groups.clone()),
            ("CLICKHOUSE_INGESTION_WARNINGS_KAFKA_TOPIC", topics.warnings.clone()),
            ("ASSAY_TOPICS", topics.further.join(",")),
            ("CLICKHOUSE_HOST", host.to_owned()),
            ("CLICKHOUSE_URL", clickhouse.to_owned()),
            ("CLICKHOUSE_DATABASE", self.database.to_owned()),
            ("DIALECT", self.dialect.to_string()),
        ])
    }
}

impl Pipeline {
    /// What every image of other people's is told of the run: the variables of [`TOLD`].
    pub(super) fn told(&self, options: &PipelineOptions) -> BTreeMap<String, String> {
        let run = Run {
            name: &options.run,
            teams: &options.teams,
            dialect: options.dialect,
            addresses: &self.substrate,
            topics: &self.topics,
            groups: &self.groups,
            database: &self.endpoints().clickhouse.database,
        };
        run.told()
    }

    /// Starts what the scenario adds, in its order. What runs once has ended when this is over, and is no component of the
    /// pipeline's: nobody misses it.
    pub(super) async fn start_beside(
        &mut self,
        launcher: &Launcher,
        share: &Share,
        options: &PipelineOptions,
    ) -> Result<(), EnvironmentError> {
        let hosts = hosts(launcher, options);
        for Further { name, substitute, once } in &options.substitutes.further {
            let stranger = Stranger {
                name: kept(name),
                substitute,
                told: self.told(options),
                hosts: &hosts,
                port: None,
                share,
                data: None,
                logs: &options.logs,
            };
            let started = launcher.start_stranger(stranger).await?;
            if *once {
                started.done().await?;
            } else {
                self.components.push(started.clone());
                started.ready().await?;
            }
        }
        Ok(())
    }
}

/// Where the components beside the pipeline are, by the names that variables have for them.
pub(super) fn hosts(launcher: &Launcher, options: &PipelineOptions) -> BTreeMap<String, String> {
    let names = options.substitutes.further.iter().map(|further| &further.name);
    names.map(|name| (name.clone(), launcher.host(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_told_the_documented_variables() {
        let addresses = Addresses {
            brokers: "127.0.0.1:1".into(),
            clickhouse_url: "http://127.0.0.1:2".into(),
            brokers_inside: Some("assay-r1-kafka:9092".into()),
            clickhouse_inside: Some("http://assay-r1-clickhouse:8123".into()),
            linked_brokers: BTreeMap::new(),
        };
        let run = Run {
            name: "r1",
            teams: &[("phc_b".to_owned(), 1), ("phc_a".to_owned(), 2)].into(),
            dialect: Dialect::default(),
            addresses: &addresses,
            topics: &Topics::with_further("r1", &["clickhouse_app_metrics".into()]),
            groups: &Groups::of("r1"),
            database: "assay_r1",
        };
        let told = run.told();
        let documented: std::collections::BTreeSet<&str> = TOLD.iter().map(|(name, _)| *name).collect();
        assert!(told.keys().map(String::as_str).eq(documented), "{told:?}");
        for (name, value) in [
            ("ASSAY_TOKEN", "phc_b"),
            ("ASSAY_TEAM_ID", "1"),
            ("ASSAY_TEAMS", r#"{"phc_a":2,"phc_b":1}"#),
            ("ASSAY_TOPICS", "r1_clickhouse_app_metrics"),
            ("KAFKA_HOSTS", "assay-r1-kafka:9092"),
            ("KAFKA_TOPIC", "r1_events_plugin_ingestion"),
            ("CLICKHOUSE_HOST", "assay-r1-clickhouse"),
            ("CLICKHOUSE_URL", "http://assay-r1-clickhouse:8123"),
            ("CLICKHOUSE_DATABASE", "assay_r1"),
        ] {
            assert_eq!(told[name], value, "{name}");
            assert!(name != "KAFKA_TOPIC" || value.starts_with(&told["KAFKA_PREFIX"]));
        }
    }
}
