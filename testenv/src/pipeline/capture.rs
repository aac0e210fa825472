//! The reference capture: HTTP in, Kafka out (PostHog's rust/capture, v0 endpoints).
//!
//! It answers 200 only after Kafka has every event of the request (acks=all). [`encoding`] and [`request`] hold the rules, [`listed`]
//! and [`restrictions`] what an operator does to some events, [`planted`] the planted defects; this file is the process.

pub mod ai;
pub mod beacon;
pub mod blobs;
pub mod buckets;
mod client_address;
mod configuration;
mod cors;
mod deliveries;
pub mod encoding;
mod headers;
mod heatmap;
mod lane;
pub mod listed;
mod lz_string;
mod metrics;
mod names;
pub mod planted;
pub mod recording;
mod repeated;
pub mod request;
mod rerouting;
pub mod restrictions;
pub mod room;
pub mod routes;
mod spoil;
pub mod v1;

use std::{
    borrow::Cow,
    cell::RefCell,
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
    message::OwnedHeaders,
    producer::{BaseRecord, Producer, ThreadedProducer},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use uuid::Uuid;

use self::{
    blobs::BlobStore,
    buckets::{Buckets, Taken},
    deliveries::{Awaited, Deliveries, ToRequests},
    encoding::Sent,
    lane::{Facts, Lane},
    listed::Listed,
    metrics::Metrics,
    names::TopicsOfNames,
    planted::Planted,
    request::{Received, Refusal, events},
    rerouting::Rerouting,
    restrictions::{Applied, Pipeline, Restrictions, Subject},
    room::Room,
    routes::{BATCH_LIMIT, Modes, Route, UNPACKED_LIMIT, V1_UNPACKED_LIMIT, is_legacy, route},
};
use super::{
    captured::CapturedEvent,
    dialect::Dialect,
    settings::{confine, end, log, or, required, say_ready},
};

/// When a client that was too fast may come back, in seconds.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");
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
    let metrics = Metrics::default();
    let producer: ThreadedProducer<ToRequests> = ClientConfig::new()
        .set("bootstrap.servers", required("KAFKA_HOSTS")?)
        .set("acks", "all")
        .set("partitioner", "murmur2_random")
        .set("compression.codec", or("KAFKA_COMPRESSION_CODEC", "lz4".to_owned())?)
        .set("linger.ms", or("KAFKA_PRODUCER_LINGER_MS", 20u32)?.to_string())
        .set("message.timeout.ms", or("KAFKA_MESSAGE_TIMEOUT_MS", 20_000u32)?.to_string())
        .set("message.max.bytes", or("KAFKA_MESSAGE_MAX_BYTES", 1_000_000u32)?.to_string())
        .create_with_context(ToRequests(Arc::clone(&metrics.ingested)))?;
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(or("ADDRESS", "127.0.0.1:0".to_owned())?).await?;
    let port = listener.local_addr()?.port();
    // The first request shall not pay for the metadata.
    let (asking, name) = (producer.clone(), topic.clone());
    tokio::task::spawn_blocking(move || asking.client().fetch_metadata(Some(&name), Duration::from_secs(20)).map(drop))
        .await??;
    let capture = Arc::new(Capture::configured(producer.clone(), topic, metrics)?);
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
                async move {
                    let asked = cors::Asked::read(request.headers());
                    let path = request.uri().path().to_owned();
                    let mut answer = capture.answer(request, peer).await;
                    capture.metrics.answered(&path, answer.status().as_u16());
                    asked.allow(answer.headers_mut());
                    Ok::<_, Infallible>(answer)
                }
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
    drop_list: Listed,
    restrictions: Restrictions,
    /// What is taken to come too often.
    forced_keys: Listed,
    /// Where events go that a restriction puts aside.
    dead_letter_topic: String,
    /// What comes too often of one key, where that is looked at.
    overflow: Option<Buckets>,
    overflow_topic: String,
    /// Whether what comes too often keeps its key.
    preserves_locality: bool,
    topics_of_names: TopicsOfNames,
    rerouting: Rerouting,
    /// Where recordings go.
    recordings_topic: String,
    /// Where those go that overflow.
    recordings_overflow_topic: String,
    modes: Modes,
    /// Where contents of events of AI go that come in parts of their own, if anywhere.
    blob_store: Option<BlobStore>,
    /// How fast a project's requests may come, where that is limited.
    rate_limit: Option<Buckets>,
    started: Instant,
    metrics: Metrics,
    planted: Planted,
}

