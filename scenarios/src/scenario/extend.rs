//! A scenario that extends another: what it says itself goes over what the other says.
//!
//! `extends = "smoke"` names a scenario of the library, `extends = "nightly.toml"` a file beside the one that says so. Tables
//! are merged key by key, and lists whose tables all have a `name` are merged by it; every other value takes the place of the
//! other's. Two rules keep a merged table whole: one that says its `shape` takes the other's place with all keys, since
//! shapes have keys of their own; and `events` and `duration`, of which traffic has one, replace each other. The other's name
//! and description are its own, so a scenario that extends another says both.

use std::{borrow::Cow, ops::Range};

use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

/// The key that names the other.
pub const KEY: &str = "extends";
/// So many scenarios may extend one another in a row.
const LONGEST: usize = 8;

/// A scenario file's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What it is called in errors.
    pub file: String,
    /// The text.
    pub text: String,
}

/// The scenarios that `source` extends: the nearest first. `find` gets what a file extends, and that file's name.
///
/// # Errors
/// What is wrong, for people.
pub fn chain(source: &Source, find: impl Fn(&str, &str) -> Result<Source, String>) -> Result<Vec<Source>, String> {
    let mut all: Vec<Source> = Vec::new();
    let mut last = source.clone();
    while let Some(wanted) = named(&last.text) {
        let base = find(&wanted, &last.file)?;
        if base.file == source.file || all.iter().any(|known| known.file == base.file) {
            return Err(format!("`{wanted}` extends itself in the end"));
        }
        if all.len() >= LONGEST {
            return Err(format!("more than {LONGEST} scenarios extend one another"));
        }
        all.push(base.clone());
        last = base;
    }
    Ok(all)
}

/// What the scenario in `text` extends.
fn named(text: &str) -> Option<String> {
    let (root, _) = DeTable::parse_recoverable(text);
    root.get_ref().get(KEY).and_then(|value| value.get_ref().as_str()).map(str::to_owned)
}

/// Puts `root` over the `bases` that it extends, the nearest first. What comes from them stands at the place of `extends`.
///
/// # Errors
/// Which of them is no TOML.
pub fn merge<'a>(root: &mut DeTable<'a>, bases: &'a [Source]) -> Result<(), String> {
    let Some(place) = root.get(KEY).map(Spanned::span) else { return Ok(()) };
    root.remove(KEY);
    for base in bases {
        let (table, errors) = DeTable::parse_recoverable(&base.text);
        if let Some(error) = errors.first() {
            let line = error.span().map_or(0, |span| base.text[..span.start].matches('\n').count()) + 1;
            return Err(format!("{}:{line}: {}", base.file, error.message()));
        }
        let mut table = placed_table(table.into_inner(), &place);
        table.remove(KEY);
        if let Some(DeValue::Table(head)) = table.get_mut("scenario").map(Spanned::get_mut) {
            head.remove("name");
            head.remove("description");
        }
        let own = std::mem::take(root);
        over(&mut table, own);
        *root = table;
    }
    Ok(())
}

/// Puts what `own` says over `table`.
fn over<'a>(table: &mut DeTable<'a>, own: DeTable<'a>) {
    for [one, other] in [["events", "duration"], ["duration", "events"]] {
        if own.contains_key(one) && !own.contains_key(other) {
            table.remove(other);
        }
    }
    for (key, value) in own {
        match table.get_mut(key.get_ref().as_ref()) {
            Some(there) => over_value(there, value),
            None => {
                table.insert(key, value);
            }
        }
    }
}

fn over_value<'a>(there: &mut Spanned<DeValue<'a>>, own: Spanned<DeValue<'a>>) {
    let span = own.span();
    match (there.get_mut(), own.into_inner()) {
        (DeValue::Table(table), DeValue::Table(own)) if !own.contains_key("shape") => over(table, own),
        (DeValue::Array(items), DeValue::Array(own)) if all_named(items) && all_named(&own) => {
            for item in own {
                let name = name_of(&item);
                match items.iter_mut().find(|there| name_of(there) == name) {
                    Some(there) => over_value(there, item),
                    None => items.push(item),
                }
            }
        }
        (_, own) => *there = Spanned::new(span, own),
    }
}

fn all_named(items: &DeArray<'_>) -> bool {
    items.iter().all(|item| name_of(item).is_some())
}

fn name_of(item: &Spanned<DeValue<'_>>) -> Option<String> {
    let name = item.get_ref().as_table()?.get("name")?;
    name.get_ref().as_str().map(str::to_owned)
}

/// The same table, all of it at `place`.
fn placed_table<'a>(table: DeTable<'a>, place: &Range<usize>) -> DeTable<'a> {
    let mut placed = DeTable::new();
    for (key, value) in table {
        placed.insert(key_at(key.into_inner(), place), placed_value(value.into_inner(), place));
    }
    placed
}

fn placed_value<'a>(value: DeValue<'a>, place: &Range<usize>) -> Spanned<DeValue<'a>> {
    let value = match value {
        DeValue::Table(table) => DeValue::Table(placed_table(table, place)),
        DeValue::Array(items) => {
            let mut list = DeArray::new();
            for item in items {
                list.push(placed_value(item.into_inner(), place));
            }
            DeValue::Array(list)
        }
        value => value,
    };
    Spanned::new(place.clone(), value)
}

