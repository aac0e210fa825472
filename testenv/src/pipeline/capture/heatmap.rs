//! What an event says for heatmaps becomes an event of its own (rust/capture/src/events/analytics.rs; ingestion contract 1.5).

use std::{collections::BTreeMap, sync::LazyLock};

use aho_corasick::packed::Searcher;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use crate::pipeline::captured::CapturedEvent;

/// The name of such an event.
pub(super) const NAME: &str = "$$heatmap";
/// Where the pointer was.
const DATA: &str = "$heatmap_data";
/// With the address of the page it says how far the one before was scrolled.
const PAGE_BEFORE: &str = "$prev_pageview_pathname";
const ADDRESS: &str = "$current_url";
/// What such an event takes with it.
const TAKEN: [&str; 7] =
    [DATA, "$viewport_height", "$viewport_width", "$session_id", PAGE_BEFORE, "$prev_pageview_max_scroll", ADDRESS];

/// Nothing where the processor has no instructions for it.
static NAMES: LazyLock<Option<Searcher>> = LazyLock::new(|| Searcher::new([DATA, PAGE_BEFORE]));

/// An event that says something for heatmaps, without what the second one takes away, and that one; `None` for any other.
pub(super) fn split<'a>(event: &CapturedEvent<'a>) -> Option<(CapturedEvent<'a>, CapturedEvent<'a>)> {
    // Nearly all hold neither name, so they are not parsed once more.
    if event.event == NAME || NAMES.as_ref().is_some_and(|names| names.find(&*event.data).is_none()) {
        return None;
    }
    let mut fields: BTreeMap<String, &RawValue> = serde_json::from_str(&event.data).ok()?;
    let properties = fields.get("properties")?;
    let mut properties: BTreeMap<String, &RawValue> = serde_json::from_str(properties.get()).ok()?;
    let has = |key: &str| properties.contains_key(key);
    if !(has(DATA) || has(PAGE_BEFORE) && has(ADDRESS)) {
        return None;
    }
    let taken = properties.iter().filter(|(key, _)| TAKEN.contains(&key.as_str()));
    let taken: BTreeMap<&str, &RawValue> = taken.map(|(key, value)| (key.as_str(), *value)).collect();
    let redirected = Redirected { distinct_id: &event.distinct_id, event: NAME, properties: taken };
    let redirected = CapturedEvent {
        uuid: Uuid::now_v7().to_string().into(),
        event: NAME.into(),
        session_id: None,
        data: serde_json::to_string(&redirected).ok()?.into(),
        historical_migration: false,
        ..event.clone()
    };
    properties.remove(DATA);
    let properties = to_raw_value(&properties).ok()?;
    fields.insert("properties".to_owned(), &properties);
    let left = CapturedEvent { data: serde_json::to_string(&fields).ok()?.into(), ..event.clone() };
    Some((left, redirected))
}

#[derive(Serialize)]
struct Redirected<'a> {
    distinct_id: &'a str,
    event: &'a str,
    properties: BTreeMap<&'a str, &'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(properties: &str) -> CapturedEvent<'static> {
        CapturedEvent {
            uuid: "01890a5d-ac96-774b-bcce-b302099a8057".into(),
            distinct_id: "u1".into(),
            ip: "".into(),
            data: format!(r#"{{"event":"seen","properties":{properties},"$set":{{"a":1.50}}}}"#).into(),
            now: "".into(),
            sent_at: None,
            token: "phc".into(),
            event: "seen".into(),
            timestamp: "".into(),
            historical_migration: true,
            session_id: None,
            is_cookieless_mode: false,
            force_disable_person_processing: false,
        }
    }

    #[test]
    fn what_heatmaps_need_leaves_as_an_event_of_its_own() {
        let (left, taken) =
            split(&event(r#"{"$heatmap_data":{"u":[1]},"price":1.50,"$viewport_width":7,"$session_id":"s"}"#)).unwrap();
        let expected =
            r#"{"$set":{"a":1.50},"event":"seen","properties":{"$session_id":"s","$viewport_width":7,"price":1.50}}"#;
        assert_eq!((&*left.data, &*left.uuid), (expected, "01890a5d-ac96-774b-bcce-b302099a8057"));
        let expected = r#"{"distinct_id":"u1","event":"$$heatmap","properties":{"$heatmap_data":{"u":[1]},"$session_id":"s","$viewport_width":7}}"#;
        assert_eq!((&*taken.data, &*taken.event), (expected, NAME));
        assert!(taken.uuid != left.uuid && left.historical_migration && !taken.historical_migration);
    }

    #[test]
    fn a_page_before_counts_with_an_address_only_and_stays() {
        let (left, _) = split(&event(r#"{"$prev_pageview_pathname":"/","$current_url":"/x"}"#)).unwrap();
        assert!(left.data.contains(PAGE_BEFORE) && left.data.contains(ADDRESS));
        for properties in [r#"{"$prev_pageview_pathname":"/"}"#, r#"{"text":"$heatmap_data"}"#, "{}", "null"] {
            assert!(split(&event(properties)).is_none(), "{properties}");
        }
    }
}
