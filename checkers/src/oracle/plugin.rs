//! What plugins do to what must be there (ingestion contract, section 4).
//!
//! Plugins run over the event as it was sent, in their order, each on what the one before has left. What a plugin does to an
//! event it does to the event's expectation here: one that returns nothing makes it absent, one that throws leaves it as it
//! is and is named in it. Where it cannot be known whether a plugin acts, because the capture mints the uuid that decides,
//! nothing is judged that hangs on it. What plugins set must be in no event that they do not act on.

mod export;

use std::time::Duration;

use generators::{
    event::Event,
    workload::{ALTERED_NAME, Workload},
};
use memchr::memmem;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    dialect::Dialect,
    json,
    presence::Fate,
    row::{self, AttemptTimes, ColumnExpectation, Expectation, Expected, PROPERTIES},
};

/// One plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugin {
    /// Its name, which events carry.
    pub name: String,
    /// The teams that have it; none means every team.
    pub teams: Vec<i64>,
    /// On which of their events it acts.
    pub when: Condition,
    /// What it does to those.
    pub action: Action,
}

/// On which events a plugin acts; all parts must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Their names; none means any.
    pub events: Vec<String>,
    /// A property, and the JSON value that it must have.
    pub property: Option<(String, String)>,
    /// How many of a million events, chosen by their uuids.
    pub of_a_million: u32,
}

/// What a plugin does. Values are JSON texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Drops the event.
    Drop,
    /// Sets a property.
    Set {
        /// Its key.
        key: String,
        /// Its value.
        value: String,
    },
    /// Gives a property another key.
    Rename {
        /// The key.
        key: String,
        /// The other one.
        to: String,
    },
    /// Throws.
    Throw {
        /// What it has set by then.
        having_set: Option<(String, String)>,
    },
    /// Takes so long.
    Slow {
        /// How long.
        delay: Duration,
    },
    /// Delivers the event, as it was stored, to a webhook.
    Export,
}

/// The plugins of a run, in the order in which they run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugins {
    /// All of them.
    pub all: Vec<Plugin>,
    /// One that takes longer for an event has failed.
    pub time_out: Duration,
}

/// A run without plugins.
pub static NO_PLUGINS: Plugins = Plugins { all: Vec::new(), time_out: Duration::ZERO };

/// What is known of an event while plugins run over it.
struct Course<'e> {
    event: &'e Event,
    columns: Vec<ColumnExpectation>,
    fate: Fate,
    /// The plugins that have run, each with whether it succeeded, where that is known.
    ran: Vec<(&'e str, Option<bool>)>,
}

impl Plugins {
    /// Whether `team` has any, so that its rows are not simply what was sent.
    pub fn concern(&self, team: i64) -> bool {
        self.all.iter().any(|plugin| plugin.is_of(team))
    }

    /// Whether some may drop events of `team`.
    pub fn may_drop(&self, team: i64) -> bool {
        self.all.iter().any(|plugin| plugin.action == Action::Drop && plugin.is_of(team))
    }

    /// Whether some may change the property `key` of events of `team`.
    pub fn may_change(&self, team: i64, key: &str) -> bool {
        self.all.iter().filter(|plugin| plugin.is_of(team)).any(|plugin| match &plugin.action {
            Action::Set { key: own, .. } | Action::Throw { having_set: Some((own, _)) } => own == key,
            Action::Rename { key: own, to } => own == key || to == key,
            Action::Drop | Action::Throw { having_set: None } | Action::Slow { .. } | Action::Export => false,
        })
    }

    /// Whether a row's `properties` mention what a plugin sets, anybody's.
    pub fn are_mentioned(&self, properties: &str) -> bool {
        self.set_keys().any(|key| memmem::find(properties.as_bytes(), format!("\"{key}\"").as_bytes()).is_some())
    }

    /// What they make of an event of `team` that would be stored as the expectation says.
    pub fn fate(&self, expectation: Expectation, event: &Event, team: i64) -> Fate {
        self.run(expectation.columns, event, team).fate
    }

    /// What must be there of an event of `team`, where without them it were what `expectation` says.
    pub fn expect(&self, dialect: Dialect, expectation: Expectation, event: &Event, team: i64) -> Expectation {
        if self.all.is_empty() {
            return expectation;
        }
        let Course { mut columns, ran, .. } = self.run(expectation.columns, event, team);
        for (column, outcome) in [("$plugins_succeeded", true), ("$plugins_failed", false)] {
            let is_known = ran.iter().all(|(_, outcome)| outcome.is_some());
            let names: Vec<&str> = ran.iter().filter(|(_, own)| *own == Some(outcome)).map(|(name, _)| *name).collect();
            let expected = match serde_json::to_string(&names) {
                _ if ran.is_empty() => continue,
                Ok(names) if is_known => Expected::Json(names),
                _ => Expected::NotJudged,
            };
            columns.retain(|other| other.column != named(column));
            columns.push(ColumnExpectation { column: named(column), expected, reason: NAMED });
        }
        for key in self.set_keys().filter(|key| !dialect.rewrites_property(key)) {
            if columns.iter().all(|column| column.column != named(key)) {
                columns.push(ColumnExpectation { column: named(key), expected: Expected::Absent, reason: FOREIGN });
            }
        }
        Expectation { columns, ..expectation }
    }

