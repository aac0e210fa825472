//! What an operator tells capture to do with some events (rust/capture, `event_restrictions`: types.rs, repository.rs; ingestion
//! contract 1.4, 1.5).
//!
//! PostHog keeps a list for each kind of restriction in Redis; here they are one setting. An event may be on several.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{ai, heatmap};

/// A kind of restriction, by the words of `RestrictionType::redis_key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// Events are dropped.
    #[serde(rename = "drop_event_from_ingestion")]
    DropEvent,
    /// They overflow, in their order.
    #[serde(rename = "force_overflow_from_ingestion")]
    ForceOverflow,
    /// They go to the dead letters.
    #[serde(rename = "redirect_to_dlq")]
    RedirectToDlq,
    /// No person comes of them.
    #[serde(rename = "skip_person_processing")]
    SkipPersonProcessing,
}

/// The lists.
pub type Entries = BTreeMap<Kind, Vec<Entry>>;

/// The version of entries that is read.
const VERSION: u32 = 2;

/// Which events of a project a restriction concerns: those that every list has something of which is not empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of `RestrictionEntry`")]
pub struct Entry {
    pub version: u32,
    pub token: String,
    /// Of which pipelines, by the words of [`Pipeline`].
    pub pipelines: Vec<Pipeline>,
    #[serde(default)]
    pub distinct_ids: HashSet<String>,
    #[serde(default)]
    pub session_ids: HashSet<String>,
    #[serde(default)]
    pub event_names: HashSet<String>,
    #[serde(default)]
    pub event_uuids: HashSet<String>,
}

impl Entry {
    /// For what comes of these distinct ids as an event of no special kind.
    pub fn of_distinct_ids(token: String, distinct_ids: HashSet<String>) -> Self {
        let none = HashSet::new;
        let pipelines = vec![Pipeline::Analytics, Pipeline::SessionRecordings];
        Self {
            version: VERSION,
            token,
            pipelines,
            distinct_ids,
            session_ids: none(),
            event_names: none(),
            event_uuids: none(),
        }
    }

    fn concerns(&self, event: &Subject<'_>) -> bool {
        let matches = |list: &HashSet<String>, value: Option<&str>| {
            list.is_empty() || value.is_some_and(|value| list.contains(value))
        };
        self.version == VERSION
            && self.pipelines.contains(&event.pipeline)
            && matches(&self.distinct_ids, Some(event.distinct_id))
            && matches(&self.session_ids, event.session_id)
            && matches(&self.event_names, Some(event.name))
            && matches(&self.event_uuids, Some(event.uuid))
    }
}

/// What has restrictions of its own (`CaptureMode::parse_pipeline_name` and its later heir).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pipeline {
    /// Most events.
    Analytics,
    /// Recordings of sessions.
    SessionRecordings,
    /// Exceptions.
    ErrorTracking,
    /// Events of AI.
    Ai,
}

impl Pipeline {
    /// That of events which are called so; heatmaps and clients' warnings are never restricted.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            heatmap::NAME | "$$client_ingestion_warning" => None,
            "$exception" => Some(Self::ErrorTracking),
            name if ai::NAMES.contains(&name) => Some(Self::Ai),
            _ => Some(Self::Analytics),
        }
    }
}

/// What is known of an event.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names are those of `EventContext`")]
pub struct Subject<'a> {
    pub pipeline: Pipeline,
    pub token: &'a str,
    pub distinct_id: &'a str,
    pub session_id: Option<&'a str>,
    pub name: &'a str,
    pub uuid: &'a str,
}

/// What is done with an event; nothing by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent of each other, as in PostHog's `AppliedRestrictions`")]
pub struct Applied {
    /// It is dropped.
    pub drop: bool,
    /// It overflows.
    pub overflow: bool,
    /// It goes to the dead letters.
    pub dead_letter: bool,
    /// No person comes of it.
    pub skip_person: bool,
}

/// The restrictions of each project.
#[derive(Debug, Default)]
pub struct Restrictions(HashMap<String, Vec<(Kind, Entry)>>);

