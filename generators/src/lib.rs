//! What is sent: the workload, its personas and disorder, the schedule, the wire forms, the open-loop sender and the
//! ledger of what was sent and answered.
//!
//! Everything up to the bytes of a request is a pure function of the plan and an index, so that any part of the
//! traffic can be made again, by any process, later, to know what a row should hold. Only [`client`] and
//! [`journal`] do I/O.

pub mod client;
pub mod clock;
pub mod error_chain;
pub mod event;
pub mod identity;
pub mod journal;
pub mod ledger;
pub mod permutation;
pub mod persona;
pub mod random;
pub mod replay;
pub mod request;
pub mod schedule;
mod text;
pub mod timetable;
pub mod wire;
pub mod workload;
