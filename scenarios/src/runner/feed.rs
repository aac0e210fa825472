//! What fills the board while a run goes on: the ledgers and the reads of the store are followed as they grow, and each
//! event that was acked is awaited until a read has seen it.
//!
//! This is for those who look on; the verdict is made of the same files by other code, and owes nothing to it. Memory is
//! that of what is on its way, and bounded whatever is lost.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use checkers::{
    disturbance::{FaultFacts, Watermark},
    observe::{
        lag::{LagView, PartitionLag},
        watch::WatchView,
    },
    oracle::{dialect::Dialect, plugin::Plugins},
    reconcile::{
        reads::Read,
        sent::{EventOutcome, Exchange, Exchanges},
    },
};
use generators::{
    client::SenderProgress,
    clock::{RunClock, RunStart},
    event::EventSource,
    identity::StreamId,
    journal::Header,
    ledger::LedgerReader,
    request::Sending,
    workload::Workload,
};
use reports::live::{Board, Counters, FaultNow, Histogram, LATENESS_BOUNDS, LagNow, Phase, TIME_TO_VISIBLE_BOUNDS};
use tokio::{sync::watch, task::JoinHandle};

use super::Active;
use crate::{failure::Failure, faults::planned, ledgers::Ledgers, plugins};

/// How often the board is filled in.
const TICK: Duration = Duration::from_millis(250);
/// So many events are awaited at most, and so many are remembered that were seen before their answer was known; of more
/// than that nobody is told one by one.
const FOLLOWED: usize = 1_000_000;
/// An answer comes into the ledger much sooner than this after its event was seen.
const REMEMBERED: Duration = Duration::from_mins(2);

/// Where the board's figures come from.
#[derive(Debug)]
pub(super) struct Sources {
    /// The reads of the store.
    pub watch: WatchView,
    /// How far consumers are behind, where Kafka can be read.
    pub lag: Option<LagView>,
    /// What the senders have done.
    pub sent: Arc<SenderProgress>,
    /// The planned faults, and whether each goes on.
    pub faults: Vec<(FaultFacts, Arc<AtomicBool>)>,
}

/// What fills the board, until it is ended.
#[derive(Debug)]
pub(super) struct Feed(Option<(watch::Sender<bool>, JoinHandle<()>)>);

impl Feed {
    /// Begins to fill the board of the run's progress, if somebody follows it.
    ///
    /// # Errors
    /// When the ledgers cannot be read.
    pub fn start(
        active: &Active<'_>,
        workload: &Arc<Workload>,
        (clock, header): (RunClock, Header),
        sources: Sources,
    ) -> Result<Self, Failure> {
        if !active.progress.is_followed() {
            return Ok(Self(None));
        }
        let scenario = &active.request.scenario;
        let limit = scenario.expect.targets.p99_time_to_visible.map(|limit| limit.as_secs_f64());
        let late_after = scenario.expect.allowances.tolerance;
        let mut live = active.progress.live();
        live.begin(Counters {
            time_to_visible: Histogram::with_bounds(TIME_TO_VISIBLE_BOUNDS, limit),
            lateness: Histogram::with_bounds(LATENESS_BOUNDS, Some(late_after.as_secs_f64())),
            ..Counters::default()
        });
        live.scenario.clone_from(&scenario.name);
        live.run = header.run.to_string();
        live.environment = active.request.environment.kind().into();
        live.phase = Phase::Sending;
        live.started_at = Some(clock.start().unix_micros() as f64 / 1e6);
        live.limit = limit;
        live.planned = workload.streams().into_iter().map(|stream| workload.planned(stream)).sum();
        drop(live);
        sources.watch.watched().fresh = Some(Vec::new());
        let follower = Follower {
            dialect: scenario.pipeline.dialect,
            plugins: plugins::judged(scenario),
            start: clock.start(),
            watermark: Watermark { loss_after: scenario.expect.loss_after, disturbed: planned(&active.faults) },
            late_after,
            awaited: HashMap::new(),
            early: HashMap::new(),
        };
        let ledgers = Ledgers::find(active.directory.path())?.open(header)?;
        let prefix = format!("r{}_", header.run);
        let (stop, stopped) = watch::channel(false);
        let (board, workload) = (Arc::clone(active.progress.board()), Arc::clone(workload));
        let task = tokio::spawn(feeding((ledgers, follower), sources, workload, clock, (board, prefix), stopped));
        Ok(Self(Some((stop, task))))
    }

    /// Fills it in a last time.
    pub async fn end(self) {
        if let Some((stop, task)) = self.0 {
            stop.send_replace(true);
            // If it crashed, the board stays as it was, and the run is judged all the same.
            let _ = task.await;
        }
    }
}

