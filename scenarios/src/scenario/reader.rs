//! Reading TOML key by key: what is not asked for is refused, and no problem hides another.
//!
//! A [`Section`] is a table of the file. Whoever reads it asks for each key by name and ends it with [`Section::end`],
//! which refuses what nobody asked for.

#[cfg(test)]
pub(super) mod asked;

use std::{borrow::Cow, cell::RefCell, collections::BTreeSet, ops::RangeInclusive, rc::Rc};

use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::{
    Override,
    extend::{self, Source},
    problem::{Problem, Problems},
};

type Sink = Rc<RefCell<Vec<Problem>>>;

/// A table of the file.
pub struct Section<'a> {
    path: String,
    table: Option<&'a DeTable<'a>>,
    /// Where a missing key belongs.
    span: Option<std::ops::Range<usize>>,
    asked: BTreeSet<&'static str>,
    problems: Sink,
    before: usize,
}

/// Reads `source` with `overrides` applied: parses it, hands the root to `read`, and returns what that made unless there
/// was a problem.
///
/// # Errors
/// Every problem there is.
pub fn read<T>(
    file: &str,
    source: &str,
    overrides: &[Override],
    read: impl FnOnce(Section<'_>) -> T,
) -> Result<T, Problems> {
    read_over(file, source, &Ok(Vec::new()), overrides, read)
}

/// As [`read`], over the `bases` that the file extends, or what is wrong with its naming them.
///
/// # Errors
/// Every problem there is.
pub fn read_over<T>(
    file: &str,
    source: &str,
    bases: &Result<Vec<Source>, String>,
    overrides: &[Override],
    read: impl FnOnce(Section<'_>) -> T,
) -> Result<T, Problems> {
    let problems: Sink = Rc::default();
    let (mut root, errors) = DeTable::parse_recoverable(source);
    for error in errors {
        let (key, what) = (String::new(), error.message().to_owned());
        problems.borrow_mut().push(Problem { key, span: error.span().or(Some(0..0)), what });
    }
    let place = root.get_ref().get(extend::KEY).map(Spanned::span);
    let merged = match (root.get_ref().get(extend::KEY).map(|value| text(value.get_ref())), bases) {
        (None, _) => Ok(()),
        (Some(Ok(_)), Ok(bases)) => extend::merge(root.get_mut(), bases),
        (Some(Ok(_)), Err(what)) => Err(what.clone()),
        (Some(Err(what)), _) => Err(what),
    };
    if let Err(what) = merged {
        problems.borrow_mut().push(Problem { key: extend::KEY.into(), span: place, what });
    }
    if problems.borrow().is_empty() {
        for change in overrides {
            if let Err(what) = apply(root.get_mut(), change) {
                problems.borrow_mut().push(Problem { key: change.key.clone(), span: None, what });
            }
        }
        let section = Section {
            path: String::new(),
            table: Some(root.get_ref()),
            span: Some(0..0),
            asked: BTreeSet::new(),
            problems: Rc::clone(&problems),
            before: 0,
        };
        let made = read(section);
        if problems.borrow().is_empty() {
            return Ok(made);
        }
    }
    let all = problems.take();
    Err(Problems::new(file, source, all))
}

/// A span that stands for the command line.
const FROM_COMMAND_LINE: std::ops::Range<usize> = usize::MAX..usize::MAX;

fn apply(root: &mut DeTable<'_>, change: &Override) -> Result<(), String> {
    let parsed = DeValue::parse(&change.value).ok().map(|mut value| {
        value.get_mut().make_owned();
        owned(value.into_inner())
    });
    let value = parsed.unwrap_or_else(|| DeValue::String(Cow::Owned(change.value.clone())));
    let mut steps: Vec<&str> = change.key.split('.').collect();
    let last = steps.pop().filter(|last| !last.is_empty()).ok_or("is no key: write SECTION.KEY=VALUE")?;
    let mut table = root;
    let mut steps = steps.into_iter();
    while let Some(step) = steps.next() {
        let key = Spanned::new(FROM_COMMAND_LINE, Cow::Owned(step.to_owned()));
        let entry = table
            .entry(key)
            .or_insert_with(|| Spanned::new(FROM_COMMAND_LINE, DeValue::Table(DeTable::new())))
            .get_mut();
        table = match entry {
            DeValue::Table(table) => table,
            DeValue::Array(items) => {
                let wanted = steps.next().ok_or("names a list: add which one, by its `name` or its number from 0")?;
                let place = items.iter().position(|item| {
                    item.get_ref()
                        .as_table()
                        .and_then(|table| table.get("name"))
                        .and_then(|name| name.get_ref().as_str())
                        == Some(wanted)
                });
                let place = place.or_else(|| wanted.parse().ok());
                match place.and_then(|place| items.get_mut(place)).map(Spanned::get_mut) {
                    Some(DeValue::Table(table)) => table,
                    _ => return Err(format!("has no `{wanted}`")),
                }
            }
            _ => return Err(format!("`{step}` is a value, not a section")),
        };
    }
    table.insert(Spanned::new(FROM_COMMAND_LINE, Cow::Owned(last.to_owned())), Spanned::new(FROM_COMMAND_LINE, value));
    Ok(())
}

/// The value without its borrow; spans inside become the command line's.
fn owned<'a>(value: DeValue<'_>) -> DeValue<'a> {
    match value {
        DeValue::String(text) => DeValue::String(Cow::Owned(text.into_owned())),
        DeValue::Boolean(value) => DeValue::Boolean(value),
        DeValue::Datetime(value) => DeValue::Datetime(value),
        DeValue::Array(items) => {
            let mut list = DeArray::new();
            for item in items {
                list.push(Spanned::new(FROM_COMMAND_LINE, owned(item.into_inner())));
            }
            DeValue::Array(list)
        }
        DeValue::Table(members) => {
            let mut table = DeTable::new();
            for (key, value) in members {
                let key = Spanned::new(FROM_COMMAND_LINE, Cow::Owned(key.into_inner().into_owned()));
                table.insert(key, Spanned::new(FROM_COMMAND_LINE, owned(value.into_inner())));
            }
            DeValue::Table(table)
        }
        // Numbers are read from their text where they are asked for.
        DeValue::Integer(number) => DeValue::String(Cow::Owned(number.as_str().to_owned())),
        DeValue::Float(number) => DeValue::String(Cow::Owned(number.as_str().to_owned())),
    }
}

