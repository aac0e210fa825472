//! Numbers as text, quickly.

/// No number takes more bytes.
const LONGEST: usize = 20;

/// All pairs of digits, one after the other.
static PAIRS: [u8; 200] = pairs();

const fn pairs() -> [u8; 200] {
    let mut pairs = [0; 200];
    let mut number = 0;
    while number < 100 {
        pairs[2 * number] = b'0' + (number / 10) as u8;
        pairs[2 * number + 1] = b'0' + (number % 10) as u8;
        number += 1;
    }
    pairs
}

/// How many decimal digits a number has.
pub(crate) const fn decimal_length(number: u64) -> usize {
    match number {
        0..10 => 1,
        10..100 => 2,
        _ => number.ilog10() as usize + 1,
    }
}

/// Writes `number` in decimal digits.
pub(crate) fn put_decimal(into: &mut Vec<u8>, number: u64) {
    match number as usize {
        low @ 0..10 => into.push(b'0' + low as u8),
        low @ 10..100 => into.extend_from_slice(&PAIRS[2 * low..2 * low + 2]),
        _ => {
            let mut digits = [0; LONGEST];
            let digits = &mut digits[..decimal_length(number)];
            put_digits(digits, number);
            into.extend_from_slice(digits);
        }
    }
}

/// Fills a place with the lowest decimal digits of `number`.
pub(crate) fn put_digits(place: &mut [u8], mut number: u64) {
    // Two at a time: divisions wait for each other.
    let (odd, pairs) = place.split_at_mut(place.len() % 2);
    for pair in pairs.rchunks_exact_mut(2) {
        let both = 2 * (number % 100) as usize;
        pair.copy_from_slice(&PAIRS[both..both + 2]);
        number /= 100;
    }
    for digit in odd {
        *digit = b'0' + (number % 10) as u8;
    }
}

/// Fills a place with the lowest hexadecimal digits of `word`.
pub(crate) fn put_hexadecimal(place: &mut [u8], word: u64) {
    let digits = hexadecimal(word);
    if let Some(whole) = place.as_mut_array() {
        *whole = digits;
    } else {
        let (beyond, lowest) = place.split_at_mut(place.len().saturating_sub(digits.len()));
        beyond.fill(b'0');
        lowest.copy_from_slice(&digits[digits.len() - lowest.len()..]);
    }
}

/// All digits of `word`.
const fn hexadecimal(word: u64) -> [u8; 16] {
    let (high, low) = (eight_hexadecimal((word >> 32) as u32), eight_hexadecimal(word as u32));
    let both = (u64::from_le_bytes(low) as u128) << 64 | u64::from_le_bytes(high) as u128;
    both.to_le_bytes()
}

/// The eight digits of `word`, all at once: its half-bytes are spread over bytes, and those beyond 9 moved on to the letters.
const fn eight_hexadecimal(word: u32) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let spread = word as u64;
    let spread = (spread << 16 | spread) & 0x0000_ffff_0000_ffff;
    let spread = (spread << 8 | spread) & 0x00ff_00ff_00ff_00ff;
    let spread = (spread << 4 | spread) & (0x0f * EACH);
    let letters = (spread + 6 * EACH) >> 4 & EACH;
    (spread + b'0' as u64 * EACH + letters * (b'a' - b'0' - 10) as u64).to_be_bytes()
}

/// The length of a UUID's text.
pub(crate) const UUID_LENGTH: usize = 36;

/// The text of a UUID.
pub(crate) fn uuid(uuid: uuid::Uuid) -> [u8; UUID_LENGTH] {
    let mut place = [b'-'; UUID_LENGTH];
    let (high, low) = uuid.as_u64_pair();
    let (high, low) = (hexadecimal(high), hexadecimal(low));
    place[..8].copy_from_slice(&high[..8]);
    place[9..13].copy_from_slice(&high[8..12]);
    place[14..18].copy_from_slice(&high[12..]);
    place[19..23].copy_from_slice(&low[..4]);
    place[24..].copy_from_slice(&low[4..]);
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_everywhere_else() {
        for number in [0, 7, 10, 99, 100, 999, 12_345, 100_000, u64::MAX] {
            let mut text = b"x".to_vec();
            put_decimal(&mut text, number);
            assert_eq!(text[1..], *number.to_string().as_bytes());
            assert_eq!(decimal_length(number), text.len() - 1);
            let mut place = [0; 20];
            put_digits(&mut place, number);
            assert_eq!(place, *format!("{number:020}").as_bytes());
            put_digits(&mut place[1..], number);
            assert_eq!(place[1..], format!("{number:020}").as_bytes()[1..]);
            put_hexadecimal(&mut place[4..], number);
            assert_eq!(place[4..], *format!("{number:016x}").as_bytes());
            put_hexadecimal(&mut place[9..], number);
            assert_eq!(place[9..], format!("{number:016x}").as_bytes()[5..]);
            let mut longer = [0; 18];
            put_hexadecimal(&mut longer, number);
            assert_eq!(longer, *format!("{number:018x}").as_bytes());
        }
    }

    #[test]
    fn uuids_are_written_as_everywhere_else() {
        for bits in [0, u128::MAX, 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210] {
            let id = uuid::Uuid::from_u128(bits);
            assert_eq!(uuid(id), *id.to_string().as_bytes());
        }
    }
}
