//! `[[traffic]]` and what of it is ordinary: when events are due, how many go into a request, whom they are about.

use generators::workload::GROUP_TYPES;

use super::{
    Key, Occurs,
    Presence::{Default, Otherwise, Required, RequiredIf},
    Section, key,
    kind::{DURATION, Kind, RATE, SHARE, SPEED},
};
use crate::scenario::{arrival, client, reader::words_of, traffic};

pub(super) const SECTIONS: [Section; 6] = [
    Section {
        path: "traffic",
        occurs: Occurs::Often,
        presence: Required,
        doc: "What is sent. Several kinds of traffic are sent beside each other, each with clients of its own.",
        example: "[[traffic]]\nname    = \"app\"\nevents  = 60_000\narrival = { shape = \"constant\", rate = \"5000/s\" }\n",
        keys: &TRAFFIC,
        more: None,
    },
    Section {
        path: "traffic.arrival",
        occurs: Occurs::Once,
        presence: RequiredIf("without `replay`"),
        doc: "When events are due. The loop is open: whatever the pipeline does, the schedule stays; a late send is sent all the \
              same, and timed from when it was due.",
        example: "[[traffic]]\nname     = \"peaks\"\nduration = \"1m\"\narrival  = { shape = \"burst\", rate = \"100/s\", \
                  burst = \"2000/s\", every = \"10s\", for = \"1s\" }\n",
        keys: &ARRIVAL,
        more: None,
    },
    Section {
        path: "traffic.arrival.steps",
        occurs: Occurs::Often,
        presence: RequiredIf("with `shape = \"step\"`"),
        doc: "The stretches of `shape = \"step\"`, one after the other; the last one goes on until all events are sent.",
        example: "[[traffic]]\nname     = \"stairs\"\nduration = \"2m\"\narrival  = { shape = \"step\", steps = [{ rate = \
                  \"100/s\", for = \"1m\" }, { rate = \"1000/s\", for = \"1m\" }] }\n",
        keys: &[
            key("rate", Kind::In(&RATE), Required, "100/s", "How many events."),
            key("for", Kind::In(&DURATION), Required, "1m", "For how long."),
        ],
        more: None,
    },
    Section {
        path: "traffic.batch",
        occurs: Occurs::Once,
        presence: Otherwise("one event a request"),
        doc: "How events go into requests.",
        example: "[[traffic]]\nname    = \"batches\"\nevents  = 6_000\narrival = { shape = \"constant\", rate = \"500/s\" }\nbatch   \
                  = { size = \"1..100\" }\n",
        keys: &[key(
            "size",
            Kind::Size,
            Default("1"),
            "1..100",
            "How many events a request holds, at most 10 000; of a range a number is drawn for each.",
        )],
        more: None,
    },
    Section {
        path: "traffic.persons",
        occurs: Occurs::Once,
        presence: Otherwise("1 000 persons"),
        doc: "Whom the events are about.",
        example: "[traffic.persons]\ncount     = 5_000\nidentify  = \"20%\"\nhot       = \"50%\"\nhot_count = 2\n",
        keys: &PERSONS,
        more: None,
    },
    Section {
        path: "traffic.groups",
        occurs: Occurs::Once,
        presence: Otherwise("no groups"),
        doc: "Groups, such as companies, that events belong to, and events that say what a group is.",
        example: "[traffic.groups]\nshare    = \"20%\"\ntypes    = 4\ncount    = 50\nidentify = \"1%\"\n",
        keys: &[
            key("share", Kind::In(&SHARE), Default("0%"), "20%", "Which share of events belongs to groups."),
            key(
                "types",
                Kind::Whole { from: 1, to: Some(GROUP_TYPES.len() as u64) },
                Default("2"),
                "4",
                "To how many types of groups; of those a team keeps 5.",
            ),
            key(
                "count",
                Kind::Whole { from: 1, to: Some(1 << 40) },
                Default("100"),
                "50",
                "How many groups there are of each type.",
            ),
            key(
                "identify",
                Kind::In(&SHARE),
                Default("0%"),
                "1%",
                "Which share of events are a `$groupidentify`, which sets some of a group's properties: later ones overwrite what \
                 earlier ones set, and add to it. What the table of groups holds in the end is judged. Not with `pipeline.overflow`, \
                 where they lose their order.",
            ),
        ],
        more: None,
    },
];

