//! One kind of traffic: the table `[[traffic]]` of a scenario.

use std::time::Duration;

use checkers::oracle::dialect::Dialect;
use generators::{
    random::{Distribution, Share},
    schedule::{Arrival, Rate},
    workload::{
        Absence, ClientFaults, Compression, Disorder, Endpoint, Extras, Form, GROUP_TYPES, Hostile, Pace, Persons,
        TimeSpelling,
    },
};

use toml::de::DeValue;

use super::{
    Replay, Traffic, arrival, client,
    notation::{self, Expectable},
    reader::{Section, choice, flag, text, whole, words},
};

/// The words for compressions.
pub(super) const COMPRESSIONS: [(&str, Compression); 5] = [
    ("none", Compression::None),
    ("gzip", Compression::Gzip),
    ("gzip-js", Compression::GzipJs),
    ("base64", Compression::Base64),
    ("lz64", Compression::Lz64),
];
/// The words for where a request's data stands.
pub(super) const FORMS: [(&str, Form); 3] =
    [("plain", Form::Plain), ("form", Form::Urlencoded), ("query", Form::Query)];
/// From this many bytes on, Kafka takes no event (ingestion contract 1.4).
const OVERSIZE: u64 = 1_000_000;
/// No endpoint takes so much.
const LARGEST: u64 = 15_000_000;
/// So many events fit into a URL.
const QUERY_EVENTS: u64 = 5;

pub(super) fn traffic(mut section: Section<'_>) -> Traffic {
    let name = section.required("name", text).unwrap_or_default();
    let replay = replay(&mut section);
    let arrival = if replay.is_some() && !section.mentions("arrival") {
        // Never asked: the recording says when.
        Arrival::Constant { rate: Rate { events: 1, per: Duration::from_secs(1) } }
    } else {
        arrival::arrival(section.required_section("arrival"))
    };
    let events = section.optional("events", whole(1..=1 << 44));
    let duration = section.optional("duration", Duration::parse);
    let events = match (events, duration) {
        (Some(_), Some(_)) => {
            section.problem("duration", "give either `events` or `duration`, not both");
            1
        }
        (Some(events), None) => events,
        (None, Some(duration)) => arrival.events_in(duration),
        // The recording says how many.
        (None, None) if replay.is_some() => 1,
        (None, None) => {
            if !section.mentions("events") && !section.mentions("duration") {
                section.problem("events", "is missing: say how many `events`, or for how long with `duration`");
            }
            1
        }
    };

    let client = client::client(&mut section);
    let endpoint = section.optional("endpoint", choice(&endpoints())).unwrap_or(client::usual_endpoint(client.profile));
    client::check_endpoint(&mut section, client.profile, endpoint);
    let compression = section.optional("compression", choice(&COMPRESSIONS)).unwrap_or_default();
    let form = section.optional("form", choice(&FORMS)).unwrap_or_default();
    let historical = section.optional("historical", flag).unwrap_or_default();
    let spelling = section.optional("spelling", Share::parse).unwrap_or_default();
    let unknown_compression = section.optional("unknown_compression", Share::parse).unwrap_or_default();
    let clients = section.optional("clients", whole(1..=10_000)).unwrap_or(16);
    let mut batch = section.section("batch");
    let size = batch.optional("size", notation::parse_range).unwrap_or((1, 1));
    batch.end();

    let persons = persons(section.section("persons"));
    let names = section.optional("names", names).unwrap_or_default();

    let disorder = disorder(section.section("disorder"));
    let extras = extras(section.section("content"), section.section("groups"));
    let team = section.optional("team", text);
    let over_quota = section.optional("over_quota", flag).unwrap_or_default();
    let drop_listed = section.optional("drop_listed", flag).unwrap_or_default();
    let unknown_token = section.optional("unknown_token", flag).unwrap_or_default();
    if over_quota && drop_listed {
        section
            .problem("drop_listed", "a project is either over its quota or on the drop list: make two traffics of it");
    }
    if unknown_token && (over_quota || drop_listed) {
        section.problem(
            "unknown_token",
            "there is no project that could be over its quota or on the drop list: make two traffics of it",
        );
    }
    if (over_quota || drop_listed || unknown_token) && team.is_some() {
        section.problem(
            "team",
            "traffic that is over its quota, on the drop list or of nobody's token has no other team: leave it out",
        );
    }
    if team.as_deref().is_some_and(str::is_empty) {
        section.problem("team", "must be a name");
    }
    let absent = match endpoint {
        _ if over_quota => Some(Absence::OverQuota),
        _ if drop_listed => Some(Absence::DropListed),
        _ if unknown_token => Some(Absence::UnknownToken),
        Endpoint::BlackHole => Some(Absence::BlackHole),
        Endpoint::Recordings => Some(Absence::Recording),
        // None of these names is one of AI.
        Endpoint::AiV1 if !names.is_empty() => Some(Absence::Misrouted),
        _ => None,
    };
    let drop_events_older_than = section.optional("drop_events_older_than", Duration::parse);
    let is_whole = |limit: Duration| limit.subsec_nanos() == 0 && (1..=u32::MAX.into()).contains(&limit.as_secs());
    if drop_events_older_than.is_some_and(|limit| !is_whole(limit)) {
        section.problem("drop_events_older_than", "must be whole seconds, one at least: so the pipeline counts it");
    }
    if drop_events_older_than.is_some() && absent.is_some() {
        section.problem(
            "drop_events_older_than",
            "no event of this traffic comes so far that its age is looked at: leave it out, or make two traffics of it",
        );
    }
    let traffic = Traffic {
        name,
        events,
        arrival,
        batch: size,
        endpoint,
        compression,
        form,
        historical,
        spelling,
        unknown_compression,
        clients,
        persons,
        names,
        disorder,
        extras,
        team,
        absent,
        drop_events_older_than,
        replay,
        client,
    };
    check(&mut section, &traffic);
    section.end();
    traffic
}

