//! The columns of a table of events that somebody else has made: what they are called, and how each is read as what the
//! oracle compares, whatever type it has there.

use std::collections::BTreeMap;

use generators::identity::MARKER_PROPERTY;
use serde::{Deserialize, Serialize};

/// What the columns are called; an empty name means that the table has no such column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns {
    /// The event's uuid. Needed.
    pub uuid: String,
    /// Its name.
    pub event: String,
    /// Whom it is about.
    pub distinct_id: String,
    /// Whose it is. Needed.
    pub team_id: String,
    /// When it happened. Needed.
    pub timestamp: String,
    /// The person that the distinct id leads to.
    pub person_id: String,
    /// Its properties as JSON.
    pub properties: String,
    /// What was clicked, as one text.
    #[serde(default)]
    pub elements_chain: String,
    /// Which of several rows with one key stays: the greatest.
    pub version: String,
    /// When ClickHouse inserted the row, by its own clock.
    pub inserted_at: String,
}

impl Default for Columns {
    /// As PostHog has them.
    fn default() -> Self {
        Self {
            uuid: "uuid".into(),
            event: "event".into(),
            distinct_id: "distinct_id".into(),
            team_id: "team_id".into(),
            timestamp: "timestamp".into(),
            person_id: "person_id".into(),
            properties: "properties".into(),
            elements_chain: "elements_chain".into(),
            version: "_timestamp".into(),
            inserted_at: "inserted_at".into(),
        }
    }
}

impl Columns {
    /// Every name beside what it is a name for.
    pub fn all(&self) -> [(&'static str, &str); 10] {
        [
            ("uuid", &self.uuid),
            ("event", &self.event),
            ("distinct_id", &self.distinct_id),
            ("team_id", &self.team_id),
            ("timestamp", &self.timestamp),
            ("person_id", &self.person_id),
            ("properties", &self.properties),
            ("elements_chain", &self.elements_chain),
            ("version", &self.version),
            ("inserted_at", &self.inserted_at),
        ]
    }

    /// What the oracle would judge and the table does not have.
    pub fn not_judged(&self) -> Vec<&'static str> {
        let judged = ["event", "distinct_id", "person_id", "properties", "elements_chain"];
        self.all()
            .into_iter()
            .filter(|(what, name)| name.is_empty() && judged.contains(what))
            .map(|(what, _)| what)
            .collect()
    }

    /// Those that a table with `types` (columns and their types) should have, and has not.
    pub fn missing(&self, types: &BTreeMap<String, String>) -> Vec<&str> {
        self.all()
            .into_iter()
            .map(|(_, name)| name)
            .filter(|name| !name.is_empty() && !types.contains_key(*name))
            .collect()
    }
}

/// How the columns are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    columns: Columns,
    version_is_time: bool,
}

impl Reading {
    /// For a table with `types`: columns and their types.
    pub fn new(columns: Columns, types: &BTreeMap<String, String>) -> Self {
        let version_is_time = types.get(&columns.version).is_some_and(|kind| kind.contains("Date"));
        Self { columns, version_is_time }
    }

    /// The columns.
    pub const fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Whether it is known of each row when ClickHouse inserted it.
    pub fn knows_insertion(&self) -> bool {
        !self.columns.inserted_at.is_empty()
    }

    /// Rows of the run whose UUIDs begin with `prefix`: by their uuid, and `by_marker` also by the marker among their properties.
    pub(super) fn is_of_run(&self, prefix: &str, by_marker: bool) -> String {
        let by_uuid = format!("startsWith(toString({}), '{prefix}')", quoted(&self.columns.uuid));
        if by_marker && !self.columns.properties.is_empty() {
            format!("({by_uuid} OR position(toString({}), '{prefix}') > 0)", quoted(&self.columns.properties))
        } else {
            by_uuid
        }
    }

    /// Rows of `teams`.
    pub(super) fn is_of_team(&self, teams: &[i64]) -> String {
        let teams: Vec<String> = teams.iter().map(ToString::to_string).collect();
        format!("toInt64({}) IN ({})", quoted(&self.columns.team_id), teams.join(", "))
    }

    /// Rows that came after `micros` since 1970, as far as the table tells.
    pub(super) fn came_after(&self, micros: i64) -> String {
        if self.knows_insertion() {
            self.inserted_after(&format!("fromUnixTimestamp64Micro(toInt64({micros}))"))
        } else if self.version_is_time {
            // The time of Kafka's message, in PostHog's table.
            format!("{} >= fromUnixTimestamp64Micro(toInt64({micros}))", quoted(&self.columns.version))
        } else {
            "1".into()
        }
    }

