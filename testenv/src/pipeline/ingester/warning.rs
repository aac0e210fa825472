//! Ingestion warnings: what teams are told of events that were dropped, or did not do all that they said
//! (nodejs/src/ingestion/common/ingestion-warning-types.ts; ingestion contract 2.5).
//!
//! Unlike PostHog's they are not limited in their rate. An event that is processed twice may warn twice.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use crate::pipeline::timestamp::clickhouse_micros;

/// What is warned of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Its row is larger than Kafka takes: dropped.
    MessageSizeTooLarge,
    /// A plugin returned nothing for it: dropped.
    DroppedByTransformation,
    /// It is older than its team takes: dropped.
    TooOld,
    /// It wants no person, and is about one: dropped.
    NoPersonProfile,
    /// It came without cookies, which its team does not take: dropped.
    CookielessDisabled,
    /// It says something odd about whether it wants a person: taken for yes.
    InvalidPersonProfile,
    /// It would merge an id that many share: not merged.
    IllegalDistinctId,
    /// The key of the group that it is about is too long: dropped.
    GroupKeyTooLong,
    /// What it sets of a group is no object: the group stays as it was.
    InvalidGroupSet,
    /// It would merge away a person that is identified: not merged.
    AlreadyIdentified,
}

impl Kind {
    /// PostHog's word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::MessageSizeTooLarge => "message_size_too_large",
            Self::DroppedByTransformation => "event_dropped_by_transformation",
            Self::TooOld => "event_dropped_too_old",
            Self::NoPersonProfile => "invalid_event_when_process_person_profile_is_false",
            Self::CookielessDisabled => "cookieless_team_disabled",
            Self::InvalidPersonProfile => "invalid_process_person_profile",
            Self::IllegalDistinctId => "cannot_merge_with_illegal_distinct_id",
            Self::GroupKeyTooLong => "group_key_too_long",
            Self::InvalidGroupSet => "invalid_group_set",
            Self::AlreadyIdentified => "cannot_merge_already_identified",
        }
    }
}

#[derive(Serialize)]
struct Row {
    team_id: i64,
    source: &'static str,
    r#type: &'static str,
    /// A JSON text.
    details: String,
    timestamp: String,
}

/// The message that warns `team` of an event.
///
/// # Errors
/// Never, as far as serde knows: these are plain values.
pub fn message(team: i64, kind: Kind, uuid: &str, distinct_id: &str, now: Timestamp) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Row {
        team_id: team,
        source: "plugin-server",
        r#type: kind.word(),
        details: json!({"eventUuid": uuid, "distinctId": distinct_id}).to_string(),
        timestamp: clickhouse_micros(now),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_names_its_team_its_kind_and_its_event() {
        let now = "2026-06-01T12:00:00.5Z".parse().unwrap();
        let message = message(3, Kind::AlreadyIdentified, "u", "d\"", now).unwrap();
        assert_eq!(
            String::from_utf8(message).unwrap(),
            r#"{"team_id":3,"source":"plugin-server","type":"cannot_merge_already_identified","details":"{\"distinctId\":\"d\\\"\",\"eventUuid\":\"u\"}","timestamp":"2026-06-01 12:00:00.500000"}"#
        );
    }
}
