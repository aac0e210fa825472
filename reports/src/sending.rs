//! What sending cost, beside the peers.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::figures::count;

/// What was sent, and what it cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sending {
    /// Events per second that were asked for; as fast as it goes, if none were.
    pub rate: Option<f64>,
    /// Events a request.
    pub batch: u64,
    /// Events of requests that were not answered with 200.
    pub not_acked: u64,
    /// How long the ledger is.
    pub ledger_bytes: u64,
    /// The most memory that the process had, in bytes, the null sink in it.
    pub peak_memory: u64,
    /// From when a request was due to when it was handed to a connection; known where there was a rate.
    pub late: Option<Spread>,
    /// From when it was due to when its answer was there.
    pub answered: Option<Spread>,
    /// What the p99 of `answered` is by computation, where the sink was stalled.
    pub true_p99: Option<f64>,
    /// Unique, ledgered, open-loop.
    pub ours: Cost,
    /// Bytes that were made before, in a closed loop over bare http1 connections.
    pub bare: Cost,
    /// The same at the rate that was asked for.
    pub bare_at_rate: Option<Cost>,
}

/// What so much sending took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cost {
    /// How many requests.
    pub requests: u64,
    /// How many events.
    pub events: u64,
    /// How long, in seconds.
    pub seconds: f64,
    /// How much CPU of the sending process, in seconds.
    pub cpu_seconds: f64,
}

/// Quantiles, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The median.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1000.
    pub p999: f64,
    /// The greatest.
    pub max: f64,
}

/// Figures of other tools on two cores of the same class: CPU seconds per million requests of one event, and of 100.
const PEERS: &str = "Elsewhere, on two such cores, per 1 M requests of 1 KB (of 102 KB): wrk 8.7 (19.9), hyper http1 9.6 (19.9), \
                     oha 11.1 (21.6), oha open loop 22.8, hey 22.2 (48.6), k6 67 (190), locust 105 (119).";

/// The table.
pub fn render(sending: &Sending) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "",
        "requests",
        "events",
        "seconds",
        "requests/s",
        "events/s",
        "CPU s per 1 M requests",
        "per 1 M events",
    ]);
    let at_rate = sending.bare_at_rate.map(|cost| ("bare hyper http1, at this rate", cost));
    let costs = [("assay", sending.ours), ("bare hyper http1, closed loop", sending.bare)].into_iter().chain(at_rate);
    for (name, cost) in costs {
        let rate = |of: u64| count((of as f64 / cost.seconds) as u64);
        let per_million = |of: u64| format!("{:.2}", cost.cpu_seconds / of as f64 * 1e6);
        table.add_row([
            name.to_owned(),
            count(cost.requests),
            count(cost.events),
            format!("{:.1}", cost.seconds),
            rate(cost.requests),
            rate(cost.events),
            per_million(cost.requests),
            per_million(cost.events),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let asked = sending.rate.map_or("as fast as it goes".into(), |rate| format!("{rate} events/s"));
    let mut text = format!("{asked}, {} a request\n\n{table}\n\n", events(sending.batch));
    // Writing into a String does not fail.
    let times = |peer: Cost| sending.ours.cpu_seconds / peer.cpu_seconds;
    let _ = write!(text, "CPU {:.2} × the bare loop's", times(sending.bare));
    let _ = match sending.bare_at_rate {
        Some(at_rate) => writeln!(text, ", {:.2} × what that takes at this rate", times(at_rate)),
        None => writeln!(text),
    };
    for (name, spread) in [("late", sending.late), ("answered after", sending.answered)] {
        if let Some(Spread { p50, p90, p99, p999, max }) = spread {
            let [p50, p90, p99, p999, max] = [p50, p90, p99, p999, max].map(milliseconds);
            let _ = writeln!(
                text,
                "{name}: p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p999}, max {max} (from when it was due)"
            );
        }
    }
    if let Some((answered, truth)) = sending.answered.zip(sending.true_p99) {
        let off = (answered.p99 / truth - 1.0) * 100.0;
        let _ = writeln!(text, "stalled: the true p99 is {}, and what is told is {off:+.1} % off", milliseconds(truth));
    }
    let bytes = sending.ledger_bytes as f64 / sending.ours.events as f64;
    let _ = writeln!(text, "ledger: {bytes:.2} bytes an event");
    let _ = writeln!(text, "memory: {} MB at its peak", count(sending.peak_memory.div_ceil(1_000_000)));
    if sending.not_acked > 0 {
        let _ = writeln!(text, "NOT ANSWERED WITH 200: {}", events(sending.not_acked));
    }
    text + "\n" + PEERS + "\n"
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1e3)
}

fn events(number: u64) -> String {
    if number == 1 { "1 event".into() } else { format!("{} events", count(number)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_it_cost_and_what_went_wrong() {
        let cost = |cpu_seconds| Cost { requests: 1_000, events: 100_000, seconds: 0.5, cpu_seconds };
        let spread = Spread { p50: 0.001, p90: 0.002, p99: 0.003, p999: 0.004, max: 0.005 };
        let sending = Sending {
            rate: Some(200_000.0),
            batch: 100,
            not_acked: 200,
            ledger_bytes: 90_000,
            peak_memory: 41_500_000,
            late: Some(spread),
            answered: None,
            true_p99: None,
            ours: cost(0.03),
            bare: cost(0.02),
            bare_at_rate: Some(cost(0.025)),
        };
        let text = render(&sending);
        for expected in [
            "200000 events/s, 100 events a request",
            "30.00",
            "CPU 1.50 × the bare loop's, 1.20 × what that takes at this rate",
            "late: p50 1.0 ms, p90 2.0 ms",
            "ledger: 0.90 bytes an event",
            "memory: 42 MB at its peak",
            "NOT ANSWERED WITH 200: 200 events",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        assert!(!text.contains("answered after"));
    }
}
