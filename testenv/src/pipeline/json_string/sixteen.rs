//! Sixteen bytes together, where the processor can shuffle them (SSSE3: any x86-64 since 2006): where a backslash comes or goes in
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

#[target_feature(enable = "ssse3,popcnt")]
fn push_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    let mut at = out.len();
    out.resize(at + bytes.len() + bytes.len() / 8 + 32, 0);
    for block in bytes.chunks(16) {
        let sixteen = block.try_into().unwrap_or_else(|_| {
            let mut padded = [SPACE; 16];
            padded[..block.len()].copy_from_slice(block);
            padded
        });
        at = push_block(sixteen, block.len(), at, out);
    }
    out.truncate(at);
}

/// Writes the first `length` of sixteen bytes at `at`, behind which they may leave others; the place behind them.
#[inline]
#[target_feature(enable = "ssse3,popcnt")]
fn push_block(block: [u8; 16], length: usize, mut at: usize, out: &mut Vec<u8>) -> usize {
    if out.len() < at + 32 {
        out.resize(out.len() + out.len() / 2 + 32, 0);
    }
    let sixteen = load(block);
    if controls(sixteen) != 0 {
        return push_bytes(&block[..length], at, out);
    }
    let marks = equal(sixteen, b'"') | equal(sixteen, b'\\');
    if marks == 0 {
        store(sixteen, &mut out[at..]);
        return at + length;
    }
    let backslashes = _mm_set1_epi8(b'\\' as i8);
    let halves = [_mm_unpacklo_epi64(sixteen, backslashes), _mm_unpackhi_epi64(sixteen, backslashes)];
    for (half, marks) in halves.into_iter().zip([marks & 0xff, marks >> 8]) {
        store(_mm_shuffle_epi8(half, load(WITH[marks])), &mut out[at..]);
        at += 8 + marks.count_ones() as usize;
    }
    at + length - 16
}

#[cold]
fn push_bytes(bytes: &[u8], at: usize, out: &mut Vec<u8>) -> usize {
    out.truncate(at);
    for byte in bytes {
        push_escaped_byte(*byte, out);
    }
    let at = out.len();
    out.resize(at + 32, 0);
    at
}

#[target_feature(enable = "ssse3,popcnt")]
fn unescape(bytes: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let (mut from, mut to) = (0, out.len());
    out.resize(to + bytes.len() + 16, 0);
    while let Some(block) = bytes.get(from..).and_then(<[u8]>::first_chunk::<16>) {
        let sixteen = load(*block);
        let (backslashes, quotes) = (equal(sixteen, b'\\'), equal(sixteen, b'"'));
        // A backslash at the end is left to the next block, with what it escapes.
        let length = 16 - (backslashes >> 15);
        let gone = backslashes & 0x7fff;
        let escaped = gone << 1;
        if controls(sixteen) != 0 || escaped & !quotes != 0 {
            out.truncate(to);
            let block = unescape_bytes(&bytes[from..], 16, out)?;
            to = out.len();
            match block {
                Ok(end) => return Some(from + end),
                Err(length) => from += length,
            }
            out.resize(to + bytes.len() - from + 16, 0);
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
