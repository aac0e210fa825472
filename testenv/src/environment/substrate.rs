//! The substrate: Kafka and ClickHouse, which may outlive a run and be shared by many.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    ComponentEnded,
    component::{Component, first_failure},
    launcher::Launcher,
};
use crate::{fault::Target, injector::RemoteDisk, network::AnyLink};

/// Where a substrate is: all that a pipeline needs of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addresses {
    /// Kafka's brokers.
    pub brokers: String,
    /// ClickHouse's HTTP interface, `http://HOST:PORT`.
    pub clickhouse_url: String,
    /// Kafka's brokers as components know them, where that is another address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brokers_inside: Option<String>,
    /// ClickHouse's HTTP interface as components know it, where that is another address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clickhouse_inside: Option<String>,
    /// Where Kafka's brokers are for those that reach them over a link of their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub linked_brokers: BTreeMap<Target, String>,
}

impl Addresses {
    /// Kafka's brokers as components know them.
    pub fn brokers_inside(&self) -> &str {
        self.brokers_inside.as_ref().unwrap_or(&self.brokers)
    }

    /// ClickHouse's HTTP interface as components know it.
    pub fn clickhouse_inside(&self) -> &str {
        self.clickhouse_inside.as_ref().unwrap_or(&self.clickhouse_url)
    }

    /// Kafka's brokers for the component that uses the link `target`, if there is such a link.
    pub fn brokers_for(&self, target: Target) -> &str {
        self.linked_brokers.get(&target).map_or_else(|| self.brokers_inside(), String::as_str)
    }
}

/// A running Kafka and a running ClickHouse.
#[derive(Debug)]
pub struct Substrate {
    pub(crate) launcher: Launcher,
    pub(crate) components: Vec<Component>,
    pub(crate) links: BTreeMap<Target, AnyLink>,
    pub(crate) disks: BTreeMap<Target, RemoteDisk>,
    pub(crate) addresses: Addresses,
}

impl Substrate {
    /// Where it is.
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The components.
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// The links to Kafka that faults can act on.
    pub const fn links(&self) -> &BTreeMap<Target, AnyLink> {
        &self.links
    }

    /// The disks that faults can fill.
    pub const fn disks(&self) -> &BTreeMap<Target, RemoteDisk> {
        &self.disks
    }

    /// Resolves when a component ends although it is meant to run, which none does by itself.
    pub async fn failed(&self) -> ComponentEnded {
        first_failure(&self.components).await
    }

    /// What it was started on, which may start a run's pipeline as well.
    pub const fn launcher(&self) -> &Launcher {
        &self.launcher
    }

    /// Ends everything and deletes the data.
    pub async fn down(self) {
        self.launcher.guard().clone().end().await;
    }
}
