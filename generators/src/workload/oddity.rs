//! How single events differ from the plain ones of their stream: each in its share, and each drawn apart from the others.
//!
//! A plain event is made from a template. One with an oddity is made the plain way, as an [`Event`], so that speed is paid for
//! by those events alone.

use serde::{Deserialize, Serialize};

use super::{
    Names,
    alteration::Alteration,
    blob, elements, fields, group_identify,
    hostile::Hostile,
    person::Cast,
    plan::{Disorder, Endpoint, Extras, Plan, Traffic},
    refused::Refused,
    restriction::Restriction,
    spelling::Spelling,
    time_spelling::TimeSpelling,
    twice::Twice,
};
use crate::{
    event::{Event, Member},
    identity::{RunId, StreamId},
    random::{Purpose, Random, Share, Source},
    text::put_hexadecimal,
};

/// How an event says when it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeForm {
    /// By `timestamp`.
    #[default]
    Timestamp,
    /// By `offset`: how long before it was sent.
    Offset,
    /// By both, and the offset says a minute more.
    Both,
    /// Not at all.
    Neither,
    /// By `timestamp`, with the property `$ignore_sent_at`: it is to be taken as it is.
    IgnoreSentAt,
}

impl TimeForm {
    /// Whether there is a `timestamp`.
    pub const fn has_timestamp(self) -> bool {
        matches!(self, Self::Timestamp | Self::Both | Self::IgnoreSentAt)
    }
}

/// What an event is about; most are about what somebody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Subject {
    /// Somebody did something.
    #[default]
    Action,
    /// A model was asked.
    Ai,
    /// A piece of a session's recording.
    Recording,
    /// Something went wrong.
    Exception,
}

/// How an event differs from a plain one; not at all by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent oddities, each of which is asked for by its name")]
pub struct Oddities {
    /// It holds content that hurts.
    pub hostile: Option<Hostile>,
    /// So many bytes are added.
    pub padding: u64,
    /// It belongs to groups.
    pub grouped: bool,
    /// If it does: how many more types its team has than are kept.
    pub group_types_over: u64,
    /// It says what a group is, unless it joins two ids.
    pub group_identify: bool,
    /// It holds the elements that were clicked.
    pub elements: bool,
    /// It has fields beside the usual ones.
    pub fields: bool,
    /// How it says when it happened.
    pub time: TimeForm,
    /// How its timestamp is written, if it has one.
    pub time_spelling: TimeSpelling,
    /// It is sent without a uuid.
    pub no_uuid: bool,
    /// What stands for that is an empty text.
    pub empty_uuid: bool,
    /// It asks for a merge with an id that no person may have.
    pub illegal_alias: bool,
    /// How it says whose it is.
    pub spelling: Spelling,
    /// What it says twice, if anything.
    pub twice: Option<Twice>,
    /// What it is about.
    pub subject: Subject,
    /// Its second sending holds something else.
    pub altered: bool,
    /// If it does: what differs.
    pub alteration: Alteration,
    /// It is odd and goes to v1, where what other fields and a header say becomes properties, and some are refused.
    pub v1: bool,
    /// It was recorded, and no template makes anything of it.
    pub recorded: bool,
    /// What is wrong with it, where v1 refuses it by itself.
    pub refused: Option<Refused>,
    /// It comes without cookies, unless it joins two ids.
    pub cookieless: bool,
    /// It is of the pipeline's own people.
    pub internal: bool,
    /// Its properties stand within its own part, where it has parts.
    pub embedded: bool,
    /// Some of its contents have parts of their own.
    pub blobs: bool,
    /// What an operator tells capture to do with its person's events.
    pub restriction: Option<Restriction>,
}

/// The property that the second sending of an event changes whose content is altered, and what it holds then.
pub const ALTERED: (&str, &str) = ("motto", "altered on its way");
/// The property that makes an event large.
const PADDING: &str = "padding";
/// So many types of groups are kept of a team (ingestion contract 2.4).
pub const GROUPS_KEPT: u64 = 5;
/// The names of groups' types.
pub const GROUP_TYPES: [&str; 8] =
    ["company", "project", "workspace", "instance", "customer", "region", "tenant", "brand"];

impl Oddities {
    /// Whether the event is sent as a template makes it.
    pub fn is_plain(self) -> bool {
        self == Self::default()
    }

