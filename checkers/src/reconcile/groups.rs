//! The table of groups in the end, against every state that the traffic may have left.
//!
//! First all events that say what a group is are gathered, window after window: of each group when it was identified, and the
//! [`history`] of each of its properties. Memory grows with the groups, not with their events. Then what a final read
//! [`found`] is held against that. What is wrong with a group is told of one event, the last that should have made it right,
//! and is found there when the events are judged.

pub mod found;
pub mod history;
mod judged;

use std::{collections::BTreeMap, time::Duration};

use generators::{
    event::EventSource,
    identity::StreamId,
    random::Share,
    workload::{Traffic, Workload},
};

use self::history::{Effect, History};
use super::{
    classify::Case,
    sent::{EventOutcome, Exchange},
};
use crate::oracle::{
    groups::{Identified, SAID_BY, identified},
    presence::Fate,
};

pub use judged::{JUDGED_COLUMNS, Judged};

/// What the traffic says of groups.
#[derive(Debug, Default)]
pub struct Groups {
    /// By team and key.
    identified: BTreeMap<(i64, String), Group>,
    /// How many types of groups each team may have.
    types: BTreeMap<i64, u64>,
    /// Some traffic may have groups that are not known here.
    has_others: bool,
}

/// What the traffic says of one group.
#[derive(Debug)]
struct Group {
    kind: String,
    stream: StreamId,
    /// Whether some event may have identified it.
    may_exist: bool,
    /// Whether it is not known what some event has done to it, so that nothing of it is judged.
    untold: bool,
    /// The event that was sent last of those that are certain to have identified it.
    last: Option<(Duration, u64)>,
    properties: BTreeMap<String, History>,
}

/// What an event has done to its group.
enum Done {
    /// Nothing.
    Nothing,
    /// It is not known what.
    Unknown,
    /// What it says.
    Said(Effect),
}

/// Whether events of this traffic say what groups are, and it is known what they say.
fn identifies(traffic: &Traffic) -> bool {
    traffic.extras.group_identify > Share::default() && traffic.replay.is_none()
}

impl Groups {
    /// Nothing is known yet of the groups of `workload`; `None` if it says nothing of any.
    pub fn of(workload: &Workload) -> Option<Self> {
        let traffic = &workload.plan().traffic;
        if !traffic.iter().any(identifies) {
            return None;
        }
        let mut types = BTreeMap::<i64, u64>::new();
        for traffic in traffic {
            let most = types.entry(traffic.team).or_default();
            *most = traffic.extras.group_types.max(*most);
        }
        let has_others = traffic.iter().any(|traffic| traffic.replay.is_some());
        Some(Self { identified: BTreeMap::new(), types, has_others })
    }

    /// Whether the events of `stream` say something of groups.
    pub fn concern(workload: &Workload, stream: StreamId) -> bool {
        workload.traffic(stream).is_some_and(identifies)
    }

    /// Takes in the events of one window.
    pub fn take(&mut self, case: &Case<'_>) {
        let window = case.sent.window();
        let stream = window.stream;
        let Some(traffic) = case.workload.traffic(stream).filter(|traffic| identifies(traffic)) else { return };
        let is_changed = SAID_BY.iter().any(|key| case.plugins.may_change(traffic.team, key));
        for seq in window.seqs.clone() {
            if !case.workload.oddities(stream, seq).group_identify {
                continue;
            }
            let said = case.workload.event(stream, seq).and_then(|event| identified(case.dialect, &event));
            let Some(said) = said else { continue };
            let done = if is_changed { Done::Unknown } else { done(case, stream, seq) };
            self.add(traffic.team, (stream, seq), said, &done);
        }
    }

    fn add(&mut self, team: i64, (stream, seq): (StreamId, u64), said: Identified, done: &Done) {
        let Identified { kind, key, set } = said;
        let group = self.identified.entry((team, key)).or_insert_with(|| Group {
            kind,
            stream,
            may_exist: false,
            untold: false,
            last: None,
            properties: BTreeMap::new(),
        });
        group.may_exist |= !matches!(done, Done::Nothing);
        group.untold |= matches!(done, Done::Unknown);
        if let Done::Said(effect) = done {
            if effect.certain && group.last.is_none_or(|last| (effect.earliest, seq) > last) {
                group.last = Some((effect.earliest, seq));
            }
            for (key, value) in set {
                group.properties.entry(key).or_default().add(seq, &value, *effect);
            }
        }
    }
}

/// What an event has done to its group. One that is not as it must be itself may have done anything, and is found by itself.
fn done(case: &Case<'_>, stream: StreamId, seq: u64) -> Done {
    let Some(last) = case.final_reads.last() else { return Done::Unknown };
    let is_visible = last.is_visible(stream, seq);
    let fate = case.fate(stream, seq);
    let attempts = || {
        let attempts = case.sent.attempts(stream, seq);
        attempts.filter(|exchange: &&Exchange| exchange.outcome_of(seq) >= EventOutcome::Indeterminate)
    };
    let earliest = attempts().map(|exchange| exchange.sent).min();
    let Some(earliest) = earliest.filter(|_| !matches!(fate, Fate::Absent(_))) else {
        return if is_visible { Done::Unknown } else { Done::Nothing };
    };
    if case.rows(stream, seq).iter().any(|row| row.misrouted || !row.differences.is_empty()) {
        return Done::Unknown;
    }
    let answered = attempts().map(|exchange| {
        let is_acked = exchange.outcome_of(seq) == EventOutcome::Acked;
        // What came to no answer, or to another one, may come to something at any time.
        exchange.answered.filter(|_| is_acked).unwrap_or(Duration::MAX)
    });
    let latest = answered.max().unwrap_or(Duration::MAX);
    let event = case.sent.event(stream, seq);
    let certain =
        fate == Fate::Present && event.outcome == EventOutcome::Acked && is_visible && case.is_old_enough(&event);
    Done::Said(Effect { earliest, latest, certain })
}

#[cfg(test)]
mod tests;
