//! What a statement is, as far as the interface must know before the engine gets it.
//!
//! Three things hang on it: whether there is one statement at all (the engine would run several, and takes `quit` for a
//! command), whether its answer can come in pieces, and where the data of an INSERT begin. Only tokens are looked at,
//! never the grammar: what is wrong with a statement the engine says.

use super::{
    exception::Exception,
    token::{Token, tokens},
};

/// A statement, classified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// A SELECT, whose answer comes in pieces.
    Rows {
        /// The format that it names itself.
        format: Option<String>,
    },
    /// Anything else that comes without data; answered as a whole.
    Whole {
        /// The format that it names itself.
        format: Option<String>,
    },
    /// An INSERT whose data follow.
    Insert(Insert),
}

/// An INSERT, taken apart where its data come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insert {
    /// `INSERT INTO table (columns)`.
    pub into: String,
    /// `SETTINGS …`, or nothing.
    pub settings: String,
    /// The format of the data; `Values` for a VALUES clause.
    pub format: Option<String>,
    /// Where in the text the data begin.
    pub data: usize,
}

impl Insert {
    /// The statement that reads the data from the file `path`, which must need no escaping in a string literal.
    pub fn from_file(&self, path: &str, format: &str) -> String {
        // On lines of their own: each part may end in a comment.
        format!("{}\nFROM INFILE '{path}' COMPRESSION 'none'\n{}\nFORMAT {format}", self.into, self.settings)
    }
}

/// Words that the engine takes for a wish to leave (ClickHouse: `ClientBase.cpp`, `exit_strings`) and answers with nothing.
const COMMANDS: [&str; 7] = ["exit", "quit", "logout", "q", "exit;", "quit;", "logout;"];

/// Words with which an answer gets what is no row: totals, extremes, the brackets of an array. The engine writes those for
/// every piece, or takes the piece that holds them for the last.
pub const MORE_THAN_ROWS: [&str; 3] = ["totals", "extremes", "output_format_json_array_of_rows"];

/// Classifies `text`: a statement, and for an INSERT its data behind it.
///
/// # Errors
/// ClickHouse's own kind of exception for an empty text, for several statements, and for what a server refuses.
pub fn classify(text: &str) -> Result<Statement, Exception> {
    let mut all = tokens(text).peekable();
    let Some(first) = all.peek().copied().filter(|token| !token.is(text, ";")) else {
        let what = "Syntax error: failed at position 1 (end of query): . Empty query.";
        return Err(Exception::new(62, "SYNTAX_ERROR", what));
    };
    if COMMANDS.contains(&text.trim().to_ascii_lowercase().as_str()) {
        let what = format!("Syntax error: failed at position 1 ({}): no statement begins so.", first.of(text));
        return Err(Exception::new(62, "SYNTAX_ERROR", &what));
    }
    if first.is(text, "INSERT") {
        return insert(text);
    }
    let rows = ["SELECT", "WITH", "FROM", "("].iter().any(|word| first.is(text, word));
    let all: Vec<Token> = all.collect();
    one_statement(text, &all)?;
    let outer = |token: &&Token| token.depth == 0;
    if all.iter().any(|token| token.is(text, "OUTFILE")) && all.iter().any(|token| token.is(text, "INTO")) {
        return Err(Exception::unsupported("INTO OUTFILE"));
    }
    let words: Vec<&Token> = all.iter().filter(outer).collect();
    let format = words.windows(2).enumerate().rev().find_map(|(at, pair)| {
        let ends = words.get(at + 2).is_none_or(|next| next.is(text, "SETTINGS") || next.is(text, ";"));
        let named = at > 0 && pair[0].is(text, "FORMAT") && pair[1].is_word(text) && !words[at - 1].is(text, "AS");
        (ends && named).then(|| pair[1].of(text).to_owned())
    });
    let besides = all.iter().any(|token| MORE_THAN_ROWS.iter().any(|word| token.is(text, word)));
    Ok(if rows && !besides { Statement::Rows { format } } else { Statement::Whole { format } })
}

