//! The reference as a page for people, `docs/scenario-reference.md`.

use std::fmt::Write;

use super::{
    Key, Occurs, Presence, Section,
    kind::{NOTATIONS, SHARE},
    sections,
};

/// What writes the page.
pub const COMMAND: &str = "cargo run -- schema --markdown > docs/scenario-reference.md";

/// The page.
pub fn page() -> String {
    let mut page = format!(
        "# Scenario files: every key\n\n<!-- Written by `{COMMAND}`; change scenarios/src/scenario/reference/ instead. -->\n\n"
    );
    let root = sections().find(|section| section.path.is_empty());
    let _ = writeln!(page, "{}\n", root.map_or("", |root| root.doc));
    page += INTRODUCTION;
    for path in ["scenario", "traffic"] {
        let example = sections().find(|section| section.path == path).map_or("", |section| section.example);
        page += example;
        page += if path == "scenario" { "\n" } else { "```\n\n" };
    }
    page += EDITORS;
    if let Some(more) = root.and_then(|root| root.more) {
        page += &more();
        page += "\n";
    }
    contents(&mut page);
    notations(&mut page);
    for section in sections() {
        write_section(&mut page, section);
    }
    page
}

const INTRODUCTION: &str = "\
Unknown keys are refused; `assay validate FILE` shows every mistake with its line and key. `--set KEY=VALUE` changes a value for one run: \
`--set expect.loss_after=20s`, and of a list the one with this name or number: `--set traffic.app.arrival.rate=100/s`. Those of the \
library (`assay list`, scenarios/library/) are examples of everything. The shortest scenario there is:

```toml
";

const EDITORS: &str = "\
Editors complete and check keys with the JSON Schema that `assay schema > assay.schema.json` writes: VS Code with Even Better TOML, and \
everything else that uses taplo, by a first line `#:schema ./assay.schema.json` in the scenario.

";

// Writing into a String does not fail: what `write!` returns is left alone below.

/// The list of sections.
fn contents(page: &mut String) {
    *page += "| section | what it is for | without it |\n|---|---|---|\n";
    for section in sections().filter(|section| !section.path.is_empty()) {
        let first = section.doc.split_inclusive(['.', ':']).next().unwrap_or_default();
        let first = first.trim_end_matches(['.', ':']);
        let _ = writeln!(
            page,
            "| [`{}`](#{}) | {} | {} |",
            title(section),
            anchor(section),
            cell(first),
            cell(&without(section.presence))
        );
    }
    page.push('\n');
}

/// How values are written.
fn notations(page: &mut String) {
    *page += "## How values are written\n\n| | how | such as |\n|---|---|---|\n";
    for notation in NOTATIONS {
        let examples: Vec<String> = notation.examples.iter().map(|example| format!("`\"{example}\"`")).collect();
        let _ = writeln!(page, "| {} | {} | {} |", notation.name, cell(notation.doc), examples.join(", "));
    }
    *page += "| size | a whole number from 1 on, or a range of them | `50`, `\"1..100\"` |\n";
    let _ = writeln!(
        page,
        "\nWhat is in quotes here is in quotes in the file: a {} is text, and a number without its unit is refused.\n",
        SHARE.name
    );
}

fn write_section(page: &mut String, section: &Section) {
    if section.path.is_empty() {
        if !section.keys.is_empty() {
            *page += "## At the top of the file\n\n";
            keys(page, section);
        }
        return;
    }
    let _ = writeln!(page, "## `{}`\n\n{}\n\n```toml\n{}```\n", title(section), section.doc, section.example);
    keys(page, section);
    if let Some(more) = section.more {
        page.push_str(&more());
        page.push('\n');
    }
}

fn keys(page: &mut String, section: &Section) {
    *page += "| key | value | without it | what it does | example |\n|---|---|---|---|---|\n";
    for key in section.keys {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {} |",
            key.name,
            cell(&key.kind.told()),
            cell(&without_key(key)),
            cell(key.doc),
            code(&key.kind.toml(key.example))
        );
    }
    for child in section.children() {
        let value = if child.occurs == Occurs::Often { "list of tables" } else { "table" };
        let _ = writeln!(
            page,
            "| `{}` | {value} | {} | see [`{}`](#{}) | |",
            child.name(),
            cell(&without(child.presence)),
            title(child),
            anchor(child)
        );
    }
    page.push('\n');
}

/// A section as it is written in a file.
fn title(section: &Section) -> String {
    match section.occurs {
        Occurs::Once => format!("[{}]", section.path),
        Occurs::Often => format!("[[{}]]", section.path),
    }
}

/// What GitHub makes of its heading.
fn anchor(section: &Section) -> String {
    section.path.replace('.', "")
}

fn without(presence: Presence) -> String {
    match presence {
        Presence::Required => "required".to_owned(),
        Presence::RequiredIf(when) => format!("required {when}"),
        Presence::Default(text) => code(text),
        Presence::Otherwise(what) => what.to_owned(),
    }
}

fn without_key(key: &Key) -> String {
    match key.presence {
        Presence::Default(text) => code(&key.kind.toml(text)),
        other => without(other),
    }
}

fn code(text: &str) -> String {
    format!("`{}`", cell(text))
}

/// `text` in a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
