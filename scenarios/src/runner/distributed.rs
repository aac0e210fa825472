//! Reading a run's own events where they are on several shards: through their Distributed table, as PostHog's queries do.
//!
//! They are read as from somebody else's cluster ([`checkers::observe::foreign`]): each row with the number of its shard, since
//! rows of one key in two shards never become one; new ones by the time of their insertion, since data parts are each shard's own;
//! and a final read is whole if as many rows came as were counted before it and after it. Teams are the run's alone, so
//! whatever else is in them counts as a phantom.

use checkers::observe::{
    ObserveError,
    clickhouse::Store,
    columns::{Columns, Reading},
    foreign::{Foreign, Table},
};
use generators::identity::RunId;

use crate::failure::{Failure, Kind};

/// The same `store` with its events read through the Distributed table that it names, for `run`, whose `teams` nobody else has.
pub(super) async fn through_distributed(store: Store, run: RunId, teams: Vec<i64>) -> Result<Store, Failure> {
    let unreadable = |error: ObserveError| {
        let help = "nothing was sent; ClickHouse's log is in the run's directory";
        Failure::caused(Kind::Unavailable, "ClickHouse's Distributed table of events cannot be read", help, error)
    };
    let table = store.table().await.map_err(unreadable)?;
    let now = store.clock_micros().await.map_err(unreadable)?;
    Ok(store.among_others(of_shards(&table, run, teams, now)?))
}

/// How rows of `table` are read.
fn of_shards(table: &Table, run: RunId, teams: Vec<i64>, now_micros: i64) -> Result<Foreign, Failure> {
    if !table.tells_shards() {
        let what = format!("the events are to be on several shards, and their table is of engine `{}`", table.engine);
        return Err(Failure::told(Kind::Internal, what, "nothing was sent; leave out `pipeline.shards`"));
    }
    Ok(Foreign {
        reading: Reading::new(Columns::default(), &table.types),
        run,
        alone: teams,
        before_micros: now_micros,
        parts: None,
        tells_shards: true,
        has_own_groups: true,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use checkers::oracle::row::RowRef;
    use uuid::Uuid;

    use super::*;

    fn table(engine: &str) -> Table {
        let types = BTreeMap::from([("_timestamp".to_owned(), "DateTime".to_owned())]);
        Table { engine: engine.into(), made: String::new(), types }
    }

    #[test]
    fn rows_of_a_cluster_are_read_with_their_shards_and_those_of_one_server_are_not_taken_for_some() {
        let run = RunId::new(7);
        let read = of_shards(&table("Distributed"), run, vec![5], 1_000).unwrap();
        assert!(read.tells_shards && read.has_own_groups && read.parts.is_none(), "{read:?}");
        assert!(read.reading.columns().not_judged().is_empty() && read.reading.knows_insertion(), "{read:?}");
        let refused = of_shards(&table("ReplacingMergeTree"), run, vec![5], 1_000).map_err(|failure| failure.line());
        assert!(refused.unwrap_err().contains("`ReplacingMergeTree`"));
    }

    #[test]
    fn whatever_is_in_the_runs_teams_counts() {
        let read = of_shards(&table("Distributed"), RunId::new(7), vec![5], 1_000).unwrap();
        let row = |team_id| RowRef {
            uuid: Uuid::from_u128(0x1234),
            event: "stranger",
            distinct_id: "d",
            team_id,
            timestamp_micros: 0,
            person_id: Uuid::nil(),
            properties: "{}",
            elements_chain: "",
            version: 0,
            shard: 2,
        };
        assert!(read.counts(&row(5)) && !read.counts(&row(6)));
    }
}
