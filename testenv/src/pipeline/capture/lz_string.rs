//! Unpacking what was packed with `LZString` (`compressToBase64`), within a limit as the capture does it
//! (`payload/decompression.rs`, `decompress_lz64_capped`).
//!
//! A code stands for a unit of UTF-16, or for something that was unpacked before and may have been made of codes itself: a text of
//! n codes becomes up to n² units. How long it gets follows from its codes, so it is weighed before anything of it is unpacked.

use super::request::Refusal;

/// Codes that have meanings of their own: a unit of 8 bits, one of 16, the end.
const RESERVED: usize = 3;
const BITS_OF_CHARACTER: usize = 6;

/// What `packed` was, in UTF-16. In UTF-8 it is no more than `limit` bytes.
///
/// # Errors
/// [`Refusal::Body`] and [`Refusal::TooLarge`].
pub(super) fn unpack(packed: &str, limit: usize) -> Result<Vec<u16>, Refusal> {
    // As the library does, what is no base64 is passed over.
    let characters: Vec<u8> = packed.bytes().filter_map(value_of).collect();
    if characters.is_empty() {
        return Ok(Vec::new());
    }
    let codes = Codes { characters: &characters, at: 0 };
    let invalid = || Refusal::Body("invalid LZString data".into());
    if weight(codes.clone(), limit).ok_or_else(invalid)? > limit {
        return Err(Refusal::TooLarge(limit));
    }
    units(codes).ok_or_else(invalid)
}

const fn value_of(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        // Six zeros, as good as any others behind the end.
        b'=' => Some(0),
        _ => None,
    }
}

#[derive(Debug, Clone, Copy)]
enum Code {
    Unit(u16),
    Entry(usize),
    End,
}

/// The codes of a text.
#[derive(Debug, Clone)]
struct Codes<'a> {
    /// The values of its characters.
    characters: &'a [u8],
    /// How many bits of them were read.
    at: usize,
}

impl Codes<'_> {
    /// The next one, where there are so many entries; `None` where the text breaks off.
    fn take(&mut self, entries: usize) -> Option<Code> {
        Some(match self.bits(usize::BITS - entries.leading_zeros())? {
            0 => Code::Unit(self.bits(8)? as u16),
            1 => Code::Unit(self.bits(16)? as u16),
            2 => Code::End,
            number => Code::Entry(number as usize),
        })
    }

    /// A number of `count` bits, the lowest first, where a character's highest bit is its first.
    fn bits(&mut self, count: u32) -> Option<u32> {
        let mut number = 0;
        for place in 0..count {
            let character = self.characters.get(self.at / BITS_OF_CHARACTER)?;
            let bit = (character >> (BITS_OF_CHARACTER - 1 - self.at % BITS_OF_CHARACTER)) & 1;
            number |= u32::from(bit) << place;
            self.at += 1;
        }
        // The library wants another character behind whatever it reads.
        (self.at < self.characters.len() * BITS_OF_CHARACTER).then_some(number)
    }
}

/// How many bytes of UTF-8 a unit comes to; half of a surrogate pair to half of the pair's.
const fn bytes_of(unit: u16) -> usize {
    match unit {
        0..=0x7f => 1,
        0x80..=0x7ff | 0xd800..=0xdfff => 2,
        _ => 3,
    }
}

/// How many bytes of UTF-8 it all comes to. Beyond `limit` nobody counts on.
fn weight(mut codes: Codes<'_>, limit: usize) -> Option<usize> {
    // Of each entry its bytes and its first unit.
    let mut entries: Vec<(usize, u16)> = vec![(0, 0); RESERVED];
    let mut before: Option<(usize, u16)> = None;
    let mut total = 0;
    while total <= limit {
        let said = match codes.take(entries.len())? {
            Code::End => break,
            Code::Unit(unit) => {
                entries.push((bytes_of(unit), unit));
                (bytes_of(unit), unit)
            }
            Code::Entry(number) if number < entries.len() => entries[number],
            // The one that this code itself makes: what was before it, and of that the first unit again.
            Code::Entry(number) if number == entries.len() => {
                before.map(|(bytes, first)| (bytes + bytes_of(first), first))?
            }
            Code::Entry(_) => return None,
        };
        if let Some((bytes, first)) = before {
            entries.push((bytes + bytes_of(said.1), first));
        }
        before = Some(said);
        total += said.0;
    }
    Some(total)
}

