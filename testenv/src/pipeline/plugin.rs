//! Plugins: what teams let run over their events before they are stored (ps-2021 worker/plugins/run.ts; ingestion contract,
//! section 4).
//!
//! A plugin is data here: on which events it acts, and what it does. This file is the pure part, without a clock: a plugin
//! that is slow says for how long, and the ingester sets the event aside for that time. A plugin that throws, or takes longer
//! than a task may, is noted as failed, and the event goes on as it is.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use super::properties::EventProperties;

/// One plugin, as the environment variable `ASSAY_PLUGINS` (a JSON array of these) hands it to a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Their names; none means any.
    pub events: Vec<String>,
    /// A property, and the JSON value that it must have: a string, a whole number, true, false or null.
    pub property: Option<(String, String)>,
    /// How many of a million events, chosen by their uuids.
    pub of_a_million: u32,
}

/// What a plugin does. Values are JSON texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Returns nothing, which drops the event.
    Drop,
    /// Sets a property.
    Set {
        /// Its key.
        key: String,
        /// Its value.
        value: String,
    },
    /// Gives a property another key, in the place of what may be there.
    Rename {
        /// The key.
        key: String,
        /// The other one.
        to: String,
    },
    /// Throws.
    Throw {
        /// What it has set by then, which stays.
        having_set: Option<(String, String)>,
    },
    /// Takes its time.
    Slow {
        /// How much, in milliseconds.
        delay_ms: u64,
    },
    /// Delivers the event to a webhook, once it is stored (`composeWebhook`, `exportEvents`).
    Export,
}

/// The plugins of a pipeline, in the order in which they run.
#[derive(Debug, Clone, Default)]
pub struct Plugins {
    all: Vec<Plugin>,
    /// How long one may take for an event.
    time_out: Duration,
}

/// What plugins have done to an event.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// One has dropped it.
    pub dropped: bool,
    /// One has failed.
    pub failed: bool,
    /// How long they took together.
    pub took: Duration,
}

impl Plugins {
    /// These plugins, none of which may take longer than `time_out` for an event.
    pub const fn new(all: Vec<Plugin>, time_out: Duration) -> Self {
        Self { all, time_out }
    }

    /// Whether some are slow, so that events may have to wait.
    pub fn may_take_time(&self) -> bool {
        self.all.iter().any(|plugin| matches!(plugin.action, Action::Slow { .. }))
    }

    /// Runs the plugins of `team` over an event, one after the other.
    pub fn run(&self, team: i64, uuid: Uuid, name: &str, properties: &mut EventProperties<'_>) -> Ran {
        let mut ran = Ran::default();
        let (mut succeeded, mut failed) = (Vec::new(), Vec::new());
        for plugin in self.all.iter().filter(|plugin| plugin.is_of(team) && plugin.action != Action::Export) {
            let acts = plugin.acts_on(uuid, name, properties);
            let mut works = true;
            match &plugin.action {
                Action::Drop if acts => return Ran { dropped: true, ..ran },
                Action::Set { key, value } if acts => put(properties, key, value),
                Action::Rename { key, to } if acts => properties.rename(key, to),
                Action::Throw { having_set } if acts => {
                    if let Some((key, value)) = having_set {
                        put(properties, key, value);
                    }
                    works = false;
                }
                Action::Slow { delay_ms } if acts => {
                    let delay = Duration::from_millis(*delay_ms);
                    works = delay <= self.time_out;
                    ran.took += delay.min(self.time_out);
                }
                _ => (),
            }
            let list = if works { &mut succeeded } else { &mut failed };
            list.push(&plugin.name);
        }
        ran.failed = !failed.is_empty();
        if !succeeded.is_empty() || ran.failed {
            for (key, names) in [("$plugins_succeeded", succeeded), ("$plugins_failed", failed)] {
                if let Ok(names) = to_raw_value(&names) {
                    properties.insert(key.to_owned(), names);
                }
            }
        }
        ran
    }

    /// The names of those that export a stored event.
    pub fn exporting(
        &self,
        team: i64,
        uuid: Uuid,
        name: &str,
        properties: &EventProperties<'_>,
    ) -> impl Iterator<Item = &str> {
        let exports = move |plugin: &&Plugin| {
            plugin.action == Action::Export && plugin.is_of(team) && plugin.acts_on(uuid, name, properties)
        };
        self.all.iter().filter(exports).map(|plugin| plugin.name.as_str())
    }

    /// One that exports, whatever it exports: what a planted defect delivers for.
    pub fn any_that_exports(&self) -> Option<&str> {
        self.all.iter().find(|plugin| plugin.action == Action::Export).map(|plugin| plugin.name.as_str())
    }

