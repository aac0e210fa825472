//! `[pipeline.capture]`, `[pipeline.ingester]` and `[[component]]`: other people's images in the pipeline's places, and beside it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use testenv::{
    containers::{
        images::Image,
        mount::Mount,
        substitute::{Further, PATIENCE, Substitute, Substitutes, words},
    },
    environment::{beside::TOLD, tables::Topics},
    fault::Target,
    name::is_host,
};
use toml::{Spanned, de::DeValue};

use super::{
    notation::Expectable,
    reader::{Section, flag, text, whole},
};

/// Names that are taken, beside those of fault targets: of what a run has anyhow, and of logs.
const TAKEN: [&str; 5] = ["injector", "webhook", "second-ingester", "sink", "assay"];

fn is_taken(name: &str) -> bool {
    let is_target = Target::ALL.iter().any(|(word, _)| *word == name);
    is_target || TAKEN.contains(&name) || name.starts_with("ingester-")
}

/// Whether a component that a scenario adds can be called so.
pub fn is_free(name: &str) -> bool {
    is_host(name) && !is_taken(name)
}

/// Reads one place of the pipeline, if the file says anything of it.
pub(super) fn place(pipeline: &mut Section<'_>, key: &'static str, further: &[Further]) -> Option<Substitute> {
    if !pipeline.mentions(key) {
        return None;
    }
    let mut section = pipeline.section(key);
    let port = section.optional("port", whole(1..=65_535)).map(|port| port as u16);
    let lasting = further.iter().filter(|further| !further.once);
    let known = lasting.map(|further| further.name.clone()).collect();
    let substitute = substitute(&mut section, port, &known, true);
    if key == "ingester" && port.is_some() {
        section.problem("port", "has no meaning here: nobody sends to an ingester");
    }
    section.end();
    substitute
}

/// Reads the components beside the pipeline.
pub(super) fn further(sections: Vec<Section<'_>>) -> Vec<Further> {
    let (mut all, mut names, mut lasting) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for mut section in sections {
        let name = section.required("name", |value| {
            let name = text(value)?;
            match name.as_str() {
                "" => Err("must not be empty".into()),
                taken if is_taken(taken) => Err(format!("`{taken}` is what a part of every run is called")),
                name if !is_host(name) => Err("is a host name: small letters, digits and `-`, and nothing else".into()),
                _ => Ok(name),
            }
        });
        let once = section.optional("once", flag).unwrap_or_default();
        let within = section.optional("within", Duration::parse).unwrap_or(PATIENCE);
        if within.is_zero() {
            section.problem("within", "must be longer than nothing");
        }
        let substitute = substitute(&mut section, None, &lasting, false);
        if once && section.mentions("ready") {
            section.problem("ready", "has no meaning with `once`: it is waited for until it has ended");
        }
        if let Some(name) = &name
            && !names.insert(name.clone())
        {
            section.problem("name", "is the name of another component");
        }
        section.end();
        // What has ended is nowhere any more.
        lasting.extend(name.clone().filter(|_| !once));
        let further = |(name, substitute)| Further { name, substitute: Substitute { within, ..substitute }, once };
        all.extend(name.zip(substitute).map(further));
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
    let mounts = section.optional("mounts", mounts).unwrap_or_default();
    Some(Substitute { image: image?, entry_point, command, environment, port, ready, within: PATIENCE, mounts })
}

/// Reads mounts: paths in the container, each with a path beside the scenario's file.
fn mounts(value: &DeValue<'_>) -> Result<Vec<Mount>, String> {
    let table = value.as_table().ok_or("must be a table, such as { \"/seed\" = \"seed\" }")?;
    let mount = |(inside, path): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        let path = text(path.get_ref()).map_err(|what| format!("{}: {what}", inside.get_ref()))?;
        Mount::new(path, inside.get_ref().to_string())
    };
    table.iter().map(mount).collect()
}

/// Kafka takes no longer names, and the run's own stands before them.
const LONGEST_TOPIC: usize = 200;

/// Reads the names of topics that every run does not have.
fn topics(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let mut all = texts(value).map_err(|_| "must be a list of names, such as [\"clickhouse_app_metrics\"]")?;
    for topic in &all {
        let is_fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if topic.is_empty() || topic.len() > LONGEST_TOPIC || !topic.chars().all(is_fine) {
            return Err(format!(
                "`{topic}` names no topic: letters, digits, `.`, `_` and `-`, {LONGEST_TOPIC} of them at most"
            ));
        }
        if Topics::has(topic) {
            return Err(format!("`{topic}` is a topic that every run has"));
        }
    }
    let said = all.len();
    all.sort();
    all.dedup();
    if all.len() < said { Err("names a topic twice".into()) } else { Ok(all) }
}

fn texts(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let list = value.as_array().ok_or("must be a list of strings, such as [\"node\", \"index.js\"]")?;
    list.iter().map(|item| text(item.get_ref())).collect()
}

/// Reads variables; a word in braces is a component before this one, a variable that every image is told, or in a place of the
/// pipeline a variable of its role, which are written in capitals as well.
fn variables(
    value: &DeValue<'_>,
    known: &BTreeSet<String>,
    takes_a_place: bool,
) -> Result<BTreeMap<String, String>, String> {
    let table = value.as_table().ok_or("must be a table, such as { REDIS_URL = \"redis://{redis}:6379/\" }")?;
    let mut all = BTreeMap::new();
    for (name, value) in table {
        let value = text(value.get_ref()).map_err(|what| format!("{}: {what}", name.get_ref()))?;
        let is_of_role = |word: &str| takes_a_place && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        let is_variable = |word: &str| is_of_role(word) || TOLD.iter().any(|(name, _)| *name == word);
        if let Some(word) = words(&value).find(|word| !known.contains(*word) && !is_variable(word)) {
            let known = known.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "none comes before it".to_owned() } else { format!("there are {known}") };
            let told = if takes_a_place { "" } else { "; nor is it a variable that every image is told" };
            return Err(format!("{}: `{{{word}}}` is no component before this one: {known}{told}", name.get_ref()));
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
        topics: pipeline.optional("topics", topics).unwrap_or_default(),
    }
}
