//! What became of a request, where it is not a reply with status 200.

use super::{
    Answer, DropWord, EventResult,
    numbers::{unzigzag, zigzag},
};
use crate::journal::{put_varint, take_varint};

/// A reply's or an error's text is cut to this many bytes.
pub const TEXT_LIMIT: usize = 200;
/// Where the numbers of drops with a word begin.
const WORDS: u8 = 16;

pub(super) fn put_answer(answer: &Answer, block: &mut Vec<u8>) {
    let (kind, text) = match answer {
        Answer::Reply { excerpt, .. } => (1, excerpt.as_str()),
        Answer::TimedOut => (2, ""),
        Answer::Broken { error } => (3, error.as_str()),
        Answer::NeverLeft { error } => (4, error.as_str()),
        Answer::Results { exceptions, complete } => {
            block.push(5);
            return put_results(exceptions, *complete, block);
        }
    };
    block.push(kind);
    if let Answer::Reply { status, .. } = answer {
        put_varint(block, u64::from(*status));
    }
    let text = &text[..text.floor_char_boundary(TEXT_LIMIT)];
    put_varint(block, text.len() as u64);
    block.extend_from_slice(text.as_bytes());
}

fn put_results(exceptions: &[(u64, EventResult)], complete: bool, block: &mut Vec<u8>) {
    block.push(u8::from(complete));
    put_varint(block, exceptions.len() as u64);
    let mut before = 0;
    for (seq, result) in exceptions {
        put_varint(block, zigzag(*seq, before));
        before = *seq;
        block.push(match result {
            EventResult::Drop(word) => word.place().map_or(1, |place| WORDS + place),
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
            1 => EventResult::Drop(DropWord::OTHER),
            2 => EventResult::Retry,
            3 => EventResult::Unknown,
            number => EventResult::Drop(DropWord::at(number.checked_sub(WORDS)?)?),
        };
        exceptions.push((before, result));
    }
    Some(Answer::Results { exceptions, complete })
}

pub(super) fn take_answer(block: &mut &[u8]) -> Option<Answer> {
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
