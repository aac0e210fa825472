//! Which events go into which request: a pure function of the request's index.
//!
//! Request `n` of a stream holds the next positions of the sending order, and after them what its client sends again
//! from its request before. A request is due when the last of its own events is. Where the plan says after how long events are
//! sent again, those of a request have another one for themselves, and so has what comes twice on the way: each is an attempt of
//! the request that it repeats, with a number far behind those of retries. So it follows from that request alone, whoever sends it.

use std::{collections::VecDeque, ops::Range, time::Duration};

use crate::{
    clock::RunStart,
    event::{Event, EventSource},
    identity::StreamId,
    workload::{ClientFault, ClockError, Oddities, TimeForm, Workload},
};

/// A request before it has bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its stream.
    pub stream: StreamId,
    /// Its number in the stream, from 0.
    pub index: u64,
    /// The positions of the sending order that it holds.
    pub positions: Range<u64>,
    /// The positions among which those to be sent again are picked; empty in a client's first request.
    pub resends: Range<u64>,
    /// Of those, the only ones that it holds, by their sequence numbers in rising order: where an answer had a result for each
    /// event, a client sends again what it was asked for, and no more. All of them for `None`.
    pub only: Option<Box<[u64]>>,
    /// What sets a later attempt apart; none in a first one of all, which the plan says everything about.
    pub retry: Option<Retry>,
}

/// The number of the attempt by which a client sends again what was picked of a request. No library retries so often.
const AGAIN: u32 = 1 << 30;
/// That of the attempt by which a request comes twice.
const DUPLICATE: u32 = AGAIN + 1;

/// What an attempt to send a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// The first.
    First,
    /// One that its client's library makes because of an answer: which, from 2.
    Retry(u32),
    /// The client sends again what was picked of it, with another `sent_at`.
    Again,
    /// Something on the way sends the first one again, byte for byte.
    Duplicate,
}

impl Sending {
    /// What the attempt with this number is.
    pub const fn of(attempt: u32) -> Self {
        match attempt {
            0 | 1 => Self::First,
            AGAIN => Self::Again,
            DUPLICATE => Self::Duplicate,
            attempt => Self::Retry(attempt),
        }
    }
}

/// A later attempt to send a request, or a part of it; also a first one, of a part that leaves before the rest. When it is made depends on what was answered before, so what its
/// bytes say of time is kept in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// When the first one was due, from the start of the traffic.
    pub due: Duration,
    /// What `sent_at` says, on a clock that is right: when the attempt was released, or where a library sends the same bytes
    /// again, when those were built.
    pub built: Duration,
}

impl Request {
    /// Which of the stream's clients sends it.
    pub fn client(&self, workload: &Workload) -> u64 {
        workload.traffic(self.stream).map_or(0, |traffic| self.index % traffic.clients.max(1))
    }

    /// Which attempt it is, from 1.
    pub fn attempt(&self) -> u32 {
        self.retry.map_or(1, |retry| retry.attempt)
    }

    /// What this attempt is.
    pub fn sending(&self) -> Sending {
        Sending::of(self.attempt())
    }

    /// Which attempt its bytes say that it is, from 1: a library counts its own.
    pub fn told_attempt(&self) -> u32 {
        match self.sending() {
            Sending::Retry(attempt) => attempt,
            Sending::First | Sending::Again | Sending::Duplicate => 1,
        }
    }

    /// How it fails on purpose, if it does. A later attempt never does; a first one of a part does as the whole was to.
    pub fn fault(&self, workload: &Workload) -> Option<ClientFault> {
        workload.client_fault(self.stream, self.index).filter(|_| self.sending() == Sending::First)
    }

    /// What its client sends again of it in a request of its own, and when; `None` if it sends nothing of it again, or in its next
    /// one. Of what is meant to be lost nothing is: the client that fails so is another one than the one that says things twice.
    pub fn sent_again(&self, workload: &Workload) -> Option<(Duration, Self)> {
        let after = workload.resend_after(self.stream, self.index)?;
        let is_lost = self.fault(workload).is_some_and(ClientFault::is_meant_to_fail);
        let mut own = workload.seqs_at(self.stream, self.positions.clone());
        if is_lost || !own.any(|seq| workload.is_resent(self.stream, seq)) {
            return None;
        }
        let (due, start) = (self.due(workload), self.positions.start);
        let built = due.saturating_add(after);
        let (positions, resends) = (start..start, self.positions.clone());
        let retry = Some(Retry { attempt: AGAIN, due, built });
        Some((built, Self { stream: self.stream, index: self.index, positions, resends, only: None, retry }))
    }

