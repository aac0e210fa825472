//! What capture refuses or drops on purpose, and what is too large for a stage behind it.

use std::collections::{BTreeMap, HashSet};

use libtest_mimic::Trial;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use testenv::{
    environment::pipeline::{Pipeline, PipelineOptions},
    pipeline::capture::{
        restrictions::{Entry, Kind as Restricted},
        routes::Modes,
    },
};

use super::bench::{Bench, Kind, on_a_runtime, pipeline_up, until};

pub fn tests(kind: Kind) -> Vec<Trial> {
    crate::trials![
        kind;
        sizes_have_limits_and_what_is_listed_is_dropped,
        what_is_restricted_is_dropped_put_aside_or_without_a_person
    ]
}

const MILLION: usize = 1_000_000;

fn event(distinct_id: &str, properties: &Value) -> Value {
    json!({"event": "e", "distinct_id": distinct_id, "properties": properties})
}

fn padded(distinct_id: &str, bytes: usize) -> Value {
    event(distinct_id, &json!({"padding": "x".repeat(bytes)}))
}

async fn send(pipeline: &Pipeline, path: &str, token: &str, batch: &[Value]) -> (StatusCode, String) {
    let body = if path == "/e/" {
        batch.iter().map(|event| with_token(event, token)).collect()
    } else {
        json!({"api_key": token, "batch": batch})
    };
    let url = format!("http://{}{path}", pipeline.endpoints().capture);
    let reply = Client::new().post(url).body(body.to_string()).send().await.unwrap();
    (reply.status(), reply.text().await.unwrap())
}

fn with_token(event: &Value, token: &str) -> Value {
    let mut event = event.clone();
    event["api_key"] = token.into();
    event
}

/// Whose events have arrived, in alphabetical order.
async fn arrived(pipeline: &Pipeline) -> Vec<String> {
    let endpoint = &pipeline.endpoints().clickhouse;
    let client = clickhouse::Client::default().with_url(&endpoint.url).with_database(&endpoint.database);
    client.query("SELECT distinct_id FROM events ORDER BY distinct_id").fetch_all().await.unwrap()
}

