//! What the workload holds, and the example that other tests use.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::{
    identity::RunId,
    schedule::{Arrival, Rate},
};

/// A small workload with every kind of disorder.
pub(crate) fn small() -> Workload {
    let plan = Plan {
        workload_version: WORKLOAD_VERSION,
        run: RunId::new(7),
        seed: 42,
        traffic: vec![Traffic {
            name: "app".into(),
            events: 5_000,
            arrival: Arrival::Constant { rate: Rate::new(1_000, Duration::from_secs(1)).unwrap() },
            batch: (1, 20),
            endpoint: Endpoint::Batch,
            compression: Compression::None,
            form: Form::Plain,
            historical: false,
            spelling: Share::default(),
            unknown_compression: Share::default(),
            token: "phc_test".into(),
            team: 1,
            persons: Persons { count: 400, identify: Share::new(0.25).unwrap(), ..Persons::default() },
            names: Vec::new(),
            disorder: Disorder {
                backdated: Share::new(0.05).unwrap(),
                backdated_by: Distribution::Exponential { mean: Duration::from_secs(30) },
                ahead: Share::default(),
                ahead_by: Distribution::default(),
                shuffle: Duration::from_secs(2),
                resend: Share::new(0.02).unwrap(),
                clock_skew: Distribution::Normal { mean: Duration::ZERO, deviation: Duration::from_secs(2) },
                ..Disorder::default()
            },
            extras: Extras::default(),
            clients: 4,
            restricted: Restrictions::default(),
            absent: None,
            drop_events_older_than: None,
            replay: None,
            client: Client::default(),
        }],
        since_midnight: Duration::from_hours(12),
    };
    let personas = PersonaTable::make(plan.seed, 16);
    Workload::new(plan, personas)
}

/// The small one, with every kind of oddity in addition.
pub(crate) fn odd() -> Workload {
    let mut plan = small().plan().clone();
    let share = |share| Share::new(share).unwrap();
    let traffic = &mut plan.traffic[0];
    traffic.disorder = Disorder {
        offset: share(0.05),
        offset_and_timestamp: share(0.05),
        no_timestamp: share(0.05),
        ignore_sent_at: share(0.05),
        no_sent_at: share(0.1),
        no_uuid: share(0.02),
        altered: share(0.5),
        midnight: share(0.05),
        wrong_year: share(0.5),
        clock_drift: Distribution::Constant { value: Duration::from_mins(1) },
        ..traffic.disorder.clone()
    };
    traffic.extras = Extras {
        hostile: share(0.2),
        kinds: Vec::new(),
        large: share(0.01),
        padding: (1_000, 100_000),
        grouped: share(0.3),
        group_types: 7,
        groups: 20,
        group_identify: Share::default(),
        elements: Share::default(),
        fields: Share::default(),
        twice: Share::default(),
        refused: Share::default(),
        cookieless: Share::default(),
        internal: Share::default(),
        embedded: Share::default(),
        blobs: Share::default(),
        blob_size: (0, 0),
        blob_store: false,
    };
    Workload::new(plan, PersonaTable::make(42, 16))
}

const STREAM: StreamId = StreamId(0);

fn events(workload: &Workload) -> Vec<Event> {
    (0..workload.planned(STREAM)).filter_map(|seq| workload.event(STREAM, seq)).collect()
}

#[test]
fn it_is_a_pure_function() {
    let (workload, again) = (small(), small());
    assert_eq!(workload.event(STREAM, 17), again.event(STREAM, 17));
    assert_ne!(workload.event(STREAM, 17), workload.event(STREAM, 18));
    assert_eq!(workload.event(STREAM, 5_000), None);
    assert_eq!(workload.event(StreamId(1), 0), None);
}

#[test]
fn the_sending_order_holds_each_event_once_and_is_shuffled_only_within_the_window() {
    let workload = small();
    let order: Vec<u64> = (0..5_000).map(|position| workload.seq_at(STREAM, position)).collect();
    assert_eq!(order.iter().collect::<HashSet<_>>().len(), 5_000);
    assert!(order.iter().enumerate().all(|(position, seq)| (position as u64).abs_diff(*seq) < 2_000));
    assert!(order.iter().enumerate().filter(|(position, seq)| *position as u64 != **seq).count() > 4_900);
}

#[test]
fn the_reach_of_positions_holds_their_events() {
    let workload = small();
    for positions in [0..1, 1_999..2_001, 4_990..5_000] {
        let reach = workload.reach(STREAM, &positions);
        assert!(reach.end <= 5_000 && positions.clone().all(|at| reach.contains(&workload.seq_at(STREAM, at))));
    }
    assert_eq!(workload.reach(STREAM, &(0..10)), 0..2_000);
    assert_eq!(workload.reach(STREAM, &(7..7)), 7..7);
}

