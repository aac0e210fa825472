//! What is shown: live progress, the final table, JUnit, and verdict.json as text.
//!
//! Everything here reads a [`checkers::record::RunRecord`] or a snapshot that the runner fills in; nothing judges.

pub mod calibration;
pub mod capacity;
pub mod explain;
mod faults;
pub mod figures;
pub mod junit;
pub mod live;
pub mod live_page;
pub mod metrics;
pub mod progress;
pub mod runbooks;
pub mod sending;
pub mod terminal;
