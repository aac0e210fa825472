//! Whether the found groups are some that the traffic may have left.

use std::collections::{BTreeMap, BTreeSet};

use generators::identity::StreamId;

use super::{Group, Groups, found::FoundGroups, history::History};
use crate::oracle::{groups::INDICES, json, row::Difference};

/// The columns that are judged where the table of groups was read.
pub const JUDGED_COLUMNS: [&str; 4] =
    ["groups.team_id", "groups.group_type_index", "groups.group_key", "groups.group_properties.*"];

const TEAM: &str = "groups.team_id";
const INDEX: &str = "groups.group_type_index";
const KEY: &str = "groups.group_key";
const PROPERTIES: &str = "groups.group_properties";

/// A group: its team and its key.
type Named = (i64, String);

/// What is wrong with groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judged {
    /// By the event that it is told of.
    wrong: BTreeMap<(StreamId, u64), Vec<Difference>>,
    /// The groups that it is about.
    groups: BTreeSet<Named>,
    /// Groups that nobody has identified.
    strangers: Vec<String>,
    /// How many groups were judged.
    count: u64,
}

impl Judged {
    /// What is wrong with a group, told of this event.
    pub fn of(&self, stream: StreamId, seq: u64) -> &[Difference] {
        self.wrong.get(&(stream, seq)).map_or(&[], Vec::as_slice)
    }

    /// Groups that nobody has identified.
    pub fn strangers(&self) -> &[String] {
        &self.strangers
    }

    /// How many groups were judged.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Whether something is wrong with a group.
    pub(crate) fn is_wrong(&self, team: i64, key: &str) -> bool {
        self.groups.contains(&(team, key.to_owned()))
    }

    /// How many groups something is wrong with.
    pub(crate) fn wrong_groups(&self) -> usize {
        self.groups.len()
    }

    fn add(&mut self, (team, key): &Named, group: &Group, seq: u64, difference: Difference) {
        self.wrong.entry((group.stream, seq)).or_default().push(difference);
        self.groups.insert((*team, key.clone()));
    }
}

/// Where the rows of one group are: by team and index, what each may say.
type Places<'f> = BTreeMap<(i64, u8), &'f [String]>;

impl Groups {
    /// What is wrong with what was `found`.
    pub fn judge(&self, found: &FoundGroups) -> Judged {
        let mut judged = Judged::default();
        // A key is of one group alone: its type and its traffic are in it. It may be found under another team.
        let mut by_key: BTreeMap<&str, Places<'_>> = BTreeMap::new();
        for ((team, index, key), properties) in found.iter() {
            by_key.entry(key).or_default().insert((*team, *index), properties);
        }
        let own: BTreeMap<&str, &Group> =
            self.identified.iter().map(|((_, key), group)| (key.as_str(), group)).collect();
        for (key, places) in &by_key {
            if !self.has_others && own.get(key).is_none_or(|group| !group.may_exist) {
                let teams: Vec<String> = places.keys().map(|(team, _)| team.to_string()).collect();
                judged.strangers.push(format!("the group {key} of team {}", teams.join(" and ")));
            }
        }
        let indices = self.indices(&by_key);
        let none = Places::new();
        for (named, group) in &self.identified {
            let Some((_, last)) = group.last.filter(|_| !group.untold) else { continue };
            judged.count += 1;
            let places = by_key.get(named.1.as_str()).unwrap_or(&none);
            if let Some((seq, difference)) = self.difference(named, group, places, &indices) {
                judged.add(named, group, seq.unwrap_or(last), difference);
            }
        }
        judged
    }

    /// The index of each type of each team, where one has any: the one that most of its groups have. Of two types with one index
    /// the one with more groups there has it.
    fn indices(&self, by_key: &BTreeMap<&str, Places<'_>>) -> BTreeMap<(i64, &str), Option<u8>> {
        let mut votes: BTreeMap<(i64, &str), BTreeMap<u8, usize>> = BTreeMap::new();
        for ((team, key), group) in self.identified.iter().filter(|(_, group)| !group.untold && group.may_exist) {
            let of_type = votes.entry((*team, &group.kind)).or_default();
            let places = by_key.get(key.as_str()).into_iter().flat_map(BTreeMap::keys);
            for (_, index) in places.filter(|(of, _)| of == team) {
                *of_type.entry(*index).or_default() += 1;
            }
        }
        let most = |of_type: &BTreeMap<u8, usize>| {
            let valid = of_type.iter().filter(|(index, _)| **index < INDICES);
            valid.max_by_key(|(index, count)| (**count, u8::MAX - **index)).map(|(index, count)| (*index, *count))
        };
        let mut owners: BTreeMap<(i64, u8), (usize, &str)> = BTreeMap::new();
        for ((team, kind), of_type) in &votes {
            if let Some((index, count)) = most(of_type) {
                let owner = owners.entry((*team, index)).or_insert((count, kind));
                if count > owner.0 {
                    *owner = (count, kind);
                }
            }
        }
        let own = |(team, kind): (i64, &str), of_type: &BTreeMap<u8, usize>| {
            most(of_type)
                .map(|(index, _)| index)
                .filter(|index| owners.get(&(team, *index)).is_some_and(|(_, of)| *of == kind))
        };
        // One whose groups are there, and whose index is another type's, has none that would be right.
        let kept = votes.iter().filter(|(_, of_type)| !of_type.is_empty());
        kept.map(|(of, of_type)| (*of, own(*of, of_type))).collect()
    }

