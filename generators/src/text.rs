//! Numbers as text, quickly.

/// No number takes more bytes.
const LONGEST: usize = 20;

/// The number in decimal digits, and how many those are.
pub(crate) fn decimal(mut number: u64) -> ([u8; LONGEST], usize) {
    let mut length = 1;
    let mut rest = number;
    while rest >= 10 {
        rest /= 10;
        length += 1;
    }
    let mut digits = [b'0'; LONGEST];
    for digit in digits[..length].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    (digits, length)
}

/// Writes `number` in decimal digits.
pub(crate) fn put_decimal(into: &mut Vec<u8>, number: u64) {
    let (digits, length) = decimal(number);
    into.extend_from_slice(&digits[..length]);
}

/// Fills a place with the lowest decimal digits of `number`.
pub(crate) fn put_digits(place: &mut [u8], mut number: u64) {
    // Two at a time: divisions wait for each other.
    let (odd, pairs) = place.split_at_mut(place.len() % 2);
    for pair in pairs.rchunks_exact_mut(2) {
        let both = (number % 100) as u8;
        (pair[0], pair[1]) = (b'0' + both / 10, b'0' + both % 10);
        number /= 100;
    }
    for digit in odd {
        *digit = b'0' + (number % 10) as u8;
    }
}

/// Fills a place with the lowest hexadecimal digits of `word`.
pub(crate) fn put_hexadecimal(place: &mut [u8], mut word: u64) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    for digit in place.iter_mut().rev() {
        *digit = DIGITS[(word & 15) as usize];
        word >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_everywhere_else() {
        for number in [0, 7, 10, 99, 12_345, u64::MAX] {
            let (digits, length) = decimal(number);
            assert_eq!(digits[..length], *number.to_string().as_bytes());
            let mut place = [0; 20];
            put_digits(&mut place, number);
            assert_eq!(place, *format!("{number:020}").as_bytes());
            put_digits(&mut place[1..], number);
            assert_eq!(place[1..], format!("{number:020}").as_bytes()[1..]);
            put_hexadecimal(&mut place[4..], number);
            assert_eq!(place[4..], *format!("{number:016x}").as_bytes());
        }
    }
}
