//! Requests that fail on purpose, written by hand: no HTTP library sends them.
//!
//! Each has a connection of its own, which it ends. Its body is made by [`spoil`], which knows no socket.

use std::{
    io,
    io::{Read, Write},
};

use flate2::{
    Crc,
    read::GzDecoder,
    write::{DeflateEncoder, GzEncoder},
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{
    connection::{Told, receive},
    http,
    preflight::ORIGIN,
};
use crate::{ledger::Answer, random::Random, wire::Encoded, workload::ClientFault};

/// What gzip begins with.
const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];
/// A bomb grows by so many mebibytes, which is more than any endpoint unpacks (100 MiB; `rust/capture/src/setup.rs`,
/// `event_payload_max_bytes`).
const BOMB: usize = 104;
/// In so many pieces does a slow body come.
const PIECES: u32 = 20;
/// What v1 takes for no JSON; nothing means that there is no such header.
const REFUSED_CONTENT_TYPES: [&str; 4] = ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonl"];

/// Makes the body, or what is said of it, what `fault` says it is; noise comes from `random`.
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
        ClientFault::GzipBomb => encoded.body = bomb(&encoded.body, BOMB)?,
        ClientFault::EmptyBody => encoded.body.clear(),
        // The lowest bit is set in every byte, so that neither gzip nor JSON nor white space begins like it.
        ClientFault::GarbageBody => encoded.body.iter_mut().for_each(|byte| *byte = random.bits() as u8 | 0x81),
        ClientFault::RefusedContentType => {
            encoded.content_type = random.pick(&REFUSED_CONTENT_TYPES).copied().unwrap_or_default().into();
        }
        ClientFault::Disconnect
        | ClientFault::SlowBody(_)
        | ClientFault::DuplicateHeaders
        | ClientFault::WrongContentType
        // That is for the head to say.
        | ClientFault::NoUserAgent
        // These were written so.
        | ClientFault::BadToken
        | ClientFault::EmptyBatch
        | ClientFault::WrongTypes
        | ClientFault::BadHeaders
        | ClientFault::NoToken
        | ClientFault::Preflight => (),
    }
    Ok(())
}

/// The same body behind which so many mebibytes of blanks stand: were there no limit, it could be stored. All of it is one member
/// of gzip (RFC 1952), since PostHog reads no second one (`rust/capture/src/payload/decompression.rs`). A mebibyte is packed once, and
/// that as often as is asked for: who sends such a request has others to send meanwhile.
fn bomb(body: &[u8], mebibytes: usize) -> io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    if body.starts_with(&GZIP) {
        GzDecoder::new(body).read_to_end(&mut unpacked)?;
    } else {
        unpacked.extend_from_slice(body);
    }
    let blanks = vec![b' '; 1 << 20];
    let packed = blocks(&blanks)?;
    let (mut crc, mut of_blanks) = (Crc::new(), Crc::new());
    crc.update(&unpacked);
    of_blanks.update(&blanks);
    let mut gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    gzip.extend(blocks(&unpacked)?);
    for _ in 0..mebibytes {
        gzip.extend_from_slice(&packed);
        crc.combine(&of_blanks);
    }
    gzip.extend_from_slice(&LAST_BLOCK);
    gzip.extend_from_slice(&crc.sum().to_le_bytes());
    gzip.extend_from_slice(&crc.amount().to_le_bytes());
    Ok(gzip)
}

/// An empty block behind which no other one comes (RFC 1951, 3.2.3).
const LAST_BLOCK: [u8; 2] = [3, 0];

/// Blocks of deflate that end where a byte does, and look back at none before them: others may stand before and behind them.
fn blocks(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut deflate = DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    deflate.write_all(bytes)?;
    deflate.flush()?;
    Ok(std::mem::take(deflate.get_mut()))
}

