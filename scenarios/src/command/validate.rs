//! `assay validate FILE`: every problem of a scenario file, each with its line and key.

use std::process::ExitCode;

use super::print;
use crate::{failure::Failure, library};

pub(super) fn validate(file: &str) -> Result<ExitCode, Failure> {
    let scenario = library::read(file, &[])?;
    let events: u64 = scenario.traffic.iter().map(|traffic| traffic.events).sum();
    let needs = scenario.needs_containers().map(|what| format!("; it needs `--env containers` for {what}"));
    print(&format!("{file} is right: scenario {}, {events} events{}\n", scenario.name, needs.unwrap_or_default()))?;
    Ok(ExitCode::SUCCESS)
}
