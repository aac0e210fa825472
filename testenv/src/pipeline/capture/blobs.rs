//! Contents that come in parts of their own (rust/capture, `ai_s3.rs`; from December 2025, pull request 43055, to August 2026, pull
//! request 78855).
//!
//! All of an event go into one file, a form again, and each property becomes the address of its part in that. Here nothing is
//! kept: the addresses are what they would be, as with PostHog's own `MockBlobStorage`.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::request::Refusal;

/// Where contents would be put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobStore {
    bucket: String,
    prefix: String,
}

/// A content, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The property that it belongs to.
    pub property: String,
    /// What it is.
    pub content_type: String,
    /// How it is packed, if it is.
    pub content_encoding: Option<String>,
    /// How many bytes it holds.
    pub length: usize,
}

/// What a part that holds a content is called, before its property's name.
pub const PREFIX: &str = "event.properties.";
/// What may be kept; text may say its characters' encoding.
const TYPES: [&str; 3] = ["application/octet-stream", "application/json", "text/plain"];

impl BlobStore {
    /// The store of this bucket, if it has a name; what is in it begins with `prefix`.
    pub fn new(bucket: String, prefix: String) -> Option<Self> {
        (!bucket.is_empty()).then_some(Self { bucket, prefix })
    }

    /// The address of each of an event's contents, in their order.
    pub fn addresses(&self, token: &str, uuid: Uuid, blobs: &[Blob]) -> Vec<String> {
        // It ends in eight characters that are drawn for each file; nobody sees which.
        let line = format!("------posthog-ai-{uuid}-00000000\r\n");
        let digest: [u8; 32] = Sha256::digest(token).into();
        let project = digest[..8].iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
        let mut length = 0;
        let mut addresses = Vec::with_capacity(blobs.len());
        for blob in blobs {
            let begin = length + line.len();
            let end = begin + blob.head().len() + blob.length;
            length = end + "\r\n".len();
            let Self { bucket, prefix } = self;
            addresses.push(format!("s3://{bucket}/{prefix}{project:016x}/{uuid}?range={begin}-{}", end - 1));
        }
        addresses
    }
}

impl Blob {
    /// What a part says, if it can be kept.
    ///
    /// # Errors
    /// When it is of no type that can be, or empty, or belongs within a property.
    pub fn read(
        name: &str,
        content_type: Option<&str>,
        content_encoding: Option<&str>,
        length: usize,
    ) -> Result<Self, Refusal> {
        let bad = |what: &str| Err(Refusal::Body(format!("blob part '{name}' {what}")));
        let property = name.strip_prefix(PREFIX).unwrap_or(name);
        if property.contains('.') {
            return bad("contains nested properties");
        }
        let Some(content_type) = content_type else { return bad("has no Content-Type") };
        let lower = content_type.to_lowercase();
        if !TYPES.contains(&&*lower) && !lower.starts_with("text/plain;") {
            return bad("is of no supported content type");
        }
        if length == 0 {
            return bad("cannot be empty (0 bytes)");
        }
        Ok(Self {
            property: property.to_owned(),
            content_type: content_type.to_owned(),
            content_encoding: content_encoding.map(str::to_owned),
            length,
        })
    }

    /// What stands before it in the file.
    fn head(&self) -> String {
        let Self { property, content_type, .. } = self;
        let encoding = self.content_encoding.as_ref().map(|encoding| format!("Content-Encoding: {encoding}\r\n"));
        let encoding = encoding.unwrap_or_default();
        format!("Content-Disposition: form-data; name=\"{property}\"\r\nContent-Type: {content_type}\r\n{encoding}\r\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_ranges_of_one_file() {
        let store = BlobStore::new("capture".into(), "llma/".into()).unwrap();
        assert_eq!(BlobStore::new(String::new(), "llma/".into()), None);
        let uuid = Uuid::parse_str("550e8400-e29b-41d4-a716-446655440000").unwrap();
        let blob = |property: &str, encoding, length| {
            Blob::read(&format!("{PREFIX}{property}"), Some("text/plain"), encoding, length).unwrap()
        };
        let found = store.addresses("phc_test_token", uuid, &[blob("a", None, 5), blob("b", Some("gzip"), 7)]);
        // The project's part of it is the one that PostHog's own test has of this token.
        let file = "s3://capture/llma/0f25663a3e84ea94/550e8400-e29b-41d4-a716-446655440000?range=";
        // 64 bytes with the boundary, 70 of headers, 5 of content, a line's end, and again with 24 more.
        assert_eq!(found, [format!("{file}64-138"), format!("{file}205-305")]);
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        let read = |name: &str, content_type, length| Blob::read(name, content_type, None, length).is_ok();
        for (name, content_type, length, expected) in [
            ("event.properties.$ai_input", Some("application/json"), 1, true),
            ("event.properties.$ai_input", Some("Text/Plain; charset=utf-8"), 1, true),
            ("event.properties.$ai_input", Some("application/octet-stream"), 1, true),
            ("event.properties.$ai_input", Some("application/json"), 0, false),
            ("event.properties.$ai_input", Some("image/png"), 1, false),
            ("event.properties.$ai_input", None, 1, false),
            ("event.properties.$ai_input.content", Some("application/json"), 1, false),
        ] {
            assert_eq!(read(name, content_type, length), expected, "{name} {content_type:?} {length}");
        }
    }
}
