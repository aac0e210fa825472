//! What is on the wire, in every form.

use std::{collections::HashSet, io::Read, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use proptest::prelude::*;
use serde_json::{Value, value::RawValue};

use super::*;
use crate::{
    event::{Event, EventSource, Member},
    identity::StreamId,
    request::{Requests, Retry},
    schedule::{Arrival, Rate, Step},
    timetable::{Shard, Timetable},
    workload::{
        Spelling, Traffic,
        tests::{odd, small},
    },
};

const START: RunStart = RunStart::from_unix_micros(1_790_000_000_000_000);

fn encoded(change: impl Fn(&mut Traffic)) -> (Vec<Event>, Encoded) {
    let mut plan = small().plan().clone();
    change(&mut plan.traffic[0]);
    let workload = Workload::new(plan, crate::persona::PersonaTable::make(42, 16));
    let request = Requests::new(&workload, StreamId(0)).nth(9).unwrap();
    (request.events(&workload).collect(), Encoder::default().encode(&workload, &request, START, Vec::new()).unwrap())
}

#[test]
fn a_batch_holds_every_event_with_its_identity() {
    let (events, encoded) = encoded(|_| ());
    let body: Value = serde_json::from_slice(&encoded.body).unwrap();
    let text = str::from_utf8(&encoded.body).unwrap();
    assert_eq!(encoded.target, "/batch/");
    assert_eq!(body["api_key"], "phc_test");
    assert!(body["sent_at"].as_str().unwrap().starts_with("2026-09-21T"));
    let batch = body["batch"].as_array().unwrap();
    assert_eq!(batch.len(), events.len());
    for (sent, event) in batch.iter().zip(&events) {
        assert_eq!(sent["uuid"], event.id.to_string());
        assert_eq!(sent["properties"]["assay_id"], event.id.to_string());
        // Compared as text: parsing a float and printing it again may change its last digit.
        let properties = serde_json::to_string(&event.properties).unwrap();
        assert!(text.contains(&format!("\"properties\":{properties}")));
    }
}

#[test]
fn a_single_event_is_sent_alone_with_token_and_sent_at() {
    let (events, encoded) = encoded(|traffic| {
        traffic.endpoint = Endpoint::Capture;
        traffic.batch = (1, 1);
        traffic.disorder.resend = crate::random::Share::default();
        traffic.disorder.clock_skew = crate::random::Distribution::Constant { value: Duration::from_secs(1) };
    });
    let body: Value = serde_json::from_slice(&encoded.body).unwrap();
    assert_eq!(body["event"], events[0].name);
    assert_eq!(body["api_key"], "phc_test");
    assert!(encoded.target.starts_with("/capture/?_=1790000001"), "{}", encoded.target);
}

/// What a server makes of it again.
fn unpacked(traffic: &Traffic, encoded: &Encoded) -> Vec<u8> {
    let query = encoded.target.split_once('?').map_or("", |(_, query)| query);
    let field = |text: &[u8], key: &str| {
        form_urlencoded::parse(text).find(|(name, _)| name == key).map(|(_, value)| value.into_owned())
    };
    let data = match traffic.form {
        Form::Plain => encoded.body.clone(),
        Form::Urlencoded => field(&encoded.body, "data").unwrap().into_bytes(),
        Form::Query => field(query.as_bytes(), "data").unwrap().into_bytes(),
    };
    let decoded = |data: &[u8]| BASE64_STANDARD.decode(data).unwrap();
    let gunzipped = |data: &[u8]| {
        assert_eq!(data[..3], [0x1f, 0x8b, 0x08]);
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(data).read_to_end(&mut unpacked).unwrap();
        unpacked
    };
    match (traffic.compression, traffic.form) {
        (Compression::None, Form::Plain) => data,
        (Compression::None | Compression::Base64, _) => decoded(&data),
        (Compression::Gzip | Compression::GzipJs, Form::Plain) => gunzipped(&data),
        (Compression::Gzip | Compression::GzipJs, _) => gunzipped(&decoded(&data)),
        (Compression::Lz64, _) => {
            let units = lz_str::decompress_from_base64(str::from_utf8(&data).unwrap()).unwrap();
            String::from_utf16(&units).unwrap().into_bytes()
        }
    }
}

#[test]
fn every_form_and_compression_holds_the_same_json_and_says_what_it_is() {
    let (_, plain) = encoded(|traffic| traffic.endpoint = Endpoint::E);
    let compressions = [
        (Compression::None, None),
        (Compression::Gzip, None),
        (Compression::GzipJs, Some("compression=gzip-js")),
        (Compression::Base64, Some("compression=base64")),
        (Compression::Lz64, Some("compression=lz64")),
    ];
    for (compression, hint) in compressions {
        for form in [Form::Plain, Form::Urlencoded, Form::Query] {
            let change = |traffic: &mut Traffic| {
                (traffic.endpoint, traffic.compression, traffic.form) = (Endpoint::E, compression, form);
            };
            let (_, packed) = encoded(change);
            let mut traffic = Traffic::orderly(1, small().plan().traffic[0].arrival.clone());
            change(&mut traffic);
            assert_eq!(unpacked(&traffic, &packed), plain.body, "{compression:?} {form:?}");
            let said = format!("{} {}", packed.target, String::from_utf8_lossy(&packed.body));
            assert!(hint.is_none_or(|hint| said.contains(hint)), "{compression:?} {form:?}: {said}");
            assert!(packed.target.starts_with("/e/?") && packed.target.contains("_=17"), "{}", packed.target);
            assert_eq!(packed.method == Method::Get, form == Form::Query);
            assert_eq!(packed.body.is_empty(), form == Form::Query);
        }
    }
}

#[test]
fn however_it_is_spelt_an_event_says_whose_it_is() {
    let share = |share| crate::random::Share::new(share).unwrap();
    let mut plan = small().plan().clone();
    let traffic = &mut plan.traffic[0];
    (traffic.endpoint, traffic.spelling) = (Endpoint::Engage, share(0.8));
    traffic.persons.identify = share(0.0);
    let usual = Workload::new(small().plan().clone(), crate::persona::PersonaTable::make(42, 16));
    let workload = Workload::new(plan, crate::persona::PersonaTable::make(42, 16));
    let (mut encoder, mut seen) = (Encoder::default(), std::collections::BTreeMap::<String, u64>::new());
    for request in Requests::new(&workload, StreamId(0)) {
        let made = encoder.encode(&workload, &request, START, Vec::new()).unwrap();
        let path = made.target.split('?').next().unwrap();
        assert!(path == "/engage" || path == "/engage/", "{path}");
        *seen.entry(path.to_owned()).or_default() += 1;
        let body: Value = serde_json::from_slice(&made.body).unwrap();
        let events = match &body {
            Value::Array(events) => events.clone(),
            one => vec![one.clone()],
        };
        if events.len() == 1 {
            *seen.entry(format!("a list: {}", body.is_array())).or_default() += 1;
        }
        for (sent, event) in events.iter().zip(request.events(&workload)) {
            let found = |keys: &[&'static str]| {
                let all: Vec<_> = keys
                    .iter()
                    .filter_map(|key| Some((*key, sent.pointer(&format!("/{key}"))?.as_str()?.to_owned())))
                    .collect();
                assert_eq!(all.len(), 1, "{sent}");
                all[0].clone()
            };
            let (token_key, token) = found(&["api_key", "token", "$token", "properties/token"]);
            let (id_key, id) = found(&["distinct_id", "$distinct_id", "properties/distinct_id"]);
            assert_eq!((token.as_str(), id), ("phc_test", event.distinct_id.clone()));
            assert_eq!(sent.get("event").is_none(), event.oddities.spelling == Spelling::Nameless);
            assert!(sent.get("event").is_some() || event.name == "$identify");
            for key in [token_key, id_key, if sent.get("event").is_some() { "event" } else { "no event" }] {
                *seen.entry(key.to_owned()).or_default() += 1;
            }
        }
    }
    assert!(seen.len() == 13 && seen.values().all(|times| *times > 5), "{seen:?}");
    // What is not spelt in another way is what it was.
    for seq in (0..5_000).filter(|seq| workload.oddities(StreamId(0), *seq).is_plain()) {
        assert_eq!(
            workload.event(StreamId(0), seq).unwrap().properties.get("motto"),
            usual.event(StreamId(0), seq).unwrap().properties.get("motto")
        );
    }
}

#[test]
fn an_event_of_ai_stands_in_two_parts() {
    let (events, encoded) = encoded(|traffic| {
        (traffic.endpoint, traffic.batch) = (Endpoint::Ai, (1, 1));
        traffic.disorder.resend = crate::random::Share::default();
        traffic.persons.identify = crate::random::Share::default();
    });
    assert_eq!((encoded.target.as_str(), encoded.events), ("/i/v0/ai", 1));
    assert_eq!(encoded.headers, [(Cow::Borrowed("authorization"), "Bearer phc_test".to_owned())]);
    let boundary = encoded.content_type.split_once("boundary=").unwrap().1;
    let body = String::from_utf8(encoded.body).unwrap();
    let parts: Vec<&str> = body.split(&format!("--{boundary}")).collect();
    assert_eq!((parts.len(), parts[0], parts[3]), (4, "", "--\r\n"));
    let of = |part: &str| {
        let (head, text) = part.split_once("\r\n\r\n").unwrap();
        (head.trim().lines().next().unwrap().to_owned(), serde_json::from_str::<Value>(text).unwrap())
    };
    let ((first, event), (second, properties)) = (of(parts[1]), of(parts[2]));
    let disposition = |name| format!("Content-Disposition: form-data; name=\"{name}\"");
    assert_eq!((first, second), (disposition("event"), disposition("event.properties")));
    assert!(events[0].name.starts_with("$ai_") && event["event"] == events[0].name, "{event}");
    assert_eq!((&event["uuid"], event.get("properties")), (&Value::from(events[0].id.to_string()), None));
    assert!(event["sent_at"].is_string() && properties["$ai_model"] == "assay-1", "{event} {properties}");
}

/// The parts of a form: their headers, and what they hold.
fn parts_of<'b>(content_type: &str, body: &'b [u8]) -> Vec<(String, &'b [u8])> {
    let begin = format!("--{}\r\n", content_type.split_once("boundary=").unwrap().1).into_bytes();
    let find = |text: &[u8], what: &[u8]| text.windows(what.len()).position(|window| window == what);
    let mut parts = Vec::new();
    let mut left = body.strip_prefix(&*begin).unwrap();
    loop {
        let next = find(left, &begin);
        // The last one ends with the boundary and two dashes.
        let part = &left[..next.unwrap_or(left.len() - begin.len() - 2) - 2];
        let head = find(part, b"\r\n\r\n").unwrap();
        parts.push((String::from_utf8(part[..head].to_vec()).unwrap(), &part[head + 4..]));
        let Some(next) = next else { return parts };
        left = &left[next + begin.len()..];
    }
}

