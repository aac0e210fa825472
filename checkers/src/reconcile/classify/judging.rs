//! A run, window after window: events are told one by one, or many at once where they are alike, and counted.

use std::collections::HashMap;

use generators::{event::EventSource, identity::StreamId};

use super::{
    super::{
        evidence::{Class, Evidence, ExportFacts, Finding},
        exports, groups,
        rows::Summary,
        sent::{EventOutcome, Exchange, ExchangeKey},
        totals::{Shares, Totals},
    },
    Case, Room,
    alike::Alike,
};
use crate::{details::breakdown, oracle::row::JUDGED_COLUMNS};

/// A run that is being judged, window after window.
#[derive(Debug)]
pub struct Judging {
    totals: Totals,
    evidence: Evidence,
    /// Requests with events in windows that are still to come.
    open: HashMap<ExchangeKey, Part>,
    /// Groups that nobody has identified.
    strangers: Vec<String>,
}

/// What is known of a request from some of the windows that its events lie in.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    windows: u32,
    shares: Shares,
    /// Whether some of its events were seen, and some not.
    seen: bool,
    unseen: bool,
}

impl Judging {
    /// A run with so many reads that list ids and so many final ones; `stages` tells whether partitions are known.
    pub fn new(reads: usize, final_reads: usize, stages: bool) -> Self {
        let judged_columns = if final_reads == 0 { Vec::new() } else { JUDGED_COLUMNS.map(str::to_owned).to_vec() };
        let evidence = Evidence {
            final_reads,
            read_whole: final_reads > 0,
            reads: final_reads + reads,
            tenants: true,
            judged_columns,
            ..Evidence::default()
        };
        Self { totals: Totals::new(stages), evidence, open: HashMap::new(), strangers: Vec::new() }
    }

    /// Notes that these columns were not judged.
    pub fn leave_out(&mut self, columns: &[String]) {
        self.evidence.judged_columns.retain(|judged| {
            let column = judged.split('.').next().unwrap_or(judged);
            !columns.iter().any(|left_out| left_out == column)
        });
    }

    /// Notes that plugins export, and what the webhook sink says as a whole.
    pub fn exports(&mut self, summary: &exports::Summary) {
        let exports::Summary { deliveries, unknown_deliveries, .. } = *summary;
        let (requests, refused, caught_up) =
            summary.end.map_or_else(Default::default, |end| (end.requests, end.refused, end.caught_up));
        let facts = ExportFacts { deliveries, requests, refused, caught_up, ..ExportFacts::default() };
        self.evidence.exports = Some(facts);
        self.evidence.counts.stray_export += unknown_deliveries;
        for what in &summary.unknown {
            self.evidence.find(|| Finding::bare(Class::StrayExport, what.clone()), Class::StrayExport);
        }
        if unknown_deliveries > 0 {
            // Only the first of them were kept.
            self.evidence.findings.insert(Class::StrayExport, unknown_deliveries);
        }
    }

    /// Notes what the table of groups came to.
    pub fn groups(&mut self, judged: &groups::Judged) {
        self.evidence.judged_columns.extend(groups::JUDGED_COLUMNS.map(str::to_owned));
        self.strangers.extend_from_slice(judged.strangers());
    }