/// The words for endpoints.
pub(super) fn endpoints() -> [(&'static str, Endpoint); Endpoint::ALL.len()] {
    Endpoint::ALL.map(|endpoint| match endpoint {
        Endpoint::V1 => ("v1", endpoint),
        Endpoint::AiV1 => ("v1/ai", endpoint),
        _ => (endpoint.path().trim_matches('/'), endpoint),
    })
}

/// What does not go together.
fn check(section: &mut Section<'_>, traffic: &Traffic) {
    let Traffic { batch: size, endpoint, compression, form, historical, disorder, extras, client, .. } = traffic;
    let is_any = |shares: &[Share]| shares.iter().any(|share| *share > Share::default());
    if *historical && !endpoint.is_v1() && *endpoint != Endpoint::Batch {
        section.problem("historical", "only `batch`, `v1` and `v1/ai` can say so: leave out `endpoint`");
    }
    if endpoint.has_bearer() && (*form != Form::Plain || !matches!(compression, Compression::None | Compression::Gzip))
    {
        section.problem(
            "endpoint",
            "v1 and AI take plain bodies, as they are or with gzip: leave out `form` and other compressions",
        );
    }
    if extras.padding.1 >= OVERSIZE && *size != (1, 1) {
        section.problem(
            "content.padding",
            "from 1000000 bytes on, an event spoils its whole request: give such events a traffic of their own, without `batch`",
        );
    }
    if endpoint.has_bearer() && client.faults.wrong_content_type > Share::default() {
        section.problem(
            "client_faults.wrong_content_type",
            "is refused there, and elsewhere it is not: leave it out, or make two traffics of it",
        );
    }
    for (share, key) in [
        (client.faults.bad_headers, "client_faults.bad_headers"),
        (client.faults.refused_content_type, "client_faults.refused_content_type"),
        (client.faults.no_user_agent, "client_faults.no_user_agent"),
    ] {
        if !endpoint.is_v1() && share > Share::default() {
            section.problem(key, "is of v1, which alone looks at it: leave it out, or say `endpoint = \"v1\"`");
        }
    }
    if *endpoint == Endpoint::BlackHole && client.faults.no_token > Share::default() {
        section.problem("client_faults.no_token", "is swallowed there like anything: leave it out");
    }
    if *form != Form::Plain && client.faults != ClientFaults::default() {
        section.problem("client_faults", "spoil plain bodies: leave out `form`, or make two traffics of it");
    }
    let Disorder { no_uuid, empty_uuid, no_sent_at, offset, offset_and_timestamp, no_timestamp, .. } = *disorder;
    let of_events = [
        disorder.backdated,
        disorder.ahead,
        disorder.midnight,
        disorder.ignore_sent_at,
        disorder.altered,
        disorder.time_spelling,
    ];
    let said = [no_uuid, empty_uuid, no_sent_at, offset, offset_and_timestamp, no_timestamp];
    if traffic.replay.is_some() && (is_any(&of_events) || is_any(&said)) {
        section.problem(
            "disorder",
            "what its events say of themselves the recording says: beside `replay` go `shuffle`, `resend`, `clock_skew`, `clock_drift` \
             and `wrong_year`",
        );
    }
    if endpoint.has_bearer() && is_any(&said) {
        section.problem(
            "endpoint",
            "v1 and AI want a uuid, a timestamp and the client's clock of every event: leave out `no_uuid`, `empty_uuid`, `offset`, \
             `offset_and_timestamp`, `no_timestamp` and `no_sent_at`",
        );
    }
    if endpoint.has_bearer() && !has_only(disorder, TimeSpelling::is_rfc3339) {
        section.problem(
            "disorder.time_forms",
            "v1 and AI want RFC 3339: say `time_forms` with nothing but \"offset\", \"seconds\" and \"micros\"",
        );
    }
    let is_special = endpoint.is_of_ai() || *endpoint == Endpoint::Recordings;
    let Persons { identify, illegal_alias, .. } = traffic.persons;
    if is_special
        && is_any(&[
            identify,
            illegal_alias,
            extras.hostile,
            extras.elements,
            traffic.spelling,
            client.faults.preflight,
        ])
    {
        section.problem(
            "endpoint",
            "the events of AI and of recordings have names and fields of their own: leave out `persons.identify`, \
             `persons.illegal_alias`, `content.hostile`, `content.elements`, `spelling` and `client_faults.preflight`",
        );
    }
    if matches!(endpoint, Endpoint::Ai | Endpoint::Recordings) && !traffic.names.is_empty() {
        section.problem("names", "are given there: the endpoint takes no others");
    }
    let is_told_by_bytes = matches!(compression, Compression::None | Compression::Gzip | Compression::GzipJs);
    if traffic.unknown_compression > Share::default()
        && (*form != Form::Plain || endpoint.has_bearer() || !is_told_by_bytes)
    {
        section.problem(
            "unknown_compression",
            "is ignored where the first bytes of a plain body tell what it is: leave out `form`, choose the `compression` \"none\", \"gzip\" \
             or \"gzip-js\", and no `endpoint` of v1 or `i/v0/ai`",
        );
    }
    if !endpoint.is_v1() && extras.refused > Share::default() {
        section.problem(
            "content.refused",
            "is what v1 refuses by itself, and elsewhere the whole request would be: leave it out, or say `endpoint = \"v1\"`",
        );
    }
    if *form == Form::Query && traffic.spelling > Share::default() {
        section.problem("spelling", "is for bodies: leave out `form`, or make two traffics of it");
    }
    if *form == Form::Query
        && (size.1 > QUERY_EVENTS
            || is_any(&[extras.hostile, extras.large, extras.grouped, extras.elements, extras.fields]))
    {
        section.problem(
            "form",
            "a URL has room for few events: at most `batch = { size = \"1..5\" }`, no `content` and no `groups`",
        );
    }
    if endpoint.takes_one() && (*size != (1, 1) || disorder.resend > Share::default()) {
        section.problem(
            "endpoint",
            "it takes one event a request: leave out `batch` and `disorder.resend`, or send to `e` or `v1/ai`",
        );
    }
}

/// Whether all other forms of timestamps are of some kind, if there are any.
fn has_only(disorder: &Disorder, is_of_kind: impl Fn(TimeSpelling) -> bool) -> bool {
    let Disorder { time_spelling, time_forms, .. } = disorder;
    *time_spelling == Share::default() || (!time_forms.is_empty() && time_forms.iter().all(|form| is_of_kind(*form)))
}

/// Makes sure that no team has two limits for the age of events, or one where there is no such thing; returns whether some team
/// has one.
pub(super) fn check_age_limits(root: &mut Section<'_>, all: &[Traffic], dialect: Dialect) -> bool {
    let has_own = |traffic: &&Traffic| traffic.absent.is_none();
    for (number, one) in all.iter().enumerate().filter(|(_, one)| has_own(one)) {
        let differs =
            |other: &&Traffic| other.team() == one.team() && other.drop_events_older_than != one.drop_events_older_than;
        if let Some(other) = all[..number].iter().filter(has_own).find(differs) {
            let (name, team) = (&one.name, one.team());
            root.problem(
                "traffic",
                &format!(
                    "`drop_events_older_than` is a setting of the team `{team}`: `{}` and `{name}` must say the same",
                    other.name
                ),
            );
        }
    }
    let is_limited = all.iter().any(|traffic| traffic.drop_events_older_than.is_some());
    if is_limited && dialect != Dialect::V2026 {
        root.problem("traffic", "`drop_events_older_than` came in 2025: leave it out, or choose the `dialect` 2026");
    }
    is_limited
}

/// Makes sure that traffic goes where the capture of its generation listens, in forms that it reads (ingestion contract 1.1 and
/// 1.3). Where recorded traffic goes its recording says.
pub(super) fn check_dialect(root: &mut Section<'_>, all: &[Traffic], dialect: Dialect) {
    for traffic in all.iter().filter(|traffic| traffic.replay.is_none()) {
        let is_there = match traffic.endpoint {
            Endpoint::Batch | Endpoint::E => true,
            Endpoint::IV0E => dialect != Dialect::V2021,
            Endpoint::Capture | Endpoint::Track | Endpoint::Engage => dialect != Dialect::V2024,
            Endpoint::V1 | Endpoint::AiV1 | Endpoint::Ai | Endpoint::Recordings | Endpoint::BlackHole => {
                dialect == Dialect::V2026
            }
        };
        let name = &traffic.name;
        if !is_there {
            root.problem(
                "traffic",
                &format!(
                    "the capture of this `dialect` has no such `endpoint` as `{name}` sends to: choose another of them"
                ),
            );
        }
        if dialect == Dialect::V2021 {
            let faults = traffic.client.faults;
            for (share, key) in [
                (traffic.persons.illegal_alias, "persons.illegal_alias"),
                (faults.wrong_types, "client_faults.wrong_types"),
                (traffic.unknown_compression, "unknown_compression"),
                (if traffic.endpoint == Endpoint::Engage { traffic.spelling } else { Share::default() }, "spelling"),
            ] {
                if share > Share::default() {
                    root.problem(
                        "traffic",
                        &format!("what the pipeline of 2021 made of `{key}` is not known: leave it out of `{name}`"),
                    );
                }
            }
        }
        // What ECMA-262 itself says of dates, which whatever read them in Node knew.
        let is_known = |form| matches!(form, TimeSpelling::Offset | TimeSpelling::Seconds);
        if dialect != Dialect::V2026 && !has_only(&traffic.disorder, is_known) {
            root.problem(
                "traffic",
                &format!(
                    "of the `disorder.time_forms` of `{name}` it is known what the `dialect` {} made of \"offset\" and \"seconds\": say \
                     these alone, or choose the `dialect` 2026",
                    dialect.word()
                ),
            );
        }
        let is_unpacked_twice = dialect == Dialect::V2026 || traffic.compression != Compression::Base64;
        let is_told_by_bytes = dialect != Dialect::V2021 || traffic.compression != Compression::GzipJs;
        if traffic.spelling > Share::default() && !(is_unpacked_twice && is_told_by_bytes) {
            root.problem(
                "traffic",
                &format!(
                    "what this `dialect` made of base64 twice, or of gzip that nobody speaks of, is not known: leave `spelling` out of `{name}`"
                ),
            );
        }
        if traffic.compression == Compression::Lz64 && dialect == Dialect::V2024 {
            root.problem(
                "traffic",
                &format!("the capture of 2024 reads no lz64, which `{name}` sends: choose another compression"),
            );
        }
    }
}

/// Notes which traffic a capture of imports drops, and that it listens at fewer endpoints.
pub(super) fn import_only(root: &mut Section<'_>, all: &mut [Traffic]) {
    for traffic in all {
        let name = &traffic.name;
        if traffic.endpoint.is_of_ai() {
            root.problem("traffic", &format!("a capture of imports has no endpoint for AI: leave out `{name}`"));
        }
        if traffic.replay.is_some() {
            root.problem(
                "traffic",
                &format!("what a capture of imports keeps of the recording of `{name}` is not known"),
            );
        }
        if !traffic.historical {
            if traffic.drop_events_older_than.is_some() {
                root.problem("traffic", &format!("a capture of imports drops all of `{name}`, whatever its age is"));
            }
            traffic.absent.get_or_insert(Absence::Live);
        }
    }
}

/// Keys that say what a recording says.
const RECORDED: [&str; 13] = [
    "events",
    "duration",
    "endpoint",
    "compression",
    "form",
    "historical",
    "spelling",
    "unknown_compression",
    "batch",
    "persons",
    "names",
    "content",
    "groups",
];

fn replay(section: &mut Section<'_>) -> Option<Replay> {
    let file = section.optional("replay", text);
    let speed = section.optional("speed", speed);
    let batch = section.optional("replay_batch", whole(1..=10_000)).unwrap_or(1) as usize;
    if !section.mentions("replay") {
        for key in ["speed", "replay_batch"] {
            if section.mentions(key) {
                section.problem(key, "is for a recording: name one with `replay`");
            }
        }
        return None;
    }
    for key in RECORDED {
        if section.mentions(key) {
            section.problem(key, "is what the recording says: leave it out beside `replay`");
        }
    }
    let is_paced = section.mentions("arrival");
    if is_paced && speed.is_some() {
        section.problem("speed", "give either `speed` or `arrival`, not both");
    }
    let pace = if is_paced { Pace::Arrival } else { Pace::Recorded(speed.unwrap_or(1.0)) };
    Some(Replay { file: file.unwrap_or_default().into(), pace, batch })
}

/// `2x` or `0.5x`.
fn speed(value: &DeValue<'_>) -> Result<f64, String> {
    let wrong = || "must say how fast against the recording, such as \"2x\" or \"0.5x\"".to_owned();
    let text = text(value).map_err(|_| wrong())?;
    let times = text.strip_suffix('x').and_then(|times| times.trim().parse::<f64>().ok());
    times.filter(|times| (1e-3..=1e6).contains(times)).ok_or_else(wrong)
}

fn persons(mut section: Section<'_>) -> Persons {
    let persons = Persons {
        count: section.optional("count", whole(1..=1 << 40)).unwrap_or(1_000),
        identify: section.optional("identify", Share::parse).unwrap_or_default(),
        illegal_alias: section.optional("illegal_alias", Share::parse).unwrap_or_default(),
        hot: section.optional("hot", Share::parse).unwrap_or_default(),
        hot_count: section.optional("hot_count", whole(1..=1 << 40)).unwrap_or(1),
    };
    section.end();
    persons
}

/// A list of names, each perhaps with a weight behind a colon.
fn names(value: &DeValue<'_>) -> Result<Vec<(String, u64)>, String> {
    let wrong =
        || "must be a list of names, each with a weight if it likes: [\"$pageview:5\", \"purchase\"]".to_owned();
    let name = |value: &DeValue<'_>| {
        let text = text(value).map_err(|_| wrong())?;
        let (name, weight) = text.rsplit_once(':').unwrap_or((&text, "1"));
        let weight = weight.parse().ok().filter(|weight| (1..=1_000_000).contains(weight)).ok_or_else(wrong)?;
        if name.is_empty()
            || name.chars().count() > 200
            || name.contains(['"', '\\'])
            || name.contains(char::is_control)
        {
            return Err(format!(
                "`{name}` is no plain name: up to 200 characters, no quotes, no backslashes; `content` sends others"
            ));
        }
        if SPECIAL.iter().any(|special| name.starts_with(special)) {
            return Err(format!("`{name}` means something of its own to the pipeline, and cannot be a mere name"));
        }
        Ok((name.to_owned(), weight))
    };
    value.as_array().ok_or_else(wrong)?.iter().map(|value| name(value.get_ref())).collect()
}

