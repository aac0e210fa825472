//! What v1 of the capture API makes of an event (rust/capture/src/v1/analytics/types.rs).

use std::collections::BTreeMap;

use generators::event::{Event, Member};
use serde_json::Value;

/// Where a property comes from: a field of the event, or one of its options.
const FIELDS: [(&str, &str); 2] = [("session_id", "$session_id"), ("window_id", "$window_id")];
const FLAGS: [(&str, &str); 3] = [
    ("cookieless_mode", "$cookieless_mode"),
    ("disable_skew_correction", "$ignore_sent_at"),
    ("process_person_profile", "$process_person_profile"),
];
const TOUR: (&str, &str) = ("product_tour_id", "$product_tour_id");

/// The properties that v1 takes from the event's other fields, and that win over those of the same name; `None` where the
/// event's options make it refuse the event.
pub fn promoted(event: &Event) -> Option<Vec<Member>> {
    let field = |wanted: &str| event.others.iter().find(|member| member.key == wanted);
    let parsed = |member: &Member| serde_json::from_str::<Value>(&member.value).unwrap_or_default();
    let member = |key: &str, value: Value| Member::new(key, value.to_string());
    let mut promoted = Vec::new();
    for (key, property) in FIELDS {
        if let Some(value @ Value::String(_)) = field(key).map(parsed) {
            promoted.push(member(property, value));
        }
    }
    let options: BTreeMap<String, Value> = match field("options").map(parsed) {
        None | Some(Value::Null) => BTreeMap::new(),
        Some(Value::Object(options)) => options.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        Some(_) => return None,
    };
    for (option, property) in FLAGS {
        if let Some(value) = options.get(option) {
            promoted.push(member(property, Value::Bool(is_set(value)?)));
        }
    }
    match options.get(TOUR.0) {
        None => (),
        Some(Value::String(text)) => promoted.push(member(TOUR.1, text.as_str().into())),
        Some(Value::Number(number)) if !number.is_f64() => promoted.push(member(TOUR.1, number.to_string().into())),
        Some(_) => return None,
    }
    Some(promoted)
}

/// A flag as v1 reads it; `None` if it does not.
fn is_set(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => Some(number.as_f64()? != 0.0),
        Value::String(text) => match text.trim() {
            "1" => Some(true),
            "0" => Some(false),
            word if word.eq_ignore_ascii_case("true") => Some(true),
            word if word.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        },
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use generators::event::EventSource;

    use super::*;
    use crate::reconcile::example::{STREAM, workload};

    fn of(others: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        let mut event = workload(1).event(STREAM, 0).unwrap();
        event.others = others.iter().map(|(key, value)| Member::new(key, (*value).to_owned())).collect();
        Some(promoted(&event)?.into_iter().map(|member| (member.key, member.value)).collect())
    }

    #[test]
    fn fields_and_options_become_properties() {
        assert_eq!(of(&[("other", "1"), ("window_id", "null"), ("options", "null")]), Some(vec![]));
        let options = r#"{"cookieless_mode":"0","disable_skew_correction":1,"product_tour_id":12,"unknown":[],"process_person_profile":null}"#;
        let expected = [
            ("$session_id", "\"s\""),
            ("$cookieless_mode", "false"),
            ("$ignore_sent_at", "true"),
            ("$product_tour_id", "\"12\""),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        assert_eq!(of(&[("session_id", "\"s\""), ("options", options)]), Some(expected));
        for refused in
            ["[]", "true", r#"{"cookieless_mode":"on"}"#, r#"{"product_tour_id":true}"#, r#"{"product_tour_id":1.0}"#]
        {
            assert_eq!(of(&[("options", refused)]), None, "{refused}");
        }
    }
}
