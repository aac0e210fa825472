//! Content that hurts: what has broken pipelines before, and what clients really send (ingestion contract 1.2, 2.2, 5).
//!
//! A hostile event is an ordinary one in which something is replaced or added. What must become of it is for the oracle to
//! say. Values that no map of JSON values can hold, such as half a surrogate pair or a number of forty digits, are
//! members of their own, as source text.

use serde::{Deserialize, Serialize};

use crate::{
    event::{Event, Member},
    random::Random,
};

/// A kind of content that hurts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hostile {
    /// NUL characters in values, keys and the name.
    Nul,
    /// Escapes of half a surrogate pair.
    LoneSurrogate,
    /// Emoji of several code points, beside others of four bytes.
    Emoji,
    /// Right-to-left scripts and marks.
    RightToLeft,
    /// A name of more than 200 characters.
    LongName,
    /// A distinct id of more than 200 characters.
    LongDistinctId,
    /// Whole numbers beyond 2^53 and beyond 64 bits.
    BigNumbers,
    /// −0, 1e308, the smallest double, more digits than a double has.
    OddNumbers,
    /// Lists and objects in a hundred levels.
    Deep,
    /// An object of two thousand members.
    Wide,
    /// Keys with dots, dollars, quotes, blanks, other scripts, and none.
    OddKeys,
    /// Empty objects, lists and strings.
    Empty,
    /// null for what usually is something.
    Nulls,
    /// A distinct id that is on the list of those that no person may have.
    IllegalDistinctId,
    /// A distinct id that is a number, a list, an object or a truth value.
    OddDistinctId,
    /// Properties of the library with values of other types than it sends.
    WrongTypes,
    /// A name with NUL characters, halves of surrogate pairs, emoji or right-to-left text in it, some of them too long.
    HostileName,
    /// A distinct id with the same in it.
    HostileDistinctId,
}

impl Hostile {
    /// So many of them, the first, are meant where none is named. Those that came later have to be named, so that such traffic stays
    /// what it was, byte for byte.
    pub const UNNAMED: usize = 16;

    /// All kinds, with the words for them.
    pub const ALL: [(&str, Self); 18] = [
        ("nul", Self::Nul),
        ("lone_surrogate", Self::LoneSurrogate),
        ("emoji", Self::Emoji),
        ("right_to_left", Self::RightToLeft),
        ("long_name", Self::LongName),
        ("long_distinct_id", Self::LongDistinctId),
        ("big_numbers", Self::BigNumbers),
        ("odd_numbers", Self::OddNumbers),
        ("deep", Self::Deep),
        ("wide", Self::Wide),
        ("odd_keys", Self::OddKeys),
        ("empty", Self::Empty),
        ("nulls", Self::Nulls),
        ("illegal_distinct_id", Self::IllegalDistinctId),
        ("odd_distinct_id", Self::OddDistinctId),
        ("wrong_types", Self::WrongTypes),
        ("hostile_name", Self::HostileName),
        ("hostile_distinct_id", Self::HostileDistinctId),
    ];

    /// Makes `event` hostile. One that joins two ids keeps its name and ids.
    pub(super) fn apply(self, random: &mut Random, event: &mut Event) {
        let joins = event.ids_of_person.len() > 1 && event.name == "$identify";
        match (self.is_of_ids(), joins) {
            (true, false) => self.apply_to_ids(random, event),
            // What joins ids is made hostile in another way.
            (true, true) => Self::Emoji.apply_to_properties(joins, event),
            (false, _) => self.apply_to_properties(joins, event),
        }
    }

    /// Whether its harm is in the name or the distinct id, and nowhere else.
    const fn is_of_ids(self) -> bool {
        matches!(
            self,
            Self::LongName
                | Self::LongDistinctId
                | Self::IllegalDistinctId
                | Self::OddDistinctId
                | Self::HostileName
                | Self::HostileDistinctId
        )
    }

