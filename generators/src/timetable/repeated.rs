//! The timetable with everything that the plan has sent once more: second sendings in requests of their own, and duplicates.

use std::{collections::BTreeMap, time::Duration};

use super::{Shard, Timetable};
use crate::{identity::StreamId, request::Request, workload::Workload};

/// All requests of a share, and what repeats them, in the order in which they are due; what a library sends again because of an
/// answer is not among them. It holds what waits for its turn: as much as is sent in the longest of the delays.
#[derive(Debug)]
pub struct Repeated<'a> {
    workload: &'a Workload,
    timetable: Timetable<'a>,
    /// The timetable's next request.
    next: Option<(Duration, Request)>,
    waiting: BTreeMap<(Duration, StreamId, u64, u32), Request>,
}

impl<'a> Repeated<'a> {
    /// All requests of a share of `workload`.
    pub fn new(workload: &'a Workload, shard: Shard) -> Self {
        let mut timetable = Timetable::new(workload, shard);
        let next = timetable.next();
        Self { workload, timetable, next, waiting: BTreeMap::new() }
    }
}

impl Iterator for Repeated<'_> {
    type Item = (Duration, Request);

    fn next(&mut self) -> Option<Self::Item> {
        let waits = self.waiting.first_key_value().map(|((at, ..), _)| *at);
        let planned = self.next.take_if(|(due, _)| waits.is_none_or(|at| *due <= at));
        let Some((due, request)) = planned else {
            return self.waiting.pop_first().map(|((at, ..), request)| (at, request));
        };
        for (at, repeat) in [request.sent_again(self.workload), request.duplicate(self.workload)].into_iter().flatten()
        {
            self.waiting.insert((at, repeat.stream, repeat.index, repeat.attempt()), repeat);
        }
        self.next = self.timetable.next();
        Some((due, request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        persona::PersonaTable,
        random::{Distribution, Share},
        request::Sending,
        workload::tests::small,
    };

    fn repeating() -> Workload {
        let mut plan = small().plan().clone();
        let disorder = &mut plan.traffic[0].disorder;
        disorder.resend = Share::new(0.1).unwrap();
        disorder.resend_after = Some(Distribution::Exponential { mean: Duration::from_secs(2) });
        disorder.duplicate_requests = Share::new(0.2).unwrap();
        disorder.duplicate_after = Distribution::Exponential { mean: Duration::from_millis(300) };
        Workload::new(plan, PersonaTable::make(42, 16))
    }

    #[test]
    fn everything_is_in_the_order_in_which_it_is_due_and_shares_hold_it_together() {
        let workload = repeating();
        let all: Vec<_> = Repeated::new(&workload, Shard::WHOLE).collect();
        assert!(all.is_sorted_by_key(|(due, _)| *due));
        let count = |sending| all.iter().filter(|(_, request)| request.sending() == sending).count();
        assert_eq!(count(Sending::First), Timetable::new(&workload, Shard::WHOLE).count());
        let share = count(Sending::Duplicate) as f64 / count(Sending::First) as f64;
        assert!((0.13..0.27).contains(&share), "{share}");
        assert!(count(Sending::Again) > 50, "{}", count(Sending::Again));
        let mut shared: Vec<_> =
            (1..=3).flat_map(|number| Repeated::new(&workload, Shard::new(number, 3).unwrap())).collect();
        let key = |(due, request): &(Duration, Request)| (*due, request.index, request.attempt());
        shared.sort_by_key(key);
        let mut sorted = all;
        sorted.sort_by_key(key);
        assert_eq!(shared, sorted);
    }

    #[test]
    fn where_nothing_is_repeated_it_is_the_timetable() {
        let workload = small();
        assert!(Repeated::new(&workload, Shard::WHOLE).eq(Timetable::new(&workload, Shard::WHOLE)));
    }
}
