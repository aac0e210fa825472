//! Lines of JSON objects, read strictly: a key that is unknown, missing or there twice is an error with its place.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, BufRead},
};

use generators::journal::ReadError;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::moment::moment_of_json;
use crate::reconcile::story::Micros;

/// Objects and arrays may lie in each other so deep.
const DEPTH: usize = 256;

/// A file could not be taken for what it should be.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A line is wrong.
    #[error("{file}:{line}: {}{what}", key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default())]
    Wrong {
        /// The file, as the user named it.
        file: String,
        /// The line, from 1.
        line: u64,
        /// The key, where it is one.
        key: Option<String>,
        /// What is wrong with it.
        what: String,
    },
    /// The file could not be read.
    #[error("{file} could not be read")]
    Io {
        /// The file, as the user named it.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// What memory does not hold could not be put aside.
    #[error(transparent)]
    PutAside(#[from] ReadError),
}

/// One line's object. Every key must be taken; [`Line::end`] refuses those that were not.
pub(super) struct Line<'a> {
    file: &'a str,
    number: u64,
    members: BTreeMap<String, &'a RawValue>,
    known: &'static [&'static str],
}

/// Reads `input` line by line and hands each object, whose keys must be among `known`, to `take`.
pub(super) fn each(
    file: &str,
    mut input: impl BufRead,
    known: &'static [&'static str],
    mut take: impl FnMut(Line<'_>) -> Result<(), FileError>,
) -> Result<(), FileError> {
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        let read =
            input.read_until(b'\n', &mut bytes).map_err(|source| FileError::Io { file: file.to_owned(), source })?;
        if read == 0 {
            break;
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        let wrong = |what: String| FileError::Wrong { file: file.to_owned(), line: number, key: None, what };
        let text = std::str::from_utf8(&bytes).map_err(|error| wrong(format!("is no UTF-8: {error}")))?;
        if text.trim().is_empty() {
            return Err(wrong("is empty; each line must hold a JSON object".into()));
        }
        let Members(members) = serde_json::from_str(text).map_err(|error| wrong(json_error(&error)))?;
        for (key, value) in &members {
            once(value.get(), DEPTH).map_err(|what| FileError::Wrong {
                file: file.to_owned(),
                line: number,
                key: Some(key.clone()),
                what,
            })?;
        }
        let line = Line { file, number, members, known };
        if let Some(key) = line.members.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(line.wrong(key, format!("there is no such key; the keys are {}", known.join(", "))));
        }
        take(line)?;
    }
    Ok(())
}

/// What the parser says, without its own line number, which is always 1.
pub(super) fn json_error(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    if error.is_data() { text.to_owned() } else { format!("is no JSON object: {text}, at column {}", error.column()) }
}

impl<'a> Line<'a> {
    /// An error about `key`.
    pub(super) fn wrong(&self, key: &str, what: impl Into<String>) -> FileError {
        FileError::Wrong { file: self.file.to_owned(), line: self.number, key: Some(key.to_owned()), what: what.into() }
    }

    /// The value of `key`, as source text.
    pub(super) fn raw(&self, key: &'static str) -> Option<&'a str> {
        debug_assert!(self.known.contains(&key), "{key}");
        self.members.get(key).map(|value| value.get())
    }

    /// A string.
    pub(super) fn text(&self, key: &'static str) -> Result<Option<String>, FileError> {
        self.raw(key)
            .map(|raw| serde_json::from_str(raw).map_err(|_| self.wrong(key, format!("must be a string, not {raw}"))))
            .transpose()
    }

    /// A string that must be there.
    pub(super) fn required(&self, key: &'static str) -> Result<String, FileError> {
        self.text(key)?.ok_or_else(|| self.missing(key))
    }

    /// The error for a key that must be there.
    pub(super) fn missing(&self, key: &str) -> FileError {
        self.wrong(key, "is missing")
    }

    /// A moment: seconds as a number, or RFC 3339.
    pub(super) fn moment(&self, key: &'static str) -> Result<Option<Micros>, FileError> {
        let Some(raw) = self.raw(key) else { return Ok(None) };
        moment_of_json(raw).map(Some).map_err(|what| self.wrong(key, what))
    }

    /// An object: its members as source text.
    pub(super) fn object(&self, key: &'static str) -> Result<Option<BTreeMap<String, &'a RawValue>>, FileError> {
        let Some(raw) = self.raw(key) else { return Ok(None) };
        let Members(members) =
            serde_json::from_str(raw).map_err(|_| self.wrong(key, format!("must be an object, not {raw}")))?;
        Ok(Some(members))
    }

    /// Its number, from 1.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }
}

/// The members of an object, each key once.
struct Members<'a>(BTreeMap<String, &'a RawValue>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;
        impl<'de> Visitor<'de> for Once {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if members.contains_key(&key) {
                        return Err(A::Error::custom(format!("{key}: this key is there twice")));
                    }
                    members.insert(key, value);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Once)
    }
}

/// Whether no object in `raw` has a key twice.
fn once(raw: &str, depth: usize) -> Result<(), String> {
    let Some(deeper) = depth.checked_sub(1) else { return Err(format!("lies more than {DEPTH} deep")) };
    let told = |error: serde_json::Error| error.to_string().split(" at line ").next().unwrap_or_default().to_owned();
    match raw.as_bytes().first() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(raw).map_err(told)?;
            members.values().try_for_each(|value| once(value.get(), deeper))
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(raw).map_err(told)?;
            elements.iter().try_for_each(|value| once(value.get(), deeper))
        }
        _ => Ok(()),
    }
}
