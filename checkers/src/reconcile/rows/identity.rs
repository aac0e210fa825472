//! Whose row a row is.

use generators::identity::{EventId, MARKER_PROPERTY, RunId, StreamId};
use uuid::Uuid;

use crate::oracle::{json, row::RowRef};

/// Whose row a row is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// A planned event of this run.
    Known(StreamId, u64),
    /// Nobody's: what can be said about it.
    Unknown(String),
}

/// Tells whose `row` is: by its uuid, or, where that is damaged or foreign, by the marker among its properties.
/// `planned` tells how many events a stream of this run has.
pub fn identify(row: &RowRef<'_>, run: RunId, planned: impl Fn(StreamId) -> u64) -> Identity {
    let known = |uuid: Uuid| EventId::from_uuid(uuid).ok().filter(|id| id.run == run && id.seq < planned(id.stream));
    if let Some(id) = known(row.uuid) {
        return Identity::Known(id.stream, id.seq);
    }
    let marker = json::members(row.properties)
        .and_then(|members| serde_json::from_str::<String>(members.get(MARKER_PROPERTY)?.get()).ok())
        .and_then(|text| Uuid::parse_str(&text).ok());
    match marker.and_then(known) {
        Some(id) => Identity::Known(id.stream, id.seq),
        None => Identity::Unknown(row.uuid.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::row::Row;

    const STREAM: StreamId = StreamId(0);

    #[test]
    fn a_row_is_known_by_its_uuid_or_by_its_marker() {
        let run = RunId::new(7);
        let id = EventId { run, stream: STREAM, seq: 3 };
        let row = |uuid: Uuid, properties: String| Row {
            uuid,
            event: "e".into(),
            distinct_id: "d".into(),
            team_id: 1,
            timestamp_micros: 0,
            person_id: Uuid::nil(),
            properties,
            elements_chain: String::new(),
            version: 0,
            shard: 0,
        };
        let whose = |row: &Row| identify(&row.view(), run, |stream| if stream == STREAM { 4 } else { 0 });
        let marker = format!("{{\"assay_id\":\"{id}\"}}");
        assert_eq!(whose(&row(id.to_uuid(), "{}".into())), Identity::Known(STREAM, 3));
        assert_eq!(whose(&row(Uuid::nil(), marker)), Identity::Known(STREAM, 3));
        for foreign in
            [EventId { seq: 4, ..id }, EventId { stream: StreamId(1), ..id }, EventId { run: RunId::new(8), ..id }]
        {
            assert!(matches!(whose(&row(foreign.to_uuid(), "{}".into())), Identity::Unknown(_)), "{foreign}");
        }
    }
}
