//! The ledger, folded: one outcome an event, the strongest of its attempts.
//!
//! Intents and outcomes become [`Exchange`]s, exchanges are sorted by [window](super::windows), and each window's are
//! folded into its events when it is judged.

use std::{collections::HashMap, path::Path, time::Duration};

use generators::{
    clock::RunStart,
    identity::StreamId,
    journal::{ReadError, put_varint, take_varint},
    ledger::{Answer, DropWord, EventResult, Outcome, Record},
    request::{ClientClock, Request, Retry, Sending},
    workload::{Oddities, Workload},
};
use serde::{Deserialize, Serialize};

use super::{
    schedule::Schedule,
    spool::Spool,
    windows::{Window, Windows},
};
use crate::oracle::{dialect::Dialect, row::AttemptTimes};

/// What the client knows of an event, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventOutcome {
    /// Planned, never left.
    #[default]
    Unsent,
    /// Every attempt got a reply that is given before anything is stored.
    Rejected,
    /// Anything else: the event may be stored or not.
    Indeterminate,
    /// Some attempt was answered with success.
    Acked,
}

/// What an answer means for a single event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// This outcome.
    Outcome(EventOutcome),
    /// It was acked, and dropped (verdict.md, section 1).
    Dropped(DropWord),
}

/// One request that left, or tried to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The request, and which attempt to send it this is.
    pub request: Request,
    /// When its first attempt should have been sent, from the run's start.
    pub intended: Duration,
    /// When it was; when it was released where no outcome is known.
    pub sent: Duration,
    /// When its answer came, if one did.
    pub answered: Option<Duration>,
    /// When it was given up without an answer, where that is known.
    pub gave_up: Option<Duration>,
    /// What it means for its events, but for the exceptions.
    pub outcome: EventOutcome,
    /// The events for which the answer means something else, where there are results for each: their sequence numbers, sorted.
    pub exceptions: Vec<(u64, Meaning)>,
    /// In how many windows its events may lie.
    pub windows: u32,
}

/// Which exchange of a run one is.
pub type ExchangeKey = (StreamId, u64, u32);

impl Exchange {
    /// What it means for one of its events.
    pub fn outcome_of(&self, seq: u64) -> EventOutcome {
        match self.meaning(seq) {
            Meaning::Outcome(outcome) => outcome,
            Meaning::Dropped(_) => EventOutcome::Acked,
        }
    }

    /// Why it says that it has dropped one of its events, if it does.
    pub fn dropped(&self, seq: u64) -> Option<DropWord> {
        match self.meaning(seq) {
            Meaning::Outcome(_) => None,
            Meaning::Dropped(word) => Some(word),
        }
    }

    /// Whether it may have stored one of its events.
    pub fn may_have_stored(&self, seq: u64) -> bool {
        matches!(self.meaning(seq), Meaning::Outcome(EventOutcome::Indeterminate | EventOutcome::Acked))
    }

    fn meaning(&self, seq: u64) -> Meaning {
        let place = self.exceptions.binary_search_by_key(&seq, |(seq, _)| *seq);
        let exception = place.ok().and_then(|place| self.exceptions.get(place));
        exception.map_or(Meaning::Outcome(self.outcome), |(_, meaning)| *meaning)
    }

    /// Which exchange of its run it is.
    pub fn key(&self) -> ExchangeKey {
        (self.request.stream, self.request.index, self.request.attempt())
    }

    /// Its name in output: stream/index, and which attempt it is if that is not the first.
    pub fn name(&self) -> String {
        let Request { stream, index, .. } = self.request;
        let stream = stream.0;
        match self.request.sending() {
            Sending::First => format!("{stream}/{index}"),
            Sending::Retry(attempt) => format!("{stream}/{index} attempt {attempt}"),
            Sending::Again => format!("{stream}/{index} sent again"),
            Sending::Duplicate => format!("{stream}/{index} duplicate"),
        }
    }
}

/// What is known of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SentEvent {
    /// The outcome.
    pub outcome: EventOutcome,
    /// The first attempt's intended moment, from the run's start; `None` if it never left.
    pub sent_at: Option<Duration>,
    /// When the first ack came.
    pub answered_at: Option<Duration>,
    /// Why it was dropped, where that is all that its acks say.
    pub dropped: Option<DropWord>,
    /// The exchange that its outcome comes from, as an index into [`Sent::exchanges`]: that of the first ack, or else the
    /// first of those with the strongest outcome.
    pub exchange: u32,
    /// Whether it was in several attempts that left.
    pub repeated: bool,
    /// Whether an attempt was made that could not leave, and none that did before.
    pub refused: bool,
    /// The exchange of the first attempt, where `sent_at` is known.
    first: u32,
}

