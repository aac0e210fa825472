//! The ledger, folded: one outcome an event, the strongest of its attempts.
//!
//! Intents and outcomes become [`Exchange`]s, exchanges are sorted by [window](super::windows), and each window's are
//! folded into its events when it is judged.

use std::{collections::HashMap, path::Path, time::Duration};

use generators::{
    clock::RunStart,
    identity::StreamId,
    journal::{ReadError, put_varint, take_varint},
    ledger::{Answer, Outcome, Record},
    request::{ClientClock, Request, Retry},
    workload::{TimeForm, Workload},
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
    /// What it means for its events.
    pub outcome: EventOutcome,
    /// In how many windows its events may lie.
    pub windows: u32,
}

/// Which exchange of a run one is.
pub type ExchangeKey = (StreamId, u64, u32);

impl Exchange {
    /// Which exchange of its run it is.
    pub fn key(&self) -> ExchangeKey {
        (self.request.stream, self.request.index, self.request.attempt())
    }

    /// Its name in output: stream/index, and which attempt it is if that is not the first.
    pub fn name(&self) -> String {
        let Request { stream, index, .. } = self.request;
        match self.request.attempt() {
            1 => format!("{}/{index}", stream.0),
            attempt => format!("{}/{index} attempt {attempt}", stream.0),
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
    /// The exchange that its outcome comes from, as an index into [`Sent::exchanges`]: that of the first ack, or else the
    /// first of those with the strongest outcome.
    pub exchange: u32,
    /// Whether it was in several attempts that left.
    pub repeated: bool,
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
                    // An intent without outcome: bytes may have left.
                    outcome: EventOutcome::Indeterminate,
                    windows: 1,
                };
                self.open.insert(exchange.key(), exchange);
                None
            }
            Record::Outcome(outcome) => {
                let exchange = self.open.remove(&(outcome.stream, outcome.index, outcome.attempt))?;
                Some(Exchange {
                    outcome: meaning(dialect, &outcome),
                    sent: outcome.sent,
                    answered: matches!(outcome.answer, Answer::Reply { .. }).then_some(outcome.answered),
                    ..exchange
                })
            }
            Record::End(_) => None,
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
        let mut log = Self { spool: Spool::new(windows.len(), folder), schedule: Schedule::new(tolerance) };
        let mut exchanges = Exchanges::default();
        for record in records {
            if let Some(exchange) = exchanges.take(dialect, workload, record?) {
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
            match exchange.request.retry {
                None => self.schedule.add(exchange.sent.saturating_sub(exchange.intended)),
                // It leaves when its client thinks fit, which is no schedule.
                Some(_) => self.schedule.add_retry(),
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

/// `index attempt [due built] first count resend_first resend_count sent (1 + waited, 0 for unanswered) outcome windows`, all
/// varint; what is in brackets is there for attempts behind the first.
fn encode(exchange: &Exchange, windows: u32) -> Vec<u8> {
    let Request { index, positions, resends, .. } = &exchange.request;
    let waited = exchange.answered.map_or(0, |answered| 1 + answered.saturating_sub(exchange.sent).as_micros() as u64);
    let mut body = Vec::with_capacity(32);
    put_varint(&mut body, *index);
    put_varint(&mut body, exchange.request.attempt().into());
    if let Some(Retry { due, built, .. }) = exchange.request.retry {
        put_varint(&mut body, due.as_micros() as u64);
        put_varint(&mut body, built.as_micros() as u64);
    }
    for number in [
        positions.start,
        positions.end - positions.start,
        resends.start,
        resends.end - resends.start,
        exchange.sent.as_micros() as u64,
        waited,
        exchange.outcome as u64,
        u64::from(windows),
    ] {
        put_varint(&mut body, number);
    }
    body
}

fn decode(bytes: &mut &[u8], workload: &Workload, stream: StreamId) -> Option<Exchange> {
    let mut number = || take_varint(bytes);
    let (index, attempt) = (number()?, number()? as u32);
    let retry = if attempt > 1 {
        let (due, built) = (Duration::from_micros(number()?), Duration::from_micros(number()?));
        Some(Retry { attempt, due, built })
    } else {
        None
    };
    let (first, count, resend_first, resend_count) = (number()?, number()?, number()?, number()?);
    let (positions, resends) = (first..first + count, resend_first..resend_first + resend_count);
    let request = Request { stream, index, positions, resends, retry };
    let sent = Duration::from_micros(number()?);
    let answered = number()?.checked_sub(1).map(|waited| sent + Duration::from_micros(waited));
    let outcome = match number()? {
        0 => EventOutcome::Unsent,
        1 => EventOutcome::Rejected,
        2 => EventOutcome::Indeterminate,
        _ => EventOutcome::Acked,
    };
    let windows = number()? as u32;
    Some(Exchange { intended: request.due(workload), request, sent, answered, outcome, windows })
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
            if exchange.outcome == EventOutcome::Unsent {
                continue;
            }
            let number = number as u32;
            for (seq, _) in exchange.request.seqs(workload) {
                let Some(place) = window.place(exchange.request.stream, seq) else { continue };
                let event = &mut events[place];
                if event.sent_at.is_some() {
                    event.repeated = true;
                    repeats.push((place as u32, number));
                } else {
                    (event.first, event.exchange) = (number, number);
                }
                let earlier = event.answered_at.is_none_or(|before| exchange.answered.is_some_and(|now| now < before));
                let is_ack = exchange.outcome == EventOutcome::Acked;
                if exchange.outcome > event.outcome || (is_ack && earlier) {
                    event.exchange = number;
                }
                if is_ack && earlier {
                    event.answered_at = exchange.answered;
                }
                event.sent_at = Some(event.sent_at.map_or(exchange.intended, |first| first.min(exchange.intended)));
                event.outcome = event.outcome.max(exchange.outcome);
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
        let form = workload.oddities(stream, seq).time;
        self.attempts(stream, seq)
            .filter_map(|exchange| Some(exchange.moments(workload, start, latest)?.of(form, occurred_micros)))
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
    /// The times of the attempt for an event that occurred at `occurred_micros` and says so in this form.
    pub const fn of(self, form: TimeForm, occurred_micros: i64) -> AttemptTimes {
        AttemptTimes {
            said: self.clock.said(form, occurred_micros),
            earliest_micros: self.earliest_micros,
            latest_micros: self.latest_micros,
        }
    }
}

impl Exchange {
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

fn meaning(dialect: Dialect, outcome: &Outcome) -> EventOutcome {
    match &outcome.answer {
        Answer::Reply { status: 200, .. } => EventOutcome::Acked,
        Answer::Reply { status, excerpt } if dialect.proves_nothing_stored(*status, excerpt) => EventOutcome::Rejected,
        Answer::Reply { .. } | Answer::TimedOut | Answer::Broken { .. } => EventOutcome::Indeterminate,
        Answer::NeverLeft { .. } => EventOutcome::Unsent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::{
        example::{STREAM, disorderly, intent, outcome, retry, sent, workload},
        windows::EVENTS,
    };

    fn reply(status: u16) -> Answer {
        Answer::Reply { status, excerpt: String::new() }
    }

    /// Events 0 and 1 are in request 0; event 0 is sent again in request 1.
    fn folded(first: Option<Answer>, second: Option<Answer>) -> SentEvent {
        let workload = workload(4);
        let mut records = vec![intent(0, 0..2, 0..0), intent(1, 2..4, 0..1)];
        records.extend(first.map(|answer| outcome(0, 10, 20, answer)));
        records.extend(second.map(|answer| outcome(1, 30, 40, answer)));
        sent(&workload, records).event(STREAM, 0)
    }

    #[test]
    fn the_strongest_attempt_counts() {
        use EventOutcome::{Acked, Indeterminate, Rejected, Unsent};
        let never_left = || Answer::NeverLeft { error: String::new() };
        for (first, second, expected) in [
            (Some(reply(200)), Some(reply(400)), Acked),
            (Some(reply(400)), Some(reply(200)), Acked),
            (Some(reply(400)), Some(reply(401)), Rejected),
            (Some(reply(400)), Some(reply(503)), Indeterminate),
            (Some(reply(400)), None, Indeterminate),
            (Some(Answer::TimedOut), Some(reply(400)), Indeterminate),
            (Some(never_left()), Some(reply(400)), Rejected),
            (Some(never_left()), Some(never_left()), Unsent),
            (None, None, Indeterminate),
        ] {
            assert_eq!(folded(first.clone(), second.clone()).outcome, expected, "{first:?} {second:?}");
        }
    }

    #[test]
    fn sent_at_is_the_first_intended_moment_and_answered_at_the_first_ack() {
        let event = folded(Some(reply(503)), Some(reply(200)));
        assert_eq!(event.sent_at, Some(Duration::from_secs(1)), "due with the last event of its request, at 1/s");
        assert_eq!(event.answered_at, Some(Duration::from_millis(40)));
        assert_eq!(event.exchange, 1);
        let event = folded(Some(reply(200)), Some(reply(200)));
        assert_eq!((event.answered_at, event.exchange), (Some(Duration::from_millis(20)), 0));
    }

    /// What becomes of events 0 and 1 of a request that was due at 1 s, by the answers to its attempts, one every second from
    /// 2 s on, each answered in half a second.
    fn retried(answers: &[Option<Answer>]) -> Sent {
        let workload = workload(4);
        let mut records = vec![intent(0, 0..2, 0..0)];
        records.extend(answers[0].clone().map(|answer| outcome(0, 2_000, 2_500, answer)));
        for (number, answer) in answers.iter().enumerate().skip(1) {
            let (attempt, at) = (number as u32 + 1, number as u64 * 1_000 + 2_000);
            let [intent, outcome] =
                retry((0, attempt), 0..2, (1_000, at), (at, at + 500), answer.clone().unwrap_or(Answer::TimedOut));
            records.push(intent);
            records.extend(answer.is_some().then_some(outcome));
        }
        sent(&workload, records)
    }

    #[test]
    fn attempts_of_one_request_are_folded() {
        use EventOutcome::{Acked, Indeterminate, Rejected, Unsent};
        let never_left = || Some(Answer::NeverLeft { error: String::new() });
        let status = |status| Some(reply(status));
        for (answers, outcome, attempt, answered_at) in [
            (vec![status(503), status(200)], Acked, 2, Some(3_500)),
            (vec![Some(Answer::TimedOut), status(503), status(200)], Acked, 3, Some(4_500)),
            (vec![status(503), status(400)], Indeterminate, 1, None),
            (vec![status(400), status(503)], Indeterminate, 2, None),
            (vec![status(401), status(400)], Rejected, 1, None),
            (vec![never_left(), status(200)], Acked, 2, Some(3_500)),
            (vec![never_left(), never_left()], Unsent, 1, None),
            (vec![never_left(), status(413)], Rejected, 2, None),
            // The run was killed while the last attempt was on its way.
            (vec![status(413), None], Indeterminate, 2, None),
            (vec![None], Indeterminate, 1, None),
        ] {
            let sent = retried(&answers);
            let event = sent.event(STREAM, 1);
            let first = (outcome != Unsent).then_some(Duration::from_secs(1));
            assert_eq!((event.outcome, event.sent_at), (outcome, first), "{answers:?}");
            assert_eq!(event.answered_at, answered_at.map(Duration::from_millis), "{answers:?}");
            assert_eq!(sent.exchanges()[event.exchange as usize].request.attempt(), attempt, "{answers:?}");
        }
    }

    /// posthog-node: 413, then the halves, the second of which fails once.
    #[test]
    fn halves_are_timed_from_when_the_whole_was_due() {
        let workload = workload(4);
        let mut records = vec![intent(1, 2..4, 0..0), outcome(1, 3_000, 3_010, reply(413))];
        records.extend(retry((1, 2), 2..3, (3_000, 3_020), (3_020, 3_030), reply(200)));
        records.extend(retry((1, 3), 3..4, (3_000, 3_040), (3_040, 3_050), reply(503)));
        records.extend(retry((1, 4), 3..4, (3_000, 3_040), (6_050, 6_060), reply(200)));
        let sent = sent(&workload, records);
        for (seq, answered, attempts) in [(2, 3_030, &[1, 2][..]), (3, 6_060, &[1, 3, 4])] {
            let event = sent.event(STREAM, seq);
            assert_eq!(event.outcome, EventOutcome::Acked);
            assert_eq!(event.sent_at, Some(Duration::from_secs(3)));
            assert_eq!(event.answered_at, Some(Duration::from_millis(answered)));
            let found: Vec<u32> = sent.attempts(STREAM, seq).map(|exchange| exchange.request.attempt()).collect();
            assert_eq!(found, attempts);
        }
        // What the capture reads in `sent_at` are the moments at which the bytes were built, of those that it may have stored.
        let start = RunStart::from_unix_micros(1_790_000_000_000_000);
        let occurred = workload.occurred_micros(STREAM, 3).unwrap();
        let times = sent.attempt_times(&workload, start, STREAM, 3, occurred, Duration::from_mins(1));
        let told: Vec<_> = times.iter().map(|time| (time.said.sent_at_ms.unwrap(), time.earliest_micros)).collect();
        let wall = |ms: i64| (1_790_000_003_040, 1_790_000_000_000_000 + ms * 1_000);
        assert_eq!(told, [wall(3_040), wall(6_050)]);
        let name = |seq| sent.exchanges()[sent.event(STREAM, seq).exchange as usize].name();
        assert_eq!((name(2).as_str(), name(3).as_str()), ("0/1 attempt 2", "0/1 attempt 4"));
    }

    #[test]
    fn a_request_was_sent_when_its_outcome_says_so() {
        let workload = workload(4);
        let of = |records: Vec<Record>| sent(&workload, records).exchanges()[0].sent;
        assert_eq!(of(vec![intent(0, 0..2, 0..0), outcome(0, 30, 40, reply(200))]), Duration::from_millis(30));
        let Record::Intent(released) = intent(0, 0..2, 0..0) else { panic!("no intent") };
        assert_eq!(of(vec![Record::Intent(released.clone())]), released.released, "without one, when it was released");
    }

    #[test]
    fn the_first_ack_is_the_earliest_whichever_request_it_answers() {
        let workload = workload(4);
        let records = [
            intent(0, 0..2, 0..0),
            intent(1, 2..4, 0..2),
            outcome(0, 10, 50, reply(200)),
            outcome(1, 30, 40, reply(200)),
        ];
        let sent = sent(&workload, records);
        let event = sent.event(STREAM, 0);
        assert_eq!((event.answered_at, event.exchange), (Some(Duration::from_millis(40)), 1));
        for (seq, expected) in [(0, &[0, 1][..]), (1, &[0, 1]), (2, &[1]), (3, &[1])] {
            let attempts: Vec<u64> = sent.attempts(STREAM, seq).map(|exchange| exchange.request.index).collect();
            assert_eq!(attempts, expected, "event {seq}");
        }
    }

    #[test]
    fn what_goes_aside_comes_back_as_it_was() {
        let workload = workload(4);
        let at = Duration::from_millis;
        for outcome in [EventOutcome::Unsent, EventOutcome::Rejected, EventOutcome::Indeterminate, EventOutcome::Acked]
        {
            for answered in [None, Some(at(7)), Some(at(90))] {
                let request = Request { stream: STREAM, index: 1, positions: 2..4, resends: 0..2, retry: None };
                let exchange =
                    Exchange { intended: request.due(&workload), request, sent: at(7), answered, outcome, windows: 3 };
                let bytes = encode(&exchange, exchange.windows);
                assert_eq!(decode(&mut &bytes[..], &workload, STREAM), Some(exchange));
            }
        }
    }

    #[test]
    fn what_has_no_intent_was_never_sent() {
        let workload = workload(4);
        let sent = sent(&workload, [intent(0, 0..2, 0..0)]);
        assert_eq!(sent.events()[3].outcome, EventOutcome::Unsent);
        assert_eq!(sent.events()[1].outcome, EventOutcome::Indeterminate);
        assert_eq!(sent.event(STREAM, 9), SentEvent::default());
    }

    #[test]
    fn windows_together_hold_what_one_fold_holds() {
        let workload = disorderly(EVENTS + 5_000);
        let (mut records, mut retries) = (Vec::new(), 0);
        for request in generators::request::Requests::new(&workload, STREAM) {
            let (index, first) = (request.index, request.positions.start..request.positions.start + 1);
            records.push(intent(index, request.positions, request.resends));
            records.extend(match index % 50 {
                0 => None,
                1 => Some(outcome(index, index, index + 7, reply(503))),
                2 => Some(outcome(index, index, index + 7, Answer::NeverLeft { error: String::new() })),
                _ => Some(outcome(index, index, index + 9, reply(200))),
            });
            if index % 50 == 1 {
                records.extend(retry(
                    (index, 2),
                    first,
                    (index, index + 3),
                    (index + 1_000, index + 1_010),
                    reply(200),
                ));
                retries += 1;
            }
        }
        let windows = Windows::of(&workload);
        assert_eq!(windows.len(), 2);
        let folder = std::env::temp_dir();
        let tolerance = Duration::from_secs(1);
        let sorted = records.iter().cloned().map(Ok);
        let log = SentLog::sort(Dialect::V2026, &workload, &windows, tolerance, &folder, sorted).unwrap();
        let whole = sent(&workload, records);
        let mut shared = 0;
        for (number, window) in windows.iter() {
            let part = log.window(&workload, window.clone(), number).unwrap();
            shared += part.exchanges().iter().filter(|exchange| exchange.windows == 2).count();
            for seq in window.seqs {
                let (one, other) = (part.event(STREAM, seq), whole.event(STREAM, seq));
                assert_eq!(
                    (one.outcome, one.sent_at, one.answered_at),
                    (other.outcome, other.sent_at, other.answered_at)
                );
                let keys = |sent: &Sent| sent.attempts(STREAM, seq).map(Exchange::key).collect::<Vec<_>>();
                assert_eq!(keys(&part), keys(&whole), "event {seq}");
                if one.sent_at.is_some() {
                    let key = |sent: &Sent, event: SentEvent| sent.exchanges()[event.exchange as usize].key();
                    assert_eq!(key(&part, one), key(&whole, other), "event {seq}");
                }
            }
        }
        assert!(shared > 0, "some requests lie in both windows");
        let left = whole.exchanges().iter().filter(|exchange| exchange.outcome != EventOutcome::Unsent).count();
        assert_eq!(log.schedule.retries(), retries);
        assert_eq!(log.schedule.requests() + retries, left as u64, "retries have no place in the schedule");
    }
}
