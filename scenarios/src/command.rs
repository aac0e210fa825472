//! What a person types.

mod bench;
mod calibrate;
mod check;
mod compare;
mod env;
mod explain;
mod generate;
mod list;
mod place;
mod reconcile;
mod replay;
mod report;
mod run;
mod runbook;
mod schema;
mod send;
mod standing;
mod target;
mod validate;
mod watch;

use std::{io::Write, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand, error::ErrorKind};
use generators::timetable::Shard;
use testenv::environment::tables::MOST_SHARDS;

use crate::{
    failure::{Failure, Kind},
    heap,
    metrics_server::parse_address,
    scenario::{Override, notation},
};

/// Sends known traffic through a real event pipeline, reconciles every event in ClickHouse, and answers pass, fail or
/// inconclusive.
#[derive(Debug, Parser)]
#[command(name = "assay", version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 pass, 1 fail, 2 inconclusive, 64 the command, scenario or input is wrong, \
                          69 something could not be had (a tool, a port, disk, network), 70 internal error.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a scenario: start the pipeline, send, settle, judge, report
    Run(RunArguments),
    /// List the scenario library
    List,
    /// Print what a scenario file may say: a JSON Schema for editors
    Schema {
        /// Print a page that tells every key to people instead (docs/scenario-reference.md)
        #[arg(long)]
        markdown: bool,
    },
    /// Check a scenario file without running it
    Validate(validate::Arguments),
    /// Judge a run's directory again, without the pipeline
    Check {
        /// The directory, such as runs/smoke/latest
        directory: PathBuf,
        /// Print verdict.json instead of the table
        #[arg(long)]
        json: bool,
    },
    /// Draw a run's reports again: report.html, summary.md and junit.xml
    Report {
        /// The directory, such as runs/smoke/latest
        directory: PathBuf,
    },
    /// Set two runs side by side: what is worse, better, the same, or cannot be told
    Compare {
        /// The directory of the run before
        before: PathBuf,
        /// The directory of the run after
        after: PathBuf,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the last runs of a scenario
    History {
        /// The scenario's name
        scenario: String,
        /// The folder that runs are kept in
        #[arg(long, value_name = "DIR", default_value = "runs")]
        out: PathBuf,
        /// So many of them
        #[arg(long, short = 'n', value_name = "RUNS", default_value_t = 20)]
        last: usize,
    },
    /// Plant every known defect in the reference pipeline, one at a time, and show which are found
    Calibrate(calibrate::Arguments),
    /// Tell one event's whole story: what was sent, answered, expected and found
    Explain {
        /// The event's id, as findings name it
        event: String,
        /// The run's directory, such as runs/smoke/latest
        #[arg(long, value_name = "DIR")]
        run: PathBuf,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what a defect, a check's answer or a reason means, and what to do about it
    Runbook {
        /// A class, a check or a reason, such as `lost`; without it, all there are
        name: Option<String>,
    },
    /// Judge two files, without any pipeline: what was sent, and what was found
    Reconcile(reconcile::Arguments),
    /// Send recorded traffic through the pipeline, and judge it like any run
    Replay(replay::Arguments),
    /// Send a light load for ever, look up every event of it, and export what is found as metrics
    Watch(watch::Arguments),
    /// Send one share of the traffic of a run that waits for it, from this or another machine
    Send(send::Arguments),
    /// Print a scenario's traffic as JSON lines; nothing is sent
    Generate(generate::Arguments),
    /// Measure what Assay itself costs
    Bench {
        #[command(subcommand)]
        command: bench::BenchCommand,
    },
    /// The test environment by itself
    Env {
        #[command(subcommand)]
        command: EnvCommand,
    },
    /// Play a role of the test environment
    #[command(hide = true)]
    Serve {
        /// The role
        role: String,
        /// What the role takes
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
}

#[derive(Debug, clap::Args)]
struct RunArguments {
    /// A name of the library (`assay list`), or a file
    scenario: String,
    #[command(flatten)]
    options: RunOptions,
}

/// What every run can be told.
#[derive(Debug, clap::Args)]
struct RunOptions {
    #[command(flatten)]
    place: place::PlaceOptions,
    /// The seed of all random values, so that a run can be repeated
    #[arg(long)]
    seed: Option<u64>,
    /// Change a value of the scenario, such as `expect.loss_after=20s`
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_override)]
    overrides: Vec<Override>,
    /// The folder that runs are kept in
    #[arg(long, value_name = "DIR", default_value = "runs")]
    out: PathBuf,
    /// Write the JUnit report here as well
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print verdict.json instead of the table
    #[arg(long)]
    json: bool,
    /// Write what does not pass as annotations for a CI: `github`, which is what a run in GitHub's CI does by itself
    #[arg(long, value_enum, value_name = "CI")]
    annotations: Option<Annotations>,
    /// Compare with the run in this directory, and say what is worse; the exit code stays the verdict's
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,
    /// Go on with the soak in this directory, such as runs/soak/latest, after it was stopped or killed
    #[arg(long, value_name = "DIR")]
    resume: Option<PathBuf>,
    /// Show rates, lag, times and defects while it runs, if stderr is a terminal
    #[arg(long, conflicts_with = "json")]
    tui: bool,
    /// Serve Prometheus metrics while the run goes on, and a page for people: a port of the loopback, or an address
    #[arg(long, value_name = "PORT|ADDR", value_parser = parse_address)]
    metrics: Option<SocketAddr>,
    /// Send from so many threads, each with a ledger of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    senders: u64,
    /// Send only this share of the requests, such as 1/3, and wait for the others (see `assay send --help`)
    #[arg(long, value_name = "WHICH/OF", default_value_t = Shard::WHOLE)]
    shard: Shard,
    /// Start to send so long after all is ready, such as 30s, so that the senders of other shares are ready too
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = notation::duration)]
    starts_in: Duration,
}

