//! One life of a component, from its start to its end: a child process or a run of a container.

use std::{path::Path, time::Duration};

use rustix::process::Signal;

use super::in_force::InForce;
use crate::{
    containers::container::{Container, ContainerSpec, Limits},
    embedded::children::{Child, ChildSpec, Guard},
    environment::{ComponentEnded, EnvironmentError},
};

/// How a component is started.
#[derive(Debug, Clone)]
pub(crate) enum Recipe {
    /// As a child process.
    Process(Guard, ChildSpec),
    /// As a container.
    Container(Box<ContainerSpec>),
}

impl Recipe {
    /// The component's name.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Process(_, spec) => spec.name,
            Self::Container(spec) => spec.name,
        }
    }

    /// Where its output goes.
    pub(crate) fn log(&self) -> &Path {
        match self {
            Self::Process(_, spec) => &spec.log,
            Self::Container(spec) => &spec.log,
        }
    }

    /// Begins its first life.
    pub(crate) async fn start(&self) -> Result<Life, EnvironmentError> {
        match self {
            Self::Process(guard, spec) => guard.spawn(spec).map(Life::Process),
            Self::Container(spec) => Container::start(spec).await.map(Life::Container),
        }
    }

    /// Begins another life after `last`.
    pub(crate) async fn start_after(&self, last: &Life) -> Result<Life, EnvironmentError> {
        match last {
            Life::Process(_) => self.start().await,
            Life::Container(container) => container.start_again().await.map(Life::Container),
        }
    }

    /// The recipe of another component like it, with these variables changed, and a log and a name of its own.
    pub(crate) fn another(&self, name: &'static str, changed: &[(&str, String)]) -> Self {
        let changed = changed.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let own = |log: &Path| log.with_file_name(format!("{name}.log"));
        match self {
            Self::Process(guard, spec) => {
                let mut spec = ChildSpec { name, log: own(&spec.log), ..spec.clone() };
                spec.environment.extend(changed);
                Self::Process(guard.clone(), spec)
            }
            Self::Container(spec) => {
                let mut spec =
                    ContainerSpec { name, log: own(&spec.log), ports: Vec::new(), ..ContainerSpec::clone(spec) };
                spec.environment.extend(changed);
                Self::Container(Box::new(spec))
            }
        }
    }
}

/// A life. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) enum Life {
    /// Of a child process.
    Process(Child),
    /// Of a container.
    Container(Container),
}

impl Life {
    /// Its process id on this machine, while it runs.
    pub(crate) fn pid(&self) -> Option<i32> {
        match self {
            Self::Process(child) => child.pid(),
            Self::Container(container) => container.pid(),
        }
    }

    /// What it is held to, while it runs.
    pub(crate) fn in_force(&self) -> InForce {
        match self {
            Self::Process(child) => child.pid().map(InForce::of_process).unwrap_or_default(),
            Self::Container(container) => container.in_force().clone(),
        }
    }

    /// Waits until it says `ready PORT`, and returns the port.
    pub(crate) async fn ready(&self, limit: Duration) -> Result<u16, EnvironmentError> {
        match self {
            Self::Process(child) => child.ready(limit).await,
            Self::Container(container) => container.ready(limit).await,
        }
    }

    /// The error for not becoming ready within `limit`.
    pub(crate) fn not_ready(&self, limit: Duration) -> EnvironmentError {
        match self {
            Self::Process(child) => child.not_ready(limit),
            Self::Container(container) => container.not_ready(limit),
        }
    }

    /// The error for having ended before it was ready.
    pub(crate) fn ended_before_ready(&self, ended: ComponentEnded) -> EnvironmentError {
        match self {
            Self::Process(_) => EnvironmentError::Ended(ended),
            Self::Container(container) => container.ended_before_ready(ended),
        }
    }

    /// Waits for its end, and tells how it came.
    pub(crate) async fn ended(&self) -> ComponentEnded {
        match self {
            Self::Process(child) => child.ended().await,
            Self::Container(container) => container.ended().await,
        }
    }

    /// Asks it to end, and after `grace` makes it.
    pub(crate) async fn stop(&self, grace: Duration) -> Result<(), EnvironmentError> {
        match self {
            Self::Process(child) => {
                child.stop(grace).await;
                Ok(())
            }
            Self::Container(container) => container.stop(grace).await,
        }
    }

    /// Kills it.
    pub(crate) async fn kill(&self) -> Result<(), EnvironmentError> {
        match self {
            Self::Process(child) => {
                child.signal(Signal::KILL);
                Ok(())
            }
            Self::Container(container) => container.kill().await,
        }
    }

    /// Has it stand still.
    pub(crate) async fn pause(&self) -> Result<(), EnvironmentError> {
        match self {
            Self::Process(child) => {
                child.signal(Signal::STOP);
                Ok(())
            }
            Self::Container(container) => container.pause().await,
        }
    }

    /// Has it go on.
    pub(crate) async fn resume(&self) -> Result<(), EnvironmentError> {
        match self {
            Self::Process(child) => {
                child.signal(Signal::CONT);
                Ok(())
            }
            Self::Container(container) => container.resume().await,
        }
    }

    /// Changes what it may use of the machine; what `limits` does not say stays as it is.
    pub(crate) async fn limit(&self, limits: Limits) -> Result<(), EnvironmentError> {
        match self {
            Self::Process(_) => Err(not_limited()),
            Self::Container(container) => container.limit(limits).await,
        }
    }

    /// Limits what `limits` says as it was started with.
    pub(crate) async fn lift(&self, limits: Limits) -> Result<(), EnvironmentError> {
        match self {
            Self::Process(_) => Err(not_limited()),
            Self::Container(container) => container.lift(limits).await,
        }
    }
}

fn not_limited() -> EnvironmentError {
    EnvironmentError::System {
        what: "a child process cannot be limited".into(),
        source: std::io::ErrorKind::Unsupported.into(),
    }
}
