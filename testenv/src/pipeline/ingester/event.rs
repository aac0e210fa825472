//! A captured event → what is stored of it: the rules of normalisation (nodejs/src/ingestion, dialect 2026).
//!
//! Property values keep their source text: nothing passes through a float.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use super::{elements::take_chain, group::has_long_key, warning::Kind};
use crate::pipeline::{
    captured::CapturedEvent,
    dialect::Dialect,
    json_object::JsonObject,
    json_reader::Reader,
    json_text::{replace_nul, text_unless_null},
    properties::EventProperties,
    timestamp::{self, Said, parse},
};

/// Names are cut to so many UTF-16 units.
const NAME_LIMIT: usize = 200;
/// What a campaign's link leaves in a URL becomes a property of the person.
const CAMPAIGN: [&str; 8] =
    ["utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term", "gclid", "fbclid", "msclkid"];

/// The property that says that no person is kept.
const NO_PROFILE: &str = "$process_person_profile";

/// The property of an event that came without cookies.
const COOKIELESS: &str = "$cookieless_mode";

/// The properties of a person, or what an event does to them.
pub type Properties = BTreeMap<String, Box<RawValue>>;

/// An event, normalised, before its person is known.
#[derive(Debug)]
pub struct Normalised<'a> {
    /// The event's uuid.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// Whom it is for.
    pub distinct_id: String,
    /// Its moment.
    pub timestamp: Timestamp,
    /// When capture received it.
    pub captured_at: Timestamp,
    /// What is stored as properties.
    pub properties: EventProperties<'a>,
    /// What was clicked, as one text.
    pub elements_chain: String,
    /// Whether a person is kept for it.
    pub person_profile: bool,
    /// Whether it says something odd about that.
    pub odd_person_profile: bool,
    /// What it does to its person.
    pub person: PersonUpdate,
}

/// What an event does to its person.
#[derive(Debug, Default)]
pub struct PersonUpdate {
    /// Properties to set.
    pub set: Properties,
    /// Properties to set where they are absent.
    pub set_once: Properties,
    /// Properties to remove.
    pub unset: Vec<String>,
    /// Whether the person becomes identified.
    pub identifies: bool,
    /// The other distinct id, if two are to become one person.
    pub merge_with: Option<String>,
    /// Whether an identified person may be merged away.
    pub merge_identified: bool,
}

/// Why an event is not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    /// It can never be processed: a dead letter.
    #[error("{0}")]
    Invalid(String),
    /// It is dropped, as the contract says, and its team is warned.
    #[error("dropped: {}", .0.word())]
    Dropped(Kind),
    /// It is none for the events table, though this pipeline has no other for it.
    #[error("it goes elsewhere")]
    Elsewhere,
    /// It is dropped, and nobody is told: a planted defect.
    #[error("lost on purpose")]
    Lost,
    /// Not yet: its plugins take so long.
    #[error("its plugins take {0:?}")]
    Waits(Duration),
}

#[derive(Debug, Default, Deserialize)]
struct Data<'a> {
    #[serde(borrow, default)]
    event: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    timestamp: Option<Cow<'a, str>>,
    #[serde(default)]
    offset: Option<i64>,
    #[serde(borrow, default)]
    properties: Option<EventProperties<'a>>,
    #[serde(borrow, default, rename = "$set", deserialize_with = "text_unless_null")]
    set: Option<&'a str>,
    #[serde(borrow, default, rename = "$set_once", deserialize_with = "text_unless_null")]
    set_once: Option<&'a str>,
}

impl<'a> Data<'a> {
    fn read(text: &'a str) -> serde_json::Result<Self> {
        Self::as_usual(text).map_or_else(|| serde_json::from_str(text), Ok)
    }

