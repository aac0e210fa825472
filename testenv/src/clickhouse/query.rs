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
    if gives_rows(&asked.query) {
        match connection.stream(&asked.query, format) {
            Ok(mut stream) => {
                while let Some(answer) = stream.next_chunk()? {
                    if tell.blocking_send(Told::Chunk(answer.bytes)).is_err() {
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

/// Whether the query is one that the engine gives in chunks.
fn gives_rows(query: &[u8]) -> bool {
    let word: Vec<u8> = first_word(query).to_ascii_uppercase();
    matches!(word.as_slice(), b"SELECT" | b"WITH") || query.trim_ascii_start().first() == Some(&b'(')
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
    fn what_gives_rows() {
        for (query, expected) in [
            ("SELECT 1", true),
            ("  select 1", true),
            ("WITH 1 AS x SELECT x", true),
            ("(SELECT 1) UNION ALL (SELECT 2)", true),
            ("-- first\n/* second */ SELECT 1", true),
            ("INSERT INTO t SELECT 1", false),
            ("CREATE TABLE t", false),
            ("SHOW TABLES", false),
            ("/* never ends", false),
            ("", false),
        ] {
            assert_eq!(gives_rows(query.as_bytes()), expected, "{query}");
        }
    }

    #[test]
    fn literals_keep_what_they_hold() {
        assert_eq!(quoted(r"a'b\c"), r"'a\'b\\c'");
    }
}
