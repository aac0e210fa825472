//! The events among which a rate is counted, with the clusters that they came in.

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

/// A population that is being counted.
#[derive(Debug, Clone)]
pub struct Count {
    requests: Vec<(u32, u32)>,
    alone: Clusters,
    lanes: Option<Tally<Lane>>,
}

impl Count {
    /// Nothing counted yet, of events in so many requests; `lanes` tells whether partitions are known.
    pub fn new(requests: usize, lanes: bool) -> Self {
        Self { requests: vec![(0, 0); requests], alone: Clusters::default(), lanes: lanes.then(Tally::default) }
    }

    /// Counts an event: whether it is a defect, the request of its first ack, and its lane.
    pub fn add(&mut self, defect: bool, request: Option<u32>, lane: Lane) {
        match request.and_then(|request| self.requests.get_mut(request as usize)) {
            Some((k, n)) => {
                *k += u32::from(defect);
                *n += 1;
            }
            None => self.alone.add(u64::from(defect), 1),
        }
        if let Some(lanes) = &mut self.lanes {
            lanes.count(lane, defect);
        }
    }

    /// What was counted.
    pub fn finish(&self) -> Population {
        let mut by_request = self.alone;
        for (k, n) in &self.requests {
            by_request.add(u64::from(*k), u64::from(*n));
        }
        Population { n: by_request.n, k: by_request.k, by_request, by_lane: self.lanes.as_ref().map(Tally::clusters) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_fall_into_their_requests_and_lanes() {
        let lane = |partition| Lane { partition, second: 0 };
        let mut count = Count::new(2, true);
        for (defect, request, partition) in
            [(true, Some(0), 1), (true, Some(0), 1), (false, Some(1), 2), (false, None, -1), (true, None, -1)]
        {
            count.add(defect, request, lane(partition));
        }
        let population = count.finish();
        assert_eq!((population.n, population.k), (5, 3));
        assert_eq!((population.by_request.clusters, population.by_request.largest_k), (4, 2));
        let lanes = population.by_lane.unwrap();
        assert_eq!((lanes.clusters, lanes.n, lanes.largest_k), (3, 5, 2));
        assert_eq!(Count::new(0, false).finish(), Population::default());
    }
}
