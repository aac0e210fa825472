//! Groups of an event: which of the five columns of its team each is in (group-type-manager.ts; ingestion contract 2.4).
//!
//! A type of groups gets the next free index of its team when it is first seen, and keeps it. A sixth type is ignored
//! silently.

use std::collections::HashMap;

use serde_json::value::{RawValue, to_raw_value};

use super::{event::Properties, group::GroupStates};
use crate::pipeline::properties::EventProperties;

/// A team keeps so many types (`MAX_GROUP_TYPES_PER_TEAM`).
pub(super) const MOST_TYPES: i64 = 5;

/// What is known of types from before.
pub trait KnownTypes {
    /// Why it could not be asked.
    type Error;

    /// The index of a type of groups in a team: the one that it has, or the next free one, which it has from now on; `None`
    /// where `most` others were first.
    ///
    /// # Errors
    /// When it cannot be asked, or kept.
    fn index(&mut self, team: i64, kind: &str, most: i64) -> Result<Option<i64>, Self::Error>;
}

/// The types of groups as they are now, and the groups.
#[derive(Debug, Default)]
pub struct Groups {
    indices: HashMap<(i64, String), Option<i64>>,
    /// What each group is.
    pub states: GroupStates,
}

impl Groups {
    /// Gives an event of `team` its `$group_N`, if it has `$groups`.
    ///
    /// # Errors
    /// When the past cannot be asked.
    pub fn apply<K: KnownTypes>(
        &mut self,
        known: &mut K,
        team: i64,
        properties: &mut EventProperties<'_>,
    ) -> Result<(), K::Error> {
        let Some(groups) = properties.get("$groups") else { return Ok(()) };
        // What is no object, or has keys of other types, is not for us to complain about.
        let Ok(groups) = serde_json::from_str::<Properties>(groups) else { return Ok(()) };
        for (kind, key) in groups {
            let Some(key) = text(&key) else { continue };
            if let Some(index) = self.index(known, team, kind)?
                && let Ok(key) = to_raw_value(&key)
            {
                properties.insert(format!("$group_{index}"), key);
            }
        }
        Ok(())
    }

    /// The index of a type of groups in a team; `None` for a sixth one.
    ///
    /// # Errors
    /// When the past cannot be asked.
    pub fn index<K: KnownTypes>(&mut self, known: &mut K, team: i64, kind: String) -> Result<Option<i64>, K::Error> {
        let key = (team, kind);
        if let Some(index) = self.indices.get(&key) {
            return Ok(*index);
        }
        let index = known.index(team, &key.1, MOST_TYPES)?;
        self.indices.insert(key, index);
        Ok(index)
    }
}

/// A string as it is, a number as its text.
fn text(key: &RawValue) -> Option<String> {
    match key.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str(key.get()).ok(),
        Some(b'-' | b'0'..=b'9') => Some(key.get().to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::ingester::store::Store;

    fn applied(groups: &mut Groups, store: &mut Store, team: i64, value: &str) -> String {
        let text = format!("{{\"$groups\":{value}}}");
        let mut properties: EventProperties<'_> = serde_json::from_str(&text).unwrap();
        groups.apply(store, team, &mut properties).unwrap();
        properties.remove("$groups");
        serde_json::to_string(&properties).unwrap()
    }

    #[test]
    fn types_get_their_index_as_they_come_and_keep_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("persons.sqlite");
        let mut store = Store::open(&path).unwrap();
        let mut groups = Groups::default();
        assert_eq!(applied(&mut groups, &mut store, 1, r#"{"b":"x"}"#), r#"{"$group_0":"x"}"#);
        assert_eq!(applied(&mut groups, &mut store, 1, r#"{"a":"y","b":7}"#), r#"{"$group_0":"7","$group_1":"y"}"#);
        assert_eq!(applied(&mut groups, &mut store, 2, r#"{"a":"z"}"#), r#"{"$group_0":"z"}"#, "another team");
        // Begun anew, it goes on where it was.
        drop(store);
        let (mut store, mut groups) = (Store::open(&path).unwrap(), Groups::default());
        let seven = r#"{"a":"1","b":"2","c":"3","d":"4","e":"5","f":"6","g":"7"}"#;
        let five = r#"{"$group_0":"2","$group_1":"1","$group_2":"3","$group_3":"4","$group_4":"5"}"#;
        assert_eq!(applied(&mut groups, &mut store, 1, seven), five, "the sixth and the seventh are ignored");
        assert_eq!(applied(&mut groups, &mut store, 1, seven), five);
        assert_eq!(applied(&mut groups, &mut store, 1, r#"{"f":"6"}"#), "{}");
    }

    #[test]
    fn what_is_no_group_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&folder.path().join("persons.sqlite")).unwrap();
        let mut groups = Groups::default();
        for odd in ["5", "null", "[]", "\"x\"", r#"{"a":null}"#, r#"{"a":{}}"#, r#"{"a":true}"#, "{}"] {
            assert_eq!(applied(&mut groups, &mut store, 1, odd), "{}", "{odd}");
        }
        assert_eq!(applied(&mut groups, &mut store, 1, r#"{"a":"x"}"#), r#"{"$group_0":"x"}"#, "and takes no index");
    }
}
