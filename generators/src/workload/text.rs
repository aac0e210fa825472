//! Numbers as text, quickly.

/// Writes `number` in decimal digits.
pub(super) fn decimal(into: &mut Vec<u8>, number: u64) {
    // Writing into memory cannot fail.
    let _ = serde_json::to_writer(into, &number);
}

/// Writes the shortest decimal that reads back as `number`, as `serde_json` does.
pub(super) fn float(into: &mut Vec<u8>, number: f64) {
    // Writing into memory cannot fail.
    let _ = serde_json::to_writer(into, &number);
}

/// Writes the lowest `N` hexadecimal digits of `word`, at most 16.
pub(super) fn hexadecimal<const N: usize>(into: &mut Vec<u8>, word: u64) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let digits: [u8; N] = std::array::from_fn(|place| DIGITS[(word >> (4 * (N - 1 - place))) as usize & 15]);
    into.extend_from_slice(&digits);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_everywhere_else() {
        let written = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut text = Vec::new();
            write(&mut text);
            String::from_utf8(text).unwrap()
        };
        for number in [0, 7, 10, 99, 12_345, u64::MAX] {
            assert_eq!(written(&|into| decimal(into, number)), number.to_string());
            assert_eq!(written(&|into| hexadecimal::<16>(into, number)), format!("{number:016x}"));
            let low = number & 0xff_ffff_ffff;
            assert_eq!(written(&|into| hexadecimal::<10>(into, low)), format!("{low:010x}"));
        }
        for number in [0.0, 0.1, 9_999.99, 1e300] {
            assert_eq!(written(&|into| float(into, number)), serde_json::to_string(&number).unwrap());
        }
    }
}
