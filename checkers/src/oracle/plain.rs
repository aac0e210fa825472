//! Whether a row is plainly right: the quick way to the answer that nearly every row gets.
//!
//! Problems first. (1) Every column of every row is judged, and parsing a row's JSON to do it costs ten times what reading
//! it does. (2) The pipeline adds members of its own, so the stored text is not the text that was sent. (3) A quick way
//! must never call a row right that the [rules](super::row) call wrong. So the stored text is walked along the expected
//! one: what is equal byte for byte holds what it must, a member that only the store has is stepped over, and at anything
//! else the quick way gives up and says nothing.

use generators::{
    identity::{EventId, StreamId},
    workload::{Content, Ids, Workload},
};
use memchr::memchr2;
use serde::de::IgnoredAny;
use uuid::Uuid;

use super::{dialect::Dialect, row::RowRef};

/// So many persons are remembered; a power of two.
const REMEMBERED: usize = 1 << 14;

/// The quick way, with what it remembers between rows.
#[derive(Debug)]
pub struct PlainRows {
    dialect: Dialect,
    ids: Ids,
    text: Vec<u8>,
    members: Vec<u32>,
    /// Persons whose ids were computed before, by their number.
    persons: Vec<Option<Remembered>>,
}

/// A person of the workload, with the person ids that its known and its anonymous id lead to.
#[derive(Debug, Clone, Copy)]
struct Remembered {
    stream: StreamId,
    person: u64,
    known: Uuid,
    /// The known one again, where there is no anonymous id.
    anonymous: Uuid,
}

impl PlainRows {
    /// Nothing remembered yet.
    pub fn new(dialect: Dialect) -> Self {
        let (ids, text, members) = (Ids::default(), Vec::new(), Vec::new());
        Self { dialect, ids, text, members, persons: vec![None; REMEMBERED] }
    }

    /// Whether `row` holds what it must as a row of this event, its timestamp apart, which is not looked at. True means
    /// that [`Expectation::differences`](super::row::Expectation::differences) finds none; false says nothing.
    pub fn is_right(&mut self, workload: &Workload, stream: StreamId, seq: u64, team: i64, row: &RowRef<'_>) -> bool {
        let id = EventId { run: workload.plan().run, stream, seq };
        // Nothing was clicked in what a template makes.
        if row.uuid != id.to_uuid() || row.team_id != team || !row.elements_chain.is_empty() {
            return false;
        }
        let Some(content) = workload.content(stream, seq).filter(|content| content.name() == row.event) else {
            return false;
        };
        content.write_distinct_id(&mut self.ids.distinct_id);
        if row.distinct_id.as_bytes() != self.ids.distinct_id || !self.is_person(&content, stream, team, row.person_id)
        {
            return false;
        }
        if content.identifies() {
            // Its properties hold the id that it joins.
            content.write_ids(&mut self.ids);
        }
        let Self { dialect, ids, text, members, .. } = self;
        text.clear();
        members.clear();
        content.write(ids, text, members);
        dialect.store_json(text);
        holds(row.properties, Expected { text, members }, |key| dialect.rewrites_property(key))
    }

    /// Whether `found` is what one of the ids of the event's person leads to. All events of a stream have one team.
    fn is_person(&mut self, content: &Content<'_>, stream: StreamId, team: i64, found: Uuid) -> bool {
        let Self { dialect, ids, persons, .. } = self;
        if *dialect == Dialect::V2021 {
            // Drawn at random.
            return true;
        }
        let person = content.person();
        let slot = &mut persons[person as usize % REMEMBERED];
        let known = slot.filter(|known| known.person == person && known.stream == stream);
        let known = known.or_else(|| {
            let of = |id: &[u8]| dialect.person_id(team, std::str::from_utf8(id).ok()?);
            content.write_ids(ids);
            let known = of(&ids.known)?;
            let anonymous = if ids.anonymous.is_empty() { known } else { of(&ids.anonymous)? };
            *slot = Some(Remembered { stream, person, known, anonymous });
            *slot
        });
        known.is_some_and(|known| known.known == found || known.anonymous == found)
    }
}

/// What is expected: a JSON object's text, and where in it each member begins.
#[derive(Clone, Copy)]
struct Expected<'a> {
    text: &'a [u8],
    members: &'a [u32],
}