impl<'a> Section<'a> {
    /// Reads `key` if it is there.
    pub fn optional<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&DeValue<'a>) -> Result<T, String>,
    ) -> Option<T> {
        self.ask(key);
        let value = self.table?.get(key)?;
        match parse(value.get_ref()) {
            Ok(parsed) => Some(parsed),
            Err(what) => {
                self.note(key, value.span(), what);
                None
            }
        }
    }

    /// Reads `key`, which must be there.
    pub fn required<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&DeValue<'a>) -> Result<T, String>,
    ) -> Option<T> {
        if !self.mentions(key) {
            self.problem(key, "is missing");
        }
        self.optional(key, parse)
    }

    /// The table under `key`; an empty one if there is none.
    pub fn section(&mut self, key: &'static str) -> Section<'a> {
        self.ask(key);
        let value = self.table.and_then(|table| table.get(key));
        let table = value.and_then(|value| match value.get_ref() {
            DeValue::Table(table) => Some(table),
            other => {
                self.note(key, value.span(), format!("must be a table, not {}", other.type_str()));
                None
            }
        });
        self.inner(key.to_owned(), table, value.map(Spanned::span).or(self.span.clone()))
    }

    /// The table under `key`, which must be there.
    pub fn required_section(&mut self, key: &'static str) -> Section<'a> {
        if !self.mentions(key) {
            self.problem(key, "is missing");
        }
        self.section(key)
    }

    /// The tables of the list under `key`, each called by its name where it has one.
    pub fn sections(&mut self, key: &'static str) -> Vec<Section<'a>> {
        self.ask(key);
        let Some(value) = self.table.and_then(|table| table.get(key)) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.note(key, value.span(), format!("is a list: write [[{key}]]"));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (place, item) in items.iter().enumerate() {
            match item.get_ref() {
                DeValue::Table(table) => {
                    let name = table.get("name").and_then(|name| name.get_ref().as_str());
                    let name = name.map_or_else(|| place.to_string(), str::to_owned);
                    sections.push(self.inner(format!("{key}.{name}"), Some(table), Some(item.span())));
                }
                other => self.note(key, item.span(), format!("must be a table, not {}", other.type_str())),
            }
        }
        sections
    }

    fn ask(&mut self, key: &'static str) {
        #[cfg(test)]
        asked::note(&self.path, key);
        self.asked.insert(key);
    }

    fn inner(&self, key: String, table: Option<&'a DeTable<'a>>, span: Option<std::ops::Range<usize>>) -> Section<'a> {
        let path = if self.path.is_empty() { key } else { format!("{}.{key}", self.path) };
        let before = self.problems.borrow().len();
        Section { path, table, span, asked: BTreeSet::new(), problems: Rc::clone(&self.problems), before }
    }

    /// Whether the file has this key.
    pub fn mentions(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Whether a problem was noted since this section began.
    pub fn has_problem(&self) -> bool {
        self.problems.borrow().len() > self.before
    }

    /// Notes a problem with `key`, at its place if it is there.
    pub fn problem(&mut self, key: &str, what: &str) {
        let span = self.table.and_then(|table| table.get(key)).map(Spanned::span).or(self.span.clone());
        self.note(key, span.unwrap_or_default(), what.to_owned());
    }

    fn note(&self, key: &str, span: std::ops::Range<usize>, what: String) {
        let key = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        let span = Some(span).filter(|span| *span != FROM_COMMAND_LINE);
        self.problems.borrow_mut().push(Problem { key, span, what });
    }

    /// Refuses every key that nobody asked for.
    pub fn end(self) {
        let Some(table) = self.table else { return };
        for key in table.keys().filter(|key| !self.asked.contains(key.get_ref().as_ref())) {
            let hint = match nearest(key.get_ref(), self.asked.iter().copied(), 3) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("known here: {}", self.asked.iter().copied().collect::<Vec<_>>().join(", ")),
            };
            self.note(key.get_ref(), key.span(), format!("there is no such key; {hint}"));
        }
    }
}

/// The one of `known` that is nearest to `word`, if no more than `most` letters make the difference.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>, most: usize) -> Option<&'a str> {
    let near = known.into_iter().map(|known| (distance(known, word), known)).min_by_key(|(letters, _)| *letters);
    near.filter(|(letters, _)| *letters <= most).map(|(_, known)| known)
}

