//! Who an event is about: rounds over all persons, an anonymous phase, then identification.
//!
//! In each round every person has exactly one event, in an order of the round's own. So the round is the ordinal of the
//! event in its person's life, and "has this person identified yet?" needs no memory.

use crate::{
    identity::{RunId, StreamId},
    permutation::Permutation,
    random::{Purpose, Random},
    workload::Persons,
};

/// A person identifies in one of the first rounds after round 0, so that both phases are seen also in short runs.
const IDENTIFY_ROUNDS: u64 = 6;

/// The part that an event plays in its person's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Role {
    /// The person's number in the stream.
    pub person: u64,
    /// Which of the person's events this is, from 0.
    pub ordinal: u64,
    /// The id that the event is sent under.
    pub distinct_id: String,
    /// The id to be merged, in the event that identifies.
    pub identifies: Option<String>,
    /// All ids of the person, the anonymous one first.
    pub ids_of_person: Vec<String>,
}

pub(super) fn role(seed: u64, run: RunId, stream: StreamId, persons: Persons, seq: u64) -> Role {
    let count = persons.count.max(1);
    let (ordinal, place) = (seq / count, seq % count);
    let key = Random::new(seed, stream, ordinal, Purpose::Person).bits();
    let person = Permutation::new(key, count).apply(place);

    // The run is in the ids: on a shared or external store, earlier runs' persons must not be met again.
    let known = format!("user-{run}-{}-{person}", stream.0);
    let mut random = Random::new(seed, stream, person, Purpose::Identify);
    if !random.chance(persons.identify) {
        return Role { person, ordinal, distinct_id: known.clone(), identifies: None, ids_of_person: vec![known] };
    }
    let identifies_in = 1 + random.below(IDENTIFY_ROUNDS);
    let anonymous = format!("anon-{run}-{}-{:016x}", stream.0, random.bits());
    Role {
        person,
        ordinal,
        distinct_id: if ordinal < identifies_in { anonymous.clone() } else { known.clone() },
        identifies: (ordinal == identifies_in).then(|| anonymous.clone()),
        ids_of_person: vec![anonymous, known],
    }
}
