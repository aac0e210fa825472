//! An endless canary: the same scenario, round after round, each a whole run with a verdict of its own.
//!
//! So it uses as much memory and disk after a year as after an hour, a restart of Assay loses one round at most, and what
//! is down is tried again until it is there. Between two rounds only counters go on.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use checkers::{record::RunRecord, verdict::Verdict};
use reports::{
    figures::{count, quantile},
    live::{Phase, RoundEnd},
    progress::Progress,
};
use tokio::sync::watch::Receiver;

use crate::{
    external::Confirmation,
    failure::Failure,
    rounds::{Place, rotation},
    run_directory::{RunDirectory, write_json},
    runner::{Request, Wanted, run},
    scenario::Scenario,
    senders::Division,
    stored::judge_directory,
};

/// After a round that could not be run, the next one waits so long, and twice as long after each further one …
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// What to watch, and how.
#[derive(Debug)]
pub struct Options {
    /// What each round sends.
    pub scenario: Scenario,
    /// Where the pipeline is.
    pub environment: Wanted,
    /// Whether somebody has to agree before the first round is sent to somebody else's pipeline.
    pub confirmation: Confirmation,
    /// The folder that rounds are kept in.
    pub out: PathBuf,
    /// How many of the newest rounds are kept, and how many of those that did not pass.
    pub keep: usize,
    /// After how many rounds it ends; never without it.
    pub rounds: Option<u64>,
}

/// Watches until `stop` becomes true or the rounds are over; returns the worst verdict of a round that ran to its end.
///
/// # Errors
/// When there is nowhere to write.
pub async fn watch(options: &Options, progress: &Progress, mut stop: Receiver<bool>) -> Result<Verdict, Failure> {
    judge_leftovers(options, progress);
    let logs = options.out.join(&options.scenario.name).join("substrate-logs");
    let mut place = Place::new(&options.environment, "watch", &logs);
    let (mut worst, mut pause, mut rounds, mut agreed) = (None, FIRST_PAUSE, 0, false);
    while !*stop.borrow() && options.rounds.is_none_or(|wanted| rounds < wanted) {
        progress.live().phase = Phase::Starting;
        let round = tokio::select! {
            environment = place.ready(progress) => environment.map(Some),
            _ = stop.wait_for(|stop| *stop) => Ok(None),
        };
        let result = match round {
            Ok(Some(environment)) => {
                let confirmation = if agreed { Confirmation::Earlier } else { options.confirmation };
                one_round(options, (environment, confirmation), progress, stop.clone()).await
            }
            Ok(None) => break,
            Err(failure) => Err(failure),
        };
        let is_decided = matches!(&result, Ok((record, _)) if record.verdict != Verdict::Inconclusive);
        if *stop.borrow() && !is_decided {
            // A round that was broken off says nothing about the pipeline.
            break;
        }
        rounds += 1;
        let result = if !agreed && matches!(options.environment, Wanted::External(_)) {
            // Nothing is sent to somebody else's pipeline until somebody agrees, who then has agreed to the same again.
            agreed = true;
            Ok(result?)
        } else {
            result
        };
        match result {
            Ok((record, directory)) => {
                pause = FIRST_PAUSE;
                worst = worst.max(Some(record.verdict));
                ended(progress, Some(&record), record.verdict.into());
                if record.verdict != Verdict::Pass {
                    progress.step(&reports::terminal::render(&record, false));
                    progress.step(&format!("round's directory: {}", directory.path().display()));
                }
            }
            Err(failure) => {
                // Such as a pipeline that is down: it is tried again.
                worst = worst.max(Some(Verdict::Inconclusive));
                let _ = failure.report();
                ended(progress, None, RoundEnd::Failed);
                place.leave().await;
                progress.step(&format!("tried again in {pause:?}"));
                tokio::select! {
                    () = tokio::time::sleep(pause) => (),
                    _ = stop.wait_for(|stop| *stop) => (),
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        rotation::rotate(&options.out.join(&options.scenario.name), options.keep);
    }
    place.leave().await;
    Ok(worst.unwrap_or(Verdict::Inconclusive))
}

async fn one_round(
    options: &Options,
    (environment, confirmation): (Wanted, Confirmation),
    progress: &Progress,
    stop: Receiver<bool>,
) -> Result<(RunRecord, RunDirectory), Failure> {
    let request = Request {
        scenario: options.scenario.clone(),
        out: options.out.clone(),
        junit: None,
        environment,
        division: Division::WHOLE,
        starts_in: Duration::ZERO,
        command: None,
        confirmation,
        windows: 1,
    };
    Box::pin(run(&request, progress, stop)).await
}

/// Says how a round ended, in a line and on the board.
fn ended(progress: &Progress, record: Option<&RunRecord>, end: RoundEnd) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut live = progress.live();
    live.round_ended(now.as_secs_f64(), end);
    live.phase = Phase::Waiting;
    drop(live);
    let told = record.map_or_else(String::new, |record| {
        let counts = &record.counts;
        format!(
            " · {} events acked, {} visible · lost {} · p99 {}",
            count(counts.acked),
            count(counts.visible),
            count(counts.lost + counts.vanished),
            quantile(record.time_to_visible.p99),
        )
    });
    let at = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    progress.step(&format!("{at} round {}{told}", end.name()));
}

/// Judges what a watch that was killed has left behind; its counters died with it, so the board does not count it.
fn judge_leftovers(options: &Options, progress: &Progress) {
    for path in rotation::unjudged(&options.out.join(&options.scenario.name)) {
        let directory = RunDirectory::open(&path);
        let told = match judge_directory(&directory) {
            Ok(record) => match write_json(&directory.verdict(), &record) {
                Ok(()) => format!("{}: {}", record.verdict.word(), record.reasons.join("; ")),
                Err(_) => "its verdict could not be written".to_owned(),
            },
            // It was killed before anything was sent.
            Err(_) => "nothing in it can be judged".to_owned(),
        };
        progress.step(&format!("left behind: {} · {told}", path.display()));
    }
}