/// The ledger's records, while they become exchanges.
#[derive(Debug, Default)]
pub struct Exchanges {
    /// Requests without outcome so far. A sender holds a bounded number of them.
    open: HashMap<ExchangeKey, Exchange>,
}

impl Exchanges {
    /// Takes in a record; returns the exchange that it completes.
    pub fn take(&mut self, dialect: Dialect, workload: &Workload, record: Record) -> Option<Exchange> {
        match record {
            Record::Intent(intent) => {
                let request = intent.request;
                let exchange = Exchange {
                    intended: request.due(workload),
                    request,
                    sent: intent.released,
                    answered: None,
                    gave_up: None,
                    // An intent without outcome: bytes may have left.
                    outcome: EventOutcome::Indeterminate,
                    exceptions: Vec::new(),
                    windows: 1,
                };
                self.open.insert(exchange.key(), exchange);
                None
            }
            Record::Outcome(outcome) => {
                let exchange = self.open.remove(&(outcome.stream, outcome.index, outcome.attempt))?;
                let is_answer = matches!(outcome.answer, Answer::Reply { .. } | Answer::Results { .. });
                Some(Exchange {
                    outcome: meaning(dialect, &outcome, workload.is_beacon(&exchange.request)),
                    exceptions: exceptions(&outcome.answer),
                    sent: outcome.sent,
                    answered: is_answer.then_some(outcome.answered),
                    gave_up: (!is_answer).then_some(outcome.answered),
                    ..exchange
                })
            }
            Record::GivenUp(_) | Record::End(_) => None,
        }
    }

    /// Those that were never completed, in their order.
    pub fn rest(self) -> Vec<Exchange> {
        let mut rest: Vec<_> = self.open.into_values().collect();
        rest.sort_unstable_by_key(Exchange::key);
        rest
    }
}

/// Everything that was sent, sorted by window.
#[derive(Debug)]
pub struct SentLog {
    spool: Spool,
    /// How well the requests kept to their time.
    pub schedule: Schedule,
    /// How many second sendings and duplicates of requests were given up, by all senders together.
    pub given_up: u64,
}

impl SentLog {
    /// Sorts the ledger's `records` for `workload` into `windows`. A request that leaves more than `tolerance` after its
    /// intended moment is late. `folder` is where a temporary file may be.
    ///
    /// # Errors
    /// When the ledger is damaged, or the temporary file cannot be written.
    pub fn sort(
        dialect: Dialect,
        workload: &Workload,
        windows: &Windows,
        tolerance: Duration,
        folder: &Path,
        records: impl IntoIterator<Item = Result<Record, ReadError>>,
    ) -> Result<Self, ReadError> {
        let (spool, schedule) = (Spool::new(windows.len(), folder), Schedule::new(tolerance));
        let mut log = Self { spool, schedule, given_up: 0 };
        let mut exchanges = Exchanges::default();
        for record in records {
            let record = record?;
            if let Record::GivenUp(requests) = &record {
                log.given_up = log.given_up.saturating_add(*requests);
            }
            if let Some(exchange) = exchanges.take(dialect, workload, record) {
                log.put(workload, windows, &exchange)?;
            }
        }
        for exchange in exchanges.rest() {
            log.put(workload, windows, &exchange)?;
        }
        Ok(log)
    }

    fn put(&mut self, workload: &Workload, windows: &Windows, exchange: &Exchange) -> Result<(), ReadError> {
        if exchange.outcome != EventOutcome::Unsent {
            match exchange.request.sending() {
                Sending::First => self.schedule.add(exchange.sent.saturating_sub(exchange.intended)),
                // It leaves when its client thinks fit, which is no schedule, or beside it.
                Sending::Retry(_) | Sending::Again | Sending::Duplicate => self.schedule.add_retry(),
            }
        }
        let Request { stream, positions, resends, .. } = &exchange.request;
        let mut numbers = std::collections::BTreeSet::new();
        for positions in [positions, resends] {
            let reach = workload.reach(*stream, positions);
            let last = reach.end.checked_sub(1).filter(|last| *last >= reach.start);
            if let (Some(first), Some(last)) = (windows.number(*stream, reach.start), last) {
                numbers.extend(first..=windows.number(*stream, last).unwrap_or(first));
            }
        }
        let body = encode(exchange, numbers.len() as u32);
        numbers.into_iter().try_for_each(|number| self.spool.append(number, &body))
    }

