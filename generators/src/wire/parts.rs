//! An event of AI in a form of several parts: the event without its properties, and the properties (RFC 7578; rust/capture,
//! `ai_endpoint.rs`).

use super::{moments::Moments, odd};
use crate::{event::Event, replay::Style, request::ClientClock, workload::Compression};

/// Its boundary is no text that an event would hold.
pub(super) const CONTENT_TYPE: &str = "multipart/form-data; boundary=assay-6e1d0c5b9f37428ab4c2";
const END: &[u8] = b"--assay-6e1d0c5b9f37428ab4c2--\r\n";

/// The headers of a request.
pub(super) fn headers(token: &str, style: Style) -> Vec<(&'static str, String)> {
    let mut headers = vec![("authorization", format!("Bearer {token}"))];
    if style.compression == Compression::Gzip {
        headers.push(("content-encoding", "gzip".to_owned()));
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
    body.extend_from_slice(b"}\r\n");
    begin("event.properties", body);
    odd::write_properties(event, again, body)?;
    body.extend_from_slice(b"\r\n");
    end(body);
    Ok(())
}

/// Appends a form whose event is `text`.
pub(super) fn write_text(text: &[u8], body: &mut Vec<u8>) {
    begin("event", body);
    body.extend_from_slice(text);
    body.extend_from_slice(b"\r\n");
    end(body);
}

fn begin(name: &str, body: &mut Vec<u8>) {
    body.extend_from_slice(b"--assay-6e1d0c5b9f37428ab4c2\r\nContent-Disposition: form-data; name=\"");
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(b"\"\r\nContent-Type: application/json\r\n\r\n");
}

/// Appends what ends a form.
pub(super) fn end(body: &mut Vec<u8>) {
    body.extend_from_slice(END);
}
