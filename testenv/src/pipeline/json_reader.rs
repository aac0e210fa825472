//! JSON text that is read where it stands, once: an object's keys, and the texts of its values.
//!
//! What is read here, any reader of JSON takes, and takes for the same. The other way round it need not be: a key with an escape,
//! or what is nested deeper than [`DEEPEST`], is left to `serde_json`, as whatever is broken is, which tells how.

use std::borrow::Cow;

use super::json_string::{plain, read_string};

/// Lists and objects within each other.
const DEEPEST: usize = 64;

/// A place in a JSON text.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// At the beginning of `text`.
    pub const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Goes behind `byte`, if it is the next one.
    fn takes(&mut self, byte: u8) -> bool {
        let takes = self.next() == Some(byte);
        self.at += usize::from(takes);
        takes
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.takes(byte).then_some(())
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.next() {
            self.at += 1;
        }
    }

    /// Nothing but white space is left.
    pub fn end(&mut self) -> Option<()> {
        self.skip_space();
        (self.at == self.text.len()).then_some(())
    }

    /// Reads an object. `member` gets each key, in the order in which they stand there, and has to read the value.
    pub fn object(&mut self, mut member: impl FnMut(&'a str, &mut Self) -> Option<()>) -> Option<()> {
        self.all(b'{', b'}', |reader| {
            let key = reader.plain_string()?;
            reader.skip_space();
            reader.take(b':')?;
            member(key, reader)
        })
    }

    /// Reads a list, each of whose members `member` has to read.
    pub fn list(&mut self, member: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.all(b'[', b']', member)
    }

    /// Reads what stands between two brackets, with a comma between each two.
    fn all(&mut self, begin: u8, end: u8, mut member: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.skip_space();
        self.take(begin)?;
        self.skip_space();
        if self.takes(end) {
            return Some(());
        }
        loop {
            self.skip_space();
            member(self)?;
            self.skip_space();
            if !self.takes(b',') {
                return self.take(end);
            }
        }
    }

    /// What a string says that has at most short escapes.
    pub fn string(&mut self) -> Option<Cow<'a, str>> {
        self.skip_space();
        self.take(b'"')?;
        let (string, behind) = read_string(&self.text[self.at..])?;
        self.at = self.text.len() - behind.len();
        Some(string)
    }

    /// What a string says that has no escapes.
    pub fn plain_string(&mut self) -> Option<&'a str> {
        self.skip_space();
        self.take(b'"')?;
        let start = self.at;
        self.at += plain(&self.text.as_bytes()[start..]);
        let string = &self.text[start..self.at];
        self.take(b'"')?;
        Some(string)
    }

    /// The text of a value.
    pub fn value(&mut self) -> Option<&'a str> {
        self.skip_space();
        let start = self.at;
        self.skip_value(DEEPEST)?;
        Some(&self.text[start..self.at])
    }

    fn skip_value(&mut self, deepest: usize) -> Option<()> {
        match self.next()? {
            b'"' => self.skip_string(),
            b'-' | b'0'..=b'9' => self.skip_number(),
            b'{' => {
                let deepest = deepest.checked_sub(1)?;
                self.all(b'{', b'}', |reader| {
                    reader.skip_string()?;
                    reader.skip_space();
                    reader.take(b':')?;
                    reader.skip_space();
                    reader.skip_value(deepest)
                })
            }
            b'[' => {
                let deepest = deepest.checked_sub(1)?;
                self.all(b'[', b']', |reader| reader.skip_value(deepest))
            }
            _ => {
                let rest = &self.text.as_bytes()[self.at..];
                let word = [&b"true"[..], b"false", b"null"].into_iter().find(|word| rest.starts_with(word))?;
                self.at += word.len();
                Some(())
            }
        }
    }

    fn skip_string(&mut self) -> Option<()> {
        let bytes = self.text.as_bytes();
        self.take(b'"')?;
        loop {
            self.at += plain(&bytes[self.at..]);
            match *bytes.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => match *bytes.get(self.at + 1)? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
                    // Half a surrogate pair is one for those who read the string.
                    b'u' if bytes.get(self.at + 2..self.at + 6)?.iter().all(u8::is_ascii_hexdigit) => self.at += 6,
                    _ => return None,
                },
                _ => return None,
            }
        }
    }

    fn skip_number(&mut self) -> Option<()> {
        self.takes(b'-');
        if !self.takes(b'0') {
            self.skip_digits()?;
        }
        if self.takes(b'.') {
            self.skip_digits()?;
        }
        if self.takes(b'e') || self.takes(b'E') {
            let _ = self.takes(b'+') || self.takes(b'-');
            self.skip_digits()?;
        }
        Some(())
    }

    /// At least one.
    fn skip_digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.next().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::{
        Deserialize, Deserializer,
        de::{MapAccess, Visitor},
    };
    use serde_json::value::RawValue;

    use super::*;

    type Members = Vec<(String, String)>;

    fn read(text: &str) -> Option<Members> {
        let (mut reader, mut members) = (Reader::new(text), Vec::new());
        reader.object(|key, reader| {
            members.push((key.to_owned(), reader.value()?.to_owned()));
            Some(())
        })?;
        reader.end().map(|()| members)
    }

    /// The same of `serde_json`.
    fn expected(text: &str) -> Option<Members> {
        struct All(Members);
        impl<'de> Deserialize<'de> for All {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Pairs;
                impl<'de> Visitor<'de> for Pairs {
                    type Value = All;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }
                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<All, A::Error> {
                        let mut all = Vec::new();
                        while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                            all.push((key, value.get().to_owned()));
                        }
                        Ok(All(all))
                    }
                }
                deserializer.deserialize_map(Pairs)
            }
        }
        serde_json::from_str::<All>(text).ok().map(|all| all.0)
    }

    #[test]
    fn values_keep_their_text_and_keys_their_order() {
        let text =
            " {\n\"b\" : 1.50e-7 ,\"a\":[ 1 , {\"x\":\"]\\\"}\"} ],\"\":null,\"b\":\"é\\ud83d\", \"c\":-0,\"d\":{}} ";
        let members = read(text).unwrap();
        assert_eq!(Some(&members), expected(text).as_ref());
        let texts: Vec<_> = members.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(texts[..2], [("b", "1.50e-7"), ("a", "[ 1 , {\"x\":\"]\\\"}\"} ]")]);
        assert_eq!(texts[2..5], [("", "null"), ("b", "\"é\\ud83d\""), ("c", "-0")]);
    }

    #[test]
    fn what_is_broken_is_left_to_others() {
        for value in [
            "",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "1e+",
            "+1",
            "--1",
            "nul",
            "True",
            "\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "\"\\u12",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[",
            "[1",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "{\"a\":1,}",
            "{1:1}",
            "1 1",
            "{\"a\\x\":1}",
        ] {
            for text in [format!("{{\"a\":{value}}}"), format!("{{\"a\":[{value} x]}}")] {
                assert_eq!(read(&text), None, "{text}");
                assert_eq!(expected(&text), None, "{text}");
            }
        }
        for text in
            ["", "{", "[]", "1", "{}}", "{} x", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{,}", "{\"a\":1,}"]
        {
            assert_eq!(read(text), None, "{text}");
            assert_eq!(expected(text), None, "{text}");
        }
        let deep = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&deep(DEEPEST)).is_some());
        assert!(read(&deep(DEEPEST + 1)).is_none() && expected(&deep(DEEPEST + 1)).is_some());
        assert_eq!(read(r#"{"\u0061":1}"#), None);
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?",
            ".{0,20}".prop_map(|text| serde_json::to_string(&text).unwrap()),
            proptest::sample::select(vec![
                "true",
                "false",
                "null",
                "{}",
                "[ ]",
                "\"\\ud83d\"",
                "\"\\/\"",
                "01",
                "tru",
                "\"\\x\""
            ])
            .prop_map(str::to_owned),
        ];
        leaf.prop_recursive(3, 24, 5, |inner| {
            let key = "[a-z$_]{0,4}";
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(|all| format!("[{}]", all.join(", "))),
                proptest::collection::vec((key, inner), 0..5).prop_map(|all| {
                    let all: Vec<_> = all.into_iter().map(|(key, value)| format!("\"{key}\" :{value}")).collect();
                    format!("{{{}}}", all.join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn an_object_is_read_as_serde_json_reads_it(
            members in proptest::collection::vec(("[a-z$_é]{0,20}", json()), 0..8),
            cut in 0_usize..400,
            put in proptest::sample::select(vec!["", "\"", "\\", ",", "}", "]", "1", " ", "\n", "\u{1}"]),
        ) {
            let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
            let text = format!("{{{}}}", members.join(","));
            prop_assert_eq!(read(&text), expected(&text));
            if let Some((before, behind)) = text.split_at_checked(cut) {
                // Where a backslash comes into a key, the other one may read more.
                let text = format!("{before}{put}{behind}");
                let read = read(&text);
                prop_assert!(read.is_none() && text.contains('\\') || read == expected(&text), "{}", text);
            }
        }
    }
}
