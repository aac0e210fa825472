//! The reference against the readers: neither knows a key, a default, a range or a word that the other one does not.
//!
//! Readers are asked by letting them read the library and the scenarios in `tests/`, and those again with one value changed.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    super::{Scenario, reader, reader::asked},
    json::schema,
    kind::{Kind, NOTATIONS},
    *,
};
use crate::library::LIBRARY;

/// Scenarios that between them have every key.
const SCENARIOS: [(&str, &str); 7] = [
    ("every-key", include_str!("tests/every-key.toml")),
    ("search", include_str!("tests/search.toml")),
    ("recorded", include_str!("tests/recorded.toml")),
    ("soak", include_str!("tests/soak.toml")),
    ("exports", include_str!("tests/exports.toml")),
    ("parts", include_str!("tests/parts.toml")),
    ("restricted", include_str!("tests/restricted.toml")),
];
/// Keys that are asked for so that it can be said why they have no meaning there.
const REFUSED: [&str; 1] = ["pipeline.ingester.port"];

/// A step on the way from the root of a file to a table.
#[derive(Debug, Clone)]
enum Step {
    Key(String),
    Item(usize),
}

/// A key that was asked for in a file.
#[derive(Debug)]
struct Place {
    file: toml::Table,
    /// The table's path, without the names of those in lists.
    section: String,
    steps: Vec<Step>,
    key: &'static str,
}

impl Place {
    /// The file with another value there, or without one.
    fn with(&self, value: Option<&str>) -> toml::Table {
        self.changed(value).unwrap()
    }

    /// So, where the file has the table that the key is in.
    fn changed(&self, value: Option<&str>) -> Option<toml::Table> {
        let mut file = self.file.clone();
        let mut table = &mut file;
        let mut steps = self.steps.iter();
        while let Some(step) = steps.next() {
            let Step::Key(key) = step else { panic!("{self:?}") };
            table = match (table.get_mut(key)?, steps.clone().next()) {
                (toml::Value::Array(items), Some(Step::Item(item))) => {
                    steps.next();
                    items[*item].as_table_mut().unwrap()
                }
                (value, _) => value.as_table_mut().unwrap(),
            };
        }
        table.remove(self.key);
        if let Some(value) = value {
            table.insert(self.key.to_owned(), parsed(value));
        }
        Some(file)
    }

    fn is_there(&self) -> bool {
        self.changed(None).is_some_and(|without| without != self.file)
    }
}

fn parsed(value: &str) -> toml::Value {
    let mut table: toml::Table =
        toml::from_str(&format!("x = {value}")).unwrap_or_else(|error| panic!("{value}: {error}"));
    table.remove("x").unwrap()
}

fn read(file: &toml::Table) -> Result<Scenario, Vec<String>> {
    read_text(&toml::to_string(file).unwrap())
}

/// The scenario, with its defaults filled in where they are filled in later.
fn read_text(text: &str) -> Result<Scenario, Vec<String>> {
    let mut scenario = Scenario::read("x.toml", text, &[]).map_err(|problems| problems.lines().collect::<Vec<_>>())?;
    for traffic in &mut scenario.traffic {
        traffic.team = Some(traffic.team().to_owned());
    }
    for defect in &mut scenario.planted_defects {
        defect.amount = defect.amount.or(defect.name.defect().amount().map(|amount| amount.default));
    }
    Ok(scenario)
}

fn files() -> impl Iterator<Item = (&'static str, toml::Table)> {
    SCENARIOS.iter().chain(LIBRARY).map(|(name, source)| (*name, toml::from_str(source).unwrap()))
}

/// Every key that was asked for, with its place.
fn places() -> Vec<Place> {
    let mut places = Vec::new();
    for (name, file) in files() {
        let (scenario, asked) = asked::during(|| read(&file));
        scenario.unwrap_or_else(|problems| panic!("{name}: {problems:#?}"));
        for (path, key) in asked {
            let (section, steps) = way(&file, &path);
            places.push(Place { file: file.clone(), section, steps, key });
        }
    }
    places
}

/// The way to a table that problems call `path`.
fn way(file: &toml::Table, path: &str) -> (String, Vec<Step>) {
    let root = toml::Value::Table(file.clone());
    let (mut names, mut steps, mut at) = (Vec::new(), Vec::new(), Some(&root));
    for word in path.split('.').filter(|word| !word.is_empty()) {
        if let Some(toml::Value::Array(items)) = at {
            let is_it = |item: &toml::Value| item.get("name").and_then(toml::Value::as_str) == Some(word);
            let item = items.iter().position(is_it).unwrap_or_else(|| word.parse().unwrap());
            steps.push(Step::Item(item));
            at = items.get(item);
        } else {
            names.push(word);
            steps.push(Step::Key(word.to_owned()));
            at = at.and_then(|value| value.get(word));
        }
    }
    (names.join("."), steps)
}

