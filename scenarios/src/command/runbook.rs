//! `assay runbook NAME`: what a finding or a reason means, and what to do about it.

use std::{fmt::Write, process::ExitCode};

use reports::runbooks::{PAGES, page_for};

use super::print;
use crate::failure::{Failure, Kind};

pub(super) fn runbook(name: Option<&str>) -> Result<ExitCode, Failure> {
    let text = match name {
        None => index(),
        Some(name) => {
            // People copy `should be absent` from the table.
            let wanted = name.trim().to_lowercase().replace([' ', '-'], "_");
            let page = page_for(&wanted).ok_or_else(|| {
                let help = format!("the pages are:\n{}", index());
                Failure::told(Kind::Usage, format!("there is no runbook `{name}`"), help)
            })?;
            page.text.to_owned()
        }
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// A line for each page.
fn index() -> String {
    let mut text = String::new();
    for page in PAGES {
        // Writing into a String does not fail.
        let _ = writeln!(text, "{:<24} {}", page.name, page.title());
    }
    text
}
