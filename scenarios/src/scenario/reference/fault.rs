//! `[[fault]]` and `[[planted_defect]]`: what is done to the pipeline on purpose.

use std::fmt::Write;

use testenv::{
    fault::Target,
    pipeline::defect::{CATALOGUE, Stage},
};

use super::{
    Key, Occurs,
    Presence::{Default, Otherwise, Required, RequiredIf},
    Section, key,
    kind::{BANDWIDTH, DISTRIBUTION, DURATION, Kind, MEMORY},
};
use crate::scenario::{
    fault,
    pipeline::{LEAST_PROCESSORS, MOST_PROCESSORS},
    reader::words_of,
};

pub(super) const SECTIONS: [Section; 2] = [
    Section {
        path: "fault",
        occurs: Occurs::Often,
        presence: Otherwise("nothing is done to it"),
        doc: "What is done to the pipeline on purpose. Every fault heals by itself, and settling begins when the last one has. What \
              clients were refused meanwhile does not count; a lost event stays a lost event.",
        example: "[[fault]]\nat     = \"5s\"\ntarget = \"ingester\"\naction = \"kill\"\nfor    = \"2s\"\nevery  = \"10s\"\ntimes  = 3\n",
        keys: &FAULT,
        more: None,
    },
    Section {
        path: "planted_defect",
        occurs: Occurs::Often,
        presence: Otherwise("it has none but its own"),
        doc: "A defect of the reference pipeline, to see a promise broken and found. One of the sink's at a time.",
        example: "[[planted_defect]]\nname     = \"drop_property\"\nevents   = 60\nproperty = \"price\"\n",
        keys: &PLANTED_DEFECT,
        more: Some(catalogue),
    },
];

const FAULT: [Key; 11] = [
    key(
        "at",
        Kind::In(&DISTRIBUTION),
        Required,
        "uniform(2s, 8s)",
        "When it begins, from the start of sending; a distribution is drawn from the seed.",
    ),
    key(
        "target",
        Kind::PartOrParts(|| words_of(&Target::ALL)),
        Required,
        "\"ingester\"",
        "What it is done to; of a list one is drawn each time, from the seed. A component: `capture`, `ingester`, `kafka`, `clickhouse`, and `exporter` where plugins export; \
         of several ingesters `ingester` is the first, and `ingester-2` and so on are the others; and what the scenario adds, by the `name` of its \
         `[[component]]`, unless that runs once. The network \
         between two: `client-capture`, `capture-kafka`, `ingester-kafka`, `clickhouse-kafka`, `checker-clickhouse`. A topic: \
         `capture-topic`, `events-topic`.",
    ),
    key(
        "action",
        Kind::ChoiceOrChoices(|| words_of(&fault::WORDS)),
        Required,
        "\"kill\"",
        "What is done; of a list one is drawn each time, and then one of the targets that it can be done to. To a component: `kill` (SIGKILL), `stop` (SIGTERM), `restart` (SIGTERM, and started again at once), `pause` \
         (SIGSTOP); to the ingester `rebalance` (a second one joins the consumer group, and leaves again); in containers `fill_disk` \
         (of Kafka or ClickHouse), `throttle` to `processors`, `squeeze` to `memory`. To the network: `cut` (bytes are held back and \
         arrive later), `reset` (connections break, new ones too), `delay` by `delay`, `narrow` to `bandwidth`. To a topic: \
         `broken_message` (something unreadable is put on it).",
    ),
    key(
        "for",
        Kind::In(&DISTRIBUTION),
        Otherwise("at once; what lasts must say it"),
        "10s",
        "How long it lasts. Not with `restart` and `broken_message`, which in a list is done at once all the same; without it, what is \
         killed is started again at once.",
    ),
    key("every", Kind::In(&DURATION), RequiredIf("with `times`"), "20s", "From the begin of one to that of the next."),
    key("times", Kind::Whole { from: 1, to: Some(10_000) }, RequiredIf("with `every`"), "3", "How often it is done."),
    key("delay", Kind::In(&DURATION), RequiredIf("with the action `delay`"), "200ms", "How much longer bytes take."),
    key(
        "jitter",
        Kind::In(&DURATION),
        Default("0s"),
        "50ms",
        "Give or take so much; not more than `delay`. With the action `delay`.",
    ),
    key(
        "bandwidth",
        Kind::In(&BANDWIDTH),
        RequiredIf("with the action `narrow`"),
        "500kB/s",
        "How much gets through, both ways together.",
    ),
    key(
        "processors",
        Kind::Number { from: LEAST_PROCESSORS, to: MOST_PROCESSORS },
        RequiredIf("with the action `throttle`"),
        "0.05",
        "How much processor time is left to it.",
    ),
    key(
        "memory",
        Kind::In(&MEMORY),
        RequiredIf("with the action `squeeze`"),
        "64MiB",
        "How much memory is left to it.",
    ),
];

/// The greatest number that a defect can be told.
const MOST: Kind = Kind::Whole { from: 1, to: Some(1 << 32) };

const PLANTED_DEFECT: [Key; 8] = [
    key(
        "name",
        Kind::Choice(|| CATALOGUE.iter().map(|defect| defect.word).collect()),
        Required,
        "ack_then_drop",
        "Which defect; the list is below.",
    ),
    key(
        "events",
        Kind::Whole { from: 1, to: None },
        Required,
        "60",
        "In how many events: at most as many as are sent, and 5 000 of those of the sink whose uuids stand in a statement of SQL.",
    ),
    key("property", Kind::Text, RequiredIf("with `drop_property`"), "price", "The property that is dropped."),
    key("bytes", MOST, Default("1000"), "2000", "From how many bytes on an event is large. With `drop_oversize`."),
    key(
        "characters",
        MOST,
        Default("8"),
        "12",
        "How many characters are left of a distinct id. With `truncate_distinct_id`.",
    ),
    key("properties", MOST, Default("3"), "1", "How many properties are lost. With `truncate_body`."),
    key(
        "seconds",
        MOST,
        Default("5"),
        "20",
        "From how many seconds on an event is late or early. With `drop_late`, `drop_future`.",
    ),
    key("hours", MOST, Default("2"), "5", "By how many hours times are shifted. With `shift_timezone`."),
];

/// The catalogue as a table.
fn catalogue() -> String {
    let mut text = String::from("| defect | in | what it does | found as |\n|---|---|---|---|\n");
    for defect in &CATALOGUE {
        let stage = match defect.stage {
            Stage::Capture => "capture",
            Stage::Ingester => "ingester",
            Stage::Exporter => "exporter",
            Stage::Sink => "sink",
        };
        // Writing into a String does not fail.
        let _ = writeln!(text, "| `{}` | {stage} | {} | `{}` |", defect.word, defect.what, defect.finding);
    }
    text
}
