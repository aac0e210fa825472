//! `assay schema`: every key of a scenario file, for editors as JSON Schema and for people as a page of Markdown.

use std::process::ExitCode;

use super::print;
use crate::{
    failure::{Failure, Kind},
    scenario::reference::{json, markdown},
};

pub(super) fn schema(as_markdown: bool) -> Result<ExitCode, Failure> {
    let text = if as_markdown {
        markdown::page()
    } else {
        let schema = serde_json::to_string_pretty(&json::schema())
            .map_err(|error| Failure::caused(Kind::Internal, "the schema cannot be written as JSON", "", error))?;
        schema + "\n"
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
