//! Why a line of a recording is not understood, told without what stands there: it may be a secret, and what is told comes into the
//! run's directory and onto a terminal.

use serde_json::Error;

use super::secrets;

/// That `what` is so, and why. Of a text that stands where something else belongs serde quotes all.
pub(super) fn of(what: &str, error: &Error) -> String {
    let told = error.to_string();
    // The names of fields that stand there twice are ours.
    if !error.is_data() || told.starts_with("duplicate field") {
        return format!("{what}: {told}");
    }
    format!("{what}: something else stands at line {} column {}", error.line(), error.column())
}

/// Why JSON is no text.
pub(super) fn no_text(json: &str) -> &'static str {
    // The rest of a text was read before.
    if json.starts_with('"') { "holds half of a surrogate pair, which is no character" } else { "is no string" }
}

/// That of a `field` something is so for which capture refuses the whole request: it was not taken then, and would not be now.
pub(super) fn refused(field: &str, what: &str) -> String {
    format!("its {field} {what}, for which capture refuses the whole request")
}

/// `what` is wrong with one event of a request of so many.
pub(super) fn of_request(what: String, events: usize) -> String {
    if events > 1 { format!("{what}; all {events} events of the request are left out") } else { what }
}

/// A path by its short words in lower case: a longer part may be a key.
pub(super) fn path(path: &str) -> String {
    let is_word = |part: &str| {
        let has_letters = part.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-' | b'.'));
        let is_short = part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        part.len() <= 20 && (has_letters || is_short) && !secrets::is_held(part)
    };
    path.split('/').map(|part| if is_word(part) { part } else { "…" }).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn nothing_that_stands_there_is_quoted() {
        let told = |json: &str| of("no", &serde_json::from_str::<BTreeMap<String, &RawValue>>(json).unwrap_err());
        let text = told(r#""Bearer abc""#);
        assert!(text.starts_with("no: something else stands at line 1 column ") && !text.contains("abc"), "{text}");
        assert!(told("7").starts_with("no: something else") && told("{").starts_with("no: EOF"));
    }

    #[test]
    fn how_many_events_go_with_one_is_told() {
        assert_eq!(of_request("no".into(), 1), "no");
        assert_eq!(of_request("no".into(), 3), "no; all 3 events of the request are left out");
    }

    #[test]
    fn a_path_is_told_without_keys() {
        for (whole, expected) in [
            ("/flags/", "/flags/"),
            ("/i/v0/x", "/i/v0/x"),
            ("/static/array.js", "/static/array.js"),
            ("/array/phc_abc/config.js", "/array/…/config.js"),
            ("https://me:abc@a.example/e/", "…//…/e/"),
            ("/hook/3f2a9c3f2a9c", "/hook/…"),
            ("/\u{1b}[31m", "/…"),
        ] {
            assert_eq!(path(whole), expected);
        }
    }
}
