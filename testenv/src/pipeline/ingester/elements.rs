//! The elements that were clicked → their chain, the text that is stored of them (nodejs's elements-chain.ts, and
//! `getElementsChain` in create-event.ts; ingestion contract 2.2).

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::value::RawValue;

use crate::pipeline::{dialect::Dialect, properties::EventProperties};

/// Texts and links are cut to so many UTF-16 units.
const TEXT_LIMIT: usize = 400;
const LINK_LIMIT: usize = 2_048;

/// Takes the elements out of `properties` and makes their chain; empty where there are none. One that came as a text already is
/// taken as it is, since there have been such clients.
///
/// # Errors
/// Elements over which PostHog's code throws.
pub fn take_chain(dialect: Dialect, properties: &mut EventProperties<'_>) -> Result<String, String> {
    if dialect == Dialect::V2021 {
        let is_list = properties.get("$elements").is_some_and(|value| value.starts_with('[') && value != "[]");
        return if is_list { chain(properties.remove("$elements")) } else { Ok(String::new()) };
    }
    let (ready, elements) = (properties.remove("$elements_chain"), properties.remove("$elements"));
    match ready.as_deref() {
        None | Some("\"\"" | "null" | "false" | "0") => chain(elements),
        Some(_) => Ok(ready.map(|ready| text_of(&ready)).unwrap_or_default()),
    }
}

fn chain(elements: Option<Cow<'_, str>>) -> Result<String, String> {
    let Some(elements) = elements.filter(|elements| elements.starts_with('[')) else { return Ok(String::new()) };
    let elements: Vec<BTreeMap<Cow<'_, str>, &RawValue>> =
        serde_json::from_str(&elements).map_err(|error| format!("invalid elements: {error}"))?;
    let shown: Vec<String> = elements.iter().map(element).collect::<Result<_, _>>()?;
    Ok(shown.join(";"))
}

fn element(element: &BTreeMap<Cow<'_, str>, &RawValue>) -> Result<String, String> {
    let text = |key: &str| match element.get(key).map(|value| value.get()) {
        None | Some("null") => Ok(String::new()),
        Some(text) => serde_json::from_str(text).map_err(|_| format!("invalid elements: `{key}` is no string")),
    };
    let mut classes: Vec<String> = match element.get("attr__class").map(|value| value.get()) {
        Some(list) if list.starts_with('[') => {
            serde_json::from_str(list).map_err(|_| "invalid elements: a class is no string".to_owned())?
        }
        _ => match text("attr__class")?.as_str() {
            "" => Vec::new(),
            classes => classes.split(' ').map(str::to_owned).collect(),
        },
    };
    classes.sort_unstable_by(|left, right| left.encode_utf16().cmp(right.encode_utf16()));
    let own = [
        ("text", cut(text("$el_text")?, TEXT_LIMIT)),
        ("href", cut(text("attr__href")?, LINK_LIMIT)),
        ("attr_id", text("attr__id")?),
    ];
    let mut attributes: Vec<(&str, String)> = own.into_iter().filter(|(_, text)| !text.is_empty()).collect();
    for (shown, key) in [("nth-child", "nth_child"), ("nth-of-type", "nth_of_type")] {
        let place = element.get(key).filter(|place| place.get() != "null");
        attributes.push((shown, place.map_or_else(|| "0".to_owned(), |place| text_of(place.get()))));
    }
    for (key, value) in element.iter().filter(|(key, _)| key.starts_with("attr__")) {
        attributes.push((
            key,
            match value.get() {
                "null" => return Err(format!("invalid elements: `{key}` is null")),
                // The list is the one that was sorted.
                list if list.starts_with('[') && key == "attr__class" => classes.join(","),
                _ => text_of(value.get()),
            },
        ));
    }
    attributes.sort_by_key(|(key, _)| collated(key));
    let mut shown = text("tag_name")?;
    for class in &classes {
        shown.push('.');
        shown.push_str(&class.replace('"', ""));
    }
    shown.push(':');
    for (key, value) in attributes {
        let escaped = |text: &str| text.replace('"', "\\\"");
        shown.extend([&escaped(key), "=\"", &escaped(&value), "\""]);
    }
    Ok(shown)
}

/// A string as it is, anything else as its source text.
fn text_of(value: &str) -> String {
    serde_json::from_str(value).unwrap_or_else(|_| value.to_owned())
}

