//! Requests put together again: their events lie in many parts.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{
    line::FileError,
    part::Part,
    parts::{PARTS, Parts, records},
};
use crate::reconcile::{
    evidence::Evidence,
    totals::{Shares, Totals},
};

/// The requests of one part, by their numbers in it.
#[derive(Debug, Default)]
pub(super) struct Local<'a> {
    numbers: HashMap<&'a str, u32>,
    names: Vec<&'a str>,
}

/// What became of a request's attempts of unknown outcome.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Torn {
    /// Some of them were seen.
    some: bool,
    /// Some were not.
    other: bool,
}

impl Torn {
    const fn add(&mut self, other: Self) {
        self.some |= other.some;
        self.other |= other.other;
    }
}

impl<'a> Local<'a> {
    /// The number of the request `name`, a new one if it is new.
    pub fn number(&mut self, name: &'a str) -> u32 {
        *self.numbers.entry(name).or_insert_with(|| {
            self.names.push(name);
            self.names.len() as u32 - 1
        })
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.names.len()
    }
}

/// The portion of a request that lies in one part.
#[derive(Debug, Serialize, Deserialize)]
struct Portion<'a> {
    request: &'a str,
    shares: Shares,
    torn: Torn,
}

/// All requests, by their names.
#[derive(Debug)]
pub(super) struct Portions(Parts);

impl Portions {
    pub fn new() -> Self {
        Self(Parts::new())
    }

    /// Adds the requests of a part that has been counted.
    ///
    /// # Errors
    /// When the temporary file cannot be written.
    pub fn add(&mut self, part: &Part<'_>, totals: &Totals) -> Result<(), FileError> {
        let mut torn = vec![Torn::default(); part.requests.len()];
        for (request, id) in &part.indeterminate {
            let seen = part.ids[*id as usize].is_seen();
            torn[*request as usize].add(Torn { some: seen, other: !seen });
        }
        for ((number, request), torn) in part.requests.names.iter().enumerate().zip(torn) {
            self.0.put(request, &Portion { request, shares: totals.shares(number), torn })?;
        }
        Ok(())
    }

    /// Closes every request, and counts those that were torn. How many requests there are.
    ///
    /// # Errors
    /// When the temporary file cannot be read.
    pub fn close(&self, totals: &mut Totals, evidence: &mut Evidence) -> Result<u64, FileError> {
        let mut requests = 0;
        for part in 0..PARTS {
            let bytes = self.0.part(part)?;
            let mut whole: HashMap<&str, (Shares, Torn)> = HashMap::new();
            for portion in records(&bytes) {
                let Portion { request, shares, torn } = portion?;
                let (sum, torn_so_far) = whole.entry(request).or_default();
                sum.add(shares);
                torn_so_far.add(torn);
            }
            requests += whole.len() as u64;
            for (shares, torn) in whole.into_values() {
                // Files are whole, and never judged as a sequence.
                totals.close(shares, 0, evidence);
                evidence.counts.torn_requests += u64::from(torn.some && torn.other);
            }
        }
        Ok(requests)
    }
}
