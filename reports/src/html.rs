//! report.html: one file that needs no network and no script, for a glance and for an hour of digging.
//!
//! A page of sections, each a file here: the verdict and what it proves, the checks against their targets, what happened
//! when, how long it took, what was wrong and with which events, how honestly it was sent, on what, and what to do. Charts are SVG
//! without text, stretched to the page's width, with their words in HTML, so that they are read at any width and on paper.
//! The script in templates/ only adds comfort.

mod chart;
mod checks;
mod defects;
mod facts;
mod headline;
mod help;
mod story;
mod text;
mod timeline;
mod times;

use checkers::record::RunRecord;

use self::text::{Pieces, attribute};

const PAGE: &str = include_str!("../templates/report.html");
const STYLE: &str = include_str!("../templates/report.css");
const SCRIPT: &str = include_str!("../templates/report.js");

/// The record as a page.
pub fn render(record: &RunRecord) -> String {
    let sections = [
        ("checks", "Checks", checks::section(record)),
        ("timeline", "What happened when", timeline::section(record)),
        ("times", "Time to visible", times::section(record)),
        ("defects", "Defects", defects::section(record)),
        ("generator", "Can this verdict be believed?", facts::honesty(record)),
        ("environment", "Environment, and how to do it again", facts::environment(record)),
        ("help", "What to do", help::section(record)),
    ];
    // Nobody needs help with what is as it must be.
    let sections = || sections.iter().filter(|(_, _, body)| !body.is_empty());
    let links: String = sections().map(|(id, title, _)| format!("<a href=\"#{id}\">{title}</a>")).joined();
    let body: String = sections()
        .map(|(id, title, body)| {
            format!("<section id=\"{id}\" aria-labelledby=\"{id}-title\"><h2 id=\"{id}-title\">{title}</h2>{body}</section>\n")
        })
        .joined();
    let title = format!("{}: {}", record.run.scenario, record.verdict.word());
    fill(
        PAGE,
        &[
            ("title", &attribute(&title)),
            ("icon", headline::icon(record.verdict)),
            ("style", STYLE),
            ("headline", &headline::section(record)),
            ("links", &links),
            ("sections", &body),
            ("footer", &facts::footer(record)),
            ("script", SCRIPT),
        ],
    )
}

/// The record as a page that a browser loads again every `seconds`: of what goes on.
pub fn refreshing(record: &RunRecord, seconds: u64) -> String {
    let again = format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">\n<title>");
    render(record).replacen("<title>", &again, 1)
}

/// The template with its `{{places}}` filled; what is filled in is not looked at again.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut page = String::with_capacity(template.len() + values.iter().map(|(_, value)| value.len()).sum::<usize>());
    let mut pieces = template.split("{{");
    page.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (name, after) = piece.split_once("}}").unwrap_or((piece, ""));
        page.push_str(values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value));
        page.push_str(after);
    }
    page
}

#[cfg(test)]
mod tests;
