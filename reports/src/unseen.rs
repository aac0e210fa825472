//! Characters that cannot be seen, or change how what stands around them is shown: text of others is shown without their
//! effect.

use std::fmt::Write;

/// Whether a character cannot be seen, or changes the order of what stands around it; control characters of ASCII are not
/// among them, since they have [pictures](picture).
pub(crate) const fn is_unseen(character: char) -> bool {
    matches!(
        character,
        '\u{80}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{fffe}'..='\u{ffff}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// The picture of a control character of ASCII: they stand in the order of these.
pub(crate) fn picture(character: char) -> Option<char> {
    match character {
        '\0'..'\u{20}' => char::from_u32(0x2400 + u32::from(character)),
        '\u{7f}' => Some('\u{2421}'),
        _ => None,
    }
}

/// `text` as it may be written to a terminal, which obeys control characters: only the ends of lines are left in.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match (character, picture(character)) {
            ('\n', _) => plain.push(character),
            (_, Some(picture)) => plain.push(picture),
            _ if is_unseen(character) => {
                // Writing into a String does not fail.
                let _ = write!(plain, "\\u{{{:x}}}", u32::from(character));
            }
            _ => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_nothing_that_it_would_obey() {
        assert_eq!(plain("a\x1b[31m\rb\tc\x07\u{9b}2J\u{7f}\n"), "a␛[31m␍b␉c␇\\u{9b}2J␡\n");
        assert_eq!(plain("x\u{202e}y · größe 🦀 שלום ≤ 1 %"), "x\\u{202e}y · größe 🦀 שלום ≤ 1 %");
    }
}
