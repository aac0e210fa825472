//! Whether an event that was acked must be in the store.

use generators::{
    identity::StreamId,
    workload::{Hostile, Oddities, Workload},
};

use super::dialect::Dialect;

/// What must become of an acked event, and why, where that is not the usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It must be stored.
    Present,
    /// It must not.
    Absent(&'static str),
    /// Both are fine.
    Either(&'static str),
}

/// Kafka takes no message of more bytes (capture's `kafka.message_max_bytes`, ingestion contract 1.4).
const MESSAGE_LIMIT: u64 = 1_000_000;
/// What a message may hold beside an event's padding: the event itself, escaped once more for each of the two topics, and the
/// person's properties.
const BESIDE: u64 = 200_000;

/// What must become of an event; one that was never planned must be present as much as any.
pub fn fate(dialect: Dialect, workload: &Workload, stream: StreamId, seq: u64) -> Fate {
    if let Some(absence) = workload.traffic(stream).and_then(|traffic| traffic.absent) {
        return Fate::Absent(absence.reason());
    }
    match dialect {
        Dialect::V2021 | Dialect::V2024 | Dialect::V2026 => match workload.oddities(stream, seq).padding {
            MESSAGE_LIMIT.. => Fate::Absent("it is larger than a message may be"),
            padding if padding + BESIDE > MESSAGE_LIMIT => Fate::Either("it is about as large as a message may be"),
            _ => Fate::Present,
        },
    }
}

/// Whether an event with these oddities makes the capture refuse its whole request, before anything of it is stored
/// (ingestion contract 1.2, 1.3).
pub fn spoils_request(dialect: Dialect, oddities: Oddities) -> bool {
    match dialect {
        // serde refuses half a surrogate pair; later it is repaired before.
        Dialect::V2024 => oddities.hostile == Some(Hostile::LoneSurrogate),
        Dialect::V2021 | Dialect::V2026 => false,
    }
}

#[cfg(test)]
mod tests {
    use generators::{
        persona::PersonaTable,
        random::Share,
        workload::{Absence, Extras, Traffic},
    };

    use super::*;
    use crate::reconcile::example::{STREAM, workload};

    fn fates(change: impl Fn(&mut Traffic)) -> Vec<Fate> {
        let mut plan = workload(100).plan().clone();
        change(&mut plan.traffic[0]);
        let workload = Workload::new(plan, PersonaTable::make(1, 2));
        (0..100).map(|seq| fate(Dialect::V2026, &workload, STREAM, seq)).collect()
    }

    fn large(padding: (u64, u64)) -> Vec<Fate> {
        fates(|traffic| {
            traffic.extras = Extras { large: Share::new(1.0).unwrap(), padding, ..Extras::default() };
        })
    }

    #[test]
    fn quotas_drop_lists_and_sizes_decide() {
        assert!(fates(|_| ()).iter().all(|fate| *fate == Fate::Present));
        let listed = fates(|traffic| traffic.absent = Some(Absence::DropListed));
        assert!(listed.iter().all(|fate| matches!(fate, Fate::Absent(reason) if reason.contains("drop list"))));
        assert!(large((1_000, 799_000)).iter().all(|fate| *fate == Fate::Present));
        assert!(large((810_000, 999_000)).iter().all(|fate| matches!(fate, Fate::Either(_))));
        assert!(large((1_000_000, 2_000_000)).iter().all(|fate| matches!(fate, Fate::Absent(_))));
    }
}
