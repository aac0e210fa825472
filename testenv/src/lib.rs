//! What is tested: environments and the reference pipeline.
//!
//! An environment has two layers. The *substrate* (Kafka and ClickHouse) is long-lived and may be shared by many
//! runs; the *pipeline* (capture, ingester, topics, database, consumer groups, person file, planted defects) belongs
//! to one run; [`environment`] has what is the same wherever they run. [`embedded`] starts them as child processes on loopback,
//! [`containers`] as images; [`role`] is what those children and images run. Somebody else's pipeline is broken by commands of
//! theirs, and [`healer`] sees to it that it is whole again.
//!
//! Nothing here depends on the generators or the checkers: the reference pipeline and the oracle must not share a
//! rule, or a wrong rule would agree with itself.

pub mod clickhouse;
pub mod containers;
mod draw;
pub mod embedded;
pub mod environment;
pub mod fault;
pub mod healer;
pub mod injector;
pub mod name;
pub mod network;
pub mod null_sink;
pub mod pipeline;
pub mod role;
pub mod webhook;
