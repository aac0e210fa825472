//! A final read: every row of the store against the oracle, into a journal, and behind them what groups are.

use std::path::Path;

use checkers::{
    observe::{ObserveError, clickhouse::Store},
    oracle::{dialect::Dialect, plain::PlainRows, plugin::Plugins, row::RowRef},
    reconcile::{
        groups::Groups,
        rows::{FinalReadWriter, FoundRow, Identity, identify, judge_row},
    },
};
use generators::{
    clock::RunClock,
    event::EventSource,
    identity::StreamId,
    journal::{Header, WriteError},
    workload::Workload,
};

/// A final read failed.
#[derive(Debug, thiserror::Error)]
pub enum FinalReadError {
    /// The store could not be read, or not whole.
    #[error(transparent)]
    Store(#[from] ObserveError),
    /// What was found could not be kept.
    #[error(transparent)]
    Journal(#[from] WriteError),
}

/// Reads `store` whole, judges each row, and keeps them at `path`.
///
/// # Errors
/// When the store cannot be read, or not whole, or the file cannot be written.
pub async fn read(
    store: &Store,
    (dialect, plugins): (Dialect, &Plugins),
    workload: &Workload,
    clock: RunClock,
    path: &Path,
    header: Header,
) -> Result<(), FinalReadError> {
    let begin = || -> Result<FinalReadWriter, FinalReadError> {
        // What an attempt that was not whole has left.
        if path.exists() {
            std::fs::remove_file(path).map_err(|source| WriteError {
                name: "journal of a final read",
                path: path.to_owned(),
                source,
            })?;
        }
        Ok(FinalReadWriter::create(path, header, clock.elapsed())?)
    };
    let run = workload.plan().run;
    let mut plain = PlainRows::new(dialect);
    let not_judged = store.foreign().map(|foreign| foreign.reading.columns().not_judged()).unwrap_or_default();
    let mut journal = store
        .read_all(begin, |journal, row| {
            match identify(&row, run, |stream| workload.planned(stream)) {
                // Among other people's rows a stranger is nothing strange.
                Identity::Unknown(_) if store.foreign().is_some_and(|foreign| !foreign.counts(&row)) => (),
                Identity::Unknown(what) => journal.add_unknown(what),
                Identity::Known(stream, seq) => {
                    match judged((dialect, plugins), workload, &mut plain, (stream, seq), row, &not_judged) {
                        Some(found) => journal.add(stream, seq, found)?,
                        None => journal.add_unknown(row.uuid.to_string()),
                    }
                }
            }
            Ok(())
        })
        .await?;
    if Groups::of(workload).is_some()
        && let Some(found) = store.read_groups(run).await?
    {
        journal.add_groups(&found)?;
    }
    Ok(journal.end(clock.elapsed())?)
}

/// The row against what is expected of its event, but for its timestamp, which depends on when it was sent.
fn judged(
    (dialect, plugins): (Dialect, &Plugins),
    workload: &Workload,
    plain: &mut PlainRows,
    (stream, seq): (StreamId, u64),
    row: RowRef<'_>,
    not_judged: &[&str],
) -> Option<FoundRow> {
    let team = workload.traffic(stream)?.team;
    // The quick way knows nothing of plugins, and takes what they set for an addition of the pipeline's own.
    let is_plain = not_judged.is_empty() && !plugins.concern(team) && !plugins.are_mentioned(row.properties);
    if is_plain && plain.is_right(workload, stream, seq, team, &row) {
        return Some(FoundRow::plain(row.timestamp_micros, row.version).in_shard(row.shard));
    }
    let event = workload.event(stream, seq)?;
    let mut expectation = plugins.expect_told((dialect, workload), &event, team, &[], 0);
    expectation.leave_out(not_judged);
    Some(judge_row(&row.to_row(), &expectation, team))
}
