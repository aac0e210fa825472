//! The official crate, unchanged.

use clickhouse::{Client, Compression, Row, error::Error};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::role::{Role, shared};

/// A client in a database of its own.
async fn client(role: &Role, database: &str) -> Client {
    role.client().query(&format!("CREATE DATABASE {database}")).execute().await.unwrap();
    role.client().with_database(database)
}

#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
struct Event {
    #[serde(with = "clickhouse::serde::uuid")]
    uuid: Uuid,
    timestamp: i64,
    mode: i8,
    person: Option<String>,
    team: i64,
    properties: String,
    groups: Vec<u32>,
}

const EVENTS: &str = "CREATE TABLE events (uuid UUID, timestamp DateTime64(6, 'UTC'), \
    mode Enum8('full' = 0, 'propertyless' = 1), person Nullable(String), team Int64, properties String, \
    groups Array(UInt32)) ENGINE = MergeTree ORDER BY (team, timestamp)";

fn event(index: i64) -> Event {
    Event {
        uuid: Uuid::from_u128(index as u128 * 0x0123_4567_89ab_cdef),
        timestamp: 1_700_000_000_000_000 + index,
        mode: (index % 2) as i8,
        person: (index % 3 != 0).then(|| format!("person {index}")),
        team: index,
        properties: format!("{{\"index\":{index},\"text\":\"line\\nline 'é' \\u0000\"}}"),
        groups: (0..index as u32 % 4).collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_every_type_come_back_as_they_went() {
    let role = shared();
    let client = client(&role, "types").await;
    client.query(EVENTS).execute().await.unwrap();
    let events: Vec<_> = (0..3000).map(event).collect();
    for (start, compression) in [(0, Compression::None), (1500, Compression::Lz4)] {
        let mut insert = client.clone().with_compression(compression).insert::<Event>("events").await.unwrap();
        for event in &events[start..start + 1500] {
            insert.write(event).await.unwrap();
        }
        insert.end().await.unwrap();
    }
    for compression in [Compression::None, Compression::Lz4] {
        let client = client.clone().with_compression(compression);
        let rows = client.query("SELECT ?fields FROM events ORDER BY team").fetch_all::<Event>().await.unwrap();
        assert_eq!(rows.len(), events.len());
        assert!(rows == events);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inserter_inserts_all() {
    let role = shared();
    let client = client(&role, "inserter").await;
    client.query(EVENTS).execute().await.unwrap();
    for (start, compression) in [(0, Compression::None), (5000, Compression::Lz4)] {
        let client = client.clone().with_compression(compression);
        let mut inserter = client.inserter::<Event>("events").with_max_rows(999);
        for index in start..start + 5000 {
            inserter.write(&event(index)).await.unwrap();
            inserter.commit().await.unwrap();
        }
        inserter.end().await.unwrap();
    }
    let query = "SELECT count(), uniqExact(uuid), sum(team)";
    let found = client.query(&format!("{query} FROM events")).fetch_one::<(u64, u64, i64)>().await.unwrap();
    assert_eq!(found, (10_000, 10_000, (0..10_000).sum()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_rows_stream() {
    let role = shared();
    for compression in [Compression::None, Compression::Lz4] {
        for validated in [false, true] {
            let client = role.client().with_compression(compression).with_validation(validated);
            let query = "SELECT number, toString(number) FROM numbers(1000000) ORDER BY number";
            let mut cursor = client.query(query).fetch::<(u64, String)>().unwrap();
            let mut expected = 0;
            while let Some((number, text)) = cursor.next().await.unwrap() {
                assert_eq!((number, text), (expected, expected.to_string()));
                expected += 1;
            }
            assert_eq!(expected, 1_000_000);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bound_values_and_parameters_are_values() {
    let role = shared();
    let client = role.client();
    for text in ["", "plain", "it's", r"back\slash", "tab\tline\nnul\0", "{x:String}", "'; DROP TABLE t", "é 🦀", "?"]
    {
        let bound = client.query("SELECT ?").bind(text).fetch_one::<String>().await.unwrap();
        assert_eq!(bound, text);
        let given = client.query("SELECT {x:String}").param("x", text).fetch_one::<String>().await.unwrap();
        assert_eq!(given, text);
    }
    let query = client.query("SELECT {n:UInt64} + 1, {names:Array(String)}[2]").param("n", 41);
    let row = query.param("names", vec!["a", "b'"]).fetch_one::<(u64, String)>().await.unwrap();
    assert_eq!(row, (42, "b'".to_owned()));
    let error = client.query("SELECT {n:UInt64}").param("n", "x").fetch_one::<u64>().await.unwrap_err();
    assert!(error.to_string().contains("BAD_QUERY_PARAMETER"), "{error}");
    let error = client.query("SELECT {n:UInt64}").fetch_one::<u64>().await.unwrap_err();
    assert!(error.to_string().contains("UNKNOWN_QUERY_PARAMETER"), "{error}");
    let nothing = client.query("SELECT number FROM numbers(3) WHERE number > 5").fetch_all::<u64>().await.unwrap();
    assert!(nothing.is_empty());
    assert!(matches!(client.query("SELECT 1 WHERE 0").fetch_one::<u8>().await, Err(Error::RowNotFound)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_and_changes_nothing() {
    let role = shared();
    let client = client(&role, "wrong").await;
    for (query, name) in [
        ("SELEC 1", "SYNTAX_ERROR"),
        ("SELECT nothing", "UNKNOWN_IDENTIFIER"),
        ("CREATE TABLE t (a UInt8) ENGINE = NoSuchEngine", "UNKNOWN_STORAGE"),
        ("CREATE TABLE t (a NoSuchType) ENGINE = Memory", "UNKNOWN_TYPE"),
        ("DROP TABLE t", "UNKNOWN_TABLE"),
        ("INSERT INTO t SELECT 1", "UNKNOWN_TABLE"),
        ("CREATE TABLE t (a UInt8) ENGINE = Memory; DROP DATABASE wrong", "SYNTAX_ERROR"),
        ("", "SYNTAX_ERROR"),
        ("quit", "SYNTAX_ERROR"),
    ] {
        let error = client.query(query).execute().await.expect_err(query).to_string();
        assert!(error.contains(&format!("({name})")), "{query}: {error}");
    }
    let tables = client.query("SHOW TABLES").fetch_all::<String>().await.unwrap();
    assert!(tables.is_empty(), "{tables:?}");
    let missing = role.client().with_database("no_such_database");
    let error = missing.query("SELECT 1").fetch_one::<u8>().await.unwrap_err().to_string();
    assert!(error.contains("UNKNOWN_DATABASE"), "{error}");
}

/// Sixteen at once, each in settings, a database and a stream of its own.
#[tokio::test(flavor = "multi_thread")]
async fn many_requests_at_once_get_each_its_own_answer() {
    let role = shared();
    let requests: Vec<_> = (0..16_u64)
        .map(|index| {
            let client = role.client();
            tokio::spawn(async move {
                for round in 0..4 {
                    let rows = 50_000 + index * 1000 + round;
                    let client = client.clone().with_setting("max_block_size", (1000 + index).to_string());
                    let query = client.query("SELECT number * {n:UInt64}, toUInt64(getSetting('max_block_size')) FROM numbers({rows:UInt64}) ORDER BY number");
                    let mut cursor =
                        query.param("n", index).param("rows", rows).fetch::<(u64, u64)>().unwrap();
                    let mut expected = 0;
                    while let Some(row) = cursor.next().await.unwrap() {
                        assert_eq!(row, (expected * index, 1000 + index));
                        expected += 1;
                    }
                    assert_eq!(expected, rows);
                }
            })
        })
        .collect();
    for request in requests {
        request.await.unwrap();
    }
}
