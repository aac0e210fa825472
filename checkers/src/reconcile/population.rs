//! The events among which a rate is counted, with the clusters that they came in.

use serde::{Deserialize, Serialize};

use crate::statistics::clusters::{Clusters, Tally};

/// A lane of the pipeline: a partition of the capture topic in one second of intended sending. Events of one lane meet
/// the same fate when something stalls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lane {
    /// The partition; −1 for an event that never reached one.
    pub partition: i32,
    /// The second of its intended sending.
    pub second: i64,
}

/// A counted population.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Population {
    /// How many events.
    pub n: u64,
    /// How many of them are defects.
    pub k: u64,
    /// By the request of the first ack; an event without one is a cluster of its own.
    pub by_request: Clusters,
    /// By partition and second of the intended sending; `None` where partitions are not known.
    pub by_lane: Option<Clusters>,
}

impl Population {
    /// The same with `more` events that are none of the defects, each in a request of its own.
    #[must_use]
    pub fn with_clean(mut self, more: u64) -> Self {
        self.n += more;
        for clusters in [Some(&mut self.by_request), self.by_lane.as_mut()].into_iter().flatten() {
            clusters.add_singles(more);
        }
        self
    }
}

/// Defects and events of one request, or of a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Share {
    /// The defects.
    pub k: u32,
    /// All of them.
    pub n: u32,
}

impl Share {
    /// Counts so many events, all of them defects or none.
    pub const fn count(&mut self, defect: bool, events: u32) {
        self.k += if defect { events } else { 0 };
        self.n += events;
    }

    /// Adds another part of the same request.
    pub const fn add(&mut self, other: Self) {
        self.k += other.k;
        self.n += other.n;
    }
}

/// A population that is being counted.
#[derive(Debug, Clone)]
pub struct Count {
    /// The requests of the window that is being counted.
    requests: Vec<Share>,
    by_request: Clusters,
    lanes: Option<Tally<Lane>>,
}

impl Count {
    /// Nothing counted yet; `lanes` tells whether partitions are known.
    pub fn new(lanes: bool) -> Self {
        Self { requests: Vec::new(), by_request: Clusters::default(), lanes: lanes.then(Tally::default) }
    }

    /// Begins a window with events of so many requests.
    pub fn begin(&mut self, requests: usize) {
        self.requests.clear();
        self.requests.resize(requests, Share::default());
    }

    /// Counts so many events that are alike: whether they are defects, the request of their first ack by its number in the
    /// window, and their lane.
    pub fn add(&mut self, defect: bool, request: Option<u32>, lane: Lane, events: u32) {
        match request.and_then(|request| self.requests.get_mut(request as usize)) {
            Some(share) => share.count(defect, events),
            None => (0..events).for_each(|_| self.by_request.add(u64::from(defect), 1)),
        }
        if let Some(lanes) = &mut self.lanes {
            lanes.count(lane, defect, events);
        }
    }

    /// The events of the window that are of one request.
    pub fn share(&self, request: usize) -> Share {
        self.requests.get(request).copied().unwrap_or_default()
    }

    /// Closes a request of which nothing more will come.
    pub fn close(&mut self, Share { k, n }: Share) {
        self.by_request.add(u64::from(k), u64::from(n));
    }

    /// What was counted, of requests that were closed.
    pub fn finish(&self) -> Population {
        let by_request = self.by_request;
        Population { n: by_request.n, k: by_request.k, by_request, by_lane: self.lanes.as_ref().map(Tally::clusters) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_fall_into_their_requests_and_lanes() {
        let lane = |partition| Lane { partition, second: 0 };
        let mut count = Count::new(true);
        count.begin(2);
        for (defect, request, partition) in
            [(true, Some(0), 1), (true, Some(0), 1), (false, Some(1), 2), (false, None, -1), (true, None, -1)]
        {
            count.add(defect, request, lane(partition), 1);
        }
        let mut whole = count.share(0);
        assert_eq!((whole, count.share(7)), (Share { k: 2, n: 2 }, Share::default()));
        count.close(count.share(1));
        // The other one lies in the next window too.
        count.begin(1);
        count.add(false, Some(0), lane(1), 1);
        whole.add(count.share(0));
        count.close(whole);
        let population = count.finish();
        assert_eq!((population.n, population.k), (6, 3));
        assert_eq!((population.by_request.clusters, population.by_request.largest_k), (4, 2));
        let lanes = population.by_lane.unwrap();
        assert_eq!((lanes.clusters, lanes.n, lanes.largest_k), (3, 6, 2));
        assert_eq!(Count::new(false).finish(), Population::default());
    }
}
