//! From a scenario to what a run needs: the workload's plan, and the defects to plant.

use generators::{
    identity::RunId,
    workload::{Plan, Traffic, WORKLOAD_VERSION},
};
use testenv::pipeline::defect::PlantedDefect;

use crate::scenario::Scenario;

/// The team that a run's traffic belongs to. A database of the run's own holds no other.
pub const TEAM: i64 = 1;

/// The token of a run's project: it says whose traffic it is, and is no secret.
pub fn token(run: RunId) -> String {
    format!("phc_assay_{run}")
}

/// The workload's plan.
pub fn workload(scenario: &Scenario, run: RunId, seed: u64) -> Plan {
    let traffic = scenario.traffic.iter().map(|traffic| Traffic {
        name: traffic.name.clone(),
        events: traffic.events,
        arrival: traffic.arrival,
        batch: traffic.batch,
        endpoint: traffic.endpoint,
        compression: traffic.compression,
        token: token(run),
        team: TEAM,
        persons: traffic.persons,
        disorder: traffic.disorder,
        clients: traffic.clients,
    });
    Plan { workload_version: WORKLOAD_VERSION, run, seed, traffic: traffic.collect() }
}

/// The defects to plant, spread over nine tenths of the planned events, so that their number is certain to be reached.
pub fn planted_defects(scenario: &Scenario) -> Vec<PlantedDefect> {
    let planned: u64 = scenario.traffic.iter().map(|traffic| traffic.events).sum();
    let spread = |events: u64| (planned * 9 / 10 / events.max(1)).max(1);
    scenario
        .planted_defects
        .iter()
        .map(|defect| PlantedDefect {
            name: defect.name,
            count: defect.events,
            every: spread(defect.events),
            property: defect.property.clone(),
        })
        .collect()
}
