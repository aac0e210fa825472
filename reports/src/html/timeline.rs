//! What happened when: events a second, time to visible, lag, defects, over the faults that were planned.

use std::collections::BTreeMap;

use checkers::{
    details::timeline::{LagSeries, TimelineFacts},
    reconcile::evidence::Class,
    record::RunRecord,
};

use super::{
    chart::{Axis, Chart, Ink, Join, Line, Shade},
    text::{Pieces, count, escape, seconds},
};
use crate::faults;

/// So many rows of the table are written; further ones are told together.
const ROWS: usize = 150;
/// More faults than these are shaded without their numbers.
const MARKED: usize = 40;
/// Of a topic with more partitions only the greatest lag is drawn.
const PARTITIONS: usize = 16;

pub(super) fn section(record: &RunRecord) -> String {
    let Some(details) = &record.details else {
        return "<p class=\"lead\">Nothing is known of the run's course: it was judged without it.</p>".into();
    };
    let timeline = &details.timeline;
    if timeline.intended.is_empty() {
        return "<p class=\"lead\">Nothing was sent.</p>".into();
    }
    let end = end(record, timeline);
    let shades = shades(record, end);
    let x = Axis::up_to(end, |at| time_word(at, end));
    let charts = [
        Some(rates(timeline, &x, &shades)),
        times(timeline, details.visible_within, &x, &shades),
        lags(record, &timeline.lags, &x, &shades),
        defects(timeline, &x, &shades),
    ];
    let charts: String = charts.into_iter().flatten().map(|chart| chart.render()).joined();
    let faults: String = record
        .run
        .faults
        .iter()
        .map(|fault| {
            let failed = fault.failed.as_deref().map(|why| format!(" <b>{}</b>", escape(why))).unwrap_or_default();
            format!("<li>{}{failed}</li>", escape(&faults::told(fault)))
        })
        .joined();
    let faults = match record.run.faults.len() {
        0 => String::new(),
        1..=MARKED => format!("<ol class=\"faults\">{faults}</ol>"),
        many => format!(
            "<details class=\"quiet\"><summary>{} faults</summary><ol class=\"faults\">{faults}</ol></details>",
            count(many as u64)
        ),
    };
    let each = if timeline.width > 1.0 { format!(", {} at a time", seconds(timeline.width)) } else { String::new() };
    format!(
        "<p class=\"lead\">Seconds from the start of sending{each}.<span class=\"js\"> Point at a chart, or choose it and use ← and →, to \
         read its figures.</span></p>{faults}<div class=\"charts\" tabindex=\"0\" data-width=\"{}\" data-end=\"{end}\" aria-label=\"charts over time\">{charts}</div>\
         <p class=\"readout\" role=\"status\" hidden></p>{}",
        timeline.width,
        table(timeline),
    )
}

/// Where the charts end: behind everything that happened.
fn end(record: &RunRecord, timeline: &TimelineFacts) -> f64 {
    let last = timeline.intended.len() as f64 * timeline.width;
    let healed = record.run.faults.iter().filter_map(|fault| fault.healed);
    // What the last reads waited for is worth no more room than what happened.
    healed.fold(last, f64::max).max(1.0)
}

fn time_word(at: f64, end: f64) -> String {
    if end < 600.0 {
        format!("{at} s")
    } else if end < 36_000.0 {
        format!("{:.0} min", at / 60.0)
    } else {
        format!("{:.1} h", at / 3_600.0)
    }
}

fn shades(record: &RunRecord, end: f64) -> Vec<Shade> {
    let faults = record.run.faults.iter().enumerate();
    faults
        .filter_map(|(number, fault)| {
            let began = fault.began?;
            // More of them than this would stand on each other.
            let mark = if record.run.faults.len() > MARKED { String::new() } else { (number + 1).to_string() };
            Some(Shade { span: (began, fault.healed.unwrap_or(end)), mark })
        })
        .collect()
}

/// A list with an entry for each stretch of time, as steps.
fn steps(values: impl Iterator<Item = f64>, width: f64) -> Vec<Option<(f64, f64)>> {
    let mut points: Vec<_> = values.enumerate().map(|(place, value)| Some((place as f64 * width, value))).collect();
    if let Some(Some((at, value))) = points.last().copied() {
        points.push(Some((at + width, value)));
    }
    points
}

fn rates(timeline: &TimelineFacts, x: &Axis, shades: &[Shade]) -> Chart {
    let width = timeline.width;
    let line = |name: &str, ink, counts: &[u64]| Line {
        name: name.into(),
        ink,
        join: Join::Steps,
        points: steps(counts.iter().map(|count| *count as f64 / width), width),
    };
    let lines = vec![
        line("due", Ink::Plan, &timeline.intended),
        line("sent", Ink::First, &timeline.sent),
        line("acked", Ink::Second, &timeline.acked),
        line("visible", Ink::Third, &timeline.visible),
    ];
    let all = [&timeline.intended, &timeline.sent, &timeline.acked, &timeline.visible];
    let greatest = all.into_iter().flatten().copied().max().unwrap_or_default() as f64 / width;
    let sum = |counts: &[u64]| count(counts.iter().sum());
    Chart {
        title: "Events per second".into(),
        told: format!(
            "{} events due, {} sent, {} acked, {} became visible; at most {} in a second",
            sum(&timeline.intended),
            sum(&timeline.sent),
            sum(&timeline.acked),
            sum(&timeline.visible),
            count(greatest as u64)
        ),
        x: x.clone(),
        y: Axis::round(greatest, |value| count(value as u64)),
        shades: shades.to_vec(),
        band: Vec::new(),
        lines,
        limit: None,
    }
}

