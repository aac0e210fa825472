//! What a final read found in the table of groups: for each team, index and key the row that stays.
//!
//! The engine keeps the row with the greatest version, a time in seconds; of those of one second the last inserted. Where that
//! is not known, each of them may be it.

use std::collections::BTreeMap;

use generators::random::mix;
use serde::{Deserialize, Serialize};

/// A row of the table of groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRow {
    /// The team.
    pub team: i64,
    /// Which of the team's types it is of.
    pub index: u8,
    /// The group's key.
    pub key: String,
    /// What it is, as JSON.
    pub properties: String,
    /// Of rows of one group the one with the greatest version stays.
    pub version: (u64, u64),
}

/// Where a row stands: its team, the index of its type, and its key.
pub type Place = (i64, u8, String);

/// So many rows of one group and version are told apart.
const MOST_ROWS: usize = 8;

/// The rows that stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundGroups {
    latest: BTreeMap<Place, Latest>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Latest {
    version: (u64, u64),
    /// What each row with that version says.
    properties: Vec<String>,
}

impl FoundGroups {
    /// Adds a row, in any order.
    pub fn put(&mut self, row: GroupRow) {
        let GroupRow { team, index, key, properties, version } = row;
        let new = || Latest { version, properties: Vec::new() };
        let latest = self.latest.entry((team, index, key)).or_insert_with(new);
        if version > latest.version {
            *latest = new();
        }
        if version == latest.version && latest.properties.len() < MOST_ROWS && !latest.properties.contains(&properties)
        {
            latest.properties.push(properties);
        }
    }

    /// Where each stands, and what it may say.
    pub fn iter(&self) -> impl Iterator<Item = (&Place, &[String])> {
        self.latest.iter().map(|(place, latest)| (place, latest.properties.as_slice()))
    }

    /// The rows that stay, to be put again.
    pub fn rows(&self) -> impl Iterator<Item = GroupRow> {
        self.latest.iter().flat_map(|((team, index, key), Latest { version, properties })| {
            properties.iter().map(|properties| GroupRow {
                team: *team,
                index: *index,
                key: key.clone(),
                properties: properties.clone(),
                version: *version,
            })
        })
    }

    /// The same without the row at `place`.
    pub(crate) fn remove(&mut self, place: &Place) {
        self.latest.remove(place);
    }

    /// Equal digests mean that two reads said the same.
    pub fn digest(&self) -> u64 {
        let text = |hash: u64, text: &str| text.bytes().fold(hash, |hash, byte| mix(hash ^ u64::from(byte)));
        self.iter().fold(1, |sum, ((team, index, key), properties)| {
            let place = text(mix(*team as u64 ^ mix(u64::from(*index))), key);
            // Rows of one version come in any order.
            let said = properties.iter().fold(0_u64, |sum, properties| sum.wrapping_add(text(place, properties)));
            mix(sum ^ place).wrapping_add(said)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(key: &str, properties: &str, version: (u64, u64)) -> GroupRow {
        GroupRow { team: 1, index: 0, key: key.into(), properties: properties.into(), version }
    }

    fn found(rows: &[GroupRow]) -> FoundGroups {
        let mut found = FoundGroups::default();
        rows.iter().cloned().for_each(|row| found.put(row));
        found
    }

    #[test]
    fn the_latest_row_of_each_group_stays() {
        let found =
            found(&[row("a", "1", (5, 1)), row("a", "2", (5, 2)), row("a", "0", (4, 9)), row("b", "3", (1, 1))]);
        let said: Vec<_> = found.iter().map(|((_, _, key), said)| (key.as_str(), said.to_vec())).collect();
        assert_eq!(said, [("a", vec!["2".to_owned()]), ("b", vec!["3".to_owned()])]);
        let again = self::found(&found.rows().collect::<Vec<_>>());
        assert_eq!((&again, again.digest()), (&found, found.digest()));
    }

    #[test]
    fn of_rows_that_cannot_be_told_apart_each_may_be_it() {
        let found = found(&[row("a", "1", (5, 0)), row("a", "2", (5, 0)), row("a", "1", (5, 0))]);
        assert_eq!(found.iter().next().unwrap().1, ["1", "2"]);
    }

    #[test]
    fn what_differs_has_another_digest() {
        let digest = |rows: &[GroupRow]| found(rows).digest();
        let one = row("a", "1", (5, 1));
        let others = [row("a", "2", (5, 1)), row("b", "1", (5, 1)), GroupRow { index: 1, ..one.clone() }];
        let mut digests: Vec<u64> = others.iter().map(|row| digest(std::slice::from_ref(row))).collect();
        digests.extend([digest(std::slice::from_ref(&one)), digest(&[]), digest(&[one, row("b", "1", (5, 1))])]);
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), 6);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn rows_may_come_in_any_order(rows in prop::collection::vec((0_u8..3, 0_u8..4, 0_u64..3, 0_u64..3), 0..12)) {
            let rows: Vec<_> = rows
                .into_iter()
                .map(|(key, said, second, offset)| row(&key.to_string(), &said.to_string(), (second, offset)))
                .collect();
            let turned: Vec<_> = rows.iter().rev().cloned().collect();
            prop_assert_eq!(found(&rows).digest(), found(&turned).digest());
        }
    }
}
