//! `assay run SCENARIO`: from a scenario to a verdict.

use std::{path::Path, process::ExitCode};

use reports::progress::Progress;

use super::{RunArguments, check::show};
use crate::{
    failure::{Failure, Kind},
    interrupt, library,
    runner::{Request, Wanted, run as run_scenario},
};

pub(super) fn run(arguments: &RunArguments) -> Result<ExitCode, Failure> {
    let mut scenario = library::read(&arguments.scenario, &arguments.overrides)?;
    scenario.seed = arguments.seed.or(scenario.seed);
    let progress = Progress::on_stderr(arguments.json);
    let environment = match arguments.env.as_str() {
        "auto" => {
            progress
                .step("environment: embedded (Kafka and ClickHouse as child processes), the only kind there is so far");
            own(arguments)
        }
        "embedded" => own(arguments),
        file => Wanted::Shared(super::env::read(Path::new(file))?.addresses),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::caused(Kind::Internal, "no runtime could be made", "", error))?;
    let request = Request { scenario, out: arguments.out.clone(), junit: arguments.junit.clone(), environment };
    let result = runtime.block_on(async { run_scenario(&request, &progress, interrupt::listen()?).await });
    progress.clear();
    let (record, directory) = result?;
    let shown = show(&record, arguments.json);
    progress.step(&format!("\nrun directory: {}", directory.path().display()));
    shown
}

const fn own(arguments: &RunArguments) -> Wanted {
    Wanted::Own { kafka_port: arguments.kafka_port, clickhouse_port: arguments.clickhouse_port }
}