    /// Sets what some plugin sets and this event has not: what a planted defect does.
    pub fn leak(&self, properties: &mut EventProperties<'_>) -> bool {
        let foreign = self.all.iter().find_map(|plugin| match &plugin.action {
            Action::Set { key, value } if !properties.contains_key(key) => Some((key, value)),
            _ => None,
        });
        if let Some((key, value)) = foreign {
            put(properties, key, value);
        }
        foreign.is_some()
    }
}

impl Plugin {
    fn is_of(&self, team: i64) -> bool {
        self.teams.is_empty() || self.teams.contains(&team)
    }

    fn acts_on(&self, uuid: Uuid, name: &str, properties: &EventProperties<'_>) -> bool {
        let Condition { events, property, of_a_million } = &self.when;
        (events.is_empty() || events.iter().any(|event| event == name))
            && property.as_ref().is_none_or(|(key, value)| properties.get(key).is_some_and(|found| equal(found, value)))
            && place(&self.name, uuid) < *of_a_million
    }
}

/// As JavaScript's `===` on plain values.
fn equal(found: &str, wanted: &str) -> bool {
    use serde_json::Value;
    let parse = |text| serde_json::from_str::<Value>(text).ok();
    match (parse(found), parse(wanted)) {
        (Some(Value::Number(found)), Some(Value::Number(wanted))) => found.as_f64() == wanted.as_f64(),
        (found, wanted) => found.is_some() && found == wanted,
    }
}

fn put(properties: &mut EventProperties<'_>, key: &str, value: &str) {
    if let Ok(value) = RawValue::from_string(value.to_owned()) {
        properties.insert(key.to_owned(), value);
    }
}

