//! Reading the table of groups: every row of it, proved whole like a read of the events.

use ::clickhouse::Row as ClientRow;
use generators::identity::RunId;
use serde::Deserialize;

use super::{
    ObserveError,
    clickhouse::{ATTEMPTS, Store, asked},
};
use crate::reconcile::groups::found::{FoundGroups, GroupRow};

/// The columns of the table, as PostHog has them (posthog/models/group/sql.py).
pub const COLUMNS: [&str; 5] = ["team_id", "group_type_index", "group_key", "group_properties", "_timestamp"];

const QUESTION: &str = "all groups";

#[derive(ClientRow, Deserialize)]
struct Found<'a> {
    team_id: i64,
    group_type_index: u8,
    group_key: &'a str,
    group_properties: &'a str,
    row_version: u32,
    row_offset: u64,
}

impl Store {
    /// The same store, whose table of groups is `table`.
    #[must_use]
    pub fn with_groups(mut self, table: Option<&str>) -> Self {
        self.groups = table.map(str::to_owned);
        self
    }

    /// The table of groups in the place of the events'; `None` where there is none.
    pub fn groups(&self) -> Option<Self> {
        let mut store = self.clone();
        store.table = store.groups.take()?;
        Some(store)
    }

    /// What the table of groups holds of `run`, once as many rows came as it had announced; `None` where there is none.
    ///
    /// # Errors
    /// When a question fails, or the rows do not become as many as announced.
    pub async fn read_groups(&self, run: RunId) -> Result<Option<FoundGroups>, ObserveError> {
        let Some(table) = self.groups() else { return Ok(None) };
        let (mut announced, mut read) = (0, 0);
        for _ in 0..ATTEMPTS {
            let mut found = FoundGroups::default();
            // The table of somebody else holds others' groups as well, and of its parts nothing may be known.
            if self.foreign().is_some_and(|foreign| !foreign.has_own_groups) {
                // The run is in the keys of its groups.
                let condition = format!("position(toString(group_key), '-{run}-') > 0");
                announced = table.count(&condition).await?;
                read = table.read_found(&condition, &[], "toUInt64(0)", &mut found).await?;
                if read == announced && table.count(&condition).await? == read {
                    return Ok(Some(found));
                }
            } else {
                let parts = table.parts().await?;
                let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
                announced = parts.iter().map(|part| part.rows).sum();
                read = match names.as_slice() {
                    [] => 0,
                    names => table.read_found("_part IN ?", names, "_offset", &mut found).await?,
                };
                if read == announced {
                    return Ok(Some(found));
                }
            }
        }
        Err(ObserveError::NotWhole { table: table.name(), announced, found: read, attempts: ATTEMPTS })
    }

    /// Reads the rows that fulfil a condition, in which `parts` stand for a question mark; returns how many came. Of rows of one
    /// second the one with the greatest `offset` was inserted last, where that is known.
    async fn read_found(
        &self,
        condition: &str,
        parts: &[&str],
        offset: &str,
        found: &mut FoundGroups,
    ) -> Result<u64, ObserveError> {
        // Under names of their own first: a name that means another thing within the same query is a trap.
        let query = format!(
            "SELECT assay_0 AS team_id, assay_1 AS group_type_index, assay_2 AS group_key, assay_3 AS group_properties, \
             assay_4 AS row_version, assay_5 AS row_offset FROM (SELECT toInt64(team_id) AS assay_0, \
             toUInt8(group_type_index) AS assay_1, toString(group_key) AS assay_2, toString(group_properties) AS assay_3, \
             toUInt32(toUnixTimestamp(_timestamp)) AS assay_4, toUInt64({offset}) AS assay_5 FROM {} WHERE {condition})",
            self.name()
        );
        let failed = |source| ObserveError::Store { question: QUESTION, source: Box::new(source) };
        let mut query = self.client.query(&query);
        if !parts.is_empty() {
            query = query.bind(parts);
        }
        let mut rows = query.fetch::<Found<'_>>().map_err(failed)?;
        let mut count = 0;
        while let Some(row) = asked(QUESTION, rows.next()).await? {
            count += 1;
            found.put(GroupRow {
                team: row.team_id,
                index: row.group_type_index,
                key: row.group_key.to_owned(),
                properties: row.group_properties.to_owned(),
                version: (row.row_version.into(), row.row_offset),
            });
        }
        Ok(count)
    }
}
