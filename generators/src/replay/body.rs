//! Reading a recorded request: what its path, headers and body say, down to the events' JSON (ingestion contract 1.2, 1.3).

use std::io::Read;

use base64::{Engine, prelude::BASE64_STANDARD};

use super::Style;
use crate::workload::{Compression, Endpoint, Form};

const START_OF_2021_MS: i64 = 1_609_459_200_000;
/// A recorded body is not unpacked beyond this.
const LIMIT: u64 = 64 << 20;

/// A request's style, the query parameter `_`, and its JSON.
#[derive(Debug)]
pub(super) struct Opened {
    pub style: Style,
    pub sent_at_ms: Option<i64>,
    pub json: String,
}

/// Opens a request that was made with `method` to `path` (and query), with the content type `content_type`.
pub(super) fn open(method: &str, path: &str, content_type: &str, body: &[u8]) -> Result<Opened, String> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let endpoint = endpoint(path)?;
    let field = |text: &[u8], key: &str| {
        form_urlencoded::parse(text).find(|(name, _)| name == key).map(|(_, value)| value.into_owned())
    };
    // Seconds where milliseconds belong would be in 1970: nobody believes them (ingestion contract 1.3).
    let sent_at_ms = field(query.as_bytes(), "_").and_then(|ms| ms.parse().ok()).filter(|ms| *ms >= START_OF_2021_MS);
    let mut hint = field(query.as_bytes(), "compression");
    let (form, data) = if method.eq_ignore_ascii_case("GET") {
        (Form::Query, field(query.as_bytes(), "data").ok_or("the query holds no `data`")?.into_bytes())
    } else if content_type.starts_with("application/x-www-form-urlencoded") {
        hint = field(body, "compression").or(hint);
        (Form::Urlencoded, field(body, "data").ok_or("the form holds no field `data`")?.into_bytes())
    } else {
        (Form::Plain, body.to_vec())
    };
    let (compression, json) = unpack(hint.as_deref(), form, data)?;
    Ok(Opened { style: Style { endpoint, compression, form, historical: false }, sent_at_ms, json })
}

fn endpoint(path: &str) -> Result<Endpoint, String> {
    let is_there = |endpoint: &Endpoint| endpoint.path().trim_matches('/') == path.trim_matches('/');
    match Endpoint::ALL.into_iter().find(is_there) {
        Some(Endpoint::Ai) => Err(format!("`{path}` takes forms of several parts, which are not read here")),
        // Recordings of sessions are no events, nor is what was swallowed.
        None | Some(Endpoint::Recordings | Endpoint::BlackHole) => {
            Err(format!("`{path}` is no endpoint that events go to"))
        }
        Some(endpoint) => Ok(endpoint),
    }
}

fn unpack(hint: Option<&str>, form: Form, data: Vec<u8>) -> Result<(Compression, String), String> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| "the body is not UTF-8".to_owned());
    if matches!(hint, Some("lz64" | "lz")) {
        let units = lz_str::decompress_from_base64(&text(data)?).ok_or("the body is no LZString")?;
        return Ok((Compression::Lz64, String::from_utf16(&units).map_err(|_| "the body is not UTF-16")?));
    }
    let begins = |data: &[u8]| data.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
    let mut is_base64 = false;
    let data = match begins(&data) {
        Some(b'{' | b'[' | 0x1f) => data,
        _ => {
            is_base64 = true;
            let compact: Vec<u8> = data.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
            BASE64_STANDARD
                .decode(compact)
                .map_err(|error| format!("the body is neither JSON nor gzip nor base64: {error}"))?
        }
    };
    if data.starts_with(&[0x1f, 0x8b]) {
        let mut json = Vec::new();
        flate2::read::MultiGzDecoder::new(&data[..])
            .take(LIMIT)
            .read_to_end(&mut json)
            .map_err(|error| format!("the body is no whole gzip: {error}"))?;
        let compression = if hint == Some("gzip-js") { Compression::GzipJs } else { Compression::Gzip };
        return Ok((compression, text(json)?));
    }
    // Some clients pack twice.
    let again = if is_base64 && !matches!(begins(&data), Some(b'{' | b'[')) {
        BASE64_STANDARD.decode(&data).ok()
    } else {
        None
    };
    let data = again.unwrap_or(data);
    // In a form and a query it is base64 always.
    let compression = if is_base64 && form == Form::Plain { Compression::Base64 } else { Compression::None };
    Ok((compression, text(data)?))
}
