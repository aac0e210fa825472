//! Keys that stand in one object more than once, by one name or several. The Django capture took the last, as Python's `json.loads` does,
//! and any name of the token; serde takes none of them in its place (ingestion contract 1.2).

use std::collections::BTreeMap;

use serde_json::{Result, value::RawValue};

/// A JSON object: what is put in later takes the place of what was there.
type Object = BTreeMap<String, Box<RawValue>>;

/// The names of the token (posthog/api/utils.py, `get_token`), that which counts first.
const TOKENS: [&str; 3] = ["$token", "token", "api_key"];

/// Whether serde refused a text because a field stands in it twice.
pub fn is_reason(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("duplicate field")
}

/// The same request where each key stands once, in itself and in its events.
///
/// # Errors
/// When it is none.
pub fn last_wins(request: &str) -> Result<String> {
    if request.trim_start().starts_with('[') {
        return events(request);
    }
    let mut object: Object = serde_json::from_str(request)?;
    if let Some(batch) = object.get_mut("batch") {
        *batch = RawValue::from_string(events(batch.get())?)?;
    }
    one_token(&mut object);
    serde_json::to_string(&object)
}

fn events(list: &str) -> Result<String> {
    let mut events: Vec<Object> = serde_json::from_str(list)?;
    events.iter_mut().for_each(one_token);
    serde_json::to_string(&events)
}

fn one_token(object: &mut Object) {
    let first = TOKENS.into_iter().find(|name| object.contains_key(*name));
    object.retain(|key, _| !TOKENS.contains(&key.as_str()) || first == Some(key.as_str()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_each_key_is_left() {
        for (request, expected) in [
            (r#"{"event":"a","event":"b","x":{"y":1,"y":2}}"#, r#"{"event":"b","x":{"y":1,"y":2}}"#),
            (r#"[{"api_key":"t","token":"u","a":1.50,"a":2.50},{}]"#, r#"[{"a":2.50,"token":"u"},{}]"#),
            (r#"{"batch":[],"batch":[{"a":1,"a":null}],"api_key":"t"}"#, r#"{"api_key":"t","batch":[{"a":null}]}"#),
        ] {
            assert_eq!(last_wins(request).unwrap(), expected);
        }
        assert!(last_wins("{").is_err() && last_wins("[7]").is_err());
    }
}
