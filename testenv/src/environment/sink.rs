//! The sink's planted defects: a changed materialized view, rows held back, rows deleted or hidden after they were visible.
//!
//! Everything is done as it would go wrong in ClickHouse: by SQL, on the way into the table or in it. What was planted is
//! asked of ClickHouse, and written to the log: a further view notes which of the events it concerns have come.

use std::{
    collections::HashSet,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clickhouse::Client;

use super::tables::execute;
use crate::{
    environment::EnvironmentError,
    pipeline::defect::{DefectName, PlantedDefect, Stage},
};

/// Rows count as visible once their number has not changed for so long.
const STILL: Duration = Duration::from_millis(700);
/// `lose_block` spares so many offsets of the first partition, so that there is something before the block.
const SPARED: u64 = 100;
const POLL: Duration = Duration::from_millis(100);
/// An insert becomes visible so long after its rows were given their `inserted_at`, at the very latest.
const INSERTED_WITHIN: Duration = Duration::from_secs(1);

const VIEW: &str = "events_json_mv";
const SOURCE: &str = "kafka_events_json";

/// The defect of the sink among `defects`, if there is one.
pub(crate) fn planted(defects: &[PlantedDefect]) -> Option<&PlantedDefect> {
    defects.iter().find(|defect| defect.name.defect().stage == Stage::Sink)
}

/// The statements that make the events' view, given the one that makes it as it must be.
pub(crate) fn views(statement: &str, database: &str, defect: &PlantedDefect) -> Vec<String> {
    if !statement.contains(VIEW) {
        return vec![statement.to_owned()];
    }
    let mut statements = wrong_views(statement, database, defect);
    if let Some(concerned) = concerned(defect) {
        statements.push(format!("CREATE TABLE `{database}`.planted (uuid UUID) ENGINE = MergeTree ORDER BY uuid"));
        statements.push(format!(
            "CREATE MATERIALIZED VIEW `{database}`.planted_mv TO `{database}`.planted AS\n\
             SELECT uuid FROM `{database}`.{SOURCE} WHERE {concerned}"
        ));
    }
    statements
}

/// Which rows of the Kafka table the defect concerns, unless it is no matter of single rows.
fn concerned(defect: &PlantedDefect) -> Option<String> {
    match defect.name {
        DefectName::StallPartition | DefectName::SlowDrift => None,
        DefectName::LoseBlock => {
            let to = SPARED + defect.count;
            let (partition, offset) = (format!("{SOURCE}._partition"), format!("{SOURCE}._offset"));
            Some(format!("{partition} = 0 AND {offset} >= {SPARED} AND {offset} < {to}"))
        }
        _ => Some(format!("{SOURCE}.uuid IN ({})", quoted(&defect.uuids))),
    }
}

fn wrong_views(statement: &str, database: &str, defect: &PlantedDefect) -> Vec<String> {
    let chosen = concerned(defect).unwrap_or_else(|| "1".to_owned());
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
        DefectName::FilterInView | DefectName::LoseBlock => vec![filtered(&chosen)],
        DefectName::TruncateMilliseconds => {
            let whole = format!(
                "if({chosen}, toDateTime64(toUnixTimestamp({SOURCE}.timestamp), 6, 'UTC'), {SOURCE}.timestamp)"
            );
            vec![with_column("timestamp", &whole)]
        }
        DefectName::ShiftTimezone => {
            let hours = defect.amount();
            let shifted = format!("{SOURCE}.timestamp + toIntervalHour(if({chosen}, {hours}, 0))");
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

/// Plays the defect for as long as the pipeline is up: what goes wrong with rows after they have come, and the log of it.
pub(crate) async fn play(client: Client, database: String, defect: PlantedDefect, log: PathBuf) {
    let result = tokio::try_join!(spoil(&client, &database, &defect), tell(&client, &database, &defect, &log));
    if let Err(error) = result {
        // What was not planted is not found; the log says why.
        write(&log, &format!("{error}"));
    }
}

/// Writes to the log which events are planted, as they come.
async fn tell(client: &Client, database: &str, defect: &PlantedDefect, log: &Path) -> Result<(), EnvironmentError> {
    let word = defect.name.defect().word;
    if concerned(defect).is_none() {
        let whole = if defect.name == DefectName::StallPartition { "partition 0" } else { "every partition" };
        write(log, &format!("planted {word} in {whole}"));
        return Ok(());
    }
    let mut told = HashSet::new();
    loop {
        tokio::time::sleep(POLL * 3).await;
        let uuids = client
            .query(&format!("SELECT DISTINCT toString(uuid) FROM `{database}`.planted"))
            .fetch_all::<String>()
            .await
            .map_err(|source| failed("asking what was planted", source))?;
        for uuid in uuids {
            if !told.contains(&uuid) {
                write(log, &format!("planted {word} in {uuid}"));
                told.insert(uuid);
            }
        }
        if told.len() as u64 >= defect.count {
            return Ok(());
        }
    }
}

fn write(log: &Path, line: &str) {
    // Without a log there is nobody to tell.
    if let Ok(mut log) = std::fs::OpenOptions::new().create(true).append(true).open(log) {
        let _ = writeln!(log, "{line}");
    }
}

async fn spoil(client: &Client, database: &str, defect: &PlantedDefect) -> Result<(), EnvironmentError> {
    let chosen = format!("uuid IN ({})", quoted(&defect.uuids));
    let held = Duration::from_millis(defect.held_ms);
    match defect.name {
        DefectName::WithholdBlock | DefectName::StallPartition => {
            until_come(client, database, defect).await?;
            until_still(client, database, "events_held").await?;
            tokio::time::sleep(held).await;
            release(client, database).await
        }
        DefectName::SlowDrift => drift(client, database, defect).await,
        DefectName::DeleteAfterVisible => {
            until_come(client, database, defect).await?;
            until_still(client, database, "events").await?;
            delete(client, database, &chosen).await
        }
        DefectName::StaleReads => {
            until_come(client, database, defect).await?;
            until_still(client, database, "events").await?;
            let keep = format!("INSERT INTO `{database}`.events_held SELECT * FROM `{database}`.events WHERE {chosen}");
            execute(client, &keep).await?;
            delete(client, database, &chosen).await?;
            tokio::time::sleep(held).await;
            release(client, database).await
        }
        _ => Ok(()),
    }
}

/// Copies held rows into the table, the later they have come the longer after it.
async fn drift(client: &Client, database: &str, defect: &PlantedDefect) -> Result<(), EnvironmentError> {
    until_any(client, database).await?;
    let began = now_ms();
    let mut done = 0;
    loop {
        tokio::time::sleep(POLL * 2).await;
        let to = drifted(began, now_ms(), defect);
        let moment = |ms: i64| format!("fromUnixTimestamp64Milli({ms})");
        let rows = format!("inserted_at > {} AND inserted_at <= {}", moment(done), moment(to));
        // The condition stands inside: beside the replacement, `inserted_at` would be the new one.
        let copy = format!(
            "INSERT INTO `{database}`.events SELECT * REPLACE(now64() AS inserted_at) \
             FROM (SELECT * FROM `{database}`.events_held WHERE {rows})"
        );
        execute(client, &copy).await?;
        done = to;
    }
}

/// Up to which moment of coming rows are visible at the moment `now`, both in milliseconds since 1970. Those that came
/// when the drift began are late by as long as an insert takes; from then on the delay grows steadily, by `held_ms` in
/// `span_ms`.
fn drifted(began: i64, now: i64, defect: &PlantedDefect) -> i64 {
    let (held, span) = (defect.held_ms as f64, defect.span_ms.max(1) as f64);
    let passed = (now - began).max(0) as f64 / (1.0 + held / span);
    began + passed as i64 - INSERTED_WITHIN.as_millis() as i64
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

/// Waits until all events have come that the defect concerns: a busy machine may stand still for a while before.
async fn until_come(client: &Client, database: &str, defect: &PlantedDefect) -> Result<(), EnvironmentError> {
    let count = format!("SELECT uniqExact(uuid) FROM `{database}`.planted");
    while concerned(defect).is_some() {
        let come = client.query(&count).fetch_one::<u64>().await;
        if come.map_err(|source| failed("asking what has come", source))? >= defect.count {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Waits until `table` holds rows and their number stands still.
async fn until_still(client: &Client, database: &str, table: &str) -> Result<(), EnvironmentError> {
    let (mut rows, mut still) = (0, Duration::ZERO);
    while rows == 0 || still < STILL {
        tokio::time::sleep(POLL).await;
        let now = rows_in(client, database, table).await?;
        still = if now == rows { still + POLL } else { Duration::ZERO };
        rows = now;
    }
    Ok(())
}

/// Waits until rows are held.
async fn until_any(client: &Client, database: &str) -> Result<(), EnvironmentError> {
    while rows_in(client, database, "events_held").await? == 0 {
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

async fn rows_in(client: &Client, database: &str, table: &str) -> Result<u64, EnvironmentError> {
    client
        .query("SELECT sum(rows) FROM system.parts WHERE database = ? AND table = ? AND active")
        .bind(database)
        .bind(table)
        .fetch_one::<u64>()
        .await
        .map_err(|source| failed("counting rows", source))
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
            let view = made(name).remove(0);
            assert!(view.contains(column) && view.contains(chosen), "{view}");
        }
        assert!(made(DefectName::ShiftTimezone)[0].contains(&format!("if({chosen}, 2, 0)")));
        let held = made(DefectName::WithholdBlock);
        assert!(held[1].contains("TO `d`.events_held AS") && held[1].ends_with(&format!("WHERE {chosen}")), "{held:?}");
        assert!(held[2].contains("TO `d`.events AS") && held[2].ends_with(&format!("WHERE NOT ({chosen})")));
        assert!(made(DefectName::LoseBlock)[0].contains("_offset >= 100"));
        let deleted = made(DefectName::DeleteAfterVisible);
        assert_eq!(deleted[0], STATEMENT);
        assert!(deleted[1].contains("planted") && deleted[2].ends_with(&format!("WHERE {chosen}")), "{deleted:?}");
        let stalled = made(DefectName::StallPartition);
        assert!(stalled[2].ends_with("WHERE NOT (kafka_events_json._partition = 0)"), "{stalled:?}");
        assert!(made(DefectName::SlowDrift)[1].ends_with("WHERE 1"));
        assert!(made(DefectName::StaleReads)[1].contains("events_held"));
        let other = "CREATE TABLE `d`.person ()";
        let defect = PlantedDefect::new(DefectName::FilterInView, 1, 1);
        assert_eq!(views(other, "d", &defect), [other]);
    }
    #[test]
    fn drift_grows_from_an_insert_to_all_that_is_held() {
        let defect =
            PlantedDefect { held_ms: 6_000, span_ms: 3_000, ..PlantedDefect::new(DefectName::SlowDrift, 1, 1) };
        let began = 1_000_000;
        // What comes at second 1 is late by two seconds, what comes at the end, at second 3, by six; and by an insert.
        for (now, came) in [(0, -1_000), (3_000, 0), (6_000, 1_000), (9_000, 2_000), (12_000, 3_000)] {
            assert_eq!(drifted(began, began + now, &defect), began + came, "after {now} ms");
        }
        let moments: Vec<i64> = (0..100).map(|now| drifted(began, began + now * 37, &defect)).collect();
        assert!(moments.is_sorted());
        assert_eq!(drifted(began, began - 5, &defect), began - 1_000, "a clock that was set back");
        let none = PlantedDefect::new(DefectName::SlowDrift, 1, 1);
        assert_eq!(drifted(began, began + 500, &none), began - 500, "nothing is divided by no time");
    }
}
