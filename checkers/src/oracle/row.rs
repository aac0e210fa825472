//! An event's expected row, column by column, and how a found one differs from it.

use generators::{
    event::{Event, Member},
    request::Said,
    workload::{ALTERED, ALTERED_NAME, DECOY_PROPERTY, GROUPS_KEPT, Twice},
};
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{blob, called, dialect::Dialect, elements, json, profile, v1};

/// Servers keep milliseconds, cut or rounded, of clocks that are read in microseconds.
pub(super) const ROUNDING_MICROS: i64 = 1_000;

/// A row of the events table, as far as it is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The event's UUID.
    pub uuid: Uuid,
    /// The event's name.
    pub event: String,
    /// Whom it was sent for.
    pub distinct_id: String,
    /// The tenant.
    pub team_id: i64,
    /// When it happened, in microseconds since 1970.
    pub timestamp_micros: i64,
    /// The person that it was given to.
    pub person_id: Uuid,
    /// A JSON object.
    pub properties: String,
    /// What was clicked, as one text.
    pub elements_chain: String,
    /// Of rows with one sorting key the engine keeps the one with the greatest version.
    pub version: u64,
    /// The shard that holds it, from 1; 0 where there is one, or where it is not known.
    pub shard: u32,
}

/// A row whose texts are somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are those of a row")]
pub struct RowRef<'a> {
    pub uuid: Uuid,
    pub event: &'a str,
    pub distinct_id: &'a str,
    pub team_id: i64,
    pub timestamp_micros: i64,
    pub person_id: Uuid,
    pub properties: &'a str,
    pub elements_chain: &'a str,
    pub version: u64,
    pub shard: u32,
}

impl RowRef<'_> {
    /// A row with texts of its own.
    pub fn to_row(self) -> Row {
        Row {
            uuid: self.uuid,
            event: self.event.to_owned(),
            distinct_id: self.distinct_id.to_owned(),
            team_id: self.team_id,
            timestamp_micros: self.timestamp_micros,
            person_id: self.person_id,
            properties: self.properties.to_owned(),
            elements_chain: self.elements_chain.to_owned(),
            version: self.version,
            shard: self.shard,
        }
    }
}

/// What one attempt to send an event says about its time, and when the server can have read its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptTimes {
    /// What the client said.
    pub said: Said,
    /// The earliest moment at which the capture can have received it, in microseconds since 1970.
    pub earliest_micros: i64,
    /// The latest.
    pub latest_micros: i64,
}

/// What a column must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// This text, code point by code point.
    Exact(String),
    /// This number.
    Number(i64),
    /// This JSON value.
    Json(String),
    /// One of these JSON values.
    JsonOneOf(Vec<String>),
    /// This JSON value, or the same with each number as JavaScript prints it after it became a double (`js_number`).
    JsNumbers(String),
    /// These keys, each in one of `$group_0` to `$group_4`, and no others there.
    Groups {
        /// The keys.
        keys: Vec<String>,
        /// How many of them may be missing, because a team's types beyond the fifth are not kept.
        missing: u64,
    },
    /// A moment in one of these spans, ends included, in microseconds since 1970.
    Within(Vec<(i64, i64)>),
    /// A JSON text of an address that begins and ends like this, and holds more between.
    Address {
        /// What it begins with.
        begin: String,
        /// What it ends with.
        end: String,
    },
    /// One of these.
    OneOf(Vec<String>),
    /// Nothing: it must not be there.
    Absent,
    /// Anything.
    NotJudged,
}

/// The expectation for one column, and why it is that one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnExpectation {
    /// The column; a property is `properties.KEY`.
    pub column: String,
    /// What it must hold.
    pub expected: Expected,
    /// The rule behind it.
    pub reason: &'static str,
}

/// What must be in the store for one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Expectation {
    /// Every column with its expectation.
    pub columns: Vec<ColumnExpectation>,
    /// How many rows may legally stay: the number of sorting keys that the attempts may produce.
    pub most_rows: usize,
    /// Whether the capture mints a uuid for each attempt, because none was sent.
    pub minted_uuid: bool,
    /// What may be there instead, as a whole: a recording may hold an event more than once, with other contents.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Self>,
}

/// A column that does not hold what it must.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The column; a property is `properties.KEY`.
    pub column: String,
    /// What it must hold.
    pub expected: String,
    /// What it holds; `None` if it is missing.
    pub found: Option<String>,
}

