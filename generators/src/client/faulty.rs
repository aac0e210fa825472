//! Requests that fail on purpose, written by hand: no HTTP library sends them.
//!
//! Each has a connection of its own, which it ends. Its bytes are made by [`spoil`] and [`message`], which know no socket;
//! replies are read with `httparse`, hyper's own parser.

use std::{io, io::Write};

use flate2::write::GzEncoder;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::connection::{Told, answer};
use crate::{ledger::Answer, random::Random, wire::Encoded, workload::ClientFault};

/// What gzip begins with.
const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];
/// In so many pieces does a slow body come.
const PIECES: u32 = 20;
/// A reply that is longer is none.
const REPLY_LIMIT: usize = 1 << 20;
/// The capture's replies have a handful of headers.
const HEADERS: usize = 64;

/// Makes the body what `fault` says it is; noise comes from `random`.
///
/// # Errors
/// When it cannot be compressed, which does not happen in memory.
pub(super) fn spoil(encoded: &mut Encoded, fault: ClientFault, mut random: Random) -> io::Result<()> {
    match fault {
        ClientFault::TruncatedGzip => {
            if !encoded.body.starts_with(&GZIP) {
                let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::default());
                gzip.write_all(&encoded.body)?;
                encoded.body = gzip.finish()?;
            }
            encoded.body.truncate(encoded.body.len() / 2);
        }
        ClientFault::EmptyBody => encoded.body.clear(),
        // The lowest bit is set in every byte, so that neither gzip nor JSON nor white space begins like it.
        ClientFault::GarbageBody => encoded.body.iter_mut().for_each(|byte| *byte = random.bits() as u8 | 0x81),
        ClientFault::Disconnect
        | ClientFault::SlowBody(_)
        | ClientFault::DuplicateHeaders
        | ClientFault::WrongContentType => (),
    }
    Ok(())
}

/// The head of a request that fails so.
fn head(host: &str, encoded: &Encoded, fault: ClientFault) -> String {
    let usual = format!("content-type: {}\r\n", encoded.content_type);
    let content_type = match fault {
        ClientFault::DuplicateHeaders => usual.repeat(2),
        ClientFault::WrongContentType => "content-type: application/xml\r\n".to_owned(),
        _ => usual,
    };
    let others: String =
        encoded.headers.iter().fold(String::new(), |all, (name, value)| all + name + ": " + value + "\r\n");
    format!(
        "{} {} HTTP/1.1\r\nhost: {host}\r\n{content_type}{others}user-agent: assay/{}\r\ncontent-length: {}\r\nconnection: \
         close\r\n\r\n",
        encoded.method.name(),
        encoded.target,
        env!("CARGO_PKG_VERSION"),
        encoded.body.len(),
    )
}

/// Sends over `stream`, a fresh connection to `host`, in the way that `fault` says, and reads the reply.
pub(super) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    host: &str,
    encoded: &Encoded,
    fault: ClientFault,
) -> Told {
    let sent = send(&mut stream, host, encoded, fault).await;
    let answer = match (fault, sent) {
        (ClientFault::Disconnect, Ok(())) => {
            Answer::Broken { error: "the client went away in the middle of the body, as it was meant to".into() }
        }
        // Whoever will not read on may have said why.
        (_, sent) => match receive(&mut stream).await {
            Ok((status, body)) => answer(status, &body, encoded.events),
            Err(error) => Answer::Broken { error: sent.err().unwrap_or(error).to_string() },
        },
    };
    Told { answer, retry_after: None }
}

async fn send<S: AsyncWrite + Unpin>(
    stream: &mut S,
    host: &str,
    encoded: &Encoded,
    fault: ClientFault,
) -> io::Result<()> {
    let (head, body) = (head(host, encoded, fault), &encoded.body);
    match fault {
        ClientFault::Disconnect => {
            let bytes = [head.as_bytes(), &body[..body.len() / 2]].concat();
            stream.write_all(&bytes).await?;
        }
        ClientFault::SlowBody(over) => {
            stream.write_all(head.as_bytes()).await?;
            let piece = body.len().div_ceil(PIECES as usize).max(1);
            for piece in body.chunks(piece) {
                tokio::time::sleep(over / PIECES).await;
                stream.write_all(piece).await?;
                stream.flush().await?;
            }
        }
        _ => stream.write_all(&[head.as_bytes(), body].concat()).await?,
    }
    stream.flush().await
}

/// Reads a reply to its end.
async fn receive<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<(u16, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let ended = stream.read_buf(&mut bytes).await? == 0;
        match parse(&bytes, ended)? {
            Some(reply) => return Ok(reply),
            None if ended => return Err(io::ErrorKind::UnexpectedEof.into()),
            None if bytes.len() > REPLY_LIMIT => return Err(invalid("the reply is too long")),
            None => (),
        }
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The status and body of the reply in `bytes`, behind which nothing comes if it has `ended`; `None` while it is not whole.
fn parse(bytes: &[u8], ended: bool) -> io::Result<Option<(u16, Vec<u8>)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut reply = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) =
        reply.parse(bytes).map_err(|error| invalid(&format!("the reply is no HTTP: {error}")))?
    else {
        return Ok(None);
    };
    let (status, rest) = (reply.code.unwrap_or_default(), &bytes[length..]);
    if (100..200).contains(&status) {
        // The reply comes behind it.
        return parse(rest, ended);
    }
    let header = |name: &str| {
        let found = reply.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| str::from_utf8(header.value).ok()).map(str::trim)
    };
    let body = if header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        dechunked(rest)?
    } else if let Some(length) = header("content-length") {
        let length: usize = length.parse().map_err(|_| invalid("the reply's length is no number"))?;
        rest.get(..length).map(<[u8]>::to_vec)
    } else {
        ended.then(|| rest.to_vec())
    };
    Ok(body.map(|body| (status, body)))
}