#[test]
fn properties_may_stand_in_the_event_and_contents_in_parts_of_their_own() {
    let share = |share| crate::random::Share::new(share).unwrap();
    let of = |change: &dyn Fn(&mut crate::workload::Extras)| {
        let mut plan = small().plan().clone();
        let traffic = &mut plan.traffic[0];
        (traffic.endpoint, traffic.batch, traffic.events) = (Endpoint::Ai, (1, 1), 400);
        traffic.disorder.resend = crate::random::Share::default();
        traffic.persons.identify = crate::random::Share::default();
        change(&mut traffic.extras);
        Workload::new(plan, crate::persona::PersonaTable::make(42, 16))
    };
    let workload = of(&|extras| {
        (extras.embedded, extras.blobs, extras.blob_size) = (share(0.5), share(0.5), (10, 5_000));
    });
    let usual = of(&|_| ());
    let (mut encoder, mut embedded, mut blobs) = (Encoder::default(), 0, 0);
    for request in Requests::new(&workload, StreamId(0)) {
        let made = encoder.encode(&workload, &request, START, Vec::new()).unwrap();
        let seq = request.seqs(&workload).next().unwrap().0;
        let event = workload.event(StreamId(0), seq).unwrap();
        let parts = parts_of(&made.content_type, &made.body);
        let is_named = |at: usize, name: &str| parts[at].0.contains(&format!("form-data; name=\"{name}\""));
        assert!(is_named(0, "event"));
        let sent: Value = serde_json::from_slice(parts[0].1).unwrap();
        let properties = match sent.get("properties") {
            Some(properties) => properties.clone(),
            None => serde_json::from_slice(parts[1].1).unwrap(),
        };
        assert_eq!(properties["$ai_model"], "assay-1");
        assert_eq!(
            (event.oddities.embedded, event.oddities.blobs),
            (sent.get("properties").is_some(), !event.blobs.is_empty())
        );
        let own = 1 + usize::from(!event.oddities.embedded);
        assert!(event.oddities.embedded || is_named(1, "event.properties"));
        assert_eq!(parts.len(), own + event.blobs.len());
        for (at, blob) in event.blobs.iter().enumerate() {
            let (head, content) = &parts[own + at];
            assert!(is_named(own + at, &format!("event.properties.{}", blob.property)), "{head}");
            assert!(head.contains(&format!("Content-Type: {}", blob.content_type)), "{head}");
            assert_eq!(head.contains("Content-Encoding: gzip"), blob.content_encoding.is_some());
            assert_eq!(*content, &*blob.bytes);
        }
        (embedded, blobs) =
            (embedded + usize::from(event.oddities.embedded), blobs + usize::from(event.oddities.blobs));
        // Beside that they are the events that they were.
        let other = usual.event(StreamId(0), seq).unwrap();
        assert_eq!((event.name, event.properties, event.members), (other.name, other.properties, other.members));
    }
    assert!((150..250).contains(&embedded) && (150..250).contains(&blobs), "{embedded} and {blobs}");
}

