//! A run's own pipeline on a substrate: topics, tables, capture, ingester, and where plugins export the exporter and the webhook
//! sink behind it.
//!
//! Everything carries the run's name, so that several pipelines on one substrate do not meet.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use tokio::task::JoinSet;

use super::{
    ClickhouseEndpoint, ComponentEnded, Endpoints, EnvironmentError, KafkaEndpoint, beside,
    budget::{Budget, Share, own_components},
    component::{Component, first_failure},
    exporting::ExportOptions,
    launcher::{Data, Launcher, Role, Stranger},
    port::ReservedPort,
    sink,
    substrate::Addresses,
    tables::{Groups, Tables, Topics, create_topics, delete_topics},
};
use crate::{
    containers::{container::Limits, substitute::Substitutes},
    fault::Target,
    network::{AnyLink, Link},
    pipeline::{
        capture::{buckets::RateLimits, restrictions, routes::Modes},
        defect::PlantedDefect,
        dialect::Dialect,
        plugin::Plugin,
        settings::PROCESSORS,
    },
};

pub(super) const READY_WITHIN: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_millis(1500);
const EVENTS_TABLE: &str = "events";
const GROUPS_TABLE: &str = "groups";
const WARNINGS_TABLE: &str = "ingestion_warnings";
const INGESTERS: [&str; MOST_INGESTERS] =
    ["ingester", "ingester-2", "ingester-3", "ingester-4", "ingester-5", "ingester-6", "ingester-7", "ingester-8"];
/// A pipeline has no more ingesters than this.
pub const MOST_INGESTERS: usize = 8;

/// What so many ingesters are called: `ingester`, `ingester-2`, and so on.
pub fn ingester_names(ingesters: usize) -> impl Iterator<Item = &'static str> {
    INGESTERS.into_iter().take(ingesters)
}

/// How to start a pipeline.
#[derive(Debug, Clone)]
pub struct PipelineOptions {
    /// The run's short name: letters and digits.
    pub run: String,
    /// Which token belongs to which team.
    pub teams: BTreeMap<String, i64>,
    /// How old an event may be when capture receives it, in seconds, for the teams that drop older ones.
    pub age_limits: BTreeMap<i64, u32>,
    /// What capture is there for.
    pub capture_modes: Modes,
    /// From how many days of age on events take the way of imports, if they do for their age.
    pub historical_from_days: Option<u32>,
    /// Whether capture tells addresses of contents that come in parts of their own, and does not refuse them.
    pub blob_store: bool,
    /// How many requests a second a project may make, and how many at once, if that is limited.
    pub rate_limit: Option<RateLimits>,
    /// Tokens whose quota is used up.
    pub over_quota: Vec<String>,
    /// After how long ClickHouse's Kafka engine flushes.
    pub flush_interval: Duration,
    /// How many partitions each topic has.
    pub partitions: u32,
    /// On how many shards the table of events is: 1, or [`MOST_SHARDS`](super::tables::MOST_SHARDS), behind a Distributed table.
    /// Defects of the sink are planted where it is one.
    pub shards: u8,
    /// Whose events are acknowledged and dropped: `token` or `token:distinct_id`.
    pub drop_list: Vec<String>,
    /// What else an operator does to some events.
    pub restrictions: restrictions::Entries,
    /// What overflows whatever comes of it, and has no persons then: `token` or `token:distinct_id`.
    pub forced_keys: Vec<String>,
    /// How many ingesters share the partitions: from 1 to [`MOST_INGESTERS`].
    pub ingesters: usize,
    /// Which generation of PostHog's rules it follows.
    pub dialect: Dialect,
    /// Other people's images in its places and beside it, and the topics that they need.
    pub substitutes: Substitutes,
    /// How often capture takes events of one person onto the main topic, if it counts.
    pub overflow: Option<RateLimits>,
    /// Whether what is more keeps its key.
    pub preserves_locality: bool,
    /// What teams let run over their events, in its order.
    pub plugins: Vec<Plugin>,
    /// How long a plugin may take for an event.
    pub plugin_time_out: Duration,
    /// How events are exported, where plugins export.
    pub exports: Option<ExportOptions>,
    /// What is broken on purpose.
    pub planted_defects: Vec<PlantedDefect>,
    /// The links to the pipeline's own ends that faults will act on: clients to capture, checker to ClickHouse.
    pub linked: Vec<Target>,
    /// What each component may use of the machine that is started for it, where that can be limited.
    pub limits: Limits,
    /// What capture, ingesters and exporter may use together.
    pub budget: Budget,
    /// Where the run's own folder of data is made, which goes when the pipeline does.
    pub folder: PathBuf,
    /// Where logs go.
    pub logs: PathBuf,
}

