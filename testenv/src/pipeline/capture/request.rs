//! A request's text → captured events: the rules of capture's v0 endpoints (`v0_request.rs`).
//!
//! All or nothing: whatever is wrong here refuses the whole request before anything of it is stored.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use aho_corasick::packed::Searcher;
use jiff::Timestamp;
use memchr::memmem;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    repeated,
    room::{Place, Room},
};
use crate::pipeline::{
    captured::CapturedEvent,
    dialect::Dialect,
    json_object::JsonObject,
    json_reader::Reader,
    json_text::{repair_surrogates, text_unless_null},
    timestamp::{Said, normalise, parse, rfc3339},
};

/// Longer ids are cut.
const DISTINCT_ID_LIMIT: usize = 200;
const TOKEN_LIMIT: usize = 64;
/// The address that stands for one's own (`events/analytics.rs`).
pub(super) const OWN_ADDRESS: &str = "127.0.0.1";

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 400: the body cannot be read.
    #[error("failed to decode request: {0}")]
    Body(String),
    /// 400: there is no event in it.
    #[error("request holds no event")]
    Empty,
    /// 400: an event without a name.
    #[error("event submitted with an empty event name")]
    NoName,
    /// 400: an event without a distinct id.
    #[error("event submitted with an empty distinct_id")]
    NoDistinctId,
    /// 401: no token.
    #[error("event submitted without an api_key")]
    NoToken,
    /// 401: more than one token.
    #[error("batch submitted with inconsistent api_key values")]
    SeveralTokens,
    /// 401: a token that cannot be one.
    #[error("API key is not valid: {0}")]
    BadToken(&'static str),
    /// 429: the project's requests come too fast.
    #[error("rate limit exceeded, please retry later")]
    TooFast,
    /// 413: more bytes than are taken.
    #[error("request body over the limit of {0} bytes")]
    TooLarge(usize),
}

impl Refusal {
    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Body(_) | Self::Empty | Self::NoName | Self::NoDistinctId => 400,
            Self::NoToken | Self::SeveralTokens | Self::BadToken(_) => 401,
            Self::TooLarge(_) => 413,
            Self::TooFast => 429,
        }
    }
}

/// What else of a request is needed.
#[derive(Debug, Clone)]
pub struct Received {
    /// The server's clock.
    pub now: Timestamp,
    /// The client's address.
    pub ip: String,
    /// The query parameter `_`, in milliseconds since 1970.
    pub sent_at_ms: Option<i64>,
    /// Which generation of the rules it follows.
    pub dialect: Dialect,
    /// Whether it came to `/engage`, where people's profiles come without a name.
    pub is_engage: bool,
}

/// An event as clients send it. Fields that are not named here are dropped.
#[derive(Debug, Default, PartialEq, Deserialize)]
struct RawEvent<'a> {
    #[serde(borrow, default, alias = "$token", alias = "api_key")]
    token: Option<Cow<'a, str>>,
    #[serde(borrow, default, alias = "$distinct_id", deserialize_with = "text_unless_null")]
    distinct_id: Option<&'a str>,
    #[serde(borrow, default)]
    uuid: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    event: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "text_unless_null")]
    properties: Option<&'a str>,
    #[serde(borrow, default)]
    timestamp: Option<Cow<'a, str>>,
    #[serde(default)]
    offset: Option<i64>,
    #[serde(borrow, default, rename = "$set", deserialize_with = "text_unless_null")]
    set: Option<&'a str>,
    #[serde(borrow, default, rename = "$set_once", deserialize_with = "text_unless_null")]
    set_once: Option<&'a str>,
}

impl<'a> RawEvent<'a> {
    /// As nearly all are sent: no member that is known here is there twice, is null or an offset, and no text of its own has an
    /// escape. None if it is another.
    fn as_usual(reader: &mut Reader<'a>) -> Option<Self> {
        let mut event = Self::default();
        reader.object(|key, reader| {
            let text = match key {
                "token" | "$token" | "api_key" => &mut event.token,
                "uuid" => &mut event.uuid,
                "event" => &mut event.event,
                "timestamp" => &mut event.timestamp,
                _ => {
                    let value = reader.value()?;
                    let place = match key {
                        "distinct_id" | "$distinct_id" => &mut event.distinct_id,
                        "properties" => &mut event.properties,
                        "$set" => &mut event.set,
                        "$set_once" => &mut event.set_once,
                        "offset" => return None,
                        _ => return Some(()),
                    };
                    return (value != "null" && place.replace(value).is_none()).then_some(());
                }
            };
            text.replace(Cow::Borrowed(reader.plain_string()?)).is_none().then_some(())
        })?;
        Some(event)
    }

