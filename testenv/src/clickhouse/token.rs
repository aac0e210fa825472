//! A statement's tokens: just enough of ClickHouse's lexer to tell words from what stands in strings and comments.
//!
//! Source: ClickHouse `src/Parsers/Lexer.cpp`. What never ends (a string, a comment) reaches to the end of the text.

/// A token: a word, a quoted text, or a single other character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// Its first byte.
    pub start: usize,
    /// The byte behind it.
    pub end: usize,
    /// How many brackets are open around it; an opening bracket stands outside itself, a closing one inside.
    pub depth: usize,
}

impl Token {
    /// The token's text.
    pub fn of<'text>(&self, text: &'text str) -> &'text str {
        &text[self.start..self.end]
    }

    /// Whether it is `word`, in capitals or not.
    pub fn is(&self, text: &str, word: &str) -> bool {
        self.of(text).eq_ignore_ascii_case(word)
    }

    /// Whether it is a bare word.
    pub fn is_word(&self, text: &str) -> bool {
        self.of(text).bytes().next().is_some_and(|byte| byte == b'_' || byte.is_ascii_alphabetic())
    }
}

/// The tokens of `text`, without blanks and comments, as far as they are asked for.
pub fn tokens(text: &str) -> impl Iterator<Item = Token> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    std::iter::from_fn(move || {
        while let Some(length) = gap(&bytes[at..]) {
            at += length;
        }
        let first = *bytes.get(at)?;
        let length = match first {
            b'\'' | b'"' | b'`' => quoted(&bytes[at..], first),
            b'$' => heredoc(&bytes[at..]),
            byte if is_word_byte(byte) => bytes[at..].iter().take_while(|byte| is_word_byte(**byte)).count(),
            // A character that is no ASCII is whole.
            _ => (at + 1..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len()) - at,
        };
        let token = Token { start: at, end: at + length, depth };
        match first {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => (),
        }
        at += length;
        Some(token)
    })
}

fn is_word_byte(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

/// The length of the blank or comment that `bytes` begin with.
fn gap(bytes: &[u8]) -> Option<usize> {
    let line = || bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    match bytes {
        [byte, ..] if byte.is_ascii_whitespace() || *byte == 0x0b => Some(1),
        [b'-', b'-', ..] | [b'#', b' ' | b'!', ..] => Some(line()),
        [b'/', b'*', rest @ ..] => {
            Some(rest.windows(2).position(|pair| pair == b"*/").map_or(bytes.len(), |end| end + 4))
        }
        _ => None,
    }
}

/// The length of a text in `quote`s: a backslash escapes, and a doubled quote is one.
fn quoted(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        at += match byte {
            b'\\' => 2,
            byte if *byte == quote && bytes.get(at + 1) == Some(&quote) => 2,
            byte if *byte == quote => return at + 1,
            _ => 1,
        };
    }
    bytes.len()
}

/// The length of `$tag$ … $tag$`, or of a dollar alone.
fn heredoc(bytes: &[u8]) -> usize {
    let word = bytes[1..].iter().take_while(|byte| is_word_byte(**byte)).count();
    if bytes.get(word + 1) != Some(&b'$') {
        return 1;
    }
    let tag = &bytes[..word + 2];
    let rest = &bytes[tag.len()..];
    rest.windows(tag.len()).position(|window| window == tag).map_or(bytes.len(), |end| end + 2 * tag.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        tokens(text).map(|token| token.of(text)).collect()
    }

    #[test]
    fn words_strings_and_signs() {
        for (text, expected) in [
            ("SELECT 1", vec!["SELECT", "1"]),
            ("a.b,`c d`", vec!["a", ".", "b", ",", "`c d`"]),
            (r"'it\'s' 'it''s' x", vec![r"'it\'s'", "'it''s'", "x"]),
            ("-- one\n/* two ; */ # three\n#!four\nx", vec!["x"]),
            ("a-b--c", vec!["a", "-", "b"]),
            ("$x$;'$x$ y $", vec!["$x$;'$x$", "y", "$"]),
            ("'never ends", vec!["'never ends"]),
            ("/* never ends", vec![]),
            (r"'ends in \", vec![r"'ends in \"]),
            ("é ü", vec!["é", "ü"]),
        ] {
            assert_eq!(texts(text), expected, "{text}");
        }
    }

    #[test]
    fn brackets_are_counted() {
        let depths: Vec<_> = tokens("a(b[c])d)").map(|token| token.depth).collect();
        assert_eq!(depths, [0, 0, 1, 1, 2, 2, 1, 0, 0]);
    }

    proptest! {
        #[test]
        fn tokens_are_slices_in_order(text in "[a-z'\"`$;()\\[\\]{}\\\\/*#\\-é \n0-9]{0,40}") {
            let mut last = 0;
            for token in tokens(&text) {
                prop_assert!(token.start >= last && token.end > token.start);
                prop_assert!(!token.of(&text).is_empty());
                last = token.end;
            }
        }
    }
}
