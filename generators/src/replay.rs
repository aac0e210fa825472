//! Recorded traffic as a workload: its requests in their order and with their gaps, every event with an identity of ours.
//!
//! What somebody recorded is read once and written down in a form of our own, a JSON line a request, into the run's
//! directory; from there any event can be made again. Of a recorded event all is kept that the client meant: name, distinct
//! id, properties, the other fields, how long before its request it happened and how it said so. Uuid, token, marker and
//! moments are the run's own, so that every event can be reconciled.
//!
//! ```text
//! {"at":1.25,"endpoint":"batch","compression":"gzip","form":"plain","historical":false,"sent_at":true,"events":[
//!   {"before_ms":1500,"time":"timestamp","event":{"event":"x","distinct_id":"d","properties":{…},"$set":{…}}}, …]}
//! ```
//!
//! In memory an event costs 32 bytes, and a distinct id that is joined to another its text.

mod body;
mod event;
mod import;
mod order;
mod persons;

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use event::Recorded;
pub use import::{ImportError, Imported, NotUnderstood, import};
pub(crate) use order::Replaying;

use self::persons::Persons;
use crate::workload::{Compression, Endpoint, Form, TimeForm};

/// How a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Where it goes.
    pub endpoint: Endpoint,
    /// How its data is compressed.
    pub compression: Compression,
    /// Where its data stands.
    pub form: Form,
    /// Whether it says that it is an import of old events.
    pub historical: bool,
}

/// A line of our form.
#[derive(Debug, Serialize, Deserialize)]
struct Line<'a> {
    /// When it was sent, in seconds from the first.
    at: f64,
    endpoint: Endpoint,
    compression: Compression,
    form: Form,
    historical: bool,
    /// Whether it said when it was sent.
    sent_at: bool,
    #[serde(borrow)]
    events: Vec<LineEvent<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct LineEvent<'a> {
    /// How long before the request it happened.
    before_ms: i64,
    /// How it said so.
    time: TimeForm,
    #[serde(borrow)]
    event: &'a RawValue,
}

/// A recording that can no longer be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The system refused.
    #[error("the recording {path} cannot be read")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not what was written.
    #[error("line {line} of the recording {path} is damaged: {what}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

/// A recording, from which every event can be made.
#[derive(Debug)]
pub struct Recording {
    file: File,
    requests: Vec<Request>,
    events: Vec<Place>,
    /// Who is joined with whom.
    persons: HashMap<String, Arc<[String]>>,
}

#[derive(Debug, Clone)]
struct Request {
    at: Duration,
    style: Style,
    says_sent_at: bool,
    /// The number of its first event.
    first: u64,
}

/// Where an event's text stands in the file, and what is asked often.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    length: u32,
    time: TimeForm,
    before_ms: i64,
}

impl Recording {
    /// Opens a recording in our form.
    ///
    /// # Errors
    /// When it cannot be read, or is not what was written.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let io = |source| RecordingError::Io { path: path.to_owned(), source };
        let mut reader = BufReader::with_capacity(1 << 20, File::open(path).map_err(io)?);
        let (mut requests, mut places, mut persons) = (Vec::new(), Vec::new(), Persons::default());
        let (mut line, mut offset) = (String::new(), 0u64);
        for number in 1.. {
            line.clear();
            let length = reader.read_line(&mut line).map_err(io)?;
            if length == 0 {
                break;
            }
            let damaged = |what: String| RecordingError::Damaged { path: path.to_owned(), line: number, what };
            let read: Line<'_> = serde_json::from_str(&line).map_err(|error| damaged(error.to_string()))?;
            let at = Duration::try_from_secs_f64(read.at).map_err(|error| damaged(error.to_string()))?;
            let first = places.len() as u64;
            for LineEvent { before_ms, time, event } in &read.events {
                let text = event.get();
                let at = text.as_ptr() as usize - line.as_ptr() as usize;
                places.push(Place {
                    offset: offset + at as u64,
                    length: text.len() as u32,
                    time: *time,
                    before_ms: *before_ms,
                });
                let event = Recorded::read(text).map_err(|error| damaged(error.to_string()))?;
                persons.note(&event);
            }
            let Line { endpoint, compression, form, historical, sent_at: says_sent_at, .. } = read;
            let style = Style { endpoint, compression, form, historical };
            requests.push(Request { at, style, says_sent_at, first });
            offset += length as u64;
        }
        if !requests.is_sorted_by_key(|request| request.at) {
            let what = "requests are not in the order of their times".to_owned();
            return Err(RecordingError::Damaged { path: path.to_owned(), line: requests.len(), what });
        }
        Ok(Self { file: reader.into_inner(), requests, events: places, persons: persons.joined() })
    }

    /// How many events it holds.
    pub const fn events(&self) -> u64 {
        self.events.len() as u64
    }

    /// How many requests.
    pub const fn requests(&self) -> u64 {
        self.requests.len() as u64
    }

    /// How long it lasts.
    pub fn lasts(&self) -> Duration {
        self.requests.last().map_or(Duration::ZERO, |request| request.at)
    }

    /// The events of a request, by their numbers; none behind the last.
    pub(crate) fn events_of(&self, request: usize) -> Range<u64> {
        let first = self.requests.get(request).map_or(self.events(), |request| request.first);
        let end = self.requests.get(request + 1).map_or(self.events(), |request| request.first);
        first..end
    }

    /// The number of the request that holds event `seq`.
    pub(crate) fn number_of(&self, seq: u64) -> usize {
        self.requests.partition_point(|request| request.first <= seq).saturating_sub(1)
    }

    /// When a request was sent, from the first; zero behind the last.
    pub(crate) fn sent_at(&self, request: usize) -> Duration {
        self.requests.get(request).map_or(Duration::ZERO, |request| request.at)
    }

    /// How the request that holds event `position` is made.
    pub fn style(&self, position: u64) -> Option<Style> {
        self.requests.get(self.number_of(position)).map(|request| request.style)
    }

    /// Whether the request that holds event `position` says when it is sent.
    pub fn says_sent_at(&self, position: u64) -> bool {
        self.requests.get(self.number_of(position)).is_none_or(|request| request.says_sent_at)
    }

    /// How event `seq` says when it happened, and how long before its request that was.
    pub fn time(&self, seq: u64) -> Option<(TimeForm, i64)> {
        self.events.get(seq as usize).map(|place| (place.time, place.before_ms))
    }

    /// Event `seq`; `None` if there is no such, or the file can no longer be read.
    pub fn event(&self, seq: u64) -> Option<Recorded> {
        let place = self.events.get(seq as usize)?;
        let mut text = vec![0; place.length as usize];
        self.file.read_exact_at(&mut text, place.offset).ok()?;
        Recorded::read(std::str::from_utf8(&text).ok()?).ok()
    }

    /// All distinct ids that are ever joined to this one's person, itself among them.
    pub fn ids_of_person(&self, distinct_id: &str) -> Vec<String> {
        self.persons.get(distinct_id).map_or_else(|| vec![distinct_id.to_owned()], |ids| ids.to_vec())
    }
}

#[cfg(test)]
mod tests;