#[test]
fn what_must_be_refused_is_wrong_in_one_way() {
    let share = |share| crate::random::Share::new(share).unwrap();
    for endpoint in [Endpoint::Batch, Endpoint::E, Endpoint::V1] {
        let mut plan = small().plan().clone();
        plan.traffic[0].endpoint = endpoint;
        let faults = &mut plan.traffic[0].client.faults;
        (faults.bad_token, faults.empty_batch, faults.wrong_types) = (share(0.3), share(0.2), share(0.2));
        faults.bad_headers = share(if endpoint == Endpoint::V1 { 0.2 } else { 0.0 });
        let workload = Workload::new(plan, crate::persona::PersonaTable::make(42, 16));
        let (mut encoder, mut seen, mut twice, mut spoilt) = (Encoder::default(), [0; 4], 0, HashSet::new());
        for request in Requests::new(&workload, StreamId(0)) {
            let made = encoder.encode(&workload, &request, START, Vec::new()).unwrap();
            let text = String::from_utf8(made.body).unwrap();
            let body: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            let list = body.get("batch").unwrap_or(&body);
            let whole = made.headers.iter().map(|(_, value)| value.as_str()).collect::<String>() + &text;
            let held = request.seqs(&workload).count();
            assert_eq!(made.events, held as u64, "it is known which events are lost by it");
            let length = list.as_array().map_or(1, Vec::len);
            match request.fault(&workload) {
                Some(ClientFault::BadToken) => {
                    let has_stranger = whole.contains("phc_another_project");
                    assert_eq!(length, held + usize::from(has_stranger));
                    assert_eq!(has_stranger, whole.contains("phc_test"), "{whole}");
                    assert!(!has_stranger || endpoint == Endpoint::E, "whose events have tokens of their own");
                    seen[0] += 1;
                }
                Some(ClientFault::EmptyBatch) => {
                    assert_eq!(length, 0);
                    seen[1] += 1;
                }
                Some(ClientFault::WrongTypes) => {
                    assert_eq!(length, held + 1);
                    let uuids: Vec<_> = list.as_array().unwrap().iter().map(|event| &event["uuid"]).collect();
                    twice += u32::from(uuids.last() == uuids.first());
                    seen[2] += 1;
                }
                Some(ClientFault::BadHeaders) => {
                    assert_eq!(length, held, "nothing is wrong with the body");
                    spoilt.insert(v1_headers(&made.headers));
                }
                _ => {
                    assert!(whole.contains("phc_test") && length == held, "{whole}");
                    seen[3] += 1;
                }
            }
        }
        assert!(seen.iter().all(|times| *times > 10), "{seen:?}");
        assert_eq!((twice > 3, spoilt.len() > 8), (endpoint == Endpoint::V1, endpoint == Endpoint::V1), "{spoilt:?}");
        assert!(spoilt.iter().all(|headers| headers.iter().any(|header| header != "whole")), "{spoilt:?}");
    }
}

