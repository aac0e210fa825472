//! The clients of a stream: which library they are, and in which of their requests they fail.
//!
//! Which requests fail is a pure function of seed, stream and index, so that a judge knows it without being told. Only a
//! first attempt fails on purpose: what a library sends again is whole.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::profile::Profile;
use crate::{
    identity::StreamId,
    random::{Purpose, Random, Share},
};

/// How the clients of a stream deliver.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Client {
    /// Which library they are.
    pub profile: Profile,
    /// No retry leaves later than this after its request was due. For `None` its library alone decides how often it tries:
    /// for minutes, and for more than an hour in a browser.
    pub retry_for: Option<Duration>,
    /// Which share of their requests is sent as a page is closed, so that nobody hears of an answer.
    #[serde(default, skip_serializing_if = "super::plan::is_none")]
    pub beacon: Share,
    /// Which of their requests fail.
    pub faults: ClientFaults,
}

/// Which share of requests fails in which way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the names are those of the faults, one for one")]
pub struct ClientFaults {
    pub disconnect: Share,
    pub slow_body: Share,
    /// How long a slow body takes.
    pub slow_over: Duration,
    pub duplicate_headers: Share,
    pub wrong_content_type: Share,
    pub truncated_gzip: Share,
    pub empty_body: Share,
    pub garbage_body: Share,
    pub bad_token: Share,
    pub empty_batch: Share,
    pub wrong_types: Share,
    pub preflight: Share,
    pub bad_headers: Share,
    pub no_token: Share,
    pub refused_content_type: Share,
    pub no_user_agent: Share,
    pub gzip_bomb: Share,
}

impl Default for ClientFaults {
    fn default() -> Self {
        let none = Share::default();
        Self {
            disconnect: none,
            slow_body: none,
            slow_over: Duration::from_secs(2),
            duplicate_headers: none,
            wrong_content_type: none,
            truncated_gzip: none,
            empty_body: none,
            garbage_body: none,
            bad_token: none,
            empty_batch: none,
            wrong_types: none,
            preflight: none,
            bad_headers: none,
            no_token: none,
            refused_content_type: none,
            no_user_agent: none,
            gzip_bomb: none,
        }
    }
}

/// A way in which a client's request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientFault {
    /// The client goes away in the middle of the body.
    Disconnect,
    /// The body comes in pieces, over so long a time.
    SlowBody(Duration),
    /// A header that there is one of comes twice, with equal values.
    DuplicateHeaders,
    /// The content type is none of JSON.
    WrongContentType,
    /// The body is gzip that ends early.
    TruncatedGzip,
    /// There is no body.
    EmptyBody,
    /// The body is noise.
    GarbageBody,
    /// The token cannot be one: it is empty, too long, or somebody's personal key.
    BadToken,
    /// The list of events is empty.
    EmptyBatch,
    /// Behind the events stands one whose own fields are of wrong types, or whose uuid another one has.
    WrongTypes,
    /// A browser asks first, with OPTIONS, whether it may send: no failure, but a request beside the request.
    Preflight,
    /// A header that v1 wants is missing, or says nothing that can be read.
    BadHeaders,
    /// There is no token at all.
    NoToken,
    /// The content type is missing or none of JSON, where v1 takes nothing else.
    RefusedContentType,
    /// The client does not say who it is, where v1 wants to know.
    NoUserAgent,
    /// The body is small and grows to more than any endpoint takes when it is unpacked.
    GzipBomb,
}

impl ClientFault {
    /// Its name in a scenario and in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disconnect => "disconnect",
            Self::SlowBody(_) => "slow_body",
            Self::DuplicateHeaders => "duplicate_headers",
            Self::WrongContentType => "wrong_content_type",
            Self::TruncatedGzip => "truncated_gzip",
            Self::EmptyBody => "empty_body",
            Self::GarbageBody => "garbage_body",
            Self::BadToken => "bad_token",
            Self::EmptyBatch => "empty_batch",
            Self::WrongTypes => "wrong_types",
            Self::Preflight => "preflight",
            Self::BadHeaders => "bad_headers",
            Self::NoToken => "no_token",
            Self::RefusedContentType => "refused_content_type",
            Self::NoUserAgent => "no_user_agent",
            Self::GzipBomb => "gzip_bomb",
        }
    }

    /// Whether such a request is meant to be lost on the way. The others are to be stored like any: the capture tells gzip
    /// by its first bytes and JSON by trying (ingestion contract 1.3).
    pub const fn is_meant_to_fail(self) -> bool {
        match self {
            Self::Disconnect
            | Self::TruncatedGzip
            | Self::EmptyBody
            | Self::GarbageBody
            | Self::BadToken
            | Self::EmptyBatch
            | Self::WrongTypes
            | Self::BadHeaders
            | Self::NoToken
            | Self::RefusedContentType
            | Self::NoUserAgent
            | Self::GzipBomb => true,
            Self::SlowBody(_) | Self::DuplicateHeaders | Self::WrongContentType | Self::Preflight => false,
        }
    }
}

