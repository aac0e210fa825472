//! Planted defects: switches that make the reference pipeline misbehave in a known number of events.

mod catalogue;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

pub use catalogue::{Amount, CATALOGUE, Defect, DefectName, Stage};

use super::settings::log;

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
    /// How much of it there is, if not as much as the catalogue says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<u64>,
    /// The project's token under which `swap_tenant` produces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The projects in whose events capture may plant it, by token; in any without one. What a later stage must drop shows
    /// nothing of what was done to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<String>,
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
        Self {
            name,
            count,
            every,
            property: None,
            amount: None,
            token: None,
            tokens: Vec::new(),
            uuids: Vec::new(),
            held_ms: 0,
            span_ms: 0,
        }
    }

    /// Whether capture may plant it in the events of this project.
    pub fn may_be_in(&self, token: &str) -> bool {
        self.tokens.is_empty() || self.tokens.iter().any(|other| other == token)
    }

    /// How much of it there is, in the unit that the catalogue names.
    pub fn amount(&self) -> u64 {
        let default = || self.name.defect().amount().map_or(0, |amount| amount.default);
        self.amount.unwrap_or_else(default)
    }
}

/// Chooses the events of one defect: one new uuid in `every`, until `count` are chosen. Where the defect cannot be planted
/// in an event, the next one in which it can be takes its place.
#[derive(Debug)]
pub struct Chooser {
    /// The defect.
    pub defect: PlantedDefect,
    passed: u64,
    chosen: HashSet<String>,
    /// How many were chosen when the last batch ended.
    chosen_before: usize,
    /// Whether it leaves the batch that is being read alone.
    rests: bool,
    /// How much is left of the block that has begun.
    block: u64,
    /// Uuids that were passed over, so that a second sending of one is not taken for a new event.
    spared: HashSet<String>,
}

impl Chooser {
    /// A chooser that has seen nothing yet.
    pub fn new(defect: PlantedDefect) -> Self {
        Self {
            defect,
            passed: 0,
            chosen: HashSet::new(),
            chosen_before: 0,
            rests: false,
            block: 0,
            spared: HashSet::new(),
        }
    }

    /// Whether the defect is to be planted in this event, if it can be: the event's turn has come, or it was planted in it
    /// before. If it is planted, [`Chooser::planted`] must be told.
    pub fn wants(&mut self, uuid: &str) -> bool {
        self.wants_when(uuid, |chooser| (chooser.chosen.len() as u64) < chooser.passed / chooser.defect.every.max(1))
    }

    /// Whether this event is in the block: as many new events as are to be chosen, one after the other, from the middle of
    /// those among which they would otherwise be spread.
    pub fn wants_in_a_row(&mut self, uuid: &str) -> bool {
        self.wants_when(uuid, |chooser| {
            !chooser.rests && chooser.passed > chooser.defect.every.saturating_mul(chooser.defect.count) / 2
        })
    }

    /// Begins a block: as many new events as are to be chosen, from here on.
    pub fn begin_block(&mut self) {
        self.block = self.defect.count;
    }

    /// Whether this event is in a block that was begun. One of which an attempt came before the block is not.
    pub fn wants_in_block(&mut self, uuid: &str) -> bool {
        if self.chosen.contains(uuid) {
            return true;
        }
        let wanted = self.spared.insert(uuid.to_owned()) && self.block > 0;
        self.block -= u64::from(wanted);
        wanted
    }

    fn wants_when(&mut self, uuid: &str, due: impl Fn(&Self) -> bool) -> bool {
        if self.chosen.contains(uuid) {
            return true;
        }
        if self.chosen.len() as u64 >= self.defect.count {
            self.spared = HashSet::new();
            return false;
        }
        if self.spared.contains(uuid) {
            return false;
        }
        self.passed += 1;
        self.spared.insert(uuid.to_owned());
        due(self)
    }

    /// Notes that the defect was planted in this event, and says so in the log.
    pub fn planted(&mut self, uuid: &str) {
        log(&format!("planted {} in {uuid}", self.defect.name.defect().word));
        self.chosen.insert(uuid.to_owned());
    }

    /// Whether the defect was planted in this event before.
    pub fn was_planted(&self, uuid: &str) -> bool {
        self.chosen.contains(uuid)
    }

