//! Entries that are as expected in everything but their moments: a tag, and numbers behind it.
//!
//! What is small stands in the tag itself: the lowest bits of a number, and a rank below three.

use std::time::Duration;

use super::{Before, outcome::usual_answer};
use crate::{
    identity::StreamId,
    journal::{put_varint, take_varint},
    ledger::{
        Intent, Outcome, Record,
        numbers::{micros, unzigzag, zigzag},
    },
};

/// The kinds, in the lowest bits of the tag.
const BOTH: u8 = 1;
const ANSWERED: u8 = 2;
const RELEASED: u8 = 4;
/// The tag of an intent at the very moment that is expected, without the rank of its stream, …
const PUNCTUAL: u8 = 32;
/// … which stands there, and is one of these.
const PUNCTUAL_RANKS: u64 = 4;
const PUNCTUAL_RANK: u32 = 3;

/// Where each part of a tag stands: from which bit on, and how many.
type Bits = (u32, u32);

const BOTH_STREAM: Bits = (1, 2);
const BOTH_OPEN: Bits = (3, 2);
const BOTH_LAG: Bits = (5, 2);
const BOTH_ANSWER: Bits = (7, 1);

const ANSWERED_OPEN: Bits = (2, 2);
const ANSWERED_LAG: Bits = (4, 2);
const ANSWERED_ANSWER: Bits = (6, 2);

const RELEASED_STREAM: Bits = (3, 2);
const RELEASED_MOMENT: Bits = (5, 3);

/// This rank or a higher one, and how much higher it is stands behind the tag.
const HIGH_RANK: u64 = 3;

/// Which of those entries a tag begins.
enum Usual {
    Both,
    Answered,
    Released,
    /// With the rank of its stream.
    Punctual(u64),
}

impl Usual {
    fn of(tag: u8) -> Option<Self> {
        if tag & 1 == BOTH {
            Some(Self::Both)
        } else if tag & 3 == ANSWERED {
            Some(Self::Answered)
        } else if tag & 7 == RELEASED {
            Some(Self::Released)
        } else {
            let rank = tag.checked_sub(PUNCTUAL)? >> PUNCTUAL_RANK;
            (u64::from(rank) < PUNCTUAL_RANKS).then_some(Self::Punctual(rank.into()))
        }
    }
}

/// How many numbers stand behind a tag, if it is that of such an entry.
pub(super) fn numbers_behind(tag: u8) -> Option<usize> {
    let high = |bits| usize::from(part(tag, bits) == HIGH_RANK);
    Some(match Usual::of(tag)? {
        Usual::Both => 3 + high(BOTH_STREAM) + high(BOTH_OPEN),
        Usual::Answered => 2 + high(ANSWERED_OPEN),
        Usual::Released => 1 + high(RELEASED_STREAM),
        Usual::Punctual(_) => 0,
    })
}

const fn part(tag: u8, (from, count): Bits) -> u64 {
    (tag as u64 >> from) & ((1 << count) - 1)
}

/// What a tag says of a number: its lowest bits.
const fn low(number: u64, (from, count): Bits) -> u8 {
    ((number & ((1 << count) - 1)) << from) as u8
}

fn put_rest(number: u64, (_, count): Bits, block: &mut Vec<u8>) {
    put_varint(block, number >> count);
}

fn take_rest(tag: u8, bits: Bits, block: &mut &[u8]) -> Option<u64> {
    Some(take_varint(block)?.checked_mul(1 << bits.1)? | part(tag, bits))
}

/// What a tag says of a rank.
fn rank_in_tag(rank: u64, bits: Bits) -> u8 {
    low(rank.min(HIGH_RANK), bits)
}

fn put_rank(rank: u64, block: &mut Vec<u8>) {
    if let Some(higher) = rank.checked_sub(HIGH_RANK) {
        put_varint(block, higher);
    }
}

fn take_rank(tag: u8, bits: Bits, block: &mut &[u8]) -> Option<u64> {
    match part(tag, bits) {
        HIGH_RANK => take_varint(block)?.checked_add(HIGH_RANK),
        rank => Some(rank),
    }
}

