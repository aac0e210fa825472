//! The ingester's planted defects.

use std::collections::HashSet;

use uuid::Uuid;

use super::{again::Again, aside::Message, group::GroupKey, store::Offsets};
use crate::pipeline::{
    defect::{Chooser, DefectName, PlantedDefect, Stage},
    settings::log,
};

/// The planted defects of one ingester, but for `commit_before_process`, which is in [`held`](super::held).
#[derive(Debug)]
pub(super) struct Planted {
    choosers: Vec<Chooser>,
    again: Option<Again>,
    /// Groups of which nothing is set any more.
    forgotten: HashSet<GroupKey>,
}

/// What becomes of a good event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// What must.
    Stored,
    /// It is given to this person.
    WrongPerson(Uuid),
    /// It is dropped.
    Dropped,
    /// It becomes a dead letter.
    DeadLetter,
}

impl Planted {
    pub(super) fn new(defects: Vec<PlantedDefect>) -> Self {
        let again = Again::of(&defects);
        let own = defects.into_iter().filter(|defect| defect.name.defect().stage == Stage::Ingester);
        Self { choosers: own.map(Chooser::new).collect(), again, forgotten: HashSet::new() }
    }

    /// Whether it goes back when it is given partitions.
    pub(super) const fn may_go_back(&self) -> bool {
        self.again.is_some()
    }

    /// From where on partitions are read again, of which everything before `next` was processed.
    pub(super) fn go_back(&mut self, next: Offsets) -> Offsets {
        self.again.as_mut().map(|again| again.go_back(next)).unwrap_or_default()
    }

    /// Whether what stands there was processed before, and is processed again.
    pub(super) fn is_again(&self, topic: &str, partition: i32, offset: i64) -> bool {
        self.again.as_ref().is_some_and(|again| again.is_again(topic, partition, offset))
    }

    /// Under which uuid the event of `message` is stored, whose own one is `uuid`: each processing again is a new event.
    pub(super) fn identity(&self, message: &Message<'_>, written: &str, uuid: Uuid) -> Uuid {
        if message.has_waited || !self.is_again(message.topic, message.partition, message.offset) {
            return uuid;
        }
        log(&format!("planted {} in {written}", DefectName::ReprocessOnRestart.defect().word));
        Uuid::now_v7()
    }

    /// Notes that a message could not be read: what was polled with it is skipped.
    pub(super) fn meets_poison(&mut self) {
        let skipping = |chooser: &&mut Chooser| chooser.defect.name == DefectName::SkipPoisonBlock;
        self.choosers.iter_mut().filter(skipping).for_each(Chooser::begin_block);
    }

    /// Whether the event `uuid` is kept, which is too old for its team.
    pub(super) fn keeps_old(&mut self, uuid: &str) -> bool {
        self.plants(DefectName::KeepTooOld, uuid, || true)
    }

    /// Whether the event `uuid` is dropped, over which a plugin has `thrown`, if one has.
    pub(super) fn drops_thrown(&mut self, uuid: &str, thrown: bool) -> bool {
        self.plants(DefectName::PluginThrowDrops, uuid, || thrown)
    }

    /// Leaks into the event `uuid` what a plugin has set in others; `leak` says whether there was something.
    pub(super) fn leak_into(&mut self, uuid: &str, leak: impl FnOnce() -> bool) {
        self.plants(DefectName::PluginLeaksState, uuid, leak);
    }

    /// Whether what the event `uuid` sets of a group goes to a group of another type; `can` says whether it sets something.
    pub(super) fn swaps_group_index(&mut self, uuid: &str, can: impl FnOnce() -> bool) -> bool {
        self.plants(DefectName::SwapGroupIndex, uuid, can)
    }

    /// Whether from the event `uuid` on nothing is set of its group; `can` says whether it sets something.
    pub(super) fn forgets_group(&mut self, uuid: &str, can: impl FnOnce() -> bool) -> bool {
        self.plants(DefectName::LoseGroupProperties, uuid, can)
    }

    /// Whether nothing is set of `group`, as is so from now on if this event `forgets` it: a later update would hide that an
    /// earlier one was lost.
    pub(super) fn has_forgotten(&mut self, group: &GroupKey, forgets: bool) -> bool {
        if forgets {
            self.forgotten.insert(group.clone());
        }
        self.forgotten.contains(group)
    }

    /// Plants a defect in the event `uuid`, if its turn has come and it can be.
    fn plants(&mut self, name: DefectName, uuid: &str, can: impl FnOnce() -> bool) -> bool {
        let Some(chooser) = self.choosers.iter_mut().find(|chooser| chooser.defect.name == name) else { return false };
        let planted = chooser.wants(uuid) && can();
        if planted {
            chooser.planted(uuid);
        }
        planted
    }

