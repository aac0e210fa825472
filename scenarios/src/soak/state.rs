//! `soak.json`: what a soak has come to so far, and whose it is, so that it can go on.

use checkers::{
    reasons::Reason,
    record::RunRecord,
    soak::{Rules, Soak},
};
use generators::identity::RunId;
use jiff::Timestamp;
use reports::figures::{count, seconds};
use serde::{Deserialize, Serialize};

use super::{read_json, write_json};
use crate::{
    failure::{Failure, Kind},
    run_directory::RunDirectory,
    scenario::Scenario,
};

/// The version of this form.
const SCHEMA: u32 = 1;

/// What is kept of a soak.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    schema: u32,
    /// The version of Assay that began it.
    assay: String,
    scenario: String,
    /// A digest of the scenario with all that was changed in it, but for its seed.
    digest: u32,
    id: String,
    started_at: String,
    /// The windows' seeds count from it.
    seed: u64,
    /// The newest window that is taken in.
    pub(super) last: Option<String>,
    /// All windows so far.
    pub(super) soak: Soak,
}

impl State {
    pub(super) fn new(scenario: &Scenario, id: RunId, rules: Rules) -> Self {
        Self {
            schema: SCHEMA,
            assay: env!("CARGO_PKG_VERSION").into(),
            scenario: scenario.name.clone(),
            digest: scenario.digest(),
            id: id.to_string(),
            started_at: format!("{:.6}", Timestamp::now()),
            // Room for as many windows as there will ever be.
            seed: scenario.seed.unwrap_or_else(|| rand::random::<u64>() >> 2),
            last: None,
            soak: Soak::new(rules),
        }
    }

    /// What is in `directory`, if that is a soak's.
    pub(super) fn stored(directory: &RunDirectory) -> Result<Option<Self>, Failure> {
        directory.must_be_a_directory()?;
        let path = directory.soak();
        let state: Option<Self> = read_json(&path)?;
        if let Some(state) = &state
            && state.schema != SCHEMA
        {
            return Err(Failure::told(
                Kind::Usage,
                format!("{} is of version {}, and this Assay reads {SCHEMA}", path.display(), state.schema),
                "use the version of Assay that began it",
            ));
        }
        Ok(state)
    }

    /// What is in `directory`, which must be that of a soak of `scenario`.
    pub(super) fn read(directory: &RunDirectory, scenario: &Scenario) -> Result<Self, Failure> {
        let place = directory.path().display();
        let state = Self::stored(directory)?.ok_or_else(|| {
            Failure::told(
                Kind::Usage,
                format!("{place} is no soak's directory: it holds no soak.json"),
                "name the directory of a soak, such as runs/soak/latest",
            )
        })?;
        let other = if state.scenario != scenario.name {
            Some(format!("{place} is a soak of the scenario {}, not of {}", state.scenario, scenario.name))
        } else if state.assay != env!("CARGO_PKG_VERSION") {
            Some(format!("{place} was begun by version {} of Assay", state.assay))
        } else if state.digest != scenario.digest() || scenario.seed.is_some_and(|seed| seed != state.seed) {
            Some(format!("{place} is a soak of {} with other values", state.scenario))
        } else {
            None
        };
        match other {
            None => Ok(state),
            Some(what) => Err(Failure::told(
                Kind::Usage,
                what,
                "go on with the same scenario, --set and --seed that it was begun with, or begin another one",
            )),
        }
    }

    pub(super) fn write(&self, directory: &RunDirectory) -> Result<(), Failure> {
        write_json(&directory.soak(), self)
    }

    /// How many windows are sent in all, if no further one is broken off.
    pub(super) fn windows_in_all(&self) -> u64 {
        self.soak.rules().windows.saturating_add(self.soak.broken_off)
    }

    /// The seed of the next window. A window that was broken off is sent with another one.
    pub(super) fn seed_of_next(&self) -> u64 {
        let soak = &self.soak;
        (self.seed + soak.judged + soak.void + soak.broken_off) & (u64::MAX >> 1)
    }