const TRAFFIC: [Key; 23] = [
    key("name", Kind::Text, Required, "app", "What it is called, in reports and for `--set traffic.NAME.KEY=VALUE`."),
    key(
        "events",
        Kind::Whole { from: 1, to: Some(1 << 44) },
        RequiredIf("without `duration`"),
        "60_000",
        "How many events are sent. To prove 99.99 % at 95 % confidence takes 29 956 clean ones.",
    ),
    key(
        "duration",
        Kind::In(&DURATION),
        RequiredIf("without `events`"),
        "5m",
        "For how long events are sent; how many they are follows from `arrival`.",
    ),
    key(
        "endpoint",
        Kind::Choice(|| words_of(&traffic::endpoints())),
        Default("batch"),
        "i/v0/e",
        "Where requests go: to `batch` (an object with a list), to `e`, `i/v0/e`, `track` or `engage` (a list), to `capture` (one \
         event), to `v1` (a result for each event), to `v1/ai` or `i/v0/ai` (events of AI; the latter takes one in a form of several \
         parts), to `s` (recordings of sessions, which become no events) or to `test/black_hole` (which swallows all); v1 and what follows it \
         are of dialect 2026. With `client = \"posthog-js\"` the default is `e`.",
    ),
    key(
        "compression",
        Kind::Choice(|| words_of(&traffic::COMPRESSIONS)),
        Default("none"),
        "gzip",
        "How bodies are compressed: not (`none`), with `gzip`, with gzip that the query names (`gzip-js`, as posthog-js does), in \
         `base64`, or with `LZString` (`lz64`, as old versions of posthog-js did), or as its `client` does \
         (`client`): posthog-js with `gzip-js`, posthog-node with `gzip`, the others not.",
    ),
    key(
        "form",
        Kind::Choice(|| words_of(&traffic::FORMS)),
        Default("plain"),
        "query",
        "Where the data stands: it is the body (`plain`), in the field `data` of a `form`, or in the `query` of a GET, which has \
         room for 5 events.",
    ),
    key(
        "historical",
        Kind::Flag,
        Default("false"),
        "true",
        "Batches say that they are an import of old events (`historical_migration`). For `batch`, `v1` and `v1/ai`.",
    ),
    key(
        "spelling",
        Kind::In(&SHARE),
        Default("0%"),
        "20%",
        "Which share of events, and of requests, says the same in another way: `$token`, `token` or `properties.token`; `$distinct_id` or \
         `properties.distinct_id`; a profile without a name at `engage`; paths with and without the last slash, a list of one, other \
         words for compressions, none for gzip, base64 twice, more in the query.",
    ),
    key(
        "unknown_compression",
        Kind::In(&SHARE),
        Default("0%"),
        "10%",
        "Which share of requests says in its query that it is compressed in a way that nobody knows, which is ignored: the first bytes \
         tell. For plain bodies of v0 that are not compressed, or with gzip.",
    ),
    key(
        "clients",
        Kind::Whole { from: 1, to: Some(10_000) },
        Default("16"),
        "50",
        "How many instances of the library take turns, each with a clock of its own.",
    ),
    key(
        "client",
        Kind::Choice(|| words_of(&client::profiles())),
        Default("assay"),
        "posthog-python",
        "How a request is delivered: `assay` tries once; `posthog-python`, `posthog-node`, `posthog-js` and `posthog-rs` do as \
         these libraries do: which answers are retried, how often, after what back-off and time-out, with which `sent_at`. Retries \
         never delay the schedule.",
    ),
    key(
        "retry_for",
        Kind::In(&DURATION),
        Otherwise("as long as its library does"),
        "2m",
        "No retry leaves later than this after its request was due. What its library does by itself: `posthog-python` and `posthog-rs` \
         give up within minutes, `posthog-js` within an hour and a half, and `posthog-node` keeps what finds no network until 30 s \
         after the traffic's last event. A run lasts as long as its retries, unless it is stopped, which its verdict tells. For a \
         `client` that tries again.",
    ),
    key(
        "beacon",
        Kind::In(&SHARE),
        Default("0%"),
        "5%",
        "Which share of requests is sent as a page is closed (`navigator.sendBeacon`): the query says `beacon=1`, the capture answers 204 \
         since 2026, and nobody hears of it, so that nothing is sent again. With `client = \"posthog-js\"`, and not what fails on purpose.",
    ),
    key(
        "names",
        Kind::Texts,
        Otherwise("the usual ones"),
        "[\"$pageview:5\", \"purchase\"]",
        "What events are called, each perhaps with a weight behind a colon. In dialect 2026 `$exception` and `$ai_generation` and the like go \
         through topics of their own.",
    ),
    key(
        "team",
        Kind::Text,
        Default("main"),
        "shop",
        "The team that its project belongs to, by any name. Several kinds of traffic may be of one team.",
    ),
    key(
        "over_quota",
        Kind::Flag,
        Default("false"),
        "true",
        "The project's quota is used up: every event is acked and none may appear.",
    ),
    key(
        "drop_listed",
        Kind::Flag,
        Default("false"),
        "true",
        "The project is on the operator's drop list: every event is acked and none may appear.",
    ),
    key(
        "unknown_token",
        Kind::Flag,
        Default("false"),
        "true",
        "No project has the token, which capture does not look up: every event is acked and none may appear.",
    ),
    key(
        "drop_events_older_than",
        Kind::In(&DURATION),
        Otherwise("as old as they are"),
        "1h",
        "A setting of its team, in whole seconds: an event that happened longer than this before capture received it is acked and \
         must not appear. All traffic of one team says the same (dialect 2026).",
    ),
    key(
        "replay",
        Kind::Text,
        Otherwise("events are made"),
        "recording.jsonl",
        "The file of a recording that is sent instead of made events. What it says itself (how many events, endpoint, persons, …) is \
         left out beside it; an `arrival` sends it at a rate of its own.",
    ),
    key(
        "speed",
        Kind::In(&SPEED),
        Default("1x"),
        "4x",
        "How fast a recording is replayed. For `replay` without `arrival`.",
    ),
    key(
        "replay_batch",
        Kind::Whole { from: 1, to: Some(traffic::LARGEST_BATCH) },
        Default("1"),
        "50",
        "How many of the recording's events that stand without a request go into one. For `replay`.",
    ),
    key(
        "replay_longest",
        Kind::In(&DURATION),
        Default("7d"),
        "30d",
        "A recording that would take longer is refused, since one event by a wrong clock may stall it for years. For `replay` without \
         `arrival`.",
    ),
];