    /// The kinds whose harm is in the name or the distinct id.
    fn apply_to_ids(self, random: &mut Random, event: &mut Event) {
        match self {
            Self::LongName => {
                let unit = if random.below(2) == 0 { "long_" } else { "lång·" };
                event.name = unit.repeat(41 + random.below(200) as usize);
            }
            Self::LongDistinctId => {
                // The person's own, so that the cut ids of two persons stay two.
                let unit = if random.below(2) == 0 { "-long" } else { "-länge" };
                let long = format!("{}{}", event.distinct_id, unit.repeat(50 + random.below(100) as usize));
                set_distinct_id(event, long);
            }
            Self::IllegalDistinctId => {
                let illegal = random.pick(&ILLEGAL_DISTINCT_IDS).copied().unwrap_or_default();
                set_distinct_id(event, illegal.to_owned());
            }
            Self::OddDistinctId => {
                // Where it holds the person's own, two persons stay two.
                let own = event.distinct_id.clone();
                let number = random.bits() >> 12;
                let json = match random.below(4) {
                    0 => number.to_string(),
                    1 => format!(r#"["{own}",{number}]"#),
                    2 => format!(r#"{{"id":"{own}"}}"#),
                    _ => "true".to_owned(),
                };
                set_distinct_id(event, json.clone());
                event.distinct_id_json = Some(json);
            }
            Self::HostileName => (event.name, event.name_json) = texts(random, ""),
            Self::HostileDistinctId => {
                // Behind the person's own, so that two persons stay two, also where it is cut.
                let (id, json) = texts(random, &event.distinct_id);
                set_distinct_id(event, id);
                event.distinct_id_json = json;
            }
            _ => (),
        }
    }

    /// The kinds whose harm is in the properties, and perhaps in the name as well.
    fn apply_to_properties(self, joins: bool, event: &mut Event) {
        let mut put = |key: &str, value: String| event.members.push(Member::new(key, value));
        match self {
            Self::Nul => {
                put("nul \\u0000 key", r#""\u0000 first, last \u0000""#.into());
                put("nul in depth", r#"{"a\u0000":["\u0000\u0000",{"b":"\\u0000 \\\u0000"}]}"#.into());
                if !joins {
                    event.name.push_str(" \0 named");
                }
            }
            Self::LoneSurrogate => {
                put("high surrogate", r#""\ud83d""#.into());
                put("low surrogate", r#"["\ude80 first", "\ud83d\ude80", "last \ud83d", "\ud83d\ud83d\ude80"]"#.into());
            }
            Self::Emoji => {
                put("emoji", r#""👩‍👩‍👧‍👦 🏳️‍🌈 🇺🇳 👍🏽 𝔘𝔫𝔦 🚀""#.into());
                put("👩‍🚀", r#"{"🚀":"\ud83d\ude80"}"#.into());
                if !joins {
                    event.name.push_str(" 🦔");
                }
            }
            Self::RightToLeft => {
                put("right to left", "\"العربية עברית \u{202e}reversed\u{202c} \u{200f}\u{feff}\"".into());
                put("مفتاح", r#"["قيمة","ערך"]"#.into());
            }
            Self::BigNumbers => {
                put(
                    "beyond 2^53",
                    "[9007199254740993,-9007199254740995,9223372036854775807,18446744073709551615]".into(),
                );
                put("beyond 64 bits", "123456789012345678901234567890123456789".into());
            }
            Self::OddNumbers => {
                put("negative zero", "[-0,-0.0,0e5]".into());
                put("great", "[1e308,-1.7976931348623157e308,1E+21]".into());
                put("small", "[5e-324,1e-7,-1e-400]".into());
                put("many digits", "0.10000000000000000555111512312578270211815834045410156250".into());
            }
            Self::Deep => {
                const LEVELS: usize = 50;
                put("deep", format!("{}1{}", r#"[{"a":"#.repeat(LEVELS), "}]".repeat(LEVELS)));
            }
            Self::Wide => {
                let members: Vec<String> = (0..2_000).map(|number| format!("\"key {number}\":{number}")).collect();
                put("wide", format!("{{{}}}", members.join(",")));
            }
            Self::OddKeys => {
                for key in
                    ["", " ", "a.b.c", ".", "$", "$$", "$a.$b", "quote \\\" and \\\\", "tab\\t", "`tick'", "ключ"]
                {
                    put(key, r#""odd""#.into());
                }
                put("same", r#"{"a":{"a":{"":{" ":1}}}}"#.into());
                put("__proto__", r#"{"constructor":{"prototype":1}}"#.into());
            }
            Self::Empty => {
                put("empty", r#"{"object":{},"list":[],"text":"","lists":[[],[[]]],"objects":[{},{"a":{}}]}"#.into());
                put("empty object", "{}".into());
                put("empty text", r#""""#.into());
            }
            Self::Nulls => {
                put("nulls", r#"[null,{"a":null},[null]]"#.into());
                for key in ["$browser", "$os", "cart", "context", "price", "is_trial"] {
                    replace(event, key, "null");
                }
            }
            Self::WrongTypes => {
                for (key, value) in [
                    ("$session_id", "17"),
                    ("$browser_version", r#""a hundred""#),
                    ("$current_url", r#"{"no":"url"}"#),
                    ("$lib", "[]"),
                    ("$referrer", "false"),
                    ("$timezone", "-1"),
                    ("$window_id", "[1]"),
                ] {
                    replace(event, key, value);
                }
                if !joins {
                    replace(event, "$set", r#""no object""#);
                    replace(event, "$set_once", "[1]");
                    replace(event, "$groups", "5");
                    replace(event, "$unset", "7");
                }
            }
            _ => (),
        }
    }
}

/// Halves of surrogate pairs, which no text holds, as escapes; whole pairs and an escaped backslash are none. Other escapes right
/// behind a half are left out: PostHog's repair takes them away with it (rust/capture, `passes/invalid_surrogates.rs`).
const HALVES: [&str; 4] = [
    "half of \\ud83d an emoji",
    "\\ude80\\ud83d the wrong way round \\ude80",
    "\\ud83d\\ude80 is whole, \\\\ud83d is text, \\uD83D is neither",
    "\\udc00 at both ends \\ud83d",
];
/// What is longer than 200 in any measure when it stands there 51 times. A name is cut behind 200 UTF-16 units, which here is never
/// in the middle of a pair: what would be stored of that half is nowhere said.
const LONG: [&str; 3] = ["🦔🏳️‍🌈", "ש\0\u{200f}ﷺم", "\u{202e}\0\0\0é"];

/// What hurts as a name or a distinct id, behind `own`: as text, and as JSON where that is more.
fn texts(random: &mut Random, own: &str) -> (String, Option<String>) {
    let mut one_of = |texts: &[&str]| random.pick(texts).copied().unwrap_or_default().to_owned();
    let text = match one_of(&["nul", "half", "emoji", "right to left", "long"]).as_str() {
        "nul" => one_of(&["\0", " \0 in the middle", "\0\0\0 at both ends\0", "tab\tand \0 \u{7f}"]),
        "half" => {
            let text = format!("{own}{}", one_of(&HALVES));
            let json = format!("\"{text}\"");
            return (text, Some(json));
        }
        "emoji" => one_of(&["👩‍👩‍👧‍👦 🏳️‍🌈", "🇺🇳👍🏽", "𝔘𝔫𝔦 🦔", "e\u{301}\u{323}\u{fe0f}⃣"]),
        "right to left" => {
            one_of(&["العربية עברית", "\u{202e}reversed\u{202c}.", "مفتاح\u{200f}\u{2067}1\u{2069}\u{feff}"])
        }
        _ => one_of(&LONG).repeat(51),
    };
    (format!("{own}{text}"), None)
}

/// What clients send where they have nothing to say; no person may be joined to one of them (ingestion contract 2.3).
const ILLEGAL_DISTINCT_IDS: [&str; 10] =
    ["anonymous", "null", "undefined", "0", "NaN", "[object Object]", "true", "Guest", "'none'", "not_authenticated"];

/// The event is of a person that has only this id.
fn set_distinct_id(event: &mut Event, distinct_id: String) {
    event.ids_of_person = vec![distinct_id.clone()];
    event.distinct_id = distinct_id;
}

fn replace(event: &mut Event, key: &str, value: &str) {
    event.properties.remove(key);
    event.members.push(Member::new(key, value.to_owned()));
}
