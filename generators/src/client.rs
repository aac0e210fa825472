//! The open-loop sender.
//!
//! One thread with a runtime of its own: a pacer that releases everything that is due in one tick, the ledger's intents
//! in one write before any of it leaves, and one task a request. A request goes out when it is due, however the subject
//! answers; one that could not is sent late and timed from its intended moment. Nothing is ever skipped.

mod connection;

use std::{
    collections::BinaryHeap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use tokio::sync::{Semaphore, mpsc, watch};

use self::connection::Connections;
use crate::{
    clock::RunClock,
    event::EventSource,
    journal::WriteError,
    ledger::{Answer, End, Intent, LedgerWriter, Outcome, Record},
    request::{Request, Requests},
    wire::{EncodeError, Encoded, Encoder},
    workload::Workload,
};

/// So many requests are released in one tick at most, so that answers are read in between when sending has to catch up.
const RELEASED_AT_ONCE: usize = 64;

/// How to send.
#[derive(Debug, Clone, Copy)]
pub struct SenderOptions {
    /// Where the capture listens.
    pub address: SocketAddr,
    /// How many connections may be open; requests beyond them wait, and are late.
    pub connections: usize,
    /// How long a reply may take before the request counts as timed out.
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
}

/// What the sender has done so far, in events; read by the live progress while it runs.
#[derive(Debug, Default)]
pub struct SenderProgress {
    /// Handed to a connection, second sendings included.
    pub sent: AtomicU64,
    /// In requests answered with 200.
    pub acked: AtomicU64,
    /// In requests that ended in any other way.
    pub failed: AtomicU64,
    /// How late the latest request was, in microseconds.
    pub late_micros: AtomicU64,
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

async fn send(
    workload: &Workload,
    clock: RunClock,
    mut ledger: LedgerWriter,
    options: SenderOptions,
    progress: Arc<SenderProgress>,
    mut stop: watch::Receiver<bool>,
) -> Result<End, SendError> {
    let shared = Arc::new(Shared {
        connections: Connections::new(options.address),
        permits: Semaphore::new(options.connections.max(1)),
        host: options.address.to_string(),
        time_out: options.time_out,
        clock,
        progress,
    });
    let (outcome, mut outcomes) = mpsc::unbounded_channel();
    let mut upcoming = Upcoming::new(workload);
    let mut next = upcoming.encoded(clock)?;
    let (mut open, mut end) = (0usize, End::Complete);
    loop {
        let due = next.as_ref().map(|(request, _)| clock.instant(request.due(workload)));
        tokio::select! {
            biased;
            // A dropped handle means that nobody can stop us any more; then this branch never fires.
            Ok(_) = stop.wait_for(|stop| *stop), if next.is_some() => {
                next = None;
                end = End::Stopped;
            }
            Some(finished) = outcomes.recv() => {
                let mut records = vec![Record::Outcome(finished)];
                while let Ok(finished) = outcomes.try_recv() {
                    records.push(Record::Outcome(finished));
                }
                open -= records.len();
                ledger.append(&records)?;
            }
            () = tokio::time::sleep_until(due.unwrap_or_else(std::time::Instant::now).into()), if due.is_some() => {
                let (mut intents, mut released) = (Vec::new(), Vec::new());
                while intents.len() < RELEASED_AT_ONCE
                    && let Some((request, encoded)) = next.take_if(|(request, _)| request.due(workload) <= clock.elapsed())
                {
                    intents.push(Record::Intent(intent(&request, clock.elapsed())));
                    released.push((request, encoded));
                    next = upcoming.encoded(clock)?;
                }
                ledger.append(&intents)?;
                open += released.len();
                for (request, encoded) in released {
                    let (shared, outcome) = (Arc::clone(&shared), outcome.clone());
                    let intended = request.due(workload);
                    tokio::spawn(async move {
                        // The receiver lives until every outcome has come.
                        let _ = outcome.send(shared.exchange(&request, intended, encoded).await);
                    });
                }
            }
        }
        if next.is_none() && open == 0 {
            ledger.append(&[Record::End(end)])?;
            return Ok(end);
        }
    }
}

fn intent(request: &Request, released: Duration) -> Intent {
    Intent {
        stream: request.stream,
        index: request.index,
        attempt: 1,
        positions: request.positions.clone(),
        resends: request.resends.clone(),
        released,
    }
}

/// What all exchanges need.
struct Shared {
    connections: Connections,
    permits: Semaphore,
    host: String,
    time_out: Duration,
    clock: RunClock,
    progress: Arc<SenderProgress>,
}

impl Shared {
    async fn exchange(&self, request: &Request, intended: Duration, encoded: Encoded) -> Outcome {
        // The semaphore is never closed.
        let permit = self.permits.acquire().await;
        let http = hyper::Request::post(&encoded.target)
            .header(HOST, &self.host)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("assay/", env!("CARGO_PKG_VERSION")))
            .body(Full::<Bytes>::new(encoded.body));
        self.progress.sent.fetch_add(encoded.events, Ordering::Relaxed);
        self.progress
            .late_micros
            .store(self.clock.elapsed().saturating_sub(intended).as_micros() as u64, Ordering::Relaxed);
        let (sent, answer) = match http {
            Ok(http) => self.connections.exchange(http, self.time_out, self.clock).await,
            Err(error) => (self.clock.elapsed(), Answer::NeverLeft { error: error.to_string() }),
        };
        drop(permit);
        let counter = if matches!(answer, Answer::Reply { status: 200, .. }) {
            &self.progress.acked
        } else {
            &self.progress.failed
        };
        counter.fetch_add(encoded.events, Ordering::Relaxed);
        let answered = self.clock.elapsed();
        Outcome { stream: request.stream, index: request.index, attempt: 1, sent, answered, answer }
    }
}

/// The requests of all streams in the order in which they are due.
struct Upcoming<'a> {
    workload: &'a Workload,
    streams: Vec<Requests<'a>>,
    /// The next request of each stream, the earliest on top.
    heads: BinaryHeap<std::cmp::Reverse<(Duration, usize, u64)>>,
    requests: Vec<Option<Request>>,
    encoder: Encoder,
}

impl<'a> Upcoming<'a> {
    fn new(workload: &'a Workload) -> Self {
        let streams: Vec<_> = workload.streams().into_iter().map(|stream| Requests::new(workload, stream)).collect();
        let requests = streams.iter().map(|_| None).collect();
        let mut upcoming = Self { workload, streams, heads: BinaryHeap::new(), requests, encoder: Encoder::default() };
        for place in 0..upcoming.streams.len() {
            upcoming.advance(place);
        }
        upcoming
    }

    fn advance(&mut self, place: usize) {
        self.requests[place] = self.streams[place].next();
        if let Some(request) = &self.requests[place] {
            self.heads.push(std::cmp::Reverse((request.due(self.workload), place, request.index)));
        }
    }

    /// The next request with its bytes, made ahead of its time so that it can leave at once when it is due.
    fn encoded(&mut self, clock: RunClock) -> Result<Option<(Request, Encoded)>, EncodeError> {
        let Some(std::cmp::Reverse((_, place, _))) = self.heads.pop() else { return Ok(None) };
        let Some(request) = self.requests[place].take() else { return Ok(None) };
        self.advance(place);
        let encoded = self.encoder.encode(self.workload, &request, clock.start())?;
        Ok(Some((request, encoded)))
    }
}
