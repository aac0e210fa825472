//! What an event's attempts make of its age, where its team drops what is too old.
//!
//! Each attempt has an age of its own: what is sent a second time is older then, and may be dropped although the first sending
//! was stored.

use std::time::Duration;

use generators::{clock::RunStart, identity::StreamId, workload::Workload};

use super::{
    classify::Case,
    sent::{EventOutcome, Exchange},
};
use crate::oracle::{
    age,
    dialect::Dialect,
    plugin::Plugins,
    presence::{Fate, fate},
    row::AttemptTimes,
};

impl Case<'_> {
    /// What must become of an event by the age of those of its attempts that may have been stored.
    pub(super) fn fate_by_age(&self, stream: StreamId, seq: u64) -> Fate {
        let Some((limit, occurred)) = self.age_limit(stream).zip(self.workload.occurred_micros(stream, seq)) else {
            return Fate::Present;
        };
        let latest = self.judged_at().unwrap_or_default();
        let oddities = self.workload.oddities(stream, seq);
        let attempts = self.sent.attempts(stream, seq).filter_map(|exchange| {
            let moments = exchange.moments(self.workload, self.start, latest)?;
            exchange.may_have_stored(seq).then(|| {
                let times = exchange.times(self.workload, moments, (seq, oddities), occurred);
                (exchange.outcome_of(seq), self.age_fate(limit, &times))
            })
        });
        of_attempts(attempts)
    }

    /// Whether an attempt may have stored its event, as far as its age goes.
    pub(super) fn is_young_enough(&self, stream: StreamId, attempt: &AttemptTimes) -> bool {
        let limit = self.age_limit(stream);
        limit.is_none_or(|limit| !matches!(self.age_fate(limit, attempt), Fate::Absent(_)))
    }

    fn age_limit(&self, stream: StreamId) -> Option<Duration> {
        self.workload.traffic(stream)?.drop_events_older_than
    }

    fn age_fate(&self, limit: Duration, attempt: &AttemptTimes) -> Fate {
        age::fate(self.dialect, limit, attempt, self.clock_tolerance_micros)
    }
}

/// What must become of an event, of which each attempt that may have been stored would become this.
fn of_attempts(attempts: impl Iterator<Item = (EventOutcome, Fate)>) -> Fate {
    let (mut any, mut acked, mut absent, mut either) = (false, false, None, None);
    for (outcome, fate) in attempts {
        let is_acked = outcome == EventOutcome::Acked;
        acked |= is_acked;
        match fate {
            Fate::Present if is_acked => return Fate::Present,
            Fate::Present => any = true,
            Fate::Absent(_) => absent = Some(fate),
            Fate::Either(_) => either = Some(fate),
        }
    }
    match (any, either, absent) {
        // Nobody knows whether the attempt that was young enough has arrived.
        (true, _, Some(_)) if acked => Fate::Either("an attempt without an answer may have come before it was too old"),
        (true, Some(either), _) if acked => either,
        (true, _, _) | (false, None, None) => Fate::Present,
        (false, Some(either), _) => either,
        (false, None, Some(absent)) => absent,
    }
}

impl Exchange {
    /// Whether one of its events was acked and must be stored, as far as this exchange tells. An event of which it does not is
    /// not waited for: the clocks are taken for right here.
    pub fn must_show(
        &self,
        (dialect, plugins, start): (Dialect, &Plugins, RunStart),
        workload: &Workload,
        seq: u64,
    ) -> bool {
        let stream = self.request.stream;
        self.outcome_of(seq) == EventOutcome::Acked
            && fate(dialect, plugins, workload, stream, seq) == Fate::Present
            && self.fate_by_age(dialect, workload, start, seq) == Fate::Present
    }

    fn fate_by_age(&self, dialect: Dialect, workload: &Workload, start: RunStart, seq: u64) -> Fate {
        let stream = self.request.stream;
        let limit = workload.traffic(stream).and_then(|traffic| traffic.drop_events_older_than);
        let Some((limit, occurred)) = limit.zip(workload.occurred_micros(stream, seq)) else { return Fate::Present };
        let moments = self.moments(workload, start, self.sent);
        let oddities = workload.oddities(stream, seq);
        let attempt = moments.map(|moments| self.times(workload, moments, (seq, oddities), occurred));
        attempt.map_or(Fate::Present, |attempt| age::fate(dialect, limit, &attempt, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_must_be_there_if_an_attempt_that_arrived_was_young_enough() {
        use EventOutcome::{Acked, Indeterminate};
        const OLD: Fate = Fate::Absent("old");
        const ABOUT: Fate = Fate::Either("about");
        let told = |attempts: &[(EventOutcome, Fate)]| match of_attempts(attempts.iter().copied()) {
            Fate::Present => "present",
            Fate::Absent(_) => "absent",
            Fate::Either(_) => "either",
        };
        for (attempts, expected) in [
            (&[][..], "present"),
            (&[(Acked, Fate::Present)], "present"),
            (&[(Acked, OLD)], "absent"),
            (&[(Acked, ABOUT)], "either"),
            (&[(Acked, Fate::Present), (Acked, OLD)], "present"),
            (&[(Indeterminate, Fate::Present), (Acked, OLD)], "either"),
            (&[(Indeterminate, Fate::Present), (Acked, ABOUT)], "either"),
            (&[(Indeterminate, OLD), (Acked, Fate::Present)], "present"),
            (&[(Indeterminate, OLD), (Acked, OLD)], "absent"),
            (&[(Indeterminate, ABOUT), (Acked, OLD)], "either"),
            (&[(Indeterminate, Fate::Present), (Indeterminate, OLD)], "present"),
            (&[(Indeterminate, OLD)], "absent"),
        ] {
            assert_eq!(told(attempts), expected, "{attempts:?}");
        }
    }
}