fn times(timeline: &TimelineFacts, limit: Option<f64>, x: &Axis, shades: &[Shade]) -> Option<Chart> {
    let width = timeline.width;
    let line = |name: &str, ink, values: &[Option<f64>]| {
        let middle = |place: usize| (place as f64 + 0.5) * width;
        let points = values.iter().enumerate().map(|(place, value)| value.map(|value| (middle(place), value)));
        Line { name: name.into(), ink, join: Join::Straight, points: points.collect() }
    };
    let known = || timeline.p99.iter().chain(&timeline.p50).flatten().copied();
    let greatest = known().fold(0.0, f64::max);
    let unseen = timeline.unseen.iter().sum::<u64>();
    if known().next().is_none() && unseen == 0 {
        return None;
    }
    let stretch = stretch(width);
    let y = Axis::round(greatest.max(limit.unwrap_or_default() * 1.05), seconds_word);
    let mut lines =
        vec![line("half of them", Ink::First, &timeline.p50), line("99 % of them", Ink::Third, &timeline.p99)];
    let mut told = format!("the 99th percentile of {stretch} is at most {}", seconds(greatest));
    if unseen > 0 {
        let stretches = timeline.unseen.iter().filter(|unseen| **unseen > 0).count();
        let never = format!("{} events due here were never seen", count(unseen));
        told = format!("{told}; {} events due in {} stretches were never seen", count(unseen), count(stretches as u64));
        // Behind the lines, and as high as the chart: later than everything.
        lines.insert(0, Line { name: never, ink: Ink::Missing, join: Join::Steps, points: marked(timeline, y.end) });
    }
    Some(Chart {
        title: format!("Time to visible, by {stretch} in which events were due"),
        told,
        x: x.clone(),
        y,
        shades: shades.to_vec(),
        band: Vec::new(),
        lines,
        limit: limit.map(|limit| (limit, format!("limit for p99: {}", seconds(limit)))),
    })
}

/// The stretches in which events were due that were never seen, up to `height`.
fn marked(timeline: &TimelineFacts, height: f64) -> Vec<Option<(f64, f64)>> {
    let mut points = Vec::new();
    for (place, unseen) in timeline.unseen.iter().enumerate() {
        if *unseen > 0 {
            let from = place as f64 * timeline.width;
            points.extend([Some((from, height)), Some((from + timeline.width, height))]);
        } else {
            points.push(None);
        }
    }
    points
}

/// What a stretch of time of the timeline is called.
fn stretch(width: f64) -> String {
    if width <= 1.0 { "the second".into() } else { format!("the {} s", (width * 10.0).round() / 10.0) }
}

/// A tick of an axis of seconds: no more digits than it needs.
pub(super) fn seconds_word(value: f64) -> String {
    if value == 0.0 {
        "0".into()
    } else if value < 0.9995 {
        format!("{:.0}\u{202f}ms", value * 1e3)
    } else {
        format!("{}\u{202f}s", (value * 100.0).round() / 100.0)
    }
}

fn lags(record: &RunRecord, all: &[LagSeries], x: &Axis, shades: &[Shade]) -> Option<Chart> {
    let mut topics: BTreeMap<&str, Vec<&LagSeries>> = BTreeMap::new();
    for series in all {
        topics.entry(&series.topic).or_default().push(series);
    }
    let lagged = |all: &[&LagSeries]| all.iter().any(|series| series.messages.iter().flatten().any(|lag| *lag > 0));
    let lagging = topics.values().filter(|all| lagged(all)).count();
    let title = if all.iter().all(|series| series.partition.is_none()) {
        "Greatest lag of any partition, in messages".into()
    } else if lagging == 0 || lagging == topics.len() {
        "Lag of each partition, in messages".into()
    } else {
        format!("Lag of each partition, in messages ({} topics without any lag left out)", topics.len() - lagging)
    };
    if lagging > 0 {
        topics.retain(|_, all| lagged(all));
    }
    let prefix = record.run.id.as_deref().map(|id| format!("r{id}_")).unwrap_or_default();
    let mut lines = Vec::new();
    for ((topic, partitions), ink) in topics.iter().zip([Ink::First, Ink::Third, Ink::Second].into_iter().cycle()) {
        let name = topic.strip_prefix(&prefix).unwrap_or(topic);
        let line = |name: String, width: u64, messages: &mut dyn Iterator<Item = Option<u64>>| {
            let at = |place: usize| (place as f64 + 0.5) * width as f64;
            let points = messages.enumerate().map(|(place, lag)| lag.map(|lag| (at(place), lag as f64)));
            Line { name, ink, join: Join::Straight, points: points.collect() }
        };
        if let [series] = partitions.as_slice()
            && series.partition.is_none()
        {
            let name = format!("{name}, the greatest of all partitions");
            lines.push(line(name, series.width, &mut series.messages.iter().copied()));
        } else if partitions.len() <= PARTITIONS {
            let name = format!("{name}, each of {} partitions", partitions.len());
            lines.extend(
                partitions.iter().map(|series| line(name.clone(), series.width, &mut series.messages.iter().copied())),
            );
        } else {
            let length = partitions.iter().map(|series| series.messages.len()).max().unwrap_or_default();
            let greatest =
                |place| partitions.iter().filter_map(|series| series.messages.get(place).copied().flatten()).max();
            let name = format!("{name}, the greatest of {} partitions", partitions.len());
            lines.push(line(name, partitions[0].width, &mut (0..length).map(greatest)));
        }
    }
    let greatest = all.iter().flat_map(|series| series.messages.iter().flatten()).copied().max()?;
    Some(Chart {
        title,
        told: format!("at most {} messages in a partition", count(greatest)),
        x: x.clone(),
        y: Axis::round(greatest as f64, |value| count(value as u64)),
        shades: shades.to_vec(),
        band: Vec::new(),
        lines,
        limit: None,
    })
}

