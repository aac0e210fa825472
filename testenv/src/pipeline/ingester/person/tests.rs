//! Every row of the contract's merge table, and the rules around it.

use std::convert::Infallible;

use super::*;
use crate::pipeline::{captured::CapturedEvent, ingester::event::normalise};

/// Nothing was before.
struct Nothing;

impl Known for Nothing {
    type Error = Infallible;
    fn id(&mut self, _: i64, _: &str) -> Result<Option<Id>, Infallible> {
        Ok(None)
    }
    fn person(&mut self, _: i64, _: Uuid) -> Result<Option<Person>, Infallible> {
        Ok(None)
    }
    fn ids_of(&mut self, _: i64, _: Uuid) -> Result<Vec<String>, Infallible> {
        Ok(Vec::new())
    }
}

const TEAM: i64 = 2;

/// `NAME ID [PROPERTIES]` events, a story a line.
fn told(persons: &mut Persons, name: &str, distinct_id: &str, properties: &str) -> Belongs {
    let captured = CapturedEvent {
        uuid: "12345678-9a00-80c0-8000-0f4240a632ad".into(),
        distinct_id: distinct_id.to_owned().into(),
        ip: "127.0.0.1".into(),
        data: format!("{{\"properties\":{properties}}}").into(),
        now: "2026-06-01T12:00:00.000Z".into(),
        sent_at: None,
        token: "t".into(),
        event: name.to_owned().into(),
        timestamp: "2026-06-01T12:00:00.000Z".into(),
        historical_migration: false,
        session_id: None,
        is_cookieless_mode: false,
        force_disable_person_processing: false,
    };
    let normalised = normalise(persons.dialect(), &captured, &captured.data, |_, _, _, _| Ok(())).unwrap();
    persons.process(&mut Nothing, TEAM, &normalised).unwrap()
}

fn of(distinct_id: &str) -> Uuid {
    Persons::new(Dialect::V2026).person_id(TEAM, distinct_id)
}

fn id(persons: &Persons, distinct_id: &str) -> Option<(Option<Uuid>, i64)> {
    persons.ids.get(&(TEAM, distinct_id.to_owned())).map(|id| (id.person, id.version))
}

const IDENTIFY: &str = r#"{"$anon_distinct_id":"anon","$set":{"plan":"new"},"$set_once":{"first":"now"}}"#;
const PERSONLESS: &str = r#"{"$process_person_profile":false}"#;

#[test]
fn a_person_id_can_be_told_from_outside() {
    assert_eq!(of("u").to_string(), Uuid::new_v5(&NAMESPACE, b"2:u").to_string());
    let mut persons = Persons::default();
    assert_eq!(told(&mut persons, "e", "u", "{}").person, of("u"));
    assert_eq!(id(&persons, "u"), Some((Some(of("u")), 0)));
}

#[test]
fn neither_exists() {
    let mut persons = Persons::default();
    assert_eq!(told(&mut persons, "$identify", "user", IDENTIFY).person, of("user"));
    assert_eq!(id(&persons, "user"), Some((Some(of("user")), 0)));
    assert_eq!(id(&persons, "anon"), Some((Some(of("user")), 0)));
    assert!(persons.known[&(TEAM, of("user"))].is_identified);

    let mut persons = Persons::default();
    told(&mut persons, "e", "anon", PERSONLESS);
    assert_eq!(told(&mut persons, "$identify", "user", IDENTIFY).person, of("anon"), "only the other was personless");

    let mut persons = Persons::default();
    told(&mut persons, "e", "anon", PERSONLESS);
    told(&mut persons, "e", "user", PERSONLESS);
    assert_eq!(told(&mut persons, "$identify", "user", IDENTIFY).person, of("user"));
    assert_eq!(id(&persons, "anon"), Some((Some(of("user")), 1)), "both were personless: an override");
}

#[test]
fn only_one_exists() {
    let mut persons = Persons::default();
    told(&mut persons, "e", "anon", "{}");
    assert_eq!(told(&mut persons, "$identify", "user", IDENTIFY).person, of("anon"));
    assert_eq!(id(&persons, "user"), Some((Some(of("anon")), 0)));
    assert_eq!(told(&mut persons, "e", "user", "{}").person, of("anon"));

    let mut persons = Persons::default();
    told(&mut persons, "e", "user", "{}");
    told(&mut persons, "e", "anon", PERSONLESS);
    assert_eq!(told(&mut persons, "$identify", "user", IDENTIFY).person, of("user"));
    assert_eq!(id(&persons, "anon"), Some((Some(of("user")), 1)), "it was personless: an override");
}

#[test]
fn both_exist_and_are_one() {
    let mut persons = Persons::default();
    told(&mut persons, "$identify", "user", IDENTIFY);
    assert_eq!(told(&mut persons, "$identify", "user", IDENTIFY).person, of("user"));
    assert_eq!(id(&persons, "anon"), Some((Some(of("user")), 0)));
}

