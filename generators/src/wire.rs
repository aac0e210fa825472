//! Events → the bytes of a request.
//!
//! The forms are those of the capture API, v0 (ingestion contract 1.1–1.3). `sent_at` goes into a batch's body, and for
//! all other forms into the query parameter `_`.

mod bad;
mod bad_parts;
mod body;
mod moments;
mod odd;
mod parts;
#[cfg(test)]
mod plain;
mod recorded;
mod v1;

use std::borrow::Cow;

use serde::Serialize;

use self::{
    body::{Envelope, JSON, Query, pack, target},
    moments::Moments,
};
use crate::{
    clock::RunStart,
    replay::Style,
    request::{ClientClock, Request, Sending},
    text,
    workload::{Begin, ClientFault, Compression, Endpoint, Form, Profile, Row, Traffic, Workload},
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
    pub content_type: Cow<'static, str>,
    /// Other headers, in lower case.
    pub headers: Vec<Header>,
    /// The body.
    pub body: Vec<u8>,
    /// How many events it holds.
    pub events: u64,
}

/// A header's name, in lower case, and its value.
pub type Header = (Cow<'static, str>, String);

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
    /// The id that an event joins.
    anonymous: Vec<u8>,
    row: Row,
    begin: Begin,
    stamp: Stamp,
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
        buffer: Vec<u8>,
    ) -> Result<Encoded, EncodeError> {
        let style = workload.style(request).ok_or(EncodeError::UnknownStream(request.stream.0))?;
        self.encode_in((style, request.fault(workload)), workload, request, start, buffer)
    }

    /// Encodes `request` as it would be if it were neither compressed nor in a form, and if its client did not fail.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_plainly(
        &mut self,
        workload: &Workload,
        request: &Request,
        start: RunStart,
    ) -> Result<Encoded, EncodeError> {
        let style = workload.style(request).ok_or(EncodeError::UnknownStream(request.stream.0))?;
        // One event alone, and not in parts.
        let endpoint = if style.endpoint == Endpoint::Ai { Endpoint::E } else { style.endpoint };
        let style = Style { endpoint, compression: Compression::None, form: Form::Plain, ..style };
        self.encode_in((style, None), workload, request, start, Vec::new())
    }

    fn encode_in(
        &mut self,
        (style, fault): (Style, Option<ClientFault>),
        workload: &Workload,
        request: &Request,
        start: RunStart,
        mut buffer: Vec<u8>,
    ) -> Result<Encoded, EncodeError> {
        let traffic = workload.traffic(request.stream).ok_or(EncodeError::UnknownStream(request.stream.0))?;
        let clock = request.clock(workload, start);
        // What is packed is written elsewhere first.
        let is_plain = (style.compression, style.form) == (Compression::None, Form::Plain);
        let mut json = if is_plain { std::mem::take(&mut buffer) } else { std::mem::take(&mut self.plain) };
        json.clear();
        json.reserve((self.length + self.length / 8).min(ROOM));
        let token = match fault {
            Some(ClientFault::BadToken) => {
                bad::token(workload.plan().seed, request, style.endpoint).unwrap_or(&traffic.token)
            }
            _ => &traffic.token,
        };
        let events = if style.endpoint == Endpoint::Ai {
            self.write_parts(workload, fault, request, clock, &mut json)?
        } else {
            self.write(workload, token, (style, fault), request, clock, &mut json)?
        };
        self.length = json.len();
        let mut headers = match style.endpoint {
            Endpoint::V1 | Endpoint::AiV1 => v1::headers(workload.plan().run, token, style, request, clock),
            Endpoint::Ai => parts::headers(token, style),
            _ => Vec::new(),
        };
        let told = recorded::headers((workload, request), style, token, &mut headers);
        match fault {
            Some(ClientFault::BadHeaders) => bad::spoil(workload.plan().seed, request, &mut headers),
            Some(ClientFault::NoToken) => headers.retain(|(header, _)| header != "authorization"),
            _ => (),
        }
        let query = Query {
            spelling: workload.spelling(request),
            sent_at_ms: clock.says_sent_at.then_some(clock.sent_at_ms),
            due_ms: clock.sent_at_ms,
            // posthog-js, retry-queue.ts.
            retry_count: match request.sending() {
                Sending::Retry(attempt) if traffic.client.profile == Profile::PosthogJs => Some(attempt - 1),
                _ => None,
            },
            beacon: workload.is_beacon(request),
        };
        if is_plain {
            let target = target(style.endpoint, query, query.spelling.unknown_hint, None);
            let usual = if style.endpoint == Endpoint::Ai { parts::CONTENT_TYPE } else { JSON };
            let content_type = told.map_or(Cow::Borrowed(usual), Cow::Owned);
            return Ok(Encoded { method: Method::Post, target, content_type, headers, body: json, events });
        }
        buffer.clear();
        let Envelope { method, target, mut content_type } = pack(style, query, &json, &mut buffer)?;
        if style.endpoint == Endpoint::Ai {
            content_type = parts::CONTENT_TYPE;
        }
        let content_type = told.map_or(Cow::Borrowed(content_type), Cow::Owned);
        // One that was large is seldom followed by another.
        self.plain = if json.capacity() > ROOM { Vec::new() } else { json };
        Ok(Encoded { method, target, content_type, headers, body: buffer, events })
    }

    /// Appends the body before it is compressed; returns how many events it holds.
    fn write(
        &mut self,
        workload: &Workload,
        project: &str,
        (style, fault): (Style, Option<ClientFault>),
        request: &Request,
        clock: ClientClock,
        json: &mut Vec<u8>,
    ) -> Result<u64, EncodeError> {
        let mut token = std::mem::take(&mut self.token);
        token.clear();
        serde_json::to_writer(&mut token, project)?;
        let spelling = workload.spelling(request);
        let is_v1 = style.endpoint.is_v1();
        let is_batch = is_v1 || style.endpoint == Endpoint::Batch;
        if is_v1 {
            v1::begin(style.historical, clock, &mut self.moments, json);
        } else if is_batch {
            let begin = json.len();
            if fault != Some(ClientFault::NoToken) {
                json.extend_from_slice(if spelling.token { b",\"token\":" } else { b",\"api_key\":" });
                json.extend_from_slice(&token);
            }
            if clock.says_sent_at {
                json.extend_from_slice(b",\"sent_at\":\"");
                self.moments.write(clock.sent_at_ms, json);
                json.push(b'"');
            }
            if style.historical {
                json.extend_from_slice(b",\"historical_migration\":true");
            }
            json.extend_from_slice(b",\"batch\":");
            // Whatever is the first of them.
            json[begin] = b'{';
        }
        let list = json.len();
        json.push(b'[');
        let mut events = 0;
        for (seq, again) in request.seqs(workload) {
            if events > 0 {
                json.push(b',');
            }
            let own_token = (!is_batch && fault != Some(ClientFault::NoToken)).then_some(token.as_slice());
            let place = EventPlace { request, seq, again, is_v1, fault };
            events += u64::from(self.write_event(workload, place, clock, own_token, json)?);
        }
        self.token = token;
        match fault {
            // It is known all the same which events are lost by it.
            Some(ClientFault::EmptyBatch) => json.truncate(list + 1),
            Some(ClientFault::WrongTypes) => {
                json.push(b',');
                json.extend_from_slice(&bad::event(workload, request, style.endpoint));
            }
            Some(ClientFault::BadToken) => {
                if let Some(stranger) = bad::stranger(workload.plan().seed, request, style.endpoint) {
                    json.push(b',');
                    json.extend_from_slice(stranger);
                }
            }
            _ => (),
        }
        let is_spoilt =
            matches!(fault, Some(ClientFault::EmptyBatch | ClientFault::WrongTypes | ClientFault::BadToken));
        let stays_list = spelling.list_of_one || is_spoilt;
        json.push(b']');
        if is_batch {
            json.push(b'}');
        } else if events == 1 && !stays_list {
            // One alone stands without its list.
            json.remove(list);
            json.pop();
        }
        Ok(events)
    }

    /// Appends the parts of a form that holds one event.
    fn write_parts(
        &mut self,
        workload: &Workload,
        fault: Option<ClientFault>,
        request: &Request,
        clock: ClientClock,
        body: &mut Vec<u8>,
    ) -> Result<u64, EncodeError> {
        let Some((seq, again)) = request.seqs(workload).next() else { return Ok(0) };
        let Some(event) = workload.told(request, seq, again) else { return Ok(0) };
        match fault {
            Some(ClientFault::EmptyBatch) => parts::end(body),
            // What earlier versions sent, they still send.
            Some(ClientFault::WrongTypes) if has_more_parts(workload, request) => {
                bad_parts::write(&mut bad::random(workload.plan().seed, request), body);
            }
            Some(ClientFault::WrongTypes) => parts::write_text(&bad::event(workload, request, Endpoint::Ai), body),
            _ => parts::write(&event, again, clock, &mut self.moments, body)?,
        }
        Ok(1)
    }

    /// Appends one event; false if it was never planned.
    fn write_event(
        &mut self,
        workload: &Workload,
        EventPlace { request, seq, again, is_v1, fault }: EventPlace<'_>,
        clock: ClientClock,
        token: Option<&[u8]>,
        json: &mut Vec<u8>,
    ) -> Result<bool, EncodeError> {
        let stream = request.stream;
        if !workload.is_plain(stream, seq) {
            let Some(mut event) = workload.told(request, seq, again) else { return Ok(false) };
            let clock = if again { request.clock_of(workload, clock, seq) } else { clock };
            if fault == Some(ClientFault::BadToken) {
                // Among the properties it would still be right.
                event.oddities.spelling = event.oddities.spelling.with_token_beside();
            }
            if fault == Some(ClientFault::NoToken) {
                event.members.retain(|member| member.key != "token");
                event.oddities.twice = None;
            }
            odd::write(&event, again, clock, (token, is_v1), &mut self.moments, json)?;
            return Ok(true);
        }
        let content = workload.content_in(stream, seq, &mut self.row);
        let Some((content, occurred)) = content.zip(workload.occurred_micros(stream, seq)) else {
            return Ok(false);
        };
        json.push(b'{');
        if let Some(token) = token {
            json.extend_from_slice(b"\"api_key\":");
            json.extend_from_slice(token);
            json.push(b',');
        }
        // Neither ids nor names hold anything that JSON would escape.
        let begin = json.len();
        json.extend_from_slice(BEGIN);
        let id = text::uuid(content.id().to_uuid());
        if let Some(place) = json[begin + UUID_AT..].first_chunk_mut() {
            *place = id;
        }
        json.extend_from_slice(content.name().as_bytes());
        json.extend_from_slice(b"\",\"distinct_id\":\"");
        content.write_wire_ids(&mut self.begin, json, &mut self.anonymous);
        json.extend_from_slice(self.stamp.of(clock.timestamp_ms(occurred), &mut self.moments));
        content.write_text(&id, &self.anonymous, json);
        json.push(b'}');
        Ok(true)
    }
}

