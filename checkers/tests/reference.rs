//! The judge of files against a naive one: maps and loops, written from the definitions and nothing else.
//!
//! The naive judge shares no code with the crate. Random histories hold reordering, resends, late and lost events,
//! flicker, wrong tenants, torn batches, rows that merge, and a watermark in the middle.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use checkers::{
    checks::{Independence, Targets},
    files::{Options, ReadsFile, RowsFile, SentFile, judge},
    judge::Allowances,
};
use proptest::prelude::*;
use serde_json::{Value, json};

type Columns = BTreeMap<String, Value>;

#[derive(Debug, Clone)]
struct Attempt {
    id: String,
    outcome: &'static str,
    sent_at: Option<i64>,
    answered_at: Option<i64>,
    request: Option<String>,
}

#[derive(Debug, Clone)]
struct FoundRow {
    id: String,
    tenant: Option<String>,
    key: Option<String>,
    row: Option<Columns>,
}

#[derive(Debug, Clone)]
struct Read {
    start: i64,
    end: i64,
    ids: Vec<String>,
}

/// What is expected of an id, whatever its attempts.
#[derive(Debug, Clone, Default)]
struct Expected {
    tenant: Option<String>,
    columns: Option<Columns>,
    absent: bool,
}

#[derive(Debug, Clone)]
struct History {
    expected: BTreeMap<String, Expected>,
    attempts: Vec<Attempt>,
    rows: Option<Vec<FoundRow>>,
    reads: Vec<Read>,
    now: Option<i64>,
    loss_after: i64,
}

/// What must come out: the primary class of each id, and the counts that rates are made of.
#[derive(Debug, Default, PartialEq, Eq)]
struct Judged {
    classes: BTreeMap<String, &'static str>,
    pending: u64,
    loss: (u64, u64),
    correctness: Option<(u64, u64)>,
    visible: u64,
    recovered: u64,
    flickers: u64,
    torn: u64,
}

/// A read as the definitions see it: a span of time and what was in it.
struct Seen {
    start: i64,
    end: i64,
    ids: BTreeSet<String>,
}

fn naive(history: &History) -> Judged {
    let mut result = Judged::default();
    // Rows that stay: of those with one key the last.
    let stays: Option<Vec<&FoundRow>> = history.rows.as_ref().map(|rows| {
        rows.iter()
            .enumerate()
            .filter(|(place, row)| row.key.is_none() || !rows[place + 1..].iter().any(|later| later.key == row.key))
            .map(|(_, row)| row)
            .collect()
    });
    let mut reads: Vec<Seen> = history
        .reads
        .iter()
        .map(|read| Seen { start: read.start, end: read.end, ids: read.ids.iter().cloned().collect() })
        .collect();
    reads.sort_by_key(|read| read.start);
    if let Some(stays) = &stays {
        // After every answer and every other read, unless its time is given.
        let at = history.now.unwrap_or(1_000_000_000);
        reads.push(Seen { start: at, end: at, ids: stays.iter().map(|row| row.id.clone()).collect() });
    }
    let last = reads.last().unwrap();
    for (id, expected) in &history.expected {
        let attempts: Vec<&Attempt> = history.attempts.iter().filter(|attempt| attempt.id == *id).collect();
        let has = |outcome: &&str| attempts.iter().any(|attempt| attempt.outcome == *outcome);
        let outcome = ["acked", "indeterminate", "rejected", "unsent"].into_iter().find(has).unwrap();
        let sent_at = attempts.iter().filter(|attempt| attempt.outcome != "unsent").filter_map(|a| a.sent_at).min();
        let acks: Vec<&&Attempt> = attempts.iter().filter(|attempt| attempt.outcome == "acked").collect();
        let unknown = acks.iter().any(|ack| ack.answered_at.is_none());
        let answered_at = if unknown { None } else { acks.iter().filter_map(|ack| ack.answered_at).min() };

        let can_miss = |read: &Seen| answered_at.is_none_or(|answered| read.start >= answered);
        let sees = |read: &Seen| read.ids.contains(id);
        let ever = reads.iter().any(sees);
        let at_last = sees(last);
        let (mut vanished, mut flicker) = (false, false);
        for first in reads.iter().filter(|read| sees(read)) {
            let after: Vec<&Seen> = reads.iter().filter(|read| read.start > first.end).collect();
            let telling: Vec<&&Seen> = after.iter().filter(|read| sees(read) || can_miss(read)).collect();
            vanished |= !telling.is_empty() && telling.iter().all(|read| !sees(read));
            for gone in after.iter().filter(|read| !sees(read) && can_miss(read)) {
                flicker |= reads.iter().any(|back| back.start > gone.end && sees(back));
            }
        }
        let present = outcome == "acked" && !expected.absent;
        let young = match (history.rows.is_some(), history.now, answered_at.or(sent_at)) {
            (true, None, _) | (_, _, None) => false,
            (_, _, Some(from)) => last.start - from < history.loss_after,
        };
        let pending = present && !ever && (young || !reads.iter().any(can_miss));
        let own: Vec<&&FoundRow> = stays.iter().flatten().filter(|row| row.id == *id).collect();
        let misrouted =
            own.iter().any(|row| expected.tenant.is_some() && row.tenant.is_some() && row.tenant != expected.tenant);
        let corrupted = own.iter().any(|row| match (&expected.columns, &row.row) {
            (Some(columns), Some(row)) => columns.iter().any(|(column, value)| row.get(column) != Some(value)),
            _ => false,
        });
        let classes = [
            ("rejected_but_visible", (outcome == "rejected" || outcome == "unsent") && ever),
            ("should_be_absent", expected.absent && ever),
            ("misrouted", misrouted),
            ("vanished", vanished),
            ("lost", present && !ever && !pending),
            ("duplicated", own.len() > 1),
            ("corrupted", corrupted),
            ("flicker", flicker),
        ];
        if let Some((class, _)) = classes.iter().find(|(_, fits)| *fits) {
            result.classes.insert(id.clone(), class);
        }
        result.pending += u64::from(pending);
        if present && !pending {
            result.loss.1 += 1;
            result.loss.0 += u64::from(vanished || !ever);
        }
        if stays.is_some() {
            let (k, n) = result.correctness.get_or_insert_default();
            if (outcome == "acked" || outcome == "indeterminate") && !expected.absent && at_last {
                *n += 1;
                *k += u64::from(misrouted || own.len() > 1 || corrupted);
            }
        }
        result.visible += u64::from(at_last);
        result.recovered += u64::from(outcome == "indeterminate" && at_last);
        result.flickers += u64::from(flicker);
    }
    let in_rows = history.rows.iter().flatten().map(|row| &row.id);
    let in_reads = history.reads.iter().flat_map(|read| &read.ids);
    for id in in_rows.chain(in_reads).filter(|id| !history.expected.contains_key(*id)) {
        result.classes.insert(id.clone(), "phantom");
    }
    let requests: BTreeSet<&String> = history.attempts.iter().filter_map(|attempt| attempt.request.as_ref()).collect();
    for request in requests {
        let of: Vec<&Attempt> = history
            .attempts
            .iter()
            .filter(|attempt| attempt.request.as_ref() == Some(request) && attempt.outcome == "indeterminate")
            .collect();
        let seen = |attempt: &&Attempt| reads.iter().any(|read| read.ids.contains(&attempt.id));
        result.torn += u64::from(of.iter().any(seen) && !of.iter().all(seen));
    }
    result
}

