//! The scenario's plugins, as each side reads them: the word is said once, and handed to the pipeline and to the oracle.

use checkers::oracle::plugin as judged;
use testenv::pipeline::plugin as subject;

use crate::{
    plan,
    scenario::{
        Plugin, Scenario,
        plugin::Action::{Drop, Export, Rename, Set, Slow, Throw},
    },
};

/// As the oracle reads them.
pub fn judged(scenario: &Scenario) -> judged::Plugins {
    let plugin = |plugin: &Plugin| judged::Plugin {
        name: plugin.name.clone(),
        teams: plan::numbers(scenario, &plugin.teams),
        when: judged::Condition {
            events: plugin.events.clone(),
            property: plugin.property.as_ref().map(|(key, value)| (key.clone(), value.to_string())),
            of_a_million: plugin.of_a_million,
        },
        action: match plugin.action.clone() {
            Drop => judged::Action::Drop,
            Set(key, value) => judged::Action::Set { key, value: value.to_string() },
            Rename(key, to) => judged::Action::Rename { key, to },
            Throw(set) => judged::Action::Throw { having_set: set.map(|(key, value)| (key, value.to_string())) },
            Slow(delay) => judged::Action::Slow { delay },
            Export => judged::Action::Export,
        },
    };
    judged::Plugins { all: scenario.plugins.iter().map(plugin).collect(), time_out: scenario.pipeline.plugin_time_out }
}

/// As the reference pipeline reads them.
pub fn subject(scenario: &Scenario) -> Vec<subject::Plugin> {
    let plugin = |plugin: &Plugin| subject::Plugin {
        name: plugin.name.clone(),
        teams: plan::numbers(scenario, &plugin.teams),
        when: subject::Condition {
            events: plugin.events.clone(),
            property: plugin.property.as_ref().map(|(key, value)| (key.clone(), value.to_string())),
            of_a_million: plugin.of_a_million,
        },
        action: match plugin.action.clone() {
            Drop => subject::Action::Drop,
            Set(key, value) => subject::Action::Set { key, value: value.to_string() },
            Rename(key, to) => subject::Action::Rename { key, to },
            Throw(set) => subject::Action::Throw { having_set: set.map(|(key, value)| (key, value.to_string())) },
            Slow(delay) => subject::Action::Slow { delay_ms: delay.as_millis() as u64 },
            Export => subject::Action::Export,
        },
    };
    scenario.plugins.iter().map(plugin).collect()
}
