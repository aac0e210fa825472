//! `rows.jsonl`: the final read, a line a physical row.

use std::{collections::HashMap, io::BufRead};

use super::{
    Ids, SentFile,
    line::{self, Columns, FileError, Line},
};

const KEYS: &[&str] = &["id", "tenant", "key", "row"];

/// What the final read found, after removing the rows that equal keys remove.
#[derive(Debug, Default)]
pub struct RowsFile {
    /// Rows that stay, by the number of their id among those that were sent.
    pub(super) rows: HashMap<u32, Vec<FileRow>>,
    /// Ids that nobody has sent, in their order.
    pub(super) strangers: Ids,
    /// How many lines there were.
    pub(super) raw_rows: u64,
    /// How many of them equal keys remove.
    pub(super) removed: u64,
    /// Whether some row holds columns.
    pub(super) holds_columns: bool,
    /// Whether some row names a tenant.
    pub(super) holds_tenants: bool,
}

/// A row that stays.
#[derive(Debug)]
pub(super) struct FileRow {
    pub tenant: Option<Box<str>>,
    pub columns: Option<Columns>,
}

/// Which row holds a key so far.
type Keys = HashMap<Box<str>, usize>;

impl RowsFile {
    /// Reads it from `input`; `file` is its name in errors.
    ///
    /// # Errors
    /// When a line is wrong, or the file cannot be read.
    pub fn read(file: &str, input: impl BufRead, sent: &SentFile) -> Result<Self, FileError> {
        let mut rows = Self::default();
        // Each row with its id, or none where a later row of the same key has removed it.
        let mut all: Vec<Option<(Option<u32>, FileRow)>> = Vec::new();
        let mut keys = Keys::new();
        line::each(file, input, KEYS, |line| rows.add(&line, sent, &mut all, &mut keys))?;
        for (id, row) in all.into_iter().flatten() {
            if let Some(id) = id {
                rows.rows.entry(id).or_default().push(row);
            }
        }
        Ok(rows)
    }

    fn add(
        &mut self,
        line: &Line<'_>,
        sent: &SentFile,
        all: &mut Vec<Option<(Option<u32>, FileRow)>>,
        keys: &mut Keys,
    ) -> Result<(), FileError> {
        let name = line.required("id")?;
        let id = sent.ids.get(&name);
        if id.is_none() {
            self.strangers.number(&name);
        }
        let row = FileRow { tenant: line.text("tenant")?.map(Into::into), columns: line.object("row")? };
        self.raw_rows += 1;
        self.holds_columns |= row.columns.is_some();
        self.holds_tenants |= row.tenant.is_some();
        if let Some(key) = line.text("key")?
            && let Some(before) = keys.insert(key.into(), all.len())
        {
            all[before] = None;
            self.removed += 1;
        }
        all.push(Some((id, row)));
        Ok(())
    }
}
