//! A request's body: the statement, the data of an INSERT, or both behind each other.
//!
//! As with a server, what the URL says and what the body says are one text. A statement is held in memory, the data of an
//! INSERT never: they go to a file as they come.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::{
    exception::Exception,
    frames::Unpacker,
    request::Asked,
    statement::{Insert, Statement, classify},
    upload::{Upload, Uploads},
};

/// A statement is shorter than this many bytes, and so is what stands before the data of an INSERT.
const HEAD: usize = 1 << 20;

/// What is to be run.
#[derive(Debug)]
pub enum Payload {
    /// A statement that comes without data.
    Statement {
        /// Its text.
        text: String,
        /// Whether it gives rows in pieces.
        rows: bool,
        /// The format that it names itself.
        format: Option<String>,
    },
    /// An INSERT and its data.
    Insert {
        /// The statement.
        insert: Insert,
        /// The data's format.
        format: String,
        /// The data.
        upload: Upload,
    },
}

/// Reads what `asked` leaves to the body.
///
/// # Errors
/// An exception when the body breaks off, is not what it should be, or holds no statement that can be run.
pub async fn read(asked: &mut Asked, body: Incoming, uploads: &Uploads) -> Result<Payload, Exception> {
    let mut body = Pieces { body, unpacker: asked.decompress.then(Unpacker::default) };
    let mut text = Vec::new();
    if let Some(boundary) = asked.boundary.take() {
        fields(asked, body.rest(Vec::new()).await?, boundary).await?;
        text.extend(asked.query.take().unwrap_or_default().into_bytes());
        return settle(asked, text, None, uploads).await;
    }
    if let Some(query) = asked.query.take() {
        text = query.into_bytes();
        // A statement that is whole without the body: what follows is data, however much.
        let complete = matches!(classify(&String::from_utf8_lossy(&text)), Ok(Statement::Insert(insert)) if insert.format.is_some());
        if complete {
            text.push(b'\n');
            return settle(asked, text, Some(body), uploads).await;
        }
    }
    if asked.read_only {
        // A server does not look at the body of a GET.
        return settle(asked, text, None, uploads).await;
    }
    let mut joined = text.is_empty();
    while let Some(piece) = body.next().await? {
        if !std::mem::replace(&mut joined, true) {
            text.push(b'\n');
        }
        text.extend_from_slice(&piece);
        if text.len() > HEAD {
            return settle(asked, text, Some(body), uploads).await;
        }
    }
    settle(asked, text, None, uploads).await
}

/// Makes a payload of what is there: `text`, and behind it what is left of the body.
async fn settle(asked: &Asked, text: Vec<u8>, rest: Option<Pieces>, uploads: &Uploads) -> Result<Payload, Exception> {
    // Data may be anything; what stands before them is text.
    let head = match std::str::from_utf8(&text) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default(),
    };
    let (rows, format) = match classify(head)? {
        Statement::Insert(insert) => return upload(asked, insert, &text, rest, uploads).await,
        Statement::Rows { format } => (true, format),
        Statement::Whole { format } => (false, format),
    };
    if rest.is_some() {
        let what = format!("The statement is longer than {HEAD} bytes.");
        return Err(Exception::new(229, "QUERY_IS_TOO_LARGE", &what));
    }
    if head.len() < text.len() {
        return Err(Exception::wrong("The statement is not UTF-8."));
    }
    Ok(Payload::Statement { text: head.to_owned(), rows, format })
}

/// Keeps the data of `insert`: those in `text`, and behind them what is left of the body.
async fn upload(
    asked: &Asked,
    insert: Insert,
    text: &[u8],
    rest: Option<Pieces>,
    uploads: &Uploads,
) -> Result<Payload, Exception> {
    let Some(format) = insert.format.clone().or_else(|| asked.format.clone()) else {
        let what = "Syntax error: an INSERT whose data come with the request must say VALUES or name their FORMAT.";
        return Err(Exception::new(62, "SYNTAX_ERROR", what));
    };
    let disk =
        |error: std::io::Error| Exception::new(243, "NOT_ENOUGH_SPACE", &format!("the data cannot be kept: {error}."));
    let mut upload = uploads.begin().await.map_err(disk)?;
    upload.add(&text[insert.data..]).await.map_err(disk)?;
    if let Some(mut rest) = rest {
        while let Some(piece) = rest.next().await? {
            upload.add(&piece).await.map_err(disk)?;
        }
    }
    upload.finish().await.map_err(disk)?;
    Ok(Payload::Insert { insert, format, upload })
}

async fn fields(asked: &mut Asked, body: Vec<u8>, boundary: String) -> Result<(), Exception> {
    let wrong = |error: multer::Error| Exception::wrong(&format!("The form cannot be read: {error}."));
    let stream = futures_util::stream::iter([Ok::<_, Infallible>(Bytes::from(body))]);
    let mut form = multer::Multipart::new(stream, boundary);
    while let Some(field) = form.next_field().await.map_err(wrong)? {
        let name = field.name().unwrap_or_default().to_owned();
        let value = field.text().await.map_err(wrong)?;
        asked.take_field(&name, value)?;
    }
    Ok(())
}

/// A body in pieces, unpacked where it came packed.
struct Pieces {
    body: Incoming,
    unpacker: Option<Unpacker>,
}

impl Pieces {
    /// The next piece; `None` at the end, and only when the end is one.
    async fn next(&mut self) -> Result<Option<Bytes>, Exception> {
        let packed = |error: super::frames::FrameError| {
            Exception::new(271, "CANNOT_DECOMPRESS", &format!("The body cannot be unpacked: {error}."))
        };
        loop {
            let Some(frame) = self.body.frame().await else {
                return match self.unpacker.take() {
                    Some(unpacker) => unpacker.finish().map(|()| None).map_err(packed),
                    None => Ok(None),
                };
            };
            let frame = frame.map_err(|error| {
                Exception::new(210, "NETWORK_ERROR", &format!("The body broke off: {error}; nothing was inserted."))
            })?;
            let Ok(bytes) = frame.into_data() else { continue };
            let Some(unpacker) = &mut self.unpacker else { return Ok(Some(bytes)) };
            let content = unpacker.take(&bytes).map_err(packed)?;
            if !content.is_empty() {
                return Ok(Some(content.into()));
            }
        }
    }

    /// All that is left, behind `text`.
    async fn rest(&mut self, mut text: Vec<u8>) -> Result<Vec<u8>, Exception> {
        while let Some(piece) = self.next().await? {
            if text.len() + piece.len() > 16 * HEAD {
                return Err(Exception::new(229, "QUERY_IS_TOO_LARGE", "The form is too large."));
            }
            text.extend_from_slice(&piece);
        }
        Ok(text)
    }
}
