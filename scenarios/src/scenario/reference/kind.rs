//! How values are written: told to people, and to editors as JSON Schema.

use serde_json::{Value, json};

/// How a value is written.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Any text.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number; where no end is told, another key decides it.
    Whole {
        /// At least.
        from: u64,
        /// At most.
        to: Option<u64>,
    },
    /// A number, with a point or without one.
    Number {
        /// At least.
        from: f64,
        /// At most.
        to: f64,
    },
    /// Text in a notation.
    In(&'static Notation),
    /// A size: a whole number, or a range of them.
    Size,
    /// `"event"`, `"request"`, or a number of events.
    Independence,
    /// One of some words.
    Choice(fn() -> Vec<&'static str>),
    /// One of some words, or a list of them.
    ChoiceOrChoices(fn() -> Vec<&'static str>),
    /// A list of some words.
    Choices(fn() -> Vec<&'static str>),
    /// One of some words or another host name, or a list of them.
    PartOrParts(fn() -> Vec<&'static str>),
    /// A list of texts.
    Texts,
    /// A text, or a list of texts.
    TextOrTexts,
    /// A table whose keys are free, and whose values are texts.
    Variables,
    /// Any value.
    Any,
    /// A text, a whole number, `true` or `false`.
    Plain,
}

/// A notation of people's: text that means a number.
#[derive(Debug)]
pub struct Notation {
    /// What it is called.
    pub name: &'static str,
    /// How it is written, in words.
    pub doc: &'static str,
    /// Some that are right.
    pub examples: &'static [&'static str],
    /// A regular expression for it, as JSON Schema has them.
    pub pattern: &'static str,
}

/// So many events in a time.
pub const RATE: Notation = Notation {
    name: "rate",
    doc: "a whole number above 0 in a second, minute or hour",
    examples: &["5000/s", "90/m", "10/h"],
    pattern: r"^\s*[0-9][0-9_]*\s*/\s*(s|m|min|h)\s*$",
};
/// A share.
pub const SHARE: Notation = Notation {
    name: "share",
    doc: "percent, from 0% to 100%",
    examples: &["20%", "0.5%", "99.99%"],
    pattern: r"^\s*[0-9]+(\.[0-9]*)?\s*%$",
};
/// A time that something takes.
pub const DURATION: Notation = Notation {
    name: "duration",
    doc: "a number with its unit: `us`, `ms`, `s`, `m`, `h` or `d`",
    examples: &["500ms", "2s", "1.5h", "1d"],
    pattern: r"^[0-9._]+\s*(us|µs|ms|s|m|min|h|d)\s*$",
};
/// A distribution of durations.
pub const DISTRIBUTION: Notation = Notation {
    name: "distribution",
    doc: "a duration, or how durations are drawn: evenly between two, with a mean, or with a mean and a standard deviation",
    examples: &["30s", "uniform(1s, 5s)", "exponential(30s)", "normal(0s, 2s)"],
    pattern: r"^([0-9._]+\s*(us|µs|ms|s|m|min|h|d)\s*|\s*(constant|uniform|exponential|normal)\s*\(.*\))$",
};
/// An amount of memory.
pub const MEMORY: Notation = Notation {
    name: "memory",
    doc: "a number with `MiB` or `GiB`, at least 6MiB",
    examples: &["512MiB", "1GiB"],
    pattern: r"^\s*[0-9][0-9._]*\s*(MiB|GiB)$",
};
/// Bytes a second.
pub const BANDWIDTH: Notation = Notation {
    name: "bandwidth",
    doc: "a number with `B/s`, `kB/s` or `MB/s`",
    examples: &["500kB/s", "2MB/s"],
    pattern: r"^\s*[0-9][0-9._]*\s*[kM]?B/s$",
};
/// How fast a recording is replayed.
pub const SPEED: Notation = Notation {
    name: "speed",
    doc: "how many times as fast as it was recorded",
    examples: &["2x", "0.5x"],
    pattern: r"^[0-9][0-9.]*\s*x$",
};
/// An image of a container.
pub const IMAGE: Notation = Notation {
    name: "image",
    doc: "`[REGISTRY/]NAME[:TAG]`",
    examples: &["redis:7", "apache/kafka:4.1.0"],
    pattern: r"^\S+$",
};

/// All of them, in the order in which people read them.
pub const NOTATIONS: [&Notation; 8] = [&RATE, &DURATION, &SHARE, &DISTRIBUTION, &MEMORY, &BANDWIDTH, &SPEED, &IMAGE];

/// How a range of sizes is written.
pub const SIZE_PATTERN: &str = r"^\s*[0-9][0-9_]*\s*(\.\.\s*[0-9][0-9_]*\s*)?$";

/// How a component is called.
const HOST_PATTERN: &str = "^[a-z0-9-]+$";

/// Ends beyond this one are there to keep arithmetic safe, and tell people nothing.
const NO_END: u64 = 1 << 32;

impl Kind {
    /// `text` as it stands in a file: in quotes, where values of this kind have them.
    pub fn toml(&self, text: &str) -> String {
        match self {
            Self::Text | Self::In(_) | Self::Choice(_) => quoted(text),
            Self::Size | Self::Independence if text.parse::<f64>().is_err() => quoted(text),
            _ => text.to_owned(),
        }
    }

    /// How it is written, in a few words of Markdown.
    pub fn told(&self) -> String {
        let either = |words: fn() -> Vec<&'static str>| {
            let words = words();
            // A long list is told where the key is explained.
            if words.len() > 7 { "one of the words".to_owned() } else { code_all(&words) }
        };
        match self {
            Self::Text => "text".to_owned(),
            Self::Flag => "`true` or `false`".to_owned(),
            Self::Whole { from, to: Some(to) } if *to < NO_END => format!("whole number from {from} to {to}"),
            Self::Whole { from, .. } => format!("whole number from {from} on"),
            Self::Number { from, to } => format!("number from {from} to {to}"),
            Self::In(notation) => notation.name.to_owned(),
            Self::Size => "size".to_owned(),
            Self::Independence => "`event`, `request`, or a number from 1 on".to_owned(),
            Self::Choice(words) => either(*words),
            Self::Choices(_) => "list of words".to_owned(),
            Self::ChoiceOrChoices(_) | Self::PartOrParts(_) => "a word, or a list of words".to_owned(),
            Self::Texts => "list of texts".to_owned(),
            Self::TextOrTexts => "text, or a list of texts".to_owned(),
            Self::Variables => "table of texts".to_owned(),
            Self::Any => "any value".to_owned(),
            Self::Plain => "text, whole number, `true` or `false`".to_owned(),
        }
    }

    /// What values of it are right, as JSON Schema.
    pub fn schema(&self) -> Value {
        let text = || json!({ "type": "string" });
        let list = |of: Value| json!({ "type": "array", "items": of });
        let one_of = |words: fn() -> Vec<&'static str>| json!({ "type": "string", "enum": words() });
        match self {
            Self::Text => text(),
            Self::Flag => json!({ "type": "boolean" }),
            Self::Whole { from, to: None } => json!({ "type": "integer", "minimum": from }),
            Self::Whole { from, to: Some(to) } => json!({ "type": "integer", "minimum": from, "maximum": to }),
            Self::Number { from, to } => json!({ "type": "number", "minimum": from, "maximum": to }),
            Self::In(notation) => json!({ "type": "string", "pattern": notation.pattern }),
            Self::Size => {
                let range = json!({ "type": "string", "pattern": SIZE_PATTERN });
                json!({ "anyOf": [{ "type": "integer", "minimum": 1 }, range] })
            }
            Self::Independence => {
                let words = json!({ "type": "string", "enum": ["event", "request"] });
                json!({ "anyOf": [words, { "type": "number", "minimum": 1 }] })
            }
            Self::Choice(words) => one_of(*words),
            Self::ChoiceOrChoices(words) => json!({ "anyOf": [one_of(*words), list(one_of(*words))] }),
            Self::Choices(words) => list(one_of(*words)),
            Self::PartOrParts(words) => {
                let part = || json!({ "anyOf": [one_of(*words), { "type": "string", "pattern": HOST_PATTERN }] });
                json!({ "anyOf": [part(), list(part())] })
            }
            Self::Texts => list(text()),
            Self::TextOrTexts => json!({ "anyOf": [text(), list(text())] }),
            Self::Variables => json!({ "type": "object", "additionalProperties": text() }),
            Self::Any => json!({}),
            Self::Plain => json!({ "type": ["string", "integer", "boolean"] }),
        }
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn code_all(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}
