//! What stands in a recording more than once: events whose uuid an event before them has.
//!
//! Positions count everything that stands there, sequence numbers what is told apart. Both rise together, and a repeat has a
//! position and no number of its own; so a list of the repeats is enough to go from one to the other.

use std::ops::Range;

use super::Place;

/// An event that stands in the recording once more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Repeat {
    pub position: u64,
    /// The event that it is.
    pub seq: u64,
    /// How many milliseconds later it says that it happened than the first time.
    pub later_ms: i64,
    /// What it says.
    pub place: Place,
}

/// All repeats of a recording.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// By their positions.
    all: Vec<Repeat>,
    /// Their places in that, by the events that they are.
    by_event: Vec<u32>,
}

impl Repeats {
    /// Those of a recording, in the order of their positions.
    pub fn new(all: Vec<Repeat>) -> Self {
        let mut by_event: Vec<u32> = (0..all.len() as u32).collect();
        by_event.sort_by_key(|place| all.get(*place as usize).map(|repeat| repeat.seq));
        Self { all, by_event }
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

    /// Those of one event, by their positions.
    pub fn of(&self, seq: u64) -> impl Iterator<Item = &Repeat> {
        let repeat = |place: &u32| self.all.get(*place as usize);
        let first = self.by_event.partition_point(|place| repeat(place).is_some_and(|repeat| repeat.seq < seq));
        let rest = self.by_event.get(first..).unwrap_or_default();
        rest.iter().filter_map(repeat).take_while(move |repeat| repeat.seq == seq)
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
            all.push(Repeat { position, seq, later_ms: 0, place });
        }
        let repeats = Repeats::new(all);
        assert_eq!((repeats.len(), Repeats::default().is_empty()), (4, true));
        for (position, seq) in (0..).zip(told) {
            let first = told.iter().position(|other| *other == seq).unwrap() as u64;
            assert_eq!(repeats.at(position), (seq, first != position), "{position}");
            assert_eq!(repeats.position_of(seq), first, "{seq}");
        }
        assert_eq!((repeats.at(9), repeats.position_of(5)), ((5, false), 9), "and behind them");
        let positions = |range| repeats.within(&range).iter().map(|repeat| repeat.position).collect::<Vec<_>>();
        assert_eq!((positions(2..5), positions(3..4), positions(5..99)), (vec![2, 4], vec![], vec![5, 8]));
        assert_eq!(repeats.of(0).map(|repeat| repeat.position).collect::<Vec<_>>(), [2, 8]);
    }
}
