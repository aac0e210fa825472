//! Packing an answer: in one LZ4 frame, in ClickHouse's native frames, or not at all.
//!
//! Each piece is packed so that it can be unpacked as soon as it arrives, and an exception's block becomes a block of its
//! own: clients look for it at the end of what they have just unpacked.

use std::io::{self, Write};

use bytes::Bytes;
use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};

use super::{frames, request::Packing};

/// Packs one answer.
pub enum Packer {
    /// As it is.
    Plain,
    /// In one LZ4 frame.
    Lz4(Box<FrameEncoder<Vec<u8>>>),
    /// In native frames.
    Native,
}

impl Packer {
    /// A packer of one answer.
    pub fn new(packing: Packing) -> Self {
        match packing {
            Packing::Plain => Self::Plain,
            Packing::Native => Self::Native,
            Packing::Lz4 => {
                let info = FrameInfo::new().block_size(BlockSize::Max256KB);
                Self::Lz4(Box::new(FrameEncoder::with_frame_info(info, Vec::new())))
            }
        }
    }

    /// Packs a piece.
    ///
    /// # Errors
    /// When the piece cannot be packed.
    pub fn pack(&mut self, piece: Bytes) -> io::Result<Bytes> {
        Ok(match self {
            Self::Plain => piece,
            Self::Native => frames::pack(&piece).into(),
            Self::Lz4(encoder) => {
                encoder.write_all(&piece)?;
                encoder.flush()?;
                std::mem::take(encoder.get_mut()).into()
            }
        })
    }

    /// What comes behind the last piece.
    ///
    /// # Errors
    /// When it cannot be packed.
    pub fn finish(&mut self) -> io::Result<Bytes> {
        match self {
            Self::Plain | Self::Native => Ok(Bytes::new()),
            Self::Lz4(encoder) => {
                encoder.try_finish()?;
                Ok(std::mem::take(encoder.get_mut()).into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn pieces_come_back_each_as_soon_as_it_is_there() {
        let mut packer = Packer::new(Packing::Lz4);
        let mut sent = Vec::new();
        let mut expected = Vec::new();
        let long = vec![7; 700_000];
        for piece in [&b"first"[..], &long, b"last"] {
            sent.extend_from_slice(&packer.pack(Bytes::copy_from_slice(piece)).unwrap());
            expected.extend_from_slice(piece);
            let mut whole = vec![0; expected.len()];
            lz4_flex::frame::FrameDecoder::new(&sent[..]).read_exact(&mut whole).unwrap();
            assert!(whole == expected);
        }
        let mut whole = Vec::new();
        sent.extend_from_slice(&packer.finish().unwrap());
        lz4_flex::frame::FrameDecoder::new(&sent[..]).read_to_end(&mut whole).unwrap();
        assert!(whole == expected);
    }

    #[test]
    fn an_empty_answer_is_a_whole_frame() {
        let sent = Packer::new(Packing::Lz4).finish().unwrap();
        let mut whole = Vec::new();
        lz4_flex::frame::FrameDecoder::new(&sent[..]).read_to_end(&mut whole).unwrap();
        assert!(whole.is_empty() && !sent.is_empty());
    }
}
