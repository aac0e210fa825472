//! The workload: a pure function (seed, stream, seq) → event.
//!
//! The plan and the persona table are all that it needs, and both are kept in the run's manifest. Whatever changes the
//! events that a plan makes must raise [`WORKLOAD_VERSION`].

mod client;
mod content;
mod person;
mod plan;
mod profile;

use std::{ops::Range, time::Duration};

use uuid::fmt::Hyphenated;

use self::{
    content::{Template, VARIANTS, Values, Variant},
    person::Cast,
};
use crate::{
    event::{Event, EventSource},
    identity::{EventId, StreamId},
    permutation::Permutation,
    persona::PersonaTable,
    random::{Distribution, Purpose, Random, Share, Source},
    schedule::Schedule,
};

pub use client::{Client, ClientFault, ClientFaults};
pub use plan::{Absence, Compression, Disorder, Endpoint, Persons, Plan, Traffic, WORKLOAD_VERSION};
pub use profile::{BackOff, Facts, Profile, RetryAfter, SentAt};

/// The workload of a run.
#[derive(Debug, Clone)]
pub struct Workload {
    plan: Plan,
    personas: PersonaTable,
    /// What follows from the plan of each stream.
    streams: Vec<Stream>,
    /// Variant after variant of each persona.
    templates: Vec<Template>,
}

/// What follows from the plan of a stream.
#[derive(Debug, Clone)]
struct Stream {
    schedule: Schedule,
    cast: Cast,
    content: Source,
    resend: Source,
    backdated: Source,
    ahead: Source,
    shuffle: Source,
}

impl Stream {
    fn new(plan: &Plan, stream: StreamId, traffic: &Traffic) -> Self {
        let source = |purpose| Source::new(plan.seed, stream, purpose);
        Self {
            schedule: Schedule::new(&traffic.arrival, plan.seed, stream),
            cast: Cast::new(plan.seed, plan.run, stream, traffic.persons),
            content: source(Purpose::Content),
            resend: source(Purpose::Resend),
            backdated: source(Purpose::Backdated),
            ahead: source(Purpose::Ahead),
            shuffle: source(Purpose::Shuffle),
        }
    }
}

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

/// What an event holds, before it is text: the very values that [`EventSource::event`] gives.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    template: &'a Template,
    values: Values,
    role: person::Numbers,
    id: EventId,
}

impl Content<'_> {
    /// The event's name.
    pub const fn name(&self) -> &'static str {
        self.values.name(self.role.identifies)
    }

    /// The number of its person in its stream, which decides the person's ids.
    pub const fn person(&self) -> u64 {
        self.role.person
    }

    /// Writes the id that it is sent for in the place of another one.
    pub fn write_distinct_id(&self, into: &mut Vec<u8>) {
        into.clear();
        self.role.write_distinct_id(into);
    }

    /// Its identity.
    pub const fn id(&self) -> EventId {
        self.id
    }

    /// Writes the ids that it is sent with in the place of others, and only those.
    pub fn write_wire_ids(&self, into: &mut Ids) {
        self.write_distinct_id(&mut into.distinct_id);
        into.anonymous.clear();
        if self.role.identifies {
            self.role.write_anonymous(&mut into.anonymous);
        }
    }

    /// Writes its ids in the place of others.
    pub fn write_ids(&self, into: &mut Ids) {
        self.write_distinct_id(&mut into.distinct_id);
        into.known.clear();
        self.role.write_known(&mut into.known);
        into.anonymous.clear();
        self.role.write_anonymous(&mut into.anonymous);
    }

    /// Whether it joins its person's two ids.
    pub const fn identifies(&self) -> bool {
        self.role.identifies
    }

    /// Appends its properties, the marker among them, as compact JSON in the order of their keys, and where in `into` each
    /// member begins, with the quote of its key.
    pub fn write(&self, ids: &Ids, into: &mut Vec<u8>, members: &mut Vec<u32>) {
        self.template.members(&self.role, &ids.anonymous, into.len(), members);
        let mut marker = [0; Hyphenated::LENGTH];
        self.id.to_uuid().hyphenated().encode_lower(&mut marker);
        self.template.write(&self.values, &self.role, &marker, &ids.anonymous, into);
    }

    /// Appends its properties without noting where they begin; `uuid` is its UUID as text.
    pub fn write_text(&self, ids: &Ids, uuid: &[u8; Hyphenated::LENGTH], into: &mut Vec<u8>) {
        self.template.write(&self.values, &self.role, uuid, &ids.anonymous, into);
    }
}

