//! From what somebody recorded to our form: HTTP requests or exported events, as JSON lines.
//!
//! ```text
//! {"time":0.1,"method":"POST","path":"/batch/?_=…","headers":{"content-type":"application/json"},"body":"base64"}
//! {"event":"$pageview","distinct_id":"d","timestamp":"2026-01-01T00:00:00.000Z","properties":{…}}
//! ```
//!
//! Both may stand in one file, if their times are by one clock: seconds from any beginning, or moments (RFC 3339, seconds
//! since 1970, or milliseconds since then: a number that would be no year of seconds, or a text). A request is what a proxy or
//! `assay generate --requests` writes; an event what an export holds, its properties an object or a string with one. What cannot
//! be understood is told with its line, and the rest goes on.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use super::{
    BodySpelling, Line, LineEvent, Style, body,
    event::Recorded,
    headers,
    identities::{Identities, Kind},
    reason,
};
use crate::{
    identity::MARKER_PROPERTY,
    workload::{Compression, DistinctIdKey, Endpoint, Form, RecordedSpelling, TimeForm, TokenKey},
};

/// A line that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotUnderstood {
    /// Which, from 1.
    pub line: u64,
    /// Why.
    pub what: String,
}

/// What became of a recording.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Requests that will be sent.
    pub requests: u64,
    /// Events in them, those with one uuid counted once.
    pub events: u64,
    /// How often one of them stands there again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeated: u64,
    /// Lines that were left out.
    pub not_understood: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The lines that say when a recording begins and ends, from 1; 0 where it holds nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ends {
    /// That with the earliest time.
    pub first: u64,
    /// That with the latest.
    pub last: u64,
}

/// A recording could not be read or written down.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be {what}")]
pub struct ImportError {
    path: PathBuf,
    what: &'static str,
    source: std::io::Error,
}

/// Reads the recording `from`, writes it to `to` in our form, and reports each line that is left out; returns what became of it,
/// and which lines say when it begins and ends. Events without a request go into batches of `batch`. What nobody can read as a
/// timestamp is kept as it is where the server's clock is `taken_for_unreadable` ones, and else left out; there, too, a profile
/// without a name is sent without.
///
/// # Errors
/// When a file cannot be read or written, or the recording is packed.
pub fn import(
    from: &Path,
    to: &Path,
    batch: usize,
    taken_for_unreadable: bool,
    mut report: impl FnMut(NotUnderstood),
) -> Result<(Imported, Ends), ImportError> {
    let cannot = |path: &Path, what| {
        let path = path.to_owned();
        move |source| ImportError { path, what, source }
    };
    let unsorted = to.with_extension("unsorted");
    let mut reader = BufReader::with_capacity(1 << 20, File::open(from).map_err(cannot(from, "read"))?);
    if reader.fill_buf().map_err(cannot(from, "read"))?.starts_with(&GZIP) {
        let packed = "it is packed with gzip: unpack it first, with `gunzip -c FILE > recording.jsonl`";
        return Err(cannot(from, "read")(std::io::Error::new(std::io::ErrorKind::InvalidData, packed)));
    }
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&unsorted);
    let file = file.map_err(cannot(&unsorted, "written"))?;
    let mut writer = Unsorted {
        file: BufWriter::new(file),
        offset: 0,
        index: Vec::new(),
        events: 0,
        ends: None,
        waiting: Vec::new(),
        batch: batch.max(1),
    };
    let (mut not_understood, mut clock) = (0, None);
    let (mut identities, mut repeated) = (Identities::default(), 0);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(cannot(from, "read"))? == 0 {
            break;
        }
        // An editor may have put it there.
        let text = if number == 1 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line) } else { &line };
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let understood = understand(text, taken_for_unreadable)
            .and_then(|understood| understood.by(&mut clock))
            .and_then(|understood| Ok((understood.known_in(number, &mut identities)?, understood)));
        match understood {
            Ok((again, understood)) => {
                repeated += again;
                writer.take(number, understood).map_err(cannot(&unsorted, "written"))?;
            }
            Err(what) => {
                not_understood += 1;
                report(NotUnderstood { line: number, what });
            }
        }
    }
    let sorted = writer.sort_into(to);
    // It is of no use any more, whatever became of it.
    let removed = std::fs::remove_file(&unsorted);
    let (requests, positions, ends) = sorted.map_err(cannot(to, "written"))?;
    removed.map_err(cannot(&unsorted, "removed"))?;
    Ok((Imported { requests, events: positions - repeated, repeated, not_understood }, ends))
}

