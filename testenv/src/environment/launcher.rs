//! What components are started on: child processes or containers.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    EnvironmentError,
    budget::{Share, is_own},
    component::{Component, Readiness},
    life::Recipe,
    port::ReservedPort,
};
use crate::{
    containers::{container::ContainerSpec, docker::Docker, substitute::Substitute},
    embedded::{
        children::{ChildSpec, Guard},
        quota::Quotas,
    },
    pipeline::settings::CONTROL_GROUP,
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
    /// Where others find it ([`Launcher::host`]), if they do by a name.
    pub called: Option<String>,
    /// The role that it plays.
    pub plays: &'static str,
    /// Its configuration.
    pub environment: BTreeMap<String, String>,
    /// The port that it listens on, if it is told one.
    pub port: Option<ReservedPort>,
    /// What it is held to, where components can be.
    pub share: &'a Share,
    /// The run's own data.
    pub data: &'a Data,
    /// Where logs go.
    pub logs: &'a Path,
    /// How long it may take to become ready.
    pub within: Duration,
}

/// A substitute for a role, or a component beside the pipeline.
#[derive(Debug)]
pub(crate) struct Stranger<'a> {
    /// The component's name, by which others on the network reach it as well.
    pub name: &'static str,
    /// What it is.
    pub substitute: &'a Substitute,
    /// What it is told of the run, and as the role that it takes the place of.
    pub told: BTreeMap<String, String>,
    /// The components that its variables may name, and where they are.
    pub hosts: &'a BTreeMap<String, String>,
    /// The port on the loopback by which it is to be reached, if it is.
    pub port: Option<ReservedPort>,
    /// What it is held to.
    pub share: &'a Share,
    /// The run's own data, where it takes a role's place.
    pub data: Option<&'a Data>,
    /// Where logs go.
    pub logs: &'a Path,
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

    /// Where others on the components' network find the one that is called `name`.
    pub(crate) fn host(&self, name: &str) -> String {
        match self {
            Self::Processes(_) => Ipv4Addr::LOCALHOST.to_string(),
            Self::Containers(docker) => docker.host(name),
        }
    }

    /// Starts somebody else's image.
    ///
    /// # Errors
    /// When components are child processes, when one of its variables' words stands for nothing, and when the daemon refuses.
    pub(crate) async fn start_stranger(&self, stranger: Stranger<'_>) -> Result<Component, EnvironmentError> {
        let Stranger { name, substitute, told, hosts, port, share, data, logs } = stranger;
        let refused = |what: String| EnvironmentError::Substitute { name: name.to_owned(), what };
        let Self::Containers(docker) = self else {
            return Err(refused("images run in containers: write --env containers".into()));
        };
        let environment = substitute.variables(&told, hosts).map_err(|word| {
            let known = told.keys().chain(hosts.keys()).cloned().collect::<Vec<_>>().join(", ");
            refused(format!("`{{{word}}}` in its variables stands for nothing; known are {known}"))
        })?;
        let inside = |outside: u16| substitute.port.unwrap_or(outside);
        let readiness = match (&substitute.ready, &port) {
            (Some(_), _) => Readiness::SaysSo,
            (None, Some(port)) => Readiness::HttpAnswers(format!("http://127.0.0.1:{}/_readiness", port.get())),
            (None, None) => Readiness::Runs,
        };
        let spec = ContainerSpec {
            is_reached: true,
            image: substitute.image.clone(),
            entry_point: substitute.entry_point.clone(),
            arguments: substitute.command.clone(),
            environment,
            ports: port.iter().map(|port| (port.get(), inside(port.get()))).collect(),
            volumes: data
                .and_then(|data| data.volume.as_ref())
                .map(|volume| (volume.clone(), DATA.to_owned()))
                .into_iter()
                .collect(),
            mounts: substitute.mounts.iter().map(|mount| (mount.source.clone(), mount.inside.clone())).collect(),
            share: share.clone(),
            says: substitute.ready.clone(),
            ..ContainerSpec::role(docker, name, name, logs.join(format!("{name}.log")))
        };
        let ports = port.into_iter().collect();
        Component::start(Recipe::Container(Box::new(spec)), readiness, substitute.within, ports).await
    }

    /// Makes sure that the images of `strangers` are there, each with what it is for; `tell` is told what takes long.
    ///
    /// # Errors
    /// When one can neither be found nor pulled.
    pub async fn have_images<'a>(
        &self,
        strangers: impl Iterator<Item = (&'a str, &'a Substitute)>,
        tell: &(dyn Fn(&str) + Sync),
    ) -> Result<(), EnvironmentError> {
        let Self::Containers(docker) = self else { return Ok(()) };
        for (name, substitute) in strangers {
            docker.have(name, &substitute.image, tell).await?;
        }
        Ok(())
    }

    /// Starts `role`.
    pub(crate) async fn start(&self, role: Role<'_>) -> Result<Component, EnvironmentError> {
        let Role { name, called, plays, environment, port, share, data, logs, within } = role;
        let log = logs.join(format!("{name}.log"));
        let recipe = match self {
            Self::Processes(guard) => {
                let group = control_group(guard, name, share, data)?;
                let group = group.map(|group| (CONTROL_GROUP.to_owned(), group.display().to_string()));
                let environment = environment.into_iter().chain(group).collect();
                let spec = ChildSpec::role(plays, &data.path, logs, environment);
                Recipe::Process(guard.clone(), ChildSpec { name, log, ..spec })
            }
            Self::Containers(docker) => {
                let ports = port.iter().map(|port| (port.get(), port.get())).collect();
                let volumes = data.volume.iter().map(|volume| (volume.clone(), DATA.to_owned())).collect();
                let spec = ContainerSpec::role(docker, name, plays, log);
                let share = share.clone();
                Recipe::Container(Box::new(ContainerSpec { called, environment, ports, volumes, share, ..spec }))
            }
        };
        Component::start(recipe, Readiness::SaysSo, within, port.into_iter().collect()).await
    }
}

/// The control group in which a child process has its share of processor time, where it has one; `data` has a folder of the run's
/// own name. What is beside the pipeline has none.
fn control_group(guard: &Guard, name: &str, share: &Share, data: &Data) -> Result<Option<PathBuf>, EnvironmentError> {
    let Some(processors) = share.limits.processors.filter(|_| is_own(name)) else { return Ok(None) };
    let run = data.path.file_name().unwrap_or_default().to_string_lossy();
    let refused = |source| EnvironmentError::Quota { name: name.to_owned(), source };
    let quotas = Quotas::here().map_err(refused)?;
    quotas.sweep();
    let group = quotas.group(&run, name);
    // Before it is there: who is killed in between leaves nothing.
    guard.delete_at_end(&group)?;
    quotas.make(&group, processors).map_err(refused)?;
    Ok(Some(group))
}
