//! A final read: every row of the store against the oracle.

use std::time::Duration;

use checkers::oracle::dialect::Dialect;
use checkers::{
    observe::{ObserveError, clickhouse::Store},
    oracle::row::expect,
    reconcile::{
        rows::{FinalRead, Identity, identify, judge_row},
        sent::Sent,
    },
};
use generators::{clock::RunClock, event::EventSource, workload::Workload};

/// Reads `store` whole and judges each row.
///
/// # Errors
/// When the store cannot be read, or not whole.
pub async fn read(
    store: &Store,
    dialect: Dialect,
    workload: &Workload,
    sent: &Sent,
    clock: RunClock,
    clock_tolerance_micros: i64,
) -> Result<FinalRead, ObserveError> {
    let run = workload.plan().run;
    let latest = clock.elapsed() + Duration::from_millis(1);
    let mut read = store
        .read_all(
            || FinalRead::begin(clock.elapsed()),
            |read, row| match identify(&row, run, |stream| workload.planned(stream)) {
                Identity::Unknown(what) => read.add_unknown(what),
                Identity::Known(stream, seq) => {
                    let (Some(event), Some(traffic)) = (workload.event(stream, seq), workload.traffic(stream)) else {
                        return read.add_unknown(row.uuid.to_string());
                    };
                    let times = sent.attempt_times(workload, clock.start(), stream, seq, &event, latest);
                    let expectation = expect(dialect, &event, traffic.team, &times, clock_tolerance_micros);
                    read.add(stream, seq, judge_row(&row, &expectation, traffic.team));
                }
            },
        )
        .await?;
    read.end = clock.elapsed();
    Ok(read)
}
