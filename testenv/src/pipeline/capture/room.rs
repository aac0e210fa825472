//! Where the texts of a request's events are, one behind another. They come and go together, and the next request finds the room
//! as warm as this one left it.

use std::{ops::Range, str::Utf8Error};

/// What is larger is given back when the next request comes.
const KEPT: usize = 4 << 20;

/// Where a text is.
pub(super) type Place = Range<usize>;

/// Room for texts.
#[derive(Debug, Default)]
pub struct Room(Vec<u8>);

impl Room {
    /// Makes place for those of another request.
    pub(super) fn clear(&mut self) {
        self.0.clear();
        self.0.shrink_to(KEPT);
    }

    /// Puts a text in.
    pub(super) fn put(&mut self, text: &str) -> Place {
        let start = self.0.len();
        self.0.extend_from_slice(text.as_bytes());
        start..self.0.len()
    }

    /// Puts in what `write` writes.
    pub(super) fn put_written(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Place {
        let start = self.0.len();
        write(&mut self.0);
        start..self.0.len()
    }

    /// All of them.
    pub(super) fn texts(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_where_it_was_said_and_what_was_large_is_given_back() {
        let mut room = Room::default();
        room.put("before");
        room.clear();
        let places = [room.put("é"), room.put(""), room.put_written(|text| text.extend(b"[]"))];
        let texts = room.texts().unwrap();
        assert_eq!(places.map(|place| &texts[place]), ["é", "", "[]"]);
        room.put(&"x".repeat(2 * KEPT));
        room.clear();
        assert!(room.0.capacity() <= KEPT);
    }
}
