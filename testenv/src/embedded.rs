//! The embedded environment: real Kafka, the real ClickHouse engine and the reference pipeline as child processes.

pub mod guard;
