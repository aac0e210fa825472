//! `assay validate FILE`: every problem of a scenario file, each with its line and key, and what an environment cannot do.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::{place, print};
use crate::{failure::Failure, faults, library, scenario::Scenario};

/// What a person says about a file.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The file
    file: String,
    /// Check it for this environment as well, and refuse what `run --env KIND` would
    #[arg(long, value_enum, value_name = "KIND")]
    env: Option<Kind>,
    /// Show the faults that this seed draws
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Check it for the pipeline of this file as well (`run --env external --external FILE`)
    #[arg(long, value_name = "FILE")]
    external: Option<PathBuf>,
}

/// A kind of environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Child processes
    Embedded,
    /// Containers
    Containers,
    /// Somebody else's pipeline, of the file that `--external` names
    External,
}

pub(super) fn validate(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Arguments { file, env, seed, external } = arguments;
    let scenario = library::read(file, &[])?;
    let notes = fits(&scenario, *env, external.as_deref())?;
    let events: u64 = scenario.traffic.iter().map(|traffic| traffic.events).sum();
    let needs = place::needs_containers(&scenario)
        .filter(|_| env.is_none() && external.is_none())
        .map(|what| format!("; it needs `--env containers` for {what}"));
    let mut text =
        format!("{file} is right: scenario {}, {events} events{}\n", scenario.name, needs.unwrap_or_default());
    text.extend(faults::lines(&scenario.faults, seed.or(scenario.seed)).into_iter().map(|line| line + "\n"));
    text.extend(notes.into_iter().map(|line| format!("note: {line}\n")));
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Refuses what of `scenario` an environment cannot do that is asked about; what is to be known of somebody else's.
fn fits(scenario: &Scenario, env: Option<Kind>, external: Option<&Path>) -> Result<Vec<String>, Failure> {
    if env == Some(Kind::Embedded) {
        place::fits_processes(place::needs_containers(scenario).as_deref())?;
    }
    if env != Some(Kind::External) && external.is_none() {
        return Ok(Vec::new());
    }
    let external = place::external(external)?;
    external.check(scenario)?;
    Ok(external.notes(scenario))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_environment_cannot_do_is_refused() {
        let throttled = library::read("chaos-resources", &[]).unwrap();
        let refused = |env| fits(&throttled, env, None).map_err(|failure| failure.line());
        assert_eq!(refused(None), Ok(Vec::new()));
        assert_eq!(refused(Some(Kind::Containers)), Ok(Vec::new()));
        let embedded = refused(Some(Kind::Embedded)).unwrap_err();
        assert!(embedded.contains("cannot be had where components are child processes"), "{embedded}");
        let external = refused(Some(Kind::External)).unwrap_err();
        assert!(external.contains("needs to know where the pipeline is"), "{external}");
        let smoke = library::read("smoke", &[]).unwrap();
        assert!(fits(&smoke, Some(Kind::Embedded), None).is_ok());
    }
}
