//! The workload: a pure function (seed, stream, seq) → event.
//!
//! The plan and the persona table are all that it needs, and both are kept in the run's manifest. Whatever changes the
//! events that a plan makes must raise [`WORKLOAD_VERSION`].

mod alteration;
mod blob;
mod client;
mod content;
mod elements;
mod fields;
mod group_identify;
mod hostile;
mod oddity;
mod person;
mod plain;
mod plan;
mod profile;
mod refused;
mod restriction;
mod spelling;
mod time_spelling;
mod twice;

use std::{ops::Range, sync::Arc, time::Duration};

use self::{
    content::{Session, Template, VARIANTS, Values, Variant},
    oddity::OddSources,
    person::Cast,
};
use crate::{
    event::{Event, EventSource, Properties},
    identity::{EventId, MARKER_PROPERTY, StreamId},
    permutation::Permutation,
    persona::PersonaTable,
    random::{Distribution, Purpose, Random, Share, Source},
    replay::{Again, BodySpelling, Recorded, Recording, Replaying, Style},
    request::{Request, Sending},
    schedule::Schedule,
};

pub use alteration::{ALTERED_NAME, Alteration};
pub use blob::Blob;
pub use client::{Client, ClientFault, ClientFaults};
pub(crate) use content::{LIBRARY, LIBRARY_VERSION};
pub use group_identify::NAME as GROUP_IDENTIFY;
pub use hostile::Hostile;
pub use oddity::{ALTERED, GROUP_TYPES, GROUPS_KEPT, Oddities, Subject, TimeForm};
pub(crate) use person::{Begin, Row};
pub use plain::{Content, Ids};
pub use plan::{
    Absence, Compression, Disorder, Endpoint, Extras, Form, Pace, Persons, Plan, Traffic, WORKLOAD_VERSION,
};
pub use profile::{BackOff, Facts, Profile, RetryAfter, SentAt};
pub use refused::Refused;
pub use restriction::{Restriction, Restrictions, restricted};
pub use spelling::{DistinctIdKey, RecordedSpelling, RequestSpelling, Spelling, TokenKey};
pub use time_spelling::{NO_TIME, TimeSpelling};
pub use twice::{DECOY_PROPERTY, Twice};

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
    /// What is replayed; nothing where events are made.
    replaying: Option<Replaying>,
    cast: Cast,
    content: Source,
    sessions: Source,
    names: Names,
    resend: Source,
    backdated: Source,
    ahead: Source,
    shuffle: Source,
    midnight: Source,
    sent_at: Source,
    odd: OddSources,
}

impl Stream {
    fn new(plan: &Plan, stream: StreamId, traffic: &Traffic, recording: Option<&Arc<Recording>>) -> Self {
        let source = |purpose| Source::new(plan.seed, stream, purpose);
        let schedule = Schedule::new(&traffic.arrival, plan.seed, stream);
        let replaying = recording.cloned().zip(traffic.replay).map(|(recording, pace)| {
            Replaying::new(recording, pace, traffic.disorder.shuffle, source(Purpose::Shuffle), &schedule)
        });
        Self {
            schedule,
            replaying,
            cast: Cast::new(plan.seed, plan.run, stream, traffic.persons),
            content: source(Purpose::Content),
            sessions: source(Purpose::Session),
            names: Names::new(source(Purpose::Mix), &traffic.names),
            resend: source(Purpose::Resend),
            backdated: source(Purpose::Backdated),
            ahead: source(Purpose::Ahead),
            shuffle: source(Purpose::Shuffle),
            midnight: source(Purpose::Midnight),
            sent_at: source(Purpose::SentAt),
            odd: OddSources::new(plan, stream, traffic),
        }
    }
}

impl Stream {
    /// Who event `seq` is about, and what differs in it from others.
    fn draw(&self, seq: u64) -> (person::Numbers, Values) {
        self.draw_for(seq, self.cast.numbers(seq))
    }

    fn draw_for(&self, seq: u64, role: person::Numbers) -> (person::Numbers, Values) {
        let session = Session::of(self.sessions.at(role.person), role.ordinal);
        (role, Values::draw(&mut self.content.at(seq), session))
    }

    /// When the event at `position` of the sending order is due. The events of a recording are numbered as they were sent
    /// first, and stay together in their requests.
    fn due(&self, position: u64) -> Duration {
        match &self.replaying {
            Some(replaying) => replaying.due(position, &self.schedule),
            None => self.schedule.due(position),
        }
    }

