//! v1 of the capture API: a result for each event (rust/capture/src/v1, `POST /i/v1/analytics/events`; dialect 2026 only).
//!
//! Project, attempt and clock of the client are in headers. What is wrong with the batch as a whole refuses it; what is wrong
//! with one event drops that one, and says so.

mod options;

use std::{borrow::Cow, collections::HashSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use self::options::Options;
use super::request::{OWN_ADDRESS, check_token, given};
use crate::pipeline::{
    captured::CapturedEvent,
    dialect::Dialect,
    ingester::event::Properties,
    json_text::repair_surrogates,
    timestamp::{Said, normalise, rfc3339, strict_rfc3339},
};

/// Names and distinct ids are not cut here, but refused from this many bytes on.
const MOST_BYTES: usize = 200;
/// The distinct id of those who come without cookies (`COOKIELESS_SENTINEL_VALUE`).
const COOKIELESS: &str = "$posthog_cookieless";
/// Ids that no person may have, in any case (constants.rs, `ILLEGAL_DISTINCT_IDS`).
const ILLEGAL: [&str; 22] = [
    "anonymous",
    "guest",
    "distinctid",
    "distinct_id",
    "id",
    "not_authenticated",
    "email",
    "undefined",
    "true",
    "false",
    "[object object]",
    "nan",
    "none",
    "null",
    "0",
    "00000000-0000-0000-0000-000000000000",
    "anonymous-user",
    "backend",
    "system",
    "user",
    "'none'",
    "\"none\"",
];

/// Why a whole batch is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The word for it, as the reply has it.
    pub tag: &'static str,
    /// In words.
    pub what: String,
}

impl Refusal {
    fn new(status: u16, tag: &'static str, what: impl Into<String>) -> Self {
        Self { status, tag, what: what.into() }
    }
}

/// The headers that are looked at, where they are there.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "the names are those of the headers")]
pub struct Headers<'a> {
    pub authorization: Option<&'a str>,
    pub content_type: Option<&'a str>,
    pub content_encoding: Option<&'a str>,
    pub user_agent: Option<&'a str>,
    pub sdk_info: Option<&'a str>,
    pub attempt: Option<&'a str>,
    pub request_id: Option<&'a str>,
    pub request_timestamp: Option<&'a str>,
}

/// What the headers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The project's token.
    pub token: String,
    /// Whether the body is gzip.
    pub is_gzip: bool,
    /// What the client's clock showed.
    sent_at: Timestamp,
    /// The library and its version.
    library: Option<(String, String)>,
}

