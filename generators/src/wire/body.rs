//! The form of a body: what is done to its JSON, where it goes, and what headers and query say about it
//! (ingestion contract 1.3).

use std::io::Write;

use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::write::GzEncoder;

use crate::{
    replay::Style,
    workload::{Compression, Endpoint, Form, LIBRARY_VERSION, RequestSpelling},
};

/// How a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// With a body.
    #[default]
    Post,
    /// With everything in its query.
    Get,
}

impl Method {
    /// As HTTP writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Get => "GET",
        }
    }
}

/// What a query says beside the data.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query {
    /// The parameter `_`.
    pub sent_at_ms: Option<i64>,
    /// What the client's clock shows, whatever is said of it.
    pub due_ms: i64,
    /// How many times posthog-js has tried before.
    pub retry_count: Option<u32>,
    /// Whether nobody will read the answer.
    pub beacon: bool,
    /// How path and compression are called.
    pub spelling: RequestSpelling,
}

/// What is sent but for the body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    pub method: Method,
    /// Path and query.
    pub target: String,
    pub content_type: &'static str,
}

pub(super) const JSON: &str = "application/json";
/// Longer bodies are not packed twice, or they might outgrow what those paths take.
const MOST_TWICE: usize = 1 << 20;
const TEXT: &str = "text/plain";
const URLENCODED: &str = "application/x-www-form-urlencoded";

/// Packs `json` into `body`, which is empty, as `style` says; the moment of sending goes into the query of all endpoints but
/// `batch`.
pub(super) fn pack(style: Style, query: Query, json: &[u8], body: &mut Vec<u8>) -> std::io::Result<Envelope> {
    let (hint, is_text) = match style.compression {
        Compression::None => {
            body.extend_from_slice(json);
            (None, false)
        }
        Compression::Gzip => {
            gzip(json, body)?;
            (query.spelling.unknown_hint, false)
        }
        Compression::GzipJs => {
            gzip(json, body)?;
            let hint = if query.spelling.other_hint { "gzip" } else { "gzip-js" };
            // In a form nobody looks at first bytes.
            let usual = (style.form != Form::Plain || !query.spelling.no_hint).then_some(hint);
            (query.spelling.unknown_hint.or(usual), true)
        }
        Compression::Base64 => {
            let mut text = BASE64_STANDARD.encode(json);
            if query.spelling.packed_twice && is_unpacked_twice(style) && json.len() < MOST_TWICE {
                text = BASE64_STANDARD.encode(text);
            }
            body.extend_from_slice(text.as_bytes());
            (Some("base64"), true)
        }
        Compression::Lz64 => {
            body.extend_from_slice(lz64(json).as_bytes());
            (Some(if query.spelling.other_hint { "lz" } else { "lz64" }), true)
        }
    };
    Ok(match style.form {
        Form::Plain => Envelope {
            method: Method::Post,
            target: target(style.endpoint, query, hint, None),
            content_type: if is_text { TEXT } else { JSON },
        },
        Form::Urlencoded => {
            let data = as_base64(style.compression, std::mem::take(body));
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair("data", &data);
            if let Some(hint) = hint {
                form.append_pair("compression", hint);
            }
            *body = form.finish().into_bytes();
            Envelope {
                method: Method::Post,
                target: target(style.endpoint, query, None, None),
                content_type: URLENCODED,
            }
        }
        Form::Query => {
            let data = as_base64(style.compression, std::mem::take(body));
            Envelope {
                method: Method::Get,
                target: target(style.endpoint, query, hint, Some(&data)),
                content_type: JSON,
            }
        }
    })
}

/// What can stand in a form or a query: base64, unless it is that already.
fn as_base64(compression: Compression, bytes: Vec<u8>) -> String {
    match compression {
        Compression::Base64 | Compression::Lz64 => String::from_utf8(bytes).unwrap_or_default(),
        Compression::None | Compression::Gzip | Compression::GzipJs => BASE64_STANDARD.encode(bytes),
    }
}

/// Where base64 within base64 is undone: in a plain body, at the paths of old clients (rust/capture, payload/decompression.rs).
const fn is_unpacked_twice(style: Style) -> bool {
    matches!(style.form, Form::Plain)
        && matches!(style.endpoint, Endpoint::E | Endpoint::Capture | Endpoint::Track | Endpoint::Engage)
}

fn gzip(json: &[u8], body: &mut Vec<u8>) -> std::io::Result<()> {
    let mut gzip = GzEncoder::new(std::mem::take(body), flate2::Compression::default());
    gzip.write_all(json)?;
    *body = gzip.finish()?;
    Ok(())
}

/// `LZString.compressToBase64` of the text (pieroxy/lz-string, which posthog-js used up to 2021).
fn lz64(json: &[u8]) -> String {
    lz_str::compress_to_base64(&*String::from_utf8_lossy(json))
}

/// Path and query.
pub(super) fn target(endpoint: Endpoint, query: Query, hint: Option<&str>, data: Option<&str>) -> String {
    let mut target = endpoint.path().to_owned();
    if query.spelling.other_slash && target.pop() != Some('/') {
        target = format!("{}/", endpoint.path());
    }
    let seconds = query.spelling.seconds.then_some(query.due_ms.div_euclid(1_000));
    let sent_at = query.sent_at_ms.or(seconds).filter(|_| endpoint.has_sent_at_in_query()).map(|ms| ms.to_string());
    let retry_count = query.retry_count.map(|count| count.to_string());
    let (version, keeps_address) =
        if query.spelling.more_query { (Some(LIBRARY_VERSION), Some("0")) } else { (None, None) };
    let pairs = [
        ("ver", version),
        ("ip", keeps_address),
        ("compression", hint),
        ("retry_count", retry_count.as_deref()),
        ("_", sent_at.as_deref()),
        ("beacon", query.beacon.then_some("1")),
        ("data", data),
    ];
    for (at, (key, value)) in pairs.iter().filter_map(|(key, value)| Some((key, (*value)?))).enumerate() {
        target.push(if at == 0 { '?' } else { '&' });
        target.push_str(key);
        target.push('=');
        target.extend(form_urlencoded::byte_serialize(value.as_bytes()));
    }
    target
}
