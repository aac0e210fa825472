//! A component: a child process or a container that may be ended and started again on purpose.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

use super::{
    ComponentEnded, EnvironmentError, answers,
    in_force::InForce,
    last_lines,
    life::{Life, Recipe},
    port::ReservedPort,
    usage::Usage,
};
use crate::containers::{container::Limits, docker::CARRIED_OUT_WITHIN};

/// How one knows that a component serves.
#[derive(Debug, Clone)]
pub(crate) enum Readiness {
    /// It says so.
    SaysSo,
    /// Kafka's brokers at this address answer.
    KafkaAnswers(String),
    /// An HTTP server at this URL answers with success.
    HttpAnswers(String),
    /// It runs: nobody knows a better sign.
    Runs,
}

/// What has lost its ground ends within this time, if it does.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

/// A component of an environment. Clones are the same component.
#[derive(Debug, Clone)]
pub struct Component(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    recipe: Recipe,
    readiness: Readiness,
    within: Duration,
    state: watch::Sender<State>,
    /// Nobody else gets its ports while it is away: a client's own connection could.
    _ports: Vec<ReservedPort>,
}

#[derive(Debug, Clone)]
struct State {
    life: Life,
    /// Whether it is meant to run.
    wanted: bool,
    /// Whether its end would be no failure of the environment's, since it was made hard on purpose to go on.
    excused: bool,
    /// What its earlier lives have used.
    used: Usage,
}

impl Component {
    /// Starts a component as `recipe` says; `ports` are those that the recipe tells it.
    pub(crate) async fn start(
        recipe: Recipe,
        readiness: Readiness,
        within: Duration,
        ports: Vec<ReservedPort>,
    ) -> Result<Self, EnvironmentError> {
        let life = recipe.start().await?;
        let (state, _) = watch::channel(State { life, wanted: true, excused: false, used: Usage::default() });
        Ok(Self(Arc::new(Inner { recipe, readiness, within, state, _ports: ports })))
    }

    /// Waits until it serves; the port that it said, if it said one.
    ///
    /// # Errors
    /// When it ends before, or takes too long.
    pub async fn ready(&self) -> Result<u16, EnvironmentError> {
        let life = self.life();
        let Inner { readiness, within, .. } = &*self.0;
        let answering = async {
            match readiness {
                Readiness::SaysSo => life.ready(*within).await,
                Readiness::Runs => Ok(0),
                Readiness::KafkaAnswers(brokers) => answers::kafka(brokers.clone()).await.map(|()| 0),
                Readiness::HttpAnswers(url) => {
                    answers::http(url).await;
                    Ok(0)
                }
            }
        };
        tokio::select! {
            // What it said last goes before how it ended.
            biased;
            answered = timeout(*within, answering) => answered.unwrap_or_else(|_| Err(life.not_ready(*within))),
            ended = life.ended() => Err(life.ended_before_ready(ended)),
        }
    }

