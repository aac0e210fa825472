//! Ways to spoil the JSON text of an event. Each gives the changed text, or `None` if there is nothing for it to change.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::value::RawValue;

use crate::pipeline::json_text::drop_nul;

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
    with_each(data, |raw| match drop_nul(raw) {
        Cow::Borrowed(_) => None,
        Cow::Owned(dropped) => Some(dropped),
    })
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

/// Null for what is empty, at any depth of objects.
pub(super) fn nulled(data: &str) -> Option<String> {
    with_each(data, null_for_empty)
}

fn null_for_empty(raw: &str) -> Option<String> {
    if matches!(raw, "[]" | "{}" | "\"\"") {
        return Some("null".to_owned());
    }
    if !raw.starts_with('{') {
        return None;
    }
    let mut members: Properties = serde_json::from_str(raw).ok()?;
    let mut changed = false;
    for value in members.values_mut() {
        if let Some(inner) = null_for_empty(value.get()).and_then(|text| RawValue::from_string(text).ok()) {
            (*value, changed) = (inner, true);
        }
    }
    changed.then(|| serde_json::to_string(&members).ok()).flatten()
}

/// Without the last properties, as if the end of the body had been cut and patched up.
pub(super) fn truncated(data: &str, lost: usize) -> Option<String> {
    with_properties(data, |properties| {
        let tail: Vec<String> =
            properties.keys().rev().filter(|key| !REWRITTEN.contains(&key.as_str())).take(lost).cloned().collect();
        tail.iter().filter(|key| properties.remove(*key).is_some()).count() > 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(spoil: impl Fn(&str) -> Option<String>, properties: &str) -> Option<String> {
        let spoilt = spoil(&format!(r#"{{"event":"e","properties":{properties}}}"#))?;
        Some(spoilt.strip_prefix(r#"{"event":"e","properties":"#)?.strip_suffix('}')?.to_owned())
    }

    #[test]
    fn each_spoils_what_it_is_for_and_leaves_the_rest() {
        type Spoil = fn(&str) -> Option<String>;
        let cases: [(Spoil, &str, Option<&str>); 16] = [
            (mangled, r#"{"a":"né","b":"n"}"#, Some(r#"{"a":"nÃ©","b":"n"}"#)),
            (mangled, r#"{"a":"n"}"#, None),
            (without_nul, r#"{"a":"x\u0000y"}"#, Some(r#"{"a":"xy"}"#)),
            (without_nul, r#"{"a":"x\\u0000"}"#, None),
            (rounded, r#"{"a":16777217,"b":16777216,"c":1.5}"#, Some(r#"{"a":16777216,"b":16777216,"c":1.5}"#)),
            (rounded, r#"{"b":16777216,"c":"16777217"}"#, None),
            (stringified, r#"{"a":-1.50,"b":"x"}"#, Some(r#"{"a":"-1.50","b":"x"}"#)),
            (stringified, r#"{"b":"x","c":[1]}"#, None),
            (nulled, r#"{"a":[],"b":{},"c":"","d":0}"#, Some(r#"{"a":null,"b":null,"c":null,"d":0}"#)),
            (nulled, r#"{"a":{"b":{"c":[]},"d":":{}"}}"#, Some(r#"{"a":{"b":{"c":null},"d":":{}"}}"#)),
            (nulled, r#"{"a":":[]","b":{"c":":{}"}}"#, None),
            (|data| truncated(data, 2), r#"{"a":1,"b":2,"c":3}"#, Some(r#"{"a":1}"#)),
            (|data| truncated(data, 2), r#"{"$set":{},"assay_id":"x"}"#, None),
            (|data| without_property(data, "a"), r#"{"a":1,"b":2}"#, Some(r#"{"b":2}"#)),
            (|data| without_property(data, "z"), r#"{"a":1}"#, None),
            (stringified, r#"{"$set":{"a":1},"assay_id":"x"}"#, None),
        ];
        for (number, (spoil, before, after)) in cases.into_iter().enumerate() {
            assert_eq!(properties(spoil, before).as_deref(), after, "case {number}: {before}");
        }
    }
}
