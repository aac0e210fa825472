//! How the pieces of a streamed answer become one answer.
//!
//! The engine writes every piece of a stream as a document of its own: a header (names, types) comes with each of them,
//! and so does a footer. A format without either is joined as it is, one with a header loses it from the second piece on,
//! and one that closes what it opens (JSON, Parquet, …) cannot be joined: its answer is made whole before it is sent.
//! Formats not listed here count among the last (those with unescaped names too, whose header could end anywhere), which
//! is slower and never wrong.

/// What a piece begins with, again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pieces {
    /// Rows and nothing else.
    Plain,
    /// A count of columns, then that many strings, so many times over (names; names and types).
    Binary(usize),
    /// So many lines (names; names and types).
    Lines(usize),
    /// So many CSV records, in which a quoted field may hold a line end.
    Records(usize),
}

impl Pieces {
    /// How pieces in `format` are joined; `None` where they cannot be.
    pub fn of(format: &str) -> Option<Self> {
        const JOINED: [(&str, Pieces); 26] = [
            ("CSV", Pieces::Plain),
            ("CSVWithNames", Pieces::Records(1)),
            ("CSVWithNamesAndTypes", Pieces::Records(2)),
            ("JSONCompactEachRow", Pieces::Plain),
            ("JSONCompactEachRowWithNames", Pieces::Lines(1)),
            ("JSONCompactEachRowWithNamesAndTypes", Pieces::Lines(2)),
            ("JSONEachRow", Pieces::Plain),
            ("JSONLines", Pieces::Plain),
            ("JSONStringsEachRow", Pieces::Plain),
            ("LineAsString", Pieces::Plain),
            ("NDJSON", Pieces::Plain),
            ("Native", Pieces::Plain),
            ("Null", Pieces::Plain),
            ("RawBLOB", Pieces::Plain),
            ("RowBinary", Pieces::Plain),
            ("RowBinaryWithNames", Pieces::Binary(1)),
            ("RowBinaryWithNamesAndTypes", Pieces::Binary(2)),
            ("TSKV", Pieces::Plain),
            ("TSV", Pieces::Plain),
            ("TSVRaw", Pieces::Plain),
            ("TSVWithNames", Pieces::Lines(1)),
            ("TSVWithNamesAndTypes", Pieces::Lines(2)),
            ("TabSeparated", Pieces::Plain),
            ("TabSeparatedRaw", Pieces::Plain),
            ("TabSeparatedWithNames", Pieces::Lines(1)),
            ("TabSeparatedWithNamesAndTypes", Pieces::Lines(2)),
        ];
        JOINED.iter().find(|(name, _)| *name == format).map(|(_, pieces)| *pieces)
    }

    /// How many bytes of `piece` are its header; `None` when it does not end within the piece, which is then none of this
    /// format.
    pub fn header(self, piece: &[u8]) -> Option<usize> {
        match self {
            Self::Plain => Some(0),
            Self::Binary(lists) => {
                let (columns, mut at) = length(piece, 0)?;
                for _ in 0..columns.checked_mul(lists)? {
                    let (text, start) = length(piece, at)?;
                    at = start.checked_add(text).filter(|end| *end <= piece.len())?;
                }
                Some(at)
            }
            Self::Lines(lines) => {
                let mut ends = piece.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
                ends.nth(lines.checked_sub(1)?).map(|(end, _)| end + 1)
            }
            Self::Records(records) => {
                let mut quoted = false;
                let mut ends = piece.iter().enumerate().filter(|(_, byte)| {
                    // A doubled quote within a field closes and opens it again.
                    quoted ^= **byte == b'"';
                    !quoted && **byte == b'\n'
                });
                ends.nth(records.checked_sub(1)?).map(|(end, _)| end + 1)
            }
        }
    }
}

/// The LEB128 length at `at`, and where it ends.
fn length(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut value = 0_usize;
    for shift in (0..usize::BITS).step_by(7) {
        let byte = *bytes.get(at)?;
        at += 1;
        value |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some((value, at));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_end_where_rows_begin() {
        for (format, header, rows) in [
            ("RowBinary", &b""[..], &b"\x01\x02"[..]),
            ("RowBinaryWithNames", b"\x02\x01a\x02bc", b"\x00\x00"),
            ("RowBinaryWithNamesAndTypes", b"\x01\x06number\x06UInt64", b"\x07\0\0\0\0\0\0\0"),
            ("TSVWithNames", b"a\tb\n", b"1\t2\n"),
            ("TSVWithNamesAndTypes", b"a\nString\n", b"x\ny\n"),
            ("CSVWithNames", b"\"a\n\"\"b\",\"c\"\n", b"1,2\n"),
            ("CSVWithNamesAndTypes", b"\"a\"\n\"UInt8\"\n", b"1\n"),
            ("JSONCompactEachRowWithNames", b"[\"a\"]\n", b"[1]\n"),
        ] {
            let pieces = Pieces::of(format).unwrap();
            assert_eq!(pieces.header(&[header, rows].concat()), Some(header.len()), "{format}");
            assert_eq!(pieces.header(header), Some(header.len()), "{format}, no rows");
            for cut in 0..header.len() {
                assert_eq!(pieces.header(&header[..cut]), None, "{format}, cut at {cut}");
            }
        }
    }

    #[test]
    fn a_name_longer_than_127_bytes_has_a_length_of_two() {
        let header = [&b"\x01\x80\x01"[..], &[b'n'; 128], b"\x05UInt8"].concat();
        assert_eq!(Pieces::Binary(2).header(&header), Some(header.len()));
    }

    #[test]
    fn what_closes_what_it_opens_or_escapes_no_line_end_is_not_joined() {
        for format in [
            "JSON",
            "TSVRawWithNames",
            "JSONCompact",
            "XML",
            "Parquet",
            "ArrowStream",
            "Pretty",
            "Values",
            "Vertical",
            "Nope",
        ] {
            assert_eq!(Pieces::of(format), None, "{format}");
        }
    }
}
