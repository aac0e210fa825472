//! A chart: lines, areas and bands over shaded stretches. The shapes are SVG that is stretched to any size, the words HTML
//! beside them.

use std::fmt::Write;

use super::text::{Pieces, attribute, escape};

/// In units of the drawing, which is stretched to the page.
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 200.0;

/// How a line is drawn; each has a colour and a dash of its own, so that neither must be told apart alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// What was planned: an area.
    Plan,
    /// The first line.
    First,
    /// The second.
    Second,
    /// The third.
    Third,
    /// Something wrong: an area.
    Wrong,
    /// Where something is not there: an area that lets through what is behind it.
    Missing,
}

impl Ink {
    /// Its CSS class.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::First => "first",
            Self::Second => "second",
            Self::Third => "third",
            Self::Wrong => "wrong",
            Self::Missing => "missing",
        }
    }
}

/// How points are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// Each holds until the next one begins.
    Steps,
    /// Straight.
    Straight,
}

/// One line of a chart.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its name; lines with the name of the one before are not named again.
    pub name: String,
    /// How it is drawn.
    pub ink: Ink,
    /// How its points are joined.
    pub join: Join,
    /// Its points, with gaps.
    pub points: Vec<Option<(f64, f64)>>,
}

/// A stretch that is shaded, with a mark above it.
#[derive(Debug, Clone)]
pub struct Shade {
    /// Where it begins and ends.
    pub span: (f64, f64),
    /// What stands above, if anything.
    pub mark: String,
}

/// What belongs to one axis.
#[derive(Debug, Clone)]
pub struct Axis {
    /// What lies at its end; it begins at 0.
    pub end: f64,
    /// Where words stand, and which.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From 0 to a round number that is at least `greatest`, with a few ticks that `word` tells.
    pub fn round(greatest: f64, word: impl Fn(f64) -> String) -> Self {
        let greatest = if greatest.is_finite() && greatest > 0.0 { greatest } else { 1.0 };
        let step = step(greatest / 4.0);
        let steps = (greatest / step - 1e-9).ceil().max(1.0);
        let ticks = (0..=steps as u64).map(|tick| (tick as f64 * step, word(tick as f64 * step))).collect();
        Self { end: steps * step, ticks }
    }

    /// From 0 to just `end`, with a few ticks that `word` tells.
    pub fn up_to(end: f64, word: impl Fn(f64) -> String) -> Self {
        let end = if end.is_finite() && end > 0.0 { end } else { 1.0 };
        let step = step(end / 5.0);
        let ticks = (0..=(end / step + 1e-9) as u64).map(|tick| (tick as f64 * step, word(tick as f64 * step)));
        Self { end, ticks: ticks.collect() }
    }

    fn place(&self, value: f64) -> f64 {
        (value / self.end).clamp(0.0, 1.0)
    }
}

/// 1, 2 or 5 times a power of ten: the least that is at least `wanted`.
fn step(wanted: f64) -> f64 {
    let power = 10f64.powf(wanted.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= wanted * 0.999).unwrap_or(power)
}

/// A chart.
#[derive(Debug, Clone)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What it comes to, in words, for who cannot see it.
    pub told: String,
    /// Along the bottom.
    pub x: Axis,
    /// Up the side.
    pub y: Axis,
    /// Shaded stretches.
    pub shades: Vec<Shade>,
    /// Between two curves: x, lower and upper.
    pub band: Vec<(f64, f64, f64)>,
    /// The lines, the first at the back.
    pub lines: Vec<Line>,
    /// A line that must not be crossed, and its name.
    pub limit: Option<(f64, String)>,
}

/// Ticks that are so near each other, in percent of the axis, overlap on a narrow screen.
const NEAR: f64 = 24.0;

