//! How a `timestamp` is written: the forms beside the usual one that capture reads, and one that it does not (ingestion
//! contract 2.1; rust/common/types/src/timestamp.rs).

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A form of a `timestamp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeSpelling {
    /// RFC 3339 to the millisecond, in UTC.
    #[default]
    Usual,
    /// RFC 3339 in another zone.
    Offset,
    /// The same without the zone's minutes.
    Hours,
    /// RFC 3339 to the second, in which its time is cut.
    Seconds,
    /// RFC 3339 to the microsecond.
    Micros,
    /// Date and time without a zone, which are taken as UTC.
    Civil,
    /// Milliseconds since 1970, as text.
    Digits,
    /// What is no time at all, so that the server's clock is taken.
    Unreadable,
}

/// What is no time.
pub const NO_TIME: &str = "yesterday";
/// A time of another length in digits would be taken for seconds or microseconds: these are the years 2001 to 2286.
const SPELT_MS: Range<i64> = 1_000_000_000_000..10_000_000_000_000;

impl TimeSpelling {
    /// All but the usual one, with the words for them.
    pub const ALL: [(&str, Self); 7] = [
        ("offset", Self::Offset),
        ("hours", Self::Hours),
        ("seconds", Self::Seconds),
        ("micros", Self::Micros),
        ("civil", Self::Civil),
        ("digits", Self::Digits),
        ("unreadable", Self::Unreadable),
    ];

    /// Whether it is RFC 3339 to the letter.
    pub const fn is_rfc3339(self) -> bool {
        matches!(self, Self::Usual | Self::Offset | Self::Seconds | Self::Micros)
    }

    /// How a moment in milliseconds since 1970 is written then: a clock that is off by decades writes as usual.
    #[must_use]
    pub const fn at(self, unix_ms: i64) -> Self {
        if SPELT_MS.start <= unix_ms && unix_ms < SPELT_MS.end { self } else { Self::Usual }
    }

    /// What is told of a moment that way, in milliseconds since 1970; `None` where nobody can read it.
    pub const fn told_ms(self, unix_ms: i64) -> Option<i64> {
        match self.at(unix_ms) {
            Self::Unreadable => None,
            Self::Seconds => Some(unix_ms - unix_ms.rem_euclid(1_000)),
            Self::Usual | Self::Offset | Self::Hours | Self::Micros | Self::Civil | Self::Digits => Some(unix_ms),
        }
    }
}