impl Expected<'_> {
    /// Where a member begins; behind the last one, where the object ends.
    fn begin(&self, member: usize) -> usize {
        self.members.get(member).map_or(self.text.len() - 1, |begin| *begin as usize)
    }

    /// Whether `key`, with its quotes and colon, is that of a member.
    fn has(&self, key: &[u8]) -> bool {
        // Nearly all differ in their first bytes.
        let first = key.first_chunk::<4>();
        let mut members = self.members.iter().map(|begin| &self.text[*begin as usize..]);
        members.any(|member| (first.is_none() || member.first_chunk() == first) && member.starts_with(key))
    }

    /// The first bytes of all members.
    fn begins(&self) -> Begins {
        let mut begins = Begins::default();
        for begin in self.members {
            if let Some(first) = self.text[*begin as usize..].first_chunk() {
                let (word, bit) = Begins::place(*first);
                begins.0[word] |= bit;
            }
        }
        begins
    }
}

/// A filter of first bytes: what it does not hold is not among them (Bloom 1970, with one hash).
#[derive(Clone, Copy, Default)]
struct Begins([u64; 4]);

impl Begins {
    const fn place(first: [u8; 4]) -> (usize, u64) {
        let hash = u32::from_le_bytes(first).wrapping_mul(0x9e37_79b9) >> 24;
        ((hash / 64) as usize, 1 << (hash % 64))
    }

    /// Whether a member may have this key. The shortest always may: its member's first bytes hold more than the key.
    fn may_have(&self, key: &[u8]) -> bool {
        key.first_chunk().is_none_or(|first| {
            let (word, bit) = Self::place(*first);
            self.0[word] & bit != 0
        })
    }
}

/// Whether the JSON object `found` holds every member that is `expected` as the very same text and in the same order, and is
/// JSON otherwise. Members that only `found` has may stand anywhere; a member whose key `is_free` may hold anything.
fn holds(found: &str, expected: Expected<'_>, is_free: impl Fn(&str) -> bool) -> bool {
    let bytes = found.as_bytes();
    // How far the two are the same, in each of them; what lies before in `found` was looked at.
    let (mut at, mut expected_at) = (0, 0);
    let mut begins = None;
    loop {
        let same = common_prefix(&bytes[at..], &expected.text[expected_at..]);
        let mismatch = expected_at + same;
        if mismatch == expected.text.len() {
            return at + same == bytes.len();
        }
        // Back to where the member begins in which they differ; behind the last one only the end is expected.
        let is_end = mismatch + 1 == expected.text.len();
        let member = match expected.members.partition_point(|begin| *begin as usize <= mismatch).checked_sub(1) {
            _ if is_end => expected.members.len(),
            Some(member) => member,
            None => return false,
        };
        let begin = expected.begin(member);
        if begin < expected_at {
            return false;
        }
        at += begin - expected_at;
        // At the end, a comma stands where the brace is expected.
        if is_end && bytes.get(at) != Some(&b',') {
            return false;
        }
        at += usize::from(is_end);
        let Some((key, end)) = member_at(found, at) else { return false };
        let begins = begins.get_or_insert_with(|| expected.begins());
        if begins.may_have(key.as_bytes()) {
            let own = !is_end && expected.text[begin..].starts_with(key.as_bytes());
            if own && is_free(&key[1..key.len() - 2]) {
                // Both stand behind the member now.
                (at, expected_at) =
                    (end, expected.begin(member + 1) - usize::from(member + 1 < expected.members.len()));
                continue;
            }
            // Of two members with one key the last counts, which is for others to say.
            if own || expected.has(key.as_bytes()) {
                return false;
            }
        }
        // Behind the added member: at the next one, or at the end.
        match (bytes.get(end), is_end) {
            (Some(b','), false) => (at, expected_at) = (end + 1, begin),
            (Some(b',' | b'}'), true) => (at, expected_at) = (end, begin),
            _ => return false,
        }
    }
}

/// How many bytes the two have in common at their beginnings.
fn common_prefix(left: &[u8], right: &[u8]) -> usize {
    const WIDE: usize = 32;
    let ((lefts, _), (rights, _)) = (left.as_chunks::<WIDE>(), right.as_chunks::<WIDE>());
    let wide = lefts.iter().zip(rights).take_while(|(left, right)| left == right).count() * WIDE;
    let rest = left[wide..].iter().zip(&right[wide..]).take_while(|(left, right)| left == right).count();
    wide + rest
}

/// The key of the member that begins at `at`, with its quotes and colon, and where the member ends; `None` if it is no
/// plain JSON.
fn member_at(text: &str, at: usize) -> Option<(&str, usize)> {
    let bytes = text.as_bytes();
    let colon = string_end(bytes, at)?;
    let value = colon + 1;
    if bytes.get(colon) != Some(&b':') {
        return None;
    }
    let key = text.get(at..value)?;
    if let Some(end) = string_end(bytes, value).or_else(|| scalar_end(bytes, value)) {
        return Some((key, end));
    }
    let mut values = serde_json::Deserializer::from_str(text.get(value..)?).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    let end = value + values.byte_offset();
    // A number may end anywhere for the parser; here it must end where the member does.
    matches!(bytes.get(end), Some(b',' | b'}')).then_some((key, end))
}

