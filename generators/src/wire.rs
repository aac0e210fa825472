//! Events → the bytes of a request.
//!
//! The forms are those of the capture API, v0 (ingestion contract 1.1–1.3). `sent_at` goes into a batch's body, and for
//! all other forms into the query parameter `_`.

use std::io::Write;

use bytes::Bytes;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    clock::RunStart,
    event::{Event, Properties},
    request::{ClientClock, Request},
    workload::{Compression, Endpoint, Traffic, Workload},
};

/// A request's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Path and query.
    pub target: String,
    /// The body.
    pub body: Bytes,
    /// How the body is compressed.
    pub compression: Compression,
    /// How many events it holds.
    pub events: u64,
}

/// Why a request could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The request names a stream that the workload does not have.
    #[error("stream {0} is not part of the workload")]
    UnknownStream(u16),
    /// JSON refused a value.
    #[error("an event could not be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The compressor failed.
    #[error("a body could not be compressed")]
    Compression(#[from] std::io::Error),
}

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

/// Encodes `request`, a pure function of the workload, the request's index and the run's start.
///
/// # Errors
/// When the stream is unknown; JSON and gzip do not fail in memory.
pub fn encode(workload: &Workload, request: &Request, start: RunStart) -> Result<Encoded, EncodeError> {
    let traffic = workload.traffic(request.stream).ok_or(EncodeError::UnknownStream(request.stream.0))?;
    let events: Vec<Event> = request.events(workload).collect();
    let clock = request.clock(workload, start);
    let json = match traffic.endpoint {
        Endpoint::Batch => serde_json::to_vec(&BatchBody {
            api_key: &traffic.token,
            sent_at: rfc3339(clock.sent_at_ms),
            batch: events.iter().map(|event| wire_event(event, clock, None)).collect(),
        })?,
        Endpoint::E | Endpoint::Capture | Endpoint::IV0E => {
            let token = Some(traffic.token.as_str());
            match events.as_slice() {
                [event] => serde_json::to_vec(&wire_event(event, clock, token))?,
                events => {
                    serde_json::to_vec(&events.iter().map(|event| wire_event(event, clock, token)).collect::<Vec<_>>())?
                }
            }
        }
    };
    let body = match traffic.compression {
        Compression::None => json,
        Compression::Gzip => {
            let mut gzip = GzEncoder::new(Vec::with_capacity(json.len() / 4), flate2::Compression::default());
            gzip.write_all(&json)?;
            gzip.finish()?
        }
    };
    Ok(Encoded {
        target: target(traffic, clock),
        body: body.into(),
        compression: traffic.compression,
        events: events.len() as u64,
    })
}

fn target(traffic: &Traffic, clock: ClientClock) -> String {
    match traffic.endpoint {
        Endpoint::Batch => "/batch/".to_owned(),
        Endpoint::E => format!("/e/?_={}", clock.sent_at_ms),
        Endpoint::Capture => format!("/capture/?_={}", clock.sent_at_ms),
        Endpoint::IV0E => format!("/i/v0/e/?_={}", clock.sent_at_ms),
    }
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

/// `2026-11-23T01:02:03.456Z`; a moment beyond the calendar becomes its nearest end.
fn rfc3339(unix_ms: i64) -> String {
    let end = if unix_ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
    format!("{:.3}", Timestamp::from_millisecond(unix_ms).unwrap_or(end))
}

#[cfg(test)]
mod tests {
    use std::{io::Read, time::Duration};

    use serde_json::Value;

    use super::*;
    use crate::{identity::StreamId, request::Requests, workload::tests::small};

    const START: RunStart = RunStart::from_unix_micros(1_790_000_000_000_000);

    fn encoded(change: impl Fn(&mut Traffic)) -> (Vec<Event>, Encoded) {
        let mut plan = small().plan().clone();
        change(&mut plan.traffic[0]);
        let workload = Workload::new(plan, crate::persona::PersonaTable::make(42, 16));
        let request = Requests::new(&workload, StreamId(0)).nth(9).unwrap();
        (request.events(&workload).collect(), encode(&workload, &request, START).unwrap())
    }

    #[test]
    fn a_batch_holds_every_event_with_its_identity() {
        let (events, encoded) = encoded(|_| ());
        let body: Value = serde_json::from_slice(&encoded.body).unwrap();
        let text = str::from_utf8(&encoded.body).unwrap();
        assert_eq!(encoded.target, "/batch/");
        assert_eq!(body["api_key"], "phc_test");
        assert!(body["sent_at"].as_str().unwrap().starts_with("2026-09-21T"));
        let batch = body["batch"].as_array().unwrap();
        assert_eq!(batch.len(), events.len());
        for (sent, event) in batch.iter().zip(&events) {
            assert_eq!(sent["uuid"], event.id.to_string());
            assert_eq!(sent["properties"]["assay_id"], event.id.to_string());
            // Compared as text: parsing a float and printing it again may change its last digit.
            let properties = serde_json::to_string(&event.properties).unwrap();
            assert!(text.contains(&format!("\"properties\":{properties}")));
        }
    }

    #[test]
    fn a_single_event_is_sent_alone_with_token_and_sent_at() {
        let (events, encoded) = encoded(|traffic| {
            traffic.endpoint = Endpoint::Capture;
            traffic.batch = (1, 1);
            traffic.disorder.resend = crate::random::Share::default();
            traffic.disorder.clock_skew = crate::random::Distribution::Constant { value: Duration::from_secs(1) };
        });
        let body: Value = serde_json::from_slice(&encoded.body).unwrap();
        assert_eq!(body["event"], events[0].name);
        assert_eq!(body["api_key"], "phc_test");
        assert!(encoded.target.starts_with("/capture/?_=1790000001"), "{}", encoded.target);
    }

    #[test]
    fn gzip_holds_the_same_json() {
        let (_, plain) = encoded(|_| ());
        let (_, packed) = encoded(|traffic| traffic.compression = Compression::Gzip);
        assert_eq!(packed.body[..3], [0x1f, 0x8b, 0x08]);
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&packed.body[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain.body);
    }

    #[test]
    fn milliseconds_are_written_always() {
        assert_eq!(rfc3339(1_790_000_000_000), "2026-09-21T14:13:20.000Z");
        assert_eq!(rfc3339(i64::MAX), "9999-12-30T22:00:00.999Z");
    }
}