impl PipelineOptions {
    /// The name goes into SQL, topics and file names, so nothing in it may mean anything there.
    fn check(&self) -> Result<(), EnvironmentError> {
        let fine = !self.run.is_empty() && self.run.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if fine { Ok(()) } else { Err(EnvironmentError::RunName(self.run.clone())) }
    }

    /// What each component of the pipeline's own is held to, and each beside them.
    fn shares(&self) -> Result<(Share, Share), EnvironmentError> {
        let components = own_components(self.ingesters, self.exports.is_some());
        let own = Share::of(self.budget, components, self.limits)?;
        Ok((own, Share { limits: self.limits, ..Share::default() }))
    }
}

/// A running pipeline.
#[derive(Debug)]
pub struct Pipeline {
    pub(super) components: Vec<Component>,
    links: BTreeMap<Target, AnyLink>,
    endpoints: Endpoints,
    pub(super) substrate: Addresses,
    pub(super) topics: Topics,
    pub(super) groups: Groups,
    /// The run's own files.
    folder: PathBuf,
    client: clickhouse::Client,
    /// What a planted defect of the sink does meanwhile; it ends with the pipeline.
    playing: JoinSet<()>,
}

impl Pipeline {
    /// Makes topics and tables, starts capture and ingester, and waits until they are ready.
    ///
    /// # Errors
    /// When something of it cannot be had; nothing of it is left on the substrate then.
    pub async fn up(
        launcher: &Launcher,
        substrate: &Addresses,
        options: &PipelineOptions,
    ) -> Result<Self, EnvironmentError> {
        options.check()?;
        let run = &options.run;
        let (topics, groups) = (Topics::with_further(run, &options.substitutes.topics), Groups::of(run));
        let captured = topics.captured().map(str::to_owned);
        let mut subscriptions: Vec<_> = captured.iter().map(|topic| (groups.ingester.clone(), topic.clone())).collect();
        subscriptions.push((groups.events.clone(), topics.events.clone()));
        subscriptions.push((groups.groups.clone(), topics.groups.clone()));
        subscriptions.push((groups.warnings.clone(), topics.warnings.clone()));
        if options.exports.is_some() {
            subscriptions.push((groups.exporter.clone(), topics.events.clone()));
        }
        let mut pipeline = Self {
            components: Vec::new(),
            links: BTreeMap::new(),
            endpoints: Endpoints {
                capture: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                clickhouse: ClickhouseEndpoint {
                    url: substrate.clickhouse_url.clone(),
                    user: "default".into(),
                    password: String::new(),
                    database: format!("assay_{run}"),
                    events_table: EVENTS_TABLE.into(),
                    groups_table: Some(GROUPS_TABLE.into()),
                    warnings_table: Some(WARNINGS_TABLE.into()),
                },
                kafka: Some(KafkaEndpoint {
                    brokers: substrate.brokers.clone(),
                    subscriptions,
                    capture_topics: captured.to_vec(),
                    dead_letter_topic: topics.dead_letters.clone(),
                    events_topic: topics.events.clone(),
                }),
                webhook: None,
            },
            substrate: substrate.clone(),
            topics,
            groups,
            folder: options.folder.join(format!("run-{run}")),
            client: clickhouse::Client::default()
                .with_url(&substrate.clickhouse_url)
                .with_compression(clickhouse::Compression::None),
            playing: JoinSet::new(),
        };
        match Box::pin(pipeline.start(launcher, options)).await {
            Ok(()) => Ok(pipeline),
            Err(error) => {
                // What made it fail is what matters; taking down may well fail for the same reason.
                let _ = Box::pin(pipeline.down()).await;
                Err(error)
            }
        }
    }

