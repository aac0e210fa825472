#![doc = include_str!("../../../docs/ledger.md")]

mod frame;
mod intent;
mod outcome;
mod streams;
mod usual;

use super::{
    End, Intent, Outcome, Record,
    numbers::{micros, unzigzag, zigzag},
    open::{Open, Waiting},
};
use crate::{
    journal::{put_varint, take_varint},
    request::Request,
};

pub(super) use self::frame::Chain;
use self::streams::{Place, Streams};

/// A block with more bytes is ended, so that none becomes too long.
const BLOCK_LIMIT: usize = 1 << 16;

/// Tags of entries that are not usual.
const INTENT: u8 = 8;
const OUTCOME: u8 = 16;
const END: u8 = 24;
const GIVEN_UP: u8 = 72;

/// What the next entry is expected to be: what those before it were, in the block and in those before that.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// What was released of each stream.
    streams: Streams,
    /// The requests that wait for their outcomes.
    open: Open,
    /// When the last intent was released, in microseconds.
    released: u64,
    /// Whether there is an intent in this block.
    has_intent: bool,
    /// How long after its release the open request that was answered last was sent, in microseconds.
    lag: u64,
    /// How long after that it was answered, in microseconds.
    waited: u64,
    /// When it was answered, in microseconds.
    answered: u64,
}

/// The entries of the blocks that hold `records`, in their order, behind those `before`.
pub(super) fn encode<'a>(before: &mut Before, records: impl IntoIterator<Item = &'a Record>) -> Vec<Vec<u8>> {
    let (mut blocks, mut block) = (Vec::new(), Vec::new());
    let mut records = records.into_iter().peekable();
    before.has_intent = false;
    while let Some(record) = records.next() {
        match record {
            Record::Intent(intent) => before.put_intent(intent, &mut block),
            Record::Outcome(outcome) => {
                let rank = before.open.rank(outcome);
                let next = match records.peek() {
                    Some(Record::Intent(next)) => Some(next),
                    _ => None,
                };
                if let (Some(rank), true) = (rank, outcome::is_usual(outcome)) {
                    if before.put_usual_outcome(rank, outcome, next, &mut block) {
                        records.next();
                    }
                } else {
                    before.put_full_outcome(rank, outcome, &mut block);
                }
            }
            Record::GivenUp(requests) => {
                block.push(GIVEN_UP);
                put_varint(&mut block, *requests);
            }
            Record::End(end) => block.extend_from_slice(&[END, u8::from(*end == End::Complete)]),
        }
        if block.len() > BLOCK_LIMIT {
            blocks.push(std::mem::take(&mut block));
            before.has_intent = false;
        }
    }
    if !block.is_empty() {
        blocks.push(block);
    }
    blocks
}

/// The records of the block behind those `before`, or `None` if no version of this code wrote it.
pub(super) fn decode(before: &mut Before, mut block: &[u8]) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    before.has_intent = false;
    while let Some((tag, rest)) = block.split_first() {
        block = rest;
        match *tag {
            INTENT => records.push(Record::Intent(before.take_full_intent(&mut block)?)),
            OUTCOME => records.push(Record::Outcome(before.take_full_outcome(&mut block)?)),
            GIVEN_UP => records.push(Record::GivenUp(take_varint(&mut block)?)),
            END => {
                let (complete, rest) = block.split_first()?;
                block = rest;
                records.push(Record::End(match complete {
                    0 => End::Stopped,
                    1 => End::Complete,
                    _ => return None,
                }));
            }
            tag => before.take_usual(tag, &mut block, &mut records)?,
        }
    }
    Some(records)
}

impl Before {
    /// When an intent of the stream at `place` is expected to be released.
    fn release_expected(&self, place: &Place) -> u64 {
        // What stands in one block left in one moment.
        if self.has_intent { self.released } else { place.next_moment() }
    }

    /// The intent of this request was written.
    fn intended(&mut self, request: &Request, released: u64) {
        let attempt = request.attempt();
        self.open.push(Waiting { stream: request.stream.0, index: request.index, attempt, released });
        self.streams.go_on(request, released, self.released);
        self.released = released;
        self.has_intent = true;
    }

    /// Says when `request` was sent and answered: how much later than expected.
    fn say_moments(&mut self, request: Waiting, outcome: &Outcome) -> (u64, u64) {
        let (sent, answered) = (micros(outcome.sent), micros(outcome.answered));
        let lag = sent.wrapping_sub(request.released);
        let said = (zigzag(lag, self.lag), zigzag(answered, self.answer_expected(sent)));
        self.was_answered(lag, sent, answered);
        said
    }

    /// When `request` was sent and answered, of which that is said.
    fn moments(&mut self, request: Waiting, (lag, answered): (u64, u64)) -> (u64, u64) {
        let lag = unzigzag(lag, self.lag);
        let sent = request.released.wrapping_add(lag);
        let answered = unzigzag(answered, self.answer_expected(sent));
        self.was_answered(lag, sent, answered);
        (sent, answered)
    }

    /// When a request is expected to be answered that was sent then and waits no more.
    fn answer_expected(&self, sent: u64) -> u64 {
        if self.open.is_empty() {
            sent.wrapping_add(self.waited)
        } else {
            // The last that is known to have happened.
            self.answered.max(self.released)
        }
    }

    fn was_answered(&mut self, lag: u64, sent: u64, answered: u64) {
        self.lag = lag;
        self.waited = answered.wrapping_sub(sent);
        self.answered = answered;
    }

    /// Writes an intent as short as it can be said.
    fn put_intent(&mut self, intent: &Intent, block: &mut Vec<u8>) {
        match self.streams.rank_of_expected(&intent.request) {
            Some(rank) => self.put_usual_intent(rank, intent, block),
            None => self.put_full_intent(intent, block),
        }
    }
}

#[cfg(test)]
mod tests;
