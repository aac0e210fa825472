//! Persons: who an event belongs to, and what it changes (person-merge-service.ts, person-update.ts; 2021: ingestion contract 2.3).
//!
//! A pure state machine over a [`Known`] past: the last processed wins, event timestamps are ignored. What changed is
//! collected, to be written and told in one go.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Deref,
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use super::{
    event::{Normalised, PersonUpdate, Properties},
    group::{Group, GroupKey},
    warning::Kind,
};
use crate::pipeline::dialect::Dialect;

/// Person ids are UUIDv5 of `"{team_id}:{distinct_id}"` in this namespace (person-uuid.ts).
const NAMESPACE: Uuid = Uuid::from_u128(0x9329_79b4_65c3_4424_8467_0b66_ec27_bc22);

/// A person's properties and their JSON text, which all its events share: most change nothing, and then nothing is copied
/// or written anew.
#[derive(Debug, Clone)]
pub struct SharedProperties(Arc<(Properties, String)>);

impl SharedProperties {
    /// Their JSON text.
    pub fn text(&self) -> &str {
        &self.0.1
    }
}

impl From<Properties> for SharedProperties {
    fn from(properties: Properties) -> Self {
        // Text keys and values that are JSON already always have a JSON form.
        let text = serde_json::to_string(&properties).unwrap_or_default();
        Self(Arc::new((properties, text)))
    }
}

impl Deref for SharedProperties {
    type Target = Properties;

    fn deref(&self) -> &Properties {
        &self.0.0
    }
}

/// A person.
#[derive(Debug, Clone)]
pub struct Person {
    /// Since when.
    pub created_at: Timestamp,
    /// Properties.
    pub properties: SharedProperties,
    /// Whether it was identified.
    pub is_identified: bool,
    /// Whether it was merged away.
    pub is_deleted: bool,
    /// Counts the changes.
    pub version: u64,
}

/// A distinct id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id {
    /// Whose it is; `None` as long as it was only used without a person.
    pub person: Option<Uuid>,
    /// Above 0, rows that were stored with another person are overridden.
    pub version: i64,
}

/// What is known from before.
pub trait Known {
    /// Why it could not be asked.
    type Error;

    /// A distinct id.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn id(&mut self, team: i64, distinct_id: &str) -> Result<Option<Id>, Self::Error>;

    /// A person.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn person(&mut self, team: i64, person: Uuid) -> Result<Option<Person>, Self::Error>;

    /// All distinct ids of a person.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn ids_of(&mut self, team: i64, person: Uuid) -> Result<Vec<String>, Self::Error>;
}

type PersonKey = (i64, Uuid);
type IdKey = (i64, String);

/// The persons as they are now, and what of them is not written yet.
#[derive(Debug, Default)]
pub struct Persons {
    dialect: Dialect,
    known: HashMap<PersonKey, Person>,
    ids: HashMap<IdKey, Id>,
    to_write: BTreeSet<PersonKey>,
    changed_ids: BTreeSet<IdKey>,
}

/// What is to be written and told.
#[derive(Debug, Default)]
pub struct Changes {
    /// Persons that are new or changed.
    pub persons: Vec<(PersonKey, Person)>,
    /// Distinct ids that are new or moved.
    pub ids: Vec<(IdKey, Id)>,
    /// Groups that are new or changed.
    pub groups: Vec<(GroupKey, Group)>,
}

/// Whom an event belongs to, as it is stored with the event.
#[derive(Debug, Clone)]
pub struct Belongs {
    /// The person.
    pub person: Uuid,
    /// Its properties after the event.
    pub properties: SharedProperties,
    /// Since when it is.
    pub created_at: Timestamp,
    /// Why the event did not merge what it would have.
    pub refused: Option<Kind>,
}

/// More clean entries than this are forgotten.
const REMEMBERED: usize = 200_000;

