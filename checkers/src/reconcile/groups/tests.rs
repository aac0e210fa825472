//! Groups as they were found, against what the traffic says of them.

use std::collections::BTreeMap;

use generators::{
    clock::RunStart,
    event::EventSource,
    ledger::{Answer, Record},
    persona::PersonaTable,
    workload::GROUP_IDENTIFY,
};

use super::{
    found::{FoundGroups, GroupRow},
    *,
};
use crate::{
    disturbance::Watermark,
    oracle::{
        dialect::Dialect,
        plugin::{Action, Condition, NO_PLUGINS, Plugin, Plugins},
        row::Difference,
    },
    reconcile::{
        evidence::Class,
        example::{STREAM, intent, outcome, sent, whole, workload},
        reads::{Read, Reads},
        rows::{FinalRead, FoundRow, Summary},
    },
    tamper::groups_self_test,
};

const START: RunStart = RunStart::from_unix_micros(1_790_000_000_000_000);
const TEAM: i64 = 1;

/// `events` events, half of which say what one of the groups of so many types is, three of each type.
fn identifying(events: u64, types: u64) -> Workload {
    let mut plan = workload(events).plan().clone();
    let extras = &mut plan.traffic[0].extras;
    extras.group_identify = Share::new(0.5).unwrap();
    (extras.group_types, extras.groups) = (types, 3);
    Workload::new(plan, PersonaTable::make(1, 2))
}

/// Each event was sent and answered within a second of its own, one after the other.
fn orderly(events: u64) -> Vec<Record> {
    let records = (0..events).flat_map(|seq| {
        let answer = Answer::Reply { status: 200, excerpt: String::new() };
        [intent(seq, seq..seq + 1, 0..0), outcome(seq, seq * 1_000, seq * 1_000 + 5, answer)]
    });
    records.collect()
}

/// What a pipeline that keeps the order has in the end: the events of `keep`, one after the other.
fn stored(workload: &Workload, keep: impl Fn(u64) -> bool) -> FoundGroups {
    let mut kinds: Vec<String> = Vec::new();
    let mut groups: BTreeMap<(usize, String), BTreeMap<String, String>> = BTreeMap::new();
    for seq in 0..workload.planned(STREAM) {
        let event = workload.event(STREAM, seq).unwrap();
        let Some(said) = identified(Dialect::V2026, &event).filter(|_| keep(seq)) else { continue };
        let index = kinds.iter().position(|kind| *kind == said.kind).unwrap_or_else(|| {
            kinds.push(said.kind.clone());
            kinds.len() - 1
        });
        if index < 5 {
            groups.entry((index, said.key)).or_default().extend(said.set);
        }
    }
    let mut found = FoundGroups::default();
    for ((index, key), set) in groups {
        let members: Vec<String> = set.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        let properties = format!("{{{}}}", members.join(","));
        found.put(GroupRow { team: TEAM, index: index as u8, key, properties, version: (9, 0) });
    }
    found
}

/// What the traffic says of groups, where every event is visible but those of `missing`, and `odd` ones are not as they must be.
fn said_with(
    workload: &Workload,
    records: Vec<Record>,
    plugins: &Plugins,
    missing: impl Fn(u64) -> bool,
    odd: impl Fn(u64) -> bool,
) -> Groups {
    let mut groups = Groups::of(workload).unwrap();
    with_case(workload, records, plugins, (missing, odd), None, |case| groups.take(case));
    groups
}