    /// What must be there of an event of `team` that was sent in `attempts`, as any of its contents makes it: a recording may hold
    /// more than one. `clock_tolerance_micros` is between the sender's clock and the servers'.
    pub fn expect_told(
        &self,
        (dialect, workload): (Dialect, &Workload),
        event: &Event,
        team: i64,
        attempts: &[AttemptTimes],
        clock_tolerance_micros: i64,
    ) -> Expectation {
        let of = |event: &Event| self.expect_content(dialect, event, team, attempts, clock_tolerance_micros);
        let others = workload.other_contents(event.id.stream, event.id.seq);
        Expectation { others: others.iter().map(of).collect(), ..of(event) }
    }

    /// The same, as this content alone makes it.
    pub(crate) fn expect_content(
        &self,
        dialect: Dialect,
        event: &Event,
        team: i64,
        attempts: &[AttemptTimes],
        clock_tolerance_micros: i64,
    ) -> Expectation {
        let without = row::expect(dialect, event, team, attempts, clock_tolerance_micros);
        self.expect(dialect, without, event, team)
    }

    fn set_keys(&self) -> impl Iterator<Item = &str> {
        self.all.iter().filter_map(|plugin| match &plugin.action {
            Action::Set { key, .. } => Some(key.as_str()),
            Action::Throw { having_set } => having_set.as_ref().map(|(key, _)| key.as_str()),
            _ => None,
        })
    }

    fn run<'e>(&'e self, columns: Vec<ColumnExpectation>, event: &'e Event, team: i64) -> Course<'e> {
        let mut course = Course { event, columns, fate: Fate::Present, ran: Vec::new() };
        for plugin in self.all.iter().filter(|plugin| plugin.is_of(team) && plugin.action != Action::Export) {
            let acts = plugin.when.holds(&plugin.name, &course);
            match &plugin.action {
                Action::Drop => match acts {
                    Some(true) => course.fate = Fate::Absent("a plugin drops it"),
                    None if course.fate == Fate::Present => course.fate = Fate::Either("a plugin may drop it"),
                    Some(false) | None => (),
                },
                Action::Set { key, value } | Action::Throw { having_set: Some((key, value)) } => {
                    course.set(key, value, acts);
                }
                Action::Rename { key, to } => course.rename(key, to, acts),
                Action::Throw { having_set: None } | Action::Slow { .. } | Action::Export => (),
            }
            let fails = match &plugin.action {
                Action::Throw { .. } => true,
                Action::Slow { delay } => *delay > self.time_out,
                _ => false,
            };
            course.ran.push((&plugin.name, if fails { acts.map(|acts| !acts) } else { Some(true) }));
        }
        course
    }
}

impl Plugin {
    fn is_of(&self, team: i64) -> bool {
        self.teams.is_empty() || self.teams.contains(&team)
    }
}

impl Condition {
    /// Whether the plugin `name` acts on an event; `None` where that cannot be known.
    fn holds(&self, name: &str, course: &Course<'_>) -> Option<bool> {
        let is_named = |name: &str| self.events.is_empty() || self.events.iter().any(|event| event == name);
        // Where the second sending has another name, either row may stand for the event.
        let by_name = is_named(&course.event.name);
        let has_other_name = course.event.oddities.has_other_name();
        let by_name = (!has_other_name || is_named(ALTERED_NAME) == by_name).then_some(by_name);
        let by_property = self.property.as_ref().map_or(Some(true), |(key, value)| course.is(key, value));
        let by_uuid = match self.of_a_million {
            0 => Some(false),
            1_000_000.. => Some(true),
            _ if course.event.oddities.no_uuid => None,
            share => Some(place(name, course.event.id.to_uuid()) < share),
        };
        match (by_name, by_property, by_uuid) {
            (Some(false), _, _) | (_, Some(false), _) | (_, _, Some(false)) => Some(false),
            (Some(true), Some(true), Some(true)) => Some(true),
            _ => None,
        }
    }
}