    /// Judges the events of one window.
    pub fn window(&mut self, case: &Case<'_>) {
        let Self { totals, evidence, open, .. } = self;
        totals.begin(case.sent.exchanges().len());
        let mut room = Room::default();
        let window = case.sent.window();
        let mut alike = Alike::new(case);
        let mut measured = 0;
        for seq in window.seqs.clone().step_by(window.len().div_ceil(breakdown::MEASURED).max(1)) {
            evidence.gathered.breakdown.measure(case.bytes(window.stream, seq));
        }
        for (place, event) in case.sent.events().iter().enumerate() {
            if alike.takes(place, event) {
                continue;
            }
            alike.count(totals, evidence);
            let seq = window.seqs.start + place as u64;
            let (told, rows) = case.tell(window.stream, seq, event, &mut room);
            for class in told.judged.classes.iter() {
                case.report(class, window.stream, seq, event, &rows, evidence);
            }
            if let Some(class) = told.judged.classes.primary().filter(|_| measured < breakdown::MEASURED) {
                measured += 1;
                evidence.gathered.breakdown.measure_defect(case.bytes(window.stream, seq), class);
            }
            alike.begin(place, event, told, rows.is_empty());
        }
        alike.count(totals, evidence);
        for (number, exchange) in case.sent.exchanges().iter().enumerate() {
            let mut part = case.part(number, exchange, totals.shares(number));
            if exchange.windows > 1 {
                let whole = open.entry(exchange.key()).or_default();
                whole.windows += 1;
                whole.shares.add(part.shares);
                whole.seen |= part.seen;
                whole.unseen |= part.unseen;
                if whole.windows < exchange.windows {
                    continue;
                }
                part = open.remove(&exchange.key()).unwrap_or_default();
            }
            totals.close(part.shares, exchange.intended.as_secs() as i64, evidence);
            evidence.counts.torn_requests += u64::from(part.seen && part.unseen);
        }
        if let (Some(facts), Some(exports)) = (&mut evidence.exports, case.exports) {
            facts.again += exports.again();
        }
        evidence.counts.pending_merge_rows += case.final_reads.last().map_or(0, |read| read.pending_merge_rows);
    }

    /// The evidence of the windows so far.
    pub(crate) const fn so_far(&self) -> &Evidence {
        &self.evidence
    }

    /// The evidence of all windows, with what the last final read says as a whole.
    pub fn finish(mut self, last: Option<&Summary>) -> Evidence {
        let mut evidence = self.evidence;
        // None is left where every window was judged.
        for part in self.open.into_values() {
            self.totals.close(part.shares, i64::MAX, &mut evidence);
        }
        self.totals.finish(&mut evidence);
        if let Some(last) = last {
            evidence.read_nothing = last.raw_rows == 0;
            evidence.counts.raw_rows = last.raw_rows;
            evidence.counts.phantom = last.unknown_rows;
            for what in &last.unknown {
                evidence.find(|| Finding::bare(Class::Phantom, what.clone()), Class::Phantom);
            }
            // The read kept only the first of them.
            if last.unknown_rows > 0 {
                evidence.findings.insert(Class::Phantom, last.unknown_rows);
            }
        }
        evidence.counts.phantom += self.strangers.len() as u64;
        for what in self.strangers {
            evidence.find(|| Finding::bare(Class::Phantom, what), Class::Phantom);
        }
        evidence
    }
}

impl Case<'_> {
    /// What the window says of exchange number `number`. Torn are requests of which a part, and only a part, is visible among
    /// the events whose unknown outcome comes from it: an event whose other attempts say more, or said so first, says nothing
    /// of this one.
    fn part(&self, number: usize, exchange: &Exchange, shares: Shares) -> Part {
        let mut part = Part { windows: 1, shares, ..Part::default() };
        if exchange.outcome == EventOutcome::Indeterminate {
            let stream = exchange.request.stream;
            for (seq, _) in exchange.request.seqs(self.workload) {
                let Some(place) = self.sent.window().place(stream, seq) else { continue };
                let event = &self.sent.events()[place];
                if event.outcome == EventOutcome::Indeterminate && event.exchange as usize == number {
                    let seen = self.is_ever_seen(stream, seq);
                    part.seen |= seen;
                    part.unseen |= !seen;
                }
            }
        }
        part
    }

    /// About how many bytes an event's content has; 0 where it cannot be made again.
    fn bytes(&self, stream: StreamId, seq: u64) -> usize {
        let Some(event) = self.workload.event(stream, seq) else { return 0 };
        let properties = serde_json::to_vec(&event.properties).map_or(0, |bytes| bytes.len());
        let members: usize = event.members.iter().map(|member| member.key.len() + member.value.len()).sum();
        event.name.len() + event.distinct_id.len() + properties + members
    }
}
