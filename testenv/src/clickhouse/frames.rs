//! ClickHouse's native compression frames, as `compress=1` and `decompress=1` use them.
//!
//! A frame is a `CityHash128` (1.0.2) of what follows, a method byte, two little-endian sizes (compressed with the nine
//! bytes of this header, uncompressed), and the data (ClickHouse: `CompressedReadBufferBase.cpp`).

use cityhash_rs::cityhash_102_128;

const CHECKSUM: usize = 16;
const HEADER: usize = 9;
const LZ4: u8 = 0x82;
const NONE: u8 = 0x02;
/// No frame of a client is larger; ClickHouse's own limit is 1 GiB.
const LIMIT: usize = 1 << 30;

/// Bytes that are no frames.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// They end within a frame.
    #[error("the compressed data ends within a frame")]
    Cut,
    /// The checksum does not fit.
    #[error("the checksum of a compressed frame does not fit")]
    Checksum,
    /// Neither LZ4 nor uncompressed.
    #[error("the compression method {0:#x} is not supported")]
    Method(u8),
    /// LZ4 refused, or the sizes are wrong.
    #[error("a compressed frame is damaged")]
    Damaged,
}

/// Packs `data` into one frame.
pub fn pack(data: &[u8]) -> Vec<u8> {
    let packed = lz4_flex::block::compress(data);
    let mut frame = vec![0; CHECKSUM];
    frame.push(LZ4);
    frame.extend_from_slice(&((packed.len() + HEADER) as u32).to_le_bytes());
    frame.extend_from_slice(&(data.len() as u32).to_le_bytes());
    frame.extend_from_slice(&packed);
    let checksum = checksum(&frame[CHECKSUM..]);
    frame[..CHECKSUM].copy_from_slice(&checksum);
    frame
}

/// Unpacks all frames in `bytes`.
///
/// # Errors
/// When they are not whole frames.
pub fn unpack(mut bytes: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut data = Vec::new();
    while !bytes.is_empty() {
        let header = bytes.get(CHECKSUM..CHECKSUM + HEADER).ok_or(FrameError::Cut)?;
        let size =
            |at: usize| header[at..at + 4].iter().rev().fold(0usize, |size, byte| size << 8 | usize::from(*byte));
        let (packed, unpacked) = (size(1), size(5));
        if !(HEADER..=LIMIT).contains(&packed) || unpacked > LIMIT {
            return Err(FrameError::Damaged);
        }
        let frame = bytes.get(CHECKSUM..CHECKSUM + packed).ok_or(FrameError::Cut)?;
        if checksum(frame) != bytes[..CHECKSUM] {
            return Err(FrameError::Checksum);
        }
        match header[0] {
            LZ4 => {
                let content = lz4_flex::block::decompress(&frame[HEADER..], unpacked);
                data.extend_from_slice(&content.map_err(|_| FrameError::Damaged)?);
            }
            NONE => data.extend_from_slice(&frame[HEADER..]),
            method => return Err(FrameError::Method(method)),
        }
        bytes = &bytes[CHECKSUM + packed..];
    }
    Ok(data)
}

fn checksum(frame: &[u8]) -> [u8; CHECKSUM] {
    // The two halves stand in the other order than in the number.
    cityhash_102_128(frame).rotate_left(64).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_back(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..4)) {
            let frames: Vec<u8> = chunks.iter().flat_map(|chunk| pack(chunk)).collect();
            prop_assert_eq!(unpack(&frames), Ok(chunks.concat()));
        }

        #[test]
        fn damage_is_noticed(data in prop::collection::vec(any::<u8>(), 1..300), place in any::<prop::sample::Index>(), flip in 1u8..=255) {
            let mut frame = pack(&data);
            let place = place.index(frame.len());
            frame[place] ^= flip;
            prop_assert!(unpack(&frame).is_err());
            prop_assert_eq!(unpack(&pack(&data)[..place]).is_err(), place > 0);
        }
    }
}
