//! An outcome, as an entry of a block.

use std::time::Duration;

use super::{
    Before, FIRST_ATTEMPT, Place, SAME_STREAM,
    answer::{put_answer, take_answer},
    numbers::{micros, unzigzag, zigzag},
};
use crate::{
    identity::StreamId,
    journal::{put_varint, take_varint},
    ledger::{Answer, Outcome},
};

const STATUS_200: u8 = 8;
/// It is that of the request that waits longest.
const LONGEST: u8 = 32;
/// It is that of another one that waits.
const WAITS: u8 = 64;

impl Before {
    /// How many of those that wait were released before the one of `outcome`; `None` if it is not among them.
    pub(super) fn rank(&self, outcome: &Outcome) -> Option<u64> {
        self.open.rank(outcome)
    }

    /// Of an outcome of which that much is known, when it was sent and answered, behind what is expected.
    pub(super) fn put_moments(&mut self, lag: u64, outcome: &Outcome, block: &mut Vec<u8>) {
        let answered = micros(outcome.answered);
        put_varint(block, lag);
        put_varint(block, zigzag(answered, self.answer_expected()));
        self.answered = answered;
    }

    /// When one was sent that was released then, and when it was answered.
    pub(super) fn take_moments(&mut self, lag: u64, released: u64, block: &mut &[u8]) -> Option<(u64, u64)> {
        let lag = unzigzag(lag, self.lag);
        self.answered = unzigzag(take_varint(block)?, self.answer_expected());
        self.lag = lag;
        Some((released.wrapping_add(lag), self.answered))
    }

    /// How much later than expected one was sent that was released then.
    pub(super) fn lag(&mut self, released: u64, sent: u64) -> u64 {
        let lag = sent.wrapping_sub(released);
        let later = zigzag(lag, self.lag);
        self.lag = lag;
        later
    }

    /// The last that is known to have happened.
    fn answer_expected(&self) -> u64 {
        self.answered.max(self.intent.moment)
    }

    pub(super) fn put_outcome(&mut self, rank: Option<u64>, outcome: &Outcome, block: &mut Vec<u8>) {
        let is_usual = matches!(&outcome.answer, Answer::Reply { status: 200, excerpt } if excerpt.is_empty());
        let usual = if is_usual { STATUS_200 } else { 0 };
        let sent = micros(outcome.sent);
        if let Some((rank, request)) = rank.and_then(|rank| Some((rank, self.open.take(rank)?))) {
            block.push(1 | usual | if rank == 0 { LONGEST } else { WAITS });
            if rank > 0 {
                put_varint(block, rank);
            }
            let lag = self.lag(request.released, sent);
            self.put_moments(lag, outcome, block);
        } else {
            let before = &self.outcome;
            let is_same = outcome.stream.0 == before.stream;
            let is_first = outcome.attempt == 1;
            let tag = if is_same { SAME_STREAM } else { 0 } | if is_first { FIRST_ATTEMPT } else { 0 };
            block.push(1 | usual | tag);
            if !is_same {
                put_varint(block, u64::from(outcome.stream.0));
            }
            put_varint(block, zigzag(outcome.index, before.index));
            if !is_first {
                put_varint(block, u64::from(outcome.attempt));
            }
            put_varint(block, zigzag(sent, before.moment));
            put_varint(block, micros(outcome.answered).saturating_sub(sent));
        }
        if !is_usual {
            put_answer(&outcome.answer, block);
        }
        let Outcome { stream, index, attempt, .. } = *outcome;
        self.outcome = Place { stream: stream.0, index, attempt, position: 0, moment: sent };
    }

    pub(super) fn take_outcome(&mut self, tag: u8, block: &mut &[u8]) -> Option<Outcome> {
        if self.expects_none && tag & (LONGEST | WAITS) != 0 {
            // Version 3 had neither.
            return None;
        }
        let before = &self.outcome;
        let (stream, index, attempt, moment, answered) = if tag & (LONGEST | WAITS) == 0 {
            let stream = if tag & SAME_STREAM == 0 { u16::try_from(take_varint(block)?).ok()? } else { before.stream };
            let index = unzigzag(take_varint(block)?, before.index);
            let attempt = if tag & FIRST_ATTEMPT == 0 { u32::try_from(take_varint(block)?).ok()? } else { 1 };
            let moment = unzigzag(take_varint(block)?, before.moment);
            (stream, index, attempt, moment, moment.checked_add(take_varint(block)?)?)
        } else {
            let rank = if tag & LONGEST == 0 { take_varint(block)? } else { 0 };
            let request = self.open.take(rank)?;
            let lag = take_varint(block)?;
            let (sent, answered) = self.take_moments(lag, request.released, block)?;
            (request.stream, request.index, request.attempt, sent, answered)
        };
        let answer = if tag & STATUS_200 == 0 {
            take_answer(block)?
        } else {
            Answer::Reply { status: 200, excerpt: String::new() }
        };
        self.outcome = Place { stream, index, attempt, position: 0, moment };
        Some(Outcome {
            stream: StreamId(stream),
            index,
            attempt,
            sent: Duration::from_micros(moment),
            answered: Duration::from_micros(answered),
            answer,
        })
    }
}