    /// As capture writes nearly all: no member that is known here is there twice, is null or an offset, and its name has no escape.
    fn as_usual(text: &'a str) -> Option<Self> {
        let (mut data, mut reader) = (Self::default(), Reader::new(text));
        reader.object(|key, reader| {
            let is_new = match key {
                "event" => data.event.replace(Cow::Borrowed(reader.plain_string()?)).is_none(),
                "timestamp" => data.timestamp.replace(Cow::Borrowed(reader.plain_string()?)).is_none(),
                "properties" => data.properties.replace(EventProperties::read(reader)?).is_none(),
                "$set" => data.set.replace(reader.value()?).is_none() && data.set != Some("null"),
                "$set_once" => data.set_once.replace(reader.value()?).is_none() && data.set_once != Some("null"),
                "offset" => false,
                _ => reader.value().is_some(),
            };
            is_new.then_some(())
        })?;
        reader.end().map(|()| data)
    }
}

/// Normalises a message of the capture topic, whose data is `data` without NULs. `before` gets name and properties as they
/// were sent, before anything is added or cut, and how long before capture received it the event happened, where capture
/// says so (since 2026). What a team drops for its age comes in there, and then its plugins (drop-old-events-step.ts,
/// runner.ts).
///
/// # Errors
/// When it is no captured event, or one that is not stored, as `before` may say too.
pub fn normalise<'a>(
    dialect: Dialect,
    captured: &CapturedEvent<'_>,
    data: &'a str,
    before: impl FnOnce(Uuid, &str, Option<SignedDuration>, &mut EventProperties<'_>) -> Result<(), NotStored>,
) -> Result<Normalised<'a>, NotStored> {
    let invalid = |what: String| NotStored::Invalid(what);
    let uuid = Uuid::parse_str(&captured.uuid).map_err(|_| invalid(format!("not a valid UUID: {}", captured.uuid)))?;
    if dialect == Dialect::V2021 && matches!(replace_nul(&captured.data), Cow::Owned(_)) {
        // Its replacement came later (plugin server, pull request 18282).
        return Err(invalid("a NUL character cannot be stored".to_owned()));
    }
    let data = Data::read(data).map_err(|error| invalid(format!("invalid data: {error}")))?;
    let mut properties = data.properties.unwrap_or_default();
    let name = if captured.event.is_empty() { data.event.as_deref().unwrap_or_default() } else { &captured.event };
    let name = without_nul(name);
    // Both came with capture's rewrite, and so did events without a person (ingestion contract 2, step order).
    if dialect != Dialect::V2021 && matches!(name.as_ref(), "$$heatmap" | "$$client_ingestion_warning") {
        return Err(NotStored::Elsewhere);
    }
    let has_profile = |properties: &EventProperties<'_>| {
        dialect == Dialect::V2021 || properties.get(NO_PROFILE).is_none_or(|value| value != "false")
    };
    if !has_profile(&properties)
        && matches!(name.as_ref(), "$identify" | "$create_alias" | "$merge_dangerously" | "$groupidentify")
    {
        return Err(NotStored::Dropped(Kind::NoPersonProfile));
    }
    if has_long_key(dialect, &name, &properties) {
        return Err(NotStored::Dropped(Kind::GroupKeyTooLong));
    }
    // cookieless-manager.ts: a team takes them only where it has said so, and none of these has.
    if dialect == Dialect::V2026 && properties.get(COOKIELESS) == Some("true") {
        return Err(NotStored::Dropped(Kind::CookielessDisabled));
    }
    let moment = |text: &str| parse(text).ok_or_else(|| invalid(format!("`{text}` is no moment")));
    let captured_at = moment(&captured.now)?;
    let said = if captured.timestamp.is_empty() { None } else { Some(moment(&captured.timestamp)?) };
    before(uuid, &name, said.map(|said| captured_at.duration_since(said)), &mut properties)?;
    // Top-level fields win over those among the properties.
    let update = |key: &str, top: Option<&str>| {
        let mut merged = properties.get(key).and_then(|inner| object(Some(inner)).ok()).unwrap_or_default();
        merged.extend(object(top).unwrap_or_default());
        merged
    };
    let (mut set, mut set_once) = (update("$set", data.set), update("$set_once", data.set_once));
    campaign(&properties, &mut set, &mut set_once);

    let name = cut(&name);
    let person_profile = has_profile(&properties);
    let odd_person_profile = dialect != Dialect::V2021
        && properties.get(NO_PROFILE).is_some_and(|value| !matches!(value, "true" | "false" | "null"));
    let mut person = PersonUpdate::default();
    if person_profile {
        put(&mut properties, "$set", &set);
        put(&mut properties, "$set_once", &set_once);
        person = person_update(&name, &properties, set, set_once);
    } else {
        let is_index = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
        properties.retain(|key| {
            !matches!(key, "$set" | "$set_once" | "$unset") && !key.strip_prefix("$group_").is_some_and(is_index)
        });
    }
    let elements_chain = take_chain(dialect, &mut properties).map_err(invalid)?;
    if !properties.contains_key("$ip") {
        insert_text(&mut properties, "$ip", &captured.ip);
    }
    if let Some(sent_at) = &captured.sent_at {
        insert_text(&mut properties, "$sent_at", sent_at);
    }
    let timestamp = said.unwrap_or_else(|| {
        // Before 2026 capture left it to the plugin server.
        let said = Said {
            timestamp: data.timestamp.as_deref(),
            offset_ms: data.offset,
            sent_at: captured.sent_at.as_deref().and_then(parse),
            ignore_sent_at: properties.get("$ignore_sent_at") == Some("true"),
        };
        timestamp::normalise(dialect, said, captured_at)
    });
    Ok(Normalised {
        uuid,
        name,
        distinct_id: without_nul(&captured.distinct_id).into_owned(),
        timestamp,
        captured_at,
        properties,
        elements_chain,
        person_profile,
        odd_person_profile,
        person,
    })
}

