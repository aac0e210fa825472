//! `[pipeline]`: what it is sent through.

use testenv::environment::{pipeline::MOST_INGESTERS, tables::MOST_SHARDS};

use super::{
    Key, Occurs,
    Presence::{Default, Otherwise, Required},
    Section, key,
    kind::{DURATION, Kind, MEMORY},
};
use crate::scenario::{
    pipeline::{DIALECTS, LEAST_PROCESSORS, MODES, MOST_PROCESSORS},
    reader::words_of,
};

pub(super) const SECTIONS: [Section; 5] = [
    Section {
        path: "pipeline",
        occurs: Occurs::Once,
        presence: Otherwise("its defaults"),
        doc: "The pipeline that events are sent through.",
        example: "[pipeline]\nflush_interval = \"500ms\"\npartitions     = 8\ningesters      = 2\n",
        keys: &PIPELINE,
        more: None,
    },
    Section {
        path: "pipeline.overflow",
        occurs: Occurs::Once,
        presence: Otherwise("capture does not count"),
        doc: "Capture counts what comes of each distinct id. What is more than this goes onto a topic of its own (dialect 2024: onto \
              the main one) without a key, and loses its order. Not in dialect 2021.",
        example: "[pipeline]\noverflow = { per_second = 100, burst = 1000 }\n",
        keys: &[
            key(
                "per_second",
                Kind::Whole { from: 1, to: Some(1_000_000) },
                Required,
                "100",
                "How many events of a distinct id may come in a second, in the long run.",
            ),
            key("burst", Kind::Whole { from: 1, to: Some(1_000_000) }, Required, "1000", "How many may come at once."),
            key(
                "preserve_locality",
                Kind::Flag,
                Default("false"),
                "true",
                "What is more keeps its key there, so that one distinct id stays on one partition (dialect 2026).",
            ),
        ],
        more: None,
    },
    Section {
        path: "pipeline.rate_limit",
        occurs: Occurs::Once,
        presence: Otherwise("no limit"),
        doc: "How fast a project's requests with events may come. One too many is answered with 429 and the time after which to come back; what a \
              `client` that does not come back sent then is indeterminate.",
        example: "[pipeline]\nrate_limit = { per_second = 50, burst = 10 }\n",
        keys: &[
            key(
                "per_second",
                Kind::Whole { from: 1, to: Some(1_000_000) },
                Required,
                "50",
                "How many requests a second, in the long run.",
            ),
            key("burst", Kind::Whole { from: 1, to: Some(1_000_000) }, Required, "10", "How many may come at once."),
        ],
        more: None,
    },
    Section {
        path: "pipeline.budget",
        occurs: Occurs::Once,
        presence: Otherwise("no budget"),
        doc: "What capture, ingesters and exporter may use together; Kafka, ClickHouse and every `[[component]]` are beside it.",
        example: "[pipeline]\nbudget = { processors = 1, memory = \"1GiB\" }\n",
        keys: &[
            key(
                "processors",
                Kind::Whole { from: 1, to: Some(1_024) },
                Otherwise("all that there are"),
                "1",
                "How many whole processors: they run on these and no others, in containers and as child processes.",
            ),
            key(
                "memory",
                Kind::In(&MEMORY),
                Otherwise("no limit"),
                "1GiB",
                "How much memory. In containers each has an equal share of it, and is killed if it takes more; as child processes a \
                 search for a capacity judges the sum of their peaks, and a run without one is refused.",
            ),
        ],
        more: None,
    },
    Section {
        path: "pipeline.substrate",
        occurs: Occurs::Once,
        presence: Otherwise("no limit"),
        doc: "What Kafka and ClickHouse may use, each (containers). Not on an environment that other runs share.",
        example: "[pipeline]\nsubstrate = { processors = 2, memory = \"2GiB\" }\n",
        keys: &[
            key(
                "processors",
                Kind::Number { from: LEAST_PROCESSORS, to: MOST_PROCESSORS },
                Otherwise("no limit"),
                "2",
                "How many processors.",
            ),
            key("memory", Kind::In(&MEMORY), Otherwise("no limit"), "2GiB", "How much memory."),
        ],
        more: None,
    },
];

const PIPELINE: [Key; 12] = [
    key(
        "flush_interval",
        Kind::In(&DURATION),
        Default("500ms"),
        "1s",
        "After how long ClickHouse's Kafka engine writes what it has read. ClickHouse's own default, 7.5 s, makes p99 within 5 s \
         impossible.",
    ),
    key("partitions", Kind::Whole { from: 1, to: Some(256) }, Default("4"), "8", "How many partitions each topic has."),
    key(
        "ingesters",
        Kind::Whole { from: 1, to: Some(MOST_INGESTERS as u64) },
        Default("1"),
        "2",
        "How many ingesters share them: `ingester`, `ingester-2`, and so on.",
    ),
    key(
        "shards",
        Kind::Whole { from: 1, to: Some(MOST_SHARDS as u64) },
        Default("1"),
        "2",
        "On how many shards ClickHouse has the events: several are written through `writable_events` and read through `events`, tables \
         of the engine Distributed, as in PostHog's cluster. Without defects of the sink.",
    ),
    key(
        "topics",
        Kind::Texts,
        Otherwise("no further ones"),
        "[\"clickhouse_app_metrics\"]",
        "Further topics that other people's images need, made before anything is started. Each begins with the run's name and `_`, as all \
         topics of a run do: images are told that as `KAFKA_PREFIX`.",
    ),
    key(
        "dialect",
        Kind::Choice(|| words_of(&DIALECTS)),
        Default("2026"),
        "2024",
        "Whose rules it follows: those of PostHog's pipeline of `2021` (Django, Node), `2024` (the Rust capture, TypeScript) or `2026`.",
    ),
    key(
        "capture_mode",
        Kind::Choice(|| words_of(&MODES)),
        Default("events"),
        "import",
        "What capture is there for: `events`, or the `import` of old ones, which drops whatever is not `historical` (dialect 2026).",
    ),
    key(
        "blob_store",
        Kind::Flag,
        Default("false"),
        "true",
        "Whether capture has a store for contents that come in parts of their own (`content.blobs`), as it could from December 2025 to \
         August 2026 (`AI_S3_BUCKET`). The reference pipeline tells addresses as if it had put them there, and keeps nothing. Dialect 2026.",
    ),
    key(
        "historical_from_days",
        Kind::Whole { from: 1, to: Some(36_500) },
        Otherwise("none do"),
        "1",
        "Events that are so many days old when capture receives them take the way of imports, a topic of its own, so that they do not \
         hold up others (dialect 2026). Exceptions and events of AI keep theirs.",
    ),
    key(
        "plugin_time_out",
        Kind::In(&DURATION),
        Default("30s"),
        "1s",
        "How long a plugin may take for an event; beyond it the event goes on as if the plugin had thrown.",
    ),
    key(
        "processors",
        Kind::Number { from: LEAST_PROCESSORS, to: MOST_PROCESSORS },
        Otherwise("no limit"),
        "0.5",
        "How many processors' time each component of the pipeline may use, Kafka and ClickHouse apart (containers, and child processes \
         where a control group can be made for each).",
    ),
    key(
        "memory",
        Kind::In(&MEMORY),
        Otherwise("no limit"),
        "512MiB",
        "How much memory each component of the pipeline may use, Kafka and ClickHouse apart (containers).",
    ),
];