    /// The same bytes once more, where something on the way sends them twice, and when.
    pub fn duplicate(&self, workload: &Workload) -> Option<(Duration, Self)> {
        let after = workload.duplicate_after(self.stream, self.index)?;
        let due = self.due(workload);
        let built = self.retry.map_or(due, |retry| retry.built);
        let retry = Some(Retry { attempt: DUPLICATE, due, built });
        Some((due.saturating_add(after), Self { retry, ..self.clone() }))
    }

    /// Where it stands in its stream: its first position, or the first of those among which events are picked that it holds
    /// again, if it has none of its own.
    pub fn place(&self) -> u64 {
        if self.positions.is_empty() && !self.resends.is_empty() { self.resends.start } else { self.positions.start }
    }

    /// When it is due, from the start of the traffic; for a later attempt, when the first one was.
    pub fn due(&self, workload: &Workload) -> Duration {
        if let Some(retry) = self.retry {
            return retry.due;
        }
        let last = self.positions.end.saturating_sub(1);
        workload.due(self.stream, last)
    }

    /// What the client's clock says about the request and its events.
    pub fn clock(&self, workload: &Workload, started_at: RunStart) -> ClientClock {
        let error = workload.clock(self.stream, self.client(workload));
        let origin_micros = started_at.unix_micros();
        let sent_at_in_query = workload.style(self).is_some_and(|style| style.endpoint.has_sent_at_in_query());
        let clock =
            ClientClock { origin_micros, error, due_ms: 0, sent_at_ms: 0, says_sent_at: true, sent_at_in_query };
        let shown = |moment: Duration| clock.timestamp_ms(moment.as_micros() as i64);
        let due = self.due(workload);
        ClientClock {
            due_ms: shown(due),
            sent_at_ms: shown(self.retry.map_or(due, |retry| retry.built)),
            says_sent_at: workload.says_sent_at(self),
            ..clock
        }
    }

    /// The same, `clock`, for its event `seq`: one that stands in a recording again says the offset that it says there.
    pub fn clock_of(&self, workload: &Workload, clock: ClientClock, seq: u64) -> ClientClock {
        match workload.before_again(self, seq) {
            Some((occurred_micros, before_ms)) => {
                ClientClock { due_ms: clock.timestamp_ms(occurred_micros) + before_ms, ..clock }
            }
            None => clock,
        }
    }

    /// The sequence numbers of its events in their order, and whether each is sent for the second time.
    pub fn seqs<'a>(&'a self, workload: &'a Workload) -> impl Iterator<Item = (u64, bool)> + 'a {
        let repeating = workload.repeating(self.stream);
        let is_repeat = move |position| repeating.is_some_and(|recording| recording.at(position).1);
        let first = self.positions.clone().zip(workload.seqs_at(self.stream, self.positions.clone()));
        let first = first.map(move |(position, seq)| (seq, is_repeat(position)));
        let resends = if workload.resends(self.stream) { self.resends.clone() } else { 0..0 };
        // What stands here anyway is not sent again beside itself.
        let is_here = move |seq: u64| {
            repeating.is_some_and(|recording| self.positions.clone().any(|position| recording.at(position).0 == seq))
        };
        let second = workload.seqs_at(self.stream, resends).filter(|seq| workload.is_resent(self.stream, *seq));
        let second = second.filter(move |seq| !is_here(*seq));
        let holds = |seq: u64| self.only.as_ref().is_none_or(|only| only.binary_search(&seq).is_ok());
        first.chain(second.map(|seq| (seq, true))).filter(move |(seq, _)| holds(*seq))
    }

    /// Whether it holds event `seq` as one that is sent for the second time.
    pub fn is_again(&self, workload: &Workload, seq: u64) -> bool {
        self.seqs(workload).any(|(held, again)| again && held == seq)
    }

    /// Its events in their order.
    pub fn events<'a>(&'a self, workload: &'a Workload) -> impl Iterator<Item = Event> + 'a {
        self.seqs(workload).filter_map(|(seq, _)| workload.event(self.stream, seq))
    }
}

/// A client's clock in one request, skew included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientClock {
    origin_micros: i64,
    error: ClockError,
    /// What it showed when the request was due: an offset is said once, whenever the request is tried again (posthog-js,
    /// request-queue.ts), and so is when a batch of v1 was made. In milliseconds since 1970.
    pub due_ms: i64,
    /// What the request says in `sent_at`, in milliseconds since 1970: its intended moment, so that the bytes are a pure
    /// function of the index; for a later attempt, what its ledger entry says.
    pub sent_at_ms: i64,
    /// Whether it says so at all.
    pub says_sent_at: bool,
    /// Whether it would say so in its query.
    sent_at_in_query: bool,
}