fn path(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

fn keys() -> impl Iterator<Item = (&'static Section, &'static Key)> {
    sections().flat_map(|section| section.keys.iter().map(move |key| (section, key)))
}

/// The places at which a file has this key.
fn having<'a>(places: &'a [Place], section: &Section, key: &Key) -> Vec<&'a Place> {
    let is_it = |place: &&Place| place.section == section.path && place.key == key.name && place.is_there();
    places.iter().filter(is_it).collect()
}

#[test]
fn what_is_read_is_in_the_reference_and_what_is_in_the_reference_is_read() {
    let read: BTreeSet<String> = places().iter().map(|place| path(&place.section, place.key)).collect();
    let known = keys().map(|(section, key)| path(section.path, key.name));
    let inner = sections().filter(|section| !section.path.is_empty()).map(|section| section.path.to_owned());
    let known: Vec<String> = known.chain(inner).collect();
    let told: BTreeSet<String> = known.iter().cloned().collect();
    assert_eq!(told.len(), known.len(), "a key is in the reference twice");
    let missing: Vec<_> = read.difference(&told).filter(|path| !REFUSED.contains(&path.as_str())).collect();
    assert!(missing.is_empty(), "readers ask for keys that scenario/reference/ does not tell of: {missing:?}");
    let unread: Vec<_> = told.difference(&read).collect();
    assert!(
        unread.is_empty(),
        "no reader asks for these keys of scenario/reference/, or no scenario in reference/tests/ gets that far: {unread:?}"
    );
}

#[test]
fn examples_are_right() {
    let places = places();
    for (section, key) in keys() {
        let name = path(section.path, key.name);
        let having = having(&places, section, key);
        assert!(!having.is_empty(), "{name} is in no scenario of reference/tests/: add it to one");
        let value = key.kind.toml(key.example);
        let problems: Vec<_> = having.iter().filter_map(|place| read(&place.with(Some(&value))).err()).collect();
        assert!(problems.len() < having.len(), "{name} = {value}: {problems:#?}");
    }
}

#[test]
fn examples_of_sections_are_right() {
    let example = |path: &str| sections().find(|section| section.path == path).unwrap().example;
    let base = format!("{}\n{}", example("scenario"), example("traffic"));
    read_text(&base).unwrap();
    for section in sections() {
        let text = match section.path {
            "" | "scenario" | "traffic" => base.clone(),
            _ => format!("{base}\n{}", section.example),
        };
        read_text(&text).unwrap_or_else(|problems| panic!("{}: {problems:#?}", section.path));
    }
}

#[test]
fn defaults_are_those_of_the_reader() {
    let places = places();
    for (section, key) in keys() {
        let name = path(section.path, key.name);
        let Presence::Default(default) = key.presence else { continue };
        let value = key.kind.toml(default);
        let mut compared = 0;
        let mut problems = Vec::new();
        for place in having(&places, section, key) {
            match (read(&place.with(None)), read(&place.with(Some(&value)))) {
                (Ok(without), Ok(with)) => {
                    assert!(without == with, "{name} = {value} is not what holds without it");
                    compared += 1;
                }
                (without, with) => problems.extend(without.err().into_iter().chain(with.err())),
            }
        }
        assert!(compared > 0, "{name} can be left out nowhere: {problems:#?}");
    }
}

#[test]
fn what_is_required_is_missed_and_nothing_else() {
    let places = places();
    for (section, key) in keys() {
        let name = path(section.path, key.name);
        let missing = format!("{}: is missing", key.name);
        let is_missed = |place: &Place| {
            read(&place.with(None)).is_err_and(|problems| problems.iter().any(|problem| problem.contains(&missing)))
        };
        let having = having(&places, section, key);
        let missed = having.iter().filter(|place| is_missed(place)).count();
        match key.presence {
            Presence::Required => assert_eq!(missed, having.len(), "{name} is not required"),
            Presence::RequiredIf(_) => {
                assert!(missed > 0 || CONDITIONAL.contains(&name.as_str()), "{name} is never required");
            }
            Presence::Default(_) => assert_eq!(missed, 0, "{name} has no default"),
            // `fault.for` and `step.size` are what some others need.
            Presence::Otherwise(_) => assert!(missed < having.len(), "{name} is required"),
        }
    }
}

/// Keys that are required in a way that is not called missing.
const CONDITIONAL: [&str; 3] = ["traffic.duration", "planted_defect.property", "plugin.where.property"];

#[test]
fn ranges_and_words_are_those_of_the_reader() {
    let places = places();
    for (section, key) in keys() {
        let (value, expected) = match key.kind {
            Kind::Whole { from, to: Some(to) } => {
                // Beyond TOML's own numbers it is text.
                (format!("\"{}\"", to + 1), format!("must be a whole number from {from} to {to}"))
            }
            Kind::Whole { from, to: None } => {
                (format!("{}", from - 1), format!("must be a whole number from {from} to "))
            }
            Kind::Number { from, to } => (format!("{}", to * 2.0), format!("must be a number from {from} to {to}")),
            Kind::Choice(words) | Kind::ChoiceOrChoices(words) | Kind::PartOrParts(words) => {
                ("\"none such\"".to_owned(), told(&words()))
            }
            Kind::Choices(words) => ("[\"none such\"]".to_owned(), told(&words())),
            _ => continue,
        };
        for place in having(&places, section, key) {
            let problems = read(&place.with(Some(&value))).unwrap_err();
            assert!(
                problems.iter().any(|problem| problem.contains(&expected)),
                "{}: {expected}\n{problems:#?}",
                path(section.path, key.name)
            );
        }
    }
}

