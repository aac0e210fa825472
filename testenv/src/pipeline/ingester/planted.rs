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
    /// death would: the rest of one batch, whose offsets are committed, is never processed.
    pub(super) fn end_batch(&mut self) {
        for chooser in self.0.iter_mut().filter(|chooser| chooser.defect.name == DefectName::CommitBeforeProcess) {
            chooser.close();
        }
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
        assert_eq!(dropped(&mut dying, 53..100), Vec::<u32>::new(), "it dies once");
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
}
