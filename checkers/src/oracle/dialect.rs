//! The generations of the pipeline's rules.

use std::borrow::Cow;

use generators::request::Said;
use memchr::memchr;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Which generation of PostHog's ingestion the subject follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Dialect {
    /// Django's capture and the Node plugin server of 2021.
    #[serde(rename = "2021")]
    V2021,
    /// The Rust capture of hog-rs and the TypeScript plugin server of 2024.
    #[serde(rename = "2024")]
    V2024,
    /// rust/capture and nodejs/src/ingestion of 2026.
    #[default]
    #[serde(rename = "2026")]
    V2026,
}

/// Further in the future than this, a timestamp is replaced by the server's clock (rust/common/types/src/timestamp.rs).
const FUTURE_LIMIT_MICROS: i64 = 23 * 3_600_000_000;
/// The first moments of the years 0 and 10000, in microseconds since 1970.
const YEAR_0_MICROS: i64 = -62_167_219_200_000_000;
const YEAR_10000_MICROS: i64 = 253_402_300_800_000_000;
/// The first moment of the year 2021, in milliseconds since 1970.
const YEAR_2021_MS: i64 = 1_609_459_200_000;
/// Names are cut to so many UTF-16 units (ps-2021 utils/db/utils.ts, and its successors).
const NAME_LIMIT: usize = 200;
/// Distinct ids are cut to so many characters (capture, `v0_request.rs`).
const DISTINCT_ID_LIMIT: usize = 200;

/// What is stored in the place of an escape that no store can hold.
const REPLACEMENT: &[u8] = b"\\ufffd";
/// How long an escape of a UTF-16 unit is.
const ESCAPE: usize = 6;

