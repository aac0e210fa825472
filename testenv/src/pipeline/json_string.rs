//! JSON strings that hold JSON text themselves, as events and rows do: every tenth character of such a one is escaped, and
//! nearly all of those are quotation marks. Both ways eight bytes are looked at together, with a byte's place in a word as in
//! "Hacker's Delight" (2nd edition, 6-1: the lowest byte that is found is one, those above it may be none).

use std::borrow::Cow;

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
    let is_escaped = |word| below(word, SPACE) | equal(word, b'"') | equal(word, b'\\');
    let (bytes, mut at) = (text.as_bytes(), 0);
    out.reserve(bytes.len() + bytes.len() / 8 + 16);
    out.push(b'"');
    while let Some(found) = copy_up_to(is_escaped, bytes, at, out) {
        push_escape(bytes[found], out);
        at = found + 1;
    }
    out.push(b'"');
}

#[inline]
fn push_escape(byte: u8, out: &mut Vec<u8>) {
    if byte < SPACE {
        push_control(byte, out);
    } else {
        out.extend_from_slice(&[b'\\', byte]);
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

/// What a string says between whose quotation marks `inner` stands, if none of its escapes are of the long form and `inner` may
/// stand there.
pub fn unescaped(inner: &str) -> Option<Cow<'_, str>> {
    let bytes = inner.as_bytes();
    if memchr::memchr(b'\\', bytes).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    let (mut text, mut at) = (Vec::with_capacity(bytes.len() + 8), 0);
    while let Some(found) = copy_up_to(|word| equal(word, b'\\'), bytes, at, &mut text) {
        text.push(meant(*bytes.get(found + 1)?)?);
        at = found + 2;
    }
    String::from_utf8(text).ok().map(Cow::Owned)
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

    use super::*;

    fn written(text: &str) -> String {
        let mut out = b"before".to_vec();
        push_string(text, &mut out);
        String::from_utf8(out.split_off(6)).unwrap()
    }

    #[test]
    fn every_character_is_written_as_serde_json_does_wherever_it_stands() {
        for character in (0..0x300).filter_map(char::from_u32).chain(['\u{2028}', '\u{ffff}', '😀']) {
            for before in 0..9 {
                for after in [0, 1, 7, 8, 9] {
                    let text = format!("{}{character}{}", "a".repeat(before), "b".repeat(after));
                    assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
                }
            }
        }
    }

    #[test]
    fn long_escapes_and_a_backslash_at_the_end_are_left_to_others() {
        for inner in [r"\u00e9", r"12345678\u00e9", r"\x", r"\", r"1234567\", r#"\"12345\"#] {
            assert_eq!(unescaped(inner), None, "{inner}");
        }
        assert!(matches!(unescaped("plain"), Some(Cow::Borrowed("plain"))));
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_serde_json_does_and_read_back(
            text in ".{0,40}",
            odd in "[\"\\\\/\n\t\r\u{8}\u{c}aé😀]{0,40}",
        ) {
            for text in [text, odd.clone(), serde_json::to_string(&odd).unwrap()] {
                let json = serde_json::to_string(&text).unwrap();
                prop_assert_eq!(&written(&text), &json);
                let read = unescaped(&json[1..json.len() - 1]);
                prop_assert!(read.is_some_and(|read| read == text) || json.contains("\\u"));
            }
        }
    }
}
