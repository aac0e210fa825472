//! Whether an event may have a person (ingestion contract 2.3).

use generators::{event::Event, workload::Restriction};
use serde_json::Value;

use super::{dialect::Dialect, v1};

/// The property that says so.
const SAYS: &str = "$process_person_profile";
/// What is nothing without a person.
const NEED_ONE: [&str; 4] = ["$identify", "$create_alias", "$merge_dangerously", "$groupidentify"];
/// Distinct ids that v1 gives no person, in any case (rust/capture/src/v1/constants.rs, `ILLEGAL_DISTINCT_IDS`).
const NOBODY: [&str; 22] = [
    "0",
    "00000000-0000-0000-0000-000000000000",
    "[object object]",
    "\"none\"",
    "'none'",
    "anonymous",
    "anonymous-user",
    "backend",
    "distinct_id",
    "distinctid",
    "email",
    "false",
    "guest",
    "id",
    "nan",
    "none",
    "not_authenticated",
    "null",
    "system",
    "true",
    "undefined",
    "user",
];

/// Whether the event gets no person, because it says so, because v1 knows its distinct id for nobody's, or because capture is
/// told that no person may come of it.
pub fn has_none(dialect: Dialect, event: &Event) -> bool {
    says_none(dialect, event) || (event.oddities.v1 && is_nobodys(&event.distinct_id)) || is_forbidden(dialect, event)
}

/// Whether an operator forbids that a person comes of the event: by a restriction, or because its key is listed as a hot one
/// (rust/capture, `overflow_stamping.rs`; what overflows by a restriction keeps its person).
pub fn is_forbidden(dialect: Dialect, event: &Event) -> bool {
    let restriction = event.oddities.restriction.filter(|_| dialect == Dialect::V2026);
    matches!(restriction, Some(Restriction::ForcedKey | Restriction::SkipPersonProcessing))
}

/// Whether the event is dropped: it says that it has no person, and is nothing without one.
pub fn is_dropped(dialect: Dialect, event: &Event) -> bool {
    NEED_ONE.contains(&event.name.as_str()) && says_none(dialect, event)
}

/// Events without a person came after 2021. Only `false` is one.
fn says_none(dialect: Dialect, event: &Event) -> bool {
    if dialect == Dialect::V2021 {
        return false;
    }
    let promoted = if event.oddities.v1 { v1::promoted(event).unwrap_or_default() } else { Vec::new() };
    // An option of v1 wins over the property.
    let said = promoted.iter().chain(&event.members).find(|member| member.key == SAYS);
    said.map_or_else(
        || event.properties.get(SAYS) == Some(&Value::Bool(false)),
        |member| member.value.trim() == "false",
    )
}

fn is_nobodys(distinct_id: &str) -> bool {
    NOBODY.iter().any(|id| distinct_id.trim().eq_ignore_ascii_case(id))
}

#[cfg(test)]
mod tests {
    use generators::event::{EventSource, Member};

    use super::*;
    use crate::reconcile::example::{STREAM, workload};

    fn event(name: &str, said: Option<&str>, options: Option<&str>) -> Event {
        let mut event = workload(1).event(STREAM, 0).unwrap();
        event.name = name.to_owned();
        event.members.extend(said.map(|value| Member::new(SAYS, value.to_owned())));
        event.oddities.v1 = options.is_some();
        event.others.extend(options.map(|options| Member::new("options", options.to_owned())));
        event
    }

    #[test]
    fn an_event_without_a_person_is_dropped_only_if_it_is_nothing_without_one() {
        for (name, said, options, expected) in [
            ("$identify", Some("false"), None, (true, true)),
            ("$groupidentify", Some("false"), None, (true, true)),
            ("seen", Some("false"), None, (true, false)),
            ("$identify", Some("true"), None, (false, false)),
            ("$identify", Some("\"false\""), None, (false, false)),
            ("$identify", None, None, (false, false)),
            ("$identify", None, Some(r#"{"process_person_profile":"0"}"#), (true, true)),
            ("$identify", Some("false"), Some(r#"{"process_person_profile":true}"#), (false, false)),
        ] {
            let event = event(name, said, options);
            let found = (has_none(Dialect::V2026, &event), is_dropped(Dialect::V2026, &event));
            assert_eq!(found, expected, "{name} {said:?} {options:?}");
            assert!(!has_none(Dialect::V2021, &event), "there were none without");
        }
    }

    #[test]
    fn an_operator_may_forbid_persons_since_2026_and_drops_nothing_by_that() {
        for (restriction, expected) in [
            (Restriction::ForcedKey, true),
            (Restriction::SkipPersonProcessing, true),
            (Restriction::ForceOverflow, false),
        ] {
            let mut event = event("$identify", None, None);
            event.oddities.restriction = Some(restriction);
            let found = [Dialect::V2026, Dialect::V2024].map(|dialect| has_none(dialect, &event));
            assert_eq!((found, is_dropped(Dialect::V2026, &event)), ([expected, false], false), "{restriction:?}");
        }
    }

    #[test]
    fn nobodys_ids_are_v1s() {
        for (id, v1, expected) in
            [("GUEST", true, true), (" none ", true, true), ("guests", true, false), ("GUEST", false, false)]
        {
            let mut event = event("seen", None, v1.then_some("null"));
            event.distinct_id = id.to_owned();
            assert_eq!(has_none(Dialect::V2026, &event), expected, "{id}");
        }
    }
}
