//! One class an event: what was sent, what was seen and what was found, put together, window after window.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use generators::{
    clock::RunStart,
    event::{Event, EventSource},
    identity::{EventId, StreamId},
    random::Share,
    workload::{ClientFault, Extras, Workload},
};

use super::{
    evidence::{Class, Evidence, ExportFacts, Finding},
    exports::{self, Exports},
    groups,
    population::Lane,
    reads::Reads,
    rows::{FinalRead, FoundRow, Summary},
    sent::{EventOutcome, Exchange, ExchangeKey, Moments, Sent, SentEvent},
    spans::{Split, TimeToVisible},
    stages::Stages,
    story::{Exported, Look, Micros, Presence, RowFacts, Sight, Story},
    totals::{Company, Shares, Told, Totals},
};
use crate::{
    details::{breakdown, timeline::Passing},
    disturbance::Watermark,
    oracle::{
        body_limit,
        dialect::Dialect,
        plugin::Plugins,
        presence::{Fate, fate, spoils_request},
        row::{self, AttemptTimes, Difference, Expectation, GROUPS, JUDGED_COLUMNS},
    },
};

/// Everything that is known about one window's events.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The rules that the subject follows.
    pub dialect: Dialect,
    /// What the subject's teams let run over their events.
    pub plugins: &'a Plugins,
    /// What was planned.
    pub workload: &'a Workload,
    /// When the run started.
    pub start: RunStart,
    /// What was sent and answered.
    pub sent: &'a Sent,
    /// The reads while it ran.
    pub reads: &'a Reads,
    /// The final reads, in their order.
    pub final_reads: &'a [FinalRead],
    /// What passed through Kafka's topics, where they could be read.
    pub stages: Option<&'a Stages>,
    /// What was delivered to the webhook sink, where plugins export.
    pub exports: Option<&'a Exports>,
    /// What is wrong with groups, where their table was read.
    pub groups: Option<&'a groups::Judged>,
    /// What tells events that are lost from those that are pending.
    pub watermark: &'a Watermark,
    /// The limit for time-to-visible, if there is one.
    pub visible_within: Option<Duration>,
    /// How far the sender's clock and the servers' may be apart.
    pub clock_tolerance_micros: i64,
}

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

/// The classes of one event, were it the only one; unknown rows of the last final read are among them.
pub(crate) fn classify_one(case: &Case<'_>, stream: StreamId, seq: u64, event: &SentEvent) -> Vec<Class> {
    let (told, _) = case.tell(stream, seq, event, &mut Room::default());
    let strangers = case.final_reads.last().is_some_and(|read| read.summary.unknown_rows > 0);
    strangers.then_some(Class::Phantom).into_iter().chain(told.judged.classes.iter()).collect()
}

/// What is used again from event to event of a window.
#[derive(Debug, Default)]
struct Room {
    /// The looks at one event.
    looks: Vec<Look>,
    /// The last exchange that was asked for, and whether its request was meant to fail.
    on_purpose: Option<(u32, bool)>,
}

/// Events in a row that are alike: what is known of them is the same, and nothing is wrong. Their story is told once.
struct Alike<'a> {
    case: &'a Case<'a>,
    /// The first of them: its place, what was sent, and its story.
    first: Option<(usize, SentEvent, Told)>,
    /// When the capture may have stored them, if it may have.
    moments: Option<Moments>,
    /// What must become of one may not be what must become of the next: plugins choose among them, their age decides, what they
    /// hold, or whose they are.
    differ: bool,
}

impl<'a> Alike<'a> {
    fn new(case: &'a Case<'a>) -> Self {
        let traffic = case.workload.traffic(case.sent.window().stream);
        let differ = case.exports.is_some()
            || case.dialect == Dialect::V2021
            || traffic.is_some_and(|traffic| {
                traffic.drop_events_older_than.is_some()
                    || traffic.replay.is_some()
                    || traffic.extras.cookieless > Share::default()
                    // In one request one is too large for a message, or restricted, and the next is not.
                    || traffic.extras.large > Share::default()
                    || (traffic.endpoint.is_v1() && may_be_refused_alone(&traffic.extras))
                    || !traffic.restricted.is_none()
                    || case.plugins.may_drop(traffic.team)
            });
        Self { case, first: None, moments: None, differ }
    }

