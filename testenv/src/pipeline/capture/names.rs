//! Events that go elsewhere for their name (ingestion contract 1.5).

use super::heatmap;

/// Where events go that have a topic by their name (`rust/capture/src/v0_request.rs`); where there is
/// none, with all others.
pub(super) struct TopicsOfNames {
    pub heatmaps: String,
    pub client_warnings: String,
}

impl TopicsOfNames {
    /// The topic of events of this name.
    pub(super) fn of(&self, name: &str) -> Option<&String> {
        let topic = match name {
            heatmap::NAME => &self.heatmaps,
            "$$client_ingestion_warning" => &self.client_warnings,
            _ => return None,
        };
        Some(topic).filter(|topic| !topic.is_empty())
    }
}
