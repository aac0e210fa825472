//! What a capture must refuse, made on purpose: tokens that cannot be one, events whose own fields are of wrong types or not
//! there, a uuid that is in the batch twice, and headers (ingestion contract 1.2, 1.4).

use std::borrow::Cow;

use super::Header;
use crate::{
    event::EventSource,
    random::{Purpose, Random},
    request::Request,
    workload::{Endpoint, Workload},
};

/// Sixty-five characters are one too many.
const TOKENS: [&str; 3] =
    ["", "phx_somebodys_personal_key", "phc_0123456789012345678901234567890123456789012345678901234567890"];
/// No header takes that.
const TOKENS_OF_BODIES: [&str; 4] = [TOKENS[0], TOKENS[1], TOKENS[2], "phc_ä"];
/// Behind events with tokens of their own, an event of another project.
const OTHER_PROJECT: &[u8] = b"{\"api_key\":\"phc_another_project\",\"event\":\"bad\",\"distinct_id\":\"bad\"}";

/// Each refuses the whole request, in v0 and in v1: there is no uuid in any of them.
const EVENTS: [&[u8]; 13] = [
    b"7",
    b"null",
    b"\"text\"",
    b"{\"event\":7,\"distinct_id\":\"bad\"}",
    b"{\"event\":\"bad\",\"distinct_id\":\"bad\",\"timestamp\":1700000000000}",
    b"{\"event\":\"bad\",\"distinct_id\":\"bad\",\"properties\":[]}",
    b"{\"event\":\"bad\",\"distinct_id\":\"bad\",\"offset\":\"1\"}",
    b"{\"event\":\"bad\",\"distinct_id\":\"bad\",\"uuid\":7}",
    b"{\"event\":\"bad\",\"distinct_id\":\"bad\",\"uuid\":\"no uuid\"}",
    b"{\"event\":\"\",\"distinct_id\":\"bad\"}",
    b"{\"event\":\"bad\"}",
    b"{\"event\":\"bad\",\"distinct_id\":\"\"}",
    b"{\"event\":\"bad\",\"distinct_id\":null}",
];

/// The token of a request whose client has a wrong one; `None` if it is right, and that of [`stranger`] another.
pub(super) fn token(seed: u64, request: &Request, endpoint: Endpoint) -> Option<&'static str> {
    let mut random = random(seed, request);
    if has_own_tokens(endpoint) && random.below(4) == 0 {
        return None;
    }
    random.pick(if endpoint.has_bearer() { &TOKENS[..] } else { &TOKENS_OF_BODIES }).copied()
}

/// What stands behind the events of such a request, where the token itself is right.
pub(super) fn stranger(seed: u64, request: &Request, endpoint: Endpoint) -> Option<&'static [u8]> {
    token(seed, request, endpoint).is_none().then_some(OTHER_PROJECT)
}

/// Whether each event says whose it is, and two may disagree.
const fn has_own_tokens(endpoint: Endpoint) -> bool {
    !endpoint.has_bearer() && !matches!(endpoint, Endpoint::Batch | Endpoint::Recordings)
}

/// The event that spoils a request.
pub(super) fn event(workload: &Workload, request: &Request, endpoint: Endpoint) -> Cow<'static, [u8]> {
    let mut random = random(workload.plan().seed, request);
    if endpoint.is_v1()
        && random.below(4) == 0
        && let Some(first) = request.seqs(workload).next().and_then(|(seq, _)| workload.event(request.stream, seq))
    {
        return again(&first.id.to_string()).into();
    }
    random.pick(&EVENTS).copied().unwrap_or_default().into()
}

/// A whole event of v1, but for its uuid, which another event has.
fn again(uuid: &str) -> Vec<u8> {
    let event = serde_json::json!({
        "event": "bad", "distinct_id": "bad", "uuid": uuid, "timestamp": "2026-01-01T00:00:00.000Z", "properties": {},
    });
    event.to_string().into_bytes()
}

/// What v1 does not take in place of a header, that it is not there, or that it says what the body is not.
const HEADERS: [(&str, Option<&str>); 13] = [
    ("authorization", None),
    ("authorization", Some("Basic cGhjOg==")),
    ("posthog-sdk-info", None),
    ("posthog-attempt", None),
    ("posthog-attempt", Some("0")),
    ("posthog-attempt", Some("first")),
    ("posthog-request-id", None),
    ("posthog-request-id", Some("no uuid")),
    ("posthog-request-timestamp", None),
    ("posthog-request-timestamp", Some("yesterday")),
    ("posthog-request-timestamp", Some("1790000000000")),
    ("content-encoding", Some("br")),
    ("content-encoding", Some("zstd")),
];

/// Spoils one of the headers of a request.
pub(super) fn spoil(seed: u64, request: &Request, headers: &mut Vec<Header>) {
    let Some((name, value)) = random(seed, request).pick(&HEADERS).copied() else { return };
    headers.retain(|(header, _)| header != name);
    headers.extend(value.map(|value| (name.into(), value.to_owned())));
}

/// The values that such a request is made of.
pub(super) const fn random(seed: u64, request: &Request) -> Random {
    Random::new(seed, request.stream, request.index, Purpose::Garbage)
}