impl Dialect {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::V2021 => "2021",
            Self::V2024 => "2024",
            Self::V2026 => "2026",
        }
    }

    /// Whether a reply is one that the capture gives *before* anything of the request could be stored. All others but 200
    /// prove nothing: an oversize event in the middle of a batch is answered with an error although the events before it
    /// were stored (ingestion contract 1.4, 1.6).
    pub fn proves_nothing_stored(self, status: u16, body: &str) -> bool {
        match self {
            Self::V2021 | Self::V2024 | Self::V2026 => match status {
                400 | 413 => !body.to_ascii_lowercase().contains("event size"),
                401 | 404 | 405 | 415 => true,
                _ => false,
            },
        }
    }

    /// The stored timestamp, in microseconds since 1970, of an event of which its client `said` this, when the capture's
    /// clock showed `now_micros`.
    ///
    /// The formula is `now + (timestamp − sent_at)` where both are known. In 2026 an `offset` beats the timestamp, and what
    /// is too far ahead becomes `now` (rust/common/types/src/timestamp.rs); before, a timestamp beats the offset, and
    /// nothing is too far (plugin-server/src/worker/ingestion/timestamps.ts). What is in no year from 0 to 9999 becomes 1970.
    /// A `sent_at` in the query from before 2021 is taken for seconds in the place of milliseconds, and so for none (ingestion
    /// contract 1.3).
    pub const fn stored_timestamp_micros(self, said: Said, now_micros: i64) -> i64 {
        let Said { timestamp_ms, offset_ms, sent_at_ms, sent_at_in_query, ignores_sent_at } = said;
        let by_timestamp = match (timestamp_ms, sent_at_ms) {
            (Some(timestamp), Some(sent_at)) if !(ignores_sent_at || sent_at_in_query && sent_at < YEAR_2021_MS) => {
                Some(now_micros + (timestamp - sent_at) * 1_000)
            }
            (Some(timestamp), _) => Some(timestamp * 1_000),
            (None, _) => None,
        };
        let by_offset = match offset_ms {
            Some(offset) => Some(now_micros - offset * 1_000),
            None => None,
        };
        let stored = match (self, by_timestamp, by_offset) {
            (Self::V2026, _, Some(stored)) | (_, Some(stored), _) | (_, None, Some(stored)) => stored,
            (_, None, None) => now_micros,
        };
        match self {
            Self::V2026 if stored - now_micros > FUTURE_LIMIT_MICROS => now_micros,
            _ if stored < YEAR_0_MICROS || stored >= YEAR_10000_MICROS => 0,
            _ => stored,
        }
    }

    /// The id of the person that a new distinct id belongs to: UUIDv5 of `"{team_id}:{distinct_id}"`
    /// (nodejs/src/ingestion/common/persons/person-uuid.ts). `None` where it is random.
    pub fn person_id(self, team: i64, distinct_id: &str) -> Option<Uuid> {
        let namespace = match self {
            Self::V2021 => return None,
            Self::V2024 | Self::V2026 => Uuid::from_u128(0x9329_79b4_65c3_4424_8467_0b66_ec27_bc22),
        };
        Some(Uuid::new_v5(&namespace, format!("{team}:{distinct_id}").as_bytes()))
    }

    /// The stored form of an event's name.
    pub fn stored_name(self, name: &str) -> Cow<'_, str> {
        let mut units = 0;
        let end = name.char_indices().find(|(_, c)| {
            units += c.len_utf16();
            units > NAME_LIMIT
        });
        let cut = end.map_or(name, |(end, _)| &name[..end]);
        if cut.contains('\0') { Cow::Owned(cut.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(cut) }
    }

    /// The stored form of a distinct id: capture cuts it, and capture or the plugin server replaces NUL characters
    /// (rust/common/types/src/event.rs, `extract_distinct_id`).
    pub fn stored_distinct_id(self, distinct_id: &str) -> Cow<'_, str> {
        let end = distinct_id.char_indices().nth(DISTINCT_ID_LIMIT);
        let cut = end.map_or(distinct_id, |(end, _)| &distinct_id[..end]);
        if cut.contains('\0') { Cow::Owned(cut.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(cut) }
    }

    /// Makes the JSON text that was sent into the one that is stored for it: NUL characters, which `PostgreSQL` cannot hold
    /// (PostHog, pull request 18282), and halves of surrogate pairs (capture, `passes/invalid_surrogates.rs`) become U+FFFD.
    /// The text keeps its length. Returns whether anything changed.
    pub fn store_json(self, text: &mut [u8]) -> bool {
        let mut changed = false;
        let mut at = 0;
        while let Some(escape) = memchr(b'\\', &text[at..]) {
            at += escape;
            // An escaped backslash makes what follows the text of an escape, and no escape.
            let mut length = 2;
            match unit(&text[at..]) {
                Some(0xd800..=0xdbff) if matches!(unit(&text[at + ESCAPE..]), Some(0xdc00..=0xdfff)) => {
                    length = 2 * ESCAPE;
                }
                Some(0 | 0xd800..=0xdfff) => {
                    text[at..at + ESCAPE].copy_from_slice(REPLACEMENT);
                    changed = true;
                }
                _ => (),
            }
            at = text.len().min(at + length);
        }
        changed
    }

    /// Whether the property `key` with this JSON `value` is taken away, because it goes into the chain of elements. In 2021 only
    /// a list with something in it was.
    pub fn takes_elements(self, key: &str, value: &str) -> bool {
        match self {
            Self::V2021 => key == "$elements" && value.starts_with('[') && value != "[]",
            Self::V2024 | Self::V2026 => super::elements::takes(key),
        }
    }

    /// Whether the pipeline itself writes this property, so that what was sent need not be what is stored
    /// (ingestion contract 2.2). What is for heatmaps leaves with them (rust/capture/src/events/analytics.rs, and the plugin
    /// server's heatmap step before).
    pub fn rewrites_property(self, key: &str) -> bool {
        match self {
            Self::V2021 | Self::V2024 | Self::V2026 => {
                matches!(key, "$ip" | "$sent_at" | "$set" | "$set_once" | "$unset" | "token")
                    || (self != Self::V2021 && key == "$heatmap_data")
                    // Error tracking finds the sources of what stands there.
                    || (self == Self::V2026 && key == "$exception_list")
                    || super::elements::takes(key)
                    || ["$geoip_", "$plugins_"].iter().any(|prefix| key.starts_with(prefix))
                    // `$group_0` and so on; what is said of a group is kept.
                    || key.strip_prefix("$group_").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            }
        }
    }
}

