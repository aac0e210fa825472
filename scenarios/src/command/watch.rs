//! `assay watch`: an endless canary, round after round.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use reports::progress::Progress;

use super::{parse_override, place::PlaceOptions, run::served};
use crate::{
    failure::{Failure, Kind},
    interrupt, library,
    metrics_server::parse_address,
    scenario::Override,
    watch::{Options, watch as watch_rounds},
};

/// Where the metrics are unless another address is given.
const METRICS: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9187));

/// What a person says about a watch.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What is sent in each round: a name of the library, or a file
    #[arg(long, default_value = "canary")]
    scenario: String,
    #[command(flatten)]
    place: PlaceOptions,
    /// Change a value of the scenario, such as `expect.loss_after=20s`
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_override)]
    overrides: Vec<Override>,
    /// Serve Prometheus metrics here, and a page for people: a port of the loopback, or an address
    #[arg(long, value_name = "PORT|ADDR", value_parser = parse_address, default_value_t = METRICS)]
    metrics: SocketAddr,
    /// The folder that rounds are kept in; old ones in it are deleted, so let nothing else run there
    #[arg(long, value_name = "DIR", default_value = "runs/watch")]
    out: PathBuf,
    /// Keep so many of the newest rounds, and as many of those that did not pass; older ones are deleted
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    keep: u64,
    /// End after so many rounds instead of never
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rounds: Option<u64>,
}

pub(super) fn watch(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let scenario = library::read(&arguments.scenario, &arguments.overrides)?;
    if !scenario.faults.is_empty() {
        return Err(Failure::told(
            Kind::Usage,
            format!("the scenario {} plans faults, and a watch disturbs nobody", scenario.name),
            "take a scenario without [[fault]], or use `assay run`",
        ));
    }
    if scenario.capacity.is_some() {
        return Err(Failure::told(
            Kind::Usage,
            format!("the scenario {} looks for a capacity, and a watch loads nobody", scenario.name),
            "take a scenario without [capacity], or use `assay run`",
        ));
    }
    if scenario.soak.is_some() {
        return Err(Failure::told(
            Kind::Usage,
            format!("the scenario {} is a soak, which has an end of its own", scenario.name),
            "leave out [soak] for a watch, or use `assay run`",
        ));
    }
    let progress = Progress::on_stderr(false).followed();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::caused(Kind::Internal, "no runtime could be made", "", error))?;
    let environment = arguments.place.choose(&scenario, &runtime, &progress)?;
    let options = Options {
        scenario,
        environment,
        confirmation: arguments.place.confirmation(),
        out: arguments.out.clone(),
        keep: usize::try_from(arguments.keep).unwrap_or(usize::MAX),
        rounds: arguments.rounds,
    };
    let worst = runtime.block_on(async {
        let stop = interrupt::listen()?;
        let _server = served(arguments.metrics, &progress).await?;
        watch_rounds(&options, &progress, stop).await
    });
    progress.clear();
    Ok(ExitCode::from(worst?.exit_code()))
}
