//! Sixteen bytes together, where the processor can shuffle them (SSSE3 and POPCNT: any x86-64 of the last ten years): where a backslash comes or goes in
//! eight bytes is looked up, and so no quotation mark is a branch that nobody can foresee (after Langdale and Lemire, "Parsing
//! Gigabytes of JSON per Second", 2019).

#![expect(unsafe_code, reason = "what not every processor can is called where this one was asked")]

use std::arch::x86_64::{
    __m128i, _mm_cmpeq_epi8, _mm_cvtsi128_si64, _mm_min_epu8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8,
    _mm_shuffle_epi8, _mm_unpackhi_epi64, _mm_unpacklo_epi64,
};

use super::{SPACE, push_escaped_byte, unescape_bytes};

/// Of which byte each of sixteen is, for each set of those among eight that get a backslash. The ninth is a backslash.
const WITH: [[u8; 16]; 256] = {
    let mut all = [[0; 16]; 256];
    let mut set = 0;
    while set < 256 {
        let (mut from, mut to) = (0, 0);
        while from < 8 {
            if set >> from & 1 == 1 {
                all[set][to] = 8;
                to += 1;
            }
            all[set][to] = from;
            to += 1;
            from += 1;
        }
        set += 1;
    }
    all
};

/// Of which byte each of eight is, for each set of those that go.
const WITHOUT: [[u8; 8]; 256] = {
    let mut all = [[0; 8]; 256];
    let mut set = 0;
    while set < 256 {
        let (mut from, mut to) = (0, 0);
        while from < 8 {
            if set >> from & 1 == 0 {
                all[set][to] = from;
                to += 1;
            }
            from += 1;
        }
        set += 1;
    }
    all
};

/// That this processor can.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sixteen(());

#[expect(clippy::unused_self, reason = "whoever has one has asked")]
impl Sixteen {
    /// None if it cannot.
    #[inline]
    pub(super) fn new() -> Option<Self> {
        let can = is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("popcnt");
        can.then_some(Self(()))
    }

    /// Writes `bytes` at the end of `out`, as they stand in a JSON string.
    #[inline]
    pub(super) fn push_escaped(self, bytes: &[u8], out: &mut Vec<u8>) {
        // SAFETY: there is a `Sixteen` only where the processor can.
        unsafe { push_escaped(bytes, out) }
    }

    /// Unescapes a string up to its closing quotation mark, whose place is returned; none as of [`unescape_bytes`].
    #[inline]
    pub(super) fn unescape(self, bytes: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        // SAFETY: as above.
        unsafe { unescape(bytes, out) }
    }

    /// How many of `bytes` stand before a quotation mark, a backslash or a control character.
    #[inline]
    pub(super) fn plain(self, bytes: &[u8]) -> usize {
        // SAFETY: as above.
        unsafe { plain(bytes) }
    }
}

#[inline]
#[target_feature(enable = "sse2")]
fn load(bytes: [u8; 16]) -> __m128i {
    let both = u128::from_le_bytes(bytes);
    _mm_set_epi64x((both >> 64) as i64, both as i64)
}

#[inline]
#[target_feature(enable = "sse2")]
fn store(sixteen: __m128i, place: &mut [u8]) {
    place[..8].copy_from_slice(&_mm_cvtsi128_si64(sixteen).to_le_bytes());
    place[8..16].copy_from_slice(&_mm_cvtsi128_si64(_mm_unpackhi_epi64(sixteen, sixteen)).to_le_bytes());
}

/// A bit for each byte that is `byte`.
#[inline]
#[target_feature(enable = "sse2")]
fn equal(sixteen: __m128i, byte: u8) -> usize {
    _mm_movemask_epi8(_mm_cmpeq_epi8(sixteen, _mm_set1_epi8(byte as i8))) as usize
}

/// A bit for each byte below a space.
#[inline]
#[target_feature(enable = "sse2")]
fn controls(sixteen: __m128i) -> usize {
    let least = _mm_min_epu8(sixteen, _mm_set1_epi8(SPACE as i8 - 1));
    _mm_movemask_epi8(_mm_cmpeq_epi8(least, sixteen)) as usize
}

/// What sixteen bytes may become, if each is a control character.
const MOST: usize = 96;

/// Room for `most` bytes at `at`, where a string's part since `start` was written: each time twice as much, so that long strings are
/// not copied again and again, and short ones behind much else ask for little.
#[inline]
fn make_room(start: usize, at: usize, most: usize, out: &mut Vec<u8>) {
    if out.len() < at + most {
        out.resize(2 * at - start + most, 0);
    }
}

