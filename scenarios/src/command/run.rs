//! `assay run SCENARIO`: from a scenario to a verdict.

use std::{io::IsTerminal, net::SocketAddr, process::ExitCode};

use reports::{capacity::render, progress::Progress};
use tokio::runtime::Runtime;

use super::{RunArguments, RunOptions, check::show, print};
use crate::{
    capacity::measure,
    failure::{Failure, Kind},
    interrupt, library,
    metrics_server::MetricsServer,
    runner::{Request, run as run_request},
    scenario::{Capacity, Scenario},
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
    if scenario.capacity.is_some() && (options.junit.is_some() || !options.shard.is_whole()) {
        return Err(Failure::told(
            Kind::Usage,
            "a scenario that looks for a capacity is many runs, and --junit and --shard are for one",
            "leave them out: every trial's directory has its own junit.xml, and scaling.json tells of all",
        ));
    }
    let mut progress = Progress::on_stderr(options.json);
    if options.metrics.is_some() {
        progress = progress.followed();
    }
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
        confirmation: options.place.confirmation(),
    };
    let _server = match options.metrics {
        Some(address) => Some(runtime.block_on(served(address, &progress))?),
        None => None,
    };
    if let Some(capacity) = &request.scenario.capacity {
        return look_for(capacity, &request, &runtime, &progress, options);
    }
    let result = runtime.block_on(async { run_request(&request, &progress, interrupt::listen()?).await });
    progress.clear();
    let (record, directory) = result?;
    let shown = show(&record, options.json);
    progress.step(&format!("\nrun directory: {}", directory.path().display()));
    shown
}

/// Looks for a capacity, run after run, and shows what was found.
fn look_for(
    capacity: &Capacity,
    request: &Request,
    runtime: &Runtime,
    progress: &Progress,
    options: &RunOptions,
) -> Result<ExitCode, Failure> {
    let result = runtime.block_on(async { measure(request, capacity, progress, interrupt::listen()?).await });
    progress.clear();
    let (found, directory) = result?;
    if options.json {
        let text = serde_json::to_string_pretty(&found)
            .map_err(|error| Failure::caused(Kind::Internal, "scaling.json could not be made", "", error))?;
        print(&(text + "\n"))?;
    } else {
        let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        print(&render(&found, color))?;
    }
    progress.step(&format!("\nsearch directory: {}", directory.path().display()));
    Ok(ExitCode::from(found.exit_code))
}

/// Serves the metrics of what `progress` shows, and says where.
pub(super) async fn served(address: SocketAddr, progress: &Progress) -> Result<MetricsServer, Failure> {
    let server = MetricsServer::start(address, progress.board().clone()).await?;
    let address = server.address();
    progress.step(&format!("metrics at http://{address}/metrics, a page for people at http://{address}/"));
    Ok(server)
}
