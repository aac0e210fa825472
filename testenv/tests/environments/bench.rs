//! A folder, and environments of either kind in it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use testenv::{
    containers::{self, container::Limits, docker, images::Images, substitute::Substitutes},
    embedded::{
        artefacts::{Artefacts, Places, prepare},
        substrate::{SubstrateOptions, up},
    },
    environment::{
        EnvironmentError,
        budget::Budget,
        pipeline::{Pipeline, PipelineOptions},
        substrate::Substrate,
    },
};

/// What an environment is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Child processes.
    Embedded,
    /// Containers.
    Containers,
}

impl Kind {
    /// Its name, also on the command line of [`own`](crate::substrate::own).
    pub const fn word(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Containers => "containers",
        }
    }

    /// Those that are to be tested: containers where a Docker daemon answers, or as `ASSAY_DOCKER` says (`require`, `auto`,
    /// `off`).
    pub fn all() -> Vec<Self> {
        let wanted = std::env::var("ASSAY_DOCKER").unwrap_or_else(|_| "auto".into());
        let connected = || on_a_runtime(docker::connect());
        let containers = match wanted.as_str() {
            "off" => false,
            "auto" => connected().is_ok(),
            "require" => connected().map(|_| true).unwrap(),
            other => panic!("ASSAY_DOCKER is `{other}`; it may be require, auto or off"),
        };
        if containers { vec![Self::Embedded, Self::Containers] } else { vec![Self::Embedded] }
    }
}

/// The images that `ASSAY_IMAGES` says: `public` or `local`.
pub fn images() -> Images {
    match std::env::var("ASSAY_IMAGES").as_deref() {
        Ok("local") => Images::local(),
        _ => Images::default(),
    }
}

/// The parts of the embedded environment.
pub fn artefacts() -> Artefacts {
    prepare(&Places::of_user(), &|_| ()).unwrap()
}

/// A folder for data and logs, and options to start environments in it.
pub struct Bench {
    /// What they are made of.
    pub kind: Kind,
    folder: tempfile::TempDir,
}

impl Bench {
    pub fn new(kind: Kind) -> Self {
        Self { kind, folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    fn logs(&self) -> PathBuf {
        self.path().join("logs")
    }

    /// How to start an embedded substrate.
    pub fn embedded(&self) -> SubstrateOptions {
        embedded(self.folder.path())
    }

    /// How to start one of containers.
    pub fn containers(&self) -> containers::substrate::SubstrateOptions {
        containers(self.folder.path())
    }

    /// A substrate of the bench's kind.
    pub async fn substrate(&self) -> Substrate {
        substrate(self.kind, self.folder.path()).await
    }

    pub fn pipeline(&self, run: &str) -> PipelineOptions {
        PipelineOptions {
            run: run.into(),
            teams: BTreeMap::from([("token".to_owned(), 1)]),
            over_quota: vec![],
            flush_interval: Duration::from_millis(200),
            partitions: 2,
            shards: 1,
            age_limits: BTreeMap::new(),
            capture_modes: testenv::pipeline::capture::routes::Modes::default(),
            historical_from_days: None,
            blob_store: false,
            rate_limit: None,
            drop_list: Vec::new(),
            restrictions: BTreeMap::new(),
            forced_keys: Vec::new(),
            dialect: testenv::pipeline::dialect::Dialect::default(),
            substitutes: Substitutes::default(),
            overflow: None,
            preserves_locality: false,
            plugins: Vec::new(),
            plugin_time_out: Duration::from_secs(30),
            exports: None,
            planted_defects: Vec::new(),
            ingesters: 1,
            linked: Vec::new(),
            limits: Limits::default(),
            budget: Budget::default(),
            folder: self.data(),
            logs: self.logs().join(run),
        }
    }
}

fn embedded(folder: &Path) -> SubstrateOptions {
    SubstrateOptions {
        executable: std::env::current_exe().unwrap(),
        artefacts: artefacts(),
        logs: folder.join("logs"),
        folder: folder.join("data"),
        kafka_port: None,
        clickhouse_port: None,
        linked: Vec::new(),
        kafka_settings: None,
    }
}

fn containers(folder: &Path) -> containers::substrate::SubstrateOptions {
    // Of the folder's name only letters and digits may be in a run's.
    let name = folder.file_name().unwrap().to_string_lossy();
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    containers::substrate::SubstrateOptions {
        run: format!("test{name}").to_lowercase(),
        executable: std::env::current_exe().unwrap(),
        images: images(),
        logs: folder.join("logs"),
        folder: folder.join("data"),
        linked: Vec::new(),
        disks: Vec::new(),
        limits: Limits::default(),
        ready_within: containers::substrate::READY_WITHIN,
    }
}

/// A substrate with its data and logs in `folder`.
pub async fn substrate(kind: Kind, folder: &Path) -> Substrate {
    let started = match kind {
        Kind::Embedded => up(&embedded(folder)).await,
        Kind::Containers => containers::substrate::up(&containers(folder), &|_| ()).await,
    };
    started.unwrap()
}

pub async fn pipeline_up(substrate: &Substrate, options: &PipelineOptions) -> Result<Pipeline, EnvironmentError> {
    Pipeline::up(substrate.launcher(), substrate.addresses(), options).await
}

pub fn on_a_runtime<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

/// Asks again until the answer is `wanted`, and panics after 20 s.
pub async fn until<T: PartialEq + std::fmt::Debug>(wanted: T, mut ask: impl AsyncFnMut() -> T) {
    let mut answer = ask().await;
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    for _ in 0..400 {
        if answer == wanted {
            return;
        }
        tick.tick().await;
        answer = ask().await;
    }
    assert_eq!(answer, wanted, "after 20 s");
}
