//! A container, from what it is made of to how it ended.

use std::{
    collections::BTreeMap,
    fmt,
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use testcontainers::{
    ContainerAsync, GenericImage, ImageExt,
    bollard::{
        container::LogOutput,
        errors::Error as DockerError,
        models::{ContainerUpdateBody, HostConfig, Mount, MountType, PortBinding},
        query_parameters::{
            AttachContainerOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder, LogsOptionsBuilder,
            StartContainerOptions, StopContainerOptionsBuilder, WaitContainerOptions,
        },
    },
    core::IntoContainerPort,
    runners::AsyncRunner,
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    docker::{Docker, carried_out, refused},
    images::{Image, Part},
};
use crate::environment::{ComponentEnded, EnvironmentError, last_lines};

/// Where Assay's executable is in a container.
const EXECUTABLE: &str = "/usr/local/bin/assay";
/// What a container said last may come this much after its end.
const SAID_WITHIN: Duration = Duration::from_secs(1);
/// A daemon that takes longer to start or end a container is of no use.
const DONE_WITHIN: Duration = Duration::from_mins(1);

/// What a container is made of.
#[derive(Debug, Clone)]
pub(crate) struct ContainerSpec {
    /// Where it runs.
    pub docker: Docker,
    /// The component's name.
    pub name: &'static str,
    /// Whether others on the network reach it, by its [`Docker::host`] name, which only one can have.
    pub is_reached: bool,
    /// What it is called on the network, where others were told a name of its own.
    pub called: Option<String>,
    /// Its image.
    pub image: Image,
    /// Its entry point, if not the image's own.
    pub entry_point: Option<String>,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
    /// Its ports, which are the same numbers inside and on the loopback outside, or `(outside, inside)`.
    pub ports: Vec<(u16, u16)>,
    /// Volumes, and where they are inside.
    pub volumes: Vec<(String, String)>,
    /// What of this machine it may read, by paths here and inside.
    pub mounts: Vec<(PathBuf, String)>,
    /// Files that it gets, by their paths inside.
    pub files: Vec<(&'static str, &'static str)>,
    /// What it may use of the machine.
    pub limits: Limits,
    /// What a line of its output holds as soon as it serves; `ready PORT` is one of its own if that is [`None`].
    pub says: Option<String>,
    /// Where its output goes.
    pub log: PathBuf,
}

/// What a container may use of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// Processors, in parts of one if need be.
    pub processors: Option<f64>,
    /// Memory, in bytes; there is no swap beside it.
    pub memory: Option<u64>,
}

impl Limits {
    /// What the daemon is told to change.
    fn told(self) -> ContainerUpdateBody {
        let memory = self.memory.and_then(|memory| i64::try_from(memory).ok());
        ContainerUpdateBody {
            nano_cpus: self.processors.map(nanoseconds),
            memory,
            // Both together: the kernel refuses a limit of memory above that of memory and swap.
            memory_swap: memory,
            ..ContainerUpdateBody::default()
        }
    }

    /// What lifts these limits where `made` is what was there before. The daemon takes zero to leave a limit as it is, so the
    /// `whole` machine stands for none.
    fn lifted(self, made: Self, whole: Self) -> Self {
        Self {
            processors: self.processors.and(made.processors.or(whole.processors)),
            memory: self.memory.and(made.memory.or(whole.memory)),
        }
    }
}

impl ContainerSpec {
    /// A container in which Assay's own executable plays `role`.
    pub(crate) fn role(docker: &Docker, name: &'static str, role: &str, log: PathBuf) -> Self {
        Self {
            docker: docker.clone(),
            name,
            is_reached: false,
            called: None,
            image: docker.image(Part::Pipeline),
            entry_point: Some(EXECUTABLE.to_owned()),
            arguments: vec!["serve".into(), role.into()],
            environment: BTreeMap::new(),
            ports: Vec::new(),
            volumes: Vec::new(),
            mounts: Vec::new(),
            files: Vec::new(),
            limits: Limits::default(),
            says: None,
            log,
        }
    }

