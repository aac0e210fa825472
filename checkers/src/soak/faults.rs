//! What was done to the pipeline on purpose in the windows, at its offsets in the soak: the first ones, and how many more.

use serde::{Deserialize, Serialize};

use crate::disturbance::FaultFacts;

/// So many are kept.
pub(super) const KEPT: usize = 200;

/// The faults of all windows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Faults {
    first: Vec<FaultFacts>,
    more: u64,
}

impl Faults {
    /// Takes in those of window `number`, which begins `from` seconds from the soak's start.
    pub(super) fn add(&mut self, faults: &[FaultFacts], number: u64, from: f64) {
        let room = KEPT.saturating_sub(self.first.len());
        self.more += faults.len().saturating_sub(room) as u64;
        self.first.extend(faults.iter().take(room).map(|fault| FaultFacts {
            fault: format!("window {number}: {}", fault.fault),
            planned_at: from + fault.planned_at,
            began: fault.began.map(|at| from + at),
            healed: fault.healed.map(|at| from + at),
            ..fault.clone()
        }));
    }

    /// The first ones.
    pub(super) fn first(&self) -> &[FaultFacts] {
        &self.first
    }

    /// How many more there were.
    pub(super) const fn more(&self) -> u64 {
        self.more
    }
}
