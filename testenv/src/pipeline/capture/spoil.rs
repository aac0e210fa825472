//! Ways to spoil the JSON text of an event. Each gives the changed text, or `None` if there is nothing for it to change.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

type Properties = BTreeMap<String, Box<RawValue>>;

/// Properties that a later stage rewrites anyway: spoiling them would prove nothing.
const REWRITTEN: [&str; 3] = ["$set", "$set_once", "assay_id"];

/// Changes the properties of the event in `data`; `change` says whether it has changed any.
fn with_properties(data: &str, change: impl FnOnce(&mut Properties) -> bool) -> Option<String> {
    let mut event: BTreeMap<String, &RawValue> = serde_json::from_str(data).ok()?;
    let mut properties: Properties = serde_json::from_str(event.get("properties")?.get()).ok()?;
    if !change(&mut properties) {
        return None;
    }
    let properties = serde_json::value::to_raw_value(&properties).ok()?;
    event.insert("properties".into(), &properties);
    serde_json::to_string(&event).ok()
}

/// Changes each property for which `change` has another source text.
fn with_each(data: &str, change: impl Fn(&str) -> Option<String>) -> Option<String> {
    with_properties(data, |properties| {
        let mut changed = false;
        for (_, value) in properties.iter_mut().filter(|(key, _)| !REWRITTEN.contains(&key.as_str())) {
            if let Some(raw) = change(value.get()).and_then(|text| RawValue::from_string(text).ok()) {
                (*value, changed) = (raw, true);
            }
        }
        changed
    })
}

/// Without one property.
pub(super) fn without_property(data: &str, property: &str) -> Option<String> {
    with_properties(data, |properties| properties.remove(property).is_some())
}

/// UTF-8 read as Latin-1 and written as UTF-8 again.
pub(super) fn mangled(data: &str) -> Option<String> {
    with_each(data, |raw| (!raw.is_ascii()).then(|| raw.bytes().map(char::from).collect()))
}

/// Without escaped NUL characters.
pub(super) fn without_nul(data: &str) -> Option<String> {
    with_each(data, |raw| raw.contains("\\u0000").then(|| raw.replace("\\u0000", "")))
}

/// Integers put through 32-bit floats.
pub(super) fn rounded(data: &str) -> Option<String> {
    with_each(data, |raw| {
        let integer: i64 = raw.parse().ok()?;
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "that is the defect")]
        let rounded = (integer as f32) as i64;
        (rounded != integer).then(|| rounded.to_string())
    })
}

/// Numbers written as strings.
pub(super) fn stringified(data: &str) -> Option<String> {
    with_each(data, |raw| raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()).then(|| format!("\"{raw}\"")))
}

/// Null for what is empty.
pub(super) fn nulled(data: &str) -> Option<String> {
    with_each(data, |raw| match raw {
        "[]" | "{}" | "\"\"" => Some("null".to_owned()),
        nested if nested.starts_with('{') && (nested.contains(":{}") || nested.contains(":[]")) => {
            Some(nested.replace(":{}", ":null").replace(":[]", ":null"))
        }
        _ => None,
    })
}

/// Without the last properties, as if the end of the body had been cut and patched up.
pub(super) fn truncated(data: &str, lost: usize) -> Option<String> {
    with_properties(data, |properties| {
        let tail: Vec<String> =
            properties.keys().rev().filter(|key| !REWRITTEN.contains(&key.as_str())).take(lost).cloned().collect();
        tail.iter().filter(|key| properties.remove(*key).is_some()).count() > 0
    })
}