/// The first UTF-16 units; half a surrogate pair is not kept.
fn cut(text: String, limit: usize) -> String {
    let mut units = 0;
    let fits = |c: &char| {
        units += c.len_utf16();
        units <= limit
    };
    if text.len() <= limit { text } else { text.chars().take_while(fits).collect() }
}

/// How JavaScript's `localeCompare` orders keys: underscores, hyphens, digits, letters, small ones before great ones.
fn collated(key: &str) -> (Vec<u32>, Vec<bool>) {
    let weight = |c: char| match c {
        '_' => 0,
        '-' => 1,
        c => 2 + u32::from(c.to_ascii_lowercase()),
    };
    (key.chars().map(weight).collect(), key.chars().map(|c| c.is_ascii_uppercase()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(dialect: Dialect, properties: &str) -> (Result<String, String>, String) {
        let mut properties: EventProperties<'_> = serde_json::from_str(properties).unwrap();
        let chain = take_chain(dialect, &mut properties);
        (chain, properties.keys().collect::<Vec<_>>().join(","))
    }

    fn chain_of(elements: &str) -> String {
        taken(Dialect::V2026, &format!(r#"{{"$elements":{elements}}}"#)).0.unwrap()
    }

    #[test]
    fn elements_become_a_chain() {
        let button = r#"{"tag_name":"button","$el_text":"say \"hi\"","attr__class":"b  a","attr__id":"x","attr__type":"submit",
            "attr__href":"/","nth_child":2,"nth_of_type":1,"other":1}"#;
        assert_eq!(
            chain_of(&format!(r#"[{button},{{"tag_name":"div"}}]"#)),
            r#"button..a.b:attr__class="b  a"attr__href="/"attr__id="x"attr__type="submit"attr_id="x"href="/"nth-child="2"nth-of-type="1"text="say \"hi\"";div:nth-child="0"nth-of-type="0""#
        );
        assert_eq!(
            chain_of(r#"[{"attr__class":["z\"","a"],"attr__b":true,"attr__b-c":1,"attr__b_c":2,"attr__B":3}]"#),
            r#".a.z:attr__b="true"attr__B="3"attr__b_c="2"attr__b-c="1"attr__class="a,z\""nth-child="0"nth-of-type="0""#
        );
    }

    #[test]
    fn long_texts_are_cut_and_empty_ones_left_out() {
        let long = |key: &str, length| chain_of(&format!(r#"[{{"{key}":"{}"}}]"#, "é".repeat(length)));
        assert!(long("$el_text", 401).ends_with(&format!("\"text=\"{}\"", "é".repeat(400))));
        let link = long("attr__href", 2_049);
        assert!(link.contains(&format!("\"href=\"{}\"", "é".repeat(2_048))) && link.contains(&"é".repeat(2_049)));
        assert_eq!(chain_of(r#"[{"$el_text":"","attr__href":""}]"#), r#":attr__href=""nth-child="0"nth-of-type="0""#);
    }

    #[test]
    fn a_chain_that_is_ready_is_taken() {
        let both = r#"{"$elements":[{"tag_name":"a"}],"$elements_chain":"b:x;\"","k":1}"#;
        assert_eq!(taken(Dialect::V2026, both), (Ok("b:x;\"".into()), "k".into()));
        assert_eq!(taken(Dialect::V2024, both), (Ok("b:x;\"".into()), "k".into()));
        let own = r#"a:nth-child="0"nth-of-type="0""#;
        assert_eq!(taken(Dialect::V2021, both), (Ok(own.into()), "$elements_chain,k".into()), "before there were any");
        assert_eq!(taken(Dialect::V2026, &both.replace(r#""b:x;\"""#, r#""""#)), (Ok(own.into()), "k".into()));
        for nothing in
            ["{}", r#"{"$elements":[]}"#, r#"{"$elements":null,"$elements_chain":null}"#, r#"{"$elements":{}}"#]
        {
            assert_eq!(taken(Dialect::V2026, nothing), (Ok(String::new()), String::new()), "{nothing}");
        }
    }

    #[test]
    fn what_throws_is_an_error() {
        for elements in ["[1]", r#"[{"$el_text":1}]"#, r#"[{"attr__x":null}]"#, r#"[{"attr__class":[1]}]"#] {
            assert!(taken(Dialect::V2026, &format!(r#"{{"$elements":{elements}}}"#)).0.is_err(), "{elements}");
        }
    }
}
