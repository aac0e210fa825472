//! `/i/v0/ai`: one event of AI in a form of several parts (rust/capture, `ai_endpoint.rs`; dialect 2026).
//!
//! The first part is `event`; its properties are in it, or in a part of their own. Contents in parts of their own are kept by a
//! capture with a store for them, as it could have one from December 2025 to August 2026, and their addresses become properties
//! ([`super::blobs`]); without one the capture is a later one, which refuses such parts.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use multer::{Multipart, parse_boundary};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use super::{
    blobs::{self, Blob, BlobStore},
    encoding,
    request::{OWN_ADDRESS, Refusal, check_token, given},
};
use crate::pipeline::{
    captured::CapturedEvent,
    dialect::Dialect,
    ingester::event::Properties,
    json_text::repair_surrogates,
    timestamp::{Said, normalise, parse, rfc3339},
};

/// What all parts may come to.
const PARTS_LIMIT: usize = 25 << 20;
/// The same with what is around them.
pub const LIMIT: usize = PARTS_LIMIT / 10 * 11;
const EVENT_LIMIT: usize = 32 << 10;
/// Event and properties together.
const BOTH_LIMIT: usize = 960 << 10;
/// The events that are taken, and that have a topic of their own (`AI_EVENT_TYPES`).
pub(super) const NAMES: [&str; 6] =
    ["$ai_generation", "$ai_trace", "$ai_span", "$ai_embedding", "$ai_metric", "$ai_feedback"];

/// Whether an event is one of AI, for the endpoints that take no others.
pub fn is_of_ai(name: &str) -> bool {
    name.starts_with("$ai_")
}

/// The headers that are looked at.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "the names are those of the headers")]
pub struct Headers<'a> {
    pub authorization: &'a str,
    pub content_type: &'a str,
    pub content_encoding: &'a str,
}

/// A part that was accepted, as the reply tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Part {
    name: String,
    length: usize,
    #[serde(rename = "content-type")]
    content_type: Option<String>,
    #[serde(rename = "content-encoding")]
    content_encoding: Option<String>,
}

/// What was sent, and the reply that it gets once it is stored.
#[derive(Debug)]
pub struct Accepted {
    /// The event.
    pub event: CapturedEvent<'static>,
    /// The reply, JSON.
    pub reply: String,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the wire calls it so")]
struct Event<'a> {
    #[serde(borrow)]
    event: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    distinct_id: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    uuid: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    timestamp: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    sent_at: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    properties: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct KnownProperties<'a> {
    #[serde(borrow, default, rename = "$ai_model")]
    model: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, rename = "$ignore_sent_at")]
    ignore_sent_at: Option<bool>,
    #[serde(default, rename = "$cookieless_mode")]
    cookieless_mode: Option<bool>,
    /// Whether the pipeline's own people send it, who keep their address to themselves.
    #[serde(borrow, default, deserialize_with = "given")]
    capture_internal: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Data<'a> {
    event: &'a str,
    distinct_id: &'a str,
    properties: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<&'a str>,
}

