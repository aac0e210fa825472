//! Ledgers of the versions before, read.
//!
//! Of versions 3, 5 and 6; their file is a [journal](crate::journal) as any other, and its records are blocks of entries:
//!
//! ```text
//! block    = entry+                                                        (numbers are varint; ± are zigzag: −1 is 1, 1 is 2)
//! entry    = tag:u8 fields                                                 (the two lowest bits of the tag are the kind)
//! intent   = 0: [stream] [index] [attempt due ± built ±] [start ±] [count] [resend_start ± resend_count] released ± [only]
//! outcome  = 1: ([stream] index ± [attempt] sent ± waited | [rank] lag ± answered ±) [answer]
//! end      = 2: complete:u8
//! both     = 3: lag answered ± gap ±
//! ```
//!
//! | bit of an intent's tag | set | else |
//! |---|---|---|
//! | 4 | the stream of the intent before | `stream` |
//! | 8 | the index after that one's | `index` |
//! | 16 | attempt 1 of the whole request | `attempt`, and from `released`, when the first was due and when its bytes were built; `only` |
//! | 32 | its positions begin where that one's end | `start`, from there |
//! | 64 | one position | `count` |
//! | 128 | where what may be sent again begins, from `start`, and how much it is | as much as by the intent before, and what follows on that; nothing, if that was nothing |
//!
//! `released` counts from the intent before. Bits 4 and 16 of an outcome's tag mean the same, from the outcome before; 8 means
//! a reply with status 200 and no text; `index` and `sent` count from that outcome, and `waited` from `sent`. Bit 32 means the
//! first of the open requests, and bit 64 the one with `rank` others before it; then `lag`, how long after its release it was
//! sent, counts from that of the outcome of an open one before, and `answered` from the later of when that one was answered
//! and when the last intent was released. A *both* is the outcome of an open request, with `rank` in three bits of the tag and
//! the lowest three of `lag` above them, and an intent that is as expected; `gap` counts from the gap before it.
//!
//! One of version 5 never says why an event was dropped. In one of version 3 each block expects what stands before the first of
//! a file, neither bit 32 nor 64 of an outcome's tag is ever set, without bit 128 of an intent's nothing may be sent again, and
//! there is no *both*.

use std::{ops::Range, time::Duration};

use super::{
    Answer, End, Intent, Outcome, Record,
    answer::take_answer,
    numbers::{micros, unzigzag},
    open::{Open, Waiting},
};
use crate::{
    identity::StreamId,
    journal::take_varint,
    request::{Request, Retry},
};

/// Bits of the tags of intents and outcomes that mean the same in both.
const SAME_STREAM: u8 = 4;
const FIRST_ATTEMPT: u8 = 16;

/// Bits of intents' tags.
const NEXT_INDEX: u8 = 8;
const NEXT_POSITION: u8 = 32;
const ONE_POSITION: u8 = 64;
const OTHER_RESENDS: u8 = 128;

/// Bits of outcomes' tags: a reply with status 200, …
const STATUS_200: u8 = 8;
/// … to the request that waits longest, …
const LONGEST: u8 = 32;
/// … or to another one that waits.
const WAITS: u8 = 64;

/// The kind of an outcome and an intent that are both as expected.
const BOTH: u8 = 3;
/// Where in its tag, above its kind, stands how many wait longer than the outcome's request, in three bits.
const RANK: u32 = 2;
/// Where stand as many of the lowest bits of how much later than expected that was sent.
const LAG: u32 = 5;
const THREE_BITS: u64 = 7;

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

/// The records of the block behind those `before`, or `None` if no version of this code wrote it.
pub(super) fn decode(before: &mut Before, mut block: &[u8]) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    while let Some((tag, rest)) = block.split_first() {
        block = rest;
        let record = match tag & 3 {
            0 => Record::Intent(before.take_intent(*tag, &mut block)?),
            1 => Record::Outcome(before.take_outcome(*tag, &mut block)?),
            // Version 3 had none.
            BOTH if !before.expects_none => {
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

    /// A request that may send so much again was read.
    fn expect_behind(&mut self, resends: &Range<u64>) {
        let length = resends.end - resends.start;
        let is_expected = length > 0 && !self.expects_none;
        self.resends = if is_expected { resends.end..resends.end.saturating_add(length) } else { 0..0 };
    }

    /// The intent that stands at `place` was read.
    fn intended(&mut self, place: Place) {
        let Place { stream, index, attempt, moment, .. } = place;
        self.gap = moment.wrapping_sub(self.intent.moment);
        self.open.push(Waiting { stream, index, attempt, released: moment });
        self.intent = place;
    }

    fn take_intent(&mut self, tag: u8, block: &mut &[u8]) -> Option<Intent> {
        let before = &self.intent;
        let mut field = |flag: u8, expected: u64| {
            if tag & flag == 0 { take_varint(block) } else { Some(expected) }
        };
        let stream = u16::try_from(field(SAME_STREAM, u64::from(before.stream))?).ok()?;
        let index = field(NEXT_INDEX, before.index.wrapping_add(1))?;
        let attempt = u32::try_from(field(FIRST_ATTEMPT, 1)?).ok()?;
        let since = (field(FIRST_ATTEMPT, 0)?, field(FIRST_ATTEMPT, 0)?);
        let start = unzigzag(field(NEXT_POSITION, 0)?, before.position);
        let end = start.checked_add(field(ONE_POSITION, 1)?)?;
        let resends = if tag & OTHER_RESENDS == 0 {
            self.resends.clone()
        } else {
            let first = unzigzag(take_varint(block)?, start);
            match take_varint(block)? {
                0 => 0..0,
                length => first..first.checked_add(length)?,
            }
        };
        let moment = unzigzag(take_varint(block)?, self.intent.moment);
        self.expect_behind(&resends);
        self.intended(Place { stream, index, attempt, position: end, moment });
        let at = |distance| Duration::from_micros(unzigzag(distance, moment));
        let retry = (tag & FIRST_ATTEMPT == 0).then(|| Retry { attempt, due: at(since.0), built: at(since.1) });
        let count = if retry.is_some() { take_varint(block)? } else { 0 };
        let only = match count.checked_sub(1) {
            Some(count) => Some(take_rising(count, block)?),
            None => None,
        };
        let request = Request { stream: StreamId(stream), index, positions: start..end, resends, only, retry };
        Some(Intent { request, released: Duration::from_micros(moment) })
    }

    /// When one was sent that was released then, and when it was answered.
    fn take_moments(&mut self, lag: u64, released: u64, block: &mut &[u8]) -> Option<(u64, u64)> {
        let lag = unzigzag(lag, self.lag);
        self.answered = unzigzag(take_varint(block)?, self.answer_expected());
        self.lag = lag;
        Some((released.wrapping_add(lag), self.answered))
    }

    /// The last that is known to have happened.
    fn answer_expected(&self) -> u64 {
        self.answered.max(self.intent.moment)
    }

    fn take_outcome(&mut self, tag: u8, block: &mut &[u8]) -> Option<Outcome> {
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

    fn take_both(&mut self, tag: u8, block: &mut &[u8]) -> Option<(Outcome, Intent)> {
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

    /// This outcome was read, and the next intent follows.
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

/// So many numbers, each of which says how far it lies from the one before.
fn take_rising(count: u64, block: &mut &[u8]) -> Option<Box<[u64]>> {
    let (mut numbers, mut before) = (Vec::new(), 0u64);
    for _ in 0..count {
        before = before.checked_add(take_varint(block)?)?;
        numbers.push(before);
    }
    Some(numbers.into())
}

#[cfg(test)]
mod tests;
