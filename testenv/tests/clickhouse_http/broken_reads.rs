//! A read that breaks is never answered with what looks like a whole result.

use clickhouse::{Client, Compression};
use testenv::clickhouse::frames::Unpacker;

use super::role::shared;

const FORMATS: [&str; 8] = [
    "RowBinary",
    "RowBinaryWithNamesAndTypes",
    "TabSeparated",
    "TSVWithNames",
    "JSONEachRow",
    "JSON",
    "Native",
    "CSVWithNames",
];

/// When a query fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// Before any reply.
    Early,
    /// When the reply has begun.
    Late,
    /// As fast as the machine is.
    Either,
}

/// Queries that fail, and how.
const QUERIES: [(&str, u32, When); 7] = [
    ("SELECT throwIf(number = 5000000, 'boom'), number FROM numbers(10000000)", 395, When::Late),
    ("SELECT throwIf(number = 10, 'boom'), number FROM numbers(100)", 395, When::Early),
    ("SELECT number FROM numbers(10000000) WHERE throwIf(number = 9999999, 'boom')", 395, When::Early),
    (
        "SELECT number FROM numbers(1000000) SETTINGS max_result_rows = 500000, result_overflow_mode = 'throw'",
        396,
        When::Late,
    ),
    (
        "SELECT sleepEachRow(0.000002), number FROM system.numbers SETTINGS max_execution_time = 0.3, max_block_size = 9000",
        159,
        When::Either,
    ),
    ("SELECT count() FROM system.numbers SETTINGS max_execution_time = 0.3", 159, When::Early),
    ("SELECT * FROM no_such_table", 60, When::Early),
];