    async fn start(&mut self, launcher: &Launcher, options: &PipelineOptions) -> Result<(), EnvironmentError> {
        for folder in [&self.folder, &options.logs] {
            let what = || format!("the folder {} cannot be made", folder.display());
            std::fs::create_dir_all(folder).map_err(|source| EnvironmentError::System { what: what(), source })?;
        }
        let system = |what: &'static str| move |source| EnvironmentError::System { what: what.into(), source };
        create_topics(&self.substrate.brokers, &self.topics, options.partitions).await?;
        let port = ReservedPort::new(None).map_err(system("no port for the capture can be had"))?;
        self.endpoints.capture.set_port(port.get());
        let data = launcher.data(&self.folder).await?;
        let (own, beside) = options.shares()?;
        let role = |name, plays, environment, port| Role {
            name,
            called: None,
            plays,
            environment,
            port,
            share: &own,
            data: &data,
            logs: &options.logs,
            within: READY_WITHIN,
        };
        let planted = sink::planted(&options.planted_defects);
        let tables_first = !options.substitutes.further.is_empty();
        if tables_first {
            self.tables(options).create(&self.client, planted).await?;
            self.start_beside(launcher, &beside, options).await?;
        }
        let (told, hosts) = (self.told(options), beside::hosts(launcher, options));
        let stranger = |name, substitute, role: BTreeMap<String, String>, port| Stranger {
            name,
            substitute,
            told: told.clone().into_iter().chain(role).collect(),
            hosts: &hosts,
            port,
            share: &own,
            data: Some(&data),
            logs: &options.logs,
        };
        let environment = self.capture(launcher.listens_at(port.get()), options);
        let capture = match &options.substitutes.capture {
            Some(substitute) => {
                launcher.start_stranger(stranger("capture", substitute, environment, Some(port))).left_future()
            }
            None => launcher.start(role("capture", "capture", environment, Some(port))).right_future(),
        };
        let ingesters = ingester_names(options.ingesters).map(|name| {
            let environment = self.ingester(name, &data, options);
            match &options.substitutes.ingester {
                Some(substitute) => {
                    launcher.start_stranger(stranger(name, substitute, environment, None)).left_future()
                }
                None => launcher.start(role(name, "ingester", environment, None)).right_future(),
            }
        });
        let exporting = self.exporting(launcher, &data, (&own, &beside), options);
        let starting = futures_util::future::join3(capture, futures_util::future::join_all(ingesters), exporting);
        let (capture, ingesters, exporting) = starting.await;
        let (webhook, exporting) = exporting?;
        self.endpoints.webhook = webhook;
        self.components.extend(exporting);
        for started in std::iter::once(capture).chain(ingesters) {
            self.components.push(started?);
        }
        let ready = futures_util::future::try_join_all(self.components.iter().map(Component::ready));
        let tables =
            async { if tables_first { Ok(()) } else { self.tables(options).create(&self.client, planted).await } };
        tokio::try_join!(ready, tables)?;
        for target in &options.linked {
            let upstream = match target {
                Target::ClientCapture => self.endpoints.capture,
                Target::CheckerClickhouse => address(&self.endpoints.clickhouse.url)?,
                _ => continue,
            };
            let link = Link::open(upstream).await.map_err(system("a link cannot be opened"))?;
            if *target == Target::ClientCapture {
                self.endpoints.capture = link.address();
            } else {
                self.endpoints.clickhouse.url = format!("http://{}", link.address());
            }
            self.links.insert(*target, AnyLink::Here(Arc::new(link)));
        }
        if let Some(defect) = planted {
            let database = self.endpoints.clickhouse.database.clone();
            let log = options.logs.join("sink.log");
            self.playing.spawn(sink::play(self.client.clone(), database, defect.clone(), log));
        }
        Ok(())
    }

