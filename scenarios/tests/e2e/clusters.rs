//! Pipelines whose events are on two shards: somebody else's, read through its Distributed table by a user who may only read, and
//! a run's own.

use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
    sync::OnceLock,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    external::{ask_as_owner, changed_of, keep_up, run, told, value_of},
    harness::{Bench, Finished, UP_WITHIN, alone, assay, shared_environment, wait_until},
};

/// What `--external` takes for the pipeline that these tests share.
fn standing() -> &'static str {
    static STANDING: OnceLock<(TempDir, String)> = OnceLock::new();
    let (_, text) = STANDING.get_or_init(|| keep_up(&["--shards", "2"]));
    text
}

/// What ClickHouse answers its owner, who says `DATABASE` for the pipeline's.
fn ask(statement: &str) -> String {
    let database = value_of(standing(), "clickhouse", "database");
    ask_as_owner(&value_of(standing(), "clickhouse", "url"), &statement.replace("DATABASE", &database))
}

fn number(statement: &str) -> u64 {
    ask(statement).parse().unwrap()
}

/// What is true of the rows of the bench's only run.
fn of_run(bench: &Bench) -> String {
    let directory = bench.latest().unwrap();
    let run = directory.file_name().unwrap().to_string_lossy().rsplit('-').next().unwrap().to_owned();
    format!("startsWith(toString(uuid), '{}-{}')", &run[..8], &run[8..])
}

#[test]
fn a_run_through_a_distributed_table_sees_every_shard() {
    let bench = Bench::new("");
    let external = changed_of(standing(), &bench, &[]);
    let run = {
        let _room = alone();
        Finished::new(run(&bench, &external, &["--yes"]), bench.latest())
    };
    assert_eq!(run.code, Some(0), "{}", run.told());
    assert_eq!((run.count("visible"), run.count("phantom"), run.count("duplicated")), (6_000, 0, 0), "{}", run.told());
    assert!(run.stderr.contains("a table of engine Distributed"), "{}", run.stderr);
    let judged = run.verdict["judged_columns"].to_string();
    for column in ["event", "distinct_id", "person_id", "properties", "elements_chain", "timestamp"] {
        assert!(judged.contains(column), "{column}: {judged}");
    }
    // Each shard holds its part, and none of them all.
    let of_run = of_run(&bench);
    let events = |table: &str| number(&format!("SELECT uniqExact(uuid) FROM DATABASE.{table} WHERE {of_run}"));
    let (one, two) = (events("sharded_events_1"), events("sharded_events_2"));
    assert!(one > 1_000 && two > 1_000, "{one} and {two}");
    assert_eq!((one + two, events("events")), (6_000, 6_000));
    let kept = assay(["check"]).arg(run.directory.as_ref().unwrap()).output().unwrap();
    assert_eq!(kept.status.code(), Some(0), "{kept:?}");
}

#[test]
fn what_is_wrong_in_one_shard_is_found_and_named() {
    let bench = Bench::new("");
    let external = changed_of(standing(), &bench, &[]);
    let _room = alone();
    let mut command = bench.run_command();
    command.args(["--env", "external", "--yes", "--external"]).arg(&external);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let are_there = || {
        let of_run = bench.latest().map(|_| of_run(&bench));
        of_run.is_some_and(|run| {
            ["sharded_events_1", "sharded_events_2"]
                .iter()
                .all(|shard| number(&format!("SELECT count() FROM DATABASE.{shard} WHERE {run}")) > 800)
        })
    };
    assert!(wait_until(UP_WITHIN, are_there), "nothing came");
    let of_run = of_run(&bench);
    // Rows of the second go; then rows of the first come to stand in the second as well, under the very same keys.
    let some = |shard: u8| {
        format!("SELECT DISTINCT uuid FROM DATABASE.sharded_events_{shard} WHERE {of_run} ORDER BY uuid LIMIT 40")
    };
    let gone = some(2);
    ask(&format!("ALTER TABLE DATABASE.sharded_events_2 DELETE WHERE uuid IN ({gone}) SETTINGS mutations_sync = 1"));
    let twice = some(1);
    ask(&format!(
        "INSERT INTO DATABASE.sharded_events_2 SELECT * FROM DATABASE.sharded_events_1 WHERE uuid IN ({twice}) \
         ORDER BY uuid LIMIT 1 BY uuid"
    ));
    let run = Finished::new(child.wait_with_output().unwrap(), bench.latest());
    assert_eq!(run.code, Some(1), "{}", run.told());
    // An event may be sent again after its row has gone.
    let missing = run.count("vanished") + run.count("lost");
    assert!((30..=40).contains(&missing), "{missing}: {}", run.told());
    assert_eq!(run.count("duplicated"), 40, "{}", run.told());
    assert_eq!((run.check("loss"), run.check("correctness")), ("fail", "fail"), "{}", run.told());
    let twice = run.findings("duplicated")[0].to_string();
    assert!(twice.contains("2 rows that no merge removes, in the shards 1, 2"), "{twice}");
}

