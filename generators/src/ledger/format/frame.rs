//! What is around a block, so that a reader knows whether it is whole and in its place.

use super::usual::numbers_behind;
use crate::journal::{Decoded, put_varint, take_varint};

/// What a block begins with whose length is said: no entry has this tag.
const LONG: u8 = 64;
/// How many bytes of the checksum stand behind a block of one usual entry, and …
const SHORT_CHECK: usize = 2;
/// … behind any other.
const LONG_CHECK: usize = 4;
/// A block is ended at 64 KiB, and its last entry may be that of a request whose every event has a result of its own.
const BLOCK_LIMIT: usize = 1 << 22;
/// No number has more bytes.
const NUMBER_LIMIT: usize = 10;

/// The CRC-32 of the header and all blocks so far, without their checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) struct Chain(u32);

impl Chain {
    /// Begins behind a header with that checksum.
    pub(in crate::ledger) const fn new(header: u32) -> Self {
        Self(header)
    }

    /// Appends the block that holds `entries`.
    pub(in crate::ledger) fn put(&mut self, entries: &[u8], into: &mut Vec<u8>) {
        let begin = into.len();
        let is_short = matches!(usual_length(entries), Length::Known(length) if length == entries.len());
        if !is_short {
            into.push(LONG);
            put_varint(into, entries.len() as u64);
        }
        into.extend_from_slice(entries);
        *self = self.behind(&into[begin..]);
        into.extend_from_slice(&self.0.to_le_bytes()[..if is_short { SHORT_CHECK } else { LONG_CHECK }]);
    }

    /// The entries of the block that `bytes` begin with, and the chain behind it.
    pub(in crate::ledger) fn take(self, bytes: &[u8]) -> Decoded<(Vec<u8>, Self)> {
        let (around, length, check) = match bytes.first() {
            None => return Decoded::Cut,
            Some(&LONG) => {
                let mut rest = &bytes[1..];
                let Some(length) = take_varint(&mut rest) else {
                    let is_cut = rest.len() < NUMBER_LIMIT;
                    return if is_cut { Decoded::Cut } else { Decoded::Damaged("a block's length is no number") };
                };
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                if length > BLOCK_LIMIT {
                    return Decoded::Damaged("a block's length is impossible");
                }
                (bytes.len() - rest.len(), length, LONG_CHECK)
            }
            Some(_) => match usual_length(bytes) {
                Length::Known(length) => (0, length, SHORT_CHECK),
                Length::Cut => return Decoded::Cut,
                Length::Unknown => return Decoded::Damaged("no block begins like that"),
            },
        };
        let end = around + length;
        let (Some(block), Some(found)) = (bytes.get(..end), bytes.get(end..end + check)) else { return Decoded::Cut };
        let chain = self.behind(block);
        if chain.0.to_le_bytes()[..check] != *found {
            return Decoded::Damaged("a block's checksum does not fit");
        }
        Decoded::Whole((block[around..].to_vec(), chain), end + check)
    }

    fn behind(self, block: &[u8]) -> Self {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.0);
        hasher.update(block);
        Self(hasher.finalize())
    }
}

enum Length {
    Known(usize),
    /// The bytes end before the entry does.
    Cut,
    /// No usual entry begins like that.
    Unknown,
}

/// How long the usual entry is that `bytes` begin with.
fn usual_length(bytes: &[u8]) -> Length {
    let Some((tag, mut rest)) = bytes.split_first() else { return Length::Cut };
    let Some(numbers) = numbers_behind(*tag) else { return Length::Unknown };
    for _ in 0..numbers {
        if take_varint(&mut rest).is_none() {
            return if rest.len() < NUMBER_LIMIT { Length::Cut } else { Length::Unknown };
        }
    }
    Length::Known(bytes.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An intent of the first stream, so much later than expected.
    fn released(later: u64) -> Vec<u8> {
        let mut entry = vec![4];
        put_varint(&mut entry, later);
        entry
    }

    #[test]
    fn what_one_check_misses_the_next_notices() {
        let (entry, begin) = (released(1 << 20), Chain::new(7));
        let mut bytes = Vec::new();
        let mut chain = begin;
        chain.put(&entry, &mut bytes);
        let length = bytes.len();
        assert_eq!(length, entry.len() + 2);
        chain.put(&[48], &mut bytes);
        // The same length, and the same two bytes of a checksum.
        let other = (1 << 14..1 << 21)
            .map(released)
            .find(|other| *other != entry && begin.behind(other).0 as u16 == begin.behind(&entry).0 as u16);
        bytes[..entry.len()].copy_from_slice(&other.unwrap());
        let Decoded::Whole((_, chain), first) = begin.take(&bytes) else { panic!("it is noticed at once") };
        assert_eq!(first, length);
        assert!(matches!(chain.take(&bytes[first..]), Decoded::Damaged("a block's checksum does not fit")));
    }

    #[test]
    fn only_usual_entries_alone_have_no_length() {
        for (entries, around) in [(&[48][..], 2), (&[4, 0], 2), (&[2, 0, 0], 2), (&[48, 48], 6), (&[24, 1], 6)] {
            let (mut bytes, mut chain) = (Vec::new(), Chain::new(7));
            chain.put(entries, &mut bytes);
            assert_eq!(bytes.len(), entries.len() + around, "{entries:?}");
            let Decoded::Whole((read, _), length) = Chain::new(7).take(&bytes) else { panic!("{entries:?}") };
            assert_eq!((&read[..], length), (entries, bytes.len()));
        }
    }

    #[test]
    fn a_filled_up_tail_is_no_cut() {
        for bytes in [[0; 40], [0xff; 40]] {
            assert!(matches!(Chain::new(7).take(&bytes), Decoded::Damaged(_)), "{bytes:?}");
        }
    }
}