/// The expectation for `event`, sent to `team` in `attempts` (those that may have been stored), with
/// `clock_tolerance_micros` between the sender's clock and the servers'.
pub fn expect(
    dialect: Dialect,
    event: &Event,
    team: i64,
    attempts: &[AttemptTimes],
    clock_tolerance_micros: i64,
) -> Expectation {
    let spans = timestamps(dialect, attempts, clock_tolerance_micros);
    let minted_uuid = event.oddities.no_uuid;
    let column = |column: &str, expected, reason| ColumnExpectation { column: column.to_owned(), expected, reason };
    let name = dialect.stored_name(&called::name(dialect, event)).into_owned();
    let distinct_id = dialect.stored_distinct_id(&called::distinct_id(dialect, event)).into_owned();
    let mut columns = vec![
        if minted_uuid {
            column("uuid", Expected::NotJudged, "none was sent, so the capture mints one")
        } else {
            column("uuid", Expected::Exact(event.id.to_string()), "the client's own uuid is kept")
        },
        if event.oddities.has_other_name() {
            let both = vec![name, ALTERED_NAME.to_owned()];
            column("event", Expected::OneOf(both), "its second sending has another name, and a row of its own")
        } else {
            let reason =
                "names are cut to 200 UTF-16 units, and NUL characters and halves of surrogate pairs become U+FFFD";
            column("event", Expected::Exact(name), reason)
        },
        column(
            "distinct_id",
            Expected::Exact(distinct_id),
            "ids are cut to 200 characters, and NUL characters and halves of surrogate pairs become U+FFFD; what is no string becomes \
             its JSON text",
        ),
        column("team_id", Expected::Number(team), "the team that the token belongs to"),
        person(dialect, event, team),
        chain(dialect, event),
    ];
    let names = if event.oddities.has_other_name() { 2 } else { 1 };
    let most_rows = if minted_uuid { attempts.len().max(1) } else { most_rows(&spans, names) };
    columns.push(if spans.is_empty() {
        column(TIMESTAMP, Expected::NotJudged, "no attempt may have stored it, so there is no time to expect")
    } else {
        let reason = "timestamp − sent_at + the capture's clock, in the time between sending and answer";
        column(TIMESTAMP, Expected::Within(spans), reason)
    });
    let promoted = if event.oddities.v1 { v1::promoted(event).unwrap_or_default() } else { Vec::new() };
    let is_promoted = |key: &str| promoted.iter().any(|member| member.key == key);
    columns.extend(event.properties.iter().filter(|(key, _)| !is_promoted(key)).map(|(key, value)| {
        let (expected, reason) = if dialect.rewrites_property(key) {
            (Expected::NotJudged, REWRITTEN)
        } else if event.oddities.has_other_content() && key == ALTERED.0 {
            let all = vec![value.to_string(), format!("\"{}\"", ALTERED.1)];
            (Expected::JsonOneOf(all), "its second sending holds another value, and either row may stay")
        } else {
            let (text, reason) = stored(dialect, &value.to_string());
            (Expected::Json(text), reason)
        };
        ColumnExpectation { column: format!("{PROPERTIES}{key}"), expected, reason }
    }));
    let is_library = |key: &str| event.oddities.v1 && matches!(key, "$lib" | "$lib_version");
    columns.extend(event.members.iter().filter(|member| !is_promoted(&member.key)).map(|member| {
        match of_member(dialect, member) {
            replaced if is_library(&member.key) => ColumnExpectation {
                expected: Expected::NotJudged,
                reason: "v1 puts the header's library in its place",
                ..replaced
            },
            member => member,
        }
    }));
    columns.extend(promoted.iter().map(|member| ColumnExpectation {
        reason: "v1 makes a property of the event's field or option",
        ..of_member(dialect, member)
    }));
    if event.oddities.twice == Some(Twice::Properties) {
        let reason = "where properties stand twice, the last are meant, and nothing is left of the first";
        columns.push(column(&format!("{PROPERTIES}{DECOY_PROPERTY}"), Expected::Absent, reason));
    }
    columns.extend(blob::expected(event));
    columns.extend(own_address(dialect, event));
    if event.oddities.grouped {
        let groups = event.members.iter().find(|member| member.key == "$groups");
        let keys = groups.and_then(|groups| serde_json::from_str::<BTreeMap<String, String>>(&groups.value).ok());
        let reason = "the index of a type is given in the order of arrival, so each key may be in any of the five";
        let missing = event.oddities.group_types_over;
        columns.push(if profile::has_none(dialect, event) {
            let reason = "an event without a person gets no groups";
            column(GROUPS, Expected::Groups { keys: Vec::new(), missing: 0 }, reason)
        } else {
            let keys = keys.unwrap_or_default().into_values().collect();
            column(GROUPS, Expected::Groups { keys, missing }, reason)
        });
    }
    Expectation { columns, most_rows, minted_uuid, others: Vec::new() }
}

