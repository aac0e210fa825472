//! The questions that are put to ClickHouse.
//!
//! Never with FINAL alone, and never with settings that change what the subject does. A final read is proved whole: it
//! names the data parts that were active when it began, and must return as many rows as these hold; whatever the client
//! library reports in mid-stream is an error.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use ::clickhouse::{Client, Row as ClientRow, error::Error as ClientError};
use generators::identity::MARKER_PROPERTY;
use serde::Deserialize;
use tokio::time::timeout;
use uuid::Uuid;

use super::{ObserveError, columns::quoted, foreign::Foreign, parts::Part};
use crate::oracle::row::RowRef;

/// A question that takes longer than this is given up.
const TIME_OUT: Duration = Duration::from_secs(30);
/// Parts may be merged away between listing and reading them; then the read is begun anew, so often.
pub(super) const ATTEMPTS: u32 = 5;

/// A table of events in ClickHouse.
#[derive(Clone)]
pub struct Store {
    pub(super) client: Client,
    pub(super) database: String,
    pub(super) table: String,
    /// The table of groups, where one is known.
    pub(super) groups: Option<String>,
    foreign: Option<Arc<Foreign>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({}.{})", self.database, self.table)
    }
}

/// Where a store is.
#[derive(Clone, Copy)]
pub struct StoreAddress<'a> {
    /// `http://HOST:PORT`.
    pub url: &'a str,
    /// The user.
    pub user: &'a str,
    /// Its password, empty for none.
    pub password: &'a str,
    /// The database.
    pub database: &'a str,
    /// The table of events in it.
    pub table: &'a str,
}

#[derive(ClientRow, Deserialize)]
pub(super) struct IdRow {
    #[serde(with = "::clickhouse::serde::uuid")]
    pub(super) id: Uuid,
}

#[derive(ClientRow, Deserialize)]
struct EventRow<'a> {
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
    #[serde(rename = "_timestamp")]
    version: u32,
}

impl Store {
    /// The store at `address`; nothing is asked yet.
    pub fn new(address: StoreAddress<'_>) -> Self {
        let mut client =
            Client::default().with_url(address.url).with_user(address.user).with_database(address.database);
        if !address.password.is_empty() {
            client = client.with_password(address.password);
        }
        Self::with_client(client, address.database, address.table)
    }

    /// The table `table` of `database`, asked by `client`.
    pub fn with_client(client: Client, database: &str, table: &str) -> Self {
        Self { client, database: database.to_owned(), table: table.to_owned(), groups: None, foreign: None }
    }

    /// The same table, which holds other people's rows as well: only the run's are read.
    #[must_use]
    pub fn among_others(self, foreign: Foreign) -> Self {
        Self { foreign: Some(Arc::new(foreign)), ..self }
    }

    /// The run's rows, where the table holds other people's as well.
    pub fn foreign(&self) -> Option<&Foreign> {
        self.foreign.as_deref()
    }

    /// The server's version.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn version(&self) -> Result<String, ObserveError> {
        asked("its version", self.client.query("SELECT version()").fetch_one::<String>()).await
    }

    /// How many warnings of each type its `table` of ingestion warnings holds.
    ///
    /// # Errors
    /// When they cannot be asked for.
    pub async fn warnings(&self, table: &str) -> Result<BTreeMap<String, u64>, ObserveError> {
        let database = &self.database;
        let query = self.client.query(&format!("SELECT type, count() FROM `{database}`.`{table}` GROUP BY type"));
        Ok(asked("the ingestion warnings", query.fetch_all::<(String, u64)>()).await?.into_iter().collect())
    }

    /// The active data parts of the table.
    ///
    /// # Errors
    /// When they cannot be asked for.
    pub async fn parts(&self) -> Result<Vec<Part>, ObserveError> {
        let query = self
            .client
            .query(
                "SELECT name, partition_id, min_block_number, max_block_number, rows FROM system.parts \
                 WHERE database = ? AND table = ? AND active",
            )
            .bind(&self.database)
            .bind(&self.table);
        asked("the data parts", query.fetch_all::<Part>()).await
    }

    /// The uuids of all rows in `parts`; `by_marker` puts the marker property in the place of those that Assay did not mint.
    /// Fewer than the parts hold mean that one was merged away meanwhile.
    ///
    /// # Errors
    /// When they cannot be asked for.
    pub async fn ids(&self, parts: &[&Part], by_marker: bool) -> Result<Vec<Uuid>, ObserveError> {
        let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        let id = if by_marker {
            // Assay's are of version 8. The text is searched, and not parsed: numbers beyond 64 bits stop ClickHouse's parser.
            format!(
                "if(substring(toString(uuid), 15, 1) = '8', uuid, \
                 toUUIDOrZero(simpleJSONExtractString(properties, '{MARKER_PROPERTY}'))) AS id"
            )
        } else {
            "uuid AS id".to_owned()
        };
        let query = self.client.query(&format!("SELECT {id} FROM {} WHERE _part IN ?", self.name())).bind(names);
        let rows = asked("the ids of new events", query.fetch_all::<IdRow>()).await?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// Reads every row, and hands each to `take`, with what `begin` made before the attempt; returns that, once as many
    /// rows came as the table had announced.
    ///
    /// # Errors
    /// When a question fails, the rows do not become as many as announced, or `begin` or `take` refuses.
    pub async fn read_all<T, E: From<ObserveError>>(
        &self,
        begin: impl Fn() -> Result<T, E>,
        mut take: impl FnMut(&mut T, RowRef<'_>) -> Result<(), E>,
    ) -> Result<T, E> {
        if let Some(foreign) = &self.foreign {
            return self.read_foreign(foreign, begin, take).await;
        }
        let (mut announced, mut found) = (0, 0);
        for _ in 0..ATTEMPTS {
            let mut taken = begin()?;
            let parts = self.parts().await?;
            announced = parts.iter().map(|part| part.rows).sum();
            found = self.read_parts(&parts, |row| take(&mut taken, row)).await?;
            if found == announced {
                return Ok(taken);
            }
        }
        Err(ObserveError::NotWhole { table: self.name(), announced, found, attempts: ATTEMPTS }.into())
    }

    async fn read_parts<E: From<ObserveError>>(
        &self,
        parts: &[Part],
        mut take: impl FnMut(RowRef<'_>) -> Result<(), E>,
    ) -> Result<u64, E> {
        if parts.is_empty() {
            return Ok(0);
        }
        let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        let query = format!(
            "SELECT uuid, event, distinct_id, team_id, timestamp, person_id, properties, elements_chain, \
             _timestamp FROM {} WHERE _part IN ?",
            self.name()
        );
        let failed = |source| ObserveError::Store { question: QUESTION, source: Box::new(source) };
        let mut rows = self.client.query(&query).bind(names).fetch::<EventRow<'_>>().map_err(failed)?;
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
                version: u64::from(row.version),
                shard: 0,
            })?;
        }
        Ok(count)
    }

    pub(super) fn name(&self) -> String {
        format!("{}.{}", quoted(&self.database), quoted(&self.table))
    }
}

pub(super) const QUESTION: &str = "all rows";

pub(super) async fn asked<T>(
    question: &'static str,
    answer: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ObserveError> {
    timeout(TIME_OUT, answer)
        .await
        .map_err(|_| ObserveError::TimedOut(TIME_OUT, question))?
        .map_err(|source| ObserveError::Store { question, source: Box::new(source) })
}