/// Each header that v1 wants: "whole", "missing", or what it says that cannot be right.
fn v1_headers(headers: &[Header]) -> Vec<String> {
    let is_whole = |name: &str, value: &str| match name {
        "authorization" => value == "Bearer phc_test",
        "posthog-attempt" => value.parse::<u32>().is_ok_and(|attempt| attempt > 0),
        "posthog-request-id" => uuid::Uuid::parse_str(value).is_ok(),
        "posthog-request-timestamp" => value.ends_with('Z'),
        "content-encoding" => value == "gzip",
        _ => !value.is_empty(),
    };
    [
        "authorization",
        "posthog-sdk-info",
        "posthog-attempt",
        "posthog-request-id",
        "posthog-request-timestamp",
        "content-encoding",
    ]
    .map(|name| match headers.iter().find(|(header, _)| *header == name) {
        Some((_, value)) if is_whole(name, value) => "whole".to_owned(),
        Some((_, value)) => value.clone(),
        // A body may be as it is.
        None if name == "content-encoding" => "whole".to_owned(),
        None => "missing".to_owned(),
    })
    .into()
}

#[test]
fn where_there_is_no_token_there_is_none_anywhere() {
    let share = |share| crate::random::Share::new(share).unwrap();
    for endpoint in [Endpoint::Batch, Endpoint::E, Endpoint::Engage, Endpoint::V1, Endpoint::Ai] {
        let mut plan = small().plan().clone();
        (plan.traffic[0].endpoint, plan.traffic[0].spelling) = (endpoint, share(0.5));
        (plan.traffic[0].disorder.no_sent_at, plan.traffic[0].client.faults.no_token) = (share(0.5), share(1.0));
        let workload = Workload::new(plan, crate::persona::PersonaTable::make(42, 16));
        let mut encoder = Encoder::default();
        for request in Requests::new(&workload, StreamId(0)).take(100) {
            let made = encoder.encode(&workload, &request, START, Vec::new()).unwrap();
            let text = String::from_utf8(made.body).unwrap();
            let has_key = ["api_key", "token\":", "phc_test"].iter().any(|key| text.contains(key));
            assert!(!has_key && !made.headers.iter().any(|(header, _)| *header == "authorization"), "{text}");
            assert!(endpoint == Endpoint::Ai || serde_json::from_str::<Value>(&text).is_ok(), "{text}");
        }
    }
}

#[test]
fn a_compression_that_nobody_knows_is_named_where_the_first_bytes_tell() {
    let share = crate::random::Share::new(0.5).unwrap();
    for (endpoint, compression) in [
        (Endpoint::Batch, Compression::None),
        (Endpoint::E, Compression::Gzip),
        (Endpoint::E, Compression::GzipJs),
        (Endpoint::E, Compression::Lz64),
    ] {
        let mut plan = small().plan().clone();
        (plan.traffic[0].endpoint, plan.traffic[0].compression) = (endpoint, compression);
        let usual = Workload::new(plan.clone(), crate::persona::PersonaTable::make(42, 16));
        plan.traffic[0].unknown_compression = share;
        let workload = Workload::new(plan, crate::persona::PersonaTable::make(42, 16));
        let (mut encoder, mut seen) = (Encoder::default(), HashSet::new());
        for request in Requests::new(&workload, StreamId(0)).take(200) {
            let mut encode = |workload| encoder.encode(workload, &request, START, Vec::new()).unwrap();
            let (made, before) = (encode(&workload), encode(&usual));
            assert_eq!((made.body, made.content_type), (before.body, before.content_type));
            let query = made.target.split_once('?').map_or("", |(_, query)| query);
            seen.extend(query.split('&').filter_map(|pair| pair.strip_prefix("compression=")).map(str::to_owned));
        }
        let known = match compression {
            Compression::GzipJs => Some("gzip-js"),
            Compression::Lz64 => Some("lz64"),
            _ => None,
        };
        let unknown = seen.iter().filter(|word| Some(word.as_str()) != known).count();
        assert_eq!(unknown, if compression == Compression::Lz64 { 0 } else { 4 }, "{compression:?} {seen:?}");
        assert_eq!(known.is_some_and(|known| seen.contains(known)), known.is_some(), "{seen:?}");
    }
}

#[test]
fn what_v1_refuses_by_itself_is_wrong_in_one_way() {
    let mut plan = small().plan().clone();
    (plan.traffic[0].endpoint, plan.traffic[0].extras.refused) =
        (Endpoint::V1, crate::random::Share::new(0.2).unwrap());
    let workload = Workload::new(plan, crate::persona::PersonaTable::make(42, 16));
    let (mut encoder, mut seen) = (Encoder::default(), [0; 5]);
    for request in Requests::new(&workload, StreamId(0)) {
        let made = encoder.encode(&workload, &request, START, Vec::new()).unwrap();
        let body: Value = serde_json::from_slice(&made.body).unwrap();
        for (event, sent) in request.events(&workload).zip(body["batch"].as_array().unwrap()) {
            assert_eq!(sent["uuid"], event.id.to_string(), "a result is told of it");
            let wrong = [
                sent["event"] == "",
                sent["distinct_id"].as_str().unwrap().trim().is_empty(),
                !sent["timestamp"].as_str().unwrap().ends_with('Z'),
                !sent["properties"].is_object(),
            ];
            let place = wrong.iter().position(|is_wrong| *is_wrong);
            assert_eq!(wrong.iter().filter(|is_wrong| **is_wrong).count(), usize::from(place.is_some()), "{sent}");
            assert_eq!(event.oddities.refused.is_some(), place.is_some(), "{sent}");
            assert!(place.is_none() || event.name != "$identify" || event.ids_of_person.len() == 1, "{sent}");
            seen[place.unwrap_or(4)] += 1;
        }
    }
    assert!(seen[..4].iter().all(|times| *times > 150) && seen[4] > 3_500, "{seen:?}");
}

