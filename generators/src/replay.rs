//! Recorded traffic as a workload: its requests in their order and with their gaps, every event with an identity of ours.
//!
//! What somebody recorded is read once and written down in a form of our own, a JSON line a request, into the run's
//! directory; from there any event can be made again. Of a recorded event all is kept that the client meant: name, distinct
//! id, properties, the other fields, how long before its request it happened and how it said so. Uuid, token, marker and
//! moments are the run's own, so that every event can be reconciled. What has one uuid in the recording is one event of the run,
//! which is sent as often as it stands there, each time with what it says there.
//!
//! ```text
//! {"at":1.25,"endpoint":"batch","compression":"gzip","form":"plain","historical":false,"sent_at":true,
//!   "headers":[["user-agent","x"],…],"spelling":{"token":true,…},"events":[
//!     {"before_ms":1500,"time":"timestamp","spelling":{…},"uuid":"…","said_ms":1767225600000,
//!       "event":{"event":"x","distinct_id":"d","properties":{…},"$set":{…}}}, …]}
//! ```
//!
//! In memory an event costs 32 bytes, one that stands there again 64, a content that differs from the first some 60 more, and a
//! distinct id that is joined to another its text.

mod body;
mod event;
mod headers;
mod identities;
mod import;
mod lz_string;
mod order;
mod persons;
mod reason;
mod repeats;
mod secrets;

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
use uuid::Uuid;

pub use event::Recorded;
pub use import::{Ends, ImportError, Imported, NotUnderstood, import};
pub(crate) use order::Replaying;

use self::{
    persons::Persons,
    repeats::{Contents, Repeat, Repeats, content_sum},
};
use crate::workload::{Compression, Endpoint, Form, RecordedSpelling, TimeForm};

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

/// How a request's body says what there are two ways to say; as usual by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BodySpelling {
    /// A batch calls the token `token`.
    pub token: bool,
    /// One event stands in a list of its own.
    pub list_of_one: bool,
}

impl BodySpelling {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
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
    /// What is sent again of its headers: a list of names and values.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    headers: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "BodySpelling::is_usual")]
    spelling: BodySpelling,
    #[serde(borrow)]
    events: Vec<LineEvent<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct LineEvent<'a> {
    /// How long before the request it happened.
    before_ms: i64,
    /// How it said so.
    time: TimeForm,
    #[serde(default, skip_serializing_if = "RecordedSpelling::is_usual")]
    spelling: RecordedSpelling,
    /// What it was in the recording, if it said so: there may be others with the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uuid: Option<Uuid>,
    /// If it did, its timestamp in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    said_ms: Option<i64>,
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
    repeats: Repeats,
    /// Who is joined with whom.
    persons: HashMap<String, Arc<[String]>>,
}

#[derive(Debug, Clone)]
struct Request {
    at: Duration,
    style: Style,
    says_sent_at: bool,
    spelling: BodySpelling,
    /// Where the text of its headers stands, if it has any.
    headers: Option<(u64, u32)>,
    /// The position of its first event.
    first: u64,
}

/// Where an event's text stands in the file, and what is asked often.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    length: u32,
    time: TimeForm,
    before_ms: i64,
    spelling: RecordedSpelling,
}

