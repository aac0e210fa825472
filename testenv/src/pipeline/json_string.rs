//! JSON strings that hold JSON text themselves, as events and rows do: every tenth character of such a one is escaped, and
//! nearly all of those are quotation marks. Where sixteen bytes cannot be written together, eight are, with a byte's place in a word
//! as in "Hacker's Delight" (2nd edition, 6-1: the lowest byte that is found is one, those above it may be none).

#[cfg(target_arch = "x86_64")]
mod sixteen;

use std::borrow::Cow;

#[cfg(target_arch = "x86_64")]
use sixteen::Sixteen;

const EACH: u64 = 0x0101_0101_0101_0101;
const TOP: u64 = 0x8080_8080_8080_8080;
const SPACE: u8 = b' ';

/// The top bits of the bytes of `word` that are below `limit`, which is at most 0x80.
const fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(EACH * limit as u64) & !word & TOP
}

/// The top bits of the bytes of `word` that are `byte`.
const fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (EACH * byte as u64), 1)
}

/// The place of the first byte among those whose top bits are `found`.
const fn first(found: u64) -> usize {
    (found.trailing_zeros() / 8) as usize
}

/// Copies `bytes` from `at` on, up to the first one that `is_found` finds in a word; its place, if there is one.
#[inline]
fn copy_up_to(is_found: impl Fn(u64) -> u64, bytes: &[u8], mut at: usize, out: &mut Vec<u8>) -> Option<usize> {
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let found = is_found(u64::from_le_bytes(*eight));
        out.extend_from_slice(eight);
        if found != 0 {
            out.truncate(out.len() - 8 + first(found));
            return Some(at + first(found));
        }
        at += 8;
    }
    // Nobody looks for the byte that fills the last word.
    let (rest, mut eight) = (bytes.get(at..)?, [0xff; 8]);
    eight[..rest.len()].copy_from_slice(rest);
    let found = is_found(u64::from_le_bytes(eight));
    let length = if found == 0 { rest.len() } else { first(found) };
    out.extend_from_slice(&rest[..length]);
    (found != 0).then_some(at + length)
}

/// Writes `text` as a JSON string, as `serde_json` does: with the short escapes where there are any, and nothing escaped that need
/// not be.
pub fn push_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    push_escaped(text.as_bytes(), out);
    out.push(b'"');
}

#[inline]
fn push_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    #[cfg(target_arch = "x86_64")]
    if let Some(sixteen) = Sixteen::new() {
        return sixteen.push_escaped(bytes, out);
    }
    push_escaped_by_eight(bytes, out);
}

fn push_escaped_by_eight(bytes: &[u8], out: &mut Vec<u8>) {
    let is_escaped = |word| below(word, SPACE) | equal(word, b'"') | equal(word, b'\\');
    let mut at = 0;
    out.reserve(bytes.len() + bytes.len() / 8 + 16);
    while let Some(found) = copy_up_to(is_escaped, bytes, at, out) {
        push_escaped_byte(bytes[found], out);
        at = found + 1;
    }
}

#[inline]
fn push_escaped_byte(byte: u8, out: &mut Vec<u8>) {
    match byte {
        ..SPACE => push_control(byte, out),
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        _ => out.push(byte),
    }
}

#[cold]
fn push_control(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        8 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        12 => b'f',
        b'\r' => b'r',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend([byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]));
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// What a string says whose opening quotation mark stands before `rest`, and what stands behind its closing one; none if there is
/// none, an escape of the long form, or what may not stand in a string.
pub fn read_string(rest: &str) -> Option<(Cow<'_, str>, &str)> {
    let (bytes, plain) = (rest.as_bytes(), plain(rest.as_bytes()));
    if bytes.get(plain) == Some(&b'"') {
        return Some((Cow::Borrowed(&rest[..plain]), &rest[plain + 1..]));
    }
    let mut text = Vec::new();
    let end = unescape(bytes, &mut text)?;
    Some((Cow::Owned(String::from_utf8(text).ok()?), &rest[end + 1..]))
}

/// How many of `bytes` stand before a quotation mark, a backslash or a control character.
#[inline]
pub(super) fn plain(bytes: &[u8]) -> usize {
    #[cfg(target_arch = "x86_64")]
    if let Some(sixteen) = Sixteen::new() {
        return sixteen.plain(bytes);
    }
    bytes.iter().position(|byte| matches!(byte, ..SPACE | b'"' | b'\\')).unwrap_or(bytes.len())
}

fn unescape(bytes: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if let Some(sixteen) = Sixteen::new() {
        return sixteen.unescape(bytes, out);
    }
    out.reserve(bytes.len());
    unescape_bytes(bytes, usize::MAX, out)?.ok()
}

/// Unescapes a string up to its closing quotation mark, whose place is returned; or `least` bytes of it and at most one more, and how
/// many they are is the error. None where it does not end, has an escape of the long form, or what may not stand in a string.
fn unescape_bytes(bytes: &[u8], least: usize, out: &mut Vec<u8>) -> Option<Result<usize, usize>> {
    let mut at = 0;
    while at < least {
        match *bytes.get(at)? {
            b'"' => return Some(Ok(at)),
            b'\\' => {
                out.push(meant(*bytes.get(at + 1)?)?);
                at += 1;
            }
            ..SPACE => return None,
            byte => out.push(byte),
        }
        at += 1;
    }
    Some(Err(at))
}