    /// The same for one that says what a group is: it holds nothing that could spoil that.
    fn of_group(self) -> Self {
        Self {
            group_identify: true,
            hostile: None,
            padding: 0,
            grouped: false,
            group_types_over: 0,
            elements: false,
            fields: false,
            illegal_alias: false,
            spelling: Spelling::Usual,
            twice: None,
            v1: false,
            refused: None,
            cookieless: false,
            subject: Subject::Action,
            ..self
        }
    }

    /// Whether its second sending has another content than the first.
    pub fn has_other_content(self) -> bool {
        self.altered && self.alteration == Alteration::Content
    }

    /// Whether its second sending has another name than the first. Which events can have one is known of the [`Event`] alone.
    pub fn has_other_name(self) -> bool {
        self.altered && self.alteration == Alteration::Name
    }

    /// By how many microseconds the second sending says that it happened earlier.
    pub const fn earlier_again_micros(self) -> i64 {
        if self.altered { self.alteration.earlier_micros() } else { 0 }
    }

    /// Whether its row holds what a template makes, however it says its time.
    pub fn is_plainly_stored(self) -> bool {
        self.time != TimeForm::IgnoreSentAt
            && Self { time: TimeForm::default(), time_spelling: TimeSpelling::default(), ..self }.is_plain()
    }
}

/// Where the oddities of a stream's events come from.
#[derive(Debug, Clone)]
pub(super) struct OddSources {
    run: RunId,
    stream: StreamId,
    /// No event of the stream has any.
    none: bool,
    /// How many more types of groups the team has than are kept.
    group_types_over: u64,
    /// Its plan.
    traffic: Traffic,
    hostile: Source,
    size: Source,
    groups: Source,
    group_identify: Source,
    elements: Source,
    fields: Source,
    time: Source,
    time_spelling: Source,
    uuidless: Source,
    altered: Source,
    alteration: Source,
    resend: Source,
    empty_uuid: Source,
    illegal_alias: Source,
    spelling: Source,
    twice: Source,
    subject: Source,
    refused: Source,
    cookieless: Source,
    internal: Source,
    embedded: Source,
    blobs: Source,
    restricted: Source,
    /// Whose events are restricted.
    cast: Cast,
    /// What events are called, where some are called what makes them odd.
    names: Option<Names>,
}

impl OddSources {
    pub fn new(plan: &Plan, stream: StreamId, traffic: &Traffic) -> Self {
        let source = |purpose| Source::new(plan.seed, stream, purpose);
        let of_team = plan.traffic.iter().filter(|other| other.team == traffic.team);
        let group_types = of_team.map(|other| other.extras.group_types).max().unwrap_or_default();
        let (disorder, extras) = (&traffic.disorder, &traffic.extras);
        let Disorder {
            offset,
            offset_and_timestamp,
            no_timestamp,
            ignore_sent_at,
            no_uuid,
            empty_uuid,
            altered,
            time_spelling,
            ..
        } = *disorder;
        let shares = [
            empty_uuid,
            traffic.persons.illegal_alias,
            traffic.spelling,
            extras.fields,
            extras.twice,
            offset,
            offset_and_timestamp,
            no_timestamp,
            ignore_sent_at,
            time_spelling,
            no_uuid,
            altered,
            extras.hostile,
            extras.large,
            extras.grouped,
            extras.group_identify,
            extras.elements,
            extras.refused,
            extras.cookieless,
            extras.internal,
        ];
        let is_odd = |(name, _): &(String, u64)| of_name(name) != Subject::Action;
        let names = traffic.names.iter().any(is_odd).then(|| Names::new(source(Purpose::Mix), &traffic.names));
        Self {
            run: plan.run,
            stream,
            group_types_over: group_types.saturating_sub(GROUPS_KEPT),
            none: shares.iter().all(|share| *share == Share::default())
                && names.is_none()
                && traffic.restricted.is_none()
                && subject(traffic) == Subject::Action,
            traffic: traffic.clone(),
            hostile: source(Purpose::Hostile),
            size: source(Purpose::Size),
            groups: source(Purpose::Groups),
            group_identify: source(Purpose::GroupIdentify),
            elements: source(Purpose::Elements),
            fields: source(Purpose::Fields),
            time: source(Purpose::TimeForm),
            time_spelling: source(Purpose::TimeSpelling),
            uuidless: source(Purpose::Uuidless),
            altered: source(Purpose::Altered),
            alteration: source(Purpose::Alteration),
            resend: source(Purpose::Resend),
            empty_uuid: source(Purpose::EmptyUuid),
            illegal_alias: source(Purpose::IllegalAlias),
            spelling: source(Purpose::Spelling),
            twice: source(Purpose::Twice),
            subject: source(Purpose::Subject),
            refused: source(Purpose::Refused),
            cookieless: source(Purpose::Cookieless),
            internal: source(Purpose::Internal),
            embedded: source(Purpose::Embedded),
            blobs: source(Purpose::Blobs),
            restricted: source(Purpose::Restriction),
            cast: Cast::new(plan.seed, plan.run, stream, traffic.persons),
            names,
        }
    }