    /// Rows that were inserted in the last `seconds`, where that is known.
    pub(super) fn inserted_within(&self, seconds: u64) -> Option<String> {
        self.knows_insertion().then(|| self.inserted_after(&format!("(now64(6) - INTERVAL {seconds} SECOND)")))
    }

    fn inserted_after(&self, moment: &str) -> String {
        let column = quoted(&self.columns.inserted_at);
        // Rows of which it is not known may be new.
        format!("({column} >= {moment} OR isNull({column}))")
    }

    /// The uuid; `by_marker` puts the marker in the place of those that Assay did not mint.
    pub(super) fn id(&self, by_marker: bool) -> String {
        let uuid = format!("toUUIDOrZero(ifNull(toString({}), ''))", quoted(&self.columns.uuid));
        if by_marker && !self.columns.properties.is_empty() {
            // Assay's are of version 8. The text is searched, and not parsed: numbers beyond 64 bits stop ClickHouse's parser.
            let properties = quoted(&self.columns.properties);
            let marker = format!("toUUIDOrZero(simpleJSONExtractString(toString({properties}), '{MARKER_PROPERTY}'))");
            format!("if(substring(toString({uuid}), 15, 1) = '8', {uuid}, {marker})")
        } else {
            uuid
        }
    }

    /// Every column of a row, in the order and with the types of [`super::foreign`]'s rows.
    pub(super) fn row(&self) -> [String; 9] {
        let Columns { event, distinct_id, team_id, timestamp, person_id, properties, elements_chain, version, .. } =
            &self.columns;
        let text = |name: &str, without: &str| match name {
            "" => format!("'{without}'"),
            name => format!("CAST(ifNull(toString({}), ''), 'String')", quoted(name)),
        };
        let person = match person_id.as_str() {
            "" => "toUUID('00000000-0000-0000-0000-000000000000')".to_owned(),
            name => format!("toUUIDOrZero(ifNull(toString({}), ''))", quoted(name)),
        };
        let time = |name: &str, digits: u32, unit: &str| {
            format!("ifNull(toUnixTimestamp64{unit}(toDateTime64({}, {digits}, 'UTC')), 0)", quoted(name))
        };
        let version = match version.as_str() {
            "" => "toUInt64(0)".to_owned(),
            name if self.version_is_time => format!("CAST({}, 'UInt64')", time(name, 3, "Milli")),
            name => format!("CAST(ifNull(toUInt64({}), 0), 'UInt64')", quoted(name)),
        };
        [
            self.id(false),
            text(event, ""),
            text(distinct_id, ""),
            format!("CAST(ifNull(toInt64({}), 0), 'Int64')", quoted(team_id)),
            format!("CAST({}, 'Int64')", time(timestamp, 6, "Micro")),
            person,
            text(properties, "{}"),
            text(elements_chain, ""),
            version,
        ]
    }
}

/// A name as it stands in a statement. To the client library a single question mark is a place for a value.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`").replace('?', "??"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(names: &[(&str, &str)]) -> BTreeMap<String, String> {
        names.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect()
    }

    #[test]
    fn what_a_table_lacks_is_named_and_what_is_mapped_to_nothing_is_not_judged() {
        let columns = Columns {
            uuid: "id".into(),
            person_id: String::new(),
            elements_chain: String::new(),
            version: String::new(),
            ..Columns::default()
        };
        let has = types(&[("id", "UUID"), ("event", "String"), ("team_id", "Int64"), ("timestamp", "DateTime")]);
        assert_eq!(columns.missing(&has), ["distinct_id", "properties", "inserted_at"]);
        assert_eq!(columns.not_judged(), ["person_id", "elements_chain"]);
        assert_eq!(Columns::default().not_judged(), [""; 0]);
    }

    #[test]
    fn names_mean_nothing_in_a_statement() {
        assert_eq!(quoted("a`b\\c?"), "`a\\`b\\\\c??`");
        let columns = Columns { uuid: "an id".into(), ..Columns::default() };
        let reading = Reading::new(columns, &types(&[]));
        assert_eq!(reading.is_of_run("01234567-89", false), "startsWith(toString(`an id`), '01234567-89')");
    }

    #[test]
    fn rows_are_narrowed_by_the_best_time_that_there_is() {
        let of = |inserted_at: &str, kind: &str| {
            let columns = Columns { inserted_at: inserted_at.into(), ..Columns::default() };
            Reading::new(columns, &types(&[("_timestamp", kind)]))
        };
        assert!(of("inserted_at", "DateTime").came_after(7).starts_with("(`inserted_at` >= "));
        assert!(of("", "DateTime").came_after(7).starts_with("`_timestamp` >= "));
        assert_eq!(of("", "UInt64").came_after(7), "1");
        assert_eq!(of("", "DateTime").inserted_within(60), None);
    }
}
