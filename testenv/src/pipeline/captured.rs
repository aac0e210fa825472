//! What capture writes to Kafka and the ingester reads (rust/common/types/src/event.rs, `CapturedEvent`).

use std::borrow::Cow;

use serde::Deserialize;

use super::{json_object::JsonObject, json_reader::Reader, json_text::nested};

/// The header that forbids a person (`CapturedEventHeaders`).
pub const NO_PERSON_HEADER: &str = "force_disable_person_processing";

/// A message of the capture topic.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CapturedEvent<'a> {
    /// The event's uuid, the client's own or minted.
    #[serde(borrow)]
    pub uuid: Cow<'a, str>,
    /// At most 200 characters.
    #[serde(borrow)]
    pub distinct_id: Cow<'a, str>,
    /// The client's address.
    #[serde(borrow)]
    pub ip: Cow<'a, str>,
    /// The event as it was sent, known fields only, as JSON text.
    #[serde(borrow, deserialize_with = "nested")]
    pub data: Cow<'a, str>,
    /// When the request was received, RFC 3339.
    #[serde(borrow)]
    pub now: Cow<'a, str>,
    /// When the client says that it was sent, RFC 3339.
    #[serde(borrow, default)]
    pub sent_at: Option<Cow<'a, str>>,
    /// The project's token.
    #[serde(borrow)]
    pub token: Cow<'a, str>,
    /// The event's name. Before 2026 it is only in `data`, and empty here.
    #[serde(borrow, default)]
    pub event: Cow<'a, str>,
    /// Its moment, normalised, RFC 3339; empty before 2026, when the plugin server normalised it.
    #[serde(borrow, default)]
    pub timestamp: Cow<'a, str>,
    /// The session, where it is said beside the properties; told in a header.
    #[serde(skip)]
    pub session_id: Option<Cow<'a, str>>,
    /// Whether it belongs to an import.
    #[serde(default)]
    pub historical_migration: bool,
    /// Whether its visitor is to be known by no cookie.
    #[serde(default)]
    pub is_cookieless_mode: bool,
    /// Whether no person may come of it; told in a header, as all that is not the event's own.
    #[serde(skip)]
    pub force_disable_person_processing: bool,
}

/// What [`CapturedEvent::write`] wrote, or somebody else in the same form: nothing unknown, and nothing twice. None if it is another,
/// which may be a captured event as well.
fn as_written(text: &str) -> Option<CapturedEvent<'_>> {
    let (mut uuid, mut distinct_id, mut ip, mut data, mut now, mut token) = (None, None, None, None, None, None);
    let (mut sent_at, mut event, mut timestamp) = (None, None, None);
    let (mut historical_migration, mut is_cookieless_mode) = (None, None);
    let mut reader = Reader::new(text);
    reader.object(|key, reader| {
        let place = match key {
            "uuid" => &mut uuid,
            "distinct_id" => &mut distinct_id,
            "ip" => &mut ip,
            "data" => &mut data,
            "now" => &mut now,
            "sent_at" => &mut sent_at,
            "token" => &mut token,
            "event" => &mut event,
            "timestamp" => &mut timestamp,
            _ => {
                let place = match key {
                    "historical_migration" => &mut historical_migration,
                    "is_cookieless_mode" => &mut is_cookieless_mode,
                    _ => return None,
                };
                return place.replace(reader.value()?.parse().ok()?).is_none().then_some(());
            }
        };
        place.replace(reader.string()?).is_none().then_some(())
    })?;
    reader.end()?;
    Some(CapturedEvent {
        uuid: uuid?,
        distinct_id: distinct_id?,
        ip: ip?,
        data: data?,
        now: now?,
        sent_at,
        token: token?,
        event: event.unwrap_or_default(),
        timestamp: timestamp.unwrap_or_default(),
        session_id: None,
        historical_migration: historical_migration.unwrap_or_default(),
        is_cookieless_mode: is_cookieless_mode.unwrap_or_default(),
        force_disable_person_processing: false,
    })
}

