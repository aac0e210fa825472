//! The live view of a run in a terminal: what goes on, at which rates, how far behind, and what is wrong so far.
//!
//! Some lines below the steps, drawn again a few times a second from the board. [`View`] remembers the last minute, for the
//! rates and their course; everything else is on the [`Live`] board.

use std::{collections::VecDeque, fmt::Write};

use checkers::reconcile::evidence::Class;

use crate::{
    figures::{count, percent},
    live::{Counters, Live, RoundEnd},
    live_page::{late, time_to_visible},
};

/// So many seconds are remembered.
const REMEMBERED: usize = 60;
/// The course is drawn with these, from nothing to the greatest.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// So wide is the bar that shows how much is sent.
const WIDE: usize = 30;
/// So many topics are told, those with the greatest lags.
const TOPICS: usize = 4;

/// What was counted at a moment.
#[derive(Debug, Clone, Copy)]
struct Moment {
    at: f64,
    sent: u64,
    acked: u64,
    visible: u64,
}

/// The last minute of a run.
#[derive(Debug, Default)]
pub struct View {
    moments: VecDeque<Moment>,
}

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tone {
    Plain,
    Bad,
}

impl View {
    /// Takes in the board at `at` seconds; at most once a second something new is remembered.
    pub fn look(&mut self, live: &Live, at: f64) {
        if self.moments.back().is_some_and(|last| at - last.at < 1.0) {
            return;
        }
        let Counters { sent, acked, visible, .. } = live.counted();
        self.moments.push_back(Moment { at, sent, acked, visible });
        while self.moments.len() > REMEMBERED + 1 {
            self.moments.pop_front();
        }
    }

    /// The view, with colours if `color`.
    pub fn render(&self, live: &Live, color: bool) -> String {
        let mut text = String::new();
        let mut row = |name: &str, value: &str, tone: Tone| {
            let (on, off) = if color && tone == Tone::Bad { ("\u{1b}[31m", "\u{1b}[0m") } else { ("", "") };
            // Writing into a String does not fail.
            let _ = writeln!(text, "{on}{name:>18}  {value}{off}");
        };
        let counted = live.counted();
        let title = format!("{} · run {} · {} environment", live.scenario, live.run, live.environment);
        row(live.phase.name(), if live.scenario.is_empty() { "" } else { &title }, Tone::Plain);
        row("sent", &sent(live), Tone::Plain);
        for (name, of) in [
            ("sending", (|moment| moment.sent) as fn(&Moment) -> u64),
            ("acked", |moment| moment.acked),
            ("visible", |moment| moment.visible),
        ] {
            row(name, &self.rate(of), Tone::Plain);
        }
        row("time to visible", &time_to_visible(&counted.time_to_visible), Tone::Plain);
        let awaited = format!("{} awaited, {} of them overdue", count(live.awaited), count(live.overdue));
        row("missing", &awaited, tone(live.overdue > 0));
        row("lag", &lags(live), Tone::Plain);
        if counted.failed > 0 {
            row("not acked", &count(counted.failed), Tone::Bad);
        }
        row("late requests", &late(&counted), tone(counted.late_requests * 100 > counted.requests));
        if counted.failed_reads > 0 {
            row("failed reads", &count(counted.failed_reads), Tone::Bad);
        }
        for fault in live.faults.iter().filter(|fault| fault.active) {
            row("fault", &fault.fault, Tone::Plain);
        }
        for class in Class::ALL {
            let found = live.defects.get(&class).copied().unwrap_or_default();
            if found > 0 {
                row(&class.name().replace('_', " "), &count(found), Tone::Bad);
            }
        }
        if let Some((_, end)) = live.last_round {
            let ends = RoundEnd::ALL.iter().filter_map(|end| Some((end, live.rounds.get(end)?)));
            let ends: Vec<String> = ends.map(|(end, rounds)| format!("{} {}", count(*rounds), end.name())).collect();
            row("rounds", &format!("{}, the last: {}", ends.join(" · "), end.name()), tone(end != RoundEnd::Pass));
        }
        text.truncate(text.trim_end_matches('\n').len());
        text
    }

