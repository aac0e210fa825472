//! What groups are: `$groupidentify` sets properties of one (process-groups-step.ts, group-update.ts,
//! batch-writing-group-store.ts; ingestion contract 2.4).
//!
//! The last processed wins, event timestamps are ignored, and nothing is ever taken away. An update that changes nothing is
//! none. What changed is collected, to be written and told in one go, together with persons.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use super::{
    event::{Properties, id_text},
    person::SharedProperties,
    warning::Kind,
};
use crate::pipeline::{dialect::Dialect, properties::EventProperties};

/// The event that says what a group is.
pub const GROUP_IDENTIFY: &str = "$groupidentify";
/// Keys are no longer than this, in UTF-16 units (validate-event-properties.ts).
const KEY_LIMIT: usize = 400;

/// A group.
#[derive(Debug, Clone)]
pub struct Group {
    /// Since when: the moment of the event that named it first, or when that was processed, if that is earlier.
    pub created_at: Timestamp,
    /// Properties.
    pub properties: SharedProperties,
    /// Counts the changes.
    pub version: u64,
}

/// Which group: its team, the index of its type, and its key.
pub type GroupKey = (i64, i64, String);

/// What is known of groups from before.
pub trait KnownGroups {
    /// Why it could not be asked.
    type Error;

    /// A group.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn group(&mut self, group: &GroupKey) -> Result<Option<Group>, Self::Error>;
}

/// What an event says of a group.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    /// The group's type.
    pub kind: String,
    /// Its key.
    pub key: String,
    /// What is set, as its JSON text; `None` for nothing.
    pub set: Option<String>,
}

impl Said {
    /// What the properties of a [`GROUP_IDENTIFY`] say; `None` if they name no group.
    pub fn of(properties: &EventProperties<'_>) -> Option<Self> {
        let text = |key: &str| {
            let value = properties.get(key).filter(|value| !matches!(*value, "false" | "0" | "\"\""))?;
            id_text(value)
        };
        let set = properties.get("$group_set").filter(|set| *set != "null");
        Some(Self { kind: text("$group_type")?, key: text("$group_key")?, set: set.map(str::to_owned) })
    }

    /// What is set.
    ///
    /// # Errors
    /// When it is no object: then the event is kept, and does nothing to the group.
    pub fn properties(&self) -> Result<Properties, Kind> {
        self.set
            .as_deref()
            .map_or(Ok(Properties::new()), |set| serde_json::from_str(set).map_err(|_| Kind::InvalidGroupSet))
    }
}

/// Whether an event is dropped because its group's key is too long. Before 2026 nobody looked.
pub fn has_long_key(dialect: Dialect, name: &str, properties: &EventProperties<'_>) -> bool {
    let is_long = |key: String| key.encode_utf16().count() > KEY_LIMIT;
    dialect == Dialect::V2026
        && name == GROUP_IDENTIFY
        && properties.get("$group_key").and_then(id_text).is_some_and(is_long)
}

/// The groups as they are now, and what of them is not written yet.
#[derive(Debug, Default)]
pub struct GroupStates {
    known: HashMap<GroupKey, Group>,
    to_write: BTreeSet<GroupKey>,
}

/// More clean entries than this are forgotten.
const REMEMBERED: usize = 100_000;

impl GroupStates {
    /// Sets properties of a group, as an event of this moment says.
    ///
    /// # Errors
    /// When the past cannot be asked.
    pub fn set<K: KnownGroups>(
        &mut self,
        known: &mut K,
        group: &GroupKey,
        set: Properties,
        timestamp: Timestamp,
    ) -> Result<(), K::Error> {
        let before = match self.known.get(group) {
            Some(before) => Some(before.clone()),
            None => known.group(group)?,
        };
        let Some(before) = before else {
            let created_at = timestamp.min(Timestamp::now());
            self.put(group, Group { created_at, properties: set.into(), version: 1 });
            return Ok(());
        };
        let mut after = Properties::clone(&before.properties);
        after.extend(set);
        let properties = SharedProperties::from(after);
        if properties.text() == before.properties.text() {
            self.known.insert(group.clone(), before);
        } else {
            self.put(group, Group { properties, version: before.version + 1, ..before });
        }
        Ok(())
    }

    fn put(&mut self, group: &GroupKey, value: Group) {
        self.known.insert(group.clone(), value);
        self.to_write.insert(group.clone());
    }