    /// Whether no event of the stream has any.
    pub const fn is_none(&self) -> bool {
        self.none
    }

    /// The oddities of event `seq`.
    pub fn of(&self, seq: u64) -> Oddities {
        if self.none {
            return Oddities::default();
        }
        let Traffic { disorder, extras, endpoint, .. } = &self.traffic;
        let chosen = |source: Source, share| share > Share::default() && source.at(seq).chance(share);
        let grouped = chosen(self.groups, extras.grouped);
        let empty_uuid = chosen(self.empty_uuid, disorder.empty_uuid);
        let is_spelt = chosen(self.spelling, self.traffic.spelling);
        let is_refused = endpoint.is_v1() && chosen(self.refused, extras.refused);
        // Only what is sent a second time can be altered then.
        let altered = chosen(self.altered, disorder.altered) && self.resend.at(seq).chance(disorder.resend);
        let oddities = Oddities {
            empty_uuid,
            illegal_alias: chosen(self.illegal_alias, self.traffic.persons.illegal_alias),
            spelling: if is_spelt {
                Spelling::draw(&mut second(self.spelling, seq), &self.traffic)
            } else {
                Spelling::Usual
            },
            // What is spelt in another way stands elsewhere, and the first would be the only one there.
            twice: if !is_spelt && chosen(self.twice, extras.twice) {
                Twice::draw(&mut second(self.twice, seq), &self.traffic)
            } else {
                None
            },
            subject: self.subject(seq),
            hostile: chosen(self.hostile, extras.hostile).then(|| self.kind(seq)),
            padding: if chosen(self.size, extras.large) { self.padding(seq) } else { 0 },
            grouped,
            group_types_over: if grouped { self.group_types_over } else { 0 },
            group_identify: false,
            elements: chosen(self.elements, extras.elements),
            fields: chosen(self.fields, extras.fields),
            time: self.time_form(seq),
            time_spelling: if chosen(self.time_spelling, disorder.time_spelling) {
                self.spelling_of_time(seq)
            } else {
                TimeSpelling::Usual
            },
            no_uuid: empty_uuid || chosen(self.uuidless, disorder.no_uuid),
            v1: endpoint.is_v1()
                && (is_refused || chosen(self.hostile, extras.hostile) || chosen(self.fields, extras.fields)),
            recorded: false,
            refused: is_refused.then(|| Refused::draw(&mut second(self.refused, seq))),
            cookieless: chosen(self.cookieless, extras.cookieless),
            internal: chosen(self.internal, extras.internal),
            embedded: *endpoint == Endpoint::Ai && chosen(self.embedded, extras.embedded),
            blobs: *endpoint == Endpoint::Ai && chosen(self.blobs, extras.blobs),
            restriction: self.restriction(seq),
            altered,
            alteration: if altered { self.alteration(seq) } else { Alteration::Content },
        };
        if chosen(self.group_identify, extras.group_identify) { oddities.of_group() } else { oddities }
    }

    fn restriction(&self, seq: u64) -> Option<Restriction> {
        let restrictions = self.traffic.restricted;
        if restrictions.is_none() {
            return None;
        }
        restrictions.of(self.restricted, self.cast.numbers(seq).person)
    }

    fn subject(&self, seq: u64) -> Subject {
        match subject(&self.traffic) {
            Subject::Action => self.names.as_ref().and_then(|names| names.of(seq)).map_or(Subject::Action, of_name),
            subject => subject,
        }
    }

    fn kind(&self, seq: u64) -> Hostile {
        let mut random = second(self.hostile, seq);
        let all = Hostile::ALL.map(|(_, kind)| kind);
        let kinds =
            if self.traffic.extras.kinds.is_empty() { &all[..Hostile::UNNAMED] } else { &self.traffic.extras.kinds };
        random.pick(kinds).copied().unwrap_or(Hostile::Nul)
    }

