//! Reading a run's rows from a table that holds other people's as well.
//!
//! Only SELECTs without settings, so that a user with `readonly = 1` is enough. The run's rows are known by the first forty
//! bits of their uuid, which are the run's, so they are found under whatever team they are; rows that came before the run
//! are left out by the time of their insertion. While the run goes on, rows are looked for in new data parts where
//! `system.parts` may be read and the table has parts of its own, otherwise among the rows since the last look that succeeded,
//! and of the minute before it: a look that missed a row must be one that would have shown it. A final read is whole if as many
//! rows came as were counted before it and after it. On a cluster both see one replica of each shard at a time, which is weaker
//! than the proof by data parts that a table of the run's own allows. A Distributed table says of each row which shard holds it:
//! rows of one key in two shards never become one. Data parts of two shards may have one name, so a table of a cluster is never
//! read by them.

use std::{collections::BTreeMap, time::Duration};

use ::clickhouse::{Client, Row as ClientRow};
use generators::identity::{EventId, RunId};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    ObserveError,
    clickhouse::{ATTEMPTS, IdRow, QUESTION, Store, asked},
    columns::Reading,
    parts::{Part, ReadBlocks},
};
use crate::oracle::row::RowRef;

/// Rows become visible within this time of their insertion, which a window that reaches so far behind the last look therefore
/// sees.
const WINDOW: Duration = Duration::from_mins(1);
/// Clocks and queues before ClickHouse are no further behind than this.
const MARGIN_MICROS: i64 = 600_000_000;

/// Settings with which ClickHouse would end a read before its end, and say nothing.
const CUTTING: [(&str, &str); 7] = [
    ("read_overflow_mode", "break"),
    ("read_overflow_mode_leaf", "break"),
    ("result_overflow_mode", "break"),
    ("timeout_overflow_mode", "break"),
    ("timeout_overflow_mode_leaf", "break"),
    ("skip_unavailable_shards", "1"),
    ("max_execution_speed_break", "1"),
];

/// The run's rows in a table of somebody else's.
#[derive(Debug, Clone)]
pub struct Foreign {
    /// How columns are read.
    pub reading: Reading,
    /// The run.
    pub run: RunId,
    /// What is the run's alone: every row there counts.
    pub alone: Alone,
    /// ClickHouse's clock before anything was sent, in microseconds since 1970.
    pub before_micros: i64,
    /// The data parts before anything was sent, where new rows can be found by new parts.
    pub parts: Option<Vec<Part>>,
    /// Whether each row says which shard holds it.
    pub tells_shards: bool,
    /// Whether the table of groups is the run's own all the same, and can be read by its data parts.
    pub has_own_groups: bool,
}

/// What nobody but the run writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alone {
    /// These teams; none where others send to all of them as well.
    Teams(Vec<i64>),
    /// The whole table.
    Table,
}

impl Foreign {
    /// What the run's UUIDs begin with as text.
    fn prefix(&self) -> String {
        let run = self.run.to_string();
        format!("{}-{}", &run[..8], &run[8..])
    }

    /// What a final read reads.
    fn all(&self) -> String {
        let Alone::Teams(teams) = &self.alone else { return "1".into() };
        let came = self.reading.came_after(self.before_micros - MARGIN_MICROS);
        let of_run = self.reading.is_of_run(&self.prefix(), true);
        if teams.is_empty() {
            return format!("{came} AND {of_run}");
        }
        let of_team = self.reading.is_of_team(teams);
        let since = self.reading.came_after(self.before_micros);
        format!("{came} AND ({of_run} OR ({of_team} AND {since}))")
    }