impl ClientClock {
    /// What an event that occurred at `occurred_micros` says in `timestamp`, in milliseconds since 1970.
    pub const fn timestamp_ms(self, occurred_micros: i64) -> i64 {
        self.timestamp_micros(occurred_micros).div_euclid(1_000)
    }

    /// The same before it is cut, in microseconds since 1970.
    pub const fn timestamp_micros(self, occurred_micros: i64) -> i64 {
        self.origin_micros + occurred_micros + self.error.at(occurred_micros)
    }

    /// What an event that occurred at `occurred_micros`, with these `oddities`, says about its time.
    pub const fn said(self, oddities: Oddities, occurred_micros: i64) -> Said {
        let shown_ms = self.timestamp_ms(occurred_micros);
        let timestamp_ms = oddities.time_spelling.told_ms(shown_ms);
        let offset_ms = self.due_ms - shown_ms;
        let (timestamp_ms, offset_ms) = match oddities.time {
            TimeForm::Timestamp | TimeForm::IgnoreSentAt => (timestamp_ms, None),
            TimeForm::Offset => (None, Some(offset_ms)),
            TimeForm::Both => (timestamp_ms, Some(offset_ms + 60_000)),
            TimeForm::Neither => (None, None),
        };
        let sent_at_ms = if self.says_sent_at { Some(self.sent_at_ms) } else { None };
        let ignores_sent_at = matches!(oddities.time, TimeForm::IgnoreSentAt);
        Said { timestamp_ms, offset_ms, sent_at_ms, sent_at_in_query: self.sent_at_in_query, ignores_sent_at }
    }
}

/// What an event and its request say about the event's time. All times are in milliseconds, moments since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// The event's `timestamp`, as far as it can be read.
    pub timestamp_ms: Option<i64>,
    /// Its `offset`.
    pub offset_ms: Option<i64>,
    /// The request's `sent_at`.
    pub sent_at_ms: Option<i64>,
    /// Whether that stands in the query.
    pub sent_at_in_query: bool,
    /// Whether the event has the property `$ignore_sent_at`.
    pub ignores_sent_at: bool,
}

/// All requests of one stream, in order.
#[derive(Debug)]
pub struct Requests<'a> {
    workload: &'a Workload,
    stream: StreamId,
    index: u64,
    position: u64,
    /// What each client sent last, the client whose turn is next in front.
    sent: VecDeque<Range<u64>>,
}

impl<'a> Requests<'a> {
    /// The requests of `stream`.
    pub const fn new(workload: &'a Workload, stream: StreamId) -> Self {
        Self { workload, stream, index: 0, position: 0, sent: VecDeque::new() }
    }
}

