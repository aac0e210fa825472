//! Carrying out the faults of a run, and healing each when its time is over, or the run's is, in whatever way it ends.

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
    healer::Healer,
};
use tokio::{
    sync::{Mutex, mpsc, watch},
    task::JoinSet,
    time::{sleep, sleep_until},
};

use crate::{external::Commands, failure::Failure};

/// What faults can act on.
#[derive(Debug, Clone)]
pub(super) enum Reach {
    /// Parts of the run's own pipeline.
    Parts(Parts),
    /// Somebody else's, by commands of theirs.
    Commands(Commands),
}

impl Reach {
    /// Begins `fault`; returns what is needed to heal it, and how it went.
    async fn begin(&self, fault: PlannedFault) -> (Begun, Result<(), String>) {
        match self {
            Self::Parts(parts) => (Begun::Part, parts.begin(&fault).await.map_err(|error| told(&error))),
            Self::Commands(commands) => {
                let commands = commands.clone();
                match tokio::task::spawn_blocking(move || commands.begin(&fault)).await {
                    Ok((healer, began)) => {
                        (healer.map_or(Begun::Nothing, Begun::Command), began.map_err(|error| told(&error)))
                    }
                    Err(error) => (Begun::Nothing, Err(error.to_string())),
                }
            }
        }
    }

    async fn heal(&self, fault: PlannedFault, begun: Begun) -> Result<(), String> {
        match (self, begun) {
            (Self::Parts(parts), _) => parts.heal(&fault).await.map_err(|error| told(&error)),
            (Self::Commands(commands), Begun::Command(healer)) => {
                let commands = commands.clone();
                let outcome = tokio::task::spawn_blocking(move || commands.heal(&fault, healer)).await;
                outcome.map_err(|error| error.to_string())?.map_err(|error| told(&error))
            }
            (Self::Commands(_), Begun::Part | Begun::Nothing) => Ok(()),
        }
    }
}

/// What was begun, for it to be healed.
enum Begun {
    /// Something of the run's own pipeline, whose guard knows of it.
    Part,
    /// Something of somebody else's. When this is dropped it is healed, too.
    Command(Healer),
    /// Nothing was.
    Nothing,
}

/// The faults of a run, while they happen. They must be ended: who drops them leaves healing to others, and waits for nobody.
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

    /// Stops sending and heals everything when sending `went` wrong, and waits until all is healed in any case; then says how
    /// both went.
    ///
    /// # Errors
    /// What `went` wrong.
    pub async fn end_after<T>(
        self,
        went: Result<T, Failure>,
        stop_sending: &watch::Sender<bool>,
    ) -> Result<(T, Vec<FaultFacts>), Failure> {
        if went.is_err() {
            // Nobody judges any more what would still be sent.
            stop_sending.send_replace(true);
            self.stop();
        }
        let facts = self.end().await;
        went.map(|value| (value, facts))
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
    let (to_heal, went) = reach.begin(fault).await;
    if let Err(error) = went {
        facts.failed = Some(failed("carried out", &error));
    } else {
        tokio::select! {
            () = sleep(fault.lasts) => (),
            _ = stop.wait_for(|stop| *stop) => (),
        }
    }
    match reach.heal(fault, to_heal).await {
        Ok(()) => {
            let healed = clock.elapsed();
            facts.healed = Some(healed.as_secs_f64());
            active.store(false, Ordering::Relaxed);
            if fault.action.lasts() {
                tell(format!("healed at {}: {fault}", seconds(healed)));
            }
        }
        Err(error) => {
            let not_healed = failed("healed", &error);
            facts.failed = Some(match facts.failed.take() {
                // Half of it may have been done.
                Some(failed) => format!("{failed}; and {not_healed}"),
                None => not_healed,
            });
        }
    }
    if let Some(failed) = &facts.failed {
        tell(format!("fault {fault}: {failed}"));
    }
    facts
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use checkers::verdict::{Obstacle, Verdict, merge};

    use super::{super::not_carried_out, *};
    use crate::{
        external::fault_tests::{FAULT, failing_in, noted_in},
        failure::Kind,
        faults::disturbed,
    };

    /// A fault of an hour, which has begun; what its healer does is noted in `folder`.
    async fn begun(folder: &Path) -> Faults {
        let reach = Reach::Commands(noted_in(folder));
        let mut faults = Faults::start(&reach, &[FAULT], RunClock::starting_in(Duration::ZERO));
        assert!(faults.next().await.is_some_and(|line| line.contains("kill ingester")));
        assert!(soon(&folder.join("begun")).await);
        faults
    }

    async fn soon(file: &Path) -> bool {
        for _ in 0..1_000 {
            if file.exists() {
                return true;
            }
            sleep(Duration::from_millis(10)).await;
        }
        false
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_broken_is_healed_before_an_error_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let faults = begun(folder.path()).await;
        let full = Err::<(), _>(Failure::told(Kind::Unavailable, "the disk is full", ""));
        let (stop_sending, stopped) = watch::channel(false);
        assert!(faults.end_after(full, &stop_sending).await.unwrap_err().line().contains("the disk is full"));
        assert!(*stopped.borrow(), "it is sent on");
        assert!(folder.path().join("healed").exists());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn how_faults_went_is_told_when_sending_went_well() {
        let folder = tempfile::tempdir().unwrap();
        let faults = begun(folder.path()).await;
        faults.stop();
        let (value, facts) = faults.end_after(Ok(7), &watch::channel(false).0).await.unwrap();
        assert!(value == 7 && facts[0].healed.is_some() && facts[0].failed.is_none(), "{facts:?}");
        assert!(folder.path().join("healed").exists());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn that_a_fault_failed_and_was_not_healed_is_told_both() {
        let folder = tempfile::tempdir().unwrap();
        let reach = Reach::Commands(failing_in(folder.path()));
        let mut faults = Faults::start(&reach, &[FAULT], RunClock::starting_in(Duration::ZERO));
        let active = faults.view().remove(0).1;
        let mut news = Vec::new();
        while let Some(line) = faults.next().await {
            news.push(line);
        }
        let facts = faults.end().await;
        let failed = facts[0].failed.clone().unwrap();
        let (carried_out, healed) = failed.split_once("; and it could not be healed: ").expect(&failed);
        let begin = "it could not be carried out: `kubectl` ended with exit status: 3";
        assert!(carried_out.starts_with(begin) && healed.starts_with("`true` ended with exit status: 4"), "{failed}");
        assert_eq!(news.len(), 2, "{news:?}");
        assert!(news[0].starts_with("fault at ") && news[1].ends_with(&failed), "{news:?}");

        // It may have begun in part, and goes on for all that is known.
        assert!(facts[0].began.is_some() && facts[0].healed.is_none() && active.load(Ordering::Relaxed), "{facts:?}");
        assert!(disturbed(&facts).touches(Duration::from_hours(9), Duration::from_hours(10)));
        let obstacle = not_carried_out(&facts[0]).unwrap();
        assert!(matches!(&obstacle, Obstacle::Invalid(what) if what.ends_with(&failed)), "{obstacle:?}");
        assert_eq!(merge([Verdict::Pass], &[obstacle]), Verdict::Inconclusive);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_nobody_ends_is_healed_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        drop(begun(folder.path()).await);
        assert!(soon(&folder.path().join("healed")).await);
    }
}
