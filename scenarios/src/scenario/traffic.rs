//! One kind of traffic: the table `[[traffic]]` of a scenario.

use std::time::Duration;

use generators::{
    random::{Distribution, Share},
    schedule::{Arrival, Rate},
    workload::{
        Absence, Alteration, Compression, Disorder, Endpoint, Extras, Form, GROUP_TYPES, Hostile, Pace, Persons,
        Profile, Restrictions, TimeForm, TimeSpelling,
    },
};

use toml::de::DeValue;

mod together;

use together::AI;
pub(super) use together::{check_age_limits, check_pipeline};

use super::{
    Replay, Traffic, arrival, client,
    notation::{self, Expectable},
    reader::{Section, choice, flag, text, whole, words},
};

/// The words for compressions; one of them leaves it to the client.
pub(super) const COMPRESSIONS: [(&str, Option<Compression>); 6] = [
    ("none", Some(Compression::None)),
    ("gzip", Some(Compression::Gzip)),
    ("gzip-js", Some(Compression::GzipJs)),
    ("base64", Some(Compression::Base64)),
    ("lz64", Some(Compression::Lz64)),
    ("client", None),
];
/// The words for where a request's data stands.
pub(super) const FORMS: [(&str, Form); 3] =
    [("plain", Form::Plain), ("form", Form::Urlencoded), ("query", Form::Query)];
/// The form of an event with three such contents is about as much as its endpoint takes.
const LARGEST_BLOB: u64 = 8_000_000;
/// More than any endpoint takes: 25 MiB, and a tenth around the parts of a form.
const LARGEST: u64 = 32_000_000;
/// So many events go into a request at most, made or recorded.
pub(super) const LARGEST_BATCH: u64 = 10_000;
/// A recording that takes longer most likely holds a time by a wrong clock.
const LONGEST_REPLAY: Duration = Duration::from_hours(7 * 24);

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
    let compression = section.optional("compression", choice(&COMPRESSIONS));
    if compression == Some(None) && client.profile == Profile::Assay {
        section.problem("compression", "needs a `client` whose way it is, such as \"posthog-js\"");
    }
    let compression =
        compression.map_or_else(Compression::default, |said| said.unwrap_or(client.profile.facts().compression));
    let form = section.optional("form", choice(&FORMS)).unwrap_or_default();
    let historical = section.optional("historical", flag).unwrap_or_default();
    let spelling = section.optional("spelling", Share::parse).unwrap_or_default();
    let unknown_compression = section.optional("unknown_compression", Share::parse).unwrap_or_default();
    let clients = section.optional("clients", whole(1..=10_000)).unwrap_or(16);
    let mut batch = section.section("batch");
    let size = batch.optional("size", notation::parse_range).unwrap_or((1, 1));
    if size.1 > LARGEST_BATCH {
        batch.problem("size", &format!("must be at most {LARGEST_BATCH}: no request holds more events"));
    }
    batch.end();

    let persons = persons(section.section("persons"));
    let restricted = restricted(section.section("restricted"));
    let names = section.optional("names", names).unwrap_or_default();

    let has_own_words = replay.is_none() && !endpoint.has_bearer();
    let time = if has_own_words { client.profile.facts().time } else { TimeForm::default() };
    let disorder = disorder(section.section("disorder"), time);
    let extras = extras(section.section("content"), section.section("groups"));
    let team = section.optional("team", text);
    let absent = absent(&mut section, endpoint, &names, team.as_deref());
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
        restricted,
        names,
        disorder,
        extras,
        team,
        absent,
        drop_events_older_than,
        replay,
        client,
    };
    together::check(&mut section, &traffic);
    section.end();
    traffic
}

