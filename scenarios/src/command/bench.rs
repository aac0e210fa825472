//! `assay bench send`: what sending costs here, to be set beside other load tools.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use generators::{client::target::Target, schedule::Rate, workload::Compression};

use super::{
    print,
    target::{reach, resolve},
};
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
    /// Send from so many threads, each with a ledger of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    senders: u64,
    /// Compress bodies with gzip
    #[arg(long)]
    gzip: bool,
    /// Send there and not to a null sink of its own, such as `127.0.0.1:8000` or `https://localhost:8443`; only to this machine
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// Trust the CAs in this PEM file as well, for a target with https
    #[arg(long, value_name = "FILE", requires = "target")]
    ca: Option<PathBuf>,
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

/// The target that is written `text`, which is on this machine.
fn target(text: &str, ca: Option<&Path>) -> Result<Target, Failure> {
    let target = resolve(text, ca)?;
    if !target.address().ip().is_loopback() {
        let what = format!("{target} is another machine: a bench sends to this one only");
        return Err(Failure::told(Kind::Usage, what, "name a target such as 127.0.0.1:8000"));
    }
    reach(target)
}

pub(super) fn bench(command: BenchCommand) -> Result<ExitCode, Failure> {
    let BenchCommand::Send(arguments) = command;
    let unavailable = |what: &str, error| Failure::caused(Kind::Unavailable, what.to_owned(), "", error);
    let folder = tempfile::tempdir().map_err(|error| unavailable("no temporary folder can be made", error))?;
    let sink;
    let target = if let Some(text) = &arguments.target {
        target(text, arguments.ca.as_deref())?
    } else {
        // It listens until this is dropped.
        sink = Sink::start().map_err(|error| unavailable("the null sink did not start", error))?;
        sink.keep_apart(arguments.senders)
            .map_err(|error| unavailable("the null sink cannot have a processor of its own", error))?;
        Target::http(sink.address())
    };
    let options = Options {
        events: arguments.events,
        rate: arguments.rate,
        batch: arguments.batch,
        connections: arguments.connections as usize,
        compression: if arguments.gzip { Compression::Gzip } else { Compression::None },
        senders: arguments.senders,
        stall: arguments.stall,
        seed: arguments.seed,
    };
    let sending = bench::send(&options, &target, folder.path())?;
    if arguments.json {
        let text = serde_json::to_string_pretty(&sending)
            .map_err(|error| Failure::caused(Kind::Internal, "the figures could not be written", "", error))?;
        print(&(text + "\n"))?;
    } else {
        print(&reports::sending::render(&sending))?;
    }
    Ok(ExitCode::SUCCESS)
}