impl Workload {
    /// The workload that `plan` and `personas` make.
    pub fn new(plan: Plan, personas: PersonaTable) -> Self {
        let streams = plan.traffic.iter().enumerate();
        let streams = streams.map(|(stream, traffic)| Stream::new(&plan, StreamId(stream as u16), traffic)).collect();
        let workload = Self { streams, plan, personas, templates: Vec::new() };
        let variants = (0..workload.personas.len() as u64)
            .flat_map(|persona| (0..VARIANTS).map(move |variant| (persona, variant)));
        let templates = variants.filter_map(|(persona, variant)| workload.template(persona, variant)).collect();
        Self { templates, ..workload }
    }

    /// The template of one variant of a persona, made from an example.
    fn template(&self, persona: u64, variant: u64) -> Option<Template> {
        let id = EventId { run: self.plan.run, stream: StreamId(0), seq: 0 };
        let values = Values::draw(&mut Random::new(self.plan.seed, id.stream, 0, Purpose::Content));
        let role = person::Role {
            person: persona,
            ordinal: 0,
            distinct_id: String::new(),
            identifies: Some(String::new()),
            ids_of_person: Vec::new(),
        };
        let variant = Variant::draw(self.plan.seed, persona, variant);
        Some(Template::of(content::properties(&values, self.personas.of(persona)?, &variant, &role, id)))
    }

