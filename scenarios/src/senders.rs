//! The senders of one process: each sends its share of the traffic from a thread of its own, into a ledger of its own.

use std::{path::Path, sync::Arc};

use generators::{
    client::{SendError, Sender, SenderOptions, SenderProgress},
    clock::RunClock,
    journal::Header,
    ledger::{End, LedgerWriter},
    timetable::Shard,
    workload::Workload,
};
use tokio::sync::watch;

use crate::{
    failure::{Failure, Kind},
    ledgers,
    run_directory::not_written,
};

/// Who sends what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Division {
    /// This process's share of the traffic.
    pub shard: Shard,
    /// How many senders divide it.
    pub senders: u64,
}

impl Division {
    /// One sender that sends everything.
    pub const WHOLE: Self = Self { shard: Shard::WHOLE, senders: 1 };

    fn shards(self) -> Vec<Shard> {
        (1..=self.senders).filter_map(|number| self.shard.part(number, self.senders)).collect()
    }
}

/// Senders at work.
#[derive(Debug)]
pub struct Senders(Vec<Sender>);

impl Senders {
    /// Starts to send this process's share of `workload` on `clock`'s schedule, with the ledgers in `folder`. The senders
    /// divide the connections of `options`.
    ///
    /// # Errors
    /// When a ledger cannot be written, or is there already, or no thread can be had.
    pub fn start(
        workload: &Arc<Workload>,
        clock: RunClock,
        division: Division,
        options: &SenderOptions,
        folder: &Path,
        progress: &Arc<SenderProgress>,
        stop: &watch::Receiver<bool>,
    ) -> Result<Self, Failure> {
        let header = Header { run: workload.plan().run, start: clock.start() };
        // None starts before all have their ledgers.
        let ledgers = division.shards().into_iter().map(|shard| {
            let path = folder.join(ledgers::file_name(shard));
            Ok((shard, LedgerWriter::create(&path, header).map_err(|error| not_written(&path, error))?))
        });
        let ledgers = ledgers.collect::<Result<Vec<_>, Failure>>()?;
        let connections = (options.connections / ledgers.len().max(1)).max(1);
        let senders = ledgers.into_iter().map(|(shard, ledger)| {
            let options = SenderOptions { shard, connections, ..options.clone() };
            Sender::start(Arc::clone(workload), clock, ledger, options, Arc::clone(progress), stop.clone())
                .map_err(|error| Failure::caused(Kind::Internal, "nothing could be sent", "", error))
        });
        senders.collect::<Result<_, Failure>>().map(Self)
    }

    /// Waits until all is sent and answered, or given up. Can be dropped and called again.
    pub async fn finished(&mut self) {
        for sender in &mut self.0 {
            sender.finished().await;
        }
    }

    /// How they ended; blocks until they have.
    ///
    /// # Errors
    /// When one of them had to give up.
    pub fn join(self) -> Result<End, SendError> {
        // All are waited for, whatever became of one.
        let ends: Vec<_> = self.0.into_iter().map(Sender::join).collect();
        ends.into_iter().try_fold(End::Complete, |all, end| Ok(if end? == End::Complete { all } else { End::Stopped }))
    }
}
