//! A run and its phases: up, send, settle, judge, report, down.
//!
//! Whatever happens, what was started is ended: by [`Environment::down`] in good order, by the guard otherwise. What
//! stands in the way of a verdict is collected as obstacles; only what leaves nothing to judge is a failure.

mod early_stop;
mod environment;
mod faults;
mod preflight;
mod settle;
mod shares;
mod wanted;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use checkers::{
    disturbance::{FaultFacts, Watermark},
    observe::{
        ObserveError,
        clickhouse::{Store, StoreAddress},
        lag::{LagReader, LagWatch, Subscription},
        taps::{TappedTopics, Taps},
        watch::{Watch, WatchedFor},
    },
    reconcile::{reads::ReadsWriter, stages::StagesWriter},
    record::RunRecord,
    verdict::Obstacle,
};
use generators::{
    client::{SenderOptions, SenderProgress, target::Target},
    clock::RunClock,
    event::EventSource,
    identity::RunId,
    journal::Header,
    persona::PersonaTable,
    random::Share,
    replay::{Imported, Recording},
    timetable::Shard,
    workload::Workload,
};
use jiff::Timestamp;
use reports::progress::{Progress, Snapshot};
use testenv::{
    environment::{Endpoints, EnvironmentError},
    fault::PlannedFault,
};
use tokio::sync::watch;

use self::{early_stop::EarlyStop, faults::Faults};
pub use self::{
    environment::Environment,
    wanted::{Own, Shared, SubstrateSettings, Wanted},
};

use crate::{
    failure::{Failure, Kind},
    faults::{planned, timeline},
    ledgers::Ledgers,
    manifest::{Conditions, EnvironmentFacts, Machine, Manifest, SCHEMA},
    open_files, plan,
    recording::{self, Prepared},
    reporting,
    run_directory::{RunDirectory, not_written, write_compact_json, write_json},
    scenario::Scenario,
    senders::{Division, Senders},
    stored::{damaged, judge_directory},
};

/// Between the making of the clock and the first event, for what is written before it.
const LEAD: Duration = Duration::from_millis(300);
/// How often progress is shown and the state is looked at.
const TICK: Duration = Duration::from_millis(100);
/// As many personas are enough for believable variety.
pub const PERSONAS: usize = 64;
/// Asking Kafka for the lag costs it a little, so it rests between two answers.
const LAG_PAUSE: Duration = Duration::from_millis(300);
/// A reply that takes longer counts as none.
const REPLY_TIME_OUT: Duration = Duration::from_secs(15);

/// What to run.
#[derive(Debug, Clone)]
pub struct Request {
    /// The scenario.
    pub scenario: Scenario,
    /// The folder that runs are kept in.
    pub out: PathBuf,
    /// Where else the JUnit report goes.
    pub junit: Option<PathBuf>,
    /// Where the pipeline runs.
    pub environment: Wanted,
    /// Who sends what.
    pub division: Division,
    /// How long after all is ready sending starts, at least.
    pub starts_in: Duration,
    /// The command that asks for it, but for its seed.
    pub command: Option<String>,
}

/// Runs `request`; `stop` becomes true when the user wants it to end.
///
/// # Errors
/// When there is nothing to judge, or nowhere to write.
pub async fn run(
    request: &Request,
    progress: &Progress,
    mut stop: watch::Receiver<bool>,
) -> Result<(RunRecord, RunDirectory), Failure> {
    let run = RunId::new(random_bits());
    let directory = RunDirectory::create(&request.out, &request.scenario.name, run, Timestamp::now())?;
    let Prepared { scenario, recording, imported } =
        recording::prepare(&request.scenario, &directory.recording(), &directory.not_understood(), |line| {
            progress.step(line);
        })?;
    let seed = scenario.seed.unwrap_or_else(|| random_bits() >> 1);
    let faults = timeline(&scenario.faults, seed);
    let request = &Request { scenario: Scenario { seed: Some(seed), ..scenario }, ..request.clone() };
    let began = Instant::now();
    let environment = tokio::select! {
        up = Environment::up(request, &faults, &directory, run, progress) => up?,
        _ = stop.wait_for(|stop| *stop) => return Err(Failure::told(
            Kind::Stopped,
            "stopped before anything was sent",
            "nothing was sent, so there is nothing to judge",
        )),
    };
    progress.step(&format!("ready after {:.1} s", began.elapsed().as_secs_f64()));
    let (places, up) = (&directory, &environment);
    let active = Active { request, faults, directory: places, progress, environment: up, recording, imported };
    let result = active.run((run, seed), stop).await;
    progress.now("taking everything down".into());
    if let Err(error) = environment.down().await {
        // The run is over and can be judged all the same.
        progress.step(&format!("the run left something behind on the shared substrate: {error}"));
    }
    result?;
    let record = judge_directory(&directory)?;
    reporting::write(&record, &directory, request.junit.as_deref())?;
    directory.point_latest()?;
    Ok((record, directory))
}

