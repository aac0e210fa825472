//! Events → the bytes of a request.
//!
//! The forms are those of the capture API, v0 (ingestion contract 1.1–1.3). `sent_at` goes into a batch's body, and for
//! all other forms into the query parameter `_`.

mod body;
mod moments;
mod odd;
#[cfg(test)]
mod plain;

use serde::Serialize;
use uuid::fmt::Hyphenated;

use self::{
    body::{Envelope, JSON, Query, pack, target},
    moments::Moments,
};
use crate::{
    clock::RunStart,
    event::EventSource,
    replay::Style,
    request::{ClientClock, Request},
    workload::{Compression, Endpoint, Form, Ids, Profile, Traffic, Workload},
};

pub use body::Method;

/// A request's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// How it is made.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// What its header says about the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
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
    /// Encodes `request`, a pure function of the workload, the request's index and the run's start. The `buffer`, whatever it
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
        let style = workload.style(request).ok_or(EncodeError::UnknownStream(request.stream.0))?;
        let clock = request.clock(workload, start);
        // What is packed is written elsewhere first.
        let is_plain = (style.compression, style.form) == (Compression::None, Form::Plain);
        let mut json = if is_plain { std::mem::take(&mut buffer) } else { std::mem::take(&mut self.plain) };
        json.clear();
        json.reserve(self.length + self.length / 8);
        let events = self.write(workload, (traffic, style), request, clock, &mut json)?;
        self.length = json.len();
        let query = Query {
            sent_at_ms: clock.says_sent_at.then_some(clock.sent_at_ms),
            // posthog-js, retry-queue.ts.
            retry_count: request
                .retry
                .filter(|_| traffic.client.profile == Profile::PosthogJs)
                .map(|retry| retry.attempt - 1),
        };
        if is_plain {
            let target = target(style.endpoint, query, None, None);
            return Ok(Encoded { method: Method::Post, target, content_type: JSON, body: json, events });
        }
        buffer.clear();
        let Envelope { method, target, content_type } = pack(style, query, &json, &mut buffer)?;
        self.plain = json;
        Ok(Encoded { method, target, content_type, body: buffer, events })
    }

    /// Appends the body before it is compressed; returns how many events it holds.
    fn write(
        &mut self,
        workload: &Workload,
        (traffic, style): (&Traffic, Style),
        request: &Request,
        clock: ClientClock,
        json: &mut Vec<u8>,
    ) -> Result<u64, EncodeError> {
        let mut token = std::mem::take(&mut self.token);
        token.clear();
        serde_json::to_writer(&mut token, &traffic.token)?;
        let is_batch = style.endpoint == Endpoint::Batch;
        if is_batch {
            json.extend_from_slice(b"{\"api_key\":");
            json.extend_from_slice(&token);
            if clock.says_sent_at {
                json.extend_from_slice(b",\"sent_at\":\"");
                self.moments.write(clock.sent_at_ms, json);
                json.push(b'"');
            }
            if style.historical {
                json.extend_from_slice(b",\"historical_migration\":true");
            }
            json.extend_from_slice(b",\"batch\":");
        }
        let list = json.len();
        json.push(b'[');
        let mut events = 0;
        for (seq, again) in request.seqs(workload) {
            if events > 0 {
                json.push(b',');
            }
            let own_token = (!is_batch).then_some(token.as_slice());
            let place = EventPlace { request, seq, again };
            events += u64::from(self.write_event(workload, place, clock, own_token, json)?);
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
        EventPlace { request, seq, again }: EventPlace<'_>,
        clock: ClientClock,
        token: Option<&[u8]>,
        json: &mut Vec<u8>,
    ) -> Result<bool, EncodeError> {
        let stream = request.stream;
        if !workload.oddities(stream, seq).is_plain() {
            let Some(event) = workload.event(stream, seq) else { return Ok(false) };
            odd::write(&event, again, clock, token, &mut self.moments, json)?;
            return Ok(true);
        }
        let Some((content, occurred)) = workload.content(stream, seq).zip(workload.occurred_micros(stream, seq)) else {
            return Ok(false);
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
        Ok(true)
    }
}

/// An event in a request.
#[derive(Clone, Copy)]
struct EventPlace<'a> {
    request: &'a Request,
    seq: u64,
    /// Whether it is its second sending.
    again: bool,
}

/// Appends `value`.
fn push_json(value: &(impl Serialize + ?Sized), json: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    serde_json::to_writer(json, value)
}

#[cfg(test)]
mod tests {
    use std::{io::Read, time::Duration};

    use base64::{Engine, prelude::BASE64_STANDARD};
    use proptest::prelude::*;
    use serde_json::{Value, value::RawValue};