thread_local! {
    /// A request's events are made and handed over without a pause, so that there is one for each thread.
    static ROOM: RefCell<Room> = RefCell::default();
}

/// A request whose events are with the client library.
struct Accepted {
    /// Whether all of them are.
    enqueued: Result<(), NotProduced>,
    /// What Kafka says of them.
    deliveries: Deliveries,
    /// Whether nobody reads the answer.
    is_beacon: bool,
    /// Whether a planted defect tells the client that nothing was taken.
    rejects: bool,
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
        let (limit, is_engage) = match route(request.uri().path(), self.dialect, &self.modes) {
            Some(Route::Events { limit, is_engage }) => (limit, is_engage),
            Some(Route::V1 { is_ai }) => return self.answer_v1(request, peer, is_ai).await,
            Some(Route::Ai) => return self.answer_ai(request, peer).await,
            Some(Route::Recordings) => return self.answer_recording(request).await,
            Some(Route::BlackHole) => return swallow(request).await,
            Some(Route::Metrics) => {
                let mut answer = text(StatusCode::OK, &self.metrics.text());
                answer.headers_mut().insert(CONTENT_TYPE, metrics::CONTENT_TYPE);
                return answer;
            }
            Some(Route::Text(words)) => return text(StatusCode::OK, words),
            None => return text(StatusCode::NOT_FOUND, ""),
        };
        if let Some(answer) = unless(request.method(), &[Method::POST, Method::GET]) {
            return answer;
        }
        let Accepted { enqueued, deliveries, is_beacon, rejects } =
            match self.accept(request, peer, limit, is_engage).await {
                Ok(accepted) => accepted,
                Err(refusal) => return refused(&refusal),
            };
        match settled(enqueued, deliveries).await {
            // Only a planted defect answers so after it has produced.
            Ok(()) if rejects => text(StatusCode::BAD_REQUEST, "the body cannot be read"),
            Ok(()) if is_beacon => text(StatusCode::NO_CONTENT, ""),
            Ok(()) if self.dialect == Dialect::V2021 => text(StatusCode::OK, r#"{"status":1}"#),
            Ok(()) => text(StatusCode::OK, STORED),
            Err(error) => not_stored(error),
        }
    }

    /// What an operator says of an event; restrictions came in 2025.
    fn applied(&self, event: &CapturedEvent<'_>) -> Applied {
        let pipeline = (self.dialect == Dialect::V2026).then(|| Pipeline::of(&event.event)).flatten();
        pipeline.map_or_else(Applied::default, |pipeline| {
            self.restrictions.of(&Subject {
                pipeline,
                token: &event.token,
                distinct_id: &event.distinct_id,
                session_id: None,
                name: &event.event,
                uuid: &event.uuid,
            })
        })
    }

    /// Whether an event is acknowledged and dropped because an operator says so.
    fn drops(&self, event: &CapturedEvent<'_>) -> bool {
        self.drop_list.holds(&event.token, &event.distinct_id) || self.applied(event).drop
    }

    /// Refuses what comes too fast.
    fn not_too_fast(&self, token: &str) -> Result<(), Refusal> {
        let take = |limit: &Buckets| limit.take(token, self.started.elapsed());
        let is_fine = self.rate_limit.as_ref().is_none_or(|limit| take(limit) == Taken::Within);
        if is_fine { Ok(()) } else { Err(Refusal::TooFast) }
    }