#[test]
fn odd_events_are_whole_json_and_say_what_they_mean() {
    let workload = odd();
    let (mut encoder, mut seen) = (Encoder::default(), [0; 6]);
    for (_, request) in Timetable::new(&workload, Shard::WHOLE) {
        let made = encoder.encode(&workload, &request, START, Vec::new()).unwrap();
        let body: Body<'_> = serde_json::from_slice(&made.body).unwrap();
        assert_eq!(body.sent_at.is_some(), workload.says_sent_at(&request));
        seen[0] += usize::from(body.sent_at.is_none());
        let clock = request.clock(&workload, START);
        for (sent, (seq, again)) in body.batch.iter().zip(request.seqs(&workload)) {
            let event = workload.event(request.stream, seq).unwrap();
            assert_eq!(sent.uuid.as_deref(), (!event.oddities.no_uuid).then(|| event.id.to_string()).as_deref());
            assert_eq!(sent.event, event.name);
            let id = serde_json::to_string(&event.distinct_id).unwrap();
            assert_eq!(sent.distinct_id.get(), event.distinct_id_json.as_deref().unwrap_or(&id));
            let said = clock.said(event.oddities, event.occurred_micros);
            assert_eq!(sent.offset, said.offset_ms);
            assert_eq!(sent.timestamp.is_some(), said.timestamp_ms.is_some());
            let properties = sent.properties.get();
            assert!(properties.contains(&format!("\"assay_id\":\"{}\"", event.id)));
            for Member { key, value } in &event.members {
                assert!(properties.contains(&format!("\"{key}\":{value}")), "{key}");
            }
            let is_altered = properties.contains(crate::workload::ALTERED.1);
            assert_eq!(is_altered, again && event.oddities.altered);
            let counts = [event.oddities.no_uuid, sent.offset.is_some(), sent.timestamp.is_none(), is_altered];
            seen[1..5].iter_mut().zip(counts).for_each(|(seen, count)| *seen += usize::from(count));
            seen[5] += usize::from(event.distinct_id_json.is_some());
        }
    }
    assert!(seen.iter().all(|seen| *seen > 5), "{seen:?}");
}

#[test]
fn names_and_ids_that_hurt_stand_there_as_they_are_meant() {
    use crate::workload::Hostile;
    #[derive(serde::Deserialize)]
    struct Raw<'a> {
        #[serde(borrow)]
        batch: Vec<std::collections::BTreeMap<String, &'a RawValue>>,
    }
    let mut plan = odd().plan().clone();
    plan.traffic[0].extras.kinds = vec![Hostile::HostileName, Hostile::HostileDistinctId];
    let workload = Workload::new(plan, crate::persona::PersonaTable::make(42, 16));
    let (mut encoder, mut seen) = (Encoder::default(), [0; 2]);
    for request in Requests::new(&workload, StreamId(0)) {
        let made = encoder.encode(&workload, &request, START, Vec::new()).unwrap();
        let body: Raw<'_> = serde_json::from_slice(&made.body).unwrap();
        for (sent, event) in body.batch.iter().zip(request.events(&workload)) {
            let quoted = |text: &str| serde_json::to_string(text).unwrap();
            let expected = [
                ("event", event.name_json.clone().unwrap_or_else(|| quoted(&event.name))),
                ("distinct_id", event.distinct_id_json.clone().unwrap_or_else(|| quoted(&event.distinct_id))),
            ];
            for (seen, (key, json)) in seen.iter_mut().zip(expected) {
                assert_eq!(sent[key].get(), json);
                *seen += usize::from(json.contains("\\ud83d") || json.contains("\\u0000"));
            }
        }
    }
    assert!(seen.iter().all(|seen| *seen > 100), "{seen:?}");
}

#[derive(serde::Deserialize)]
struct Body<'a> {
    sent_at: Option<String>,
    #[serde(borrow)]
    batch: Vec<Sent<'a>>,
}

#[derive(serde::Deserialize)]
struct Sent<'a> {
    uuid: Option<String>,
    event: String,
    #[serde(borrow)]
    distinct_id: &'a RawValue,
    timestamp: Option<String>,
    offset: Option<i64>,
    #[serde(borrow)]
    properties: &'a RawValue,
}

#[test]
fn v1_says_project_attempt_and_clock_in_headers() {
    let of = |retry| {
        let mut plan = small().plan().clone();
        plan.traffic[0].endpoint = Endpoint::V1;
        plan.traffic[0].disorder.clock_skew = crate::random::Distribution::default();
        let workload = Workload::new(plan, crate::persona::PersonaTable::make(42, 16));
        let request = Request { retry, ..Requests::new(&workload, StreamId(0)).nth(3).unwrap() };
        Encoder::default().encode(&workload, &request, START, Vec::new()).unwrap()
    };
    let retry = Retry { attempt: 2, due: Duration::ZERO, built: Duration::from_millis(7) };
    let (first, second) = (of(None), of(Some(retry)));
    let header = |made: &Encoded, name: &str| {
        made.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()).unwrap()
    };
    assert_eq!(first.target, "/i/v1/analytics/events");
    assert_eq!(header(&first, "authorization"), "Bearer phc_test");
    assert_eq!(header(&first, "posthog-sdk-info"), "assay/4.0.0");
    assert_eq!((header(&first, "posthog-attempt"), header(&second, "posthog-attempt")), ("1".into(), "2".into()));
    assert_eq!(header(&first, "posthog-request-id"), header(&second, "posthog-request-id"));
    uuid::Uuid::parse_str(&header(&first, "posthog-request-id")).unwrap();
    assert_eq!(header(&second, "posthog-request-timestamp"), "2026-09-21T14:13:20.007Z");
    let body: Value = serde_json::from_slice(&first.body).unwrap();
    assert!(body["created_at"].is_string() && body.get("api_key").is_none() && body.get("sent_at").is_none());
    let event = &body["batch"][0];
    assert!(event.get("api_key").is_none() && event["uuid"].is_string() && event["timestamp"].is_string());
}

