//! JSON text: how it is written, and its repairs: what a parser would refuse or a store could not hold is replaced by U+FFFD.

use std::{borrow::Cow, sync::LazyLock};

use memchr::{memchr, memmem};
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

use super::json_string::read_string;

const REPLACEMENT: &str = "\\ufffd";

/// Reads a string that holds JSON text itself.
///
/// # Errors
/// When it is no string.
pub fn nested<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'de, str>, D::Error> {
    let text = <&RawValue>::deserialize(deserializer)?.get();
    let inner = text.strip_prefix('"').ok_or_else(|| de::Error::custom("a string is expected"))?;
    match read_string(inner) {
        Some((text, _)) => Ok(text),
        None => serde_json::from_str(text).map(Cow::Owned).map_err(de::Error::custom),
    }
}

/// Reads a value as its JSON text, and null as none.
///
/// # Errors
/// When it is no JSON.
pub fn text_unless_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de str>, D::Error> {
    Option::<&RawValue>::deserialize(deserializer).map(|value| value.map(RawValue::get))
}

/// Replaces escapes of surrogates that have no partner (capture, `passes/invalid_surrogates.rs`).
pub fn repair_surrogates(text: &str) -> Cow<'_, str> {
    static UNIT: LazyLock<memmem::Finder<'_>> = LazyLock::new(|| memmem::Finder::new(b"\\u"));
    if UNIT.find(text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    rewrite(text, |unit, next| match unit {
        0xd800..=0xdbff => match next {
            Some(0xdc00..=0xdfff) => Escape::KeepBoth,
            _ => Escape::Replace,
        },
        0xdc00..=0xdfff => Escape::Replace,
        _ => Escape::Keep,
    })
}

/// Replaces escaped NULs, which `PostgreSQL` cannot hold (plugin server, since pull request 18282).
pub fn replace_nul(text: &str) -> Cow<'_, str> {
    static NUL: LazyLock<memmem::Finder<'_>> = LazyLock::new(|| memmem::Finder::new(b"\\u0000"));
    if NUL.find(text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    rewrite(text, |unit, _| if unit == 0 { Escape::Replace } else { Escape::Keep })
}

/// Removes escaped NULs: what a planted defect does in place of [`replace_nul`].
pub fn drop_nul(text: &str) -> Cow<'_, str> {
    rewrite(text, |unit, _| if unit == 0 { Escape::Drop } else { Escape::Keep })
}

enum Escape {
    Keep,
    /// This one and the next, which is its partner.
    KeepBoth,
    Replace,
    Drop,
}

/// Walks over the escapes of `text`; `decide` gets each `\uXXXX` and the one right behind it.
fn rewrite(text: &str, decide: impl Fn(u16, Option<u16>) -> Escape) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let unit = |at: usize| {
        let escape = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(escape, 16).ok()
    };
    let (mut repaired, mut copied, mut at) = (String::new(), 0, 0);
    while let Some(found) = memchr(b'\\', &bytes[at..]) {
        at += found;
        match unit(at) {
            // Any other escape: the character behind the backslash belongs to it.
            None => at += 2,
            Some(this) => match decide(this, unit(at + 6)) {
                Escape::Keep => at += 6,
                Escape::KeepBoth => at += 12,
                escape @ (Escape::Replace | Escape::Drop) => {
                    repaired.push_str(&text[copied..at]);
                    if matches!(escape, Escape::Replace) {
                        repaired.push_str(REPLACEMENT);
                    }
                    at += 6;
                    copied = at;
                }
            },
        }
        if at >= bytes.len() {
            break;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    repaired.push_str(&text[copied..]);
    Cow::Owned(repaired)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lone_surrogates_and_nuls_are_replaced_and_nothing_else() {
        for (text, surrogates, nul) in [
            (r#""plain""#, r#""plain""#, r#""plain""#),
            (r#""\ud83d""#, r#""\ufffd""#, r#""\ud83d""#),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#, r#""\ude00\ud83d""#),
            (r#""\ud83dx\ude00""#, r#""\ufffdx\ufffd""#, r#""\ud83dx\ude00""#),
            (r#""\\ud83d""#, r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""a\u0000b""#, r#""a\u0000b""#, r#""a\ufffdb""#),
            (r#""a\\u0000b""#, r#""a\\u0000b""#, r#""a\\u0000b""#),
            (r#""\\\u0000""#, r#""\\\u0000""#, r#""\\\ufffd""#),
            (r#""é\ud83d日""#, r#""é\ufffd日""#, r#""é\ud83d日""#),
        ] {
            assert_eq!(repair_surrogates(text), surrogates, "{text}");
            assert_eq!(replace_nul(text), nul, "{text}");
        }
    }

    #[test]
    fn nuls_can_be_dropped_and_nothing_else() {
        for (text, dropped) in [
            (r#""a\u0000b\u0000""#, r#""ab""#),
            (r#""a\\u0000b""#, r#""a\\u0000b""#),
            (r#""\\\u0000""#, r#""\\""#),
            (r#""\u0001""#, r#""\u0001""#),
        ] {
            assert_eq!(drop_nul(text), dropped, "{text}");
        }
    }

    #[derive(Deserialize)]
    struct Nested<'a>(#[serde(borrow, deserialize_with = "nested")] Cow<'a, str>);

    #[test]
    fn nested_text_is_read_as_any_string() {
        for text in
            [r#""""#, r#""plain""#, r#""{\"a\":\"b\\\"c\\n\"}""#, r#""\/\b\f\n\r\t\\\"""#, r#""a\u00e9\ud83d\ude00\"""#]
        {
            assert_eq!(
                serde_json::from_str::<Nested<'_>>(text).unwrap().0,
                serde_json::from_str::<String>(text).unwrap()
            );
        }
        for broken in ["1", "null", "{}", r#"["a"]"#, r#""\x""#, r#""\ud83d""#, r#""\"#, "\"a\nb\""] {
            assert!(serde_json::from_str::<Nested<'_>>(broken).is_err(), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_back(text in ".*", odd in "[\"\\\\/\n\u{1}é😀]*") {
            for text in [text, odd] {
                let json = serde_json::to_string(&text).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Nested<'_>>(&json).unwrap().0, &text);
                let twice = serde_json::to_string(&json).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Nested<'_>>(&twice).unwrap().0, &json);
            }
        }

        #[test]
        fn what_is_right_stays(text in ".*") {
            let json = serde_json::to_string(&text.replace('\0', "")).unwrap();
            prop_assert_eq!(repair_surrogates(&json), json.as_str());
            prop_assert_eq!(replace_nul(&json), json.as_str());
        }

        #[test]
        fn broken_text_is_survived(text in r"[\\u0d8c\u{e9}]{0,30}") {
            let _ = repair_surrogates(&text);
            let _ = replace_nul(&text);
        }
    }
}
