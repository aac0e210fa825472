//! What plugins exported: for every event how often each of them delivered it to the webhook sink, and where a delivery does
//! not hold what the event is.
//!
//! Deliveries go into a [journal](generators::journal) as the sink tells of them, so that a run can be judged again without
//! its pipeline. A right delivery costs a few bytes; only of others it is kept in what they differ. Whether a plugin should
//! have delivered an event at all is decided when the run is judged.

mod journal;

use std::collections::BTreeMap;

use generators::identity::StreamId;
use serde::{Deserialize, Serialize};

use super::windows::Window;
use crate::oracle::{
    elements,
    row::{Difference, Expectation, Row},
};

pub use journal::{End, ExportsLog, ExportsWriter, Summary};

/// One delivery of a known event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Which of the plugins that export made it, from 0.
    pub plugin: u8,
    /// The event's stream.
    pub stream: StreamId,
    /// Its sequence number there.
    pub seq: u64,
    /// The columns in which it is not what the event is.
    pub differences: Vec<Difference>,
}

/// Where `delivered` is not what `expectation` says. When an event happened is judged in the store alone: it hangs on when the
/// event was sent and answered. What was clicked is not delivered.
pub fn judge_delivery(delivered: &Row, expectation: &Expectation) -> Vec<Difference> {
    let mut differences = expectation.differences(delivered);
    differences.retain(|difference| !matches!(&*difference.column, "timestamp" | elements::COLUMN));
    differences
}

/// What was delivered of one window.
#[derive(Debug, Clone)]
pub struct Exports {
    /// Whether the exporter had nothing left to do when the run ended.
    pub caught_up: bool,
    window: Window,
    /// For each plugin how often it delivered each event of the window, up to 255 times.
    times: Vec<Vec<u8>>,
    /// In what deliveries differ, by the event's place.
    wrong: BTreeMap<u32, Vec<Difference>>,
}

impl Exports {
    /// Nothing delivered yet by so many plugins.
    pub fn new(window: Window, plugins: usize, caught_up: bool) -> Self {
        let times = vec![vec![0; window.len()]; plugins];
        Self { caught_up, window, times, wrong: BTreeMap::new() }
    }

    /// Adds a delivery; one of an event outside the window, or of a plugin that nobody knows, is left out.
    pub fn add(&mut self, delivery: Delivery) {
        let Delivery { plugin, stream, seq, differences } = delivery;
        let Some(place) = self.window.place(stream, seq) else { return };
        let Some(times) = self.times.get_mut(usize::from(plugin)) else { return };
        times[place] = times[place].saturating_add(1);
        if !differences.is_empty() {
            self.wrong.entry(place as u32).or_insert(differences);
        }
    }

    /// How often the plugin delivered the event.
    pub fn times(&self, plugin: usize, stream: StreamId, seq: u64) -> u8 {
        let place = self.window.place(stream, seq);
        place.and_then(|place| self.times.get(plugin)?.get(place).copied()).unwrap_or_default()
    }

    /// In what the first wrong delivery of the event differs.
    pub fn wrong(&self, stream: StreamId, seq: u64) -> impl Iterator<Item = &Difference> {
        let place = self.window.place(stream, seq);
        place.and_then(|place| self.wrong.get(&(place as u32))).into_iter().flatten()
    }

    /// How many deliveries were of what the same plugin had delivered before.
    pub fn again(&self) -> u64 {
        self.times.iter().flatten().map(|times| u64::from(times.saturating_sub(1))).sum()
    }

    /// The same with these deliveries of one event in place of all of its own: what the self-test tampers with.
    pub(crate) fn with(&self, stream: StreamId, seq: u64, deliveries: &[Delivery]) -> Self {
        let window = Window { stream, seqs: seq..seq + 1 };
        let mut copy = Self::new(window, self.times.len(), self.caught_up);
        deliveries.iter().cloned().for_each(|delivery| copy.add(delivery));
        copy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: StreamId = StreamId(0);

    pub(super) fn delivery(plugin: u8, seq: u64, wrong: bool) -> Delivery {
        let difference = Difference { column: "event".into(), expected: "a".into(), found: None };
        Delivery { plugin, stream: STREAM, seq, differences: wrong.then_some(difference).into_iter().collect() }
    }

    #[test]
    fn deliveries_are_counted_by_plugin_and_event() {
        let mut exports = Exports::new(Window { stream: STREAM, seqs: 10..20 }, 2, true);
        for (plugin, seq) in [(0, 10), (0, 10), (1, 10), (0, 19), (0, 20), (0, 9), (2, 11)] {
            exports.add(delivery(plugin, seq, false));
        }
        let times: Vec<u8> =
            [(0, 10), (1, 10), (0, 19), (1, 19), (0, 20)].map(|(p, seq)| exports.times(p, STREAM, seq)).into();
        assert_eq!((times, exports.again()), (vec![2, 1, 1, 0, 0], 1));
        assert_eq!(exports.times(0, StreamId(1), 10), 0);
        exports.add(delivery(0, 11, true));
        exports.add(delivery(0, 11, false));
        assert_eq!(exports.wrong(STREAM, 11).count(), 1, "a right one does not make good a wrong one");
        assert_eq!(exports.wrong(STREAM, 10).count(), 0);
        let changed = exports.with(STREAM, 11, &[delivery(1, 11, false)]);
        assert_eq!((changed.times(0, STREAM, 11), changed.times(1, STREAM, 11)), (0, 1));
        assert_eq!(changed.wrong(STREAM, 11).count(), 0);
    }
}
