//! Blocks are read as they were written, and cost what they may.

use proptest::prelude::*;

use std::time::Duration;

use super::{
    numbers::{unzigzag, zigzag},
    *,
};
use crate::{
    identity::StreamId,
    ledger::{Answer, DropWord, EventResult, Intent, Outcome},
    request::{Request, Retry},
};

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
        (prop::collection::vec((0u64..1 << 44, 0usize..4), 0..20), any::<bool>()).prop_map(|(exceptions, complete)| {
            let drop = |word| EventResult::Drop(DropWord::of(word));
            let results = [drop(""), EventResult::Retry, EventResult::Unknown, drop("event_too_big")];
            let exceptions = exceptions.into_iter().map(|(seq, result)| (seq, results[result])).collect();
            Answer::Results { exceptions, complete }
        }),
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
        (1, 8),
        "two for an intent, six for an outcome whose intent is not known"
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
        posts in prop::collection::vec((0u64..1 << 40, 0u64..1 << 40, 0u64..1 << 40, 0usize..12), 1..40),
        strangers in prop::collection::vec((any_record(), 0usize..80), 0..4),
    ) {
        let mut released = Duration::ZERO;
        // Up to some others are released before one is answered, and not in the order of its release.
        let mut records = Vec::new();
        for (index, (gap, sent_after, waited, overtaken_by)) in posts.into_iter().enumerate() {
            released += Duration::from_micros(gap);
            let [intent, outcome] = post(index as u64, released, sent_after, waited);
            records.extend([(2 * index, intent), (2 * (index + overtaken_by) + 1, outcome)]);
        }
        records.sort_by_key(|(place, _)| *place);
        let mut records: Vec<Record> = records.into_iter().map(|(_, record)| record).collect();
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

/// What a post takes on the average where each is released alone, with what was answered before; how long one waits for its answer
/// jitters by that much. All times in microseconds.
fn bytes_for_one(a_second: u64, sent_after: u64, waited: u64, jitter: u64) -> f64 {
    let posts = 2_000;
    let (mut before, mut bytes, mut waiting) = (Before::default(), 0, Vec::new());
    for index in 0..posts {
        let released = index * 1_000_000 / a_second + index * 7_919 % 300;
        let odd = index * 104_729 % 1_009;
        let [intent, outcome] =
            post(index, Duration::from_micros(released), sent_after + odd / 8, waited + odd * jitter / 1_009);
        waiting.sort_by_key(|(answered, _)| *answered);
        let answered = waiting.partition_point(|(answered, _)| *answered <= released);
        let records: Vec<Record> = waiting.drain(..answered).map(|(_, outcome)| outcome).chain([intent]).collect();
        waiting.push((released + sent_after + odd / 8 + waited + odd * jitter / 1_009, outcome));
        // Beside them a journal's record has its length and its checksum.
        let around = 1 + 4;
        bytes += encode(&mut before, &records).iter().map(|block| block.len() + around).sum::<usize>();
    }
    bytes as f64 / posts as f64
}

#[test]
fn one_post_at_a_time_costs_a_dozen_bytes() {
    for (a_second, sent_after, waited, jitter) in [
        (4, 90, 900, 200),
        (60, 8_000, 16_000, 9_000),
        (200, 300, 3_000, 500),
        // Several wait at once for a pipeline that takes its time, and overtake one another.
        (200, 300, 21_000, 9_000),
        (1_000, 300, 21_000, 9_000),
        (3_000, 300, 40_000, 1_000),
        (30, 300, 90_000, 20_000),
    ] {
        let bytes = bytes_for_one(a_second, sent_after, waited, jitter);
        assert!(bytes <= 12.0, "{bytes} at {a_second} a second, {waited} to be answered");
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