#[test]
fn a_table_that_leaves_out_shards_in_silence_is_refused() {
    ask("CREATE TABLE IF NOT EXISTS DATABASE.events_cut AS DATABASE.events ENGINE = \
         Distributed('assay_shards', 'DATABASE', 'sharded_events') SETTINGS skip_unavailable_shards = 1");
    let bench = Bench::new("");
    let external = changed_of(standing(), &bench, &[("table = \"events\"", "table = \"events_cut\"")]);
    let refused = run(&bench, &external, &["--yes"]);
    assert_eq!(refused.status.code(), Some(64), "{}", told(&refused));
    assert!(told(&refused).contains("leave out shards that do not answer"), "{}", told(&refused));
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// A run of the bench's on the shared substrate, of which both shards have a part; with where ClickHouse is, and the database
/// there that the run alone has.
fn begun(bench: &Bench) -> (Child, String, String) {
    let environment = shared_environment();
    let url = read(environment)["substrate"]["addresses"]["clickhouse_url"].as_str().unwrap().to_owned();
    let mut command = bench.run_command();
    let child = command.arg("--env").arg(environment).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Its tables are there before its directory has a ledger, and go when it ends.
    let database = || {
        let run = bench.latest().filter(|run| run.join("ledger").exists())?;
        Some(format!("assay_r{}", run.file_name()?.to_str()?.rsplit('-').next()?))
    };
    assert!(wait_until(UP_WITHIN, || database().is_some()), "nothing was sent");
    let database = database().unwrap();
    let rows = |table: &str| -> u64 {
        ask_as_owner(&url, &format!("SELECT uniqExact(uuid) FROM {database}.{table}")).parse().unwrap()
    };
    let both = || rows("sharded_events_1") > 1_000 && rows("sharded_events_2") > 1_000;
    assert!(wait_until(UP_WITHIN, both), "both shards have their part");
    (child, url, database)
}

#[test]
fn a_run_of_its_own_may_have_its_events_on_two_shards() {
    let bench = Bench::new("[pipeline]\nshards = 2\n");
    let _room = alone();
    let (child, url, database) = begun(&bench);
    let engine = format!("SELECT engine FROM system.tables WHERE database = '{database}' AND name = 'events'");
    assert_eq!(ask_as_owner(&url, &engine), "Distributed");

    let run = Finished::new(child.wait_with_output().unwrap(), bench.latest());
    assert_eq!(run.code, Some(0), "{}", run.told());
    assert_eq!((run.count("visible"), run.count("phantom"), run.count("duplicated")), (6_000, 0, 0), "{}", run.told());
    let directory = run.directory.as_ref().unwrap();
    assert_eq!(read(&directory.join("manifest.json"))["environment"]["shards"], 2);
    let kept = assay(["check"]).arg(directory).output().unwrap();
    assert_eq!(kept.status.code(), Some(0), "{kept:?}");
}

#[test]
fn a_row_that_nobody_sent_is_a_phantom_in_whichever_team_since_nobody_else_has_the_table() {
    let bench = Bench::new("[pipeline]\nshards = 2\n");
    let _room = alone();
    let (child, url, database) = begun(&bench);
    // In a team that is none of the run's, with neither its uuid nor its marker.
    let insert = format!(
        "INSERT INTO {database}.sharded_events_1 (uuid, event, team_id, distinct_id, timestamp, _timestamp) \
         SELECT generateUUIDv4(), 'theirs', 999, 'somebody', now(), now()"
    );
    ask_as_owner(&url, &insert);
    let run = Finished::new(child.wait_with_output().unwrap(), bench.latest());
    assert_eq!((run.code, run.count("phantom"), run.check("phantom")), (Some(1), 1, "fail"), "{}", run.told());
    assert_eq!((run.count("visible"), run.count("duplicated")), (6_000, 0), "{}", run.told());
}

#[test]
fn what_a_run_of_its_own_loses_before_its_shards_is_missing() {
    let bench = Bench::new("[pipeline]\nshards = 2\n[[planted_defect]]\nname = \"ack_then_drop\"\nevents = 20\n");
    let run = bench.run_shared();
    assert_eq!(run.code, Some(1), "{}", run.told());
    assert_eq!((run.count("lost"), run.check("loss")), (20, "fail"), "{}", run.told());
}
