//! The reference ingester: captured events in, rows for ClickHouse out (PostHog's nodejs/src/ingestion).
//!
//! Batch by batch: everything is produced and acknowledged, then persons and offsets are written in one transaction, then
//! offsets are committed to Kafka, so that the lag can be read. If it dies in between, the batch is done again: the rows
//! are the same to ClickHouse, which removes the repeats. Several ingesters share the partitions as a consumer group, and
//! the store, which one of them has at a time; a message that another has processed meanwhile is passed over. A message
//! whose plugins take their time is set [`aside`] and holds up nobody else's. [`event`] and [`person`] hold the rules, `step` says what
//! becomes of one message; this file is the process.

mod again;
pub mod age;
pub mod aside;
mod batch_offsets;
mod deliveries;
pub mod elements;
pub mod event;
pub mod group;
pub mod groups;
mod held;
mod outputs;
pub mod person;
mod planted;
mod step;
pub mod store;
mod turn;
pub mod warning;

use std::{
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, ThreadedProducer},
};
use tokio::signal::unix::{SignalKind, signal};

use self::{
    batch_offsets::BatchOffsets,
    deliveries::Deliveries,
    groups::Groups,
    held::Held,
    outputs::{Output, Outputs, changed_rows},
    person::{Changes, Persons},
    planted::Planted,
    step::{State, Teams, incoming, process, process_due},
    store::{Offsets, Store},
};
use super::{
    defect::PlantedDefect,
    dialect::Dialect,
    membership::Membership,
    plugin::Plugins,
    settings::{confine, end, json, log, or, required},
};

/// A batch is what has come meanwhile, but not more messages than this: while one waits for Kafka, nothing else is done.
const BATCH: usize = 4_000;
/// Nor much more than so many bytes of them, since messages may be large.
const BATCH_BYTES: usize = 16 << 20;
/// How long the first message of a batch is waited for before it is asked whether to end.
const IDLE: Duration = Duration::from_millis(100);
const PRODUCE_TIME_OUT: Duration = Duration::from_secs(30);
/// Kafka's brokers take 1 048 588 bytes with what frames a batch of one.
const MESSAGE_LIMIT: u32 = 1_048_000;
/// Before a failed dependency is tried again.
const BACK_OFF: Duration = Duration::from_millis(200);

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Plays the role `ingester`.
pub fn serve() -> ExitCode {
    if let Err(error) = confine() {
        return end("ingester", Err(error));
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return end("ingester", Err(error.into())),
    };
    end("ingester", runtime.block_on(run()))
}

async fn run() -> Result<(), Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut terminate = signal(SignalKind::terminate())?;
    let told = Arc::clone(&stop);
    let mut worker = tokio::task::spawn_blocking(move || Ingester::start()?.work(&told));
    tokio::select! {
        result = &mut worker => result?,
        _ = terminate.recv() => {
            stop.store(true, Ordering::Relaxed);
            worker.await?
        }
    }
}

struct Ingester {
    consumer: BaseConsumer<Membership>,
    producer: ThreadedProducer<Deliveries>,
    deliveries: Deliveries,
    topics: Vec<String>,
    outputs: Outputs,
    teams: Teams,
    store: Store,
    persons: Persons,
    groups: Groups,
    plugins: Plugins,
    planted: Planted,
    /// None but in one that commits before it processes.
    held: Option<Held>,
}

