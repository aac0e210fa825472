//! The ledger's bytes.
//!
//! Problems first. (1) The writer may be killed at any byte, so each record must tell by itself whether it is whole:
//! length before, CRC-32 behind. (2) A cut tail is normal and a damaged middle is not; they must be told apart: a record
//! that ends beyond the file is a cut, a checksum that does not fit is damage. (3) Offsets and positions are small and
//! grow: LEB128 keeps them short. (4) A reader must refuse what it does not know: magic and version come first.
//!
//! ```text
//! file    = header record*
//! header  = "ASSAYLGR" version:u32 run:u64 start_micros:i64 crc32:u32            (little endian, 32 bytes)
//! record  = length:varint kind:u8 payload crc32:u32                             (length = kind + payload; crc over both)
//! intent  = 1: stream index attempt first count resend_first resend_count released_micros               (all varint)
//! outcome = 2: stream index attempt sent_micros waited_micros answer:u8 [status:varint] text            (text to the end)
//! end     = 3: complete:u8
//! ```

use std::time::Duration;

use super::{Answer, End, Header, Intent, Outcome, Record};
use crate::{
    clock::RunStart,
    identity::{RunId, StreamId},
};

/// The first bytes of every ledger.
pub const MAGIC: [u8; 8] = *b"ASSAYLGR";
/// The version of this layout.
pub const VERSION: u32 = 1;
/// The header's length in bytes.
pub const HEADER_LENGTH: usize = 32;
/// A reply's or an error's text is cut to this many bytes.
pub const TEXT_LIMIT: usize = 200;

/// What a decoder found at the front of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded<T> {
    /// A whole item, and how many bytes it took.
    Whole(T, usize),
    /// The bytes end before the item does.
    Cut,
    /// The bytes cannot be such an item.
    Damaged(&'static str),
}

