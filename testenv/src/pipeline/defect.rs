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
        if self.chosen.contains(uuid) {
            return true;
        }
        if self.chosen.len() as u64 >= self.defect.count || self.spared.contains(uuid) {
            return false;
        }
        self.passed += 1;
        let chosen = self.passed.is_multiple_of(self.defect.every.max(1));
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

    #[test]
    fn exactly_so_many_are_chosen_and_each_attempt_is_treated_alike() {
        let defect = PlantedDefect {
            name: DefectName::AckThenDrop,
            count: 3,
            every: 10,
            property: None,
            token: None,
            uuids: vec![],
        };
        let mut chooser = Chooser::new(defect);
        let first: Vec<bool> = (0..100).map(|number| chooser.chooses(&number.to_string())).collect();
        assert_eq!(first.iter().filter(|chosen| **chosen).count(), 3);
        assert!(first[9] && first[19] && first[29]);
        let again: Vec<bool> = (0..100).map(|number| chooser.chooses(&number.to_string())).collect();
        assert_eq!(first, again);
    }

    #[test]
    fn a_spared_event_is_not_counted_twice() {
        let defect = PlantedDefect {
            name: DefectName::AckThenDrop,
            count: 1,
            every: 2,
            property: None,
            token: None,
            uuids: vec![],
        };
        let mut chooser = Chooser::new(defect);
        assert!(!chooser.chooses("a") && !chooser.chooses("a") && chooser.chooses("b") && chooser.chooses("b"));
    }
}
