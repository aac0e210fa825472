//! A workload of a few orderly events, and ledger records for it: what the tests of the rules are written with.

use std::{ops::Range, time::Duration};

use generators::{
    event::EventSource,
    identity::{RunId, StreamId},
    ledger::{Answer, Intent, Outcome, Record},
    persona::PersonaTable,
    random::Share,
    request::{Request, Retry},
    schedule::{Arrival, Rate},
    workload::{Disorder, Endpoint, Extras, Persons, Plan, Traffic, Workload},
};

use super::{
    rows::FoundRow,
    sent::{Exchanges, Sent},
    windows::Window,
};
use crate::oracle::{dialect::Dialect, row::Difference};

pub(crate) const STREAM: StreamId = StreamId(0);

/// `events` events at one a second, in order, every one of which may be sent again.
pub(crate) fn workload(events: u64) -> Workload {
    let traffic = Traffic {
        name: "example".into(),
        batch: (2, 2),
        endpoint: Endpoint::Batch,
        token: "phc_example".into(),
        persons: Persons { count: 10, identify: Share::default(), ..Persons::default() },
        disorder: Disorder { resend: Share::new(1.0).unwrap(), ..Disorder::default() },
        ..Traffic::orderly(events, Arrival::Constant { rate: Rate::new(1, Duration::from_secs(1)).unwrap() })
    };
    let plan = Plan::new(RunId::new(1), 1, vec![traffic]);
    Workload::new(plan, PersonaTable::make(1, 2))
}

/// `events` events that are shuffled within seconds, in requests of up to 30, some of them sent again.
pub(crate) fn disorderly(events: u64) -> Workload {
    let mut plan = workload(events).plan().clone();
    let traffic = &mut plan.traffic[0];
    traffic.arrival = Arrival::Constant { rate: Rate::new(1_000, Duration::from_secs(1)).unwrap() };
    traffic.batch = (1, 30);
    traffic.disorder.shuffle = Duration::from_secs(3);
    traffic.disorder.resend = Share::new(0.1).unwrap();
    traffic.persons.identify = Share::new(0.5).unwrap();
    traffic.clients = 3;
    Workload::new(plan, PersonaTable::make(1, 2))
}

/// `events` events of which each holds content that hurts, half of them with groups of seven types.
pub(crate) fn odd(events: u64) -> Workload {
    let mut plan = workload(events).plan().clone();
    let traffic = &mut plan.traffic[0];
    traffic.extras = Extras {
        hostile: Share::new(1.0).unwrap(),
        grouped: Share::new(0.5).unwrap(),
        group_types: 7,
        groups: 3,
        ..Extras::default()
    };
    traffic.disorder =
        Disorder { no_uuid: Share::new(0.1).unwrap(), altered: Share::new(0.2).unwrap(), ..traffic.disorder.clone() };
    traffic.persons.identify = Share::new(0.5).unwrap();
    Workload::new(plan, PersonaTable::make(1, 2))
}

/// What `records` say of all events of the first stream.
pub(crate) fn sent(workload: &Workload, records: impl IntoIterator<Item = Record>) -> Sent {
    let mut open = Exchanges::default();
    let mut exchanges: Vec<_> =
        records.into_iter().filter_map(|record| open.take(Dialect::V2026, workload, record)).collect();
    exchanges.extend(open.rest());
    Sent::fold(workload, whole(workload), exchanges)
}

/// A right row of a day, counted from 1970.
pub(crate) fn plain_row(day: i64, version: u64) -> FoundRow {
    FoundRow::plain(day * 86_400_000_000, version)
}

/// The same, but for the person.
pub(crate) fn differing_row(day: i64, version: u64) -> FoundRow {
    let difference = Difference { column: "person_id".into(), expected: "a".into(), found: Some("b".into()) };
    FoundRow { differences: vec![difference], ..plain_row(day, version) }
}

/// One window for all events of the first stream.
pub(crate) fn whole(workload: &Workload) -> Window {
    Window { stream: STREAM, seqs: 0..workload.planned(STREAM) }
}

pub(crate) fn intent(index: u64, positions: Range<u64>, resends: Range<u64>) -> Record {
    let request = Request { stream: STREAM, index, positions, resends, only: None, retry: None };
    Record::Intent(Intent { request, released: Duration::ZERO })
}

/// A later attempt of request `index`, whose first was due at one millisecond and whose bytes were built at the other, with
/// its outcome, sent and answered at these milliseconds.
pub(crate) fn retry(
    (index, attempt): (u64, u32),
    positions: Range<u64>,
    (due, built): (u64, u64),
    (sent, answered): (u64, u64),
    answer: Answer,
) -> [Record; 2] {
    let [due, built, sent, answered] = [due, built, sent, answered].map(Duration::from_millis);
    let retry = Some(Retry { attempt, due, built });
    let request = Request { stream: STREAM, index, positions, resends: 0..0, only: None, retry };
    let outcome = Outcome { stream: STREAM, index, attempt, sent, answered, answer };
    [Record::Intent(Intent { request, released: sent }), Record::Outcome(outcome)]
}

/// The outcome of request `index`, sent and answered at these milliseconds.
pub(crate) fn outcome(index: u64, sent: u64, answered: u64, answer: Answer) -> Record {
    Record::Outcome(Outcome {
        stream: STREAM,
        index,
        attempt: 1,
        sent: Duration::from_millis(sent),
        answered: Duration::from_millis(answered),
        answer,
    })
}
