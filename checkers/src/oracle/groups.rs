//! What an event says of a group (ingestion contract 2.4).
//!
//! A `$groupidentify` sets properties of the group that it names. Nothing is ever taken away, the last one processed wins, and
//! timestamps are ignored (nodejs/src/ingestion, `process-groups-step.ts` and `group-update.ts`).

use std::collections::BTreeMap;

use generators::{event::Event, workload::GROUP_IDENTIFY};
use serde_json::value::RawValue;

use super::{dialect::Dialect, json, row::stored};

/// The properties that say it.
pub const SAID_BY: [&str; 3] = ["$group_type", "$group_key", "$group_set"];
/// A team's types have these many indices, from 0 on.
pub const INDICES: u8 = 5;

/// What an event says of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identified {
    /// The type of the group.
    pub kind: String,
    /// Its key.
    pub key: String,
    /// What is set, each value as its JSON text.
    pub set: BTreeMap<String, String>,
}

/// What `event` says of a group, as it is stored; `None` if it says nothing.
pub fn identified(dialect: Dialect, event: &Event) -> Option<Identified> {
    if event.name != GROUP_IDENTIFY {
        return None;
    }
    let value = |key: &str| {
        let member = event.members.iter().find(|member| member.key == key)?;
        Some(stored(dialect, &member.value).0)
    };
    let text = |key: &str| serde_json::from_str::<String>(&value(key)?).ok().filter(|text| !text.is_empty());
    let set = value(SAID_BY[2])?;
    let set = json::members(&set)?.into_iter().map(|(key, value): (String, &RawValue)| (key, value.get().to_owned()));
    Some(Identified { kind: text(SAID_BY[0])?, key: text(SAID_BY[1])?, set: set.collect() })
}

#[cfg(test)]
mod tests {
    use generators::event::{EventSource, Member};

    use super::*;
    use crate::reconcile::example::{STREAM, workload};

    #[test]
    fn a_group_is_named_by_its_type_and_its_key() {
        let of = |name: &str, members: &[(&str, &str)]| {
            let mut event = workload(1).event(STREAM, 0).unwrap();
            name.clone_into(&mut event.name);
            event.members = members.iter().map(|(key, value)| Member::new(key, (*value).to_owned())).collect();
            identified(Dialect::V2026, &event)
                .map(|said| (said.kind, said.key, said.set.into_iter().collect::<Vec<_>>()))
        };
        let (kind, key) = (("$group_type", "\"company\""), ("$group_key", "\"a\""));
        let set = ("$group_set", r#"{"n":1.50,"t":"\u0000"}"#);
        let expected = vec![("n".to_owned(), "1.50".to_owned()), ("t".to_owned(), "\"\\ufffd\"".to_owned())];
        assert_eq!(of(GROUP_IDENTIFY, &[kind, key, set]), Some(("company".into(), "a".into(), expected)));
        assert_eq!(of("seen", &[kind, key, set]), None);
        assert_eq!(of(GROUP_IDENTIFY, &[kind, set]), None);
        assert_eq!(of(GROUP_IDENTIFY, &[kind, ("$group_key", "\"\""), set]), None);
    }
}