/// Why none of its events is stored; `None` if they are.
fn absent(
    section: &mut Section<'_>,
    endpoint: Endpoint,
    names: &[(String, u64)],
    team: Option<&str>,
) -> Option<Absence> {
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
    if team.is_some_and(str::is_empty) {
        section.problem("team", "must be a name");
    }
    match endpoint {
        _ if over_quota => Some(Absence::OverQuota),
        _ if drop_listed => Some(Absence::DropListed),
        _ if unknown_token => Some(Absence::UnknownToken),
        Endpoint::BlackHole => Some(Absence::BlackHole),
        Endpoint::Recordings => Some(Absence::Recording),
        Endpoint::AiV1 if !names.is_empty() => {
            let of_ai = names.iter().filter(|(name, _)| name.starts_with(AI)).count();
            if of_ai != 0 && of_ai != names.len() {
                section.problem("names", "are all of AI there, or none of them is: make two traffics of it");
            }
            (of_ai == 0).then_some(Absence::Misrouted)
        }
        _ => None,
    }
}

/// The words for endpoints.
pub(super) fn endpoints() -> [(&'static str, Endpoint); Endpoint::ALL.len()] {
    Endpoint::ALL.map(|endpoint| match endpoint {
        Endpoint::V1 => ("v1", endpoint),
        Endpoint::AiV1 => ("v1/ai", endpoint),
        _ => (endpoint.path().trim_matches('/'), endpoint),
    })
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
const RECORDED: [&str; 14] = [
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
    "restricted",
    "names",
    "content",
    "groups",
];

fn replay(section: &mut Section<'_>) -> Option<Replay> {
    let file = section.optional("replay", text);
    let speed = section.optional("speed", speed);
    let batch = section.optional("replay_batch", whole(1..=LARGEST_BATCH)).unwrap_or(1) as usize;
    let longest = section.optional("replay_longest", Duration::parse).unwrap_or(LONGEST_REPLAY);
    if !section.mentions("replay") {
        for key in ["speed", "replay_batch", "replay_longest"] {
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
    if is_paced && section.mentions("replay_longest") {
        section.problem("replay_longest", "the `arrival` says how long it takes: leave one of them out");
    }
    let pace = if is_paced { Pace::Arrival } else { Pace::Recorded(speed.unwrap_or(1.0)) };
    Some(Replay { file: file.unwrap_or_default().into(), pace, batch, longest })
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

fn restricted(mut section: Section<'_>) -> Restrictions {
    let mut share = |key| section.optional(key, Share::parse).unwrap_or_default();
    let restricted = Restrictions {
        drop_event: share("drop_event"),
        force_overflow: share("force_overflow"),
        forced_key: share("forced_key"),
        skip_person_processing: share("skip_person_processing"),
        redirect_to_dlq: share("redirect_to_dlq"),
    };
    // Shares are written in decimal, and their sum is not exact.
    if restricted.shares().iter().map(|(share, _)| share.get()).sum::<f64>() > 1.0 + 1e-9 {
        section.problem(
            "drop_event",
            "a person is restricted in one way, so the shares of `restricted` may come to 100% at most",
        );
    }
    section.end();
    restricted
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
    let list = value.as_array().ok_or_else(wrong)?;
    if list.is_empty() {
        return Err("must hold a name at least: leave it out for the usual ones".into());
    }
    list.iter().map(|value| name(value.get_ref())).collect()
}

/// What names begin with that are handled in a way of their own (ingestion contract 2.3, 2.4), or become no events.
const SPECIAL: [&str; 6] = ["$identify", "$create_alias", "$merge_dangerously", "$groupidentify", "$$", "$snapshot"];

/// Keys that say how events tell when they happened.
const TIME_FORMS: [&str; 4] = ["offset", "offset_and_timestamp", "no_timestamp", "ignore_sent_at"];

/// Reads how order and clocks are disturbed; `time` is how the clients' library says when events happened.
fn disorder(mut section: Section<'_>, time: TimeForm) -> Disorder {
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
    let says_time = TIME_FORMS.iter().any(|key| section.mentions(key));
    let usual_offset = if time == TimeForm::Offset && !says_time { Share::new(1.0) } else { None };
    let resend_after = section.optional("resend_after", Distribution::parse);
    let duplicate_after = section.optional("duplicate_after", Distribution::parse);
    let disorder = Disorder {
        backdated,
        backdated_by: backdated_by.unwrap_or_default(),
        ahead,
        ahead_by: ahead_by.unwrap_or_default(),
        shuffle: section.optional("shuffle", Duration::parse).unwrap_or_default(),
        resend: section.optional("resend", Share::parse).unwrap_or_default(),
        resend_after,
        duplicate_requests: section.optional("duplicate_requests", Share::parse).unwrap_or_default(),
        duplicate_after: duplicate_after.unwrap_or_default(),
        altered: section.optional("altered", Share::parse).unwrap_or_default(),
        altered_in: section.optional("altered_in", words(&Alteration::ALL)).unwrap_or_default(),
        clock_skew: section.optional("clock_skew", Distribution::parse).unwrap_or_default(),
        clock_drift: section.optional("clock_drift", Distribution::parse).unwrap_or_default(),
        wrong_year: section.optional("wrong_year", Share::parse).unwrap_or_default(),
        no_sent_at: section.optional("no_sent_at", Share::parse).unwrap_or_default(),
        offset: section.optional("offset", Share::parse).or(usual_offset).unwrap_or_default(),
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
    if !disorder.altered_in.is_empty() && disorder.altered == Share::default() {
        section.problem("altered_in", "is what differs in a share of events: say which with `altered`");
    }
    if resend_after.is_some() && disorder.resend == Share::default() {
        section.problem("resend_after", "is when events are sent a second time: say which with `resend`");
    }
    if duplicate_after.is_some() && disorder.duplicate_requests == Share::default() {
        section.problem("duplicate_after", "is when requests come twice: say which with `duplicate_requests`");
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
        content.problem("padding", "must be at most 32000000 bytes: that is more than any endpoint takes");
    }
    let elements = content.optional("elements", Share::parse).unwrap_or_default();
    let fields = content.optional("fields", Share::parse).unwrap_or_default();
    let twice = content.optional("twice", Share::parse).unwrap_or_default();
    let refused = content.optional("refused", Share::parse).unwrap_or_default();
    let cookieless = content.optional("cookieless", Share::parse).unwrap_or_default();
    let internal = content.optional("internal", Share::parse).unwrap_or_default();
    let embedded = content.optional("embedded", Share::parse).unwrap_or_default();
    let blobs = content.optional("blobs", Share::parse).unwrap_or_default();
    let blob_size = content.optional("blob_size", notation::parse_range).unwrap_or_default();
    if blobs > Share::default() && !content.mentions("blob_size") {
        content.problem("blob_size", "is missing: say of how many bytes, such as \"100..100000\"");
    }
    if blob_size.1 > LARGEST_BLOB {
        content.problem(
            "blob_size",
            "must be at most 8000000 bytes: an event has up to three, and the endpoint takes 25 MiB",
        );
    }
    content.end();
    let grouped = groups.optional("share", Share::parse).unwrap_or_default();
    let group_types = groups.optional("types", whole(1..=GROUP_TYPES.len() as u64));
    let of_type = groups.optional("count", whole(1..=1 << 40)).unwrap_or(100);
    let group_identify = groups.optional("identify", Share::parse).unwrap_or_default();
    let has_groups = grouped > Share::default() || group_identify > Share::default();
    groups.end();
    Extras {
        hostile,
        kinds,
        large,
        padding,
        grouped,
        group_types: group_types.unwrap_or(if has_groups { 2 } else { 0 }),
        groups: of_type,
        group_identify,
        elements,
        fields,
        twice,
        refused,
        cookieless,
        internal,
        embedded,
        blobs,
        blob_size,
        // That is for the pipeline to say.
        blob_store: false,
    }
}
