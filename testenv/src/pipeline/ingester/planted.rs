//! The ingester's planted defects.

use uuid::Uuid;

use crate::pipeline::defect::{Chooser, DefectName, PlantedDefect, Stage};

/// The planted defects of one ingester.
#[derive(Debug)]
pub(super) struct Planted(Vec<Chooser>);

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
        let own = defects.into_iter().filter(|defect| defect.name.defect().stage == Stage::Ingester);
        Self(own.map(Chooser::new).collect())
    }

    /// Notes that a polled batch has ended. Nothing restarts an ingester here, so `commit_before_process` does what its
    /// death would: the rest of a batch, whose offsets are committed, is never processed; and it dies again until that has
    /// cost as many events as were asked for.
    pub(super) fn end_batch(&mut self) {
        for chooser in self.0.iter_mut().filter(|chooser| chooser.defect.name == DefectName::CommitBeforeProcess) {
            chooser.end_batch();
        }
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

    /// Plants a defect in the event `uuid`, if its turn has come and it can be.
    fn plants(&mut self, name: DefectName, uuid: &str, can: impl FnOnce() -> bool) -> bool {
        let Some(chooser) = self.0.iter_mut().find(|chooser| chooser.defect.name == name) else { return false };
        let planted = chooser.wants(uuid) && can();
        if planted {
            chooser.planted(uuid);
        }
        planted
    }

    /// What becomes of the event `uuid`, which happened so long before it was captured.
    pub(super) fn fate(&mut self, uuid: &str, age_ms: i64) -> Fate {
        for chooser in &mut self.0 {
            let name = chooser.defect.name;
            let wanted = match name {
                DefectName::CommitBeforeProcess | DefectName::SkipPoisonBlock => chooser.wants_in_a_row(uuid),
                _ => chooser.wants(uuid),
            };
            let fate = match name {
                DefectName::CommitBeforeProcess | DefectName::SkipPoisonBlock => Fate::Dropped,
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
    fn a_block_is_skipped_with_every_attempt_at_its_events() {
        let mut skipping = planted(DefectName::SkipPoisonBlock, 3, 2);
        assert_eq!(dropped(&mut skipping, 0..5), [3, 4]);
        skipping.end_batch();
        assert_eq!(dropped(&mut skipping, 0..10), [3, 4, 5], "a block does not end with a batch");
        let mut none = planted(DefectName::AckThenDrop, 3, 1);
        assert_eq!(dropped(&mut none, 0..10), Vec::<u32>::new(), "capture's defects are capture's");
    }

    #[test]
    fn what_is_committed_and_not_processed_ends_with_its_batch() {
        let mut dying = planted(DefectName::CommitBeforeProcess, 100, 1);
        assert_eq!(dropped(&mut dying, 0..40), Vec::<u32>::new());
        dying.end_batch();
        assert_eq!(dropped(&mut dying, 40..53), [50, 51, 52]);
        dying.end_batch();
        assert_eq!(dropped(&mut dying, 53..60), Vec::<u32>::new(), "what it finds when it is back is processed");
        dying.end_batch();
        assert_eq!(dropped(&mut dying, 60..300), (60..157).collect::<Vec<_>>(), "it dies until it has cost a hundred");
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
