//! `reads.jsonl`: earlier reads, a line each with all the ids that it saw.

use std::io::BufRead;

use serde::{Deserialize, Serialize};

use super::{line::FileError, parts::Parts, read_line, span::Span};
use crate::reconcile::story::Micros;

/// The reads, in the order of their starts.
#[derive(Debug)]
pub struct ReadsFile {
    /// When each began and ended.
    pub(super) spans: Vec<(Micros, Micros)>,
    /// The place of each line among `spans`.
    order: Vec<u32>,
    /// Every id of every read.
    pub(super) seen: Parts,
    /// Whether the last read saw nothing at all.
    pub(super) last_is_empty: bool,
    /// From the first start to the last end.
    pub(super) span: Span,
}

/// An id in a read.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SeenId<'a> {
    pub id: &'a str,
    /// The line, from 0.
    line: u32,
    /// Its place in the list.
    place: u64,
}

impl ReadsFile {
    /// Reads it from `input`; `file` is its name in errors.
    ///
    /// # Errors
    /// When a line is wrong, the file cannot be read, or a temporary one cannot be written.
    pub fn read(file: &str, mut input: impl BufRead) -> Result<Self, FileError> {
        let mut seen = Parts::new();
        // When each began and ended, and how many ids it saw.
        let mut lines: Vec<(Micros, Micros, u64)> = Vec::new();
        loop {
            let line = lines.len() as u32;
            let mut place = 0;
            let take = |id: &str| {
                seen.put(id, &SeenId { id, line, place })?;
                place += 1;
                Ok(())
            };
            let Some((start, end)) = read_line::read(file, u64::from(line) + 1, &mut input, take)? else { break };
            lines.push((start, end, place));
        }
        let mut by_start: Vec<usize> = (0..lines.len()).collect();
        // Of two that began together the later line is the later read.
        by_start.sort_by_key(|line| lines[*line].0);
        let mut reads =
            Self { spans: Vec::new(), order: vec![0; lines.len()], seen, last_is_empty: false, span: Span::default() };
        for line in by_start {
            let (start, end, ids) = lines[line];
            reads.order[line] = reads.spans.len() as u32;
            reads.spans.push((start, end));
            reads.last_is_empty = ids == 0;
            reads.span.send(Some(start));
            reads.span.end(Some(end));
        }
        Ok(reads)
    }

    /// The place of the read that saw an id among `spans`.
    pub(super) fn place(&self, seen: &SeenId<'_>) -> u32 {
        self.order.get(seen.line as usize).copied().unwrap_or_default()
    }
}

impl SeenId<'_> {
    /// Where it stands in the file.
    pub fn place(&self) -> (u64, u64) {
        (u64::from(self.line), self.place)
    }
}