/// Where among a million an event stands for a plugin: FNV-1a of the plugin's name and the uuid's bytes, mixed by the end of
/// `MurmurHash3`, since uuids differ in few bits.
fn place(plugin: &str, uuid: Uuid) -> u32 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in plugin.bytes().chain(*uuid.as_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    // Below a million.
    ((hash ^ (hash >> 33)) % 1_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: Uuid = Uuid::from_u128(0x1234_5678_9a00_80c0_8000_0f42_40a6_32ad);
    const ALWAYS: u32 = 1_000_000;

    fn always() -> Condition {
        Condition { events: Vec::new(), property: None, of_a_million: ALWAYS }
    }

    fn plugin(name: &str, when: Condition, action: Action) -> Plugin {
        Plugin { name: name.into(), teams: vec![1], when, action }
    }

    fn set(key: &str, value: &str) -> Action {
        Action::Set { key: key.into(), value: value.into() }
    }

    fn rename(key: &str, to: &str) -> Action {
        Action::Rename { key: key.into(), to: to.into() }
    }

    /// What becomes of an event of `team` with these properties, named `e`.
    fn run(plugins: Vec<Plugin>, team: i64, properties: &str) -> (Ran, String) {
        let mut properties: EventProperties<'_> = serde_json::from_str(properties).unwrap();
        let ran = Plugins::new(plugins, Duration::from_secs(1)).run(team, UUID, "e", &mut properties);
        (ran, serde_json::to_string(&properties).unwrap())
    }

    #[test]
    fn they_run_in_their_order_each_on_what_the_last_has_left() {
        let plugins = || {
            vec![
                plugin("a", always(), set("k", "\"v\"")),
                plugin("b", always(), rename("k", "to")),
                plugin("c", Condition { property: Some(("to".into(), "\"v\"".into())), ..always() }, set("n", "1.50")),
                plugin("d", Condition { property: Some(("k".into(), "\"v\"".into())), ..always() }, Action::Drop),
            ]
        };
        let names = r#""$plugins_failed":[],"$plugins_succeeded":["a","b","c","d"]"#;
        let (ran, stored) = run(plugins(), 1, r#"{"to":0,"x":9007199254740993}"#);
        assert_eq!(stored, format!(r#"{{{names},"n":1.50,"to":"v","x":9007199254740993}}"#));
        assert_eq!(ran, Ran::default());
        assert_eq!(run(plugins(), 2, r#"{"x":1}"#).1, r#"{"x":1}"#, "another team has none of them");
        let everybody = vec![Plugin { teams: Vec::new(), ..plugin("a", always(), set("k", "1")) }];
        assert!(run(everybody, 7, "{}").1.contains("\"k\":1"));
    }

    #[test]
    fn what_throws_or_takes_too_long_has_failed_and_the_event_goes_on() {
        let throws = |having_set| plugin("throws", always(), Action::Throw { having_set });
        let slow = |delay_ms| plugin("slow", always(), Action::Slow { delay_ms });
        let after = || plugin("after", always(), set("k", "1"));
        let of = |first| run(vec![first, after()], 1, "{}");
        let failed = |name: &str| format!(r#""$plugins_failed":["{name}"],"$plugins_succeeded":["after"]"#);
        let (ran, stored) = of(throws(None));
        assert!(ran.failed && !ran.dropped);
        assert_eq!(stored, format!(r#"{{{},"k":1}}"#, failed("throws")));
        let (_, stored) = of(throws(Some(("half".into(), "true".into()))));
        assert_eq!(stored, format!(r#"{{{},"half":true,"k":1}}"#, failed("throws")));
        let (ran, stored) = of(slow(1_001));
        assert_eq!((ran.took, ran.failed), (Duration::from_secs(1), true));
        assert_eq!(stored, format!(r#"{{{},"k":1}}"#, failed("slow")));
        let (ran, stored) = of(slow(1_000));
        assert_eq!((ran.took, ran.failed), (Duration::from_secs(1), false));
        assert!(stored.contains(r#""$plugins_succeeded":["slow","after"]"#));
    }

    #[test]
    fn conditions_hold_together() {
        let drops =
            |when: Condition, properties: &str| run(vec![plugin("d", when, Action::Drop)], 1, properties).0.dropped;
        let events =
            |names: &[&str]| Condition { events: names.iter().map(|name| (*name).into()).collect(), ..always() };
        let having = |value: &str| Condition { property: Some(("p".into(), value.into())), ..always() };
        assert!(drops(events(&["x", "e"]), "{}") && !drops(events(&["x"]), "{}"));
        for (wanted, found, holds) in [
            ("\"a\"", r#"{"p":"a"}"#, true),
            ("\"a\"", r#"{"p":"\u0061"}"#, true),
            ("\"a\"", r#"{"p":"b"}"#, false),
            ("\"a\"", "{}", false),
            ("1", r#"{"p":1.0}"#, true),
            ("1", r#"{"p":"1"}"#, false),
            ("true", r#"{"p":true}"#, true),
            ("null", r#"{"p":null}"#, true),
            ("null", "{}", false),
        ] {
            assert_eq!(drops(having(wanted), found), holds, "{wanted} {found}");
        }
        assert!(!drops(Condition { of_a_million: 0, ..always() }, "{}"));
        assert!(!drops(Condition { of_a_million: 0, ..events(&["e"]) }, "{}"));
    }

    #[test]
    fn a_share_is_about_as_large_as_it_says_and_differs_between_plugins() {
        let uuids =
            |run: u64| (0..20_000_u64).map(move |seq| Uuid::from_u64_pair(run, 0x8000_0000_0000_0000 | seq << 8));
        let chosen = |name: &str, run| uuids(run).filter(|uuid| place(name, *uuid) < 100_000).count();
        for run in 0..5 {
            assert!((1_850..=2_150).contains(&chosen("a", run)), "{}", chosen("a", run));
        }
        let both = uuids(1).filter(|uuid| place("a", *uuid) < 100_000 && place("b", *uuid) < 100_000).count();
        assert!((140..=260).contains(&both), "{both}");
        // Pinned: the judge has a reading of its own.
        assert_eq!(place("a", UUID), 868_028);
    }

    #[test]
    fn what_exports_sees_what_is_stored_and_is_named_nowhere() {
        let wanting = |value: &str| Condition { property: Some(("k".into(), value.into())), ..always() };
        let plugins = Plugins::new(
            vec![
                plugin("first", wanting("1"), Action::Export),
                plugin("sets", always(), set("k", "1")),
                plugin("other", wanting("2"), Action::Export),
                Plugin { teams: vec![2], ..plugin("foreign", always(), Action::Export) },
            ],
            Duration::ZERO,
        );
        let mut properties = EventProperties::default();
        plugins.run(1, UUID, "e", &mut properties);
        assert_eq!(properties.get("$plugins_succeeded").unwrap(), r#"["sets"]"#);
        assert_eq!(plugins.exporting(1, UUID, "e", &properties).collect::<Vec<_>>(), ["first"]);
        assert_eq!(plugins.exporting(2, UUID, "e", &properties).collect::<Vec<_>>(), ["foreign"]);
        assert_eq!(plugins.any_that_exports(), Some("first"));
    }

    #[test]
    fn what_leaks_is_what_the_event_has_not() {
        let plugins = Plugins::new(vec![plugin("a", always(), set("k", "1"))], Duration::ZERO);
        let mut properties = EventProperties::default();
        assert!(plugins.leak(&mut properties) && properties.contains_key("k"));
        assert!(!plugins.leak(&mut properties));
    }
}
