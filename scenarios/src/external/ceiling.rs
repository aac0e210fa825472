//! What will be sent to somebody else's pipeline: counted, held against the ceiling, shown, and confirmed.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{BufRead, IsTerminal, Write},
    time::Duration,
};

use generators::{
    event::{Event, EventSource},
    schedule::Rate,
    timetable::{Shard, Timetable},
    workload::Workload,
};
use reports::{figures::count, progress::Progress};

use super::Token;
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
    /// It was agreed to before, with all that is like it: it is not shown again.
    Earlier,
}

/// The most that may be sent to somebody else's pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Events in all.
    pub events: u64,
    /// Events in any second.
    pub rate: Rate,
}

impl Limits {
    /// So much goes there unless more is asked for by hand.
    pub const DEFAULT: Self = Self { events: 100_000, rate: Rate { events: 1_000, per: Duration::from_secs(1) } };
}

/// Where the limits are raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RaisedBy {
    /// In the external file.
    File,
    /// On the command line.
    Options,
}

/// What somebody shall agree to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Where it goes.
    pub to: String,
    /// The most that may go there.
    pub limits: Limits,
    /// Where those are raised.
    pub raised_by: RaisedBy,
    /// Which share of the traffic.
    pub shard: Shard,
    /// In how many windows the like of it is sent; 1 where it is no soak.
    pub windows: u64,
    /// What else is done to the pipeline, in lines.
    pub faults: Vec<String>,
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
    fn of(workload: &Workload, shard: Shard) -> Self {
        let (mut events, mut requests, mut seconds, mut largest) = (0, 0, 0, 0);
        let (mut greatest_rate, mut second, mut in_second) = (0, 0, 0);
        let (mut projects, mut streams) = (BTreeMap::new(), BTreeMap::<_, u64>::new());
        for (due, request) in Timetable::new(workload, shard) {
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
            *streams.entry(request.stream).or_default() += size;
            if let Some(traffic) = workload.traffic(request.stream) {
                *projects.entry((traffic.token.clone(), traffic.team)).or_default() += size;
            }
        }
        let bytes = streams.into_iter().map(|(stream, events)| {
            let sample = workload.planned(stream).min(SAMPLE);
            let size = |seq| workload.event(stream, seq).map_or(0, |event| event_bytes(&event));
            let sampled: u64 = (0..sample).map(size).sum();
            events.saturating_mul(ENVELOPE + sampled / sample.max(1))
        });
        Self { events, requests, greatest_rate, largest, seconds, bytes: bytes.sum(), projects }
    }

    /// The same so often, one after the other.
    fn times(mut self, times: u64) -> Self {
        for number in [&mut self.events, &mut self.requests, &mut self.seconds, &mut self.bytes] {
            *number = number.saturating_mul(times);
        }
        for events in self.projects.values_mut() {
            *events = events.saturating_mul(times);
        }
        self
    }
}

fn event_bytes(event: &Event) -> u64 {
    let properties = serde_json::to_vec(&event.properties).map_or(0, |text| text.len());
    let members = event.members.iter().map(|member| member.key.len() + member.value.len() + 4);
    (properties + members.sum::<usize>()) as u64
}

/// Holds what `offer` would send of `workload` against its ceiling, shows it, and has it confirmed.
///
/// # Errors
/// When it is too much, or nobody agrees.
pub fn confirm(
    offer: &Offer,
    workload: &Workload,
    confirmation: Confirmation,
    progress: &Progress,
) -> Result<(), Failure> {
    let load = Load::of(workload, offer.shard).times(offer.windows);
    let too_much = within(offer, &load);
    match confirmation {
        Confirmation::Earlier => too_much,
        Confirmation::Given => {
            progress.step(&shown(offer, &load));
            too_much
        }
        Confirmation::Ask => progress.aside(|| ask(&shown(offer, &load), too_much)),
    }
}

