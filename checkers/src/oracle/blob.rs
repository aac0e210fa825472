//! What is stored of a content that was sent in a part of its own (rust/capture, `ai_endpoint.rs` and `ai_s3.rs`, pull request
//! 43055): a capture with a store puts all contents of an event into one file, a form again, and each property becomes the address
//! of its part in that. So it was from December 2025 to August 2026; later captures refuse such parts (pull request 78855), as
//! those refuse them which have no store.

use generators::{event::Event, workload::Blob};

use super::row::{ColumnExpectation, Expected, PROPERTIES};

/// How long the file's boundary is: `----posthog-ai-`, the event's uuid, a dash, eight characters.
const BOUNDARY: usize = 15 + 36 + 1 + 8;
/// What an address begins with; the bucket and a folder follow, which are the pipeline's own affair.
const SCHEME: &str = "s3://";

/// What the properties of an event's contents must hold.
pub(super) fn expected(event: &Event) -> Vec<ColumnExpectation> {
    let mut length = 0;
    let column = |blob: &Blob| {
        // Each part begins behind a line with the boundary, and ends before the line's end that is behind its content.
        let begin = length + "--".len() + BOUNDARY + LINE_END;
        let end = begin + part(blob);
        length = end + LINE_END;
        let end = format!("/{}?range={begin}-{}", event.id, end - 1);
        ColumnExpectation {
            column: format!("{PROPERTIES}{}", blob.property),
            expected: Expected::Address { begin: SCHEME.to_owned(), end },
            reason: "a content with a part of its own is kept in a store, and stored is its address there",
        }
    };
    event.blobs.iter().map(column).collect()
}

const LINE_END: usize = "\r\n".len();

/// How many bytes a content's part is long, its headers included.
fn part(Blob { property, content_type, content_encoding, bytes }: &Blob) -> usize {
    let header = |name: &str, value: usize| name.len() + ": ".len() + value + LINE_END;
    let disposition = "form-data; name=\"\"".len() + property.len();
    header("Content-Disposition", disposition)
        + header("Content-Type", content_type.len())
        + content_encoding.map_or(0, |encoding| header("Content-Encoding", encoding.len()))
        + LINE_END
        + bytes.len()
}

#[cfg(test)]
mod tests {
    use generators::event::EventSource;

    use super::*;
    use crate::{
        oracle::{dialect::Dialect, row::expect},
        reconcile::example::{STREAM, workload},
    };

    fn blob(property: &'static str, content_encoding: Option<&'static str>, bytes: &[u8]) -> Blob {
        Blob { property, content_type: "text/plain", content_encoding, bytes: bytes.to_vec() }
    }

    #[test]
    fn addresses_are_those_of_the_parts_of_one_file() {
        let mut event = workload(1).event(STREAM, 0).unwrap();
        event.blobs = vec![blob("a", None, b"one"), blob("b", Some("gzip"), b"three")];
        let uuid = event.id.to_string();
        // As it would be in the file, by hand.
        let line = format!("------posthog-ai-{uuid}-12345678\r\n");
        let first = "Content-Disposition: form-data; name=\"a\"\r\nContent-Type: text/plain\r\n\r\none";
        let second = "Content-Disposition: form-data; name=\"b\"\r\nContent-Type: text/plain\r\n\
                      Content-Encoding: gzip\r\n\r\nthree";
        let file = format!("{line}{first}\r\n{line}{second}\r\n");
        let range = |part: &str| {
            let begin = file.find(part).unwrap();
            format!("{begin}-{}", begin + part.len() - 1)
        };
        let expectation = expect(Dialect::V2026, &event, 2, &[], 0);
        for (key, part) in [("a", first), ("b", second)] {
            let column =
                expectation.columns.iter().find(|column| column.column == format!("{PROPERTIES}{key}")).unwrap();
            let end = format!("/{uuid}?range={}", range(part));
            assert_eq!(column.expected, Expected::Address { begin: "s3://".into(), end: end.clone() });
        }
        let row = expectation.fulfilled().unwrap();
        assert_eq!(expectation.differences(&row), []);
        let range = range(second);
        assert!(row.properties.contains(&range), "{}", row.properties);
        for wrong in [row.properties.replace(&range, "0-1"), row.properties.replace("s3://", "file://")] {
            let wrong = crate::oracle::row::Row { properties: wrong, ..row.clone() };
            assert!(!expectation.differences(&wrong).is_empty(), "{}", wrong.properties);
        }
    }
}
