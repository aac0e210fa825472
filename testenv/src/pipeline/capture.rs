//! The reference capture: HTTP in, Kafka out (PostHog's rust/capture, v0 endpoints).
//!
//! It answers 200 only after Kafka has every event of the request (acks=all). [`encoding`] and [`request`] hold the rules, [`drop_list`]
//! whose events are dropped, [`planted`] the planted defects; this file is the process.

mod deliveries;
pub mod drop_list;
pub mod encoding;
pub mod overflow;
pub mod planted;
pub mod request;
mod spoil;
pub mod v1;

use std::{
    borrow::Cow,
    convert::Infallible,
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, Producer, ThreadedProducer},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use uuid::Uuid;

use self::{
    deliveries::{Awaited, Deliveries, ToRequests},
    drop_list::DropList,
    encoding::Sent,
    overflow::{Lane, Limits, Overflow},
    planted::Planted,
    request::{Received, Refusal, events},
};
use super::{
    captured::{CapturedEvent, NO_PERSON_HEADER},
    dialect::Dialect,
    settings::{confine, end, json, log, or, required, say_ready},
};

const V1_PATH: &str = "/i/v1/analytics/events";
const BATCH_LIMIT: usize = 20 << 20;
const OTHER_LIMIT: usize = 2 << 20;
/// How long requests in hand may take once the role is told to end.
const GRACE: Duration = Duration::from_secs(1);

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Plays the role `capture`.
pub fn serve() -> ExitCode {
    if let Err(error) = confine() {
        return end("capture", Err(error));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return end("capture", Err(error.into())),
    };
    end("capture", runtime.block_on(run()))
}

async fn run() -> Result<(), Error> {
    let topic = required("KAFKA_TOPIC")?;
    let producer: ThreadedProducer<ToRequests> = ClientConfig::new()
        .set("bootstrap.servers", required("KAFKA_HOSTS")?)
        .set("acks", "all")
        .set("partitioner", "murmur2_random")
        .set("compression.codec", or("KAFKA_COMPRESSION_CODEC", "lz4".to_owned())?)
        .set("linger.ms", or("KAFKA_PRODUCER_LINGER_MS", 20u32)?.to_string())
        .set("message.timeout.ms", or("KAFKA_MESSAGE_TIMEOUT_MS", 20_000u32)?.to_string())
        .set("message.max.bytes", or("KAFKA_MESSAGE_MAX_BYTES", 1_000_000u32)?.to_string())
        .create_with_context(ToRequests)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(or("ADDRESS", "127.0.0.1:0".to_owned())?).await?;
    let port = listener.local_addr()?.port();
    // The first request shall not pay for the metadata.
    let (asking, name) = (producer.clone(), topic.clone());
    tokio::task::spawn_blocking(move || asking.client().fetch_metadata(Some(&name), Duration::from_secs(20)).map(drop))
        .await??;
    let usual = Limits::default();
    let overflow = Limits {
        per_second: or("OVERFLOW_PER_SECOND_LIMIT", usual.per_second)?,
        burst: or("OVERFLOW_BURST_LIMIT", usual.burst)?,
    };
    let capture = Arc::new(Capture {
        producer: producer.clone(),
        topic,
        historical_topic: or("KAFKA_HISTORICAL_TOPIC", String::new())?,
        dialect: or("DIALECT", Dialect::default())?,
        drop_list: or("DROP_EVENTS_BY_TOKEN_DISTINCT_ID", DropList::default())?,
        overflow: or("OVERFLOW_ENABLED", false)?.then_some(Overflow::new(overflow)),
        overflow_topic: or("KAFKA_OVERFLOW_TOPIC", String::new())?,
        started: Instant::now(),
        planted: Planted::new(json("ASSAY_PLANTED_DEFECTS")?, json("ASSAY_TOKENS_OVER_QUOTA")?),
    });
    let (stopping, stop) = watch::channel(false);
    say_ready(port)?;
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    log(&format!("a connection could not be accepted: {error}"));
                    continue;
                }
            },
            _ = terminate.recv() => break,
        };
        stream.set_nodelay(true)?;
        let (capture, mut stop) = (Arc::clone(&capture), stop.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let capture = Arc::clone(&capture);
                async move { Ok::<_, Infallible>(capture.answer(request, peer).await) }
            });
            let mut connection = std::pin::pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            tokio::select! {
                // A client that goes away in mid-request is its own affair.
                _ = connection.as_mut() => return,
                _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        });
    }
    drop(listener);
    drop(stop);
    stopping.send_replace(true);
    // Connections hold receivers until their request in hand is answered.
    let _ = tokio::time::timeout(GRACE, stopping.closed()).await;
    Ok(producer.flush(GRACE)?)
}

