//! The exporter's planted defects.

use super::queue::Batch;
use crate::pipeline::{
    defect::{Chooser, DefectName, PlantedDefect, Stage},
    properties::EventProperties,
};

/// The planted defects of one exporter.
#[derive(Debug)]
pub(super) struct Planted(Vec<Chooser>);

impl Planted {
    pub(super) fn new(defects: Vec<PlantedDefect>) -> Self {
        let own = defects.into_iter().filter(|defect| defect.name.defect().stage == Stage::Exporter);
        Self(own.map(Chooser::new).collect())
    }

    fn chooser(&mut self, name: DefectName) -> Option<&mut Chooser> {
        self.0.iter_mut().find(|chooser| chooser.defect.name == name)
    }

    /// Whether the event is never delivered, its offset being committed all the same. Nothing restarts an exporter here, so
    /// this does what its death between the two would.
    pub(super) fn forgets(&mut self, uuid: &str) -> bool {
        let Some(chooser) = self.chooser(DefectName::CommitBeforeExport) else { return false };
        let forgets = chooser.wants_in_a_row(uuid);
        if forgets {
            chooser.planted(uuid);
        }
        forgets
    }

    /// Notes that what was read together has ended, and that a death would have cost no more; the next comes a round later, if
    /// it has not cost as many events as were asked for.
    pub(super) fn end_round(&mut self) {
        if let Some(chooser) = self.chooser(DefectName::CommitBeforeExport) {
            chooser.end_batch();
        }
    }

    /// Whether an event that no plugin exports is exported.
    pub(super) fn exports_unmatched(&mut self, uuid: &str) -> bool {
        self.plants(DefectName::ExportUnmatched, uuid, || true)
    }

    /// Takes a property from an event that is exported.
    pub(super) fn spoil(&mut self, uuid: &str, properties: &mut EventProperties<'_>) {
        // What begins with a dollar sign is the client library's, and often nobody misses it.
        let key = properties.keys().rev().find(|key| !key.starts_with('$')).map(str::to_owned);
        self.plants(DefectName::ExportDropsProperty, uuid, || key.and_then(|key| properties.remove(&key)).is_some());
    }

    /// Gives events of a batch up, of which an attempt was made that `failed` or not; true if none are left.
    pub(super) fn give_up(&mut self, batch: &mut Batch, failed: bool) -> bool {
        batch.events.retain(|event| !self.plants(DefectName::DropFailedExport, &event.uuid, || failed));
        batch.events.is_empty()
    }

    /// Takes out of a batch what was given up before, when it came another time; true if none are left.
    pub(super) fn leave_out(&mut self, batch: &mut Batch) -> bool {
        if let Some(chooser) = self.chooser(DefectName::DropFailedExport) {
            batch.events.retain(|event| !chooser.was_planted(&event.uuid));
        }
        batch.events.is_empty()
    }

    /// Plants a defect in the event `uuid`, if its turn has come and it can be.
    fn plants(&mut self, name: DefectName, uuid: &str, can: impl FnOnce() -> bool) -> bool {
        let Some(chooser) = self.chooser(name) else { return false };
        let planted = chooser.wants(uuid) && can();
        if planted {
            chooser.planted(uuid);
        }
        planted
    }
}

#[cfg(test)]
mod tests {
    use super::{super::queue::Outgoing, *};

    fn planted(name: DefectName, count: u64, every: u64) -> Planted {
        Planted::new(vec![PlantedDefect::new(name, count, every)])
    }

    fn batch(events: std::ops::Range<u32>) -> Batch {
        let mut batch = Batch::default();
        for event in events {
            batch.add(0, i64::from(event), Outgoing { uuid: event.to_string(), json: String::new() });
        }
        batch
    }

    fn left(batch: &Batch) -> Vec<&str> {
        batch.events.iter().map(|event| event.uuid.as_str()).collect()
    }

    #[test]
    fn what_failed_is_given_up_in_so_many_events() {
        let mut planted = planted(DefectName::DropFailedExport, 2, 3);
        let mut fine = batch(0..9);
        assert!(!planted.give_up(&mut fine, false) && fine == batch(0..9), "what is delivered is not given up");
        let mut failed = batch(9..12);
        assert!(!planted.give_up(&mut failed, true));
        assert_eq!(left(&failed), ["11"]);
        let mut again = batch(8..12);
        assert!(!planted.leave_out(&mut again) && left(&again) == ["8", "11"], "they were sent twice");
        let mut none = self::planted(DefectName::CommitBeforeExport, 2, 1);
        assert!(!none.give_up(&mut failed, true));
    }

    #[test]
    fn what_is_committed_and_not_delivered_ends_with_what_was_read_together() {
        let mut dying = planted(DefectName::CommitBeforeExport, 4, 1);
        let forgotten = |dying: &mut Planted, events: std::ops::Range<u32>| {
            events.filter(|event| dying.forgets(&event.to_string())).collect::<Vec<_>>()
        };
        assert_eq!(forgotten(&mut dying, 0..4), [2, 3]);
        dying.end_round();
        assert_eq!(forgotten(&mut dying, 0..9), [2, 3], "what it finds when it is back is delivered");
        dying.end_round();
        assert_eq!(forgotten(&mut dying, 9..12), [9, 10], "it dies again, until it has cost four");
    }

    #[test]
    fn a_property_is_lost_and_it_is_not_the_librarys() {
        let mut planted = planted(DefectName::ExportDropsProperty, 1, 1);
        let mut of = |uuid: &str, properties: &str| {
            let mut properties: EventProperties<'_> = serde_json::from_str(properties).unwrap();
            planted.spoil(uuid, &mut properties);
            properties.keys().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(of("a", r#"{"$lib":1}"#), ["$lib"]);
        assert_eq!(of("b", r#"{"$lib":1,"a":2,"b":3}"#), ["$lib", "a"]);
        assert_eq!(of("c", r#"{"a":2}"#), ["a"], "one was wanted");
        assert!(self::planted(DefectName::ExportUnmatched, 1, 1).exports_unmatched("a"));
    }
}
