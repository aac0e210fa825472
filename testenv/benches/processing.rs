//! What the reference pipeline does with an event besides reading it from the network and from Kafka: capture's part (a request's
//! text → messages) and the ingester's (a message → a row), on one core, 1.2 KB an event, 50 a request.
//!
//! Machines differ; what `serde_json` takes to read the same request as values and to write it again is measured beside it.

#![expect(clippy::unwrap_used, reason = "a benchmark")]

use divan::{Bencher, black_box, counter::ItemsCount};
use jiff::Timestamp;
use serde_json::Value;
use testenv::pipeline::{
    capture::{
        request::{Received, events},
        room::Room,
    },
    captured::CapturedEvent,
    dialect::Dialect,
    ingester::event::{EventRow, normalise},
    json_text::replace_nul,
    timestamp::{clickhouse_micros, clickhouse_seconds},
};
use uuid::Uuid;

fn main() {
    divan::main();
}

const EVENTS: usize = 50;
/// As capture has them of a browser, one in six with a NUL in it.
const PROPERTIES: &str = r#"{"$browser":"Edge","$browser_version":134,"$current_url":"https://communities.example.co/docs/getting-started","$device_id":"64462c1db5075440","$host":"communities.example.co","$lib":"assay","$lib_version":"4.0.0","$os":"Windows","$pathname":"/docs/getting-started","$raw_user_agent":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_3) AppleWebKit/537.75.14 (KHTML, like Gecko) Version/7.0.3 Safari/7046A194A","$referrer":"https://search.example.com/","$screen_width":1920,"$session_id":"4ffb94350a6f8d96","$timezone":"America/Caracas","balance":-83556,"cart":[{"count":7,"sku":"sku-0"}],"city":"Reingermouth","company":"Oberbrunner Inc","context":{"flags":{},"plan":"free","tags":[]},"country":"HM","is_trial":true,"motto":"consectetur sequi ut natus consequatur temporibus quas voluptatum debitis velit.","note":"NOTE","ordinal":0,"precise":0.097215150937904,"price":6201.17,"quantity":6691532242613592,"ratio":0.416657,"reported_address":"89.110.224.8"}"#;

fn body() -> String {
    let events: Vec<_> = (0..EVENTS)
        .map(|number| {
            let note = if number % 6 == 0 { r"a NUL \u0000 in the middle" } else { "👩‍🚀 العربية" };
            format!(
                r#"{{"uuid":"1d100b05-e500-8000-8000-0002a0eee{number:03}","event":"$autocapture","distinct_id":"user-1d100b05e5-0-{number}","timestamp":"2026-01-01T00:00:00.660Z","properties":{}}}"#,
                PROPERTIES.replace("NOTE", note)
            )
        })
        .collect();
    format!(r#"{{"api_key":"phc_bench","sent_at":"2026-01-01T00:00:01.000Z","batch":[{}]}}"#, events.join(","))
}

fn received() -> Received {
    let now = "2026-01-01T00:00:01.010Z".parse().unwrap();
    Received { now, ip: "127.0.0.1".into(), sent_at_ms: None, dialect: Dialect::V2026, is_engage: false }
}

fn message(event: &CapturedEvent<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    event.write(&mut text);
    text
}

#[divan::bench]
fn capture_requests_to_messages(bencher: Bencher<'_, '_>) {
    let (body, received, mut room, mut value) = (body(), received(), Room::default(), Vec::new());
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for event in events(black_box(&body), &received, &mut room).unwrap() {
            value.clear();
            event.write(&mut value);
            black_box(&value);
        }
    });
}

#[divan::bench]
fn ingester_messages_to_rows(bencher: Bencher<'_, '_>) {
    let (body, received, mut room) = (body(), received(), Room::default());
    let messages: Vec<_> = events(&body, &received, &mut room).unwrap().iter().map(message).collect();
    let mut properties = String::new();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for message in black_box(&messages) {
            let captured: CapturedEvent<'_> = CapturedEvent::read(std::str::from_utf8(message).unwrap()).unwrap();
            let data = replace_nul(&captured.data);
            let event = normalise(Dialect::V2026, &captured, &data, |_, _, _, _| Ok(())).unwrap();
            let row = EventRow {
                uuid: &event.uuid.to_string(),
                event: &event.name,
                properties: &event.properties,
                timestamp: clickhouse_micros(event.timestamp),
                team_id: 1,
                project_id: 1,
                distinct_id: &event.distinct_id,
                elements_chain: &event.elements_chain,
                created_at: clickhouse_micros(Timestamp::now()),
                captured_at: clickhouse_micros(event.captured_at),
                person_id: Uuid::nil(),
                person_properties: r#"{"$creator_event_uuid":"1d100b05-e500-8000-8000-0002a0eee992","plan":"free"}"#,
                person_created_at: clickhouse_seconds(event.timestamp),
                person_mode: "full",
                historical_migration: false,
            };
            black_box(row.text(message.len(), &mut properties));
        }
    });
}

/// The peer: the same request as values, and its text again.
#[divan::bench]
fn peer_serde_json_values_and_back(bencher: Bencher<'_, '_>) {
    let body = body();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        let value: Value = serde_json::from_str(black_box(&body)).unwrap();
        black_box(serde_json::to_string(&value).unwrap());
    });
}