fn person_update(name: &str, properties: &EventProperties<'_>, set: Properties, set_once: Properties) -> PersonUpdate {
    if matches!(name, "$exception" | "$$heatmap") {
        return PersonUpdate::default();
    }
    let text = |key: &str| properties.get(key).and_then(id_text);
    let merge_with = match name {
        "$identify" => text("$anon_distinct_id"),
        "$create_alias" | "$merge_dangerously" => text("alias"),
        _ => None,
    };
    PersonUpdate {
        set,
        set_once,
        unset: properties.get("$unset").map(keys).unwrap_or_default(),
        identifies: name == "$identify",
        merge_with,
        merge_identified: name == "$merge_dangerously",
    }
}

/// Campaign parameters are set, and kept as the first ones that were seen.
fn campaign(properties: &EventProperties<'_>, set: &mut Properties, set_once: &mut Properties) {
    for key in CAMPAIGN {
        if let Some(value) = properties.get(key) {
            let Ok(value) = RawValue::from_string(value.to_owned()) else { continue };
            set_once.entry(format!("$initial_{key}")).or_insert_with(|| value.clone());
            set.entry(key.to_owned()).or_insert(value);
        }
    }
}

fn object(value: Option<&str>) -> Result<Properties, serde_json::Error> {
    match value {
        None | Some("null") => Ok(Properties::new()),
        Some(text) => serde_json::from_str(text),
    }
}

/// The keys of `$unset`: a list of them, or an object's.
fn keys(value: &str) -> Vec<String> {
    serde_json::from_str::<Vec<String>>(value)
        .or_else(|_| serde_json::from_str::<Properties>(value).map(|object| object.into_keys().collect()))
        .unwrap_or_default()
}

/// A string as it is, anything but null as its text.
pub(super) fn id_text(value: &str) -> Option<String> {
    match value {
        "null" => None,
        text if text.starts_with('"') => serde_json::from_str(text).ok(),
        text => Some(text.to_owned()),
    }
}

fn put(properties: &mut EventProperties<'_>, key: &str, values: &Properties) {
    if !values.is_empty()
        && let Ok(raw) = to_raw_value(values)
    {
        properties.insert(key, raw);
    }
}

fn insert_text(properties: &mut EventProperties<'_>, key: &str, text: &str) {
    if let Ok(raw) = to_raw_value(text) {
        properties.insert(key, raw);
    }
}

fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// The first 200 UTF-16 units; half a surrogate pair is not kept.
fn cut(name: &str) -> String {
    let mut units = 0;
    name.chars()
        .take_while(|c| {
            units += c.len_utf16();
            units <= NAME_LIMIT
        })
        .collect()
}

/// A row of `clickhouse_events_json` (`RawKafkaEvent`).
#[derive(Debug)]
pub struct EventRow<'a> {
    /// The event's uuid.
    pub uuid: &'a str,
    /// Its name.
    pub event: &'a str,
    /// Its properties, which are stored as their JSON text.
    pub properties: &'a EventProperties<'a>,
    /// Its moment, microseconds.
    pub timestamp: String,
    /// The tenant.
    pub team_id: i64,
    /// The tenant's project, which is the tenant.
    pub project_id: i64,
    /// Whom it is for.
    pub distinct_id: &'a str,
    /// The clicked elements.
    pub elements_chain: &'a str,
    /// When this row was made.
    pub created_at: String,
    /// When capture received the event.
    pub captured_at: String,
    /// The person.
    pub person_id: Uuid,
    /// The person's properties after this event, a JSON text.
    pub person_properties: &'a str,
    /// Since when there is this person.
    pub person_created_at: String,
    /// Whether a person is kept.
    pub person_mode: &'a str,
    /// Whether it belongs to an import; the column came in 2026, and what is not said is false.
    pub historical_migration: bool,
}

impl EventRow<'_> {
    /// Its JSON text. The `message` that the event came in was so long, and its data has a backslash before each quotation
    /// mark as the properties have them here. `properties` is room for theirs, which all messages share.
    pub fn text(&self, message: usize, properties: &mut String) -> Vec<u8> {
        properties.clear();
        self.properties.write(properties);
        let room = message + self.person_properties.len() * 5 / 4 + self.elements_chain.len() + 768;
        let mut text = Vec::with_capacity(room);
        JsonObject::begin(&mut text)
            .string("uuid", self.uuid)
            .string("event", self.event)
            .string("properties", properties)
            .string("timestamp", &self.timestamp)
            .number("team_id", self.team_id)
            .number("project_id", self.project_id)
            .string("distinct_id", self.distinct_id)
            .string("elements_chain", self.elements_chain)
            .string("created_at", &self.created_at)
            .string("captured_at", &self.captured_at)
            .string("person_id", self.person_id.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
            .string("person_properties", self.person_properties)
            .string("person_created_at", &self.person_created_at)
            .string("person_mode", self.person_mode)
            .flag_if("historical_migration", self.historical_migration)
            .end();
        text
    }
}

