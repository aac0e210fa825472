//! The windows that a run is judged by: so many events of one stream, by their sequence numbers.
//!
//! Everything that is known of a window's events is put together, judged and let go before the next one is looked at, so
//! memory does not grow with the run.

use std::ops::Range;

use generators::{event::EventSource, identity::StreamId, workload::Workload};

/// How many events a window holds, unless it is a stream's last.
pub const EVENTS: u64 = 1 << 16;

/// One window: some events of one stream, by their sequence numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The stream.
    pub stream: StreamId,
    /// The sequence numbers.
    pub seqs: Range<u64>,
}

impl Window {
    /// The place of an event in the window; `None` if it is not in it.
    pub fn place(&self, stream: StreamId, seq: u64) -> Option<usize> {
        (stream == self.stream && self.seqs.contains(&seq)).then(|| (seq - self.seqs.start) as usize)
    }

    /// How many events it holds.
    pub const fn len(&self) -> usize {
        (self.seqs.end - self.seqs.start) as usize
    }

    /// Whether it holds none.
    pub const fn is_empty(&self) -> bool {
        self.seqs.end == self.seqs.start
    }
}

/// All windows of a run, numbered from 0, stream after stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    /// For each stream how many events it has, and the number of its first window.
    streams: Vec<(u64, usize)>,
    count: usize,
}

impl Windows {
    /// The windows of `workload`.
    pub fn of(workload: &Workload) -> Self {
        let mut count = 0;
        let streams = workload
            .streams()
            .into_iter()
            .map(|stream| {
                let (events, first) = (workload.planned(stream), count);
                count += events.div_ceil(EVENTS) as usize;
                (events, first)
            })
            .collect();
        Self { streams, count }
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none, as where nothing was planned.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The number of the window that holds an event; `None` if none was planned there.
    pub fn number(&self, stream: StreamId, seq: u64) -> Option<usize> {
        let (events, first) = self.streams.get(usize::from(stream.0))?;
        (seq < *events).then(|| first + (seq / EVENTS) as usize)
    }

    /// The window with that number.
    pub fn window(&self, number: usize) -> Option<Window> {
        if number >= self.count {
            return None;
        }
        let stream = self.streams.partition_point(|(_, first)| *first <= number).checked_sub(1)?;
        // Streams without events have no window, and the first number of the one behind.
        let (events, first) = self.streams[stream];
        let start = (number - first) as u64 * EVENTS;
        Some(Window { stream: StreamId(stream as u16), seqs: start..events.min(start + EVENTS) })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Window)> {
        (0..self.count).filter_map(|number| Some((number, self.window(number)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::example::workload;

    fn windows(events: &[u64]) -> Windows {
        let mut plan = workload(0).plan().clone();
        let traffic = plan.traffic[0].clone();
        plan.traffic =
            events.iter().map(|events| generators::workload::Traffic { events: *events, ..traffic.clone() }).collect();
        Windows::of(&Workload::new(plan, generators::persona::PersonaTable::make(1, 1)))
    }

    #[test]
    fn every_event_lies_in_the_window_of_its_number() {
        let windows = windows(&[EVENTS + 1, 0, 5, 0, 2 * EVENTS]);
        assert_eq!((windows.len(), windows.is_empty()), (5, false));
        for (stream, seq, number) in
            [(0, 0, 0), (0, EVENTS - 1, 0), (0, EVENTS, 1), (2, 4, 2), (4, 0, 3), (4, EVENTS - 1, 3), (4, EVENTS, 4)]
        {
            let stream = StreamId(stream);
            assert_eq!(windows.number(stream, seq), Some(number));
            let window = windows.window(number).unwrap();
            assert_eq!(window.place(stream, seq), Some((seq - window.seqs.start) as usize), "{window:?}");
        }
        for (stream, seq) in [(0, EVENTS + 1), (1, 0), (2, 5), (5, 0)] {
            assert_eq!(windows.number(StreamId(stream), seq), None);
        }
        assert_eq!(windows.window(5), None);
        let lengths: Vec<usize> = windows.iter().map(|(_, window)| window.len()).collect();
        assert_eq!(lengths, [EVENTS as usize, 1, 5, EVENTS as usize, EVENTS as usize]);
        assert!(self::windows(&[]).is_empty());
        assert!(Window { stream: StreamId(0), seqs: 3..3 }.is_empty());
        assert!(!Window { stream: StreamId(0), seqs: 3..4 }.is_empty());
    }
}