    /// What is awaited of it before it serves.
    fn awaited(&self) -> String {
        let ports: Vec<String> = self.ports.iter().map(|(_, inside)| inside.to_string()).collect();
        match &self.says {
            Some(says) => format!("say `{says}`"),
            None if ports.is_empty() => "serve".into(),
            None => format!("listen on port {}", ports.join(" and ")),
        }
    }

    fn configure(&self, host: &mut HostConfig) {
        host.publish_all_ports = Some(false);
        let binding = |port: u16| PortBinding { host_ip: Some("127.0.0.1".into()), host_port: Some(port.to_string()) };
        let bindings = self.ports.iter();
        host.port_bindings =
            Some(bindings.map(|(outside, inside)| (format!("{inside}/tcp"), Some(vec![binding(*outside)]))).collect());
        let mut mounts: Vec<Mount> = self
            .volumes
            .iter()
            .map(|(volume, path)| Mount {
                typ: Some(MountType::VOLUME),
                source: Some(volume.clone()),
                target: Some(path.clone()),
                ..Mount::default()
            })
            .collect();
        if self.entry_point.as_deref() == Some(EXECUTABLE) {
            mounts.push(read_only(self.docker.executable(), EXECUTABLE));
        }
        mounts.extend(self.mounts.iter().map(|(source, inside)| read_only(source, inside)));
        host.mounts = Some(mounts);
        host.nano_cpus = self.limits.processors.map(nanoseconds);
        host.memory = self.limits.memory.and_then(|memory| i64::try_from(memory).ok());
        host.memory_swap = host.memory;
    }
}

/// `source` of this machine, to be read at `inside`.
fn read_only(source: &Path, inside: &str) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(source.display().to_string()),
        target: Some(inside.to_owned()),
        read_only: Some(true),
        ..Mount::default()
    }
}

/// What is known of a container's life.
#[derive(Debug, Clone, Default)]
struct State {
    /// The port that it said it serves.
    ready: Option<u16>,
    /// How it ended.
    ended: Option<String>,
}

/// A life of a container. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Container {
    spec: Arc<ContainerSpec>,
    /// It is removed with the last of these, if the run's end has not removed it before.
    owned: Arc<ContainerAsync<GenericImage>>,
    pid: Option<i32>,
    state: watch::Receiver<State>,
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Container({} {})", self.spec.name, self.owned.id())
    }
}

impl Container {
    /// Makes and starts it.
    pub(crate) async fn start(spec: &ContainerSpec) -> Result<Self, EnvironmentError> {
        let spec = Arc::new(spec.clone());
        let docker = &spec.docker;
        let mut image = GenericImage::new(&spec.image.name, &spec.image.tag);
        for (_, inside) in &spec.ports {
            image = image.with_exposed_port(inside.tcp());
        }
        if let Some(entry_point) = &spec.entry_point {
            image = image.with_entrypoint(entry_point);
        }
        let configured = Arc::clone(&spec);
        let usual = || if spec.is_reached { docker.host(spec.name) } else { docker.another(spec.name) };
        let name = spec.called.clone().unwrap_or_else(usual);
        let mut request = image
            .with_container_name(name)
            .with_network(docker.network())
            .with_labels(docker.labels())
            .with_cmd(spec.arguments.clone())
            .with_startup_timeout(DONE_WITHIN)
            .with_host_config_modifier(move |host| configured.configure(host));
        for (name, value) in &spec.environment {
            request = request.with_env_var(name, value);
        }
        for (path, content) in &spec.files {
            request = request.with_copy_to(*path, content.as_bytes().to_vec());
        }
        let name = spec.name;
        let started = request.start().await.map_err(|error| EnvironmentError::Docker {
            what: format!("the container of {name} ({}) cannot be started", spec.image),
            help: "the message above is the daemon's; `--image` names another image".into(),
            source: error.into(),
        })?;
        let options = LogsOptionsBuilder::new().follow(true).stdout(true).stderr(true).build();
        let output = docker.client().logs(started.id(), Some(options));
        Self::live(spec.clone(), Arc::new(started), output).await
    }