    /// What the run's tables are made of.
    fn tables(&self, options: &PipelineOptions) -> Tables<'_> {
        Tables {
            database: &self.endpoints.clickhouse.database,
            brokers: self.substrate.brokers_for(Target::ClickhouseKafka),
            topics: &self.topics,
            groups: &self.groups,
            flush_interval: options.flush_interval,
            group_columns: options.substitutes.ingester.is_some(),
            shards: options.shards,
        }
    }

    /// The role's variables, by PostHog's names where they exist.
    fn capture(&self, listens_at: SocketAddr, options: &PipelineOptions) -> BTreeMap<String, String> {
        let overflow = options.overflow.unwrap_or_default();
        let mut variables = variables([
            ("ADDRESS", listens_at.to_string()),
            ("KAFKA_HOSTS", self.substrate.brokers_for(Target::CaptureKafka).to_owned()),
            ("KAFKA_TOPIC", self.topics.capture.clone()),
            ("KAFKA_HISTORICAL_TOPIC", self.topics.historical.clone()),
            ("KAFKA_OVERFLOW_TOPIC", self.topics.overflow.clone()),
            ("KAFKA_SESSION_RECORDING_SNAPSHOT_ITEM_EVENTS_TOPIC", self.topics.recordings.clone()),
            ("KAFKA_HEATMAPS_TOPIC", self.topics.heatmaps.clone()),
            ("KAFKA_CLIENT_INGESTION_WARNING_TOPIC", self.topics.client_warnings.clone()),
            ("KAFKA_EXCEPTIONS_TOPIC", self.topics.exceptions.clone()),
            // The same by its later name.
            ("KAFKA_ERROR_TRACKING_TOPIC", self.topics.exceptions.clone()),
            ("CAPTURE_ANALYTICS_AI_EVENTS_TOPIC", self.topics.ai.clone()),
            ("ENABLE_HISTORICAL_REROUTING", options.historical_from_days.is_some().to_string()),
            ("HISTORICAL_REROUTING_THRESHOLD_DAYS", options.historical_from_days.unwrap_or(1).to_string()),
            ("CAPTURE_MODE", options.capture_modes.to_string()),
            ("OVERFLOW_ENABLED", options.overflow.is_some().to_string()),
            ("OVERFLOW_PER_SECOND_LIMIT", overflow.per_second.to_string()),
            ("OVERFLOW_BURST_LIMIT", overflow.burst.to_string()),
            ("OVERFLOW_PRESERVE_PARTITION_LOCALITY", options.preserves_locality.to_string()),
            ("INGESTION_FORCE_OVERFLOW_BY_TOKEN_DISTINCT_ID", options.forced_keys.join(",")),
            ("ASSAY_EVENT_RESTRICTIONS", json(&options.restrictions)),
            ("KAFKA_DLQ_TOPIC", self.topics.dead_letters.clone()),
            ("KAFKA_REPLAY_OVERFLOW_TOPIC", self.topics.recordings_overflow.clone()),
            ("DIALECT", options.dialect.to_string()),
            ("DROP_EVENTS_BY_TOKEN_DISTINCT_ID", options.drop_list.join(",")),
            ("ASSAY_PLANTED_DEFECTS", json(&options.planted_defects)),
            ("ASSAY_TOKENS_OVER_QUOTA", json(&options.over_quota)),
        ]);
        if options.blob_store {
            variables.insert("AI_S3_BUCKET".to_owned(), "assay-blobs".to_owned());
        }
        if let Some(RateLimits { per_second, burst }) = options.rate_limit {
            variables.insert("ASSAY_RATE_LIMIT_PER_SECOND".to_owned(), per_second.to_string());
            variables.insert("ASSAY_RATE_LIMIT_BURST".to_owned(), burst.to_string());
        }
        variables.extend(confined(options));
        variables
    }

    fn ingester(&self, name: &str, data: &Data, options: &PipelineOptions) -> BTreeMap<String, String> {
        let mut variables = variables([
            ("KAFKA_HOSTS", self.substrate.brokers_for(Target::IngesterKafka).to_owned()),
            ("INGESTION_CONSUMER_CONSUME_TOPIC", self.topics.captured().join(",")),
            ("DIALECT", options.dialect.to_string()),
            ("INGESTION_CONSUMER_GROUP_ID", self.groups.ingester.clone()),
            ("INGESTION_CONSUMER_GROUP_INSTANCE_ID", name.to_owned()),
            ("INGESTION_CONSUMER_DLQ_TOPIC", self.topics.dead_letters.clone()),
            ("CLICKHOUSE_JSON_EVENTS_KAFKA_TOPIC", self.topics.events.clone()),
            ("CLICKHOUSE_PERSON_KAFKA_TOPIC", self.topics.persons.clone()),
            ("CLICKHOUSE_PERSON_DISTINCT_ID_KAFKA_TOPIC", self.topics.distinct_ids.clone()),
            ("CLICKHOUSE_GROUPS_KAFKA_TOPIC", self.topics.groups.clone()),
            ("CLICKHOUSE_INGESTION_WARNINGS_KAFKA_TOPIC", self.warnings(options)),
            ("ASSAY_TEAMS", json(&options.teams)),
            ("ASSAY_DROP_EVENTS_OLDER_THAN", json(&options.age_limits)),
            ("ASSAY_PLUGINS", json(&options.plugins)),
            ("TASK_TIMEOUT", options.plugin_time_out.as_secs_f64().to_string()),
            ("ASSAY_PERSON_STORE", data.path.join("persons.sqlite").display().to_string()),
            ("ASSAY_PLANTED_DEFECTS", json(&options.planted_defects)),
        ]);
        variables.extend(confined(options));
        variables
    }

    /// The topic of warnings; none in 2021, before there were any.
    fn warnings(&self, options: &PipelineOptions) -> String {
        if options.dialect == Dialect::V2021 { String::new() } else { self.topics.warnings.clone() }
    }

    /// Where to send to and to read from.
    pub const fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The components.
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// The links to the pipeline's ends that faults can act on.
    pub const fn links(&self) -> &BTreeMap<Target, AnyLink> {
        &self.links
    }

    /// The run's topics.
    pub const fn topics(&self) -> &Topics {
        &self.topics
    }

    /// Resolves when a component ends although it is meant to run, which none does by itself.
    pub async fn failed(&self) -> ComponentEnded {
        first_failure(&self.components).await
    }

    /// Ends capture and ingester and removes what the run has left on the substrate.
    ///
    /// # Errors
    /// When tables or topics cannot be removed.
    pub async fn down(mut self) -> Result<(), EnvironmentError> {
        self.playing.shutdown().await;
        futures_util::future::join_all(self.components.iter().map(|component| component.stop(GRACE))).await;
        // The tables first: they consume the topics.
        let dropped = Tables::drop(&self.client, &self.endpoints.clickhouse.database).await;
        let deleted = delete_topics(&self.substrate.brokers, &self.topics).await;
        // The substrate's end would remove it at the latest.
        let _ = std::fs::remove_dir_all(&self.folder);
        dropped.and(deleted)
    }
}

/// Where `url`, which we have made ourselves, leads to.
fn address(url: &str) -> Result<SocketAddr, EnvironmentError> {
    url.strip_prefix("http://").and_then(|address| address.parse().ok()).ok_or_else(|| EnvironmentError::System {
        what: format!("{url} is no address that a link can lead to"),
        source: std::io::ErrorKind::InvalidInput.into(),
    })
}

pub(super) fn variables<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Tells a role on how many processors it runs together with the pipeline's others.
pub(super) fn confined(options: &PipelineOptions) -> Option<(String, String)> {
    options.budget.processors.map(|processors| (PROCESSORS.to_owned(), processors.to_string()))
}

pub(super) fn json(value: &impl serde::Serialize) -> String {
    // Text keys and plain values always have a JSON form.
    serde_json::to_string(value).unwrap_or_default()
}