impl<'a> CapturedEvent<'a> {
    /// Reads one, as it stands in Kafka.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(text: &'a str) -> serde_json::Result<Self> {
        as_written(text).map_or_else(|| serde_json::from_str(text), Ok)
    }

    /// Writes it at the end of `text`, as it stands in Kafka.
    pub fn write(&self, text: &mut Vec<u8>) {
        let object = JsonObject::begin(text)
            .string("uuid", &self.uuid)
            .string("distinct_id", &self.distinct_id)
            .string("ip", &self.ip)
            .string("data", &self.data)
            .string("now", &self.now);
        let object = match &self.sent_at {
            Some(sent_at) => object.string("sent_at", sent_at),
            None => object,
        };
        object
            .string("token", &self.token)
            .string_unless_empty("event", &self.event)
            .string_unless_empty("timestamp", &self.timestamp)
            .flag_if("historical_migration", self.historical_migration)
            .flag_if("is_cookieless_mode", self.is_cookieless_mode)
            .end();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let full = CapturedEvent {
            uuid: "12345678-9a00-80c0-8000-0f4240a632ad".into(),
            distinct_id: "\"d\\\n".into(),
            ip: "10.0.0.1".into(),
            data: r#"{"event":"e","properties":{"a":"\"b\\"}}"#.into(),
            now: "2026-06-01T12:00:00.000Z".into(),
            sent_at: Some("2026-06-01T11:59:59.000Z".into()),
            token: "t".into(),
            event: "é😀".into(),
            timestamp: "2026-06-01T11:00:00.000Z".into(),
            session_id: None,
            historical_migration: true,
            is_cookieless_mode: true,
            force_disable_person_processing: false,
        };
        let bare = CapturedEvent {
            sent_at: None,
            event: "".into(),
            timestamp: "".into(),
            historical_migration: false,
            is_cookieless_mode: false,
            ..full.clone()
        };
        let text = |event: &CapturedEvent<'_>| {
            let mut text = Vec::new();
            event.write(&mut text);
            String::from_utf8(text).unwrap()
        };
        for event in [&full, &bare] {
            assert_eq!(as_written(&text(event)).unwrap(), *event);
            assert_eq!(serde_json::from_str::<CapturedEvent<'_>>(&text(event)).unwrap(), *event);
        }
        let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text(&bare)).unwrap();
        let mut keys: Vec<_> = members.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["data", "distinct_id", "ip", "now", "token", "uuid"], "what is not so is not said");
    }

    /// Members of a message: known and unknown ones, in odd forms, too.
    fn member() -> impl Strategy<Value = String> {
        let key = prop_oneof![
            8 => proptest::sample::select(vec!["uuid", "distinct_id", "ip", "data", "now", "sent_at", "token", "event", "timestamp"]),
            1 => proptest::sample::select(vec!["historical_migration", "is_cookieless_mode", "session_id", "unknown", "\\u0069p"]),
        ];
        let value = prop_oneof![
            16 => "[a-z\\\\\"é]{0,20}".prop_map(|text| serde_json::to_string(&text).unwrap()),
            1 => proptest::sample::select(vec!["true", "false", "null", "1", "{}", "\"\\u00e9\"", "\"\n\"", "\"", " \"a\"", "\"a\" "])
                .prop_map(str::to_owned),
        ];
        (key, value).prop_map(|(key, value)| format!("\"{key}\":{value}"))
    }

    proptest! {
        #[test]
        fn it_is_read_as_serde_reads_it(
            own in proptest::collection::vec("[a-z\\\\\"é]{0,20}", 6),
            further in proptest::collection::vec(member(), 0..3),
            behind in proptest::sample::select(vec!["}", "} ", "}}", ",}", "", ",", "}{"]),
        ) {
            let keys = ["uuid", "distinct_id", "ip", "data", "now", "token"];
            let member = |(key, value): (&str, &String)| format!("\"{key}\":{}", serde_json::to_string(value).unwrap());
            let members: Vec<_> = keys.into_iter().zip(&own).map(member).chain(further).collect();
            for members in [&members[..], &members[1..]] {
                let text = format!("{{{}{behind}", members.join(","));
                let expected = serde_json::from_str::<CapturedEvent<'_>>(&text).ok();
                if let Some(read) = as_written(&text) {
                    prop_assert_eq!(Some(&read), expected.as_ref());
                }
                prop_assert_eq!(CapturedEvent::read(&text).ok(), expected);
            }
        }
    }
}
