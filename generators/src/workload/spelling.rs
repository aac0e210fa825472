//! The ways to say the same: aliases of fields, paths with and without their last slash, a list of one (ingestion contract 1.1
//! to 1.3). What is stored is the same but for what stands among the properties.

use serde::{Deserialize, Serialize};

use super::plan::{Endpoint, Traffic};
use crate::{
    event::{Event, Member},
    random::{Random, Share},
};

/// How an event says whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Spelling {
    /// By `api_key` and `distinct_id`.
    #[default]
    Usual,
    /// The token by `token`.
    Token,
    /// The token by `$token`.
    DollarToken,
    /// The token among the properties.
    TokenInProperties,
    /// The distinct id by `$distinct_id`.
    DollarDistinctId,
    /// The distinct id among the properties.
    DistinctIdInProperties,
    /// A person's profile without a name, which is an `$identify`.
    Nameless,
    /// As it was recorded.
    Recorded(RecordedSpelling),
}

/// How a recorded event says whose it is; as usual by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordedSpelling {
    /// Where its token stands beside its properties.
    pub token: TokenKey,
    /// Whether it stands among them, too or alone.
    pub token_property: bool,
    /// Where its distinct id stands beside its properties. What stands among them is one of them.
    pub distinct_id: DistinctIdKey,
    /// Whether it has no name, as a person's profile.
    pub nameless: bool,
}

/// A key for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of the keys")]
pub enum TokenKey {
    #[default]
    ApiKey,
    Token,
    DollarToken,
    /// It does not stand there.
    Nowhere,
}

/// A key for a distinct id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of the keys")]
pub enum DistinctIdKey {
    #[default]
    DistinctId,
    DollarDistinctId,
    /// It does not stand there.
    Nowhere,
}

impl RecordedSpelling {
    /// Whether it is as usual.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Spelling {
    /// One of those that an event of this traffic can have.
    pub(super) fn draw(random: &mut Random, traffic: &Traffic) -> Self {
        const ID: [Spelling; 2] = [Spelling::DollarDistinctId, Spelling::DistinctIdInProperties];
        const BOTH: [Spelling; 6] = [
            Spelling::DollarDistinctId,
            Spelling::DistinctIdInProperties,
            Spelling::Token,
            Spelling::DollarToken,
            Spelling::TokenInProperties,
            Spelling::Nameless,
        ];
        let all = match traffic.endpoint {
            // The token stands once for all.
            Endpoint::Batch => &ID[..],
            // Whoever has no name is identified by it, and could not be merged away any more.
            Endpoint::Engage if traffic.persons.identify == Share::default() => &BOTH[..],
            Endpoint::V1 | Endpoint::AiV1 | Endpoint::Ai | Endpoint::Recordings => &[],
            _ => &BOTH[..5],
        };
        random.pick(all).copied().unwrap_or_default()
    }

    /// Gives an event what follows from its spelling.
    pub(super) fn apply(self, event: &mut Event, token: &str) {
        match self {
            Self::TokenInProperties => event.members.push(Member::new("token", quoted(token))),
            Self::DistinctIdInProperties => {
                let id = event.distinct_id_json.clone().unwrap_or_else(|| quoted(&event.distinct_id));
                event.members.push(Member::new("distinct_id", id));
            }
            Self::Nameless => {
                "$identify".clone_into(&mut event.name);
                event.name_json = None;
            }
            Self::Recorded(recorded) if recorded.token_property => {
                event.members.push(Member::new("token", quoted(token)));
            }
            Self::Recorded(_) | Self::Usual | Self::Token | Self::DollarToken | Self::DollarDistinctId => (),
        }
    }

    /// The key that the token stands at beside the properties, if it does.
    pub const fn token_key(self) -> Option<&'static str> {
        match self {
            Self::Token => Some("token"),
            Self::DollarToken => Some("$token"),
            Self::TokenInProperties => None,
            Self::Usual | Self::DollarDistinctId | Self::DistinctIdInProperties | Self::Nameless => Some("api_key"),
            Self::Recorded(recorded) => match recorded.token {
                TokenKey::ApiKey => Some("api_key"),
                TokenKey::Token => Some("token"),
                TokenKey::DollarToken => Some("$token"),
                TokenKey::Nowhere => None,
            },
        }
    }

    /// The same with a token beside the properties, which is the one that counts.
    pub(crate) const fn with_token_beside(self) -> Self {
        match self {
            Self::TokenInProperties => Self::Usual,
            Self::Recorded(RecordedSpelling { token: TokenKey::Nowhere, token_property, distinct_id, nameless }) => {
                Self::Recorded(RecordedSpelling { token: TokenKey::ApiKey, token_property, distinct_id, nameless })
            }
            other => other,
        }
    }

    /// Whether the event is sent without its name.
    pub(crate) const fn is_nameless(self) -> bool {
        matches!(self, Self::Nameless | Self::Recorded(RecordedSpelling { nameless: true, .. }))
    }

    /// The key that the distinct id stands at beside the properties, if it does.
    pub const fn distinct_id_key(self) -> Option<&'static str> {
        match self {
            Self::DollarDistinctId => Some("$distinct_id"),
            Self::DistinctIdInProperties => None,
            Self::Usual | Self::Token | Self::DollarToken | Self::TokenInProperties | Self::Nameless => {
                Some("distinct_id")
            }
            Self::Recorded(recorded) => match recorded.distinct_id {
                DistinctIdKey::DistinctId => Some("distinct_id"),
                DistinctIdKey::DollarDistinctId => Some("$distinct_id"),
                DistinctIdKey::Nowhere => None,
            },
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// How a request says what it is; as usual by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is spelt apart from the others")]
pub struct RequestSpelling {
    /// The path has no slash at its end, or has one where it usually has none.
    pub other_slash: bool,
    /// One event stands in a list of its own.
    pub list_of_one: bool,
    /// A batch calls the token `token`.
    pub token: bool,
    /// The query calls its compression by the other name that there is for it.
    pub other_hint: bool,
    /// The query says what nobody needs, as posthog-js does: its version, and whether to keep the address.
    pub more_query: bool,
    /// Where it would not say when it is sent, the query says so in seconds, which nobody believes.
    pub seconds: bool,
    /// The query says nothing of gzip, which is told by its first bytes.
    pub no_hint: bool,
    /// What is base64 is packed once more, as some old clients do, where that is undone.
    pub packed_twice: bool,
    /// Where its first bytes tell of a compression, the query calls it by a word that nobody knows.
    pub unknown_hint: Option<&'static str>,
}

/// Words for no compression that capture knows, now or later; it takes them for none (rust/capture, payload/types.rs).
const UNKNOWN_HINTS: [&str; 4] = ["zip", "snappy", "none", ""];

impl RequestSpelling {
    /// The same, with a word that nobody knows.
    pub(super) fn with_unknown_hint(self, random: &mut Random) -> Self {
        Self { unknown_hint: random.pick(&UNKNOWN_HINTS).copied(), ..self }
    }

    pub(super) fn draw(random: &mut Random) -> Self {
        let mut bit = || random.below(2) == 1;
        Self {
            other_slash: bit(),
            list_of_one: bit(),
            token: bit(),
            other_hint: bit(),
            more_query: bit(),
            seconds: bit(),
            no_hint: bit(),
            packed_twice: bit(),
            unknown_hint: None,
        }
    }
}