impl Ingester {
    fn start() -> Result<Self, Error> {
        let hosts = required("KAFKA_HOSTS")?;
        // Several are separated by commas.
        let topics = required("INGESTION_CONSUMER_CONSUME_TOPIC")?;
        let topics: Vec<String> = topics.split(',').map(str::to_owned).collect();
        let deliveries = Deliveries::default();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &hosts)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("compression.codec", or("KAFKA_COMPRESSION_CODEC", "lz4".to_owned())?)
            .set("linger.ms", "5")
            .set("message.max.bytes", MESSAGE_LIMIT.to_string())
            .set("message.timeout.ms", PRODUCE_TIME_OUT.as_millis().to_string())
            .set("queue.buffering.max.messages", "200000")
            .create_with_context(deliveries.clone())?;
        let dialect = or("DIALECT", Dialect::default())?;
        let store = Store::open(Path::new(&required("ASSAY_PERSON_STORE")?))?;
        let defects: Vec<PlantedDefect> = json("ASSAY_PLANTED_DEFECTS")?;
        let held = Held::new(&defects, or("INGESTION_CONSUMER_GROUP_INSTANCE_ID", String::new())?, &store)?;
        Ok(Self {
            consumer: join(&topics)?,
            producer,
            deliveries,
            topics,
            outputs: Outputs {
                events: required("CLICKHOUSE_JSON_EVENTS_KAFKA_TOPIC")?,
                persons: required("CLICKHOUSE_PERSON_KAFKA_TOPIC")?,
                distinct_ids: required("CLICKHOUSE_PERSON_DISTINCT_ID_KAFKA_TOPIC")?,
                groups: Some(or("CLICKHOUSE_GROUPS_KAFKA_TOPIC", String::new())?).filter(|topic| !topic.is_empty()),
                dead_letters: required("INGESTION_CONSUMER_DLQ_TOPIC")?,
                warnings: Some(or("CLICKHOUSE_INGESTION_WARNINGS_KAFKA_TOPIC", String::new())?)
                    .filter(|topic| !topic.is_empty()),
            },
            teams: Teams { of_token: json("ASSAY_TEAMS")?, age_limits: json("ASSAY_DROP_EVENTS_OLDER_THAN")? },
            store,
            persons: Persons::new(dialect),
            groups: Groups::default(),
            plugins: Plugins::new(json("ASSAY_PLUGINS")?, Duration::try_from_secs_f64(or("TASK_TIMEOUT", 30.0)?)?),
            planted: Planted::new(defects),
            held,
        })
    }

    fn work(mut self, stop: &AtomicBool) -> Result<(), Error> {
        let (mut last, mut properties) = (Offsets::new(), String::new());
        while !stop.load(Ordering::Relaxed) || self.held.as_ref().is_some_and(|held| held.has_due(true)) {
            let ends = stop.load(Ordering::Relaxed);
            self.go_back(stop)?;
            let first = if ends { None } else { self.consumer.poll(IDLE) };
            let is_due = self.plugins.may_take_time() && self.store.is_due(Timestamp::now())?;
            if first.is_none() && !is_due && !self.held.as_ref().is_some_and(|held| held.has_due(ends)) {
                continue;
            }
            if self.store.begin()? {
                self.persons.forget();
                self.groups = Groups::default();
            }
            let (mut outputs, mut offsets) = (Vec::new(), BatchOffsets::default());
            let mut state = State {
                persons: &mut self.persons,
                groups: &mut self.groups,
                store: &mut self.store,
                plugins: &self.plugins,
                planted: &mut self.planted,
                properties: &mut properties,
            };
            if is_due && self.held.is_none() {
                // They came before whatever comes now.
                process_due(&mut state, &self.teams, &self.outputs, BATCH, &mut outputs)?;
            }
            let (mut polled, mut messages, mut bytes, mut expelled) = (first, 0, 0, false);
            while let Some(message) = polled.take() {
                let message = match message {
                    Ok(message) => message,
                    Err(error) => {
                        // The client library goes on by itself, unless it says that it cannot; nothing was skipped.
                        log(&format!("Kafka: {error}"));
                        expelled = matches!(error, KafkaError::MessageConsumptionFatal(_));
                        break;
                    }
                };
                messages += 1;
                bytes += message.payload_len();
                let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
                let before = || state.store.next_offset(topic, partition).map(Option::unwrap_or_default);
                let due = offsets.due(topic, partition, before)?;
                // One below was processed before, by this ingester or by another one.
                if offset >= due || state.planted.is_again(topic, partition, offset) {
                    offsets.moves_to(offset + 1);
                    match &mut self.held {
                        Some(held) => held.take(state.store, &message)?,
                        None => process(&mut state, &self.teams, &self.outputs, &incoming(&message), &mut outputs)?,
                    }
                }
                if messages < BATCH && bytes < BATCH_BYTES {
                    polled = self.consumer.poll(Duration::ZERO);
                }
            }
            let next = offsets.moved();
            let mut released = Vec::new();
            if let Some(held) = &mut self.held {
                state.store.write(&Changes::default(), &next)?;
                commit(&self.consumer, &next, CommitMode::Async)?;
                if state.store.begin()? {
                    state.persons.forget();
                    *state.groups = Groups::default();
                }
                if is_due {
                    process_due(&mut state, &self.teams, &self.outputs, BATCH, &mut outputs)?;
                }
                released = held.release(ends);
                for message in &released {
                    process(&mut state, &self.teams, &self.outputs, &incoming(message), &mut outputs)?;
                }
            }
            let changes = Changes { groups: self.groups.states.changes(), ..self.persons.changes() };
            outputs.extend(changed_rows(&self.outputs, &changes)?);
            if !self.produce(&outputs, stop) {
                // Told to end while Kafka was away: the batch will be done again.
                return Ok(());
            }
            drop(outputs);
            if let Some(held) = &self.held {
                held.forget(&self.store, &released)?;
            }
            // Of what was held that was written before, and somebody else may have gone on from there meanwhile.
            let none = Offsets::new();
            self.store.write(&changes, if self.held.is_some() { &none } else { &next })?;
            if !next.is_empty() {
                // Messages that were set aside have no offsets of their own.
                last = next;
            }
            self.persons.written();
            self.groups.states.written();
            commit(&self.consumer, &last, CommitMode::Async)?;
            if expelled {
                // While Kafka stood still it may have taken this one's attempts to come back for another's.
                self.join_again(stop);
            }
        }
        // What is committed asynchronously shall arrive.
        commit(&self.consumer, &last, CommitMode::Sync)
    }

    /// With `reprocess_on_restart`: back to what was processed before, in the partitions that were just given to this one.
    fn go_back(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        if !self.planted.may_go_back() || !self.consumer.context().takes_new_share() {
            return Ok(());
        }
        let mut next = Offsets::new();
        for partition in self.consumer.assignment()?.elements() {
            let place = (partition.topic().to_owned(), partition.partition());
            if let Some(offset) = self.store.next_offset(&place.0, place.1)? {
                next.insert(place, offset);
            }
        }
        for ((topic, partition), offset) in self.planted.go_back(next) {
            // Until the client library has begun to read a partition, it cannot be told to read elsewhere.
            while let Err(error) = self.consumer.seek(&topic, partition, Offset::Offset(offset), PRODUCE_TIME_OUT) {
                log(&format!("partition {partition} cannot be read again from {offset} yet: {error}"));
                if stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                std::thread::sleep(BACK_OFF);
            }
        }
        Ok(())
    }

    /// Joins the group anew, as often as it takes, unless told to end.
    fn join_again(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            match join(&self.topics) {
                Ok(consumer) => {
                    self.consumer = consumer;
                    return;
                }
                Err(error) => log(&format!("the consumer group cannot be joined: {error}")),
            }
            std::thread::sleep(BACK_OFF);
        }
    }

    /// Produces everything and waits until Kafka has it, as often as it takes; false if told to end before.
    fn produce(&self, outputs: &[Output<'_>], stop: &AtomicBool) -> bool {
        loop {
            let enqueued = outputs.iter().try_for_each(|output| self.enqueue(output));
            // Deliveries of this attempt are all waited for, also when one failed: none may be taken for the next one's.
            match enqueued.and(self.deliveries.wait()) {
                Ok(()) => return true,
                Err(error) => log(&format!("a batch could not be produced and is tried again: {error}")),
            }
            if stop.load(Ordering::Relaxed) {
                return false;
            }
            std::thread::sleep(BACK_OFF);
        }
    }

    fn enqueue(&self, output: &Output<'_>) -> Result<(), KafkaError> {
        let record = || {
            let record = BaseRecord::to(output.topic).key(&output.key).payload(&output.payload);
            match &output.headers {
                Some(headers) => record.headers(headers.clone()),
                None => record,
            }
        };
        loop {
            match self.producer.send(record()) {
                Ok(()) => {
                    self.deliveries.expect_one();
                    return Ok(());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                // Trying again would never help, and hold up everybody else's events (contract 2.5).
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), _)) => {
                    log(&format!("dropped {} for {}: message_size_too_large", output.key, output.topic));
                    return output.otherwise.as_deref().map_or(Ok(()), |warning| self.enqueue(warning));
                }
                Err((error, _)) => return Err(error),
            }
        }
    }
}

