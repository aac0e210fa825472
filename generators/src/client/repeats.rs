//! What is sent once more because the plan says so, and not because of an answer: second sendings, and duplicates that something
//! on the way makes.
//!
//! When each is due follows from the request that it repeats, so nothing is drawn here, and nothing is kept but what waits. That
//! holds no bytes, and when too many wait, a further one is given up and counted: its events were sent, once.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::SenderProgress;
use crate::{
    identity::StreamId,
    ledger::{Answer, Outcome},
    request::Request,
    workload::Workload,
};

/// So many may wait: some ten megabytes.
pub const WAITING: usize = 100_000;

/// When one is due, and which it is: stream, index and attempt.
type Place = (Duration, StreamId, u64, u32);

/// What waits to be sent once more.
#[derive(Debug)]
pub(super) struct Repeats<'a> {
    workload: &'a Workload,
    waiting: BTreeMap<Place, Request>,
    /// How many of this sender were given up; `progress` may be of several.
    given_up: u64,
    progress: Arc<SenderProgress>,
}

impl<'a> Repeats<'a> {
    /// None yet; what is given up is counted in `progress`.
    pub const fn new(workload: &'a Workload, progress: Arc<SenderProgress>) -> Self {
        Self { workload, waiting: BTreeMap::new(), given_up: 0, progress }
    }

    /// Takes in what repeats `planned`, of which `first` is about to leave: all of it, or its first part.
    pub fn expect(&mut self, planned: &Request, first: &Request) {
        self.put(planned.sent_again(self.workload));
        self.put(first.duplicate(self.workload));
    }

    fn put(&mut self, repeat: Option<(Duration, Request)>) {
        let Some((at, request)) = repeat else { return };
        if self.waiting.len() < WAITING {
            self.waiting.insert(place(at, &request), request);
        } else {
            self.given_up += 1;
            self.progress.given_up.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// `request` never left, and what nobody got nobody sends twice.
    pub fn ended(&mut self, outcome: &Outcome, request: &Request) {
        if request.attempt() != 1 || !matches!(outcome.answer, Answer::NeverLeft { .. }) {
            return;
        }
        let repeats = [request.sent_again(self.workload), request.duplicate(self.workload)];
        for (at, repeat) in repeats.into_iter().flatten() {
            self.waiting.remove(&place(at, &repeat));
        }
    }

    /// When the next one is due.
    pub fn due(&self) -> Option<Duration> {
        self.waiting.first_key_value().map(|((at, ..), _)| *at)
    }

    /// Takes one that is due by `now`, with when it was.
    pub fn take(&mut self, now: Duration) -> Option<(Duration, Request)> {
        self.due().filter(|at| *at <= now)?;
        self.waiting.pop_first().map(|((at, ..), request)| (at, request))
    }

    /// How many were given up, since too many waited.
    pub const fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Gives up all that wait.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }
}

fn place(at: Duration, request: &Request) -> Place {
    (at, request.stream, request.index, request.attempt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        persona::PersonaTable,
        random::{Distribution, Share},
        request::Requests,
        workload::tests::small,
    };

    const STREAM: StreamId = StreamId(0);
    const LATER: Duration = Duration::from_secs(3);

    /// Of every request all is sent again after three seconds, and twice after one.
    fn repeating() -> Workload {
        let mut plan = small().plan().clone();
        let disorder = &mut plan.traffic[0].disorder;
        let all = Share::new(1.0).unwrap();
        (disorder.resend, disorder.resend_after) = (all, Some(Distribution::Constant { value: LATER }));
        disorder.duplicate_requests = all;
        disorder.duplicate_after = Distribution::Constant { value: Duration::from_secs(1) };
        Workload::new(plan, PersonaTable::make(42, 2))
    }

    #[test]
    fn what_repeats_a_request_is_due_after_it_and_not_before() {
        let workload = repeating();
        let mut repeats = Repeats::new(&workload, Arc::default());
        let first = Requests::new(&workload, STREAM).nth(5).unwrap();
        repeats.expect(&first, &first);
        let due = first.due(&workload);
        assert_eq!(repeats.due(), Some(due + Duration::from_secs(1)));
        assert!(repeats.take(due + Duration::from_millis(999)).is_none());
        let (at, duplicate) = repeats.take(due + LATER).unwrap();
        assert_eq!((at, duplicate.positions), (due + Duration::from_secs(1), first.positions.clone()));
        let (at, again) = repeats.take(due + LATER).unwrap();
        assert_eq!((at, again.resends), (due + LATER, first.positions));
        assert!(repeats.is_empty() && repeats.due().is_none());
    }

    #[test]
    fn what_never_left_is_not_repeated_and_no_more_wait_than_may() {
        let workload = repeating();
        let mut repeats = Repeats::new(&workload, Arc::default());
        let first = Requests::new(&workload, STREAM).next().unwrap();
        let outcome = |answer| {
            let (stream, index, sent) = (STREAM, 0, Duration::ZERO);
            Outcome { stream, index, attempt: 1, sent, answered: sent, answer }
        };
        repeats.expect(&first, &first);
        repeats.ended(&outcome(Answer::TimedOut), &first);
        assert_eq!(repeats.waiting.len(), 2, "somebody may have got it");
        repeats.ended(&outcome(Answer::NeverLeft { error: String::new() }), &first);
        assert!(repeats.is_empty());
        for index in 0..WAITING as u64 {
            let other = Request { index, ..first.clone() };
            repeats.expect(&other, &other);
        }
        assert_eq!(repeats.waiting.len(), WAITING);
        assert_eq!(repeats.given_up(), WAITING as u64, "as many again");
        assert_eq!(repeats.progress.given_up.load(Ordering::Relaxed), WAITING as u64);
        // Another sender of the same process gives up its own.
        let other = Repeats::new(&workload, Arc::clone(&repeats.progress));
        assert_eq!(other.given_up(), 0);
        repeats.clear();
        assert!(repeats.is_empty());
        assert_eq!(repeats.given_up(), WAITING as u64, "what is not sent since sending was stopped is no more of them");
    }
}
