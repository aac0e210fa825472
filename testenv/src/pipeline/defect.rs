//! Planted defects: switches that make the reference pipeline misbehave in a known number of events.

use serde::{Deserialize, Serialize};

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
}

/// The defects that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefectName {
    /// Capture answers 200 and produces nothing.
    AckThenDrop,
    /// Capture produces the event twice, the copy on the next UTC day, so that no merge removes it.
    DoubleProduce,
    /// Capture removes one property.
    DropProperty,
}