#[test]
fn a_retry_says_when_it_was_built_and_in_a_browser_the_how_manieth_it_is() {
    let target = |profile, endpoint, retry| {
        let mut plan = small().plan().clone();
        let traffic = &mut plan.traffic[0];
        (traffic.client.profile, traffic.endpoint) = (profile, endpoint);
        traffic.disorder.clock_skew = crate::random::Distribution::default();
        let workload = Workload::new(plan, crate::persona::PersonaTable::make(42, 16));
        let request = Request { retry, ..Requests::new(&workload, StreamId(0)).next().unwrap() };
        let made = Encoder::default().encode(&workload, &request, START, Vec::new()).unwrap();
        (made.target, String::from_utf8(made.body).unwrap())
    };
    let retry = Some(Retry { attempt: 3, due: Duration::ZERO, built: Duration::from_micros(7_999) });
    let (target_of_retry, _) = target(Profile::PosthogJs, Endpoint::E, retry);
    assert_eq!(target_of_retry, "/e/?retry_count=2&_=1790000000007");
    assert!(!target(Profile::PosthogJs, Endpoint::E, None).0.contains("retry_count"));
    assert_eq!(target(Profile::PosthogRs, Endpoint::IV0E, retry).0, "/i/v0/e/?_=1790000000007");
    let (_, body) = target(Profile::PosthogPython, Endpoint::Batch, retry);
    assert!(body.contains("\"sent_at\":\"2026-09-21T14:13:20.007Z\""), "{}", &body[..80]);
    // Nothing else of the body differs from the first attempt's.
    let (_, first) = target(Profile::Assay, Endpoint::Batch, None);
    let events = |body: &str| body.split_once("\"batch\":").unwrap().1.to_owned();
    assert_eq!(events(&body), events(&first));
}

#[test]
fn what_a_page_sends_as_it_is_closed_says_so_and_differs_in_nothing_else() {
    let of = |beacon: f64| {
        let mut plan = small().plan().clone();
        let traffic = &mut plan.traffic[0];
        (traffic.endpoint, traffic.compression) = (Endpoint::E, Compression::GzipJs);
        traffic.client.profile = Profile::PosthogJs;
        traffic.client.beacon = crate::random::Share::new(beacon).unwrap();
        traffic.client.faults.empty_batch = crate::random::Share::new(0.1).unwrap();
        Workload::new(plan, crate::persona::PersonaTable::make(42, 16))
    };
    let (with, without) = (of(0.3), of(0.0));
    let (mut encoder, mut beacons, mut requests) = (Encoder::default(), 0, 0);
    for request in Requests::new(&with, StreamId(0)) {
        let mut made = encoder.encode(&with, &request, START, Vec::new()).unwrap();
        assert_eq!(made.content_type, "text/plain");
        let is_beacon = made.target.ends_with("&beacon=1");
        assert_eq!(is_beacon, with.is_beacon(&request));
        assert!(!is_beacon || request.fault(&with).is_none());
        if is_beacon {
            made.target.truncate(made.target.len() - "&beacon=1".len());
        }
        assert_eq!(made, encoder.encode(&without, &request, START, Vec::new()).unwrap());
        let retry = Some(Retry { attempt: 2, due: Duration::ZERO, built: Duration::ZERO });
        assert!(!with.is_beacon(&Request { retry, ..request.clone() }), "of which nobody knows that it failed");
        (beacons, requests) = (beacons + u64::from(is_beacon), requests + 1);
    }
    assert!((20..35).contains(&(100 * beacons / requests)), "{beacons} of {requests}");
}

#[test]
fn gzip_holds_the_same_json() {
    let (_, plain) = encoded(|_| ());
    let (_, packed) = encoded(|traffic| traffic.compression = Compression::Gzip);
    assert_eq!(packed.body[..3], [0x1f, 0x8b, 0x08]);
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain.body);
}

#[test]
fn bytes_are_pinned() {
    let mut plan = small().plan().clone();
    let mut single = plan.traffic[0].clone();
    (single.endpoint, single.batch) = (Endpoint::E, (1, 3));
    plan.traffic.push(single);
    let crc = |workload: &Workload| {
        let (mut encoder, mut crc) = (Encoder::default(), crc32fast::Hasher::new());
        for (_, request) in Timetable::new(workload, Shard::WHOLE) {
            let made = encoder.encode(workload, &request, START, Vec::new()).unwrap();
            crc.update(made.target.as_bytes());
            crc.update(&made.body);
        }
        crc.finalize()
    };
    let usual = crc(&Workload::new(plan, crate::persona::PersonaTable::make(42, 16)));
    // Whoever changes these raises the version and all numbers.
    assert_eq!((crate::workload::WORKLOAD_VERSION, usual, crc(&odd())), (6, 3_693_948_452, 328_589_941));
}

/// What makes a form of traffic of the small one.
type Change = Box<dyn Fn(&mut Traffic)>;