impl Restrictions {
    /// Those of the lists.
    pub fn new(entries: Entries) -> Self {
        let mut of_token: HashMap<String, Vec<(Kind, Entry)>> = HashMap::new();
        for (kind, entries) in entries {
            for entry in entries {
                of_token.entry(entry.token.clone()).or_default().push((kind, entry));
            }
        }
        Self(of_token)
    }

    /// What is done with an event.
    pub fn of(&self, event: &Subject<'_>) -> Applied {
        let mut applied = Applied::default();
        let entries = self.0.get(event.token).into_iter().flatten();
        for (kind, _) in entries.filter(|(_, entry)| entry.concerns(event)) {
            match kind {
                Kind::DropEvent => applied.drop = true,
                Kind::ForceOverflow => applied.overflow = true,
                Kind::RedirectToDlq => applied.dead_letter = true,
                Kind::SkipPersonProcessing => applied.skip_person = true,
            }
        }
        applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: Subject<'static> = Subject {
        pipeline: Pipeline::Analytics,
        token: "t",
        distinct_id: "a",
        session_id: None,
        name: "seen",
        uuid: "u",
    };

    #[test]
    fn every_filter_must_fit_and_one_value_of_each_will_do() {
        let drops = |entry: &str, event: Subject<'_>| {
            let lists = format!(r#"{{"drop_event_from_ingestion":[{{"version":2,"token":"t",{entry}}}]}}"#);
            Restrictions::new(serde_json::from_str(&lists).unwrap()).of(&event).drop
        };
        let of_session = Subject { session_id: Some("s"), ..EVENT };
        for (entry, event, expected) in [
            (r#""pipelines":["analytics"]"#, EVENT, true),
            (r#""pipelines":["ai","session_recordings"]"#, EVENT, false),
            (r#""pipelines":["analytics"]"#, Subject { token: "u", ..EVENT }, false),
            (r#""pipelines":["analytics"],"distinct_ids":["a","b"]"#, EVENT, true),
            (r#""pipelines":["analytics"],"distinct_ids":["b"]"#, EVENT, false),
            (r#""pipelines":["analytics"],"distinct_ids":["a"],"event_names":["left"]"#, EVENT, false),
            (r#""pipelines":["analytics"],"distinct_ids":["a"],"event_names":["seen"]"#, EVENT, true),
            (r#""pipelines":["analytics"],"event_uuids":["u"]"#, EVENT, true),
            (r#""pipelines":["analytics"],"session_ids":["s"]"#, EVENT, false),
            (r#""pipelines":["analytics"],"session_ids":["s"]"#, of_session, true),
        ] {
            assert_eq!(drops(entry, event), expected, "{entry} {event:?}");
        }
    }

    #[test]
    fn an_event_may_be_on_several_lists_and_old_entries_are_not_read() {
        let ids = || HashSet::from(["a".to_owned()]);
        let entry = || Entry::of_distinct_ids("t".into(), ids());
        let lists = Entries::from([
            (Kind::ForceOverflow, vec![entry()]),
            (Kind::SkipPersonProcessing, vec![entry()]),
            (Kind::RedirectToDlq, vec![Entry { version: 1, ..entry() }]),
        ]);
        let text = serde_json::to_string(&lists).unwrap();
        assert!(text.contains(r#""force_overflow_from_ingestion":[{"version":2,"token":"t""#), "{text}");
        let restrictions = Restrictions::new(serde_json::from_str(&text).unwrap());
        let both = Applied { overflow: true, skip_person: true, ..Applied::default() };
        assert_eq!(restrictions.of(&EVENT), both);
        assert_eq!(restrictions.of(&Subject { distinct_id: "b", ..EVENT }), Applied::default());
        for (name, pipeline) in [
            ("seen", Some(Pipeline::Analytics)),
            ("$exception", Some(Pipeline::ErrorTracking)),
            ("$ai_span", Some(Pipeline::Ai)),
            ("$$heatmap", None),
        ] {
            assert_eq!(Pipeline::of(name), pipeline, "{name}");
        }
    }
}