    /// Starts it once more, with all that it has written, after it has ended.
    pub(crate) async fn start_again(&self) -> Result<Self, EnvironmentError> {
        let (client, id, name) = (self.spec.docker.client(), self.owned.id(), self.spec.name);
        // Listened to before it starts, or what it says first would be mixed with what it said before.
        let options = AttachContainerOptionsBuilder::new().stream(true).stdout(true).stderr(true).build();
        let what = || format!("{name} cannot be started again");
        let attached = carried_out(what(), client.attach_container(id, Some(options))).await?;
        carried_out(what(), client.start_container(id, None::<StartContainerOptions>)).await?;
        Self::live(Arc::clone(&self.spec), Arc::clone(&self.owned), attached.output).await
    }

    /// Follows a life that has just begun.
    async fn live(
        spec: Arc<ContainerSpec>,
        owned: Arc<ContainerAsync<GenericImage>>,
        output: impl Stream<Item = Result<LogOutput, DockerError>> + Send + 'static,
    ) -> Result<Self, EnvironmentError> {
        let client = spec.docker.client().clone();
        let id = owned.id().to_owned();
        let inspected = client.inspect_container(&id, None::<InspectContainerOptions>);
        let pid = carried_out("looking at a container", inspected).await?.state.and_then(|state| state.pid);
        let log = OpenOptions::new().create(true).append(true).open(&spec.log).map_err(|source| {
            EnvironmentError::System { what: format!("the log {} cannot be opened", spec.log.display()), source }
        })?;
        let (sender, state) = watch::channel(State::default());
        let sender = Arc::new(sender);
        let heard = tokio::spawn(hear(output, spec.says.clone(), log, Arc::clone(&sender)));
        tokio::spawn(async move {
            let how = end(&client, &id, heard).await;
            sender.send_modify(|state| state.ended = Some(how));
        });
        let pid = pid.filter(|pid| *pid > 0).and_then(|pid| i32::try_from(pid).ok());
        Ok(Self { spec, owned, pid, state })
    }

