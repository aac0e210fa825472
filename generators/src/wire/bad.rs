//! What a capture must refuse, made on purpose: tokens that cannot be one, and events whose own fields are of wrong types or not
//! there (ingestion contract 1.2, 1.4).

use crate::{
    random::{Purpose, Random},
    request::Request,
    workload::Endpoint,
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
pub(super) fn event(seed: u64, request: &Request) -> &'static [u8] {
    random(seed, request).pick(&EVENTS).copied().unwrap_or_default()
}

const fn random(seed: u64, request: &Request) -> Random {
    Random::new(seed, request.stream, request.index, Purpose::Garbage)
}
