//! What is expected of a row, and what is found in a wrong one.

use generators::event::EventSource;
use generators::{
    event::Properties,
    identity::{EventId, RunId, StreamId},
    workload::{Alteration, Hostile, Restriction},
};
use serde_json::json;

use super::*;
use crate::reconcile::example::{STREAM, odd};

const DAY: i64 = 86_400_000_000;

fn event(ids: &[&str]) -> Event {
    let properties: Properties =
        serde_json::from_value(json!({"price": 1.5, "tags": ["a"], "$set": {"name": "x"}, "nothing": null})).unwrap();
    Event {
        id: EventId { run: RunId::new(1), stream: StreamId(0), seq: 3 },
        name: "purchase".into(),
        name_json: None,
        distinct_id: "u1".into(),
        occurred_micros: 0,
        distinct_id_json: None,
        properties,
        members: Vec::new(),
        others: Vec::new(),
        blobs: Vec::new(),
        oddities: generators::workload::Oddities::default(),
        ids_of_person: ids.iter().map(|id| (*id).to_owned()).collect(),
    }
}

fn attempt(noon_offset_ms: i64) -> AttemptTimes {
    let now = DAY / 2 + noon_offset_ms * 1_000;
    let (timestamp_ms, sent_at_ms) = (Some(5_000), Some(6_000));
    let said = Said { timestamp_ms, offset_ms: None, sent_at_ms, sent_at_in_query: false, ignores_sent_at: false };
    AttemptTimes { said, earliest_micros: now, latest_micros: now + 20_000 }
}

fn row(ids: &[&str]) -> Row {
    Row {
        uuid: event(ids).id.to_uuid(),
        event: "purchase".into(),
        distinct_id: "u1".into(),
        team_id: 2,
        timestamp_micros: DAY / 2 - 1_000_000 + 10_000,
        person_id: Dialect::V2026.person_id(2, "u1").unwrap(),
        properties: r#"{"nothing":null, "price":1.50,"$ip":"127.0.0.1","tags":["a"],"$set":{"other":1}}"#.into(),
        elements_chain: String::new(),
        version: 1,
        shard: 0,
    }
}

fn columns(ids: &[&str], change: impl Fn(&mut Row)) -> Vec<String> {
    let mut row = row(ids);
    change(&mut row);
    let expectation = expect(Dialect::V2026, &event(ids), 2, &[attempt(0)], 0);
    expectation.differences(&row).into_iter().map(|difference| difference.column).collect()
}

#[test]
fn a_right_row_has_no_difference_and_each_wrong_column_is_named() {
    type Change = fn(&mut Row);
    let broken_and_renamed = |row: &mut Row| {
        row.properties = "broken".into();
        row.event = "other".into();
    };
    let cases: [(Change, &[&str]); 14] = [
        (|_| (), &[]),
        (|row| row.event = "purchas".into(), &["event"]),
        (|row| row.distinct_id = "u2".into(), &["distinct_id"]),
        (|row| row.team_id = 3, &["team_id"]),
        (|row| row.person_id = Uuid::nil(), &["person_id"]),
        (|row| row.uuid = Uuid::nil(), &["uuid"]),
        (|row| row.elements_chain = "a:".into(), &["elements_chain"]),
        (|row| row.timestamp_micros += 1_000_000, &["timestamp"]),
        (|row| row.timestamp_micros -= 30_000, &["timestamp"]),
        (|row| row.properties = row.properties.replace("1.50", "\"1.5\""), &["properties.price"]),
        (|row| row.properties = row.properties.replace("\"nothing\":null, ", ""), &["properties.nothing"]),
        (|row| row.properties = row.properties.replace("[\"a\"]", "[]"), &["properties.tags"]),
        (|row| row.properties = "broken".into(), &["properties"]),
        (broken_and_renamed, &["properties", "event"]),
    ];
    for (case, (change, expected)) in cases.into_iter().enumerate() {
        assert_eq!(columns(&["u1"], change), expected, "case {case}");
    }
}

