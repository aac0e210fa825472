//! ClickHouse's native compression frames, as `compress=1` and `decompress=1` use them.
//!
//! A frame is a `CityHash128` (1.0.2) of what follows, a method byte, two little-endian sizes (compressed with the nine
//! bytes of this header, uncompressed), and the data (ClickHouse: `CompressedReadBufferBase.cpp`).

use cityhash_rs::cityhash_102_128;

const CHECKSUM: usize = 16;
const HEADER: usize = 9;
const LZ4: u8 = 0x82;
const NONE: u8 = 0x02;
/// ClickHouse's own buffer size (`DBMS_DEFAULT_BUFFER_SIZE`).
const FRAME: usize = 1 << 20;
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

/// Packs `data` into frames, none of which holds more than a server would put into one.
pub fn pack(data: &[u8]) -> Vec<u8> {
    data.chunks(FRAME).flat_map(pack_one).collect()
}

fn pack_one(data: &[u8]) -> Vec<u8> {
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

/// Unpacks frames that come in pieces cut anywhere, as a body does.
#[derive(Debug, Default)]
pub struct Unpacker {
    rest: Vec<u8>,
}

impl Unpacker {
    /// Takes more bytes and returns what the frames that are whole by now hold.
    ///
    /// # Errors
    /// When they are no frames.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Vec<u8>, FrameError> {
        self.rest.extend_from_slice(bytes);
        let (mut data, mut at) = (Vec::new(), 0);
        while let Some(length) = unpack_one(&self.rest[at..], &mut data)? {
            at += length;
        }
        self.rest.drain(..at);
        Ok(data)
    }

    /// Says whether the last frame was whole.
    ///
    /// # Errors
    /// [`FrameError::Cut`] when it was not.
    pub fn finish(self) -> Result<(), FrameError> {
        if self.rest.is_empty() { Ok(()) } else { Err(FrameError::Cut) }
    }
}

/// Unpacks the frame that `bytes` begin with; `None` when it is not whole yet, its length otherwise.
fn unpack_one(bytes: &[u8], data: &mut Vec<u8>) -> Result<Option<usize>, FrameError> {
    let Some(header) = bytes.get(CHECKSUM..CHECKSUM + HEADER) else { return Ok(None) };
    let size = |at: usize| header[at..at + 4].iter().rev().fold(0usize, |size, byte| size << 8 | usize::from(*byte));
    let (packed, unpacked) = (size(1), size(5));
    if !(HEADER..=LIMIT).contains(&packed) || unpacked > LIMIT {
        return Err(FrameError::Damaged);
    }
    let Some(frame) = bytes.get(CHECKSUM..CHECKSUM + packed) else { return Ok(None) };
    if checksum(frame) != bytes[..CHECKSUM] {
        return Err(FrameError::Checksum);
    }
    match header[0] {
        LZ4 => {
            let content = lz4_flex::block::decompress(&frame[HEADER..], unpacked).map_err(|_| FrameError::Damaged)?;
            if content.len() != unpacked {
                return Err(FrameError::Damaged);
            }
            data.extend_from_slice(&content);
        }
        NONE => data.extend_from_slice(&frame[HEADER..]),
        method => return Err(FrameError::Method(method)),
    }
    Ok(Some(CHECKSUM + packed))
}

fn checksum(frame: &[u8]) -> [u8; CHECKSUM] {
    // The two halves stand in the other order than in the number.
    cityhash_102_128(frame).rotate_left(64).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unpack(frames: &[u8], step: usize) -> Result<Vec<u8>, FrameError> {
        let mut unpacker = Unpacker::default();
        let mut data = Vec::new();
        for piece in frames.chunks(step) {
            data.extend(unpacker.take(piece)?);
        }
        unpacker.finish().map(|()| data)
    }

    #[test]
    fn more_than_a_buffer_becomes_several_frames() {
        let data = vec![7; FRAME + 1];
        let frames = pack(&data);
        assert_eq!(unpack(&frames, frames.len()), Ok(data));
        assert_eq!(unpack_one(&frames, &mut Vec::new()).map(|length| length < Some(frames.len())), Ok(true));
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..4),
            step in 1..4000_usize,
        ) {
            let frames: Vec<u8> = chunks.iter().flat_map(|chunk| pack(chunk)).collect();
            prop_assert_eq!(unpack(&frames, step), Ok(chunks.concat()));
        }

        #[test]
        fn damage_is_noticed(
            data in prop::collection::vec(any::<u8>(), 1..300),
            place in any::<prop::sample::Index>(),
            flip in 1u8..=255,
        ) {
            let mut frame = pack(&data);
            let place = place.index(frame.len());
            frame[place] ^= flip;
            prop_assert!(unpack(&frame, frame.len()).is_err());
            prop_assert_eq!(unpack(&pack(&data)[..place], 64).is_err(), place > 0);
        }
    }
}