/// The UTF-16 unit that `text` begins with an escape of.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.get(..ESCAPE)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_store_can_hold_becomes_the_replacement_character() {
        for (sent, stored) in [
            (r#""a\u0000b""#, r#""a\ufffdb""#),
            (r#"["\u0000\u0000"]"#, r#"["\ufffd\ufffd"]"#),
            (r#""\\u0000""#, r#""\\u0000""#),
            (r#""\\\u0000 \n""#, r#""\\\ufffd \n""#),
            (r#""plain""#, r#""plain""#),
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""\ude80x\ud83d\ude80\ud83d""#, r#""\ufffdx\ud83d\ude80\ufffd""#),
            (r#""\ud83d\ud83d\ude80""#, r#""\ufffd\ud83d\ude80""#),
            (r#""\ud83d\u0041\\ud83d""#, r#""\ufffd\u0041\\ud83d""#),
            (r#""\u00e9\u""#, r#""\u00e9\u""#),
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
            (415, "unsupported_content_type", true),
            (429, "", false),
            (500, "", false),
            (503, "transient error, please retry", false),
            (302, "", false),
        ] {
            assert_eq!(Dialect::V2026.proves_nothing_stored(status, body), proves, "{status} {body}");
        }
    }

    #[test]
    fn stored_timestamps() {
        const IN_2021: i64 = 1_609_459_200_000;
        const NOW_MS: i64 = 50_000;
        const HOURS: i64 = 3_600_000;
        let said = |timestamp_ms, offset_ms, sent_at_ms| Said {
            timestamp_ms,
            offset_ms,
            sent_at_ms,
            sent_at_in_query: false,
            ignores_sent_at: false,
        };
        let ignoring = |said| Said { ignores_sent_at: true, ..said };
        let by_query = |said| Said { sent_at_in_query: true, ..said };
        // What is said, and what is stored of it in 2026 and before, in milliseconds.
        for (name, said, in_2026, before) in [
            ("a second before it was sent", said(Some(9_000), None, Some(10_000)), 49_000, 49_000),
            ("as it was sent", said(Some(10_000), None, Some(10_000)), NOW_MS, NOW_MS),
            ("no sent_at", said(Some(9_000), None, None), 9_000, 9_000),
            ("sent_at ignored", ignoring(said(Some(9_000), None, Some(10_000))), 9_000, 9_000),
            ("sent_at before 2021 in the query", by_query(said(Some(9_000), None, Some(IN_2021 - 1))), 9_000, 9_000),
            ("sent_at in the query", by_query(said(Some(IN_2021 - 1_000), None, Some(IN_2021))), 49_000, 49_000),
            ("an offset alone", said(None, Some(1_500), Some(10_000)), 48_500, 48_500),
            ("an offset and a timestamp", said(Some(9_000), Some(1_500), Some(10_000)), 48_500, 49_000),
            ("nothing", said(None, None, Some(10_000)), NOW_MS, NOW_MS),
            ("23 hours", said(Some(23 * HOURS), None, Some(0)), NOW_MS + 23 * HOURS, NOW_MS + 23 * HOURS),
            ("more", said(Some(23 * HOURS + 1), None, Some(0)), NOW_MS, NOW_MS + 23 * HOURS + 1),
            ("before the year 0", said(Some(-62_167_219_200_001), None, None), 0, 0),
            ("the year 0", said(Some(-62_167_219_200_000), None, None), -62_167_219_200_000, -62_167_219_200_000),
            ("the year 10000", said(None, Some(NOW_MS - 253_402_300_800_000), None), NOW_MS, 0),
            ("an offset ahead", said(None, Some(-24 * HOURS), None), NOW_MS, NOW_MS + 24 * HOURS),
        ] {
            let stored = |dialect: Dialect| dialect.stored_timestamp_micros(said, NOW_MS * 1_000) / 1_000;
            assert_eq!(stored(Dialect::V2026), in_2026, "{name}");
            assert_eq!(stored(Dialect::V2024), before, "{name}");
            assert_eq!(stored(Dialect::V2021), before, "{name}");
        }
    }

    #[test]
    fn names_and_ids_are_cut() {
        let dialect = Dialect::V2026;
        assert_eq!(dialect.stored_name("a\0b"), "a\u{fffd}b");
        assert_eq!(dialect.stored_name(&"é".repeat(201)), "é".repeat(200));
        assert_eq!(dialect.stored_name(&"🦔".repeat(101)), "🦔".repeat(100));
        assert_eq!(dialect.stored_name(&"x".repeat(200)), "x".repeat(200));
        assert_eq!(dialect.stored_distinct_id(&"🦔".repeat(201)), "🦔".repeat(200));
        assert_eq!(dialect.stored_distinct_id("short"), "short");
        assert_eq!(dialect.stored_distinct_id(&"\0é".repeat(101)), "\u{fffd}é".repeat(100));
    }

    #[test]
    fn what_the_pipeline_writes_itself_is_known() {
        for key in [
            "$set",
            "$geoip_city_name",
            "$group_0",
            "$elements",
            "$elements_chain",
            "$plugins_failed",
            "$exception_list",
        ] {
            assert!(Dialect::V2026.rewrites_property(key), "{key}");
        }
        for key in ["$browser", "price", "$groups", "$session_id", "$setting", "$elements_seen", "$group_set"] {
            assert!(!Dialect::V2026.rewrites_property(key), "{key}");
        }
    }
}
