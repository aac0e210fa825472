//! The ledger, folded: one outcome an event, the strongest of its attempts.

use std::time::Duration;

use generators::{
    clock::RunStart,
    event::EventSource,
    identity::StreamId,
    ledger::{Answer, End, Outcome, Record},
    request::Request,
    workload::Workload,
};
use serde::{Deserialize, Serialize};

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
    /// The request.
    pub request: Request,
    /// When it should have been sent, from the run's start.
    pub intended: Duration,
    /// When it was; when it was released where no outcome is known.
    pub sent: Duration,
    /// When its answer came, if one did.
    pub answered: Option<Duration>,
    /// What it means for its events.
    pub outcome: EventOutcome,
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
    /// The exchange of the first ack, or of the first attempt where there is none, as an index into [`Sent::exchanges`].
    pub exchange: u32,
}

/// Everything that was sent.
#[derive(Debug)]
pub struct Sent {
    exchanges: Vec<Exchange>,
    /// For each stream, its events by sequence number.
    events: Vec<Vec<SentEvent>>,
    /// For each stream, which exchanges an event was in, as (seq, exchange), sorted.
    attempts: Vec<Vec<(u64, u32)>>,
    end: Option<End>,
}

impl Sent {
    /// Folds the ledger's `records` for `workload`.
    pub fn fold(dialect: Dialect, workload: &Workload, records: impl IntoIterator<Item = Record>) -> Self {
        let mut exchanges: Vec<Exchange> = Vec::new();
        let mut open = std::collections::HashMap::new();
        let mut end = None;
        for record in records {
            match record {
                Record::Intent(intent) => {
                    let request = intent.request();
                    open.insert((intent.stream, intent.index, intent.attempt), exchanges.len());
                    exchanges.push(Exchange {
                        intended: request.due(workload),
                        request,
                        sent: intent.released,
                        answered: None,
                        // An intent without outcome: bytes may have left.
                        outcome: EventOutcome::Indeterminate,
                    });
                }
                Record::Outcome(outcome) => {
                    if let Some(place) = open.remove(&(outcome.stream, outcome.index, outcome.attempt)) {
                        let exchange = &mut exchanges[place];
                        exchange.outcome = meaning(dialect, &outcome);
                        exchange.sent = outcome.sent;
                        exchange.answered = matches!(outcome.answer, Answer::Reply { .. }).then_some(outcome.answered);
                    }
                }
                Record::End(how) => end = Some(how),
            }
        }
        let mut sent = Self {
            exchanges,
            events: workload
                .streams()
                .into_iter()
                .map(|stream| vec![SentEvent::default(); workload.planned(stream) as usize])
                .collect(),
            attempts: workload.streams().iter().map(|_| Vec::new()).collect(),
            end,
        };
        sent.fold_events(workload);
        sent
    }

    fn fold_events(&mut self, workload: &Workload) {
        for (place, exchange) in self.exchanges.iter().enumerate() {
            let stream = usize::from(exchange.request.stream.0);
            let (Some(events), Some(attempts)) = (self.events.get_mut(stream), self.attempts.get_mut(stream)) else {
                continue;
            };
            for (seq, _) in exchange.request.seqs(workload) {
                let Some(event) = events.get_mut(seq as usize) else { continue };
                if exchange.outcome == EventOutcome::Unsent {
                    continue;
                }
                attempts.push((seq, place as u32));
                let first_ack = exchange.outcome == EventOutcome::Acked
                    && event.answered_at.is_none_or(|before| exchange.answered.is_some_and(|now| now < before));
                if first_ack || event.sent_at.is_none() {
                    event.exchange = place as u32;
                }
                if first_ack {
                    event.answered_at = exchange.answered;
                }
                event.sent_at = Some(event.sent_at.map_or(exchange.intended, |first| first.min(exchange.intended)));
                event.outcome = event.outcome.max(exchange.outcome);
            }
        }
        for attempts in &mut self.attempts {
            attempts.sort_unstable();
        }
    }

    /// All requests, in the order of their intents.
    pub fn exchanges(&self) -> &[Exchange] {
        &self.exchanges
    }

    /// How sending ended; `None` if the sender was killed.
    pub const fn end(&self) -> Option<End> {
        self.end
    }

    /// The events of a stream by sequence number; empty for an unknown stream.
    pub fn events(&self, stream: StreamId) -> &[SentEvent] {
        self.events.get(usize::from(stream.0)).map_or(&[], Vec::as_slice)
    }

    /// The streams there are.
    pub fn streams(&self) -> impl Iterator<Item = StreamId> + use<> {
        (0..self.events.len()).map(|index| StreamId(index as u16))
    }

    /// The requests that carried an event, in their order, but for those that never left.
    pub fn attempts(&self, stream: StreamId, seq: u64) -> impl Iterator<Item = &Exchange> {
        let attempts = self.attempts.get(usize::from(stream.0)).map_or(&[][..], Vec::as_slice);
        let from = attempts.partition_point(|(other, _)| *other < seq);
        let own = attempts[from..].iter().take_while(move |(other, _)| *other == seq);
        own.filter_map(|(_, exchange)| self.exchanges.get(*exchange as usize))
    }

    /// What the attempts that may have stored an event say about its time. A capture that never answered may have read
    /// its clock at any moment up to `latest`, from the run's start.
    pub fn attempt_times(
        &self,
        workload: &Workload,
        start: RunStart,
        stream: StreamId,
        seq: u64,
        event: &generators::event::Event,
        latest: Duration,
    ) -> Vec<AttemptTimes> {
        let wall = |offset: Duration| start.unix_micros() + offset.as_micros() as i64;
        self.attempts(stream, seq)
            .filter(|exchange| exchange.outcome >= EventOutcome::Indeterminate)
            .map(|exchange| {
                let clock = exchange.request.clock(workload, start);
                AttemptTimes {
                    timestamp_ms: clock.timestamp_ms(event),
                    sent_at_ms: clock.sent_at_ms,
                    earliest_micros: wall(exchange.sent),
                    latest_micros: wall(exchange.answered.unwrap_or(latest).max(exchange.sent)),
                }
            })
            .collect()
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
    use crate::reconcile::example::{STREAM, intent, outcome, workload};

    fn reply(status: u16) -> Answer {
        Answer::Reply { status, excerpt: String::new() }
    }

    /// Events 0 and 1 are in request 0; event 0 is sent again in request 1.
    fn folded(first: Option<Answer>, second: Option<Answer>) -> SentEvent {
        let workload = workload(4);
        let mut records = vec![intent(0, 0..2, 0..0), intent(1, 2..4, 0..1)];
        records.extend(first.map(|answer| outcome(0, 10, 20, answer)));
        records.extend(second.map(|answer| outcome(1, 30, 40, answer)));
        Sent::fold(Dialect::V2026, &workload, records).events(STREAM)[0]
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

    #[test]
    fn what_has_no_intent_was_never_sent() {
        let workload = workload(4);
        let sent = Sent::fold(Dialect::V2026, &workload, [intent(0, 0..2, 0..0)]);
        assert_eq!(sent.events(STREAM)[3].outcome, EventOutcome::Unsent);
        assert_eq!(sent.events(STREAM)[1].outcome, EventOutcome::Indeterminate);
        assert_eq!(sent.end(), None);
    }
}
