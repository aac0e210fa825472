//! Capture's planted defects: the one place where captured events are changed on purpose.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use jiff::{Timestamp, ToSpan};
use uuid::Uuid;

use super::spoil;
use crate::pipeline::{
    captured::CapturedEvent,
    defect::{Chooser, DefectName, PlantedDefect, Stage},
    settings::log,
    timestamp::{parse, rfc3339},
};

/// The planted defects of one capture, and its quota.
#[derive(Debug)]
pub struct Planted {
    choosers: Mutex<Vec<Chooser>>,
    over_quota: HashSet<String>,
}

/// What becomes of a request's events.
#[derive(Debug)]
pub struct Applied<'a> {
    /// What is produced.
    pub events: Vec<CapturedEvent<'a>>,
    /// Whether the client is told that nothing was taken.
    pub reject: bool,
}

impl Planted {
    /// The defects to plant; without any, events pass unchanged. Events of tokens over their quota are dropped silently,
    /// as the contract says (PostHog's capture, quota limiting).
    pub fn new(defects: Vec<PlantedDefect>, over_quota: HashSet<String>) -> Self {
        let own = defects.into_iter().filter(|defect| defect.name.defect().stage == Stage::Capture);
        Self { choosers: Mutex::new(own.map(Chooser::new).collect()), over_quota }
    }

    /// Whether a project's quota is used up. Where events have a result each, it is told; else they are dropped silently.
    pub fn is_over_quota(&self, token: &str) -> bool {
        self.over_quota.contains(token)
    }

    /// What is produced for `events`: the same, but for the chosen ones.
    pub fn apply<'a>(&self, mut events: Vec<CapturedEvent<'a>>) -> Applied<'a> {
        let mut choosers = self.choosers.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.over_quota.is_empty() {
            events.retain(|event| !self.over_quota.contains(&*event.token) || ignores_quota(&mut choosers, event));
        }
        if choosers.is_empty() {
            return Applied { events, reject: false };
        }
        if let Some(chooser) = of(&mut choosers, DefectName::DropBatchTail) {
            let last = events.len().saturating_sub(1);
            let mut places = 0..;
            events.retain(|event| {
                let is_tail = last > 0 && places.next() == Some(last);
                // Once it was forgotten, it is forgotten in every attempt.
                !(chooser.defect.may_be_in(&event.token)
                    && chooser.wants(&event.uuid)
                    && (is_tail || chooser.was_planted(&event.uuid))
                    && noted(chooser, event))
            });
        }
        let mut reject = false;
        let events: Vec<_> = events.into_iter().flat_map(|event| plant(&mut choosers, event, &mut reject)).collect();
        if reject {
            // The reply is for all of the request, so the defect is in each of its events.
            let word = DefectName::PartialReject.defect().word;
            for event in &events {
                log(&format!("planted {word} in {}", event.uuid));
            }
        }
        Applied { events, reject }
    }
}

fn of(choosers: &mut [Chooser], name: DefectName) -> Option<&mut Chooser> {
    choosers.iter_mut().find(|chooser| chooser.defect.name == name)
}

fn noted(chooser: &mut Chooser, event: &CapturedEvent<'_>) -> bool {
    chooser.planted(&event.uuid);
    true
}

fn ignores_quota(choosers: &mut [Chooser], event: &CapturedEvent<'_>) -> bool {
    of(choosers, DefectName::QuotaIgnored).is_some_and(|chooser| chooser.wants(&event.uuid) && noted(chooser, event))
}

fn plant<'a>(choosers: &mut [Chooser], event: CapturedEvent<'a>, reject: &mut bool) -> Vec<CapturedEvent<'a>> {
    let uuid = event.uuid.to_string();
    let mut produced = vec![event];
    // The others are planted in whole requests, or where a quota is used up.
    let single = |name| !matches!(name, DefectName::DropBatchTail | DefectName::QuotaIgnored);
    for chooser in choosers.iter_mut().filter(|chooser| single(chooser.defect.name)) {
        let Some(event) = produced.first() else { break };
        // Only events that the defect changes are counted.
        if chooser.defect.may_be_in(&event.token)
            && chooser.wants(&uuid)
            && let Some(changed) = spoiled(&chooser.defect, event)
        {
            chooser.planted(&uuid);
            *reject |= chooser.defect.name == DefectName::PartialReject;
            produced = changed;
        }
    }
    produced
}