    /// What event `seq` is called.
    fn name(&self, seq: u64, identifies: bool, values: &Values) -> &str {
        if identifies { "$identify" } else { self.names.of(seq).unwrap_or(values.name()) }
    }
}

/// What events are called where the plan says so.
#[derive(Debug, Clone)]
struct Names {
    source: Source,
    /// Each with the sum of the weights up to its own.
    names: Vec<(String, u64)>,
}

impl Names {
    fn new(source: Source, names: &[(String, u64)]) -> Self {
        let mut sum = 0;
        let names = names.iter().map(|(name, weight)| {
            sum += weight;
            (name.clone(), sum)
        });
        Self { source, names: names.collect() }
    }

    fn of(&self, seq: u64) -> Option<&str> {
        let (_, all) = self.names.last()?;
        let at = self.source.at(seq).below(*all);
        let place = self.names.partition_point(|(_, sum)| *sum <= at);
        self.names.get(place).map(|(name, _)| name.as_str())
    }
}

impl Workload {
    /// The workload that `plan` and `personas` make.
    pub fn new(plan: Plan, personas: PersonaTable) -> Self {
        Self::replaying(plan, personas, None)
    }

    /// The same, where some traffic replays a recording.
    pub fn replaying(plan: Plan, personas: PersonaTable, recording: Option<&Arc<Recording>>) -> Self {
        let streams = plan.traffic.iter().enumerate();
        let streams =
            streams.map(|(stream, traffic)| Stream::new(&plan, StreamId(stream as u16), traffic, recording)).collect();
        let workload = Self { streams, plan, personas, templates: Vec::new() };
        let variants = (0..workload.personas.len() as u64)
            .flat_map(|persona| (0..VARIANTS).map(move |variant| (persona, variant)));
        let templates = variants.filter_map(|(persona, variant)| workload.template(persona, variant)).collect();
        Self { templates, ..workload }
    }

    /// The template of one variant of a persona, made from an example.
    fn template(&self, persona: u64, variant: u64) -> Option<Template> {
        let id = EventId { run: self.plan.run, stream: StreamId(0), seq: 0 };
        let mut random = Random::new(self.plan.seed, id.stream, 0, Purpose::Content);
        let values = Values::draw(&mut random.clone(), Session::of(random.clone(), random.below(1)));
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

    /// What an event holds; `None` if it was never planned, or holds something that no template does.
    pub fn content(&self, stream: StreamId, seq: u64) -> Option<Content<'_>> {
        self.traffic(stream).filter(|traffic| seq < traffic.events)?;
        let of_stream = self.stream(stream)?;
        let is_plain = of_stream.odd.is_none() || of_stream.odd.of(seq).is_plainly_stored();
        if !is_plain || of_stream.replaying.is_some() {
            return None;
        }
        self.content_of(of_stream, EventId { run: self.plan.run, stream, seq }, of_stream.draw(seq))
    }

