//! A stored event → what plugins get to see of it, and what is delivered (plugin-server's `convertToPostIngestionEvent`).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::queue::Outgoing;
use crate::pipeline::properties::EventProperties;

/// A message of `clickhouse_events_json`, as far as it is delivered.
#[derive(Debug, Deserialize)]
pub struct Stored<'m> {
    /// The event's uuid.
    pub uuid: Uuid,
    /// Its name.
    #[serde(borrow)]
    pub event: Cow<'m, str>,
    /// Its team.
    pub team_id: i64,
    #[serde(borrow)]
    distinct_id: Cow<'m, str>,
    person_id: Option<Uuid>,
    #[serde(borrow)]
    timestamp: Cow<'m, str>,
    /// A JSON object, as text.
    #[serde(borrow)]
    properties: Cow<'m, str>,
}

#[derive(Serialize)]
struct Delivered<'a> {
    uuid: Uuid,
    event: &'a str,
    team_id: i64,
    distinct_id: &'a str,
    person_id: Option<Uuid>,
    timestamp: &'a str,
    properties: &'a EventProperties<'a>,
}

impl Stored<'_> {
    /// Its properties.
    ///
    /// # Errors
    /// When they are no JSON object.
    pub fn properties(&self) -> serde_json::Result<EventProperties<'_>> {
        serde_json::from_str(&self.properties)
    }

    /// What is delivered of it, with these properties.
    ///
    /// # Errors
    /// When they have no JSON form, which all that were read have.
    pub fn outgoing(&self, properties: &EventProperties<'_>) -> serde_json::Result<Outgoing> {
        let Self { uuid, event, team_id, distinct_id, person_id, timestamp, .. } = self;
        let delivered = Delivered {
            uuid: *uuid,
            event,
            team_id: *team_id,
            distinct_id,
            person_id: *person_id,
            timestamp,
            properties,
        };
        Ok(Outgoing { uuid: uuid.to_string(), json: serde_json::to_string(&delivered)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_delivered_is_what_is_stored() {
        let message = r#"{"uuid":"12345678-9a00-80c0-8000-0f4240a632ad","event":"a \"b\"","team_id":7,"distinct_id":"d",
            "person_id":"12345678-9a00-80c0-8000-0f4240a632ae","timestamp":"2026-01-01 00:00:00.000000","elements_chain":"",
            "properties":"{\"n\":1.50,\"big\":9007199254740993}"}"#;
        let stored: Stored<'_> = serde_json::from_str(message).unwrap();
        let outgoing = stored.outgoing(&stored.properties().unwrap()).unwrap();
        assert_eq!(outgoing.uuid, stored.uuid.to_string());
        assert!(outgoing.json.contains(r#""properties":{"big":9007199254740993,"n":1.50}"#), "{}", outgoing.json);
        assert!(outgoing.json.contains(r#""event":"a \"b\"","team_id":7,"distinct_id":"d""#), "{}", outgoing.json);
    }
}
