//! HTTP/1.1 as far as a client of a capture needs it: a request's head, and a reply's status and body, without a socket. Replies
//! are read with `httparse`, hyper's own parser.
//!
//! hyper's client takes two tasks, a channel and a map of headers for each request, which is what sending it costs beside the
//! system's part. RFC 9112 is followed: lengths (6.3), chunks (7.1), persistence (9.3).

use std::{
    borrow::Cow,
    io::{self, Write},
};

use crate::wire::Encoded;

/// A reply that is longer is none: the longest has a result for each of ten thousand events.
const REPLY_LIMIT: usize = 16 << 20;
/// The capture's replies have a handful of headers.
const HEADERS: usize = 64;

/// A whole reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply<'a> {
    pub status: u16,
    pub body: Cow<'a, [u8]>,
    /// Its `Retry-After`, unless it is a success.
    pub retry_after: Option<String>,
    /// Whether another request may follow on its connection.
    pub keeps: bool,
    /// The origin whose scripts may read it.
    pub allowed_origin: Option<String>,
}

/// Appends a request's first line and its headers but for the content type, up to the empty line; the client `says_who` it is,
/// or not.
///
/// # Errors
/// Never, in memory.
pub(super) fn begin(encoded: &Encoded, host: &str, says_who: bool, into: &mut Vec<u8>) -> io::Result<()> {
    let Encoded { method, target, headers, body, .. } = encoded;
    write!(into, "{} {target} HTTP/1.1\r\nhost: {host}\r\n", method.name())?;
    let is_agent = |name: &str| name == "user-agent";
    // A recorded one is among the others.
    if says_who && !headers.iter().any(|(name, _)| is_agent(name)) {
        write!(into, "user-agent: {USER_AGENT}\r\n")?;
    }
    for (name, value) in headers.iter().filter(|(name, _)| says_who || !is_agent(name)) {
        write!(into, "{name}: {value}\r\n")?;
    }
    write!(into, "content-length: {}\r\n", body.len())
}

const USER_AGENT: &str = concat!("assay/", env!("CARGO_PKG_VERSION"));

/// The reply in `bytes`, behind which nothing comes if the connection has `ended`; `None` while it is not whole.
///
/// # Errors
/// When it is no reply, ended too early, or is too long.
pub(super) fn parse(bytes: &[u8], ended: bool) -> io::Result<Option<Reply<'_>>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut reply = httparse::Response::new(&mut headers);
    let parsed = reply.parse(bytes).map_err(|error| invalid(&format!("the reply is no HTTP: {error}")))?;
    let httparse::Status::Complete(length) = parsed else { return not_whole(bytes, ended) };
    let (status, rest) = (reply.code.unwrap_or_default(), &bytes[length..]);
    if (100..200).contains(&status) {
        // The reply comes behind it.
        return parse(rest, ended);
    }
    let header = |name: &str| {
        let found = reply.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| str::from_utf8(header.value).ok()).map(str::trim)
    };
    let mut keeps = reply.version == Some(1) && !header("connection").is_some_and(|told| says(told, "close"));
    let body = if matches!(status, 204 | 304) {
        keeps &= rest.is_empty();
        Some(Cow::Borrowed(&[][..]))
    } else if header("transfer-encoding").is_some_and(|told| says(told, "chunked")) {
        dechunked(rest)?.map(|(body, left)| {
            keeps &= left == 0;
            Cow::Owned(body)
        })
    } else if let Some(length) = header("content-length") {
        let length: usize = length.parse().map_err(|_| invalid("the reply's length is no number"))?;
        keeps &= rest.len() <= length;
        rest.get(..length).map(Cow::Borrowed)
    } else {
        keeps = false;
        ended.then_some(Cow::Borrowed(rest))
    };
    let Some(body) = body else { return not_whole(bytes, ended) };
    let retry_after = header("retry-after").map(str::to_owned);
    let allowed_origin = header("access-control-allow-origin").map(str::to_owned);
    Ok(Some(Reply { status, body, retry_after, keeps: keeps && !ended, allowed_origin }))
}

/// Whether a header that holds a list holds this word.
fn says(list: &str, word: &str) -> bool {
    list.split(',').any(|one| one.trim().eq_ignore_ascii_case(word))
}

