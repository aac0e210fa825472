//! Events that v1 of the capture API refuses, each by itself: the others of their request are stored (rust/capture/src/v1,
//! analytics/process.rs, `validate_event`).

use crate::{event::Event, random::Random};

/// What is wrong with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Its name is empty.
    Name,
    /// Its distinct id is blank, and so written.
    DistinctId(&'static str),
    /// Its timestamp is not RFC 3339, but this.
    Timestamp(&'static str),
    /// Its properties are no object, but this.
    Properties(&'static str),
}

const BLANK: [&str; 3] = ["", " ", "\t \n"];
const NO_TIMESTAMPS: [&str; 5] = ["", "yesterday", "1790000000000", "2026-01-01", "2026-01-01T00:00:00"];
const NO_OBJECTS: [&str; 5] = ["[]", "[{\"a\":1}]", "\"text\"", "7", "null"];

impl Refused {
    pub(super) fn draw(random: &mut Random) -> Self {
        let kind = random.below(4);
        let mut one_of = |texts: &[&'static str]| random.pick(texts).copied().unwrap_or_default();
        match kind {
            0 => Self::Name,
            1 => Self::DistinctId(one_of(&BLANK)),
            2 => Self::Timestamp(one_of(&NO_TIMESTAMPS)),
            _ => Self::Properties(one_of(&NO_OBJECTS)),
        }
    }

    /// Makes an event one that is refused, as far as that is not for its wire form to do.
    pub(super) fn apply(self, event: &mut Event) {
        match self {
            Self::Name => {
                event.name.clear();
                event.name_json = None;
            }
            Self::DistinctId(blank) => {
                blank.clone_into(&mut event.distinct_id);
                event.distinct_id_json = None;
                event.ids_of_person = vec![blank.to_owned()];
            }
            Self::Timestamp(_) | Self::Properties(_) => (),
        }
    }
}
