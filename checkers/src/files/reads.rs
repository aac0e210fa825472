//! `reads.jsonl`: earlier reads, a line each with all the ids that it saw.

use std::{collections::HashMap, io::BufRead};

use super::{
    Ids, SentFile,
    line::{self, FileError, Line},
};
use crate::reconcile::story::Micros;

const KEYS: &[&str] = &["start", "end", "ids"];

/// The reads, in the order of their starts.
#[derive(Debug, Default)]
pub struct ReadsFile {
    /// When each began and ended.
    pub(super) spans: Vec<(Micros, Micros)>,
    /// The reads that saw an id, by its number among those that were sent, in ascending order.
    pub(super) seen_by: HashMap<u32, Vec<u32>>,
    /// Ids that nobody has sent, in their order.
    pub(super) strangers: Ids,
    /// Whether the last read saw nothing at all.
    pub(super) last_is_empty: bool,
}

impl ReadsFile {
    /// Reads it from `input`; `file` is its name in errors.
    ///
    /// # Errors
    /// When a line is wrong, or the file cannot be read.
    pub fn read(file: &str, input: impl BufRead, sent: &SentFile) -> Result<Self, FileError> {
        let mut lines: Vec<(Micros, Micros, Vec<u32>, bool)> = Vec::new();
        let mut strangers = Ids::default();
        line::each(file, input, KEYS, |line| {
            lines.push(read(&line, sent, &mut strangers)?);
            Ok(())
        })?;
        // Of two that began together the later line is the later read.
        lines.sort_by_key(|(start, ..)| *start);
        let mut reads =
            Self { strangers, last_is_empty: lines.last().is_some_and(|(.., empty)| *empty), ..Self::default() };
        for (number, (start, end, ids, _)) in lines.into_iter().enumerate() {
            reads.spans.push((start, end));
            for id in ids {
                let seen_by = reads.seen_by.entry(id).or_default();
                if seen_by.last() != Some(&(number as u32)) {
                    seen_by.push(number as u32);
                }
            }
        }
        Ok(reads)
    }
}

fn read(line: &Line<'_>, sent: &SentFile, strangers: &mut Ids) -> Result<(Micros, Micros, Vec<u32>, bool), FileError> {
    let start = line.moment("start")?.ok_or_else(|| line.missing("start"))?;
    let end = line.moment("end")?.ok_or_else(|| line.missing("end"))?;
    if end < start {
        return Err(line.wrong("end", "lies before `start`"));
    }
    let raw = line.raw("ids").ok_or_else(|| line.missing("ids"))?;
    let names: Vec<String> = serde_json::from_str(raw).map_err(|_| line.wrong("ids", "must be a list of strings"))?;
    let empty = names.is_empty();
    let mut ids = Vec::with_capacity(names.len());
    for name in names {
        match sent.ids.get(&name) {
            Some(id) => ids.push(id),
            None => {
                strangers.number(&name);
            }
        }
    }
    Ok((start, end, ids, empty))
}