/// Where a number in plain digits or a name of JSON ends that begins at `at`; `None` if there is none, or none that is simple.
fn scalar_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let digits = |from: usize| rest[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let length = if let Some(name) = [&b"true"[..], b"false", b"null"].into_iter().find(|name| rest.starts_with(name)) {
        name.len()
    } else {
        let sign = usize::from(rest.first() == Some(&b'-'));
        let whole = sign + digits(sign);
        // A zero stands alone; at least one digit is there, and so behind the point.
        if whole == sign || (rest[sign] == b'0' && whole > sign + 1) {
            return None;
        }
        match rest.get(whole) {
            Some(b'.') => whole + 1 + Some(digits(whole + 1)).filter(|digits| *digits > 0)?,
            _ => whole,
        }
    };
    // An exponent, or anything else, is for the parser.
    matches!(rest.get(length), Some(b',' | b'}')).then_some(at + length)
}

/// Where a string without escapes ends that begins at `at`; `None` if there is none.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let rest = &bytes[at + 1..];
    let length = memchr2(b'"', b'\\', rest)?;
    let is_plain = rest[length] == b'"' && rest[..length].iter().all(|byte| *byte >= 0x20);
    is_plain.then_some(at + length + 2)
}

#[cfg(test)]
mod tests {
    use generators::event::EventSource;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        oracle::row::{Row, expect},
        reconcile::example::{STREAM, disorderly},
    };

    const TEAM: i64 = 1;

    /// The event's right row, and the answers of the quick way and of the rules for what `change` makes of it.
    fn answers(workload: &Workload, seq: u64, change: impl FnOnce(&mut Row)) -> (bool, bool) {
        let event = workload.event(STREAM, seq).unwrap();
        let expectation = expect(Dialect::V2026, &event, TEAM, &[], 0);
        let mut row = expectation.fulfilled().unwrap();
        change(&mut row);
        let quick = PlainRows::new(Dialect::V2026).is_right(workload, STREAM, seq, TEAM, &row.view());
        (quick, expectation.differences(&row).is_empty())
    }

    #[test]
    fn right_rows_are_plainly_right_whatever_the_pipeline_adds() {
        let workload = disorderly(500);
        for seq in 0..500 {
            for added in [
                "",
                "\"$ip\":\"127.0.0.1\",",
                "\"$a\":[1,{\"b\":null}],\"$b\":-1.5e3,",
                "\"$z\":true,\"\":{},\"n\":0,\"m\":-0.5,",
            ] {
                let first = |row: &mut Row| row.properties.insert_str(1, added);
                assert_eq!(answers(&workload, seq, first), (true, true), "{seq} {added}");
                let last = |row: &mut Row| {
                    row.properties.pop();
                    row.properties = format!("{},{added}}}", row.properties).replace(",}", "}");
                };
                assert_eq!(answers(&workload, seq, last), (true, true), "{seq} {added}");
                let between =
                    |row: &mut Row| row.properties = row.properties.replace("\"cart\":", &format!("{added}\"cart\":"));
                assert_eq!(answers(&workload, seq, between), (true, true), "{seq} {added}");
            }
        }
    }

    #[test]
    fn a_member_that_the_pipeline_writes_itself_may_hold_anything() {
        let text = br#"{"$set":{"a":1},"city":"Oslo","token":"x"}"#;
        let members = [1, 16, 30];
        let holds = |found: &str| {
            holds(found, Expected { text, members: &members }, |key| Dialect::V2026.rewrites_property(key))
        };
        for right in [
            r#"{"$set":{"a":1},"city":"Oslo","token":"x"}"#,
            r#"{"$set":null,"city":"Oslo","token":"x"}"#,
            r#"{"$set":{"b":[2]},"city":"Oslo","token":7}"#,
            r#"{"$ip":"1","$set":{},"$sex":1,"city":"Oslo","$t":2,"token":{},"z":0}"#,
        ] {
            assert!(holds(right), "{right}");
        }
        for wrong in [
            r#"{"$set":null,"city":"Rome","token":"x"}"#,
            r#"{"$set":null,"city":"Oslo","token":7"#,
            r#"{"$set":null,"city":"Oslo","token":7}}"#,
            r#"{"$set":null,"token":7}"#,
            r#"{"$set":nil,"city":"Oslo","token":7}"#,
        ] {
            assert!(!holds(wrong), "{wrong}");
        }
    }

    #[test]
    fn wrong_rows_never_are() {
        let workload = disorderly(40);
        let changes: [fn(&mut Row); 20] = [
            |row| row.elements_chain = "a:".into(),
            |row| row.uuid = Uuid::nil(),
            |row| row.team_id = 2,
            |row| row.event.push('x'),
            |row| row.distinct_id.push('x'),
            |row| row.person_id = Uuid::nil(),
            |row| row.properties = row.properties.replace("\"is_trial\":", "\"is_trail\":"),
            |row| row.properties = row.properties.replace("\"ordinal\":", "\"ordinal\":1"),
            |row| row.properties = row.properties.replace("\"flags\":{}", "\"flags\":{\"a\":1}"),
            |row| row.properties = row.properties.replace("\"city\":\"", "\"city\":\"x"),
            |row| row.properties.truncate(row.properties.len() - 1),
            |row| row.properties.push('x'),
            |row| row.properties = row.properties.replacen('{', "{\"$a\":1-2,", 1),
            |row| row.properties = row.properties.replacen('{', "{\"$a\":01,", 1),
            |row| row.properties = row.properties.replacen('{', "{\"$a\":\"\u{1}\",", 1),
            |row| row.properties = row.properties.replacen('{', "{\"$a\":1.,", 1),
            |row| row.properties = row.properties.replacen('{', "{\"$a\":-,", 1),
            |row| row.properties = row.properties.replacen('{', "{\"$a\":nulL,", 1),
            // The last of two members counts.
            |row| row.properties = row.properties.replace("\"}", "\",\"is_trial\":7}"),
            |row| row.properties = row.properties.replace("\"}", "\",\"is_tri\\u0061l\":7}"),
        ];
        for seq in 0..40 {
            for (number, change) in changes.into_iter().enumerate() {
                let (quick, rules) = answers(&workload, seq, change);
                assert_eq!((quick, rules), (false, false), "change {number} of event {seq}");
            }
        }
    }

    /// Bytes that JSON is made of, and that a member may be damaged with.
    const BYTES: &[u8] = b"{}[]:,\"\\0159-.eEtrufalsn $a\x01";

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_plainly_right_is_right(
            seq in 0u64..400,
            damage in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(BYTES), 0u8..3), 0..4),
            added in prop_oneof![Just(""), Just("\"$ip\":\"1\","), Just("\"note\":1,"), Just("\"x\":[],\"y\":{\"z\":\"}\"},")],
            place in any::<prop::sample::Index>(),
        ) {
            static WORKLOAD: std::sync::LazyLock<Workload> = std::sync::LazyLock::new(|| disorderly(400));
            let (quick, rules) = answers(&WORKLOAD, seq, |row| {
                let begins: Vec<usize> = row.properties.match_indices(",\"").map(|(at, _)| at + 1).collect();
                row.properties.insert_str(begins[place.index(begins.len())], added);
                let mut bytes = std::mem::take(&mut row.properties).into_bytes();
                for (at, byte, how) in &damage {
                    let at = at.index(bytes.len());
                    match how {
                        0 => bytes[at] = *byte,
                        1 => bytes.insert(at, *byte),
                        _ => { bytes.remove(at); }
                    }
                }
                row.properties = String::from_utf8_lossy(&bytes).into_owned();
            });
            prop_assert!(rules || !quick, "the quick way called a wrong row right");
        }
    }

    #[test]
    fn persons_are_remembered_apart() {
        let workload = disorderly(500);
        let mut plain = PlainRows::new(Dialect::V2026);
        let mut persons = std::collections::HashMap::new();
        let mut anonymous = 0;
        for seq in 0..500 {
            let (event, content) = (workload.event(STREAM, seq).unwrap(), workload.content(STREAM, seq).unwrap());
            let ids = event.ids_of_person.clone();
            anonymous += usize::from(ids.len() > 1);
            persons.insert(content.person(), ids.clone());
            for (other, others) in &persons {
                for id in others {
                    let found = Dialect::V2026.person_id(TEAM, id).unwrap();
                    assert_eq!(plain.is_person(&content, STREAM, TEAM, found), *other == content.person(), "{id}");
                }
            }
            // The same place, another stream.
            let elsewhere = Dialect::V2026.person_id(TEAM + 1, &ids[0]).unwrap();
            assert!(plain.is_person(&content, StreamId(1), TEAM + 1, elsewhere));
            assert!(!plain.is_person(&content, STREAM, TEAM, elsewhere));
        }
        assert!(persons.len() == 10 && anonymous > 0);
    }
}
