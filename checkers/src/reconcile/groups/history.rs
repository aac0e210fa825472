//! Which values one property of a group may have in the end.
//!
//! All events that set it go one way, so the pipeline meets them in the order in which capture took them. Of two events that
//! order is known if the one was answered before the other was sent; then the earlier one's value is not the last. Of all
//! others each may have been the last one.

use std::time::Duration;

use crate::oracle::json::same_to_javascript;

/// When an event did to its group what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    /// Not before its first attempt was sent.
    pub earliest: Duration,
    /// Not after the last one was answered; [`Duration::MAX`] if one may come to something at any time.
    pub latest: Duration,
    /// Whether it has done it, as opposed to may have.
    pub certain: bool,
}

/// More values than this are not told apart: then any is legal.
const MOST_VALUES: usize = 256;

/// What is known of one property, from the events that set it, in any order.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The event that was sent last of those that are certain to have set it, and when.
    last: Option<(Duration, u64)>,
    /// The values that may be the last ones, each with when it was set at the latest.
    values: Vec<(String, Duration)>,
    /// There were too many.
    any: bool,
}

impl History {
    /// Adds that the event `seq` sets it to `value`.
    pub fn add(&mut self, seq: u64, value: &str, effect: Effect) {
        if effect.certain && self.last.is_none_or(|last| (effect.earliest, seq) > last) {
            self.last = Some((effect.earliest, seq));
        }
        match self.values.iter_mut().find(|(known, _)| known == value) {
            Some((_, latest)) => *latest = effect.latest.max(*latest),
            None => self.values.push((value.to_owned(), effect.latest)),
        }
        let since = self.since();
        self.values.retain(|(_, latest)| *latest >= since);
        if self.values.len() > MOST_VALUES {
            self.any = true;
            self.values.clear();
        }
    }

    /// Nothing that was done before this moment is the last.
    fn since(&self) -> Duration {
        self.last.map_or(Duration::ZERO, |(earliest, _)| earliest)
    }

    /// Whether it may hold `found` in the end, a JSON text; `None` if it is not there.
    pub fn allows(&self, found: Option<&str>) -> bool {
        match found {
            None => self.last.is_none(),
            Some(found) => self.any || self.values.iter().any(|(value, _)| same_to_javascript(value, found)),
        }
    }

    /// The event that was sent last of those that are certain to have set it.
    pub fn author(&self) -> Option<u64> {
        self.last.map(|(_, seq)| seq)
    }

    /// Whether every value is legal.
    pub const fn is_any(&self) -> bool {
        self.any
    }

    /// What is legal, for people.
    pub fn told(&self) -> String {
        let mut values: Vec<&str> = self.values.iter().map(|(value, _)| value.as_str()).take(SHOWN).collect();
        if self.last.is_none() {
            values.push("nothing");
        }
        if self.values.len() > SHOWN {
            values.push("…");
        }
        values.join(" or ")
    }
}