struct Capture {
    producer: ThreadedProducer<ToRequests>,
    topic: String,
    /// Where imports of old events go; nowhere else if it is empty.
    historical_topic: String,
    dialect: Dialect,
    drop_list: DropList,
    /// What comes too often of one key, where that is looked at.
    overflow: Option<Overflow>,
    overflow_topic: String,
    started: Instant,
    planted: Planted,
}

/// Why events of a request were not all produced; those before the first failure may have been.
enum NotProduced {
    /// One is larger than Kafka takes.
    TooLarge,
    /// Kafka did not answer in time, or refused.
    Kafka(KafkaError),
}

impl Capture {
    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Full<Bytes>> {
        if request.uri().path().trim_end_matches('/') == V1_PATH && self.dialect == Dialect::V2026 {
            return self.answer_v1(request, peer).await;
        }
        let limit = match request.uri().path().trim_end_matches('/') {
            "/batch" => BATCH_LIMIT,
            "/e" => OTHER_LIMIT,
            "/i/v0/e" if self.dialect != Dialect::V2021 => OTHER_LIMIT,
            // hog-rs had no other routes.
            "/capture" | "/track" | "/engage" if self.dialect != Dialect::V2024 => OTHER_LIMIT,
            "" | "/_readiness" => return text(StatusCode::OK, "capture"),
            "/_liveness" => return text(StatusCode::OK, "ok"),
            _ => return text(StatusCode::NOT_FOUND, ""),
        };
        match *request.method() {
            Method::POST | Method::GET => (),
            Method::OPTIONS => return text(StatusCode::OK, ""),
            _ => return text(StatusCode::METHOD_NOT_ALLOWED, ""),
        }
        let mut captured = match self.capture(request, peer, limit).await {
            Ok(captured) => captured,
            Err(refusal) => {
                let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
                return text(status, &refusal.to_string());
            }
        };
        captured.retain(|event| !self.drop_list.drops(&event.token, &event.distinct_id));
        let mut applied = self.planted.apply(captured);
        if self.dialect != Dialect::V2026 {
            // The plugin server took both from the event itself.
            for event in &mut applied.events {
                (event.event, event.timestamp) = (Cow::default(), Cow::default());
            }
        }
        match self.produce(&applied.events).await {
            // Only a planted defect answers so after it has produced.
            Ok(()) if applied.reject => text(StatusCode::BAD_REQUEST, "the body cannot be read"),
            Ok(()) if self.dialect == Dialect::V2021 => text(StatusCode::OK, r#"{"status":1}"#),
            Ok(()) => text(StatusCode::OK, r#"{"status":"Ok"}"#),
            Err(NotProduced::TooLarge) => text(StatusCode::BAD_REQUEST, "maximum event size exceeded"),
            Err(NotProduced::Kafka(error)) => {
                log(&format!("events could not be produced: {error}"));
                text(StatusCode::SERVICE_UNAVAILABLE, "transient error, please retry")
            }
        }
    }

    async fn capture(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        limit: usize,
    ) -> Result<Vec<CapturedEvent<'static>>, Refusal> {
        let now = Timestamp::now();
        let query = request.uri().query().unwrap_or_default();
        let sent_at_ms = query.split('&').find_map(|pair| pair.strip_prefix("_=")).and_then(|ms| ms.parse().ok());
        let forwarded = request.headers().get("x-forwarded-for").and_then(|value| value.to_str().ok());
        let first = forwarded.and_then(|value| value.split(',').next()).map(str::trim).filter(|ip| !ip.is_empty());
        let ip = first.map_or_else(|| peer.ip().to_string(), str::to_owned);
        let (head, body) = request.into_parts();
        let body = Limited::new(body, limit).collect().await.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                Refusal::TooLarge(limit)
            } else {
                Refusal::Body(error.to_string())
            }
        })?;
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let sent = Sent {
            is_get: head.method == Method::GET,
            content_type: header("content-type"),
            query: head.uri.query().unwrap_or_default(),
            body: &body.to_bytes(),
        };
        let is_engage = head.uri.path().trim_end_matches('/') == "/engage";
        let received = Received { now, ip, sent_at_ms, dialect: self.dialect, is_engage };
        events(&sent.text(self.dialect, limit)?, &received)
    }

    /// v1: a result for each event.
    async fn answer_v1(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Full<Bytes>> {
        match *request.method() {
            Method::POST => (),
            Method::OPTIONS => return text(StatusCode::OK, ""),
            _ => return text(StatusCode::METHOD_NOT_ALLOWED, ""),
        }
        let mut entries = match self.entries(request, peer).await {
            Ok(entries) => entries,
            Err(refusal) => {
                let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
                return text(status, &v1::refused(&refusal));
            }
        };
        for entry in &mut entries {
            let Some(event) = &entry.captured else { continue };
            if self.planted.is_over_quota(&event.token) {
                entry.drop_for("billing_limit_exceeded");
            } else if self.drop_list.drops(&event.token, &event.distinct_id) {
                entry.drop_for("event_restriction_drop");
            }
        }
        let applied = self.planted.apply(entries.iter().filter_map(|entry| entry.captured.clone()).collect());
        for (uuid, error) in self.produce_each(&applied.events).await {
            for entry in entries.iter_mut().filter(|entry| entry.uuid == uuid) {
                match &error {
                    NotProduced::TooLarge => entry.drop_for("event_too_big"),
                    NotProduced::Kafka(error) => {
                        log(&format!("{uuid} could not be produced: {error}"));
                        (entry.result, entry.details) = (v1::EventResult::Retry, Some("not_persisted"));
                    }
                }
            }
        }
        if applied.reject {
            return text(StatusCode::BAD_REQUEST, "the body cannot be read");
        }
        let mut response = text(StatusCode::OK, &v1::reply(&entries));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if entries.iter().any(|entry| entry.result == v1::EventResult::Retry) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }

    async fn entries(&self, request: Request<Incoming>, peer: SocketAddr) -> Result<Vec<v1::Entry>, v1::Refusal> {
        let now = Timestamp::now();
        let (head, body) = request.into_parts();
        let header = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let context = v1::Context::read(&v1::Headers {
            authorization: header("authorization"),
            content_type: header("content-type"),
            content_encoding: header("content-encoding"),
            user_agent: header("user-agent"),
            sdk_info: header("posthog-sdk-info"),
            attempt: header("posthog-attempt"),
            request_id: header("posthog-request-id"),
            request_timestamp: header("posthog-request-timestamp"),
        })?;
        let refused = |status, tag, what: String| v1::Refusal { status, tag, what };
        let body = Limited::new(body, BATCH_LIMIT).collect().await.map_err(|error| {
            let is_long = error.is::<http_body_util::LengthLimitError>();
            let (status, tag) = if is_long { (413, "payload_too_large") } else { (400, "request_parsing_error") };
            refused(status, tag, error.to_string())
        })?;
        let text = encoding::json(&body.to_bytes(), context.is_gzip, BATCH_LIMIT)
            .map_err(|refusal| refused(refusal.status(), "request_parsing_error", refusal.to_string()))?;
        v1::entries(&text, &context, now, &peer.ip().to_string())
    }

    /// Produces all that can be, and tells of those that cannot.
    async fn produce_each(&self, events: &[CapturedEvent<'_>]) -> Vec<(Uuid, NotProduced)> {
        let (deliveries, mut value) = (Deliveries::new(), Vec::new());
        let mut failures = Vec::new();
        for (place, event) in events.iter().enumerate() {
            if let Err(error) = self.enqueue(event, deliveries.of(place), &mut value) {
                failures.push((place, error));
            }
        }
        let told = deliveries.all().await;
        failures.extend(told.into_iter().map(|(place, error)| (place, not_produced(error))));
        let uuid = |place: usize| events.get(place).and_then(|event| Uuid::parse_str(&event.uuid).ok());
        failures.into_iter().map(|(place, error)| (uuid(place).unwrap_or_default(), error)).collect()
    }

    /// Produces in order, stops at the first that cannot be, and waits for all that were.
    async fn produce(&self, events: &[CapturedEvent<'_>]) -> Result<(), NotProduced> {
        let (deliveries, mut value) = (Deliveries::new(), Vec::new());
        let enqueued = events
            .iter()
            .enumerate()
            .try_for_each(|(place, event)| self.enqueue(event, deliveries.of(place), &mut value));
        let told = deliveries.all().await.into_iter().next();
        enqueued.and(told.map_or(Ok(()), |(_, error)| Err(not_produced(error))))
    }

    /// Hands an event to the client library; `value` is room for its text, which all of a request share.
    fn enqueue(&self, event: &CapturedEvent<'_>, awaited: Awaited, value: &mut Vec<u8>) -> Result<(), NotProduced> {
        let key = format!("{}:{}", event.token, event.distinct_id);
        value.clear();
        // These are strings and a flag: they always become JSON.
        let _ = serde_json::to_writer(&mut *value, event);
        let headers = [
            ("token", &event.token),
            ("distinct_id", &event.distinct_id),
            ("event", &event.event),
            ("uuid", &event.uuid),
            ("timestamp", &event.timestamp),
            ("now", &event.now),
        ];
        // Headers came with rust/capture.
        let headers = if self.dialect == Dialect::V2026 { &headers[..] } else { &[] };
        let mut headers = headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |all, (key, value)| {
            all.insert(Header { key, value: Some(value.as_bytes()) })
        });
        if event.force_disable_person_processing {
            headers = headers.insert(Header { key: NO_PERSON_HEADER, value: Some(b"true") });
        }
        let is_import = is_import(self.dialect, event) && !self.historical_topic.is_empty();
        // Imports never overflow.
        let over = self.overflow.as_ref().filter(|_| !is_import).is_some_and(|overflow| {
            let lane = overflow.take(&key, self.started.elapsed());
            if lane == (Lane::Overflow { first: true }) {
                log(&format!("overflow: {key} comes too often"));
            }
            lane != Lane::Main
        });
        let topic = match (is_import, over) {
            (true, _) => &self.historical_topic,
            (false, true) if self.dialect == Dialect::V2026 => &self.overflow_topic,
            _ => &self.topic,
        };
        let record = BaseRecord::with_opaque_to(topic, Box::new(awaited)).payload(value.as_slice()).headers(headers);
        // Without a key they go to all partitions, and their order is lost.
        let record = if over { record } else { record.key(key.as_str()) };
        self.producer.send(record).map_err(|(error, _)| not_produced(error))
    }
}

/// Whether an event is an import of old ones, as its batch says; the Django capture knew none (ingestion contract 1.5).
fn is_import(dialect: Dialect, event: &CapturedEvent<'_>) -> bool {
    event.historical_migration && dialect != Dialect::V2021
}

fn not_produced(error: KafkaError) -> NotProduced {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => NotProduced::TooLarge,
        _ => NotProduced::Kafka(error),
    }
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    response
}
