//! What differs in v1 of the capture API: the project's token, the attempt and the client's clock are in headers
//! (rust/capture/src/v1/context.rs, analytics/types.rs).

use super::{
    Header,
    moments::{Moments, rfc3339},
};
use crate::{
    identity::RunId,
    random::mix,
    replay::Style,
    request::{ClientClock, Request, Sending},
    workload::{Compression, LIBRARY, LIBRARY_VERSION},
};

/// The headers of a request.
pub(super) fn headers(run: RunId, token: &str, style: Style, request: &Request, clock: ClientClock) -> Vec<Header> {
    let mut headers = vec![
        ("authorization".into(), format!("Bearer {token}")),
        ("posthog-sdk-info".into(), format!("{LIBRARY}/{LIBRARY_VERSION}")),
        ("posthog-attempt".into(), request.told_attempt().to_string()),
        ("posthog-request-id".into(), request_id(run, request).to_string()),
        ("posthog-request-timestamp".into(), rfc3339(clock.sent_at_ms)),
    ];
    if style.compression == Compression::Gzip {
        headers.push(("content-encoding".into(), "gzip".to_owned()));
    }
    headers
}

/// The same in every attempt of a request, and another one for each request; what is sent again by itself is another one.
fn request_id(run: RunId, request: &Request) -> uuid::Uuid {
    let index = if request.sending() == Sending::Again { !request.index } else { request.index };
    let high = mix(run.get() ^ (u64::from(request.stream.0) << 48));
    uuid::Builder::from_custom_bytes((u128::from(high) << 64 | u128::from(mix(index))).to_be_bytes()).into_uuid()
}

/// Appends what stands before the events: the same in every attempt (posthog-python's `posthog/capture_send.py`,
/// `_send_v1_batch`).
pub(super) fn begin(historical: bool, clock: ClientClock, moments: &mut Moments, json: &mut Vec<u8>) {
    json.extend_from_slice(b"{\"created_at\":\"");
    moments.write(clock.due_ms, json);
    json.push(b'"');
    if historical {
        json.extend_from_slice(b",\"historical_migration\":true");
    }
    json.extend_from_slice(b",\"batch\":");
}
