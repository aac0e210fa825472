//! Making traffic, on one core or two: events, requests, and requests with their intents in a ledger that discards.
//!
//! Peers (one such core, 1 KB, 25 properties): patching fixed-width holes in a template 28 M/s, `write!` of six holes 7.1 M/s, sonic-rs
//! 2.4 M/s, `serde_json` from a struct 1.3–1.6 M/s, `serde_json::Value` 0.39 M/s; a batch of 100 by gzip-6 0.58 M events/s.

#![expect(clippy::unwrap_used, reason = "a benchmark")]

use std::{io::sink, path::Path, time::Duration};

use divan::{Bencher, black_box, counter::ItemsCount};
use generators::{
    clock::RunStart,
    identity::{RunId, StreamId},
    journal::Header,
    ledger::{Intent, LedgerWriter, Record},
    persona::PersonaTable,
    random::{Distribution, Share},
    request::Requests,
    schedule::{Arrival, Rate},
    timetable::{Shard, Timetable},
    wire::Encoder,
    workload::{Compression, Disorder, Endpoint, Persons, Plan, Traffic, Workload},
};

fn main() {
    divan::main();
}

const START: RunStart = RunStart::from_unix_micros(1_790_000_000_000_000);

/// Orderly traffic, or disorderly traffic as in the scenario `smoke`.
fn workload(batch: u64, is_disorderly: bool, compression: Compression) -> Workload {
    let share = |percent: f64| Share::new(if is_disorderly { percent / 100.0 } else { 0.0 }).unwrap();
    let traffic = Traffic {
        name: "bench".into(),
        batch: (batch, batch),
        endpoint: if batch == 1 { Endpoint::Capture } else { Endpoint::Batch },
        compression,
        token: "phc_bench".into(),
        persons: Persons { count: 10_000, identify: Share::new(0.2).unwrap(), ..Persons::default() },
        disorder: Disorder {
            backdated: share(5.0),
            backdated_by: Distribution::Exponential { mean: Duration::from_secs(30) },
            shuffle: Duration::from_secs(if is_disorderly { 2 } else { 0 }),
            resend: share(if batch == 1 { 0.0 } else { 0.5 }),
            ..Disorder::default()
        },
        clients: 16,
        ..Traffic::orderly(1 << 40, Arrival::Constant { rate: Rate::new(50_000, Duration::from_secs(1)).unwrap() })
    };
    let plan = Plan::new(RunId::new(7), 1, vec![traffic]);
    Workload::new(plan, PersonaTable::make(1, 64))
}

/// Events of so many requests, as bytes.
fn requests(bencher: Bencher<'_, '_>, workload: &Workload, count: usize) {
    let requests: Vec<_> = Requests::new(workload, StreamId(0)).take(count).collect();
    let events: usize = requests.iter().map(|request| request.seqs(workload).count()).sum();
    let mut encoder = Encoder::default();
    let mut buffer = Vec::new();
    bencher.counter(ItemsCount::new(events)).bench_local(|| {
        for request in &requests {
            let made = encoder.encode(workload, request, START, std::mem::take(&mut buffer)).unwrap();
            buffer = black_box(made).body;
        }
    });
}

#[divan::bench]
fn orderly_events_in_batches_of_100(bencher: Bencher<'_, '_>) {
    requests(bencher, &workload(100, false, Compression::None), 1_000);
}

#[divan::bench]
fn disorderly_events_in_batches_of_100(bencher: Bencher<'_, '_>) {
    requests(bencher, &workload(100, true, Compression::None), 1_000);
}

/// Everything that a sender does but for the connection: the timetable of its share, bodies, and intents in a ledger that
/// discards, 64 a write. So many senders divide the traffic, each on a core of its own: the figures are of all together.
#[divan::bench(args = [1, 2], sample_count = 10)]
fn senders_with_ledgers(bencher: Bencher<'_, '_>, senders: u64) {
    const REQUESTS: usize = 4_096;
    let workload = workload(100, true, Compression::None);
    let per_sender = REQUESTS / senders as usize;
    let header = Header { run: RunId::new(7), start: START };
    let send = |number| {
        let shard = Shard::new(number, senders).unwrap();
        let mut ledger = LedgerWriter::new(Path::new("discarded"), header, sink()).unwrap();
        let (mut encoder, mut buffer, mut intents) = (Encoder::default(), Vec::new(), Vec::new());
        for (due, request) in Timetable::new(&workload, shard).take(per_sender) {
            let made = encoder.encode(&workload, &request, START, std::mem::take(&mut buffer)).unwrap();
            buffer = black_box(made).body;
            intents.push(Record::Intent(Intent { request, released: due }));
            if intents.len() == 64 {
                ledger.append(&intents).unwrap();
                intents.clear();
            }
        }
    };
    let events = per_sender * 100 * senders as usize;
    bencher.counter(ItemsCount::new(events)).bench_local(|| {
        std::thread::scope(|threads| {
            (1..=senders).for_each(|number| {
                threads.spawn(move || send(number));
            });
        });
    });
}

#[divan::bench]
fn single_events(bencher: Bencher<'_, '_>) {
    requests(bencher, &workload(1, false, Compression::None), 100_000);
}

#[divan::bench(sample_count = 5)]
fn events_in_gzipped_batches_of_100(bencher: Bencher<'_, '_>) {
    requests(bencher, &workload(100, false, Compression::Gzip), 200);
}
