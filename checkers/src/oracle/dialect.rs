//! The generations of the pipeline's rules.

use std::time::Duration;

use memchr::memchr;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Which generation of PostHog's ingestion the subject follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Dialect {
    /// rust/capture and nodejs/src/ingestion of 2026.
    #[default]
    #[serde(rename = "2026")]
    V2026,
}

/// Further in the future than this, a timestamp is replaced by the server's clock (rust/common/types/src/timestamp.rs).
const FUTURE_LIMIT: Duration = Duration::from_hours(23);

/// A NUL character in JSON text, and what is stored for it.
const NUL: &[u8] = b"\\u0000";
const REPLACEMENT: &[u8] = b"\\ufffd";

impl Dialect {
    /// Whether a reply is one that the capture gives *before* anything of the request could be stored. All others but 200
    /// prove nothing: an oversize event in the middle of a batch is answered with an error although the events before it
    /// were stored (ingestion contract 1.4, 1.6).
    pub fn proves_nothing_stored(self, status: u16, body: &str) -> bool {
        match self {
            Self::V2026 => match status {
                400 | 413 => !body.to_ascii_lowercase().contains("event size"),
                401 | 404 | 405 => true,
                _ => false,
            },
        }
    }

    /// The stored timestamp, in microseconds since 1970, of an event whose client wrote `timestamp_ms` and `sent_at_ms`,
    /// when the capture's clock showed `now_micros`: `timestamp − (sent_at − now)`, unless that is too far ahead.
    pub fn stored_timestamp_micros(self, timestamp_ms: i64, sent_at_ms: i64, now_micros: i64) -> i64 {
        match self {
            Self::V2026 => {
                let ahead_micros = (timestamp_ms - sent_at_ms) * 1_000;
                if ahead_micros > FUTURE_LIMIT.as_micros() as i64 { now_micros } else { now_micros + ahead_micros }
            }
        }
    }

    /// The id of the person that a new distinct id belongs to: UUIDv5 of `"{team_id}:{distinct_id}"`
    /// (nodejs/src/ingestion/common/persons/person-uuid.ts).
    pub fn person_id(self, team: i64, distinct_id: &str) -> Uuid {
        let namespace = match self {
            Self::V2026 => Uuid::from_u128(0x9329_79b4_65c3_4424_8467_0b66_ec27_bc22),
        };
        Uuid::new_v5(&namespace, format!("{team}:{distinct_id}").as_bytes())
    }

    /// Makes the JSON text that was sent into the one that is stored for it: NUL characters, which `PostgreSQL` cannot hold,
    /// become U+FFFD (PostHog, pull request 18282). The text is compact JSON, as our own serializer writes it, and keeps its
    /// length. Returns whether anything changed.
    pub fn store_json(self, text: &mut [u8]) -> bool {
        let mut changed = false;
        match self {
            Self::V2026 => {
                let mut at = 0;
                while let Some(escape) = memchr(b'\\', &text[at..]) {
                    at += escape;
                    if text[at..].starts_with(NUL) {
                        text[at..at + NUL.len()].copy_from_slice(REPLACEMENT);
                        changed = true;
                    }
                    // An escaped backslash makes what follows the text of an escape, and no escape.
                    at = text.len().min(at + 2);
                }
            }
        }
        changed
    }

    /// Whether the pipeline itself writes this property, so that what was sent need not be what is stored
    /// (ingestion contract 2.2).
    pub fn rewrites_property(self, key: &str) -> bool {
        match self {
            Self::V2026 => {
                matches!(key, "$ip" | "$sent_at" | "$set" | "$set_once" | "token")
                    || ["$geoip_", "$elements", "$group_", "$plugins_"].iter().any(|prefix| key.starts_with(prefix))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_becomes_the_replacement_character() {
        for (sent, stored) in [
            (r#""a\u0000b""#, r#""a\ufffdb""#),
            (r#"["\u0000\u0000"]"#, r#"["\ufffd\ufffd"]"#),
            (r#""\\u0000""#, r#""\\u0000""#),
            (r#""\\\u0000 \n""#, r#""\\\ufffd \n""#),
            (r#""plain""#, r#""plain""#),
        ] {
            let mut text = sent.as_bytes().to_vec();
            assert_eq!(Dialect::V2026.store_json(&mut text), sent != stored);
            assert_eq!(text, stored.as_bytes());
        }
    }

    #[test]
    fn only_listed_replies_prove_absence() {
        for (status, body, proves) in [
            (400, "request holds no event", true),
            (400, "maximum event size exceeded", false),
            (413, "length limit exceeded", true),
            (413, "Event size too large", false),
            (401, "", true),
            (429, "", false),
            (500, "", false),
            (503, "transient error, please retry", false),
            (302, "", false),
        ] {
            assert_eq!(Dialect::V2026.proves_nothing_stored(status, body), proves, "{status} {body}");
        }
    }

    #[test]
    fn timestamps_follow_the_servers_clock() {
        let stored = |timestamp, sent_at| Dialect::V2026.stored_timestamp_micros(timestamp, sent_at, 50_000_000);
        assert_eq!(stored(9_000, 10_000), 49_000_000, "a second before it was sent");
        assert_eq!(stored(10_000, 10_000), 50_000_000);
        let hours = 3_600_000;
        assert_eq!(stored(10_000 + 23 * hours, 10_000), 50_000_000 + 23 * hours * 1_000, "23 hours are allowed");
        assert_eq!(stored(10_001 + 23 * hours, 10_000), 50_000_000, "more are not");
    }

    #[test]
    fn what_the_pipeline_writes_itself_is_known() {
        for key in ["$set", "$geoip_city_name", "$group_0", "$elements_chain", "$plugins_failed"] {
            assert!(Dialect::V2026.rewrites_property(key), "{key}");
        }
        for key in ["$browser", "price", "$groups", "$session_id", "$setting"] {
            assert!(!Dialect::V2026.rewrites_property(key), "{key}");
        }
    }
}
