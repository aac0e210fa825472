//! `[[plugin]]`: what teams let run over their events.

use std::time::Duration;

use checkers::oracle::dialect::Dialect;
use generators::{identity::MARKER_PROPERTY, random::Share};
use serde_json::Value;
use toml::de::DeValue;

use super::{
    Traffic,
    notation::Expectable,
    reader::{Section, choice, text},
};

/// A plugin, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Plugin {
    /// Its name, which events carry.
    pub name: String,
    /// The teams that have it; none means every team.
    pub teams: Vec<String>,
    /// The names of the events on which it acts; none means any.
    pub events: Vec<String>,
    /// The property that they must have, and its value.
    pub property: Option<(String, Value)>,
    /// How many of a million of them, chosen by their uuids.
    pub of_a_million: u32,
    /// What it does to those.
    pub action: Action,
}

/// What a plugin does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Drops the event.
    Drop,
    /// Sets a property.
    Set(String, Value),
    /// Gives a property another key.
    Rename(String, String),
    /// Throws, having set this.
    Throw(Option<(String, Value)>),
    /// Takes its time.
    Slow(Duration),
    /// Delivers the event to a webhook, once it is stored.
    Export,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Drop,
    Set,
    Rename,
    Throw,
    Slow,
    Export,
}

/// The words for what a plugin does.
pub(super) const WORDS: [(&str, Word); 6] = [
    ("drop", Word::Drop),
    ("set", Word::Set),
    ("rename", Word::Rename),
    ("throw", Word::Throw),
    ("slow", Word::Slow),
    ("export", Word::Export),
];

/// A delivery says in a byte which plugin made it.
const MOST_EXPORTING: usize = 200;

/// Properties by which the pipeline knows whose an event is and when it happened, or Assay which one it is: with another
/// value it would be another event.
const IDENTITY: [&str; 10] = [
    MARKER_PROPERTY,
    "$anon_distinct_id",
    "alias",
    "distinct_id",
    "token",
    "$groups",
    "$group_type",
    "$group_key",
    "$process_person_profile",
    "$ignore_sent_at",
];

pub(super) fn plugins(sections: Vec<Section<'_>>, traffic: &[Traffic], dialect: Dialect) -> Vec<Plugin> {
    let mut plugins: Vec<Plugin> = Vec::new();
    for section in sections {
        let plugin = plugin(section, traffic, dialect, &plugins);
        plugins.push(plugin);
    }
    plugins
}

fn plugin(mut section: Section<'_>, traffic: &[Traffic], dialect: Dialect, before: &[Plugin]) -> Plugin {
    let name = section.required("name", plain_text).unwrap_or_default();
    if before.iter().any(|other| other.name == name) && !section.has_problem() {
        section.problem("name", "is another plugin's: events carry the names of their plugins, so each has its own");
    }
    let teams = section.optional("teams", list).unwrap_or_default();
    let known: Vec<&str> = traffic.iter().filter(|traffic| traffic.absent.is_none()).map(Traffic::team).collect();
    if let Some(unknown) = teams.iter().find(|team| !known.contains(&team.as_str())) {
        let known = known.join(", ");
        section.problem("teams", &format!("no traffic is of the team `{unknown}`; there are: {known}"));
    }
    let events = section.optional("events", list).unwrap_or_default();
    let key = |value: &DeValue<'_>| key(value, dialect);
    let property = property(section.section("where"), key);
    let share = section.optional("share", millionths).unwrap_or(MILLION);
    let word = section.required("action", choice(&WORDS)).unwrap_or(Word::Drop);
    let action = match word {
        Word::Drop => Action::Drop,
        Word::Set => Action::Set(
            section.required("key", key).unwrap_or_default(),
            section.required("value", json).unwrap_or_default(),
        ),
        Word::Rename => {
            let from = section.required("key", key).unwrap_or_default();
            let to = section.required("to", key).unwrap_or_default();
            if from == to && !section.has_problem() {
                section.problem("to", "is the key that the property has already");
            }
            Action::Rename(from, to)
        }
        Word::Throw => {
            let set = section.optional("key", key);
            let value = section.optional("value", json);
            if section.mentions("key") != section.mentions("value") {
                section.problem("key", "what it has set before it throws has a `key` and a `value`, or neither");
            }
            Action::Throw(set.zip(value))
        }
        Word::Slow => Action::Slow(section.required("delay", Duration::parse).unwrap_or(Duration::from_secs(1))),
        Word::Export => Action::Export,
    };
    if action == Action::Export
        && before.iter().filter(|other| other.action == Action::Export).count() >= MOST_EXPORTING
    {
        section.problem("action", &format!("only {MOST_EXPORTING} plugins can export"));
    }
    if matches!(action, Action::Slow(delay) if delay.as_millis() == 0) {
        section.problem("delay", "must be at least a millisecond");
    }
    section.end();
    Plugin { name, teams, events, property, of_a_million: share, action }
}

