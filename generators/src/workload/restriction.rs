//! What an operator tells capture to do with the events of single persons (`rust/capture/src/event_restrictions/types.rs`,
//! `RestrictionType`, and the forced keys of limiters/overflow.rs; ingestion contract 1.4, 1.5).
//!
//! Whom it concerns is a pure function of seed, stream and person, so that the pipeline can be told and the judge knows it. All
//! ids of a person are listed: what they become does not depend on the order of events.

use serde::{Deserialize, Serialize};

use super::{person::Cast, plan::Persons};
use crate::{
    identity::{RunId, StreamId},
    random::{Purpose, Share, Source},
};

/// What is done with the events of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Restriction {
    /// They are dropped.
    DropEvent,
    /// They take the way of what comes too often, in their order.
    ForceOverflow,
    /// Their keys are listed as hot ones: they take that way in any order, and no person comes of them.
    ForcedKey,
    /// No person comes of them.
    SkipPersonProcessing,
    /// They go to the dead letters.
    RedirectToDlq,
}

/// Which share of persons is restricted in which way.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the names are those of the restrictions, one for one")]
pub struct Restrictions {
    pub drop_event: Share,
    pub force_overflow: Share,
    pub forced_key: Share,
    pub skip_person_processing: Share,
    pub redirect_to_dlq: Share,
}

impl Restrictions {
    /// All shares, with what they are shares of.
    pub const fn shares(&self) -> [(Share, Restriction); 5] {
        [
            (self.drop_event, Restriction::DropEvent),
            (self.force_overflow, Restriction::ForceOverflow),
            (self.forced_key, Restriction::ForcedKey),
            (self.skip_person_processing, Restriction::SkipPersonProcessing),
            (self.redirect_to_dlq, Restriction::RedirectToDlq),
        ]
    }

    /// Whether nobody is restricted.
    pub fn is_none(&self) -> bool {
        self.shares().iter().all(|(share, _)| *share == Share::default())
    }

    /// How a person is restricted; in one way at most.
    pub(super) fn of(&self, source: Source, person: u64) -> Option<Restriction> {
        if self.is_none() {
            return None;
        }
        let mut chance = source.at(person).unit();
        self.shares().into_iter().find_map(|(share, restriction)| {
            chance -= share.get();
            (chance < 0.0).then_some(restriction)
        })
    }
}

/// Everybody of a stream who is restricted, and how: a person's restriction with all of the person's ids.
pub fn restricted(
    seed: u64,
    run: RunId,
    stream: StreamId,
    persons: Persons,
    restrictions: Restrictions,
) -> impl Iterator<Item = (Restriction, Vec<String>)> {
    let cast = Cast::new(seed, run, stream, persons);
    let source = Source::new(seed, stream, Purpose::Restriction);
    let everybody = if restrictions.is_none() { 0 } else { cast.everybody() };
    (0..everybody).filter_map(move |person| Some((restrictions.of(source, person)?, cast.ids_of(person))))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        event::EventSource,
        workload::{Workload, tests::odd},
    };

    fn share(share: f64) -> Share {
        Share::new(share).unwrap()
    }

    #[test]
    fn persons_are_restricted_as_often_as_asked_and_in_one_way_each() {
        let restrictions = Restrictions { drop_event: share(0.1), forced_key: share(0.2), ..Restrictions::default() };
        let persons = Persons { count: 5_000, ..Persons::default() };
        let all: Vec<_> = restricted(7, RunId::new(1), StreamId(0), persons, restrictions).collect();
        for (restriction, expected) in
            [(Restriction::DropEvent, 0.1), (Restriction::ForcedKey, 0.2), (Restriction::RedirectToDlq, 0.0)]
        {
            let found = all.iter().filter(|(found, _)| *found == restriction).count() as f64 / 5_000.0;
            assert!((found - expected).abs() < 0.02, "{restriction:?}: {found}");
        }
        let nobody = restricted(7, RunId::new(1), StreamId(0), persons, Restrictions::default());
        assert_eq!(nobody.count(), 0);
    }

    #[test]
    fn the_ids_that_are_listed_are_those_of_the_events() {
        let mut plan = odd().plan().clone();
        let traffic = &mut plan.traffic[0];
        traffic.restricted = Restrictions { drop_event: share(0.3), ..Restrictions::default() };
        traffic.extras = super::super::Extras::default();
        traffic.persons =
            Persons { count: 40, identify: share(0.5), hot: share(0.2), hot_count: 5, ..Persons::default() };
        let (persons, restrictions, seed, run) = (traffic.persons, traffic.restricted, plan.seed, plan.run);
        let workload = Workload::new(plan, crate::persona::PersonaTable::make(1, 2));
        let listed: BTreeMap<String, Restriction> = restricted(seed, run, StreamId(0), persons, restrictions)
            .flat_map(|(restriction, ids)| ids.into_iter().map(move |id| (id, restriction)))
            .collect();
        let events: Vec<_> = (0..400).filter_map(|seq| workload.event(StreamId(0), seq)).collect();
        for event in &events {
            assert_eq!(event.oddities.restriction, listed.get(&event.distinct_id).copied(), "{}", event.distinct_id);
        }
        let restricted = events.iter().filter(|event| event.oddities.restriction.is_some()).count();
        assert!((40..250).contains(&restricted) && events.len() == 400, "{restricted} of {}", events.len());
        assert!(listed.keys().any(|id| id.starts_with("anon-")), "both ids of whoever identifies");
    }
}