impl Context {
    /// Reads the headers.
    ///
    /// # Errors
    /// When one is missing, or cannot be read.
    pub fn read(headers: &Headers<'_>) -> Result<Self, Refusal> {
        let authorization = headers
            .authorization
            .ok_or_else(|| Refusal::new(401, "missing_authorization", "the header authorization is missing"))?;
        let wanted = [
            ("content-type", headers.content_type),
            ("user-agent", headers.user_agent),
            ("posthog-sdk-info", headers.sdk_info),
            ("posthog-attempt", headers.attempt),
            ("posthog-request-id", headers.request_id),
            ("posthog-request-timestamp", headers.request_timestamp),
        ];
        let missing: Vec<_> = wanted.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| *name).collect();
        if !missing.is_empty() {
            let what = format!("required headers are missing: {}", missing.join(", "));
            return Err(Refusal::new(400, "missing_required_headers", what));
        }
        let invalid = |what: &str| Refusal::new(400, "invalid_header_value", what);
        let (scheme, token) = authorization.split_at_checked(6).unwrap_or((authorization, ""));
        if !scheme.eq_ignore_ascii_case("bearer") || !(token.is_empty() || token.starts_with(' ')) {
            return Err(invalid("authorization must use the Bearer scheme"));
        }
        let token = token.trim();
        check_token(token).map_err(|refusal| Refusal::new(401, "invalid_api_token", refusal.to_string()))?;
        let content_type = headers.content_type.unwrap_or_default();
        let mime = content_type.split(';').next().unwrap_or_default().trim();
        if !mime.eq_ignore_ascii_case("application/json") {
            return Err(Refusal::new(415, "unsupported_content_type", format!("`{content_type}` is not JSON")));
        }
        let is_gzip = match headers.content_encoding.map(str::to_ascii_lowercase).as_deref() {
            None | Some("identity") => false,
            Some("gzip") => true,
            Some(other) => return Err(Refusal::new(415, "unsupported_encoding", format!("`{other}` is not taken"))),
        };
        Uuid::parse_str(headers.request_id.unwrap_or_default())
            .map_err(|_| invalid("posthog-request-id is not a valid UUID"))?;
        let attempt = headers.attempt.and_then(|attempt| attempt.parse::<u32>().ok());
        attempt.filter(|attempt| *attempt > 0).ok_or_else(|| invalid("posthog-attempt must be a positive integer"))?;
        let sent_at = headers.request_timestamp.and_then(strict_rfc3339);
        let sent_at = sent_at.ok_or_else(|| invalid("posthog-request-timestamp is not valid RFC 3339"))?;
        let library = headers.sdk_info.and_then(|info| info.rsplit_once('/'));
        let library = library.map(|(name, version)| (name.trim().to_owned(), version.trim().to_owned()));
        let library = library.filter(|(name, version)| !name.is_empty() && !version.is_empty());
        Ok(Self { token: token.to_owned(), is_gzip, sent_at, library })
    }
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventResult {
    /// It is stored.
    Ok,
    /// It is stored, and not quite as its client may have meant it.
    Warning,
    /// It is not, and never will be.
    Drop,
    /// It is not, and may be sent again.
    Retry,
}

/// An event with what becomes of it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its uuid.
    pub uuid: Uuid,
    /// What becomes of it, as far as that is known.
    pub result: EventResult,
    /// Why.
    pub details: Option<&'static str>,
    /// What is to be produced of it, if anything.
    pub captured: Option<CapturedEvent<'static>>,
}

impl Entry {
    /// Drops it after all.
    pub fn drop_for(&mut self, details: &'static str) {
        (self.result, self.details, self.captured) = (EventResult::Drop, Some(details), None);
    }
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the wire calls it so")]
struct Batch<'a> {
    created_at: String,
    #[serde(default)]
    historical_migration: bool,
    /// Whether the pipeline's own people send it, who keep their address to themselves.
    #[serde(default)]
    capture_internal: serde_json::Value,
    #[serde(borrow)]
    batch: Vec<Event<'a>>,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the wire calls it so")]
struct Event<'a> {
    event: String,
    uuid: String,
    distinct_id: String,
    timestamp: String,
    session_id: Option<String>,
    window_id: Option<String>,
    #[serde(borrow, default)]
    options: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    properties: Option<&'a RawValue>,
}

/// The events of a batch, in their order, received at `now` from `ip`.
///
/// # Errors
/// When the batch as a whole is refused.
pub fn entries(text: &str, context: &Context, now: Timestamp, ip: &str) -> Result<Vec<Entry>, Refusal> {
    let text = repair_surrogates(text);
    let batch: Batch<'_> = serde_json::from_str(&text)
        .map_err(|error| Refusal::new(400, "request_parsing_error", format!("invalid JSON: {error}")))?;
    if batch.batch.is_empty() {
        return Err(Refusal::new(400, "empty_batch", "the batch holds no event"));
    }
    if strict_rfc3339(&batch.created_at).is_none() {
        return Err(Refusal::new(400, "invalid_batch", "created_at is not valid RFC 3339"));
    }
    let ip = if options::flag(&batch.capture_internal) == Some(true) { OWN_ADDRESS } else { ip };
    let mut seen = HashSet::new();
    let mut entries = Vec::with_capacity(batch.batch.len());
    for event in &batch.batch {
        let text = event.uuid.trim();
        let uuid = Uuid::parse_str(text)
            .map_err(|_| Refusal::new(400, "invalid_event_uuid", format!("`{text}` is no valid uuid")))?;
        if !seen.insert(uuid) {
            return Err(Refusal::new(400, "duplicate_event_uuid", format!("{uuid} is in the batch twice")));
        }
        entries.push(match event.captured(uuid, context, now, ip, batch.historical_migration) {
            Ok((captured, details)) => {
                let result = if details.is_some() { EventResult::Warning } else { EventResult::Ok };
                Entry { uuid, result, details, captured: Some(captured) }
            }
            Err(details) => Entry { uuid, result: EventResult::Drop, details: Some(details), captured: None },
        });
    }
    Ok(entries)
}

