//! An intent that is said in full.

use std::{ops::Range, time::Duration};

use super::{Before, INTENT};
use crate::{
    identity::StreamId,
    journal::{put_varint, take_varint},
    ledger::{
        Intent,
        numbers::{micros, unzigzag, zigzag},
    },
    request::{Request, Retry},
};

/// What is as expected and is not said, …
const SAME_STREAM: u8 = 1;
const NEXT_INDEX: u8 = 2;
/// (the first attempt of the whole request)
const FIRST_ATTEMPT: u8 = 4;
const NEXT_START: u8 = 8;
const SAME_COUNT: u8 = 16;
const NEXT_RESENDS: u8 = 32;
/// … and there is no more than that.
const ALL: u8 = 63;

impl Before {
    /// Writes one.
    pub(super) fn put_full_intent(&mut self, intent: &Intent, block: &mut Vec<u8>) {
        let Intent { request, released } = intent;
        let stream = request.stream.0;
        let place = self.streams.place(stream, self.released);
        let Range { start, end } = request.positions;
        let (count, released) = (end - start, micros(*released));
        let resends = if request.resends.is_empty() { 0..0 } else { request.resends.clone() };
        let flags = [
            (SAME_STREAM, self.streams.latest() == Some(stream)),
            (NEXT_INDEX, request.index == place.next_index()),
            (FIRST_ATTEMPT, request.retry.is_none()),
            (NEXT_START, start == place.next_start()),
            (SAME_COUNT, count == place.count),
            (NEXT_RESENDS, place.next_resends(start).as_ref() == Some(&resends)),
        ];
        let flags = flags.iter().filter(|(_, is_so)| *is_so).fold(0, |flags, (flag, _)| flags | flag);
        block.extend_from_slice(&[INTENT, flags]);
        let (attempt, due, built) =
            request.retry.map_or((1, 0, 0), |Retry { attempt, due, built }| (attempt, micros(due), micros(built)));
        let fields = [
            (SAME_STREAM, u64::from(stream)),
            (NEXT_INDEX, zigzag(request.index, place.index)),
            (FIRST_ATTEMPT, u64::from(attempt)),
            (FIRST_ATTEMPT, zigzag(due, released)),
            (FIRST_ATTEMPT, zigzag(built, released)),
            (NEXT_START, zigzag(start, place.end)),
            (SAME_COUNT, count),
        ];
        for (_, field) in fields.iter().filter(|(flag, _)| flags & flag == 0) {
            put_varint(block, *field);
        }
        if flags & NEXT_RESENDS == 0 {
            put_varint(block, resends.end - resends.start);
            if !resends.is_empty() {
                put_varint(block, zigzag(resends.start, start));
            }
        }
        put_varint(block, zigzag(released, self.release_expected(&place)));
        if request.retry.is_some() {
            put_only(request.only.as_deref(), block);
        }
        self.intended(request, released);
    }

    /// Takes one, behind its tag.
    pub(super) fn take_full_intent(&mut self, block: &mut &[u8]) -> Option<Intent> {
        let (flags, rest) = block.split_first()?;
        *block = rest;
        if flags & !ALL != 0 {
            return None;
        }
        let is_set = |flag| flags & flag != 0;
        let stream =
            if is_set(SAME_STREAM) { self.streams.latest()? } else { u16::try_from(take_varint(block)?).ok()? };
        let place = self.streams.place(stream, self.released);
        let index = if is_set(NEXT_INDEX) { place.next_index() } else { unzigzag(take_varint(block)?, place.index) };
        let retry = if is_set(FIRST_ATTEMPT) {
            None
        } else {
            Some((u32::try_from(take_varint(block)?).ok()?, take_varint(block)?, take_varint(block)?))
        };
        let start = if is_set(NEXT_START) { place.next_start() } else { unzigzag(take_varint(block)?, place.end) };
        let end = start.checked_add(if is_set(SAME_COUNT) { place.count } else { take_varint(block)? })?;
        let resends = if is_set(NEXT_RESENDS) {
            place.next_resends(start)?
        } else {
            match take_varint(block)? {
                0 => 0..0,
                count => {
                    let first = unzigzag(take_varint(block)?, start);
                    first..first.checked_add(count)?
                }
            }
        };
        let released = unzigzag(take_varint(block)?, self.release_expected(&place));
        let only = if retry.is_some() { take_only(block)? } else { None };
        let at = |distance| Duration::from_micros(unzigzag(distance, released));
        let retry = retry.map(|(attempt, due, built)| Retry { attempt, due: at(due), built: at(built) });
        let request = Request { stream: StreamId(stream), index, positions: start..end, resends, only, retry };
        self.intended(&request, released);
        Some(Intent { request, released: Duration::from_micros(released) })
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

/// What [`put_only`] wrote; `None` if it wrote nothing like that.
#[expect(clippy::option_option, reason = "that it holds everything is one thing, and that nobody knows another")]
fn take_only(block: &mut &[u8]) -> Option<Option<Box<[u64]>>> {
    let Some(count) = take_varint(block)?.checked_sub(1) else { return Some(None) };
    let (mut numbers, mut before) = (Vec::new(), 0u64);
    for _ in 0..count {
        before = before.checked_add(take_varint(block)?)?;
        numbers.push(before);
    }
    Some(Some(numbers.into()))
}
