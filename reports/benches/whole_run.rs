//! A whole run judged from its journals, and its reports drawn: how long each takes, and that memory grows neither with the
//! events nor with the defects.
//!
//! `cargo bench -p reports --bench whole_run -- 100000000` judges so many events (a million and ten million without it); they
//! need some 30 bytes each on the disk.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

#[path = "../../checkers/benches/memory/mod.rs"]
mod memory;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use checkers::{
    checks::{Independence, Targets},
    details::{
        Details,
        timeline::{Buckets, Greatest, LagSeries},
    },
    disturbance::Watermark,
    judge::{Allowances, Circumstances, Judge},
    oracle::{dialect::Dialect, plugin::NO_PLUGINS, row::Difference},
    reconcile::{
        classify::Case,
        reads::{Read, ReadsLog, ReadsWriter},
        rows::{FinalReadLog, FinalReadWriter, FoundRow},
        sent::SentLog,
        windows::Windows,
    },
    record::{RunFacts, RunRecord},
    verdict::Verdict,
};
use generators::{
    clock::RunStart,
    identity::{RunId, StreamId},
    journal::Header,
    ledger::{Answer, Intent, LedgerReader, LedgerWriter, Outcome, Record},
    persona::PersonaTable,
    random::Share,
    request::Requests,
    schedule::{Arrival, Rate},
    workload::{Endpoint, Persons, Plan, Traffic, Workload},
};

use memory::resident;

const STREAM: StreamId = StreamId(0);
const RUN: RunId = RunId::new(7);
const START: RunStart = RunStart::from_unix_micros(1_790_000_000_000_000);
const RATE: u64 = 50_000;
const BATCH: u64 = 100;

fn main() {
    let asked: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    if let (Some(events), Ok(defect_every)) = (asked.first(), std::env::var(DEFECT_EVERY)) {
        return one(*events, defect_every.parse().unwrap());
    }
    println!(
        "{:>12} {:>10} {:>9} {:>12} {:>9} {:>12} {:>9} {:>9}",
        "events", "defects", "judging", "events/s", "peak", "an event", "drawing", "report"
    );
    for events in if asked.is_empty() { vec![1_000_000, 10_000_000] } else { asked } {
        for defect_every in ["0", "10"] {
            // In a process of its own, so that the peak is its own.
            let program = std::env::current_exe().unwrap();
            let mut child = std::process::Command::new(program);
            assert!(child.arg(events.to_string()).env(DEFECT_EVERY, defect_every).status().unwrap().success());
        }
    }
    println!(
        "Peers: Kafka's validate_delivery holds 96 bytes an event, Trogdor and a table diff by hand 64, kgo-verifier 17."
    );
}

/// Tells the process that makes one line of the table how many events there are to one defect; 0 for none.
const DEFECT_EVERY: &str = "ASSAY_BENCH_DEFECT_EVERY";

fn one(events: u64, defect_every: u64) {
    let folder = tempfile::tempdir().unwrap();
    let workload = workload(events);
    write(&workload, events, defect_every, folder.path());
    // Resets the peak (proc(5), clear_refs).
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let began = Instant::now();
    let record = judge(&workload, folder.path());
    let (seconds, peak) = (began.elapsed().as_secs_f64(), resident("VmHWM:"));
    let defects = if defect_every == 0 { 0 } else { events.div_ceil(defect_every) };
    assert_eq!((record.counts.visible, record.counts.corrupted), (events, defects));
    assert_eq!(record.verdict, if defects == 0 { Verdict::Pass } else { Verdict::Fail }, "{:?}", record.reasons);
    let (drawing, size) = draw(&record, folder.path());
    println!(
        "{events:>12} {defects:>10} {seconds:>7.1} s {:>10.1} M {:>6} MB {:>10.2} B {:>7.0} ms {:>6} kB",
        events as f64 / seconds / 1e6,
        peak / 1_000,
        (peak * 1_000) as f64 / events as f64,
        drawing.as_secs_f64() * 1e3,
        size / 1_000
    );
}

