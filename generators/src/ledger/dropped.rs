//! Why a reply says that an event was dropped.

/// The words that are known (rust/capture/src/v1/analytics/constants.rs). The ledger holds their places: new ones come last.
const WORDS: [&str; 16] = [
    "billing_limit_exceeded",
    "event_restriction_drop",
    "non_historical_import_drop",
    "misrouted_event",
    "invalid_options",
    "missing_event_name",
    "event_name_too_long",
    "missing_distinct_id",
    "distinct_id_too_large",
    "invalid_event_timestamp",
    "malformed_event_properties",
    "serialization_failed",
    "event_too_big",
    "cookieless_mode_required",
    "not_persisted",
    "rate_limited",
];

/// The word (`details`) of a result `drop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DropWord(u8);

impl DropWord {
    /// None, or one that is not known.
    pub const OTHER: Self = Self(u8::MAX);

    /// The word that a reply holds.
    pub fn of(word: &str) -> Self {
        let place = WORDS.iter().position(|known| *known == word);
        place.and_then(|place| u8::try_from(place).ok()).map_or(Self::OTHER, Self)
    }

    /// Its place among those that are known; `None` for [`OTHER`](Self::OTHER).
    pub fn place(self) -> Option<u8> {
        WORDS.get(usize::from(self.0)).map(|_| self.0)
    }

    /// The word at a place; `None` where there is none.
    pub fn at(place: u8) -> Option<Self> {
        WORDS.get(usize::from(place)).map(|_| Self(place))
    }

    /// The word itself.
    pub fn word(self) -> &'static str {
        WORDS.get(usize::from(self.0)).copied().unwrap_or("a word that is not known")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_known_by_its_place() {
        for (place, word) in (0u8..).zip(WORDS) {
            assert_eq!(DropWord::at(place), Some(DropWord::of(word)));
            assert_eq!((DropWord::of(word).place(), DropWord::of(word).word()), (Some(place), word));
        }
        assert_eq!((DropWord::of("new"), DropWord::OTHER.place()), (DropWord::OTHER, None));
        assert_eq!((DropWord::at(16), DropWord::at(u8::MAX)), (None, None));
    }
}