    /// What an event holds; `None` if it was never planned.
    pub fn content(&self, stream: StreamId, seq: u64) -> Option<Content<'_>> {
        self.traffic(stream).filter(|traffic| seq < traffic.events)?;
        let of_stream = self.stream(stream)?;
        let role = of_stream.cast.numbers(seq);
        let values = Values::draw(&mut of_stream.content.at(seq));
        let persona = role.person % (self.personas.len() as u64).max(1);
        let template = self.templates.get((persona * VARIANTS + values.variant) as usize)?;
        Some(Content { template, values, role, id: EventId { run: self.plan.run, stream, seq } })
    }

    /// The plan behind it.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The plan of one stream.
    pub fn traffic(&self, stream: StreamId) -> Option<&Traffic> {
        self.plan.traffic.get(usize::from(stream.0))
    }

    fn stream(&self, stream: StreamId) -> Option<&Stream> {
        self.streams.get(usize::from(stream.0))
    }

    /// Whether the stream's events are acked and must not appear; false for an unknown stream.
    pub fn must_be_absent(&self, stream: StreamId) -> bool {
        self.traffic(stream).is_some_and(|traffic| traffic.absent.is_some())
    }

    /// When the event at `position` of the stream's sending order is due, from the start of the traffic; zero for an unknown
    /// stream.
    pub fn due(&self, stream: StreamId, position: u64) -> Duration {
        self.stream(stream).map_or(Duration::ZERO, |stream| stream.schedule.due(position))
    }

    /// Which event is sent at `position` of the stream's sending order.
    pub fn seq_at(&self, stream: StreamId, position: u64) -> u64 {
        let Some(traffic) = self.traffic(stream) else { return position };
        if traffic.disorder.shuffle.is_zero() {
            return position;
        }
        let (positions, permutation) = self.window(stream, position);
        positions.start + permutation.apply(position - positions.start)
    }

    /// Which events are sent at `positions` of the stream's sending order, one after another.
    pub fn seqs_at(&self, stream: StreamId, positions: Range<u64>) -> impl Iterator<Item = u64> {
        // Neighbours are shuffled in one window.
        let mut window: Option<(Range<u64>, Permutation)> = None;
        let is_shuffled = self.traffic(stream).is_some_and(|traffic| !traffic.disorder.shuffle.is_zero());
        positions.map(move |position| {
            if !is_shuffled {
                return position;
            }
            let (positions, permutation) = match window.take().filter(|(positions, _)| positions.contains(&position)) {
                Some(same) => same,
                None => self.window(stream, position),
            };
            let seq = positions.start + permutation.apply(position - positions.start);
            window = Some((positions, permutation));
            seq
        })
    }

    /// The shuffle window in which `position` is due: its positions, and their order.
    fn window(&self, stream: StreamId, position: u64) -> (Range<u64>, Permutation) {
        let (events, shuffle) =
            self.traffic(stream).map_or((0, Duration::ZERO), |traffic| (traffic.events, traffic.disorder.shuffle));
        let (window, positions) = self.shuffled(stream, position, shuffle);
        let key = self.stream(stream).map_or(0, |stream| stream.shuffle.at(window).bits());
        let positions = positions.start..positions.end.min(events).max(positions.start);
        let size = positions.end - positions.start;
        (positions, Permutation::new(key, size))
    }

    /// Where the sequence numbers lie that are sent at `positions` of the stream's sending order; there may be others.
    pub fn reach(&self, stream: StreamId, positions: &Range<u64>) -> Range<u64> {
        let Some(traffic) = self.traffic(stream) else { return positions.clone() };
        if traffic.disorder.shuffle.is_zero() || positions.is_empty() {
            return positions.clone();
        }
        // They change places only within a window.
        let window = |position| self.shuffled(stream, position, traffic.disorder.shuffle).1;
        window(positions.start).start..window(positions.end - 1).end.min(traffic.events)
    }

    /// The shuffle window of a length in which `position` is due: its number, and the positions that are due in it.
    fn shuffled(&self, stream: StreamId, position: u64, length: Duration) -> (u64, Range<u64>) {
        let Some(Stream { schedule, .. }) = self.stream(stream) else { return (0, position..position + 1) };
        let nanos = length.as_nanos() as u64;
        let window = schedule.due(position).as_nanos() as u64 / nanos;
        let begin = |window: u64| schedule.before(Duration::from_nanos(window.saturating_mul(nanos)));
        (window, begin(window)..begin(window + 1))
    }

    /// Whether any event of the stream is sent a second time.
    pub fn resends(&self, stream: StreamId) -> bool {
        self.traffic(stream).is_some_and(|traffic| traffic.disorder.resend > Share::default())
    }

    /// Whether the event is sent a second time.
    pub fn is_resent(&self, stream: StreamId, seq: u64) -> bool {
        let of_stream = self.traffic(stream).zip(self.stream(stream));
        of_stream.is_some_and(|(traffic, sources)| sources.resend.at(seq).chance(traffic.disorder.resend))
    }

    /// How request `index` of the stream fails on purpose, if it does.
    pub fn client_fault(&self, stream: StreamId, index: u64) -> Option<ClientFault> {
        self.traffic(stream)?.client.faults.of(self.plan.seed, stream, index)
    }

    /// By how many microseconds the clock of `client` is ahead.
    pub fn clock_skew_micros(&self, stream: StreamId, client: u64) -> i64 {
        self.traffic(stream).map_or(0, |traffic| {
            Random::new(self.plan.seed, stream, client, Purpose::ClockSkew).offset_micros(traffic.disorder.clock_skew)
        })
    }

    /// When an event happens, in microseconds from the start of its traffic, on a clock that is right; `None` if it was
    /// never planned.
    pub fn occurred_micros(&self, stream: StreamId, seq: u64) -> Option<i64> {
        let traffic = self.traffic(stream).filter(|traffic| seq < traffic.events)?;
        let of_stream = self.stream(stream)?;
        let due = of_stream.schedule.due(seq).as_micros() as i64;
        // A shuffled event may be sent up to a window before its turn: it must have happened by then.
        let shuffle = traffic.disorder.shuffle.as_micros() as i64;
        let offset = |share: Share, source: Source, by: Distribution| {
            if share == Share::default() {
                return 0;
            }
            let mut random = source.at(seq);
            if random.chance(share) { random.offset_micros(by) } else { 0 }
        };
        let Disorder { backdated, backdated_by, ahead, ahead_by, .. } = traffic.disorder;
        let backdated = offset(backdated, of_stream.backdated, backdated_by);
        let ahead = offset(ahead, of_stream.ahead, ahead_by);
        // Clients write milliseconds.
        Some((due - shuffle - backdated + ahead).div_euclid(1_000) * 1_000)
    }
}

impl EventSource for Workload {
    fn streams(&self) -> Vec<StreamId> {
        (0..self.plan.traffic.len()).map(|index| StreamId(index as u16)).collect()
    }

    fn planned(&self, stream: StreamId) -> u64 {
        self.traffic(stream).map_or(0, |traffic| traffic.events)
    }