fn with_case<T>(
    workload: &Workload,
    records: Vec<Record>,
    plugins: &Plugins,
    (missing, odd): (impl Fn(u64) -> bool, impl Fn(u64) -> bool),
    groups: Option<&Judged>,
    then: impl FnOnce(&Case<'_>) -> T,
) -> T {
    let sent = sent(workload, records);
    let events = workload.planned(STREAM);
    let at = Duration::from_secs(100_000);
    let mut last = FinalRead::begin(whole(workload), Summary { start: at, end: at, ..Summary::default() });
    for seq in (0..events).filter(|seq| !missing(*seq)) {
        let row = FoundRow::plain(START.unix_micros() + seq as i64 * 1_000_000, 1);
        last.put(STREAM, seq, FoundRow { misrouted: odd(seq), ..row });
    }
    let (reads, final_reads) = (Reads::of(whole(workload), &[] as &[Read]), [last]);
    then(&Case {
        dialect: Dialect::V2026,
        plugins,
        workload,
        start: START,
        sent: &sent,
        reads: &reads,
        final_reads: &final_reads,
        stages: None,
        exports: None,
        groups,
        watermark: &Watermark { loss_after: Duration::from_secs(10), ..Watermark::default() },
        visible_within: None,
        // When a row was received is of no matter here.
        clock_tolerance_micros: 3_600_000_000,
    })
}

fn said(workload: &Workload, records: Vec<Record>) -> Groups {
    said_with(workload, records, &NO_PLUGINS, |_| false, |_| false)
}

fn all(judged: &Judged, events: u64) -> Vec<(u64, Difference)> {
    let of = |seq| judged.of(STREAM, seq).iter().map(move |difference| (seq, difference.clone()));
    (0..events).flat_map(of).collect()
}

/// The events that say something of a group, in their order.
fn seqs(workload: &Workload) -> Vec<u64> {
    let says = |seq: &u64| workload.event(STREAM, *seq).unwrap().name == GROUP_IDENTIFY;
    (0..workload.planned(STREAM)).filter(says).collect()
}

/// The last event that says something of each group.
fn last_of_each(workload: &Workload) -> BTreeMap<String, u64> {
    let key = |seq: u64| identified(Dialect::V2026, &workload.event(STREAM, seq).unwrap()).unwrap().key;
    seqs(workload).into_iter().map(|seq| (key(seq), seq)).collect()
}

#[test]
fn what_the_traffic_leaves_is_right() {
    let workload = identifying(200, 3);
    let groups = said(&workload, orderly(200));
    let judged = groups.judge(&stored(&workload, |_| true));
    assert_eq!((judged.count(), all(&judged, 200)), (9, vec![]));
    assert!(judged.strangers().is_empty());
}

#[test]
fn a_lost_update_is_told_of_the_event_that_made_it() {
    let workload = identifying(200, 3);
    let groups = said(&workload, orderly(200));
    let (key, lost) = last_of_each(&workload).pop_first().unwrap();
    let wrong = all(&groups.judge(&stored(&workload, |seq| seq != lost)), 200);
    let [(seq, difference)] = wrong.as_slice() else { panic!("{wrong:?}") };
    assert_eq!(*seq, lost, "{key}");
    assert!(difference.column.starts_with("groups.group_properties."), "{difference:?}");
    // It lost nothing, if it may not have been stored at all.
    let records = |answer: Answer| {
        orderly(200).into_iter().map(move |record| match record {
            Record::Outcome(one) if one.index == lost => outcome(lost, lost * 1_000, lost * 1_000 + 5, answer.clone()),
            record => record,
        })
    };
    for answer in [Answer::TimedOut, Answer::Reply { status: 503, excerpt: String::new() }] {
        let groups = said(&workload, records(answer).collect());
        for kept in [true, false] {
            assert_eq!(all(&groups.judge(&stored(&workload, |seq| kept || seq != lost)), 200), [], "{kept}");
        }
    }
    // What was refused has done nothing.
    let refused = Answer::Reply { status: 401, excerpt: String::new() };
    let of = |is_missing: bool| {
        said_with(
            &workload,
            records(refused.clone()).collect(),
            &NO_PLUGINS,
            |seq| is_missing && seq == lost,
            |_| false,
        )
    };
    assert_eq!(all(&of(true).judge(&stored(&workload, |seq| seq != lost)), 200), []);
    assert_eq!(all(&of(true).judge(&stored(&workload, |_| true)), 200).len(), 1);
    assert_eq!(all(&of(false).judge(&stored(&workload, |_| true)), 200), [], "it is there, which is found by itself");
}

#[test]
fn what_is_wrong_with_an_event_itself_is_not_told_of_its_group() {
    let workload = identifying(200, 3);
    let lost = *last_of_each(&workload).values().next().unwrap();
    let found = stored(&workload, |seq| seq != lost);
    let missing = said_with(&workload, orderly(200), &NO_PLUGINS, |seq| seq == lost, |_| false);
    assert_eq!(all(&missing.judge(&found), 200), [], "it is lost");
    let odd = said_with(&workload, orderly(200), &NO_PLUGINS, |_| false, |seq| seq == lost);
    let judged = odd.judge(&found);
    assert_eq!((judged.count(), all(&judged, 200)), (8, vec![]), "it is not as it must be");
    let plugin = Plugin {
        name: "p".into(),
        teams: Vec::new(),
        when: Condition { events: Vec::new(), property: None, of_a_million: 10 },
        action: Action::Rename { key: "$group_set".into(), to: "other".into() },
    };
    let plugins = Plugins { all: vec![plugin], time_out: Duration::from_secs(1) };
    let changed = said_with(&workload, orderly(200), &plugins, |_| false, |_| false);
    assert_eq!(changed.judge(&found).count(), 0, "a plugin may have changed it");
}

#[test]
fn each_type_has_one_index() {
    let workload = identifying(200, 3);
    let groups = said(&workload, orderly(200));
    let found = stored(&workload, |_| true);
    let rows: Vec<GroupRow> = found.rows().collect();
    let with = |change: &dyn Fn(&mut FoundGroups, &GroupRow)| {
        let mut changed = found.clone();
        change(&mut changed, &rows[4]);
        groups.judge(&changed)
    };
    let place = |row: &GroupRow| (row.team, row.index, row.key.clone());
    let columns =
        |judged: &Judged| all(judged, 200).into_iter().map(|(_, difference)| difference.column).collect::<Vec<_>>();
    let gone = with(&|found, row| found.remove(&place(row)));
    assert_eq!(columns(&gone), ["groups.group_key"]);
    let moved = with(&|found, row| {
        found.remove(&place(row));
        found.put(GroupRow { index: 4, ..row.clone() });
    });
    assert_eq!(columns(&moved), ["groups.group_type_index"]);
    let twice = with(&|found, row| found.put(GroupRow { index: (row.index + 1) % 3, ..row.clone() }));
    assert_eq!(columns(&twice), ["groups.group_type_index"]);
    let elsewhere = with(&|found, row| found.put(GroupRow { team: 3, ..row.clone() }));
    assert_eq!(columns(&elsewhere), ["groups.team_id"]);
    let nobodys = with(&|found, row| found.put(GroupRow { key: "nobody's".into(), ..row.clone() }));
    assert_eq!((columns(&nobodys), nobodys.strangers().len()), (vec![], 1));
    let broken = with(&|found, row| found.put(GroupRow { properties: "[]".into(), version: (10, 0), ..row.clone() }));
    assert_eq!(columns(&broken), ["groups.group_properties"]);
    let more = with(&|found, row| {
        let properties = row.properties.replacen('{', "{\"more\":1,", 1);
        found.put(GroupRow { properties, version: (10, 0), ..row.clone() });
    });
    assert_eq!(columns(&more), ["groups.group_properties.more"]);
    let either = with(&|found, row| found.put(GroupRow { properties: "{}".into(), ..row.clone() }));
    assert_eq!(columns(&either), [""; 0], "which of two rows stays is not known, and one is right");
    // Two types at one index.
    let mut mixed = FoundGroups::default();
    for row in &rows {
        mixed.put(GroupRow { index: row.index.min(1), ..row.clone() });
    }
    assert_eq!(columns(&groups.judge(&mixed)), ["groups.group_type_index"; 3]);
}

#[test]
fn a_sixth_type_may_be_missing_and_no_other() {
    let workload = identifying(600, 7);
    let groups = said(&workload, orderly(600));
    let judged = groups.judge(&stored(&workload, |_| true));
    assert_eq!((judged.count(), all(&judged, 600)), (21, vec![]), "two of seven types have no groups");
    let five = identifying(600, 5);
    let kind = identified(Dialect::V2026, &five.event(STREAM, seqs(&five)[0]).unwrap()).unwrap().kind;
    let without =
        stored(&five, |seq| identified(Dialect::V2026, &five.event(STREAM, seq).unwrap()).unwrap().kind != kind);
    let wrong = all(&said(&five, orderly(600)).judge(&without), 600);
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    assert!(wrong.iter().all(|(_, difference)| difference.column == "groups.group_key"), "{wrong:?}");
}

#[test]
fn a_wrong_group_makes_its_event_wrong() {
    let workload = identifying(200, 3);
    let groups = said(&workload, orderly(200));
    let lost = *last_of_each(&workload).values().next().unwrap();
    let judged = groups.judge(&stored(&workload, |seq| seq != lost));
    let evidence = with_case(&workload, orderly(200), &NO_PLUGINS, (|_| false, |_| false), Some(&judged), |case| {
        let mut judging = crate::reconcile::classify::Judging::new(0, 1, false);
        judging.groups(&judged);
        judging.window(case);
        judging.finish(None)
    });
    assert_eq!((evidence.counts.wrong_group, evidence.correctness.k, evidence.correctness.n), (1, 1, 200));
    let [finding] = evidence.examples[&Class::WrongGroup].as_slice() else { panic!("{evidence:?}") };
    assert!(finding.column.as_ref().unwrap().starts_with("groups.group_properties."), "{finding:?}");
    assert!(evidence.judged_columns.contains(&"groups.group_properties.*".to_owned()));
    assert_eq!(evidence.examples.len(), 1, "and nothing else");
}

#[test]
fn the_self_test_finds_what_it_plants_and_nothing_else() {
    for (events, types) in [(400, 3), (800, 8), (40, 1), (6, 1)] {
        let workload = identifying(events, types);
        let groups = said(&workload, orderly(events));
        let found = stored(&workload, |_| true);
        let judged = groups.judge(&found);
        let tested = groups_self_test(&groups, &found, &judged).unwrap();
        assert!(tested.passed(), "{events} {types}: {tested:?}");
        // What is wrong before is no victim, and no alarm.
        let lost = *last_of_each(&workload).values().next().unwrap();
        let found = stored(&workload, |seq| seq != lost);
        let judged = groups.judge(&found);
        let tested = groups_self_test(&groups, &found, &judged);
        assert!(tested.is_none_or(|tested| tested.passed()), "{events} {types}");
    }
}
