//! The requests of all streams in the order in which they are due, and shares of them for several senders.

use std::{cmp::Reverse, collections::BinaryHeap, fmt, str::FromStr, time::Duration};

use crate::{
    event::EventSource,
    request::{Request, Requests},
    workload::Workload,
};

/// One of several disjoint shares of the traffic: `1/3` to `3/3` are all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 1.
    number: u64,
    /// How many there are.
    of: u64,
}

impl Shard {
    /// All of the traffic.
    pub const WHOLE: Self = Self { number: 1, of: 1 };

    /// Share `number` of `of`; `None` if there is no such.
    pub fn new(number: u64, of: u64) -> Option<Self> {
        (1..=of).contains(&number).then_some(Self { number, of })
    }

    /// Whether a request belongs to it. Requests take turns, so shares are due alike.
    pub const fn holds(self, request: &Request) -> bool {
        request.index % self.of == self.number - 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        numbers
            .and_then(|(number, of)| Self::new(number, of))
            .ok_or_else(|| format!("`{text}` is no share: write which of how many, such as 1/3, 2/3 or 3/3"))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// The requests of a share, with the moments when they are due, from the start of the traffic.
#[derive(Debug)]
pub struct Timetable<'a> {
    workload: &'a Workload,
    shard: Shard,
    streams: Vec<Requests<'a>>,
    /// The next request of each stream, the earliest on top.
    heads: BinaryHeap<Reverse<(Duration, usize, u64)>>,
    requests: Vec<Option<Request>>,
}

impl<'a> Timetable<'a> {
    /// The timetable of a share of `workload`.
    pub fn new(workload: &'a Workload, shard: Shard) -> Self {
        let streams: Vec<_> = workload.streams().into_iter().map(|stream| Requests::new(workload, stream)).collect();
        let requests = streams.iter().map(|_| None).collect();
        let mut timetable = Self { workload, shard, streams, heads: BinaryHeap::new(), requests };
        for place in 0..timetable.streams.len() {
            timetable.advance(place);
        }
        timetable
    }

    fn advance(&mut self, place: usize) {
        let shard = self.shard;
        self.requests[place] = self.streams[place].find(|request| shard.holds(request));
        if let Some(request) = &self.requests[place] {
            self.heads.push(Reverse((request.due(self.workload), place, request.index)));
        }
    }
}

impl Iterator for Timetable<'_> {
    type Item = (Duration, Request);

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((due, place, _)) = self.heads.pop()?;
        let request = self.requests[place].take()?;
        self.advance(place);
        Some((due, request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::tests::small;

    #[test]
    fn shares_are_disjoint_and_all_of_it() {
        let workload = small();
        let all: Vec<_> = Timetable::new(&workload, Shard::WHOLE).collect();
        assert!(all.is_sorted_by_key(|(due, _)| *due));
        let mut shared: Vec<_> =
            (1..=3).flat_map(|number| Timetable::new(&workload, Shard::new(number, 3).unwrap())).collect();
        assert_eq!(shared.len(), all.len());
        shared.sort_by_key(|(_, request)| request.index);
        assert_eq!(shared, all);
    }

    #[test]
    fn streams_are_merged_by_when_they_are_due() {
        let mut plan = small().plan().clone();
        plan.traffic.push(plan.traffic[0].clone());
        let workload = Workload::new(plan, crate::persona::PersonaTable::make(42, 16));
        let all: Vec<_> = Timetable::new(&workload, Shard::WHOLE).collect();
        assert!(all.is_sorted_by_key(|(due, _)| *due));
        assert!(all.windows(2).any(|pair| pair[0].1.stream != pair[1].1.stream));
        let events: u64 = all.iter().map(|(_, request)| request.positions.end - request.positions.start).sum();
        assert_eq!(events, 10_000);
    }

    #[test]
    fn a_share_is_written_as_which_of_how_many() {
        assert_eq!("2/3".parse(), Ok(Shard { number: 2, of: 3 }));
        assert_eq!("1/1".parse::<Shard>().unwrap().to_string(), "1/1");
        for wrong in ["", "1", "0/3", "4/3", "1/0", "a/b", "1/2/3"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
