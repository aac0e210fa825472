//! How quick reconciling is, on one core and in memory: the reading apart.
//!
//! `identity` judges every event of a window by all that is known of it: what was sent and answered, when it was first seen, and
//! which rows two final reads found. `columns` judges every column of rows of 1 KB and 27 properties. `events` makes them.

#![expect(clippy::unwrap_used, reason = "a benchmark")]

use std::{ops::Range, time::Duration};

use checkers::{
    disturbance::Watermark,
    oracle::{
        dialect::Dialect,
        plain::PlainRows,
        plugin::NO_PLUGINS,
        row::{Row, expect},
    },
    reconcile::{
        classify::{Case, Judging},
        reads::{Read, Reads},
        rows::{FinalRead, FoundRow, Summary, judge_row},
        sent::{EventOutcome, Exchange, Sent},
        windows::{EVENTS, Window},
    },
};
use divan::{Bencher, counter::ItemsCount};
use generators::{
    clock::RunStart,
    event::EventSource,
    identity::{RunId, StreamId},
    persona::PersonaTable,
    random::Share,
    request::Requests,
    schedule::{Arrival, Rate},
    workload::{Disorder, Endpoint, Ids, Persons, Plan, Traffic, Workload},
};

const STREAM: StreamId = StreamId(0);
const TEAM: i64 = 1;
const START: RunStart = RunStart::from_unix_micros(1_790_000_000_000_000);
const ROWS: u64 = 20_000;

#[expect(clippy::print_stdout, reason = "the figures to compare with")]
fn main() {
    println!("Items are events or rows; more of them a second is better. Wanted: identity 20 M/s, columns 1.5 M/s.");
    println!(
        "Peers, a core of this class: Kafka's validate_delivery (Python sets) 1.6 to 2.7 M events/s at 96 bytes an event;"
    );
    println!("ClickHouse itself: anti-join 23 M/s, cityHash64 of all columns 7 M/s, three JSONExtract 2.2 M/s.\n");
    divan::main();
}

fn workload(shuffle: Duration) -> Workload {
    let traffic = Traffic {
        name: "bench".into(),
        batch: (100, 100),
        endpoint: Endpoint::Batch,
        token: "phc_bench".into(),
        team: TEAM,
        persons: Persons { count: 5_000, identify: Share::new(0.1).unwrap(), ..Persons::default() },
        disorder: Disorder { shuffle, ..Disorder::default() },
        clients: 4,
        ..Traffic::orderly(EVENTS, Arrival::Constant { rate: Rate::new(50_000, Duration::from_secs(1)).unwrap() })
    };
    let plan = Plan::new(RunId::new(7), 1, vec![traffic]);
    Workload::new(plan, PersonaTable::make(1, 64))
}

fn window() -> Window {
    Window { stream: STREAM, seqs: 0..EVENTS }
}

fn exchanges(workload: &Workload) -> Vec<Exchange> {
    Requests::new(workload, STREAM)
        .map(|request| {
            let intended = request.due(workload);
            let (sent, answered) = (intended, Some(intended + Duration::from_millis(4)));
            let outcome = EventOutcome::Acked;
            Exchange { request, intended, sent, answered, gave_up: None, outcome, exceptions: Vec::new(), windows: 1 }
        })
        .collect()
}

/// When the capture may have received event `seq`.
fn received(workload: &Workload, sent: &Sent, seq: u64) -> i64 {
    let exchange = &sent.exchanges()[sent.events()[seq as usize].exchange as usize];
    let clock = exchange.request.clock(workload, START);
    let occurred = clock.timestamp_ms(workload.occurred_micros(STREAM, seq).unwrap());
    START.unix_micros() + exchange.sent.as_micros() as i64 + 2_000 + (occurred - clock.sent_at_ms) * 1_000
}

