//! What stands in a recording more than once: events whose uuid an event before them has.
//!
//! Positions count everything that stands there, sequence numbers what is told apart. Both rise together, and a repeat has a
//! position and no number of its own; so a list of the repeats is enough to go from one to the other. Most repeats say what the
//! first one said; of what else an event says, the place is kept once for each content, so that nobody need read them all.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
};

use super::Place;

/// An event that stands in the recording once more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Repeat {
    pub position: u64,
    /// The event that it is.
    pub seq: u64,
    /// How many milliseconds later it says that it happened than the first time.
    pub later_ms: i64,
    /// Which content it says: 0 for that of the first time, else its number among the others, from 1.
    pub content: u32,
    /// What it says.
    pub place: Place,
}

/// A checksum of a content: an event's text in our form, and whether its token stands among its properties, and so is one.
pub(super) fn content_sum(text: &str, token_property: bool) -> u64 {
    let mut hasher = DefaultHasher::new();
    (text, token_property).hash(&mut hasher);
    hasher.finish()
}

/// What events say that stand there again, while a recording is read.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Which content it is, by the event and a checksum.
    numbers: HashMap<(u64, u64), u32>,
    /// Where each stands first, by the event.
    places: HashMap<u64, Vec<Place>>,
}

impl Contents {
    /// The number of a content that event `seq` did not say the first time and says at `place`; `sum` is its checksum.
    pub fn number(&mut self, seq: u64, sum: u64, place: Place) -> u32 {
        *self.numbers.entry((seq, sum)).or_insert_with(|| {
            let places = self.places.entry(seq).or_default();
            places.push(place);
            places.len() as u32
        })
    }
}

/// All repeats of a recording.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// By their positions.
    all: Vec<Repeat>,
    /// Where each content stands that an event has beside that of the first time, of the few events that have any.
    others: HashMap<u64, Vec<Place>>,
}

impl Repeats {
    /// Those of a recording, in the order of their positions, and what they say.
    pub fn new(all: Vec<Repeat>, contents: Contents) -> Self {
        Self { all, others: contents.places }
    }

    pub const fn len(&self) -> usize {
        self.all.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Those at these positions.
    pub fn within(&self, positions: &Range<u64>) -> &[Repeat] {
        let before = |position: u64| self.all.partition_point(|repeat| repeat.position < position);
        self.all.get(before(positions.start)..before(positions.end)).unwrap_or_default()
    }

    /// Where an event says something else than the first time, once for each content.
    pub fn others(&self, seq: u64) -> &[Place] {
        self.others.get(&seq).map_or(&[], Vec::as_slice)
    }

    /// The event that stands at a position, and whether it stood there before.
    pub fn at(&self, position: u64) -> (u64, bool) {
        match self.all.binary_search_by_key(&position, |repeat| repeat.position) {
            Ok(place) => self.all.get(place).map_or((position, false), |repeat| (repeat.seq, true)),
            Err(before) => (position - before as u64, false),
        }
    }

    /// Where an event stands first.
    pub fn position_of(&self, seq: u64) -> u64 {
        // Before each repeat there are as many first ones as positions that are no repeats.
        let mut number = 0..self.all.len();
        while !number.is_empty() {
            let middle = number.start + number.len() / 2;
            let is_before = self.all.get(middle).is_some_and(|repeat| repeat.position - middle as u64 <= seq);
            number = if is_before { middle + 1..number.end } else { number.start..middle };
        }
        seq + number.start as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{RecordedSpelling, TimeForm};

    #[test]
    fn positions_and_numbers_lead_to_each_other() {
        // Which event stands at each position.
        let told = [0, 1, 0, 2, 2, 1, 3, 4, 0];
        let (mut all, mut next) = (Vec::new(), 0);
        for (position, seq) in (0..).zip(told) {
            if seq == next {
                next += 1;
                continue;
            }
            let spelling = RecordedSpelling::default();
            let place = Place { offset: 0, length: 0, time: TimeForm::Timestamp, before_ms: 0, spelling };
            all.push(Repeat { position, seq, later_ms: 0, content: 0, place });
        }
        let repeats = Repeats::new(all, Contents::default());
        assert_eq!((repeats.len(), Repeats::default().is_empty()), (4, true));
        for (position, seq) in (0..).zip(told) {
            let first = told.iter().position(|other| *other == seq).unwrap() as u64;
            assert_eq!(repeats.at(position), (seq, first != position), "{position}");
            assert_eq!(repeats.position_of(seq), first, "{seq}");
        }
        assert_eq!((repeats.at(9), repeats.position_of(5)), ((5, false), 9), "and behind them");
        let positions = |range| repeats.within(&range).iter().map(|repeat| repeat.position).collect::<Vec<_>>();
        assert_eq!((positions(2..5), positions(3..4), positions(5..99)), (vec![2, 4], vec![], vec![5, 8]));
    }

    #[test]
    fn of_what_an_event_says_again_each_content_is_kept_once() {
        let place = |offset| {
            let spelling = RecordedSpelling::default();
            Place { offset, length: 0, time: TimeForm::Timestamp, before_ms: 0, spelling }
        };
        let mut contents = Contents::default();
        let sums = [content_sum("a", false), content_sum("b", false), content_sum("a", true)];
        let told = [(7, 0), (7, 1), (8, 1), (7, 0), (7, 2), (7, 1)];
        let numbers = (0..).zip(told).map(|(offset, (seq, sum))| contents.number(seq, sums[sum], place(offset)));
        assert_eq!(numbers.collect::<Vec<_>>(), [1, 2, 1, 1, 3, 2]);
        let repeats = Repeats::new(Vec::new(), contents);
        let offsets = |seq| repeats.others(seq).iter().map(|place| place.offset).collect::<Vec<_>>();
        assert_eq!((offsets(7), offsets(8), offsets(9)), (vec![0, 1, 4], vec![2], vec![]));
    }
}