    /// Its first process's id on this machine, while it runs and where the daemon is this machine's.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.pid.filter(|_| self.state.borrow().ended.is_none())
    }

    /// Waits until it says `ready PORT`.
    pub(crate) async fn ready(&self, limit: Duration) -> Result<u16, EnvironmentError> {
        let mut state = self.state.clone();
        let waited = timeout(limit, state.wait_for(|state| state.ready.is_some() || state.ended.is_some())).await;
        let Ok(waited) = waited else { return Err(self.not_ready(limit)) };
        let state = waited.map(|state| state.clone()).unwrap_or_default();
        state.ready.ok_or_else(|| self.ended_before_ready(self.told(state.ended)))
    }

    /// The error for not becoming ready within `limit`.
    pub(crate) fn not_ready(&self, limit: Duration) -> EnvironmentError {
        self.not_serving(&format!("did not within {} s", limit.as_secs()), last_lines(&self.spec.log))
    }

    /// The error for having ended before it was ready.
    pub(crate) fn ended_before_ready(&self, ended: ComponentEnded) -> EnvironmentError {
        self.not_serving(&format!("ended by itself ({})", ended.how), ended.last_lines)
    }

    fn not_serving(&self, but: &str, last_lines: String) -> EnvironmentError {
        EnvironmentError::NotServing {
            name: format!("{} (image {})", self.spec.name, self.spec.image),
            what: format!("must {} and {but}", self.spec.awaited()),
            log: self.spec.log.clone(),
            last_lines,
        }
    }

    /// Waits for its end, and tells how it came.
    pub(crate) async fn ended(&self) -> ComponentEnded {
        let mut state = self.state.clone();
        let ended = state.wait_for(|state| state.ended.is_some()).await;
        let how = ended.ok().and_then(|state| state.ended.clone());
        self.told(how)
    }

    fn told(&self, how: Option<String>) -> ComponentEnded {
        ComponentEnded {
            name: self.spec.name.to_owned(),
            how: how.unwrap_or_else(|| "nobody follows it any more".into()),
            log: self.spec.log.clone(),
            last_lines: last_lines(&self.spec.log),
        }
    }

    /// Kills it.
    pub(crate) async fn kill(&self) -> Result<(), EnvironmentError> {
        self.go_on().await;
        let options = KillContainerOptionsBuilder::new().signal("KILL").build();
        let killed = self.spec.docker.client().kill_container(self.owned.id(), Some(options));
        let what = format!("{} cannot be killed", self.spec.name);
        carried_out(what, async { unless_it_has_ended(killed.await) }).await
    }

    /// Asks it to end, and after `grace`, in whole seconds, makes it, and waits for its end.
    pub(crate) async fn stop(&self, grace: Duration) -> Result<(), EnvironmentError> {
        self.go_on().await;
        let seconds = grace.as_secs().max(1) as i32;
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        let stopped = self.spec.docker.client().stop_container(self.owned.id(), Some(options));
        let what = format!("{} cannot be stopped", self.spec.name);
        unless_it_has_ended(stopped.await).map_err(refused(what))?;
        self.ended().await;
        Ok(())
    }

    /// A paused one cannot be ended; that one which is not paused cannot be resumed is no fault.
    async fn go_on(&self) {
        let _ = self.resume().await;
    }

    /// Changes what it may use of the machine; what `limits` does not say stays as it is.
    pub(crate) async fn limit(&self, limits: Limits) -> Result<(), EnvironmentError> {
        let update = self.spec.docker.client().update_container(self.owned.id(), limits.told());
        carried_out(self.cannot_be_limited(), update).await
    }

    /// Limits what `limits` says as it was made with; the rest stays as it is.
    pub(crate) async fn lift(&self, limits: Limits) -> Result<(), EnvironmentError> {
        let whole = carried_out(self.cannot_be_limited(), self.spec.docker.client().info()).await?;
        let whole = Limits {
            processors: whole.ncpu.map(|processors| processors as f64),
            memory: whole.mem_total.and_then(|memory| u64::try_from(memory).ok()),
        };
        self.limit(limits.lifted(self.spec.limits, whole)).await
    }

    fn cannot_be_limited(&self) -> String {
        format!("what {} may use cannot be changed", self.spec.name)
    }

    /// Has it stand still.
    pub(crate) async fn pause(&self) -> Result<(), EnvironmentError> {
        let what = format!("{} cannot be paused", self.spec.name);
        carried_out(what, self.spec.docker.client().pause_container(self.owned.id())).await
    }

    /// Has it go on.
    pub(crate) async fn resume(&self) -> Result<(), EnvironmentError> {
        let what = format!("{} cannot be resumed", self.spec.name);
        carried_out(what, self.spec.docker.client().unpause_container(self.owned.id())).await
    }
}

