//! An event that is sent as a template makes it: in numbers, and as the texts that are made of them.

use super::{
    content::{Template, Values},
    person::{Begin, Numbers},
};
use crate::{
    identity::EventId,
    text::{self, UUID_LENGTH},
};

/// The ids that an event carries, as text; the buffers are used again for the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ids {
    /// Whom it is sent for.
    pub distinct_id: Vec<u8>,
    /// The id by which the person is known.
    pub known: Vec<u8>,
    /// The id that the workload joins to it; empty where there is none.
    pub anonymous: Vec<u8>,
}

/// What an event holds, before it is text: the very values that [`EventSource::event`](crate::event::EventSource::event) gives.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    pub(super) template: &'a Template,
    pub(super) name: &'a str,
    pub(super) values: Values,
    pub(super) role: Numbers,
    pub(super) id: EventId,
}

impl Content<'_> {
    /// The event's name.
    pub const fn name(&self) -> &str {
        self.name
    }

    /// The number of its person in its stream, which decides the person's ids.
    pub const fn person(&self) -> u64 {
        self.role.person
    }

    /// Writes the id that it is sent for in the place of another one.
    pub fn write_distinct_id(&self, into: &mut Vec<u8>) {
        into.clear();
        self.role.write_distinct_id(&mut Begin::default(), into);
    }

    /// Its identity.
    pub const fn id(&self) -> EventId {
        self.id
    }

    /// Appends the id that it is sent for to `json`, and writes the one that it joins, if any, in the place of another.
    pub(crate) fn write_wire_ids(&self, begin: &mut Begin, json: &mut Vec<u8>, anonymous: &mut Vec<u8>) {
        self.role.write_distinct_id(begin, json);
        anonymous.clear();
        if self.role.identifies {
            self.role.write_anonymous(begin, anonymous);
        }
    }

    /// Writes its ids in the place of others.
    pub fn write_ids(&self, into: &mut Ids) {
        let begin = &mut Begin::default();
        into.distinct_id.clear();
        self.role.write_distinct_id(begin, &mut into.distinct_id);
        into.known.clear();
        self.role.write_known(begin, &mut into.known);
        into.anonymous.clear();
        self.role.write_anonymous(begin, &mut into.anonymous);
    }

    /// Whether it joins its person's two ids.
    pub const fn identifies(&self) -> bool {
        self.role.identifies
    }

    /// Appends its properties, the marker among them, as compact JSON in the order of their keys, and where in `into` each
    /// member begins, with the quote of its key.
    pub fn write(&self, ids: &Ids, into: &mut Vec<u8>, members: &mut Vec<u32>) {
        self.template.members(&self.role, &ids.anonymous, into.len(), members);
        self.write_text(&text::uuid(self.id.to_uuid()), &ids.anonymous, into);
    }

    /// Appends its properties without noting where they begin; `id` is the text of its identity.
    pub(crate) fn write_text(&self, id: &[u8; UUID_LENGTH], anonymous: &[u8], into: &mut Vec<u8>) {
        self.template.write(&self.values, &self.role, id, anonymous, into);
    }
}