/// Clean, but for one event in a thousand: that one's rows differ.
#[divan::bench(args = [0, 1_000])]
fn identity(bencher: Bencher<'_, '_>, defect_every: u64) {
    let workload = workload(Duration::ZERO);
    let sent = Sent::fold(&workload, window(), exchanges(&workload));
    // Ten reads a second, each sees what was sent half a second before.
    let reads: Vec<Read> = (0..30)
        .map(|number| {
            let start = Duration::from_millis(100 * number);
            let seqs = (number.saturating_sub(5) * 5_000..(number.saturating_sub(4) * 5_000).min(EVENTS)).collect();
            Read { start, end: start + Duration::from_millis(3), new: vec![(STREAM, seqs)] }
        })
        .collect();
    let reads = Reads::of(window(), &reads);
    let final_reads = [30, 32].map(|second| {
        let (start, end) = (Duration::from_secs(second), Duration::from_secs(second + 1));
        let mut read = FinalRead::begin(window(), Summary { start, end, raw_rows: EVENTS, ..Summary::default() });
        for seq in 0..EVENTS {
            let row = FoundRow::plain(received(&workload, &sent, seq), 1);
            let misrouted = defect_every > 0 && seq % defect_every == 0;
            read.put(STREAM, seq, FoundRow { misrouted, ..row });
        }
        read
    });
    let case = Case {
        dialect: Dialect::V2026,
        plugins: &NO_PLUGINS,
        workload: &workload,
        start: START,
        sent: &sent,
        reads: &reads,
        final_reads: &final_reads,
        stages: None,
        exports: None,
        groups: None,
        watermark: &Watermark { loss_after: Duration::from_secs(10), ..Watermark::default() },
        visible_within: Some(Duration::from_secs(5)),
        clock_tolerance_micros: 0,
    };
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        let mut judging = Judging::new(reads.len(), 2, false);
        judging.window(&case);
        let evidence = judging.finish(None);
        let wrong = if defect_every == 0 { 0 } else { EVENTS.div_ceil(defect_every) };
        assert_eq!((evidence.loss.n, evidence.loss.k, evidence.correctness.k), (EVENTS, 0, wrong));
        evidence
    });
}

/// Rows as they are stored, with what the pipeline adds.
fn rows(workload: &Workload, seqs: Range<u64>) -> Vec<(u64, Row)> {
    seqs.map(|seq| {
        let event = workload.event(STREAM, seq).unwrap();
        let mut row = expect(Dialect::V2026, &event, TEAM, &[], 0).fulfilled().unwrap();
        row.properties = row.properties.replacen(
            "\"$host\":",
            "\"$geoip_city_name\":\"Oslo\",\"$geoip_country_code\":\"NO\",\"$geoip_latitude\":59.9,\"$host\":",
            1,
        );
        row.properties = row.properties.replacen("\"$lib\":", "\"$ip\":\"127.0.0.1\",\"$lib\":", 1);
        (seq, row)
    })
    .collect()
}

/// Rows one after the other, each copied to the same place first, as a decoder leaves it there.
fn decoded<'a>(rows: &'a [(u64, Row)], copy: &'a mut Row, mut judge: impl FnMut(u64, &Row)) {
    for (seq, row) in rows {
        copy.event.clone_from(&row.event);
        copy.distinct_id.clone_from(&row.distinct_id);
        copy.properties.clone_from(&row.properties);
        (copy.uuid, copy.person_id, copy.team_id) = (row.uuid, row.person_id, row.team_id);
        judge(*seq, divan::black_box(copy));
    }
}

#[divan::bench]
fn columns_of_rows(bencher: Bencher<'_, '_>) {
    let workload = workload(Duration::ZERO);
    let rows = rows(&workload, 0..ROWS);
    let mut copy = rows[0].1.clone();
    let mut plain = PlainRows::new(Dialect::V2026);
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        let mut asked = 0u64;
        decoded(&rows, &mut copy, |seq, row| {
            // What is not plainly right takes the way of the rules, as in a run.
            if !plain.is_right(&workload, STREAM, seq, TEAM, &row.view()) {
                asked += 1;
                let expectation = expect(Dialect::V2026, &workload.event(STREAM, seq).unwrap(), TEAM, &[], 0);
                assert!(judge_row(row, &expectation, TEAM).differences.is_empty());
            }
        });
        assert!(asked * 1_000 <= ROWS, "{asked} of {ROWS} rows were not plainly right");
    });
}

/// What of the above is the copying.
#[divan::bench]
fn columns_only_copied(bencher: Bencher<'_, '_>) {
    let rows = rows(&workload(Duration::ZERO), 0..ROWS);
    let mut copy = rows[0].1.clone();
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| decoded(&rows, &mut copy, |_, _| ()));
}

/// The same by the rules alone, with every row parsed.
#[divan::bench]
fn columns_by_the_rules(bencher: Bencher<'_, '_>) {
    let workload = workload(Duration::ZERO);
    let rows = rows(&workload, 0..ROWS);
    let mut copy = rows[0].1.clone();
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        decoded(&rows, &mut copy, |seq, row| {
            let expectation = expect(Dialect::V2026, &workload.event(STREAM, seq).unwrap(), TEAM, &[], 0);
            assert!(judge_row(row, &expectation, TEAM).differences.is_empty());
        });
    });
}

#[divan::bench]
fn events_as_text(bencher: Bencher<'_, '_>) {
    let workload = workload(Duration::ZERO);
    let (mut ids, mut text, mut members) = (Ids::default(), Vec::new(), Vec::new());
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        for seq in 0..ROWS {
            let content = workload.content(STREAM, seq).unwrap();
            content.write_ids(&mut ids);
            text.clear();
            members.clear();
            content.write(&ids, divan::black_box(&mut text), &mut members);
        }
    });
}
