//! What requests were answered, in words, by the ledger.

use std::collections::{HashMap, HashSet};

use checkers::reconcile::sent::ExchangeKey;
use generators::ledger::{Answer, Record};

use crate::failure::Failure;

/// The answers to the `wanted` requests among `records`, as far as they are known.
///
/// # Errors
/// When the ledger cannot be read.
pub fn answers(
    records: impl Iterator<Item = Result<Record, Failure>>,
    wanted: &HashSet<ExchangeKey>,
) -> Result<HashMap<ExchangeKey, String>, Failure> {
    let mut answers = HashMap::new();
    for record in records {
        if let Record::Outcome(outcome) = record? {
            let key = (outcome.stream, outcome.index, outcome.attempt);
            if wanted.contains(&key) {
                answers.insert(key, in_words(&outcome.answer));
            }
        }
    }
    Ok(answers)
}

fn in_words(answer: &Answer) -> String {
    match answer {
        Answer::Reply { status, excerpt } if excerpt.is_empty() => status.to_string(),
        Answer::Reply { status, excerpt } => format!("{status} {excerpt:?}"),
        Answer::Results { exceptions, complete } => {
            let told = if *complete { "200 with a result for each event" } else { "200 with results for some events" };
            format!("{told}, {} of them not stored", exceptions.len())
        }
        Answer::TimedOut => "no reply in time".into(),
        Answer::Broken { error } => format!("the connection broke: {error}"),
        Answer::NeverLeft { error } => format!("it never left: {error}"),
    }
}
