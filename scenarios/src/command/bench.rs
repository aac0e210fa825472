//! `assay bench send`: what sending costs here, to be set beside other load tools.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use generators::{schedule::Rate, workload::Compression};

use super::print;
use crate::{
    bench::{self, Options, Sink},
    failure::{Failure, Kind},
    scenario::notation,
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum BenchCommand {
    /// Send unique, ledgered events, open-loop, and print CPU, rate and lateness beside a bare loop's
    Send(Arguments),
}

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How many events
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    events: u64,
    /// At which rate, such as 10000/s; without it, as fast as it goes
    #[arg(long, value_name = "RATE", value_parser = notation::rate)]
    rate: Option<Rate>,
    /// How many events a request holds: one is a single post
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    batch: u64,
    /// Over how many connections at most
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=4_000))]
    connections: u64,
    /// Compress bodies with gzip
    #[arg(long)]
    gzip: bool,
    /// Send there and not to a null sink of its own; only to this machine
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = loopback)]
    target: Option<SocketAddr>,
    /// Stop the sink's answers for so long, in the middle: does the p99 tell the truth?
    #[arg(long, value_name = "DURATION", requires = "rate", conflicts_with = "target", value_parser = notation::duration)]
    stall: Option<Duration>,
    /// The seed of all random values
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "write an address and a port, such as 127.0.0.1:8000")?;
    if address.ip().is_loopback() { Ok(address) } else { Err("a bench sends to this machine only: 127.0.0.1".into()) }
}

pub(super) fn bench(command: BenchCommand) -> Result<ExitCode, Failure> {
    let BenchCommand::Send(arguments) = command;
    let unavailable = |what: &str, error| Failure::caused(Kind::Unavailable, what.to_owned(), "", error);
    let folder = tempfile::tempdir().map_err(|error| unavailable("no temporary folder can be made", error))?;
    let sink = match arguments.target {
        Some(_) => None,
        None => Some(Sink::start().map_err(|error| unavailable("the null sink did not start", error))?),
    };
    let own = sink.as_ref().map(Sink::address);
    let Some(address) = arguments.target.or(own) else { return Ok(ExitCode::from(70)) };
    let options = Options {
        events: arguments.events,
        rate: arguments.rate,
        batch: arguments.batch,
        connections: arguments.connections as usize,
        compression: if arguments.gzip { Compression::Gzip } else { Compression::None },
        stall: arguments.stall,
        seed: arguments.seed,
    };
    let sending = bench::send(&options, address, folder.path())?;
    if arguments.json {
        let text = serde_json::to_string_pretty(&sending)
            .map_err(|error| Failure::caused(Kind::Internal, "the figures could not be written", "", error))?;
        print(&(text + "\n"))?;
    } else {
        print(&reports::sending::render(&sending))?;
    }
    Ok(ExitCode::SUCCESS)
}