    /// What becomes of the event `uuid`, which happened so long before it was captured.
    pub(super) fn fate(&mut self, uuid: &str, age_ms: i64) -> Fate {
        for chooser in &mut self.choosers {
            let name = chooser.defect.name;
            let wanted = match name {
                DefectName::SkipPoisonBlock => chooser.wants_in_block(uuid),
                DefectName::SilentDeadLetter
                | DefectName::DropLate
                | DefectName::DropFuture
                | DefectName::RandomPersonId => chooser.wants(uuid),
                // An event has one turn, and these take it where they are planted.
                _ => continue,
            };
            let fate = match name {
                DefectName::SkipPoisonBlock => Fate::Dropped,
                DefectName::SilentDeadLetter => Fate::DeadLetter,
                DefectName::DropLate if age_ms > chooser.defect.amount() as i64 * 1_000 => Fate::Dropped,
                DefectName::DropFuture if -age_ms > chooser.defect.amount() as i64 * 1_000 => Fate::Dropped,
                DefectName::RandomPersonId => Fate::WrongPerson(Uuid::now_v7()),
                _ => continue,
            };
            if wanted {
                chooser.planted(uuid);
                return fate;
            }
        }
        Fate::Stored
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(name: DefectName, count: u64, every: u64) -> Planted {
        Planted::new(vec![PlantedDefect::new(name, count, every)])
    }

    fn dropped(planted: &mut Planted, events: std::ops::Range<u32>) -> Vec<u32> {
        events.filter(|event| planted.fate(&event.to_string(), 0) == Fate::Dropped).collect()
    }

    #[test]
    fn a_block_is_skipped_after_a_message_that_cannot_be_read() {
        let mut skipping = planted(DefectName::SkipPoisonBlock, 3, 2);
        assert_eq!(dropped(&mut skipping, 0..5), Vec::<u32>::new(), "without one nothing is lost");
        skipping.meets_poison();
        assert_eq!(dropped(&mut skipping, 3..10), [5, 6, 7]);
        assert_eq!(dropped(&mut skipping, 3..10), [5, 6, 7], "every attempt at its events");
        let mut none = planted(DefectName::AckThenDrop, 3, 1);
        none.meets_poison();
        assert_eq!(dropped(&mut none, 0..10), Vec::<u32>::new(), "capture's defects are capture's");
    }

    #[test]
    fn what_is_processed_again_is_a_new_event_each_time() {
        let own = Uuid::from_u128(7);
        let message = |offset| Message {
            topic: "t",
            partition: 0,
            offset,
            key: b"",
            payload: b"",
            forbids_person: false,
            has_waited: false,
        };
        let mut again = planted(DefectName::ReprocessOnRestart, 2, 1);
        let stored = |again: &Planted, offset| again.identity(&message(offset), "7", own);
        assert_eq!(stored(&again, 8), own, "it has not gone back");
        assert_eq!(again.go_back(Offsets::from([(("t".into(), 0), 9)])), Offsets::from([(("t".into(), 0), 7)]));
        let (first, second) = (stored(&again, 8), stored(&again, 8));
        assert!(first != own && second != own && first != second);
        assert_eq!((stored(&again, 6), stored(&again, 9)), (own, own));
        assert_eq!(again.identity(&Message { has_waited: true, ..message(8) }, "7", own), own);
    }

    #[test]
    fn a_group_is_forgotten_from_an_event_on() {
        let mut loses = planted(DefectName::LoseGroupProperties, 1, 2);
        let group = |key: &str| (1, 0, key.to_owned());
        let mut set = |uuid: &str, key: &str, sets: bool| {
            assert!(matches!(loses.fate(uuid, 0), Fate::Stored), "its fate is asked for before, and takes no turn");
            let forgets = loses.forgets_group(uuid, || sets);
            loses.has_forgotten(&group(key), forgets)
        };
        let lost = [("a", "x", true), ("b", "x", false), ("c", "x", true), ("d", "x", true), ("e", "y", true)]
            .map(|(uuid, key, sets)| set(uuid, key, sets));
        assert_eq!(lost, [false, false, true, true, false]);
        let mut swaps = planted(DefectName::SwapGroupIndex, 1, 1);
        let swapped = [("a", false), ("b", true), ("c", true), ("b", true)];
        assert_eq!(swapped.map(|(uuid, sets)| swaps.swaps_group_index(uuid, || sets)), [false, true, false, true]);
    }

    #[test]
    fn so_many_events_meet_their_fate() {
        let mut dead = planted(DefectName::SilentDeadLetter, 1, 1);
        assert_eq!(
            (dead.fate("a", 0), dead.fate("b", 0), dead.fate("a", 0)),
            (Fate::DeadLetter, Fate::Stored, Fate::DeadLetter)
        );
        let mut late = planted(DefectName::DropLate, 1, 1);
        assert_eq!((late.fate("a", 5_000), late.fate("b", 5_001)), (Fate::Stored, Fate::Dropped));
        let mut future = planted(DefectName::DropFuture, 1, 1);
        assert_eq!((future.fate("a", -5_000), future.fate("b", -5_001)), (Fate::Stored, Fate::Dropped));
        assert!(matches!(planted(DefectName::RandomPersonId, 1, 1).fate("a", 0), Fate::WrongPerson(_)));
    }

    #[test]
    fn what_plugins_do_wrong_waits_for_an_event_in_which_it_can_be() {
        let mut throws = planted(DefectName::PluginThrowDrops, 1, 2);
        let dropped = [("a", true), ("b", false), ("c", true), ("d", true), ("c", true)]
            .map(|(uuid, thrown)| throws.drops_thrown(uuid, thrown));
        assert_eq!(dropped, [false, false, true, false, true]);
        assert_eq!(throws.fate("c", 0), Fate::Stored, "it is no matter of any other stage");
        let mut leaks = planted(DefectName::PluginLeaksState, 1, 1);
        let mut leaked = Vec::new();
        for (uuid, can) in [("a", false), ("b", true), ("c", true)] {
            leaks.leak_into(uuid, || {
                leaked.push(uuid);
                can
            });
        }
        assert_eq!(leaked, ["a", "b"], "it was asked of those, and planted in the second");
        let mut keeps = planted(DefectName::KeepTooOld, 1, 2);
        let kept = ["a", "b", "c", "b", "a"].map(|uuid| keeps.keeps_old(uuid));
        assert_eq!(kept, [false, true, false, true, false]);
        assert_eq!(keeps.fate("b", 0), Fate::Stored, "it is kept, and nothing else happens to it");
    }
}
