//! `assay list`: the scenario library: what each is for, how long it sends, and what it can prove.

use std::{fmt::Write, process::ExitCode, time::Duration};

use checkers::statistics::binomial;
use reports::figures::percent;

use super::print;
use crate::{failure::Failure, library, scenario::Scenario};

pub(super) fn list() -> Result<ExitCode, Failure> {
    let mut text = format!("{:<22} {:>9}  {:>9}  for what\n", "scenario", "sends for", "proves");
    for (name, _) in library::LIBRARY {
        let scenario = library::read(name, &[])?;
        // Writing into a String does not fail.
        let _ = writeln!(
            text,
            "{name:<22} {:>9}  {:>9}  {}",
            sends_for(&scenario),
            proves(&scenario),
            scenario.description
        );
    }
    text.push_str(
        "\nproves: the greatest share of lost events that a run without a lost one leaves possible, at the scenario's \
         confidence.\nIt takes as long as it sends, and 15 to 40 s to start, settle and judge.\n",
    );
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn sends_for(scenario: &Scenario) -> String {
    if scenario.capacity.is_some() {
        return "a search".into();
    }
    let longest = scenario.traffic.iter().map(|traffic| traffic.arrival.lasts(traffic.events)).max();
    let windows = scenario.soak.map_or(1, |soak| soak.windows);
    told(longest.unwrap_or_default().saturating_mul(u32::try_from(windows).unwrap_or(u32::MAX)))
}

fn told(length: Duration) -> String {
    let seconds = length.as_secs_f64().ceil() as u64;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h", seconds.div_ceil(3_600)),
    }
}

fn proves(scenario: &Scenario) -> String {
    if scenario.capacity.is_some() {
        return "–".into();
    }
    // What must be absent can not be lost.
    let events: u64 =
        scenario.traffic.iter().filter(|traffic| traffic.absent.is_none()).map(|traffic| traffic.events).sum();
    let windows = scenario.soak.map_or(1, |soak| soak.windows);
    let bound = binomial::upper(0.0, (events * windows) as f64, scenario.expect.targets.confidence);
    format!("≤ {}", percent(bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_proofs_are_those_of_the_scenario() {
        let told = |name: &str| {
            let scenario = library::read(name, &[]).unwrap();
            (sends_for(&scenario), proves(&scenario))
        };
        assert_eq!(told("smoke"), ("12 s".into(), "≤ 0.0050 %".into()));
        assert_eq!(told("release-gate"), ("9 min".into(), "≤ 0.00030 %".into()));
        assert_eq!(told("soak").0, "8 h");
        assert_eq!(told("scaling").0, "a search");
    }
}