async fn feeding(
    (mut ledgers, mut follower): (Vec<LedgerReader>, Follower),
    sources: Sources,
    workload: Arc<Workload>,
    clock: RunClock,
    (board, prefix): (Arc<Board>, String),
    mut stopped: watch::Receiver<bool>,
) {
    let mut exchanges = Exchanges::default();
    loop {
        let is_last = tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => true,
            () = tokio::time::sleep(TICK) => false,
        };
        // That a ledger is damaged is told by what judges; here it only ends.
        let records = ledgers.iter_mut().flat_map(|ledger| ledger.by_ref().map_while(Result::ok));
        let answered: Vec<Exchange> =
            records.filter_map(|record| exchanges.take(follower.dialect, &workload, record)).collect();
        let now = clock.elapsed();
        let (found, counted) = {
            let mut watched = sources.watch.watched();
            let reads = watched.fresh.replace(Vec::new()).unwrap_or_default();
            let has_seen = |stream, seq| watched.seen.has(stream, seq);
            let found = follower.look(now, &workload, (&reads, &answered), has_seen);
            (found, (watched.seen.count(), watched.seen.reads(), watched.failures))
        };
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let lag = sources.lag.as_ref().and_then(LagView::partitions);
        let mut live = board.live();
        let sent = &sources.sent;
        (live.now.sent, live.now.acked, live.now.failed) = (of(&sent.sent), of(&sent.acked), of(&sent.failed));
        live.lateness = of(&sent.late_micros) as f64 / 1e6;
        (live.now.visible, live.now.reads, live.now.failed_reads) = counted;
        live.now.requests += found.lateness.len() as u64;
        live.now.late_requests += found.late;
        found.lateness.iter().for_each(|late| live.now.lateness.add(*late));
        found.times.iter().for_each(|time| live.now.time_to_visible.add(*time));
        (live.awaited, live.overdue) = follower.awaited(now);
        live.lag = lag.map(|lag| lag.into_iter().map(|(group, lag)| lag_now(&prefix, &group, &lag)).collect());
        live.faults = sources.faults.iter().map(fault_now).collect();
        drop(live);
        if is_last {
            return;
        }
    }
}

/// A pipeline of the run's own has its id before the contract's names, which would make a series for each run.
fn lag_now(prefix: &str, group: &str, lag: &PartitionLag) -> LagNow {
    let bare = |name: &str| name.strip_prefix(prefix).unwrap_or(name).to_owned();
    LagNow { group: bare(group), topic: bare(&lag.topic), partition: lag.partition, messages: lag.messages }
}

fn fault_now((facts, active): &(FaultFacts, Arc<AtomicBool>)) -> FaultNow {
    FaultNow {
        fault: facts.fault.clone(),
        target: facts.target.clone(),
        planned_at: facts.planned_at,
        active: active.load(Ordering::Relaxed),
    }
}

/// Follows what was sent and seen.
#[derive(Debug)]
struct Follower {
    dialect: Dialect,
    plugins: Plugins,
    start: RunStart,
    watermark: Watermark,
    late_after: Duration,
    /// Acked events that nobody has seen: when they were due, and from when on they are missing.
    awaited: HashMap<(StreamId, u64), (Duration, Duration)>,
    /// Events that were seen before their answer was read from the ledger, and when.
    early: HashMap<(StreamId, u64), Duration>,
}

/// What a look has found. Seconds.
#[derive(Debug, Default, PartialEq)]
struct Found {
    /// How late each request left.
    lateness: Vec<f64>,
    /// How many of them were later than the scenario allows.
    late: u64,
    /// The time-to-visible of each event that was seen.
    times: Vec<f64>,
}

impl Follower {
    /// Takes in what was seen and answered since; `has_seen` knows of these reads too.
    fn look(
        &mut self,
        now: Duration,
        workload: &Workload,
        (reads, exchanges): (&[Read], &[Exchange]),
        has_seen: impl Fn(StreamId, u64) -> bool,
    ) -> Found {
        let mut found = Found::default();
        for read in reads {
            for id in read.new.iter().flat_map(|(stream, seqs)| seqs.iter().map(|seq| (*stream, *seq))) {
                match self.awaited.remove(&id) {
                    Some((due, _)) => found.times.push(read.end.saturating_sub(due).as_secs_f64()),
                    // It may also have been seen before: data parts are read again when they were merged.
                    None if self.early.len() < FOLLOWED => drop(self.early.entry(id).or_insert(read.end)),
                    None => {}
                }
            }
        }
        for exchange in exchanges {
            let request = &exchange.request;
            let sending = request.sending();
            if sending == Sending::First {
                let late = exchange.sent.saturating_sub(exchange.intended);
                found.late += u64::from(late > self.late_after);
                found.lateness.push(late.as_secs_f64());
            }
            if sending == Sending::Duplicate {
                // What it holds is known.
                continue;
            }
            // An event that is sent again belongs to its first request.
            for (seq, _) in request.seqs(workload).filter(|(_, again)| !again) {
                let id = (request.stream, seq);
                let seen = self.early.remove(&id);
                if exchange.outcome_of(seq) != EventOutcome::Acked {
                    continue;
                }
                if let Some(seen) = seen {
                    found.times.push(seen.saturating_sub(exchange.intended).as_secs_f64());
                } else if self.awaited.len() < FOLLOWED
                    && !has_seen(request.stream, seq)
                    && exchange.must_show((self.dialect, &self.plugins, self.start), workload, seq)
                {
                    let missing = self.watermark.missed_from(exchange.answered.unwrap_or(exchange.sent));
                    self.awaited.insert(id, (exchange.intended, missing));
                }
            }
        }
        self.early.retain(|_, seen| *seen + REMEMBERED > now);
        found
    }

    /// How many events are awaited at `now`, and how many of them are missing.
    fn awaited(&self, now: Duration) -> (u64, u64) {
        let overdue = self.awaited.values().filter(|(_, missing)| *missing <= now).count();
        (self.awaited.len() as u64, overdue as u64)
    }
}

#[cfg(test)]
mod tests;
