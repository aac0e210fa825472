//! The embedded environment: real Kafka, the real ClickHouse engine and the reference pipeline as child processes.
//!
//! [`artefacts`] fetches the parts, [`guard`] owns the processes and [`children`] talks to it, [`substrate`] starts Kafka
//! and ClickHouse, [`quota`] holds a process to its share of a processor.

pub mod artefacts;
pub mod children;
pub mod guard;
pub mod kafka;
pub mod quota;
pub mod substrate;
