//! How long events took to be visible: the percentile plot with its band and limit, and where the time goes.

use checkers::{
    checks::Quantile,
    details::distribution::{Distribution, Point, StageDistribution},
    record::RunRecord,
};

use super::{
    chart::{Axis, Chart, Ink, Join, Line},
    text::{Pieces, count, escape, percent, seconds},
    timeline::seconds_word,
};
use crate::figures::quantile;

pub(super) fn section(record: &RunRecord) -> String {
    let times = &record.time_to_visible;
    if times.n == 0 {
        return "<p class=\"lead\">No event has a time to visible.</p>".into();
    }
    let of = |name: &str, value: Option<Quantile>, lower: Option<Quantile>, upper: Option<Quantile>| {
        let word = |value| quantile(value).replace(' ', "\u{202f}");
        format!(
            "<tr><th scope=\"row\">{name}</th><td>{}</td><td>{}</td><td>{}</td></tr>",
            word(value),
            word(lower),
            word(upper)
        )
    };
    let rows = [
        of("half of them", times.p50, times.p50_lower, times.p50_upper),
        of("90\u{202f}%", times.p90, times.p90_lower, times.p90_upper),
        of("99\u{202f}%", times.p99, times.p99_lower, times.p99_upper),
        of("99.9\u{202f}%", times.p999, times.p999_lower, times.p999_upper),
        of("all of them", times.max, None, times.max),
    ]
    .concat();
    let unseen = if times.unseen > 0 {
        format!(" <b>{} of them were never seen</b>, and count as infinitely late.", count(times.unseen))
    } else {
        String::new()
    };
    let (plot, stages) = record.details.as_ref().map_or_else(Default::default, |details| {
        (plot(&details.time_to_visible, details.visible_within), stages(&details.stages))
    });
    format!(
        "<p class=\"lead\">From the moment at which an event <em>should</em> have been sent to the end of the first query that saw it, \
         of {} events.{unseen} The bounds hold at {} confidence each.</p>{plot}\
         <div class=\"wide\"><table class=\"figures\"><thead><tr><th scope=\"col\">visible within</th><th scope=\"col\">measured</th>\
         <th scope=\"col\">at least</th><th scope=\"col\">at most</th></tr></thead><tbody>{rows}</tbody></table></div>{stages}",
        count(times.n),
        percent(record.run.confidence),
    )
}

/// Where a quantile stands on the axis of the plot: the number of its nines, or what `n` events can tell at most.
fn nines(q: f64, n: u64) -> f64 {
    let most = (n.max(10) as f64).log10();
    if q >= 1.0 { most } else { (-(1.0 - q).log10()).min(most) }
}

fn plot(distribution: &Distribution, limit: Option<f64>) -> String {
    let Distribution { n, points } = distribution;
    let at = |point: &Point| nines(point.q, *n);
    let values: Vec<_> = points.iter().map(|point| point.value.map(|value| (at(point), value))).collect();
    let band = points.iter().filter_map(|point| Some((at(point), point.lower?, point.upper?)));
    let greatest = points.iter().filter_map(|point| point.value).fold(0.0, f64::max);
    let most = nines(1.0, *n);
    let ticks = [
        (0.0, "fastest"),
        (0.5, "50 %"),
        (0.9, "90 %"),
        (0.99, "99 %"),
        (0.999, "99.9 %"),
        (0.9999, "99.99 %"),
        (0.99999, "99.999 %"),
    ];
    let mut ticks: Vec<(f64, String)> = ticks
        .into_iter()
        .map(|(q, word)| (nines(q, *n), word.to_owned()))
        .filter(|(at, _)| *at < most - 0.35)
        .collect();
    ticks.push((most, "slowest".into()));
    let chart = Chart {
        title: "What share of events was visible within which time".into(),
        told: format!("the slowest event that was seen took {}", seconds(greatest)),
        x: Axis { end: most, ticks },
        y: Axis::round(greatest.max(limit.unwrap_or_default() * 1.05), seconds_word),
        shades: Vec::new(),
        band: band.collect(),
        lines: vec![Line { name: "measured".into(), ink: Ink::First, join: Join::Straight, points: values }],
        limit: limit.map(|limit| (limit, format!("limit for 99 %: {}", seconds(limit)))),
    };
    chart.render()
}

/// Each stage as a bar, so that the slowest is seen.
fn stages(stages: &[StageDistribution]) -> String {
    let value = |stage: &StageDistribution, q: f64| {
        let at = stage.times.points.iter().min_by(|one, other| (one.q - q).abs().total_cmp(&(other.q - q).abs()));
        at.and_then(|point| point.value)
    };
    let greatest = stages.iter().filter_map(|stage| value(stage, 0.99)).fold(0.0, f64::max);
    if greatest <= 0.0 {
        return String::new();
    }
    let rows: String = stages
        .iter()
        .map(|stage| {
            let of = |q| value(stage, q).unwrap_or_default();
            let share = |q| of(q) / greatest * 100.0;
            let (p50, p99, max) = (seconds(of(0.5)), seconds(of(0.99)), seconds(of(1.0)));
            format!(
                "<tr><th scope=\"row\">{}</th><td class=\"bars\"><div class=\"bar2\" role=\"img\" aria-label=\"half within {p50}, 99 % within {p99}\">\
                 <i class=\"p99\" style=\"width:{:.1}%\"></i><i class=\"p50\" style=\"width:{:.1}%\"></i></div></td>\
                 <td>{p50}</td><td>{p99}</td><td>{max}</td><td>{}</td></tr>",
                escape(&stage.stage),
                share(0.99),
                share(0.5),
                count(stage.times.n)
            )
        })
        .joined();
    format!(
        "<h3>Stage by stage</h3><p class=\"lead\">Where the time goes: dark is what half of the events needed, light what 99\u{202f}% did.</p>\
         <div class=\"wide\"><table class=\"figures stages\"><thead><tr><th scope=\"col\">from, to</th><th scope=\"col\"></th><th scope=\"col\">half</th>\
         <th scope=\"col\">99\u{202f}%</th><th scope=\"col\">slowest</th><th scope=\"col\">events</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_nine_has_as_much_room() {
        for (q, n, expected) in
            [(0.0, 1_000, 0.0), (0.9, 1_000, 1.0), (0.99, 1_000, 2.0), (1.0, 1_000, 3.0), (1.0, 1, 1.0)]
        {
            assert!((nines(q, n) - expected).abs() < 1e-9, "{q} of {n}");
        }
    }
}
