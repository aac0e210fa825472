//! Running what was asked: on a connection of its own, in chunks where the engine gives chunks.

use tokio::sync::mpsc;

use super::{
    library::{Connection, Engine, EngineError},
    request::Asked,
};

/// What a running query tells.
#[derive(Debug)]
pub enum Told {
    /// A part of the result.
    Chunk(Vec<u8>),
    /// It failed; what came before is not the whole result.
    Failed(String),
}

/// Runs `asked`, telling chunks as they come; blocks. The channel closes at the end of a whole result. When nobody listens
/// any more, the query is cancelled.
pub fn run(engine: &Engine, asked: &Asked, tell: &mpsc::Sender<Told>) {
    if let Err(error) = try_run(engine, asked, tell) {
        // Whoever has stopped listening has no use for the error.
        let _ = tell.blocking_send(Told::Failed(error.to_string()));
    }
}

fn try_run(engine: &Engine, asked: &Asked, tell: &mpsc::Sender<Told>) -> Result<(), EngineError> {
    // A connection for this request alone: settings and streams cannot leak into another's.
    let mut connection = engine.connect()?;
    set_up(&mut connection, asked)?;
    let format = asked.format.as_deref().unwrap_or("TabSeparated");
    if let Some(streamed) = streamed(&asked.query, format) {
        match connection.stream(&asked.query, format) {
            Ok(mut stream) => {
                let mut first = true;
                while let Some(answer) = stream.next_chunk()? {
                    // The engine begins every chunk as if it were a result of its own.
                    let skipped = if first { 0 } else { streamed.header_length(&answer.bytes)? };
                    first = false;
                    let mut bytes = answer.bytes;
                    bytes.drain(..skipped);
                    if tell.blocking_send(Told::Chunk(bytes)).is_err() {
                        return Ok(());
                    }
                }
                return Ok(());
            }
            // Among what begins like a SELECT the engine streams not everything, and says so before it does anything.
            Err(EngineError::Query(text)) if text.contains("Streaming query is not supported") => (),
            Err(error) => return Err(error),
        }
    }
    let answer = connection.query(&asked.query, format)?;
    if !answer.bytes.is_empty() {
        let _ = tell.blocking_send(Told::Chunk(answer.bytes));
    }
    Ok(())
}

fn set_up(connection: &mut Connection, asked: &Asked) -> Result<(), EngineError> {
    if let Some(database) = &asked.database {
        connection.query(format!("USE `{}`", database.replace('\\', "\\\\").replace('`', "\\`")), "Null")?;
    }
    for (name, value) in &asked.settings {
        connection.query(format!("SET {name} = {}", quoted(value)), "Null")?;
    }
    for (name, value) in &asked.parameters {
        connection.query(format!("SET param_{name} = {}", quoted(value)), "Null")?;
    }
    if asked.read_only {
        connection.query("SET readonly = 1", "Null")?;
    }
    Ok(())
}

/// A string literal (ClickHouse documentation, "Syntax: String").
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A format whose chunks, one behind the other, are the whole result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Streamed {
    /// Rows and nothing else.
    Rows,
    /// The number of columns, their names and types before the rows.
    RowBinaryWithNamesAndTypes,
}

/// Formats that consist of rows alone. All others have something before, between or behind the rows, which the engine would
/// repeat in every chunk: their results are made whole before they are sent.
const ROWS_ALONE: [&str; 9] = [
    "TabSeparated",
    "TSV",
    "TabSeparatedRaw",
    "TSVRaw",
    "CSV",
    "JSONEachRow",
    "JSONCompactEachRow",
    "RowBinary",
    "Native",
];

/// How the result of `query` can be streamed, if it can be.
fn streamed(query: &[u8], default_format: &str) -> Option<Streamed> {
    let word = first_word(query).to_ascii_uppercase();
    let selects = matches!(word.as_slice(), b"SELECT" | b"WITH") || query.trim_ascii_start().first() == Some(&b'(');
    if !selects {
        return None;
    }
    let text = String::from_utf8_lossy(query);
    let format = if text.to_ascii_lowercase().contains("format") { format_clause(&text)? } else { default_format };
    match format {
        "RowBinaryWithNamesAndTypes" => Some(Streamed::RowBinaryWithNamesAndTypes),
        format => ROWS_ALONE.contains(&format).then_some(Streamed::Rows),
    }
}