/// The head of a request that fails so.
fn head(host: &str, encoded: &Encoded, fault: ClientFault) -> Vec<u8> {
    let mut head = Vec::new();
    // Writing into memory does not fail.
    let _ = http::begin(encoded, host, fault != ClientFault::NoUserAgent, &mut head);
    let usual = match &*encoded.content_type {
        "" => String::new(),
        content_type => format!("content-type: {content_type}\r\n"),
    };
    head.extend_from_slice(match fault {
        ClientFault::WrongContentType => b"content-type: application/xml\r\n",
        _ => usual.as_bytes(),
    });
    if fault == ClientFault::DuplicateHeaders {
        head.extend_from_slice(usual.as_bytes());
    }
    if fault == ClientFault::Preflight {
        head.extend_from_slice(b"origin: ");
        head.extend_from_slice(ORIGIN.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"connection: close\r\n\r\n");
    head
}

/// Sends over `stream`, a fresh connection to `host`, in the way that `fault` says, and reads the reply.
pub(super) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    host: &str,
    encoded: &Encoded,
    fault: ClientFault,
) -> Told {
    let sent = send(&mut stream, host, encoded, fault).await;
    let error = match (fault, sent) {
        (ClientFault::Disconnect, Ok(())) => {
            "the client went away in the middle of the body, as it was meant to".to_owned()
        }
        // Whoever will not read on may have said why, and when to come again.
        (_, sent) => match receive(&mut stream, &mut Vec::new(), |reply| Told::of(reply, encoded.events)).await {
            Ok(told) => return told,
            Err(error) => sent.err().unwrap_or(error).to_string(),
        },
    };
    Told::without_reply(Answer::Broken { error })
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
            let bytes = [&head[..], &body[..body.len() / 2]].concat();
            stream.write_all(&bytes).await?;
        }
        ClientFault::SlowBody(over) => {
            stream.write_all(&head).await?;
            let piece = body.len().div_ceil(PIECES as usize).max(1);
            for piece in body.chunks(piece) {
                tokio::time::sleep(over / PIECES).await;
                stream.write_all(piece).await?;
                stream.flush().await?;
            }
        }
        _ => stream.write_all(&[&head[..], body].concat()).await?,
    }
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
            content_type: "application/json".into(),
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
        let of_all = spoiled(ClientFault::GzipBomb, 0);
        let amount = u32::from_le_bytes(*of_all.last_chunk().unwrap()) as usize;
        assert_eq!(amount, (BOMB << 20) + whole.len());
        assert!(BOMB > 100 && amount / of_all.len() > 20 && of_all.len() < 200_000, "{}", of_all.len());
        for (bomb, begin, length) in [
            (bomb(&whole, 3).unwrap(), &whole[..], (3 << 20) + whole.len()),
            (bomb(&bomb(b"{}", 1).unwrap(), 2).unwrap(), b"{}", (3 << 20) + 2),
        ] {
            let mut unpacked = Vec::new();
            GzDecoder::new(&bomb[..]).read_to_end(&mut unpacked).unwrap();
            assert_eq!(
                (unpacked.len(), unpacked.starts_with(begin)),
                (length, true),
                "one member, and the events first"
            );
            assert!(unpacked[begin.len()..].iter().all(|byte| *byte == b' '));
        }
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
    fn a_reply_that_says_when_to_come_again_is_heard() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let told = |fault| {
            runtime.block_on(async {
                let (client, mut server) = tokio::io::duplex(1 << 16);
                let reply = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\n{}";
                server.write_all(reply).await.unwrap();
                exchange(client, "h:1", &encoded(), fault).await
            })
        };
        let garbage = told(ClientFault::GarbageBody);
        assert!(matches!(garbage.answer, Answer::Reply { status: 429, .. }), "{garbage:?}");
        assert_eq!(garbage.retry_after.as_deref(), Some("7"));
        let gone = told(ClientFault::Disconnect);
        assert!(matches!(gone.answer, Answer::Broken { .. }) && gone.retry_after.is_none(), "{gone:?}");
    }

    #[test]
    fn heads_differ_in_what_is_wrong_with_them() {
        let of = |fault| String::from_utf8(head("h:1", &encoded(), fault)).unwrap();
        let plain = of(ClientFault::Disconnect);
        assert!(plain.starts_with("POST /batch/ HTTP/1.1\r\nhost: h:1\r\n") && plain.ends_with("\r\n\r\n"));
        let count = |text: &str, what| text.matches(what).count();
        assert_eq!(count(&plain, "content-type: application/json\r\n"), 1);
        assert_eq!(count(&of(ClientFault::DuplicateHeaders), "content-type: application/json\r\n"), 2);
        assert_eq!(count(&of(ClientFault::WrongContentType), "json"), 0);
        assert!(plain.contains("user-agent: ") && !of(ClientFault::NoUserAgent).contains("user-agent"));
        let mut refused = std::collections::BTreeSet::new();
        for index in 0..50 {
            let mut encoded = encoded();
            spoil(&mut encoded, ClientFault::RefusedContentType, noise(index)).unwrap();
            let head = String::from_utf8(head("h:1", &encoded, ClientFault::RefusedContentType)).unwrap();
            assert_eq!(count(&head, "content-type"), usize::from(!encoded.content_type.is_empty()), "{head}");
            refused.insert(encoded.content_type);
        }
        assert!(refused.len() == 4 && !refused.contains("application/json"), "{refused:?}");
        for fault in [ClientFault::DuplicateHeaders, ClientFault::WrongContentType, ClientFault::EmptyBody] {
            assert_eq!(count(&of(fault), "content-length: "), 1, "two are no HTTP");
        }
    }
}
