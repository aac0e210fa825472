//! Append-only files of checked records: the form that all files of a run share which grow while it runs. The ledger has
//! its header, and blocks instead of records (docs/ledger.md).
//!
//! Problems first. (1) The writer may be killed at any byte, so each record must tell by itself whether it is whole:
//! length before, CRC-32 behind. (2) A cut tail is normal and a damaged middle is not; they must be told apart: a record
//! that ends beyond the file is a cut, a checksum that does not fit is damage. (3) Offsets and positions are small and
//! grow: LEB128 keeps them short. (4) A reader must refuse what it does not know: magic and version come first.
//!
//! ```text
//! file   = magic:[u8; 8] version:u32 run:u64 start_micros:i64 crc32:u32 record*          (little endian; 32 bytes, then)
//! record = length:varint body crc32:u32                                                  (length and crc are the body's)
//! ```

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use crate::{clock::RunStart, identity::RunId};

const HEADER_LENGTH: usize = 32;
/// No record is longer; a length beyond it is damage, not a reason to wait for more bytes.
pub(crate) const RECORD_LIMIT: usize = 1 << 24;

/// What a file is: its first bytes, the version of what its records hold, and what people call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The first bytes.
    pub magic: [u8; 8],
    /// The version of the records' layout.
    pub version: u32,
    /// Its name in errors.
    pub name: &'static str,
}

/// What every journal says first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The run that wrote it.
    pub run: RunId,
    /// The moment that all offsets count from.
    pub start: RunStart,
}