#[target_feature(enable = "ssse3,popcnt")]
fn push_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    let (start, mut spare) = (out.len(), Vec::new());
    let mut at = start;
    out.resize(start + bytes.len() + bytes.len() / 8 + MOST, 0);
    for block in bytes.chunks(16) {
        let sixteen = block.try_into().unwrap_or_else(|_| {
            let mut padded = [SPACE; 16];
            padded[..block.len()].copy_from_slice(block);
            padded
        });
        make_room(start, at, MOST, out);
        at += put_block(sixteen, block.len(), &mut out[at..], &mut spare);
    }
    out.truncate(at);
}

/// Writes the first `length` of sixteen bytes at the beginning of `place`, behind which they may leave others; how many they became.
#[inline]
#[target_feature(enable = "ssse3,popcnt")]
fn put_block(block: [u8; 16], length: usize, place: &mut [u8], spare: &mut Vec<u8>) -> usize {
    let sixteen = load(block);
    if controls(sixteen) != 0 {
        return put_bytes(&block[..length], place, spare);
    }
    let marks = equal(sixteen, b'"') | equal(sixteen, b'\\');
    if marks == 0 {
        store(sixteen, place);
        return length;
    }
    let backslashes = _mm_set1_epi8(b'\\' as i8);
    let halves = [_mm_unpacklo_epi64(sixteen, backslashes), _mm_unpackhi_epi64(sixteen, backslashes)];
    let mut at = 0;
    for (half, marks) in halves.into_iter().zip([marks & 0xff, marks >> 8]) {
        store(_mm_shuffle_epi8(half, load(WITH[marks])), &mut place[at..]);
        at += 8 + marks.count_ones() as usize;
    }
    at + length - 16
}

#[cold]
fn put_bytes(bytes: &[u8], place: &mut [u8], spare: &mut Vec<u8>) -> usize {
    spare.clear();
    for byte in bytes {
        push_escaped_byte(*byte, spare);
    }
    place[..spare.len()].copy_from_slice(spare);
    spare.len()
}

#[target_feature(enable = "ssse3,popcnt")]
fn unescape(bytes: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    // Of a message most is one string, which is seldom longer.
    const USUAL: usize = 4096;
    let (start, mut spare) = (out.len(), Vec::new());
    let (mut from, mut to) = (0, start);
    out.resize(start + bytes.len().min(USUAL) + 32, 0);
    while let Some(block) = bytes.get(from..).and_then(<[u8]>::first_chunk::<16>) {
        make_room(start, to, 32, out);
        let sixteen = load(*block);
        let (backslashes, quotes) = (equal(sixteen, b'\\'), equal(sixteen, b'"'));
        // A backslash at the end is left to the next block, with what it escapes.
        let length = 16 - (backslashes >> 15);
        let gone = backslashes & 0x7fff;
        let escaped = gone << 1;
        if controls(sixteen) != 0 || escaped & !quotes != 0 {
            spare.clear();
            let end = unescape_bytes(&bytes[from..], 16, &mut spare)?;
            out[to..][..spare.len()].copy_from_slice(&spare);
            to += spare.len();
            match end {
                Ok(end) => {
                    out.truncate(to);
                    return Some(from + end);
                }
                Err(length) => from += length,
            }
            continue;
        }
        let ends = quotes & !escaped;
        let kept = if ends == 0 { length } else { ends.trailing_zeros() as usize };
        let gone = gone & ((1 << kept) - 1);
        if gone == 0 {
            store(sixteen, &mut out[to..]);
        } else {
            let halves = [sixteen, _mm_unpackhi_epi64(sixteen, sixteen)];
            let mut half_to = to;
            for (half, gone) in halves.into_iter().zip([gone & 0xff, gone >> 8]) {
                let places = _mm_set_epi64x(0, i64::from_le_bytes(WITHOUT[gone]));
                let eight = _mm_cvtsi128_si64(_mm_shuffle_epi8(half, places)).to_le_bytes();
                out[half_to..][..8].copy_from_slice(&eight);
                half_to += 8 - gone.count_ones() as usize;
            }
        }
        to += kept - gone.count_ones() as usize;
        from += kept;
        if ends != 0 {
            out.truncate(to);
            return Some(from);
        }
    }
    out.truncate(to);
    unescape_bytes(bytes.get(from..)?, usize::MAX, out)?.ok().map(|end| from + end)
}

#[target_feature(enable = "ssse3,popcnt")]
fn plain(bytes: &[u8]) -> usize {
    let (blocks, rest) = bytes.as_chunks::<16>();
    let ends = |block: [u8; 16]| {
        let sixteen = load(block);
        equal(sixteen, b'"') | equal(sixteen, b'\\') | controls(sixteen)
    };
    for (number, block) in blocks.iter().enumerate() {
        let ends = ends(*block);
        if ends != 0 {
            return number * 16 + ends.trailing_zeros() as usize;
        }
    }
    let mut last = [SPACE; 16];
    last[..rest.len()].copy_from_slice(rest);
    let ends = ends(last);
    bytes.len() - rest.len() + if ends == 0 { rest.len() } else { ends.trailing_zeros() as usize }
}