    /// Writes what is known of it, as JSON.
    fn write(&self, text: &mut Vec<u8>) {
        let object = JsonObject::begin(text);
        let object = match &self.event {
            Some(event) => object.string("event", event),
            None => object.raw("event", "null"),
        };
        let raw = |object, key, value| match value {
            Some(value) => JsonObject::raw(object, key, value),
            None => object,
        };
        let mut object = raw(object, "properties", self.properties);
        if let Some(timestamp) = &self.timestamp {
            object = object.string("timestamp", timestamp);
        }
        if let Some(offset) = self.offset {
            object = object.number("offset", offset);
        }
        raw(raw(object, "$set", self.set), "$set_once", self.set_once).end();
    }
}

/// The properties that capture itself looks at.
#[derive(Debug, Default)]
struct KnownProperties<'a> {
    token: Option<&'a RawValue>,
    distinct_id: Option<&'a RawValue>,
    ignore_sent_at: Option<&'a RawValue>,
    cookieless_mode: Option<&'a RawValue>,
    capture_internal: Option<&'a RawValue>,
}

impl<'a> KnownProperties<'a> {
    /// Of two properties with one name the last counts.
    fn read(properties: &'a str) -> serde_json::Result<Self> {
        let all: BTreeMap<String, &'a RawValue> = serde_json::from_str(properties)?;
        let given = |key: &str| all.get(key).copied();
        let unless_null = |key: &str| given(key).filter(|value| value.get() != "null");
        Ok(Self {
            token: unless_null("token"),
            distinct_id: unless_null("distinct_id"),
            ignore_sent_at: unless_null("$ignore_sent_at"),
            cookieless_mode: given("$cookieless_mode"),
            capture_internal: given("capture_internal"),
        })
    }
}

/// What is there, also where it is null.
pub(super) fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[derive(Debug, PartialEq, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the wire calls it so")]
struct Batch<'a> {
    #[serde(borrow, default, alias = "api_key")]
    token: Option<Cow<'a, str>>,
    #[serde(borrow)]
    batch: Vec<RawEvent<'a>>,
    #[serde(default)]
    historical_migration: bool,
    #[serde(borrow, default)]
    sent_at: Option<Cow<'a, str>>,
}

impl<'a> Batch<'a> {
    /// As nearly all are sent; see [`RawEvent::as_usual`].
    fn as_usual(text: &'a str) -> Option<Self> {
        let (mut token, mut batch, mut historical_migration, mut sent_at) = (None, None, None, None);
        let mut reader = Reader::new(text);
        reader.object(|key, reader| {
            let is_new = match key {
                "token" | "api_key" => token.replace(Cow::Borrowed(reader.plain_string()?)).is_none(),
                "sent_at" => sent_at.replace(Cow::Borrowed(reader.plain_string()?)).is_none(),
                "historical_migration" => historical_migration.replace(reader.value()?.parse().ok()?).is_none(),
                "batch" => {
                    let mut events = Vec::new();
                    reader.list(|reader| RawEvent::as_usual(reader).map(|event| events.push(event)))?;
                    batch.replace(events).is_none()
                }
                _ => reader.value().is_some(),
            };
            is_new.then_some(())
        })?;
        reader.end()?;
        Some(Self { token, batch: batch?, historical_migration: historical_migration.unwrap_or_default(), sent_at })
    }
}

/// The captured events of a request's text, whose own texts are put into `room`.
///
/// # Errors
/// When the request is refused.
pub fn events<'r>(text: &str, received: &Received, room: &'r mut Room) -> Result<Vec<CapturedEvent<'r>>, Refusal> {
    let text = repair_surrogates(text);
    if received.dialect == Dialect::V2024 && matches!(text, Cow::Owned(_)) {
        return Err(Refusal::Body("invalid JSON: lone leading surrogate in hex escape".into()));
    }
    let once: String;
    let read = match batch(&text) {
        Err(error) if received.dialect == Dialect::V2021 && repeated::is_reason(&error) => {
            once = repeated::last_wins(&text).map_err(bad_json)?;
            batch(&once)
        }
        read => read,
    };
    let Batch { token: shared_token, batch: raw, historical_migration: historical, sent_at } =
        read.map_err(bad_json)?;
    if raw.is_empty() {
        return Err(Refusal::Empty);
    }
    let properties: Vec<KnownProperties<'_>> = raw.iter().map(known).collect::<Result<_, _>>()?;
    let token = match shared_token {
        Some(token) => token.into_owned(),
        None => only_token(&raw, &properties)?,
    };
    check_token(&token)?;
    let sent_at = sent_at.as_deref().and_then(parse).or_else(|| query_sent_at(received.sent_at_ms));
    room.clear();
    let shared = Shared {
        token: room.put(&token),
        historical,
        sent_at,
        sent_at_text: sent_at.map(|sent_at| room.put(&rfc3339(sent_at))),
        now: room.put(&rfc3339(received.now)),
        ip: room.put(&received.ip),
        received,
    };
    let drafts: Vec<_> = (raw.iter().zip(&properties))
        .map(|(event, properties)| shared.draft(event, properties, room))
        .collect::<Result<_, _>>()?;
    let texts = room.texts().map_err(|error| Refusal::Body(error.to_string()))?;
    Ok(drafts.into_iter().map(|draft| shared.captured(draft, texts)).collect())
}