    /// The rate over the last seconds, and its course.
    fn rate(&self, of: fn(&Moment) -> u64) -> String {
        let pairs = self.moments.iter().zip(self.moments.iter().skip(1));
        let rates: Vec<f64> = pairs
            .map(|(before, after)| of(after).saturating_sub(of(before)) as f64 / (after.at - before.at).max(1e-3))
            .collect();
        let Some(last) = rates.last() else { return "no second is over yet".into() };
        let greatest = rates.iter().copied().fold(1.0, f64::max);
        let bars: String =
            rates.iter().map(|rate| BARS[((rate / greatest * 8.0).ceil() as usize).min(BARS.len() - 1)]).collect();
        format!("{:>9}/s  {bars}", count(last.round() as u64))
    }
}

const fn tone(is_bad: bool) -> Tone {
    if is_bad { Tone::Bad } else { Tone::Plain }
}

fn sent(live: &Live) -> String {
    let share = live.now.sent as f64 / live.planned.max(1) as f64;
    let full = ((share * WIDE as f64) as usize).min(WIDE);
    let bar = format!("{}{}", "█".repeat(full), "░".repeat(WIDE - full));
    format!("{bar} {} of {} ({})", count(live.now.sent), count(live.planned), percent(share.min(1.0)))
}

/// The greatest lag of each topic's partitions.
fn lags(live: &Live) -> String {
    let Some(lags) = &live.lag else { return "not known".into() };
    let prefix = format!("r{}_", live.run);
    let mut topics: Vec<(&str, u64)> = Vec::new();
    for lag in lags.iter().filter(|lag| lag.messages > 0) {
        let topic = lag.topic.strip_prefix(&prefix).unwrap_or(&lag.topic);
        match topics.iter_mut().find(|(known, _)| *known == topic) {
            Some((_, messages)) => *messages = lag.messages.max(*messages),
            None => topics.push((topic, lag.messages)),
        }
    }
    topics.sort_by_key(|(_, messages)| std::cmp::Reverse(*messages));
    if topics.is_empty() {
        return "none".into();
    }
    let told = topics.iter().take(TOPICS).map(|(topic, messages)| format!("{topic} {}", count(*messages)));
    told.collect::<Vec<_>>().join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::{LagNow, Phase};

    fn live() -> Live {
        let mut live = Live {
            scenario: "smoke".into(),
            run: "ab".into(),
            environment: "embedded".into(),
            phase: Phase::Sending,
            planned: 1_000,
            ..Live::default()
        };
        live.now.sent = 250;
        live.lag = Some(vec![
            LagNow { group: "g".into(), topic: "rab_events".into(), partition: 0, messages: 5 },
            LagNow { group: "g".into(), topic: "rab_events".into(), partition: 1, messages: 7 },
            LagNow { group: "g".into(), topic: "other".into(), partition: 0, messages: 0 },
        ]);
        live
    }

    #[test]
    fn rates_are_of_the_last_second_and_their_course_of_the_last_minute() {
        let (mut view, mut live) = (View::default(), live());
        for second in 0..100u32 {
            live.now.acked = u64::from(second) * 100 + if second > 98 { 300 } else { 0 };
            view.look(&live, f64::from(second));
            view.look(&live, f64::from(second) + 0.5);
        }
        assert_eq!(view.moments.len(), REMEMBERED + 1);
        let text = view.render(&live, false);
        let acked = text.lines().find(|line| line.contains("acked")).unwrap();
        assert!(acked.contains("400/s") && acked.ends_with("▂▂▂█"), "{acked}");
        assert_eq!(acked.chars().filter(|c| BARS[1..].contains(c)).count(), REMEMBERED);
    }

    #[test]
    fn what_is_wrong_is_red_and_what_is_not_is_not_there() {
        let (mut view, mut live) = (View::default(), live());
        view.look(&live, 0.0);
        let fine = view.render(&live, true);
        assert!(!fine.contains('\u{1b}') && !fine.contains("corrupted") && !fine.contains("fault"), "{fine}");
        assert!(fine.contains("250 of 1 000 (25 %)") && fine.contains("events 7\n"), "{fine}");
        live.overdue = 3;
        live.defects.insert(Class::Corrupted, 2);
        let bad = view.render(&live, true);
        assert!(bad.contains("\u{1b}[31m         corrupted  2\u{1b}[0m"), "{bad:?}");
        assert!(bad.contains("\u{1b}[31m           missing  0 awaited, 3 of them overdue"), "{bad:?}");
        assert!(!view.render(&live, false).contains('\u{1b}'));
    }
}