/// What a file begins with that is packed with gzip.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// What some editors put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A line that was understood.
enum Understood {
    Request(Request),
    /// An event without a request, and when it happened.
    Event(i64, Event),
}

/// What times are counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    /// A beginning of the recording's own.
    Relative,
    /// 1970.
    Absolute,
}

impl Clock {
    /// What is said of it.
    const fn told(self) -> &'static str {
        match self {
            Self::Relative => "in seconds from a beginning of their own",
            Self::Absolute => "moments",
        }
    }
}

impl Understood {
    /// Takes in whose uuids are in this line; returns how many were in one before.
    fn known_in(&self, line: u64, identities: &mut Identities) -> Result<u64, String> {
        match self {
            Self::Request(Request { style, events, .. }) => identities
                .take(line, style.endpoint.is_v1(), events)
                .map_err(|what| reason::of_request(what, events.len())),
            Self::Event(_, event) => identities.take(line, false, std::slice::from_ref(event)),
        }
    }

    /// Holds it to the clock of the lines before it: `clock` is that of the first one.
    fn by(self, clock: &mut Option<Clock>) -> Result<Self, String> {
        let (Self::Request(Request { at_ms, .. }) | Self::Event(at_ms, _)) = &self;
        let own = if *at_ms < SINCE_1970_MS { Clock::Relative } else { Clock::Absolute };
        match *clock.get_or_insert(own) {
            first if first == own => Ok(self),
            first => Err(format!(
                "its time and those of the lines before it are by different clocks: they are {}",
                first.told()
            )),
        }
    }
}

/// What is longer ago than this (1973) was counted from elsewhere.
const SINCE_1970_MS: i64 = 100_000_000_000;
/// An event may have happened so long before it was sent, or after: some three hundred years. Beyond that no calendar helps.
pub(super) const FARTHEST_MS: u64 = 10_000_000_000_000;

struct Request {
    at_ms: i64,
    style: Style,
    says_sent_at: bool,
    spelling: BodySpelling,
    headers: Vec<(String, String)>,
    events: Vec<Event>,
}

/// A recorded event.
pub(super) struct Event {
    /// How long before its request it happened.
    pub before_ms: i64,
    time: TimeForm,
    /// How it says whose it is.
    pub spelling: RecordedSpelling,
    /// Which it was.
    pub uuid: Option<Uuid>,
    /// What its timestamp says.
    pub said_ms: Option<i64>,
    /// A checksum of what it has in common with any other of its uuid.
    pub kind: u64,
    /// What is kept of it.
    pub text: Box<RawValue>,
}

/// What a line may hold. An export may have columns of these names, which hold anything.
#[derive(Deserialize)]
struct RecordedLine<'a> {
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    #[serde(borrow)]
    path: Option<&'a RawValue>,
    #[serde(borrow)]
    headers: Option<&'a RawValue>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
}