fn key_at<'a>(key: Cow<'a, str>, place: &Range<usize>) -> Spanned<Cow<'a, str>> {
    Spanned::new(place.clone(), key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Override, Scenario};

    const BASE: &str = r#"
        [scenario]
        name = "base"
        description = "what others extend"
        seed = 7
        [[traffic]]
        name = "app"
        events = 100
        arrival = { shape = "constant", rate = "100/s" }
        batch = { size = "1..10" }
        [[traffic]]
        name = "import"
        duration = "3s"
        arrival = { shape = "constant", rate = "10/s" }
        [pipeline]
        partitions = 2
        flush_interval = "500ms"
        [expect]
        quiet = "2s"
    "#;

    fn find(wanted: &str, _: &str) -> Result<Source, String> {
        let text = match wanted {
            "base" => BASE.to_owned(),
            "middle" => "extends = \"base\"\n[scenario]\nname = \"middle\"\ndescription = \"x\"\n[pipeline]\npartitions = 3\ningesters = 2".to_owned(),
            "round" => "extends = \"round\"".to_owned(),
            "broken" => "\n[[[".to_owned(),
            _ => return Err(format!("there is no scenario `{wanted}`")),
        };
        Ok(Source { file: format!("{wanted}.toml"), text })
    }

    fn read(text: &str, overrides: &[Override]) -> Result<Scenario, String> {
        let source = Source { file: "own.toml".into(), text: text.into() };
        Scenario::read_extending(&source, overrides, find).map_err(|problems| problems.to_string())
    }

    const HEAD: &str = "[scenario]\nname = \"own\"\ndescription = \"y\"\n";

    #[test]
    fn what_it_says_itself_goes_over_what_the_other_says() {
        let own = format!(
            "extends = \"base\"\n{HEAD}[[traffic]]\nname = \"app\"\nduration = \"2s\"\n\
             [[traffic]]\nname = \"more\"\nevents = 5\narrival = {{ shape = \"poisson\", rate = \"5/s\" }}\n\
             [pipeline]\npartitions = 5\n"
        );
        let scenario = read(&own, &[]).unwrap();
        assert_eq!((scenario.name.as_str(), scenario.description.as_str(), scenario.seed), ("own", "y", Some(7)));
        let traffic: Vec<_> =
            scenario.traffic.iter().map(|traffic| (traffic.name.as_str(), traffic.events, traffic.batch)).collect();
        assert_eq!(traffic, [("app", 200, (1, 10)), ("import", 30, (1, 1)), ("more", 5, (1, 1))]);
        assert_eq!(scenario.pipeline.partitions, 5);
        assert_eq!(scenario.expect.quiet.as_secs(), 2);
    }

    #[test]
    fn a_shape_takes_its_keys_with_it() {
        let arrival = "arrival = { shape = \"ramp\", from = \"1/s\", to = \"9/s\", over = \"10s\" }";
        let own = format!("extends = \"base\"\n{HEAD}[[traffic]]\nname = \"app\"\nevents = 20\n{arrival}\n");
        let alone = format!(
            "{HEAD}seed = 7\n[[traffic]]\nname = \"app\"\nevents = 20\n{arrival}\nbatch = {{ size = \"1..10\" }}\n[pipeline]\npartitions = 2\n\
             flush_interval = \"500ms\"\n[expect]\nquiet = \"2s\"\n"
        );
        let (own, alone) = (read(&own, &[]).unwrap(), read(&alone, &[]).unwrap());
        assert_eq!(own.traffic[0], alone.traffic[0]);
    }

    #[test]
    fn the_nearest_of_several_wins_and_the_command_line_before_all() {
        let own = format!("extends = \"middle\"\n{HEAD}");
        let pipeline = read(&own, &[]).unwrap().pipeline;
        assert_eq!((pipeline.partitions, pipeline.ingesters), (3, 2));
        let change = Override { key: "pipeline.partitions".into(), value: "4".into() };
        assert_eq!(read(&own, &[change]).unwrap().pipeline.partitions, 4);
    }

    #[test]
    fn what_is_wrong_is_said_at_its_place() {
        let wrong = |text: &str, part: &str| {
            let said = read(text, &[]).unwrap_err();
            assert!(said.contains(part), "{said}");
        };
        wrong("extends = \"none\"", "own.toml:1: extends: there is no scenario `none`");
        wrong("extends = \"round\"", "own.toml:1: extends: `round` extends itself in the end");
        wrong("\nextends = \"broken\"", "own.toml:2: extends: broken.toml:2: ");
        wrong("extends = \"base\"", "own.toml:1: scenario.name: is missing");
        wrong("extends = 3", "own.toml:1: extends: must be a string");
        // A value of the other that does not go with one of ours.
        wrong(
            &format!("{HEAD}[pipeline]\nflush_interval = \"1s\"\n").replacen(
                "[scenario]",
                "extends = \"base\"\n[scenario]",
                1,
            ),
            "own.toml:1: expect.quiet: must be at least four times",
        );
    }
}