fn commit(consumer: &BaseConsumer<Membership>, next: &Offsets, mode: CommitMode) -> Result<(), Error> {
    if next.is_empty() {
        return Ok(());
    }
    let mut offsets = TopicPartitionList::new();
    for ((topic, partition), next) in next {
        offsets.add_partition_offset(topic, *partition, Offset::Offset(*next))?;
    }
    // The store is the truth; Kafka's copy is there for whoever reads the lag.
    if let Err(error) = consumer.commit(&offsets, mode) {
        log(&format!("offsets could not be committed: {error}"));
    }
    Ok(())
}

/// A consumer that joins the group; the ingester is ready when it has its share of the partitions. Kafka tells where each
/// begins, and where that is behind the store, the store knows better.
fn join(topics: &[String]) -> Result<BaseConsumer<Membership>, Error> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", required("KAFKA_HOSTS")?)
        .set("group.id", required("INGESTION_CONSUMER_GROUP_ID")?)
        .set("session.timeout.ms", or("KAFKA_CONSUMPTION_SESSION_TIMEOUT_MS", 10_000u32)?.to_string())
        // A member that comes or goes waits for the others to notice.
        .set("heartbeat.interval.ms", "500")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        // Under load many messages come at once, and without it none waits for long. A request costs Kafka far more than a
        // message.
        .set("fetch.min.bytes", "1048576")
        .set("fetch.wait.max.ms", "100");
    // One that is started again under its old name has its partitions back at once.
    let name = or("INGESTION_CONSUMER_GROUP_INSTANCE_ID", String::new())?;
    if !name.is_empty() {
        config.set("group.instance.id", name);
    }
    let consumer: BaseConsumer<Membership> = config.create_with_context(Membership::default())?;
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(20))?;
        if metadata.topics().iter().all(|topic| topic.partitions().is_empty()) {
            return Err(format!("the topic {topic} does not exist").into());
        }
    }
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics)?;
    Ok(consumer)
}
