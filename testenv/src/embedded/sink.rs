//! The sink's planted defects: a changed materialized view, rows held back, rows deleted or hidden after they were visible.
//!
//! Everything is done as it would go wrong in ClickHouse: by SQL, on the way into the table or in it.

use std::time::Duration;

use clickhouse::Client;

use super::tables::execute;
use crate::{
    environment::EnvironmentError,
    pipeline::defect::{DefectName, PlantedDefect, Stage},
};

/// Held rows are released so long after the last of them came.
const HELD_FOR: Duration = Duration::from_secs(5);
/// `slow_drift` releases after these pauses: later and later.
const DRIFT: [u64; 3] = [2, 8, 16];
/// Rows count as visible once their number has not changed for so long.
const STILL: Duration = Duration::from_millis(700);
/// `stale_reads` hides rows for so long.
const HIDDEN_FOR: Duration = Duration::from_millis(2_800);
/// `lose_block` spares so many offsets of the first partition, so that there is something before the block.
const SPARED: u64 = 100;
const POLL: Duration = Duration::from_millis(100);

const VIEW: &str = "events_json_mv";
const SOURCE: &str = "kafka_events_json";

/// The defect of the sink among `defects`, if there is one.
pub(super) fn planted(defects: &[PlantedDefect]) -> Option<&PlantedDefect> {
    defects.iter().find(|defect| defect.name.defect().stage == Stage::Sink)
}

/// The statements that make the events' view, given the one that makes it as it must be.
pub(super) fn views(statement: &str, database: &str, defect: &PlantedDefect) -> Vec<String> {
    if !statement.contains(VIEW) {
        return vec![statement.to_owned()];
    }
    let chosen = format!("{SOURCE}.uuid IN ({})", quoted(&defect.uuids));
    let source = format!("FROM `{database}`.{SOURCE}");
    let with_column = |column: &str, expression: &str| {
        // Columns stand in lists, each followed by a comma; the first match is that of the view's own list.
        statement.replacen(&format!(" {column},"), &format!(" {expression} AS {column},"), 1)
    };
    let filtered = |condition: &str| statement.replace(&source, &format!("{source} WHERE NOT ({condition})"));
    let held = |condition: &str| {
        let holding = statement
            .replace(VIEW, "events_held_mv")
            .replace(&format!("TO `{database}`.events AS"), &format!("TO `{database}`.events_held AS"))
            .replace(&source, &format!("{source} WHERE {condition}"));
        let table = format!("CREATE TABLE `{database}`.events_held AS `{database}`.events");
        vec![table, holding, filtered(condition)]
    };
    let doubled = |column: &str, expression: &str| {
        let joined = format!("{source} ARRAY JOIN if({chosen}, [0, 1], [0]) AS copy");
        vec![with_column(column, expression).replace(&source, &joined)]
    };
    match defect.name {
        DefectName::FilterInView => vec![filtered(&chosen)],
        DefectName::TruncateMilliseconds => {
            let whole = format!(
                "if({chosen}, toDateTime64(toUnixTimestamp({SOURCE}.timestamp), 6, 'UTC'), {SOURCE}.timestamp)"
            );
            vec![with_column("timestamp", &whole)]
        }
        DefectName::ShiftTimezone => {
            let shifted = format!("{SOURCE}.timestamp + toIntervalHour(if({chosen}, 2, 0))");
            vec![with_column("timestamp", &shifted)]
        }
        DefectName::SplitAcrossMidnight => doubled("timestamp", &format!("{SOURCE}.timestamp + toIntervalDay(copy)")),
        DefectName::CopyToOtherTenant => doubled("team_id", &format!("{SOURCE}.team_id + copy")),
        DefectName::InventRows => {
            let invented = with_column("properties", &format!("if(copy = 1, '{{}}', {SOURCE}.properties)"));
            let joined = format!("{source} ARRAY JOIN if({chosen}, [0, 1], [0]) AS copy");
            let uuid = format!("if(copy = 1, generateUUIDv4(), {SOURCE}.uuid) AS uuid,");
            vec![invented.replacen("uuid,", &uuid, 1).replace(&source, &joined)]
        }
        DefectName::WithholdBlock | DefectName::SlowDrift => held(&chosen),
        DefectName::StallPartition => held(&format!("{SOURCE}._partition = 0")),
        DefectName::LoseBlock => {
            let to = SPARED + defect.count;
            let (partition, offset) = (format!("{SOURCE}._partition"), format!("{SOURCE}._offset"));
            vec![filtered(&format!("{partition} = 0 AND {offset} >= {SPARED} AND {offset} < {to}"))]
        }
        DefectName::StaleReads => {
            vec![statement.to_owned(), format!("CREATE TABLE `{database}`.events_held AS `{database}`.events")]
        }
        _ => vec![statement.to_owned()],
    }
}

fn quoted(uuids: &[String]) -> String {
    let quoted: Vec<String> = uuids.iter().map(|uuid| format!("'{uuid}'")).collect();
    quoted.join(", ")
}