    /// The shard that holds a row, from 1; 0 where that is not told.
    const fn shard(&self) -> &'static str {
        if self.tells_shards { "toUInt32(_shard_num)" } else { "toUInt32(0)" }
    }

    /// The statement that reads every row that `condition` is true of, of the table `table`.
    fn rows(&self, table: &str, condition: &str) -> String {
        let columns = self.reading.row();
        let columns = columns.iter().map(String::as_str).chain([self.shard()]).enumerate();
        let inner: Vec<String> = columns.map(|(number, column)| format!("{column} AS assay_{number}")).collect();
        let outer: Vec<String> =
            NAMES.iter().enumerate().map(|(number, name)| format!("assay_{number} AS {name}")).collect();
        format!("SELECT {} FROM (SELECT {} FROM {table} WHERE {condition})", outer.join(", "), inner.join(", "))
    }

    /// Whether a row that is no planned event's counts as a phantom: one that carries the run's identity; in a team that is the
    /// run's alone any, but for what other runs have left there; and in a table that is the run's alone any.
    pub fn counts(&self, row: &RowRef<'_>) -> bool {
        match (&self.alone, EventId::from_uuid(row.uuid)) {
            (Alone::Table, _) => true,
            (Alone::Teams(_), Ok(id)) => id.run == self.run,
            (Alone::Teams(teams), Err(_)) => teams.contains(&row.team_id) || row.properties.contains(&self.prefix()),
        }
    }

    /// Rows of which a look may be the first to see the run's, where it shows what was inserted in the time `back`.
    fn lately(&self, back: Duration) -> String {
        let seconds = back.as_secs() + u64::from(back.subsec_nanos() > 0);
        let all = || self.reading.came_after(self.before_micros - MARGIN_MICROS);
        self.reading.inserted_within(seconds).unwrap_or_else(all)
    }
}

/// What is remembered between looks.
#[derive(Debug)]
pub(super) enum Looks {
    /// The blocks that were read.
    Blocks(ReadBlocks),
    /// How far back the next look must see.
    Window(Window),
}

/// How far back looks see that find rows by when these were inserted.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// When the last look that succeeded began, from the run's start; before that nothing of the run was inserted.
    last: Duration,
}

impl Window {
    /// How far back a look must see that begins at `start`, from the run's start: whatever the last one could not see yet.
    fn back(&self, start: Duration) -> Duration {
        WINDOW + start.saturating_sub(self.last)
    }

    /// A look that began at `start` has succeeded.
    const fn looked(&mut self, start: Duration) {
        self.last = start;
    }
}

impl Looks {
    pub(super) fn begin(foreign: &Foreign) -> Self {
        let Some(parts) = &foreign.parts else { return Self::Window(Window::default()) };
        let mut blocks = ReadBlocks::default();
        for part in parts {
            blocks.note(part);
        }
        Self::Blocks(blocks)
    }
}

#[derive(ClientRow, Deserialize)]
struct ForeignRow<'a> {
    #[serde(with = "::clickhouse::serde::uuid")]
    uuid: Uuid,
    event: &'a str,
    distinct_id: &'a str,
    team_id: i64,
    timestamp: i64,
    #[serde(with = "::clickhouse::serde::uuid")]
    person_id: Uuid,
    properties: &'a str,
    elements_chain: &'a str,
    version: u64,
    shard: u32,
}

const NAMES: [&str; 10] = [
    "uuid",
    "event",
    "distinct_id",
    "team_id",
    "timestamp",
    "person_id",
    "properties",
    "elements_chain",
    "version",
    "shard",
];

/// What a server says of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its engine, such as `Distributed`; empty where the user may not know.
    pub engine: String,
    /// The engine with its arguments and settings, as it was made.
    pub made: String,
    /// Its columns and their types; none where there is no such table, or the user may not see it.
    pub types: BTreeMap<String, String>,
}

impl Table {
    /// Whether new rows are in new data parts of its own.
    pub fn has_parts(&self) -> bool {
        self.engine.ends_with("MergeTree")
    }

    /// Whether each of its rows says which shard holds it.
    pub fn tells_shards(&self) -> bool {
        self.engine == "Distributed"
    }

    /// Whether it leaves out shards that do not answer, and says nothing: a setting of the table's own, whatever the user's is.
    pub fn skips_shards(&self) -> bool {
        let set =
            self.made.rsplit_once("skip_unavailable_shards").map(|(_, value)| value.trim_start_matches([' ', '=']));
        set.is_some_and(|value| !value.starts_with(['0', 'f']))
    }
}

