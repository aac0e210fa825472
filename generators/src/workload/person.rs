//! Who an event is about: rounds over all persons, an anonymous phase, then identification.
//!
//! Hot persons stand beside these rounds: a share of all events is theirs.
//!
//! In each round every person has exactly one event, in an order of the round's own. So the round is the ordinal of the
//! event in its person's life, and "has this person identified yet?" needs no memory.

use crate::{
    identity::{RunId, StreamId},
    permutation::Permutation,
    random::{Purpose, Share, Source},
    text,
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

/// The same in numbers, from which the texts follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    run: RunId,
    stream: StreamId,
    /// The person's number in the stream.
    pub person: u64,
    /// Which of the person's events this is, from 0.
    pub ordinal: u64,
    /// What the anonymous id is made of, where the person has one.
    pub anonymous: Option<u64>,
    /// Whether the event is sent under the anonymous id.
    pub is_anonymous: bool,
    /// Whether the event identifies its person.
    pub identifies: bool,
}

/// So many persons are drawn together.
const ROW: usize = 16;

/// The persons of several usual events in a row.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    /// Of which order they are, and the first event; none yet, if there is none.
    key: Option<(Source, u64, u64)>,
    ordinal: u64,
    persons: [u64; ROW],
}

/// Who the events of a stream are about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cast {
    run: RunId,
    stream: StreamId,
    persons: Persons,
    order: Source,
    identify: Source,
    hot: Source,
}

impl Cast {
    pub const fn new(seed: u64, run: RunId, stream: StreamId, persons: Persons) -> Self {
        Self {
            run,
            stream,
            persons,
            order: Source::new(seed, stream, Purpose::Person),
            identify: Source::new(seed, stream, Purpose::Identify),
            hot: Source::new(seed, stream, Purpose::Hot),
        }
    }

    /// The part that event `seq` plays.
    pub fn numbers(&self, seq: u64) -> Numbers {
        let (ordinal, place) = self.round(seq);
        self.numbers_of(seq, ordinal, self.order_of(ordinal).apply(place))
    }

    /// The same for one of several events in a row, whose persons are drawn together in `row`.
    pub fn numbers_in(&self, seq: u64, row: &mut Row) -> Numbers {
        let first = seq - seq % ROW as u64;
        let key = Some((self.order, self.count(), first));
        if row.key != key {
            let (ordinal, place) = self.round(first);
            if place + ROW as u64 > self.count() {
                // Two rounds meet here.
                return self.numbers(seq);
            }
            let places = std::array::from_fn(|at| place + at as u64);
            *row = Row { key, ordinal, persons: self.order_of(ordinal).apply_all(places) };
        }
        self.numbers_of(seq, row.ordinal, row.persons[(seq - first) as usize])
    }

    fn count(&self) -> u64 {
        self.persons.count.max(1)
    }

    /// How many persons there are, hot ones included.
    pub fn everybody(&self) -> u64 {
        let hot = if self.persons.hot == Share::default() { 0 } else { self.persons.hot_count.max(1) };
        self.count() + hot
    }

    /// All ids of a person, the anonymous one first.
    pub fn ids_of(&self, person: u64) -> Vec<String> {
        let numbers = self.usual(0, person);
        // Hot ones come behind all others, and are known from the beginning.
        let anonymous = numbers.anonymous.filter(|_| person < self.count());
        Numbers { anonymous, is_anonymous: false, identifies: false, ..numbers }.role().ids_of_person
    }

    /// Which round an event is in, and its place there.
    fn round(&self, seq: u64) -> (u64, u64) {
        let count = self.count();
        (seq / count, seq % count)
    }

    /// The order of the persons in a round.
    const fn order_of(&self, round: u64) -> Permutation {
        Permutation::new(self.order.at(round).bits(), if self.persons.count == 0 { 1 } else { self.persons.count })
    }