#[test]
fn both_exist_and_are_merged() {
    let mut persons = Persons::default();
    told(&mut persons, "e", "anon", r#"{"$set":{"plan":"old","seen":1}}"#);
    told(&mut persons, "e", "user", r#"{"$set":{"plan":"mine","city":"x"}}"#);
    let belongs = told(&mut persons, "$identify", "user", IDENTIFY);
    assert_eq!(belongs.person, of("user"));
    let texts: Vec<String> = belongs.properties.iter().map(|(key, value)| format!("{key}={}", value.get())).collect();
    assert_eq!(texts[1..], ["city=\"x\"", "first=\"now\"", "plan=\"new\"", "seen=1"]);
    assert_eq!(id(&persons, "anon"), Some((Some(of("user")), 1)));
    assert!(persons.known[&(TEAM, of("anon"))].is_deleted);
    assert!(persons.known[&(TEAM, of("user"))].is_identified);
}

#[test]
fn an_identified_person_is_merged_away_only_dangerously() {
    let identified = || {
        let mut persons = Persons::default();
        told(&mut persons, "$identify", "anon", "{}");
        told(&mut persons, "e", "user", "{}");
        persons
    };
    let mut persons = identified();
    assert_eq!(told(&mut persons, "$identify", "user", IDENTIFY).person, of("user"));
    assert_eq!(id(&persons, "anon"), Some((Some(of("anon")), 0)), "both stay");
    let mut persons = identified();
    told(&mut persons, "$merge_dangerously", "user", r#"{"alias":"anon"}"#);
    assert_eq!(id(&persons, "anon"), Some((Some(of("user")), 1)));
}

#[test]
fn illegal_and_equal_ids_are_not_merged() {
    for other in ["Anonymous", "null", "'undefined'", "[object Object]", "  ", "user"] {
        let mut persons = Persons::default();
        let properties = format!(r#"{{"$anon_distinct_id":{}}}"#, serde_json::to_string(other).unwrap());
        assert_eq!(told(&mut persons, "$identify", "user", &properties).person, of("user"));
        assert_eq!(persons.ids.len(), 1, "{other}");
    }
    assert!(!is_illegal("NULL") && !is_illegal("anonymous-1"));
}

#[test]
fn properties_follow_the_order_of_processing() {
    let mut persons = Persons::default();
    told(&mut persons, "e", "u", r#"{"$set":{"a":1},"$set_once":{"o":1}}"#);
    let belongs = told(&mut persons, "e", "u", r#"{"$set":{"a":2.50},"$set_once":{"o":2},"$unset":["x"]}"#);
    assert_eq!(belongs.properties["a"].get(), "2.50");
    assert_eq!(belongs.properties["o"].get(), "1");
    let belongs = told(&mut persons, "e", "u", r#"{"$unset":["a"]}"#);
    assert!(!belongs.properties.contains_key("a"));
    told(&mut persons, "$exception", "u", r#"{"$set":{"a":3}}"#);
    assert!(!persons.known[&(TEAM, of("u"))].properties.contains_key("a"), "exceptions never change persons");
}

#[test]
fn a_written_person_gets_a_new_version_with_each_change_and_none_without() {
    let mut persons = Persons::default();
    told(&mut persons, "e", "u", r#"{"$set":{"a":1}}"#);
    assert_eq!(persons.changes().persons[0].1.version, 0);
    persons.written();
    told(&mut persons, "e", "u", r#"{"$set":{"a":1}}"#);
    assert!(persons.changes().persons.is_empty());
    told(&mut persons, "e", "u", r#"{"$set":{"a":2}}"#);
    assert_eq!(persons.changes().persons[0].1.version, 1);
}

#[test]
fn without_a_profile_the_event_gets_the_id_and_no_properties() {
    let mut persons = Persons::default();
    let belongs = told(&mut persons, "e", "u", PERSONLESS);
    assert_eq!(belongs.person, of("u"));
    assert!(belongs.properties.is_empty() && persons.known.is_empty());
    told(&mut persons, "e", "w", r#"{"$set":{"a":1}}"#);
    assert!(told(&mut persons, "e", "w", PERSONLESS).properties.is_empty());
}

#[test]
fn the_rules_of_2021() {
    let mut persons = Persons::new(Dialect::V2021);
    let (one, other) = (told(&mut persons, "e", "u1", "{}").person, told(&mut persons, "e", "u2", "{}").person);
    assert_ne!(one, other);
    assert_ne!(one, of("u1"), "drawn at random");
    assert_eq!(told(&mut persons, "e", "u1", "{}").person, one, "and kept");

    told(&mut persons, "$identify", "u2", r#"{"$anon_distinct_id":"a2"}"#);
    told(&mut persons, "$identify", "u1", r#"{"$anon_distinct_id":"u2"}"#);
    assert_eq!(told(&mut persons, "e", "u2", "{}").person, other, "an identified person is not merged away");
    assert_eq!(told(&mut persons, "$create_alias", "u1", r#"{"alias":"u2"}"#).person, one);
    assert_eq!(told(&mut persons, "e", "u2", "{}").person, one, "but by an alias");

    told(&mut persons, "$identify", "u3", r#"{"$anon_distinct_id":"guest"}"#);
    let guest = told(&mut persons, "e", "guest", "{}").person;
    assert_eq!(guest, told(&mut persons, "e", "u3", "{}").person, "only the event's own id was looked at");
}
