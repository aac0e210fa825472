//! Planted defects: switches that make the reference pipeline misbehave in a known number of events.

mod catalogue;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

pub use catalogue::{CATALOGUE, Defect, DefectName, Stage};

/// One planted defect, as the environment variable `ASSAY_PLANTED_DEFECTS` (a JSON array of these) hands it to a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlantedDefect {
    /// Which defect.
    pub name: DefectName,
    /// In how many distinct events (by uuid; every attempt of a chosen event is treated alike).
    pub count: u64,
    /// One event in `every` is chosen until `count` are, so that they spread over the run.
    pub every: u64,
    /// The property that `drop_property` removes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub property: Option<String>,
    /// The project's token under which `swap_tenant` produces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The events that a defect of the sink concerns, by uuid: SQL cannot count as it goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uuids: Vec<String>,
    /// How long the sink keeps rows from being seen, at the most, in milliseconds.
    #[serde(default)]
    pub held_ms: u64,
    /// Over how long events are sent, in milliseconds: the time in which `slow_drift` reaches `held_ms`.
    #[serde(default)]
    pub span_ms: u64,
}

impl PlantedDefect {
    /// A defect that needs nothing but its name and how often it is planted.
    pub const fn new(name: DefectName, count: u64, every: u64) -> Self {
        Self { name, count, every, property: None, token: None, uuids: Vec::new(), held_ms: 0, span_ms: 0 }
    }
}

/// Chooses the events of one defect: one new uuid in `every`, until `count` are chosen.
#[derive(Debug)]
pub struct Chooser {
    /// The defect.
    pub defect: PlantedDefect,
    passed: u64,
    chosen: HashSet<String>,
    /// Uuids that were passed over, so that a second sending of one is not taken for a new event.
    spared: HashSet<String>,
}

impl Chooser {
    /// A chooser that has seen nothing yet.
    pub fn new(defect: PlantedDefect) -> Self {
        Self { defect, passed: 0, chosen: HashSet::new(), spared: HashSet::new() }
    }

    /// Whether the defect is still to be planted in some event, or was in this one.
    pub fn concerns(&self, uuid: &str) -> bool {
        (self.chosen.len() as u64) < self.defect.count || self.chosen.contains(uuid)
    }

    /// Whether the defect is planted in this event. Ask only for events in which it can be.
    pub fn chooses(&mut self, uuid: &str) -> bool {
        self.chooses_when(uuid, |passed, defect| passed.is_multiple_of(defect.every.max(1)))
    }

    /// Whether this event is in the block: as many new events as are to be chosen, one after the other, from the middle of
    /// those among which they would otherwise be spread.
    pub fn chooses_in_a_row(&mut self, uuid: &str) -> bool {
        self.chooses_when(uuid, |passed, defect| passed > defect.every.saturating_mul(defect.count) / 2)
    }

    /// Chooses no further event, once it has chosen any.
    pub fn close(&mut self) {
        if !self.chosen.is_empty() {
            self.defect.count = self.chosen.len() as u64;
            self.spared = HashSet::new();
        }
    }

    fn chooses_when(&mut self, uuid: &str, due: impl Fn(u64, &PlantedDefect) -> bool) -> bool {
        if self.chosen.contains(uuid) {
            return true;
        }
        if self.chosen.len() as u64 >= self.defect.count || self.spared.contains(uuid) {
            return false;
        }
        self.passed += 1;
        let chosen = due(self.passed, &self.defect);
        if chosen { &mut self.chosen } else { &mut self.spared }.insert(uuid.to_owned());
        if self.chosen.len() as u64 >= self.defect.count {
            self.spared = HashSet::new();
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chooser(count: u64, every: u64) -> Chooser {
        Chooser::new(PlantedDefect::new(DefectName::AckThenDrop, count, every))
    }

    #[test]
    fn exactly_so_many_are_chosen_and_each_attempt_is_treated_alike() {
        let mut chooser = chooser(3, 10);
        let first: Vec<bool> = (0..100).map(|number| chooser.chooses(&number.to_string())).collect();
        assert_eq!(first.iter().filter(|chosen| **chosen).count(), 3);
        assert!(first[9] && first[19] && first[29]);
        let again: Vec<bool> = (0..100).map(|number| chooser.chooses(&number.to_string())).collect();
        assert_eq!(first, again);
    }

    #[test]
    fn a_spared_event_is_not_counted_twice() {
        let mut chooser = chooser(1, 2);
        assert!(!chooser.chooses("a") && !chooser.chooses("a") && chooser.chooses("b") && chooser.chooses("b"));
    }

    #[test]
    fn a_block_is_in_a_row_in_the_middle_and_holds_every_attempt() {
        let mut chooser = chooser(3, 10);
        let mut chosen = |events: &[u32]| {
            events.iter().map(|event| chooser.chooses_in_a_row(&event.to_string())).collect::<Vec<_>>()
        };
        let events: Vec<u32> = (0..30).collect();
        let first = chosen(&events);
        assert_eq!(first.iter().position(|chosen| *chosen), Some(15));
        assert_eq!(first[15..19], [true, true, true, false]);
        assert_eq!(chosen(&[3, 16, 16, 18]), [false, true, true, false], "each attempt is treated alike");
    }

    #[test]
    fn a_block_that_was_closed_takes_no_more() {
        let mut chooser = chooser(3, 2);
        chooser.close();
        let block = ["a", "b", "c", "d"].map(|event| chooser.chooses_in_a_row(event));
        assert_eq!(block, [false, false, false, true]);
        chooser.close();
        assert!(!chooser.chooses_in_a_row("e") && chooser.chooses_in_a_row("d"));
    }
}
