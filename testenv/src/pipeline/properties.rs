//! The properties of an event: JSON text, borrowed from its message where nothing has changed it.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::{self, SerializeMap},
};
use serde_json::value::RawValue;

use super::json_reader::Reader;

/// In the order of their keys, each of which is there once; of repeated ones the last counts, as for JavaScript.
///
/// Every event has some dozens, and none is copied only to be written again.
#[derive(Debug, Default)]
pub struct EventProperties<'a> {
    entries: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The [`mark`]s of all keys that ever were among them: most questions are for keys that are not there.
    marks: u128,
}

/// For so many there is room at once: what browsers send, and what is added.
const ROOM: usize = 48;

/// One bit for a key, by its length and its end: beginnings are alike.
fn mark(key: &str) -> u128 {
    let last = key.as_bytes().last().copied().unwrap_or_default();
    1 << ((key.len() * 11 + usize::from(last)) % 128)
}

impl<'a> EventProperties<'a> {
    fn find(&self, key: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|(own, _)| own.as_ref().cmp(key))
    }

    fn place(&self, key: &str) -> Option<usize> {
        if self.marks & mark(key) == 0 { None } else { self.find(key).ok() }
    }

    /// The JSON text of `key`'s value.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.place(key).map(|at| self.entries[at].1.as_ref())
    }

    /// Whether there is a value of `key`.
    pub fn contains_key(&self, key: &str) -> bool {
        self.place(key).is_some()
    }

    /// Those that `reader` reads next; none if they are to be read otherwise.
    pub fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let mut entries = Entries::new();
        reader.object(|key, reader| {
            entries.push(Cow::Borrowed(key), reader.value()?);
            Some(())
        })?;
        Some(entries.in_order())
    }

    /// Puts a value in, in place of one that was there.
    pub fn insert(&mut self, key: impl Into<String>, value: Box<RawValue>) {
        self.put(Cow::Owned(key.into()), Cow::Owned(Box::<str>::from(value).into()));
    }

    /// Gives the value of one key to another one, in place of what that had.
    pub fn rename(&mut self, key: &str, to: &str) {
        if let Some(value) = self.remove(key) {
            self.put(Cow::Owned(to.to_owned()), value);
        }
    }

    fn put(&mut self, key: Cow<'a, str>, value: Cow<'a, str>) {
        self.marks |= mark(&key);
        match self.find(&key) {
            Ok(at) => self.entries[at].1 = value,
            Err(at) => self.entries.insert(at, (key, value)),
        }
    }

    /// Takes a value out.
    pub fn remove(&mut self, key: &str) -> Option<Cow<'a, str>> {
        self.place(key).map(|at| self.entries.remove(at).1)
    }

    /// Keeps those of whose keys `keep` is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.entries.retain(|(key, _)| keep(key));
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.entries.iter().map(|(key, _)| key.as_ref())
    }

    /// Writes them at the end of `text`, as a JSON object.
    pub fn write(&self, text: &mut String) {
        let mut before = "{";
        for (key, value) in &self.entries {
            text.push_str(before);
            before = ",";
            match key {
                // In the message it stood so, and without an escape.
                Cow::Borrowed(key) => text.extend(["\"", key, "\":"]),
                // A string always has a JSON form.
                Cow::Owned(key) => text.extend([&serde_json::to_string(key).unwrap_or_default(), ":"]),
            }
            text.push_str(value);
        }
        text.push_str(if self.entries.is_empty() { "{}" } else { "}" });
    }
}

/// Properties as they are read.
struct Entries<'a> {
    all: EventProperties<'a>,
    are_in_order: bool,
}

impl<'a> Entries<'a> {
    fn new() -> Self {
        Self { all: EventProperties { entries: Vec::with_capacity(ROOM), marks: 0 }, are_in_order: true }
    }

    fn push(&mut self, key: Cow<'a, str>, value: &'a str) {
        self.are_in_order &= self.all.entries.last().is_none_or(|(last, _)| *last < key);
        self.all.marks |= mark(&key);
        self.all.entries.push((key, Cow::Borrowed(value)));
    }

