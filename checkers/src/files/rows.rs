//! `rows.jsonl`: the final read, a line a physical row.

use std::{collections::HashMap, io::BufRead};

use serde::{Deserialize, Serialize};

use super::{
    SentFile,
    line::{self, FileError, Line},
    parts::{PARTS, Parts, records},
    sent::Columns,
};

const KEYS: &[&str] = &["id", "tenant", "key", "row"];

/// What the final read found.
#[derive(Debug)]
pub struct RowsFile {
    /// Every row, by its id.
    pub(super) by_id: Parts,
    /// How many lines there were.
    pub(super) raw_rows: u64,
    /// How many of them equal keys remove.
    pub(super) removed: u64,
    /// Whether some row holds columns.
    pub(super) holds_columns: bool,
    /// Whether some row names a tenant.
    pub(super) holds_tenants: bool,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Row<'a> {
    /// Where it is.
    pub line: u64,
    pub id: &'a str,
    /// Whether a later row of the same key removes it; then nothing of it is known but the id.
    pub removed: bool,
    pub tenant: Option<&'a str>,
    /// Its columns, as far as some event expects them.
    #[serde(borrow)]
    pub columns: Option<Columns<'a>>,
}

/// A line with a key.
#[derive(Debug, Serialize, Deserialize)]
struct Keyed<'a> {
    key: &'a str,
    #[serde(borrow)]
    row: Row<'a>,
}

impl RowsFile {
    /// Reads it from `input`; `file` is its name in errors. Of its columns those are kept that `sent` expects.
    ///
    /// # Errors
    /// When a line is wrong, the file cannot be read, or a temporary one cannot be written.
    pub fn read(file: &str, input: impl BufRead, sent: &SentFile) -> Result<Self, FileError> {
        let mut rows =
            Self { by_id: Parts::new(), raw_rows: 0, removed: 0, holds_columns: false, holds_tenants: false };
        let mut by_key = Parts::new();
        line::each(file, input, KEYS, |line| rows.add(&line, sent, &mut by_key))?;
        for part in 0..PARTS {
            rows.merge(&by_key.part(part)?)?;
        }
        Ok(rows)
    }

    fn add(&mut self, line: &Line<'_>, sent: &SentFile, by_key: &mut Parts) -> Result<(), FileError> {
        let id = line.required("id")?;
        let (tenant, columns) = (line.text("tenant")?, line.object("row")?);
        self.raw_rows += 1;
        self.holds_columns |= columns.is_some();
        self.holds_tenants |= tenant.is_some();
        let expected = columns.as_ref().map(|columns| {
            let expected = columns.iter().filter(|(column, _)| sent.columns.contains(*column));
            expected.map(|(column, value)| (column.as_str(), value.get())).collect()
        });
        let row = Row { line: line.number(), id: &id, removed: false, tenant: tenant.as_deref(), columns: expected };
        match line.text("key")? {
            Some(key) => by_key.put(&key, &Keyed { key: &key, row }),
            None => self.by_id.put(&id, &row),
        }
    }

    /// Of the rows with one key, whatever their ids, the last stays.
    fn merge(&mut self, part: &[u8]) -> Result<(), FileError> {
        let mut last = HashMap::new();
        for keyed in records(part) {
            let Keyed { key, row } = keyed?;
            last.insert(key, row.line);
        }
        for keyed in records(part) {
            let Keyed { key, mut row } = keyed?;
            if last.get(key) != Some(&row.line) {
                self.removed += 1;
                row = Row { removed: true, tenant: None, columns: None, ..row };
            }
            self.by_id.put(row.id, &row)?;
        }
        Ok(())
    }
}
