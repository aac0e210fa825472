//! When a run that may stop early has its answer: the sequential test on what is known while it is being sent.
//!
//! This only decides when to stop sending. What the run proves is decided from the whole ledger in the order of sending, by the
//! same test; ending between its lines is inconclusive there.

use std::{collections::BTreeMap, time::Duration};

use checkers::{
    checks::{Independence, Targets},
    disturbance::Watermark,
    oracle::{dialect::Dialect, plugin::Plugins},
    reconcile::{
        seen::Seen,
        sent::{EventOutcome, Exchange, ExchangeKey, Exchanges},
    },
    statistics::sequential::{Crossed, Test},
};
use generators::{clock::RunStart, journal::ReadError, ledger::LedgerReader, request::Sending, workload::Workload};

/// The sequential test of a run that is being sent.
#[derive(Debug)]
pub(super) struct EarlyStop {
    ledgers: Vec<LedgerReader>,
    exchanges: Exchanges,
    /// Acked requests that are too young to be judged, in the order of their sending, with the moment from which on they are
    /// not.
    young: BTreeMap<(Duration, ExchangeKey), (Duration, Exchange)>,
    test: Test,
    independence: Independence,
    watermark: Watermark,
    dialect: Dialect,
    plugins: Plugins,
    start: RunStart,
}

impl EarlyStop {
    /// Follows `ledgers`; an event that nobody has seen and that is below the `watermark` counts as lost.
    pub fn follow(
        ledgers: Vec<LedgerReader>,
        targets: &Targets,
        watermark: Watermark,
        (dialect, plugins, start): (Dialect, Plugins, RunStart),
    ) -> Self {
        Self {
            ledgers,
            exchanges: Exchanges::default(),
            young: BTreeMap::new(),
            test: Test::for_target(targets.loss, targets.confidence),
            independence: targets.independence,
            watermark,
            dialect,
            plugins,
            start,
        }
    }

    /// Takes in what was written and seen since, and says whether the test has ended.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn look(&mut self, now: Duration, workload: &Workload, seen: &Seen) -> Result<Option<Crossed>, ReadError> {
        for record in self.ledgers.iter_mut().flatten() {
            let Some(exchange) = self.exchanges.take(self.dialect, workload, record?) else { continue };
            if exchange.outcome == EventOutcome::Acked {
                let until = self.watermark.missed_from(exchange.answered.unwrap_or(exchange.sent));
                self.young.insert((exchange.intended, exchange.key()), (until, exchange));
            }
        }
        while let Some(first) = self.young.first_entry().filter(|first| first.get().0 <= now) {
            let (_, exchange) = first.remove();
            let request = &exchange.request;
            if request.sending() == Sending::Duplicate {
                // Its events are those of the request that it repeats, which counts them.
                continue;
            }
            let (mut all, mut unseen) = (0u64, 0u64);
            for (seq, again) in request.seqs(workload) {
                // An event that is sent again belongs to its first request.
                if !again && exchange.must_show((self.dialect, &self.plugins, self.start), workload, seq) {
                    all += 1;
                    unseen += u64::from(!seen.has(request.stream, seq));
                }
            }
            match self.independence {
                // Whatever it holds belongs to others.
                _ if all == 0 => (),
                Independence::Request => self.test.add(if unseen == 0 { 1.0 } else { 0.0 }, unseen > 0),
                Independence::Event | Independence::Events(_) => {
                    let together = if let Independence::Events(events) = self.independence { events } else { 1.0 };
                    (0..unseen).for_each(|_| self.test.add(0.0, true));
                    self.test.add((all - unseen) as f64 / together, false);
                }
            }
        }
        Ok(self.test.crossed())
    }
}
