//! How long a text gets that was packed with `LZString` (`compressToBase64`), without unpacking it.
//!
//! The library unpacks whatever it is given, and that grows with the square of its length: a line of a recording could have more
//! memory than there is. How long each code's part is follows from the codes before it, so adding them up is enough.

/// What a code says that is none of the dictionary's.
const UNIT_OF_8: usize = 0;
const UNIT_OF_16: usize = 1;
const END: usize = 2;
/// What six bits are written as.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// How many units of UTF-16 `packed` unpacks to; where those are more than `most`, some number above that. `None` where it is no
/// `LZString`.
pub(super) fn length(packed: &str, most: usize) -> Option<usize> {
    let mut bits = Bits { sextets: packed.bytes().filter_map(sextet).collect(), next: 0 };
    if bits.sextets.is_empty() {
        return Some(0);
    }
    match bits.take(2)? {
        UNIT_OF_8 => bits.take(8)?,
        UNIT_OF_16 => bits.take(16)?,
        END => return Some(0),
        _ => return None,
    };
    // How long the dictionary's entries are; its first three are the codes above.
    let mut lengths = vec![1; 4];
    let (mut last, mut all) = (1, 1);
    while all <= most {
        let code = bits.take(lengths.len().ilog2() + 1)?;
        let length = match code {
            UNIT_OF_8 | UNIT_OF_16 => {
                bits.take(8 * (code as u32 + 1))?;
                lengths.push(1);
                1
            }
            END => break,
            // It may be the very entry that is made of the last one here.
            _ if code == lengths.len() => last + 1,
            _ => *lengths.get(code)?,
        };
        lengths.push(last + 1);
        last = length;
        all += length;
    }
    Some(all)
}

/// The six bits that a character stands for. The library passes over what stands for none.
fn sextet(character: u8) -> Option<u8> {
    // For the library the filling is the 64th, of which six bits are zeros.
    let place = if character == b'=' { 0 } else { ALPHABET.iter().position(|other| *other == character)? };
    Some(place as u8)
}

/// Bits in the order in which they were written: of each six the highest first.
struct Bits {
    sextets: Vec<u8>,
    next: usize,
}

impl Bits {
    /// A number that was written with so many of them, its lowest first. The very last bit is the library's.
    fn take(&mut self, count: u32) -> Option<usize> {
        let first = self.next;
        self.next += count as usize;
        if self.next >= 6 * self.sextets.len() {
            return None;
        }
        let bit = |place: usize| usize::from((self.sextets[place / 6] >> (5 - place % 6)) & 1);
        Some((first..self.next).rev().fold(0, |number, place| (number << 1) | bit(place)))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A packed text whose codes stand for one blank, two, three, and so on up to `longest`.
    pub fn bomb(longest: usize) -> String {
        let (mut packed, mut waiting) = (String::new(), Vec::new());
        let mut put = |number: usize, count: u32| {
            for place in 0..count {
                waiting.push((number >> place) & 1);
                if waiting.len() == 6 {
                    let value = waiting.drain(..).fold(0_usize, |value, bit| (value << 1) | bit);
                    packed.push(char::from(ALPHABET[value]));
                }
            }
        };
        put(UNIT_OF_8, 2);
        put(b' '.into(), 8);
        for length in 2..=longest {
            let code = length + 2;
            put(code, code.ilog2() + 1);
        }
        put(END, (longest + 3).ilog2() + 1);
        put(0, 6);
        packed
    }

    #[test]
    fn a_bomb_is_not_counted_to_its_end() {
        let small = bomb(100);
        assert_eq!(lz_str::decompress_from_base64(&small), Some(vec![b' '.into(); 5_050]));
        assert_eq!(length(&small, 5_050), Some(5_050));
        assert!(length(&small, 4_000).is_some_and(|length| (4_001..4_100).contains(&length)));
        // Twenty thousand million units, or so they would be.
        let large = bomb(200_000);
        assert!(large.len() < 600_000, "{}", large.len());
        assert!(length(&large, 1 << 20).is_some_and(|length| (1_048_577..1_052_000).contains(&length)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_is_as_long_as_it_was(
            parts in prop::collection::vec(prop::sample::select(vec!["x", "{\"a\":", "1,2", "ü", "😀", "語"]), 0..300),
        ) {
            let text = parts.concat();
            let units = text.encode_utf16().count();
            prop_assert_eq!(length(&lz_str::compress_to_base64(text.as_str()), units), Some(units));
        }

        /// Nor is anything else taken for longer or shorter than the library makes it.
        #[test]
        fn whatever_it_is_the_library_agrees(
            longest in 1usize..60,
            cut in 0usize..80,
            rest in prop::collection::vec(prop::sample::select("AZgQx09+/=- ü".chars().collect::<Vec<_>>()), 0..60),
        ) {
            let mut packed = bomb(longest);
            packed.truncate(cut);
            packed.extend(rest);
            let unpacked = lz_str::decompress_from_base64(&packed).map(|units| units.len());
            prop_assert_eq!(length(&packed, usize::MAX - 1), unpacked);
        }
    }
}