fn understand(line: &[u8], taken_for_unreadable: bool) -> Result<Understood, String> {
    let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?;
    let read: RecordedLine<'_> =
        serde_json::from_str(line).map_err(|error| reason::of("it is no JSON object of ours", &error))?;
    // An export's columns may be called `path` and `method`, but what was recorded of a request has its `time`.
    let may_be_request = read.time.is_some() && (read.method.is_some() || read.body.is_some());
    let path = read.path.filter(|_| read.event.is_none() || may_be_request);
    let Some(path) = path else {
        if read.event.is_none() {
            return Err("it has neither a `path`, as a request has, nor an `event`".into());
        }
        let at = read.timestamp.ok_or("the event has no `timestamp`")?;
        let at_ms = moment(at.get()).ok_or("the event's `timestamp` is no time")?;
        let context =
            Context { endpoint: Endpoint::Batch, reference_ms: at_ms, exported: true, taken_for_unreadable: false };
        let event = event(line, context)?;
        return Ok(Understood::Event(at_ms, event));
    };
    let at_ms = read.time.and_then(|time| moment(time.get())).ok_or("it has no `time` in seconds or RFC 3339")?;
    let path = text_of("`path`", path)?;
    let method = read.method.map(|method| text_of("`method`", method)).transpose()?;
    let body = read.body.map(|body| text_of("`body`", body)).transpose()?;
    let bytes = BASE64_STANDARD.decode(body.as_deref().unwrap_or_default());
    let bytes = bytes.map_err(|error| format!("its `body` is no base64: {error}"))?;
    let headers = read.headers.map(|headers| {
        serde_json::from_str::<BTreeMap<String, String>>(headers.get())
            .map_err(|_| "its `headers` are no object of names and texts: {\"name\":\"value\",…}")
    });
    let headers = headers.transpose()?.unwrap_or_default();
    let header = |wanted: &str| {
        headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str())
    };
    let content_type = header("content-type").unwrap_or_default();
    let mut opened = body::open(method.as_deref().unwrap_or("POST"), &path, content_type, &bytes)?;
    if opened.style.endpoint.is_v1() {
        // There the client's clock is in a header.
        let sent_at = header("posthog-request-timestamp").and_then(|text| text.parse::<Timestamp>().ok());
        opened.sent_at_ms = sent_at.map(Timestamp::as_millisecond);
    }
    let headers = headers::kept(&headers, opened.style)?;
    request(at_ms, opened, headers, taken_for_unreadable).map(Understood::Request)
}

/// The text of a field.
fn text_of(field: &str, json: &RawValue) -> Result<String, String> {
    serde_json::from_str(json.get()).map_err(|_| format!("its {field} {}", reason::no_text(json.get())))
}

/// A batch's own fields.
#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the wire calls it so")]
struct Batch<'a> {
    #[serde(borrow)]
    batch: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    token: Option<&'a RawValue>,
    #[serde(default)]
    historical_migration: bool,
    #[serde(borrow)]
    sent_at: Option<&'a RawValue>,
}

fn request(
    at_ms: i64,
    opened: body::Opened,
    headers: Vec<(String, String)>,
    taken_for_unreadable: bool,
) -> Result<Request, String> {
    let body::Opened { mut style, sent_at_ms, json } = opened;
    let no_json = |error: serde_json::Error| reason::of("its body is no JSON that events are sent in", &error);
    let mut spelling = BodySpelling::default();
    let (texts, sent_at_ms) = if json.trim_start().starts_with('[') {
        let texts = serde_json::from_str::<Vec<&RawValue>>(&json).map_err(no_json)?;
        spelling.list_of_one = texts.len() == 1;
        (texts, sent_at_ms)
    } else {
        let batch: Batch<'_> = serde_json::from_str(&json).map_err(no_json)?;
        style.historical = batch.historical_migration;
        // With one event alone, and by v1, it is nothing to capture.
        let is_read = batch.batch.is_some() && !style.endpoint.is_v1();
        if is_read && batch.sent_at.is_some_and(|json| !is_string(json)) {
            return Err(reason::refused("`sent_at`", "is no string"));
        }
        let sent_at = batch.sent_at.filter(|json| is_string(json)).and_then(|text| moment(text.get())).or(sent_at_ms);
        match batch.batch {
            Some(events) => {
                spelling.token = is_there(batch.token);
                (events, sent_at)
            }
            None => (vec![serde_json::from_str::<&RawValue>(&json).map_err(no_json)?], sent_at),
        }
    };
    if texts.is_empty() {
        return Err("its body holds no event".into());
    }
    let reference_ms = sent_at_ms.unwrap_or(at_ms);
    // v1 refuses it.
    let taken_for_unreadable = taken_for_unreadable && !style.endpoint.is_v1();
    let context = Context { endpoint: style.endpoint, reference_ms, exported: false, taken_for_unreadable };
    let events = texts.iter().enumerate().map(|(number, text)| {
        let told =
            |what: String| reason::of_request(format!("event {} of {}: {what}", number + 1, texts.len()), texts.len());
        event(text.get(), context).map_err(told)
    });
    let events = events.collect::<Result<_, _>>()?;
    Ok(Request { at_ms, style, says_sent_at: sent_at_ms.is_some(), spelling, headers, events })
}