impl Course<'_> {
    /// Whether a property is this value.
    fn is(&self, key: &str, value: &str) -> Option<bool> {
        let Some(found) = self.columns.iter().find(|column| column.column == named(key)) else { return Some(false) };
        match &found.expected {
            Expected::Json(text) | Expected::JsNumbers(text) => Some(json::same(text, value)),
            Expected::Absent => Some(false),
            _ => None,
        }
    }

    fn put(&mut self, key: &str, expected: Expected, reason: &'static str) {
        match self.columns.iter_mut().find(|column| column.column == named(key)) {
            Some(column) => (column.expected, column.reason) = (expected, reason),
            None => self.columns.push(ColumnExpectation { column: named(key), expected, reason }),
        }
    }

    fn set(&mut self, key: &str, value: &str, acts: Option<bool>) {
        match acts {
            Some(true) => self.put(key, Expected::Json(value.to_owned()), "a plugin sets it"),
            Some(false) => (),
            None => self.put(key, Expected::NotJudged, UNKNOWN),
        }
    }

    fn rename(&mut self, key: &str, to: &str, acts: Option<bool>) {
        let own = self.columns.iter().find(|column| column.column == named(key));
        let Some(own) = own.map(|own| own.expected.clone()).filter(|own| *own != Expected::Absent) else { return };
        match acts {
            Some(true) => {
                self.put(to, own, "a plugin has renamed it");
                self.put(key, Expected::Absent, "a plugin gives it another name");
            }
            Some(false) => (),
            None => [key, to].into_iter().for_each(|key| self.put(key, Expected::NotJudged, UNKNOWN)),
        }
    }
}

const NAMED: &str = "the plugins of its team, those that threw or took too long in the second list";
const FOREIGN: &str = "a plugin sets it in other events";
const UNKNOWN: &str = "whether the plugin acts hangs on the uuid, which the capture mints";

fn named(key: &str) -> String {
    format!("{PROPERTIES}{key}")
}

/// Where among a million an event stands for a plugin: the 64-bit FNV-1a hash of the plugin's name and the 16 bytes of the
/// uuid, put through the last steps of `MurmurHash3` (fmix64), and what a division by a million leaves of it.
fn place(plugin: &str, uuid: Uuid) -> u32 {
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(1_099_511_628_211);
    let hash = plugin.as_bytes().iter().fold(14_695_981_039_346_656_037, fnv);
    let mut hash = uuid.as_bytes().iter().fold(hash, fnv);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^= hash >> 33;
    (hash % 1_000_000) as u32
}

#[cfg(test)]
mod tests {
    use generators::event::EventSource;

    use super::*;
    use crate::{
        oracle::row::{Row, expect},
        reconcile::example::{STREAM, odd, workload},
    };

    const TEAM: i64 = 1;

    fn always() -> Condition {
        Condition { events: Vec::new(), property: None, of_a_million: 1_000_000 }
    }

    fn half() -> Condition {
        Condition { of_a_million: 500_000, ..always() }
    }

    fn plugin(name: &str, when: Condition, action: Action) -> Plugin {
        Plugin { name: name.into(), teams: vec![TEAM], when, action }
    }

    fn set(key: &str, value: &str) -> Action {
        Action::Set { key: key.into(), value: value.into() }
    }

    fn of(all: Vec<Plugin>) -> Plugins {
        Plugins { all, time_out: Duration::from_secs(1) }
    }