/// So many values are shown to people.
const SHOWN: usize = 5;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// An event: when it was sent and answered, whether it is certain, and its value.
    type Set = (u64, u64, bool, u8);

    fn effect(&(sent, answered, certain, _): &Set) -> Effect {
        let latest = if answered == u64::MAX { Duration::MAX } else { Duration::from_secs(answered) };
        Effect { earliest: Duration::from_secs(sent), latest, certain }
    }

    fn history(sets: &[Set]) -> History {
        let mut history = History::default();
        for (seq, set) in sets.iter().enumerate() {
            history.add(seq as u64, &set.3.to_string(), effect(set));
        }
        history
    }

    #[test]
    fn what_was_answered_before_a_later_one_was_sent_is_not_the_last() {
        let allowed = |sets: &[Set]| {
            let history = history(sets);
            let values = (0..5).filter(|value| history.allows(Some(&value.to_string()))).collect::<Vec<u8>>();
            (values, history.allows(None))
        };
        assert_eq!(allowed(&[]), (vec![], true));
        assert_eq!(allowed(&[(0, 1, true, 1)]), (vec![1], false));
        assert_eq!(allowed(&[(0, 1, true, 1), (2, 3, true, 2)]), (vec![2], false));
        assert_eq!(allowed(&[(2, 3, true, 2), (0, 1, true, 1)]), (vec![2], false), "however they are told");
        assert_eq!(allowed(&[(0, 2, true, 1), (2, 3, true, 2)]), (vec![1, 2], false), "at the same moment");
        assert_eq!(allowed(&[(0, 5, true, 1), (2, 3, true, 2)]), (vec![1, 2], false), "both were under way");
        assert_eq!(allowed(&[(0, 1, true, 1), (2, 3, false, 2)]), (vec![1, 2], false), "the later one may have failed");
        assert_eq!(allowed(&[(0, u64::MAX, false, 1), (2, 3, true, 2)]), (vec![1, 2], false), "at any time");
        assert_eq!(allowed(&[(0, 1, false, 1)]), (vec![1], true));
        assert_eq!(history(&[(0, 1, true, 1), (2, 3, true, 2)]).author(), Some(1));
    }

    #[test]
    fn values_are_compared_as_json() {
        let mut history = History::default();
        history.add(0, "1.50", Effect { earliest: Duration::ZERO, latest: Duration::ZERO, certain: true });
        assert!(history.allows(Some("1.5")) && !history.allows(Some("\"1.5\"")) && !history.allows(Some("null")));
        assert_eq!(history.told(), "1.50");
    }

    #[test]
    fn too_many_values_are_not_told_apart() {
        let mut history = History::default();
        for seq in 0..=MOST_VALUES as u64 {
            history.add(
                seq,
                &seq.to_string(),
                Effect { earliest: Duration::ZERO, latest: Duration::MAX, certain: true },
            );
        }
        assert!(history.is_any() && history.values.is_empty() && history.allows(Some("\"whatever\"")));
        assert!(!history.allows(None), "it is there");
    }

    /// Every value that is last in some order in which each event may have been processed: those that were answered before
    /// another was sent come before it, and those that are not certain may be left out.
    fn last_ones(sets: &[Set]) -> BTreeSet<Option<u8>> {
        let mut last = BTreeSet::new();
        for left_out in 0_u32..1 << sets.len() {
            let kept: Vec<&Set> =
                sets.iter().enumerate().filter(|(place, _)| left_out >> place & 1 == 0).map(|(_, set)| set).collect();
            if sets.iter().enumerate().any(|(place, set)| set.2 && left_out >> place & 1 == 1) {
                continue;
            }
            if kept.is_empty() {
                last.insert(None);
            }
            // One is the last in some order exactly if it must come before no other.
            let is_last = |one: &&Set| kept.iter().all(|other| one.1 == u64::MAX || one.1 >= other.0);
            last.extend(kept.iter().copied().filter(is_last).map(|set| Some(set.3)));
        }
        last
    }

    fn sets() -> impl Strategy<Value = Vec<Set>> {
        let set =
            (0_u64..10, 0_u64..6, any::<bool>(), 0_u8..4, 0_u8..8).prop_map(|(sent, takes, certain, value, odd)| {
                // Some are never answered, and then none is certain.
                if odd == 0 { (sent, u64::MAX, false, value) } else { (sent, sent + takes, certain, value) }
            });
        prop::collection::vec(set, 0..7)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_allows_what_some_order_leaves_and_nothing_else(sets in sets()) {
            let (history, last) = (history(&sets), last_ones(&sets));
            for value in 0..4 {
                prop_assert_eq!(history.allows(Some(&value.to_string())), last.contains(&Some(value)), "{} of {:?}", value, sets);
            }
            prop_assert_eq!(history.allows(None), last.contains(&None));
        }

        #[test]
        fn in_which_order_events_are_told_changes_nothing(sets in sets(), order in any::<prop::sample::Index>()) {
            let mut turned = sets.clone();
            if !turned.is_empty() {
                let by = order.index(turned.len());
                turned.rotate_left(by);
                turned.reverse();
            }
            let (one, other) = (history(&sets), history(&turned));
            for value in 0..4 {
                prop_assert_eq!(one.allows(Some(&value.to_string())), other.allows(Some(&value.to_string())));
            }
        }
    }
}