    /// What was sent of `window`, which is number `number`.
    ///
    /// # Errors
    /// When the temporary file cannot be read.
    pub fn window(&self, workload: &Workload, window: Window, number: usize) -> Result<Sent, ReadError> {
        let bytes = self.spool.part(number)?;
        let mut rest = &bytes[..];
        let mut exchanges = Vec::new();
        // What was written a moment ago is read back whole.
        while let Some(exchange) = decode(&mut rest, workload, window.stream) {
            exchanges.push(exchange);
        }
        Ok(Sent::fold(workload, window, exchanges))
    }
}

/// `index attempt [due built only_count (only_seq)*] first count resend_first resend_count sent (1 + waited, 0 for unanswered) (the same for given up) outcome windows
/// exceptions (seq meaning)*`, all varint; `attempt` is 0 for the first of a whole request, and what is in brackets is there
/// for all others, the first of a part among them. `only_count` is 0 where one holds all events of its positions, else one more
/// than their number.
fn encode(exchange: &Exchange, windows: u32) -> Vec<u8> {
    let Request { index, positions, resends, .. } = &exchange.request;
    let waited =
        |until: Option<Duration>| until.map_or(0, |until| 1 + until.saturating_sub(exchange.sent).as_micros() as u64);
    let mut body = Vec::with_capacity(32);
    put_varint(&mut body, *index);
    put_varint(&mut body, exchange.request.retry.map_or(0, |retry| retry.attempt.into()));
    if let Some(Retry { due, built, .. }) = exchange.request.retry {
        put_varint(&mut body, due.as_micros() as u64);
        put_varint(&mut body, built.as_micros() as u64);
        let only = exchange.request.only.as_deref();
        put_varint(&mut body, only.map_or(0, |only| 1 + only.len() as u64));
        only.unwrap_or_default().iter().for_each(|seq| put_varint(&mut body, *seq));
    }
    for number in [
        positions.start,
        positions.end - positions.start,
        resends.start,
        resends.end - resends.start,
        exchange.sent.as_micros() as u64,
        waited(exchange.answered),
        waited(exchange.gave_up),
        exchange.outcome as u64,
        u64::from(windows),
    ] {
        put_varint(&mut body, number);
    }
    put_varint(&mut body, exchange.exceptions.len() as u64);
    for (seq, meaning) in &exchange.exceptions {
        put_varint(&mut body, *seq);
        put_varint(
            &mut body,
            match meaning {
                Meaning::Outcome(outcome) => *outcome as u64,
                Meaning::Dropped(word) => word.place().map_or(DROPPED, |place| DROPPED + 1 + u64::from(place)),
            },
        );
    }
    body
}

/// The number of a drop without a known word; those with one follow.
const DROPPED: u64 = 4;

/// The meaning of a number; unknown numbers are never written.
fn meaning_of(number: u64) -> Meaning {
    match number.checked_sub(DROPPED) {
        None => Meaning::Outcome(outcome(number)),
        Some(0) => Meaning::Dropped(DropWord::OTHER),
        Some(place) => {
            let word = u8::try_from(place - 1).ok().and_then(DropWord::at);
            Meaning::Dropped(word.unwrap_or(DropWord::OTHER))
        }
    }
}

/// The outcome of a number; unknown numbers are never written.
const fn outcome(number: u64) -> EventOutcome {
    match number {
        0 => EventOutcome::Unsent,
        1 => EventOutcome::Rejected,
        2 => EventOutcome::Indeterminate,
        _ => EventOutcome::Acked,
    }
}

fn decode(bytes: &mut &[u8], workload: &Workload, stream: StreamId) -> Option<Exchange> {
    let mut number = || take_varint(bytes);
    let (index, attempt) = (number()?, number()? as u32);
    let (mut retry, mut only) = (None, None);
    if attempt > 0 {
        let (due, built) = (Duration::from_micros(number()?), Duration::from_micros(number()?));
        retry = Some(Retry { attempt, due, built });
        if let Some(count) = number()?.checked_sub(1) {
            only = Some((0..count).map(|_| number()).collect::<Option<_>>()?);
        }
    }
    let (first, count, resend_first, resend_count) = (number()?, number()?, number()?, number()?);
    let (positions, resends) = (first..first + count, resend_first..resend_first + resend_count);
    let request = Request { stream, index, positions, resends, only, retry };
    let sent = Duration::from_micros(number()?);
    let mut until = || Some(number()?.checked_sub(1).map(|waited| sent + Duration::from_micros(waited)));
    let (answered, gave_up) = (until()?, until()?);
    let (of_all, windows) = (outcome(number()?), number()? as u32);
    let mut exceptions = Vec::new();
    for _ in 0..number()? {
        exceptions.push((number()?, meaning_of(number()?)));
    }
    Some(Exchange {
        intended: request.due(workload),
        request,
        sent,
        answered,
        gave_up,
        outcome: of_all,
        exceptions,
        windows,
    })
}

