//! The Docker daemon: reaching it, the run's network and volumes, and its labels on all of it.

use std::{
    collections::HashMap,
    fmt, io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use testcontainers::bollard::{
    self,
    models::{NetworkCreateRequest, VolumeCreateRequest},
};
use tokio::time::timeout;

use super::{
    images::{Image, Images, Part},
    owner::Owner,
    supply::{have, have_part},
    sweep::sweep_dead,
};
use crate::{embedded::children::Guard, environment::EnvironmentError};

/// The label that everything of a run carries; its value is the run's name.
pub(crate) const LABEL: &str = "assay.run";
/// The label whose value is the [`Owner`] of what carries it.
pub const OWNER_LABEL: &str = "assay.owner";
/// A daemon that takes longer to say that it is there is not.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A daemon that takes longer to do what it is told once is of no use.
pub(crate) const CARRIED_OUT_WITHIN: Duration = Duration::from_secs(30);
/// Who waits for a container's end, or hears what it says, waits as long as it runs.
const PATIENCE: Duration = Duration::from_hours(24 * 7);

/// A run's own corner of a Docker daemon. Clones are the same one.
#[derive(Clone)]
pub struct Docker(Arc<Inner>);

struct Inner {
    client: bollard::Docker,
    guard: Guard,
    run: String,
    /// Whose all of it is; nobody's where the system does not tell, and then only the guard removes it.
    owner: Option<Owner>,
    network: String,
    images: Images,
    executable: PathBuf,
    next: AtomicU64,
}

impl fmt::Debug for Docker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Docker(run {})", self.0.run)
    }
}

/// Connects to the daemon that `DOCKER_HOST` names, or the one of this machine, and asks it whether it is there.
///
/// # Errors
/// When none answers.
pub async fn connect() -> Result<bollard::Docker, EnvironmentError> {
    let place = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "/var/run/docker.sock".into());
    let nobody = |source: Box<dyn std::error::Error + Send + Sync>| EnvironmentError::Docker {
        what: format!("no Docker daemon answers at {place}"),
        help: "start one, or name another in DOCKER_HOST; `--env embedded` needs none".into(),
        source,
    };
    let client = bollard::Docker::connect_with_defaults().map_err(|error| nobody(error.into()))?;
    match timeout(ANSWER_WITHIN, client.ping()).await {
        Ok(Ok(_)) => Ok(client.with_timeout(PATIENCE)),
        Ok(Err(error)) => Err(nobody(error.into())),
        Err(_) => Err(nobody(io::Error::from(io::ErrorKind::TimedOut).into())),
    }
}

impl Docker {
    /// A corner for `run` with a network of its own, or on the network `shared`, after every image was found or pulled; `tell`
    /// is told what takes long. `guard` removes what carries the run's label when it ends. What earlier runs have left whose
    /// guard was killed as well is removed first.
    ///
    /// # Errors
    /// When no daemon answers, an image cannot be had, or the daemon refuses.
    pub async fn open(
        guard: Guard,
        run: &str,
        shared: Option<&str>,
        images: &Images,
        executable: PathBuf,
        tell: &(dyn Fn(&str) + Sync),
    ) -> Result<Self, EnvironmentError> {
        let client = connect().await?;
        Box::pin(sweep_dead(&client, tell)).await;
        for (_, part) in Part::ALL {
            Box::pin(have_part(&client, part, &images.of(part), tell)).await?;
        }
        guard.remove_containers_at_end(run)?;
        let docker = Self(Arc::new(Inner {
            client,
            guard,
            run: run.to_owned(),
            owner: Owner::this().ok(),
            network: shared.map_or_else(|| format!("assay-{run}"), str::to_owned),
            images: images.clone(),
            executable,
            next: AtomicU64::new(1),
        }));
        if shared.is_some() {
            return Ok(docker);
        }
        let network = NetworkCreateRequest {
            name: docker.network().to_owned(),
            labels: Some(docker.labels()),
            ..NetworkCreateRequest::default()
        };
        docker.client().create_network(network).await.map_err(refused("the run's network cannot be made"))?;
        Ok(docker)
    }