#[derive(Clone, Copy)]
struct Context {
    endpoint: Endpoint,
    /// What the client's clock showed when it was sent, as far as that is known.
    reference_ms: i64,
    /// Whether its other fields are the store's, and not the client's.
    exported: bool,
    /// Whether the server's clock is taken where its timestamp cannot be read.
    taken_for_unreadable: bool,
}

/// Fields that are the run's own, or are kept in another way.
const OURS: [&str; 9] =
    ["token", "$token", "api_key", "uuid", "timestamp", "offset", "distinct_id", "$distinct_id", "properties"];

fn event(text: &str, context: Context) -> Result<Event, String> {
    let mut fields: BTreeMap<String, &RawValue> =
        serde_json::from_str(text).map_err(|error| reason::of("it is no JSON object", &error))?;
    let nameless = !fields.contains_key("event");
    let name = name(fields.remove("event"), context.endpoint)?;
    // An export writes properties as text.
    let unquoted = fields.get("properties").and_then(|text| serde_json::from_str::<String>(text.get()).ok());
    let of_properties = unquoted.as_deref().or_else(|| fields.get("properties").map(|text| text.get())).unwrap_or("{}");
    let mut properties: BTreeMap<String, &RawValue> = match of_properties {
        "null" => BTreeMap::new(),
        text => serde_json::from_str(text).map_err(|error| reason::of("its properties are no object", &error))?,
    };
    // Of an export nobody knows how its client spelt it, and v1 knows one way alone.
    let spelling = if context.exported || context.endpoint.is_v1() {
        RecordedSpelling::default()
    } else {
        // What earlier captures made of one without a name is as little known as what they made of such a timestamp.
        let nameless = nameless && context.taken_for_unreadable;
        RecordedSpelling { nameless, ..spelling(&fields, &properties) }
    };
    properties.remove("token");
    properties.remove(MARKER_PROPERTY);
    let id = fields.get("distinct_id").or_else(|| fields.get("$distinct_id")).or_else(|| properties.get("distinct_id"));
    let id = id.copied().filter(|id| !matches!(id.get(), "null" | "\"\"")).ok_or("it has no distinct id")?;
    if id.get().starts_with('"') {
        text_of("distinct id", id)?;
    }
    let mut unreadable = None;
    let timestamp = match fields.get("timestamp").map(|text| text.get()) {
        None | Some("null") => None,
        Some(text) => match moment(text) {
            None if context.taken_for_unreadable && is_no_time(text) => {
                unreadable = fields.remove("timestamp");
                None
            }
            None => return Err("its timestamp is no time".into()),
            // Only an export may have numbers.
            Some(_) if !context.exported && !text.starts_with('"') => {
                return Err(reason::refused("timestamp", "is no string"));
            }
            moment => moment,
        },
    };
    if !context.exported && !context.endpoint.is_v1() {
        let is_wrong = |key: &&str| fields.get(*key).is_some_and(|value| !is_object_or_null(value));
        if let Some(key) = ["$set", "$set_once"].into_iter().find(is_wrong) {
            return Err(reason::refused(&format!("`{key}`"), "is no object"));
        }
    }
    let (time, before_ms) = time(&name, id, (&fields, &properties), timestamp, context)?;
    let deciding = deciding(&name, (&fields, &properties), context.endpoint);
    let uuid = uuid(fields.get("uuid").copied(), context)?;
    let mut kept: BTreeMap<String, Box<RawValue>> = BTreeMap::new();
    kept.insert("event".into(), raw(&name)?);
    kept.insert("distinct_id".into(), id.to_owned());
    kept.insert("properties".into(), raw(&properties)?);
    // Of an export only these are the client's, and what no capture would take of them is not.
    let is_clients = |key: &str, value: &RawValue| {
        !context.exported || (matches!(key, "$set" | "$set_once") && is_object_or_null(value))
    };
    let others = fields.iter().filter(|(key, value)| !OURS.contains(&key.as_str()) && is_clients(key, value));
    kept.extend(others.map(|(key, value)| (key.clone(), (*value).to_owned())));
    kept.extend(unreadable.map(|text| ("timestamp".to_owned(), text.to_owned())));
    let text = raw(&kept)?;
    // What cannot be read when it is to be sent is not kept.
    Recorded::read(text.get()).map_err(|error| reason::of("it cannot be sent again", &error))?;
    let kind = Kind {
        is_v1: context.endpoint.is_v1(),
        time: time as u8,
        exported: context.exported.then(|| (timestamp, text.get())),
        name: &name,
        distinct_id: id.get(),
        deciding: deciding.to_vec(),
    };
    let kind = kind.sum();
    Ok(Event { before_ms, time, spelling, uuid, said_ms: timestamp, kind, text })
}

