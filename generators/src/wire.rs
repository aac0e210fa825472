//! Events → the bytes of a request.
//!
//! The forms are those of the capture API, v0 (ingestion contract 1.1–1.3). `sent_at` goes into a batch's body, and for
//! all other forms into the query parameter `_`.

mod moments;
#[cfg(test)]
mod plain;

use std::io::Write;

use flate2::write::GzEncoder;
use uuid::fmt::Hyphenated;

use self::moments::Moments;
use crate::{
    clock::RunStart,
    request::{ClientClock, Request},
    workload::{Compression, Endpoint, Ids, Profile, Traffic, Workload},
};

/// A request's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Path and query.
    pub target: String,
    /// The body.
    pub body: Vec<u8>,
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

/// Makes requests' bytes; its buffers are used again for the next one.
#[derive(Debug, Default)]
pub struct Encoder {
    ids: Ids,
    moments: Moments,
    token: Vec<u8>,
    /// A body before it is compressed.
    plain: Vec<u8>,
    /// How long the last body was: the next one will be about as long.
    length: usize,
}

impl Encoder {
    /// Encodes `request`, a pure function of the workload, the request and the run's start. The `buffer`, whatever it
    /// holds, is used for the body.
    ///
    /// # Errors
    /// When the stream is unknown; JSON and gzip do not fail in memory.
    pub fn encode(
        &mut self,
        workload: &Workload,
        request: &Request,
        start: RunStart,
        mut buffer: Vec<u8>,
    ) -> Result<Encoded, EncodeError> {
        let traffic = workload.traffic(request.stream).ok_or(EncodeError::UnknownStream(request.stream.0))?;
        let clock = request.clock(workload, start);
        // What is compressed is written elsewhere first.
        let is_plain = traffic.compression == Compression::None;
        let mut json = if is_plain { std::mem::take(&mut buffer) } else { std::mem::take(&mut self.plain) };
        json.clear();
        json.reserve(self.length + self.length / 8);
        let events = self.write(workload, traffic, request, clock, &mut json)?;
        self.length = json.len();
        let body = match traffic.compression {
            Compression::None => json,
            Compression::Gzip => {
                buffer.clear();
                let mut gzip = GzEncoder::new(buffer, flate2::Compression::default());
                gzip.write_all(&json)?;
                self.plain = json;
                gzip.finish()?
            }
        };
        Ok(Encoded { target: target(traffic, request, clock), body, compression: traffic.compression, events })
    }

    /// Appends the body before it is compressed; returns how many events it holds.
    fn write(
        &mut self,
        workload: &Workload,
        traffic: &Traffic,
        request: &Request,
        clock: ClientClock,
        json: &mut Vec<u8>,
    ) -> Result<u64, EncodeError> {
        let mut token = std::mem::take(&mut self.token);
        token.clear();
        serde_json::to_writer(&mut token, &traffic.token)?;
        let is_batch = traffic.endpoint == Endpoint::Batch;
        if is_batch {
            json.extend_from_slice(b"{\"api_key\":");
            json.extend_from_slice(&token);
            json.extend_from_slice(b",\"sent_at\":\"");
            self.moments.write(clock.sent_at_ms, json);
            json.extend_from_slice(b"\",\"batch\":");
        }
        let list = json.len();
        json.push(b'[');
        let mut events = 0;
        for (seq, _) in request.seqs(workload) {
            if events > 0 {
                json.push(b',');
            }
            let own_token = (!is_batch).then_some(token.as_slice());
            events += u64::from(self.write_event(workload, EventPlace { request, seq }, clock, own_token, json));
        }
        self.token = token;
        json.push(b']');
        if is_batch {
            json.push(b'}');
        } else if events == 1 {
            // One alone stands without its list.
            json.remove(list);
            json.pop();
        }
        Ok(events)
    }

    /// Appends one event; false if it was never planned.
    fn write_event(
        &mut self,
        workload: &Workload,
        EventPlace { request, seq }: EventPlace<'_>,
        clock: ClientClock,
        token: Option<&[u8]>,
        json: &mut Vec<u8>,
    ) -> bool {
        let stream = request.stream;
        let Some((content, occurred)) = workload.content(stream, seq).zip(workload.occurred_micros(stream, seq)) else {
            return false;
        };
        json.push(b'{');
        if let Some(token) = token {
            json.extend_from_slice(b"\"api_key\":");
            json.extend_from_slice(token);
            json.push(b',');
        }
        // Neither ids nor names hold anything that JSON would escape.
        json.extend_from_slice(b"\"uuid\":\"");
        let mut uuid = [0; Hyphenated::LENGTH];
        content.id().to_uuid().hyphenated().encode_lower(&mut uuid);
        json.extend_from_slice(&uuid);
        json.extend_from_slice(b"\",\"event\":\"");
        json.extend_from_slice(content.name().as_bytes());
        json.extend_from_slice(b"\",\"distinct_id\":\"");
        content.write_wire_ids(&mut self.ids);
        json.extend_from_slice(&self.ids.distinct_id);
        json.extend_from_slice(b"\",\"timestamp\":\"");
        self.moments.write(clock.timestamp_ms(occurred), json);
        json.extend_from_slice(b"\",\"properties\":");
        content.write_text(&self.ids, &uuid, json);
        json.push(b'}');
        true
    }
}

/// An event in a request.
#[derive(Clone, Copy)]
struct EventPlace<'a> {
    request: &'a Request,
    seq: u64,
}

