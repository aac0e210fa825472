//! Reading a run's own events where they are on several shards: through their Distributed table, as PostHog's queries do.
//!
//! They are read as from somebody else's cluster ([`checkers::observe::foreign`]): each row with the number of its shard, since
//! rows of one key in two shards never become one; new ones by the time of their insertion, since data parts are each shard's own;
//! and a final read is whole if as many rows came as were counted before it and after it. The table is the run's alone, as it is
//! on one server, so a final read reads all of it, and whatever nobody sent counts as a phantom, whosever team it is in.

use checkers::observe::{
    ObserveError,
    clickhouse::Store,
    columns::{Columns, Reading},
    foreign::{Alone, Foreign, Table},
};
use generators::identity::RunId;

use crate::failure::{Failure, Kind};

/// The same `store` with its events read through the Distributed table that it names, for `run`, which alone has it.
pub(super) async fn through_distributed(store: Store, run: RunId) -> Result<Store, Failure> {
    let unreadable = |error: ObserveError| {
        let help = "nothing was sent; ClickHouse's log is in the run's directory";
        Failure::caused(Kind::Unavailable, "ClickHouse's Distributed table of events cannot be read", help, error)
    };
    let table = store.table().await.map_err(unreadable)?;
    let now = store.clock_micros().await.map_err(unreadable)?;
    Ok(store.among_others(of_shards(&table, run, now)?))
}

/// How rows of `table` are read.
fn of_shards(table: &Table, run: RunId, now_micros: i64) -> Result<Foreign, Failure> {
    if !table.tells_shards() {
        let what = format!("the events are to be on several shards, and their table is of engine `{}`", table.engine);
        return Err(Failure::told(Kind::Internal, what, "nothing was sent; leave out `pipeline.shards`"));
    }
    Ok(Foreign {
        reading: Reading::new(Columns::default(), &table.types),
        run,
        alone: Alone::Table,
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
    use generators::identity::{EventId, StreamId};
    use uuid::Uuid;

    use super::*;

    fn table(engine: &str) -> Table {
        let types = BTreeMap::from([("_timestamp".to_owned(), "DateTime".to_owned())]);
        Table { engine: engine.into(), made: String::new(), types }
    }

    #[test]
    fn rows_of_a_cluster_are_read_with_their_shards_and_those_of_one_server_are_not_taken_for_some() {
        let run = RunId::new(7);
        let read = of_shards(&table("Distributed"), run, 1_000).unwrap();
        assert!(read.tells_shards && read.has_own_groups && read.parts.is_none(), "{read:?}");
        assert!(read.reading.columns().not_judged().is_empty() && read.reading.knows_insertion(), "{read:?}");
        let refused = of_shards(&table("ReplacingMergeTree"), run, 1_000).map_err(|failure| failure.line());
        assert!(refused.unwrap_err().contains("`ReplacingMergeTree`"));
    }

    #[test]
    fn whatever_is_in_the_table_counts_as_it_does_on_one_server() {
        let read = of_shards(&table("Distributed"), RunId::new(7), 1_000).unwrap();
        let other = EventId { run: RunId::new(8), stream: StreamId(0), seq: 1 }.to_uuid();
        let row = |uuid, team_id| RowRef {
            uuid,
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
        for (uuid, team_id) in
            [(Uuid::from_u128(0x1234), 5), (Uuid::from_u128(0x1234), 0), (Uuid::nil(), 6), (other, 6)]
        {
            assert!(read.counts(&row(uuid, team_id)), "{uuid} {team_id}");
        }
    }
}
