//! From a request to the JSON text in it: forms, queries, gzip, base64 and `LZString`
//! (`rust/capture/src/v0_request.rs`, payload/decompression.rs; ingestion contract 1.3).

use std::{
    borrow::Cow,
    io::{self, Read},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::read::MultiGzDecoder;

use super::{lz_string, request::Refusal};
use crate::pipeline::dialect::Dialect;

/// A request as it came.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// Whether everything is in the query.
    pub is_get: bool,
    /// The header `content-type`.
    pub content_type: &'a str,
    /// What is behind the question mark.
    pub query: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// Whether it came to a path of old clients, where base64 is undone once more (`v0_request.rs`, `path_is_legacy_endpoint`).
    pub is_legacy: bool,
}

/// What a client says about the compression; anything else is no word of it and ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hint {
    Base64,
    Lz64,
}

impl<'a> Sent<'a> {
    /// The text of the request, once all that was done to it is undone; no more than `limit` bytes.
    ///
    /// # Errors
    /// [`Refusal::Body`] and [`Refusal::TooLarge`].
    pub fn text(&self, dialect: Dialect, limit: usize) -> Result<Cow<'a, str>, Refusal> {
        let field = |text: &[u8], key: &str| {
            form_urlencoded::parse(text).find(|(name, _)| name == key).map(|(_, value)| value.into_owned())
        };
        let mut hint = field(self.query.as_bytes(), "compression");
        let missing = || Refusal::Body("the request holds no data".into());
        let mut is_field = false;
        let data: Cow<'a, [u8]> = if self.is_get {
            is_field = true;
            field(self.query.as_bytes(), "data").ok_or_else(missing)?.into_bytes().into()
        } else if self.content_type.starts_with("application/x-www-form-urlencoded") {
            hint = field(self.body, "compression").or(hint);
            is_field = true;
            field(self.body, "data").ok_or_else(missing)?.into_bytes().into()
        } else {
            Cow::Borrowed(self.body)
        };
        let hint = match hint.as_deref() {
            Some("base64") => Some(Hint::Base64),
            // The Rust capture of 2024 did not know it.
            Some("lz64" | "lz") if dialect != Dialect::V2024 => Some(Hint::Lz64),
            // Of gzip nobody needs to say anything.
            _ => None,
        };
        // What is base64 as a whole is that of whatever it is (payload/common.rs, `extract_payload_bytes`): what came in a field must
        // be, unless somebody wrote JSON there, and what says so.
        let is_bare = is_gzip(&data) || looks_like_json(&data);
        let opened = if is_bare { None } else { unbase64(&data) };
        if opened.is_none() && !is_bare && (hint == Some(Hint::Base64) || is_field && hint.is_none()) {
            return Err(bad("base64"));
        }
        // gzip is told by its first bytes, and they are believed before the client is.
        let zipped = [Some(&*data), opened.as_deref()].into_iter().flatten().find(|bytes| is_gzip(bytes));
        let text = match (zipped, hint) {
            (Some(zipped), _) => utf8(gunzip(zipped, limit)?.into())?,
            (None, Some(Hint::Lz64)) => unlz(&data, limit)?.into(),
            (None, _) => utf8(opened.map_or(data, Cow::Owned))?,
        };
        if text.len() > limit {
            return Err(Refusal::TooLarge(limit));
        }
        // Some old clients packed twice.
        if self.is_legacy
            && !looks_like_json(text.as_bytes())
            && let Some(again) = unbase64(text.as_bytes())
            && let Ok(again) = String::from_utf8(again)
        {
            return Ok(again.into());
        }
        Ok(text)
    }
}

/// The text of a body that is gzip, or is not.
///
/// # Errors
/// [`Refusal::Body`] and [`Refusal::TooLarge`].
pub fn json(body: &[u8], packed: bool, limit: usize) -> Result<Cow<'_, str>, Refusal> {
    utf8(if packed { gunzip(body, limit)?.into() } else { body.into() })
}

fn utf8(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, str>, Refusal> {
    let refused = || Refusal::Body("invalid UTF-8 in request body".into());
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| refused()),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| refused()),
    }
}

fn bad(what: &str) -> Refusal {
    Refusal::Body(format!("invalid {what} data"))
}

fn looks_like_json(bytes: &[u8]) -> bool {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(first, Some(b'{' | b'['))
}

fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b, 0x08])
}

fn unbase64(bytes: &[u8]) -> Option<Vec<u8>> {
    // A plus that nobody escaped in a form is read as a blank.
    let text: Vec<u8> = bytes.iter().map(|byte| if *byte == b' ' { b'+' } else { *byte }).collect();
    BASE64_STANDARD.decode(text.trim_ascii()).ok().filter(|bytes| !bytes.is_empty())
}

