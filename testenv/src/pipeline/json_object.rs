//! A JSON object that is written member by member. Messages and rows are: with strings as [`push_string`] writes them, and nothing
//! that could fail.

use std::io::Write as _;

use super::json_string::push_string;

/// One that is being written.
#[derive(Debug)]
#[must_use = "it is to be ended"]
pub struct JsonObject<'a> {
    text: &'a mut Vec<u8>,
    before: u8,
}

impl<'a> JsonObject<'a> {
    /// One that begins at the end of `text`.
    pub const fn begin(text: &'a mut Vec<u8>) -> Self {
        Self { text, before: b'{' }
    }

    /// `key` needs no escapes.
    fn key(&mut self, key: &'static str) {
        self.text.extend_from_slice(&[self.before, b'"']);
        self.text.extend_from_slice(key.as_bytes());
        self.text.extend_from_slice(b"\":");
        self.before = b',';
    }

    /// A string.
    pub fn string(mut self, key: &'static str, value: &str) -> Self {
        self.key(key);
        push_string(value, self.text);
        self
    }

    /// A string, unless it is empty.
    pub fn string_unless_empty(self, key: &'static str, value: &str) -> Self {
        if value.is_empty() { self } else { self.string(key, value) }
    }

    /// A number.
    pub fn number(mut self, key: &'static str, value: i64) -> Self {
        self.key(key);
        // Into memory nothing fails.
        let _ = write!(self.text, "{value}");
        self
    }

    /// A value of which this is the JSON text.
    pub fn raw(mut self, key: &'static str, value: &str) -> Self {
        self.key(key);
        self.text.extend_from_slice(value.as_bytes());
        self
    }

    /// A flag, where it is true.
    pub fn flag_if(mut self, key: &'static str, value: bool) -> Self {
        if value {
            self.key(key);
            self.text.extend_from_slice(b"true");
        }
        self
    }

    /// Ends it.
    pub fn end(self) {
        self.text.extend_from_slice(if self.before == b'{' { b"{}" } else { b"}" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_an_object_of_what_it_was_given() {
        let mut text = b"[".to_vec();
        JsonObject::begin(&mut text)
            .string("a", "\"é\n")
            .string_unless_empty("b", "")
            .string_unless_empty("c", "x")
            .number("d", i64::MIN)
            .raw("g", "[1]")
            .flag_if("e", false)
            .flag_if("f", true)
            .end();
        let expected = r#"[{"a":"\"é\n","c":"x","d":-9223372036854775808,"g":[1],"f":true}"#;
        assert_eq!(String::from_utf8(text).unwrap(), expected);
        let mut text = Vec::new();
        JsonObject::begin(&mut text).flag_if("a", false).end();
        assert_eq!(text, b"{}");
    }
}
