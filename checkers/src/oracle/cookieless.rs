//! Events that came without cookies: a project takes them only where it has said so, which none does by itself
//! (nodejs/src/ingestion/common/cookieless/cookieless-manager.ts; rust/capture/src/v1/analytics/types.rs).

use generators::event::Event;
use serde_json::Value;

use super::v1;

/// The property that says so.
const SAYS: &str = "$cookieless_mode";
/// Whom all of them are sent for.
const NOBODY: &str = "$posthog_cookieless";

/// Why the event is dropped for it, if it is; in the dialect of 2026.
pub fn dropped(event: &Event) -> Option<&'static str> {
    let promoted = if event.oddities.v1 { v1::promoted(event).unwrap_or_default() } else { Vec::new() };
    let said = promoted.iter().chain(&event.members).find(|member| member.key == SAYS);
    let is_said = said
        .map_or_else(|| event.properties.get(SAYS) == Some(&Value::Bool(true)), |member| member.value.trim() == "true");
    // v1 asks its options, and no property.
    let is_option = || promoted.iter().any(|member| member.key == SAYS && member.value == "true");
    if event.oddities.v1 && event.distinct_id.trim() == NOBODY && !is_option() {
        return Some("v1 refuses the id of those without cookies where no option says that it is one");
    }
    is_said.then_some("it came without cookies, which its project does not take")
}

#[cfg(test)]
mod tests {
    use generators::event::{EventSource, Member};

    use super::*;
    use crate::reconcile::example::{STREAM, workload};

    #[test]
    fn what_is_said_without_cookies_is_dropped() {
        for (id, property, options, expected) in [
            ("d", None, None, None),
            (NOBODY, None, None, None),
            ("d", Some("true"), None, Some("project")),
            (NOBODY, Some("true"), None, Some("project")),
            ("d", Some("false"), None, None),
            ("d", Some("true"), Some(r#"{"cookieless_mode":"0"}"#), None),
            ("d", None, Some(r#"{"cookieless_mode":1}"#), Some("project")),
            (NOBODY, Some("true"), Some("null"), Some("v1")),
            (NOBODY, None, Some(r#"{"cookieless_mode":true}"#), Some("project")),
        ] {
            let mut event = workload(1).event(STREAM, 0).unwrap();
            event.distinct_id = id.to_owned();
            event.members.extend(property.map(|value| Member::new(SAYS, value.to_owned())));
            event.oddities.v1 = options.is_some();
            event.others.extend(options.map(|options| Member::new("options", options.to_owned())));
            let found = dropped(&event);
            let is_as_expected = match (found, expected) {
                (Some(reason), Some(word)) => reason.contains(word),
                (found, expected) => found.is_none() && expected.is_none(),
            };
            assert!(is_as_expected, "{id} {property:?} {options:?}: {found:?}");
        }
    }
}
