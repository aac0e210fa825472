//! The containers environment: the same parts as images, on a network of their own.
//!
//! [`docker`] talks to the daemon, [`images`] says which image plays which part, [`supply`] whether it can be had, [`container`] is
//! one container's life, [`substitute`] is what other people's images are told that take the pipeline's places, [`mount`] what
//! files they may read, and [`substrate`] starts Kafka and ClickHouse. Whatever carries a run's label is removed when the run is
//! over, by the guard, however the run ended; what the guard could not remove since it was killed too, the next run does, once
//! its [`owner`] is dead: [`sweep`].

pub mod container;
pub mod docker;
#[cfg(test)]
mod fake;
pub mod images;
pub mod mount;
pub mod owner;
pub mod substitute;
pub mod substrate;
pub mod supply;
pub mod sweep;
