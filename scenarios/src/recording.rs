//! The recording of a scenario that replays one: read once, and kept in the run's directory in our form.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use checkers::oracle::dialect::Dialect;
use generators::{
    replay::{Ends, Imported, Recording, RecordingError, import},
    workload::Pace,
};

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
/// When it cannot be read or written, holds nothing that can be sent, or takes longer than the scenario allows.
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
    let Some((events, Replay { file, pace, batch, longest })) = replaying else {
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
    let (imported, ends) = result.map_err(|error| {
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
    let by_itself = recording.lasts();
    match pace {
        Pace::Recorded(speed) => {
            let lasts = by_itself.div_f64(speed);
            let sent = if lasts == by_itself { String::new() } else { format!(", and is sent in {}", in_words(lasts)) };
            say(&format!("by itself it lasts {}{sent}", in_words(by_itself)));
            if lasts > longest {
                return Err(too_long(&file, lasts, longest, ends));
            }
        }
        Pace::Arrival => say(&format!("by itself it lasts {}, and is sent at a rate of its own", in_words(by_itself))),
    }
    Ok(Prepared { scenario, recording: Some(Arc::new(recording)), imported: Some(imported) })
}

/// It takes longer than anybody may wish: a time by a wrong clock is far from all others.
fn too_long(file: &Path, lasts: Duration, longest: Duration, ends: Ends) -> Failure {
    let (file, lasts, longest) = (file.display(), in_words(lasts), in_words(longest));
    let Ends { first, last } = ends;
    let what = format!(
        "to send the recording {file} would take {lasts}, of at most {longest}: its earliest time is in line {first}, and its \
         latest in line {last}"
    );
    Failure::told(Kind::Usage, what, TOO_LONG)
}

const TOO_LONG: &str = "if the clock of one of these lines was wrong, leave that line out; else send it faster \
                        (`--speed 100x`, or `speed` in a scenario) or at a rate of its own (`--rate 1000/s`, `arrival`), \
                        or allow so long (`--longest 30d`, `replay_longest`)";

/// A length of time for people.
fn in_words(length: Duration) -> String {
    let seconds = length.as_secs_f64();
    match length.as_secs() {
        0..120 => format!("{seconds:.1} s"),
        120..7_200 => format!("{:.1} min", seconds / 60.0),
        7_200..172_800 => format!("{:.1} h", seconds / 3_600.0),
        172_800..63_072_000 => format!("{:.1} days", seconds / 86_400.0),
        _ => format!("{:.1} years", seconds / 31_557_600.0),
    }
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

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, fs};

    use super::*;
    use crate::{library, scenario::Override};

    /// What becomes of these lines with more said in the scenario, and what is told meanwhile.
    fn prepared(lines: &str, more: &[(&str, &str)]) -> (Result<Prepared, Failure>, String) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("recording.jsonl");
        fs::write(&file, lines).unwrap();
        let file = serde_json::to_string(&file.to_string_lossy()).unwrap();
        let overrides: Vec<Override> = [("replay", file.as_str())]
            .iter()
            .chain(more)
            .map(|(key, value)| Override { key: format!("traffic.recorded.{key}"), value: (*value).to_owned() })
            .collect();
        let scenario = library::read("replay", &overrides).unwrap();
        let told = RefCell::new(String::new());
        let prepared = prepare(&scenario, &folder.path().join("own.jsonl"), None, |line| {
            let mut told = told.borrow_mut();
            told.push_str(line);
            told.push('\n');
        });
        (prepared, told.into_inner())
    }

    /// Events that happened at these times, a line each.
    fn events(times: &[&str]) -> String {
        let line = |time: &&str| format!("{{\"event\":\"e\",\"distinct_id\":\"d\",\"timestamp\":\"{time}\"}}\n");
        times.iter().map(line).collect()
    }

    #[test]
    fn how_long_it_lasts_is_told() {
        let lines = events(&["2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z"]);
        for (more, expected) in [
            (&[][..], "by itself it lasts 10.0 min\n"),
            (&[("speed", "\"10x\"")][..], "by itself it lasts 10.0 min, and is sent in 60.0 s\n"),
            (
                &[("arrival", "{ shape = \"constant\", rate = \"1/s\" }")][..],
                "by itself it lasts 10.0 min, and is sent at a rate of its own\n",
            ),
        ] {
            let (prepared, told) = prepared(&lines, more);
            assert!(prepared.is_ok() && told.ends_with(expected), "{told}");
        }
    }

    #[test]
    fn a_time_by_a_wrong_clock_is_refused_with_its_line() {
        let lines =
            events(&["2026-01-01T00:00:01Z", "2026-01-01T00:00:03Z", "1980-01-01T00:00:00Z", "2026-01-01T00:00:02Z"]);
        let (refused, told) = prepared(&lines, &[]);
        let what = refused.unwrap_err().line();
        assert!(what.contains("would take 46.0 years, of at most 7.0 days"), "{what}");
        assert!(what.contains("earliest time is in line 3, and its latest in line 2"), "{what}");
        assert!(told.contains("by itself it lasts 46.0 years"), "{told}");
        for (more, is_taken) in [
            (("speed", "\"2x\""), false),
            (("speed", "\"10000x\""), true),
            (("arrival", "{ shape = \"constant\", rate = \"1/s\" }"), true),
            (("replay_longest", "\"20000d\""), true),
        ] {
            assert_eq!(prepared(&lines, &[more]).0.is_ok(), is_taken, "{more:?}");
        }
    }
}
