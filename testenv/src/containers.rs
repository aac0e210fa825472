//! The containers environment: the same parts as images, on a network of their own.
//!
//! [`docker`] talks to the daemon, [`images`] says which image plays which part, [`container`] is one container's life, and
//! [`substrate`] starts Kafka and ClickHouse. Whatever carries a run's label is removed when the run is over, by the guard,
//! however the run ended: [`sweep`].

pub mod container;
pub mod docker;
pub mod images;
pub mod substrate;
pub mod sweep;