/// What was compressed with gzip, no more than `limit` bytes.
///
/// # Errors
/// [`Refusal::Body`] and [`Refusal::TooLarge`].
pub fn gunzip(bytes: &[u8], limit: usize) -> Result<Vec<u8>, Refusal> {
    // One byte more than is allowed tells that there is more.
    let reader = || MultiGzDecoder::new(bytes).take(limit as u64 + 1);
    let invalid = |error: io::Error| Refusal::Body(format!("invalid gzip data: {error}"));
    // What says itself that it is too long is counted before anything of it is kept: a bomb shall not have the memory that it is after.
    let says_too_long = bytes.last_chunk().is_some_and(|length| u32::from_le_bytes(*length) as usize > limit);
    if says_too_long && io::copy(&mut reader(), &mut io::sink()).map_err(invalid)? > limit as u64 {
        return Err(Refusal::TooLarge(limit));
    }
    let mut unpacked = Vec::new();
    reader().read_to_end(&mut unpacked).map_err(invalid)?;
    if unpacked.len() > limit { Err(Refusal::TooLarge(limit)) } else { Ok(unpacked) }
}

fn unlz(data: &[u8], limit: usize) -> Result<String, Refusal> {
    let text = std::str::from_utf8(data).map_err(|_| bad("LZString"))?;
    let units = lz_string::unpack(text, limit)?;
    // Garbage is often read as nothing.
    String::from_utf16(&units).ok().filter(|text| !text.is_empty()).ok_or_else(|| bad("LZString"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::pipeline::capture::routes::{UNPACKED_LIMIT, V1_UNPACKED_LIMIT};

    const LIMIT: usize = 1_000;
    const JSON: &str = r#"{"event":"é","x":[1,2,3,"+/="]}"#;

    fn gzipped(text: &str) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap()
    }

    fn form(pairs: &[(&str, &str)]) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }

    #[test]
    fn every_encoding_is_undone() {
        let (gzip, base64) = (gzipped(JSON), BASE64_STANDARD.encode(JSON));
        let base64_of_gzip = BASE64_STANDARD.encode(&gzip);
        let lz = lz_str::compress_to_base64(JSON);
        let (plain, urlencoded) = ("application/json", "application/x-www-form-urlencoded; charset=utf-8");
        let field = |data: &str, compression: &str| form(&[("data", data), ("compression", compression)]).into_bytes();
        let cases: [(&str, bool, &str, String, Vec<u8>); 16] = [
            ("plain", false, plain, String::new(), JSON.into()),
            ("another type", false, "text/nonsense", String::new(), JSON.into()),
            ("gzip", false, plain, String::new(), gzip.clone()),
            ("gzip, said", false, "text/plain", "compression=gzip-js&_=1".into(), gzip.clone()),
            ("said and not done", false, plain, "compression=gzip".into(), JSON.into()),
            ("an unknown word", false, plain, "compression=brotli".into(), JSON.into()),
            ("base64", false, "text/plain", "compression=base64".into(), base64.clone().into()),
            ("base64, not said", false, plain, String::new(), base64.clone().into()),
            ("base64 of gzip", false, plain, "compression=base64".into(), base64_of_gzip.clone().into()),
            ("lz64", false, plain, "compression=lz64".into(), lz.clone().into()),
            ("lz", false, plain, "compression=lz".into(), lz.clone().into()),
            ("a form", false, urlencoded, String::new(), field(&base64, "")),
            ("a form with gzip", false, urlencoded, String::new(), field(&base64_of_gzip, "gzip-js")),
            ("a form with lz64", false, urlencoded, String::new(), field(&lz, "lz64")),
            ("a form with JSON", false, urlencoded, String::new(), field(JSON, "")),
            ("a query", true, "", form(&[("data", &base64), ("_", "1")]), Vec::new()),
        ];
        for (name, is_get, content_type, query, body) in &cases {
            let sent = Sent { is_get: *is_get, content_type, query, body, is_legacy: false };
            assert_eq!(sent.text(Dialect::V2026, LIMIT).as_deref(), Ok(JSON), "{name}");
        }
        let unescaped = format!("data={}", BASE64_STANDARD.encode("[\"~~~>>>\"]"));
        let sent =
            Sent { is_get: false, content_type: urlencoded, query: "", body: unescaped.as_bytes(), is_legacy: false };
        assert_eq!(sent.text(Dialect::V2026, LIMIT).as_deref(), Ok("[\"~~~>>>\"]"), "pluses became blanks");
    }

    #[test]
    fn first_bytes_are_believed_before_the_client_is() {
        let gzip = gzipped(JSON);
        for query in ["compression=lz64", "compression=base64", "compression=lz", "compression=gzip", ""] {
            for body in [&gzip, &BASE64_STANDARD.encode(&gzip).into_bytes()] {
                let sent = Sent { is_get: false, content_type: "text/plain", query, body, is_legacy: false };
                assert_eq!(sent.text(Dialect::V2026, LIMIT).as_deref(), Ok(JSON), "{query}");
            }
        }
    }

    #[test]
    fn what_is_packed_twice_is_undone_at_the_paths_of_old_clients() {
        let once = BASE64_STANDARD.encode(JSON);
        let twice = BASE64_STANDARD.encode(&once);
        for query in ["", "compression=base64"] {
            let text = |is_legacy| {
                let sent = Sent { is_get: false, content_type: "text/plain", query, body: twice.as_bytes(), is_legacy };
                sent.text(Dialect::V2026, LIMIT)
            };
            assert_eq!(text(true).as_deref(), Ok(JSON), "{query}");
            assert_eq!(text(false).as_deref(), Ok(once.as_str()), "{query}: which is no JSON");
        }
        let zipped = gzipped(&once);
        let sent = |is_legacy| Sent { is_get: false, content_type: "", query: "", body: &zipped, is_legacy };
        assert_eq!(sent(true).text(Dialect::V2026, LIMIT).as_deref(), Ok(JSON));
        assert_eq!(sent(false).text(Dialect::V2026, LIMIT).as_deref(), Ok(once.as_str()));
    }

    #[test]
    fn bombs_are_refused_whatever_they_say_of_themselves() {
        let found =
            |packed: &[u8]| gunzip(packed, LIMIT).map(|unpacked| unpacked.len()).map_err(|refusal| refusal.status());
        let (full, one) = (gzipped(&"x".repeat(LIMIT)), gzipped("y"));
        assert_eq!(found(&full), Ok(LIMIT), "no more than is taken");
        assert_eq!(found(&gzipped(&"x".repeat(LIMIT + 1))), Err(413), "which says so");
        assert_eq!(found(&[&full[..], &one].concat()), Err(413), "whose last part is short");
        let mut liar = one.clone();
        liar.truncate(one.len() - 4);
        liar.extend([0xff; 4]);
        assert_eq!(found(&liar), Err(400), "which says too much");
        assert_eq!((UNPACKED_LIMIT, V1_UNPACKED_LIMIT), (104_857_600, 52_428_800), "PostHog's, by default");
    }

    #[test]
    fn what_cannot_be_undone_is_refused() {
        let text = |query: &str, body: &[u8]| {
            let sent = Sent { is_get: false, content_type: "", query, body, is_legacy: false };
            sent.text(Dialect::V2026, LIMIT).map(Cow::into_owned).map_err(|refusal| refusal.status())
        };
        let gzip = gzipped(JSON);
        let lz = |text: &str| lz_str::compress_to_base64(text).into_bytes();
        assert_eq!(text("compression=lz64", &lz(&"x".repeat(LIMIT))), Ok("x".repeat(LIMIT)), "no more than is taken");
        for bomb in [lz(&"x".repeat(LIMIT + 1)), lz(&"é".repeat(LIMIT / 2 + 1)), lz(&"x".repeat(100 * LIMIT))] {
            assert_eq!(text("compression=lz64", &bomb), Err(413), "{} bytes", bomb.len());
        }
        assert_eq!(text("compression=lz64", &lz(JSON)[..20]), Err(400), "half of it");
        assert_eq!(text("", &gzip[..gzip.len() / 2]), Err(400), "half of it");
        assert_eq!(text("", &gzipped(&"x".repeat(LIMIT + 1))), Err(413), "a bomb");
        assert_eq!(text("", "x".repeat(LIMIT + 1).as_bytes()), Err(413));
        assert_eq!(text("", &[0xff, 0xfe]), Err(400));
        assert_eq!(text("compression=base64", b"%%%"), Err(400));
        assert_eq!(text("compression=lz64", "é".as_bytes()), Err(400));
        let form = Sent {
            is_get: false,
            content_type: "application/x-www-form-urlencoded",
            query: "",
            body: b"x=1",
            is_legacy: false,
        };
        assert_eq!(form.text(Dialect::V2026, LIMIT).map_err(|refusal| refusal.status()), Err(400), "no data");
    }

    #[test]
    fn the_rust_capture_of_2024_knew_no_lzstring() {
        let lz = lz_str::compress_to_base64(JSON);
        let sent =
            Sent { is_get: false, content_type: "", query: "compression=lz64", body: lz.as_bytes(), is_legacy: false };
        assert_ne!(sent.text(Dialect::V2024, LIMIT).as_deref(), Ok(JSON));
        assert_eq!(sent.text(Dialect::V2021, LIMIT).as_deref(), Ok(JSON));
    }
}