/// What names begin with that are handled in a way of their own (ingestion contract 1.5, 2.3, 2.4).
const SPECIAL: [&str; 8] =
    ["$identify", "$create_alias", "$merge_dangerously", "$groupidentify", "$exception", "$$", "$snapshot", "$ai_"];

fn disorder(mut section: Section<'_>) -> Disorder {
    let backdated = section.optional("backdated", Share::parse).unwrap_or_default();
    let backdated_by = section.optional("backdated_by", Distribution::parse);
    if backdated > Share::default() && !section.mentions("backdated_by") {
        section.problem("backdated_by", "is missing: say by how much, such as \"exponential(30s)\"");
    }
    let ahead = section.optional("ahead", Share::parse).unwrap_or_default();
    let ahead_by = section.optional("ahead_by", Distribution::parse);
    if ahead > Share::default() && !section.mentions("ahead_by") {
        section.problem("ahead_by", "is missing: say by how much, such as \"uniform(1min, 1h)\"");
    }
    let disorder = Disorder {
        backdated,
        backdated_by: backdated_by.unwrap_or_default(),
        ahead,
        ahead_by: ahead_by.unwrap_or_default(),
        shuffle: section.optional("shuffle", Duration::parse).unwrap_or_default(),
        resend: section.optional("resend", Share::parse).unwrap_or_default(),
        altered: section.optional("altered", Share::parse).unwrap_or_default(),
        clock_skew: section.optional("clock_skew", Distribution::parse).unwrap_or_default(),
        clock_drift: section.optional("clock_drift", Distribution::parse).unwrap_or_default(),
        wrong_year: section.optional("wrong_year", Share::parse).unwrap_or_default(),
        no_sent_at: section.optional("no_sent_at", Share::parse).unwrap_or_default(),
        offset: section.optional("offset", Share::parse).unwrap_or_default(),
        offset_and_timestamp: section.optional("offset_and_timestamp", Share::parse).unwrap_or_default(),
        no_timestamp: section.optional("no_timestamp", Share::parse).unwrap_or_default(),
        ignore_sent_at: section.optional("ignore_sent_at", Share::parse).unwrap_or_default(),
        midnight: section.optional("midnight", Share::parse).unwrap_or_default(),
        no_uuid: section.optional("no_uuid", Share::parse).unwrap_or_default(),
        empty_uuid: section.optional("empty_uuid", Share::parse).unwrap_or_default(),
        time_spelling: section.optional("time_spelling", Share::parse).unwrap_or_default(),
        time_forms: section.optional("time_forms", words(&TimeSpelling::ALL)).unwrap_or_default(),
    };
    let forms = [disorder.offset, disorder.offset_and_timestamp, disorder.no_timestamp, disorder.ignore_sent_at];
    if forms.iter().map(|share| share.get()).sum::<f64>() > 1.0 {
        section.problem(
            "offset",
            "`offset`, `offset_and_timestamp`, `no_timestamp` and `ignore_sent_at` are shares of the same events: together \
             they must not be more than 100%",
        );
    }
    if disorder.altered > Share::default() && disorder.resend == Share::default() {
        section.problem("altered", "is a share of what is sent a second time: say which with `resend`");
    }
    if !disorder.time_forms.is_empty() && disorder.time_spelling == Share::default() {
        section.problem("time_forms", "are those of a share of events: say which with `time_spelling`");
    }
    section.end();
    disorder
}

