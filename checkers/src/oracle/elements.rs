//! What is stored of the elements that were clicked: their chain (plugin-server/src/utils/db/elements-chain.ts; ingestion
//! contract 2.2).
//!
//! Judged is what this reading is sure of: an attribute that is no text, or whose place in the order is a matter of locale,
//! leaves the column alone.

use serde_json::{Map, Value};

use super::{dialect::Dialect, row::Expected};

/// The column.
pub const COLUMN: &str = "elements_chain";

const ELEMENTS: &str = "$elements";
const READY: &str = "$elements_chain";
const PREFIX: &str = "attr__";

/// What the column must hold for an event of these `members`, their values as they are stored, and why.
pub fn expected<'m>(dialect: Dialect, members: impl Iterator<Item = (&'m str, &'m str)>) -> (Expected, &'static str) {
    let (mut ready, mut elements) = (None, None);
    for (key, value) in members {
        match key {
            READY => ready = Some(value),
            ELEMENTS => elements = Some(value),
            _ => (),
        }
    }
    let read = |text: Option<&str>| text.map_or(Some(Value::Null), |text| serde_json::from_str(text).ok());
    match (dialect, read(ready), read(elements)) {
        (Dialect::V2021, Some(ready), _) if !ready.is_null() => {
            (Expected::NotJudged, "clients did not send chains then")
        }
        (_, Some(Value::String(ready)), _) if !ready.is_empty() => {
            (Expected::Exact(ready), "a chain that the client has made is taken as it is")
        }
        (_, Some(Value::Null | Value::String(_)), Some(Value::Null)) => {
            (Expected::Exact(String::new()), "nothing was clicked")
        }
        (_, Some(Value::Null | Value::String(_)), Some(Value::Array(elements))) => {
            match elements.iter().map(of_element).collect::<Option<Vec<_>>>() {
                Some(chain) => (Expected::Exact(chain.join(";")), "made of the clicked elements"),
                None => (Expected::NotJudged, UNSURE),
            }
        }
        _ => (Expected::NotJudged, UNSURE),
    }
}

const UNSURE: &str = "these elements are read as JavaScript does it";

/// Whether a property is taken away, because its value goes into the chain.
pub fn takes(key: &str) -> bool {
    key == ELEMENTS || key == READY
}

/// `tag.class.class:key="value"key="value"`; `None` where that is not certain.
fn of_element(element: &Value) -> Option<String> {
    let element = element.as_object()?;
    let tag = text(element, "tag_name")?;
    let mut classes = match element.get("attr__class") {
        Some(Value::Array(classes)) => classes.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?,
        _ => match text(element, "attr__class")? {
            "" => Vec::new(),
            classes => classes.split(' ').collect(),
        },
    };
    // By UTF-16 units, which is by code points where none lies behind the surrogates.
    if classes.iter().any(|class| class.chars().any(|c| c >= '\u{e000}')) {
        return None;
    }
    classes.sort_unstable();
    let mut pairs = vec![
        ("nth-child".to_owned(), place(element, "nth_child")?),
        ("nth-of-type".to_owned(), place(element, "nth_of_type")?),
    ];
    for (shown, key, most) in
        [("text", "$el_text", 400), ("href", "attr__href", 2_048), ("attr_id", "attr__id", usize::MAX)]
    {
        let value = text(element, key)?;
        if !value.is_empty() {
            pairs.push((shown.to_owned(), first_units(value, most)?));
        }
    }
    for (key, value) in element.iter().filter(|(key, _)| key.starts_with(PREFIX)) {
        let is_plain =
            key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
        let value = match value {
            Value::String(value) => value.clone(),
            Value::Bool(value) => value.to_string(),
            // One list of classes serves both, and was sorted by then.
            Value::Array(_) if key == "attr__class" => classes.join(","),
            _ => return None,
        };
        pairs.push((is_plain.then(|| key.clone())?, value));
    }
    pairs.sort_by(|(left, _), (right, _)| left.bytes().map(collation).cmp(right.bytes().map(collation)));
    let classes = classes.iter().map(|class| format!(".{}", class.replace('"', "")));
    let pairs = pairs.iter().map(|(key, value)| format!("{key}=\"{}\"", value.replace('"', "\\\"")));
    Some([tag.to_owned()].into_iter().chain(classes).chain([":".to_owned()]).chain(pairs).collect::<Vec<_>>().concat())
}

/// A text, empty where it is missing; `None` where something else stands there.
fn text<'e>(element: &'e Map<String, Value>, key: &str) -> Option<&'e str> {
    match element.get(key) {
        None | Some(Value::Null) => Some(""),
        Some(Value::String(text)) => Some(text),
        Some(_) => None,
    }
}

