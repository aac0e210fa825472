//! What of one kind of traffic does not go together, with the rest of it, with other traffic or with a dialect.

use checkers::oracle::dialect::Dialect;
use generators::{
    random::Share,
    workload::{ClientFaults, Compression, Disorder, Endpoint, Form, Persons, TimeSpelling},
};

use crate::scenario::{PipelineSettings, Traffic, reader::Section};

/// What exceptions are called, which go a way of their own (ingestion contract 1.5).
const EXCEPTION: &str = "$exception";
/// What the names of events of AI begin with, which do as well.
pub(super) const AI: &str = "$ai_";
/// From this many bytes on, Kafka takes no event (ingestion contract 1.4).
const OVERSIZE: u64 = 1_000_000;
/// So much can be added to properties that stand within an event's own part, which may be of 32 KiB (rust/capture, `ai_endpoint.rs`).
const MOST_EMBEDDED: u64 = 16_000;
/// The ids of so many persons fit into a setting of the pipeline.
const RESTRICTED_PERSONS: u64 = 1_000;
/// So many events fit into a URL.
const QUERY_EVENTS: u64 = 5;

/// What does not go together.
pub(super) fn check(section: &mut Section<'_>, traffic: &Traffic) {
    check_requests(section, traffic);
    check_events(section, traffic);
}

/// What requests are, and how their clients fail.
fn check_requests(section: &mut Section<'_>, traffic: &Traffic) {
    let Traffic { batch: size, endpoint, compression, form, historical, disorder, extras, client, .. } = traffic;
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
    let bombs = client.faults.gzip_bomb > Share::default();
    let is_told = match compression {
        Compression::Gzip => true,
        // v1 and AI are told of gzip by a header, and the others tell it by its first bytes.
        Compression::None | Compression::GzipJs => !endpoint.has_bearer(),
        Compression::Base64 | Compression::Lz64 => false,
    };
    if bombs && (!is_told || *endpoint == Endpoint::BlackHole) {
        section.problem(
            "client_faults.gzip_bomb",
            "is gzip that is unpacked: say the `compression` \"gzip\" (or \"none\" or \"gzip-js\" where it is not v1 or AI), and no \
             `endpoint` that swallows everything",
        );
    }
    if *endpoint == Endpoint::BlackHole && client.faults.no_token > Share::default() {
        section.problem("client_faults.no_token", "is swallowed there like anything: leave it out");
    }
    if *form != Form::Plain && client.faults != ClientFaults::default() {
        section.problem("client_faults", "spoil plain bodies: leave out `form`, or make two traffics of it");
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
    if *form == Form::Query && client.beacon > Share::default() {
        section.problem("beacon", "has a body always: leave out `form`, or make two traffics of it");
    }
    if *form == Form::Query && traffic.spelling > Share::default() {
        section.problem("spelling", "is for bodies: leave out `form`, or make two traffics of it");
    }
    if *form == Form::Query
        && (size.1 > QUERY_EVENTS
            || is_any(&[
                extras.hostile,
                extras.large,
                extras.grouped,
                extras.group_identify,
                extras.elements,
                extras.fields,
                extras.cookieless,
                extras.internal,
            ]))
    {
        section.problem(
            "form",
            "a URL has room for few events: at most `batch = { size = \"1..5\" }`, no `content` and no `groups`",
        );
    }
    let resends_in_next = disorder.resend > Share::default() && disorder.resend_after.is_none();
    if endpoint.takes_one() && (*size != (1, 1) || resends_in_next) {
        section.problem(
            "endpoint",
            "it takes one event a request: leave out `batch` and `disorder.resend`, unless with `resend_after`, or send to `e` or `v1/ai`",
        );
    }
}

/// What events say and hold.
fn check_events(section: &mut Section<'_>, traffic: &Traffic) {
    let Traffic { endpoint, disorder, extras, client, .. } = traffic;
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
            "what its events say of themselves the recording says: beside `replay` go `shuffle`, `resend`, `resend_after`, \
             `duplicate_requests`, `clock_skew`, `clock_drift` and `wrong_year`",
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
            extras.group_identify,
            traffic.spelling,
            client.faults.preflight,
        ])
    {
        section.problem(
            "endpoint",
            "the events of AI and of recordings have names and fields of their own: leave out `persons.identify`, \
             `persons.illegal_alias`, `content.hostile`, `content.elements`, `groups.identify`, `spelling` and \
             `client_faults.preflight`",
        );
    }
    for (share, key) in [(extras.cookieless, "content.cookieless"), (extras.internal, "content.internal")] {
        if (is_special || endpoint.has_bearer()) && share > Share::default() {
            section.problem(key, "is said otherwise there, or not at all: leave it out, or send to `batch` or `e`");
        }
    }
    let has_names = traffic.names.iter().any(|(name, _)| name == EXCEPTION || name.starts_with(AI));
    let changes_ids = is_any(&[illegal_alias, extras.hostile, extras.cookieless, extras.group_identify]);
    if !traffic.restricted.is_none()
        && (changes_ids || has_names || traffic.historical || endpoint.is_of_ai() || *endpoint == Endpoint::BlackHole)
    {
        section.problem(
            "restricted",
            "is for distinct ids as they are, and for the way that most events take: leave out `persons.illegal_alias`, \
             `content.hostile`, `content.cookieless`, `groups.identify`, `historical`, and the `names` and endpoints of exceptions, of \
             AI and of what is swallowed, or make two traffics of it",
        );
    }
    if !endpoint.is_v1() && extras.refused > Share::default() {
        section.problem(
            "content.refused",
            "is what v1 refuses by itself, and elsewhere the whole request would be: leave it out, or say `endpoint = \"v1\"`",
        );
    }
    if (endpoint.has_bearer() || matches!(endpoint, Endpoint::Recordings | Endpoint::BlackHole))
        && extras.twice > Share::default()
    {
        section.problem(
            "content.twice",
            "is for the endpoints of v0 that take events: leave it out, or send to `batch` or `e`",
        );
    }
    for (share, key) in [(extras.embedded, "content.embedded"), (extras.blobs, "content.blobs")] {
        if *endpoint != Endpoint::Ai && share > Share::default() {
            section.problem(key, "is for a form of several parts: leave it out, or say `endpoint = \"i/v0/ai\"`");
        }
    }
    if extras.embedded > Share::default() && extras.large > Share::default() && extras.padding.1 > MOST_EMBEDDED {
        section.problem(
            "content.padding",
            "an event's own part takes 32 KiB with the properties in it: at most 16000 bytes beside `embedded`, or make two traffics of it",
        );
    }
    if matches!(endpoint, Endpoint::Ai | Endpoint::Recordings) && !traffic.names.is_empty() {
        section.problem("names", "are given there: the endpoint takes no others");
    }
}