/// What the short escape with this letter stands for.
const fn meant(letter: u8) -> Option<u8> {
    Some(match letter {
        b'"' | b'\\' | b'/' => letter,
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 8,
        b'f' => 12,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    fn written(text: &str) -> String {
        let mut out = b"before".to_vec();
        push_string(text, &mut out);
        String::from_utf8(out.split_off(6)).unwrap()
    }

    /// As a machine would that cannot shuffle bytes.
    fn written_by_eight(text: &str) -> String {
        let mut out = b"\"".to_vec();
        push_escaped_by_eight(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap() + "\""
    }

    fn read_bytewise(rest: &str) -> Option<(String, &str)> {
        let mut out = Vec::new();
        let end = unescape_bytes(rest.as_bytes(), usize::MAX, &mut out)?.unwrap();
        Some((String::from_utf8(out).unwrap(), &rest[end + 1..]))
    }

    #[test]
    fn every_character_is_written_as_serde_json_does_wherever_it_stands() {
        for character in (0..0x300).filter_map(char::from_u32).chain(['\u{2028}', '\u{ffff}', '😀']) {
            for before in 0..18 {
                for after in [0, 1, 7, 8, 9, 15, 16, 17] {
                    let text = format!("{}{character}{}", "a".repeat(before), "b".repeat(after));
                    let json = serde_json::to_string(&text).unwrap();
                    assert_eq!(written(&text), json);
                    assert_eq!(written_by_eight(&text), json);
                }
            }
        }
    }

    #[test]
    fn long_strings_take_little_more_room_than_they_need() {
        for part in ["\n", "\\\"", "\"", "\u{1}", "é", ""] {
            for every in [1, 17, 50] {
                let text = format!("{}{part}", "a".repeat(every)).repeat(300_000 / every);
                let json = serde_json::to_string(&text).unwrap();
                // As other texts stand before it.
                let mut out = Vec::from("before".repeat(100_000));
                let before = out.len();
                push_string(&text, &mut out);
                assert_eq!(&out[before..], json.as_bytes());
                assert!(out.capacity() < 2 * (before + json.len() + 96) + 2 * json.len());
                let read = read_string(&json[1..]);
                if part == "\u{1}" {
                    assert_eq!(read, None);
                    continue;
                }
                let (read, behind) = read.unwrap();
                assert!(read == text && behind.is_empty());
                let room = if let Cow::Owned(read) = read { read.capacity() } else { 0 };
                assert!(room < 4 * text.len());
            }
        }
        let short = format!(r#"{}\"b\\\n",{}"#, "a".repeat(40), "c".repeat(1 << 20));
        let (read, _) = read_string(&short).unwrap();
        assert!(matches!(read, Cow::Owned(read) if read.capacity() < 10_000), "what is behind it takes no room");
    }

    #[test]
    fn every_set_of_escapes_is_written_and_read_back() {
        for set in 0..1 << 17_u32 {
            let text: String = (0..17).map(|at| if set >> at & 1 == 1 { '"' } else { 'a' }).collect();
            let json = written(&text);
            assert_eq!(json, format!("\"{}\"", text.replace('"', "\\\"")));
            assert_eq!(read_string(&json[1..]), Some((text.into(), "")));
        }
    }

    #[test]
    fn long_escapes_and_what_is_no_string_are_left_to_others() {
        let inners =
            [r"\u00e9", r"12345678\u00e9", r"\x", r"\", r"1234567\", r#"\"12345\"#, "\n", r#"\""#, "", "no end"];
        for inner in inners {
            for before in 0..18 {
                let text = "a".repeat(before) + inner;
                let closed = text.clone() + "\"";
                for text in [&text, &closed]
                    .iter()
                    .filter(|text| serde_json::from_str::<&RawValue>(&format!("\"{text}")).is_err())
                {
                    assert_eq!(read_string(text), None, "{text}");
                    assert_eq!(read_bytewise(text), None, "{text}");
                }
                if inner.contains("\\u") {
                    assert_eq!(read_string(&closed), None, "{closed}");
                }
            }
        }
        for rest in ["", "\\", ",\"\\n"] {
            let text = format!("plain\"{rest}");
            assert!(matches!(read_string(&text), Some((Cow::Borrowed("plain"), behind)) if behind == rest));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_serde_json_does_and_read_back(
            text in ".{0,80}",
            odd in "[\"\\\\/\n\t\r\u{8}\u{c}aé😀]{0,80}",
            mild in "[\"\\\\abcdefghijklmnopqrstuvwxyzé]{0,200}",
            behind in "[\"\\\\a\n]{0,20}",
        ) {
            for text in [text, serde_json::to_string(&odd).unwrap(), serde_json::to_string(&mild).unwrap(), odd, mild] {
                let json = serde_json::to_string(&text).unwrap();
                prop_assert_eq!(&written(&text), &json);
                prop_assert_eq!(&written_by_eight(&text), &json);
                let rest = json[1..].to_owned() + &behind;
                let read = read_string(&rest);
                prop_assert_eq!(&read, &read_bytewise(&rest).map(|(text, rest)| (Cow::Owned(text), rest)));
                prop_assert!(read == Some((text.into(), &behind)) || json.contains("\\u"));
            }
        }

        #[test]
        fn what_is_no_string_is_none(text in "[\"\\\\unx\na]{0,60}") {
            let expected = serde_json::Deserializer::from_str(&format!("\"{text}")).into_iter::<String>().next().unwrap().ok();
            match read_string(&text) {
                Some((read, _)) => prop_assert_eq!(Some(read.into_owned()), expected),
                None => prop_assert!(expected.is_none() || text.contains("\\u")),
            }
        }
    }
}
