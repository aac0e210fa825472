//! Whole runs through the real Kafka and the real ClickHouse, as a user starts them.
//!
//! One substrate for all tests of this binary; each run brings a pipeline of its own, and has the machine to itself.
//! The tests that kill things have a substrate of their own.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod calibration;
mod capacity;
mod chaos;
mod clients;
mod clusters;
mod errors;
mod external;
mod external_kafka;
mod faults;
mod files;
mod harness;
mod interruptions;
mod monitoring;
mod overflow;
mod pages;
mod plugins;
mod routing;
mod runs;
mod shares;
mod soaks;
mod substitutes;
mod traffic;
