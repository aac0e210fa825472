//! An event as the generator means it, before any wire form, and the door through which the judges ask for it.

use serde_json::{Map, Value};

use crate::{
    identity::{EventId, StreamId},
    workload::{Blob, Oddities},
};

/// JSON properties, in the order of their keys.
pub type Properties = Map<String, Value>;

/// One event of the workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Which event this is; its UUID goes with it.
    pub id: EventId,
    /// The event's name, such as `$pageview`.
    pub name: String,
    /// The same as a JSON string, where no text holds it; then `name` is what stands between its quotes.
    pub name_json: Option<String>,
    /// Whom it is sent for.
    pub distinct_id: String,
    /// The same as JSON, where that is no string, and `distinct_id` is this text; or a string that no text holds, and `distinct_id`
    /// is what stands between its quotes.
    pub distinct_id_json: Option<String>,
    /// When it happened, in microseconds from the start of its traffic, on a clock that is right. Negative before it.
    pub occurred_micros: i64,
    /// What it holds, the marker property included.
    pub properties: Properties,
    /// What it holds beside that, behind it; no key is there and here.
    pub members: Vec<Member>,
    /// Its other fields, beside those that every event has.
    pub others: Vec<Member>,
    /// Properties whose contents stand in parts of their own.
    pub blobs: Vec<Blob>,
    /// How it differs from a plain one; what that adds to its properties is among them already.
    pub oddities: Oddities,
    /// Every distinct id that the workload ever joins to this person, `distinct_id` among them. One alone means that no
    /// merge touches the person.
    pub ids_of_person: Vec<String>,
}

/// A member of a JSON object as source text, for what no map of values can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The key as it stands between its quotes, escapes and all.
    pub key: String,
    /// The value's JSON text.
    pub value: String,
}

impl Member {
    /// A member of this key, as it stands between its quotes, and this value.
    pub fn new(key: &str, value: String) -> Self {
        Self { key: key.to_owned(), value }
    }
}

/// Answers what the traffic held: the workload that made it, or a recording.
pub trait EventSource {
    /// The streams there are.
    fn streams(&self) -> Vec<StreamId>;

    /// How many events are planned in `stream`: their sequence numbers are 0 to one below. 0 for an unknown stream.
    fn planned(&self, stream: StreamId) -> u64;

    /// The event, or `None` if it was never planned.
    fn event(&self, stream: StreamId, seq: u64) -> Option<Event>;
}