/// A whole number, 0 where it is missing.
fn place(element: &Map<String, Value>, key: &str) -> Option<String> {
    match element.get(key) {
        None | Some(Value::Null) => Some("0".to_owned()),
        Some(place) => place.as_u64().filter(|place| *place < 1 << 53).map(|place| place.to_string()),
    }
}

/// The first UTF-16 units of a text; `None` if they end within a character.
fn first_units(text: &str, most: usize) -> Option<String> {
    let units: Vec<u16> = text.encode_utf16().take(most).collect();
    String::from_utf16(&units).ok()
}

/// Where a byte stands in the root collation, of those that plain keys have: `_` before `-` before digits before letters.
const fn collation(byte: u8) -> u8 {
    match byte {
        b'_' => 0,
        b'-' => 1,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(dialect: Dialect, members: &[(&str, &str)]) -> Expected {
        expected(dialect, members.iter().copied()).0
    }

    fn chain_of(element: &str) -> Expected {
        of(Dialect::V2026, &[("$elements", &format!("[{element}]"))])
    }

    fn exactly(chain: &str) -> Expected {
        Expected::Exact(chain.to_owned())
    }

    #[test]
    fn an_element_is_its_tag_its_classes_and_its_attributes_in_order() {
        for (element, chain) in [
            ("{}", r#":nth-child="0"nth-of-type="0""#),
            (r#"{"tag_name":"a","nth_child":3,"nth_of_type":2}"#, r#"a:nth-child="3"nth-of-type="2""#),
            (r#"{"attr__class":"b \"a\""}"#, r#".a.b:attr__class="b \"a\""nth-child="0"nth-of-type="0""#),
            (r#"{"attr__class":" z"}"#, r#"..z:attr__class=" z"nth-child="0"nth-of-type="0""#),
            (r#"{"attr__class":["z","a"]}"#, r#".a.z:attr__class="a,z"nth-child="0"nth-of-type="0""#),
            (r#"{"attr__class":"","attr__id":""}"#, r#":attr__class=""attr__id=""nth-child="0"nth-of-type="0""#),
            (
                r#"{"$el_text":"a;\"b\"\\","attr__href":"/","attr__id":"i","attr__a":true}"#,
                r#":attr__a="true"attr__href="/"attr__id="i"attr_id="i"href="/"nth-child="0"nth-of-type="0"text="a;\"b\"\""#,
            ),
            (
                r#"{"attr__a-b":"1","attr__a_b":"2","x":3}"#,
                r#":attr__a_b="2"attr__a-b="1"nth-child="0"nth-of-type="0""#,
            ),
        ] {
            assert_eq!(chain_of(element), exactly(chain), "{element}");
        }
        let two = of(Dialect::V2021, &[("k", "1"), ("$elements", r#"[{"tag_name":"a"},{"tag_name":"b"}]"#)]);
        assert_eq!(two, exactly(r#"a:nth-child="0"nth-of-type="0";b:nth-child="0"nth-of-type="0""#));
    }

    #[test]
    fn texts_and_links_are_cut_but_not_the_attribute() {
        let cut = |key: &str, shown: &str, most: usize| {
            let long = "é".repeat(most + 1);
            let Expected::Exact(chain) = chain_of(&format!(r#"{{"{key}":"{long}"}}"#)) else { return false };
            chain.contains(&format!("{shown}=\"{}\"", "é".repeat(most)))
        };
        assert!(cut("$el_text", "text", 400) && !cut("$el_text", "text", 401));
        assert!(cut("attr__href", "\"href", 2_048));
    }

    #[test]
    fn a_clients_own_chain_is_taken_and_no_elements_are_no_chain() {
        let ready = ("$elements_chain", r#""a:b=\"c\"""#);
        let elements = ("$elements", r#"[{"tag_name":"x"}]"#);
        assert_eq!(of(Dialect::V2024, &[elements, ready]), exactly(r#"a:b="c""#));
        assert_eq!(of(Dialect::V2021, &[ready]), Expected::NotJudged);
        assert_ne!(of(Dialect::V2026, &[elements, ("$elements_chain", "\"\"")]), exactly(""));
        for nothing in [&[][..], &[("$elements", "[]")], &[("$elements", "null"), ("k", "1")]] {
            assert_eq!(of(Dialect::V2026, nothing), exactly(""));
        }
    }

    #[test]
    fn what_javascript_alone_knows_is_not_judged() {
        for element in [
            "1",
            r#"{"$el_text":1}"#,
            r#"{"attr__x":1.5}"#,
            r#"{"attr__X":"1"}"#,
            r#"{"nth_child":"2"}"#,
            r#"{"attr__class":"🦔"}"#,
        ] {
            assert_eq!(chain_of(element), Expected::NotJudged, "{element}");
        }
        assert_eq!(of(Dialect::V2026, &[("$elements", "{}")]), Expected::NotJudged);
    }
}