    /// Makes sure that the image that the scenario names for `what` is there.
    ///
    /// # Errors
    /// When it can neither be found nor pulled.
    pub(crate) async fn have(
        &self,
        what: &str,
        image: &Image,
        tell: &(dyn Fn(&str) + Sync),
    ) -> Result<(), EnvironmentError> {
        have(self.client(), what, image, "the scenario names it: correct it there", tell).await
    }

    /// The daemon.
    pub(crate) fn client(&self) -> &bollard::Docker {
        &self.0.client
    }

    /// What removes all of it.
    pub(crate) fn guard(&self) -> &Guard {
        &self.0.guard
    }

    /// The name of the run's network.
    pub fn network(&self) -> &str {
        &self.0.network
    }

    /// The name that others on the network know the component `name` by.
    pub(crate) fn host(&self, name: &str) -> String {
        format!("assay-{}-{name}", self.0.run)
    }

    /// A name for what may come beside others of its name.
    pub(crate) fn another(&self, name: &str) -> String {
        format!("{}-{}", self.host(name), self.0.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The labels, as the daemon wants them.
    pub(crate) fn labels(&self) -> HashMap<String, String> {
        let owner = self.0.owner.as_ref().map(|owner| (OWNER_LABEL.to_owned(), owner.to_string()));
        owner.into_iter().chain([(LABEL.to_owned(), self.0.run.clone())]).collect()
    }

    /// The image that plays `part`.
    pub(crate) fn image(&self, part: Part) -> Image {
        self.0.images.of(part)
    }

    /// Assay's own executable, on this machine.
    pub(crate) fn executable(&self) -> &std::path::Path {
        &self.0.executable
    }

    /// Makes a volume that several containers can share; its name. Where it has a `size`, in bytes, it is a disk of that size
    /// in memory, and empty whenever no container has it.
    pub(crate) async fn volume(&self, name: &str, size: Option<u64>) -> Result<String, EnvironmentError> {
        let name = self.another(name);
        let in_memory = |size: u64| {
            [("type", "tmpfs".to_owned()), ("device", "tmpfs".to_owned()), ("o", format!("size={size},mode=1777"))]
                .map(|(name, value)| (name.to_owned(), value))
                .into()
        };
        let volume = VolumeCreateRequest {
            name: Some(name.clone()),
            labels: Some(self.labels()),
            driver_opts: size.map(in_memory),
            ..VolumeCreateRequest::default()
        };
        self.client().create_volume(volume).await.map_err(refused("a volume cannot be made"))?;
        Ok(name)
    }
}

/// The error for what the daemon refuses.
pub(crate) fn refused(what: impl Into<String>) -> impl FnOnce(bollard::errors::Error) -> EnvironmentError {
    let what = what.into();
    move |error| EnvironmentError::Docker {
        what: format!("Docker refuses: {what}"),
        help: "the daemon's own log tells more".into(),
        source: error.into(),
    }
}

/// What the daemon answers to something that it does at once, within [`CARRIED_OUT_WITHIN`].
///
/// # Errors
/// When it refuses, or does not answer by then: the client's own patience is that of a run.
pub(crate) async fn carried_out<T>(
    what: impl Into<String>,
    order: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, EnvironmentError> {
    answered(CARRIED_OUT_WITHIN, what.into(), order).await
}

async fn answered<T>(
    within: Duration,
    what: String,
    order: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, EnvironmentError> {
    match timeout(within, order).await {
        Ok(done) => done.map_err(refused(what)),
        Err(late) => Err(EnvironmentError::Docker {
            what: format!("Docker does not answer within {within:?}: {what}"),
            help: "the daemon's own log tells more".into(),
            source: late.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_daemon_that_refuses_or_does_not_answer_is_an_error_in_time() {
        let late = answered::<()>(Duration::from_millis(20), "kafka cannot be paused".into(), pending()).await;
        let late = late.unwrap_err().to_string();
        assert_eq!(late, "Docker does not answer within 20ms: kafka cannot be paused");
        let no = bollard::errors::Error::DockerResponseServerError { status_code: 409, message: "no".into() };
        let refused = carried_out::<()>("kafka cannot be paused", ready(Err(no))).await.unwrap_err().to_string();
        assert_eq!(refused, "Docker refuses: kafka cannot be paused");
        assert_eq!(carried_out("x", ready(Ok(1))).await.unwrap(), 1);
    }
}
