//! Files of random ids judged: how long it takes, and what an id costs in memory.
//!
//! `cargo bench -p checkers --bench files -- 10000000` judges so many ids (one and four million without it) that were sent in
//! requests of ten and come back in another order, a thousandth of them lost, with two reads before; temporary files take some
//! 250 bytes an id.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

mod memory;

use std::{
    fmt::Write as _,
    io::{self, BufReader, Read},
    time::{Duration, Instant},
};

use checkers::{
    checks::{Independence, Targets},
    files::{FileVerdict, Options, ReadsFile, RowsFile, SentFile, judge},
    judge::Allowances,
    verdict::Verdict,
};
use generators::random::mix;

use memory::resident;

const LOST_EVERY: u64 = 1_000;
/// Tells the process that makes one line of the table that it is one.
const ONE: &str = "ASSAY_BENCH_ONE";

fn main() {
    let asked: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    if let (Some(ids), Ok(_)) = (asked.first(), std::env::var(ONE)) {
        return one(*ids);
    }
    println!("{:>12} {:>9} {:>12} {:>9} {:>12}", "ids", "seconds", "ids/s", "peak", "an id");
    for ids in if asked.is_empty() { vec![1_000_000, 4_000_000] } else { asked } {
        // In a process of its own, so that the peak is its own.
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        assert!(child.arg(ids.to_string()).env(ONE, "").status().unwrap().success());
    }
    println!("Peers: Kafka's validate_delivery holds 96 bytes an event, Trogdor and a table diff by hand 64.");
}

fn one(ids: u64) {
    let before = resident("VmRSS:");
    let began = Instant::now();
    let verdict = judged(ids);
    let seconds = began.elapsed().as_secs_f64();
    let peak = resident("VmHWM:");
    let lost = ids.div_ceil(LOST_EVERY);
    assert_eq!((verdict.record.counts.acked, verdict.record.counts.lost), (ids, lost));
    assert_eq!(verdict.record.verdict, Verdict::Fail, "{:?}", verdict.record.reasons);
    println!(
        "{ids:>12} {seconds:>9.1} {:>10.2} M {:>6} MB {:>10.2} B",
        ids as f64 / seconds / 1e6,
        peak / 1_000,
        ((peak - before) * 1_000) as f64 / ids as f64
    );
}

fn judged(ids: u64) -> FileVerdict {
    let sent = lines(ids, |number, text| {
        let (id, at, request) = (id(number), number / 50_000, number / 10);
        writeln!(
            text,
            r#"{{"id":"{id}","outcome":"acked","sent_at":{at},"answered_at":{at}.1,"request":"r{request}","expect":{{"n":{number}}}}}"#
        )
    });
    // Any odd number below steps through all of a power of two; what is not an id is passed over.
    let bits = ids.next_power_of_two();
    let rows = lines(bits, |step, text| {
        let number = step.wrapping_mul(0x9E37_79B9_7F4A_7C15 | 1) % bits;
        if number >= ids || number.is_multiple_of(LOST_EVERY) {
            return Ok(());
        }
        let id = id(number);
        writeln!(text, r#"{{"id":"{id}","key":"{id}","row":{{"n":{number},"browser":"Chrome","os":"Linux"}}}}"#)
    });
    let end = ids / 50_000 + 10;
    let reads = lines(2 * (ids / 2), |step, text| {
        let (read, number) = (step / (ids / 2), step % (ids / 2));
        let at = end + read;
        match number {
            // The first of each read is one of the lost, and stands for its list.
            0 => write!(text, r#"{{"start":{at},"end":{at},"ids":["{}""#, id(1)),
            _ if number.is_multiple_of(LOST_EVERY) => Ok(()),
            _ => write!(text, r#","{}""#, id(number)),
        }?;
        if number + 1 == ids / 2 { writeln!(text, "]}}") } else { Ok(()) }
    });
    let sent = SentFile::read("sent", sent).unwrap();
    let rows = RowsFile::read("rows", rows, &sent).unwrap();
    let reads = ReadsFile::read("reads", reads).unwrap();
    let options = Options {
        now: Some((end as i64 + 100) * 1_000_000),
        loss_after: Duration::from_mins(1),
        targets: Targets {
            loss: 1e-4,
            correctness: 1e-4,
            exported: 1e-4,
            confidence: 0.95,
            independence: Independence::Request,
            p99_time_to_visible: None,
            may_stop_early: false,
        },
        allowances: Allowances::default(),
        examples: 100,
    };
    judge(&sent, Some(&rows), Some(&reads), &options).unwrap()
}

/// A random id, as every client makes its own.
fn id(number: u64) -> uuid::Uuid {
    uuid::Builder::from_random_bytes((u128::from(mix(number)) << 64 | u128::from(mix(!number))).to_be_bytes())
        .into_uuid()
}

/// The lines that `make` writes for each number, made while they are read.
fn lines(numbers: u64, make: impl FnMut(u64, &mut String) -> std::fmt::Result) -> BufReader<impl Read> {
    BufReader::new(Lines { next: 0, numbers, make, text: String::new(), read: 0 })
}

struct Lines<F> {
    next: u64,
    numbers: u64,
    make: F,
    text: String,
    read: usize,
}

impl<F: FnMut(u64, &mut String) -> std::fmt::Result> Read for Lines<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.text.len() && self.next < self.numbers {
            self.text.clear();
            self.read = 0;
            (self.make)(self.next, &mut self.text).unwrap();
            self.next += 1;
        }
        let read = (&self.text.as_bytes()[self.read..]).read(buffer)?;
        self.read += read;
        Ok(read)
    }
}
