//! What stands beside an event in Kafka (rust/common/types/src/event.rs, `CapturedEvent::to_headers` and the `From` that writes
//! them): these nine, of which some have no value, in this order.

use jiff::Timestamp;
use rdkafka::message::{Header, OwnedHeaders};

use crate::pipeline::captured::{CapturedEvent, NO_PERSON_HEADER};

/// An event's headers, and whether no person may come of it. A flag is said where it is set, and has no value elsewhere.
pub(super) fn of(event: &CapturedEvent<'_>, forbids_person: bool) -> OwnedHeaders {
    const SET: &str = "true";
    let millis = event.timestamp.parse::<Timestamp>().ok().map(|moment| moment.as_millisecond().to_string());
    let flag = |is_set: bool| is_set.then_some(SET);
    let headers = [
        ("token", Some(&*event.token)),
        ("distinct_id", Some(&*event.distinct_id)),
        ("session_id", event.session_id.as_deref()),
        ("timestamp", millis.as_deref()),
        ("event", Some(&*event.event)),
        ("uuid", Some(&*event.uuid)),
        ("now", Some(&*event.now)),
        (NO_PERSON_HEADER, flag(forbids_person)),
        ("historical_migration", flag(event.historical_migration)),
    ];
    headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |all, (key, value)| {
        all.insert(Header { key, value: *value })
    })
}

/// Tells the ingester that no person may come of an event.
pub(super) fn without_person(headers: OwnedHeaders) -> OwnedHeaders {
    headers.insert(Header { key: NO_PERSON_HEADER, value: Some(b"true") })
}

/// Says why a message is put aside: capture knows no other reason (rust/capture, `outputs/mod.rs`).
pub(super) fn aside(headers: OwnedHeaders) -> OwnedHeaders {
    let at = Timestamp::now().to_string();
    [("dlq_reason", "event_restriction"), ("dlq_step", "capture"), ("dlq_timestamp", &at)]
        .into_iter()
        .fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value.as_bytes()) }))
}

#[cfg(test)]
mod tests {
    use rdkafka::message::Headers;

    use super::*;

    fn told(event: &CapturedEvent<'_>) -> Vec<String> {
        let text =
            |value: Option<&[u8]>| value.map_or("nothing".to_owned(), |value| String::from_utf8_lossy(value).into());
        of(event, event.force_disable_person_processing)
            .iter()
            .map(|header| format!("{}={}", header.key, text(header.value)))
            .collect()
    }

    #[test]
    fn headers_are_those_of_posthog() {
        let event = CapturedEvent {
            uuid: "u".into(),
            distinct_id: "d".into(),
            ip: "10.0.0.1".into(),
            data: "{}".into(),
            now: "2026-06-01T12:00:00.000Z".into(),
            sent_at: None,
            token: "phc_t".into(),
            event: "e".into(),
            timestamp: "2026-06-01T09:00:00.250Z".into(),
            session_id: None,
            historical_migration: false,
            is_cookieless_mode: false,
            force_disable_person_processing: false,
        };
        let plain = told(&event);
        assert_eq!(
            plain,
            [
                "token=phc_t",
                "distinct_id=d",
                "session_id=nothing",
                "timestamp=1780304400250",
                "event=e",
                "uuid=u",
                "now=2026-06-01T12:00:00.000Z",
                "force_disable_person_processing=nothing",
                "historical_migration=nothing",
            ]
        );
        let flagged = CapturedEvent {
            session_id: Some("s".into()),
            historical_migration: true,
            force_disable_person_processing: true,
            ..event
        };
        let flagged: Vec<String> = told(&flagged).into_iter().filter(|header| !plain.contains(header)).collect();
        assert_eq!(flagged, ["session_id=s", "force_disable_person_processing=true", "historical_migration=true"]);
    }
}