fn lines(values: impl IntoIterator<Item = Value>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join("\n")
}

/// A JSON object without the members that are null.
fn object(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(members.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        other => other,
    }
}

fn fast(history: &History) -> Judged {
    let sent = lines(history.attempts.iter().map(|attempt| {
        let expected = &history.expected[&attempt.id];
        object(json!({
            "id": attempt.id, "outcome": attempt.outcome, "sent_at": attempt.sent_at,
            "answered_at": attempt.answered_at, "request": attempt.request, "tenant": expected.tenant,
            "expect": expected.columns, "expect_absent": expected.absent.then_some("quota"),
        }))
    }));
    let rows = history.rows.as_ref().map(|rows| {
        lines(
            rows.iter().map(|row| object(json!({"id": row.id, "tenant": row.tenant, "key": row.key, "row": row.row}))),
        )
    });
    let reads = lines(history.reads.iter().map(|read| json!({"start": read.start, "end": read.end, "ids": read.ids})));
    let sent = SentFile::read("sent.jsonl", sent.as_bytes()).unwrap();
    let rows = rows.map(|rows| RowsFile::read("rows.jsonl", rows.as_bytes(), &sent).unwrap());
    let reads = ReadsFile::read("reads.jsonl", reads.as_bytes()).unwrap();
    let options = Options {
        now: history.now.map(|now| now * 1_000_000),
        loss_after: Duration::from_secs(history.loss_after as u64),
        targets: Targets {
            loss: 1e-4,
            correctness: 1e-4,
            exported: 1e-4,
            confidence: 0.95,
            independence: Independence::Event,
            p99_time_to_visible: Some(Duration::from_secs(5)),
            may_stop_early: false,
        },
        allowances: Allowances::default(),
        examples: 1_000,
    };
    let verdict = judge(&sent, rows.as_ref(), (!history.reads.is_empty()).then_some(&reads), &options).unwrap();
    let record = &verdict.record;
    let check = |name: &str| record.checks.iter().find(|check| check.name == name).unwrap();
    // Every class is a key, and its ids are as many as its count.
    assert_eq!(verdict.ids.len(), 14);
    for (class, ids) in &verdict.ids {
        assert_eq!(*record.counts.clone().of(*class), ids.len() as u64, "{}", class.name());
    }
    let named = verdict.ids.iter().flat_map(|(class, ids)| ids.iter().map(|id| (id.clone(), class.name())));
    let loss = check("loss");
    Judged {
        classes: named.collect(),
        pending: record.counts.pending,
        loss: (loss.k, loss.n),
        correctness: history.rows.is_some().then(|| (check("correctness").k, check("correctness").n)),
        visible: record.counts.visible,
        recovered: record.counts.recovered,
        flickers: check("flicker").k,
        torn: record.counts.torn_requests,
    }
}

