//! What a release manager reads: the verdict, what it proves, four figures, and why it is not a pass.

use checkers::{
    checks::{CheckResult, Quantile},
    record::RunRecord,
    verdict::Verdict,
};

use super::{
    help,
    text::{Pieces, count, escape, percent, seconds, short},
};
use crate::{figures::quantile, runbooks::page_for_told, terminal};

/// The sign of a verdict, so that its colour is not needed.
pub const fn icon(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✓",
        Verdict::Fail => "✕",
        Verdict::Inconclusive => "?",
        Verdict::NotApplicable => "–",
    }
}

/// The CSS class of a verdict.
pub const fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Inconclusive => "doubt",
        Verdict::NotApplicable => "none",
    }
}

/// A verdict as a word with its sign.
pub fn chip(verdict: Verdict) -> String {
    format!(
        "<span class=\"chip {}\"><i aria-hidden=\"true\">{}</i>{}</span>",
        class(verdict),
        icon(verdict),
        verdict.word()
    )
}

pub(super) fn section(record: &RunRecord) -> String {
    let run = &record.run;
    let started = run.started_at.as_deref().map(|at| escape(&to_the_second(at)));
    let facts: Vec<String> = [
        started,
        Some(format!("took {}", seconds(run.duration))),
        Some(format!("{} environment", escape(&run.environment))),
        run.dialect.as_deref().map(|dialect| format!("dialect {}", escape(dialect))),
        run.id.as_deref().map(|id| format!("run {}", escape(id))),
    ]
    .into_iter()
    .flatten()
    .collect();
    format!(
        "<header class=\"verdict {}\"><div class=\"sign\" aria-hidden=\"true\">{}</div><div><h1><span>{}</span> {}</h1>\
         <p class=\"facts\">{}</p></div></header>\n{}<p class=\"proves\">{}</p>\n<div class=\"tiles\">{}</div>\n",
        class(record.verdict),
        icon(record.verdict),
        record.verdict.word().to_uppercase(),
        escape(&run.scenario),
        facts.join(" · "),
        why(record),
        escape(&terminal::proves(record)),
        tiles(record),
    )
}

/// An RFC 3339 moment in UTC as people read it.
fn to_the_second(at: &str) -> String {
    let at = at.replace('T', " ");
    match at.split_once('.') {
        Some((seconds, rest)) if rest.ends_with('Z') => format!("{seconds} UTC"),
        _ => at.replace('Z', " UTC"),
    }
}

/// Why it is no pass, and what was broken on purpose.
fn why(record: &RunRecord) -> String {
    let told = |reason: &String| {
        let help = page_for_told(reason).map(|page| format!(" · {}", help::link(page))).unwrap_or_default();
        format!("<li>{}{help}</li>", short(reason, 600))
    };
    let reasons: String = record.reasons.iter().map(told).joined();
    let why = if record.reasons.is_empty() {
        String::new()
    } else {
        let class = class(record.verdict);
        format!("<div class=\"why {class}\"><h2>Why {}</h2><ul>{reasons}</ul></div>", record.verdict.word())
    };
    let planted = match record.run.planted_defects.as_slice() {
        [] => String::new(),
        planted => format!(
            "<p class=\"note\">Planted in the reference pipeline on purpose: {}.</p>",
            escape(&planted.join(", "))
        ),
    };
    why + &planted
}

fn tiles(record: &RunRecord) -> String {
    let confidence = percent(record.run.confidence);
    let check = |name: &str| record.checks.iter().find(|check| check.name == name);
    let rate = |title: &str, name: &str| {
        check(name).map(|check| {
            let of = format!("<b>{}</b> of {}", count(check.k), count(check.n));
            tile(title, check.verdict, &of, &bound(check, &confidence))
        })
    };
    let times = &record.time_to_visible;
    let visible = check("time_to_visible").map(|check| {
        let limit = record.details.as_ref().and_then(|details| details.visible_within);
        let between = match (times.p99_lower, times.p99_upper) {
            (Some(Quantile::Seconds(lower)), Some(Quantile::Seconds(upper))) => {
                format!("{} to {} at {confidence} confidence", seconds(lower), seconds(upper))
            }
            _ => format!("{} never seen", count(times.unseen)),
        };
        let limit = limit.map(|limit| format!(" · limit {}", seconds(limit))).unwrap_or_default();
        let p99 = format!("<b>{}</b>", quantile(times.p99).replace(' ', "\u{202f}"));
        tile("99 % visible within", check.verdict, &p99, &(between + &limit))
    });
    let generator = &record.generator;
    let sent = generator.schedule.map(|schedule| {
        let verdict = if record.reasons.iter().any(|reason| reason.contains("missed its schedule")) {
            Verdict::Inconclusive
        } else {
            Verdict::Pass
        };
        let sent = format!("{} events in {} requests", count(generator.sent), count(generator.requests));
        tile("Sent on schedule", verdict, &format!("<b>{}</b>", percent(schedule.on_schedule_share)), &sent)
    });
    [rate("Events lost", "loss"), rate("Visible events wrong", "correctness"), visible, sent]
        .into_iter()
        .flatten()
        .collect()
}

fn tile(title: &str, verdict: Verdict, figure: &str, below: &str) -> String {
    format!(
        "<div class=\"tile {}\"><h3>{title}<i aria-hidden=\"true\">{}</i><span class=\"unseen\">: {}</span></h3>\
         <p class=\"figure\">{figure}</p><p>{below}</p></div>",
        class(verdict),
        icon(verdict),
        verdict.word()
    )
}

fn bound(check: &CheckResult, confidence: &str) -> String {
    match (check.verdict, check.lower, check.upper, check.target) {
        (Verdict::Fail, Some(lower), _, Some(target)) => {
            format!("at least {} at {confidence} confidence · allowed {}", percent(lower), percent(target))
        }
        (_, _, Some(upper), Some(target)) => {
            format!("at most {} at {confidence} confidence · allowed {}", percent(upper), percent(target))
        }
        _ => escape(&check.reason),
    }
}