#[test]
fn no_event_happens_after_it_is_sent() {
    let workload = small();
    for position in 0..5_000 {
        let event = workload.event(STREAM, workload.seq_at(STREAM, position)).unwrap();
        assert!(event.occurred_micros <= workload.due(StreamId(0), position).as_micros() as i64, "position {position}");
    }
}

#[test]
fn events_may_be_said_to_happen_later_than_they_are_sent() {
    let mut plan = small().plan().clone();
    plan.traffic[0].disorder.ahead = Share::new(0.1).unwrap();
    plan.traffic[0].disorder.ahead_by = Distribution::Constant { value: Duration::from_hours(1) };
    let (ahead, usual) = (Workload::new(plan, PersonaTable::make(42, 16)), small());
    let of = |workload: &Workload, seq| workload.occurred_micros(STREAM, seq).unwrap();
    let moved: Vec<i64> = (0..5_000).map(|seq| of(&ahead, seq) - of(&usual, seq)).filter(|by| *by != 0).collect();
    assert!(moved.iter().all(|by| *by == 3_600_000_000) && (400..600).contains(&moved.len()), "{}", moved.len());
}

#[test]
fn shares_are_as_planned() {
    let workload = small();
    let resent = (0..5_000).filter(|&seq| workload.is_resent(STREAM, seq)).count();
    assert!((60..140).contains(&resent), "2 % of 5 000 is 100, not {resent}");
    let identifying: HashSet<_> =
        events(&workload).into_iter().filter(|e| e.name == "$identify").map(|e| e.distinct_id).collect();
    assert!((60..140).contains(&identifying.len()), "25 % of 400 is 100, not {}", identifying.len());
}

#[test]
fn hot_persons_have_their_share_and_nobody_loses_an_identification() {
    let mut plan = small().plan().clone();
    plan.traffic[0].persons.hot = Share::new(0.3).unwrap();
    plan.traffic[0].persons.hot_count = 3;
    let (hot, usual) = (Workload::new(plan, PersonaTable::make(42, 16)), small());
    let mut counts = HashMap::new();
    for seq in 0..5_000 {
        let (event, before) = (hot.event(STREAM, seq).unwrap(), usual.event(STREAM, seq).unwrap());
        if event.distinct_id == before.distinct_id {
            assert_eq!(event.name, before.name);
        } else {
            assert_ne!(before.name, "$identify");
            assert_eq!(event.ids_of_person.len(), 1);
            *counts.entry(event.distinct_id).or_insert(0) += 1;
        }
    }
    assert_eq!(counts.len(), 3);
    assert!(counts.values().all(|count| (400..600).contains(count)), "{counts:?}");
}

#[test]
fn a_person_has_a_few_devices_and_sessions_of_eight_events() {
    let mut sessions: HashMap<String, Vec<(String, Vec<String>)>> = HashMap::new();
    let mut devices: HashMap<Vec<String>, HashSet<String>> = HashMap::new();
    for event in events(&small()) {
        let text = |key: &str| event.properties[key].as_str().unwrap().to_owned();
        devices.entry(event.ids_of_person.clone()).or_default().insert(text("$device_id"));
        sessions.entry(text("$session_id")).or_default().push((text("$device_id"), event.ids_of_person));
    }
    let counts: HashSet<usize> = devices.values().map(HashSet::len).collect();
    assert!(counts.iter().all(|count| *count <= 3) && counts.contains(&2), "{counts:?}");
    // Of each person's 12 or 13 events.
    assert!(sessions.values().all(|events| events.len() <= 8 && events.iter().all(|event| *event == events[0])));
    assert_eq!(sessions.len(), 800);
}

#[test]
fn names_are_mixed_as_their_weights_say() {
    let mut plan = small().plan().clone();
    plan.traffic[0].names = vec![("often".into(), 3), ("seldom".into(), 1)];
    let workload = Workload::new(plan, PersonaTable::make(42, 16));
    let mut counts = HashMap::new();
    for event in events(&workload) {
        assert_eq!(workload.content(STREAM, event.id.seq).unwrap().name(), event.name);
        *counts.entry(event.name).or_insert(0) += 1;
    }
    assert!((3_500..3_850).contains(&counts["often"]) && (1_100..1_350).contains(&counts["seldom"]), "{counts:?}");
    assert_eq!(counts.len(), 3, "and $identify");
}