fn defects(timeline: &TimelineFacts, x: &Axis, shades: &[Shade]) -> Option<Chart> {
    let length = timeline.intended.len();
    let all: Vec<u64> =
        (0..length).map(|place| timeline.defects.values().filter_map(|counts| counts.get(place)).sum()).collect();
    let greatest = all.iter().copied().max().filter(|greatest| *greatest > 0)?;
    let sum: u64 = all.iter().sum();
    Some(Chart {
        title: "Events with a defect, by when they were due".into(),
        told: format!("{} events with a defect, at most {} at a time", count(sum), count(greatest)),
        x: x.clone(),
        y: Axis::round(greatest as f64, |value| count(value as u64)),
        shades: shades.to_vec(),
        band: Vec::new(),
        lines: [Line {
            name: "of any class".into(),
            ink: Ink::Wrong,
            join: Join::Steps,
            points: steps(all.iter().map(|count| *count as f64), timeline.width),
        }]
        .into_iter()
        .chain(of_classes(timeline))
        .collect(),
        limit: None,
    })
}

/// The most frequent classes, where there are several.
fn of_classes(timeline: &TimelineFacts) -> Vec<Line> {
    let sum = |counts: &[u64]| counts.iter().sum::<u64>();
    let mut classes: Vec<_> = timeline.defects.iter().filter(|(_, counts)| sum(counts) > 0).collect();
    classes.sort_by_key(|(_, counts)| std::cmp::Reverse(sum(counts)));
    if classes.len() < 2 {
        return Vec::new();
    }
    let line = |((class, counts), ink): ((&Class, &Vec<u64>), Ink)| Line {
        name: class.name().replace('_', " "),
        ink,
        join: Join::Steps,
        points: steps(counts.iter().map(|count| *count as f64), timeline.width),
    };
    classes.into_iter().zip([Ink::First, Ink::Second, Ink::Third]).map(line).collect()
}

/// The same as figures; what the script reads, too.
fn table(timeline: &TimelineFacts) -> String {
    let length = timeline.intended.len();
    let each = length.div_ceil(ROWS).max(1);
    let rows: String = (0..length)
        .step_by(each)
        .map(|from| {
            let to = (from + each).min(length);
            let sum = |counts: &[u64]| count(counts[from..to].iter().sum());
            let worst = |values: &[Option<f64>]| {
                values[from..to].iter().flatten().copied().reduce(f64::max).map_or_else(|| "–".into(), seconds)
            };
            let lag = timeline.lags.iter().filter_map(|series| {
                let place = |bucket: usize| (bucket as f64 * timeline.width / series.width as f64) as usize;
                let (from, to) = (place(from), place(to).min(series.messages.len()));
                series.messages.get(from..to)?.iter().flatten().max().copied()
            });
            let lag = lag.max().map_or_else(|| "–".into(), count);
            let defects: u64 = timeline.defects.values().map(|counts| counts[from..to].iter().sum::<u64>()).sum();
            let at = seconds_word(from as f64 * timeline.width);
            let cells = [
                sum(&timeline.intended),
                sum(&timeline.sent),
                sum(&timeline.acked),
                sum(&timeline.visible),
                worst(&timeline.p50),
                worst(&timeline.p99),
                lag,
                count(defects),
            ];
            let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).joined();
            format!("<tr data-from=\"{}\"><th scope=\"row\">{at}</th>{cells}</tr>", from as f64 * timeline.width)
        })
        .joined();
    let heads = ["from", "due", "sent", "acked", "visible", "p50", "p99", "greatest lag", "defects"];
    let heads: String = heads.iter().map(|head| format!("<th scope=\"col\">{head}</th>")).joined();
    format!(
        "<details class=\"quiet\"><summary>The same as a table</summary><div class=\"wide\"><table class=\"figures\" data-each=\"{}\">\
         <thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div></details>",
        each as f64 * timeline.width
    )
}