/// A server takes one statement a request; a semicolon may end it.
fn one_statement(text: &str, all: &[Token]) -> Result<(), Exception> {
    match all.iter().position(|token| token.is(text, ";")) {
        Some(at) if at + 1 < all.len() => {
            let place = all[at].start + 1;
            let what =
                format!("Syntax error (Multi-statements are not allowed): failed at position {place} (end of query).");
            Err(Exception::new(62, "SYNTAX_ERROR", &what))
        }
        _ => Ok(()),
    }
}

fn insert(text: &str) -> Result<Statement, Exception> {
    // Only the head is made of tokens: the data may be anything.
    let mut head = tokens(text).filter(|token| token.depth == 0).skip(1).peekable();
    let mut skip = |word: &str| head.next_if(|token| token.is(text, word)).is_some();
    skip("INTO");
    skip("TABLE");
    let function = skip("FUNCTION");
    // The table comes first, as names with dots between them: what they are called says nothing.
    let mut name_expected = true;
    let mut settings_at = None;
    while let Some(token) = head.next() {
        if std::mem::take(&mut name_expected) {
            continue;
        }
        let word = token.of(text).to_ascii_uppercase();
        match word.as_str() {
            "." => name_expected = true,
            // Columns, or a function's arguments, or a SELECT in brackets.
            "(" if !function => {
                let inside = tokens(text).find(|inner| inner.start > token.start);
                if inside.is_some_and(|word| word.is(text, "SELECT") || word.is(text, "WITH")) {
                    return without_data(text);
                }
            }
            "SETTINGS" => settings_at = Some(token.start),
            "VALUES" => return Ok(taken_apart(text, settings_at, token.start, Some("Values"), token.end)),
            "FORMAT" => {
                let Some(format) = head.next() else { return without_data(text) };
                let data = after_format(text, format.end);
                return Ok(taken_apart(text, settings_at, token.start, Some(format.of(text)), data));
            }
            "FROM" => return Err(Exception::unsupported("INSERT … FROM INFILE, which is for clients,")),
            "SELECT" | "WITH" | "WATCH" | "PARTITION" | ";" => return without_data(text),
            _ => (),
        }
    }
    // No format is named: the body's, and the request may say which it is.
    Ok(taken_apart(text, settings_at, text.len(), None, text.len()))
}

fn taken_apart(text: &str, settings: Option<usize>, end: usize, format: Option<&str>, data: usize) -> Statement {
    Statement::Insert(Insert {
        into: text[..settings.unwrap_or(end)].to_owned(),
        settings: settings.map_or("", |start| &text[start..end]).to_owned(),
        format: format.map(str::to_owned),
        data,
    })
}

/// An INSERT that brings its own data: INSERT … SELECT.
fn without_data(text: &str) -> Result<Statement, Exception> {
    let all: Vec<Token> = tokens(text).collect();
    one_statement(text, &all)?;
    if all.windows(2).any(|pair| pair[0].is(text, "input") && pair[1].is(text, "(")) {
        return Err(Exception::unsupported("INSERT … SELECT … FROM input()"));
    }
    Ok(Statement::Whole { format: None })
}