#[test]
fn a_person_identifies_once_and_keeps_its_known_id_afterwards() {
    let mut by_person: HashMap<Vec<String>, Vec<Event>> = HashMap::new();
    for event in events(&small()) {
        assert!(event.ids_of_person.contains(&event.distinct_id));
        by_person.entry(event.ids_of_person.clone()).or_default().push(event);
    }
    assert_eq!(by_person.len(), 400);
    for (ids, events) in by_person.iter().filter(|(ids, _)| ids.len() == 2) {
        let at = events.iter().position(|event| event.name == "$identify").expect("identifies in this run");
        assert_eq!(events.iter().filter(|event| event.name == "$identify").count(), 1);
        assert!(events[..at].iter().all(|event| event.distinct_id == ids[0]), "anonymous before");
        assert!(events[at..].iter().all(|event| event.distinct_id == ids[1]), "known after");
        assert_eq!(events[at].properties["$anon_distinct_id"], ids[0].as_str());
    }
}

#[test]
fn both_ways_to_an_event_say_the_same() {
    let workload = small();
    let mut ids = Ids::default();
    for seq in 0..workload.planned(STREAM) {
        let event = workload.event(STREAM, seq).unwrap();
        let content = workload.content(STREAM, seq).unwrap();
        content.write_ids(&mut ids);
        // Behind something else, as in a batch.
        let (mut json, mut members) = (b"[".to_vec(), Vec::new());
        content.write(&ids, &mut json, &mut members);
        assert_eq!(str::from_utf8(&json[1..]).unwrap(), serde_json::to_string(&event.properties).unwrap());
        let key = |begin: &u32| {
            let member = str::from_utf8(&json[*begin as usize..]).unwrap();
            serde_json::from_str::<String>(&member[..member.find(':').unwrap()]).unwrap()
        };
        assert!(members.iter().map(key).eq(event.properties.keys().cloned()));
        assert_eq!((content.name(), &ids.distinct_id[..]), (event.name.as_str(), event.distinct_id.as_bytes()));
        let of_person = [&ids.anonymous, &ids.known].into_iter().filter(|id| !id.is_empty());
        let expected: Vec<&[u8]> = event.ids_of_person.iter().map(String::as_bytes).collect();
        assert_eq!(of_person.map(Vec::as_slice).collect::<Vec<_>>(), expected);
    }
    assert!(workload.content(STREAM, 5_000).is_none() && workload.content(StreamId(1), 0).is_none());
}

#[test]
fn events_are_pinned() {
    let workload = small();
    let event = workload.event(STREAM, 17).unwrap();
    // Without the persona's own values, which belong to `fake`.
    let own: Vec<_> = ["$session_id", "assay_id", "cart", "price", "quantity", "ratio"]
        .iter()
        .map(|key| format!("{key}={}", event.properties.get(*key).unwrap_or(&serde_json::Value::Null)))
        .collect();
    insta::assert_snapshot!(format!(
        "{} {} {} {}",
        event.name,
        event.distinct_id,
        event.occurred_micros,
        own.join(" ")
    ));
}

#[test]
fn events_in_a_row_are_about_the_same_as_one_by_one() {
    let mut plan = small().plan().clone();
    plan.traffic[0].disorder = Disorder::default();
    // Rounds that end within a row, hot persons, and two streams that take turns.
    (plan.traffic[0].persons.count, plan.traffic[0].persons.hot) = (37, Share::new(0.2).unwrap());
    plan.traffic.push(Traffic { persons: Persons { count: 1_000, ..Persons::default() }, ..plan.traffic[0].clone() });
    let workload = Workload::new(plan, PersonaTable::make(42, 16));
    let mut row = Row::default();
    let orders: [fn(u64) -> u64; 3] = [|at| at, |at| 999 - at, |at| at * 7 % 1_000];
    for order in orders {
        for at in 0..1_000 {
            for stream in [STREAM, StreamId(1)] {
                let seq = order(at);
                let (one, other) =
                    (workload.content(stream, seq).unwrap(), workload.content_in(stream, seq, &mut row).unwrap());
                assert_eq!((one.role, one.name(), one.id()), (other.role, other.name(), other.id()));
            }
        }
    }
}

#[test]
fn plans_of_the_version_before_are_made_unless_something_comes_at_random() {
    let mut plan = small().plan().clone();
    assert!(plan.can_be_made());
    plan.workload_version = WORKLOAD_VERSION - 1;
    assert!(plan.can_be_made());
    plan.traffic[0].arrival = Arrival::Poisson { rate: Rate::new(1, Duration::from_secs(1)).unwrap() };
    assert!(!plan.can_be_made());
    plan.workload_version = WORKLOAD_VERSION;
    assert!(plan.can_be_made());
    plan.traffic.clear();
    plan.workload_version = WORKLOAD_VERSION - 2;
    assert!(!plan.can_be_made());
}