#[test]
fn a_row_made_from_the_expectation_fulfils_it() {
    for ids in [&["u1"][..], &["a1", "u1"]] {
        let expectation = expect(Dialect::V2026, &event(ids), 2, &[attempt(0)], 0);
        assert_eq!(expectation.differences(&expectation.fulfilled().unwrap()), []);
    }
}

/// Every odd event's expectation, with a row that fulfils it.
fn odd_rows() -> impl Iterator<Item = (Event, Expectation, Row)> {
    let workload = odd(2_000);
    (0..2_000).map(move |seq| {
        let event = workload.event(STREAM, seq).unwrap();
        let expectation = expect(Dialect::V2026, &event, 2, &[attempt(0)], 0);
        let row = expectation.fulfilled().unwrap();
        (event, expectation, row)
    })
}

#[test]
fn content_that_hurts_is_expected_as_a_store_can_hold_it() {
    let mut kinds = BTreeMap::new();
    for (event, expectation, row) in odd_rows() {
        let kind = event.oddities.hostile.unwrap();
        assert_eq!(expectation.differences(&row), [], "{kind:?}");
        assert!(row.event.encode_utf16().count() <= 200 && row.distinct_id.chars().count() <= 200, "{kind:?}");
        assert!(!row.event.contains('\0') && !row.properties.contains("\\u0000\""), "{kind:?}");
        // Whatever is lost of it is found missing, and nothing else is.
        for member in event.members.iter().filter(|member| !member.key.starts_with('$')) {
            let name = of_member(Dialect::V2026, member).column;
            let without: BTreeMap<String, &RawValue> = serde_json::from_str(&row.properties).unwrap();
            let key = name.strip_prefix(PROPERTIES).unwrap();
            let without: BTreeMap<_, _> = without.into_iter().filter(|(other, _)| other != key).collect();
            let less = Row { properties: serde_json::to_string(&without).unwrap(), ..row.clone() };
            let columns: Vec<_> = expectation.differences(&less).into_iter().map(|found| found.column).collect();
            assert_eq!(columns, [name]);
        }
        *kinds.entry(kind).or_insert(0) += 1;
    }
    assert_eq!(kinds.len(), Hostile::UNNAMED);
}

#[test]
fn names_and_ids_that_hurt_are_expected_as_a_store_can_hold_them() {
    for kind in [Hostile::HostileName, Hostile::HostileDistinctId] {
        let mut plan = odd(500).plan().clone();
        plan.traffic[0].extras = generators::workload::Extras {
            hostile: generators::random::Share::new(1.0).unwrap(),
            kinds: vec![kind],
            ..Default::default()
        };
        let workload = generators::workload::Workload::new(plan, generators::persona::PersonaTable::make(1, 2));
        let mut seen = [0; 5];
        for event in (0..500).filter_map(|seq| workload.event(STREAM, seq)) {
            let row = expect(Dialect::V2026, &event, 2, &[attempt(0)], 0).fulfilled().unwrap();
            let (sent, stored) = match kind {
                Hostile::HostileName => (&event.name, &row.event),
                _ => (&event.distinct_id, &row.distinct_id),
            };
            assert!(!stored.contains(['\0', '\u{d}']) && stored.chars().count() <= 200, "{stored}");
            assert!(row.event.encode_utf16().count() <= 200);
            let is_half = event.name_json.is_some() || event.distinct_id_json.is_some();
            assert!(!is_half || stored.contains('\u{fffd}') && !stored.contains("\\ude80"), "{stored}");
            let is_long = sent.chars().count() > 200;
            for (seen, is) in seen.iter_mut().zip([
                sent.contains('\0'),
                is_half,
                sent.contains('\u{200d}'),
                sent.contains(['\u{202e}', 'ע']),
                is_long,
            ]) {
                *seen += u64::from(is);
            }
            // Persons are told apart by what is stored.
            if event.ids_of_person.len() == 1 {
                assert_eq!(Some(row.person_id), Dialect::V2026.person_id(2, &row.distinct_id), "{stored}");
            }
        }
        assert!(seen.iter().all(|seen| *seen > 10), "{kind:?}: {seen:?}");
    }
}