    /// The soak's verdict so far; `has_ended` says that no further window follows. Who only looks does not know.
    pub(super) fn record(&self, directory: &RunDirectory, has_ended: bool) -> RunRecord {
        let soak = &self.soak;
        let (made, rules) = (soak.judged + soak.void, soak.rules());
        let windows = format!("{} of {} windows", count(made), count(rules.windows));
        let in_the_way = if soak.is_over() || soak.has_its_answer() {
            None
        } else if has_ended {
            Some(format!("{} all windows were sent: {windows} are judged", Reason::Stopped.words()))
        } else {
            Some(format!("{windows} are judged so far"))
        };
        let mut record = soak.record(&self.scenario, in_the_way);
        record.run.id = Some(self.id.clone());
        record.run.seed = Some(self.seed);
        record.run.digest = Some(self.digest);
        record.run.started_at = Some(self.started_at.clone());
        if let Some(details) = &mut record.details {
            let each = format!("{windows} of {} each", seconds(rules.window));
            let left_out = match soak.broken_off {
                0 => String::new(),
                broken_off => format!("; {broken_off} broken off and sent again"),
            };
            details.environment.insert(0, ("Windows".into(), each + &left_out));
            let place = directory.path().display();
            for window in &soak.not_passed {
                let reasons = window.reasons.join(" · ");
                let what = format!("{}, {}: {reasons}", window.directory, window.verdict.word());
                details.environment.push((format!("Window {}", window.number), what));
            }
            details.reproduce = vec![
                (
                    "Go on with it, if it was stopped (with the same --set):".into(),
                    format!("assay run {} --resume {place}", self.scenario),
                ),
                ("One window, by itself:".into(), format!("assay check {place}/{}-window/latest", self.scenario)),
            ];
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Override;

    fn scenario(overrides: &[Override]) -> Scenario {
        let source = "[scenario]\nname = \"night\"\ndescription = \"x\"\n[[traffic]]\nname = \"a\"\nduration = \"1m\"\n\
                      arrival = { shape = \"constant\", rate = \"10/s\" }\n[soak]\nlasts = \"5m\"\n";
        Scenario::read("night.toml", source, overrides).unwrap()
    }

    fn rules() -> Rules {
        Rules { windows: 5, window: 60.0, confidence: 0.95, may_stop_early: false }
    }

    #[test]
    fn it_comes_back_from_its_directory_and_for_its_own_scenario_alone() {
        let folder = tempfile::tempdir().unwrap();
        let directory = RunDirectory::open(folder.path());
        let night = scenario(&[]);
        assert!(format!("{:?}", State::read(&directory, &night).unwrap_err()).contains("no soak's directory"));
        let state = State::new(&night, RunId::new(7), rules());
        state.write(&directory).unwrap();
        let back = State::read(&directory, &night).unwrap();
        assert_eq!((back.seed, &back.soak, &back.id), (state.seed, &state.soak, &state.id));
        let faster = Override { key: "traffic.a.arrival.rate".into(), value: "11/s".into() };
        let said = format!("{:?}", State::read(&directory, &scenario(&[faster])).unwrap_err());
        assert!(said.contains("with other"), "{said}");
        let reseeded = Scenario { seed: Some(state.seed + 1), ..night.clone() };
        let said = format!("{:?}", State::read(&directory, &reseeded).unwrap_err());
        assert!(said.contains("with other"), "{said}");
        assert!(State::read(&directory, &Scenario { seed: Some(state.seed), ..night.clone() }).is_ok());
        let other = Scenario { name: "other".into(), ..night };
        assert!(format!("{:?}", State::read(&directory, &other).unwrap_err()).contains("scenario night"));
    }

    #[test]
    fn every_window_has_a_seed_of_its_own() {
        let mut state = State::new(&Scenario { seed: Some(7), ..scenario(&[]) }, RunId::new(7), rules());
        assert_eq!(state.seed_of_next(), 7);
        state.soak.add_failure("x");
        assert_eq!(state.seed_of_next(), 8);
    }

    #[test]
    fn a_window_that_is_sent_again_is_sent_beside_the_others() {
        let mut state = State::new(&scenario(&[]), RunId::new(7), rules());
        // It counts as one of the windows.
        state.soak.add_failure("x");
        assert_eq!(state.windows_in_all(), 5);
        state.soak.broken_off += 1;
        assert_eq!(state.windows_in_all(), 6);
    }

    #[test]
    fn it_says_whether_it_goes_on_or_was_stopped() {
        let state = State::new(&scenario(&[]), RunId::new(7), rules());
        let directory = RunDirectory::open(std::path::Path::new("runs/night/x"));
        let (on, stopped) = (state.record(&directory, false), state.record(&directory, true));
        assert_eq!(on.reasons, ["0 of 5 windows are judged so far"]);
        assert_eq!(Reason::of(&stopped.reasons[0]), Some(Reason::Stopped));
        assert_eq!(stopped.exit_code, 2);
        assert!(stopped.details.unwrap().reproduce[0].1.contains("--resume runs/night/x"));
    }
}
