//! One line of `reads.jsonl`, whose ids are taken one by one: a read may have seen more of them than memory holds.

use std::{
    fmt,
    io::{self, BufRead, Read},
};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    line::{FileError, json_error},
    moment::moment_of_json,
};
use crate::reconcile::story::Micros;

/// Reads a line, and hands its ids to `take`: when the read began and ended, or nothing at the end of `input`. `file` and
/// `number` are for errors.
///
/// # Errors
/// When the line is wrong, the file cannot be read, or `take` fails.
pub(super) fn read(
    file: &str,
    number: u64,
    input: &mut impl BufRead,
    mut take: impl FnMut(&str) -> Result<(), FileError>,
) -> Result<Option<(Micros, Micros)>, FileError> {
    let failed = |source| FileError::Io { file: file.to_owned(), source };
    if input.fill_buf().map_err(failed)?.is_empty() {
        return Ok(None);
    }
    let wrong = |key: Option<String>, what: String| FileError::Wrong { file: file.to_owned(), line: number, key, what };
    let missing = |key: &str| wrong(Some(key.to_owned()), "is missing".into());
    let mut line = OneLine { input, ended: false, blank: true, failed: None };
    let mut found = Found::default();
    let mut deserializer = serde_json::Deserializer::from_reader(&mut line);
    let members = Members { take: &mut take, found: &mut found };
    let read = deserializer.deserialize_map(members).and_then(|()| deserializer.end());
    if let Some(source) = line.failed {
        return Err(failed(source));
    }
    if let Some(error) = found.failed {
        return Err(error);
    }
    match read {
        Err(_) if line.blank => Err(wrong(None, "is empty; each line must hold a JSON object".into())),
        Err(error) if error.is_data() => match found.wrong {
            Some((key, what)) => Err(wrong(Some(key), what)),
            None => Err(wrong(None, json_error(&error))),
        },
        Err(error) => Err(wrong(None, json_error(&error))),
        Ok(()) => {
            let start = found.start.ok_or_else(|| missing("start"))?;
            let end = found.end.ok_or_else(|| missing("end"))?;
            if !found.ids {
                return Err(missing("ids"));
            }
            if end < start {
                return Err(wrong(Some("end".into()), "lies before `start`".into()));
            }
            Ok(Some((start, end)))
        }
    }
}

/// The bytes up to the end of the line, and no further.
struct OneLine<'a, R> {
    input: &'a mut R,
    ended: bool,
    /// Whether all of it was white so far.
    blank: bool,
    failed: Option<io::Error>,
}

impl<R: BufRead> Read for OneLine<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        let held = match self.input.fill_buf() {
            Ok(held) => held,
            Err(error) => {
                // It is told as what it is, and not as what the parser makes of it.
                self.failed = Some(error);
                self.ended = true;
                return Ok(0);
            }
        };
        let length = held.len().min(buffer.len());
        let rest = memchr::memchr(b'\n', &held[..length]);
        let taken = rest.unwrap_or(length);
        buffer[..taken].copy_from_slice(&held[..taken]);
        self.blank = self.blank && held[..taken].trim_ascii().is_empty();
        self.ended = rest.is_some() || held.is_empty();
        self.input.consume(taken + usize::from(rest.is_some()));
        Ok(taken)
    }
}

/// What a line held so far.
#[derive(Debug, Default)]
struct Found {
    start: Option<Micros>,
    end: Option<Micros>,
    ids: bool,
    /// The key that is wrong, and what is wrong with it.
    wrong: Option<(String, String)>,
    /// An id could not be taken.
    failed: Option<FileError>,
}

struct Members<'a, T> {
    take: &'a mut T,
    found: &'a mut Found,
}

impl<'de, T: FnMut(&str) -> Result<(), FileError>> Visitor<'de> for Members<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { take, found } = self;
        while let Some(key) = map.next_key::<String>()? {
            let is_known = match key.as_str() {
                "start" => found.start.is_none(),
                "end" => found.end.is_none(),
                "ids" => !found.ids,
                _ => {
                    found.wrong = Some((key, "there is no such key; the keys are start, end, ids".into()));
                    return Err(A::Error::custom("unknown key"));
                }
            };
            if !is_known {
                return Err(A::Error::custom(format!("{key}: this key is there twice")));
            }
            if key == "ids" {
                found.ids = true;
                // If they are something else.
                found.wrong = Some((key, "must be a list of strings".into()));
                map.next_value_seed(Ids { take: &mut *take, failed: &mut found.failed })?;
                found.wrong = None;
                continue;
            }
            let value: Box<RawValue> = map.next_value()?;
            match moment_of_json(value.get()) {
                Ok(moment) if key == "start" => found.start = Some(moment),
                Ok(moment) => found.end = Some(moment),
                Err(what) => {
                    found.wrong = Some((key, what));
                    return Err(A::Error::custom("no moment"));
                }
            }
        }
        Ok(())
    }
}

/// The list of ids, or one of them.
struct Ids<'a, T> {
    take: &'a mut T,
    failed: &'a mut Option<FileError>,
}

impl<'de, T: FnMut(&str) -> Result<(), FileError>> DeserializeSeed<'de> for Ids<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: FnMut(&str) -> Result<(), FileError>> Visitor<'de> for Ids<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { take, failed } = self;
        while seq.next_element_seed(Id(Ids { take: &mut *take, failed: &mut *failed }))?.is_some() {}
        Ok(())
    }
}

struct Id<'a, T>(Ids<'a, T>);

impl<'de, T: FnMut(&str) -> Result<(), FileError>> DeserializeSeed<'de> for Id<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<T: FnMut(&str) -> Result<(), FileError>> Visitor<'_> for Id<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, id: &str) -> Result<(), E> {
        (self.0.take)(id).map_err(|error| {
            *self.0.failed = Some(error);
            E::custom("an id could not be taken")
        })
    }
}