#[test]
fn of_what_is_said_twice_the_last_is_expected() {
    let mut event = event(&["u1"]);
    let differences = |event: &Event, properties: &str| {
        let row = Row { properties: properties.to_owned(), ..row(&["u1"]) };
        let found = expect(Dialect::V2021, event, 2, &[attempt(0)], 0).differences(&row);
        found.into_iter().map(|difference| difference.column).collect::<Vec<_>>()
    };
    let merged = format!(r#"{{"{DECOY_PROPERTY}":true,{}"#, &row(&["u1"]).properties[1..]);
    assert!(differences(&event, &merged).is_empty(), "what was not sent is not judged");
    event.oddities.twice = Some(Twice::Properties);
    assert_eq!(differences(&event, &merged), [format!("properties.{DECOY_PROPERTY}")]);
    assert!(differences(&event, &row(&["u1"]).properties).is_empty());
}

#[test]
fn clicked_elements_are_expected_as_a_chain_and_no_longer_among_the_properties() {
    let mut plan = odd(200).plan().clone();
    plan.traffic[0].extras =
        generators::workload::Extras { elements: generators::random::Share::new(1.0).unwrap(), ..Default::default() };
    let workload = generators::workload::Workload::new(plan, generators::persona::PersonaTable::make(1, 2));
    for seq in 0..200 {
        let event = workload.event(STREAM, seq).unwrap();
        let member = event.members.iter().find(|member| member.key.starts_with("$elements")).unwrap();
        let expectation = expect(Dialect::V2026, &event, 2, &[attempt(0)], 0);
        let chain = expectation.columns.iter().find(|column| column.column == "elements_chain").unwrap();
        assert!(
            matches!(&chain.expected, Expected::Exact(chain) if !chain.is_empty()),
            "{chain:?} of {}",
            member.value
        );
        let row = expectation.fulfilled().unwrap();
        let columns = |row: &Row| {
            expectation.differences(row).into_iter().map(|difference| difference.column).collect::<Vec<_>>()
        };
        assert_eq!(columns(&row), [""; 0]);
        let kept = format!("{{\"{}\":{},", member.key, member.value);
        let kept = Row { properties: row.properties.replacen('{', &kept, 1), ..row.clone() };
        assert_eq!(columns(&kept), [format!("properties.{}", member.key)]);
        assert_eq!(columns(&Row { elements_chain: String::new(), ..row }), ["elements_chain"]);
    }
}

#[test]
fn groups_are_found_in_any_of_five_places_and_strangers_never() {
    let grouped = odd_rows().filter(|(event, ..)| event.oddities.grouped);
    let mut count = 0;
    for (_, expectation, row) in grouped {
        let found = |change: &dyn Fn(&str) -> String| {
            let row = Row { properties: change(&row.properties), ..row.clone() };
            expectation.differences(&row).into_iter().map(|found| found.column).collect::<Vec<_>>()
        };
        assert!(row.properties.contains("\"$group_4\":"));
        let none: &[&str] = &[];
        // Five of seven types are there, and these two may change places.
        assert_eq!(
            found(&|text| text.replace("group_0", "g").replace("group_1", "group_0").replace("\"$g\"", "\"$group_1\"")),
            none
        );
        assert_eq!(found(&|text| text.replace("\"$group_0\":\"", "\"$group_0\":\"x")), [GROUPS]);
        assert_eq!(found(&|text| text.replace("$group_0", "$grope_0")), [GROUPS], "one less than must be kept");
        assert_eq!(found(&|text| text.replace("group_0\":\"company-", "group_0\":\"project-")), [GROUPS]);
        count += 1;
    }
    assert!(count > 500);
}

#[test]
fn a_second_sending_may_stand_with_what_it_holds_and_nothing_else() {
    let mut altered = odd_rows().filter(|(event, ..)| event.oddities.altered);
    let (event, expectation, row) = altered.next().unwrap();
    let motto = event.properties["motto"].to_string();
    let with = |text: &str| Row { properties: row.properties.replace(&motto, text), ..row.clone() };
    assert_eq!(expectation.differences(&with("\"altered on its way\"")), []);
    assert_eq!(expectation.differences(&with("\"altered\""))[0].column, "properties.motto");
}

#[test]
fn a_second_sending_with_another_name_has_a_row_of_its_own() {
    let (mut event, ..) = odd_rows().find(|(event, ..)| event.oddities.altered && !event.oddities.no_uuid).unwrap();
    let of = |event: &Event| expect(Dialect::V2026, event, 2, &[attempt(0), attempt(500)], 0);
    let content = of(&event);
    let first = content.fulfilled().unwrap();
    event.oddities.alteration = Alteration::Name;
    let named = of(&event);
    assert_eq!((content.most_rows, named.most_rows), (1, 2));
    let second = Row { event: ALTERED_NAME.to_owned(), ..first.clone() };
    assert_eq!((named.differences(&first), named.differences(&second)), (Vec::new(), Vec::new()));
    assert_eq!(content.differences(&second)[0].column, "event");
    // To the engine they are two rows, which no merge makes one.
    let key = |row: &Row| crate::reconcile::rows::judge_row(row, &named, 2).key;
    assert_ne!(key(&first), key(&second));
    let other = Row { event: "another".into(), ..first };
    assert_eq!(named.differences(&other)[0].column, "event");
}

#[test]
fn where_no_uuid_is_sent_each_attempt_may_leave_a_row() {
    let (event, ..) = odd_rows().find(|(event, ..)| event.oddities.no_uuid).unwrap();
    let expectation = |attempts: &[AttemptTimes]| expect(Dialect::V2026, &event, 2, attempts, 0);
    assert!(expectation(&[]).minted_uuid);
    assert_eq!(expectation(&[attempt(0)]).most_rows, 1);
    assert_eq!(expectation(&[attempt(0), attempt(500)]).most_rows, 2);
}

#[test]
fn an_event_that_no_attempt_may_have_stored_has_no_time() {
    let expectation = expect(Dialect::V2026, &event(&["u1"]), 2, &[], 0);
    assert_eq!(expectation.differences(&row(&["u1"])), []);
}

#[test]
fn a_merged_person_may_be_either_and_no_third() {
    let person = |id: &str| Dialect::V2026.person_id(2, id).unwrap();
    let ids = ["a1", "u1"];
    assert!(columns(&ids, |row| row.person_id = person("a1")).is_empty());
    assert!(columns(&ids, |row| row.person_id = person("u1")).is_empty());
    assert_eq!(columns(&ids, |row| row.person_id = person("b1")), ["person_id"]);
}

#[test]
fn rows_that_may_stay_are_the_days_that_attempts_may_fall_on() {
    let most = |attempts: &[AttemptTimes]| expect(Dialect::V2026, &event(&["u1"]), 2, attempts, 0).most_rows;
    let midnight = 12 * 3_600_000 + 1_000;
    assert_eq!(most(&[attempt(0)]), 1);
    assert_eq!(most(&[attempt(0), attempt(500)]), 1, "resent on one day");
    assert_eq!(most(&[attempt(midnight - 10)]), 1, "one attempt leaves one row, whichever day it is");
    assert_eq!(most(&[attempt(0), attempt(midnight + 500)]), 2, "resent on the next day");
    assert_eq!(most(&[]), 1);
}

#[test]
fn where_no_person_may_come_of_an_event_its_distinct_id_stays_alone() {
    for (restriction, expected) in [
        (Some(Restriction::SkipPersonProcessing), &["person_id"][..]),
        (Some(Restriction::ForcedKey), &["person_id"]),
        (Some(Restriction::ForceOverflow), &[]),
        (None, &[]),
    ] {
        let mut event = event(&["before", "u1"]);
        event.oddities.restriction = restriction;
        let expectation = expect(Dialect::V2026, &event, 2, &[attempt(0)], 0);
        let wrong = |id| {
            let row = Row { person_id: Dialect::V2026.person_id(2, id).unwrap(), ..row(&["before", "u1"]) };
            expectation.differences(&row).into_iter().map(|difference| difference.column).collect::<Vec<_>>()
        };
        assert_eq!((wrong("u1"), wrong("before")), (Vec::new(), expected.iter().map(ToString::to_string).collect()));
    }
}