    /// Notes that a batch has ended. A block ends with it: the next batch is left alone, and the one after it has the rest of
    /// the block, if any is wanted still. However small the batches are, so many events are chosen in the end.
    pub fn end_batch(&mut self) {
        self.rests = self.chosen.len() > self.chosen_before;
        self.chosen_before = self.chosen.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chooser(count: u64, every: u64) -> Chooser {
        Chooser::new(PlantedDefect::new(DefectName::AckThenDrop, count, every))
    }

    /// In which of `events` it is planted, if it can be in those that are `able`.
    fn chosen(chooser: &mut Chooser, events: std::ops::Range<u32>, able: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut plant = |event: u32| {
            let uuid = event.to_string();
            let planted = chooser.wants(&uuid) && able(event);
            if planted {
                chooser.planted(&uuid);
            }
            planted
        };
        events.filter(|event| plant(*event)).collect()
    }

    fn chosen_in_a_row(chooser: &mut Chooser, events: std::ops::Range<u32>) -> Vec<u32> {
        let mut plant = |event: u32| {
            let wanted = chooser.wants_in_a_row(&event.to_string());
            if wanted {
                chooser.planted(&event.to_string());
            }
            wanted
        };
        events.filter(|event| plant(*event)).collect()
    }

    #[test]
    fn exactly_so_many_are_chosen_and_each_attempt_is_treated_alike() {
        let mut chooser = chooser(3, 10);
        assert_eq!(chosen(&mut chooser, 0..100, |_| true), [9, 19, 29]);
        assert_eq!(chosen(&mut chooser, 0..100, |_| true), [9, 19, 29]);
    }

    #[test]
    fn a_spared_event_is_not_counted_twice() {
        let mut chooser = chooser(1, 2);
        for (event, wanted) in [("a", false), ("a", false), ("b", true)] {
            assert_eq!(chooser.wants(event), wanted, "{event}");
        }
    }

    #[test]
    fn where_it_cannot_be_planted_the_next_takes_its_place() {
        assert_eq!(chosen(&mut chooser(3, 10), 0..100, |event| event % 7 == 0), [14, 21, 35]);
        assert_eq!(
            chosen(&mut chooser(3, 10), 0..100, |event| event >= 90),
            [90, 91, 92],
            "what is late is made up for"
        );
        let mut second = chooser(3, 10);
        assert_eq!(chosen(&mut second, 0..10, |_| false), Vec::<u32>::new());
        assert_eq!(chosen(&mut second, 0..10, |_| true), Vec::<u32>::new(), "its first attempt went by");
    }

    #[test]
    fn a_block_is_in_a_row_in_the_middle_and_holds_every_attempt() {
        let mut chooser = chooser(3, 10);
        assert_eq!(chosen_in_a_row(&mut chooser, 0..30), [15, 16, 17]);
        assert_eq!(chosen_in_a_row(&mut chooser, 0..30), [15, 16, 17], "each attempt is treated alike");
    }

    #[test]
    fn a_block_is_what_comes_new_after_it_was_begun() {
        let mut chooser = chooser(3, 1);
        let mut of = |begins: bool, events: std::ops::Range<u32>| {
            if begins {
                chooser.begin_block();
            }
            let wanted = |event: &u32| {
                let uuid = event.to_string();
                let wanted = chooser.wants_in_block(&uuid);
                if wanted {
                    chooser.planted(&uuid);
                }
                wanted
            };
            events.filter(wanted).collect::<Vec<_>>()
        };
        assert_eq!(of(false, 0..10), Vec::<u32>::new());
        assert_eq!(of(true, 8..20), [10, 11, 12], "what came before is no part of it");
        assert_eq!(of(false, 8..20), [10, 11, 12], "each attempt is treated alike");
        assert_eq!(of(true, 18..30), [20, 21, 22], "the next one costs as much");
    }

    #[test]
    fn a_block_ends_with_its_batch_and_goes_on_in_the_next_but_one() {
        let mut chooser = chooser(3, 2);
        chooser.end_batch();
        assert_eq!(chosen_in_a_row(&mut chooser, 0..4), [3]);
        chooser.end_batch();
        assert_eq!(chosen_in_a_row(&mut chooser, 3..9), [3], "a second attempt meets the same");
        chooser.end_batch();
        assert_eq!(chosen_in_a_row(&mut chooser, 7..12), [9, 10]);
        chooser.end_batch();
        chooser.end_batch();
        assert_eq!(chosen_in_a_row(&mut chooser, 12..20), Vec::<u32>::new(), "there are enough");
    }
}
