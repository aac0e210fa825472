//! What sending costs here: the open-loop sender against a null sink, and a bare loop in the same process as its measure.

mod sink;

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use generators::{
    client::{SenderOptions, SenderProgress, bare, target::Target},
    clock::{RunClock, RunStart},
    identity::{RunId, StreamId},
    journal::{Header, ReadError},
    ledger::{Answer, Record},
    persona::PersonaTable,
    random::Share,
    request::Requests,
    schedule::{Arrival, Rate},
    timetable::Shard,
    wire::{Encoded, Encoder},
    workload::{Compression, Endpoint, Persons, Plan, Traffic, Workload},
};
use hdrhistogram::Histogram;
use reports::sending::{Cost, Sending, Spread};
use rustix::time::{ClockId, clock_gettime};
use testenv::environment::usage;
use tokio::sync::watch;

use crate::{
    failure::{Failure, Kind},
    ledgers::Ledgers,
    runner::PERSONAS,
    senders::{Division, Senders},
};

pub use sink::Sink;

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many events.
    pub events: u64,
    /// At which rate; `None` for as fast as it goes.
    pub rate: Option<Rate>,
    /// How many events a request holds.
    pub batch: u64,
    /// Over how many connections at most.
    pub connections: usize,
    /// Whether bodies are compressed.
    pub compression: Compression,
    /// How many threads send.
    pub senders: u64,
    /// For how long the sink stops answering, in the middle.
    pub stall: Option<Duration>,
    /// The seed of all random values.
    pub seed: u64,
}

impl Options {
    /// How long sending is to take.
    fn lasts(&self) -> Option<Duration> {
        self.rate.map(|rate| Arrival::Constant { rate }.lasts(self.events))
    }

    /// What the p99 of the times until an answer is, if nothing takes time but the stall, and the sink's answering of those that
    /// waited, which took `drained`: who is due in it waits for its end, and then for those that were due before, so these waits
    /// are spread evenly between its length and `drained`.
    fn true_p99(&self, drained: Duration) -> Option<f64> {
        let (stall, whole) = (self.stall?.as_secs_f64(), self.lasts()?.as_secs_f64());
        // So long into the stall are those due of whom 1 % of all wait longer.
        let into = 0.01 * whole;
        Some(if into < stall { stall - into * (1.0 - drained.as_secs_f64() / stall) } else { 0.0 })
    }
}

/// Everything is due at once.
const FULL_SPEED: Rate = Rate { events: 1_000_000_000, per: Duration::from_secs(1) };
/// No reply takes longer, unless the sink stalls.
const TIME_OUT: Duration = Duration::from_secs(30);
/// So many different requests does the bare loop send, again and again.
const PREPARED: usize = 1_000;
const STREAM: StreamId = StreamId(0);

/// Sends to `target`, with the ledger in `folder`, and then as much with the bare loop.
///
/// # Errors
/// When the ledger cannot be written, or the target does not answer.
pub fn send(options: &Options, target: &Target, folder: &Path) -> Result<Sending, Failure> {
    let failed = |error| {
        Failure::caused(
            Kind::Unavailable,
            format!("sending to {target} failed"),
            "is something listening there?",
            error,
        )
    };
    let workload = Arc::new(workload(options));
    let requests = options.events.div_ceil(options.batch.max(1));
    let clock = RunClock::starting_in(Duration::ZERO);
    let header = Header { run: workload.plan().run, start: clock.start() };
    let began = Usage::now();
    let (_stop, stopped) = watch::channel(false);
    let address = target.address();
    let stall = options.stall.zip(options.lasts()).map(|(stall, lasts)| {
        let middle = clock.instant(lasts.saturating_sub(stall) / 2);
        std::thread::spawn(move || sink::stall(address, middle, stall))
    });
    let division = Division { shard: Shard::WHOLE, senders: options.senders };
    let sending = SenderOptions {
        target: target.clone(),
        shard: Shard::WHOLE,
        connections: options.connections,
        time_out: TIME_OUT,
    };
    let progress = Arc::new(SenderProgress::default());
    let senders = Senders::start(&workload, clock, division, &sending, folder, &progress, &stopped)?;
    senders.join().map_err(failed)?;
    let took = clock.elapsed();
    let drained = stall.map(|stall| stall.join().unwrap_or_else(|_| Err(std::io::Error::other("it crashed"))));
    let drained = drained.map(|stalled| stalled.and_then(|()| sink::drained(address))).transpose();
    let drained =
        drained.map_err(|error| Failure::caused(Kind::Unavailable, "the sink could not be stalled", "", error))?;
    let ours = began.cost(requests, options.events, took);
    let ledgers = Ledgers::find(folder)?;
    let told = Told::read(ledgers.records(header)?, &workload)?;

    let prepared = prepared(&workload, clock.start());
    let connections = options.connections.min(BARE_CONNECTIONS);
    let bare = |rate| {
        let began = Usage::now();
        let took = bare::send(target, prepared.clone(), requests, connections, rate).map_err(failed)?;
        Ok::<_, Failure>(began.cost(requests, options.events, took))
    };
    let at_rate = options.rate.filter(|_| options.stall.is_none());
    // A rate is one of events, and this one of requests.
    let at_rate = at_rate.map(|Rate { events, per }| Rate { events, per: per * options.batch as u32 });
    Ok(Sending {
        rate: options.rate.map(Rate::per_second),
        batch: options.batch,
        not_acked: told.not_acked,
        ledger_bytes: ledgers.files().iter().filter_map(|(_, path)| Some(std::fs::metadata(path).ok()?.len())).sum(),
        peak_memory: usage::Usage::of(std::process::id()).peak_memory,
        late: options.rate.map(|_| spread(&told.late)),
        answered: options.rate.map(|_| spread(&told.answered)),
        true_p99: drained.and_then(|drained| options.true_p99(drained)),
        ours,
        bare: bare(None)?,
        bare_at_rate: at_rate.map(|rate| bare(Some(rate))).transpose()?,
    })
}