/// What decides whose an event is, or what becomes of it: two properties, the id that its name merges with its own if it merges any
/// (ingestion contract 2.3), and v1's options. Elsewhere properties and fields of these names are like all others.
fn deciding<'a>(
    name: &str,
    (fields, properties): (&BTreeMap<String, &'a RawValue>, &BTreeMap<String, &'a RawValue>),
    endpoint: Endpoint,
) -> [Option<&'a str>; 4] {
    let property = |key: &str| properties.get(key).map(|value| value.get());
    let merged = match name {
        "$identify" => property("$anon_distinct_id"),
        "$create_alias" | "$merge_dangerously" => property("alias"),
        _ => None,
    };
    let options = fields.get("options").filter(|_| endpoint.is_v1()).map(|value| value.get());
    [property("$process_person_profile"), property("$cookieless_mode"), merged, options]
}

fn name(text: Option<&RawValue>, endpoint: Endpoint) -> Result<String, String> {
    let name = match (text, endpoint) {
        (Some(name), _) => text_of("name", name)?,
        // People's profiles come without a name (rust/common/types/src/event.rs).
        (None, Endpoint::Engage) => "$identify".to_owned(),
        (None, _) => String::new(),
    };
    if name.is_empty() { Err("it has no name".into()) } else { Ok(name) }
}

/// Which event it is, if it says so. Capture refuses what is no uuid; an export may have columns of its own there.
fn uuid(json: Option<&RawValue>, context: Context) -> Result<Option<Uuid>, String> {
    let Some(json) = json.filter(|json| json.get() != "null") else { return Ok(None) };
    let text: Option<String> = serde_json::from_str(json.get()).ok();
    let text = text.as_deref().map(str::trim);
    if text == Some("") {
        return Ok(None);
    }
    match text.and_then(|text| Uuid::parse_str(text).ok()) {
        None if !context.exported => Err(reason::refused("uuid", "is none")),
        uuid => Ok(uuid),
    }
}

fn is_string(json: &RawValue) -> bool {
    json.get().starts_with('"')
}

fn is_object_or_null(json: &RawValue) -> bool {
    json.get().starts_with('{') || json.get() == "null"
}

fn is_there(value: Option<&RawValue>) -> bool {
    value.is_some_and(|value| value.get() != "null")
}

/// How an event says whose it is. One without a token gets the usual one, since its neighbours may be sent without it.
fn spelling(fields: &BTreeMap<String, &RawValue>, properties: &BTreeMap<String, &RawValue>) -> RecordedSpelling {
    let has = |key: &str| is_there(fields.get(key).copied());
    let token_property = is_there(properties.get("token").copied());
    let token = if has("token") {
        TokenKey::Token
    } else if has("$token") {
        TokenKey::DollarToken
    } else if token_property && !has("api_key") {
        TokenKey::Nowhere
    } else {
        TokenKey::ApiKey
    };
    let distinct_id = if has("distinct_id") {
        DistinctIdKey::DistinctId
    } else if has("$distinct_id") {
        DistinctIdKey::DollarDistinctId
    } else {
        DistinctIdKey::Nowhere
    };
    RecordedSpelling { token, token_property, distinct_id, nameless: false }
}

