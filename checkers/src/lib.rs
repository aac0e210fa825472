//! What is judged: watching the store, what must be in it, comparing the two, and the verdict.
//!
//! The thinking ([`oracle`], [`reconcile`], [`checks`], [`statistics`], [`verdict`], [`settle`], [`soak`], [`tamper`], [`details`], [`files`]) is pure, synchronous and
//! clock-free; only [`observe`] does I/O. The definitions are those of the design of the verdict: outcomes, defect
//! classes, settling and the watermark, the two statements, and when nothing can be said.

pub mod checks;
pub mod details;
pub mod disturbance;
pub mod explain;
pub mod files;
pub mod judge;
pub mod observe;

pub mod oracle;
pub mod reasons;
pub mod reconcile;
pub mod record;
pub mod settle;
pub mod soak;
pub mod statistics;
pub mod tamper;
pub mod verdict;
