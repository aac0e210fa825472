//! An event's properties as JSON text, told piece by piece: to be written, or to be compared with what is stored.

/// Whom the members of a JSON object are told to, in their order: their keys' and for most of them their values' text is the
/// same in many events and lives as long as the workload.
pub trait Members<'a> {
    /// One member or several: each with its key in quotes, a colon and its value, a comma between them. `behind` says where
    /// in `text` those behind the first begin. The last one's value may be missing, or only begin.
    fn members(&mut self, text: &'a str, behind: &'a [u32]);

    /// The value of the last member goes on.
    fn value(&mut self, text: &[u8]);
}

/// Writes a JSON object into memory.
#[derive(Debug)]
pub(super) struct Writing<'b> {
    text: &'b mut Vec<u8>,
    is_empty: bool,
}

impl<'b> Writing<'b> {
    /// Begins an object at the end of `text`.
    pub fn begin(text: &'b mut Vec<u8>) -> Self {
        text.push(b'{');
        Self { text, is_empty: true }
    }

    /// Ends it.
    pub fn end(self) {
        self.text.push(b'}');
    }
}

impl<'a> Members<'a> for Writing<'_> {
    fn members(&mut self, text: &'a str, _: &'a [u32]) {
        if !self.is_empty {
            self.text.push(b',');
        }
        self.is_empty = false;
        self.text.extend_from_slice(text.as_bytes());
    }

    fn value(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
    }
}

/// No number takes more bytes.
const LONGEST: usize = 32;

/// The number in decimal digits, and how many bytes those are.
pub(super) fn decimal(number: u64) -> ([u8; LONGEST], usize) {
    digits(&number)
}

/// The shortest decimal that reads back as `number`, as `serde_json` writes it, and how many bytes that is.
pub(super) fn float(number: f64) -> ([u8; LONGEST], usize) {
    digits(&number)
}

fn digits(number: &impl serde::Serialize) -> ([u8; LONGEST], usize) {
    let mut digits = [0; LONGEST];
    let mut rest = &mut digits[..];
    // There is room for every number.
    let _ = serde_json::to_writer(&mut rest, number);
    let length = LONGEST - rest.len();
    (digits, length)
}

/// Writes `number` in decimal digits.
pub(super) fn put_decimal(into: &mut Vec<u8>, number: u64) {
    let (digits, length) = decimal(number);
    into.extend_from_slice(&digits[..length]);
}

/// The lowest `N` hexadecimal digits of `word`, at most 16.
pub(super) fn hexadecimal<const N: usize>(word: u64) -> [u8; N] {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    std::array::from_fn(|place| DIGITS[(word >> (4 * (N - 1 - place))) as usize & 15])
}

/// All hexadecimal digits of `word` as a JSON string.
pub(super) fn quoted_hexadecimal(word: u64) -> [u8; 18] {
    let mut text = [b'"'; 18];
    text[1..17].copy_from_slice(&hexadecimal::<16>(word));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_everywhere_else() {
        let text = |(digits, length): ([u8; LONGEST], usize)| String::from_utf8(digits[..length].to_vec()).unwrap();
        for number in [0, 7, 10, 99, 12_345, u64::MAX] {
            assert_eq!(text(decimal(number)), number.to_string());
            assert_eq!(hexadecimal::<16>(number), format!("{number:016x}").as_bytes());
            assert_eq!(quoted_hexadecimal(number), format!("\"{number:016x}\"").as_bytes());
            assert_eq!(hexadecimal::<10>(number), format!("{number:016x}").as_bytes()[6..]);
        }
        for number in [0.0, 0.1, 9_999.99, 1e300, -5e-324, f64::MAX] {
            assert_eq!(text(float(number)), serde_json::to_string(&number).unwrap());
        }
    }
}
