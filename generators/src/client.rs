//! The open-loop sender.
//!
//! One thread with a runtime of its own: a pacer that releases everything that is due in one tick, the ledger's intents
//! in one write before any of it leaves, and a [worker] for each connection. A request goes out when it is due, however the
//! subject answers; one for which there is no connection is sent late and timed from its intended moment. Nothing is ever
//! skipped, and memory does not grow with what waits: it is not made before it can leave. What a client's library sends
//! again leaves [beside the schedule](retry), and delays nothing of it; what the plan has [sent once more](repeats) leaves when it is
//! due.

pub mod bare;
mod buffers;
mod connection;
mod faulty;
mod http;
mod preflight;
mod repeats;
mod results;
mod retry;
pub mod target;
mod upcoming;
mod worker;

use std::{
    sync::{Arc, atomic::AtomicU64},
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::watch;

use self::{buffers::Buffers, target::Target, upcoming::Upcoming, worker::Workers};
use crate::{
    clock::RunClock,
    journal::WriteError,
    ledger::{End, Intent, LedgerWriter, Record},
    timetable::Shard,
    wire::EncodeError,
    workload::Workload,
};

/// So many requests are released in one tick at most, so that answers are read in between when sending has to catch up.
const RELEASED_AT_ONCE: usize = 64;
/// What is due within a tick leaves together: one wake-up for all of it, and one for their answers.
const TICK: Duration = Duration::from_millis(2);
/// Where so many leave in a tick, their answers are not waited for one by one: waking up for each costs more than sending it.
const SEVERAL: usize = 4;
/// A body up to this many bytes is taken by a socket at once; what is longer needs somebody to push the rest …
const LIGHT: usize = 16 << 10;
/// … for so long at most, on any line that a schedule can be kept on.
const HEAVY_LASTS: Duration = Duration::from_millis(100);
/// Where there is no room, this part of the connections shall be free before more is released: a write to the ledger costs
/// as much as several requests.
const TOGETHER: usize = 4;
/// So long do outcomes wait for others before they are taken, and what is sent again because of them is planned.
const OUTCOMES_GATHER: Duration = Duration::from_millis(10);
/// So long do outcomes wait for the next intent, with which they are written to the ledger: a block of their own costs as
/// much as a whole post. Whoever looks on sees them so much later, and they die with the sender; …
const OUTCOMES_WAIT: Duration = Duration::from_millis(250);
/// … so many of them do not wait.
const OUTCOMES_HELD: usize = 64;

/// How to send.
#[derive(Debug, Clone)]
pub struct SenderOptions {
    /// Where the capture listens.
    pub target: Target,
    /// Which share of the traffic is sent.
    pub shard: Shard,
    /// How many connections may be open; requests beyond them wait, and are late.
    pub connections: usize,
    /// How long a reply may take before the request counts as timed out, for clients whose library does not say.
    pub time_out: Duration,
}

/// Sending had to be given up.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Nothing leaves without its intent on disk.
    #[error(transparent)]
    Ledger(#[from] WriteError),
    /// A request could not be made.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// No thread or runtime could be had.
    #[error("the sender could not be started")]
    Start(#[source] std::io::Error),
    /// The sender's thread panicked.
    #[error("the sender crashed")]
    Crashed,
    /// What sending is measured against could not be done.
    #[error("a bare request {0}")]
    Peer(String),
}

/// What the sender has done so far, in events; read by the live progress while it runs.
#[derive(Debug, Default)]
pub struct SenderProgress {
    /// Handed to a connection, second sendings and retries included.
    pub sent: AtomicU64,
    /// In requests answered with 200.
    pub acked: AtomicU64,
    /// In requests that ended in any other way.
    pub failed: AtomicU64,
    /// How late the latest request was, in microseconds.
    pub late_micros: AtomicU64,
    /// Requests that the plan has sent once more and that were given up, since too many waited.
    pub given_up: AtomicU64,
}

/// A running sender.
#[derive(Debug)]
pub struct Sender {
    thread: JoinHandle<Result<End, SendError>>,
    finished: watch::Receiver<bool>,
}

impl Sender {
    /// Starts to send `workload` on `clock`'s schedule, until it is done or `stop` becomes true.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(
        workload: Arc<Workload>,
        clock: RunClock,
        ledger: LedgerWriter,
        options: SenderOptions,
        progress: Arc<SenderProgress>,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, SendError> {
        let (done, finished) = watch::channel(false);
        let thread = std::thread::Builder::new()
            .name("sender".into())
            .spawn(move || {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(SendError::Start)?;
                let result = runtime.block_on(send(&workload, clock, ledger, options, progress, stop));
                // Nobody waits any more if this fails.
                let _ = done.send(true);
                result
            })
            .map_err(SendError::Start)?;
        Ok(Self { thread, finished })
    }

    /// Waits until all is sent and answered, or given up. Can be dropped and called again.
    pub async fn finished(&mut self) {
        // An error means that the thread is gone, which is an end as well.
        let _ = self.finished.wait_for(|finished| *finished).await;
    }

    /// How it ended; blocks until it has.
    ///
    /// # Errors
    /// When sending had to be given up.
    pub fn join(self) -> Result<End, SendError> {
        self.thread.join().unwrap_or(Err(SendError::Crashed))
    }
}

/// What a ledger ends with, where so many repeats of requests were given up.
fn last_words(end: End, given_up: u64) -> impl Iterator<Item = Record> {
    (given_up > 0).then_some(Record::GivenUp(given_up)).into_iter().chain([Record::End(end)])
}

async fn send(
    workload: &Workload,
    clock: RunClock,
    mut ledger: LedgerWriter,
    options: SenderOptions,
    progress: Arc<SenderProgress>,
    mut stop: watch::Receiver<bool>,
) -> Result<End, SendError> {
    let buffers = Buffers::default();
    let connections = options.connections;
    let mut upcoming = Upcoming::new(workload, clock.start(), &options, (buffers.clone(), Arc::clone(&progress)))?;
    let mut workers = Workers::new(options, clock, progress, buffers);
    let (mut end, mut records, mut jobs, mut write_at) = (End::Complete, Vec::new(), Vec::new(), None);
    let (mut take_at, mut heavy) = (None, None);
    // Before the start the clock stands at zero, and so would what is due first be due already.
    tokio::select! {
        Ok(_) = stop.wait_for(|stop| *stop) => end = upcoming.stop(),
        () = tokio::time::sleep_until(clock.instant(Duration::ZERO).into()) => {}
    }
    loop {
        let now = clock.elapsed();
        let is_due = upcoming.due().is_some_and(|due| due <= now);
        let must_take = take_at.is_some_and(|at| at <= now);
        // Outcomes wait for others, since a request without one is only indeterminate. Their connections are free at once.
        if is_due || must_take || upcoming.is_over() {
            take_at = None;
            let stopped = *stop.borrow();
            for finished in workers.take() {
                upcoming.ended(&finished.outcome, finished.back, stopped);
                records.push(Record::Outcome(finished.outcome));
            }
        }
        while workers.have_room_for(jobs.len() + 1)
            && jobs.len() < RELEASED_AT_ONCE
            && let Some(job) = upcoming.take(now)?
        {
            // Intents wait for nothing.
            records.push(Record::Intent(Intent { request: job.request.clone(), released: now }));
            heavy = if job.encoded.body.len() > LIGHT { Some(now) } else { heavy };
            jobs.push(job);
        }
        let is_over = upcoming.is_empty() && jobs.is_empty() && workers.open() == 0;
        records.extend(is_over.then(|| last_words(end, upcoming.given_up())).into_iter().flatten());
        let must_write = records.len() >= OUTCOMES_HELD || write_at.is_some_and(|at| at <= now);
        if !jobs.is_empty() || must_write || is_over {
            ledger.append(&records)?;
            records.clear();
            write_at = None;
        }
        if is_over {
            return Ok(end);
        }
        let released = jobs.len();
        for job in jobs.drain(..) {
            workers.give(job);
        }
        if released == RELEASED_AT_ONCE {
            // Answers are read in between.
            tokio::task::yield_now().await;
            continue;
        }
        if take_at.is_none() && workers.has_outcomes() {
            take_at = Some(now + OUTCOMES_GATHER);
        }
        if write_at.is_none() && !records.is_empty() {
            write_at = Some(now + OUTCOMES_WAIT);
        }
        let is_full = !workers.have_room_for(1);
        // Where there is no room, what is due waits for an answer.
        let due = upcoming.due().filter(|_| !is_full).map(|due| due.max(now + TICK));
        let is_heavy = heavy.is_some_and(|at| now.saturating_sub(at) < HEAVY_LASTS);
        if let Some(due) = due.filter(|due| released >= SEVERAL && !is_heavy && *due <= now + TICK) {
            // All that was given leaves, then this thread sleeps, and then the answers that came meanwhile are taken together.
            tokio::task::yield_now().await;
            std::thread::sleep(due.saturating_sub(clock.elapsed()));
            tokio::task::yield_now().await;
            if *stop.borrow() {
                end = upcoming.stop();
            }
            continue;
        }
        // Where there is no room, or nothing more is due, several answers are taken together, but none waits longer than a tick.
        let is_over = upcoming.is_over();
        let several = match is_over {
            false if is_full => (connections / TOGETHER).max(1),
            false => 1,
            true => workers.open(),
        };
        let look_again = (is_full || (is_over && workers.open() > 0)).then_some(now + TICK);
        let wake = [due, take_at, write_at, look_again].into_iter().flatten().min();
        tokio::select! {
            biased;
            // A dropped handle means that nobody can stop us any more; then this branch never fires.
            Ok(_) = stop.wait_for(|stop| *stop), if !upcoming.is_empty() => end = upcoming.stop(),
            () = workers.news(several) => {}
            () = tokio::time::sleep_until(clock.instant(wake.unwrap_or_default()).into()), if wake.is_some() => {}
        }
    }
}

#[cfg(test)]
mod tests;