/// How long `assay report` takes for a record that is on the disk, reading and writing included, and how large the page is.
fn draw(record: &RunRecord, folder: &Path) -> (Duration, u64) {
    let path = |name| folder.join(name);
    std::fs::write(path("verdict.json"), serde_json::to_vec(record).unwrap()).unwrap();
    std::fs::write(path("details.json"), serde_json::to_vec(record.details.as_ref().unwrap()).unwrap()).unwrap();
    let began = Instant::now();
    let mut record: RunRecord = serde_json::from_slice(&std::fs::read(path("verdict.json")).unwrap()).unwrap();
    let details: Details = serde_json::from_slice(&std::fs::read(path("details.json")).unwrap()).unwrap();
    record.details = Some(Box::new(details));
    std::fs::write(path("junit.xml"), reports::junit::render(&record).unwrap()).unwrap();
    std::fs::write(path("summary.md"), reports::summary::render(&record)).unwrap();
    let page = reports::html::render(&record);
    std::fs::write(path("report.html"), &page).unwrap();
    (began.elapsed(), page.len() as u64)
}

/// The lag of eight partitions, asked every second.
fn lags(events: u64) -> Vec<LagSeries> {
    let of = |partition: i32| {
        let mut lag: Buckets<Greatest> = Buckets::default();
        for second in 0..events / RATE {
            lag.put(Duration::from_secs(second), second * 7 % 1_000 + partition as u64);
        }
        let messages = lag.all().iter().map(|greatest| greatest.0).collect();
        LagSeries { topic: "captured".into(), partition: Some(partition), width: lag.width(), messages }
    };
    (0..8).map(of).collect()
}

fn workload(events: u64) -> Workload {
    let traffic = Traffic {
        name: "bench".into(),
        batch: (BATCH, BATCH),
        endpoint: Endpoint::Batch,
        token: "phc_bench".into(),
        persons: Persons { count: 5_000, identify: Share::default(), ..Persons::default() },
        clients: 4,
        ..Traffic::orderly(events, Arrival::Constant { rate: Rate::new(RATE, Duration::from_secs(1)).unwrap() })
    };
    let plan = Plan::new(RUN, 1, vec![traffic]);
    Workload::new(plan, PersonaTable::make(1, 8))
}

/// What a run leaves: each request is answered in 4 ms, each event seen half a second later, and found by two final reads in the
/// order of a hash, as a store returns them.
fn write(workload: &Workload, events: u64, defect_every: u64, folder: &Path) {
    let header = Header { run: RUN, start: START };
    let mut ledger = LedgerWriter::create(&folder.join("ledger"), header).unwrap();
    for request in Requests::new(workload, STREAM) {
        let (stream, index, attempt, due) = (STREAM, request.index, 1, request.due(workload));
        let answer = Answer::Reply { status: 200, excerpt: String::new() };
        let answered = due + Duration::from_millis(4);
        let intent = Record::Intent(Intent { request, released: due });
        let outcome = Record::Outcome(Outcome { stream, index, attempt, sent: due, answered, answer });
        ledger.append([&intent, &outcome]).unwrap();
    }
    let mut reads = ReadsWriter::create(&folder.join("reads"), header).unwrap();
    let each = RATE / 10;
    for number in 0..=events.div_ceil(each) {
        let start = Duration::from_millis(100 * number + 400);
        let seqs = (number.saturating_sub(1) * each..(number * each).min(events)).collect();
        reads.append(&Read { start, end: start + Duration::from_millis(3), new: vec![(STREAM, seqs)] }).unwrap();
    }
    let end = Duration::from_secs(events / RATE + 20);
    for number in 1..=2u32 {
        let path = folder.join(format!("final-read-{number}"));
        let mut journal = FinalReadWriter::create(&path, header, end * number).unwrap();
        // A walk over all events that is no order of theirs.
        let step = (events / 7 * 3..=events + 1).find(|step| gcd(*step, events) == 1).unwrap();
        for place in 0..events {
            let seq = (u128::from(place) * u128::from(step) % u128::from(events)) as u64;
            let request_due =
                Duration::from_nanos(((seq / BATCH + 1) * BATCH).min(events).saturating_sub(1) * 1_000_000_000 / RATE);
            let occurred = workload.occurred_micros(STREAM, seq).unwrap();
            let sent_at_ms = (START.unix_micros() + request_due.as_micros() as i64).div_euclid(1_000);
            let timestamp_ms = (START.unix_micros() + occurred).div_euclid(1_000);
            let received = START.unix_micros() + request_due.as_micros() as i64 + 2_000;
            let mut row = FoundRow::plain(received + (timestamp_ms - sent_at_ms) * 1_000, 1);
            if defect_every > 0 && seq.is_multiple_of(defect_every) {
                let (expected, found) = ("\"plain\"".to_owned(), Some("\"spoiled\"".to_owned()));
                row.differences.push(Difference { column: "properties.note".into(), expected, found });
            }
            journal.add(STREAM, seq, row).unwrap();
        }
        journal.end(end * number + Duration::from_secs(1)).unwrap();
    }
}

