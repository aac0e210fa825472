//! The ingester's planted defects.

use uuid::Uuid;

use crate::pipeline::{
    defect::{Chooser, DefectName, PlantedDefect, Stage},
    settings::log,
};

/// An event is late to `drop_late` if it happened so long before it was captured, in milliseconds.
const LATE_MS: i64 = 5_000;

/// The planted defects of one ingester.
#[derive(Debug)]
pub(super) struct Planted {
    choosers: Vec<Chooser>,
    messages: u64,
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
        let own = defects.into_iter().filter(|defect| defect.name.defect().stage == Stage::Ingester);
        Self { choosers: own.map(Chooser::new).collect(), messages: 0 }
    }

    /// Whether the next message is skipped, though its offset will be committed: a block of so many messages, once.
    pub(super) fn skips_message(&mut self) -> bool {
        if self.choosers.is_empty() {
            return false;
        }
        self.messages += 1;
        let number = self.messages;
        let block = self.choosers.iter().map(|chooser| &chooser.defect).find(|defect| {
            let is_block = matches!(defect.name, DefectName::CommitBeforeProcess | DefectName::SkipPoisonBlock);
            // The block begins when the other half of a block has passed, so that there is something on both sides.
            is_block && (defect.count..defect.count * 2).contains(&number)
        });
        if let Some(defect) = block {
            log(&format!("planted {} in message {number}", defect.name.defect().word));
        }
        block.is_some()
    }

    /// What becomes of the event `uuid`, which happened so long before it was captured.
    pub(super) fn fate(&mut self, uuid: &str, age_ms: i64) -> Fate {
        for chooser in &mut self.choosers {
            let fate = match chooser.defect.name {
                DefectName::SilentDeadLetter => Fate::DeadLetter,
                DefectName::DropLate if age_ms > LATE_MS => Fate::Dropped,
                DefectName::RandomPersonId => Fate::WrongPerson(Uuid::now_v7()),
                _ => continue,
            };
            if chooser.chooses(uuid) {
                log(&format!("planted {} in {uuid}", chooser.defect.name.defect().word));
                return fate;
            }
        }
        Fate::Stored
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(name: DefectName, count: u64) -> Planted {
        Planted::new(vec![PlantedDefect { name, count, every: 1, property: None, token: None, uuids: vec![] }])
    }

    #[test]
    fn a_block_is_skipped_once() {
        let mut skipping = planted(DefectName::SkipPoisonBlock, 3);
        let skipped: Vec<bool> = (0..10).map(|_| skipping.skips_message()).collect();
        assert_eq!(skipped, [false, false, true, true, true, false, false, false, false, false]);
        let mut none = planted(DefectName::AckThenDrop, 3);
        assert!((0..10).all(|_| !none.skips_message()), "capture's defects are capture's");
    }

    #[test]
    fn so_many_events_meet_their_fate() {
        let mut dead = planted(DefectName::SilentDeadLetter, 1);
        assert_eq!(
            (dead.fate("a", 0), dead.fate("b", 0), dead.fate("a", 0)),
            (Fate::DeadLetter, Fate::Stored, Fate::DeadLetter)
        );
        let mut late = planted(DefectName::DropLate, 1);
        assert_eq!((late.fate("a", 10), late.fate("b", 60_000)), (Fate::Stored, Fate::Dropped));
        assert!(matches!(planted(DefectName::RandomPersonId, 1).fate("a", 0), Fate::WrongPerson(_)));
    }
}