/// What was sent of one window.
#[derive(Debug)]
pub struct Sent {
    window: Window,
    exchanges: Vec<Exchange>,
    /// The window's events, in their order.
    events: Vec<SentEvent>,
    /// Attempts behind the first: the event's place in the window, and the exchange; sorted.
    repeats: Vec<(u32, u32)>,
}

impl Sent {
    /// Folds the exchanges that hold events of `window`.
    pub fn fold(workload: &Workload, window: Window, mut exchanges: Vec<Exchange>) -> Self {
        exchanges.sort_unstable_by_key(Exchange::key);
        let mut events = vec![SentEvent::default(); window.len()];
        let mut repeats = Vec::new();
        for (number, exchange) in exchanges.iter().enumerate() {
            let number = number as u32;
            for (seq, _) in exchange.request.seqs(workload) {
                let Some(place) = window.place(exchange.request.stream, seq) else { continue };
                let event = &mut events[place];
                if exchange.outcome == EventOutcome::Unsent {
                    if event.sent_at.is_none() && !event.refused {
                        (event.exchange, event.refused) = (number, true);
                    }
                    continue;
                }
                if event.sent_at.is_some() {
                    event.repeated = true;
                    repeats.push((place as u32, number));
                } else {
                    (event.first, event.exchange) = (number, number);
                }
                event.sent_at = Some(event.sent_at.map_or(exchange.intended, |first| first.min(exchange.intended)));
                // An ack that says that the event was dropped is the weaker one.
                let (outcome, dropped) = (exchange.outcome_of(seq), exchange.dropped(seq));
                let (found, known) = ((outcome, dropped.is_none()), (event.outcome, event.dropped.is_none()));
                let is_ack = outcome == EventOutcome::Acked;
                let is_earlier =
                    exchange.answered.is_some_and(|now| event.answered_at.is_none_or(|before| now < before));
                if found > known || (is_ack && found == known && is_earlier) {
                    (event.exchange, event.outcome, event.dropped) = (number, outcome, dropped);
                    event.answered_at = exchange.answered.filter(|_| is_ack);
                }
            }
        }
        repeats.sort_unstable();
        Self { window, exchanges, events, repeats }
    }

    /// The window.
    pub const fn window(&self) -> &Window {
        &self.window
    }

    /// All requests that may hold events of the window, in their order.
    pub fn exchanges(&self) -> &[Exchange] {
        &self.exchanges
    }

    /// The window's events, in their order.
    pub fn events(&self) -> &[SentEvent] {
        &self.events
    }

    /// An event; one that was never sent if it is not in the window.
    pub fn event(&self, stream: StreamId, seq: u64) -> SentEvent {
        self.window.place(stream, seq).map_or_else(SentEvent::default, |place| self.events[place])
    }

    /// When an event left for the first time.
    pub(crate) fn left_at(&self, event: &SentEvent) -> Option<Duration> {
        let first = event.sent_at.and_then(|_| self.exchanges.get(event.first as usize));
        first.map(|exchange| exchange.sent)
    }

    /// The requests that carried an event, in their order, but for those that never left.
    pub fn attempts(&self, stream: StreamId, seq: u64) -> impl Iterator<Item = &Exchange> {
        let place = self.window.place(stream, seq);
        let first = place.map(|place| self.events[place]).filter(|event| event.sent_at.is_some());
        let own = place.map_or(&[][..], |place| {
            let place = place as u32;
            let from = self.repeats.partition_point(|(other, _)| *other < place);
            let count = self.repeats[from..].iter().take_while(|(other, _)| *other == place).count();
            &self.repeats[from..from + count]
        });
        let numbers = first.map(|event| event.first).into_iter().chain(own.iter().map(|(_, number)| *number));
        numbers.filter_map(|number| self.exchanges.get(number as usize))
    }

