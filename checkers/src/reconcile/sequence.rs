//! Events and requests in the order of their sending, as far as a sequential test needs it: by the second.
//!
//! Memory grows with the time that was sent in, and not with the events. Within a second all defects come first: whatever
//! their true order, the test then never passes sooner than it would have.

use std::collections::BTreeMap;

/// Clean units and defects by the second of their intended sending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sequence(BTreeMap<i64, Units>);

/// Units of one second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Units {
    /// Those without a defect.
    pub clean: u64,
    /// Those with one.
    pub defects: u64,
}

impl Sequence {
    /// Adds so many units of one second, all of them defects or none.
    pub fn add(&mut self, second: i64, defect: bool, units: u64) {
        let all = self.0.entry(second).or_default();
        *(if defect { &mut all.defects } else { &mut all.clean }) += units;
    }

    /// All seconds in their order.
    pub fn iter(&self) -> impl Iterator<Item = Units> {
        self.0.values().copied()
    }
}

/// The same population in units of events and of requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InOrder {
    /// Each event by itself.
    pub events: Sequence,
    /// Each request as one, a defect if one of its events is.
    pub requests: Sequence,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_come_in_their_order() {
        let mut sequence = Sequence::default();
        for (second, defect, units) in [(5, false, 3), (-1, true, 1), (5, true, 2), (5, false, 4)] {
            sequence.add(second, defect, units);
        }
        let units = |clean, defects| Units { clean, defects };
        assert_eq!(sequence.iter().collect::<Vec<_>>(), [units(0, 1), units(7, 2)]);
    }
}
