//! A reference pipeline that stays up with its substrate, and the file by which `run --env external` uses it as it would
//! somebody else's.

use std::fmt::Write as _;
use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use testenv::{
    containers::{container::Limits, substitute::Substitutes},
    environment::{
        Endpoints, READER,
        budget::Budget,
        pipeline::{Pipeline, PipelineOptions},
        substrate::Substrate,
    },
    pipeline::{capture::routes::Modes, dialect::Dialect},
};

use crate::{
    failure::{Failure, Kind},
    plan::TEAM,
    run_directory::write_text,
    runner::unavailable,
};

/// What its tables and topics are called.
const NAME: &str = "standing";
/// The token of its only project.
const TOKEN: &str = "phc_assay_standing";

/// A pipeline that is up, and the files that say where.
#[derive(Debug)]
pub(super) struct Standing {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// What `--external` takes.
    pub file: PathBuf,
    password: PathBuf,
}

impl Standing {
    /// Starts one on `substrate`, with its events on so many shards, and writes the files beside `environment`.
    pub async fn up(
        environment: &Path,
        substrate: &Substrate,
        shards: u8,
        folder: &Path,
        logs: &Path,
    ) -> Result<Self, Failure> {
        let options = PipelineOptions {
            run: NAME.into(),
            teams: BTreeMap::from([(TOKEN.to_owned(), TEAM)]),
            over_quota: Vec::new(),
            flush_interval: Duration::from_millis(500),
            partitions: 4,
            shards,
            age_limits: BTreeMap::new(),
            capture_modes: Modes::default(),
            historical_from_days: None,
            blob_store: false,
            rate_limit: None,
            drop_list: Vec::new(),
            restrictions: BTreeMap::new(),
            forced_keys: Vec::new(),
            ingesters: 1,
            dialect: Dialect::V2026,
            overflow: None,
            preserves_locality: false,
            plugins: Vec::new(),
            plugin_time_out: Duration::from_secs(30),
            substitutes: Substitutes::default(),
            exports: None,
            planted_defects: Vec::new(),
            linked: Vec::new(),
            limits: Limits::default(),
            budget: Budget::default(),
            folder: folder.to_owned(),
            logs: logs.to_owned(),
        };
        let up = Pipeline::up(substrate.launcher(), substrate.addresses(), &options).await;
        let pipeline = up.map_err(unavailable)?;
        let (file, password) = (environment.with_extension("external.toml"), environment.with_extension("password"));
        write_password(&password)?;
        write_text(&file, &external(pipeline.endpoints(), &password))?;
        Ok(Self { pipeline, file, password })
    }

    /// Removes the files: they say where something is that is no longer there.
    pub fn forget(self) {
        let _ = std::fs::remove_file(&self.file);
        let _ = std::fs::remove_file(&self.password);
    }
}

fn write_password(path: &Path) -> Result<(), Failure> {
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
        file.write_all(format!("{}\n", READER.1).as_bytes())
    };
    write().map_err(|error| {
        let what = format!("{} cannot be written", path.display());
        Failure::caused(Kind::Usage, what, "name a file in a folder that you may write to with --file", error)
    })
}

/// What `--external` takes, for a pipeline with these `endpoints`.
fn external(endpoints: &Endpoints, password: &Path) -> String {
    // JSON's strings are TOML's too.
    let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let clickhouse = &endpoints.clickhouse;
    let password = password.file_name().unwrap_or_default().to_string_lossy();
    let mut text = format!(
        "# The pipeline that `assay env up --pipeline` keeps up. docs/your-own-pipeline.md explains\n\
         # every key.\n\n\
         [capture]\nurl = {}\n\n\
         [[project]]\ntoken = {}\nteam = {TEAM}\n\n\
         [clickhouse]\nurl = {}\nuser = {}\npassword_file = {}\ndatabase = {}\ntable = {}\n{}\n\
         [limits]\nmost_events = 1_000_000\nmost_rate = \"10000/s\"\n",
        quoted(&format!("http://{}", endpoints.capture)),
        quoted(TOKEN),
        quoted(&clickhouse.url),
        quoted(READER.0),
        quoted(&password),
        quoted(&clickhouse.database),
        quoted(&clickhouse.events_table),
        clickhouse
            .groups_table
            .as_ref()
            .map_or_else(String::new, |table| format!("groups_table = {}\n", quoted(table))),
    );
    let Some(kafka) = &endpoints.kafka else { return text };
    let topics: Vec<String> = kafka.capture_topics.iter().map(|topic| quoted(topic)).collect();
    let _ = write!(
        text,
        "\n[kafka]\nbrokers = {}\ncapture_topics = [{}]\nevents_topic = {}\ndead_letter_topic = {}\n",
        quoted(&kafka.brokers),
        topics.join(", "),
        quoted(&kafka.events_topic),
        quoted(&kafka.dead_letter_topic),
    );
    for (group, topic) in &kafka.subscriptions {
        let _ = write!(text, "\n[[kafka.group]]\nname = {}\ntopic = {}\n", quoted(group), quoted(topic));
    }
    text
}
