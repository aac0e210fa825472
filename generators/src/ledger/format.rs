#![doc = include_str!("../../../docs/ledger.md")]

use std::{ops::Range, time::Duration};

use super::{Answer, End, EventResult, Intent, Outcome, Record};
use crate::{
    identity::StreamId,
    journal::{put_varint, take_varint},
    request::{Request, Retry},
};

/// A reply's or an error's text is cut to this many bytes.
pub const TEXT_LIMIT: usize = 200;
/// A block with more bytes is ended, so that no journal record becomes too long.
const BLOCK_LIMIT: usize = 1 << 16;

/// The kind of an outcome and an intent that are both as expected in everything but their moments.
const BOTH: u8 = 3;
/// How many bits of a moment stand in such an entry's tag, above its kind.
const IN_TAG: u32 = 6;
const SAME_STREAM: u8 = 4;
const NEXT_INDEX: u8 = 8;
const STATUS_200: u8 = 8;
const LAST_INTENT: u8 = 32;
const FIRST_ATTEMPT: u8 = 16;
const NEXT_POSITION: u8 = 32;
const ONE_POSITION: u8 = 64;
const OTHER_RESENDS: u8 = 128;

/// What the next entry is expected to be: what those before it were, in the block and in those before that.
#[derive(Debug, Default)]
pub(super) struct Before {
    intent: Place,
    outcome: Place,
    /// What the next request may send again: as much as the one before, and what follows on that.
    resends: Range<u64>,
    /// Whether no request is expected to send anything again, as in version 3.
    expects_none: bool,
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
                let next = records.next_if(|next| matches!(next, Record::Intent(next) if before.both(outcome, next)));
                match next {
                    Some(Record::Intent(next)) => before.put_both(outcome, next, &mut block),
                    _ => before.put_outcome(outcome, &mut block),
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
            BOTH => {
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

    fn put_intent(&mut self, intent: &Intent, block: &mut Vec<u8>) {
        let before = &self.intent;
        let Intent { request, released } = intent;
        let Range { start, end } = request.positions;
        let (count, resent) = (end - start, request.resends.end - request.resends.start);
        let released = micros(*released);
        let flags = [
            (SAME_STREAM, request.stream.0 == before.stream),
            (NEXT_INDEX, request.index == before.index.wrapping_add(1)),
            (FIRST_ATTEMPT, request.retry.is_none()),
            (NEXT_POSITION, start == before.position),
            (ONE_POSITION, count == 1),
            (OTHER_RESENDS, request.resends != self.resends),
        ];
        let tag = flags.iter().filter(|(_, is_so)| *is_so).fold(0, |tag, (flag, _)| tag | flag);
        block.push(tag);
        let (attempt, due, built) =
            request.retry.map_or((1, 0, 0), |Retry { attempt, due, built }| (attempt, micros(due), micros(built)));
        let fields = [
            (SAME_STREAM, u64::from(request.stream.0)),
            (NEXT_INDEX, request.index),
            (FIRST_ATTEMPT, u64::from(attempt)),
            (FIRST_ATTEMPT, zigzag(due, released)),
            (FIRST_ATTEMPT, zigzag(built, released)),
            (NEXT_POSITION, zigzag(start, before.position)),
            (ONE_POSITION, count),
        ];
        for (_, field) in fields.iter().filter(|(flag, _)| tag & flag == 0) {
            put_varint(block, *field);
        }
        if tag & OTHER_RESENDS != 0 {
            put_varint(block, if resent > 0 { zigzag(request.resends.start, start) } else { 0 });
            put_varint(block, resent);
        }
        put_varint(block, zigzag(released, before.moment));
        if request.retry.is_some() {
            put_only(request.only.as_deref(), block);
        }
        self.expect_behind(&request.resends);
        let (stream, index) = (request.stream.0, request.index);
        self.intent = Place { stream, index, attempt, position: end, moment: released };
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
        self.intent = Place { stream, index, attempt, position: end, moment };
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

    fn put_outcome(&mut self, outcome: &Outcome, block: &mut Vec<u8>) {
        let before = &self.outcome;
        // Where few are under way it is that of the intent that was written last.
        let Place { stream, index, attempt, moment: released, .. } = self.intent;
        let is_last = (outcome.stream.0, outcome.index, outcome.attempt) == (stream, index, attempt);
        let (kind, status, text) = match &outcome.answer {
            Answer::Reply { status, excerpt } => (1, *status, excerpt.as_str()),
            Answer::Results { .. } => (5, 0, ""),
            Answer::TimedOut => (2, 0, ""),
            Answer::Broken { error } => (3, 0, error.as_str()),
            Answer::NeverLeft { error } => (4, 0, error.as_str()),
        };
        let flags = [
            (LAST_INTENT, is_last),
            (SAME_STREAM, is_last || outcome.stream.0 == before.stream),
            (FIRST_ATTEMPT, is_last || outcome.attempt == 1),
            (STATUS_200, status == 200 && text.is_empty()),
        ];
        let tag = flags.iter().filter(|(_, is_so)| *is_so).fold(1, |tag, (flag, _)| tag | flag);
        block.push(tag);
        if tag & SAME_STREAM == 0 {
            put_varint(block, u64::from(outcome.stream.0));
        }
        if !is_last {
            put_varint(block, zigzag(outcome.index, before.index));
        }
        if tag & FIRST_ATTEMPT == 0 {
            put_varint(block, u64::from(outcome.attempt));
        }
        let sent = micros(outcome.sent);
        // It was sent after it was released.
        put_varint(block, if is_last { sent.wrapping_sub(released) } else { zigzag(sent, before.moment) });
        put_varint(block, micros(outcome.answered).saturating_sub(sent));
        if tag & STATUS_200 == 0 {
            block.push(kind);
            if let Answer::Results { exceptions, complete } = &outcome.answer {
                put_results(exceptions, *complete, block);
            } else {
                if kind == 1 {
                    put_varint(block, u64::from(status));
                }
                let text = &text[..text.floor_char_boundary(TEXT_LIMIT)];
                put_varint(block, text.len() as u64);
                block.extend_from_slice(text.as_bytes());
            }
        }
        let Outcome { stream, index, attempt, .. } = *outcome;
        self.outcome = Place { stream: stream.0, index, attempt, position: 0, moment: sent };
    }

    fn take_outcome(&mut self, tag: u8, block: &mut &[u8]) -> Option<Outcome> {
        let before = &self.outcome;
        let (stream, index, attempt, moment) = if tag & LAST_INTENT == 0 {
            let stream = if tag & SAME_STREAM == 0 { u16::try_from(take_varint(block)?).ok()? } else { before.stream };
            let index = unzigzag(take_varint(block)?, before.index);
            let attempt = if tag & FIRST_ATTEMPT == 0 { u32::try_from(take_varint(block)?).ok()? } else { 1 };
            (stream, index, attempt, unzigzag(take_varint(block)?, before.moment))
        } else {
            let Place { stream, index, attempt, moment: released, .. } = self.intent;
            (stream, index, attempt, released.wrapping_add(take_varint(block)?))
        };
        let answered = moment.checked_add(take_varint(block)?)?;
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

    /// Whether nothing has to be said of an outcome and the intent behind it but when.
    fn both(&self, outcome: &Outcome, intent: &Intent) -> bool {
        let Place { stream, index, attempt, position, moment } = self.intent;
        let Intent { request, released } = intent;
        let is_last = (outcome.stream.0, outcome.index, outcome.attempt) == (stream, index, attempt);
        let is_next = request.stream.0 == stream
            && request.index == index.wrapping_add(1)
            && request.positions == (position..position.wrapping_add(1))
            && request.resends == self.resends
            && request.retry.is_none();
        is_last
            && matches!(&outcome.answer, Answer::Reply { status: 200, excerpt } if excerpt.is_empty())
            && is_next
            && micros(*released) >= moment
    }

    fn put_both(&mut self, outcome: &Outcome, intent: &Intent, block: &mut Vec<u8>) {
        let released = self.intent.moment;
        let (sent, next) = (micros(outcome.sent), micros(intent.released));
        let since = sent.wrapping_sub(released);
        block.push(BOTH | (since as u8) << (8 - IN_TAG));
        put_varint(block, since >> IN_TAG);
        put_varint(block, micros(outcome.answered).saturating_sub(sent));
        put_varint(block, next - released);
        self.go_on(sent, next);
    }

    fn take_both(&mut self, tag: u8, block: &mut &[u8]) -> Option<(Outcome, Intent)> {
        let Place { stream, index, attempt, position, moment: released } = self.intent;
        let since = take_varint(block)?.checked_mul(1 << IN_TAG)? | u64::from(tag >> (8 - IN_TAG));
        let sent = released.wrapping_add(since);
        let answered = sent.checked_add(take_varint(block)?)?;
        let next = released.checked_add(take_varint(block)?)?;
        let end = position.checked_add(1)?;
        let resends = self.resends.clone();
        self.go_on(sent, next);
        let outcome = Outcome {
            stream: StreamId(stream),
            index,
            attempt,
            sent: Duration::from_micros(sent),
            answered: Duration::from_micros(answered),
            answer: Answer::Reply { status: 200, excerpt: String::new() },
        };
        let request = Request {
            stream: StreamId(stream),
            index: self.intent.index,
            positions: position..end,
            resends,
            only: None,
            retry: None,
        };
        Some((outcome, Intent { request, released: Duration::from_micros(next) }))
    }

    /// The outcome of the intent before was the one of `sent`, and the next intent follows.
    fn go_on(&mut self, sent: u64, released: u64) {
        self.expect_behind(&self.resends.clone());
        let Place { stream, index, attempt, position, .. } = self.intent;
        self.outcome = Place { stream, index, attempt, position: 0, moment: sent };
        self.intent = Place {
            stream,
            index: index.wrapping_add(1),
            attempt: 1,
            position: position.wrapping_add(1),
            moment: released,
        };
    }
}

fn put_only(only: Option<&[u64]>, block: &mut Vec<u8>) {
    put_varint(block, only.map_or(0, |only| 1 + only.len() as u64));
    let mut before = 0;
    for seq in only.unwrap_or_default() {
        put_varint(block, seq - before);
        before = *seq;
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

fn put_results(exceptions: &[(u64, EventResult)], complete: bool, block: &mut Vec<u8>) {
    block.push(u8::from(complete));
    put_varint(block, exceptions.len() as u64);
    let mut before = 0;
    for (seq, result) in exceptions {
        put_varint(block, zigzag(*seq, before));
        before = *seq;
        block.push(match result {
            EventResult::Drop => 1,
            EventResult::Retry => 2,
            EventResult::Unknown => 3,
        });
    }
}

fn take_results(block: &mut &[u8]) -> Option<Answer> {
    let byte = |block: &mut &[u8]| {
        let (byte, rest) = block.split_first()?;
        *block = rest;
        Some(*byte)
    };
    let complete = match byte(block)? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let count = take_varint(block)?;
    let (mut exceptions, mut before) = (Vec::new(), 0);
    for _ in 0..count {
        before = unzigzag(take_varint(block)?, before);
        let result = match byte(block)? {
            1 => EventResult::Drop,
            2 => EventResult::Retry,
            3 => EventResult::Unknown,
            _ => return None,
        };
        exceptions.push((before, result));
    }
    Some(Answer::Results { exceptions, complete })
}

fn take_answer(block: &mut &[u8]) -> Option<Answer> {
    let (kind, rest) = block.split_first()?;
    *block = rest;
    if *kind == 5 {
        return take_results(block);
    }
    let status = if *kind == 1 { u16::try_from(take_varint(block)?).ok()? } else { 0 };
    let length = usize::try_from(take_varint(block)?).ok()?;
    let (text, rest) = block.split_at_checked(length)?;
    *block = rest;
    let text = String::from_utf8(text.to_vec()).ok()?;
    match kind {
        1 => Some(Answer::Reply { status, excerpt: text }),
        2 => text.is_empty().then_some(Answer::TimedOut),
        3 => Some(Answer::Broken { error: text }),
        4 => Some(Answer::NeverLeft { error: text }),
        _ => None,
    }
}

fn micros(time: Duration) -> u64 {
    time.as_micros() as u64
}

/// How far `number` lies from `from`, small numbers for small distances to both sides.
const fn zigzag(number: u64, from: u64) -> u64 {
    let distance = number.wrapping_sub(from) as i64;
    ((distance << 1) ^ (distance >> 63)) as u64
}

/// The number that lies so far from `from`.
const fn unzigzag(distance: u64, from: u64) -> u64 {
    from.wrapping_add((distance >> 1) ^ (distance & 1).wrapping_neg())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_retry() -> impl Strategy<Value = Option<Retry>> {
        let micros = 0u64..1 << 40;
        prop::option::of((1u32..9, micros.clone(), micros).prop_map(|(attempt, due, built)| Retry {
            attempt,
            due: Duration::from_micros(due),
            built: Duration::from_micros(built),
        }))
    }

    fn any_record() -> impl Strategy<Value = Record> {
        let answer = prop_oneof![
            (100u16..600, ".{0,40}").prop_map(|(status, excerpt)| Answer::Reply { status, excerpt }),
            (prop::collection::vec((0u64..1 << 44, 0usize..3), 0..20), any::<bool>()).prop_map(
                |(exceptions, complete)| {
                    let results = [EventResult::Drop, EventResult::Retry, EventResult::Unknown];
                    let exceptions = exceptions.into_iter().map(|(seq, result)| (seq, results[result])).collect();
                    Answer::Results { exceptions, complete }
                }
            ),
            Just(Answer::TimedOut),
            ".{0,40}".prop_map(|error| Answer::Broken { error }),
            ".{0,40}".prop_map(|error| Answer::NeverLeft { error }),
        ];
        let micros = 0u64..1 << 40;
        prop_oneof![
            (
                (0u16..9, any::<u32>(), any_retry()),
                (0u64..1 << 44, 0u64..200, 0u64..200),
                prop::option::of(prop::collection::btree_set(0u64..1 << 44, 0..9)),
                micros.clone()
            )
                .prop_map(|((stream, index, retry), (first, count, resends), only, released)| {
                    Record::Intent(Intent {
                        request: Request {
                            stream: StreamId(stream),
                            index: index.into(),
                            positions: first..first + count,
                            resends: if resends == 0 { 0..0 } else { first / 2..first / 2 + resends },
                            only: only.filter(|_| retry.is_some()).map(|only| only.into_iter().collect()),
                            retry,
                        },
                        released: Duration::from_micros(released),
                    })
                }),
            (0u16..9, any::<u32>(), 1u32..9, micros.clone(), micros, answer).prop_map(
                |(stream, index, attempt, sent, waited, answer)| Record::Outcome(Outcome {
                    stream: StreamId(stream),
                    index: index.into(),
                    attempt,
                    sent: Duration::from_micros(sent),
                    answered: Duration::from_micros(sent + waited),
                    answer,
                })
            ),
            prop_oneof![Just(End::Complete), Just(End::Stopped)].prop_map(Record::End),
        ]
    }

    proptest! {
        #[test]
        fn reads_what_was_written(records in prop::collection::vec(any_record(), 0..40)) {
            // Appended in two parts.
            let (first, second) = records.split_at(records.len() / 3);
            let mut before = Before::default();
            let blocks = [encode(&mut before, first), encode(&mut before, second)].concat();
            prop_assert!(blocks.iter().all(|block| !block.is_empty()));
            let mut before = Before::default();
            let read: Option<Vec<Vec<Record>>> = blocks.iter().map(|block| decode(&mut before, block)).collect();
            prop_assert_eq!(read.map(|blocks| blocks.concat()), Some(records));
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&mut Before::default(), &bytes);
        }

        #[test]
        fn distances_lead_back(number in any::<u64>(), from in any::<u64>()) {
            prop_assert_eq!(unzigzag(zigzag(number, from), from), number);
        }
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let expected = outcome(Answer::Broken { error: "é".repeat(TEXT_LIMIT / 2) });
        let answered = outcome(Answer::Broken { error: "é".repeat(TEXT_LIMIT) });
        let blocks = encode(&mut Before::default(), &[answered]);
        assert_eq!(decode(&mut Before::default(), &blocks[0]), Some(vec![expected]));
    }

    #[test]
    fn what_is_expected_costs_little() {
        let records: Vec<Record> = (100..200)
            .flat_map(|index| {
                let mut answered = outcome(Answer::Reply { status: 200, excerpt: String::new() });
                if let Record::Outcome(outcome) = &mut answered {
                    outcome.index = index - 37;
                    outcome.sent = Duration::from_micros(index * 100);
                    outcome.answered = Duration::from_micros(index * 100 + 700);
                }
                let request = Request {
                    stream: StreamId(0),
                    index,
                    positions: index..index + 1,
                    resends: 0..0,
                    only: None,
                    retry: None,
                };
                let intent = Record::Intent(Intent { request, released: Duration::from_secs(10) });
                [answered, intent]
            })
            .collect();
        let blocks = encode(&mut Before::default(), &records);
        assert_eq!(
            (blocks.len(), blocks[0].len().div_ceil(100)),
            (1, 9),
            "two for an intent, six and more for an outcome"
        );
    }

    /// Number `index` of single posts, and its outcome.
    fn post(index: u64, released: Duration, sent_after: u64, waited: u64) -> [Record; 2] {
        let request =
            Request { stream: StreamId(0), index, positions: index..index + 1, resends: 0..0, only: None, retry: None };
        let sent = released + Duration::from_micros(sent_after);
        let answered = Outcome {
            stream: StreamId(0),
            index,
            attempt: 1,
            sent,
            answered: sent + Duration::from_micros(waited),
            answer: Answer::Reply { status: 200, excerpt: String::new() },
        };
        [Record::Intent(Intent { request, released }), Record::Outcome(answered)]
    }

    proptest! {
        #[test]
        fn reads_what_was_written_of_one_post_at_a_time(
            posts in prop::collection::vec((0u64..1 << 40, 0u64..1 << 40, 0u64..1 << 40), 1..40),
            strangers in prop::collection::vec((any_record(), 0usize..80), 0..4),
        ) {
            let mut released = Duration::ZERO;
            let mut records: Vec<Record> = (0..).zip(posts).flat_map(|(index, (gap, sent_after, waited))| {
                released += Duration::from_micros(gap);
                post(index, released, sent_after, waited)
            }).collect();
            for (stranger, place) in strangers {
                records.insert(place % records.len(), stranger);
            }
            let mut before = Before::default();
            // In blocks that end between an intent and its outcome, or between an outcome and the next intent.
            let blocks: Vec<Vec<u8>> = records.chunks(3).flat_map(|some| encode(&mut before, some)).collect();
            let mut before = Before::default();
            let read: Option<Vec<Vec<Record>>> = blocks.iter().map(|block| decode(&mut before, block)).collect();
            prop_assert_eq!(read.map(|blocks| blocks.concat()), Some(records));
        }
    }

    #[test]
    fn one_post_at_a_time_costs_a_dozen_bytes() {
        for (a_second, sent_after, waited) in [(4, 90, 900), (60, 8_000, 16_000), (200, 300, 3_000)] {
            let mut before = Before::default();
            let mut last = None;
            let lengths = (0..1_000u64).map(|index| {
                let [intent, answered] =
                    post(index, Duration::from_micros(index * 1_000_000 / a_second + index % 7), sent_after, waited);
                // What was answered waits for the next intent.
                let answered = last.replace(answered);
                let records: Vec<Record> = answered.into_iter().chain([intent]).collect();
                encode(&mut before, &records)[0].len()
            });
            // Beside them a journal's record has its length and its checksum.
            let around = 1 + 4;
            assert!(lengths.skip(1).all(|length| length + around <= 12), "{a_second} a second");
        }
    }

    #[test]
    fn long_blocks_are_parted() {
        let records = vec![outcome(Answer::Broken { error: "x".repeat(TEXT_LIMIT) }); 1_000];
        let blocks = encode(&mut Before::default(), &records);
        assert!(blocks.len() > 2 && blocks.iter().all(|block| block.len() < BLOCK_LIMIT + 2 * TEXT_LIMIT));
        let mut before = Before::default();
        assert_eq!(blocks.iter().filter_map(|block| decode(&mut before, block)).flatten().collect::<Vec<_>>(), records);
    }

    fn outcome(answer: Answer) -> Record {
        Record::Outcome(Outcome {
            stream: StreamId(0),
            index: 0,
            attempt: 1,
            sent: Duration::ZERO,
            answered: Duration::ZERO,
            answer,
        })
    }
}
