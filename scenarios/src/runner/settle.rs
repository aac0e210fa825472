//! The phase of settling: watching until the pipeline is quiet, and reading everything until it stays the same.

use std::time::Duration;

use checkers::{
    observe::{clickhouse::Store, lag::LagWatch, watch::Watch},
    reconcile::{
        reads::Reads,
        rows::FinalRead,
        sent::{EventOutcome, Sent},
    },
    settle::{SettleRules, Settling, Step, Watched},
    verdict::Obstacle,
};
use generators::{clock::RunClock, error_chain::told, journal::Header, workload::Workload};

use super::{Active, TICK, drift_micros};
use crate::{
    failure::Failure,
    final_read,
    run_directory::not_written,
    stored::{clock_tolerance_micros, fold_ledger},
};

/// Final reads may fail so often in a row before the store counts as unreadable.
const FAILED_READS: u32 = 3;

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
    clock: RunClock,
    header: Header,
    lag: Option<&LagWatch>,
) -> Result<Settled, Failure> {
    let expect = &active.request.scenario.expect;
    let dialect = active.request.scenario.pipeline.dialect;
    let sent = fold_ledger(active.directory, dialect, workload)?;
    let rules = SettleRules { quiet: expect.quiet, limit: expect.settle_limit };
    let mut settling = Settling::new(rules, clock.elapsed());
    let (mut final_reads, mut failed_reads) = (0, 0);
    loop {
        let behind = lag.map(LagWatch::latest);
        let watched = {
            let watched = watch.watched();
            Watched {
                now: clock.elapsed(),
                last_change: watched.last_change,
                lag: behind,
                pending_until: pending_until(workload, &sent, &watched.reads, expect.loss_after),
            }
        };
        let seen = watch.watched().reads.seen();
        active.progress.now(format!(
            "settling  visible {} · consumers {} messages behind · final reads {final_reads}",
            reports::figures::count(seen),
            behind.filter(|behind| *behind < u64::MAX).map_or_else(|| "?".to_owned(), reports::figures::count),
        ));
        match settling.step(watched) {
            Step::Settled => return Ok(Settled { final_reads, obstacle: None }),
            Step::LimitReached(why) => {
                let what = format!("the pipeline did not become quiet within {:?}: {why}", rules.limit);
                return Ok(Settled { final_reads, obstacle: Some(Obstacle::Insufficient(what)) });
            }
            Step::Wait => (),
            Step::Read => {
                let tolerance = clock_tolerance_micros(drift_micros(clock));
                match final_read::read(store, dialect, workload, &sent, clock, tolerance).await {
                    Ok(read) => {
                        failed_reads = 0;
                        final_reads += 1;
                        keep(active, &read, final_reads, header)?;
                        settling.read(read.end, read.digest());
                    }
                    Err(error) => {
                        failed_reads += 1;
                        if failed_reads == FAILED_READS {
                            let what = format!("the store could not be read: {}", told(&error));
                            return Ok(Settled { final_reads, obstacle: Some(Obstacle::Invalid(what)) });
                        }
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
                let what = format!("the environment failed: {ended}");
                return Ok(Settled { final_reads, obstacle: Some(Obstacle::Invalid(what)) });
            }
            () = tokio::time::sleep(TICK) => (),
        }
    }
}

fn keep(active: &Active<'_>, read: &FinalRead, number: usize, header: Header) -> Result<(), Failure> {
    let path = active.directory.final_read(number);
    read.save(&path, header).map_err(|error| not_written(&path, error))
}

/// Until when an event is pending: the latest answer among acked events that nobody saw, plus `loss_after`.
fn pending_until(workload: &Workload, sent: &Sent, reads: &Reads, loss_after: Duration) -> Option<Duration> {
    sent.streams()
        .filter(|stream| workload.traffic(*stream).is_some_and(|traffic| !traffic.over_quota))
        .flat_map(|stream| {
            let events = sent.events(stream).iter().enumerate();
            events
                .filter(move |(seq, event)| {
                    event.outcome == EventOutcome::Acked && !reads.has_seen(stream, *seq as u64)
                })
                .filter_map(|(_, event)| event.answered_at.or(event.sent_at))
        })
        .max()
        .map(|latest| latest + loss_after)
}
