//! The requests of all streams in the order in which they are due, and shares of them for several senders.

mod repeated;

use std::{cmp::Reverse, collections::BinaryHeap, fmt, str::FromStr, time::Duration};

use crate::{
    event::EventSource,
    request::{Request, Requests},
    workload::Workload,
};

pub use self::repeated::Repeated;

/// One of several disjoint shares of the traffic: `1/3` to `3/3` are all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

    /// One of `parts` shares of this share, from 1; `None` if there is no such.
    pub fn part(self, number: u64, parts: u64) -> Option<Self> {
        let of = self.of.checked_mul(parts)?;
        (1..=parts).contains(&number).then(|| Self { number: self.number + self.of * (number - 1), of })
    }

    /// Whether it is all of the traffic.
    pub const fn is_whole(self) -> bool {
        self.of == 1
    }

    /// What is missing for `shares` to be all of the traffic together.
    ///
    /// # Errors
    /// When two of them hold the same requests, or there are too many different ones to be compared.
    pub fn missing(shares: &[Self]) -> Result<Vec<Self>, SharesError> {
        let of = shares.iter().try_fold(1u64, |all, share| {
            let least = all.checked_mul(share.of / greatest_common_divisor(all, share.of));
            least.filter(|least| *least <= MOST_SHARES)
        });
        let of = of.ok_or(SharesError::TooMany)?;
        let mut holders: Vec<Option<Self>> = vec![None; of as usize];
        for share in shares {
            for index in (share.number - 1..of).step_by(share.of as usize) {
                if let Some(other) = holders[index as usize].replace(*share) {
                    return Err(SharesError::Overlap(other, *share));
                }
            }
        }
        // The largest shares that are missing as a whole, and then what is left.
        let mut missing = Vec::new();
        for divisor in (1..=of).filter(|divisor| of.is_multiple_of(*divisor)) {
            for number in 1..=divisor {
                let share = Self { number, of: divisor };
                let places = (number - 1..of).step_by(divisor as usize);
                if places.clone().all(|index| holders[index as usize].is_none()) {
                    places.for_each(|index| holders[index as usize] = Some(share));
                    missing.push(share);
                }
            }
        }
        Ok(missing)
    }

    /// Whether a request belongs to it. Requests take turns, so shares are due alike.
    pub const fn holds(self, request: &Request) -> bool {
        request.index % self.of == self.number - 1
    }
}

/// More shares than these are no way to divide traffic.
const MOST_SHARES: u64 = 100_000;

/// Shares that are not those of one traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SharesError {
    /// Two hold the same requests.
    #[error("the shares {0} and {1} hold the same requests")]
    Overlap(Shard, Shard),
    /// They are divided too finely.
    #[error("the traffic is divided into more than {MOST_SHARES} shares")]
    TooMany,
}

const fn greatest_common_divisor(mut one: u64, mut other: u64) -> u64 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
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
    fn parts_of_shares_are_disjoint_and_what_is_missing_is_told() {
        let share = |text: &str| text.parse::<Shard>().unwrap();
        let workload = small();
        let indices =
            |share| -> Vec<u64> { Timetable::new(&workload, share).map(|(_, request)| request.index).collect() };
        let mut parts: Vec<u64> = (1..=2).flat_map(|part| indices(share("2/3").part(part, 2).unwrap())).collect();
        parts.sort_unstable();
        assert_eq!(parts, indices(share("2/3")));
        assert_eq!((share("2/3").part(0, 2), share("2/3").part(3, 2)), (None, None));

        let missing = |texts: &[&str]| {
            let shares: Vec<_> = texts.iter().map(|text| share(text)).collect();
            Shard::missing(&shares).map(|missing| missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(missing(&["1/1"]).unwrap(), "");
        assert_eq!(missing(&["1/6", "4/6", "2/3", "3/3"]).unwrap(), "");
        assert_eq!(missing(&["1/6", "2/3", "3/3"]).unwrap(), "4/6");
        assert_eq!(missing(&["1/6", "4/6"]).unwrap(), "2/3 3/3");
        assert_eq!(missing(&[]).unwrap(), "1/1");
        assert_eq!(missing(&["1/2", "1/3"]), Err(SharesError::Overlap(share("1/2"), share("1/3"))));
        assert_eq!(missing(&["1/99991", "2/99989"]), Err(SharesError::TooMany));
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