    fn in_order(mut self) -> EventProperties<'a> {
        if !self.are_in_order {
            // Equal keys stay in their order, and the last one moves to the front.
            let entries = &mut self.all.entries;
            entries.reverse();
            entries.sort_by(|(left, _), (right, _)| left.cmp(right));
            entries.dedup_by(|(later, _), (earlier, _)| later == earlier);
        }
        self.all
    }
}

impl Serialize for EventProperties<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.entries.len()))?;
        for (key, value) in &self.entries {
            map.serialize_entry(key, serde_json::from_str::<&RawValue>(value).map_err(ser::Error::custom)?)?;
        }
        map.end()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for EventProperties<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(PhantomData))
    }
}

struct Members<'a>(PhantomData<&'a ()>);

/// A key, borrowed where it has no escape.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Visitor<'de> for Members<'a> {
    type Value = EventProperties<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Entries::new();
        while let Some((Key(key), value)) = map.next_entry::<Key<'a>, &'a RawValue>()? {
            entries.push(key, value.get());
        }
        Ok(entries.in_order())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::value::to_raw_value;

    use super::*;

    fn text_of(properties: &EventProperties<'_>) -> String {
        let mut text = String::new();
        properties.write(&mut text);
        text
    }

    #[test]
    fn they_are_a_map_that_keeps_texts() {
        let text = r#"{"b":1.50,"a":[1 , 2],"b":2.50,"c\n\u00e9":"x\ud83d\ude00"}"#;
        let mut properties: EventProperties<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(properties.get("b").unwrap(), "2.50", "of repeated keys the last counts");
        assert!(properties.contains_key("c\né") && !properties.contains_key("c"));
        assert_eq!(properties.remove("a").unwrap(), "[1 , 2]");
        assert!(properties.remove("a").is_none());
        properties.insert("z\"", to_raw_value(&1).unwrap());
        properties.insert("0".to_owned(), to_raw_value("é\"").unwrap());
        properties.insert("b", to_raw_value(&7).unwrap());
        let written = r#"{"0":"é\"","b":7,"c\né":"x\ud83d\ude00","z\"":1}"#;
        assert_eq!(serde_json::to_string(&properties).unwrap(), written);
        properties.retain(|key| key != "0");
        properties.rename("b", "y");
        properties.rename("nothing", "z");
        assert_eq!(properties.keys().rev().collect::<Vec<_>>(), ["z\"", "y", "c\né"]);
        assert!(serde_json::from_str::<EventProperties<'_>>("[]").is_err());
        assert_eq!(text_of(&EventProperties::default()), "{}");
    }

    proptest! {
        #[test]
        fn they_are_what_a_map_would_be(members in proptest::collection::vec((".{0,3}", any::<i64>()), 0..40)) {
            let member = |(key, value): &(String, i64)| format!("{}:{value}", serde_json::to_string(key).unwrap());
            let text = format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","));
            let properties: EventProperties<'_> = serde_json::from_str(&text).unwrap();
            let read = EventProperties::read(&mut Reader::new(&text));
            prop_assert!(read.is_some() || text.contains('\\'));
            if let Some(read) = read {
                prop_assert_eq!(text_of(&read), text_of(&properties));
                prop_assert_eq!(read.marks, properties.marks);
            }
            let map: BTreeMap<String, i64> = members.into_iter().collect();
            let read = |text: &str| serde_json::from_str::<BTreeMap<String, i64>>(text).unwrap();
            prop_assert_eq!(properties.keys().collect::<Vec<_>>(), map.keys().collect::<Vec<_>>());
            for key in map.keys().map(String::as_str).chain(["", "a", "$ip"]) {
                prop_assert_eq!(properties.contains_key(key), map.contains_key(key));
            }
            prop_assert_eq!(read(&text_of(&properties)), map.clone());
            prop_assert_eq!(read(&serde_json::to_string(&properties).unwrap()), map);
        }
    }
}
