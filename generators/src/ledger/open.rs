//! The requests that wait for their outcomes, in the order of their intents.

use std::collections::VecDeque;

use super::Outcome;

/// More are not held: the outcome of an earlier one says in full whose it is. 2 MB.
const MOST: usize = 1 << 16;

/// Those requests.
#[derive(Debug, Default)]
pub(super) struct Open(VecDeque<Waiting>);

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    pub stream: u16,
    pub index: u64,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// In microseconds.
    pub released: u64,
}

impl Open {
    /// This one waits now.
    pub(super) fn push(&mut self, request: Waiting) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(request);
    }

    /// How many of those that wait were released before the one of `outcome`; `None` if it is not among them.
    pub(super) fn rank(&self, outcome: &Outcome) -> Option<u64> {
        let whose = (outcome.stream.0, outcome.index, outcome.attempt);
        self.0.iter().position(|one| (one.stream, one.index, one.attempt) == whose).map(|rank| rank as u64)
    }

    /// Takes the one with so many before it.
    pub(super) fn take(&mut self, rank: u64) -> Option<Waiting> {
        self.0.remove(usize::try_from(rank).ok()?)
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
