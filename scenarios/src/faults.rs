//! The timeline of a run's faults: when each happens and to what, drawn from the seed.

use std::{collections::BTreeMap, time::Duration};

use checkers::disturbance::{Disturbed, FaultFacts};
use generators::{
    identity::StreamId,
    random::{Distribution, Purpose, Random},
};
use testenv::fault::PlannedFault;

use crate::scenario::Fault;

/// Between the end of a fault and the begin of the next one of the same target, at the least: what was ended must have begun.
const APART: Duration = Duration::from_secs(1);

/// The timeline of `faults`, in the order of time. Faults of one target never overlap: a later one waits for the earlier.
pub fn timeline(faults: &[Fault], seed: u64) -> Vec<PlannedFault> {
    let mut planned = Vec::new();
    for (number, fault) in faults.iter().enumerate() {
        // Faults are no stream of events; the numbers of the table are theirs.
        let mut random = Random::new(seed, StreamId(number as u16), 0, Purpose::Fault);
        let first = drawn(&mut random, fault.at);
        for time in 0..fault.times {
            let Some(target) = random.pick(&fault.targets).copied() else { continue };
            let after = fault.every.saturating_mul(u32::try_from(time).unwrap_or(u32::MAX));
            let lasts = drawn(&mut random, fault.lasts);
            planned.push(PlannedFault { at: first + after, lasts, target, action: fault.action });
        }
    }
    planned.sort_by_key(|fault| fault.at);
    let mut free = BTreeMap::new();
    for fault in &mut planned {
        let earliest = free.entry(fault.target).or_insert(Duration::ZERO);
        fault.at = fault.at.max(*earliest);
        *earliest = fault.until() + APART;
    }
    planned.sort_by_key(|fault| fault.at);
    planned
}

/// When the pipeline was disturbed, by how its faults went. One that was never healed never ends.
pub fn disturbed(faults: &[FaultFacts]) -> Disturbed {
    let stretch = |fault: &FaultFacts| {
        let healed = fault.healed.map_or(Duration::MAX, Duration::from_secs_f64);
        Some((Duration::from_secs_f64(fault.began?), healed))
    };
    Disturbed::new(faults.iter().filter_map(stretch).collect())
}

/// When the pipeline is to be disturbed, by the plan.
pub fn planned(faults: &[PlannedFault]) -> Disturbed {
    Disturbed::new(faults.iter().map(|fault| (fault.at, fault.until())).collect())
}

fn drawn(random: &mut Random, distribution: Distribution) -> Duration {
    Duration::from_micros(random.offset_micros(distribution).max(0) as u64)
}

#[cfg(test)]
mod tests {
    use testenv::fault::{Action, Target};

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn fault(at: Distribution, times: u64, targets: &[Target]) -> Fault {
        let lasts = Distribution::Constant { value: seconds(3) };
        Fault { at, lasts, every: seconds(5), times, targets: targets.to_vec(), action: Action::Pause }
    }

    #[test]
    fn repeated_faults_keep_their_distance_and_wait_for_each_other() {
        let at = |value| Distribution::Constant { value: seconds(value) };
        let planned = timeline(
            &[
                fault(at(2), 3, &[Target::Capture]),
                fault(at(8), 1, &[Target::Capture]),
                fault(at(3), 1, &[Target::Kafka]),
            ],
            1,
        );
        let told: Vec<(u64, Target)> = planned.iter().map(|fault| (fault.at.as_secs(), fault.target)).collect();
        // The one at 8 s has to wait for the one that began at 7 s, and the one at 12 s for that.
        let capture = Target::Capture;
        assert_eq!(told, [(2, capture), (3, Target::Kafka), (7, capture), (11, capture), (15, capture)]);
    }

    #[test]
    fn what_is_drawn_depends_on_the_seed_alone() {
        let at = Distribution::Uniform { from: seconds(1), to: seconds(100) };
        let faults = [fault(at, 20, &[Target::Capture, Target::Ingester])];
        assert_eq!(timeline(&faults, 7), timeline(&faults, 7));
        assert_ne!(timeline(&faults, 7)[0].at, timeline(&faults, 8)[0].at);
        let planned = timeline(&faults, 7);
        assert!(planned.iter().all(|fault| fault.at >= seconds(1)));
        let capture = planned.iter().filter(|fault| fault.target == Target::Capture).count();
        assert!((4..=16).contains(&capture), "{capture} of 20");
    }
}