/// A journal could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the {name} {path} could not be written")]
pub struct WriteError {
    /// What it is.
    pub name: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// A journal could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system refused.
    #[error("the {name} {path} could not be read")]
    Io {
        /// What it is.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The bytes are not those of such a journal, or were changed after they had been written.
    #[error("the {name} {path} is damaged at byte {offset}: {what}; what it says cannot be trusted")]
    Damaged {
        /// What it is.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// How.
        what: &'static str,
    },
    /// What was read and memory does not hold could not be put aside, or not be taken back.
    #[error("a temporary file in {folder} could not be written or read back")]
    Aside {
        /// Where it is, or was to be.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// An open journal.
#[derive(Debug)]
pub struct JournalWriter<W = File> {
    name: &'static str,
    path: PathBuf,
    writer: W,
    buffer: Vec<u8>,
}

impl JournalWriter {
    /// Creates the journal; a file that is there already is never overwritten.
    ///
    /// # Errors
    /// When the file exists or cannot be created.
    pub fn create(path: &Path, kind: Kind, header: Header) -> Result<Self, WriteError> {
        let error = |source| WriteError { name: kind.name, path: path.to_owned(), source };
        let file = File::options().append(true).create_new(true).open(path).map_err(error)?;
        Self::new(path, kind, header, file)
    }
}

impl<W: Write> JournalWriter<W> {
    /// Begins the journal in `writer`; `path` is what errors call it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(path: &Path, kind: Kind, header: Header, mut writer: W) -> Result<Self, WriteError> {
        let error = |source| WriteError { name: kind.name, path: path.to_owned(), source };
        writer.write_all(&encode_header(kind, header)).map_err(error)?;
        Ok(Self { name: kind.name, path: path.to_owned(), writer, buffer: Vec::new() })
    }

    /// Appends one record for each of `bodies`; when it returns, write(2) has returned for all of them, so they survive
    /// the death of this process (not of the machine).
    ///
    /// # Errors
    /// When the system refuses, as on a full disk.
    pub fn append<B: AsRef<[u8]>>(&mut self, bodies: impl IntoIterator<Item = B>) -> Result<(), WriteError> {
        self.append_framed(|buffer| bodies.into_iter().for_each(|body| put_record(buffer, body.as_ref())))
    }

    /// Appends what `frame` puts into its buffer, in a form of its own, in one write.
    pub(crate) fn append_framed(&mut self, frame: impl FnOnce(&mut Vec<u8>)) -> Result<(), WriteError> {
        self.buffer.clear();
        frame(&mut self.buffer);
        self.writer.write_all(&self.buffer).map_err(|source| WriteError {
            name: self.name,
            path: self.path.clone(),
            source,
        })
    }
}

/// Reads the bodies of records one by one, in constant memory, up to wherever the writer was stopped. One that ended may be
/// asked again while the journal is being written: it goes on where it was.
#[derive(Debug)]
pub struct JournalReader<R = File> {
    kind: Kind,
    path: PathBuf,
    source: R,
    buffer: Vec<u8>,
    /// Where in `buffer` the next item begins.
    next: usize,
    /// Where in the file `buffer` begins.
    offset: u64,
    exhausted: bool,
    header: Option<Header>,
    failed: bool,
}

impl JournalReader {
    /// Opens the journal at `path` and reads its header.
    ///
    /// # Errors
    /// When it cannot be read or is no such journal.
    pub fn open(path: &Path, kind: Kind) -> Result<Self, ReadError> {
        let file =
            File::open(path).map_err(|source| ReadError::Io { name: kind.name, path: path.to_owned(), source })?;
        Self::new(path, kind, file)
    }
}

impl<R: Read> JournalReader<R> {
    /// Reads a journal from `source`; `path` is what errors call it.
    ///
    /// # Errors
    /// When it cannot be read or is no such journal.
    pub fn new(path: &Path, kind: Kind, source: R) -> Result<Self, ReadError> {
        let mut reader = Self {
            kind,
            path: path.to_owned(),
            source,
            buffer: Vec::new(),
            next: 0,
            offset: 0,
            exhausted: false,
            header: None,
            failed: false,
        };
        reader.header = reader.item(|bytes| decode_header(kind, bytes))?;
        Ok(reader)
    }

    /// The header; `None` if the writer was stopped before it had written one.
    pub const fn header(&self) -> Option<Header> {
        self.header
    }

    /// The error for a whole record whose body is not understood.
    pub fn unknown(&self) -> ReadError {
        self.damaged("a record's content is unknown")
    }

    fn damaged(&self, what: &'static str) -> ReadError {
        let offset = self.offset + self.next as u64;
        ReadError::Damaged { name: self.kind.name, path: self.path.clone(), offset, what }
    }

    fn item<T>(&mut self, decode: impl Fn(&[u8]) -> Decoded<T>) -> Result<Option<T>, ReadError> {
        loop {
            match decode(&self.buffer[self.next..]) {
                Decoded::Whole(item, length) => {
                    self.next += length;
                    return Ok(Some(item));
                }
                Decoded::Damaged(what) => return Err(self.damaged(what)),
                Decoded::Cut if self.exhausted => {
                    // More may have been written when somebody asks again.
                    self.exhausted = false;
                    return Ok(None);
                }
                Decoded::Cut => self.fill()?,
            }
        }
    }

    fn fill(&mut self) -> Result<(), ReadError> {
        self.buffer.drain(..self.next);
        self.offset += self.next as u64;
        self.next = 0;
        let before = self.buffer.len();
        let error = |source| ReadError::Io { name: self.kind.name, path: self.path.clone(), source };
        (&mut self.source).take(1 << 16).read_to_end(&mut self.buffer).map_err(error)?;
        self.exhausted = self.buffer.len() == before;
        Ok(())
    }
}

impl<R: Read> JournalReader<R> {
    /// The next item, in a form that `decode` knows.
    pub(crate) fn next_framed<T>(&mut self, decode: impl Fn(&[u8]) -> Decoded<T>) -> Option<Result<T, ReadError>> {
        if self.failed || self.header.is_none() {
            return None;
        }
        let item = self.item(decode).transpose();
        self.failed = matches!(item, Some(Err(_)));
        item
    }
}

impl<R: Read> Iterator for JournalReader<R> {
    type Item = Result<Vec<u8>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_framed(decode_record)
    }
}

/// What bytes hold.
pub(crate) enum Decoded<T> {
    /// A whole item, and how many bytes it took.
    Whole(T, usize),
    /// The bytes end before the item does.
    Cut,
    /// The bytes cannot be such an item.
    Damaged(&'static str),
}

fn encode_header(kind: Kind, header: Header) -> [u8; HEADER_LENGTH] {
    let mut bytes = [0; HEADER_LENGTH];
    bytes[..8].copy_from_slice(&kind.magic);
    bytes[8..12].copy_from_slice(&kind.version.to_le_bytes());
    bytes[12..20].copy_from_slice(&header.run.get().to_le_bytes());
    bytes[20..28].copy_from_slice(&header.start.unix_micros().to_le_bytes());
    let crc = crc32fast::hash(&bytes[..28]);
    bytes[28..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The checksum that a header ends with.
pub(crate) fn header_checksum(kind: Kind, header: Header) -> u32 {
    u32::from_le_bytes(array(&encode_header(kind, header)[28..]))
}

fn decode_header(kind: Kind, bytes: &[u8]) -> Decoded<Header> {
    if !kind.magic.starts_with(&bytes[..bytes.len().min(8)]) {
        return Decoded::Damaged("it is a file of another kind");
    }
    let Some(bytes) = bytes.first_chunk::<HEADER_LENGTH>() else { return Decoded::Cut };
    if u32::from_le_bytes(array(&bytes[8..])) != kind.version {
        return Decoded::Damaged("it was written by another version of Assay, in a layout that this one does not know");
    }
    if u32::from_le_bytes(array(&bytes[28..])) != crc32fast::hash(&bytes[..28]) {
        return Decoded::Damaged("the header's checksum does not fit");
    }
    let header = Header {
        run: RunId::new(u64::from_le_bytes(array(&bytes[12..]))),
        start: RunStart::from_unix_micros(i64::from_le_bytes(array(&bytes[20..]))),
    };
    Decoded::Whole(header, HEADER_LENGTH)
}

fn put_record(into: &mut Vec<u8>, body: &[u8]) {
    put_varint(into, body.len() as u64);
    into.extend_from_slice(body);
    into.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
}

fn decode_record(bytes: &[u8]) -> Decoded<Vec<u8>> {
    let mut rest = bytes;
    let Some(length) = take_varint(&mut rest) else {
        return if bytes.len() < 10 { Decoded::Cut } else { Decoded::Damaged("a record's length is no number") };
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > RECORD_LIMIT {
        return Decoded::Damaged("a record's length is impossible");
    }
    let (Some(body), Some(crc)) = (rest.get(..length), rest.get(length..length + 4)) else { return Decoded::Cut };
    if crc32fast::hash(body) != u32::from_le_bytes(array(crc)) {
        return Decoded::Damaged("a record's checksum does not fit");
    }
    Decoded::Whole(body.to_vec(), bytes.len() - rest.len() + length + 4)
}

/// Appends `number` in LEB128: seven bits a byte, the lowest first.
pub fn put_varint(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

/// Takes a number that [`put_varint`] wrote from the front of `bytes`; `None` if there is none.
pub fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for (place, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f).checked_shl(7 * place as u32)?;
        if byte & 0x80 == 0 {
            *bytes = &bytes[place + 1..];
            return Some(number);
        }
    }
    None
}

/// The first `N` bytes; the callers have checked that they are there.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[..N]);
    array
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KIND: Kind = Kind { magic: *b"ASSAYTST", version: 1, name: "test journal" };
    const HEADER: Header = Header { run: RunId::new(9), start: RunStart::from_unix_micros(1_790_000_000_000_000) };

    fn bytes_of(bodies: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = encode_header(KIND, HEADER).to_vec();
        for body in bodies {
            put_record(&mut bytes, body);
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<Vec<u8>>, ReadError> {
        JournalReader::new(Path::new("file"), KIND, bytes)?.collect()
    }

    fn bodies() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..12)
    }

    proptest! {
        #[test]
        fn cut_anywhere_it_reads_up_to_there(bodies in bodies(), cut in any::<prop::sample::Index>()) {
            let bytes = bytes_of(&bodies);
            prop_assert_eq!(&read(&bytes).unwrap(), &bodies);
            let cut = cut.index(bytes.len());
            let whole = (0..=bodies.len()).rev().find(|&count| bytes_of(&bodies[..count]).len() <= cut).unwrap_or(0);
            prop_assert_eq!(read(&bytes[..cut]).unwrap(), &bodies[..whole]);
        }

        #[test]
        fn a_changed_byte_is_noticed(bodies in bodies(), place in any::<prop::sample::Index>(), flip in 1u8..=255) {
            let mut bytes = bytes_of(&bodies);
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            // Either it is called damaged, or, where a length now points beyond the end, reading stops before it.
            match read(&bytes) {
                Err(ReadError::Damaged { .. }) => (),
                Ok(read) => prop_assert!(read.len() < bodies.len() && read == bodies[..read.len()]),
                Err(other) => return Err(TestCaseError::fail(other.to_string())),
            }
        }

        #[test]
        fn numbers_survive(number in any::<u64>()) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number);
            prop_assert_eq!(take_varint(&mut &bytes[..]), Some(number));
        }
    }