impl Before {
    /// Writes the usual outcome of the open request with that rank, and the intent behind it with it if that is usual as well:
    /// then it is true.
    pub(super) fn put_usual_outcome(
        &mut self,
        rank: u64,
        outcome: &Outcome,
        next: Option<&Intent>,
        block: &mut Vec<u8>,
    ) -> bool {
        let Some(request) = self.open.take(rank) else { return false };
        let (lag, answer) = self.say_moments(request, outcome);
        let next = next.and_then(|next| Some((self.streams.rank_of_expected(&next.request)?, next)));
        let Some((stream, next)) = next else {
            let tag = rank_in_tag(rank, ANSWERED_OPEN) | low(lag, ANSWERED_LAG) | low(answer, ANSWERED_ANSWER);
            block.push(ANSWERED | tag);
            put_rank(rank, block);
            put_rest(lag, ANSWERED_LAG, block);
            put_rest(answer, ANSWERED_ANSWER, block);
            return false;
        };
        let ranks = rank_in_tag(stream, BOTH_STREAM) | rank_in_tag(rank, BOTH_OPEN);
        block.push(BOTH | ranks | low(lag, BOTH_LAG) | low(answer, BOTH_ANSWER));
        put_rank(stream, block);
        put_rank(rank, block);
        put_rest(lag, BOTH_LAG, block);
        put_rest(answer, BOTH_ANSWER, block);
        let later = self.say_release(stream, next);
        put_varint(block, later);
        true
    }

    /// Writes the intent that the stream with that rank is expected to release.
    pub(super) fn put_usual_intent(&mut self, stream: u64, intent: &Intent, block: &mut Vec<u8>) {
        let later = self.say_release(stream, intent);
        if later == 0 && stream < PUNCTUAL_RANKS {
            block.push(PUNCTUAL + ((stream as u8) << PUNCTUAL_RANK));
            return;
        }
        block.push(RELEASED | rank_in_tag(stream, RELEASED_STREAM) | low(later, RELEASED_MOMENT));
        put_rank(stream, block);
        put_rest(later, RELEASED_MOMENT, block);
    }

    /// Takes the entry that `tag` begins.
    pub(super) fn take_usual(&mut self, tag: u8, block: &mut &[u8], records: &mut Vec<Record>) -> Option<()> {
        match Usual::of(tag)? {
            Usual::Both => {
                let stream = take_rank(tag, BOTH_STREAM, block)?;
                let rank = take_rank(tag, BOTH_OPEN, block)?;
                let said = (take_rest(tag, BOTH_LAG, block)?, take_rest(tag, BOTH_ANSWER, block)?);
                records.push(Record::Outcome(self.usual_outcome(rank, said)?));
                let later = take_varint(block)?;
                records.push(Record::Intent(self.usual_intent(stream, later)?));
            }
            Usual::Answered => {
                let rank = take_rank(tag, ANSWERED_OPEN, block)?;
                let said = (take_rest(tag, ANSWERED_LAG, block)?, take_rest(tag, ANSWERED_ANSWER, block)?);
                records.push(Record::Outcome(self.usual_outcome(rank, said)?));
            }
            Usual::Released => {
                let stream = take_rank(tag, RELEASED_STREAM, block)?;
                let later = take_rest(tag, RELEASED_MOMENT, block)?;
                records.push(Record::Intent(self.usual_intent(stream, later)?));
            }
            Usual::Punctual(stream) => records.push(Record::Intent(self.usual_intent(stream, 0)?)),
        }
        Some(())
    }

    /// Says when what the stream with that rank is expected to release was: how much later than expected.
    fn say_release(&mut self, stream: u64, intent: &Intent) -> u64 {
        let released = micros(intent.released);
        let expected = self.streams.at(stream).map_or(0, |place| self.release_expected(place));
        self.intended(&intent.request, released);
        zigzag(released, expected)
    }

    fn usual_intent(&mut self, stream: u64, later: u64) -> Option<Intent> {
        let place = self.streams.at(stream)?;
        let (request, released) = (place.next_request()?, unzigzag(later, self.release_expected(place)));
        self.intended(&request, released);
        Some(Intent { request, released: Duration::from_micros(released) })
    }

    fn usual_outcome(&mut self, rank: u64, said: (u64, u64)) -> Option<Outcome> {
        let request = self.open.take(rank)?;
        let (sent, answered) = self.moments(request, said);
        Some(Outcome {
            stream: StreamId(request.stream),
            index: request.index,
            attempt: request.attempt,
            sent: Duration::from_micros(sent),
            answered: Duration::from_micros(answered),
            answer: usual_answer(),
        })
    }
}
