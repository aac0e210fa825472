//! Blocks are read as they were written, and cost what they may.

use proptest::prelude::*;

use std::time::Duration;

use super::*;
use crate::{
    identity::StreamId,
    ledger::{Answer, DropWord, EventResult, TEXT_LIMIT},
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
        (1u64..1 << 40).prop_map(Record::GivenUp),
        prop_oneof![Just(End::Complete), Just(End::Stopped)].prop_map(Record::End),
    ]
}

/// A reader of before knows neither the tag nor a usual entry of that kind, and refuses the ledger: it must not pass by what it
/// does not know. Where nothing was given up, not a byte is other than before.
#[test]
fn what_was_given_up_is_an_entry_of_its_own_before_the_end() {
    let block = |records: &[Record]| encode(&mut Before::default(), records).concat();
    assert_eq!(block(&[Record::End(End::Complete)]), [24, 1]);
    assert_eq!(block(&[Record::GivenUp(3_000), Record::End(End::Complete)]), [72, 0xb8, 0x17, 24, 1]);
    assert_eq!(usual::numbers_behind(GIVEN_UP), None);
    assert_eq!(decode(&mut Before::default(), &[72]), None, "cut off");
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

/// Request `index` of single posts of a stream, by clients that take turns.
fn post(stream: u16, index: u64, released: u64) -> Record {
    const CLIENTS: u64 = 20;
    let resends = index.checked_sub(CLIENTS).map_or(0..0, |before| before..before + 1);
    let positions = index..index + 1;
    let request = Request { stream: StreamId(stream), index, positions, resends, only: None, retry: None };
    Record::Intent(Intent { request, released: Duration::from_micros(released) })
}

fn answered(stream: u16, index: u64, sent: u64, waited: u64) -> Record {
    Record::Outcome(Outcome {
        stream: StreamId(stream),
        index,
        attempt: 1,
        sent: Duration::from_micros(sent),
        answered: Duration::from_micros(sent + waited),
        answer: Answer::Reply { status: 200, excerpt: String::new() },
    })
}

proptest! {
    #[test]
    fn reads_what_was_written_of_several_streams(
        posts in prop::collection::vec(
            (0u16..70, 0usize..4, 1u64..4, 0u64..1 << 40, 0u64..1 << 40, 0u64..1 << 40, 0usize..12),
            1..60,
        ),
        strangers in prop::collection::vec((any_record(), 0usize..100), 0..4),
    ) {
        let (mut released, mut next, mut records) = (0, [0; 70], Vec::new());
        // Up to some others are released before one is answered, and not in the order of its release. Most are of few streams.
        for (number, (any, few, stride, gap, sent_after, waited, overtaken_by)) in posts.into_iter().enumerate() {
            let stream = if few == 0 { any } else { few as u16 };
            let index = &mut next[usize::from(stream)];
            released += gap * u64::from(number % 3 == 0);
            records.extend([
                (2 * number, post(stream, *index, released)),
                (2 * (number + overtaken_by) + 1, answered(stream, *index, released + sent_after, waited)),
            ]);
            *index += stride;
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

#[test]
fn what_is_sent_again_takes_nothing_from_what_is_expected() {
    let mut before = Before::default();
    let mut length = |record: &Record| encode(&mut before, [record]).concat().len();
    (0..30).for_each(|index| _ = length(&post(1, index, 1_000 * index)));
    let mut again = post(1, 3, 29_500);
    if let Record::Intent(intent) = &mut again {
        let retry = Retry { attempt: 2, due: Duration::ZERO, built: Duration::from_millis(1) };
        intent.request.retry = Some(retry);
    }
    assert!(length(&again) > 8);
    assert_eq!(length(&post(1, 30, 30_000)), 1, "nothing but a tag");
}

/// How long replies are waited for, at least, and by how much that differs, in microseconds.
type Replies = (u64, u64);
const PROMPT: Replies = (700, 500);
const SLOW: Replies = (21_000, 9_000);

/// The streams' shares of the traffic, in percent.
const ONE: &[u64] = &[100];
const TWO: &[u64] = &[50, 50];
const THREE: &[u64] = &[60, 30, 10];

/// Traffic of single posts: what of it a sender sends, how often, and how it comes.
#[derive(Debug, Clone, Copy)]
struct Posts {
    streams: &'static [u64],
    /// Of all senders this one has every so many-th request of each stream, …
    shares: u64,
    /// … and so many a second.
    a_second: u64,
    /// Whether they come by chance, and not evenly.
    by_chance: bool,
    replies: Replies,
}

impl Posts {
    /// When what is due of which stream, with its index.
    fn due(self) -> Vec<(u64, u16, u64)> {
        let mut random = 1u64;
        let mut chance = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            -(((random >> 11) as f64 + 1.0) / (1u64 << 53) as f64).ln()
        };
        let mut due = Vec::new();
        for (stream, share) in (0u16..).zip(self.streams) {
            let between = 1e8 / (self.a_second * share) as f64;
            let mut at = between * f64::from(stream) / self.streams.len() as f64;
            for number in 0..POSTS * share / 100 {
                due.push((at as u64, stream, number * self.shares));
                at += if self.by_chance { between * chance() } else { between };
            }
        }
        due.sort_unstable();
        due
    }

    /// What a sender appends at once, which does as `client.rs` does: what is due within a tick leaves together, and outcomes wait
    /// for the next intent, but not longer than a quarter of a second. Or each post leaves alone, whatever is due.
    fn appended(self, tick: u64) -> Vec<Vec<Record>> {
        let (due, mut next, mut waiting) = (self.due(), 0, std::collections::BTreeMap::new());
        let (mut held, mut write_at, mut last, mut appended) = (Vec::new(), None, None, Vec::new());
        loop {
            let release = due.get(next).map(|(at, ..)| last.map_or(*at, |last: u64| (*at).max(last + tick)));
            let write = write_at.or_else(|| waiting.keys().next().map(|(answered, _)| answered + OUTCOMES_WAIT));
            let Some(mut now) = release.into_iter().chain(write).min() else { return appended };
            let is_release = release == Some(now);
            if is_release {
                // A sleeper is late, and not always by the same time.
                now += next as u64 * 7_919 % 300;
            }
            while let Some(first) = waiting.first_entry().filter(|first| first.key().0 <= now) {
                write_at.get_or_insert(first.key().0 + OUTCOMES_WAIT);
                held.push(first.remove());
            }
            let mut records = Vec::new();
            if is_release || write_at.is_some_and(|at| at <= now) {
                records = std::mem::take(&mut held);
                write_at = None;
            }
            let mut released = 0;
            while is_release
                && released < 64
                && let Some((_, stream, index)) = due.get(next).filter(|due| due.0 <= now)
            {
                records.push(post(*stream, *index, now));
                let odd = next as u64 * 104_729 % 1_009;
                let (sent, waited) =
                    (now + 90 + released * 12 + odd / 8, self.replies.0 + odd * self.replies.1 / 1_009);
                waiting.insert((sent + waited, next), answered(*stream, *index, sent, waited));
                (next, released, last) = (next + 1, released + 1, Some(now));
                if tick == 0 {
                    break;
                }
            }
            appended.extend(Some(records).filter(|records| !records.is_empty()));
        }
    }

    /// What one takes in the file, on the average.
    fn bytes_each(self, tick: u64) -> f64 {
        let (mut before, mut chain, mut bytes) = (Before::default(), Chain::new(7), Vec::new());
        for records in self.appended(tick) {
            for block in encode(&mut before, &records) {
                chain.put(&block, &mut bytes);
            }
        }
        bytes.len() as f64 / POSTS as f64
    }
}

const POSTS: u64 = 2_000;
/// As in `client.rs`, in microseconds; outcomes are taken after they have gathered.
const TICK: u64 = 2_000;
const OUTCOMES_WAIT: u64 = 260_000;

/// The table of the page: posts of one stream, two, three of unequal rates, and a share of four of one and of two; in each
/// cell what a post takes where replies are prompt and where they are slow.
#[test]
fn a_post_costs_a_dozen_bytes_at_most() {
    let kinds = [("one", ONE, 1), ("two", TWO, 1), ("three", THREE, 1), ("one, 1/4", ONE, 4), ("two, 1/4", TWO, 4)];
    let (mut tables, mut most) = (Vec::new(), 0.0f64);
    for (by_chance, tick) in [(false, TICK), (true, TICK), (false, 0)] {
        let rows = kinds.map(|(name, streams, shares)| {
            let cells = [10_000, 1_000, 200, 10, 4, 1].map(|a_second| {
                let posts = |replies| Posts { streams, shares, a_second, by_chance, replies };
                let [prompt, slow] = [PROMPT, SLOW].map(|replies| posts(replies).bytes_each(tick));
                most = most.max(prompt).max(slow);
                format!("{prompt:.1} · {slow:.1}")
            });
            format!("| {name} | {} |", cells.join(" | "))
        });
        tables.push(rows.join("\n"));
    }
    let told = tables.join("\n\n");
    assert!(most <= 12.0, "{told}");
    let page = include_str!("../../../../docs/ledger.md");
    assert!(tables.iter().all(|table| page.contains(table)), "the page says something else than\n{told}");
}

#[test]
fn batches_cost_less_than_a_byte_an_event() {
    let (mut before, mut chain, mut bytes) = (Before::default(), Chain::new(7), Vec::new());
    for index in 0..1_000 {
        let first = index * 100;
        let resends = if index == 0 { 0..0 } else { first - 100..first };
        let request =
            Request { stream: StreamId(0), index, positions: first..first + 100, resends, only: None, retry: None };
        let released = index * 10_000 + index * 7_919 % 300;
        let mut records = vec![Record::Intent(Intent { request, released: Duration::from_micros(released) })];
        if let Some(index) = index.checked_sub(1) {
            records.insert(0, answered(0, index, released - 9_900, 4_000 + index * 7_919 % 500));
        }
        for block in encode(&mut before, &records) {
            chain.put(&block, &mut bytes);
        }
    }
    let each = bytes.len() as f64 / 100_000.0;
    assert!(each <= 0.1, "{each}");
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
