//! What the attempts to send an event told, where a recording holds it with several contents.
//!
//! Which of them a row holds is seen when it is read. Whether it may is known when the ledger is: an attempt must have told just this
//! that may have been stored, and the row's timestamp must be one that such an attempt told with it.

use std::collections::BTreeMap;

use generators::{event::Event, identity::StreamId};

use super::{classify::Case, rows::FoundRow};
use crate::oracle::row::{self, AttemptTimes, Difference, Expectation};

/// What stands for everything that a row holds.
const COLUMN: &str = "properties";

impl Case<'_> {
    /// What the attempts that may have stored an event say about its time, by the content that they told.
    fn times_by_content(&self, stream: StreamId, seq: u64) -> BTreeMap<usize, Vec<AttemptTimes>> {
        let mut by_content: BTreeMap<usize, Vec<AttemptTimes>> = BTreeMap::new();
        let Some(occurred) = self.workload.occurred_micros(stream, seq) else { return by_content };
        let (oddities, latest) = (self.workload.oddities(stream, seq), self.judged_at().unwrap_or_default());
        for exchange in self.sent.attempts(stream, seq).filter(|exchange| exchange.may_have_stored(seq)) {
            let Some(moments) = exchange.moments(self.workload, self.start, latest) else { continue };
            let times = exchange.times(self.workload, moments, (seq, oddities), occurred);
            if self.is_young_enough(stream, &times) {
                let content = self.workload.content_told(&exchange.request, seq);
                by_content.entry(content).or_default().push(times);
            }
        }
        by_content
    }

    /// What is wrong with a row of an event for what its attempts told, and when: `spans` are those in which its timestamp must lie,
    /// whatever it holds, one for each attempt that may have stored it.
    pub(crate) fn of_attempts(
        &self,
        stream: StreamId,
        seq: u64,
        spans: &[(i64, i64)],
        row: &FoundRow,
    ) -> Option<Difference> {
        // Where no attempt may have stored it, it is wrong that there is a row.
        if row.contents.is_empty() || spans.is_empty() {
            return row::timestamp_difference(spans, row.timestamp_micros);
        }
        let mut by_content = self.times_by_content(stream, seq);
        let told: Vec<AttemptTimes> =
            row.contents.iter().filter_map(|content| by_content.remove(content)).flatten().collect();
        if told.is_empty() {
            return Some(Difference {
                column: COLUMN.to_owned(),
                expected: "what was told by an attempt that may have been stored".to_owned(),
                found: Some("what was told by others alone".to_owned()),
            });
        }
        let spans = row::timestamps(self.dialect, &told, self.clock_tolerance_micros);
        row::timestamp_difference(&spans, row.timestamp_micros)
    }

    /// What must be there of an event that was sent to `team`: one of the contents that were told by attempts that may have been
    /// stored, each with the times of those. Where there are no such attempts, any of them, at any time.
    pub(crate) fn expect_as_sent(&self, event: &Event, team: i64) -> Expectation {
        let contents = self.workload.other_contents(event.id.stream, event.id.seq);
        let of = |content: usize, times: &[AttemptTimes]| {
            let told = match content.checked_sub(1) {
                None => event,
                Some(number) => contents.get(number)?,
            };
            Some(self.plugins.expect_content(self.dialect, told, team, times, self.clock_tolerance_micros))
        };
        let by_content = self.times_by_content(event.id.stream, event.id.seq);
        let mut all = by_content.iter().filter_map(|(content, times)| of(*content, times));
        match all.next() {
            Some(first) => Expectation { others: all.collect(), ..first },
            None => self.expect(event, team, &[]),
        }
    }
}
