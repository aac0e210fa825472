//! `assay replay RECORDING`: recorded traffic through the pipeline, judged like any run.

use std::{path::PathBuf, process::ExitCode};

use super::{
    RunOptions,
    run::{run_scenario, shell},
};
use crate::{failure::Failure, library, scenario::Override};

#[derive(Debug, clap::Args)]
#[command(after_long_help = NOTES)]
pub(super) struct Arguments {
    /// The recording: JSON lines, a request or an event each
    #[arg(value_name = "RECORDING")]
    file: PathBuf,
    /// How fast, against how it was recorded, such as 2x or 0.5x
    #[arg(long, value_name = "TIMES", conflicts_with = "rate")]
    speed: Option<String>,
    /// Send events at this rate instead, whatever its gaps were, such as 1000/s
    #[arg(long)]
    rate: Option<String>,
    /// Disorder the requests on purpose within a stretch of time, such as 2s
    #[arg(long, value_name = "WINDOW")]
    shuffle: Option<String>,
    /// Send this share of events a second time, such as 1%
    #[arg(long, value_name = "SHARE")]
    resend: Option<String>,
    /// Put so many exported events into a request
    #[arg(long, value_name = "EVENTS")]
    batch: Option<u64>,
    /// How long it may take by its own times, such as 30d; 7d unless it is said
    #[arg(long, value_name = "DURATION", conflicts_with = "rate")]
    longest: Option<String>,
    #[command(flatten)]
    options: RunOptions,
}

const NOTES: &str = "\
A line is a request, as a proxy or `assay generate --requests` writes it, or an event, as an export holds it:
  {\"time\":0.1,\"method\":\"POST\",\"path\":\"/batch/\",\"headers\":{\"content-type\":\"application/json\"},\"body\":\"BASE64\"}
  {\"event\":\"$pageview\",\"distinct_id\":\"d\",\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"properties\":{}}
Times are RFC 3339, or seconds, or milliseconds since 1970. Every event gets a uuid, a token and a marker property of this run, and its time is moved as far
as its request; all else is sent as it was, but for what may be a secret. What has one uuid in the recording is one event. Lines that cannot be understood are counted and told, and left out.";

pub(super) fn replay(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Arguments { file, speed, rate, shuffle, resend, batch, longest, options } = arguments;
    let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let changes = [
        ("replay", Some(quoted(&file.to_string_lossy()))),
        ("speed", speed.as_deref().map(quoted)),
        ("arrival", rate.as_deref().map(|rate| format!("{{ shape = \"constant\", rate = {} }}", quoted(rate)))),
        ("replay_batch", batch.map(|batch| batch.to_string())),
        ("replay_longest", longest.as_deref().map(quoted)),
        ("disorder.shuffle", shuffle.as_deref().map(quoted)),
        ("disorder.resend", resend.as_deref().map(quoted)),
    ];
    let changes = changes
        .into_iter()
        .filter_map(|(key, value)| Some(Override { key: format!("traffic.recorded.{key}"), value: value? }));
    let overrides: Vec<Override> = changes.chain(options.overrides.iter().cloned()).collect();
    let batch = batch.map(|batch| batch.to_string());
    let file = file.to_string_lossy().into_owned();
    let flags = [
        ("--speed", speed),
        ("--rate", rate),
        ("--shuffle", shuffle),
        ("--resend", resend),
        ("--batch", &batch),
        ("--longest", longest),
    ];
    let flags = flags.into_iter().filter_map(|(flag, value)| Some([flag, value.as_deref()?])).flatten();
    let command = shell(["assay", "replay", &file].into_iter().chain(flags));
    run_scenario(library::read("replay", &overrides)?, options, command)
}