impl Event<'_> {
    /// What is produced, and what is remarked; or why it is dropped.
    fn captured(
        &self,
        uuid: Uuid,
        context: &Context,
        now: Timestamp,
        ip: &str,
        historical_migration: bool,
    ) -> Result<(CapturedEvent<'static>, Option<&'static str>), &'static str> {
        let distinct_id = self.distinct_id.trim();
        match self.event.len() {
            0 => return Err("missing_event_name"),
            length if length > MOST_BYTES => return Err("event_name_too_long"),
            _ => (),
        }
        match distinct_id.len() {
            0 => return Err("missing_distinct_id"),
            length if length > MOST_BYTES => return Err("distinct_id_too_large"),
            _ => (),
        }
        let moment = strict_rfc3339(&self.timestamp).ok_or("invalid_event_timestamp")?.to_string();
        let properties = self.properties.map_or("{}", RawValue::get);
        let mut properties: Properties = serde_json::from_str(properties).map_err(|_| "malformed_event_properties")?;
        let options = Options::read(self.options.map_or("null", RawValue::get)).ok_or("invalid_options")?;
        if distinct_id == COOKIELESS && !options.is_cookieless {
            // All who came without cookies would become one person.
            return Err("cookieless_mode_required");
        }
        // What is said elsewhere becomes properties, and wins.
        let library = context.library.as_ref();
        let texts = [
            ("$session_id", self.session_id.as_ref()),
            ("$window_id", self.window_id.as_ref()),
            ("$lib", library.map(|(name, _)| name)),
            ("$lib_version", library.map(|(_, version)| version)),
        ];
        let texts = texts.iter().filter_map(|(key, text)| Some((*key, to_raw_value(text.as_ref()?).ok()?)));
        let options_said = options.properties.iter().filter_map(|(key, value)| Some((*key, to_raw_value(value).ok()?)));
        properties.extend(texts.chain(options_said).map(|(key, value)| (key.to_owned(), value)));

        let said = Said {
            timestamp: Some(&moment),
            offset_ms: None,
            sent_at: Some(context.sent_at),
            ignore_sent_at: options.ignore_sent_at,
        };
        let is_illegal = ILLEGAL.iter().any(|illegal| distinct_id.eq_ignore_ascii_case(illegal));
        let data = Data { event: &self.event, properties: &properties, timestamp: &self.timestamp };
        let captured = CapturedEvent {
            uuid: uuid.to_string().into(),
            distinct_id: distinct_id.to_owned().into(),
            ip: ip.to_owned().into(),
            data: serde_json::to_string(&data).map_err(|_| "serialization_failed")?.into(),
            now: rfc3339(now).into(),
            sent_at: Some(rfc3339(context.sent_at).into()),
            token: context.token.clone().into(),
            event: self.event.clone().into(),
            timestamp: rfc3339(normalise(Dialect::V2026, said, now)).into(),
            historical_migration,
            session_id: self.session_id.clone().map(Into::into),
            is_cookieless_mode: options.is_cookieless,
            force_disable_person_processing: is_illegal,
        };
        Ok((captured, is_illegal.then_some("person_processing_disabled")))
    }
}

#[derive(Serialize)]
struct Data<'a> {
    event: &'a str,
    properties: &'a Properties,
    timestamp: &'a str,
}

#[derive(Serialize)]
struct Status {
    result: EventResult,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'static str>,
}