/// The header's bytes.
pub fn encode_header(header: Header) -> [u8; HEADER_LENGTH] {
    let mut bytes = [0; HEADER_LENGTH];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..20].copy_from_slice(&header.run.get().to_le_bytes());
    bytes[20..28].copy_from_slice(&header.start.unix_micros().to_le_bytes());
    let crc = crc32fast::hash(&bytes[..28]);
    bytes[28..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads a header from the front of `bytes`.
pub fn decode_header(bytes: &[u8]) -> Decoded<Header> {
    if !MAGIC.starts_with(&bytes[..bytes.len().min(8)]) {
        return Decoded::Damaged("it does not begin as a ledger does");
    }
    let Some(bytes) = bytes.first_chunk::<HEADER_LENGTH>() else { return Decoded::Cut };
    if u32::from_le_bytes(array(&bytes[8..])) != VERSION {
        return Decoded::Damaged("it was written in another version of the format");
    }
    if u32::from_le_bytes(array(&bytes[28..])) != crc32fast::hash(&bytes[..28]) {
        return Decoded::Damaged("the header's checksum does not fit");
    }
    let header = Header {
        run: RunId::new(u64::from_le_bytes(array(&bytes[12..]))),
        start: RunStart::from_unix_micros(i64::from_le_bytes(array(&bytes[20..]))),
    };
    Decoded::Whole(header, HEADER_LENGTH)
}

/// Appends `record` to `into`.
pub fn encode(record: &Record, into: &mut Vec<u8>) {
    let mut body = Vec::with_capacity(48);
    match record {
        Record::Intent(intent) => {
            body.push(1);
            for number in [
                u64::from(intent.stream.0),
                intent.index,
                u64::from(intent.attempt),
                intent.positions.start,
                intent.positions.end - intent.positions.start,
                intent.resends.start,
                intent.resends.end - intent.resends.start,
                intent.released.as_micros() as u64,
            ] {
                put_varint(&mut body, number);
            }
        }
        Record::Outcome(outcome) => {
            body.push(2);
            for number in [
                u64::from(outcome.stream.0),
                outcome.index,
                u64::from(outcome.attempt),
                outcome.sent.as_micros() as u64,
                outcome.answered.saturating_sub(outcome.sent).as_micros() as u64,
            ] {
                put_varint(&mut body, number);
            }
            let text = match &outcome.answer {
                Answer::Reply { status, excerpt } => {
                    body.push(1);
                    put_varint(&mut body, u64::from(*status));
                    excerpt
                }
                Answer::TimedOut => {
                    body.push(2);
                    ""
                }
                Answer::Broken { error } => {
                    body.push(3);
                    error
                }
                Answer::NeverLeft { error } => {
                    body.push(4);
                    error
                }
            };
            body.extend_from_slice(&text.as_bytes()[..text.floor_char_boundary(TEXT_LIMIT)]);
        }
        Record::End(end) => body.extend_from_slice(&[3, u8::from(*end == End::Complete)]),
    }
    put_varint(into, body.len() as u64);
    into.extend_from_slice(&body);
    into.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
}

/// Reads one record from the front of `bytes`.
pub fn decode(bytes: &[u8]) -> Decoded<Record> {
    let mut rest = bytes;
    let length = match take_varint(&mut rest) {
        Ok(length) => length as usize,
        Err(Varint::Cut) => return Decoded::Cut,
        Err(Varint::TooLong) => return Decoded::Damaged("a record's length is no number"),
    };
    // No record comes near this; a length beyond it is damage, not a reason to wait for more bytes.
    if length == 0 || length > 4 * TEXT_LIMIT {
        return Decoded::Damaged("a record's length is impossible");
    }
    let (Some(body), Some(crc)) = (rest.get(..length), rest.get(length..length + 4)) else { return Decoded::Cut };
    if crc32fast::hash(body) != u32::from_le_bytes(array(crc)) {
        return Decoded::Damaged("a record's checksum does not fit");
    }
    match decode_body(body) {
        Some(record) => Decoded::Whole(record, bytes.len() - rest.len() + length + 4),
        None => Decoded::Damaged("a record's content is unknown"),
    }
}

fn decode_body(body: &[u8]) -> Option<Record> {
    let (kind, mut rest) = body.split_first()?;
    let mut number = || take_varint(&mut rest).ok();
    match kind {
        1 => {
            let stream = StreamId(u16::try_from(number()?).ok()?);
            let (index, attempt) = (number()?, u32::try_from(number()?).ok()?);
            let (first, count, resend_first, resend_count) = (number()?, number()?, number()?, number()?);
            Some(Record::Intent(Intent {
                stream,
                index,
                attempt,
                positions: first..first.checked_add(count)?,
                resends: resend_first..resend_first.checked_add(resend_count)?,
                released: Duration::from_micros(number()?),
            }))
        }
        2 => {
            let stream = StreamId(u16::try_from(number()?).ok()?);
            let (index, attempt) = (number()?, u32::try_from(number()?).ok()?);
            let sent = Duration::from_micros(number()?);
            let answered = sent + Duration::from_micros(number()?);
            let (answer, mut rest) = rest.split_first()?;
            let status = if *answer == 1 { u16::try_from(take_varint(&mut rest).ok()?).ok()? } else { 0 };
            let text = String::from_utf8(rest.to_vec()).ok()?;
            let answer = match answer {
                1 => Answer::Reply { status, excerpt: text },
                2 => Answer::TimedOut,
                3 => Answer::Broken { error: text },
                4 => Answer::NeverLeft { error: text },
                _ => return None,
            };
            Some(Record::Outcome(Outcome { stream, index, attempt, sent, answered, answer }))
        }
        3 => match rest {
            [0] => Some(Record::End(End::Stopped)),
            [1] => Some(Record::End(End::Complete)),
            _ => None,
        },
        _ => None,
    }
}

fn put_varint(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

enum Varint {
    Cut,
    TooLong,
}

fn take_varint(bytes: &mut &[u8]) -> Result<u64, Varint> {
    let mut number = 0u64;
    for (place, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            *bytes = &bytes[place + 1..];
            return Ok(number);
        }
    }
    Err(if bytes.len() < 10 { Varint::Cut } else { Varint::TooLong })
}

/// The first `N` bytes; the callers have checked that they are there.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[..N]);
    array
}