    /// Reads a request, and hands its events over; what is refused is refused before any of them is.
    async fn accept(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        limit: usize,
        is_engage: bool,
    ) -> Result<Accepted, Refusal> {
        let now = Timestamp::now();
        let query = request.uri().query().unwrap_or_default();
        let sent_at_ms = query.split('&').find_map(|pair| pair.strip_prefix("_=")).and_then(|ms| ms.parse().ok());
        let ip = client_address::of(request.headers(), peer).to_string();
        let (head, body) = request.into_parts();
        let body = read(body, limit).await?;
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let query = head.uri.query().unwrap_or_default();
        let sent = Sent {
            is_get: head.method == Method::GET,
            content_type: header("content-type"),
            query,
            body: &body,
            is_legacy: is_legacy(head.uri.path()),
        };
        let received = Received { now, ip, sent_at_ms, dialect: self.dialect, is_engage };
        let text = sent.text(self.dialect, UNPACKED_LIMIT)?;
        ROOM.with_borrow_mut(|room| {
            let events = events(&text, &received, room)?;
            // All events of a request have one token.
            events.first().map_or(Ok(()), |event| self.not_too_fast(&event.token))?;
            Ok(self.hand_over(events, beacon::is_one(self.dialect, query)?))
        })
    }

    /// Produces what is to be produced of a request's events.
    fn hand_over(&self, mut captured: Vec<CapturedEvent<'_>>, is_beacon: bool) -> Accepted {
        // Whose quota is used up is told so, as anybody.
        let is_beacon = is_beacon && captured.first().is_some_and(|event| !self.planted.is_over_quota(&event.token));
        if self.modes.imports_only() {
            captured.retain(|event| event.historical_migration);
        }
        captured.retain(|event| !self.drops(event));
        for event in &mut captured {
            // v0 says so in the event, too; v1 says what the batch says.
            event.historical_migration |= self.is_rerouted(event);
        }
        let mut applied = self.planted.apply(captured);
        if self.dialect != Dialect::V2026 {
            // The plugin server took both from the event itself.
            for event in &mut applied.events {
                (event.event, event.timestamp) = (Cow::default(), Cow::default());
            }
        }
        let (enqueued, deliveries) = self.enqueue_all(&applied.events);
        Accepted { enqueued, deliveries, is_beacon, rejects: applied.reject }
    }

