//! Waiting for the shares of the traffic that others send: their ledgers come into the run's directory.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use generators::{
    journal::Header,
    ledger::{LedgerReader, Record},
    timetable::Shard,
};
use tokio::sync::watch;

use super::{Active, TICK};
use crate::{
    failure::Failure,
    ledgers::{self, Ledgers},
    stored::damaged,
};

/// Ledgers that are read as they grow.
#[derive(Default)]
struct Followed {
    /// Each with whether its sender has ended.
    ledgers: BTreeMap<Shard, (LedgerReader, bool)>,
}

impl Followed {
    /// Takes in what has come; returns the shares that are missing or have not ended.
    fn look(&mut self, found: &Ledgers, header: Header) -> Result<Vec<Shard>, Failure> {
        let mut open = found.missing().to_vec();
        for (shard, path) in found.files() {
            let known = self.ledgers.get(shard).is_some_and(|(ledger, _)| ledger.header().is_some());
            if !known {
                self.ledgers.insert(*shard, (ledgers::open(path, header)?, false));
            }
            let Some((ledger, ended)) = self.ledgers.get_mut(shard) else { continue };
            for record in ledger.by_ref() {
                *ended |= matches!(record.map_err(damaged)?, Record::End(_));
            }
            if !*ended {
                open.push(*shard);
            }
        }
        Ok(open)
    }
}

/// Waits until all shares were sent, for `limit` at most, or until `stop` becomes true. What is missing then is told by what
/// judges.
pub(super) async fn wait_for_others(
    active: &Active<'_>,
    header: Header,
    limit: Duration,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let deadline = Instant::now() + limit;
    let mut followed = Followed::default();
    loop {
        let open = followed.look(&Ledgers::find(active.directory.path())?, header)?;
        let Some(first) = open.first() else { return Ok(()) };
        if Instant::now() >= deadline {
            active.progress.step(&format!("share {first} of the traffic did not come within {limit:?}"));
            return Ok(());
        }
        active.progress.now(format!("waiting for {} further shares of the traffic, such as {first}", open.len()));
        tokio::select! {
            () = tokio::time::sleep(TICK) => (),
            _ = active.environment.failed() => return Ok(()),
            Ok(_) = stop.wait_for(|stop| *stop) => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use generators::{
        clock::RunStart,
        identity::RunId,
        ledger::{End, LedgerWriter},
    };

    use super::*;

    #[test]
    fn a_share_is_waited_for_until_its_ledger_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let header = Header { run: RunId::new(7), start: RunStart::from_unix_micros(1) };
        let share = |text: &str| text.parse::<Shard>().unwrap();
        let path = |shard| folder.path().join(ledgers::file_name(shard));
        let mut followed = Followed::default();
        let mut look = || followed.look(&Ledgers::find(folder.path()).unwrap(), header).unwrap();
        let mut one = LedgerWriter::create(&path(share("1/2")), header).unwrap();
        assert_eq!(look(), [share("2/2"), share("1/2")]);
        one.append(&[Record::End(End::Complete)]).unwrap();
        assert_eq!(look(), [share("2/2")]);
        // One that is being copied begins without a header.
        std::fs::write(path(share("2/2")), "").unwrap();
        assert_eq!(look(), [share("2/2")]);
        std::fs::copy(path(share("1/2")), path(share("2/2"))).unwrap();
        assert_eq!(look(), []);
    }
}
