//! Whether an event that was acked must be in the store.

use std::mem::discriminant;

use generators::{
    event::{Event, EventSource, Member},
    identity::StreamId,
    workload::{Hostile, Oddities, Restriction, Twice, Workload},
};

use serde_json::Value;

use super::{called, cookieless, dialect::Dialect, plugin::Plugins, profile, row::expect, v1};

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

/// Names and distinct ids of more bytes are refused by v1 (rust/capture/src/v1/analytics/process.rs).
const V1_MOST_BYTES: usize = 200;
/// Kafka takes no message of more bytes (capture's `kafka.message_max_bytes`, ingestion contract 1.4).
const MESSAGE_LIMIT: u64 = 1_000_000;
/// What a message may hold beside an event's padding: the event itself, escaped once more for each of the two topics, and the
/// person's properties.
const BESIDE: u64 = 200_000;

/// What must become of an event; one that was never planned must be present as much as any. Of one that a recording tells in several
/// ways that must become which must of each.
pub fn fate(dialect: Dialect, plugins: &Plugins, workload: &Workload, stream: StreamId, seq: u64) -> Fate {
    let of = |told: Option<&Event>| fate_of((dialect, plugins), workload, (stream, seq), told);
    let first = of(None);
    let others = workload.other_contents(stream, seq);
    if others.iter().any(|other| discriminant(&of(Some(other))) != discriminant(&first)) {
        return Fate::Either("it is told in several ways, of which some must be stored and some must not");
    }
    first
}

/// What must become of an event as it is `told`, which is as ever where nothing is said.
fn fate_of(
    (dialect, plugins): (Dialect, &Plugins),
    workload: &Workload,
    (stream, seq): (StreamId, u64),
    told: Option<&Event>,
) -> Fate {
    let captured = captured(dialect, workload, (stream, seq), told);
    let team = workload.traffic(stream).map(|traffic| traffic.team).filter(|team| plugins.may_drop(*team));
    let (Some(team), Fate::Present | Fate::Either(_)) = (team, captured) else { return captured };
    let Some(event) = told.cloned().or_else(|| workload.event(stream, seq)) else { return captured };
    match plugins.fate(expect(dialect, &event, team, &[], 0), &event, team) {
        Fate::Present => captured,
        fate => fate,
    }
}

