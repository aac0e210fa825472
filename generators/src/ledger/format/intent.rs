//! An intent, as an entry of a block.

use std::{ops::Range, time::Duration};

use super::{
    Before, FIRST_ATTEMPT, Place, SAME_STREAM,
    numbers::{micros, unzigzag, zigzag},
};
use crate::{
    identity::StreamId,
    journal::{put_varint, take_varint},
    ledger::Intent,
    request::{Request, Retry},
};

const NEXT_INDEX: u8 = 8;
const NEXT_POSITION: u8 = 32;
const ONE_POSITION: u8 = 64;
const OTHER_RESENDS: u8 = 128;

impl Before {
    pub(super) fn put_intent(&mut self, intent: &Intent, block: &mut Vec<u8>) {
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
        self.intended(Place { stream, index, attempt, position: end, moment: released });
    }

    pub(super) fn take_intent(&mut self, tag: u8, block: &mut &[u8]) -> Option<Intent> {
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