    #[test]
    fn a_reader_follows_its_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut writer = JournalWriter::create(&path, KIND, HEADER).unwrap();
        let mut reader = JournalReader::open(&path, KIND).unwrap();
        let mut following = || reader.by_ref().map(Result::unwrap).collect::<Vec<_>>();
        assert_eq!(following(), Vec::<Vec<u8>>::new());
        writer.append([b"one", b"two"]).unwrap();
        assert_eq!(following(), [b"one", b"two"]);
        // Half a record is none yet.
        let mut record = Vec::new();
        put_record(&mut record, b"three");
        let (head, tail) = record.split_at(4);
        writer.writer.write_all(head).unwrap();
        assert_eq!(following(), Vec::<Vec<u8>>::new());
        writer.writer.write_all(tail).unwrap();
        assert_eq!(following(), [b"three"]);
    }

    #[test]
    fn another_kind_or_version_is_refused() {
        let bytes = bytes_of(&[]);
        let other = |kind| JournalReader::new(Path::new("file"), kind, &bytes[..]).map(|_| ()).unwrap_err().to_string();
        assert!(other(Kind { magic: *b"ASSAYOTH", ..KIND }).contains("another kind"));
        assert!(other(Kind { version: 2, ..KIND }).contains("another version"));
    }
}
