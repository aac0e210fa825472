//! `assay send DIR --shard 2/3`: one share of a run's traffic, for a run that another process or machine has started and judges.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use checkers::verdict::Verdict;
use generators::{
    client::{SenderProgress, target::Target},
    clock::RunClock,
    event::EventSource,
    ledger::End,
    schedule::Rate,
    timetable::Shard,
    workload::Workload,
};
use reports::{figures::count, progress::Progress};
use tokio::sync::watch;

use super::{
    print,
    target::{reach, resolve},
};
use crate::{
    external::{Confirmation, Limits, Offer, RaisedBy, confirm},
    failure::{Failure, Kind},
    interrupt,
    ledgers::given_up,
    manifest::Manifest,
    run_directory::RunDirectory,
    runner::sender_options,
    scenario::notation,
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
    /// Send to another machine without asking first
    #[arg(long)]
    yes: bool,
    /// The most events that may go to another machine
    #[arg(long, value_name = "N", default_value_t = Limits::DEFAULT.events, value_parser = clap::value_parser!(u64).range(1..))]
    most_events: u64,
    /// The most events that may go to another machine in any second, such as 5000/s [default: 1000/s]
    #[arg(long, value_name = "RATE", value_parser = notation::rate)]
    most_rate: Option<Rate>,
}

impl Arguments {
    /// What is to be agreed to before anything goes to `target`; nothing if that is this machine.
    fn offer(&self, target: &Target) -> Option<Offer> {
        let limits = Limits { events: self.most_events, rate: self.most_rate.unwrap_or(Limits::DEFAULT.rate) };
        (!target.address().ip().is_loopback()).then(|| Offer {
            to: target.to_string(),
            limits,
            raised_by: RaisedBy::Options,
            shard: self.shard,
            windows: 1,
            faults: Vec::new(),
        })
    }
}

const NOTES: &str = "\
  assay run soak --shard 1/3 --starts-in 60s      # starts the pipeline, sends the first share, waits for the others, judges
  assay send runs/soak/… --shard 2/3              # on this machine: the ledger is written where it is read
  assay send copy/ --shard 3/3 --target http://…  # elsewhere: afterwards copy its ledger into the run's directory
To another machine goes no more than --most-events and --most-rate, and nothing before somebody agrees: at the terminal, or by --yes.
All shares are sent on the run's own schedule, by each machine's wall clock: keep the clocks together. The ledgers judge together.";

pub(super) fn send(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let directory = RunDirectory::open(&arguments.directory);
    let manifest = Manifest::read(&directory)?;
    in_time(&manifest)?;
    let target = target_of(arguments, &manifest)?;
    let workload = Arc::new(manifest.workload(&directory)?);
    let progress = Progress::on_stderr(false);
    if let Some(offer) = arguments.offer(&target) {
        let confirmation = if arguments.yes { Confirmation::Given } else { Confirmation::Ask };
        confirm(&offer, &workload, confirmation, &progress)?;
        // Somebody may have thought for long before agreeing.
        in_time(&manifest)?;
    }
    let target = reach(target)?;
    let clock = RunClock::at(manifest.start);
    let division = Division { shard: arguments.shard, senders: arguments.senders };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::caused(Kind::Internal, "no runtime could be made", "", error))?;
    progress.step(&format!("share {} of {} events to {target}", arguments.shard, count(planned(&workload))));
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
    let (text, verdict) = told(arguments.shard, end, &sent, directory.path());
    print(&text)?;
    Ok(ExitCode::from(verdict.exit_code()))
}

/// What a share came to, in words, and whether the run can still pass for all that is known here.
fn told(shard: Shard, end: End, sent: &SenderProgress, place: &Path) -> (String, Verdict) {
    let of = |number: &AtomicU64| count(number.load(Ordering::Relaxed));
    let mut text = format!(
        "share {shard}{}: {} events sent, {} acked, {} not; what became of each is in {}\n",
        if end == End::Complete { "" } else { ", stopped" },
        of(&sent.sent),
        of(&sent.acked),
        of(&sent.failed),
        place.display(),
    );
    let given_up = given_up(sent.given_up.load(Ordering::Relaxed));
    let is_whole = end == End::Complete && given_up.is_none();
    text.extend(given_up.map(|what| format!("{what}\n")));
    (text, if is_whole { Verdict::Pass } else { Verdict::Inconclusive })
}

/// Makes sure that the run of `manifest` has not begun without this share.
fn in_time(manifest: &Manifest) -> Result<(), Failure> {
    let late = RunClock::since(manifest.start);
    if late <= LATEST {
        return Ok(());
    }
    Err(Failure::told(
        Kind::Usage,
        format!("the run has begun {} s ago: what was due is missed", late.as_secs_f64().ceil()),
        "leave more time for the other shares with `assay run … --starts-in 60s`",
    ))
}

/// How many events all shares are together.
fn planned(workload: &Workload) -> u64 {
    workload.streams().into_iter().map(|stream| workload.planned(stream)).sum()
}

/// Where to send to; nobody was asked yet whether they are there.
fn target_of(arguments: &Arguments, manifest: &Manifest) -> Result<Target, Failure> {
    if let Some(text) = &arguments.target {
        return resolve(text, arguments.ca.as_deref());
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
    Ok(target)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn offer(target: &str, more: &[&str]) -> Option<Offer> {
        let words = ["send", "dir", "--shard", "2/3"].iter().chain(more);
        Line::try_parse_from(words).unwrap().arguments.offer(&resolve(target, None).unwrap())
    }

    #[test]
    fn repeats_that_were_given_up_are_told_and_forbid_a_pass_as_they_do_in_a_run() {
        let sent = SenderProgress::default();
        sent.sent.store(1_200, Ordering::Relaxed);
        sent.acked.store(1_100, Ordering::Relaxed);
        let shard = Shard::new(2, 3).unwrap();
        let of = |end| told(shard, end, &sent, Path::new("copy"));
        let whole = "share 2/3: 1 200 events sent, 1 100 acked, 0 not; what became of each is in copy\n";
        assert_eq!(of(End::Complete), (whole.to_owned(), Verdict::Pass));
        let (text, verdict) = of(End::Stopped);
        assert!(text.starts_with("share 2/3, stopped: ") && verdict == Verdict::Inconclusive, "{text}");
        sent.given_up.store(3_000, Ordering::Relaxed);
        let (text, verdict) = of(End::Complete);
        assert_eq!(verdict, Verdict::Inconclusive);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], whole.trim_end());
        assert!(lines[1].starts_with("3 000 second sendings and duplicates of requests were given up, "), "{text}");
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn this_machine_is_free_and_another_one_has_a_ceiling() {
        for here in ["127.0.0.1:8000", "http://[::1]:8000"] {
            assert_eq!(offer(here, &[]), None, "{here}");
        }
        let there = offer("192.0.2.1:8000", &[]).unwrap();
        assert_eq!((there.limits, there.shard), (Limits::DEFAULT, Shard::new(2, 3).unwrap()));
        assert_eq!((there.to.as_str(), there.raised_by), ("http://192.0.2.1:8000", RaisedBy::Options));
        let raised = offer("192.0.2.1:8000", &["--most-events", "7", "--most-rate", "9/s"]).unwrap();
        assert_eq!((raised.limits.events, raised.limits.rate.events), (7, 9));
    }
}
