//! Watching for events to become visible, while the run goes on.
//!
//! Every few milliseconds: which data parts are new, and which ids are in them. That costs a small part of asking the
//! whole table, and a read still counts only once it has completed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use generators::{
    clock::RunClock,
    error_chain::told,
    identity::{EventId, RunId, StreamId},
    journal::WriteError,
};
use tokio::{sync::watch, task::JoinHandle, time::MissedTickBehavior};

use super::{
    ObserveError,
    clickhouse::Store,
    foreign::{Foreign, Looks},
    parts::ReadBlocks,
};
use crate::reconcile::{
    reads::{Read, ReadsWriter},
    seen::Seen,
};

/// From the beginning of one read to that of the next, below 100 ms; each costs ClickHouse some milliseconds of CPU.
pub const INTERVAL: Duration = Duration::from_millis(90);

/// Whose events are watched for.
#[derive(Debug, Clone, Copy)]
pub struct WatchedFor {
    /// The run.
    pub run: RunId,
    /// Whether some are sent without a uuid, so that rows with others' uuids must be looked into.
    pub by_marker: bool,
    /// From the beginning of one read to that of the next; usually [`INTERVAL`].
    pub every: Duration,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Watched {
    /// The reads.
    pub seen: Seen,
    /// When the store last changed, from the run's start.
    pub last_change: Duration,
    /// Reads that failed.
    pub failures: u64,
    /// What the latest of them said, until one succeeds again.
    pub failing: Option<String>,
    /// The reads that saw something since somebody took them; `None` while nobody does.
    pub fresh: Option<Vec<Read>>,
}

/// A running watch.
#[derive(Debug)]
pub struct Watch {
    watched: Arc<Mutex<Watched>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), WriteError>>,
}

impl Watch {
    /// Starts to watch `store` for the events of a run; each read goes into `journal` before it counts.
    pub fn start(store: Store, watched_for: WatchedFor, clock: RunClock, journal: ReadsWriter) -> Self {
        let (stop, stopped) = watch::channel(false);
        let watched = Arc::new(Mutex::new(Watched::default()));
        let task = tokio::spawn(watching(store, watched_for, clock, journal, Arc::clone(&watched), stopped));
        Self { watched, stop, task }
    }

    /// What was seen so far.
    pub fn watched(&self) -> MutexGuard<'_, Watched> {
        lock(&self.watched)
    }

    /// What follows it while it runs.
    pub fn view(&self) -> WatchView {
        WatchView(Arc::clone(&self.watched))
    }

    /// Whether it ended by itself, which it does only when its journal cannot be written.
    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Ends it and hands over what was seen.
    ///
    /// # Errors
    /// When the journal could not be written.
    pub async fn end(self) -> Result<Watched, WriteError> {
        // The task may have ended by itself.
        let _ = self.stop.send(true);
        if let Ok(result) = self.task.await {
            result?;
        }
        Ok(std::mem::take(&mut *lock(&self.watched)))
    }
}

/// Follows a [`Watch`].
#[derive(Debug, Clone)]
pub struct WatchView(Arc<Mutex<Watched>>);

impl WatchView {
    /// What was seen so far.
    pub fn watched(&self) -> MutexGuard<'_, Watched> {
        lock(&self.0)
    }
}

fn lock(watched: &Mutex<Watched>) -> MutexGuard<'_, Watched> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn watching(
    store: Store,
    watched_for: WatchedFor,
    clock: RunClock,
    mut journal: ReadsWriter,
    watched: Arc<Mutex<Watched>>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), WriteError> {
    let mut ticks = tokio::time::interval(watched_for.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut blocks = ReadBlocks::default();
    let mut looks = store.foreign().map(Looks::begin);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
            _ = ticks.tick() => (),
        }
        let looked = match (store.foreign(), &mut looks) {
            (Some(foreign), Some(looks)) => {
                look_among_others(&store, foreign, watched_for, clock, looks, &watched).await
            }
            _ => look(&store, watched_for, clock, &mut blocks).await,
        };
        match looked {
            Ok((read, changed)) => {
                journal.append(&read)?;
                let mut watched = lock(&watched);
                if changed {
                    watched.last_change = read.end;
                }
                watched.failing = None;
                watched.seen.add(&read);
                if let Some(fresh) = &mut watched.fresh
                    && !read.new.is_empty()
                {
                    fresh.push(read);
                }
            }
            Err(error) => {
                let mut watched = lock(&watched);
                watched.failures += 1;
                watched.failing = Some(told(&error));
            }
        }
    }
}

/// One read: the ids in new parts, and whether there were any such parts.
async fn look(
    store: &Store,
    watched_for: WatchedFor,
    clock: RunClock,
    blocks: &mut ReadBlocks,
) -> Result<(Read, bool), ObserveError> {
    let WatchedFor { run, by_marker, .. } = watched_for;
    let start = clock.elapsed();
    let parts = store.parts().await?;
    let unread = blocks.unread(&parts);
    let mut new: BTreeMap<StreamId, Vec<u64>> = BTreeMap::new();
    if !unread.is_empty() {
        let ids = store.ids(&unread, by_marker).await?;
        let whole = ids.len() as u64 == unread.iter().map(|part| part.rows).sum::<u64>();
        for id in ids.into_iter().filter_map(|uuid| EventId::from_uuid(uuid).ok()).filter(|id| id.run == run) {
            new.entry(id.stream).or_default().push(id.seq);
        }
        if !whole {
            // A part was merged away between the two questions. What was seen is seen, but this look shows less than
            // everything, so it must not count as having missed the rest: look again.
            return Box::pin(look_again(store, watched_for, clock, blocks, start, new)).await;
        }
        for part in unread {
            blocks.note(part);
        }
        return Ok((Read { start, end: clock.elapsed(), new: new.into_iter().collect() }, true));
    }
    Ok((Read { start, end: clock.elapsed(), new: Vec::new() }, false))
}

/// One read among other people's rows: the ids that no read had seen before, and whether there were any.
async fn look_among_others(
    store: &Store,
    foreign: &Foreign,
    watched_for: WatchedFor,
    clock: RunClock,
    looks: &mut Looks,
    watched: &Mutex<Watched>,
) -> Result<(Read, bool), ObserveError> {
    let start = clock.elapsed();
    let ids = store.new_ids(foreign, looks, (start, watched_for.by_marker)).await?;
    let end = clock.elapsed();
    let mut new: BTreeMap<StreamId, Vec<u64>> = BTreeMap::new();
    let watched = lock(watched);
    let of_run =
        ids.into_iter().filter_map(|uuid| EventId::from_uuid(uuid).ok()).filter(|id| id.run == watched_for.run);
    for id in of_run.filter(|id| !watched.seen.has(id.stream, id.seq)) {
        new.entry(id.stream).or_default().push(id.seq);
    }
    let changed = !new.is_empty();
    Ok((Read { start, end, new: new.into_iter().collect() }, changed))
}

/// Looks once more, and adds what an incomplete look had seen. The read then began with the first of the two.
async fn look_again(
    store: &Store,
    watched_for: WatchedFor,
    clock: RunClock,
    blocks: &mut ReadBlocks,
    start: Duration,
    seen: BTreeMap<StreamId, Vec<u64>>,
) -> Result<(Read, bool), ObserveError> {
    let (mut read, _) = look(store, watched_for, clock, blocks).await?;
    read.start = start;
    read.new.extend(seen);
    Ok((read, true))
}
