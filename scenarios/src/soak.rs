//! A soak: the scenario's traffic window after window, for hours or days, and one verdict over all of it.
//!
//! Every window is a whole run with a directory, a verdict and reports of its own below the soak's, on a Kafka and a ClickHouse
//! that stay up (or on somebody's own pipeline, which does altogether); what a run has made in them goes with it. After each
//! window the soak's own verdict and reports are written anew, and old windows are deleted, so that memory and disk stay
//! what they are. [`state`] is what is needed to go on when Assay itself was restarted.

mod state;

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use checkers::{
    record::RunRecord,
    soak::{Rules, Standing},
    verdict::Verdict,
};
use generators::identity::RunId;
use jiff::Timestamp;
use reports::{
    figures::{count, quantile},
    live::{Phase, RoundEnd},
    progress::Progress,
};
use tokio::sync::watch::Receiver;

use self::state::State;
use crate::{
    external::Confirmation,
    failure::Failure,
    reporting,
    rounds::{Place, rotation},
    run_directory::{RunDirectory, read_json, write_json},
    runner::{self, Request},
    scenario::{self, Scenario},
    stored::judge_directory,
};

/// A window that could not be made is tried again so often; then the soak gives up.
const TRIES: u32 = 5;
/// Before it is, so long is waited, and twice as long each further time.
const PAUSE: Duration = Duration::from_secs(2);

/// Soaks, or goes on with the soak in `resume`; `stop` becomes true when the user wants it to end.
///
/// # Errors
/// When a window cannot be made again and again, nothing can be written, or `resume` is another soak's.
pub async fn soak(
    request: &Request,
    wanted: scenario::Soak,
    resume: Option<&Path>,
    progress: &Progress,
    stop: Receiver<bool>,
) -> Result<(RunRecord, RunDirectory), Failure> {
    let targets = request.scenario.expect.targets;
    let rules = Rules {
        windows: wanted.windows,
        window: wanted.window.as_secs_f64(),
        confidence: targets.confidence,
        may_stop_early: targets.may_stop_early,
    };
    let (directory, state) = match resume {
        Some(path) => {
            let directory = RunDirectory::open(path);
            let state = State::read(&directory, &request.scenario)?;
            (directory, state)
        }
        None => {
            let id = RunId::new(rand::random());
            let directory = RunDirectory::create(&request.out, &request.scenario.name, id, Timestamp::now())?;
            let state = State::new(&request.scenario, id, rules);
            state.write(&directory)?;
            directory.point_latest()?;
            (directory, state)
        }
    };
    let mut soaking = Soaking { request, wanted, directory, state, progress, stop };
    if resume.is_some() {
        soaking.take_in_what_was_left()?;
    }
    let went = soaking.go().await;
    let record = soaking.write(true)?;
    went?;
    Ok((record, soaking.directory))
}

/// What the soak in `directory` has come to so far, drawn again; none if it is no soak's.
///
/// # Errors
/// When it is of another version, or nothing can be written.
pub fn drawn_again(directory: &RunDirectory) -> Result<Option<RunRecord>, Failure> {
    let Some(record) = stored(directory)? else { return Ok(None) };
    reporting::write(&record, directory, None)?;
    Ok(Some(record))
}

/// What the soak in `directory` has come to so far; none if it is no soak's.
///
/// # Errors
/// When it is of another version.
pub fn stored(directory: &RunDirectory) -> Result<Option<RunRecord>, Failure> {
    Ok(State::stored(directory)?.map(|state| state.record(directory, false)))
}

struct Soaking<'a> {
    request: &'a Request,
    wanted: scenario::Soak,
    directory: RunDirectory,
    state: State,
    progress: &'a Progress,
    stop: Receiver<bool>,
}