/// The failure to have an environment.
pub fn unavailable(error: EnvironmentError) -> Failure {
    let help = error.help();
    Failure::caused(Kind::Unavailable, "the environment could not be started", help, error)
}

/// A run whose environment is up.
struct Active<'a> {
    request: &'a Request,
    faults: Vec<PlannedFault>,
    directory: &'a RunDirectory,
    progress: &'a Progress,
    environment: &'a Environment,
    recording: Option<Arc<Recording>>,
    imported: Option<Imported>,
}

impl Active<'_> {
    /// Sends, settles and writes down how it ended. What was found is in the run's directory afterwards.
    async fn run(&self, (run, seed): (RunId, u64), stop: watch::Receiver<bool>) -> Result<(), Failure> {
        let scenario = &self.request.scenario;
        let endpoints = self.environment.pipeline().endpoints();
        let personas = PersonaTable::make(seed, PERSONAS);
        // Which day it is; the moment itself is chosen when all is ready.
        let today = RunClock::starting_in(LEAD).start();
        let plan = plan::workload(scenario, run, seed, today);
        let workload = Arc::new(Workload::replaying(plan, personas.clone(), self.recording.as_ref()));
        let store = store_at(endpoints);
        let clickhouse = preflight::check(endpoints, &store).await?;
        let clock = RunClock::starting_in(LEAD.max(self.request.starts_in));
        if !self.request.division.shard.is_whole() {
            self.progress.step(&format!(
                "share {} of the traffic; send the others with `assay send {} --shard …`, before {} s are over",
                self.request.division.shard,
                self.directory.path().display(),
                self.request.starts_in.as_secs(),
            ));
        }
        let manifest = self.manifest(&workload, personas, clock, clickhouse);
        write_json(&self.directory.manifest(), &manifest)?;
        let header = Header { run, start: clock.start() };
        let reads = ReadsWriter::create(&self.directory.reads(), header)
            .map_err(|error| not_written(&self.directory.reads(), error))?;

        let before = self.environment.usage();
        let taps = self.taps(endpoints, header)?;
        let lag = lag_watch(endpoints, clock)?;
        let by_marker = workload.plan().traffic.iter().any(|traffic| traffic.disorder.no_uuid > Share::default());
        let watch = Watch::start(store.clone(), WatchedFor { run, by_marker }, clock, reads);
        let (stop_sending, sending_stopped) = watch::channel(false);
        let sent = Arc::new(SenderProgress::default());
        let options = sender_options(Target::http(endpoints.capture));
        let (division, folder) = (self.request.division, self.directory.path());
        let senders = Senders::start(&workload, clock, division, &options, folder, &sent, &sending_stopped)?;

        let early_stop = self.early_stop(header)?;
        let faults = Faults::start(&self.environment.parts(), &self.faults, clock);
        let mut sending = Sending {
            workload: &workload,
            watch: &watch,
            sent: &sent,
            clock,
            early_stop,
            faults,
            stopped_early: false,
        };
        let mut obstacles = self.send(senders, (stop_sending, stop.clone()), &mut sending).await?;
        let Sending { faults, stopped_early, .. } = sending;
        let faults = faults.end().await;
        obstacles.extend(faults.iter().filter_map(not_carried_out));
        if obstacles.is_empty() && !division.shard.is_whole() {
            shares::wait_for_others(self, header, scenario.expect.settle_limit, stop).await?;
        }
        let mut final_reads = 0;
        if !obstacles.iter().any(|obstacle| matches!(obstacle, Obstacle::Invalid(_))) {
            let settled =
                settle::settle(self, &workload, &store, &watch, (clock, header), lag.as_ref(), &faults).await?;
            final_reads = settled.final_reads;
            obstacles.extend(settled.obstacle);
        }
        watch.end().await.map_err(|error| not_written(&self.directory.reads(), error))?;
        if let Some(taps) = taps {
            let ended = tokio::task::block_in_place(|| taps.end());
            ended.map_err(|error| not_written(&self.directory.stages(), error))?;
        }
        if let Some(lag) = &lag {
            write_compact_json(&self.directory.lags(), &lag.course())?;
        }
        let conditions = Conditions {
            schema: SCHEMA,
            obstacles,
            clock_drift_micros: drift_micros(clock),
            final_reads,
            stopped_early,
            faults,
            components: self.environment.used_since(&before),
            greatest_lag: lag.and_then(|lag| lag.greatest()),
        };
        write_json(&self.directory.conditions(), &conditions)
    }

    /// The sequential test, where the run may stop early.
    fn early_stop(&self, header: Header) -> Result<Option<EarlyStop>, Failure> {
        let Scenario { expect, pipeline, .. } = &self.request.scenario;
        let watermark = Watermark { loss_after: expect.loss_after, disturbed: planned(&self.faults) };
        if !expect.targets.may_stop_early {
            return Ok(None);
        }
        let ledgers = Ledgers::find(self.directory.path())?.open(header)?;
        Ok(Some(EarlyStop::follow(ledgers, &expect.targets, watermark, pipeline.dialect)))
    }

    /// Taps the topics, where Kafka can be read.
    fn taps(&self, endpoints: &Endpoints, header: Header) -> Result<Option<Taps>, Failure> {
        let Some(kafka) = &endpoints.kafka else { return Ok(None) };
        let path = self.directory.stages();
        let journal = StagesWriter::create(&path, header).map_err(|error| not_written(&path, error))?;
        let topics = TappedTopics {
            capture: kafka.capture_topics.clone(),
            dead_letters: kafka.dead_letter_topic.clone(),
            events: kafka.events_topic.clone(),
        };
        let start = || Taps::start(&kafka.brokers, &topics, (header.run, header.start), journal);
        tokio::task::block_in_place(start).map(Some).map_err(kafka_unreadable)
    }

    /// Sends everything, or until something stops it, as `stop` does when it becomes true; returns what stands in the way of a
    /// verdict.
    async fn send(
        &self,
        mut senders: Senders,
        (stop_sending, mut stop): (watch::Sender<bool>, watch::Receiver<bool>),
        sending: &mut Sending<'_>,
    ) -> Result<Vec<Obstacle>, Failure> {
        let mut obstacles = Vec::new();
        let mut stopping = false;
        // Sending goes on while faults do, and faults may go on after it.
        let (mut sends, mut disturbs) = (true, true);
        while sends || disturbs {
            tokio::select! {
                () = senders.finished(), if sends => sends = false,
                news = sending.faults.next(), if disturbs => match news {
                    Some(line) => self.progress.step(&line),
                    None => disturbs = false,
                },
                Ok(_) = stop.wait_for(|stop| *stop), if !stopping => {
                    self.progress.step("stopped: what was sent is settled and judged; once more leaves at once");
                    let before = if sends { "everything was sent" } else { "its last fault was healed" };
                    obstacles.push(Obstacle::Insufficient(format!("the run was stopped before {before}")));
                    stopping = true;
                }
                ended = self.environment.failed(), if !stopping => {
                    self.progress.step(&format!("{ended}"));
                    obstacles.push(Obstacle::Invalid(format!("the environment failed: {ended}")));
                    stopping = true;
                }
                () = tokio::time::sleep(TICK) => {
                    // Its journal could not be written; ending the watch tells why.
                    stopping |= sending.watch.has_ended();
                    if !stopping && sending.has_its_answer()? {
                        self.progress.step("the sequential test has its answer: sending ends early");
                        sending.stopped_early = true;
                        stopping = true;
                    }
                }
            }
            if stopping {
                // The sender ends after the requests in hand were answered.
                let _ = stop_sending.send(true);
                sending.faults.stop();
            }
            self.progress.now(sending.snapshot().line(if sends { "sending " } else { "healing " }));
        }
        senders.join().map_err(|error| {
            Failure::caused(
                Kind::Unavailable,
                "sending had to be given up",
                "make room on the disk, or name another folder with --out DIR; what is in the run's directory can be \
                 judged with `assay check`",
                error,
            )
        })?;
        Ok(obstacles)
    }

    fn manifest(&self, workload: &Workload, personas: PersonaTable, clock: RunClock, clickhouse: String) -> Manifest {
        let scenario = &self.request.scenario;
        let started_at = Timestamp::from_microsecond(clock.start().unix_micros()).unwrap_or_default();
        Manifest {
            schema: SCHEMA,
            assay: env!("CARGO_PKG_VERSION").into(),
            scenario: scenario.name.clone(),
            started_at: format!("{started_at:.6}"),
            start: clock.start(),
            plan: workload.plan().clone(),
            personas,
            environment: EnvironmentFacts {
                kind: self.request.environment.kind().into(),
                capture: Some(Target::http(self.environment.pipeline().endpoints().capture).to_string()),
                kafka: self.request.environment.kafka(),
                clickhouse,
                flush_interval: scenario.pipeline.flush_interval,
                partitions: scenario.pipeline.partitions,
                ingesters: scenario.pipeline.ingesters,
                dialect: scenario.pipeline.dialect,
            },
            planted_defects: plan::planted_defects(scenario, workload.plan().run),
            faults: self.faults.clone(),
            targets: scenario.expect.targets,
            allowances: scenario.expect.allowances,
            loss_after: scenario.expect.loss_after,
            quiet: scenario.expect.quiet,
            settle_limit: scenario.expect.settle_limit,
            recording: self.imported,
            machine: Machine::this(),
            command: self.request.command.clone(),
        }
    }
}

