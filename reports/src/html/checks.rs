//! The checks, each with its interval drawn against its target.
//!
//! All rows share one scale, on which every target stands in the middle: what lies left of the line is good enough.

use checkers::{checks::CheckResult, record::RunRecord, statistics::sequential::Crossed, verdict::Verdict};

use super::{
    headline::chip,
    help,
    text::{Pieces, count, escape, percent, short},
};
use crate::{figures::quantile, runbooks::page_for_check};

/// So many powers of ten lie on either side of the target.
const DECADES: f64 = 2.0;

pub(super) fn section(record: &RunRecord) -> String {
    let (judged, not): (Vec<_>, Vec<_>) =
        record.checks.iter().partition(|check| check.verdict != Verdict::NotApplicable);
    let rows: String = judged.iter().map(|check| row(check, record)).joined();
    let axis = "<span style=\"--at:0%\">÷\u{202f}100</span><span style=\"--at:25%\">÷\u{202f}10</span>\
                <span style=\"--at:50%\">target</span><span style=\"--at:75%\">×\u{202f}10</span>\
                <span style=\"--at:100%\">×\u{202f}100</span>";
    let not: String =
        not.iter().map(|check| format!("<li><b>{}</b>: {}</li>", name(check), escape(&check.reason))).joined();
    let not = if not.is_empty() {
        String::new()
    } else {
        format!("<details class=\"quiet\"><summary>Not applicable to this run</summary><ul>{not}</ul></details>")
    };
    format!(
        "<p class=\"lead\">The bar is what the run leaves possible, at {} confidence on each side; the mark is what was \
         counted. A check passes when its whole bar lies left of its target, and fails when all of it lies right.</p>\
         <table class=\"checks\"><thead><tr><th>check</th><th>verdict</th><th class=\"n\">in this run</th>\
         <th class=\"bars\"><div class=\"scale\">{axis}</div></th><th class=\"n\">bound</th><th class=\"n\">target</th></tr></thead>\
         <tbody>{rows}</tbody></table>{not}",
        percent(record.run.confidence),
    )
}

fn name(check: &CheckResult) -> String {
    escape(&check.name.replace('_', " "))
}

fn row(check: &CheckResult, record: &RunRecord) -> String {
    let (measured, drawn, bound, target) = match (check.upper, check.lower, check.target) {
        (Some(upper), lower, Some(target)) if target > 0.0 => {
            let lower = lower.unwrap_or_default();
            let bound = if check.verdict == Verdict::Fail {
                format!("≥\u{202f}{}", percent(lower))
            } else {
                format!("≤\u{202f}{}", percent(upper))
            };
            let measured = format!("{} of {}", count(check.k), count(check.n));
            let measured = if check.name == "time_to_visible" {
                format!(
                    "p99 {} <br><small>{measured} too late</small>",
                    quantile(record.time_to_visible.p99).replace(' ', "\u{202f}")
                )
            } else {
                measured
            };
            (measured, interval(check, lower, upper, target), bound, format!("≤\u{202f}{}", percent(target)))
        }
        _ => {
            let words = if check.k == 0 { "none, as it must be" } else { "must not happen once" };
            (count(check.k), format!("<span class=\"words\">{words}</span>"), String::new(), "none".into())
        }
    };
    format!(
        "<tr class=\"{}\"><th scope=\"row\">{}</th><td>{}</td><td class=\"n\" data-of=\"in this run\">{measured}</td>\
         <td class=\"bars\">{drawn}</td><td class=\"n\" data-of=\"bound\">{bound}</td><td class=\"n\" data-of=\"target\">{target}</td></tr>\
         {}",
        super::headline::class(check.verdict),
        name(check),
        chip(check.verdict),
        reason(check),
    )
}

/// Why it is no pass, and what its figures do not tell.
fn reason(check: &CheckResult) -> String {
    let mut told = Vec::new();
    if check.verdict != Verdict::Pass {
        let help = page_for_check(check).map(|page| format!(" ({})", help::link(page))).unwrap_or_default();
        told.push(format!("{}{help}.", short(&check.reason, 500)));
    }
    if let Some(test) = &check.sequential {
        let word = match test.crossed {
            Some(Crossed::Pass) => "passed",
            Some(_) => "ended without a pass",
            None => "is still open",
        };
        told.push(format!("The sequential test {word}."));
    }
    if let Some(deff) = check.deff.filter(|deff| *deff >= 1.05) {
        told.push(format!("Defects came together: design effect {deff:.1}."));
    }
    if told.is_empty() {
        return String::new();
    }
    format!("<tr class=\"reason\"><td colspan=\"6\">{}</td></tr>", told.join(" "))
}

/// Where a rate stands on the scale, from 0 to 100.
fn place(rate: f64, target: f64) -> f64 {
    if rate <= 0.0 {
        return 0.0;
    }
    (50.0 + (rate / target).log10() / DECADES * 50.0).clamp(0.0, 100.0)
}

fn interval(check: &CheckResult, lower: f64, upper: f64, target: f64) -> String {
    let (from, to) = (place(lower, target), place(upper, target));
    let measured = check.measured.unwrap_or_default();
    let mark = place(measured, target);
    let open = if lower <= 0.0 { " open" } else { "" };
    format!(
        "<div class=\"interval\" role=\"img\" aria-label=\"between {} and {}, target {}\"><i class=\"good\"></i><i class=\"bad\"></i>\
         <i class=\"bar{open}\" style=\"left:{from:.1}%;width:{:.1}%\"></i><i class=\"at\" style=\"left:{mark:.1}%\"></i>\
         <i class=\"target\"></i></div>",
        percent(lower),
        percent(upper),
        percent(target),
        (to - from).max(0.8),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_stands_in_the_middle() {
        for (rate, expected) in [(0.0, 0.0), (1e-6, 0.0), (1e-5, 25.0), (1e-4, 50.0), (1e-3, 75.0), (1.0, 100.0)] {
            assert!((place(rate, 1e-4) - expected).abs() < 1e-9, "{rate}");
        }
    }
}