/// What the defect makes of an event; `None` if it cannot be planted in it, or not here.
fn spoiled<'a>(defect: &PlantedDefect, event: &CapturedEvent<'a>) -> Option<Vec<CapturedEvent<'a>>> {
    let with_data = |data: Option<String>| data.map(|data| CapturedEvent { data: data.into(), ..event.clone() });
    let with_time = |moment: Option<Timestamp>| {
        moment.map(|moment| CapturedEvent { timestamp: rfc3339(moment).into(), ..event.clone() })
    };
    let stored = || event.timestamp.parse::<Timestamp>().ok();
    let one = |event: Option<CapturedEvent<'a>>| event.map(|event| vec![event]);
    match defect.name {
        DefectName::AckThenDrop => Some(Vec::new()),
        DefectName::DropOversize => (event.data.len() as u64 >= defect.amount()).then(Vec::new),
        DefectName::PartialReject => Some(vec![event.clone()]),
        DefectName::DoubleProduce => {
            // The time is set after timestamps were normalised, so no rule brings it back.
            let next_day = with_time(stored()?.checked_add(24.hours()).ok())?;
            Some(vec![event.clone(), next_day])
        }
        DefectName::RemintUuid => {
            Some(vec![CapturedEvent { uuid: Uuid::now_v7().to_string().into(), ..event.clone() }])
        }
        DefectName::TruncateDistinctId => {
            let cut: String = event.distinct_id.chars().take(defect.amount() as usize).collect();
            (cut != event.distinct_id).then(|| vec![CapturedEvent { distinct_id: cut.into(), ..event.clone() }])
        }
        DefectName::SwapTenant => {
            let token = defect.token.clone()?;
            Some(vec![CapturedEvent { token: token.into(), ..event.clone() }])
        }
        DefectName::IgnoreSentAt => one(with_time(said(event))),
        DefectName::ApplySkewTwice => {
            let (stored, said) = (stored()?, said(event)?);
            one(with_time(stored.checked_add(stored.duration_since(said)).ok()))
        }
        DefectName::MangleUtf8 => one(with_data(spoil::mangled(&event.data))),
        DefectName::DropNul => one(with_data(spoil::without_nul(&event.data))),
        DefectName::RenameEvent => {
            Some(vec![CapturedEvent { event: format!("{}_renamed", event.event).into(), ..event.clone() }])
        }
        DefectName::DropProperty => {
            let property = defect.property.as_deref().unwrap_or_default();
            one(with_data(spoil::without_property(&event.data, property)))
        }
        DefectName::RoundIntegers => one(with_data(spoil::rounded(&event.data))),
        DefectName::StringifyNumbers => one(with_data(spoil::stringified(&event.data))),
        DefectName::NullForEmpty => one(with_data(spoil::nulled(&event.data))),
        DefectName::TruncateBody => one(with_data(spoil::truncated(&event.data, defect.amount() as usize))),
        _ => None,
    }
}

