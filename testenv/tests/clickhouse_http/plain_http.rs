//! Plain HTTP, as `curl` and the observers of other teams speak it.

use reqwest::{Client, Response, StatusCode, header::HeaderMap};
use testenv::clickhouse::frames;

use super::role::{Role, shared};

async fn post(role: &Role, query: &str, body: impl Into<reqwest::Body>) -> (StatusCode, HeaderMap, Vec<u8>) {
    whole(Client::new().post(format!("{}/?{query}", role.url())).body(body).send().await.unwrap()).await
}

async fn whole(response: Response) -> (StatusCode, HeaderMap, Vec<u8>) {
    let (status, headers) = (response.status(), response.headers().clone());
    (status, headers, response.bytes().await.unwrap().to_vec())
}

async fn get(role: &Role, path: &str) -> (u16, String) {
    let (status, _, body) = whole(reqwest::get(format!("{}{path}", role.url())).await.unwrap()).await;
    (status.as_u16(), String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn the_query_comes_in_the_url_or_the_body_or_both() {
    let role = shared();
    assert_eq!(get(&role, "/ping").await, (200, "Ok.\n".into()));
    assert_eq!(get(&role, "/").await, (200, "Ok.\n".into()));
    assert_eq!(get(&role, "/nowhere").await.0, 404);
    assert_eq!(get(&role, "/?query=SELECT%201%2B1").await, (200, "2\n".into()));
    for (url, body, expected) in [
        ("query=SELECT+7", "", "7\n"),
        ("", "SELECT 7", "7\n"),
        ("query=SELECT", "7 + 1", "8\n"),
        ("default_format=JSONEachRow", "SELECT 7 AS a", "{\"a\":7}\n"),
        ("default_format=JSONEachRow", "SELECT 7 AS a FORMAT CSV", "7\n"),
        ("database=system", "SELECT currentDatabase()", "system\n"),
        ("param_x=a%5C%27b", "SELECT {x:String}", "a\\'b\n"),
        ("max_block_size=77", "SELECT getSetting('max_block_size')", "77\n"),
        ("", "SELECT getSetting('max_block_size') != 77", "1\n"),
        ("", "SHOW DATABASES LIKE 'system'", "system\n"),
        ("", "SELECT 1 FORMAT Null", ""),
    ] {
        let (status, _, found) = post(&role, url, body).await;
        assert_eq!((status.as_u16(), String::from_utf8(found).unwrap()), (200, expected.into()), "{url} {body}");
    }
}

#[tokio::test]
async fn headers_describe_the_answer() {
    let role = shared();
    let (_, headers, _) = post(&role, "query_id=mine&default_format=CSV", "SELECT number FROM numbers(1000)").await;
    let header = |name: &str| headers.get(name).unwrap_or_else(|| panic!("{name}")).to_str().unwrap().to_owned();
    assert_eq!(header("X-ClickHouse-Query-Id"), "mine");
    assert_eq!(header("X-ClickHouse-Format"), "CSV");
    assert_eq!(header("X-ClickHouse-Exception-Tag").len(), 16);
    assert!(!header("X-ClickHouse-Timezone").is_empty());
    assert!(!header("X-ClickHouse-Server-Display-Name").is_empty());
    let summary: serde_json::Value = serde_json::from_str(&header("X-ClickHouse-Summary")).unwrap();
    assert_eq!((&summary["result_rows"], &summary["read_rows"]), (&"1000".into(), &"1000".into()));
    post(&role, "", "CREATE TABLE summary (a UInt64) ENGINE = MergeTree ORDER BY a").await;
    let (_, headers, _) = post(&role, "query=INSERT+INTO+summary+FORMAT+CSV", "1\n2\n3\n").await;
    let summary = headers["X-ClickHouse-Summary"].to_str().unwrap();
    assert!(summary.contains(r#""written_rows":"3""#), "{summary}");
}

#[tokio::test]
async fn get_changes_nothing() {
    let role = shared();
    for query in ["CREATE%20TABLE%20by_get(a%20UInt8)%20ENGINE%3DMemory", "DROP%20DATABASE%20default"] {
        let (status, text) = get(&role, &format!("/?query={query}")).await;
        assert!(status == 500 && text.contains("(READONLY)"), "{status} {text}");
    }
    let query = "/?max_block_size=55&query=SELECT%20getSetting('max_block_size')%20SETTINGS%20max_threads%3D1";
    assert_eq!(get(&role, query).await, (200, "55\n".into()));
}

#[tokio::test]
async fn data_come_behind_the_statement_in_any_format() {
    let role = shared();
    post(&role, "", "CREATE TABLE data (a UInt64, s String) ENGINE = MergeTree ORDER BY a").await;
    // Rows that hold what could be taken for SQL, for a line end, or for no text at all.
    let binary: Vec<u8> = (0..5_u64).flat_map(|a| [&a.to_le_bytes()[..], b"\x05\n;'\xff\0"].concat()).collect();
    let packed = frames::pack(&binary);
    let with_binary = [b"INSERT INTO data FORMAT RowBinary\n".to_vec(), binary.clone()].concat();
    let cases: [(&str, Vec<u8>, u64); 9] = [
        ("query=INSERT+INTO+data+FORMAT+RowBinary", binary, 5),
        ("query=INSERT+INTO+data+FORMAT+RowBinary&decompress=1", packed, 5),
        ("", with_binary, 5),
        ("query=INSERT+INTO+data+FORMAT+JSONEachRow", b"{\"a\":1,\"s\":\"x;\\ny\"} {\"a\":2}".to_vec(), 2),
        ("query=INSERT+INTO+data+VALUES", b"(1, 'a;b\n'), (2, concat('c', 'd'))".to_vec(), 2),
        ("", b"INSERT INTO data (a) VALUES (1), (2), (3);".to_vec(), 3),
        ("query=INSERT+INTO+data+(a)", b"FORMAT CSV\n1\n2\n".to_vec(), 2),
        ("query=INSERT+INTO+data+(a)+SETTINGS+max_threads%3D1+FORMAT+TSV", b"1\n2\n".to_vec(), 2),
        ("query=INSERT+INTO+data+FORMAT+CSV", Vec::new(), 0),
    ];
    for (url, body, rows) in cases {
        post(&role, "", "TRUNCATE TABLE data").await;
        let (status, _, text) = post(&role, url, body).await;
        assert_eq!(status, 200, "{url}: {}", String::from_utf8_lossy(&text));
        let (_, _, found) = post(&role, "", "SELECT count() FROM data").await;
        assert_eq!(String::from_utf8(found).unwrap(), format!("{rows}\n"), "{url}");
    }
    let (status, _, found) = post(&role, "", "INSERT INTO data FORMAT RowBinary\n\x01\x02").await;
    assert!(status.is_server_error(), "{}", String::from_utf8_lossy(&found));
    let (status, _, _) = post(&role, "query=INSERT+INTO+data+FORMAT+CSV&decompress=1", "1,2\n, no frame here").await;
    assert!(status.is_server_error());
    let (_, _, found) = post(&role, "", "SELECT count() FROM data").await;
    assert_eq!(found, b"0\n");
}

/// A client that breaks off in mid-body inserts nothing.
#[tokio::test]
async fn half_a_body_is_no_insert() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let role = shared();
    post(&role, "", "CREATE TABLE half (a UInt64) ENGINE = MergeTree ORDER BY a").await;
    let mut stream = tokio::net::TcpStream::connect(role.url().strip_prefix("http://").unwrap()).await.unwrap();
    let head = "POST /?query=INSERT+INTO+half+FORMAT+CSV HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n1\n2\n3\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    // The role has seen the end when it closes its own side.
    let _ = stream.read_to_end(&mut Vec::new()).await;
    let (_, _, found) = post(&role, "", "SELECT count() FROM half").await;
    assert_eq!(found, b"0\n");
}

#[tokio::test]
async fn an_answer_is_packed_as_it_is_asked_for() {
    let role = shared();
    let query = "SELECT number FROM numbers(500000)";
    let (_, _, plain) = post(&role, "default_format=RowBinary", query).await;
    let (_, headers, packed) = post(&role, "default_format=RowBinary&compress=1", query).await;
    assert!(!headers.contains_key("Content-Encoding"));
    let mut unpacker = frames::Unpacker::default();
    assert!(unpacker.take(&packed).unwrap() == plain);
    unpacker.finish().unwrap();
    let request = Client::new().post(format!("{}/?default_format=RowBinary", role.url()));
    let response = request.header("Accept-Encoding", "gzip, lz4").body(query).send().await.unwrap();
    assert_eq!(response.headers()["Content-Encoding"], "lz4");
    let (_, _, packed) = whole(response).await;
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut lz4_flex::frame::FrameDecoder::new(&packed[..]), &mut content).unwrap();
    assert!(content == plain && packed.len() < plain.len());
}

#[tokio::test]
async fn statuses_are_clickhouses() {
    let role = shared();
    for (url, body, status, name) in [
        ("", "SELECT * FROM no_such_table", 404, "UNKNOWN_TABLE"),
        ("", "SELEC", 400, "SYNTAX_ERROR"),
        ("", "", 400, "SYNTAX_ERROR"),
        ("", "SELECT 1; SELECT 2", 400, "SYNTAX_ERROR"),
        ("", "quit", 400, "SYNTAX_ERROR"),
        ("", "SELECT toUInt8('x')", 400, "CANNOT_PARSE_TEXT"),
        ("", "SELECT throwIf(1)", 500, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        ("max_execution_time=1", "SELECT count() FROM system.numbers", 408, "TIMEOUT_EXCEEDED"),
        ("no_such_setting=1", "SELECT 1", 404, "UNKNOWN_SETTING"),
        ("max_threads=x", "SELECT 1", 400, "CANNOT_PARSE_INPUT_ASSERTION_FAILED"),
        ("database=nowhere", "SELECT 1", 404, "UNKNOWN_DATABASE"),
        ("default_format=Nope", "SELECT 1", 404, "UNKNOWN_FORMAT"),
        ("user=somebody", "SELECT 1", 403, "AUTHENTICATION_FAILED"),
        ("password=wrong", "SELECT 1", 403, "AUTHENTICATION_FAILED"),
        ("session_id=1", "SELECT 1", 501, "NOT_IMPLEMENTED"),
        ("", "SELECT 1 INTO OUTFILE '/tmp/x'", 501, "NOT_IMPLEMENTED"),
        ("", "INSERT INTO t FROM INFILE '/etc/passwd' FORMAT CSV", 501, "NOT_IMPLEMENTED"),
        ("decompress=1", "no frames at all, but long enough for one", 500, "CANNOT_DECOMPRESS"),
    ] {
        let (found, headers, text) = post(&role, url, body).await;
        let text = String::from_utf8(text).unwrap();
        assert_eq!(found.as_u16(), status, "{url} {body}: {text}");
        assert!(text.starts_with("Code: ") && text.contains(&format!("({name}) (version ")), "{url} {body}: {text}");
        assert!(headers.contains_key("X-ClickHouse-Exception-Code"), "{url} {body}");
    }
}

#[tokio::test]
async fn who_may_only_read_reads() {
    let folder = tempfile::tempdir().unwrap();
    let reader = [("CLICKHOUSE_READER_USER", "reader"), ("CLICKHOUSE_READER_PASSWORD", "secret")];
    let role = Role::start(folder.path(), &reader);
    assert_eq!(post(&role, "", "CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a").await.0, StatusCode::OK);
    assert_eq!(post(&role, "query=INSERT+INTO+t+FORMAT+CSV", "7\n").await.0, StatusCode::OK);
    let who = "user=reader&password=secret";
    let (status, _, answer) = post(&role, &format!("{who}&default_format=CSV"), "SELECT a FROM t").await;
    assert_eq!((status, &answer[..]), (StatusCode::OK, &b"7\n"[..]));
    for (url, statement, code) in [
        ("", "CREATE TABLE u (a UInt8) ENGINE = Memory", "164"),
        ("", "DROP TABLE t", "164"),
        ("", "ALTER TABLE t DELETE WHERE 1", "164"),
        ("query=INSERT+INTO+t+FORMAT+CSV", "8\n", "164"),
        ("", "SELECT 1 SETTINGS max_threads = 1", "164"),
        ("", "SET readonly = 0", "164"),
        ("max_threads=1", "SELECT 1", "164"),
    ] {
        let (status, headers, text) = post(&role, &format!("{who}&{url}"), statement).await;
        let found = headers.get("X-ClickHouse-Exception-Code").map(|code| code.to_str().unwrap().to_owned());
        let text = String::from_utf8_lossy(&text).into_owned();
        assert_eq!(found.as_deref(), Some(code), "{url} {statement}: {status} {text}");
    }
    let (_, _, answer) = post(&role, "default_format=CSV", "SELECT count(), sum(a) FROM t").await;
    assert_eq!(answer, b"1,7\n", "nothing was changed");
    assert_ne!(post(&role, "user=reader&password=wrong", "SELECT 1").await.0, StatusCode::OK);
}
