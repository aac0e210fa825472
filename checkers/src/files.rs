//! Judging two files: other people's pipelines, and tests, without any pipeline of our own.
//!
//! `sent.jsonl` says what was sent and answered, `rows.jsonl` what the store holds, `reads.jsonl` what earlier reads saw.
//! They become the very stories that a live run becomes; [`crate::reconcile::story`] decides. The forms are strict, and
//! nothing is repaired: an error names the file, the line and the key. Lines are read once and sorted by id into [`parts`],
//! one of which is held at a time, so that files may be larger than memory.

mod examples;
mod line;
mod moment;
mod part;
mod parts;
mod read_line;
mod reads;
mod requests;
mod rows;
mod sent;
mod span;
mod stories;

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use crate::{
    checks::Targets,
    judge::{Allowances, conclude},
    reconcile::{evidence::Class, story::Micros},
    record::{GeneratorFacts, RunFacts, RunRecord},
};

pub use line::FileError;
pub use moment::parse_moment;
pub use reads::ReadsFile;
pub use rows::RowsFile;
pub use sent::SentFile;

/// How to judge.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// When the read of the rows began; `None` if after everything else.
    pub now: Option<Micros>,
    /// How old an event must be to be lost.
    pub loss_after: Duration,
    /// The promises.
    pub targets: Targets,
    /// What the traffic may fall short of.
    pub allowances: Allowances,
    /// How many ids of each class are named.
    pub examples: usize,
}

/// What two files come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileVerdict {
    /// The verdict, as of a run.
    #[serde(flatten)]
    pub record: RunRecord,
    /// Ids by their primary class, the first few of each; every class is a key.
    pub ids: BTreeMap<Class, Vec<String>>,
}

/// Judges what was `sent` by the final read `rows`, by `reads`, or by both.
///
/// # Errors
/// When attempts of one id contradict each other, or what was put aside cannot be read.
pub fn judge(
    sent: &SentFile,
    rows: Option<&RowsFile>,
    reads: Option<&ReadsFile>,
    options: &Options,
) -> Result<FileVerdict, FileError> {
    let told = stories::tell(sent, rows, reads, options)?;
    let generator = GeneratorFacts {
        planned: told.evidence.counts.planned,
        sent: told.evidence.counts.planned - told.evidence.counts.unsent,
        requests: told.requests,
        retries: 0,
        schedule: None,
    };
    let run = RunFacts {
        id: None,
        scenario: "files".into(),
        started_at: None,
        duration: told.duration as f64 / 1e6,
        seed: None,
        environment: "files".into(),
        dialect: None,
        digest: None,
        confidence: options.targets.confidence,
        planted_defects: Vec::new(),
        warnings: BTreeMap::new(),
        faults: Vec::new(),
        components: Vec::new(),
        recording: None,
    };
    let record = conclude(told.evidence, generator, &options.targets, &options.allowances, Vec::new(), run);
    Ok(FileVerdict { record, ids: told.ids })
}

#[cfg(test)]
mod tests;