    /// Begins with an event; `plainly` tells whether its rows are simply as expected.
    fn begin(&mut self, place: usize, event: &SentEvent, told: Told, plainly: bool) {
        self.first = Some((place, *event, told));
        let is_odd = self.case.final_reads.iter().any(|read| read.has_odd(place));
        let alone = event.repeated || event.dropped.is_some() || !plainly || is_odd || !told.judged.classes.is_empty();
        let exchange = self.case.sent.exchanges().get(event.exchange as usize).filter(|_| !alone);
        let latest = self.case.judged_at().unwrap_or_default();
        // An event that no attempt may have stored has no moments, and is told alone.
        self.moments = exchange.and_then(|exchange| exchange.moments(self.case.workload, self.case.start, latest));
    }

    /// Takes in the event at `place` if it is like the first one.
    fn takes(&mut self, place: usize, event: &SentEvent) -> bool {
        let (Some((first, sent, told)), Some(moments)) = (&mut self.first, self.moments) else { return false };
        let case = self.case;
        let (one, first) = (place, *first);
        let window = case.sent.window();
        let is_like = *event == *sent
            && !self.differ
            && case.of_group(window.stream, window.seqs.start + one as u64).is_empty()
            && case.reads.number_at(one) == case.reads.number_at(first)
            && case.stages.is_none_or(|stages| stages.are_alike(one, first))
            && case
                .final_reads
                .iter()
                .all(|read| read.plain_at(one).is_some() == read.plain_at(first).is_some() && !read.has_odd(one))
            && case.final_reads.last().and_then(|read| read.plain_at(one)).is_none_or(|timestamp| {
                let seq = case.sent.window().seqs.start + one as u64;
                let stream = case.sent.window().stream;
                let oddities = case.workload.oddities(stream, seq);
                // What is altered has times of its own.
                let occurred = case.workload.occurred_micros(stream, seq).filter(|_| !oddities.altered);
                occurred.is_some_and(|occurred| {
                    row::is_timely(
                        case.dialect,
                        &moments.of(oddities, occurred),
                        case.clock_tolerance_micros,
                        timestamp,
                    )
                })
            });
        if is_like {
            told.events += 1;
        }
        is_like
    }

    /// Counts the events so far, and has none then.
    fn count(&mut self, totals: &mut Totals, evidence: &mut Evidence) {
        let Some((place, event, told)) = self.first.take() else { return };
        totals.count(&told, self.case.visible_within, !self.case.final_reads.is_empty(), evidence);
        let window = self.case.sent.window();
        let seq = window.seqs.start + place as u64;
        let class = told.judged.classes.primary();
        let seen = self.case.reads.first_seen(window.stream, seq).map(|first| first.seen);
        let by = told.time.and_then(|time| time.by).and_then(|by| Duration::try_from_secs_f64(by).ok());
        evidence.gathered.timeline.add(&Passing {
            intended: event.sent_at,
            sent: self.case.sent.left_at(&event),
            acked: event.answered_at,
            // A final read may be the first to see it.
            visible: seen.or_else(|| Some(event.sent_at? + by?)),
            is_timed: told.time.is_some(),
            class,
            events: told.events.into(),
        });
        let partition = told.company.lane.partition;
        evidence.gathered.breakdown.add(partition, window.stream.0, class, told.events.into());
        if let Some(time) = told.time {
            self.case.split(window.stream, seq, &event, time, u64::from(told.events), &mut evidence.split);
        }
    }
}