/// How an event with these fields and properties says when it happened, and how long before its request that was.
fn time(
    name: &str,
    id: &RawValue,
    (fields, properties): (&BTreeMap<String, &RawValue>, &BTreeMap<String, &RawValue>),
    timestamp: Option<i64>,
    context: Context,
) -> Result<(TimeForm, i64), String> {
    let ignores = match context.endpoint {
        Endpoint::AiV1 if !name.starts_with("$ai_") => {
            return Err("it is no event of AI, whose names begin with `$ai_`, and its endpoint takes no others".into());
        }
        Endpoint::V1 | Endpoint::AiV1 => {
            check_v1(id, timestamp)?;
            fields.get("options").is_some_and(|options| is_set(options, "disable_skew_correction"))
        }
        _ => properties.get("$ignore_sent_at").is_some_and(|value| value.get() == "true"),
    };
    let offset = match fields.get("offset").map(|text| text.get()) {
        None | Some("null") => None,
        Some(text) => Some(text.parse::<i64>().map_err(|_| "its offset is no number of milliseconds")?),
    };
    let (time, before_ms) = match (timestamp, offset) {
        (Some(at), Some(_)) => (TimeForm::Both, context.reference_ms - at),
        (Some(at), None) if ignores => (TimeForm::IgnoreSentAt, context.reference_ms - at),
        (Some(at), None) => (TimeForm::Timestamp, context.reference_ms - at),
        (None, Some(offset)) => (TimeForm::Offset, offset),
        (None, None) => (TimeForm::Neither, 0),
    };
    if before_ms.unsigned_abs() > FARTHEST_MS {
        return Err(format!("it happened {before_ms} ms before it was sent, which is no time that can be replayed"));
    }
    Ok((time, before_ms))
}

/// v1 takes no body with an event that has not these (rust/capture/src/v1/analytics/types.rs).
fn check_v1(id: &RawValue, timestamp: Option<i64>) -> Result<(), String> {
    match timestamp {
        None => Err("it has no timestamp, which v1 demands".into()),
        Some(_) if !id.get().starts_with('"') => Err("its distinct id is no string, which v1 demands".into()),
        Some(_) => Ok(()),
    }
}

/// Whether one of v1's options is set, in any of the forms that it takes.
fn is_set(options: &RawValue, option: &str) -> bool {
    let options: BTreeMap<String, &RawValue> = serde_json::from_str(options.get()).unwrap_or_default();
    options.get(option).is_some_and(|value| match value.get().parse::<f64>() {
        Ok(number) => number != 0.0,
        Err(_) => matches!(value.get().trim_matches('"').trim().to_ascii_lowercase().as_str(), "true" | "1"),
    })
}

fn raw(value: &impl Serialize) -> Result<Box<RawValue>, String> {
    to_raw_value(value).map_err(|error| error.to_string())
}

/// A time in milliseconds since 1970, or from any other beginning: seconds, or milliseconds since 1970 where seconds would be in
/// the year 5138 or later; or a text that says when, in digits milliseconds.
fn moment(json: &str) -> Option<i64> {
    if let Ok(number) = json.parse::<f64>() {
        let ms = if number.abs() < SINCE_1970_MS as f64 { number * 1e3 } else { number };
        return (ms.abs() < 1e15).then(|| ms.round() as i64);
    }
    let text: String = serde_json::from_str(json).ok()?;
    let text = text.trim();
    if let Ok(ms) = text.parse::<i64>() {
        // As capture takes it (rust/common/types/src/timestamp.rs).
        return (ms.unsigned_abs() < 1_000_000_000_000_000).then_some(ms);
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment.as_millisecond());
    }
    let civil = text.parse::<DateTime>().ok()?;
    civil.to_zoned(TimeZone::UTC).ok().map(|moment| moment.timestamp().as_millisecond())
}

/// Whether a text is a time to nobody. Other libraries read more forms than are read here, and all of these have digits.
fn is_no_time(json: &str) -> bool {
    serde_json::from_str::<String>(json).is_ok_and(|text| !text.contains(|c: char| c.is_ascii_digit()))
}