/// Reads a request, whose contents in parts of their own go into `store`.
///
/// # Errors
/// When it is refused; nothing of it is stored then.
pub async fn accept(
    headers: Headers<'_>,
    body: &[u8],
    now: Timestamp,
    ip: &str,
    store: Option<&BlobStore>,
) -> Result<Accepted, Refusal> {
    let bad = |what: &str| Refusal::Body(what.to_owned());
    if body.is_empty() {
        return Err(bad("request holds no data"));
    }
    let body = if headers.content_encoding.eq_ignore_ascii_case("gzip") {
        encoding::gunzip(body, LIMIT)?
    } else {
        body.to_vec()
    };
    if !headers.content_type.starts_with("multipart/form-data") {
        return Err(bad("Content-Type must be multipart/form-data"));
    }
    let boundary = parse_boundary(headers.content_type).map_err(|error| Refusal::Body(error.to_string()))?;
    let token = headers.authorization.strip_prefix("Bearer ").ok_or(Refusal::NoToken)?;
    check_token(token)?;

    let Parts { texts, blobs, accepted } = parts(body, boundary, store.is_some()).await?;
    let length: usize = texts.iter().map(|(_, text)| text.len()).sum();
    if length > BOTH_LIMIT {
        return Err(Refusal::TooLarge(BOTH_LIMIT));
    }
    let of = |wanted: &str| texts.iter().find(|(name, _)| name == wanted).map(|(_, text)| text.as_str());
    let event = of("event").ok_or_else(|| bad("Missing required 'event' part in multipart data"))?;
    if event.len() > EVENT_LIMIT {
        return Err(Refusal::TooLarge(EVENT_LIMIT));
    }
    let not_json = |error: serde_json::Error| Refusal::Body(format!("Event part must be valid JSON: {error}"));
    let event = repair_surrogates(event);
    let event: Event<'_> = serde_json::from_str(&event).map_err(not_json)?;
    let own = of("event.properties").map(repair_surrogates);
    let own: Option<&RawValue> = own.as_deref().map(serde_json::from_str).transpose().map_err(not_json)?;
    let properties = match (event.properties, own) {
        (Some(_), Some(_)) => {
            return Err(bad("Event cannot have both embedded properties and a separate 'event.properties' part"));
        }
        (Some(properties), None) | (None, Some(properties)) => properties,
        (None, None) => return Err(bad("Event properties must contain '$ai_model'")),
    };
    if !NAMES.contains(&&*event.event) {
        return Err(Refusal::Body(format!("`{}` is no event of AI", event.event)));
    }
    if event.distinct_id.is_empty() {
        return Err(Refusal::NoDistinctId);
    }
    let known: KnownProperties<'_> = serde_json::from_str(properties.get()).map_err(not_json)?;
    if known.model.is_none_or(|model| model.is_empty()) {
        return Err(bad("$ai_model cannot be empty"));
    }
    // Here none is minted.
    let uuid = event.uuid.as_deref().ok_or_else(|| bad("Event UUID is required"))?;
    let uuid = Uuid::parse_str(uuid).map_err(|_| Refusal::Body(format!("invalid uuid `{uuid}`")))?;
    let addresses = store.map(|store| store.addresses(token, uuid, &blobs)).unwrap_or_default();
    let with_addresses = with_addresses(properties, &blobs, &addresses).map_err(not_json)?;
    let sent_at = event.sent_at.as_deref().and_then(parse);
    let said = Said {
        timestamp: event.timestamp.as_deref(),
        offset_ms: None,
        sent_at,
        ignore_sent_at: known.ignore_sent_at.unwrap_or_default(),
    };
    let data = Data {
        event: &event.event,
        distinct_id: &event.distinct_id,
        properties: with_addresses.as_deref().unwrap_or(properties),
        timestamp: event.timestamp.as_deref(),
    };
    let event = CapturedEvent {
        uuid: uuid.to_string().into(),
        distinct_id: event.distinct_id.clone().into_owned().into(),
        ip: if known.capture_internal.is_some() { OWN_ADDRESS } else { ip }.to_owned().into(),
        data: serde_json::to_string(&data).map_err(not_json)?.into(),
        now: rfc3339(now).into(),
        sent_at: sent_at.map(|moment| rfc3339(moment).into()),
        token: token.to_owned().into(),
        event: event.event.clone().into_owned().into(),
        timestamp: rfc3339(normalise(Dialect::V2026, said, now)).into(),
        historical_migration: false,
        session_id: None,
        is_cookieless_mode: known.cookieless_mode.unwrap_or_default(),
        force_disable_person_processing: false,
    };
    Ok(Accepted { event, reply: serde_json::json!({ "accepted_parts": accepted }).to_string() })
}

/// The properties with the addresses of contents, which win over properties of the same name; `None` if there are none.
fn with_addresses(
    properties: &RawValue,
    blobs: &[Blob],
    addresses: &[String],
) -> Result<Option<Box<RawValue>>, serde_json::Error> {
    if addresses.is_empty() {
        return Ok(None);
    }
    let mut properties: Properties = serde_json::from_str(properties.get())?;
    for (Blob { property, .. }, address) in blobs.iter().zip(addresses) {
        properties.insert(property.clone(), to_raw_value(address)?);
    }
    to_raw_value(&properties).map(Some)
}

/// What a form holds.
#[derive(Default)]
struct Parts {
    /// The event, and its properties if they are beside it, by their names.
    texts: Vec<(String, String)>,
    /// The contents with parts of their own.
    blobs: Vec<Blob>,
    /// What the reply tells of all of them.
    accepted: Vec<Part>,
}

