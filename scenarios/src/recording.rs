//! The recording of a scenario that replays one: read once, and kept in the run's directory in our form.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    sync::Arc,
};

use checkers::oracle::dialect::Dialect;
use generators::replay::{Imported, Recording, RecordingError, import};

use crate::{
    failure::{Failure, Kind},
    scenario::{Replay, Scenario},
};

/// So many lines that were not understood are shown where all are in a file.
const SHOWN: usize = 5;

/// A scenario with its recording.
#[derive(Debug)]
pub struct Prepared {
    /// The scenario, with the number of the recording's events.
    pub scenario: Scenario,
    /// What is replayed, if anything.
    pub recording: Option<Arc<Recording>>,
    /// What became of its lines.
    pub imported: Option<Imported>,
}

/// Reads the recording that `scenario` names, if it names one, into `to`. Lines that cannot be understood go into `left_out`, and
/// the first of them are told by `say`; all are where there is no such file.
///
/// # Errors
/// When it cannot be read or written, or holds nothing that can be sent.
pub fn prepare(
    scenario: &Scenario,
    to: &Path,
    left_out: Option<&Path>,
    say: impl Fn(&str),
) -> Result<Prepared, Failure> {
    let mut scenario = scenario.clone();
    let dialect = scenario.pipeline.dialect;
    let replaying =
        scenario.traffic.iter_mut().find_map(|traffic| Some((&mut traffic.events, traffic.replay.clone()?)));
    let Some((events, Replay { file, batch, .. })) = replaying else {
        return Ok(Prepared { scenario, recording: None, imported: None });
    };
    let mut others = LeftOut { path: left_out, file: None, failed: None };
    let mut first = Vec::new();
    // What older dialects make of an unreadable timestamp is not known (ingestion contract 2.1).
    let taken_for_unreadable = dialect == Dialect::V2026;
    let result = import(&file, to, batch, taken_for_unreadable, |line| {
        let told = format!("line {}: {}", line.line, line.what);
        match left_out {
            None => say(&format!("recording, {told}")),
            Some(_) => {
                others.write(&told);
                if first.len() < SHOWN {
                    first.push(told);
                }
            }
        }
    });
    let imported = result.map_err(|error| {
        Failure::caused(Kind::Usage, format!("the recording {} cannot be used", file.display()), HELP, error)
    })?;
    others.end()?;
    let Imported { requests, events: found, repeated, not_understood } = imported;
    say(&format!("recording: {found} events in {requests} requests of {}", file.display()));
    if repeated > 0 {
        say(&format!(
            "{repeated} times it holds one of these again, by its uuid: each is one event, and is sent as often"
        ));
    }
    if not_understood > 0 {
        let place = left_out.map(|path| format!("; all are in {}", path.display())).unwrap_or_default();
        say(&format!("{not_understood} lines of it were not understood and are left out{place}"));
        for line in &first {
            say(&format!("  {line}"));
        }
    }
    if found == 0 {
        let what = format!("the recording {} holds nothing that can be sent", file.display());
        return Err(Failure::told(Kind::Usage, what, HELP));
    }
    *events = found;
    let recording = open(to)?;
    Ok(Prepared { scenario, recording: Some(Arc::new(recording)), imported: Some(imported) })
}

/// The file of the lines that were not understood; there is none before there is such a line.
struct LeftOut<'a> {
    path: Option<&'a Path>,
    file: Option<BufWriter<File>>,
    /// Why it could not be written, at first.
    failed: Option<std::io::Error>,
}

impl LeftOut<'_> {
    fn write(&mut self, line: &str) {
        let written = match (&mut self.file, self.path) {
            (Some(file), _) => writeln!(file, "{line}"),
            (None, Some(path)) => {
                File::create(path).and_then(|file| writeln!(self.file.insert(BufWriter::new(file)), "{line}"))
            }
            (None, None) => Ok(()),
        };
        if let Err(error) = written {
            self.failed.get_or_insert(error);
        }
    }

    fn end(self) -> Result<(), Failure> {
        let flushed = self.file.map_or(Ok(()), |mut file| file.flush());
        let Some(error) = self.failed.or(flushed.err()) else { return Ok(()) };
        let path = self.path.unwrap_or_else(|| Path::new(""));
        Err(Failure::caused(Kind::Unavailable, format!("{} cannot be written", path.display()), "", error))
    }
}

const HELP: &str = "it must be JSON lines, a request or an event each: `assay replay --help` shows both";

/// Opens a recording in our form.
///
/// # Errors
/// When it cannot be read, or is damaged.
pub fn open(path: &Path) -> Result<Recording, Failure> {
    Recording::open(path).map_err(|error| {
        let kind = match &error {
            RecordingError::Io { .. } => Kind::Unavailable,
            RecordingError::Damaged { .. } => Kind::Usage,
        };
        Failure::caused(kind, "the recording in the run's directory cannot be used", "", error)
    })
}
