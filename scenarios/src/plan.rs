//! From a scenario to what a run needs: the workload's plan, and the defects to plant.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use generators::{
    clock::RunStart,
    identity::{EventId, RunId, StreamId},
    random::Share,
    workload::{Absence, Extras, Plan, Restriction, Traffic, restricted},
};
use testenv::pipeline::{
    capture::restrictions::{Entries, Entry, Kind},
    defect::{DefectName, PlantedDefect},
};

use crate::{
    external::Projects,
    scenario::{self, Scenario, USUAL_TEAM},
};

/// The team that a run's traffic belongs to. A database of the run's own holds no other.
pub const TEAM: i64 = 1;

/// The token of a run's project: it says whose traffic it is, and is no secret.
pub fn token(run: RunId) -> String {
    format!("phc_assay_{run}")
}

/// The team of traffic whose quota is used up.
pub const OVER_QUOTA_TEAM: i64 = 2;
/// The team of traffic that is on the drop list.
pub const DROP_LISTED_TEAM: i64 = 4;
/// A team that no traffic is meant for; `swap_tenant` puts events there.
pub const OTHER_TEAM: i64 = 3;

/// The team of traffic whose token no project has: there is no such team.
pub const NO_TEAM: i64 = 0;

/// The token of the project whose quota is used up.
pub fn over_quota_token(run: RunId) -> String {
    format!("phc_assay_{run}_over_quota")
}

/// The token of the project that is on the drop list.
pub fn drop_listed_token(run: RunId) -> String {
    format!("phc_assay_{run}_drop_listed")
}

/// A token that no project has.
pub fn unknown_token(run: RunId) -> String {
    format!("phc_assay_{run}_unknown")
}

/// The token of a project that no traffic is meant for.
pub fn other_token(run: RunId) -> String {
    format!("phc_assay_{run}_other")
}

/// The first of the teams that a scenario names.
const FIRST_NAMED_TEAM: i64 = 5;

/// The teams that the scenario names beside the usual one, in its order.
fn named_teams(scenario: &Scenario) -> Vec<&str> {
    let mut named = Vec::new();
    for team in scenario.traffic.iter().map(scenario::Traffic::team) {
        if team != USUAL_TEAM && !named.contains(&team) {
            named.push(team);
        }
    }
    named
}

/// The number of the team that a scenario calls so.
fn team(scenario: &Scenario, name: &str) -> i64 {
    let named = named_teams(scenario).into_iter().position(|team| team == name);
    // There are no more of them than traffics.
    named.map_or(TEAM, |place| FIRST_NAMED_TEAM + place as i64)
}

/// The numbers of the teams that a scenario calls so.
pub fn numbers(scenario: &Scenario, names: &[String]) -> Vec<i64> {
    names.iter().map(|name| team(scenario, name)).collect()
}

fn token_of(team: i64, run: RunId) -> String {
    if team == TEAM { token(run) } else { format!("phc_assay_{run}_{team}") }
}

/// Which token belongs to which team.
pub fn teams(scenario: &Scenario, run: RunId) -> BTreeMap<String, i64> {
    let named = named_teams(scenario).into_iter().map(|name| team(scenario, name));
    let named = named.map(|team| (token_of(team, run), team));
    let usual = [
        (token(run), TEAM),
        (over_quota_token(run), OVER_QUOTA_TEAM),
        (drop_listed_token(run), DROP_LISTED_TEAM),
        (other_token(run), OTHER_TEAM),
    ];
    usual.into_iter().chain(named).collect()
}

/// How old an event may be when capture receives it, in seconds, for the teams that drop older ones.
pub fn age_limits(scenario: &Scenario) -> BTreeMap<i64, u32> {
    let limits = scenario.traffic.iter().filter_map(|traffic| {
        // The scenario holds it to whole seconds, of which there are not so many.
        let limit = traffic.drop_events_older_than?;
        Some((team(scenario, traffic.team()), u32::try_from(limit.as_secs()).unwrap_or(u32::MAX)))
    });
    limits.collect()
}