/// What is looked at while sending.
struct Sending<'a> {
    workload: &'a Workload,
    watch: &'a Watch,
    sent: &'a SenderProgress,
    clock: RunClock,
    early_stop: Option<EarlyStop>,
    faults: Faults,
    stopped_early: bool,
}

impl Sending<'_> {
    /// Whether the run may stop early, and can.
    fn has_its_answer(&mut self) -> Result<bool, Failure> {
        let Some(early_stop) = &mut self.early_stop else { return Ok(false) };
        let watched = self.watch.watched();
        let crossed = early_stop.look(self.clock.elapsed(), self.workload, &watched.seen).map_err(damaged)?;
        Ok(crossed.is_some())
    }

    fn snapshot(&self) -> Snapshot {
        snapshot(self.workload, self.watch, self.sent)
    }
}

fn snapshot(workload: &Workload, watch: &Watch, sent: &SenderProgress) -> Snapshot {
    Snapshot {
        planned: workload.streams().into_iter().map(|stream| workload.planned(stream)).sum(),
        sent: sent.sent.load(Ordering::Relaxed),
        acked: sent.acked.load(Ordering::Relaxed),
        failed: sent.failed.load(Ordering::Relaxed),
        visible: watch.watched().seen.count(),
        late: Duration::from_micros(sent.late_micros.load(Ordering::Relaxed)),
    }
}

