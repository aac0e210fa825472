//! What capture writes to Kafka and the ingester reads (rust/common/types/src/event.rs, `CapturedEvent`).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::json_text::nested;

/// The header that forbids a person (`CapturedEventHeaders`).
pub const NO_PERSON_HEADER: &str = "force_disable_person_processing";

/// A message of the capture topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedEvent<'a> {
    /// The event's uuid, the client's own or minted.
    #[serde(borrow)]
    pub uuid: Cow<'a, str>,
    /// At most 200 characters.
    #[serde(borrow)]
    pub distinct_id: Cow<'a, str>,
    /// The client's address.
    #[serde(borrow)]
    pub ip: Cow<'a, str>,
    /// The event as it was sent, known fields only, as JSON text.
    #[serde(borrow, deserialize_with = "nested")]
    pub data: Cow<'a, str>,
    /// When the request was received, RFC 3339.
    #[serde(borrow)]
    pub now: Cow<'a, str>,
    /// When the client says that it was sent, RFC 3339.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Cow<'a, str>>,
    /// The project's token.
    #[serde(borrow)]
    pub token: Cow<'a, str>,
    /// The event's name. Before 2026 it is only in `data`, and empty here.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub event: Cow<'a, str>,
    /// Its moment, normalised, RFC 3339; empty before 2026, when the plugin server normalised it.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub timestamp: Cow<'a, str>,
    /// The session, where it is said beside the properties; told in a header.
    #[serde(skip)]
    pub session_id: Option<Cow<'a, str>>,
    /// Whether it belongs to an import.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub historical_migration: bool,
    /// Whether its visitor is to be known by no cookie.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cookieless_mode: bool,
    /// Whether no person may come of it; told in a header, as all that is not the event's own.
    #[serde(skip)]
    pub force_disable_person_processing: bool,
}