fn property(mut section: Section<'_>, key: impl Fn(&DeValue<'_>) -> Result<String, String>) -> Option<(String, Value)> {
    if !section.mentions("property") && !section.mentions("equals") {
        section.end();
        return None;
    }
    let property = section.required("property", key);
    let equals = section.required("equals", |value| match json(value)? {
        Value::Array(_) | Value::Object(_) => {
            Err("must be a plain value: text, a whole number, true or false".to_owned())
        }
        Value::Number(number) if !number.is_i64() => {
            Err("must be a whole number: fractions are not compared".to_owned())
        }
        plain => Ok(plain),
    });
    section.end();
    property.zip(equals)
}

/// A list of words, or one alone.
fn list(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    match value {
        DeValue::Array(all) if all.is_empty() => Err("is empty: leave it out, which means all".into()),
        DeValue::Array(all) => all.iter().map(|one| plain_text(one.get_ref())).collect(),
        one => Ok(vec![plain_text(one)?]),
    }
}

fn plain_text(value: &DeValue<'_>) -> Result<String, String> {
    let text = text(value)?;
    if text.is_empty() || text.contains(['"', '\\']) || text.contains(char::is_control) {
        return Err(format!("`{text}` is no plain text: not empty, no quotes, no backslashes"));
    }
    Ok(text)
}

fn key(value: &DeValue<'_>, dialect: Dialect) -> Result<String, String> {
    let key = plain_text(value)?;
    if IDENTITY.contains(&key.as_str()) {
        return Err(format!("`{key}` says whose event it is or which one, and an event with another is another event"));
    }
    if dialect.rewrites_property(&key) {
        return Err(format!(
            "`{key}` is written by the pipeline itself, so that nobody could tell what a plugin did to it"
        ));
    }
    Ok(key)
}

const MILLION: u32 = 1_000_000;

fn millionths(value: &DeValue<'_>) -> Result<u32, String> {
    let millionths = (Share::parse(value)?.get() * f64::from(MILLION)).round() as u32;
    if millionths == 0 { Err("must be at least 0.0001%, a millionth".into()) } else { Ok(millionths) }
}

/// The JSON value of a TOML value.
fn json(value: &DeValue<'_>) -> Result<Value, String> {
    let number =
        |text: &str| serde_json::from_str(&text.replace('_', "")).map_err(|_| format!("`{text}` is no number of JSON"));
    Ok(match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Integer(integer) if integer.radix() == 10 => number(integer.as_str())?,
        DeValue::Float(float) => number(float.as_str())?,
        DeValue::Array(all) => Value::Array(all.iter().map(|one| json(one.get_ref())).collect::<Result<_, _>>()?),
        DeValue::Table(members) => {
            let member = |(key, value): (&toml::Spanned<std::borrow::Cow<'_, str>>, &toml::Spanned<DeValue<'_>>)| {
                Ok((key.get_ref().to_string(), json(value.get_ref())?))
            };
            Value::Object(members.iter().map(member).collect::<Result<_, String>>()?)
        }
        other => return Err(format!("must be a value of JSON, not {}", other.type_str())),
    })
}