    fn padding(&self, seq: u64) -> u64 {
        spread(self.traffic.extras.padding, second(self.size, seq).unit())
    }

    fn time_form(&self, seq: u64) -> TimeForm {
        let Disorder { offset, offset_and_timestamp, no_timestamp, ignore_sent_at, .. } = self.traffic.disorder;
        let mut left = self.time.at(seq).unit();
        let shares = [
            (offset, TimeForm::Offset),
            (offset_and_timestamp, TimeForm::Both),
            (no_timestamp, TimeForm::Neither),
            (ignore_sent_at, TimeForm::IgnoreSentAt),
        ];
        for (share, form) in shares {
            if left < share.get() {
                return form;
            }
            left -= share.get();
        }
        TimeForm::Timestamp
    }

    fn alteration(&self, seq: u64) -> Alteration {
        let kinds = &self.traffic.disorder.altered_in;
        let kind = self.alteration.at(seq).pick(kinds).copied().unwrap_or_default();
        // One that says no time cannot say another one.
        let is_timeless = self.time_form(seq) == TimeForm::Neither && kind.earlier_micros() != 0;
        if is_timeless { Alteration::Content } else { kind }
    }

    fn spelling_of_time(&self, seq: u64) -> TimeSpelling {
        let all = TimeSpelling::ALL.map(|(_, spelling)| spelling);
        let forms = &self.traffic.disorder.time_forms;
        let forms = if forms.is_empty() { &all[..] } else { forms };
        second(self.time_spelling, seq).pick(forms).copied().unwrap_or_default()
    }

    /// Gives `event` what its oddities say.
    pub fn apply(&self, event: &mut Event) {
        let (seq, Oddities { hostile, padding, grouped, time, .. }) = (event.id.seq, event.oddities);
        match event.oddities.subject {
            Subject::Action => (),
            // One that joins two ids does that and nothing else.
            Subject::Exception if event.name == "$identify" => (),
            Subject::Exception => {
                event.members.push(Member::new("$exception_list", EXCEPTIONS.to_owned()));
            }
            Subject::Ai => {
                if self.traffic.names.is_empty() {
                    let mut random = self.subject.at(seq);
                    random.pick(&AI_NAMES).copied().unwrap_or_default().clone_into(&mut event.name);
                }
                event.members.push(Member::new("$ai_model", "\"assay-1\"".into()));
                if event.oddities.blobs {
                    event.blobs = blob::draw(&mut second(self.blobs, seq), self.traffic.extras.blob_size);
                }
            }
            Subject::Recording => {
                "$snapshot".clone_into(&mut event.name);
                event.members.push(Member::new("$snapshot_data", format!("[{{\"type\":3,\"timestamp\":{seq}}}]")));
            }
        }
        // One that joins two ids does that and nothing else.
        if event.oddities.group_identify && event.name != "$identify" {
            let mut random = second(self.group_identify, seq);
            let (kind, key) = self.group(&mut random);
            group_identify::apply(event, &mut random, kind, &key);
        }
        if event.oddities.illegal_alias && event.name != "$identify" {
            "$create_alias".clone_into(&mut event.name);
            let mut random = second(self.illegal_alias, seq);
            let alias = random.pick(&ILLEGAL_ALIASES).copied().unwrap_or_default();
            event.members.push(Member::new("alias", format!("\"{alias}\"")));
        }
        if event.oddities.elements {
            // One that joins two ids keeps its name.
            if event.name != "$identify" {
                elements::NAME.clone_into(&mut event.name);
            }
            event.members.push(elements::member(&mut second(self.elements, seq)));
        }
        if let Some(hostile) = hostile {
            let mut random = second(self.hostile, seq);
            // The kind was the next value.
            random.bits();
            hostile.apply(&mut random, event);
        }
        if event.oddities.cookieless && event.name != "$identify" {
            COOKIELESS.clone_into(&mut event.distinct_id);
            event.distinct_id_json = None;
            event.ids_of_person = vec![COOKIELESS.to_owned()];
            event.members.push(Member::new("$cookieless_mode", "true".into()));
        }
        if event.oddities.internal {
            event.members.push(Member::new("capture_internal", "true".into()));
        }
        if grouped {
            let groups = self.groups_of(seq).map(|(kind, key)| format!("\"{kind}\":\"{key}\"")).collect::<Vec<_>>();
            event.members.retain(|member| member.key != "$groups");
            event.members.push(Member::new("$groups", format!("{{{}}}", groups.join(","))));
        }
        if time == TimeForm::IgnoreSentAt {
            event.members.push(Member::new("$ignore_sent_at", "true".into()));
        }
        if padding > 0 {
            event.members.push(Member::new(PADDING, pad(second(self.size, seq), padding)));
        }
        if event.oddities.fields {
            fields::add(event, &mut second(self.fields, seq), self.traffic.endpoint.is_v1());
        }
        event.oddities.spelling.apply(event, &self.traffic.token);
        // One that joins two ids is whole: what became of its person would depend on it.
        let joins = event.ids_of_person.len() > 1 && event.name == "$identify";
        event.oddities.refused = event.oddities.refused.filter(|_| !joins);
        if let Some(refused) = event.oddities.refused {
            refused.apply(event);
        }
        event.oddities.alteration = event.oddities.alteration.of(event);
    }