    fn event(&self, stream: StreamId, seq: u64) -> Option<Event> {
        self.traffic(stream).filter(|traffic| seq < traffic.events)?;
        let id = EventId { run: self.plan.run, stream, seq };
        let of_stream = self.stream(stream)?;
        let role = of_stream.cast.numbers(seq).role();
        let persona = self.personas.of(role.person)?;
        let values = Values::draw(&mut of_stream.content.at(seq));
        let name = values.name(role.identifies.is_some()).to_owned();
        let number = role.person % (self.personas.len() as u64).max(1);
        let variant = Variant::draw(self.plan.seed, number, values.variant);
        let properties = content::properties(&values, persona, &variant, &role, id);
        Some(Event {
            id,
            name,
            distinct_id: role.distinct_id,
            occurred_micros: self.occurred_micros(stream, seq)?,
            properties,
            ids_of_person: role.ids_of_person,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;
    use crate::{
        identity::RunId,
        schedule::{Arrival, Rate},
    };

    /// A small workload with every kind of disorder.
    pub(crate) fn small() -> Workload {
        let plan = Plan {
            workload_version: WORKLOAD_VERSION,
            run: RunId::new(7),
            seed: 42,
            traffic: vec![Traffic {
                name: "app".into(),
                events: 5_000,
                arrival: Arrival::Constant { rate: Rate::new(1_000, Duration::from_secs(1)).unwrap() },
                batch: (1, 20),
                endpoint: Endpoint::Batch,
                compression: Compression::None,
                token: "phc_test".into(),
                team: 1,
                persons: Persons { count: 400, identify: Share::new(0.25).unwrap() },
                disorder: Disorder {
                    backdated: Share::new(0.05).unwrap(),
                    backdated_by: Distribution::Exponential { mean: Duration::from_secs(30) },
                    ahead: Share::default(),
                    ahead_by: Distribution::default(),
                    shuffle: Duration::from_secs(2),
                    resend: Share::new(0.02).unwrap(),
                    clock_skew: Distribution::Normal { mean: Duration::ZERO, deviation: Duration::from_secs(2) },
                },
                clients: 4,
                absent: None,
                client: Client::default(),
            }],
        };
        let personas = PersonaTable::make(plan.seed, 16);
        Workload::new(plan, personas)
    }

    const STREAM: StreamId = StreamId(0);

    fn events(workload: &Workload) -> Vec<Event> {
        (0..workload.planned(STREAM)).filter_map(|seq| workload.event(STREAM, seq)).collect()
    }

    #[test]
    fn it_is_a_pure_function() {
        let (workload, again) = (small(), small());
        assert_eq!(workload.event(STREAM, 17), again.event(STREAM, 17));
        assert_ne!(workload.event(STREAM, 17), workload.event(STREAM, 18));
        assert_eq!(workload.event(STREAM, 5_000), None);
        assert_eq!(workload.event(StreamId(1), 0), None);
    }

    #[test]
    fn the_sending_order_holds_each_event_once_and_is_shuffled_only_within_the_window() {
        let workload = small();
        let order: Vec<u64> = (0..5_000).map(|position| workload.seq_at(STREAM, position)).collect();
        assert_eq!(order.iter().collect::<HashSet<_>>().len(), 5_000);
        assert!(order.iter().enumerate().all(|(position, seq)| (position as u64).abs_diff(*seq) < 2_000));
        assert!(order.iter().enumerate().filter(|(position, seq)| *position as u64 != **seq).count() > 4_900);
    }

    #[test]
    fn the_reach_of_positions_holds_their_events() {
        let workload = small();
        for positions in [0..1, 1_999..2_001, 4_990..5_000] {
            let reach = workload.reach(STREAM, &positions);
            assert!(reach.end <= 5_000 && positions.clone().all(|at| reach.contains(&workload.seq_at(STREAM, at))));
        }
        assert_eq!(workload.reach(STREAM, &(0..10)), 0..2_000);
        assert_eq!(workload.reach(STREAM, &(7..7)), 7..7);
    }

    #[test]
    fn no_event_happens_after_it_is_sent() {
        let workload = small();
        for position in 0..5_000 {
            let event = workload.event(STREAM, workload.seq_at(STREAM, position)).unwrap();
            assert!(
                event.occurred_micros <= workload.due(StreamId(0), position).as_micros() as i64,
                "position {position}"
            );
        }
    }

    #[test]
    fn events_may_be_said_to_happen_later_than_they_are_sent() {
        let mut plan = small().plan().clone();
        plan.traffic[0].disorder.ahead = Share::new(0.1).unwrap();
        plan.traffic[0].disorder.ahead_by = Distribution::Constant { value: Duration::from_hours(1) };
        let (ahead, usual) = (Workload::new(plan, PersonaTable::make(42, 16)), small());
        let of = |workload: &Workload, seq| workload.occurred_micros(STREAM, seq).unwrap();
        let moved: Vec<i64> = (0..5_000).map(|seq| of(&ahead, seq) - of(&usual, seq)).filter(|by| *by != 0).collect();
        assert!(moved.iter().all(|by| *by == 3_600_000_000) && (400..600).contains(&moved.len()), "{}", moved.len());
    }

    #[test]
    fn shares_are_as_planned() {
        let workload = small();
        let resent = (0..5_000).filter(|&seq| workload.is_resent(STREAM, seq)).count();
        assert!((60..140).contains(&resent), "2 % of 5 000 is 100, not {resent}");
        let identifying: HashSet<_> =
            events(&workload).into_iter().filter(|e| e.name == "$identify").map(|e| e.distinct_id).collect();
        assert!((60..140).contains(&identifying.len()), "25 % of 400 is 100, not {}", identifying.len());
    }

    #[test]
    fn a_person_identifies_once_and_keeps_its_known_id_afterwards() {
        let mut by_person: HashMap<Vec<String>, Vec<Event>> = HashMap::new();
        for event in events(&small()) {
            assert!(event.ids_of_person.contains(&event.distinct_id));
            by_person.entry(event.ids_of_person.clone()).or_default().push(event);
        }
        assert_eq!(by_person.len(), 400);
        for (ids, events) in by_person.iter().filter(|(ids, _)| ids.len() == 2) {
            let at = events.iter().position(|event| event.name == "$identify").expect("identifies in this run");
            assert_eq!(events.iter().filter(|event| event.name == "$identify").count(), 1);
            assert!(events[..at].iter().all(|event| event.distinct_id == ids[0]), "anonymous before");
            assert!(events[at..].iter().all(|event| event.distinct_id == ids[1]), "known after");
            assert_eq!(events[at].properties["$anon_distinct_id"], ids[0].as_str());
        }
    }

    #[test]
    fn both_ways_to_an_event_say_the_same() {
        let workload = small();
        let mut ids = Ids::default();
        for seq in 0..workload.planned(STREAM) {
            let event = workload.event(STREAM, seq).unwrap();
            let content = workload.content(STREAM, seq).unwrap();
            content.write_ids(&mut ids);
            // Behind something else, as in a batch.
            let (mut json, mut members) = (b"[".to_vec(), Vec::new());
            content.write(&ids, &mut json, &mut members);
            assert_eq!(str::from_utf8(&json[1..]).unwrap(), serde_json::to_string(&event.properties).unwrap());
            let key = |begin: &u32| {
                let member = str::from_utf8(&json[*begin as usize..]).unwrap();
                serde_json::from_str::<String>(&member[..member.find(':').unwrap()]).unwrap()
            };
            assert!(members.iter().map(key).eq(event.properties.keys().cloned()));
            assert_eq!((content.name(), &ids.distinct_id[..]), (event.name.as_str(), event.distinct_id.as_bytes()));
            let of_person = [&ids.anonymous, &ids.known].into_iter().filter(|id| !id.is_empty());
            let expected: Vec<&[u8]> = event.ids_of_person.iter().map(String::as_bytes).collect();
            assert_eq!(of_person.map(Vec::as_slice).collect::<Vec<_>>(), expected);
        }
        assert!(workload.content(STREAM, 5_000).is_none() && workload.content(StreamId(1), 0).is_none());
    }

    #[test]
    fn events_are_pinned() {
        let workload = small();
        let event = workload.event(STREAM, 17).unwrap();
        // Without the persona's own values, which belong to `fake`.
        let own: Vec<_> = ["$session_id", "assay_id", "cart", "price", "quantity", "ratio"]
            .iter()
            .map(|key| format!("{key}={}", event.properties.get(*key).unwrap_or(&serde_json::Value::Null)))
            .collect();
        insta::assert_snapshot!(format!(
            "{} {} {} {}",
            event.name,
            event.distinct_id,
            event.occurred_micros,
            own.join(" ")
        ));
    }
}
