//! The reference as a JSON Schema, for editors.

use serde_json::{Map, Value, json};

use super::{super::extend, Key, Occurs, Presence, Section, sections};

/// The schema of a scenario file (draft 2020-12), without references, which not every editor follows.
pub fn schema() -> Value {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Assay scenario",
    });
    if let (Some(root), Some(members)) = (sections().find(|section| section.path.is_empty()), schema.as_object_mut()) {
        // Who extends another scenario need not say what that says.
        let whole = table(root);
        let mut part = Value::from(whole.clone());
        relax(&mut part);
        if let Value::Object(mut part) = part {
            members.append(&mut part);
        }
        members.insert("if".into(), json!({ "not": { "required": [extend::KEY] } }));
        members.insert("then".into(), whole.into());
        if let Some(Value::Object(properties)) = members.get_mut("properties") {
            let what = "The scenario whose values hold where this file says none: a name of the library, or a file beside this one.";
            properties
                .insert(extend::KEY.into(), json!({ "description": what, "type": "string", "examples": ["smoke"] }));
        }
    }
    schema
}

/// Requires nothing any more.
fn relax(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            // A property may be called so, and is then no list.
            if members.get("required").is_some_and(Value::is_array) {
                members.remove("required");
            }
            members.values_mut().for_each(relax);
        }
        Value::Array(items) => items.iter_mut().for_each(relax),
        _ => (),
    }
}

fn table(section: &Section) -> Map<String, Value> {
    let keys = section.keys.iter().map(|key| (key.name, value(key)));
    let children = section.children().map(|child| (child.name(), place(child)));
    let properties: Map<String, Value> = keys.chain(children).map(|(name, schema)| (name.to_owned(), schema)).collect();
    let needed_keys = section.keys.iter().map(|key| (key.name, key.presence));
    let needed_children = section.children().map(|child| (child.name(), child.presence));
    let required: Vec<&str> = needed_keys
        .chain(needed_children)
        .filter(|(_, presence)| matches!(presence, Presence::Required))
        .map(|(name, _)| name)
        .collect();
    let mut table = Map::new();
    table.insert("description".into(), section.doc.into());
    table.insert("type".into(), "object".into());
    table.insert("properties".into(), properties.into());
    table.insert("required".into(), required.into());
    table.insert("additionalProperties".into(), false.into());
    table
}

/// What may stand where the section does.
fn place(section: &Section) -> Value {
    match section.occurs {
        Occurs::Once => table(section).into(),
        Occurs::Often => {
            json!({ "description": section.doc, "type": "array", "minItems": 1, "items": table(section) })
        }
    }
}

fn value(key: &Key) -> Value {
    let mut schema = key.kind.schema();
    if let Some(members) = schema.as_object_mut() {
        members.insert("description".into(), described(key).into());
        members.extend(of_toml(key, key.example).map(|example| ("examples".to_owned(), json!([example]))));
        if let Presence::Default(text) = key.presence {
            members.extend(of_toml(key, text).map(|default| ("default".to_owned(), default)));
        }
    }
    schema
}

fn described(key: &Key) -> String {
    match key.presence {
        Presence::Required => format!("{} Required.", key.doc),
        Presence::RequiredIf(when) => format!("{} Required {when}.", key.doc),
        Presence::Default(text) => format!("{} Default: `{}`.", key.doc, key.kind.toml(text)),
        Presence::Otherwise(what) => format!("{} Without it: {what}.", key.doc),
    }
}

/// The JSON of a value that is written in the table; the tests see to it that there is one.
fn of_toml(key: &Key, text: &str) -> Option<Value> {
    let mut table: toml::Table = toml::from_str(&format!("value = {}", key.kind.toml(text))).ok()?;
    serde_json::to_value(table.remove("value")?).ok()
}