/// The format that a query names at its very end. A query that names one elsewhere, or speaks of formats in other ways, is
/// not guessed at.
fn format_clause(query: &str) -> Option<&str> {
    let mut words = query.trim_end().trim_end_matches(';').split_ascii_whitespace().rev();
    let (format, keyword) = (words.next()?, words.next()?);
    let rest_is_silent = !words.any(|word| word.to_ascii_lowercase().contains("format"));
    (keyword.eq_ignore_ascii_case("FORMAT") && rest_is_silent).then_some(format)
}

impl Streamed {
    /// How many bytes of a chunk come before its rows.
    fn header_length(self, chunk: &[u8]) -> Result<usize, EngineError> {
        match self {
            Self::Rows => Ok(0),
            Self::RowBinaryWithNamesAndTypes => names_and_types_length(chunk).ok_or_else(|| {
                EngineError::Query("Code: 1002. DB::Exception: a chunk of the engine has no header".into())
            }),
        }
    }
}

/// The length of a header of `RowBinaryWithNamesAndTypes`: the number of columns, then so many names, then so many types.
fn names_and_types_length(chunk: &[u8]) -> Option<usize> {
    let mut rest = chunk;
    let columns = take_varint(&mut rest)?;
    for _ in 0..columns.checked_mul(2)? {
        let length = usize::try_from(take_varint(&mut rest)?).ok()?;
        rest = rest.get(length..)?;
    }
    Some(chunk.len() - rest.len())
}

/// Takes a LEB128 number from the front of `bytes`.
fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The first word that is no comment.
fn first_word(mut query: &[u8]) -> &[u8] {
    loop {
        query = query.trim_ascii_start();
        if query.starts_with(b"--") {
            let end = query.iter().position(|byte| *byte == b'\n').unwrap_or(query.len());
            query = &query[end..];
        } else if query.starts_with(b"/*") {
            let end = query.windows(2).position(|pair| pair == b"*/").map_or(query.len(), |end| end + 2);
            query = &query[end..];
        } else {
            let end = query.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(query.len());
            return &query[..end];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_streamed() {
        let rows = Some(Streamed::Rows);
        for (query, format, expected) in [
            ("SELECT 1", "TabSeparated", rows),
            ("  select 1", "RowBinaryWithNamesAndTypes", Some(Streamed::RowBinaryWithNamesAndTypes)),
            ("WITH 1 AS x SELECT x", "Native", rows),
            ("(SELECT 1) UNION ALL (SELECT 2)", "CSV", rows),
            ("-- first\n/* second */ SELECT 1", "CSV", rows),
            ("SELECT 1", "JSON", None),
            ("SELECT 1", "CSVWithNames", None),
            ("SELECT 1 FORMAT JSON", "CSV", None),
            ("SELECT 1 format CSV;", "JSON", rows),
            ("SELECT 'FORMAT CSV'", "JSON", None),
            ("SELECT 1 FORMAT CSV SETTINGS max_threads = 1", "CSV", None),
            ("SELECT formatDateTime(now(), '%F') FORMAT CSV", "CSV", None),
            ("INSERT INTO t SELECT 1", "CSV", None),
            ("CREATE TABLE t", "CSV", None),
            ("SHOW TABLES", "CSV", None),
            ("/* never ends", "CSV", None),
            ("", "CSV", None),
        ] {
            assert_eq!(streamed(query.as_bytes(), format), expected, "{query} {format}");
        }
    }

    #[test]
    fn a_header_is_as_long_as_it_says() {
        let header = b"\x02\x01a\x02bc\x06UInt64\x06String";
        let chunk = [&header[..], b"rows"].concat();
        assert_eq!(names_and_types_length(&chunk), Some(header.len()));
        assert_eq!(names_and_types_length(&header[..9]), None);
    }

    #[test]
    fn literals_keep_what_they_hold() {
        assert_eq!(quoted(r"a'b\c"), r"'a\'b\\c'");
    }
}
