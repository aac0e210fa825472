//! An event of AI in a form of several parts: the event, its properties in it or in a part of their own, and contents that stand
//! for themselves (RFC 7578; rust/capture, `ai_endpoint.rs`).

use super::{Header, moments::Moments, odd};
use crate::{
    event::Event,
    replay::Style,
    request::ClientClock,
    workload::{Blob, Compression},
};

/// Its boundary is no text that an event would hold.
pub(super) const CONTENT_TYPE: &str = "multipart/form-data; boundary=assay-6e1d0c5b9f37428ab4c2";
/// What each part begins with, up to its name.
const DISPOSITION: &[u8] = b"--assay-6e1d0c5b9f37428ab4c2\r\nContent-Disposition: form-data; name=\"";
const END: &[u8] = b"--assay-6e1d0c5b9f37428ab4c2--\r\n";

/// The headers of a request.
pub(super) fn headers(token: &str, style: Style) -> Vec<Header> {
    let mut headers = vec![("authorization".into(), format!("Bearer {token}"))];
    if style.compression == Compression::Gzip {
        headers.push(("content-encoding".into(), "gzip".to_owned()));
    }
    headers
}

/// Appends the form that holds `event`; `again` tells whether this is its second sending.
pub(super) fn write(
    event: &Event,
    again: bool,
    clock: ClientClock,
    moments: &mut Moments,
    body: &mut Vec<u8>,
) -> Result<(), serde_json::Error> {
    begin("event", body);
    body.push(b'{');
    odd::write_fields(event, clock, None, moments, body)?;
    if clock.says_sent_at {
        body.extend_from_slice(b",\"sent_at\":\"");
        moments.write(clock.sent_at_ms, body);
        body.push(b'"');
    }
    if event.oddities.embedded {
        body.extend_from_slice(b",\"properties\":");
    } else {
        body.extend_from_slice(b"}\r\n");
        begin("event.properties", body);
    }
    odd::write_properties(event, again, body)?;
    if event.oddities.embedded {
        body.push(b'}');
    }
    body.extend_from_slice(b"\r\n");
    for Blob { property, content_type, content_encoding, bytes } in &event.blobs {
        write_blob(property, Some(content_type), *content_encoding, bytes, body);
    }
    end(body);
    Ok(())
}

/// Appends the part of a property's content.
pub(super) fn write_blob(
    property: &str,
    content_type: Option<&str>,
    content_encoding: Option<&str>,
    content: &[u8],
    body: &mut Vec<u8>,
) {
    body.extend_from_slice(DISPOSITION);
    body.extend_from_slice(b"event.properties.");
    body.extend_from_slice(property.as_bytes());
    // Clients give each a file's name, which nobody reads.
    body.extend_from_slice(b"\"; filename=\"blob\"\r\n");
    for (header, value) in [("Content-Type", content_type), ("Content-Encoding", content_encoding)] {
        let Some(value) = value else { continue };
        body.extend_from_slice(header.as_bytes());
        body.extend_from_slice(b": ");
        body.extend_from_slice(value.as_bytes());
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"\r\n");
    body.extend_from_slice(content);
    body.extend_from_slice(b"\r\n");
}

/// Appends a part that is JSON.
pub(super) fn write_part(name: &str, text: &[u8], body: &mut Vec<u8>) {
    begin(name, body);
    body.extend_from_slice(text);
    body.extend_from_slice(b"\r\n");
}

/// Appends a form whose event is `text`.
pub(super) fn write_text(text: &[u8], body: &mut Vec<u8>) {
    write_part("event", text, body);
    end(body);
}

fn begin(name: &str, body: &mut Vec<u8>) {
    body.extend_from_slice(DISPOSITION);
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(b"\"\r\nContent-Type: application/json\r\n\r\n");
}

/// Appends what ends a form.
pub(super) fn end(body: &mut Vec<u8>) {
    body.extend_from_slice(END);
}