/// Every form of traffic.
fn forms() -> Vec<(&'static str, Change)> {
    let rate = |events| Rate::new(events, Duration::from_secs(1)).unwrap();
    let share = |share| crate::random::Share::new(share).unwrap();
    let seconds = Duration::from_secs;
    let ahead = crate::random::Distribution::Uniform { from: seconds(60), to: seconds(3_600) };
    let form = |endpoint, form, compression| {
        move |traffic: &mut Traffic| {
            (traffic.endpoint, traffic.form, traffic.compression) = (endpoint, form, compression);
            traffic.disorder.resend = crate::random::Share::default();
            if endpoint.takes_one() {
                traffic.batch = (1, 1);
            }
        }
    };
    let arrival = |arrival: Arrival| move |traffic: &mut Traffic| traffic.arrival = arrival.clone();
    vec![
        ("poisson", Box::new(arrival(Arrival::Poisson { rate: rate(700) }))),
        ("ramp", Box::new(arrival(Arrival::Ramp { from: rate(10), to: rate(2_000), over: seconds(2) }))),
        (
            "step",
            Box::new(arrival(Arrival::Step {
                steps: [100, 3_000].map(|events| Step { rate: rate(events), lasting: seconds(1) }).into(),
            })),
        ),
        (
            "burst",
            Box::new(arrival(Arrival::Burst {
                rate: rate(100),
                burst: rate(2_000),
                every: seconds(2),
                lasting: Duration::from_millis(300),
            })),
        ),
        ("diurnal", Box::new(arrival(Arrival::Diurnal { low: rate(100), high: rate(900), period: seconds(3) }))),
        ("hot persons", Box::new(move |traffic| (traffic.persons.hot, traffic.persons.hot_count) = (share(0.3), 2))),
        ("names", Box::new(move |traffic| traffic.names = vec![("a".into(), 3), ("b".into(), 1)])),
        ("ahead", Box::new(move |traffic| (traffic.disorder.ahead, traffic.disorder.ahead_by) = (share(0.2), ahead))),
        ("historical", Box::new(move |traffic| traffic.historical = true)),
        ("elements", Box::new(move |traffic| traffic.extras.elements = share(0.3))),
        ("v1", Box::new(form(Endpoint::V1, Form::Plain, Compression::None))),
        ("capture", Box::new(form(Endpoint::Capture, Form::Plain, Compression::None))),
        ("track in a form, base64", Box::new(form(Endpoint::Track, Form::Urlencoded, Compression::Base64))),
        ("engage in a query", Box::new(form(Endpoint::Engage, Form::Query, Compression::None))),
        ("i/v0/e, lz64", Box::new(form(Endpoint::IV0E, Form::Plain, Compression::Lz64))),
        ("gzip", Box::new(form(Endpoint::Batch, Form::Plain, Compression::Gzip))),
        ("gzip-js", Box::new(form(Endpoint::E, Form::Plain, Compression::GzipJs))),
        ("spelling", Box::new(move |traffic| (traffic.endpoint, traffic.spelling) = (Endpoint::E, share(0.5)))),
        ("illegal aliases", Box::new(move |traffic| traffic.persons.illegal_alias = share(0.2))),
        ("other fields", Box::new(move |traffic| traffic.extras.fields = share(0.2))),
        (
            "other fields of v1",
            Box::new(move |traffic| (traffic.endpoint, traffic.extras.fields) = (Endpoint::V1, share(0.2))),
        ),
        ("empty uuids", Box::new(move |traffic| traffic.disorder.empty_uuid = share(0.2))),
        ("v1 for AI", Box::new(form(Endpoint::AiV1, Form::Plain, Compression::None))),
        ("AI in parts", Box::new(form(Endpoint::Ai, Form::Plain, Compression::None))),
        ("recordings", Box::new(form(Endpoint::Recordings, Form::Plain, Compression::None))),
        (
            "what is refused",
            Box::new(move |traffic| {
                let faults = &mut traffic.client.faults;
                (faults.bad_token, faults.empty_batch, faults.wrong_types) = (share(0.2), share(0.2), share(0.2));
            }),
        ),
        (
            "what v1 refuses",
            Box::new(move |traffic| {
                traffic.endpoint = Endpoint::V1;
                let faults = &mut traffic.client.faults;
                (faults.bad_headers, faults.wrong_types) = (share(0.4), share(0.3));
            }),
        ),
        (
            "base64, spelt",
            Box::new(move |traffic| {
                (traffic.endpoint, traffic.compression, traffic.spelling) =
                    (Endpoint::Track, Compression::Base64, share(0.5));
            }),
        ),
        (
            "no token, unknown compressions",
            Box::new(move |traffic| {
                traffic.client.faults.no_token = share(0.3);
                (traffic.compression, traffic.unknown_compression) = (Compression::GzipJs, share(0.5));
            }),
        ),
        (
            "what v1 refuses event by event",
            Box::new(move |traffic| (traffic.endpoint, traffic.extras.refused) = (Endpoint::V1, share(0.3))),
        ),
        ("times in other forms", Box::new(move |traffic| traffic.disorder.time_spelling = share(0.5))),
    ]
}

/// A line with the checksum of all that a form of traffic sends: moments, targets, headers and bodies.
fn checksum(name: &str, change: impl Fn(&mut Traffic)) -> String {
    let mut plan = small().plan().clone();
    plan.traffic[0].events = 600;
    change(&mut plan.traffic[0]);
    let workload = Workload::new(plan, crate::persona::PersonaTable::make(42, 16));
    let (mut encoder, mut crc, mut shares) = (Encoder::default(), crc32fast::Hasher::new(), Vec::new());
    for shard in 1..=2 {
        let mut share = 0;
        for (due, request) in Timetable::new(&workload, Shard::new(shard, 2).unwrap()) {
            let made = encoder.encode(&workload, &request, START, Vec::new()).unwrap();
            crc.update(&due.as_nanos().to_le_bytes());
            crc.update(made.target.as_bytes());
            for (header, value) in &made.headers {
                crc.update(header.as_bytes());
                crc.update(value.as_bytes());
            }
            crc.update(&made.body);
            share += 1;
        }
        shares.push(share);
    }
    format!("{name}: {:08x}, requests of two shares {shares:?}", crc.finalize())
}

