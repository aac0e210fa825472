//! What watching costs, and how fine it is, while 50 000 events a second arrive and ClickHouse merges them.
//!
//! Rows of 1 KB are inserted into a table like PostHog's in blocks of half a second, as its Kafka engine does. The same is
//! done once without the watch, to tell what it costs the subject.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::{
    io::{BufRead, BufReader, Read as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use checkers::{
    observe::{
        clickhouse::{Store, StoreAddress},
        watch::{INTERVAL, Watch, Watched, WatchedFor},
    },
    reconcile::{
        reads::{ReadsLog, ReadsWriter},
        windows::Windows,
    },
};
use clickhouse::{Client, Row};
use generators::{
    clock::RunClock,
    identity::{EventId, RunId, StreamId},
    journal::Header,
    persona::PersonaTable,
    workload::{Plan, Workload},
};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use testenv::embedded::artefacts::{Places, prepare};
use uuid::Uuid;

const ROLE: &str = "ASSAY_BENCH_ROLE";
const RUN: RunId = RunId::new(7);
const RATE: u64 = 50_000;
const SECONDS: u64 = 20;
const BLOCKS_A_SECOND: u64 = 2;

fn main() {
    if std::env::var_os(ROLE).is_some() {
        std::thread::spawn(|| {
            // Whoever started this has gone when the pipe closes.
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            std::process::abort();
        });
        testenv::clickhouse::serve();
        return;
    }
    let without = one(false);
    let with = one(true);
    let watched = with.watched.as_ref().unwrap();
    assert_eq!((watched.seen.count(), watched.failures), (RATE * SECONDS, 0), "every event was seen across merges");
    let cost = with.subject.saturating_sub(without.subject).as_secs_f64() / without.subject.as_secs_f64();
    println!("{} events at {RATE}/s in blocks of {}:", RATE * SECONDS, RATE / BLOCKS_A_SECOND);
    println!("  the watch took {:.1} % of a core (wanted: at most 5 %)", share(with.watching, with.took));
    println!(
        "  reads began {} ms apart in the median, {} ms at p99 (wanted: at most 100 ms)",
        with.apart.0, with.apart.1
    );
    println!(
        "  ClickHouse took {:.1} s of CPU with it and {:.1} s without: {:+.1} %",
        with.subject.as_secs_f64(),
        without.subject.as_secs_f64(),
        cost * 100.0
    );
    println!("Peers, by performance.md: asking the whole table each time costs 63 ms of CPU a poll at 10 M rows.");
}

fn share(part: Duration, whole: Duration) -> f64 {
    part.as_secs_f64() / whole.as_secs_f64() * 100.0
}

/// One time around.
struct Measured {
    took: Duration,
    /// CPU time of the watch's thread.
    watching: Duration,
    /// CPU time of ClickHouse.
    subject: Duration,
    watched: Option<Watched>,
    /// Milliseconds between the beginnings of two reads: the median and p99.
    apart: (u128, u128),
}

fn one(watch: bool) -> Measured {
    let folder = tempfile::tempdir().unwrap();
    let role = Role::start(&folder.path().join("clickhouse"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(role.create_table());
    let clock = RunClock::starting_in(Duration::ZERO);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let (url, path) = (role.url.clone(), folder.path().join("reads"));
    let watching = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let watched = watch.then(|| runtime.block_on(watched(&url, clock, &path, &stopped)));
        let cpu = clock_gettime(ClockId::ThreadCPUTime);
        (watched, Duration::new(cpu.tv_sec as u64, cpu.tv_nsec as u32))
    });
    let (began, cpu) = (Instant::now(), role.cpu());
    runtime.block_on(role.insert());
    // Long enough for the last read.
    std::thread::sleep(Duration::from_millis(500));
    let (took, subject) = (began.elapsed(), role.cpu().saturating_sub(cpu));
    drop(stop);
    let (watched, watching) = watching.join().unwrap();
    let apart = if watch { apart(&folder.path().join("reads")) } else { (0, 0) };
    Measured { took, watching, subject, watched, apart }
}

async fn watched(url: &str, clock: RunClock, path: &Path, stopped: &std::sync::mpsc::Receiver<()>) -> Watched {
    let store = Store::new(StoreAddress { url, user: "default", password: "", database: "default", table: "events" });
    let journal = ReadsWriter::create(path, Header { run: RUN, start: clock.start() }).unwrap();
    let watch = Watch::start(store, WatchedFor { run: RUN, by_marker: false, every: INTERVAL }, clock, journal);
    while !matches!(stopped.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected)) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    watch.end().await.unwrap()
}