fn sizes_have_limits_and_what_is_listed_is_dropped(kind: Kind) {
    on_a_runtime(async {
        let bench = Bench::new(kind);
        let substrate = bench.substrate().await;
        let options = PipelineOptions {
            teams: BTreeMap::from([("token".to_owned(), 1), ("silenced".to_owned(), 2)]),
            age_limits: BTreeMap::new(),
            drop_list: vec!["silenced".into(), "token:gone".into()],
            partitions: 1,
            ..bench.pipeline("limits")
        };
        let pipeline = pipeline_up(&substrate, &options).await.unwrap();
        let ok = (StatusCode::OK, r#"{"status":"Ok"}"#.to_owned());

        // An error is no proof of absence: what stood before the event that is too large was produced.
        let batch = [event("before", &json!({})), padded("too-large", MILLION + 200_000), event("behind", &json!({}))];
        let reply = send(&pipeline, "/batch/", "token", &batch).await;
        assert_eq!(reply, (StatusCode::BAD_REQUEST, "maximum event size exceeded".to_owned()));

        let thirds = ["l1", "l2", "l3"].map(|id| padded(id, 900_000));
        assert_eq!(send(&pipeline, "/e/", "token", &thirds).await.0, StatusCode::PAYLOAD_TOO_LARGE, "over 2 MiB");
        assert_eq!(send(&pipeline, "/batch/", "token", &thirds).await, ok, "a batch may be larger");
        let many = vec![padded("many", 900_000); 24];
        assert_eq!(send(&pipeline, "/batch/", "token", &many).await.0, StatusCode::PAYLOAD_TOO_LARGE, "over 20 MiB");

        assert_eq!(send(&pipeline, "/e/", "silenced", &[event("s", &json!({}))]).await, ok);
        let both = [event("gone", &json!({})), event("kept", &json!({}))];
        assert_eq!(send(&pipeline, "/batch/", "token", &both).await, ok);

        // What is set stands twice in the row, as a property of the event and of its person, and makes it too large for
        // Kafka. It is dropped, and holds nobody up.
        let set = event("sets-much", &json!({"$set": {"biography": "x".repeat(700_000)}}));
        assert_eq!(send(&pipeline, "/batch/", "token", &[set, event("last", &json!({}))]).await, ok);

        let expected = ["before", "kept", "l1", "l2", "l3", "last"].map(str::to_owned).to_vec();
        until(expected, async || arrived(&pipeline).await).await;
        let log = std::fs::read_to_string(options.logs.join("ingester.log")).unwrap();
        assert!(log.contains("message_size_too_large"), "{log}");
        pipeline.down().await.unwrap();
        substrate.down().await;
    });
}

fn what_is_restricted_is_dropped_put_aside_or_without_a_person(kind: Kind) {
    on_a_runtime(async {
        let bench = Bench::new(kind);
        let substrate = bench.substrate().await;
        let list = |id: &str| vec![Entry::of_distinct_ids("token".into(), HashSet::from([id.to_owned()]))];
        let options = PipelineOptions {
            teams: BTreeMap::from([("token".to_owned(), 1), ("unpaid".to_owned(), 2)]),
            over_quota: vec!["unpaid".into()],
            capture_modes: Modes::new(false, true),
            restrictions: BTreeMap::from([
                (Restricted::DropEvent, list("gone")),
                (Restricted::RedirectToDlq, list("aside")),
                (Restricted::ForceOverflow, list("crowd")),
                (Restricted::SkipPersonProcessing, list("nobody")),
            ]),
            forced_keys: vec!["token:hot".into()],
            ..bench.pipeline("restricted")
        };
        let pipeline = pipeline_up(&substrate, &options).await.unwrap();
        let ok = (StatusCode::OK, r#"{"status":"Ok"}"#.to_owned());
        let plain = ["gone", "aside", "crowd", "hot", "before"].map(|id| event(id, &json!({})));
        assert_eq!(send(&pipeline, "/batch/", "token", &plain).await, ok);
        let arrived_ids = async || arrived(&pipeline).await;
        until(["before", "crowd", "hot"].map(str::to_owned).to_vec(), arrived_ids).await;
        // It would join its person's.
        let mut identify = event("nobody", &json!({"$anon_distinct_id": "before"}));
        identify["event"] = "$identify".into();
        assert_eq!(send(&pipeline, "/batch/", "token", &[identify]).await, ok);
        until(["before", "crowd", "hot", "nobody"].map(str::to_owned).to_vec(), arrived_ids).await;
        let endpoint = &pipeline.endpoints().clickhouse;
        let client = clickhouse::Client::default().with_url(&endpoint.url).with_database(&endpoint.database);
        let persons = "SELECT uniqExact(person_id) FROM events WHERE distinct_id IN ('before', 'nobody')";
        assert_eq!(client.query(persons).fetch_one::<u64>().await.unwrap(), 2, "nothing is joined");

        let recording = json!({"$session_id": "s", "$snapshot_data": [1]});
        for (token, id, reply) in [
            ("token", "anybody", &*ok.1),
            ("token", "gone", &*ok.1),
            ("token", "crowd", &*ok.1),
            ("unpaid", "anybody", r#"{"status":"Ok","quota_limited":["recordings"]}"#),
        ] {
            let url = format!("http://{}/s/", pipeline.endpoints().capture);
            let body = with_token(&event(id, &recording), token).to_string();
            let found = Client::new().post(url).body(body).send().await.unwrap();
            assert_eq!((found.status(), &*found.text().await.unwrap()), (StatusCode::OK, reply), "{token} {id}");
        }
        pipeline.down().await.unwrap();
        substrate.down().await;
    });
}
