//! Events that go elsewhere for their name (ingestion contract 1.5).

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use super::{ai, heatmap};
use crate::pipeline::settings::log;

/// Where events go that have a topic by their name (`rust/capture/src/v0_request.rs`, `DataType`, and `outputs/topics.rs`); where
/// there is none, with all others.
#[derive(Debug, Default)]
pub(super) struct TopicsOfNames {
    pub heatmaps: String,
    pub client_warnings: String,
    pub exceptions: String,
    pub ai: String,
    /// The topics of which the log says that something went there.
    pub told: Mutex<HashSet<String>>,
}

impl TopicsOfNames {
    /// The topic of events of this name.
    pub(super) fn of(&self, name: &str) -> Option<&String> {
        let topic = match name {
            heatmap::NAME => &self.heatmaps,
            "$$client_ingestion_warning" => &self.client_warnings,
            "$exception" => &self.exceptions,
            // A list of names, and no beginning of them: what reads the topic takes no others.
            name if ai::NAMES.contains(&name) => &self.ai,
            _ => return None,
        };
        Some(topic).filter(|topic| !topic.is_empty())
    }

    /// Says in the log that an event goes to a topic, and why, when the first one does.
    pub(super) fn tell(&self, topic: &str, why: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if !told.contains(topic) {
            log(&format!("the first event goes to {topic}, for its {why}"));
            told.insert(topic.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_topics_of_their_own() {
        let topics = TopicsOfNames {
            heatmaps: "heatmaps".into(),
            exceptions: "exceptions".into(),
            ai: "ai".into(),
            ..TopicsOfNames::default()
        };
        for (name, topic) in [
            ("$$heatmap", Some("heatmaps")),
            ("$exception", Some("exceptions")),
            ("$ai_generation", Some("ai")),
            ("$ai_feedback", Some("ai")),
            ("$ai_camera", None),
            ("$exceptions", None),
            ("$$client_ingestion_warning", None),
            ("purchase", None),
        ] {
            assert_eq!(topics.of(name).map(String::as_str), topic, "{name}");
        }
    }
}
