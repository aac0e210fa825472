//! A run and its phases: up, send, settle, judge, report, down.
//!
//! Whatever happens, what was started is ended: by [`Environment::down`] in good order, by the guard otherwise; and what was
//! broken is healed, in somebody else's pipeline by a process that outlives this one ([`testenv::healer`]). What stands in the way of a verdict is collected as obstacles; only what leaves nothing to judge is a failure.

mod access;
mod distributed;
mod early_stop;
mod environment;
mod exports;
mod faults;
mod feed;
mod idle;
mod preflight;
mod settle;
mod shares;
mod wanted;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use checkers::{
    disturbance::{FaultFacts, Watermark},
    observe::{
        ObserveError,
        clickhouse::Store,
        lag::{LagReader, LagWatch},
        taps::Taps,
        watch::{INTERVAL, Watch, WatchedFor},
    },
    reasons::Reason,
    reconcile::{exports::ExportsWriter, groups::Groups, reads::ReadsWriter, stages::StagesWriter},
    record::RunRecord,
    verdict::Obstacle,
};
use generators::{
    client::{SenderOptions, SenderProgress, target::Target},
    clock::RunClock,
    error_chain::told,
    event::EventSource,
    identity::RunId,
    journal::Header,
    persona::PersonaTable,
    replay::{Imported, Recording},
    timetable::Shard,
    workload::{Traffic, Workload},
};
use jiff::Timestamp;
use reports::{
    limits,
    live::Phase,
    progress::{Progress, Snapshot},
};
use testenv::{environment::EnvironmentError, fault::PlannedFault};
use tokio::sync::watch;

use self::{
    access::Access, early_stop::EarlyStop, environment::unplanned, exports::Recorder, faults::Faults, feed::Feed,
};
pub use self::{
    environment::Environment,
    idle::idle,
    wanted::{Own, Shared, SubstrateSettings, Wanted, executable, unique},
};

use crate::{
    external::{Confirmation, Projects, check_tokens, confirm},
    failure::{Failure, Kind},
    faults::{planned, timeline},
    ledgers::Ledgers,
    manifest::{Conditions, EnvironmentFacts, Machine, Manifest, SCHEMA},
    open_files, plan, plugins,
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
    /// Whether somebody has to agree before anything is sent to somebody else's pipeline.
    pub confirmation: Confirmation,
    /// In how many windows the like of it is sent, which are agreed to as a whole; 1 where it is no soak.
    pub windows: u64,
}

impl Request {
    /// Where the traffic of the run `run` goes.
    fn projects(&self, run: RunId) -> Projects {
        match &self.environment {
            Wanted::External(external) => Projects::Named(external.projects.clone()),
            Wanted::Own(_) | Wanted::Shared(_) => Projects::Own(run),
        }
    }
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
        recording::prepare(&request.scenario, &directory.recording(), Some(&directory.not_understood()), |line| {
            progress.step(line);
        })?;
    let seed = scenario.seed.unwrap_or_else(|| random_bits() >> 1);
    let faults = timeline(&scenario.faults, seed);
    let request = &Request { scenario: Scenario { seed: Some(seed), ..scenario }, ..request.clone() };
    let began = Instant::now();
    let environment = tokio::select! {
        up = Box::pin(Environment::up(request, &faults, &directory, run, progress)) => up?,
        _ = stop.wait_for(|stop| *stop) => return Err(Failure::told(
            Kind::Stopped,
            "stopped before anything was sent",
            "nothing was sent, so there is nothing to judge",
        )),
    };
    progress.step(&format!("ready after {:.1} s", began.elapsed().as_secs_f64()));
    if let Some(limits) = limits::told(&environment.limits()) {
        progress.step(&format!("limits in force: {limits}"));
    }
    let (places, up) = (&directory, &environment);
    let active = Active { request, faults, directory: places, progress, environment: up, recording, imported };
    let result = Box::pin(active.run((run, seed), stop)).await;
    progress.now("taking everything down".into());
    let began = Instant::now();
    match environment.down().await {
        Ok(()) => progress.step(&format!("taken down after {:.1} s", began.elapsed().as_secs_f64())),
        // The run is over and can be judged all the same.
        Err(error) => progress.step(&format!("the run left something behind on the shared substrate: {error}")),
    }
    result?;
    progress.live().phase = Phase::Judging;
    let record = judge_directory(&directory)?;
    progress.live().judged(&record);
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
        let access = self.environment.access();
        let personas = PersonaTable::make(seed, PERSONAS);
        let planned = || {
            // Which day it is; the moment itself is chosen when all is ready.
            let today = RunClock::starting_in(LEAD).start();
            let plan = plan::workload(scenario, &self.request.projects(run), run, seed, today);
            Workload::replaying(plan, personas.clone(), self.recording.as_ref())
        };
        let store = access.store.clone();
        let clickhouse = self.environment.check().await?;
        self.agree(&planned)?;
        if let Wanted::External(external) = &self.request.environment {
            Box::pin(check_tokens(external, &access.capture)).await?;
        }
        // Somebody may have thought for long before agreeing.
        let workload = Arc::new(planned());
        let clock = RunClock::starting_in(LEAD.max(self.request.starts_in));
        self.tell_of_other_shares();
        self.tell_of_groups(&workload, &store);
        let manifest = self.manifest(&workload, personas, clock, clickhouse);
        write_json(&self.directory.manifest(), &manifest)?;
        let header = Header { run, start: clock.start() };
        let reads = ReadsWriter::create(&self.directory.reads(), header)
            .map_err(|error| not_written(&self.directory.reads(), error))?;

