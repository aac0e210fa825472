//! Workers: each holds one connection and carries one request at a time.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, Sleep},
};

use super::{
    SenderOptions, SenderProgress,
    buffers::Buffers,
    connection::{Reused, Stream, Told, Unavailable},
    faulty, preflight,
    retry::{Back, Delivery},
};
use crate::{
    clock::RunClock,
    ledger::{Answer, EventResult, Outcome},
    request::Request,
    wire::Encoded,
    workload::ClientFault,
};

/// A request that is to leave at once.
#[derive(Debug)]
pub(super) struct Job {
    pub request: Request,
    pub intended: Duration,
    pub encoded: Encoded,
    /// How long its reply may take.
    pub time_out: Duration,
    /// What is known of it since its first attempt; none in that.
    pub delivery: Option<Box<Delivery>>,
    /// How it fails on purpose, if it does.
    pub fault: Option<ClientFault>,
    /// Whether its answer need not say anything.
    pub is_beacon: bool,
}

/// A request that was answered, or will not be.
#[derive(Debug)]
pub(super) struct Finished {
    pub outcome: Outcome,
    /// The request, where there may be more to do about it.
    pub back: Option<Box<Back>>,
}

/// All workers of a sender.
#[derive(Debug)]
pub(super) struct Workers {
    shared: Arc<Shared>,
    desks: Vec<Arc<Desk>>,
    open: usize,
}

/// What all of them need.
#[derive(Debug)]
struct Shared {
    options: SenderOptions,
    clock: RunClock,
    progress: Arc<SenderProgress>,
    buffers: Buffers,
    done: Mutex<Done>,
    /// Something was done that is waited for.
    news: Notify,
    /// How many outcomes are waited for.
    wanted: AtomicUsize,
}

/// What was done and not yet taken.
#[derive(Debug, Default)]
struct Done {
    finished: Vec<Finished>,
    /// Workers without a job, the one that was busy last on top: its connection is the freshest.
    idle: Vec<usize>,
}

/// Where a worker finds its job.
#[derive(Debug, Default)]
struct Desk {
    job: Mutex<Option<Box<Job>>>,
    bell: Notify,
}

impl Workers {
    pub fn new(options: SenderOptions, clock: RunClock, progress: Arc<SenderProgress>, buffers: Buffers) -> Self {
        let shared = Shared {
            options,
            clock,
            progress,
            buffers,
            done: Mutex::default(),
            news: Notify::new(),
            wanted: AtomicUsize::new(1),
        };
        Self { shared: Arc::new(shared), desks: Vec::new(), open: 0 }
    }

    /// Whether there are connections for so many more.
    pub fn have_room_for(&self, more: usize) -> bool {
        self.open + more <= self.shared.options.connections.max(1)
    }

    /// How many requests have not been answered, or not been taken since.
    pub const fn open(&self) -> usize {
        self.open
    }

    /// Gives a job to a worker that has none, a new one if all are busy.
    pub fn give(&mut self, job: Box<Job>) {
        let idle = lock(&self.shared.done).idle.pop();
        let number = idle.unwrap_or_else(|| {
            let (shared, desk) = (Arc::clone(&self.shared), Arc::<Desk>::default());
            self.desks.push(Arc::clone(&desk));
            let number = self.desks.len() - 1;
            tokio::spawn(async move { work(number, &shared, &desk).await });
            number
        });
        self.open += 1;
        let desk = &self.desks[number];
        *lock(&desk.job) = Some(job);
        desk.bell.notify_one();
    }

    /// Waits until there are `several` outcomes to take that were not there before.
    pub async fn news(&self, several: usize) {
        self.shared.wanted.store(several.max(1), Ordering::Relaxed);
        self.shared.news.notified().await;
    }

    /// The outcomes since the last time.
    pub fn take(&mut self) -> Vec<Finished> {
        let finished = std::mem::take(&mut lock(&self.shared.done).finished);
        self.open -= finished.len();
        finished
    }

    /// Whether there are outcomes to take.
    pub fn has_outcomes(&self) -> bool {
        !lock(&self.shared.done).finished.is_empty()
    }
}

