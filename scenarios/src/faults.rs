//! The timeline of a run's faults: when each happens, what it is and to what, drawn from the seed.

use std::{collections::BTreeMap, time::Duration};

use checkers::disturbance::{Disturbed, FaultFacts};
use generators::{
    identity::StreamId,
    random::{Distribution, Purpose, Random},
};
use reports::figures::count;
use testenv::fault::{PlannedFault, Target};

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
            let of = |purpose| Random::new(seed, StreamId(number as u16), time, purpose);
            let Some(action) = of(Purpose::FaultAction).pick(&fault.actions).copied() else { continue };
            let reach: Vec<Target> = fault.reach(action).collect();
            let Some(target) = random.pick(&reach).copied() else { continue };
            let after = fault.every.saturating_mul(u32::try_from(time).unwrap_or(u32::MAX));
            let lasts = drawn(&mut random, fault.lasts);
            let lasts = if action.lasts() { lasts } else { Duration::ZERO };
            let seed = of(Purpose::Jitter).bits();
            planned.push(PlannedFault { at: first + after, lasts, target, action, seed });
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

/// Nobody reads more lines.
const MOST_LINES: usize = 100;

/// What `faults` do, in lines: when each happens as far as `seed` decides it, and without one what is drawn in each run. None
/// where there are no faults.
pub fn lines(faults: &[Fault], seed: Option<u64>) -> Vec<String> {
    let times = count(faults.iter().map(|fault| fault.times).sum());
    let is_drawn = faults.iter().any(Fault::is_drawn);
    let mut lines = match (is_drawn, seed) {
        _ if faults.is_empty() => return Vec::new(),
        (false, _) => vec![format!("faults: {times}")],
        (true, Some(seed)) => vec![format!("faults: {times}, drawn from the seed {seed}")],
        (true, None) => vec![format!("faults: {times}, drawn from the seed of a run; `--seed N` shows those of one")],
    };
    if is_drawn && seed.is_none() {
        lines.extend(faults.iter().map(|fault| {
            let draws: Vec<String> =
                fault.draws().map(|(action, target)| format!("{} {target}", action.word())).collect();
            format!("  {} of: {}", count(fault.times), draws.join(", "))
        }));
    } else {
        // Where nothing is drawn every seed says the same.
        let planned = timeline(faults, seed.unwrap_or_default());
        lines.extend(planned.iter().map(|fault| format!("  at {:.1} s: {fault}", fault.at.as_secs_f64())));
    }
    let left_out = lines.len().saturating_sub(MOST_LINES + 1);
    if left_out > 0 {
        lines.truncate(MOST_LINES + 1);
        lines.push(format!("  and {} more", count(left_out as u64)));
    }
    lines
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
    use testenv::fault::Action;

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn fault(at: Distribution, times: u64, targets: &[Target]) -> Fault {
        let lasts = Distribution::Constant { value: seconds(3) };
        Fault { at, lasts, every: seconds(5), times, targets: targets.to_vec(), actions: vec![Action::Pause] }
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
    fn a_random_fault_draws_its_action_and_a_target_that_it_fits() {
        let at = Distribution::Constant { value: seconds(1) };
        let targets = [Target::Capture, Target::CaptureKafka, Target::EventsTopic];
        let delay = Action::Delay { by: seconds(1), jitter: seconds(1) };
        let actions = vec![Action::Kill, Action::Pause, delay, Action::BrokenMessage];
        let random = Fault { actions: actions.clone(), ..fault(at, 400, &targets) };
        let planned = timeline(std::slice::from_ref(&random), 7);
        assert_eq!(planned, timeline(std::slice::from_ref(&random), 7));
        for action in actions {
            let drawn: Vec<&PlannedFault> = planned.iter().filter(|fault| fault.action == action).collect();
            assert!((60..=140).contains(&drawn.len()), "{action:?}: {} of 400", drawn.len());
            assert!(drawn.iter().all(|fault| action.fits(fault.target)), "{drawn:?}");
            let lasts = if action == Action::BrokenMessage { Duration::ZERO } else { seconds(3) };
            assert!(drawn.iter().all(|fault| fault.lasts == lasts), "{drawn:?}");
        }
        let seeds: std::collections::BTreeSet<u64> = planned.iter().map(|fault| fault.seed).collect();
        assert_eq!(seeds.len(), 400, "each link varies in its own way");
        let others = timeline(&[random], 8);
        assert!(planned.iter().zip(&others).any(|(one, other)| one.action != other.action), "another seed");
        assert!(planned.iter().zip(&others).all(|(one, other)| one.seed != other.seed), "another seed");
    }

    /// What was drawn for a fault of one action stays what it was before there could be several.
    #[test]
    fn when_a_fault_happens_and_to_what_is_drawn_for_itself() {
        let at = Distribution::Uniform { from: seconds(1), to: seconds(100) };
        let one = fault(at, 20, &[Target::Capture, Target::Ingester]);
        let two = Fault { actions: vec![Action::Kill, Action::Pause], ..one.clone() };
        let told = |fault: Fault| -> Vec<_> {
            timeline(&[fault], 7).iter().map(|fault| (fault.at, fault.lasts, fault.target)).collect()
        };
        assert_eq!(told(one), told(two));
    }

    #[test]
    fn what_will_be_done_is_told_in_lines() {
        let at = Distribution::Constant { value: seconds(2) };
        assert_eq!(lines(&[], Some(7)), [""; 0]);
        let plain = fault(at, 2, &[Target::Capture]);
        let expected = ["faults: 2", "  at 2.0 s: pause capture for 3s", "  at 7.0 s: pause capture for 3s"];
        assert_eq!(lines(std::slice::from_ref(&plain), None), expected);
        let random = Fault {
            actions: vec![Action::Kill, Action::Cut],
            targets: vec![Target::Kafka, Target::CaptureKafka],
            ..plain
        };
        let told = lines(std::slice::from_ref(&random), None);
        assert_eq!(
            told,
            [
                "faults: 2, drawn from the seed of a run; `--seed N` shows those of one",
                "  2 of: kill kafka, cut capture-kafka"
            ]
        );
        let drawn = lines(std::slice::from_ref(&random), Some(7));
        assert_eq!((drawn.len(), drawn[0].as_str()), (3, "faults: 2, drawn from the seed 7"));
        for (line, planned) in drawn[1..].iter().zip(timeline(std::slice::from_ref(&random), 7)) {
            assert!(line.ends_with(&format!("s: {planned}")), "{line}");
        }
        let often = lines(&[Fault { times: 1_200, ..random }], Some(7));
        assert_eq!((often.len(), often[101].as_str()), (102, "  and 1 100 more"));
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
