//! Every key of a scenario file, told once: what editors are told ([`json`]) and what people read ([`markdown`]) come of this table.
//!
//! A section of the file is a [`Section`] here, with its [`Key`]s; whoever adds a key to a reader adds it here, or a test fails:
//! the tests record what the readers ask for, and hold examples, defaults, ranges and words against them.

mod capacity;
mod containers;
mod disorder;
mod expect;
mod fault;
pub mod json;
pub mod kind;
pub mod markdown;
mod pipeline;
mod plugin;
mod soak;
mod traffic;

use self::kind::Kind;

/// A table of the file.
#[derive(Debug)]
pub struct Section {
    /// The way to it, without the names of those in lists, such as `traffic.arrival`.
    pub path: &'static str,
    /// How often it stands there.
    pub occurs: Occurs,
    /// What holds without it.
    pub presence: Presence,
    /// What it is for; Markdown.
    pub doc: &'static str,
    /// How it is written, as lines of TOML that can stand behind the examples of `[scenario]` and `[[traffic]]`.
    pub example: &'static str,
    /// Its keys, the most needed first.
    pub keys: &'static [Key],
    /// What follows its keys on the page that people read, if anything.
    pub more: Option<fn() -> String>,
}

/// How often a table stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occurs {
    /// Once: `[expect]`.
    Once,
    /// As often as one likes: `[[traffic]]`.
    Often,
}

/// A key of a table, with a value that is no table of ours.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// How its value is written.
    pub kind: Kind,
    /// What holds without it.
    pub presence: Presence,
    /// A value, without the quotes that its kind has.
    pub example: &'static str,
    /// What it does; Markdown.
    pub doc: &'static str,
}

/// What holds where a key is left out.
#[derive(Debug, Clone, Copy)]
pub enum Presence {
    /// It cannot be left out.
    Required,
    /// It cannot be left out when this holds, and says nothing otherwise.
    RequiredIf(&'static str),
    /// As if this value were there, written without the quotes that its kind has.
    Default(&'static str),
    /// Something that is no value of its own.
    Otherwise(&'static str),
}

const fn key(name: &'static str, kind: Kind, presence: Presence, example: &'static str, doc: &'static str) -> Key {
    Key { name, kind, presence, example, doc }
}

/// What is said of `extends`, which stands before all sections and is read before any of them.
const EXTENDS: &str = "\
A file may begin with `extends = \"smoke\"`: the name of a scenario of the library, or of a file beside this one. What the file says \
itself goes over what the other says: tables are merged key by key, lists of named tables by name, and every other value takes the \
place of the other's. A table that says its `shape` takes the other's place whole, and `events` and `duration` replace each other. \
`scenario.name` and `.description` are each file's own.\n";

/// The file itself, and what every scenario begins with.
const HEAD: [Section; 2] = [
    Section {
        path: "",
        occurs: Occurs::Once,
        presence: Presence::Required,
        doc: "A scenario is a file of TOML. It says what is sent (`[[traffic]]`), through what (`[pipeline]`), what is done to it on \
              purpose (`[[fault]]`, `[[planted_defect]]`), and what must hold all the same (`[expect]`).",
        example: "",
        keys: &[],
        more: Some(|| EXTENDS.to_owned()),
    },
    Section {
        path: "scenario",
        occurs: Occurs::Once,
        presence: Presence::Required,
        doc: "What the scenario is called.",
        example: "[scenario]\nname = \"smoke\"\ndescription = \"60 000 events in 12 s\"\n",
        keys: &[
            key(
                "name",
                Kind::Text,
                Presence::Required,
                "smoke",
                "Names the folder of its runs: letters, digits, `-` and `_`.",
            ),
            key("description", Kind::Text, Presence::Required, "the first thing to run", "What it is for, in a line."),
            key(
                "seed",
                Kind::Whole { from: 0, to: Some(i64::MAX as u64) },
                Presence::Otherwise("a new one for each run, which its manifest tells"),
                "7",
                "The seed of everything that is random, so that each run sends the same. `--seed` goes before it.",
            ),
        ],
        more: None,
    },
];

/// All sections, in the order in which a newcomer needs them; each stands behind the one that it is in.
pub fn sections() -> impl Iterator<Item = &'static Section> {
    let parts: [&'static [Section]; 10] = [
        &HEAD,
        &traffic::SECTIONS,
        &disorder::SECTIONS,
        &pipeline::SECTIONS,
        &expect::SECTIONS,
        &fault::SECTIONS,
        &plugin::SECTIONS,
        &soak::SECTIONS,
        &capacity::SECTIONS,
        &containers::SECTIONS,
    ];
    parts.into_iter().flatten()
}

impl Section {
    /// Its own name: the last word of its path.
    pub fn name(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, name)| name)
    }

    /// The path of the section that it is in; the file itself is in none.
    pub fn parent(&self) -> Option<&'static str> {
        match self.path.rsplit_once('.') {
            Some((parent, _)) => Some(parent),
            None => (!self.path.is_empty()).then_some(""),
        }
    }

    /// The sections that stand in it.
    pub fn children(&self) -> impl Iterator<Item = &'static Self> {
        let path = self.path;
        sections().filter(move |section| section.parent() == Some(path))
    }
}

#[cfg(test)]
mod tests;
