//! `[pipeline.capture]`, `[pipeline.ingester]` and `[[component]]`: other people's images in the pipeline's places, and beside it.

use std::collections::{BTreeMap, BTreeSet};

use testenv::containers::{
    images::Image,
    substitute::{Further, Substitute, Substitutes, words},
};
use toml::de::DeValue;

use super::reader::{Section, text, whole};

/// Names that are taken: of what a run has anyhow.
const TAKEN: [&str; 5] = ["kafka", "clickhouse", "capture", "ingester", "injector"];

/// Reads one place of the pipeline, if the file says anything of it.
pub(super) fn place(pipeline: &mut Section<'_>, key: &'static str, further: &[Further]) -> Option<Substitute> {
    if !pipeline.mentions(key) {
        return None;
    }
    let mut section = pipeline.section(key);
    let port = section.optional("port", whole(1..=65_535)).map(|port| port as u16);
    let known = further.iter().map(|further| further.name.clone()).collect();
    let substitute = substitute(&mut section, port, &known, true);
    if key == "ingester" && port.is_some() {
        section.problem("port", "has no meaning here: nobody sends to an ingester");
    }
    section.end();
    substitute
}

/// Reads the components beside the pipeline.
pub(super) fn further(sections: Vec<Section<'_>>) -> Vec<Further> {
    let (mut all, mut names) = (Vec::new(), BTreeSet::new());
    for mut section in sections {
        let name = section.required("name", |value| {
            let name = text(value)?;
            let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            match name.as_str() {
                "" => Err("must not be empty".into()),
                taken if TAKEN.contains(&taken) || taken.starts_with("ingester-") => {
                    Err(format!("`{taken}` is what a part of every run is called"))
                }
                name if !name.chars().all(is_fine) => {
                    Err("is a host name: small letters, digits and `-`, and nothing else".into())
                }
                _ => Ok(name),
            }
        });
        let substitute = substitute(&mut section, None, &names, false);
        if let Some(name) = &name
            && !names.insert(name.clone())
        {
            section.problem("name", "is the name of another component");
        }
        section.end();
        all.extend(name.zip(substitute).map(|(name, substitute)| Further { name, substitute }));
    }
    all
}

fn substitute(
    section: &mut Section<'_>,
    port: Option<u16>,
    known: &BTreeSet<String>,
    takes_a_place: bool,
) -> Option<Substitute> {
    let image = section.required("image", |value| Image::try_from(text(value)?).map_err(|error| error.to_string()));
    let entry_point = section.optional("entry_point", text);
    let command = section.optional("command", texts).unwrap_or_default();
    let environment = section.optional("environment", |value| variables(value, known, takes_a_place));
    let ready = section.optional("ready", text);
    let environment = environment.unwrap_or_default();
    Some(Substitute { image: image?, entry_point, command, environment, port, ready })
}

fn texts(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let list = value.as_array().ok_or("must be a list of strings, such as [\"node\", \"index.js\"]")?;
    list.iter().map(|item| text(item.get_ref())).collect()
}

/// Reads variables; a word in braces is a component before this one, or in a place of the pipeline a variable of its role, which are
/// written in capitals.
fn variables(
    value: &DeValue<'_>,
    known: &BTreeSet<String>,
    takes_a_place: bool,
) -> Result<BTreeMap<String, String>, String> {
    let table = value.as_table().ok_or("must be a table, such as { REDIS_URL = \"redis://{redis}:6379/\" }")?;
    let mut all = BTreeMap::new();
    for (name, value) in table {
        let value = text(value.get_ref()).map_err(|what| format!("{}: {what}", name.get_ref()))?;
        let is_variable = |word: &str| takes_a_place && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        if let Some(word) = words(&value).find(|word| !known.contains(*word) && !is_variable(word)) {
            let known = known.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "none comes before it".to_owned() } else { format!("there are {known}") };
            return Err(format!("{}: `{{{word}}}` is no component before this one: {known}", name.get_ref()));
        }
        all.insert(name.get_ref().to_string(), value);
    }
    Ok(all)
}

/// Reads all of it.
pub(super) fn substitutes(pipeline: &mut Section<'_>, components: Vec<Section<'_>>) -> Substitutes {
    let further = further(components);
    Substitutes {
        capture: place(pipeline, "capture", &further),
        ingester: place(pipeline, "ingester", &further),
        further,
    }
}
