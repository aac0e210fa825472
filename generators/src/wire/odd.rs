//! Events that no template makes, as JSON: slower, and able to say everything that a client may.

use super::{moments::Moments, push_json};
use crate::{
    event::{Event, Member},
    request::ClientClock,
    workload::{ALTERED, Refused, TimeForm},
};

/// Appends `event`; `token` is its JSON text where the event carries it, and `again` tells whether this is its second sending.
pub(super) fn write(
    event: &Event,
    again: bool,
    clock: ClientClock,
    (token, is_v1): (Option<&[u8]>, bool),
    moments: &mut Moments,
    json: &mut Vec<u8>,
) -> Result<(), serde_json::Error> {
    json.push(b'{');
    write_fields(event, clock, token, moments, json)?;
    // What was recorded says so itself.
    if is_v1 && event.oddities.time == TimeForm::IgnoreSentAt && !event.oddities.recorded {
        json.extend_from_slice(b",\"options\":{\"disable_skew_correction\":true}");
    }
    json.extend_from_slice(b",\"properties\":");
    match event.oddities.refused {
        Some(Refused::Properties(text)) => json.extend_from_slice(text.as_bytes()),
        _ => write_properties(event, again, json)?,
    }
    write_members(&event.others, json);
    json.push(b'}');
    Ok(())
}

/// Appends the fields of `event` that stand before its properties.
pub(super) fn write_fields(
    event: &Event,
    clock: ClientClock,
    token: Option<&[u8]>,
    moments: &mut Moments,
    json: &mut Vec<u8>,
) -> Result<(), serde_json::Error> {
    let spelling = event.oddities.spelling;
    let begin = json.len();
    let key = |key: &str, json: &mut Vec<u8>| {
        if json.len() > begin {
            json.push(b',');
        }
        json.push(b'"');
        json.extend_from_slice(key.as_bytes());
        json.extend_from_slice(b"\":");
    };
    if let Some((name, value)) = event.oddities.twice.and_then(|twice| twice.field(token)) {
        key(name, json);
        json.extend_from_slice(&value);
    }
    if let Some((token, name)) = token.zip(spelling.token_key()) {
        key(name, json);
        json.extend_from_slice(token);
    }
    if event.oddities.empty_uuid {
        key("uuid", json);
        json.extend_from_slice(b"\"\"");
    } else if !event.oddities.no_uuid {
        key("uuid", json);
        json.push(b'"');
        json.extend_from_slice(event.id.to_string().as_bytes());
        json.push(b'"');
    }
    if !spelling.is_nameless() {
        key("event", json);
        match &event.name_json {
            Some(text) => json.extend_from_slice(text.as_bytes()),
            None => push_json(&event.name, json)?,
        }
    }
    if let Some(name) = spelling.distinct_id_key() {
        key(name, json);
        match &event.distinct_id_json {
            Some(text) => json.extend_from_slice(text.as_bytes()),
            None => push_json(&event.distinct_id, json)?,
        }
    }
    if let Some(Refused::Timestamp(text)) = event.oddities.refused {
        key("timestamp", json);
        push_json(text, json)?;
    } else if event.oddities.time.has_timestamp() {
        key("timestamp", json);
        json.push(b'"');
        moments.spell(event.oddities.time_spelling, clock.timestamp_micros(event.occurred_micros), json);
        json.push(b'"');
    }
    if let Some(offset_ms) = clock.said(event.oddities, event.occurred_micros).offset_ms {
        key("offset", json);
        json.extend_from_slice(offset_ms.to_string().as_bytes());
    }
    Ok(())
}

/// Appends members behind others.
fn write_members(members: &[Member], json: &mut Vec<u8>) {
    for Member { key, value } in members {
        json.extend_from_slice(b",\"");
        json.extend_from_slice(key.as_bytes());
        json.extend_from_slice(b"\":");
        json.extend_from_slice(value.as_bytes());
    }
}

/// Appends what it holds, an object.
pub(super) fn write_properties(event: &Event, again: bool, json: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let begin = json.len();
    if again && event.oddities.altered && event.properties.contains_key(ALTERED.0) {
        let mut properties = event.properties.clone();
        properties.insert(ALTERED.0.to_owned(), ALTERED.1.into());
        push_json(&properties, json)?;
    } else {
        push_json(&event.properties, json)?;
    }
    if let Some(member) = event.oddities.twice.and_then(|twice| twice.member(event)) {
        let first = begin + 1;
        json.splice(first..first, member.into_bytes());
    }
    // Every event has its marker, so there is a member before each of these.
    json.pop();
    write_members(&event.members, json);
    json.push(b'}');
    Ok(())
}