/// Data begin after blanks and one line end (ClickHouse: `ParserInsertQuery.cpp`).
fn after_format(text: &str, end: usize) -> usize {
    let rest = &text.as_bytes()[end..];
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | 0x0c)).count();
    let line = match &rest[blanks..] {
        [b'\r', b'\n', ..] => 2,
        [b'\r' | b'\n', ..] => 1,
        _ => 0,
    };
    end + blanks + line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_in_pieces() {
        for (text, rows, format) in [
            ("SELECT 1", true, None),
            ("  select 1 format JSONEachRow", true, Some("JSONEachRow")),
            ("SELECT 1 FORMAT TSV SETTINGS max_threads=1", true, Some("TSV")),
            ("SELECT 1 SETTINGS max_threads=1 FORMAT TSV;", true, Some("TSV")),
            ("SELECT 1 AS format", true, None),
            ("SELECT format FROM t", true, None),
            ("SELECT ' FORMAT CSV' -- FORMAT CSV", true, None),
            ("SELECT (SELECT 1 FORMAT CSV)", true, None),
            ("WITH 1 AS x SELECT x", true, None),
            ("FROM t SELECT x", true, None),
            ("(SELECT 1) UNION ALL (SELECT 2) FORMAT Null", true, Some("Null")),
            ("-- first\n/* second */ SELECT 1", true, None),
            ("SELECT k, count() FROM t GROUP BY k WITH TOTALS", false, None),
            ("SELECT 1 SETTINGS extremes = 1", false, None),
            ("SELECT 1 SETTINGS output_format_json_array_of_rows = 1", false, None),
            ("SHOW TABLES", false, None),
            ("DESCRIBE TABLE t FORMAT CSV", false, Some("CSV")),
            ("CREATE TABLE t (a UInt8) ENGINE = Memory", false, None),
            ("INSERT INTO t SELECT 1", false, None),
            ("INSERT INTO t (a) WITH 1 AS x SELECT x", false, None),
            ("INSERT INTO t (SELECT 1)", false, None),
            ("INSERT INTO FUNCTION null('a UInt8') SELECT 1", false, None),
        ] {
            let format = format.map(str::to_owned);
            let expected = if rows { Statement::Rows { format } } else { Statement::Whole { format } };
            assert_eq!(classify(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_insert_is_taken_apart_where_its_data_come_in() {
        for (text, into, settings, format, data) in [
            ("INSERT INTO t FORMAT CSV\n1,2", "INSERT INTO t ", "", Some("CSV"), "1,2"),
            ("INSERT INTO t FORMAT RowBinary\n\n ", "INSERT INTO t ", "", Some("RowBinary"), "\n "),
            ("INSERT INTO t FORMAT CSV \r\n1", "INSERT INTO t ", "", Some("CSV"), "1"),
            (
                "insert into d.t (a, b) values (1, ';'), (2, '')",
                "insert into d.t (a, b) ",
                "",
                Some("Values"),
                " (1, ';'), (2, '')",
            ),
            (
                "INSERT INTO t SETTINGS a=1, b='x' FORMAT TSV\n",
                "INSERT INTO t ",
                "SETTINGS a=1, b='x' ",
                Some("TSV"),
                "",
            ),
            (
                "INSERT INTO TABLE values.format VALUES (1)",
                "INSERT INTO TABLE values.format ",
                "",
                Some("Values"),
                " (1)",
            ),
            ("INSERT INTO {t:Identifier} FORMAT CSV\n1", "INSERT INTO {t:Identifier} ", "", Some("CSV"), "1"),
            (
                "INSERT INTO FUNCTION null('a UInt8') FORMAT CSV\n1",
                "INSERT INTO FUNCTION null('a UInt8') ",
                "",
                Some("CSV"),
                "1",
            ),
            ("INSERT INTO t(`select`) -- why\nFORMAT CSV\n1", "INSERT INTO t(`select`) -- why\n", "", Some("CSV"), "1"),
            ("INSERT INTO t (a)", "INSERT INTO t (a)", "", None, ""),
        ] {
            let Ok(Statement::Insert(insert)) = classify(text) else { panic!("{text}: {:?}", classify(text)) };
            let found =
                (insert.into.as_str(), insert.settings.as_str(), insert.format.as_deref(), &text[insert.data..]);
            assert_eq!(found, (into, settings, format, data), "{text}");
        }
    }

    #[test]
    fn what_a_server_refuses() {
        for (text, code) in [
            ("", 62),
            ("  -- nothing", 62),
            (";", 62),
            ("quit", 62),
            (" EXIT; ", 62),
            ("SELECT 1; SELECT 2", 62),
            ("INSERT INTO t SELECT 1; DROP TABLE t", 62),
            ("SELECT 1 INTO OUTFILE 'x'", 48),
            ("INSERT INTO t FROM INFILE 'x' FORMAT CSV", 48),
            ("INSERT INTO t SELECT * FROM input('a UInt8') FORMAT CSV", 48),
        ] {
            assert_eq!(classify(text).map_err(|exception| exception.code()), Err(code), "{text}");
        }
        assert!(classify("SELECT ';'; -- one\n").is_ok());
    }
}
