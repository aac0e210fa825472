//! Talking to the guard: starting children, hearing their lines, noticing their ends.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    fmt,
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::process::Signal;
use tokio::{sync::watch, time::timeout};

use super::guard::{End, News, Order, SpawnOrder};
use crate::environment::{ComponentEnded, EnvironmentError, last_lines};

/// So many of a child's first lines are kept: `ready PORT` is among them.
const FIRST_LINES: usize = 16;

/// The running guard. When it is dropped, everything that it started ends.
#[derive(Clone)]
pub struct Guard(Arc<Inner>);

struct Inner {
    orders: Mutex<Option<std::process::ChildStdin>>,
    process: Mutex<std::process::Child>,
    children: Mutex<HashMap<u64, watch::Sender<State>>>,
    next: AtomicU64,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guard(process {})", lock(&self.0.process).id())
    }
}

/// What is known of a child.
#[derive(Debug, Clone, Default)]
struct State {
    pid: Option<i32>,
    lines: Vec<String>,
    ended: Option<End>,
}

/// What to start.
#[derive(Debug, Clone)]
pub struct ChildSpec {
    /// The component's name.
    pub name: &'static str,
    /// The program, whose output goes to the log; `None` plays a role of this executable.
    pub program: Option<PathBuf>,
    /// Its arguments; for a role, its name.
    pub arguments: Vec<OsString>,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
    /// Where it runs.
    pub folder: PathBuf,
    /// Where its output goes.
    pub log: PathBuf,
}

impl ChildSpec {
    /// A child that plays `role`, with its log in the folder `logs`.
    pub fn role(role: &'static str, folder: &Path, logs: &Path, environment: BTreeMap<String, String>) -> Self {
        Self {
            name: role,
            program: None,
            arguments: vec!["serve".into(), role.into()],
            environment,
            folder: folder.to_owned(),
            log: logs.join(format!("{role}.log")),
        }
    }
}

impl Guard {
    /// Starts the guard; `executable` plays its role and those of its children.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(executable: &Path) -> Result<Self, EnvironmentError> {
        let failed = |source| EnvironmentError::System {
            what: format!("the guard ({} serve guard) cannot be started", executable.display()),
            source,
        };
        let mut process = Command::new(executable)
            .args(["serve", "guard"])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let (orders, news) = (process.stdin.take(), process.stdout.take());
        let inner = Arc::new(Inner {
            orders: Mutex::new(orders),
            process: Mutex::new(process),
            children: Mutex::default(),
            next: AtomicU64::new(1),
        });
        let listener = Arc::downgrade(&inner);
        std::thread::Builder::new()
            .name("guard-news".into())
            .spawn(move || {
                let lines = news.into_iter().flat_map(|news| BufReader::new(news).lines());
                for line in lines.map_while(Result::ok) {
                    let Some(inner) = listener.upgrade() else { return };
                    if let Ok(news) = serde_json::from_str(&line) {
                        inner.hear(news);
                    }
                }
                // Its output has closed: it is gone, and so are the children.
                if let Some(inner) = listener.upgrade() {
                    inner.all_ended();
                }
            })
            .map_err(failed)?;
        Ok(Self(inner))
    }

    /// Starts a child.
    ///
    /// # Errors
    /// When the guard is gone.
    pub fn spawn(&self, spec: &ChildSpec) -> Result<Child, EnvironmentError> {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (sender, state) = watch::channel(State::default());
        lock(&self.0.children).insert(id, sender);
        self.0.order(&Order::Spawn(SpawnOrder {
            id,
            program: spec.program.clone(),
            arguments: spec.arguments.clone(),
            environment: spec.environment.clone(),
            folder: spec.folder.clone(),
            log: spec.log.clone(),
            tell_lines: spec.program.is_none(),
        }))?;
        Ok(Child { id, name: spec.name, log: spec.log.clone(), guard: self.clone(), state })
    }

    /// Has `folder` deleted when everything is over, however this process ends.
    ///
    /// # Errors
    /// When the guard is gone.
    pub fn delete_at_end(&self, folder: &Path) -> Result<(), EnvironmentError> {
        self.0.order(&Order::DeleteAtEnd(folder.to_owned()))
    }

    /// Has the containers, volumes and networks of `run` removed when everything is over, however this process ends.
    ///
    /// # Errors
    /// When the guard is gone.
    pub fn remove_containers_at_end(&self, run: &str) -> Result<(), EnvironmentError> {
        self.0.order(&Order::RemoveContainersAtEnd(run.to_owned()))
    }

    /// Ends all children and the guard, and waits for it: two seconds at most, and the time to delete the folders.
    pub async fn end(self) {
        // If it is gone there is nothing to end.
        let _ = self.0.order(&Order::End);
        let inner = Arc::clone(&self.0);
        let waited = tokio::task::spawn_blocking(move || {
            drop(lock(&inner.orders).take());
            let _ = lock(&inner.process).wait();
        });
        let _ = waited.await;
    }
}

