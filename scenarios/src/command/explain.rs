//! `assay explain EVENT-ID --run DIR`: one event's whole story.

use std::{collections::HashMap, path::Path, process::ExitCode};

use checkers::{explain::explain as story_of, reconcile::sent::Exchange};
use generators::{
    identity::EventId,
    ledger::{Answer, Outcome, Record},
};
use uuid::Uuid;

use super::print;
use crate::{
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
    let run = StoredRun::open(&directory)?;
    let case = run.case();
    if id.run != run.manifest.plan.run {
        let other = run.manifest.plan.run;
        return Err(wrong(format!("`{event}` belongs to run {}, and the directory is that of run {other}", id.run)));
    }
    let answers: HashMap<(u16, u64), Outcome> = run
        .records()?
        .into_iter()
        .filter_map(|record| match record {
            Record::Outcome(outcome) => Some(((outcome.stream.0, outcome.index), outcome)),
            _ => None,
        })
        .collect();
    let answer = |exchange: &Exchange| {
        answers
            .get(&(exchange.request.stream.0, exchange.request.index))
            .map_or_else(|| "no answer is known".to_owned(), |outcome| in_words(&outcome.answer))
    };
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

fn in_words(answer: &Answer) -> String {
    match answer {
        Answer::Reply { status, excerpt } if excerpt.is_empty() => status.to_string(),
        Answer::Reply { status, excerpt } => format!("{status} {excerpt:?}"),
        Answer::TimedOut => "no reply in time".into(),
        Answer::Broken { error } => format!("the connection broke: {error}"),
        Answer::NeverLeft { error } => format!("it never left: {error}"),
    }
}
