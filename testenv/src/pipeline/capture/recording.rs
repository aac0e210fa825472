//! `/s/`: what recorders of sessions send (rust/capture, payload/recordings.rs; dialect 2026). It goes to a topic of its own,
//! by session, and is no event of anybody's.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    request::{Refusal, check_token},
    restrictions::{Pipeline, Subject},
};
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

/// What a request holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The project's token.
    pub token: String,
    /// Whom the first one is of; it stands for all.
    pub distinct_id: String,
    /// The first one's uuid, empty if it has none.
    pub uuid: String,
    /// What is stored.
    pub snapshots: Vec<Snapshot>,
}

/// What the event is called that PostHog makes of a request (events/recordings.rs).
const NAME: &str = "$snapshot_items";

impl Recorded {
    /// What restrictions look at.
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            pipeline: Pipeline::SessionRecordings,
            token: &self.token,
            distinct_id: &self.distinct_id,
            session_id: self.snapshots.first().map(|snapshot| snapshot.session.as_str()),
            name: NAME,
            uuid: &self.uuid,
        }
    }
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    uuid: Option<String>,
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

/// What a request's text holds: one recording, or a list of them. The first one's token is the request's.
///
/// # Errors
/// When the request is refused.
pub fn recorded(text: &str) -> Result<Recorded, Refusal> {
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
    let token = first.token.as_ref().or(first.properties.token.as_ref()).ok_or(Refusal::NoToken)?;
    check_token(token)?;
    let (token, uuid) = (token.clone(), first.uuid.clone().unwrap_or_default());
    let distinct_id = first.distinct_id.as_ref().or(first.properties.distinct_id.as_ref());
    let distinct_id = distinct_id.ok_or(Refusal::NoDistinctId)?.get();
    // What is no text is known by its JSON.
    let distinct_id = serde_json::from_str(distinct_id).unwrap_or_else(|_| distinct_id.to_owned());
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
    let snapshots = raw.into_iter().zip(read).map(snapshot).collect::<Result<_, _>>()?;
    Ok(Recorded { token, distinct_id, uuid, snapshots })
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
        let both = recorded(&format!("[{},{}]", one("a"), one("b"))).unwrap();
        assert_eq!(both.snapshots, ["a", "b"].map(|session| Snapshot { session: session.into(), data: one(session) }));
        let Subject { token, distinct_id, session_id, .. } = both.subject();
        assert_eq!((token, distinct_id, session_id), ("phc_t", "d", Some("a")), "the first stands for all");
        assert_eq!(recorded(&one("a")).unwrap().snapshots.len(), 1);
        let status = |text: &str| recorded(text).map_err(|refusal| refusal.status()).unwrap_err();
        assert_eq!(status("[]"), 400);
        assert_eq!(status(&one("")), 400);
        assert_eq!(status(&one("a").replace("$snapshot_data", "x")), 400);
        assert_eq!(status(&one("a").replace("\"token\":\"phc_t\",", "")), 401);
        assert_eq!(status("{"), 400);
    }
}