/// Does one job after another until the runtime ends.
async fn work(number: usize, shared: &Shared, desk: &Desk) {
    let mut connection = Reused::new(shared.options.target.clone());
    let mut limit = Box::pin(tokio::time::sleep(Duration::ZERO));
    loop {
        let job = lock(&desk.job).take();
        let Some(job) = job else {
            desk.bell.notified().await;
            continue;
        };
        let finished = shared.exchange(job, &mut connection, limit.as_mut()).await;
        let mut done = lock(&shared.done);
        done.finished.push(finished);
        done.idle.push(number);
        if done.finished.len() == shared.wanted.load(Ordering::Relaxed) {
            shared.news.notify_one();
        }
    }
}

impl Shared {
    async fn exchange(&self, job: Box<Job>, connection: &mut Reused, limit: Pin<&mut Sleep>) -> Finished {
        let Job { request, intended, encoded, time_out, delivery, fault, is_beacon } = *job;
        let events = encoded.events;
        let sent = self.clock.elapsed();
        self.progress.sent.fetch_add(events, Ordering::Relaxed);
        self.progress.late_micros.store(sent.saturating_sub(intended).as_micros() as u64, Ordering::Relaxed);
        let deadline = Instant::now() + time_out;
        let Told { answer, retry_after } = tokio::select! {
            biased;
            told = self.reply(&encoded, fault, connection) => told,
            () = until(limit, deadline) => Told::without_reply(Answer::TimedOut),
        };
        self.buffers.give(encoded.body);
        let is_acked = match answer {
            Answer::Reply { status, .. } => status == 200 || (is_beacon && status == 204),
            Answer::Results { .. } => true,
            _ => false,
        };
        let counter = if is_acked { &self.progress.acked } else { &self.progress.failed };
        counter.fetch_add(events, Ordering::Relaxed);
        let answered = self.clock.elapsed();
        let (stream, index, attempt) = (request.stream, request.index, request.attempt());
        let is_done = is_acked && delivery.is_none() && !asks_again(&answer);
        let back = (!is_done).then(|| Box::new(Back { request, delivery, retry_after }));
        Finished { outcome: Outcome { stream, index, attempt, sent, answered, answer }, back }
    }

    async fn fail(&self, encoded: &Encoded, fault: ClientFault) -> Result<Told, Unavailable> {
        let target = &self.options.target;
        let host = target.host().to_str().unwrap_or_default();
        if fault == ClientFault::Preflight
            && let Err(answer) = preflight::ask(&mut Stream::to(target).await?, host, encoded).await
        {
            return Ok(Told::without_reply(answer));
        }
        Ok(faulty::exchange(Stream::to(target).await?, host, encoded, fault).await)
    }

    async fn reply(&self, encoded: &Encoded, fault: Option<ClientFault>, connection: &mut Reused) -> Told {
        match fault {
            None => connection.exchange(encoded).await,
            Some(fault) => self.fail(encoded, fault).await.unwrap_or_else(|Unavailable(error)| {
                // None of it has left.
                Told::without_reply(Answer::NeverLeft { error })
            }),
        }
    }
}

/// Whether an answer asks for single events again.
fn asks_again(answer: &Answer) -> bool {
    let Answer::Results { exceptions, .. } = answer else { return false };
    exceptions.iter().any(|(_, result)| *result == EventResult::Retry)
}

/// Waits until `deadline`. The timer is set again only when it fires, and not for each request: most are answered long before.
async fn until(mut timer: Pin<&mut Sleep>, deadline: Instant) {
    // Streams may have time-outs of different length.
    if timer.deadline() > deadline {
        timer.as_mut().reset(deadline);
    }
    loop {
        if timer.is_elapsed() {
            if Instant::now() >= deadline {
                return;
            }
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_for_long_replies_is_set_again_for_short_ones() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut timer = Box::pin(tokio::time::sleep(Duration::from_hours(1)));
            for _ in 0..2 {
                let deadline = Instant::now() + Duration::from_millis(5);
                tokio::time::timeout(Duration::from_mins(1), until(timer.as_mut(), deadline)).await.unwrap();
                assert!(Instant::now() >= deadline);
            }
        });
    }
}
