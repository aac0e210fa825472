//! What is shown: live progress, the final table, the page, JUnit, the summary and annotations for CI, comparisons.
//!
//! Everything here reads a [`checkers::record::RunRecord`] or a snapshot that the runner fills in; nothing judges.

pub mod annotations;
pub mod calibration;
pub mod capacity;
pub mod compare;
pub mod explain;
mod faults;
pub mod figures;
pub mod history;
pub mod html;
pub mod junit;
pub mod limits;
pub mod live;
pub mod live_page;
pub mod metrics;
pub mod progress;
mod runbook;
pub mod runbooks;
pub mod sending;
pub mod summary;
pub mod terminal;
mod unseen;
pub mod view;