    /// The type and the key of each of the event's groups.
    pub fn groups_of(&self, seq: u64) -> impl Iterator<Item = (&'static str, String)> {
        let (types, groups) = (self.traffic.extras.group_types, self.traffic.extras.groups.max(1));
        let mut random = second(self.groups, seq);
        GROUP_TYPES.into_iter().take(types as usize).map(move |kind| (kind, self.group_key(kind, random.below(groups))))
    }

    /// The type and the key of one of the stream's groups.
    fn group(&self, random: &mut Random) -> (&'static str, String) {
        let Extras { group_types, groups, .. } = self.traffic.extras;
        let types = GROUP_TYPES.get(..group_types as usize).unwrap_or(&GROUP_TYPES);
        let kind = random.pick(types).copied().unwrap_or(GROUP_TYPES[0]);
        (kind, self.group_key(kind, random.below(groups.max(1))))
    }

    /// The run is in it: on a shared or external store, earlier runs' groups must not be met again.
    fn group_key(&self, kind: &str, number: u64) -> String {
        format!("{kind}-{}-{}-{number}", self.run, self.stream.0)
    }
}

/// Whom all are sent for that come without cookies (rust/common/types, `COOKIELESS_SENTINEL_VALUE`).
const COOKIELESS: &str = "$posthog_cookieless";
/// What the events of AI are called (rust/capture, `ai_endpoint.rs`).
const AI_NAMES: [&str; 6] = ["$ai_generation", "$ai_trace", "$ai_span", "$ai_embedding", "$ai_metric", "$ai_feedback"];
/// Ids that no person may have, in all dialects that look at what is merged (ingestion contract 2.3).
const ILLEGAL_ALIASES: [&str; 8] =
    ["anonymous", "Guest", "distinct_id", "undefined", "NaN", "[object Object]", "0", " "];

/// What an exception's event holds of it, as the libraries write it.
const EXCEPTIONS: &str =
    r#"[{"type":"TypeError","value":"x is undefined","mechanism":{"handled":false,"synthetic":false}}]"#;

/// What an event of this name is about.
fn of_name(name: &str) -> Subject {
    match name {
        "$exception" => Subject::Exception,
        name if name.starts_with("$ai_") => Subject::Ai,
        _ => Subject::Action,
    }
}

/// What all events of a stream are about.
const fn subject(traffic: &Traffic) -> Subject {
    match traffic.endpoint {
        Endpoint::Ai | Endpoint::AiV1 => Subject::Ai,
        Endpoint::Recordings => Subject::Recording,
        _ => Subject::Action,
    }
}

/// The values behind the one that chose the event.
const fn second(source: Source, seq: u64) -> Random {
    let mut random = source.at(seq);
    random.bits();
    random
}

/// A size in a range, of which every order of magnitude is as likely, from a number in [0, 1).
pub(super) fn spread((least, most): (u64, u64), unit: f64) -> u64 {
    let (least, most) = (least.max(1) as f64, most.max(1) as f64);
    libm::round(least * libm::pow(most / least, unit)) as u64
}