impl Chart {
    /// The chart as HTML.
    pub fn render(&self) -> String {
        let Self { title, told, x, y, shades, .. } = self;
        let ticks = |axis: &Axis, side: &str| -> String {
            let shown: Vec<_> = axis.ticks.iter().filter(|(at, _)| *at <= axis.end * 1.000_1).collect();
            let place = |at: f64| axis.place(at) * 100.0;
            let tick = |(number, (at, word)): (usize, &&(f64, String))| {
                let place_of = place(*at);
                // Where there is little room, the first and the last one are read, and not what stands too near to them.
                let is_near = |other: Option<&&(f64, String)>| {
                    number > 0
                        && number + 1 < shown.len()
                        && other.is_some_and(|(at, _)| (place(*at) - place_of).abs() < NEAR)
                };
                let near = if is_near(shown.first()) || is_near(shown.last()) { " near" } else { "" };
                let edge = if place_of > 97.0 { " end" } else { "" };
                format!("<span class=\"{side}{edge}{near}\" style=\"--at:{place_of:.2}%\">{}</span>", escape(word))
            };
            shown.iter().enumerate().map(tick).collect()
        };
        let marks: String = shades
            .iter()
            .filter(|shade| !shade.mark.is_empty())
            .map(|shade| {
                let at = x.place(f64::midpoint(shade.span.0, shade.span.1)) * 100.0;
                format!("<span class=\"mark\" style=\"--at:{at:.2}%\">{}</span>", escape(&shade.mark))
            })
            .joined();
        let limit = self.limit.as_ref().map_or_else(String::new, |(at, name)| {
            format!("<span class=\"limit\" style=\"--at:{:.2}%\">{}</span>", y.place(*at) * 100.0, escape(name))
        });
        format!(
            "<figure class=\"chart\"><figcaption><b>{}</b>{}</figcaption><div class=\"plot\">\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">{}</svg>\
             {}{}{marks}{limit}<i class=\"hair\" hidden></i></div></figure>",
            escape(title),
            self.legend(),
            attribute(told),
            self.shapes(),
            ticks(y, "y"),
            ticks(x, "x"),
        )
    }

    fn legend(&self) -> String {
        let mut names: Vec<(&str, &str)> = Vec::new();
        for line in &self.lines {
            if !line.name.is_empty() && names.last() != Some(&(line.ink.class(), line.name.as_str())) {
                names.push((line.ink.class(), &line.name));
            }
        }
        if !self.band.is_empty() {
            names.push(("band", "between its bounds"));
        }
        if !self.shades.is_empty() {
            names.push(("shade", "fault"));
        }
        let key = |(class, name): &(&str, &str)| {
            format!(
                "<li><svg class=\"key\" viewBox=\"0 0 24 10\" aria-hidden=\"true\"><path class=\"{class}\" d=\"{}\"/></svg>{}</li>",
                if matches!(*class, "plan" | "wrong" | "missing" | "band" | "shade") {
                    "M0 0H24V10H0Z"
                } else {
                    "M0 5H24"
                },
                escape(name)
            )
        };
        format!("<ul class=\"legend\">{}</ul>", names.iter().map(key).joined())
    }