/// What the pipeline's operator does to the events of persons who are drawn for it: restrictions, and the keys that are taken for
/// hot ones.
pub fn restrictions(scenario: &Scenario, run: RunId, seed: u64) -> (Entries, Vec<String>) {
    let (mut entries, mut keys) = (Entries::new(), Vec::new());
    for (number, traffic) in scenario.traffic.iter().enumerate() {
        let (token, _) = own_project(scenario, traffic, run);
        let mut listed: BTreeMap<Kind, HashSet<String>> = BTreeMap::new();
        for (restriction, ids) in restricted(seed, run, StreamId(number as u16), traffic.persons, traffic.restricted) {
            let kind = match restriction {
                Restriction::DropEvent => Kind::DropEvent,
                Restriction::ForceOverflow => Kind::ForceOverflow,
                Restriction::SkipPersonProcessing => Kind::SkipPersonProcessing,
                Restriction::RedirectToDlq => Kind::RedirectToDlq,
                Restriction::ForcedKey => {
                    keys.extend(ids.into_iter().map(|id| format!("{token}:{id}")));
                    continue;
                }
            };
            listed.entry(kind).or_default().extend(ids);
        }
        for (kind, ids) in listed {
            entries.entry(kind).or_default().push(Entry::of_distinct_ids(token.clone(), ids));
        }
    }
    (entries, keys)
}

/// The token and team of the run's own that traffic of a scenario goes to.
pub fn own_project(scenario: &Scenario, traffic: &scenario::Traffic, run: RunId) -> (String, i64) {
    match traffic.absent {
        Some(Absence::OverQuota) => (over_quota_token(run), OVER_QUOTA_TEAM),
        Some(Absence::DropListed) => (drop_listed_token(run), DROP_LISTED_TEAM),
        Some(Absence::UnknownToken) => (unknown_token(run), NO_TEAM),
        _ => {
            let team = team(scenario, traffic.team());
            (token_of(team, run), team)
        }
    }
}

/// The workload's plan.
pub fn workload(scenario: &Scenario, projects: &Projects, run: RunId, seed: u64, start: RunStart) -> Plan {
    // That there is a project for all traffic was made sure of before.
    let project = |traffic: &scenario::Traffic| projects.of(scenario, traffic).unwrap_or_default();
    let traffic = scenario.traffic.iter().map(|traffic| Traffic {
        name: traffic.name.clone(),
        events: traffic.events,
        arrival: traffic.arrival.clone(),
        batch: traffic.batch,
        endpoint: traffic.endpoint,
        compression: traffic.compression,
        token: project(traffic).0,
        team: project(traffic).1,
        persons: traffic.persons,
        restricted: traffic.restricted,
        names: traffic.names.clone(),
        form: traffic.form,
        historical: traffic.historical,
        spelling: traffic.spelling,
        unknown_compression: traffic.unknown_compression,
        extras: Extras { blob_store: scenario.pipeline.blob_store, ..traffic.extras.clone() },
        disorder: traffic.disorder.clone(),
        clients: traffic.clients,
        absent: traffic.absent,
        drop_events_older_than: traffic.drop_events_older_than,
        replay: traffic.replay.as_ref().map(|replay| replay.pace),
        client: traffic.client,
    });
    let since_midnight = Duration::from_micros(start.unix_micros().rem_euclid(DAY_MICROS) as u64);
    Plan { since_midnight, ..Plan::new(run, seed, traffic.collect()) }
}

const DAY_MICROS: i64 = 86_400_000_000;

/// How long the sink keeps rows from being seen: just long enough for the scenario's own checks to tell.
fn held(scenario: &Scenario, name: DefectName) -> Duration {
    match name {
        // A final read must fall into the time in which rows are gone, and none is made before the quiet time is over.
        DefectName::StaleReads => scenario.expect.quiet + Duration::from_millis(800),
        // The way there takes its time as well.
        DefectName::SlowDrift => scenario.expect.targets.p99_time_to_visible.unwrap_or_default(),
        _ => scenario.expect.targets.p99_time_to_visible.unwrap_or_default() + Duration::from_secs(1),
    }
}

/// Whether none of its events is dropped on the way.
fn is_kept(scenario: &Scenario, traffic: &scenario::Traffic) -> bool {
    traffic.absent.is_none()
        && traffic.drop_events_older_than.is_none()
        && traffic.extras.cookieless == Share::default()
        && (traffic.extras.blobs == Share::default() || scenario.pipeline.blob_store)
        && traffic.restricted.is_none()
}