    /// What differs in the row that a pipeline without plugins has stored of an event, after `change`.
    fn differing(plugins: &Plugins, event: &Event, team: i64, change: &[(&str, Option<&str>)]) -> Vec<String> {
        let expectation = expect(Dialect::V2026, event, team, &[], 0);
        let row = expectation.fulfilled().unwrap();
        let mut properties: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&row.properties).unwrap();
        for (key, value) in change {
            match value {
                Some(value) => properties.insert((*key).into(), serde_json::from_str(value).unwrap()),
                None => properties.remove(*key),
            };
        }
        let row = Row { properties: serde_json::to_string(&properties).unwrap(), ..row };
        let after = plugins.expect(Dialect::V2026, expectation, event, team);
        let mut differing: Vec<_> = after.differences(&row).into_iter().map(|difference| difference.column).collect();
        differing.sort();
        assert!(after.differences(&after.fulfilled().unwrap()).is_empty());
        differing
    }

    const NONE_FAILED: (&str, Option<&str>) = ("$plugins_failed", Some("[]"));

    #[test]
    fn each_does_to_the_expectation_what_it_does_to_the_event() {
        let event = workload(3).event(STREAM, 1).unwrap();
        let city = event.properties["city"].to_string();
        let plugins = of(vec![
            plugin("a", always(), set("k", "\"v\"")),
            plugin("b", always(), Action::Rename { key: "city".into(), to: "town".into() }),
            plugin("c", Condition { property: Some(("town".into(), city.clone())), ..always() }, set("seen", "true")),
            plugin("d", Condition { property: Some(("city".into(), city.clone())), ..always() }, Action::Drop),
            plugin("e", Condition { events: vec!["nothing".into()], ..always() }, Action::Drop),
        ]);
        let names = ("$plugins_succeeded", Some(r#"["a","b","c","d","e"]"#));
        let (k, town, seen) = (("k", Some("\"v\"")), ("town", Some(city.as_str())), ("seen", Some("true")));
        let right = [k, town, seen, ("city", None), names, NONE_FAILED];
        assert_eq!(differing(&plugins, &event, TEAM, &right), Vec::<String>::new());
        let all = ["$plugins_failed", "$plugins_succeeded", "city", "k", "seen", "town"];
        assert_eq!(differing(&plugins, &event, TEAM, &[]), all.map(named));
        let expectation = || expect(Dialect::V2026, &event, TEAM, &[], 0);
        assert_eq!(plugins.fate(expectation(), &event, TEAM), Fate::Present);
        let drops =
            of(vec![plugin("d", Condition { property: Some(("city".into(), city)), ..always() }, Action::Drop)]);
        assert!(matches!(drops.fate(expectation(), &event, TEAM), Fate::Absent(_)));
        assert_eq!(drops.fate(expectation(), &event, TEAM + 1), Fate::Present, "it is another team's");
    }

    #[test]
    fn what_is_set_must_be_in_no_other_event() {
        let workload = workload(40);
        let plugins = of(vec![plugin("a", half(), set("k", "1"))]);
        let mut acts = 0;
        for seq in 0..40 {
            let event = workload.event(STREAM, seq).unwrap();
            let names = ("$plugins_succeeded", Some(r#"["a"]"#));
            let with = differing(&plugins, &event, TEAM, &[names, NONE_FAILED, ("k", Some("1"))]);
            let without = differing(&plugins, &event, TEAM, &[names, NONE_FAILED]);
            assert!(with.is_empty() != without.is_empty() && (with.len() + without.len()) == 1, "{with:?} {without:?}");
            acts += usize::from(with.is_empty());
            assert_eq!(differing(&plugins, &event, TEAM + 1, &[("k", Some("1"))]), ["properties.k"]);
            assert_eq!(differing(&plugins, &event, TEAM + 1, &[]), Vec::<String>::new());
        }
        assert!((10..=30).contains(&acts), "{acts}");
        assert!(plugins.are_mentioned(r#"{"a":1,"k":1}"#) && !plugins.are_mentioned(r#"{"a":1,"kk":1}"#));
    }

    #[test]
    fn what_throws_or_takes_too_long_is_named_and_changes_nothing_more() {
        let event = workload(3).event(STREAM, 1).unwrap();
        let names = |failed: &'static str| [("$plugins_succeeded", Some("[]")), ("$plugins_failed", Some(failed))];
        let of_action = |action| of(vec![plugin("p", always(), action)]);
        let slow = |millis| of_action(Action::Slow { delay: Duration::from_millis(millis) });
        let throws = of_action(Action::Throw { having_set: None });
        for (plugins, failed) in [(throws, true), (slow(1_001), true), (slow(1_000), false)] {
            assert_eq!(differing(&plugins, &event, TEAM, &names(r#"["p"]"#)).is_empty(), failed);
        }
        let half = of_action(Action::Throw { having_set: Some(("half".into(), "1".into())) });
        assert_eq!(differing(&half, &event, TEAM, &names(r#"["p"]"#)), ["properties.half"]);
    }

    #[test]
    fn where_the_capture_mints_the_uuid_nothing_is_judged_that_hangs_on_it() {
        let workload = odd(400);
        let minted = (0..400).map(|seq| workload.event(STREAM, seq).unwrap()).find(|event| event.oddities.no_uuid);
        let event = minted.unwrap();
        let rename = Action::Rename { key: "city".into(), to: "town".into() };
        let plugins = of(vec![
            plugin("a", half(), set("k", "1")),
            plugin("b", half(), rename),
            plugin("c", half(), Action::Throw { having_set: None }),
        ]);
        for change in [&[][..], &[("k", Some("1"))], &[("city", None), ("$plugins_failed", Some("[]"))]] {
            assert_eq!(differing(&plugins, &event, TEAM, change), Vec::<String>::new(), "{change:?}");
        }
        let drops = |when| of(vec![plugin("d", when, Action::Drop)]);
        let fate = |when| drops(when).fate(expect(Dialect::V2026, &event, TEAM, &[], 0), &event, TEAM);
        assert!(matches!(fate(half()), Fate::Either(_)) && matches!(fate(always()), Fate::Absent(_)));
        assert_eq!(fate(Condition { events: vec!["nothing".into()], ..half() }), Fate::Present);
    }

    #[test]
    fn the_place_of_an_event_is_pinned() {
        // The reference pipeline has a reading of its own.
        assert_eq!(place("a", Uuid::from_u128(0x1234_5678_9a00_80c0_8000_0f42_40a6_32ad)), 868_028);
    }
}