    /// The same for one of several events in a row; what they have in common is kept in `row`.
    pub(crate) fn content_in(&self, stream: StreamId, seq: u64, row: &mut Row) -> Option<Content<'_>> {
        self.traffic(stream).filter(|traffic| seq < traffic.events)?;
        let of_stream = self.stream(stream)?;
        if !of_stream.odd.is_none() || of_stream.replaying.is_some() || self.is_shuffled(stream) {
            // These are in no row.
            return self.content(stream, seq);
        }
        let drawn = of_stream.draw_for(seq, of_stream.cast.numbers_in(seq, row));
        self.content_of(of_stream, EventId { run: self.plan.run, stream, seq }, drawn)
    }

    fn content_of<'a>(
        &'a self,
        of_stream: &'a Stream,
        id: EventId,
        (role, values): (person::Numbers, Values),
    ) -> Option<Content<'a>> {
        let personas = (self.personas.len() as u64).max(1);
        // Runs have a power of two of them, and that is no division.
        let persona = if personas.is_power_of_two() { role.person & (personas - 1) } else { role.person % personas };
        let template = self.templates.get((persona * VARIANTS + values.variant) as usize)?;
        let name = of_stream.name(id.seq, role.identifies, &values);
        Some(Content { template, name, values, role, id })
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

    /// When the event at `position` of the stream's sending order is due, from the start of the traffic; zero for an unknown
    /// stream.
    pub fn due(&self, stream: StreamId, position: u64) -> Duration {
        self.stream(stream).map_or(Duration::ZERO, |stream| stream.due(position))
    }

    /// Whether events change places. Those of a recording stay in their requests, which do.
    fn is_shuffled(&self, stream: StreamId) -> bool {
        let traffic = self.traffic(stream);
        traffic.is_some_and(|traffic| !traffic.disorder.shuffle.is_zero() && traffic.replay.is_none())
    }

    /// The recording that the stream replays, if some of its events stand in it more than once.
    pub(crate) fn repeating(&self, stream: StreamId) -> Option<&Recording> {
        let replaying = self.stream(stream)?.replaying.as_ref();
        replaying.map(|replaying| &*replaying.recording).filter(|recording| recording.repeats())
    }

    /// How many positions the stream's sending order has. An event that a recording holds more than once has as many.
    pub fn positions(&self, stream: StreamId) -> u64 {
        self.repeating(stream).map_or_else(|| self.planned(stream), Recording::positions)
    }

    /// Which event is sent at `position` of the stream's sending order.
    pub fn seq_at(&self, stream: StreamId, position: u64) -> u64 {
        if let Some(recording) = self.repeating(stream) {
            return recording.at(position).0;
        }
        if !self.is_shuffled(stream) {
            return position;
        }
        let (positions, permutation) = self.window(stream, position);
        positions.start + permutation.apply(position - positions.start)
    }

    /// Which events are sent at `positions` of the stream's sending order, one after another.
    pub fn seqs_at(&self, stream: StreamId, positions: Range<u64>) -> impl Iterator<Item = u64> {
        // Neighbours are shuffled in one window.
        let mut window: Option<(Range<u64>, Permutation)> = None;
        let is_shuffled = self.is_shuffled(stream);
        let repeating = self.repeating(stream);
        positions.map(move |position| {
            if !is_shuffled {
                return repeating.map_or(position, |recording| recording.at(position).0);
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
        if self.repeating(stream).is_some() {
            let first = self.seqs_at(stream, positions.clone()).min();
            let last = self.seqs_at(stream, positions.clone()).max();
            return first.zip(last).map_or_else(|| positions.clone(), |(first, last)| first..last + 1);
        }
        let Some(traffic) = self.traffic(stream).filter(|_| self.is_shuffled(stream) && !positions.is_empty()) else {
            return positions.clone();
        };
        // They change places only within a window.
        let window = |position| self.shuffled(stream, position, traffic.disorder.shuffle).1;
        window(positions.start).start..window(positions.end - 1).end.min(traffic.events)
    }

    /// The shuffle window of a length in which `position` is due: its number, and the positions that are due in it.
    fn shuffled(&self, stream: StreamId, position: u64, length: Duration) -> (u64, Range<u64>) {
        let Some(stream) = self.stream(stream) else { return (0, position..position + 1) };
        let nanos = length.as_nanos() as u64;
        let window = stream.due(position).as_nanos() as u64 / nanos;
        let begin = |window: u64| stream.schedule.before(Duration::from_nanos(window.saturating_mul(nanos)));
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

    /// How long after request `index` was due what was picked of it is sent again, in a request of its own; `None` if the same
    /// client's next request holds it, or if nothing is sent again.
    pub fn resend_after(&self, stream: StreamId, index: u64) -> Option<Duration> {
        let disorder = &self.traffic(stream).filter(|_| self.resends(stream))?.disorder;
        let mut random = Random::new(self.plan.seed, stream, index, Purpose::ResendAfter);
        disorder.resend_after.map(|after| random.delay(after))
    }

    /// How long after request `index` was due it comes a second time, byte for byte; `None` if it does not. What fails on purpose
    /// does not get so far that it could.
    pub fn duplicate_after(&self, stream: StreamId, index: u64) -> Option<Duration> {
        let Disorder { duplicate_requests, duplicate_after, .. } = self.traffic(stream)?.disorder;
        if duplicate_requests == Share::default() || self.client_fault(stream, index).is_some() {
            return None;
        }
        let mut random = Random::new(self.plan.seed, stream, index, Purpose::Duplicate);
        random.chance(duplicate_requests).then(|| random.delay(duplicate_after))
    }

    /// Whether an event is sent as a template makes it.
    pub fn is_plain(&self, stream: StreamId, seq: u64) -> bool {
        match self.stream(stream) {
            Some(Stream { replaying: None, odd, .. }) if odd.is_none() => true,
            _ => self.oddities(stream, seq).is_plain(),
        }
    }

    /// How an event differs from the plain ones of its stream.
    pub fn oddities(&self, stream: StreamId, seq: u64) -> Oddities {
        match self.stream(stream) {
            Some(Stream { replaying: Some(Replaying { recording, .. }), .. }) => {
                let time = recording.time(seq).map_or(TimeForm::default(), |(time, _)| time);
                let style = recording.style(recording.position_of(seq));
                let v1 = style.is_some_and(|style| style.endpoint.is_v1());
                let spelling = Spelling::Recorded(recording.spelling(seq));
                Oddities { recorded: true, v1, time, spelling, ..Oddities::default() }
            }
            Some(stream) => stream.odd.of(seq),
            None => Oddities::default(),
        }
    }

    /// How a request is made.
    pub fn style(&self, request: &Request) -> Option<Style> {
        let Traffic { endpoint, compression, form, historical, .. } = *self.traffic(request.stream)?;
        match &self.stream(request.stream)?.replaying {
            Some(replaying) => replaying.style(request.place()),
            None => Some(Style { endpoint, compression, form, historical }),
        }
    }

    /// The positions of request `index` of the stream, which follows on those before `position`; `None` behind the last.
    pub fn request_at(&self, stream: StreamId, index: u64, position: u64) -> Option<Range<u64>> {
        let (traffic, of_stream) = self.traffic(stream).zip(self.stream(stream))?;
        if let Some(replaying) = &of_stream.replaying {
            return replaying.request(index);
        }
        if position >= traffic.events {
            return None;
        }
        let (least, most) = traffic.batch;
        let mut random = Random::new(self.plan.seed, stream, index, Purpose::BatchSize);
        let size = (least + random.below(most.saturating_sub(least) + 1)).max(1);
        Some(position..traffic.events.min(position + size))
    }

    /// The clock of a client.
    pub fn clock(&self, stream: StreamId, client: u64) -> ClockError {
        let Some(Disorder { clock_skew, clock_drift, wrong_year, .. }) =
            self.traffic(stream).map(|traffic| &traffic.disorder)
        else {
            return ClockError::default();
        };
        let random = |purpose| Random::new(self.plan.seed, stream, client, purpose);
        let skew_micros = random(Purpose::ClockSkew).offset_micros(*clock_skew);
        let drift_micros = if *clock_drift == Distribution::default() {
            0
        } else {
            random(Purpose::ClockDrift).offset_micros(*clock_drift)
        };
        let mut year = random(Purpose::WrongYear);
        let years = if *wrong_year > Share::default() && year.chance(*wrong_year) {
            year.pick(&WRONG_BY_YEARS).copied().unwrap_or_default()
        } else {
            0
        };
        ClockError { skew_micros: skew_micros + years * YEAR_MICROS, drift_micros }
    }

    /// Whether a request of the stream says when it is sent.
    pub fn says_sent_at(&self, request: &Request) -> bool {
        let of_stream = self.traffic(request.stream).zip(self.stream(request.stream));
        let Some((Traffic { disorder: Disorder { no_sent_at: silent, .. }, .. }, stream)) = of_stream else {
            return true;
        };
        if let Some(Replaying { recording, .. }) = &stream.replaying {
            return recording.says_sent_at(request.place());
        }
        *silent == Share::default() || !stream.sent_at.at(request.index).chance(*silent)
    }

    /// How a request says what it is.
    pub fn spelling(&self, request: &Request) -> RequestSpelling {
        let Some(traffic) = self.traffic(request.stream) else { return RequestSpelling::default() };
        let mut spelling = RequestSpelling::default();
        if let Some(Stream { replaying: Some(Replaying { recording, .. }), .. }) = self.stream(request.stream) {
            let BodySpelling { token, list_of_one } = recording.body_spelling(request.place());
            spelling = RequestSpelling { list_of_one, token, ..spelling };
        }
        if traffic.spelling > Share::default() {
            // Far from the numbers of events, which are spelt by the same source.
            let mut random = Random::new(self.plan.seed, request.stream, !request.index, Purpose::Spelling);
            if random.chance(traffic.spelling) {
                spelling = RequestSpelling::draw(&mut random);
            }
        }
        if traffic.unknown_compression > Share::default() {
            let mut random = Random::new(self.plan.seed, request.stream, request.index, Purpose::UnknownCompression);
            if random.chance(traffic.unknown_compression) {
                spelling = spelling.with_unknown_hint(&mut random);
            }
        }
        spelling
    }

    /// Whether a browser sends the request as its page is closed (posthog-js, `_sendBeacon` in packages/browser/src/request.ts), and
    /// so hears of no answer. What fails on purpose is no such request, and neither is what is sent because of an answer.
    pub fn is_beacon(&self, request: &Request) -> bool {
        let share = self.traffic(request.stream).map(|traffic| traffic.client.beacon).unwrap_or_default();
        if share == Share::default() || !matches!(request.sending(), Sending::First | Sending::Duplicate) {
            return false;
        }
        let mut random = Random::new(self.plan.seed, request.stream, request.index, Purpose::Beacon);
        random.chance(share) && self.client_fault(request.stream, request.index).is_none()
    }

    /// The headers with which a request was recorded, as far as they are sent again; none where nothing was.
    pub fn recorded_headers(&self, request: &Request) -> Vec<(String, String)> {
        match self.stream(request.stream) {
            Some(Stream { replaying: Some(Replaying { recording, .. }), .. }) => recording.headers(request.place()),
            _ => Vec::new(),
        }
    }

    /// How request `index` of the stream fails on purpose, if it does.
    pub fn client_fault(&self, stream: StreamId, index: u64) -> Option<ClientFault> {
        self.traffic(stream)?.client.faults.of(self.plan.seed, stream, index)
    }

    /// When an event happens, in microseconds from the start of its traffic, on a clock that is right; `None` if it was
    /// never planned.
    pub fn occurred_micros(&self, stream: StreamId, seq: u64) -> Option<i64> {
        let traffic = self.traffic(stream).filter(|traffic| seq < traffic.events)?;
        let of_stream = self.stream(stream)?;
        if let Some(replaying) = &of_stream.replaying {
            // As long before its request as it was. That may be sent up to a window before its turn.
            let (_, before_ms) = replaying.recording.time(seq)?;
            let position = replaying.recording.position_of(seq);
            let sent = replaying.due_before(position, &of_stream.schedule).as_micros() as i64;
            let shuffle = traffic.disorder.shuffle.as_micros() as i64;
            return Some((sent - shuffle - before_ms * 1_000).div_euclid(1_000) * 1_000);
        }
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
        let Disorder { backdated, backdated_by, ahead, ahead_by, midnight, .. } = traffic.disorder;
        if midnight > Share::default() {
            let mut random = of_stream.midnight.at(seq);
            if random.chance(midnight) {
                let aside = random.below(2 * AROUND_MIDNIGHT_MICROS) as i64 - AROUND_MIDNIGHT_MICROS as i64;
                return Some((aside - self.plan.since_midnight.as_micros() as i64).div_euclid(1_000) * 1_000);
            }
        }
        let backdated = offset(backdated, of_stream.backdated, backdated_by);
        let ahead = offset(ahead, of_stream.ahead, ahead_by);
        // Clients write milliseconds.
        Some((due - shuffle - backdated + ahead).div_euclid(1_000) * 1_000)
    }
}

impl Workload {
    /// A recorded event that is told so, with an identity of this run.
    fn recorded(
        &self,
        recording: &Recording,
        id: EventId,
        told: Recorded,
        spelling: RecordedSpelling,
    ) -> Option<Event> {
        let mut properties = Properties::new();
        properties.insert(MARKER_PROPERTY.to_owned(), id.to_string().into());
        let oddities = Oddities { spelling: Spelling::Recorded(spelling), ..self.oddities(id.stream, id.seq) };
        let mut event = Event {
            id,
            occurred_micros: self.occurred_micros(id.stream, id.seq)?,
            properties,
            oddities,
            ids_of_person: recording.ids_of_person(&told.distinct_id),
            name: told.name,
            name_json: None,
            distinct_id: told.distinct_id,
            distinct_id_json: told.distinct_id_json,
            members: told.properties,
            others: told.others,
            blobs: Vec::new(),
        };
        oddities.spelling.apply(&mut event, &self.traffic(id.stream)?.token);
        Some(event)
    }

    /// How `request` tells event `seq`, if that stands in the recording before and is there again.
    fn again(&self, request: &Request, seq: u64) -> Option<(&Recording, Again)> {
        let recording = self.repeating(request.stream)?;
        Some((recording, recording.again(&request.positions, seq)?))
    }

    /// Event `seq` as `request` tells it, which may be a second sending.
    pub(crate) fn told(&self, request: &Request, seq: u64, second: bool) -> Option<Event> {
        if !second {
            return self.event(request.stream, seq);
        }
        let Some((recording, again)) = self.again(request, seq) else {
            let mut event = self.event(request.stream, seq)?;
            event.alter();
            return Some(event);
        };
        let id = EventId { run: self.plan.run, stream: request.stream, seq };
        let mut event = self.recorded(recording, id, recording.told_again(&again)?, again.spelling())?;
        event.occurred_micros += again.later_ms * 1_000;
        Some(event)
    }

    /// What a recorded event says where it stands in the recording again and says something else, each content once.
    pub fn other_contents(&self, stream: StreamId, seq: u64) -> Vec<Event> {
        let Some(recording) = self.repeating(stream) else { return Vec::new() };
        let id = EventId { run: self.plan.run, stream, seq };
        let others = recording.others(seq).into_iter();
        others.filter_map(|(told, spelling)| self.recorded(recording, id, told, spelling)).collect()
    }

    /// Which content of event `seq` `request` tells: 0 for that of the event itself, else its number among
    /// [`Self::other_contents`], from 1.
    pub fn content_told(&self, request: &Request, seq: u64) -> usize {
        self.again(request, seq).map_or(0, |(_, again)| again.content as usize)
    }

    /// How many microseconds later `request` says that event `seq` happened than the first one of a recording that holds it did.
    pub fn later_again_micros(&self, request: &Request, seq: u64) -> i64 {
        self.again(request, seq).map_or(0, |(_, again)| again.later_ms * 1_000)
    }

    /// When event `seq` happened and how long before its request that was, in milliseconds, where `request` tells it again.
    pub(crate) fn before_again(&self, request: &Request, seq: u64) -> Option<(i64, i64)> {
        let (_, Again { later_ms, before_ms, .. }) = self.again(request, seq)?;
        let shuffle = self.traffic(request.stream)?.disorder.shuffle.as_millis() as i64;
        let occurred_micros = self.occurred_micros(request.stream, seq)? + later_ms * 1_000;
        Some((occurred_micros, before_ms? + shuffle))
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
        if let Some(Replaying { recording, .. }) = &of_stream.replaying {
            return self.recorded(recording, id, recording.event(seq)?, recording.spelling(seq));
        }
        let (numbers, values) = of_stream.draw(seq);
        let role = numbers.role();
        let persona = self.personas.of(role.person)?;
        let name = of_stream.name(seq, numbers.identifies, &values).to_owned();
        let number = role.person % (self.personas.len() as u64).max(1);
        let variant = Variant::draw(self.plan.seed, number, values.variant);
        let properties = content::properties(&values, persona, &variant, &role, id);
        let mut event = Event {
            id,
            name,
            name_json: None,
            distinct_id: role.distinct_id,
            distinct_id_json: None,
            occurred_micros: self.occurred_micros(stream, seq)?,
            properties,
            members: Vec::new(),
            others: Vec::new(),
            blobs: Vec::new(),
            oddities: of_stream.odd.of(seq),
            ids_of_person: role.ids_of_person,
        };
        of_stream.odd.apply(&mut event);
        Some(event)
    }
}

/// How far a client's clock is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockError {
    /// By how many microseconds it is ahead at the start.
    skew_micros: i64,
    /// How much more it is after each hour.
    drift_micros: i64,
}

impl ClockError {
    /// By how many microseconds it is ahead, so long after the start.
    pub const fn at(self, micros: i64) -> i64 {
        if self.drift_micros == 0 {
            return self.skew_micros;
        }
        self.skew_micros + (self.drift_micros as i128 * micros as i128 / HOUR_MICROS as i128) as i64
    }
}

const HOUR_MICROS: i64 = 3_600_000_000;
/// Of 365 days.
const YEAR_MICROS: i64 = 365 * 24 * HOUR_MICROS;
/// What clocks in the field are set to: the year of the battery's death, last year, next year, a typing error.
const WRONG_BY_YEARS: [i64; 4] = [-5, -1, 1, 10];
/// An event around midnight is not further from it than this.
const AROUND_MIDNIGHT_MICROS: u64 = 2_000_000;

#[cfg(test)]
pub(crate) mod tests;
