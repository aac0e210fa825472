//! The role as a process: what survives it, what it costs, and how it ends.

use std::{path::Path, time::Duration};

use clickhouse::Compression;
use tempfile::TempDir;

use super::role::{Role, shared};

/// Asks until `done`; gives up after a minute.
async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let asked = tokio::time::timeout(Duration::from_mins(1), async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    asked.await.unwrap_or_else(|_| panic!("not within a minute: {what}"));
}

#[tokio::test]
async fn sigterm_ends_it_and_nothing_else_is_printed() {
    let folder = TempDir::new().unwrap();
    let role = Role::start(folder.path(), &[]);
    // A query that runs does not hold it up.
    let endless = role.client().query("SELECT count() FROM system.numbers");
    let endless = tokio::spawn(endless.fetch_one::<u64>());
    let busy = role.client();
    until("the query runs", async || {
        busy.query("SELECT count() FROM system.processes").fetch_one::<u64>().await.unwrap() > 1
    })
    .await;
    assert_eq!(role.terminate(), Some(0));
    assert!(endless.await.unwrap().is_err());
}

#[tokio::test]
async fn only_the_right_password_is_let_in() {
    let folder = TempDir::new().unwrap();
    let role = Role::start(folder.path(), &[("CLICKHOUSE_USER", "assay"), ("CLICKHOUSE_PASSWORD", "secret")]);
    let ask = async |client: clickhouse::Client| client.query("SELECT 1").fetch_one::<u8>().await;
    assert_eq!(ask(role.client().with_user("assay").with_password("secret")).await.unwrap(), 1);
    for client in [role.client(), role.client().with_user("assay"), role.client().with_user("assay").with_password("x")]
    {
        assert!(ask(client).await.unwrap_err().to_string().contains("AUTHENTICATION_FAILED"));
    }
    let basic = reqwest::Client::new().post(role.url()).basic_auth("assay", Some("secret")).body("SELECT 1");
    assert_eq!(basic.send().await.unwrap().status(), 200);
}

/// What was acknowledged before `kill -9` is there after it, whole, and merges go on.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = TempDir::new().unwrap();
    let mut acknowledged = 0_u64;
    for round in 0..3 {
        let role = Role::start(folder.path(), &[]);
        let client = role.client();
        let query = "CREATE TABLE IF NOT EXISTS kept (batch UInt64, a UInt64, s String) ENGINE = ReplacingMergeTree \
                     ORDER BY (batch, a)";
        client.query(query).execute().await.unwrap();
        let found = client.query("SELECT batch FROM kept FINAL GROUP BY batch HAVING count() = 1000 ORDER BY batch");
        let found = found.fetch_all::<u64>().await.unwrap();
        let count = client.query("SELECT count() FROM kept FINAL").fetch_one::<u64>().await.unwrap();
        assert!(found.iter().copied().take(acknowledged as usize).eq(0..acknowledged), "round {round}: {found:?}");
        assert_eq!(count, found.len() as u64 * 1000, "round {round}: half a batch");
        // The batch that was under way may be there or not.
        let next = found.len() as u64;
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let writer = tokio::spawn(async move {
            for batch in next.. {
                let insert = "INSERT INTO kept SELECT {batch:UInt64}, number, repeat('x', 500) FROM numbers(1000)";
                if client.query(insert).param("batch", batch).execute().await.is_err() {
                    break;
                }
                tell.send(batch).unwrap();
            }
        });
        // Far enough for merges to be under way.
        while let Some(batch) = told.recv().await {
            acknowledged = batch + 1;
            if batch >= next + 30 {
                break;
            }
        }
        role.kill();
        writer.await.unwrap();
        while let Some(batch) = told.recv().await {
            acknowledged = batch + 1;
        }
    }
    assert!(acknowledged > 90);
}

