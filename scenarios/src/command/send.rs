//! `assay send DIR --shard 2/3`: one share of a run's traffic, for a run that another process or machine has started and judges.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use generators::{
    client::{SenderProgress, target::Target},
    clock::RunClock,
    event::EventSource,
    ledger::End,
    timetable::Shard,
};
use reports::{figures::count, progress::Progress};
use tokio::sync::watch;

use super::{
    print,
    target::{reach, resolve},
};
use crate::{
    failure::{Failure, Kind},
    interrupt,
    manifest::Manifest,
    run_directory::RunDirectory,
    runner::sender_options,
    senders::{Division, Senders},
};

/// Who begins later than this misses what was due.
const LATEST: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
#[command(after_long_help = NOTES)]
pub(super) struct Arguments {
    /// The run's directory, or one with a copy of its manifest.json (and recording.jsonl, if it replays one)
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Which share of the requests to send, such as 2/3
    #[arg(long, value_name = "WHICH/OF")]
    shard: Shard,
    /// Send from so many threads, each with a ledger of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    senders: u64,
    /// Where the run's capture is from here, such as `http://10.0.0.1:8000`; without it as the manifest says, on this machine
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// Trust the CAs in this PEM file as well, for a target with https
    #[arg(long, value_name = "FILE", requires = "target")]
    ca: Option<PathBuf>,
}

const NOTES: &str = "\
  assay run soak --shard 1/3 --starts-in 60s      # starts the pipeline, sends the first share, waits for the others, judges
  assay send runs/soak/… --shard 2/3              # on this machine: the ledger is written where it is read
  assay send copy/ --shard 3/3 --target http://…  # elsewhere: afterwards copy its ledger into the run's directory
All shares are sent on the run's own schedule, by each machine's wall clock: keep the clocks together. The ledgers judge together.";

pub(super) fn send(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let directory = RunDirectory::open(&arguments.directory);
    let manifest = Manifest::read(&directory)?;
    let late = RunClock::since(manifest.start);
    if late > LATEST {
        return Err(Failure::told(
            Kind::Usage,
            format!("the run has begun {} s ago: what was due is missed", late.as_secs_f64().ceil()),
            "leave more time for the other shares with `assay run … --starts-in 60s`",
        ));
    }
    let target = target_of(arguments, &manifest)?;
    let workload = Arc::new(manifest.workload(&directory)?);
    let clock = RunClock::at(manifest.start);
    let division = Division { shard: arguments.shard, senders: arguments.senders };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::caused(Kind::Internal, "no runtime could be made", "", error))?;
    let progress = Progress::on_stderr(false);
    let planned: u64 = workload.streams().into_iter().map(|stream| workload.planned(stream)).sum();
    progress.step(&format!("share {} of {} events to {target}", arguments.shard, count(planned)));
    let sent = Arc::new(SenderProgress::default());
    let end = runtime.block_on(async {
        let mut stop = interrupt::listen()?;
        let (stop_sending, stopped) = watch::channel(false);
        let options = sender_options(target);
        let mut senders = Senders::start(&workload, clock, division, &options, directory.path(), &sent, &stopped)?;
        loop {
            tokio::select! {
                () = senders.finished() => break,
                Ok(_) = stop.wait_for(|stop| *stop), if !*stop_sending.borrow() => {
                    progress.step("stopped: answers are waited for; once more leaves at once");
                    let _ = stop_sending.send(true);
                }
                () = tokio::time::sleep(TICK) => (),
            }
            progress.now(format!(
                "sending  sent {} · acked {}",
                count(sent.sent.load(Ordering::Relaxed)),
                count(sent.acked.load(Ordering::Relaxed)),
            ));
        }
        senders.join().map_err(|error| {
            let help = "make room on the disk; what was sent is in the ledger";
            Failure::caused(Kind::Unavailable, "sending had to be given up", help, error)
        })
    });
    progress.clear();
    let end = end?;
    let of = |number: &std::sync::atomic::AtomicU64| count(number.load(Ordering::Relaxed));
    print(&format!(
        "share {}{}: {} events sent, {} acked, {} not; what became of each is in {}\n",
        arguments.shard,
        if end == End::Complete { "" } else { ", stopped" },
        of(&sent.sent),
        of(&sent.acked),
        of(&sent.failed),
        directory.path().display(),
    ))?;
    Ok(if end == End::Complete { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

fn target_of(arguments: &Arguments, manifest: &Manifest) -> Result<Target, Failure> {
    if let Some(text) = &arguments.target {
        return reach(resolve(text, arguments.ca.as_deref())?);
    }
    let help = "name the run's capture as it can be reached from here: --target http://HOST:PORT";
    let Some(capture) = &manifest.environment.capture else {
        return Err(Failure::told(Kind::Usage, "the manifest does not say where the run's capture is", help));
    };
    let target = resolve(capture, None)?;
    if !target.address().ip().is_loopback() {
        let what = format!("{target} is another machine: load goes only where you name it");
        return Err(Failure::told(Kind::Usage, what, help));
    }
    reach(target)
}
