//! `reprocess_on_restart`: how far an ingester goes back that does not trust what was committed.
//!
//! Whenever it is given partitions of which something was processed, by itself before it was started again or by another
//! one before they were shared out anew, it processes the last messages a second time.

use super::store::Offsets;
use crate::pipeline::defect::{DefectName, PlantedDefect};

/// What is processed again.
#[derive(Debug)]
pub(super) struct Again {
    /// How many messages, all partitions together.
    events: u64,
    /// By partition: where it went back to, and up to where everything was processed before.
    stretches: Vec<((String, i32), std::ops::Range<i64>)>,
}

impl Again {
    /// None, unless the defect is among those planted.
    pub(super) fn of(defects: &[PlantedDefect]) -> Option<Self> {
        let defect = defects.iter().find(|defect| defect.name == DefectName::ReprocessOnRestart)?;
        Some(Self { events: defect.count, stretches: Vec::new() })
    }

    /// From where on partitions are read again, of which everything before `next` was processed. Each has an equal share, as
    /// far as it has so many messages.
    pub(super) fn go_back(&mut self, next: Offsets) -> Offsets {
        let partitions = next.len() as u64;
        let shares =
            (0..partitions).map(|number| self.events / partitions + u64::from(number < self.events % partitions));
        self.stretches = next
            .into_iter()
            .zip(shares)
            .map(|((place, next), share)| (place, next.saturating_sub_unsigned(share).max(0)..next))
            .collect();
        self.stretches.iter().map(|(place, stretch)| (place.clone(), stretch.start)).collect()
    }

    /// Whether what stands there was processed before.
    pub(super) fn is_again(&self, topic: &str, partition: i32, offset: i64) -> bool {
        let here = |place: &(String, i32)| place.0 == topic && place.1 == partition;
        self.stretches.iter().any(|(place, stretch)| here(place) && stretch.contains(&offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_back_by_so_many_messages_of_all_partitions_together() {
        let mut again = Again::of(&[PlantedDefect::new(DefectName::ReprocessOnRestart, 8, 1)]).unwrap();
        assert!(!again.is_again("t", 0, 4), "it was not started again");
        let next =
            |offsets: [i64; 3]| -> Offsets { (0..).map(|number| ("t".to_owned(), number)).zip(offsets).collect() };
        assert_eq!(again.go_back(next([10, 20, 1])), next([7, 17, 0]));
        let of = |partition, offsets: std::ops::Range<i64>| {
            offsets.filter(|offset| again.is_again("t", partition, *offset)).collect::<Vec<_>>()
        };
        assert_eq!((of(0, 0..20), of(1, 0..30), of(2, 0..9)), (vec![7, 8, 9], vec![17, 18, 19], vec![0]));
        assert!(!again.is_again("another", 0, 8));
        assert_eq!(again.go_back(Offsets::new()), Offsets::new(), "where nothing was processed there is nothing");
        assert!(Again::of(&[PlantedDefect::new(DefectName::SkipPoisonBlock, 8, 1)]).is_none());
    }
}
