//! Ledger × rows → evidence: what was sent against what was found, by identity and never by counts.
//!
//! [`sent`] folds the ledger into one outcome an event, [`reads`] holds when each event was first seen, [`rows`] what a
//! final read found, [`stages`] what passed through Kafka, [`exports`] what plugins delivered, [`groups`] what the table of groups must hold; each is sorted by [`windows`] of events in a [`spool`], so that
//! memory grows neither with the run nor with its defects. [`classify`] tells each event's [`story`] from them, window
//! after window, and puts what the stories come to together into [`evidence`]: counts, examples, and the [`population`]s
//! and [`spans`] that rates and quantiles are judged from. Where a recording holds an event with several contents, `contents` says
//! which of them a row may hold. [`seen`] and [`awaited`] say what is still missing while a run
//! goes on.

mod age;
pub mod awaited;
pub mod classify;
mod contents;
pub mod evidence;
pub mod exports;
pub mod groups;
pub mod population;
pub mod reads;
pub mod rows;
pub mod schedule;
pub mod seen;
pub mod sent;
pub mod sequence;
pub mod spans;
pub mod spool;
pub mod stages;
pub mod story;
pub(crate) mod totals;
pub mod windows;

#[cfg(test)]
pub(crate) mod example;
#[cfg(test)]
mod recorded;
