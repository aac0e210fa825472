//! The reference exporter: stored events in, requests to plugins' webhooks out (PostHog's `clickhouse-plugin-server-async`).
//!
//! It reads `clickhouse_events_json` in a consumer group of its own, so that a webhook that is slow or away holds up nobody's
//! ingestion. What a plugin exports goes out in batches. One that a webhook answers with 5xx, or not at all, is tried again
//! (`exportEvents`' `RetryError`); another 4xx drops it at once. Offsets are committed after delivery: whoever dies in between
//! delivers again, and loses nothing. [`queue`] and [`event`] hold the rules; this file is the process.

pub mod event;
mod planted;
pub mod queue;

use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    message::BorrowedMessage,
};
use reqwest::{Client, header::CONTENT_TYPE};
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
};

use self::{
    event::Stored,
    planted::Planted,
    queue::{Batch, Next, Queue, Taken},
};
use super::{
    membership::Membership,
    plugin::Plugins,
    settings::{confine, end, json, log, or, required},
};

/// What comes within this time goes out together, up to so many messages.
const LINGER: Duration = Duration::from_millis(50);
const MESSAGES: usize = 500;
/// While so many events wait for their delivery nothing more is read.
const MOST_WAITING: usize = 100_000;
/// A webhook that takes longer has not answered.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Plays the role `exporter`.
pub fn serve() -> ExitCode {
    if let Err(error) = confine() {
        return end("exporter", Err(error));
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return end("exporter", Err(error.into())),
    };
    end("exporter", runtime.block_on(run()))
}

async fn run() -> Result<(), Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut terminate = signal(SignalKind::terminate())?;
    let told = Arc::clone(&stop);
    let handle = Handle::current();
    let mut worker = tokio::task::spawn_blocking(move || Exporter::start(handle)?.work(&told));
    tokio::select! {
        result = &mut worker => result?,
        _ = terminate.recv() => {
            stop.store(true, Ordering::Relaxed);
            worker.await?
        }
    }
}

struct Exporter {
    consumer: BaseConsumer<Membership>,
    topic: String,
    plugins: Plugins,
    planted: Planted,
    queue: Queue,
    webhook: String,
    client: Client,
    runtime: Handle,
    began: Instant,
    committed: BTreeMap<i32, i64>,
    /// Whether nothing is read because too much waits.
    is_full: bool,
}

/// How a webhook has taken a batch.
enum Answer {
    Delivered,
    /// It may be another time.
    Failed(String),
    /// It never will be.
    Refused(u16),
}

impl Exporter {
    fn start(runtime: Handle) -> Result<Self, Error> {
        let topic = required("CLICKHOUSE_JSON_EVENTS_KAFKA_TOPIC")?;
        let consumer: BaseConsumer<Membership> = ClientConfig::new()
            .set("bootstrap.servers", required("KAFKA_HOSTS")?)
            .set("group.id", required("EXPORTER_CONSUMER_GROUP_ID")?)
            .set("session.timeout.ms", or("KAFKA_CONSUMPTION_SESSION_TIMEOUT_MS", 10_000u32)?.to_string())
            .set("heartbeat.interval.ms", "500")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("fetch.wait.max.ms", "50")
            // One that is started again under its old name has its partitions back at once.
            .set("group.instance.id", "exporter")
            .create_with_context(Membership::default())?;
        consumer.subscribe(&[&topic])?;
        Ok(Self {
            consumer,
            topic,
            plugins: Plugins::new(json("ASSAY_PLUGINS")?, Duration::ZERO),
            planted: Planted::new(json("ASSAY_PLANTED_DEFECTS")?),
            queue: Queue::new(Duration::try_from_secs_f64(or("ASSAY_EXPORT_BACK_OFF", 3.0)?)?),
            webhook: required("ASSAY_WEBHOOK_URL")?,
            client: Client::builder().timeout(ANSWER_WITHIN).build()?,
            runtime,
            began: Instant::now(),
            committed: BTreeMap::new(),
            is_full: false,
        })
    }