/// What must become of an event, as it is `told`, before plugins run over it.
fn captured(dialect: Dialect, workload: &Workload, (stream, seq): (StreamId, u64), told: Option<&Event>) -> Fate {
    let made = || told.cloned().or_else(|| workload.event(stream, seq));
    if let Some(absence) = workload.traffic(stream).and_then(|traffic| traffic.absent) {
        return Fate::Absent(absence.reason());
    }
    // Of what is made none is of these.
    let is_recorded = workload.traffic(stream).is_some_and(|traffic| traffic.replay.is_some());
    let recorded = is_recorded.then(made).flatten();
    if let Some(event) = recorded.as_ref().filter(|_| dialect != Dialect::V2021) {
        if matches!(&*event.name, "$$heatmap" | "$$client_ingestion_warning") {
            return Fate::Absent("it is stored elsewhere, for its name");
        }
        if profile::is_dropped(dialect, event) {
            return Fate::Absent("it says that it has no person, and is nothing without one");
        }
    }
    let oddities = workload.oddities(stream, seq);
    // Capture knows restrictions since 2025 (rust/capture/src/event_restrictions/types.rs).
    match oddities.restriction.filter(|_| dialect == Dialect::V2026) {
        Some(Restriction::DropEvent) => return Fate::Absent("capture is told to drop what comes of its distinct id"),
        Some(Restriction::RedirectToDlq) => {
            return Fate::Absent("capture is told to put what comes of its distinct id to the dead letters");
        }
        Some(Restriction::ForceOverflow | Restriction::ForcedKey | Restriction::SkipPersonProcessing) | None => (),
    }
    let is_cookieless = dialect == Dialect::V2026 && oddities.cookieless;
    let without_cookies = (is_cookieless && !is_recorded).then(made).flatten();
    let event = recorded.as_ref().or(without_cookies.as_ref()).filter(|_| dialect == Dialect::V2026);
    if let Some(reason) = event.and_then(cookieless::dropped) {
        return Fate::Absent(reason);
    }
    // Until pull request 18282 (2023) an event with a NUL was answered with 200 and never stored (issue 17297).
    if let Some(event) = (dialect == Dialect::V2021).then(made).flatten() {
        const REASON: &str = "the plugin server of 2021 stored no NUL characters";
        if oddities.hostile == Some(Hostile::Nul) || event.properties.values().any(holds_nul) {
            return Fate::Absent(REASON);
        }
        // In a recorded event's source text it may be an escaped backslash before some digits.
        let members = event.members.iter().chain(&event.others);
        let looks_like_it =
            members.flat_map(|member| [&member.key, &member.value]).any(|text| text.contains("\\u0000"));
        if looks_like_it || [&event.name, &event.distinct_id].iter().any(|text| text.contains('\0')) {
            return Fate::Either(REASON);
        }
    }
    if let Some(event) = oddities.v1.then(made).flatten() {
        if event.oddities.refused.is_some() {
            return Fate::Absent(
                "v1 refuses events without a name, an id, a timestamp, or properties that are an object",
            );
        }
        // What v0 cuts, v1 refuses, and it counts bytes.
        let (name, distinct_id) = (called::name(dialect, &event), called::distinct_id(dialect, &event));
        if name.len().max(distinct_id.trim().len()) > V1_MOST_BYTES {
            return Fate::Absent("v1 refuses names and ids of more than 200 bytes");
        }
        if v1::promoted(&event).is_none() {
            return Fate::Absent("v1 refuses the event's options");
        }
    }
    let made_size = Size { least: oddities.padding, most: oddities.padding + BESIDE };
    let size = recorded.as_ref().map_or(made_size, Size::of_recorded);
    match dialect {
        Dialect::V2021 | Dialect::V2024 | Dialect::V2026 => match size {
            Size { least: MESSAGE_LIMIT.., .. } => Fate::Absent("it is larger than a message may be"),
            Size { most, .. } if most > MESSAGE_LIMIT => Fate::Either("it is about as large as a message may be"),
            _ => Fate::Present,
        },
    }
}

/// How many bytes the larger of an event's two messages has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    least: u64,
    most: u64,
}