/// Whose annotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Annotations {
    /// GitHub's
    Github,
    /// Nobody's
    None,
}

#[derive(Debug, Subcommand)]
enum EnvCommand {
    /// Fetch Kafka and the ClickHouse engine, so that runs work offline afterwards
    Prepare,
    /// Start Kafka and ClickHouse and keep them up until Ctrl-C, so that runs start at once with `run --env FILE`
    Up {
        /// The file that says where they are
        #[arg(long, default_value = "environment.json")]
        file: PathBuf,
        #[command(flatten)]
        place: place::PlaceOptions,
        /// Start a capture and an ingester as well, and write beside the file what `run --env external` needs to use them
        #[arg(long)]
        pipeline: bool,
        /// On how many shards the pipeline's events are, 1 or 2: 2 are read and written through Distributed tables
        #[arg(long, requires = "pipeline", value_name = "N", default_value_t = 1, value_parser = shards())]
        shards: u8,
        /// Go down when the parent process ends
        #[arg(long, hide = true)]
        with_parent: bool,
    },
    /// Say whether an environment is up
    Status {
        /// The file that `up` has written
        #[arg(long, default_value = "environment.json")]
        file: PathBuf,
        /// Say it of the pipeline of this file (`run --env external --external FILE`); nothing is sent
        #[arg(long, value_name = "FILE", conflicts_with = "file")]
        external: Option<PathBuf>,
    },
    /// Take an environment down
    Down {
        /// The file that `up` has written
        #[arg(long, default_value = "environment.json")]
        file: PathBuf,
    },
}

fn shards() -> clap::builder::RangedI64ValueParser<u8> {
    clap::value_parser!(u8).range(1..=i64::from(MOST_SHARDS))
}

fn parse_override(text: &str) -> Result<Override, String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE, such as expect.loss_after=20s")?;
    Ok(Override { key: key.trim().to_owned(), value: value.trim().to_owned() })
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // clap's own 2 would read as inconclusive.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(64),
            };
        }
    };
    if matches!(arguments.command, Command::Run(_) | Command::Replay(_) | Command::Watch(_)) {
        heap::share();
    }
    let result = match arguments.command {
        // Before any runtime or thread: the guard must stay single-threaded.
        Command::Serve { role, arguments } => return testenv::role::serve(&role, &arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::List => list::list(),
        Command::Schema { markdown } => schema::schema(markdown),
        Command::Validate(arguments) => validate::validate(&arguments),
        Command::Check { directory, json } => check::check(&directory, json),
        Command::Compare { before, after, json } => compare::compare(&before, &after, json),
        Command::History { scenario, out, last } => compare::history(&scenario, &out, last),
        Command::Report { directory } => report::report(&directory),
        Command::Calibrate(arguments) => calibrate::calibrate(&arguments),
        Command::Explain { event, run, json } => explain::explain(&event, &run, json),
        Command::Runbook { name } => runbook::runbook(name.as_deref()),
        Command::Reconcile(arguments) => reconcile::reconcile(&arguments),
        Command::Replay(arguments) => replay::replay(&arguments),
        Command::Watch(arguments) => watch::watch(&arguments),
        Command::Send(arguments) => send::send(&arguments),
        Command::Generate(arguments) => generate::generate(&arguments),
        Command::Bench { command } => bench::bench(command),
        Command::Env { command } => match command {
            EnvCommand::Prepare => env::prepare(),
            EnvCommand::Up { file, place, pipeline, shards, with_parent } => {
                env::up(&file, &place, pipeline.then_some(shards), with_parent)
            }
            EnvCommand::Status { external: Some(file), .. } => env::status_of_external(&file),
            EnvCommand::Status { file, external: None } => env::status(&file),
            EnvCommand::Down { file } => env::down(&file),
        },
    };
    result.unwrap_or_else(|failure| failure.report())
}

/// Writes a result to stdout.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::caused(Kind::Unavailable, "the result could not be written to stdout", "", error))
}