/// Merges happen while nobody asks: seen in the folder, not through a query.
#[tokio::test]
async fn background_threads_work_while_nobody_asks() {
    fn merged(folder: &Path) -> bool {
        std::fs::read_dir(folder).unwrap().flatten().any(|entry| {
            let name = entry.file_name().into_string().unwrap();
            let level: Option<u32> = name.strip_prefix("all_1_").and_then(|rest| rest.rsplit('_').next()?.parse().ok());
            level.is_some_and(|level| level > 0) || (entry.path().is_dir() && merged(&entry.path()))
        })
    }
    let folder = TempDir::new().unwrap();
    let role = Role::start(folder.path(), &[]);
    role.client().query("CREATE TABLE merged (a UInt64) ENGINE = MergeTree ORDER BY a").execute().await.unwrap();
    for batch in 0..12_u64 {
        role.client().query("INSERT INTO merged SELECT ?").bind(batch).execute().await.unwrap();
    }
    until("a merge", async || merged(&folder.path().join("data/store"))).await;
}

/// A gigabyte out and a gigabyte in, of neither of which the engine keeps anything.
#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_an_answer_or_a_body() {
    const LIMIT: u64 = 500 << 20;
    let folder = TempDir::new().unwrap();
    let role = Role::start(folder.path(), &[]);
    for compression in [Compression::None, Compression::Lz4] {
        let before = role.memory("VmHWM");
        let client = role.client().with_compression(compression);
        let query = "SELECT repeat('x', 991), number FROM numbers(1000000)";
        let mut answer = client.query(query).fetch_bytes("RowBinary").unwrap();
        let mut length = 0;
        while let Some(bytes) = answer.next().await.unwrap() {
            length += bytes.len();
        }
        assert_eq!(length, 1_001_000_000);
        let grown = role.memory("VmHWM") - before;
        assert!(grown < LIMIT, "a gigabyte out took {} MiB, {compression:?}", grown >> 20);
    }
    let before = role.memory("VmHWM");
    let megabyte = bytes::Bytes::from([vec![b'x'; 999], b"\n".to_vec()].concat().repeat(1000));
    let body = futures_util::stream::iter((0..1000).map(move |_| Ok::<_, std::io::Error>(megabyte.clone())));
    let url = format!("{}/?query=INSERT+INTO+FUNCTION+null('s+String')+FORMAT+TSV", role.url());
    let response = reqwest::Client::new().post(url).body(reqwest::Body::wrap_stream(body)).send().await.unwrap();
    let summary = response.headers().get("X-ClickHouse-Summary").cloned();
    assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
    assert!(summary.unwrap().to_str().unwrap().contains(r#""written_rows":"1000000""#));
    let grown = role.memory("VmHWM").saturating_sub(before);
    assert!(grown < LIMIT, "a gigabyte in took {} MiB", grown >> 20);
    // The answer does not wait for the file to be deleted.
    let uploads = folder.path().join("uploads");
    until("the upload's end", async || std::fs::read_dir(&uploads).unwrap().count() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_whose_client_has_gone_is_ended() {
    let role = shared();
    let running = async |mark: &str| {
        let query = "SELECT count() FROM system.processes WHERE query LIKE concat('%', ?, '%') AND query NOT LIKE '%processes%'";
        role.client().query(query).bind(mark).fetch_one::<u64>().await.unwrap()
    };
    for (mark, query) in [
        ("'gone silent'", "SELECT count(), 'gone silent' FROM system.numbers"),
        ("'gone streaming'", "SELECT number, 'gone streaming' FROM system.numbers"),
    ] {
        let client = role.client();
        let reader = tokio::spawn(async move {
            let mut rows = client.query(query).fetch::<(u64, String)>().unwrap();
            rows.next().await.unwrap();
            std::future::pending::<()>().await;
        });
        until("the query runs", async || running(mark).await == 1).await;
        reader.abort();
        let _ = reader.await;
        until("the query has ended", async || running(mark).await == 0).await;
    }
}
