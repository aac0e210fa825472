//! `assay explain EVENT-ID --run DIR`: one event's whole story.

use std::{collections::HashSet, path::Path, process::ExitCode};

use checkers::{
    explain::explain as story_of,
    reconcile::{
        groups::Groups,
        sent::{Exchange, ExchangeKey},
    },
    verdict::Obstacle,
};
use generators::identity::EventId;
use reports::progress::Progress;
use uuid::Uuid;

use super::print;
use crate::{
    answers::answers,
    failure::{Failure, Kind},
    run_directory::RunDirectory,
    stored::StoredRun,
};

pub(super) fn explain(event: &str, directory: &Path, json: bool) -> Result<ExitCode, Failure> {
    let wrong = |what: String| {
        let help = "findings in verdict.json and in the report name events by their id";
        Failure::told(Kind::Usage, what, help)
    };
    let uuid = Uuid::parse_str(event).map_err(|_| wrong(format!("`{event}` is no event id: an id is a UUID")))?;
    let id = EventId::from_uuid(uuid).map_err(|error| wrong(format!("`{event}` is no event of Assay's: {error}")))?;
    let directory = RunDirectory::open(directory);
    let mut run = StoredRun::open(&directory)?;
    tell_of(&run.obstacles()?, &Progress::on_stderr(false));
    if id.run != run.manifest.plan.run {
        let other = run.manifest.plan.run;
        return Err(wrong(format!("`{event}` belongs to run {}, and the directory is that of run {other}", id.run)));
    }
    run.judge_groups(Groups::judge)?;
    let planned = run.window_of(id.stream, id.seq)?;
    let window = planned.ok_or_else(|| wrong(format!("`{event}` was never planned")))?;
    let case = window.case();
    let attempts: HashSet<ExchangeKey> = case.sent.attempts(id.stream, id.seq).map(Exchange::key).collect();
    let answers = answers(run.records()?, &attempts)?;
    let answer =
        |exchange: &Exchange| answers.get(&exchange.key()).cloned().unwrap_or_else(|| "no answer is known".to_owned());
    let story = story_of(&case, id, answer).ok_or_else(|| wrong(format!("`{event}` was never planned")))?;
    if json {
        let text = serde_json::to_string_pretty(&story)
            .map_err(|error| Failure::caused(Kind::Internal, "the story could not be written", "", error))?;
        print(&(text + "\n"))?;
    } else {
        print(&reports::explain::render(&story))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what of the whole run stands in the way of a pass, since it may be why an event's story is as it is.
fn tell_of(obstacles: &[Obstacle], progress: &Progress) {
    for obstacle in obstacles {
        let (Obstacle::Invalid(what) | Obstacle::Insufficient(what)) = obstacle;
        progress.step(&format!("note: of the run as a whole: {what}"));
    }
}