    /// Waits until one that runs once has ended, in the time in which others become ready.
    ///
    /// # Errors
    /// When it ends with another code than 0, or not in time.
    pub(crate) async fn done(&self) -> Result<(), EnvironmentError> {
        let Inner { recipe, within, .. } = &*self.0;
        let how = match timeout(*within, self.life().ended()).await {
            Ok(ended) if ended.is_success() => return Ok(()),
            Ok(ended) => format!("ended with {}", ended.how),
            Err(_) => format!("had not ended after {within:?}"),
        };
        let log = recipe.log().to_owned();
        Err(EnvironmentError::NotDone { name: self.name().to_owned(), how, last_lines: last_lines(&log), log })
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.0.recipe.name()
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<i32> {
        self.life().pid()
    }

    /// The limits that it was started with, as they are in force.
    pub fn in_force(&self) -> InForce {
        self.life().in_force()
    }

    fn life(&self) -> Life {
        self.0.state.borrow().life.clone()
    }

    /// Resolves when it ends although it is meant to run, which it does not do by itself.
    pub async fn failed(&self) -> ComponentEnded {
        let mut states = self.0.state.subscribe();
        loop {
            let State { life, wanted, excused, .. } = states.borrow_and_update().clone();
            // The sender lives in here.
            if !wanted || excused {
                let _ = states.changed().await;
                continue;
            }
            tokio::select! {
                ended = life.ended() => {
                    let state = self.0.state.borrow();
                    if state.wanted && !state.excused {
                        return ended;
                    }
                }
                _ = states.changed() => (),
            }
        }
    }

    /// Kills it, and waits until it is dead.
    ///
    /// # Errors
    /// When the environment refuses, or it is not dead in time; it is meant to run then as before.
    pub async fn kill(&self) -> Result<(), EnvironmentError> {
        let killed = async |life: &Life| {
            life.kill().await?;
            life.ended().await;
            Ok(())
        };
        self.end(CARRIED_OUT_WITHIN, killed).await
    }

    /// Asks it to end, and after `grace` makes it.
    ///
    /// # Errors
    /// As for [`Self::kill`].
    pub async fn stop(&self, grace: Duration) -> Result<(), EnvironmentError> {
        self.end(grace + CARRIED_OUT_WITHIN, async |life: &Life| life.stop(grace).await).await
    }

    /// Has `end` end it, which may take so long.
    pub(super) async fn end(
        &self,
        within: Duration,
        end: impl AsyncFnOnce(&Life) -> Result<(), EnvironmentError>,
    ) -> Result<(), EnvironmentError> {
        let State { wanted, used, .. } = self.0.state.borrow().clone();
        let life = self.bury();
        let late = |_| Err(EnvironmentError::NotEnded { name: self.name().to_owned(), seconds: within.as_secs() });
        let ended = timeout(within, end(&life)).await.unwrap_or_else(late);
        if ended.is_err() {
            self.0.state.send_modify(|state| (state.wanted, state.used) = (wanted, used));
        }
        ended
    }

    /// Notes that it is to end, and what it has used until then.
    fn bury(&self) -> Life {
        self.0.state.send_modify(|state| {
            state.wanted = false;
            state.used = state.used.and(used_by(&state.life));
        });
        self.life()
    }

    /// What it has used since it was first started.
    pub fn usage(&self) -> Usage {
        let State { life, wanted, used, .. } = self.0.state.borrow().clone();
        if wanted { used.and(used_by(&life)) } else { used }
    }

    /// Starts it again after it was killed or stopped, and waits until it serves. One that could not be ended has gone on.
    ///
    /// # Errors
    /// When it cannot be started, or does not become ready.
    pub async fn start_again(&self) -> Result<(), EnvironmentError> {
        if self.0.state.borrow().wanted {
            return Ok(());
        }
        let life = self.0.recipe.start_after(&self.life()).await?;
        // From here on its end is a failure; who waits for it to be ready is told as well.
        self.0.state.send_modify(|state| (state.life, state.wanted) = (life, true));
        self.ready().await.map(drop)
    }

    /// Its end is no failure from now on, until [`Self::recover`].
    pub(crate) fn excuse(&self) {
        self.0.state.send_modify(|state| state.excused = true);
    }

    /// Waits until it serves again after it was excused, and starts it again if it has ended meanwhile.
    ///
    /// # Errors
    /// When it cannot be started, or does not become ready.
    pub(crate) async fn recover(&self) -> Result<(), EnvironmentError> {
        let life = self.life();
        if timeout(ENDS_WITHIN, life.ended()).await.is_ok() {
            self.bury();
            self.start_again().await?;
        }
        self.0.state.send_modify(|state| state.excused = false);
        Ok(())
    }

    /// Changes what it may use of the machine, now; what `limits` does not say stays as it is.
    ///
    /// # Errors
    /// When the environment refuses.
    pub(crate) async fn limit(&self, limits: Limits) -> Result<(), EnvironmentError> {
        self.life().limit(limits).await
    }

    /// Limits what `limits` says as it was started with.
    ///
    /// # Errors
    /// When the environment refuses.
    pub(crate) async fn lift(&self, limits: Limits) -> Result<(), EnvironmentError> {
        self.life().lift(limits).await
    }

    /// Has it stand still.
    ///
    /// # Errors
    /// When the environment refuses.
    pub async fn pause(&self) -> Result<(), EnvironmentError> {
        self.life().pause().await
    }

    /// Has it go on.
    ///
    /// # Errors
    /// When the environment refuses.
    pub async fn resume(&self) -> Result<(), EnvironmentError> {
        self.life().resume().await
    }

    /// Another one like it, with these variables changed, and a log and a name of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn another(&self, name: &'static str, changed: &[(&str, String)]) -> Result<Self, EnvironmentError> {
        let recipe = self.0.recipe.another(name, changed);
        Self::start(recipe, self.0.readiness.clone(), self.0.within, Vec::new()).await
    }

    /// Kills it as somebody else would: that it ends of it is not expected.
    ///
    /// # Errors
    /// When the environment refuses.
    pub async fn kill_by_surprise(&self) -> Result<(), EnvironmentError> {
        self.life().kill().await
    }
}

fn used_by(life: &Life) -> Usage {
    life.pid().and_then(|pid| u32::try_from(pid).ok()).map(Usage::of).unwrap_or_default()
}

/// Waits for the first end among `components` that is not expected.
pub(crate) async fn first_failure(components: &[Component]) -> ComponentEnded {
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
