use generators::{
    clock::RunStart,
    ledger::{Answer, Record},
};

use super::*;
use crate::{
    disturbance::Watermark,
    oracle::{
        dialect::Dialect,
        plugin::{Action, Condition, NO_PLUGINS, Plugin, Plugins},
    },
    reconcile::example::{STREAM, intent, outcome, retry, sent, whole, workload},
    reconcile::exports::{Delivery, Exports},
};

const START: RunStart = RunStart::from_unix_micros(1_790_000_000_000_000);

/// A run of `events` events, two in a request, all of them acked, seen and found; `spoiled` are found wrong.
fn result(events: u64, spoiled: impl Fn(u64) -> bool) -> Option<SelfTest> {
    let records = (0..events / 2).flat_map(|index| {
        let answer = Answer::Reply { status: 200, excerpt: String::new() };
        [intent(index, index * 2..index * 2 + 2, 0..0), outcome(index, index * 10, index * 10 + 5, answer)]
    });
    result_of(events, START, records, Duration::from_secs(25), spoiled)
}

/// The same of what these records say, with a final read at `found`.
fn result_of(
    events: u64,
    start: RunStart,
    records: impl IntoIterator<Item = Record>,
    found: Duration,
    spoiled: impl Fn(u64) -> bool,
) -> Option<SelfTest> {
    result_with(&NO_PLUGINS, events, start, records, found, spoiled)
}

/// The same of a run with `plugins`, those among them that export having delivered what they must.
fn result_with(
    plugins: &Plugins,
    events: u64,
    start: RunStart,
    records: impl IntoIterator<Item = Record>,
    found: Duration,
    spoiled: impl Fn(u64) -> bool,
) -> Option<SelfTest> {
    let workload = workload(events);
    let sent = sent(&workload, records);
    let at = Duration::from_secs(20);
    let reads = Reads::of(whole(&workload), &[Read { start: at, end: at, new: vec![(STREAM, (0..events).collect())] }]);
    let summary = Summary { start: found, end: found + Duration::from_secs(1), ..Summary::default() };
    let mut last = FinalRead::begin(whole(&workload), summary);
    for seq in 0..events {
        // Events happen at one a second, and are sent one after the other at once.
        let late =
            Duration::from_micros(seq / 2 * 10_000 + 2_500).as_micros() as i64 - i64::from(seq % 2 == 0) * 1_000_000;
        let row = FoundRow::plain(start.unix_micros() + late, 1);
        last.put(STREAM, seq, FoundRow { misrouted: spoiled(seq), ..row });
    }
    let (final_reads, exporting) = ([last], plugins.exporting().count());
    let case = Case {
        dialect: Dialect::V2026,
        plugins,
        workload: &workload,
        start,
        sent: &sent,
        reads: &reads,
        final_reads: &final_reads,
        stages: None,
        exports: None,
        groups: None,
        // More than the age of any event, so that a planted loss must not be taken for a pending event.
        watermark: &Watermark { loss_after: Duration::from_mins(1), ..Watermark::default() },
        visible_within: None,
        clock_tolerance_micros: 0,
    };
    if exporting == 0 {
        return self_test(&case);
    }
    let mut exports = Exports::new(whole(&workload), exporting, true);
    for seq in 0..events {
        let rules = case.export_rules(STREAM, seq).into_iter().enumerate();
        for (plugin, _) in rules.filter(|(_, rule)| *rule == Some(true)) {
            exports.add(Delivery { plugin: plugin as u8, stream: STREAM, seq, differences: Vec::new() });
        }
    }
    self_test(&Case { exports: Some(&exports), ..case })
}

/// A first attempt without an answer may have been stored at any time until now, and on another day than its retry.
#[test]
fn it_is_not_blind_where_attempts_leave_time_and_day_open() {
    let hour_before_midnight = RunStart::from_unix_micros(20_000 * 86_400_000_000 - 3_600_000_000);
    let records = (0..200).flat_map(|index| {
        let positions = index * 2..index * 2 + 2;
        let due = index * 2_000 + 1_000;
        let answer = Answer::Reply { status: 200, excerpt: String::new() };
        let at = index * 10;
        let first = [intent(index, positions.clone(), 0..0), outcome(index, at, at + 5, Answer::TimedOut)];
        first.into_iter().chain(retry((index, 2), positions, (due, due), (at + 9, at + 12), answer))
    });
    let result = result_of(400, hour_before_midnight, records, Duration::from_hours(2), |_| false).unwrap();
    assert_eq!(result, SelfTest { planted: 54, found: 54, false_alarms: 0, missed: BTreeMap::new() });
}

#[test]
fn all_that_is_planted_is_found_and_nothing_else() {
    let result = result(400, |_| false).unwrap();
    assert_eq!(result, SelfTest { planted: 54, found: 54, false_alarms: 0, missed: BTreeMap::new() });
    assert!(result.passed());
}

#[test]
fn deliveries_are_tampered_with_where_plugins_export() {
    let records = (0..200).flat_map(|index| {
        let answer = Answer::Reply { status: 200, excerpt: String::new() };
        [intent(index, index * 2..index * 2 + 2, 0..0), outcome(index, index * 10, index * 10 + 5, answer)]
    });
    let exporting = |of_a_million| {
        let when = Condition { events: Vec::new(), property: None, of_a_million };
        let plugin = Plugin { name: "crm".into(), teams: Vec::new(), when, action: Action::Export };
        let plugins = Plugins { all: vec![plugin], time_out: Duration::ZERO };
        let found = Duration::from_mins(2);
        result_with(&plugins, 400, START, records.clone(), found, |_| false).unwrap()
    };
    // Not exported, wrongly exported and, where some events are not to be, exported by mistake: six of each beside the others.
    for (of_a_million, planted) in [(500_000, 54 + 18), (1_000_000, 54 + 12)] {
        let expected = SelfTest { planted, found: planted, false_alarms: 0, missed: BTreeMap::new() };
        assert_eq!(exporting(of_a_million), expected, "{of_a_million}");
    }
}

#[test]
fn it_takes_clean_events_only_and_as_many_as_there_are() {
    let half = result(400, |seq| seq.is_multiple_of(2)).unwrap();
    assert!(half.passed(), "{half:?}");
    let few = result(40, |_| false).unwrap();
    assert_eq!((few.planted, few.found, few.false_alarms), (18, 18, 0));
    assert_eq!(result(16, |_| false), None, "too few for one of each class");
    assert_eq!(result(400, |_| true), None);
}

#[test]
fn self_tests_of_several_windows_are_one() {
    let good = SelfTest { planted: 54, found: 54, false_alarms: 0, missed: BTreeMap::new() };
    let bad = SelfTest { found: 53, false_alarms: 2, missed: BTreeMap::from([(Class::Lost, 1)]), ..good.clone() };
    let both = good.clone().and(&bad).and(&bad);
    assert_eq!((both.planted, both.found, both.false_alarms, both.missed[&Class::Lost]), (162, 160, 4, 2));
    assert!(!both.passed() && good.clone().and(&good).passed());
    assert!(!good.clone().and(&SelfTest::crashed()).passed() && !SelfTest::crashed().and(&good).passed());
}

#[test]
fn a_judge_that_misses_or_invents_cannot_be_believed() {
    let good = SelfTest { planted: 54, found: 54, false_alarms: 0, missed: BTreeMap::new() };
    assert!(!SelfTest { found: 53, ..good.clone() }.passed());
    assert!(!SelfTest { false_alarms: 1, ..good.clone() }.passed());
    assert!(!SelfTest { planted: 0, found: 0, ..good }.passed());
}