/// The moment as the client wrote it.
fn said(event: &CapturedEvent<'_>) -> Option<Timestamp> {
    #[derive(serde::Deserialize)]
    struct Data {
        timestamp: Option<String>,
    }
    parse(&serde_json::from_str::<Data>(&event.data).ok()?.timestamp?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: &str = r#"{"event":"e","properties":{"cart":[],"note":"né","price":1.50,"quantity":16777217,"void":"a\u0000b"},"timestamp":"2026-06-01T11:59:50.000Z"}"#;

    fn event(uuid: &str) -> CapturedEvent<'static> {
        CapturedEvent {
            uuid: uuid.to_owned().into(),
            distinct_id: "somebody-long".into(),
            ip: "127.0.0.1".into(),
            data: DATA.into(),
            now: "2026-06-01T12:00:00.000Z".into(),
            sent_at: None,
            token: "t".into(),
            event: "e".into(),
            timestamp: "2026-06-01T12:00:00.000Z".into(),
            historical_migration: false,
            session_id: None,
            is_cookieless_mode: false,
            force_disable_person_processing: false,
        }
    }

    fn defect(name: DefectName) -> PlantedDefect {
        let (property, token) = (Some("price".to_owned()), Some("other".to_owned()));
        PlantedDefect { property, token, ..PlantedDefect::new(name, 1, 2) }
    }

    fn applied(name: DefectName) -> Applied<'static> {
        let all = vec![event("a"), event("b"), event("c"), event("b")];
        Planted::new(vec![defect(name)], HashSet::new()).apply(all)
    }

    #[test]
    fn only_the_chosen_event_is_changed_and_each_time_it_comes() {
        let uuids = |applied: &Applied| applied.events.iter().map(|event| event.uuid.to_string()).collect::<Vec<_>>();
        let clean = Planted::new(vec![], HashSet::new()).apply(vec![event("a"), event("b")]);
        assert_eq!((uuids(&clean), clean.reject), (vec!["a".to_owned(), "b".to_owned()], false));
        assert_eq!(uuids(&applied(DefectName::AckThenDrop)), ["a", "c"]);
        let doubled = applied(DefectName::DoubleProduce);
        assert_eq!(uuids(&doubled), ["a", "b", "b", "c", "b", "b"]);
        assert_eq!(doubled.events[2].timestamp, "2026-06-02T12:00:00.000Z");
        assert_eq!(doubled.events[1].data, doubled.events[2].data);
        let rejected = applied(DefectName::PartialReject);
        assert_eq!((rejected.events.len(), rejected.reject), (4, true));
    }

    #[test]
    fn each_defect_changes_what_its_name_says() {
        let changed = |name| {
            let applied = applied(name);
            assert_eq!(applied.events[0], event("a"), "{name:?} spared the first");
            applied.events[1].clone()
        };
        assert_ne!(changed(DefectName::RemintUuid).uuid, "b");
        assert_eq!(changed(DefectName::TruncateDistinctId).distinct_id, "somebody");
        assert_eq!(changed(DefectName::SwapTenant).token, "other");
        assert_eq!(changed(DefectName::IgnoreSentAt).timestamp, "2026-06-01T11:59:50.000Z");
        assert_eq!(changed(DefectName::ApplySkewTwice).timestamp, "2026-06-01T12:00:10.000Z");
        assert_eq!(changed(DefectName::RenameEvent).event, "e_renamed");
        let data = |name| changed(name).data.into_owned();
        assert!(data(DefectName::MangleUtf8).contains("nÃ©"));
        assert!(data(DefectName::DropNul).contains(r#""void":"ab""#));
        assert!(!data(DefectName::DropProperty).contains("price"));
        assert!(data(DefectName::RoundIntegers).contains(r#""quantity":16777216"#));
        assert!(data(DefectName::StringifyNumbers).contains(r#""price":"1.50""#));
        assert!(data(DefectName::NullForEmpty).contains(r#""cart":null"#));
        let truncated = data(DefectName::TruncateBody);
        assert!(truncated.contains("note") && !truncated.contains("price"), "{truncated}");
    }

    #[test]
    fn a_scenario_may_say_how_much() {
        let changed = |name, amount| {
            let defect = PlantedDefect { amount: Some(amount), ..defect(name) };
            Planted::new(vec![defect], HashSet::new()).apply(vec![event("a"), event("b")]).events
        };
        assert_eq!(changed(DefectName::TruncateDistinctId, 3)[1].distinct_id, "som");
        let data = |lost| changed(DefectName::TruncateBody, lost)[1].data.clone();
        assert!(data(1).contains("quantity") && !data(2).contains("quantity"));
        let bytes = DATA.len() as u64;
        assert_eq!(changed(DefectName::DropOversize, bytes).len(), 1);
        assert_eq!(changed(DefectName::DropOversize, bytes + 1).len(), 2);
    }

    #[test]
    fn an_event_in_which_it_cannot_be_planted_is_not_counted() {
        let plain = |uuid| CapturedEvent { data: r#"{"event":"e","properties":{}}"#.into(), ..event(uuid) };
        let planted = Planted::new(vec![PlantedDefect { every: 1, ..defect(DefectName::DropNul) }], HashSet::new());
        let applied = planted.apply(vec![plain("a"), event("b"), event("c")]);
        assert_eq!(applied.events[0], plain("a"));
        assert_ne!(applied.events[1], event("b"));
        assert_eq!(applied.events[2], event("c"));
    }

    #[test]
    fn projects_whose_events_are_dropped_later_are_spared() {
        let of = |token: &'static str, uuid| CapturedEvent { token: token.into(), ..event(uuid) };
        for name in [DefectName::RemintUuid, DefectName::DropBatchTail] {
            let tokens = vec!["kept".to_owned()];
            let planted = Planted::new(vec![PlantedDefect { every: 1, tokens, ..defect(name) }], HashSet::new());
            assert_eq!(planted.apply(vec![of("dropped", "a"), of("dropped", "b")]).events.len(), 2);
            let events = planted.apply(vec![of("dropped", "c"), of("kept", "d")]).events;
            assert_eq!(events[0], of("dropped", "c"));
            assert_ne!(events.get(1), Some(&of("kept", "d")), "{name:?}");
        }
    }

    #[test]
    fn the_tail_is_that_of_a_batch() {
        let planted =
            Planted::new(vec![PlantedDefect { every: 1, ..defect(DefectName::DropBatchTail) }], HashSet::new());
        assert_eq!(planted.apply(vec![event("a")]).events.len(), 1, "a single event has no tail");
        assert_eq!(planted.apply(vec![event("a"), event("b")]).events, [event("a")]);
        assert_eq!(planted.apply(vec![event("c"), event("d")]).events.len(), 2, "one was to be planted");
    }

    #[test]
    fn a_token_over_its_quota_is_dropped_silently_unless_that_is_the_defect() {
        let over: HashSet<String> = ["t".to_owned()].into();
        assert!(Planted::new(vec![], over.clone()).apply(vec![event("a"), event("b")]).events.is_empty());
        let ignored = Planted::new(vec![defect(DefectName::QuotaIgnored)], over);
        assert_eq!(ignored.apply(vec![event("a"), event("b"), event("c")]).events, [event("b")]);
    }
}
