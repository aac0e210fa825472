//! What will be sent to somebody else's pipeline: counted, held against the ceiling, shown, and confirmed.

use std::fmt::Write as _;
use std::{
    collections::BTreeMap,
    io::{BufRead, IsTerminal, Write},
};

use generators::{
    event::{Event, EventSource},
    timetable::{Shard, Timetable},
    workload::Workload,
};
use reports::figures::count;

use super::{External, Token};
use crate::failure::{Failure, Kind};

/// Bytes of an event beside its properties, about.
const ENVELOPE: u64 = 160;
/// So many events are made to see how large they are.
const SAMPLE: u64 = 200;

/// Whether somebody has to agree before anything is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// Somebody is asked.
    Ask,
    /// `--yes` was said.
    Given,
}

/// What will be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Load {
    events: u64,
    requests: u64,
    /// The most in any second.
    greatest_rate: u64,
    /// The most in any request.
    largest: u64,
    seconds: u64,
    bytes: u64,
    /// Events to each token.
    projects: BTreeMap<(String, i64), u64>,
}

impl Load {
    fn of(workload: &Workload) -> Self {
        let (mut events, mut requests, mut seconds, mut largest) = (0, 0, 0, 0);
        let (mut greatest_rate, mut second, mut in_second) = (0, 0, 0);
        let mut projects = BTreeMap::new();
        for (due, request) in Timetable::new(workload, Shard::WHOLE) {
            let size = request.positions.end - request.positions.start;
            events += size;
            requests += 1;
            largest = largest.max(size);
            if due.as_secs() != second {
                (second, in_second) = (due.as_secs(), 0);
            }
            in_second += size;
            greatest_rate = greatest_rate.max(in_second);
            seconds = seconds.max(due.as_secs() + 1);
            if let Some(traffic) = workload.traffic(request.stream) {
                *projects.entry((traffic.token.clone(), traffic.team)).or_default() += size;
            }
        }
        let bytes = workload.streams().into_iter().map(|stream| {
            let planned = workload.planned(stream);
            let sample = planned.min(SAMPLE);
            let size = |seq| workload.event(stream, seq).map_or(0, |event| event_bytes(&event));
            let sampled: u64 = (0..sample).map(size).sum();
            planned.saturating_mul(ENVELOPE + sampled / sample.max(1))
        });
        Self { events, requests, greatest_rate, largest, seconds, bytes: bytes.sum(), projects }
    }
}

fn event_bytes(event: &Event) -> u64 {
    let properties = serde_json::to_vec(&event.properties).map_or(0, |text| text.len());
    let members = event.members.iter().map(|member| member.key.len() + member.value.len() + 4);
    (properties + members.sum::<usize>()) as u64
}

/// Holds what `workload` would send against the ceiling of `external`, shows it, and has it confirmed. With `--yes` it is shown
/// by `tell`; who is asked must see it.
///
/// # Errors
/// When it is too much, or nobody agrees.
pub fn confirm(
    external: &External,
    workload: &Workload,
    confirmation: Confirmation,
    tell: impl FnOnce(&str),
) -> Result<(), Failure> {
    let load = Load::of(workload);
    let shown = shown(external, &load);
    if confirmation == Confirmation::Given {
        tell(&shown);
        return within(external, &load);
    }
    let ask = |question: &str| -> std::io::Result<()> {
        let mut stderr = std::io::stderr().lock();
        write!(stderr, "{shown}\n{question}")?;
        stderr.flush()
    };
    let too_much = within(external, &load);
    let is_asked = too_much.is_ok() && std::io::stdin().is_terminal();
    let told = ask(if is_asked { "Send it? [y/N] " } else { "" });
    too_much?;
    if !is_asked {
        return Err(Failure::told(
            Kind::Usage,
            "nothing was sent: nobody is there to agree to what would be sent",
            "say --yes if it is right",
        ));
    }
    let mut answer = String::new();
    // Who was not asked or does not answer does not agree.
    let answered = told.and_then(|()| std::io::stdin().lock().read_line(&mut answer));
    if answered.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(Failure::told(Kind::Stopped, "nothing was sent: it was not agreed to", ""))
    }
}

fn shown(external: &External, load: &Load) -> String {
    let mut text = format!(
        "to {}: {} events in {} requests over {} s, at most {} a second, about {} MB before compression",
        external.capture.url,
        count(load.events),
        count(load.requests),
        count(load.seconds),
        count(load.greatest_rate),
        count(load.bytes.div_ceil(1_000_000)),
    );
    for ((token, team), events) in &load.projects {
        let _ = write!(text, "\n  {} events to team {team} with the token {}", count(*events), Token::new(token));
    }
    text
}

fn within(external: &External, load: &Load) -> Result<(), Failure> {
    let most = |what: &str, wanted: u64, most: String, key: &str, example: String| {
        Err(Failure::told(
            Kind::Usage,
            format!(
                "nothing was sent: the scenario sends {what} {}, and {most} is the most that may go to this pipeline",
                count(wanted)
            ),
            format!("raise it in the external file if that pipeline can take it: [limits] {key} = {example}"),
        ))
    };
    if load.events > external.most_events {
        let example = load.events.to_string();
        return most("events:", load.events, count(external.most_events), "most_events", example);
    }
    let rate = external.most_rate;
    let per_second = rate.events as f64 / rate.per.as_secs_f64();
    // Requests are due when their last event is, so a steady rate comes unsteadily, by a request at most.
    if load.greatest_rate as f64 > per_second + load.largest as f64 {
        let example = format!("\"{}/s\"", load.greatest_rate);
        return most("in one second up to", load.greatest_rate, format!("{per_second:.0}"), "most_rate", example);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use generators::{identity::RunId, persona::PersonaTable};

    use super::*;
    use crate::{external::file::tests::whole, plan, scenario::Scenario};

    fn load(changes: &[(&str, &str)]) -> Load {
        let overrides: Vec<_> = changes
            .iter()
            .map(|(key, value)| crate::scenario::Override { key: (*key).into(), value: (*value).into() })
            .collect();
        let scenario = Scenario::read("smoke", include_str!("../../library/smoke.toml"), &overrides).unwrap();
        let run = RunId::new(7);
        let start = generators::clock::RunStart::from_unix_micros(0);
        let projects = super::super::Projects::Named(whole().projects);
        let plan = plan::workload(&scenario, &projects, run, 1, start);
        Load::of(&Workload::new(plan, PersonaTable::make(1, 8)))
    }

    #[test]
    fn what_will_be_sent_is_counted() {
        let load = load(&[]);
        assert!(load.events == 60_000 && (12..=13).contains(&load.seconds), "{load:?}");
        assert!((5_000..=5_100).contains(&load.greatest_rate), "{load:?}");
        assert!((20_000_000..90_000_000).contains(&load.bytes), "{load:?}");
        assert_eq!(load.projects.values().sum::<u64>(), 60_000);
        let text = shown(&whole(), &load);
        assert!(text.contains("60 000 events in") && text.contains("phc_ab…c") && !text.contains("phc_abc"), "{text}");
    }

    #[test]
    fn more_than_the_ceiling_is_refused_and_the_key_is_named() {
        let external = whole();
        assert!(within(&external, &load(&[])).is_ok(), "5 000 a second are allowed by the file");
        let told = |load: &Load| format!("{:?}", within(&external, load).unwrap_err());
        assert!(told(&load(&[("traffic.app.arrival.rate", "6000/s")])).contains("most_rate"));
        assert!(
            told(&load(&[("traffic.app.events", "100001"), ("traffic.app.arrival.rate", "100/s")]))
                .contains("most_events")
        );
    }
}