/// More would only wait for each other.
const BARE_CONNECTIONS: usize = 64;

fn workload(options: &Options) -> Workload {
    let traffic = Traffic {
        name: "bench".into(),
        batch: (options.batch, options.batch),
        endpoint: if options.batch == 1 { Endpoint::Capture } else { Endpoint::Batch },
        compression: options.compression,
        token: "phc_assay_bench".into(),
        persons: Persons { count: 10_000, identify: Share::new(0.2).unwrap_or_default(), ..Persons::default() },
        clients: 16,
        ..Traffic::orderly(options.events, Arrival::Constant { rate: options.rate.unwrap_or(FULL_SPEED) })
    };
    let plan = Plan::new(RunId::new(options.seed), options.seed, vec![traffic]);
    Workload::new(plan, PersonaTable::make(options.seed, PERSONAS))
}

/// The first requests, for the loop that makes none.
fn prepared(workload: &Workload, start: RunStart) -> Vec<Encoded> {
    let mut encoder = Encoder::default();
    let requests = Requests::new(workload, STREAM).take(PREPARED);
    requests.filter_map(|request| encoder.encode(workload, &request, start, Vec::new()).ok()).collect()
}

/// CPU that this process has used.
struct Usage(Duration);

impl Usage {
    fn now() -> Self {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Self(Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32))
    }

    fn cost(&self, requests: u64, events: u64, took: Duration) -> Cost {
        let cpu = Self::now().0.saturating_sub(self.0);
        Cost { requests, events, seconds: took.as_secs_f64(), cpu_seconds: cpu.as_secs_f64() }
    }
}

/// What a ledger says of how sending went, in microseconds.
struct Told {
    /// From when a request was due to when it was handed to a connection.
    late: Histogram<u64>,
    /// From when it was due to when its answer was there.
    answered: Histogram<u64>,
    /// In events.
    not_acked: u64,
}

impl Told {
    fn read(records: impl Iterator<Item = Result<Record, ReadError>>, workload: &Workload) -> Result<Self, Failure> {
        let damaged = |error| Failure::caused(Kind::Internal, "the ledger cannot be read", "", error);
        let crashed = |error| Failure::caused(Kind::Internal, "a histogram cannot be made", "", error);
        // An hour is more than any time-out.
        let histogram = || Histogram::new_with_max(3_600_000_000, 3).map_err(crashed);
        let mut told = Self { late: histogram()?, answered: histogram()?, not_acked: 0 };
        let mut open = HashMap::new();
        for record in records {
            match record.map_err(damaged)? {
                Record::Intent(intent) => {
                    let request = intent.request;
                    open.insert(
                        request.index,
                        (request.due(workload), request.positions.end - request.positions.start),
                    );
                }
                Record::Outcome(outcome) => {
                    let Some((due, events)) = open.remove(&outcome.index) else { continue };
                    let since = |at: Duration| at.saturating_sub(due).as_micros() as u64;
                    told.late.saturating_record(since(outcome.sent));
                    told.answered.saturating_record(since(outcome.answered));
                    if !matches!(outcome.answer, Answer::Reply { status: 200, .. }) {
                        told.not_acked += events;
                    }
                }
                Record::GivenUp(_) | Record::End(_) => {}
            }
        }
        Ok(told)
    }
}

fn spread(histogram: &Histogram<u64>) -> Spread {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e6;
    Spread { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: histogram.max() as f64 / 1e6 }
}