#[expect(clippy::needless_pass_by_value, reason = "it is for `map_err`")]
fn bad_json(error: serde_json::Error) -> Refusal {
    Refusal::Body(format!("invalid JSON: {error}"))
}

/// What a request holds; what is no batch is one that says nothing for all.
fn batch(text: &str) -> serde_json::Result<Batch<'_>> {
    let of = |events| Batch { token: None, batch: events, historical_migration: false, sent_at: None };
    let one = || serde_json::from_str::<RawEvent<'_>>(text).map(|event| of(vec![event]));
    match text.trim_start().as_bytes().first() {
        Some(b'[') => serde_json::from_str(text).map(of),
        // Nearly all that may be a batch is one, and is read once.
        Some(b'{') if may_be_batch(text) => match Batch::as_usual(text) {
            Some(batch) => Ok(batch),
            None => match serde_json::from_str(text) {
                Err(_) if !has_batch(text) => one(),
                batch => batch,
            },
        },
        _ => one(),
    }
}

/// Seconds where milliseconds belong would be in 1970: they are not believed.
fn query_sent_at(ms: Option<i64>) -> Option<Timestamp> {
    const START_OF_2021: i64 = 1_609_459_200_000;
    ms.filter(|ms| *ms >= START_OF_2021).and_then(|ms| Timestamp::from_millisecond(ms).ok())
}

/// Whether there may be a key `batch`, also one that is written with escapes.
fn may_be_batch(text: &str) -> bool {
    has(text, "\"batch\"") || has(text, "\\u00")
}

fn has(text: &str, what: &str) -> bool {
    memmem::find(text.as_bytes(), what.as_bytes()).is_some()
}

fn has_batch(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Probe<'a> {
        #[serde(borrow)]
        batch: Option<&'a RawValue>,
    }
    serde_json::from_str::<Probe<'_>>(text).is_ok_and(|probe| probe.batch.is_some())
}

fn known<'a>(event: &RawEvent<'a>) -> Result<KnownProperties<'a>, Refusal> {
    for (name, value) in [("$set", event.set), ("$set_once", event.set_once)] {
        if value.is_some_and(|value| !value.starts_with('{')) {
            return Err(Refusal::Body(format!("invalid {name}: it must be an object")));
        }
    }
    match event.properties {
        None => Ok(KnownProperties::default()),
        // A derived struct would take a list for its fields in order.
        Some(properties) if !properties.starts_with('{') => {
            Err(Refusal::Body("invalid properties: they must be an object".into()))
        }
        // Most have none of these, and that is seen sooner than read.
        Some(properties) if !may_be_known(properties) => Ok(KnownProperties::default()),
        Some(properties) => {
            KnownProperties::read(properties).map_err(|error| Refusal::Body(format!("invalid properties: {error}")))
        }
    }
}

/// Whether there may be a key that capture looks at, also one of whose characters (a dollar sign, an underscore and small letters)
/// some are written as escapes.
fn may_be_known(properties: &str) -> bool {
    // Nothing where the processor has no instructions for it.
    static KEYS: LazyLock<Option<Searcher>> = LazyLock::new(|| {
        Searcher::new([
            r#""token""#,
            r#""distinct_id""#,
            r#""$ignore_sent_at""#,
            r#""$cookieless_mode""#,
            r#""capture_internal""#,
            r"\u002",
            r"\u005",
            r"\u006",
            r"\u007",
        ])
    });
    KEYS.as_ref().is_none_or(|keys| keys.find(properties).is_some())
}

fn only_token(raw: &[RawEvent<'_>], properties: &[KnownProperties<'_>]) -> Result<String, Refusal> {
    let tokens: BTreeSet<String> = raw
        .iter()
        .zip(properties)
        .filter_map(|(event, properties)| {
            let own = event.token.as_deref().map(str::to_owned);
            own.or_else(|| serde_json::from_str(properties.token?.get()).ok())
        })
        .collect();
    let mut tokens = tokens.into_iter();
    match (tokens.next(), tokens.next()) {
        (Some(token), None) => Ok(token),
        (Some(_), Some(_)) => Err(Refusal::SeveralTokens),
        (None, _) => Err(Refusal::NoToken),
    }
}

