//! Reading the store: the only part of this crate that does I/O.
//!
//! [`watch`] looks for new events while the run goes on, [`clickhouse`] asks the questions, [`parts`] knows which data
//! parts are new, [`foreign`] finds a run's rows among other people's, whatever the [`columns`] are called there,
//! [`groups`] reads the table of groups, [`lag`] asks [`kafka`] how far the subject's consumers are behind, and [`taps`] sees
//! what passes through its topics.

pub mod clickhouse;
pub mod columns;
pub mod foreign;
pub mod groups;
pub mod kafka;
pub mod lag;
pub mod parts;
pub mod taps;
pub mod watch;

use std::time::Duration;

use ::clickhouse::error::Error as ClientError;

/// The store could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// ClickHouse refused, or could not be reached.
    #[error("ClickHouse could not be read ({question})")]
    Store {
        /// What was asked.
        question: &'static str,
        /// What the client said.
        source: Box<ClientError>,
    },
    /// A read did not return the rows that it had announced.
    #[error("a read of {table} returned {found} rows where {announced} were announced, {attempts} times in a row")]
    NotWhole {
        /// The table.
        table: String,
        /// The sum of the parts' rows.
        announced: u64,
        /// How many came.
        found: u64,
        /// How often it was tried.
        attempts: u32,
    },
    /// Data parts were merged faster than they could be read.
    #[error("data parts of {table} were merged away while they were read, {attempts} times in a row")]
    Merging {
        /// The table.
        table: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The store did not answer.
    #[error("ClickHouse did not answer within {0:?} ({1})")]
    TimedOut(Duration, &'static str),
    /// No thread could be had.
    #[error("a thread could not be started")]
    Thread(#[source] std::io::Error),
    /// Kafka did not say where a partition ends, so nobody knows how far who reads it is behind.
    #[error("Kafka did not say where partition {partition} of {topic} ends")]
    NoEnd {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// Kafka refused, or could not be reached.
    #[error("Kafka could not be asked how far the consumers are")]
    Kafka(#[from] rdkafka::error::KafkaError),
}
