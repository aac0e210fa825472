//! An outcome and an intent that are both as expected in everything but their moments.

use std::time::Duration;

use super::{
    Before, Place,
    numbers::{micros, unzigzag, zigzag},
};
use crate::{
    identity::StreamId,
    journal::{put_varint, take_varint},
    ledger::{Answer, Intent, Outcome},
    request::Request,
};

/// The kind of such an entry.
pub(super) const BOTH: u8 = 3;
/// Where in its tag, above its kind, stands how many wait longer than the outcome's request, in three bits.
const RANK: u32 = 2;
/// Where stand as many of the lowest bits of how much later than expected that was sent.
const LAG: u32 = 5;
const THREE_BITS: u64 = 7;

impl Before {
    /// Whether nothing has to be said of an outcome, whose request has so many before it that wait, and of the intent
    /// behind it but when.
    pub(super) fn both(&self, rank: u64, outcome: &Outcome, intent: &Intent) -> bool {
        let Place { stream, index, position, .. } = self.intent;
        let request = &intent.request;
        rank <= THREE_BITS
            && matches!(&outcome.answer, Answer::Reply { status: 200, excerpt } if excerpt.is_empty())
            && request.stream.0 == stream
            && request.index == index.wrapping_add(1)
            && request.positions == (position..position.wrapping_add(1))
            && request.resends == self.resends
            && request.retry.is_none()
    }

    pub(super) fn put_both(&mut self, rank: u64, outcome: &Outcome, intent: &Intent, block: &mut Vec<u8>) {
        let Some(answered) = self.open.take(rank) else { return };
        let (sent, next) = (micros(outcome.sent), micros(intent.released));
        let lag = self.lag(answered.released, sent);
        block.push(BOTH | (rank as u8) << RANK | (lag as u8) << LAG);
        self.put_moments(lag >> THREE_BITS.count_ones(), outcome, block);
        put_varint(block, zigzag(next, self.intent.moment.wrapping_add(self.gap)));
        self.go_on(outcome, next);
    }

    pub(super) fn take_both(&mut self, tag: u8, block: &mut &[u8]) -> Option<(Outcome, Intent)> {
        let request = self.open.take(u64::from(tag >> RANK) & THREE_BITS)?;
        let lag = take_varint(block)?.checked_mul(THREE_BITS + 1)? | u64::from(tag >> LAG);
        let (sent, answered) = self.take_moments(lag, request.released, block)?;
        let outcome = Outcome {
            stream: StreamId(request.stream),
            index: request.index,
            attempt: request.attempt,
            sent: Duration::from_micros(sent),
            answered: Duration::from_micros(answered),
            answer: Answer::Reply { status: 200, excerpt: String::new() },
        };
        let next = unzigzag(take_varint(block)?, self.intent.moment.wrapping_add(self.gap));
        let end = self.intent.position.checked_add(1)?;
        let request = Request {
            stream: StreamId(self.intent.stream),
            index: self.intent.index.wrapping_add(1),
            positions: self.intent.position..end,
            resends: self.resends.clone(),
            only: None,
            retry: None,
        };
        self.go_on(&outcome, next);
        Some((outcome, Intent { request, released: Duration::from_micros(next) }))
    }

    /// This outcome was written, and the next intent follows.
    fn go_on(&mut self, outcome: &Outcome, released: u64) {
        self.expect_behind(&self.resends.clone());
        let Outcome { stream, index, attempt, .. } = *outcome;
        self.outcome = Place { stream: stream.0, index, attempt, position: 0, moment: micros(outcome.sent) };
        let Place { stream, index, position, .. } = self.intent;
        self.intended(Place {
            stream,
            index: index.wrapping_add(1),
            attempt: 1,
            position: position.wrapping_add(1),
            moment: released,
        });
    }
}