/// A checksum of all that is sent, target, headers and body, for each form of traffic. A change of any of them raises
/// `WORKLOAD_VERSION`, and with it the name of this snapshot: those of earlier versions stay what they are.
#[test]
fn bytes_of_every_form_are_pinned_under_their_version() {
    let told: Vec<_> = forms().into_iter().map(|(name, change)| checksum(name, change)).collect();
    insta::assert_snapshot!(format!("bytes_of_workload_{}", crate::workload::WORKLOAD_VERSION), told.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_quick_way_writes_what_the_plain_way_writes(
        seed in any::<u64>(),
        endpoint in prop::sample::select(vec![Endpoint::Batch, Endpoint::E, Endpoint::Capture, Endpoint::IV0E]),
        most in 1u64..30,
        identify in 0.0f64..1.0,
        skew in 0u64..1 << 40,
        token in "[a-z\"\\\\é]{1,8}",
    ) {
        let mut plan = small().plan().clone();
        plan.seed = seed;
        let traffic = &mut plan.traffic[0];
        traffic.endpoint = endpoint;
        traffic.batch = (1, if endpoint == Endpoint::Capture { 1 } else { most });
        traffic.persons.identify = crate::random::Share::new(identify).unwrap();
        traffic.disorder.clock_skew =
            crate::random::Distribution::Constant { value: Duration::from_micros(skew) };
        traffic.token = token;
        let workload = Workload::new(plan, crate::persona::PersonaTable::make(seed, 16));
        let mut encoder = Encoder::default();
        for request in Requests::new(&workload, StreamId(0)).step_by(17) {
            let quick = encoder.encode(&workload, &request, START, Vec::new()).unwrap();
            let plain = plain::body(&workload, &request, START).unwrap();
            prop_assert_eq!(str::from_utf8(&quick.body).unwrap(), str::from_utf8(&plain).unwrap());
            prop_assert_eq!(quick.events, request.seqs(&workload).count() as u64);
        }
    }
}

/// The same for forms that came after that snapshot was taken, which is not to change any more.
#[test]
fn bytes_of_later_forms_are_pinned_under_their_version() {
    use crate::workload::Hostile;
    let share = |share| crate::random::Share::new(share).unwrap();
    let told = [
        checksum("groups.identify", |traffic| {
            let extras = &mut traffic.extras;
            (extras.group_identify, extras.group_types, extras.groups) = (share(0.3), 7, 20);
        }),
        checksum("names and ids that hurt", |traffic| {
            let extras = &mut traffic.extras;
            (extras.hostile, extras.kinds) = (share(0.5), vec![Hostile::HostileName, Hostile::HostileDistinctId]);
        }),
        checksum("what is said twice", |traffic| traffic.extras.twice = share(0.3)),
        checksum("what is said twice, each by itself", |traffic| {
            (traffic.endpoint, traffic.extras.twice) = (Endpoint::E, share(0.3));
        }),
        checksum("beacons", |traffic| {
            (traffic.endpoint, traffic.client.profile) = (Endpoint::E, Profile::PosthogJs);
            (traffic.compression, traffic.client.beacon) = (Compression::GzipJs, share(0.3));
        }),
    ];
    insta::assert_snapshot!(format!("bytes_of_later_forms_{}", crate::workload::WORKLOAD_VERSION), told.join("\n"));
}

#[test]
fn what_is_said_twice_has_its_meaning_last() {
    use crate::workload::{DECOY_PROPERTY, Twice};
    let of = |endpoint| {
        let mut plan = small().plan().clone();
        (plan.traffic[0].endpoint, plan.traffic[0].batch) = (endpoint, (1, 1));
        plan.traffic[0].disorder.resend = crate::random::Share::default();
        plan.traffic[0].extras.twice = crate::random::Share::new(0.5).unwrap();
        Workload::new(plan, crate::persona::PersonaTable::make(42, 16))
    };
    let mut seen = std::collections::BTreeMap::new();
    for endpoint in [Endpoint::Batch, Endpoint::Engage, Endpoint::Capture] {
        let workload = of(endpoint);
        for request in Requests::new(&workload, StreamId(0)) {
            let event = request.events(&workload).next().unwrap();
            let made = Encoder::default().encode(&workload, &request, START, Vec::new()).unwrap();
            let text = str::from_utf8(&made.body).unwrap();
            // A reader that takes the last sees what was meant.
            let body: Value = serde_json::from_slice(&made.body).unwrap();
            let sent = if endpoint == Endpoint::Batch { &body["batch"][0] } else { &body };
            let (name, id) = (sent["event"].as_str(), sent["distinct_id"].as_str());
            assert_eq!((name, id), (Some(event.name.as_str()), Some(event.distinct_id.as_str())));
            assert_eq!(sent["properties"].as_object().map(serde_json::Map::len), Some(event.properties.len()));
            let count = |key: &str| text.matches(&format!("\"{key}\":")).count();
            let (first, api_keys) = (text.contains("first of two"), count("api_key"));
            let (expected, is_there) = match event.oddities.twice {
                Some(Twice::Event | Twice::DistinctId | Twice::Property) => ((true, 1), true),
                Some(Twice::Properties) => ((false, 1), count(DECOY_PROPERTY) == 1 && count("properties") == 2),
                Some(Twice::Token) => ((false, 1), count("token") == 1),
                Some(Twice::BatchToken) => ((false, 2), body["api_key"] == "phc_test"),
                None => ((false, 1), count(DECOY_PROPERTY) == 0),
            };
            assert_eq!(((first, api_keys), is_there), (expected, true), "{text}");
            *seen.entry((endpoint.path(), event.oddities.twice.map(|twice| format!("{twice:?}")))).or_insert(0) += 1;
        }
    }
    assert_eq!(seen.len(), 6 + 5 + 6, "{seen:?}");
    assert!(seen.values().all(|count| *count > 300), "{seen:?}");
}