impl Soaking<'_> {
    fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Sends windows until there are enough, or there is an answer, or somebody stops it.
    async fn go(&mut self) -> Result<(), Failure> {
        let mut place = Place::new(&self.request.environment, "soak", &self.directory.path().join("substrate-logs"));
        let result = self.windows(&mut place).await;
        place.leave().await;
        result
    }

    async fn windows(&mut self, place: &mut Place<'_>) -> Result<(), Failure> {
        let mut failures = 0;
        // Somebody who agreed once has agreed to all windows.
        let mut confirmation = self.request.confirmation;
        while !self.is_stopped() && !self.state.soak.is_over() && !self.state.soak.has_its_answer() {
            self.progress.live().phase = Phase::Starting;
            let mut stop = self.stop.clone();
            let ready = tokio::select! {
                ready = place.ready(self.progress) => ready,
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            };
            let ran = match ready {
                Ok(environment) => {
                    let request = Request { environment, confirmation, ..self.window() };
                    Box::pin(runner::run(&request, self.progress, self.stop.clone())).await
                }
                Err(failure) => Err(failure),
            };
            match ran {
                Ok((record, directory)) => {
                    failures = 0;
                    confirmation = Confirmation::Earlier;
                    self.take_in(&record, &directory);
                }
                Err(failure) if failure.is_stop() || self.is_stopped() => return Ok(()),
                Err(failure) if failures + 1 >= TRIES || self.state.soak.judged == 0 => return Err(failure),
                Err(failure) => {
                    let why = failure.line();
                    self.progress.step(&format!("a window could not be made, and is tried again: {why}"));
                    self.state.soak.add_failure(&why);
                    self.ended(None, RoundEnd::Failed);
                    place.leave().await;
                    let mut stop = self.stop.clone();
                    tokio::select! {
                        () = tokio::time::sleep(PAUSE * 2u32.pow(failures)) => (),
                        _ = stop.wait_for(|stop| *stop) => (),
                    }
                    failures += 1;
                }
            }
            self.write(false)?;
            rotation::rotate(&self.folder(), self.wanted.keep);
        }
        Ok(())
    }

    /// The folder of the windows.
    fn folder(&self) -> std::path::PathBuf {
        self.directory.path().join(self.window_name())
    }

    fn window_name(&self) -> String {
        format!("{}-window", self.request.scenario.name)
    }

    /// The request of the next window.
    fn window(&self) -> Request {
        let mut scenario = Scenario {
            name: self.window_name(),
            seed: Some(self.state.seed_of_next()),
            soak: None,
            ..self.request.scenario.clone()
        };
        // The soak may stop early, between windows; a window is sent whole.
        scenario.expect.targets.may_stop_early = false;
        let out = self.directory.path().to_owned();
        Request { scenario, out, junit: None, windows: self.state.windows_in_all(), ..self.request.clone() }
    }

    fn take_in(&mut self, record: &RunRecord, directory: &RunDirectory) {
        let name = directory.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let below = format!("{}/{name}", self.window_name());
        let standing = self.state.soak.add(record, &below);
        self.state.last = Some(name);
        self.ended(Some((record, standing, &below)), record.verdict.into());
    }

    /// Says how a window ended, in a line and on the board.
    fn ended(&self, window: Option<(&RunRecord, Standing, &str)>, end: RoundEnd) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut live = self.progress.live();
        live.round_ended(now.as_secs_f64(), end);
        live.phase = Phase::Waiting;
        drop(live);
        let soak = &self.state.soak;
        let made = format!("{} of {} windows", count(soak.judged + soak.void), count(soak.rules().windows));
        let Some((record, standing, below)) = window else { return };
        let counts = &record.counts;
        let left_out = if standing == Standing::BrokenOff { ", left out: it was broken off" } else { "" };
        let at = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        self.progress.step(&format!(
            "{at} window {}{left_out} · {} events acked, {} visible, {} lost · p99 {} · {made}",
            record.verdict.word(),
            count(counts.acked),
            count(counts.visible),
            count(counts.lost + counts.vanished),
            quantile(record.time_to_visible.p99),
        ));
        if record.verdict != Verdict::Pass {
            let why: Vec<&str> = record.reasons.iter().take(3).map(String::as_str).collect();
            self.progress.step(&format!("  {} ({below})", why.join(" · ")));
        }
    }

    /// Takes in the windows that a soak that was killed has left behind, judged or not.
    fn take_in_what_was_left(&mut self) -> Result<(), Failure> {
        for path in rotation::rounds(&self.folder()) {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if self.state.last.as_ref().is_some_and(|last| *last >= name) {
                continue;
            }
            let directory = RunDirectory::open(&path);
            let record = match reporting::stored(&directory) {
                Ok(Some(record)) => record,
                Ok(None) => {
                    let record = judge_directory(&directory)?;
                    reporting::write(&record, &directory, None)?;
                    record
                }
                // It was killed before anything was sent.
                Err(_) => continue,
            };
            self.take_in(&record, &directory);
        }
        Ok(())
    }

    /// Writes where it stands, and its reports; `has_ended` says that no further window follows.
    fn write(&self, has_ended: bool) -> Result<RunRecord, Failure> {
        self.state.write(&self.directory)?;
        let record = self.state.record(&self.directory, has_ended);
        reporting::write(&record, &self.directory, self.request.junit.as_deref().filter(|_| has_ended))?;
        if !has_ended {
            reporting::write_refreshing(&record, &self.directory)?;
        }
        Ok(record)
    }
}