fn not_whole<'a>(bytes: &[u8], ended: bool) -> io::Result<Option<Reply<'a>>> {
    if ended {
        let what = if bytes.is_empty() { "the connection ended without a reply" } else { "the reply broke off" };
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
    }
    if bytes.len() > REPLY_LIMIT { Err(invalid("the reply is too long")) } else { Ok(None) }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// What is in the chunks of a body, and how many bytes follow it; `None` while the last is not there.
fn dechunked(mut bytes: &[u8]) -> io::Result<Option<(Vec<u8>, usize)>> {
    let mut body = Vec::new();
    loop {
        let chunk = httparse::parse_chunk_size(bytes).map_err(|_| invalid("a chunk of the reply has no length"))?;
        let httparse::Status::Complete((head, length)) = chunk else { return Ok(None) };
        let length = usize::try_from(length).ok().filter(|length| *length <= REPLY_LIMIT);
        let length = length.ok_or_else(|| invalid("the reply is too long"))?;
        if length == 0 {
            return Ok(after_trailers(&bytes[head..]).map(|left| (body, left)));
        }
        let Some(chunk) = bytes.get(head..head + length) else { return Ok(None) };
        body.extend_from_slice(chunk);
        let Some(rest) = bytes.get(head + length + 2..) else { return Ok(None) };
        bytes = rest;
    }
}

/// How many bytes follow behind the trailers, which end with an empty line; `None` while that is not there.
fn after_trailers(mut bytes: &[u8]) -> Option<usize> {
    loop {
        let line = bytes.windows(2).position(|pair| pair == b"\r\n")?;
        bytes = &bytes[line + 2..];
        if line == 0 {
            return Some(bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Method;

    #[test]
    fn a_head_says_what_the_body_is() {
        let encoded = Encoded {
            method: Method::Post,
            target: "/e/?_=7".into(),
            content_type: "application/json".into(),
            headers: vec![("posthog-attempt".into(), "1".into())],
            body: b"{}".to_vec(),
            events: 1,
        };
        let mut head = Vec::new();
        begin(&encoded, "h:1", true, &mut head).unwrap();
        let expected = format!(
            "POST /e/?_=7 HTTP/1.1\r\nhost: h:1\r\nuser-agent: {USER_AGENT}\r\nposthog-attempt: 1\r\ncontent-length: 2\r\n"
        );
        assert_eq!(String::from_utf8(head).unwrap(), expected);
        let mut recorded = encoded;
        recorded.headers.push(("user-agent".into(), "curl/8".into()));
        let agents = |says_who| {
            let mut head = Vec::new();
            begin(&recorded, "h:1", says_who, &mut head).unwrap();
            let head = String::from_utf8(head).unwrap();
            (head.matches("user-agent: ").count(), head.matches("user-agent: curl/8\r\n").count())
        };
        assert_eq!((agents(true), agents(false)), ((1, 1), (0, 0)));
    }

    /// Each reply with its status, body and whether the connection may be used again.
    const REPLIES: [(&str, u16, &str, bool); 9] = [
        ("HTTP/1.1 200 OK\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}", 200, "{}", true),
        ("HTTP/1.1 503 \r\nretry-after: 7\r\nContent-Length: 0\r\n\r\n", 503, "", true),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1", 200, "1", true),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n",
            200,
            "abcd",
            true,
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nTrailer: 1\r\n\r\n", 200, "a", true),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true),
        ("HTTP/1.1 413 Large\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nno", 413, "no", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, "{}", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1HTTP/1.1 408", 200, "1", false),
    ];

    #[test]
    fn replies_are_read_however_they_say_their_length_and_not_before_they_are_whole() {
        for (text, status, body, keeps) in REPLIES {
            let reply = parse(text.as_bytes(), false).unwrap().unwrap();
            assert_eq!((reply.status, &*reply.body, reply.keeps), (status, body.as_bytes(), keeps), "{text}");
            assert_eq!(reply.retry_after.as_deref(), text.to_ascii_lowercase().contains("retry-after").then_some("7"));
            assert!(!parse(text.as_bytes(), true).unwrap().unwrap().keeps, "whoever has ended takes no other request");
            let whole = text.len() - text.rsplit_once("1HTTP/1.1 408").map_or(0, |_| "HTTP/1.1 408".len());
            for cut in 0..whole {
                let part = &text.as_bytes()[..cut];
                assert_eq!(parse(part, false).unwrap(), None, "{text} up to {cut}");
                assert!(parse(part, true).is_err(), "{text} broken off at {cut}");
            }
        }
    }

    #[test]
    fn a_reply_without_a_length_ends_with_its_connection() {
        let text = b"HTTP/1.1 200 OK\r\n\r\n{\"status\"";
        assert_eq!(parse(text, false).unwrap(), None);
        let reply = parse(text, true).unwrap().unwrap();
        assert_eq!((&*reply.body, reply.keeps), (&b"{\"status\""[..], false));
    }

    #[test]
    fn what_is_no_reply_is_told() {
        for (text, what) in [
            ("SSH-2.0-x\r\n", "no HTTP"),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "no number"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "has no length"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n", "too long"),
        ] {
            let error = parse(text.as_bytes(), false).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
