//! `assay run SCENARIO`: from a scenario to a verdict.

use std::process::ExitCode;

use reports::progress::Progress;

use super::{RunArguments, RunOptions, check::show};
use crate::{
    failure::{Failure, Kind},
    interrupt, library,
    runner::{Request, run as run_request},
    scenario::Scenario,
    senders::Division,
};

pub(super) fn run(arguments: &RunArguments) -> Result<ExitCode, Failure> {
    run_scenario(library::read(&arguments.scenario, &arguments.options.overrides)?, &arguments.options)
}

/// Runs a scenario that was read, and shows its verdict.
pub(super) fn run_scenario(mut scenario: Scenario, options: &RunOptions) -> Result<ExitCode, Failure> {
    scenario.seed = options.seed.or(scenario.seed);
    if scenario.expect.targets.may_stop_early && !options.shard.is_whole() {
        return Err(Failure::told(
            Kind::Usage,
            "a run that may stop early cannot be divided: nobody could stop the senders of the other shares",
            "leave out --shard, or set expect.may_stop_early to false",
        ));
    }
    let progress = Progress::on_stderr(options.json);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::caused(Kind::Internal, "no runtime could be made", "", error))?;
    let environment = options.place.choose(&scenario, &runtime, &progress)?;
    let request = Request {
        scenario,
        out: options.out.clone(),
        junit: options.junit.clone(),
        environment,
        division: Division { shard: options.shard, senders: options.senders },
        starts_in: options.starts_in,
    };
    let result = runtime.block_on(async { run_request(&request, &progress, interrupt::listen()?).await });
    progress.clear();
    let (record, directory) = result?;
    let shown = show(&record, options.json);
    progress.step(&format!("\nrun directory: {}", directory.path().display()));
    shown
}
