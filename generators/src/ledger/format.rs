//! The bodies of the ledger's records.
//!
//! ```text
//! intent  = 1: stream index attempt first count resend_first resend_count released_micros               (all varint)
//! outcome = 2: stream index attempt sent_micros waited_micros answer:u8 [status:varint] text            (text to the end)
//! end     = 3: complete:u8
//! ```

use std::time::Duration;

use super::{Answer, End, Intent, Outcome, Record};
use crate::{
    identity::StreamId,
    journal::{put_varint, take_varint},
};

/// A reply's or an error's text is cut to this many bytes.
pub const TEXT_LIMIT: usize = 200;

pub(super) fn encode(record: &Record) -> Vec<u8> {
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
    body
}

/// The record, or `None` if no version of this code wrote it.
pub(super) fn decode(body: &[u8]) -> Option<Record> {
    let (kind, mut rest) = body.split_first()?;
    let mut number = || take_varint(&mut rest);
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
            let status = if *answer == 1 { u16::try_from(take_varint(&mut rest)?).ok()? } else { 0 };
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_record() -> impl Strategy<Value = Record> {
        let answer = prop_oneof![
            (100u16..600, ".{0,40}").prop_map(|(status, excerpt)| Answer::Reply { status, excerpt }),
            Just(Answer::TimedOut),
            ".{0,40}".prop_map(|error| Answer::Broken { error }),
            ".{0,40}".prop_map(|error| Answer::NeverLeft { error }),
        ];
        let micros = 0u64..1 << 40;
        prop_oneof![
            (0u16..9, any::<u32>(), 1u32..9, 0u64..1 << 44, 0u64..200, 0u64..200, micros.clone()).prop_map(
                |(stream, index, attempt, first, count, resends, released)| Record::Intent(Intent {
                    stream: StreamId(stream),
                    index: index.into(),
                    attempt,
                    positions: first..first + count,
                    resends: first..first + resends,
                    released: Duration::from_micros(released),
                })
            ),
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
        fn reads_what_was_written(record in any_record()) {
            prop_assert_eq!(decode(&encode(&record)), Some(record));
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let answer = Answer::Broken { error: "é".repeat(TEXT_LIMIT) };
        let outcome = |answer| {
            Record::Outcome(Outcome {
                stream: StreamId(0),
                index: 0,
                attempt: 1,
                sent: Duration::ZERO,
                answered: Duration::ZERO,
                answer,
            })
        };
        let expected = outcome(Answer::Broken { error: "é".repeat(TEXT_LIMIT / 2) });
        assert_eq!(decode(&encode(&outcome(answer))), Some(expected));
    }
}