/// The address of the pipeline's own people, which capture does not tell (rust/capture/src/events/analytics.rs); v1 is told of
/// them elsewhere.
fn own_address(dialect: Dialect, event: &Event) -> Option<ColumnExpectation> {
    let has = |key: &str| event.properties.contains_key(key) || event.members.iter().any(|member| member.key == key);
    let is_own = dialect == Dialect::V2026 && !event.oddities.v1 && has("capture_internal") && !has("$ip");
    is_own.then(|| ColumnExpectation {
        column: format!("{PROPERTIES}$ip"),
        expected: Expected::Json("\"127.0.0.1\"".to_owned()),
        reason: "capture keeps the address of its own people to itself",
    })
}

fn person(dialect: Dialect, event: &Event, team: i64) -> ColumnExpectation {
    // Of these ids the event's own is the one that need not be as it is read.
    let of = |id: &String| {
        let read = if *id == event.distinct_id { called::distinct_id(dialect, event) } else { id.into() };
        dialect.person_id(team, &dialect.stored_distinct_id(&read)).map(|id| id.to_string())
    };
    let forbidden = profile::is_forbidden(dialect, event).then(|| of(&event.distinct_id)).flatten();
    if let Some(person) = forbidden {
        let reason = "capture is told that no person comes of it, so that nothing joins its distinct id to another";
        return ColumnExpectation { column: "person_id".to_owned(), expected: Expected::Exact(person), reason };
    }
    let (expected, reason) = match event.ids_of_person.iter().map(of).collect::<Option<Vec<_>>>() {
        None => (Expected::NotJudged, "this dialect draws the ids of persons at random"),
        Some(persons) => match <[String; 1]>::try_from(persons) {
            Ok([only]) => (Expected::Exact(only), PERSON),
            Err(several) => (Expected::OneOf(several), PERSON),
        },
    };
    ColumnExpectation { column: "person_id".to_owned(), expected, reason }
}

fn chain(dialect: Dialect, event: &Event) -> ColumnExpectation {
    let values: Vec<_> = event.members.iter().filter(|member| elements::takes(&member.key)).collect();
    let values: Vec<_> = values.iter().map(|member| (&*member.key, stored(dialect, &member.value).0)).collect();
    let (expected, reason) = elements::expected(dialect, values.iter().map(|(key, value)| (*key, &**value)));
    ColumnExpectation { column: elements::COLUMN.to_owned(), expected, reason }
}

/// What is stored of a JSON text, and why.
pub(super) fn stored(dialect: Dialect, text: &str) -> (String, &'static str) {
    let mut text = text.as_bytes().to_vec();
    let changed = dialect.store_json(&mut text);
    let reason = if changed { "NUL characters and halves of surrogate pairs become U+FFFD" } else { SENT_KEPT };
    (String::from_utf8_lossy(&text).into_owned(), reason)
}

fn of_member(dialect: Dialect, Member { key, value }: &Member) -> ColumnExpectation {
    let (key, _) = stored(dialect, &format!("\"{key}\""));
    let key = serde_json::from_str::<String>(&key).unwrap_or(key);
    let (value, reason) = stored(dialect, value);
    let (expected, reason) = if dialect.takes_elements(&key, &value) {
        (Expected::Absent, "it is taken away, and goes into the column `elements_chain`")
    } else if dialect.rewrites_property(&key) {
        (Expected::NotJudged, REWRITTEN)
    } else {
        (Expected::JsNumbers(value), reason)
    };
    ColumnExpectation { column: format!("{PROPERTIES}{key}"), expected, reason }
}