impl ClientFaults {
    /// All shares, with what they are shares of.
    pub const fn shares(&self) -> [(Share, ClientFault); 16] {
        [
            (self.disconnect, ClientFault::Disconnect),
            (self.slow_body, ClientFault::SlowBody(self.slow_over)),
            (self.duplicate_headers, ClientFault::DuplicateHeaders),
            (self.wrong_content_type, ClientFault::WrongContentType),
            (self.truncated_gzip, ClientFault::TruncatedGzip),
            (self.empty_body, ClientFault::EmptyBody),
            (self.garbage_body, ClientFault::GarbageBody),
            (self.bad_token, ClientFault::BadToken),
            (self.empty_batch, ClientFault::EmptyBatch),
            (self.wrong_types, ClientFault::WrongTypes),
            (self.preflight, ClientFault::Preflight),
            (self.bad_headers, ClientFault::BadHeaders),
            (self.no_token, ClientFault::NoToken),
            (self.refused_content_type, ClientFault::RefusedContentType),
            (self.no_user_agent, ClientFault::NoUserAgent),
            (self.gzip_bomb, ClientFault::GzipBomb),
        ]
    }

    /// How request `index` of a stream fails; `None` if it does not.
    pub fn of(&self, seed: u64, stream: StreamId, index: u64) -> Option<ClientFault> {
        if self.shares().iter().all(|(share, _)| *share == Share::default()) {
            return None;
        }
        let mut chance = Random::new(seed, stream, index, Purpose::ClientFault).unit();
        // A request fails in one way at most.
        self.shares().into_iter().find_map(|(share, fault)| {
            chance -= share.get();
            (chance < 0.0).then_some(fault)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: StreamId = StreamId(0);

    #[test]
    fn requests_fail_as_often_as_asked_and_in_one_way_each() {
        let share = |share| Share::new(share).unwrap();
        let faults = ClientFaults {
            disconnect: share(0.1),
            slow_body: share(0.2),
            garbage_body: share(0.3),
            ..ClientFaults::default()
        };
        let all: Vec<_> = (0..20_000).map(|index| faults.of(7, STREAM, index)).collect();
        assert_eq!(all, (0..20_000).map(|index| faults.of(7, STREAM, index)).collect::<Vec<_>>(), "a pure function");
        assert_ne!(all, (0..20_000).map(|index| faults.of(8, STREAM, index)).collect::<Vec<_>>());
        for (fault, expected) in [
            (Some(ClientFault::Disconnect), 0.1),
            (Some(ClientFault::SlowBody(Duration::from_secs(2))), 0.2),
            (Some(ClientFault::GarbageBody), 0.3),
            (Some(ClientFault::EmptyBody), 0.0),
            (None, 0.4),
        ] {
            let found = all.iter().filter(|found| **found == fault).count() as f64 / 20_000.0;
            assert!((found - expected).abs() < 0.02, "{fault:?}: {found}");
        }
    }

    #[test]
    fn plans_with_a_limit_for_retries_are_read_as_before() {
        let stored = r#"{"profile":"posthog-rs","retry_for":{"secs":600,"nanos":0},"faults":{}}"#;
        let client: Client = serde_json::from_str(stored).unwrap();
        assert_eq!(client.retry_for, Some(Duration::from_mins(10)));
        let unlimited = serde_json::to_string(&Client { retry_for: None, ..client }).unwrap();
        assert_eq!(serde_json::from_str::<Client>(&unlimited).unwrap().retry_for, None);
    }

    #[test]
    fn where_nothing_is_said_nothing_fails() {
        let faults = ClientFaults { slow_over: Duration::from_secs(9), ..ClientFaults::default() };
        assert!((0..1_000).all(|index| faults.of(7, STREAM, index).is_none()));
        assert_eq!(serde_json::from_str::<ClientFaults>("{}").unwrap(), ClientFaults::default());
    }
}
