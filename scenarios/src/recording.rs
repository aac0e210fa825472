//! The recording of a scenario that replays one: read once, and kept in the run's directory in our form.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    sync::Arc,
};

use generators::replay::{Imported, Recording, RecordingError, import};

use crate::{
    failure::{Failure, Kind},
    scenario::{Replay, Scenario},
};

/// So many lines that were not understood are shown at once; all are in a file.
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

/// Reads the recording that `scenario` names, if it names one, into `to`; lines that cannot be understood go into `left_out`,
/// and are told by `say`.
///
/// # Errors
/// When it cannot be read or written, or holds nothing that can be sent.
pub fn prepare(scenario: &Scenario, to: &Path, left_out: &Path, say: impl Fn(&str)) -> Result<Prepared, Failure> {
    let mut scenario = scenario.clone();
    let replaying =
        scenario.traffic.iter_mut().find_map(|traffic| Some((&mut traffic.events, traffic.replay.clone()?)));
    let Some((events, Replay { file, batch, .. })) = replaying else {
        return Ok(Prepared { scenario, recording: None, imported: None });
    };
    let unwritten =
        |error| Failure::caused(Kind::Unavailable, format!("{} cannot be written", left_out.display()), "", error);
    let (mut first, mut others, mut failed) = (Vec::new(), None::<BufWriter<File>>, None);
    let result = import(&file, to, batch, |line| {
        let told = format!("line {}: {}", line.line, line.what);
        let written = match &mut others {
            Some(others) => writeln!(others, "{told}"),
            None => File::create(left_out).and_then(|file| writeln!(others.insert(BufWriter::new(file)), "{told}")),
        };
        failed = failed.take().or(written.err());
        if first.len() < SHOWN {
            first.push(told);
        }
    });
    let imported = result.map_err(|error| {
        Failure::caused(Kind::Usage, format!("the recording {} cannot be used", file.display()), HELP, error)
    })?;
    failed = failed.or_else(|| others.and_then(|mut others| others.flush().err()));
    failed.map_or(Ok(()), Err).map_err(unwritten)?;
    let Imported { requests, events: found, not_understood } = imported;
    say(&format!("recording: {found} events in {requests} requests of {}", file.display()));
    if not_understood > 0 {
        say(&format!(
            "{not_understood} lines of it were not understood and are left out; all are in {}",
            left_out.display()
        ));
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