const REWRITTEN: &str = "the pipeline writes this property itself";
const PERSON: &str = "UUIDv5 of team and distinct id; where a merge joins ids, of either, by the order of arrival";
/// The expectation for all groups of an event together.
pub const GROUPS: &str = "groups";
/// The spans in which the stored timestamp must lie, one for each of the `attempts` that may have been stored, ends
/// included, in microseconds since 1970.
pub fn timestamps(dialect: Dialect, attempts: &[AttemptTimes], clock_tolerance_micros: i64) -> Vec<(i64, i64)> {
    attempts.iter().map(|attempt| timestamp_span(dialect, attempt, clock_tolerance_micros)).collect()
}

fn timestamp_span(dialect: Dialect, attempt: &AttemptTimes, clock_tolerance_micros: i64) -> (i64, i64) {
    let tolerance = clock_tolerance_micros + ROUNDING_MICROS;
    let stored = |now| dialect.stored_timestamp_micros(attempt.said, now);
    // What is too far ahead of the earlier clock may not be too far ahead of the later one.
    let (earliest, latest) = (stored(attempt.earliest_micros), stored(attempt.latest_micros));
    (earliest.min(latest) - tolerance, earliest.max(latest) + tolerance)
}

/// Whether a stored timestamp is one that `attempt` may have left, if that is the only one.
pub fn is_timely(dialect: Dialect, attempt: &AttemptTimes, clock_tolerance_micros: i64, found_micros: i64) -> bool {
    within(&[timestamp_span(dialect, attempt, clock_tolerance_micros)], found_micros)
}

/// How a stored timestamp differs from the `spans` in which it must lie; `None` if it does not, or if there are none.
pub fn timestamp_difference(spans: &[(i64, i64)], found_micros: i64) -> Option<Difference> {
    if spans.is_empty() || within(spans, found_micros) {
        return None;
    }
    let expected = Expected::Within(spans.to_vec()).to_string();
    Some(Difference { column: TIMESTAMP.into(), expected, found: Some(moment(found_micros)) })
}

fn within(spans: &[(i64, i64)], micros: i64) -> bool {
    spans.iter().any(|(from, to)| (*from..=*to).contains(&micros))
}

/// The columns that are judged in a live run: all that an [`Expectation`] names, every sent property among them.
pub const JUDGED_COLUMNS: [&str; 8] =
    ["uuid", "event", "distinct_id", "team_id", "person_id", "timestamp", "properties.*", elements::COLUMN];

const SENT_KEPT: &str = "sent properties are kept as JSON values";
/// What the names of properties begin with as columns.
pub(super) const PROPERTIES: &str = "properties.";
const TIMESTAMP: &str = "timestamp";

/// How many rows may stay of an event whose stored timestamp lies in one of `spans`, one for each attempt, under so many `names`:
/// the sorting key holds the UTC day and the name, so attempts whose times may fall on different days may leave a row each, and
/// so may those with different names.
pub fn most_rows(spans: &[(i64, i64)], names: usize) -> usize {
    let days: std::collections::BTreeSet<i64> =
        spans.iter().flat_map(|(from, to)| day_of(*from)..=day_of(*to)).take(spans.len().max(1) + 1).collect();
    (days.len() * names).min(spans.len()).max(1)
}

/// The UTC day of a moment in microseconds since 1970, as a number.
pub const fn day_of(micros: i64) -> i64 {
    micros.div_euclid(86_400_000_000)
}

impl Expectation {
    /// Whether an event that may stand under two names stands under the second one there.
    pub fn is_second_name(&self, name: &str) -> bool {
        let column = self.columns.iter().find(|column| column.column == "event");
        column.is_some_and(|column| match &column.expected {
            Expected::OneOf(names) => names.iter().skip(1).any(|second| second == name),
            _ => false,
        })
    }

    /// Judges nothing of `columns`, which the store does not have.
    pub fn leave_out(&mut self, columns: &[&str]) {
        let has = |column: &str| {
            let groups_too = column == GROUPS && columns.contains(&"properties");
            groups_too || columns.contains(&column.split('.').next().unwrap_or(column))
        };
        self.columns.retain(|column| !has(&column.column));
        self.others.iter_mut().for_each(|other| other.leave_out(columns));
    }

