//! An event's options, which become properties (rust/capture/src/v1/analytics/types.rs).

use serde_json::{Map, Value};

/// The options that were said, each with its value.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Options {
    /// The properties that they become.
    pub properties: Vec<(&'static str, Value)>,
    /// Whether the event's time is to be taken as it is.
    pub ignore_sent_at: bool,
    /// Whether its visitor is to be known by no cookie.
    pub is_cookieless: bool,
}

const FLAGS: [(&str, &str); 3] = [
    (COOKIELESS_MODE, "$cookieless_mode"),
    (DISABLE_SKEW_CORRECTION, "$ignore_sent_at"),
    ("process_person_profile", "$process_person_profile"),
];
const COOKIELESS_MODE: &str = "cookieless_mode";
const DISABLE_SKEW_CORRECTION: &str = "disable_skew_correction";
const TOUR: (&str, &str) = ("product_tour_id", "$product_tour_id");

impl Options {
    /// Reads the JSON of an event's options; `None` when one of them cannot be what it must.
    pub fn read(text: &str) -> Option<Self> {
        let said: Map<String, Value> = match serde_json::from_str(text).ok()? {
            Value::Null => return Some(Self::default()),
            Value::Object(said) => said,
            _ => return None,
        };
        let mut options = Self::default();
        for (option, property) in FLAGS {
            if let Some(value) = said.get(option).filter(|value| !value.is_null()) {
                let flag = flag(value)?;
                options.ignore_sent_at |= flag && option == DISABLE_SKEW_CORRECTION;
                options.is_cookieless |= flag && option == COOKIELESS_MODE;
                options.properties.push((property, flag.into()));
            }
        }
        if let Some(value) = said.get(TOUR.0).filter(|value| !value.is_null()) {
            options.properties.push((TOUR.1, string(value)?.into()));
        }
        Some(options)
    }
}

/// A flag as it may be said.
pub(super) fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
        Value::Number(number) => number.as_f64().map(|number| number != 0.0),
        _ => None,
    }
}

fn string(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_properties_or_are_refused() {
        let read = |text| Options::read(text).map(|options| options.properties);
        assert_eq!(read("null"), Some(vec![]));
        assert_eq!(read(r#"{"cookieless_mode":null,"other":{}}"#), Some(vec![]));
        let all = r#"{"cookieless_mode":0,"disable_skew_correction":" TRUE ","process_person_profile":false,"product_tour_id":7}"#;
        let expected = vec![
            ("$cookieless_mode", false.into()),
            ("$ignore_sent_at", true.into()),
            ("$process_person_profile", false.into()),
            ("$product_tour_id", "7".into()),
        ];
        assert_eq!(read(all), Some(expected));
        assert!(Options::read(all).unwrap().ignore_sent_at);
        for refused in ["[]", "1", r#"{"cookieless_mode":"yes"}"#, r#"{"product_tour_id":1.5}"#] {
            assert_eq!(read(refused), None, "{refused}");
        }
    }
}
