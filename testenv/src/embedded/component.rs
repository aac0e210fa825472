//! A component: a child process that may be ended and started again on purpose.

use std::{sync::Arc, time::Duration};

use rustix::process::Signal;
use tokio::sync::watch;

use super::{
    children::{Child, ChildSpec, Guard},
    kafka,
    port::ReservedPort,
    usage::Usage,
};
use crate::environment::{ComponentEnded, EnvironmentError};

/// How one knows that a component serves.
#[derive(Debug, Clone)]
pub(super) enum Readiness {
    /// It says so.
    SaysSo,
    /// Kafka's brokers at this address answer.
    KafkaAnswers(String),
}

/// A component of an environment. Clones are the same component.
#[derive(Debug, Clone)]
pub struct Component(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    guard: Guard,
    spec: ChildSpec,
    readiness: Readiness,
    within: Duration,
    state: watch::Sender<State>,
    /// Nobody else gets its ports while it is away: a client's own connection could.
    _ports: Vec<ReservedPort>,
}

#[derive(Debug, Clone)]
struct State {
    child: Child,
    /// Whether it is meant to run.
    wanted: bool,
    /// What its earlier lives have used.
    used: Usage,
}

impl Component {
    /// Starts a component as `spec` says; `ports` are those that the specification tells it.
    pub(super) fn start(
        guard: &Guard,
        spec: ChildSpec,
        readiness: Readiness,
        within: Duration,
        ports: Vec<ReservedPort>,
    ) -> Result<Self, EnvironmentError> {
        let child = guard.spawn(&spec)?;
        let (state, _) = watch::channel(State { child, wanted: true, used: Usage::default() });
        Ok(Self(Arc::new(Inner { guard: guard.clone(), spec, readiness, within, state, _ports: ports })))
    }

    /// Waits until it serves; the port that it said, if it said one.
    ///
    /// # Errors
    /// When it ends before, or takes too long.
    pub async fn ready(&self) -> Result<u16, EnvironmentError> {
        let child = self.child();
        let Inner { readiness, within, .. } = &*self.0;
        match readiness {
            Readiness::SaysSo => child.ready(*within).await,
            Readiness::KafkaAnswers(brokers) => kafka::ready(&child, brokers, *within).await.map(|()| 0),
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.0.spec.name
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<i32> {
        self.child().pid()
    }

    fn child(&self) -> Child {
        self.0.state.borrow().child.clone()
    }

    /// Resolves when it ends although it is meant to run, which it does not do by itself.
    pub async fn failed(&self) -> ComponentEnded {
        let mut states = self.0.state.subscribe();
        loop {
            let State { child, wanted, .. } = states.borrow_and_update().clone();
            // The sender lives in here.
            if !wanted {
                let _ = states.changed().await;
                continue;
            }
            tokio::select! {
                ended = child.ended() => if self.0.state.borrow().wanted {
                    return ended;
                },
                _ = states.changed() => (),
            }
        }
    }

    /// Kills it, and waits until it is dead.
    pub async fn kill(&self) {
        let child = self.bury();
        child.signal(Signal::KILL);
        child.ended().await;
    }

    /// Asks it to end, and after `grace` makes it.
    pub async fn stop(&self, grace: Duration) {
        self.bury().stop(grace).await;
    }

    /// Notes that it is to end, and what it has used until then.
    fn bury(&self) -> Child {
        self.0.state.send_modify(|state| {
            state.wanted = false;
            state.used = state.used.and(used_by(&state.child));
        });
        self.child()
    }

    /// What it has used since it was first started.
    pub fn usage(&self) -> Usage {
        let State { child, wanted, used } = self.0.state.borrow().clone();
        if wanted { used.and(used_by(&child)) } else { used }
    }

    /// Starts it again after it was killed or stopped, and waits until it serves.
    ///
    /// # Errors
    /// When it cannot be started, or does not become ready.
    pub async fn start_again(&self) -> Result<(), EnvironmentError> {
        let child = self.0.guard.spawn(&self.0.spec)?;
        // From here on its end is a failure; who waits for it to be ready is told as well.
        self.0.state.send_modify(|state| (state.child, state.wanted) = (child, true));
        self.ready().await.map(drop)
    }

    /// Has it stand still.
    pub fn pause(&self) {
        self.child().signal(Signal::STOP);
    }

    /// Has it go on.
    pub fn resume(&self) {
        self.child().signal(Signal::CONT);
    }

    /// Another one like it, with these variables changed, and a log and a name of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn another(&self, name: &'static str, changed: &[(&str, String)]) -> Result<Self, EnvironmentError> {
        let mut spec =
            ChildSpec { name, log: self.0.spec.log.with_file_name(format!("{name}.log")), ..self.0.spec.clone() };
        spec.environment.extend(changed.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        Self::start(&self.0.guard, spec, self.0.readiness.clone(), self.0.within, Vec::new())
    }

    /// Sends it a signal as somebody else would: that it ends of it is not expected.
    pub fn signal(&self, signal: Signal) {
        self.child().signal(signal);
    }
}

fn used_by(child: &Child) -> Usage {
    child.pid().and_then(|pid| u32::try_from(pid).ok()).map(Usage::of).unwrap_or_default()
}

/// Waits for the first end among `components` that is not expected.
pub(super) async fn first_failure(components: &[Component]) -> ComponentEnded {
    let mut ends: Vec<_> = components.iter().map(|component| Box::pin(component.failed())).collect();
    std::future::poll_fn(|context| {
        for end in &mut ends {
            if let std::task::Poll::Ready(ended) = end.as_mut().poll(context) {
                return std::task::Poll::Ready(ended);
            }
        }
        std::task::Poll::Pending
    })
    .await
}