    /// v1: a result for each event.
    async fn answer_v1(&self, request: Request<Incoming>, peer: SocketAddr, is_ai: bool) -> Response<Full<Bytes>> {
        if let Some(answer) = unless(request.method(), &[Method::POST]) {
            return answer;
        }
        let mut entries = match self.entries(request, peer).await {
            Ok(entries) => entries,
            Err(refusal) => {
                let mut answer = text(status(refusal.status), &v1::refused(&refusal));
                if refusal.status == 429 {
                    answer.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
                }
                return answer;
            }
        };
        for entry in &mut entries {
            let Some(event) = &entry.captured else { continue };
            if is_ai && !ai::is_of_ai(&event.event) {
                entry.drop_for("misrouted_event");
            } else if self.modes.imports_only() && !event.historical_migration {
                entry.drop_for("non_historical_import_drop");
            } else if self.planted.is_over_quota(&event.token) {
                entry.drop_for("billing_limit_exceeded");
            } else if self.drops(event) {
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
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }

    /// One event of AI.
    async fn answer_ai(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Full<Bytes>> {
        if let Some(answer) = unless(request.method(), &[Method::POST]) {
            return answer;
        }
        let now = Timestamp::now();
        let (head, body) = request.into_parts();
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let headers = ai::Headers {
            authorization: header("authorization"),
            content_type: header("content-type"),
            content_encoding: header("content-encoding"),
        };
        let accepted = async {
            let ip = client_address::of(&head.headers, peer).to_string();
            let body = read(body, ai::LIMIT).await?;
            let accepted = ai::accept(headers, &body, now, &ip, self.blob_store.as_ref()).await?;
            self.not_too_fast(&accepted.event.token)?;
            Ok(accepted)
        };
        let ai::Accepted { event, reply } = match accepted.await {
            Ok(accepted) => accepted,
            Err(refusal) => return refused(&refusal),
        };
        let mut captured = vec![event];
        captured.retain(|event| !self.drops(event));
        let applied = self.planted.apply(captured);
        let (enqueued, deliveries) = self.enqueue_all(&applied.events);
        match settled(enqueued, deliveries).await {
            Ok(()) if applied.reject => text(StatusCode::BAD_REQUEST, "the body cannot be read"),
            Ok(()) => text(StatusCode::OK, &reply),
            Err(error) => not_stored(error),
        }
    }

    /// Recordings of sessions. They have a quota and restrictions, and neither drop list nor limit of speed
    /// (rust/capture/src/payload/recordings.rs, events/recordings.rs).
    async fn answer_recording(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if let Some(answer) = unless(request.method(), &[Method::POST, Method::GET]) {
            return answer;
        }
        let (head, body) = request.into_parts();
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_beacon = match beacon::is_one(self.dialect, head.uri.query().unwrap_or_default()) {
            Ok(is_beacon) => is_beacon,
            Err(refusal) => return refused(&refusal),
        };
        let stored = || if is_beacon { text(StatusCode::NO_CONTENT, "") } else { text(StatusCode::OK, STORED) };
        let snapshots = async {
            let sent = Sent {
                is_get: head.method == Method::GET,
                content_type: header("content-type"),
                query: head.uri.query().unwrap_or_default(),
                body: &read(body, recording::LIMIT).await?,
                is_legacy: false,
            };
            recording::recorded(&sent.text(self.dialect, recording::LIMIT)?)
        };
        let recorded = match snapshots.await {
            Ok(recorded) => recorded,
            Err(refusal) => return refused(&refusal),
        };
        if self.planted.is_over_quota(&recorded.token) {
            return text(StatusCode::OK, RECORDINGS_OVER_QUOTA);
        }
        let applied = self.restrictions.of(&recorded.subject());
        if applied.drop {
            return stored();
        }
        let topic = match applied {
            Applied { dead_letter: true, .. } => &self.dead_letter_topic,
            Applied { overflow: true, .. } => &self.recordings_overflow_topic,
            _ => &self.recordings_topic,
        };
        let deliveries = Deliveries::new();
        let enqueued = recorded.snapshots.iter().enumerate().try_for_each(|(place, snapshot)| {
            let awaited = Box::new(deliveries.of(place));
            let headers = if applied.dead_letter { headers::aside(OwnedHeaders::new()) } else { OwnedHeaders::new() };
            let headers = if applied.skip_person { headers::without_person(headers) } else { headers };
            let record = BaseRecord::with_opaque_to(topic, awaited).headers(headers);
            let record = record.key(&snapshot.session).payload(&snapshot.data);
            self.producer.send(record).map_err(|(error, _)| not_produced(error))
        });
        settled(enqueued, deliveries).await.map_or_else(not_stored, |()| stored())
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
        let body = read(body, BATCH_LIMIT).await.map_err(|refusal| {
            let is_long = matches!(refusal, Refusal::TooLarge(_));
            let (status, tag) = if is_long { (413, "payload_too_large") } else { (400, "request_parsing_error") };
            refused(status, tag, refusal.to_string())
        })?;
        let text = encoding::json(&body, context.is_gzip, V1_UNPACKED_LIMIT)
            .map_err(|refusal| refused(refusal.status(), "request_parsing_error", refusal.to_string()))?;
        let ip = client_address::of(&head.headers, peer).to_string();
        let entries = v1::entries(&text, &context, now, &ip)?;
        self.not_too_fast(&context.token).map_err(|too_fast| refused(429, "rate_limited", too_fast.to_string()))?;
        Ok(entries)
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

    /// Hands events to the client library in order, and stops at the first that it does not take.
    fn enqueue_all(&self, events: &[CapturedEvent<'_>]) -> (Result<(), NotProduced>, Deliveries) {
        let (deliveries, mut value) = (Deliveries::new(), Vec::new());
        let mut places = events.iter().enumerate();
        let enqueued = places.try_for_each(|(place, event)| self.enqueue(event, deliveries.of(place), &mut value));
        (enqueued, deliveries)
    }

    /// Hands an event to the client library, and with it the one that it makes for heatmaps; `value` is room for its text, which
    /// all of a request share.
    fn enqueue(&self, event: &CapturedEvent<'_>, awaited: Awaited, value: &mut Vec<u8>) -> Result<(), NotProduced> {
        match (self.dialect == Dialect::V2026).then(|| heatmap::split(event)).flatten() {
            None => self.enqueue_one(event, awaited, value),
            Some((left, redirected)) => {
                self.enqueue_one(&left, awaited.again(), value)?;
                self.enqueue_one(&redirected, awaited, value)
            }
        }
    }

    /// The topic that an event has for its name.
    fn topic_of_name(&self, event: &CapturedEvent<'_>) -> Option<&String> {
        (self.dialect == Dialect::V2026).then(|| self.topics_of_names.of(&event.event)).flatten()
    }

    /// Whether an event takes the way of imports for its age. What has a topic by its name keeps that.
    fn is_rerouted(&self, event: &CapturedEvent<'_>) -> bool {
        let may_be = self.dialect == Dialect::V2026 && self.topic_of_name(event).is_none();
        may_be && self.rerouting.takes(&event.timestamp, Timestamp::now)
    }

    fn enqueue_one(&self, event: &CapturedEvent<'_>, awaited: Awaited, value: &mut Vec<u8>) -> Result<(), NotProduced> {
        // Those who come without cookies have one distinct id, and would all be on one partition.
        let id = if event.is_cookieless_mode { &event.ip } else { &event.distinct_id };
        let key = [&event.token, ":", id].concat();
        value.clear();
        event.write(value);
        let of_its_name = self.topic_of_name(event);
        let is_rerouted = self.is_rerouted(event);
        let is_import = is_import(self.dialect, event) || is_rerouted;
        let facts = Facts {
            applied: self.applied(event),
            has_topic_of_name: of_its_name.is_some(),
            is_import: is_import && !self.historical_topic.is_empty(),
            is_forced: self.dialect == Dialect::V2026 && self.forced_keys.holds(&event.token, id),
            forbids_person: event.force_disable_person_processing,
            preserves_locality: self.preserves_locality && self.dialect == Dialect::V2026,
        };
        let way = facts.way(|| self.is_over(&key));
        // Headers came with rust/capture.
        let mut headers = match self.dialect {
            Dialect::V2026 => headers::of(event, way.forbids_person),
            _ => OwnedHeaders::new(),
        };
        let topic = match (way.lane, of_its_name) {
            (Lane::DeadLetters, _) => {
                headers = headers::aside(headers);
                self.topics_of_names.tell(&self.dead_letter_topic, "restriction");
                &self.dead_letter_topic
            }
            (Lane::OfItsName, Some(topic)) => {
                self.topics_of_names.tell(topic, "name");
                topic
            }
            (Lane::Historical, _) => {
                if is_rerouted {
                    self.topics_of_names.tell(&self.historical_topic, "age");
                }
                &self.historical_topic
            }
            (Lane::Overflow, _) if self.dialect == Dialect::V2026 => {
                if facts.applied.overflow || facts.is_forced {
                    let why = if facts.applied.overflow { "restriction" } else { "key" };
                    self.topics_of_names.tell(&self.overflow_topic, why);
                }
                &self.overflow_topic
            }
            _ => &self.topic,
        };
        let record = BaseRecord::with_opaque_to(topic, Box::new(awaited)).payload(value.as_slice()).headers(headers);
        // Without a key they go to all partitions, and their order is lost.
        let record = if way.has_key { record.key(key.as_str()) } else { record };
        self.producer.send(record).map_err(|(error, _)| not_produced(error))
    }

    /// Whether more comes of a key than may, where that is looked at.
    fn is_over(&self, key: &str) -> bool {
        self.overflow.as_ref().is_some_and(|overflow| {
            let taken = overflow.take(key, self.started.elapsed());
            if taken == (Taken::Over { first: true }) {
                log(&format!("overflow: {key} comes too often"));
            }
            taken != Taken::Within
        })
    }
}

/// Whether an event is an import of old ones, as its batch says; the Django capture knew none (ingestion contract 1.5).
fn is_import(dialect: Dialect, event: &CapturedEvent<'_>) -> bool {
    event.historical_migration && dialect != Dialect::V2021
}

/// Waits for all that was `enqueued`, and tells of the first that failed.
async fn settled(enqueued: Result<(), NotProduced>, deliveries: Deliveries) -> Result<(), NotProduced> {
    let told = deliveries.all().await.into_iter().next();
    enqueued.and(told.map_or(Ok(()), |(_, error)| Err(not_produced(error))))
}

fn not_produced(error: KafkaError) -> NotProduced {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => NotProduced::TooLarge,
        _ => NotProduced::Kafka(error),
    }
}

/// What a success says since 2024.
const STORED: &str = r#"{"status":"Ok"}"#;

/// What recorders are told whose quota is used up (rust/capture, `v0_endpoint.rs`: `recording`).
const RECORDINGS_OVER_QUOTA: &str = r#"{"status":"Ok","quota_limited":["recordings"]}"#;

/// Of a body that is too long so much is read and thrown away: who is still sending does not read the answer.
const THROWN_AWAY: usize = 64 << 20;

/// Reads a whole body.
async fn read(mut body: Incoming, limit: usize) -> Result<Bytes, Refusal> {
    match Limited::new(&mut body, limit).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let mut left = THROWN_AWAY;
            while let Some(Ok(frame)) = body.frame().await {
                left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                if left == 0 {
                    break;
                }
            }
            Err(Refusal::TooLarge(limit))
        }
        Err(error) => Err(Refusal::Body(error.to_string())),
    }
}

/// The answer to a request whose method is none of these; browsers ask with OPTIONS first.
fn unless(method: &Method, taken: &[Method]) -> Option<Response<Full<Bytes>>> {
    if *method == Method::OPTIONS {
        Some(text(StatusCode::OK, ""))
    } else if taken.contains(method) {
        None
    } else {
        Some(text(StatusCode::METHOD_NOT_ALLOWED, ""))
    }
}

/// Reads a request to its end, and that is all.
async fn swallow(request: Request<Incoming>) -> Response<Full<Bytes>> {
    if let Some(answer) = unless(request.method(), &[Method::POST, Method::GET]) {
        return answer;
    }
    read(request.into_body(), BATCH_LIMIT)
        .await
        .map_or_else(|refusal| refused(&refusal), |_| text(StatusCode::OK, STORED))
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST)
}

fn refused(refusal: &Refusal) -> Response<Full<Bytes>> {
    let mut answer = text(status(refusal.status()), &refusal.to_string());
    if *refusal == Refusal::TooFast {
        answer.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    }
    answer
}

fn not_stored(error: NotProduced) -> Response<Full<Bytes>> {
    match error {
        NotProduced::TooLarge => text(StatusCode::BAD_REQUEST, "maximum event size exceeded"),
        NotProduced::Kafka(error) => {
            log(&format!("events could not be produced: {error}"));
            text(StatusCode::SERVICE_UNAVAILABLE, "transient error, please retry")
        }
    }
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    response
}
