//! `assay validate FILE`: every problem of a scenario file, each with its line and key.

use std::{path::Path, process::ExitCode};

use super::print;
use crate::{external::External, failure::Failure, library};

pub(super) fn validate(file: &str, external: Option<&Path>) -> Result<ExitCode, Failure> {
    let scenario = library::read(file, &[])?;
    if let Some(path) = external {
        External::open(path)?.check(&scenario)?;
    }
    let events: u64 = scenario.traffic.iter().map(|traffic| traffic.events).sum();
    let needs = scenario
        .needs_containers()
        .filter(|_| external.is_none())
        .map(|what| format!("; it needs `--env containers` for {what}"));
    print(&format!("{file} is right: scenario {}, {events} events{}\n", scenario.name, needs.unwrap_or_default()))?;
    Ok(ExitCode::SUCCESS)
}
