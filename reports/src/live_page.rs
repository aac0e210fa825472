//! The page of a run that goes on: what a person wants to know of a soak at night, on a telephone too. It refreshes itself,
//! and needs no script and no network.

use std::fmt::Write;

use checkers::reconcile::evidence::Class;
use jiff::Timestamp;

use crate::{
    figures::{count, percent, seconds},
    live::{Counters, Histogram, Live, RoundEnd},
};

const HEAD: &str = include_str!("../templates/live.html");

/// The page as of `now`.
pub fn render(live: &Live, now: Timestamp) -> String {
    let counted = live.counted();
    let mut rows = String::new();
    let mut row = |name: &str, value: String, is_bad: bool| {
        let class = if is_bad { " class=bad" } else { "" };
        // Writing into a String does not fail.
        let _ = writeln!(rows, "<tr{class}><th scope=row>{name}<td>{}", escaped(&value));
    };
    row("phase", live.phase.name().into(), false);
    row("sent in this run", format!("{} of {}", count(live.now.sent), count(live.planned)), false);
    row("acked", count(counted.acked), false);
    row("not acked", count(counted.failed), counted.failed > 0);
    row("visible", count(counted.visible), false);
    row("awaited", count(live.awaited), false);
    row("missing", count(live.overdue), live.overdue > 0);
    row("time to visible", time_to_visible(&counted.time_to_visible), false);
    row("greatest lag of a partition", lag(live), false);
    row("late requests", late(&counted), counted.late_requests * 100 > counted.requests);
    row("failed reads of the store", count(counted.failed_reads), counted.failed_reads > 0);
    for fault in live.faults.iter().filter(|fault| fault.active) {
        row("fault that goes on", format!("{}: {}", fault.target, fault.fault), false);
    }
    for class in Class::ALL {
        let found = live.defects.get(&class).copied().unwrap_or_default();
        if found > 0 {
            row(class.name(), count(found), true);
        }
    }
    if let Some((at, end)) = live.last_round {
        let ends: Vec<String> = RoundEnd::ALL
            .iter()
            .filter_map(|end| live.rounds.get(end).map(|rounds| format!("{} {}", count(*rounds), end.name())))
            .collect();
        row("rounds", ends.join(" · "), false);
        let at = Timestamp::from_second(at as i64).unwrap_or_default();
        row("last round", format!("{} at {at}", end.name()), end != RoundEnd::Pass);
    }
    let title = if live.scenario.is_empty() { "assay" } else { live.scenario.as_str() };
    let subtitle = format!("run {} · {} environment · as of {now:.0}", live.run, live.environment);
    HEAD.replace("{title}", &escaped(title)).replace("{subtitle}", &escaped(&subtitle)).replace("{rows}", &rows)
}

/// The bucket that holds the 99th percentile: what a histogram knows, and no more.
pub(crate) fn time_to_visible(histogram: &Histogram) -> String {
    let within = |share: f64| {
        let wanted = (histogram.count() as f64 * share).ceil() as u64;
        histogram.cumulative().find(|(_, events)| *events >= wanted).map(|(bound, _)| bound)
    };
    if histogram.count() == 0 {
        return "no event yet".into();
    }
    let told = |share| within(share).map_or_else(|| "more than all bounds".into(), seconds);
    format!("half within {}, 99 % within {}", told(0.5), told(0.99))
}

fn lag(live: &Live) -> String {
    let Some(lag) = &live.lag else { return "not known".into() };
    match lag.iter().max_by_key(|lag| lag.messages) {
        Some(lag) => format!("{} messages, {}/{}", count(lag.messages), lag.topic, lag.partition),
        None => "0 messages".into(),
    }
}

/// How many requests left late.
pub(crate) fn late(counted: &Counters) -> String {
    let share = counted.late_requests as f64 / counted.requests.max(1) as f64;
    format!("{} of {} ({})", count(counted.late_requests), count(counted.requests), percent(share))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::{LagNow, TIME_TO_VISIBLE_BOUNDS};

    #[test]
    fn what_is_wrong_stands_out_and_nothing_is_markup() {
        let mut live = Live { scenario: "<b>soak</b>".into(), overdue: 2, ..Live::default() };
        live.now.time_to_visible = Histogram::with_bounds(TIME_TO_VISIBLE_BOUNDS, None);
        live.now.time_to_visible.add(0.4);
        live.lag = Some(vec![LagNow { group: "g".into(), topic: "t".into(), partition: 1, messages: 1_200 }]);
        live.defects.insert(Class::Corrupted, 3);
        live.round_ended(1_790_000_000.0, RoundEnd::Fail);
        let page = render(&live, Timestamp::from_second(1_790_000_001).unwrap());
        for part in [
            "&lt;b&gt;soak",
            "<tr class=bad><th scope=row>missing<td>2",
            "<tr class=bad><th scope=row>corrupted<td>3",
            "half within 500 ms, 99 % within 500 ms",
            "1 200 messages, t/1",
            "1 fail",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("<b>") && !page.contains("{rows}") && !page.contains("{title}"), "{page}");
    }
}
