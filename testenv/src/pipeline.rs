//! The reference pipeline: capture, ingester and exporter, and the switches that plant defects in them.
//!
//! It stands in for PostHog's capture and plugin server and follows the ingestion contract, in the [dialect] that it is told
//! (2026 is PostHog's `rust/capture` and `nodejs/src/ingestion`). Whatever is a rule is a pure function in a file of its own; [`capture`], [`ingester`] and
//! [`exporter`] are the processes around them.

pub mod capture;
pub mod captured;
pub mod defect;
pub mod dialect;
pub mod exporter;
pub mod ingester;
pub mod json_object;
pub mod json_reader;
pub mod json_string;
pub mod json_text;
mod membership;
pub mod plugin;
pub mod properties;
pub mod settings;
pub mod timestamp;