        let before = self.environment.usage();
        let taps = self.taps(access, header)?;
        let lag = lag_watch(access, clock)?;
        let by_marker = workload.plan().traffic.iter().any(Traffic::may_lack_uuid);
        let watch = Watch::start(store.clone(), WatchedFor { run, by_marker, every: self.looks_every() }, clock, reads);
        let recorder = self.record_exports(access, &workload, header)?;
        let (stop_sending, sending_stopped) = watch::channel(false);
        let sent = Arc::new(SenderProgress::default());
        let options = sender_options(access.capture.clone());
        let (division, folder) = (self.request.division, self.directory.path());
        let senders = Senders::start(&workload, clock, division, &options, folder, &sent, &sending_stopped)?;

        let early_stop = self.early_stop(header)?;
        let faults = Faults::start(&self.environment.reach(), &self.faults, clock);
        let sources = feed::Sources {
            watch: watch.view(),
            lag: lag.as_ref().map(LagWatch::view),
            sent: Arc::clone(&sent),
            faults: faults.view(),
        };
        let mut sending = Sending {
            workload: &workload,
            watch: &watch,
            sent: &sent,
            lag: lag.as_ref(),
            clock,
            early_stop,
            faults,
            stopped_early: false,
        };
        // From here on something may be broken: whatever goes wrong is told when it is healed.
        let went = match Feed::start(self, &workload, (clock, header), sources) {
            Ok(feed) => self.send(senders, (&stop_sending, stop.clone()), &mut sending).await.map(|told| (feed, told)),
            Err(failure) => Err(failure),
        };
        let Sending { faults, stopped_early, .. } = sending;
        let ((feed, mut obstacles), faults) = faults.end_after(went, &stop_sending).await?;
        obstacles.extend(faults.iter().filter_map(not_carried_out));
        if obstacles.is_empty() && !division.shard.is_whole() {
            shares::wait_for_others(self, header, scenario.expect.settle_limit, stop).await?;
        }
        self.progress.live().phase = Phase::Settling;
        let (mut final_reads, mut has_settled) = (0, false);
        if !obstacles.iter().any(|obstacle| matches!(obstacle, Obstacle::Invalid(_))) {
            let settled =
                settle::settle(self, &workload, &store, &watch, (clock, header), lag.as_ref(), &faults).await?;
            final_reads = settled.final_reads;
            has_settled = settled.obstacle.is_none();
            obstacles.extend(settled.obstacle);
        }
        feed.end().await;
        if let Some(recorder) = recorder {
            // Settling has waited until the exporter was behind in nothing.
            let ended = recorder.end(has_settled && lag.is_some()).await;
            ended.map_err(|error| not_written(&self.directory.exports(), error))?;
        }
        watch.end().await.map_err(|error| not_written(&self.directory.reads(), error))?;
        if let Some(taps) = taps {
            let ended = tokio::task::block_in_place(|| taps.end());
            ended.map_err(|error| not_written(&self.directory.stages(), error))?;
        }
        self.note_course(lag.as_ref())?;
        let warnings = self.warnings(&store).await;
        let ledgers = Ledgers::find(self.directory.path())?;
        let conditions = Conditions {
            schema: SCHEMA,
            obstacles,
            warnings,
            clock_drift_micros: drift_micros(clock),
            final_reads,
            stopped_early,
            faults,
            components: self.environment.used_since(&before),
            greatest_lag: lag.and_then(|lag| lag.greatest()),
            ledgers: ledgers.lengths()?,
            ledger_checksums: ledgers.checksums()?,
        };
        write_json(&self.directory.conditions(), &conditions)
    }

    /// Writes down how far behind consumers were while it ran.
    fn note_course(&self, lag: Option<&LagWatch>) -> Result<(), Failure> {
        lag.map_or(Ok(()), |lag| write_compact_json(&self.directory.lags(), &lag.course()))
    }

    /// Says that groups are sent and not judged, where that is so.
    fn tell_of_groups(&self, workload: &Workload, store: &Store) {
        if Groups::of(workload).is_some() && store.groups().is_none() {
            self.progress.step("note: no table of groups is named, so what becomes of groups is not judged");
        }
    }

    /// Has somebody agree to what is sent to somebody else's pipeline.
    fn agree(&self, planned: &dyn Fn() -> Workload) -> Result<(), Failure> {
        let Wanted::External(external) = &self.request.environment else { return Ok(()) };
        let Request { scenario, confirmation, windows, .. } = self.request;
        let offer = external.offer(scenario, *windows);
        tokio::task::block_in_place(|| confirm(&offer, &planned(), *confirmation, self.progress))
    }

    /// The pipeline's own warnings, how many of each type.
    async fn warnings(&self, store: &Store) -> BTreeMap<String, u64> {
        let Some(table) = self.environment.warnings_table() else { return BTreeMap::new() };
        // They explain, and decide nothing: a run can be judged without them.
        store.warnings(table).await.unwrap_or_else(|error| {
            self.progress.step(&format!("the ingestion warnings could not be read: {}", told(&error)));
            BTreeMap::new()
        })
    }

    /// From the beginning of one look for new rows to that of the next.
    fn looks_every(&self) -> Duration {
        match &self.request.environment {
            Wanted::External(external) => external.clickhouse.look_every,
            Wanted::Own(_) | Wanted::Shared(_) => INTERVAL,
        }
    }

    /// The sequential test, where the run may stop early.
    fn early_stop(&self, header: Header) -> Result<Option<EarlyStop>, Failure> {
        let Scenario { expect, pipeline, .. } = &self.request.scenario;
        let watermark = Watermark { loss_after: expect.loss_after, disturbed: planned(&self.faults) };
        if !expect.targets.may_stop_early {
            return Ok(None);
        }
        let ledgers = Ledgers::find(self.directory.path())?.open(header)?;
        let plugins = plugins::judged(&self.request.scenario);
        Ok(Some(EarlyStop::follow(ledgers, &expect.targets, watermark, (pipeline.dialect, plugins, header.start))))
    }

    /// Notes what plugins export, where they do.
    fn record_exports(
        &self,
        access: &Access,
        workload: &Arc<Workload>,
        header: Header,
    ) -> Result<Option<Recorder>, Failure> {
        let Some(webhook) = access.webhook else { return Ok(None) };
        let path = self.directory.exports();
        let journal = ExportsWriter::create(&path, header).map_err(|error| not_written(&path, error))?;
        let scenario = &self.request.scenario;
        let rules = (scenario.pipeline.dialect, plugins::judged(scenario));
        Ok(Some(Recorder::start(webhook, Arc::clone(workload), rules, journal)))
    }

    /// Taps the topics, where Kafka can be read.
    fn taps(&self, access: &Access, header: Header) -> Result<Option<Taps>, Failure> {
        let Some((kafka, topics)) = access.kafka.as_ref().and_then(|kafka| Some((kafka, kafka.topics.as_ref()?)))
        else {
            return Ok(None);
        };
        let path = self.directory.stages();
        let journal = StagesWriter::create(&path, header).map_err(|error| not_written(&path, error))?;
        let start = || Taps::start(&kafka.at, topics, (header.run, header.start), journal);
        tokio::task::block_in_place(start).map(Some).map_err(kafka_unreadable)
    }

    /// Says how the other shares of the traffic are sent, where there are any.
    fn tell_of_other_shares(&self) {
        if !self.request.division.shard.is_whole() {
            self.progress.step(&format!(
                "share {} of the traffic; send the others with `assay send {} --shard …`, before {} s are over",
                self.request.division.shard,
                self.directory.path().display(),
                self.request.starts_in.as_secs(),
            ));
        }
    }

    /// Sends everything, or until something stops it, as `stop` does when it becomes true; returns what stands in the way of a
    /// verdict.
    async fn send(
        &self,
        mut senders: Senders,
        (stop_sending, mut stop): (&watch::Sender<bool>, watch::Receiver<bool>),
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
                    obstacles.push(Obstacle::Insufficient(format!("{} {before}", Reason::Stopped.words())));
                    stopping = true;
                }
                ended = self.environment.failed(), if !stopping => {
                    self.progress.step(&format!("{ended}"));
                    obstacles.push(unplanned(&ended));
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
            let overdue = self.progress.is_followed().then(|| self.progress.live().overdue);
            let snapshot = Snapshot { overdue, ..sending.snapshot() };
            self.progress.sending(if sends { "sending " } else { "healing " }, &snapshot);
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
        let own = self.environment.external().is_none();
        let started_at = Timestamp::from_microsecond(clock.start().unix_micros()).unwrap_or_default();
        Manifest {
            schema: SCHEMA,
            assay: env!("CARGO_PKG_VERSION").into(),
            scenario: scenario.name.clone(),
            scenario_digest: Some(scenario.digest()),
            started_at: format!("{started_at:.6}"),
            start: clock.start(),
            plan: workload.plan().clone(),
            personas,
            environment: EnvironmentFacts {
                kind: self.request.environment.kind().into(),
                capture: Some(self.environment.access().capture.to_string()),
                kafka: self.request.environment.kafka(),
                clickhouse,
                flush_interval: scenario.pipeline.flush_interval,
                // What somebody else's pipeline is made of is not known.
                partitions: if own { scenario.pipeline.partitions } else { 0 },
                ingesters: if own { scenario.pipeline.ingesters } else { 0 },
                shards: if own { scenario.pipeline.shards } else { 0 },
                dialect: scenario.pipeline.dialect,
                external: self.environment.external().cloned(),
                limits: self.environment.limits(),
            },
            planted_defects: plan::planted_defects(scenario, workload.plan().run),
            plugins: plugins::judged(scenario),
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
    lag: Option<&'a LagWatch>,
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
        let lag = self.lag.map(LagWatch::latest).filter(|lag| *lag < u64::MAX);
        Snapshot { lag, ..snapshot(self.workload, self.watch, self.sent) }
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
        lag: None,
        overdue: None,
    }
}

/// How this process's senders deliver what they send to `target`.
pub fn sender_options(target: Target) -> SenderOptions {
    let connections = open_files::connections();
    SenderOptions { target, shard: Shard::WHOLE, connections, time_out: REPLY_TIME_OUT }
}

fn lag_watch(access: &Access, clock: RunClock) -> Result<Option<LagWatch>, Failure> {
    let Some(kafka) = access.kafka.as_ref().filter(|kafka| !kafka.subscriptions.is_empty()) else { return Ok(None) };
    LagReader::new(&kafka.at, kafka.subscriptions.clone())
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
    let what = |failed| format!("{}{fault}`, planned at {planned_at} s: {failed}", Reason::FaultNotCarriedOut.words());
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