/// Nothing larger is made room for before it is written, or kept for the next one.
const ROOM: usize = 4 << 20;

/// What an event begins with, and where its uuid's place is in that.
const BEGIN: &[u8; 55] = b"\"uuid\":\"00000000-0000-0000-0000-000000000000\",\"event\":\"";
const UUID_AT: usize = 8;

/// What stands between an event's distinct id and its properties; kept, since many events happen in one millisecond.
#[derive(Debug, Default)]
struct Stamp {
    unix_ms: Option<i64>,
    text: Vec<u8>,
}

impl Stamp {
    fn of(&mut self, unix_ms: i64, moments: &mut Moments) -> &[u8] {
        if self.unix_ms != Some(unix_ms) {
            self.unix_ms = Some(unix_ms);
            self.text.clear();
            self.text.extend_from_slice(b"\",\"timestamp\":\"");
            moments.write(unix_ms, &mut self.text);
            self.text.extend_from_slice(b"\",\"properties\":");
        }
        &self.text
    }
}

/// Whether the traffic of a request has its properties within events, or contents in parts of their own.
fn has_more_parts(workload: &Workload, request: &Request) -> bool {
    let has_any =
        |traffic: &Traffic| [traffic.extras.embedded, traffic.extras.blobs].iter().any(|share| share.get() > 0.0);
    workload.traffic(request.stream).is_some_and(has_any)
}

/// An event in a request.
#[derive(Clone, Copy)]
struct EventPlace<'a> {
    request: &'a Request,
    seq: u64,
    /// Whether it is its second sending.
    again: bool,
    is_v1: bool,
    /// How its request fails, if it does.
    fault: Option<ClientFault>,
}

/// Appends `value`.
fn push_json(value: &(impl Serialize + ?Sized), json: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    serde_json::to_writer(json, value)
}

#[cfg(test)]
mod tests;
