//! Which headers of a recorded request are kept, to be sent again as they were.
//!
//! What belongs to a connection, or to the bytes of a body that is made anew, is the sender's. What may be a secret is never
//! written down: in the place of a recorded token stands the run's own when it is sent. What the capture reads is kept unless it
//! looks like one, and anything else unless its name or its value does, or it may be a key as far as anybody can see.

use std::collections::BTreeMap;

use super::{Style, secrets};
use crate::workload::{Compression, Endpoint};

/// The sender's own, or of no use to it: it reads no compressed replies, waits for no `100`, and dates its requests itself.
const OURS: [&str; 17] = [
    "host",
    "content-length",
    "connection",
    "proxy-connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "http2-settings",
    "expect",
    "accept-encoding",
    "content-md5",
    "digest",
    "content-digest",
    "repr-digest",
    "posthog-request-timestamp",
];
/// What the capture reads, or may (ingestion contract 1.3 to 1.5). An id in one of these is no reason to leave it out.
const READ: [&str; 12] = [
    "content-type",
    "content-encoding",
    "user-agent",
    "x-forwarded-for",
    "forwarded",
    "origin",
    "referer",
    "access-control-request-headers",
    "access-control-request-method",
    "posthog-attempt",
    "posthog-request-id",
    "posthog-sdk-info",
];

/// The headers of a request that is made in this `style`, their names in lower case, in the order of their names. A bearer's token is
/// left out of its header.
///
/// # Errors
/// When one of them is none.
pub(super) fn kept(recorded: &BTreeMap<String, String>, style: Style) -> Result<Vec<(String, String)>, String> {
    let mut kept = Vec::new();
    for (name, value) in recorded {
        // HTTP/2 writes a request's first line so.
        if name.starts_with(':') {
            continue;
        }
        if name.is_empty() || !name.bytes().all(is_of_name) {
            // Not quoted: it may be a whole header.
            return Err("a name among its `headers` is one that no header may have".into());
        }
        let (name, value) = (name.to_ascii_lowercase(), value.trim());
        if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(format!("its header `{name}` holds what no header may"));
        }
        if name == "authorization" {
            let is_bearer = value.split_once(' ').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
            kept.extend(is_bearer.then(|| (name, String::new())));
            continue;
        }
        if OURS.contains(&&*name) || secrets::is_named(&name) || !is_of_body(&name, value, style) {
            continue;
        }
        let may_be_opaque = READ.contains(&&*name);
        let value = secrets::kept(value).filter(|value| may_be_opaque || !secrets::is_opaque(value));
        kept.extend(value.map(|value| (name, value.to_owned())));
    }
    Ok(kept)
}

/// Whether a header fits the body that is made: some recorders unpack what they write down, and parts get a boundary of ours.
fn is_of_body(name: &str, value: &str, style: Style) -> bool {
    let is_gzip = matches!(style.compression, Compression::Gzip | Compression::GzipJs);
    match name {
        "content-encoding" => value.eq_ignore_ascii_case("identity") || is_gzip && value.eq_ignore_ascii_case("gzip"),
        "content-type" => style.endpoint != Endpoint::Ai,
        _ => true,
    }
}

/// Whether a byte may stand in a header's name (RFC 9110, 5.6.2).
const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Form;

    fn of(compression: Compression, headers: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        kept(&headers, Style { endpoint: Endpoint::E, compression, form: Form::Plain, historical: false })
    }

    #[test]
    fn what_means_something_is_kept_and_no_secret_is() {
        let all = [
            ("User-Agent", "curl/8"),
            ("X-Forwarded-For", "192.0.2.7, 10.0.0.1"),
            ("Origin", "https://shop.example"),
            ("PostHog-Sdk-Info", "posthog-go/1"),
            ("x-custom", " ü\t1 "),
            ("Referer", "https://shop.example/0a1b2c3d4e5f6a7b8c9d0e?page=7"),
            ("PostHog-Request-Id", "0a1b2c3d4e5f6a7b8c9d0e"),
            ("PostHog-Attempt", "1"),
        ];
        let kept = of(Compression::None, &all).unwrap();
        let expected = [
            ("origin", "https://shop.example"),
            ("posthog-attempt", "1"),
            ("posthog-request-id", "0a1b2c3d4e5f6a7b8c9d0e"),
            ("posthog-sdk-info", "posthog-go/1"),
            ("referer", "https://shop.example/0a1b2c3d4e5f6a7b8c9d0e?page=7"),
            ("user-agent", "curl/8"),
            ("x-forwarded-for", "192.0.2.7, 10.0.0.1"),
            ("x-custom", "ü\t1"),
        ];
        assert_eq!(kept, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        for (name, value) in [
            ("Host", "a"),
            ("Content-Length", "7"),
            ("Accept-Encoding", "gzip"),
            ("Cookie", "a=b"),
            ("X-Api-Key", "abc"),
            ("X-Project", "phc_abc"),
            ("X-Personal", "phs_abc"),
            ("X-Goog-Iap-Jwt-Assertion", "a"),
            ("Cf-Access-Jwt-Assertion", "a"),
            ("X-Amzn-Oidc-Data", "a"),
            ("X-Ms-Client-Principal", "a"),
            ("X-Passwd", "a"),
            ("X-Claims", "eyJhIjoxfQ.e30.x"),
            ("X-Original", "Bearer abc"),
            ("X-Internal", "0a1b2c3d4e5f6a7b8c9d0e"),
            ("User-Agent", "phx_abc"),
            ("Proxy-Authorization", "Basic YTpi"),
            ("Authorization", "Basic YTpi"),
            (":authority", "a"),
        ] {
            assert_eq!(of(Compression::None, &[(name, value)]), Ok(vec![]), "{name}");
        }
        let bearer = of(Compression::None, &[("Authorization", "Bearer phc_abc")]);
        assert_eq!(bearer, Ok(vec![("authorization".to_owned(), String::new())]));
    }

    #[test]
    fn the_query_of_an_address_goes_where_it_names_a_secret() {
        for (name, value) in [
            ("referer", "/a?access_token=b"),
            ("x-original-url", "/a?page=1&api_key=b"),
            ("x-forwarded-uri", "/a?sig=b"),
            ("x-rewrite-url", "/a#code=b"),
        ] {
            let expected = vec![(name.to_owned(), "/a".to_owned())];
            assert_eq!(of(Compression::None, &[(name, value)]), Ok(expected), "{name}");
        }
        let origin = of(Compression::None, &[("origin", "https://shop.example?token=b")]);
        assert_eq!(origin, Ok(vec![("origin".to_owned(), "https://shop.example".to_owned())]));
    }

    #[test]
    fn what_is_said_of_the_body_is_kept_where_it_is_so() {
        let encoding = |compression, value| of(compression, &[("content-encoding", value)]).unwrap().len();
        assert_eq!([encoding(Compression::Gzip, "gzip"), encoding(Compression::None, "identity")], [1, 1]);
        assert_eq!([encoding(Compression::None, "gzip"), encoding(Compression::Gzip, "br")], [0, 0]);
    }

    #[test]
    fn what_is_no_header_is_told() {
        for (name, value) in [("a b", "x"), ("", "x"), ("ü", "x"), ("x-a", "1\r\nx-b: 2"), ("x-a", "\0")] {
            assert!(of(Compression::None, &[(name, value)]).is_err(), "{name:?}");
        }
        for (name, value) in [("Authorization: Bearer abc", ""), ("x-a", "abc\0")] {
            let told = of(Compression::None, &[(name, value)]).unwrap_err();
            assert!(!told.contains("abc"), "{told}");
        }
    }
}