fn told(words: &[&'static str]) -> String {
    let choices: Vec<_> = words.iter().map(|word| (*word, ())).collect();
    format!("must be {}", reader::told(&choices))
}

#[test]
fn every_word_is_explained() {
    for (section, key) in keys() {
        let (Kind::Choice(words) | Kind::ChoiceOrChoices(words) | Kind::Choices(words) | Kind::PartOrParts(words)) =
            key.kind
        else {
            continue;
        };
        let text = key.doc.to_owned() + &section.more.map(|more| more()).unwrap_or_default();
        for word in words() {
            assert!(text.contains(&format!("`{word}`")), "{}: `{word}` is not explained", path(section.path, key.name));
        }
    }
}

#[test]
fn editors_accept_what_the_reader_accepts() {
    let schema = schema();
    assert!(jsonschema::meta::is_valid(&schema));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let check = |name: &str, file: &toml::Table| {
        let file = serde_json::to_value(file).unwrap();
        let errors: Vec<_> =
            validator.iter_errors(&file).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    };
    for (name, file) in files() {
        check(name, &file);
    }
    let places = places();
    for (section, key) in keys() {
        let default = if let Presence::Default(text) = key.presence { Some(text) } else { None };
        for text in [Some(key.example), default].into_iter().flatten() {
            check(&path(section.path, key.name), &having(&places, section, key)[0].with(Some(&key.kind.toml(text))));
        }
        if let Kind::In(notation) = key.kind {
            for example in notation.examples {
                check(example, &having(&places, section, key)[0].with(Some(&key.kind.toml(example))));
            }
        }
    }
}

#[test]
fn editors_refuse_what_the_reader_refuses() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let mut checked = 0;
    for place in places().iter().filter(|place| place.is_there()) {
        let known = keys().find(|(section, key)| section.path == place.section && key.name == place.key);
        let Some((section, key)) = known else { continue };
        let name = path(section.path, key.name);
        // A word, a number without its unit, and a wrong type: of most kinds none is right.
        for value in ["\"none such\"", "\"1\"", "-1", "[[]]"] {
            let file = place.with(Some(value));
            let is_right = validator.is_valid(&serde_json::to_value(&file).unwrap());
            assert!(!is_right || !is_wrongly_written(&file, key), "{name} = {value} is refused by the reader only");
            checked += 1;
        }
    }
    assert!(checked > 500, "{checked}");
    let mut unknown = files().next().unwrap().1;
    unknown["traffic"][0].as_table_mut().unwrap().insert("evnts".into(), 1.into());
    assert!(!validator.is_valid(&serde_json::to_value(&unknown).unwrap()));
}

/// Whether the reader says that a value of this kind is not written like this, and not that it does not go with others.
fn is_wrongly_written(file: &toml::Table, key: &Key) -> bool {
    let problems = read(file).err().unwrap_or_default();
    let of_key = |problem: &String| problem.contains(&format!("{}: ", key.name));
    let of_notation = |problem: &String| {
        let is_notation = |name: &str| problem.contains(&format!("is no {name}"));
        problem.contains("must be a whole number from")
            || problem.contains("must be a string")
            || problem.contains("must be true or false")
            || NOTATIONS.iter().any(|notation| is_notation(notation.name))
    };
    problems.iter().any(|problem| of_key(problem) && of_notation(problem))
}

#[test]
fn who_extends_another_need_not_say_everything() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let is_right = |text: &str| {
        let file: toml::Table = toml::from_str(text).unwrap();
        validator.is_valid(&serde_json::to_value(file).unwrap())
    };
    let part = "[[traffic]]\nname = \"app\"\nevents = 5\n[pipeline]\npartitions = 2\n";
    assert!(is_right(&format!("extends = \"smoke\"\n{part}")));
    assert!(!is_right(part));
    assert!(
        !is_right(&format!("extends = \"smoke\"\n{part}partitoins = 3\n")),
        "unknown keys are refused all the same"
    );
}

#[test]
fn the_page_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scenario-reference.md");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == markdown::page(),
        "docs/scenario-reference.md is old: write it again with `{}`",
        markdown::COMMAND
    );
}

#[test]
fn keys_and_sections_are_told_in_sentences() {
    for (section, key) in keys() {
        assert!(key.doc.ends_with(['.', ')']) && key.doc.len() > 5, "{}", path(section.path, key.name));
    }
    let schema: Value = schema();
    assert_eq!(
        schema["properties"]["traffic"]["items"]["properties"]["persons"]["properties"]["count"]["default"],
        1_000
    );
    assert_eq!(schema["then"]["required"], serde_json::json!(["scenario", "traffic"]));
}
