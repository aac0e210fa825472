//! Events that say what a group is, as the client libraries send them: `$groupidentify`, under an id that all of one group share, so
//! that they go one way and keep their order (posthog-python `group_identify`, posthog-node `groupIdentify`).
//!
//! Each sets a number that no other one does, and some plain facts. So later ones overwrite what earlier ones set, and add to it,
//! and an update that gets lost leaves something behind that was overwritten.

use crate::{
    event::{Event, Member},
    random::Random,
};

/// What such an event is called.
pub const NAME: &str = "$groupidentify";

/// What a group may be, and the JSON values of it. No number of them changes when it passes through a double.
const FACTS: [(&str, &[&str]); 8] = [
    ("name", &["\"Acme\"", "\"Größe & Söhne\"", "\"say \\\"hi\\\"\"", "\"株式会社 🦔\""]),
    ("plan", &["\"free\"", "\"scale\"", "\"enterprise\""]),
    ("seats", &["1", "50", "2500"]),
    ("is_paying", &["true", "false"]),
    ("revenue", &["0.5", "-12.25", "1250.75"]),
    ("region", &["\"eu\"", "\"us\"", "null", "\"\""]),
    ("tags", &["[]", "[\"a\",\"b\"]", "[1,[2]]"]),
    ("limits", &["{}", "{\"events\":1000000,\"flags\":{\"beta\":true}}", "{\"events\":null}"]),
];

/// Makes `event` one that says what the group `key` of type `kind` is; its own properties stay.
pub(super) fn apply(event: &mut Event, random: &mut Random, kind: &str, key: &str) {
    NAME.clone_into(&mut event.name);
    event.distinct_id = format!("${kind}_{key}");
    event.distinct_id_json = None;
    // The id is a person's to the pipeline, which nobody ever joins to another one.
    event.ids_of_person = vec![event.distinct_id.clone()];
    let mut set = vec![format!("\"revision\":{}", event.id.seq)];
    let chosen = random.bits();
    for (place, (fact, values)) in FACTS.iter().enumerate() {
        if chosen >> place & 1 == 1 {
            let value = random.pick(values).copied().unwrap_or_default();
            set.push(format!("\"{fact}\":{value}"));
        }
    }
    event.members.push(Member::new("$group_type", format!("\"{kind}\"")));
    event.members.push(Member::new("$group_key", format!("\"{key}\"")));
    event.members.push(Member::new("$group_set", format!("{{{}}}", set.join(","))));
}
