//! Reading a recorded request: what its path, headers and body say, down to the events' JSON (ingestion contract 1.2, 1.3).

use std::io::Read;

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{Style, lz_string, reason};
use crate::workload::{Compression, Endpoint, Form};

const START_OF_2021_MS: i64 = 1_609_459_200_000;
/// No capture takes a body that is longer than this once it is unpacked (rust/capture/src/setup.rs, `event_payload_max_bytes`).
const LIMIT: usize = 100 << 20;

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
    if !["POST", "GET"].iter().any(|known| method.eq_ignore_ascii_case(known)) {
        return Err("its `method` is neither POST nor GET, and no other brings events".into());
    }
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
        Some(endpoint @ Endpoint::Ai) => {
            Err(format!("`{}` takes forms of several parts, which are not read here", endpoint.path()))
        }
        // Recordings of sessions are no events, nor is what was swallowed.
        None | Some(Endpoint::Recordings | Endpoint::BlackHole) => {
            Err(format!("`{}` is no endpoint that events go to", reason::path(path)))
        }
        Some(endpoint) => Ok(endpoint),
    }
}

fn too_long() -> String {
    format!("the body is more than {} MiB unpacked, which no capture takes", LIMIT >> 20)
}

fn text(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.len() > LIMIT {
        return Err(too_long());
    }
    String::from_utf8(bytes).map_err(|_| "the body is not UTF-8".to_owned())
}

fn unpack(hint: Option<&str>, form: Form, data: Vec<u8>) -> Result<(Compression, String), String> {
    if matches!(hint, Some("lz64" | "lz")) {
        let packed = text(data)?;
        let no_lz_string = "the body is no LZString";
        if lz_string::length(&packed, LIMIT).ok_or(no_lz_string)? > LIMIT {
            return Err(too_long());
        }
        let units = lz_str::decompress_from_base64(&packed).ok_or(no_lz_string)?;
        let json = String::from_utf16(&units).map_err(|_| "the body is not UTF-16")?;
        return Ok((Compression::Lz64, text(json.into_bytes())?));
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
        // One byte more than is taken tells that there is more.
        flate2::read::MultiGzDecoder::new(&data[..])
            .take(LIMIT as u64 + 1)
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::replay::lz_string::tests::bomb;

    const EVENT: &str = r#"{"event":"a","distinct_id":"d"}"#;

    /// An event with so many blanks behind it, packed with gzip.
    fn gzipped(blanks: usize) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(EVENT.as_bytes()).unwrap();
        gzip.write_all(&vec![b' '; blanks]).unwrap();
        gzip.finish().unwrap()
    }

    fn opened(query: &str, body: &[u8]) -> Result<usize, String> {
        open("POST", &format!("/e/{query}"), "text/plain", body).map(|opened| opened.json.len())
    }

    #[test]
    fn what_is_too_long_is_told_and_not_cut() {
        let too_long = Err("the body is more than 100 MiB unpacked, which no capture takes".to_owned());
        assert_eq!(opened("", &gzipped(LIMIT - EVENT.len())), Ok(LIMIT), "no more than is taken");
        // The event before the blanks would be whole.
        let bomb_of_gzip = gzipped(LIMIT - EVENT.len() + 1);
        assert_eq!(opened("", &bomb_of_gzip), too_long);
        assert_eq!(opened("?compression=base64", BASE64_STANDARD.encode(&bomb_of_gzip).as_bytes()), too_long);
        // It would be twenty thousand million blanks.
        assert_eq!(opened("?compression=lz64", bomb(200_000).as_bytes()), too_long);
    }

    #[test]
    fn only_post_and_get_bring_events() {
        let opened = |method: &str| open(method, "/e/?data=e30=", "text/plain", EVENT.as_bytes());
        for method in ["POST", "post", "GET"] {
            assert!(opened(method).is_ok(), "{method}");
        }
        for method in ["PUT", "DELETE", "HEAD", "OPTIONS", "s3cret", ""] {
            let what = opened(method).unwrap_err();
            assert!(what.contains("neither POST nor GET") && !what.contains("s3cret"), "{method}: {what}");
        }
    }

    #[test]
    fn what_is_packed_with_lz_string_is_read() {
        let packed = lz_str::compress_to_base64(EVENT);
        assert_eq!(opened("?compression=lz64", packed.as_bytes()), Ok(EVENT.len()));
        let half = &packed.as_bytes()[..packed.len() / 2];
        assert_eq!(opened("?compression=lz64", half), Err("the body is no LZString".to_owned()));
    }
}