/// Whether v1, which has a result for each event, may refuse one of a request and take the next.
fn may_be_refused_alone(extras: &Extras) -> bool {
    [extras.hostile, extras.refused, extras.fields].iter().any(|share| *share > Share::default())
}

/// A moment of the run, as stories count them.
fn micros(moment: Duration) -> Micros {
    moment.as_micros() as Micros
}

impl Case<'_> {
    /// The story of one event, and its rows if they are not simply as expected.
    fn tell(&self, stream: StreamId, seq: u64, event: &SentEvent, room: &mut Room) -> (Told, Cow<'_, [FoundRow]>) {
        let sight = self.sight(stream, seq, event.answered_at, &mut room.looks);
        let rows = self.rows(stream, seq);
        let story = Story {
            outcome: event.outcome,
            presence: self.presence(stream, seq, rows.len()),
            dropped: self.is_dropped(stream, seq, event),
            sight,
            old_enough: self.is_old_enough(event),
            rows: row_facts(&rows),
            exported: self.exported(stream, seq),
        };
        let on_purpose = !matches!(story.presence, Presence::Present { .. }) || self.on_purpose(event, room);
        let judged = story.judge();
        let captured = self.stages.and_then(|stages| stages.captured_at(stream, seq));
        let company = Company {
            request: (event.outcome == EventOutcome::Acked).then_some(event.exchange),
            lane: Lane {
                partition: captured.map_or(-1, |(partition, _)| i32::from(partition)),
                second: event.sent_at.map_or(0, |sent_at| sent_at.as_secs() as i64),
            },
        };
        let is_late = judged.expected && self.is_late(stream, seq, event);
        let time = if judged.expected { self.time_to_visible(stream, seq, event) } else { None };
        let in_fault = !on_purpose && self.is_in_fault(event);
        let is_dropped = event.dropped.is_some();
        (Told { story, judged, company, on_purpose, in_fault, is_dropped, is_late, time, events: 1 }, rows)
    }

    /// The rows that stay of an event that is not simply as expected, by the last final read, each with all that differs.
    pub(crate) fn rows(&self, stream: StreamId, seq: u64) -> Cow<'_, [FoundRow]> {
        let Some(last) = self.final_reads.last() else { return Cow::default() };
        let odd = last.odd_rows(stream, seq);
        let plain = if odd.is_empty() { last.plain_row(stream, seq) } else { None };
        let spans = self.timestamps(stream, seq);
        let of_attempts = |row: &FoundRow| self.of_attempts(stream, seq, &spans, row);
        let of_group = self.of_group(stream, seq);
        if of_group.is_empty() && odd.iter().chain(&plain).all(|row| of_attempts(row).is_none()) {
            return Cow::Borrowed(odd);
        }
        let rows = odd.iter().chain(&plain).cloned().map(|mut row| {
            let of_attempts = of_attempts(&row);
            row.differences.extend(of_attempts);
            row.differences.extend_from_slice(of_group);
            row
        });
        Cow::Owned(rows.collect())
    }

    /// What is wrong with the event's group, if that is told of this event.
    pub(crate) fn of_group(&self, stream: StreamId, seq: u64) -> &[Difference] {
        self.groups.map_or(&[], |groups| groups.of(stream, seq))
    }

    /// The spans in which the event's stored timestamp must lie, one for each attempt that may have stored it.
    pub(crate) fn timestamps(&self, stream: StreamId, seq: u64) -> Vec<(i64, i64)> {
        row::timestamps(self.dialect, &self.attempt_times(stream, seq), self.clock_tolerance_micros)
    }

    /// What the attempts that may have stored an event say about its time.
    pub(crate) fn attempt_times(&self, stream: StreamId, seq: u64) -> Vec<AttemptTimes> {
        let Some(occurred) = self.workload.occurred_micros(stream, seq) else { return Vec::new() };
        let latest = self.judged_at().unwrap_or_default();
        let mut times = self.sent.attempt_times(self.workload, self.start, stream, seq, occurred, latest);
        times.retain(|attempt| self.is_young_enough(stream, attempt));
        times
    }

    /// Splits the time-to-visible of `events` events that are alike by stage, as far as the taps know them.
    fn split(
        &self,
        stream: StreamId,
        seq: u64,
        event: &SentEvent,
        time: TimeToVisible,
        events: u64,
        split: &mut Split,
    ) {
        let Some((captured, ingested)) = self.stages.map(|stages| stages.times(stream, seq)) else { return };
        let sent_at = event.sent_at.map(|sent_at| sent_at.as_secs_f64());
        let visible = time.by.zip(sent_at).map(|(by, sent_at)| sent_at + by);
        split.add([(sent_at, captured), (captured, ingested), (ingested, visible)], events);
    }

    /// What the reads say, final ones after the others. A read while the run went on tells what it saw first, and is a miss
    /// of everything that none has seen up to then. Such reads know events by their uuid alone, and go on beside the final
    /// ones, which know more: where there is a final read, only it can miss.
    fn sight(&self, stream: StreamId, seq: u64, answered_at: Option<Duration>, looks: &mut Vec<Look>) -> Sight {
        looks.clear();
        let look = |(start, end): (Duration, Duration), seen| Look { start: micros(start), end: micros(end), seen };
        match self.reads.first_read(stream, seq) {
            Some(first) => looks.push(look(first, true)),
            None if self.final_reads.is_empty() => looks.extend(self.reads.last().map(|last| look(last, false))),
            None => (),
        }
        looks.extend(self.final_reads.iter().map(|read| look(read.span(), read.is_visible(stream, seq))));
        Sight::of(looks, answered_at.map(micros))
    }

    /// Whether the event's outcome is that of a request that was meant to fail, and did.
    fn on_purpose(&self, event: &SentEvent, room: &mut Room) -> bool {
        if !matches!(event.outcome, EventOutcome::Rejected | EventOutcome::Indeterminate) {
            return false;
        }
        // To know it of a large request, that may have to be made again, and its events follow each other.
        let known = room.on_purpose.filter(|(exchange, _)| *exchange == event.exchange);
        let (_, on_purpose) = known.unwrap_or_else(|| (event.exchange, self.is_meant_to_fail(event.exchange)));
        room.on_purpose = Some((event.exchange, on_purpose));
        on_purpose
    }

    /// Whether the request of an exchange is meant to fail.
    fn is_meant_to_fail(&self, exchange: u32) -> bool {
        self.sent.exchanges().get(exchange as usize).is_some_and(|exchange| {
            let request = &exchange.request;
            let spoils = |seq| spoils_request(self.dialect, self.workload, request.stream, seq);
            request.fault(self.workload).is_some_and(ClientFault::is_meant_to_fail)
                || request.seqs(self.workload).any(|(seq, _)| spoils(seq))
                || body_limit::may_be_over(self.workload, request, self.start)
        })
    }

    /// Whether no attempt was answered with success while a planned fault went on, so that the outcome is no wonder.
    fn is_in_fault(&self, event: &SentEvent) -> bool {
        let tried = event.outcome != EventOutcome::Acked && (event.sent_at.is_some() || event.refused);
        let exchange = self.sent.exchanges().get(event.exchange as usize).filter(|_| tried);
        exchange.is_some_and(|exchange| {
            let end = exchange.answered.or(exchange.gave_up).unwrap_or(Duration::MAX);
            self.watermark.disturbed.touches(exchange.intended, end)
        })
    }

    /// Whether capture said that it has dropped the event, and no attempt may have stored it.
    fn is_dropped(&self, stream: StreamId, seq: u64, event: &SentEvent) -> bool {
        event.dropped.is_some() && !self.sent.attempts(stream, seq).any(|exchange| exchange.may_have_stored(seq))
    }

    /// What must become of the event.
    pub(crate) fn fate(&self, stream: StreamId, seq: u64) -> Fate {
        let known = fate(self.dialect, self.plugins, self.workload, stream, seq);
        match (known, self.fate_by_age(stream, seq)) {
            (Fate::Absent(_), _) | (_, Fate::Present) => known,
            (_, by_age) => by_age,
        }
    }

    /// What must be there of an event that was sent to `team` in these attempts.
    pub(crate) fn expect(&self, event: &Event, team: i64, attempts: &[AttemptTimes]) -> Expectation {
        let told_by = (self.dialect, self.workload);
        self.plugins.expect_told(told_by, event, team, attempts, self.clock_tolerance_micros)
    }

    /// What was delivered of the event, against what its team's plugins must export.
    fn exported(&self, stream: StreamId, seq: u64) -> Exported {
        let Some(exports) = self.exports else { return Exported::default() };
        let wrong = exports.wrong(stream, seq).next().is_some();
        let mut exported = Exported { wrong, caught_up: exports.caught_up, ..Exported::default() };
        for (number, rule) in self.export_rules(stream, seq).into_iter().enumerate() {
            let delivered = exports.times(number, stream, seq) > 0;
            exported.delivered |= delivered;
            exported.wanted |= rule == Some(true);
            exported.missing |= rule == Some(true) && !delivered;
            exported.unmatched |= rule == Some(false) && delivered;
        }
        exported
    }

    /// Of the plugins that export, in their order, whether each must deliver the event; `None` where nobody can know, because the
    /// capture mints the uuid that decides, or because it is told in several ways and one decides otherwise than another.
    pub(crate) fn export_rules(&self, stream: StreamId, seq: u64) -> Vec<Option<bool>> {
        let Some(traffic) = self.workload.traffic(stream) else { return Vec::new() };
        // An event that cannot be made again must be no one's.
        let none = || self.plugins.exporting().map(|_| Some(false)).collect();
        if !self.plugins.export(traffic.team) {
            return none();
        }
        let Some(event) = self.workload.event(stream, seq) else { return none() };
        let of = |event: &Event| {
            self.plugins.exports(row::expect(self.dialect, event, traffic.team, &[], 0), event, traffic.team)
        };
        let mut rules = of(&event);
        for other in self.workload.other_contents(stream, seq) {
            for (rule, other) in rules.iter_mut().zip(of(&other)) {
                *rule = rule.filter(|first| other == Some(*first));
            }
        }
        rules
    }

    /// Whether the event must be there, and in how many of its `rows`.
    fn presence(&self, stream: StreamId, seq: u64, rows: usize) -> Presence {
        // Only several rows make it worth asking how many may stay.
        let most_rows = || if rows > 1 { self.most_rows(stream, seq) } else { 1 };
        match self.fate(stream, seq) {
            Fate::Absent(_) => Presence::Absent,
            Fate::Either(_) => Presence::Either { most_rows: most_rows() },
            Fate::Present => Presence::Present { most_rows: most_rows() },
        }
    }

    /// When the read began that says what is missing.
    pub(super) fn judged_at(&self) -> Option<Duration> {
        self.final_reads.last().map(|read| read.summary.start).or_else(|| self.reads.last().map(|(start, _)| start))
    }

    /// Old enough to be missed.
    pub(super) fn is_old_enough(&self, event: &SentEvent) -> bool {
        let Some(read) = self.judged_at() else { return false };
        let Some(from) = event.answered_at.or(event.sent_at) else { return true };
        read >= self.watermark.missed_from(from)
    }

    /// First seen after the watermark had passed it.
    fn is_late(&self, stream: StreamId, seq: u64, event: &SentEvent) -> bool {
        let first = self.reads.first_seen(stream, seq).and_then(|first| first.missed);
        let answered = event.answered_at.or(event.sent_at).unwrap_or_default();
        first.is_some_and(|missed| missed >= self.watermark.missed_from(answered))
    }

    fn time_to_visible(&self, stream: StreamId, seq: u64, event: &SentEvent) -> Option<TimeToVisible> {
        let sent_at = event.sent_at?;
        let since = |moment: Duration| moment.as_secs_f64() - sent_at.as_secs_f64();
        Some(match self.reads.first_seen(stream, seq) {
            Some(first) => TimeToVisible {
                after: first.missed.map_or(0.0, since).max(0.0),
                by: Some(since(first.seen)),
                seen: true,
            },
            // A final read may be the first to see it.
            None => {
                let last_miss = self.reads.last().map(|(start, _)| start);
                let seen = self.final_reads.iter().position(|read| read.is_visible(stream, seq));
                let missed = match seen {
                    Some(place) => place.checked_sub(1).map(|before| self.final_reads[before].span().0).or(last_miss),
                    None => self.judged_at(),
                };
                TimeToVisible {
                    after: missed.map_or(0.0, since).max(0.0),
                    by: seen.map(|place| since(self.final_reads[place].span().1)),
                    seen: seen.is_some(),
                }
            }
        })
    }

    /// How many rows of the event may stay.
    pub(crate) fn most_rows(&self, stream: StreamId, seq: u64) -> usize {
        if self.workload.oddities(stream, seq).no_uuid {
            // Each attempt that may have been stored has a uuid of its own.
            return self.attempt_times(stream, seq).len().max(1);
        }
        row::most_rows(&self.timestamps(stream, seq), self.names(stream, seq))
    }

    /// Under how many names the attempts that may have stored an event may have done so.
    fn names(&self, stream: StreamId, seq: u64) -> usize {
        let may_have_two = self.workload.oddities(stream, seq).has_other_name();
        let event = if may_have_two { self.workload.event(stream, seq) } else { None };
        if !event.is_some_and(|event| event.oddities.has_other_name()) {
            return 1;
        }
        let attempts = self.sent.attempts(stream, seq).filter(|exchange| exchange.may_have_stored(seq));
        let kinds: BTreeSet<bool> = attempts.map(|exchange| exchange.request.is_again(self.workload, seq)).collect();
        kinds.len().max(1)
    }

    fn is_ever_seen(&self, stream: StreamId, seq: u64) -> bool {
        self.reads.has_seen(stream, seq) || self.final_reads.iter().any(|read| read.is_visible(stream, seq))
    }

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

    /// The last stage that had an event that is missing.
    fn stage_of(&self, class: Class, stream: StreamId, seq: u64) -> Option<String> {
        let missing = matches!(class, Class::Lost | Class::Vanished);
        self.stages.filter(|_| missing).map(|stages| stages.last(stream, seq).name().to_owned())
    }

    fn report(
        &self,
        class: Class,
        stream: StreamId,
        seq: u64,
        event: &SentEvent,
        rows: &[FoundRow],
        evidence: &mut Evidence,
    ) {
        let seconds = |moment: Duration| moment.as_secs_f64();
        let exchange = self.sent.exchanges().get(event.exchange as usize).filter(|_| event.sent_at.is_some());
        let common = || Finding {
            request: exchange.map(Exchange::name),
            sent_at: event.sent_at.map(seconds),
            stage: self.stage_of(class, stream, seq),
            first_seen: self.reads.first_seen(stream, seq).map(|first| seconds(first.seen)),
            ..Finding::bare(class, EventId { run: self.workload.plan().run, stream, seq }.to_string())
        };
        let differing = |wanted: fn(&str) -> bool| {
            let mut columns: Vec<_> =
                rows.iter().flat_map(|row| &row.differences).filter(|other| wanted(&other.column)).collect();
            columns.dedup();
            columns
        };
        let columns = match class {
            Class::Corrupted => differing(|column| column != PERSON && !is_of_group(column) && column != TEAM),
            Class::WrongPerson => differing(|column| column == PERSON),
            Class::WrongGroup => differing(is_of_group),
            Class::Misrouted => differing(|column| column == TEAM),
            Class::Duplicated => {
                let found = || Finding {
                    expected: Some(format!("at most {} row(s)", self.most_rows(stream, seq))),
                    found: Some(format!("{} rows that no merge removes{}", rows.len(), in_shards(rows))),
                    ..common()
                };
                return evidence.find(found, class);
            }
            Class::NotExported | Class::StrayExport => {
                return evidence.find(|| self.export_finding(class, stream, seq, common()), class);
            }
            Class::WronglyExported => {
                self.exports.map(|exports| exports.wrong(stream, seq).collect()).unwrap_or_default()
            }
            Class::Lost | Class::ShouldBeAbsent => {
                let found = event.dropped.map(|word| format!("capture said that it was dropped: {}", word.word()));
                let expected = found.as_ref().map(|_| if class == Class::Lost { "a row" } else { "no row" }.to_owned());
                return evidence.find(|| Finding { expected, found, ..common() }, class);
            }
            _ => return evidence.find(common, class),
        };
        let mut named = BTreeSet::new();
        // What is told of columns is told of rows.
        for difference in columns.iter().filter(|_| class != Class::WronglyExported) {
            if named.insert(&difference.column) {
                *evidence.columns.entry(difference.column.clone()).or_default() += 1;
            }
        }
        let first = columns.first();
        evidence.find(
            || Finding {
                column: first.map(|difference| difference.column.clone()),
                expected: first.map(|difference| difference.expected.clone()),
                found: first.map(|difference| difference.found.clone().unwrap_or_else(|| "nothing".into())),
                ..common()
            },
            class,
        );
    }

    /// A finding about deliveries, with whose they are.
    fn export_finding(&self, class: Class, stream: StreamId, seq: u64, finding: Finding) -> Finding {
        let Some(exports) = self.exports else { return finding };
        let rules = self.export_rules(stream, seq);
        let named = |wanted: &dyn Fn(usize, Option<bool>) -> bool| {
            let plugins = self.plugins.exporting().zip(&rules).enumerate();
            let named = plugins.filter(|(number, (_, rule))| wanted(*number, **rule));
            named.map(|(_, (plugin, _))| format!("`{}`", plugin.name)).collect::<Vec<_>>().join(", ")
        };
        let delivered = |number| exports.times(number, stream, seq) > 0;
        let (expected, found) = if class == Class::NotExported {
            let missing = named(&|number, rule| rule == Some(true) && !delivered(number));
            (format!("a delivery by {missing}"), "none".to_owned())
        } else {
            ("no delivery".to_owned(), format!("one by {}", named(&|number, _| delivered(number))))
        };
        Finding { expected: Some(expected), found: Some(found), ..finding }
    }
}

