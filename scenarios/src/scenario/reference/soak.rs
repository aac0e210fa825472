//! `[soak]`: the traffic again and again, for hours or days.

use super::{
    Key, Occurs,
    Presence::{Default, Otherwise, Required},
    Section, key,
    kind::{DURATION, Kind},
};

pub(super) const SECTIONS: [Section; 1] = [Section {
    path: "soak",
    occurs: Occurs::Once,
    presence: Otherwise("the scenario is one run"),
    doc: "Makes a soak of the scenario: its traffic is one window, which is sent again and again, and all windows are judged together \
          ([soak.md](soak.md)). Without `[capacity]`.",
    example: "[soak]\nlasts = \"8h\"\nkeep  = 12\n",
    keys: &SOAK,
    more: None,
}];

const SOAK: [Key; 2] = [
    key(
        "lasts",
        Kind::In(&DURATION),
        Required,
        "8h",
        "For how long is sent, all windows together; longer than the traffic, and rounded up to whole windows.",
    ),
    key(
        "keep",
        Kind::Whole { from: 1, to: Some(100_000) },
        Default("12"),
        "24",
        "So many of the newest windows' directories are kept, and as many of those that did not pass; the others are deleted.",
    ),
];
