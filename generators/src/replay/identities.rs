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

use super::{
    import::{Event, FARTHEST_MS},
    repeats::content_sum,
};

/// So many contents one uuid may have: each row of its event is held against every one of them.
const MOST_CONTENTS: usize = 16;

/// The events with a uuid that were taken in, some eighty bytes each.
#[derive(Debug, Default)]
pub(super) struct Identities {
    known: HashMap<Uuid, Known>,
    /// Checksums of the contents that are not those of the first line, of the few that have any.
    others: HashMap<Uuid, Vec<u64>>,
}

/// What is known of a uuid, from the line that had it first.
#[derive(Debug, Clone, Copy)]
struct Known {
    line: u64,
    /// A checksum of what all that is one event has in common.
    kind: u64,
    /// A checksum of what it says.
    content: u64,
    /// What its timestamp says.
    said_ms: Option<i64>,
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
        let (mut own, mut repeats) = (HashMap::<Uuid, (Known, i64)>::new(), 0);
        for (number, event) in (1..).zip(events) {
            let Some(uuid) = event.uuid else { continue };
            let refused = |what: String| Err(format!("event {number} of {}: its uuid {uuid} {what}", events.len()));
            let content = content_sum(event.text.get(), event.spelling.token_property);
            let now = Known { line, kind: event.kind, content, said_ms: event.said_ms };
            if let Some((first, before_ms)) = own.get(&uuid) {
                if unique {
                    return refused("is in its request twice, which v1 refuses".into());
                }
                if (first.said_ms, *before_ms, first.content) != (now.said_ms, event.before_ms, now.content) {
                    return refused("is in its request twice, with another time or content".into());
                }
            }
            if let Some(before) = self.known.get(&uuid).or_else(|| own.get(&uuid).map(|(known, _)| known)) {
                if let Some(what) = self.is_another(uuid, *before, now) {
                    return refused(what);
                }
                repeats += 1;
            }
            own.entry(uuid).or_insert((now, event.before_ms));
        }
        for (uuid, (now, _)) in own {
            let first = self.known.entry(uuid).or_insert(now);
            if first.content != now.content {
                let others = self.others.entry(uuid).or_default();
                if !others.contains(&now.content) {
                    others.push(now.content);
                }
            }
        }
        Ok(repeats)
    }

    /// Why what is there `now` cannot be the event that was there `before` with the same uuid; `None` if it can.
    fn is_another(&self, uuid: Uuid, before: Known, now: Known) -> Option<String> {
        let line = before.line;
        if before.kind != now.kind {
            return Some(format!(
                "is in line {line}, too, with another name, person, or time or way to say it, or other than it was exported: one event cannot be both"
            ));
        }
        // Whichever of them is sent first: no two are farther apart than an event may be from its request.
        let apart = before.said_ms.zip(now.said_ms).map_or(0, |(one, other)| one.abs_diff(other));
        if apart > FARTHEST_MS / 2 {
            return Some(format!(
                "is in line {line}, too, with a timestamp {apart} ms from this one, which is no time that can be replayed"
            ));
        }
        let others = self.others.get(&uuid).map_or(&[][..], Vec::as_slice);
        let is_new = now.content != before.content && !others.contains(&now.content);
        if is_new && others.len() + 1 >= MOST_CONTENTS {
            return Some(format!(
                "is in line {line}, too, and there are {MOST_CONTENTS} other contents of it: no event is held against more"
            ));
        }
        None
    }
}