/// What is in the chunks of a body; `None` while the last is not there.
fn dechunked(mut bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let chunk = httparse::parse_chunk_size(bytes).map_err(|_| invalid("a chunk of the reply has no length"))?;
        let httparse::Status::Complete((head, length)) = chunk else { return Ok(None) };
        let length = usize::try_from(length).ok().filter(|length| *length <= REPLY_LIMIT);
        let length = length.ok_or_else(|| invalid("the reply is too long"))?;
        let Some(chunk) = bytes.get(head..head + length) else { return Ok(None) };
        if length == 0 {
            return Ok(Some(body));
        }
        body.extend_from_slice(chunk);
        bytes = bytes.get(head + length + 2..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, time::Duration};

    use super::*;
    use crate::{
        identity::StreamId,
        random::{Purpose, Random},
        wire::Method,
    };

    fn encoded() -> Encoded {
        let body = b"{\"batch\":[1,2,3]}".repeat(40);
        Encoded {
            method: Method::Post,
            target: "/batch/".into(),
            content_type: "application/json",
            headers: Vec::new(),
            body,
            events: 3,
        }
    }

    fn noise(index: u64) -> Random {
        Random::new(1, StreamId(0), index, Purpose::Garbage)
    }

    #[test]
    fn bodies_are_spoiled_as_they_are_called() {
        let spoiled = |fault, index| {
            let mut encoded = encoded();
            spoil(&mut encoded, fault, noise(index)).unwrap();
            encoded.body
        };
        let whole = encoded().body;
        let gzip = spoiled(ClientFault::TruncatedGzip, 0);
        assert_eq!(gzip[..3], [0x1f, 0x8b, 0x08], "the capture takes it for gzip");
        let mut unpacked = Vec::new();
        assert!(flate2::read::MultiGzDecoder::new(&gzip[..]).read_to_end(&mut unpacked).is_err());
        assert!(spoiled(ClientFault::EmptyBody, 0).is_empty());
        let garbage = spoiled(ClientFault::GarbageBody, 0);
        assert_eq!(garbage.len(), whole.len());
        assert!(str::from_utf8(&garbage).is_err() && garbage[0] != 0x1f);
        assert_eq!(garbage, spoiled(ClientFault::GarbageBody, 0), "a pure function");
        assert_ne!(garbage, spoiled(ClientFault::GarbageBody, 1));
        for whole_body in [
            ClientFault::Disconnect,
            ClientFault::SlowBody(Duration::ZERO),
            ClientFault::DuplicateHeaders,
            ClientFault::WrongContentType,
        ] {
            assert_eq!(spoiled(whole_body, 0), whole);
        }
    }

    #[test]
    fn heads_differ_in_what_is_wrong_with_them() {
        let of = |fault| head("h:1", &encoded(), fault);
        let plain = of(ClientFault::Disconnect);
        assert!(plain.starts_with("POST /batch/ HTTP/1.1\r\nhost: h:1\r\n") && plain.ends_with("\r\n\r\n"));
        let count = |text: &str, what| text.matches(what).count();
        assert_eq!(count(&plain, "content-type: application/json\r\n"), 1);
        assert_eq!(count(&of(ClientFault::DuplicateHeaders), "content-type: application/json\r\n"), 2);
        assert_eq!(count(&of(ClientFault::WrongContentType), "json"), 0);
        for fault in [ClientFault::DuplicateHeaders, ClientFault::WrongContentType, ClientFault::EmptyBody] {
            assert_eq!(count(&of(fault), "content-length: "), 1, "two are no HTTP");
        }
    }

    #[test]
    fn replies_are_read_to_their_end_and_no_further() {
        let whole = |text: &str| (text.to_owned(), Some((200, "ok".to_owned())));
        for (bytes, expected) in [
            whole("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            whole("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok and more"),
            whole("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
            whole("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok".to_owned(), None),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n".to_owned(), None),
            ("HTTP/1.1 200 OK\r\nconte".to_owned(), None),
            (String::new(), None),
        ] {
            let found = parse(bytes.as_bytes(), false).unwrap();
            let found = found.map(|(status, body)| (status, String::from_utf8(body).unwrap()));
            assert_eq!(found, expected, "{bytes}");
            // Cut anywhere, it is not whole or the same, and never something else.
            for cut in 0..bytes.len() {
                let part = parse(&bytes.as_bytes()[..cut], false).unwrap();
                assert!(part.is_none() || part.map(|(status, _)| status) == expected.as_ref().map(|_| 200));
            }
        }
        let until_the_end = b"HTTP/1.1 503 No\r\n\r\nlater";
        assert_eq!(parse(until_the_end, false).unwrap(), None);
        assert_eq!(parse(until_the_end, true).unwrap(), Some((503, b"later".to_vec())));
        for wrong in ["SSH-2.0-x\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"] {
            assert!(parse(wrong.as_bytes(), true).is_err(), "{wrong}");
        }
    }
}