/// All of it, unpacked.
fn units(mut codes: Codes<'_>) -> Option<Vec<u16>> {
    let mut units = Vec::new();
    // Where each entry stands in what is unpacked, and how long it is.
    let mut entries: Vec<(usize, usize)> = vec![(0, 0); RESERVED];
    let mut before: Option<(usize, usize)> = None;
    loop {
        let code = codes.take(entries.len())?;
        let start = units.len();
        if matches!(code, Code::Unit(_)) {
            entries.push((start, 1));
        }
        // What was before and the first unit of this will stand side by side.
        if let Some((start, length)) = before {
            entries.push((start, length + 1));
        }
        match code {
            Code::End => return Some(units),
            Code::Unit(unit) => units.push(unit),
            Code::Entry(number) => {
                let (from, length) = *entries.get(number)?;
                for place in from..from + length {
                    // One by one: the last may be the first that this loop adds.
                    let unit = *units.get(place)?;
                    units.push(unit);
                }
            }
        }
        before = Some((start, units.len() - start));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::capture::routes::UNPACKED_LIMIT;

    const ALPHABET: &[u8; 65] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";

    /// A text of so many codes, each of which but the first stands for one unit more than the one before it.
    fn bomb(codes: usize) -> String {
        let mut bits = Vec::new();
        let mut write = |number: usize, count: u32| bits.extend((0..count).map(|place| (number >> place) & 1));
        let width = |entries: usize| usize::BITS - entries.leading_zeros();
        write(0, 2);
        write(usize::from(b' '), 8);
        // With each code there is one entry more, and it is that one.
        for entries in 4..codes + 3 {
            write(entries, width(entries));
        }
        write(2, width(codes + 3));
        // No bit may be the last.
        write(0, 6);
        let value =
            |bits: &[usize]| bits.iter().enumerate().fold(0_usize, |value, (place, bit)| value | (bit << (5 - place)));
        bits.chunks(6).map(|bits| char::from(ALPHABET[value(bits)])).collect()
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked() {
        let (small, blanks) = (bomb(100), vec![u16::from(b' '); 5_050]);
        assert_eq!(lz_str::decompress_from_base64(&small).as_ref(), Some(&blanks), "it is what it should be");
        assert_eq!(unpack(&small, 5_050), Ok(blanks));
        assert_eq!(unpack(&small, 5_049), Err(Refusal::TooLarge(5_049)));
        // 45 000 000 000 units in under a million characters: nobody could hold them.
        let large = bomb(300_000);
        assert!(large.len() < 1_000_000, "{}", large.len());
        assert_eq!(unpack(&large, UNPACKED_LIMIT), Err(Refusal::TooLarge(UNPACKED_LIMIT)));
    }

    #[test]
    fn bytes_are_counted_and_no_units() {
        for (text, bytes) in [("xx", 2), ("éé", 4), ("一二", 6), ("😀", 4)] {
            let packed = lz_str::compress_to_base64(text);
            assert_eq!(unpack(&packed, bytes), Ok(text.encode_utf16().collect()), "{text}");
            assert_eq!(unpack(&packed, bytes - 1), Err(Refusal::TooLarge(bytes - 1)), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_was_packed_is_unpacked(
            parts in prop::collection::vec(prop::sample::select(vec!["a", "\"event\":", "é", "😀", "一"]), 0..400),
        ) {
            let text = parts.concat();
            let packed = lz_str::compress_to_base64(text.as_str());
            prop_assert_eq!(unpack(&packed, text.len()), Ok(text.encode_utf16().collect::<Vec<u16>>()));
            if let Some(less) = text.len().checked_sub(1) {
                prop_assert_eq!(unpack(&packed, less), Err(Refusal::TooLarge(less)));
            }
        }

        /// Whatever nobody packed is read as the library reads it.
        #[test]
        fn what_was_not_packed_is_read_as_ever(
            codes in 0usize..60,
            places in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
            noise in prop::collection::vec(prop::sample::select(b"AQDgpx9+/= %".to_vec()), 0..60),
        ) {
            let mut damaged = if codes == 0 { Vec::new() } else { bomb(codes).into_bytes() };
            for place in places {
                if !damaged.is_empty() {
                    let place = place.index(damaged.len());
                    damaged[place] = b'Q';
                }
            }
            damaged.extend(noise);
            let damaged = String::from_utf8(damaged).unwrap();
            prop_assert_eq!(unpack(&damaged, 1 << 20).ok(), lz_str::decompress_from_base64(&damaged));
        }
    }
}
