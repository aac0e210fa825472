//! Ledger × rows → evidence: what was sent against what was found, by identity and never by counts.
//!
//! [`sent`] folds the ledger into one outcome an event, [`reads`] holds when each event was first seen, [`rows`] what a
//! final read found. [`classify`] tells each event's [`story`] from them, and puts what the stories come to together into
//! [`evidence`]: counts, examples, and the [`population`]s and [`spans`] that rates and quantiles are judged from.

pub mod classify;
pub mod evidence;
pub mod population;
pub mod reads;
pub mod rows;
pub mod sent;
pub mod spans;
pub mod stages;
pub mod story;
pub(crate) mod totals;

#[cfg(test)]
pub(crate) mod example;