    /// Where `row` does not hold what it must, by that of the contents that it is most like. Columns that were never sent are not
    /// judged.
    pub fn differences(&self, row: &Row) -> Vec<Difference> {
        let mut fewest = self.differences_from_first(row);
        for other in &self.others {
            if fewest.is_empty() {
                break;
            }
            let differences = other.differences_from_first(row);
            if differences.len() < fewest.len() {
                fewest = differences;
            }
        }
        fewest
    }

    /// Which of several contents `row` holds: 0 for the first, the others from 1. None where there is one, or where `row` holds none
    /// of them, or what is judged of all.
    pub fn contents_of(&self, row: &Row) -> Vec<usize> {
        if self.others.is_empty() {
            return Vec::new();
        }
        let all = std::iter::once(self).chain(&self.others).enumerate();
        let held = all.filter(|(_, content)| content.differences_from_first(row).is_empty());
        let held: Vec<usize> = held.map(|(number, _)| number).collect();
        if held.len() > self.others.len() { Vec::new() } else { held }
    }

    fn differences_from_first(&self, row: &Row) -> Vec<Difference> {
        let properties = json::members(&row.properties);
        let mut differences = Vec::new();
        if properties.is_none() {
            let (expected, found) = ("a JSON object".into(), Some(row.properties.clone()));
            differences.push(Difference { column: "properties".into(), expected, found });
        }
        for ColumnExpectation { column, expected, .. } in &self.columns {
            let found = match (column.strip_prefix(PROPERTIES), &properties) {
                (None, properties) if column == GROUPS => properties.as_ref().map(groups),
                (Some(key), Some(properties)) => properties.get(key).map(|value| value.get().to_owned()),
                // Said once above.
                (Some(_), None) => continue,
                (None, _) => row.column(column),
            };
            if !expected.allows(found.as_deref()) {
                let found = match (expected, found.as_deref().map(str::parse)) {
                    (Expected::Within(_), Some(Ok(micros))) => Some(moment(micros)),
                    _ => found,
                };
                differences.push(Difference { column: column.clone(), expected: expected.to_string(), found });
            }
        }
        differences
    }
}

impl Expectation {
    /// A row that holds all that it must; `None` if the columns do not make one. A timestamp that is not judged is 0.
    pub fn fulfilled(&self) -> Option<Row> {
        let value = |wanted: &str| {
            let column = self.columns.iter().find(|column| column.column == wanted)?;
            Some(match &column.expected {
                Expected::Exact(text) | Expected::Json(text) | Expected::JsNumbers(text) => text.clone(),
                Expected::Number(number) => number.to_string(),
                Expected::Within(spans) => spans.first()?.0.to_string(),
                Expected::OneOf(all) | Expected::JsonOneOf(all) => all.first()?.clone(),
                Expected::NotJudged if wanted == "uuid" => Uuid::nil().to_string(),
                Expected::NotJudged if wanted == TIMESTAMP => "0".to_owned(),
                Expected::NotJudged if wanted == elements::COLUMN => String::new(),
                Expected::Address { begin, end } => serde_json::to_string(&format!("{begin}anywhere{end}")).ok()?,
                Expected::Absent => return None,
                Expected::Groups { .. } | Expected::NotJudged => "null".to_owned(),
            })
        };
        let keys = self.columns.iter().find_map(|column| match &column.expected {
            Expected::Groups { keys, .. } => Some(&keys[..]),
            _ => None,
        });
        let groups = keys.unwrap_or_default().iter().take(GROUPS_KEPT as usize).enumerate();
        let groups =
            groups.map(|(index, key)| Some(format!("\"$group_{index}\":{}", serde_json::to_string(key).ok()?)));
        let properties: Vec<String> = self
            .columns
            .iter()
            .filter_map(|column| {
                let key = column.column.strip_prefix(PROPERTIES)?;
                // One that must not be there has no value.
                Some(format!("{}:{}", serde_json::to_string(key).ok()?, value(&column.column)?))
            })
            .chain(groups.flatten())
            .collect();
        Some(Row {
            uuid: value("uuid")?.parse().ok()?,
            event: value("event")?,
            distinct_id: value("distinct_id")?,
            team_id: value("team_id")?.parse().ok()?,
            timestamp_micros: value(TIMESTAMP)?.parse().ok()?,
            person_id: value("person_id")?.parse().ok()?,
            properties: format!("{{{}}}", properties.join(",")),
            elements_chain: value(elements::COLUMN)?,
            version: 1,
            shard: 0,
        })
    }
}