/// What is known of a recorded uuid, from where it stands first.
#[derive(Debug, Clone, Copy)]
struct First {
    /// The event.
    seq: u64,
    /// Its timestamp.
    said_ms: Option<i64>,
    /// A checksum of what it says.
    content: u64,
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
        let (mut repeats, mut contents) = (Vec::new(), Contents::default());
        let mut known = HashMap::<Uuid, First>::new();
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
            let place_of = |text: &str| offset + (text.as_ptr() as usize - line.as_ptr() as usize) as u64;
            let first = (places.len() + repeats.len()) as u64;
            for LineEvent { before_ms, time, spelling, uuid, said_ms, event } in &read.events {
                let text = event.get();
                let event = Recorded::read(text).map_err(|error| damaged(error.to_string()))?;
                persons.note(&event);
                let place = Place {
                    offset: place_of(text),
                    length: text.len() as u32,
                    time: *time,
                    before_ms: *before_ms,
                    spelling: *spelling,
                };
                let position = (places.len() + repeats.len()) as u64;
                let sum = content_sum(text, spelling.token_property);
                if let Some(told) = uuid.and_then(|uuid| known.get(&uuid).copied()) {
                    let later_ms = said_ms.zip(told.said_ms).map_or(0, |(now, before)| now - before);
                    let content = if sum == told.content { 0 } else { contents.number(told.seq, sum, place) };
                    repeats.push(Repeat { position, seq: told.seq, later_ms, content, place });
                    continue;
                }
                let told = First { seq: places.len() as u64, said_ms: *said_ms, content: sum };
                known.extend(uuid.map(|uuid| (uuid, told)));
                places.push(place);
            }
            let headers = read.headers.map(|headers| (place_of(headers.get()), headers.get().len() as u32));
            let Line { endpoint, compression, form, historical, sent_at: says_sent_at, spelling, .. } = read;
            let style = Style { endpoint, compression, form, historical };
            requests.push(Request { at, style, says_sent_at, spelling, headers, first });
            offset += length as u64;
        }
        if !requests.is_sorted_by_key(|request| request.at) {
            let what = "requests are not in the order of their times".to_owned();
            return Err(RecordingError::Damaged { path: path.to_owned(), line: requests.len(), what });
        }
        let repeats = Repeats::new(repeats, contents);
        Ok(Self { file: reader.into_inner(), requests, events: places, repeats, persons: persons.joined() })
    }

    /// How many events it holds.
    pub const fn events(&self) -> u64 {
        self.events.len() as u64
    }

    /// How many positions: events, as often as they stand there.
    pub const fn positions(&self) -> u64 {
        (self.events.len() + self.repeats.len()) as u64
    }

    /// Whether any event stands there more than once.
    pub const fn repeats(&self) -> bool {
        !self.repeats.is_empty()
    }

    /// The event that stands at a position, and whether it stood at one before.
    pub(crate) fn at(&self, position: u64) -> (u64, bool) {
        self.repeats.at(position)
    }

    /// The position at which event `seq` stands first.
    pub(crate) fn position_of(&self, seq: u64) -> u64 {
        self.repeats.position_of(seq)
    }

    /// How many requests.
    pub const fn requests(&self) -> u64 {
        self.requests.len() as u64
    }

    /// How long it lasts.
    pub fn lasts(&self) -> Duration {
        self.requests.last().map_or(Duration::ZERO, |request| request.at)
    }

    /// The positions of a request; none behind the last.
    pub(crate) fn positions_of(&self, request: usize) -> Range<u64> {
        let first = self.requests.get(request).map_or(self.positions(), |request| request.first);
        let end = self.requests.get(request + 1).map_or(self.positions(), |request| request.first);
        first..end
    }

    /// The number of the request that holds a position.
    pub(crate) fn number_of(&self, position: u64) -> usize {
        self.requests.partition_point(|request| request.first <= position).saturating_sub(1)
    }

    /// When a request was sent, from the first; zero behind the last.
    pub(crate) fn sent_at(&self, request: usize) -> Duration {
        self.requests.get(request).map_or(Duration::ZERO, |request| request.at)
    }

    /// How the request that holds `position` is made.
    pub fn style(&self, position: u64) -> Option<Style> {
        self.requests.get(self.number_of(position)).map(|request| request.style)
    }

    /// Whether the request that holds `position` says when it is sent.
    pub fn says_sent_at(&self, position: u64) -> bool {
        self.requests.get(self.number_of(position)).is_none_or(|request| request.says_sent_at)
    }

    /// How the body of the request that holds `position` says what it says.
    pub fn body_spelling(&self, position: u64) -> BodySpelling {
        self.requests.get(self.number_of(position)).map_or_else(BodySpelling::default, |request| request.spelling)
    }

    /// The headers with which the request that holds `position` was recorded, as far as they are sent again; none where the file
    /// can no longer be read.
    pub fn headers(&self, position: u64) -> Vec<(String, String)> {
        let place = self.requests.get(self.number_of(position)).and_then(|request| request.headers);
        let text = place.and_then(|(offset, length)| self.text(offset, length));
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// How event `seq` says when it happened, and how long before its request that was.
    pub fn time(&self, seq: u64) -> Option<(TimeForm, i64)> {
        self.events.get(seq as usize).map(|place| (place.time, place.before_ms))
    }

    /// How event `seq` says whose it is.
    pub fn spelling(&self, seq: u64) -> RecordedSpelling {
        self.events.get(seq as usize).map_or_else(RecordedSpelling::default, |place| place.spelling)
    }

    /// Event `seq`, as it stands there first; `None` if there is no such, or the file can no longer be read.
    pub fn event(&self, seq: u64) -> Option<Recorded> {
        self.read(self.events.get(seq as usize)?)
    }

    /// What event `seq` says at one of the `positions` that it stands at again, if it does at any.
    pub(crate) fn again(&self, positions: &Range<u64>, seq: u64) -> Option<Again> {
        let repeat = self.repeats.within(positions).iter().find(|repeat| repeat.seq == seq)?;
        let Repeat { later_ms, content, place, .. } = *repeat;
        // Beside the first one its time is the same.
        let is_apart = !positions.contains(&self.position_of(seq));
        Some(Again { later_ms, before_ms: is_apart.then_some(place.before_ms), content, place })
    }

    /// What stands there of one that stands there again.
    pub(crate) fn told_again(&self, again: &Again) -> Option<Recorded> {
        self.read(&again.place)
    }

    /// What event `seq` says where it stands again and says something else, each content once, and how it says there whose it is;
    /// none where the file can no longer be read. Most say the same, and of those nothing is read.
    pub(crate) fn others(&self, seq: u64) -> Vec<(Recorded, RecordedSpelling)> {
        let others = self.repeats.others(seq).iter().map(|place| Some((self.read(place)?, place.spelling)));
        others.collect::<Option<_>>().unwrap_or_default()
    }

    fn read(&self, place: &Place) -> Option<Recorded> {
        Recorded::read(&self.text(place.offset, place.length)?).ok()
    }

    fn text(&self, offset: u64, length: u32) -> Option<String> {
        let mut text = vec![0; length as usize];
        self.file.read_exact_at(&mut text, offset).ok()?;
        String::from_utf8(text).ok()
    }

    /// All distinct ids that are ever joined to this one's person, itself among them.
    pub fn ids_of_person(&self, distinct_id: &str) -> Vec<String> {
        self.persons.get(distinct_id).map_or_else(|| vec![distinct_id.to_owned()], |ids| ids.to_vec())
    }
}

/// How an event is told that stands in a recording again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Again {
    /// How many milliseconds later it says that it happened.
    pub later_ms: i64,
    /// How long before its request that was, in a request without the first.
    pub before_ms: Option<i64>,
    /// Which of its contents it says: 0 for that of the first time, else its number among the others, from 1.
    pub content: u32,
    place: Place,
}

impl Again {
    /// How it says whose it is.
    pub const fn spelling(&self) -> RecordedSpelling {
        self.place.spelling
    }
}

#[cfg(test)]
mod tests;