/// What the rows of an event that is not simply as expected say.
fn row_facts(rows: &[FoundRow]) -> RowFacts {
    let differs = |wanted: fn(&str) -> bool| {
        let own = rows.iter().filter(|row| !row.misrouted).flat_map(|row| &row.differences);
        own.into_iter().any(|difference| wanted(&difference.column))
    };
    RowFacts {
        left: rows.len(),
        misrouted: rows.iter().any(|row| row.misrouted),
        corrupted: differs(|column| column != PERSON && !is_of_group(column)),
        wrong_person: differs(|column| column == PERSON),
        wrong_group: differs(is_of_group),
    }
}

/// Whether a column is one of the table of groups, or the event's groups together.
fn is_of_group(column: &str) -> bool {
    column.strip_prefix(GROUPS).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

const PERSON: &str = "person_id";
const TEAM: &str = "team_id";

/// In which shards `rows` are, where they are in several.
fn in_shards(rows: &[FoundRow]) -> String {
    let shards: BTreeSet<u32> = rows.iter().map(|row| row.shard).collect();
    if shards.len() < 2 {
        return String::new();
    }
    let shards: Vec<String> = shards.iter().map(u32::to_string).collect();
    format!(", in the shards {}", shards.join(", "))
}

#[cfg(test)]
mod tests;
