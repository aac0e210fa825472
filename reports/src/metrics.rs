//! The snapshot as Prometheus's text format: names and units by its conventions, seconds and events, counters that only
//! grow. What may be asked about is there from the start, with 0: a rate of a series that comes with the first defect
//! would miss it.

use std::fmt::{Display, Write};

use checkers::reconcile::evidence::Class;

use crate::live::{Histogram, Live, Phase, RoundEnd};

/// The content type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What Assay's own process uses.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Process {
    /// Seconds of processor time.
    pub cpu: f64,
    /// Bytes of memory that are resident.
    pub resident: u64,
}

/// Everything that is exported.
pub fn render(live: &Live, version: &str, process: Option<Process>) -> String {
    let mut text = Text(String::new());
    facts(&mut text, live, version);
    events(&mut text, live);
    pipeline(&mut text, live);
    judgement(&mut text, live);
    if let Some(process) = process {
        text.one("process_cpu_seconds_total", "counter", "Processor time that Assay has used.", process.cpu);
        text.one("process_resident_memory_bytes", "gauge", "Memory of Assay that is resident.", process.resident);
    }
    text.0
}

fn facts(text: &mut Text, live: &Live, version: &str) {
    text.family("assay_build_info", "gauge", "Which Assay this is.");
    text.sample("assay_build_info", &[("version", version)], 1);
    text.family("assay_run_info", "gauge", "Which run this is, of what, in what.");
    let labels =
        [("scenario", live.scenario.as_str()), ("run", live.run.as_str()), ("environment", live.environment.as_str())];
    text.sample("assay_run_info", &labels, 1);
    text.family("assay_run_phase", "gauge", "1 for what the run does at the moment.");
    for phase in Phase::ALL {
        text.sample("assay_run_phase", &[("phase", phase.name())], u8::from(phase == live.phase));
    }
    if let Some(started_at) = live.started_at {
        let help = "When sending started, or will.";
        text.one("assay_run_start_timestamp_seconds", "gauge", help, started_at);
    }
    text.one("assay_events_planned", "gauge", "Events that this run plans to send.", live.planned);
}

fn events(text: &mut Text, live: &Live) {
    let counted = live.counted();
    for (name, help, count) in [
        ("assay_events_sent_total", "Events handed to a connection, later attempts included.", counted.sent),
        ("assay_events_acked_total", "Events in requests that were answered with success.", counted.acked),
        ("assay_events_failed_total", "Events in requests that ended in any other way.", counted.failed),
        ("assay_events_visible_total", "Events seen in the store.", counted.visible),
        ("assay_requests_sent_total", "Requests that left, later attempts not counted.", counted.requests),
        ("assay_requests_late_total", "Requests that left later than the scenario allows.", counted.late_requests),
        ("assay_store_reads_total", "Reads of the store that completed.", counted.reads),
        ("assay_store_read_failures_total", "Reads of the store that failed.", counted.failed_reads),
    ] {
        text.one(name, "counter", help, count);
    }
    let help = "Events that were acked, must be visible, and are not yet.";
    text.one("assay_events_awaited", "gauge", help, live.awaited);
    let help = "Of the awaited events, those old enough to be called lost.";
    text.one("assay_events_overdue", "gauge", help, live.overdue);
    let help = "From the intended moment of sending to the end of the first read that saw the event.";
    text.histogram("assay_time_to_visible_seconds", help, &counted.time_to_visible);
    if let Some(limit) = live.limit {
        let help = "Within which 99 % of the events must be visible.";
        text.one("assay_time_to_visible_limit_seconds", "gauge", help, limit);
    }
    text.histogram("assay_send_lateness_seconds", "How late requests left.", &counted.lateness);
    let help = "How late the latest request left.";
    text.one("assay_send_lateness_latest_seconds", "gauge", help, live.lateness);
}

fn pipeline(text: &mut Text, live: &Live) {
    text.family("assay_consumer_lag_messages", "gauge", "How far the consumer of a partition is behind.");
    for lag in live.lag.iter().flatten() {
        let partition = lag.partition.to_string();
        let labels = [("group", lag.group.as_str()), ("topic", lag.topic.as_str()), ("partition", partition.as_str())];
        text.sample("assay_consumer_lag_messages", &labels, lag.messages);
    }
    let help = "1 while Kafka answers how far consumers are behind.";
    text.one("assay_consumer_lag_known", "gauge", help, u8::from(live.lag.is_some()));
    text.family("assay_fault_active", "gauge", "1 while a planned fault goes on.");
    for fault in &live.faults {
        let at = fault.planned_at.to_string();
        let labels = [("fault", fault.fault.as_str()), ("target", fault.target.as_str()), ("at", at.as_str())];
        text.sample("assay_fault_active", &labels, u8::from(fault.active));
    }
}

fn judgement(text: &mut Text, live: &Live) {
    text.family("assay_defects_total", "counter", "Events with a defect, by class, as verdicts have found them.");
    for class in Class::ALL {
        let count = live.defects.get(&class).copied().unwrap_or_default();
        text.sample("assay_defects_total", &[("class", class.name())], count);
    }
    text.family("assay_rounds_total", "counter", "Rounds of a watch that have ended; failed: could not be run.");
    for end in RoundEnd::ALL {
        let count = live.rounds.get(&end).copied().unwrap_or_default();
        text.sample("assay_rounds_total", &[("verdict", end.name())], count);
    }
    if let Some((at, last)) = live.last_round {
        let help = "When the last round ended.";
        text.one("assay_last_round_end_timestamp_seconds", "gauge", help, at);
        text.family("assay_last_round_verdict", "gauge", "1 for what the last round came to.");
        for end in RoundEnd::ALL {
            text.sample("assay_last_round_verdict", &[("verdict", end.name())], u8::from(end == last));
        }
    }
}

/// The text, as it grows. Writing into a String does not fail.
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
        let _ = match labels.as_slice() {
            [] => writeln!(self.0, "{name} {value}"),
            some => writeln!(self.0, "{name}{{{}}} {value}", some.join(",")),
        };
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.family(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for (bound, count) in histogram.cumulative() {
            self.sample(&bucket, &[("le", &bound.to_string())], count);
        }
        self.sample(&bucket, &[("le", "+Inf")], histogram.count());
        self.sample(&format!("{name}_sum"), &[], histogram.sum());
        self.sample(&format!("{name}_count"), &[], histogram.count());
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests;
