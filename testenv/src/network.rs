//! Links between components that can fail: what they do to what goes through them, here or in a container.

mod jitter;
pub mod link;

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::link::Link;
use crate::{environment::EnvironmentError, injector::RemoteLink};

/// What a link does to what goes through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Nothing.
    #[default]
    Healthy,
    /// It holds everything back.
    Cut,
    /// It resets every connection.
    Reset,
    /// It holds each chunk back for `by`, give or take `jitter`, which is drawn from `seed`, and keeps their order.
    Delayed {
        /// How long.
        by: Duration,
        /// More or less.
        jitter: Duration,
        /// What is drawn from.
        seed: u64,
    },
    /// It carries so many bytes a second, both directions of all connections together.
    Narrow {
        /// How many.
        bytes_per_second: u64,
    },
}

/// A link, wherever it is. Clones are the same one.
#[derive(Debug, Clone)]
pub enum AnyLink {
    /// In this process.
    Here(Arc<Link>),
    /// In a container, between others.
    There(RemoteLink),
}

impl AnyLink {
    /// Changes what the link does, from now on, also to what is on its way.
    ///
    /// # Errors
    /// When it cannot be told.
    pub async fn set(&self, condition: Condition) -> Result<(), EnvironmentError> {
        match self {
            Self::Here(link) => {
                link.set(condition);
                Ok(())
            }
            Self::There(link) => link.set(condition).await,
        }
    }
}
