//! Carrying out the faults of a run, and healing each when its time is over.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use checkers::disturbance::FaultFacts;
use generators::{clock::RunClock, error_chain::told};
use testenv::{
    environment::parts::Parts,
    fault::{PlannedFault, Target},
};
use tokio::{
    sync::{Mutex, mpsc, watch},
    task::JoinSet,
    time::{sleep, sleep_until},
};

use crate::external::{CommandError, Commands};

/// What faults can act on.
#[derive(Debug, Clone)]
pub(super) enum Reach {
    /// Parts of the run's own pipeline.
    Parts(Parts),
    /// Somebody else's, by commands of theirs.
    Commands(Commands),
}

impl Reach {
    async fn begin(&self, fault: PlannedFault) -> Result<(), String> {
        match self {
            Self::Parts(parts) => parts.begin(&fault).await.map_err(|error| told(&error)),
            Self::Commands(commands) => carried_out(commands.clone(), move |commands| commands.begin(&fault)).await,
        }
    }

    async fn heal(&self, fault: PlannedFault) -> Result<(), String> {
        match self {
            Self::Parts(parts) => parts.heal(&fault).await.map_err(|error| told(&error)),
            Self::Commands(commands) => carried_out(commands.clone(), move |commands| commands.heal(&fault)).await,
        }
    }
}

async fn carried_out(
    commands: Commands,
    run: impl FnOnce(&Commands) -> Result<(), CommandError> + Send + 'static,
) -> Result<(), String> {
    let ended = tokio::task::spawn_blocking(move || run(&commands)).await.map_err(|error| error.to_string())?;
    ended.map_err(|error| told(&error))
}

/// The faults of a run, while they happen.
#[derive(Debug)]
pub(super) struct Faults {
    running: JoinSet<(usize, FaultFacts)>,
    facts: Vec<FaultFacts>,
    active: Vec<Arc<AtomicBool>>,
    stop: watch::Sender<bool>,
    news: mpsc::UnboundedReceiver<String>,
}

impl Faults {
    /// Does to `reach` what is `planned`, each at its time.
    pub fn start(reach: &Reach, planned: &[PlannedFault], clock: RunClock) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (telling, news) = mpsc::unbounded_channel();
        let (mut running, mut actives) = (JoinSet::new(), Vec::new());
        // One that is not healed yet is not broken again.
        let mut turns = BTreeMap::<Target, Arc<Mutex<()>>>::new();
        for (number, fault) in planned.iter().copied().enumerate() {
            let (reach, stopped, telling) = (reach.clone(), stopped.clone(), telling.clone());
            let active = Arc::<AtomicBool>::default();
            actives.push(Arc::clone(&active));
            let turn = Arc::clone(turns.entry(fault.target).or_default());
            running.spawn(async move {
                (number, carry_out(&reach, fault, clock, stopped, (&telling, &active, &turn)).await)
            });
        }
        Self { running, facts: planned.iter().map(untouched).collect(), active: actives, stop, news }
    }

    /// Each planned fault, and whether it goes on; also when this is elsewhere.
    pub fn view(&self) -> Vec<(FaultFacts, Arc<AtomicBool>)> {
        self.facts.iter().cloned().zip(self.active.iter().cloned()).collect()
    }

    /// What happens next, in words; `None` when all faults are over and healed.
    pub async fn next(&mut self) -> Option<String> {
        // Those that tell hold the other end.
        self.news.recv().await
    }

    /// Heals what has begun, and begins nothing more.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until all is healed, and says how each fault went, in the order of the plan.
    pub async fn end(mut self) -> Vec<FaultFacts> {
        while let Some(ended) = self.running.join_next().await {
            // Of one that crashed nothing is known to have begun, which is said below.
            if let Ok((number, facts)) = ended {
                self.facts[number] = facts;
            }
        }
        if !*self.stop.borrow() {
            for facts in self.facts.iter_mut().filter(|facts| facts.began.is_none() && facts.failed.is_none()) {
                facts.failed = Some("it never began".into());
            }
        }
        self.facts
    }
}

fn untouched(fault: &PlannedFault) -> FaultFacts {
    FaultFacts {
        fault: fault.to_string(),
        target: fault.target.word().into(),
        planned_at: fault.at.as_secs_f64(),
        began: None,
        healed: None,
        failed: None,
    }
}

/// One fault, from its begin to its end, or until `stop` becomes true.
async fn carry_out(
    reach: &Reach,
    fault: PlannedFault,
    clock: RunClock,
    mut stop: watch::Receiver<bool>,
    (telling, active, turn): (&mpsc::UnboundedSender<String>, &AtomicBool, &Mutex<()>),
) -> FaultFacts {
    let mut facts = untouched(&fault);
    // Nobody listens any more once the run has been given up.
    let tell = |line: String| drop(telling.send(line));
    let seconds = |moment: Duration| format!("{:.1} s", moment.as_secs_f64());
    tokio::select! {
        () = sleep_until(clock.instant(fault.at).into()) => (),
        _ = stop.wait_for(|stop| *stop) => return facts,
    }
    let _turn = tokio::select! {
        turn = turn.lock() => turn,
        _ = stop.wait_for(|stop| *stop) => return facts,
    };
    let began = clock.elapsed();
    facts.began = Some(began.as_secs_f64());
    active.store(true, Ordering::Relaxed);
    tell(format!("fault at {}: {fault}", seconds(began)));
    let failed = |what: &str, error: &str| format!("it could not be {what}: {error}");
    if let Err(error) = reach.begin(fault).await {
        facts.failed = Some(failed("carried out", &error));
    } else {
        tokio::select! {
            () = sleep(fault.lasts) => (),
            _ = stop.wait_for(|stop| *stop) => (),
        }
    }
    match reach.heal(fault).await {
        Ok(()) => {
            let healed = clock.elapsed();
            facts.healed = Some(healed.as_secs_f64());
            active.store(false, Ordering::Relaxed);
            if fault.action.lasts() {
                tell(format!("healed at {}: {fault}", seconds(healed)));
            }
        }
        Err(error) => facts.failed = facts.failed.or_else(|| Some(failed("healed", &error))),
    }
    if let Some(failed) = &facts.failed {
        tell(format!("fault {fault}: {failed}"));
    }
    facts
}
