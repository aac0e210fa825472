//! Comparing JSON as values: numbers as exact decimals from their source text, strings by code points.
//!
//! 1 = 1.0 = 10e-1, but 9007199254740993 ≠ 9007199254740992: no number passes through a float here. A missing member is
//! never null. Of two members with one key the last counts, as in every common parser.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// The members of a JSON object, by key, as source text; `None` if `text` is no JSON object.
pub fn members(text: &str) -> Option<BTreeMap<String, &RawValue>> {
    serde_json::from_str(text).ok()
}

/// Whether two JSON texts are one value. Text that is no JSON equals nothing.
pub fn same(left: &str, right: &str) -> bool {
    compare(left, right, same_number)
}

/// Whether `found` is the value `sent`, or that with some of its numbers as JavaScript prints them: it reads every number as a
/// double, and writes the shortest digits that lead to the same double again (ECMA-262, `Number::toString`).
pub fn same_to_javascript(sent: &str, found: &str) -> bool {
    compare(sent, found, |sent, found| {
        same_number(sent, found)
            || sent.parse::<f64>().is_ok_and(|double| double.is_finite() && same_number(&double.to_string(), found))
    })
}

fn compare(left: &str, right: &str, numbers: fn(&str, &str) -> bool) -> bool {
    let (left, right) = (left.trim(), right.trim());
    match (left.as_bytes().first(), right.as_bytes().first()) {
        (Some(b'{'), Some(b'{')) => match (members(left), members(right)) {
            (Some(left), Some(right)) => {
                left.len() == right.len()
                    && left.iter().zip(&right).all(|((left_key, left), (right_key, right))| {
                        left_key == right_key && compare(left.get(), right.get(), numbers)
                    })
            }
            _ => false,
        },
        (Some(b'['), Some(b'[')) => match (elements(left), elements(right)) {
            (Some(left), Some(right)) => {
                left.len() == right.len()
                    && left.iter().zip(&right).all(|(left, right)| compare(left.get(), right.get(), numbers))
            }
            _ => false,
        },
        (Some(b'"'), Some(b'"')) => match (string(left), string(right)) {
            (Some(left), Some(right)) => left == right,
            _ => false,
        },
        (Some(b'-' | b'0'..=b'9'), Some(b'-' | b'0'..=b'9')) => numbers(left, right),
        _ => left == right && matches!(left, "true" | "false" | "null"),
    }
}

fn same_number(left: &str, right: &str) -> bool {
    match (Decimal::parse(left), Decimal::parse(right)) {
        (Some(left), Some(right)) => left == right,
        _ => false,
    }
}

fn elements(text: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(text).ok()
}

fn string(text: &str) -> Option<String> {
    serde_json::from_str(text).ok()
}

/// A decimal number in its one shortest form: digits without zeros at either end, times ten to a power.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// Reads a JSON number (RFC 8259, section 6).
    fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, power) = match rest.split_once(['e', 'E']) {
            Some((mantissa, power)) => (mantissa, power.parse::<i64>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() || (mantissa.contains('.') && fraction.is_empty()) {
            return None;
        }
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let mut exponent = power.checked_sub(fraction.len() as i64)?;
        while digits.last() == Some(&b'0') {
            digits.pop();
            exponent = exponent.checked_add(1)?;
        }
        let leading = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..leading);
        // Zero is one value, whatever its sign and power.
        Some(if digits.is_empty() {
            Self { negative: false, digits, exponent: 0 }
        } else {
            Self { negative, digits, exponent }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_not_texts() {
        for (left, right, expected) in [
            ("1", "1.0", true),
            ("10e-1", "1", true),
            ("1e2", "100", true),
            ("-0", "0.0", true),
            ("9007199254740993", "9007199254740992", false),
            ("0.1", "0.10000000000000001", false),
            ("1e308", "1e309", false),
            ("-1", "1", false),
            ("1", "\"1\"", false),
            ("0", "false", false),
            ("null", "0", false),
            ("null", "null", true),
            ("\"é\"", "\"\\u00e9\"", true),
            ("\"e\u{301}\"", "\"é\"", false),
            ("\"a\\/b\"", "\"a/b\"", true),
            ("[1,2]", "[1.0, 2]", true),
            ("[1,2]", "[2,1]", false),
            ("{\"a\":1,\"b\":[]}", "{ \"b\": [], \"a\": 1.0 }", true),
            ("{\"a\":null}", "{}", false),
            ("{}", "[]", false),
            ("{\"a\":1,\"a\":2}", "{\"a\":2}", true),
            ("nonsense", "nonsense", false),
            ("{broken", "{broken", false),
        ] {
            assert_eq!(same(left, right), expected, "{left} and {right}");
            assert_eq!(same(right, left), expected, "{right} and {left}");
        }
    }

    #[test]
    fn javascript_may_round_numbers_and_nothing_else() {
        for (sent, found, expected) in [
            ("9007199254740993", "9007199254740992", true),
            ("9007199254740993", "9007199254740993", true),
            ("9007199254740993", "9007199254740994", false),
            ("[123456789012345678901234567890]", "[1.2345678901234568e+29]", true),
            ("[123456789012345678901234567890]", "[1.2345678901234569e+29]", false),
            ("0.1000000000000000055511151231257827", "0.1", true),
            ("1e308", "1E+308", true),
            ("-0", "0", true),
            ("{\"a\":[5e-324]}", "{\"a\":[5e-324]}", true),
            ("-1e-400", "0", true),
            ("1e400", "null", false),
            ("\"9007199254740993\"", "\"9007199254740992\"", false),
            ("1", "1.0000001", false),
        ] {
            assert_eq!(same_to_javascript(sent, found), expected, "{sent} and {found}");
        }
    }

    proptest! {
        #[test]
        fn a_number_equals_itself_in_other_clothes(digits in 1u64.., shift in 0usize..6) {
            let scaled = format!("{digits}{}e-{shift}", "0".repeat(shift));
            prop_assert!(same(&digits.to_string(), &scaled));
            prop_assert!(!same(&digits.to_string(), &(digits.wrapping_add(1)).to_string()));
        }

        #[test]
        fn a_string_equals_itself_escaped(text in ".*") {
            let plain = serde_json::to_string(&text).unwrap();
            let escaped: Vec<String> = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            let quoted = format!("\"{}\"", escaped.concat());
            prop_assert!(same(&plain, &quoted));
        }
    }
}
