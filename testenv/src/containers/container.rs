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
use crate::environment::{
    ComponentEnded, EnvironmentError,
    budget::Share,
    in_force::{InForce, list},
    last_lines,
};

/// Where Assay's executable is in a container.
const EXECUTABLE: &str = "/usr/local/bin/assay";
/// What a container said last may come this much after its end.
const SAID_WITHIN: Duration = Duration::from_secs(1);
/// A daemon that takes longer to start or end a container is of no use.
const DONE_WITHIN: Duration = Duration::from_mins(1);
/// What ends by SIGKILL, as the kernel's want of memory has it end.
const KILLED: i64 = 128 + 9;
/// With cgroups of version 2 the daemon may hear of an end before it hears that memory was its reason, so one who was killed
/// and has a limit is looked at so often.
const LOOKS_FOR_MEMORY: u32 = 4;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

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
    /// What it is held to.
    pub share: Share,
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
            share: Share::default(),
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
        hold(host, &self.share);
    }
}

/// Whether a refusal, by runc, says that a container holds more memory than a limit would leave it.
fn holds_more(refusal: &str) -> bool {
    refusal.contains("unable to set memory limit to") && refusal.contains("current usage:")
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

/// Has the kernel hold a container to `share`: no swap beside its memory, and no other processors than those.
fn hold(host: &mut HostConfig, share: &Share) {
    let Share { limits, only_on } = share;
    host.cpuset_cpus = Some(list(only_on)).filter(|processors| !processors.is_empty());
    host.nano_cpus = limits.processors.map(nanoseconds);
    host.memory = limits.memory.and_then(|memory| i64::try_from(memory).ok());
    host.memory_swap = host.memory;
}

/// What is known of a container's life.
#[derive(Debug, Clone, Default)]
struct State {
    /// The port that it said it serves.
    ready: Option<u16>,
    /// How it ended.
    ended: Option<End>,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct End {
    how: String,
    out_of_memory: bool,
}

/// A life of a container. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Container {
    spec: Arc<ContainerSpec>,
    /// It is removed with the last of these, if the run's end has not removed it before.
    owned: Arc<ContainerAsync<GenericImage>>,
    pid: Option<i32>,
    in_force: InForce,
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
        let container = Self::live(spec.clone(), Arc::new(started), output).await?;
        container.must_be_held()?;
        Ok(container)
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
        let inspected = carried_out("looking at a container", inspected).await?;
        let pid = inspected.state.and_then(|state| state.pid);
        let in_force = inspected.host_config.as_ref().map(InForce::of_container).unwrap_or_default();
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
        Ok(Self { spec, owned, pid, in_force, state })
    }

    /// The limits that this life began with.
    pub(crate) const fn in_force(&self) -> &InForce {
        &self.in_force
    }

    /// A daemon whose kernel cannot limit something says so in a warning, and starts a container without the limit.
    fn must_be_held(&self) -> Result<(), EnvironmentError> {
        let wanted = InForce::wanted(&self.spec.share);
        if self.in_force.holds(&wanted) {
            return Ok(());
        }
        Err(EnvironmentError::Docker {
            what: format!("{} cannot be held to {wanted}: in force is {}", self.spec.name, self.in_force),
            help: "`docker info` tells which limits the daemon's kernel has; leave out what it has not".into(),
            source: "by what the daemon says of the container".into(),
        })
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

    fn told(&self, end: Option<End>) -> ComponentEnded {
        let unknown = || End { how: "nobody follows it any more".into(), out_of_memory: false };
        let End { how, out_of_memory } = end.unwrap_or_else(unknown);
        ComponentEnded {
            name: self.spec.name.to_owned(),
            how,
            out_of_memory,
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
    ///
    /// Who holds more memory than that is killed: so does the kernel where cgroups are of version 2, and where they are of version 1
    /// it refuses such a limit.
    pub(crate) async fn limit(&self, limits: Limits) -> Result<(), EnvironmentError> {
        let update = self.spec.docker.client().update_container(self.owned.id(), limits.told());
        match carried_out(self.cannot_be_limited(), update).await {
            Err(EnvironmentError::Docker { source, .. }) if holds_more(&source.to_string()) => self.kill().await,
            other => other,
        }
    }

    /// Limits what `limits` says as it was made with; the rest stays as it is.
    pub(crate) async fn lift(&self, limits: Limits) -> Result<(), EnvironmentError> {
        let whole = carried_out(self.cannot_be_limited(), self.spec.docker.client().info()).await?;
        let whole = Limits {
            processors: whole.ncpu.map(|processors| processors as f64),
            memory: whole.mem_total.and_then(|memory| u64::try_from(memory).ok()),
        };
        self.limit(limits.lifted(self.spec.share.limits, whole)).await
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
async fn end(client: &testcontainers::bollard::Docker, id: &str, heard: JoinHandle<()>) -> End {
    let code = loop {
        let mut waiting = std::pin::pin!(client.wait_container(id, None::<WaitContainerOptions>));
        match waiting.next().await {
            Some(Ok(ended)) => break ended.status_code,
            Some(Err(DockerError::DockerContainerWaitError { code, .. })) => break code,
            Some(Err(DockerError::DockerResponseServerError { status_code: 404, .. })) => {
                return End { how: "it was removed".into(), out_of_memory: false };
            }
            // The connection broke; whether it runs is asked again.
            Some(Err(_)) | None => sleep(Duration::from_millis(200)).await,
        }
    };
    let _ = timeout(SAID_WITHIN, heard).await;
    for look in 1..=LOOKS_FOR_MEMORY {
        let inspected = client.inspect_container(id, None::<InspectContainerOptions>).await.unwrap_or_default();
        let limit = inspected.host_config.as_ref().and_then(|host| InForce::of_container(host).memory);
        if inspected.state.and_then(|state| state.oom_killed) == Some(true) {
            return End { how: out_of_memory(code, limit), out_of_memory: true };
        }
        if code != KILLED || limit.is_none() || look == LOOKS_FOR_MEMORY {
            break;
        }
        sleep(BETWEEN_LOOKS).await;
    }
    End { how: told_of(code), out_of_memory: false }
}

/// How the kernel's killing of what used more memory than it may is told.
fn out_of_memory(code: i64, limit: Option<u64>) -> String {
    let limit = limit.map_or_else(String::new, |limit| format!(" ({} MiB)", limit >> 20));
    format!("{}, killed for using more memory than it may{limit}", told_of(code))
}

fn told_of(code: i64) -> String {
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
    fn that_somebody_holds_more_than_a_limit_leaves_is_known_by_the_words_of_runc() {
        assert!(holds_more(
            "Docker responded with status code 500: Cannot update container 18f: runc did not terminate successfully: exit \
             status 1: unable to set memory limit to 12582912 (current usage: 18722816, peak usage: 30879744)\n: unknown"
        ));
        assert!(!holds_more("Docker responded with status code 409: Cannot update container 18f: is not running"));
    }

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
    fn a_container_is_held_to_its_share_and_has_no_swap_beside_it() {
        let held = |share: &Share| {
            let mut host = HostConfig::default();
            hold(&mut host, share);
            (host.cpuset_cpus, host.nano_cpus, host.memory, host.memory_swap)
        };
        let half = Limits { processors: None, memory: Some(512 << 20) };
        let share = Share { limits: half, only_on: vec![1] };
        assert_eq!(held(&share), (Some("1".into()), None, Some(512 << 20), Some(512 << 20)));
        let slow = Share { limits: Limits { processors: Some(0.5), memory: None }, only_on: Vec::new() };
        assert_eq!(held(&slow), (None, Some(500_000_000), None, None));
        assert_eq!(held(&Share::default()), (None, None, None, None));
    }

    #[test]
    fn an_end_for_want_of_memory_names_the_limit() {
        assert_eq!(
            out_of_memory(KILLED, Some(512 << 20)),
            "signal 9, killed for using more memory than it may (512 MiB)"
        );
        assert_eq!(out_of_memory(1, None), "exit code 1, killed for using more memory than it may");
    }

    #[test]
    fn what_has_ended_need_not_be_ended() {
        let answered = |status_code| {
            unless_it_has_ended(Err(DockerError::DockerResponseServerError { status_code, message: String::new() }))
        };
        assert!(answered(409).is_ok() && answered(404).is_ok() && answered(500).is_err());
    }
}