    fn work(mut self, stop: &AtomicBool) -> Result<(), Error> {
        while !stop.load(Ordering::Relaxed) {
            self.pause_where_full()?;
            self.read();
            while let Some(taken) = self.queue.take_due(self.began.elapsed()) {
                self.deliver(taken);
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
            self.commit(CommitMode::Async)?;
        }
        // What is committed asynchronously shall arrive.
        self.committed.clear();
        self.commit(CommitMode::Sync)
    }

    /// Reads nothing more while too much waits; Kafka is asked all the same, or it would take this member for dead.
    fn pause_where_full(&mut self) -> Result<(), Error> {
        let is_full = self.queue.events() >= MOST_WAITING;
        if is_full != self.is_full {
            self.is_full = is_full;
            let partitions = self.consumer.assignment()?;
            if is_full { self.consumer.pause(&partitions) } else { self.consumer.resume(&partitions) }?;
        }
        Ok(())
    }

    /// Reads what comes within the linger time, and queues what of it plugins export.
    fn read(&mut self) {
        let mut batches: BTreeMap<String, Batch> = BTreeMap::new();
        let until = Instant::now() + LINGER;
        for _ in 0..MESSAGES {
            let left = until.saturating_duration_since(Instant::now());
            let Some(polled) = self.consumer.poll(left) else { break };
            match polled {
                Ok(message) => {
                    self.queue.read(message.partition(), message.offset());
                    let matched = matched(&self.plugins, &mut self.planted, &message);
                    for (plugin, outgoing) in matched.into_iter().flatten() {
                        batches.entry(plugin).or_default().add(message.partition(), message.offset(), outgoing);
                    }
                }
                // The client library goes on by itself; nothing was skipped.
                Err(error) => log(&format!("Kafka: {error}")),
            }
        }
        self.planted.end_round();
        let now = self.began.elapsed();
        for (plugin, batch) in batches {
            self.queue.add(&plugin, batch, now);
        }
    }

    fn deliver(&mut self, mut taken: Taken) {
        if self.planted.leave_out(&mut taken.batch) {
            return self.queue.close(&taken);
        }
        let answer = self.post(&taken.plugin, &taken.batch);
        let failed = matches!(answer, Answer::Failed(_));
        let events = taken.batch.events.len();
        if failed && self.planted.give_up(&mut taken.batch, failed) {
            return self.queue.close(&taken);
        }
        match answer {
            Answer::Delivered => {
                // Those that were delivered are looked at as well, so that the defect spreads over the run.
                self.planted.give_up(&mut taken.batch, false);
                self.queue.close(&taken);
            }
            Answer::Refused(status) => {
                log(&format!("dropped {events} events of {}: the webhook answered {status}", taken.plugin));
                self.queue.close(&taken);
            }
            Answer::Failed(why) => {
                let plugin = taken.plugin.clone();
                match self.queue.fail(taken, self.began.elapsed()) {
                    Next::Again(wait) => {
                        log(&format!("{events} events of {plugin} are tried again after {wait:?}: {why}"));
                    }
                    Next::Dropped => log(&format!("dropped {events} events of {plugin}, tried often enough: {why}")),
                }
            }
        }
    }

    fn post(&self, plugin: &str, batch: &Batch) -> Answer {
        let events: Vec<&str> = batch.events.iter().map(|event| event.json.as_str()).collect();
        let plugin = serde_json::Value::from(plugin);
        let body = format!("{{\"plugin\":{plugin},\"batch\":[{}]}}", events.join(","));
        let request = self.client.post(&self.webhook).header(CONTENT_TYPE, "application/json").body(body);
        match self.runtime.block_on(request.send()).map(|response| response.status()) {
            Ok(status) if status.is_success() => Answer::Delivered,
            Ok(status) if status.is_client_error() => Answer::Refused(status.as_u16()),
            Ok(status) => Answer::Failed(format!("the webhook answered {status}")),
            Err(error) => Answer::Failed(format!("the webhook did not answer: {error}")),
        }
    }

    fn commit(&mut self, mode: CommitMode) -> Result<(), Error> {
        let next = self.queue.committable();
        if next.is_empty() || next == self.committed {
            return Ok(());
        }
        let mut offsets = TopicPartitionList::new();
        for (partition, offset) in &next {
            offsets.add_partition_offset(&self.topic, *partition, Offset::Offset(*offset))?;
        }
        match self.consumer.commit(&offsets, mode) {
            Ok(()) => self.committed = next,
            // They are committed with the next ones, or what they stand for is delivered again.
            Err(error) => log(&format!("offsets could not be committed: {error}")),
        }
        Ok(())
    }
}

/// What of a message is exported by which plugin; `None` of one that cannot be read.
fn matched(
    plugins: &Plugins,
    planted: &mut Planted,
    message: &BorrowedMessage<'_>,
) -> Option<Vec<(String, queue::Outgoing)>> {
    let mut exported = || -> serde_json::Result<Vec<(String, queue::Outgoing)>> {
        let stored: Stored<'_> = serde_json::from_slice(message.payload().unwrap_or_default())?;
        let uuid = stored.uuid.to_string();
        let mut properties = stored.properties()?;
        let names: Vec<String> =
            plugins.exporting(stored.team_id, stored.uuid, &stored.event, &properties).map(str::to_owned).collect();
        if names.is_empty() {
            let Some(any) = plugins.any_that_exports().filter(|_| planted.exports_unmatched(&uuid)) else {
                return Ok(Vec::new());
            };
            return Ok(vec![(any.to_owned(), stored.outgoing(&properties)?)]);
        }
        if planted.forgets(&uuid) {
            return Ok(Vec::new());
        }
        planted.spoil(&uuid, &mut properties);
        let outgoing = stored.outgoing(&properties)?;
        Ok(names.into_iter().map(|name| (name, outgoing.clone())).collect())
    };
    exported()
        .inspect_err(|error| {
            log(&format!("passed over ({}/{}): {error}", message.partition(), message.offset()));
        })
        .ok()
}