/// Who is asked must see what is `shown`.
fn ask(shown: &str, too_much: Result<(), Failure>) -> Result<(), Failure> {
    let is_asked = too_much.is_ok() && std::io::stdin().is_terminal();
    let tell = || -> std::io::Result<()> {
        let mut stderr = std::io::stderr().lock();
        write!(stderr, "{shown}\n{}", if is_asked { "Send it? [y/N] " } else { "" })?;
        stderr.flush()
    };
    let told = tell();
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

fn shown(offer: &Offer, load: &Load) -> String {
    let windows =
        if offer.windows > 1 { format!("in {} windows of a soak, ", count(offer.windows)) } else { String::new() };
    let mut text = format!(
        "to {}: {windows}{} events in {} requests over {} s, at most {} a second, about {} MB before compression",
        offer.to,
        count(load.events),
        count(load.requests),
        count(load.seconds),
        count(load.greatest_rate),
        count(load.bytes.div_ceil(1_000_000)),
    );
    for ((token, team), events) in &load.projects {
        let _ = write!(text, "\n  {} events to team {team} with the token {}", count(*events), Token::new(token));
    }
    for line in &offer.faults {
        let _ = write!(text, "\n  {line}");
    }
    text
}

fn within(offer: &Offer, load: &Load) -> Result<(), Failure> {
    let who = match offer {
        Offer { windows: 2.., .. } => "the whole soak",
        Offer { shard, .. } if !shard.is_whole() => "this share",
        _ => "the scenario",
    };
    let most = |what: &str, wanted: u64, most: String, key: &str, example: String| {
        let help = match offer.raised_by {
            RaisedBy::File => {
                format!("raise it in the external file if that pipeline can take it: [limits] {key} = {example}")
            }
            RaisedBy::Options => format!(
                "raise it if that pipeline can take it: --{} {}",
                key.replace('_', "-"),
                example.trim_matches('"')
            ),
        };
        Err(Failure::told(
            Kind::Usage,
            format!(
                "nothing was sent: {who} sends {what} {}, and {most} is the most that may go to this pipeline",
                count(wanted)
            ),
            help,
        ))
    };
    let Limits { events, rate } = offer.limits;
    if load.events > events {
        return most("events:", load.events, count(events), "most_events", load.events.to_string());
    }
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
        load_of(changes, Shard::WHOLE)
    }

    fn load_of(changes: &[(&str, &str)], shard: Shard) -> Load {
        let overrides: Vec<_> = changes
            .iter()
            .map(|(key, value)| crate::scenario::Override { key: (*key).into(), value: (*value).into() })
            .collect();
        let scenario = Scenario::read("smoke", include_str!("../../library/smoke.toml"), &overrides).unwrap();
        let run = RunId::new(7);
        let start = generators::clock::RunStart::from_unix_micros(0);
        let projects = super::super::Projects::Named(whole().projects);
        let plan = plan::workload(&scenario, &projects, run, 1, start);
        Load::of(&Workload::new(plan, PersonaTable::make(1, 8)), shard)
    }

    #[test]
    fn what_will_be_sent_is_counted() {
        let load = load(&[]);
        assert!(load.events == 60_000 && (12..=13).contains(&load.seconds), "{load:?}");
        assert!((5_000..=5_100).contains(&load.greatest_rate), "{load:?}");
        assert!((20_000_000..90_000_000).contains(&load.bytes), "{load:?}");
        assert_eq!(load.projects.values().sum::<u64>(), 60_000);
        let text = shown(&offer(1), &load);
        assert!(text.contains("60 000 events in") && text.contains("phc_ab…c") && !text.contains("phc_abc"), "{text}");
    }

    /// What the whole file allows, in so many windows.
    fn offer(windows: u64) -> Offer {
        whole().offer(&Scenario::read("smoke", include_str!("../../library/smoke.toml"), &[]).unwrap(), windows)
    }

    /// What is refused, and what to do about it.
    fn refused(offer: &Offer, load: &Load) -> String {
        format!("{:?}", within(offer, load).unwrap_err())
    }

    #[test]
    fn more_than_the_ceiling_is_refused_and_the_key_is_named() {
        let offer = offer(1);
        assert!(within(&offer, &load(&[])).is_ok(), "5 000 a second are allowed by the file");
        assert!(refused(&offer, &load(&[("traffic.app.arrival.rate", "6000/s")])).contains("most_rate"));
        let many = load(&[("traffic.app.events", "100001"), ("traffic.app.arrival.rate", "100/s")]);
        assert!(refused(&offer, &many).contains("most_events"));
        let by_options = Offer { raised_by: RaisedBy::Options, ..offer };
        assert!(refused(&by_options, &many).contains("--most-events 100001"));
    }

    #[test]
    fn a_soak_is_shown_and_limited_as_a_whole() {
        let one = load(&[]);
        assert!(within(&offer(1), &one.clone().times(1)).is_ok());
        let two = one.clone().times(2);
        assert_eq!((two.events, two.seconds, two.greatest_rate), (120_000, 2 * one.seconds, one.greatest_rate));
        assert_eq!(two.projects.values().sum::<u64>(), 120_000);
        let told = refused(&offer(2), &two);
        assert!(told.contains("the whole soak") && told.contains("most_events = 120000"), "{told}");
        let text = shown(&offer(2), &two);
        assert!(text.contains("in 2 windows of a soak, 120 000 events"), "{text}");
    }

    #[test]
    fn of_a_share_only_the_share_counts() {
        let share = load_of(&[], Shard::new(1, 3).unwrap());
        assert!((18_000..=22_000).contains(&share.events), "{share:?}");
        let whole = load(&[]);
        assert!(share.bytes * 2 < whole.bytes && whole.bytes < share.bytes * 4, "{share:?} of {whole:?}");
    }

    #[test]
    fn what_is_done_to_it_is_shown_with_what_is_sent() {
        let offer = Offer { faults: vec!["kill ingester: `x`".into()], ..offer(1) };
        assert!(shown(&offer, &load(&[])).ends_with("\n  kill ingester: `x`"));
    }
}
