#![doc = include_str!("../../../docs/ledger.md")]

mod answer;
mod both;
mod intent;
mod numbers;
mod open;
mod outcome;

use std::ops::Range;

use super::{End, Record};

use self::open::Open;

/// A reply's or an error's text is cut to this many bytes.
pub const TEXT_LIMIT: usize = 200;
/// A block with more bytes is ended, so that no journal record becomes too long.
const BLOCK_LIMIT: usize = 1 << 16;

/// Bits of the tags of intents and outcomes that mean the same in both.
const SAME_STREAM: u8 = 4;
const FIRST_ATTEMPT: u8 = 16;

/// What the next entry is expected to be: what those before it were, in the block and in those before that.
#[derive(Debug, Default)]
pub(super) struct Before {
    intent: Place,
    outcome: Place,
    /// What the next request may send again: as much as the one before, and what follows on that.
    resends: Range<u64>,
    /// Whether no request is expected to send anything again, as in version 3.
    expects_none: bool,
    /// The requests that wait for their outcomes.
    open: Open,
    /// How long after its release the request of the outcome before was sent, in microseconds.
    lag: u64,
    /// When the outcome before was answered, in microseconds.
    answered: u64,
    /// How long after the one before the last intent was released, in microseconds.
    gap: u64,
}

/// Where an entry stands.
#[derive(Debug, Default)]
struct Place {
    stream: u16,
    index: u64,
    /// Which attempt, from 1.
    attempt: u32,
    /// Where its positions end.
    position: u64,
    /// In microseconds.
    moment: u64,
}

/// The blocks that hold `records`, in their order, behind those `before`.
pub(super) fn encode<'a>(before: &mut Before, records: impl IntoIterator<Item = &'a Record>) -> Vec<Vec<u8>> {
    let (mut blocks, mut block) = (Vec::new(), Vec::new());
    let mut records = records.into_iter().peekable();
    while let Some(record) = records.next() {
        match record {
            Record::Intent(intent) => before.put_intent(intent, &mut block),
            Record::Outcome(outcome) => {
                let rank = before.rank(outcome);
                let next = match records.peek() {
                    Some(Record::Intent(next)) => Some(next),
                    _ => None,
                };
                if let Some((rank, next)) = rank.zip(next).filter(|(rank, next)| before.both(*rank, outcome, next)) {
                    before.put_both(rank, outcome, next, &mut block);
                    records.next();
                } else {
                    before.put_outcome(rank, outcome, &mut block);
                }
            }
            Record::End(end) => block.extend_from_slice(&[2, u8::from(*end == End::Complete)]),
        }
        if block.len() > BLOCK_LIMIT {
            blocks.push(std::mem::take(&mut block));
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
    while let Some((tag, rest)) = block.split_first() {
        block = rest;
        let record = match tag & 3 {
            0 => Record::Intent(before.take_intent(*tag, &mut block)?),
            1 => Record::Outcome(before.take_outcome(*tag, &mut block)?),
            // Version 3 had none.
            both::BOTH if !before.expects_none => {
                let (outcome, intent) = before.take_both(*tag, &mut block)?;
                records.push(Record::Outcome(outcome));
                Record::Intent(intent)
            }
            2 if *tag == 2 => {
                let (complete, rest) = block.split_first()?;
                block = rest;
                match complete {
                    0 => Record::End(End::Stopped),
                    1 => Record::End(End::Complete),
                    _ => return None,
                }
            }
            _ => return None,
        };
        records.push(record);
    }
    Some(records)
}

impl Before {
    /// What blocks of version 3 begin with.
    pub(super) fn alone() -> Self {
        Self { expects_none: true, ..Self::default() }
    }

    /// A request that may send so much again was written.
    fn expect_behind(&mut self, resends: &Range<u64>) {
        let length = resends.end - resends.start;
        let is_expected = length > 0 && !self.expects_none;
        self.resends = if is_expected { resends.end..resends.end.saturating_add(length) } else { 0..0 };
    }

    /// The intent that stands at `place` was written.
    fn intended(&mut self, place: Place) {
        self.gap = place.moment.wrapping_sub(self.intent.moment);
        self.open.push(&place);
        self.intent = place;
    }
}

#[cfg(test)]
mod tests;