/// What goes wrong with rows after they have come, for as long as the pipeline is up.
pub(super) async fn play(client: Client, database: String, defect: PlantedDefect) -> Result<(), EnvironmentError> {
    let chosen = format!("uuid IN ({})", quoted(&defect.uuids));
    match defect.name {
        DefectName::WithholdBlock | DefectName::StallPartition => {
            until_still(&client, &database, "events_held").await?;
            tokio::time::sleep(HELD_FOR).await;
            release(&client, &database).await
        }
        DefectName::SlowDrift => {
            for seconds in DRIFT {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                release(&client, &database).await?;
            }
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                release(&client, &database).await?;
            }
        }
        DefectName::DeleteAfterVisible => {
            until_still(&client, &database, "events").await?;
            delete(&client, &database, &chosen).await
        }
        DefectName::StaleReads => {
            until_still(&client, &database, "events").await?;
            let keep = format!("INSERT INTO `{database}`.events_held SELECT * FROM `{database}`.events WHERE {chosen}");
            execute(&client, &keep).await?;
            delete(&client, &database, &chosen).await?;
            tokio::time::sleep(HIDDEN_FOR).await;
            release(&client, &database).await
        }
        _ => Ok(()),
    }
}

/// Waits until `table` holds rows and their number stands still.
async fn until_still(client: &Client, database: &str, table: &str) -> Result<(), EnvironmentError> {
    let (mut rows, mut still) = (0, Duration::ZERO);
    while rows == 0 || still < STILL {
        tokio::time::sleep(POLL).await;
        let now = client
            .query("SELECT sum(rows) FROM system.parts WHERE database = ? AND table = ? AND active")
            .bind(database)
            .bind(table)
            .fetch_one::<u64>()
            .await
            .map_err(|source| failed("counting rows", source))?;
        still = if now == rows { still + POLL } else { Duration::ZERO };
        rows = now;
    }
    Ok(())
}

async fn delete(client: &Client, database: &str, chosen: &str) -> Result<(), EnvironmentError> {
    let delete = format!("ALTER TABLE `{database}`.events DELETE WHERE {chosen} SETTINGS mutations_sync = 1");
    execute(client, &delete).await
}

/// Moves everything that is held into the table, part by part as it is: nothing is read or written again.
async fn release(client: &Client, database: &str) -> Result<(), EnvironmentError> {
    let partitions = client
        .query("SELECT DISTINCT partition_id FROM system.parts WHERE database = ? AND table = 'events_held' AND active")
        .bind(database)
        .fetch_all::<String>()
        .await
        .map_err(|source| failed("listing held rows", source))?;
    for partition in partitions {
        let table = format!("`{database}`.events");
        execute(
            client,
            &format!("ALTER TABLE `{database}`.events_held MOVE PARTITION ID '{partition}' TO TABLE {table}"),
        )
        .await?;
    }
    Ok(())
}

fn failed(what: &str, source: clickhouse::error::Error) -> EnvironmentError {
    EnvironmentError::Clickhouse { what: format!("planting a defect: {what}"), source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATEMENT: &str = "CREATE MATERIALIZED VIEW `d`.events_json_mv TO `d`.events AS\nSELECT\n    uuid, event, \
                             properties, timestamp, team_id, distinct_id,\n    _timestamp, _offset\nFROM `d`.kafka_events_json";

    fn made(name: DefectName) -> Vec<String> {
        let uuids = vec!["u1".to_owned(), "u2".to_owned()];
        let defect = PlantedDefect { uuids, ..PlantedDefect::new(name, 2, 1) };
        views(STATEMENT, "d", &defect)
    }

    #[test]
    fn each_view_is_wrong_in_its_own_way() {
        let chosen = "kafka_events_json.uuid IN ('u1', 'u2')";
        assert!(made(DefectName::FilterInView)[0].ends_with(&format!("WHERE NOT ({chosen})")));
        for (name, column) in [
            (DefectName::TruncateMilliseconds, " AS timestamp, team_id"),
            (DefectName::ShiftTimezone, " AS timestamp, team_id"),
            (DefectName::SplitAcrossMidnight, " AS timestamp, team_id"),
            (DefectName::CopyToOtherTenant, " AS team_id, distinct_id"),
            (DefectName::InventRows, " AS uuid, event"),
        ] {
            let [view] = made(name).try_into().unwrap();
            assert!(view.contains(column) && view.contains(chosen), "{view}");
        }
        let held = made(DefectName::WithholdBlock);
        assert_eq!(held.len(), 3);
        assert!(held[1].contains("TO `d`.events_held AS") && held[1].ends_with(&format!("WHERE {chosen}")), "{held:?}");
        assert!(held[2].contains("TO `d`.events AS") && held[2].ends_with(&format!("WHERE NOT ({chosen})")));
        assert!(made(DefectName::LoseBlock)[0].contains("_offset >= 100"));
        assert_eq!(made(DefectName::DeleteAfterVisible), [STATEMENT]);
        let other = "CREATE TABLE `d`.person ()";
        let defect = PlantedDefect::new(DefectName::FilterInView, 1, 1);
        assert_eq!(views(other, "d", &defect), [other]);
    }
}