    /// What the attempts that may have stored an event that occurred at `occurred_micros` say about its time. A capture that
    /// never answered may have read its clock at any moment up to `latest`, from the run's start.
    pub fn attempt_times(
        &self,
        workload: &Workload,
        start: RunStart,
        stream: StreamId,
        seq: u64,
        occurred_micros: i64,
        latest: Duration,
    ) -> Vec<AttemptTimes> {
        let oddities = workload.oddities(stream, seq);
        self.attempts(stream, seq)
            .filter(|exchange| exchange.may_have_stored(seq))
            .filter_map(|exchange| {
                let moments = exchange.moments(workload, start, latest)?;
                Some(exchange.times(workload, moments, (seq, oddities), occurred_micros))
            })
            .collect()
    }
}

/// When the capture may have read its clock for an exchange, and what the client's clock said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moments {
    clock: ClientClock,
    earliest_micros: i64,
    latest_micros: i64,
}

impl Moments {
    /// The times of the attempt for an event that occurred at `occurred_micros`, with these `oddities`.
    pub const fn of(self, oddities: Oddities, occurred_micros: i64) -> AttemptTimes {
        AttemptTimes {
            said: self.clock.said(oddities, occurred_micros),
            earliest_micros: self.earliest_micros,
            latest_micros: self.latest_micros,
        }
    }
}

impl Exchange {
    /// When it says that an event with these `oddities` happened, which says `occurred_micros` the first time: a second sending may
    /// say something else.
    fn occurred_micros(&self, workload: &Workload, seq: u64, oddities: Oddities, occurred_micros: i64) -> i64 {
        if oddities.recorded {
            return occurred_micros + workload.later_again_micros(&self.request, seq);
        }
        let earlier = oddities.earlier_again_micros();
        if earlier != 0 && self.request.is_again(workload, seq) { occurred_micros - earlier } else { occurred_micros }
    }

    /// The times of the attempt, which has these `moments`, for event `seq` with these `oddities`, which says `occurred_micros` the
    /// first time.
    pub(crate) fn times(
        &self,
        workload: &Workload,
        moments: Moments,
        (seq, oddities): (u64, Oddities),
        occurred_micros: i64,
    ) -> AttemptTimes {
        let occurred_micros = self.occurred_micros(workload, seq, oddities, occurred_micros);
        let clock = self.request.clock_of(workload, moments.clock, seq);
        Moments { clock, ..moments }.of(oddities, occurred_micros)
    }

    /// The moments of an exchange that may have stored its events; `None` for one that cannot have. See
    /// [`Sent::attempt_times`].
    pub(crate) fn moments(&self, workload: &Workload, start: RunStart, latest: Duration) -> Option<Moments> {
        let wall = |offset: Duration| start.unix_micros() + offset.as_micros() as i64;
        (self.outcome >= EventOutcome::Indeterminate).then(|| Moments {
            clock: self.request.clock(workload, start),
            earliest_micros: wall(self.sent),
            latest_micros: wall(self.answered.unwrap_or(latest).max(self.sent)),
        })
    }
}

/// What results for single events mean (verdict.md, section 1).
fn exceptions(answer: &Answer) -> Vec<(u64, Meaning)> {
    let Answer::Results { exceptions, .. } = answer else { return Vec::new() };
    let meaning = |result: &EventResult| match result {
        EventResult::Drop(word) => Meaning::Dropped(*word),
        EventResult::Retry | EventResult::Unknown => Meaning::Outcome(EventOutcome::Indeterminate),
    };
    let mut all: Vec<_> = exceptions.iter().map(|(seq, result)| (*seq, meaning(result))).collect();
    all.sort_unstable_by_key(|(seq, _)| *seq);
    all
}

/// What an answer means. To a beacon, whose answer nobody reads, capture says that there is nothing to be said (rust/capture,
/// `v0_endpoint.rs`); anybody else it tells more.
fn meaning(dialect: Dialect, outcome: &Outcome, is_beacon: bool) -> EventOutcome {
    match &outcome.answer {
        Answer::Reply { status: 204, .. } if is_beacon => EventOutcome::Acked,
        Answer::Reply { status: 200, .. } | Answer::Results { complete: true, .. } => EventOutcome::Acked,
        Answer::Reply { status, excerpt } if dialect.proves_nothing_stored(*status, excerpt) => EventOutcome::Rejected,
        // Of results that are not complete it is not known of which events nothing was said.
        Answer::Reply { .. } | Answer::Results { complete: false, .. } | Answer::TimedOut | Answer::Broken { .. } => {
            EventOutcome::Indeterminate
        }
        Answer::NeverLeft { .. } => EventOutcome::Unsent,
    }
}

#[cfg(test)]
mod tests;
