//! `[expect]`: what must hold.

use super::{
    Key, Occurs,
    Presence::{Default, Otherwise},
    Section, key,
    kind::{DURATION, Kind, RATE, SHARE},
};

pub(super) const SECTIONS: [Section; 2] = [
    Section {
        path: "expect",
        occurs: Occurs::Once,
        presence: Otherwise("its defaults"),
        doc: "What must hold, and when it is looked for. README.md tells what the verdict's words mean.",
        example: "[expect]\ncomplete   = \"99.99%\"\ncorrect    = \"99.99%\"\nconfidence = \"95%\"\nloss_after = \"10s\"\nquiet      = \
                  \"2s\"\n",
        keys: &EXPECT,
        more: None,
    },
    Section {
        path: "expect.time_to_visible",
        occurs: Occurs::Once,
        presence: Otherwise("no limit"),
        doc: "How soon events must be visible, from when they were due to the end of the first query that saw them.",
        example: "[expect]\ntime_to_visible = { p99 = \"5s\" }\n",
        keys: &[key(
            "p99",
            Kind::In(&DURATION),
            Otherwise("no limit"),
            "5s",
            "Within which time 99 % of the events must be visible. Those that were never seen count as infinitely late.",
        )],
        more: None,
    },
];

const EXPECT: [Key; 15] = [
    key(
        "complete",
        Kind::In(&SHARE),
        Default("99.99%"),
        "99.9%",
        "Which share of the acked events must be stored, at least.",
    ),
    key(
        "correct",
        Kind::In(&SHARE),
        Default("99.99%"),
        "99.9%",
        "Which share of the visible events must be right, at least.",
    ),
    key(
        "exported",
        Kind::In(&SHARE),
        Default("99.99%"),
        "99.9%",
        "Which share of the events that plugins must export must be delivered, as they are stored, at least.",
    ),
    key(
        "confidence",
        Kind::In(&SHARE),
        Default("95%"),
        "99%",
        "At which confidence each of these must be proven: from 50% to below 100%.",
    ),
    key(
        "loss_after",
        Kind::In(&DURATION),
        Default("1m"),
        "10s",
        "How old a missing event must be to be called lost; with faults, counted from the end of the last one. A younger one is \
         pending: it forbids a pass, and is no loss.",
    ),
    key(
        "quiet",
        Kind::In(&DURATION),
        Default("10s"),
        "2s",
        "For how long nothing may change before a run has settled: at least four times `pipeline.flush_interval`.",
    ),
    key(
        "settle_limit",
        Kind::In(&DURATION),
        Otherwise("`loss_after` + 3 × `quiet`"),
        "90s",
        "After which time settling is given up.",
    ),
    key(
        "independence",
        Kind::Independence,
        Default("event"),
        "request",
        "How many events share one fate: each `event` its own, those of a `request` one, or so many one. The upper bounds count so \
         many as one.",
    ),
    key(
        "may_stop_early",
        Kind::Flag,
        Default("false"),
        "true",
        "Sending ends as soon as the sequential test has its answer, and rates pass by that test alone.",
    ),
    key(
        "late",
        Kind::In(&SHARE),
        Default("1%"),
        "2%",
        "Which share of requests may leave late before the run is inconclusive.",
    ),
    key("late_after", Kind::In(&DURATION), Default("100ms"), "200ms", "How much after its time a request is late."),
    key(
        "rejected",
        Kind::In(&SHARE),
        Default("1%"),
        "5%",
        "Which share of events may be refused before the run is inconclusive.",
    ),
    key(
        "indeterminate",
        Kind::In(&SHARE),
        Default("1%"),
        "5%",
        "Which share of events may be left without an answer that says whether they are stored, before the run is inconclusive.",
    ),
    key(
        "linear",
        Kind::In(&SHARE),
        Otherwise("not judged"),
        "80%",
        "How efficient the last `[[step]]` must be against the first, at least. With `[capacity]` and two steps.",
    ),
    key(
        "capacity",
        Kind::In(&RATE),
        Otherwise("not judged"),
        "2000/s",
        "How much the last step must carry, at least. With `[capacity]`.",
    ),
];
