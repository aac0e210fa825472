//! What must be there: for every event the row that a correct pipeline stores, as data that a person can read.
//!
//! This is our own reading of the ingestion contract. It shares no code with the reference pipeline: a wrong rule would
//! agree with itself.

pub mod age;
mod blob;
pub mod body_limit;
mod called;
pub mod cookieless;
pub mod dialect;
pub mod elements;
pub mod groups;
pub mod json;
pub mod plain;
pub mod plugin;
pub mod presence;
pub mod profile;
pub mod row;
pub mod v1;
