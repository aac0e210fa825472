//! Running what was asked: on a connection of its own, in pieces where the engine gives pieces.
//!
//! An answer is told to its end or to its exception; when neither comes, it broke. So nothing that goes wrong here, not
//! even a panic, can make half an answer look like a whole one.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{
    body::Payload,
    exception::Exception,
    format::Pieces,
    library::{Chunk, Connection, Counters, Engine, Stream},
    request::{Asked, Right},
    statement::MORE_THAN_ROWS,
};

/// So much of an answer is waited for before anything is sent, as a server does: what fails before gets a status.
const HELD_BACK: usize = 1 << 20;
/// The format of an answer that nobody named (ClickHouse documentation, "HTTP interface").
const DEFAULT_FORMAT: &str = "TabSeparated";
/// What the library turns on for itself and a server does not.
const LIKE_A_SERVER: &str =
    "implicit_select = 0, allow_introspection_functions = 0, storage_file_read_method = 'pread'";

/// What a running query tells: `Begins`, any number of `Piece`, and `Ends` or `Failed`; or `Failed` alone.
#[derive(Debug)]
pub enum Told {
    /// It goes well so far.
    Begins(Beginning),
    /// A part of the answer.
    Piece(Bytes),
    /// It failed; what came before is not the whole answer.
    Failed(Exception),
    /// What came before is the whole answer.
    Ends,
}

/// What is known when an answer begins.
#[derive(Debug)]
pub struct Beginning {
    /// The answer's format; none for a statement that gives no rows.
    pub format: String,
    /// What the query did until now: all of it for a small answer, part of it for a large one.
    pub counters: Counters,
    /// The length of the answer until now, before any packing.
    pub length: usize,
    /// How long it took until now.
    pub elapsed: Duration,
}

/// A query to run.
#[derive(Debug)]
pub struct Query {
    /// What the request says.
    pub asked: Asked,
    /// What is to be run.
    pub payload: Payload,
    /// What the query is known by in `system.processes`, as the setting `log_comment`.
    pub comment: String,
}

/// Runs `query`, telling pieces as they come; blocks. When nobody listens any more, the query is cancelled.
pub fn run(engine: &Engine, query: &Query, tell: &mpsc::Sender<Told>) {
    let last = match try_run(engine, query, tell) {
        Ok(()) => Told::Ends,
        Err(exception) => Told::Failed(exception),
    };
    // Whoever has stopped listening has no use for the end.
    let _ = tell.blocking_send(last);
}

/// Cancels the query known by `comment`, wherever it runs.
///
/// # Errors
/// The engine's exception; none when there is no such query any more.
pub fn cancel(engine: &Engine, comment: &str) -> Result<(), Exception> {
    let mut connection = connect(engine)?;
    // Not SYNC, which would wait for a query that has ended and whose connection is still open.
    let parameters = [("comment".to_owned(), comment.to_owned())];
    connection.query("KILL QUERY WHERE Settings['log_comment'] = {comment:String}", "Null", &parameters).map(drop)
}

fn connect(engine: &Engine) -> Result<Connection, Exception> {
    engine.connect().map_err(|error| Exception::new(210, "NETWORK_ERROR", &format!("{error}.")))
}

fn try_run(engine: &Engine, query: &Query, tell: &mpsc::Sender<Told>) -> Result<(), Exception> {
    let started = Instant::now();
    // A connection for this request alone: neither settings nor streams can leak into another's.
    let mut connection = connect(engine)?;
    set_up(&mut connection, query)?;
    let parameters = &query.asked.parameters;
    let (text, streamed, named) = match &query.payload {
        Payload::Statement { text, rows, format } => {
            (text.clone(), *rows && !wants_whole(&query.asked), format.as_ref())
        }
        Payload::Insert { insert, format, upload } => (insert.from_file(&upload.path(), format), false, None),
    };
    let format = named.or(query.asked.format.as_ref()).map_or(DEFAULT_FORMAT, String::as_str);
    let begins = |counters, length| {
        Told::Begins(Beginning { format: format.to_owned(), counters, length, elapsed: started.elapsed() })
    };
    if let Some(pieces) = Pieces::of(format).filter(|_| streamed) {
        match connection.stream(&text, format, parameters) {
            Ok(stream) => return Joined::new(stream, pieces).tell_all(tell, begins),
            // Among what begins like a SELECT the engine streams not everything, and says so before it does anything.
            Err(exception) if exception.is_not_streamable() => (),
            Err(exception) => return Err(exception),
        }
    }
    let answer = connection.query(&text, format, parameters)?;
    let length = answer.as_ref().len();
    if tell.blocking_send(begins(answer.counters, length)).is_ok() && length > 0 {
        let _ = tell.blocking_send(Told::Piece(Bytes::from_owner(answer)));
    }
    Ok(())
}

