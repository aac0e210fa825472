//! The embedded environment: real Kafka, the real ClickHouse engine and the reference pipeline as child processes.
//!
//! [`artefacts`] fetches the parts, [`guard`] owns the processes and [`children`] talks to it, [`substrate`] starts Kafka
//! and ClickHouse, and [`pipeline`] the run's own capture and ingester, topics and tables.

pub mod artefacts;
pub mod children;
pub mod component;
pub mod guard;
pub mod kafka;
pub mod parts;
pub mod pipeline;
pub mod port;
mod sink;
pub mod substrate;
pub mod tables;
pub mod usage;