impl Inner {
    fn order(&self, order: &Order) -> Result<(), EnvironmentError> {
        let failed = |source| EnvironmentError::System { what: "the guard does not listen any more".into(), source };
        let mut line = serde_json::to_vec(order).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        match lock(&self.orders).as_mut() {
            Some(orders) => orders.write_all(&line).and_then(|()| orders.flush()).map_err(failed),
            None => Err(failed(std::io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn hear(&self, news: News) {
        let mut children = lock(&self.children);
        match news {
            News::Spawned { id, pid } => change(&children, id, |state| state.pid = Some(pid)),
            News::Line { id, text } => change(&children, id, |state| {
                if state.lines.len() < FIRST_LINES {
                    state.lines.push(text);
                }
            }),
            // The last news of a child: whoever holds a handle goes on seeing it.
            News::NotSpawned { id, error } => {
                change(&children, id, |state| state.ended = Some(End::Unknown(error)));
                children.remove(&id);
            }
            News::Exited { id, how } => {
                change(&children, id, |state| state.ended = Some(how));
                children.remove(&id);
            }
        }
    }

    fn all_ended(&self) {
        for (_, child) in lock(&self.children).drain() {
            child.send_modify(|state| state.ended = Some(guard_ended()));
        }
    }
}

fn change(children: &HashMap<u64, watch::Sender<State>>, id: u64, change: impl FnOnce(&mut State)) {
    if let Some(child) = children.get(&id) {
        child.send_modify(change);
    }
}

fn guard_ended() -> End {
    End::Unknown("its guard ended".into())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A started child.
#[derive(Debug, Clone)]
pub struct Child {
    id: u64,
    name: &'static str,
    log: PathBuf,
    guard: Guard,
    state: watch::Receiver<State>,
}

impl Child {
    /// Its component's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Its process id, once it runs.
    pub fn pid(&self) -> Option<i32> {
        self.state.borrow().pid
    }

    /// Waits until it says `ready PORT`, and returns the port.
    ///
    /// # Errors
    /// When it ends before, or says nothing for `limit`.
    pub async fn ready(&self, limit: Duration) -> Result<u16, EnvironmentError> {
        let mut state = self.state.clone();
        let port = |state: &State| {
            state.lines.iter().find_map(|line| line.strip_prefix("ready ")).and_then(|port| port.trim().parse().ok())
        };
        let waited = timeout(limit, state.wait_for(|state| port(state).is_some() || state.ended.is_some())).await;
        match waited {
            Ok(Ok(state)) => match port(&state) {
                Some(port) => Ok(port),
                None => Err(EnvironmentError::Ended(self.told(state.ended.as_ref().unwrap_or(&guard_ended())))),
            },
            Ok(Err(_)) => Err(EnvironmentError::Ended(self.told(&guard_ended()))),
            Err(_) => Err(self.not_ready(limit)),
        }
    }

    /// The error for not becoming ready within `limit`.
    pub fn not_ready(&self, limit: Duration) -> EnvironmentError {
        EnvironmentError::NotReady {
            name: self.name.to_owned(),
            seconds: limit.as_secs(),
            log: self.log.clone(),
            last_lines: last_lines(&self.log),
        }
    }

    /// Waits for its end, and tells how it came.
    pub async fn ended(&self) -> ComponentEnded {
        let how = self.end().await;
        self.told(&how)
    }

    /// Waits for the end of a child that has a task to finish.
    ///
    /// # Errors
    /// When it ends without success, or not within `limit`.
    pub async fn success(&self, limit: Duration) -> Result<(), EnvironmentError> {
        match timeout(limit, self.end()).await {
            Ok(End::Code(0)) => Ok(()),
            Ok(how) => Err(EnvironmentError::Ended(self.told(&how))),
            Err(_) => Err(self.not_ready(limit)),
        }
    }

    /// Asks it to end, and after `grace` makes it.
    pub async fn stop(&self, grace: Duration) {
        self.signal(Signal::TERM);
        // A paused one would not hear it.
        self.signal(Signal::CONT);
        if timeout(grace, self.end()).await.is_err() {
            self.signal(Signal::KILL);
            self.end().await;
        }
    }

    /// Sends a signal to it and whatever it has started; nothing happens once it has ended.
    pub fn signal(&self, signal: Signal) {
        // If the guard is gone, so is the child.
        let _ = self.guard.0.order(&Order::Signal { id: self.id, signal: signal.as_raw() });
    }

    async fn end(&self) -> End {
        let mut state = self.state.clone();
        let ended = state.wait_for(|state| state.ended.is_some()).await;
        ended.ok().and_then(|state| state.ended.clone()).unwrap_or_else(guard_ended)
    }

    fn told(&self, how: &End) -> ComponentEnded {
        ComponentEnded {
            name: self.name.to_owned(),
            how: how.to_string(),
            out_of_memory: false,
            log: self.log.clone(),
            last_lines: last_lines(&self.log),
        }
    }
}