fn mostly<T: std::fmt::Debug + Clone + 'static>(some: impl Strategy<Value = T> + 'static) -> BoxedStrategy<Option<T>> {
    prop_oneof![1 => Just(None), 3 => some.prop_map(Some)].boxed()
}

fn columns() -> impl Strategy<Value = Columns> {
    let value = prop_oneof![Just(json!(1)), Just(json!("x")), Just(json!(null)), Just(json!({"a": [1]}))];
    prop::collection::btree_map(prop_oneof![Just("event".to_owned()), Just("price".to_owned())], value, 0..3)
}

fn named(prefix: &'static str, below: u8) -> impl Strategy<Value = String> {
    (0..below).prop_map(move |number| format!("{prefix}{number}"))
}

fn history() -> impl Strategy<Value = History> {
    let expected = (mostly(named("t", 2)), mostly(columns()), prop::bool::weighted(0.15))
        .prop_map(|(tenant, columns, absent)| Expected { tenant, columns: columns.filter(|_| !absent), absent });
    let outcome = prop::sample::select(vec!["unsent", "rejected", "indeterminate", "acked", "acked", "acked"]);
    let attempt = (named("e", 8), outcome, mostly(0i64..20), mostly(0i64..25), mostly(named("r", 3))).prop_map(
        |(id, outcome, sent_at, answered_at, request)| Attempt { id, outcome, sent_at, answered_at, request },
    );
    // Some ids are nobody's.
    let row = (named("e", 9), mostly(named("t", 2)), mostly(named("k", 12)), mostly(columns()))
        .prop_map(|(id, tenant, key, row)| FoundRow { id, tenant, key, row });
    let read = (0i64..40, 0i64..6, prop::collection::vec(named("e", 9), 0..9)).prop_map(|(start, length, ids)| Read {
        start,
        end: start + length,
        ids,
    });
    (
        prop::collection::vec(expected, 8),
        prop::collection::vec(attempt, 1..16),
        mostly(prop::collection::vec(row, 0..14)),
        prop::collection::vec(read, 0..6),
        mostly(0i64..50),
        0i64..20,
    )
        .prop_map(|(expected, attempts, rows, mut reads, now, loss_after)| {
            if rows.is_none() && reads.is_empty() {
                reads.push(Read { start: 30, end: 31, ids: vec!["e1".into()] });
            }
            let sent: BTreeSet<&String> = attempts.iter().map(|attempt| &attempt.id).collect();
            let all = expected.into_iter().enumerate().map(|(id, expected)| (format!("e{id}"), expected));
            let expected = all.filter(|(id, _)| sent.contains(id)).collect();
            History { expected, attempts, rows, reads, now, loss_after }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_naive_judge_agrees(history in history()) {
        prop_assert_eq!(fast(&history), naive(&history));
    }

    /// Everything acked, in order or not, resent or not, all of it visible in time and once: no finding at all.
    #[test]
    fn clean_histories_raise_nothing(
        events in prop::collection::vec((0i64..10, 0i64..5, 0i64..3, any::<bool>()), 1..12),
        quiet in 0i64..3,
    ) {
        let (mut attempts, mut expected) = (Vec::new(), BTreeMap::new());
        let (mut rows, mut visible) = (Vec::new(), Vec::new());
        for (number, (sent_at, took, later, resent)) in events.iter().enumerate() {
            let id = format!("e{number}");
            let tenant = Some("t".to_owned());
            let columns: Columns = [("event".to_owned(), json!(number))].into();
            for again in 0..=i64::from(*resent) {
                attempts.push(Attempt {
                    id: id.clone(),
                    outcome: "acked",
                    sent_at: Some(sent_at + again),
                    answered_at: Some(sent_at + took + again),
                    request: None,
                });
                let (key, row) = (Some(id.clone()), Some(columns.clone()));
                rows.push(FoundRow { id: id.clone(), tenant: tenant.clone(), key, row });
            }
            visible.push((id.clone(), sent_at + took + later));
            expected.insert(id, Expected { tenant, columns: Some(columns), absent: false });
        }
        let seen = |at: i64| visible.iter().filter(|(_, since)| *since <= at).map(|(id, _)| id.clone()).collect();
        let reads = (0..25).map(|at| Read { start: at, end: at, ids: seen(at) }).collect();
        let history = History { expected, attempts, rows: Some(rows), reads, now: Some(40 + quiet), loss_after: 10 };
        let judged = fast(&history);
        prop_assert!(judged.classes.is_empty() && judged.pending == 0 && judged.flickers == 0, "{:?}", judged);
        prop_assert_eq!(judged.loss, (0, events.len() as u64));
        prop_assert_eq!(judged.correctness, Some((0, events.len() as u64)));
    }
}