impl Store {
    /// What the server says of the table.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn table(&self) -> Result<Table, ObserveError> {
        let columns = self.client.query("SELECT name, type FROM system.columns WHERE database = ? AND table = ?");
        let columns = columns.bind(&self.database).bind(&self.table).fetch_all::<(String, String)>();
        let types = asked("the columns", columns).await?.into_iter().collect();
        let engine = self.client.query("SELECT engine, engine_full FROM system.tables WHERE database = ? AND name = ?");
        let engine = engine.bind(&self.database).bind(&self.table).fetch_optional::<(String, String)>();
        let (engine, made) = asked("the table's engine", engine).await?.unwrap_or_default();
        Ok(Table { engine, made, types })
    }

    /// The settings with which reads would end before their end and look whole.
    ///
    /// # Errors
    /// When they cannot be asked for.
    pub async fn cutting_settings(&self) -> Result<Vec<String>, ObserveError> {
        let names: Vec<&str> = CUTTING.iter().map(|(name, _)| *name).collect();
        let query = self.client.query("SELECT name, value FROM system.settings WHERE name IN ?").bind(names);
        let found = asked("its settings", query.fetch_all::<(String, String)>()).await?;
        let cuts = |(name, value): &(String, String)| CUTTING.contains(&(name.as_str(), value.as_str()));
        Ok(found.into_iter().filter(cuts).map(|(name, value)| format!("{name} = {value}")).collect())
    }

    /// Whether the table holds no row of anybody's.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn is_empty(&self) -> Result<bool, ObserveError> {
        let query = self.client.query(&format!("SELECT 1 FROM {} LIMIT 1", self.name()));
        Ok(asked("whether there are rows", query.fetch_optional::<u8>()).await?.is_none())
    }

    /// ClickHouse's clock, in microseconds since 1970.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn clock_micros(&self) -> Result<i64, ObserveError> {
        asked("its clock", self.client.query("SELECT toUnixTimestamp64Micro(now64(6))").fetch_one::<i64>()).await
    }

    /// The ids of rows of the run that may be new, for a look that begins at `start`, from the run's start.
    pub(super) async fn new_ids(
        &self,
        foreign: &Foreign,
        looks: &mut Looks,
        (start, by_marker): (Duration, bool),
    ) -> Result<Vec<Uuid>, ObserveError> {
        match looks {
            Looks::Blocks(blocks) => self.ids_of_new_parts(foreign, blocks, by_marker).await,
            Looks::Window(window) => {
                let ids = self.ids_lately(foreign, window.back(start), by_marker).await?;
                window.looked(start);
                Ok(ids)
            }
        }
    }

    /// The ids of rows of the run that were inserted in the time `back`.
    async fn ids_lately(&self, foreign: &Foreign, back: Duration, by_marker: bool) -> Result<Vec<Uuid>, ObserveError> {
        let of_run = foreign.reading.is_of_run(&foreign.prefix(), by_marker);
        let (id, lately) = (foreign.reading.id(by_marker), foreign.lately(back));
        let query = format!(
            "SELECT assay_0 AS id FROM (SELECT {id} AS assay_0 FROM {} WHERE {lately} AND {of_run})",
            self.name()
        );
        let rows = asked(IDS, self.client.query(&query).fetch_all::<IdRow>()).await?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// The ids of rows of the run in data parts with blocks that are not among `blocks`.
    async fn ids_of_new_parts(
        &self,
        foreign: &Foreign,
        blocks: &mut ReadBlocks,
        by_marker: bool,
    ) -> Result<Vec<Uuid>, ObserveError> {
        let of_run = foreign.reading.is_of_run(&foreign.prefix(), by_marker);
        let since = foreign.reading.came_after(foreign.before_micros - MARGIN_MICROS);
        let id = foreign.reading.id(by_marker);
        let query = format!(
            "SELECT assay_0 AS id FROM (SELECT {id} AS assay_0 FROM {} WHERE _part IN ? AND {since} AND {of_run})",
            self.name()
        );
        let mut listed = self.parts().await?;
        let mut ids = Vec::new();
        for _ in 0..ATTEMPTS {
            let unread = blocks.unread(&listed);
            if unread.is_empty() {
                return Ok(ids);
            }
            let names: Vec<&str> = unread.iter().map(|part| part.name.as_str()).collect();
            let rows = asked(IDS, self.client.query(&query).bind(names).fetch_all::<IdRow>()).await?;
            ids.extend(rows.into_iter().map(|row| row.id));
            // Parts that are still there were there all the time, so their rows were read.
            let still = self.parts().await?;
            let (read, gone): (Vec<&Part>, Vec<&Part>) = unread.into_iter().partition(|part| still.contains(part));
            for part in read {
                blocks.note(part);
            }
            if gone.is_empty() {
                return Ok(ids);
            }
            listed = still;
        }
        Err(ObserveError::Merging { table: self.name(), attempts: ATTEMPTS })
    }

    pub(super) async fn count(&self, condition: &str) -> Result<u64, ObserveError> {
        let query = format!("SELECT count() FROM {} WHERE {condition}", self.name());
        asked("how many rows there are", self.client.query(&query).fetch_one::<u64>()).await
    }

    /// Reads every row that may be the run's, and hands each to `take`; see [`Store::read_all`].
    pub(super) async fn read_foreign<T, E: From<ObserveError>>(
        &self,
        foreign: &Foreign,
        begin: impl Fn() -> Result<T, E>,
        mut take: impl FnMut(&mut T, RowRef<'_>) -> Result<(), E>,
    ) -> Result<T, E> {
        let condition = foreign.all();
        let query = foreign.rows(&self.name(), &condition);
        let (mut announced, mut found) = (0, 0);
        for _ in 0..ATTEMPTS {
            let mut taken = begin()?;
            announced = self.count(&condition).await?;
            found = read_rows(&self.client, &query, |row| take(&mut taken, row)).await?;
            if found == announced && self.count(&condition).await? == found {
                return Ok(taken);
            }
        }
        Err(ObserveError::NotWhole { table: self.name(), announced, found, attempts: ATTEMPTS }.into())
    }
}

const IDS: &str = "the ids of new events";

async fn read_rows<E: From<ObserveError>>(
    client: &Client,
    query: &str,
    mut take: impl FnMut(RowRef<'_>) -> Result<(), E>,
) -> Result<u64, E> {
    let failed = |source| ObserveError::Store { question: QUESTION, source: Box::new(source) };
    let mut rows = client.query(query).fetch::<ForeignRow<'_>>().map_err(failed)?;
    let mut count = 0;
    while let Some(row) = asked(QUESTION, rows.next()).await? {
        count += 1;
        take(RowRef {
            uuid: row.uuid,
            event: row.event,
            distinct_id: row.distinct_id,
            team_id: row.team_id,
            timestamp_micros: row.timestamp,
            person_id: row.person_id,
            properties: row.properties,
            elements_chain: row.elements_chain,
            version: row.version,
            shard: row.shard,
        })?;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use generators::identity::StreamId;

    use super::*;
    use crate::{observe::columns::Columns, oracle::row::Row};

    fn foreign(alone: Vec<i64>) -> Foreign {
        of(Alone::Teams(alone))
    }

    fn of(alone: Alone) -> Foreign {
        let reading = Reading::new(Columns::default(), &BTreeMap::new());
        Foreign {
            reading,
            run: RunId::new(0x01_2345_6789),
            alone,
            before_micros: 0,
            parts: None,
            tells_shards: false,
            has_own_groups: false,
        }
    }

    #[test]
    fn the_runs_uuids_begin_with_what_is_looked_for() {
        let foreign = foreign(Vec::new());
        for (stream, seq) in [(0, 0), (16_383, (1 << 44) - 1)] {
            let id = EventId { run: foreign.run, stream: StreamId(stream), seq };
            assert!(id.to_uuid().to_string().starts_with(&foreign.prefix()), "{id}");
        }
        assert_eq!(foreign.prefix(), "01234567-89");
    }

    #[test]
    fn a_distributed_table_is_asked_for_shards_and_no_other_is() {
        let table =
            |engine: &str, made: &str| Table { engine: engine.into(), made: made.into(), types: BTreeMap::new() };
        let made = "Distributed('posthog', 'posthog', 'sharded_events', sipHash64(distinct_id))";
        for (table, tells, skips) in [
            (table("ReplacingMergeTree", "ReplacingMergeTree(_timestamp) ORDER BY uuid"), false, false),
            (table("Distributed", made), true, false),
            (table("Distributed", &format!("{made} SETTINGS skip_unavailable_shards = 1")), true, true),
            (table("Distributed", &format!("{made} SETTINGS skip_unavailable_shards = true")), true, true),
            (
                table("Distributed", &format!("{made} SETTINGS skip_unavailable_shards = 0, flush_on_detach = 1")),
                true,
                false,
            ),
            (table("Distributed", &format!("{made} SETTINGS skip_unavailable_shards = false")), true, false),
            (table("", ""), false, false),
        ] {
            assert_eq!((table.tells_shards(), table.skips_shards()), (tells, skips), "{table:?}");
            let foreign = Foreign { tells_shards: tells, ..foreign(Vec::new()) };
            let rows = foreign.rows("`d`.`t`", "1");
            assert_eq!(rows.contains("toUInt32(_shard_num) AS assay_9 FROM `d`.`t`"), tells, "{rows}");
            assert!(rows.contains("assay_9 AS shard FROM"), "{rows}");
        }
    }

    #[test]
    fn a_strangers_row_counts_only_in_a_team_that_is_the_runs_alone() {
        let id = |run| EventId { run, stream: StreamId(0), seq: 1 }.to_uuid();
        let (own, other) = (RunId::new(0x01_2345_6789), RunId::new(7));
        let row = |uuid, team_id, properties: &str| Row {
            uuid,
            event: "e".into(),
            distinct_id: "d".into(),
            team_id,
            timestamp_micros: 0,
            person_id: Uuid::nil(),
            properties: properties.into(),
            elements_chain: String::new(),
            version: 0,
            shard: 0,
        };
        let marked = format!("{{\"assay_id\":\"{}\"}}", id(own));
        for (row, shared, alone) in [
            (row(id(own), 9, "{}"), true, true),
            (row(Uuid::nil(), 1, &marked), true, true),
            (row(Uuid::nil(), 1, "{}"), false, true),
            (row(Uuid::nil(), 2, "{}"), false, false),
            (row(id(other), 1, "{}"), false, false),
        ] {
            assert_eq!(foreign(Vec::new()).counts(&row.view()), shared, "{row:?}");
            assert_eq!(foreign(vec![1]).counts(&row.view()), alone, "{row:?}");
            assert!(of(Alone::Table).counts(&row.view()), "nobody else has the table: {row:?}");
        }
    }

    #[test]
    fn a_final_read_reads_all_of_a_table_that_is_the_runs_alone_and_its_own_of_any_other() {
        assert_eq!(of(Alone::Table).all(), "1");
        let (shared, alone) = (foreign(Vec::new()).all(), foreign(vec![1, 2]).all());
        assert!(shared.contains("01234567-89") && !shared.contains("team_id"), "{shared}");
        assert!(alone.contains("01234567-89") && alone.contains("`team_id`) IN (1, 2)"), "{alone}");
    }

    #[test]
    fn a_look_sees_whatever_was_inserted_since_the_last_one_that_succeeded_and_a_minute_more() {
        let seconds = Duration::from_secs_f64;
        let mut window = Window::default();
        assert_eq!(window.back(seconds(0.0)), WINDOW);
        window.looked(seconds(0.0));
        assert_eq!(window.back(seconds(0.25)), seconds(60.25));
        window.looked(seconds(0.25));
        // Two looks failed, and the next is the first after a hundred seconds.
        assert_eq!((window.back(seconds(30.5)), window.back(seconds(60.5))), (seconds(90.25), seconds(120.25)));
        let back = window.back(seconds(100.25));
        assert_eq!(back, seconds(160.0));
        window.looked(seconds(100.25));
        assert_eq!(window.back(seconds(100.5)), seconds(60.25), "what was missed was read");
        // Nobody could read from the start on.
        assert_eq!(Window::default().back(seconds(200.0)), seconds(260.0));

        let by_insertion = foreign(Vec::new());
        assert!(by_insertion.lately(back).contains("now64(6) - INTERVAL 160 SECOND"), "{}", by_insertion.lately(back));
        assert!(by_insertion.lately(seconds(60.25)).contains("INTERVAL 61 SECOND"), "whole seconds, and no less");
        // Where it is not known when a row was inserted, all of the run are read each time.
        let columns = Columns { inserted_at: String::new(), ..Columns::default() };
        let reading = Reading::new(columns, &BTreeMap::new());
        assert_eq!(Foreign { reading, ..by_insertion }.lately(back), "1");
    }

    #[tokio::test]
    async fn a_look_that_fails_leaves_what_it_did_not_see_to_the_next() {
        // A port that was free a moment ago, where nobody listens.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let client = Client::default().with_url(format!("http://{free}"));
        let (store, foreign) = (Store::with_client(client, "d", "t"), foreign(Vec::new()));
        let mut looks = Looks::begin(&foreign);
        assert!(store.new_ids(&foreign, &mut looks, (Duration::from_secs(90), false)).await.is_err());
        let Looks::Window(window) = looks else { panic!("{looks:?}") };
        assert_eq!(window.back(Duration::from_secs(100)), WINDOW + Duration::from_secs(100));
    }
}
