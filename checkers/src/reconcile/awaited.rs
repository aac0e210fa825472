//! What a run that has been sent still waits for: acked events that nobody has seen and that are too young to be lost.

use std::time::Duration;

use generators::{clock::RunStart, journal::ReadError, ledger::Record, workload::Workload};

use super::{
    seen::Seen,
    sent::{EventOutcome, Exchange, Exchanges},
};
use crate::{
    disturbance::Watermark,
    oracle::{dialect::Dialect, plugin::Plugins},
};

/// The acked requests whose events may still be awaited. There are no more of them than are answered within `loss_after`.
#[derive(Debug)]
pub struct Awaited<'a> {
    rules: (Dialect, &'a Plugins, RunStart),
    /// Until when the acked events of a request are pending, and the exchange.
    requests: Vec<(Duration, Exchange)>,
}

impl<'a> Awaited<'a> {
    /// What the ledger's `records` leave to be awaited at `now`: above the `watermark` an event is pending, below it lost.
    /// Events that must not appear are not waited for.
    ///
    /// # Errors
    /// When the ledger is damaged.
    pub fn at(
        now: Duration,
        watermark: &Watermark,
        rules: (Dialect, &'a Plugins, RunStart),
        workload: &Workload,
        records: impl IntoIterator<Item = Result<Record, ReadError>>,
    ) -> Result<Self, ReadError> {
        let (mut exchanges, mut requests) = (Exchanges::default(), Vec::new());
        for record in records {
            let Some(exchange) = exchanges.take(rules.0, workload, record?) else { continue };
            let until = watermark.missed_from(exchange.answered.unwrap_or(exchange.intended));
            if exchange.outcome == EventOutcome::Acked && until > now {
                requests.push((until, exchange));
            }
        }
        Ok(Self { rules, requests })
    }

    /// Until when some event is pending; `None` if none is at `now`. Requests of which nothing is awaited any more are
    /// forgotten.
    pub fn pending_until(&mut self, now: Duration, workload: &Workload, seen: &Seen) -> Option<Duration> {
        let rules = self.rules;
        self.requests.retain(|(until, exchange)| {
            let (request, stream) = (&exchange.request, exchange.request.stream);
            // What was dropped will never come.
            let is_awaited = |seq| {
                !seen.has(stream, seq) && exchange.dropped(seq).is_none() && exchange.must_show(rules, workload, seq)
            };
            *until > now && request.seqs(workload).any(|(seq, _)| is_awaited(seq))
        });
        self.requests.iter().map(|(until, _)| *until).max()
    }
}

#[cfg(test)]
mod tests {
    use generators::ledger::Answer;

    use super::*;
    use crate::{
        oracle::plugin::NO_PLUGINS,
        reconcile::{
            example::{STREAM, intent, outcome, workload},
            reads::Read,
        },
    };

    const START: RunStart = RunStart::from_unix_micros(0);

    #[test]
    fn acked_events_are_awaited_until_they_are_seen_or_lost() {
        let workload = workload(8);
        let reply = |status| Answer::Reply { status, excerpt: String::new() };
        let records = [
            intent(0, 0..2, 0..0),
            intent(1, 2..4, 0..0),
            intent(2, 4..6, 0..0),
            intent(3, 6..8, 0..0),
            outcome(0, 0, 1_000, reply(200)),
            outcome(1, 0, 3_000, reply(200)),
            outcome(2, 0, 9_000, reply(503)),
        ];
        let seconds = Duration::from_secs;
        let watermark = Watermark { loss_after: seconds(10), ..Watermark::default() };
        let of = |workload: &Workload| {
            let records = records.iter().cloned().map(Ok);
            Awaited::at(seconds(4), &watermark, (Dialect::V2026, &NO_PLUGINS, START), workload, records).unwrap()
        };
        let mut awaited = of(&workload);
        let mut seen = Seen::default();
        assert_eq!(awaited.pending_until(seconds(4), &workload, &seen), Some(seconds(13)));
        seen.add(&Read { new: vec![(STREAM, vec![2])], ..Read::default() });
        assert_eq!(awaited.pending_until(seconds(4), &workload, &seen), Some(seconds(13)), "only one of two");
        seen.add(&Read { new: vec![(STREAM, vec![3])], ..Read::default() });
        assert_eq!(awaited.pending_until(seconds(4), &workload, &seen), Some(seconds(11)));
        assert_eq!(awaited.pending_until(seconds(11), &workload, &seen), None, "old enough to be lost");

        let mut plan = workload.plan().clone();
        plan.traffic[0].absent = Some(generators::workload::Absence::DropListed);
        let listed = Workload::new(plan, generators::persona::PersonaTable::make(1, 2));
        assert_eq!(of(&listed).pending_until(seconds(4), &listed, &Seen::default()), None);

        let mut plan = workload.plan().clone();
        // Requests of two, which leave when the second is due: one of each has happened a second before.
        plan.traffic[0].drop_events_older_than = Some(Duration::from_millis(500));
        let limited = Workload::new(plan, generators::persona::PersonaTable::make(1, 2));
        let mut seen = Seen::default();
        seen.add(&Read { new: vec![(STREAM, vec![1, 3])], ..Read::default() });
        assert_eq!(of(&limited).pending_until(seconds(4), &limited, &seen), None, "those that are left are too old");
        assert_eq!(of(&workload).pending_until(seconds(4), &workload, &seen), Some(seconds(13)));
    }
}