/// What is stored of an event as an import's.
pub fn is_stored_as_import(dialect: Dialect, captured: &CapturedEvent<'_>) -> bool {
    captured.historical_migration && dialect == Dialect::V2026
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::plugin::{Action, Condition, Plugin, Plugins};

    /// The data is kept for good: these are tests.
    fn run(
        dialect: Dialect,
        captured: &CapturedEvent<'_>,
        before: impl FnOnce(Uuid, &str, Option<SignedDuration>, &mut EventProperties<'_>) -> Result<(), NotStored>,
    ) -> Result<Normalised<'static>, NotStored> {
        super::normalise(dialect, captured, replace_nul(&captured.data).into_owned().leak(), before)
    }

    fn normalise(dialect: Dialect, captured: &CapturedEvent<'_>) -> Result<Normalised<'static>, NotStored> {
        run(dialect, captured, |_, _, _, _| Ok(()))
    }

    fn captured(name: &str, data: &str) -> CapturedEvent<'static> {
        CapturedEvent {
            uuid: "12345678-9a00-80c0-8000-0f4240a632ad".into(),
            distinct_id: "d".into(),
            ip: "10.0.0.1".into(),
            data: data.to_owned().into(),
            now: "2026-06-01T12:00:00.000Z".into(),
            sent_at: Some("2026-06-01T11:59:59.000Z".into()),
            token: "t".into(),
            event: name.to_owned().into(),
            timestamp: "2026-06-01T11:00:00.000Z".into(),
            historical_migration: false,
            session_id: None,
            is_cookieless_mode: false,
            force_disable_person_processing: false,
        }
    }

    fn stored(name: &str, data: &str) -> String {
        serde_json::to_string(&normalise(Dialect::V2026, &captured(name, data)).unwrap().properties).unwrap()
    }

    #[test]
    fn sent_properties_keep_their_text_and_some_are_added() {
        assert_eq!(
            stored("e", r#"{"properties":{"big":9007199254740993,"f":1.50,"nul":"a\u0000b"}}"#),
            r#"{"$ip":"10.0.0.1","$sent_at":"2026-06-01T11:59:59.000Z","big":9007199254740993,"f":1.50,"nul":"a\ufffdb"}"#
        );
        assert!(stored("e", r#"{"properties":{"$ip":"1.1.1.1"}}"#).contains(r#""$ip":"1.1.1.1""#));
        assert!(stored("e", "{}").contains("$ip"));
    }

    #[test]
    fn what_came_without_cookies_is_dropped_where_it_is_known() {
        let fate = |dialect, value: &str| {
            let data = format!(r#"{{"properties":{{"$cookieless_mode":{value}}}}}"#);
            normalise(dialect, &captured("e", &data)).map(|_| ()).err()
        };
        let dropped = Some(NotStored::Dropped(Kind::CookielessDisabled));
        assert_eq!(fate(Dialect::V2026, "true"), dropped);
        assert_eq!((fate(Dialect::V2026, "false"), fate(Dialect::V2024, "true")), (None, None));
    }

    #[test]
    fn top_level_sets_win_and_campaigns_are_kept() {
        let data = r#"{"$set":{"a":1},"properties":{"$set":{"a":2,"b":3},"utm_source":"x"}}"#;
        let normalised = normalise(Dialect::V2026, &captured("e", data)).unwrap();
        assert_eq!(serde_json::to_string(&normalised.person.set).unwrap(), r#"{"a":1,"b":3,"utm_source":"x"}"#);
        assert_eq!(serde_json::to_string(&normalised.person.set_once).unwrap(), r#"{"$initial_utm_source":"x"}"#);
    }

    #[test]
    fn clicked_elements_are_no_property_any_more() {
        let data = r#"{"properties":{"$elements":[{"tag_name":"a\u0000"}],"k":1}}"#;
        let normalised = normalise(Dialect::V2026, &captured("$autocapture", data)).unwrap();
        assert_eq!(normalised.elements_chain, "a\u{fffd}:nth-child=\"0\"nth-of-type=\"0\"");
        assert_eq!(normalised.properties.keys().collect::<Vec<_>>(), ["$ip", "$sent_at", "k"]);
        let broken = captured("$autocapture", r#"{"properties":{"$elements":[1]}}"#);
        assert!(matches!(normalise(Dialect::V2026, &broken), Err(NotStored::Invalid(_))));
    }

    #[test]
    fn names_are_cut_and_nuls_replaced() {
        let name = |name: &str| normalise(Dialect::V2026, &captured(name, "{}")).unwrap().name;
        assert_eq!(name(&"é".repeat(300)), "é".repeat(200));
        assert_eq!(name(&"😀".repeat(300)), "😀".repeat(100));
        assert_eq!(name("a\0b"), "a\u{fffd}b");
        let id = |id: &'static str| {
            let captured = CapturedEvent { distinct_id: id.into(), ..captured("e", "{}") };
            normalise(Dialect::V2024, &captured).unwrap().distinct_id
        };
        assert_eq!(id("\u{202e}a\0🦔\0"), "\u{202e}a\u{fffd}🦔\u{fffd}", "an older capture leaves it");
    }

    #[test]
    fn without_a_person_profile_nothing_of_a_person_is_kept() {
        let off =
            r#"{"properties":{"$process_person_profile":false,"$set":{"a":1},"$unset":["x"],"$group_0":"g","k":1}}"#;
        let normalised = normalise(Dialect::V2026, &captured("e", off)).unwrap();
        assert!(!normalised.person_profile && normalised.person.set.is_empty());
        let keys: Vec<_> = normalised.properties.keys().collect();
        assert_eq!(keys, ["$ip", "$process_person_profile", "$sent_at", "k"]);
        assert!(matches!(normalise(Dialect::V2026, &captured("$identify", off)), Err(NotStored::Dropped(_))));
        let odd = off.replace("false", "\"false\"");
        assert!(
            normalise(Dialect::V2026, &captured("e", &odd)).unwrap().person_profile,
            "what is no boolean counts as true"
        );
        let is_odd = |data: &str| normalise(Dialect::V2026, &captured("e", data)).unwrap().odd_person_profile;
        assert!(is_odd(&odd) && !is_odd(off) && !is_odd("{}"));
    }

    #[test]
    fn what_can_never_be_processed_is_a_dead_letter() {
        let broken = |change: fn(&mut CapturedEvent<'static>)| {
            let mut event = captured("e", "{}");
            change(&mut event);
            matches!(normalise(Dialect::V2026, &event), Err(NotStored::Invalid(_)))
        };
        assert!(broken(|event| event.uuid = "nonsense".into()));
        assert!(broken(|event| event.data = "{".into()));
        assert!(broken(|event| event.data = r#"{"properties":[]}"#.into()));
        assert!(broken(|event| event.timestamp = "soon".into()));
    }

    #[test]
    fn merges_name_the_other_id() {
        let update = |name: &str, data: &str| normalise(Dialect::V2026, &captured(name, data)).unwrap().person;
        let identify = update("$identify", r#"{"properties":{"$anon_distinct_id":"a"}}"#);
        assert_eq!((identify.merge_with.as_deref(), identify.identifies), (Some("a"), true));
        let alias = update("$create_alias", r#"{"properties":{"alias":"a"}}"#);
        assert_eq!((alias.merge_with.as_deref(), alias.identifies, alias.merge_identified), (Some("a"), false, false));
        assert!(update("$merge_dangerously", r#"{"properties":{"alias":"a"}}"#).merge_identified);
        assert_eq!(update("e", r#"{"properties":{"alias":"a"}}"#).merge_with, None);
    }

    #[test]
    fn before_2026_the_event_itself_says_its_name_and_time() {
        let data = r#"{"event":"own","timestamp":"2026-05-31T11:59:59Z","offset":5,"properties":{}}"#;
        let bare = CapturedEvent { event: "".into(), timestamp: "".into(), ..captured("", data) };
        for (dialect, expected) in [
            (Dialect::V2021, "2026-05-31T12:00:00Z"),
            (Dialect::V2024, "2026-05-31T12:00:00Z"),
            (Dialect::V2026, "2026-06-01T11:59:59.995Z"),
        ] {
            let normalised = normalise(dialect, &bare).unwrap();
            assert_eq!(
                (normalised.name.as_str(), normalised.timestamp),
                ("own", expected.parse().unwrap()),
                "{dialect}"
            );
        }
    }

    #[test]
    fn an_import_is_stored_as_one_since_2026() {
        let row = |dialect, historical_migration| {
            let captured = CapturedEvent { historical_migration, ..captured("e", "{}") };
            let row = EventRow {
                uuid: "u",
                event: "e",
                properties: &EventProperties::default(),
                timestamp: String::new(),
                team_id: 1,
                project_id: 1,
                distinct_id: "d",
                elements_chain: "",
                created_at: String::new(),
                captured_at: String::new(),
                person_id: Uuid::nil(),
                person_properties: "{}",
                person_created_at: String::new(),
                person_mode: "full",
                historical_migration: is_stored_as_import(dialect, &captured),
            };
            let row: serde_json::Value = serde_json::from_slice(&row.text(0, &mut String::new())).unwrap();
            row.get("historical_migration").cloned()
        };
        assert_eq!(row(Dialect::V2026, true), Some(true.into()));
        assert_eq!(
            (row(Dialect::V2026, false), row(Dialect::V2024, true), row(Dialect::V2021, true)),
            (None, None, None)
        );
    }

    #[test]
    fn what_is_dropped_before_plugins_is_not_stored() {
        let drop = |_: Uuid, _: &str, age: Option<SignedDuration>, _: &mut EventProperties<'_>| match age {
            Some(age) if age > SignedDuration::from_mins(59) => Err(NotStored::Dropped(Kind::TooOld)),
            _ => Ok(()),
        };
        let dropped = run(Dialect::V2026, &captured("e", "{}"), drop);
        assert_eq!(dropped.unwrap_err(), NotStored::Dropped(Kind::TooOld));
        let unsaid = CapturedEvent { timestamp: "".into(), ..captured("e", r#"{"timestamp":"2020-01-01T00:00:00Z"}"#) };
        assert!(run(Dialect::V2024, &unsaid, drop).is_ok(), "capture says no time before 2026");
    }

    #[test]
    fn plugins_see_what_was_sent_and_what_they_leave_is_normalised() {
        let long = "é".repeat(201);
        let data = r#"{"properties":{"a":1,"utm_x":"c"},"$set":{"b":2}}"#;
        let plugins = |uuid: Uuid, name: &str, age: Option<SignedDuration>, properties: &mut EventProperties<'_>| {
            assert_eq!(age, Some(SignedDuration::from_hours(1)), "capture has said when");
            assert_eq!((uuid.to_string().as_str(), name), ("12345678-9a00-80c0-8000-0f4240a632ad", long.as_str()));
            assert_eq!(properties.keys().collect::<Vec<_>>(), ["a", "utm_x"], "nothing was added yet");
            let when = Condition { events: Vec::new(), property: None, of_a_million: 1_000_000 };
            let action = Action::Rename { key: "utm_x".into(), to: "utm_source".into() };
            let plugin = Plugin { name: "p".into(), teams: Vec::new(), when, action };
            Plugins::new(vec![plugin], Duration::ZERO).run(1, uuid, name, properties);
            Ok(())
        };
        let normalised = run(Dialect::V2026, &captured(&long, data), plugins).unwrap();
        assert_eq!(normalised.name, "é".repeat(200));
        assert_eq!(serde_json::to_string(&normalised.person.set).unwrap(), r#"{"b":2,"utm_source":"c"}"#);
        let refuse = |_: Uuid, _: &str, _: Option<SignedDuration>, _: &mut EventProperties<'_>| {
            Err(NotStored::Waits(Duration::from_secs(1)))
        };
        let waits = run(Dialect::V2026, &captured("e", "{}"), refuse);
        assert_eq!(waits.unwrap_err(), NotStored::Waits(Duration::from_secs(1)));
    }

    proptest! {
        #[test]
        fn data_is_read_as_serde_reads_it(
            members in proptest::collection::vec((
                proptest::sample::select(vec!["event", "timestamp", "offset", "properties", "$set", "$set_once", "uuid", "\\u0061"]),
                proptest::sample::select(vec![
                    "null", "\"a\"", "\"\\n\"", "1", "-0", "{}", "{\"b\":1,\"a\":[\"x\"]}", "{\"a\":1,\"a\":2}", "[]", "{", "\"",
                ]),
            ), 0..5),
            behind in proptest::sample::select(vec!["", " ", "}", "1"]),
        ) {
            let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
            let text = format!("{{{}}}{behind}", members.join(","));
            let shown = |data: Data<'_>| format!("{data:?}");
            if let Some(read) = Data::as_usual(&text) {
                prop_assert_eq!(Some(shown(read)), serde_json::from_str(&text).ok().map(shown));
            }
            prop_assert_eq!(Data::read(&text).ok().map(shown), serde_json::from_str(&text).ok().map(shown));
        }
    }

    #[test]
    fn what_capture_writes_is_usual() {
        let data = r#"{"event":"e","properties":{"a":"\"","b":[1]},"timestamp":"x","$set":{"a":1},"$set_once":{}}"#;
        let read = Data::as_usual(data).unwrap();
        assert!(read.set == Some(r#"{"a":1}"#) && read.properties.unwrap().get("b") == Some("[1]"));
    }
}
