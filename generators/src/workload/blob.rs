//! What an event of AI holds beside itself, in parts of their own: prompts, answers and states, as large as they are
//! (rust/capture, `ai_endpoint.rs` and `docs/llma-capture-overview.md`).

use std::io::Write;

use flate2::write::GzEncoder;

use super::oddity::{pad, spread};
use crate::{
    identity::StreamId,
    random::{Purpose, Random},
};

/// The content of a property that stands in a part of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The property's name.
    pub property: &'static str,
    /// What its part says that it is.
    pub content_type: &'static str,
    /// What its part says of how it is packed, if it is.
    pub content_encoding: Option<&'static str>,
    /// It, as it is sent; never empty.
    pub bytes: Vec<u8>,
}

/// The properties whose contents go into parts of their own, in this order.
const PROPERTIES: [&str; 3] = ["$ai_input", "$ai_output_choices", "$ai_input_state"];

/// One to three of them, each of so many bytes before it is packed, at least and at most; every order of magnitude is as likely.
pub(super) fn draw(random: &mut Random, size: (u64, u64)) -> Vec<Blob> {
    let count = 1 + random.below(PROPERTIES.len() as u64) as usize;
    let blob = |property: &&'static str| {
        let kind = random.below(4);
        let length = spread(size, random.unit());
        let filler = Random::new(random.bits(), StreamId(0), 0, Purpose::Blobs);
        let (content_type, content_encoding, bytes) = match kind {
            0 => ("application/octet-stream", None, noise(filler, length)),
            1 => ("text/plain", None, [GREETING.as_bytes(), &unquoted(filler, length)].concat()),
            2 => ("application/json", None, messages(filler, length)),
            _ => ("application/json", Some("gzip"), packed(&messages(filler, length))),
        };
        Blob { property, content_type, content_encoding, bytes }
    };
    PROPERTIES.iter().take(count).map(blob).collect()
}

/// Not all of what people say to a model is ASCII.
const GREETING: &str = "Grüße, 👋 ";

/// What was said to a model, as the libraries write it.
fn messages(random: Random, length: u64) -> Vec<u8> {
    let begin = format!("[{{\"role\":\"user\",\"content\":\"{GREETING}");
    [begin.as_bytes(), &unquoted(random, length), b"\"}]"].concat()
}

fn unquoted(random: Random, length: u64) -> Vec<u8> {
    pad(random, length).trim_matches('"').as_bytes().to_vec()
}

/// So many bytes of any kind.
fn noise(mut random: Random, length: u64) -> Vec<u8> {
    let mut bytes = vec![0; length as usize];
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&random.bits().to_le_bytes()[..chunk.len()]);
    }
    bytes
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::default());
    // In memory it does not fail.
    gzip.write_all(bytes).and_then(|()| gzip.finish()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::random::Source;

    fn drawn(size: (u64, u64)) -> Vec<Vec<Blob>> {
        let source = Source::new(7, StreamId(0), Purpose::Blobs);
        (0..300).map(|seq| draw(&mut source.at(seq), size)).collect()
    }

    #[test]
    fn all_kinds_of_all_lengths_are_drawn() {
        let (events, again) = (drawn((100, 10_000)), drawn((100, 10_000)));
        assert_eq!(events, again);
        let counts: BTreeSet<usize> = events.iter().map(Vec::len).collect();
        assert_eq!(counts, BTreeSet::from([1, 2, 3]));
        let all: Vec<&Blob> = events.iter().flatten().collect();
        let kinds: BTreeSet<_> = all.iter().map(|blob| (blob.content_type, blob.content_encoding)).collect();
        assert_eq!(kinds.len(), 4, "{kinds:?}");
        let contents: BTreeSet<&[u8]> = all.iter().map(|blob| &*blob.bytes).collect();
        assert!(contents.len() == all.len() && all.iter().all(|blob| !blob.bytes.is_empty()));
        let binary: Vec<_> = all.iter().filter(|blob| blob.content_type == "application/octet-stream").collect();
        assert!(binary.iter().all(|blob| (100..=10_000).contains(&blob.bytes.len())));
        let short = binary.iter().filter(|blob| blob.bytes.len() < 1_000).count();
        assert!((binary.len() / 4..binary.len() * 3 / 4).contains(&short), "{short} of {}", binary.len());
        for blob in all.iter().filter(|blob| blob.content_type == "application/json") {
            let mut text = blob.bytes.clone();
            if blob.content_encoding.is_some() {
                text.clear();
                std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*blob.bytes), &mut text).unwrap();
            }
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&text).unwrap()[0]["role"], "user");
        }
    }
}
