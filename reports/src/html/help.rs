//! What to do: the runbooks of what was found and of what is in doubt, folded, since whoever has the page has not the repository.

use checkers::record::RunRecord;

use super::text::{Pieces, escape};
use crate::runbooks::{Page, concerning};

/// The runbooks that concern the record; nothing where none does.
pub(super) fn section(record: &RunRecord) -> String {
    let pages = concerning(record);
    if pages.is_empty() {
        return String::new();
    }
    let told = |page: &&Page| {
        let text = page.text.split_once('\n').map_or("", |(_, text)| text).trim();
        format!(
            "<details class=\"story\"><summary>{} <span>{}</span></summary><div id=\"runbook-{}\"><pre>{}</pre></div></details>",
            escape(page.title()),
            page.command(),
            page.name,
            escape(text)
        )
    };
    let pages: String = pages.iter().map(told).joined();
    format!("<p class=\"lead\">What each of it means, what usually causes it, how to look, and what to do.</p>{pages}")
}

/// A link to a page of the section.
pub(super) fn link(page: &Page) -> String {
    format!("<a href=\"#runbook-{}\">what to do</a>", page.name)
}
