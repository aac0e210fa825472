//! Events in which something is said twice: a key that stands there again, or a token beside that of the whole batch. What is
//! meant always comes last, and a decoy before it.
//!
//! JSON leaves open what that means (RFC 8259, section 4): JavaScript and Python take the last, and serde none where it reads a
//! struct (rust/common/types/src/event.rs, `RawEvent`).

use super::plan::{Endpoint, Traffic};
use crate::{event::Event, identity::MARKER_PROPERTY, random::Random};

/// What an event says twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twice {
    /// Its name.
    Event,
    /// Whom it is for.
    DistinctId,
    /// Its properties, each time others.
    Properties,
    /// Its token, by two of the names that there are for it.
    Token,
    /// One of its properties.
    Property,
    /// Its token, which is another one than that of its batch.
    BatchToken,
}

/// What is said first, and not meant.
const DECOY: &str = "\"first of two\"";
/// The property that only the first properties have.
pub const DECOY_PROPERTY: &str = "first_of_two";

impl Twice {
    /// What an event of this traffic can say twice, if anything.
    pub(super) fn draw(random: &mut Random, traffic: &Traffic) -> Option<Self> {
        let all = match traffic.endpoint {
            Endpoint::Batch => &[Self::Event, Self::DistinctId, Self::Properties, Self::Property, Self::BatchToken][..],
            // There an event whose name stands twice is one without a name, which is an `$identify`.
            Endpoint::Engage => &[Self::DistinctId, Self::Properties, Self::Property, Self::Token],
            Endpoint::E | Endpoint::Capture | Endpoint::IV0E | Endpoint::Track => {
                &[Self::Event, Self::DistinctId, Self::Properties, Self::Property, Self::Token]
            }
            Endpoint::V1 | Endpoint::AiV1 | Endpoint::Ai | Endpoint::Recordings | Endpoint::BlackHole => &[],
        };
        random.pick(all).copied()
    }

    /// The field that stands before all others, and its JSON text; `token` is the event's own, if it has one.
    pub(crate) fn field(self, token: Option<&[u8]>) -> Option<(&'static str, Vec<u8>)> {
        match self {
            Self::Event => Some(("event", DECOY.into())),
            Self::DistinctId => Some(("distinct_id", DECOY.into())),
            Self::Properties => Some(("properties", format!("{{\"{DECOY_PROPERTY}\":true}}").into())),
            Self::Token => Some(("token", token?.to_vec())),
            Self::BatchToken => Some(("api_key", "\"phc_of_somebody_else\"".into())),
            Self::Property => None,
        }
    }

    /// The member that stands before all other properties, with a comma behind it.
    pub(crate) fn member(self, event: &Event) -> Option<String> {
        let is_ordinary = |key: &&String| !key.starts_with('$') && *key != MARKER_PROPERTY;
        let key = event.properties.keys().find(is_ordinary).filter(|_| self == Self::Property)?;
        Some(format!("\"{key}\":{DECOY},"))
    }
}