impl Row {
    /// The row without texts of its own.
    pub fn view(&self) -> RowRef<'_> {
        RowRef {
            uuid: self.uuid,
            event: &self.event,
            distinct_id: &self.distinct_id,
            team_id: self.team_id,
            timestamp_micros: self.timestamp_micros,
            person_id: self.person_id,
            properties: &self.properties,
            elements_chain: &self.elements_chain,
            version: self.version,
            shard: self.shard,
        }
    }

    fn column(&self, column: &str) -> Option<String> {
        match column {
            "uuid" => Some(self.uuid.to_string()),
            "event" => Some(self.event.clone()),
            "distinct_id" => Some(self.distinct_id.clone()),
            "team_id" => Some(self.team_id.to_string()),
            "person_id" => Some(self.person_id.to_string()),
            "timestamp" => Some(self.timestamp_micros.to_string()),
            elements::COLUMN => Some(self.elements_chain.clone()),
            _ => None,
        }
    }
}

impl Expected {
    fn allows(&self, found: Option<&str>) -> bool {
        match (self, found) {
            (Self::NotJudged, _) | (Self::Absent, None) => true,
            (Self::Absent, Some(_)) | (_, None) => false,
            (Self::Exact(expected), Some(found)) => expected == found,
            (Self::Number(expected), Some(found)) => found.parse() == Ok(*expected),
            (Self::Json(expected), Some(found)) => expected == found || json::same(expected, found),
            (Self::JsonOneOf(all), Some(found)) => all.iter().any(|one| json::same(one, found)),
            (Self::JsNumbers(expected), Some(found)) => expected == found || json::same_to_javascript(expected, found),
            (Self::Groups { keys, missing }, Some(found)) => are_groups(keys, *missing, found),
            (Self::Within(spans), Some(found)) => found.parse::<i64>().is_ok_and(|found| within(spans, found)),
            (Self::Address { begin, end }, Some(found)) => serde_json::from_str::<String>(found).is_ok_and(|found| {
                let between = found.strip_prefix(begin.as_str()).and_then(|rest| rest.strip_suffix(end.as_str()));
                between.is_some_and(|between| !between.is_empty())
            }),
            (Self::OneOf(all), Some(found)) => all.iter().any(|one| one == found),
        }
    }
}

/// The keys that a row's `$group_0` to `$group_4` hold, a line each.
fn groups(properties: &BTreeMap<String, &RawValue>) -> String {
    let of = |index| Some(properties.get(&format!("$group_{index}"))?.get());
    let keys =
        (0..GROUPS_KEPT).filter_map(of).map(|text| serde_json::from_str(text).unwrap_or_else(|_| text.to_owned()));
    keys.collect::<Vec<String>>().join("\n")
}

/// Whether the lines of `found` are the `keys`, in any order, but for so many that may be missing; never one too many.
fn are_groups(keys: &[String], missing: u64, found: &str) -> bool {
    let mut left: Vec<&String> = keys.iter().collect();
    let known = found.lines().all(|key| {
        let place = left.iter().position(|known| *known == key);
        place.is_some_and(|place| {
            left.swap_remove(place);
            true
        })
    });
    known && left.len() as u64 <= missing
}

/// A moment as people write it, from microseconds since 1970.
fn moment(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).map_or_else(|_| format!("{micros} µs"), |moment| format!("{moment:.6}"))
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(text) | Self::Json(text) | Self::JsNumbers(text) => f.write_str(text),
            Self::Groups { keys, missing: 0 } => f.write_str(&keys.join(", ")),
            Self::Groups { keys, missing } => write!(f, "{}, but for {missing} of them", keys.join(", ")),
            Self::Number(number) => write!(f, "{number}"),
            Self::Within(spans) => {
                let spans: Vec<String> =
                    spans.iter().map(|(from, to)| format!("{} to {}", moment(*from), moment(*to))).collect();
                f.write_str(&spans.join(" or "))
            }
            Self::Address { begin, end } => write!(f, "{begin}…{end}"),
            Self::OneOf(all) | Self::JsonOneOf(all) => f.write_str(&all.join(" or ")),
            Self::Absent => f.write_str("nothing"),
            Self::NotJudged => f.write_str("anything"),
        }
    }
}

#[cfg(test)]
mod tests;
