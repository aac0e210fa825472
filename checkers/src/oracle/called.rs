//! What an event is called and whom it is for, as the capture reads what stands on the wire: halves of surrogate pairs, which no
//! text holds, are repaired there (rust/capture, `passes/invalid_surrogates.rs`). Nothing is cut yet.

use std::borrow::Cow;

use generators::event::Event;

use super::dialect::Dialect;

/// The event's name.
pub fn name(dialect: Dialect, event: &Event) -> Cow<'_, str> {
    read(dialect, &event.name, event.name_json.as_deref())
}

/// The distinct id; what is no string is its JSON text.
pub fn distinct_id(dialect: Dialect, event: &Event) -> Cow<'_, str> {
    read(dialect, &event.distinct_id, event.distinct_id_json.as_deref())
}

fn read<'a>(dialect: Dialect, text: &'a str, json: Option<&str>) -> Cow<'a, str> {
    let Some(json) = json.filter(|json| is_string(json)) else { return Cow::Borrowed(text) };
    let mut json = json.as_bytes().to_vec();
    dialect.store_json(&mut json);
    serde_json::from_slice::<String>(&json).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Whether a JSON text is a string.
pub fn is_string(json: &str) -> bool {
    json.starts_with('"')
}

/// Whether name or distinct id hold halves of surrogate pairs, which serde refuses where nobody repairs them before.
pub fn has_halves(event: &Event) -> bool {
    event.name_json.is_some() || event.distinct_id_json.as_deref().is_some_and(is_string)
}

/// Whether anything else of a recorded event, which keeps its source text, holds such halves.
pub fn holds_halves(event: &Event) -> bool {
    let reads = |json: &str| serde_json::from_str::<serde_json::Value>(json).is_ok();
    let is_half = |json: &str| (json.contains("\\ud") || json.contains("\\uD")) && !reads(json);
    let mut members = event.members.iter().chain(&event.others);
    members.any(|member| is_half(&member.value) || is_half(&format!("\"{}\"", member.key)))
}

#[cfg(test)]
mod tests {
    use generators::event::{EventSource, Member};

    use super::*;
    use crate::reconcile::example::{STREAM, workload};

    #[test]
    fn halves_of_pairs_are_found_in_what_was_recorded() {
        let of = |key: &str, value: &str, is_other: bool| {
            let mut event = workload(1).event(STREAM, 0).unwrap();
            let members = if is_other { &mut event.others } else { &mut event.members };
            members.push(Member::new(key, value.to_owned()));
            holds_halves(&event)
        };
        for (key, value, expected) in [
            ("a", r#"{"b":["\ud83d x"]}"#, true),
            ("a", r#""\uDE80""#, true),
            (r"\ud83d", "1", true),
            ("a", r#""\ud83d\ude80 \\ud83d""#, false),
            ("a", "1e400", false),
            ("a", r#""\u0000""#, false),
        ] {
            assert_eq!((of(key, value, false), of(key, value, true)), (expected, expected), "{key} {value}");
        }
    }

    #[test]
    fn halves_of_pairs_are_repaired_and_what_is_no_string_is_its_text() {
        for (json, expected) in [
            (None, "as it is"),
            (Some(r#""a \ud83d b \ude80\ud83d""#), "a \u{fffd} b \u{fffd}\u{fffd}"),
            (Some(r#""\ud83d\ude80 \\ud83d \u0000""#), "🚀 \\ud83d \u{fffd}"),
            (Some("[1]"), "as it is"),
            (Some("true"), "as it is"),
        ] {
            let mut event = workload(1).event(STREAM, 0).unwrap();
            (event.distinct_id, event.distinct_id_json) = ("as it is".to_owned(), json.map(str::to_owned));
            assert_eq!(distinct_id(Dialect::V2026, &event), expected);
            assert_eq!(has_halves(&event), json.is_some_and(|json| json.starts_with('"')), "{json:?}");
            (event.name, event.name_json) = (event.distinct_id.clone(), event.distinct_id_json.take());
            if json.is_none_or(is_string) {
                assert_eq!(name(Dialect::V2026, &event), expected);
            }
        }
    }
}