/// Whether a token can be one.
///
/// # Errors
/// When it cannot.
pub(super) fn check_token(token: &str) -> Result<(), Refusal> {
    let why = if token.is_empty() {
        "it is empty"
    } else if token.len() > TOKEN_LIMIT {
        "it is too long"
    } else if !token.is_ascii() {
        "it is not ASCII"
    } else if token.starts_with("phx_") {
        "it is a personal key"
    } else {
        return Ok(());
    };
    Err(Refusal::BadToken(why))
}

/// What all events of a request have in common.
struct Shared<'r> {
    token: Place,
    historical: bool,
    sent_at: Option<Timestamp>,
    /// The same as every event says it.
    sent_at_text: Option<Place>,
    /// When it was received, as every event says it.
    now: Place,
    ip: Place,
    received: &'r Received,
}

/// An event of which it is known where its texts are.
struct Draft {
    uuid: Place,
    distinct_id: Place,
    /// None where its address is its own affair.
    ip: Option<Place>,
    data: Place,
    event: Place,
    timestamp: Place,
    is_cookieless_mode: bool,
}

impl Shared<'_> {
    fn draft(&self, event: &RawEvent<'_>, properties: &KnownProperties<'_>, room: &mut Room) -> Result<Draft, Refusal> {
        let dialect = self.received.dialect;
        let name = match event.event.as_deref() {
            // rust/common/types/src/event.rs
            None if self.received.is_engage && dialect == Dialect::V2026 => "$identify",
            name => name.filter(|name| !name.is_empty()).ok_or(Refusal::NoName)?,
        };
        let distinct_id = event.distinct_id.or(properties.distinct_id.map(RawValue::get)).and_then(id_text);
        let distinct_id = distinct_id.filter(|id| !id.is_empty()).ok_or(Refusal::NoDistinctId)?;
        let is_later = dialect == Dialect::V2026;
        let is_cookieless_mode = match properties.cookieless_mode.filter(|_| is_later).map(RawValue::get) {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(Refusal::Body("invalid $cookieless_mode: it must be true or false".into())),
        };
        // What the pipeline's own people send keeps their address to itself.
        let is_internal = is_later && properties.capture_internal.is_some();
        let sent_uuid = event.uuid.as_deref().filter(|text| dialect == Dialect::V2024 || !text.is_empty());
        let uuid = match sent_uuid {
            Some(text) => Uuid::parse_str(text).map_err(|_| Refusal::Body(format!("invalid uuid `{text}`")))?,
            None => Uuid::now_v7(),
        };
        let said = Said {
            timestamp: event.timestamp.as_deref(),
            offset_ms: event.offset,
            sent_at: self.sent_at,
            ignore_sent_at: properties.ignore_sent_at.is_some_and(|value| value.get() == "true"),
        };
        Ok(Draft {
            uuid: room.put(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer())),
            distinct_id: room.put(&cut(storable(dialect, distinct_id))),
            ip: (!is_internal).then(|| self.ip.clone()),
            data: room.put_written(|text| event.write(text)),
            event: room.put(name),
            timestamp: room.put(&rfc3339(normalise(dialect, said, self.received.now))),
            is_cookieless_mode,
        })
    }

    fn captured<'t>(&self, draft: Draft, texts: &'t str) -> CapturedEvent<'t> {
        let text = |place: Place| Cow::Borrowed(&texts[place]);
        CapturedEvent {
            uuid: text(draft.uuid),
            distinct_id: text(draft.distinct_id),
            ip: draft.ip.map_or(Cow::Borrowed(OWN_ADDRESS), text),
            data: text(draft.data),
            now: text(self.now.clone()),
            sent_at: self.sent_at_text.clone().map(text),
            token: text(self.token.clone()),
            event: text(draft.event),
            timestamp: text(draft.timestamp),
            historical_migration: self.historical,
            // v0 takes none out of the properties (events/analytics.rs).
            session_id: None,
            is_cookieless_mode: draft.is_cookieless_mode,
            force_disable_person_processing: false,
        }
    }
}

/// An id without NUL characters: since 2025 capture replaces them itself (rust/common/types/src/event.rs,
/// `extract_distinct_id_checked`), and before the plugin server did.
fn storable(dialect: Dialect, distinct_id: String) -> String {
    if dialect == Dialect::V2026 && distinct_id.contains('\0') {
        distinct_id.replace('\0', "\u{fffd}")
    } else {
        distinct_id
    }
}

/// The first characters of an id, as many as are kept.
fn cut(mut distinct_id: String) -> String {
    if let Some((end, _)) = distinct_id.char_indices().nth(DISTINCT_ID_LIMIT) {
        distinct_id.truncate(end);
    }
    distinct_id
}

/// A string as it is; null and false as none; anything else as its JSON text.
fn id_text(value: &str) -> Option<String> {
    match value {
        "null" => None,
        text if text.starts_with('"') => serde_json::from_str(text).ok(),
        text => Some(text.to_owned()),
    }
}

#[cfg(test)]
mod tests;
