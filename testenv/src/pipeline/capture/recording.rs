//! `/s/`: what recorders of sessions send (rust/capture, payload/recordings.rs; dialect 2026). It goes to a topic of its own,
//! by session, and is no event of anybody's.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::request::{Refusal, check_token};
use crate::pipeline::json_text::repair_surrogates;

/// What is taken.
pub const LIMIT: usize = 25 << 20;

/// A message of the topic of recordings.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The session, which is its key.
    pub session: String,
    /// As it was sent.
    pub data: String,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default, alias = "$token", alias = "api_key")]
    token: Option<String>,
    event: String,
    #[serde(default, alias = "$distinct_id")]
    distinct_id: Option<Box<RawValue>>,
    properties: Properties,
}

#[derive(Deserialize)]
struct Properties {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    distinct_id: Option<Box<RawValue>>,
    #[serde(default, rename = "$session_id")]
    session: Option<String>,
    #[serde(default, rename = "$snapshot_data")]
    snapshot: Option<Box<RawValue>>,
}

/// The messages of a request's text: one recording, or a list of them. The first one's token is the request's.
///
/// # Errors
/// When the request is refused.
pub fn snapshots(text: &str) -> Result<Vec<Snapshot>, Refusal> {
    let text = repair_surrogates(text);
    let bad_json = |error: serde_json::Error| Refusal::Body(format!("invalid JSON: {error}"));
    let raw: Vec<Box<RawValue>> = if text.trim_start().starts_with('[') {
        serde_json::from_str(&text).map_err(bad_json)?
    } else {
        vec![serde_json::from_str(&text).map_err(bad_json)?]
    };
    let read: Vec<Raw> =
        raw.iter().map(|raw| serde_json::from_str(raw.get()).map_err(bad_json)).collect::<Result<_, _>>()?;
    let first = read.first().ok_or(Refusal::Empty)?;
    check_token(first.token.as_ref().or(first.properties.token.as_ref()).ok_or(Refusal::NoToken)?)?;
    let snapshot = |(raw, read): (Box<RawValue>, Raw)| {
        if read.event.is_empty() {
            return Err(Refusal::NoName);
        }
        read.distinct_id.or(read.properties.distinct_id).ok_or(Refusal::NoDistinctId)?;
        let missing = |what: &str| Refusal::Body(format!("a recording without {what}"));
        read.properties.snapshot.ok_or_else(|| missing("$snapshot_data"))?;
        let session = read.properties.session.filter(|session| !session.is_empty());
        Ok(Snapshot {
            session: session.ok_or_else(|| missing("$session_id"))?,
            data: String::from(Box::<str>::from(raw)),
        })
    };
    raw.into_iter().zip(read).map(snapshot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_go_by_session_or_are_refused_whole() {
        let one = |session: &str| {
            format!(
                r#"{{"token":"phc_t","event":"$snapshot","distinct_id":"d","properties":{{"$session_id":"{session}","$snapshot_data":[1]}}}}"#
            )
        };
        let both = snapshots(&format!("[{},{}]", one("a"), one("b"))).unwrap();
        assert_eq!(both, ["a", "b"].map(|session| Snapshot { session: session.into(), data: one(session) }));
        assert_eq!(snapshots(&one("a")).unwrap().len(), 1);
        let status = |text: &str| snapshots(text).map_err(|refusal| refusal.status()).unwrap_err();
        assert_eq!(status("[]"), 400);
        assert_eq!(status(&one("")), 400);
        assert_eq!(status(&one("a").replace("$snapshot_data", "x")), 400);
        assert_eq!(status(&one("a").replace("\"token\":\"phc_t\",", "")), 401);
        assert_eq!(status("{"), 400);
    }
}