/// How this process's senders deliver what they send to `target`.
pub fn sender_options(target: Target) -> SenderOptions {
    let connections = open_files::connections();
    SenderOptions { target, shard: Shard::WHOLE, connections, time_out: REPLY_TIME_OUT }
}

fn store_at(endpoints: &Endpoints) -> Store {
    let clickhouse = &endpoints.clickhouse;
    Store::new(StoreAddress {
        url: &clickhouse.url,
        user: &clickhouse.user,
        password: &clickhouse.password,
        database: &clickhouse.database,
        table: &clickhouse.events_table,
    })
}

fn lag_watch(endpoints: &Endpoints, clock: RunClock) -> Result<Option<LagWatch>, Failure> {
    let Some(kafka) = &endpoints.kafka else { return Ok(None) };
    let subscriptions = kafka.subscriptions.iter();
    let subscriptions =
        subscriptions.map(|(group, topic)| Subscription { group: group.clone(), topic: topic.clone() }).collect();
    LagReader::new(&kafka.brokers, subscriptions)
        .and_then(|reader| LagWatch::start(reader, LAG_PAUSE, clock))
        .map(Some)
        .map_err(kafka_unreadable)
}

fn kafka_unreadable(error: ObserveError) -> Failure {
    Failure::caused(Kind::Unavailable, "Kafka cannot be read", "its log is in the run's directory", error)
}

/// What it means for the run that a fault could not be carried out, or not be healed.
fn not_carried_out(fault: &FaultFacts) -> Option<Obstacle> {
    let FaultFacts { fault, planned_at, failed, .. } = fault;
    let what = |failed| format!("the fault `{fault}`, planned at {planned_at} s: {failed}");
    failed.as_ref().map(|failed| Obstacle::Invalid(what(failed)))
}

/// How far the wall clock moved against the monotonic one since the start.
fn drift_micros(clock: RunClock) -> i64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as i64;
    wall - clock.start().unix_micros() - clock.elapsed().as_micros() as i64
}

fn random_bits() -> u64 {
    rand::random()
}