const ARRIVAL: [Key; 11] = [
    key(
        "shape",
        Kind::Choice(|| words_of(&arrival::SHAPES)),
        Required,
        "poisson",
        "How the rate goes on: it is `constant`; it is so on average and events come at random (`poisson`); it rises or falls evenly \
         (`ramp`); it changes at once (`step`); it is high for a while again and again (`burst`); it swings like a day's (`diurnal`).",
    ),
    key(
        "rate",
        Kind::In(&RATE),
        RequiredIf("with `constant`, `poisson` and `burst`"),
        "5000/s",
        "How many events; with `burst`, those between two bursts. At most 10 million a second.",
    ),
    key("from", Kind::In(&RATE), RequiredIf("with `ramp`"), "100/s", "The rate at the beginning."),
    key("to", Kind::In(&RATE), RequiredIf("with `ramp`"), "5000/s", "The rate at the end, which then stays."),
    key("over", Kind::In(&DURATION), RequiredIf("with `ramp`"), "1m", "How long the way from one to the other takes."),
    key("burst", Kind::In(&RATE), RequiredIf("with `burst`"), "8000/s", "The rate of a burst."),
    key(
        "every",
        Kind::In(&DURATION),
        RequiredIf("with `burst`"),
        "20s",
        "From the begin of one period to that of the next; a burst ends each.",
    ),
    key("for", Kind::In(&DURATION), RequiredIf("with `burst`"), "2s", "How long a burst lasts; shorter than `every`."),
    key("low", Kind::In(&RATE), RequiredIf("with `diurnal`"), "100/s", "The lowest rate, at the beginning."),
    key("high", Kind::In(&RATE), RequiredIf("with `diurnal`"), "2000/s", "The highest rate, half a period later."),
    key("period", Kind::In(&DURATION), Default("1d"), "1h", "How long a day is. With `diurnal`."),
];

const PERSONS: [Key; 5] = [
    key("count", Kind::Whole { from: 1, to: Some(1 << 40) }, Default("1000"), "5_000", "How many persons."),
    key(
        "identify",
        Kind::In(&SHARE),
        Default("0%"),
        "20%",
        "Which share of them starts anonymous and identifies on the way, so that two distinct ids become one person.",
    ),
    key(
        "illegal_alias",
        Kind::In(&SHARE),
        Default("0%"),
        "1%",
        "Which share of events asks for a merge with an id that no person may have (`anonymous`, `undefined`, …), which must be refused.",
    ),
    key(
        "hot",
        Kind::In(&SHARE),
        Default("0%"),
        "50%",
        "Which share of all events is of a few hot persons, beside the others.",
    ),
    key("hot_count", Kind::Whole { from: 1, to: Some(1 << 40) }, Default("1"), "2", "How many hot persons."),
];
