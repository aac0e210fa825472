//! The plain way to a request's body: every event a map, and `serde_json` the writer. The quick way is held to it.

use serde::Serialize;

use super::{EncodeError, moments::rfc3339};
use crate::{
    clock::RunStart,
    event::{Event, Properties},
    request::{ClientClock, Request},
    workload::{Endpoint, Workload},
};

#[derive(Serialize)]
struct BatchBody<'a> {
    api_key: &'a str,
    sent_at: String,
    batch: Vec<WireEvent<'a>>,
}

#[derive(Serialize)]
struct WireEvent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<&'a str>,
    uuid: String,
    event: &'a str,
    distinct_id: &'a str,
    timestamp: String,
    properties: &'a Properties,
}

/// The body of `request`, before it is compressed.
pub(super) fn body(workload: &Workload, request: &Request, start: RunStart) -> Result<Vec<u8>, EncodeError> {
    let traffic = workload.traffic(request.stream).ok_or(EncodeError::UnknownStream(request.stream.0))?;
    let events: Vec<Event> = request.events(workload).collect();
    let clock = request.clock(workload, start);
    let token = Some(traffic.token.as_str());
    Ok(match (traffic.endpoint, events.as_slice()) {
        (Endpoint::Batch, events) => serde_json::to_vec(&BatchBody {
            api_key: &traffic.token,
            sent_at: rfc3339(clock.sent_at_ms),
            batch: events.iter().map(|event| wire_event(event, clock, None)).collect(),
        })?,
        (_, [event]) => serde_json::to_vec(&wire_event(event, clock, token))?,
        (_, events) => {
            serde_json::to_vec(&events.iter().map(|event| wire_event(event, clock, token)).collect::<Vec<_>>())?
        }
    })
}

fn wire_event<'a>(event: &'a Event, clock: ClientClock, api_key: Option<&'a str>) -> WireEvent<'a> {
    WireEvent {
        api_key,
        uuid: event.id.to_string(),
        event: &event.name,
        distinct_id: &event.distinct_id,
        timestamp: rfc3339(clock.timestamp_ms(event.occurred_micros)),
        properties: &event.properties,
    }
}
