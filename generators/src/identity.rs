//! `EventId` ⇄ UUID: every event carries its own place in the workload.
//!
//! The `uuid` column of a row alone says which event it is: (run 40 bits, stream 14, seq 44, check 24) are exactly the
//! 122 free bits of a version 8 UUID (RFC 9562, section 5.8). The check bits tell a damaged or foreign UUID from one of
//! ours. The layout must not change: stored runs are judged by it.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::random::mix;

/// The property that carries the same identity once more, for rows whose `uuid` was damaged or minted anew.
pub const MARKER_PROPERTY: &str = "assay_id";

const RUN_BITS: u32 = 40;
const STREAM_BITS: u32 = 14;
const SEQ_BITS: u32 = 44;
const CHECK_BITS: u32 = 24;
/// Keeps the check apart from every other use of [`mix`].
const CHECK_SALT: u64 = 0x6173_7361_795f_6964;

/// A run's number, 40 bits, random; written as ten hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(u64);

impl RunId {
    /// Keeps the lowest 40 bits of `bits`.
    pub const fn new(bits: u64) -> Self {
        Self(bits & ((1 << RUN_BITS) - 1))
    }

    /// The number, below 2^40.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010x}", self.0)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunId({self})")
    }
}

impl From<RunId> for String {
    fn from(run: RunId) -> Self {
        run.to_string()
    }
}

impl TryFrom<String> for RunId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match u64::from_str_radix(&text, 16) {
            Ok(bits) if text.len() == 10 => Ok(Self(bits)),
            _ => Err(format!("`{text}` is no run id: ten hexadecimal digits are needed")),
        }
    }
}

/// A stream's number in its run: one per `[[traffic]]` of the scenario, below 2^14.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StreamId(pub u16);

/// Which event: the run, the stream in it and the event's sequence number in the stream (below 2^44).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId {
    /// The run that planned it.
    pub run: RunId,
    /// The stream of that run.
    pub stream: StreamId,
    /// Its place in the stream, from 0.
    pub seq: u64,
}

/// Why a UUID is no [`EventId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEventId {
    /// Version or variant are not those of a version 8 UUID: someone else minted it.
    #[error("it is not a version 8 UUID, so Assay did not mint it")]
    Foreign,
    /// The check bits do not fit the rest.
    #[error("its check bits do not fit: it is damaged, or not Assay's")]
    Damaged,
}

impl EventId {
    /// The UUID that carries this identity.
    pub fn to_uuid(self) -> Uuid {
        let packed = (u128::from(self.run.0) << (STREAM_BITS + SEQ_BITS + CHECK_BITS))
            | (u128::from(self.stream.0 & ((1 << STREAM_BITS) - 1)) << (SEQ_BITS + CHECK_BITS))
            | (u128::from(self.seq & ((1 << SEQ_BITS) - 1)) << CHECK_BITS)
            | u128::from(self.check());
        let (high, middle, low) = (packed >> 74, (packed >> 62) & 0xfff, packed & ((1 << 62) - 1));
        Uuid::from_u128((high << 80) | (0x8 << 76) | (middle << 64) | (0b10 << 62) | low)
    }

    /// The identity that `uuid` carries.
    ///
    /// # Errors
    /// [`NotAnEventId`] when it is not one that [`EventId::to_uuid`] makes.
    pub fn from_uuid(uuid: Uuid) -> Result<Self, NotAnEventId> {
        let bits = uuid.as_u128();
        if (bits >> 76) & 0xf != 0x8 || (bits >> 62) & 0b11 != 0b10 {
            return Err(NotAnEventId::Foreign);
        }
        let packed = ((bits >> 80) << 74) | (((bits >> 64) & 0xfff) << 62) | (bits & ((1 << 62) - 1));
        let id = Self {
            run: RunId::new((packed >> (STREAM_BITS + SEQ_BITS + CHECK_BITS)) as u64),
            stream: StreamId(((packed >> (SEQ_BITS + CHECK_BITS)) & ((1 << STREAM_BITS) - 1)) as u16),
            seq: ((packed >> CHECK_BITS) & ((1 << SEQ_BITS) - 1)) as u64,
        };
        if u128::from(id.check()) == packed & ((1 << CHECK_BITS) - 1) { Ok(id) } else { Err(NotAnEventId::Damaged) }
    }

    fn check(self) -> u32 {
        let folded = mix(mix(CHECK_SALT ^ self.run.0).wrapping_add((u64::from(self.stream.0) << SEQ_BITS) | self.seq));
        (folded >> (64 - CHECK_BITS)) as u32
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_uuid())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_id() -> impl Strategy<Value = EventId> {
        (any::<u64>(), 0u16..1 << STREAM_BITS, 0u64..1 << SEQ_BITS).prop_map(|(run, stream, seq)| EventId {
            run: RunId::new(run),
            stream: StreamId(stream),
            seq,
        })
    }

    proptest! {
        #[test]
        fn survives_the_uuid_both_ways(id in any_id()) {
            let uuid = id.to_uuid();
            prop_assert_eq!(uuid.get_version_num(), 8);
            prop_assert_eq!(EventId::from_uuid(uuid), Ok(id));
        }

        #[test]
        fn one_flipped_bit_never_makes_another_event(id in any_id(), bit in 0u32..128) {
            let damaged = Uuid::from_u128(id.to_uuid().as_u128() ^ (1 << bit));
            // A flipped bit changes the check with probability 1 − 2⁻²⁴; 256 cases never meet the rest.
            prop_assert!(EventId::from_uuid(damaged).is_err());
        }
    }

    #[test]
    fn the_layout_is_pinned() {
        let id = EventId { run: RunId::new(0x12_3456_789a), stream: StreamId(3), seq: 1_000_000 };
        insta::assert_snapshot!(id.to_string());
        assert_eq!(id.run.to_string(), "123456789a");
    }

    #[test]
    fn foreign_uuids_are_told_apart() {
        assert_eq!(EventId::from_uuid(Uuid::now_v7()), Err(NotAnEventId::Foreign));
        assert_eq!(EventId::from_uuid(Uuid::nil()), Err(NotAnEventId::Foreign));
    }
}
