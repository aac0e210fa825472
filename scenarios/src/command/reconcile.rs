//! `assay reconcile`: judge two files, without any pipeline.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use checkers::{
    checks::{Independence, Targets},
    files::{self, FileError, Options, ReadsFile, RowsFile, SentFile, parse_moment},
    judge::Allowances,
    reconcile::story::Micros,
};
use reports::progress::Progress;

use super::print;
use crate::{
    failure::{Failure, Kind},
    scenario::notation::{defect_rate, duration, share},
};

#[derive(Debug, clap::Args)]
#[command(after_long_help = FORMS, group = clap::ArgGroup::new("found").required(true).multiple(true))]
pub(super) struct Arguments {
    /// What was sent and answered: a JSON object a line, one an attempt
    #[arg(long, value_name = "FILE")]
    sent: PathBuf,
    /// What the store holds: the final read, one physical row a line
    #[arg(long, value_name = "FILE", group = "found")]
    rows: Option<PathBuf>,
    /// Earlier reads, one a line with all the ids that it saw
    #[arg(long, value_name = "FILE", group = "found")]
    reads: Option<PathBuf>,
    /// When the read of the rows began: seconds, or RFC 3339; without it, after everything else
    #[arg(long, value_name = "TIME", value_parser = parse_moment, allow_hyphen_values = true)]
    now: Option<Micros>,
    /// How old an event must be to be lost and not pending
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = seconds_or_duration)]
    loss_after: Duration,
    /// The share of events that must arrive, and of those that must be right
    #[arg(long, value_name = "SHARE", default_value = "99.99%", value_parser = share)]
    target: f64,
    /// The confidence of every bound
    #[arg(long, value_name = "SHARE", default_value = "95%", value_parser = confidence)]
    confidence: f64,
    /// How many events share one fate
    #[arg(long, value_name = "event|request|N", default_value = "event")]
    independence: Independence,
    /// The limit for p99 time-to-visible
    #[arg(long, value_name = "DURATION", value_parser = seconds_or_duration)]
    p99: Option<Duration>,
    /// How many ids of each class are printed
    #[arg(long, value_name = "N", default_value_t = 100)]
    examples: usize,
}

const FORMS: &str = "\
The forms (times are seconds as numbers, or RFC 3339; ids are strings):
  sent   {\"id\":\"a\",\"outcome\":\"acked\",\"sent_at\":0.0,\"answered_at\":0.2,\"request\":\"r1\",\"tenant\":\"t1\",\"expect\":{\"event\":\"x\"}}
         outcome: acked, indeterminate, rejected or unsent; \"expect_absent\":\"why\" instead of expect; several lines
         with one id are attempts of one event
  rows   {\"id\":\"a\",\"tenant\":\"t1\",\"key\":\"k\",\"row\":{\"event\":\"x\"}}
         of rows with one key the last line is the one that stays
  reads  {\"start\":1.0,\"end\":1.1,\"ids\":[\"a\"]}
verdict.json and the ids of each class are printed on stdout; the exit code is that of the verdict.";

/// A duration in people's notation, or seconds as in the files.
fn seconds_or_duration(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()),
        Err(_) => duration(text),
    }
}

fn confidence(text: &str) -> Result<f64, String> {
    let confidence = share(text)?;
    if (0.5..1.0).contains(&confidence) { Ok(confidence) } else { Err("must lie from 50% to below 100%".into()) }
}

pub(super) fn reconcile(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let progress = Progress::on_stderr(false);
    let (name, input) = open(&arguments.sent, &progress)?;
    let sent = SentFile::read(&name, input).map_err(refused)?;
    let rows = match &arguments.rows {
        Some(path) => {
            let (name, input) = open(path, &progress)?;
            Some(RowsFile::read(&name, input, &sent).map_err(refused)?)
        }
        None => None,
    };
    let reads = match &arguments.reads {
        Some(path) => {
            let (name, input) = open(path, &progress)?;
            Some(ReadsFile::read(&name, input).map_err(refused)?)
        }
        None => None,
    };
    let options = Options {
        now: arguments.now,
        loss_after: arguments.loss_after,
        targets: Targets {
            // People say what must hold; inside, rates are those of defects.
            loss: defect_rate(arguments.target),
            correctness: defect_rate(arguments.target),
            exported: defect_rate(arguments.target),
            confidence: arguments.confidence,
            independence: arguments.independence,
            p99_time_to_visible: arguments.p99,
            may_stop_early: false,
        },
        allowances: Allowances::default(),
        examples: arguments.examples,
    };
    progress.now("judging".into());
    let verdict = files::judge(&sent, rows.as_ref(), reads.as_ref(), &options).map_err(refused)?;
    progress.clear();
    let text = serde_json::to_string_pretty(&verdict)
        .map_err(|error| Failure::caused(Kind::Internal, "the verdict could not be written", "", error))?;
    print(&(text + "\n"))?;
    Ok(ExitCode::from(verdict.record.exit_code))
}

type Input<'a> = BufReader<Watched<'a>>;

fn open<'a>(path: &Path, progress: &'a Progress) -> Result<(String, Input<'a>), Failure> {
    let name = path.display().to_string();
    match File::open(path) {
        Ok(file) => {
            // What is no plain file has no length.
            let length = file.metadata().map_or(0, |facts| facts.len());
            let watched = Watched { file, name: name.clone(), length, read: 0, told: 0, progress };
            Ok((name, BufReader::with_capacity(1 << 16, watched)))
        }
        Err(error) => {
            let kind = if error.kind() == io::ErrorKind::NotFound { Kind::Usage } else { Kind::Unavailable };
            Err(Failure::caused(kind, format!("{name} cannot be read"), "name a file of JSON lines", error))
        }
    }
}

/// A file that says how far it has been read.
struct Watched<'a> {
    file: File,
    name: String,
    length: u64,
    read: u64,
    told: u64,
    progress: &'a Progress,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read += read as u64;
        if self.read >= self.told {
            self.told = self.read + TELL_EVERY;
            let of = if self.length > self.read { format!(" of {}", megabytes(self.length)) } else { String::new() };
            self.progress.now(format!("reading {}: {}{of}", self.name, megabytes(self.read)));
        }
        Ok(read)
    }
}

/// In bytes.
const TELL_EVERY: u64 = 4_000_000;

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes / 1_000_000)
}

fn refused(error: FileError) -> Failure {
    match &error {
        FileError::Wrong { .. } => Failure::told(
            Kind::Usage,
            error.to_string(),
            "nothing was judged: mend the line and try again; `assay reconcile --help` shows the forms",
        ),
        FileError::Io { .. } => Failure::caused(Kind::Unavailable, "nothing was judged", "", error),
        FileError::PutAside(_) => Failure::caused(
            Kind::Unavailable,
            "nothing was judged",
            "what is in the files is sorted in temporary ones: set TMPDIR to a folder with twice their room",
            error,
        ),
    }
}