fn gcd(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { gcd(other, one % other) }
}

fn judge(workload: &Workload, folder: &Path) -> RunRecord {
    let windows = Windows::of(workload);
    let allowances = Allowances::default();
    let records = LedgerReader::open(&folder.join("ledger")).unwrap();
    let sent = SentLog::sort(Dialect::V2026, workload, &windows, allowances.tolerance, folder, records).unwrap();
    let reads = ReadsLog::sort(&folder.join("reads"), &windows, folder).unwrap();
    let final_reads: Vec<FinalReadLog> = (1..=2)
        .map(|number| {
            FinalReadLog::sort(&folder.join(format!("final-read-{number}")), &windows, folder).unwrap().unwrap()
        })
        .collect();
    assert_eq!(final_reads[0].digest(&windows).unwrap(), final_reads[1].digest(&windows).unwrap());
    let mut judge = Judge::new(windows.len(), reads.len(), 2, false);
    for (number, window) in windows.iter() {
        let found: Vec<_> = final_reads.iter().map(|read| read.window(window.clone(), number).unwrap()).collect();
        judge.window(&Case {
            dialect: Dialect::V2026,
            plugins: &NO_PLUGINS,
            workload,
            start: START,
            sent: &sent.window(workload, window.clone(), number).unwrap(),
            reads: &reads.window(window.clone(), number).unwrap(),
            final_reads: &found,
            stages: None,
            exports: None,
            groups: None,
            watermark: &Watermark { loss_after: Duration::from_secs(10), ..Watermark::default() },
            visible_within: Some(Duration::from_secs(5)),
            clock_tolerance_micros: 0,
        });
    }
    let run = RunFacts {
        id: None,
        scenario: "bench".into(),
        started_at: None,
        duration: 0.0,
        seed: None,
        environment: "none".into(),
        dialect: None,
        digest: None,
        confidence: 0.95,
        planted_defects: Vec::new(),
        warnings: std::collections::BTreeMap::new(),
        faults: Vec::new(),
        components: Vec::new(),
        recording: None,
    };
    let targets = Targets {
        loss: 1e-4,
        correctness: 1e-4,
        exported: 1e-4,
        confidence: 0.95,
        independence: Independence::Event,
        p99_time_to_visible: Some(Duration::from_secs(5)),
        may_stop_early: false,
    };
    let last = final_reads.last().map(FinalReadLog::summary);
    let (schedule, obstacles) = (&sent.schedule, Vec::new());
    let circumstances = Circumstances {
        obstacles,
        schedule,
        last,
        taps_complete: None,
        greatest_lag: None,
        lags: lags(workload.traffic(STREAM).unwrap().events),
        run,
    };
    judge.finish(&targets, &allowances, circumstances)
}
