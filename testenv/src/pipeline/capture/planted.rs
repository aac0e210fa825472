//! Capture's planted defects: the one place where captured events are changed on purpose.

use std::sync::{Mutex, PoisonError};

use jiff::{Timestamp, ToSpan};
use serde_json::value::RawValue;

use crate::pipeline::{
    captured::CapturedEvent,
    defect::{Chooser, DefectName, PlantedDefect},
    settings::log,
    timestamp::rfc3339,
};

/// The planted defects of one capture.
#[derive(Debug)]
pub struct Planted(Mutex<Vec<Chooser>>);

impl Planted {
    /// The defects to plant; without any, events pass unchanged.
    pub fn new(defects: Vec<PlantedDefect>) -> Self {
        Self(Mutex::new(defects.into_iter().map(Chooser::new).collect()))
    }

    /// What is produced for `events`: the same, but for the chosen ones.
    pub fn apply(&self, events: Vec<CapturedEvent<'static>>) -> Vec<CapturedEvent<'static>> {
        let mut choosers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if choosers.is_empty() {
            return events;
        }
        events.into_iter().flat_map(|event| plant(&mut choosers, event)).collect()
    }
}

fn plant(choosers: &mut [Chooser], event: CapturedEvent<'static>) -> Vec<CapturedEvent<'static>> {
    let mut produced = vec![event];
    for chooser in choosers {
        let Some(event) = produced.first() else { break };
        if !chooser.chooses(&event.uuid) {
            continue;
        }
        log(&format!("planted {:?} in {}", chooser.defect.name, event.uuid));
        match chooser.defect.name {
            DefectName::AckThenDrop => produced.clear(),
            DefectName::DoubleProduce => {
                let copy = CapturedEvent { timestamp: next_day(&event.timestamp).into(), ..event.clone() };
                produced.push(copy);
            }
            DefectName::DropProperty => {
                let property = chooser.defect.property.as_deref().unwrap_or_default();
                for event in &mut produced {
                    if let Some(data) = without_property(&event.data, property) {
                        event.data = data.into();
                    }
                }
            }
        }
    }
    produced
}

/// The same time on the next UTC day. It is set after timestamps were normalised, so no rule brings it back.
fn next_day(timestamp: &str) -> String {
    let moment = timestamp.parse::<Timestamp>().and_then(|moment| moment.checked_add(24.hours()));
    moment.map_or_else(|_| timestamp.to_owned(), rfc3339)
}

fn without_property(data: &str, property: &str) -> Option<String> {
    use std::collections::BTreeMap;
    let mut event: BTreeMap<String, &RawValue> = serde_json::from_str(data).ok()?;
    let mut properties: BTreeMap<String, &RawValue> = serde_json::from_str(event.get("properties")?.get()).ok()?;
    properties.remove(property);
    let properties = serde_json::value::to_raw_value(&properties).ok()?;
    event.insert("properties".into(), &properties);
    serde_json::to_string(&event).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(uuid: &str) -> CapturedEvent<'static> {
        CapturedEvent {
            uuid: uuid.to_owned().into(),
            distinct_id: "d".into(),
            ip: "127.0.0.1".into(),
            data: r#"{"event":"e","properties":{"price":1.50,"other":2}}"#.into(),
            now: "2026-06-01T12:00:00.000Z".into(),
            sent_at: None,
            token: "t".into(),
            event: "e".into(),
            timestamp: "2026-06-01T12:00:00.000Z".into(),
            historical_migration: false,
        }
    }

    fn produced(name: DefectName, property: Option<&str>) -> Vec<CapturedEvent<'static>> {
        let defect = PlantedDefect { name, count: 1, every: 2, property: property.map(str::to_owned) };
        Planted::new(vec![defect]).apply(vec![event("a"), event("b"), event("c"), event("b")])
    }

    #[test]
    fn only_the_chosen_event_is_changed_and_each_time_it_comes() {
        let uuids =
            |events: &[CapturedEvent<'_>]| events.iter().map(|event| event.uuid.to_string()).collect::<Vec<_>>();
        assert_eq!(uuids(&Planted::new(vec![]).apply(vec![event("a"), event("b")])), ["a", "b"]);
        assert_eq!(uuids(&produced(DefectName::AckThenDrop, None)), ["a", "c"]);
        let doubled = produced(DefectName::DoubleProduce, None);
        assert_eq!(uuids(&doubled), ["a", "b", "b", "c", "b", "b"]);
        assert_eq!(doubled[2].timestamp, "2026-06-02T12:00:00.000Z");
        assert_eq!(doubled[1].data, doubled[2].data);
        let dropped = produced(DefectName::DropProperty, Some("price"));
        assert_eq!(dropped[1].data, r#"{"event":"e","properties":{"other":2}}"#);
        assert_eq!(dropped[0].data, event("a").data);
    }
}
