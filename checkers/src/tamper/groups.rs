//! The self-test of what is said of groups: groups that are lost, changed or put at another index in a copy of what was found.

use std::collections::BTreeMap;

use super::{SelfTest, VICTIMS};
use crate::{
    oracle::groups::INDICES,
    reconcile::{
        evidence::Class,
        groups::{
            Groups, Judged,
            found::{FoundGroups, GroupRow, Place},
        },
    },
};

/// The ways in which a group is made wrong.
const WAYS: usize = 3;
/// One in so many groups is a victim, so that enough are left to tell which index is that of their type.
const EVERY: usize = 3;

/// Tampers with a copy of what was `found` of groups that are right, and judges it; `judged` is what it came to before. `None`
/// where no group is right.
pub fn self_test(groups: &Groups, found: &FoundGroups, judged: &Judged) -> Option<SelfTest> {
    let is_right = |(team, key, _): &(i64, &str, usize)| !judged.is_wrong(*team, key);
    let right: Vec<_> = groups.judged_groups().into_iter().filter(is_right).collect();
    let places: BTreeMap<(i64, &str), (&Place, &[String])> =
        found.iter().map(|(place, said)| ((place.0, place.2.as_str()), (place, said))).collect();
    let mut copy = found.clone();
    let mut planted = Vec::new();
    for (number, (team, key, others)) in right.iter().step_by(EVERY).take(WAYS * VICTIMS).enumerate() {
        // Of a sixth type none is there.
        let Some((place, said)) = places.get(&(*team, *key)) else { continue };
        // Where a type has few groups, they would not tell any more which index it has.
        let tampered = match number % WAYS {
            0 if *others >= EVERY => {
                copy.remove(place);
                true
            }
            1 if *others >= EVERY => {
                let index = (place.1 + 1) % INDICES;
                let properties = said.first().cloned().unwrap_or_default();
                copy.put(GroupRow { team: *team, index, key: (*key).to_owned(), properties, version: (0, 0) });
                true
            }
            _ => groups.judged_property(*team, key).is_some_and(|property| change(&mut copy, place, said, property)),
        };
        if tampered {
            planted.push((*team, *key));
        }
    }
    let after = groups.judge(&copy);
    let found = planted.iter().filter(|(team, key)| after.is_wrong(*team, key)).count();
    let strangers = after.strangers().len() - judged.strangers().len().min(after.strangers().len());
    let false_alarms = after.wrong_groups().saturating_sub(judged.wrong_groups() + found) + strangers;
    let missed = planted.len() - found;
    (!planted.is_empty()).then(|| SelfTest {
        planted: planted.len() as u64,
        found: found as u64,
        false_alarms: false_alarms as u64,
        missed: (missed > 0).then_some((Class::WrongGroup, missed as u64)).into_iter().collect(),
    })
}

/// Gives the `property` of a found group a value that nobody has set.
fn change(copy: &mut FoundGroups, place: &Place, said: &[String], property: &str) -> bool {
    let members =
        said.first().and_then(|said| serde_json::from_str::<serde_json::Map<_, serde_json::Value>>(said).ok());
    let Some(mut members) = members else { return false };
    members.insert(property.to_owned(), "tampered".into());
    copy.remove(place);
    let properties = serde_json::Value::Object(members).to_string();
    copy.put(GroupRow { team: place.0, index: place.1, key: place.2.clone(), properties, version: (0, 0) });
    true
}
