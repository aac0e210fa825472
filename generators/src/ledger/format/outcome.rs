//! An outcome that is said in full.

use std::time::Duration;

use super::{Before, OUTCOME};
use crate::{
    identity::StreamId,
    journal::{put_varint, take_varint},
    ledger::{
        Answer, Outcome,
        answer::{put_answer, take_answer},
        numbers::{micros, unzigzag, zigzag},
    },
};

/// Its request is open.
const OPEN: u8 = 1;
/// It is a reply with status 200 and no text.
const STATUS_200: u8 = 2;

/// Whether nothing has to be said of what was answered.
pub(super) fn is_usual(outcome: &Outcome) -> bool {
    matches!(&outcome.answer, Answer::Reply { status: 200, excerpt } if excerpt.is_empty())
}

/// The answer of which nothing has to be said.
pub(super) const fn usual_answer() -> Answer {
    Answer::Reply { status: 200, excerpt: String::new() }
}

impl Before {
    /// Writes the outcome of the open request with that rank, or of one that is not open.
    pub(super) fn put_full_outcome(&mut self, rank: Option<u64>, outcome: &Outcome, block: &mut Vec<u8>) {
        let usual = if is_usual(outcome) { STATUS_200 } else { 0 };
        block.push(OUTCOME);
        if let Some((rank, request)) = rank.and_then(|rank| Some((rank, self.open.take(rank)?))) {
            block.push(OPEN | usual);
            let (lag, answer) = self.say_moments(request, outcome);
            for number in [rank, lag, answer] {
                put_varint(block, number);
            }
        } else {
            block.push(usual);
            let (sent, answered) = (micros(outcome.sent), micros(outcome.answered));
            let whose = [u64::from(outcome.stream.0), outcome.index, u64::from(outcome.attempt)];
            for number in whose.into_iter().chain([sent, zigzag(answered, sent)]) {
                put_varint(block, number);
            }
        }
        if usual == 0 {
            put_answer(&outcome.answer, block);
        }
    }

    /// Takes one, behind its tag.
    pub(super) fn take_full_outcome(&mut self, block: &mut &[u8]) -> Option<Outcome> {
        let (flags, rest) = block.split_first()?;
        *block = rest;
        if flags & !(OPEN | STATUS_200) != 0 {
            return None;
        }
        let (stream, index, attempt, sent, answered) = if flags & OPEN == 0 {
            let stream = u16::try_from(take_varint(block)?).ok()?;
            let (index, attempt) = (take_varint(block)?, u32::try_from(take_varint(block)?).ok()?);
            let sent = take_varint(block)?;
            (stream, index, attempt, sent, unzigzag(take_varint(block)?, sent))
        } else {
            let request = self.open.take(take_varint(block)?)?;
            let said = (take_varint(block)?, take_varint(block)?);
            let (sent, answered) = self.moments(request, said);
            (request.stream, request.index, request.attempt, sent, answered)
        };
        let answer = if flags & STATUS_200 == 0 { take_answer(block)? } else { usual_answer() };
        Some(Outcome {
            stream: StreamId(stream),
            index,
            attempt,
            sent: Duration::from_micros(sent),
            answered: Duration::from_micros(answered),
            answer,
        })
    }
}