    /// What is wrong with one group, and the event that it is told of, if not the last.
    fn difference(
        &self,
        (team, key): &Named,
        group: &Group,
        places: &Places<'_>,
        indices: &BTreeMap<(i64, &str), Option<u8>>,
    ) -> Option<(Option<u64>, Difference)> {
        let told = |column: &str, expected: String, found: Option<String>| {
            Some((None, Difference { column: column.to_owned(), expected, found }))
        };
        if let Some((other, _)) = places.keys().find(|(other, _)| other != team) {
            return told(TEAM, team.to_string(), Some(other.to_string()));
        }
        let Some(index) = indices.get(&(*team, group.kind.as_str())) else {
            // None of its type is there. Which types are the first five is decided by the order of arrival.
            let may_be_none = self.types.get(team).is_some_and(|types| *types > u64::from(INDICES));
            return if may_be_none { None } else { told(KEY, key.clone(), None) };
        };
        let found: Vec<String> = places.keys().map(|(_, index)| index.to_string()).collect();
        let Some(index) = index else {
            return told(INDEX, format!("one that no other type has, for `{}`", group.kind), Some(found.join(", ")));
        };
        if places.is_empty() {
            return told(KEY, key.clone(), None);
        }
        let properties = match places.get(&(*team, *index)) {
            Some(properties) if places.len() == 1 => properties,
            _ => return told(INDEX, format!("{index} alone, as for `{}`", group.kind), Some(found.join(", "))),
        };
        let mut differences = properties.iter().map(|properties| group.property_difference(properties));
        let first = differences.next()?;
        // Where it is not known which row stays, one that is right is enough.
        if first.is_none() || differences.any(|other| other.is_none()) { None } else { first }
    }
}

impl Group {
    /// Where the found `properties` are none that its events may have left, and the event that this is told of, if not the last.
    fn property_difference(&self, properties: &str) -> Option<(Option<u64>, Difference)> {
        let Some(found) = json::members(properties) else {
            let (column, expected, found) =
                (PROPERTIES.to_owned(), "a JSON object".to_owned(), Some(properties.to_owned()));
            return Some((None, Difference { column, expected, found }));
        };
        let told = |key: &str, history: &History, found: Option<&str>| {
            let column = format!("{PROPERTIES}.{key}");
            Some((history.author(), Difference { column, expected: history.told(), found: found.map(str::to_owned) }))
        };
        for (key, history) in &self.properties {
            let found = found.get(key).map(|value| value.get());
            if !history.allows(found) {
                return told(key, history, found);
            }
        }
        let stranger = found.iter().find(|(key, _)| !self.properties.contains_key(*key));
        stranger.and_then(|(key, value)| told(key, &History::default(), Some(value.get())))
    }
}

impl Groups {
    /// Whether one property of the group can hold nothing but what some event has set, and which.
    pub(crate) fn judged_property(&self, team: i64, key: &str) -> Option<&str> {
        let group =
            self.identified.get(&(team, key.to_owned())).filter(|group| group.last.is_some() && !group.untold)?;
        group
            .properties
            .iter()
            .find(|(_, history)| history.author().is_some() && !history.is_any())
            .map(|(key, _)| &**key)
    }

    /// The groups that are judged, by team and key, each with how many others of its type are.
    pub(crate) fn judged_groups(&self) -> Vec<(i64, &str, usize)> {
        let judged = || self.identified.iter().filter(|(_, group)| group.last.is_some() && !group.untold);
        let mut of_type: BTreeMap<(i64, &str), usize> = BTreeMap::new();
        for ((team, _), group) in judged() {
            *of_type.entry((*team, &group.kind)).or_default() += 1;
        }
        let others = |team: i64, group: &Group| of_type.get(&(team, group.kind.as_str())).map_or(0, |count| count - 1);
        judged().map(|((team, key), group)| (*team, key.as_str(), others(*team, group))).collect()
    }
}