impl Persons {
    /// Nobody known yet.
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, ..Self::default() }
    }

    /// Whose rules they follow.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Finds or makes the event's person, merges where the event says so, and applies what it changes.
    ///
    /// # Errors
    /// When the past cannot be asked.
    pub fn process<K: Known>(&mut self, known: &mut K, team: i64, event: &Normalised<'_>) -> Result<Belongs, K::Error> {
        if !event.person_profile {
            return self.without_profile(known, team, event);
        }
        let update = &event.person;
        let (person, merged, refused) = match update.merge_with.as_deref() {
            Some(other) if other != event.distinct_id => {
                if self.refuses(other) || is_illegal(&event.distinct_id) {
                    (self.find_or_create(known, team, event)?, false, Some(Kind::IllegalDistinctId))
                } else {
                    let (person, merged) = self.merge(known, team, event, other)?;
                    (person, merged, (!merged).then_some(Kind::AlreadyIdentified))
                }
            }
            _ => (self.find_or_create(known, team, event)?, false, None),
        };
        self.apply(team, person, update, merged || update.identifies);
        Ok(Belongs { refused, ..self.belongs(team, person, event.timestamp) })
    }

    /// Whether an id must not be merged away. In 2021 only the event's own id was looked at (ingestion contract 2.3).
    fn refuses(&self, other: &str) -> bool {
        self.dialect != Dialect::V2021 && is_illegal(other)
    }

    /// The id of the person that a distinct id makes.
    fn person_id(&self, team: i64, distinct_id: &str) -> Uuid {
        match self.dialect {
            // A UUIDT: a time and random bits.
            Dialect::V2021 => Uuid::now_v7(),
            Dialect::V2024 | Dialect::V2026 => Uuid::new_v5(&NAMESPACE, format!("{team}:{distinct_id}").as_bytes()),
        }
    }

    fn without_profile<K: Known>(
        &mut self,
        known: &mut K,
        team: i64,
        event: &Normalised<'_>,
    ) -> Result<Belongs, K::Error> {
        let id = self.id(known, team, &event.distinct_id)?;
        if id.is_none() {
            self.put_id(team, &event.distinct_id, Id { person: None, version: 0 });
        }
        let person = id.and_then(|id| id.person).unwrap_or_else(|| self.person_id(team, &event.distinct_id));
        Ok(Belongs { person, properties: Properties::new().into(), created_at: event.timestamp, refused: None })
    }

    fn find_or_create<K: Known>(&mut self, known: &mut K, team: i64, event: &Normalised<'_>) -> Result<Uuid, K::Error> {
        let id = self.id(known, team, &event.distinct_id)?;
        if let Some(person) = id.and_then(|id| id.person) {
            self.remember(known, team, person)?;
            return Ok(person);
        }
        let person = self.person_id(team, &event.distinct_id);
        self.create(team, person, event);
        // Rows that were stored without a person carry this very id: there is nothing to override.
        self.put_id(team, &event.distinct_id, Id { person: Some(person), version: 0 });
        Ok(person)
    }

    /// The person that both ids belong to afterwards, and whether they do.
    fn merge<K: Known>(
        &mut self,
        known: &mut K,
        team: i64,
        event: &Normalised<'_>,
        other: &str,
    ) -> Result<(Uuid, bool), K::Error> {
        let target = event.distinct_id.as_str();
        let (target_id, other_id) = (self.id(known, team, target)?, self.id(known, team, other)?);
        let personless = |id: Option<Id>| id.is_some_and(|id| id.person.is_none());
        let added = |id: Option<Id>| i64::from(personless(id));
        let persons = (target_id.and_then(|id| id.person), other_id.and_then(|id| id.person));
        match persons {
            (None, None) => {
                let from = if personless(other_id) && !personless(target_id) { other } else { target };
                let person = self.person_id(team, from);
                self.create(team, person, event);
                let both = i64::from(personless(target_id) && personless(other_id));
                self.put_id(team, target, Id { person: Some(person), version: 0 });
                self.put_id(team, other, Id { person: Some(person), version: both });
                Ok((person, true))
            }
            (Some(person), None) => {
                self.remember(known, team, person)?;
                self.put_id(team, other, Id { person: Some(person), version: added(other_id) });
                Ok((person, true))
            }
            (None, Some(person)) => {
                self.remember(known, team, person)?;
                self.put_id(team, target, Id { person: Some(person), version: added(target_id) });
                Ok((person, true))
            }
            (Some(same), Some(other)) if same == other => {
                self.remember(known, team, same)?;
                Ok((same, true))
            }
            (Some(into), Some(from)) => {
                let (stays, goes) = (self.person(known, team, into)?, self.person(known, team, from)?);
                let (Some(stays), Some(goes)) = (stays, goes) else { return Ok((into, false)) };
                // In 2021 an alias merged anything.
                let merges_anything =
                    event.person.merge_identified || (self.dialect == Dialect::V2021 && event.name == "$create_alias");
                if goes.is_identified && !merges_anything {
                    // cannot_merge_already_identified: both stay, the event belongs to the target.
                    return Ok((into, false));
                }
                self.merge_persons(known, team, (into, stays), (from, goes))?;
                Ok((into, true))
            }
        }
    }

    fn merge_persons<K: Known>(
        &mut self,
        known: &mut K,
        team: i64,
        (into, stays): (Uuid, Person),
        (from, goes): (Uuid, Person),
    ) -> Result<(), K::Error> {
        let version = stays.version.max(goes.version) + 1;
        let mut properties = Properties::clone(&goes.properties);
        properties.extend(stays.properties.iter().map(|(key, value)| (key.clone(), value.clone())));
        let properties = properties.into();
        let created_at = stays.created_at.min(goes.created_at);
        self.put_person(team, into, Person { created_at, properties, version, ..stays });
        let mut moved: BTreeSet<String> = known.ids_of(team, from)?.into_iter().collect();
        let unwritten = self.ids.iter().filter(|((of, _), id)| *of == team && id.person == Some(from));
        moved.extend(unwritten.map(|((_, distinct_id), _)| distinct_id.clone()));
        for distinct_id in moved {
            // An id that was moved away since it was written stays where it is.
            if let Some(id) = self.id(known, team, &distinct_id)?.filter(|id| id.person == Some(from)) {
                self.put_id(team, &distinct_id, Id { person: Some(into), version: id.version + 1 });
            }
        }
        // So high that no late update of the old person is taken for newer.
        self.put_person(team, from, Person { is_deleted: true, version: goes.version + 100, ..goes });
        Ok(())
    }

    fn create(&mut self, team: i64, person: Uuid, event: &Normalised<'_>) {
        let mut properties = Properties::new();
        if let Ok(uuid) = to_raw_value(&event.uuid) {
            properties.insert("$creator_event_uuid".into(), uuid);
        }
        let (is_identified, is_deleted, version) = (event.person.identifies, false, 0);
        self.put_person(
            team,
            person,
            Person { created_at: event.timestamp, properties: properties.into(), is_identified, is_deleted, version },
        );
    }

    fn apply(&mut self, team: i64, person: Uuid, update: &PersonUpdate, identified: bool) {
        let Some(before) = self.known.get(&(team, person)) else { return };
        let is_identified = before.is_identified || identified;
        if is_identified == before.is_identified && !touches(update, &before.properties) {
            return;
        }
        let mut after = Properties::clone(&before.properties);
        for (key, value) in &update.set_once {
            after.entry(key.clone()).or_insert_with(|| value.clone());
        }
        after.extend(update.set.iter().map(|(key, value)| (key.clone(), value.clone())));
        for key in &update.unset {
            after.remove(key);
        }
        let after = SharedProperties::from(after);
        if is_identified == before.is_identified && after.text() == before.properties.text() {
            return;
        }
        // A person that is not written yet gets its first version with everything in it.
        let version = before.version + u64::from(!self.to_write.contains(&(team, person)));
        let changed = Person { properties: after, is_identified, version, ..before.clone() };
        self.put_person(team, person, changed);
    }

    fn belongs(&self, team: i64, person: Uuid, otherwise: Timestamp) -> Belongs {
        match self.known.get(&(team, person)) {
            Some(Person { properties, created_at, .. }) => {
                Belongs { person, properties: properties.clone(), created_at: *created_at, refused: None }
            }
            None => Belongs { person, properties: Properties::new().into(), created_at: otherwise, refused: None },
        }
    }

    fn id<K: Known>(&mut self, known: &mut K, team: i64, distinct_id: &str) -> Result<Option<Id>, K::Error> {
        let key = (team, distinct_id.to_owned());
        if let Some(id) = self.ids.get(&key) {
            return Ok(Some(*id));
        }
        let id = known.id(team, distinct_id)?;
        if let Some(id) = id {
            self.ids.insert(key, id);
        }
        Ok(id)
    }

    /// Has a person among the known ones, if there is such a one.
    fn remember<K: Known>(&mut self, known: &mut K, team: i64, person: Uuid) -> Result<(), K::Error> {
        let key = (team, person);
        if !self.known.contains_key(&key)
            && let Some(found) = known.person(team, person)?
        {
            self.known.insert(key, found);
        }
        Ok(())
    }

    fn person<K: Known>(&mut self, known: &mut K, team: i64, person: Uuid) -> Result<Option<Person>, K::Error> {
        self.remember(known, team, person)?;
        Ok(self.known.get(&(team, person)).cloned())
    }

    fn put_person(&mut self, team: i64, person: Uuid, value: Person) {
        self.known.insert((team, person), value);
        self.to_write.insert((team, person));
    }

    fn put_id(&mut self, team: i64, distinct_id: &str, id: Id) {
        self.ids.insert((team, distinct_id.to_owned()), id);
        self.changed_ids.insert((team, distinct_id.to_owned()));
    }

    /// What of persons changed since [`Persons::written`].
    pub fn changes(&self) -> Changes {
        let persons = self.to_write.iter().filter_map(|key| Some((*key, self.known.get(key)?.clone())));
        let ids = self.changed_ids.iter().filter_map(|key| Some((key.clone(), *self.ids.get(key)?)));
        Changes { persons: persons.collect(), ids: ids.collect(), groups: Vec::new() }
    }

    /// Forgets what was read and written: others have changed it since.
    pub fn forget(&mut self) {
        *self = Self::new(self.dialect);
    }

    /// Notes that all changes were written.
    pub fn written(&mut self) {
        self.to_write.clear();
        self.changed_ids.clear();
        if self.known.len() + self.ids.len() > REMEMBERED {
            self.known.clear();
            self.ids.clear();
        }
    }
}

/// Whether an update may change `properties`; what it sets and unsets at once may come to nothing all the same.
fn touches(update: &PersonUpdate, properties: &Properties) -> bool {
    let PersonUpdate { set, set_once, unset, .. } = update;
    let has = |key: &String, value: &RawValue| properties.get(key).is_some_and(|known| known.get() == value.get());
    set.iter().any(|(key, value)| !has(key, value))
        || set_once.keys().any(|key| !properties.contains_key(key))
        || unset.iter().any(|key| properties.contains_key(key))
}

/// Ids that many people would share by mistake are never merged.
fn is_illegal(distinct_id: &str) -> bool {
    const ANY_CASE: [&str; 10] = [
        "anonymous",
        "guest",
        "distinctid",
        "distinct_id",
        "id",
        "not_authenticated",
        "email",
        "undefined",
        "true",
        "false",
    ];
    const EXACT: [&str; 7] = ["[object Object]", "NaN", "None", "none", "null", "0", "undefined"];
    let quoted = |quote: char| distinct_id.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    let bare = quoted('\'').or_else(|| quoted('"')).unwrap_or(distinct_id);
    bare.trim().is_empty() || EXACT.contains(&bare) || ANY_CASE.iter().any(|word| bare.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests;
