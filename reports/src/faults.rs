//! How a planned fault went, in words.

use checkers::disturbance::FaultFacts;

use crate::figures::seconds;

/// What was done, when, and how long it took to heal.
pub fn told(fault: &FaultFacts) -> String {
    match (fault.began, fault.healed) {
        (Some(began), Some(healed)) => {
            format!("{} at {}, healed after {}", fault.fault, seconds(began), seconds(healed - began))
        }
        (Some(began), None) => format!("{} at {}, never healed", fault.fault, seconds(began)),
        (None, _) => format!("{}, not begun", fault.fault),
    }
}
