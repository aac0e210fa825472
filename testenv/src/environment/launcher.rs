//! What components are started on: child processes or containers.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    EnvironmentError,
    component::{Component, Readiness},
    life::Recipe,
    port::ReservedPort,
};
use crate::{
    containers::{
        container::{ContainerSpec, Limits},
        docker::Docker,
    },
    embedded::children::{ChildSpec, Guard},
};

/// Where a volume of the run's is in a container.
const DATA: &str = "/var/lib/assay";

/// What components are started on. Clones are the same.
#[derive(Debug, Clone)]
pub enum Launcher {
    /// Child processes.
    Processes(Guard),
    /// Containers.
    Containers(Docker),
}

/// A role to be started as a component.
#[derive(Debug)]
pub(crate) struct Role<'a> {
    /// The component's name.
    pub name: &'static str,
    /// The role that it plays.
    pub plays: &'static str,
    /// Its configuration.
    pub environment: BTreeMap<String, String>,
    /// The port that it listens on, if it is told one.
    pub port: Option<ReservedPort>,
    /// What it may use of the machine, where that can be limited.
    pub limits: Limits,
    /// The run's own data.
    pub data: &'a Data,
    /// Where logs go.
    pub logs: &'a Path,
    /// How long it may take to become ready.
    pub within: Duration,
}

/// A place for data that the components of a pipeline share.
#[derive(Debug, Clone)]
pub(crate) struct Data {
    /// Where components find it.
    pub path: PathBuf,
    /// The volume that it is, in containers.
    volume: Option<String>,
}

impl Launcher {
    /// What ends everything that was started.
    pub fn guard(&self) -> &Guard {
        match self {
            Self::Processes(guard) => guard,
            Self::Containers(docker) => docker.guard(),
        }
    }

    /// Where a component listens that is to be reached on the loopback at `port`.
    pub(crate) fn listens_at(&self, port: u16) -> SocketAddr {
        match self {
            Self::Processes(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            // Only the loopback leads there from outside.
            Self::Containers(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        }
    }

    /// A place for data; on this machine it is `folder`.
    pub(crate) async fn data(&self, folder: &Path) -> Result<Data, EnvironmentError> {
        match self {
            Self::Processes(_) => Ok(Data { path: folder.to_owned(), volume: None }),
            Self::Containers(docker) => {
                Ok(Data { path: DATA.into(), volume: Some(docker.volume("data", None).await?) })
            }
        }
    }

    /// Starts `role`.
    pub(crate) async fn start(&self, role: Role<'_>) -> Result<Component, EnvironmentError> {
        let Role { name, plays, environment, port, limits, data, logs, within } = role;
        let log = logs.join(format!("{name}.log"));
        let recipe = match self {
            Self::Processes(guard) => {
                let spec = ChildSpec::role(plays, &data.path, logs, environment);
                Recipe::Process(guard.clone(), ChildSpec { name, log, ..spec })
            }
            Self::Containers(docker) => {
                let ports = port.iter().map(|port| (port.get(), port.get())).collect();
                let volumes = data.volume.iter().map(|volume| (volume.clone(), DATA.to_owned())).collect();
                let spec = ContainerSpec::role(docker, name, plays, log);
                Recipe::Container(ContainerSpec { environment, ports, volumes, limits, ..spec })
            }
        };
        Component::start(recipe, Readiness::SaysSo, within, port.into_iter().collect()).await
    }
}
