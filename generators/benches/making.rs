//! Making traffic, on one core or two: events, requests, and requests with their intents in a ledger that discards.
//!
//! Machines differ; what `serde_json` makes of a struct of the same size is measured beside it. Peers (on one core of which that
//! makes 1.3–1.6 M/s, 1 KB, 25 properties): patching fixed-width holes in a template 28 M/s, `write!` of six holes 7.1 M/s,
//! sonic-rs 2.4 M/s, `serde_json::Value` 0.39 M/s; a batch of 100 by gzip-6 0.58 M events/s.

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

/// The peer: batches of 100 events with as many properties and bytes, by `serde_json` from structs, each with three values that
/// change. Nothing is drawn, and nobody knows afterwards what was sent.
#[divan::bench]
fn peer_serde_json_from_structs_in_batches_of_100(bencher: Bencher<'_, '_>) {
    let mut buffer = Vec::new();
    bencher.counter(ItemsCount::new(100_000u64)).bench_local(|| {
        for batch in 0..1_000u64 {
            let first = batch * 100;
            let event = |number| peer::Event::new(black_box(first + number));
            let body =
                peer::Batch { api_key: "phc_bench", batch: std::array::from_fn::<_, 100, _>(|at| event(at as u64)) };
            buffer.clear();
            serde_json::to_writer(&mut buffer, &body).unwrap();
            black_box(&buffer);
        }
    });
}

mod peer {
    //! An event of 1 KB as a struct.

    use serde::Serialize;

    #[derive(Serialize)]
    pub struct Batch<'a> {
        pub api_key: &'a str,
        #[serde(serialize_with = "all")]
        pub batch: [Event<'a>; 100],
    }

    fn all<S: serde::Serializer>(events: &[Event<'_>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(events)
    }

    #[derive(Serialize)]
    pub struct Event<'a> {
        #[serde(rename = "event")]
        name: &'a str,
        distinct_id: u64,
        uuid: u64,
        timestamp: &'a str,
        properties: Properties<'a>,
    }

    #[derive(Serialize)]
    struct Properties<'a> {
        #[serde(rename = "$browser")]
        browser: &'a str,
        #[serde(rename = "$browser_version")]
        browser_version: u32,
        #[serde(rename = "$current_url")]
        current_url: &'a str,
        #[serde(rename = "$device_id")]
        device_id: &'a str,
        #[serde(rename = "$host")]
        host: &'a str,
        #[serde(rename = "$lib")]
        lib: &'a str,
        #[serde(rename = "$lib_version")]
        lib_version: &'a str,
        #[serde(rename = "$os")]
        os: &'a str,
        #[serde(rename = "$pathname")]
        pathname: &'a str,
        #[serde(rename = "$raw_user_agent")]
        raw_user_agent: &'a str,
        #[serde(rename = "$referrer")]
        referrer: Option<&'a str>,
        #[serde(rename = "$screen_width")]
        screen_width: u32,
        #[serde(rename = "$session_id")]
        session_id: &'a str,
        #[serde(rename = "$timezone")]
        timezone: &'a str,
        balance: i64,
        city: &'a str,
        company: &'a str,
        country: &'a str,
        is_trial: bool,
        motto: &'a str,
        note: &'a str,
        ordinal: u64,
        precise: f64,
        price: f64,
        reported_address: &'a str,
    }

    impl Event<'_> {
        pub fn new(number: u64) -> Self {
            Self {
                name: "$autocapture",
                distinct_id: number,
                uuid: number,
                timestamp: "2026-01-01T00:00:00.000Z",
                properties: Properties {
                    browser: "Chrome",
                    browser_version: 135,
                    current_url: "https://functionalities.example.com/docs/getting-started/with-a-long-path",
                    device_id: "206a89f04f079bc0",
                    host: "functionalities.example.com",
                    lib: "assay",
                    lib_version: "4.0.0",
                    os: "Linux",
                    pathname: "/docs/getting-started/with-a-long-path",
                    raw_user_agent: "Opera/9.80 (Windows NT 6.0) Presto/2.12.388 Version/12.14",
                    referrer: None,
                    screen_width: 1280,
                    session_id: "b297475228a78289",
                    timezone: "Asia/Taipei",
                    balance: -49_892,
                    city: "Lake Mina Boscoport",
                    company: "Baumbach and Crooks LLC",
                    country: "FO",
                    is_trial: false,
                    motto: "omnis ut pariatur deleniti nostrum minima necessitatibus molestias ab.",
                    note: "plain, and a few words more, so that there is a kilobyte of it",
                    ordinal: number,
                    precise: 0.543_180_168_104_815_6,
                    price: 6595.13,
                    reported_address: "161.24.162.112",
                },
            }
        }
    }
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