    fn numbers_of(&self, seq: u64, ordinal: u64, person: u64) -> Numbers {
        let usual = self.usual(ordinal, person);
        if self.persons.hot == Share::default() || usual.identifies {
            return usual;
        }
        let mut random = self.hot.at(seq);
        if !random.chance(self.persons.hot) {
            return usual;
        }
        // They come behind all others, are known from the beginning, and count no rounds.
        let person = self.count() + random.below(self.persons.hot_count.max(1));
        Numbers { person, ordinal: seq, anonymous: None, is_anonymous: false, ..usual }
    }

    /// The part that it would play if nobody were hot.
    fn usual(&self, ordinal: u64, person: u64) -> Numbers {
        let Self { run, stream, persons, .. } = *self;
        let mut random = self.identify.at(person);
        let known = Numbers { run, stream, person, ordinal, anonymous: None, is_anonymous: false, identifies: false };
        if !random.chance(persons.identify) {
            return known;
        }
        let identifies_in = 1 + random.below(IDENTIFY_ROUNDS);
        Numbers {
            anonymous: Some(random.bits()),
            is_anonymous: ordinal < identifies_in,
            identifies: ordinal == identifies_in,
            ..known
        }
    }
}

/// What the ids of a stream's persons have in common, behind their kind; kept, since the next event is likely to be of the same
/// stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Begin {
    of: Option<(RunId, StreamId)>,
    text: [u8; 17],
    length: usize,
}

impl Begin {
    /// `RUN-STREAM-`, with the run as it is written everywhere.
    fn of(&mut self, run: RunId, stream: StreamId) -> &[u8] {
        if self.of != Some((run, stream)) {
            let stream_text = u64::from(stream.0);
            let end = 11 + text::decimal_length(stream_text);
            self.text = [b'-'; 17];
            text::put_hexadecimal(&mut self.text[..10], run.get());
            text::put_digits(&mut self.text[11..end], stream_text);
            (self.of, self.length) = (Some((run, stream)), end + 1);
        }
        &self.text[..self.length]
    }
}

// The run is in the ids: on a shared or external store, earlier runs' persons must not be met again.
impl Numbers {
    /// Writes the id by which the person is known: `user-RUN-STREAM-PERSON`.
    pub fn write_known(&self, begin: &mut Begin, into: &mut Vec<u8>) {
        into.extend_from_slice(b"user-");
        into.extend_from_slice(begin.of(self.run, self.stream));
        text::put_decimal(into, self.person);
    }

    /// Writes the anonymous id, `anon-RUN-STREAM-RANDOM`; nothing where the person has none.
    pub fn write_anonymous(&self, begin: &mut Begin, into: &mut Vec<u8>) {
        if let Some(bits) = self.anonymous {
            into.extend_from_slice(b"anon-");
            into.extend_from_slice(begin.of(self.run, self.stream));
            into.extend_from_slice(&[0; 16]);
            let start = into.len() - 16;
            text::put_hexadecimal(&mut into[start..], bits);
        }
    }

    /// Writes the id that the event is sent under.
    pub fn write_distinct_id(&self, begin: &mut Begin, into: &mut Vec<u8>) {
        if self.is_anonymous { self.write_anonymous(begin, into) } else { self.write_known(begin, into) }
    }

    /// The role with its texts.
    pub fn role(&self) -> Role {
        let text = |write: fn(&Self, &mut Begin, &mut Vec<u8>)| {
            let mut text = Vec::new();
            write(self, &mut Begin::default(), &mut text);
            String::from_utf8(text).unwrap_or_default()
        };
        let known = text(Self::write_known);
        let anonymous = self.anonymous.map(|_| text(Self::write_anonymous));
        Role {
            person: self.person,
            ordinal: self.ordinal,
            distinct_id: text(Self::write_distinct_id),
            identifies: anonymous.clone().filter(|_| self.identifies),
            ids_of_person: anonymous.into_iter().chain([known]).collect(),
        }
    }
}