    use super::*;
    use crate::{
        event::{Event, Member},
        identity::StreamId,
        request::Requests,
        timetable::{Shard, Timetable},
        workload::tests::{odd, small},
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

    /// What a server makes of it again.
    fn unpacked(traffic: &Traffic, encoded: &Encoded) -> Vec<u8> {
        let query = encoded.target.split_once('?').map_or("", |(_, query)| query);
        let field = |text: &[u8], key: &str| {
            form_urlencoded::parse(text).find(|(name, _)| name == key).map(|(_, value)| value.into_owned())
        };
        let data = match traffic.form {
            Form::Plain => encoded.body.clone(),
            Form::Urlencoded => field(&encoded.body, "data").unwrap().into_bytes(),
            Form::Query => field(query.as_bytes(), "data").unwrap().into_bytes(),
        };
        let decoded = |data: &[u8]| BASE64_STANDARD.decode(data).unwrap();
        let gunzipped = |data: &[u8]| {
            assert_eq!(data[..3], [0x1f, 0x8b, 0x08]);
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(data).read_to_end(&mut unpacked).unwrap();
            unpacked
        };
        match (traffic.compression, traffic.form) {
            (Compression::None, Form::Plain) => data,
            (Compression::None | Compression::Base64, _) => decoded(&data),
            (Compression::Gzip | Compression::GzipJs, Form::Plain) => gunzipped(&data),
            (Compression::Gzip | Compression::GzipJs, _) => gunzipped(&decoded(&data)),
            (Compression::Lz64, _) => {
                let units = lz_str::decompress_from_base64(str::from_utf8(&data).unwrap()).unwrap();
                String::from_utf16(&units).unwrap().into_bytes()
            }
        }
    }

    #[test]
    fn every_form_and_compression_holds_the_same_json_and_says_what_it_is() {
        let (_, plain) = encoded(|traffic| traffic.endpoint = Endpoint::E);
        let compressions = [
            (Compression::None, None),
            (Compression::Gzip, None),
            (Compression::GzipJs, Some("compression=gzip-js")),
            (Compression::Base64, Some("compression=base64")),
            (Compression::Lz64, Some("compression=lz64")),
        ];
        for (compression, hint) in compressions {
            for form in [Form::Plain, Form::Urlencoded, Form::Query] {
                let change = |traffic: &mut Traffic| {
                    (traffic.endpoint, traffic.compression, traffic.form) = (Endpoint::E, compression, form);
                };
                let (_, packed) = encoded(change);
                let mut traffic = Traffic::orderly(1, small().plan().traffic[0].arrival.clone());
                change(&mut traffic);
                assert_eq!(unpacked(&traffic, &packed), plain.body, "{compression:?} {form:?}");
                let said = format!("{} {}", packed.target, String::from_utf8_lossy(&packed.body));
                assert!(hint.is_none_or(|hint| said.contains(hint)), "{compression:?} {form:?}: {said}");
                assert!(packed.target.starts_with("/e/?") && packed.target.contains("_=17"), "{}", packed.target);
                assert_eq!(packed.method == Method::Get, form == Form::Query);
                assert_eq!(packed.body.is_empty(), form == Form::Query);
            }
        }
    }

    #[test]
    fn odd_events_are_whole_json_and_say_what_they_mean() {
        let workload = odd();
        let (mut encoder, mut seen) = (Encoder::default(), [0; 6]);
        for (_, request) in Timetable::new(&workload, Shard::WHOLE) {
            let made = encoder.encode(&workload, &request, START, Vec::new()).unwrap();
            let body: Body<'_> = serde_json::from_slice(&made.body).unwrap();
            assert_eq!(body.sent_at.is_some(), workload.says_sent_at(&request));
            seen[0] += usize::from(body.sent_at.is_none());
            let clock = request.clock(&workload, START);
            for (sent, (seq, again)) in body.batch.iter().zip(request.seqs(&workload)) {
                let event = workload.event(request.stream, seq).unwrap();
                assert_eq!(sent.uuid.as_deref(), (!event.oddities.no_uuid).then(|| event.id.to_string()).as_deref());
                assert_eq!(sent.event, event.name);
                let id = serde_json::to_string(&event.distinct_id).unwrap();
                assert_eq!(sent.distinct_id.get(), event.distinct_id_json.as_deref().unwrap_or(&id));
                let said = clock.said(event.oddities.time, event.occurred_micros);
                assert_eq!(sent.offset, said.offset_ms);
                assert_eq!(sent.timestamp.is_some(), said.timestamp_ms.is_some());
                let properties = sent.properties.get();
                assert!(properties.contains(&format!("\"assay_id\":\"{}\"", event.id)));
                for Member { key, value } in &event.members {
                    assert!(properties.contains(&format!("\"{key}\":{value}")), "{key}");
                }
                let is_altered = properties.contains(crate::workload::ALTERED.1);
                assert_eq!(is_altered, again && event.oddities.altered);
                let counts = [event.oddities.no_uuid, sent.offset.is_some(), sent.timestamp.is_none(), is_altered];
                seen[1..5].iter_mut().zip(counts).for_each(|(seen, count)| *seen += usize::from(count));
                seen[5] += usize::from(event.distinct_id_json.is_some());
            }
        }
        assert!(seen.iter().all(|seen| *seen > 5), "{seen:?}");
    }

    #[derive(serde::Deserialize)]
    struct Body<'a> {
        sent_at: Option<String>,
        #[serde(borrow)]
        batch: Vec<Sent<'a>>,
    }

    #[derive(serde::Deserialize)]
    struct Sent<'a> {
        uuid: Option<String>,
        event: String,
        #[serde(borrow)]
        distinct_id: &'a RawValue,
        timestamp: Option<String>,
        offset: Option<i64>,
        #[serde(borrow)]
        properties: &'a RawValue,
    }

    #[test]
    fn bytes_are_pinned() {
        let mut plan = small().plan().clone();
        let mut single = plan.traffic[0].clone();
        (single.endpoint, single.batch) = (Endpoint::E, (1, 3));
        plan.traffic.push(single);
        let crc = |workload: &Workload| {
            let (mut encoder, mut crc) = (Encoder::default(), crc32fast::Hasher::new());
            for (_, request) in Timetable::new(workload, Shard::WHOLE) {
                let made = encoder.encode(workload, &request, START, Vec::new()).unwrap();
                crc.update(made.target.as_bytes());
                crc.update(&made.body);
            }
            crc.finalize()
        };
        let usual = crc(&Workload::new(plan, crate::persona::PersonaTable::make(42, 16)));
        // Whoever changes these raises the version and all numbers.
        assert_eq!((crate::workload::WORKLOAD_VERSION, usual, crc(&odd())), (5, 3_693_948_452, 328_589_941));
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
