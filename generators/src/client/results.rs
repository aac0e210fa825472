//! Reading a reply that has a result for each event (rust/capture/src/v1/analytics/response.rs).

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    identity::EventId,
    ledger::{Answer, DropWord, EventResult},
};

/// What a success says of a request of `events` events; `None` if it says nothing of single ones.
pub(super) fn read(body: &[u8], events: u64) -> Option<Answer> {
    #[derive(Deserialize)]
    struct Reply {
        results: Results,
    }
    if !body.starts_with(b"{\"results\"") {
        return None;
    }
    let Ok(Reply { results }) = serde_json::from_slice(body) else {
        // It promised results, and there are none to be had.
        return Some(Answer::Results { exceptions: Vec::new(), complete: false });
    };
    let complete = results.told == events;
    if complete && results.exceptions.is_empty() {
        return Some(Answer::Reply { status: 200, excerpt: String::new() });
    }
    Some(Answer::Results { exceptions: results.exceptions, complete })
}

/// How many events were told of, and those that are not simply stored.
#[derive(Default)]
struct Results {
    told: u64,
    exceptions: Vec<(u64, EventResult)>,
}

#[derive(Deserialize)]
struct Status<'a> {
    #[serde(borrow)]
    result: Cow<'a, str>,
    #[serde(borrow, default)]
    details: Option<&'a RawValue>,
}

impl Status<'_> {
    /// Why the event was dropped; details that are no text say nothing.
    fn word(&self) -> DropWord {
        let text: Option<Cow<'_, str>> = self.details.and_then(|details| serde_json::from_str(details.get()).ok());
        text.map_or(DropWord::OTHER, |text| DropWord::of(&text))
    }
}

impl<'de> Deserialize<'de> for Results {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ByUuid;
        impl<'de> Visitor<'de> for ByUuid {
            type Value = Results;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a result for each uuid")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Results, A::Error> {
                let mut results = Results::default();
                while let Some((uuid, status)) = map.next_entry::<Uuid, Status<'_>>()? {
                    let Ok(id) = EventId::from_uuid(uuid) else { continue };
                    results.told += 1;
                    let exception = match &*status.result {
                        "ok" | "warning" => continue,
                        "drop" => EventResult::Drop(status.word()),
                        "retry" => EventResult::Retry,
                        _ => EventResult::Unknown,
                    };
                    results.exceptions.push((id.seq, exception));
                }
                Ok(results)
            }
        }
        deserializer.deserialize_map(ByUuid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{RunId, StreamId};

    #[test]
    fn what_a_reply_says_of_each_event() {
        let uuid = |seq| EventId { run: RunId::new(1), stream: StreamId(0), seq }.to_string();
        let body = |results: &[(u64, &str)]| {
            let all: Vec<_> = results.iter().map(|(seq, result)| format!("\"{}\":{{{result}}}", uuid(*seq))).collect();
            format!("{{\"results\":{{{}}}}}", all.join(","))
        };
        let (ok, warning) = (r#""result":"ok""#, r#""result":"warning","details":"person_processing_disabled""#);
        let (drop, retry) = (r#""result":"drop","details":"billing_limit_exceeded""#, r#""result":"retry""#);
        let over = EventResult::Drop(DropWord::of("billing_limit_exceeded"));
        let all_stored = Some(Answer::Reply { status: 200, excerpt: String::new() });
        let results = |exceptions: &[(u64, EventResult)], complete| {
            Some(Answer::Results { exceptions: exceptions.to_vec(), complete })
        };
        for (body, expected) in [
            (body(&[(0, ok), (1, warning)]), all_stored),
            (body(&[(0, drop), (1, ok)]), results(&[(0, over)], true)),
            (body(&[(0, retry), (7, drop)]), results(&[(0, EventResult::Retry), (7, over)], true)),
            (
                body(&[(0, ok), (1, r#""result":"drop","details":[]"#)]),
                results(&[(1, EventResult::Drop(DropWord::OTHER))], true),
            ),
            (body(&[(0, ok)]), results(&[], false)),
            (body(&[(0, ok), (1, r#""result":"maybe""#)]), results(&[(1, EventResult::Unknown)], true)),
            (r#"{"results":{"x":1}}"#.to_owned(), results(&[], false)),
            (r#"{"results""#.to_owned(), results(&[], false)),
            (r#"{"status":"Ok"}"#.to_owned(), None),
        ] {
            assert_eq!(read(body.as_bytes(), 2), expected, "{body}");
        }
    }
}