fn compressions() -> [Compression; 2] {
    [Compression::None, Compression::Lz4]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_crate_is_told_of_every_one() {
    let role = shared();
    for compression in compressions() {
        let client = role.client().with_compression(compression);
        for (query, code, _) in QUERIES {
            for format in ["RowBinary", "RowBinaryWithNamesAndTypes", "JSONEachRow"] {
                let mut bytes = client.query(query).fetch_bytes(format).unwrap();
                let error = loop {
                    match bytes.next().await {
                        Ok(Some(_)) => (),
                        Ok(None) => panic!("taken for a whole answer: {query}, {format}, {compression:?}"),
                        Err(error) => break error.to_string(),
                    }
                };
                assert!(error.contains(&format!("Code: {code}.")), "{query}, {format}, {compression:?}: {error}");
            }
        }
        for validated in [false, true] {
            let error = rows(&client.clone().with_validation(validated), QUERIES[0].0).await.unwrap_err();
            assert!(error.to_string().contains("Code: 395."), "{error}");
        }
    }
}

async fn rows(client: &Client, query: &str) -> Result<u64, clickhouse::error::Error> {
    let mut cursor = client.query(query).fetch::<(u8, u64)>()?;
    let mut rows = 0;
    while let Some((_, number)) = cursor.next().await? {
        assert_eq!(number, rows);
        rows += 1;
    }
    Ok(rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_told_of_every_one() {
    let role = shared();
    let client = reqwest::Client::new();
    for format in FORMATS {
        for (query, code, when) in QUERIES {
            for packing in ["", "&compress=1"] {
                let url = format!("{}/?default_format={format}{packing}", role.url());
                let mut response = client.post(url).body(query).send().await.unwrap();
                let announced = response.headers().get("X-ClickHouse-Exception-Code").cloned();
                let mut body = Vec::new();
                let end = loop {
                    match response.chunk().await {
                        Ok(Some(bytes)) => body.extend_from_slice(&bytes),
                        Ok(None) => break Ok(()),
                        Err(error) => break Err(error),
                    }
                };
                let case = format!("{format}{packing}: {query}");
                let streams = format != "JSON";
                let late = match when {
                    When::Early => false,
                    When::Late => streams,
                    When::Either => streams && announced.is_none(),
                };
                if late {
                    assert_eq!((response.status().as_u16(), announced), (200, None), "{case}");
                    assert!(end.is_err(), "the transfer did not break: {case}");
                    let tag = response.headers()["X-ClickHouse-Exception-Tag"].to_str().unwrap();
                    let body = if packing.is_empty() { body } else { Unpacker::default().take(&body).unwrap() };
                    let text = block(&body, tag).unwrap_or_else(|| panic!("no block: {case}"));
                    assert!(text.starts_with(&format!("Code: {code}. ")), "{case}: {text}");
                } else {
                    assert!(end.is_ok() && response.status().as_u16() >= 400, "{case}");
                    assert_eq!(announced.unwrap().to_str().unwrap(), code.to_string(), "{case}");
                    let text = String::from_utf8(body).unwrap();
                    assert!(text.starts_with(&format!("Code: {code}. DB::Exception: ")), "{case}: {text}");
                    assert!(text.ends_with(")\n") && text.contains(" (version "), "{case}: {text}");
                }
            }
        }
    }
}

/// The exception's text in the block that `body` ends with.
fn block(body: &[u8], tag: &str) -> Option<String> {
    let body = body.strip_suffix(format!(" {tag}\r\n__exception__\r\n").as_bytes())?;
    let line = body.iter().rposition(|byte| *byte == b'\n')? + 1;
    let length: usize = std::str::from_utf8(&body[line..]).ok()?.parse().ok()?;
    let start = line.checked_sub(length)?;
    body[..start].ends_with(format!("\r\n__exception__\r\n{tag}\r\n").as_bytes()).then_some(())?;
    String::from_utf8(body[start..line].to_vec()).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_dropped_is_an_error() {
    let role = shared();
    let client = role.client();
    client.query("CREATE TABLE dropped (a UInt64) ENGINE = MergeTree ORDER BY a").execute().await.unwrap();
    client.query("DROP TABLE dropped SYNC").execute().await.unwrap();
    let error = client.query("SELECT a FROM dropped").fetch_all::<u64>().await.unwrap_err().to_string();
    assert!(error.contains("UNKNOWN_TABLE"), "{error}");
}

/// Every format, streamed and whole, gives the same rows: no piece brings a header or a footer of its own.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_pieces_is_the_answer_in_one() {
    let role = shared();
    let client = reqwest::Client::new();
    let ask = async |query: &str, options: &str| {
        let url = format!("{}/?max_threads=1{options}", role.url());
        let response = client.post(url).body(query.to_owned()).send().await.unwrap();
        assert_eq!(response.status(), 200, "{query}");
        response.bytes().await.unwrap()
    };
    let formats = FORMATS.into_iter().chain([
        "RowBinaryWithNames",
        "TSVWithNamesAndTypes",
        "TSVRawWithNames",
        "CSV",
        "CSVWithNamesAndTypes",
        "JSONCompact",
        "JSONCompactEachRowWithNamesAndTypes",
        "JSONStringsEachRow",
        "TSKV",
        "Values",
        "XML",
        "Pretty",
        "Null",
    ]);
    for format in formats.filter(|format| *format != "Native") {
        for query in [
            "SELECT number AS `a\n\"b`, toString(number) AS s FROM numbers(300000)",
            "SELECT number AS n FROM numbers(300000) WHERE n > 400000",
            "SELECT number % 3 AS k, count() AS c FROM numbers(300000) GROUP BY k WITH TOTALS ORDER BY k",
        ] {
            let query = format!("{query} FORMAT {format}");
            let pieces = ask(&query, "").await;
            let whole = ask(&query, "&wait_end_of_query=1").await;
            // JSON tells how long it took.
            let same =
                if format.starts_with("JSONCompact") && !format.contains("Each") || ["JSON", "XML"].contains(&format) {
                    pieces.len().abs_diff(whole.len()) < 40
                } else {
                    pieces == whole
                };
            assert!(same, "{query}: {} bytes in pieces, {} as a whole", pieces.len(), whole.len());
        }
    }
}
