//! Where a pipeline shall run, and starting a substrate there.

use std::path::{Path, PathBuf};

use reports::progress::Progress;
use serde::{Deserialize, Serialize};
use testenv::{
    containers::{
        self,
        container::Limits,
        images::{Images, Part},
    },
    embedded::{
        self,
        artefacts::{KAFKA_VERSION, Places, prepare},
    },
    environment::{
        launcher::Launcher,
        substrate::{Addresses, Substrate},
    },
    fault::Target,
};

use super::unavailable;
use crate::{
    external::External,
    failure::{Failure, Kind},
};

/// A name that begins with `word` and that no other has: several may share a daemon, and process ids come again in every
/// namespace.
pub fn unique(word: &str) -> String {
    format!("{word}{:012x}", rand::random::<u64>() >> 16)
}

/// Where the pipeline shall run.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// On a substrate of its own.
    Own(Own),
    /// On a substrate that is up already.
    Shared(Shared),
    /// It runs already, and is somebody else's.
    External(Box<External>),
}

/// What a substrate of one's own is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Own {
    /// Child processes, on these ports if they are the user's wish.
    Embedded {
        /// Kafka's.
        kafka_port: Option<u16>,
        /// ClickHouse's.
        clickhouse_port: Option<u16>,
        /// Further settings of Kafka's.
        kafka_settings: Option<PathBuf>,
    },
    /// Containers of these images.
    Containers(Images),
}

/// A substrate that is up already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shared {
    /// Where it is.
    pub addresses: Addresses,
    /// Its containers, if it is made of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containers: Option<SharedContainers>,
}

/// What a pipeline needs to know of the containers that it joins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedContainers {
    /// Their network.
    pub network: String,
    /// Their images.
    pub images: Images,
}

impl Wanted {
    /// The kind's name.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Own(Own::Embedded { .. }) | Self::Shared(Shared { containers: None, .. }) => "embedded",
            Self::Own(Own::Containers(_)) | Self::Shared(Shared { containers: Some(_), .. }) => "containers",
            Self::External(_) => "external",
        }
    }

    /// Which Kafka that is, as far as it is known.
    pub(super) fn kafka(&self) -> String {
        match self {
            Self::Own(Own::Embedded { .. }) | Self::Shared(Shared { containers: None, .. }) => KAFKA_VERSION.to_owned(),
            Self::Own(Own::Containers(images))
            | Self::Shared(Shared { containers: Some(SharedContainers { images, .. }), .. }) => {
                images.of(Part::Kafka).to_string()
            }
            Self::External(external) => match external.kafka {
                Some(_) => "somebody else's".into(),
                None => "not read".into(),
            },
        }
    }
}

/// What a substrate is started with, whatever it is made of.
#[derive(Debug)]
pub struct SubstrateSettings<'a> {
    /// Its short name: letters and digits.
    pub name: String,
    /// Where its data goes; made, and deleted at the end.
    pub folder: &'a Path,
    /// Where logs go.
    pub logs: &'a Path,
    /// The links to Kafka that faults will act on.
    pub linked: Vec<Target>,
    /// Whose disks faults will fill.
    pub disks: Vec<Target>,
    /// What Kafka and ClickHouse may use of the machine, each, where that can be limited.
    pub limits: Limits,
}

impl Own {
    /// Starts a substrate, and fetches before what it needs.
    ///
    /// # Errors
    /// When something of it cannot be had; nothing is left running then.
    pub async fn start(&self, settings: SubstrateSettings<'_>, progress: &Progress) -> Result<Substrate, Failure> {
        let SubstrateSettings { name, folder, logs, linked, disks, limits } = settings;
        let tell = |line: &str| progress.step(line);
        let executable = executable()?;
        let (folder, logs) = (folder.to_owned(), logs.to_owned());
        let started = match self {
            Self::Embedded { kafka_port, clickhouse_port, kafka_settings } => {
                let artefacts = tokio::task::block_in_place(|| prepare(&Places::of_user(), &tell));
                let artefacts = artefacts.map_err(|error| unavailable(error.into()))?;
                embedded::kafka::rehearse(&executable, &artefacts, &tell).await.map_err(unavailable)?;
                let (kafka_port, clickhouse_port) = (*kafka_port, *clickhouse_port);
                progress.now(STARTING.into());
                embedded::substrate::up(&embedded::substrate::SubstrateOptions {
                    executable,
                    artefacts,
                    folder,
                    logs,
                    kafka_port,
                    clickhouse_port,
                    linked,
                    kafka_settings: kafka_settings.clone(),
                })
                .await
            }
            Self::Containers(images) => {
                let images = images.clone();
                let options = containers::substrate::SubstrateOptions {
                    run: name,
                    executable,
                    images,
                    folder,
                    logs,
                    linked,
                    disks,
                    limits,
                    ready_within: containers::substrate::READY_WITHIN,
                };
                progress.now(STARTING.into());
                Box::pin(containers::substrate::up(&options, &tell)).await
            }
        };
        started.map_err(unavailable)
    }
}

const STARTING: &str = "starting Kafka and ClickHouse";

impl Shared {
    /// `substrate`, which was started as `own`, for other runs to join.
    pub fn of(substrate: &Substrate, own: &Own) -> Self {
        let containers = match (substrate.launcher(), own) {
            (Launcher::Containers(docker), Own::Containers(images)) => {
                Some(SharedContainers { network: docker.network().to_owned(), images: images.clone() })
            }
            _ => None,
        };
        Self { addresses: substrate.addresses().clone(), containers }
    }
}

/// The running executable.
///
/// # Errors
/// When the system does not say which it is.
pub fn executable() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::caused(Kind::Internal, "Assay's own executable cannot be found", "", error))
}