    /// What changed since [`GroupStates::written`].
    pub fn changes(&self) -> Vec<(GroupKey, Group)> {
        self.to_write.iter().filter_map(|group| Some((group.clone(), self.known.get(group)?.clone()))).collect()
    }

    /// Notes that all changes were written.
    pub fn written(&mut self) {
        self.to_write.clear();
        if self.known.len() > REMEMBERED {
            self.known.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::ingester::{
        person::Changes,
        store::{Offsets, Store},
    };

    fn properties(text: &str) -> Properties {
        serde_json::from_str(text).unwrap()
    }

    fn event(text: &str) -> EventProperties<'_> {
        serde_json::from_str(text).unwrap()
    }

    fn moment(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn later_ones_overwrite_and_add_and_nothing_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("persons.sqlite");
        let (mut store, mut groups) = (Store::open(&path).unwrap(), GroupStates::default());
        let group = (1, 0, "acme".to_owned());
        let set = |groups: &mut GroupStates, store: &mut Store, text: &str, second| -> Vec<(String, u64)> {
            groups.set(store, &group, properties(text), moment(second)).unwrap();
            groups.changes().into_iter().map(|(_, group)| (group.properties.text().to_owned(), group.version)).collect()
        };
        let of = |text: &str, version| vec![(text.to_owned(), version)];
        assert_eq!(set(&mut groups, &mut store, r#"{"a":1,"b":2}"#, 7), of(r#"{"a":1,"b":2}"#, 1));
        assert_eq!(set(&mut groups, &mut store, r#"{"b":[3],"c":null}"#, 3), of(r#"{"a":1,"b":[3],"c":null}"#, 2));
        store.begin().unwrap();
        let changes = Changes { groups: groups.changes(), ..Changes::default() };
        store.write(&changes, &Offsets::new()).unwrap();
        groups.written();
        assert_eq!(set(&mut groups, &mut store, r#"{"a":1}"#, 9), vec![], "nothing changed");
        // Begun anew, it goes on where it was.
        let mut again = GroupStates::default();
        let mut store = Store::open(&path).unwrap();
        assert_eq!(set(&mut again, &mut store, r#"{"d":1.50}"#, 1), of(r#"{"a":1,"b":[3],"c":null,"d":1.50}"#, 3));
        assert_eq!(again.changes()[0].1.created_at, moment(7), "since the first");
    }

    #[test]
    fn a_group_is_no_older_than_now() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, mut groups) = (Store::open(&folder.path().join("s")).unwrap(), GroupStates::default());
        groups.set(&mut store, &(1, 0, "a".into()), Properties::new(), moment(9_000_000_000)).unwrap();
        assert!(groups.changes()[0].1.created_at <= Timestamp::now());
    }

    #[test]
    fn what_names_no_group_says_nothing() {
        let said = |text: &str| Said::of(&event(text));
        for odd in [
            "{}",
            r#"{"$group_type":"a"}"#,
            r#"{"$group_type":"a","$group_key":""}"#,
            r#"{"$group_type":"a","$group_key":0}"#,
            r#"{"$group_type":null,"$group_key":"k"}"#,
            r#"{"$group_type":false,"$group_key":"k"}"#,
        ] {
            assert_eq!(said(odd), None, "{odd}");
        }
        let number = said(r#"{"$group_type":"a","$group_key":7,"$group_set":null}"#).unwrap();
        assert_eq!((number.key.as_str(), number.properties().unwrap().len()), ("7", 0));
        for (set, fine) in [("{\"a\":1}", true), ("[]", false), ("5", false), ("\"{}\"", false)] {
            let said = said(&format!(r#"{{"$group_type":"a","$group_key":"k","$group_set":{set}}}"#)).unwrap();
            assert_eq!(said.properties().is_ok(), fine, "{set}");
        }
    }

    #[test]
    fn long_keys_are_counted_in_utf16_units() {
        let has = |dialect, name: &str, key: &str| {
            has_long_key(dialect, name, &event(&format!(r#"{{"$group_key":"{key}"}}"#)))
        };
        assert!(has(Dialect::V2026, GROUP_IDENTIFY, &"🦔".repeat(201)));
        assert!(!has(Dialect::V2026, GROUP_IDENTIFY, &"🦔".repeat(200)));
        assert!(!has(Dialect::V2026, "seen", &"x".repeat(401)));
        assert!(!has(Dialect::V2024, GROUP_IDENTIFY, &"x".repeat(401)));
    }
}
