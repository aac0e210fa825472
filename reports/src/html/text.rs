//! Text that comes from events, and numbers, as they may stand in a page.

use std::fmt::Write;

use crate::{
    figures,
    unseen::{is_unseen, picture},
};

/// Pieces of a page, which become one text.
pub trait Pieces: Iterator<Item = String> + Sized {
    /// All of them, one behind the other.
    fn joined(self) -> String {
        self.fold(String::new(), |mut all, piece| {
            all.push_str(&piece);
            all
        })
    }
}

impl<I: Iterator<Item = String>> Pieces for I {}

/// `text` as it may stand between tags. What cannot be seen, or would change the order of what
/// stands around it, is shown by a sign or by its number.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(character),
            '\0'..'\u{20}' | '\u{7f}' => safe.extend(picture(character)),
            _ if is_unseen(character) => {
                // Writing into a String does not fail.
                let _ = write!(safe, "<span class=\"code\">U+{:04X}</span>", u32::from(character));
            }
            _ => safe.push(character),
        }
    }
    safe
}

/// `text` as it may stand in a quoted attribute or in the title, where no tag is understood.
pub fn attribute(text: &str) -> String {
    escape(&text.replace(is_unseen, "\u{fffd}"))
}

/// The beginning of a text that may be very long, escaped.
pub fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => escape(text),
        Some((end, _)) => {
            let bytes = count(text.len() as u64);
            format!("{}<span class=\"cut\">… {bytes} bytes in all</span>", escape(&text[..end]))
        }
    }
}

/// A number with its thousands apart, which no line breaks.
pub fn count(number: u64) -> String {
    unbroken(&figures::count(number))
}

/// A share in percent.
pub fn percent(fraction: f64) -> String {
    unbroken(&figures::percent(fraction))
}

/// Seconds in people's notation.
pub fn seconds(seconds: f64) -> String {
    unbroken(&figures::seconds(seconds))
}

/// A moment of the run.
pub fn moment(seconds: f64) -> String {
    format!("{seconds:.3}\u{202f}s")
}

fn unbroken(text: &str) -> String {
    text.replace(' ', "\u{202f}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_taken_for_a_tag_or_hides() {
        assert_eq!(
            escape("<script>alert('\"&')</script>"),
            "&lt;script&gt;alert(&#39;&quot;&amp;&#39;)&lt;/script&gt;"
        );
        assert_eq!(escape("a\0b\x1b[31m\x7f"), "a␀b␛[31m␡");
        assert_eq!(
            escape("x\u{202e}y\u{2066}"),
            "x<span class=\"code\">U+202E</span>y<span class=\"code\">U+2066</span>"
        );
        assert_eq!(escape("größe 🦀 שלום\n"), "größe 🦀 שלום\n");
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        assert_eq!(short("<b>", 3), "&lt;b&gt;");
        let text = short(&"é".repeat(1 << 20), 10);
        assert!(text.starts_with("éééééééééé<span") && text.contains("2\u{202f}097\u{202f}152 bytes"), "{text}");
    }
}