/// Levenshtein's distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, r) in right.iter().enumerate() {
            let cost = if l == *r { diagonal } else { 1 + diagonal.min(row[j]).min(row[j + 1]) };
            diagonal = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row[right.len()]
}

/// Reads a string.
///
/// # Errors
/// When it is something else.
pub fn text(value: &DeValue<'_>) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("must be a string, not {}", value.type_str()))
}

/// Reads `true` or `false`.
///
/// # Errors
/// What is wrong, for people.
pub fn flag(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("must be true or false, not {}", value.type_str()))
}

/// Reads a whole number in `range`.
pub fn whole(range: RangeInclusive<u64>) -> impl FnOnce(&DeValue<'_>) -> Result<u64, String> {
    move |value| {
        let wrong = || format!("must be a whole number from {} to {}", range.start(), range.end());
        let digits = match value {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::String(text) => text,
            _ => return Err(wrong()),
        };
        digits.replace('_', "").parse().ok().filter(|number| range.contains(number)).ok_or_else(wrong)
    }
}

/// Reads one of some words.
pub fn words<T: Copy>(choices: &[(&'static str, T)]) -> impl FnOnce(&DeValue<'_>) -> Result<Vec<T>, String> {
    move |value| {
        let list = value.as_array().ok_or_else(|| format!("must be a list of words: {}", told(choices)))?;
        list.iter().map(|word| choice(choices)(word.get_ref())).collect()
    }
}

/// What some words are, for people.
pub(super) fn told<T>(choices: &[(&'static str, T)]) -> String {
    let words: Vec<String> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    words.join(" or ")
}

/// The words alone.
pub fn words_of<T>(choices: &[(&'static str, T)]) -> Vec<&'static str> {
    choices.iter().map(|(word, _)| *word).collect()
}

/// One of some words.
pub fn choice<T: Copy>(choices: &[(&'static str, T)]) -> impl FnOnce(&DeValue<'_>) -> Result<T, String> {
    move |value| {
        let wrong = || format!("must be {}", told(choices));
        let said = text(value).map_err(|_| wrong())?;
        choices.iter().find(|(word, _)| *word == said).map(|(_, choice)| *choice).ok_or_else(wrong)
    }
}
