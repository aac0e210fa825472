//! Which way an event takes, and whether it keeps its place behind others of its key (rust/capture/src/pipeline.rs, `resolve`, and
//! ordering.rs; ingestion contract 1.5).

use super::restrictions::Applied;

/// A way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Aside, because a restriction says so.
    DeadLetters,
    /// The topic that it has for its name.
    OfItsName,
    /// That of imports.
    Historical,
    /// That of what comes too often, or is taken for it.
    Overflow,
    /// That of all others.
    Main,
}

/// What decides.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each of which is asked for by its name")]
pub struct Facts {
    /// What an operator says of the event.
    pub applied: Applied,
    /// Its name has a topic.
    pub has_topic_of_name: bool,
    /// It is an import, or as old as one.
    pub is_import: bool,
    /// Its key is listed as a hot one.
    pub is_forced: bool,
    /// No person may come of it, for what it is.
    pub forbids_person: bool,
    /// What comes too often keeps its key.
    pub preserves_locality: bool,
}

/// The way of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Where it goes.
    pub lane: Lane,
    /// Whether it goes there with its key; without one, it goes to any partition, and order is lost.
    pub has_key: bool,
    /// Whether the ingester is told that no person may come of it.
    pub forbids_person: bool,
}

impl Facts {
    /// The way; whether it comes too often is counted for those alone whose way depends on it.
    pub fn way(self, is_over: impl FnOnce() -> bool) -> Way {
        let Self { applied, has_topic_of_name, is_import, is_forced, preserves_locality, .. } = self;
        let forbids_person = self.forbids_person || applied.skip_person;
        let to = |lane, has_key| Way { lane, has_key, forbids_person };
        // Where no person comes of an event nobody needs its order (`person_ordering`).
        if applied.dead_letter {
            to(Lane::DeadLetters, true)
        } else if has_topic_of_name {
            to(Lane::OfItsName, true)
        } else if is_import {
            to(Lane::Historical, true)
        } else if applied.overflow {
            to(Lane::Overflow, !forbids_person)
        } else if is_forced {
            Way { forbids_person: true, ..to(Lane::Overflow, false) }
        } else if is_over() {
            to(Lane::Overflow, preserves_locality && !forbids_person)
        } else {
            to(Lane::Main, !forbids_person)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_follow_from_restrictions_names_age_and_keys_in_this_order() {
        let none = Facts::default();
        let applied = |applied| Facts { applied, ..none };
        let (overflow, skip) = (
            applied(Applied { overflow: true, ..Applied::default() }),
            applied(Applied { skip_person: true, ..Applied::default() }),
        );
        let both = applied(Applied { overflow: true, skip_person: true, ..Applied::default() });
        let aside = applied(Applied { overflow: true, dead_letter: true, ..Applied::default() });
        let forced = Facts { is_forced: true, ..none };
        let local = Facts { preserves_locality: true, ..none };
        for (name, facts, over, lane, has_key, forbids_person) in [
            ("any", none, false, Lane::Main, true, false),
            ("too often", none, true, Lane::Overflow, false, false),
            ("too often, with locality", local, true, Lane::Overflow, true, false),
            ("restricted", overflow, true, Lane::Overflow, true, false),
            ("restricted twice", both, false, Lane::Overflow, false, true),
            ("no person", skip, false, Lane::Main, false, true),
            ("no person, too often", Facts { preserves_locality: true, ..skip }, true, Lane::Overflow, false, true),
            ("nobody's id", Facts { forbids_person: true, ..none }, false, Lane::Main, false, true),
            ("a hot key", forced, false, Lane::Overflow, false, true),
            ("a hot key's import", Facts { is_import: true, ..forced }, true, Lane::Historical, true, false),
            ("a restricted import", Facts { is_import: true, ..overflow }, true, Lane::Historical, true, false),
            ("an exception", Facts { has_topic_of_name: true, ..forced }, true, Lane::OfItsName, true, false),
            ("aside", Facts { has_topic_of_name: true, ..aside }, true, Lane::DeadLetters, true, false),
        ] {
            assert_eq!(facts.way(|| over), Way { lane, has_key, forbids_person }, "{name}");
        }
    }
}
