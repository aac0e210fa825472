//! The contract's cases, a line each.

use proptest::prelude::*;

use super::*;

fn received() -> Received {
    Received {
        now: "2026-06-01T12:00:00Z".parse().unwrap(),
        ip: "127.0.0.1".into(),
        sent_at_ms: None,
        dialect: Dialect::V2026,
        is_engage: false,
    }
}

/// The room is kept for good: these are tests.
fn events(text: &str, received: &Received) -> Result<Vec<CapturedEvent<'static>>, Refusal> {
    super::events(text, received, Box::leak(Box::default()))
}

fn captured(body: &str) -> Result<Vec<CapturedEvent<'static>>, Refusal> {
    events(body, &received())
}

fn one(body: &str) -> CapturedEvent<'static> {
    captured(body).unwrap_or_else(|refusal| panic!("{refusal}: {body}")).remove(0)
}

#[test]
fn what_is_refused_and_how() {
    let long_token = format!(r#"{{"token":"{}","event":"e","distinct_id":"d"}}"#, "x".repeat(65));
    for (body, status) in [
        ("", 400),
        ("{", 400),
        ("null", 400),
        ("[]", 400),
        (r#"{"api_key":"t","batch":[]}"#, 400),
        (r#"{"api_key":"t","distinct_id":"d"}"#, 400),
        (r#"{"api_key":"t","event":"","distinct_id":"d"}"#, 400),
        (r#"{"api_key":"t","event":"e"}"#, 400),
        (r#"{"api_key":"t","event":"e","distinct_id":null}"#, 400),
        (r#"{"api_key":"t","event":"e","distinct_id":""}"#, 400),
        (r#"{"api_key":"t","event":"e","distinct_id":"d","timestamp":5}"#, 400),
        (r#"{"api_key":"t","event":"e","distinct_id":"d","uuid":"nonsense"}"#, 400),
        (r#"{"api_key":"t","event":"e","distinct_id":"d","properties":[1]}"#, 400),
        (r#"{"api_key":"t","token":"t","event":"e","distinct_id":"d"}"#, 400),
        (r#"{"event":"e","distinct_id":"d"}"#, 401),
        (r#"{"api_key":"","event":"e","distinct_id":"d"}"#, 401),
        (r#"{"api_key":"phx_1","event":"e","distinct_id":"d"}"#, 401),
        (r#"{"api_key":"é","event":"e","distinct_id":"d"}"#, 401),
        (r#"[{"token":"a","event":"e","distinct_id":"d"},{"token":"b","event":"e","distinct_id":"d"}]"#, 401),
        (&long_token, 401),
    ] {
        assert_eq!(captured(body).map_err(|refusal| refusal.status()), Err(status), "{body}");
    }
}

#[test]
fn events_without_cookies_and_of_ones_own_are_known() {
    let of = |properties: &str, dialect| {
        let body = format!(r#"{{"api_key":"t","event":"e","distinct_id":"d","properties":{properties}}}"#);
        let received = Received { ip: "10.0.0.1".into(), dialect, ..received() };
        events(&body, &received).map(|mut events| {
            let event = events.remove(0);
            (event.is_cookieless_mode, event.ip.into_owned())
        })
    };
    for (properties, is_cookieless, ip) in [
        ("{}", false, "10.0.0.1"),
        (r#"{"$cookieless_mode":true}"#, true, "10.0.0.1"),
        (r#"{"$cookieless_mode":false}"#, false, "10.0.0.1"),
        (r#"{"capture_internal":null}"#, false, "127.0.0.1"),
        (r#"{"text":"capture_internal"}"#, false, "10.0.0.1"),
    ] {
        assert_eq!(of(properties, Dialect::V2026), Ok((is_cookieless, ip.to_owned())), "{properties}");
        assert_eq!(of(properties, Dialect::V2024), Ok((false, "10.0.0.1".to_owned())), "{properties}");
    }
    for refused in [r#"{"$cookieless_mode":1}"#, r#"{"$cookieless_mode":null}"#] {
        assert_eq!(of(refused, Dialect::V2026).map_err(|refusal| refusal.status()), Err(400), "{refused}");
        assert!(of(refused, Dialect::V2024).is_ok());
    }
}

#[test]
fn one_bad_event_refuses_all() {
    let body = r#"{"api_key":"t","batch":[{"event":"e","distinct_id":"d"},{"event":"e"}]}"#;
    assert_eq!(captured(body), Err(Refusal::NoDistinctId));
}

#[test]
fn every_form_is_taken() {
    let single = r#"{"api_key":"t","event":"e","distinct_id":"d"}"#;
    for (body, count) in [
        (single.to_owned(), 1),
        (format!("[{single},{single}]"), 2),
        (r#"{"api_key":"t","batch":[{"event":"e","distinct_id":"d"}]}"#.to_owned(), 1),
        (r#"{"$token":"t","event":"e","$distinct_id":"d"}"#.to_owned(), 1),
        (r#"{"event":"e","properties":{"token":"t","distinct_id":"d"}}"#.to_owned(), 1),
    ] {
        let events = captured(&body).unwrap_or_else(|refusal| panic!("{refusal}: {body}"));
        assert_eq!(events.len(), count, "{body}");
        assert!(events.iter().all(|event| event.token == "t" && event.distinct_id == "d" && event.event == "e"));
    }
}

#[test]
fn distinct_ids_become_texts_of_200_characters() {
    let id = |id: &str| one(&format!(r#"{{"api_key":"t","event":"e","distinct_id":{id}}}"#)).distinct_id.into_owned();
    assert_eq!(id("5"), "5");
    assert_eq!(id("1.50"), "1.50");
    assert_eq!(id(r#"{"a":1}"#), r#"{"a":1}"#);
    assert_eq!(id(&format!("\"{}\"", "é".repeat(300))), "é".repeat(200));
}

#[test]
fn what_no_store_can_hold_leaves_names_and_ids() {
    let of = |dialect, text: &str| {
        let body = format!(r#"{{"api_key":"t","event":"{text}","distinct_id":"{text}"}}"#);
        let mut events = events(&body, &Received { dialect, ..received() })?;
        let event = events.remove(0);
        Ok::<_, Refusal>((event.event.into_owned(), event.distinct_id.into_owned()))
    };
    let both = |name: &str, id: &str| Ok((name.to_owned(), id.to_owned()));
    // The ingester replaces it in the name, for a name may be looked for before.
    let nul = "a\\u0000b";
    assert_eq!(of(Dialect::V2026, nul), both("a\0b", "a\u{fffd}b"));
    assert_eq!(of(Dialect::V2024, nul), both("a\0b", "a\0b"));
    let half = "a\\ud83db\\ude80";
    assert_eq!(of(Dialect::V2026, half), both("a\u{fffd}b\u{fffd}", "a\u{fffd}b\u{fffd}"));
    assert_eq!(of(Dialect::V2024, half).map_err(|refusal| refusal.status()), Err(400));
    let long = "👩‍🚀\\u0000".repeat(60);
    let (name, id) = of(Dialect::V2026, &long).unwrap();
    assert_eq!((name.chars().count(), id), (240, "👩‍🚀\u{fffd}".repeat(50)), "names are cut later");
}

#[test]
fn what_stands_twice_is_refused_but_for_properties_and_the_last_counted_in_2021() {
    let of = |dialect, body: &str| {
        let mut events = events(body, &Received { dialect, ..received() }).map_err(|refusal| refusal.status())?;
        let event = events.remove(0);
        let id = event.distinct_id.into_owned();
        let properties = event.data.split_once("\"properties\":").map_or("", |(_, rest)| rest);
        Ok::<_, u16>((event.token.into_owned(), id, properties.trim_end_matches('}').to_owned()))
    };
    let taken = |token: &str, id: &str, properties: &str| Ok((token.to_owned(), id.to_owned(), properties.to_owned()));
    for (body, expected) in [
        (r#"{"event":"a","api_key":"t","event":"b","distinct_id":"d"}"#, taken("t", "d", "")),
        (r#"{"distinct_id":"x","api_key":"t","event":"b","distinct_id":"d"}"#, taken("t", "d", "")),
        (r#"{"distinct_id":"x","api_key":"t","event":"b","$distinct_id":"d"}"#, Err(400)),
        (r#"{"token":"t","api_key":"u","event":"b","distinct_id":"d"}"#, taken("t", "d", "")),
        (
            r#"[{"token":"t","properties":{"a":1},"event":"b","distinct_id":"d","properties":{"b":2}}]"#,
            taken("t", "d", r#"{"b":2"#),
        ),
        (r#"{"api_key":"t","batch":[{"event":"b","event":"b","distinct_id":"d"}]}"#, taken("t", "d", "")),
        (r#"{"api_key":"u","api_key":"t","batch":[{"event":"b","distinct_id":"d"}]}"#, taken("t", "d", "")),
    ] {
        assert_eq!(of(Dialect::V2021, body), expected, "{body}");
        for dialect in [Dialect::V2024, Dialect::V2026] {
            assert_eq!(of(dialect, body), Err(400), "{body}");
        }
    }
    for dialect in [Dialect::V2021, Dialect::V2024, Dialect::V2026] {
        let twice = r#"{"api_key":"t","event":"e","properties":{"distinct_id":"x","a":1,"distinct_id":"d","a":2}}"#;
        let all = r#"{"distinct_id":"x","a":1,"distinct_id":"d","a":2"#;
        assert_eq!(of(dialect, twice), taken("t", "d", all), "the ingester takes the last of them, too");
        let batch = r#"{"api_key":"t","batch":[{"api_key":"u","event":"e","distinct_id":"d"},{"token":"v","event":"e","distinct_id":"d"}]}"#;
        assert_eq!(of(dialect, batch), taken("t", "d", ""), "the token of the batch wins");
    }
}

#[test]
fn uuids_are_kept_or_minted() {
    let uuid =
        |field: &str| one(&format!(r#"{{"api_key":"t","event":"e","distinct_id":"d"{field}}}"#)).uuid.into_owned();
    let own = "12345678-9a00-80c0-8000-0f4240a632ad";
    assert_eq!(uuid(&format!(r#","uuid":"{own}""#)), own);
    for minted in ["", r#","uuid":"""#, r#","uuid":null"#] {
        assert_eq!(Uuid::parse_str(&uuid(minted)).unwrap().get_version_num(), 7, "{minted}");
    }
}

#[test]
fn data_holds_what_was_sent_with_its_numbers_and_drops_what_is_unknown() {
    let body = r#"{"api_key":"t","event":"e","distinct_id":"d","foo":1,"$unset":["a"],
        "$set":{"n":1.50},"properties":{"big":9007199254740993, "lone":"\ud83d","nul":"\u0000"}}"#;
    assert_eq!(
        one(body).data,
        r#"{"event":"e","properties":{"big":9007199254740993, "lone":"\ufffd","nul":"\u0000"},"$set":{"n":1.50}}"#
    );
}

#[test]
fn sent_at_comes_from_the_batch_or_the_query() {
    let event = r#"{"event":"e","distinct_id":"d","timestamp":"2026-06-01T09:59:58Z"}"#;
    let batch = format!(r#"{{"api_key":"t","sent_at":"2026-06-01T10:00:00Z","batch":[{event}]}}"#);
    assert_eq!(one(&batch).timestamp, "2026-06-01T11:59:58.000Z");
    assert_eq!(one(&batch).sent_at.as_deref(), Some("2026-06-01T10:00:00.000Z"));
    let single = event.replace("{\"event", "{\"api_key\":\"t\",\"event");
    let with = |sent_at_ms| events(&single, &Received { sent_at_ms, ..received() }).unwrap()[0].timestamp.clone();
    assert_eq!(with(Some(1_780_308_000_000)), "2026-06-01T11:59:58.000Z");
    assert_eq!(with(Some(1_780_308_000)), "2026-06-01T09:59:58.000Z", "seconds are not believed");
    assert_eq!(with(None), "2026-06-01T09:59:58.000Z");
}

#[test]
fn dialects_differ_in_uuids_surrogates_and_profiles() {
    let taken = |dialect, is_engage, body: &str| {
        events(body, &Received { dialect, is_engage, ..received() }).map(|events| events[0].event.clone().into_owned())
    };
    let status = |dialect, body: &str| taken(dialect, false, body).map_err(|refusal| refusal.status()).err();
    let empty_uuid = r#"{"api_key":"t","event":"e","distinct_id":"d","uuid":""}"#;
    let lone = r#"{"api_key":"t","event":"e","distinct_id":"d","properties":{"a":"\ud83d"}}"#;
    let pair = r#"{"api_key":"t","event":"e","distinct_id":"d","properties":{"a":"\ud83d\ude80"}}"#;
    for (body, in_2021, in_2024, in_2026) in
        [(empty_uuid, None, Some(400), None), (lone, None, Some(400), None), (pair, None, None, None)]
    {
        let all = [Dialect::V2021, Dialect::V2024, Dialect::V2026].map(|dialect| status(dialect, body));
        assert_eq!(all, [in_2021, in_2024, in_2026], "{body}");
    }
    let profile = r#"{"api_key":"t","distinct_id":"d","$set":{"a":1}}"#;
    assert_eq!(taken(Dialect::V2026, true, profile).as_deref(), Ok("$identify"));
    assert_eq!(taken(Dialect::V2026, false, profile), Err(Refusal::NoName));
    assert_eq!(taken(Dialect::V2021, true, profile), Err(Refusal::NoName));
}

#[test]
fn keys_that_are_looked_at_are_seen_however_they_are_written() {
    for key in ["token", "distinct_id", "$ignore_sent_at", "$cookieless_mode", "capture_internal"] {
        assert!(may_be_known(&format!(r#"{{"a":1,"{key}":1}}"#)));
        for (at, character) in key.char_indices() {
            let (before, rest) = key.split_at(at);
            let code = u32::from(character);
            for escape in [format!("\\u{code:04x}"), format!("\\u{code:04X}")] {
                let written = format!(r#"{{"{before}{escape}{}":1}}"#, &rest[1..]);
                let read: BTreeMap<String, u8> = serde_json::from_str(&written).unwrap();
                assert!(read.contains_key(key) && may_be_known(&written), "{written}");
            }
        }
    }
    assert!(!may_be_known(r#"{"$lib":"a NUL \u0000 and a \ud83d\ude00","tokens":"t"}"#));
}

/// Members of an event or of a batch: usual and unknown ones, in odd forms, too.
fn member() -> impl Strategy<Value = String> {
    let key = proptest::sample::select(vec![
        "token",
        "$token",
        "api_key",
        "distinct_id",
        "$distinct_id",
        "uuid",
        "event",
        "timestamp",
        "properties",
        "$set",
        "$set_once",
        "offset",
        "sent_at",
        "historical_migration",
        "batch",
        "unknown",
        "\\u0062atch",
    ]);
    let value = prop_oneof![
        4 => "[a-z\\\\\"é\n]{0,20}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        3 => "[a-z]{0,8}".prop_map(|text| format!("\"{text}\"")),
        3 => proptest::sample::select(vec![
            "null", "true", "false", " 1", "-0", "1.5", "{}", "[]", "{\"a\":[1,{}]}", "\"\\ud83d\"", "\"\\x\"", "\"\n\"", "[", "",
        ])
        .prop_map(str::to_owned),
    ];
    (key, value).prop_map(|(key, value)| format!("\"{key}\":{value}"))
}

fn object(members: &[String]) -> String {
    format!("{{{}}}", members.join(","))
}

proptest! {
    #[test]
    fn what_is_usual_is_read_as_serde_reads_it(
        members in proptest::collection::vec(member(), 0..4),
        events in proptest::collection::vec(proptest::collection::vec(member(), 0..4), 0..3),
        behind in proptest::sample::select(vec!["", " ", "}", "1", ","]),
    ) {
        let events: Vec<_> = events.iter().map(|members| object(members)).collect();
        for event in &events {
            let event = event.clone() + behind;
            let mut reader = Reader::new(&event);
            if let Some(read) = RawEvent::as_usual(&mut reader).filter(|_| reader.end().is_some()) {
                let expected: RawEvent<'_> = serde_json::from_str(&event).unwrap();
                prop_assert_eq!(&read, &expected);
                let mut text = Vec::new();
                read.write(&mut text);
                let written: BTreeMap<String, &RawValue> = serde_json::from_slice(&text).unwrap();
                let raw = |key| written.get(key).map(|value| value.get());
                let name: Option<String> = serde_json::from_str(raw("event").unwrap()).unwrap();
                prop_assert_eq!(name.as_deref(), read.event.as_deref());
                let expected = [read.properties, read.set, read.set_once];
                prop_assert_eq!(["properties", "$set", "$set_once"].map(raw), expected);
            }
        }
        let members: Vec<_> = members.into_iter().chain([format!("\"batch\":[{}]", events.join(","))]).collect();
        let text = object(&members) + behind;
        if let Some(read) = Batch::as_usual(&text) {
            prop_assert_eq!(Some(read), serde_json::from_str(&text).ok());
        }
    }
}

#[test]
fn what_clients_send_is_usual() {
    for event in [
        r#"{"event":"e","distinct_id":"d"}"#,
        r#"{"uuid":"u","event":"e","distinct_id":1,"token":"t","timestamp":"x","properties":{"a":"\""},"$set":{},"$set_once":{"b":1}}"#,
    ] {
        assert!(RawEvent::as_usual(&mut Reader::new(event)).is_some());
        let batch =
            format!(r#"{{"api_key":"t","sent_at":"x","historical_migration":true, "batch":[{event}, {event}]}}"#);
        let batch = Batch::as_usual(&batch).unwrap();
        assert!(
            batch.batch.len() == 2 && batch.historical_migration && batch.token.is_some() && batch.sent_at.is_some()
        );
    }
}

#[test]
fn what_is_unusual_is_left_to_serde() {
    let is_usual = |event: &str| RawEvent::as_usual(&mut Reader::new(event)).is_some();
    for key in ["token", "uuid", "event", "timestamp", "distinct_id", "properties", "$set", "$set_once", "offset"] {
        assert!(!is_usual(&format!(r#"{{"{key}":null}}"#)), "{key}");
        assert!(!is_usual(&format!(r#"{{"{key}":"a","{key}":"a"}}"#)), "{key}");
        assert!(!is_usual(&format!(r#"{{"{key}":"\n"}}"#)) || key.starts_with(['d', 'p', '$']), "{key}");
    }
    for twice in [r#"{"token":"t","api_key":"t"}"#, r#"{"distinct_id":"d","$distinct_id":"d"}"#, r#"{"offset":1}"#] {
        assert!(!is_usual(twice), "{twice}");
    }
    for batch in [
        r#"{"token":"t"}"#,
        r#"{"batch":null}"#,
        r#"{"batch":[],"batch":[]}"#,
        r#"{"batch":[["t"]]}"#,
        r#"{"batch":[],"sent_at":null}"#,
        r#"{"batch":[],"token":"t","api_key":"t"}"#,
        r#"{"batch":[],"historical_migration":1}"#,
        r#"{"batch":[]} x"#,
    ] {
        assert_eq!(Batch::as_usual(batch), None, "{batch}");
    }
}

#[test]
fn what_is_known_of_an_event_is_written_in_this_order() {
    for (sent, written) in [
        (
            r#"{"$set_once":{"b":1.0},"offset":-7,"$set":{"a": 1},"x":1,"timestamp":"t\"","properties":{"p":[]},"uuid":"u","event":"é\n"}"#,
            r#"{"event":"é\n","properties":{"p":[]},"timestamp":"t\"","offset":-7,"$set":{"a": 1},"$set_once":{"b":1.0}}"#,
        ),
        (r#"{"distinct_id":"d","properties":null}"#, r#"{"event":null}"#),
    ] {
        let (event, mut text) = (serde_json::from_str::<RawEvent<'_>>(sent).unwrap(), Vec::new());
        event.write(&mut text);
        assert_eq!(String::from_utf8(text).unwrap(), written);
    }
}