fn target(traffic: &Traffic, request: &Request, clock: ClientClock) -> String {
    let path = match traffic.endpoint {
        Endpoint::Batch => return "/batch/".to_owned(),
        Endpoint::E => "/e/",
        Endpoint::Capture => "/capture/",
        Endpoint::IV0E => "/i/v0/e/",
    };
    match request.retry {
        // posthog-js, retry-queue.ts.
        Some(retry) if traffic.client.profile == Profile::PosthogJs => {
            format!("{path}?retry_count={}&_={}", retry.attempt - 1, clock.sent_at_ms)
        }
        _ => format!("{path}?_={}", clock.sent_at_ms),
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, time::Duration};

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::{
        event::Event,
        identity::StreamId,
        request::{Requests, Retry},
        timetable::{Shard, Timetable},
        workload::tests::small,
    };

    const START: RunStart = RunStart::from_unix_micros(1_790_000_000_000_000);

    fn encoded(change: impl Fn(&mut Traffic)) -> (Vec<Event>, Encoded) {
        let mut plan = small().plan().clone();
        change(&mut plan.traffic[0]);
        let workload = Workload::new(plan, crate::persona::PersonaTable::make(42, 16));
        let request = Requests::new(&workload, StreamId(0)).nth(9).unwrap();
        (
            request.events(&workload).collect(),
            Encoder::default().encode(&workload, &request, START, Vec::new()).unwrap(),
        )
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
    fn a_retry_says_when_it_was_built_and_in_a_browser_the_how_manieth_it_is() {
        let target = |profile, endpoint, retry| {
            let mut plan = small().plan().clone();
            let traffic = &mut plan.traffic[0];
            (traffic.client.profile, traffic.endpoint) = (profile, endpoint);
            traffic.disorder.clock_skew = crate::random::Distribution::default();
            let workload = Workload::new(plan, crate::persona::PersonaTable::make(42, 16));
            let request = Request { retry, ..Requests::new(&workload, StreamId(0)).next().unwrap() };
            let made = Encoder::default().encode(&workload, &request, START, Vec::new()).unwrap();
            (made.target, String::from_utf8(made.body).unwrap())
        };
        let retry = Some(Retry { attempt: 3, due: Duration::ZERO, built: Duration::from_micros(7_999) });
        let (target_of_retry, _) = target(Profile::PosthogJs, Endpoint::E, retry);
        assert_eq!(target_of_retry, "/e/?retry_count=2&_=1790000000007");
        assert!(!target(Profile::PosthogJs, Endpoint::E, None).0.contains("retry_count"));
        assert_eq!(target(Profile::PosthogRs, Endpoint::IV0E, retry).0, "/i/v0/e/?_=1790000000007");
        let (_, body) = target(Profile::PosthogPython, Endpoint::Batch, retry);
        assert!(body.contains("\"sent_at\":\"2026-09-21T14:13:20.007Z\""), "{}", &body[..80]);
        // Nothing else of the body differs from the first attempt's.
        let (_, first) = target(Profile::Assay, Endpoint::Batch, None);
        let events = |body: &str| body.split_once("\"batch\":").unwrap().1.to_owned();
        assert_eq!(events(&body), events(&first));
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
    fn bytes_are_pinned() {
        let mut plan = small().plan().clone();
        let mut single = plan.traffic[0].clone();
        (single.endpoint, single.batch) = (Endpoint::E, (1, 3));
        plan.traffic.push(single);
        let workload = Workload::new(plan, crate::persona::PersonaTable::make(42, 16));
        let (mut encoder, mut crc) = (Encoder::default(), crc32fast::Hasher::new());
        for (_, request) in Timetable::new(&workload, Shard::WHOLE) {
            let made = encoder.encode(&workload, &request, START, Vec::new()).unwrap();
            crc.update(made.target.as_bytes());
            crc.update(&made.body);
        }
        // Whoever changes this raises the version and both numbers.
        assert_eq!((crate::workload::WORKLOAD_VERSION, crc.finalize()), (4, 3_600_630_522));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_quick_way_writes_what_the_plain_way_writes(
            seed in any::<u64>(),
            endpoint in prop::sample::select(vec![Endpoint::Batch, Endpoint::E, Endpoint::Capture, Endpoint::IV0E]),
            most in 1u64..30,
            identify in 0.0f64..1.0,
            skew in 0u64..1 << 40,
            token in "[a-z\"\\\\é]{1,8}",
        ) {
            let mut plan = small().plan().clone();
            plan.seed = seed;
            let traffic = &mut plan.traffic[0];
            traffic.endpoint = endpoint;
            traffic.batch = (1, if endpoint == Endpoint::Capture { 1 } else { most });
            traffic.persons.identify = crate::random::Share::new(identify).unwrap();
            traffic.disorder.clock_skew =
                crate::random::Distribution::Constant { value: Duration::from_micros(skew) };
            traffic.token = token;
            let workload = Workload::new(plan, crate::persona::PersonaTable::make(seed, 16));
            let mut encoder = Encoder::default();
            for request in Requests::new(&workload, StreamId(0)).step_by(17) {
                let quick = encoder.encode(&workload, &request, START, Vec::new()).unwrap();
                let plain = plain::body(&workload, &request, START).unwrap();
                prop_assert_eq!(str::from_utf8(&quick.body).unwrap(), str::from_utf8(&plain).unwrap());
                prop_assert_eq!(quick.events, request.seqs(&workload).count() as u64);
            }
        }
    }
}