fn wants_whole(asked: &Asked) -> bool {
    asked.whole || asked.settings.iter().any(|(name, _)| MORE_THAN_ROWS.contains(&name.as_str()))
}

fn set_up(connection: &mut Connection, query: &Query) -> Result<(), Exception> {
    let asked = &query.asked;
    if let Some(database) = &asked.database {
        connection.query(&format!("USE `{}`", escaped(database, '`')), "Null", &[])?;
    }
    let comment = ("log_comment".to_owned(), query.comment.clone());
    // What it may not do comes last, and holds from the next statement on.
    let readonly = match asked.right {
        Right::Reading => ", readonly = 1",
        // As a server does for GET: settings may still be changed.
        Right::All if asked.read_only => ", readonly = 2",
        Right::All => "",
    };
    let settings = std::iter::once(&comment).chain(&asked.settings);
    let settings: Vec<_> = settings.map(|(name, value)| format!(", {name} = '{}'", escaped(value, '\''))).collect();
    connection.query(&format!("SET {LIKE_A_SERVER}{}{readonly}", settings.concat()), "Null", &[])?;
    Ok(())
}

/// Text as it stands between `quote`s (ClickHouse documentation, "Syntax: String").
fn escaped(text: &str, quote: char) -> String {
    text.replace('\\', "\\\\").replace(quote, &format!("\\{quote}"))
}

/// A stream whose pieces have become one answer.
struct Joined<'connection> {
    stream: Stream<'connection>,
    pieces: Pieces,
    begun: bool,
}

impl<'connection> Joined<'connection> {
    fn new(stream: Stream<'connection>, pieces: Pieces) -> Self {
        Self { stream, pieces, begun: false }
    }

    fn next(&mut self) -> Result<Option<(Bytes, Counters)>, Exception> {
        let Some(chunk) = self.stream.next_chunk()? else { return Ok(None) };
        let counters = chunk.counters;
        let header = self.header(&chunk)?;
        self.begun = true;
        Ok(Some((Bytes::from_owner(chunk).slice(header..), counters)))
    }

    /// How many bytes of the piece have been told before.
    fn header(&self, chunk: &Chunk) -> Result<usize, Exception> {
        if !self.begun {
            return Ok(0);
        }
        let what = "a piece of the answer does not begin with the header of its format.";
        self.pieces.header(chunk.as_ref()).ok_or_else(|| Exception::new(49, "LOGICAL_ERROR", what))
    }

    fn tell_all(
        mut self,
        tell: &mpsc::Sender<Told>,
        begins: impl Fn(Counters, usize) -> Told,
    ) -> Result<(), Exception> {
        let (mut held, mut length, mut counters) = (VecDeque::new(), 0, Counters::default());
        while length < HELD_BACK {
            let Some((bytes, more)) = self.next()? else { break };
            counters += more;
            length += bytes.len();
            held.push_back(bytes);
        }
        if tell.blocking_send(begins(counters, length)).is_err() {
            return Ok(());
        }
        loop {
            let bytes = match held.pop_front() {
                Some(bytes) => bytes,
                None => match self.next()? {
                    Some((bytes, _)) => bytes,
                    None => return Ok(()),
                },
            };
            if tell.blocking_send(Told::Piece(bytes)).is_err() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_names_keep_what_they_hold() {
        assert_eq!(escaped(r"a'b\c`d", '\''), r"a\'b\\c`d");
        assert_eq!(escaped("a`b\\", '`'), r"a\`b\\");
    }
}