/// Requests in the order in which they were read.
struct Unsorted {
    file: BufWriter<File>,
    offset: u64,
    index: Vec<Entry>,
    events: u64,
    /// The earliest and the latest time, each with its line.
    ends: Option<[(i64, u64); 2]>,
    /// Events without a request, which wait for others, each with its time and line.
    waiting: Vec<(i64, u64, Event)>,
    batch: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    at_ms: i64,
    offset: u64,
    length: usize,
}

/// What a line begins with before its time is known.
const AT_ZERO: &str = "{\"at\":0.0";

impl Unsorted {
    fn take(&mut self, line: u64, understood: Understood) -> std::io::Result<()> {
        match understood {
            Understood::Request(request) => self.write(line, &request),
            Understood::Event(at_ms, event) => {
                self.waiting.push((at_ms, line, event));
                if self.waiting.len() == self.batch { self.write_waiting() } else { Ok(()) }
            }
        }
    }

    /// They are sent when the last of them has happened.
    fn write_waiting(&mut self) -> std::io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let last = waiting.iter().map(|(at_ms, line, _)| (*at_ms, *line)).max();
        let Some((at_ms, line)) = last else { return Ok(()) };
        let style =
            Style { endpoint: Endpoint::Batch, compression: Compression::None, form: Form::Plain, historical: false };
        let events =
            waiting.into_iter().map(|(happened_ms, _, event)| Event { before_ms: at_ms - happened_ms, ..event });
        let (spelling, headers) = (BodySpelling::default(), Vec::new());
        self.write(line, &Request { at_ms, style, says_sent_at: true, spelling, headers, events: events.collect() })
    }

    /// Writes a request whose time stands in line `number` of the recording.
    fn write(&mut self, number: u64, request: &Request) -> std::io::Result<()> {
        let Style { endpoint, compression, form, historical } = request.style;
        let events = request.events.iter().map(|event| LineEvent {
            before_ms: event.before_ms,
            time: event.time,
            spelling: event.spelling,
            uuid: event.uuid,
            // Of use where it is compared to another's.
            said_ms: event.said_ms.filter(|_| event.uuid.is_some()),
            event: &event.text,
        });
        let headers = Some(&request.headers).filter(|headers| !headers.is_empty()).map(to_raw_value).transpose()?;
        let line = Line {
            at: 0.0,
            endpoint,
            compression,
            form,
            historical,
            sent_at: request.says_sent_at,
            headers: headers.as_deref(),
            spelling: request.spelling,
            events: events.collect(),
        };
        let text = serde_json::to_string(&line)?;
        self.file.write_all(text.as_bytes())?;
        self.index.push(Entry { at_ms: request.at_ms, offset: self.offset, length: text.len() });
        self.offset += text.len() as u64;
        self.events += request.events.len() as u64;
        let own = (request.at_ms, number);
        let [first, last] = self.ends.get_or_insert([own; 2]);
        (*first, *last) = (own.min(*first), own.max(*last));
        Ok(())
    }

    /// Writes the requests by their times; returns how many there are, how many events, and where their times end.
    fn sort_into(mut self, to: &Path) -> std::io::Result<(u64, u64, Ends)> {
        self.write_waiting()?;
        self.file.flush()?;
        let unsorted = self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        self.index.sort_by_key(|entry| entry.at_ms);
        let mut out = BufWriter::with_capacity(1 << 20, File::create_new(to)?);
        let begin = self.index.first().map_or(0, |first| first.at_ms);
        let mut text = Vec::new();
        for Entry { at_ms, offset, length } in &self.index {
            text.resize(*length, 0);
            unsorted.read_exact_at(&mut text, *offset)?;
            write!(out, "{{\"at\":{:?}", (at_ms - begin) as f64 / 1e3)?;
            out.write_all(&text[AT_ZERO.len()..])?;
            out.write_all(b"\n")?;
        }
        out.flush()?;
        let ends = self.ends.map_or_else(Ends::default, |[(_, first), (_, last)]| Ends { first, last });
        Ok((self.index.len() as u64, self.events, ends))
    }
}