fn apart(path: &Path) -> (u128, u128) {
    let plan = Plan::new(RUN, 0, Vec::new());
    let windows = Windows::of(&Workload::new(plan, PersonaTable::make(0, 1)));
    let reads = ReadsLog::sort(path, &windows, path.parent().unwrap()).unwrap();
    let mut apart: Vec<u128> =
        reads.spans().windows(2).map(|pair| pair[1].0.saturating_sub(pair[0].0).as_millis()).collect();
    apart.sort_unstable();
    (apart[apart.len() / 2], apart[apart.len() * 99 / 100])
}

/// ClickHouse as a child process: this program plays it.
struct Role {
    child: Child,
    /// It ends when this closes.
    _stdin: ChildStdin,
    url: String,
}

#[derive(Row, Serialize)]
struct Inserted {
    #[serde(with = "clickhouse::serde::uuid")]
    uuid: Uuid,
    event: &'static str,
    distinct_id: String,
    team_id: i64,
    timestamp: i64,
    properties: String,
    _timestamp: u32,
}

impl Role {
    fn start(folder: &Path) -> Self {
        let library = prepare(&Places::of_user(), &|_| ()).unwrap().clickhouse_library;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(ROLE, "clickhouse")
            .env("CLICKHOUSE_LIBRARY", library)
            .env("CLICKHOUSE_PATH", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port: u16 =
            lines.find_map(|line| line.unwrap().strip_prefix("ready ").map(|port| port.parse().unwrap())).unwrap();
        Self { child, _stdin: stdin, url: format!("http://127.0.0.1:{port}") }
    }

    fn client(&self) -> Client {
        Client::default().with_url(&self.url)
    }

    async fn create_table(&self) {
        let table = "CREATE TABLE events (uuid UUID, event String, distinct_id String, team_id Int64, timestamp DateTime64(6, 'UTC'), \
                     properties String CODEC(ZSTD(3)), elements_chain String, _timestamp UInt32) ENGINE = ReplacingMergeTree(_timestamp) \
                     PARTITION BY toYYYYMM(timestamp) \
                     ORDER BY (team_id, toDate(timestamp), event, cityHash64(distinct_id), cityHash64(uuid))";
        self.client().query(table).execute().await.unwrap();
    }

    /// Inserts everything, each block when it is due.
    async fn insert(&self) {
        let (client, began) = (self.client(), Instant::now());
        let properties = format!("{{\"filler\":\"{}\"}}", "x1y2".repeat(250));
        for block in 0..SECONDS * BLOCKS_A_SECOND {
            let each = RATE / BLOCKS_A_SECOND;
            let mut insert = client.insert::<Inserted>("events").await.unwrap();
            for seq in block * each..(block + 1) * each {
                let row = Inserted {
                    uuid: EventId { run: RUN, stream: StreamId(0), seq }.to_uuid(),
                    event: "$pageview",
                    distinct_id: format!("user-{}", seq % 5_000),
                    team_id: 1,
                    timestamp: 1_790_000_000_000_000 + seq as i64,
                    properties: properties.clone(),
                    _timestamp: 1,
                };
                insert.write(&row).await.unwrap();
            }
            insert.end().await.unwrap();
            let due = Duration::from_secs(block + 1) / BLOCKS_A_SECOND as u32;
            tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
        }
    }

    /// CPU time of the process and its ended children (proc(5), stat), in hundredths of a second.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = [11, 12].iter().map(|field| fields[*field].parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