impl Iterator for Requests<'_> {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        let traffic = self.workload.traffic(self.stream)?;
        let positions = self.workload.request_at(self.stream, self.index, self.position)?;
        let resends =
            if self.sent.len() as u64 >= traffic.clients.max(1) { self.sent.pop_front() } else { None }.unwrap_or(0..0);
        self.sent.push_back(positions.clone());
        let mut request =
            Request { stream: self.stream, index: self.index, positions, resends, only: None, retry: None };
        let before = Request { positions: request.resends.clone(), ..request.clone() };
        // What is sent again after a time of its own is in no request of the order, and what was recorded in one form is not sent
        // again in another.
        let is_apart = traffic.disorder.resend_after.is_some();
        let is_recorded = traffic.replay.is_some();
        if is_apart || is_recorded && self.workload.style(&before) != self.workload.style(&request) {
            request.resends = 0..0;
        }
        self.index += 1;
        self.position = request.positions.end;
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;
    use crate::{
        persona::PersonaTable,
        random::{Distribution, Share},
        workload::{Plan, tests::small},
    };

    fn changed(change: impl FnOnce(&mut Plan)) -> Workload {
        let mut plan = small().plan().clone();
        change(&mut plan);
        Workload::new(plan, PersonaTable::make(42, 16))
    }

    #[test]
    fn what_is_sent_again_after_a_time_has_a_request_of_its_own_by_the_same_client() {
        let mean = Duration::from_secs(30);
        let workload = changed(|plan| {
            let disorder = &mut plan.traffic[0].disorder;
            disorder.resend = Share::new(0.2).unwrap();
            disorder.resend_after = Some(Distribution::Exponential { mean });
        });
        let (mut again, mut after, mut requests) = (HashSet::new(), Duration::ZERO, 0);
        for request in Requests::new(&workload, StreamId(0)) {
            assert!(request.resends.is_empty());
            let Some((at, second)) = request.sent_again(&workload) else { continue };
            assert_eq!(Some((at, second.clone())), request.sent_again(&workload), "a pure function");
            assert_eq!((second.sending(), second.told_attempt()), (Sending::Again, 1));
            assert_eq!(second.client(&workload), request.client(&workload));
            assert_eq!((second.due(&workload), second.fault(&workload)), (request.due(&workload), None));
            let first: HashSet<u64> = request.seqs(&workload).map(|(seq, _)| seq).collect();
            for (seq, is_second) in second.seqs(&workload) {
                assert!(is_second && first.contains(&seq) && again.insert(seq), "{seq}");
            }
            let clock = second.clock(&workload, RunStart::from_unix_micros(0));
            let before = request.clock(&workload, RunStart::from_unix_micros(0));
            assert_eq!(clock.due_ms, before.due_ms, "an offset is said once");
            assert!(at == request.due(&workload) || clock.sent_at_ms >= before.sent_at_ms);
            (after, requests) = (after + at.saturating_sub(request.due(&workload)), requests + 1);
        }
        let picked: HashSet<u64> = (0..5_000).filter(|seq| workload.is_resent(StreamId(0), *seq)).collect();
        assert_eq!(again, picked, "each once");
        let found = after / requests;
        assert!(found > mean / 2 && found < mean * 2, "{found:?} of {requests}");
    }

    #[test]
    fn requests_come_twice_in_their_share_and_never_those_that_fail() {
        let workload = changed(|plan| {
            let traffic = &mut plan.traffic[0];
            traffic.batch = (1, 1);
            traffic.disorder.duplicate_requests = Share::new(0.3).unwrap();
            traffic.disorder.duplicate_after = Distribution::Constant { value: Duration::from_secs(4) };
            traffic.client.faults.garbage_body = Share::new(0.5).unwrap();
        });
        let mut twice = 0;
        for request in Requests::new(&workload, StreamId(0)) {
            let Some((at, second)) = request.duplicate(&workload) else { continue };
            assert_eq!(workload.client_fault(StreamId(0), request.index), None);
            assert_eq!(at, request.due(&workload) + Duration::from_secs(4));
            assert_eq!((second.sending(), second.told_attempt()), (Sending::Duplicate, 1));
            assert!(second.seqs(&workload).eq(request.seqs(&workload)));
            let start = RunStart::from_unix_micros(5);
            assert_eq!(second.clock(&workload, start), request.clock(&workload, start));
            twice += 1;
        }
        assert!((650..850).contains(&twice), "{twice} of 5 000, half of which fail");
        let usual = small();
        assert!(Requests::new(&usual, StreamId(0)).all(|request| request.duplicate(&usual).is_none()));
    }

    #[test]
    fn of_what_is_meant_to_be_lost_nothing_is_sent_again() {
        let workload = changed(|plan| {
            plan.traffic[0].disorder.resend = Share::new(1.0).unwrap();
            plan.traffic[0].disorder.resend_after = Some(Distribution::default());
            plan.traffic[0].client.faults.empty_body = Share::new(0.5).unwrap();
        });
        let all: Vec<_> = Requests::new(&workload, StreamId(0)).collect();
        assert!(all.iter().all(|one| one.sent_again(&workload).is_none() == one.fault(&workload).is_some()));
        assert!(all.iter().any(|request| request.sent_again(&workload).is_some()));
    }

    #[test]
    fn requests_hold_each_event_once_and_the_chosen_ones_twice() {
        let workload = small();
        let requests: Vec<_> = Requests::new(&workload, StreamId(0)).collect();
        let mut times = HashMap::<u64, u32>::new();
        for request in &requests {
            assert!((1..=20).contains(&(request.positions.end - request.positions.start)));
            request.seqs(&workload).for_each(|(seq, _)| *times.entry(seq).or_default() += 1);
        }
        assert_eq!(times.len(), 5_000);
        let last_turn = &requests[requests.len() - 4..];
        for (seq, times) in times {
            let is_last = last_turn.iter().any(|request| request.seqs(&workload).any(|(last, _)| last == seq));
            let expected = if workload.is_resent(StreamId(0), seq) { 2 } else { 1 };
            // A client's last request is followed by none that could repeat from it.
            assert!(times == expected || (is_last && times == 1), "event {seq} was sent {times} times");
        }
    }

    #[test]
    fn a_second_sending_is_by_the_same_client_later() {
        let workload = small();
        let mut first = HashMap::<u64, Request>::new();
        for request in Requests::new(&workload, StreamId(0)) {
            for (seq, again) in request.seqs(&workload) {
                if again {
                    let before = &first[&seq];
                    assert_eq!(before.client(&workload), request.client(&workload));
                    assert!(before.due(&workload) <= request.due(&workload));
                } else {
                    first.insert(seq, request.clone());
                }
            }
        }
    }
}
