//! What the ingester writes to Kafka: rows for ClickHouse, warnings and dead letters.

use jiff::Timestamp;
use rdkafka::message::{Header, OwnedHeaders};
use serde::Serialize;

use super::{
    aside::Message as Incoming,
    person::Changes,
    warning::{self, Kind},
};
use crate::pipeline::{
    captured::CapturedEvent,
    timestamp::{clickhouse_micros, clickhouse_seconds},
};

/// Where rows go.
pub(super) struct Outputs {
    pub events: String,
    pub persons: String,
    pub distinct_ids: String,
    /// None where nobody says which.
    pub groups: Option<String>,
    pub dead_letters: String,
    /// None before PostHog had them.
    pub warnings: Option<String>,
}

/// A message to be produced; kept until it is, so that it can be produced again.
pub(super) struct Output<'a> {
    pub topic: &'a str,
    pub key: String,
    pub payload: Vec<u8>,
    pub headers: Option<OwnedHeaders>,
    /// What is produced in its place, if it is too large.
    pub otherwise: Option<Box<Self>>,
}

/// The warning of an event, where there are warnings.
pub(super) fn warning<'o>(
    outputs: &'o Outputs,
    team: i64,
    kind: Kind,
    event: &CapturedEvent<'_>,
) -> Result<Option<Output<'o>>, serde_json::Error> {
    let Some(topic) = &outputs.warnings else { return Ok(None) };
    let payload = warning::message(team, kind, &event.uuid, &event.distinct_id, Timestamp::now())?;
    Ok(Some(Output { topic, key: team.to_string(), payload, headers: None, otherwise: None }))
}

/// A message that can never be processed, with the reason and where it stood.
pub(super) fn dead_letter<'o>(outputs: &'o Outputs, message: &Incoming<'_>, reason: &str) -> Output<'o> {
    let header = |key, value: &str| (key, value.to_owned());
    let headers = [
        header("dlq_reason", reason),
        header("dlq_step", "normalize"),
        header("dlq_timestamp", &Timestamp::now().to_string()),
        header("dlq_topic", message.topic),
        header("dlq_partition", &message.partition.to_string()),
        header("dlq_offset", &message.offset.to_string()),
    ];
    let headers = headers
        .iter()
        .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(value.as_bytes()) }));
    Output {
        topic: &outputs.dead_letters,
        key: String::from_utf8_lossy(message.key).into_owned(),
        payload: message.payload.to_vec(),
        headers: Some(headers),
        otherwise: None,
    }
}

#[derive(Serialize)]
struct PersonRow<'a> {
    id: uuid::Uuid,
    created_at: String,
    team_id: i64,
    properties: &'a str,
    is_identified: u8,
    is_deleted: u8,
    version: u64,
}

#[derive(Serialize)]
struct DistinctIdRow<'a> {
    team_id: i64,
    distinct_id: &'a str,
    person_id: uuid::Uuid,
    is_deleted: u8,
    version: i64,
}

#[derive(Serialize)]
struct GroupRow<'a> {
    group_type_index: i64,
    group_key: &'a str,
    created_at: String,
    team_id: i64,
    group_properties: &'a str,
}

/// The rows of changed persons, distinct ids and groups.
pub(super) fn changed_rows<'o>(outputs: &'o Outputs, changes: &Changes) -> Result<Vec<Output<'o>>, serde_json::Error> {
    let mut rows = Vec::with_capacity(changes.persons.len() + changes.ids.len() + changes.groups.len());
    for (((team, index, group_key), group), topic) in changes.groups.iter().zip(outputs.groups.iter().cycle()) {
        let row = GroupRow {
            group_type_index: *index,
            group_key,
            created_at: clickhouse_seconds(group.created_at),
            team_id: *team,
            group_properties: group.properties.text(),
        };
        // All rows of a group are in one partition, so that the last one is known.
        let (key, payload) = (format!("{team}:{index}:{group_key}"), serde_json::to_vec(&row)?);
        rows.push(Output { topic, key, payload, headers: None, otherwise: None });
    }
    for ((team, id), person) in &changes.persons {
        let row = PersonRow {
            id: *id,
            created_at: clickhouse_micros(person.created_at)[..23].to_owned(),
            team_id: *team,
            properties: person.properties.text(),
            is_identified: person.is_identified.into(),
            is_deleted: person.is_deleted.into(),
            version: person.version,
        };
        let payload = serde_json::to_vec(&row)?;
        rows.push(Output { topic: &outputs.persons, key: id.to_string(), payload, headers: None, otherwise: None });
    }
    for ((team, distinct_id), id) in &changes.ids {
        let Some(person_id) = id.person else { continue };
        let row = DistinctIdRow { team_id: *team, distinct_id, person_id, is_deleted: 0, version: id.version };
        let key = format!("{team}:{distinct_id}");
        rows.push(Output {
            topic: &outputs.distinct_ids,
            key,
            payload: serde_json::to_vec(&row)?,
            headers: None,
            otherwise: None,
        });
    }
    Ok(rows)
}