    fn shapes(&self) -> String {
        let (x, y) = (|value| self.x.place(value) * WIDTH, |value| HEIGHT - self.y.place(value) * HEIGHT);
        let mut svg = String::new();
        // Writing into a String does not fail.
        for (at, _) in self.y.ticks.iter().filter(|(at, _)| *at <= self.y.end * 1.000_1) {
            let _ = write!(svg, "<path class=\"grid\" d=\"M0 {0:.1}H{WIDTH}\"/>", y(*at));
        }
        for Shade { span: (from, to), .. } in &self.shades {
            let (from, to) = (x(*from), x(*to));
            let width = (to - from).max(2.0);
            let _ =
                write!(svg, "<rect class=\"shade\" x=\"{from:.1}\" y=\"0\" width=\"{width:.1}\" height=\"{HEIGHT}\"/>");
        }
        if !self.band.is_empty() {
            let upper = self.band.iter().map(|(at, _, upper)| format!("{:.1} {:.1}", x(*at), y(*upper)));
            let lower = self.band.iter().rev().map(|(at, lower, _)| format!("{:.1} {:.1}", x(*at), y(*lower)));
            let all: Vec<String> = upper.chain(lower).collect();
            let _ = write!(svg, "<path class=\"band\" d=\"M{}Z\"/>", all.join("L"));
        }
        for line in &self.lines {
            let area = matches!(line.ink, Ink::Plan | Ink::Wrong | Ink::Missing);
            let mut path = String::new();
            for piece in line.points.split(Option::is_none) {
                let points: Vec<(f64, f64)> = piece.iter().flatten().map(|(at, value)| (x(*at), y(*value))).collect();
                let (Some(first), Some(last)) = (points.first(), points.last()) else { continue };
                let _ = write!(path, "M{:.1} {:.1}", first.0, if area { HEIGHT } else { first.1 });
                if area || points.len() == 1 {
                    // A point by itself is a dot, by the round end of its line.
                    let _ = write!(path, "L{:.1} {:.1}", first.0, first.1);
                }
                let mut before = first.1;
                for (at, value) in points.iter().skip(1) {
                    // Steps of the same height are one.
                    let _ = match line.join {
                        Join::Steps if (value - before).abs() < 0.05 && *at < last.0 => Ok(()),
                        Join::Steps => write!(path, "H{at:.1}V{value:.1}"),
                        Join::Straight => write!(path, "L{at:.1} {value:.1}"),
                    };
                    before = *value;
                }
                if area {
                    let _ = write!(path, "V{HEIGHT}Z");
                }
            }
            let _ = write!(svg, "<path class=\"{}\" d=\"{path}\"/>", line.ink.class());
        }
        if let Some((at, _)) = &self.limit {
            let _ = write!(svg, "<path class=\"limit\" d=\"M0 {0:.1}H{WIDTH}\"/>", y(*at));
        }
        svg
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        let word = |value: f64| value.to_string();
        for (greatest, end) in
            [(0.0, 1.0), (f64::NAN, 1.0), (4_987.0, 6_000.0), (1.19, 1.5), (5.0, 6.0), (100.0, 100.0)]
        {
            let axis = Axis::round(greatest, word);
            assert!((axis.end / end - 1.0).abs() < 1e-9, "{greatest}: {axis:?}");
            assert!((3..=6).contains(&axis.ticks.len()), "{axis:?}");
        }
        assert_eq!(Axis::up_to(16.7, word).ticks.len(), 4);
    }

    fn chart(lines: Vec<Line>) -> Chart {
        let axis = || Axis { end: 10.0, ticks: vec![(0.0, "0".into()), (10.0, "ten".into())] };
        Chart {
            title: "<t>".into(),
            told: "told".into(),
            x: axis(),
            y: axis(),
            shades: vec![Shade { span: (2.0, 4.0), mark: "1".into() }],
            band: vec![],
            lines,
            limit: Some((5.0, "limit".into())),
        }
    }

    #[test]
    fn gaps_part_a_line_and_a_point_alone_is_a_dot() {
        let points = vec![Some((0.0, 0.0)), Some((5.0, 10.0)), None, Some((10.0, 5.0))];
        let line = Line { name: "a".into(), ink: Ink::First, join: Join::Straight, points };
        let html = chart(vec![line.clone()]).render();
        assert!(html.contains("d=\"M0.0 200.0L500.0 0.0M1000.0 100.0L1000.0 100.0\""), "{html}");
        assert!(html.contains("<rect class=\"shade\" x=\"200.0\" y=\"0\" width=\"200.0\""), "{html}");
        assert!(html.contains("&lt;t&gt;") && !html.contains("<t>"));
        let steps = chart(vec![Line { join: Join::Steps, ..line }]).render();
        assert!(steps.contains("M0.0 200.0H500.0V0.0M"), "{steps}");
    }

    #[test]
    fn what_lies_outside_is_drawn_at_the_edge() {
        let points = vec![Some((0.0, 99.0)), Some((99.0, -1.0))];
        let html = chart(vec![Line { name: String::new(), ink: Ink::Plan, join: Join::Straight, points }]).render();
        assert!(
            html.contains("d=\"M0.0 200L0.0 0.0L1000.0 200.0V200Z\"")
                || html.contains("M0.0 200.0L0.0 0.0L1000.0 200.0V200Z"),
            "{html}"
        );
    }
}