/// A JSON string with so many characters, which do not compress to nothing.
pub(super) fn pad(mut random: Random, length: u64) -> String {
    let mut text = vec![b'0'; length as usize + 2];
    text[0] = b'"';
    let end = text.len() - 1;
    text[end] = b'"';
    for chunk in text[1..end].chunks_exact_mut(16) {
        put_hexadecimal(chunk, random.bits());
    }
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::EventSource, workload::tests::odd};

    const STREAM: StreamId = StreamId(0);

    fn events() -> Vec<Event> {
        let workload = odd();
        (0..workload.planned(STREAM)).filter_map(|seq| workload.event(STREAM, seq)).collect()
    }

    #[test]
    fn shares_are_as_planned() {
        type Is = fn(&Oddities) -> bool;
        let events = events();
        let shares: [(&str, Is, f64); 8] = [
            ("hostile", |odd| odd.hostile.is_some(), 0.2),
            ("large", |odd| odd.padding > 0, 0.01),
            ("grouped", |odd| odd.grouped, 0.3),
            ("offset", |odd| odd.time == TimeForm::Offset, 0.05),
            ("both", |odd| odd.time == TimeForm::Both, 0.05),
            ("neither", |odd| odd.time == TimeForm::Neither, 0.05),
            ("ignore_sent_at", |odd| odd.time == TimeForm::IgnoreSentAt, 0.05),
            ("no_uuid", |odd| odd.no_uuid, 0.02),
        ];
        for (name, is, share) in shares {
            let (count, expected) = (events.iter().filter(|event| is(&event.oddities)).count() as f64, share * 5_000.0);
            assert!((count - expected).abs() < 4.0 * f64::sqrt(expected) + 1.0, "{name}: {count}, not {expected}");
        }
    }

    #[test]
    fn a_name_may_say_what_an_event_is_about() {
        use crate::workload::{Plan, Workload, tests::small};
        let mut plan = small().plan().clone();
        let of = |plan: &Plan| {
            let workload = Workload::new(plan.clone(), crate::persona::PersonaTable::make(1, 2));
            (0..200).filter_map(|seq| workload.event(STREAM, seq)).collect::<Vec<Event>>()
        };
        let usual = of(&plan);
        plan.traffic[0].names = [("$exception", 1), ("$ai_span", 1), ("purchase", 2)]
            .map(|(name, weight)| (name.to_owned(), weight))
            .into();
        let (mut seen, named) = (std::collections::BTreeMap::new(), of(&plan));
        for (event, usual) in named.iter().zip(&usual) {
            assert_eq!((&event.properties, event.occurred_micros), (&usual.properties, usual.occurred_micros));
            let members: Vec<&str> = event.members.iter().map(|member| &*member.key).collect();
            *seen.entry((event.name.as_str(), members)).or_insert(0) += 1;
        }
        let found: Vec<_> = seen.keys().map(|(name, members)| (*name, members.as_slice())).collect();
        for expected in [("$ai_span", &["$ai_model"][..]), ("$exception", &["$exception_list"]), ("purchase", &[])] {
            assert!(found.contains(&expected), "{expected:?}: {found:?}");
        }
        let planned = &plan.traffic[0].names;
        assert!(
            planned.len() == 3
                && found.iter().all(|(name, _)| *name == "$identify" || planned.iter().any(|(known, _)| known == name))
        );
    }

    #[test]
    fn every_kind_is_there_and_whole_json() {
        let events = events();
        let kinds: std::collections::BTreeSet<_> = events.iter().filter_map(|event| event.oddities.hostile).collect();
        assert_eq!(kinds.len(), Hostile::UNNAMED, "and no others, where none is named");
        for event in &events {
            let mut keys = std::collections::BTreeSet::new();
            for Member { key, value } in &event.members {
                let member = format!("{{\"{key}\":{value}}}");
                let read: Result<std::collections::BTreeMap<String, &serde_json::value::RawValue>, _> =
                    serde_json::from_str(&member);
                let read = read.unwrap_or_else(|error| panic!("{error}: {member}"));
                let key = read.into_keys().next().unwrap();
                assert!(!event.properties.contains_key(&key), "{key} stands twice");
                assert!(keys.insert(key));
            }
        }
    }

    #[test]
    fn names_and_ids_that_hurt_come_where_they_are_named_and_persons_stay_apart() {
        let of = |hostile: Share| {
            let mut plan = odd().plan().clone();
            let extras = &mut plan.traffic[0].extras;
            (extras.hostile, extras.kinds) = (hostile, vec![Hostile::HostileName, Hostile::HostileDistinctId]);
            crate::workload::Workload::new(plan, crate::persona::PersonaTable::make(42, 16))
        };
        let (workload, usual) = (of(Share::new(0.2).unwrap()), of(Share::default()));
        let (mut halves, mut ids) = ([0; 2], std::collections::BTreeMap::<String, String>::new());
        for seq in 0..workload.planned(STREAM) {
            let event = workload.event(STREAM, seq).unwrap();
            let usual = usual.event(STREAM, seq).unwrap();
            let joins = event.ids_of_person.len() > 1 && event.name == "$identify";
            match event.oddities.hostile {
                Some(Hostile::HostileName) if !joins => {
                    assert!(event.name != usual.name && event.distinct_id == usual.distinct_id, "{seq}");
                }
                Some(Hostile::HostileDistinctId) if !joins => {
                    assert_eq!((&event.name, &event.ids_of_person), (&usual.name, &vec![event.distinct_id.clone()]));
                    assert!(event.distinct_id.starts_with(&usual.distinct_id), "{seq}");
                    let known = ids.entry(event.distinct_id.clone()).or_insert(usual.distinct_id.clone());
                    assert_eq!(*known, usual.distinct_id, "two persons became one");
                }
                _ => assert_eq!((&event.name_json, &event.distinct_id_json), (&None, &None)),
            }
            let both = [(&event.name, &event.name_json), (&event.distinct_id, &event.distinct_id_json)];
            for (count, (text, json)) in halves.iter_mut().zip(both) {
                let Some(json) = json else { continue };
                assert_eq!(*json, format!("\"{text}\""));
                assert!(serde_json::from_str::<String>(json).is_err(), "a text holds {json}");
                assert!(serde_json::from_str::<&serde_json::value::RawValue>(json).is_ok(), "{json}");
                *count += 1;
            }
        }
        assert!(halves.iter().all(|count| *count > 50), "{halves:?}");
    }

    #[test]
    fn what_joins_ids_keeps_them() {
        let joins: Vec<_> = events().into_iter().filter(|event| event.name == "$identify").collect();
        assert!(joins.iter().any(|event| event.oddities.hostile.is_some()));
        assert!(joins.iter().all(|event| event.ids_of_person.len() == 2 && event.distinct_id_json.is_none()));
    }

    #[test]
    fn the_form_of_a_timestamp_changes_nothing_else() {
        let without = odd();
        let spelt = |forms: &[TimeSpelling]| {
            let mut plan = without.plan().clone();
            plan.traffic[0].disorder.time_spelling = Share::new(0.5).unwrap();
            plan.traffic[0].disorder.time_forms = forms.to_vec();
            crate::workload::Workload::new(plan, crate::persona::PersonaTable::make(42, 16))
        };
        let (all, some) = (spelt(&[]), spelt(&[TimeSpelling::Civil, TimeSpelling::Hours]));
        let mut counts = std::collections::HashMap::<TimeSpelling, u64>::new();
        for seq in 0..all.planned(STREAM) {
            let event = all.event(STREAM, seq).unwrap();
            let spelling = event.oddities.time_spelling;
            *counts.entry(spelling).or_default() += 1;
            let oddities = Oddities { time_spelling: TimeSpelling::Usual, ..event.oddities };
            assert_eq!(event.oddities.is_plainly_stored(), oddities.is_plainly_stored());
            assert_eq!(Event { oddities, ..event }, without.event(STREAM, seq).unwrap());
            let of_two = some.oddities(STREAM, seq).time_spelling;
            assert_eq!(of_two == TimeSpelling::Usual, spelling == TimeSpelling::Usual);
            assert!(matches!(of_two, TimeSpelling::Usual | TimeSpelling::Civil | TimeSpelling::Hours));
        }
        assert!((2_300..2_700).contains(&counts.remove(&TimeSpelling::Usual).unwrap()));
        assert!(counts.len() == 7 && counts.values().all(|count| (250..470).contains(count)), "{counts:?}");
    }

    #[test]
    fn what_was_clicked_changes_nothing_else() {
        let without = odd();
        let mut plan = without.plan().clone();
        plan.traffic[0].extras.elements = Share::new(0.5).unwrap();
        let clicked = crate::workload::Workload::new(plan, crate::persona::PersonaTable::make(1, 2));
        let without = crate::workload::Workload::new(without.plan().clone(), crate::persona::PersonaTable::make(1, 2));
        let of = |key: &str, event: &Event| event.members.iter().filter(|member| member.key == key).count();
        let (mut lists, mut chains) = (0, 0);
        for seq in 0..clicked.planned(STREAM) {
            let (mut event, other) = (clicked.event(STREAM, seq).unwrap(), without.event(STREAM, seq).unwrap());
            let counts = (of("$elements", &event), of("$elements_chain", &event));
            assert_eq!(counts.0 + counts.1, usize::from(event.oddities.elements));
            assert!(counts.0 + counts.1 == 0 || event.oddities.hostile.is_some() || event.name.starts_with('$'));
            (lists, chains) = (lists + counts.0, chains + counts.1);
            event.members.retain(|member| !member.key.starts_with("$elements"));
            event.oddities.elements = false;
            if event.name == elements::NAME {
                event.name.clone_from(&other.name);
            }
            assert_eq!(event.members, other.members, "{seq}");
            assert_eq!((event.properties, event.distinct_id), (other.properties, other.distinct_id), "{seq}");
        }
        assert!((1_800..=2_200).contains(&lists) && (400..=600).contains(&chains), "{lists} and {chains}");
    }

    /// The same events, of which a third say what a group is.
    fn identifying() -> crate::workload::Workload {
        let mut plan = odd().plan().clone();
        plan.traffic[0].extras.group_identify = Share::new(0.3).unwrap();
        crate::workload::Workload::new(plan, crate::persona::PersonaTable::make(42, 16))
    }

    #[test]
    fn what_says_what_a_group_is_says_nothing_else_and_changes_no_other_event() {
        let (with, without) = (identifying(), odd());
        let (mut groups, mut facts) = (std::collections::HashMap::<String, u64>::new(), 0);
        for seq in 0..with.planned(STREAM) {
            let (event, other) = (with.event(STREAM, seq).unwrap(), without.event(STREAM, seq).unwrap());
            if !event.oddities.group_identify {
                assert_eq!(event, other);
                continue;
            }
            if other.name == "$identify" {
                assert_eq!((event.name, event.ids_of_person), (other.name, other.ids_of_person));
                continue;
            }
            let value = |key: &str| {
                let member = event.members.iter().find(|member| member.key == key).unwrap();
                serde_json::from_str::<serde_json::Value>(&member.value).unwrap()
            };
            let (kind, key) = (value("$group_type"), value("$group_key"));
            assert_eq!(event.name, group_identify::NAME);
            let id = format!("${}_{}", kind.as_str().unwrap(), key.as_str().unwrap());
            assert_eq!((&event.distinct_id, &event.ids_of_person), (&id, &vec![id.clone()]));
            let set = value("$group_set");
            assert_eq!(set["revision"], seq);
            facts += set.as_object().unwrap().len();
            assert!(event.oddities.hostile.is_none() && !event.oddities.grouped && event.oddities.padding == 0);
            if other.oddities.hostile.is_none() {
                assert_eq!(event.properties, other.properties, "beside that it is what it was");
            }
            *groups.entry(id).or_default() += 1;
        }
        let events: u64 = groups.values().sum();
        assert!((1_300..1_600).contains(&events), "{events}");
        assert_eq!(groups.len(), 7 * 20, "of each of the seven types, each group");
        assert!(facts as u64 > 4 * events && (facts as u64) < 6 * events, "{facts} of {events}");
    }

    #[test]
    fn events_that_say_what_a_group_is_are_pinned() {
        let workload = identifying();
        let all = (0..workload.planned(STREAM)).filter_map(|seq| workload.event(STREAM, seq));
        let told = all.filter(|event| event.name == group_identify::NAME).take(3).map(|event| {
            let members = event.members.iter().filter(|member| member.key.starts_with("$group_"));
            let members: Vec<_> = members.map(|Member { key, value }| format!("{key}={value}")).collect();
            format!("{} {} {}", event.id.seq, event.distinct_id, members.join(" "))
        });
        insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn padding_is_as_long_as_it_says_and_lengths_spread_over_magnitudes() {
        let large: Vec<_> = events().into_iter().filter(|event| event.oddities.padding > 0).collect();
        for event in &large {
            let padding = event.members.iter().find(|member| member.key == PADDING).unwrap();
            assert_eq!(padding.value.len() as u64, event.oddities.padding + 2);
        }
        let short = large.iter().filter(|event| event.oddities.padding < 10_000).count();
        assert!(short > 5 && large.len() - short > 5, "{short} of {}", large.len());
    }
}
