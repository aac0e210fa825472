//! `[images]`, `[pipeline.capture]`, `[pipeline.ingester]` and `[[component]]`: which images are run in containers.

use std::fmt::Write;

use testenv::environment::beside::TOLD;

use super::{
    Key, Occurs,
    Presence::{Default, Otherwise, Required},
    Section, key,
    kind::{DURATION, IMAGE, Kind},
};

pub(super) const SECTIONS: [Section; 4] = [
    Section {
        path: "images",
        occurs: Occurs::Once,
        presence: Otherwise("those of `--images`: the public ones"),
        doc: "The images of what every run has, for `--env containers`. `--image` and `ASSAY_IMAGE_…` go before them, and they go before `--images`.",
        example: "[images]\nkafka      = \"apache/kafka:4.1.0\"\nclickhouse = \"clickhouse/clickhouse-server:25.8\"\n",
        keys: &[
            key(
                "kafka",
                Kind::In(&IMAGE),
                Otherwise("that of `--images`"),
                "apache/kafka:4.0.0",
                "Kafka, with the contract of `apache/kafka`.",
            ),
            key(
                "clickhouse",
                Kind::In(&IMAGE),
                Otherwise("that of `--images`"),
                "clickhouse/clickhouse-server:25.3",
                "ClickHouse, with the contract of `clickhouse/clickhouse-server`.",
            ),
            key(
                "pipeline",
                Kind::In(&IMAGE),
                Otherwise("that of `--images`"),
                "debian:bookworm-slim",
                "What the reference pipeline runs in: any Linux with glibc.",
            ),
        ],
        more: None,
    },
    Section {
        path: "pipeline.capture",
        occurs: Occurs::Once,
        presence: Otherwise("the reference capture"),
        doc: "Another image in the capture's place (containers). It is told what the reference capture is told, in PostHog's \
              variables.",
        example: "[pipeline.capture]\nimage = \"ghcr.io/posthog/posthog/capture:master\"\nport  = 3000\n",
        keys: &CAPTURE,
        more: None,
    },
    Section {
        path: "pipeline.ingester",
        occurs: Occurs::Once,
        presence: Otherwise("the reference ingester"),
        doc: "Another image in the ingester's place (containers).",
        example: "[pipeline.ingester]\nimage   = \"posthog/posthog-node:latest\"\ncommand = [\"node\", \"dist/index.js\"]\nready   = \
                  \"started\"\n",
        keys: &INGESTER,
        more: None,
    },
    Section {
        path: "component",
        occurs: Occurs::Often,
        presence: Otherwise("nothing beside it"),
        doc: "What runs beside the pipeline because an image in it needs it, such as a database (containers). Started in the order of the \
              file, each when the one before serves, or has ended where it runs once; the run's topics and tables are there before the first.",
        example: "[[component]]\nname  = \"redis\"\nimage = \"redis:7\"\nready = \"Ready to accept connections\"\n",
        keys: &COMPONENT,
        more: Some(variables),
    },
];

const IMAGE_KEY: Key = key("image", Kind::In(&IMAGE), Required, "redis:7", "The image.");
const ENTRY_POINT: Key =
    key("entry_point", Kind::Text, Otherwise("what the image says"), "/bin/sh", "What is started in it.");
const COMMAND: Key =
    key("command", Kind::Texts, Otherwise("what the image says"), "[\"node\", \"dist/index.js\"]", "Its arguments.");
const ENVIRONMENT: Key = key(
    "environment",
    Kind::Variables,
    Otherwise("no further ones"),
    "{ TOPIC = \"{KAFKA_TOPIC}\" }",
    "Its variables, beside those of the role. A word in braces stands for where a `[[component]]` is, for a variable of the role, or \
     for one of those that every image is told (they stand with `[[component]]`).",
);
const ENVIRONMENT_BESIDE: Key = Key {
    example: "{ POSTGRES_USER = \"posthog\" }",
    doc: "Its variables, beside those that every image is told. A word in braces stands for one that every image is told, or for where a component before it is.",
    ..ENVIRONMENT
};
const READY: Key = key(
    "ready",
    Kind::Text,
    Otherwise("it serves as soon as it runs; a capture when `/_readiness` answers"),
    "Ready to accept connections",
    "What a line of its output holds as soon as it serves.",
);

const MOUNTS: Key = key(
    "mounts",
    Kind::Variables,
    Otherwise("none"),
    "{ \"/seed\" = \"seed\" }",
    "Files and folders beside the scenario's file that it may read and not write: by its path in the container, the path from the \
     scenario's folder on, which it never leaves.",
);

const CAPTURE: [Key; 7] = [
    IMAGE_KEY,
    ENTRY_POINT,
    COMMAND,
    ENVIRONMENT,
    key(
        "port",
        Kind::Whole { from: 1, to: Some(65_535) },
        Otherwise("where `ADDRESS` says"),
        "3000",
        "The port that it listens on.",
    ),
    READY,
    MOUNTS,
];
// `port` is known to the reader so that it can say that it has no meaning here.
const INGESTER: [Key; 6] = [IMAGE_KEY, ENTRY_POINT, COMMAND, ENVIRONMENT, READY, MOUNTS];
const COMPONENT: [Key; 9] = [
    key(
        "name",
        Kind::Text,
        Required,
        "redis",
        "Its host name, by which variables say where it is: small letters, digits and `-`.",
    ),
    IMAGE_KEY,
    ENTRY_POINT,
    COMMAND,
    ENVIRONMENT_BESIDE,
    READY,
    key(
        "once",
        Kind::Flag,
        Default("false"),
        "true",
        "Whether it has something to do once, as a migration has: the next is started when it has ended with code 0, and the run is given up if it \
         does not.",
    ),
    key(
        "within",
        Kind::In(&DURATION),
        Default("3m"),
        "30s",
        "How long it may take until it serves, or with `once` until it has ended.",
    ),
    MOUNTS,
];

/// What every image is told.
fn variables() -> String {
    let mut text = String::from(
        "Every image of the scenario's, also one in a place of the pipeline, is told of the run in these variables:\n\n| variable | what \
         it says |\n|---|---|\n",
    );
    for (name, what) in TOLD {
        // Writing into a String does not fail.
        let _ = writeln!(text, "| `{name}` | {what} |");
    }
    text
}
