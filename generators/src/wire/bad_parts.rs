//! Forms of several parts that a capture must refuse, each for one reason (rust/capture, `ai_endpoint.rs` and `ai_rejection.rs`).

use super::parts::{end, write_blob, write_part};
use crate::random::Random;

/// A whole event, but for the properties.
const EVENT: &str = r#"{"event":"$ai_generation","distinct_id":"bad","uuid":"00000000-0000-4000-8000-000000000bad","timestamp":"2026-01-01T00:00:00Z"}"#;
const PROPERTIES: &str = r#"{"$ai_model":"assay-1"}"#;
const JSON: Option<&str> = Some("application/json");
/// An event's own part may be this long (`MAX_EVENT_SIZE`).
const EVENT_LIMIT: usize = 32 << 10;
/// It and the properties together (`MAX_COMBINED_SIZE`).
const BOTH_LIMIT: usize = 960 << 10;

/// What is wrong with a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    /// The properties stand before the event.
    Order,
    /// The event is not of AI.
    Name,
    /// There are properties in the event, and others beside it.
    TwoSources,
    /// There are two events.
    TwoEvents,
    /// A part belongs to nothing.
    Stranger,
    /// A content is there twice.
    TwoContents,
    /// A content is empty.
    EmptyContent,
    /// A content is of a type that is not taken.
    Type,
    /// A content does not say its type.
    NoType,
    /// A content is one of a property's property.
    Nested,
    /// The event's own part is too long.
    LongEvent,
    /// It and the properties together are.
    LongProperties,
}

const ALL: [Wrong; 12] = [
    Wrong::Order,
    Wrong::Name,
    Wrong::TwoSources,
    Wrong::TwoEvents,
    Wrong::Stranger,
    Wrong::TwoContents,
    Wrong::EmptyContent,
    Wrong::Type,
    Wrong::NoType,
    Wrong::Nested,
    Wrong::LongEvent,
    Wrong::LongProperties,
];

/// Appends one of them.
pub(super) fn write(random: &mut Random, body: &mut Vec<u8>) {
    let wrong = random.pick(&ALL).copied().unwrap_or(Wrong::Order);
    wrong.write(body);
    end(body);
}

impl Wrong {
    fn write(self, body: &mut Vec<u8>) {
        let with = |more: &str| EVENT.replace('}', &format!(",{more}}}"));
        let filler = |length| format!("\"filler\":\"{}\"", "x".repeat(length));
        let event = match self {
            Self::Name => EVENT.replace("$ai_generation", "$pageview"),
            Self::TwoSources => with(&format!("\"properties\":{PROPERTIES}")),
            Self::LongEvent => with(&filler(EVENT_LIMIT)),
            _ => EVENT.to_owned(),
        };
        let properties = match self {
            Self::LongProperties => PROPERTIES.replace('}', &format!(",{}}}", filler(BOTH_LIMIT))),
            _ => PROPERTIES.to_owned(),
        };
        let mut parts = [("event", event), ("event.properties", properties)];
        if self == Self::Order {
            parts.reverse();
        }
        for (name, text) in &parts {
            write_part(name, text.as_bytes(), body);
        }
        match self {
            Self::TwoEvents => write_part("event", EVENT.as_bytes(), body),
            Self::Stranger => write_part("attachment", b"{}", body),
            Self::TwoContents => {
                write_blob("$ai_input", JSON, None, b"[1]", body);
                write_blob("$ai_input", JSON, None, b"[2]", body);
            }
            Self::EmptyContent => write_blob("$ai_input", JSON, None, b"", body),
            Self::Type => write_blob("$ai_input", Some("image/png"), None, b"\x89PNG", body),
            Self::NoType => write_blob("$ai_input", None, None, b"[]", body),
            Self::Nested => write_blob("$ai_input.content", JSON, None, b"[]", body),
            Self::Order | Self::Name | Self::TwoSources | Self::LongEvent | Self::LongProperties => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        identity::StreamId,
        random::{Purpose, Source},
    };

    #[test]
    fn every_reason_comes_up_and_each_is_another_form() {
        let forms: BTreeSet<Vec<u8>> = (0..500)
            .map(|index| {
                let mut body = Vec::new();
                write(&mut Source::new(1, StreamId(0), Purpose::Garbage).at(index), &mut body);
                body
            })
            .collect();
        assert_eq!(forms.len(), ALL.len());
        let long = forms.iter().filter(|form| form.len() > EVENT_LIMIT).count();
        assert_eq!(long, 2, "two are too long");
    }
}
