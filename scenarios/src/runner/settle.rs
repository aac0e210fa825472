//! The phase of settling: watching until the pipeline is quiet, and reading everything until it stays the same.

use std::time::Duration;

use checkers::{
    disturbance::{FaultFacts, Watermark},
    observe::{clickhouse::Store, lag::LagWatch, watch::Watch},
    reasons::Reason,
    reconcile::{awaited::Awaited, rows::FinalReadLog, windows::Windows},
    settle::{SettleRules, Settling, Step, Watched},
    verdict::Obstacle,
};
use generators::{clock::RunClock, error_chain::told, journal::Header, workload::Workload};

use super::{Active, TICK, unplanned};
use crate::{
    failure::Failure,
    faults::disturbed,
    final_read::{self, FinalReadError},
    ledgers::Ledgers,
    plugins,
    run_directory::not_written,
    stored::damaged,
};

/// Final reads may fail for so long in a row before the store counts as unreadable: a server that merges parts faster than they
/// are read, or that is short of something for a moment, is not.
const UNREADABLE_AFTER: Duration = Duration::from_secs(30);

/// How settling ended.
pub(super) struct Settled {
    /// How many final reads were completed.
    pub final_reads: usize,
    /// What stands in the way of a verdict.
    pub obstacle: Option<Obstacle>,
}

/// Settles: watches and reads, and keeps every final read in the run's directory.
pub(super) async fn settle(
    active: &Active<'_>,
    workload: &Workload,
    store: &Store,
    watch: &Watch,
    (clock, header): (RunClock, Header),
    lag: Option<&LagWatch>,
    faults: &[FaultFacts],
) -> Result<Settled, Failure> {
    let expect = &active.request.scenario.expect;
    let dialect = active.request.scenario.pipeline.dialect;
    let plugins = plugins::judged(&active.request.scenario);
    let folder = active.directory.path();
    let windows = Windows::of(workload);
    let records = Ledgers::find(folder)?.records(header)?;
    let watermark = Watermark { loss_after: expect.loss_after, disturbed: disturbed(faults) };
    let rules = (dialect, &plugins, header.start);
    let mut awaited = Awaited::at(clock.elapsed(), &watermark, rules, workload, records).map_err(damaged)?;
    let rules = SettleRules { quiet: expect.quiet, limit: expect.settle_limit };
    let mut settling = Settling::new(rules, clock.elapsed());
    let mut final_reads = 0;
    // Since when final reads have failed, and why the last one did.
    let mut failing: Option<(Duration, String)> = None;
    loop {
        let behind = lag.map(LagWatch::latest);
        let watched = {
            let (watched, now) = (watch.watched(), clock.elapsed());
            let pending_until = awaited.pending_until(now, workload, &watched.seen);
            Watched { now, last_change: watched.last_change, lag: behind, pending_until }
        };
        let seen = watch.watched().seen.count();
        active.progress.now(format!(
            "settling  visible {} · consumers {} messages behind · final reads {final_reads}{}",
            reports::figures::count(seen),
            behind.filter(|behind| *behind < u64::MAX).map_or_else(|| "?".to_owned(), reports::figures::count),
            failing.as_ref().map(|(_, why)| format!(" · the last one failed: {why}")).unwrap_or_default(),
        ));
        match settling.step(watched) {
            Step::Settled => return Ok(Settled { final_reads, obstacle: None }),
            Step::LimitReached(_) if let Some((_, why)) = &failing => {
                return Ok(Settled { final_reads, obstacle: Some(unreadable(why)) });
            }
            Step::LimitReached(why) => {
                let what = format!("{} within {:?}: {why}", Reason::NotQuiet.words(), rules.limit);
                return Ok(Settled { final_reads, obstacle: Some(Obstacle::Insufficient(what)) });
            }
            Step::Wait => (),
            Step::Read => {
                let path = active.directory.final_read(final_reads + 1);
                match final_read::read(store, (dialect, &plugins), workload, clock, &path, header).await {
                    Ok(()) => {
                        failing = None;
                        final_reads += 1;
                        let read = FinalReadLog::sort(&path, &windows, folder).map_err(damaged)?;
                        if let Some(read) = read {
                            settling.read(read.summary().end, read.digest(&windows).map_err(damaged)?);
                        }
                    }
                    Err(FinalReadError::Journal(error)) => return Err(not_written(&path, error)),
                    Err(FinalReadError::Store(error)) => {
                        let why = told(&error);
                        let since = failing.map_or(watched.now, |(since, _)| since);
                        if clock.elapsed() >= since + UNREADABLE_AFTER {
                            return Ok(Settled { final_reads, obstacle: Some(unreadable(&why)) });
                        }
                        failing = Some((since, why));
                    }
                }
            }
        }
        if watch.has_ended() {
            // Its journal could not be written; ending the watch tells why.
            return Ok(Settled { final_reads, obstacle: None });
        }
        tokio::select! {
            ended = active.environment.failed() => {
                return Ok(Settled { final_reads, obstacle: Some(unplanned(&ended)) });
            }
            () = tokio::time::sleep(TICK) => (),
        }
    }
}

fn unreadable(why: &str) -> Obstacle {
    Obstacle::Invalid(format!("{}: {why}", Reason::StoreUnreadable.words()))
}