fn is_any(shares: &[Share]) -> bool {
    shares.iter().any(|share| *share > Share::default())
}

/// Whether all other forms of timestamps are of some kind, if there are any.
fn has_only(disorder: &Disorder, is_of_kind: impl Fn(TimeSpelling) -> bool) -> bool {
    let Disorder { time_spelling, time_forms, .. } = disorder;
    *time_spelling == Share::default() || (!time_forms.is_empty() && time_forms.iter().all(|form| is_of_kind(*form)))
}

/// Makes sure that no team has two limits for the age of events, or one where there is no such thing; returns whether some team
/// has one.
pub(in crate::scenario) fn check_age_limits(root: &mut Section<'_>, all: &[Traffic], dialect: Dialect) -> bool {
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

/// Makes sure that the pipeline takes such traffic, and that it is known what becomes of it there.
pub(in crate::scenario) fn check_pipeline(root: &mut Section<'_>, all: &[Traffic], settings: &PipelineSettings) {
    check_dialect(root, all, settings.dialect);
    check_group_order(root, all, settings.overflow.is_some());
    check_restricted(root, all, settings);
}

/// Makes sure that of two events which say what a group is it is known which the pipeline met first: what overflows has no order
/// (ingestion contract 1.5).
fn check_group_order(root: &mut Section<'_>, all: &[Traffic], overflows: bool) {
    for traffic in all.iter().filter(|traffic| overflows && traffic.extras.group_identify > Share::default()) {
        let name = &traffic.name;
        root.problem(
            "traffic",
            &format!(
                "what overflows loses its order, and with it what a group is in the end: leave `groups.identify` out of `{name}`, \
                 or `overflow` out of the pipeline"
            ),
        );
    }
}

/// Makes sure that restrictions are for a capture that knows them, which takes as many as are drawn, and that it is known what
/// becomes of an event that is restricted (ingestion contract 1.5).
fn check_restricted(root: &mut Section<'_>, all: &[Traffic], settings: &PipelineSettings) {
    let restricted: Vec<&Traffic> = all.iter().filter(|traffic| !traffic.restricted.is_none()).collect();
    let Some(first) = restricted.first() else { return };
    let name = &first.name;
    if settings.dialect != Dialect::V2026 {
        root.problem(
            "traffic",
            &format!("`restricted` came in 2025: leave it out of `{name}`, or choose the `dialect` 2026"),
        );
    }
    if settings.historical_from_days.is_some() {
        root.problem(
            "traffic",
            &format!(
                "which restricted events are old enough for the way of imports is known to capture alone: leave `restricted` out of \
                 `{name}`, or `historical_from_days` out of the pipeline"
            ),
        );
    }
    let persons = |traffic: &&Traffic| {
        let Persons { count, hot, hot_count, .. } = traffic.persons;
        count.saturating_add(if hot == Share::default() { 0 } else { hot_count })
    };
    let sum = restricted.iter().map(persons).fold(0, u64::saturating_add);
    if sum > RESTRICTED_PERSONS {
        root.problem(
            "traffic",
            &format!(
                "`restricted` is a list of distinct ids, and {sum} persons may be on it: leave it at {RESTRICTED_PERSONS} of them, with \
                 `persons.count` and `hot_count`"
            ),
        );
    }
}

/// Makes sure that traffic goes where the capture of its generation listens, in forms that it reads (ingestion contract 1.1 and
/// 1.3). Where recorded traffic goes its recording says.
fn check_dialect(root: &mut Section<'_>, all: &[Traffic], dialect: Dialect) {
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
        if dialect != Dialect::V2026 && is_any(&[traffic.extras.cookieless, traffic.extras.internal]) {
            root.problem(
                "traffic",
                &format!("`content.cookieless` and `internal` came in 2025: leave them out of `{name}`, or choose the `dialect` 2026"),
            );
        }
        let is_routed = |(name, _): &(String, u64)| name == EXCEPTION || name.starts_with(AI);
        if dialect != Dialect::V2026 && traffic.names.iter().any(is_routed) {
            root.problem(
                "traffic",
                &format!("what earlier pipelines made of exceptions and of AI is not known: leave them out of the `names` of `{name}`"),
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
