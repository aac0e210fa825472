//! What a capture must refuse, made on purpose: tokens that cannot be one, and events whose own fields are of wrong types
//! (ingestion contract 1.2, 1.4).

use crate::{
    random::{Purpose, Random},
    request::Request,
};

/// Sixty-five characters are one too many.
const TOKENS: [&str; 3] =
    ["", "phx_somebodys_personal_key", "phc_0123456789012345678901234567890123456789012345678901234567890"];

/// Each refuses the whole request, in v0 and in v1: there is no uuid in any of them.
const EVENTS: [&[u8]; 8] = [
    b"7",
    b"null",
    b"\"text\"",
    b"{\"event\":7,\"distinct_id\":\"bad\"}",
    b"{\"event\":\"bad\",\"distinct_id\":\"bad\",\"timestamp\":1700000000000}",
    b"{\"event\":\"bad\",\"distinct_id\":\"bad\",\"properties\":[]}",
    b"{\"event\":\"bad\",\"distinct_id\":\"bad\",\"offset\":\"1\"}",
    b"{\"event\":\"bad\",\"distinct_id\":\"bad\",\"uuid\":7}",
];

/// The token of a request whose client has a wrong one.
pub(super) fn token(seed: u64, request: &Request) -> &'static str {
    random(seed, request).pick(&TOKENS).copied().unwrap_or_default()
}

/// The event that spoils a request.
pub(super) fn event(seed: u64, request: &Request) -> &'static [u8] {
    random(seed, request).pick(&EVENTS).copied().unwrap_or_default()
}

const fn random(seed: u64, request: &Request) -> Random {
    Random::new(seed, request.stream, request.index, Purpose::Garbage)
}