/// One that has ended already (404, 409) cannot be ended, which is no fault; who then waits for its end sees whether it has.
fn unless_it_has_ended(done: Result<(), DockerError>) -> Result<(), DockerError> {
    match done {
        Err(DockerError::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
        done => done,
    }
}

/// Processor time a second, as the daemon counts it.
fn nanoseconds(processors: f64) -> i64 {
    (processors * 1e9) as i64
}

/// Writes what a container says to its log, and looks for `ready PORT`, or for what else it `says` when it serves.
async fn hear(
    output: impl Stream<Item = Result<LogOutput, DockerError>> + Send + 'static,
    says: Option<String>,
    log: std::fs::File,
    state: Arc<watch::Sender<State>>,
) {
    let log = Mutex::new(log);
    let mut line = Vec::new();
    let mut output = std::pin::pin!(output);
    while let Some(Ok(said)) = output.next().await {
        let is_answer = matches!(said, LogOutput::StdOut { .. });
        let bytes = said.into_bytes();
        // A log that cannot be written has nobody to tell.
        let _ = log.lock().unwrap_or_else(PoisonError::into_inner).write_all(&bytes);
        // Roles answer on stdout; where other programs write is their affair.
        if !(is_answer || says.is_some()) || state.borrow().ready.is_some() {
            continue;
        }
        line.extend_from_slice(&bytes);
        while let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            let whole: Vec<u8> = line.drain(..=end).collect();
            let text = String::from_utf8_lossy(&whole);
            let port = match &says {
                Some(says) => text.contains(says.as_str()).then_some(0),
                None => text.trim().strip_prefix("ready ").and_then(|port| port.parse().ok()),
            };
            if port.is_some() {
                state.send_modify(|state| state.ready = port);
            }
        }
    }
}

/// Waits until a container has ended and all that it said was heard; how it ended.
async fn end(client: &testcontainers::bollard::Docker, id: &str, heard: JoinHandle<()>) -> String {
    let how = loop {
        let mut waiting = std::pin::pin!(client.wait_container(id, None::<WaitContainerOptions>));
        match waiting.next().await {
            Some(Ok(ended)) => break code(ended.status_code),
            Some(Err(DockerError::DockerContainerWaitError { code: ended, .. })) => break code(ended),
            Some(Err(DockerError::DockerResponseServerError { status_code: 404, .. })) => {
                break "it was removed".into();
            }
            // The connection broke; whether it runs is asked again.
            Some(Err(_)) | None => sleep(Duration::from_millis(200)).await,
        }
    };
    let _ = timeout(SAID_WITHIN, heard).await;
    let inspected = client.inspect_container(id, None::<InspectContainerOptions>).await;
    let out_of_memory = inspected.ok().and_then(|container| container.state?.oom_killed) == Some(true);
    if out_of_memory { format!("{how}, killed for using more memory than it may") } else { how }
}

fn code(code: i64) -> String {
    match code {
        // Shells and container runtimes add 128 to the signal's number.
        129..=192 => format!("signal {}", code - 128),
        _ => format!("exit code {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_changes_itself_alone_and_is_lifted_to_what_was_there() {
        let throttle = Limits { processors: Some(0.05), memory: None };
        let squeeze = Limits { processors: None, memory: Some(64 << 20) };
        let told = |limits: Limits| (limits.told().nano_cpus, limits.told().memory, limits.told().memory_swap);
        assert_eq!(told(throttle), (Some(50_000_000), None, None));
        assert_eq!(told(squeeze), (None, Some(64 << 20), Some(64 << 20)));

        let made = Limits { processors: Some(0.5), memory: Some(1 << 30) };
        let whole = Limits { processors: Some(8.0), memory: Some(16 << 30) };
        assert_eq!(throttle.lifted(made, whole), Limits { processors: Some(0.5), memory: None });
        assert_eq!(squeeze.lifted(made, whole), Limits { processors: None, memory: Some(1 << 30) });
        assert_eq!(throttle.lifted(Limits::default(), whole), Limits { processors: Some(8.0), memory: None });
        assert_eq!(squeeze.lifted(Limits::default(), whole), Limits { processors: None, memory: Some(16 << 30) });
    }

    #[test]
    fn what_has_ended_need_not_be_ended() {
        let answered = |status_code| {
            unless_it_has_ended(Err(DockerError::DockerResponseServerError { status_code, message: String::new() }))
        };
        assert!(answered(409).is_ok() && answered(404).is_ok() && answered(500).is_err());
    }
}
