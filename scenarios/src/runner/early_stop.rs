//! When a run that may stop early has its answer: the sequential test on what is known while it is being sent.
//!
//! This only decides when to stop sending. What the run proves is decided from the whole ledger in the order of sending, by the
//! same test; ending between its lines is inconclusive there.
//!
//! What is sent twice counts once, with the request that sent it first: how many repeats had left when sending ended does not
//! matter.

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
    young: Young,
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
            if let Some(exchange) = self.exchanges.take(self.dialect, workload, record?) {
                take_in(&mut self.young, &self.watermark, exchange);
            }
        }
        Ok(self.decide(now, workload, seen))
    }

    /// Says whether the test has ended, with what is old enough at `now`.
    fn decide(&mut self, now: Duration, workload: &Workload, seen: &Seen) -> Option<Crossed> {
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
        self.test.crossed()
    }
}

type Young = BTreeMap<(Duration, ExchangeKey), (Duration, Exchange)>;

/// Keeps `exchange` until it is old enough, if it must show.
fn take_in(young: &mut Young, watermark: &Watermark, exchange: Exchange) {
    if exchange.outcome == EventOutcome::Acked {
        let until = watermark.missed_from(exchange.answered.unwrap_or(exchange.sent));
        young.insert((exchange.intended, exchange.key()), (until, exchange));
    }
}

#[cfg(test)]
mod tests {
    use checkers::reconcile::reads::Read;
    use generators::{
        identity::{RunId, StreamId},
        persona::PersonaTable,
        random::{Distribution, Share},
        request::{Request, Requests},
        schedule::{Arrival, Rate},
        workload::{Plan, Traffic},
    };

    use super::*;

    const STREAM: StreamId = StreamId(0);
    const EVENTS: u64 = 60;
    const LATER: Duration = Duration::from_hours(1);

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Events at one a second, three a request; of every request all is sent again after three seconds, and twice after one.
    fn repeating() -> Workload {
        let rate = Rate::new(1, seconds(1)).unwrap();
        let mut traffic = Traffic { batch: (3, 3), ..Traffic::orderly(EVENTS, Arrival::Constant { rate }) };
        let all = Share::new(1.0).unwrap();
        let disorder = &mut traffic.disorder;
        (disorder.resend, disorder.resend_after) = (all, Some(Distribution::Constant { value: seconds(3) }));
        disorder.duplicate_requests = all;
        disorder.duplicate_after = Distribution::Constant { value: seconds(1) };
        Workload::new(Plan::new(RunId::new(1), 1, vec![traffic]), PersonaTable::make(1, 2))
    }

    fn targets(independence: Independence) -> Targets {
        Targets { independence, ..crate::library::read("smoke", &[]).unwrap().expect.targets }
    }

    /// The test after these requests were acked, each when it was due, and all events but `lost` were seen.
    fn tested(independence: Independence, requests: Vec<Request>, lost: &[u64]) -> Test {
        let workload = repeating();
        let watermark = Watermark { loss_after: seconds(10), ..Watermark::default() };
        let rules = (Dialect::V2026, Plugins::default(), RunStart::from_unix_micros(0));
        let mut early_stop = EarlyStop::follow(Vec::new(), &targets(independence), watermark, rules);
        for request in requests {
            let due = request.due(&workload);
            let exchange = Exchange {
                request,
                intended: due,
                sent: due,
                answered: Some(due),
                gave_up: None,
                outcome: EventOutcome::Acked,
                exceptions: Vec::new(),
                windows: 1,
            };
            take_in(&mut early_stop.young, &early_stop.watermark, exchange);
        }
        let mut seen = Seen::default();
        let new = (0..EVENTS).filter(|seq| !lost.contains(seq)).collect();
        seen.add(&Read { start: seconds(1), end: seconds(2), new: vec![(STREAM, new)] });
        assert_eq!(early_stop.decide(Duration::ZERO, &workload, &seen), None, "all is too young");
        assert_eq!(early_stop.test, Test::for_target(targets(independence).loss, targets(independence).confidence));
        early_stop.decide(LATER, &workload, &seen);
        early_stop.test
    }

    /// What must have entered, by hand: so many clean units, and behind the first ones a defect each.
    fn expected(independence: Independence, units: &[(f64, bool)]) -> Test {
        let mut test = Test::for_target(targets(independence).loss, targets(independence).confidence);
        for (clean, defect) in units {
            test.add(*clean, *defect);
        }
        test
    }

    #[test]
    fn what_is_sent_twice_counts_once_however_many_repeats_had_left_when_sending_ended() {
        let workload = repeating();
        let firsts: Vec<Request> = Requests::new(&workload, STREAM).collect();
        assert_eq!(firsts.len(), 20);
        // Sending ended when the repeats of so many had left.
        for repeated in [0, 7, 20] {
            let mut all = firsts.clone();
            for first in &firsts[..repeated] {
                all.push(first.sent_again(&workload).unwrap().1);
                all.push(first.duplicate(&workload).unwrap().1);
            }
            assert_eq!(all.len(), 20 + 2 * repeated);
            let lost: Vec<u64> = firsts[2].seqs(&workload).map(|(seq, _)| seq).take(2).collect();
            for (independence, units) in [
                (Independence::Event, vec![(3.0, false); 20]),
                (Independence::Events(10.0), vec![(0.3, false); 20]),
                (Independence::Request, vec![(1.0, false); 20]),
            ] {
                let clean = tested(independence, all.clone(), &[]);
                assert_eq!(clean, expected(independence, &units), "{independence:?}, {repeated} repeated");
                let with_lost = tested(independence, all.clone(), &lost);
                let mut units = units;
                match independence {
                    Independence::Request => units[2] = (0.0, true),
                    // Two defects, and then what is left of the request.
                    Independence::Event => drop(units.splice(2..3, [(0.0, true), (0.0, true), (1.0, false)])),
                    Independence::Events(_) => {
                        drop(units.splice(2..3, [(0.0, true), (0.0, true), (0.1, false)]));
                    }
                }
                assert_eq!(with_lost, expected(independence, &units), "{independence:?}, {repeated} repeated");
            }
        }
    }

    #[test]
    fn what_only_a_repeat_has_acked_is_nobodys_unit() {
        let workload = repeating();
        let first = Requests::new(&workload, STREAM).nth(3).unwrap();
        let repeats = vec![first.sent_again(&workload).unwrap().1, first.duplicate(&workload).unwrap().1];
        let all: Vec<u64> = (0..EVENTS).collect();
        assert_eq!(tested(Independence::Event, repeats, &all), expected(Independence::Event, &[]));
    }
}