impl Size {
    /// That of a recorded event. Capture drops fields that it does not know, so that only properties are there for certain; quotation
    /// marks are escaped, so that it may become twice as long; and what it sets stands in the ingester's message once more, as its
    /// person's.
    fn of_recorded(event: &Event) -> Self {
        let length = |member: &Member| (member.key.len() + member.value.len()) as u64;
        let least = event.members.iter().map(length).sum();
        let others: u64 = event.others.iter().map(length).sum();
        let sets = |member: &&Member| matches!(&*member.key, "$set" | "$set_once");
        let set: u64 = event.members.iter().chain(&event.others).filter(sets).map(length).sum();
        Self { least, most: 2 * (least + others + set) + BESIDE }
    }
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(holds_nul),
        Value::Object(members) => members.iter().any(|(key, value)| key.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether an event makes the capture refuse its whole request, before anything of it is stored (ingestion contract 1.2, 1.3).
pub fn spoils_request(dialect: Dialect, workload: &Workload, stream: StreamId, seq: u64) -> bool {
    let Oddities { hostile, v1, empty_uuid, blobs, twice, recorded, .. } = workload.oddities(stream, seq);
    // Contents in parts of their own need a capture with a store for them.
    let is_homeless = blobs && workload.traffic(stream).is_some_and(|traffic| !traffic.extras.blob_store);
    // In v1 a distinct id is a string, or the body is none of events.
    let may_have_halves = hostile.is_some() || (recorded && dialect == Dialect::V2024);
    let event = (v1 || may_have_halves).then(|| workload.event(stream, seq)).flatten();
    let id = event.as_ref().and_then(|event| event.distinct_id_json.as_deref());
    let is_no_text = v1 && id.is_some_and(|id| !called::is_string(id));
    // serde refuses half a surrogate pair; later it is repaired before.
    let has = |event: &Event| called::has_halves(event) || recorded && called::holds_halves(event);
    let has_halves = || hostile == Some(Hostile::LoneSurrogate) || event.as_ref().is_some_and(has);
    // To the capture of 2024 an empty uuid was a broken one.
    is_no_text
        || is_refused_twice(dialect, twice)
        || is_homeless
        || (dialect == Dialect::V2024 && (empty_uuid || has_halves()))
}

/// Whether a field stands twice where it may stand once: serde says so of the fields of a struct, by whatever names, and of no
/// property (rust/common/types/src/event.rs, `RawEvent`); Python took the last.
const fn is_refused_twice(dialect: Dialect, twice: Option<Twice>) -> bool {
    match dialect {
        Dialect::V2021 => false,
        Dialect::V2024 | Dialect::V2026 => {
            matches!(twice, Some(Twice::Event | Twice::DistinctId | Twice::Properties | Twice::Token))
        }
    }
}

#[cfg(test)]
mod tests {
    use generators::{
        persona::PersonaTable,
        random::Share,
        workload::{Absence, Endpoint, Extras, Restrictions, Traffic},
    };

    use super::*;
    use crate::{
        oracle::plugin::NO_PLUGINS,
        reconcile::example::{STREAM, workload},
    };

    fn fates(change: impl Fn(&mut Traffic)) -> Vec<Fate> {
        let mut plan = workload(100).plan().clone();
        change(&mut plan.traffic[0]);
        let workload = Workload::new(plan, PersonaTable::make(1, 2));
        (0..100).map(|seq| fate(Dialect::V2026, &NO_PLUGINS, &workload, STREAM, seq)).collect()
    }

    fn large(padding: (u64, u64)) -> Vec<Fate> {
        fates(|traffic| {
            traffic.extras = Extras { large: Share::new(1.0).unwrap(), padding, ..Extras::default() };
        })
    }

    #[test]
    fn v1_refuses_what_v0_cuts() {
        let of = |endpoint, kind| {
            let mut plan = workload(100).plan().clone();
            plan.traffic[0].endpoint = endpoint;
            plan.traffic[0].extras =
                Extras { hostile: Share::new(1.0).unwrap(), kinds: vec![kind], ..Extras::default() };
            let workload = Workload::new(plan, PersonaTable::make(1, 2));
            let absent = |seq| matches!(fate(Dialect::V2026, &NO_PLUGINS, &workload, STREAM, seq), Fate::Absent(_));
            let spoils = |seq| spoils_request(Dialect::V2026, &workload, STREAM, seq);
            ((0..100).filter(|seq| absent(*seq)).count(), (0..100).filter(|seq| spoils(*seq)).count())
        };
        for (endpoint, kind, expected) in [
            (Endpoint::V1, Hostile::LongName, (100, 0)),
            (Endpoint::V1, Hostile::LongDistinctId, (100, 0)),
            (Endpoint::V1, Hostile::OddDistinctId, (0, 100)),
            (Endpoint::V1, Hostile::Emoji, (0, 0)),
            (Endpoint::Batch, Hostile::LongName, (0, 0)),
            (Endpoint::Batch, Hostile::OddDistinctId, (0, 0)),
            (Endpoint::Batch, Hostile::HostileName, (0, 0)),
            (Endpoint::Batch, Hostile::HostileDistinctId, (0, 0)),
        ] {
            assert_eq!(of(endpoint, kind), expected, "{endpoint:?} {kind:?}");
        }
    }

    #[test]
    fn names_and_ids_with_halves_of_pairs_spoil_their_request_where_nobody_repairs_them() {
        for kind in [Hostile::HostileName, Hostile::HostileDistinctId] {
            let mut plan = workload(200).plan().clone();
            plan.traffic[0].extras =
                Extras { hostile: Share::new(1.0).unwrap(), kinds: vec![kind], ..Extras::default() };
            let workload = Workload::new(plan, PersonaTable::make(1, 2));
            for (dialect, can_spoil) in [(Dialect::V2021, false), (Dialect::V2024, true), (Dialect::V2026, false)] {
                let mut count = 0;
                for seq in 0..200 {
                    let event = workload.event(STREAM, seq).unwrap();
                    let has_halves = [&event.name_json, &event.distinct_id_json].iter().any(|json| json.is_some());
                    let spoils = spoils_request(dialect, &workload, STREAM, seq);
                    assert_eq!(spoils, has_halves && can_spoil, "{dialect:?} {kind:?} {seq}");
                    count += u64::from(spoils);
                }
                assert_eq!((20..80).contains(&count), can_spoil, "{count}");
            }
        }
    }

    #[test]
    fn of_names_and_ids_that_hurt_v1_refuses_the_long_ones() {
        for kind in [Hostile::HostileName, Hostile::HostileDistinctId] {
            let fates = fates(|traffic| {
                traffic.endpoint = Endpoint::V1;
                traffic.extras = Extras { hostile: Share::new(1.0).unwrap(), kinds: vec![kind], ..Extras::default() };
            });
            let absent = fates.iter().filter(|fate| matches!(fate, Fate::Absent(_))).count();
            assert!((5..40).contains(&absent), "{kind:?}: {absent}, and the others are short");
        }
    }

    #[test]
    fn what_is_said_twice_spoils_its_request_but_for_properties_and_the_token_of_a_batch() {
        let found = |endpoint, dialect| {
            let mut plan = workload(200).plan().clone();
            plan.traffic[0].endpoint = endpoint;
            plan.traffic[0].extras = Extras { twice: Share::new(1.0).unwrap(), ..Extras::default() };
            let workload = Workload::new(plan, PersonaTable::make(1, 2));
            let spoils = |seq: &u64| spoils_request(dialect, &workload, STREAM, *seq);
            let twice = |seq| workload.oddities(STREAM, seq).twice;
            let taken: Vec<_> = (0..200).filter(|seq| !spoils(seq)).filter_map(twice).collect();
            (taken.len(), taken.iter().all(|twice| matches!(twice, Twice::Property | Twice::BatchToken)))
        };
        let (taken, are_those) = found(Endpoint::Batch, Dialect::V2026);
        assert!((50..110).contains(&taken) && are_those, "two of five kinds: {taken}");
        let (taken, are_those) = found(Endpoint::E, Dialect::V2024);
        assert!((20..65).contains(&taken) && are_those, "one of five kinds: {taken}");
        assert_eq!(found(Endpoint::E, Dialect::V2021), (200, false));
        assert_eq!(found(Endpoint::V1, Dialect::V2026), (0, true), "nothing is said twice there");
    }

    #[test]
    fn contents_in_parts_of_their_own_need_a_store() {
        let spoilt = |endpoint, blob_store| {
            let mut plan = workload(100).plan().clone();
            plan.traffic[0].endpoint = endpoint;
            plan.traffic[0].extras =
                Extras { blobs: Share::new(0.5).unwrap(), blob_size: (1, 9), blob_store, ..Extras::default() };
            let workload = Workload::new(plan, PersonaTable::make(1, 2));
            (0..100).filter(|seq| spoils_request(Dialect::V2026, &workload, STREAM, *seq)).count()
        };
        assert!((30..70).contains(&spoilt(Endpoint::Ai, false)));
        assert_eq!((spoilt(Endpoint::Ai, true), spoilt(Endpoint::AiV1, false)), (0, 0));
    }

    #[test]
    fn v1_refuses_single_events_that_are_not_whole() {
        let of = |endpoint| {
            fates(|traffic| {
                traffic.endpoint = endpoint;
                traffic.extras.refused = Share::new(0.3).unwrap();
            })
        };
        let absent = of(Endpoint::V1).iter().filter(|fate| matches!(fate, Fate::Absent(_))).count();
        assert!((10..50).contains(&absent), "{absent}");
        assert!(of(Endpoint::Batch).iter().all(|fate| *fate == Fate::Present), "nobody else is sent such");
    }

    #[test]
    fn what_an_operator_drops_or_puts_aside_is_absent_and_what_overflows_is_not() {
        let of = |restricted| fates(|traffic| traffic.restricted = restricted);
        let (all, none) = (Share::new(1.0).unwrap(), Restrictions::default());
        for (restricted, expected) in [
            (Restrictions { drop_event: all, ..none }, 100),
            (Restrictions { redirect_to_dlq: all, ..none }, 100),
            (Restrictions { force_overflow: all, ..none }, 0),
            (Restrictions { forced_key: all, ..none }, 0),
            (Restrictions { skip_person_processing: all, ..none }, 0),
            (none, 0),
        ] {
            let absent = of(restricted).iter().filter(|fate| matches!(fate, Fate::Absent(_))).count();
            assert_eq!(absent, expected, "{restricted:?}");
        }
    }

    #[test]
    fn what_comes_without_cookies_is_absent() {
        let of = |cookieless| fates(|traffic| traffic.extras.cookieless = Share::new(cookieless).unwrap());
        let absent = of(0.3).iter().filter(|fate| matches!(fate, Fate::Absent(_))).count();
        assert!((10..50).contains(&absent), "{absent}");
        assert!(of(0.0).iter().all(|fate| *fate == Fate::Present));
    }

    #[test]
    fn what_could_not_be_stored_in_2021_is_absent_there() {
        let of = |dialect, kind| {
            let mut plan = workload(100).plan().clone();
            plan.traffic[0].extras =
                Extras { hostile: Share::new(1.0).unwrap(), kinds: vec![kind], ..Extras::default() };
            let workload = Workload::new(plan, PersonaTable::make(1, 2));
            (0..100).filter(|seq| fate(dialect, &NO_PLUGINS, &workload, STREAM, *seq) != Fate::Present).count()
        };
        assert_eq!((of(Dialect::V2021, Hostile::Nul), of(Dialect::V2024, Hostile::Nul)), (100, 0));
        // Plain events hold one here and there, too.
        let (in_2021, in_2024) = (of(Dialect::V2021, Hostile::Emoji), of(Dialect::V2024, Hostile::Emoji));
        assert!((1..50).contains(&in_2021) && in_2024 == 0, "{in_2021} {in_2024}");
    }

    #[test]
    fn what_was_recorded_is_as_large_as_its_text_and_what_it_sets_is_there_twice() {
        let of = |members: &[(&str, usize)], others: &[(&str, usize)]| {
            let told = |members: &[(&str, usize)]| {
                members.iter().map(|(key, length)| Member::new(key, "1".repeat(*length))).collect::<Vec<_>>()
            };
            let mut event = workload(40).event(STREAM, 0).unwrap();
            (event.members, event.others) = (told(members), told(others));
            Size::of_recorded(&event)
        };
        assert_eq!(of(&[("a", 99)], &[]), Size { least: 100, most: 200 + BESIDE });
        assert_eq!(of(&[("a", 99), ("$set", 96)], &[]), Size { least: 200, most: 600 + BESIDE });
        assert_eq!(of(&[], &[("$set_once", 91), ("b", 9)]), Size { least: 0, most: 420 + BESIDE });
        // So 600 KB that are set may come to nothing, though capture takes them.
        assert!(of(&[("$set", 600_000)], &[]).most > MESSAGE_LIMIT);
    }

    #[test]
    fn quotas_drop_lists_and_sizes_decide() {
        assert!(fates(|_| ()).iter().all(|fate| *fate == Fate::Present));
        let listed = fates(|traffic| traffic.absent = Some(Absence::DropListed));
        assert!(listed.iter().all(|fate| matches!(fate, Fate::Absent(reason) if reason.contains("drop list"))));
        let nobodys = fates(|traffic| traffic.absent = Some(Absence::UnknownToken));
        assert!(nobodys.iter().all(|fate| matches!(fate, Fate::Absent(reason) if reason.contains("no project"))));
        assert!(large((1_000, 799_000)).iter().all(|fate| *fate == Fate::Present));
        assert!(large((810_000, 999_000)).iter().all(|fate| matches!(fate, Fate::Either(_))));
        assert!(large((1_000_000, 2_000_000)).iter().all(|fate| matches!(fate, Fate::Absent(_))));
    }
}
