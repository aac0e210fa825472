//! What a consumer knows of its group: the role is ready when it has its share of the partitions.

use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::{
    ClientContext,
    consumer::{BaseConsumer, ConsumerContext, Rebalance},
};

use super::settings::{log, say_ready};

/// Whether the group has given this consumer its share.
#[derive(Debug, Default)]
pub(super) struct Membership {
    has_joined: AtomicBool,
    /// Whether it was given a share that it has not looked at yet.
    has_new_share: AtomicBool,
}

impl Membership {
    /// Whether the group has given this consumer a share since the last time that this was asked.
    pub(super) fn takes_new_share(&self) -> bool {
        self.has_new_share.swap(false, Ordering::Relaxed)
    }
}

impl ClientContext for Membership {}

impl ConsumerContext for Membership {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                log(&format!("{} partitions are this consumer's", partitions.count()));
                self.has_new_share.store(true, Ordering::Relaxed);
                if !self.has_joined.swap(true, Ordering::Relaxed)
                    && let Err(error) = say_ready(0)
                {
                    log(&format!("nobody hears that this role is ready: {error}"));
                }
            }
            Rebalance::Revoke(_) => log("the partitions are shared out anew"),
            Rebalance::Error(error) => log(&format!("the partitions could not be shared out: {error}")),
        }
    }
}