fn extras(mut content: Section<'_>, mut groups: Section<'_>) -> Extras {
    let hostile = content.optional("hostile", Share::parse).unwrap_or_default();
    let kinds = content.optional("kinds", words(&Hostile::ALL)).unwrap_or_default();
    let large = content.optional("large", Share::parse).unwrap_or_default();
    let padding = content.optional("padding", notation::parse_range).unwrap_or_default();
    if large > Share::default() && !content.mentions("padding") {
        content.problem("padding", "is missing: say by how many bytes, such as \"1000..100000\"");
    }
    if padding.1 > LARGEST {
        content.problem("padding", "must be at most 15000000 bytes: no endpoint takes more than 20 MiB");
    }
    let elements = content.optional("elements", Share::parse).unwrap_or_default();
    let fields = content.optional("fields", Share::parse).unwrap_or_default();
    let refused = content.optional("refused", Share::parse).unwrap_or_default();
    content.end();
    let grouped = groups.optional("share", Share::parse).unwrap_or_default();
    let group_types = groups.optional("types", whole(1..=GROUP_TYPES.len() as u64));
    let of_type = groups.optional("count", whole(1..=1 << 40)).unwrap_or(100);
    groups.end();
    Extras {
        hostile,
        kinds,
        large,
        padding,
        grouped,
        group_types: group_types.unwrap_or(if grouped > Share::default() { 2 } else { 0 }),
        groups: of_type,
        elements,
        fields,
        refused,
    }
}
