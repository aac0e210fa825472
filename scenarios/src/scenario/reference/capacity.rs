//! `[capacity]` and `[[step]]`: looking for the highest rate at which the promises hold.

use testenv::environment::pipeline::MOST_INGESTERS;

use super::{
    Key, Occurs,
    Presence::{Default, Otherwise, Required},
    Section, key,
    kind::{DURATION, Kind, MEMORY, RATE, SHARE},
};
use crate::scenario::{
    capacity::{GREATEST_SIZE, LEAST_SIZE},
    pipeline::{LEAST_PROCESSORS, MOST_PROCESSORS},
};

pub(super) const SECTIONS: [Section; 2] = [
    Section {
        path: "capacity",
        occurs: Occurs::Once,
        presence: Otherwise("the scenario is one run"),
        doc: "Makes a search of the scenario: many runs of its traffic, each at another rate and for as long, for the highest rate at \
              which every promise holds. Every `arrival` must be `constant` or `poisson`; without `[[fault]]` and `[[planted_defect]]`.",
        example: "[capacity]\nfrom       = \"3000/s\"\nto         = \"50_000/s\"\nresolution = \"10%\"\nidle       = \"60s\"\n",
        keys: &CAPACITY,
        more: None,
    },
    Section {
        path: "step",
        occurs: Occurs::Often,
        presence: Otherwise("only `[pipeline]` itself is looked at"),
        doc: "A size of the pipeline, of several whose capacities are compared: what of `[pipeline]` is different in it. With \
              `[capacity]`.",
        example: "[capacity]\nfrom = \"3000/s\"\nto   = \"50_000/s\"\n\n[[step]]\ningesters  = 1\npartitions = \
                  4\n\n[[step]]\ningesters  = 2\npartitions = 8\n",
        keys: &STEP,
        more: None,
    },
];

const CAPACITY: [Key; 4] = [
    key(
        "from",
        Kind::In(&RATE),
        Required,
        "5000/s",
        "The lowest rate that is tried, all traffic together; a trial at it must send enough events to prove the promises.",
    ),
    key("to", Kind::In(&RATE), Required, "50_000/s", "The highest."),
    key(
        "resolution",
        Kind::In(&SHARE),
        Default("10%"),
        "5%",
        "How far two neighbouring rates are apart, from 1% to 100%.",
    ),
    key(
        "idle",
        Kind::In(&DURATION),
        Otherwise("not watched"),
        "60s",
        "For how long the components are watched without traffic before.",
    ),
];

const STEP: [Key; 6] = [
    key(
        "ingesters",
        Kind::Whole { from: 1, to: Some(MOST_INGESTERS as u64) },
        Otherwise("those of `[pipeline]`"),
        "2",
        "How many ingesters.",
    ),
    key(
        "partitions",
        Kind::Whole { from: 1, to: Some(256) },
        Otherwise("those of `[pipeline]`"),
        "8",
        "How many partitions each topic has.",
    ),
    key(
        "processors",
        Kind::Number { from: LEAST_PROCESSORS, to: MOST_PROCESSORS },
        Otherwise("those of `[pipeline]`"),
        "0.5",
        "How many processors' time each component of the pipeline may use, Kafka and ClickHouse apart (containers, and child processes \
         where a control group can be made for each).",
    ),
    key(
        "memory",
        Kind::In(&MEMORY),
        Otherwise("that of `[pipeline]`"),
        "512MiB",
        "How much memory each component of the pipeline may use, Kafka and ClickHouse apart (containers).",
    ),
    key(
        "size",
        Kind::Number { from: LEAST_SIZE, to: GREATEST_SIZE },
        Otherwise("the first of `ingesters`, `processors` and `partitions` that the step says"),
        "3",
        "The N of the law of scaling: what grows.",
    ),
    key("name", Kind::Text, Otherwise("what grows and its size"), "two small ones", "What it is called in reports."),
];
