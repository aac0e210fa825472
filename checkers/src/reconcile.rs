//! Ledger × rows → evidence: what was sent against what was found, by identity and never by counts.
//!
//! [`sent`] folds the ledger into one outcome an event, [`reads`] holds when each event was first seen, [`rows`] what a
//! final read found, and [`classify`] puts them together into [`evidence`].

pub mod classify;
pub mod evidence;
pub mod reads;
pub mod rows;
pub mod sent;

#[cfg(test)]
pub(crate) mod example;
