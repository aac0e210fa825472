//! Which recorded events are one and the same: those with one uuid. What says so and cannot be is refused, with both lines.
//!
//! The store keeps rows with one name, distinct id and uuid of a day as one (ingestion contract 2.6), so these stand for one event
//! whatever else they hold. A uuid under another name or for somebody else is a mistake of its client's, of which nobody could say
//! what must come of it.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use uuid::Uuid;

use super::import::Event;

/// The events with a uuid that were taken in, some fifty bytes each.
#[derive(Debug, Default)]
pub(super) struct Identities(HashMap<Uuid, Known>);

#[derive(Debug, Clone, Copy)]
struct Known {
    line: u64,
    /// A checksum of what all that is one event has in common.
    kind: u64,
}

/// What two that are one have in common.
#[derive(Debug, Hash)]
pub(super) struct Kind<'a> {
    /// Whether v1 made them what they are.
    pub is_v1: bool,
    /// How they say their time, as a number.
    pub time: u8,
    /// Where it stands without a request, its time and all of it: two may come into one.
    pub exported: Option<(Option<i64>, &'a str)>,
    pub name: &'a str,
    pub distinct_id: &'a str,
    /// Other texts that decide whose they are, and what becomes of them.
    pub deciding: Vec<Option<&'a str>>,
}

impl Kind<'_> {
    /// Its checksum.
    pub fn sum(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

impl Identities {
    /// Takes in the events of a request, or one without, in `line`; returns how many of them were there before. Where each is
    /// `unique` in its request, none may be there twice.
    ///
    /// # Errors
    /// When one of them cannot be what its uuid says; none is taken in then.
    pub fn take(&mut self, line: u64, unique: bool, events: &[Event]) -> Result<u64, String> {
        let (mut own, mut repeats) = (HashMap::<Uuid, (Known, &Event)>::new(), 0);
        for (number, event) in (1..).zip(events) {
            let Some(uuid) = event.uuid else { continue };
            let refused = |what: String| Err(format!("event {number} of {}: its uuid {uuid} {what}", events.len()));
            let known = Known { line, kind: event.kind };
            if let Some((_, first)) = own.get(&uuid) {
                if unique {
                    return refused("is in its request twice, which v1 refuses".into());
                }
                let told = |event: &Event| (event.said_ms, event.before_ms, event.text.get().to_owned());
                if told(first) != told(event) {
                    return refused("is in its request twice, with another time or content".into());
                }
            }
            let before = self.0.get(&uuid).copied().or_else(|| own.get(&uuid).map(|(known, _)| *known));
            match before {
                Some(before) if before.kind != event.kind => {
                    let line = before.line;
                    return refused(format!(
                        "is in line {line}, too, with another name, person, or time or way to say it, or other than it was exported: one event cannot be both"
                    ));
                }
                Some(_) => repeats += 1,
                None => (),
            }
            own.entry(uuid).or_insert((known, event));
        }
        for (uuid, (known, _)) in own {
            self.0.entry(uuid).or_insert(known);
        }
        Ok(repeats)
    }
}