/// The reply: every event's result, in the order of the batch.
pub fn reply(entries: &[Entry]) -> String {
    let results: Vec<String> = entries
        .iter()
        .map(|entry| {
            let status = Status { result: entry.result, details: entry.details };
            // Words become JSON always.
            format!("\"{}\":{}", entry.uuid, serde_json::to_string(&status).unwrap_or_default())
        })
        .collect();
    format!("{{\"results\":{{{}}}}}", results.join(","))
}

/// The reply to a batch that is refused.
pub fn refused(refusal: &Refusal) -> String {
    let what: Cow<'_, str> = Cow::Borrowed(&refusal.what);
    serde_json::json!({"error": refusal.tag, "error_description": what}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "12345678-9a00-80c0-8000-0f4240a632ad";

    fn headers() -> Headers<'static> {
        Headers {
            authorization: Some("Bearer phc_t"),
            content_type: Some("application/json; charset=utf-8"),
            content_encoding: None,
            user_agent: Some("test/1"),
            sdk_info: Some("posthog-rs/1.2"),
            attempt: Some("1"),
            request_id: Some(UUID),
            request_timestamp: Some("2026-06-01T10:00:00Z"),
        }
    }

    fn taken(batch: &str) -> Result<Vec<Entry>, Refusal> {
        let text = format!(r#"{{"created_at":"2026-06-01T10:00:00Z","batch":{batch}}}"#);
        let context = Context::read(&headers()).unwrap();
        entries(&text, &context, "2026-06-01T12:00:00Z".parse().unwrap(), "10.0.0.1")
    }

    #[test]
    fn headers_are_needed_and_read() {
        type Change = fn(&mut Headers<'static>);
        let cases: [(Change, Option<(u16, &str)>); 16] = [
            (|_| (), None),
            (|headers| headers.authorization = Some("bearer phc_t"), None),
            (|headers| headers.content_encoding = Some("GZIP"), None),
            (|headers| headers.authorization = None, Some((401, "missing_authorization"))),
            (|headers| headers.authorization = Some("Basic x"), Some((400, "invalid_header_value"))),
            (|headers| headers.authorization = Some("Bearer"), Some((401, "invalid_api_token"))),
            (|headers| headers.authorization = Some("Bearerphc_t"), Some((400, "invalid_header_value"))),
            (|headers| headers.authorization = Some("Bearer phx_1"), Some((401, "invalid_api_token"))),
            (|headers| headers.user_agent = None, Some((400, "missing_required_headers"))),
            (|headers| headers.content_type = Some("text/plain"), Some((415, "unsupported_content_type"))),
            (|headers| headers.content_encoding = Some("lz4"), Some((415, "unsupported_encoding"))),
            (|headers| headers.request_id = Some("1"), Some((400, "invalid_header_value"))),
            (|headers| headers.attempt = Some("0"), Some((400, "invalid_header_value"))),
            (|headers| headers.request_timestamp = Some("now"), Some((400, "invalid_header_value"))),
            (|headers| headers.request_timestamp = Some("2026-06-01T10Z"), Some((400, "invalid_header_value"))),
            (|headers| headers.sdk_info = None, Some((400, "missing_required_headers"))),
        ];
        for (case, (change, expected)) in cases.into_iter().enumerate() {
            let mut headers = headers();
            change(&mut headers);
            let found = Context::read(&headers).err().map(|refusal| (refusal.status, refusal.tag));
            assert_eq!(found, expected, "case {case}");
        }
    }

    #[test]
    fn what_is_wrong_with_the_batch_refuses_it() {
        let event = format!(r#"{{"event":"e","uuid":"{UUID}","distinct_id":"d","timestamp":"2026-06-01T09:00:00Z"}}"#);
        for (batch, tag) in [
            ("[]".to_owned(), "empty_batch"),
            (format!("[{event},{event}]"), "duplicate_event_uuid"),
            (format!("[{}]", event.replace(UUID, "x")), "invalid_event_uuid"),
            (format!("[{}]", event.replace(r#""d""#, "7")), "request_parsing_error"),
            ("[{}]".to_owned(), "request_parsing_error"),
        ] {
            assert_eq!(taken(&batch).map(|_| ()).unwrap_err().tag, tag, "{batch}");
        }
    }

    #[test]
    fn what_is_wrong_with_an_event_drops_that_one() {
        let event = |name: &str, id: &str, timestamp: &str, rest: &str| {
            let uuid = Uuid::now_v7();
            format!(r#"{{"event":"{name}","uuid":"{uuid}","distinct_id":"{id}","timestamp":"{timestamp}"{rest}}}"#)
        };
        let at = "2026-06-01T09:00:00Z";
        let cases = [
            (event("e", " d ", at, ""), EventResult::Ok, None),
            (event("e", "Guest", at, ""), EventResult::Warning, Some("person_processing_disabled")),
            (event("", "d", at, ""), EventResult::Drop, Some("missing_event_name")),
            (event(&"é".repeat(101), "d", at, ""), EventResult::Drop, Some("event_name_too_long")),
            (event("e", " ", at, ""), EventResult::Drop, Some("missing_distinct_id")),
            (event("e", &"x".repeat(201), at, ""), EventResult::Drop, Some("distinct_id_too_large")),
            (event("e", "d", "2026-06-01 09:00", ""), EventResult::Drop, Some("invalid_event_timestamp")),
            (event("e", "d", "2026-06-01T09:00:00+02", ""), EventResult::Drop, Some("invalid_event_timestamp")),
            (event("e", "d", at, r#","session_id":"s""#), EventResult::Ok, None),
            (event("e", "d", at, r#","properties":[1]"#), EventResult::Drop, Some("malformed_event_properties")),
            (event("e", "d", at, r#","properties":null"#), EventResult::Drop, Some("malformed_event_properties")),
            (
                event("e", "d", at, r#","options":{"disable_skew_correction":{}}"#),
                EventResult::Drop,
                Some("invalid_options"),
            ),
            (event("e", COOKIELESS, at, r#","options":{"cookieless_mode":true}"#), EventResult::Ok, None),
            (event("e", COOKIELESS, at, ""), EventResult::Drop, Some("cookieless_mode_required")),
        ];
        let batch: Vec<_> = cases.iter().map(|(event, ..)| event.as_str()).collect();
        let found = taken(&format!("[{}]", batch.join(","))).unwrap();
        for (entry, (event, result, details)) in found.iter().zip(&cases) {
            assert_eq!((entry.result, entry.details), (*result, *details), "{event}");
            assert_eq!(entry.captured.is_some(), *result != EventResult::Drop);
        }
        let sessions: Vec<_> =
            found.iter().filter_map(|entry| entry.captured.as_ref()?.session_id.as_deref()).collect();
        assert_eq!(sessions, ["s"]);
        let captured = found[0].captured.as_ref().unwrap();
        assert_eq!((&*captured.distinct_id, &*captured.timestamp), ("d", "2026-06-01T11:00:00.000Z"));
        assert!(
            captured.data.contains(r#""properties":{"$lib":"posthog-rs","$lib_version":"1.2"}"#),
            "{}",
            captured.data
        );
        assert!(found[1].captured.as_ref().unwrap().force_disable_person_processing);
        let told = reply(&found[..3]);
        let word = |at: usize, status: &str| format!("\"{}\":{status}", found[at].uuid);
        assert_eq!(
            told,
            format!(
                "{{\"results\":{{{},{},{}}}}}",
                word(0, r#"{"result":"ok"}"#),
                word(1, r#"{"result":"warning","details":"person_processing_disabled"}"#),
                word(2, r#"{"result":"drop","details":"missing_event_name"}"#),
            )
        );
    }

    #[test]
    fn skew_is_left_alone_where_an_option_says_so() {
        let event = format!(
            r#"[{{"event":"e","uuid":"{UUID}","distinct_id":"d","timestamp":"2026-06-01T09:00:00Z","options":{{"disable_skew_correction":true}}}}]"#
        );
        let captured = taken(&event).unwrap().remove(0).captured.unwrap();
        assert_eq!(captured.timestamp, "2026-06-01T09:00:00.000Z");
        assert!(captured.data.contains(r#""$ignore_sent_at":true"#));
    }
}