/// The defects to plant, spread over nine tenths of the planned events, so that their number is certain to be reached.
pub fn planted_defects(scenario: &Scenario, run: RunId) -> Vec<PlantedDefect> {
    let is_over_quota = |traffic: &&scenario::Traffic| traffic.absent == Some(Absence::OverQuota);
    let over_quota: u64 = scenario.traffic.iter().filter(is_over_quota).map(|traffic| traffic.events).sum();
    let is_limited = |traffic: &&scenario::Traffic| traffic.drop_events_older_than.is_some();
    // Of which those are counted that are too old.
    let backdated = |traffic: &scenario::Traffic| traffic.events as f64 * traffic.disorder.backdated.get();
    let too_old: f64 = scenario.traffic.iter().filter(is_limited).map(backdated).sum();
    // Where all are dropped in part, those that are left will do.
    let is_kept = |traffic: &&scenario::Traffic| is_kept(scenario, traffic);
    let find =
        |is_good: &dyn Fn(&&scenario::Traffic) -> bool| scenario.traffic.iter().position(|traffic| is_good(&traffic));
    let good = find(&is_kept).or_else(|| find(&|traffic| traffic.absent.is_none())).unwrap_or_default();
    let planned = scenario.traffic.get(good).map_or(0, |traffic| traffic.events);
    let spread = |events: u64| (planned * 9 / 10 / events.max(1)).max(1);
    let projects = scenario.traffic.iter().filter(is_kept);
    let kept: Vec<String> = projects.map(|traffic| own_project(scenario, traffic, run).0).collect();
    let uuid = |seq| EventId { run, stream: StreamId(good as u16), seq }.to_string();
    scenario
        .planted_defects
        .iter()
        .map(|defect| PlantedDefect {
            name: defect.name,
            count: defect.events,
            every: match defect.name {
                DefectName::QuotaIgnored => (over_quota * 9 / 10 / defect.events.max(1)).max(1),
                // How many of the backdated ones are old enough is not known here: it is spread over a tenth of them.
                DefectName::KeepTooOld => ((too_old / 10.0) as u64 / defect.events.max(1)).max(1),
                _ => spread(defect.events),
            },
            property: defect.property.clone(),
            amount: defect.amount,
            token: (defect.name == DefectName::SwapTenant).then(|| other_token(run)),
            tokens: if defect.name == DefectName::QuotaIgnored { Vec::new() } else { kept.clone() },
            uuids: if defect.name.defect().is_told_its_events() {
                (0..defect.events).map(|number| uuid(number * spread(defect.events))).collect()
            } else {
                Vec::new()
            },
            held_ms: held(scenario, defect.name).as_millis() as u64,
            span_ms: scenario.traffic.get(good).map_or(0, |traffic| traffic.arrival.lasts(planned).as_millis() as u64),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_are_restricted_are_listed_with_all_their_ids() {
        let settings = [
            ("persons.count", "200"),
            ("persons.identify", "50%"),
            ("restricted.forced_key", "30%"),
            ("restricted.redirect_to_dlq", "20%"),
        ];
        let settings = settings
            .map(|(key, value)| scenario::Override { key: format!("traffic.app.{key}"), value: value.to_owned() });
        let scenario = crate::library::read("smoke", &settings).unwrap();
        let run = RunId::new(7);
        let (entries, keys) = restrictions(&scenario, run, 3);
        assert_eq!(entries.keys().collect::<Vec<_>>(), [&Kind::RedirectToDlq]);
        let entry = &entries[&Kind::RedirectToDlq][0];
        assert_eq!(entry.token, token(run));
        // Half of them have two ids.
        let (aside, hot) = (entry.distinct_ids.len(), keys.len());
        assert!((30..100).contains(&aside) && (50..140).contains(&hot), "{aside} {hot}");
        let anonymous = format!("{}:anon-", token(run));
        assert!(keys.iter().any(|key| key.starts_with(&anonymous)), "{keys:?}");
        let clean = crate::library::read("smoke", &[]).unwrap();
        assert_eq!(restrictions(&clean, run, 3), (Entries::new(), Vec::new()));
    }

    #[test]
    fn what_is_dropped_on_the_way_carries_no_defect() {
        let clean = crate::library::read("calibrate", &[]).unwrap();
        let planted = |scenario: &Scenario| {
            let defect = testenv::pipeline::defect::CATALOGUE.iter().find(|defect| defect.word == "remint_uuid");
            planted_defects(&crate::calibrate::scenario(scenario, defect), RunId::new(7)).remove(0)
        };
        let project = |traffic| own_project(&clean, traffic, RunId::new(7)).0;
        let app = project(&clean.traffic[0]);
        let defect = planted(&clean);
        assert_eq!((defect.tokens, defect.every), (vec![app], 20_000 * 9 / 10 / 4), "quota, drop list and age");
        // Where the first traffic is dropped in part, another one has them all.
        let mut turned = clean.clone();
        turned.traffic.rotate_left(3);
        assert!(turned.traffic[0].drop_events_older_than.is_some());
        let defect = planted(&turned);
        assert_eq!((defect.tokens.len(), defect.every), (1, 20_000 * 9 / 10 / 4));
    }
}