/// Reads a form.
async fn parts(body: Vec<u8>, boundary: String, takes_blobs: bool) -> Result<Parts, Refusal> {
    let failed = |error: multer::Error| Refusal::Body(format!("Multipart parsing failed: {error}"));
    let bad = |what: String| Err(Refusal::Body(what));
    let body = stream::once(async move { Ok::<_, std::io::Error>(Bytes::from(body)) }).boxed();
    let mut form = Multipart::new(body, boundary);
    let mut parts = Parts::default();
    let mut length = 0;
    while let Some(field) = form.next_field().await.map_err(failed)? {
        let name = field.name().unwrap_or("unknown").to_owned();
        let content_type = field.content_type().map(ToString::to_string);
        let content_encoding = field.headers().get("content-encoding").and_then(|value| value.to_str().ok());
        let content_encoding = content_encoding.map(str::to_owned);
        if parts.accepted.is_empty() && name != "event" {
            return bad(format!("First part must be 'event', got '{name}'"));
        }
        if parts.accepted.iter().any(|part| part.name == name) {
            return bad(format!("the part '{name}' is there twice"));
        }
        let is_blob = takes_blobs && name.starts_with(blobs::PREFIX);
        if !is_blob && name != "event" && name != "event.properties" {
            return bad(format!("Unknown multipart field: '{name}'. Expected 'event' or 'event.properties'"));
        }
        let bytes = field.bytes().await.map_err(failed)?;
        length += bytes.len();
        if length > PARTS_LIMIT {
            return Err(Refusal::TooLarge(PARTS_LIMIT));
        }
        if is_blob {
            parts.blobs.push(Blob::read(&name, content_type.as_deref(), content_encoding.as_deref(), bytes.len())?);
        } else if let Ok(text) = String::from_utf8(bytes.to_vec()) {
            parts.texts.push((name.clone(), text));
        } else {
            return bad(format!("the part '{name}' must be valid UTF-8"));
        }
        parts.accepted.push(Part { name, length: bytes.len(), content_type, content_encoding });
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(parts: &[(&str, &str)]) -> Vec<u8> {
        let part = |(name, text): &(&str, &str)| {
            format!(
                "--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\nContent-Type: application/json\r\n\r\n{text}\r\n"
            )
        };
        let parts: String = parts.iter().map(part).collect();
        format!("{parts}--b--\r\n").into_bytes()
    }

    const HEADERS: Headers<'static> = Headers {
        authorization: "Bearer phc_t",
        content_type: "multipart/form-data; boundary=b",
        content_encoding: "",
    };
    const EVENT: &str = r#"{"event":"$ai_generation","distinct_id":"d","uuid":"550e8400-e29b-41d4-a716-446655440000","timestamp":"2026-06-01T09:00:00Z"}"#;
    const PROPERTIES: &str = r#"{"$ai_model":"m","n":1.50}"#;

    async fn of(headers: Headers<'_>, body: &[u8]) -> Result<Accepted, Refusal> {
        accept(headers, body, "2026-06-01T12:00:00Z".parse().unwrap(), "10.0.0.1", None).await
    }

    async fn of_store(body: &[u8]) -> Result<Accepted, Refusal> {
        let store = BlobStore::new("capture".into(), "llma/".into());
        accept(HEADERS, body, "2026-06-01T12:00:00Z".parse().unwrap(), "10.0.0.1", store.as_ref()).await
    }

    #[tokio::test]
    async fn an_event_in_parts_is_taken() {
        let body = form(&[("event", EVENT), ("event.properties", PROPERTIES)]);
        let Accepted { event, reply } = of(HEADERS, &body).await.unwrap();
        assert_eq!((&*event.event, &*event.distinct_id, &*event.token), ("$ai_generation", "d", "phc_t"));
        assert!(event.data.contains(r#""properties":{"$ai_model":"m","n":1.50}"#), "{}", event.data);
        assert_eq!(event.timestamp, "2026-06-01T09:00:00.000Z");
        let told: serde_json::Value = serde_json::from_str(&reply).unwrap();
        assert_eq!(told["accepted_parts"][0]["length"], EVENT.len());
        assert_eq!(told["accepted_parts"][1]["name"], "event.properties");
        let whole = EVENT.replace('}', &format!(r#","properties":{PROPERTIES}}}"#));
        let within = of(HEADERS, &form(&[("event", &whole)])).await.unwrap();
        assert_eq!(within.event.data, event.data, "properties within");
        assert_eq!(event.ip, "10.0.0.1");
        let internal = PROPERTIES.replace('}', r#","capture_internal":null}"#);
        let internal = of(HEADERS, &form(&[("event", EVENT), ("event.properties", &internal)])).await.unwrap();
        assert_eq!(internal.event.ip, OWN_ADDRESS);
    }

    #[tokio::test]
    async fn contents_in_parts_of_their_own_become_addresses_where_there_is_a_store() {
        let (input, output) = ("event.properties.$ai_input", "event.properties.n");
        let body = form(&[("event", EVENT), ("event.properties", PROPERTIES), (input, "[1]"), (output, "[22]")]);
        let Accepted { event, reply } = of_store(&body).await.unwrap();
        let data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
        // SHA-256 of `phc_t`; 64 bytes of a boundary before 87 of a part, and so on.
        let file = "s3://capture/llma/3d46dbd4ccbfd49d/550e8400-e29b-41d4-a716-446655440000?range=";
        let properties = serde_json::json!({
            "$ai_model": "m", "$ai_input": format!("{file}64-150"), "n": format!("{file}217-296"),
        });
        assert_eq!(data["properties"], properties, "and they win over properties of the same name");
        let told: serde_json::Value = serde_json::from_str(&reply).unwrap();
        assert_eq!(told["accepted_parts"][2]["name"], input);
        assert_eq!(told["accepted_parts"][3]["length"], 4);
        let without = form(&[("event", EVENT), ("event.properties", PROPERTIES)]);
        assert!(of_store(&without).await.unwrap().event.data.contains("1.50"), "as it came");
        let refusal = of(HEADERS, &body).await.unwrap_err();
        assert_eq!(refusal.status(), 400);
        assert!(refusal.to_string().contains("Unknown multipart field"), "{refusal}");
        for parts in [
            [(input, "[1]"), (input, "[1]")],
            [(input, ""), (output, "[1]")],
            [("event.properties.a.b", "[1]"), (output, "[1]")],
            [("attachment", "[1]"), (output, "[1]")],
            [("event", EVENT), (output, "[1]")],
        ] {
            let parts = [&[("event", EVENT), ("event.properties", PROPERTIES)], &parts[..]].concat();
            let status = of_store(&form(&parts)).await.map_err(|refusal| refusal.status()).err();
            assert_eq!(status, Some(400), "{parts:?}");
        }
        let long = "x".repeat(PARTS_LIMIT);
        let long = form(&[("event", EVENT), ("event.properties", PROPERTIES), (input, &long)]);
        assert_eq!(of_store(&long).await.unwrap_err().status(), 413);
    }

    #[tokio::test]
    async fn what_is_wrong_is_refused() {
        let good = form(&[("event", EVENT), ("event.properties", PROPERTIES)]);
        let status = async |headers, body: &[u8]| of(headers, body).await.map_err(|refusal| refusal.status()).err();
        assert_eq!(status(HEADERS, &good).await, None);
        assert_eq!(status(Headers { authorization: "", ..HEADERS }, &good).await, Some(401));
        assert_eq!(status(Headers { authorization: "Bearer phx_1", ..HEADERS }, &good).await, Some(401));
        assert_eq!(status(Headers { authorization: "Bearerphc_t", ..HEADERS }, &good).await, Some(401));
        assert_eq!(status(Headers { content_type: "application/json", ..HEADERS }, &good).await, Some(400));
        assert_eq!(status(Headers { content_encoding: "gzip", ..HEADERS }, &good).await, Some(400));
        let long = format!(r#"{{"event":"$ai_span","distinct_id":"{}"}}"#, "x".repeat(EVENT_LIMIT));
        for (parts, expected) in [
            (vec![("event.properties", PROPERTIES), ("event", EVENT)], 400),
            (vec![("event", EVENT)], 400),
            (vec![("event", &EVENT.replace("\"uuid\"", "\"other\"")), ("event.properties", PROPERTIES)], 400),
            (vec![("event", &EVENT.replace("550e8400-", "")), ("event.properties", PROPERTIES)], 400),
            (
                vec![
                    ("event", &EVENT.replace('}', &format!(r#","properties":{PROPERTIES}}}"#))),
                    ("event.properties", PROPERTIES),
                ],
                400,
            ),
            (vec![("event", EVENT), ("event.properties", r#"{"$ai_model":""}"#)], 400),
            (vec![("event", EVENT), ("event.properties", PROPERTIES), ("event.properties.x", "blob")], 400),
            (vec![("event", &EVENT.replace("$ai_generation", "$pageview")), ("event.properties", PROPERTIES)], 400),
            (vec![("event", &EVENT.replace("\"d\"", "\"\"")), ("event.properties", PROPERTIES)], 400),
            (vec![("event", &long), ("event.properties", PROPERTIES)], 413),
        ] {
            assert_eq!(status(HEADERS, &form(&parts)).await, Some(expected), "{parts:?}");
        }
        assert_eq!(status(HEADERS, &good[..good.len() / 2]).await, Some(400), "cut off");
    }
}
